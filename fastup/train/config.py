"""Every setting of training, once: type, default, check, help; and where its value comes from. Imports no Keras."""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from math import inf
from numbers import Integral, Real
from pathlib import Path
from sys import float_info
from typing import Any, Literal, get_args

from fastup._scales import parsed
from fastup._types import Size, StrPath
from fastup.errors import OptionError
from fastup.footage.recipe import Recipe
from fastup.trim import UNTRIMMED, Trim, parse

Architecture = Literal[
    "srcnn", "fsrcnn", "espcn", "vdsr", "compact-s", "compact", "compact-l", "recurrent", "edsr", "span", "ecbsr",
    "sesr", "basic", "expansion", "denoise",
]  # fmt: skip
Schedule = Literal["cosine", "linear", "constant"]
Precision = Literal["float32", "bfloat16", "float16"]
Optimizer = Literal["adam", "muon"]
ARCHITECTURES, SCHEDULES, PRECISIONS, OPTIMIZERS = map(get_args, (Architecture, Schedule, Precision, Optimizer))
LOSSES = "mse", "l1", "charbonnier", "psnr"

Check = Callable[[str, Any], Any]  # of a setting's name and value: raises an OptionError, or gives what to keep instead


def one_of(names: Sequence[str]) -> Check:
    def check(name, value):
        if value not in names:
            raise OptionError(f"{name} is {value!r}, expected one of {', '.join(names)}")

    return check


def whole(low: int, high: float = inf, word: str = "") -> Check:
    """A whole number, low <= value <= high, or that word."""

    def check(name, value):
        if word and value == word:
            return
        if not isinstance(value, Integral) or isinstance(value, bool) or not low <= int(value) <= high:
            span = f"{low} or more" if high == inf else f"{low} to {high}"
            instead = f"{word!r} or " if word else ""
            raise OptionError(f"{name} is {value!r}, expected {instead}a whole number, {span}")

    return check


def along_axes(low: int) -> Check:
    """A whole number of at least `low`, or two, vertical and horizontal; kept as one where both are equal.

    As text, too, with a comma between two.
    """

    def check(name, value):
        each = value.split(",") if isinstance(value, str) else value
        pair = each if isinstance(each, (list, tuple)) else (each,)
        try:
            pair = [int(part) if isinstance(value, str) else part for part in pair]
        except ValueError:
            pair = []
        if not (0 < len(pair) <= 2 and all(isinstance(n, Integral) and not isinstance(n, bool) for n in pair)) or (
            min(pair) < low
        ):
            raise OptionError(
                f"{name} is {value!r}, expected a whole number, {low} or more, or two, such as 36,64 (vertical, "
                "horizontal)"
            )
        return int(pair[0]) if pair[0] == pair[-1] else (int(pair[0]), int(pair[1]))

    return check


def losses(name: str, value: Any) -> None:
    """The name of a loss, or two with a comma, one after the other."""
    if not isinstance(value, str) or value.count(",") > 1 or not set(value.split(",")) <= set(LOSSES):
        raise OptionError(f"{name} is {value!r}, expected one of {', '.join(LOSSES)}, or two, such as l1,mse")


def share(name: str, value: Any) -> None:
    """A number, 0 <= value <= 1."""
    if not isinstance(value, Real) or isinstance(value, bool) or not 0 <= value <= 1:  # type: ignore[operator]
        raise OptionError(f"{name} is {value!r}, expected a number of 0 to 1")


def positive(high: float = float_info.max, below: float = inf) -> Check:
    """A number, 0 < value <= high, value < below, and not infinite."""

    def check(name, value):
        if not isinstance(value, Real) or isinstance(value, bool) or not (0 < value <= high and value < below):
            most = f" and at most {high}" if high < float_info.max else f" and less than {below}" if below < inf else ""
            raise OptionError(f"{name} is {value!r}, expected a number of more than 0{most}")

    return check


def true_or_false(name: str, value: Any) -> None:
    if not isinstance(value, bool):
        raise OptionError(f"{name} is {value!r}, expected True or False")


def text(name: str, value: Any) -> None:
    if not isinstance(value, str) or not value or any("\ud800" <= character <= "\udfff" for character in value):
        raise OptionError(f"{name} is {value!r}, expected text, UTF-8")


def parsed_trim(name: str, value: Any) -> Trim | str:
    return parse(value, name)


def recipe_text(name: str, value: Any) -> str:
    """A recipe as `Recipe` tells it."""
    if not isinstance(value, str):
        raise OptionError(f"{name} is {value!r}, expected text, such as tape")
    return str(Recipe.parse(value, name))


def scale_text(name: str, value: Any) -> str:
    """A scale as text: one fraction where both are equal."""
    vertical, horizontal = parsed(str(value), name)
    return str(vertical) if vertical == horizontal else f"{vertical},{horizontal}"


# -- the settings ------------------------------------------------------------------------------------------------------


