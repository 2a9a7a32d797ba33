"""Inputs made of targets as a batch is trained on: `fastup.footage.degrade` once more, on the device."""

from functools import lru_cache
from math import ceil
from typing import Any, Literal, NamedTuple

import numpy as np
from keras import ops
from numpy.typing import NDArray

from fastup._resample import CODES, gaussian_weights, resampling
from fastup._scales import Scale, cell_of
from fastup._types import Floats, Size
from fastup.codes import LUMA_601
from fastup.footage.recipe import TAPE, Recipe
from fastup.networks import float32
from fastup.pairs.geometry import pair_of

_DRAWN = 1 << 22  # numbers of deviation 1, 16 MB, of which tiles have runs: to draw all anew takes 2 % of a step
_NARROW = 1e-3  # deviation of a Gaussian that does nothing: its weights are 1 and 0


class Drawn(NamedTuple):
    """What chance decides for the tiles of a batch."""

    strengths: Floats  # (n, 4), by the names of `TAPE`
    noise: Floats  # (n, columns, rows, 3) of deviation 1, before it is blurred along the lines; no columns without


class Degraded:
    """Makes input tiles of windows of the target picture.

    A window is a target tile with its border and as much more on each side as the steps of the recipe reach, whole
    cells, so that the tile is in its middle. What comes of it is what the same tile of the whole picture, degraded and
    written with `white`, would be, to float32's rounding before codes are rounded; at the picture's rim, too. The noise
    is of the same kind, correlated along the lines.

    Parameters
    ----------
    recipe, scale
        Of the inputs.
    tile, border
        As `Config` has them, target pixels, along both axes or each.
    white
        Of the inputs: what they are rounded to.
    fill
        What lies outside the picture of an input: its nearest pixel, or this code.
    square
        Whether windows are square, as they are where rows may become columns.
    """

    def __init__(
        self, recipe: Recipe, scale: Scale, tile: int | Size, border: int | Size, *, white: int,
        fill: Literal["edge"] | int = "edge", square: bool = False,
    ) -> None:  # fmt: skip
        self.recipe, self.white, self.fill = recipe, white, fill
        self.cell, self.cell_target = cell_of(scale)
        most = {name: of.high for name, of in recipe.tape.items()}
        # How far each step reaches along the lines, in input pixels. What a step gives is as much narrower.
        self.soft, self.colour = (ceil(4 * most[name]) for name in ("softness", "chroma"))
        self.peak = gaussian_weights(1.0)[0] if most["peaking"] else 0
        tile, border = pair_of(tile), pair_of(border)
        self.tile = tuple(int((t + 2 * b) / s) for t, b, s in zip(tile, border, scale, strict=True))  # input pixels
        sides = 0, self.soft + self.peak + self.colour
        cells = [_context(recipe.filter, *of) for of in zip(scale, self.tile, sides, strict=True)]
        if square:
            cells = [max(cells)] * 2
        context = [p * n for p, n in zip(self.cell_target, cells, strict=True)]
        self.margin = border[0] + context[0], border[1] + context[1]  # target pixels around the tile
        self.window = tile[0] + 2 * self.margin[0], tile[1] + 2 * self.margin[1]  # target pixels
        # Where tile, with its border, and what is made before the first step along the lines, begin in the window.
        self.corner = self.cell[0] * cells[0], self.cell[1] * cells[1]
        self.matlab = recipe.filter == "matlab"
        self.scale = scale
        self.rows, self.columns = (
            _matrix(recipe.filter, s, size, corner - side, count + 2 * side)
            for s, size, corner, count, side in zip(scale, self.window, self.corner, self.tile, sides, strict=True)
        )
        self.noisy = self.tile[1] + 2 * self.colour if most["noise"] else 0  # columns that have noise
        self.noise = _blur(0.5, self.noisy)
        self.noise /= np.linalg.norm(gaussian_weights(0.5)[1])

    def draw(self, count: int, seed: list[int]) -> Drawn:
        """What chance decides for so many tiles, by `seed` alone: strengths, and noise."""
        rng = np.random.default_rng(seed)
        chances = np.random.default_rng([*seed, 1]).random((count, len(TAPE) + 1))
        strengths = self.recipe.strengths(rng.random((count, len(TAPE)), np.float32), chances)
        columns = self.noisy + 2 * gaussian_weights(0.5)[0] if self.noisy else 0
        size = columns * self.tile[0] * 3
        normal = _normal(max(_DRAWN, 4 * size)) if size else np.empty(0, np.float32)
        noise = np.empty((count, size), np.float32)
        for each, at in zip(noise, rng.integers(0, len(normal) - size + 1, count), strict=True):
            each[:] = normal[at : at + size]
        return Drawn(strengths, noise.reshape(count, columns, self.tile[0], 3))

    def inside(self, corners: NDArray[np.integer], pictures: Any, turns: NDArray[np.integer]) -> NDArray[np.int32]:
        """Which rows and columns of input pixels, counted from a window's first, lie in the picture: (n, 4).

        First and last row, first and last column, after the window was turned.

        Parameters
        ----------
        corners
            (n, 2): of windows, in target pixels of the picture, whole cells.
        pictures
            (n, 2) or (2,): height and width of the inputs' pictures.
        turns
            (n,), as the loader takes them.
        """
        first = -corners // self.cell_target * self.cell
        limits = np.stack([first, first + np.asarray(pictures) - 1], axis=2)  # of rows and columns: first and last
        size = np.array(self.window) // self.cell_target * self.cell
        limits[turns & 4 > 0] = limits[turns & 4 > 0, ::-1]
        for axis, flip in enumerate((2, 1)):
            flipped = turns & flip > 0
            limits[flipped, axis] = size[axis] - 1 - limits[flipped, axis, ::-1]
        return limits.reshape(-1, 4).astype(np.int32)

    def targets(self, windows: NDArray[Any]) -> NDArray[Any]:
        """The target tiles in the middle of windows."""
        (v, h), (height, width) = self.margin, self.window
        return windows[:, v : height - v, h : width - h]

    @float32()  # of 11 bits, as cards have factors by default, codes of 10 bits would be off
    def __call__(self, windows: Any, inside: Any, strengths: Any, noise: Any) -> Any:
        """Input tiles (n, h, w, 3) of windows (n, H, W, 3), both normalised float32; see `inside` and `draw`."""
        count = ops.shape(windows)[0]
        (height, width), (_, across) = self.tile, self.window
        columns = inside[:, 2:]
        if self.matlab:
            pixels, resized = self._by_codes(windows, inside), np.eye(len(self.columns), dtype=np.float32)
        else:
            pixels = ops.matmul(self.rows, ops.reshape(windows, (count, -1, across * 3)))
            pixels, resized = ops.reshape(pixels, (count, height, across, 3)), self.columns
        # From here on columns come first, each of all its rows, as every step goes along the lines.
        pixels = ops.transpose(pixels, (0, 2, 1, 3))
        pixels = ops.reshape(pixels, (count, -1, height * 3))
        if not self.matlab or self.soft or self.peak:
            pixels = ops.matmul(self._along(resized, columns, strengths), pixels)
        if self.noisy:
            noise = ops.matmul(self.noise, ops.reshape(noise, (count, -1, height * 3)))
            pixels = pixels + strengths[:, 2, None, None] * noise
        if self.colour:
            pixels = self._narrowed(_repeated(pixels, columns, self.corner[1] - self.colour), strengths[:, 3])
        pixels = ops.reshape(_repeated(pixels, columns, self.corner[1]), (count, width, height, 3))
        pixels = ops.reshape(ops.transpose(pixels, (0, 2, 1, 3)), (count, height, width * 3))
        pixels = ops.reshape(_repeated(pixels, inside[:, :2], self.corner[0]), (count, height, width, 3))
        pixels = ops.floor(ops.clip(pixels, 0, 1) * self.white + 0.5) / self.white
        return pixels if self.fill == "edge" else self._filled(pixels, inside)

    def _by_codes(self, windows, inside):
        """Windows resized as by MATLAB, (n, rows, columns, 3): mirrored at the picture's rim, codes after each axis.

        At scales of 2 and 4 weights are whole over a power of 2, and floats sum them without an error.
        """
        pixels = ops.floor(windows * CODES + 0.5)
        for axis in sorted((0, 1), key=lambda axis: -self.scale[axis]):
            matrix, p, q = (self.rows, self.columns)[axis], self.cell_target[axis], self.cell[axis]
            first, end = inside[:, 2 * axis, None] // q * p, (inside[:, 2 * axis + 1, None] + 1) // q * p
            place = (ops.arange(self.window[axis], dtype="int32") - first) % (2 * (end - first))
            place = first + ops.minimum(place, 2 * (end - first) - 1 - place)
            pixels = pixels if axis == 0 else ops.transpose(pixels, (0, 2, 1, 3))
            count, length, others, _ = ops.shape(pixels)
            lines = _taken(ops.reshape(pixels, (count, length, others * 3)), ops.clip(place, 0, length - 1))
            lines = ops.floor(ops.clip(ops.matmul(matrix, lines), 0, CODES) + 0.5)
            pixels = ops.reshape(lines, (count, -1, others, 3))
            pixels = pixels if axis == 0 else ops.transpose(pixels, (0, 2, 1, 3))
        return pixels / CODES

    def _along(self, resized, inside, strengths):
        """The matrix, or matrices, (columns, columns of a window) of what is done along the lines before the noise.

        `resized` is that of the filter.

        Beyond the picture each step sees the last column of what the step before gave, so that is put there.
        """
        if not (self.soft or self.peak):
            return resized
        begin, count = self.corner[1] - self.soft - self.peak - self.colour, len(resized)
        matrix = ops.take(resized, _nearest(inside, begin, count), axis=0)
        steps = matrix
        if self.soft:  # steps are put together before they meet the window, which has about twice as many columns
            begin, count = begin + self.soft, count - 2 * self.soft
            steps = _gaussians(strengths[:, 0], self.soft, count)
        if self.peak:
            blurred = ops.matmul(_blur(1.0, count - 2 * self.peak), _repeated(steps, inside, begin))
            peaking = strengths[:, 1, None, None]
            steps = (1 + peaking) * steps[:, self.peak : count - self.peak] - peaking * blurred
        return ops.matmul(steps, matrix) if self.soft else steps

    def _narrowed(self, pixels, sigma):
        """Columns (n, columns, rows * 3) whose colours have the chroma band, as many fewer as that reaches."""
        (height, width), count = self.tile, ops.shape(pixels)[0]
        narrow = ops.matmul(_gaussians(sigma, self.colour, width), pixels)
        lost = ops.reshape(pixels[:, self.colour : self.colour + width] - narrow, (-1, 3))
        luma = ops.matmul(lost, np.repeat(LUMA_601[:, np.newaxis], 3, axis=1))  # the same to each colour
        return narrow + ops.reshape(luma, (count, width, height * 3))

    def _filled(self, pixels, inside):
        """Tiles whose pixels outside the picture have the level that was asked for."""
        within = []
        for axis in (0, 1):
            places = ops.arange(self.tile[axis], dtype="int32") + self.corner[axis]
            limits = inside[:, 2 * axis : 2 * axis + 2, None]
            within.append(ops.logical_and(places >= limits[:, 0], places <= limits[:, 1]))
        within = ops.logical_and(within[0][:, :, None, None], within[1][:, None, :, None])
        return ops.where(within, pixels, self.fill / self.white)


