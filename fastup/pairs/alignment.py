"""Whether pairs fit: how far the input lies off its target, and its gain and offset in each channel."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import hypot, inf

import numpy as np
from numpy.typing import NDArray

from fastup import frames
from fastup._resample import resize
from fastup._threads import in_order
from fastup._types import Floats, Progress
from fastup.codes import LUMA_601
from fastup.pairs import blocks
from fastup.pairs.folder import Pairs

CHANNELS = ("red", "green", "blue")
SHIFT, GAIN, OFFSET = 0.25, 0.01, 0.01  # a pair with more is off: input pixels, a share, a share of white
LIKENESS = 0.3  # pictures of one drawing are more alike, 0.7 and more on the worst tape; others 0.25 at the most

_EDGES = 6, 0.01  # there are edges where one gradient in 200 is so many times the median, and so much of white
_FALL = 0.02  # a peak falls by more of itself within a pixel, by 0.08 at least; by 0.01 where all edges run one way
_SURE, _UNLIKE = 0.0025, 0.03  # the largest standard error of a sure gain; residuals that are more than noise
_FEWEST, _SPREAD = 20, 0.02  # a gain needs so many blocks, and so much deviation among their levels
_CODE = 5e-4  # half a code of 10 bits: the smallest error that counts
_HALVED = 64  # lines and columns of a picture that is looked at in half the size as well


@dataclass(frozen=True)
class Fit:
    """How an input picture lies on its target: input = gain * target + offset, normalised, at the input's size.

    None stands for what the frames don't show: all of it where both are flat (black, one colour), or all edges run
    one way (a flat between pillars); the gain and offset of a channel in which too few areas away from edges differ in
    level; shift, gain and offset of another picture.
    """

    frame: str
    """What the pair is called."""
    likeness: float | None = None
    """How alike the edges are once shifted: 1 is the same, 0 another picture."""
    shift: tuple[float, float] | None = None
    """(vertical, horizontal) in input pixels: how far the input lies down and right of its target."""
    gain: tuple[float | None, float | None, float | None] = (None, None, None)
    """Of red, green and blue."""
    offset: tuple[float | None, float | None, float | None] = (None, None, None)
    """Of red, green and blue, 1 is white."""

    @property
    def judged(self) -> bool:
        """Whether the frames say anything."""
        return self.likeness is not None

    @property
    def off(self) -> tuple[str, ...]:
        """What is off, a tuple of words, empty where the pair fits or says nothing: "another picture", or "shift" by
        more than `SHIFT` along the diagonal, "red gain" by more than `GAIN`, "blue offset" by more than `OFFSET`."""
        if self.likeness is None:
            return ()
        if self.likeness < LIKENESS:
            return ("another picture",)
        found = ["shift"] if hypot(*(self.shift or ())) > SHIFT else []
        for name, gain, offset in zip(CHANNELS, self.gain, self.offset, strict=True):
            if gain is not None and abs(gain - 1) > GAIN:
                found.append(f"{name} gain")
            if offset is not None and abs(offset) > OFFSET:
                found.append(f"{name} offset")
        return tuple(found)

    @property
    def badness(self) -> float:
        """How far off the pair is, in units of what is allowed: above 1 is off."""
        if self.likeness is None:
            return 0.0
        if self.likeness < LIKENESS:
            return inf
        parts = [hypot(*(self.shift or ())) / SHIFT]
        parts += [abs(gain - 1) / GAIN for gain in self.gain if gain is not None]
        return max(parts + [abs(offset) / OFFSET for offset in self.offset if offset is not None])


def fits(pairs: Pairs, on_progress: Progress | None = None) -> list[Fit]:
    """Measure how each pair fits; none where inputs are yet to be made of the targets.

    The target picture is resized to the input's by Lanczos. The shift is where the cross-correlation of the gradients
    of luma is largest (Argyriou & Vlachos 2003, "Estimation of sub-pixel motion using gradient cross-correlation"),
    under a Hann window, so that borders don't count. It is evaluated between the pixels by the cross-spectrum's Fourier
    sum (Guizar-Sicairos et al. 2008, "Efficient subpixel image registration algorithms"). Phase correlation proper,
    which gives every frequency the same weight, had errors up to four times as large: it listens to those that hold
    noise alone. Gain and offset come from means of 4 x 4 pixels away from edges, by least squares that forget outliers
    (Tukey's biweight).

    Raises
    ------
    DataError
        If a frame holds NaN or infinity.
    DpxError, FastupError, OSError
        If a frame cannot be read.
    """
    found = []
    for one in in_order(lambda number: fit_pair(pairs, number), range(0 if pairs.made else len(pairs)), threads=2):
        found.append(one)
        if on_progress is not None:
            on_progress(len(found), len(pairs), "fitting pairs")
    return found


def fit_pair(pairs: Pairs, number: int) -> Fit:
    """Measure how one of the pairs fits, as `fits` does."""
    pictures, kind = list[Floats](), pairs.kind(number)
    for path, trim in ((pairs.inputs[number], kind.input_trim), (pairs.targets[number], kind.trim)):
        picture = trim.crop(frames.read(path, "float32"))
        frames.refuse_nan(path, picture)
        pictures.append(picture)
    return fit(pictures[0], pictures[1], pairs.name(number))


def sample(pairs: Pairs, most: int = 8) -> list[Fit]:
    """`fits` of some of the pairs, spread over all of them."""
    return fits(pairs.only(np.linspace(0, len(pairs) - 1, min(len(pairs), most)).round().astype(int)))


def off_note(sample: Sequence[Fit]) -> str | None:
    """A line on how many pairs of a sample are off, and in what, by the median of those that are; None if none is."""
    off = [fit for fit in sample if fit.off]
    if not off:
        return None
    figures = []
    for what, count in Counter(name for fit in off for name in fit.off).items():
        channel, _, name = what.rpartition(" ")
        those = [fit for fit in off if what in fit.off]
        if what == "shift":
            figures.append(f"shift {np.median([hypot(*(fit.shift or ())) for fit in those]):.2f} input pixels")
        elif channel in CHANNELS:
            value = np.median([getattr(fit, name)[CHANNELS.index(channel)] for fit in those])
            figures.append(f"{what} {value:.3f}" if name == "gain" else f"{what} {value:+.3f}")
        else:
            figures.append(f"{count} of {what}")
    found, every = len(off), len(sample)
    looked = "the pair" if every == 1 else f"{found} of {every} pairs looked at"
    text = f"{looked} {'is' if found == 1 else 'are'} off: {', '.join(figures)}; `fastup pairs DATA` tells more"
    levels = any(name.split()[0] in CHANNELS for fit in off for name in fit.off)
    return text + ", and --match gives targets the gain and offset of their inputs" * levels


def fit(picture: Floats, target: Floats, frame: str = "") -> Fit:
    """Measure how an input picture fits its target, as `fits` does.

    Parameters
    ----------
    picture : (h, w, 3)
        Normalised.
    target : (H, W, 3)
        Normalised; no smaller than `picture`.
    frame
        What the pair is called.
    """
    target = resize(target, picture.shape[:2])
    one, other = gradient(picture @ LUMA_601), gradient(target @ LUMA_601)
    shift, likeness, fall = register(one, other)
    if likeness < LIKENESS and min(picture.shape[:2]) >= _HALVED:  # noise, which is finer, may hide what is alike
        size = picture.shape[0] // 2, picture.shape[1] // 2
        half, alike, less = register(*(gradient(resize(one, size, "area") @ LUMA_601) for one in (picture, target)))
        if alike >= LIKENESS:
            shift, likeness, fall = (2 * half[0], 2 * half[1]), alike, less
    if fall < _FALL * likeness:
        return Fit(frame)
    if likeness < LIKENESS:
        return Fit(frame, likeness) if _has_edges(one) or _has_edges(other) else Fit(frame)
    return Fit(frame, likeness, shift, *_levels(*_overlap(picture, target, shift)))


def median(fits: Iterable[Fit], frame: str = "median") -> Fit:
    """The median of what was measured, as a Fit; of pairs of one picture alone."""
    same = [fit for fit in fits if fit.likeness is not None and fit.likeness >= LIKENESS]
    if not same:
        return Fit(frame)

    def middle(values):
        values = [value for value in values if value is not None]
        return float(np.median(values)) if values else None

    def middles(name):
        return tuple(map(middle, zip(*(getattr(fit, name) for fit in same), strict=True)))

    return Fit(frame, middle(fit.likeness for fit in same), middles("shift"), middles("gain"), middles("offset"))


def alike(fits: Sequence[Fit]) -> tuple[str, ...]:
    """What most pairs have off in the same way, in the words of `Fit.off`: as much as their median, within the limit.

    That is a trim, or a transfer, which differs between the folders, rather than bad pairs.
    """
    whole = median(fits)
    judged = [fit for fit in fits if fit.judged]

    def near(fit, name):
        if name not in fit.off:
            return False
        if name == "shift":
            return hypot(*np.subtract(fit.shift, whole.shift)) <= SHIFT
        channel, what = name.split()
        k = CHANNELS.index(channel)
        return abs(getattr(fit, what)[k] - getattr(whole, what)[k]) <= (GAIN if what == "gain" else OFFSET)

    return tuple(name for name in whole.off if 2 * sum(near(fit, name) for fit in judged) > len(judged))


# -- shift -----------------------------------------------------------------------------------------------------------


def gradient(luma: Floats) -> NDArray[np.complex64]:
    """Central differences of (H, W), horizontal + 1j * vertical; 0 at the border."""
    gradient = np.zeros(luma.shape, np.complex64)
    gradient.real[:, 1:-1] = luma[:, 2:] - luma[:, :-2]
    gradient.imag[1:-1] = luma[2:] - luma[:-2]
    return gradient


def _has_edges(gradient):
    """Whether there are edges that stand out of the rest."""
    size = np.sort(np.abs(gradient), axis=None)
    strong, usual = size[-1 - size.size // 200], size[size.size // 2]
    return bool(strong > max(_EDGES[0] * usual, _EDGES[1]))


def register(one: NDArray[np.complex64], other: NDArray[np.complex64]) -> tuple[tuple[float, float], float, float]:
    """Of two gradients: how far `one` lies down and right of `other`; how alike they are then; how much less beside it.

    Not by `skimage.registration.phase_cross_correlation`, to which the largest modulus is the peak: that of a negative.
    """
    window = _hann(one.shape)
    first, second = np.fft.fft2(one * window), np.fft.fft2(other * window)
    energy = _norm(first) * _norm(second)
    if not energy:
        return (0.0, 0.0), 0.0, 0.0
    cross = first * second.conj() / np.float32(energy)
    peak = np.unravel_index(np.argmax(np.fft.ifft2(cross).real), cross.shape)
    shift = [(int(p) + n // 2) % n - n // 2 for p, n in zip(peak, cross.shape, strict=True)]
    for step in (1 / 4, 1 / 16, 1 / 64, 1 / 256):  # nine by nine places, closer each time
        height = _correlation(cross, shift, step * np.arange(-4, 5))
        peak = np.unravel_index(np.argmax(height), height.shape)
        shift = [float(s + step * (p - 4)) for s, p in zip(shift, peak, strict=True)]
    beside = _correlation(cross, shift, np.arange(-1, 2)).ravel()
    likeness = float(beside[4])
    return tuple(shift), likeness, likeness - float(np.delete(beside, 4).max())


def _correlation(cross, shift, places):
    """The correlation at places around a shift, from the cross-spectrum: (vertical, horizontal)."""
    down, right = (
        np.exp(2j * np.pi * np.outer(s + places, np.fft.fftfreq(n))).astype(np.complex64)
        for s, n in zip(shift, cross.shape, strict=True)
    )
    return np.einsum(
        "kh,hl->kl", down, np.einsum("hw,lw->hl", cross, right)
    ).real  # BLAS would start threads of its own


def _norm(values):
    return float(np.sqrt(np.square(values.real).sum(dtype=float) + np.square(values.imag).sum(dtype=float)))


def _dot(one, other):
    """Their product, without BLAS."""
    return np.einsum("i,i", one, other)


@lru_cache(4)
def _hann(shape):
    return np.outer(*(np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 for n in shape)).astype(np.float32)


def _overlap(picture, target, shift):
    """What both show, moved by whole pixels: enough away from edges."""
    parts = [], []
    for s, n in zip((round(s) for s in shift), target.shape, strict=False):
        parts[0].append(slice(max(s, 0), n + min(s, 0)))
        parts[1].append(slice(max(-s, 0), n + min(-s, 0)))
    return picture[tuple(parts[0])], target[tuple(parts[1])]


# -- gain and offset -------------------------------------------------------------------------------------------------


def _levels(picture, target):
    """Gain and offset of each channel."""
    if not blocks.are_enough(picture.shape):
        return (None,) * 3, (None,) * 3
    flat = blocks.flat(target)
    noise = float(np.sqrt(np.median(blocks.variances(picture))))
    margin = max(4 * noise, 0.004)  # where noise is clipped at black or white, means are not what they were
    picture, target = blocks.means(picture), blocks.means(target)
    low, high = np.minimum(picture, target), np.maximum(picture, target)
    use = flat[..., None] & (low > margin) & (high < 1 - margin)
    lines = [_line(target[..., k][use[..., k]], picture[..., k][use[..., k]]) for k in range(3)]
    return tuple(zip(*lines, strict=True))


def _line(x, y):
    """Gain and offset of y = gain * x + offset, or None twice where they are not sure.

    Where y is another colour, such as blue for red, they are given as they are, and the channel is off.
    """
    if len(x) < _FEWEST:
        return None, None
    x, y = x.astype(float), y.astype(float)
    weight = np.ones(len(x))
    for turn in range(30):
        total = weight.sum()
        x_mean, y_mean = _dot(weight, x) / total, _dot(weight, y) / total
        spread = _dot(weight, (x - x_mean) ** 2)
        if not spread:
            return None, None
        gain = _dot(weight, (x - x_mean) * (y - y_mean)) / spread
        offset = y_mean - gain * x_mean
        error = np.abs(y - gain * x - offset)
        noise = max(1.4826 * np.median(error), _CODE)
        biweight = np.maximum(1 - (error / (4.685 * noise)) ** 2, 0) ** 2
        weight = 1 / np.maximum(error, _CODE) if turn < 10 else biweight  # first the least absolute deviations
    if spread < total * _SPREAD**2 or _SURE * np.sqrt(spread) < noise < _UNLIKE:
        return None, None
    return float(gain), float(offset)
