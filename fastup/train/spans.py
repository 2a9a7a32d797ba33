"""The tile index to batches of spans: tiles of consecutive frames at one place, for networks that see a film go by."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastup import frames
from fastup.errors import DataError, OptionError
from fastup.networks.recurrent import changes
from fastup.pairs.folder import Pairs
from fastup.pairs.index import TileIndex
from fastup.train.batches import TileBatches

LOOKED_AT = 12  # frames, for how much quiet pixels change
UNREAD = 8  # added to the turn of a tile whose target is not read


class SpanBatches(TileBatches):
    """Batches of spans: `span` consecutive frames of a shot at one place, all turned alike.

    Inputs are (n, 1 + span + lookahead, height, width, 3), from the frame before the first on; targets are (n, span -
    settle, height, width, 3), those of the last frames. Where the shot has no frame there, the nearest that it has
    stands in: so before its first frame, behind its last, and in shots that are shorter than a span, of which `short`
    says how many there are. All else is as of `TileBatches`; where inputs are made of targets, so are the windows, and
    what else there is has a row for each frame: the strengths are those of the span, the noise is each frame's own.

    An epoch has as many spans of each shot as fit in it one after the other, one at least, at each place that the
    index has. The first frame of each is any from which a span fits, by seed and epoch; places are those of the frame
    in the middle, so that `quality` chooses as it does for single tiles.

    Parameters
    ----------
    pairs, index, **options
        As of `TileBatches`; `batch` counts spans.
    shots
        The shots of the pairs, (start, stop) each, all frames of one kind.
    span
        How many frames.
    settle
        How many frames at the beginning have no target.
    lookahead
        How many more frames of inputs there are behind a span, 0 or 1.
    stills
        The share of spans that are one frame again and again: its middle one.
    reverse
        Whether every other span, by chance, goes back in time.
    """

    def __init__(
        self, pairs: Pairs, index: TileIndex, shots: Sequence[tuple[int, int]], *, span: int, settle: int = 0,
        lookahead: int = 1, stills: float = 0.0, reverse: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        if span < 1 or lookahead not in (0, 1):
            raise OptionError(f"span is {span}, lookahead {lookahead}; expected 1 or more frames, and 0 or 1")
        if not 0 <= settle < span:
            raise OptionError(f"settle is {settle}, expected 0 or more, and less than span, {span}")
        if not 0 <= stills <= 1:
            raise OptionError(f"stills is {stills}, expected a share, 0 to 1")
        self.span, self.settle, self.lookahead = span, settle, lookahead
        self.stills, self.reverse = stills, reverse
        self._shots = np.array(shots, np.int64).reshape(-1, 2)
        lengths = np.diff(self._shots, axis=1)[:, 0]
        self.short = int((lengths < span).sum())
        self._places = np.diff(index.starts)[self._shots[:, 0]]  # of each frame of a shot
        self._numbers = np.concatenate(
            [[0], np.cumsum(np.array([spans_of(n, span) for n in lengths], np.int64) * self._places)]
        )
        if not self._numbers[-1]:
            raise DataError(f"{pairs.folder}: no shot has a tile, expected one or more")
        super().__init__(pairs, index, **options)

    @property
    def size(self) -> int:
        """How many spans there are to choose from."""
        return int(self._numbers[-1])

    def _tiles_of(self, place):
        """The rows of a batch as the loader takes them, span by span."""
        chosen = self._chosen(place).astype(np.int64)
        shot = np.searchsorted(self._numbers, chosen, side="right") - 1
        start, stop = self._shots[shot].T
        where, still, back = np.random.default_rng([self.seed, *divmod(place, len(self)), 3]).random((3, len(chosen)))
        first = start + (where * (np.maximum(stop - start - self.span, 0) + 1)).astype(np.int64)
        middle = np.minimum(first + self.span // 2, stop - 1)
        _, tiles = self.index[self.index.starts[middle] + (chosen - self._numbers[shot]) % self._places[shot]]
        steps = np.arange(-1, self.span + self.lookahead)
        back = self.reverse & (back < 0.5)
        frames = np.where(back[:, None], (first + self.span - 1)[:, None] - steps, first[:, None] + steps)
        frames = np.where((still < self.stills)[:, None], middle[:, None], frames)
        rows = np.repeat(self._rows(middle, tiles, place)[self.shard], len(steps), axis=0)
        rows[:, 0] = frames.clip(start[:, None], stop[:, None] - 1)[self.shard].ravel()
        beside = (steps < self.settle) | (steps >= self.span)
        rows[:, 5] += np.tile(UNREAD * beside, len(rows) // len(steps))
        return rows

    def _shaped(self, sides):
        counts = 1 + self.span + self.lookahead, self.span - self.settle
        inputs, targets = (side.reshape(-1, n, *side.shape[1:]) for side, n in zip(sides, counts, strict=True))
        return inputs, targets

    def _drawn(self, place):
        rows, count = self._tiles_of(place), 1 + self.span + self.lookahead
        inside = self.degraded.inside(rows[:, 1:3], self._pictures[self._kind_of[rows[:, 0]]], rows[:, 5])
        drawn = self.degraded.draw(self.batch * count, [self.seed, *divmod(place, len(self)), 1])
        strengths, noise = (part.reshape(self.batch, count, *part.shape[1:])[self.shard] for part in drawn)
        return inside.reshape(-1, count, 4), np.repeat(strengths[:, :1], count, axis=1), noise


def spans_of(length: int, span: int) -> int:
    """How many spans of a shot of that many frames an epoch has, at each place."""
    return max(length // span, 1)


def quiet_of(*sets: tuple[Pairs, Sequence[tuple[int, int]]]) -> float | None:
    """How much quiet pixels of inputs change from frame to frame, which is noise: see `networks.recurrent.changes`.

    The change that a fifth of the pixels stay below, of up to `LOOKED_AT` frames of the first of the sets, pairs and
    their shots, that has inputs of frames in a row; None if none has.
    """
    for pairs, shots in sets:
        following = [number for start, stop in shots for number in range(start + 1, stop)]
        if pairs.made or not following:
            continue

        def read(number, pairs=pairs):
            frame = frames.read(pairs.inputs[number], "float32")
            return pairs.kind(number).input_trim.crop(frame)

        chosen = np.linspace(0, len(following) - 1, min(LOOKED_AT, len(following))).astype(int)
        found = [changes(read(following[at]), read(following[at] - 1)).ravel() for at in chosen]
        return float(np.quantile(np.concatenate(found), 0.2))
    return None
