"""What SD tape does to a picture: fewer pixels, a narrow luma band, peaking with its ringing, and noise."""

import math
import operator
from functools import cache

import numpy as np

from fastup.errors import OptionError


def degrade(frame, size=(480, 720), *, softness=0.5, peaking=0.25, noise=0.006, seed=0):
    """Turn a clean frame into what an SD tape of it would give.

    The frame is averaged down to `size`, softened along each line, peaked along each line as a recorder's detail
    circuit does (x + peaking * (x - G * x), G a Gaussian of one SD pixel, which rings beside every edge), then noise
    is added: the steps of a tape in the order in which they happen.

    Parameters
    ----------
    frame : ndarray, (H, W, C), floating
        Normalised, 0..1.
    size : (int, int)
        Height and width of the result in pixels, no larger than the frame's.
    softness : float
        Standard deviation of the luma band's Gaussian, in SD pixels, 0 or more. A band that is 3 dB down at f cycles
        per pixel has sqrt(ln 2) / (2 pi f): 0.5 is 3.6 MHz at 13.5 MHz sampling.
    peaking : float
        Strength of the peaking, 0 or more.
    noise : float
        Standard deviation of the noise, normalised, 0 or more. It is a little correlated along the lines.
    seed : int or sequence of int
        Seeds the noise, as `numpy.random.default_rng` takes it.

    Returns
    -------
    ndarray, (size[0], size[1], C), float32, clipped to 0..1.

    Raises
    ------
    OptionError
        If `size` is larger than the frame, or a strength is negative or not finite.
    ValueError, TypeError
        If `frame` does not have three dimensions, or holds integers.
    """
    for name, value in (("softness", softness), ("peaking", peaking), ("noise", noise)):
        if not 0 <= value < math.inf:
            raise OptionError(f"{name}: found {value}, expected a number of 0 or more")
    picture = gaussian(area(frame, size), softness)
    if peaking:
        picture = picture + np.float32(peaking) * (picture - gaussian(picture, 1.0))
    if noise:
        picture = picture + _noise(picture.shape, noise, seed)
    return np.clip(picture, 0, 1)


def area(frame, size):
    """Make a frame smaller by exact area averaging.

    Each pixel of the result is the mean of the rectangle it covers; a source pixel that lies partly inside counts by
    the length of the overlap, along each axis in turn. The mean of the frame is kept.

    Parameters
    ----------
    frame : ndarray, (H, W, C), floating
    size : (int, int)
        Height and width of the result in pixels, 1 or more and no larger than the frame's.

    Returns
    -------
    ndarray, (size[0], size[1], C), float32

    Raises
    ------
    OptionError
        If `size` is larger than the frame or smaller than a pixel.
    ValueError, TypeError
        If `frame` does not have three dimensions, or holds integers.
    """
    frame = np.asarray(frame)
    if frame.ndim != 3:
        raise ValueError(f"frame: found shape {frame.shape}, expected (height, width, channels)")
    if not np.issubdtype(frame.dtype, np.floating):
        raise TypeError(f"frame: found {frame.dtype}, expected normalised floating point")
    height, width = (operator.index(n) for n in size)
    if not (1 <= height <= frame.shape[0] and 1 <= width <= frame.shape[1]):
        found = f"{width}x{height}"
        raise OptionError(f"size: found {found}, expected 1x1 to the frame's {frame.shape[1]}x{frame.shape[0]}")
    picture = _shrink(frame.astype(np.float32, copy=False), height, 0)
    return np.ascontiguousarray(_shrink(picture, width, 1))


def gaussian(frame, sigma, axis=1):
    """Blur along one axis by a Gaussian; beyond the border the last pixel goes on.

    Parameters
    ----------
    frame : ndarray, float32
    sigma : float
        Standard deviation in pixels, 0 or more. The Gaussian is sampled at whole pixels out to four deviations and
        sums to one.
    axis : int

    Returns
    -------
    ndarray, float32, the shape of `frame`
    """
    kernel = _kernel(sigma)
    if len(kernel) == 1:
        return frame
    pad = [(0, 0)] * frame.ndim
    pad[axis] = (len(kernel) // 2,) * 2
    return _convolve(np.pad(frame, pad, mode="edge"), kernel, axis)


def _noise(shape, deviation, seed):
    """Gaussian noise of the given deviation, blurred along the lines; drawn wider, so that the borders are alike."""
    kernel = _kernel(0.5)
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((shape[0], shape[1] + len(kernel) - 1, shape[2]), dtype=np.float32)
    return _convolve(white, kernel * np.float32(deviation / np.linalg.norm(kernel)), 1)


@cache
def _kernel(sigma):
    radius = math.ceil(4 * sigma)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2) if sigma else np.ones(1)
    return (weights / weights.sum()).astype(np.float32)


def _convolve(padded, kernel, axis):
    """Correlate with a symmetric kernel along one axis, keeping the positions where the kernel fits."""
    lines = np.moveaxis(padded, axis, -1)
    count = lines.shape[-1] - len(kernel) + 1
    total = lines[..., :count] * kernel[0]
    for k in range(1, len(kernel)):
        total += lines[..., k : k + count] * kernel[k]
    return np.moveaxis(total, -1, axis)


def _shrink(frame, count, axis):
    """Average one axis down to `count` pixels.

    The weights repeat every `p` source and `q` result pixels, p / q being the ratio in lowest terms, so that one small
    (q, p) matrix serves the whole axis. In units of 1 / q source pixels every overlap is a whole number.
    """
    length = frame.shape[axis]
    cells = math.gcd(length, count)
    p, q = length // cells, count // cells
    i, j = np.arange(q)[:, None], np.arange(p)
    overlap = np.minimum((i + 1) * p, (j + 1) * q) - np.maximum(i * p, j * q)
    weights = (np.maximum(overlap, 0) / p).astype(np.float32)
    before, after = frame.shape[:axis], frame.shape[axis + 1 :]
    averaged = np.tensordot(weights, frame.reshape(*before, cells, p, *after), axes=(1, axis + 1))  # q comes first
    return np.moveaxis(averaged, 0, axis + 1).reshape(*before, count, *after)
