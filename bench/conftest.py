"""The fixture that every benchmark uses: ours against what one would do otherwise, in the same run."""

import statistics
import time

import pytest

_ROWS = pytest.StashKey[list]()


def pytest_configure(config):
    config.stash[_ROWS] = []


@pytest.fixture
def against(benchmark, request):
    """Time `ours` and `peer` in turn and hold the ratio of their medians to a floor.

    ``against(ours, peer, at_least=8.0)`` asks that ours be at least 8 times as fast as the peer (peer / ours);
    ``against(ours, peer, at_most=2.0)`` that it take at most twice the peer's time (ours / peer); with neither, the
    ratio peer / ours is only reported. Both take no arguments and do one unit of work. They run once before the clock
    starts, and then take turns for `rounds` rounds, so that a busy moment of the machine hits both. A turn is `calls`
    calls in a row: take 5 or more for what lasts less than a millisecond, or it is mostly the caches' recovery from the
    other side's turn that is timed. pytest-benchmark's own table shows turns; the ratios and ours are for one call.
    Call it once in a test. Returns the ratio, or None under ``--benchmark-disable``, where no floor is held.
    """

    def against(ours, peer, *, at_least=None, at_most=None, rounds=20, calls=1, label=None):
        if at_least is not None and at_most is not None:
            raise ValueError("against: found both at_least and at_most, expected one of them")
        ours()
        peer()
        times = []

        def turn():
            for _ in range(calls):
                ours()

        def time_peer():
            start = time.perf_counter()
            for _ in range(calls):
                peer()
            times.append(time.perf_counter() - start)

        benchmark.pedantic(turn, setup=time_peer, rounds=rounds)
        if benchmark.disabled:
            return None
        our_median, peer_median = benchmark.stats.stats.median / calls, statistics.median(times) / calls
        ratio = our_median / peer_median if at_most is not None else peer_median / our_median
        if at_least is not None:
            floor, held = f"at least {at_least:g}", ratio >= at_least
        elif at_most is not None:
            floor, held = f"at most {at_most:g}", ratio <= at_most
        else:
            floor, held = "", True
        name = label or request.node.name
        benchmark.extra_info.update(calls=calls, peer_median=peer_median, ratio=ratio, floor=floor)
        request.config.stash[_ROWS].append((name, _duration(our_median), _duration(peer_median), ratio, floor, held))
        if not held:
            pytest.fail(f"{name}: ratio {ratio:.3g}, the floor is {floor}", pytrace=False)
        return ratio

    return against


def pytest_terminal_summary(terminalreporter, config):
    rows = [
        (name, ours, peer, f"{ratio:.3g}", floor or "-", ("ok" if held else "below") if floor else "-")
        for name, ours, peer, ratio, floor, held in config.stash[_ROWS]
    ]
    if not rows:
        return
    table = [("benchmark", "ours", "peer", "ratio", "floor", ""), *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    terminalreporter.section("ours against the peer, medians")
    for row in table:
        name, *rest = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        terminalreporter.line("  ".join([name, *rest]).rstrip(), red=row[-1] == "below")


def _duration(seconds):
    for unit, size in (("s", 1), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
