"""Frames through pipes: y4m, or raw video, from standard input and to standard output, or any binary file object."""

import math
import os
import re
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from queue import Empty, Queue
from threading import Thread
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import DTypeLike

from fastup import frames
from fastup._types import Frame, Size
from fastup.codes import CHROMA, codes_of, scaled, white_of
from fastup.errors import DataError, OptionError
from fastup.footage.raw import Pixels
from fastup.footage.sink import Sink, is_kept
from fastup.footage.source import Clip, Items, Planes, Skip, Source, is_sd, nothing, per_second
from fastup.footage.stills import exact_rate
from fastup.header import Header

PIPE = "-"  # what INPUT and OUTPUT are called where they are pipes

_SITINGS = {"jpeg": "center", "mpeg2": "left", "paldv": "topleft"}  # what y4m calls them
_MAGIC = b"YUV4MPEG2"
PATIENCE = 0.5  # seconds for the frame under way after Ctrl-C
_LONGEST = 4096  # of a y4m header or the line before a frame, bytes
_MOST = 65535  # pixels across and down
_EXPECTED = "y4m, as `ffmpeg -i tape.mov -f yuv4mpegpipe -` writes it, or raw video with --raw and --size"


@dataclass(frozen=True)
class Pipe:
    """What is in a pipe, as far as it does not say so itself.

    Parameters
    ----------
    raw
        FFmpeg's name of a pixel format: what is written is raw video of it, not y4m; so is what is read, with `size`.
    size
        Height and width of raw video that is read.
    rate
        Frames per second: of raw video that is read, or instead of what y4m or a source says.
    pixels
        The pixel format of what is written, instead of that of `raw`, or of one like the source's.
    """

    raw: str | None = None
    size: Size | None = None
    rate: Fraction | None = None
    pixels: str | None = None


# -- in --------------------------------------------------------------------------------------------------------------


