"""Kinds of fields in a DPX header: how a number, code, text, fraction or timecode is stored, and what it is in Python.

A value that the file leaves undefined, all ones or an empty text, is None in Python.
"""

import math
import operator
import re
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, overload

import numpy as np

from fastup.codes import Code, Timecode

ALL_ONES = 0xFFFFFFFF
_UNDEFINED_FLOAT = np.uint32(ALL_ONES).view(np.float32)

T = TypeVar("T", covariant=True)
AnyCode = TypeVar("AnyCode", bound=Code)


class Field(property, Generic[T]):
    """A property of a header that reads one of its fields, a number unless a kind below says otherwise.

    It lies in a `section` of `Header.fields`, or "element", the first of ``fields["image"]["element"]``, and is stored
    as NumPy's `kind`, with a shape for several numbers. Whole numbers are `least` or more.
    """

    def __init__(self, section: str, kind: str | tuple[str, tuple[int]], text: str, least: int = 0) -> None:
        super().__init__(self.read)
        self.__doc__ = text
        self.section, self.dtype, self.least = section, np.dtype(kind), least

    if TYPE_CHECKING:

        @overload
        def __get__(self, header: None, owner: type, /) -> Self: ...
        @overload
        def __get__(self, header: Any, owner: type | None = None, /) -> T: ...
        def __get__(self, header, owner=None, /): ...

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def read(self, header: Any) -> T:
        return self.value(header._section(self.section)[self.name])

    def value(self, stored: Any) -> T:
        """A stored value as Python's own."""
        return in_python(stored)

    def stored(self, value: Any, header: Any) -> Any:
        """What is stored for a value. `header` is there for those that depend on it."""
        return self.number(value)

    def number(self, value: Any) -> Any:
        """One number of what is stored."""
        dtype = self.dtype.base
        whole = dtype.kind == "u"
        most = (1 << 8 * dtype.itemsize) - 2 if whole else float(np.finfo(dtype).max)
        least = self.least if whole else -most
        if value is None:
            return most + 1 if whole else _UNDEFINED_FLOAT
        try:
            number = operator.index(value) if whole else float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{self.name} is {value!r}, expected a {'whole ' * whole}number") from None
        if not least <= number <= most + (self.name == "file_size"):  # all ones: a size that does not fit
            raise ValueError(f"{self.name} is {number}, expected {least} to {most}")
        return number


Whole, Real = Field[int | None], Field[float | None]


class Padding(Field[int]):
    """A count of bytes that is 0 where the file does not say."""

    def value(self, stored: Any) -> int:
        return in_python(stored) or 0


class Text(Field[str | None]):
    """UTF-8, ended by a NUL where there is room for it."""

    def stored(self, value: Any, header: Any) -> bytes:
        if not isinstance(value, str | None):
            raise TypeError(f"{self.name} is {value!r}, expected text")
        data = (value or "").encode()
        if len(data) > self.dtype.itemsize:
            raise ValueError(f"{self.name} takes {len(data)} bytes, expected {self.dtype.itemsize} or less")
        if b"\0" in data:
            raise ValueError(f"{self.name} is {value!r}, expected text without a NUL, which ends it")
        return data


class Rate(Field[float | None]):
    """Frames per second. A file may hold any number; what is written is one that can be, or 0, for some undefined."""

    def stored(self, value: Any, header: Any) -> float:
        number = self.number(value)
        if value is not None and number != 0 and not is_rate(number):
            raise ValueError(f"{self.name} is {number}, expected 0.0001 to 10000 frames a second")
        return number


class Coded(Field[AnyCode | int | None]):
    """A code of the standard, or the number where the standard has no such code."""

    def __init__(self, section: str, kind: str, text: str, codes: type[AnyCode]) -> None:
        super().__init__(section, kind, text)
        self.codes = codes

    def value(self, stored: Any) -> AnyCode | int | None:
        number = in_python(stored)
        return None if number is None else self.codes.of(number)

    def stored(self, value: Any, header: Any) -> Any:
        return self.codes.named(value) if isinstance(value, str) else self.number(value)


