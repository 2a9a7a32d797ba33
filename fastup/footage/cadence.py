"""The cadence of telecined video: which fields hold one film frame, tracked over the whole clip.

3:2 pulldown spreads film frames A B C D over five video frames, as fields: AA BB BC CD DD. Five fields that hold two
film frames, of two and of three fields, are one turn of a machine with five states, whichever field comes first. It
breaks rarely, mostly where the video was edited. So the states of all fields are found together, as the cheapest path
(Viterbi) through what was measured: how much two neighbouring fields comb when they are woven, where a field starts to
differ from the one two before it, and whether it repeats that one, grain and all. What noise, grain and compression do
to these is learned from the clip itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastup import _fields
from fastup._threads import in_order
from fastup._types import Floats, Frame, Progress
from fastup.errors import DataError, OptionError

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

_EVIDENCE = np.dtype([
    # Of both orders, of the first and the second field of the frame by that order:
    ("comb", "f4", (2, 2)),  # how much more it combs with the field before than its neighbours do
    ("onset", "f4", (2, 2)),  # how much more it differs from the one two before than its neighbour does
    # Of the top and the bottom field, from the same field of the frame before:
    ("motion", "f4", 2),  # the most that a block differs
    ("change", "f4", 2),  # the median block, brightness too: cuts
    ("floor", "f4", 2),  # a quiet block: noise, and grain where it doesn't repeat
    ("texture", "f4"),  # combing of a quiet block, well woven
])  # fmt: skip


@dataclass(frozen=True)
class Fields:
    """What `measure` found of a clip's fields; sixty bytes a frame, whatever their size."""

    evidence: NDArray[Any]
    lost: tuple[int, ...] = ()  # frames that are missing, in whose place others were measured: unused

    def __len__(self) -> int:
        return len(self.evidence)

    @property
    def seen(self) -> NDArray[np.bool_]:
        """Of every frame: whether it was compared with the one before it in time, because neither is missing."""
        seen = np.ones(len(self), bool)
        seen[[n for lost in self.lost for n in (lost, lost + 1) if n < len(self)]] = False
        return seen


def measure(frames: Iterable[Frame], white: int | None = None, on_progress: Progress | None = None) -> Fields:
    """Measure how the fields of a clip fit together: the one pass over the pictures before `track`.

    Frames are (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), ``uint8`` or ``uint16``: codes of luma, or of RGB, of which
    (R + 2 G + B) / 4 is taken; fields interlaced. `white` is the largest code; by default 255 of ``uint8``, 1023 of
    ``uint16``. DataError if there are fewer than five, they differ in size, or are smaller than 16 x 16 pixels.
    """

    def compared(pair: tuple[Frame, Frame]) -> list[Floats]:
        scale = np.float32(255 / (white or (255 if pair[0].dtype == np.uint8 else 1023)))
        return [part.reshape(len(part), -1) * scale for part in _fields.compare(pair[1], pair[0])]

    rows: list[tuple[Any, ...]] = []
    last: list[list[Floats]] = []  # three comparisons; at the ends of the clip one stands for what is missing
    for found in in_order(compared, pairwise(_lumas(frames, on_progress)), threads=2, ahead=3):
        last = [*last[-2:], found]
        rows.append(_evidence(last[0], last[max(0, len(last) - 2)], last[-1]))  # for the frame before
    if len(rows) < 4:
        raise DataError("fewer than five frames: a cadence is five frames long")
    rows.append(_evidence(last[-2], last[-1], last[-1]))
    return Fields(np.array(rows, _EVIDENCE))


