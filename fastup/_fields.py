"""Numba kernels for interlaced video: how the fields of neighbouring frames fit together, and the cheapest path."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fastup._types import Floats

BLOCK = 16  # columns, and rows of the frame, of a block; a field has half as many rows

# What `compare` measures of a frame and the one before it.
WITHIN, TOP_LATER, BOTTOM_LATER = range(3)  # weaves: both of the frame; its top or bottom, the other of the one before


def compare(frame: NDArray[Any], before: NDArray[Any]) -> tuple[Floats, Floats, Floats]:
    """How the fields of a frame and of the one before it fit together, block by block.

    Both are (H, W), codes as uint8 or uint16, the fields interlaced, at least 16 x 16. Rows and columns beyond the last
    whole block are left out.

    Returns
    -------
    comb : (3, H // 16, W // 16)
        Of the three ways to weave fields that are neighbours in time, in codes: the standard deviation in the block of
        a - 3b + 4c - 3d + e down the lines, c in the bottom field. A level that alternates all over the block, as in a
        fade, counts nothing.
    apart : (2, H // 16, W // 16)
        Of the top and of the bottom field: standard deviation of the difference to the same field of the frame before.
    shift : (2, H // 16, W // 16)
        Of the same differences, the mean, without its sign.
    """
    rows, columns = frame.shape[0] // BLOCK, frame.shape[1] // BLOCK
    result = np.empty((7, rows, columns), np.float32)
    _compare(np.ascontiguousarray(frame), np.ascontiguousarray(before), result)
    return result[:3], result[3:5], result[5:]


@njit(cache=True, nogil=True)
def _compare(frame, before, result):
    height, width = frame.shape[0] // 2, result.shape[2] * BLOCK
    sums = np.empty((10, width), np.float32)  # by column, so that the loop along a line has no sum to wait for
    three, four = np.float32(3), np.float32(4)
    lines = BLOCK // 2
    for row in range(result.shape[1]):
        sums[:] = 0
        for y in range(row * lines, (row + 1) * lines):
            up, down = max(y - 1, 0), min(y + 1, height - 1)
            t0, t1, p0, p1 = frame[2 * y], frame[2 * down], before[2 * y], before[2 * down]
            b0, b1, b2 = frame[2 * up + 1], frame[2 * y + 1], frame[2 * down + 1]
            q0, q1, q2 = before[2 * up + 1], before[2 * y + 1], before[2 * down + 1]
            for x in range(width):
                top = three * (np.float32(t0[x]) + np.float32(t1[x]))
                top_before = three * (np.float32(p0[x]) + np.float32(p1[x]))
                bottom = np.float32(b0[x]) + np.float32(b2[x]) + four * np.float32(b1[x])
                bottom_before = np.float32(q0[x]) + np.float32(q2[x]) + four * np.float32(q1[x])
                a = bottom - top
                sums[0, x] += a
                sums[1, x] += a * a
                a = bottom_before - top
                sums[2, x] += a
                sums[3, x] += a * a
                a = bottom - top_before
                sums[4, x] += a
                sums[5, x] += a * a
                a = np.float32(t0[x]) - np.float32(p0[x])
                sums[6, x] += a
                sums[7, x] += a * a
                a = np.float32(b1[x]) - np.float32(q1[x])
                sums[8, x] += a
                sums[9, x] += a * a
        for column in range(result.shape[2]):
            for k in range(5):
                total = squares = 0.0
                for x in range(column * BLOCK, (column + 1) * BLOCK):
                    total += sums[2 * k, x]
                    squares += sums[2 * k + 1, x]
                mean = total / (BLOCK * lines)
                result[k, row, column] = np.sqrt(max(squares / (BLOCK * lines) - mean * mean, 0.0))
                if k > 2:
                    result[k + 2, row, column] = abs(mean)


def luma(frame: NDArray[Any]) -> NDArray[Any]:
    """(R + 2 G + B) / 4 of the codes of a frame (H, W, 3 or 4), rounded, of their type: enough to see what moves."""
    result = np.empty(frame.shape[:2], frame.dtype)
    _luma(frame, result)
    return result


@njit(cache=True, nogil=True)
def _luma(frame, result):
    for y in range(frame.shape[0]):
        for x in range(frame.shape[1]):
            total = np.uint32(frame[y, x, 0]) + 2 * np.uint32(frame[y, x, 1]) + np.uint32(frame[y, x, 2])
            result[y, x] = (total + 2) // 4


def cheapest(
    cost: Floats, jump: Floats, follower: NDArray[np.int8], kind: NDArray[np.int8], entries: NDArray[np.int8],
    switch: float,
) -> tuple[NDArray[np.int8], Floats, float]:  # fmt: skip
    """The cheapest path through a machine that mostly goes its way and sometimes jumps.

    Parameters
    ----------
    cost : (n, states)
        Of being in a state at a time.
    jump : (n,)
        Of a jump to that time from whatever state, instead of going from a state to its follower.
    follower, kind : (states,)
        What comes after a state; and which of several machines it is a state of.
    entries
        The states that a jump, and the beginning, may go to.
    switch
        What a jump from one machine to another costs besides.

    Returns
    -------
    path : (n,)
    through : (n, states)
        What the cheapest path costs that is in a state at a time, above the cheapest of all: max-marginals, negated.
    total
    """
    path = np.empty(len(cost), np.int8)
    through = np.empty(cost.shape, np.float32)
    total = _cheapest(cost, jump, follower, kind, entries, np.float64(switch), path, through)
    return path, through, total


@njit(cache=True, nogil=True)
def _cheapest(cost, jump, follower, kind, entries, switch, path, through):
    count, states = cost.shape
    kinds = kind.max() + 1
    ahead = np.full((count, states), np.inf)
    came = np.full((count, states), -1, np.int8)
    best, which = np.empty(kinds), np.empty(kinds, np.int8)
    for s in entries:
        ahead[0, s] = cost[0, s]
    for i in range(1, count):
        best[:] = np.inf
        for s in range(states):
            if ahead[i - 1, s] < best[kind[s]]:
                best[kind[s]], which[kind[s]] = ahead[i - 1, s], s
            if ahead[i - 1, s] < ahead[i, follower[s]]:
                ahead[i, follower[s]], came[i, follower[s]] = ahead[i - 1, s], s
        for s in entries:
            for k in range(kinds):
                value = best[k] + jump[i] + (switch if k != kind[s] else 0.0)
                if value < ahead[i, s]:
                    ahead[i, s], came[i, s] = value, which[k]
        for s in range(states):
            ahead[i, s] += cost[i, s]
    total = ahead[-1].min()
    path[-1] = ahead[-1].argmin()
    for i in range(count - 1, 0, -1):
        path[i - 1] = came[i, path[i]]

    behind = np.zeros(states)  # what the rest of the path costs
    earlier = np.empty(states)
    for i in range(count - 1, -1, -1):
        for s in range(states):
            through[i, s] = ahead[i, s] + behind[s] - total
        if i == 0:
            break
        best[:] = np.inf
        for s in entries:
            value = cost[i, s] + behind[s]
            for k in range(kinds):
                best[k] = min(best[k], value + jump[i] + (switch if k != kind[s] else 0.0))
        for s in range(states):
            earlier[s] = min(cost[i, follower[s]] + behind[follower[s]], best[kind[s]])
        behind[:] = earlier
    return total
