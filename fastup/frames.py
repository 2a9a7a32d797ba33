"""Frames in and out of files: DPX by fastup's own codec, every other format read through OpenImageIO."""

import contextlib
import os
import re
import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fastup import _dpx
from fastup.errors import DataError, FastupError
from fastup.header import Header

SUFFIXES = (".dpx", ".bmp", ".exr", ".jpeg", ".jpg", ".png", ".tga", ".tif", ".tiff")


def read(path, dtype="uint16", window=None, out=None):
    """Read a frame, or a window of it.

    Parameters
    ----------
    path : path-like
        A DPX file; or any other that OpenImageIO reads, by its suffix.
    dtype : {"uint16", "float32"}
        ``uint16`` gives code values as the file has them: 0..1023 at 10 bits. ``float32`` gives code / white, 0..1 (the
        nearest float; the numbers themselves from formats that hold floats). No colour is converted.
    window : (y, x, height, width), optional
        Read those pixels alone. It must lie inside the picture.
    out : ndarray, optional
        Where to put them: of that dtype and shape; rows may be apart, the pixels of a row may not.

    Returns
    -------
    ndarray, shape (height, width, channels)
        `out` where it was given.

    Raises
    ------
    DpxError
        If the file is no DPX that can be read. Says which field, what was found and what was expected.
    FastupError
        If it is of another format, and OpenImageIO cannot read it.
    OSError
        If the file is missing or cannot be opened.
    ValueError
        If dtype, window or out don't fit.
    """
    if _is_dpx(path):
        return _dpx.read(path, dtype, window, out)
    pixels, white = _read_other(path)
    dtype = np.dtype(dtype)
    if dtype == np.uint16 and white is None:
        raise ValueError(f"{os.fspath(path)}: holds floats, not codes; read it with dtype='float32'")
    if dtype == np.float32 and white is not None:
        pixels = pixels.astype(np.float32) / np.float32(white)
    elif dtype not in (np.uint16, np.float32):
        raise ValueError(f"dtype is {dtype}, expected uint16 (code values) or float32 (normalised)")
    if window is not None:
        y, x, height, width = window
        if min(y, x) < 0 or min(height, width) < 1 or y + height > pixels.shape[0] or x + width > pixels.shape[1]:
            raise ValueError(
                f"{os.fspath(path)}: window (y, x, height, width) is {tuple(window)}, expected one inside the picture "
                f"of {pixels.shape[0]} rows by {pixels.shape[1]} columns"
            )
        pixels = pixels[y : y + height, x : x + width]
    if out is None:
        return np.ascontiguousarray(pixels, dtype)
    if not isinstance(out, np.ndarray) or out.shape != pixels.shape or out.dtype != dtype:
        raise ValueError(f"out is {_dpx.describe(out)}, expected {pixels.shape} of {dtype}")
    out[...] = pixels
    return out


def read_header(path):
    """Read the `Header` of a DPX file, user data included. Raises DpxError and OSError as `read` does."""
    return Header.read(path)


def write(path, frame, header=None):
    """Write a frame as 10-bit RGB DPX, whole or not at all.

    Parameters
    ----------
    path : path-like
        Ends in .dpx. An older file of that name is replaced, once the new one is complete.
    frame : ndarray, shape (height, width, 3)
        ``uint16`` code values of 0..1023; or floats, normalised, clipped to 0..1 and rounded to the nearest code.
    header : Header, optional
        Written as it is, but for the frame's size. Its byte order is the file's. Without one, all that is not known is
        left undefined, and the file is big-endian.

    Raises
    ------
    DataError
        If the frame holds NaN or a code above 1023; a ValueError too.
    ValueError
        If the frame is of another shape or type.
    DpxError
        If the header asks for a flavour that fastup does not write.
    FastupError
        If the name does not end in .dpx.
    OSError
        If the file cannot be written; nothing is left under its name.
    """
    if not _is_dpx(path):
        raise FastupError(f"{os.fspath(path)}: fastup writes DPX; expected a name that ends in .dpx")
    frame = np.asarray(frame)
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape:
        raise ValueError(f"frame is {frame.shape}, expected (height, width, 3)")
    if frame.dtype != np.uint16 and frame.dtype.kind != "f":
        raise ValueError(f"frame is of {frame.dtype}, expected uint16 code values or normalised floats")
    with np.errstate(over="ignore"):  # 1e300 is as white as infinity
        frame = np.require(frame, np.uint16 if frame.dtype == np.uint16 else np.float32, ["C", "ALIGNED"])

    height, width, _ = frame.shape
    if header is None or (header.height, header.width) != (height, width):
        header = header or Header.new(width, height)
        size = header.pixel_offset + height * (4 * width + header.line_padding)
        header = header.replace(width=width, height=height, file_size=min(size, 0xFFFFFFFF))
    with whole(path) as part:
        fd = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        try:
            _dpx.write(path, fd, header.raw, frame)
        finally:
            os.close(fd)


