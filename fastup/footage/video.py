"""A video, through FFmpeg."""

import contextlib
import math
import os
import re
from collections.abc import Iterable
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastup._types import StrPath
from fastup.codes import Timecode
from fastup.errors import DataError
from fastup.footage.source import Clip, Items, Planes, Skip, Span, nothing, per_second, some

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
_SUBSAMPLINGS = {(8, 8): "4:4:4", (4, 8): "4:2:2", (4, 4): "4:2:0", (2, 8): "4:1:1", (8, 4): "4:4:0", (2, 2): "4:1:0"}
_EXPANDED = re.compile(r"pal8|mono[bw]|(rgb|bgr)(4|8|4_byte|444|555|565)(le|be)?")  # FFmpeg makes 8-bit RGB of them

_AT_A_TIME = 64  # frames that threads may have under way


def open_file(path: StrPath) -> Any:
    """Open a file by FFmpeg, whatever its name; tags that are not UTF-8 have surrogates."""
    import av

    return av.open(f"file:{path}", metadata_errors="surrogateescape")  # a colon in it is no protocol's


class Video(Clip):
    """A video, through FFmpeg. See `open_clip` and `Clip`."""

    def __init__(self, path: StrPath, keep: bool, interlaced: bool | None, dtype: DTypeLike = "uint16") -> None:
        super().__init__(path, keep, interlaced, dtype)
        self._file_name = os.fsencode(self.path.name)[:100].decode(errors="ignore")
        self._running: set[Any] = set()  # the files that passes have open
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
            self._seconds = known = _seconds(container, stream)
            guess = known or (stream.duration or 0) * stream.time_base or Fraction(container.duration or 0, 10**6)
            self.frame_count = stream.frames or round(guess * (self.rate or 0)) or None
            self.pixel_aspect = stream.sample_aspect_ratio or None
            self._begin = (frame.pts or 0) * stream.time_base
            siting, order = _shown(stream, frame)
            self.field_order = claimed or order
            self._fields = claimed is not None and codec not in _EVERY_FRAME_SAYS
            tags = [stream.metadata, container.metadata, *(other.metadata for other in container.streams)]
            self.timecode = self._timecode_of([*tags, frame.metadata])
        self.settings["source"] = f"{codec}, {frame.format.name}, {self.width}x{self.height}, {per_second(self.rate)}"
        levels = 2 if frame.format.name.startswith("yuvj") else int(frame.color_range)
        self._take_colours(
            self._layout.letters, self._layout.subsampling, int(frame.colorspace), levels, siting,
            int(frame.color_trc), int(frame.color_primaries),
        )  # fmt: skip
        aspect = self.pixel_aspect
        self.settings |= {
            "fields": f"{self.field_order} first" if self.field_order else "progressive, or not known",
            "pixel aspect": f"{aspect.numerator}:{aspect.denominator}" if aspect else "not known",
            "timecode": self.timecode or "none",
        }

    @cached_property
    def parts(self) -> bool:  # type: ignore[override]
        """Whether each frame is whole by itself, and the file says where."""
        with self._opened() as (container, stream):
            return _seek(container, stream, 1)[0] > 0

    def close(self) -> None:
        while self._running:
            self._running.pop().close()

    def frames(self, start: int = 0, end: int | None = None, every: int = 1, skip: Skip = nothing) -> Items:
        """Yield the numbers and the planes of frames, arrays of their own; as of `Source.frames`.

        The video is decoded from its beginning, or from `start` where that can be found without decoding. Frames that
        cannot be decoded are passed over but counted; `damage` tells of them when the pass has ended.
        """
        with self._opened() as (container, stream):
            for index, frame in self._decode(container, stream, start):
                if end is not None and index >= end:
                    return
                if index >= start and (index - start) % every == 0 and not skip(index):
                    planes = Planes(self._layout.planes(frame))
                    woven = frame.interlaced_frame or self._fields
                    planes.interlaced = woven if self.interlaced is None else self.interlaced
                    yield index, planes
                    if container not in self._running:  # FFmpeg would crash
                        raise ValueError(f"{self.path}: closed, while a pass over its frames was under way")

    def samples(self, numbers: Iterable[int]) -> Items:
        """Yield some frames; each is gone to, where that can be done without decoding."""
        wanted = sorted(numbers)
        with self._opened() as (container, stream):
            seeks = len(wanted) > 1 and _seek(container, stream, wanted[-1])[0] > 0
        if seeks:
            for number in wanted:
                yield from self.frames(number, number + 1)
        else:
            yield from super().samples(wanted)

    def name(self, number: int) -> str:
        """The video's stem and the number."""
        return f"{self.path.stem}_{number:07d}"

    def span(self, first: int, last: int | None) -> Span | None:
        """As `Source.span`, by the mean rate where it is variable."""
        if self.rate is None:
            return None
        start, ends = self._begin + first / self.rate, last is not None and last < (self.frame_count or math.inf)
        return Span(start, start if first else None, self._begin + last / self.rate if last and ends else None)

    @contextlib.contextmanager
    def _opened(self):
        """The file, opened for a pass of its own, and its video stream."""
        import av

        os.stat(self.path)  # a missing file is an OSError here as everywhere
        with _log("WARNING") as said:
            try:
                container = open_file(self.path)
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
        sought, end = index, Fraction(0)
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
                            f"headers and movies have the mean, {per_second(self.rate)}, and sound is not in step"
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
            if index == sought > 0:  # nothing came from there on, and before it nobody looked
                self.damage = f"cut short before frame {index} of {should}"

    def _lose(self, lost, index):
        lost.append(index)
        self.damage = f"{len(lost)} frame{'s' * (len(lost) > 1)} cannot be decoded: {some(list(map(str, lost)))}"

    def _timecode_of(self, tags):
        named = (value for tag in tags for name, value in tag.items() if name.lower() == "timecode")
        text = next(named, None)
        try:  # at 10 frames/s and less, FFmpeg takes one digit to be enough
            return text and Timecode(re.sub("([:;])([0-9])$", r"\g<1>0\2", text))
        except ValueError:
            self.note(f"the timecode that the file has, {text!r}, is none")
            return None


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


def _shape(frame):
    return frame.width, frame.height, frame.format.name
