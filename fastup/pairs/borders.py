"""What of a source's frames is no picture: pillars, letterbox and blanking."""

from dataclasses import dataclass

import numpy as np

from fastup._types import Floats
from fastup.errors import DataError
from fastup.footage.source import Source
from fastup.trim import Trim

_LOOKED_AT = 15  # frames, spread over the source
_UNCOUNTED = 1000  # frames, from the start, of a source that does not know how many it has; more of the first
_DARK = 0.12  # of white: borders are no brighter, log's black is code 95 of 1023
_OFF = 6 / 1023  # of white: a border's means and deviations differ by less from line to line, beside its noise
_BANDS = 8  # parts of each side that are looked at by themselves
_STRAIGHT, _AGREE = 3, 0.5  # lines that an edge may lean; share of the parts that must agree on it
_COVERED = 0.4  # share of the pixels inside of an edge that are picture in some frame
_RISE, _RISING = 0.75, 3  # of the picture's level, 3 lines further in: what is darker still rises; lines at the most
_OUTER, _FRAMES = 8, 3  # lines that may hold data, or noise of the head; only where so many frames tell
_UNLIKE, _ALIKE = 0.5, 0.8  # how rows of data are like those below, at the most; rows of a picture, at the least
_LOUD, _MOST = 0.1, 0.8  # of white: the deviation of rows of data, at the least; share of the frames that have them


@dataclass(frozen=True)
class Borders:
    """What was found of a source's borders."""

    trim: Trim
    """What is to be trimmed."""
    why: str
    """In words."""


def find(source: Source) -> Borders:
    """Find what is no picture of all frames of a source, at each side.

    Up to 15 frames, spread over the source, are read. A line of pixels is border as long as its level and its deviation
    are those of the darkest of the outermost nine, which is no brighter than code 122 of 1023. That is looked at in
    eight parts of each side, over all frames: what is picture in one of them is picture. So dark scenes make no border
    as long as one frame is bright there, and black frames say nothing. The parts must agree on a straight edge, to
    three lines, as blanking slants and begins within lines; the innermost counts. Lines at an edge that still rise to
    the picture's level, up to three, go with it.

    Up to eight lines outside of a border go with it, whatever is in them: data, a line of white. So do rows of data at
    the top that no border follows: those that differ from the ones below in most frames.

    DataError if frames differ in size; FastupError, OSError if some cannot be read. Of a source that is read once, that
    is its pass.
    """
    spread = np.linspace(0, 1, _LOOKED_AT)
    numbers = spread * (source.frame_count - 1) if source.frame_count else spread**2 * _UNCOUNTED
    masks: list[list[Floats]] = []
    profiles, alike = [], []
    looked, brightest = 0, None
    for number, raw in source.samples(np.unique(numbers.round().astype(int)).tolist()):
        looked += 1
        luma = _brightest(source.pixels(raw, "float32"))
        if brightest is not None and luma.shape != brightest.shape:
            other, first = ("{1}x{0}".format(*each.shape) for each in (luma, brightest))
            raise DataError(f"{source.label(number)}: {other}, but frames before are {first}; expected one size")
        sides = _sides(luma)
        black = [_black(side) for side in sides]
        if not all(mask.all() for mask in black):
            masks.append(black)
            profiles.append([side.mean(1) for side in sides])
            alike.append(_rows_alike(luma))
            brightest = luma if brightest is None else np.maximum(brightest, luma)
    seen = f"{looked} frame{'s' * (looked != 1)} looked at"
    if brightest is None:
        return Borders(Trim(), f"no borders found: all is black in {seen}")
    enough = len(masks) >= _FRAMES
    found = [
        _edge(_begins(np.all(mask, axis=0), enough), np.mean(profile, axis=0), side)
        for mask, profile, side in zip(
            zip(*masks, strict=True), zip(*profiles, strict=True), _sides(brightest), strict=True
        )
    ]
    data = _data(np.array(alike)) if enough else 0
    found[2] = max(found[2], data)
    names = [f"{n} {name}" for n, name in zip(found, ("left", "right", "top", "bottom"), strict=True) if n]
    why = [(f"black: {', '.join(names)}" if names else "no borders") + f", by {seen}"]
    if len(masks) < looked:
        why.append(f"{looked - len(masks)} of them black")
    if data and data == found[2]:
        why.append(f"{data} at the top hold data")
    return Borders(Trim(*found), "; ".join(why))


