"""Film frames out of a cadence: which fields each is woven from, and the weaving, by bytes."""

from bisect import bisect_left
from collections import deque
from collections.abc import Generator, Iterable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np

from fastup.errors import OptionError
from fastup.footage.cadence import FILM, PROGRESSIVE, Cadence
from fastup.footage.source import Planes


class Woven(NamedTuple):
    """A film frame to be: which frames its fields come from."""

    top: int  # frame of the top field; -1 where there is none
    bottom: int
    kind: str  # film, orphan (of one field), progressive, interlaced or bob; lost, if both fields are missing
    margin: float  # how much more it would cost to have it otherwise; below DOUBT it is doubtful


def plan(cadence: Cadence, sync: bool = False, video: str = "keep") -> list[Woven]:
    """The film frames to weave, in order: four for five frames of video.

    With `sync` the length is kept to one frame everywhere: where breaks have gained or lost a frame, one of film at the
    next break is left out or shown twice. Without it only orphans are dropped or kept for the length's sake: film
    frames of which a break left one field. `video` is what to do where it was not telecined: "keep" takes four of five
    frames as they are; "bob" makes, of fields that have a time of their own, each frame from the field nearest in time,
    by bwdif. OptionError if it is neither.
    """
    if video not in ("keep", "bob"):
        raise OptionError(f"video is {video!r}, expected keep or bob")
    count = len(cadence.states)
    starts = np.flatnonzero(~cadence.joins)
    kinds, breaks, lost = cadence.kinds, set(cadence.breaks.tolist()), set(cadence.lost)
    woven: list[Woven] = []

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


def weave(
    frames: Iterable[Any], cadence: Cadence, woven: Iterable[Woven] | None = None, white: int | None = None
) -> Generator[Any, None, None]:
    """Weave film frames from a clip, by bytes.

    `frames` are those that were measured: arrays, or tuples of the planes of each, (H, W) or (H, W, C), whose lines
    belong to the fields in turn. What comes is as they are, an array or a tuple; nothing for what is lost. Memory holds
    four of them. `woven` is what to weave, in the order of time; by default what `plan` gives. `white` is the largest
    code of ``uint16`` frames, for bwdif; 1023 by default.
    """
    woven = plan(cadence) if woven is None else woven
    ahead, held, read = iter(frames), deque[Any](maxlen=4), 0

    def planes_of(number: int) -> tuple[Any, ...]:
        """The planes of a frame, which may lie up to three frames back; beyond the end those of the last."""
        nonlocal read
        while read <= number and (frame := next(ahead, None)) is not None:
            held.append(frame)
            read += 1
        frame = held[min(number, read - 1) - read]
        return frame if isinstance(frame, tuple) else (frame,)

    for item in woven:
        if item.kind == "lost":
            continue
        later = max(item.top, item.bottom)
        like = planes_of(later)
        if item.kind == "bob":
            after = planes_of(later + 1)
            planes = _bob([planes_of(max(later - 1, 0)), like, after], item, cadence.order, white)
        else:
            fields = [(None,) * len(like) if n < 0 else planes_of(n) for n in item[:2]]
            planes = [_join(top, bottom) for top, bottom in zip(*fields, strict=True)]
        if isinstance(like, Planes):
            made = Planes(planes)
            made.interlaced = like.interlaced
            yield made
        else:
            yield tuple(planes) if isinstance(held[-1], tuple) else planes[0]


def _join(top, bottom):
    """The top lines of one and the bottom lines of the other; lines of neither are made from those beside them."""
    result = np.empty_like(bottom if top is None else top)
    for first, part in enumerate((top, bottom)):
        if part is not None:
            result[first::2] = part[first::2]
    if top is None or bottom is None:
        first = int(bottom is None)  # of the lines to make, each from two lines above and two below
        lines = result[1 - first :: 2].astype(np.float32)
        rows = np.arange(len(result[first::2])) + first - 2
        a, b, c, d = (lines[np.clip(rows + k, 0, len(lines) - 1)] for k in range(4))
        result[first::2] = np.clip(np.floor((9 * (b + c) - a - d + 8) / 16), lines.min(), lines.max())
    return result


def _bob(frames, item, order, white):
    """The planes of one field of the middle frame, its other lines by bwdif from the fields around it."""
    import av

    middle = frames[1]
    (height, width), rgb = middle[0].shape[:2], middle[0].ndim == 3
    bits = 8 if middle[0].dtype == np.uint8 else (white or 1023).bit_length()
    if len(middle) == 1:
        pixels = "gbrp" if rgb else "gray"
    else:
        rows, columns = middle[1].shape
        pixels = {(1, 1): "yuv444p", (1, 2): "yuv422p", (1, 4): "yuv411p", (2, 2): "yuv420p", (2, 1): "yuv440p",
                  (4, 4): "yuv410p"}[round(height / rows), round(width / columns)]  # fmt: skip
    pixels += f"{bits}le" if bits > 8 else ""

    def lines(plane, like):  # of FFmpeg's, as bytes, without those that fill up a line
        return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, : like.shape[1] * like.itemsize]

    graph = av.filter.Graph()
    source = graph.add_buffer(width=width, height=height, format=pixels, time_base=Fraction(1, 30))
    bwdif = graph.add("bwdif", f"mode=send_field:parity={'tff' if order == 'top' else 'bff'}:deint=all")
    graph.link_nodes(source, bwdif, graph.add("buffersink")).configure()
    for number, planes in enumerate(frames):
        picture = av.VideoFrame(width, height, pixels)
        picture.pts = number
        planes = [planes[0][..., k] for k in (1, 2, 0)] if rgb else planes
        for target, plane in zip(picture.planes, planes, strict=True):
            lines(target, plane)[: len(plane)] = np.ascontiguousarray(plane).view(np.uint8)
        graph.push(picture)
    second = (item.top < 0) == (order == "top")
    for _ in range(3 + second):  # two of the first frame come before
        picture = graph.pull()
    likes = [middle[0][..., 0]] * 3 if rgb else middle
    made = [lines(plane, like).view(like.dtype) for plane, like in zip(picture.planes, likes, strict=True)]
    return [np.stack([made[k] for k in (2, 0, 1)], -1)] if rgb else [plane.copy() for plane in made]
