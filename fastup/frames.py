"""Frames in and out of files: DPX by fastup's own codec, every other format through OpenImageIO."""

import contextlib
import os
import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastup import _dpx, _formats
from fastup._threads import Pool, in_order
from fastup._types import Codes, Floats, Frame, StrPath, Window
from fastup._whole import whole
from fastup.codes import CHROMA, codes_of
from fastup.errors import DataError, FastupError, OptionError
from fastup.header import Header

AnyPath = TypeVar("AnyPath", bound=StrPath)

WRITTEN = (".dpx", ".bmp", ".exr", ".jpeg", ".jpg", ".png", ".tga", ".tif", ".tiff")
SUFFIXES = (
    *WRITTEN, ".cin", ".dib", ".hdr", ".j2c", ".j2k", ".jp2", ".jpe", ".pbm", ".pfm", ".pgm", ".pnm", ".ppm", ".sgi",
    ".webp",
)  # fmt: skip
VIDEOS = (
    ".avi", ".dv", ".flv", ".m2t", ".m2ts", ".m2v", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf",
    ".nut", ".ogv", ".ts", ".vob", ".webm", ".wmv",
)  # fmt: skip


# fmt: off
@overload
def read(path: StrPath, dtype: Literal["uint16"] = ..., window: Window | None = ..., out: Frame | None = ...,
         element: int = ..., threads: int = ..., layer: str | None = ...) -> Codes: ...
@overload
def read(path: StrPath, dtype: Literal["float32"], window: Window | None = ..., out: Frame | None = ...,
         element: int = ..., threads: int = ..., layer: str | None = ...) -> Floats: ...
@overload
def read(path: StrPath, dtype: DTypeLike, window: Window | None = ..., out: Frame | None = ...,
         element: int = ..., threads: int = ..., layer: str | None = ...) -> Frame: ...
def read(path: StrPath, dtype: DTypeLike = "uint16", window: Window | None = None, out: Frame | None = None,
         element: int = 0, threads: int = 1, layer: str | None = None) -> Frame:
    # fmt: on
    """Read a frame, or a window of it.

    Parameters
    ----------
    path
        A file of one of `SUFFIXES`: a DPX, or any other through OpenImageIO, of which the first page is read.
    dtype : {"uint16", "float32", "float16"}
        ``uint16`` gives code values as the file has them: 0..1023 at 10 bits. ``float32`` and ``float16`` give
        code / white, 0..1, as the nearest such float; the numbers themselves from files that hold floats. No colour is
        converted: CbYCr comes as Y, Cb, Cr, where 4:2:2 gives both pixels of a pair the same chroma; colours that are
        multiplied by alpha, as an EXR's are, stay so (`premultiplied` tells).
    window : (y, x, height, width)
        Read those pixels alone. It must lie inside the picture.
    out
        Where to put them: of that dtype and shape; rows may be apart, the pixels of a row may not.
    element
        Which image element of a DPX, from 0: an eye of a stereo pair, a plane.
    threads
        How many share the rows of a large DPX (8 MiB and more, once read).
    layer
        Of an EXR: the channels ``layer.R``, ``layer.G``, ...; or a part by its name. Without it, R, G, B and A
        themselves, or those of the only layer that has them.

    Returns
    -------
    ndarray, shape (height, width, channels)
        `out` where it was given. Upright, whichever way the file's rows and columns run. Of an EXR the display window,
        black where there is no data.

    Raises
    ------
    DpxError
        If the file is no DPX that can be read. Says which field, what was found and what was expected.
    FastupError
        If it is of another format, and OpenImageIO cannot read it; or its colours are not grey, RGB or YCbCr.
    DataError
        If an EXR has several layers and none was chosen, or has no R, G and B.
    OSError
        If the file is missing or cannot be opened.
    ValueError
        If dtype, window, out, element, threads or layer don't fit, or the file holds floats and codes are asked for.
    """
    if _read_as_dpx(path, layer):
        return _dpx.read(path, dtype, window, out, element, threads)
    dtype = _dtype(dtype)
    if element:
        raise ValueError(f"{os.fspath(path)}: element is {element}, expected 0: only a DPX has several")
    pixels, white = _formats.read(path, layer)
    if dtype == np.uint16 and white is None:
        raise ValueError(f"{os.fspath(path)}: holds floats, not codes; read it with dtype='float32'")
    if dtype != np.uint16 and white is not None:
        exact: Any = np.float32 if dtype == np.float32 else np.float64  # so that one division is all that rounds
        pixels = pixels.astype(exact) / exact(white)
    if window is not None:
        y, x, height, width = window
        if min(y, x) < 0 or min(height, width) < 1 or y + height > pixels.shape[0] or x + width > pixels.shape[1]:
            raise ValueError(f"{os.fspath(path)}: window (y, x, height, width) is {tuple(window)}, expected one inside "
                             f"the picture of {pixels.shape[0]} rows by {pixels.shape[1]} columns")  # fmt: skip
        pixels = pixels[y : y + height, x : x + width]
    with np.errstate(over="ignore"):  # a float beyond a float16 is infinite
        if out is None:
            return np.ascontiguousarray(pixels, dtype)
        if not isinstance(out, np.ndarray) or out.shape != pixels.shape or out.dtype != dtype:
            raise ValueError(f"out is {_dpx.describe(out)}, expected {pixels.shape} of {dtype}")
        out[...] = pixels
    return out


