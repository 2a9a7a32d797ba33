"""Every training option: its default and its check. Imports no Keras."""

from dataclasses import dataclass
from math import inf, isfinite

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
        _one_of("model", self.model, ARCHITECTURES)
        _between("tile", self.tile, 1, inf)
        _between("border", self.border, 0, inf)
        for name in ("trim", "input-trim"):
            trim = getattr(self, name.replace("-", "_"))
            if trim is not None and (len(trim) != 4 or min(trim) < 0):
                raise OptionError(f"{name} is {trim}, expected four numbers of 0 or more: left, right, top, bottom")
        if self.black_level != "edge":
            _between("black-level", self.black_level, 0, 65535)
        _between("quality", self.quality, 0, 1, above=True)
        _between("skip", self.skip, 0, 3)
        _between("epochs", self.epochs, 1, inf)
        _between("minutes", self.minutes, 0, inf, above=True)
        _between("learning-rate", self.learning_rate, 0, 1, above=True)
        _between("batch", self.batch, 1, inf)
        _between("seed", self.seed, 0, 2**32 - 1)


def _one_of(name, value, choices):
    if value not in choices:
        raise OptionError(f"{name} is {value!r}, expected one of {', '.join(choices)}")


def _between(name, value, low, high, above=False):
    """Check low <= value <= high (low < value when `above`)."""
    if value is None:
        return
    if not isfinite(value) or value < low or value > high or (above and value == low):
        expected = f"more than {low}" if above else f"{low} or more" if high == inf else f"{low} to {high}"
        raise OptionError(
            f"{name} is {value}, expected {expected}" + (f" and at most {high}" if above and high != inf else "")
        )
