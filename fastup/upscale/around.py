"""Frames that a recurrent model is given beside those that are asked for, so that a part is as in the whole film."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fastup._types import StrPath
from fastup.errors import DataError
from fastup.footage import chore
from fastup.footage.source import Items, Skip
from fastup.upscale.model import Model
from fastup.upscale.recurrence import AFTER, BEFORE, Given, Prepared


class Around:
    """Which frames of a plan are read for a recurrent model, and which of them it makes.

    It makes those that are asked for, and as many before them as its state takes to be that of the whole film: its
    `warmup`, as far as they are of the same shot, where it is known where shots begin. Frames next to these are read:
    they are seen, too, and cuts are found by them.

    `cuts` are the frames with which shots begin, None where they are to be found.
    """

    def __init__(self, plan: chore.Plan, model: Model, cuts: Iterable[int] | None = None) -> None:
        self._plan, self._warmup = plan, model.warmup
        self._cuts = None if cuts is None else sorted(cuts)
        find = cuts is None  # by as many frames as `Flow.steps` does
        self._before, self._after = max(1, BEFORE * find), model.lookahead + AFTER * (find and model.lookahead > 0)
        self._files = {number for number, _ in plan.source.files()}
        self._only = None if plan.only is None else set(plan.only)
        self._asked: dict[int, bool] = {}
        self._needed: dict[int, bool] = {}

    def asked(self, number: int) -> bool:
        """Whether a frame is asked for, and was not made when this was asked first."""
        if number not in self._asked:
            self._asked[number] = self._within(number) and not self._plan.is_made(number)
        return self._asked[number]

    def needed(self, number: int) -> bool:
        """Whether the model has to make a frame: it is asked for, or one after it that it counts for."""
        if number not in self._needed:
            end = number + self._warmup + 1
            if self._cuts is not None and (after := bisect_right(self._cuts, number)) < len(self._cuts):
                end = min(end, self._cuts[after])
            self._needed[number] = any(map(self.asked, range(number, end)))
        return self._needed[number]

    def read(self, number: int) -> bool:
        """Whether a frame has to be read."""
        return any(map(self.needed, range(max(number - self._after, 0), number + self._before + 1)))

    def items(self, start: int, skip: Skip) -> Items:
        """What the source has of the frames that are read; `skip` is called as of `Plan.items`."""
        plan = self._plan

        def passed(number: int) -> bool:
            if number >= start and self._within(number):
                skip(number)
            return not self.read(number)

        if plan.only is None:
            last = None if plan.last is None else plan.last + self._after
            yield from plan.source.frames(self.span([start])[0], last, 1, passed)
            return
        spans: list[tuple[int, int]] = []  # each is gone to by itself
        for number in plan.only:
            if number >= start and not skip(number):
                first, last = self.span([number])
                if spans and first <= spans[-1][1]:
                    first, _ = spans.pop()
                spans.append((first, last))
        for first, last in spans:
            yield from plan.source.frames(first, last, 1, lambda number: not self.read(number))

    def span(self, numbers: Sequence[int]) -> tuple[int, int]:
        """The first frame that may be read for some that are asked for, and the one after the last."""
        return max(numbers[0] - self._warmup - self._before, 0), numbers[-1] + self._after + 1

    def unit(self, number: int) -> int:
        """What a frame is to be made with, so that little is made before it alone: its shot; else a long stretch."""
        return number // (4 * self._warmup + 1) if self._cuts is None else bisect_right(self._cuts, number)

    def given(self, frames: Iterable[tuple[int, Prepared]]) -> Iterator[Given[int]]:
        """Frames in order, as `Flow.steps` takes them.

        Nothing goes over frames that were not read. Frames that the source does not have are passed over, as they are
        where the whole film is made.
        """
        before: int | None = None
        for number, frame in frames:
            apart = before is None or not all(map(self.read, range(before + 1, number)))
            begins = None
            if self._cuts is not None:
                begins = before is not None and bisect_right(self._cuts, before) < bisect_right(self._cuts, number)
            yield Given(number, frame, begins, apart, self.needed(number))
            before = number

    def _within(self, number):
        """Whether a frame is among those of the plan."""
        plan = self._plan
        if self._only is not None:
            return number in self._only
        if self._files and number not in self._files:
            return False
        inside = plan.first <= number and (plan.last is None or number < plan.last)
        return inside and (number - plan.first) % plan.every == 0


def read_cuts(path: StrPath) -> list[int]:
    """The numbers of the frames with which shots begin, of a file that has one on each line.

    DataError, which names the line, if it has anything else, or none; OSError if it is missing.
    """
    text = Path(path).read_text(encoding="utf-8-sig", errors="replace")
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    expected = "expected on each line the number of a frame with which a shot begins, from 0"
    if not lines:
        raise DataError(f"{path}: empty, {expected}")
    for number, line in lines:
        if not (line.isascii() and line.isdecimal()):
            raise DataError(f"{path}: line {number} is {line[:40]!r}, {expected}")
    return [int(line) for _, line in lines]
