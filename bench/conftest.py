"""Ours against what one would do otherwise, in the same run. What every benchmark uses is here.

Run ``make bench``, or ``.venv/bin/pytest bench``; a file or ``-k read`` picks some, ``--benchmark-disable`` runs every
call once and holds no floor. All of it takes about eight minutes on two cores, and 450 MB of temporary files.

The table at the end has a line for each comparison: the median of ours, the median of the peer, and what is held to a
floor. That is peer / ours where the floor reads "at least" (larger is better), ours / peer where it reads "at most"
(smaller is better). A line without a floor only reports. One that misses its floor says "below", and its test fails.
pytest-benchmark's own table above it shows ours alone.

Floors are ratios within one run, each 0.6 of what is reached or less; no time or rate is asked for. Where we wait for
memory and the peer computes, the ratio is memory's speed: it is three times smaller where a copy takes three times as
long. The bare reading and copying of the same bytes is timed beside them then, and who takes no more than NEAR times as
long holds any floor; "of memory" in the table is ours / that.

A busy machine moves ratios too. All take turns and medians are compared, so that a passing burst hurts no side; and
what misses its floor is timed again, twice at most, as only a slower program misses it each time.
"""

import os
import statistics
import subprocess
import sys
import time

import numpy as np
import pytest

NEAR = 1.5  # ours is 0.8 of the bare copy where memory is fast, 1.05 where it is slow
TIMES = 3  # that a floor may be tried, at most
_ROWS = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[_ROWS] = []


@pytest.fixture(scope="session")
def picture():
    """A function: size (height, width) to a 10-bit RGB frame, a gradient with noise, the same one every time."""

    def picture(size):
        y, x, channel = np.ogrid[0 : 1 : size[0] * 1j, 0 : 1 : size[1] * 1j, :3]
        smooth = 1100 * (y + x + channel / 4) / 2.5 - 40
        noise = np.random.default_rng(0).normal(0, 4, (*size, 3))
        frame = np.clip(np.rint(smooth + noise), 0, 1023).astype(np.uint16)
        assert len(np.unique(frame)) == 1024, "a code is missing, and with it its check"
        return frame

    return picture


@pytest.fixture(scope="session")
def openimageio_read():
    """A function: path and OpenImageIO's name of a type to an array, read on one thread.

    ``uint16`` gives codes scaled to 16 bits, ``float`` gives those normalised. It can't be asked for codes as they are.
    """
    import OpenImageIO as oiio

    def read(path, dtype):
        image = oiio.ImageInput.open(str(path))
        pixels = image.read_image(dtype)
        image.close()
        return pixels

    before = oiio.get_int_attribute("threads")
    oiio.attribute("threads", 1)
    yield read
    oiio.attribute("threads", before)


# Runs the command line, and says what it took: of a child, the system says no less than its parent had.
_MEASURED = """
import sys
from fastup.cli import main
try:
    main()
finally:
    print(*[line for line in open("/proc/self/status") if line.startswith("VmHWM")], file=sys.stderr)
"""


