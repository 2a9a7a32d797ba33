"""Means of small blocks of a picture away from edges: what colours and levels are measured by."""

import numpy as np
from numpy.typing import NDArray

from fastup._types import Floats

BLOCK = 4  # pixels: the side of a block
REACH = 1, 2  # blocks above and below, left and right of one that must be free of edges as well: halos lie along lines
_INNER = tuple(slice(reach, -reach) for reach in REACH)
_FLAT = 0.08, 0.2  # the flatter half of the blocks is free of edges; blocks that span less always are, more never


def are_enough(shape: tuple[int, ...]) -> bool:
    """Whether a picture of this (height, width, ...) has a block with others all around it."""
    return min(n // BLOCK - 2 * reach for n, reach in zip(shape, REACH, strict=False)) >= 1


def means(picture: Floats) -> Floats:
    """The mean of each block, (rows, columns, 3), without those at the rim. Pixels that fill no block are left out."""
    return _blocks(picture, np.mean)[_INNER]


def variances(picture: Floats) -> Floats:
    """The variance of each block, of those that `means` gives."""
    mean = _blocks(picture, np.mean)
    return (_blocks(picture * picture, np.mean) - mean * mean).clip(0)[_INNER]


def flat(picture: Floats) -> NDArray[np.bool_]:
    """Which of the blocks that `means` gives are away from edges: (rows, columns)."""
    span = (_around(_blocks(picture, np.max), np.max) - _around(_blocks(picture, np.min), np.min)).max(-1)
    return span <= np.clip(np.median(span), *_FLAT)


def _blocks(picture, what):
    """`what` of each block, (rows, columns, 3); pixels that fill no block are left out."""
    rows, columns = (n // BLOCK for n in picture.shape[:2])
    part = picture[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns * BLOCK, 3)
    return what(what(part, 1).reshape(rows, columns, BLOCK, 3), 2)  # down first, which is many columns at a time


def _around(values, what):
    """`what` of each block and those within reach; a block that lacks some of them gives none."""
    for axis, reach in enumerate(REACH):
        values = what(np.lib.stride_tricks.sliding_window_view(values, 2 * reach + 1, axis), -1)
    return values
