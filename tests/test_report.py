"""Pages: what is in them is what was found, names are text, nothing comes from elsewhere, and they are small enough."""

import io
import json
import re
import sys
from base64 import b64encode
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from reports import EVIL, FRAME, Parsed, is_text, write_page
from test_cli import fails

import fastup
from fastup.cli.upscale import names_of
from fastup.footage.convert import shown
from fastup.pairs.clips import clips
from fastup.pairs.folder import find_pairs
from fastup.report import evaluate, looking, page, pictures
from fastup.upscale.evaluate import Score, compare, mean, prepare, score_all
from fastup.upscale.evaluate import evaluate as score
from fastup.upscale.upscaler import Upscaler


@pytest.fixture(scope="session")
def folder(small, shared):
    return shared("page", lambda folder: write_page(small, folder))


@pytest.fixture(scope="module")
def html(folder):
    return (folder / "page.html").read_text("utf-8")


@pytest.fixture(scope="module")
def parsed(html):
    return Parsed(html)


@pytest.fixture(scope="module")
def upscaler():
    return Upscaler("cel-sd")


def test_names_of_models_and_frames_are_text(folder, html, parsed):
    """Whatever is in them: no tag comes of one, and what is read is what was written."""
    assert html.startswith("<!doctype html>")
    is_text(html)
    assert html.count("alert(1)") > 10
    assert f"cel and {EVIL} on {folder.name}/evaluation" in parsed.texts
    assert FRAME in parsed.section("series")["names"]
    assert [each["label"] for each in parsed.section("viewer")["versions"]] == [
        "input",
        "bicubic",
        "cel",
        EVIL,
        "target",
    ]


def test_nothing_comes_from_elsewhere(html, parsed):
    """No address but of things in it, and a policy that allows its own style and script alone."""
    assert set(re.findall(r"\w+://[^\s\"'`]+", html)) == {"http://www.w3.org/2000/svg"}  # a name, which nobody asks
    for _, attributes in parsed.tags:
        for name in ("src", "href", "action", "srcset"):
            assert attributes.get(name, "#").startswith(("#", "data:,"))
    policy = next(each["content"] for tag, each in parsed.tags if tag == "meta" and "http-equiv" in each)
    digests = [
        b64encode(sha256("".join(parts).encode()).digest()).decode() for _, own, parts in parsed.scripts if not own
    ]
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'"
    )
    assert not re.search(r"url\(|@import|\bstyle=|\bon[a-z]+=\"", html.replace(FRAME, ""))


def test_data_are_the_scores(folder, parsed, upscaler):
    scores = score(upscaler, folder)
    found = parsed.section("series")
    assert found["names"] == [each.frame for each in scores]
    assert found["shots"] == [list(shot) for shot in clips(find_pairs(folder / "evaluation")).shots]
    labels = ["PSNR", "Y PSNR", "Y SSIM", "Lines", "Flats", "Halos"]
    assert [each["label"] for each in found["figures"]][:6] == labels
    for figure, name in zip(
        found["figures"], ("psnr", "psnr_y", "ssim_y", "psnr_lines", "psnr_flats", "halo"), strict=False
    ):
        bicubic, ours, gain, *others = figure["columns"]
        ours_, theirs = (
            [getattr(each, f"{name}{end}") for each in [*scores, mean(scores)]] for end in ("", "_bicubic")
        )
        sign = -1 if name == "halo" else 1  # of which less is better
        for column, values in ((bicubic, theirs), (ours, ours_), (gain, sign * np.subtract(ours_, theirs))):
            assert [*column["values"], column["mean"]] == pytest.approx(list(values), abs=1e-4)
        assert others == [dict(ours, label=EVIL), dict(gain, label=f"{EVIL}, gain")]
    text = " ".join(parsed.texts)
    best = mean(scores).psnr - mean(scores).psnr_bicubic
    assert (
        f"On 3 of 3 frames cel is nearer to the target than bicubic; over all of them by +{best:.2f} dB of PSNR."
        in text
    )
    worst = parsed.section("viewer")["worst"][0]["frames"]
    assert [each["frame"] for each in worst] == sorted(range(3), key=lambda n: scores[n].psnr - scores[n].psnr_bicubic)


