"""Alpha and Beta folders to checked pairs, the geometry between them, and the index of tiles to train on."""

import hashlib
import os
import re
import zlib
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from fractions import Fraction
from math import lcm
from pathlib import Path

import numpy as np
import xxhash

from fastup import frames
from fastup._tiles import TileGrid, detail, kept, rank
from fastup.codes import CHROMA
from fastup.errors import DataError, FastupError, OptionError
from fastup.header import Header
from fastup.pairs.digests import Digests, state_of

SMALLEST_DEFAULT_TILE = 60  # target pixels
SMALLEST_DEFAULT_BORDER = 2  # target pixels
PART = 1 << 14  # bytes of a frame that are compared first
SIDES = ("Alpha", "Beta")
MOST_PROBLEMS = 40  # lines of a message
TRANSCODED = "fastup: frame made DPX, of the file with XXH3 {}"  # in the header of a copy, as its project
_MADE_FOLDER = re.compile(r"\.|train(/(Alpha|Beta))?")  # in a cache; and the files, with those that `whole` begins:
_MADE = re.compile(
    r"\./(detail-[0-9a-f]{32}\.bin|digests\.json|rank\.png"
    rf"|\.(detail-[0-9a-f]{{32}}{frames.PART}\.bin|digests{frames.PART}\.json|rank{frames.PART}\.png))"
    r"|train/(Alpha|Beta)/[^/]*\.dpx"
)
INDEX_VERSION = 1  # of the file that keeps detail scores, and of what they measure


@dataclass(frozen=True)
class Pairs:
    """Frames of one folder, paired by stem, in frame order. All inputs have one size and white, and all targets."""

    folder: Path
    inputs: tuple[Path, ...]
    targets: tuple[Path, ...]
    input_size: tuple[int, int]  # height, width of a frame
    target_size: tuple[int, int]
    input_white: int | None
    target_white: int | None

    def __len__(self):
        return len(self.inputs)


def find_pairs(folder):
    """Pair the frames of folder/Alpha and folder/Beta, and check them by their headers.

    Raises
    ------
    DataError
        If a folder is missing or empty, a frame has no partner or two, cannot be read or is not RGB, or if sizes,
        channels or whites differ within a folder. Tells of all that is wrong, pair by pair; of 40 things at most.
    """
    return find_sets([folder])[0]


def find_sets(folders):
    """`find_pairs` of several folders: a list of `Pairs`, or one DataError that tells what is wrong in all of them."""
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
        by_stem[side], common[side] = _look(paths, faults)
    if len(sides) == 2:
        for one, other in (SIDES, SIDES[::-1]):
            for stem, path in by_stem[one].items():
                if stem not in by_stem[other]:
                    faults[path].append(f"{path}: no partner in {other}")
    for side, paths in sides.items():  # what all frames of a side have in common is one problem
        told = {tuple(line.removeprefix(str(path)) for line in faults.get(path, ())) for path in paths}
        if len(paths) > 1 and len(told) == 1 and told != {()}:
            problems += [f"{folder / side}: all {len(paths)} frames{text}" for text in told.pop()]
            for path in paths:
                del faults[path]
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


def _look(paths, faults):
    """The frames of a side by stem, and the probe that most of them share; adds to `faults` what is wrong with each."""
    stems, probes = {}, {}
    for path in paths:
        first = stems.setdefault(frames.stem_of(path), path)
        if first != path:
            faults[path].append(f"{path}: another frame has the same stem, {first.name}; pairs go by stem")
            continue
        try:
            probes[path] = frames.probe(path)
            refuse_chroma(path)
        except (FastupError, OSError) as error:
            faults[path].append(_reason(path, error))
    if not probes:
        return stems, None
    (common, _), *_ = Counter(probes.values()).most_common()
    for path, probe in probes.items():
        if probe != common:
            faults[path].append(f"{path}: {_words(probe)}, expected {_words(common)} like the most of its folder")
        elif probe[0][2] != 3:
            faults[path].append(f"{path}: {probe[0][2]} channels, expected 3")
    return stems, common


