"""Signatures of all frames of a source: a small grid of luma each, kept on disk as the one pass over them goes."""

import hashlib
import os
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastup import _signatures
from fastup._threads import in_order
from fastup._types import Codes, Floats, Progress, StrPath
from fastup.errors import DataError
from fastup.footage.source import Source
from fastup.footage.stills import Folder
from fastup.trim import UNTRIMMED, Trim

VERSION = 1  # of the file's rows
_ROW = np.dtype([
    ("number", "<i4"),  # of the frame in its source
    ("check", "<u4"),  # CRC-32 of the rest
    ("levels", "<u2", (_signatures.ROWS, _signatures.COLUMNS)),
])  # fmt: skip
_AHEAD = 256  # rows written at once, so that a kill loses no more
_BLOCK = 4096  # rows looked at in one go


@dataclass(frozen=True)
class Signatures:
    """Of each frame of a source, in order, what `read` found; a few bytes in memory, the rest stays on disk."""

    levels: Codes  # (frames, 36, 48): mean luma of each cell of the picture, 65535 for white
    numbers: NDArray[np.int32]  # (frames,): which frame of the source each is

    def __len__(self) -> int:
        return len(self.levels)

    @cached_property
    def mean(self) -> Floats:
        """(frames,): mean luma, 0..1."""
        return self._each(lambda grids: grids.mean((1, 2)))

    @cached_property
    def contrast(self) -> Floats:
        """(frames,): standard deviation of the cells' luma, 0..1; near 0 where a frame is black, or of one colour."""
        return self._each(lambda grids: grids.std((1, 2)))

    def _each(self, measure):
        blocks = [measure(self.levels[at : at + _BLOCK].astype(np.float32)) for at in range(0, len(self), _BLOCK)]
        return np.concatenate([*blocks, np.empty(0)]).astype(np.float32) / np.float32(_signatures.FULL)


_CELLS = (_signatures.ROWS, _signatures.COLUMNS)


def read(
    source: Source, trim: Trim = UNTRIMMED, cache: StrPath = ".", on_progress: Progress | None = None
) -> Signatures:  # fmt: skip
    """The signatures of all frames of a source, read once: what is in `cache` is not read again.

    The file there, ``signatures-....bin``, grows as the pass goes, and is for that source alone: its files by place,
    size and time, and `trim`. An interrupted pass carries on, and a damaged row is read anew with those after it.

    DataError if a frame is of another size than the first, or cannot be read, or the source ends too early.
    """
    path = Path(cache) / f"signatures-{_identity(source, trim)}.bin"
    part = path.with_suffix(".part")
    for known in (path, part):
        if known.exists():
            rows = _sound(known)
            if known == path and rows * _ROW.itemsize == known.stat().st_size:
                return _opened(path)
            if known == path:
                os.replace(path, part)
            break
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        rows = 0
    _read_on(source, trim, part, rows, on_progress)
    os.replace(part, path)
    return _opened(path)


def _read_on(source, trim, part, rows, on_progress):
    """Write the rows of a source's frames to a file that has some of them, at their places."""
    size = source.size
    window = trim.window(size)
    whole_frame = (window[2], window[3]) == tuple(size)

    def row_of(item):
        number, raw = item
        white = source.header(number).white
        dtype = "uint16" if white else "float32"
        if isinstance(source, Folder) and not whole_frame:
            found, wanted = source.header(number), size
            if (found.height, found.width) != tuple(wanted):
                raise _other_size(source, number, (found.height, found.width), wanted)
            picture = source.pixels(raw, dtype, window)
        else:
            frame = source.pixels(raw, dtype)
            if frame.shape[:2] != tuple(size):
                raise _other_size(source, number, frame.shape, size)
            picture = trim.crop(frame)
        row = np.zeros((), _ROW)
        row["number"] = number
        _signatures.levels(picture, white, row["levels"])
        row["check"] = _check(row)
        return row.tobytes()

    first = 0
    if rows:
        first = int(np.fromfile(part, _ROW, 1, offset=(rows - 1) * _ROW.itemsize)["number"][0]) + 1
    with open(part, "r+b") as file:
        file.truncate(rows * _ROW.itemsize)
        file.seek(0, os.SEEK_END)
        for done, row in enumerate(in_order(row_of, source.frames(first), threads=2, ahead=4), rows + 1):
            file.write(row)
            if done % _AHEAD == 0:
                file.flush()
            if on_progress is not None:
                on_progress(done, source.frame_count, f"looking at {source.path.name}")
    if damage := source.missing(first, None):
        raise DataError(f"{source.path}: {damage}")


def _other_size(source, number, found, size):
    return DataError(f"{source.label(number)}: {found[1]}x{found[0]}, expected {size[1]}x{size[0]} as the first frame")


def _opened(path):
    """The signatures in a file that is whole, mapped."""
    if not path.stat().st_size:
        raise DataError(f"{path}: no frames")
    rows = np.memmap(path, _ROW, "r")
    return Signatures(rows["levels"], np.array(rows["number"]))


def _sound(path):
    """How many rows of a file, from its first, are as they were written."""
    count = path.stat().st_size // _ROW.itemsize
    with open(path, "rb") as file:
        for at in range(0, count, _BLOCK):
            rows = np.fromfile(file, _ROW, min(_BLOCK, count - at))
            for number, row in enumerate(rows):
                if row["check"] != _check(row):
                    return at + number
    return count


def _check(row):
    return zlib.crc32(row["levels"].tobytes(), int(row["number"]))


def _identity(source, trim):
    """A digest of what the rows depend on: the files of a source as they are now, the trim, and the kind of rows."""
    files = [path for _, path in source.files()] or [source.path]
    digest = hashlib.blake2b(repr((VERSION, _ROW.descr, tuple(trim))).encode(), digest_size=16)
    for path in files:
        state = os.stat(path)
        digest.update(repr((os.path.abspath(path), state.st_size, state.st_mtime_ns)).encode())
    return digest.hexdigest()
