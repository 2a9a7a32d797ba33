"""The tile index to batches: a Keras dataset that reads the pixels of its tiles alone."""

import time

import keras
import numpy as np

from fastup import frames


class TileBatches(keras.utils.PyDataset):
    """Batches of input tiles with their border, and target tiles without, float32 normalised.

    The order of an epoch depends on the seed and the epoch's number alone, not on threads, so that a run that resumes
    goes on as if it had never stopped. A last batch that is not full is left out: the tiles in it differ by epoch.

    Parameters
    ----------
    pairs, geometry : Pairs, Geometry
    grids : (TileGrid, TileGrid)
        Of the input and the target picture.
    index : ndarray, shape (n, 2)
        Frame and tile numbers.
    fill : "edge" or float
        What lies outside the picture: its nearest pixel, or this value, normalised.
    batch, seed, shuffle, skip
        See `Config`.
    epoch : int
        The epoch to begin with.
    """

    def __init__(self, pairs, geometry, grids, index, *, fill, batch, seed, shuffle, skip, epoch=0):
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=8)
        self.pairs, self.geometry, self.grids, self.index = pairs, geometry, grids, index
        self.fill, self.seed, self.shuffle, self.skip = fill, seed, shuffle, skip
        self.batch = min(batch, len(range(0, len(index), skip + 1)))
        self.ready = {}  # when each batch of the epoch was there, for the share of time spent waiting
        self.error = None  # what went wrong in a thread: backends wrap it beyond recognition
        self.begin(epoch)

    def order(self, epoch):
        """Positions in the index that the epoch uses, in order."""
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(len(self.index))
            return order[:: self.skip + 1]
        first = epoch % min(self.skip + 1, len(self.index))  # every tile has its turn
        return np.arange(len(self.index))[first :: self.skip + 1]

    def __len__(self):
        return steps_of(len(self.index), self.batch, self.skip)

    def __getitem__(self, number):
        chosen = self.index[self._order[number * self.batch : (number + 1) * self.batch]]
        inputs, targets = (self._empty(grid, len(chosen)) for grid in self.grids)
        try:
            for row, (frame, tile) in enumerate(chosen):
                self._tile(self.pairs.inputs[frame], self.grids[0], tile, self.geometry.input_trim, inputs[row])
                self._tile(self.pairs.targets[frame], self.grids[1], tile, self.geometry.trim, targets[row])
        except Exception as error:
            self.error = error
            raise
        self.ready[number] = time.perf_counter()
        return inputs, targets

    def begin(self, epoch):
        """Take the order of that epoch; to be called before it, while no thread is reading.

        Keras' own hooks won't do: it calls on_epoch_end before the first epoch too, and on_epoch_begin with its threads
        already under way.
        """
        self._order = self.order(epoch)
        self.ready.clear()

    @staticmethod
    def _empty(grid, count):
        return np.empty((count, *(t + 2 * b for t, b in zip(grid.tile, grid.border, strict=True)), 3), np.float32)

    def _tile(self, path, grid, tile, trim, out):
        """Read one tile of a frame into `out`; what lies outside the picture is filled in."""
        top, left = (int(o) - b for o, b in zip(grid.origins[tile], grid.border, strict=True))
        y0, x0 = max(top, 0), max(left, 0)
        y1, x1 = (min(o + n, size) for o, n, size in zip((top, left), out.shape[:2], grid.shape, strict=True))
        inner = out[y0 - top : y1 - top, x0 - left : x1 - left]
        frames.read(path, "float32", (y0 + trim[2], x0 + trim[0], y1 - y0, x1 - x0), out=inner)
        if inner.shape == out.shape:
            return
        around = ((y0 - top, top + out.shape[0] - y1), (x0 - left, left + out.shape[1] - x1), (0, 0))
        edge = {"mode": "edge"} if self.fill == "edge" else {"constant_values": self.fill}
        out[...] = np.pad(inner, around, **edge)


def steps_of(tiles, batch, skip):
    """Full batches of an epoch; one that is not full, if there are no more tiles."""
    return len(range(0, tiles - skip, skip + 1)) // batch or 1
