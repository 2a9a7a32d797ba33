"""Frames of two masters read side by side, and what is measured of two of them."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastup import frames
from fastup._types import Codes, Floats, Size
from fastup.codes import CHROMA, LUMA_601
from fastup.errors import DataError
from fastup.footage.source import WHITE, Source
from fastup.footage.stills import Folder
from fastup.trim import UNTRIMMED, Trim

NEAR = 250  # frames: to one that is no farther on, a source is read on; to others it jumps
BLOCK = 8  # SD pixels: what differs is measured in blocks of this side

_DIFFERS = 0.12  # of white: a block's mean that is so far off shows something else, such as a title
_NOISE, _FAINT = 5.0, 0.006  # drawings differ where gradients do by so many times the usual, and by so much of white
_BLUR = np.array([1, 4, 6, 4, 1], np.float32) / np.float32(16)
_FEWEST = 16  # pixels of a difference
_CLEARLY = 0.001  # a correlation that is more by so much is that of the drawing

Wanted = tuple[int, tuple[int, ...]]  # an SD frame, and the HD frames that are to be held against it
Read = tuple[
    int, Any, dict[int, Any]
]  # the same as `Source.frames` gives them; those that could not be read are absent


@dataclass(frozen=True)
class Side:
    """One of two masters: a source, and what of its frames is no picture."""

    source: Source
    trim: Trim = UNTRIMMED

    @property
    def size(self) -> Size:
        """Of the picture."""
        return self.trim.picture(self.source.size)

    def check(self) -> None:
        """Raise DataError if the first frame is not of R, G and B."""
        if isinstance(self.source, Folder):
            frames.probe(self.source.paths[0])  # which says what is wrong with a header
        header = self.source.header(0)
        if header.channels != 3 or header.descriptor in CHROMA:
            text = getattr(header.descriptor, "text", header.descriptor)
            raise DataError(f"{self.source.label(0)}: {text}, expected RGB")

    def codes(self, raw: Any, number: int) -> tuple[Codes | Floats, int | None]:
        """The picture of a frame as it is, and the white of its codes; None where it holds floats."""
        label, size = self.source.label(number), self.source.size
        header = self.source.header(number)
        white = header.white
        if (header.height, header.width, header.channels) != (*size, 3) or header.descriptor in CHROMA:
            found = f"{header.width}x{header.height} with {header.channels} channels"
            raise DataError(f"{label}: {found}, expected {size[1]}x{size[0]} of R, G and B, as the first frame has it")
        picture = self.trim.crop(self.source.pixels(raw, "float32" if white is None else "uint16"))
        if white is None:
            frames.refuse_nan(label, picture)
        return np.ascontiguousarray(picture), white

    def picture(self, raw: Any, number: int) -> Floats:
        """The picture of a frame, (h, w, 3) float32, normalised."""
        return normalised(*self.codes(raw, number))


def normalised(picture: Codes | Floats, white: int | None) -> Floats:
    """A picture as floats, 1 is white."""
    return picture.astype(np.float32, copy=False) if white is None else picture.astype(np.float32) / np.float32(white)


def together(sd: Source, hd: Source, wanted: Iterable[Wanted]) -> Generator[Read, None, None]:
    """Read SD frames in order, each with the HD frames that are to be held against it, wherever those are.

    HD is read on where the next frame is near, and gone to elsewhere: scenes may be in another order there. A frame of
    HD is kept no longer than it is needed.
    """
    for chunk in _chunks(wanted):
        last_use = {number: sd_number for sd_number, partners in chunk for number in partners}
        held: dict[int, Any] = {}
        with (
            closing(_some(sd, [number for number, _ in chunk])) as sd_items,
            closing(_some(hd, sorted(last_use))) as hd_items,
        ):
            needed = dict(chunk)
            for number, raw in sd_items:
                top = max(needed[number])
                while max(held, default=-1) < top:
                    item = next(hd_items, None)
                    if item is None:
                        break
                    held[item[0]] = item[1]
                yield number, raw, {other: held[other] for other in needed[number] if other in held}
                done = [other for other in held if last_use[other] <= number and other != max(held)]
                for other in done:
                    del held[other]


def _chunks(wanted: Iterable[Wanted]) -> Generator[list[Wanted], None, None]:
    """What is wanted, in order, in runs through which both sources are read on."""
    chunk: list[Wanted] = []
    for item in wanted:
        if chunk:
            (before, others), (number, partners) = chunk[-1], item
            on = number - before <= NEAR and min(others) <= min(partners) and max(partners) - max(others) <= NEAR
            if not on or len(chunk) >= NEAR:
                yield chunk
                chunk = []
        chunk.append(item)
    if chunk:
        yield chunk


def _some(source: Source, numbers: Sequence[int]) -> Generator[tuple[int, Any], None, None]:
    """Some frames of a source, by numbers that go up and are near one another."""
    chosen = frozenset(numbers)
    yield from source.frames(numbers[0], numbers[-1] + 1, 1, lambda number: number not in chosen)


def luma(picture: Floats) -> Floats:
    """(h, w) float32."""
    return picture @ LUMA_601


def nearest(sd: Floats, drawn: Mapping[int, Floats], partner: int) -> tuple[int, float, float]:
    """Which of several HD pictures an SD picture shows: the partner, unless another one fits clearly better.

    Only where the HD pictures differ can it be told. There the gradients of the SD picture are correlated with theirs:
    colours change them little, and blurred a little they hold little grain.

    Parameters
    ----------
    sd : (h, w)
        Luma.
    drawn
        (h, w) each: luma of HD pictures, at the SD picture's size and place, by their numbers; the partner's is there.
    partner

    Returns
    -------
    number
        Of the one that it shows.
    likeness
        Its correlation with the SD picture where the HD pictures differ; 1 where they don't.
    lead
        By how much that is more than that of the next; 1 where they don't differ.
    """
    one, edges = _edges(sd), {number: _edges(picture) for number, picture in drawn.items()}
    differ = np.zeros(sd.shape, bool)
    others = []
    for number, other in edges.items():
        apart = ((edges[partner] - other) ** 2).sum(-1)
        clear = apart > max(_NOISE**2 * float(np.median(apart)), _FAINT**2)
        if number != partner and clear.sum() >= max(_FEWEST, clear.size // 20000):
            differ |= clear
            others.append(number)
    if not others:
        return partner, 1.0, 1.0
    differ = _wider(differ)
    ours = one[differ]
    alike = {number: _correlation(ours, edges[number][differ]) for number in (partner, *others)}
    best = max(alike, key=lambda number: (alike[number], number == partner))
    if alike[best] < alike[partner] + _CLEARLY:
        best = partner
    return best, alike[best], alike[best] - max(like for number, like in alike.items() if number != best)


def _correlation(one, other):
    energy = float((one * one).sum()) * float((other * other).sum())
    return float((one * other).sum()) / energy**0.5 if energy else 0.0


def _wider(mask):
    """A mask and the two pixels around it."""
    for axis in (0, 1):
        for _ in range(2):
            wide = np.pad(mask, [(1, 1) if k == axis else (0, 0) for k in (0, 1)])
            count = mask.shape[axis]
            mask = np.logical_or.reduce([np.take(wide, range(k, k + count), axis) for k in range(3)])
    return mask


def _edges(picture: Floats) -> NDArray[np.floating[Any]]:
    """Gradients of a picture that is blurred a little, (h, w, 2), float32."""
    blurred = picture
    for axis in (0, 1):
        wide = np.pad(blurred, [(2, 2) if k == axis else (0, 0) for k in (0, 1)], "edge")
        count = blurred.shape[axis]
        parts = [np.take(wide, range(k, k + count), axis) for k in range(5)]
        blurred = np.tensordot(_BLUR, np.stack(parts), 1)
    return np.stack([np.gradient(blurred, axis=axis) for axis in (0, 1)], -1)


@dataclass(frozen=True)
class Residual:
    """What differs between an SD picture and HD with its colours, both at SD's size."""

    usual: float
    """Of blocks without an edge, the median of how far their means are apart, in the channel where it is most; white
    is 1."""
    differs: float
    """The share of blocks that show something else."""


def residual(sd: Floats, hd: Floats) -> Residual:
    """What differs between two pictures of one size, (h, w, 3) each."""
    means = [_blocks(picture) for picture in (sd, hd)]
    off = np.abs(means[0] - means[1]).max(-1)
    rows, columns = off.shape
    part = luma(hd[: rows * BLOCK, : columns * BLOCK]).reshape(rows, BLOCK, columns, BLOCK)
    span = part.max((1, 3)) - part.min((1, 3))
    flat = span <= np.median(span)
    return Residual(float(np.median(off[flat])), float((off > _DIFFERS).mean()))


def _blocks(picture):
    rows, columns = (max(n // BLOCK, 1) for n in picture.shape[:2])
    part = picture[: rows * BLOCK, : columns * BLOCK]
    return part.reshape(rows, -1, columns, part.shape[1] // columns, 3).mean((1, 3))


def for_ten_bits(picture: Codes | Floats, white: int | None) -> Codes | Floats:
    """A picture for a 10-bit file: its own codes where they are of 10 bits, else normalised floats."""
    return picture if white == WHITE else normalised(picture, white)
