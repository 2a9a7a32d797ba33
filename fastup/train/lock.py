"""One run in a folder at a time: a lock that ends with its process, however that ends."""

import contextlib
import errno
import os
import platform
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]
    import msvcrt

from fastup._types import StrPath
from fastup.errors import FastupError

FILE = ".lock"  # there while a run is; one that a killed run has left locks nothing
FAR = 1 << 20  # the byte that Windows locks: it lets nobody read what is locked, and who holds it is to be read


@contextlib.contextmanager
def held(folder: StrPath) -> Iterator[None]:
    """In this context no other run, of this process or another, holds the folder.

    The kernel's lock on a file counts, not that the file is there. Over NFS it counts for all machines, unless one has
    mounted it with ``nolock``. On a file system without locks there is none.

    FastupError if another run holds the folder: it says which process. OSError if the folder cannot be written to.
    """
    path = Path(folder) / FILE
    with contextlib.ExitStack() as stack:
        file = None
        while file is None or not _is_at(path, file):  # whoever held the last one may have taken it along
            stack.close()
            file = stack.enter_context(open(path, "a+b", buffering=0))
            _lock(file, folder)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {platform.node()}\n".encode())
        try:
            yield
        finally:
            if fcntl is not None:  # while it is locked: afterwards it may be another run's
                path.unlink(missing_ok=True)
    if fcntl is None:  # Windows removes no file that anybody has open
        with contextlib.suppress(OSError):
            path.unlink()


def _lock(file, folder):
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            file.seek(FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            file.seek(0)
            holder = file.read(200).decode(errors="replace").strip() or "a process that has just begun"
            raise FastupError(
                f"{folder}: another run trains here ({holder}); wait for its end, or give this one another --name"
            ) from None


def _is_at(path, file):
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
