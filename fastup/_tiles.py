"""Tiles of a picture: cutting them out, how much detail they hold, ranking them, and putting them back together.

The kernels see a picture as flat memory, ``pitch`` elements from one row to the next, so that one compilation for each
dtype serves whole frames, trimmed frames and read-only ones alike. They release the GIL.
"""

import math
import numbers
from fractions import Fraction
from typing import Any, Literal, TypeVar

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from fastup._grid import TileGrid
from fastup._types import Floats, Frame
from fastup.errors import DataError, OptionError

Pixel = TypeVar("Pixel", bound=np.generic)
_DTYPES = tuple(np.dtype(name) for name in ("uint8", "uint16", "float32", "float64"))


def cut(frame: NDArray[Pixel], grid: TileGrid, fill: float | Literal["edge"] = "edge",
        out: NDArray[Pixel] | None = None, index: ArrayLike | None = None) -> NDArray[Pixel]:  # fmt: skip
    """Cut the tiles of a grid, with their borders, out of a frame.

    Parameters
    ----------
    frame : (H, W, C) array of uint8, uint16, float32 or float64
        The picture; H and W are ``grid.shape``. Rows may be strided (a trimmed view is not copied).
    fill
        What lies outside the picture: "edge" repeats its nearest pixel; a number is a constant in the frame's own
        units (a black level: code values for integers, normalised for floats).
    out
        Where to put the tiles: of the result's shape and the frame's dtype, C-contiguous, not sharing memory with it.
    index : (n,) array of int
        The numbers, in 0..len(grid) - 1, of the tiles to cut, in the order wanted. All tiles unless given.

    Returns
    -------
    (n, h + 2 * vertical border, w + 2 * horizontal border, C) array of the frame's dtype

    Raises DataError if the frame is not of the grid's shape, OptionError if `fill` is neither "edge" nor a number that
    the frame's dtype holds, and ValueError or TypeError if `frame`, `out` or `index` is of the wrong kind.
    """
    frame = _checked_frame(frame, grid)
    edge, level = _level_outside(fill, frame.dtype)
    origins = grid.origins if index is None else grid.origins[_checked_index(index, len(grid))]
    (height, width, channels), (v, h) = frame.shape, grid.border
    shape = (len(origins), grid.tile[0] + 2 * v, grid.tile[1] + 2 * h, channels)
    if out is None:
        out = np.empty(shape, frame.dtype)
    else:
        _check_out(out, shape, frame.dtype)
        if not out.flags.c_contiguous:
            raise ValueError("out: found a strided array, expected a C-contiguous one")
    flat, pitch = memory_of(frame)
    # A fancy index made a writable copy: one type for both means one compilation.
    origins = origins.view()
    origins.flags.writeable = False
    rows = out.reshape(*shape[:2], shape[2] * channels)
    _cut(flat, pitch, height, width * channels, channels, origins, v, h, edge, level, rows)
    return out


def stitch(tiles: NDArray[Pixel], grid: TileGrid, out: NDArray[Pixel] | None = None) -> NDArray[Pixel]:
    """Put the tiles of a grid back together: the inverse of `cut`.

    Borders, and what lies beyond the picture, are dropped.

    Parameters
    ----------
    tiles : (n, h + 2 * vertical border, w + 2 * horizontal border, C) array of uint8, uint16, float32 or float64
        The tiles in the grid's order: the plain ones, or all of them; those of the jitter are not looked at.
    out
        Where to put the picture: (H, W, C) of the tiles' dtype. Its rows may be part of a larger frame's rows.

    Returns
    -------
    (H, W, C) array of the tiles' dtype

    Raises DataError if the tiles are not of the grid's number or size, and ValueError or TypeError if `tiles` or `out`
    is of the wrong kind.
    """
    tiles = _checked_pixels("tiles", tiles, 4)
    plain = grid.rows * grid.columns
    size = tuple(t + 2 * b for t, b in zip(grid.tile, grid.border, strict=True))
    if len(tiles) not in (plain, len(grid)) or tiles.shape[1:3] != size:
        count = f"{plain}" if plain == len(grid) else f"{plain} or {len(grid)}"
        raise DataError(f"tiles: found shape {tiles.shape}, expected {count} tiles of {size[0]} x {size[1]}")
    channels = tiles.shape[3]
    shape = (*grid.shape, channels)
    if out is None:
        out = np.empty(shape, tiles.dtype)
    else:
        _check_out(out, shape, tiles.dtype)
        if not _rows_are_plain(out):
            raise ValueError("out: found pixels that are not side by side in memory, expected contiguous rows")
    flat, pitch = memory_of(out, writeable=True)
    tiles = np.ascontiguousarray(tiles).reshape(*tiles.shape[:2], -1).view()
    tiles.flags.writeable = False
    _stitch(tiles, grid.columns, *grid.tile, *grid.border, channels, flat, pitch, *grid.shape)
    return out


