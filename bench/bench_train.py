"""A training step on real data against the same step on one cached batch; the index; and what memory a run takes."""

import os
import shutil
import statistics
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

import fastup
from fastup._scales import fractions
from fastup.footage.recipe import Recipe
from fastup.networks import start
from fastup.pairs import digests

start()

import keras  # noqa: E402

from fastup.networks.losses import TileLoss  # noqa: E402
from fastup.networks.models import MODELS, Network  # noqa: E402
from fastup.pairs.folder import find_pairs  # noqa: E402
from fastup.pairs.index import detail_scores, tile_index  # noqa: E402
from fastup.train.batches import TileBatches  # noqa: E402

FRAMES, MANY, BATCH, STEPS, EPOCHS, ROUNDS = 20, 2000, 16, 20, 3, 3
SIZES = {"Alpha": (480, 720), "Beta": (1080, 1440)}
SMALL = {"Alpha": (240, 360), "Beta": (540, 720)}


def write_frames(folder, picture, sizes, count, several=False):
    """One picture that moves down; as `several` sizes, each frame is another number of cells smaller."""
    for side, size in sizes.items():
        (folder / side).mkdir(parents=True)
        first = picture(size)
        for number in range(count):
            frame = np.roll(first, number * size[0] // count, axis=0)
            if several:
                frame = frame[: size[0] - number % 5 * size[0] // 60, : size[1] - number * size[1] // 360]
            fastup.write(folder / side / f"{number}.dpx", frame)


def link_frames(folder, source, count):
    """The frames of `source` under many names."""
    for side in sorted(source.iterdir()):
        (folder / side.name).mkdir(parents=True)
        paths = sorted(side.iterdir())
        for number in range(count):
            (folder / side.name / f"{number}.dpx").hardlink_to(paths[number % len(paths)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, picture):
    """Sets of data of one picture: "large"; smaller of "one" size, and of several "sizes"; "many" of several."""
    folder = tmp_path_factory.mktemp("train")
    write_frames(folder / "large" / "train", picture, SIZES, FRAMES)
    write_frames(folder / "one" / "train", picture, SMALL, FRAMES)
    write_frames(folder / "sizes" / "train", picture, SMALL, FRAMES, several=True)
    link_frames(folder / "many" / "train", folder / "sizes" / "train", MANY)
    for name in ("one", "many"):
        link_frames(folder / name / "validation", folder / "one" / "train", 1)
    yield folder
    shutil.rmtree(folder)  # pytest would keep it for three runs


class Cached(keras.utils.PyDataset):
    """One batch, over and over."""

    def __init__(self, batch, steps):
        super().__init__(workers=1)
        self.batch, self.steps = batch, steps

    def __len__(self):
        return self.steps

    def __getitem__(self, number):
        return self.batch


class Clock(keras.callbacks.Callback):
    """Times steps, from the end of one to the end of the next; and does what a run does when an epoch begins."""

    def __init__(self, batches):
        super().__init__()
        self.batches, self.steps, self.ends = batches, [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.begin(epoch)

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if batch:
            self.steps.append(now - self.ended)
        elif self.params["steps"] and hasattr(self, "ended"):
            self.ends.append(now - self.ended)
        self.ended = now

    def on_train_end(self, logs=None):
        del self.ended

    def a_step(self):
        """Medians: a step, with its share of an epoch's end."""
        return ((STEPS - 1) * statistics.median(self.steps) + statistics.median(self.ends)) / STEPS


def test_step_against_a_cached_batch(folder, judged):
    """Of the fastest model, the ends of epochs included.

    The cached batch comes by the way of every Keras dataset in Python; and, without a floor, from TensorFlow's own
    memory: what lies between those two is Keras' part.
    """
    import tensorflow as tf

    pairs = find_pairs(folder / "large" / "train")
    geometry = pairs.geometry
    tile, border = geometry.tile(), geometry.border(18)
    index = tile_index(pairs, tile, True, quality=1)
    index = replace(index, starts=np.arange(FRAMES + 1) * (STEPS * BATCH // FRAMES))
    batches = TileBatches(pairs, index, tile=tile, border=border, batch=BATCH, threads=2)
    assert len(batches) == STEPS
    settings = {
        "model": "espcn",
        "scale": [list(factor.as_integer_ratio()) for factor in geometry.scale],
        "border": list(border),
        "input_white": 1023,
        "target_white": 1023,
    }
    network = Network(settings)
    network.compile(keras.optimizers.Adam(1e-4), TileLoss(MODELS["espcn"].loss))
    batch = batches[0]
    inside = tf.data.Dataset.from_tensors(tuple(map(tf.constant, batch))).repeat(STEPS)
    for _ in range(3):  # what disturbs a machine only adds, and more where threads read beside the step
        sides = [(each, Clock(batches)) for each in (batches, Cached(batch, STEPS), inside)]
        random = np.random.default_rng(0)
        for turn in range(ROUNDS + 1):
            for side in random.permutation(len(sides)):  # a machine may be slow at regular times
                data, clock = sides[side]
                clocks = [clock if turn else Clock(batches)]
                network.fit(data, epochs=EPOCHS, shuffle=False, verbose=0, callbacks=clocks)
        ours, cached, kept = (clock.a_step() for _, clock in sides)
        if ours <= 1.15 * cached:
            break
    what = f"step of espcn, {BATCH} tiles"
    judged(ours, kept, label=f"{what}: on one batch in TensorFlow's memory")
    # 1.02 is the promise. Runs on a noisy machine give 1.00 to 1.06, and this is to find what costs more than noise.
    judged(ours, cached, at_most=1.15, label=f"{what}: on one cached batch")


def side_of(folder, model, batch, steps, recipe=None):
    """A network, and its batches, so many in an epoch."""
    pairs = find_pairs(folder, scale=fractions(((9, 4), 2)))
    tile, border = pairs.geometry.tile(), pairs.geometry.border(18)
    index = tile_index(pairs, tile, True, quality=1)
    skip = index.size // (steps * batch) - 1
    batches = TileBatches(
        pairs, index, tile=tile, border=border, batch=batch, skip=skip, threads=2,
        recipe=recipe and Recipe.parse(recipe),
    )  # fmt: skip
    settings = {"model": model, "scale": [[9, 4], [2, 1]], "border": list(border)}
    network = Network(settings | {"input_white": 1023, "target_white": 1023})
    network.compile(keras.optimizers.Adam(1e-4), TileLoss(MODELS[model].loss))
    if recipe:
        network.train_on_targets(batches.degraded)
    return network, batches


def steps_by_turns(sides, rounds):
    """The medians of the steps of sides, which take turns; the first is not timed."""
    random, clocks = np.random.default_rng(0), [Clock(batches) for _, batches in sides]
    for turn in range(rounds + 1):
        for side in random.permutation(len(sides)):
            network, batches = sides[side]
            callbacks = [clocks[side] if turn else Clock(batches)]
            network.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=callbacks)
    return [statistics.median(clock.steps) for clock in clocks]


def test_step_on_inputs_that_are_made(folder, tmp_path, judged):
    """Of the model that is trained by default, with all that a tape does, against the same on inputs from files."""
    (tmp_path / "Beta").symlink_to(folder / "large" / "train" / "Beta")
    recipe = "tape,softness=0.3:0.8,noise=0:0.01"
    sides = [
        side_of(tmp_path, "compact", 8, 5, recipe),
        side_of(folder / "large" / "train", "compact", 8, 5),
    ]
    label = "step of compact, 8 tiles: inputs made, and from files"
    judged(*steps_by_turns(sides, 4), at_least=0.65, label=label, again=lambda: steps_by_turns(sides, 4))


def test_step_on_frames_of_several_sizes(folder, judged):
    """Of the fastest model."""
    sides = [side_of(folder / name / "train", "espcn", BATCH, 10) for name in ("sizes", "one")]
    label = f"step of espcn, {BATCH} tiles: frames of {FRAMES} sizes, and of one"
    judged(*steps_by_turns(sides, 3), at_most=1.3, label=label, again=lambda: steps_by_turns(sides, 3))


def test_index_of_many_frames(tmp_path, picture, judged, monkeypatch):
    """A pass over 1920x1080 frames, with the grid's half tiles."""
    monkeypatch.setattr(digests, "SETTLED", 0)  # the frames have just been made, and will not change
    write_frames(tmp_path / "few", picture, {"Beta": (1080, 1920), "Alpha": (540, 960)}, FRAMES)
    link_frames(tmp_path / "many", tmp_path / "few", count := MANY // 2)
    pairs = find_pairs(tmp_path / "many")
    began = time.perf_counter()
    scores = detail_scores(pairs, 60, True, tmp_path / "cache")
    took = time.perf_counter() - began
    assert len(scores) == count
    began = time.perf_counter()
    np.testing.assert_array_equal(detail_scores(pairs, 60, True, tmp_path / "cache"), scores)
    again = time.perf_counter() - began
    began = time.perf_counter()
    with ThreadPoolExecutor(min(os.cpu_count(), 8)) as pool:
        deque(pool.map(lambda path: fastup.read(path).sum(), pairs.targets), maxlen=0)
    summed = time.perf_counter() - began
    shutil.rmtree(tmp_path)
    label = f"index of {count} frames 1920x1080, a frame: read and summed up"
    judged(took / count, summed / count, at_most=2.4, label=label)
    judged(again / count, took / count, at_least=35, label="the same from the disk: made anew")


def test_memory_of_many_frames(folder, peak_memory, judged):
    """Of several sizes, against few of one."""
    how = ["--model", "espcn", "--quality", "0.5", "--minutes", "0.1"]
    few, many = (peak_memory("train", folder / name, *how) for name in ("one", "many"))
    label = f"peak memory of {MANY} frames of {FRAMES} sizes: of {FRAMES} of one"
    judged(many, few, at_most=1.2, label=label, shown=lambda size: f"{size / 1e6:.0f} MB")
