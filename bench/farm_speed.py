"""Two workers of one core each beside one process with two cores: python bench/farm_speed.py [ENGINE] [REPEATS]

Both make the same frames of SD with the model that comes along, in turns, each after some frames to begin with: the
models are loaded then. Prints, a frame, the time by the clock, and the processor time of all that takes part: that of
workers, and of client and scheduler, which are one process here; medians, and the smallest. By name, as it takes some
minutes of two cores. What else runs on the machine makes clocks unfair, as what has more processes gets more of it;
processor time less so.
"""

import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

import fastup
from fastup.footage import cluster
from fastup.header import Header
from fastup.upscale import film
from fastup.upscale.upscaler import Upscaler

FIRST, FRAMES = 4, 40  # frames to begin with, and those that count


def state():
    """In a worker: its processor time, its cores, and how many of its threads have ever worked."""
    busy = 0
    for thread in Path("/proc/self/task").iterdir():
        times = (thread / "stat").read_text().rpartition(")")[2].split()
        busy += int(times[11]) + int(times[12]) > 5
    return time.process_time(), sorted(os.sched_getaffinity(0)), threading.active_count(), busy


def made(upscaler, source, out, there):
    """Seconds a frame, by the clock, of this process and of the workers; makes all frames of a folder."""
    plan = film.prepare(upscaler, source, out)
    plan = film.replace(plan, cluster=there)
    before = {} if there is None else there.client.run(state)
    wall, own = time.perf_counter(), time.process_time()
    count, _ = film.run(plan)
    wall, own = time.perf_counter() - wall, time.process_time() - own
    after = {} if there is None else there.client.run(state)
    theirs = sum(after[name][0] - before[name][0] for name in after)
    return wall / count, own / count, theirs / count


def main(engine="auto", repeats=5):
    with tempfile.TemporaryDirectory() as name:
        folder, rng = Path(name), np.random.default_rng(0)
        frames = [np.round(each * 1023) for each in rng.random((4, 480, 720, 3))]
        for side, count in (("first", FIRST), ("in", FRAMES)):
            (folder / side).mkdir()
            for number in range(count):
                frame = frames[number % 4].astype(np.uint16)
                fastup.write(folder / side / f"f{number:03d}.dpx", frame, header=Header.new(720, 480))
        upscaler = Upscaler("cel-sd", engine, parallel=film.PARALLEL)
        print(f"{upscaler.engine.words}; {FRAMES} frames, {repeats} times in turns", flush=True)
        found = {"one process": [], "two workers": []}
        with cluster.Cluster("local:2") as workers:
            for side in ("first", *["in"] * repeats):
                for kind, there in (("one process", None), ("two workers", workers)):
                    out = folder / f"out {len(found[kind])} {kind} {side}"
                    each = made(upscaler, folder / side, out, there)
                    if side == "in":
                        found[kind].append(each)
                        print(f"  {kind}: " + ", ".join(f"{s * 1e3:.0f}" for s in each), flush=True)
                    for path in out.iterdir():
                        path.unlink()
            for address, (_, cores, python, busy) in workers.client.run(state).items():
                print(f"worker {address}: cores {cores}; {python} threads of Python; {busy} of all have worked")
        for word, take in (("median", statistics.median), ("smallest", min)):
            one, two = (
                [take(values) for values in zip(*((w, o + t, o) for w, o, t in found[kind]), strict=True)]
                for kind in found
            )
            print(
                f"{word}, ms a frame: by the clock {one[0] * 1e3:.0f} and {two[0] * 1e3:.0f}, so that workers make "
                f"{one[0] / two[0]:.2f} of the frames/s; of processors {one[1] * 1e3:.0f} and {two[1] * 1e3:.0f}, "
                f"{one[1] / two[1]:.2f}; of that client and scheduler {two[2] * 1e3:.1f}, {two[2] / two[1]:.1%}"
            )


if __name__ == "__main__":
    sys.modules["farm_speed"] = sys.modules["__main__"]
    state.__module__ = "farm_speed"  # as workers import it
    os.environ["PYTHONPATH"] = f"{Path(__file__).resolve().parent}:{os.environ.get('PYTHONPATH', '')}"
    main(*sys.argv[1:2], *map(int, sys.argv[2:3]))
