"""130,000 frames over two workers by a network that does nothing: python bench/farm_many.py [COUNT]

Frames are hard links to one of 16x16 pixels. Prints the processor time that a frame takes beyond that of one process
without workers, of client and workers together, the client's share of all, and the client's memory. By name, as it
takes some minutes.
"""

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import fastup
from fastup.footage import chore, cluster
from fastup.footage.stills import Folder
from fastup.header import Header

HERE = Path(__file__).resolve()


def work(plan):
    """Gives frames as they are."""
    return chore.each(lambda number, path: (fastup.read(path), plan.source.header(number)))


def main(count: int) -> None:
    sys.path.insert(0, str(HERE.parent))
    os.environ["PYTHONPATH"] = f"{HERE.parent}:{os.environ.get('PYTHONPATH', '')}"
    import farm_many

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "in"
        source.mkdir()
        for number in range(count):
            if number % 50_000 == 0:  # a file has 65,000 links at most, by ext4
                first = source / f"f{number:06d}.dpx"
                fastup.write(first, np.zeros((16, 16, 3), np.uint16), header=Header.new(16, 16))
            else:
                os.link(first, source / f"f{number:06d}.dpx")
        few = max(count // 20, 100)
        began = time.process_time()
        chore.run(chore.Plan(Folder(source, paths=sorted(source.iterdir())[:few]), Path(folder) / "one"), work, "")
        alone = (time.process_time() - began) / few
        with cluster.Cluster("local:2") as workers:
            wall, began = time.perf_counter(), time.process_time()
            plan = chore.Plan(Folder(source), Path(folder) / "out", cluster=workers)
            made, _ = chore.run(plan, farm_many.work, "")
            client, wall = time.process_time() - began, time.perf_counter() - wall
        assert made == count
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        theirs = used.ru_utime + used.ru_stime
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        beyond = (client + theirs) / count - alone
        print(f"{count:,} frames in {wall:.0f} s; processor time of a frame: {alone * 1e3:.2f} ms alone, and on a")
        print(f"cluster {beyond * 1e3:.2f} ms more, {client / count * 1e3:.2f} of it client and scheduler")
        print(f"the client's memory: {memory:.0f} MB at most")
        assert memory < 500
        assert beyond < 2e-3


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 130_000)