def _lumas(frames, on_progress):
    """The luma of each frame, all of one size and type."""
    first = None
    for number, frame in enumerate(frames):
        frame = np.asarray(frame)
        if frame.dtype not in (np.uint8, np.uint16):
            raise DataError(f"frame {number} is of {frame.dtype}, expected codes as uint8 or uint16")
        if frame.ndim == 3 and frame.shape[2] in (1, 3, 4):
            frame = frame[..., 0] if frame.shape[2] == 1 else _fields.luma(frame)
        elif frame.ndim != 2:
            raise DataError(f"frame {number} is {frame.shape}, expected (height, width) or (height, width, 1, 3 or 4)")
        kind = f"{frame.shape[1]}x{frame.shape[0]} of {frame.dtype}"
        first = first or kind
        if min(frame.shape) < _fields.BLOCK:
            raise DataError(f"frame {number} is {kind}, expected {_fields.BLOCK}x{_fields.BLOCK} or more")
        if kind != first:
            raise DataError(f"frame {number} is {kind}, those before it are {first}")
        yield frame
        if on_progress is not None:
            on_progress(number + 1, None, "measuring")


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
    """What `track` found: the state of every field, in the order of time."""

    order: str  # which field of a frame comes first: top or bottom
    order_margin: float  # by how much this order is the better one; near 0 nothing told them apart
    # (2 n,): 0 and 1, the fields of a film frame of two; 2, 3 and 4, of one of three; 5 and 6, of a frame that was
    # progressive; 7, a field with a time of its own.
    states: NDArray[np.int8]
    breaks: NDArray[np.intp]  # the fields before which the cadence breaks
    margin: Floats  # (2 n,): how much more it would cost to have the field elsewhere; below `DOUBT` it is doubtful
    joins: NDArray[np.bool_]  # (2 n,): whether a field belongs to the film or progressive frame of the field before it
    combing: Floats  # (2 n,): of the field with the one before it, in units of noise
    gain: float  # how much more it would cost if nothing was telecined; near 0, there is too little to see to tell
    lost: tuple[int, ...] = ()  # as of `Fields`: through these frames the cadence runs on by itself

    def __len__(self) -> int:
        return len(self.states) // 2

    @property
    def kinds(self) -> NDArray[np.int8]:
        """Of every field: 0 film, 1 progressive, 2 interlaced."""
        return np.array([0, 0, 0, 0, 0, 1, 1, 2], np.int8)[self.states]

    @property
    def phases(self) -> NDArray[np.int8]:
        """Of every frame: how many frames ago its turn of the cadence began, 0 to 4; -1 where it isn't film.

        Frames 0, 1 and 4 of a turn show one film frame each, 2 and 3 two.
        """
        first, second = self.states[0::2], self.states[1::2]
        phase = np.full((8, 8), -1, np.int8)
        for number, pair in enumerate(((0, 1), (2, 3), (4, 0), (1, 2), (3, 4))):
            phase[pair] = number
        return phase[first, second]


DOUBT = 3.0  # a margin below this is in doubt: about one way in twenty is another


def track(fields: Fields | Iterable[Frame], order: str | None = None, white: int | None = None) -> Cadence:
    """Find the cadence of a clip, of what `measure` gave, or of frames that it measures first.

    `order` is the field of a frame that comes first, "top" or "bottom"; it is found by default.
    DataError as of `measure`, OptionError if there is no such order.
    """
    if order not in (None, *ORDERS):
        raise OptionError(f"order is {order!r}, expected top or bottom")
    if not isinstance(fields, Fields):
        fields = measure(fields, white)
    if fields.seen.sum() < 5:
        raise DataError("fewer than five frames that follow another: a cadence is five frames long")
    paths = [_cheapest_path(fields, one) for one in (ORDERS if order is None else [order])]
    best = min(paths, key=lambda path: (path.gain <= 0, path.total))  # film comes before no film, which costs little
    margin = np.inf if len(paths) == 1 else best.gain
    if len(paths) == 2 and (paths[0].gain > 0) == (paths[1].gain > 0):
        margin = abs(paths[0].total - paths[1].total)
    follows = _FOLLOWER[best.states[:-1]] == best.states[1:]
    places = _PLACE[best.states]
    elsewhere = np.where(places[:, None] == _PLACE, np.inf, best.through)
    return Cadence(
        best.order, float(margin), places, 1 + np.flatnonzero(~follows), elsewhere.min(1),
        np.concatenate([[False], follows & _GOES_ON[best.states[1:]]]), best.combing, best.gain, fields.lost,
    )  # fmt: skip


class _Path(NamedTuple):
    """The cheapest path for one order of fields."""

    order: str
    total: float  # what it costs
    gain: float  # how much more the cheapest one without film costs
    states: np.ndarray
    through: np.ndarray  # (fields, states): how much more the cheapest path costs that is in a state at a time
    combing: np.ndarray  # as of `Cadence`


def _cheapest_path(fields, order):
    """The `_Path` for one order: the states of film where fields repeat are told by grain, and grain by those states.

    So grain starts from a guess, and each round learns it from the paths that cost little more than the cheapest.
    """
    seen = np.repeat(fields.seen, 2)
    signs = _signs(fields.evidence[fields.seen], ORDERS.index(order))
    costs, jumps = np.zeros((len(seen), len(_KIND)), np.float32), np.full(len(seen), _LOST_JUMP, np.float32)
    jumps[seen] = signs.jump
    grain = np.clip(4 * signs.level, -1, 1)
    for warmth in (6, 3, 1, 0):  # how much more a path may cost that still counts; 0 ends it
        costs[seen] = _costs(signs, grain)
        states, through, total = _fields.cheapest(costs, jumps, _FOLLOWER, _KIND, _ENTRIES, _SWITCH)
        if warmth:
            grain = _grain_cost(signs.level, through[seen], warmth)
    entries = _ENTRIES[_KIND[_ENTRIES] != FILM]
    without = _fields.cheapest(costs, jumps, _FOLLOWER, _KIND, entries, _SWITCH)[2]
    combing = np.zeros(len(seen), signs.combing.dtype)
    combing[seen] = signs.combing
    return _Path(order, total, without - total, states, through, combing)


