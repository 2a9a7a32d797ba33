"""The tile kernels against plain NumPy, on a 1440 x 1080 picture of 10-bit code values."""

import numpy as np
import pytest

from fastup._tiles import TileGrid, cut, detail, stitch

HEIGHT, WIDTH, TILE, BORDER = 1080, 1440, 60, 2


@pytest.fixture(scope="module")
def frame():
    return np.random.default_rng(0).integers(0, 1024, (HEIGHT, WIDTH, 3)).astype(np.uint16)


def numpy_detail(frame, axes):
    return [
        sum(np.abs(np.diff(frame[y : y + TILE, x : x + TILE].astype(np.int32), axis=axis)).sum() for axis in axes)
        for y in range(0, HEIGHT, TILE)
        for x in range(0, WIDTH, TILE)
    ]


def numpy_cut(frame, out):
    """A border of edge pixels all round, then a slice for each tile."""
    wide = np.pad(frame, ((BORDER, BORDER), (BORDER, BORDER), (0, 0)), mode="edge")
    size, number = TILE + 2 * BORDER, 0
    for y in range(0, HEIGHT, TILE):
        for x in range(0, WIDTH, TILE):
            out[number] = wide[y : y + size, x : x + size]
            number += 1
    return out


def numpy_stitch(tiles, out):
    rows, columns = HEIGHT // TILE, WIDTH // TILE
    inner = tiles[:, BORDER:-BORDER, BORDER:-BORDER].reshape(rows, columns, TILE, TILE, 3)
    out.reshape(rows, TILE, columns, TILE, 3)[...] = inner.transpose(0, 2, 1, 3, 4)
    return out


def test_detail_against_numpy(frame, against):
    """The same scores: differences to the right and downwards."""
    grid = TileGrid((HEIGHT, WIDTH), TILE)
    assert detail(frame, grid).tolist() == np.array(numpy_detail(frame, (0, 1)), np.float32).tolist()
    against(
        lambda: detail(frame, grid), lambda: numpy_detail(frame, (0, 1)), calls=5, at_least=8.5, label="detail, NumPy"
    )


def test_detail_against_half_of_it_in_numpy(frame, against):
    """Ours does both directions, the peer only the horizontal one."""
    grid = TileGrid((HEIGHT, WIDTH), TILE)
    peer = "detail, NumPy horizontally only"
    against(lambda: detail(frame, grid), lambda: numpy_detail(frame, (1,)), calls=5, at_least=5.3, label=peer)


def test_detail_against_sum(frame, against):
    grid = TileGrid((HEIGHT, WIDTH), TILE)
    against(lambda: detail(frame, grid), frame.sum, calls=5, at_most=0.6, label="detail, frame.sum()")


def test_detail_of_16_bits_against_sum(frame, against):
    grid, wide = TileGrid((HEIGHT, WIDTH), TILE), frame * np.uint16(64)
    against(lambda: detail(wide, grid), wide.sum, calls=5, at_most=0.8, label="detail of 16 bits, frame.sum()")


def test_cut_against_numpy(frame, against):
    grid = TileGrid((HEIGHT, WIDTH), TILE, BORDER)
    ours, peer = cut(frame, grid), np.empty((len(grid), TILE + 2 * BORDER, TILE + 2 * BORDER, 3), np.uint16)
    assert (ours == numpy_cut(frame, peer)).all()
    against(
        lambda: cut(frame, grid, out=ours),
        lambda: numpy_cut(frame, peer),
        calls=5,
        at_least=1.1,
        label="cut, NumPy slices",
    )


def test_stitch_against_numpy(frame, against):
    grid = TileGrid((HEIGHT, WIDTH), TILE, BORDER)
    tiles, ours, peer = cut(frame, grid), np.empty_like(frame), np.empty_like(frame)
    assert (stitch(tiles, grid, out=ours) == numpy_stitch(tiles, peer)).all()
    against(
        lambda: stitch(tiles, grid, out=ours),
        lambda: numpy_stitch(tiles, peer),
        calls=5,
        at_most=1.5,
        label="stitch, NumPy transposed",
    )