def _brightest(frame: Floats) -> Floats:
    """The brightest channel, (H, W): a colour that luma hardly counts is picture."""
    return frame[:, :, :3].max(axis=2)


def _sides(luma):
    """Views whose rows are lines from the outside in: from the left, right, top and bottom, up to the middle."""
    rows, columns = (-(-n // 2) for n in luma.shape)
    return luma.T[:columns], luma.T[::-1][:columns], luma[:rows], luma[::-1][:rows]


def _black(side):
    """Whether lines are as the darkest of the outermost, for each of some parts along the side: (lines, parts)."""
    outer = side[: _OUTER + 1]
    darkest = outer[int(np.argmin(outer.mean(1)))]
    result = np.zeros((len(side), _BANDS), bool)
    if np.median(darkest) > _DARK:
        return result
    noise = 1.4826 * float(np.median(np.abs(darkest - np.median(darkest))))
    parts = np.array_split(np.arange(side.shape[1]), _BANDS)
    for k, part in enumerate(parts):
        if len(part):
            own = side[:, part[0] : part[-1] + 1]
            level = darkest[part].mean()
            off = _OFF + 6 * noise / np.sqrt(len(part))  # four standard errors of a difference of means
            result[:, k] = (np.abs(own.mean(1) - level) <= off) & (own.std(1) <= 1.5 * noise + _OFF) & (level <= _DARK)
    return result


def _begins(black, skip):
    """Where the picture begins in each part, by which lines are black in all frames."""
    whole = np.flatnonzero(black[: _OUTER + 1].all(1))
    first = int(whole[0]) if skip and len(whole) else 0
    return np.array([first + (len(part) if part.all() else int(part.argmin())) for part in black[first:].T])


def _edge(bands, profile, brightest):
    """Where the picture begins, by where it does in each part; 0 where they don't agree on it, or it isn't all along.

    `profile` and `brightest` are of the side: the means of its lines, and the brightest of each pixel in all frames.
    """
    seen = bands < len(profile)  # the others lie in a border of another side
    bands = bands[seen]
    agreed = [int(((bands >= n) & (bands <= n + _STRAIGHT)).sum()) for n in bands]
    if not agreed or max(agreed) < _AGREE * len(bands):
        return 0
    low = min(int(n) for n, count in zip(bands, agreed, strict=True) if count == max(agreed))
    edge = int(bands[(bands >= low) & (bands <= low + _STRAIGHT)].max())
    if low:  # else there is picture at the rim
        black, inside = (
            np.concatenate([part for part, own in zip(np.array_split(line, _BANDS), seen, strict=True) if own])
            for line in (brightest[low - 1], brightest[min(edge + 1, len(brightest) - 1)])
        )
        if np.mean(inside > np.quantile(black, 0.98) + _OFF) < _COVERED:
            return 0
    light = profile - profile[: max(edge, 1)].min()
    for _ in range(_RISING if edge else 0):
        if edge + _RISING < len(light) and light[edge] < _RISE * light[edge + _RISING]:
            edge += 1
    return edge


def _rows_alike(luma):
    """How each of the top rows correlates with the second one below it, which is of the same field; flat ones do."""
    rows = luma[: _OUTER + 4] - luma[: _OUTER + 4].mean(1, keepdims=True)
    size = np.sqrt((rows * rows).mean(1))
    alike = (rows[:-2] * rows[2:]).mean(1) / np.maximum(size[:-2] * size[2:], 1e-6)
    return np.where(size[:-2] < _LOUD, 1, alike)


def _data(alike):
    """How many rows at the top are data, by how rows are like those below in each frame."""
    usual = np.quantile(alike, _MOST, axis=0)
    if len(usual) < _OUTER + 2 or usual[_OUTER:].min() < _ALIKE:
        return 0
    return int(np.argmin(np.append(usual[:_OUTER] < _UNLIKE, False)))
