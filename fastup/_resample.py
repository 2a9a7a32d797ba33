"""Frames made smaller, and blurred along an axis, by products with banded matrices; and MATLAB's ``imresize``."""

import math
import operator
from collections.abc import Iterable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fastup._types import Floats, Frame, Size
from fastup.codes import codes_of
from fastup.errors import OptionError

FILTERS = ("lanczos", "area", "bicubic", "matlab")
CODES = 255  # white of the codes to which `imresize` rounds

_BLOCK = 8  # lines of a banded matrix that are multiplied at once: few enough zeros, few enough calls
_PRODUCTS = 1 << 17  # in a call of BLAS: with more it starts threads, which only slow down those that have a frame each


def resize(frame: Frame, size: Iterable[int], filter: str = "lanczos") -> Floats:
    """Make a frame smaller, along each axis in turn.

    Pixel centres lie at half positions. Beyond the border the last pixel goes on. The kernels are as wide in result
    pixels as they are for enlarging in source pixels, so nothing aliases; their weights sum to one.

    OptionError if `size` is larger than the frame or smaller than a pixel, or there is no such filter; ValueError or
    TypeError if `frame` does not have three dimensions, or holds integers.

    Parameters
    ----------
    frame : (H, W, C), floating
    size : height, width
        Of the result, 1 or more and no larger than the frame's.
    filter : {"lanczos", "area", "bicubic", "matlab"}
        sinc(x) sinc(x / 3) out to 3; the mean of the rectangle that a pixel covers, partly covered source pixels by
        their share; Keys' cubic with a = -1/2 (Keys 1981, "Cubic convolution interpolation for digital image
        processing"). Lanczos and bicubic go a little beyond the frame's range beside sharp edges. `matlab` is the
        bicubic of MATLAB for pictures of 8 bits, code by code: see `imresize`.
    """
    frame = np.asarray(frame)
    if frame.ndim != 3:
        raise ValueError(f"frame: found shape {frame.shape}, expected (height, width, channels)")
    if not np.issubdtype(frame.dtype, np.floating):
        raise TypeError(f"frame: found {frame.dtype}, expected normalised floating point")
    height, width = check_size(size, frame.shape)
    if filter not in FILTERS:
        raise OptionError(f"filter: found {filter!r}, expected one of {', '.join(FILTERS)}")
    if filter == "matlab":
        return imresize(frame, (height, width))
    picture = frame.astype(np.float32, copy=False)
    if height < picture.shape[0]:
        picture = _multiply(picture, 0, resampling, height, filter)
    if width < picture.shape[1]:
        picture = _multiply(picture, 1, resampling, width, filter)
    return picture.copy() if picture is frame else picture


def imresize(frame: Frame, size: Size) -> Floats:
    """Resize as MATLAB's ``imresize(picture, size)`` does a ``uint8`` picture, to the same codes; larger, too.

    Keys' cubic with a = -1/2, made wider where the picture shrinks. Beyond the border the picture is mirrored, the last
    pixel being there twice. The axis that shrinks the most goes first, rows where both do alike. Sums are in double
    precision, in the order of their pixels, and rounded to codes after each axis, halves upwards. Super-resolution's
    papers make their inputs so.

    Parameters
    ----------
    frame : (H, W, C), floating
        Normalised; it is rounded to 8 bits first.
    size : height, width
        Of the result, 1 or more.

    Returns
    -------
    ndarray of float32
        Codes over 255.
    """
    codes = codes_of(frame, CODES).astype(np.float64)
    for axis in sorted((0, 1), key=lambda axis: size[axis] / frame.shape[axis]):
        length = frame.shape[axis]
        if size[axis] == length:
            continue
        source, weights = _contributions(length, size[axis])
        source %= 2 * length
        source = np.minimum(source, 2 * length - 1 - source)
        lines = codes if axis == 0 else codes.swapaxes(0, 1)
        made = np.zeros((size[axis], *lines.shape[1:]))
        for places, weight in zip(source.T, weights.T, strict=True):
            made += weight[:, np.newaxis, np.newaxis] * lines[places]
        whole = np.floor(made.clip(0, CODES, out=made))
        whole += made - whole >= 0.5
        codes = whole if axis == 0 else whole.swapaxes(0, 1)
    return np.ascontiguousarray(codes, np.float32) / np.float32(CODES)


def gaussian(frame: Floats, sigma: float) -> Floats:
    """Blur (H, W, C) along the lines by a Gaussian; beyond the border the last pixel goes on.

    `sigma` is the standard deviation in pixels; where it is 0, the frame itself is given. The Gaussian is sampled at
    whole pixels out to four deviations and sums to one.
    """
    return _multiply(frame, 1, _blurring, sigma) if sigma else frame


def check_size(size: Iterable[int], shape: tuple[int, ...]) -> Size:
    """A size as two integers; OptionError if that is no size to make a frame of that shape smaller to."""
    height, width = (operator.index(n) for n in size)
    if not (1 <= height <= shape[0] and 1 <= width <= shape[1]):
        raise OptionError(f"size: found {width}x{height}, expected 1x1 to the picture's {shape[1]}x{shape[0]}")
    return height, width


