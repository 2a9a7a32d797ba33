"""The tile index to batches: a Keras dataset that reads the pixels of its tiles alone."""

import os
import threading
import time
from itertools import permutations
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from fastup import _dpx
from fastup._grid import TileGrid
from fastup._loader import FrameKind, Problem, Side, TileLoader
from fastup._types import Size
from fastup.errors import OptionError
from fastup.footage.recipe import Recipe
from fastup.pairs.folder import SIDES, Pairs
from fastup.pairs.geometry import Geometry, pair_of
from fastup.pairs.index import TileIndex
from fastup.train.degraded import Degraded

if TYPE_CHECKING:
    import tensorflow as tf

TIMED = 1000  # batches whose times are kept: more than any backend takes ahead
AHEAD = 8  # batches that are ready or under way before they are asked for
OPEN_FILES = 64  # that the loader keeps open to read from, beside those that it maps (as many again)
ORDERS = np.array(list(permutations(range(3))))  # of channels


class TileBatches(keras.utils.PyDataset):
    """Batches of input tiles with their border, and target tiles without: codes as the files have them.

    A batch is ``uint16`` (n, height, width, 3) for either side, and ``float32`` where the files hold floats; each is
    memory of its own. Epochs follow one another without a pause: the first batches of the next are read while the last
    ones of this are used.

    The order of an epoch depends on the seed and the epoch's number alone, not on threads, so that a run that resumes
    goes on as if it had never stopped. A last batch that is not full is left out: the tiles in it differ by epoch.

    A batch is normalised ``float32``, too, where the whites of a side differ. Where inputs are made of targets, there
    are windows of those instead of inputs, and what else `degraded` takes: a tuple.

    Parameters
    ----------
    pairs
        Of DPX files alone.
    index
        The tiles of each frame to train on, as `tile_index` gives them.
    tile, border, jitter
        In target pixels, along both axes or each, and whether the index has tiles that are half a tile off.
    recipe
        How inputs are made, of pairs that are `made`.
    fill
        What lies outside the picture of an input: its nearest pixel, or this code; normalised where whites differ.
    batch, seed, shuffle, skip, augment, swap_channels
        See `Config`.
    shard
        (i, n): of every batch that a single worker would see, the i-th of n equal parts.
    threads
        How many read; as many as there are cores, but at most 4, if absent.
    """

    def __init__(
        self, pairs: Pairs, index: TileIndex, *, tile: int | Size, border: int | Size, jitter: bool = True,
        recipe: Recipe | None = None,
        fill: Literal["edge"] | int = "edge", batch: int = 16, seed: int = 0, shuffle: bool = True, skip: int = 0,
        augment: bool = False, swap_channels: bool = False, shard: tuple[int, int] = (0, 1),
        threads: int | None = None,
    ) -> None:  # fmt: skip
        super().__init__(workers=1)  # the threads are the loader's own
        self.pairs, self.index = pairs, index
        self.seed, self.shuffle, self.skip = seed, shuffle, skip
        self.batch = min(batch, len(range(0, self.size - skip, skip + 1)) or 1)
        square = len({*pair_of(tile)}) == len({*pair_of(border)}) == 1
        self.turns = turns_of(pairs.geometry, square) if augment else 1
        self.swap_channels = swap_channels
        part, parts = shard
        if not 0 <= part < parts or self.batch % parts:
            raise OptionError(f"shard is {shard}, expected (i, n), i of 0 to n - 1, and a batch, {batch}, of n parts")
        size = self.batch // parts
        self.shard = slice(part * size, (part + 1) * size)
        self.times: dict[int, tuple[float, float]] = {}  # when a batch was asked for, and when it was there
        self.error: Exception | None = None  # what went wrong in a thread: backends wrap it beyond recognition

        grids = [kind.geometry.grids(tile, border, jitter) for kind in pairs.kinds]
        self.grids = grids[0]  # what tiles and borders are alike in all
        self._columns = np.array([grid.columns for _, grid in grids])
        self._plain = self._columns * [grid.rows for _, grid in grids]
        self._kind_of = np.array(pairs.kind_of, np.uint16 if len(grids) <= 1 << 16 else np.uint32)

        self.degraded, window = None, with_border(self.grids[0])
        if recipe is not None:
            white = pairs.input_white or 1023
            level = fill if fill == "edge" or pairs.input_white else fill * white
            self.degraded = Degraded(
                recipe, pairs.geometry.scale, tile, border, white=white, fill=level, square=self.turns == 8
            )
            self._pictures = np.array([kind.geometry.input_picture for kind in pairs.kinds])
            fill, window = "edge", self.degraded.window

        def side(files, name, tile, fill=None):
            kinds = [kind.side(name) for kind in pairs.kinds]
            kinds = [FrameKind(size, white, trim.window(size)) for size, white, trim in kinds]
            return Side(files=files, kinds=kinds, kind_of=pairs.kind_of, tile=tile, fill=fill)

        inputs = side(pairs.inputs, SIDES[0], window, None if fill == "edge" else fill)
        targets = side(pairs.targets, SIDES[1], with_border(self.grids[1]))
        threads = threads or min(os.cpu_count() or 1, 4)
        self._loader = TileLoader(inputs, targets, threads=threads, open_files=OPEN_FILES)
        self._lock = threading.Lock()
        self._order = -1, np.zeros(0, np.uint32)  # an epoch, and the order of its tiles
        self._next = self._submitted = -1  # batches are numbered over all epochs
        self.begin(0)

    @property
    def size(self) -> int:
        """How many there are to choose from."""
        return self.index.size

    def order(self, epoch: int) -> NDArray[np.uint32]:
        """The numbers, below `size`, of those that the epoch uses, in order."""
        count = self.size
        if self.shuffle:
            order = np.arange(count, dtype=np.uint32)
            np.random.default_rng([self.seed, epoch]).shuffle(order)
            return order[:: self.skip + 1]
        first = epoch % min(self.skip + 1, count)  # every tile has its turn
        return np.arange(first, count, self.skip + 1, dtype=np.uint32)

    def __len__(self) -> int:
        return steps_of(self.size, self.batch, self.skip)

    def __getitem__(self, number: int) -> tuple[Any, NDArray[Any]]:
        if number < 0:
            raise IndexError(f"batch {number}, expected 0 or more")
        asked = time.perf_counter()
        with self._lock:
            place = self._first + number
            if place != self._next:  # not the one after the last: Keras looks at some before it begins
                self._loader.clear()
                self._next = self._submitted = place
            while self._submitted < place + AHEAD:
                self._loader.submit(self._tiles_of(self._submitted))
                self._submitted += 1
            batch: Any = self._loader.take()
            self._next += 1
            if isinstance(batch, Problem):
                files = (self.pairs.inputs, self.pairs.targets)[batch.side]
                self.error = _dpx.error(files[batch.frame], batch)
                raise self.error
            batch = self._shaped(batch)
            if self.swap_channels:
                self._swap(batch, place)
            if self.degraded is not None:
                batch = (batch[0], *self._drawn(place)), batch[1]
        self.times[number] = asked, time.perf_counter()
        if len(self.times) > TIMED:
            del self.times[next(iter(self.times))]
        return batch

    def begin(self, epoch: int, step: int = 0) -> None:
        """Go to a step of an epoch, which is batch 0 from then on; to be called while no thread asks for batches.

        Keras' own hooks won't do: it calls on_epoch_end before the first epoch too, and on_epoch_begin with its threads
        already under way.
        """
        self._first = epoch * len(self) + step
        self.times.clear()

    def frames_of(self, epoch: int, step: int) -> NDArray[np.int32]:
        """The numbers of the frames whose tiles are in a batch."""
        return np.unique(self._tiles_of(epoch * len(self) + step)[:, 0])

    def close(self) -> None:
        """End the threads."""
        self._loader.close()

    def as_tf_dataset(self, count: int | None = None) -> "tf.data.Dataset":
        """A `tf.data.Dataset` of the epochs: each pass over it is the rest of one, from where `begin` put it.

        `count` says how many batches each pass has, where that is known.
        """
        import tensorflow as tf

        def epoch():
            first = self._first
            rest = len(self) - first % len(self)
            yield from (self[number] for number in range(rest))
            if self._first == first:  # no `begin` was quicker
                self._first += rest

        signature = keras.tree.map_structure(lambda part: tf.TensorSpec(part.shape, part.dtype), self[0])
        # What tunes buffers may miss that a pass is over (TensorFlow 2.21: `Model::OptimizeLoop` looks for it before it
        # is said), and the end of the pass waits for its next look, which is up to a minute away.
        options = tf.data.Options()
        options.autotune.enabled = False
        dataset = tf.data.Dataset.from_generator(epoch, output_signature=signature).prefetch(2).with_options(options)
        return dataset if count is None else dataset.apply(tf.data.experimental.assert_cardinality(count))

    def _tiles_of(self, place):
        """The tiles of a batch as the loader takes them: frame, corners in both pictures, turn."""
        return self._rows(*self.index[self._chosen(place)], place)[self.shard]

    def _chosen(self, place):
        """The numbers of what is in a batch."""
        epoch, step = divmod(place, len(self))
        if self._order[0] != epoch:
            self._order = epoch, self.order(epoch)
        return self._order[1][step * self.batch : (step + 1) * self.batch]

    def _rows(self, frames, tiles, place):
        """What the loader takes for tiles of a batch, by their frames and their numbers in the grids of those."""
        rows = np.zeros((len(tiles), 6), np.int32)
        rows[:, 0] = frames
        rows[:, 1:5] = self._corners(self._kind_of[frames], tiles)
        if self.degraded is not None:
            rows[:, 1:3] = rows[:, 3:5] - self.degraded.margin
        if self.turns > 1:
            rows[:, 5] = np.random.default_rng([self.seed, *divmod(place, len(self))]).integers(
                self.turns, size=len(rows)
            )
        return rows

    def _shaped(self, sides):
        """What the loader gives for a batch, as it is used."""
        return sides

    def _drawn(self, place):
        """What is needed to make the inputs of a batch, beside the windows."""
        epoch, step = divmod(place, len(self))
        rows = self._tiles_of(place)
        inside = self.degraded.inside(rows[:, 1:3], self._pictures[self._kind_of[rows[:, 0]]], rows[:, 5])
        drawn = self.degraded.draw(self.batch, [self.seed, epoch, step, 1])
        return inside, *(part[self.shard] for part in drawn)

    def _swap(self, sides, place):
        """Give the channels of each tile of a batch another order, one of all six at random, the same on both sides."""
        drawn = np.random.default_rng([self.seed, *divmod(place, len(self)), 2]).integers(len(ORDERS), size=self.batch)
        for number, order in enumerate(ORDERS[drawn[self.shard]]):
            for side in sides:
                side[number] = side[number][..., order]

    def _corners(self, kinds, tiles):
        """(n, 4): the corners of tiles, with their border, in the pictures of input and target, by number in the grid.

        As `TileGrid.origins` has them, of which no grid of many kinds has to be kept.
        """
        jittered = tiles >= self._plain[kinds]
        tiles = tiles - jittered * self._plain[kinds]
        places = np.stack(np.divmod(tiles, self._columns[kinds] - jittered), axis=1)
        return np.concatenate(
            [places * grid.tile + jittered[:, None] * (np.array(grid.tile) // 2) - grid.border for grid in self.grids],
            axis=1,
        )


def turns_of(geometry: Geometry, square: bool = True) -> int:
    """Ways to turn a tile: 8 where it is square and both scales are equal, else 4, as rows cannot become columns."""
    vertical, horizontal = geometry.scale
    return 8 if square and vertical == horizontal else 4


def steps_of(tiles: int, batch: int, skip: int) -> int:
    """Full batches of an epoch; one that is not full, if there are no more tiles."""
    return len(range(0, tiles - skip, skip + 1)) // batch or 1


def with_border(grid: TileGrid) -> tuple[int, int]:
    """Rows and columns of a tile with its border."""
    (height, width), (v, h) = grid.tile, grid.border
    return height + 2 * v, width + 2 * h
