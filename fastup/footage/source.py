"""What frames come from: frames in order with their headers, and of a clip, times and timecodes too."""

import math
import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator
from copy import copy
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias

import numpy as np
from numpy.typing import DTypeLike

from fastup._threads import in_order
from fastup._types import Frame, Size, StrPath
from fastup.codes import Colorimetric, Timecode, Transfer
from fastup.errors import DataError, OptionError
from fastup.footage.sequences import count as _count
from fastup.footage.sequences import timecode_at
from fastup.header import Header

WHITE = 1023  # of the 10 bits that a clip is made of

# By the numbers of ITU-T H.273, which FFmpeg has for tags. Transfers and primaries that no code of DPX is for are
# unspecified video; a transfer tagged as linear is not believed.
_MATRICES = {1: "709", 4: "FCC", 5: "601", 6: "601", 7: "240M", 9: "2020"}
_TRANSFERS = {1: "REC_709", 4: "REC_601_525", 5: "REC_601_625", 6: "REC_601_525", 14: "REC_709", 15: "REC_709"}
_PRIMARIES = {1: "REC_709", 4: "NTSC", 5: "REC_601_625", 6: "REC_601_525", 7: "REC_601_525"}
_LINEAR = 8
# The other way round, for what a movie is tagged with. The transfer of Rec.601 is the same for 525 and 625 lines.
UNSPECIFIED = 2
TRANSFER_TAGS = {
    Transfer.LINEAR: _LINEAR, Transfer.SMPTE_274M: 1, Transfer.REC_709: 1, Transfer.REC_601_625: 6,
    Transfer.REC_601_525: 6, Transfer.NTSC: 6, Transfer.PAL: 6,
}  # fmt: skip
PRIMARY_TAGS = {
    Colorimetric.SMPTE_274M: 1, Colorimetric.REC_709: 1, Colorimetric.REC_601_625: 5, Colorimetric.REC_601_525: 6,
    Colorimetric.NTSC: 4, Colorimetric.PAL: 5,
}  # fmt: skip
_MATRIX_WORDS = {"601": "Rec.601", "709": "Rec.709", "240M": "SMPTE 240M", "2020": "Rec.2020", "FCC": "FCC"}

Skip: TypeAlias = Callable[[int], bool]
Items: TypeAlias = Generator[tuple[int, Any], None, None]


class Span(NamedTuple):
    """A stretch of a source's file in seconds of its clock, as sound and subtitles have it."""

    zero: Fraction  # when its first frame is shown
    start: Fraction | None  # from when what goes with it is; None for the beginning of the file
    end: Fraction | None  # to when; None for the end of the file


def nothing(number: int) -> bool:
    """Skip no frame."""
    return False


