"""Numba kernels for video: planes of Y, Cb and Cr, at any subsampling and siting, to 10-bit R, G, B codes, and back."""

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fastup._types import Codes, Frame
from fastup.codes import LUMA_SHARES, scaled

WHITE = 1023  # of the codes that are made

# Where a sample of chroma is, across and down, among the samples of luma that share it: 0 at the first, 1 at the last.
SITINGS: dict[str, tuple[Fraction | int, Fraction | int]] = {
    "left": (0, Fraction(1, 2)), "center": (Fraction(1, 2), Fraction(1, 2)), "topleft": (0, 0),
    "top": (Fraction(1, 2), 0), "bottomleft": (0, 1), "bottom": (Fraction(1, 2), 1),
}  # fmt: skip

SUBSAMPLING = {"4:4:4": (1, 1), "4:2:2": (1, 2), "4:2:0": (2, 2)}  # lines and columns that share a sample of chroma

# Exact values are rounded to the nearest code, halves up. float64 may be this much below a half: three products below
# 2048, and their sum. No exact value but a half comes as near to one in Rec.601 of 8 bits, or of 10 bits and 4:2:2;
# elsewhere one of 2**38 may, and takes the code above.
_TINY = 2.0**-39


def rgb(
    planes: Sequence[NDArray[Any]], bits: int, *, matrix: str, siting: str = "left", interlaced: bool = False,
    full: bool = False, keep: bool = False,
) -> Codes:  # fmt: skip
    """Convert a frame of Y, Cb and Cr to 10-bit codes of R, G, B, (H, W, 3).

    Chroma is interpolated linearly between the samples above and below, then left and right, each where `siting` has
    it; beyond the border the last one goes on. Then, with Y scaled to 0..1, Cb and Cr to -1/2..1/2 (ITU-T H.273)::

        R = Y + 2 (1 - Kr) Cr
        B = Y + 2 (1 - Kb) Cb
        G = (Y - Kr R - Kb B) / (1 - Kr - Kb)

    is scaled to codes, rounded to the nearest, halves up, and clipped. Nothing is rounded in between.

    Parameters
    ----------
    planes
        Y (H, W), Cb and Cr (ceil(H / v), ceil(W / h)) with v and h of 1, 2 or 4; uint8 or uint16 codes.
    bits, matrix, siting
        Of the codes, 8 to 16; one of `fastup.codes.LUMA_SHARES`; one of `SITINGS`.
    interlaced
        Whether the lines of chroma belong to the fields in turn, as those of luma do. They are interpolated between
        lines of their own field alone; "left" and "center" of 4:2:0 are then at 2k + 1/4 among the lines of the top
        field, and at 2k + 3/4 among those of the bottom one (ISO/IEC 13818-2, 6.1.1.8).
    full
        Whether black and white are 0 and 2**bits - 1, which chroma spans too. Otherwise they are 16 and 235, and
        chroma spans 16 to 240, times 2**(bits - 8).
    keep
        Make black 64 and white 940 of what is not `full`, and not 0 and 1023.

    Raises
    ------
    ValueError
        If the planes do not fit each other.
    """
    luma, cb, cr = map(np.ascontiguousarray, planes)
    factors = tuple(
        next((n for n in (1, 2, 4) if -(-size // n) == part), None)
        for size, part in zip(luma.shape, cb.shape, strict=True)
    )
    if luma.ndim != 2 or luma.dtype not in (np.uint8, np.uint16) or None in factors:
        raise ValueError(f"planes are {luma.shape} of {luma.dtype} and {cb.shape}, expected subsampling of 1, 2 or 4")
    if cb.shape != cr.shape or not luma.dtype == cb.dtype == cr.dtype:
        raise ValueError(f"planes are {luma.dtype}, {cb.shape} of {cb.dtype} and {cr.shape} of {cr.dtype}")
    out = np.empty((*luma.shape, 3), np.uint16)
    across, down = SITINGS[siting]
    lines, line_shares = _lines(luma.shape[0], cb.shape[0], factors[0], down, bool(interlaced))
    firsts, shares = _phases(factors[1], across)
    _convert(luma, cb, cr, lines, line_shares, firsts, shares, _coefficients(bits, matrix, full, keep), out)
    return out


def planes(
    frame: Frame, white: int, bits: int, *, matrix: str, subsampling: str = "4:2:2", siting: str = "left",
    full: bool = False, keep: bool = False,
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:  # fmt: skip
    """Convert a frame of R, G and B to planes of Y, Cb and Cr: the inverse of `rgb`.

    With R, G and B scaled to 0..1 (ITU-T H.273)::

        Y  = Kr R + Kg G + Kb B
        Cb = (B - Y) / (2 (1 - Kb))
        Cr = (R - Y) / (2 (1 - Kr))

    Before samples of chroma are left out it is filtered, across and down alike: by 1/4, 1/2, 1/4 around a sample of
    luma where one of chroma is at it, by 1/2, 1/2 where it is midway between two (Poynton, "Digital Video and HD:
    Algorithms and Interfaces", chroma subsampling filters). Beyond the border the last one goes on. Then Y, Cb and Cr
    are scaled to codes and rounded to the nearest, halves up. Nothing is rounded in between. Lines are those of a
    progressive frame.

    Parameters
    ----------
    frame, white
        uint16 codes, 0 to `white`; or float32, clipped to 0..1, whatever `white` is: (H, W, 3).
    bits, matrix, siting
        Of the codes that are made, 8 to 16; one of `fastup.codes.LUMA_SHARES`; one of `SITINGS`.
    subsampling
        One of `SUBSAMPLING`. Where no samples are left out, across or down, `siting` is not looked at.
    full
        Whether black and white become 0 and 2**bits - 1, which chroma spans too; what rounds to 2**bits is clipped.
        Otherwise they become 16 and 235, and chroma spans 16 to 240, times 2**(bits - 8): never one of the codes that
        SDI and v210 keep for timing (0 and 255 of 8 bits; 0 to 3 and 1020 to 1023 of 10).
    keep
        Whether black is 64 and white 940 of codes up to 1023, as `rgb` makes them with its `keep`, and what lies beyond
        stays beyond; of more codes in proportion. Floats are such codes / `white`. Not with `full`.

    Returns
    -------
    Y (H, W), Cb and Cr (ceil(H / v), ceil(W / h)), uint8 for 8 bits and uint16 for more. They are exact where `white`
    is 2**n - 1; of floats, where the exact value is not within 2**(bits - 50) of a half.

    Raises
    ------
    ValueError
        If the frame is of another shape or type, holds NaN, or a code above white.
    """
    codes = frame.dtype == np.uint16
    if frame.ndim != 3 or frame.shape[2] != 3 or not frame.size or not (codes or frame.dtype == np.float32):
        raise ValueError(f"the frame is {frame.shape} of {frame.dtype}, expected (H, W, 3) of uint16 or float32")
    if keep and full:
        raise ValueError("keep is of frames that become limited range, expected not full")
    most = frame.max()  # NaN where there is one
    if most != most or (codes and most > white):
        raise ValueError(f"the frame holds {most}, expected {f'codes of 0 to {white}' if codes else 'numbers'}")
    height, width = frame.shape[:2]
    v, h = SUBSAMPLING[subsampling]
    across, down = SITINGS[siting]
    small, dtype = (-(-height // v), -(-width // h)), np.uint8 if bits == 8 else np.uint16
    made = np.empty((height, width), dtype), np.empty(small, dtype), np.empty(small, dtype)
    shares, scales, added, top = _factors(bits, matrix, full, white, keep, codes)
    start = int(v > 1 and down == 1)
    _reduce(frame, v, start, _around(v, down), h, _around(h, across), shares, scales, added, top, *made)
    return made


@cache
def table(bits: int, full: bool, keep: bool) -> Codes:
    """The 10-bit code for every code of luma, or of R, G and B, as `rgb` has them: (2**bits,), uint16."""
    black, span, _ = _levels(bits, full)
    low, high = _made(full, keep)
    codes = np.arange(1 << bits, dtype=np.int64) - black
    return np.clip(scaled(codes, span, high - low) + low, 0, WHITE).astype(np.uint16)


def _levels(bits, full):
    """The code of black, and how many luma and chroma span."""
    return (0, *2 * ((1 << bits) - 1,)) if full else tuple(level << (bits - 8) for level in (16, 219, 224))


def _made(full, keep):
    return (64, 940) if keep and not full else (0, WHITE)


@cache
def _coefficients(bits, matrix, full, keep):
    """What Y counts in all three, Cr in R, Cb and Cr in G, Cb in B; and what is added to each: float64."""
    kr, kg, kb = LUMA_SHARES[matrix]
    black, luma, chroma = _levels(bits, full)
    low, high = _made(full, keep)
    y, c, middle = Fraction(high - low, luma), Fraction(high - low, chroma), 1 << (bits - 1)
    cr_r, cb_b = 2 * (1 - kr) * c, 2 * (1 - kb) * c
    cb_g, cr_g = -kb * cb_b / kg, -kr * cr_r / kg
    added = (low - y * black - part * middle for part in (cr_r, cb_g + cr_g, cb_b))
    half = Fraction(1, 2) + Fraction(_TINY)
    return tuple(map(float, (y, cr_r, cb_g, cr_g, cb_b, *(part + half for part in added))))


@cache
def _lines(height, count, factor, place, interlaced):
    """The two lines of chroma that a line of luma takes, (height, 2) int64, and the share of the second, float32."""
    lines, shares = np.empty((height, 2), np.int64), np.empty(height, np.float32)
    for y in range(height):
        field, step, offset = 0, 1, place * (factor - 1)
        if interlaced and factor > 1 and count > 1:
            field, step = y % 2, 2
            # In the middle, a line of chroma is in the middle of the frame's lines; else, of its field's.
            offset = (offset + field * (factor - 1)) / 2 if place == Fraction(1, 2) else offset
        last = (count - 1 - field) // step  # of the field's, or of all
        at = (y // step - offset) / Fraction(factor)
        first = at.__floor__()
        lines[y] = [max(0, min(line, last)) * step + field for line in (first, first + 1)]
        shares[y] = at - first
    return lines, shares


@cache
def _phases(factor, place):
    """For each of the columns that share a sample of chroma: the first of two that it takes, and the second's share."""
    at = [(x - place * (factor - 1)) / Fraction(factor) for x in range(factor)]
    firsts = [position.__floor__() for position in at]
    shares = [float(position - first) for position, first in zip(at, firsts, strict=True)]
    return np.array(firsts, np.int64), np.array(shares, np.float32)


def _around(factor, place):
    """What a sample of chroma takes of three of luma around its place: the second is at it, or, midway, before it."""
    if factor == 1:
        return 0.0, 1.0, 0.0
    return (0.0, 0.5, 0.5) if place == Fraction(1, 2) else (0.25, 0.5, 0.25)


@cache
def _factors(bits, matrix, full, white, keep, codes):
    """For `_reduce`: R, G, B in Y as whole numbers, their sum, and white; what makes codes of sums; what is added.

    Without what is added for it, a half may be missed by three roundings below 2**(bits - 53) each, of factor, product
    and sum. For whites of 2**n - 1, all exact values but halves are further from one than twice as much.
    """
    shares = LUMA_SHARES[matrix]
    whole = math.lcm(*(share.denominator for share in shares))
    kr, kg, kb = (int(share * whole) for share in shares)
    black, luma, chroma = _levels(bits, full)
    low, high = (Fraction(level * (white + 1), 1024) for level in _made(full, True)) if keep else (0, white)
    if not codes:
        low, high, white = Fraction(low, white), Fraction(high, white), 1
    black -= low * Fraction(luma, high - low)
    half = Fraction(1, 2) + Fraction(2) ** (bits - 51)
    scales = Fraction(luma, whole), Fraction(chroma, 2 * (whole - kb)), Fraction(chroma, 2 * (whole - kr))
    return (
        tuple(map(float, (kr, kg, kb, whole, white))), tuple(float(scale / (high - low)) for scale in scales),
        (float(black + half), float((1 << (bits - 1)) + half)), float((1 << bits) - 1),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _reduce(frame, v, start, down, h, across, shares, scales, added, most, luma, cb, cr):
    """See `planes`. In float64, sums of codes, which are whole numbers, and 16ths of them are exact."""
    height, width = luma.shape
    count = cb.shape[1]
    kr, kg, kb, whole, white = shares
    to_y, to_cb, to_cr = scales
    add_y, add_c = added
    before, here, after = across
    sums, to_blue, to_red = np.empty(width), np.empty(width), np.empty(width)
    blues, reds = np.empty(h * count + 2), np.empty(h * count + 2)  # of a line of chroma; its ends go on
    for line in range(cb.shape[0]):
        blues[:], reds[:] = 0, 0
        for tap in range(3):
            share, row = down[tap], min(max(v * line + start + tap - 1, 0), height - 1)
            if share == 0:
                continue
            for x in range(width):
                r, g, b = np.float64(frame[row, x, 0]), np.float64(frame[row, x, 1]), np.float64(frame[row, x, 2])
                r, g, b = r if r > 0 else 0.0, g if g > 0 else 0.0, b if b > 0 else 0.0
                r, g, b = r if r < white else white, g if g < white else white, b if b < white else white
                y = kr * r + kg * g + kb * b
                sums[x], to_blue[x], to_red[x] = y, whole * b - y, whole * r - y
            for x in range(width):
                blues[x + 1] += share * to_blue[x]
                reds[x + 1] += share * to_red[x]
            if row // v == line:
                for x in range(width):
                    luma[row, x] = np.int32(min(sums[x] * to_y + add_y, most))
        blues[0], reds[0], blues[width + 1 :], reds[width + 1 :] = blues[1], reds[1], blues[width], reds[width]
        for x in range(count):
            blue = before * blues[h * x] + here * blues[h * x + 1] + after * blues[h * x + 2]
            red = before * reds[h * x] + here * reds[h * x + 1] + after * reds[h * x + 2]
            cb[line, x] = np.int32(max(min(blue * to_cb + add_c, most), 0.0))
            cr[line, x] = np.int32(max(min(red * to_cr + add_c, most), 0.0))


@njit(cache=True, nogil=True)
def _convert(luma, cb, cr, lines, line_shares, firsts, shares, coefficients, out):
    """See `rgb`. Chroma is exact in float32: 16 bits, and halves of them to seven more."""
    height, width = luma.shape
    count, factor = cb.shape[1], firsts.size
    y, cr_r, cb_g, cr_g, cb_b, add_r, add_g, add_b = coefficients
    one, none, most = np.float32(1), 0.0, WHITE + 0.5
    u, v = np.empty(count + 2, np.float32), np.empty(count + 2, np.float32)  # a line of chroma; its ends go on
    us, vs = np.empty(count * factor, np.float32), np.empty(count * factor, np.float32)  # the same for each column
    reds, greens, blues = np.empty(width, np.uint16), np.empty(width, np.uint16), np.empty(width, np.uint16)
    for row in range(height):
        first, second, share = lines[row, 0], lines[row, 1], line_shares[row]
        for x in range(count):
            u[x + 1] = (one - share) * np.float32(cb[first, x]) + share * np.float32(cb[second, x])
            v[x + 1] = (one - share) * np.float32(cr[first, x]) + share * np.float32(cr[second, x])
        u[0], v[0], u[count + 1], v[count + 1] = u[1], v[1], u[count], v[count]
        for phase in range(factor):
            share, from_u, from_v = shares[phase], u[firsts[phase] + 1 :], v[firsts[phase] + 1 :]
            to_u, to_v = us[phase::factor], vs[phase::factor]
            for x in range(count):
                to_u[x] = (one - share) * from_u[x] + share * from_u[x + 1]
                to_v[x] = (one - share) * from_v[x] + share * from_v[x + 1]
        for x in range(width):
            shade, blue, red = y * np.float64(luma[row, x]), np.float64(us[x]), np.float64(vs[x])
            r = shade + cr_r * red + add_r
            g = shade + cb_g * blue + cr_g * red + add_g
            b = shade + cb_b * blue + add_b
            r, g, b = r if r > none else none, g if g > none else none, b if b > none else none
            r, g, b = r if r < most else most, g if g < most else most, b if b < most else most
            reds[x], greens[x], blues[x] = np.int32(r), np.int32(g), np.int32(b)
        for x in range(width):
            out[row, x, 0], out[row, x, 1], out[row, x, 2] = reds[x], greens[x], blues[x]
