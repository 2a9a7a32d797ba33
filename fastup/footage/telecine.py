"""Film out of telecined video, a whole clip: its cadence is found, and its film frames are written."""

import json
import os
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastup import frames
from fastup._types import Frame, Progress, Size, StrPath
from fastup._whole import whole
from fastup.errors import DataError, OptionError
from fastup.footage import chore, opening
from fastup.footage.cadence import DOUBT, FILM, INTERLACED, KINDS, ORDERS, PROGRESSIVE, Cadence, Fields, measure, track
from fastup.footage.source import Clip, Items, Skip, Source, Span, nothing
from fastup.footage.weave import Woven, plan, weave
from fastup.header import Header

__all__ = [
    "Cadence",
    "Fields",
    "Film",
    "Woven",
    "detelecine",
    "find",
    "keep_report",
    "measure",
    "plan",
    "track",
    "weave",
]


class Film(Source):
    """The film frames of a telecined clip: a source as the clip is. One of which both fields are lost is missing."""

    parts = False  # fields are woven from the front

    def __init__(
        self, clip: Clip, rate: Fraction, cadence: Cadence, woven: list[Woven], first: int = 0, last: int | None = None
    ) -> None:
        super().__init__(clip.path)
        self.clip, self.rate, self.cadence, self.woven, self.first, self.last = clip, rate, cadence, woven, first, last
        self.frame_count, self.damage, self.subsampling = len(woven), clip.damage, clip.subsampling
        self.notes, self.settings = clip.notes, clip.settings
        name = self.path.stem if self.path.is_file() else os.path.basename(os.path.realpath(self.path))
        self.stem = f"{name}_{first:07d}" if first else name  # parts must not take each other's names

    @property
    def words(self) -> str:
        """What was found."""
        doubts = sum(w.margin < DOUBT and w.kind != "lost" for w in self.woven)
        return f"{len(self.cadence)} frames of video are {len(self)} of film, of which {doubts} are doubtful"

    @property
    def size(self) -> Size:
        return self.clip.size

    def frames(self, start: int = 0, end: int | None = None, every: int = 1, skip: Skip = nothing) -> Items:
        numbers = [n for n in range(len(self))[start:end:every] if self.there(n) and not skip(n)]
        yield from zip(numbers, self.weave([self.woven[n] for n in numbers]), strict=True)

    def weave(self, woven: list[Woven]) -> Generator[Any, None, None]:
        """Yield the planes of frames woven in any way from the clip, in the order of time."""
        planes = (planes for planes, _ in _in_time(self.clip, self.first, self.last))
        return weave(planes, self.cadence, woven, (1 << self.clip.bits) - 1)

    def pixels(self, raw: Any, dtype: DTypeLike = "uint16") -> Frame:
        return self.clip.pixels(raw, dtype)

    def header(self, number: int) -> Header:
        """The header of a frame: that of the earlier frame its fields come from, with the time of the film."""
        earlier = min(frame for frame in self.woven[number][:2] if frame >= 0)
        before = self.first * 4 // 5  # film frames before the part, for timecodes
        return self.clip.header(before + number, self.rate, self.first + earlier)

    def name(self, number: int) -> str:
        """The clip's name, the frame that the part begins with, and the number."""
        return f"{self.stem}_{number:07d}"

    def span(self, first: int, last: int | None) -> Span | None:
        """As `Source.span`: what goes with the part of the clip goes with its film."""
        part = self.clip.span(self.first, self.last)
        if part is None or self.rate is None:
            return None
        start = part.zero + first / self.rate
        end = part.zero + last / self.rate if last is not None and last < len(self) else part.end
        return Span(start, start if first else part.start, end)

    def there(self, number: int) -> bool:
        """Whether a field is left of a frame."""
        return self.woven[number].kind != "lost"

    def missing(self, start: int, end: int | None) -> str | None:
        """What kept the pass that measured the clip from seeing all of it, where frames of the range can lack of it."""
        used = [frame for woven in self.woven[start:end] for frame in woven[:2] if frame >= 0]
        inside = end is not None and end < len(self) and used
        return None if inside and not any(min(used) <= n <= max(used) for n in self.cadence.lost) else self.damage