class _Signs(NamedTuple):
    """What the fields show, one after the other in time; mostly as what it costs to take a field for something else."""

    combing: np.ndarray  # with the field before, in units of noise
    begins: np.ndarray  # a film frame begins with the field: what it costs to go on with the one before
    begins_pair: np.ndarray  # the same of a progressive frame
    still: np.ndarray  # nothing begins with the field: what it costs to give it a time of its own
    moves: np.ndarray  # it differs from the field two before: what it costs to take it for a repeat
    level: np.ndarray  # log of the noise in that difference, against those around it: low where grain repeats
    jump: np.ndarray  # what a break before the field costs


def _signs(evidence, order):
    """The `_Signs` of the fields of frames that were compared; `order` is 1 where the bottom field comes first."""

    def in_time(name):
        return np.ravel(evidence[name][:, [order, 1 - order]]).astype(np.float32)

    floor = in_time("floor") + 0.1  # of an 8-bit code, where there is no noise at all
    floor = np.minimum(_near(floor, 2, np.min), 1.3 * _quantile(floor, 250, 0.1))
    combing = np.maximum(np.ravel(evidence["comb"][:, order]) / (np.repeat(evidence["texture"], 2) + 0.3), 0)
    begins = _beginning_costs(combing + np.maximum(np.ravel(evidence["onset"][:, order]) / floor - 0.6, 0))
    moves, level = _motion_cost(in_time("motion") / floor), _noise_level(in_time("floor"))
    return _Signs(combing, *begins, moves, level, _jump_cost(in_time("change")))


def _beginning_costs(beginning):
    """`begins`, `begins_pair` and `still` of `_Signs`, from how much each field looks like the first of its picture.

    A film frame cannot begin at each of two neighbours, so what shows at both is mostly the larger's.
    """
    beside = np.maximum(_later(beginning, -1), _later(beginning, 1))
    # What a codec leaves where nothing begins, or moves; but not what is the same in all fields, as in true 60i.
    rest = 1 + np.minimum(_quantile(beginning, 250, 0.4), np.maximum(5, 0.3 * _quantile(beginning, 250, 0.8)))
    film, pair = (
        np.clip(2 * np.log1p(np.maximum(beginning - share * beside, 0) / rest) - 1, 0, 6) for share in (0.3, 0.15)
    )  # in the wrong order, fields with times of their own look like pairs that comb a third as much as others
    return film, pair, np.clip(np.log((0.5 * beside + rest) / (beginning + rest)), 0, 2)


def _motion_cost(motion):
    """`moves` of `_Signs`: how much more the liveliest block differs than it does where fields repeat."""
    usual = np.minimum(_quantile(motion, 250, 0.1), np.maximum(8, 0.4 * _quantile(motion, 250, 0.5)))
    return np.clip(1.5 * np.log((motion + 0.5) / (usual + 0.5)) - 0.2, 0, 5)


def _noise_level(floor):
    """`level` of `_Signs`.

    A field that repeats differs less than those around it, and than the other field of its frame, which never repeats
    too. The second tells it from a frame that the codec kept well, or kept back.
    """
    level = np.log(floor + 0.05)
    inside = level[0::2] - level[1::2]
    inside -= _near(inside, 25, np.median)
    level = np.maximum(level - _near(level, 5, np.median), np.ravel(np.column_stack([inside, -inside])))
    return np.clip(level, -2, 0.5)


def _jump_cost(change):
    """`jump` of `_Signs`: a break is likelier at a cut, and at the first field of a frame, where videos are edited."""
    change = np.log(change + 3)  # that black becomes nearly black is no cut
    cut = np.minimum(change, _later(change, 1)) - np.maximum(_later(change, -1), _later(change, 2))
    jump = 7 - 5.5 * np.clip(cut / 0.9, 0, 1)
    jump[1::2] += 1.5
    return jump


def _costs(signs, grain):
    """What it costs each field to be in each state, (fields, states)."""
    costs = np.zeros((len(grain), len(_KIND)), np.float32)
    costs[:, _GOES_ON] += signs.begins[:, None]
    costs[:, 4] += signs.moves + grain
    costs[:, PAIR_1] = signs.begins_pair
    costs[:, _KIND == PROGRESSIVE] += PAIR_COST
    costs[:, VIDEO] += VIDEO_COST + signs.still
    return costs


def _grain_cost(level, through, warmth):
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