class PipeSource(Clip):
    """Video that comes through a pipe, once, from the front: see `open_clip` and `Clip`.

    FFmpeg is not needed for it. Its own reader of y4m passes over a last frame that is not whole; this one does not.

    Parameters
    ----------
    file
        A binary file object with ``readline`` and ``readinto``; None for standard input.
    keep, interlaced, dtype
        As of `open_clip` and `source`.
    pipe
        What the pipe does not say.

    Raises
    ------
    DataError
        If it holds neither y4m nor, with `pipe`, raw video that can be read; from a pass over the frames, if it ends
        in the middle of a frame, when those before it have been given.
    OptionError
        If standard input is a terminal, or a pixel format is not known.
    """

    once = True
    parts = False

    def __init__(
        self, file: BinaryIO | None = None, *, keep: bool = False, interlaced: bool | None = None,
        dtype: DTypeLike = "uint16", pipe: Pipe | None = None,
    ) -> None:  # fmt: skip
        super().__init__("standard input", keep, interlaced, dtype)  # what messages call it
        self.pipe = pipe or Pipe()
        self._file, self._passed = _stdin() if file is None else file, False
        self._woven: bool | None = False  # frames; None where each says so itself
        if self.pipe.raw and self.pipe.size:
            kind, siting, levels = self._begin_raw(Pixels.of(self.pipe.raw), self.pipe.size)
        else:
            kind, siting, levels = self._begin_y4m()
        shapes = self._pixels.shapes((self.height, self.width))
        self._bytes = self._pixels.dtype.itemsize * sum(map(math.prod, shapes))  # of a frame
        if self._bytes >= 1 << 31:
            raise DataError(
                f"{self.path}: {self.width}x{self.height} of {self._pixels.name}, expected below 2 GiB a frame"
            )
        self.rate = self.pipe.rate or self.rate
        self.bits = self._pixels.bits
        self.timecode = None
        self.settings["source"] = (
            f"{kind} on standard input, {self._pixels.name}, {self.width}x{self.height}, {per_second(self.rate)}"
        )
        if "-" in self._pixels.order:
            self.note("alpha is left out")
        chroma = ":".join(self._pixels.chroma)
        self._take_colours(self._pixels.letters, chroma, 2, levels, siting, 2, 2)
        aspect = self.pixel_aspect
        self.settings |= {
            "fields": f"{self.field_order} first" if self.field_order else "progressive, or not known",
            "pixel aspect": f"{aspect.numerator}:{aspect.denominator}" if aspect else "not known",
        }

    def _begin_raw(self, pixels, size):
        self._raw, self._pixels, self.pixel_aspect = True, pixels, None
        self.height, self.width = size
        return "raw video", None, 0

    def _begin_y4m(self):
        """Take what the header says; gives what it is in words, its siting, and 2 for full range, 0 for not said."""
        self._raw, line = False, self._file.readline(_LONGEST)
        if not line:
            raise DataError(f"{self.path}: nothing came, expected {_EXPECTED}")
        if not line.startswith(_MAGIC):
            raise DataError(f"{self.path}: begins with {line[:16]!r}, expected {_EXPECTED}")
        if not line.endswith(b"\n"):
            raise DataError(f"{self.path}: the y4m header is cut off after {len(line)} bytes")
        words = line.decode("ascii", "replace").split()[1:]
        tags = {word[0]: word[1:] for word in words if word[0] != "X"}
        more = dict(word[1:].split("=", 1) for word in words if word[0] == "X" and "=" in word)
        for tag, name in (("W", "width"), ("H", "height")):
            text = tags.get(tag, "")
            if not re.fullmatch(r"\d{1,5}", text, re.ASCII) or not 0 < int(text) <= _MOST:
                raise DataError(f"{self.path}: {name} in the y4m header is {text!r}, expected 1 to {_MOST}")
            setattr(self, name, int(text))
        self._pixels, siting = self._colours_of(tags.get("C") or more.get("YSCSS", "420jpeg").lower())
        self.rate, self.pixel_aspect = self._ratio(tags, "F", "rate"), self._ratio(tags, "A", "pixel aspect")
        lacing = tags.get("I", "?")
        if lacing not in ("?", "p", "t", "b", "m"):
            raise DataError(f"{self.path}: interlacing in the y4m header is {lacing!r}, expected p, t, b, m or ?")
        self.field_order = {"t": "top", "b": "bottom"}.get(lacing)
        self._woven = None if lacing == "m" else self.field_order is not None
        length = more.get("LENGTH", "")  # which VapourSynth's vspipe writes
        self.frame_count = int(length) if re.fullmatch(r"[1-9]\d{0,9}", length, re.ASCII) else None
        return "y4m", siting, {"FULL": 2, "LIMITED": 1}.get(more.get("COLORRANGE", ""), 0)

    def _colours_of(self, text):
        """The pixel format and siting that y4m has a word for."""
        found = re.fullmatch(r"(420)(jpeg|mpeg2|paldv)|(420|422|444|411)(?:p(9|10|12|14|16))?", text)
        if found:
            bits = found[4] or ""
            return Pixels.of(f"yuv{found[1] or found[3]}p{bits}"), _SITINGS.get(found[2])
        grey = re.fullmatch(r"monop?(9|10|12|14|16)?", text)
        if grey or text == "444alpha":
            return Pixels.of(f"gray{grey[1] or ''}" if grey else "yuva444p"), None
        raise DataError(
            f"{self.path}: the y4m header says {'C' + text!r}, expected C420, C422, C444, C411 or Cmono, with p10 or "
            "such for more bits"
        )

    def _ratio(self, tags, tag, name):
        """A rate or an aspect; None for 0:0, which is "not known"."""
        text = tags.get(tag, "0:0")
        found = re.fullmatch(r"(\d{1,9}):(\d{1,9})", text, re.ASCII)
        if not found or (int(found[1]) == 0) != (int(found[2]) == 0):
            raise DataError(f"{self.path}: {name} in the y4m header is {text!r}, expected as 24000:1001, or 0:0")
        return Fraction(int(found[1]), int(found[2])) if int(found[2]) else None

    def frames(self, start: int = 0, end: int | None = None, every: int = 1, skip: Skip = nothing) -> Items:
        """Yield the numbers and the planes of frames; as of `Source.frames`, but once: a pipe has no way back.

        What comes before `start`, or is skipped, is read and left out.
        """
        if self._passed:
            raise DataError(f"{self.path}: it can be read once, from the front; expected a file where that won't do")
        self._passed = True
        index, size, whole = 0, self._bytes, (self.height, self.width)  # whatever is cropped later
        while end is None or index < end:
            woven = False if self._raw else self._next(index)
            data = np.empty(0 if woven is None else size, np.uint8)  # its own: its planes live on
            came = 0 if woven is None else self._fill(data)
            if woven is None or (self._raw and not came):
                break
            if self._raw and not index and data[: len(_MAGIC)].tobytes() == _MAGIC:
                raise DataError(
                    f"{self.path}: it is y4m, expected raw video of {self._pixels.name}, as there is a size"
                )
            if came < size:
                raise self._cut(index, f"{came} of its {size} bytes came")
            if index >= start and (index - start) % every == 0 and not skip(index):
                planes = Planes(self._pixels.split(data, whole))
                planes.interlaced = woven if self.interlaced is None else self.interlaced
                yield index, planes
            index += 1
        else:
            return
        if self.frame_count and index < self.frame_count:
            raise DataError(
                f"{self.path}: cut short: {index} of the {self.frame_count} frames that its header has came"
            )
        if not index:
            raise DataError(f"{self.path}: it ends before the first frame")

    def _next(self, index):
        """Read the line before a frame; gives whether that is interlaced, None at the end."""
        line = self._file.readline(_LONGEST)
        if not line:
            return None
        if not line.endswith(b"\n") and (b"FRAME".startswith(line) or line.startswith((b"FRAME ", b"FRAME\n"))):
            raise self._cut(index, "the line before it is not whole")
        words = line.split()
        if words[:1] != [b"FRAME"] or not line.endswith(b"\n"):
            raise DataError(f"{self.path}: frame {index} begins with {line[:16]!r}, expected FRAME: bytes were lost")
        if self._woven is not None:
            return self._woven
        return any(word[:1] == b"I" and word[3:4] == b"i" for word in words[1:])

    def _fill(self, data):
        """Read so many bytes; gives how many came."""
        came, view = 0, memoryview(data)
        while came < len(view) and (count := self._file.readinto(view[came:])):
            came += count
        return came

    def _cut(self, index, what):
        return DataError(
            f"{self.path}: it ends in the middle of frame {index} ({what}); the frames before it are whole"
        )

    def name(self, number: int) -> str:
        """The number: a pipe has no name."""
        return f"{number:07d}"


