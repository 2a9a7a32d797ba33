"""Faults of a farm, by real processes: python bench/farm_faults.py

A scheduler and three workers make 400 frames of 40 ms. One worker is killed in mid-part, one is frozen for good, the
scheduler is killed and started again, and so is the client. In the end every frame is there, each equal to what one
process makes, and none was made more than twice. One frame kills its worker each time: it is named, and all others are
made. By name, as it takes two minutes: what it waits for is mostly the scheduler, which gives up a frozen worker.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

import fastup
from fastup.errors import DataError
from fastup.footage import chore, cluster
from fastup.footage.stills import Folder
from fastup.header import Header

HERE = Path(__file__).resolve()
FRAMES, SECONDS, TTL = 400, 0.04, "3s"
ENV = {**os.environ, "PYTHONPATH": f"{HERE.parent}:{os.environ.get('PYTHONPATH', '')}"}
ENV |= {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": TTL, "DASK_LOGGING__DISTRIBUTED": "critical"}


def work(plan):
    """Makes the negative of a frame, slowly, and takes note; a frame that is all 999 is the worker's death."""

    def make(number, path):
        frame = fastup.read(path)
        if (frame == 999).all():
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(SECONDS)
        with open(plan.destination.parent / "log", "a") as log:
            log.write(f"{number}\n")
        return 1023 - frame, plan.source.header(number)

    def one_by_one(items):
        for number, path in items:
            yield number, *make(number, path)

    return one_by_one


def client(folder):
    """The command that a person starts."""
    with cluster.Cluster(str(folder / "scheduler.json"), lambda text: print("note:", text, flush=True)) as workers:
        plan = chore.Plan(Folder(folder / "in"), folder / "out", cluster=workers)
        print(chore.run(plan, work, "making", lambda *now: print(*now, flush=True)), workers.workers, flush=True)


def started(*command, **options):
    return subprocess.Popen([sys.executable, *map(str, command)], env=ENV, start_new_session=True, **options)


def scheduler(folder):
    (folder / "scheduler.json").unlink(missing_ok=True)
    options = "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", folder / "scheduler.json"
    process = started("-m", "distributed.cli.dask_scheduler", *options)
    while not (folder / "scheduler.json").exists():
        time.sleep(0.1)
    return process


def a_worker(folder, name):
    options = "--no-nanny", "--nthreads", "1", "--memory-limit", "0", "--no-dashboard", "--name", name
    return started(
        "-m", "distributed.cli.dask_worker", "--scheduler-file", folder / "scheduler.json", *options,
        "--local-directory", folder / "scratch", "--host", "127.0.0.1",
    )  # fmt: skip


def made(folder):
    return len(list((folder / "out").glob("*.dpx")))


def until(folder, count, seconds=120):
    ends = time.monotonic() + seconds
    while made(folder) < count:
        assert time.monotonic() < ends, f"{made(folder)} of {count} frames after {seconds} s"
        time.sleep(0.05)


def main(folder):
    (folder / "in").mkdir()
    random = np.random.default_rng(0)
    for number in range(FRAMES):
        frame = random.integers(0, 1000, (8, 12, 3)).astype(np.uint16)
        fastup.write(folder / "in" / f"f{number:04d}.dpx", frame, header=Header.new(12, 8))
    running = [scheduler(folder)]
    try:
        workers = [a_worker(folder, name) for name in "abc"]
        running += workers
        first = started(HERE, folder)
        running.append(first)
        until(folder, 60)
        workers[0].kill()
        print(f"killed a worker at {made(folder)} frames", flush=True)
        until(folder, 110)
        workers[1].send_signal(signal.SIGSTOP)
        print(f"froze a worker at {made(folder)} frames", flush=True)
        workers.append(a_worker(folder, "d"))
        until(folder, 180)
        running[0].kill()
        print(f"killed the scheduler at {made(folder)} frames", flush=True)
        time.sleep(1)
        running += [scheduler(folder), *(a_worker(folder, name) for name in "ef")]  # as whoever keeps them would
        until(folder, 260)
        first.send_signal(signal.SIGINT)
        first.wait()
        at_stop = made(folder)
        print(f"stopped the client at {at_stop} frames", flush=True)
        time.sleep(1.5)
        assert made(folder) <= at_stop + 6, "workers go on without a client"
        again = started(HERE, folder)
        running.append(again)
        assert again.wait(120) == 0
        paths = sorted((folder / "out").glob("*.dpx"))
        assert len(paths) == FRAMES
        one = Folder(folder / "in")
        chore.run(chore.Plan(one, folder / "one"), work_quick, "making")
        assert all(path.read_bytes() == (folder / "one" / path.name).read_bytes() for path in paths)
        times = Counter(Counter((folder / "log").read_text().split()).values())
        assert set(times) <= {1, 2}, times
        print(f"all {FRAMES} frames are there, equal to one process's; made once, twice: {times[1]}, {times[2]}")

        fastup.write(folder / "in" / "f0200.dpx", np.full((8, 12, 3), 999, np.uint16), header=Header.new(12, 8))
        for number in range(190, 210):
            (folder / "out" / f"f{number:04d}.dpx").unlink()
        running += [a_worker(folder, name) for name in "ghi"]
        said = ""
        try:
            client(folder)
        except DataError as error:
            said = str(error)
        print(said)
        assert "f0200.dpx" in said
        assert made(folder) == FRAMES - 1
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def work_quick(plan):
    return chore.each(lambda number, path: (1023 - fastup.read(path), plan.source.header(number)))


if __name__ == "__main__":
    sys.modules["farm_faults"] = sys.modules["__main__"]
    work.__module__ = "farm_faults"  # as workers import it
    if len(sys.argv) > 1:
        client(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(Path(folder))
