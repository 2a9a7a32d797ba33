"""Alpha and Beta folders to checked pairs, and which of them two sets share."""

import os
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import xxhash

from fastup import frames
from fastup._threads import in_order
from fastup._types import Frame, Size, StrPath
from fastup.errors import DataError, FastupError
from fastup.header import Header
from fastup.pairs.digests import Digests

PART = 1 << 14  # bytes of a frame that are compared first
SIDES = ("Alpha", "Beta")
MOST_PROBLEMS = 40  # lines of a message


@dataclass(frozen=True)
class Pairs:
    """Frames of one folder, paired by stem, in frame order. All inputs have one size and white, and all targets."""

    folder: Path
    inputs: tuple[Path, ...]
    targets: tuple[Path, ...]
    input_size: Size  # of a frame
    target_size: Size
    input_white: int | None
    target_white: int | None

    def __len__(self) -> int:
        return len(self.inputs)


def find_pairs(folder: StrPath) -> Pairs:
    """Pair the frames of folder/Alpha and folder/Beta, and check them by their headers.

    Raises
    ------
    DataError
        If a folder is missing or empty, a frame has no partner or two, cannot be read or is not RGB, or if sizes,
        channels or whites differ within a folder. Tells of all that is wrong, pair by pair; of 40 things at most.
    """
    return find_sets([folder])[0]


def find_sets(folders: Iterable[StrPath]) -> list[Pairs]:
    """`find_pairs` of several folders, or one DataError that tells what is wrong in all of them."""
    folders = [Path(folder) for folder in folders]
    checked = [_check(folder) for folder in folders]
    problems = [each for _, each in checked]
    lines = [" ".join(line.split()) for each in problems for line in each]
    if len(lines) == 1:
        raise DataError(lines[0])
    if lines:
        where = ", ".join(str(folder) for folder, each in zip(folders, problems, strict=True) if each)
        more = [f"and {len(lines) - MOST_PROBLEMS} more"] if len(lines) > MOST_PROBLEMS else []
        raise DataError("\n  ".join([f"{len(lines)} problems in {where}:", *lines[:MOST_PROBLEMS], *more]))
    return [pairs for pairs, _ in checked]


def _check(folder):
    """The pairs of a folder, or None; and what is wrong with it, a list of lines."""
    expected = "Alpha (input frames) and Beta (target frames)"
    if not folder.is_dir():
        return None, [f"{folder}: no such folder, expected one with {expected}"]
    problems, sides = [], {}
    for side in SIDES:
        try:
            if not (folder / side).is_dir():
                raise DataError(f"{folder}: no folder {side} here, expected {expected}")
            sides[side] = frames.find(folder / side)
        except (FastupError, OSError) as error:
            problems.append(_reason(folder / side, error))
    faults, by_stem, common = defaultdict(list), {}, {}  # by path, and the others by side
    for side, paths in sides.items():
        by_stem[side], common[side] = _probed(paths, faults)
    for one, other in (SIDES, SIDES[::-1]) if len(sides) == 2 else ():
        for stem, path in by_stem[one].items():
            if stem not in by_stem[other]:
                faults[path].append(f"{path}: no partner in {other}")
    for side, paths in sides.items():
        problems += _in_common(folder / side, paths, faults)
    places = {stem: n for n, stem in enumerate(dict.fromkeys(stem for stems in by_stem.values() for stem in stems))}
    problems += [
        line for path in sorted(faults, key=lambda path: places[frames.stem_of(path)]) for line in faults[path]
    ]
    if problems:
        return None, problems
    inputs, targets = by_stem.values()
    (input_shape, input_white), (target_shape, target_white) = common.values()
    pairs = Pairs(
        folder, tuple(inputs.values()), tuple(targets[stem] for stem in inputs),
        input_shape[:2], target_shape[:2], input_white, target_white,
    )  # fmt: skip
    return pairs, problems


