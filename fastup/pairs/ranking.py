"""What `quality` keeps: the detail of every tile, as a histogram and a contact sheet of kept and dropped tiles."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastup import frames
from fastup._grid import TileGrid
from fastup._tiles import rank
from fastup._types import Floats, Progress, StrPath
from fastup._whole import whole
from fastup.pairs.folder import Pairs
from fastup.pairs.geometry import Geometry
from fastup.pairs.index import detail_scores

_ROWS, _COLUMNS = 6, 6  # of each half of the sheet
_BINS = 80
_GOLDEN = (5**0.5 - 1) / 2  # its multiples are spread evenly, however many they are
_UNITS = (1000, "in thousands of codes", "k"), (1, "1 is white", "")  # of codes, and of floats
_GROUND, _TEXT, _KEPT, _DROPPED = "#1e1f22", "#e6e6e6", "#95e6cb", "#f07178"


@dataclass(frozen=True)
class Ranking:
    """The detail of the tiles that can be trained on, frame by frame, and which of them are kept."""

    pairs: Pairs
    geometry: Geometry
    grid: TileGrid
    quality: float
    tiles: NDArray[np.integer]
    """(n,) int: their numbers in the grid; those that reach beyond the picture are not among them."""
    scores: Floats
    """(frames, n) float32, as `fastup.detail` gives them."""
    order: NDArray[np.integer]
    """(frames, n) int: positions in `tiles`, the most detailed first; the first `kept` of them are trained on."""
    kept: int
    """Tiles that each frame keeps."""

    @property
    def ranked(self) -> Floats:
        """(frames, n) float32: the scores of each frame, the highest first."""
        return np.take_along_axis(self.scores, self.order, axis=1)

    @property
    def thresholds(self) -> Floats:
        """(frames,) float32: the lowest score that is kept of each frame."""
        return self.ranked[:, self.kept - 1]


def ranking(
    pairs: Pairs, geometry: Geometry, grid: TileGrid, quality: float, cache: StrPath,
    on_progress: Progress | None = None,
) -> Ranking:  # fmt: skip
    """Rank the tiles of each target frame, as training does.

    The measure is `fastup.detail`: the sum of absolute differences between each pixel of a tile and its right and its
    lower neighbour. This project's ancestor summed the differences to the right neighbour alone, so that a tile of
    horizontal lines, such as a horizon or a floor, was as good as an empty one.

    Parameters
    ----------
    grid
        Of the target picture.
    quality
        The share of each frame's tiles that is kept, above 0 and at most 1.
    cache
        As `detail_scores` has it.

    Raises
    ------
    OptionError
        If `quality` is out of range.
    DpxError, FastupError, OSError
        If a frame cannot be read, or the cache not be written.
    """
    tiles = np.flatnonzero(grid.inside)
    kept = len(rank(np.zeros(len(tiles)), quality))
    scores = detail_scores(pairs, geometry, grid, cache, on_progress)[:, tiles]
    order = np.stack([rank(score, 1.0) for score in scores])
    return Ranking(pairs, geometry, grid, quality, tiles, scores, order, kept)


def picture(path: StrPath, ranking: Ranking) -> None:
    """Write a PNG: a histogram of the scores, and below it kept tiles at the left and dropped ones at the right.

    Each half runs through the ranks of the frames, from the most detailed tile to the least, in even steps, and takes
    its tiles from all over the set. The last kept tile and the first dropped one are neighbours in rank.

    Parameters
    ----------
    path
        Appears only when it is whole; its folder is made.
    ranking

    Raises
    ------
    DpxError, FastupError, OSError
        If a frame cannot be read, or the picture not be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(16, 12.7), dpi=100, facecolor=_GROUND, layout="constrained")
    canvas = FigureCanvasAgg(sheet)
    grid = sheet.add_gridspec(2, 2, height_ratios=(3, 9))
    count, total = len(ranking.scores), len(ranking.tiles)
    sheet.suptitle(
        f"quality {ranking.quality:g} keeps {ranking.kept:,} of the {total:,} tiles of each of {count:,} "
        f"frame{'s' * (count != 1)}: {ranking.grid.tile[1]} x {ranking.grid.tile[0]} target pixels"
        + (", jittered too" if ranking.grid.jitter else ""),
        color=_TEXT, fontsize=16,
    )  # fmt: skip
    _histogram(sheet.add_subplot(grid[0, :]), ranking)
    for half, (title, colour, first, end) in enumerate(
        (("kept", _KEPT, 0, ranking.kept), ("dropped", _DROPPED, ranking.kept, total))
    ):
        axes = sheet.add_subplot(grid[1, half])
        axes.spines[:].set(color=colour, linewidth=2)
        axes.set_title(f"{title}, most detail first: rank in its frame, and score", color=colour, fontsize=13)
        _contact_sheet(axes, ranking, first, end)
        axes.set(xlim=(0, _COLUMNS), ylim=(_ROWS, 0), xticks=[], yticks=[], facecolor=_GROUND)
        axes.set_box_aspect(_ROWS / _COLUMNS * 0.92 / 0.8)  # which makes tiles square
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        canvas.print_png(part)