def read_header(path: StrPath, layer: str | None = None) -> Header:
    """Read the `Header` of a frame, user data included.

    A file of another format gives a header of the DPX that would hold the same frame: its size, channels, bits and
    pixel aspect, with everything else undefined. `layer` and what is raised are as of `read`.
    """
    return Header.read(path) if _read_as_dpx(path, layer) else _formats.layout(path, layer).header(os.fspath(path))


def write(path: StrPath, frame: ArrayLike, header: Header | None = None, fsync: bool = True) -> None:
    """Write a frame, whole or not at all.

    Parameters
    ----------
    path
        The suffix says the format: .dpx, or one that OpenImageIO writes. An older file of that name is replaced, once
        the new one is complete.
    frame : array, shape (height, width, channels)
        ``uint16`` code values; or floats, normalised, clipped to 0..1 and rounded to the nearest code. A file of floats
        takes floats as they are. Colours of an EXR are to be multiplied by alpha; those of other formats are not.
    header
        To a DPX it is written as it is, but for the frame's size; it says the flavour and the byte order. Without one,
        the file is big-endian 10-bit RGB (RGBA, luma) by method A, and all that is not known is left undefined.
        Another format takes 8 bits or floats where the header has them, and the pixel aspect: in PNG, TIFF, EXR and
        JPEG, which give it back exactly where its numbers are at most 1000; nearly in TGA; not at all in BMP. The white
        of such a file is its format's own, so codes of another white are scaled to it and rounded: 1023 of 10 bits is
        65535 in a PNG, and comes back from it.
    fsync
        Flush the file to the disk before it gets its name: not even a power cut leaves half a frame. False is faster.

    Raises
    ------
    DataError
        If the frame holds NaN or a code above white; a ValueError too.
    ValueError
        If the frame is of another shape or type than the file.
    DpxError
        If the header asks for a flavour that fastup does not write.
    FastupError
        If the format cannot be written, or cannot say what the header does: that there are Y, Cb and Cr.
    OSError
        If the file cannot be written; nothing is left under its name.
    """
    _write(path, frame, header, fsync)


class Write(Protocol):
    """What `write_stream` gives: `write` as it is to be called there."""

    def __call__(self, path: StrPath, frame: ArrayLike, header: Header | None = None) -> None: ...


