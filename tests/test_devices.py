"""Training over several devices: the steps of one, on any number of them in turn; and where that cannot be."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from fastup.errors import OptionError
from fastup.networks import devices
from fastup.upscale.model import load

SCRIPT = """
import sys
from fastup.networks import devices
from fastup.train import fit
from fastup.train.config import Config
from fastup.train.prepare import prepare

data = sys.argv[1]
config = Config(model="espcn", epochs=2, batch=8, tile=(72, 64), learning_rate=1e-3, schedule="constant")
fit.fit(prepare(data, config, "one"))
devices.use("2")
assert devices.count() == 2 and devices.is_first()
fit.fit(prepare(data, config, "two", more_epochs=1))
try:
    prepare(data, Config(model="espcn", batch=7), "odd")
except ValueError as error:
    print(error)
with devices.undivided():
    fit.fit(prepare(data, config, "two", more_epochs=1))
"""


def test_two_devices_take_the_steps_of_one_and_a_run_goes_on_with_another_number(data):
    pytest.importorskip("jax")
    env = {**os.environ, "KERAS_BACKEND": "jax", "JAX_NUM_CPU_DEVICES": "2"}
    run = subprocess.run([sys.executable, "-c", SCRIPT, data], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout == "batch is 7, expected a multiple of 2, as so many devices share it\n"
    one, two = (load(data / "models" / name / "last.keras") for name in ("one", "two"))
    assert one.settings["trained"]["steps"] == two.settings["trained"]["steps"] == 22
    for a, b in zip(one.get_weights(), two.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_devices_that_cannot_be(monkeypatch):
    for text in ("0", "two", "-1", ""):
        with pytest.raises(OptionError, match=f"devices is '{text}', expected a number, or all"):
            devices.use(text)
    backend = keras.backend.backend()
    if backend == "tensorflow":  # it has begun with one
        with pytest.raises(OptionError, match="devices is 64, but there are 1: /device:CPU:0"):
            devices.use("64")
        devices.use("all")
        monkeypatch.setenv("SLURM_NTASKS", "2")
    if backend != "jax":
        how = "in one process" if backend == "tensorflow" else "on one"
        words = f"devices is all, but Keras runs on {backend}, on which it trains {how}; expected JAX"
        with pytest.raises(OptionError, match=words):
            devices.use("all")
    assert (devices.count(), devices.share(), devices.is_first()) == (1, (0, 1), True)
