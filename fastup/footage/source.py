"""Opening what frames come from, whichever it is."""

from pathlib import Path

from fastup import frames
from fastup.footage.stills import Stills
from fastup.footage.video import Video


def open_source(path, *, keep=False, interlaced=None):
    """Open a video, a folder of stills or one still, to get at its frames.

    Parameters
    ----------
    path : path-like
        A folder, or a file of one of `fastup.frames.SUFFIXES`, is stills; all else is video.
    keep : bool
        Make R, G, B of the source's own range: black 64 and white 940 where it has Y, Cb, Cr of limited range.
    interlaced : bool, optional
        Whether lines of chroma belong to the fields in turn. Each frame says so itself, if this is not given.

    Returns
    -------
    Video or Stills
        A context manager.

    Raises
    ------
    DataError
        If it is nothing that can be read, or there are no pictures in it. Names the codec that is missing.
    OSError
        If it is missing or cannot be opened.
    """
    path = Path(path)
    if not path.is_file():
        frames.refuse_other(path)
    stills = path.is_dir() or path.name.lower().endswith(frames.SUFFIXES)
    return (Stills if stills else Video)(path, keep, interlaced)
