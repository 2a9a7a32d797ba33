"""What an SD tape does, as a recipe: the filter, and how strong each step is; parsed, shown, drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastup._resample import FILTERS
from fastup.errors import OptionError


class Range(NamedTuple):
    """Of which numbers a strength is one, evenly, and how likely it is nothing instead, which is 0 to 1."""

    low: float
    high: float
    absent: float = 0.0


NOTHING = Range(0.0, 0.0)
Given = float | tuple[float, float] | tuple[float, float, float]  # what a range may be given as

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
        The range of each strength, by the names of `TAPE`, all of them in that order.
    clean
        How likely a frame, or a tile, has none of them, which is 0 to 1.
    """

    filter: str
    tape: Mapping[str, Range]
    clean: float = 0.0

    @classmethod
    def parse(cls, text: str, name: str = "degrade") -> "Recipe":
        """A recipe of a word (`WORDS`), or of parts ``name=value``, or of a word and then parts.

        A value is a number or ``LOW:HIGH``, and behind that there may be ``@`` and a chance of 0 to 1 to be nothing; of
        ``filter`` one of `FILTERS`; of ``clean`` the chance that all strengths are nothing. What is not said is nothing
        (Lanczos). OptionError, that begins with `name`, where a part is none.
        """
        first, *rest = parts = [part.strip() for part in text.split(",")]
        word = "downscale"
        if "=" not in first:
            word, parts = first.lower(), rest
        if word not in WORDS:
            raise OptionError(
                f"{name} is {text!r}, expected {', '.join(WORDS)}, or parts such as softness=0.3:0.8,noise=0:0.01"
            )
        filter, strengths, seen, clean = _filter_of(word), dict[str, Given](WORDS[word]), set(), 0.0
        for part in parts:
            key, _, value = (each.strip() for each in part.partition("="))
            if key in seen:
                raise OptionError(f"{name}: {key} is given twice")
            seen.add(key)
            if key == "filter":
                if value not in FILTERS:
                    raise OptionError(f"{name}: filter: found {value!r}, expected one of {', '.join(FILTERS)}")
                filter = value
            elif key == "clean":
                clean = _chance(f"{name}: clean", value)
            elif key in TAPE:
                strengths[key] = parse_strength(f"{name}: {key}", value)
            else:
                raise OptionError(
                    f"{name}: found {part!r}, expected one of filter, {', '.join(TAPE)}, clean, and = a value"
                )
        tape = strengths_of(strengths, f"{name}: ")
        return cls(filter, tape, clean if any(of.high for of in tape.values()) else 0.0)

    def __str__(self) -> str:
        """The recipe as `parse` takes it, each the shortest way: every number comes back as it was."""
        if self.filter in WORDS and not any(of.high for of in self.tape.values()):
            return self.filter
        filter = [f"filter={self.filter}"] if self.filter != FILTERS[0] else []
        clean = [f"clean={_shortest(self.clean)}"] if self.clean else []
        for word, strengths in WORDS.items():
            if strengths and strengths_of(strengths) == self.tape:
                return ",".join([word, *filter, *clean])
        steps = [f"{name}={_shown(of)}" for name, of in self.tape.items() if of.high]
        return ",".join([*filter, *steps, *clean]) or "downscale"

    def strengths(self, shares: NDArray[Any], chances: NDArray[Any]) -> NDArray[Any]:
        """Strengths (n, 4), by the names of `TAPE`, of floats that are evenly in 0..1.

        `shares` (n, 4) say where each is in its range, and `chances` (n, 5) whether it is there, the last whether any.
        """
        low, high, absent = np.array([*self.tape.values()], shares.dtype).T
        there = (chances[:, :-1] >= absent) & (chances[:, -1:] >= self.clean)
        return (low + (high - low) * shares) * there


def _filter_of(word):
    return word if word in FILTERS else FILTERS[0]


def check_strength(name: str, value: float, before: str = "") -> None:
    """OptionError where a strength is out of its range."""
    if not 0 <= value <= LIMITS[name]:
        raise OptionError(f"{before}{name}: found {value}, expected 0 to {LIMITS[name]:g}")


def strengths_of(tape: Mapping[str, Given], before: str = "") -> dict[str, Range]:
    """The range of each strength, checked; 0 where none is given. `before` begins messages."""
    ranges: dict[str, Range] = {}
    for name, value in tape.items():
        if name not in TAPE:
            raise OptionError(f"{before}{name}: no such strength, expected one of {', '.join(TAPE)}")
        low, high, absent = of = Range(*value) if isinstance(value, Sequence) else Range(value, value)
        for one in (low, high):
            check_strength(name, one, before)
        if low > high:
            raise OptionError(f"{before}{name}: found {low:g} to {high:g}, expected the least first")
        check_chance(f"{before}{name}", absent)
        ranges[name] = of if high else NOTHING
    return {name: ranges.get(name, NOTHING) for name in TAPE}


def check_chance(name: str, chance: float) -> None:
    """OptionError, that begins with `name`, where it is none."""
    if not 0 <= chance <= 1:
        raise OptionError(f"{name}: found a chance of {chance:g}, expected 0 to 1")


def parse_strength(name: str, text: str) -> Range:
    """A number or LOW:HIGH, and perhaps @ and a chance; OptionError that begins with `name` if it is neither."""
    span, *chance = text.split("@", 1)
    try:
        low, *high = map(float, span.split(":"))
        (high_one,) = high or [low]
    except ValueError:
        raise OptionError(
            f"{name} is {text!r}, expected a number, or two: LOW:HIGH, and perhaps @ and a chance to be nothing"
        ) from None
    return Range(low, high_one, *(_chance(name, each) for each in chance))


def _chance(name, text):
    try:
        chance = float(text)
    except ValueError:
        raise OptionError(f"{name} is {text!r}, expected a chance, 0 to 1") from None
    check_chance(name, chance)
    return chance


def _shown(of):
    span = ":".join(dict.fromkeys(map(_shortest, (of.low, of.high))))
    return f"{span}@{_shortest(of.absent)}" if of.absent else span


def _shortest(number):
    return repr(float(number)).removesuffix(".0")