@pytest.fixture
def peak_memory():
    """A function: the arguments of a command to the bytes that it takes at most. Linux alone."""
    if not os.path.exists("/proc/self/status"):
        pytest.skip("Linux alone tells")

    def peak_memory(*arguments):
        done = subprocess.run([sys.executable, "-c", _MEASURED, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return int(done.stderr.split()[-2]) * 1024

    return peak_memory


@pytest.fixture
def judged(request):
    """A function that puts two medians in the table and holds them to a floor; `against` says what each word means.

    They are seconds, or what `shown` makes text of. `again` measures anew where they miss it: it gives both, and
    `memory` if that was given.
    """

    def judged(
        our_median, peer_median, memory=None, *, at_least=None, at_most=None, label=None, right=None, note=None,
        shown=_duration, again=None, tried=1,
    ):  # fmt: skip
        if at_least is not None and at_most is not None:
            raise ValueError("found two floors, expected one of at_least and at_most")
        value = our_median / peer_median if at_most is not None else peer_median / our_median
        floor, held = "", True
        if at_least is not None:
            floor, held = f"at least {at_least:g}", value >= at_least
        elif at_most is not None:
            floor, held = f"at most {at_most:g}", value <= at_most
        share = "" if memory is None else f"{our_median / memory:.3g}"
        if floor and memory is not None:
            floor, held = f"{floor}, or {NEAR} of memory", held or our_median <= NEAR * memory
        if not held and again is not None and tried < TIMES:
            return judged(
                *again(), at_least=at_least, at_most=at_most, label=label, right=right, note=note, shown=shown,
                again=again, tried=tried + 1,
            )  # fmt: skip
        name = label or request.node.name
        if note is not None:
            note.update(peer_median=peer_median, value=value, floor=floor)
        says = {None: "", True: "right", False: "wrong"}[right]
        row = name, shown(our_median), shown(peer_median), says, f"{value:.3g}", share, floor, held
        request.config.stash[_ROWS].append(row)
        if not held:
            pytest.fail(f"{name}: {value:.3g}{share and f', {share} of memory'}, the floor is {floor}", pytrace=False)
        return value

    return judged


@pytest.fixture
def against(benchmark, judged):
    """Time `ours` and `peer` in turn and hold their medians to a floor.

    ``against(ours, peer, at_least=8.0)`` asks that ours be at least 8 times as fast as the peer (peer / ours);
    ``against(ours, peer, at_most=2.0)`` that it take at most twice the peer's time (ours / peer); with neither, the
    ratio peer / ours is only reported. `memory` does no more than the reading and copying that the work needs: who is
    near it holds the floor. All take no arguments and do one unit of work. They run once before
    the clock starts, and then take turns for `rounds` rounds, so that a busy moment of the machine hits all. A turn is
    `calls` calls in a row: take 5 or more for what lasts less than a millisecond, or it is mostly the caches' recovery
    from the other side's turn that is timed. `before` is called before each turn, and not timed. pytest-benchmark's own
    table shows turns, of the first try; ours is for one call, or for one of the `items` that a call does. `right` says
    whether the peer's result is right, where that isn't a matter of course. Call it once in a test. Returns the ratio;
    ``--benchmark-disable`` holds no floor.
    """

    def against(ours, peer, *, before=lambda: None, memory=None, rounds=20, calls=1, items=1, **floor):
        sides = [side for side in (ours, peer, memory) if side is not None]
        for side in sides:
            before()
            side()

        def timed(side):
            before()
            start = time.perf_counter()
            for _ in range(calls):
                side()
            return time.perf_counter() - start

        def medians(times):
            return [statistics.median(taken) / calls / items for taken in times]

        def turn():
            for _ in range(calls):
                ours()

        times = [[] for _ in sides]

        def time_others():
            for side, taken in zip(sides[1:], times[1:], strict=True):
                taken.append(timed(side))
            before()  # ours is next

        benchmark.pedantic(turn, setup=time_others, rounds=rounds)
        if benchmark.disabled:
            return None
        benchmark.extra_info.update(calls=calls, items=items)
        times[0] = benchmark.stats.stats.data
        return judged(
            *medians(times), note=benchmark.extra_info, **floor,
            again=lambda: medians(zip(*([timed(side) for side in sides] for _ in range(rounds)), strict=True)),
        )  # fmt: skip

    return against


def pytest_terminal_summary(terminalreporter, config):
    rows = [
        (*row, floor or "-", ("ok" if held else "below") if floor else "-") for *row, floor, held in config.stash[_ROWS]
    ]
    if not rows:
        return
    table = [("benchmark", "ours", "peer", "peer is", "ratio", "of memory", "floor", ""), *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    terminalreporter.section("ours against the peer, medians")
    for row in table:
        name, *rest = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        terminalreporter.line("  ".join([name, *rest]).rstrip(), red=row[-1] == "below")


def _duration(seconds):
    for unit, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if abs(seconds) >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
