"""Batches of random tiles against the ways that other tools make them: 64x64 target tiles, 32x32 inputs, two threads.

BasicSR's way: for each tile, decode a frame and its partner from 16-bit PNG and take one random crop. The ancestor's
way: decode a pair of frames, cut all of its tiles, and send them through a shuffle buffer. Both are written as well as
they can be: decoding on two threads, no Python for each pixel, codes left as they are, batches into fresh memory.
"""

import itertools
import shutil
import statistics
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

import fastup
from fastup.networks import start

start()

from fastup.pairs.folder import find_pairs  # noqa: E402
from fastup.pairs.geometry import Geometry  # noqa: E402
from fastup.pairs.index import tile_index  # noqa: E402
from fastup.train.batches import TileBatches  # noqa: E402
from fastup.train.spans import SpanBatches  # noqa: E402

SIZES, TILE, BATCH, THREADS = ((540, 720), (1080, 1440)), 64, 16, 2
FRAMES, MANY = 20, 2000
SPAN, SPANNED = 8, 64  # frames of a span; tiles of a batch of spans, and of single tiles that it is held against
DRAWN = 2  # as PNG, each under several names: compressing one takes a second
BUFFER = 4096  # tiles, of which the next is drawn


@pytest.fixture(scope="module")
def folder(tmp_path_factory, picture):
    """FRAMES pairs, one picture that moves down; the same as PNG; and under MANY names, as hard links.

    And parts of it of one size, "parts"; each of a size of its own, "sizes"; whose whites differ, too, "whites".
    """
    folder = tmp_path_factory.mktemp("loader")
    for side, size in zip(("Alpha", "Beta"), SIZES, strict=True):
        for name in ("few", "many", "png", "parts", "sizes", "whites"):
            (folder / name / side).mkdir(parents=True)
        first = picture(size)
        for number in range(FRAMES):
            frame = np.roll(first, number * size[0] // FRAMES, axis=0)
            fastup.write(folder / "few" / side / f"{number}.dpx", frame)
            for name, down, right in (("parts", 2, FRAMES // 2), ("sizes", number % 5, number)):
                part = frame[: size[0] - down * size[0] // 54, : size[1] - right * size[1] // 72]
                fastup.write(folder / name / side / f"{number}.dpx", part)
            header = fastup.Header.new(*part.shape[1::-1], bits=(10, 16)[number % 2])
            fastup.write(folder / "whites" / side / f"{number}.dpx", part / np.float32(1023), header)
            png = folder / "png" / side / f"{number}.png"
            if number < DRAWN:
                fastup.write(png, frame, fastup.Header.new(size[1], size[0]))
            else:
                png.hardlink_to(png.with_stem(str(number % DRAWN)))
        for number in range(MANY):
            (folder / "many" / side / f"{number}.dpx").hardlink_to(folder / "few" / side / f"{number % FRAMES}.dpx")
    yield folder
    shutil.rmtree(folder)  # pytest would keep it for three runs


@pytest.fixture(scope="module")
def geometry():
    return Geometry.of(*SIZES, (0, 0, 0, 0))


def batches_of(folder, batch=BATCH):
    pairs = find_pairs(folder)
    index = tile_index(pairs, TILE, True, quality=1)
    batches = TileBatches(pairs, index, tile=TILE, border=0, batch=batch, threads=THREADS)
    return (batches[number] for number in itertools.count())  # epoch after epoch


def spans_of(folder):
    """Endless batches of as many target tiles as others have; inputs are those of two frames more a span."""
    pairs = find_pairs(folder)
    index = tile_index(pairs, TILE, True, quality=1)
    options = {"tile": TILE, "border": 0, "batch": SPANNED // SPAN, "threads": THREADS}
    batches = SpanBatches(pairs, index, [(0, len(pairs))], span=SPAN, **options)
    return (batches[number] for number in itertools.count())


def copied(folder, geometry):
    """Endless batches of words: the same tiles as slices of mapped files, as fast as NumPy copies them, no decoding."""
    grids, batches = geometry.grids(TILE, 0, jitter=True), []
    sides = []
    for side, size, grid in zip(("Alpha", "Beta"), SIZES, grids, strict=True):
        maps = [np.asarray(np.memmap(path, np.uint32, "r", 2048, size)) for path in sorted((folder / side).iterdir())]
        sides.append((maps, grid.origins[np.flatnonzero(grids[1].inside)].tolist(), *grid.tile))
    batches = [np.empty((BATCH, *grid.tile), np.uint32) for grid in grids]
    random, count = np.random.default_rng(0), len(sides[0][1])
    while True:
        chosen = np.column_stack([random.integers(FRAMES, size=BATCH), random.integers(count, size=BATCH)]).tolist()
        for batch, (maps, origins, height, width) in zip(batches, sides, strict=True):
            for number, (frame, tile) in enumerate(chosen):
                y, x = origins[tile]
                batch[number] = maps[frame][y : y + height, x : x + width]
        yield batches


def basicsr(folder, pool):
    """Endless batches: every tile from a pair of frames of its own, decoded for it."""
    paths = [sorted((folder / side).iterdir()) for side in ("Alpha", "Beta")]
    random = np.random.default_rng(0)

    def pair(frame, y, x):
        small, large = (fastup.read(side[frame]) for side in paths)
        return small[y : y + 32, x : x + 32], large[2 * y : 2 * y + TILE, 2 * x : 2 * x + TILE]

    def wanted():
        (height, width), _ = SIZES
        return random.integers(FRAMES), random.integers(height - 31), random.integers(width - 31)

    ahead = deque(pool.submit(pair, *wanted()) for _ in range(2 * THREADS))
    while True:
        rows = []
        for _ in range(BATCH):
            rows.append(ahead.popleft().result())
            ahead.append(pool.submit(pair, *wanted()))
        yield tuple(map(np.stack, zip(*rows, strict=True)))


def ancestor(folder, geometry, jitter, read, pool):
    """Endless batches: frames in a random order, each once, all tiles of each, through a buffer."""
    paths = [sorted((folder / side).iterdir()) for side in ("Alpha", "Beta")]
    grids = geometry.grids(TILE, 0, jitter)
    inside = np.flatnonzero(grids[1].inside)
    random = np.random.default_rng(0)

    def tiles(frame):
        return [fastup.cut(read(side[frame]), grid, index=inside) for side, grid in zip(paths, grids, strict=True)]

    order = itertools.chain.from_iterable(random.permutation(FRAMES) for _ in itertools.count())
    ahead = deque(pool.submit(tiles, next(order)) for _ in range(THREADS))
    buffers = [np.empty((BUFFER, *grid.tile, 3), np.uint16) for grid in grids]
    filled, fresh, used = 0, None, 0
    while True:
        # As many new tiles as a batch took out go into their places.
        places = random.choice(BUFFER, BATCH, replace=False) if filled == BUFFER else range(filled, filled + BATCH)
        if filled == BUFFER:
            yield tuple(buffer[places] for buffer in buffers)
        for place in places:
            if fresh is None or used == len(fresh[0]):
                fresh, used = ahead.popleft().result(), 0
                ahead.append(pool.submit(tiles, next(order)))
            for buffer, new in zip(buffers, fresh, strict=True):
                buffer[place] = new[used]
            used += 1
        filled = min(filled + BATCH, BUFFER)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(THREADS) as pool:
        yield pool


def by_turns(rounds, *sides, batch=BATCH):
    """Median seconds a pair of each side, which take turns. A side is its endless batches and how many make a turn."""
    times = [[] for _ in sides]
    for turn in range(rounds + 1):
        for (batches, count), taken in zip(sides, times, strict=True):
            began = time.perf_counter()
            deque(itertools.islice(batches, count), maxlen=0)
            if turn:  # the first one is for warming up
                taken.append((time.perf_counter() - began) / count / batch)
            time.sleep(0.3)  # what a side has begun ahead is not to take the other's time
    return [statistics.median(taken) for taken in times]


@pytest.mark.parametrize(("name", "frames", "floor"), [("few", FRAMES, {"at_most": 3}), ("many", MANY, {})])
def test_against_copying_the_words(folder, geometry, judged, name, frames, floor):
    """Without a floor for many frames: most are read then, where the peer's are mapped."""
    sides = (batches_of(folder / name), 2000), (copied(folder / "few", geometry), 1000)
    label = f"loader, a pair of {frames} frames: the same tiles' words, by NumPy"
    judged(*by_turns(5, *sides), label=label, **floor, again=lambda: by_turns(5, *sides))


@pytest.mark.parametrize(("name", "floor"), [("sizes", {"at_most": 1.6}), ("whites", {})])
def test_frames_of_several_kinds(folder, judged, name, floor):
    """Without a floor for whites that differ: batches are floats then, of twice the size."""
    sides = (batches_of(folder / name), 1500), (batches_of(folder / "parts"), 1500)
    label = (
        f"loader, a pair of {FRAMES} frames of as many sizes" + ", two whites" * (name == "whites") + ": of one size"
    )
    judged(*by_turns(5, *sides), label=label, **floor, again=lambda: by_turns(5, *sides))


@pytest.mark.parametrize("name", ["few", "many"])
def test_spans_against_tiles(folder, judged, name):
    """By the seconds a target tile: at least 0.8 of the pixels that single tiles give in that time."""
    sides = (spans_of(folder / name), 250), (batches_of(folder / name, SPANNED), 250)
    frames = FRAMES if name == "few" else MANY
    label = f"loader, a pair of spans of {SPAN}, of {frames} frames: single tiles"
    turns = partial(by_turns, 5, *sides, batch=SPANNED)
    judged(*turns(), label=label, at_most=1.25, again=turns)


def test_against_basicsr(folder, geometry, judged, pool):
    sides = (batches_of(folder / "few"), 2000), (basicsr(folder / "png", pool), 2)
    judged(*by_turns(3, *sides), at_least=2000, label="loader, a pair: BasicSR's way")


@pytest.mark.parametrize("jitter", [False, True])
@pytest.mark.parametrize("decoder", ["OpenImageIO", "fastup"])
def test_against_the_ancestor(folder, geometry, judged, pool, openimageio_read, decoder, jitter):
    """With a decoder that others have; and with ours, which is what makes that way fast.

    Jitter nearly doubles the tiles that share the cost of decoding a frame.
    """
    read = fastup.read if decoder == "fastup" else lambda path: openimageio_read(path, "uint16")
    theirs = ancestor(folder / "few", geometry, jitter, read, pool)
    floor = {"at_least": 1.2 if jitter else 2} if decoder == "OpenImageIO" else {}
    label = f"loader, a pair: the ancestor's way, by {decoder}" + ", with jitter" * jitter
    sides = (batches_of(folder / "few"), 2000), (theirs, 1000)
    judged(*by_turns(5, *sides), label=label, **floor, again=lambda: by_turns(5, *sides))
