"""Where an HD picture lies on the SD picture of the same drawing: shift, scale and turn, and HD put there."""

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import chain
from math import ceil, floor, lcm, log

import numpy as np

from fastup import _warp
from fastup._types import Floats, Window
from fastup.errors import DataError
from fastup.pairs.alignment import LIKENESS
from fastup.pairs.fitting import Level, Placement

_OVERSCAN, _STEP = 0.06, 0.03  # scales that are tried around the given one, and the step between them
_COARSE, _WIDE = 96, 480  # SD pixels that scales are tried at; pictures less wide are refined at full size
_LARGEST_NUMERATOR, _LARGEST_TILE, _ABOVE = 20, 120, 1.03  # of a target's scale; of its smallest tile; beyond HD's own
_SIMPLER = 0.002  # of a scale that one less in the numerator is worth


def place(sd: Floats, hd: Floats, start: Placement | None = None) -> tuple[Placement | None, float]:
    """Find where an HD picture lies on the SD picture of the same drawing.

    Without a start, scales around that of the sizes, 6 % up and down on each axis, are tried on small pictures by the
    correlation of their gradients. From there on, and from a start, the placement is moved until the gradients of HD
    explain nothing more of what differs (Gauss and Newton's method; Lucas & Kanade 1981, "An iterative image
    registration technique"), on pictures of an eighth of the size, a quarter, ..., to SD's own. In each block of 16
    by 16 pixels the SD picture may have a gain and an offset of its own, so any smooth curve between the colours is
    allowed, as long as it rises. A block counts by one over the variance of what is left unexplained, which is large
    where a subtitle is on one of them, and not at all where it asks for another shift than the rest (Tukey's biweight).

    What blurs or peaks the SD picture alike to both sides shifts nothing. A halo or an echo on one side of edges does:
    an echo of a tenth, 3 pixels on, by 0.15 pixels; 1 pixel on, by 0.08; 6 pixels on, by 0.04. It cannot be told from a
    shift, and HD is put where it looks the same.

    Parameters
    ----------
    sd : (h, w), float32
        Luma, normalised.
    hd : (H, W), float32
        Luma, normalised; no smaller than `sd`.
    start
        Where it lies within about 3 % of SD's size. Where nothing is found from there, the search is made. Where
        pictures are alike and have too little in them to tell scale and turn, those of the start are kept.

    Returns
    -------
    placement
        None if the pictures don't show it: flat, edges one way only, another drawing; if a corner would be off by 0.15
        SD pixels or more, one standard error, by how much the blocks disagree.
    likeness
        How alike the gradients are once HD is there: 1 is the same, 0 another picture.
    """
    _check(sd, hd)
    likeness = 0.0
    for one in chain([start] if start is not None else [], _search(sd, hd)):
        found, alike = _finer(sd, hd, one)
        if found is not None:
            return found, alike
        likeness = max(likeness, alike)
    return refine(sd, hd, start) if start is not None and likeness >= LIKENESS else (None, likeness)


def refine(sd: Floats, hd: Floats, placement: Placement) -> tuple[Placement | None, float]:
    """The shift of a frame, with the scale and the turn of a placement: gate weave.

    It may be off the placement's by a tenth of SD's size. Returns the same as `place`.

    Parameters
    ----------
    sd : (h, w), float32
        Luma, normalised.
    hd : (H, W), float32
        Luma, normalised.
    placement
        Of the shot.
    """
    _check(sd, hd)
    small = Level(sd, hd, placement, max(1.0, sd.shape[1] / _COARSE / 2))
    moved, likeness = small.shifted(placement)
    if likeness < LIKENESS / 2:
        return None, likeness
    level = Level(sd, hd, placement, 2.0 if sd.shape[1] >= _WIDE else 1.0)
    return level.fit(moved, scaled=False).told()


def common(found: Sequence[tuple[Placement | None, float]]) -> Placement | None:
    """The placement that frames have in common: the median of each shift, scale and turn; None if none was found.

    `found` is what `place` gave of some frames of a shot, or `common` of some shots.
    """
    sure = [one for one, _ in found if one is not None]
    if not sure:
        return None
    shift = np.median([one.shift for one in sure], axis=0)
    scale = np.median([one.scale for one in sure], axis=0)
    rotation = float(np.median([one.rotation for one in sure]))
    return replace(sure[0], shift=tuple(shift.tolist()), scale=tuple(scale.tolist()), rotation=rotation)


# -- targets ----------------------------------------------------------------------------------------------------------


def exact_scale(placement: Placement) -> tuple[Fraction, Fraction]:
    """The scale of targets: the simple fractions nearest to a placement's, (vertical, horizontal).

    Numerators go to 20, so that cells are small; a tile of 60 to 120 target pixels holds whole cells of both; and what
    is made has at most 3 % more pixels than HD, on each axis. Of fractions as near the smaller numerator is taken: 1
    less is worth a fifth of a percent.

    DataError if HD has fewer pixels than SD.
    """
    if min(placement.scale) * _ABOVE < 1:
        found = " x ".join(f"{one:.3f}" for one in placement.scale)
        raise DataError(f"HD has {found} pixels (vertical x horizontal) for one of SD, expected 1 or more")
    candidates = [
        [
            (abs(log(fraction / own)) + _SIMPLER * fraction.numerator, fraction)
            for fraction in {Fraction(p, q) for p in range(1, _LARGEST_NUMERATOR + 1) for q in range(1, p + 1)}
            if fraction <= own * _ABOVE
        ]
        for own in placement.scale
    ]
    return min(
        (down[0] + along[0], (down[1], along[1])) for down in candidates[0] for along in candidates[1]
        if 2 * lcm(down[1].numerator, along[1].numerator) <= _LARGEST_TILE
    )[1]  # fmt: skip


