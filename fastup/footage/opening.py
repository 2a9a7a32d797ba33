"""Opening what frames come from, whichever it is."""

from pathlib import Path

from numpy.typing import DTypeLike

from fastup import frames
from fastup._types import StrPath
from fastup.footage.source import Clip, Source
from fastup.footage.stills import Folder, Stills
from fastup.footage.video import Video


def source(path: StrPath, dtype: DTypeLike = "uint16") -> Source:
    """Open a video, a folder of frames, or one frame: a context that gives headers and frames in order.

    ::

        with fastup.source("tape.mov") as frames:
            for header, frame in frames: ...

    Frames are of a `dtype` that `fastup.read` has. Codes of a video are 10-bit R, G, B; those of files are their own.

    Raises
    ------
    DataError
        If it is nothing that can be read, or there are no pictures in it. Names the codec that is missing.
    OSError
        If it is missing or cannot be opened.
    """
    return Folder(path, dtype) if _is_frames(path) else Video(path, False, None, dtype)


def open_clip(path: StrPath, *, keep: bool = False, interlaced: bool | None = None) -> Clip:
    """Open a video, a folder of stills or one still as a clip: 10-bit R, G, B, with every frame at its place in time.

    Parameters
    ----------
    path
        A folder, or a file of one of `fastup.frames.SUFFIXES`, is stills; all else is video.
    keep
        Make R, G, B of the source's own range: black 64 and white 940 where it has Y, Cb, Cr of limited range.
    interlaced
        Whether lines of chroma belong to the fields in turn. Each frame says so itself, if this is not given.

    Raises
    ------
    DataError, OSError
        As `source` does; and if stills cannot become 10-bit R, G, B, or two are of one time.
    """
    return (Stills if _is_frames(path) else Video)(path, keep, interlaced)


def _is_frames(path: StrPath) -> bool:
    path = Path(path)
    if not path.is_file():
        frames.refuse_other(path)
    return path.is_dir() or path.name.lower().endswith(frames.SUFFIXES)
