"""Where an HD picture lies on the SD picture of the same drawing: shift, scale and turn, and HD put there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import chain
from math import ceil, cos, floor, lcm, log, radians, sin

import numpy as np
from numpy.typing import NDArray

from fastup import _flow, _warp
from fastup._resample import resize
from fastup._types import Floats, Size, Window
from fastup.errors import DataError
from fastup.pairs.alignment import LIKENESS, gradient, register

_OVERSCAN, _STEP = 0.06, 0.03  # scales that are tried around the given one, and the step between them
_COARSE, _WIDE = 96, 480  # SD pixels that scales are tried at; pictures less wide are refined at full size
_BLOCK, _SMALL_BLOCK = 16, 8  # pixels, on pictures of 160 lines or more, and of fewer
_CODE = 5e-4  # half a code of 10 bits: the least that pictures are held to differ by
_TUKEY = 22.0  # a block that is off by more than so many times the usual, squared, does not count
_SURE = 0.15  # SD pixels: what corners may be off at the most, one standard error
_STEPS, _STILL = 8, 0.003  # of a fit at the most; SD pixels that are no step
_LARGEST_NUMERATOR, _LARGEST_TILE, _ABOVE = 20, 120, 1.03  # of a target's scale; of its smallest tile; beyond HD's own
_JUMP = 0.1, 5.0  # SD pixels, and times what frames usually lie off the drift
_SIMPLER = 0.002  # of a scale that one less in the numerator is worth


@dataclass(frozen=True)
class Placement:
    """How a position on an SD picture is one on the HD picture of the same drawing.

    Positions are (y, x), continuous: pixel centres lie at half positions. HD's position, from the middle of the HD
    picture, is SD's from that of the SD picture less the shift, times the scale, turned. Pairs are (vertical,
    horizontal).
    """

    sd: Size
    """Height and width of the SD picture."""
    hd: Size
    """Height and width of the HD picture."""
    shift: tuple[float, float] = (0.0, 0.0)
    """How far HD's middle lies below and right of SD's middle, SD pixels."""
    scale: tuple[float, float] = (1.0, 1.0)
    """HD pixels per SD pixel."""
    rotation: float = 0.0
    """Degrees by which the SD picture is turned clockwise, as it would be seen with HD's pixels."""

    @classmethod
    def fitted(cls, sd: Size, hd: Size) -> "Placement":
        """The one of pictures that show the same to their rims."""
        return cls(sd, hd, scale=(hd[0] / sd[0], hd[1] / sd[1]))

    @property
    def matrix(self) -> NDArray[np.float64]:
        """(2, 3): takes a position on SD to one on HD, ``matrix[:, :2] @ (y, x) + matrix[:, 2]``."""
        turn = radians(self.rotation)
        linear = np.array([[cos(turn), -sin(turn)], [sin(turn), cos(turn)]]) * self.scale
        middle = np.divide(self.sd, 2) + self.shift
        return np.column_stack([linear, np.divide(self.hd, 2) - linear @ middle])


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
    small = _Level(sd, hd, placement, max(1.0, sd.shape[1] / _COARSE / 2))
    moved, likeness = small.shifted(placement)
    if likeness < LIKENESS / 2:
        return None, likeness
    level = _Level(sd, hd, placement, 2.0 if sd.shape[1] >= _WIDE else 1.0)
    return level.fit(moved, scaled=False).told()


@dataclass(frozen=True)
class Shot:
    """Where the frames of a shot lie."""

    placements: tuple[Placement, ...]
    """Of each frame: one scale and turn, and a shift of its own."""
    measured: tuple[bool, ...]
    """Whether a frame's shift is what was found of it, or that of the frames around it."""
    jumped: tuple[bool, ...]
    """Whether a frame lies off the drift of those around it, by more than they do."""


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


