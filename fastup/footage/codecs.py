"""What movies are encoded with: one table of codecs, and how a stream of one is set up and fed."""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastup._types import Frame, Size, StrPath
from fastup.codes import codes_of, scaled
from fastup.errors import DataError, OptionError

FORMATS = {".mov": "mov", ".mkv": "matroska", ".mp4": "mp4"}  # FFmpeg's names, by suffix
SUFFIXES = tuple(FORMATS)

# Frames of a part. Those of codecs that know no other frames can be as short as is handy: the film is the same.
ALONE, TOGETHER = 25, 250

_PRORES = {"vendor": "apl0"}
# Threads are as many everywhere, as what the encoders make depends on it a little; and x264 has no mbtree, whose AVX
# code makes something else of the same frames every time.
_X265 = "log-level=none:info=0:open-gop=0:bframes=3:frame-threads=3"


@dataclass(frozen=True)
class Codec:
    """A codec, as `--codec` names it."""

    words: str
    encoder: str  # FFmpeg's name
    suffixes: tuple[str, ...]  # of what can hold it
    bits: tuple[int, ...]  # that it can hold, the usual ones first
    subsampling: str | None  # of Y, Cb, Cr; None for R, G, B
    options: dict[str, str] = field(default_factory=dict)
    tag: dict[str, str] = field(
        default_factory=dict
    )  # the four letters, where FFmpeg's choice is not Apple's, by suffix
    part: int = ALONE
    apple: bool = False  # defined by Apple, whose tags know no transfer of Rec.601: it is Rec.709's (TN2162)
    reorder: int = 0  # how many frames at most are stored before one that is shown before them

    @property
    def siting(self) -> str | None:
        """Where chroma is, as `fastup._ycbcr.planes` has it."""
        return self.subsampling and "left"

    @property
    def whole(self) -> Size:
        """What heights and widths are multiples of."""
        return {None: (1, 1), "4:2:0": (2, 2)}.get(self.subsampling, (1, 2))  # FFmpeg's ProRes is so at 4:4:4 too

    def pixels(self, bits: int) -> str:
        """FFmpeg's name of the pixel format."""
        deep = "" if bits == 8 else f"{bits}le"
        return f"yuv{self.subsampling.replace(':', '')}p{deep}" if self.subsampling else f"gbrp{deep}"


CODECS = {
    # FFmpeg's other encoder, prores_ks, keeps to the rate of Apple's, for over twice the work and with more noise.
    "prores": Codec(
        "ProRes 422 HQ", "prores", (".mov", ".mkv"), (10,), "4:2:2", {"profile": "3", **_PRORES}, apple=True
    ),
    "prores4444": Codec(
        "ProRes 4444", "prores", (".mov", ".mkv"), (10,), "4:4:4", {"profile": "4", **_PRORES}, apple=True
    ),
    # R, G and B as they are: through Y, Cb and Cr no code would be sure to come back.
    "ffv1": Codec(
        "FFV1", "ffv1", (".mkv",), (10, 12, 16), None,
        {"level": "3", "slices": "4", "slicecrc": "1", "g": "1", "coder": "range_tab"},
    ),
    "v210": Codec("v210", "v210", (".mov",), (10,), "4:2:2", apple=True),
    "h265": Codec(
        "H.265", "libx265", (".mp4", ".mov", ".mkv"), (10,), "4:2:0",
        {"preset": "fast", "crf": "16", "x265-params": _X265}, dict.fromkeys((".mov", ".mp4"), "hvc1"), TOGETHER,
        reorder=2,
    ),
    "h264": Codec(
        "H.264", "libx264", (".mp4", ".mov", ".mkv"), (8,), "4:2:0",
        {"preset": "veryfast", "crf": "18", "bf": "3", "threads": "8", "mbtree": "0"}, {}, TOGETHER, reorder=2,
    ),
}  # fmt: skip
DEFAULTS = {".mov": "prores", ".mkv": "ffv1", ".mp4": "h265"}


