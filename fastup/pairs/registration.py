"""How the grids of SD lie on those of HD: an affine map for both films, and a shift for each frame."""

import numpy as np
from numpy.typing import NDArray

from fastup import _signatures
from fastup._types import Codes, Floats

MOST = 400  # pairs that the map is learned from
_Y, _X = np.mgrid[: _signatures.INNER[0], : _signatures.INNER[1]].astype(np.float32)
_Y, _X = _Y - (_signatures.INNER[0] - 1) / 2, _X - (_signatures.INNER[1] - 1) / 2
STILL = np.array([[1, 0, 0], [0, 1, 0]], np.float32)


def common(sd: Codes, hd: Codes, turns: int = 6) -> Floats:
    """The one map, as of `fastup._signatures.warp`, that lays the grids of SD on those of HD; both are (n, 36, 48).

    Least squares by Gauss and Newton on what `describe` gives of them, without the pairs that fit worse than most.
    """
    matrix = STILL.copy()
    target = _fields(hd)
    for _ in range(turns):
        moved = _fields(_signatures.warp(sd, np.broadcast_to(matrix, (len(sd), 2, 3))))
        left = target - moved
        fits = (left**2).mean((1, 2, 3))
        fits = fits <= np.median(fits) * 1.5
        down, across = (np.gradient(moved[fits], axis=axis) for axis in (1, 2))
        basis = [slope * part[..., None] for slope in (down, across) for part in (_Y, _X, np.ones_like(_Y))]
        square = np.array([[np.vdot(a, b) for a in basis] for b in basis])
        right = np.array([np.vdot(a, left[fits]) for a in basis])
        solution = np.linalg.solve(square + 1e-3 * np.diag(np.diag(square)) + np.eye(6), right)
        matrix += solution.reshape(2, 3).astype(np.float32)
    return matrix


def shifts(sd: Codes, hd: Codes, matrix: Floats) -> Floats:
    """(n, 2): by how much more than `matrix` has it each grid of SD is shifted against that of HD, in cells."""
    moved = _fields(_signatures.warp(sd, np.broadcast_to(matrix, (len(sd), 2, 3))))
    left = _fields(hd) - moved
    down, across = (np.gradient(moved, axis=axis).reshape(len(sd), -1) for axis in (1, 2))
    left = left.reshape(len(sd), -1)
    a, b, c = ((p * q).sum(1) for p, q in ((down, down), (down, across), (across, across)))
    v, h = (down * left).sum(1), (across * left).sum(1)
    a, c = a * 1.01 + 1e3, c * 1.01 + 1e3
    return np.stack([c * v - b * h, a * h - b * v], 1) / (a * c - b * b)[:, None]


def _fields(grids: Codes) -> NDArray[np.float32]:
    return _signatures.describe(np.ascontiguousarray(grids)).reshape(-1, *_signatures.INNER, 2).astype(np.float32)
