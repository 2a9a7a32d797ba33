"""Film out of telecined video: the film frames that a cadence gives, woven by bytes; and the chore, a whole clip."""

import json
import os
from bisect import bisect_left
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastup import frames as _frames
from fastup.errors import DataError, OptionError
from fastup.footage import extract
from fastup.footage.cadence import DOUBT, FILM, INTERLACED, KINDS, ORDERS, PROGRESSIVE, Cadence, measure, track
from fastup.footage.source import Planes

__all__ = ["Cadence", "Woven", "detelecine", "measure", "plan", "track", "weave"]


class Woven(NamedTuple):
    """A film frame to be: which frames its fields come from."""

    top: int  # frame of the top field; -1 where there is none
    bottom: int
    kind: str  # film, orphan, progressive, interlaced or bob; lost, if both fields are missing
    margin: float  # how much more it would cost to have it otherwise; below DOUBT it is doubtful


def plan(cadence, sync=False, video="keep"):
    """The film frames to weave, in order: four for five frames of video.

    Parameters
    ----------
    cadence : Cadence
    sync : bool
        Keep the length to one frame everywhere: where breaks have gained or lost a frame, a film frame at the next one
        is left out or shown twice. Without it only orphans are dropped or kept for the length's sake: film frames of
        which a break left one field.
    video : {"keep", "bob"}
        What to do where the video was not telecined. "keep": four of five frames as they are. "bob": of fields that
        have a time of their own, each frame is made from the field nearest in time, by bwdif.

    Returns
    -------
    list of Woven
    """
    if video not in ("keep", "bob"):
        raise OptionError(f"video is {video!r}, expected keep or bob")
    count = len(cadence.states)
    starts = np.flatnonzero(~cadence.joins)
    kinds, breaks, woven, lost = cadence.kinds, set(cadence.breaks.tolist()), [], set(cadence.lost)

    def add(first, last, kind, also=()):
        """A frame of fields, of which those that are lost are made up for by others that show the same."""
        fields = [field for field in (*also, *range(first, last)) if field // 2 not in lost]
        by_parity = {(cadence.order == "top") == (field % 2 == 0): field // 2 for field in fields}
        margin = float(cadence.margin[first:last].min())
        kind = "lost" if not fields else "orphan" if kind != "bob" and len(by_parity) < min(2, last - first) else kind
        woven.append(Woven(by_parity.get(True, -1), by_parity.get(False, -1), kind, margin))

    ahead_of = np.arange(len(starts)) - starts / 2.5  # if nothing were left out or shown twice
    ends = [*np.flatnonzero(np.isin(starts, cadence.breaks) | (kinds[starts] != FILM)), len(starts)]
    k, broken = 0, False  # whether a break came since the last whole film frame
    while k < len(starts):
        first, kind = int(starts[k]), int(kinds[starts[k]])
        broken |= first in breaks
        if kind == FILM:
            last = int(starts[k + 1]) if k + 1 < len(starts) else count
            k += 1
            ahead = len(woven) - first / 2.5  # in film frames
            if last - first == 1:
                if ahead <= -0.1:  # without it half a frame would be missing
                    add(first, last, "orphan")
                continue
            twice = False
            if sync and broken:  # as far as the next break, over which frames of two and of three fields take turns
                sway = ahead + ahead_of[k - 1 : ends[bisect_left(ends, k)]] - ahead_of[k - 1]
                broken, twice = False, sway.min() < -1.01
                if sway.max() > 1.01:
                    continue
            begin = first + (last - first == 3 and first % 2)  # of the two that came in one frame
            add(begin, min(last, begin + 2), "film", [first, last - 1])
            if twice:
                woven.append(woven[-1])
            continue
        while k < len(starts) and kinds[starts[k]] == kind:
            k += 1
        last = int(starts[k]) if k < len(starts) else count
        while (len(woven) + 0.5) * 2.5 < last:
            field = max(first, int((len(woven) + 0.5) * 2.5))
            if kind == PROGRESSIVE:
                pair = field - cadence.joins[field]
                pair = pair if pair + 1 < last and cadence.joins[pair + 1] else field - field % 2
                add(int(pair), int(pair) + 2, "progressive")
            elif video == "bob":
                add(field, field + 1, "bob")
            else:
                add(field - field % 2, field - field % 2 + 2, "interlaced")
    return woven


def weave(frames, cadence, woven=None, white=None):
    """Weave film frames from a clip, by bytes.

    Parameters
    ----------
    frames : iterable
        The frames that were measured: arrays, or tuples of the planes of each, (H, W) or (H, W, C), whose lines belong
        to the fields in turn.
    cadence : Cadence
    woven : iterable of Woven, optional
        What to weave, in the order of time; by default what `plan` gives.
    white : int, optional
        The largest code of ``uint16`` frames, for bwdif; 1023 by default.

    Yields
    ------
    ndarray or tuple of ndarray
        As the frames were; nothing for what is lost. Memory holds four of them.
    """
    woven = plan(cadence) if woven is None else woven
    source, held, got = iter(frames), deque(maxlen=4), 0

    def frame(number):  # up to three frames back
        nonlocal got
        while got <= number and (after := next(source, None)) is not None:
            held.append(after)
            got += 1
        return held[min(number, got - 1) - got]

    for item in woven:
        if item.kind == "lost":
            continue
        there = max(item.top, item.bottom)
        one = frame(there)
        if item.kind == "bob":
            fields = frame(there + 1), one, frame(max(there - 1, 0))
            planes = _bob([_planes(part) for part in fields[::-1]], item, cadence.order, white)
        else:
            parts = [None if n < 0 else _planes(frame(n)) for n in item[:2]]
            planes = [
                _join(*pair) for pair in zip(*(part or (None,) * len(_planes(one)) for part in parts), strict=True)
            ]
        if isinstance(one, Planes):
            planes = Planes(planes)
            planes.interlaced = one.interlaced
        yield tuple(planes) if type(one) is tuple else planes if isinstance(one, tuple) else planes[0]


def _planes(frame):
    return frame if isinstance(frame, tuple) else (frame,)


def _join(top, bottom):
    """The top lines of one and the bottom lines of the other; lines of neither are made from those beside them."""
    result = np.empty_like(bottom if top is None else top)
    for first, part in enumerate((top, bottom)):
        if part is not None:
            result[first::2] = part[first::2]
    if top is None or bottom is None:
        first = int(bottom is None)  # of the lines to make, each from two lines above and two below
        there = result[1 - first :: 2].astype(np.float32)
        rows = np.arange(len(result[first::2])) + first - 2
        a, b, c, d = (there[np.clip(rows + k, 0, len(there) - 1)] for k in range(4))
        result[first::2] = np.clip(np.floor((9 * (b + c) - a - d + 8) / 16), there.min(), there.max())
    return result


def _bob(frames, item, order, white):
    """The planes of one field of the middle frame, its other lines by bwdif from the fields around it."""
    import av

    one = frames[1]
    bits = 8 if one[0].dtype == np.uint8 else (white or 1023).bit_length()
    rgb = one[0].ndim == 3
    if len(one) == 1:
        name = "gbrp" if rgb else "gray"
    else:
        (height, width), (rows, columns) = one[0].shape, one[1].shape
        name = {(1, 1): "yuv444p", (1, 2): "yuv422p", (1, 4): "yuv411p", (2, 2): "yuv420p", (2, 1): "yuv440p",
                (4, 4): "yuv410p"}[round(height / rows), round(width / columns)]  # fmt: skip
    name += f"{bits}le" if bits > 8 else ""
    graph = av.filter.Graph()
    height, width = one[0].shape[:2]
    source = graph.add_buffer(width=width, height=height, format=name, time_base=Fraction(1, 30))
    parity = "tff" if order == "top" else "bff"
    bwdif = graph.add("bwdif", f"mode=send_field:parity={parity}:deint=all")
    graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
    for number, planes in enumerate(frames):
        picture = av.VideoFrame(width, height, name)
        picture.pts = number
        for there, plane in zip(picture.planes, [planes[0][..., k] for k in (1, 2, 0)] if rgb else planes, strict=True):
            lines = np.frombuffer(there, np.uint8).reshape(-1, there.line_size)
            lines[: plane.shape[0], : plane.shape[1] * plane.itemsize] = np.ascontiguousarray(plane).view(np.uint8)
        graph.push(picture)
    later = (item.top < 0) == (order == "top")
    for _ in range(3 + later):  # two of the first frame come before
        picture = graph.pull()
    parts = [
        np.frombuffer(there, np.uint8)
        .reshape(-1, there.line_size)[:, : plane.shape[1] * plane.itemsize]
        .view(plane.dtype)
        for there, plane in zip(picture.planes, [one[0][..., 0]] * 3 if rgb else one, strict=True)
    ]
    return [np.stack([parts[k] for k in (2, 0, 1)], -1)] if rgb else [part.copy() for part in parts]


# -- a whole clip -----------------------------------------------------------------------------------------------------


def detelecine(
    path, out, *, order=None, sync=False, video="keep", force=False, review=False, overwrite=False, start=0, end=None,
    lines=None, keep=False, interlaced=None, on_frame=None,
):  # fmt: skip
    """Turn a telecined video, or a folder of its frames, into 10-bit DPX of its film frames.

    The clip is read twice: to measure its fields, and to weave. What was found goes to ``out/telecine``, under the
    clip's name: as JSON, with the phase of every frame and every doubt, and as a picture where matplotlib is installed.

    Parameters
    ----------
    path, out : path-like
    order, sync, video
        As in `track` and `plan`.
    force : bool
        Write what does not look telecined too.
    review : bool
        Write the doubtful frames to a folder beside them, as pictures: in the middle what was woven; beside it, with
        the bottom field of the frame before, and of the frame after.
    overwrite : bool
        Make frames again that are there already.
    start, end, lines
        As in `extract.prepare`: which part of the clip, and of its frames.
    keep, interlaced
        As in `extract.open_clip`.
    on_frame : callable, optional
        Called with ("measuring" or "weaving", frames done, frames to do or None).

    Returns
    -------
    dict
        What is in the JSON, and "settings", "notes", "written" and "skipped".

    Raises
    ------
    DataError
        If the clip is not telecined, or `out` holds frames that were woven otherwise; and in the end, if some of its
        frames are missing or cannot be decoded. The numbers of film frames of which both fields are lost stay free.
    OptionError
        If an option does not fit the clip.
    """
    path, out = Path(path), Path(out)
    if order not in (None, *ORDERS):
        raise OptionError(f"order is {order!r}, expected top or bottom")
    with extract.open_clip(path, keep=keep, interlaced=interlaced) as source:
        part = extract.prepare(source, out, start=start, end=end, lines=lines)
        rate = _film_rate(source, force)
        white = (1 << source.bits) - 1
        count = None if part.numbers is None else len(part.numbers)
        told = on_frame and (lambda done, _, what: on_frame(what, done, count))

        lost = []

        def clip():
            """The frames, and in the place of each that is missing the one before it, so that time stays as it is."""
            lost.clear()
            before, due = None, part.first
            for index, planes in source.frames(part.first, part.last):
                missing = range(due - part.first, index - part.first)
                lost.extend(missing)
                for _ in missing:
                    yield before or planes
                yield planes
                before, due = planes, index + 1

        fields = replace(measure((planes[0] for planes in clip()), white, told), lost=tuple(lost))
        cadence = track(fields, order)
        if cadence.gain <= 0 and order is None and source.field_order:  # nothing but the file tells
            cadence = track(fields, source.field_order)
        woven = plan(cadence, sync, video)
        if not force:
            _check(path, cadence, source.field_order)
        if source.field_order not in (None, cadence.order):
            source.note(f"the file says {source.field_order} field first, the pictures say {cadence.order}")
        name = path.stem if path.is_file() else os.path.basename(os.path.realpath(path))
        stem = f"{name}_{part.first:07d}" if part.first else name  # parts must not take each other's names
        targets = [out / f"{stem}_{n:07d}.dpx" for n in range(len(woven))]
        report = _report(source, part, cadence, woven) | {"lines": lines, "range": "keep" if keep else "full"}
        _keep(out / "telecine" / f"{stem}.json", report, targets, overwrite)
        there = [n for n, one in enumerate(woven) if one.kind != "lost"]
        todo = [n for n in there if overwrite or not targets[n].exists()]
        first = part.first * 4 // 5  # film frames before the part, for timecodes

        def make(planes, n):
            at = part.first + min(field for field in woven[n][:2] if field >= 0)
            return extract.cropped(source.rgb(planes), source.header(first + n, rate, at), part.top, lines)

        with _frames.write_stream() as write, ThreadPoolExecutor(2) as pool:
            waiting = deque()

            def settle():
                n, made = waiting.popleft()
                write(targets[n], *made.result())

            film = weave(clip(), cadence, [woven[n] for n in todo], white)
            for done, (n, planes) in enumerate(zip(todo, film, strict=True), 1):
                waiting.append((n, pool.submit(make, planes, n)))
                if len(waiting) > 3:
                    settle()
                if on_frame:
                    on_frame("weaving", done, len(todo))
            while waiting:
                settle()
        if review:
            _review(out / "telecine" / stem, make, clip(), cadence, woven, white)
        plot(out / "telecine" / f"{stem}.png", cadence, path.name)
        if source.damage:
            raise DataError(f"{path}: {source.damage}; the {len(there)} film frames of what there is are in {out}")
    more = {"settings": source.settings, "notes": source.notes}
    return report | more | {"written": len(todo), "skipped": len(there) - len(todo)}


def _film_rate(source, force):
    """Frames of film a second: 24000/1001, or four fifths of what the source has where that is given, or forced."""
    rate = source.rate
    if rate is None:
        source.note("no frame rate: 29.97 frames/s are assumed, 23.976 of film")
        source.rate = rate = Fraction(30000, 1001)
    elif not force and not 29.5 < rate < 30.1:  # some frames that were dropped make it a little less
        raise DataError(
            f"{source.path}: {float(rate):.6g} frames/s, expected the 29.97 of telecined film (fastup detelecine "
            "--force takes it so)"
        )
    return Fraction(24000, 1001) if 29.5 < rate < 30 else rate * Fraction(4, 5)


def _check(path, cadence, claimed):
    """Raise DataError unless there is film in the clip."""
    share = np.bincount(cadence.kinds, minlength=3) / len(cadence.kinds)
    forced = "nothing was written; fastup detelecine --force writes four of five of its frames all the same"
    if len(cadence) < 20 and cadence.gain < 20:
        raise DataError(f"{path}: {len(cadence)} frames are too few to tell a cadence by; {forced}")
    if share[FILM] < 0.1:
        what = "progressive" if share[PROGRESSIVE] > share[INTERLACED] else "interlaced, but not telecined"
        other = f"; the file says {claimed} field first: --order" if claimed not in (None, cadence.order) else ""
        raise DataError(f"{path}: not telecined: {share.max():.0%} of it is {what}{other}; {forced}")
    if cadence.gain < 20:
        raise DataError(f"{path}: no sign of a cadence: too little moves, and no grain tells repeated fields; {forced}")


def _report(source, part, cadence, woven):
    kinds, states = cadence.kinds, cadence.states
    edges = np.flatnonzero(np.diff(kinds)) + 1
    parts = [(int(a), int(b)) for a, b in zip([0, *edges], [*edges, len(kinds)], strict=True)]
    order = ("first", "second")
    return {
        "source": os.fsencode(os.path.realpath(source.path)).decode(errors="replace"),
        "order": cadence.order,
        "order_margin": round(min(cadence.order_margin, 1e9), 1),
        "first_frame": part.first,  # from which frames are counted here
        "frames": len(cadence),
        "film_frames": len(woven),
        "phases": "".join("-" if phase < 0 else str(phase) for phase in cadence.phases),
        "fields": "".join(map(str, states)),
        "breaks": [{"frame": int(n) // 2, "field": order[n % 2]} for n in cadence.breaks],
        "stretches": [
            {"kind": KINDS[kinds[a]], "first": a // 2, "last": (b - 1) // 2} for a, b in parts if kinds[a] != FILM
        ],
        "doubts": [
            {"film_frame": n, "top": w.top, "bottom": w.bottom, "kind": w.kind, "margin": round(w.margin, 2)}
            for n, w in enumerate(woven)
            if w.margin < DOUBT and w.kind != "lost"
        ],
        "lost": list(cadence.lost),
        "orphans": sum(w.kind == "orphan" for w in woven),
        "woven": [[w.top, w.bottom, w.kind] for w in woven],
    }


def _keep(path, report, targets, overwrite):
    """Write the report; or hold it against the one of the run that this one carries on."""
    parts = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in report.items())
    text = "{\n" + ",\n".join(parts) + "\n}\n"
    if not overwrite and any(target.exists() for target in targets):
        if not path.exists() or path.read_text() != text:
            raise DataError(
                f"{path.parent.parent}: holds frames that were woven otherwise, from another clip or with other "
                "options; expected another folder, or --overwrite"
            )
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _frames.whole(path) as part:
        part.write_text(text)


def plot(path, cadence, title):
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
    with _frames.whole(path) as part:
        canvas.print_png(part)


def _review(folder, make, clip, cadence, woven, white):
    doubtful = [(n, w) for n, w in enumerate(woven) if w.margin < DOUBT and w.top >= 0 and w.bottom >= 0]
    last = len(cadence) - 1
    ways = [w._replace(bottom=min(max(w.bottom + k, 0), last), kind="film") for _, w in doubtful for k in (-1, 0, 1)]
    pictures = weave(clip, cadence, ways, white)
    for n, _ in doubtful:
        row, (header, *_) = zip(*(make(next(pictures), n) for _ in range(3)), strict=True)
        folder.mkdir(exist_ok=True)
        _frames.write(folder / f"{n:07d}.png", np.concatenate(row, axis=1), header.replace(pixel_aspect=None))