def chosen(path: StrPath, name: str | None, bits: int | None) -> Codec:
    """The codec of a movie, by its name or by the suffix of the path.

    OptionError, which says what would do: there is no such codec, the container of that suffix does not hold it, it
    does not hold so many bits, or this FFmpeg lacks its encoder.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise OptionError(f"{path}: expected a movie's name to end in one of {', '.join(FORMATS)}")
    codec = CODECS.get(name or DEFAULTS[suffix])
    if codec is None:
        raise OptionError(f"codec is {name!r}, expected one of {', '.join(CODECS)}")
    if suffix not in codec.suffixes:
        held = [other for other, each in CODECS.items() if suffix in each.suffixes]
        raise OptionError(
            f"{path}: {suffix} does not hold {codec.words}, expected {' or '.join(codec.suffixes)} for it; "
            f"{suffix} holds {', '.join(held)}"
        )
    if bits is not None and bits not in codec.bits:
        can = [other for other, each in CODECS.items() if bits in each.bits and suffix in each.suffixes]
        raise OptionError(
            f"{path}: {codec.words} holds {_either(codec.bits)} bits, not {bits}"
            + (f", expected {_either(can)} for that in {suffix}" if can else "")
        )
    import av

    try:
        av.Codec(codec.encoder, "w")
    except ValueError:
        there = [other for other, each in CODECS.items() if each.encoder in av.codec.codecs_available]
        raise OptionError(
            f"{path}: this FFmpeg has no encoder {codec.encoder} for {codec.words}, expected one of {', '.join(there)}"
        ) from None
    return codec


def check_size(path: StrPath, codec: Codec, size: Size) -> None:
    """Raise DataError if a codec does not hold frames of a size; it says which would do."""
    down, across = codec.whole
    height, width = size
    if height % down or width % across:
        sizes = [(width - width % across, height - height % down), (width + width % across, height + height % down)]
        even = " or ".join(f"{w}x{h}" for w, h in sizes if w and h)
        every = [name for name, other in CODECS.items() if other.whole == (1, 1)]
        raise DataError(
            f"{path}: frames are {width}x{height}, expected {even}, as {codec.words} has even "
            f"{'widths' if down == 1 else 'widths and heights'}; any size goes with {_either(every)}"
        )


TAGS = ("color_primaries", "color_trc", "colorspace", "color_range")  # what PyAV calls them


@dataclass(frozen=True)
class Look:
    """What all frames of a movie have in common."""

    height: int
    width: int
    bits: int
    rate: Fraction
    aspect: Fraction | None  # of a pixel
    matrix: str  # one of `fastup.codes.LUMA_SHARES`
    fields: str | None  # which field is first, "top" or "bottom", where frames are woven of two
    tags: tuple[int, int, int, int]  # primaries, transfer and matrix by ITU-T H.273; range, 1 limited or 2 full


def planes(frame: Frame, white: int, codec: Codec, look: Look, keep: bool = False) -> list[NDArray[Any]]:
    """The arrays that FFmpeg's planes get, of codes up to `white` or normalised floats: (Y, Cb, Cr), or (G, B, R).

    `keep` says that they are in the range of video, as `fastup._ycbcr.planes` has it.
    """
    from fastup import _ycbcr  # brings Numba

    if codec.subsampling is None:
        top = (1 << look.bits) - 1
        if frame.dtype.kind == "f":
            frame = codes_of(frame, top)
        elif white != top:
            frame = scaled(frame.astype(np.int64), white, top).astype(np.uint16)
        return [frame[:, :, channel] for channel in (1, 2, 0)]
    if frame.dtype.kind == "f":
        frame = frame.astype(np.float32, copy=False)
    made = _ycbcr.planes(
        frame, white, look.bits, matrix=look.matrix, subsampling=codec.subsampling, siting=codec.siting or "left",
        keep=keep,
    )  # fmt: skip
    return list(made)


def encode(container: Any, codec: Codec, suffix: str, look: Look, frames: Iterable[tuple[int, list[Any]]]) -> None:
    """Encode the arrays of frames, each with its time in frames, as the one stream of an open container."""
    packets = _encoded(container, codec, suffix, look, frames)
    shown = ((round(packet.pts * packet.time_base * look.rate), packet) for packet in packets)
    for _, packet in timed(shown, look.rate, codec.reorder):
        container.mux(packet)


def _encoded(container, codec, suffix, look, frames):
    import av

    order = {None: "progressive", "top": "tt", "bottom": "bb"}[look.fields]
    flags = "+bitexact+cgop" + ("+ildct" if look.fields and codec.encoder == "prores" else "")
    options = {"flags": flags, "field_order": order, **codec.options}
    if codec.siting:
        options["chroma_sample_location"] = codec.siting
    stream = container.add_stream(codec.encoder, rate=look.rate, options=options)
    context, pixels = stream.codec_context, codec.pixels(look.bits)
    stream.width, stream.height, stream.pix_fmt = look.width, look.height, pixels
    stream.time_base = context.time_base = 1 / look.rate
    context.thread_type = "AUTO"
    if look.aspect:
        context.sample_aspect_ratio = look.aspect
    if tag := codec.tag.get(suffix):
        context.codec_tag = tag
    tags = dict(zip(TAGS, look.tags, strict=True))
    for name, value in tags.items():
        setattr(context, name, value)
    flagged = _flagger(look, pixels) if look.fields else None
    for time, arrays in frames:
        picture = av.VideoFrame(look.width, look.height, pixels)
        for plane, array in zip(picture.planes, arrays, strict=True):
            rows = np.frombuffer(memoryview(plane), array.dtype).reshape(plane.height, -1)
            rows[:, : array.shape[1]] = array
        picture = flagged(picture) if flagged else picture
        for name, value in tags.items():
            setattr(picture, name, value)
        picture.pts, picture.time_base = time, 1 / look.rate
        yield from stream.encode(picture)
    yield from stream.encode(None)


def _flagger(look, pixels):
    """A function that flags frames as woven of two fields, for which PyAV has a filter alone."""
    import av

    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=look.width, height=look.height, format=av.VideoFormat(pixels), time_base=1 / look.rate
    )
    field = graph.add("setfield", "tff" if look.fields == "top" else "bff")
    graph.link_nodes(source, field, graph.add("buffersink")).configure()

    def flagged(picture):
        graph.push(picture)
        return graph.pull()

    return flagged


def timed(packets: Iterable[tuple[int, Any]], rate: Fraction, reorder: int) -> Iterator[tuple[Fraction, Any]]:
    """Yield packets, each with when it is decoded, seconds: `reorder` frames before its frame is shown, or later.

    They come with the time at which their frame is shown, in frames. No packet needs one that comes after it, so those
    times, sorted, are those at which packets are decoded, `reorder` packets later. Encoders know that too, but x265 not
    always where there are few frames, and none across the parts of a movie.
    """
    waiting: list[int] = []
    first = None
    for count, (shown, packet) in enumerate(packets):
        first = shown if first is None else first
        heapq.heappush(waiting, shown)
        decoded = heapq.heappop(waiting) if count >= reorder else first - reorder + count
        if decoded > shown:
            raise RuntimeError(f"frame {shown} is stored more than {reorder} frames after those that it goes before")
        packet.pts, packet.dts, packet.duration, packet.time_base = shown, decoded, 1, 1 / rate
        yield decoded / rate, packet


def _either(words):
    *most, last = map(str, words)
    return f"{', '.join(most)} or {last}" if most else last
