"""The index of tiles to train on: the detail of every tile, kept on disk, and the share that has the most of it."""

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastup import frames
from fastup._grid import TileGrid
from fastup._threads import on_threads
from fastup._tiles import detail, kept, rank
from fastup._types import Floats, Progress, StrPath
from fastup._whole import whole
from fastup.errors import DataError
from fastup.pairs.digests import Digests, state_of
from fastup.pairs.folder import Pairs
from fastup.pairs.geometry import Geometry, size_text

INDEX_VERSION = 1  # of the file that keeps detail scores, and of what they measure


def detail_scores(
    pairs: Pairs, geometry: Geometry, grid: TileGrid, cache: StrPath | None = None, on_progress: Progress | None = None
) -> Floats:
    """The detail of every tile of every target's picture: see `fastup.detail`.

    Scores are kept in a file in `cache`, each frame's under the digest of its file, the grid and the trim, so that
    only frames that are new or have changed are read. A row that is damaged is as good as none. An error or Ctrl-C
    leaves what was scored by then for the next time. Without a `cache` nothing is kept.

    Parameters
    ----------
    grid
        Of the target picture.

    Returns
    -------
    (frames, tiles)
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
    what = INDEX_VERSION, grid.shape, grid.tile, grid.jitter, tuple(geometry.trim)
    path, old = None, b""
    if cache is not None:
        name = _digest(repr((pairs.folder.name, what)).encode()).hex()
        path = Path(cache) / f"detail-{name}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        old = path.read_bytes() if path.exists() else b""
    stored, digests = _stored_rows(old, rows.itemsize), Digests(cache)

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
        scores = _measured(target, pairs, geometry, grid)
        if state_of(target) != state:
            content = None  # it changed while it was read, and is scored again
        key = key_of(content)
        rows[number] = key, scores, _digest(key + scores.astype("<f4").tobytes())
        done[number] = True

    todo = [number for number, target in enumerate(pairs.targets) if not is_stored(number, digests.known(target))]
    try:
        on_threads(score, todo, "ranking tiles", on_progress)
    finally:
        digests.save()
        if path is not None and (data := rows[done].tobytes()) != old:
            with whole(path) as part:
                part.write_bytes(data)
    return rows["scores"]


def _measured(target, pairs, geometry, grid):
    """The detail of the tiles of one target, read and checked."""
    frame = frames.read(target, "uint16" if pairs.target_white else "float32")
    if frame.shape != (*pairs.target_size, 3):
        raise DataError(f"{target}: has become {size_text(frame.shape)}, expected {size_text(pairs.target_size)}")
    scores = detail(geometry.trim.crop(frame), grid)
    if not np.isfinite(scores).all():
        raise DataError(
            f"{target}: holds NaN, or pixels that are infinite or near it, so that its tiles cannot be ranked; "
            "expected finite numbers"
        )
    return scores


def tile_index(
    pairs: Pairs, geometry: Geometry, grid: TileGrid, quality: float, cache: StrPath | None = None,
    on_progress: Progress | None = None,
) -> NDArray[np.int32]:  # fmt: skip
    """The tiles to train on: (frames, k), for each frame the numbers of its tiles in the grid, ascending.

    Tiles that reach beyond the picture are left out. Of the others, each frame gives the share `quality` that has the
    most detail in the target, by `detail_scores`. Where that is all of them, no frame is read, and the array is
    read-only.
    """
    inside = np.flatnonzero(grid.inside).astype(np.int32)
    if quality == 1:
        return np.broadcast_to(inside, (len(pairs), len(inside)))
    index = np.empty((len(pairs), kept(quality, len(inside))), np.int32)
    for row, scores in zip(index, detail_scores(pairs, geometry, grid, cache, on_progress), strict=True):
        row[:] = inside[np.sort(rank(scores[inside], quality))]
    return index


def _stored_rows(data, size):
    """The rows of an index file by their keys; those that are damaged are left out."""
    data = memoryview(data)
    rows = (data[at : at + size] for at in range(0, len(data) - size + 1, size))
    return {bytes(row[:16]): row for row in rows if _digest(row[:-16]) == row[-16:]}


def _digest(data):
    return hashlib.blake2b(data, digest_size=16).digest()
