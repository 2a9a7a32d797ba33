"""What is trimmed of a frame: pillars and blanking. What is left is the picture."""

import contextlib
from collections.abc import Sequence
from numbers import Integral
from typing import Any, Literal, NamedTuple, TypeAlias

from fastup._types import Frame, Size
from fastup.errors import OptionError


class Trim(NamedTuple):
    """Pixels to take away at each side of a frame. A tuple, so JSON and TOML have it as a list of four numbers."""

    left: int = 0
    right: int = 0
    top: int = 0
    bottom: int = 0

    @classmethod
    def parse(cls, value: object, name: str = "trim") -> "Trim":
        """A trim of text, such as ``240,240,0,0``, or of four numbers; OptionError under that name if it is neither."""
        four: Any = value
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                four = [int(part) for part in value.split(",")]
        four = four if isinstance(four, tuple | list) and len(four) == 4 else [None]
        if not all(isinstance(n, Integral) and not isinstance(n, bool) and int(n) >= 0 for n in four):
            raise OptionError(f"{name} is {value!r}, expected four whole numbers of 0 or more: left,right,top,bottom")
        return cls(*map(int, four))

    def picture(self, size: Size, name: str = "trim") -> Size:
        """The size of what is left of a frame of that size; OptionError under that name if nothing is left."""
        height, width = size[0] - self.top - self.bottom, size[1] - self.left - self.right
        if min(height, width) < 1:
            raise OptionError(f"{name} is {','.join(map(str, self))}, which leaves nothing of a frame of "
                              f"{size[1]}x{size[0]}")  # fmt: skip
        return height, width

    def window(self, size: Size) -> tuple[int, int, int, int]:
        """Where the picture lies in a frame of that size, as `fastup.read` takes it: y, x, height, width."""
        return self.top, self.left, *self.picture(size)

    def crop(self, frame: Frame) -> Frame:
        """The picture of a frame, a view."""
        y, x, height, width = self.window(frame.shape[:2])
        return frame[y : y + height, x : x + width]


UNTRIMMED = Trim()
AUTO: Literal["auto"] = "auto"  # in place of a trim: what is no picture is looked for in the frames of each source
AnyTrim: TypeAlias = Sequence[int] | str  # four numbers, as of `Trim`, text of them, or "auto"


def parse(value: object, name: str = "trim") -> Trim | Literal["auto"]:
    """A trim, as of `Trim.parse`, or "auto"."""
    return AUTO if isinstance(value, str) and value == AUTO else Trim.parse(value, name)


def fixed(value: AnyTrim) -> Trim:
    """What a model of this setting trims of a frame whose source it does not know: nothing, where it is "auto"."""
    return UNTRIMMED if value == AUTO else Trim(*value)
