"""Grids, cutting, stitching, detail and ranking against twins written from the definitions."""

import os
import pickle
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastup import _tiles
from fastup._tiles import TileGrid, cut, detail, rank, stitch
from fastup.errors import DataError, OptionError

DTYPES = ("uint8", "uint16", "float32", "float64")


@st.composite
def grids(draw):
    """From 1 x 1 upwards: tiles larger than the picture, remainders, borders larger than the tile, jitter."""
    jitter = draw(st.booleans())
    size = st.integers(1, 6).map(lambda n: 2 * n) if jitter else st.integers(1, 12)
    side, border = st.integers(1, 17), st.integers(0, 15)
    return TileGrid((draw(side), draw(side)), (draw(size), draw(size)), (draw(border), draw(border)), jitter=jitter)


@st.composite
def pictures(draw):
    """A grid and a frame for it: every dtype, 1 to 4 channels, whole, cropped, mirrored, transposed or read-only."""
    grid = draw(grids())
    height, width = grid.shape
    dtype, channels = np.dtype(draw(st.sampled_from(DTYPES))), draw(st.integers(1, 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    top = draw(st.sampled_from((2, 1024, 65536)))
    big = rng.integers(0, min(top, 256) if dtype == np.uint8 else top, (height + 3, width + 3, channels))
    # Multiples of 1/1024 below 64 add up exactly in float64, in any order.
    big = big.astype(dtype) if dtype.kind == "u" else (big / 1024).astype(dtype)
    layout = draw(st.sampled_from(("whole", "cropped", "mirrored", "every second", "columns first", "read-only")))
    frame = big[2 : 2 + height, 1 : 1 + width]
    if layout == "mirrored":
        frame = frame[::-1, ::-1]
    elif layout == "every second":
        spread = np.zeros((2 * height, 2 * width, 2 * channels), dtype)
        spread[::2, ::2, ::2] = frame
        frame = spread[::2, ::2, ::2]
    elif layout == "columns first":
        frame = np.asfortranarray(frame)
    elif layout != "cropped":
        frame = frame.copy()
        frame.flags.writeable = layout != "read-only"
    return grid, frame


def exactly(got, expected):
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected, strict=True)


@given(grids())
def test_positions(grid):
    origins = naive.tile_origins(*grid.shape, *grid.tile, grid.jitter)
    assert grid.origins.tolist() == [list(origin) for origin in origins]
    assert grid.origins.dtype == np.int64
    assert len(grid) == len(origins) == len(grid.inside)
    n, m = grid.rows, grid.columns
    assert len(grid) == n * m + (n - 1) * (m - 1) * grid.jitter
    ends = [(y + grid.tile[0], x + grid.tile[1]) for y, x in origins]
    assert grid.inside.tolist() == [y <= grid.shape[0] and x <= grid.shape[1] for y, x in ends]


def test_positions_of_a_known_picture():
    grid = TileGrid((1080, 1440), 60, border=2, jitter=True)
    assert (grid.tile, grid.border, grid.rows, grid.columns, len(grid)) == ((60, 60), (2, 2), 18, 24, 432 + 17 * 23)
    assert grid.origins[[0, 1, 24, 431, 432, 433, 822]].tolist() == [
        [0, 0], [0, 60], [60, 0], [1020, 1380], [30, 30], [30, 90], [990, 1350],
    ]  # fmt: skip
    assert grid.inside.all()
    assert TileGrid((486, 720), (60, 60)).inside.tolist() == [True] * 96 + [False] * 12


def test_grid_is_a_value():
    grid = TileGrid(np.array([20, 30]), (np.int32(8), 6), 1, True)
    assert grid == TileGrid((20, 30), (8, 6), (1, 1), jitter=True)
    assert len({grid, TileGrid((20, 30), (8, 6), (1, 1), jitter=True)}) == 1
    assert grid.origins is grid.origins
    other = pickle.loads(pickle.dumps(grid))
    assert other == grid
    for array in (grid.origins, grid.inside, other.origins, other.inside):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    with pytest.raises(AttributeError):
        grid.tile = (2, 2)


@pytest.mark.parametrize(("fields", "words"), [
    ({"shape": (0, 5)}, ["shape", "(0, 5)", "positive"]),
    ({"shape": (5, 5, 3)}, ["shape", "(5, 5, 3)", "two"]),
    ({"shape": 5}, ["shape", "5", "two"]),
    ({"shape": (5.0, 5)}, ["shape", "5.0", "whole"]),
    ({"tile": 0}, ["tile", "0", "positive"]),
    ({"tile": (4, -1)}, ["tile", "(4, -1)", "positive"]),
    ({"tile": "44"}, ["tile", "'44'"]),
    ({"tile": None}, ["tile", "None"]),
    ({"tile": True}, ["tile", "True"]),
    ({"tile": (4, True)}, ["tile", "True"]),
    ({"border": -1}, ["border", "-1", "at least 0"]),
    ({"border": (1, 2, 3)}, ["border", "(1, 2, 3)"]),
    ({"border": 1.5}, ["border", "1.5"]),
    ({"jitter": 1}, ["jitter", "1", "True or False"]),
    ({"jitter": True, "tile": (60, 61)}, ["tile", "(60, 61)", "even", "60 and 62"]),
    ({"jitter": True, "tile": 1}, ["tile", "(1, 1)", "even", "to 1: 2"]),
])  # fmt: skip
def test_grid_errors(fields, words):
    with pytest.raises(OptionError) as error:
        TileGrid(**{"shape": (20, 20), "tile": 4, **fields})
    assert all(word in str(error.value) for word in words), str(error.value)


@settings(deadline=None, max_examples=150)
@given(pictures(), st.data())
def test_cut_and_stitch(picture, data):
    grid, frame = picture
    top = 255 if frame.dtype == np.uint8 else 64
    fill = data.draw(st.sampled_from(("edge", 0, 7, top)))
    origins = naive.tile_origins(*grid.shape, *grid.tile, grid.jitter)
    expected = naive.tile_cut(frame, origins, *grid.tile, *grid.border, fill)
    tiles = cut(frame, grid, fill)
    exactly(tiles, expected)
    n, m = grid.rows, grid.columns
    for some in (tiles, tiles[: n * m], np.asfortranarray(tiles)):
        exactly(stitch(some, grid), frame)
        exactly(stitch(some, grid), naive.tile_stitch(tiles, *grid.shape, *grid.border))
    index = data.draw(st.lists(st.integers(0, len(grid) - 1), max_size=6))
    out = np.full((len(index), *tiles.shape[1:]), 9, frame.dtype)
    assert cut(frame, grid, fill, out=out, index=np.array(index, np.int32)) is out
    exactly(out, expected[index])


@settings(deadline=None, max_examples=150)
@given(pictures())
def test_detail(picture):
    grid, frame = picture
    origins = naive.tile_origins(*grid.shape, *grid.tile, grid.jitter)
    exactly(detail(frame, grid), naive.tile_detail(frame, origins, *grid.tile))
    assert not detail(np.full_like(frame, frame.flat[0]), grid).any()


def test_stitch_into_a_part_of_a_frame():
    grid = TileGrid((9, 11), 4, border=1)
    picture = np.arange(9 * 11 * 3, dtype=np.uint16).reshape(9, 11, 3)
    whole = np.full((12, 20, 3), 5, np.uint16)
    expected = whole.copy()
    expected[2:11, 4:15] = picture
    part = whole[2:11, 4:15]
    assert stitch(cut(picture, grid), grid, out=part) is part
    exactly(whole, expected)


def test_unaligned_memory():
    grid = TileGrid((5, 7), 4, border=2)
    picture = np.arange(5 * 7 * 3, dtype=np.uint16).reshape(5, 7, 3)
    odd = np.frombuffer(b"x" + picture.tobytes(), np.uint16, offset=1).reshape(picture.shape)
    assert not odd.flags.aligned
    exactly(cut(odd, grid), cut(picture, grid))
    exactly(detail(odd, grid), detail(picture, grid))
    with pytest.raises(ValueError, match="contiguous rows"):
        stitch(cut(picture, grid), grid, out=np.frombuffer(bytearray(211), np.uint16, offset=1).reshape(picture.shape))


@pytest.mark.parametrize("top", [1, 1023, 1024, 4095, 65535])
@pytest.mark.parametrize("size", [60, 64, 65, 131])
def test_detail_of_checkerboards(size, top):
    """The largest sums there are: no 16-bit or 32-bit column of the kernel overflows."""
    board = (np.indices((size, size)).sum(axis=0) % 2 * top).astype(np.uint16)
    board = np.repeat(board[..., None], 3, axis=2)
    exact = 2 * size * (size - 1) * 3 * top
    assert detail(board, TileGrid((size, size), size)).tolist() == [float(np.float32(exact))]


def test_detail_of_tall_and_wide_tiles():
    for shape in ((70_000, 2, 1), (2, 70_000, 1), (2, 15_000, 4)):
        board = (np.indices(shape[:2]).sum(axis=0) % 2 * 65535).astype(np.uint16)
        board = np.repeat(board[..., None], shape[2], axis=2)
        height, width, channels = shape
        exact = ((height - 1) * width + (width - 1) * height) * channels * 65535
        assert detail(board, TileGrid(shape[:2], shape[:2])).tolist() == [float(np.float32(exact))]


def test_one_value_above_10_bits_anywhere():
    rng = np.random.default_rng(5)
    grid = TileGrid((70, 50), 20, jitter=True)
    origins = naive.tile_origins(70, 50, 20, 20, True)
    for y, x, c in ((0, 0, 0), (69, 49, 2), (0, 49, 2), (35, 20, 1)):
        frame = rng.integers(0, 1024, (70, 50, 3)).astype(np.uint16)
        frame[y, x, c] = 65535
        exactly(detail(frame, grid), naive.tile_detail(frame, origins, 20, 20))


def test_detail_of_floats():
    rng = np.random.default_rng(1)
    frame = rng.normal(size=(50, 70, 3)).astype(np.float32)
    grid = TileGrid((50, 70), 16, jitter=True)
    expected = naive.tile_detail(frame, naive.tile_origins(50, 70, 16, 16, True), 16, 16)
    np.testing.assert_allclose(detail(frame, grid), expected, rtol=2e-7)
    frame[20, 20, 1] = np.nan
    bad = np.isnan(detail(frame, grid))
    assert 0 < bad.sum() < len(grid)
    assert bad[6] == (naive.tile_origins(50, 70, 16, 16, True)[6] == (16, 16))
    with pytest.raises(ValueError, match="NaN"):
        rank(detail(frame, grid), 0.5)
    frame[20, 20, 1] = 3e38
    frame[20, 21, 1] = -3e38
    assert np.isinf(detail(frame, grid)).any()


@pytest.mark.parametrize("call", [cut, detail])
def test_frame_errors(call):
    grid = TileGrid((6, 8), 4)
    with pytest.raises(DataError, match=r"frame: found \(8, 6\).*\(6, 8\)"):
        call(np.zeros((8, 6, 3), np.uint16), grid)
    for shape in ((6, 8), (6, 8, 0), (1, 6, 8, 3)):
        with pytest.raises(ValueError, match="frame: found shape"):
            call(np.zeros(shape, np.uint16), grid)
    for dtype in (np.int16, ">u2", bool, np.float16, complex, object):
        with pytest.raises(TypeError, match="frame: found dtype"):
            call(np.zeros((6, 8, 3), dtype), grid)


@pytest.mark.parametrize(("dtype", "fill"), [
    ("uint16", -1), ("uint16", 65536), ("uint8", 256), ("uint16", 0.5), ("uint16", float("nan")), ("uint16", True),
    ("float32", float("nan")), ("float32", float("inf")), ("float32", 1e39), ("float32", "black"), ("float32", None),
])  # fmt: skip
def test_fill_errors(dtype, fill):
    with pytest.raises(OptionError, match=r"fill: found .*, expected 'edge' or a number"):
        cut(np.zeros((6, 8, 3), dtype), TileGrid((6, 8), 4), fill)


def test_index_errors():
    frame, grid = np.zeros((6, 8, 3), np.uint16), TileGrid((6, 8), 4)
    for index, error, words in (
        ([4], ValueError, r"found 4, expected tile numbers in 0..3"),
        ([0, -1], ValueError, r"found -1"),
        ([[0]], ValueError, "one dimension"),
        ([0.0], TypeError, "whole numbers"),
        (grid.inside, TypeError, "flatnonzero"),
    ):
        with pytest.raises(error, match=words):
            cut(frame, grid, index=index)
    assert cut(frame, grid, index=[]).shape == (0, 4, 4, 3)


def test_out_errors():
    frame, grid = np.zeros((6, 8, 3), np.uint16), TileGrid((6, 8), 4)
    tiles = cut(frame, grid)
    locked, picture = tiles.copy(), frame.copy()
    locked.flags.writeable = picture.flags.writeable = False
    wrong = (tiles[:3], tiles.astype(np.float32), locked, tiles.tolist(), np.repeat(tiles, 2, axis=3)[..., ::2])
    for out in wrong:
        with pytest.raises(ValueError, match="out: found"):
            cut(frame, grid, out=out)
    for out in (frame[:5], frame.astype(np.float32), picture, [], np.zeros((6, 16, 3), np.uint16)[:, ::2], frame[::-1]):
        with pytest.raises(ValueError, match="out: found"):
            stitch(tiles, grid, out=out)


def test_stitch_errors():
    grid = TileGrid((12, 8), 4, border=(1, 0), jitter=True)
    good = np.zeros((8, 6, 4, 3), np.uint16)
    assert stitch(good, grid).shape == stitch(good[:6], grid).shape == (12, 8, 3)
    for tiles in (good[:7], good[:5], good[:, :4], good[:, :, :3]):
        with pytest.raises(DataError, match=r"tiles: found shape .*, expected 6 or 8 tiles of 6 x 4"):
            stitch(tiles, grid)
    with pytest.raises(TypeError, match="tiles: found dtype int64"):
        stitch(good.astype(np.int64), grid)
    with pytest.raises(ValueError, match="tiles: found shape"):
        stitch(good[0], grid)


scores = st.lists(st.integers(-3, 3) | st.just(float("inf")), min_size=1, max_size=60)


@given(scores, st.integers(1, 1000))
def test_rank(score, thousandths):
    count = -(-thousandths * len(score) // 1000)
    for dtype in (np.float32, np.float64):
        best = rank(np.array(score, dtype), thousandths / 1000)
        assert best.dtype == np.int64
        assert best.tolist() == naive.tile_rank(score, count)
    # A lower quality keeps the best of what a higher one does.
    assert rank(score, 1.0)[:count].tolist() == best.tolist()


def test_rank_counts():
    assert len(rank(np.zeros(100), 0.07)) == 7  # 0.07 * 100 is 7.000000000000001
    assert len(rank(np.zeros(30, np.float32), np.float32(0.1))) == 3
    assert len(rank(np.zeros(3), Fraction(1, 3))) == 1
    assert rank(np.zeros(5), 1).tolist() == [0, 1, 2, 3, 4]
    assert rank(np.zeros(5), 1e-9).tolist() == [0]
    assert rank(np.array([1, 0, 255], np.uint8), 1).tolist() == [2, 0, 1]


def test_rank_errors():
    for quality in (0, -0.1, 1.01, float("nan"), "0.5", None, True):
        with pytest.raises(OptionError, match=r"quality: found .* above 0 and at most 1"):
            rank(np.zeros(3), quality)
    with pytest.raises(ValueError, match="NaN at position 1"):
        rank(np.array([0, np.nan]), 0.5)
    for score in ([], np.zeros((2, 2)), 1.0):
        with pytest.raises(ValueError, match="score: found shape"):
            rank(score, 0.5)
    with pytest.raises(TypeError, match="score: found dtype"):
        rank(["a"], 0.5)


def test_threads_do_not_disturb_each_other():
    rng = np.random.default_rng(2)
    grid = TileGrid((1000, 1500), 100, border=1, jitter=True)
    frames = [rng.integers(0, 65536, (1000, 1500, 3)).astype(np.uint16) for _ in range(2)]
    expected = [(detail(frame, grid), cut(frame, grid)) for frame in frames]
    start = threading.Barrier(2)

    def work(frame):
        start.wait()
        return [(detail(frame, grid), stitch(cut(frame, grid), grid), cut(frame, grid)) for _ in range(3)]

    with ThreadPoolExecutor(2) as pool:
        for frame, wanted, results in zip(frames, expected, pool.map(work, frames), strict=True):
            for score, picture, tiles in results:
                exactly(score, wanted[0])
                exactly(tiles, wanted[1])
                exactly(picture, frame)


@pytest.mark.parametrize("name", ["_detail", "_cut", "_stitch"])
def test_kernels_release_the_gil(name, monkeypatch):
    """While a kernel runs in a thread, this one gets on, though no thread is ever asked to give way."""
    kernel, calls = getattr(_tiles, name), []
    monkeypatch.setattr(_tiles, name, lambda *arguments: (calls.append(arguments), kernel(*arguments))[1])
    frame, grid = np.zeros((3000, 4000, 3), np.uint16), TileGrid((3000, 4000), 100)
    {"_detail": detail, "_cut": cut, "_stitch": stitch}[name](cut(frame, grid) if name == "_stitch" else frame, grid)
    beside = False
    for _ in range(20):  # on a busy machine the kernel may end before this thread gets a core
        about_to, done = threading.Event(), []

        def work(about_to=about_to, done=done):
            about_to.set()
            kernel(*calls[-1])
            done.append(True)

        interval = sys.getswitchinterval()
        sys.setswitchinterval(5)
        try:
            thread = threading.Thread(target=work)
            thread.start()
            about_to.wait()
            beside = not done
            thread.join()
        finally:
            sys.setswitchinterval(interval)
        if beside:
            break
    assert beside


def test_compiled_code_is_kept(tmp_path):
    """A second process loads what the first one compiled, for every dtype and layout with one version each."""
    script = """
import numpy as np
from fastup import _tiles
grid = _tiles.TileGrid((9, 11), 4, border=1)
frame = np.ones((12, 20, 3), np.uint16)
locked = np.ones((9, 11, 3), np.uint16)
locked.flags.writeable = False
for picture in (frame[1:10, 2:13], locked, np.asfortranarray(locked)):
    for index in (None, [3, 0], np.array([1], np.uint8)):
        tiles = _tiles.cut(picture, grid, index=index)
    _tiles.stitch(_tiles.cut(picture, grid, 0), grid)
    _tiles.detail(picture, grid)
print([(len(k.signatures), sum(k.stats.cache_hits.values())) for k in (_tiles._cut, _tiles._stitch, _tiles._detail)])
"""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": path}
    seen = [
        subprocess.run(
            [sys.executable, "-c", script], env=env, check=True, capture_output=True, text=True
        ).stdout.strip()
        for _ in range(2)
    ]
    assert seen == ["[(1, 0), (1, 0), (1, 0)]", "[(1, 1), (1, 1), (1, 1)]"]
