"""PSNR and SSIM by stated protocols, and what animation needs beside them: lines, flats, halos and flicker.

Figures for two purposes. `psnr` is for restoration: normalised RGB, the whole picture, or its `Parts`. `psnr_y` and
`ssim_y` follow the protocol of the super-resolution papers, luma alone and without the rim, so that figures compare
with theirs. Say which one is meant: they differ by one to two dB on the same pictures.
"""

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from fastup._types import Floats, Frame
from fastup.codes import LUMA_601, LUMA_SHARES

STEP, FAINT = 0.15, 0.04  # of white: how far luma goes within three pixels where there is a line; less than in flats
NEAR, FAR = 2, 8  # pixels from a step: how far a line's surroundings go, and where flats begin
LEVEL = 0.02  # of white: how far the bright side of an edge may be off its brightest pixel
STILL, ROUND = 0.01, 3  # of white: means over so many pixels each way change by less where a target is still
LEAST = 0.01  # of a picture: less of it that is still says nothing
BLOCK = 16  # pixels: what is too bright is averaged over so many each way, in which noise is lost


def _pair(a: Frame, b: Frame) -> tuple[Frame, Frame]:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise ValueError(f"the pictures' shapes differ: {a.shape} and {b.shape}")
    if a.size == 0:
        raise ValueError(f"the pictures are empty: {a.shape}")
    return a, b


def _decibels(a, b, peak):
    difference = np.subtract(a, b, dtype=np.float64)
    error = np.mean(np.square(difference, out=difference))
    return math.inf if error == 0 else float(20 * np.log10(peak) - 10 * np.log10(error))


def psnr(a: Frame, b: Frame, peak: float = 1.0) -> float:
    """Peak signal-to-noise ratio over all pixels and channels, 10 log10(peak^2 / mean squared difference); or infinity.

    Parameters
    ----------
    a, b : ndarray, one shape
        Normalised pictures (H, W, C), or code values with `peak` set to white.
    peak
        The largest value there can be.
    """
    return _decibels(*_pair(a, b), peak)


def mean_psnr(decibels: Iterable[float]) -> float:
    """The PSNR of the mean squared error of several pictures, by their PSNR; infinity where all are equal.

    A mean of decibels would be ruled by the picture that is nearest to its target, such as a black one.
    """
    error = np.mean([10 ** (-value / 10) for value in decibels])
    return math.inf if error == 0 else float(-10 * np.log10(error))


def luma_y(picture: Frame, crop: int) -> NDArray[np.float64]:
    """What `psnr_y` and `ssim_y` are of: Rec.601 studio luma, 16 to 235, unrounded; without `crop` pixels each side."""
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"the picture's shape is {picture.shape}, expected (height, width, 3)")
    height, width = picture.shape[:2]
    if crop < 0 or 2 * crop >= min(height, width):
        raise ValueError(f"crop is {crop}, expected 0 or more, and less than half of {height} x {width} pixels")
    inside = picture[crop : height - crop, crop : width - crop].astype(np.float64)
    luma = inside @ [float(219 * share) for share in LUMA_SHARES["601"]]
    luma += 16
    return luma


def psnr_y(a: Frame, b: Frame, crop: int) -> float:
    """PSNR, in decibels, as the super-resolution papers report it: luma, without the rim, peak 255; or infinity.

    Y = 65.481 R + 128.553 G + 24.966 B + 16 of normalised RGB (MATLAB's ``rgb2ycbcr``), kept as float, not rounded.
    The papers first round their outputs to 8 bits; give pictures rounded so (``code / 255``) to compare with them.

    Parameters
    ----------
    a, b : ndarray, (H, W, 3)
        Normalised RGB.
    crop
        Pixels left out on each side; the papers use the scale.
    """
    a, b = _pair(a, b)
    return psnr_of_luma(luma_y(a, crop), luma_y(b, crop))


