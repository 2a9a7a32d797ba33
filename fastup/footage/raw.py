"""Raw video: how the samples of a frame lie in bytes, by FFmpeg's name of a pixel format."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastup._types import Size
from fastup.errors import OptionError

_FACTORS = {"444": (1, 1), "422": (1, 2), "420": (2, 2), "411": (1, 4), "440": (2, 1), "410": (4, 4)}


@dataclass(frozen=True)
class Pixels:
    """How samples lie in a pixel format that FFmpeg has."""

    name: str
    order: str  # of the planes, by letter, "-" for one that is passed over; of the samples, if they are packed
    chroma: str  # "420" and such; "444" where there is none
    bits: int
    big_endian: bool = False
    packed: bool = False

    @classmethod
    def of(cls, name: str) -> "Pixels":
        """By FFmpeg's name; OptionError if it is none of those that a pipe may have."""
        found = re.fullmatch(
            r"(?:(yuva?)(420|422|444|411|440|410)p|(gbrp|gray|rgb|bgr))(?:(9|10|12|14|16|24|48)(le|be)?)?", name
        )
        yuv, chroma, other, number, end = found.groups("") if found else [""] * 5
        bits = int(number or 8)
        packed = other in ("rgb", "bgr")
        if not found or packed != (bits in (24, 48)) or (end and bits == 24):
            raise OptionError(
                f"pixel format is {name!r}, expected FFmpeg's name of one, such as yuv422p10le, gbrp10le or rgb48le: "
                "planes of Y, Cb, Cr, of R, G, B or of grey, of 8 to 16 bits; or R, G, B together, of 8 or 16"
            )
        order = {"yuv": "yuv", "yuva": "yuv-", "gbrp": "gbr", "gray": "y", "rgb": "rgb", "bgr": "bgr"}[yuv or other]
        return cls(name, order, chroma or "444", bits // 3 if packed else bits, end == "be", packed)

    @property
    def letters(self) -> str:
        """What it holds: "yuv", "rgb" or "y"."""
        return self.order.rstrip("-") if "y" in self.order else "rgb"

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype("u1" if self.bits == 8 else ">u2" if self.big_endian else "<u2")

    def shapes(self, size: Size) -> list[tuple[int, ...]]:
        """Of the arrays that the bytes of a frame are."""
        if self.packed:
            return [(*size, 3)]
        small = tuple(-(-length // factor) for length, factor in zip(size, _FACTORS[self.chroma], strict=True))
        return [small if letter in "uv" else size for letter in self.order]

    def split(self, data: NDArray[np.uint8], size: Size) -> list[NDArray[Any]]:
        """The arrays of a frame's bytes, as `Planes` has them."""
        samples, found, place = data.view(self.dtype).astype(self.dtype.newbyteorder("="), copy=False), [], 0
        for shape in self.shapes(size):
            count = int(np.prod(shape))
            found.append(samples[place : place + count].reshape(shape))
            place += count
        if self.letters != "rgb":
            return found[: len(self.letters)]
        if self.packed:
            return [found[0] if self.order == "rgb" else found[0][:, :, ::-1]]
        return [np.stack([found[self.order.index(letter)] for letter in "rgb"], axis=2)]

    def join(self, made: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """The bytes of a frame, part by part: the inverse of `split`, of planes as of the format, or of RGB codes."""
        if self.letters == "rgb":
            swapped = made[0][:, :, ["rgb".index(letter) for letter in self.order]]
            made = [swapped] if self.packed else list(np.moveaxis(swapped, 2, 0))
        return [np.ascontiguousarray(part, self.dtype).reshape(-1).view(np.uint8) for part in made]
