"""The codes of SMPTE 268M by name, its timecode, and the codes of floats."""

import re
from enum import IntEnum
from fractions import Fraction
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastup._types import Codes

Whole = TypeVar("Whole", int, NDArray[Any])


class Code(IntEnum):
    """A code of the standard; a number as any other, with a `text` for people."""

    text: str

    def __new__(cls, code: int, text: str) -> Self:
        member = int.__new__(cls, code)
        member._value_, member.text = code, text
        return member

    @classmethod
    def of(cls, code: int) -> Self | int:
        """The member of that code; the code itself where the standard has none."""
        return cls._value2member_map_.get(code, code)  # type: ignore[return-value]

    @classmethod
    def named(cls, name: str) -> Self:
        """The member of that name, in any case."""
        try:
            return cls[name.upper().replace(" ", "_").replace("-", "_")]
        except KeyError:
            names = ", ".join(cls.__members__)
            raise ValueError(f"{cls.__name__.lower()} is {name!r}, expected a code or one of {names}") from None


def in_words(number: int | None) -> str:
    """A number, and what it means where it is a code that the standard has; for None, undefined."""
    if number is None:
        return "undefined"
    return f"{int(number)} ({number.text})" if isinstance(number, Code) else str(number)


class Descriptor(Code):
    """What an element holds (table 1)."""

    USER_DEFINED = 0, "user-defined"
    RED = 1, "R"
    GREEN = 2, "G"
    BLUE = 3, "B"
    ALPHA = 4, "A"
    LUMA = 6, "luma"
    CHROMA = 7, "chroma"
    DEPTH = 8, "depth"
    COMPOSITE = 9, "composite video"
    RGB = 50, "RGB"
    RGBA = 51, "RGBA"
    ABGR = 52, "ABGR"
    CBYCRY = 100, "CbYCrY 4:2:2"
    CBYACRYA = 101, "CbYACrYA 4:2:2:4"
    CBYCR = 102, "CbYCr 4:4:4"
    CBYCRA = 103, "CbYCrA 4:4:4:4"
    USER_2 = 150, "user-defined, 2 components"
    USER_3 = 151, "user-defined, 3 components"
    USER_4 = 152, "user-defined, 4 components"
    USER_5 = 153, "user-defined, 5 components"
    USER_6 = 154, "user-defined, 6 components"
    USER_7 = 155, "user-defined, 7 components"
    USER_8 = 156, "user-defined, 8 components"


# Components of a pixel: as they are stored, and as channels of a frame that is read. Every other descriptor has one.
STORED: dict[int | None, int] = {
    Descriptor.RGB: 3, Descriptor.RGBA: 4, Descriptor.ABGR: 4, Descriptor.CBYCRY: 2, Descriptor.CBYACRYA: 3,
    Descriptor.CBYCR: 3, Descriptor.CBYCRA: 4, **{Descriptor.of(148 + n): n for n in range(2, 9)},
}  # fmt: skip
CHANNELS = {**STORED, Descriptor.CBYCRY: 3, Descriptor.CBYACRYA: 4}

# What holds Y, Cb and Cr.
CHROMA = {Descriptor.CBYCRY, Descriptor.CBYACRYA, Descriptor.CBYCR, Descriptor.CBYCRA}


class Transfer(Code):
    """How codes follow from light (table 5A)."""

    USER_DEFINED = 0, "user-defined"
    PRINTING_DENSITY = 1, "printing density"
    LINEAR = 2, "linear"
    LOGARITHMIC = 3, "logarithmic"
    VIDEO = 4, "unspecified video"
    SMPTE_274M = 5, "SMPTE 274M"
    REC_709 = 6, "Rec.709"
    REC_601_625 = 7, "Rec.601 625 lines"
    REC_601_525 = 8, "Rec.601 525 lines"
    NTSC = 9, "NTSC"
    PAL = 10, "PAL"
    Z_LINEAR = 11, "Z linear"
    Z_HOMOGENEOUS = 12, "Z homogeneous"
    ADX = 13, "ADX"


# Whose codes are of densities: the low and high one are those of black and white, and not the ends of all codes.
LOG = {Transfer.PRINTING_DENSITY, Transfer.LOGARITHMIC}

# What R, G and B count in luma: ITU-R BT.601, BT.709, SMPTE 240M, BT.2020 (non-constant luminance) and FCC 73.682.
LUMA_SHARES = {
    "601": (Fraction(299, 1000), Fraction(587, 1000), Fraction(114, 1000)),
    "709": (Fraction(2126, 10000), Fraction(7152, 10000), Fraction(722, 10000)),
    "240M": (Fraction(212, 1000), Fraction(701, 1000), Fraction(87, 1000)),
    "2020": (Fraction(2627, 10000), Fraction(6780, 10000), Fraction(593, 10000)),
    "FCC": (Fraction(30, 100), Fraction(59, 100), Fraction(11, 100)),
}
LUMA_601 = np.array(LUMA_SHARES["601"], np.float32)


