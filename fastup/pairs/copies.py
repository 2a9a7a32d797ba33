"""Frames made of other files once: each has a mark, by which it is known to be made of what those files hold now."""

from collections.abc import Callable, Mapping
from pathlib import Path

from fastup import frames
from fastup._threads import on_threads
from fastup._types import Frame, Progress, StrPath
from fastup.errors import FastupError
from fastup.header import Header
from fastup.pairs.digests import Digests, state_of


def mark_of(copy: Path) -> str:
    """The mark of a copy, which is its project; nothing where there is no copy, or none that can be read."""
    try:
        return Header.read(copy).project or ""
    except (FastupError, OSError):
        return ""


def write_marked(copy: Path, frame: Frame, header: Header, mark: str, is_same: bool) -> None:
    """Write a copy with its mark; without, if its files changed while they were read, so that it is made again."""
    frames.write(copy, frame, header.replace(project=mark if is_same else None))


def make_once(
    copies: Mapping[Path, Path], mark: str, make: Callable[[Path], tuple[Frame, Header]], cache: StrPath, words: str,
    on_progress: Progress | None = None, is_right: Callable[[Path], bool] = lambda copy: True,
) -> None:  # fmt: skip
    """Make the copies that are not there yet, each whole, on threads; an error keeps what was written by then.

    Parameters
    ----------
    copies
        The copy of each file.
    mark
        Of copies, with {} for the digest of the file.
    make
        What gives the frame and the header of the copy of a file.
    cache
        Where digests are noted.
    words
        What `on_progress` says of it.
    is_right
        Whether a copy that has its mark is as it should be; FastupError and OSError are no.
    """
    digests = Digests(cache)

    def is_fresh(path, digest):
        copy = copies[path]
        try:
            return digest is not None and mark_of(copy) == mark.format(digest) and is_right(copy)
        except (FastupError, OSError):
            return False

    def one(path):
        state, digest = state_of(path), digests.of(path)
        if not is_fresh(path, digest):
            frame, header = make(path)
            write_marked(copies[path], frame, header, mark.format(digest), state_of(path) == state)

    todo = [path for path in copies if not is_fresh(path, digests.known(path))]
    for folder in {copies[path].parent for path in todo}:
        folder.mkdir(parents=True, exist_ok=True)
    try:
        on_threads(one, todo, words, on_progress)
    finally:
        digests.save()