@contextlib.contextmanager
def write_stream(threads: int = 2, ahead: int = 4, fsync: bool = True) -> Iterator[Write]:
    """Write frames behind their making, on threads: the twin of `stream`.

    ::

        with fastup.write_stream() as write:
            for path, frame in fastup.stream(paths):
                write(folder / path.name, better(frame), fastup.read_header(path))

    Frames appear under their names in the order in which they were given, each complete; so what is there after an
    error, or after a kill, is the first so many. A frame that was given must not be changed afterwards. So many
    `threads` pack and write frames; when `ahead` frames are given and not written yet, giving one more waits.

    Raises the errors of `write` when a later frame is given and when the context ends, however often; no later frame
    appears.
    """
    _check_counts(threads, ahead)
    pending: deque[Future[None]] = deque()
    failed: Exception | None = None
    with Pool(threads) as pool:

        def settle() -> None:
            """Wait for the frame that was given first."""
            nonlocal failed
            try:
                pending[0].result()
            except Exception as error:
                failed = error
                pending.clear()  # those wait for this one to have its name, and raise the same
                raise
            pending.popleft()

        def write(path: StrPath, frame: ArrayLike, header: Header | None = None) -> None:
            if failed is not None:
                raise failed
            while pending and (pending[0].done() or len(pending) >= ahead):
                settle()
            turn = pending[-1].result if pending else None  # what a frame waits for before it takes its name
            pending.append(pool.submit(_write, path, frame, header, fsync, turn))

        yield write
        while pending:
            settle()
        if failed is not None:
            raise failed


def find(folder: StrPath, deep: bool = False) -> list[Path]:
    """The frames in a folder, in frame order: by name, numbers by their value. A file gives itself.

    A hyphen before a number is a minus sign at the start of a name and after a dot, ``f.-0060.dpx``, and a hyphen
    elsewhere. With `deep`, the frames of the folders in it follow, folder by folder in the same order; hidden ones are
    passed over.

    Raises DataError if there is no frame (it names the endings that are looked for), if one is a link to nothing, if a
    folder is a link to one that holds it, or if the path is a video or a pipe; OSError if the folder is missing or
    cannot be read.
    """
    folder = Path(folder)
    refuse_other(folder)
    if folder.is_file():
        return [folder]
    found, videos = list[Path](), list[str]()
    _find(folder, deep, found, videos, ())
    if not found:
        hint = f"; fastup extract makes them of {min(videos)}" if videos else ""
        raise DataError(f"{folder}: no frames here, expected files that end in {', '.join(SUFFIXES)}{hint}")
    return found


def _find(folder, deep, found, videos, above):
    """Add the frames of a folder to `found`, and the names of videos; `above` is which folders it is in."""
    names, folders = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.lower().endswith(VIDEOS):
                videos.append(name)
            elif deep and name[0] != "." and entry.is_dir():
                folders.append(name)
            elif name.lower().endswith(SUFFIXES) and name[0] != ".":
                if entry.is_file():
                    names.append(name)
                elif entry.is_symlink() and not os.path.exists(entry.path):
                    raise DataError(f"{entry.path}: a link to {os.readlink(entry.path)}, where nothing is, expected a "
                                    "frame there, or no link here")  # fmt: skip
    found += [folder / name for name in sorted(names, key=_by_number)]
    if folders:
        above = (*above, os.path.realpath(folder))
    for name in sorted(folders, key=_by_number):
        if os.path.realpath(folder / name) in above:
            raise DataError(f"{folder / name}: a link to a folder that holds it, expected no link here")
        _find(folder / name, deep, found, videos, above)


def refuse_other(path: StrPath) -> None:
    """Raise DataError if a path is a video, by its name, or a pipe or a device; what is missing passes."""
    if os.path.isfile(path):
        if os.fspath(path).lower().endswith(VIDEOS):
            raise DataError(f"{path}: a video, expected frames; fastup extract makes them of it")
    elif os.path.exists(path) and not os.path.isdir(path):
        raise DataError(f"{path}: a pipe or a device, expected a file: what is in it is read more than once")