def test_pictures_are_what_was_compared(folder, parsed, upscaler):
    """Parts exactly, whole ones nearly; and parts lie where the squared error is most below bicubic's."""
    view = parsed.section("viewer")
    found = list(compare(upscaler, find_pairs(folder / "evaluation")))
    for frame, (path, ours, bicubic, target) in zip(view["frames"], found, strict=True):
        versions = {
            "input": fastup.read(path) / 1023,
            "bicubic": bicubic,
            "model0": ours,
            "model1": ours,
            "target": target,
        }
        stored = parsed.pictures(frame["pictures"])
        assert list(stored) == list(versions)
        for key, picture in versions.items():
            decoded = np.asarray(Image.open(io.BytesIO(stored[key])))
            assert np.abs(decoded - picture * 255).mean() < (4.5 if key == "input" else 3)
        assert frame["places"][0]["label"].startswith("cel gains most here, +")
        assert list(parsed.pictures(view["thumbs"])) == ["0", "1", "2"]
    crops = parsed.section("gallery")
    titles = [group["title"] for group in crops["groups"] if " gains " in group["title"]]
    assert titles == ["Where cel gains most", f"Where {EVIL} gains most"]
    for item in crops["groups"][0]["items"]:
        _, ours, bicubic, target = found[item["row"]]
        x, y, w, h = np.rint(np.array(item["window"]) * (360, 270, 360, 270)).astype(int)
        stored = parsed.pictures(item["pictures"])
        for key, picture in (("bicubic", bicubic), ("model0", ours), ("target", target)):
            codes = np.asarray(Image.open(io.BytesIO(stored[key])).convert("RGB"))
            np.testing.assert_array_equal(codes, np.floor(picture[y : y + h, x : x + w] * 255.0 + 0.5))
        less = ((bicubic - target) ** 2 - (ours - target) ** 2).mean(2)
        sums = {(a, b): less[a : a + h, b : b + w].sum() for a in range(0, 271 - h, h) for b in range(0, 361 - w, w)}
        assert max(sums, key=sums.get) == (y, x)


def test_there_is_a_largest_page(folder, upscaler, monkeypatch, tmp_path):
    """Of what there is no room for, the least interesting goes first; of all frames a small picture comes first."""
    what = prepare([upscaler], folder)
    looked = looking.Looking(None, 1)
    scores = score_all(what, look=looked.look, keep=looked.keep)
    found = evaluate.Evaluated(what, ["cel"], scores, looked, "", False)
    all_of_it = page.write(tmp_path / "a.html", evaluate.made_of(found))
    order = list(looked.order())
    gains = [each.psnr - each.psnr_bicubic for each in scores[0]]
    assert order[0] == np.argmin(gains)
    seen = set()
    for limit in np.linspace(0.3, 1.02, 13) * all_of_it:
        monkeypatch.setattr(evaluate, "LIMIT", int(limit))
        size = page.write(tmp_path / "b.html", evaluate.made_of(found))
        frames = Parsed((tmp_path / "b.html").read_text()).section("viewer")["frames"]
        kinds = [
            "-" if each["pictures"] is None else "s" if "half the size" in each["words"] else "l" for each in frames
        ]
        kinds = "".join(kinds[number] for number in order)
        assert re.fullmatch("l*s*-*", kinds)
        if kinds != "---":
            assert size <= limit
        seen.add(kinds)
    assert {"---", "lll"} < seen
    assert any("s" in kinds for kinds in seen)


def test_what_is_held_of_many_frames_has_an_end(folder, upscaler, monkeypatch):
    monkeypatch.setattr(looking, "HELD", 60_000)
    what = prepare([upscaler], folder)
    looked = looking.Looking(None, 1)
    score_all(what, look=looked.look, keep=looked.keep)
    assert sum(each.size for each in looked.seen.values()) < 3 * 60_000
    assert not all(each.large for each in looked.seen.values())
    assert Parsed(
        page.render(
            evaluate.made_of(evaluate.Evaluated(what, ["cel"], [[*score(upscaler, folder)]], looked, "", False))
        )
    )


@settings(max_examples=25)
@given(st.text())
def test_any_text_stays_what_it_is(text):
    data = str(page.as_json({"text": text}))
    assert json.loads(data) == {"text": text}
    assert not set("<>&\u2028\u2029") & set(data)
    made = page.Page("test", "title", [text], sections=[page.facts("f", [[text, text]])])
    parsed = Parsed(page.render(made))
    assert parsed.texts.count(text) >= 3 or not text
    assert parsed.data["sections"][0]["rows"] == [[text, text]]


