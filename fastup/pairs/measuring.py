"""Frames of two masters read side by side, and what is measured of two of them."""

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from math import copysign, hypot, inf, log, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastup import frames
from fastup._types import Codes, Floats, Size
from fastup.codes import CHROMA, LUMA_601
from fastup.errors import DataError
from fastup.footage.source import WHITE, Source
from fastup.footage.stills import Folder
from fastup.pairs.fitting import blurred
from fastup.pairs.placement import Placement, refine
from fastup.trim import UNTRIMMED, Trim

NEAR = 250  # frames: to one that is no farther on, a source is read on; to others it jumps
BLOCK = 8  # SD pixels: what differs is measured in blocks of this side

_DIFFERS = 0.12  # of white: a block's mean that is so far off shows something else, such as a title
_NOISE, _FAINT = 5.0, 0.006  # drawings differ where gradients do by so many times the usual, and by so much of white
_FEWEST = 16  # pixels of a difference
_APART = 2 * (70 / 256) ** 2  # independent values in the two gradients of a pixel of a picture blurred by 1, 4, 6, 4, 1
MORE_ALIKE = 0.0001  # a likeness that is more by so much is no chance
_AWAY = 0.001  # of likeness, that a shift one SD pixel nearer to the shot's is worth
TOLD = 8.0  # standard errors by which a drawing is told from another

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


def climbed_to(
    sd: Floats, lumas: Mapping[int, Floats], partner: int, placement: Placement, doubt: bool
) -> tuple[int, Placement | None, float]:
    """Which HD frame an SD frame is most like where each lies best, with its placement and likeness.

    In a slow pan the frames beside are the same picture a little on, but for what is nearer and moves more. From the
    partner it goes on to where frames become more alike, or as alike in a place nearer to the shot's: where the whole
    picture pans, another frame fits as well, shifted. Without doubt it stays.
    """

    def off(found: Placement | None) -> float:
        return 0.0 if found is None else _AWAY * hypot(*np.subtract(found.shift, placement.shift))

    numbers = sorted(lumas)
    best = numbers.index(partner)
    found, likeness = refine(sd, lumas[partner], placement)
    if not doubt:
        return partner, found, likeness
    for step in (1, -1):
        moved = False
        while 0 <= best + step < len(numbers):
            other, alike = refine(sd, lumas[numbers[best + step]], placement)
            if other is None or alike - off(other) < likeness - off(found) + MORE_ALIKE:
                break
            best, found, likeness, moved = best + step, other, alike, True
        if moved:
            break
    return numbers[best], found, likeness


def nearest(sd: Floats, drawn: Mapping[int, Floats], partner: int) -> tuple[int, float, float]:
    """Which of several HD pictures an SD picture shows: the partner, unless another one clearly fits better.

    Two HD pictures can be told apart only where they differ, a mouth say, and each is held against another there alone:
    what the gradients of the one leave of SD's, up to a gain, against what those of the other leave. Colours change
    gradients little, and blurred a little they hold little grain.

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
        Its correlation with the SD picture where it differs from the one that is hardest to tell from it; 1 where none
        does.
    lead
        By how many standard errors it fits better than that one, below 0 if it fits worse; infinity where none differs.
        With `TOLD` or more it is told from all others.
    """
    ours, edges = _edges(sd), {number: _edges(picture) for number, picture in drawn.items()}
    best = partner
    for number, other in edges.items():
        if number != best and _lead(ours, edges[best], other)[0] < -TOLD:
            best = number
    leads = [_lead(ours, edges[best], other) for number, other in edges.items() if number != best]
    lead, likeness = min(leads, default=(inf, 1.0))
    return best, likeness, lead


def _lead(ours, one, other):
    """By how many standard errors one picture fits better than another where they differ, and its correlation there.

    What fits worse by chance alone leaves as much: the logarithm of the ratio of what both leave, times the count of
    independent values, is then about 1.
    """
    apart = ((one - other) ** 2).sum(-1)
    clear = apart > max(_NOISE**2 * float(np.median(apart)), _FAINT**2)
    if clear.sum() < max(_FEWEST, clear.size // 20000):
        return inf, 1.0
    where = _wider(clear)
    alike = [max(0.0, _correlation(ours[where], edges[where])) for edges in (one, other)]
    left = [max(1 - each**2, 1e-9) for each in alike]
    ratio = log(left[1] / left[0])
    return copysign(sqrt(abs(ratio) * _APART * where.sum()), ratio), alike[0]


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
    smooth = blurred(picture)
    return np.stack([np.gradient(smooth, axis=axis) for axis in (0, 1)], -1)


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
