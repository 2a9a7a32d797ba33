"""Every training option: its default, its check, and where its value comes from. Imports no Keras."""

import tomllib
from dataclasses import dataclass, fields
from difflib import get_close_matches
from math import inf
from numbers import Integral, Real
from pathlib import Path
from sys import float_info

from fastup.errors import OptionError

ARCHITECTURES = ("srcnn", "vdsr", "espcn", "compact")
SCHEDULES = ("cosine", "linear", "constant")
PRECISIONS = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class Config:
    """The options of a training run.

    None stands for a default that is only known later, or for none at all: see `ABSENT`.
    """

    model: str = "compact"
    epochs: int = 20  # in all, over several runs
    minutes: float | None = None  # of this run
    patience: int | None = None  # epochs without gain after which the run ends
    tile: int | None = None  # target pixels, wide and high
    border: int | None = None  # target pixels of context on each side of an input tile
    trim: tuple[int, int, int, int] = (0, 0, 0, 0)  # left, right, top, bottom of a target frame, in pixels
    input_trim: tuple[int, int, int, int] | None = None  # of an input frame
    black_level: int | str = "edge"  # the code outside the picture, or "edge": its nearest pixel
    quality: float = 1.0  # share of each frame's tiles, the most detailed ones
    jitter: bool = True
    skip: int = 0  # tiles left out after each one used
    shuffle: bool = True
    augment: bool = False  # flips, and quarter turns where both scales are equal
    residual: bool = True
    learning_rate: float | None = None
    schedule: str = "cosine"  # of the learning rate
    ema: float | None = None  # momentum of an exponential moving average of the weights, which is what is validated
    batch: int | str = 16  # tiles in a step, or "auto": the largest power of two that fits
    precision: str = "float32"  # that layers compute in
    seed: int = 0
    threads: int | None = None  # that read tiles
    checkpoint_minutes: float = 10.0  # between saves within an epoch
    tensorboard: bool = False

    def __post_init__(self):
        _one_of("model", self.model, ARCHITECTURES)
        _one_of("schedule", self.schedule, SCHEDULES)
        _one_of("precision", self.precision, PRECISIONS)
        for name, low in (("tile", 1), ("border", 0), ("patience", 1)):
            if getattr(self, name) is not None:
                _whole(name, getattr(self, name), low)
        if self.threads is not None:
            _whole("threads", self.threads, 1, 64)
        _whole("epochs", self.epochs, 1)
        _whole("skip", self.skip, 0, 3)
        _whole("seed", self.seed, 0, 2**32 - 1)
        if self.black_level != "edge":
            _whole("black-level", self.black_level, 0, 65535, "'edge' or ")
        if self.batch != "auto":
            _whole("batch", self.batch, 1, other="'auto' or ")
        _trim("trim", self.trim)
        if self.input_trim is not None:
            _trim("input-trim", self.input_trim)
        _part("quality", self.quality, 1)
        _part("checkpoint-minutes", self.checkpoint_minutes)
        if self.minutes is not None:
            _part("minutes", self.minutes)
        if self.learning_rate is not None:
            _part("learning-rate", self.learning_rate, 1)
        if self.ema is not None:
            _part("ema", self.ema, below=1)
        for name in ("jitter", "shuffle", "augment", "residual", "tensorboard"):
            if not isinstance(getattr(self, name), bool):
                raise OptionError(f"{name} is {getattr(self, name)!r}, expected True or False")


# Field and option are one name: learning_rate is --learning-rate, and learning-rate in a file.
OPTIONS = {field.name.replace("_", "-"): field.name for field in fields(Config)}

# What None means, of each field that may be None.
ABSENT = {
    "minutes": "no limit",
    "patience": "no limit",
    "tile": "the smallest that fits of 60 or more",
    "border": "the smallest that fits of 2 or more",
    "input_trim": "--trim if both are one size, else nothing",
    "learning_rate": "the model's",
    "ema": "no average",
    "threads": "as many as cores, at most 4",
}


