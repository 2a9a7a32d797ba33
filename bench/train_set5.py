"""What a network of at most 120K parameters reaches on Set5 x2 by `fastup train` in half an hour of two cores.

    .venv/bin/python bench/train_set5.py T91 BSD --set5 SET5 --minutes 30

T91 and BSD are folders of images, as are any others that are given; nothing of them comes with the project. Every tenth
image of BSD, the last folder, is held out for validation; Set5 is looked at once, when all is done. Inputs are made by
MATLAB's imresize; what is printed follows the papers' protocol. It leaves NAME.csv, NAME.svg and NAME.txt in
bench/results: the run's history, as a curve, and the command, settings and figures. `--keep FOLDER` keeps data and
models. It takes what `--minutes` says, making the data included, and is no part of ``make bench``. Where others use
the machine, too, `--cores 2` counts what the process takes of all processors: a minute is then two of theirs.
"""

import argparse
import ast
import contextlib
import csv
import os
import platform
import re
import shlex
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import OpenImageIO as oiio

import fastup
from fastup._resample import imresize
from fastup.header import Header
from fastup.networks import start

SCALE, LARGEST = 2, 120_000  # parameters
RESULTS, BEGUN = Path(__file__).parent / "results", time.perf_counter()
# What the papers report is of luma, so that is most of the loss.
RECIPE = {
    "model": "edsr", "features": 32, "depth": 6, "loss": "l1,psnr", "luma": 0.8, "optimizer": "muon",
    "learning_rate": 3e-3, "warmup": 500, "augment": True, "tile": 64, "border": 0, "batch": 36,
    "precision": "bfloat16", "ema": 0.9995, "epochs": 100_000,
}  # fmt: skip
# How often an image is trained on, beside as it is: a pixel off, smaller, and turned by any angle and smaller.
OFF, SMALLER, TURNED = 3, 6, 6
SHRINK, SHRINK_TURNED = (0.5, 0.95), (0.5, 0.85)  # from and to what share of its size


def images(folder):
    """Paths of the images in a folder, in order."""
    paths = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in (".png", ".bmp", ".jpg", ".tif"))
    if not paths:
        sys.exit(f"{folder}: no images")
    return paths


def read(path):
    """An image as codes of 8 bits (height, width, 3), whole cells."""
    pixels = np.round(fastup.read(path, "float32") * 255).astype(np.uint16)
    return whole(pixels[..., :3] if pixels.shape[2] >= 3 else np.repeat(pixels[..., :1], 3, axis=2))