def setting(default: Any, check: Check, help: str, absent: str = "", metavar: str | None = None) -> Any:
    """A field of `Config`, from which its option, its line in a file and in the tables that are printed are made.

    Where the default is None, None is not checked, and `absent` says what it means. The command line adds the default
    to `help`; `metavar` is what a setting looks like that it takes as text.
    """
    return field(default=default, metadata={"check": check, "help": help, "absent": absent, "metavar": metavar})


@dataclass(frozen=True)
class Config:
    """The settings of a training run."""

    model: Architecture = setting("compact", one_of(ARCHITECTURES), "The network; `fastup models` describes them.")
    epochs: int = setting(20, whole(1), "Passes over the tiles, in all, over several runs.")
    minutes: float | None = setting(None, positive(), "End this run, and its epoch, after so many minutes.", "no limit")
    patience: int | None = setting(None, whole(1), "End after so many epochs that gained nothing in validation.",
                                   "no limit")  # fmt: skip
    training: str | None = setting(None, text, "Folder of the pairs to train on: holds Alpha and Beta.", "DATA/train",
                                   "FOLDER")  # fmt: skip
    validation: str | None = setting(None, text, "The same for those to validate on.", "DATA/validation",
                                     "FOLDER")  # fmt: skip
    tile: int | Size | None = setting(
        None, along_axes(1), "Tile, in target pixels: a number, or two (vertical, horizontal).",
        "the smallest square that fits of 60 or more", "V[,H]",
    )  # fmt: skip
    border: int | Size = setting(0, along_axes(0), "Context around a tile, in target pixels, likewise.",
                                 metavar="V[,H]")  # fmt: skip
    trim: Trim | Literal["auto"] = setting(
        UNTRIMMED, parsed_trim, "Pixels to trim from target frames: left, right, top, bottom; auto: what is no picture "
        "of each folder's frames.", metavar="auto|L,R,T,B",
    )  # fmt: skip
    input_trim: Trim | Literal["auto"] | None = setting(
        None, parsed_trim, "The same for input frames.", "--trim if it is auto or both are one size, else nothing",
        "auto|L,R,T,B",
    )  # fmt: skip
    black_level: int | str = setting("edge", whole(0, 65535, "edge"), "What lies outside the picture: a code, or its "
                                     "nearest pixel.", metavar="CODE|edge")  # fmt: skip
    degrade: str | None = setting(
        None, recipe_text, "Make inputs of targets, where train has no Alpha: downscale, tape, vhs, matlab, or parts "
        "such as softness=0.3:0.8,noise=0:0.01@0.2.", "inputs are in Alpha", "RECIPE",
    )  # fmt: skip
    scale: str | None = setting(
        None, scale_text, "Of the inputs that --degrade makes: 2, or 9/4,2 (vertical, horizontal).",
        "that of the frames", "V[,H]",
    )  # fmt: skip
    match: bool = setting(False, true_or_false, "First give targets, validation's too, the gain and offset of their "
                          "inputs, pair by pair.")  # fmt: skip
    quality: float = setting(1.0, positive(1), "Share of each frame's tiles to train on, the most detailed.")
    jitter: bool = setting(True, true_or_false, "Also train on tiles that are half a tile off.")
    edges: int = setting(0, whole(0), "Leave out tiles within so many target pixels of the picture's rim.")
    skip: int = setting(0, whole(0, 3), "Tiles left out after each one used, 0 to 3.")
    shuffle: bool = setting(True, true_or_false, "Take the tiles in a random order.")
    augment: bool = setting(False, true_or_false, "Flip tiles at random, and turn them where both scales are equal.")
    swap_channels: bool = setting(False, true_or_false, "Give R, G and B of each tile a random order.")
    span: int = setting(1, whole(1), "Consecutive frames of a shot that a recurrent network sees in a step; 1: frames "
                        "alone.")  # fmt: skip
    settle: int = setting(
        0, whole(0), "Of those, how many come before the ones whose loss counts, at most all but one."
    )
    reverse: bool = setting(False, true_or_false, "Take every other span, by chance, back in time.")
    stills: float = setting(0.0, share, "Share of spans that are one frame again and again.")
    lookahead: int = setting(
        1, whole(0, 1), "Frames behind a frame that a recurrent network sees, 0 or 1; 0 for live use."
    )
    state: bool = setting(
        True, true_or_false, "Let a recurrent network carry its state; without, it shows what that gains."
    )
    features: int | None = setting(None, whole(1), "Channels inside the network, where it has that size.",
                                   "the model's")  # fmt: skip
    depth: int | None = setting(None, whole(1), "Its layers, likewise.", "the model's")
    residual: bool = setting(True, true_or_false, "Learn the difference to bicubic.")
    loss: str | None = setting(
        None, losses, f"What is made small: {', '.join(LOSSES)}; or two, such as l1,mse, the second in the run's last "
        "quarter.", "the model's", "LOSS[,LOSS]",
    )  # fmt: skip
    luma: float = setting(0.0, share, "Share of the loss that is of luma alone, 0 to 1.")
    optimizer: Optimizer = setting("adam", one_of(OPTIMIZERS), "What makes steps of gradients; muon needs fewer.")
    learning_rate: float | None = setting(None, positive(1), "At the start.", "the model's")
    schedule: Schedule = setting("cosine", one_of(SCHEDULES),
                                 "How the learning rate falls to 0 over the run, if it does.")  # fmt: skip
    warmup: int = setting(0, whole(0), "Steps in which the learning rate rises from 0, before it falls.")
    ema: float | None = setting(
        None, positive(below=1), "Momentum of averaged weights, such as 0.999; best.keras then has those.", "no average"
    )
    batch: int | str = setting(
        16, whole(1, word="auto"), "Tiles in a step; auto: as many as the device has room for.", metavar="N|auto"
    )
    precision: Precision = setting("float32", one_of(PRECISIONS), "What layers compute in; their weights stay float32.")
    seed: int = setting(0, whole(0, 2**32 - 1), "Of the first weights and the order of tiles.")
    threads: int | None = setting(None, whole(1, 64), "That read tiles.", "as many as cores, at most 4")
    checkpoint_minutes: float = setting(10.0, positive(), "Save after so many minutes within an epoch, too.")
    tensorboard: bool = setting(False, true_or_false, "Write curves and crops for TensorBoard, in the run's folder.")

    def __post_init__(self) -> None:
        for option, each in SETTINGS.items():
            value = getattr(self, each.name)
            if value is not None or each.default is not None:
                instead = each.metadata["check"](option, value)
                if instead is not None:
                    object.__setattr__(self, each.name, instead)


