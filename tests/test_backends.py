"""The whole road on the other Keras backends: the same file, tiles and rates give the same run."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from fastup.train import fit
from fastup.train.config import Config
from fastup.train.prepare import prepare
from fastup.upscale.evaluate import evaluate, mean
from fastup.upscale.model import load
from fastup.upscale.upscaler import Upscaler

SCRIPT = """
import json, sys
import keras
from fastup.train import fit
from fastup.train.config import Config
from fastup.train.prepare import prepare
from fastup.upscale.evaluate import evaluate, mean
from fastup.upscale.film import upscale
from fastup.upscale.upscaler import Upscaler

data, backend, more = sys.argv[1:]
assert keras.backend.backend() == backend
fit.fit(prepare(data, Config(learning_rate=3e-4), more_epochs=1))
alone = Config(model="espcn", epochs=1, ema=0.9, degrade="tape", scale="9/4,2", **eval(more))
fit.fit(prepare(f"{data}/alone", alone, begin=f"{data}/first.keras"))
model = Upscaler(f"{data}/models/compact/last.keras", "keras")
score = mean(evaluate(model, data))
if backend == "jax":
    import jax
    from fastup import networks
    with networks.float32():
        assert jax.config.jax_default_matmul_precision == "float32"
counts = upscale(model, f"{data}/evaluation/Alpha", f"{data}/upscaled")
print(json.dumps([score.psnr, score.psnr_bicubic, *counts]))
"""


MORE = {"tile": (72, 64), "border": (0, 4), "loss": "charbonnier,mse", "luma": 0.3, "warmup": 2, "swap_channels": True}


def _flat(weights):
    return np.concatenate([np.ravel(weight) for weight in weights])


def _trained_alike(run, theirs):
    """Train a run: it must go as the one did that is saved there."""
    start = run.network.get_weights()
    fit.fit(run)
    theirs = load(theirs)
    for a, b in zip(run.state["history"], theirs.settings["trained"]["history"], strict=True):
        assert a["learning_rate"] == b["learning_rate"]
        assert a["steps"] == b["steps"]
        assert a["loss"] == (b["loss"] and pytest.approx(b["loss"], rel=1e-3))
        assert a["psnr"] == pytest.approx(b["psnr"], abs=1e-2)
        assert a["psnr_bicubic"] == pytest.approx(b["psnr_bicubic"], abs=1e-3)
    # Other tiles, other inputs made of them or other rates would set weights apart as far as they moved.
    start, ours, theirs = (_flat(weights) for weights in (start, run.network.get_weights(), theirs.get_weights()))
    assert np.linalg.norm(theirs - ours) < 0.05 * np.linalg.norm(ours - start)


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends(backend, trained, data, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} isn't installed")
    here = tmp_path / "here"
    for name in ("train", "validation"):  # the targets alone
        (data / "alone" / name).mkdir(parents=True)
        (data / "alone" / name / "Beta").symlink_to(data / name / "Beta")
    shutil.copytree(data, here, symlinks=True)
    for folder in (here, data):
        shutil.copytree(trained, folder / "models" / "compact")
    # Each backend draws other first weights.
    config = Config(model="espcn", epochs=1, ema=0.9, degrade="tape", scale="9/4,2", **MORE)
    alone = prepare(here / "alone", config)
    alone.network.save(data / "first.keras")
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, data, backend, repr(MORE)],
        env={**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    psnr, psnr_bicubic, written, skipped = json.loads(done.stdout.splitlines()[-1])
    assert (written, skipped) == (3, 0)
    run = prepare(here, Config(learning_rate=3e-4), more_epochs=1)
    _trained_alike(run, data / "models" / "compact" / "last.keras")
    _trained_alike(alone, data / "alone" / "models" / "espcn" / "last.keras")
    score = mean(evaluate(Upscaler(here / "models" / "compact" / "last.keras", "keras"), data))
    assert score.psnr == pytest.approx(psnr, abs=1e-2)
    assert score.psnr_bicubic == pytest.approx(psnr_bicubic, abs=1e-3)