def find(folder):
    """The frames in a folder, in frame order: by name, numbers by their value. A file gives itself.

    Raises
    ------
    DataError
        If there is no frame. Names the endings that are looked for.
    OSError
        If the folder is missing or cannot be read.
    """
    folder = Path(folder)
    if folder.is_file():
        return [folder]
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.name.lower().endswith(SUFFIXES) and e.name[0] != "." and e.is_file()]
    if not names:
        raise DataError(f"{folder}: no frames here, expected files that end in {', '.join(SUFFIXES)}")
    return [folder / name for name in sorted(names, key=_by_number)]


def stream(paths, dtype="uint16", threads=2, ahead=4):
    """Read frames in order, ahead of their use, on threads of their own.

    Parameters
    ----------
    paths : iterable of path-like
    dtype : {"uint16", "float32"}
        As in `read`.
    threads : int
        How many frames are decoded at a time.
    ahead : int
        How many frames, at most, are ready or under way before they are asked for.

    Yields
    ------
    path, frame
        The path as it was given, and an array of its own.

    Raises
    ------
    DpxError, OSError
        When the turn of a frame comes that cannot be read. The threads end with the loop, however it is left.
    """
    if isinstance(paths, str):
        raise TypeError(f"paths is {paths!r}, expected paths in a list or the like")
    paths = list(paths)
    dtype = np.dtype(dtype)
    if dtype not in (np.uint16, np.float32):
        raise ValueError(f"dtype is {dtype}, expected uint16 (code values) or float32 (normalised)")
    if threads < 1 or ahead < 1:
        raise ValueError(f"threads is {threads} and ahead is {ahead}, expected 1 or more")
    return (_stream_dpx if all(map(_is_dpx, paths)) else _stream_any)(paths, dtype, threads, ahead)


def probe(path):
    """Shape (height, width, channels) and white of a frame, from its header; white is None where it holds floats."""
    if _is_dpx(path):
        return _dpx.probe(path)
    with _open_other(path) as image:
        spec = image.spec()
        return (spec.height, spec.width, spec.nchannels), _WHITES.get(str(spec.format))


@contextlib.contextmanager
def whole(path):
    """A context that gives the name of a temporary file beside `path`, and renames it to `path` if all goes well.

    The name keeps the suffix of `path` and starts with a dot, so that `find` passes it over.
    """
    path = Path(path)
    part = path.with_name(f".{path.stem[:40]}.{os.getpid()}-{threading.get_ident()}{path.suffix}")
    try:
        yield part
        os.replace(part, path)
    except BaseException as problem:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            part.unlink()
        if isinstance(problem, OSError) and str(problem.filename) == str(part):
            problem.filename, problem.filename2 = str(path), None  # the name that a person knows
        raise


def _is_dpx(path):
    return os.fspath(path).lower().endswith(".dpx")


def _by_number(name):
    parts = re.split(r"(\d+)", os.path.splitext(name)[0])
    return [(int(part), "") if part.isdecimal() else (-1, part.lower()) for part in parts], name


def _stream_dpx(paths, dtype, threads, ahead):
    from fastup._loader import FrameStream

    frames = FrameStream(paths, dtype == np.float32, threads, ahead)
    try:
        for path in paths:
            frame, problem = frames.next()
            if problem is not None:
                raise _dpx.error(path, *problem)
            yield path, frame
    finally:
        frames.close()


def _stream_any(paths, dtype, threads, ahead):
    waiting = deque()
    pool = ThreadPoolExecutor(threads)
    try:
        for path in paths:
            waiting.append((path, pool.submit(read, path, dtype)))
            if len(waiting) > ahead:
                path, future = waiting.popleft()
                yield path, future.result()
        for path, future in waiting:
            yield path, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


# -- formats other than DPX ------------------------------------------------------------------------------------------

_WHITES = {"uint8": 255, "uint16": 65535}


@contextlib.contextmanager
def _open_other(path):
    import OpenImageIO as oiio

    os.stat(path)  # a missing file is an OSError here as everywhere
    config = oiio.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)  # colours are not to be multiplied by alpha
    image = oiio.ImageInput.open(os.fspath(path), config)
    if image is None:
        raise FastupError(f"{os.fspath(path)}: cannot be read: {_one_line(oiio.geterror())}")
    try:
        yield image
    finally:
        image.close()


def _read_other(path):
    with _open_other(path) as image:
        white = _WHITES.get(str(image.spec().format))
        pixels = image.read_image(str(image.spec().format) if white else "float")
        if pixels is None or image.has_error:  # of a JPEG cut short it gives the rest in grey, and an error
            raise FastupError(f"{os.fspath(path)}: cannot be read: {_one_line(image.geterror())}")
    return pixels, white


def _one_line(text):
    return " ".join(text.split())
