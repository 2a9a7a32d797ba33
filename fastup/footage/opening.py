"""Opening what frames come from, and what they go to, whichever it is."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import DTypeLike

from fastup import frames
from fastup._types import StrPath
from fastup.errors import OptionError
from fastup.footage import codecs
from fastup.footage.movie import Movie
from fastup.footage.pipe import PIPE, Pipe, PipeSink, PipeSource
from fastup.footage.sink import FolderSink, Sink
from fastup.footage.source import Clip, Source
from fastup.footage.stills import Folder, Stills
from fastup.footage.video import Video


def source(path: StrPath, dtype: DTypeLike = "uint16", pipe: Pipe | None = None) -> Source:
    """Open a video, a folder of frames, one frame, or a pipe: a context that gives headers and frames in order.

    ::

        with fastup.source("tape.mov") as frames:
            for header, frame in frames: ...

    Frames are of a `dtype` that `fastup.read` has. Codes of a video are 10-bit R, G, B; those of files are their own.
    ``-`` is standard input: y4m, or raw video that `pipe` tells of. It is video that can be read once, from the front.

    DataError if it is nothing that can be read, or there are no pictures in it: it names the codec that is missing.
    OSError if it is missing or cannot be opened.
    """
    if is_pipe(path):
        return PipeSource(dtype=dtype, pipe=pipe)
    return Folder(path, dtype) if is_frames(path) else Video(path, False, None, dtype)


def open_clip(
    path: StrPath, *, keep: bool = False, interlaced: bool | None = None, pipe: Pipe | None = None
) -> Clip:  # fmt: skip
    """Open a video, a folder of stills, one still or a pipe as a clip: 10-bit R, G, B, each frame at its place in time.

    A folder, or a file of one of `fastup.frames.SUFFIXES`, is stills; ``-`` is standard input, see `source`; all else
    is video. With `keep`, R, G, B are of the source's own range: black 64 and white 940 where it has Y, Cb, Cr of
    limited range. `interlaced` says whether lines of chroma belong to the fields in turn; each frame says so itself,
    if it is not given.

    Raises what `source` does; and DataError if stills cannot become 10-bit R, G, B, or two are of one time.
    """
    if is_pipe(path):
        return PipeSource(keep=keep, interlaced=interlaced, pipe=pipe)
    return (Stills if is_frames(path) else Video)(path, keep, interlaced)


def is_frames(path: StrPath) -> bool:
    """Whether a path is a folder of frames, or one frame by its name; DataError if it is a device, or the like."""
    path = Path(path)
    if not path.is_file():
        frames.refuse_other(path)
    return path.is_dir() or path.name.lower().endswith(frames.SUFFIXES)


def sink(
    path: StrPath, like: Source | None = None, *, start: int = 0, end: int | None = None, every: int = 1,
    suffix: str | None = None, file: str | None = None, threads: int = 2, overwrite: bool = False,
    made_by: Mapping[str, Any] | None = None, **options: Any,
) -> Sink:  # fmt: skip
    """Open what frames go to: a context, to which they are written in order, with headers.

    ::

        with fastup.source("tape.mov") as frames, fastup.sink("out/", like=frames) as film:
            for header, frame in frames: film.write(better(frame), header)

    A path is a folder; or a video, where it ends in one of `codecs.FORMATS`; or ``-``, standard output. OptionError if
    an option does not go with what it is; DataError if there is something else, or frames of `like` would be lost.
    Whatever else is printed from then on, while frames go to standard output, goes to standard error.

    Parameters
    ----------
    path
        Where they go.
    like
        The source that they are made of: files are named after its frames, or numbered without it.
    start, end, every
        Which of its frames they are, as of a slice.
    suffix, file, threads
        As of `FolderSink`, for a folder alone; the suffix of a DPX if it is not given.
    overwrite
        Whether frames that are there are made again.
    made_by
        What they are made with, in names and values that JSON has: a video that was begun with other ones is refused.
    options
        Those of the video or the pipe alone: of a video `codec`, `bits` and `rate`, as `movie.Movie` has them; of a
        pipe `pipe`, a `fastup.footage.pipe.Pipe`.
    """
    if suffix and (is_pipe(path) or is_movie(path)):
        raise OptionError(f"format is {suffix[1:]}, but {path} is no folder; expected none")
    if is_pipe(path):
        pipe = options.pop("pipe", None)
        if options:
            raise OptionError(f"{next(iter(options))} is given, but OUTPUT is {path}, a pipe, which has no such option")
        return PipeSink(like=like, pipe=pipe, every=every, threads=threads)
    if is_movie(path):
        return Movie(path, like, start=start, end=end, every=every, overwrite=overwrite, made_by=made_by, **options)
    if options:
        raise OptionError(f"{next(iter(options))} is given, but {path} is a folder of frames, which has no such option")
    return FolderSink(path, like, start, suffix or ".dpx", file, threads)


def is_pipe(path: StrPath) -> bool:
    """Whether a path is standard input or output."""
    return os.fspath(path) == PIPE


def is_movie(path: StrPath) -> bool:
    """Whether a path is that of a video to be written, by its name; also of one of a kind that is not written."""
    return os.fspath(path).lower().endswith((*codecs.FORMATS, *frames.VIDEOS)) and not os.path.isdir(path)
