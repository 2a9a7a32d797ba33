"""What an SD tape does, as a recipe: the filter, and how strong each step is; parsed, shown, drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fastup._resample import FILTERS
from fastup.errors import OptionError

Range = tuple[float, float]  # the least and the most

TAPE = {"softness": 0.5, "peaking": 0.25, "noise": 0.006, "chroma": 1.4}  # a good analog master of NTSC video
# VHS: bands of 3 and 0.4 MHz (IEC 60774), see `degrade`; peaking as of a tape; noise 40 dB below white.
VHS = {"softness": 0.6, "peaking": 0.25, "noise": 0.01, "chroma": 4.5}
LIMITS = {"softness": 20.0, "peaking": 10.0, "noise": 1.0, "chroma": 20.0}
# A word that names a filter is that filter; the others go with the first.
WORDS: Mapping[str, Mapping[str, float]] = MappingProxyType({"downscale": {}, "tape": TAPE, "vhs": VHS, "matlab": {}})


@dataclass(frozen=True)
class Recipe:
    """How inputs are made of targets: see `fastup.footage.degrade`.

    Attributes
    ----------
    filter
        What resizes, one of `FILTERS`.
    tape
        The least and the most of each strength, by the names of `TAPE`, all of them in that order.
    """

    filter: str
    tape: Mapping[str, Range]

    @classmethod
    def parse(cls, text: str, name: str = "degrade") -> "Recipe":
        """A recipe of a word (`WORDS`), or of parts ``name=value``, or of a word and then parts.

        A value is a number or ``LOW:HIGH``, of ``filter`` one of `FILTERS`; what is not said is nothing (Lanczos).
        OptionError, that begins with `name`, where a part is none.
        """
        first, *rest = parts = [part.strip() for part in text.split(",")]
        word = "downscale"
        if "=" not in first:
            word, parts = first.lower(), rest
        if word not in WORDS:
            raise OptionError(
                f"{name} is {text!r}, expected {', '.join(WORDS)}, or parts such as softness=0.3:0.8,noise=0:0.01"
            )
        filter, strengths, seen = _filter_of(word), dict[str, float | Range](WORDS[word]), set()
        for part in parts:
            key, _, value = (each.strip() for each in part.partition("="))
            if key in seen:
                raise OptionError(f"{name}: {key} is given twice")
            seen.add(key)
            if key == "filter":
                if value not in FILTERS:
                    raise OptionError(f"{name}: filter: found {value!r}, expected one of {', '.join(FILTERS)}")
                filter = value
            elif key in TAPE:
                strengths[key] = parse_strength(f"{name}: {key}", value)
            else:
                raise OptionError(f"{name}: found {part!r}, expected one of filter, {', '.join(TAPE)}, and = a value")
        return cls(filter, strengths_of(strengths, f"{name}: "))

    def __str__(self) -> str:
        """The recipe as `parse` takes it, each the shortest way: every number comes back as it was."""
        if self.filter in WORDS and not any(high for _, high in self.tape.values()):
            return self.filter
        filter = [f"filter={self.filter}"] if self.filter != FILTERS[0] else []
        for word, strengths in WORDS.items():
            if strengths_of(strengths) == self.tape:
                return ",".join([*([word] if strengths or not filter else []), *filter])
        return ",".join([*filter, *(f"{name}={_shown(value)}" for name, value in self.tape.items() if value[1])])


def _filter_of(word):
    return word if word in FILTERS else FILTERS[0]


def check_strength(name: str, value: float, before: str = "") -> None:
    """OptionError where a strength is out of its range."""
    if not 0 <= value <= LIMITS[name]:
        raise OptionError(f"{before}{name}: found {value}, expected 0 to {LIMITS[name]:g}")


def strengths_of(tape: Mapping[str, float | Range], before: str = "") -> dict[str, Range]:
    """The least and the most of each strength, checked; 0 where none is given. `before` begins messages."""
    ranges: dict[str, Range] = {}
    for name, value in tape.items():
        if name not in TAPE:
            raise OptionError(f"{before}{name}: no such strength, expected one of {', '.join(TAPE)}")
        low, high = ranges[name] = (value[0], value[1]) if isinstance(value, Sequence) else (value, value)
        for one in (low, high):
            check_strength(name, one, before)
        if low > high:
            raise OptionError(f"{before}{name}: found {low:g} to {high:g}, expected the least first")
    return {name: ranges.get(name, (0.0, 0.0)) for name in TAPE}


def parse_strength(name: str, text: str) -> Range:
    """A number, or the two of LOW:HIGH; OptionError that begins with `name` if it is neither."""
    try:
        low, *high = map(float, text.split(":"))
        (high_one,) = high or [low]
    except ValueError:
        raise OptionError(f"{name} is {text!r}, expected a number, or two: LOW:HIGH") from None
    return low, high_one


def _shown(value):
    low, high = (repr(float(one)).removesuffix(".0") for one in value)
    return low if low == high else f"{low}:{high}"
