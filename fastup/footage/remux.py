"""Parts of a movie joined, with what its source has beside the pictures: packets as they are, nothing encoded."""

import heapq
import io
import math
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

from fastup._types import StrPath
from fastup.errors import DataError
from fastup.footage import aspect
from fastup.footage.codecs import FORMATS, TAGS, Codec, Look, timed
from fastup.footage.source import Span
from fastup.footage.video import open_file

Timed: TypeAlias = tuple[Fraction, Any]  # when a packet is decoded, seconds; and the packet

# Tags of a file, not of the film in it: FFmpeg writes its own, or they would not be true of another file.
_OWN = {
    "major_brand", "minor_version", "compatible_brands", "creation_time", "encoder", "duration", "timecode",
    "handler_name", "vendor_id", "bps", "number_of_frames", "number_of_bytes", "filename", "mimetype",
}  # fmt: skip
_CHANNELS = {"1 channels": "mono", "2 channels": "stereo"}  # where FFmpeg knows no more than their number
_NEAR = 10  # seconds by which packets of one time may lie apart in a file


def join(
    file: BinaryIO, path: Path, parts: list[tuple[int, Path]], codec: Codec, look: Look, timecode: str | None,
    beside: tuple[StrPath, Span] | None,
) -> list[str]:  # fmt: skip
    """Write a movie of parts, each with the time of its first frame, in frames; returns what could not be carried over.

    `path` is where it will be: its suffix says the container. `beside` is a file, and the stretch of it whose sound,
    subtitles, chapters and tags go along.
    """
    import av

    suffix = path.suffix.lower()
    notes: list[str] = []
    with ExitStack() as stack:
        source = stack.enter_context(open_file(beside[0])) if beside else None
        first = stack.enter_context(open_file(parts[0][1]))
        container = stack.enter_context(written(file, path, FORMATS[suffix], muxing(suffix, look.rate)))
        stream = container.add_stream_from_template(first.streams.video[0], opaque=True)
        context = stream.codec_context
        context.framerate, context.sample_aspect_ratio = look.rate, look.aspect or Fraction(0)
        # Four letters are QuickTime's, but Matroska has them of ProRes too: they say which profile it is.
        lettered = suffix != ".mkv" or codec.encoder == "prores"
        context.codec_tag = first.streams.video[0].codec_tag if lettered else "\0\0\0\0"
        for name, tag in zip(TAGS, look.tags, strict=True):
            setattr(context, name, tag)
        if look.aspect and suffix == ".mkv":
            stream.metadata["title"] = aspect.ROOM
        flows: list[Iterable[Timed]] = [timed(_pictures(parts, stream, look.rate), look.rate, codec.reorder)]
        asked = {}
        if source is not None and beside is not None:
            kept = _kept(source, beside[0], container, suffix, notes)
            asked = _tags(source.metadata)
            container.metadata.update(asked)
            length = (parts[-1][0] + _count(parts[-1][1])) / look.rate
            container.set_chapters(_chapters(source.chapters(), beside[1], length))
            flows.append(_others(source, kept, beside[1]))
        if timecode:
            container.metadata["timecode"] = timecode
        for _, packet in heapq.merge(*flows, key=lambda timed: timed[0]):
            container.mux(packet)
    if look.aspect:
        aspect.put(file, suffix, look.width, look.height, look.aspect)
    file.seek(0)
    with av.open(file, "r") as made:
        there = {name.lower() for each in (made, *made.streams) for name in each.metadata}
    if timecode and "timecode" not in there:
        notes.append(f"{suffix} has no place for a timecode of {timecode} at {float(look.rate):.6g} frames/s")
    if lost := [repr(name) for name in sorted(asked) if name.lower() not in there]:
        notes.append(f"{suffix} has no place for the tag{'s' * (len(lost) > 1)} {', '.join(lost)}")
    return notes


@contextmanager
def written(file: BinaryIO, path: Path, container: str, options: dict[str, str]) -> Iterator[Any]:
    """A context with a container that is written to a file; DataError if FFmpeg cannot, under the name of `path`."""
    import av

    try:
        made = av.open(file, "w", format=container, options=options, buffer_size=1 << 20)
        try:
            yield made
        except BaseException:
            with suppress(av.error.FFmpegError, OSError):  # what it says then, it says of what has happened
                made.close()
            raise
        made.close()
    except av.error.FFmpegError as error:
        raise DataError(f"{path}: FFmpeg cannot write it: {error.strerror}") from error


def muxing(suffix: str, rate: Fraction) -> dict[str, str]:
    """Options for a container: nothing in it is of chance or of the clock, and times are exact.

    MOV and MP4 are so by themselves, and would leave out tags.
    """
    # Where a stream has nothing to say, packets of others wait for it: of v210, ten seconds are a gigabyte.
    options = {"max_interleave_delta": "500000"}
    if suffix == ".mkv":
        return options | {"fflags": "+bitexact"}
    return options | {"movie_timescale": str(rate.numerator * math.ceil(Fraction(24000, rate.numerator)))}


def _pictures(parts: list[tuple[int, Path]], stream: Any, rate: Fraction) -> Iterator[tuple[int, Any]]:
    """Yield the packets of all parts, with when their frames are shown, in frames."""
    for start, path in parts:
        with open_file(path) as container:
            for packet in container.demux(video=0):
                if packet.size and packet.pts is not None:
                    packet.stream = stream
                    yield start + round(packet.pts * packet.time_base * rate), packet


