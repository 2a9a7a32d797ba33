"""Shots and drawings of a film, from its signatures: where a cut is, and which frames hold one drawing."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from fastup import _signatures
from fastup._threads import in_order
from fastup._types import Codes, Floats
from fastup.pairs.signatures import Signatures

CUT = 0.45  # frames on two sides of a cut are less alike than this; of neighbours in a shot, 1 in 10,000 is
FLASH = 3  # frames that may lie between two that are alike
FLAT = 0.012  # contrast, of white: pictures with less, black ones, have nothing in them that could be told
CHANGED = 8.0  # how often as much as noise the largest blocks differ where a drawing is new; grain alone makes 4 to 6
PAN = 0.02  # cells a frame: slower moves of the camera are weave
AHEAD = FLASH + 2  # frames after one that `find` looks at to tell whether a shot begins with it
_BLOCK = 512
_NEAR = 2  # of cuts that are no farther apart, with no frames alike between them, the clearest is one
Item = TypeVar("Item")


@dataclass(frozen=True)
class Shots:
    """What `find` tells of each frame of a film."""

    begins: NDArray[np.bool_]  # (frames,): whether a shot begins with it
    new: NDArray[np.bool_]  # (frames,): whether a drawing begins with it
    flat: NDArray[np.bool_]  # (frames,): black, or of one colour
    pan: NDArray[np.bool_]  # (frames,): whether the camera moves

    @property
    def shot(self) -> NDArray[np.int32]:
        """(frames,): the number of the shot of each."""
        return np.cumsum(self.begins, dtype=np.int32) - np.int32(1)

    @property
    def drawing(self) -> NDArray[np.int32]:
        """(frames,): the number of the drawing of each."""
        return np.cumsum(self.new, dtype=np.int32) - np.int32(1)


def cuts(signatures: Signatures) -> NDArray[np.int32]:
    """The first frames of shots."""
    return np.flatnonzero(find(signatures).begins).astype(np.int32)


def drawings(signatures: Signatures) -> NDArray[np.int32]:
    """(frames,): the number of the drawing that each frame holds, from 0; all frames of a hold have one number."""
    return find(signatures).drawing


def middles(drawing: NDArray[np.int32]) -> NDArray[np.int32]:
    """The middle frame of each drawing, of the numbers that `drawings` gives; of two, the first."""
    first = np.flatnonzero(np.diff(drawing, prepend=-1))
    last = np.append(first[1:], len(drawing)) - 1
    return ((first + last) // 2).astype(np.int32)


def find(signatures: Signatures) -> Shots:
    """Where shots and drawings begin.

    A cut is where none of the few frames before is like any of the few after; a flash lies between two that are. A
    drawing is new where its blocks differ from those of the frame before by more than noise, which is learned from the
    quiet ones around, or where the camera moves.
    """
    count = len(signatures)
    parts = list(in_order(lambda at: _part(signatures, at), range(0, count, _BLOCK), threads=2))
    likeness = np.concatenate([np.empty((0, FLASH + 1, FLASH + 1), np.float32), *(part[0] for part in parts)])
    changes = np.concatenate([np.empty((0, 4), np.float32), *(part[1] for part in parts)])
    flat = signatures.contrast < FLAT
    linked = _linked(likeness, flat)
    begins = _clearest(linked)
    begins[:1] = True
    noise = around(changes[:, 1], 250, _quiet) + 1
    pan = np.hypot(*(around(changes[:, axis], 3, np.mean) for axis in (2, 3))) > PAN
    new = begins | (changes[:, 0] > CHANGED * noise) | pan
    return Shots(begins, new, flat, pan)


def marked(items: Iterable[Item], levels: Callable[[Item], Codes], ahead: int = AHEAD) -> Iterator[tuple[Item, bool]]:
    """Each frame of a film, in order, and whether a shot begins with it, as `find` tells, while the film comes in.

    Parameters
    ----------
    items
        The frames, whatever they are. `ahead` of them are taken before the first one is given.
    levels
        Gives the grid of a frame: (36, 48) uint16, as `fastup._signatures.levels` makes it of pixels.
    ahead
        With `AHEAD` the answers are those of `find`. With fewer, down to 0 for what is live, a flash begins a shot; the
        picture that comes back after it begins none.
    """
    coming = iter(items)
    waiting, described, flat = deque[Item](), list[NDArray[np.int8]](), list[bool]()
    at, first, more = 0, True, True  # which of those described is to be given
    while True:
        while more and len(described) <= at + ahead:
            for item in coming:
                grid = levels(item)[None]
                waiting.append(item)
                described.append(_signatures.describe(grid)[0])
                flat.append(bool(grid.astype(np.float32).std() / _signatures.FULL < FLAT))
                break
            else:
                more = False
        if not waiting:
            return
        places = np.arange(len(described))
        linked = _linked(_likenesses(np.stack(described), places), np.array(flat))
        yield waiting.popleft(), bool(first or _clearest(linked)[at])
        first = False
        if at < FLASH + 1 + _NEAR:
            at += 1
        else:
            del described[0], flat[0]


def _linked(likeness, flat):
    """How alike what lies before and after each place is, of those that are most alike: -1 to 1; 1 at the first."""
    linked = likeness.max((1, 2), initial=-1)
    linked[1:][flat[1:] & flat[:-1]] = 1
    linked[:1] = 1  # with nothing before it, it says nothing of those near it
    return linked


def _clearest(linked):
    """Whether each place is a cut: those that follow on one another, as at a mixed frame, are one, within `_NEAR`."""
    padded = np.pad(linked, _NEAR, constant_values=1)
    least = padded[_NEAR : len(padded) - _NEAR].copy()
    for step in (-1, 1):
        follows = np.ones(len(linked), bool)
        for far in range(step, step * (_NEAR + 1), step):
            there = padded[_NEAR + far : len(padded) - _NEAR + far]
            follows &= there < CUT
            least = np.where(follows, np.minimum(least, there), least)
    return (linked < CUT) & (linked == least)


def _part(signatures, at):
    """Likeness of the frames before and after each place in a block, and the changes there."""
    count = len(signatures)
    first, last = max(at - FLASH - 1, 0), min(at + _BLOCK + FLASH, count)
    places = np.arange(at, min(at + _BLOCK, count))
    found = _likenesses(_signatures.describe(np.ascontiguousarray(signatures.levels[first:last])), places - first)
    lead = 1 if at else 0
    return found, _signatures.changes(np.ascontiguousarray(signatures.levels[at - lead : places[-1] + 1]))[lead:]


def _likenesses(described, places):
    """(places, 4, 4): how alike the frames are that lie so many before and after each place; -1 of those too far."""
    found = np.full((len(places), FLASH + 1, FLASH + 1), -1, np.float32)
    for before in range(FLASH + 1):
        for after in range(FLASH + 1 - before):
            rows, others = places + after, places - 1 - before
            known = (rows < len(described)) & (others >= 0)
            pairs = np.where(known, others, -1).astype(np.int32)[:, None]
            rows = np.minimum(rows, len(described) - 1)
            found[:, before, after] = _signatures.likeness(described[rows], described, pairs)[:, 0]
    return found


def _quiet(window, axis):
    return np.quantile(window, 0.1, axis=axis)


def around(values: Floats, reach: int, summary: Callable[..., Any]) -> NDArray[Any]:
    """A summary of the values up to `reach` before and after each; of a wide reach, of every so manyth place."""
    if not len(values):
        return values
    stride = max(1, reach // 10)
    padded = np.pad(values, reach, mode="reflect" if len(values) > reach else "edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)
    return np.repeat(summary(windows[::stride], axis=-1), stride)[: len(values)]
