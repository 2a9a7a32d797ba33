"""Which pairs of a film are used: one of each drawing, those that differ most, and whole shots in one set."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastup._types import Floats

SETS = ("train", "validation", "evaluation")
SHARES = (0.8, 0.1, 0.1)  # of the pairs, as far as whole groups of shots allow it
ENOUGH = 5  # groups of shots, of which one can be spared for evaluation
ALIKE = 0.9  # correlation of two signatures from which on they are of one picture, or nearly so

_LARGE = 0.05  # a group with more of the pairs is given out before the smaller ones
_GOLDEN = (5**0.5 - 1) / 2  # its multiples are spread evenly, however many they are
_BLOCK = 1024  # signatures that are held against all others at once

Ints = NDArray[np.int64]


def middles(drawing: ArrayLike, usable: ArrayLike) -> Ints:
    """Of each drawing the usable frame that is nearest to the middle of its hold; of two, the first.

    Parameters
    ----------
    drawing : (n,) int
        The drawing that each frame holds; below 0 where it holds none.
    usable : (n,) bool

    Returns
    -------
    (m,) int64: numbers of frames, in order.
    """
    drawing, usable = np.asarray(drawing, np.int64), np.asarray(usable, bool)
    if drawing.shape != usable.shape or drawing.ndim != 1:
        raise ValueError(f"usable: found shape {usable.shape}, expected that of drawing, {drawing.shape}")
    frames = np.arange(len(drawing))
    there = drawing >= 0
    count = int(drawing.max(initial=-1)) + 1
    first, last = np.full(count, len(drawing)), np.full(count, -1)
    np.minimum.at(first, drawing[there], frames[there])
    np.maximum.at(last, drawing[there], frames[there])
    chosen = frames[there & usable]
    off = np.abs(2 * chosen - first[drawing[chosen]] - last[drawing[chosen]])
    order = np.lexsort((chosen, off, drawing[chosen]))
    chosen = chosen[order]
    return np.sort(chosen[np.diff(drawing[chosen], prepend=-1) > 0])


def spread(features: Floats, count: int | None = None) -> Ints:
    """The order in which each of some points is the farthest from those before it; the first is farthest from the mean.

    Gonzalez 1985, "Clustering to minimize the maximum intercluster distance": the first k of them are never more than
    twice as far from the others as the best k would be. Of points that are equally far, the first is taken.

    Parameters
    ----------
    features : (n, d) float32
        Distance is Euclidean.
    count
        How many of them; all without it.
    """
    points = np.asarray(features, np.float64)
    if points.ndim != 2:
        raise ValueError(f"features: found shape {points.shape}, expected (points, dimensions)")
    count = len(points) if count is None else min(count, len(points))
    order = np.empty(count, np.int64)
    far = ((points - points.mean(0)) ** 2).sum(1) if count else np.empty(0)
    for k in range(count):
        order[k] = pick = int(far.argmax())
        off = ((points - points[pick]) ** 2).sum(1)
        far = off if k == 0 else np.minimum(far, off)
        far[order[: k + 1]] = -1  # taken, also where another is the same point
    return order


def groups(shot: ArrayLike, signatures: Floats, same: ArrayLike) -> Ints:
    """Which pairs must be in one set: those of one shot, of one HD drawing, and those that look alike.

    A preview shows a shot of the film, and scenes repeat: if such a picture were in training and in validation,
    validation would say nothing of pictures that training does not see.

    Parameters
    ----------
    shot : (n,) int
        The shot of each pair.
    signatures : (n, d) float32
        Two whose correlation is `ALIKE` or more show one picture.
    same : (n,) int
        Pairs that have the same number here are of one HD drawing.

    Returns
    -------
    (n,) int64: the group of each pair, counted from 0 in the order in which they first appear.
    """
    shot, same = np.asarray(shot, np.int64), np.asarray(same, np.int64)
    parent = list(range(len(shot)))

    def root(k):
        while parent[k] != k:
            parent[k] = k = parent[parent[k]]
        return k

    def join(one, other):
        one, other = sorted((root(one), root(other)))
        parent[other] = one

    for key in (shot, same):
        first: dict[int, int] = {}
        for k, value in enumerate(key.tolist()):
            join(k, first.setdefault(value, k))
    unit = np.asarray(signatures, np.float32)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-9)
    for start in range(0, len(unit), _BLOCK):
        one, other = np.nonzero(unit[start : start + _BLOCK] @ unit[start:].T >= ALIKE)
        for a, b in zip((one + start).tolist(), (other + start).tolist(), strict=True):
            if a < b and shot[a] != shot[b]:
                join(a, b)
    roots = np.array([root(k) for k in range(len(shot))], np.int64)
    _, first_at, number = np.unique(roots, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first_at))[number].astype(np.int64)


def sets(sizes: Sequence[int]) -> list[str]:
    """The set of each group of shots, so that the pairs in each come near to `SHARES`.

    There is a group in train if there is one, in validation if there are two, in evaluation if there are `ENOUGH`.
    Which go where depends on sizes and order alone; large ones go first, the others as they are spread over the film.

    Parameters
    ----------
    sizes
        How many pairs each group has, in the order of the film.
    """
    sizes = list(sizes)
    total = sum(sizes)

    def turn(k):
        return (-sizes[k] if sizes[k] > _LARGE * total else 0, (k + 1) * _GOLDEN % 1)

    got, chosen = [0, 0, 0], [0] * len(sizes)
    for k in sorted(range(len(sizes)), key=turn):
        lacking = [share * total - count for share, count in zip(SHARES, got, strict=True)]
        chosen[k] = int(np.argmax(lacking))
        got[chosen[k]] += sizes[k]
    for place, needed in ((0, 1), (1, 2), (2, ENOUGH)):
        if place not in chosen and len(sizes) >= needed:
            most = max(range(3), key=chosen.count)  # with ENOUGH groups it has two or more
            spare = [k for k in range(len(sizes)) if chosen[k] == most]
            chosen[min(spare, key=lambda k: (sizes[k], k))] = place
    if len(sizes) < ENOUGH:  # too few for three sets: evaluation's are training's
        chosen = [0 if place == 2 else place for place in chosen]
    return [SETS[place] for place in chosen]
