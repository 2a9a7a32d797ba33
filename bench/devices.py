"""Training over devices and processes against one device, on the processor: python bench/devices.py

Runs of the same 22 steps: on JAX on one device, on two devices of one process, and over two processes of one device
each; on TensorFlow on one device and on two. Prints how far their weights lie apart. By name, as it takes some minutes
of two cores. `--time` prints instead what a step takes on JAX on two devices, beside one device with as large a batch,
and the same cores: in turns, medians.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

TRAIN = "from fastup.cli import main; main()"
OPTIONS = "--model", "espcn", "--epochs", "2", "--batch", "8", "--tile", "72,64"
PORT = "127.0.0.1:24816"


def started(data, name, *more, backend="jax", **env):
    command = [sys.executable, "-c", TRAIN, "train", data, *OPTIONS, "--name", name, *more]
    return subprocess.Popen(
        command, env={**os.environ, "KERAS_BACKEND": backend, **env}, stdout=subprocess.PIPE, text=True
    )


def main():
    from fastup import demo
    from fastup.upscale.model import load

    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        demo.write_data(data, 0, (270, 360), (120, 180), train=3, validation=1, evaluation=1)
        for name, more in (("one", ()), ("two", ("--devices", "2"))):
            process = started(data, name, *more)
            process.communicate()
            assert process.returncode == 0
        addresses = {"KERAS_DISTRIBUTION_JOB_ADDRESSES": PORT, "KERAS_DISTRIBUTION_NUM_PROCESSES": "2"}
        both = [
            started(data, "processes", "--devices", "all", **addresses, KERAS_DISTRIBUTION_PROCESS_ID=str(number))
            for number in range(2)
        ]
        printed = [process.communicate()[0] for process in both]
        assert [process.returncode for process in both] == [0, 0], printed
        assert "2, of 2 processes, which share each batch" in printed[0]
        assert "settings" not in printed[1] and "epoch" not in printed[1], printed[1]  # noqa: PT018
        one, two, processes = (
            np.concatenate([np.ravel(each) for each in load(data / "models" / name / "last.keras").get_weights()])
            for name in ("one", "two", "processes")
        )
        steps = json.loads((data / "models" / "two" / "state.json").read_text())["steps"]
        print(f"weights after {steps} steps, the largest of which is {np.abs(one).max():.3f}:")
        for name, weights in (("two devices", two), ("two processes", processes)):
            print(f"  {name}: {np.abs(weights - one).max():.1e} at most from those of one device")
            np.testing.assert_allclose(weights, one, atol=1e-5)
        for name, more in (("tf-one", ()), ("tf-two", ("--devices", "2"))):
            process = started(data, name, *more, backend="tensorflow")
            process.communicate()
            assert process.returncode == 0
        one, two = (
            np.concatenate([np.ravel(each) for each in load(data / "models" / name / "last.keras").get_weights()])
            for name in ("tf-one", "tf-two")
        )
        print(f"  two devices of TensorFlow: {np.abs(two - one).max():.1e} at most from those of one device")
        np.testing.assert_allclose(two, one, atol=1e-5)


STEPS = """
import json, sys, time
import numpy as np
from fastup.networks import devices
devices.use(sys.argv[1])
import keras
from fastup.networks.models import Network
keras.utils.set_random_seed(0)
network = Network({"model": "compact", "scale": [[9, 4], [2, 1]], "border": [0, 0], "trim": [0] * 4,
    "input_trim": [0] * 4, "black_level": "edge", "input_white": 1023, "target_white": 1023, "pixel_aspect": [1, 1],
    "transfer": None, "colorimetric": None})
network.compile("adam", "mae")
rng = np.random.default_rng(0)
x, y = rng.random((16, 64, 72, 3), np.float32), rng.random((16, 144, 144, 3), np.float32)
class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 12
    def __getitem__(self, number):
        return x, y
marks = []
class Clock(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        marks.append((time.perf_counter(), time.process_time()))
network.fit(Batches(), epochs=1, shuffle=False, verbose=0, callbacks=[Clock()])
print(json.dumps(np.median(np.diff(marks[3:], axis=0), axis=0).tolist()))
"""


def timed(repeats=2):
    found = {"1": [], "2": []}
    for _ in range(repeats):
        for count, rows in found.items():
            env = {**os.environ, "KERAS_BACKEND": "jax"}
            out = subprocess.run(
                [sys.executable, "-c", STEPS, count], env=env, capture_output=True, text=True, check=True
            )
            rows.append(json.loads(out.stdout.splitlines()[-1]))
            print(
                f"  {count}: {rows[-1][0] * 1e3:.0f} ms by the clock, {rows[-1][1] * 1e3:.0f} of processors", flush=True
            )
    one, two = (np.median(rows, axis=0) for rows in found.values())
    print(
        f"a step on two devices takes {two[0] / one[0]:.2f} of the time of one device with a batch as large, "
        f"and {two[1] / one[1]:.2f} of its processor time"
    )


if __name__ == "__main__":
    timed() if "--time" in sys.argv[1:] else main()
