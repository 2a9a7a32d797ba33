"""Every training option: its default and its check. Imports no Keras."""

from dataclasses import dataclass
from math import inf
from numbers import Integral, Real

from fastup.errors import OptionError

ARCHITECTURES = ("srcnn", "vdsr", "espcn", "compact")


@dataclass(frozen=True)
class Config:
    """The options of a training run.

    None stands for a default that is only known later: from the sizes of the frames (tile, border), or from the model
    (learning_rate).
    """

    model: str = "compact"
    tile: int | None = None  # target pixels, wide and high
    border: int | None = None  # target pixels of context on each side of an input tile
    trim: tuple[int, int, int, int] = (0, 0, 0, 0)  # left, right, top, bottom of a target frame, in pixels
    input_trim: tuple[int, int, int, int] | None = None  # of an input frame; None: trim where both are one size, else 0
    black_level: int | str = "edge"  # the code outside the picture, or "edge": its nearest pixel
    quality: float = 1.0  # share of each frame's tiles, the most detailed ones
    jitter: bool = True
    skip: int = 0  # tiles left out after each one used
    shuffle: bool = True
    residual: bool = True
    epochs: int = 20  # in all, over several runs
    minutes: float | None = None  # of this run
    learning_rate: float | None = None
    batch: int = 16
    seed: int = 0

    def __post_init__(self):
        if self.model not in ARCHITECTURES:
            raise OptionError(f"model is {self.model!r}, expected one of {', '.join(ARCHITECTURES)}")
        for name in ("tile", "border"):
            if getattr(self, name) is not None:
                _whole(name, getattr(self, name), int(name == "tile"))
        _trim("trim", self.trim)
        if self.input_trim is not None:
            _trim("input-trim", self.input_trim)
        if self.black_level != "edge":
            _whole("black-level", self.black_level, 0, 65535, "'edge' or ")
        _part("quality", self.quality, 1)
        for name in ("jitter", "shuffle", "residual"):
            if not isinstance(getattr(self, name), bool):
                raise OptionError(f"{name} is {getattr(self, name)!r}, expected True or False")
        _whole("skip", self.skip, 0, 3)
        _whole("epochs", self.epochs, 1)
        if self.minutes is not None:
            _part("minutes", self.minutes)
        if self.learning_rate is not None:
            _part("learning-rate", self.learning_rate, 1)
        _whole("batch", self.batch, 1)
        _whole("seed", self.seed, 0, 2**32 - 1)


def _whole(name, value, low, high=inf, other=""):
    """Check for a whole number, low <= value <= high. `other` says what else the option may be."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= value <= high:
        span = f"{low} or more" if high == inf else f"{low} to {high}"
        raise OptionError(f"{name} is {value!r}, expected {other}a whole number, {span}")


def _part(name, value, high=inf):
    """Check for a number, 0 < value <= high, and not infinite."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 < value <= high or value == inf:
        limit = "" if high == inf else f" and at most {high}"
        raise OptionError(f"{name} is {value!r}, expected a number of more than 0{limit}")


def _trim(name, trim):
    four = isinstance(trim, (tuple, list)) and len(trim) == 4
    if not four or not all(isinstance(n, Integral) and n >= 0 for n in trim):
        raise OptionError(f"{name} is {trim!r}, expected four whole numbers of 0 or more: left, right, top, bottom")
