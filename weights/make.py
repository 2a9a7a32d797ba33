"""Trains the weights in the box, `fastup/weights`: `make weights`, or python weights/make.py FOLDER.

Pictures of many styles are drawn by `styles.py`, on as many processes as there are cores. `compact` is trained on them
through SD tape of all strengths, from none on, each scale in a process of its own. What is best on pictures of other
seeds is written to `--out`, as .keras and .onnx. The same command carries on where it was interrupted. Any backend of
Keras will do: KERAS_BACKEND=jax where there is a card, with which it takes minutes; on two cores it takes hours.

With `--begin` weights that are there are tuned, by the PSNR of tiles, in minutes of two cores; the last are written.
Those in the box were tuned so. What they began with, 4.1 minutes of a card made of 600 pictures, of which none faded,
with chroma as the product of two even numbers, as a band is seldom as narrow as VHS has it:

    python weights/make.py build/tuned --begin EARLIER --epochs 5 --frames 64 --validation 8
"""

import argparse
import json
import os
import subprocess
import sys
import zipfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "weights")]

SCALES = {"cel-sd": "9/4,2", "cel-2x": "2"}
SIZES = {"train": (720, 960), "validation": (360, 480)}  # of pictures: whole cells at both scales
# Strengths that are evenly in their ranges would hardly ever be nothing, as they are of clean pictures.
TAPE = "softness=0:1@0.12,peaking=0:0.5@0.12,noise=0:0.02@0.12,chroma=0:4.5@0.12,clean=0.15"
SETTINGS = {
    "model": "compact", "tile": 144, "border": 0, "batch": 16, "quality": 0.8, "augment": True, "optimizer": "muon",
    "learning_rate": 4e-3, "warmup": 200, "ema": 0.999, "degrade": TAPE, "epochs": 10000,
}  # fmt: skip
# Of a run that begins with weights. Of a picture that has faded to a tenth, a squared error counts a hundredth of what
# it does of others, so that nothing is learned of it; the logarithm of that counts as much of either.
TUNING = {"loss": "psnr", "learning_rate": 1.5e-3, "batch": 8, "warmup": 30, "ema": 0.995}
MOST = 300_000  # bytes of a file


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for pictures and runs, 2.7 MB a picture")
    parser.add_argument("--frames", type=int, default=600, help="to train on")
    parser.add_argument("--validation", type=int, default=24, help="pictures to choose the best by")
    parser.add_argument("--minutes", type=float, default=180, help="of training, each scale")
    parser.add_argument("--epochs", type=int, help="passes over the pictures, instead of minutes")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="that draw")
    parser.add_argument("--threads", type=int, default=4, help="that read tiles, each scale")
    parser.add_argument("--seed", type=int, default=0, help="of pictures and weights")
    parser.add_argument("--out", type=Path, default=ROOT / "fastup" / "weights")
    parser.add_argument("--begin", type=Path, help="folder of .keras files of the same names, to be tuned")
    parser.add_argument("--only", choices=SCALES, help="train this one, on pictures that are there")
    parser.add_argument("--write", action="store_true", help="write the best of runs that are there, train nothing")
    given = parser.parse_args()
    if given.write:
        for name in SCALES:
            write(given.folder / "models" / name / made(given), given.out / name)
        return
    if given.only:
        train(given, given.only)
        return
    draw(given)
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # as two share a card
    runs = [subprocess.Popen([sys.executable, *sys.argv, "--only", name]) for name in SCALES]
    if codes := [run.wait() for run in runs if run.wait()]:
        sys.exit(codes[0])


def draw(given):
    """Draw the pictures that are not there yet."""
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # of each process
    counts = {"train": given.frames, "validation": given.validation}
    todo = []
    for purpose, (name, count) in enumerate(counts.items()):
        (given.folder / name / "Beta").mkdir(parents=True, exist_ok=True)
        places = [(given.folder / name / "Beta" / f"{n:05d}.dpx", (purpose, given.seed, n)) for n in range(count)]
        todo += [(path, seed) for path, seed in places if not path.exists()]
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        for done, _ in enumerate(pool.map(draw_one, *zip(*todo, strict=True)) if todo else (), 1):
            if done % 50 == 0 or done == len(todo):
                print(f"{done} of {len(todo)} pictures drawn", flush=True)


def draw_one(path, seed):
    from styles import picture

    from fastup import frames

    frames.write(path, picture(seed, SIZES[path.parts[-3]]))


def train(given, name):
    """Train one model, and write what came of it."""
    from fastup.networks import start

    start()  # before Keras
    from fastup.train.config import Config
    from fastup.train.fit import fit
    from fastup.train.prepare import prepare
    from fastup.train.run import has_onnx

    settings = SETTINGS | (TUNING if given.begin else {}) | {"scale": SCALES[name], "seed": given.seed}
    settings |= {"threads": given.threads} | ({"epochs": given.epochs} if given.epochs else {"minutes": given.minutes})
    begin = given.begin and given.begin / f"{name}.keras"
    run = prepare(given.folder, Config(**settings), name, begin=begin)

    def tell(row):
        found = "not validated" if row["psnr"] is None else f"{row['psnr']:.3f} dB, bicubic {row['psnr_bicubic']:.3f}"
        speed = f"{row['tiles_per_second'] or 0:.0f} tiles/s, {row['waiting'] or 0:.0%} waiting"
        print(f"{name}: epoch {row['epoch']}, {found}; {speed}; {row['seconds']:.0f} s", flush=True)

    fit(run, on_epoch=tell)
    if has_onnx():
        write(run.folder / made(given), given.out / name)
    else:
        print(f"onnx is not installed: --write where it is, with {run.folder / made(given)} there", flush=True)


def made(given):
    """The file of a run that is written; of tuning the last, whose rate has fallen to 0."""
    return "last.keras" if given.begin else "best.keras"


def write(best, out):
    """Write a run's model as OUT.keras and OUT.onnx, without what is of this machine and of training alone."""
    from fastup._whole import whole
    from fastup.upscale.export import graph
    from fastup.upscale.model import load

    network = load(best, compile=False)
    trained = {key: network.settings["trained"][key] for key in ("epoch", "steps", "best_psnr")}
    network.settings.update(training=None, validation=None, trained=trained)
    out.parent.mkdir(parents=True, exist_ok=True)
    with whole(out.with_suffix(".onnx")) as part:
        part.write_bytes(graph(network))
    with whole(out.with_suffix(".keras")) as part:
        kept = part.with_suffix(".kept.keras")
        network.save(kept)
        with zipfile.ZipFile(kept) as given, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as packed:
            for entry in given.infolist():
                data = given.read(entry)
                if entry.filename == "metadata.json":  # has the date
                    data = json.dumps(json.loads(data) | {"date_saved": ""}).encode()
                packed.writestr(zipfile.ZipInfo(entry.filename), data, zipfile.ZIP_DEFLATED)
        kept.unlink()
    for path in (out.with_suffix(suffix) for suffix in (".onnx", ".keras")):
        print(f"{path}: {path.stat().st_size:,} bytes", flush=True)
        assert path.stat().st_size < MOST, "too large for the box"


if __name__ == "__main__":
    main()
