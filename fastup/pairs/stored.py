"""What was measured of frames, on disk: a row each, found again by what the frame holds."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastup._threads import on_threads
from fastup._types import Progress, StrPath
from fastup._whole import whole
from fastup.pairs.digests import Digests, state_of


class Rows:
    """The rows of some frames that are measured alike. Their file is rows of key, values, and a digest of both.

    Parameters
    ----------
    kind
        What the name of the file begins with.
    folder, what
        What the rows depend on, beside what the frames hold: the set, by its name, and how it is measured.
    dtype, shape
        Of the values of a frame.
    """

    def __init__(self, kind: str, folder: str, what: tuple[Any, ...], dtype: DTypeLike, shape: tuple[int, ...]) -> None:
        self.kind, self.folder, self.what, self.count = kind, folder, what, 0
        self.dtype = np.dtype([("key", "V16"), ("values", np.dtype(dtype).newbyteorder("<"), shape), ("digest", "V16")])

    def add(self) -> tuple["Rows", int]:
        """One frame more: these rows, and its place in them."""
        self.count += 1
        return self, self.count - 1

    def begin(self, cache: Path | None) -> None:
        """Read what there is of the rows that were counted."""
        self.rows = np.zeros(self.count, self.dtype)
        self.done = np.zeros(self.count, bool)
        self.path, self.old = None, b""
        if cache is not None:
            self.path = cache / f"{self.kind}-{_digest(repr((self.folder, self.what)).encode()).hex()}.bin"
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.old = self.path.read_bytes() if self.path.exists() else b""
        self.stored = _stored_rows(self.old, self.rows.itemsize)

    def _key(self, content):
        return _digest(repr((content, self.what)).encode()) if content else bytes(16)  # zeros: of no frame

    def is_stored(self, number: int, content: str | None) -> bool:
        """Whether there is a row for what a frame holds, which is then its."""
        row = self.stored.get(self._key(content)) if content else None
        if row is not None:
            self.rows[number], self.done[number] = np.frombuffer(row, self.rows.dtype)[0], True
        return row is not None

    def put(self, number: int, content: str | None, values: NDArray[Any]) -> None:
        """Give a frame its row."""
        key = self._key(content)
        self.rows[number] = key, values, _digest(key + values.astype(self.dtype["values"].base).tobytes())
        self.done[number] = True

    def save(self) -> None:
        """Write the rows that are done, if they are others than there are."""
        if self.path is not None and (data := self.rows[self.done].tobytes()) != self.old:
            with whole(self.path) as part:
                part.write_bytes(data)


def measured(
    paths: Sequence[Path], placed: Sequence[tuple[Rows, int]], measure: Callable[[int], NDArray[Any]],
    cache: StrPath | None, words: str, on_progress: Progress | None = None,
) -> list[NDArray[Any]]:  # fmt: skip
    """What ``measure(number)`` gives of each of some files, or what is stored of what it holds.

    A row that is damaged is as good as none. An error or Ctrl-C leaves what was measured by then for the next time.
    Without a `cache` nothing is kept.

    Parameters
    ----------
    placed
        The rows, and the place in them, of each, as `Rows.add` gives them.
    words
        What `on_progress` says of it.
    """
    groups = list({id(rows): rows for rows, _ in placed}.values())
    for rows in groups:
        rows.begin(None if cache is None else Path(cache))
    digests = Digests(cache)

    def one(number):
        rows, place = placed[number]
        path = paths[number]
        state, content = state_of(path), digests.of(path) if cache is not None else None
        if rows.is_stored(place, content):
            return
        values = measure(number)
        if state_of(path) != state:
            content = None  # it changed while it was read, and is measured again
        rows.put(place, content, values)

    todo = [
        number for number, (rows, place) in enumerate(placed) if not rows.is_stored(place, digests.known(paths[number]))
    ]
    try:
        on_threads(one, todo, words, on_progress)
    finally:
        digests.save()
        for rows in groups:
            rows.save()
    return [rows.rows["values"][place] for rows, place in placed]


def _stored_rows(data, size):
    """The rows of a file by their keys; those that are damaged are left out."""
    data = memoryview(data)
    rows = (data[at : at + size] for at in range(0, len(data) - size + 1, size))
    return {bytes(row[:16]): row for row in rows if _digest(row[:-16]) == row[-16:]}


def _digest(data):
    return hashlib.blake2b(data, digest_size=16).digest()
