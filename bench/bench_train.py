"""One training step on real data against the same step on one cached batch; and what making batches costs by itself."""

import shutil

import numpy as np
import pytest

import fastup
from fastup.train import start

start()

import keras  # noqa: E402

from fastup.train.batches import TileBatches  # noqa: E402
from fastup.train.models import MODELS, Network  # noqa: E402
from fastup.train.pairs import Geometry, find_pairs, tile_index  # noqa: E402

PAIRS, BATCH, STEPS = 16, 16, 16


@pytest.fixture(scope="module")
def pairs(tmp_path_factory, picture):
    """720x480 to 1440x1080, one picture that moves down."""
    folder = tmp_path_factory.mktemp("train")
    for side, size in (("Alpha", (480, 720)), ("Beta", (1080, 1440))):
        (folder / side).mkdir()
        first = picture(size)
        for number in range(PAIRS):
            fastup.write(folder / side / f"{number}.dpx", np.roll(first, number * size[0] // PAIRS, axis=0))
    yield find_pairs(folder)
    shutil.rmtree(folder)  # pytest would keep it for three runs


@pytest.fixture(scope="module")
def geometry(pairs):
    return Geometry.of(pairs.input_size, pairs.target_size, (0, 0, 0, 0))


@pytest.fixture
def batches(pairs, geometry):
    """As `fastup train` makes them by default, of as many tiles as STEPS steps take."""
    grids = geometry.grids(geometry.tile(), geometry.border(), jitter=True)
    index = tile_index(pairs, geometry, grids[1], quality=1.0)
    index = np.random.default_rng(0).permutation(index)[: STEPS * BATCH]
    return TileBatches(pairs, geometry, grids, index, fill="edge", batch=BATCH, seed=0, shuffle=True, skip=0)


class Cached(keras.utils.PyDataset):
    """One batch, STEPS times, on the same way into the model: what starting that costs is on both sides."""

    def __init__(self, batch):
        super().__init__(workers=2, use_multiprocessing=False, max_queue_size=8)
        self.batch = batch

    def __len__(self):
        return STEPS

    def __getitem__(self, number):
        return self.batch


def test_step_against_a_cached_batch(batches, geometry, against):
    border = geometry.border()
    network = Network(
        {
            "model": "compact",
            "scale": [list(factor.as_integer_ratio()) for factor in geometry.scale],
            "border": [border, border],
        }
    )
    network.compile(keras.optimizers.Adam(1e-4), MODELS["compact"].loss)
    assert len(batches) == STEPS
    cached = Cached(batches[0])
    against(
        lambda: network.fit(batches, shuffle=False, verbose=0),
        lambda: network.fit(cached, shuffle=False, verbose=0),
        rounds=9,
        items=STEPS,
        at_most=1.15,
        label=f"step of compact, {BATCH} tiles: on one cached batch",
    )


def openimageio_batch(batches, number, read):
    """The same batch from whole frames, each of which is decoded once."""
    chosen = batches.index[batches.order(0)[number * BATCH : (number + 1) * BATCH]]
    sides = []
    for paths, grid in zip((batches.pairs.inputs, batches.pairs.targets), batches.grids, strict=True):
        frames = {frame: read(paths[frame], "float") for frame in np.unique(chosen[:, 0])}
        tiles = []
        for frame, tile in chosen:
            rows, columns = (
                np.clip(np.arange(origin - border, origin + size + border), 0, picture - 1)  # the nearest pixel
                for origin, size, border, picture in zip(
                    grid.origins[tile], grid.tile, grid.border, grid.shape, strict=True
                )
            )
            tiles.append(frames[frame][np.ix_(rows, columns)])
        sides.append(np.stack(tiles))
    return sides


def test_batches_against_openimageio(batches, openimageio_read, against):
    """One thread on either side."""
    for ours, theirs in zip(batches[0], openimageio_batch(batches, 0, openimageio_read), strict=True):
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() < 2e-5
    against(
        lambda: batches[0],
        lambda: openimageio_batch(batches, 0, openimageio_read),
        rounds=11,
        items=BATCH,
        at_least=20,
        label="batches, a pair of tiles: OpenImageIO, whole frames",
    )