class Source(ABC):
    """What frames come from: a video, a folder of frames, or one frame.

    Iteration gives headers and frames in order; `stream` does so from a frame on. For work on threads, `frames` gives
    what is cheap to have in order, and `pixels` makes an array of it, on any thread.
    """

    rate: Fraction | None = None  # frames per second, where it is known; of a variable rate, the mean
    frame_count: int | None = None  # exact of a folder, an estimate of video
    subsampling: str | None = None  # of chroma, where there is some: "4:2:0"
    once = False  # whether one pass over the frames is all that there is
    parts = True  # whether a frame can be had without those before it

    def __init__(self, path: StrPath, dtype: DTypeLike = "uint16") -> None:
        self.path, self.dtype = Path(path), np.dtype(dtype)
        self.notes: list[str] = []  # what was assumed or is odd; a pass over the frames may add to them
        self.settings: dict[str, str] = {}  # what is known of the source, and from where, in words

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()

    def close(self) -> None:  # noqa: B027 -- there may be none
        """End the passes over the frames that are under way."""

    def __len__(self) -> int:
        if self.frame_count is None:
            raise TypeError(f"{self.path}: nothing but a pass over it tells how many frames there are")
        return self.frame_count

    def __iter__(self) -> Iterator[tuple[Header, Frame]]:
        return self.stream()

    def stream(self, start: int = 0, end: int | None = None, every: int = 1) -> Iterator[tuple[Header, Frame]]:
        """Yield headers and frames, read ahead of their use on threads; numbers are as of a slice, from the start.

        DataError in the end if frames are missing that the file should have, or cannot be decoded.
        """
        if min(start, 0 if end is None else end, every - 1) < 0:
            raise OptionError(f"frames {start} to {end} by {every}, expected 0 or more, by 1 or more")

        def items() -> Items:
            yield from self.frames(start, end, every)
            if damage := self.missing(start, end):
                raise DataError(f"{self.path}: {damage}")

        def read(item: tuple[int, Any]) -> tuple[Header, Frame]:
            return self.header(item[0]), self.pixels(item[1], self.dtype)

        return in_order(read, items(), threads=2, ahead=4)

    @property
    @abstractmethod
    def size(self) -> Size:
        """Height and width of the first frame, pixels."""

    @abstractmethod
    def frames(self, start: int = 0, end: int | None = None, every: int = 1, skip: Skip = nothing) -> Items:
        """Yield the numbers of frames, and what `pixels` makes arrays of, in order.

        Numbers are as of a slice. `skip` is called with each; a frame that it is true of is not read, where it can be.
        """

    @abstractmethod
    def pixels(self, raw: Any, dtype: DTypeLike = "uint16") -> Frame:
        """The array of a frame that `frames` gave: codes, or floats, normalised."""

    @abstractmethod
    def header(self, number: int) -> Header:
        """The header of a frame, as `pixels` makes it."""

    @abstractmethod
    def name(self, number: int) -> str:
        """What the file of a frame is called, without a suffix."""

    def label(self, number: int) -> str:
        """What errors call a frame."""
        return f"{self.path}: frame {number}"

    def there(self, number: int) -> bool:
        """Whether there is a frame of that number, as far as it is known."""
        return True

    def frame_number(self, position: int | str, name: str = "position") -> int:
        """The number of a frame from its number, as text; OptionError, which calls it by `name`, if it is none."""
        if not str(position).isdecimal():
            raise OptionError(f"{name} is {str(position)!r}, expected a frame's number: {self.path} has no times")
        return int(position)

    def between(self, low: int, high: int) -> tuple[int, int]:
        """The first of the frames, and the one after the last, as of a slice, that people number from `low` to `high`.

        Files have numbers in their names: OptionError if they are of several sequences, or none.
        """
        return max(low, 0), max(high + 1, 0)

    def samples(self, numbers: Iterable[int]) -> Items:
        """Yield some frames, whose numbers go up, as `frames` does; those in between are read only if they must be."""
        if wanted := sorted(numbers):
            yield from self.frames(wanted[0], wanted[-1] + 1, 1, lambda number: number not in wanted)

    def missing(self, start: int, end: int | None) -> str | None:
        """What is missing from a frame to before another, in words, once a pass has ended; None if nothing is."""
        return None

    def files(self) -> Iterable[tuple[int, Path]]:
        """The numbers of frames that are files of their own, and those files."""
        return ()

    def cut(self, first: int, last: int) -> Self:
        """The frames from one to before another alone, under their numbers, for another process: all else is the same.

        Its paths are absolute.
        """
        source = copy(self)
        source.path = self.path.absolute()
        return source

    def span(self, first: int, last: int | None) -> Span | None:
        """When the frames from one to before another (None for the end) are shown; None where no clock tells."""
        return None


class Planes(tuple[np.ndarray, ...]):
    """The arrays of a frame: (Y, Cb, Cr), each of its own size; (Y,); or (RGB,) of shape (H, W, 3).

    uint8 or uint16, the source's codes. `interlaced` says whether lines of chroma belong to the fields in turn.
    """

    interlaced = False


