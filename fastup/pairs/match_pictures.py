"""Pictures of a match: the path through both films, and checkerboards of pairs that fit worst."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastup import frames
from fastup._resample import resize
from fastup._scales import bicubic, fractions
from fastup._types import Floats, Progress, StrPath
from fastup._whole import whole
from fastup.pairs.selection import SETS

_GROUND, _TEXT, _DIM = "#1e1f22", "#e6e6e6", "#6b6e75"
_COLOURS = {"train": "#95e6cb", "validation": "#ffd173", "evaluation": "#d4bfff"}
_LEFT_OUT = "#f07178"
_WORDS = 8  # reasons that get a line of their own
_SQUARE = 60  # target pixels, at the least: of a checkerboard
_MOST, _TITLE = 1600, 90  # pixels across, of a picture; down, of its title


def path(file: StrPath, rows: Sequence[Mapping[str, Any]], shots: Sequence[Mapping[str, Any]], title: str) -> None:
    """Write a PNG: time of SD across, of HD up; each frame where its partner is, coloured by what became of it.

    Parameters
    ----------
    file
        Appears only when it is whole; its folder is made.
    rows, shots
        As match.json has them.
    title
        A line above.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    sheet = Figure(figsize=(14, 10.5), dpi=100, facecolor=_GROUND, layout="constrained")
    canvas = FigureCanvasAgg(sheet)
    axes, bars = sheet.subplots(2, 1, sharex=True, height_ratios=(12, 2))
    axes.set_title(title, color=_TEXT, fontsize=14, loc="left")
    for number, shot in enumerate(shots):
        first, last = shot["sd"]
        for each in (axes, bars):
            each.axvspan(first - 0.5, last + 0.5, color=_TEXT, alpha=0.05 + 0.04 * (number % 2), linewidth=0)
    paired = [row for row in rows if row["partner"] is not None]
    size = float(np.clip(6000 / max(len(rows), 1), 2, 18))
    again = [row for row in paired if not row["set"]]
    _dots(axes, again, _DIM, size / 2, "left out")
    for name in SETS:
        own = [row for row in paired if row["set"] == name]
        if own:
            _dots(axes, own, _COLOURS[name], size, f"{name}, {len(own):,}")
    axes.set_ylabel("frame of HD", color=_TEXT)
    reasons: dict[str, list[int]] = {}
    for row in rows:
        if row["why"]:
            reasons.setdefault(row["why"], []).append(row["frame"])
    listed = sorted(reasons, key=lambda why: -len(reasons[why]))[:_WORDS]
    width = max(0.3, 900 / max(len(rows), 900))
    for line, why in enumerate(listed):
        bars.vlines(reasons[why], line - 0.4, line + 0.4, color=_LEFT_OUT, linewidth=width)
    bars.set_yticks(range(len(listed)), [f"{why}, {len(reasons[why]):,}" for why in listed])
    bars.set(ylim=(len(listed) - 0.4, -0.6), xlim=(-0.5, len(rows) - 0.5))
    bars.set_xlabel("frame of SD", color=_TEXT)
    bars.set_title("left out", color=_TEXT, fontsize=11, loc="left")
    for each in (axes, bars):
        each.set_facecolor(_GROUND)
        each.tick_params(colors=_TEXT)
        each.spines[:].set(color=_DIM)
    legend = axes.legend(loc="upper left", facecolor=_GROUND, edgecolor=_DIM, labelcolor=_TEXT)
    for handle in legend.legend_handles:
        handle.set_sizes([30])
    _print(canvas, file)


def _dots(axes, rows, colour, size, label):
    points = [(row["frame"], row["partner"]) for row in rows]
    if points:
        axes.scatter(*np.transpose(points), s=size, color=colour, linewidths=0, label=label)


def worst(rows: Sequence[Mapping[str, Any]], count: int) -> list[Mapping[str, Any]]:
    """The pairs that fit worst: where most is something else, gradients are least alike, colours are most off."""
    made = [row for row in rows if row["set"]]

    def badness(row):
        return row["differs"] / 0.02 + (1 - row["likeness"]) / 0.2 + row["residual"] / 0.01

    return sorted(made, key=lambda row: (-badness(row), row["frame"]))[:count]


def review(
    data: StrPath, folder: StrPath, rows: Sequence[Mapping[str, Any]], scale: Sequence[str],
    on_progress: Progress | None = None,
) -> list[Path]:  # fmt: skip
    """Write a PNG for each of some pairs: a checkerboard of the enlarged SD frame and the matched HD frame.

    Where a pair fits, lines run on from square to square. Gives the files; they are numbered as the rows are.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    data, made = Path(data), []
    for place, row in enumerate(rows, 1):
        ours, theirs = (
            frames.read(data / row["set"] / side / f"{row['name']}.dpx", "float32") for side in ("Alpha", "Beta")
        )
        board = _checkerboard(np.clip(bicubic(ours, fractions(_parsed(scale))), 0, 1), theirs)
        height, width = board.shape[:2]
        whole_height = height + _TITLE
        sheet = Figure(figsize=(width / 100, whole_height / 100), dpi=100, facecolor=_GROUND)
        canvas = FigureCanvasAgg(sheet)
        axes = sheet.add_axes((0, 0, 1, height / whole_height))
        axes.imshow(board, interpolation="nearest", aspect="auto")
        axes.axis("off")
        down, along = row["shift"]
        lines = [
            f"{row['name']}: SD frame {row['frame']}, HD frame {row['partner']}, {row['set']}",
            f"likeness {row['likeness']:.3f}; {row['residual']:.2%} of white off; other things on {row['differs']:.1%}",
            f"HD lies {down:+z.2f}, {along:+z.2f} SD pixels (down, right)",
        ]
        for line, text in enumerate(lines):
            at = 1 - (10 + 25 * line) / whole_height
            sheet.text(0.012, at, text, color=_TEXT, fontsize=(13, 11, 11)[line] * min(1, width / 640), va="top")
        file = Path(folder) / f"{place:03d}_{row['name']}.png"
        _print(canvas, file)
        made.append(file)
        if on_progress is not None:
            on_progress(place, len(rows), "drawing pairs")
    return made


def _parsed(scale):
    from fractions import Fraction

    return [(one.numerator, one.denominator) for one in map(Fraction, scale)]


def _checkerboard(one: Floats, other: Floats) -> Floats:
    """Squares of two pictures in turn, made smaller where they are large."""
    if one.shape[1] > _MOST:
        size = round(one.shape[0] * _MOST / one.shape[1]), _MOST
        one, other = (np.clip(resize(each, size), 0, 1) for each in (one, other))
    height, width = one.shape[:2]
    side = max(_SQUARE, width // 16)
    rows, columns = np.arange(height) // side, np.arange(width) // side
    return np.where(((rows[:, None] + columns) % 2)[:, :, None], one, other)


def _print(canvas, file):
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    with whole(file) as part:
        canvas.print_png(part)