def shot(found: Sequence[tuple[Placement | None, float]], placement: Placement) -> Shot:
    """Where the frames of a shot lie, by what `refine` gave of each, in order, with the shot's `placement`.

    The drift is the median of the shifts of up to nine frames around. A frame that lies off it, by 0.1 SD pixels and
    more than five times what others do, has jumped: it keeps its shift where its pictures are as alike as others of the
    shot, to a tenth. Where they are not, or no shift was found, it gets the drift's.
    """
    count = len(found)
    shifts = np.array([one.shift if one is not None else (np.nan, np.nan) for one, _ in found]).reshape(count, 2)
    sure = np.isfinite(shifts[:, 0])
    if not sure.any():
        return Shot((placement,) * count, (False,) * count, (False,) * count)
    places, known = np.flatnonzero(sure), shifts[sure]
    drift = np.array([np.median(known[_nearest(places, k)], axis=0) for k in range(count)])
    off = np.where(sure, np.hypot(*(shifts - drift).T), 0.0)
    jumped = off > max(_JUMP[0], _JUMP[1] * 1.4826 * float(np.median(off[sure])))
    likeness = np.array([one for _, one in found])
    measured = sure & ~(jumped & (likeness < 0.9 * np.median(likeness[sure])))
    settled = np.where(measured[:, np.newaxis], shifts, drift)
    placements = tuple(replace(placement, shift=tuple(one)) for one in settled.tolist())
    return Shot(placements, tuple(measured.tolist()), tuple((jumped & measured).tolist()))


def _nearest(places, k):
    """Which of the sure frames are around frame k: those within four of it, or the nearest one."""
    distance = np.abs(places - k)
    return distance <= max(4, distance.min())


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
    if hd.shape[0] < sd.shape[0] or hd.shape[1] < sd.shape[1]:
        found = "{1}x{0}".format(*hd.shape)
        raise DataError(f"the HD picture is {found}, smaller than the SD picture of {sd.shape[1]}x{sd.shape[0]}")


def _search(sd, hd):
    """Placements to begin with, the likeliest first."""
    fitted = Placement.fitted(sd.shape, hd.shape)
    level = _Level(sd, hd, fitted, max(1.0, sd.shape[1] / _COARSE))
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
        done = _Level(sd, hd, start, factor).fit(start, scaled=True)
        if factor == 1 or done.likeness < LIKENESS / 2:
            return done.told()
        start, factor = done.placement, factor / 2


@dataclass(frozen=True)
class _Fit:
    """What a fit came to."""

    placement: Placement
    likeness: float
    error: float  # standard error of the corner that it is largest at, SD pixels

    def told(self):
        return (self.placement if self.likeness >= LIKENESS and self.error <= _SURE else None), self.likeness


