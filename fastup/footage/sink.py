"""Where frames go: in order, with their headers, each whole or not at all; and a folder as such a place."""

from abc import ABC, abstractmethod
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Self

from fastup import frames
from fastup._types import Frame, StrPath
from fastup.codes import LOG
from fastup.errors import DataError
from fastup.footage.source import Source
from fastup.header import Header


class Sink(ABC):
    """Where frames go: a context. It begins to write when it is entered; what it was made for can be asked before.

    Left without an exception, it is finished; left by one, what is whole stays, so that the same run carries on.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = Path(path)
        self.notes: list[str] = []  # what a reader of the output should know; frames that are written may add to them

    def __enter__(self) -> Self:
        return self

    @abstractmethod
    def __exit__(self, *problem: Any) -> bool | None:
        """Finish, or keep what is whole."""

    def unit(self, number: int) -> int:
        """What a frame is whole with: those of one unit are made together or not at all."""
        return number

    @abstractmethod
    def is_made(self, number: int) -> bool:
        """Whether the frame of that number is there already, of a run before this one."""

    def beside(self, name: str) -> Path | None:
        """The folder for what was found out about the frames: ``OUT.name`` beside a file; None where there is none."""
        return self.path.with_name(f"{self.path.name}.{name}")

    @abstractmethod
    def write(self, frame: Frame, header: Header | None = None, number: int | None = None) -> None:
        """Write a frame of a number, or of the next one; numbers go up.

        Raises as `fastup.write` does, if this frame or one before it cannot be written; no later frame appears.
        """


def is_kept(header: Header | None) -> bool:
    """Whether a frame is in the range of video, black 64 and white 940 of 1023, or as much of other whites."""
    white = header.white if header is not None else None
    if header is None or white is None or white < 255 or header.transfer in LOG:
        return False
    return (header.low_code, header.high_code) == (64 * (white + 1) // 1024, 940 * (white + 1) // 1024)


class FolderSink(Sink):
    """A folder, which the first frame makes. Frames are written behind their making, as `frames.write_stream` does.

    They are named after the frames of `like`, or numbered without it, from `start` on; `suffix` is their format. `file`
    is what the only one is called instead.
    """

    def __init__(
        self, path: StrPath, like: Source | None = None, start: int = 0, suffix: str = ".dpx", file: str | None = None,
        threads: int = 2,
    ) -> None:  # fmt: skip
        super().__init__(path)
        self.like, self.suffix, self.file, self.threads = like, suffix, file, threads
        self._numbers, self._stack = count(start), ExitStack()
        if self.path.exists() and not self.path.is_dir():
            raise DataError(f"{path}: a file, expected a folder for the output")
        for number, source in like.files() if like is not None else ():
            target = self.place(number)
            if target.exists() and target.samefile(source):
                raise DataError(f"{target}: this is an input frame; expected another place for the output")

    def __enter__(self) -> Self:
        self._write = self._stack.enter_context(frames.write_stream(self.threads, self.threads + 2))
        return self

    def __exit__(self, *problem: Any) -> bool | None:
        return self._stack.__exit__(*problem)

    def place(self, number: int) -> Path:
        """The file that a frame becomes."""
        name = f"{number:07d}" if self.like is None else self.like.name(number)
        return self.path / (self.file or f"{name}{self.suffix}")

    def is_made(self, number: int) -> bool:
        return self.place(number).exists()

    def beside(self, name: str) -> Path:
        """Of a folder it is in it."""
        return self.path / name

    def write(self, frame: Frame, header: Header | None = None, number: int | None = None) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        self._write(self.place(next(self._numbers) if number is None else number), frame, header)
