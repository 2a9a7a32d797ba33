"""A placement of an HD picture on an SD picture, and how one is fitted to a pair of them."""

from dataclasses import dataclass, replace
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

from fastup import _flow, _warp
from fastup._resample import resize
from fastup._types import Floats, Size
from fastup.pairs.alignment import LIKENESS, gradient, register

_BLOCK, _SMALL_BLOCK = 16, 8  # pixels, on pictures of 160 lines or more, and of fewer
_CODE = 5e-4  # half a code of 10 bits: the least that pictures are held to differ by
_TUKEY = 22.0  # a block that is off by more than so many times the usual, squared, does not count
_SURE = 0.15  # SD pixels: what corners may be off at the most, one standard error
_STEPS, _STILL = 8, 0.003  # of a fit at the most; SD pixels that are no step
_FAR, _TURNED = 0.15, 5.0  # shares of the size, or of the scale, and degrees: a fit that goes there has lost its way


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


@dataclass(frozen=True)
class Fit:
    """What a fit came to."""

    placement: Placement
    """Where it ended."""
    likeness: float
    """How alike the gradients are there."""
    error: float
    """Standard error of the corner where it is largest, SD pixels."""

    def told(self) -> tuple[Placement | None, float]:
        """The placement, None if it is not sure, and the likeness."""
        return (self.placement if self.likeness >= LIKENESS and self.error <= _SURE else None), self.likeness


class Level:
    """A pair of pictures made smaller, HD to about the pixels of SD, and both blurred a little."""

    def __init__(self, sd: Floats, hd: Floats, placement: Placement, factor: float) -> None:
        """Of pictures (h, w) and (H, W), by the scale of a placement; SD with `factor` times fewer pixels a side."""
        self.size = tuple(max(16, round(n / factor)) for n in sd.shape)
        self.size = tuple(map(min, self.size, sd.shape))
        size = [
            min(round(n / scale * own / whole), n)
            for n, scale, own, whole in zip(hd.shape, placement.scale, self.size, sd.shape, strict=True)
        ]
        self.sd = blurred(_resized(sd, self.size))
        self.hd = blurred(_resized(hd, size))
        self.sd_shrink, self.hd_shrink = np.divide(self.size, sd.shape), np.divide(size, hd.shape)
        self.block = _BLOCK if min(self.size) >= 160 else _SMALL_BLOCK

    def matrix(self, placement: Placement) -> NDArray[np.float64]:
        """That of the placement, from a position on this level's SD picture to one on its HD picture."""
        matrix = placement.matrix * self.hd_shrink[:, np.newaxis]
        matrix[:, :2] /= self.sd_shrink
        return matrix

    def warped(self, placement: Placement) -> Floats:
        """HD where it lies on SD, (h, w)."""
        return _warp.warp(self.hd[:, :, np.newaxis], self.matrix(placement), self.size)[:, :, 0]

    def shifted(self, placement: Placement) -> tuple[Placement, float]:
        """The placement moved to where the gradients correlate most, and their correlation there."""
        shift, likeness, _ = register(gradient(self.sd), gradient(self.warped(placement)))
        return replace(placement, shift=tuple((placement.shift + shift / self.sd_shrink).tolist())), likeness

    def fit(self, placement: Placement, scaled: bool) -> Fit:
        """Move a placement until HD's gradients explain nothing more; shift alone, or scale and turn with it.

        What is solved for are pixels at this level: of the shift, and of the rim by scale and turn.
        """
        count = 5 if scaled else 2
        half, start = np.divide(self.size, 2), placement
        for _ in range(_STEPS):
            sums, middles, seen = self._sums(placement)
            likeness, weakest = _likeness(sums, seen)
            design = self._design(placement, middles, half)[..., :count]
            step, covariance = _solve(sums, design, seen, half)
            if step is None:
                return Fit(placement, likeness, np.inf)
            placement = self._moved(placement, step, half)
            if not _near(placement, start):
                return Fit(start, likeness, np.inf)
            if np.abs(step).max() < _STILL:
                break
        corners = self._design(placement, np.array([(0, 0), (0, 2), (2, 0), (2, 2)]) * half, half)[..., :count]
        variance = np.einsum("kip,pq,kiq->k", corners, covariance, corners).max()
        # Where next to nothing tells it, rounding may leave less than nothing.
        error = float(np.sqrt(variance)) / self.sd_shrink.min() if variance > 0 else np.inf
        return Fit(placement, likeness, error if weakest >= LIKENESS else np.inf)

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


def _near(placement, start):
    """Whether a fit has stayed where it may have begun."""
    off = np.subtract(placement.shift, start.shift) / placement.sd
    grown = np.log(np.divide(placement.scale, start.scale))
    return max(*np.abs(off), *np.abs(grown)) < _FAR and abs(placement.rotation) < _TURNED


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
    structure = np.maximum(np.trace(tensor, axis1=1, axis2=2), 0)
    explained = (asked * np.linalg.solve(eased, asked[:, :, None])[:, :, 0]).sum(1)  # by a shift of the block's own
    left = np.maximum(ss - gain * hs - explained, 0) / n + _CODE**2
    weight = np.where(gain > 0, 1 / (left + _usual(left, structure)), 0)
    width = np.array([0.04 * half[0], 0.04 * half[1], 0.06 * half[0], 0.06 * half[1], 0.02 * half[1]])
    damping = np.diag(width[: design.shape[2]] ** -2)  # of what is not told, to steps of that size
    use = np.ones(len(n))
    for _ in range(3):
        w = weight * use
        if not (w > 0).any():
            return None, None
        jt = np.swapaxes(design, 1, 2)
        normal = (w[:, None, None] * (jt @ tensor @ design)).sum(0)
        right = (w[:, None] * (jt @ asked[:, :, None])[:, :, 0]).sum(0)
        step = np.linalg.solve(normal + damping, right)
        rest = asked - (tensor @ (design @ step)[:, :, None])[:, :, 0]
        off = weight * (rest * np.linalg.solve(eased, rest[:, :, None])[:, :, 0]).sum(1)
        use = np.maximum(1 - off / max(_usual(off, structure) / 1.386, 1e-12) / _TUKEY, 0) ** 2
    both = np.array([[s[_flow.GYEY], s[_flow.GYEX]], [s[_flow.GYEX], s[_flow.GXEX]]]) * gain  # noise is in one alone
    known = (w[:, None, None] * (jt @ np.moveaxis(both, -1, 0) @ design)).sum(0)
    values, vectors = np.linalg.eigh(known)
    if values.max() <= 0:
        return None, None
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


def blurred(luma: Floats) -> Floats:
    """Luma, (h, w), blurred by 1, 4, 6, 4, 1 along both axes; the outermost pixels go on."""
    for axis in (0, 1):
        for _ in range(2):
            wide = np.pad(luma, [(1, 1) if k == axis else (0, 0) for k in (0, 1)], "edge")
            parts = [np.take(wide, range(k, k + luma.shape[axis]), axis) for k in range(3)]
            luma = np.float32(0.25) * (parts[0] + parts[2]) + np.float32(0.5) * parts[1]
    return luma
