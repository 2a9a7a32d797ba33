"""Numba kernels for the signatures of frames: luma on a small grid, how it changes, its gradients, how alike they are.

A grid of levels is `ROWS` x `COLUMNS` means of luma, 65535 for white, whatever the size of the picture.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from fastup._tiles import memory_of
from fastup._types import Codes, Floats, Frame

ROWS, COLUMNS = 36, 48
FULL = 65535  # the level of white
REACH = 2  # gradients are taken over as many cells, so that nothing is known of this many at each edge
INNER = (ROWS - 2 * REACH, COLUMNS - 2 * REACH)
WIDTH = 2 * INNER[0] * INNER[1]  # of a description, int8


def levels(picture: Frame, white: int | None, out: Codes | None = None) -> Codes:
    """Mean luma, (R + 2 G + B) / 4, of a picture in each cell of the grid: (36, 48), 65535 for white.

    `picture` is (H, W, C) of uint8, uint16 or float32, rows may be strided; of 1 or 2 channels the first is luma, of 3
    or 4 the first three are R, G and B. Codes are divided by `white`, floats (None) by nothing. Pixels on the bound of
    two cells count in both, by their share. What is below 0 or no number becomes 0, what is above white 65535.
    """
    height, width, channels = picture.shape
    memory, pitch = memory_of(picture)
    out = np.empty((ROWS, COLUMNS), np.uint16) if out is None else out
    scale = FULL * ROWS * COLUMNS / (height * width * (white or 1))
    _levels(memory, pitch, height, width, channels, scale, out)
    return out


@njit(cache=True, nogil=True)
def _levels(memory, pitch, height, width, channels, scale, out):
    line = np.empty(width * channels, np.float32)
    for row in range(ROWS):
        line[:] = 0
        low, high = row * height / ROWS, (row + 1) * height / ROWS
        for y in range(int(low), min(int(np.ceil(high)), height)):
            share = np.float32(min(y + 1.0, high) - max(float(y), low))
            source = memory[y * pitch : y * pitch + width * channels]
            for x in range(width * channels):
                line[x] += share * np.float32(source[x])
        for column in range(COLUMNS):
            left, right = column * width / COLUMNS, (column + 1) * width / COLUMNS
            total = 0.0
            for x in range(int(left), min(int(np.ceil(right)), width)):
                if channels < 3:
                    luma = float(line[x * channels])
                else:
                    at = x * channels
                    luma = 0.25 * line[at] + 0.5 * line[at + 1] + 0.25 * line[at + 2]
                total += (min(x + 1.0, right) - max(float(x), left)) * luma
            level = total * scale
            out[row, column] = np.uint16(min(level + 0.5, 65535.0)) if level > 0 else np.uint16(0)


def describe(grids: Codes, noise: float = 40.0) -> NDArray[np.int8]:
    """What is told of pictures whatever their colours: (n, 36, 48) levels to (n, WIDTH) int8.

    Levels blurred by 1 2 1 both ways, their differences over two cells down and across, each divided by the root mean
    square of all differences within three cells of it, so that gain and curves leave them as they are; `noise`, in
    levels, is added to that (as variance), so that flats say nothing. Scaled so that 32 is that root mean square.
    """
    out = np.empty((len(grids), WIDTH), np.int8)
    _describe(grids, np.float32(noise), out)
    return out


@njit(cache=True, nogil=True)
def _describe(grids, noise, out):
    rows, columns = INNER
    smooth = np.empty((ROWS, COLUMNS), np.float32)
    line = np.empty((ROWS, COLUMNS), np.float32)
    down, across = np.empty(INNER, np.float32), np.empty(INNER, np.float32)
    sums = np.zeros((rows + 1, columns + 1), np.float64)
    for n in range(len(grids)):
        grid = grids[n]
        for y in range(ROWS):
            for x in range(COLUMNS):
                a, b = grid[y, max(x - 1, 0)], grid[y, min(x + 1, COLUMNS - 1)]
                line[y, x] = np.float32(a) + np.float32(2) * np.float32(grid[y, x]) + np.float32(b)
        for y in range(ROWS):
            up, below = max(y - 1, 0), min(y + 1, ROWS - 1)
            for x in range(COLUMNS):
                smooth[y, x] = (line[up, x] + np.float32(2) * line[y, x] + line[below, x]) / np.float32(16)
        for y in range(rows):
            total = 0.0
            for x in range(columns):
                v = smooth[y + REACH + 1, x + REACH] - smooth[y + REACH - 1, x + REACH]
                h = smooth[y + REACH, x + REACH + 1] - smooth[y + REACH, x + REACH - 1]
                down[y, x], across[y, x] = v, h
                total += float(v) * v + float(h) * h
                sums[y + 1, x + 1] = sums[y, x + 1] + total
        for y in range(rows):
            top, bottom = max(y - 3, 0), min(y + 4, rows)
            for x in range(columns):
                left, right = max(x - 3, 0), min(x + 4, columns)
                energy = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left]
                energy = max(energy, 0.0) / (2 * (bottom - top) * (right - left))
                scale = np.float32(32 / np.sqrt(energy + noise * noise))
                at = 2 * (y * columns + x)
                out[n, at] = np.int8(np.rint(min(max(down[y, x] * scale, np.float32(-127)), np.float32(127))))
                out[n, at + 1] = np.int8(np.rint(min(max(across[y, x] * scale, np.float32(-127)), np.float32(127))))


def likeness(one: NDArray[np.int8], other: NDArray[np.int8], pairs: NDArray[np.int32]) -> Floats:
    """How alike what `describe` gave is: -1 to 1, where 1 is the same and 0 has nothing in common.

    `one` is (n, WIDTH), `other` (m, WIDTH), `pairs` (n, k): the rows of `other` that each of `one` is held against; -1
    gives -1. It is their correlation about 0; a twentieth of the energy of a full description is added below, so that
    pictures without anything in them are like none.
    """
    out = np.empty(pairs.shape, np.float32)
    _likeness(one, other, pairs, out)
    return out


@njit(cache=True, nogil=True)
def _energy(row):
    total = np.int32(0)
    for i in range(row.size):
        total += np.int32(row[i]) * np.int32(row[i])
    return total


@njit(cache=True, nogil=True)
def _product(one, other):
    total = np.int32(0)
    for i in range(one.size):
        total += np.int32(one[i]) * np.int32(other[i])
    return total


@njit(cache=True, nogil=True)
def _likeness(one, other, pairs, out):
    least = one.shape[1] * 1024 // 20
    for i in range(pairs.shape[0]):
        own = _energy(one[i]) + least
        for k in range(pairs.shape[1]):
            if pairs[i, k] < 0:
                out[i, k] = -1
            else:
                row = other[pairs[i, k]]
                out[i, k] = _product(one[i], row) / np.sqrt(float(own) * float(_energy(row) + least))


def changes(grids: Codes) -> Floats:
    """How each grid of levels differs from the one before it: (n, 4) of (n, 36, 48); zeros of the first.

    What a shift by a part of a cell, and a gain and an offset, explain of the difference is taken off: weave and
    flicker. The rest is meant over blocks of 2 x 2 cells, without its sign. The four are, in levels, the mean of the
    largest three blocks, for a mouth is small; the median block, which is noise wherever most of the picture is still;
    and in cells the shift down and across.
    """
    out = np.zeros((len(grids), 4), np.float32)
    _changes(grids, out)
    return out


@njit(cache=True, nogil=True)
def _solve(matrix, right, out):
    """Elimination for a matrix that is symmetric and positive, so that nothing is to be swapped; both are used up."""
    size = right.size
    for k in range(size):
        for j in range(k + 1, size):
            share = matrix[j, k] / matrix[k, k]
            for i in range(k, size):
                matrix[j, i] -= share * matrix[k, i]
            right[j] -= share * right[k]
    for k in range(size - 1, -1, -1):
        total = right[k]
        for i in range(k + 1, size):
            total -= matrix[k, i] * out[i]
        out[k] = total / matrix[k, k]


@njit(cache=True, nogil=True)
def _changes(grids, out):
    rows, columns = ROWS - 2, COLUMNS - 2
    rest = np.empty((rows, columns))
    basis = np.empty((4, rows, columns))
    blocks = np.empty((rows // 2) * (columns // 2))
    matrix, right = np.empty((4, 4)), np.empty(4)
    for n in range(1, len(grids)):
        a, b = grids[n - 1], grids[n]
        for y in range(rows):
            for x in range(columns):
                basis[0, y, x] = 1
                basis[1, y, x] = (float(a[y + 1, x + 1]) + float(b[y + 1, x + 1])) / 2 / 65535
                basis[2, y, x] = (float(a[y + 2, x + 1]) + b[y + 2, x + 1] - a[y, x + 1] - b[y, x + 1]) / 4 / 65535
                basis[3, y, x] = (float(a[y + 1, x + 2]) + b[y + 1, x + 2] - a[y + 1, x] - b[y + 1, x]) / 4 / 65535
                rest[y, x] = float(b[y + 1, x + 1]) - float(a[y + 1, x + 1])
        solution = np.zeros(4)
        for _ in range(3):  # what moves counts less each time: least squares that forget
            matrix[:], right[:] = 0, 0
            fitted = rest.copy()
            for k in range(4):
                fitted -= solution[k] * basis[k]
            size = np.median(np.abs(fitted)) * 2 + 1
            for y in range(rows):
                for x in range(columns):
                    r = fitted[y, x] / size
                    weight = 1 / (1 + r * r) ** 2
                    for k in range(4):
                        right[k] += weight * basis[k, y, x] * rest[y, x]
                        for j in range(4):
                            matrix[k, j] += weight * basis[k, y, x] * basis[j, y, x]
            for k in range(4):
                matrix[k, k] += 1e-3
            _solve(matrix, right, solution)
        for k in range(4):
            rest -= solution[k] * basis[k]
        count = 0
        for y in range(0, rows - 1, 2):
            for x in range(0, columns - 1, 2):
                total = rest[y, x] + rest[y, x + 1] + rest[y + 1, x] + rest[y + 1, x + 1]
                blocks[count] = abs(total) / 4
                count += 1
        blocks.sort()
        out[n, 0] = (blocks[-1] + blocks[-2] + blocks[-3]) / 3
        out[n, 1] = np.median(blocks)
        out[n, 2], out[n, 3] = -solution[2] / 65535, -solution[3] / 65535


def warp(grids: Codes, matrices: Floats) -> Codes:
    """Grids as they are where other ones have their cells: (n, 36, 48), bilinear, edges repeated.

    `matrices` is (n, 2, 3): (down, across, 1) of a cell of the result, from the middle of the grid, in cells, to that
    of where it is looked up.
    """
    out = np.empty((len(grids), ROWS, COLUMNS), np.uint16)
    _warp(grids, np.ascontiguousarray(matrices, np.float32), out)
    return out


@njit(cache=True, nogil=True)
def _warp(grids, matrices, out):
    for n in range(len(grids)):
        m = matrices[n]
        for row in range(ROWS):
            for column in range(COLUMNS):
                v, h = row - (ROWS - 1) / 2, column - (COLUMNS - 1) / 2
                y = min(max(m[0, 0] * v + m[0, 1] * h + m[0, 2] + (ROWS - 1) / 2, 0.0), ROWS - 1.001)
                x = min(max(m[1, 0] * v + m[1, 1] * h + m[1, 2] + (COLUMNS - 1) / 2, 0.0), COLUMNS - 1.001)
                j, i = int(y), int(x)
                y, x = y - j, x - i
                above = grids[n, j, i] * (1 - x) + grids[n, j, i + 1] * x
                below = grids[n, j + 1, i] * (1 - x) + grids[n, j + 1, i + 1] * x
                out[n, row, column] = np.uint16(above * (1 - y) + below * y + 0.5)