def find(
    clip: Clip, *, order: str | None = None, sync: bool = False, video: str = "keep", force: bool = False,
    start: int | str = 0, end: int | str | None = None, on_progress: Progress | None = None,
) -> Film:  # fmt: skip
    """Measure the fields of a clip, and find the film in it; options are as of `detelecine`.

    DataError if the clip is not telecined; OptionError if an option does not fit it.
    """
    if order not in (None, *ORDERS):
        raise OptionError(f"order is {order!r}, expected top or bottom")
    if clip.once:
        raise OptionError("the clip is read twice, to find film and to make it, but INPUT is a pipe; expected a file")
    first, last = chore.part(clip, start, end)
    rate = _film_rate(clip, force)
    cadence = _cadence(clip, first, last, order, on_progress)
    film = Film(clip, rate, cadence, plan(cadence, sync, video), first, last)
    if not force:
        _check_film(clip, cadence)
    if clip.field_order not in (None, cadence.order):
        clip.note(f"the file says {clip.field_order} field first, the pictures say {cadence.order}")
    return film


def detelecine(
    path: StrPath, out: StrPath, *, order: str | None = None, sync: bool = False, video: str = "keep",
    force: bool = False, review: bool = False, overwrite: bool = False, start: int | str = 0,
    end: int | str | None = None, numbers: str | None = None, lines: int | None = None, keep: bool = False,
    interlaced: bool | None = None, options: Mapping[str, Any] | None = None, on_progress: Progress | None = None,
    on_film: Callable[[Film], object] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Turn a telecined video, or a folder of its frames, into its film frames, of 10-bit RGB.

    The clip is read twice: to measure its fields, and to weave. What was found goes to ``out/telecine``, or beside a
    video to ``out.telecine``, under the clip's name: as JSON, with the phase of every frame and every doubt, and as a
    picture where matplotlib is installed.

    Returns what is in the JSON, and "settings", "notes", "details" (where that is), "written" and "skipped". The
    numbers of film frames of which both fields are lost stay free. DataError if the clip is not telecined, or `out`
    holds frames that were woven otherwise; and in the end, if some of its frames are missing or cannot be decoded.
    OptionError if an option does not fit the clip.

    Parameters
    ----------
    order, sync, video
        As in `track` and `plan`.
    force
        Write what does not look telecined too.
    review
        Write the doubtful frames to a folder beside them, as pictures: in the middle what was woven; beside it, with
        the bottom field of the frame before, and of the frame after.
    start, end
        The part of the clip that is measured and woven, as `chore.part` takes it.
    numbers
        Of the film frames that are written, as `chore.part` takes them.
    lines, keep, interlaced
        As in `Clip.crop` and `opening.open_clip`.
    overwrite, options
        As of `chore.Plan`.
    on_film
        Called with the film once it is written, while its clip can still be read.
    """
    path, out = Path(path), Path(out)
    with opening.open_clip(path, keep=keep, interlaced=interlaced) as clip:
        clip.crop(lines)
        chore.check_place(clip, out)  # before all is measured
        film = find(
            clip, order=order, sync=sync, video=video, force=force, start=start, end=end, on_progress=on_progress
        )
        first, last = chore.part(film, numbers=numbers)
        output = chore.Plan(
            film, out, overwrite, first=first, last=last, chunk=numbers is not None, options=options or {},
            made_by={"lines": lines, "range": "keep" if keep else "full", "interlaced": interlaced},
        )  # fmt: skip
        report = keep_report(film, output)
        if review and (beside := output.sink.beside("telecine")):
            _review(beside / film.stem, film)
        work = chore.each(lambda number, planes: (film.pixels(planes), film.header(number)))
        written, skipped = chore.run(output, lambda plan: work, "weaving", on_progress)
        if on_film is not None:
            on_film(film)
    beside = output.sink.beside("telecine")
    found = {"settings": clip.settings, "notes": clip.notes + output.sink.notes, "details": beside and str(beside)}
    return report | found | {"written": written, "skipped": skipped}


def _cadence(clip, first, last, order, on_progress):
    """The cadence of a part of a clip. Where nothing in the pictures tells the order of fields, the file does."""
    ends = [end for end in (last, clip.frame_count) if end is not None]
    count, lost = min(ends) - first if ends else None, []

    def lumas():
        for number, (planes, is_missing) in enumerate(_in_time(clip, first, last)):
            if is_missing:
                lost.append(number)
            yield planes[0]

    measured = on_progress and (lambda done, _, what: on_progress(done, count, what))
    fields = replace(measure(lumas(), (1 << clip.bits) - 1, measured), lost=tuple(lost))
    cadence = track(fields, order)
    return cadence if cadence.gain > 0 or order else track(fields, clip.field_order)


def _in_time(clip, first, last):
    """The planes of every frame of a part, and whether it is missing: then they are those before it, to keep time."""
    before, due = None, first
    for number, planes in clip.frames(first, last):
        yield from [(before or planes, True)] * (number - due)
        yield planes, False
        before, due = planes, number + 1


def _film_rate(clip, force):
    """Frames of film a second: 24000/1001, or four fifths of what the clip has where that is given, or forced."""
    rate = clip.rate
    if rate is None:
        clip.note("no frame rate: 29.97 frames/s are assumed, 23.976 of film")
        clip.rate = rate = Fraction(30000, 1001)
    elif not force and not 29.5 < rate < 30.1:  # some frames that were dropped make it a little less
        raise DataError(
            f"{clip.path}: {float(rate):.6g} frames/s, expected the 29.97 of telecined film (fastup detelecine "
            "--force takes it so)"
        )
    return Fraction(24000, 1001) if 29.5 < rate < 30 else rate * Fraction(4, 5)


def _check_film(clip, cadence):
    """Raise DataError unless there is film in the clip."""
    share = np.bincount(cadence.kinds, minlength=3) / len(cadence.kinds)
    forced = "nothing was written; fastup detelecine --force writes four of five of its frames all the same"
    if len(cadence) < 20 and cadence.gain < 20:
        raise DataError(f"{clip.path}: {len(cadence)} frames are too few to tell a cadence by; {forced}")
    if share[FILM] < 0.1:
        kind = "progressive" if share[PROGRESSIVE] > share[INTERLACED] else "interlaced, but not telecined"
        if clip.field_order not in (None, cadence.order):
            kind += f"; the file says {clip.field_order} field first: --order"
        raise DataError(f"{clip.path}: not telecined: {share.max():.0%} of it is {kind}; {forced}")
    if cadence.gain < 20:
        raise DataError(
            f"{clip.path}: no sign of a cadence: too little moves, and no grain tells repeated fields; {forced}"
        )


def _report(film):
    """What is kept of how a film was made."""
    cadence, woven = film.cadence, film.woven
    kinds, order = cadence.kinds, ("first", "second")
    edges = np.flatnonzero(np.diff(kinds)) + 1
    stretches = [(int(a), int(b)) for a, b in zip([0, *edges], [*edges, len(kinds)], strict=True)]
    return {
        "source": os.fsencode(os.path.realpath(film.path)).decode(errors="replace"),
        "order": cadence.order,
        "order_margin": round(min(cadence.order_margin, 1e9), 1),
        "first_frame": film.first,  # from which frames are counted here
        "frames": len(cadence),
        "film_frames": len(woven),
        "phases": "".join("-" if phase < 0 else str(phase) for phase in cadence.phases),
        "fields": "".join(map(str, cadence.states)),
        "breaks": [{"frame": int(n) // 2, "field": order[n % 2]} for n in cadence.breaks],
        "stretches": [
            {"kind": KINDS[kinds[a]], "first": a // 2, "last": (b - 1) // 2} for a, b in stretches if kinds[a] != FILM
        ],
        "doubts": [
            {"film_frame": n, "top": w.top, "bottom": w.bottom, "kind": w.kind, "margin": round(w.margin, 2)}
            for n, w in enumerate(woven)
            if w.margin < DOUBT and w.kind != "lost"
        ],
        "lost": list(cadence.lost),
        "orphans": sum(w.kind == "orphan" for w in woven),
        "woven": [[w.top, w.bottom, w.kind] for w in woven],
        "lines": film.clip.lines,
        "range": "keep" if film.clip.keep else "full",
    }


def keep_report(film: Film, output: chore.Plan) -> dict[str, Any]:
    """Keep what was found beside the frames that a plan makes of a film, as `detelecine` has it; gives it.

    DataError if frames are there already of an earlier run that found otherwise.
    """
    report, beside = _report(film), output.sink.beside("telecine")
    if beside is None:
        return report
    items = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in report.items())
    text, path = "{\n" + ",\n".join(items) + "\n}\n", beside / f"{film.stem}.json"
    if any(map(output.is_made, range(len(film)))):
        if not path.exists() or path.read_text() != text:
            raise DataError(
                f"{output.destination}: holds frames that were woven otherwise, from another clip or with other "
                "options; expected another place, or --overwrite"
            )
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as part:
            part.write_text(text)
    plot(beside / f"{film.stem}.png", film.cadence, film.path.name)
    return report


def plot(path: StrPath, cadence: Cadence, title: str) -> None:
    """Write a picture of phases, breaks, combing and doubt along a clip, as a PNG; nothing without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return
    count = len(cadence)
    sheet = Figure(figsize=(14, 7), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(sheet)
    phases, combs, doubts = sheet.subplots(3, 1, sharex=True)
    frame = np.arange(count)
    phases.scatter(frame, np.where(cadence.phases < 0, np.nan, cadence.phases), s=2, color="#1f77b4", rasterized=True)
    for kind, colour in ((PROGRESSIVE, "#2ca02c"), (INTERLACED, "#d62728")):
        if (rows := cadence.kinds[::2] == kind).any():
            phases.scatter(frame[rows], np.full(rows.sum(), -1), s=6, marker="s", color=colour, label=KINDS[kind])
    phases.set(ylabel="phase of the frame", yticks=range(-1, 5), yticklabels=["none", *range(5)])
    if phases.get_legend_handles_labels()[1]:
        phases.legend(loc="upper right")
    step = max(1, 2 * count // 3000)
    x = np.arange(0, 2 * count, step) / 2
    for where, label, colour in (
        (~cadence.joins, "between film frames", "#bbbbbb"),
        (cadence.joins, "inside film frames, as woven", "#d62728"),
    ):
        combs.plot(x, np.maximum.reduceat(np.where(where, cadence.combing, 0), np.arange(0, 2 * count, step)),
                   lw=0.7, color=colour, label=label)  # fmt: skip
    combs.set(ylabel="combing / noise", yscale="symlog")
    combs.legend(loc="upper right")
    doubts.plot(x, np.minimum.reduceat(np.minimum(cadence.margin, 100), np.arange(0, 2 * count, step)), lw=0.7)
    doubts.axhline(DOUBT, color="#d62728", lw=0.7)
    doubts.set(ylabel=f"margin (doubt below {DOUBT:g})", xlabel="frame of the video", yscale="symlog", ylim=(0, 120))
    for part in (phases, combs, doubts):
        for n in cadence.breaks:
            part.axvline(n / 2, color="#ff7f0e", lw=0.6, alpha=0.7)
    title = f"{os.fsencode(title).decode(errors='replace')}: {cadence.order} field first"
    phases.set_title(f"{title}; breaks (orange): {len(cadence.breaks)}", loc="left", parse_math=False)
    with whole(path) as part:
        canvas.print_png(part)


def _review(folder, film):
    """Write a picture of each doubtful frame: with the bottom field of the frame before, as woven, of the one after."""
    doubtful = [(n, w) for n, w in enumerate(film.woven) if w.margin < DOUBT and w.top >= 0 and w.bottom >= 0]
    last = len(film.cadence) - 1
    ways = [w._replace(bottom=min(max(w.bottom + k, 0), last), kind="film") for _, w in doubtful for k in (-1, 0, 1)]
    pictures = map(film.pixels, film.weave(ways))
    for n, _ in doubtful:
        folder.mkdir(exist_ok=True)
        row = np.concatenate([next(pictures) for _ in range(3)], axis=1)
        frames.write(folder / f"{n:07d}.png", row, film.header(n).replace(pixel_aspect=None))
