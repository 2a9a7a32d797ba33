"""Pictures in frames of a larger size: the pillars and the blanking that were trimmed off are put back on."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from fastup._types import Frame, Size
from fastup.errors import OptionError
from fastup.header import Header
from fastup.trim import Trim, fixed
from fastup.upscale.model import fill_of


@dataclass(frozen=True)
class Pillars:
    """Puts pictures into frames of one size, with black around them.

    On an axis where what was trimmed of the targets makes that size, it goes back on as it was. On any other, the
    picture is centred; an odd pixel lies to the right, or below.

    Black is the model's black level, if that is a code; else the low code of the picture's header, which `fastup
    extract` sets (64, where codes are those of video); else 0.

    Attributes
    ----------
    size : (height, width)
        Of the frames.
    trim : Trim
        What was trimmed of the targets that the model was trained on.
    black : float or None
        The model's black level, normalised; None where it has none.
    """

    size: Size
    trim: Trim
    black: float | None = None

    @classmethod
    def of(cls, size: Size, settings: dict[str, Any]) -> Self:
        """Frames of that size for what a model of those settings makes."""
        fill = fill_of(settings)
        return cls(size, fixed(settings["trim"]), None if fill == "edge" else fill)

    def around(self, picture: Size) -> Trim:
        """The black on each side of a picture of that size, in pixels; OptionError if the picture is larger."""
        (height, width), (h, w) = self.size, picture
        if h > height or w > width:
            expected = f"expected at least {_words(picture)}: upscaled pictures are of that size"
            raise OptionError(f"pad is {_words(self.size)}, {expected}")
        left, right = _sides(width - w, *self.trim[:2])
        top, bottom = _sides(height - h, *self.trim[2:])
        return Trim(left, right, top, bottom)

    def words(self, header: Header) -> str:
        """Where a picture lies, by its header, and in what, for people."""
        sides = ", ".join(map(str, self.around((header.height or 0, header.width or 0))))
        black = f"code {self.code(header)}" if header.white else "0"
        return f"pad {_words(self.size)}: {sides} pixels (left, right, top, bottom) of black, {black}"

    def header(self, header: Header) -> Header:
        """The header of the whole frame, of that of a picture: the size is another, pixels keep their shape."""
        return header.replace(height=self.size[0], width=self.size[1])

    def code(self, header: Header) -> int:
        """The code of black by a picture's header; 0 where that is of floats."""
        white = header.white or 0
        if self.black is None:
            low = header.low_code
            return low if low is not None and low <= white else 0
        return int(np.floor(min(self.black, 1) * white + 0.5))

    def __call__(self, picture: Frame, header: Header) -> Frame:
        """The frame of a picture, codes or normalised, and of its header, as it was before."""
        y, x, h, w = self.around(picture.shape[:2]).window(self.size)
        black: Any = self.code(header)
        if picture.dtype.kind == "f":
            black = picture.dtype.type(black / (header.white or 1))
        frame = np.full((*self.size, picture.shape[2]), black, picture.dtype)
        frame[y : y + h, x : x + w] = picture
        return frame


def _sides(missing: int, before: int, after: int) -> tuple[int, int]:
    return (before, after) if before + after == missing else (missing // 2, missing - missing // 2)


def _words(size: Size) -> str:
    return f"{size[1]}x{size[0]}"
