"""The pictures of the documents, from the demo's clip: ``.venv/bin/python docs/pictures.py`` writes docs/pictures/.

``--report`` makes those of a page of `fastup evaluate` alone. They are taken in Chromium, by Playwright, which is
installed by hand: ``pip install playwright``.
"""

import io
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

import fastup
from fastup import demo
from fastup._resample import resize
from fastup.footage import dehalo, halo, telecine
from fastup.footage.convert import decode, encode
from fastup.footage.degrade import degrade

HERE = Path(__file__).parent / "pictures"


def beside(*pictures, gap=12):
    """Pictures in a row on white."""
    height = max(len(picture) for picture in pictures)
    parts = []
    for picture in pictures:
        parts += [np.pad(picture, ((0, height - len(picture)), (0, gap), (0, 0)), constant_values=1)]
    return np.concatenate(parts, axis=1)[:, :-gap]


def below(*rows, gap=12):
    """Rows below one another on white."""
    width = max(row.shape[1] for row in rows)
    rows = [np.pad(row, ((0, gap), (0, width - row.shape[1]), (0, 0)), constant_values=1) for row in rows]
    return np.concatenate(rows)[:-gap]


def save(name, picture):
    fastup.write(HERE / name, np.ascontiguousarray(picture, np.float32))
    print(HERE / name, picture.shape[1::-1])


def pulled_down():
    """Two shots of the demo's clip on twos, with grain, as five frames of video for four of film; one edit between."""
    rng = np.random.default_rng(0)
    drawings = list(demo.clip(seed=3, shots=2, frames=48, size=(480, 640)))[::2]
    film = [drawing + 0.006 * rng.standard_normal(drawing.shape, np.float32) for drawing in drawings for _ in range(2)]
    video = []
    for n in range(0, len(film), 4):
        for top, bottom in ((0, 0), (1, 1), (1, 2), (2, 3), (3, 3)):
            frame = film[n + top].copy()
            frame[1::2] = film[n + bottom][1::2]
            video.append(frame)
    del video[71:73]
    return video


def draw_detelecine():
    header = fastup.Header.new(640, 480, frame_rate=30000 / 1001)
    with tempfile.TemporaryDirectory() as folder:
        tape, film = Path(folder) / "tape", Path(folder) / "film"
        tape.mkdir()
        for n, frame in enumerate(pulled_down()):
            fastup.write(tape / f"{n:04d}.dpx", frame, header)
        report = telecine.detelecine(tape, film)
        shutil.copy(film / "telecine" / "tape.png", HERE / "cadence.png")
        first = report["phases"].index("0", 20)
        start = next(n for n, (top, _, _) in enumerate(report["woven"]) if top == first)
        five = [fastup.read(path, "float32") for path in fastup.find(tape)[first : first + 5]]
        four = [fastup.read(path, "float32") for path in fastup.find(film)[start : start + 4]]
    crop = _busiest(np.abs(five[2] - five[4]).sum(2), (150, 200))
    save("detelecine.jpg", below(beside(*(frame[crop] for frame in five)), beside(*(frame[crop] for frame in four))))


def _busiest(motion, size):
    """The window with the most going on."""
    sums = np.lib.stride_tricks.sliding_window_view(
        np.pad(motion, ((1, 0), (1, 0))).cumsum(0).cumsum(1), np.add(size, 1)
    )
    total = sums[..., -1, -1] - sums[..., 0, -1] - sums[..., -1, 0] + sums[..., 0, 0]
    y, x = np.unravel_index(total.argmax(), total.shape)
    return np.s_[y : y + size[0], x : x + size[1]]


