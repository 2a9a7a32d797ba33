"""Training over devices and processes against one device, on the processor: python bench/devices.py

Three runs of the same 22 steps on JAX: on one device, on two devices of one process, and over two processes of one
device each. Prints how far their weights lie apart. By name, as it takes a minute of two cores.
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


def started(data, name, *more, **env):
    command = [sys.executable, "-c", TRAIN, "train", data, *OPTIONS, "--name", name, *more]
    return subprocess.Popen(
        command, env={**os.environ, "KERAS_BACKEND": "jax", **env}, stdout=subprocess.PIPE, text=True
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


if __name__ == "__main__":
    main()
