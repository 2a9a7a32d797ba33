"""A farm on paper: frames/s of 1 to 10,000 workers that share a file server: python bench/simulate_farm.py

Each worker reads a frame, computes, writes, with the next frame read and the last one written meanwhile, as `upscale`
has it; all share the server's bandwidth, which goes evenly to those that wait for it. What comes is the rate of the
farm, the share of its workers' time that is not waiting, and how long 130,000 frames take. `--measure` runs 1 to 4
workers here against this model, of files in a folder, by a server whose bandwidth is measured first.
"""

import argparse
import heapq
from dataclasses import dataclass

FRAMES = 130_000
SD, HD = 720 * 480 * 4, 1440 * 1080 * 4  # bytes of a 10-bit RGB DPX, without its header
FFV1 = (
    0.5  # of a DPX: 0.45 of the frames that are drawn for tests, 0.49 and 0.55 with grain of 0.004 and 0.008 of white
)
KINDS = {"DPX": (SD, HD), "FFV1 parts": (SD, HD * FFV1), "FFV1 both ways": (SD * FFV1, HD * FFV1)}


@dataclass
class Server:
    """A file server: bytes/s in all, and to each worker (its network card)."""

    all: float = 1.1e9  # 10 gigabit Ethernet
    each: float = 1.1e8  # gigabit Ethernet


def simulate(workers: int, seconds: float, size: tuple[float, float], server: Server, frames: int = 100) -> float:
    """Frames/s of workers that make so many frames each, event by event.

    A worker computes a frame while it moves the bytes of two others: that which it has made, and the next. Transfers
    are of equal size and share the server evenly, so that they end in the order of their beginnings: a queue.
    """
    moved, ready = sum(size), [(n / workers * seconds, 0, n) for n in range(workers)]  # begin in turn
    heapq.heapify(ready)
    rate, free, ends, began = server.all, 0.0, [], {n: time for time, _, n in ready}
    while ready:
        time, done, worker = heapq.heappop(ready)
        free = max(free, time) + moved / rate  # of the server
        arrives = max(free, time + moved / server.each)
        after = max(began[worker] + seconds, arrives)
        began[worker] = after
        ends.append(after)
        if done + 1 < frames:
            heapq.heappush(ready, (after, done + 1, worker))
    ends.sort()
    first, last = len(ends) // 4, len(ends) * 3 // 4  # neither the beginning nor the end
    return (last - first) / (ends[last] - ends[first])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=0.25, help="that a worker computes for a frame")
    parser.add_argument("--server", type=float, default=1.1e9, help="bytes/s of the file server")
    parser.add_argument("--card", type=float, default=1.1e8, help="bytes/s of a worker's network card")
    parser.add_argument("--measure", action="store_true", help="1 to 4 workers here, beside the model")
    given = parser.parse_args()
    if given.measure:
        measure()
        return
    server = Server(given.server, given.card)
    print(f"{given.seconds:g} s a frame; a server of {given.server / 1e6:,.0f} MB/s, {given.card / 1e6:,.0f} to each")
    print(f"{'':>8}" + "".join(f"{kind:>34}" for kind in KINDS))
    print(f"{'workers':>8}" + f"{'frames/s':>12}{'busy':>8}{'film, hours':>14}" * len(KINDS))
    for workers in (1, 2, 4, 10, 20, 40, 100, 200, 400, 1000, 2000, 4000, 10_000):
        row = ""
        for size in KINDS.values():
            rate = simulate(workers, given.seconds, size, server)
            row += f"{rate:>12,.1f}{rate * given.seconds / workers:>8.0%}{FRAMES / rate / 3600:>14.2f}"
        print(f"{workers:>8,}{row}")
    for kind, size in KINDS.items():
        most = min(given.server / sum(size) * given.seconds, 1e9)
        print(f"{kind}: {sum(size) / 1e6:.1f} MB a frame in and out; the server is full with {most:,.0f} workers")


def work(plan):
    """Makes a frame of HD of one of SD, by no more than waiting: a network that takes a second of one core."""
    import time

    import numpy as np

    import fastup
    from fastup.header import Header

    made = np.zeros((1080, 1440, 3), np.uint16)

    def one_by_one(items):
        for number, path in items:
            fastup.read(path)
            time.sleep(0.2)
            yield number, made, Header.new(1440, 1080)

    return one_by_one


def measure() -> None:
    """1 to 4 workers that wait 0.2 s a frame and write 6.2 MB, beside what the model says of them."""
    import os
    import sys
    import tempfile
    import time
    from pathlib import Path

    import numpy as np

    import fastup
    from fastup.footage import chore, cluster
    from fastup.footage.stills import Folder
    from fastup.header import Header

    here = Path(__file__).resolve()
    os.environ["PYTHONPATH"] = f"{here.parent}:{os.environ.get('PYTHONPATH', '')}"
    sys.path.insert(0, str(here.parent))
    import simulate_farm

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in"
        source.mkdir()
        first = source / "f000000.dpx"
        fastup.write(first, np.zeros((480, 720, 3), np.uint16), header=Header.new(720, 480))
        for number in range(1, 600):
            os.link(first, source / f"f{number:06d}.dpx")
        began = time.perf_counter()
        for number in range(20):
            fastup.read(first)
            fastup.write(Path(folder) / f"t{number % 4}.dpx", np.zeros((1080, 1440, 3), np.uint16))
        moves = (time.perf_counter() - began) / 20
        server = Server((SD + HD) / moves, (SD + HD) / moves)
        print(f"a frame is read and another written in {moves * 1e3:.1f} ms: {server.all / 1e6:,.0f} MB/s")
        for workers in (1, 2, 3, 4):
            count = 150 * workers
            out = Path(folder) / f"out{workers}"
            plan = chore.Plan(Folder(source, paths=sorted(source.iterdir())[:count]), out)
            with cluster.Cluster(f"local:{workers}") as there:
                chore.run(chore.replace(plan, cluster=there), simulate_farm.work, "")
            rate = sum(each["frames_per_second"] for each in there.workers)
            said = simulate(workers, 0.2 + moves, (SD, HD), server)
            print(f"{workers} workers: {rate:.2f} frames/s measured, {said:.2f} by the model, {rate / said - 1:+.0%}")


if __name__ == "__main__":
    main()