# -- products with banded matrices -------------------------------------------------------------------------------------
#
# A matrix is two arrays of (lines of the result, weights of a line): which lines of the source each is made of, and the
# weights. Source lines that lie outside are the nearest ones inside; of `matlab`, those mirrored.


def resampling(length: int, count: int, filter: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """What makes `length` lines into fewer, `count`: (count, n) lines of the source, and their weights."""
    i = np.arange(count)[:, np.newaxis]
    if filter == "area":  # in units of 1 / count source pixels every overlap is a whole number
        source = i * length // count + np.arange(-(-length // count) + 1)
        overlap = np.minimum((i + 1) * length, (source + 1) * count) - np.maximum(i * length, source * count)
        return source, np.maximum(overlap, 0) / length
    if filter == "matlab":
        return _contributions(length, count)
    kernel, reach = {"lanczos": (_lanczos, 3), "bicubic": (_keys, 2)}[filter]
    scale = length / count
    centre = (i + 0.5) * scale - 0.5
    source = np.floor(centre).astype(int) + np.arange(1 - math.ceil(reach * scale), math.ceil(reach * scale) + 1)
    weights = kernel((source - centre) / scale)
    return source, weights / weights.sum(1, keepdims=True)


def _lanczos(x):
    return np.where(abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


def _keys(x):
    x = abs(x)
    return np.where(x < 1, (1.5 * x - 2.5) * x * x + 1, np.where(x < 2, ((2.5 - 0.5 * x) * x - 4) * x + 2, 0))


def _contributions(length, count):
    """MATLAB's own arithmetic, operation by operation, but for places, which are counted from 0 here.

    Its ``imresize.m``, ``contributions``, with ``cubic``, antialiased. Weights that are nothing in every line go.
    """
    scale = count / length
    shrinks = min(scale, 1)
    u = np.arange(1, count + 1)[:, np.newaxis] / scale + 0.5 * (1 - 1 / scale)
    width = 4 / shrinks
    places = np.floor(u - width / 2) + np.arange(math.ceil(width) + 2)
    x = abs(shrinks * (u - places))
    x2, x3 = x**2, _cubes(x)
    near, far = 1.5 * x3 - 2.5 * x2 + 1, -0.5 * x3 + 2.5 * x2 - 4 * x + 2
    weights = shrinks * np.where(x <= 1, near, np.where(x <= 2, far, 0))
    weights /= sum(weights.T)[:, np.newaxis]  # one after the other, not in pairs
    used = weights.any(axis=0)
    return places[:, used].astype(int) - 1, weights[:, used]


_cubes = np.vectorize(lambda x: x**3, otypes=[float])  # by C's pow: NumPy's own is off in the last bit now and then


def _blurring(length, sigma):
    reach, weights = gaussian_weights(sigma)
    source = np.arange(length)[:, np.newaxis] + np.arange(-reach, reach + 1)
    return source, np.broadcast_to(weights, source.shape)


def gaussian_weights(sigma: float) -> tuple[int, NDArray[np.float64]]:
    """How many pixels a Gaussian reaches to each side, and its weights there, which sum to one."""
    reach = math.ceil(4 * sigma)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return reach, weights / weights.sum()


def _multiply(frame, axis, matrix, *arguments):
    """Rows (axis 0) or columns (axis 1) of a frame, multiplied by ``matrix(how many there are, *arguments)``."""
    height, width, channels = frame.shape
    lines = np.ascontiguousarray(frame, np.float32).reshape(height, width * channels)
    count, blocks = _blocks(1 if axis == 0 else channels, matrix, frame.shape[axis], *arguments)
    if axis == 0:
        height = count
    else:
        width = count
    result = np.empty((height, width * channels), np.float32)
    for made, source, weights in blocks:
        across = max(1, _PRODUCTS // weights.size)
        for start in range(0, lines.shape[1 - axis], across):
            part = slice(start, start + across)
            if axis == 0:
                np.matmul(weights, lines[source, part], out=result[made, part])
            else:
                np.matmul(lines[part, source], weights.T, out=result[part, made])
    return result.reshape(height, width, channels)


@lru_cache(32)
def _blocks(channels, matrix, length, *arguments):
    """A banded matrix as dense blocks: how many lines it makes; slices of them and of their source, and the weights.

    Each line is `channels` lines side by side, which keep apart.
    """
    source, weights = matrix(length, *arguments)
    source, blocks = np.clip(source, 0, length - 1), []
    for start in range(0, len(source), _BLOCK):
        rows, values = source[start : start + _BLOCK], weights[start : start + _BLOCK]
        first, end = int(rows.min()), int(rows.max()) + 1
        block = np.zeros((len(rows), end - first))
        np.add.at(block, (np.arange(len(rows))[:, np.newaxis], rows - first), values)
        block = np.kron(block, np.eye(channels)).astype(np.float32)
        made = slice(start * channels, (start + len(rows)) * channels)
        blocks.append((made, slice(first * channels, end * channels), block))
    return len(source), blocks
