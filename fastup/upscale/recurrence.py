"""Frames of a film in order, as a recurrent network wants them: neighbours of one shot, and a state carried along."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from fastup._types import Floats

Item = TypeVar("Item")
BEFORE, AFTER = 6, 5  # frames by which it is told whether a shot begins with one, as `fastup.pairs.shots.marked` does


class Prepared(NamedTuple):
    """A frame that is ready for the engine: see `Upscaler.prepared`."""

    name: str
    picture: Floats  # as the engine takes it
    codes: bool  # whether the frame was of codes
    grid: Any = None  # of a recurrent model, what cuts are found by: `fastup._signatures.levels`


@dataclass(frozen=True)
class Given(Generic[Item]):
    """A frame as it comes, in order.

    Attributes
    ----------
    item
        Whatever who gives it knows it by.
    frame : Prepared
    begins : bool or None
        Whether a shot begins with it; None where that is to be found out.
    apart : bool
        Whether it does not follow on the frame before.
    needed : bool
        Whether the network is to make it; others are there as its neighbours, and to find cuts.
    """

    item: Item
    frame: Prepared
    begins: bool | None = None
    apart: bool = False
    needed: bool = True


@dataclass(frozen=True)
class Step(Generic[Item]):
    """What a network makes at a time.

    Attributes
    ----------
    item
        Of the frame that is made.
    seen : tuple of Prepared
        What it is made of: the frame before, itself, and as many after it as the network looks ahead; at the ends of a
        shot the nearest of the shot stands in. To a network that is not recurrent, itself alone.
    begins : bool
        Whether nothing is carried over from the step before.
    """

    item: Item
    seen: tuple[Prepared, ...]
    begins: bool = True

    @property
    def frame(self) -> Prepared:
        """The frame that is made."""
        return self.seen[min(1, len(self.seen) - 1)]


def beginnings(frames: Iterable[Given[Item]], ahead: int) -> Iterator[tuple[Given[Item], bool]]:
    """Frames in order, each with whether a shot begins with it: as is given, or found by so many frames after it.

    A shot has frames of one size, and begins with a frame that stands apart. An error of `frames` comes at once: of the
    frames before it that wait for others, nobody knows whether a shot begins with them.
    """
    from fastup.pairs.shots import marked  # brings Numba, which other models do without

    coming, following = iter(frames), deque[Given[Item]]()
    shape: tuple[int, ...] | None = None

    def stretch() -> Iterator[Given[Item]]:
        """What cuts are to be found in: the one that follows, and those that go on from there."""
        yield following.popleft()
        for given in coming:
            if given.apart or given.begins is not None or given.frame.picture.shape != shape:
                following.append(given)
                return
            yield given

    for first in coming:
        following.append(first)
        while following:
            given = following[0]
            other, shape = given.frame.picture.shape != shape, given.frame.picture.shape
            if given.begins is None:
                yield from marked(stretch(), lambda given: given.frame.grid, ahead)
            else:
                yield following.popleft(), given.begins or given.apart or other


def steps(frames: Iterable[tuple[Given[Item], bool]], lookahead: int) -> Iterator[Step[Item]]:
    """The steps of frames in order, each with whether a shot begins with it; of those alone that are needed.

    What is carried begins anew with a shot, and after a frame that is not needed. An error of `frames` comes at once: a
    frame that waits for the one after it is not made without.
    """
    known: deque[Given[Item]] = deque()  # of one shot: the one before, the next to be made, and those after it
    begins = True

    def next_step() -> Iterator[Step[Item]]:
        nonlocal begins
        seen = [*known, *[known[-1]] * (2 + lookahead - len(known))]
        known.popleft()
        if known[0].needed:
            yield Step(known[0].item, tuple(each.frame for each in seen), begins)
        begins = not known[0].needed

    for given, first in frames:
        if first or not known:
            while len(known) > 1:
                yield from next_step()
            known, begins = deque([given, given]), True
        else:
            known.append(given)
        if len(known) == 2 + lookahead:
            yield from next_step()
    while len(known) > 1:
        yield from next_step()


class Carried:
    """Makes pictures of steps, one after another, and carries the state from each to the next.

    `step` takes the frames of a step, one after another along the axis of channels, and the state before it or None for
    none; it gives the picture and the state after it. `planes` is whether that axis is the first, or the last.
    """

    def __init__(self, step: Callable[[Floats, Any], tuple[Floats, Any]], planes: bool) -> None:
        self._step, self._axis = step, 0 if planes else 2
        self._state: Any = None

    def __call__(self, step: Step[Any]) -> Floats:
        """The target picture of a step. What is raised leaves the state as it was."""
        before = None if step.begins else self._state
        made, self._state = self._step(np.concatenate([each.picture for each in step.seen], axis=self._axis), before)
        return made