def whole(pixels):
    """As many rows and columns as are whole cells."""
    return pixels[: pixels.shape[0] // SCALE * SCALE, : pixels.shape[1] // SCALE * SCALE]


def made(pixels, share, cell=SCALE):
    """An image by MATLAB's imresize, so much smaller, whole cells."""
    size = [int(n * share) // cell * cell for n in pixels.shape[:2]]
    return np.round(imresize(pixels / np.float32(255), size) * 255).astype(np.uint16)


def turned(pixels, angle, share):
    """The largest rectangle that an image turned by an angle, and so much smaller, fills; whole cells.

    It is resampled once, by a cubic as wide as in `made`, for edges in directions that the image does not have.
    """
    height, width = pixels.shape[:2]
    turn = share * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])  # of (x, y), as rows
    cos, sin = abs(np.cos(angle)), abs(np.sin(angle))
    short, long = sorted((height, width))
    if short <= 2 * sin * cos * long or abs(sin - cos) < 1e-9:
        sides = (short / 2 / sin, short / 2 / cos) if width >= height else (short / 2 / cos, short / 2 / sin)
    else:
        sides = (width * cos - height * sin) / (cos**2 - sin**2), (height * cos - width * sin) / (cos**2 - sin**2)
    columns, rows = (int(share * side - 2) // SCALE * SCALE for side in sides)
    if min(columns, rows) < SCALE:
        return pixels[:0, :0]
    centre = np.array([columns / 2, rows / 2]) - np.array([width / 2, height / 2]) @ turn
    matrix = (*turn[0], 0, *turn[1], 0, *centre, 1)
    image = oiio.ImageBuf(np.ascontiguousarray(pixels / np.float32(255)))
    out = oiio.ImageBufAlgo.warp(
        image, tuple(map(float, matrix)), "keys", 0.0, roi=oiio.ROI(0, columns, 0, rows, 0, 1, 0, 3), nthreads=1
    )
    if out.has_error:
        sys.exit(out.geterror())
    return np.round(np.clip(out.get_pixels(), 0, 1) * 255).astype(np.uint16)


def views(pixels, rng):
    """What is trained on of an image, by names.

    A pixel off, the grid of inputs lies elsewhere; smaller, there is more in a tile, and less of what JPEG left.
    """
    yield "as-is", pixels
    for off in range(1, OFF + 1):
        yield f"off-{off}", whole(pixels[off // 2 :, off % 2 :])
    for number in range(SMALLER):
        yield f"smaller-{number}", made(pixels, rng.uniform(*SHRINK))
    for number in range(TURNED):
        yield f"turned-{number}", turned(pixels, rng.uniform(0, np.pi / 2), rng.uniform(*SHRINK_TURNED))


def write(folder, name, pixels, inputs=True):
    """An image as a pair of DPX, or as a target alone."""
    sides = {"Alpha": made(pixels, 1 / SCALE, 1), "Beta": pixels.astype(np.uint16)}
    for side, frame in [*sides.items()][0 if inputs else 1 :]:
        (folder / side).mkdir(parents=True, exist_ok=True)
        header = Header.new(frame.shape[1], frame.shape[0], bits=8)
        fastup.write(folder / side / f"{name}.dpx", frame, header=header, fsync=False)


def write_data(data, folders, set5):
    """Sets to train on, validate on and look at in the end."""
    held = images(folders[-1])[::10]
    for number, folder in enumerate(folders):
        for place, path in enumerate(images(folder)):
            pixels = read(path)
            if path in held:
                write(data / "validation", path.stem, pixels)
                continue
            for name, view in views(pixels, np.random.default_rng([0, number, place])):
                if min(view.shape[:2]) >= RECIPE["tile"]:
                    write(data / "train", f"{number}-{path.stem}-{name}", view)
    for path in images(set5):
        write(data / "set5", path.stem, read(path), inputs=False)


def curve(rows, title, path):
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(6, 3.4), layout="constrained")
    axes = sheet.add_subplot()
    validated = [row for row in rows if row["psnr"] is not None]
    axes.plot([row["minutes"] for row in validated], [row["psnr"] for row in validated], linewidth=1.2)
    axes.axhline(rows[0]["psnr_bicubic"], linestyle=":", linewidth=1)
    axes.set(xlabel="minutes", ylabel="dB, RGB, held-out BSD", title=title)
    axes.grid(alpha=0.3)
    sheet.savefig(path)


def scored(network, folder):
    """Set5 by the papers' protocol: each, the mean, that of its self-ensemble; in float32 whatever was trained in."""
    from fastup.networks.models import Network
    from fastup.upscale.evaluate import evaluate, mean
    from fastup.upscale.upscaler import Upscaler

    plain = Network(network.settings)
    plain.set_weights(network.get_weights())
    scores = evaluate(plain, folder, protocol="papers")
    ensemble = evaluate(Upscaler(plain, self_ensemble=True), folder, protocol="papers")
    return scores, mean(scores, "papers"), mean(ensemble, "papers")


def processor():
    """Its name, where Linux says."""
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def clock(cores):
    """Seconds since the process began: by the wall's clock or, where `cores` is given, that many's time, all busy."""
    return time.process_time() / cores if cores else time.perf_counter() - BEGUN


def report(command, run, cores, took, scores, score, ensemble):
    """What is known of a run, as lines; `took` is the seconds by the wall and of processors."""
    import keras

    from fastup.networks.memory import on_gpu

    state = run.state
    yield command
    device = "a graphics card" if on_gpu() else f"{processor()}, {len(os.sched_getaffinity(0))} cores"
    yield f"{device}; keras {keras.__version__}, {keras.backend.backend()}"
    yield ", ".join(f"{name} {value}" for name, value in RECIPE.items() if name != "epochs")
    yield (
        f"{run.network.folded().count_params():,} parameters, {state['steps']:,} steps; best epoch "
        f"{state['best_epoch']} of {state['epoch']}, {state['best_psnr']:.2f} dB RGB held out"
    )
    wall, processors = (seconds / 60 for seconds in took)
    yield (
        f"{wall:.1f} minutes by the wall, {processors:.1f} of processors; data, compilation and validation included"
        + (f"; the run's clock was {cores} processors'" if cores else "")
    )
    for each in (*scores, score):
        yield (
            f"{each.frame:16} {each.psnr_y:.2f} dB {each.ssim_y:.4f}, "
            f"bicubic {each.psnr_y_bicubic:.2f} dB {each.ssim_y_bicubic:.4f}"
        )
    yield f"self-ensemble    {ensemble.psnr_y:.2f} dB {ensemble.ssim_y:.4f}, as `fastup upscale --self-ensemble`"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", help="of images to train on; every tenth of the last is held out")
    parser.add_argument("--set5", required=True)
    parser.add_argument("--minutes", type=float, default=30.0, help="for all but Set5")
    parser.add_argument("--cores", type=int, help="count minutes of so many processors, instead of the wall's clock")
    parser.add_argument("--name", help="of what is left in bench/results; nothing is without")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other settings, such as batch=32")
    asked = parser.parse_args()
    for each in asked.set:
        name, value = each.split("=")
        with contextlib.suppress(ValueError, SyntaxError):  # else it is a word
            value = ast.literal_eval(value)
        RECIPE[name] = value
    start()
    from fastup.train import fit as train
    from fastup.train.config import Config
    from fastup.train.prepare import prepare
    from fastup.upscale.model import load

    data = asked.keep or Path(tempfile.mkdtemp())
    try:
        if not (data / "set5").is_dir():
            write_data(data, [Path(each) for each in asked.folders], asked.set5)
        train.time = SimpleNamespace(perf_counter=lambda: clock(asked.cores))  # the clock that a run goes by
        minutes = asked.minutes - clock(asked.cores) / 60
        if minutes <= 0:
            sys.exit(f"the data took all of {asked.minutes:g} minutes, expected more")
        run = prepare(data, Config(minutes=minutes, **RECIPE))
        parameters = run.network.folded().count_params()
        print(f"{len(run.pairs)} images, {run.tiles:,} tiles, {run.steps:,} steps an epoch; {parameters:,} parameters")
        if parameters > LARGEST:
            sys.exit(f"{parameters:,} parameters, expected at most {LARGEST:,}")
        rows = []

        def on_epoch(row):
            rows.append({"minutes": round(clock(asked.cores) / 60, 3), **row})
            speed = f", {row['tiles_per_second']:.0f} tiles/s" if row["epoch"] else ""
            psnr = "not validated" if row["psnr"] is None else f"{row['psnr']:.3f} dB"
            print(f"{rows[-1]['minutes']:5.1f} min, epoch {row['epoch']}: {psnr}{speed}", flush=True)

        train.fit(run, on_epoch=on_epoch)
        took = clock(None), clock(1)
        scores, score, ensemble = scored(load(run.folder / "best.keras", compile=False), data / "set5")
        lines = list(report(shlex.join(["python", *sys.argv]), run, asked.cores, took, scores, score, ensemble))
        print("\n".join(lines))
        if asked.name:
            RESULTS.mkdir(exist_ok=True)
            (RESULTS / f"{asked.name}.txt").write_text("\n".join(lines) + "\n")
            columns = "minutes", "epoch", "steps", "loss", "psnr", "psnr_bicubic", "learning_rate", "tiles_per_second"
            with open(RESULTS / f"{asked.name}.csv", "w", newline="") as file:
                writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
                writer.writeheader()
                for row in rows:
                    writer.writerow({name: f"{n:.6g}" if isinstance(n, float) else n for name, n in row.items()})
            curve(rows, f"{parameters:,} parameters: Set5 x2 {score.psnr_y:.2f} dB", RESULTS / f"{asked.name}.svg")
    finally:
        if not asked.keep:
            shutil.rmtree(data)


if __name__ == "__main__":
    main()