def common_window(
    placements: Sequence[Placement], scale: Sequence[Fraction], leave_out: float = 0.0
) -> tuple[int, int, int, int]:
    """The largest window of whole cells on SD that HD covers, with all that `warp` reads: y, x, height, width.

    It is that of all frames, or of all but the share `leave_out` of those that HD covers least, at each side.
    DataError if HD covers no cell.
    """
    covered = np.array([_covered(placement, scale) for placement in placements])
    top, left = np.quantile(covered[:, :2], 1 - leave_out, axis=0, method="higher")
    bottom, right = np.quantile(covered[:, 2:], leave_out, axis=0, method="lower")
    window = []
    for first, end, axis in ((top, bottom, scale[0]), (left, right, scale[1])):
        start = ceil(first - 1e-9)
        length = floor(floor(end + 1e-9) - start) // axis.denominator * axis.denominator
        if length < axis.denominator:
            raise DataError(
                f"HD covers nothing of SD: rows {top:.1f} to {bottom:.1f}, columns {left:.1f} to {right:.1f}"
            )
        window.append((start, length))
    return window[0][0], window[1][0], window[0][1], window[1][1]


def covers(placement: Placement, window: Window, scale: Sequence[Fraction]) -> bool:
    """Whether HD covers a window on SD (y, x, height, width) with all that `warp` reads."""
    top, left, bottom, right = _covered(placement, scale)
    y, x, height, width = window
    return bool(y >= top - 1e-9 and x >= left - 1e-9 and y + height <= bottom + 1e-9 and x + width <= right + 1e-9)


def _covered(placement, scale):
    """The rectangle of SD that HD covers, less the reach of Lanczos: top, left, bottom, right."""
    height, width = placement.sd
    matrix = placement.matrix
    reach = [_warp.REACH * max(1.0, float(own / one)) for own, one in zip(placement.scale, scale, strict=True)]
    low, high = np.array(reach), np.subtract(placement.hd, reach)
    top, left, bottom, right = 0.0, 0.0, float(height), float(width)
    for _ in range(3):  # each side for how far the others go
        (a, b, c), (d, e, f) = matrix
        top = max(0.0, *((low[0] - c - b * x) / a for x in (left, right)))
        bottom = min(float(height), *((high[0] - c - b * x) / a for x in (left, right)))
        left = max(0.0, *((low[1] - f - d * y) / e for y in (top, bottom)))
        right = min(float(width), *((high[1] - f - d * y) / e for y in (top, bottom)))
    return top, left, bottom, right


def warp(hd: Floats, placement: Placement, window: Window, scale: Sequence[Fraction]) -> Floats:
    """An HD picture resampled, once, to where it lies on a window of SD, at a scale: (height * down, width * along, C).

    Parameters
    ----------
    hd : (H, W, C), float32
        Normalised; of the size that the placement has.
    window
        y, x, height, width on SD, whole cells of the scale: ValueError if it is not.
    scale
        (vertical, horizontal), result pixels per SD pixel.
    """
    if hd.shape[:2] != placement.hd:
        raise ValueError(f"hd: found {hd.shape[1]}x{hd.shape[0]}, expected {placement.hd[1]}x{placement.hd[0]}")
    y, x, *lengths = window
    size = [length * one for length, one in zip(lengths, scale, strict=True)]
    if any(Fraction(one).denominator != 1 for one in size):
        raise ValueError(f"window: found {tuple(window)}, expected whole cells of {scale[0]} x {scale[1]}")
    matrix = placement.matrix
    matrix[:, 2] += matrix[:, :2] @ (y, x)
    matrix[:, :2] /= [float(one) for one in scale]
    return _warp.warp(hd, matrix, (int(size[0]), int(size[1])))


# -- measuring --------------------------------------------------------------------------------------------------------


def _check(sd, hd):
    for name, picture in (("sd", sd), ("hd", hd)):
        if picture.ndim != 2 or picture.dtype != np.float32 or not picture.size:
            raise ValueError(f"{name}: found {picture.shape} of {picture.dtype}, expected (height, width), float32")
        if not np.isfinite(picture).all():
            raise DataError(f"the {name.upper()} picture: found NaN or infinity, expected finite values")
    if hd.shape[0] < sd.shape[0] or hd.shape[1] < sd.shape[1]:
        found = "{1}x{0}".format(*hd.shape)
        raise DataError(f"the HD picture is {found}, smaller than the SD picture of {sd.shape[1]}x{sd.shape[0]}")


def _search(sd, hd):
    """Placements to begin with, the likeliest first."""
    fitted = Placement.fitted(sd.shape, hd.shape)
    level = Level(sd, hd, fitted, max(1.0, sd.shape[1] / _COARSE))
    steps = np.arange(-_OVERSCAN, _OVERSCAN + _STEP / 2, _STEP)
    tried = [
        level.shifted(replace(fitted, scale=(fitted.scale[0] * (1 + down), fitted.scale[1] * (1 + along))))
        for down in steps
        for along in steps
    ]
    tried.sort(key=lambda one: -one[1])
    yield from (one for one, _ in tried[:3])


def _finer(sd, hd, start):
    """The placement found from one nearby, at larger and larger size, and its likeness; None if it is not sure."""
    factor = 1.0
    while sd.shape[1] / factor > 1.5 * _COARSE:
        factor *= 2
    while True:
        done = Level(sd, hd, start, factor).fit(start, scaled=True)
        if factor == 1 or done.likeness < LIKENESS / 2:
            return done.told()
        start, factor = done.placement, factor / 2
