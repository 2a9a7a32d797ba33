"""The shots of a set: runs of its pairs that follow one another in a film, and what each begins by."""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from fastup import _signatures, frames
from fastup._types import Codes, Progress, StrPath
from fastup.errors import DataError
from fastup.footage.sequences import sequences
from fastup.pairs import shots
from fastup.pairs.cache import set_name
from fastup.pairs.folder import Pairs
from fastup.pairs.geometry import size_text
from fastup.pairs.matched import FOUND, read_found
from fastup.pairs.signatures import Signatures
from fastup.pairs.stored import Rows, measured

CELLS = (_signatures.ROWS, _signatures.COLUMNS)
LEVELS_VERSION = 1  # of the file that keeps the grids, and of what they measure
FIRST, FOLDERS, NAMES, NUMBERS, SIZES, MATCH, TELECINE, PICTURES = WHY = (
    "first", "folders", "names", "numbers", "sizes", "match.json", "telecine", "pictures",
)  # fmt: skip


@dataclass(frozen=True)
class Clips:
    """The shots of a set.

    Attributes
    ----------
    shots : list of (int, int)
        Of each, in order, the number of its first pair, and of the one behind its last.
    why : list of str
        What says that each begins where it does, one of `WHY`: it is the set's first pair; it lies in another folder;
        its name is of another sequence, or has no number; numbers are missing before it, or it has the number of the
        one before; its pictures have other sizes or borders; `fastup match` found another shot; the tape was edited
        there; the pictures show a cut.
    """

    shots: list[tuple[int, int]]
    why: list[str]

    @property
    def lengths(self) -> list[int]:
        """How many pairs each has."""
        return [stop - start for start, stop in self.shots]

    @property
    def counts(self) -> dict[str, int]:
        """How many begin by what, in the order of `WHY`; none that do not occur."""
        found = Counter(self.why)
        return {why: found[why] for why in WHY if found[why]}


def clips(pairs: Pairs, cache: StrPath | None = None, on_progress: Progress | None = None) -> Clips:
    """The shots of a set of pairs.

    Pairs follow one another where their targets lie in one folder and their names differ in one number alone, by the
    step that is usual there: 1, where more are missing than there are. Which of those begin a shot say `match.json` in
    the folder that the set is in, a report of `fastup detelecine` beside the inputs or the targets, and cuts in the
    pictures of the targets, by `fastup.pairs.shots`: a flash, a pan, a hold or a fade is none. Where `match.json` knows
    two neighbours, pictures are not asked.

    The grids of luma that tell cuts are kept in a file in `cache`, by what the targets hold, so that each is read once.
    Targets that follow no other are not read.

    Raises
    ------
    DataError
        If `match.json` or a report is none, or a target has changed its size.
    DpxError, FastupError, OSError
        If a target cannot be read, or a file not be written.
    """
    why = _by_names(pairs)
    matched = _by_match(pairs, why)
    _by_telecine(pairs, why)
    _by_pictures(pairs, why, matched, cache, on_progress)
    starts = [number for number, each in enumerate(why) if each]
    return Clips(list(pairwise([*starts, len(pairs)])), [why[start] for start in starts])


def _by_names(pairs):
    """Why each pair does not follow the one before it, by folders, names, numbers and kinds; "" where it does."""
    why = [FIRST] + [NAMES] * (len(pairs) - 1)
    folders = defaultdict(list)
    for number, path in enumerate(pairs.targets):
        folders[path.parent].append(number)
    for numbers in folders.values():
        if numbers[0]:
            why[numbers[0]] = FOLDERS
        for each in sequences([pairs.targets[number] for number in numbers]):
            for (i, j), (a, b) in zip(pairwise(each.indices), pairwise(each.numbers), strict=True):
                if numbers[j] - numbers[i] == 1:
                    why[numbers[j]] = "" if b - a == _step(each) else NUMBERS
    for number in range(1, len(pairs)):
        if pairs.kind_of[number] != pairs.kind_of[number - 1]:
            why[number] = SIZES
    return why


def _step(sequence):
    """How far it is from a frame's number to the next one's; 1 where frames were chosen, between which are more."""
    count = len(sequence.paths)
    return sequence.step if sequence.step and count > 2 and sequence.missing <= count else 1


