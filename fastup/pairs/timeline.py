"""Which frame of an HD master shows the drawing of each frame of an SD one: one path over both films.

For each drawing of SD the HD drawings that look most like it vote for how far apart the two films are there. What most
votes of a while are for gives each frame its candidates. The cheapest path goes through them (Viterbi). Its pairs tell
how SD's picture lies on HD's; laid so, the frames are held against their candidates, and those near the path, again.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastup import _path, _signatures
from fastup._types import Floats, Progress
from fastup.pairs import dissolves, registration, shots
from fastup.pairs.registration import STILL
from fastup.pairs.signatures import Signatures

# Why a frame has no partner, or one that it is no pair with.
FLAT, DISSOLVE, ALONE = "black, or of one colour", "in a dissolve", "no HD frame is like it"

STEP = 4.0  # what a missing or a repeated frame costs, in nats; all costs are, and so are margins
JUMP, JUMP_AT_CUT = 60.0, 16.0
GAIN = 250.0  # nats for a whole of likeness, of one frame
LIKE = 0.5  # likeness below which a frame is rather alone
MOST = 8.0  # nats by which one frame may speak for having a partner, or against: flashes, titles, damage
NEAREST = 12  # drawings that vote
WAYS, BIN = 12, 8  # of the distances that were voted for, how many are tried, each so many frames wide
SPAN = 24  # frames of SD that share their candidates
REACH = 10  # spans before and after which have a vote, with less weight the farther they are
ROUNDS = 2  # of laying the pictures on one another, and finding the path again
UNLIKE = 0.24  # of the energy, left between a frame and its partner: no more is the same drawing, subtitles or not
NEAR = 12  # frames to both sides of the last path that are candidates then
_BLOCK = 2048
_STEPS = 2 + 2 * (1 + ROUNDS)  # of which the progress is told: shots of both; candidates and a path, each time


@dataclass(frozen=True)
class Timeline:
    """Of each frame of SD, which of HD shows the same drawing; frames are counted from 0 as in the signatures."""

    partner: NDArray[np.int32]  # (frames,): the HD frame, -1 for none
    margin: Floats  # (frames,): nats that the best path through another HD drawing, or none, costs more
    shot: NDArray[np.int32]  # (frames,): number of the run of frames within one shot of SD and one of HD; -1 for none
    drawing: NDArray[np.int32]  # (frames,): number of the SD drawing
    hd_drawing: NDArray[np.int32]  # (HD frames,): number of the HD drawing
    why: list[str]  # for each frame without a partner, why, and for those of a dissolve, of either film; else ""
    hd_mixed: NDArray[np.bool_]  # (HD frames,): whether it is of a dissolve
    likeness: Floats  # (frames,): of the partners, 1 for the same; 0 where there is none


def align(sd: Signatures, hd: Signatures, on_progress: Progress | None = None) -> Timeline:
    """Find for each SD frame the HD frame that shows the same drawing; films that share nothing have no partners."""
    steps = iter(range(1, _STEPS + 1))

    def step(found):
        if on_progress is not None:
            on_progress(next(steps), _STEPS, "finding what is when")
        return found

    (ours, mixed), (theirs, hd_mixed) = step(_shots(sd)), step(_shots(hd))
    matrices = np.broadcast_to(STILL, (len(sd), 2, 3))
    first = step(_candidates(sd, hd, ours, theirs, matrices))
    found = step(_search(first, _likeness(sd, hd, first, matrices), ours))
    if not (found.path >= 0).any():
        return _timeline(found, ours, theirs, mixed, hd_mixed)
    for _ in range(ROUNDS):
        matrices = _registered(sd, hd, found, ours)
        first = step(_candidates(sd, hd, ours, theirs, matrices))
        places = _around(first, found.path, len(hd))
        found = step(_search(places, _likeness(sd, hd, places, matrices), ours))
    found.path[_unlike(_left(sd, hd, found.path, matrices), ours.drawing)] = -1
    return _timeline(found, ours, theirs, mixed, hd_mixed)


def _shots(signatures):
    """Shots and drawings, of which new ones begin in the middle of a dissolve, and which frames are of one."""
    found, dissolve = shots.find(signatures), dissolves.find(signatures)
    return replace(found, begins=found.begins | dissolve.begins, new=found.new | dissolve.begins), dissolve.mixed


def _left(sd, hd, path, matrices):
    """(frames,): what is left between each SD frame, moved, and its partner, of the energy of a full description."""
    left = np.zeros(len(path), np.float32)
    paired = np.flatnonzero(path >= 0)
    for part in np.array_split(paired, len(paired) // (_BLOCK // 4) + 1):
        own = _signatures.describe(_signatures.warp(sd.levels[part], matrices[part])).astype(np.float32)
        left[part] = ((own - _signatures.describe(hd.levels[path[part]])) ** 2).mean(1) / 1024
    return left


def _unlike(left, drawing):
    """(frames,): whether more is left than the same drawing leaves: much, or much more than just before and after."""
    first = np.flatnonzero(np.diff(drawing, prepend=-1))
    own = np.maximum.reduceat(left, first)
    before, after = np.append(own[:1], own[:-1]), np.append(own[1:], own[-1:])
    spike = own > 2.5 * np.maximum(before, after) + 0.015
    return (left > UNLIKE) | spike[drawing]


class _Found(NamedTuple):
    """The cheapest path through candidates, as of `_path.cheapest`."""

    places: NDArray[np.int32]
    likeness: Floats
    path: NDArray[np.int32]
    through: Floats
    nowhere: Floats

    @property
    def alike(self):
        """(frames,): how alike each frame and its partner are; 0 where there is none."""
        there = (self.places == self.path[:, None]) & (self.places >= 0)
        return np.where(self.path < 0, 0, np.where(there, self.likeness, -1).max(1, initial=-1)).astype(np.float32)


def _search(places, likeness, ours):
    """The cheapest path by how alike the candidates are."""
    cost = np.clip(GAIN / 10 * (LIKE - likeness), -MOST, MOST)
    best = likeness.max(1, initial=-1, keepdims=True)
    cost += (GAIN * np.minimum(best - likeness, 0.2)).astype(np.float32)
    jump = np.where(ours.begins, JUMP_AT_CUT, JUMP).astype(np.float32)
    alone = np.where(ours.flat, -MOST / 2, 0).astype(np.float32)
    return _Found(places, likeness, *_path.cheapest(places, cost.astype(np.float32), alone, jump, STEP))


def _registered(sd, hd, found, ours):
    """(frames, 2, 3): how each SD grid lies on those of HD, by the pairs of a path."""
    paired = np.flatnonzero((found.path >= 0) & (found.alike >= np.median(found.alike[found.path >= 0]) - 0.15))
    some = paired[:: len(paired) // registration.MOST + 1]
    matrix = registration.common(sd.levels[some], hd.levels[found.path[some]])
    matrices = np.repeat(matrix[None], len(sd), 0)
    paired = paired[~ours.pan[paired]]
    if len(paired):
        shift = np.concatenate(
            [
                registration.shifts(sd.levels[part], hd.levels[found.path[part]], matrix)
                for part in np.array_split(paired, len(paired) // _BLOCK + 1)
            ]
        )
        for axis in (0, 1):
            smooth = shots.around(np.clip(shift[:, axis], -1, 1), 6, np.median)
            matrices[:, axis, 2] += np.interp(np.arange(len(sd)), paired, smooth)
    return matrices


def _around(first, path, count):
    """Candidates, and those near a path, ascending; where the path is nowhere, near where it would go on."""
    frames = np.arange(len(path))
    paired = np.flatnonzero(path >= 0)
    wide = [first]
    for side in ("left", "right"):
        at = np.searchsorted(paired, frames, side="right") - 1 if side == "left" else np.searchsorted(paired, frames)
        known = (at >= 0) & (at < len(paired))
        base = paired[np.clip(at, 0, len(paired) - 1)]
        places = (path[base] + frames - base)[:, None] + np.arange(-NEAR, NEAR + 1)
        wide.append(np.where(known[:, None] & (places >= 0) & (places < count), places, -1).astype(np.int32))
    places = np.sort(np.concatenate(wide, 1), axis=1)
    places[:, 1:][places[:, 1:] == places[:, :-1]] = -1
    return np.sort(places, axis=1)


def _timeline(found, ours, theirs, mixed, hd_mixed):
    """The `Timeline` of a path."""
    drawing, others = ours.drawing, theirs.drawing
    places, path = found.places, found.path
    paired = path >= 0
    at = np.where(paired, path, 0)
    same = (others[np.maximum(places, 0)] == others[at][:, None]) & (places >= 0)
    through = np.where(same, np.inf, found.through).min(1, initial=np.inf)
    margin = np.where(paired, np.minimum(through, found.nowhere), 0).astype(np.float32)
    run = np.stack([ours.shot, theirs.shot[at], paired])
    shot = np.cumsum((np.diff(run, axis=1, prepend=-1) != 0).any(0)) - 1
    _, shot = np.unique(np.where(paired, shot, -1), return_inverse=True)
    shot = shot.astype(np.int32) - (not paired.all())
    why = [
        FLAT if f else DISSOLVE if m else "" if p else ALONE
        for p, f, m in zip(paired, ours.flat & ~paired, mixed | paired & hd_mixed[at], strict=True)
    ]
    return Timeline(path, margin, shot, drawing, others, why, hd_mixed, found.alike)


def _likeness(sd, hd, places, matrices):
    """(frames, k): how alike each SD frame, moved, and each of its candidates are."""
    parts = [np.empty((0, places.shape[1]), np.float32)]
    for at in range(0, len(sd), _BLOCK // 4):
        block = places[at : at + _BLOCK // 4]
        needed = np.unique(block[block >= 0])
        described = _signatures.describe(hd.levels[needed])
        pairs = np.where(block >= 0, np.searchsorted(needed, block), -1).astype(np.int32)
        part = slice(at, at + _BLOCK // 4)
        own = _signatures.describe(_signatures.warp(np.ascontiguousarray(sd.levels[part]), matrices[part]))
        parts.append(_signatures.likeness(own, described, pairs))
    return np.concatenate(parts)


def _candidates(sd, hd, ours, theirs, matrices):
    """(frames, WAYS * BIN): HD frames that each SD frame may be the same as, ascending; -1 in front for none."""
    places = np.full((len(sd), WAYS * BIN), -1, np.int32)
    mine, other = shots.middles(ours.drawing), shots.middles(theirs.drawing)
    spans, bins, weights = [], [], []
    least = len(sd) // BIN + 1  # so that no bin is below 0
    for rows, columns, alike in _nearest(sd, hd, mine, other, matrices):
        distance = other[columns] - mine[rows][:, None]
        spans.append(np.broadcast_to((mine[rows] // SPAN)[:, None], alike.shape).ravel())
        bins.append((distance // BIN + least).ravel())
        weights.append(np.maximum(alike - 0.8 * alike[:, -1:], 0).ravel())
    if not spans or not len(hd):
        return places
    count = len(sd) // SPAN + 1
    width = least + len(hd) // BIN + 2
    span, bin_, weight = np.concatenate(spans), np.concatenate(bins), np.concatenate(weights)
    keys, totals = _summed(span * width + bin_, weight)
    shifted = [(keys + side, totals * share) for side, share in ((0, 1.0), (-1, 0.4), (1, 0.4))]
    keys, totals = _summed(*map(np.concatenate, zip(*shifted, strict=True)))
    spread = []
    for away in range(-REACH, REACH + 1):
        inside = (keys // width + away >= 0) & (keys // width + away < count)
        spread.append((keys[inside] + away * width, totals[inside] * 0.75 ** abs(away)))
    keys, totals = _summed(*map(np.concatenate, zip(*spread, strict=True)))
    order = np.lexsort((-totals, keys // width))
    keys = keys[order]
    first = np.searchsorted(keys // width, keys // width)
    keys = keys[np.arange(len(keys)) - first < WAYS]
    table = np.full((count, WAYS), -1, np.int64)
    first = np.searchsorted(keys // width, keys // width)
    table[keys // width, np.arange(len(keys)) - first] = keys % width
    for n in range(count):
        frames = np.arange(n * SPAN, min((n + 1) * SPAN, len(sd)))
        ways = np.sort(table[n][table[n] >= 0])
        found = (
            frames[:, None]
            + ((ways - least) * BIN)[:, None].repeat(BIN, 1).ravel()
            + np.tile(np.arange(BIN), len(ways))
        )
        found = np.where((found >= 0) & (found < len(hd)), found, -1)
        found.sort(axis=1)
        if found.size:
            places[frames, -found.shape[1] :] = found
    return places


def _summed(keys, weights):
    """Keys without one twice, ascending, and the sum of the weights of each."""
    keys, where = np.unique(keys, return_inverse=True)
    return keys, np.bincount(where, weights, len(keys))


def _nearest(sd, hd, mine, other, matrices):
    """Yield rows of `mine`, and for each the columns of `other` that are most alike, the best first, and how alike."""
    count = min(NEAREST, len(other))
    if not count:
        return
    for at in range(0, len(mine), _BLOCK):
        rows = np.arange(at, min(at + _BLOCK, len(mine)))
        own = _coarse(_signatures.warp(sd.levels[mine[rows]], matrices[mine[rows]]))
        best, which = np.empty((len(rows), 0), np.float32), np.empty((len(rows), 0), np.intp)
        for start in range(0, len(other), _BLOCK):
            columns = np.arange(start, min(start + _BLOCK, len(other)))
            alike = own @ _coarse(hd.levels[other[columns]]).T
            if len(columns) > count:
                part = np.argpartition(-alike, count - 1, axis=1)[:, :count]
                alike, columns = np.take_along_axis(alike, part, 1), columns[part]
            else:
                columns = np.broadcast_to(columns, alike.shape)
            best, which = np.concatenate([best, alike], 1), np.concatenate([which, columns], 1)
            order = np.argsort(-best, axis=1, kind="stable")[:, :count]
            best, which = np.take_along_axis(best, order, 1), np.take_along_axis(which, order, 1)
        yield rows, which, best


def _coarse(grids):
    """(n, dimensions) of levels: differences of means of 3 x 3 cells down and across, of unit length, float32."""
    n = len(grids)
    means = grids.reshape(n, _signatures.ROWS // 3, 3, _signatures.COLUMNS // 3, 3).mean((2, 4), dtype=np.float32)
    down = means[:, 1:, :-1] - means[:, :-1, :-1]
    across = means[:, :-1, 1:] - means[:, :-1, :-1]
    both = np.stack([down, across], -1).reshape(n, -1)
    scale = np.sqrt((both**2).mean(1, keepdims=True)) + 30
    both /= np.sqrt(both**2 + scale**2)  # so that no single edge is all that counts
    return both / np.sqrt((both**2).sum(1, keepdims=True) + 1)
