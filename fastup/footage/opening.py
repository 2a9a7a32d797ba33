"""Opening what frames come from, and what they go to, whichever it is."""

from pathlib import Path

from numpy.typing import DTypeLike

from fastup import frames
from fastup._types import StrPath
from fastup.footage.sink import FolderSink, Sink
from fastup.footage.source import Clip, Source
from fastup.footage.stills import Folder, Stills
from fastup.footage.video import Video


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


def sink(path: StrPath, like: Source | None = None, *, start: int = 0, suffix: str = ".dpx") -> Sink:
    """Open what frames go to: a context, to which they are written in order, with headers.

    ::

        with fastup.source("tape.mov") as frames, fastup.sink("out/", like=frames) as film:
            for header, frame in frames: film.write(better(frame), header)

    In a folder they are named after the frames of `like`, a source, from `start` on one after the other, or numbered
    without it; `suffix` is their format. DataError if it is a file, or would lose frames of `like`.
    """
    return FolderSink(path, like, start, suffix)
