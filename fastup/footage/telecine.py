"""Film out of telecined video: the cadence is tracked over the whole clip, and film frames are woven by bytes.

3:2 pulldown spreads film frames A B C D over five video frames, as fields: AA BB BC CD DD. Five fields that hold two
film frames, of two and of three fields, are one turn of a machine with five states, whichever field comes first. It
breaks rarely, mostly where the video was edited. So the states of all fields are found together, as the cheapest path
(Viterbi) through what was measured: how much two neighbouring fields comb when they are woven, where a field starts to
differ from the one two before it, and whether it repeats that one, grain and all. What noise, grain and compression do
to these is learned from the clip itself.
"""

import json
import math
import os
from bisect import bisect_left
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastup import _fields
from fastup import frames as _frames
from fastup.errors import DataError, OptionError
from fastup.footage import extract
from fastup.footage.clip import Planes

ORDERS = ("top", "bottom")  # which field of a frame comes first
KINDS = ("film", "progressive", "interlaced")
FILM, PROGRESSIVE, INTERLACED = range(3)

# The states of a field. Film: 0 1, a film frame of two fields; 2 3 4, one of three, of which 4 repeats 2. After a break
# a film frame may start late: ENTER_1, ENTER_3 with LATE_4 after it, and ENTER_4, are 1, 3 and 4 with fewer fields
# before them. PAIR_0 PAIR_1: frames that were progressive, of which a break may leave PAIR_1 alone. VIDEO: each field
# has its own time.
ENTER_1, ENTER_3, LATE_4, ENTER_4, PAIR_0, PAIR_1, ENTER_PAIR_1, VIDEO = range(5, 13)
_FOLLOWER = np.array([1, 2, 3, 4, 0, 2, LATE_4, 0, 0, PAIR_1, PAIR_0, PAIR_0, VIDEO], np.int8)
_KIND = np.array([FILM] * 9 + [PROGRESSIVE] * 3 + [INTERLACED], np.int8)
_ENTRIES = np.array([0, 2, ENTER_1, ENTER_3, ENTER_4, PAIR_0, ENTER_PAIR_1, VIDEO], np.int8)
_PLACE = np.array([0, 1, 2, 3, 4, 1, 3, 4, 4, 5, 6, 6, 7], np.int8)  # what a state means for those after it
# What a field costs where it isn't film: less than the repeats that film would want there cost.
PAIR_COST, VIDEO_COST = 0.06, 0.05
_LOST_JUMP = 5.0  # of a break where frames are lost: an edit is likelier there than elsewhere
_SWITCH = 8.0  # what it costs, besides a break, to go over to another kind
_GOES_ON = np.isin(np.arange(13), [1, 3, 4, LATE_4, PAIR_1])  # of the film frame of the field before

_EVIDENCE = np.dtype(
    [
        # Of both orders, of the first and the second field of the frame by that order:
        ("comb", "f4", (2, 2)),  # how much more it combs with the field before than its neighbours do
        ("onset", "f4", (2, 2)),  # how much more it differs from the one two before than its neighbour does
        # Of the top and the bottom field, from the same field of the frame before:
        ("motion", "f4", 2),  # the most that a block differs
        ("change", "f4", 2),  # the median block, brightness too: cuts
        ("floor", "f4", 2),  # a quiet block: noise, and grain where it doesn't repeat
        ("texture", "f4"),  # combing of a quiet block, well woven
    ]
)


@dataclass(frozen=True)
class Fields:
    """What `measure` found of a clip's fields; sixty bytes a frame, whatever their size.

    `lost` has the numbers of frames that are missing, in whose place others were measured: nothing is made of those.
    """

    evidence: np.ndarray
    lost: tuple = ()

    def __len__(self):
        return len(self.evidence)


def measure(frames, white=None, on_frame=None):
    """Measure how the fields of a clip fit together: the one pass over the pictures before `track`.

    Parameters
    ----------
    frames : iterable of ndarray, (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), uint8 or uint16
        Codes of luma, or of RGB, of which (R + 2 G + B) / 4 is taken; fields interlaced, 16 x 16 pixels or more.
    white : int, optional
        The largest code; by default 255 of ``uint8``, 1023 of ``uint16``.
    on_frame : callable, optional
        Called with the number of frames measured.

    Returns
    -------
    Fields

    Raises
    ------
    DataError
        If there are fewer than five frames, they differ in size, or they are smaller than a block.
    """
    rows, window, scale = [], [], None if white is None else np.float32(255 / white)
    for found, kind in _compared(frames, on_frame):
        scale = scale or np.float32(1 if kind == np.uint8 else 255 / 1023)
        window = [*window[-2:], [part.reshape(len(part), -1) * scale for part in found]]
        rows.append(_evidence(window[0], window[max(0, len(window) - 2)], window[-1]))  # of the frame before
    if len(rows) < 4:
        raise DataError("fewer than five frames: a cadence is five frames long")
    rows.append(_evidence(window[-2], window[-1], window[-1]))
    return Fields(np.array(rows, _EVIDENCE))