def _reason(path, error):
    """What went wrong with a file or folder, as one line that begins with its name."""
    return f"{path}: {error.strerror or error}" if isinstance(error, OSError) else str(error)


def refuse_chroma(path):
    """Raise DataError where a frame's three channels are not red, green and blue."""
    if frames.is_dpx(path) and Header.read(path).descriptor in CHROMA:
        raise DataError(f"{path}: holds Y, Cb and Cr, expected RGB: fastup converts no colours")


def _words(probe):
    (height, width, channels), white = probe
    return f"{width}x{height}, {channels} channels, " + (f"white {white}" if white else "floats")


@dataclass(frozen=True)
class Geometry:
    """What lies where: the pictures of a pair, the exact scale between them, and tiles of whole cells.

    A cell is the smallest window that is whole pixels on both sides: `cell_input` and `cell_target` pixels. Every pair
    is (vertical, horizontal), every trim (left, right, top, bottom).
    """

    input_picture: tuple[int, int]
    target_picture: tuple[int, int]
    input_trim: tuple[int, int, int, int]
    trim: tuple[int, int, int, int]

    @classmethod
    def of(cls, input_size, target_size, trim, input_trim=None):
        """Geometry of frames of those sizes. `input_trim` defaults to `trim` where both are one size, else to none."""
        if input_trim is None:
            input_trim = trim if input_size == target_size else (0, 0, 0, 0)
        geometry = cls(
            picture_of(input_size, input_trim, "input-trim"), picture_of(target_size, trim, "trim"),
            tuple(input_trim), tuple(trim),
        )  # fmt: skip
        if min(geometry.scale) < 1:
            raise DataError(
                f"the target picture is {_size(geometry.target_picture)} and smaller than the input picture of "
                f"{_size(geometry.input_picture)}; are Alpha and Beta swapped?"
            )
        return geometry

    @property
    def scale(self):
        """Target picture over input picture, exact."""
        return tuple(Fraction(t, i) for t, i in zip(self.target_picture, self.input_picture, strict=True))

    @property
    def cell_input(self):
        """Input pixels of a cell."""
        return tuple(s.denominator for s in self.scale)

    @property
    def cell_target(self):
        """Target pixels of a cell."""
        return tuple(s.numerator for s in self.scale)

    def tile(self, tile=None):
        """The tile in target pixels: the given one, checked, or the smallest that fits of 60 or more.

        Half a tile is a whole number of cells, so that jittered tiles are too. In a small picture the default is the
        largest that it holds.
        """
        unit, room = 2 * lcm(*self.cell_target), min(self.target_picture)
        if tile is not None and tile > room:
            raise OptionError(f"tile is {tile}, but the target picture is {_size(self.target_picture)}")
        if unit > room:
            raise (OptionError if any(self.trim + self.input_trim) else DataError)(
                f"the scale from {_size(self.input_picture)} to {_size(self.target_picture)} is "
                f"{' x '.join(map(str, self.scale))} (vertical x horizontal): its smallest tile, {unit}, is larger "
                f"than the picture; the nearest target picture with a simple scale: {_size(self._simple_target())}"
            )
        if tile is None:
            return min(-(-SMALLEST_DEFAULT_TILE // unit) * unit, room // unit * unit)
        return self._fitting("tile", tile, unit, unit, room)

    def _simple_target(self):
        """The target picture nearest to this one whose cell has 20 target pixels a side or fewer."""
        return tuple(
            min(
                (size for size in range(i, 2 * t) if Fraction(size, i).numerator <= 20),
                key=lambda size, t=t: (abs(size - t), size),
            )
            for i, t in zip(self.input_picture, self.target_picture, strict=True)
        )

    def border(self, border=None):
        """The border in target pixels: the given one, checked, or the smallest that fits of 2 or more."""
        unit = lcm(*self.cell_target)
        if border is None:
            return -(-SMALLEST_DEFAULT_BORDER // unit) * unit
        return self._fitting("border", border, unit, 0, border + unit)

    def _fitting(self, name, value, unit, low, high):
        """Refuse a value that is not a multiple of `unit`. Names the nearest that are, of low to high."""
        if value % unit:
            below = value // unit * unit
            nearest = " or ".join(str(n) for n in (below, below + unit) if low <= n <= high)
            raise OptionError(
                f"{name} is {value} target pixels, which is not whole cells of {_size(self.input_picture)} to "
                f"{_size(self.target_picture)}; the nearest that are: {nearest}"
            )
        return value

    def grids(self, tile, border, jitter):
        """The grids of the input and of the target picture: the same tiles; the input's carry the border."""
        grid = TileGrid(self.target_picture, (tile, tile), 0, jitter)
        return TileGrid(self.input_picture, self.to_input(tile), self.to_input(border), jitter), grid

    def to_input(self, pixels):
        """A length of whole cells in target pixels as (vertical, horizontal) input pixels."""
        return tuple(int(pixels / s) for s in self.scale)


def of_one_colour(picture):
    """Whether all pixels are the same."""
    return bool((picture == picture[0, 0]).all())


def seen(pairs, other, cache=None):
    """Which pairs of another set are in this one, too, by what their files hold; of a DPX, by what follows its header.

    Frames of one colour, such as black ones, don't count. A few bytes of each file are held against the others', and
    where those are the same, the whole.

    Parameters
    ----------
    pairs, other : Pairs
    cache : path-like, optional
        Where digests are noted, as `contents` has it.

    Returns
    -------
    list of (Path, Path)
        A frame of `other`, input or target, and one of `pairs` that holds the same; one for each pair, in order.
    """
    digests, found = Digests(cache), {}
    for ours, theirs in ((pairs.inputs, other.inputs), (pairs.targets, other.targets)):  # the smaller ones first
        parts = {path: xxhash.xxh3_128_digest(_part(path)) for path in {*ours, *theirs}}
        alike = {parts[path] for path in ours} & {parts[path] for n, path in enumerate(theirs) if n not in found}
        held, first = {}, {}

        def look(path, held=held):
            held[path] = digests.of(path, skip=_first_pixel(path))

        _on_threads(look, [path for path, part in parts.items() if part in alike], None)
        for path in ours:
            first.setdefault(held.get(path), path)
        for number, path in enumerate(theirs):
            if number not in found and path in held and held[path] in first and not _is_flat(path):
                found[number] = path, first[held[path]]
    digests.save()
    return [found[number] for number in sorted(found)]


def seen_note(pairs, other, found):
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


def picture_of(size, trim, name="trim"):
    """Size of the picture that trim leaves of a frame."""
    left, right, top, bottom = trim
    picture = size[0] - top - bottom, size[1] - left - right
    if min(picture) < 1:
        raise OptionError(f"{name} is {','.join(map(str, trim))}, which leaves nothing of a frame of {_size(size)}")
    return picture


def crop(frame, trim):
    """The picture of a frame, a view."""
    left, right, top, bottom = trim
    return frame[top : frame.shape[0] - bottom, left : frame.shape[1] - right]


def transcode(pairs, cache, on_frame=None):
    """Give the frames that aren't DPX as DPX, which training reads its tiles from: written once, without loss.

    A code stays the code that `frames.read` gives, 8 and 16 bits stay so, and floats become 32-bit floats. Frames go
    to cache/SET/Alpha/STEM.dpx and cache/SET/Beta/STEM.dpx, each whole, and carry the digest of their original: by
    that, and by size and white, those that are there already are known to be good.

    Parameters
    ----------
    pairs : Pairs
    cache : path-like
        Made if there is something to write.
    on_frame : callable, optional
        Called with (frames done, frames to do).

    Returns
    -------
    Pairs
        With the paths of those frames replaced; `pairs` itself where all are DPX.

    Raises
    ------
    DataError
        If a frame holds NaN.
    FastupError, OSError
        If a frame cannot be read, or its DPX not be written. What was written by then is kept.
    """
    sides = zip(SIDES, (pairs.inputs, pairs.targets), strict=True)
    folder = Path(cache) / pairs.folder.name
    copies = {path: folder / side / f"{path.stem}.dpx" for side, paths in sides for path in paths}
    copies = {path: copy for path, copy in copies.items() if not frames.is_dpx(path)}
    if not copies:
        return pairs
    probes = dict.fromkeys(pairs.inputs, ((*pairs.input_size, 3), pairs.input_white))
    probes |= dict.fromkeys(pairs.targets, ((*pairs.target_size, 3), pairs.target_white))
    digests = Digests(cache)

    def is_fresh(path, digest):
        try:
            return (
                digest is not None
                and Header.read(copies[path]).project == TRANSCODED.format(digest)
                and frames.probe(copies[path]) == probes[path]
            )
        except (FastupError, OSError):
            return False

    def write(path):
        state, digest = state_of(path), digests.of(path)
        if is_fresh(path, digest):
            return
        white = probes[path][1]
        frame = frames.read(path, "uint16" if white else "float32")
        frames.refuse_nan(path, frame, infinity=False)
        # A copy of a frame that changed while it was read has no mark, and is made again.
        mark = TRANSCODED.format(digest) if state_of(path) == state else None
        frames.write(copies[path], frame, frames.read_header(path).replace(project=mark))

    todo = [path for path in copies if not is_fresh(path, digests.known(path))]
    for folder in {copies[path].parent for path in todo}:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        _on_threads(write, todo, on_frame)
    finally:
        digests.save()
    inputs, targets = (tuple(copies.get(path, path) for path in paths) for paths in (pairs.inputs, pairs.targets))
    return replace(pairs, inputs=inputs, targets=targets)


def detail_scores(pairs, geometry, grid, cache=None, on_frame=None):
    """The detail of every tile of every target's picture: see `fastup.detail`.

    Scores are kept in a file in `cache`, each frame's under the digest of its file, the grid and the trim, so that
    only frames that are new or have changed are read. A row that is damaged is as good as none. An error or Ctrl-C
    leaves what was scored by then for the next time.

    Parameters
    ----------
    pairs : Pairs
    geometry : Geometry
    grid : TileGrid
        Of the target picture.
    cache : path-like, optional
        A folder, made if it is missing. Without one nothing is kept.
    on_frame : callable, optional
        Called with (frames done, frames to do).

    Returns
    -------
    (frames, tiles) float32 array
        In code values; of frames that hold floats, in their own units.

    Raises
    ------
    DataError
        If a frame has changed its size, or holds pixels that are no numbers.
    DpxError, FastupError, OSError
        If a frame cannot be read, or the file not be written.
    """
    # The file is rows of key, scores and a digest of both, and nothing else.
    rows = np.zeros(len(pairs), [("key", "V16"), ("scores", "<f4", (len(grid),)), ("digest", "V16")])
    done = np.zeros(len(pairs), bool)
    what = INDEX_VERSION, grid.shape, grid.tile, grid.jitter, geometry.trim
    path, old = None, b""
    if cache is not None:
        name = _digest(repr((pairs.folder.name, what)).encode()).hex()
        path = Path(cache) / f"detail-{name}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        old = path.read_bytes() if path.exists() else b""
    stored, digests = _stored_rows(old, rows.itemsize), Digests(cache)
    dtype = "uint16" if pairs.target_white else "float32"

    def key_of(content):
        return _digest(repr((content, what)).encode()) if content else bytes(16)  # zeros: of no frame

    def is_stored(number, content):
        row = stored.get(key_of(content)) if content else None
        if row is not None:
            rows[number], done[number] = np.frombuffer(row, rows.dtype)[0], True
        return row is not None

    def score(number):
        target = pairs.targets[number]
        state, content = state_of(target), digests.of(target) if path else None
        if is_stored(number, content):
            return
        frame = frames.read(target, dtype)
        if frame.shape != (*pairs.target_size, 3):
            raise DataError(f"{target}: has become {_size(frame.shape)}, expected {_size(pairs.target_size)}")
        scores = detail(crop(frame, geometry.trim), grid)
        if not np.isfinite(scores).all():
            raise DataError(
                f"{target}: holds NaN, or pixels that are infinite or near it, so that its tiles cannot be ranked; "
                "expected finite numbers"
            )
        if state_of(target) != state:
            content = None  # it changed while it was read, and is scored again
        key = key_of(content)
        rows[number] = key, scores, _digest(key + scores.astype("<f4").tobytes())
        done[number] = True

    todo = [number for number, target in enumerate(pairs.targets) if not is_stored(number, digests.known(target))]
    try:
        _on_threads(score, todo, on_frame)
    finally:
        digests.save()
        if path is not None and rows[done].tobytes() != old:
            with frames.whole(path) as part:
                part.write_bytes(rows[done].view(np.uint8))
    return rows["scores"]


def tile_index(pairs, geometry, grid, quality, cache=None, on_frame=None):
    """The tiles to train on: (frames, k) int32, for each frame the numbers of its tiles in the grid, ascending.

    Tiles that reach beyond the picture are left out. Of the others, each frame gives the share `quality` that has the
    most detail in the target, by `detail_scores`. Where that is all of them, no frame is read, and the array is
    read-only.
    """
    inside = np.flatnonzero(grid.inside).astype(np.int32)
    if quality == 1:
        return np.broadcast_to(inside, (len(pairs), len(inside)))
    index = np.empty((len(pairs), kept(quality, len(inside))), np.int32)
    for row, scores in zip(index, detail_scores(pairs, geometry, grid, cache, on_frame), strict=True):
        row[:] = inside[np.sort(rank(scores[inside], quality))]
    return index


def clear_cache(cache):
    """Remove what `transcode`, `detail_scores` and `rank` left in a folder, and the folders that are empty then.

    Goes by names, hidden part-files of killed runs among them. Whatever else is there stays, as do links.

    Returns
    -------
    size : int
        Bytes that were removed.
    left : list of Path
        What is still there, links and files.
    """
    size, left = 0, []
    for top, folders, names in os.walk(cache, topdown=False):
        here = os.path.relpath(top, cache).replace(os.sep, "/")
        for name in names:
            path = Path(top, name)
            if _MADE.fullmatch(f"{here}/{name}") and not path.is_symlink():
                size += path.stat().st_size
                path.unlink()
            else:
                left.append(path)
        left += [Path(top, name) for name in folders if os.path.islink(os.path.join(top, name))]
        if _MADE_FOLDER.fullmatch(here) and not os.listdir(top):
            os.rmdir(top)
    return size, sorted(left)


def _stored_rows(data, size):
    """The rows of an index file by their keys; those that are damaged are left out."""
    data = memoryview(data)
    rows = (data[at : at + size] for at in range(0, len(data) - size + 1, size))
    return {bytes(row[:16]): row for row in rows if _digest(row[:-16]) == row[-16:]}


def _digest(data):
    return hashlib.blake2b(data, digest_size=16).digest()


def _on_threads(work, items, on_frame):
    """Call ``work(item)`` for each; the first error ends it, after those that are under way."""
    with ThreadPoolExecutor(min(os.cpu_count() or 1, 8)) as pool:
        futures = [pool.submit(work, item) for item in items]
        try:
            for done, future in enumerate(as_completed(futures), 1):
                future.result()
                if on_frame is not None:
                    on_frame(done, len(items))
        finally:
            pool.shutdown(cancel_futures=True)


def _size(size):
    return f"{size[1]}x{size[0]}"
