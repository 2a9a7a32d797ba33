"""What files hold, by digest: a file is read again only where its size, times or inode have changed."""

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import xxhash

from fastup._threads import in_order
from fastup._types import StrPath
from fastup._whole import whole

FILE = "digests.json"  # in a cache
SETTLED = 2e9  # ns: what changed so lately may change again without a sign, as clocks of file systems tick coarsely


class Digests:
    """Digests of the bytes of files, as hexadecimal text; 128 bits of XXH3, fast rather than safe from forgery.

    They are noted in a file in `cache`, such as DATA/cache, under each file's place relative to that one, so that a
    folder that is moved as a whole keeps them. What cannot be noted, or is damaged, costs reading anew and nothing
    else. Without a cache, no note outlasts this object.
    """

    def __init__(self, cache: StrPath | None = None) -> None:
        self._file = None if cache is None else Path(cache) / FILE
        self._notes: dict[str, list[int | str]] = {}
        self._saved, self._lock = b"", threading.Lock()
        with contextlib.suppress(OSError, ValueError):
            self._saved = self._file.read_bytes() if self._file else b""
            digest, _, body = self._saved.partition(b"\n")
            if xxhash.xxh3_128_hexdigest(body).encode() == digest:
                self._notes = json.loads(body)

    def known(self, path: StrPath, skip: int = 0) -> str | None:
        """The digest of a file that is noted and looks unchanged, else None. OSError if there is no file."""
        state, note = state_of(path), self._notes.get(self._place(path, skip))
        return str(note[-1]) if note and note[:-1] == state else None

    def of(self, path: StrPath, skip: int = 0) -> str:
        """The digest of a file, or of what follows its first `skip` bytes; read if it is not known. OSError if not."""
        digest = self.known(path, skip)
        if digest is None:
            state = state_of(path)  # of before reading: a file that changes meanwhile is read again
            with open(path, "rb") as file:
                file.seek(skip)
                digest = hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()
            if time.time_ns() - max(state[1:3]) >= SETTLED:
                with self._lock:
                    self._notes[self._place(path, skip)] = [*state, digest]
        return digest

    def save(self) -> None:
        """Write the notes, if there is something new."""
        if self._file is None:
            return
        with self._lock:
            body = json.dumps(self._notes, indent=0, sort_keys=True).encode()
        data = xxhash.xxh3_128_hexdigest(body).encode() + b"\n" + body
        if self._notes and data != self._saved:
            with contextlib.suppress(OSError):
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with whole(self._file) as part:
                    part.write_bytes(data)
                self._saved = data

    def _place(self, path, skip):
        place = os.path.relpath(path, self._file.parent) if self._file else os.path.abspath(path)
        return f"{skip}:{place}"


def contents(paths: Iterable[StrPath], cache: StrPath | None = None) -> list[str]:
    """The digest of each file, as `Digests` has it, in their order; read on threads where it is not known.

    With a `cache`, 2,000 files that have not changed cost a look at their size, times and inode. OSError if a file
    cannot be read.
    """
    digests = Digests(cache)
    try:
        return list(in_order(digests.of, paths))
    finally:
        digests.save()


def state_of(path: StrPath) -> list[int]:
    """What changes with a file: size, times and inode."""
    stat = os.stat(path)
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino]
