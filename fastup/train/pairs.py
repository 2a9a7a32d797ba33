"""Alpha and Beta folders to checked pairs, the geometry between them, and the index of tiles to train on."""

from collections import Counter
from dataclasses import dataclass
from fractions import Fraction
from math import lcm
from pathlib import Path

import numpy as np

from fastup import frames
from fastup._tiles import TileGrid, detail, rank
from fastup.codes import CHROMA
from fastup.errors import DataError, OptionError
from fastup.header import Header

SMALLEST_DEFAULT_TILE = 60  # target pixels
SMALLEST_DEFAULT_BORDER = 2  # target pixels


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
        If a folder is missing or empty, a frame has no partner or two, or sizes differ within a folder.
    DpxError, OSError
        If a frame cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder, expected one with Alpha (input frames) and Beta (target frames)")
    sides = []
    for side in ("Alpha", "Beta"):
        if not (folder / side).is_dir():
            raise DataError(f"{folder}: no folder {side} here, expected Alpha (input frames) and Beta (target frames)")
        sides.append(_by_stem(frames.find(folder / side)))
    inputs, targets = sides
    odd = [f"{path} has no partner in Beta" for stem, path in inputs.items() if stem not in targets]
    odd += [f"{path} has no partner in Alpha" for stem, path in targets.items() if stem not in inputs]
    if odd:
        raise DataError(odd[0] + (f", nor have {len(odd) - 1} other frames one" if len(odd) > 1 else ""))
    input_size, input_white = _one_size(inputs.values())
    target_size, target_white = _one_size(targets[stem] for stem in inputs)
    return Pairs(
        folder, tuple(inputs.values()), tuple(targets[stem] for stem in inputs),
        input_size, target_size, input_white, target_white,
    )  # fmt: skip


def _by_stem(paths):
    stems = {}
    for path in paths:
        if path.stem in stems:
            raise DataError(f"{path}: another frame has the same stem, {stems[path.stem].name}; pairs go by stem")
        stems[path.stem] = path
    return stems


def _one_size(paths):
    probes = {path: frames.probe(path) for path in paths}
    (common, _), *others = Counter(probes.values()).most_common()
    (height, width, channels), white = common
    if others:
        path = next(path for path, probe in probes.items() if probe != common)
        raise DataError(f"{path}: {_words(probes[path])}, expected {_words(common)} like the most of its folder")
    if channels != 3:
        raise DataError(f"{next(iter(probes))}: {channels} channels, expected 3")
    for path in probes:
        refuse_chroma(path)
    return (height, width), white


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


def tile_index(pairs, geometry, grid, quality, on_frame=None):
    """The tiles to train on: an int32 array (n, 2) of frame number and tile number, in file and raster order.

    Tiles that reach beyond the picture are left out. Of the others, each target frame gives the share `quality` that
    has the most detail.
    """
    inside = np.flatnonzero(grid.inside).astype(np.int32)
    if quality == 1:
        numbers = np.arange(len(pairs), dtype=np.int32)
        return np.stack([np.repeat(numbers, len(inside)), np.tile(inside, len(pairs))], axis=-1)
    chosen = []
    for number, (_, frame) in enumerate(frames.stream(pairs.targets)):
        score = detail(crop(frame, geometry.trim), grid)[inside]
        best = inside[np.sort(rank(score, quality))]
        chosen.append(np.stack([np.full_like(best, number), best], axis=-1))
        if on_frame is not None:
            on_frame(number + 1, len(pairs))
    return np.concatenate(chosen)


def _size(size):
    return f"{size[1]}x{size[0]}"
