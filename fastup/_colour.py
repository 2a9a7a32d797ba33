"""Numba kernels that map colours: a curve of straight pieces a channel, or a matrix with an offset."""

import numpy as np
from numba import njit
from numpy.typing import ArrayLike

from fastup._types import Floats

_BINS = 512  # of a curve's range: each knows the piece in which it begins


def mapped_by_curves(frame: Floats, x: ArrayLike, y: ArrayLike, out: Floats | None = None) -> Floats:
    """A frame through a curve a channel, of straight pieces; the first and the last piece go on beyond its ends.

    Parameters
    ----------
    frame : (height, width, 3) array of float32, of any strides
    x, y : (3, n)
        Where the pieces of each channel meet, n >= 2; `x` increases.
    out
        Where to, which may be `frame` itself; a new array by default.

    Returns
    -------
    ndarray, (height, width, 3), float32
        Not clipped. NaN stays NaN.
    """
    x, y = np.array(x, np.float64), np.array(y, np.float64)
    if x.ndim != 2 or x.shape != y.shape or x.shape[0] != 3 or x.shape[1] < 2:
        raise ValueError(f"curves are of shapes {x.shape} and {y.shape}, expected (3, n) twice, n at least 2")
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (np.diff(x) > 0).all()):
        raise ValueError("x of a curve does not increase, or holds NaN or infinity")
    out = _checked(frame, out)
    slope = np.diff(y) / np.diff(x)
    scale = _BINS / (x[:, -1] - x[:, 0])
    begins = x[:, :1] + np.arange(_BINS) / scale[:, None]
    first = np.stack([np.searchsorted(xs, b, "right") - 1 for xs, b in zip(x, begins, strict=True)])
    _curves(frame, x, y, slope, scale, np.maximum(first - 1, 0), out)
    return out


def mapped_by_matrix(frame: Floats, matrix: ArrayLike, out: Floats | None = None) -> Floats:
    """A frame through a matrix: `matrix` (3, 4) makes of a pixel (r, g, b) what it makes of the column (r, g, b, 1).

    `frame`, `out` and the result are as of `mapped_by_curves`.
    """
    matrix = np.array(matrix, np.float64)
    if matrix.shape != (3, 4) or not np.isfinite(matrix).all():
        raise ValueError(f"matrix is of shape {matrix.shape}, expected (3, 4), all of it finite")
    out = _checked(frame, out)
    _matrix(frame, matrix, out)
    return out


def _checked(frame, out):
    """`out`, or a new array for the result."""
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.float32:
        raise ValueError(f"frame is {frame.dtype} of {frame.shape}, expected float32 of (height, width, 3)")
    if out is None:
        return np.empty(frame.shape, np.float32)
    if out.shape != frame.shape or out.dtype != np.float32:
        raise ValueError(f"out is {out.dtype} of {out.shape}, expected float32 of {frame.shape}")
    return out


@njit(cache=True, nogil=True)
def _curves(frame, x, y, slope, scale, first, out):
    height, width, _ = frame.shape
    last = slope.shape[1] - 1
    for row in range(height):
        for column in range(width):
            for c in range(3):
                value = np.float64(frame[row, column, c])
                piece = 0
                if value >= x[c, last]:
                    piece = last
                elif value >= x[c, 0]:  # rounding may give the bin after its own, so a bin begins a piece early
                    piece = first[c, min(int((value - x[c, 0]) * scale[c]), _BINS - 1)]
                    while value >= x[c, piece + 1]:
                        piece += 1
                out[row, column, c] = y[c, piece] + slope[c, piece] * (value - x[c, piece])


@njit(cache=True, nogil=True)
def _matrix(frame, matrix, out):
    height, width, _ = frame.shape
    for row in range(height):
        for column in range(width):
            r, g, b = frame[row, column, 0], frame[row, column, 1], frame[row, column, 2]
            for c in range(3):
                out[row, column, c] = matrix[c, 0] * r + matrix[c, 1] * g + matrix[c, 2] * b + matrix[c, 3]
