"""Whether every architecture does everything, at 2 and at 9/4 x 2, on TensorFlow and on JAX: a table, exit 1 if not.

    python bench/architectures.py [--model NAME ...] [--scale 2] [--backend jax]

Each trains for an epoch of a few steps and another one after a break, is evaluated, exported, and upscales a film,
whole and in strips, by its .keras and its .onnx file. Sizes are those that networks have by default, frames are tiny.
A backend is a process. By name, as it takes minutes.
"""

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
from math import isfinite
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

SCALES = {"2": ((120, 64), (240, 128)), "9/4,2": ((120, 64), (270, 128))}  # and sizes of inputs and targets
CLOSE = 5e-5  # a tenth of half a code of 10 bits; white is 1
FIGURES = ("psnr", "psnr_y", "ssim_y", "psnr_lines", "psnr_flats", "halo")


def check(right, words):
    if not right:
        raise AssertionError(words)


def road(data, name):
    """All that an architecture has to do with a data set. Gives what is to be told of it."""
    from fastup.networks.models import MODELS
    from fastup.train.config import resolve
    from fastup.train.fit import fit
    from fastup.train.prepare import prepare
    from fastup.upscale.evaluate import evaluate
    from fastup.upscale.export import export

    defaults = {key: dict(architecture.defaults) for key, architecture in MODELS.items()}
    given = {"model": name, "batch": 4, "threads": 1, "warmup": 2}
    config, _ = resolve([("here", given)], defaults)
    for done in (1, 2):
        run = prepare(data, config, more_epochs=1)
        before = run.state["steps"]
        fit(run)
        state = run.state
        check(state["epoch"] == done, f"epoch {state['epoch']} after {done} runs")
        check(state["steps"] > before, "no step was done")
        row = state["history"][-1]
        check(isfinite(row["loss"]) and isfinite(row["psnr"]), f"loss {row['loss']}, psnr {row['psnr']}")
    exported = export(run.folder / "last.keras", run.folder / "last.onnx")
    scores = [evaluate(run.folder / f"last{suffix}", data) for suffix in (".keras", ".onnx")]
    for one, other in zip(*scores, strict=True):
        for figure in FIGURES:
            ours, theirs = getattr(one, figure), getattr(other, figure)
            check(ours is not None and isfinite(ours), f"{figure} is {ours}")
            check(abs(ours - theirs) < 0.01, f"{figure} is {ours:.4f} by .keras, {theirs:.4f} by .onnx")
    engines, strips = upscaled(run.folder, data)
    gain = row["psnr"] - row["psnr_bicubic"]
    onnx = max(exported.difference, engines)
    return f"{state['steps']:3} steps, {gain:+6.2f} dB; onnx {onnx:.0e}, strips {strips:.0e}"


def upscaled(folder, data):
    """How far .onnx is from .keras, and strips are from whole frames, at most."""
    import numpy as np

    from fastup import frames
    from fastup.upscale.engines import ENGINES, installed
    from fastup.upscale.upscaler import Upscaler

    film = [frame for _, frame in frames.stream(sorted((data / "evaluation/Alpha").glob("*.dpx")), "float32")]
    made = {}
    for engine in filter(installed, ENGINES):
        for memory in (None, 1):
            notes = []
            file = folder / f"last.{'keras' if engine == 'keras' else 'onnx'}"
            upscaler = Upscaler(file, engine, memory=memory, on_note=notes.append)
            made[engine, memory] = np.stack(list(upscaler.stream(film, cuts=[0] if upscaler.model.recurrent else None)))
            check(bool(notes) == (memory == 1), f"{engine} made {'no ' * bool(memory)}strips")
    whole = made["keras", None]
    check(np.ptp(whole) > 0.1, "nothing is in the pictures")

    def largest(memory, beside):
        return max(float(np.abs(made[engine, memory] - beside(engine)).max()) for engine, m in made if m == memory)

    apart = largest(None, lambda engine: whole), largest(1, lambda engine: made[engine, None])
    check(apart[0] < CLOSE, f"engines differ by {apart[0]:.1e} of white")
    check(apart[1] < CLOSE, f"strips differ from the whole by {apart[1]:.1e} of white")
    return apart


def all_of(names, scales, data):
    """Rows of one backend; how many failed."""
    from fastup.networks import start

    start()
    logging.getLogger("tensorflow").setLevel("ERROR")  # it remarks on how many functions there are
    import keras

    from fastup.networks.models import MODELS

    failed = 0
    for scale in scales:
        for name in names or MODELS:
            begun = time.process_time()
            try:
                told = f"ok   {road(data / scale.replace('/', ':'), name)}"
            except Exception as error:  # the table has a row for each, whatever goes wrong
                told, failed = f"FAILED   {type(error).__name__}: {' '.join(str(error).split())}", failed + 1
            took = time.process_time() - begun
            print(f"{keras.backend.backend():12}{scale:8}{name:12}{took:4.0f} s  {told}", flush=True)
            keras.backend.clear_session()
    return failed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=[], help="these alone")
    parser.add_argument("--scale", nargs="+", choices=SCALES, default=[*SCALES])
    parser.add_argument("--backend", nargs="+", choices=("tensorflow", "jax", "torch"), default=["tensorflow", "jax"])
    parser.add_argument("--data", type=Path, help=argparse.SUPPRESS)  # that is there, of a process
    given = parser.parse_args()
    if given.data:
        sys.exit(bool(all_of(given.model, given.scale, given.data)))

    from fastup import demo

    codes = []
    with tempfile.TemporaryDirectory() as folder:
        for backend in given.backend:
            data = Path(folder) / backend
            for scale in given.scale:
                sd, hd = SCALES[scale]
                demo.write_data(data / scale.replace("/", ":"), 0, hd, sd, train=2, validation=1, evaluation=2)
            asked = ["--scale", *given.scale, *(["--model", *given.model] if given.model else [])]
            command = [sys.executable, __file__, "--data", data, *asked]
            told = {"KERAS_BACKEND": backend, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}  # compiling is most of it
            codes.append(subprocess.run(command, env={**os.environ, **told}).returncode)
    sys.exit(any(codes))


if __name__ == "__main__":
    main()