class Border(Field[tuple[int | None, ...] | None]):
    """Four numbers, each of which may be undefined; None where all are."""

    def value(self, stored: Any) -> tuple[int | None, ...] | None:
        values = tuple(map(in_python, stored))
        return values if any(value is not None for value in values) else None

    def stored(self, value: Any, header: Any) -> Any:
        (count,) = self.dtype.shape
        values = count * (None,) if value is None else tuple(value)
        if len(values) != count:
            raise ValueError(f"{self.name} is {value}, expected {count} numbers")
        return list(map(self.number, values))


class Aspect(Field[Fraction | None]):
    """Two numbers that are one fraction."""

    def value(self, stored: Any) -> Fraction | None:
        across, down = map(int, stored)
        return None if {across, down} & {0, ALL_ONES} else Fraction(across, down)

    def stored(self, value: Any, header: Any) -> Any:
        if value is None:
            return [ALL_ONES, ALL_ONES]
        try:
            if isinstance(value, str | tuple | list):  # 8:9, as it is printed, or the two numbers
                across, down = map(int, value.split(":")) if isinstance(value, str) else value
                value = Fraction(across, down)
            elif isinstance(value, float | np.floating):  # 0.9 means 9/10, not what is next to it in binary
                value = Fraction(float(value)).limit_denominator(65536)
            pair = Fraction(value).as_integer_ratio()
        except (TypeError, ValueError, ZeroDivisionError):
            raise ValueError(f"{self.name} is {value!r}, expected a fraction, such as Fraction(8, 9)") from None
        return list(map(self.number, pair))


class TimecodeDigits(Field[Timecode | None]):
    """A timecode, two digits a byte.

    The frames' byte has two flags of SMPTE 12-1 above its six bits of digits: 0x40 is drop frame, 0x80 colour frame.
    But at 48 frames a second and more, files hold frames of 40 to 59, and no flags.
    """

    def read(self, header: Any) -> Timecode | None:
        number, flags = int(header.fields["television"]["timecode"]), 0xC0 if _has_flags(header) else 0
        separator = ";" if number & flags & 0x40 else ":"
        digits = f"{number & ~flags:08x}"
        try:
            return Timecode(":".join((digits[:2], digits[2:4], digits[4:6])) + separator + digits[6:])
        except ValueError:
            return None

    def stored(self, value: Any, header: Any) -> Any:
        if value is None:
            return ALL_ONES
        timecode, flags = Timecode(value), _has_flags(header)
        if flags and timecode.frames > 39:
            rate = "an unknown rate" if header.frame_rate is None else f"{header.frame_rate:g} frames/s"
            raise ValueError(f"timecode is {value!r}, expected frames of 39 or less, which is all that fits at {rate}")
        if timecode.drop_frame and not flags:
            raise ValueError(f"timecode is {value!r}, expected no drop frame at {header.frame_rate:g} frames/s")
        if timecode.dropped:
            raise ValueError(f"timecode is {value!r}, expected one that drop frame does not leave out: "
                             f"{timecode[:9]}02")  # fmt: skip
        return int(re.sub("[:;]", "", timecode), 16) | 0x40 * timecode.drop_frame


def _has_flags(header):
    return header.frame_rate is None or header.frame_rate <= 40


def is_rate(number: float | None) -> bool:
    """Whether a number can be one of frames per second: negative ones cannot, nor those with their bytes swapped."""
    return number is not None and 1e-4 <= number <= 1e4


def in_python(stored: Any) -> Any:
    """A stored value as Python's own, sections and arrays too; what is undefined, or an empty text, is None."""
    if isinstance(stored, np.void):
        names = [name for name in stored.dtype.names or () if name not in ("reserved", "_padding")]
        return {name: in_python(stored[name]) for name in names}
    if isinstance(stored, np.ndarray):
        return [in_python(item) for item in stored]
    if isinstance(stored, bytes):
        text = stored.split(b"\0")[0].rstrip(b"\xff")
        try:
            return text.decode() or None
        except UnicodeDecodeError:
            return text.decode("latin-1")
    if isinstance(stored, np.floating):
        return float(stored) if math.isfinite(stored) else None  # all ones is a NaN
    return None if int(stored) == (1 << 8 * stored.itemsize) - 1 else int(stored)