def _stdin():
    if sys.stdin is None or os.isatty(0):
        what = "closed" if sys.stdin is None else "a terminal"
        raise OptionError(f"INPUT is {PIPE}, but standard input is {what}, expected {_EXPECTED}")
    return open(0, "rb", closefd=False)


# -- out -------------------------------------------------------------------------------------------------------------

_stdout: BinaryIO | None = None


def take_stdout() -> BinaryIO:
    """Standard output, for frames alone: what anything else prints goes to standard error from now on.

    OptionError if it is a terminal.
    """
    global _stdout
    if _stdout is None:
        if os.isatty(1):
            raise OptionError(
                f"OUTPUT is {PIPE}, but standard output is a terminal, expected a program that reads it: "
                "fastup ... - | mpv -"
            )
        if sys.stdout is not None:
            sys.stdout.flush()
        _stdout = open(os.dup(1), "wb", buffering=0)  # noqa: SIM115 -- as long as the process
        os.dup2(2, 1)
    return _stdout


class PipeSink(Sink):
    """A pipe that frames go to, in order, as y4m or raw video: converted on threads, written behind their making.

    The first frame makes the header. y4m has the subsampling of `like`, or 4:4:4, and 10 bits; more where the frames
    have more. Y, Cb and Cr are of limited range, by Rec.601 where the frame has the size of SD, else by Rec.709, which
    no y4m can say: `notes` does. R, G and B of raw video are scaled from white to white. If the reader goes away,
    BrokenPipeError is raised when the next frame is given, or in the end.

    Parameters
    ----------
    file
        A binary file object; None for standard output, see `take_stdout`, which is closed in the end.
    like
        The source of the frames: rate, fields and subsampling are its own.
    pipe
        What is asked for.
    every
        One of how many frames of `like` they are, for the rate.
    threads
        How many convert frames.

    Raises
    ------
    OptionError
        If standard output is a terminal; if a pixel format is not known, or y4m does not hold it.
    """

    def __init__(
        self, file: BinaryIO | None = None, like: Source | None = None, pipe: Pipe | None = None, every: int = 1,
        threads: int = 2,
    ) -> None:  # fmt: skip
        super().__init__(PIPE)
        self.like, self.pipe, self.every, self.threads = like, pipe or Pipe(), every, threads
        name = self.pipe.pixels or self.pipe.raw
        self._pixels = None if name is None else self._checked(Pixels.of(name))
        self._own, self._file = file is None, take_stdout() if file is None else file
        self._count = 0
        self._problem: BaseException | None = None

    def _checked(self, pixels):
        if pixels.letters == "y" or "-" in pixels.order or pixels.chroma not in ("420", "422", "444"):
            raise OptionError(f"pixel format is {pixels.name}, expected yuv420p10le, yuv444p, gbrp10le or such")
        if not self.pipe.raw and (pixels.letters == "rgb" or pixels.big_endian):
            raise OptionError(
                f"pixel format is {pixels.name}, expected one that y4m has, such as yuv422p10; or raw video: "
                f"--raw {pixels.name}"
            )
        return pixels

    def __enter__(self) -> "PipeSink":
        self._pool = ThreadPoolExecutor(self.threads)
        self._waiting: Queue[Future[Any] | None] = Queue(self.threads + 2)
        self._writer = Thread(target=self._pour, name="pipe", daemon=True)  # it may wait for a reader for good
        self._writer.start()
        return self

    def __exit__(self, *problem: Any) -> None:
        stopped = isinstance(problem[1], KeyboardInterrupt)
        if stopped:  # what waits is for nobody, and a reader that waits itself may never take it
            self._problem = problem[1]
            with suppress(Empty):
                while True:
                    self._waiting.get_nowait()
        self._waiting.put(None)
        self._writer.join(PATIENCE if stopped else None)
        self._pool.shutdown()
        if self._own and not self._writer.is_alive():
            self._file.close()
        if problem[1] is None and self._problem is not None:
            raise self._problem

    def is_made(self, number: int) -> bool:
        """Never: what went through a pipe is gone."""
        return False

    def beside(self, name: str) -> None:
        """Nowhere: a pipe has no place."""

    def write(self, frame: Frame, header: Header | None = None, number: int | None = None) -> None:
        """Write a frame; it must not be changed afterwards. As of `Sink.write`, and DataError if its size is another.

        Parameters
        ----------
        frame : array, shape (height, width, channels)
            uint16 codes up to the header's white (1023 without one), or normalised floats: R, G, B; grey; alpha is
            left out.
        header
            Says white, rate, fields and pixel aspect.
        """
        if self._problem is not None:
            raise self._problem
        frame, number = np.asarray(frame), self._count
        if frame.ndim != 3 or 0 in frame.shape or frame.shape[2] not in (1, 3, 4):
            raise ValueError(f"the frame is {frame.shape}, expected (height, width, channels) with 1, 3 or 4 channels")
        if frame.dtype != np.uint16 and frame.dtype.kind != "f":
            raise ValueError(f"the frame is of {frame.dtype}, expected uint16 code values or normalised floats")
        if header is not None and header.descriptor in CHROMA:
            raise DataError(f"frame {number} is of Y, Cb and Cr, expected R, G and B: `fastup extract` makes them")
        if frame.shape[2] == 4:
            self._note("alpha is left out")
        lead = b"" if number else self._begin(frame.shape[:2], header)
        if frame.shape[:2] != self._size:
            sizes = ["{1}x{0}".format(*size) for size in (frame.shape, self._size)]
            raise DataError(f"frame {number} is {sizes[0]}, expected {sizes[1]} as the first one: a pipe has one size")
        self._waiting.put(self._pool.submit(self._packed, frame, header, number, lead))
        self._count += 1

    def _begin(self, size, header):
        """Decide on what the first frame tells of; gives the header."""
        self._size, like, laced = size, self.like, header.interlace if header is not None else None
        pixels = self._pixels or self._usual(header, bool(laced))
        if laced and pixels.chroma == "420":
            raise OptionError(
                f"pixel format is {pixels.name}, but the frames are interlaced, expected 4:2:2 or 4:4:4: their chroma "
                "does not mix fields"
            )
        self._pixels, sd = pixels, is_sd(*size)
        if pixels.letters == "yuv":
            self._matrix = "601" if sd else "709"
            siting = like.siting if isinstance(like, Clip) and pixels.bits == 8 else "left"
            self._siting = siting if siting in _SITINGS.values() else "left"
            self._note(f"Y, Cb and Cr are of Rec.{self._matrix} and limited range, as {'SD' if sd else 'HD'} has them")
        if self.pipe.raw:
            return b""
        rate = self.pipe.rate or (like.rate if like is not None else None)
        rate = rate or exact_rate(header.frame_rate if header is not None else None)
        rate = rate and rate / self.every
        if rate is None:
            self._note("the frame rate is not known, which some readers take to be 25: --rate says it")
        aspect = header.pixel_aspect if header is not None else None
        fields = {"top": "t", "bottom": "b"}.get(getattr(like, "field_order", None) or "", "?") if laced else "p"
        words = _SITINGS if pixels.chroma == "420" and pixels.bits == 8 else []
        chroma = pixels.chroma + next((word for word in words if _SITINGS[word] == self._siting), "")
        return " ".join([
            _MAGIC.decode(), f"W{size[1]}", f"H{size[0]}", f"F{_ratio(rate)}", f"I{fields}", f"A{_ratio(aspect)}",
            f"C{chroma}" + (f"p{pixels.bits}" if pixels.bits > 8 else ""), "XCOLORRANGE=LIMITED\n",
        ]).encode()  # fmt: skip

    def _usual(self, header, laced):
        """y4m that loses nothing of R, G and B but what `like` did not have: its chroma, and at least 10 bits."""
        chroma = {"4:2:0": "422" if laced else "420", "4:2:2": "422", "4:1:1": "422"}
        chroma = chroma.get(getattr(self.like, "subsampling", None) or "", "444")
        bits = header.bits if header is not None else 10
        return Pixels.of(f"yuv{chroma}p{10 if bits <= 10 else 12 if bits <= 12 else 16}")

    def _packed(self, frame, header, number, lead):
        """The bytes of a frame, and what is before them, part by part."""
        pixels, white = self._pixels, white_of(10) if header is None else header.white
        name = f"frame {number}"
        frame = frame[:, :, :3] if frame.shape[2] != 1 else np.repeat(frame, 3, axis=2)
        frames.refuse_nan(name, frame)
        if frame.dtype == np.uint16 and (white is None or frame.max() > white):
            raise DataError(
                f"{name} has a code of {frame.max()}, expected codes up to {white or 'the white of a header'}"
            )
        if pixels.letters == "rgb":
            made = [_scaled(frame, white, white_of(pixels.bits))]
        else:
            from fastup import _ycbcr  # brings Numba

            frame = frame if frame.dtype == np.uint16 else frame.astype(np.float32, copy=False)
            made = _ycbcr.planes(
                np.ascontiguousarray(frame), white or 1, pixels.bits, matrix=self._matrix,
                subsampling=":".join(pixels.chroma), siting=self._siting, keep=is_kept(header),
            )  # fmt: skip
        return [lead, b"" if self.pipe.raw else b"FRAME\n", *pixels.join(made)]

    def _pour(self):
        """Write what waits, in order, until None comes; after a problem, pass over it."""
        while (item := self._waiting.get()) is not None:
            try:
                for part in item.result() if self._problem is None else ():
                    view = memoryview(part)
                    while len(view):
                        view = view[self._file.write(view) :]
                if self._problem is None:
                    self._file.flush()
            except Exception as error:
                self._problem = error

    def _note(self, text):
        if text not in self.notes:
            self.notes.append(text)


def _ratio(value):
    return f"{value.numerator}:{value.denominator}" if value else "0:0"


def _scaled(frame, white, new_white):
    """Codes, or floats, as codes up to another white."""
    if frame.dtype != np.uint16:
        return codes_of(frame, new_white)
    return frame if white == new_white else _table(white, new_white)[frame]


@cache
def _table(white, new_white):
    return scaled(np.arange(white + 1, dtype=np.int64), white, new_white).astype(np.uint16)
