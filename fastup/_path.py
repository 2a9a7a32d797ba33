"""Numba kernel: the cheapest path of one film through another, frame by frame, over the few frames that it might be."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fastup._types import Floats

FAR = 4  # frames of the other film that may be missing at once, before it counts as a jump


def cheapest(
    places: NDArray[np.int32], cost: Floats, alone: Floats, jump: Floats, step: float
) -> tuple[NDArray[np.int32], Floats, Floats]:
    """The cheapest path through candidates, at each time one of them, or none.

    Parameters
    ----------
    places : (n, k)
        Where in the other film each candidate lies, ascending, without one twice; -1, at the front, for no candidate.
    cost : (n, k)
        Of being there.
    alone : (n,)
        Of being nowhere.
    jump : (n,)
        Of going to that time from anywhere to anywhere; to nowhere, or from there, costs half.
    step
        Of staying where one is, or of leaving out a frame; of leaving out more, half as much for each besides. To go
        on by one is free.

    Returns
    -------
    path : (n,)
        The place at each time; -1 for nowhere.
    through : (n, k)
        What the cheapest path costs that is at a candidate at a time, above the cheapest of all; infinite for no
        candidate.
    nowhere : (n,)
        The same of being nowhere.
    """
    path, through = np.empty(len(places), np.int32), np.empty(places.shape, np.float32)
    nowhere = np.empty(len(places), np.float32)
    if len(places):
        _cheapest(places, cost, alone, jump, np.float32(step), path, through, nowhere)
    return path, through, nowhere


@njit(cache=True, nogil=True)
def _steps(advance, step):
    """What it costs to go on by so many frames, 0 to FAR + 1."""
    if advance == 1:
        return np.float32(0)
    return step if advance < 2 else step * (np.float32(0.5) * advance)


@njit(cache=True, nogil=True)
def _cheapest(places, cost, alone, jump, step, path, through, nowhere):
    count, width = places.shape
    big = np.float32(np.inf)
    came = np.empty((count, width + 1), np.int16)  # the last column is nowhere
    before, now = np.full(width + 1, big, np.float32), np.empty(width + 1, np.float32)
    for i in range(count):
        best, which = np.float32(0), 0
        if i:
            which = before[:width].argmin()
            best = before[which]
        now[width] = min(before[width], best + jump[i] / 2) if i else np.float32(0)
        came[i, width] = width if not i or before[width] <= best + jump[i] / 2 else which
        start = 0
        for k in range(width):
            place = places[i, k]
            if place < 0:
                now[k], came[i, k] = big, 0
                continue
            if not i:
                now[k], came[i, k] = cost[i, k], 0
                continue
            value, source = best + jump[i], which
            if before[width] + jump[i] / 2 < value:
                value, source = before[width] + jump[i] / 2, width
            while start < width and places[i - 1, start] < place - FAR - 1:
                start += 1
            at = start
            while at < width and places[i - 1, at] <= place:
                if places[i - 1, at] >= 0:
                    other = before[at] + _steps(place - places[i - 1, at], step)
                    if other < value:
                        value, source = other, at
                at += 1
            now[k], came[i, k] = value + cost[i, k], source
        now[width] += alone[i]
        through[i] = now[:width]
        nowhere[i] = now[width]
        least = now.min()  # only differences matter, and small numbers stay exact
        for k in range(width + 1):
            before[k] = now[k] - least
        through[i] -= least
        nowhere[i] -= least
    at = before.argmin()
    for i in range(count - 1, -1, -1):
        path[i] = -1 if at == width else places[i, at]
        at = came[i, at]

    # And what the rest of the path costs from each candidate on.
    behind = np.zeros(width + 1, np.float32)
    earlier, weighed = np.empty(width + 1, np.float32), np.empty(width + 1, np.float32)
    for i in range(count - 1, -1, -1):
        total = nowhere[i] + behind[width]
        for k in range(width):
            through[i, k] += behind[k]
            total = min(total, through[i, k])
        through[i] -= total
        nowhere[i] += behind[width] - total
        if i == 0:
            break
        best = big
        for k in range(width):
            weighed[k] = big if places[i, k] < 0 else cost[i, k] + behind[k]
            best = min(best, weighed[k])
        weighed[width] = alone[i] + behind[width]
        earlier[width] = min(weighed[width], best + jump[i] / 2)
        end = 0
        for k in range(width):
            place = places[i - 1, k]
            if place < 0:
                earlier[k] = 0
                continue
            value = min(best + jump[i], weighed[width] + jump[i] / 2)
            while end < width and places[i, end] < place:
                end += 1
            at = end
            while at < width and places[i, at] <= place + FAR + 1:
                value = min(value, weighed[at] + _steps(places[i, at] - place, step))
                at += 1
            earlier[k] = value
        least = earlier.min()
        for k in range(width + 1):
            behind[k] = earlier[k] - least
