"""Pictures in strips, where the whole is more than memory holds: which strips, and a runner that makes them smaller."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastup._free import words
from fastup._types import Floats, Size
from fastup.errors import FastupError
from fastup.upscale.engines import Engine
from fastup.upscale.model import Model

FRAMES = 3  # that are on their way, beside those that the engine has: read ahead, waiting to be written
BYTES_GIVEN, BYTES_MADE = 12, 12 + 6  # of a pixel of these: three floats; and codes of them
HELD = 8  # frames of a recurrent network that wait until it is known where shots begin
OTHER = 64  # floats for each pixel of input, whatever the network


@dataclass(frozen=True)
class Strip:
    """Rows of a picture, at its full width, that are made at a time.

    Attributes
    ----------
    read : slice
        The input rows that it is made of, whole cells.
    made : slice
        Those of its output rows that are right: not nearer to an edge that the picture does not have than the network
        sees.
    kept : slice
        Where these are in the whole output.
    """

    read: slice
    made: slice
    kept: slice


def least(cell: Size, reach: int, pitch: int = 1) -> int:
    """The fewest input rows of a strip inside a picture: one cell, and what the network sees around it.

    `cell` is (input, output) rows, `reach` in input rows, `pitch` in cells, as `fastup.networks.models.Network` has
    them.
    """
    return cell[0] * (pitch * (1 + 2 * _cells(reach, cell[0] * pitch)) + pitch - 1)


def cut(height: int, cell: Size, reach: int, rows: int, pitch: int = 1) -> list[Strip]:
    """The strips of a picture: as few as can be, of the same height, which overlap by what the network sees.

    A network pads what it is given: with its border, and with zeros inside. At the picture's own edges that is as for
    the whole picture. At the others it is wrong, and spoils what is nearer than `reach`, which a neighbour makes.

    Parameters
    ----------
    height : int
        Of the picture, in input rows, whole cells.
    cell : pair of int
        Rows of a cell in the input and in the output.
    reach : int
        Input rows around a cell that its output depends on.
    rows : int
        Input rows that a strip may have; at `least` as many as it takes are given, whatever this says.
    pitch : int
        Strips begin at multiples of so many cells.

    Returns
    -------
    list of Strip
        From top to bottom. All read the same number of rows (so an engine meets one shape): `height`, if there is one.
    """
    q, p = cell
    cells, most = height // q, max(rows, least(cell, reach, pitch)) // q
    if most >= cells:
        return [Strip(slice(0, height), slice(0, cells * p), slice(0, cells * p))]
    # In blocks of the pitch. What is left over at the bottom of the picture every strip has, so all are of one height.
    blocks, rest = divmod(cells, pitch)
    most = (most - rest) // pitch
    # n strips of m blocks make n * m - 2 * around * (n - 1) of the picture's.
    around = _cells(reach, q * pitch)
    inside = 2 * around
    number = -(-(blocks - inside) // (most - inside))
    size = -(-(blocks + inside * (number - 1)) // number)
    strips, done = [], 0
    while done < blocks:
        start = min(max(done - around, 0), blocks - size)
        end = blocks if start + size == blocks else start + size - around
        over = rest if end == blocks else 0
        strips.append(
            Strip(
                slice(start * pitch * q, ((start + size) * pitch + rest) * q),
                slice((done - start) * pitch * p, ((end - start) * pitch + over) * p),
                slice(done * pitch * p, (end * pitch + over) * p),
            )
        )
        done = end
    return strips


class Strips:
    """Runs an engine on pictures, in strips where memory is short; where it runs out, in lower ones from then on.

    A call takes a picture as the engine does, of whole cells, and gives what the engine gives of it, to rounding; what
    is made whole is not copied. Raises FastupError where even the lowest strip is more than there is memory for. Errors
    that are not of memory pass through.

    Parameters
    ----------
    engine, model
        What runs, and what it runs.
    memory : int or None
        Bytes for the engine, and for frames on their way to and from it; None for any number.
    on_note : callable, optional
        Called with a line when strips are made first, and when they had to be made lower.
    states : int
        How many states of a recurrent network there are at a time: one for each view of an ensemble.

    Calls may be under way side by side, as many as the engine takes; they share the memory.
    """

    def __init__(
        self, engine: Engine, model: Model, memory: int | None = None, on_note: Callable[[str], object] | None = None,
        states: int = 1,
    ) -> None:  # fmt: skip
        self.engine, self.model, self.memory, self.on_note, self.states = engine, model, memory, on_note, states
        (q, _), (p, _) = model.cell
        self._cell, self._reach = (q, p), model.receptive[0]
        self._lock = threading.Lock()  # of what follows: calls may be under way side by side
        self._pixels: int | None = None  # of the input, with the border, that fit since memory ran out
        self._said: object = self  # the pixels that were last spoken of

    def __call__(self, picture: Floats) -> Floats:
        return self._fitting(picture, self.engine.run, self._made)

    def step(self, frames: Floats, state: Floats | None = None) -> tuple[Floats, Floats]:
        """A step of a recurrent network, as of `Engine.step`: every strip sees its rows of the whole state before."""
        return self._fitting(
            frames,
            lambda frames: self.engine.step(frames, state),
            lambda frames, strips: self._stepped(frames, state, strips),
        )

    def _fitting(self, picture, whole, parts):
        """What is made whole, or in the strips that memory has room for."""
        height, width = picture.shape[1:] if self.engine.planes else picture.shape[:2]
        while True:
            strips = cut(height, self._cell, self._reach, self._rows(height, width), self.model.pitch)
            rows = strips[0].read.stop
            with contextlib.suppress(MemoryError):
                made = whole(picture) if len(strips) == 1 else parts(picture, strips)
                break
            # Here that error is gone, which held on to what was made so far.
            self._lower(rows, height, width)
        if len(strips) > 1:
            self._say(rows, height, width)
        return made

    def _say(self, rows, height, width):
        """Say that strips are made; once, and again when they had to be lower."""
        with self._lock:
            if self.on_note is None or self._said == self._pixels:
                return
            self._said = self._pixels
        why = "the engine ran out of memory"
        if self._pixels is None:
            why = f"{words(self.memory or 0)} hold no more"
            if rows > self._rows(height, width):  # the lowest are made all the same: what is needed is but estimated
                why = f"{words(self.memory or 0)} hold less, but the network can be given no fewer"
        self.on_note(f"pictures of {width}x{height} are made in strips of {rows} rows: {why}")

    def _rows(self, height, width):
        """The input rows of a picture that the engine may have at a time."""
        limits = [] if self._pixels is None else [self._pixels]
        if self.memory is not None:
            vertical, horizontal = self.model.scale
            at_once = self.engine.parallel
            frames = (FRAMES + at_once) * height * width * (BYTES_GIVEN + BYTES_MADE * float(vertical * horizontal))
            frames += carried(self.model, height, width, self.states)
            limits.append(int((self.memory - frames) / at_once / taken(self.engine, self.model)))
        if not limits:
            return height
        v, h = self.model.border
        return min(limits) // (width + 2 * h) - 2 * v

    def _lower(self, rows, height, width):
        """Halve the rows that were too many; raise FastupError if fewer won't do."""
        lowest = least(self._cell, self._reach, self.model.pitch)
        if rows <= lowest:
            raise FastupError(
                f"{rows} rows of a picture of {width}x{height}, the fewest that the network can be given, take more "
                "memory than there is: close other programs, try another --engine, or train with fewer features"
            )
        v, h = self.model.border
        pixels = (max(rows // 2, lowest) + 2 * v) * (width + 2 * h)
        with self._lock:
            self._pixels = pixels if self._pixels is None else min(pixels, self._pixels)

    def _made(self, picture, strips):
        whole = self._whole(picture)  # before the engine takes what there is
        for strip in strips:
            part = self.engine.run(self._part(picture, strip.read))
            whole[self._at(strip.kept)] = part[self._at(strip.made)]
        return whole

    def _stepped(self, frames, state, strips):
        """A state has the rows of the border, too, with which the network goes on."""
        whole, (v, _) = self._whole(frames), self.model.border
        carried = np.empty(self.engine.state_shape(frames.shape), np.float32)
        end, (q, p) = strips[-1].read.stop, self._cell
        for strip in strips:
            start = strip.read.start
            before = None if state is None else self._part(state, slice(start, strip.read.stop + 2 * v))
            part, after = self.engine.step(self._part(frames, strip.read), before)
            whole[self._at(strip.kept)] = part[self._at(strip.made)]
            first, last = (rows // p * q for rows in (strip.kept.start, strip.kept.stop))
            first, last = first + v if first else 0, last + v if last < end else end + 2 * v
            carried[self._at(slice(first, last))] = after[self._at(slice(first - start, last - start))]
        return whole, carried

    def _whole(self, picture):
        """Room for the target picture of a picture, or of the frames of a step."""
        size = picture.shape[1:] if self.engine.planes else picture.shape[:2]
        height, width = (int(n * factor) for n, factor in zip(size, self.model.scale, strict=True))
        return np.empty((3, height, width) if self.engine.planes else (height, width, 3), np.float32)

    def _at(self, rows):
        """Where rows are in an array of the engine's."""
        return (slice(None), rows) if self.engine.planes else (rows,)

    def _part(self, array, rows):
        return np.ascontiguousarray(array[self._at(rows)])


def carried(model: Model, height: int, width: int, states: int = 1) -> int:
    """Bytes of what goes with a recurrent network beside the frames on their way: 0 of any other.

    Each state before a step and after it; and the frames that are held back, to find cuts and as neighbours, of which
    the engine gets those of a step once more, side by side.
    """
    if not model.recurrent:
        return 0
    v, h = model.border
    held = BYTES_GIVEN * (HELD + 2 * model.frames) * height * width
    return held + 2 * states * 4 * model.state * (height + 2 * v) * (width + 2 * h)


def taken(engine: Engine, model: Model) -> float:
    """Bytes that a call of an engine takes for each pixel of input, about, and rather more than less.

    Several layers' outputs at a time, the enlarged picture in several stages, and what an engine has beside them.
    """
    vertical, horizontal = model.scale
    layers, pictures = engine.takes
    of_step = 3 * model.frames + 2 * model.state if model.recurrent else 0  # what it is given and gives besides
    return 4 * (layers * model.widest + pictures * 3 * float(vertical * horizontal) + OTHER + of_step)


def _cells(rows, q):
    """How many cells of q rows hold so many rows."""
    return -(-rows // q)
