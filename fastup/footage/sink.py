"""What frames go to, in order, each whole or not at all."""

from contextlib import ExitStack
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Self

from fastup import frames
from fastup._types import Frame, StrPath
from fastup.errors import DataError
from fastup.footage.source import Source
from fastup.header import Header


class Folder:
    """A folder for frames, which appear under their names in order, each complete; as of `frames.write_stream`.

    It is made when the first frame comes, and frames are written behind their making, on threads.
    """

    def __init__(self, path: StrPath, like: Source | None = None, suffix: str = ".dpx", threads: int = 2) -> None:
        self.path = Path(path)
        self._names = (f"{like.name(n) if like else f'{n:07d}'}{suffix}" for n in count())
        self._context, self._made = ExitStack(), False
        self._write = self._context.enter_context(frames.write_stream(threads, 2 * threads))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool | None:
        return self._context.__exit__(kind, error, where)

    def close(self) -> None:
        """Wait until all frames are written."""
        self._context.close()

    def write(self, frame: Frame, header: Header | None = None, name: str | None = None) -> None:
        """Write a frame, as `fastup.write` has it, under a name or the next one.

        Raises
        ------
        DataError, DpxError, FastupError, OSError, ValueError
            As `fastup.write` does, if this frame or one before it cannot be written; no later frame appears.
        """
        if not self._made:
            self.path.mkdir(parents=True, exist_ok=True)
            self._made = True
        self._write(self.path / (name or next(self._names)), frame, header)


def sink(path: StrPath, like: Source | None = None, suffix: str = ".dpx") -> Folder:
    """Open a folder to write frames to, in order, each whole or not at all: a context.

    ::

        with fastup.source("tape.mov") as frames, fastup.sink("out/", like=frames) as film:
            for header, frame in frames: film.write(better(frame), header)

    Parameters
    ----------
    path : path-like
        Made if it is missing, when the first frame comes.
    like : Source, optional
        What frames are named after that are written without a name; else they are numbered.
    suffix : str
        The format of those.

    Returns
    -------
    Folder
        ``write(frame, header=None, name=None)`` takes frames as `fastup.write` does.

    Raises
    ------
    DataError
        If it is a file.
    """
    if Path(path).exists() and not Path(path).is_dir():
        raise DataError(f"{path}: a file, expected a folder for the output")
    return Folder(path, like, suffix)