@lru_cache(1)
def _normal(count):
    """So many numbers of deviation 1, the same in every process."""
    return np.random.default_rng(0).standard_normal(count, np.float32)


def _context(filter, scale, count, side):
    """How many cells a window has around a tile of `count` input pixels, to give `side` more on each side of it."""
    cells = -(-side // scale.denominator)
    while True:
        around = cells * scale.denominator
        whole = count + 2 * around
        source, _ = resampling(int(whole * scale), whole, filter)
        used = source[around - side : around + count + side]
        if used.min() >= 0 and used.max() < whole * scale:
            return cells
        cells += 1


def _matrix(filter, scale, window, first, count):
    """The matrix (count, window) that makes input pixels, `count` from the `first` of a window on."""
    source, weights = resampling(window, int(window / scale), filter)
    matrix = np.zeros((count, window))
    part = slice(first, first + count)
    np.add.at(matrix, (np.arange(count)[:, np.newaxis], source[part]), weights[part])
    return matrix.astype(np.float32)


def _blur(sigma, count):
    """The matrix of a Gaussian for `count` columns, of as many more on each side as it reaches."""
    reach, weights = gaussian_weights(sigma)
    return sum(np.eye(count, count + 2 * reach, k) * weight for k, weight in enumerate(weights)).astype(np.float32)


def _gaussians(sigma, reach, count):
    """Matrices (n, count, count + 2 * reach) of Gaussians, each out to four of its deviations, as `gaussian` has it."""
    sigma = sigma[:, None]
    k = ops.convert_to_tensor(np.arange(-reach, reach + 1, dtype=np.float32))
    weights = ops.exp(-0.5 * (k / ops.maximum(sigma, _NARROW)) ** 2) * ops.cast(
        abs(k) <= ops.ceil(4 * sigma), "float32"
    )
    length = count + 2 * reach  # of a row; in a line of them that are one longer, cut to this, each lies one further on
    weights = ops.pad(weights / ops.sum(weights, axis=1, keepdims=True), ((0, 0), (0, count)))
    return ops.reshape(ops.tile(weights, (1, count))[:, : count * length], (-1, count, length))


def _nearest(inside, begin, count):
    """For `count` lines of a window from `begin` on the nearest that lie inside, counted from there: (n, count)."""
    places = ops.arange(begin, begin + count, dtype="int32")
    return ops.minimum(ops.maximum(places, inside[:, :1]), inside[:, 1:]) - begin


def _repeated(lines, inside, begin):
    """Lines (n, count, any), which begin there in windows, with the nearest line inside for those outside."""
    return _taken(lines, _nearest(inside, begin, ops.shape(lines)[1]))


def _taken(lines, places):
    """Of lines (n, count, any) those at places (n, any)."""
    tiles, count, size = ops.shape(lines)
    places = places + count * ops.expand_dims(ops.arange(tiles, dtype="int32"), 1)
    return ops.take(ops.reshape(lines, (-1, size)), places, axis=0)
