"""What a step of training takes by each backend, compiler and precision on this machine: a table.

    python bench/train_step.py [--model compact] [--batch 16] [--tile 72] [--steps 100] [WAY ...]

A way is a backend, then ``xla`` where TensorFlow compiles by it, then a precision: ``tensorflow``, ``tensorflow-xla``,
``jax``, ``tensorflow-bfloat16``. Each runs in a process of its own, on one batch that is in memory; tiles a second are
by the clock, and by the seconds of all processors together, which others who use the machine change less.
"""

import argparse
import json
import os
import subprocess
import sys
import time

WAYS = ("tensorflow", "tensorflow-xla", "jax", "tensorflow-bfloat16", "jax-bfloat16")


def measured(way, model, batch, tile, steps):
    """Seconds until the first step is done, and tiles a second by clock and by processors after some more."""
    import keras
    import numpy as np

    from fastup.networks.losses import TileLoss
    from fastup.networks.models import MODELS, Network, precision

    rng = np.random.default_rng(0)
    network_of = {"model": model, "scale": [[9, 4], [2, 1]], "input_white": 1023, "target_white": 1023}
    with precision("bfloat16" if "bfloat16" in way else "float32"):
        network = Network(network_of)
    optimizer = keras.optimizers.Adam(1e-4)
    network.compile(optimizer, TileLoss(MODELS[model].loss), jit_compile="xla" in way or "jax" in way)
    inputs = rng.integers(0, 1024, (batch, tile * 4 // 9, tile // 2, 3), np.uint16)
    targets = rng.integers(0, 1024, (batch, tile, tile, 3), np.uint16)

    class Repeated(keras.utils.PyDataset):
        def __len__(self):
            return steps

        def __getitem__(self, number):
            return inputs, targets

    class Clock(keras.callbacks.Callback):
        begun = time.perf_counter()

        def on_train_batch_end(self, number, logs=None):
            if not hasattr(self, "first"):
                self.first = time.perf_counter() - self.begun

    clock = Clock()
    network.fit(Repeated(), epochs=1, verbose=0, callbacks=[clock])  # warms up
    wall, busy = time.perf_counter(), time.process_time()
    network.fit(Repeated(), epochs=1, verbose=0)
    wall, busy = time.perf_counter() - wall, time.process_time() - busy
    return clock.first, batch * steps / wall, batch * steps / busy


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ways", nargs="*", default=WAYS, metavar="WAY")
    parser.add_argument("--model", default="compact")
    for name, default in (("batch", 16), ("tile", 72), ("steps", 100), ("rounds", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(given.one, given.model, given.batch, given.tile, given.steps)))
        return
    print(f"{given.model}, {given.batch} tiles of {given.tile} target pixels a step, {os.cpu_count()} cores")
    print(f"{'way':<22}{'first step':>12}{'tiles/s':>10}{'tiles/s of processor':>22}")
    options = [f"--{name}={getattr(given, name)}" for name in ("model", "batch", "tile", "steps")]
    for way in [way for _ in range(given.rounds) for way in given.ways]:
        environment = {**os.environ, "KERAS_BACKEND": way.split("-")[0], "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, __file__, "--one", way, *options]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            print(f"{way:<22}{done.stderr.strip().splitlines()[-1]}")
            continue
        first, wall, busy = json.loads(done.stdout.splitlines()[-1])
        print(f"{way:<22}{first:>10.1f} s{wall:>10.1f}{busy:>22.1f}", flush=True)


if __name__ == "__main__":
    main()
