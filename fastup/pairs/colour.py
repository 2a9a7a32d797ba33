"""The colours of two masters: a map from those of HD to those of SD, fitted to what both show away from edges."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastup._colour import mapped_by_curves, mapped_by_matrix
from fastup._types import Floats, StrPath
from fastup.errors import DataError
from fastup.pairs import blocks

KNOTS = 33  # of a curve, evenly from black to white
FEWEST = 24  # blocks that a map needs

_ROOM = 8192  # blocks that are kept
_CELLS = 16  # steps a channel of the cells of colour of which each keeps as many blocks as the others
_FOLDS = 4  # of the colours, each of which is held out once
_COARSE = 6  # steps a channel of the colours that are held out together
_CODE = 5e-4  # half a code of 10 bits: the smallest error that counts
_SHARED = 1e-3  # share of white by which the blocks of a cell may all be off together: what their number does not mend
_GONE = 0.05  # an error beyond that is of another picture: a title
_BETTER = 0.85  # by how much less a matrix must be off where it was not fitted, to be taken instead of curves
# How far from 1 and 0, and how curved, colours are before anything is seen, as standard deviations.
_SLOPE, _BEND, _OFFSET = 0.1, 0.3, 0.1
_STRONG = 3.0  # a bend that is large
_ACROSS = 0.05  # of what a channel takes of another one
_MATCHED = "match.json"
_STEEP = 0.02, 50.0  # slopes of a curve
_ODD = 0.01  # share of white: a colour that is off by some of it is no noise, and may be what the map cannot
_FIRST, _TURNS = 10, 25  # of the fits: those by the least absolute deviations, and all
_END = 0.004  # share of white: what is nearer to black or white is clipped
_CLEAR = 0.1  # share of white: so far from black and white noise is whole
_SHRUNK = 2.0  # times more noise HD had when it was clipped, before it was made smaller
_SEEN = np.dtype([("hd", "f4", 3), ("sd", "f4", 3), ("doubt", "f4", 3), ("key", "f8")])


class Curve(NamedTuple):
    """Straight pieces between the points (x, y), both increasing; the first and the last go on beyond."""

    x: tuple[float, ...]
    y: tuple[float, ...]


@dataclass(frozen=True)
class Colour:
    """A map of colours, normalised: a curve for each channel, or a matrix with an offset. It always has an inverse.

    Raises ValueError unless it holds one of them, and that has an inverse.
    """

    curves: tuple[Curve, Curve, Curve] | None = None
    """Of red, green and blue."""
    matrix: tuple[tuple[float, ...], ...] | None = None
    """Three rows of four: what makes of the column (red, green, blue, 1) the new red, green and blue."""
    residual: float | None = None
    """How far off the map leaves areas away from edges, as a share of white, in the mean over colours."""
    seen: int = 0
    """To how many blocks it was fitted."""
    why: str = ""
    """Why it is the identity, where nothing could be fitted."""

    def __post_init__(self) -> None:
        if (self.curves is None) == (self.matrix is None):
            raise ValueError("expected curves or a matrix, one of them")
        if self.curves is not None:
            if len(self.curves) != 3:
                raise ValueError(f"{len(self.curves)} curves, expected 3")
            for curve in self.curves:
                x, y = (np.array(each, float) for each in curve)
                if x.shape != y.shape or x.ndim != 1 or len(x) < 2:
                    raise ValueError(f"a curve of {x.shape} and {y.shape} numbers, expected as many, two at least")
                if not all(np.isfinite(each).all() and (np.diff(each) > 0).all() for each in (x, y)):
                    raise ValueError("a curve does not increase")
        else:
            matrix = np.array(self.matrix, float)
            if matrix.shape != (3, 4) or not np.isfinite(matrix).all() or np.linalg.cond(matrix[:, :3]) > 1e3:
                raise ValueError("the matrix is not one of three rows of four numbers that has an inverse")

    @classmethod
    def identity(cls, why: str = "") -> "Colour":
        """The map that changes nothing."""
        line = Curve((0.0, 1.0), (0.0, 1.0))
        return cls(curves=(line, line, line), why=why)

    @property
    def kind(self) -> Literal["curves", "matrix"]:
        """What it is."""
        return "matrix" if self.curves is None else "curves"

    def apply(self, frame: Floats, out: Floats | None = None) -> Floats:
        """The frame, (height, width, 3), float32, normalised, in its new colours; not clipped.

        `out` is where to, a new array by default; it may be `frame` itself.
        """
        if self.matrix is not None:
            return mapped_by_matrix(frame, self.matrix, out)
        x, y = self.points
        return mapped_by_curves(frame, x, y, out)

    @cached_property
    def points(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """x and y of curves, (3, n) each; a shorter curve goes on, straight, beyond its end."""
        assert self.curves is not None
        n = max(len(curve.x) for curve in self.curves)
        x, y = np.empty((3, n)), np.empty((3, n))
        for row, curve in enumerate(self.curves):
            for to, points in ((x, curve.x), (y, curve.y)):
                beyond = np.arange(1, n - len(points) + 1)
                to[row] = np.concatenate([points, points[-1] + beyond * (points[-1] - points[-2])])
        return x, y

    def inverse(self) -> "Colour":
        """The map back."""
        if self.curves is not None:
            red, green, blue = (Curve(curve.y, curve.x) for curve in self.curves)
            return replace(self, curves=(red, green, blue))
        matrix = np.array(self.matrix)
        back = np.linalg.inv(matrix[:, :3])
        rows = np.column_stack([back, -back @ matrix[:, 3]])
        return replace(self, matrix=tuple(tuple(row) for row in rows.tolist()))

    @property
    def words(self) -> str:
        """What it does, in a few words."""
        if self.why:
            return f"as they are: {self.why}"
        greys = np.linspace(0.1, 0.9, 9, dtype=np.float32)
        moved = self.apply(np.repeat(greys, 3).reshape(1, -1, 3))[0] - greys[:, None]
        by = ", ".join(
            f"{name} {move:+.1%}" for name, move in zip(("red", "green", "blue"), moved.mean(0), strict=True)
        )
        what = "a curve a channel" if self.kind == "curves" else "a matrix"
        left = "" if self.residual is None else f"; leaves {self.residual:.2%} of white"
        return f"{what}; greys move by {by}{left}"

    def as_dict(self) -> dict[str, Any]:
        """What JSON takes, and `of` takes back."""
        how: dict[str, Any] = {}
        if self.curves is not None:
            how["curves"] = [{"x": list(curve.x), "y": list(curve.y)} for curve in self.curves]
        if self.matrix is not None:
            how["matrix"] = [list(row) for row in self.matrix]
        return {"kind": self.kind, **how, "residual": self.residual, "seen": self.seen, "why": self.why}

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> "Colour":
        """The map of what `as_dict` gave. Raises ValueError if it is none."""
        try:
            kind = given["kind"]
            rest = {name: given[name] for name in ("residual", "seen", "why")}
            if kind == "matrix":
                return cls(matrix=tuple(tuple(map(float, row)) for row in given["matrix"]), **rest)
            if kind == "curves":
                red, green, blue = (Curve(*(tuple(map(float, each[xy])) for xy in "xy")) for each in given["curves"])
                return cls(curves=(red, green, blue), **rest)
        except (KeyError, TypeError, IndexError) as error:
            raise ValueError(f"not a map of colours: {error!r}") from None
        raise ValueError(f"the kind of a map of colours is {kind!r}, expected curves or matrix")


class Gather:
    """What both masters show away from edges, of several frames of a shot, or of a film: blocks of 4 x 4 SD pixels.

    It keeps no more than 8192 blocks, however many frames there are: of each colour as many as of any other, where it
    has so many, chosen by chance.
    """

    def __init__(self, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._kept = np.empty(0, _SEEN)

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, sd: Floats, hd: Floats) -> None:
        """Add what two pictures show: (height, width, 3), float32, normalised, both as large and in the same place."""
        if sd.shape != hd.shape or sd.ndim != 3 or sd.shape[2] != 3:
            raise ValueError(f"pictures are {sd.shape} and {hd.shape}, expected the same (height, width, 3)")
        if not blocks.are_enough(sd.shape):
            return
        flat = blocks.flat(sd) & blocks.flat(hd)
        seen = np.zeros(int(flat.sum()), _SEEN)
        seen["key"] = self._random.random(len(seen))
        for name, picture, shrunk in (("sd", sd, 1), ("hd", hd, _SHRUNK)):
            seen[name], doubt = _unclipped(blocks.means(picture)[flat], blocks.variances(picture)[flat], shrunk)
            seen["doubt"] = np.maximum(seen["doubt"], doubt)
        self._keep(seen)

    def merge(self, other: "Gather") -> None:
        """Add what another one has gathered."""
        self._keep(other._kept)

    def _keep(self, more):
        """Take more blocks, and let go of those that are too many."""
        seen = np.concatenate([self._kept, more])
        cell = _cell_of(seen["hd"], _CELLS)
        order = np.lexsort((seen["key"], cell))
        _, first, number = np.unique(cell[order], return_index=True, return_inverse=True)
        rank = np.arange(len(order)) - first[number]  # in its cell
        most = _ROOM
        while most > 1 and np.count_nonzero(rank < most) > _ROOM:
            most -= -(-most // 8)
        self._kept = seen[order[rank < most][:_ROOM]]

    def off(self, colour: Colour) -> float:
        """How far a map leaves what was gathered off, as a share of white, in the mean over colours; 0 where nothing
        was."""
        if not len(self):
            return 0.0
        seen = _Seen.of(self._kept)
        return seen.off(colour.apply(np.ascontiguousarray(self._kept["hd"])[None])[0].clip(0, 1) - seen.sd)

    def fit(self) -> Colour:
        """The map from HD's colours to SD's: curves or a matrix, whichever is nearer on colours that were held out.

        Both are fitted by least squares that forget outliers (Tukey's biweight). Where no colours are, a curve is
        drawn to a straight line, a matrix to a gain for each channel. With too few blocks it is the identity, and says
        why.
        """
        if len(self) < FEWEST:
            return Colour.identity(f"too few areas away from edges: {len(self)} blocks, expected {FEWEST}")
        seen = _Seen.of(self._kept)
        coarse = np.unique(_cell_of(seen.hd, _COARSE), return_inverse=True)[1]
        fold = np.random.default_rng(0).permutation(coarse.max() + 1)[coarse] % _FOLDS
        off = {fitted: seen.off(_held_out(fitted, seen, fold)) for fitted in (_curves, _matrix)}
        is_matrix = off[_matrix] < min(_BETTER * off[_curves], off[_curves] - _CODE)
        found = (_matrix if is_matrix else _curves)(seen)
        return replace(found.colour(), residual=seen.off(found(seen.hd).clip(0, 1) - seen.sd), seen=len(self))


def recipe(folder: StrPath) -> Colour | None:
    """By which map the inputs of a set, or of a part of it, got the colours of their targets; None if they did not.

    ``match.json``, in the folder or the one above, says so: ``to`` is "hd", and ``colour`` is the map. DataError if it
    is damaged.
    """
    folder = Path(folder)
    path = next((path for path in (folder / _MATCHED, folder.parent / _MATCHED) if path.exists()), None)
    if path is None:
        return None
    try:
        found = json.loads(path.read_text())
        return Colour.of(found["colour"]) if found["to"] == "hd" else None
    except (ValueError, TypeError, KeyError) as error:
        raise DataError(f"{path}: not what `fastup match` writes: {error!r}; match again") from None


def has_recipe_done(path: StrPath) -> bool:
    """Whether frames are inputs of a set that have the colours of their targets: below the Alpha of one of `recipe`."""
    path = Path(path).absolute()
    return any(each.name == "Alpha" and recipe(each.parent) is not None for each in (path, *path.parents))


# -- fits ------------------------------------------------------------------------------------------------------------


def _cell_of(colours, steps):
    """The number of the cell of colour that each is in."""
    at = np.clip((colours * steps).astype(int), 0, steps - 1)
    return (at[:, 0] * steps + at[:, 1]) * steps + at[:, 2]


def _unclipped(levels, variances, shrunk):
    """Levels as they are without the clipping of noise at black and white, and how far off they may still be.

    It moves a mean by about noise * exp(-2.3 * mean / noise): to a tenth of that, where the true level is not beyond.
    Noise is what it is elsewhere, where it is whole, and `shrunk` times more when it was clipped.
    """
    clear = np.minimum(levels, 1 - levels) > _CLEAR
    usual = np.median(variances[clear] if clear.any() else variances) if variances.size else 0.0
    noise = max(shrunk * float(np.sqrt(usual)), _CODE)
    moved = [noise * np.exp(-2.3 * room / noise) for room in (levels, 1 - levels)]
    return np.clip(levels - moved[0] + moved[1], 0, 1), np.maximum(*moved) / 2


def _held_out(fitted, seen, fold):
    """What is left of each block where its fold, and so its colour, was held out of the fit."""
    left = np.empty(seen.hd.shape)
    for number in np.unique(fold):
        out = fold == number
        left[out] = fitted(seen.rows(~out))(seen.hd[out]).clip(0, 1) - seen.sd[out]
    return left


class _Seen(NamedTuple):
    """Blocks: their colours in both, how far off each may be by clipping, their cells of colour, and their trust."""

    hd: Any
    sd: Any
    doubt: Any
    cell: Any
    trust: Any

    @classmethod
    def of(cls, kept):
        """Blocks that were gathered; those unlike the others of their cell, such as of a title, are not trusted."""
        cell = np.unique(_cell_of(kept["hd"], _CELLS), return_inverse=True)[1]
        hd, sd, doubt = (kept[name].astype(float) for name in ("hd", "sd", "doubt"))
        trust = np.ones(len(hd))
        for change in (sd - hd).T:
            away = np.abs(change - _median_of(change, cell)[cell])
            usual = 1.4826 * np.maximum(_median_of(away, cell)[cell], np.median(away)) + _CODE
            trust *= _biweight(away / usual)
        return cls(hd, sd, doubt, cell, trust)

    def rows(self, which):
        return _Seen(*(each[which] for each in self))

    def off(self, left):
        """What is left of each colour, in the mean over them: of a colour the median, as noise is not its own."""
        total = weights = 0.0
        for k in range(3):
            doubt = self.doubt[:, k]
            sure = (self.trust > 0) & (doubt <= max(_SHARED, float(np.median(doubt))))
            _, cell, count = np.unique(self.cell[sure], return_inverse=True, return_counts=True)
            weight = count / (count + 8)  # few say little
            total += weight @ np.minimum(np.abs(_median_of(left[sure, k], cell)), _GONE)
            weights += weight.sum()
        return float(total / weights) if weights else 0.0

    def weights(self, k, error, turn):
        """What each block counts, by its error so far: first by the least absolute deviations, then by the biweight.

        What is black or white on SD counts where a map gives less than white or more than black alone: it is clipped.
        """
        y, doubt = self.sd[:, k], self.doubt[:, k]
        beyond = (y <= _END) & (error < 0) | (y >= 1 - _END) & (error > 0)
        error = np.where(beyond, 0, np.abs(error))
        noise = max(1.4826 * float(np.median(error[self.trust > 0])), _CODE)
        least = noise / np.maximum(error, noise)
        trust = least if turn < _FIRST else least * _biweight(error / np.sqrt(noise**2 + doubt**2 + _ODD**2))
        together = np.bincount(self.cell)[self.cell]
        return self.trust * np.where(beyond, 0, trust) / (noise**2 + together * (_SHARED**2 + doubt**2))


def _biweight(error):
    """Tukey's biweight of errors in units of their usual deviation: 95 % as sharp as the mean, of plain noise."""
    return np.maximum(1 - (error / 4.685) ** 2, 0) ** 2


def _median_of(values, cell):
    """The median of the values in each cell, which have numbers from 0."""
    values = values[np.lexsort((values, cell))]
    count = np.bincount(cell)
    first = np.cumsum(count) - count
    return (values[first + (count - 1) // 2] + values[first + count // 2]) / 2


class _Curves(NamedTuple):
    y: list[Any]

    def __call__(self, hd):
        return np.stack([_through(hd[:, k], self.y[k]) for k in range(3)], 1)

    def colour(self):
        x = tuple(np.linspace(0, 1, KNOTS).tolist())
        red, green, blue = (Curve(x, tuple(y.round(7).tolist())) for y in self.y)
        return Colour(curves=(red, green, blue))


def _through(x, y):
    """x through a curve with its knots evenly from 0 to 1."""
    at = np.clip((x * (KNOTS - 1)).astype(int), 0, KNOTS - 2)
    return y[at] + (y[at + 1] - y[at]) * (x * (KNOTS - 1) - at)


def _curves(seen):
    return _Curves([_curve(seen, k) for k in range(3)])


def _curve(seen, k):
    """The knots' y: penalised least squares of straight pieces, bent as little as the blocks allow."""
    n, step = KNOTS, 1 / (KNOTS - 1)
    slopes = np.diff(np.eye(n), axis=0) / step
    bends = np.diff(slopes, axis=0) / step
    # How far the whole is from the identity in slope and level; and the integral of the squared bend, of few large ones
    # less (Cauchy's), as where a curve of gamma or of log is steep.
    slope, middle = slopes.mean(0), np.full(n, 1 / n)
    whole = np.outer(slope, slope) / _SLOPE**2 + np.outer(middle, middle) / _OFFSET**2
    level = np.linspace(0, 1, n)
    wanted = whole @ level
    x, y = seen.hd[:, k], seen.sd[:, k]
    at = np.clip((x / step).astype(int), 0, n - 2)
    part = x / step - at
    for turn in range(_TURNS):
        weight = seen.weights(k, _through(x, level) - y, turn)
        right = np.bincount(at, weight * (1 - part) * y, n) + np.bincount(at + 1, weight * part * y, n)
        diagonal = np.bincount(at, weight * (1 - part) ** 2, n) + np.bincount(at + 1, weight * part**2, n)
        beside = np.bincount(at, weight * part * (1 - part), n)[:-1]
        usual = step / (_BEND**2 * (1 + (bends @ level / _STRONG) ** 2))
        prior = whole + (bends.T * usual) @ bends
        level = np.linalg.solve(prior + np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1), wanted + right)
    rises = np.clip(np.diff(level), _STEEP[0] * step, _STEEP[1] * step)
    return level[n // 2] + np.concatenate([[0], np.cumsum(rises)]) - rises[: n // 2].sum()


class _Matrix(NamedTuple):
    matrix: Any

    def __call__(self, hd):
        return hd @ self.matrix[:, :3].T + self.matrix[:, 3]

    def colour(self):
        return Colour(matrix=tuple(tuple(row) for row in self.matrix.round(7).tolist()))


def _matrix(seen):
    """Three rows, each by least squares with a prior: a gain for its own channel, and little of the others."""
    return _Matrix(np.stack([_row(seen, k) for k in range(3)]))


def _row(seen, k):
    x, y = np.column_stack([seen.hd, np.ones(len(seen.hd))]), seen.sd[:, k]
    spread = np.full(4, _ACROSS)
    spread[k], spread[3] = _SLOPE, _OFFSET
    prior = np.diag(1 / spread**2)
    row = np.eye(4)[k]
    wanted = prior @ row
    for turn in range(_TURNS):
        weight = seen.weights(k, np.einsum("ij,j", x, row) - y, turn)  # no BLAS, which has threads for such products
        row = np.linalg.solve(prior + (x * weight[:, None]).T @ x, wanted + np.einsum("ij,i", x, weight * y))
    return row