def _compared(frames, on_frame):
    """Each frame but the first, compared with the one before it, on threads, while the next are read; and its type."""
    waiting, first, before = deque(), None, None
    with ThreadPoolExecutor(2) as pool:
        for number, frame in enumerate(frames):
            frame = _luma(frame, number)
            first = frame if first is None else first
            if min(frame.shape) < _fields.BLOCK:
                raise DataError(f"frame {number} is {_by(frame.shape)}, expected {_by([_fields.BLOCK] * 2)} or more")
            if (frame.shape, frame.dtype) != (first.shape, first.dtype):
                raise DataError(
                    f"frame {number} is {_by(frame.shape)} of {frame.dtype}, those before it are {_by(first.shape)} "
                    f"of {first.dtype}"
                )
            if number:
                waiting.append(pool.submit(_fields.compare, frame, before))
            before = frame
            if len(waiting) > 3:
                yield waiting.popleft().result(), first.dtype
            if on_frame is not None:
                on_frame(number + 1)
        for future in waiting:
            yield future.result(), first.dtype


def _luma(frame, number):
    frame = np.asarray(frame)
    if frame.dtype not in (np.uint8, np.uint16):
        raise DataError(f"frame {number} is of {frame.dtype}, expected codes as uint8 or uint16")
    if frame.ndim == 3 and frame.shape[2] in (1, 3, 4):
        return frame[..., 0] if frame.shape[2] == 1 else _fields.luma(frame)
    if frame.ndim != 2:
        raise DataError(f"frame {number} is {frame.shape}, expected (height, width) or (height, width, 1, 3 or 4)")
    return frame


def _by(shape):
    return f"{shape[1]}x{shape[0]}"


def _evidence(last, this, next_):
    """A row of evidence for the frame of `this`, each (comb, apart, shift) by blocks."""
    comb, apart, shift = this
    combing, onset = [], []
    for order, first in enumerate((_fields.TOP_LATER, _fields.BOTTOM_LATER)):
        within, across = comb[0], comb[first]
        least = np.minimum(last[0][0], next_[0][first])  # of what is a field away, or two
        combing.append((_most(across - np.minimum.reduce([least, within, last[0][first]])),
                        _most(within - np.minimum.reduce([least, across, next_[0][0]]))))  # fmt: skip
        onset.append((_most(apart[order] - last[1][1 - order]), _most(apart[1 - order] - apart[order])))
    return (
        combing, onset, _most(apart), np.median(np.maximum(apart, shift), 1), [_quiet(part) for part in apart],
        min(_quiet(part) for part in comb),
    )  # fmt: skip


def _quiet(blocks):
    """The quartile of blocks, without those that have no change at all, as the black beside a picture."""
    some = blocks[blocks > 0]
    return np.quantile(some, 0.25) if len(some) else 0.0


def _most(blocks):
    """Mean of the three largest along the last axis: one block can be a fluke, an average drowns a mouth."""
    return np.sort(blocks, axis=-1)[..., -3:].mean(-1)


@dataclass(frozen=True)
class Cadence:
    """What `track` found: the state of every field, in the order of time.

    Attributes
    ----------
    order : {"top", "bottom"}
        Which field of a frame comes first.
    order_margin : float
        By how much this order is the better one; near 0 nothing told them apart.
    states : ndarray, (2 n,), int8
        0 and 1: the fields of a film frame of two; 2, 3 and 4: of one of three; 5 and 6: the fields of a frame that was
        progressive; 7: a field with a time of its own.
    breaks : ndarray, int
        The fields before which the cadence breaks.
    margin : ndarray, (2 n,), float32
        How much more the cheapest path costs that has the field elsewhere; below `DOUBT` it is doubtful.
    joins : ndarray, (2 n,), bool
        Whether a field belongs to the film frame, or progressive frame, of the field before it.
    combing : ndarray, (2 n,), float32
        How much the field combs with the one before it, in units of noise.
    gain : float
        How much more it would cost if nothing was telecined; near 0, there is too little to see to tell.
    lost : tuple of int
        As of `Fields`: through these frames the cadence runs on by itself.
    """

    order: str
    order_margin: float
    states: np.ndarray
    breaks: np.ndarray
    margin: np.ndarray
    joins: np.ndarray
    combing: np.ndarray
    gain: float
    lost: tuple = ()

    def __len__(self):
        return len(self.states) // 2

    @property
    def kinds(self):
        """Of every field: 0 film, 1 progressive, 2 interlaced."""
        return np.array([0, 0, 0, 0, 0, 1, 1, 2], np.int8)[self.states]

    @property
    def phases(self):
        """Of every frame: how many frames ago its turn of the cadence began, 0 to 4; -1 where it isn't film.

        Frames 0, 1 and 4 of a turn show one film frame each, 2 and 3 two.
        """
        first, second = self.states[0::2], self.states[1::2]
        phase = np.full((8, 8), -1, np.int8)
        for number, pair in enumerate(((0, 1), (2, 3), (4, 0), (1, 2), (3, 4))):
            phase[pair] = number
        return phase[first, second]


