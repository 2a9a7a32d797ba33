"""Frames in files of their own, in a folder or one: as they are, or as a clip, each at its place in time."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Self

from numpy.typing import DTypeLike

from fastup import frames
from fastup._types import Frame, Size, StrPath
from fastup.codes import CHROMA, Colorimetric, Descriptor
from fastup.errors import DataError, OptionError
from fastup.footage.sequences import sequences, timeline
from fastup.footage.source import Clip, Items, Planes, Skip, Source, is_sd, made_levels, nothing, per_second, some
from fastup.header import FIELDS, FULL_BYTES, Header

_PICTURES = {Descriptor.LUMA, Descriptor.RGB, Descriptor.RGBA, Descriptor.ABGR, *CHROMA}

# What a DPX header that ends after the generic section has to carry over.
_CARRIED = [name for name, field in FIELDS.items() if field.section == "source"] + [
    "file_name", "create_time", "creator", "project", "copyright", "orientation", "descriptor", "bits", "transfer",
    "colorimetric", "low_code", "low_quantity", "high_code", "high_quantity", "description",
]  # fmt: skip


class Folder(Source):
    """Frames in a folder, or one frame, as they are: of any format, size and depth, numbered as `frames.find` has them.

    ``uint16`` frames hold the codes of each file, see its header's white; floats are normalised. `paths` has the files;
    it may be given, to take some of the folder's alone.
    """

    def __init__(
        self, path: StrPath, dtype: DTypeLike = "uint16", layer: str | None = None, paths: list[Path] | None = None
    ) -> None:
        super().__init__(path, dtype)
        self.paths, self.layer = frames.find(path) if paths is None else paths, layer
        self.frame_count, self.first = len(self.paths), 0

    @cached_property
    def rate(self) -> Fraction | None:  # type: ignore[override]
        """Frames per second, by the first header."""
        return exact_rate(self.header(self.first).frame_rate)

    @property
    def size(self) -> Size:
        (height, width, _), _ = frames.probe(self.file(self.first), self.layer)
        return height, width

    def frames(self, start: int = 0, end: int | None = None, every: int = 1, skip: Skip = nothing) -> Items:
        """Yield the numbers and the files; as of `Source.frames`."""
        return ((number, self.file(number)) for number in range(len(self))[start:end:every] if not skip(number))

    def pixels(self, raw: Path, dtype: DTypeLike = "uint16", window: tuple[int, int, int, int] | None = None) -> Frame:
        """A frame as `fastup.read` gives it; `window` is as there."""
        return frames.read(raw, dtype, window, layer=self.layer)

    def header(self, number: int) -> Header:
        """The header of a frame; of its first element, where there are several."""
        header = frames.read_header(self.file(number), self.layer)
        return header.only(0) if len(header.elements) > 1 else header

    def file(self, number: int) -> Path:
        """The file of a frame."""
        return self.paths[number - self.first]

    def name(self, number: int) -> str:
        return self.file(number).stem

    def label(self, number: int) -> str:
        return str(self.file(number))

    def files(self) -> Iterable[tuple[int, Path]]:
        return enumerate(self.paths, self.first)

    def cut(self, first: int, last: int) -> Self:
        some = super().cut(first, last)
        some.rate, some.first = self.rate, first
        some.paths = [path.absolute() for path in self.paths[first - self.first : last - self.first]]
        return some

    def between(self, low: int, high: int) -> tuple[int, int]:
        return _between(self.path, self.paths, low, high)


class Stills(Clip):
    """Stills as a clip: see `open_clip` and `Clip`. `paths` has the files.

    A frame's number is its place in time, from the first still on: numbers and timecodes that are missing are frames
    that are missing.
    """

    def __init__(self, path: StrPath, keep: bool, interlaced: bool | None) -> None:
        super().__init__(path, keep, interlaced)
        self.paths = frames.find(path)
        first = frames.read_header(self.paths[0])
        self._kind = _kind(first)
        self.width, self.height, self.bits, descriptor = self._kind
        if self.bits not in range(8, 17) or descriptor not in _PICTURES:
            expected = "codes of 8 to 16 bits, of a picture in one piece"
            raise DataError(f"{self.paths[0]}: {first.flavour}, expected {expected}")
        self.rate, self.pixel_aspect = exact_rate(first.frame_rate), first.pixel_aspect
        timecodes = [frames.read_header(path).timecode if frames.is_dpx(path) else None for path in self.paths]
        line = timeline(self.paths, timecodes, max(1, round(self.rate)) if self.rate else None)
        if line.doubled:
            raise DataError(f"{path}: {some(line.doubled)}; expected one of them, elsewhere the others")
        self.places, self.gaps, self._repeated = line.places.tolist(), line.gaps, line.repeated
        self._marks, self._base, self._pace = line.marks, line.base, line.pace
        self.timecode, self.frame_count = dict(line.marks).get(0), self.places[-1] + 1
        self.notes += line.notes
        if self.rate and self._pace > 1:
            self.rate /= self._pace
            self.note(f"every frame is {self._pace} frames of timecode long: {per_second(self.rate)}")
        stills = f"{len(self.paths)} still{'s' * (len(self.paths) > 1)}"
        self.settings["source"] = f"{stills}, {first.flavour}, {self.width}x{self.height}"
        self._say_scaled()
        if descriptor in CHROMA:
            known = (Colorimetric.REC_709, Colorimetric.REC_601_525, Colorimetric.REC_601_625)
            sd = first.colorimetric != known[0] if first.colorimetric in known else is_sd(*self.size)
            self.matrix, self.full = "601" if sd else "709", False
            self.subsampling = "4:2:2" if descriptor in (Descriptor.CBYCRY, Descriptor.CBYACRYA) else "4:4:4"
            self.settings["range"] = f"limited, {'kept' if keep else 'to 0-1023'} (assumed)"
            self.settings["matrix"] = f"Rec.{self.matrix} (assumed)"
            self.note(f"{descriptor.text}: limited range and the matrix of Rec.{self.matrix} are assumed")

    def frames(self, start: int = 0, end: int | None = None, every: int = 1, skip: Skip = nothing) -> Items:
        """Yield the numbers and the planes of stills, read ahead of their use; as of `Source.frames`.

        DataError when the turn of a still comes that is of another size or depth than the first.
        """
        end = len(self) if end is None else end
        self.damage = self.missing(start, end)
        found = [
            (place, path)
            for place, path in zip(self.places, self.paths, strict=True)
            if start <= place < end and (place - start) % every == 0 and not skip(place)
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

    def _uncropped(self, number: int, rate: Fraction | None, at: int | None) -> Header:
        """The still's own `Header`, for 10-bit RGB; with a `rate`, timecode and position are counted anew.

        Of another format than DPX, or a DPX without film and television header, what there is is carried over.
        """
        at = number if at is None else at
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
            low, high = made_levels(self)
            header = header.replace(low_code=low, high_code=high)
        if rate is None:
            return header
        return header.replace(frame_rate=float(rate), timecode=self._timecode(number, rate), frame_position=number)

    def name(self, number: int) -> str:
        return self.paths[bisect_right(self.places, number) - 1].stem

    def there(self, number: int) -> bool:
        return self.places[bisect_right(self.places, number) - 1] == number

    def files(self) -> Iterable[tuple[int, Path]]:
        return zip(self.places, self.paths, strict=True)

    def cut(self, first: int, last: int) -> Self:
        some = super().cut(first, last)
        low, high = bisect_left(self.places, first), bisect_left(self.places, last)
        some.places, some.paths = self.places[low:high], [path.absolute() for path in self.paths[low:high]]
        return some

    def between(self, low: int, high: int) -> tuple[int, int]:
        first, end = _between(self.path, self.paths, low, high)
        return [*self.places, len(self)][first], self.places[end - 1] + 1 if end > first else 0

    def missing(self, start: int, end: int | None) -> str | None:
        """What is missing or doubled from a frame to before another, in words; None if nothing is."""
        end = len(self) if end is None else end
        gaps = [(min(last + 1, end) - max(first, start), words) for first, last, words in self.gaps]
        gaps = [(count, words) for count, words in gaps if count > 0]
        total = sum(count for count, _ in gaps)
        if len(gaps) == 1:
            words = [f"{total} still{'s are' if total > 1 else ' is'} missing {gaps[0][1]}"]
        else:
            words = [f"{total} stills are missing: {some([f'{n} {words}' for n, words in gaps])}"] * bool(gaps)
        return "; ".join(words + [some(self._repeated)] * bool(self._repeated)) or None


def _between(folder, paths, low, high):
    """The first of the paths whose numbers, in their names, lie between two, and the one after the last."""
    found = sequences(paths)
    if len(found) > 1 or not found[0].numbers:
        why = f"of {len(found)} sequences" if len(found) > 1 else "without a number in its name"
        raise OptionError(
            f"frames is {low}-{high}, but {folder} holds frames {why}; expected one sequence with numbers"
        )
    numbers = found[0].numbers
    return bisect_left(numbers, low), bisect_right(numbers, high)


def _kind(header):
    return header.width, header.height, header.bits, header.descriptor


def exact_rate(rate: float | None) -> Fraction | None:
    """The frame rate that a header's float32 means."""
    if not rate or rate < 0:
        return None
    usual = (Fraction(round(rate)), Fraction(1000 * round(rate * 1.001), 1001))
    near = min(usual, key=lambda exact: abs(exact - Fraction(rate)))
    return near if abs(float(near) / rate - 1) < 1e-4 else Fraction(rate).limit_denominator(1001)