def detail(frame: Frame, grid: TileGrid) -> Floats:
    """How much is going on in each tile: the sum of absolute differences between neighbouring pixels.

    Each pixel is compared with its right and its lower neighbour, channel by channel, where both lie in the tile and in
    the picture; borders do not count. Differences are taken in the frame's own type. Sums are exact for integers and
    in float64 for floats; only the result is rounded. A NaN gives its tile the score NaN.

    The frame is (H, W, C) of uint8, uint16, float32 or float64, H and W as in ``grid.shape``; it takes the least time
    where no code value is above 1023. The result is (n,), in the frame's own units, at least 0.

    Raises DataError if the frame is not of the grid's shape, and ValueError or TypeError if it is of the wrong kind.
    """
    frame = _checked_frame(frame, grid)
    total = _detail_of_plain_tiles(frame, grid.tile, grid.rows, grid.columns)
    if grid.jitter and grid.rows > 1 and grid.columns > 1:
        # Half a tile in, the jittered tiles are the first ones of a plain grid.
        part = frame[grid.tile[0] // 2 :, grid.tile[1] // 2 :]
        total = np.concatenate([total, _detail_of_plain_tiles(part, grid.tile, grid.rows - 1, grid.columns - 1)])
    with np.errstate(over="ignore"):  # beyond float32, a score is infinite
        return total.astype(np.float32)


def rank(score: ArrayLike, quality: float) -> NDArray[np.int64]:
    """The most detailed tiles, best first: their positions in `score`, equal scores in order of position.

    `score` is (n,) numbers, n at least 1, as `detail` gives them. `quality` is the fraction of tiles to keep, above 0
    and at most 1. ``ceil(quality * n)`` tiles are kept, so at least one, with `quality` taken as the decimal number it
    prints as: 0.07 of 100 tiles is 7 tiles, not the 8 that binary floating point would give.

    Raises OptionError if `quality` is out of range, and ValueError or TypeError if `score` is empty, not
    one-dimensional, not of numbers, or holds a NaN.
    """
    if isinstance(quality, bool) or not isinstance(quality, numbers.Real) or not 0 < quality <= 1:
        raise OptionError(f"quality: found {quality!r}, expected a number above 0 and at most 1")
    score = np.asarray(score)
    if score.ndim != 1 or not score.size:
        raise ValueError(f"score: found shape {score.shape}, expected one dimension and at least one score")
    if score.dtype.kind not in "iuf":
        raise TypeError(f"score: found dtype {score.dtype}, expected real numbers")
    bad = np.flatnonzero(np.isnan(score))
    if bad.size:
        raise ValueError(f"score: found NaN at position {bad[0]} ({bad.size} in all), expected numbers")
    count = kept(quality, score.size)
    # Sorted from the back, and the order reversed: descending, with equal scores in order of position.
    order = np.argsort(score[::-1], kind="stable")[::-1][:count]
    return (score.size - 1 - order).astype(np.int64)


def kept(quality: float, count: int) -> int:
    """How many of `count` tiles `rank` keeps."""
    return math.ceil(Fraction(str(quality)) * count)


def _detail_of_plain_tiles(frame, tile, rows, columns):
    """(rows * columns,) sums of the plain tiles of `frame`, uint64 or float64."""
    height, width, channels = frame.shape
    flat, pitch = memory_of(frame)
    # What one column of pixels sums up to, and how many rows fit in that: 16 bits are half the work of 32, and hold
    # 64 rows of 10-bit video. The kernel looks for values above that and leaves the rest to the second try.
    if frame.dtype.kind == "f":
        tries = ((np.float64, 0, height),)
    else:
        tries = ((np.uint16, 1023, 65535 // 1023), (np.uint32, 0, 65535))
    for dtype, ceiling, most in tries:
        total = np.zeros((rows, columns), np.float64 if dtype is np.float64 else np.uint64)
        across, down = _aligned(width * channels, dtype), _aligned(width * channels, dtype)
        if _detail(flat, pitch, height, width * channels, channels, *tile, ceiling, most, across, down, total):
            break
    return total.reshape(-1)


@njit(cache=True, nogil=True)
def _detail(flat, pitch, height, width, channels, tile_h, tile_w, ceiling, most, across, down, total):
    """Add each tile's detail to `total`. False, with `total` unfinished, at a value above `ceiling`, unless that is 0.

    `width` counts elements. `across` and `down` take one sum for each element of a row: loops as long as the picture
    is wide, and without a carried sum, are what compilers vectorise best. `most` rows never overflow them.
    """
    inner = width - channels  # elements with a right neighbour
    tile_w *= channels
    for i in range(total.shape[0]):
        end = min((i + 1) * tile_h, height)
        for top in range(i * tile_h, end, most):
            across[:] = 0
            down[:] = 0
            for y in range(top, min(top + most, end)):
                row = flat[y * pitch : y * pitch + width]
                right = row[channels:]
                lower = min(y + 1, end - 1) * pitch  # the last row of a tile is its own lower neighbour: no difference
                below = flat[lower : lower + width]
                if ceiling > 0:
                    peak = row[0]
                    for x in range(width):
                        peak = max(peak, row[x])
                    if peak > ceiling:
                        return False
                # The conversion tells the compiler that a difference needs no more bits than the values.
                for x in range(inner):
                    a, r, b = row[x], right[x], below[x]
                    across[x] += flat.dtype.type(a - r if a > r else r - a)
                    down[x] += flat.dtype.type(a - b if a > b else b - a)
                for x in range(inner, width):
                    a, b = row[x], below[x]
                    down[x] += flat.dtype.type(a - b if a > b else b - a)
            for j in range(total.shape[1]):
                x0, x1 = j * tile_w, min((j + 1) * tile_w, width)
                for x in range(x0, x1 - channels):
                    total[i, j] += across[x]
                for x in range(x0, x1):
                    total[i, j] += down[x]
    return True


@njit(cache=True, nogil=True)
def _cut(flat, pitch, height, width, channels, origins, v, h, edge, level, out):
    """Cut tiles into `out`, (n, rows, elements). `width` counts elements. Every tile has a pixel in the picture."""
    rows, size = out.shape[1], out.shape[2]
    for t in range(out.shape[0]):
        y0 = origins[t, 0] - v
        x0 = (origins[t, 1] - h) * channels
        left = max(0, -x0)
        right = min(size, width - x0)
        # Nothing but the copy in this loop: a branch here makes Numba count references for every row.
        for r in range(rows):
            start = min(max(y0 + r, 0), height - 1) * pitch + x0
            source = flat[start + left : start + right]
            target = out[t, r, left:right]
            for x in range(source.size):
                target[x] = source[x]
        if edge and (left > 0 or right < size):
            for r in range(rows):
                first = min(max(y0 + r, 0), height - 1) * pitch
                last = first + width - channels
                for x in range(left):
                    out[t, r, x] = flat[first + x % channels]
                for x in range(right, size):
                    out[t, r, x] = flat[last + (x - right) % channels]
        elif not edge:
            for r in range(rows):
                outside = y0 + r < 0 or y0 + r >= height
                for x in range(size if outside else left):
                    out[t, r, x] = level
                for x in range(right, size):
                    out[t, r, x] = level


@njit(cache=True, nogil=True)
def _stitch(tiles, columns, tile_h, tile_w, v, h, channels, flat, pitch, height, width):
    """Write the plain tiles, (n, rows, elements), into a picture of `width` pixels."""
    for y in range(height):
        for j in range(columns):
            x0, x1 = j * tile_w, min((j + 1) * tile_w, width)
            source = tiles[y // tile_h * columns + j, v + y % tile_h, h * channels :]
            target = flat[y * pitch + x0 * channels : y * pitch + x1 * channels]
            for x in range(target.size):
                target[x] = source[x]


def _checked_pixels(name, array, ndim):
    """`array` as an array that the kernels know."""
    array = np.asarray(array)
    if array.dtype not in _DTYPES:
        raise TypeError(f"{name}: found dtype {array.dtype}, expected one of {', '.join(map(str, _DTYPES))}")
    if array.ndim != ndim or not array.shape[-1]:
        layout = "(height, width, channels)" if ndim == 3 else "(tiles, height, width, channels)"
        raise ValueError(f"{name}: found shape {array.shape}, expected {layout}")
    return array


def _checked_frame(frame, grid):
    frame = _checked_pixels("frame", frame, 3)
    if frame.shape[:2] != grid.shape:
        raise DataError(f"frame: found {frame.shape[:2]} (height, width), expected {grid.shape} as in the grid")
    return frame


def _level_outside(fill, dtype):
    """Whether the edge is repeated, and the constant as a scalar of `dtype`."""
    if isinstance(fill, str) and fill == "edge":
        return True, dtype.type(0)
    if isinstance(fill, numbers.Real) and not isinstance(fill, bool):
        if dtype.kind == "f":
            usable = abs(fill) <= float(np.finfo(dtype).max)
        else:
            usable = 0 <= fill <= np.iinfo(dtype).max and fill == int(fill)
        if usable:
            return False, dtype.type(fill)
    raise OptionError(f"fill: found {fill!r}, expected 'edge' or a number that {dtype} holds")


def _checked_index(index, count):
    index = np.asarray(index)
    if index.ndim != 1:
        raise ValueError(f"index: found shape {index.shape}, expected one dimension")
    if index.size == 0:
        return index.astype(np.int64)
    if index.dtype.kind not in "iu":
        raise TypeError(f"index: found dtype {index.dtype}, expected whole numbers (a mask: use np.flatnonzero)")
    low, high = index.min(), index.max()
    if low < 0 or high >= count:
        raise ValueError(f"index: found {low if low < 0 else high}, expected tile numbers in 0..{count - 1}")
    return index


def _check_out(out, shape, dtype):
    if not isinstance(out, np.ndarray) or out.dtype != dtype or out.shape != shape or not out.flags.writeable:
        found = f"{out.dtype} {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        if isinstance(out, np.ndarray) and not out.flags.writeable:
            found = f"read-only {found}"
        raise ValueError(f"out: found {found}, expected a writable {dtype} array of shape {shape}")


def _rows_are_plain(frame):
    """Whether each row is one run of elements in memory, and the rows follow one another."""
    size, (down, right, across) = frame.itemsize, frame.strides
    height, width, channels = frame.shape
    return (
        frame.flags.aligned
        and (channels == 1 or across == size)
        and (width == 1 or right == channels * size)
        and (height == 1 or (down >= width * channels * size and down % size == 0))
    )


def memory_of(frame: Frame, writeable: bool = False) -> tuple[NDArray[Any], int]:
    """`frame`'s memory from its first element to its last, flat, and the elements from one row to the next."""
    if not _rows_are_plain(frame):
        frame = np.ascontiguousarray(frame)
    height, width, channels = frame.shape
    pitch = frame.strides[0] // frame.itemsize if height > 1 else width * channels
    length = (height - 1) * pitch + width * channels
    return np.lib.stride_tricks.as_strided(frame, (length,), (frame.itemsize,), writeable=writeable), pitch


def _aligned(count, dtype):
    """A 1-D array that starts on a cache line: stores that straddle two lines cost a fifth of the speed."""
    memory = np.empty(count * np.dtype(dtype).itemsize + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + count * np.dtype(dtype).itemsize].view(dtype)
