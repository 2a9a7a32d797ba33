"""Opening what frames come from, whichever it is, and the folder that they go to."""

from itertools import count
from pathlib import Path
from typing import Any, Self

from numpy.typing import DTypeLike

from fastup import frames
from fastup._types import Frame, StrPath
from fastup.errors import DataError
from fastup.footage.source import Clip, Source
from fastup.footage.stills import Folder, Stills
from fastup.footage.video import Video
from fastup.header import Header


def source(path: StrPath, dtype: DTypeLike = "uint16") -> Source:
    """Open a video, a folder of frames, or one frame: a context that gives headers and frames in order.

    ::

        with fastup.source("tape.mov") as frames:
            for header, frame in frames: ...

    Frames are of a `dtype` that `fastup.read` has. Codes of a video are 10-bit R, G, B; those of files are their own.

    DataError if it is nothing that can be read, or there are no pictures in it: it names the codec that is missing.
    OSError if it is missing or cannot be opened.
    """
    return Folder(path, dtype) if _is_frames(path) else Video(path, False, None, dtype)


def open_clip(path: StrPath, *, keep: bool = False, interlaced: bool | None = None) -> Clip:
    """Open a video, a folder of stills or one still as a clip: 10-bit R, G, B, with every frame at its place in time.

    A folder, or a file of one of `fastup.frames.SUFFIXES`, is stills; all else is video. With `keep`, R, G, B are of
    the source's own range: black 64 and white 940 where it has Y, Cb, Cr of limited range. `interlaced` says whether
    lines of chroma belong to the fields in turn; each frame says so itself, if it is not given.

    Raises what `source` does; and DataError if stills cannot become 10-bit R, G, B, or two are of one time.
    """
    return (Stills if _is_frames(path) else Video)(path, keep, interlaced)


def _is_frames(path: StrPath) -> bool:
    path = Path(path)
    if not path.is_file():
        frames.refuse_other(path)
    return path.is_dir() or path.name.lower().endswith(frames.SUFFIXES)


class Sink:
    """A folder to write frames to, in order, each whole or not at all: a context.

    ::

        with fastup.source("tape.mov") as frames, fastup.sink("out/", like=frames) as film:
            for header, frame in frames: film.write(better(frame), header)

    The first frame makes the folder; DataError if it is a file, or would lose frames of `like`. Frames are written
    behind their making, as `frames.write_stream` does. Those without a name are named after the frames of `like`, a
    source, from `start` on one after the other, or numbered without it; `suffix` is the format of those.
    """

    def __init__(
        self, path: StrPath, like: Source | None = None, start: int = 0, suffix: str = ".dpx", threads: int = 2
    ) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise DataError(f"{path}: a file, expected a folder for the output")
        if like is not None:
            for number, file in like.files():
                target = self.path / f"{like.name(number)}{suffix}"
                if target.exists() and target.samefile(file):
                    raise DataError(f"{target}: this is an input frame; expected another place for the output")
        self._names = (f"{f'{n:07d}' if like is None else like.name(n)}{suffix}" for n in count(start))
        self._stream = frames.write_stream(threads, threads + 2)
        self._write = self._stream.__enter__()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: Any) -> None:
        self._stream.__exit__(*problem)

    def write(self, frame: Frame, header: Header | None = None, name: str | None = None) -> None:
        """Write a frame, as `fastup.write` has it, under a name or the next one.

        Raises as `fastup.write` does, if this frame or one before it cannot be written; no later frame appears.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        self._write(self.path / (name or next(self._names)), frame, header)


sink = Sink  # as scripts call it, beside `source`
