"""Numba kernel for video: planes of Y, Cb and Cr, at any subsampling and siting, to 10-bit R, G, B codes."""

from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fastup._types import Codes
from fastup.codes import LUMA_SHARES, scaled

WHITE = 1023  # of the codes that are made

# Where a sample of chroma is, across and down, among the samples of luma that share it: 0 at the first, 1 at the last.
SITINGS: dict[str, tuple[Fraction | int, Fraction | int]] = {
    "left": (0, Fraction(1, 2)), "center": (Fraction(1, 2), Fraction(1, 2)), "topleft": (0, 0),
    "top": (Fraction(1, 2), 0), "bottomleft": (0, 1), "bottom": (Fraction(1, 2), 1),
}  # fmt: skip

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