def psnr_of_luma(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """`psnr_y`, by the `luma_y` of both."""
    return _decibels(a, b, 255)


def ssim_y(a: Frame, b: Frame, crop: int) -> float:
    """Structural similarity as the super-resolution papers report it: luma, without the rim.

    Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity": an 11 x 11 Gaussian
    window of sigma 1.5, K1 = 0.01, K2 = 0.03, peak 255, averaged over the positions where the window fits. Luma as in
    `psnr_y`.

    Parameters
    ----------
    a, b : ndarray, (H, W, 3)
        Normalised RGB, at least 11 pixels each way after cropping.
    crop
        Pixels left out on each side; the papers use the scale.
    """
    a, b = _pair(a, b)
    return ssim_of_luma(luma_y(a, crop), luma_y(b, crop))


def ssim_of_luma(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """`ssim_y`, by the `luma_y` of both."""
    if min(a.shape) < 11:
        raise ValueError(f"{a.shape[0]} x {a.shape[1]} pixels are left, expected at least 11 x 11 for SSIM")
    # scikit-image cuts its Gaussian at 3.5 sigma, 5 pixels each way here, and averages 'valid' positions alone.
    similarity = structural_similarity(
        a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return float(similarity)


class Parts:
    """What a target consists of, by its luma (Rec.601 of normalised RGB), and how near a picture is to it there.

    A step is how far luma goes within the 3 x 3 pixels around a pixel.

    Parameters
    ----------
    target : ndarray, (H, W, 3)
        Normalised RGB.
    reach
        How far, in pixels, halos go beside edges: three input pixels.

    Attributes
    ----------
    lines : ndarray of bool, (H, W)
        Pixels no farther than 2 from a step of 0.15: drawn lines, and edges as strong.
    flats : ndarray of bool, (H, W)
        Pixels with no step of 0.04 within 8.
    """

    def __init__(self, target: Frame, reach: int) -> None:
        self.target = target
        self.luma = target @ LUMA_601
        step = _highest(self.luma, 1) + _highest(-self.luma, 1)
        self.lines = _highest(step, NEAR) >= STEP
        self.flats = _highest(step, FAR) < FAINT
        self._places = [np.flatnonzero(part) for part in (self.lines, self.flats)]
        # The bright sides of edges in rings of two pixels, as soft edges are too dark in the first of them.
        bright = _highest(self.luma, reach) - self.luma <= LEVEL
        self._rings, nearer = [], np.zeros_like(bright)
        for distance in range(2, reach + 1, 2):
            beside = bright & (self.luma + _highest(-self.luma, distance) >= STEP)
            self._rings.append(beside & ~nearer)
            nearer = beside

    def psnr(self, picture: Frame) -> tuple[float, float | None, float | None]:
        """`psnr` of the whole picture, of lines and of flats; None where there are none."""
        picture, target = _pair(picture, self.target)
        error = np.subtract(picture, target, dtype=np.float64)
        error = (
            sum(np.moveaxis(np.square(error, out=error), 2, 0)) / error.shape[2]
        )  # their mean, in a third of its time

        def decibels(errors):
            mean = errors.mean() if errors.size else None
            return mean if mean is None else math.inf if mean == 0 else float(-10 * np.log10(mean))

        return decibels(error), *(decibels(error.ravel()[places]) for places in self._places)

    def halo(self, picture: Frame) -> float | None:
        """How much brighter than the target a picture is on the bright side of edges, in codes of 10 bits.

        A peaked edge swings beyond its levels on both sides, and beside the dark lines of a drawing that is a bright
        rim. As Marziliano et al. measure ringing (2004, "Perceptual blur and ringing metrics: application to
        JPEG2000"), the difference to the target is taken beside edges, where blur does not go up: on pixels within
        0.02 of the brightest in `reach`, with one darker by 0.15 there. Less the mean difference in flats, it is
        averaged over the pixels in each block of 16 x 16, where noise is lost, and over the blocks, those that are not
        brighter counting as 0. None where there are no such pixels.
        """
        count = sum(map(np.count_nonzero, self._rings))
        if not count:
            return None
        more = picture @ LUMA_601 - self.luma
        flats = more.ravel()[self._places[1]]
        if flats.size:
            more -= flats.mean()
        brighter = sum(_blocks(np.where(ring, more, 0)).clip(0).sum() for ring in self._rings)
        return float(1023 * brighter / count)


def still(target: Frame, before: Frame) -> NDArray[np.bool_]:
    """Where a target is as it was in the frame before: (H, W), of two (H, W, 3), normalised RGB.

    A pixel is still where the change of no channel, a mean over 7 x 7 pixels, in which grain is lost, reaches 0.01
    within 8 pixels.
    """
    change = np.abs(_around(np.subtract(*_pair(target, before), dtype=np.float32), ROUND)).max(axis=2)
    return _highest(change, FAR) < STILL


def flicker(picture: Frame, before: Frame, still: NDArray[np.bool_]) -> float | None:
    """The mean change from one picture to the next, without its sign, where nothing should change: codes of 10 bits.

    Parameters
    ----------
    picture, before : ndarray, (H, W, 3)
        Normalised RGB, of one frame and of the one before it.
    still : ndarray of bool
        Where the target is `still`. Of another size than the pictures, as inputs are, what lies nearest counts. None
        where that is less than a hundredth of the picture.
    """
    picture, before = _pair(picture, before)
    rows, columns = ((np.arange(n) * 2 + 1) * m // (2 * n) for n, m in zip(picture.shape, still.shape, strict=False))
    places = np.flatnonzero(still[rows][:, columns])
    if places.size / picture[..., 0].size < LEAST:
        return None
    one, other = (each.reshape(-1, each.shape[2])[places] for each in (picture, before))
    change = np.subtract(one, other, dtype=np.float64)
    return float(1023 * np.abs(change, out=change).mean())


def _around(values: Floats, reach: int) -> Floats:
    """Means over so many pixels each way, edges repeated."""
    for axis in (0, 1):
        padded = np.pad(values, [(reach, reach) if each == axis else (0, 0) for each in range(values.ndim)], "edge")
        padded, count = padded.swapaxes(0, axis), values.shape[axis]
        total = padded[:count].copy("K")
        for k in range(1, 2 * reach + 1):
            total += padded[k : k + count]
        total /= 2 * reach + 1
        values = total.swapaxes(0, axis)
    return values


def _highest(values: Floats, reach: int) -> Floats:
    """The highest within so many pixels each way: of windows of 1, 2, 4, ... and what is left to the whole."""
    for axis in (0, 1):
        values = np.pad(values, [(reach, reach) if each == axis else (0, 0) for each in (0, 1)], "edge")
        values, width = values.swapaxes(0, axis), 1
        while width < 2 * reach + 1:
            more = min(width, 2 * reach + 1 - width)
            values, width = np.maximum(values[:-more], values[more:]), width + more
        values = values.swapaxes(0, axis)
    return values


def _blocks(values):
    """Sums over blocks, those at the right and the bottom being smaller."""
    for axis in (0, 1):
        values = np.add.reduceat(values, np.arange(0, values.shape[axis], BLOCK), axis=axis)
    return values