def _count(path: Path) -> int:
    with open_file(path) as container:
        return int(container.streams.video[0].frames)


def _kept(source: Any, path: StrPath, container: Any, suffix: str, notes: list[str]) -> dict[int, Any]:
    """The streams of a movie for those of its source, by their index; notes have what is left out."""
    kept: dict[int, Any] = {}
    main = None
    for stream in source.streams:
        if stream.type == "video" and main is None and not stream.disposition & type(stream.disposition).attached_pic:
            main = stream
            continue
        codec = getattr(stream.codec_context, "name", None) or getattr(stream, "name", None) or "unknown"
        if stream.type == "data" and (_is_timecode(stream) or (codec == "bin_data" and source.chapters())):
            continue  # which are made anew
        if stream.type == "video" or not _holds(suffix, path, stream):
            why = "a movie has one video" if stream.type == "video" else f"{suffix} does not hold it"
            notes.append(f"stream {stream.index}, {stream.type} ({codec}), is left out: {why}")
            continue
        made = kept[stream.index] = _copied(container, stream)
        tags = _tags(stream.metadata)
        if "name" in tags:  # QuickTime's word
            tags.setdefault("title", tags.pop("name"))
        made.metadata.clear()
        made.metadata.update(tags | ({} if stream.type != "attachment" else _files(stream)))
        made.disposition = stream.disposition
    return kept


def _files(stream: Any) -> dict[str, str]:
    return {name: _text(value) for name, value in stream.metadata.items() if name in ("filename", "mimetype")}


def _is_gap(packet: Any) -> bool:
    """Whether it says that there is no subtitle for a while, in MOV and MP4, as FFmpeg will say by itself."""
    return packet.size == 2 and packet.stream.codec_context.name == "mov_text"


def _is_timecode(stream: Any) -> bool:
    return "timecode" in stream.metadata


def _holds(suffix: str, path: StrPath, stream: Any) -> bool:
    """Whether a container of that suffix takes a stream: it is tried, of sound with its first packet."""
    import av

    try:
        with av.open(io.BytesIO(), "w", format=FORMATS[suffix]) as trial:
            made = _copied(trial, stream)
            trial.start_encoding()
            if stream.type == "audio":
                with open_file(path) as again:
                    packet = next((each for each in again.demux(again.streams[stream.index]) if each.size), None)
                    if packet is not None:
                        packet.pts, packet.dts, packet.stream = 0, 0, made
                        trial.mux(packet)
    except (ValueError, av.error.FFmpegError):
        return False
    return True


def _copied(container: Any, stream: Any) -> Any:
    """A stream as another; where the places of one or two channels are not known, they are the usual ones."""
    made = container.add_stream_from_template(stream, opaque=True)
    if stream.type == "audio" and stream.codec_context.layout.name in _CHANNELS:
        made.codec_context.layout = _CHANNELS[stream.codec_context.layout.name]
    return made


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    own = {name for name in metadata if name.lower().split("-")[0] in _OWN or name.startswith("_STATISTICS")}
    return {name: _text(value) for name, value in metadata.items() if name not in own}


def _text(value: str) -> str:
    """A tag's text; bytes that are no UTF-8 are Latin-1's, as old AVI has them."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode(errors="surrogateescape").decode("latin-1")
    return value


def _chapters(chapters: list[Any], span: Span, length: Fraction) -> list[Any]:
    """Chapters of a stretch, from its first frame on; those beyond it are left out."""
    made = []
    for chapter in chapters:
        base = chapter["time_base"]
        start, end = (
            min(max(chapter[name] * base - span.zero, Fraction(0)), length if span.end is not None else Fraction(10**9))
            for name in ("start", "end")
        )
        if start < end:
            metadata = {name: _text(value) for name, value in chapter["metadata"].items()}
            made.append(chapter | {"start": round(start / base), "end": round(end / base), "metadata": metadata})
    return made


def _others(source: Any, kept: dict[int, Any], span: Span) -> Iterator[Timed]:
    """Yield the packets of sound and subtitles of a stretch, timed from its first frame on."""
    import av

    for stream in source.streams:
        if stream.index not in kept:
            stream.discard = av.stream.Discard.all
    flowing = [stream for stream in source.streams if stream.index in kept and stream.type != "attachment"]
    if not flowing:
        return
    if span.start is not None and span.start > 2 * _NEAR:
        source.seek(int((span.start - _NEAR) * 10**6))
    for packet in source.demux(flowing):
        time = packet.pts if packet.pts is not None else packet.dts
        if not packet.size or time is None or _is_gap(packet):
            continue
        base = packet.time_base
        begins, cut = time * base, 0
        if span.end is not None and begins >= span.end:
            if begins >= span.end + _NEAR:
                return
            continue
        if span.start is not None and begins < span.start:
            ends = begins + (packet.duration or 0) * base
            if packet.stream.type != "subtitle" or ends <= span.start:
                continue
            cut = round((span.start - begins) / base)  # it is being shown
            packet.duration -= cut
        shift = round(span.zero / base) - cut
        packet.pts = time - shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        packet.stream = kept[packet.stream.index]
        yield packet.dts * base, packet