def test_a_screen_shows_what_convert_makes(run, tmp_path):
    """A PNG of 8 bits: in sRGB of what is log or linear, by the same codes of all else."""
    codes = np.arange(1024, dtype=np.uint16).reshape(32, 32, 1).repeat(3, axis=2)
    to, same = ["--to", "srgb"], "code values as they are"
    for transfer, options, words in (
        (3, to, "from Cineon log"), (2, to, "from linear light"), (6, [], same), (None, [], same),
    ):  # fmt: skip
        path = tmp_path / "f.dpx"
        fastup.write(path, codes, fastup.Header.new(32, 32, transfer=transfer))
        assert run("convert", path, tmp_path / "f.png", "--bits", 8, "--overwrite", *options)[0] == 0
        table, said = shown(path, fastup.read_header(path))
        assert said.startswith(words)
        np.testing.assert_array_equal(table[codes], np.asarray(Image.open(tmp_path / "f.png")))
        np.testing.assert_array_equal(pictures.eight(np.float32(codes / 1023), table), table[codes])


def test_the_command(run, small, tmp_path):
    path = tmp_path / "new" / "page.html"
    code, out, err = run("evaluate", "cel-sd", small, "--model", "cel-sd", "--html", path)
    assert (code, err) == (0, "")
    assert f"page: {path}, 0." in out
    assert [line for line in out.splitlines() if line.startswith("cel-sd")] == ["cel-sd", "cel-sd #2"]
    assert Parsed(path.read_text()).data["title"] == f"cel-sd and cel-sd #2 on {small.name}/evaluation"
    code, out, _ = run("evaluate", "cel-sd", small, "--model", "cel-sd", "--json")
    rows = json.loads(out)
    assert rows["cel-sd"] == rows["cel-sd #2"] == json.loads(run("evaluate", "cel-sd", small, "--json")[1])


def test_pages_that_cannot_be_written(run, small, tmp_path, monkeypatch):
    fails(
        run("evaluate", "cel-sd", small, "--html", tmp_path / "page.pdf"),
        2,
        "page.pdf, expected a name that ends in .html",
    )
    (tmp_path / "file").touch()
    code, _, err = run("evaluate", "cel-sd", small, "--html", tmp_path / "file" / "page.html")
    assert (code, len(err.splitlines())) == (1, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    monkeypatch.delitem(sys.modules, "fastup.report.page")
    monkeypatch.setitem(sys.modules, "jinja2", None)
    fails(run("evaluate", "cel-sd", small, "--html", "page.html"), 1, "needs: pip install 'fastup[report]'")


def test_names_of_models():
    files = [
        "/a/models/one/best.keras",
        "/a/models/one/last.keras",
        "/b/models/one/best.onnx",
        "cel.onnx",
        "/x/cel.onnx",
    ]
    assert names_of(files) == ["one", "one (last)", "one #2", "cel", "cel #2"]


def test_words_of_worse_frames_and_of_one_colour():
    def scored(name, ours, flat=False):
        return Score(name, ours, 30.0, ours, 30.0, 0.9, 0.9, flat=flat)

    scores = [scored("a", 31), scored("b", 29), scored("c", 30), scored("black", 62, True)]
    what = type("What", (), {"protocol": "restoration"})
    found = evaluate.Evaluated(what, ["one"], [scores], None, "", False)
    assert evaluate._lead(found, [mean(scores)]) == [
        "On 1 of 3 frames one is nearer to the target than bicubic; over all of them by \u22120.08 dB of PSNR. It is "
        "no better on b (\u22121.00 dB), c (+0.00 dB).",
        "1 frame is of one colour and counts in no mean.",
    ]


def test_a_training_in_words_and_where_settings_came_from(trained, small):
    upscaler = Upscaler(trained / "best.onnx")
    curves, table = evaluate._run("compact", upscaler.model.name, upscaler)
    state = json.loads((trained / "state.json").read_text())
    assert [len(curve["points"]) for curve in curves["plots"][0]["curves"]] == [3, 3]
    assert curves["plots"][0]["curves"][0]["points"][2][0] == state["steps"]
    assert curves["words"].startswith(f"2 epochs, {state['steps']} steps, ")
    assert "were spent waiting for data. The best was epoch 2: " in curves["words"]
    rows = {name: rest for name, *rest in [*table["rows"], *table["more"]]}
    assert rows["learning-rate"] == ["0.0003", "given, or the model's own"]
    assert (rows["epochs"], rows["quality"]) == (["2", "given"], ["1", "default"])
    assert rows["scale"] == ["9/4 x 2 (vertical, horizontal)", "the frames"]
    upscaler.settings["origins"] = {"epochs": "command line"}
    assert ["epochs", "2", "command line"] in evaluate._run("compact", "", upscaler)[-1]["rows"]