DOUBT = 3.0  # a margin below this is in doubt: about one way in twenty is another


def track(fields, order=None, white=None):
    """Find the cadence of a clip.

    Parameters
    ----------
    fields : Fields, or iterable of ndarray
        What `measure` gave; or the frames themselves, for it to measure.
    order : {"top", "bottom"}, optional
        Which field of a frame comes first; found by default.
    white : int, optional
        As in `measure`.

    Returns
    -------
    Cadence

    Raises
    ------
    DataError
        As `measure` does.
    OptionError
        If the order is none.
    """
    if order not in (None, *ORDERS):
        raise OptionError(f"order is {order!r}, expected top or bottom")
    if not isinstance(fields, Fields):
        fields = measure(fields, white)
    if len(fields) - len({*fields.lost, *(n + 1 for n in fields.lost if n + 1 < len(fields))}) < 5:
        raise DataError("fewer than five frames that follow another: a cadence is five frames long")
    orders = ORDERS if order is None else (order,)
    found = [_track(fields, ORDERS.index(order)) for order in orders]
    # Film comes before no film, whose fields cost little in either order; then what costs less.
    film = [one.gain > 0 for one in found]
    best = min(range(len(found)), key=lambda k: (not film[k], found[k].total))
    if len(found) == 1:
        margin = np.inf
    elif all(film) or not any(film):
        margin = abs(found[0].total - found[1].total)
    else:
        margin = found[best].gain
    path, through, combing = found[best].path, found[best].through, found[best].combing
    follows = _FOLLOWER[path[:-1]] == path[1:]
    places = _PLACE[path]
    for place in range(8):
        rows = places == place
        through[np.ix_(rows, place == _PLACE)] = np.inf
    return Cadence(
        orders[best], float(margin), places, 1 + np.flatnonzero(~follows), through.min(1),
        np.concatenate([[False], follows & _GOES_ON[path[1:]]]), combing,
        found[best].gain, fields.lost,
    )  # fmt: skip


class _Found(NamedTuple):
    """The cheapest path for one order of fields: what it costs, and how much more it would without film."""

    total: float
    gain: float
    path: np.ndarray
    through: np.ndarray  # what the cheapest path costs that is in a state at a time, above the total
    combing: np.ndarray


