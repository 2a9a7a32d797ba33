"""Files that appear under their name whole, or not at all."""

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from fastup._types import StrPath

try:
    import fcntl
except ModuleNotFoundError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]


@contextlib.contextmanager
def whole(path: StrPath) -> Iterator[Path]:
    """A context that gives the name of a temporary file beside `path`, and renames it to `path` if all goes well.

    The name keeps the suffix of `path` and starts with a dot, so that `find` passes it over. What killed runs have left
    beside `path` goes the first time that a process writes there, see `_held`.
    """
    path = Path(path)
    with _held(path.parent) as mark:
        part = path.with_name(f".{path.stem[:40]}.fastup-{mark}-{os.getpid()}-{threading.get_ident()}{path.suffix}")
        try:
            yield part
            os.replace(part, path)
        except BaseException as problem:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                part.unlink()
            if isinstance(problem, OSError) and problem.filename in (None, os.fspath(part)):
                problem.filename = str(path)  # the name that a person knows
                del problem.filename2
            raise


@contextlib.contextmanager
def _held(folder):
    """A context that holds a folder while a part-file is in it; gives the mark that the part-file's name has.

    Processes that write share a lock on the folder (flock), which ends with its process, however that ends. A process
    that gets the lock alone knows that no other writes, and removes the part-files that are there. Such locks can be
    relied on within one kernel and one mount, and the mark names both: the kernel's boot and the mount's device, the
    same in all containers. Part-files with another mark stay: they are of other machines, boots or mounts, or from
    where there are no such locks (network file systems, Windows).
    """
    fd, mark = None, "0"
    try:
        if fcntl is not None and _boot():
            with contextlib.suppress(OSError):
                fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                where = _, device = os.fstat(fd)[1:3]
                own = f"{_boot()}{device:x}"
                if where not in _SWEPT:
                    with _SWEEPING:
                        if where not in _SWEPT:
                            _sweep(fd, own)
                            _SWEPT.add(where)
                fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                mark = own
        yield mark
    finally:
        if fd is not None:
            os.close(fd)


PART = r"\.fastup-[0-9a-f]+-[0-9]+-[0-9]+"  # between the stem and the suffix of a part-file: mark, process, thread
_SWEPT: set[tuple[int, int]] = set()  # the folders, by inode and device, where this process has looked
_SWEEPING = threading.Lock()


@cache
def _boot():
    """A mark of the running kernel, and of no other; nothing where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    except OSError:
        return ""


def _sweep(fd, mark):
    """Remove the part-files of a mark in an open folder, if no other process holds it."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # another process does, or it cannot be known
        return
    ours = re.compile(rf"\..{{0,40}}{PART.replace('[0-9a-f]+', mark)}(\.[^.]*)?", re.DOTALL)
    with os.scandir(fd) as entries:
        left = [e.name for e in entries if ours.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
    for name in left:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=fd)