def _by_match(pairs, why):
    """Add what `fastup match` found of this set; gives of which pairs it knows the shot."""
    data = pairs.folder.parent
    if not (data / FOUND).exists():
        return np.zeros(len(pairs), bool)
    rows = read_found(data)["frames"]
    shot_of = {row["name"]: row["shot"] for row in rows if row.get("set") == pairs.folder.name}
    shot = [shot_of.get(pairs.name(number)) for number in range(len(pairs))]
    for number in range(1, len(pairs)):
        if not why[number] and None not in shot[number - 1 : number + 1] and shot[number] != shot[number - 1]:
            why[number] = MATCH
    return np.array([each is not None for each in shot])


def _by_telecine(pairs, why):
    """Add where a tape was edited before its film was made of it, by the reports that lie beside frames."""
    edits = {}
    for number in range(1, len(pairs)):
        for side in (pairs.inputs, pairs.targets):
            stem, _, frame = side[number].stem.rpartition("_")
            report = side[number].parent / "telecine" / f"{stem}.json"
            if report not in edits:
                edits[report] = _edits(report)
            if not why[number] and frame.isdecimal() and int(frame) in edits[report]:
                why[number] = TELECINE


def _edits(report: Path) -> set[int]:
    """The film frames before which the cadence breaks, and those around one that is lost."""
    if not report.exists():
        return set()
    try:
        found = json.loads(report.read_text("utf-8"))
        fields = [2 * each["frame"] + (each["field"] == "second") for each in found["breaks"]]
        top = int(found["order"] != "top")  # which field of a frame of video the top one is
        woven = [[2 * f + k for f, k in zip(frame, (top, 1 - top), strict=False) if f >= 0] for frame in found["woven"]]
        lost = {n for n, fields_of in enumerate(woven) if not fields_of}
        first = np.maximum.accumulate([min(fields_of, default=0) for fields_of in woven] or [0])
    except (ValueError, TypeError, KeyError):
        raise DataError(f"{report}: not what `fastup detelecine` wrote; expected that, or no such file") from None
    return {int(n) for n in np.searchsorted(first, fields)} | lost | {n + 1 for n in lost}


def _by_pictures(pairs, why, matched, cache, on_progress):
    """Add the cuts that the pictures show."""
    starts = [number for number, each in enumerate(why) if each]
    runs = [(a, b) for a, b in pairwise([*starts, len(pairs)]) if b - a > 1 and not matched[a:b].all()]
    numbers = [number for a, b in runs for number in range(a, b)]
    grids = dict(zip(numbers, levels_of(pairs, numbers, cache, on_progress), strict=True))
    for a, b in runs:
        grid = np.array([grids[number] for number in range(a, b)])
        for cut in shots.cuts(Signatures(grid, np.arange(a, b, dtype=np.int32)))[1:] + a:
            if not matched[cut - 1 : cut + 1].all():
                why[cut] = PICTURES


def levels_of(
    pairs: Pairs, numbers: list[int], cache: StrPath | None = None, on_progress: Progress | None = None
) -> list[Codes]:
    """The grids of luma of some pairs' targets, (36, 48) uint16 each: kept, and raising, as `clips` says."""
    name = pairs.folder.name if cache is None else set_name(pairs.folder, cache)
    trims = {
        kind.trim: Rows("levels", name, (LEVELS_VERSION, tuple(kind.trim)), np.uint16, CELLS) for kind in pairs.kinds
    }

    def levels(place):
        number = numbers[place]
        target, kind = pairs.targets[number], pairs.kind(number)
        frame = frames.read(target, "uint16" if kind.target_white else "float32")
        if frame.shape != (*kind.target_size, 3):
            raise DataError(f"{target}: has become {size_text(frame.shape)}, expected {size_text(kind.target_size)}")
        return _signatures.levels(kind.trim.crop(frame), kind.target_white)

    placed = [trims[pairs.kind(number).trim].add() for number in numbers]
    return measured([pairs.targets[number] for number in numbers], placed, levels, cache, "finding shots", on_progress)