def _track(fields, order):
    """The `_Found` of one order of fields."""
    told = np.ones(len(fields), bool)  # a frame that is lost tells nothing, and little the one that is compared with it
    told[[n for lost in fields.lost for n in (lost, lost + 1) if n < len(told)]] = False
    evidence, told = fields.evidence[told], np.repeat(told, 2)

    def in_time(values):
        return np.ravel(values[:, [order, 1 - order]]).astype(np.float32)

    comb, onset = np.ravel(evidence["comb"][:, order]), np.ravel(evidence["onset"][:, order])
    floor = in_time(evidence["floor"]) + 0.1  # of an 8-bit code, where there is no noise at all
    floor = np.minimum(_near(floor, 2, np.min), 1.3 * _quantile(floor, 250, 0.1))
    motion = in_time(evidence["motion"]) / floor
    combing = np.maximum(comb / (np.repeat(evidence["texture"], 2) + 0.3), 0)
    # A field that repeats differs less than those around it, and than the other field of its frame, which never repeats
    # too. The second tells it from a frame that the codec kept well, or kept back.
    level = np.log(in_time(evidence["floor"]) + 0.05)
    inside = level[0::2] - level[1::2]
    inside -= _near(inside, 25, np.median)
    level = np.maximum(level - _near(level, 5, np.median), np.ravel(np.column_stack([inside, -inside])))
    level = np.clip(level, -2, 0.5)
    change = np.log(in_time(evidence["change"]) + 3)  # that black becomes nearly black is no cut

    # A film frame cannot begin at each of two neighbours, so what shows at both is mostly the larger's.
    begins = combing + np.maximum(onset / floor - 0.6, 0)
    beside = np.maximum(_later(begins, -1), _later(begins, 1))
    # What a codec leaves where nothing begins, or moves; but not what is the same in all fields, as in true 60i.
    rest = 1 + np.minimum(_quantile(begins, 250, 0.4), np.maximum(5, 0.3 * _quantile(begins, 250, 0.8)))
    begin, begin_pair = (
        np.clip(2 * np.log1p(np.maximum(begins - share * beside, 0) / rest) - 1, 0, 6) for share in (0.3, 0.15)
    )  # in the wrong order, fields with times of their own look like pairs that comb a third as much as others
    still = np.clip(np.log((0.5 * beside + rest) / (begins + rest)), 0, 2)
    usual = np.minimum(_quantile(motion, 250, 0.1), np.maximum(8, 0.4 * _quantile(motion, 250, 0.5)))
    moves = np.clip(1.5 * np.log((motion + 0.5) / (usual + 0.5)) - 0.2, 0, 5)
    cut = np.minimum(change, _later(change, 1)) - np.maximum(_later(change, -1), _later(change, 2))
    jump = 7 - 5.5 * np.clip(cut / 0.9, 0, 1)
    jump[1::2] += 1.5  # videos are edited at frames
    jump = jump.astype(np.float32)

    grain = np.clip(4 * level, -1, 1)
    everywhere, jumps = np.zeros((len(told), len(_KIND)), np.float32), np.full(len(told), _LOST_JUMP, np.float32)
    jumps[told] = jump
    for warmth in (6, 3, 1, 0):  # paths that cost little more count too, less and less
        cost = np.zeros((len(begin), len(_KIND)), np.float32)
        cost[:, _GOES_ON] += begin[:, None]
        cost[:, 4] += moves + grain
        cost[:, PAIR_1] = begin_pair
        cost[:, _KIND == PROGRESSIVE] += PAIR_COST
        cost[:, VIDEO] += VIDEO_COST + still
        everywhere[told] = cost
        path, through, total = _fields.cheapest(everywhere, jumps, _FOLLOWER, _KIND, _ENTRIES, _SWITCH)
        if warmth:
            grain = _grain(level, through[told], warmth)
    others = _ENTRIES[_KIND[_ENTRIES] != FILM]
    without = _fields.cheapest(everywhere, jumps, _FOLLOWER, _KIND, others, _SWITCH)[2]
    all_combing = np.zeros(len(told), combing.dtype)
    all_combing[told] = combing
    return _Found(total, without - total, path, through, all_combing)


def _grain(level, through, warmth):
    """The log-likelihood ratio of not repeating to repeating, from grain, as the cheap paths have it around a field."""
    weight = np.exp(-through / warmth)
    weight /= weight.sum(1, keepdims=True)
    again, others = weight[:, 4], weight[:, _KIND == FILM].sum(1) - weight[:, 4]
    others = others * (level < 0.3)  # not where everything moves
    lower, upper = _mean(level, again), _mean(level, others)
    variance = (_mean((level - lower) ** 2, again) + _mean((level - upper) ** 2, others)) / 2 + 0.02**2
    apart = np.maximum(upper - lower, 0)
    ratio = np.clip((level - (lower + upper) / 2) * apart / variance, -5, 5)
    return np.where(apart > 0.1 * np.sqrt(variance), ratio, 0)


def _later(values, offset):
    """Values so many fields later; the first and the last go on."""
    return values[np.clip(np.arange(len(values)) + offset, 0, len(values) - 1)]


def _near(values, reach, function):
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, reach, mode="edge"), 2 * reach + 1)
    return function(windows, axis=-1)


def _quantile(values, reach, share):
    """A quantile of the values around, in steps of a fifth of the reach."""
    step = reach // 5
    starts = range(0, len(values), step)
    found = [np.quantile(values[max(0, k - reach) : k + step + reach], share) for k in starts]
    return np.repeat(found, step)[: len(values)].astype(np.float32)


def _mean(values, weights, reach=400):
    """Weighted mean of the values around; 0 where none weighs."""
    sums = [np.concatenate([[0], np.cumsum(part, dtype=np.float64)]) for part in (values * weights, weights)]
    last = np.minimum(np.arange(len(values)) + reach + 1, len(values))
    first = np.maximum(np.arange(len(values)) - reach, 0)
    total, weight = (part[last] - part[first] for part in sums)
    return total / np.maximum(weight, 1e-3)


# -- from a cadence to film frames ------------------------------------------------------------------------------------


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
        As in `extract.open_source`.
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
    with extract.open_source(path, keep=keep, interlaced=interlaced) as source:
        part = extract.prepare(source, out, start=start, end=end, lines=lines)
        rate = _film_rate(source, force)
        white = (1 << source.bits) - 1
        last = min(part.last, source.frame_count or math.inf)
        count = None if last == math.inf else last - part.first
        told = (lambda done: on_frame("measuring", done, count)) if on_frame else None

        lost = []

        def clip():
            """The frames, and in the place of each that is missing the one before it, so that time stays as it is."""
            lost.clear()
            before, due = None, part.first
            for index, planes in source.frames(part.first, None if part.last == math.inf else part.last):
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
