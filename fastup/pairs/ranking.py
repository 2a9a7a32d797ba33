"""What `quality` keeps: the detail of every tile, as a histogram and a contact sheet of kept and dropped tiles."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastup import frames
from fastup._grid import TileGrid
from fastup._tiles import kept, rank
from fastup._types import Floats, Progress, Size, StrPath
from fastup._whole import whole
from fastup.pairs.folder import Pairs
from fastup.pairs.geometry import pair_of
from fastup.pairs.index import detail_scores, inside

_ROWS, _COLUMNS = 6, 6  # of each half of the sheet
_BINS = 80
_GOLDEN = (5**0.5 - 1) / 2  # its multiples are spread evenly, however many they are
_UNITS = (1000, "in thousands of codes", "k"), (1, "1 is white", "")  # of codes, and of floats
_GROUND, _TEXT, _KEPT, _DROPPED = "#1e1f22", "#e6e6e6", "#95e6cb", "#f07178"


@dataclass(frozen=True)
class Ranking:
    """The detail of the tiles that can be trained on, frame by frame, and which of them are kept."""

    pairs: Pairs
    tile: int | Size
    jitter: bool
    quality: float
    tiles: list[NDArray[np.int32]]
    """Of each kind of pairs, (n,): their numbers in its grid, without those that reach beyond the picture."""
    scores: list[Floats]
    """Of each frame, (n,): as `fastup.detail` gives them; over white where the targets' whites differ."""
    order: list[NDArray[np.int64]]
    """Of each frame, (n,): positions in `tiles`, the most detailed first; the first `kept` of them are trained on."""

    @property
    def kept(self) -> list[int]:
        """How many tiles each frame keeps."""
        return [kept(self.quality, len(order)) for order in self.order]

    @property
    def ranked(self) -> list[Floats]:
        """The scores of each frame, the highest first."""
        return [scores[order] for scores, order in zip(self.scores, self.order, strict=True)]

    @property
    def thresholds(self) -> Floats:
        """The lowest score that is kept of each frame, of those that have tiles."""
        each = zip(self.ranked, self.kept, strict=True)
        return np.array([ranked[count - 1] for ranked, count in each if count], np.float32)

    @property
    def parts(self) -> tuple[Floats, Floats]:
        """The scores of all tiles that are kept, and of all others."""
        each = list(zip(self.ranked, self.kept, strict=True))
        return np.concatenate([r[:count] for r, count in each]), np.concatenate([r[count:] for r, count in each])

    @property
    def of_floats(self) -> bool:
        """Whether scores are of normalised values, not of codes."""
        return self.pairs.target_white is None