class _Level:
    """A pair of pictures made smaller, HD to about the pixels of SD, and both blurred a little."""

    def __init__(self, sd, hd, placement, factor):
        self.size = tuple(max(16, round(n / factor)) for n in sd.shape)
        self.size = tuple(map(min, self.size, sd.shape))
        size = [
            min(round(n / scale * own / whole), n)
            for n, scale, own, whole in zip(hd.shape, placement.scale, self.size, sd.shape, strict=True)
        ]
        self.sd = _blurred(_resized(sd, self.size))
        self.hd = _blurred(_resized(hd, size))
        self.sd_shrink, self.hd_shrink = np.divide(self.size, sd.shape), np.divide(size, hd.shape)
        self.block = _BLOCK if min(self.size) >= 160 else _SMALL_BLOCK

    def matrix(self, placement):
        """From a position on this level's SD picture to one on its HD picture."""
        matrix = placement.matrix * self.hd_shrink[:, np.newaxis]
        matrix[:, :2] /= self.sd_shrink
        return matrix

    def warped(self, placement):
        return _warp.warp(self.hd[:, :, np.newaxis], self.matrix(placement), self.size)[:, :, 0]

    def shifted(self, placement):
        """The placement moved to where the gradients correlate most, and their correlation there."""
        shift, likeness, _ = register(gradient(self.sd), gradient(self.warped(placement)))
        return replace(placement, shift=tuple((placement.shift + shift / self.sd_shrink).tolist())), likeness

    def fit(self, placement, scaled):
        """Move a placement until HD's gradients explain nothing more; shift alone, or scale and turn with it.

        What is solved for are pixels at this level: of the shift, and of the rim by scale and turn.
        """
        count = 5 if scaled else 2
        half = np.divide(self.size, 2)
        likeness = None
        for _ in range(_STEPS):
            sums, middles, seen = self._sums(placement)
            likeness, weakest = _likeness(sums, seen)
            design = self._design(placement, middles, half)[..., :count]
            step, covariance = _solve(sums, design, seen, half)
            if step is None:
                return _Fit(placement, likeness, np.inf)
            placement = self._moved(placement, step, half)
            if np.abs(step).max() < _STILL:
                break
        corners = self._design(placement, np.array([(0, 0), (0, 2), (2, 0), (2, 2)]) * half, half)[..., :count]
        error = np.sqrt(np.einsum("kip,pq,kiq->k", corners, covariance, corners).max()) / self.sd_shrink.min()
        return _Fit(placement, likeness, float(error) if weakest >= LIKENESS else np.inf)

    def _sums(self, placement):
        """Sums over blocks, (21, n); their middles, (n, 2); whether HD covers them, (n,)."""
        sums = _flow.sums(self.sd, self.warped(placement), self.block)
        rows, columns = sums.shape[1:]
        middles = np.stack(np.mgrid[:rows, :columns], -1).reshape(-1, 2) * self.block + self.block / 2
        matrix = self.matrix(placement)
        on_hd = middles @ matrix[:, :2].T + matrix[:, 2]
        seen = ((on_hd > self.block / 2 + 1) & (on_hd < np.subtract(self.hd.shape, self.block / 2 + 1))).all(1)
        return sums.reshape(len(sums), -1), middles, seen

    def _design(self, placement, middles, half):
        """How far a block moves, (n, 2), by each of what is solved for: (n, 2, 5)."""
        y, x = (middles - half - placement.shift * self.sd_shrink).T
        zero, one = np.zeros_like(y), np.ones_like(y)
        aspect = np.divide(*(placement.scale / self.sd_shrink))  # height of a pixel over its width
        down = [-one, zero, y / half[0], zero, -x / half[1] / aspect]
        along = [zero, -one, zero, x / half[1], y / half[1] * aspect]
        return np.stack([np.stack(down, -1), np.stack(along, -1)], 1)

    def _moved(self, placement, step, half):
        shift = placement.shift + step[:2] / self.sd_shrink
        placement = replace(placement, shift=tuple(shift.tolist()))
        if len(step) == 2:
            return placement
        scale = np.multiply(placement.scale, np.exp(step[2:4] / half))
        rotation = placement.rotation + float(np.degrees(step[4] / half[1]))
        return replace(placement, scale=tuple(scale.tolist()), rotation=rotation)


def _likeness(sums, seen):
    """How alike the gradients are, in all and in the direction in which they have the least in common."""
    total = sums[:, seen].sum(1)
    both, one, other = (
        np.array([[total[yy], total[yx]], [total[yx], total[xx]]])
        for yy, yx, xx in (
            (_flow.GYEY, _flow.GYEX, _flow.GXEX),
            (_flow.GYGY, _flow.GYGX, _flow.GXGX),
            (_flow.EYEY, _flow.EYEX, _flow.EXEX),
        )
    )
    size = np.trace(one) * np.trace(other)
    if size <= 0:
        return 0.0, 0.0
    weak = np.linalg.eigh(both)[1][:, 0]
    along = (weak @ one @ weak) * (weak @ other @ weak)
    return float(np.trace(both) / np.sqrt(size)), float(weak @ both @ weak / np.sqrt(along)) if along > 0 else 0.0


