"""Video, or a folder of stills, to 10-bit RGB DPX at its own size: decoding, converting and writing overlap."""

import contextlib
import math
import os
import re
from bisect import bisect_right
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from fastup import frames
from fastup.codes import CHROMA, Colorimetric, Descriptor, Timecode, Transfer
from fastup.errors import DataError, OptionError
from fastup.footage.sequences import count as _count
from fastup.footage.sequences import timeline
from fastup.header import FIELDS, FULL_BYTES, Header

# By the numbers of ITU-T H.273, which FFmpeg has for tags. Transfers and primaries that no code of DPX is for are
# unspecified video; a transfer tagged as linear is not believed.
_MATRICES = {1: "709", 4: "FCC", 5: "601", 6: "601", 7: "240M", 9: "2020"}
_TRANSFERS = {
    1: "REC_709", 4: "REC_601_525", 5: "REC_601_625", 6: "REC_601_525", 14: "REC_709", 15: "REC_709"
}  # fmt: skip
_PRIMARIES = {1: "REC_709", 4: "NTSC", 5: "REC_601_625", 6: "REC_601_525", 7: "REC_601_525"}
_LINEAR = 8
_MATRIX_WORDS = {"601": "Rec.601", "709": "Rec.709", "240M": "SMPTE 240M", "2020": "Rec.2020", "FCC": "FCC"}

# FFmpeg's field orders: what is stored first, what is shown first. Its decoders go by the former.
_ORDERS = {2: "top", 3: "bottom", 4: "top", 5: "bottom"}
_EVERY_FRAME_SAYS = {"mpeg1video", "mpeg2video", "h264", "hevc", "vc1"}  # whether it is interlaced; a file may be mixed

# How samples lie in formats that are not one plane for each: the letters of each plane, "-" for what is passed over.
_GROUPS = {
    "nv12": ("y", "uv"), "nv16": ("y", "uv"), "nv24": ("y", "uv"), "nv20": ("y", "uv"), "nv21": ("y", "vu"),
    "nv42": ("y", "vu"), "yuyv422": ("yuyv",), "yvyu422": ("yvyu",), "uyvy422": ("uyvy",), "uyyvyy411": ("uyyvyy",),
    "ayuv": ("-yuv",), "vuya": ("vuy-",), "vuyx": ("vuy-",), "uyva": ("uyv-",), "vyu444": ("vyu",), "xv36": ("uyv-",),
    "xv48": ("uyv-",), "ayuv64": ("-yuv",), "ya8": ("y-",), "ya16": ("y-",), "rgb24": ("rgb",), "bgr24": ("bgr",),
    "rgb0": ("rgb-",), "rgba": ("rgb-",), "bgr0": ("bgr-",), "bgra": ("bgr-",), "0rgb": ("-rgb",), "argb": ("-rgb",),
    "0bgr": ("-bgr",), "abgr": ("-bgr",), "rgb48": ("rgb",), "bgr48": ("bgr",), "rgba64": ("rgb-",),
    "bgra64": ("bgr-",),
    **{f"p{chroma}{bits}": ("y", "uv") for chroma in (0, 2, 4) for bits in (10, 12, 16)},
    **{f"y2{bits}": ("yuyv",) for bits in (10, 12, 16)},
}  # fmt: skip
_SHIFTED = re.compile(r"p[024]1|y21|xv3|.*msb")  # their codes lie at the upper end of 16 bits
_SUBSAMPLINGS = {
    (8, 8): "4:4:4", (4, 8): "4:2:2", (4, 4): "4:2:0", (2, 8): "4:1:1", (8, 4): "4:4:0", (2, 2): "4:1:0"
}  # fmt: skip
_EXPANDED = re.compile(r"pal8|mono[bw]|(rgb|bgr)(4|8|4_byte|444|555|565)(le|be)?")  # FFmpeg makes 8-bit RGB of them


_AT_A_TIME = 64  # frames that threads may have under way

_PICTURES = {Descriptor.LUMA, Descriptor.RGB, Descriptor.RGBA, Descriptor.ABGR, *CHROMA}

# What a DPX header that ends after the generic section has to carry over.
_CARRIED = [name for name, field in FIELDS.items() if field.section == "source"] + [
    "file_name", "create_time", "creator", "project", "copyright", "orientation", "descriptor", "bits", "transfer",
    "colorimetric", "low_code", "low_quantity", "high_code", "high_quantity", "description",
]  # fmt: skip


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


class Planes(tuple):
    """The arrays of a frame: (Y, Cb, Cr), each of its own size; (Y,); or (RGB,) of shape (H, W, 3).

    uint8 or uint16, the source's codes. `interlaced` says whether lines of chroma belong to the fields in turn.
    """

    interlaced = False


