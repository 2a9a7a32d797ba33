"""A Numba kernel: a picture resampled once, by an affine transform that turns it by little."""

import math

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from fastup._types import Floats, Size

REACH = 3  # of Lanczos' kernel, in result pixels where a picture shrinks, in its own where it grows

_PHASES = 1024  # weights are interpolated between so many places from pixel to pixel: 5e-7 of white off at the most
_TURN = 0.2  # lines may slope by so much, 11 degrees


def warp(picture: Floats, matrix: ArrayLike, size: Size) -> Floats:
    """Resample a picture by Lanczos, sinc(x) sinc(x / 3), along its lines first and down its columns after that.

    Positions are continuous, (y, x): pixel centres lie at half positions. Beyond the picture its nearest pixel goes
    on. Where the picture shrinks, the kernel is as wide in result pixels as it is in the picture's own where it grows,
    so nothing aliases; weights sum to one. Without a turn this is `fastup._resample.resize` for any scale and place.

    With a turn, every line of the picture is resampled to where the columns of the result cross it, and then each of
    those columns (Catmull and Smith 1980, "3-D transformations of images in scanline order"). That is resampling in two
    dimensions with a kernel that leans by the turn. A wave of 8 pixels a period each way comes out within 0.011 of
    white of what it is at every place, which is Lanczos' own error; a turn by 1 degree changes that by less than 1e-4.

    Parameters
    ----------
    picture : (H, W, C), float32
    matrix : (2, 3)
        Takes a position (y, x) on the result to that on the picture: ``matrix[:, :2] @ (y, x) + matrix[:, 2]``.
        ValueError if it mirrors, or turns by more than about 10 degrees.
    size
        Height and width of the result, 1 or more.

    Returns
    -------
    (h, w, C), float32
        A little beyond the picture's range beside sharp edges.
    """
    if picture.ndim != 3 or picture.dtype != np.float32 or not picture.size:
        raise ValueError(
            f"picture: found {picture.shape} of {picture.dtype}, expected (height, width, channels), float32"
        )
    if min(size) < 1:
        raise ValueError(f"size: found {size}, expected 1 or more")
    down, along, moved = _factors(matrix)
    tables = [_table(step) for step in (down[0], along[0])]
    height, width = size
    ends = [down[0] * y + down[1] * x + moved[0] for y in (0.5, height - 0.5) for x in (0.5, width - 0.5)]
    reach = tables[0].shape[1] // 2
    first, last = math.floor(min(ends) - 0.5) - reach, math.floor(max(ends) - 0.5) + reach + 1  # one more, for rounding
    lines = np.empty((last - first + 1, width, picture.shape[2]), np.float32)
    _along(np.ascontiguousarray(picture), tables[1], along[0], along[1], moved[1], first, lines)
    result = np.empty((height, width, picture.shape[2]), np.float32)
    _down(lines, tables[0], down[0], down[1], moved[0] - first, result)
    return result


def _factors(matrix):
    """A matrix for the two passes: y and x in the picture's y; x and the picture's y in its x; the rest."""
    (a, b, c), (d, e, f) = np.asarray(matrix, np.float64)
    if not (a > 0 and e > 0 and abs(b) <= _TURN * e and abs(d) <= _TURN * a):
        raise ValueError(f"matrix: found {np.asarray(matrix).tolist()}, expected one that turns by 10 degrees at most")
    return (a, b), (e - d * b / a, d / a), (c, f - d * c / a)


def _table(step):
    """The weights of the pixels around a place, for every place between two pixels: (_PHASES + 1, pixels)."""
    scale = max(1.0, step)
    reach = math.ceil(REACH * scale)
    x = (np.arange(1 - reach, reach + 1) - np.arange(_PHASES + 1)[:, np.newaxis] / _PHASES) / scale
    weights = np.where(abs(x) < REACH, np.sinc(x) * np.sinc(x / REACH), 0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)


@njit(cache=True, nogil=True)
def _weigh(table, place, weights):
    """Fill in the weights of the pixels around a place; returns the first of them."""
    whole = math.floor(place)
    phase = (place - whole) * (table.shape[0] - 1)
    k = min(int(phase), table.shape[0] - 2)
    share = np.float32(phase - k)
    for n in range(table.shape[1]):
        weights[n] = table[k, n] + share * (table[k + 1, n] - table[k, n])
    return int(whole) + 1 - table.shape[1] // 2


@njit(cache=True, nogil=True)
def _along(picture, table, across, slope, moved, first, lines):
    height, width, channels = picture.shape
    taps = table.shape[1]
    weights = np.empty(taps, np.float32)
    for row in range(lines.shape[0]):
        line = picture[min(max(row + first, 0), height - 1)]
        start = slope * (row + first + 0.5) + moved - 0.5
        for x in range(lines.shape[1]):
            left = _weigh(table, across * (x + 0.5) + start, weights)
            inside = left >= 0 and left + taps <= width
            for c in range(channels):
                total = np.float32(0)
                if inside:
                    for n in range(taps):
                        total += weights[n] * line[left + n, c]
                else:
                    for n in range(taps):
                        total += weights[n] * line[min(max(left + n, 0), width - 1), c]
                lines[row, x, c] = total


@njit(cache=True, nogil=True)
def _down(lines, table, down, slope, moved, result):
    height, width, channels = result.shape
    taps = table.shape[1]
    weights = np.empty(taps, np.float32)
    for y in range(height):
        start = down * (y + 0.5) + moved - 0.5
        if slope == 0:
            top = _weigh(table, start, weights)
            for x in range(width):
                for c in range(channels):
                    result[y, x, c] = weights[0] * lines[top, x, c]
            for n in range(1, taps):
                for x in range(width):
                    for c in range(channels):
                        result[y, x, c] += weights[n] * lines[top + n, x, c]
        else:
            for x in range(width):
                top = _weigh(table, start + slope * (x + 0.5), weights)
                for c in range(channels):
                    total = np.float32(0)
                    for n in range(taps):
                        total += weights[n] * lines[top + n, x, c]
                    result[y, x, c] = total
