"""Pages in a browser: hands and keys, and that nothing leaves a page.

Where FASTUP_BROWSER=1 asks for it, with Playwright and a Chromium of the system; FASTUP_AXE is a file of axe-core, such
as ``package/axe.min.js`` of what ``npm pack axe-core`` fetches.
"""

import contextlib
import os
import shutil
from pathlib import Path

import pytest
from reports import FRAME, write_page, write_pages

if os.environ.get("FASTUP_BROWSER") != "1":
    pytest.skip("FASTUP_BROWSER=1 asks for it", allow_module_level=True)
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("there is no Chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def html(small, shared):
    return shared("browsed", lambda folder: write_page(small, folder)) / "page.html"


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as own:
        browser = own.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextlib.contextmanager
def opened(browser, path, width, scheme):
    """A page; when it is closed, nothing was said on the console, and nothing but the page was asked for."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page, said, asked = context.new_page(), [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(path.as_uri())
    yield page
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]


@pytest.fixture(params=[(1600, "light"), (400, "dark")], ids=["wide", "narrow"])
def page(request, browser, html):
    with opened(browser, html, *request.param) as page:
        page.wait_for_function("document.querySelector('canvas').width > 300")
        page.locator(".stage").scroll_into_view_if_needed()
        page.wait_for_timeout(200)
        yield page


def divider(page):
    return int(page.locator(".divider").get_attribute("aria-valuenow"))


def pixels(page):
    """What is on the canvas, in short."""
    page.wait_for_timeout(60)
    return page.evaluate("document.querySelector('canvas').toDataURL()")


def test_the_divider_follows_the_hand_and_keys(page):
    box = page.locator(".stage").bounding_box()
    assert divider(page) == 50
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(*middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, middle[1], steps=5)
    page.mouse.up()
    assert divider(page) == 80
    before = pixels(page)
    page.locator(".divider").focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    assert divider(page) == 70
    assert pixels(page) != before
    page.keyboard.press("Home")
    assert divider(page) == 0
    page.keyboard.press("End")
    assert divider(page) == 100


def test_zoom_by_wheel_and_keys_and_a_place_that_stays(page):
    page.locator(".stage").hover()
    whole = pixels(page)
    page.mouse.wheel(0, -480)
    page.wait_for_timeout(100)
    zoomed = page.locator(".bar button", has_text="4.0 \u00d7")
    assert zoomed.count() == 1
    assert pixels(page) != whole
    page.locator(".stage").focus()
    page.keyboard.press("n")  # another frame, the same zoom
    assert zoomed.count() == 1
    there = pixels(page)
    page.keyboard.press("ArrowRight")  # which moves a picture that is zoomed
    assert pixels(page) != there
    page.keyboard.press("0")
    assert page.locator(".bar button", has_text="Fit").count() == 1
    page.keyboard.press("+")
    assert page.locator(".bar button", has_text="1.5 \u00d7").count() == 1


def test_blink_difference_and_versions(page):
    page.locator(".stage").focus()
    both = pixels(page)
    page.keyboard.press("b")
    right = pixels(page)
    page.keyboard.press("b")
    left = pixels(page)
    assert len({both, right, left}) == 3
    assert page.get_by_role("button", name="Blink").get_attribute("aria-pressed") == "true"
    page.keyboard.press("b")
    assert pixels(page) == right
    page.keyboard.press("d")
    weak = pixels(page)
    page.get_by_label("Amplified").select_option("32")
    assert len({weak, pixels(page), both, right}) == 4
    page.locator(".stage").focus()
    page.keyboard.press("Escape")
    assert pixels(page) == both
    page.keyboard.press("5")
    page.keyboard.press("Shift+1")
    assert [tag.inner_text() for tag in page.locator(".tag").all()] == ["input", "target"]
    page.keyboard.press("x")
    assert [tag.inner_text() for tag in page.locator(".tag").all()] == ["target", "input"]


def test_a_table_that_sorts(page):
    def names():
        return page.locator(".sorted tbody tr[data-row] th").all_inner_texts()

    def column(number):
        return [
            float(text.replace("\u2212", "-"))
            for text in page.locator(f".sorted tbody tr[data-row] td:nth-child({number})").all_inner_texts()
        ]

    assert FRAME in names()
    gain = page.locator(".sorted thead button").nth(3)
    gain.click()
    assert column(4) == sorted(column(4))
    assert page.locator("th[aria-sort='ascending']").count() == 1
    page.keyboard.press("Enter")  # the focus is where it was
    assert column(4) == sorted(column(4), reverse=True)
    page.get_by_role("button", name="Y SSIM").click()
    assert max(column(2)) < 1


def test_the_plot_leads_to_frames(page):
    shown = page.locator("#viewer-status")
    plot = page.locator(".plot.link [role=slider]")
    box = plot.bounding_box()
    plot.click(position={"x": box["width"] - 40, "y": box["height"] / 2})
    last = page.locator(".sorted tbody tr[data-row='2'] th").inner_text()
    assert shown.inner_text().startswith(last)
    assert page.evaluate("document.activeElement.className") == "stage"
    plot.focus()
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    assert shown.inner_text().startswith(FRAME)
    assert page.locator("tr[aria-current='true'] th").inner_text() == FRAME


def test_crops_lead_to_their_place(page):
    before = pixels(page)
    page.get_by_role("button", name="Look").first.click()
    page.wait_for_timeout(200)
    assert pixels(page) != before
    assert page.locator(".stage.zoomed").count() == 1


def test_pinching(page):
    page.evaluate("""() => {
        const stage = document.querySelector(".stage"), box = stage.getBoundingClientRect();
        stage.setPointerCapture = () => {};
        const send = (name, id, x) => stage.dispatchEvent(new PointerEvent(name, { pointerId: id, bubbles: true,
            clientX: box.left + x * box.width, clientY: box.top + box.height / 2 }));
        send("pointerdown", 1, 0.4); send("pointerdown", 2, 0.6);
        send("pointermove", 1, 0.3); send("pointermove", 2, 0.7);
        send("pointerup", 1, 0.3); send("pointerup", 2, 0.7);
    }""")
    assert page.locator(".bar button", has_text="2.0 \u00d7").count() == 1


def test_colours_by_the_button(page):
    def ground():
        return page.evaluate("getComputedStyle(document.body).backgroundColor")

    before = ground()
    page.locator("#theme").click()
    assert ground() != before
    page.locator("#theme").click()
    assert ground() == before
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # nothing hangs over


def serious(page):
    """What axe-core finds, where there is one."""
    if not os.environ.get("FASTUP_AXE"):
        return []
    page.evaluate(Path(os.environ["FASTUP_AXE"]).read_text())
    found = page.evaluate("axe.run()")["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]


def test_axe_finds_nothing_serious(page):
    assert serious(page) == []


def test_pages_of_other_commands(browser, small, tmp_path):
    """Whatever names are: everything is drawn, nothing hangs over, and frames differ where there are some."""
    for path in write_pages(small, tmp_path).values():
        for width, scheme in ((1600, "dark"), (400, "light")):
            with opened(browser, path, width, scheme) as page:
                page.wait_for_timeout(300)
                assert page.evaluate("[...document.querySelectorAll('.slot')].every((slot) => slot.children.length)")
                assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
                assert page.evaluate("[...document.images].every((image) => !image.complete || image.naturalWidth)")
                if page.locator(".stage").count():
                    page.locator(".stage").focus()
                    both = pixels(page)
                    page.keyboard.press("d")
                    assert pixels(page) != both
                assert serious(page) == []


def test_print(page):
    """On white, without what is for hands; whatever is not to be cut fits on a sheet."""
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not page.locator(".bar, .strip, .contents, #theme, .crop button").filter(visible=True).count()
    sheets = page.pdf(format="A4").count(b"/Type /Page\n")
    assert 2 <= sheets <= 12
    page.set_viewport_size({"width": round(182 / 25.4 * 96), "height": 1000})  # what is inside of the margins of A4
    page.wait_for_timeout(100)
    whole = page.evaluate("""[...document.querySelectorAll(".stage, .plot, .crop, .worst button")].map((each) =>
        [getComputedStyle(each).breakInside, each.getBoundingClientRect().height])""")
    assert len(whole) > 8
    assert all(inside == "avoid" and height < (297 - 2 * 14) / 25.4 * 96 for inside, height in whole)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
