"""The page of an evaluation of 100 frames of 1440x1080 by two models: how long it takes to write, to open and to drag.

By name, as it takes minutes: ``python bench/report_100.py``. Frames are drawn; the models are cel, and a tiny one that
is not trained. Seconds are of the wall and of the processors; the second is what a busy machine leaves alone. With
Playwright and Chromium the page is opened, and its divider dragged from side to side.
"""

import argparse
import resource
import shutil
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from fastup import demo, frames
from fastup.footage.degrade import degrade

SHOTS = 5


def draw(folder: Path, count: int) -> None:
    """`count` pairs in evaluation/, of five shots."""
    for side in ("Alpha", "Beta"):
        (folder / "evaluation" / side).mkdir(parents=True)
    each = -(-count // SHOTS)
    for number, frame in enumerate(demo.clip(0, SHOTS, each)):
        if number < count:
            name = f"film_{number:04d}.dpx"
            frames.write(folder / "evaluation" / "Beta" / name, frame)
            frames.write(folder / "evaluation" / "Alpha" / name, degrade(frame, (480, 720), seed=number))


def tiny(folder: Path) -> Path:
    """A network of four features, not trained."""
    from fastup.networks.models import Network

    network = Network({
        "model": "espcn", "scale": [[9, 4], [2, 1]], "residual": True, "border": [0, 0], "trim": [0] * 4,
        "input_trim": [0] * 4, "black_level": "edge", "input_white": 1023, "target_white": 1023,
        "pixel_aspect": [1, 1], "transfer": None, "colorimetric": None, "levels": {}, "trained": {},
    })  # fmt: skip
    network.save(folder / "tiny.keras")
    from fastup.upscale.export import export

    return export(folder / "tiny.keras", folder / "tiny.onnx").path


def browse(page: Path) -> None:
    """Open it, and drag."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        print("not opened: Playwright is not installed")
        return
    with sync_playwright() as own:
        browser = own.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        seen = browser.new_page(viewport={"width": 1600, "height": 1000})
        began = time.perf_counter()
        seen.goto(page.as_uri())
        seen.wait_for_function("document.querySelector('canvas').width > 300")
        print(f"opened in {time.perf_counter() - began:.2f} s")
        seen.locator(".stage").scroll_into_view_if_needed()
        seen.wait_for_timeout(1500)
        seen.evaluate("""() => {
            window.times = [];
            const note = (now) => { window.times.push(now); requestAnimationFrame(note); };
            requestAnimationFrame(note);
        }""")
        box = seen.locator(".stage").bounding_box()
        middle = box["y"] + box["height"] / 2
        seen.mouse.move(box["x"] + box["width"] / 2, middle)
        seen.mouse.down()
        for share in (0.9, 0.1, 0.9, 0.5):
            seen.mouse.move(box["x"] + box["width"] * share, middle, steps=40)
        seen.mouse.up()
        times = seen.evaluate("window.times")
        gaps = sorted(b - a for a, b in pairwise(times))
        print(
            f"drag: {len(gaps)} frames, median {gaps[len(gaps) // 2]:.1f} ms, 95 % {gaps[int(len(gaps) * 0.95)]:.1f} ms"
        )
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=100)
    parser.add_argument("--page", type=Path, help="where it is kept")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        draw(data, given.frames)
        other = tiny(data)
        page = given.page or data / "page.html"
        from fastup import cli

        sys.argv = ["fastup", "evaluate", "cel", str(data), "--model", str(other), "--html", str(page), "--json"]
        began, busy = time.perf_counter(), _busy()
        try:
            with open(data / "scores.json", "w") as sys.stdout:
                cli.main()
        except SystemExit as end:
            sys.stdout = sys.__stdout__
            if end.code:
                raise
        print(
            f"{given.frames} frames, two models: {time.perf_counter() - began:.1f} s, {_busy() - busy:.1f} s of the "
            f"processors, {page.stat().st_size / 1e6:.1f} MB"
        )
        browse(page)


def _busy():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