def resolve(layers, models=None):
    """Make one `Config` of settings from several places, and say where each came from.

    Parameters
    ----------
    layers : sequence of (str, mapping)
        A place, such as "command line", and the fields that it sets; the strongest first. Any of them may say `model`.
    models : mapping, optional
        From a model's name to the fields that it sets, which are weaker than all layers.

    Returns
    -------
    config : Config
    sources : dict
        From every field's name to its place, "model" or "default".

    Raises
    ------
    OptionError
        If a value can't be used.
    """
    model = next((given["model"] for _, given in layers if "model" in given), Config.model)
    _one_of("model", model, ARCHITECTURES)
    layers = [*layers, ("model", (models or {}).get(model, {}))]
    values, sources = {}, dict.fromkeys(OPTIONS.values(), "default")
    for place, given in reversed(layers):
        values |= given
        sources |= dict.fromkeys(given, place)
    return Config(**values), sources


def read_toml(path):
    """Read settings from a TOML file of ``option = value`` lines.

    Options are named as on the command line, with dashes. `trim` and `input-trim` are four numbers: an array, or text
    with commas.

    Parameters
    ----------
    path : path-like

    Returns
    -------
    dict
        From names of fields to values, each of which `Config` takes.

    Raises
    ------
    OptionError
        If it isn't TOML, names no option, or has a value that can't be used; the message names the file.
    OSError
        If it can't be read.
    """
    raw = Path(path).read_bytes()
    try:
        found = tomllib.loads(raw.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise OptionError(f"{path}: not UTF-8 text, by byte {raw[error.start]:#04x} in line {line}") from None
    except (ValueError, RecursionError) as error:
        raise OptionError(f"{path}: not TOML: {error}") from None
    for key in found:
        if key not in OPTIONS:
            near = get_close_matches(key, OPTIONS, 1)
            hint = f"did you mean {near[0]!r}?" if near else "`fastup train --print-config` prints all that there are"
            raise OptionError(f"{path}: no option is named {key!r}; {hint}")
    try:
        values = {
            OPTIONS[key]: parse_trim(key, value) if key in ("trim", "input-trim") else value
            for key, value in found.items()
        }
        Config(**values)
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from None
    return values


def as_toml(config, sources):
    """Settings as `read_toml` takes them, each with its place behind it; what nobody chose is a comment.

    Parameters
    ----------
    config, sources : Config, dict
        As `resolve` gives them.

    Returns
    -------
    str
    """
    lines = ["# fastup train DATA --config THIS-FILE\n"]
    for option, name in OPTIONS.items():
        value, place = getattr(config, name), sources[name]
        chosen = "" if place not in ("default", "model") else "# "  # so that another model's own defaults count
        line = f"# {option} =" if value is None else f"{chosen}{option} = {_toml(value)}"
        meaning = f": {ABSENT[name]}" if value is None else ""
        lines.append(f"{line:<31} # {place if place.isprintable() else ascii(place)}{meaning}\n")
    return "".join(lines)


def parse_trim(name, trim):
    """Four numbers, left, right, top, bottom: of text with commas; anything else is left to `Config` to check."""
    if not isinstance(trim, str):
        return tuple(trim) if isinstance(trim, list) else trim
    try:
        left, right, top, bottom = (int(part) for part in trim.split(","))
    except ValueError:
        raise OptionError(f"{name} is {trim!r}, expected four numbers: left,right,top,bottom") from None
    return left, right, top, bottom


def _toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_toml, value))}]"
    return str(int(value) if isinstance(value, Integral) else float(value))


def _one_of(name, value, names):
    if value not in names:
        raise OptionError(f"{name} is {value!r}, expected one of {', '.join(names)}")


def _whole(name, value, low, high=inf, other=""):
    """Check for a whole number, low <= value <= high. `other` says what else the option may be."""
    if not isinstance(value, Integral) or isinstance(value, bool) or not low <= value <= high:
        span = f"{low} or more" if high == inf else f"{low} to {high}"
        raise OptionError(f"{name} is {value!r}, expected {other}a whole number, {span}")


def _part(name, value, high=float_info.max, below=inf):
    """Check for a number, 0 < value <= high, value < below, and not infinite."""
    if not isinstance(value, Real) or isinstance(value, bool) or not (0 < value <= high and value < below):
        limit = f" and at most {high}" if high < float_info.max else f" and less than {below}" if below < inf else ""
        raise OptionError(f"{name} is {value!r}, expected a number of more than 0{limit}")


def _trim(name, trim):
    four = isinstance(trim, (tuple, list)) and len(trim) == 4
    if not four or not all(isinstance(n, Integral) and not isinstance(n, bool) and n >= 0 for n in trim):
        raise OptionError(f"{name} is {trim!r}, expected four whole numbers of 0 or more: left, right, top, bottom")
