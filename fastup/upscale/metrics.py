"""PSNR and SSIM by stated protocols.

Two figures for two purposes. `psnr` is for restoration: normalised RGB, the whole picture. `psnr_y` and `ssim_y` follow
the protocol of the super-resolution papers, luma alone and without the rim, so that figures compare with theirs.
Say which one is meant: they differ by one to two dB on the same pictures.
"""

import math
from collections.abc import Iterable

import numpy as np
from skimage.metrics import structural_similarity

from fastup._types import Frame
from fastup.codes import LUMA_SHARES


def _pair(a: Frame, b: Frame) -> tuple[Frame, Frame]:
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape:
        raise ValueError(f"the pictures' shapes differ: {a.shape} and {b.shape}")
    if a.size == 0:
        raise ValueError(f"the pictures are empty: {a.shape}")
    return a, b


def _decibels(a, b, peak):
    difference = np.subtract(a, b, dtype=np.float64)
    error = np.mean(np.square(difference))
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


def _luma(picture, crop):
    """Rec.601 studio luma, 16 to 235, float64 and unrounded, of normalised RGB, without `crop` pixels on each side."""
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"the picture's shape is {picture.shape}, expected (height, width, 3)")
    height, width = picture.shape[:2]
    if crop < 0 or 2 * crop >= min(height, width):
        raise ValueError(f"crop is {crop}, expected 0 or more, and less than half of {height} x {width} pixels")
    inside = picture[crop : height - crop, crop : width - crop].astype(np.float64)
    return inside @ [float(219 * share) for share in LUMA_SHARES["601"]] + 16


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
    return _decibels(_luma(a, crop), _luma(b, crop), 255)


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
    a, b = _luma(a, crop), _luma(b, crop)
    if min(a.shape) < 11:
        raise ValueError(f"{a.shape[0]} x {a.shape[1]} pixels are left, expected at least 11 x 11 for SSIM")
    # scikit-image cuts its Gaussian at 3.5 sigma, 5 pixels each way here, and averages 'valid' positions alone.
    similarity = structural_similarity(
        a, b, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
    )
    return float(similarity)