# Field and option are one name: learning_rate is --learning-rate, and learning-rate in a file.
SETTINGS = {each.name.replace("_", "-"): each for each in fields(Config)}
OPTIONS = {option: each.name for option, each in SETTINGS.items()}

# What None means, of each field that may be None.
ABSENT = {each.name: each.metadata["absent"] for each in SETTINGS.values() if each.metadata["absent"]}


# -- where they come from ----------------------------------------------------------------------------------------------


def resolve(
    layers: Sequence[tuple[str, Mapping[str, Any]]], models: Mapping[str, Mapping[str, Any]] | None = None
) -> tuple[Config, dict[str, str]]:
    """Make one `Config` of settings from several places, and say where each came from.

    `layers` are places, such as "command line", each with the fields that it sets; the strongest first. Any of them may
    say `model`. `models` has, by a model's name, the fields that it sets, which are weaker than all layers; its own
    `settle` stays below the `span` of a layer. The second result has every field's place, "model" or "default".
    OptionError if a value can't be used.
    """
    model = next((given["model"] for _, given in layers if "model" in given), Config.model)
    one_of(ARCHITECTURES)("model", model)
    layers = [*layers, ("model", (models or {}).get(model, {}))]
    values: dict[str, Any] = {}
    sources = dict.fromkeys(OPTIONS.values(), "default")
    for place, given in reversed(layers):
        values |= given
        sources |= dict.fromkeys(given, place)
    config = Config(**values)
    if sources["settle"] == "model" and sources["span"] not in ("model", "default"):
        config = replace(config, settle=min(config.settle, config.span - 1))
    return config, sources


def read_toml(path: StrPath) -> dict[str, Any]:
    """Read settings from a TOML file of ``option = value`` lines.

    Options are named as on the command line, with dashes. `trim` and `input-trim` are four numbers: an array, or text
    with commas. What comes has the names of fields. OptionError, which names the file, if it isn't TOML, names no
    option, or has a value that can't be used; OSError if it can't be read.
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
        values = {OPTIONS[key]: value for key, value in found.items()}
        Config(**values)
    except OptionError as error:
        raise OptionError(f"{path}: {error}") from None
    return values


def as_toml(config: Config, sources: Mapping[str, str]) -> str:
    """Settings as `read_toml` takes them, each with its place (`resolve`) behind it; what nobody chose is a comment."""
    lines = ["# fastup train DATA --config THIS-FILE\n"]
    for option, name in OPTIONS.items():
        value, place = getattr(config, name), sources[name]
        chosen = "" if place not in ("default", "model") else "# "  # so that another model's own defaults count
        line = f"# {option} =" if value is None else f"{chosen}{option} = {_toml(value)}"
        meaning = f": {ABSENT[name]}" if value is None else ""
        lines.append(f"{line:<31} # {place if place.isprintable() else ascii(place)}{meaning}\n")
    return "".join(lines)


def _toml(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = (f"\\{c}" if c in '"\\' else c if c.isprintable() else f"\\U{ord(c):08X}" for c in value)
        return f'"{"".join(escaped)}"'
    if isinstance(value, (tuple, list)):
        return f"[{', '.join(map(_toml, value))}]"
    return str(int(value) if isinstance(value, Integral) else float(value))