def _solve(sums, design, seen, half):
    """The step that explains most of what differs, and its covariance; None and None if nothing tells it."""
    some = seen & (sums[_flow.N] > 0)
    if not some.any():
        return None, None
    s, design = sums[:, some], design[some]
    n = s[_flow.N]
    hh = s[_flow.HH] - s[_flow.H] ** 2 / n
    hs = s[_flow.HS] - s[_flow.H] * s[_flow.S] / n
    ss = s[_flow.SS] - s[_flow.S] ** 2 / n
    gain = hs / np.maximum(hh, n * _CODE**2)
    g = s[[_flow.GY, _flow.GX]]
    gh = s[[_flow.GYH, _flow.GXH]] - g * s[_flow.H] / n  # with h less its mean
    gs = s[[_flow.GYS, _flow.GXS]] - g * s[_flow.S] / n
    gg = np.array([[s[_flow.GYGY], s[_flow.GYGX]], [s[_flow.GYGX], s[_flow.GXGX]]]) - g[:, None] * g / n
    gg -= gh[:, None] * gh / np.maximum(hh, n * _CODE**2)  # what gain and offset would explain as well
    tensor = np.moveaxis(gg * gain**2, -1, 0)
    asked = (gain * (gs - gain * gh)).T
    eased = tensor + np.eye(2) * (n * _CODE**2)[:, None, None]
    structure = np.trace(tensor, axis1=1, axis2=2)
    explained = (asked * np.linalg.solve(eased, asked[:, :, None])[:, :, 0]).sum(1)  # by a shift of the block's own
    left = np.maximum(ss - gain * hs - explained, 0) / n + _CODE**2
    weight = np.where(gain > 0, 1 / (left + _usual(left, structure)), 0)
    width = np.array([0.04 * half[0], 0.04 * half[1], 0.06 * half[0], 0.06 * half[1], 0.02 * half[1]])
    prior = np.diag(width[: design.shape[2]] ** -2)
    use = np.ones(len(n))
    step = None
    for _ in range(3):
        w = weight * use
        if not (w > 0).any():
            return None, None
        jt = np.swapaxes(design, 1, 2)
        normal = (w[:, None, None] * (jt @ tensor @ design)).sum(0)
        right = (w[:, None] * (jt @ asked[:, :, None])[:, :, 0]).sum(0)
        step = np.linalg.solve(normal + prior, right)
        rest = asked - (tensor @ (design @ step)[:, :, None])[:, :, 0]
        off = weight * (rest * np.linalg.solve(eased, rest[:, :, None])[:, :, 0]).sum(1)
        use = np.maximum(1 - off / max(_usual(off, structure) / 1.386, 1e-12) / _TUKEY, 0) ** 2
    both = np.array([[s[_flow.GYEY], s[_flow.GYEX]], [s[_flow.GYEX], s[_flow.GXEX]]]) * gain  # noise is in one alone
    known = (w[:, None, None] * (jt @ np.moveaxis(both, -1, 0) @ design)).sum(0)
    values, vectors = np.linalg.eigh(known)
    inverse = (vectors / np.maximum(values, 1e-9 * values.max())) @ vectors.T
    spread = w[:, None] * (jt @ rest[:, :, None])[:, :, 0]
    return step, inverse @ (spread.T @ spread) @ inverse


def _usual(values, weights):
    """The median of values that have weights."""
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return values[order[int(np.searchsorted(total, total[-1] / 2))]]


def _resized(luma, size):
    return resize(luma[:, :, np.newaxis], size, "lanczos")[:, :, 0]


def _blurred(luma):
    """By 1, 4, 6, 4, 1 along both axes; the outermost pixels go on."""
    for axis in (0, 1):
        for _ in range(2):
            wide = np.pad(luma, [(1, 1) if k == axis else (0, 0) for k in (0, 1)], "edge")
            parts = [np.take(wide, range(k, k + luma.shape[axis]), axis) for k in range(3)]
            luma = np.float32(0.25) * (parts[0] + parts[2]) + np.float32(0.5) * parts[1]
    return luma
