"""Every architecture trains and upscales, at scales of fractions and at whole ones, on every backend alike.

That exported files and strips are equal to the whole, of each on every engine, is in test_export.py and test_strips.py.
"""

import importlib.util
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from fastup.networks.losses import TileLoss
from fastup.networks.models import MODELS, Network
from fastup.upscale.model import load
from fastup.upscale.upscaler import Upscaler

SCALES = {"2": [[2, 1], [2, 1]], "9_4x2": [[9, 4], [2, 1]], "20_9x2": [[20, 9], [2, 1]]}
CASES = [*((name, word) for name in MODELS for word in ("2", "9_4x2")), ("srcnn", "20_9x2")]
SMALL = {
    name: {key: 4 if key == "features" else 1 for key in architecture.size} for name, architecture in MODELS.items()
}
COMPACT = [name for name in MODELS if name.startswith("compact")]
FACTS = {
    "trim": [0] * 4, "input_trim": [0] * 4, "black_level": "edge", "input_white": 1023, "target_white": 1023,
    "pixel_aspect": [1, 1], "transfer": None, "colorimetric": None, "trained": {"epoch": 0},
}  # fmt: skip


def road(path):
    """Train a model for some steps, one for film on spans. Gives the losses, and what it makes of a frame then."""
    rng, network = np.random.default_rng(0), load(path, compile=False)
    rows = max(4, network.cell[0][0])
    frames = ([4], [2]) if MODELS[network.settings["model"]].recurrent else ([], [])  # two have a neighbour each side
    inputs = rng.integers(0, 1024, (2, *frames[0], 2 * rows, 6, 3), np.uint16)
    size = (int(n * s) for n, s in zip((2 * rows, 6), network.scale, strict=True))
    targets = rng.integers(0, 1024, (2, *frames[1], *size, 3), np.uint16)
    # Steps of one size, whatever gradients are. On TensorFlow it costs more to compile them, on JAX not to.
    eagerly = keras.backend.backend() == "tensorflow"
    network.compile(keras.optimizers.SGD(1e-3, clipnorm=1.0), TileLoss("mse"), run_eagerly=eagerly)
    losses = [float(network.train_on_batch(inputs, targets)) for _ in range(4)]
    return losses[1:], Upscaler(network, "keras")(rng.random((3 * rows, 7, 3), np.float32))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Files of all architectures at all scales."""
    folder = tmp_path_factory.mktemp("models")
    for name, word in CASES:
        keras.utils.set_random_seed(1)
        network = Network({"model": name, "scale": SCALES[word], "residual": False, **SMALL[name], **FACTS})
        network.save(folder / f"{name}-{word}.keras")
    return folder


@pytest.fixture(scope="module")
def here(models):
    return {path.stem: road(path) for path in sorted(models.glob("*.keras"))}


@pytest.mark.parametrize(("model", "scale"), CASES)
def test_it_learns(model, scale, here):
    losses, made = here[f"{model}-{scale}"]
    assert all(np.isfinite(losses))
    assert losses == sorted(losses, reverse=True)
    (p_v, q_v), (p_h, q_h) = SCALES[scale]
    assert made.shape == (3 * max(4, q_v) * p_v // q_v, 7 * p_h // q_h, 3)


SCRIPT = """
import sys
tests, backend, *files = sys.argv[1:]
sys.path.insert(0, tests)
import keras
import numpy as np
from test_architectures import road
assert keras.backend.backend() == backend
for file in files:
    losses, made = road(file)
    np.savez(f"{file}.npz", losses=losses, made=made)
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_other_backends_do_the_same(backend, models, here):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} isn't installed")
    # At one scale each, in turn; but those that are alike but for their sizes or made of others' layers, and those that
    # test_backends.py trains.
    kinds = [name for name in MODELS if name not in ("srcnn", "vdsr", "basic", "espcn", *COMPACT)]
    names = ["srcnn-20_9x2", *(f"{name}-{[*SCALES][place % 2]}" for place, name in enumerate(kinds))]
    files = [models / f"{name}.keras" for name in names]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, os.path.dirname(__file__), backend, *files],
        env={
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # compiling is most of it
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for name, file in zip(names, files, strict=True):
        (losses, made), there = here[name], np.load(f"{file}.npz")
        np.testing.assert_allclose(there["losses"], losses, rtol=1e-4, err_msg=name)
        np.testing.assert_allclose(there["made"], made, atol=1e-4 * max(1, np.abs(made).max()), err_msg=name)