def draw_dehalo():
    """A drawing as a transfer peaks it, with an echo, and with the kernel that is found in six drawings undone."""
    clean = [resize(next(demo.clip(seed=seed, shots=1, frames=1)), (480, 720), "area") for seed in range(6)]
    taps = halo.Halo(0.8, 1.6, 0.1, 5.0).taps
    reach, rng = len(taps) // 2, np.random.default_rng(0)
    frames = []
    for frame in clean:
        padded = np.pad(frame, ((0, 0), (reach, reach), (0, 0)), mode="edge")
        peaked = sum(tap * padded[:, k : k + 720] for k, tap in enumerate(taps[::-1]))
        frames.append(np.clip(peaked + 0.004 * rng.standard_normal(peaked.shape), 0, 1).astype(np.float32))
    found = halo.estimate(frames)
    dehalo.plot(HERE / "kernel.png", found)
    after = dehalo.dehalo(frames[0], found.taps, protect=2 * found.noise)
    crop = np.s_[190:310, 250:430]
    save("dehalo.jpg", beside(*(picture[crop].repeat(3, axis=0).repeat(3, axis=1) for picture in (frames[0], after))))


def draw_degrade(frame):
    plain = degrade(frame, filter="lanczos", softness=0, peaking=0, noise=0)
    tape = degrade(frame, filter="lanczos", softness=0.6, peaking=0.5, noise=0.015, chroma=4.5)
    whole = [
        frame,
        *(twin.repeat(9, axis=0)[::4].repeat(2, axis=1) for twin in (plain, tape)),
    ]  # at the HD frame's size
    save("degrade.jpg", beside(*(picture[480:840, 520:880] for picture in whole)))


def draw_convert(frame):
    small = resize(frame, (270, 360))
    log = encode(decode(small.astype(np.float64), "srgb"), "log")
    save("convert.jpg", beside(log, encode(decode(log, "log"), "srgb")))


def draw_report():
    """A page of `cel-sd` on the demo's frames: its viewer, its figures in dark colours, and the crop of the README."""
    from PIL import Image
    from playwright.sync_api import sync_playwright

    from fastup.report import evaluate
    from fastup.upscale.evaluate import prepare

    def keep(name, shot):
        Image.open(io.BytesIO(shot)).convert("RGB").save(HERE / name, quality=82, method=6)
        print(HERE / name, (HERE / name).stat().st_size)

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as own:
        data = Path(folder) / "film"
        for side in ("Alpha", "Beta"):
            (data / side).mkdir(parents=True)
        for n, frame in enumerate(demo.clip(seed=0, shots=3, frames=4)):
            fastup.write(data / "Beta" / f"film_{n:04d}.dpx", frame)
            fastup.write(data / "Alpha" / f"film_{n:04d}.dpx", degrade(frame, (480, 720), seed=n))
        page = Path(folder) / "page.html"
        evaluate.write(page, prepare(["cel-sd"], data), ["cel-sd"])
        browser = own.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            seen = browser.new_page(viewport={"width": 1200, "height": 900}, color_scheme=scheme)
            seen.goto(page.as_uri())
            seen.wait_for_function("document.querySelector('canvas').width > 300")
            seen.evaluate("document.querySelector('.contents').remove()")
            if scheme == "dark":
                seen.wait_for_timeout(500)
                keep("report-figures.webp", seen.locator("section.series").screenshot())
                continue
            view, stage = seen.locator(".frame-view"), seen.locator(".stage")
            stage.scroll_into_view_if_needed()
            seen.wait_for_timeout(1000)
            keep("report.webp", view.screenshot())
            seen.locator(".bar .end select").select_option("5")  # by day
            box = stage.bounding_box()
            seen.mouse.move(box["x"] + box["width"] * 0.44, box["y"] + box["height"] * 0.22)
            seen.mouse.wheel(0, -430)
            seen.wait_for_timeout(800)
            box["height"] *= 0.62
            keep("readme.webp", seen.screenshot(clip=box))
        browser.close()


if __name__ == "__main__":
    HERE.mkdir(exist_ok=True)
    draw_report()
    if "--report" in sys.argv:
        sys.exit()
    *_, still = demo.clip(seed=0, shots=1, frames=9)
    draw_detelecine()
    draw_dehalo()
    draw_degrade(still)
    draw_convert(still)
