"""Where one scene of a film dissolves into another, from its signatures."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastup import _signatures
from fastup._types import Floats
from fastup.pairs.signatures import Signatures

AWAY = 6, 12, 24, 48  # frames before and after one, which may be those that it is a mix of
UNLIKE = 0.45  # two frames that are less alike may be of two scenes
_MIXED = 0.03  # of either scene, from which on a frame is a mix
_RISES = 0.01  # of the second scene, that comes in a frame: what moves may make a mix seem to go on that stands still
_MIDDLE = 0.1  # of either, from which on a frame may be the middle of a dissolve
_DIFFER = 0.02, 0.25  # of white, by which cells of the two scenes are apart; the share of the cells that have to be
_DIM = 0.3  # of the contrast of the one scene, below which the other is nearly black, and this a fade
_EDGE = 0.01  # of white, by which edges of the two scenes are apart, over two cells
_CLOSE = 0.1, 0.004  # of that, and of white: cells that are as near to the mix as this are explained
_EXPLAINED = 0.4  # of all that is between the scenes: of a dissolve more is, of what moves 0.1 to 0.2


class Dissolves(NamedTuple):
    """What `find` tells of each frame of a film."""

    mixed: NDArray[np.bool_]  # (frames,): whether it is a mix of two scenes
    begins: NDArray[np.bool_]  # (frames,): whether it is the first of its dissolve to show more of the second scene


def find(signatures: Signatures) -> Dissolves:
    """Frames that are mixes of one before and one after, in runs between two frames of different scenes.

    In a dissolve most of the picture, all that does not move, is as far on its way from the one scene to the other.
    In all else that leads from a frame to an unlike one, a pan or much that moves, each part is on a way of its own.
    A fade, whose frames show one scene, is none. Scenes with one background, or that move as a whole, are missed.
    """
    count = len(signatures)
    mixed, votes = np.zeros(count, bool), np.zeros(count, int)
    for away in AWAY:
        middles = np.arange(away, count - away)
        for at in range(0, len(middles), 512):
            for middle in _between_scenes(signatures, middles[at : at + 512], away):
                _look(signatures, middle, away, mixed, votes)
    begins = np.zeros(count, bool)
    for run in np.split(np.flatnonzero(mixed), np.flatnonzero(np.diff(np.flatnonzero(mixed)) > 1) + 1):
        if votes[run].any():
            begins[run[np.argmax(votes[run])]] = True
    return Dissolves(mixed, begins)


def _between_scenes(signatures, middles, away):
    """Those of some frames that have unlike ones before and after them, so far away."""
    grids = np.ascontiguousarray(signatures.levels[middles[0] - away : middles[-1] + away + 1])
    described = _signatures.describe(grids)
    pairs = np.arange(2 * away, len(grids), dtype=np.int32)[:, None]
    return middles[_signatures.likeness(described[: len(middles)], described, pairs)[:, 0] < UNLIKE].tolist()


def _look(signatures, middle, away, mixed, votes):
    """Note the frames of the dissolve around a frame, if it has its middle near there, and a vote for where that is."""
    first, last = middle - away, middle + away
    grids = signatures.levels[first : last + 1].astype(np.float32) / np.float32(_signatures.FULL)
    grids -= grids.mean((1, 2), keepdims=True)
    between = grids[-1] - grids[0]
    clear = np.abs(between) > _DIFFER[0]
    contrasts = grids[[0, -1]].std((1, 2))
    if clear.mean() < _DIFFER[1] or contrasts.min() < _DIM * contrasts.max():
        return
    between, start = between[clear], grids[0][clear]
    part, explained = _mix(start, between, grids[away][clear])
    if explained < _EXPLAINED or not _MIDDLE < part < 1 - _MIDDLE:
        return
    part, explained = np.array([_mix(start, between, grid[clear]) for grid in grids]).T
    if explained.min() >= _EXPLAINED and np.diff(part).min() > -_MIXED and _has_edges_of_both(grids, part):
        half = int(np.argmax(part > 0.5))
        on_its_way = (part > _MIXED) & (part < 1 - _MIXED) & _goes_on(part)
        other = np.flatnonzero(~on_its_way)  # the first and the last are
        mixed[first + other[other < half][-1] + 1 : first + other[other >= half][0]] = True
        votes[first + half] += 1


def _has_edges_of_both(grids, part):
    """Whether edges are where both scenes have them: of smooth pictures, as of the sky, levels look mixed in a pan."""
    down, across = grids[:, 2:, 1:-1] - grids[:, :-2, 1:-1], grids[:, 1:-1, 2:] - grids[:, 1:-1, :-2]
    edges = np.stack([down, across], 1)
    between = edges[-1] - edges[0]
    clear = np.abs(between) > _EDGE
    between, start = between[clear], edges[0][clear]
    return clear.any() and all(
        _explained(start, between, each[clear], own) >= _EXPLAINED for each, own in zip(edges, part, strict=True)
    )


def _goes_on(part):
    """Whether a mix goes on at each frame: there and back, or where it is no mere trace, within two frames of it."""
    wide = np.pad(part, 2, "edge")
    slow, before, after = wide[4:] - wide[:-4], part - wide[1:-3], wide[3:-1] - part
    return np.where(np.abs(part - 0.5) < 0.5 - _MIDDLE, slow > 2 * _RISES, np.minimum(before, after) > _RISES)


def _mix(start: Floats, between: Floats, picture: Floats) -> tuple[float, float]:
    """How far a picture is on its way from one to another, (cells,) each, and how much of that way this explains."""
    weight = np.abs(between)
    own = (picture - start) / between
    order = np.argsort(own)
    total = np.cumsum(weight[order])
    part = float(own[order[np.searchsorted(total, total[-1] / 2)]])
    return part, _explained(start, between, picture, part)


def _explained(start: Floats, between: Floats, picture: Floats, part: float) -> float:
    """How much of the way between two pictures is explained by one part of it."""
    weight = np.abs(between)
    near = np.abs(picture - start - part * between) <= _CLOSE[0] * weight + _CLOSE[1]
    return float(weight[near].sum() / weight.sum())
