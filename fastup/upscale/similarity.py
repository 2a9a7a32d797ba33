"""Structural similarity, SSIM, of pictures of one channel: a Numba kernel that holds a few lines at a time."""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

REACH, SIGMA = 5, 1.5  # pixels each way of the window; of its Gaussian
TAPS = 2 * REACH + 1
K1, K2 = 0.01, 0.03


def ssim(a: NDArray[np.float64], b: NDArray[np.float64], peak: float) -> float:
    """The mean similarity of two pictures, (H, W), over the positions where a window of 11 x 11 fits.

    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", with a Gaussian
    window of sigma 1.5, K1 = 0.01, K2 = 0.03. ValueError if no window fits.
    """
    if min(a.shape) < TAPS:
        raise ValueError(f"{a.shape[0]} x {a.shape[1]} pixels are left, expected at least 11 x 11 for SSIM")
    weights = np.exp(-0.5 * (np.arange(REACH + 1) / SIGMA) ** 2)
    weights /= weights[0] + 2 * weights[1:].sum()
    sums = _sums(np.ascontiguousarray(a), np.ascontiguousarray(b), weights, (K1 * peak) ** 2, (K2 * peak) ** 2)
    return math.fsum(sums) / ((a.shape[0] - TAPS + 1) * (a.shape[1] - TAPS + 1))


# Of one type, so that it is compiled when it is imported, not on one of the threads that judge frames.
@njit("f8[::1](f8[:, ::1], f8[:, ::1], f8[::1], f8, f8)", cache=True, nogil=True)
def _sums(a, b, weights, c1, c2):
    """The sum of each line's similarities."""
    height, width = a.shape
    inside = width - 2 * REACH
    lines = np.empty((TAPS, 4, width))  # of the last so many: both, their squares, their product
    down = np.empty((4, width))  # these, smoothed from line to line
    smooth = np.empty((4, inside))  # and along them
    found, sums = np.empty(inside), np.empty(height - 2 * REACH)
    for y in range(height):
        one, other, line = a[y], b[y], lines[y % TAPS]
        for x in range(width):
            line[0, x], line[1, x] = one[x], other[x]
            line[2, x], line[3, x] = one[x] * one[x] + other[x] * other[x], one[x] * other[x]
        if y < 2 * REACH:
            continue
        middle = lines[(y - REACH) % TAPS]
        for plane in range(4):
            source, target, weight = middle[plane], down[plane], weights[0]
            for x in range(width):
                target[x] = weight * source[x]
            for k in range(1, REACH + 1):
                above, below = lines[(y - REACH - k) % TAPS, plane], lines[(y - REACH + k) % TAPS, plane]
                weight = weights[k]
                for x in range(width):
                    target[x] += weight * (above[x] + below[x])
            source, target, weight = down[plane], smooth[plane], weights[0]
            for x in range(inside):
                target[x] = weight * source[x + REACH]
            for k in range(1, REACH + 1):
                left, right, weight = source[REACH - k :], source[REACH + k :], weights[k]
                for x in range(inside):
                    target[x] += weight * (left[x] + right[x])
        mean, mean_, squares, product = smooth[0], smooth[1], smooth[2], smooth[3]
        for x in range(inside):
            both, each = mean[x] * mean_[x], mean[x] * mean[x] + mean_[x] * mean_[x]
            found[x] = (2 * both + c1) * (2 * (product[x] - both) + c2) / ((each + c1) * (squares[x] - each + c2))
        sums[y - 2 * REACH] = found.sum()
    return sums