def _probed(paths, faults):
    """The frames of a side by stem, and the probe that most of them share; adds to `faults` what is wrong with each."""
    stems, probes = {}, {}
    for path in paths:
        first = stems.setdefault(frames.stem_of(path), path)
        if first != path:
            faults[path].append(f"{path}: another frame has the same stem, {first.name}; pairs go by stem")
            continue
        try:
            probes[path] = frames.probe(path)
            frames.refuse_chroma(path)
        except (FastupError, OSError) as error:
            faults[path].append(_reason(path, error))
    if not probes:
        return stems, None
    (common, _), *_ = Counter(probes.values()).most_common()
    for path, probe in probes.items():
        if probe != common:
            found, expected = _probe_text(probe), _probe_text(common)
            faults[path].append(f"{path}: {found}, expected {expected} like the most of its folder")
        elif probe[0][2] != 3:
            faults[path].append(f"{path}: {probe[0][2]} channels, expected 3")
    return stems, common


def _in_common(side, paths, faults):
    """What is wrong with all frames of a side alike, a line for all of them; it is no longer among `faults`."""
    texts = {tuple(line.removeprefix(str(path)) for line in faults.get(path, ())) for path in paths}
    if len(paths) == 1 or len(texts) > 1:
        return []
    for path in paths:
        faults.pop(path, None)
    return [f"{side}: all {len(paths)} frames{text}" for text in texts.pop()]


def _reason(path, error):
    """What went wrong with a file or folder, as one line that begins with its name."""
    return f"{path}: {error.strerror or error}" if isinstance(error, OSError) else str(error)


def _probe_text(probe):
    (height, width, channels), white = probe
    return f"{width}x{height}, {channels} channels, " + (f"white {white}" if white else "floats")


def of_one_colour(picture: Frame) -> bool:
    """Whether all pixels are the same."""
    return bool((picture == picture[0, 0]).all())


def seen(pairs: Pairs, other: Pairs, cache: StrPath | None = None) -> list[tuple[Path, Path]]:
    """Which pairs of another set are in this one, too, by what their files hold; of a DPX, by what follows its header.

    Frames of one colour, such as black ones, don't count. A few bytes of each file are held against the others', and
    where those are the same, the whole.

    Gives for each such pair, in order, a frame of `other`, input or target, and one of `pairs` that holds the same.
    Digests are noted in `cache`, as `contents` does it.
    """
    digests, found = Digests(cache), dict[int, tuple[Path, Path]]()
    for ours, theirs in ((pairs.inputs, other.inputs), (pairs.targets, other.targets)):  # the smaller ones first
        parts = {path: xxhash.xxh3_128_digest(_part(path)) for path in {*ours, *theirs}}
        alike = {parts[path] for path in ours} & {parts[path] for n, path in enumerate(theirs) if n not in found}
        compared = [path for path, part in parts.items() if part in alike]
        held = dict(zip(compared, in_order(lambda path: digests.of(path, _first_pixel(path)), compared), strict=True))
        first = {held[path]: path for path in reversed(ours) if path in held}
        for number, path in enumerate(theirs):
            if number not in found and held.get(path) in first and not _is_flat(path):
                found[number] = path, first[held[path]]
    digests.save()
    return [found[number] for number in sorted(found)]


def seen_note(pairs: Pairs, other: Pairs, found: Sequence[tuple[Path, Path]]) -> str | None:
    """A line on the pairs that are `seen`; None if there are none."""
    if not found:
        return None
    path, twin = found[0]
    return (
        f"{len(found)} of the {len(other)} pairs of {other.folder} {'are' if len(found) > 1 else 'is'} in "
        f"{pairs.folder} too, which says nothing of frames that training does not see; the first: {path} is {twin}"
    )


def _part(path):
    """A few bytes from the middle of a frame's pixels."""
    start = _first_pixel(path)
    with open(path, "rb") as file:
        file.seek(max(start, (start + file.seek(0, os.SEEK_END) - PART) // 2))
        return file.read(PART)


def _first_pixel(path):
    """Where the header of a DPX ends; 0 of other formats."""
    return len(Header.read(path).raw) if frames.is_dpx(path) else 0


def _is_flat(path):
    """Whether a frame is of one colour. It is decoded only if it is small, or its bytes are the same all over."""
    (height, width, channels), _ = frames.probe(path)
    small = os.path.getsize(path) < height * width * channels / 10 or len(zlib.compress(_part(path))) < PART / 20
    return small and of_one_colour(frames.read(path, "float32"))
