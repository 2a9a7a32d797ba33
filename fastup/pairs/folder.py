"""Alpha and Beta folders to checked pairs, and which of them two sets share."""

import os
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import xxhash

from fastup import frames
from fastup._scales import Scale
from fastup._threads import in_order
from fastup._types import Frame, Progress, Size, StrPath
from fastup.errors import DataError, FastupError, OptionError
from fastup.header import Header
from fastup.pairs.digests import Digests
from fastup.pairs.geometry import Geometry, pair_of, scale_text, size_text
from fastup.pairs.trims import Trims
from fastup.trim import UNTRIMMED, AnyTrim, Trim

PART = 1 << 14  # bytes of a frame that are compared first
SIDES = ("Alpha", "Beta")
REPORTS = ("telecine", "dehalo")  # folders that chores leave beside the frames that they make
MOST_PROBLEMS = 40  # lines of a message


@dataclass(frozen=True)
class Kind:
    """What the pairs of one kind have in common: the sizes and whites of whole frames, and what is trimmed of them."""

    input_size: Size
    target_size: Size
    input_white: int | None  # None of floats
    target_white: int | None
    trim: Trim = UNTRIMMED  # of targets
    input_trim: Trim = UNTRIMMED
    scale: Scale | None = None  # where there are no inputs yet: those that are made of the targets, whole pictures

    @classmethod
    def of_targets(cls, size: Size, white: int | None, scale: Scale, trim: Trim = UNTRIMMED) -> "Kind":
        """A kind whose inputs are made of its targets.

        What is left of a target is whole cells: the right and the lower edge beyond them are trimmed, too. Inputs have
        10 bits, and 8 where the targets have no more. DataError if a picture is smaller than a cell.
        """
        picture = trim.picture(size)
        bottom, right = (pixels % factor.numerator for pixels, factor in zip(picture, scale, strict=True))
        trim = Trim(trim.left, trim.right + right, trim.top, trim.bottom + bottom)
        height, width = (n // factor.numerator * factor.denominator for n, factor in zip(picture, scale, strict=True))
        if not height or not width:
            raise DataError(f"the picture is {size_text(picture)}, expected one cell of {scale_text(scale)} or more")
        return cls((height, width), size, min(white or 1023, 1023), white, trim, UNTRIMMED, scale)

    @cached_property
    def geometry(self) -> Geometry:
        """Their pictures, and the scale between them."""
        return Geometry.of(self.input_size, self.target_size, self.trim, self.input_trim)

    def side(self, side: str) -> tuple[Size, int | None, Trim]:
        """Size, white and trim of frames in Alpha, or in Beta, of which inputs are made where there is no Alpha."""
        if side == SIDES[0] and self.scale is None:
            return self.input_size, self.input_white, self.input_trim
        return self.target_size, self.target_white, self.trim


@dataclass(frozen=True)
class Pairs:
    """Frames of one folder, paired by their paths, in frame order. Sizes, whites and trims may differ, the scale not.

    Attributes
    ----------
    folder : Path
        Holds Alpha and Beta.
    inputs, targets : tuple of Path
        The same where inputs are made of targets.
    kinds : tuple of Kind
        The kinds of pairs that there are, the most common first.
    kind_of : tuple of int
        The place in `kinds` of each pair's.
    """

    folder: Path
    inputs: tuple[Path, ...]
    targets: tuple[Path, ...]
    kinds: tuple[Kind, ...]
    kind_of: tuple[int, ...]

    @classmethod
    def of(cls, folder: Path, inputs: Iterable[Path], targets: Iterable[Path], kinds: Iterable[Kind]) -> "Pairs":
        """Pairs with the kind of each."""
        kinds = list(kinds)
        places = {kind: place for place, (kind, _) in enumerate(Counter(kinds).most_common())}
        return cls(folder, tuple(inputs), tuple(targets), tuple(places), tuple(places[kind] for kind in kinds))

    def __len__(self) -> int:
        return len(self.targets)

    def kind(self, number: int) -> Kind:
        """The kind of a pair."""
        return self.kinds[self.kind_of[number]]

    def only(self, numbers: Iterable[int]) -> "Pairs":
        """Some of the pairs."""
        numbers = list(numbers)
        return Pairs.of(
            self.folder, [self.inputs[n] for n in numbers], [self.targets[n] for n in numbers], map(self.kind, numbers)
        )

    def counts(self) -> list[int]:
        """How many pairs there are of each kind."""
        found = Counter(self.kind_of)
        return [found[place] for place in range(len(self.kinds))]

    @property
    def made(self) -> bool:
        """Whether there are no inputs yet, and they are made of the targets."""
        return self.kinds[0].scale is not None

    @property
    def usual(self) -> int:
        """The number of the first pair of the most common kind."""
        return self.kind_of.index(0)

    @property
    def geometry(self) -> Geometry:
        """Of the most common kind. Scale and cell are those of all."""
        return self.kinds[0].geometry

    @property
    def roomiest(self) -> Geometry:
        """Of the kind whose pictures hold the largest tile."""
        return max((kind.geometry for kind in self.kinds), key=lambda each: min(each.target_picture))

    def holding(self, tile: int | Size | None) -> Geometry:
        """Of the most common kind whose pictures hold such a tile; of the roomiest if none do, or none is given."""
        if tile is not None:
            for kind in self.kinds:
                if all(size <= room for size, room in zip(pair_of(tile), kind.geometry.target_picture, strict=True)):
                    return kind.geometry
        return self.roomiest

    @property
    def input_white(self) -> int | None:
        """The white of all inputs; None where they differ, or are floats: then what is made of them is normalised."""
        return _one({kind.input_white for kind in self.kinds})

    @property
    def target_white(self) -> int | None:
        """The same of targets."""
        return _one({kind.target_white for kind in self.kinds})

    def name(self, number: int) -> str:
        """What a pair is called: the path of its target in Beta, without the suffix."""
        path = self.targets[number]
        return stem_in(self.folder / SIDES[1], path) if path.is_relative_to(self.folder / SIDES[1]) else path.stem


def stem_in(side: Path, path: Path) -> str:
    """What the frames of a folder pair by: the path in it without the suffix."""
    return "/".join((*path.relative_to(side).parts[:-1], frames.stem_of(path)))


def _one(values):
    return values.pop() if len(values) == 1 else None


def find_pairs(
    folder: StrPath, trim: AnyTrim = UNTRIMMED, input_trim: AnyTrim | None = None, on_progress: Progress | None = None,
    scale: Scale | None = None, towards: Scale | None = None, grey: bool = False,
) -> Pairs:  # fmt: skip
    """Pair the frames of folder/Alpha and folder/Beta, and of the folders in them, and check them by their headers.

    Frames pair by their paths in Alpha and Beta, without suffixes. They may differ in size and white. `trim` and
    `input_trim` are as of `Trims`, as is the scale `towards`; `on_progress` is called while they are looked for. With a
    `scale`, a folder may lack Alpha: its inputs are those that can be made of the targets. It may then lack Beta, too:
    the frames in it, without those of the folders in it, are the targets. With `grey`, frames may have one channel.

    Raises
    ------
    DataError
        If a folder is missing or empty, a frame has no partner or two, cannot be read or is not RGB, or the scale
        between the pictures of a pair is not that of the most. Tells of all that is wrong, pair by pair; of 40 things
        at most.
    OptionError
        If a trim leaves nothing of a frame.
    """
    return find_sets([folder], trim, input_trim, on_progress, scale, towards, grey)[0]


def find_sets(
    folders: Iterable[StrPath], trim: AnyTrim = UNTRIMMED, input_trim: AnyTrim | None = None,
    on_progress: Progress | None = None, scale: Scale | None = None, towards: Scale | None = None, grey: bool = False,
) -> list[Pairs]:  # fmt: skip
    """`find_pairs` of several folders, or one DataError that tells what is wrong in all of them."""
    folders = [Path(folder) for folder in folders]
    checked, problems, trims = [], [], Trims(trim, input_trim, on_progress, towards or scale)
    for folder in folders:
        found, wrong = _check(folder, trims, scale, grey)
        checked.append(found)
        problems.append(wrong)
    lines = [" ".join(line.split()) for each in problems for line in each]
    if len(lines) == 1:
        raise DataError(lines[0])
    if lines:
        where = ", ".join(str(folder) for folder, each in zip(folders, problems, strict=True) if each)
        more = [f"and {len(lines) - MOST_PROBLEMS} more"] if len(lines) > MOST_PROBLEMS else []
        raise DataError("\n  ".join([f"{len(lines)} problems in {where}:", *lines[:MOST_PROBLEMS], *more]))
    return checked


def _check(folder, trims, scale, grey):
    """The pairs of a folder, or None; and what is wrong with it, a list of lines."""
    expected = "Alpha (input frames) and Beta (target frames)"
    if not folder.is_dir():
        return None, [f"{folder}: no such folder, expected one with {expected}"]
    problems, sides = [], {}
    lacks_inputs = not os.path.lexists(folder / SIDES[0])
    made = scale is not None and lacks_inputs
    places = {side: folder / side for side in SIDES[made:]}
    alone = lacks_inputs and not os.path.lexists(folder / SIDES[1]) and _holds_frames(folder)  # targets, in no Beta
    hint = ""
    if alone or (lacks_inputs and (folder / SIDES[1]).is_dir()):
        hint = "; `fastup train --degrade` makes inputs, as does `fastup evaluate --protocol papers`"
    if made and alone:
        places = {SIDES[1]: folder}
    for side, place in places.items():
        try:
            if not place.is_dir():
                raise DataError(f"{folder}: no folder {side} here, expected {expected}{hint}")
            sides[side] = _without_reports(place, frames.find(place, deep=place != folder))
        except (FastupError, OSError) as error:
            problems.append(_reason(place, error))
    faults, by_stem, probes = defaultdict(list), {}, {}  # by path, and the others by side
    for side, paths in sides.items():
        by_stem[side] = _probed(places[side], paths, (1, 3) if grey else (3,), faults, probes)
    for one, other in (SIDES, SIDES[::-1]) if len(sides) == 2 else ():
        for stem, path in by_stem[one].items():
            if stem not in by_stem[other]:
                faults[path].append(f"{path}: no partner in {other}")
    ours, theirs = (by_stem.get(side, {}) for side in (SIDES[1:] * 2 if made else SIDES))
    whole = [(path, theirs[stem]) for stem, path in ours.items() if stem in theirs]
    whole = [each for each in whole if not faults.keys() & each]
    if made:
        kinds = _made_kinds([path for path, _ in whole], probes, scale, trims, faults)
    else:
        kinds = list(_kinds([(probes[path], probes[target]) for path, target in whole], whole, trims))
        _check_scale(whole, kinds, faults)
    for side, paths in sides.items():
        problems += _in_common(places[side], paths, faults)
    stems = {path: stem_in(places[side], path) for side, paths in sides.items() for path in paths}
    places = {stem: n for n, stem in enumerate(dict.fromkeys(stem for each in by_stem.values() for stem in each))}
    problems += [line for path in sorted(faults, key=lambda path: places[stems[path]]) for line in faults[path]]
    if problems:
        return None, problems
    return Pairs.of(folder, *zip(*whole, strict=True), kinds), []


def _without_reports(side, paths):
    """Frames without the pictures in folders in which `detelecine` and `dehalo` tell of those beside them."""
    folders = {folder for path in paths for folder in path.relative_to(side).parents if folder.name in REPORTS}
    reports = {folder for folder in folders if any((side / folder).glob("*.json"))}
    return [path for path in paths if reports.isdisjoint(path.relative_to(side).parents)]


def _holds_frames(folder):
    try:
        return bool(frames.find(folder))
    except (FastupError, OSError):
        return False


def _kinds(probes, paths, trims):
    """The kinds of pairs, by what is known of input and target, and their paths."""
    sizes = [(ours[:2], theirs[:2]) for (ours, _), (theirs, _) in probes]
    each = zip(sizes, probes, trims.of(paths, sizes), strict=True)
    made = {}  # one of each, as it knows its geometry
    for size, ((_, white), (_, target_white)), (input_trim, trim) in each:
        kind = Kind(*size, white, target_white, trim, input_trim)
        yield made.setdefault(kind, kind)


def _made_kinds(paths, probes, scale, trims, faults):
    """The kinds of targets of which inputs are made; adds to `faults` which cannot be."""
    kinds = []
    for path, trim in zip(paths, trims.of_targets(paths, [probes[path][0][:2] for path in paths]), strict=True):
        shape, white = probes[path]
        try:
            kinds.append(Kind.of_targets(shape[:2], white, scale, trim))
        except DataError as error:
            faults[path].append(f"{path}: {error}")
    return kinds


def _probed(side, paths, expected, faults, probes):
    """The frames of a side by stem, of as many channels as `expected`; adds to `faults` and, by path, to `probes`."""
    stems = {}
    for path in paths:
        first = stems.setdefault(stem_in(side, path), path)
        if first != path:
            faults[path].append(f"{path}: another frame has the same stem, {first.name}; pairs go by stem")
            continue
        try:
            probes[path] = frames.probe(path)
            frames.refuse_chroma(path)
        except (FastupError, OSError) as error:
            faults[path].append(_reason(path, error))
        else:
            if (channels := probes[path][0][2]) not in expected:
                faults[path].append(f"{path}: {channels} channels, expected {' or '.join(map(str, expected))}")
    return stems


def _check_scale(paths, kinds, faults):
    """Add to `faults` which pairs, of paths of an input and a target, have another scale than the most."""
    wrong, scales = {}, Counter()
    for kind, count in Counter(kinds).items():
        try:
            scales[kind.geometry.scale] += count
        except DataError as error:
            wrong[kind] = str(error)
        except OptionError as error:
            path = paths[kinds.index(kind)][0]
            raise OptionError(f"{path}: {error}" if count < len(kinds) else str(error)) from None
    common = max(scales, key=scales.__getitem__, default=None)
    usual = next((kind for kind in kinds if kind not in wrong and kind.geometry.scale == common), None)
    for (path, target), kind in zip(paths, kinds, strict=True):
        if kind not in wrong and kind.geometry.scale == common:
            continue
        odd = target if usual is not None and kind.input_size == usual.input_size else path
        text = wrong.get(kind) or f"{kind.geometry.words}, expected {scale_text(common)} like the most of its set"
        faults[odd].append(f"{odd}: {text}")


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