# fmt: off
@overload
def stream(paths: Iterable[AnyPath], dtype: Literal["uint16"] = ..., threads: int = ..., ahead: int = ...,
           ) -> Iterator[tuple[AnyPath, Codes]]: ...
@overload
def stream(paths: Iterable[AnyPath], dtype: Literal["float32"], threads: int = ..., ahead: int = ...,
           ) -> Iterator[tuple[AnyPath, Floats]]: ...
@overload
def stream(paths: Iterable[AnyPath], dtype: DTypeLike, threads: int = ..., ahead: int = ...,
           ) -> Iterator[tuple[AnyPath, Frame]]: ...
def stream(paths: Iterable[AnyPath], dtype: DTypeLike = "uint16", threads: int = 2, ahead: int = 4,
           ) -> Iterator[tuple[AnyPath, Frame]]:
    # fmt: on
    """Read frames in order, ahead of their use: yields each path as it was given, and an array of its own.

    `dtype` is as in `read`. So many `threads` decode frames, and at most `ahead` frames are ready or under way before
    they are asked for. The threads end with the loop, however it is left. The errors of `read` are raised when the turn
    of their frame comes.
    """
    if isinstance(paths, str):
        raise TypeError(f"paths is {paths!r}, expected paths in a list or the like")
    paths = list(paths)
    dtype = _dtype(dtype)
    _check_counts(threads, ahead)
    if all(map(is_dpx, paths)):
        return _stream_dpx(paths, dtype, threads, ahead)
    return in_order(lambda path: (path, read(path, dtype)), paths, threads, ahead)


def probe(path: StrPath, layer: str | None = None) -> tuple[tuple[int, int, int], int | None]:
    """Shape (height, width, channels) and white of a frame, from its header; white is None where it holds floats."""
    if _read_as_dpx(path, layer):
        return _dpx.probe(path)[:2]
    layout = _formats.layout(path, layer)
    return (layout.height, layout.width, layout.channels), layout.white


def premultiplied(path: StrPath, layer: str | None = None) -> bool | None:
    """Whether the colours of a frame are multiplied by its alpha, as `read` gives them, by its file.

    True of an EXR, of a TIFF of associated alpha, and of a TGA of attribute type 4; False of others; None where there
    is no alpha, and of a DPX, which does not say.
    """
    return None if _read_as_dpx(path, layer) else _formats.layout(path, layer).premultiplied


def left_out(path: StrPath, layer: str | None = None) -> list[str]:
    """What else a file holds that `read` does not give, in words: elements, pages, layers, channels, an ICC profile."""
    if _read_as_dpx(path, layer):
        count = len(Header.read(path).elements)
        return [f"the first of {count} elements"] if count > 1 else []
    return _formats.left_out(path, layer)


def stem_of(path: StrPath) -> str:
    """The stem that frames pair by: letters with marks in one form, as systems differ in how they store them."""
    return unicodedata.normalize("NFC", Path(path).stem)


def refuse_chroma(path: StrPath) -> None:
    """Raise DataError where a frame's three channels are not red, green and blue."""
    if is_dpx(path) and Header.read(path).descriptor in CHROMA:
        raise DataError(f"{path}: holds Y, Cb and Cr, expected RGB: fastup converts no colours")


def refuse_nan(path: StrPath, frame: Frame, infinity: bool = True) -> None:
    """Raise DataError, by the name of the file, where a frame of floats that was read holds NaN, or infinity."""
    if frame.dtype.kind == "f" and not (np.isfinite(frame).all() if infinity else not np.isnan(frame).any()):
        raise DataError(f"{path}: holds NaN{' or infinity' if infinity else ''}, expected finite numbers")


def _dtype(dtype):
    dtype = np.dtype(dtype)
    if dtype not in _dpx.TYPES:
        raise ValueError(f"dtype is {dtype}, expected uint16 (code values), float32 or float16 (normalised)")
    return dtype


