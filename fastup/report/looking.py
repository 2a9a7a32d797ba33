"""What is seen of frames that are evaluated: pictures of all versions, and where a model gains and loses most."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappush, heappushpop
from math import log10
from threading import Lock

import numpy as np

from fastup._types import Floats, Frame
from fastup.report import pictures
from fastup.report.pictures import Eight

INPUT, BICUBIC, TARGET = "input", "bicubic", "target"
WORST, BEST = 5, 3  # frames of each model that are shown before others
CROPS, SIDE = 6, 96  # of each model where it gains, and where it loses; target pixels
HELD = 400_000_000  # bytes of pictures, above which those of the least interesting frames go

Window = tuple[int, int, int, int]  # y, x, height, width


def key(model: int) -> str:
    """Of a model's pictures."""
    return f"model{model}"


@dataclass
class Seen:
    """What is kept of a frame."""

    number: int
    large: Mapping[str, bytes]  # of all pixels; empty where there was no room
    small: Mapping[str, bytes]  # of half as many each way
    thumb: bytes
    gains: list[float]  # of each model: dB above bicubic, of the whole picture
    places: list[dict[str, tuple[Window, float]]]  # of each model: "gain" and "loss", where, and how many dB there

    @property
    def size(self) -> int:
        return sum(map(len, (*self.large.values(), *self.small.values(), self.thumb)))


@dataclass(order=True)
class Crop:
    """A part of a frame in all versions, by how much the squared error is less than bicubic's, or more."""

    weight: float
    number: int
    window: Window = field(compare=False)
    decibels: float = field(compare=False)
    versions: Mapping[str, bytes] = field(compare=False)


class Looking:
    """Collects what can be shown, frame by frame: `fastup.upscale.evaluate.score_all` calls `look` and `keep`.

    Parameters
    ----------
    table
        As `pictures.eight` has it.
    models
        How many there are.
    """

    def __init__(self, table: Eight | None, models: int) -> None:
        self.table, self.models = table, models
        self.seen: dict[int, Seen] = {}
        self.crops: list[dict[str, list[Crop]]] = [{"gain": [], "loss": []} for _ in range(models)]
        self.shape: tuple[int, ...] = ()
        self._lock = Lock()  # of the crops

    def keep(self, seen: Seen) -> None:
        """Take what was seen of a frame; of too many, the least interesting go."""
        self.seen[seen.number] = seen
        held = sum(each.size for each in self.seen.values())
        if held > HELD:
            for number in reversed(list(self.order())):
                each = self.seen[number]
                if held > HELD / 2 and each.large:
                    held -= each.size
                    each.large, each.small = {}, each.small if held <= HELD / 2 else {}
                    held += each.size

    def order(self, flat: Sequence[bool] = ()) -> Iterator[int]:
        """The numbers of the frames, the most interesting first: worst, best, and the others spread over the film."""
        known = [each for each in self.seen.values() if not (flat and flat[each.number])]
        chosen: dict[int, None] = {}
        for model in range(self.models):
            ranked = [each.number for each in sorted(known, key=lambda each: (each.gains[model], each.number))]
            chosen |= dict.fromkeys((*ranked[:WORST], *reversed(ranked[-BEST:])))
        bits = max(self.seen, default=0).bit_length()
        spread = sorted(self.seen, key=lambda number: int(f"{number:0{bits}b}"[::-1], 2) if bits else 0)
        yield from chosen | dict.fromkeys(spread)

    def look(self, number: int, picture: Floats, made: list[Floats], bicubic: Floats, target: Frame) -> Seen:
        """What is kept of a frame; several may be looked at side by side."""
        self.shape = target.shape
        floats = {INPUT: picture, BICUBIC: bicubic, **{key(n): ours for n, ours in enumerate(made)}, TARGET: target}
        large = {name: pictures.eight(each, self.table) for name, each in floats.items()}
        across = -(-target.shape[1] // 2)
        small = {name: each if each.shape[1] <= across else pictures.halved(each) for name, each in large.items()}
        thumb, whole = pictures.thumb(large[TARGET]), {name: pictures.lossy(each) for name, each in large.items()}
        half = {name: whole[name] if each is large[name] else pictures.lossy(each) for name, each in small.items()}
        before = _errors(bicubic, target)
        gains, places = [], []
        for model, ours in enumerate(made):
            after = _errors(ours, target)
            gains.append(_decibels(before.sum(), after.sum()))
            places.append(self._places(number, model, before, after, large))
        return Seen(number, whole, half, thumb, gains, places)

    def _places(self, number, model, before, after, large):
        """Where a model gains and loses most, by squared error; the greatest of the set are kept as crops."""
        height, width = (min(SIDE, n) for n in before.shape)
        less, found = _sums(before - after, height, width), {}
        for name, sign in (("gain", 1), ("loss", -1)):
            place = np.unravel_index(np.argmax(sign * less), less.shape)
            weight = float(sign * less[place])
            if weight <= 0:
                continue
            y, x = int(place[0]) * height, int(place[1]) * width
            window = y, x, height, width
            part = np.s_[y : y + height, x : x + width]
            decibels = _decibels(before[part].sum(), after[part].sum())
            found[name] = window, decibels
            with self._lock:
                kept = self.crops[model][name]
                if len(kept) < CROPS or (weight, number) > (kept[0].weight, kept[0].number):  # in whatever order
                    put = heappush if len(kept) < CROPS else heappushpop
                    put(kept, Crop(weight, number, window, decibels, _cropped(large, window)))
        return found


def _errors(picture, target):
    """Squared errors, means of the channels: (height, width)."""
    difference = picture[..., :3] - target[..., :3]
    return np.einsum("yxc,yxc->yx", difference, difference) / np.float32(difference.shape[2])


def _decibels(before, after):
    return 10 * log10(max(float(before), 1e-12) / max(float(after), 1e-12))


def _sums(values, height, width):
    """Sums over whole blocks."""
    rows, columns = (n // side for n, side in zip(values.shape, (height, width), strict=True))
    return values[: rows * height, : columns * width].reshape(rows, height, columns, width).sum((1, 3))


def _cropped(large, window):
    """A part of each version, of as many pixels each: those of the input are repeated."""
    y, x, height, width = window
    target = large[TARGET].shape
    found = {}
    for name, picture in large.items():
        rows, columns = (
            np.arange(first, first + count) * picture.shape[axis] // target[axis]
            for axis, (first, count) in enumerate(((y, height), (x, width)))
        )
        found[name] = pictures.lossless(picture[np.ix_(rows, columns)])
    return found
