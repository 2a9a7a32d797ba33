"""The scale of a model: two exact fractions, the cells of whole pixels on both sides, and bicubic enlargement.

Words: the scale of an axis is p/q in lowest terms, at least 1. A *cell* is q input pixels, which make p target pixels.
"""

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastup._types import Floats, Frame, Size
from fastup.errors import OptionError

Scale = tuple[Fraction, Fraction]  # vertical, horizontal


def fractions(scale: Iterable[Any]) -> Scale:
    """The scale as two `Fraction`, (vertical, horizontal), in lowest terms.

    Parameters
    ----------
    scale : pair of numbers or of (numerator, denominator)
        ``(Fraction(9, 4), 2)`` and ``[[9, 4], [2, 1]]`` (as a settings file holds it) are the same scale.

    Raises
    ------
    ValueError
        If it isn't a pair, isn't made of exact numbers, or an axis is scaled by less than 1.
    """
    try:
        vertical, horizontal = (
            Fraction(*part) if isinstance(part, (list, tuple)) else Fraction(part, 1) for part in scale
        )
    except (TypeError, ValueError, ZeroDivisionError):
        raise ValueError(f"scale is {scale!r}, expected two exact fractions such as [[9, 4], [2, 1]]") from None
    if vertical < 1 or horizontal < 1:
        raise ValueError(f"scale is {vertical} x {horizontal}, expected at least 1 on both axes")
    return vertical, horizontal


def parsed(text: str, name: str = "scale") -> Scale:
    """A scale as a person writes it: ``2``, or ``9/4,2``, vertical and horizontal. OptionError if it is none."""
    try:
        parts = [Fraction(part.strip()) for part in text.split(",")]
        if not 1 <= len(parts) <= 2 or min(parts) < 1:
            raise ValueError
    except (ValueError, ZeroDivisionError):
        raise OptionError(
            f"{name} is {text!r}, expected a fraction of 1 or more, such as 2, or two: 9/4,2 (vertical, horizontal)"
        ) from None
    return parts[0], parts[-1]


def phases(scale: Fraction) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Bicubic interpolation along one axis: the input pixels and weights behind each of a cell's target pixels.

    Pixel centres lie at half positions, so target pixel i is at ``(i + 1/2) / scale - 1/2`` in input pixels. The kernel
    is Keys' with a = -1/2 (Keys 1981, "Cubic convolution interpolation for digital image processing"), the one that
    MATLAB's ``imresize`` uses when it enlarges.

    Parameters
    ----------
    scale : Fraction
        p/q, at least 1.

    Returns
    -------
    first : ndarray of int64, (p,)
        The first of four neighbouring input pixels, counted from the cell's first pixel: -2 at the least.
    weights : ndarray of float64, (p, 4)
        Their weights. Each row sums to 1.
    """
    p, q = scale.numerator, scale.denominator
    first = np.empty(p, np.int64)
    weights = np.empty((p, 4))
    for i in range(p):
        centre = Fraction((2 * i + 1) * q - p, 2 * p)
        whole = centre.numerator // centre.denominator
        t = float(centre - whole)
        first[i] = whole - 1
        weights[i] = (
            ((2 - t) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((4 - 3 * t) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        )
    return first, weights


def cell_of(scale: Scale) -> tuple[Size, Size]:
    """The smallest window of whole pixels on both sides: ((input h, w), (target H, W))."""
    vertical, horizontal = scale
    return (vertical.denominator, horizontal.denominator), (vertical.numerator, horizontal.numerator)


def bicubic(picture: Frame, scale: Scale) -> Floats:
    """Enlarge a picture (height, width, channels) of whole cells; outside of it its edge pixels repeat.

    `phases` has the kernel. It is what a residual network adds to, and what `evaluate` holds a model against.
    """
    picture = np.asarray(picture, np.float32)
    for axis, factor in enumerate(scale):
        if factor != 1:
            picture = _enlarged(picture, axis, factor)
    return picture


def _enlarged(picture, axis, factor):
    first, weights = phases(factor)
    size = picture.shape[axis]
    starts = np.arange(0, size, factor.denominator)[:, np.newaxis]
    pixels = (starts + first).ravel()
    out = np.zeros((*picture.shape[:axis], pixels.size, *picture.shape[axis + 1 :]), np.float32)
    for tap in range(4):
        weight = np.tile(weights[:, tap].astype(np.float32), len(starts))
        taken = np.take(picture, np.clip(pixels + tap, 0, size - 1), axis)
        taken *= weight.reshape(-1, *(1,) * (picture.ndim - 1 - axis))
        out += taken
    return out