def _check_counts(threads, ahead):
    if threads < 1 or ahead < 1:
        raise ValueError(f"threads is {threads} and ahead is {ahead}, expected 1 or more")


def _write(path, frame, header, fsync, turn=None):
    """As `write`; before the file takes its name, `turn` is called, and may raise."""
    frame = np.asarray(frame)
    _check_written(os.fspath(path), frame, header)
    with whole(path) as part:
        if is_dpx(path):
            _write_dpx(path, part, frame, header)
        else:
            _formats.write(path, part, frame, header)
        if fsync:
            with open(part, "r+b") as file:
                os.fsync(file.fileno())
        if turn is not None:
            turn()


def _check_written(name, frame, header):
    if not name.lower().endswith(WRITTEN):
        raise FastupError(f"{name}: expected a name that ends in one of {', '.join(WRITTEN)}")
    if frame.ndim != 3 or 0 in frame.shape:
        raise ValueError(f"{name}: the frame is {frame.shape}, expected (height, width, channels)")
    if frame.dtype != np.uint16 and frame.dtype.kind != "f":
        raise ValueError(f"{name}: the frame is of {frame.dtype}, expected uint16 code values or normalised floats")
    channels = frame.shape[2]
    if channels not in _formats.DESCRIPTORS:
        raise ValueError(f"{name}: the frame is {frame.shape}, expected 1, 3 or 4 channels")
    if header is not None and header.channels != channels:
        raise ValueError(f"{name}: the frame is {frame.shape}, but the header is of {header.channels} channels")


def _write_dpx(path, part, frame, header):
    height, width, channels = frame.shape
    header = header or Header.new(width, height, descriptor=_formats.DESCRIPTORS[channels])
    if (header.height, header.width) != (height, width):
        header = header.replace(width=width, height=height)
    if frame.dtype.itemsize > 4 and header.white and not np.isnan(frame).any():
        frame = codes_of(frame, header.white)  # of a float32 they might be others
    with np.errstate(over="ignore"):  # 1e300 is as white as infinity
        frame = frame.astype(np.uint16 if frame.dtype == np.uint16 else np.float32, "C", copy=False)
    fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        _dpx.write(path, fd, header.raw, frame)
    finally:
        os.close(fd)


def is_dpx(path: StrPath) -> bool:
    """Whether a file is a DPX by its name."""
    return os.fspath(path).lower().endswith(".dpx")


def _read_as_dpx(path, layer):
    """Whether a file is read as a DPX; raises an error if, by its name, it holds no frame or no such layer."""
    name = os.fspath(path)
    if not name.lower().endswith(SUFFIXES):
        os.stat(path)  # a missing file is an OSError
        raise FastupError(f"{name}: expected a name that ends in one of {', '.join(SUFFIXES)}")
    if layer is not None and is_dpx(path):
        raise OptionError(f"{name}: layer is {layer!r}, expected none: only an EXR has layers")
    return is_dpx(path)


def parts_of(stem: str) -> list[str]:
    """A name cut at its numbers, those with their sign, if they have one: text, number, text, number, ..., text."""
    return _NUMBER.split(stem)


_NUMBER = re.compile(r"((?:(?<![^.])-)?\d+)")  # after another sign than a dot, a hyphen parts a name and its number


def _by_number(name: str) -> tuple[list[Any], str]:
    parts: list[Any] = parts_of(os.path.splitext(name)[0])
    parts[0::2] = map(str.lower, parts[0::2])
    parts[1::2] = map(int, parts[1::2])
    return parts, name


def _stream_dpx(paths, dtype, threads, ahead):
    from fastup._loader import FrameStream, Problem

    frames = FrameStream(paths, type=_dpx.TYPES[dtype], threads=threads, ahead=ahead)
    try:
        for path in paths:
            frame = frames.next()
            if isinstance(frame, Problem):
                raise _dpx.error(path, frame)
            yield path, frame
    finally:
        frames.close()