class Source:
    """What a video and stills have in common: all but how they are read.

    Attributes
    ----------
    path : Path
    width, height : int
        In pixels.
    bits : int
        Of the codes, 8 to 16.
    rate : Fraction or None
        Frames per second; of a variable rate, the mean.
    pixel_aspect : Fraction or None
        Width of a pixel over its height.
    timecode : Timecode or None
        Of frame 0.
    field_order : {"top", "bottom", None}
        Which field is first, by what the file claims.
    frame_count : int or None
        Exact of stills, with those that are missing; an estimate of video.
    matrix, siting, full
        As `fastup._ycbcr.rgb` has them.
    notes : list of str
        What was assumed or is odd, a line each. A pass over the frames may add to them.
    damage : str or None
        What kept the last pass over the frames from giving all that the file should have.
    settings : dict of str to str
        What is known of the source, and from where, in words.
    """

    matrix, siting, full, field_order, damage = None, "left", True, None, None

    def __init__(self, path, keep, interlaced):
        self.path, self.keep, self._interlaced = path, keep, interlaced
        self.notes, self.settings = [], {}
        self._marks, self._base, self._pace = None, None, 1  # as of `sequences.Timeline`

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def rgb(self, planes, out=None):
        """10-bit R, G, B of a frame.

        Y, Cb, Cr are converted as `fastup._ycbcr.rgb` does it. Codes of R, G, B are scaled from white to white and
        nothing else; luma alone gives grey.

        Parameters
        ----------
        planes : Planes
        out : ndarray, (H, W, 3), uint16, optional

        Returns
        -------
        ndarray, (H, W, 3), uint16
        """
        from fastup import _ycbcr  # brings Numba

        if len(planes) == 3:
            return _ycbcr.rgb(
                planes, self.bits, matrix=self.matrix, siting=self.siting,
                interlaced=planes.interlaced, full=self.full, keep=self.keep, out=out,
            )  # fmt: skip
        (plane,) = planes
        if out is None:
            out = np.empty((*plane.shape[:2], 3), np.uint16)
        table = _ycbcr.table(self.bits, self.full or plane.ndim == 3, self.keep)
        codes = table.take(plane, mode="clip")  # damage may give more than there should be
        out[...] = codes if plane.ndim == 3 else codes[:, :, np.newaxis]
        return out

    def frame_number(self, position, name="position"):
        """The number of a frame from its number, its time or its timecode.

        Parameters
        ----------
        position : int or str
            ``120``; ``0:01:02.5``, the first frame at that time or after; ``01:00:02:12`` or ``01:00:02;12``.
        name : str
            What to call it in an error.

        Raises
        ------
        OptionError
            If it is none of them, or the source has no rate or timecode to tell by.
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
            raise OptionError(
                f"{name} is {text!r}, expected a frame's number, a time as 0:01:02.5, or a timecode"
            ) from None
        marks = self._timecodes()
        if not self.rate or (timecode and not marks):
            raise OptionError(f"{name} is {text}, but {self.path} has no {'timecode' if self.rate else 'frame rate'}")
        base = self._base or max(1, round(self.rate))
        for (place, first), (end, _) in zip(marks, [*marks[1:], (math.inf, None)], strict=True):
            later = _count(timecode, base, first.drop_frame) - _count(first, base, first.drop_frame)
            if later >= 0 and place - (-later // self._pace) < end:
                return place - (-later // self._pace)
        if len(marks) == 1:
            raise OptionError(f"{name} is {text}, before the first frame, which is {marks[0][1]}")
        raise OptionError(f"{name} is {text}, expected one that counts on from {_some([mark[1] for mark in marks])}")

    def _timecode(self, index, rate):
        """The timecode of a frame at a rate, if it can be counted; above 40 frames/s no header can mark drop frame."""
        marks, own = self._timecodes(), self.rate or rate
        if not rate or not 1 <= round(rate) <= 60:
            return None
        after = bisect_right(marks, index * own / rate, key=lambda mark: mark[0])
        if not after:
            return None
        place, first = marks[after - 1]
        text = timecode_at(first, math.floor(index - place * rate / own), self._base or own, rate)
        return text if rate <= 40 else text.replace(";", ":")

    def _timecodes(self):
        """The frames from which timecodes are counted on, and those."""
        return self._marks or ([(0, self.timecode)] if self.timecode else [])

    def there(self, index):
        """Whether there is a frame of that number, as far as it is known."""
        return True

    def missing(self, start, end):
        """What is missing from a frame to before another, in words, once a pass has ended; None if nothing is."""
        return self.damage

    def _say_scaled(self):
        self.settings["range"] = f"0-{(1 << self.bits) - 1}, to 0-1023"

    def note(self, text):
        """Add to the notes, once."""
        if text not in self.notes:  # which another pass may have found
            self.notes.append(text)


class Video(Source):
    """A video, through FFmpeg. See `open_source` and `Source`."""

    def __init__(self, path, keep, interlaced):
        super().__init__(path, keep, interlaced)
        self._running, self._header = set(), None
        with self._opened() as (container, stream):
            codec, claimed = stream.codec_context.name, _ORDERS.get(stream.codec_context.field_order)
            frame = next((frame for found, _ in _decoded(container, stream) for frame in found), None)
            if frame is None:
                raise DataError(f"{path}: no frame of its {codec} video can be decoded")
            self._layout, self._shape, self._first = _Layout(path, frame.format), _shape(frame), frame.pts
            self.width, self.height, self.bits = frame.width, frame.height, self._layout.bits
            if len(frame.format.components) > len(self._layout.letters):
                self.note("alpha is left out")
            # A mean below the rate that is named is of a variable rate, or of fields; without timestamps it is none.
            rate, mean = stream.guessed_rate or None, stream.start_time is not None and stream.average_rate
            self.rate = mean if rate and mean and mean < rate * Fraction(995, 1000) else rate
            self._seconds = _seconds(container, stream)
            guess = (
                self._seconds or (stream.duration or 0) * stream.time_base or Fraction(container.duration or 0, 10**6)
            )
            self.frame_count = stream.frames or round(guess * (self.rate or 0)) or None
            self.pixel_aspect = stream.sample_aspect_ratio or None
            siting, order = _shown(stream, frame)
            self.field_order = claimed or order
            self._fields = claimed is not None and codec not in _EVERY_FRAME_SAYS
            tags = [stream.metadata, container.metadata, *(other.metadata for other in container.streams)]
            self.timecode = self._timecode_of([*tags, frame.metadata])
        self.settings["source"] = f"{codec}, {frame.format.name}, {self.width}x{self.height}, {_per_second(self.rate)}"
        self._take_colours(frame, siting)
        aspect = self.pixel_aspect
        self.settings |= {
            "fields": f"{self.field_order} first" if self.field_order else "progressive, or not known",
            "pixel aspect": f"{aspect.numerator}:{aspect.denominator}" if aspect else "not known",
            "timecode": self.timecode or "none",
        }

    def close(self):
        """End the passes over the frames that are under way."""
        for container in list(self._running):
            container.close()

    def frames(self, start=0, end=None, every=1):
        """Decode the video from its beginning, or from `start` where that can be found without decoding.

        Frames that cannot be decoded are passed over but counted; `damage` tells of them when the pass has ended.

        Parameters
        ----------
        start, end, every : int
            Numbers of frames, as of a slice.

        Yields
        ------
        index : int
        planes : Planes
            Arrays of their own.
        """
        with self._opened() as (container, stream):
            for index, frame in self._decode(container, stream, start):
                if end is not None and index >= end:
                    return
                if index >= start and (index - start) % every == 0:
                    planes = Planes(self._layout.planes(frame))
                    woven = frame.interlaced_frame or self._fields
                    planes.interlaced = woven if self._interlaced is None else self._interlaced
                    yield index, planes

    def name(self, index):
        """What a frame's file is called: the video's stem and the number."""
        return f"{self.path.stem}_{index:07d}.dpx"

    def header(self, index, rate=None, at=None):
        """The `Header` of a 10-bit RGB DPX of a frame, timecode and position counted to it.

        Parameters
        ----------
        index : int
        rate : Fraction, optional
            Frames per second where they are not the source's own frames any more; then they are no fields either.
        at : int, optional
            The frame of the source that it is made of, then.
        """
        fps = rate or self.rate
        if self._header is None:
            low, high = _made(self)
            self._header = Header.new(
                self.width, self.height, transfer=self.transfer, colorimetric=self.colorimetric,
                pixel_aspect=self.pixel_aspect, low_code=low, high_code=high,
                source_file_name=os.fsencode(self.path.name)[:100].decode(errors="ignore"),
            )  # fmt: skip
        return self._header.replace(
            frame_rate=fps and float(fps), timecode=self._timecode(index, fps), frame_position=index,
            interlace=int(self.field_order is not None and rate is None),
        )  # fmt: skip

    @contextlib.contextmanager
    def _opened(self):
        """The file, opened for a pass of its own, and its video stream."""
        import av

        os.stat(self.path)  # a missing file is an OSError here as everywhere
        with _log("WARNING") as said:
            try:
                container = av.open(f"file:{self.path}")  # a colon in it is no protocol's
            except av.error.FFmpegError as error:
                reason = said[-1][2].strip() if said else error.strerror
                reason += ": a MOV or MP4 that was cut short, or none at all" if reason.startswith("moov atom") else ""
                raise DataError(f"{self.path}: not a video that FFmpeg can read: {reason}") from None
        self._running.add(container)
        try:
            cover = av.stream.Disposition.attached_pic
            stream = next((s for s in container.streams.video if not s.disposition & cover), None)
            if stream is None:
                kinds = ", ".join(other.type for other in container.streams) or "nothing"
                raise DataError(f"{self.path}: there is no video in it, only {kinds}")
            if stream.codec_context is None:
                codec = re.search(r"Video: (.+?)[,)]", " ".join(message for _, _, message in said))
                raise DataError(f"{self.path}: no decoder for its video codec, {codec[1] if codec else 'unknown'})")
            stream.thread_type = "AUTO"
            yield container, stream
        finally:
            self._running.discard(container)
            container.close()

    def _decode(self, container, stream, start):
        """Yield every frame that can be decoded and its number; take note of what is odd, and of what is missing."""
        self.damage, lost, before, usual = None, [], None, None
        index, timestamp = _seek(container, stream, start)
        end = index / self.rate if self.rate else 0
        for found, failed in _decoded(container, stream, timestamp):
            if failed:
                self._lose(lost, index)
                index, before = index + 1, None
            for frame in found:
                if _shape(frame) != self._shape:
                    width, height, pixels = _shape(frame)
                    self.damage = f"from frame {index} on it is {width}x{height}, {pixels}, and no longer as before"
                    return
                if not lost and None not in (before, frame.pts):
                    usual = usual or frame.pts - before
                    if abs(frame.pts - before - usual) > max(1.5, 0.2 * usual):
                        self.note(
                            "the frame rate is variable, or frames are missing: they are as they come, none repeated; "
                            f"headers have the mean, {_per_second(self.rate)}"
                        )
                before = frame.pts
                if frame.is_corrupt:
                    self._lose(lost, index)
                else:
                    if None not in (frame.pts, self._first, self.rate):
                        shown = max((frame.duration or 0) * stream.time_base, 1 / self.rate)
                        end = (frame.pts - min(self._first, 0)) * stream.time_base + shown
                    yield index, frame
                index += 1
        if self._seconds and self.rate and end < self._seconds - Fraction(3, 2) / self.rate:
            should = stream.frames or round(self._seconds * self.rate)
            self.damage = f"cut short: {index - len(lost)} of {should} frames can be decoded"

    def _lose(self, lost, index):
        lost.append(index)
        numbers = ", ".join(map(str, lost[:3])) + ", ..." * (len(lost) > 3)
        self.damage = f"{len(lost)} frame{'s' * (len(lost) > 1)} cannot be decoded: {numbers}"

    def _timecode_of(self, tags):
        text = next((tag["timecode"] for tag in tags if "timecode" in tag), None)
        try:  # at 10 frames/s and less, FFmpeg takes one digit to be enough
            return text and Timecode(re.sub("([:;])([0-9])$", r"\g<1>0\2", text))
        except ValueError:
            self.note(f"the timecode that the file has, {text!r}, is none")
            return None

    def _take_colours(self, frame, siting):
        """Matrix, range, siting, transfer and primaries from the tags of a frame; what is not tagged is assumed."""
        sd = _is_sd(self)
        usual = ("REC_601_525" if self.height <= 512 else "REC_601_625") if sd else "REC_709"
        matrix, levels = int(frame.colorspace), int(frame.color_range)
        if self._layout.letters == "yuv":
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
        if self._layout.letters != "rgb":
            self.full = levels == 2 or frame.format.name.startswith("yuvj")
            made = "kept" if self.keep or self.full else "to 0-1023"
            self._say("range", f"{'full' if self.full else 'limited'}, {made}", levels == 0 and not self.full)
        else:
            self._say_scaled()
        if self._layout.letters == "yuv":
            self.siting = siting or "left"
            self._say("chroma", f"{self._layout.subsampling}, sited {self.siting}", siting is None)
            if self._layout.subsampling in ("4:2:0", "4:4:0", "4:1:0"):  # the others don't know of fields
                fields = {True: "all frames", False: "no frames", None: "interlaced frames"}[self._interlaced]
                self.settings["chroma"] += f", by field in {fields}"
        for name, codes, known, tag in (
            ("transfer", Transfer, _TRANSFERS, int(frame.color_trc)),
            ("colorimetric", Colorimetric, _PRIMARIES, int(frame.color_primaries)),
        ):
            assumed = tag in (0, 2) or (name == "transfer" and tag == _LINEAR)
            code = codes[usual] if assumed else codes[known.get(tag, "VIDEO")]
            setattr(self, name, code)
            self._say(name, code.text, assumed)

    def _say(self, name, text, assumed):
        self.settings[name] = f"{text} ({'assumed' if assumed else 'tag'})"


class Stills(Source):
    """Frames in files of their own. See `open_source` and `Source`; `paths` has the files.

    A frame's number is its place in time, from the first still on: numbers and timecodes that are missing are frames
    that are missing.
    """

    def __init__(self, path, keep, interlaced):
        super().__init__(path, keep, interlaced)
        self.paths = frames.find(path)
        first = frames.read_header(self.paths[0])
        self._kind = _kind(first)
        self.width, self.height, self.bits, descriptor = self._kind
        if self.bits not in range(8, 17) or descriptor not in _PICTURES:
            raise DataError(
                f"{self.paths[0]}: {first.flavour}, expected codes of 8 to 16 bits, of a picture in one piece"
            )
        self.rate, self.pixel_aspect = _exact(first.frame_rate), first.pixel_aspect
        timecodes = [frames.read_header(path).timecode if frames.is_dpx(path) else None for path in self.paths]
        line = timeline(self.paths, timecodes, self.rate and max(1, round(self.rate)))
        if line.doubled:
            raise DataError(f"{path}: {_some(line.doubled)}; expected one of them, elsewhere the others")
        self.places, self.gaps, self._repeated = line.places.tolist(), line.gaps, line.repeated
        self._marks, self._base, self._pace = line.marks, line.base, line.pace
        self.timecode, self.frame_count = self._at_start(), self.places[-1] + 1
        self.notes += line.notes
        if self.rate and self._pace > 1:
            self.rate /= self._pace
            self.note(f"every frame is {self._pace} frames of timecode long: {_per_second(self.rate)}")
        self.settings["source"] = (
            f"{len(self.paths)} still{'s' * (len(self.paths) > 1)}, {first.flavour}, {self.width}x{self.height}"
        )
        self._say_scaled()
        if descriptor in CHROMA:
            named = {Colorimetric.REC_709: False, Colorimetric.REC_601_525: True, Colorimetric.REC_601_625: True}
            sd = named.get(first.colorimetric, _is_sd(self))
            self.matrix, self.full = "601" if sd else "709", False
            self.settings["range"] = f"limited, {'kept' if keep else 'to 0-1023'} (assumed)"
            self.settings["matrix"] = f"Rec.{self.matrix} (assumed)"
            self.note(f"{descriptor.text}: limited range and the matrix of Rec.{self.matrix} are assumed")

    def close(self):
        """Nothing to end."""

    def frames(self, start=0, end=None, every=1):
        """Read the stills, ahead of their use. Parameters and what is yielded are as of `Video.frames`.

        Raises
        ------
        DataError, OSError
            When the turn of a still comes that cannot be read, or is of another size or depth than the first.
        """
        end = math.inf if end is None else end
        self.damage = self.missing(start, end)
        found = [
            (place, path)
            for place, path in zip(self.places, self.paths, strict=True)
            if start <= place < end and (place - start) % every == 0
        ]
        for (index, _), (path, frame) in zip(found, frames.stream([path for _, path in found]), strict=True):
            if (kind := _kind(frames.read_header(path))) != self._kind:
                words = ["{}x{}, {} bits, {}".format(*k[:3], getattr(k[3], "text", k[3])) for k in (kind, self._kind)]
                raise DataError(f"{path}: {words[0]}, expected {words[1]} as in {self.paths[0].name}")
            if self.matrix:
                step = 2 if self._kind[3] in (Descriptor.CBYCRY, Descriptor.CBYACRYA) else 1
                yield index, Planes((frame[:, :, 0].copy(), *(frame[:, ::step, n].copy() for n in (1, 2))))
            else:
                yield index, Planes((frame[:, :, 0],) if frame.shape[2] < 3 else (frame[:, :, :3],))

    def header(self, index, rate=None, at=None):
        """The still's own `Header`, for 10-bit RGB; with a `rate`, timecode and position are counted anew.

        Of another format than DPX, or a DPX without film and television header, what there is is carried over.
        """
        at = index if at is None else at
        header = frames.read_header(self.paths[max(bisect_right(self.places, at) - 1, 0)])
        if len(header.elements) > 1:
            header = header.only(0)
        if rate is not None and len(header.raw) < FULL_BYTES:
            header = Header.new(
                self.width, self.height, big_endian=header.big_endian,
                **{name: getattr(header, name) for name in _CARRIED},
            )  # fmt: skip
        header = header.replace(descriptor="RGB", bits=10)
        if self.matrix:
            low, high = _made(self)
            header = header.replace(low_code=low, high_code=high)
        if rate is None:
            return header
        return header.replace(frame_rate=float(rate), timecode=self._timecode(index, rate), frame_position=index)

    def name(self, index):
        """What a frame's file is called: the still's own stem."""
        return f"{self.paths[bisect_right(self.places, index) - 1].stem}.dpx"

    def there(self, index):
        """Whether there is a still of that number."""
        return self.places[bisect_right(self.places, index) - 1] == index

    def _at_start(self):
        """The timecode of frame 0, if that has one."""
        return self._marks[0][1] if self._marks and self._marks[0][0] == 0 else None

    def missing(self, start, end):
        """What is missing or doubled from a frame to before another, in words; None if nothing is."""
        gaps = [(min(last + 1, end) - max(first, start), words) for first, last, words in self.gaps]
        gaps = [(count, words) for count, words in gaps if count > 0]
        total = sum(count for count, _ in gaps)
        if len(gaps) == 1:
            told = [f"{total} still{'s are' if total > 1 else ' is'} missing {gaps[0][1]}"]
        else:
            told = [f"{total} stills are missing: {_some([f'{n} {words}' for n, words in gaps])}"] * bool(gaps)
        return "; ".join(told + [_some(self._repeated)] * bool(self._repeated)) or None


@dataclass(frozen=True)
class Plan:
    """What `prepare` found to do: frames `first` to before `last` of `source`, `lines` lines of them from `top` on."""

    source: Source
    destination: Path
    first: int
    last: float  # may be infinite
    every: int
    lines: int | None
    top: int
    overwrite: bool

    def path(self, index):
        """Where a frame goes."""
        return self.destination / self.source.name(index)

    def made(self, index):
        """Whether a frame is there already and may stay."""
        return not self.overwrite and self.source.there(index) and self.path(index).exists()


def extract(source, destination, *, on_frame=None, **options):
    """Write the frames of a video, or stills, as 10-bit RGB DPX of their own size: `prepare`, then `run`.

    Parameters
    ----------
    source : path-like, Video or Stills
    destination, **options
        As of `prepare`.
    on_frame : callable, optional
        As of `run`.

    Returns
    -------
    written, skipped : int

    Raises
    ------
    DataError, FastupError, OptionError, OSError
        As `open_source`, `prepare` and `run` do.
    """
    if isinstance(source, Source):
        return run(prepare(source, destination, **options), on_frame)
    with open_source(source) as opened:
        return run(prepare(opened, destination, **options), on_frame)


def prepare(source, destination, *, start=0, end=None, every=1, lines=None, overwrite=False):
    """Check what is asked for, before anything is written.

    Parameters
    ----------
    source : Video or Stills
    destination : path-like
        A folder, which need not be there. Frames are named after the video and their number, ``tape_0000123.dpx``, or
        after the still.
    start, end : int or str
        The first frame, and the one after the last, as `Source.frame_number` takes them.
    every : int
        Take one frame of so many.
    lines : int, optional
        Crop to so many lines, an even number fewer, which are taken off the top and the bottom in pairs, so that the
        fields keep their order: of 486 lines for 480, 4 off the top and 2 off the bottom.
    overwrite : bool
        Make frames again that are there already.

    Returns
    -------
    Plan

    Raises
    ------
    DataError
        If the frames cannot go to `destination`.
    OptionError
        If an option does not fit the source.
    """
    first = source.frame_number(start, "start")
    last = math.inf if end is None else source.frame_number(end, "end")
    if every < 1:
        raise OptionError(f"every is {every}, expected 1 or more")
    if last <= first:
        raise OptionError(f"end is frame {last}, expected one after start, which is frame {first}")
    count, top = source.frame_count, rows_off(source, lines)
    if isinstance(source, Stills) and first >= count:
        raise OptionError(f"start is frame {first}, expected one of the {count}, which count from 0")
    destination = Path(destination)
    if destination.exists() and not destination.is_dir():
        raise DataError(f"{destination}: a file, expected a folder for the output")
    if isinstance(source, Stills):
        if len({path.stem for path in source.paths}) < len(source.paths):
            raise DataError(f"{source.path}: some stills differ in their suffix alone, and would get the same name")
        if os.path.realpath(source.paths[0].parent) == os.path.realpath(destination):
            raise DataError(f"{destination}: this is where the stills are, expected another folder for the output")
    return Plan(source, destination, first, last, every, lines, top, overwrite)


def run(plan, on_frame=None):
    """Write the frames of a plan. Decoding, converting and writing overlap.

    Parameters
    ----------
    plan : Plan
    on_frame : callable, optional
        Called after each frame with (done, to do or None).

    Returns
    -------
    written, skipped : int
        Skipped are those that are there already: the same plan carries on.

    Raises
    ------
    DataError
        If the video is cut short or damaged: when all that can be decoded is written.
    OptionError
        If there is no frame to begin with.
    FastupError, OSError
        If a frame cannot be read or written; those before it are whole.
    """
    source, pending, written, skipped, workers = plan.source, deque(), 0, 0, min(os.cpu_count() or 1, 8)
    last = min(plan.last, source.frame_count or plan.last)
    total = len(range(plan.first, last, plan.every)) if last < math.inf else None
    _refuse_others(plan)

    def make(index, planes):
        return cropped(source.rgb(planes), source.header(index), plan.top, plan.lines)

    def settle():
        index, made = pending.popleft()
        write(plan.path(index), *made.result())
        if on_frame is not None:
            on_frame(written - len(pending), total and max(written, total - skipped))

    start = plan.first
    while start < last and (plan.made(start) or not source.there(start)):
        start, skipped = start + plan.every, skipped + source.there(start)
    with frames.write_stream(workers, 2 * workers) as write, ThreadPoolExecutor(workers) as pool:
        for index, planes in source.frames(start, None if plan.last == math.inf else plan.last, plan.every):
            if plan.made(index):
                skipped += 1
                continue
            if not written:
                plan.destination.mkdir(parents=True, exist_ok=True)
            pending.append((index, pool.submit(make, index, planes)))
            written += 1
            if len(pending) > workers:
                settle()
        while pending:
            settle()
    if damage := source.missing(plan.first, plan.last):
        raise DataError(f"{source.path}: {damage}; {written + skipped} frames are in {plan.destination}")
    if not written + skipped:
        raise OptionError(f"start is frame {plan.first}, but {source.path} ends before it")
    return written, skipped


def _refuse_others(plan):
    """Raise DataError if the first frame of a plan is there already, but of another size: made with other options."""
    path, size = plan.path(plan.first), (plan.lines or plan.source.height, plan.source.width)
    if plan.made(plan.first) and (there := frames.probe(path)[0][:2]) != size:
        raise DataError(
            f"{path}: {there[1]}x{there[0]}, expected {size[1]}x{size[0]}: made with other options; expected another "
            "folder, or --overwrite"
        )


def rows_off(source, lines):
    """How many lines to take off the top of a source's frames for `lines` of them: an even number, like those below.

    Raises OptionError if there are no such lines; None is all.
    """
    off = 0 if lines is None else source.height - lines
    if off < 0 or off % 2 or lines == 0:
        raise OptionError(f"lines is {lines}, expected the {source.height} of {source.path}, or an even number fewer")
    top = (off // 2 + 1) // 2 * 2
    if off:
        source.note(f"{source.height} lines cropped to {lines}: {top} off the top, {off - top} off the bottom")
    return top


def cropped(frame, header, top, lines):
    """A frame and its header, cropped to `lines` lines from `top` on; None is all."""
    return (frame, header) if lines is None else (frame[top : top + lines], header.replace(height=lines))


def timecode_at(start, count, rate, new_rate=None):
    """The timecode of a frame.

    Parameters
    ----------
    start : str
        Timecode of frame 0, at `rate`.
    count : int
        The frame's number.
    rate, new_rate : Fraction
        Frames per second of the source, and those that `count` is of, where they differ.

    Returns
    -------
    Timecode
        It starts anew after 24 hours. Drop frame, which leaves out the first two numbers of every minute but each
        tenth at 30000/1001 frames/s and four at 60000/1001 (SMPTE 12-1), stays so at these rates alone.
    """
    start, old, new = Timecode(start), round(rate), round(new_rate or rate)
    drop = start.drop_frame and new % 30 == 0
    ahead = Timecode(f"{start[:9]}{min(start.frames * new // old, new - 1):02d}")
    number, skipped = _count(ahead, new, drop) + count, new // 15 if drop else 0
    tens, rest = divmod(number, 600 * new - 9 * skipped)
    number += 9 * skipped * tens + skipped * max(0, (rest - skipped) // (60 * new - skipped))
    seconds, last = divmod(number, new)
    hours, minutes = seconds // 3600 % 24, seconds // 60 % 60
    return Timecode(f"{hours:02d}:{minutes:02d}:{seconds % 60:02d}{':;'[drop]}{last:02d}")


# -- what FFmpeg gives -----------------------------------------------------------------------------------------------


class _Layout:
    """Where the samples of a pixel format lie, by letter: y, u, v; r, g, b."""

    def __init__(self, path, pixels):
        self._twin = "rgb24" if _EXPANDED.fullmatch(pixels.name) else None
        if self._twin:
            import av

            pixels = av.VideoFormat(self._twin)
        self.subsampling = _SUBSAMPLINGS.get((pixels.chroma_width(8), pixels.chroma_height(8)))
        components, name = pixels.components, re.sub("(?<=[0-9b])[lb]e$", "", pixels.name)
        self.bits = components[0].bits if components else 0
        self.letters = "rgb" if pixels.is_rgb else "yuv" if len(components) > 2 else "y"
        groups = _GROUPS.get(name)
        if groups is None and len({part.plane for part in components}) == len(components):
            order = {part.plane: letter for part, letter in zip(components, self.letters, strict=False)}
            groups = [order.get(plane, "-") for plane in range(len(components))]
        if not groups or not 8 <= self.bits <= 16 or re.search("f(16|32)|xyz|bayer", name):
            raise DataError(f"{path}: its pixels are {pixels.name}, expected Y Cb Cr, RGB or grey of 8 to 16 bits")
        self._dtype = np.dtype("u1" if self.bits == 8 else ">u2" if pixels.is_big_endian else "<u2")
        self._shift = 16 - self.bits if _SHIFTED.match(name) else 0
        self._groups = {
            letter: (plane, [n for n, found in enumerate(group) if found == letter], len(group))
            for letter in self.letters
            for plane, group in enumerate(groups)
            if letter in group
        }

    def planes(self, frame):
        """Copies of a frame's planes, as `Planes` has them."""
        if self._twin:
            frame = frame.reformat(format=self._twin)
        planes = [self._plane(frame, letter) for letter in self.letters]
        return [np.stack(planes, axis=2)] if self.letters == "rgb" else planes

    def _plane(self, frame, letter):
        number, places, size = self._groups[letter]
        plane, width = frame.planes[number], frame.format.chroma_width() if letter in "uv" else frame.width
        samples = np.frombuffer(plane, self._dtype).reshape(plane.height, -1)
        if size > 1:
            count = -(-width // len(places))
            samples = samples[:, : count * size].reshape(plane.height, count, size)[:, :, places]
            samples = samples.reshape(plane.height, -1)
        samples = samples[:, :width].astype(self._dtype.newbyteorder("="))
        return samples >> self._shift if self._shift else samples


@contextlib.contextmanager
def _log(level):
    """What FFmpeg says meanwhile: (level, name, message) each."""
    import av.logging

    before, skips = av.logging.get_level(), av.logging.get_skip_repeated()
    av.logging.set_level(getattr(av.logging, level))
    av.logging.set_skip_repeated(False)  # of one file, opened twice, it says the same
    try:
        with av.logging.Capture(local=False) as said:  # its threads too
            yield said
    finally:
        av.logging.set_level(before)
        av.logging.set_skip_repeated(skips)


def _shown(stream, frame):
    """Siting and first field of a frame, None where they are not known: PyAV has them in its log alone."""
    import av

    graph = av.filter.Graph()
    graph.link_nodes(graph.add_buffer(template=stream), graph.add("showinfo"), graph.add("buffersink")).configure()
    with _log("INFO") as said:
        graph.push(frame)
        graph.pull()
    text = " ".join(message for _, _, message in said)
    siting, order = re.search(r" cl:(left|center|topleft|top|bottomleft|bottom) ", text), re.search(r" i:([TB])", text)
    return siting and siting[1], order and {"T": "top", "B": "bottom"}[order[1]]


def _seconds(container, stream):
    """How long the video is by what the file says; None where FFmpeg guesses from the file's size."""
    if stream.duration and {"mov", "avi", "mxf"} & set(container.format.name.split(",")):
        return stream.duration * stream.time_base
    clock = re.fullmatch(r"(\d+):(\d\d):(\d\d\.\d+)", stream.metadata.get("DURATION", ""))  # Matroska's
    return clock and sum(Fraction(part) * unit for part, unit in zip(clock.groups(), (3600, 60, 1), strict=True))


def _seek(container, stream, start):
    """Go to a frame, if it can be found without decoding; gives the number and timestamp of the first packet."""
    entries = stream.index_entries
    if not (start and stream.codec_context.codec.intra_only and 0 < len(entries) == stream.frames):
        return 0, None
    start = min(start, len(entries) - 1)  # beyond the end, the last one shows that it is there
    if any(entry.is_discard or not entry.size for entry in (entries[n] for n in range(start))):
        return 0, None  # packets that give no frame
    container.seek(entries[start].timestamp, stream=stream)
    return start, entries[start].timestamp


def _decoded(container, stream, first=None):
    """Yield frames, as they come, in lists, and how many could not be decoded; from a timestamp on."""
    import av

    packets, readable = container.demux(stream), True
    while readable:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except av.error.FFmpegError:  # the file itself cannot be read any further
            packet, readable = None, False
        if packet and None not in (first, packet.dts) and packet.dts < first:
            continue
        for _ in range(_AT_A_TIME):  # without a packet, or bytes in it, what threads have comes out; errors too
            try:
                yield stream.decode(packet), 0
            except av.error.EOFError:
                pass
            except av.error.FFmpegError:
                yield [], 1
                if not (packet and packet.size):
                    continue
            break
    yield [], 1


def _made(source):
    """The codes that black and white get."""
    return (64, 940) if source.keep and not source.full else (0, 1023)


def _is_sd(source):
    return source.width < 1280 and source.height <= 608  # 576 lines, and the 32 of blanking above them of D-10


def _shape(frame):
    return frame.width, frame.height, frame.format.name


def _per_second(rate):
    return f"{float(rate):.6g} frames/s" if rate else "no frame rate"


# -- what stills give ------------------------------------------------------------------------------------------------


def _some(words):
    return ", ".join(words[:3]) + ", ..." * (len(words) > 3)


def _kind(header):
    return header.width, header.height, header.bits, header.descriptor


def _exact(rate):
    """The frame rate that a header's float32 means."""
    if not rate or rate < 0:
        return None
    usual = (Fraction(round(rate)), Fraction(1000 * round(rate * 1.001), 1001))
    near = min(usual, key=lambda exact: abs(exact - Fraction(rate)))
    return near if abs(float(near) / rate - 1) < 1e-4 else Fraction(rate).limit_denominator(1001)
