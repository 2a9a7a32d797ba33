"""What frames go to, in order, each whole or not at all."""

from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Self

from fastup import frames
from fastup._types import Frame, StrPath
from fastup.errors import DataError
from fastup.footage.source import Source
from fastup.header import Header


class Folder:
    """A folder for frames, written behind their making as `frames.write_stream` does. The first frame makes it."""

    def __init__(
        self, path: StrPath, like: Source | None = None, start: int = 0, suffix: str = ".dpx", threads: int = 2
    ) -> None:
        self.path = Path(path)
        self._names = (f"{like.name(n) if like else f'{n:07d}'}{suffix}" for n in count(start))
        self._context = ExitStack()
        self._write = self._context.enter_context(frames.write_stream(threads, threads + 2))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: Any) -> None:
        self._context.__exit__(*problem)

    def write(self, frame: Frame, header: Header | None = None, name: str | None = None) -> None:
        """Write a frame, as `fastup.write` has it, under a name or the next one.

        Raises as `fastup.write` does, if this frame or one before it cannot be written; no later frame appears.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._write(self.path / (name or next(self._names)), frame, header)


def sink(path: StrPath, like: Source | None = None, start: int = 0, suffix: str = ".dpx") -> Folder:
    """Open a folder to write frames to, in order, each whole or not at all: a context.

    ::

        with fastup.source("tape.mov") as frames, fastup.sink("out/", like=frames) as film:
            for header, frame in frames: film.write(better(frame), header)

    Parameters
    ----------
    path
        Made if it is missing, when the first frame comes. DataError if it is a file.
    like, start
        Frames that are written without a name are named after the frames of that source, from `start` on one after the
        other; without a source they are numbered.
    suffix
        The format of those.
    """
    if Path(path).exists() and not Path(path).is_dir():
        raise DataError(f"{path}: a file, expected a folder for the output")
    return Folder(path, like, start, suffix)