class Clip(Source):
    """Frames of one size and depth, each at its place in time, as 10-bit R, G, B: a video, or stills."""

    width: int
    height: int
    bits: int  # of the codes, 8 to 16
    pixel_aspect: Fraction | None  # width of a pixel over its height
    timecode: Timecode | None  # of frame 0
    transfer: Transfer
    colorimetric: Colorimetric
    field_order: str | None = None  # "top" or "bottom": which field is first, by what the file claims
    matrix: str | None = None  # this and the next two as `fastup._ycbcr.rgb` has them
    siting: str = "left"
    full: bool = True
    damage: str | None = None  # what kept the last pass over the frames from giving all that the file should have
    lines: int | None = None  # of each frame, where `crop` has left some
    top = 0  # the first of them

    def __init__(self, path: StrPath, keep: bool, interlaced: bool | None, dtype: DTypeLike = "uint16") -> None:
        super().__init__(path, dtype)
        self.keep, self.interlaced = keep, interlaced
        self._file_name: str | None = None  # that headers name
        self._header: Header | None = None
        # As of `sequences.Timeline`.
        self._marks: list[tuple[int, Timecode]] = []
        self._base: int | None = None
        self._pace = 1

    @property
    def size(self) -> Size:
        return self.lines or self.height, self.width

    def crop(self, lines: int | None) -> None:
        """Take lines off the top and the bottom of every frame, for `lines` of them; None is all.

        They go in pairs, so that the fields keep their order: of 486 for 480, 4 off the top and 2 off the bottom.
        OptionError if there are not so many, or it is an odd number fewer.
        """
        off = 0 if lines is None else self.height - lines
        if off < 0 or off % 2 or lines == 0:
            raise OptionError(f"lines is {lines}, expected the {self.height} of {self.path}, or an even number fewer")
        self.lines, self.top = lines, (off // 2 + 1) // 2 * 2
        if off:
            self.note(
                f"{self.height} lines cropped to {lines}: {self.top} off the top, {off - self.top} off the bottom"
            )

    def header(self, number: int, rate: Fraction | None = None, at: int | None = None) -> Header:
        """The header of a frame; with a `rate`, that of a frame of film, which is made of the clip's frame `at`."""
        header = self._uncropped(number, rate, at)
        return header.replace(height=self.lines) if self.lines else header

    def _uncropped(self, number: int, rate: Fraction | None, at: int | None) -> Header:
        """The header of a frame of all lines: of a 10-bit RGB DPX, with timecode and position counted to it.

        With a `rate` it has no fields.
        """
        fps = rate or self.rate
        if self._header is None:
            low, high = made_levels(self)
            self._header = Header.new(
                self.width, self.height, transfer=self.transfer, colorimetric=self.colorimetric,
                pixel_aspect=self.pixel_aspect, low_code=low, high_code=high,
                source_file_name=self._file_name,
            )  # fmt: skip
        return self._header.replace(
            frame_rate=fps and float(fps), timecode=self._timecode(number, fps), frame_position=number,
            interlace=int(self.field_order is not None and rate is None),
        )  # fmt: skip

    def pixels(self, raw: Planes, dtype: DTypeLike = "uint16") -> Frame:
        """10-bit R, G, B of a frame's planes, (H, W, 3): codes, or floats, normalised.

        Y, Cb, Cr are converted as `fastup._ycbcr.rgb` does it. Codes of R, G, B are scaled from white to white and
        nothing else; luma alone gives grey.
        """
        from fastup import _ycbcr  # brings Numba

        if len(raw) == 3 and self.matrix:
            frame = _ycbcr.rgb(
                raw, self.bits, matrix=self.matrix, siting=self.siting, interlaced=raw.interlaced, full=self.full,
                keep=self.keep,
            )  # fmt: skip
        else:
            table = _ycbcr.table(self.bits, self.full or raw[0].ndim == 3, self.keep)
            frame = table.take(raw[0], mode="clip")  # damage may give more than there should be
            frame = frame if frame.ndim == 3 else np.repeat(frame[:, :, np.newaxis], 3, axis=2)
        frame = frame[self.top :][: self.lines]
        return frame if np.dtype(dtype) == np.uint16 else (frame / np.float32(WHITE)).astype(dtype, copy=False)

    def frame_number(self, position: int | str, name: str = "position") -> int:
        """The number of a frame from its number, its time or its timecode.

        ``120``; ``0:01:02.5``, the first frame at that time or after; ``01:00:02:12`` or ``01:00:02;12``. OptionError,
        which calls it by `name`, if it is none of them, or the source has no rate or timecode to tell by.
        """
        text = str(position)
        if text.isdecimal():
            return int(text)
        time = re.fullmatch(r"(?:(\d+):)?(\d+):(\d\d?(?:\.\d+)?)", text)
        if time and self.rate:
            hours, minutes, seconds = (Fraction(part or 0) for part in time.groups())
            return math.ceil((hours * 3600 + minutes * 60 + seconds) * self.rate)
        try:
            timecode = None if time else Timecode(text)
        except ValueError:
            expected = "a frame's number, a time as 0:01:02.5, or a timecode"
            raise OptionError(f"{name} is {text!r}, expected {expected}") from None
        marks = self._timecodes()
        if not self.rate or timecode is None or not marks:
            raise OptionError(f"{name} is {text}, but {self.path} has no {'timecode' if self.rate else 'frame rate'}")
        base = self._base or max(1, round(self.rate))
        for (place, first), (end, _) in zip(marks, [*marks[1:], (math.inf, None)], strict=True):
            later = _count(timecode, base, first.drop_frame) - _count(first, base, first.drop_frame)
            if later >= 0 and place - (-later // self._pace) < end:
                return place - (-later // self._pace)
        if len(marks) == 1:
            raise OptionError(f"{name} is {text}, before the first frame, which is {marks[0][1]}")
        raise OptionError(f"{name} is {text}, expected one that counts on from {some([mark[1] for mark in marks])}")

    def _timecode(self, index: int, rate: Fraction | None) -> Timecode | str | None:
        """The timecode of a frame at a rate, if it can be counted; above 40 frames/s no header can mark drop frame."""
        if not rate or not 1 <= round(rate) <= 60:
            return None
        marks, own = self._timecodes(), self.rate or rate
        after = bisect_right(marks, index * own / rate, key=lambda mark: Fraction(mark[0]))
        if not after:
            return None
        place, first = marks[after - 1]
        text = timecode_at(first, math.floor(index - place * rate / own), self._base or own, rate)
        return text if rate <= 40 else text.replace(";", ":")

    def _timecodes(self) -> list[tuple[int, Timecode]]:
        """The frames from which timecodes are counted on, and those."""
        return self._marks or ([(0, self.timecode)] if self.timecode else [])

    def missing(self, start: int, end: int | None) -> str | None:
        return self.damage

    def _take_colours(self, letters, subsampling, matrix, levels, siting, transfer, primaries):
        """Colours from tags, by the numbers of H.273 and FFmpeg; what is not tagged is assumed.

        `letters` are of the planes: yuv, rgb or y; `levels` is 2 for full range, 0 where it is not known.
        """
        sd = is_sd(*self.size)
        usual = ("REC_601_525" if is_525(self.height) else "REC_601_625") if sd else "REC_709"
        if letters == "yuv":
            if matrix not in (0, 2, *_MATRICES):
                raise DataError(
                    f"{self.path}: its matrix is number {matrix} of ITU-T H.273, expected one of "
                    f"{', '.join(map(str, _MATRICES))}: R, G and B cannot be made of others"
                )
            assumed = matrix not in _MATRICES
            self.matrix = ("601" if sd else "709") if assumed else _MATRICES[matrix]
            if assumed:
                self.note(f"no tag of a matrix: Rec.{self.matrix} is assumed, as {'SD' if sd else 'HD'} has it")
            self._say("matrix", _MATRIX_WORDS[self.matrix], assumed)
        if letters != "rgb":
            self.full = levels == 2
            made = "kept" if self.keep or self.full else "to 0-1023"
            self._say("range", f"{'full' if self.full else 'limited'}, {made}", levels == 0)
        else:
            self._say_scaled()
        if letters == "yuv":
            self.siting, self.subsampling = siting or "left", subsampling
            self._say("chroma", f"{subsampling}, sited {self.siting}", siting is None)
            if subsampling in ("4:2:0", "4:4:0", "4:1:0"):  # the others don't know of fields
                fields = {True: "all frames", False: "no frames", None: "interlaced frames"}[self.interlaced]
                self.settings["chroma"] += f", by field in {fields}"
        for name, codes, known, tag in (
            ("transfer", Transfer, _TRANSFERS, transfer),
            ("colorimetric", Colorimetric, _PRIMARIES, primaries),
        ):
            assumed = tag in (0, 2) or (name == "transfer" and tag == _LINEAR)
            code = codes[usual] if assumed else codes[known.get(tag, "VIDEO")]
            setattr(self, name, code)
            self._say(name, code.text, assumed)

    def _say(self, name, text, assumed):
        self.settings[name] = f"{text} ({'assumed' if assumed else 'tag'})"

    def _say_scaled(self):
        self.settings["range"] = f"0-{(1 << self.bits) - 1}, to 0-1023"

    def note(self, text: str) -> None:
        """Add to the notes, once."""
        if text not in self.notes:  # which another pass may have found
            self.notes.append(text)


def made_levels(source: Clip) -> tuple[int, int]:
    """The codes that black and white get."""
    return (64, 940) if source.keep and not source.full else (0, 1023)


def is_sd(height: int, width: int) -> bool:
    """Whether a picture of that size has the colours of SD where nothing says which: Rec.601's."""
    return width < 1280 and height <= 608  # 576 lines, and the 32 of blanking above them of D-10


def is_525(height: int) -> bool:
    """Whether a picture of SD is of the system of 525 lines, or of that of 625."""
    return height <= 512


def per_second(rate: Fraction | None) -> str:
    return f"{float(rate):.6g} frames/s" if rate else "no frame rate"


def some(words: list[str]) -> str:
    return ", ".join(words[:3]) + ", ..." * (len(words) > 3)