class Colorimetric(Code):
    """What the primaries are (table 5B, which lacks those transfers that say nothing of colours)."""

    USER_DEFINED = 0, "user-defined"
    PRINTING_DENSITY = 1, "printing density"
    VIDEO = 4, "unspecified video"
    SMPTE_274M = 5, "SMPTE 274M"
    REC_709 = 6, "Rec.709"
    REC_601_625 = 7, "Rec.601 625 lines"
    REC_601_525 = 8, "Rec.601 525 lines"
    NTSC = 9, "NTSC"
    PAL = 10, "PAL"
    ADX = 13, "ADX"


class Packing(Code):
    """How codes of 10 and 12 bits lie in words (table 3)."""

    PACKED = 0, "packed"
    METHOD_A = 1, "method A"
    METHOD_B = 2, "method B"


class Orientation(Code):
    """Where the first pixel is, and how pixels and lines go on (table 2)."""

    LEFT_TO_RIGHT_TOP_TO_BOTTOM = 0, "left to right, top to bottom"
    RIGHT_TO_LEFT_TOP_TO_BOTTOM = 1, "right to left, top to bottom"
    LEFT_TO_RIGHT_BOTTOM_TO_TOP = 2, "left to right, bottom to top"
    RIGHT_TO_LEFT_BOTTOM_TO_TOP = 3, "right to left, bottom to top"
    TOP_TO_BOTTOM_LEFT_TO_RIGHT = 4, "top to bottom, left to right"
    TOP_TO_BOTTOM_RIGHT_TO_LEFT = 5, "top to bottom, right to left"
    BOTTOM_TO_TOP_LEFT_TO_RIGHT = 6, "bottom to top, left to right"
    BOTTOM_TO_TOP_RIGHT_TO_LEFT = 7, "bottom to top, right to left"


def _digits(at: int, text: str) -> Any:
    return property(lambda timecode: int(timecode[at : at + 2]), doc=text)


class Timecode(str):
    """A timecode as text: ``hh:mm:ss:ff``, and ``hh:mm:ss;ff`` where it is drop-frame.

    Hours are 00-23, minutes, seconds and frames 00-59; other text raises ValueError.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        found = re.fullmatch(r"([0-9]{2}):([0-9]{2}):([0-9]{2})[:;]([0-9]{2})", str(text))
        if not found or any(int(part) > most for part, most in zip(found.groups(), (23, 59, 59, 59), strict=True)):
            raise ValueError(f"timecode is {text!r}, expected hh:mm:ss:ff, or hh:mm:ss;ff for drop frame, with hours "
                             "00-23, minutes 00-59, seconds 00-59, frames 00-59")  # fmt: skip
        return super().__new__(cls, text)

    hours: int = _digits(0, "0 to 23.")
    minutes: int = _digits(3, "0 to 59.")
    seconds: int = _digits(6, "0 to 59.")
    frames: int = _digits(9, "0 to 59.")

    @property
    def drop_frame(self) -> bool:
        """True where two frames a minute are left out of the count."""
        return self[8] == ";"

    @property
    def dropped(self) -> bool:
        """True where drop frame leaves this one out: the first two of every minute but each tenth."""
        return self.drop_frame and self.minutes % 10 > 0 and self.seconds == 0 and self.frames < 2


def white_of(bits: int | None) -> int | None:
    """The largest code of so many bits; None where there is none."""
    return (1 << bits) - 1 if bits is not None and 0 <= bits < 32 else None


def scaled(code: Whole, white: int, new_white: int) -> Whole:
    """A code up to one white as one up to another: the nearest, halves upward; an integer, or an array of 64 bits."""
    return (code * (2 * new_white) + white) // (2 * white)


def codes_of(values: NDArray[np.floating[Any]], white: int) -> Codes:
    """The nearest codes of normalised floats, ``uint16``: clipped to 0..1, times white, halves upward.

    This is the one rule for floats that become codes; the C core has it for what goes to a DPX (`dpx_codes`). It is
    exact for any float: the product is rounded as if it had been computed without error.
    """
    values = np.clip(values, 0, 1)
    near = values.astype(np.float32).astype(np.float64)
    codes = near * white + 0.5  # exact near a code: 24 bits times 16
    if values.dtype.itemsize > 4:  # what a float32 leaves out, and the product of that, are exact too
        missing, whole = (values - near) * white, np.floor(codes)
        above = codes - whole
        codes = whole + (missing >= 1 - above) - (missing < -above)
    return codes.astype(np.uint16)
