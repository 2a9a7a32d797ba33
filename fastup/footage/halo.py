"""The halos of analog transfers: one horizontal kernel for a source, estimated from its edges, and inverted.

A transfer's detail circuit peaked along the line, ``x + peaking * (x - G * x)`` with a Gaussian G, and cables added an
echo: a weak copy, later on the line. Both are one kernel, the same everywhere. Cel animation shows it at its edges:
across one that stands alone a profile is a step, more or less soft, seen through that kernel. So the kernel is what
makes a step fit thousands of profiles best. The same profiles down the columns, where no circuit peaked, tell how much
overshoot the picture has of its own, say from being made smaller; that much is left alone.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from fastup._resample import resize
from fastup._types import Floats
from fastup.codes import LUMA_601
from fastup.errors import DataError

Taps: TypeAlias = NDArray[np.floating[Any]]
REACH = 24  # taps on each side of a kernel
RADIUS = 9  # pixels on each side of an edge that belong to its profile
LEAST = 0.04  # what an edge overshoots by, of a step of 1 and beyond what columns have; or an echo; less is no halo
_LIMIT = 1.25  # what the inverse may amplify a frequency by

_SHIFTS = np.arange(-18, 19) / 24  # where an edge may lie, from the middle between the two pixels that differ most
_EVEN = np.full(len(_SHIFTS), 1 / len(_SHIFTS), np.float32)
_BORDERS = np.arange(2 * (RADIUS + REACH) + 3) - (RADIUS + REACH + 1)  # of a profile's pixels, and a kernel's beyond
_PROFILES = 4000  # at the most; the highest edges
_PAIR_REACH = 12  # taps on each side of a kernel from pairs
_ALIKE = 0.9  # share of a frame's contrast along the lines that its twin must explain
_BLOCK = 100  # profiles multiplied at once: with more BLAS takes threads, for which a busy machine makes it wait
_BETTER = 0.99  # what more parameters must lower a cost by
_SOFT = (0.3,), (0.8,)  # starts of a step that is soft and has no halo


@dataclass(frozen=True)
class Halo:
    """What a transfer did along the line."""

    peaking: float = 0.0  # x + peaking * (x - G * x)
    width: float = 1.0  # standard deviation of G in pixels
    echo: float = 0.0  # its strength; the sum is scaled so that flats stay
    delay: float = 0.0  # how many pixels the echo is late

    @property
    def taps(self) -> Taps:
        """The kernel, (2 * REACH + 1,); it sums to 1."""
        offsets = np.arange(-REACH, REACH + 1)
        blur = np.exp(-0.5 * (offsets / self.width) ** 2)
        taps = -self.peaking * blur / blur.sum()
        taps[REACH] += 1 + self.peaking
        if self.echo:
            whole, part = int(self.delay), self.delay % 1
            late = np.convolve(taps, [0] * whole + [1 - part, part])[: len(taps)]
            taps = (taps + self.echo * late) / (1 + self.echo)
        return taps / taps.sum()


def overshoot(taps: Taps) -> float:
    """How far the picture of a step of 1 goes beyond black or white, through a kernel."""
    answer = np.cumsum(taps)
    return float(max(answer.max() - 1, -answer.min(), 0))


@dataclass(frozen=True)
class Estimate:
    """A kernel and what it was found from."""

    taps: Taps  # (2 * REACH + 1,)
    halo: Halo | None  # None where it was not found as one: by hand, or from pairs
    edges: int  # profiles, or frames of pairs, that it comes from
    noise: float  # standard deviation of the noise, normalised
    before: float  # overshoot of a step, as the frames have it
    after: float  # and when the halo is undone

    @property
    def none(self) -> bool:
        """Whether there is no halo to undo."""
        return self.halo == Halo()


def estimate(pictures: Iterable[Floats]) -> Estimate:
    """Estimate the kernel of a source from frames alone, (H, W, 3), normalised, which are looked at one by one.

    Drawings with edges; some tens of frames are plenty. It is the identity where there is no halo: where neither
    overshoot nor echo reaches `LEAST`.

    DataError if there are fewer than 50 edges that stand alone.
    """
    across = down = np.zeros((0, 2, 2 * RADIUS + 2), np.float32)
    noises = []
    for picture in pictures:
        luma, clipped = picture @ LUMA_601, ((picture <= 0) | (picture >= 1)).any(2)
        noises.append((noise_of(picture), noise_of(luma[..., np.newaxis])))
        across = _highest(across, _profiles(luma, clipped, noises[-1][1], 0.3))
        down = _highest(down, _profiles(luma.T, clipped.T, noises[-1][1], 0.1))
    if len(across) < 50:
        raise DataError(f"{len(across)} edges that stand alone in {len(noises)} frames, expected 50 or more")
    noise, luma_noise = (float(part) for part in np.median(noises, axis=0))
    # The mean of three lines shows best what is a step; a kernel shows best in one line, that no lean has blurred.
    starts = (0.1, 1.2, 0.3), (0.6, 1.2, 0.3), (0.6, 2.0, 0.5), (1.2, 1.6, 0.5)
    own = Halo()  # what the picture has of its own, as the columns show it, where they do
    if len(down) >= 50:
        match = _matching(down[:, 0], luma_noise**2 / 3, own)
        ringing, cost = _fit(match, starts[:2])
        # Ringing comes of a filter that is wider than a pixel. What is sharper is the halo, along edges that lean.
        if abs(ringing[2]) > 0.15 and cost < _BETTER * _fit(match, _SOFT)[1]:
            own = Halo(*map(float, ringing[:2]))
    match = _matching(across[:, 0], luma_noise**2 / 3, own)
    peaked, peaked_cost = _fit(match, starts)
    late = [(*start, echo, delay) for start in (peaked, starts[1]) for echo in (0.1, -0.1) for delay in (3.5, 5.5)]
    echoed, cost = _fit(match, late)
    best = echoed if cost < _BETTER * peaked_cost and abs(echoed[3]) > 0.02 else peaked
    alone = _fitting(match, best)
    if alone.sum() >= 50:
        best = _refine(_matching(across[alone, 1], luma_noise**2, own, screened=True), best)
    halo = Halo(*(float(best[k]) for k in range(len(best)) if k != 2))
    excess = _beyond(halo, best[2], own) - _beyond(Halo(), best[2], own)
    before = overshoot(halo.taps)
    if excess < LEAST and abs(halo.echo) < LEAST:
        halo = Halo()
    after = overshoot(np.convolve(halo.taps, inverse(halo.taps)))
    return Estimate(halo.taps, halo, len(across), noise, before, before if halo == Halo() else after)


def from_pairs(pairs: Iterable[tuple[Floats, Floats]]) -> Estimate:
    """Estimate the kernel from frames, (H, W, C), and what they should look like, of that size or resized to it.

    It has 12 taps on each side, by least squares over all lines, but for what is clipped, regularised a little. Of a
    shift of one pixel it makes a kernel that shifts.

    DataError if the twins, through whatever kernel, explain less than 90 % of the frames' contrast along the lines; or
    if there is none.
    """
    noises, contrast = list[float](), 0.0
    power, cross = np.zeros((2 * _PAIR_REACH + 1,) * 2), np.zeros(2 * _PAIR_REACH + 1)
    for picture, twin in pairs:
        if twin.shape != picture.shape:
            twin = resize(twin, picture.shape[:2], "area")  # which adds no ringing
        noises.append(noise_of(picture))
        if picture.shape[1] <= 2 * _PAIR_REACH:
            continue
        for plane, clean in zip(np.moveaxis(picture, 2, 0), np.moveaxis(twin, 2, 0), strict=True):
            level = clean.mean(1, keepdims=True)
            around = sliding_window_view(clean - level, len(cross), axis=1)[..., ::-1]
            plane = plane[:, _PAIR_REACH : plane.shape[1] - _PAIR_REACH]
            inside = (plane > 0) & (plane < 1)  # a clipped pixel does not say how far it went
            x, y = around[inside], (plane - level)[inside]
            power, cross, contrast = power + x.T @ x, cross + x.T @ y, contrast + float(y @ y)
    if not contrast:
        few = f"fewer columns than {len(cross)}"
        raise DataError(f"nothing but flats in {len(noises)} frames, or {few}: no kernel shows")
    ridge = 1e-4 * np.trace(power) / len(cross)  # to the identity, where the twins have nothing
    power[np.diag_indices_from(power)] += ridge
    cross[_PAIR_REACH] += ridge
    taps = np.linalg.solve(power, cross)
    explained = 1 - (contrast - 2 * taps @ cross + taps @ power @ taps) / contrast
    if explained < _ALIKE:
        raise DataError(
            f"the twins explain {explained:.0%} of the frames' contrast, expected {_ALIKE:.0%} or more: the same "
            "pictures, cut the same"
        )
    taps = np.pad(taps / taps.sum(), REACH - _PAIR_REACH)
    before, after = overshoot(taps), overshoot(np.convolve(taps, inverse(taps)))
    return Estimate(taps, None, len(noises), float(np.median(noises)), before, after)


def noise_of(picture: Floats) -> float:
    """Standard deviation of the noise of (H, W, C): of second differences in the quietest quarter of blocks of 8x8."""
    luma = picture.mean(2)
    second = (luma[:, 2:] - 2 * luma[:, 1:-1] + luma[:, :-2]) * math.sqrt(picture.shape[2] / 6)
    height, width = (n // 8 * 8 for n in second.shape)
    blocks = second[:height, :width].reshape(height // 8, 8, width // 8, 8)
    return float(np.quantile(np.sqrt((blocks**2).mean((1, 3))), 0.25)) if blocks.size else 0.0


def _profiles(luma, clipped, noise, lean):
    """Profiles across edges that stand alone, lean less than so many pixels a line, and are not clipped, (n, 2, 20).

    Each as the mean of three lines has it, with less noise, and as the one in their middle has it: of an edge that
    leans, the mean is that of a softer one.
    """
    from scipy.ndimage import maximum_filter1d

    if min(luma.shape) < 4 * RADIUS:
        return np.zeros((0, 2, 2 * RADIUS + 2), np.float32)
    above, line, below = luma[:-2], luma[1:-1], luma[2:]
    mean = (above + line + below) / 3
    rise = np.abs(np.diff(mean, axis=1))
    peak = (rise > max(0.08, 8 * noise)) & (rise >= maximum_filter1d(rise, 2 * RADIUS + 1, mode="nearest"))
    peak[:, :RADIUS] = peak[:, -RADIUS:] = False
    rows, columns = np.nonzero(peak)
    where = rows[:, np.newaxis], columns[:, np.newaxis] + np.arange(-RADIUS, RADIUS + 2)
    slope = np.diff(mean[where], axis=1)
    height = np.abs(slope[:, RADIUS - 3 : RADIUS + 4].sum(1))
    moved = np.abs((below - above)[where][:, RADIUS - 2 : RADIUS + 4].sum(1)) / 2
    slope /= slope[:, RADIUS : RADIUS + 1]
    away = np.abs(np.arange(-RADIUS, RADIUS + 1)) > 2
    alone = (slope > -0.35).all(1) & (slope[:, away] < 0.35).all(1) & (moved < lean * height)
    whole = ~(clipped[:-2] | clipped[1:-1] | clipped[2:])[where].any(1)
    return np.stack([mean[where], line[where]], axis=1)[alone & whole]


def _highest(*profiles):
    """The highest of all profiles, whichever way they go: in those noise and texture count least."""
    profiles = np.concatenate(profiles)
    return profiles[np.argsort(-profiles[:, 0].var(1), kind="stable")[:_PROFILES]]


def _matching(profiles, variance, own, screened=False):
    """How badly steps through a kernel fit profiles: a function of parameters and of how likely each shift is.

    Parameters are ([peaking, width,] softness[, echo, delay]). The function returns a cost from 0 to 1, to which a
    profile that is no step at all adds no more than one that hardly is; for each profile how likely it is at each
    shift, how much it counts, and whether it fits. Where `screened`, profiles that do not fit are gone already, and
    those that noise alone makes differ count in full.

    Where in its pixel an edge lies is summed over, by a distribution that may be learned. Taking the best place for
    each, as is quicker and done where `shares` is None, fits its noise, and makes of a step one that is softer and has
    more of a halo (Kiefer and Wolfowitz 1956, "Consistency of the maximum likelihood estimator in the presence of
    infinitely many incidental parameters").
    """
    count, size = profiles.shape
    centred = profiles - profiles.mean(1, keepdims=True)
    energy = (centred**2).sum(1)
    unit = np.zeros((-(-count // _BLOCK) * _BLOCK, size), np.float32)
    unit[:count] = centred / np.sqrt(energy)[:, np.newaxis]
    unit = unit.reshape(-1, _BLOCK, size)
    floor = (size - 3) * variance / energy  # what noise is of a profile, but for what offset, height and place take up
    spread = 2 * (floor / (size - 3) + 1e-5)[:, np.newaxis]
    scale = 3e-4 + (3 if screened else 0.1) * floor
    own = own.taps

    def match(p, shares):
        peaking, width, softness, echo, delay = (0, 1, *p, 0, 0) if len(p) == 1 else (*p, 0, 0)[:5]
        if not (0 <= peaking <= 4 and 0.5 <= width <= 4 and abs(softness) < 3 and abs(echo) < 0.5):
            return (9.0,)
        if len(p) > 3 and not 3 <= delay <= 8:  # nearer ones are peaking
            return (9.0,)
        steps = _steps(np.convolve(Halo(peaking, width, echo, delay).taps, own, "same"), softness)
        steps -= steps.mean(1, keepdims=True)
        steps /= np.linalg.norm(steps, axis=1, keepdims=True)
        rests = 1 - ((unit @ steps.T.astype(np.float32)) ** 2).reshape(-1, len(_SHIFTS))[:count]
        least = rests.min(1, keepdims=True)
        if shares is None:
            likely, rest = None, least[:, 0]
        else:
            likely = np.exp((least - rests) / spread)
            rest = (least - spread * np.log(likely @ shares)[:, np.newaxis])[:, 0]
        rest = np.maximum(rest if screened else rest - floor, 0)
        counts = scale / (rest + scale)
        return 1 - float(counts.mean()), likely, counts, rest < 1e-3 + floor

    return match


def _fit(match, starts, shares=None, size=1.0, tolerance=0.01):
    """The best parameters from several starts, and what they cost."""
    from scipy.optimize import minimize

    sizes = np.diag({1: (0.2,), 3: (0.3, 0.4, 0.2), 5: (0.1, 0.2, 0.1, 0.05, 1.0)}[len(starts[0])]) * size
    options = {"maxiter": 200, "fatol": tolerance / 1000, "xatol": tolerance}
    found = (
        minimize(
            lambda p: match(p, shares)[0], start, method="Nelder-Mead",
            options={**options, "initial_simplex": [start, *(start + sizes)]},
        )
        for start in np.array(starts)
    )  # fmt: skip
    return min(((one.x, one.fun) for one in found), key=lambda one: one[1])


def _fitting(match, best):
    """Which profiles a kernel explains, where edges may be softer by what three lines of one that leans are."""
    softer = ([*best[:2], math.hypot(best[2], more), *best[3:]] for more in (0, 0.13, 0.26))
    return np.any([match(p, _EVEN)[3] for p in softer], axis=0)


def _refine(match, best):
    """Better parameters, and where in their pixels edges lie, in turn."""
    shares = _EVEN
    for _ in range(3):
        _, likely, counts, _ = match(best, shares)
        for _ in range(20):
            each = likely * shares
            shares = counts**2 @ (each / each.sum(1, keepdims=True)) / (counts**2).sum()
            shares = (0.9 * shares + 0.1 * _EVEN).astype(np.float32)  # no place is ruled out
        best, _ = _fit(match, [best], shares, 0.25, 1e-4)
    return best


def _beyond(halo, softness, own):
    """How far the picture of a step of 1 goes beyond its ends."""
    steps = _steps(np.convolve(halo.taps, own.taps, "same"), softness)
    return float(max(steps.max() - 1, -steps.min(), 0))


def _steps(taps, softness):
    """A soft step in every place through a kernel, (len(_SHIFTS), 2 * RADIUS + 2); pixels are means."""
    from scipy.special import ndtr

    sigma = max(abs(softness), 1e-3)
    u = (_BORDERS - _SHIFTS[:, np.newaxis]) / sigma
    ramp = u * ndtr(u) + np.exp(-0.5 * u**2) / math.sqrt(2 * math.pi)  # the integral of ndtr
    return sliding_window_view(sigma * np.diff(ramp, axis=1), len(taps), axis=1) @ taps[::-1]


def inverse(taps: ArrayLike, strength: float = 1.0) -> Taps:
    """The kernel that undoes another, (4 * REACH + 1,): no frequency is amplified by more than 1.25."""
    response = response_of_inverse(taps, 1024, strength)
    return np.roll(np.fft.irfft(response), 2 * REACH)[: 4 * REACH + 1]


def response_of_inverse(taps: ArrayLike, length: int, strength: float) -> NDArray[np.complex128]:
    """The spectrum of `inverse` for lines of so many pixels, (length // 2 + 1,)."""
    taps, padded = np.asarray(taps), np.zeros(length)
    padded[: len(taps)] = taps
    response = np.fft.rfft(np.roll(padded, -(len(taps) // 2)))
    size = np.maximum(np.abs(response), 1e-9)
    undone = response.conj() / np.maximum(size**2, size / _LIMIT)
    return 1 + strength * (undone - 1)
