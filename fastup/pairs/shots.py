"""Shots and drawings of a film, from its signatures: where a cut is, and which frames hold one drawing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastup import _signatures
from fastup._threads import in_order
from fastup._types import Floats
from fastup.pairs.signatures import Signatures

CUT = 0.45  # frames on two sides of a cut are less alike than this; of neighbours in a shot, 1 in 10,000 is
FLASH = 3  # frames that may lie between two that are alike
FLAT = 0.012  # contrast, of white: pictures with less, black ones, have nothing in them that could be told
CHANGED = 8.0  # how often as much as noise the largest blocks differ where a drawing is new; grain alone makes 4 to 6
PAN = 0.02  # cells a frame: slower moves of the camera are weave
_BLOCK = 512


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
    linked = likeness.max((1, 2), initial=-1)
    linked[1:][flat[1:] & flat[:-1]] = 1
    begins = linked < CUT
    begins &= linked == around(linked, 2, np.min)  # of a few in a row, the clearest
    begins[:1] = True
    noise = around(changes[:, 1], 250, _quiet) + 1
    pan = np.hypot(*(around(changes[:, axis], 3, np.mean) for axis in (2, 3))) > PAN
    new = begins | (changes[:, 0] > CHANGED * noise) | pan
    return Shots(begins, new, flat, pan)


def _part(signatures, at):
    """Likeness of the frames before and after each place in a block, and the changes there."""
    count = len(signatures)
    first, last = max(at - FLASH - 1, 0), min(at + _BLOCK + FLASH, count)
    grids = np.ascontiguousarray(signatures.levels[first:last])
    described = _signatures.describe(grids)
    places = np.arange(at, min(at + _BLOCK, count))
    found = np.full((len(places), FLASH + 1, FLASH + 1), -1, np.float32)
    for before in range(FLASH + 1):
        for after in range(FLASH + 1 - before):
            rows, others = places + after - first, places - 1 - before - first
            known = (rows < len(grids)) & (others >= 0)
            pairs = np.where(known, others, -1).astype(np.int32)[:, None]
            rows = np.minimum(rows, len(grids) - 1)
            found[:, before, after] = _signatures.likeness(described[rows], described, pairs)[:, 0]
    lead = 1 if at else 0
    return found, _signatures.changes(np.ascontiguousarray(signatures.levels[at - lead : places[-1] + 1]))[lead:]


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