def _histogram(axes, ranking):
    from matplotlib.ticker import LogLocator, NullLocator

    scale, unit, _ = _UNITS[ranking.pairs.target_white is None]
    ranked, thresholds = ranking.ranked / scale, ranking.thresholds / scale
    positive = ranked[ranked > 0]
    low, high = (float(np.quantile(positive, 0.005)), float(positive.max())) if positive.size else (0.0, 1.0)
    wide = high > 8 * low > 0
    low = low if wide else min(low, float(ranked.min()))
    edges = np.geomspace(low, high, _BINS + 1) if wide else np.linspace(low, max(high, low + 1e-6), _BINS + 1)
    parts = [np.clip(part.ravel(), edges[0], edges[-1]) for part in np.split(ranked, [ranking.kept], axis=1)]
    axes.hist(parts, edges, stacked=True, color=[_KEPT, _DROPPED], label=["kept", "dropped"])
    least, most = float(thresholds.min()), float(thresholds.max())
    axes.axvspan(least, most, color=_TEXT, alpha=0.25, linewidth=1, label="where the line runs, by frame")
    axes.set(xscale="log" if wide else "linear", xlim=(edges[0], edges[-1]), facecolor=_GROUND)
    if wide:
        axes.xaxis.set(major_locator=LogLocator(subs=(1, 2, 5)), minor_locator=NullLocator())
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.set_xlabel(
        f"detail of a tile: the sum of absolute differences to the right and the lower neighbour, {unit}"
        + (" (the first bar also holds what has less)" if wide else ""),
        color=_TEXT, fontsize=11,
    )  # fmt: skip
    axes.set_ylabel("tiles", color=_TEXT, fontsize=11)
    axes.tick_params(which="both", colors=_TEXT)
    axes.spines[:].set(color=_TEXT)
    above = {"loc": "lower right", "bbox_to_anchor": (1, 1), "ncols": 3}  # to look for the best place takes seconds
    axes.legend(**above, facecolor=_GROUND, edgecolor=_TEXT, labelcolor=_TEXT, fontsize=11)


def _contact_sheet(axes, ranking, first, end):
    """Tiles of the ranks from `first` to before `end`, evenly; each from a frame far from the last one's."""
    cells = min(_ROWS * _COLUMNS, (end - first) * len(ranking.scores))
    scale, _, suffix = _UNITS[ranking.pairs.target_white is None]
    trim = ranking.geometry.trim
    height, width = ranking.grid.tile
    for cell, place in enumerate(np.linspace(first, end - 1, cells).round().astype(int)):
        frame = int(cell * _GOLDEN % 1 * len(ranking.scores))
        y, x = ranking.grid.origins[ranking.tiles[ranking.order[frame, place]]]
        window = int(y) + trim.top, int(x) + trim.left, height, width
        tile = np.clip(frames.read(ranking.pairs.targets[frame], "float32", window), 0, 1)
        row, column = divmod(cell, _COLUMNS)
        extent = column + 0.04, column + 0.96, row + 0.84, row + 0.04
        axes.imshow(tile, extent=extent, aspect="auto", interpolation="nearest")
        score = ranking.scores[frame, ranking.order[frame, place]] / scale
        text = f"#{place + 1:,}: " + (f"{score:,.0f}" if score >= 100 else f"{score:.3g}") + suffix
        axes.text(column + 0.5, row + 0.92, text, color=_TEXT, ha="center", va="center", fontsize=10)
