"""Where the tiles of a picture are."""

import numbers
import operator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastup._types import Size
from fastup.errors import OptionError


@dataclass(frozen=True, init=False)
class TileGrid:
    """Where the tiles of a picture are.

    A picture of H x W pixels has N x M plain tiles, N = ceil(H / h) and M = ceil(W / w), in raster order from the
    top left; those of the last row and column may reach beyond the picture. Jitter adds (N - 1) x (M - 1) tiles after
    them, in raster order too, each half a tile further down and right.

    Parameters
    ----------
    shape
        Height and width of the picture in pixels.
    tile
        Height and width of a tile in pixels, without its border. May be larger than the picture. Even with jitter.
    border
        Pixels of context above and below, and left and right, of each tile. They change no position.
    jitter
        Whether the half-tile positions are part of the grid.

    Raises OptionError if a value cannot be used.
    """

    shape: Size
    tile: Size
    border: Size
    jitter: bool

    def __init__(self, shape: Size, tile: int | Size, border: int | Size = 0, jitter: bool = False) -> None:
        shape = _pair("shape", shape, 1, single=False)
        tile = _pair("tile", tile, 1)
        border = _pair("border", border, 0)
        if not isinstance(jitter, (bool, np.bool_)):
            raise OptionError(f"jitter: found {jitter!r}, expected True or False")
        for size in tile:
            if jitter and size % 2:
                nearest = f"{size - 1} and {size + 1}" if size > 1 else "2"
                raise OptionError(f"tile: found {tile}, expected even sizes, as jitter moves by half a tile; "
                                  f"nearest to {size}: {nearest}")  # fmt: skip
        for name, value in (("shape", shape), ("tile", tile), ("border", border), ("jitter", bool(jitter))):
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        # Rebuilt from its fields, as a pickled array would come back writable.
        return TileGrid, (self.shape, self.tile, self.border, self.jitter)

    @property
    def rows(self) -> int:
        """Rows of plain tiles, N."""
        return -(-self.shape[0] // self.tile[0])

    @property
    def columns(self) -> int:
        """Columns of plain tiles, M."""
        return -(-self.shape[1] // self.tile[1])

    def __len__(self) -> int:
        plain = self.rows * self.columns
        return plain + (self.rows - 1) * (self.columns - 1) if self.jitter else plain

    @cached_property
    def origins(self) -> NDArray[np.int64]:
        """(n, 2), read-only: y and x of the top left pixel of each tile without its border."""
        first = _raster(self.rows, self.columns)
        parts = [first * self.tile]
        if self.jitter:
            parts.append(_raster(self.rows - 1, self.columns - 1) * self.tile + np.array(self.tile) // 2)
        origins = np.concatenate(parts)
        origins.flags.writeable = False
        return origins

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """(n,), read-only: whether the tile without its border lies wholly in the picture."""
        inside = np.all(self.origins + self.tile <= self.shape, axis=1)
        inside.flags.writeable = False
        return inside

    def well_inside(self, rim: int = 0) -> NDArray[np.int32]:
        """The numbers of the tiles that lie wholly in the picture, so many pixels from its rim or more; ascending."""
        (height, width), (down, right) = self.shape, self.tile
        parts, first = [], 0
        for jittered in (False, True) if self.jitter else (False,):
            half = np.array(self.tile) // 2 * jittered
            y = np.arange(self.rows - jittered) * down + half[0]
            x = np.arange(self.columns - jittered) * right + half[1]
            good = ((y >= rim) & (y + down <= height - rim))[:, None] & ((x >= rim) & (x + right <= width - rim))
            parts.append(first + np.flatnonzero(good))
            first += good.size
        return np.concatenate(parts).astype(np.int32)


def _pair(name: str, value: Any, least: int, single: bool = True) -> Size:
    """Two ints of at least `least`, from a pair or, where allowed, one for both."""
    what = "positive whole numbers" if least else "whole numbers of at least 0"
    pair = (value, value) if single and isinstance(value, numbers.Integral) else value
    try:
        first, second = pair
        if isinstance(first, (bool, np.bool_)) or isinstance(second, (bool, np.bool_)):
            raise TypeError("a bool is no size")
        pair = operator.index(first), operator.index(second)
    except (TypeError, ValueError):
        pair = None
    if pair is None or min(pair) < least:
        expected = f"one or two {what}" if single else f"two {what}"
        raise OptionError(f"{name}: found {value!r}, expected {expected} (height, width)")
    return pair


def _raster(rows, columns):
    """(rows * columns, 2) int64: row and column numbers in raster order."""
    return np.ascontiguousarray(np.indices((rows, columns), dtype=np.int64).reshape(2, -1).T)