def ranking(
    pairs: Pairs, tile: int | Size, jitter: bool, quality: float, cache: StrPath,
    on_progress: Progress | None = None,
) -> Ranking:  # fmt: skip
    """Rank the tiles of each target frame, as training does.

    The measure is `fastup.detail`: the sum of absolute differences between each pixel of a tile and its right and its
    lower neighbour. This project's ancestor summed the differences to the right neighbour alone, so that a tile of
    horizontal lines, such as a horizon or a floor, was as good as an empty one.

    Parameters
    ----------
    tile
        In target pixels, along both axes or each.
    jitter
        Whether tiles half a tile off are ranked, too.
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
    rank(np.zeros(1), quality)  # checks it
    tiles = inside(pairs, tile, jitter)
    scores = []
    for number, each in enumerate(detail_scores(pairs, tile, jitter, cache, on_progress)):
        white = pairs.kind(number).target_white if pairs.target_white is None else None
        scores.append(each[tiles[pairs.kind_of[number]]] / np.float32(white or 1))
    order = [rank(each, 1.0) if each.size else np.zeros(0, np.int64) for each in scores]
    return Ranking(pairs, tile, jitter, quality, tiles, scores, order)


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
    frames = len(ranking.pairs)
    counts = {(count, len(order)) for count, order in zip(ranking.kept, ranking.order, strict=True)}
    if len(counts) == 1:
        (kept, total), each = counts.pop(), "each of "
    else:
        (kept, total), each = (
            np.sum([(n, len(o)) for n, o in zip(ranking.kept, ranking.order, strict=True)], axis=0),
            "",
        )
    height, width = pair_of(ranking.tile)
    sheet.suptitle(
        f"quality {ranking.quality:g} keeps {kept:,} of the {total:,} tiles of {each}{frames:,} "
        f"frame{'s' * (frames != 1)}: {width} x {height} target pixels"
        + (", jittered too" if ranking.jitter else ""),
        color=_TEXT, fontsize=16,
    )  # fmt: skip
    _histogram(sheet.add_subplot(grid[0, :]), ranking)
    for half, (title, colour) in enumerate((("kept", _KEPT), ("dropped", _DROPPED))):
        axes = sheet.add_subplot(grid[1, half])
        axes.spines[:].set(color=colour, linewidth=2)
        axes.set_title(f"{title}, most detail first: rank in its frame, and score", color=colour, fontsize=13)
        _contact_sheet(axes, ranking, bool(half))
        axes.set(xlim=(0, _COLUMNS), ylim=(_ROWS, 0), xticks=[], yticks=[], facecolor=_GROUND)
        height, width = pair_of(ranking.tile)
        axes.set_box_aspect(_ROWS / _COLUMNS * 0.92 / 0.8 * height / width)  # which makes pixels square
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        canvas.print_png(part)


def _histogram(axes, ranking):
    from matplotlib.ticker import LogLocator, NullLocator

    scale, unit, _ = _UNITS[ranking.of_floats]
    parts, thresholds = [part / scale for part in ranking.parts], ranking.thresholds / scale
    ranked = np.concatenate(parts)
    positive = ranked[ranked > 0]
    low, high = (float(np.quantile(positive, 0.005)), float(positive.max())) if positive.size else (0.0, 1.0)
    wide = high > 8 * low > 0
    low = low if wide else min(low, float(ranked.min()))
    edges = np.geomspace(low, high, _BINS + 1) if wide else np.linspace(low, max(high, low + 1e-6), _BINS + 1)
    parts = [np.clip(part, edges[0], edges[-1]) for part in parts]
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


def _contact_sheet(axes, ranking, dropped):
    """Tiles of the ranks that are kept, or of those that are not, evenly; each from a frame far from the last one's."""
    spans = [
        (count, len(order)) if dropped else (0, count) for count, order in zip(ranking.kept, ranking.order, strict=True)
    ]
    chosen = [number for number, (first, end) in enumerate(spans) if end > first]
    cells = min(_ROWS * _COLUMNS, sum(end - first for first, end in spans))
    scale, _, suffix = _UNITS[ranking.of_floats]
    for cell in range(cells):
        frame = chosen[int(cell * _GOLDEN % 1 * len(chosen))]
        kind, (first, end) = ranking.pairs.kind(frame), spans[frame]
        place = round(first + (end - 1 - first) * (cell / max(cells - 1, 1)))
        grid = TileGrid(kind.geometry.target_picture, ranking.tile, 0, ranking.jitter)
        y, x = grid.origins[ranking.tiles[ranking.pairs.kind_of[frame]][ranking.order[frame][place]]]
        window = int(y) + kind.trim.top, int(x) + kind.trim.left, *grid.tile
        tile = np.clip(frames.read(ranking.pairs.targets[frame], "float32", window), 0, 1)
        row, column = divmod(cell, _COLUMNS)
        extent = column + 0.04, column + 0.96, row + 0.84, row + 0.04
        axes.imshow(tile, extent=extent, aspect="auto", interpolation="nearest")
        score = ranking.scores[frame][ranking.order[frame][place]] / scale
        text = f"#{place + 1:,}: " + (f"{score:,.0f}" if score >= 100 else f"{score:.3g}") + suffix
        axes.text(column + 0.5, row + 0.92, text, color=_TEXT, ha="center", va="center", fontsize=10)
