"""The index of tiles to train on: the detail of every tile, kept on disk, and the share that has the most of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastup import frames
from fastup._grid import TileGrid
from fastup._tiles import detail, kept, rank
from fastup._types import Floats, Progress, Size, StrPath
from fastup.errors import DataError
from fastup.pairs.cache import set_name
from fastup.pairs.folder import Pairs
from fastup.pairs.geometry import size_text
from fastup.pairs.stored import Rows, measured

INDEX_VERSION = 1  # of the file that keeps detail scores, and of what they measure


@dataclass(frozen=True)
class TileIndex:
    """The tiles to train on, frame by frame, numbered from 0 over all frames.

    Attributes
    ----------
    starts : (frames + 1,) int64
        The number of each frame's first tile; and how many there are.
    tiles : (n,) int32
        Lists of tiles by their numbers in the grids of their frames, ascending.
    first : (frames,) int64
        Where in `tiles` the list of each frame begins; frames of one kind, of which all is taken, share one.
    """

    starts: NDArray[np.int64]
    tiles: NDArray[np.int32]
    first: NDArray[np.int64]

    @property
    def size(self) -> int:
        """How many tiles there are."""
        return int(self.starts[-1])

    def of(self, frame: int) -> NDArray[np.int32]:
        """The tiles of a frame."""
        return self.tiles[self.first[frame] :][: self.starts[frame + 1] - self.starts[frame]]

    def __getitem__(self, numbers: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """The frames of tiles, and their numbers in the grids of those."""
        numbers = numbers.astype(np.int64)
        frames = np.searchsorted(self.starts, numbers, side="right") - 1
        return frames, self.tiles[self.first[frames] + numbers - self.starts[frames]]


def detail_scores(
    pairs: Pairs, tile: int | Size, jitter: bool, cache: StrPath | None = None, on_progress: Progress | None = None
) -> list[Floats]:
    """The detail of every tile of every target's picture: see `fastup.detail`.

    Scores are kept in files in `cache`, one for each grid and trim; each frame's under the digest of its file, the grid
    and the trim, so that only frames that are new or have changed are read. A row that is damaged is as good as none.
    An error or Ctrl-C leaves what was scored by then for the next time. Without a `cache` nothing is kept.

    Parameters
    ----------
    tile
        In target pixels, along both axes or each.
    jitter
        Whether there are tiles half a tile off.

    Returns
    -------
    list of (tiles,) float32
        A frame each, in code values; of frames that hold floats, in their own units.

    Raises
    ------
    DataError
        If a frame has changed its size, or holds pixels that are no numbers.
    DpxError, FastupError, OSError
        If a frame cannot be read, or a file not be written.
    """
    groups = dict[Any, tuple[Rows, TileGrid]]()  # frames of one grid and trim, whatever else their kinds differ in
    name = pairs.folder.name if cache is None else set_name(pairs.folder, cache)
    of_kind = []
    for kind in pairs.kinds:
        grid = _grid(kind.geometry, tile, jitter)
        what = INDEX_VERSION, grid.shape, grid.tile, grid.jitter, tuple(kind.trim)
        of_kind.append(groups.setdefault(what, (Rows("detail", name, what, np.float32, (len(grid),)), grid)))

    def score(number):
        return _scored(pairs.targets[number], pairs.kind(number), of_kind[pairs.kind_of[number]][1])

    placed = [of_kind[place][0].add() for place in pairs.kind_of]
    return measured(pairs.targets, placed, score, cache, "ranking tiles", on_progress)


def _grid(geometry, tile, jitter):
    """The grid of a target's picture."""
    return TileGrid(geometry.target_picture, tile, 0, jitter)


def _scored(target, kind, grid):
    """The detail of the tiles of one target, read and checked."""
    frame = frames.read(target, "uint16" if kind.target_white else "float32")
    if frame.shape != (*kind.target_size, 3):
        raise DataError(f"{target}: has become {size_text(frame.shape)}, expected {size_text(kind.target_size)}")
    scores = detail(kind.trim.crop(frame), grid)
    if not np.isfinite(scores).all():
        raise DataError(
            f"{target}: holds NaN, or pixels that are infinite or near it, so that its tiles cannot be ranked; "
            "expected finite numbers"
        )
    return scores


def inside(pairs: Pairs, tile: int | Size, jitter: bool, edges: int = 0) -> list[NDArray[np.int32]]:
    """The tiles of each kind of pairs that can be trained on: those in the picture, `edges` target pixels off its rim.

    They are numbers in the grid of the kind's target picture; of a picture that is smaller than a tile there are none.
    """
    return [_grid(kind.geometry, tile, jitter).well_inside(edges) for kind in pairs.kinds]


def count(pairs: Pairs, tile: int | Size, jitter: bool, quality: float, edges: int = 0) -> int:
    """How many tiles `tile_index` has."""
    each = zip(pairs.counts(), inside(pairs, tile, jitter, edges), strict=True)
    return sum(frames * kept(quality, len(tiles)) for frames, tiles in each)


def tile_index(
    pairs: Pairs, tile: int | Size, jitter: bool, quality: float, cache: StrPath | None = None,
    on_progress: Progress | None = None, edges: int = 0,
) -> TileIndex:  # fmt: skip
    """The tiles to train on.

    Tiles that reach beyond the picture, or within `edges` target pixels of its rim, are left out. Of the others, each
    frame gives the share `quality` that has the most detail in the target, by `detail_scores`. Where that is all of
    them, no frame is read.
    """
    possible = inside(pairs, tile, jitter, edges)
    kind_of = np.array(pairs.kind_of)
    if quality == 1:
        lengths = np.array([len(tiles) for tiles in possible])
        places = np.cumsum(lengths) - lengths
        return TileIndex(_starts(lengths[kind_of]), np.concatenate(possible), places[kind_of])
    starts = _starts([kept(quality, len(possible[kind])) for kind in pairs.kind_of])
    tiles = np.empty(starts[-1], np.int32)
    for number, scores in enumerate(detail_scores(pairs, tile, jitter, cache, on_progress)):
        good = possible[pairs.kind_of[number]]
        if good.size:
            tiles[starts[number] : starts[number + 1]] = good[np.sort(rank(scores[good], quality))]
    return TileIndex(starts, tiles, starts[:-1])


def _starts(lengths):
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
