"""The shape of pixels in a movie's container: PyAV cannot set it, so that it is put where FFmpeg would have put it."""

import zlib
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

ROOM = "#" * 40  # a name for the track of pictures, in Matroska, whose bytes become the shape


def put(file: BinaryIO, suffix: str, width: int, height: int, aspect: Fraction) -> None:
    """Write into a finished movie, in place, that pixels are `aspect` times as wide as high.

    In Matroska, where the track of pictures is named `ROOM`, that is the size of the display, or its shape where the
    size is no whole number. In MOV and MP4, whose sample description has it, it is the width of the track.
    """
    if suffix == ".mkv":
        _matroska(file, width, height, aspect)
    else:
        _quicktime(file, width, aspect)


# -- MOV and MP4 -----------------------------------------------------------------------------------------------------


def _quicktime(file, width, aspect):
    place, end = 0, file.seek(0, 2)
    while place < end:
        file.seek(place)
        head = file.read(16)
        size = int.from_bytes(head[:4], "big")
        size = int.from_bytes(head[8:], "big") if size == 1 else size or end - place
        if head[4:8] == b"moov":
            file.seek(place)
            moov = file.read(size)
            for _, start, stop in (box for box in _boxes(moov, 8, size) if box[0] == b"trak"):
                parts = {name: (low, high) for name, low, high in _boxes(moov, start, stop)}
                kinds = {name: low for name, low, _ in _boxes(moov, *parts[b"mdia"])}
                if moov[kinds[b"hdlr"] + 8 :][:4] == b"vide":
                    file.seek(place + parts[b"tkhd"][1] - 8)  # width and height end the box, in 65536ths
                    file.write(round(width * aspect * 65536).to_bytes(4, "big"))
        place += size


def _boxes(data: bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The names of boxes, and where their contents begin and end."""
    while start < end:
        size = int.from_bytes(data[start : start + 4], "big")
        yield data[start + 4 : start + 8], start + 8, start + size
        start += size


# -- Matroska --------------------------------------------------------------------------------------------------------

_SEGMENT, _TRACKS, _ENTRY, _NAME, _VIDEO, _CRC, _VOID = 0x18538067, 0x1654AE6B, 0xAE, 0x536E, 0xE0, 0xBF, 0xEC
_WIDTH, _HEIGHT, _UNIT, _PIXELS, _RATIO = 0x54B0, 0x54BA, 0x54B2, 0, 3


def _matroska(file, width, height, aspect):
    file.seek(0)
    data = file.read(1 << 20)
    at = next(start for name, start, _ in _elements(data, 0, len(data)) if name == _SEGMENT)
    start, end = next((start, end) for name, start, end in _elements(data, at, len(data)) if name == _TRACKS)
    shown = width * aspect
    shape = [(_WIDTH, int(shown)), (_HEIGHT, height), (_UNIT, _PIXELS)]
    if shown.denominator > 1:
        ratio = shown / height
        shape = [(_WIDTH, ratio.numerator), (_HEIGHT, ratio.denominator), (_UNIT, _RATIO)]
    shape = b"".join(_element(name, number.to_bytes(4, "big")) for name, number in shape)
    before, tracks = start, b""
    for name, low, high in _elements(data, start, end):
        whole, body = data[before:high], data[low:high]
        before = high
        if name == _ENTRY and ROOM.encode() in body:
            parts = [(part, body[a:b]) for part, a, b in _elements(body, 0, len(body)) if part != _NAME]
            parts = [(part, _shaped(inside, shape) if part == _VIDEO else inside) for part, inside in parts]
            made = b"".join(_element(*part) for part in parts)
            whole = whole[: -len(body)] + made + _element(_VOID, bytes(len(body) - len(made) - 2))
        tracks += whole if name != _CRC else b""
    if data[start] == _CRC:
        tracks = _element(_CRC, zlib.crc32(tracks).to_bytes(4, "little")) + tracks
    if len(tracks) != end - start:
        raise RuntimeError("the tracks of a Matroska file have another length than before")
    file.seek(start)
    file.write(tracks)


def _shaped(video: bytes, shape: bytes) -> bytes:
    """What is known of pictures, with their shape; FFmpeg has written that the unit of that is not known."""
    kept = [(name, video[start:end]) for name, start, end in _elements(video, 0, len(video)) if name != _UNIT]
    return b"".join(_element(*each) for each in kept) + shape


def _elements(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The names of elements, and where their contents begin and end."""
    while start < end:
        length = 9 - data[start].bit_length()
        name, start = int.from_bytes(data[start : start + length], "big"), start + length
        length = 9 - data[start].bit_length()
        size, start = int.from_bytes(data[start : start + length], "big") & ((1 << 7 * length) - 1), start + length
        yield name, start, min(start + size, end)
        start += size


def _element(name: int, body: bytes) -> bytes:
    size = len(body)
    length = next(n for n in range(1, 9) if size < (1 << 7 * n) - 1)
    return name.to_bytes(-(-name.bit_length() // 8), "big") + (size | 1 << 7 * length).to_bytes(length, "big") + body
