"""Which sequences the frames of a folder are, by their numbers, and when each frame is, by number and timecode."""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from fastup import frames
from fastup._types import StrPath
from fastup.codes import Timecode
from fastup.errors import FastupError

FEWEST = 3  # frames of a sequence, on average
_RATES = (24, 25, 30, 48, 50, 60)


@dataclass(frozen=True)
class Sequence:
    """Frames whose names differ in one number alone."""

    paths: tuple[Path, ...]  # in frame order
    indices: tuple[int, ...]  # where they are among all
    numbers: tuple[int, ...]  # one each; none where names have no number
    step: int  # from a number to the next, mostly; 0 of one alone, or where no number is another's next by any step
    gaps: tuple[tuple[int, int], ...]  # the first and the last number of each that is missing
    doubled: tuple[tuple[Path, Path], ...]  # neighbours that have the same number

    @property
    def missing(self) -> int:
        """How many numbers are missing."""
        return sum((last - first) // self.step + 1 for first, last in self.gaps)


def sequences(paths: list[Path]) -> list[Sequence]:
    """The sequences that frames are, in frame order as `frames.find` gives them; those first that begin first."""
    shapes: dict[str, list[Any]] = {}
    found: dict[Any, list[Any]] = {}
    for index, path in enumerate(paths):
        parts = frames.parts_of(path.stem)
        numbers = tuple(map(int, parts[1::2]))
        shapes.setdefault("/".join(parts[0::2]).lower(), []).append((numbers, index))
    for shape, group in shapes.items():
        place = _place([numbers for numbers, _ in group])
        for numbers, index in group:
            key = (shape, _without(numbers, place)) if numbers else index
            found.setdefault(key, []).append((index, *numbers[place : place + 1]))
    return [_sequence(paths, *zip(*each, strict=True)) for each in sorted(found.values())]


def with_gaps(paths: list[Path]) -> list[Sequence]:
    """The sequences that miss numbers; none of chosen frames, between which there are more that are not."""
    return [each for each in sequences(paths) if 0 < each.missing <= len(each.paths)]


def _place(rows):
    """Which number of names is the frame's: the last by which sequences are of `FEWEST` frames or more, on average.

    So shots may be more than the frames in each. Two versions of each frame are no sequences of two. Where no number
    makes such, it is the one that makes the fewest, the last of several.
    """
    count = len(rows[0])
    varying = [k for k, column in enumerate(zip(*rows, strict=True)) if len(set(column)) > 1]
    if len(varying) < 2:
        return varying[0] if varying else max(count - 1, 0)
    made = {k: len({_without(row, k) for row in rows}) for k in reversed(varying)}
    return next((k for k in made if len(rows) >= FEWEST * made[k]), min(made, key=made.__getitem__))


def _without(numbers, place):
    return numbers[:place] + numbers[place + 1 :]


def _sequence(paths, indices, numbers=()):
    apart = np.diff(np.array(numbers, object))
    members = tuple(paths[k] for k in indices)
    doubled = tuple((members[k], members[k + 1]) for k in np.flatnonzero(apart == 0))
    step = _commonest(apart[apart > 0])
    if any(apart % step) if step else False:
        step = 0
    wide = np.flatnonzero(apart > step) if step else ()
    gaps = tuple((numbers[k] + step, numbers[k + 1] - step) for k in wide)
    return Sequence(members, indices, numbers, step, gaps, doubled)


def _commonest(values):
    """The value that there is most of, the least of several; 0 of none."""
    counts = Counter(values)
    return min(counts, key=lambda value: (-counts[value], value), default=0)


def survey(folder: StrPath) -> list[dict[str, Any]]:
    """What sequences there are in a folder of frames, by names and headers alone.

    One each, as JSON takes it; frames that are no sequence come together, as the last. "pictures" has how many there
    are of each size and flavour, "time" which time is missing, "unreadable" what is wrong with each frame that cannot
    be read.
    """
    found = sequences(frames.find(folder))
    alone = [path for each in found if len(each.paths) == 1 for path in each.paths]
    surveyed = []
    for each in found:
        if len(each.paths) > 1:
            facts, times = _headers(each.paths)
            surveyed.append(facts | _order(each, times))
    return surveyed + ([_headers(alone)[0]] if alone else [])


def _headers(paths):
    """The half of a survey that the headers have; and the timecode and the rate of each, as far as it has them."""
    pictures, unreadable, times, size = Counter(), [], [], 0
    for path in paths:
        timecode = rate = None
        try:
            size += path.stat().st_size
            header = frames.read_header(path)
            timecode, rate, flavour = header.timecode, header.frame_rate, header.flavour
            if not frames.is_dpx(path):
                flavour = f"{flavour.split(',')[0]}, {path.suffix[1:].lower()}"  # the rest is of a DPX that there isn't
            pictures[f"{header.width}x{header.height}, {flavour}"] += 1
        except (FastupError, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            unreadable.append(f"{path.name}: {reason.removeprefix(f'{path}: ')}")
        times.append((timecode, rate))
    known = [timecode for timecode, _ in times if timecode]
    return {
        "first": paths[0].name,
        "last": paths[-1].name,
        "frames": len(paths),
        "bytes": size,
        "pictures": dict(pictures.most_common()),
        "frame_rates": sorted({round(rate, 3) for _, rate in times if rate and rate >= 0.001}),
        "timecodes": [known[0], known[-1]] if known else [],
        "unreadable": unreadable,
    }, times


def _order(each, times):
    rates = [rate for _, rate in times if rate and 0 < rate < 1000]
    line = timeline(each.paths, [timecode for timecode, _ in times], max(1, round(min(rates))) if rates else None)
    return {
        "numbers": [each.numbers[0], each.numbers[-1]],
        "step": each.step,
        "missing": each.missing,
        "gaps": [list(gap) for gap in each.gaps],
        "doubled": line.doubled,
        "time": [f"{last - first + 1} {words}" for first, last, words in line.gaps],
        "notes": line.repeated + line.notes,
    }


@dataclass(frozen=True)
class Timeline:
    """When each of some frames is."""

    places: np.ndarray  # of each frame in time, in frames from the first; no two are the same
    gaps: list[tuple[int, int, str]]  # the first and the last place of each, and between which frames it is
    marks: list[tuple[int, Timecode]]  # the places from which a timecode is counted on, and that timecode
    base: int  # how many frames of timecode a second has
    pace: int  # how many frames of timecode a frame takes
    doubled: list[str]  # which frames have the same number, in words
    repeated: list[str]  # which have the timecode of the one before, in words
    notes: list[str]  # what was taken for granted


def timeline(paths: list[Path], timecodes: list[Any], base: int | None = None) -> Timeline:
    """When each frame is, by the numbers in the names, and by the timecodes, one each or None, where these say more.

    Numbers that are missing are time that is missing, and so are timecodes. A jump by more than there are frames, or
    jumps that are more than that together, are none: nothing tells whether time is missing there. Nor does it where
    timecodes go back, or others come between: they are another recording's, and are counted on from there.

    `base` is how many frames of timecode a second has; by default the usual number that is large enough. Where seconds
    are seen to end earlier, it is that.
    """
    steps, doubled, notes = _by_numbers(paths)
    places = np.concatenate([[0], np.cumsum(steps)]).astype(np.int64)
    known = [k for k, timecode in enumerate(timecodes) if timecode]
    most = max((timecodes[k].frames for k in known), default=0)
    pairs = [(timecodes[a], timecodes[b]) for a, b in pairwise(known) if places[b] - places[a] == 1]
    stands_still = sum(a == b for a, b in pairs) > len(pairs) / 4
    seen = next((rate for rate in _RATES if rate > most), 60)
    if base and most + 1 == seen < base and not stands_still and _seconds_end(most, pairs):
        notes.append(f"a second of timecode has {seen} frames, not {base} as by the frame rate")
        base = seen
    base, pace, at, repeated = base or seen, 1, known[:1], []
    if _drops(pairs, base):
        notes.append("timecodes leave out numbers as drop frame does, and do not say so: they are counted as such")
        timecodes = [timecode and Timecode(f"{timecode[:8]};{timecode[9:]}") for timecode in timecodes]
    if most >= base:
        notes.append(f"timecodes have frames up to {most}, though a second has {base}: they tell of no gaps")
    elif known:
        drop = timecodes[known[0]].drop_frame and base % 30 == 0
        counts = np.array([count(timecodes[k], base, drop) for k in known], np.int64)
        day = count(Timecode(f"23:59:59:{base - 1:02d}"), base, drop) + 1
        apart = (np.diff(counts) + day // 2) % day - day // 2  # midnight is no way back
        counts = np.concatenate([[0], np.cumsum(apart)])
        if stands_still:
            notes.append("the timecode stands still: it tells of no gaps")
        else:
            neighbours = apart[np.diff(places[known]) == 1]
            pace = int(_commonest(neighbours[neighbours > 0])) or 1
            extra, at, odd, twice = _by_timecodes(known, counts, places, pace, len(paths))
            places += extra
            repeated = [f"{paths[k].name} has the timecode of {paths[k - 1].name}, {timecodes[k]}" for k in twice]
            if odd:
                more = f", and so in {len(odd) - 1} places more" if len(odd) > 1 else ""
                notes.append(
                    f"the timecode does not run on from {_named(paths, timecodes, odd[0] - 1)} to "
                    f"{_named(paths, timecodes, odd[0])}{more}: there it is counted anew, and no gap is taken for it"
                )
    marks = [(int(places[k]), timecodes[k]) for k in at]
    wide = np.flatnonzero(np.diff(places) > 1)
    gaps = [
        (int(places[k]) + 1, int(places[k + 1]) - 1,
         f"between {_named(paths, timecodes, k)} and {_named(paths, timecodes, k + 1)}")
        for k in wide
    ]  # fmt: skip
    return Timeline(places, gaps, marks, base, pace, doubled, repeated, notes)


def _seconds_end(frame, pairs):
    """Whether three seconds or more end after that frame."""
    return sum((a.frames, b.frames) == (frame, 0) and a.seconds != b.seconds for a, b in pairs) >= 3


def _drops(pairs, base):
    """Whether timecodes leave out the first two numbers of a minute, or four of 60, as drop frame does, unsaid."""
    left_out = base // 15
    leaps = any(
        (a.seconds, a.frames, b.seconds, b.frames) == (59, base - 1, 0, left_out) and b.minutes % 10
        for a, b in pairs
        if not b.drop_frame
    )
    there = any(each.seconds == 0 and each.frames < left_out and each.minutes % 10 for each in chain(*pairs))
    return base % 30 == 0 and leaps and not there and any(b.frames - a.frames == 1 for a, b in pairs)


def _by_numbers(paths):
    """How far it is from each frame to the next by their numbers; which are doubled, and notes."""
    steps, doubled, notes, found = np.ones(len(paths) - 1, np.int64), [], [], sequences(paths)
    mixed = any(each.indices[-1] - each.indices[0] != len(each.paths) - 1 for each in found)
    if mixed:
        notes.append(f"{len(found)} sequences lie between each other: one frame is taken after the other")
    for each in found:
        doubled += [f"{a.name} and {b.name} have the same number" for a, b in each.doubled]
        if mixed or len(each.paths) < 2 or each.doubled:
            continue
        words = f"{each.paths[0].name} to {each.paths[-1].name}"
        ahead = np.diff(np.array(each.numbers, object)) // (each.step or 1)
        jumps = ahead > len(each.paths) + 1
        if not each.step or (ahead - 1)[~jumps].sum() > len(each.paths):
            notes.append(f"{words}: the numbers are not evenly apart: one frame is taken after the other")
            continue
        if each.step > 1 and len(each.paths) > 2:
            notes.append(f"{words} are numbered by {each.step}: one frame is taken after the other")
        for k in np.flatnonzero(jumps):
            a, b = (path.name for path in each.paths[k : k + 2])
            notes.append(f"{b} is taken as the frame after {a}: more is missing there than there is in all")
        steps[each.indices[0] : each.indices[-1]] = np.where(jumps, 1, ahead)
    return steps, doubled, notes


def _by_timecodes(known, counts, places, pace, most):
    """What the timecodes of the frames `known` say that their numbers don't.

    That is how much later each frame is than by its number; the frames at which the timecode is counted anew; those of
    them at which it does not run on; and those that have the timecode of the one before.
    """
    offsets = (counts - pace * places[known]).tolist()
    begins = [0] + [k for k in range(1, len(offsets)) if offsets[k] != offsets[k - 1]]
    last = {offsets[k]: k for k in begins}
    extra, at, odd, twice = np.zeros(len(places), np.int64), [known[0]], [], []
    usual = offsets[0]
    for k in begins[1:]:
        offset, frame = offsets[k], known[k]
        late, rest = divmod(offset - usual, pace)
        for_good = offset != usual and last[usual] < k  # or another recording's lie between
        gap = for_good and not rest and 0 < late <= most
        if gap:
            extra[frame:] += late
        elif for_good and counts[k] == counts[k - 1]:
            twice.append(frame)
        elif offset != usual:
            odd.append(frame)
        if not gap:
            at.append(frame)
        usual = offset if for_good else usual
    return _by_timecodes(known, counts, places, pace, 0) if extra[-1] > most else (extra, at, odd, twice)


def _named(paths, timecodes, k):
    return paths[k].name + (f" ({timecodes[k]})" if timecodes[k] else "")


def count(timecode: Timecode, base: int, drop: bool) -> int:
    """The number of a frame since 00:00:00:00, at `base` frames a second, with or without drop frame."""
    minutes = timecode.hours * 60 + timecode.minutes
    number = (minutes * 60 + timecode.seconds) * base + timecode.frames
    return number - (base // 15 * (minutes - minutes // 10) if drop else 0)


def timecode_at(start: str, index: int, rate: Fraction | int, new_rate: Fraction | int | None = None) -> Timecode:
    """The timecode of frame `index` at a new rate, or the same, where frame 0 has `start` at `rate`.

    It starts anew after 24 hours. Drop frame, which leaves out the first two numbers of every minute but each tenth at
    30000/1001 frames/s and four at 60000/1001 (SMPTE 12-1), stays so at these rates alone.
    """
    start, old, new = Timecode(start), round(rate), round(new_rate or rate)
    drop = start.drop_frame and new % 30 == 0
    ahead = Timecode(f"{start[:9]}{min(start.frames * new // old, new - 1):02d}")
    number, skipped = count(ahead, new, drop) + index, new // 15 if drop else 0
    tens, rest = divmod(number, 600 * new - 9 * skipped)
    number += 9 * skipped * tens + skipped * max(0, (rest - skipped) // (60 * new - skipped))
    seconds, last = divmod(number, new)
    hours, minutes = seconds // 3600 % 24, seconds // 60 % 60
    return Timecode(f"{hours:02d}:{minutes:02d}:{seconds % 60:02d}{':;'[drop]}{last:02d}")
