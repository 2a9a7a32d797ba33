"""Batches hold the very pixels of whole frames, in an order that depends on seed and epoch alone."""

import itertools
import threading
import time
from collections import Counter

import keras
import naive
import numpy as np
import pytest

import fastup
from fastup import frames
from fastup.errors import DpxError
from fastup.train import batches as module
from fastup.train.batches import TileBatches
from fastup.train.fit import fill_of
from fastup.train.pairs import Geometry, Pairs, find_pairs, tile_index

# (input frame, target frame, trim, input trim, tile, border): pictures are 24 x 30 to 54 x 60, or 50 x 62 of one size.
CASES = {
    "9/4 x 2": ((24, 30), (54, 60), (0, 0, 0, 0), None, 36, 18),
    "pillars": ((24, 30), (54, 75), (10, 5, 0, 0), None, 36, 18),
    "both trimmed": ((27, 34), (60, 75), (10, 5, 4, 2), (3, 1, 1, 2), 36, 0),
    "one size": ((55, 70), (55, 70), (3, 5, 1, 4), None, 16, 6),
    "border beyond all": ((24, 30), (54, 60), (0, 0, 0, 0), None, 36, 72),
}


def _pairs(folder, input_size, target_size, count=3):
    rng = np.random.default_rng(0)
    for side, size in (("Alpha", input_size), ("Beta", target_size)):
        (folder / side).mkdir()
        for number in range(count):
            header = fastup.Header.new(size[1], size[0], big_endian=number % 2 == 0)
            codes = rng.integers(0, 1024, (*size, 3), np.uint16)
            fastup.write(folder / side / f"f{number}.dpx", codes, header)
    return find_pairs(folder)


def _batches(pairs, geometry, tile, border, jitter=True, quality=1, **options):
    grids = geometry.grids(tile, border, jitter)
    index = options.pop("index", None)
    if index is None:
        index = tile_index(pairs, geometry, grids[1], quality)
    options = {"fill": "edge", "batch": 4, "seed": 0, "shuffle": True, "skip": 0, **options}
    return TileBatches(pairs, geometry, grids, index, **options)


def _epoch(batches):
    return [batches[number] for number in range(len(batches))]


def _positions(batches):
    """What an epoch uses of the index, in order, as its batches take it."""
    return batches._order[: len(batches) * batches.batch]


@pytest.fixture
def noise(tmp_path):
    """Three pairs of noise, 9/4 x 2; no two tiles are alike."""
    pairs = _pairs(tmp_path, (40, 40), (90, 80))
    return pairs, Geometry.of(pairs.input_size, pairs.target_size, (0, 0, 0, 0))


# -- pixels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", ["edge", 0.0, 0.0625])
@pytest.mark.parametrize("jitter", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_batches_are_tiles_cut_from_whole_frames(tmp_path, case, jitter, fill):
    input_size, target_size, trim, input_trim, tile, border = CASES[case]
    pairs = _pairs(tmp_path, input_size, target_size)
    geometry = Geometry.of(input_size, target_size, trim, input_trim)
    batches = _batches(pairs, geometry, geometry.tile(tile), geometry.border(border), jitter, fill=fill, seed=7)
    seen = 0
    for number in range(len(batches)):
        inputs, targets = batches[number]
        assert inputs.dtype == targets.dtype == np.float32
        assert inputs.flags.c_contiguous
        chosen = batches.index[batches.order(0)[number * batches.batch :][: batches.batch]]
        for (frame, tile_number), ours, target in zip(chosen, inputs, targets, strict=True):
            for path, side, cut_off, result in (
                (pairs.inputs[frame], 0, geometry.input_trim, ours),
                (pairs.targets[frame], 1, geometry.trim, target),
            ):
                grid = batches.grids[side]
                left, right, top, bottom = cut_off
                whole = fastup.read(path, "float32")
                whole = whole[top : whole.shape[0] - bottom, left : whole.shape[1] - right]
                np.testing.assert_array_equal(result, fastup.cut(whole, grid, fill, index=[tile_number])[0])
                # And by the twin, so that grid and kernel need not be believed.
                corner = naive.tile_origins(*grid.shape, *grid.tile, jitter)[tile_number]
                np.testing.assert_array_equal(
                    result, naive.tile_cut(whole, [corner], *grid.tile, *grid.border, fill)[0]
                )
            seen += 1
    assert seen == len(batches) * batches.batch > 0


def test_input_and_target_show_the_same_place(tmp_path):
    # A ramp: what a pixel holds is where it is, and halfway between two pixels is the mean of both.
    def ramp(height, width):
        y, x = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
        return np.stack(np.broadcast_arrays(y[:, None], x, 0.25), axis=-1).astype(np.float32)

    input_frame = np.pad(ramp(120, 180), ((2, 1), (4, 3), (0, 0)))
    target_frame = np.pad(ramp(270, 360), ((0, 0), (20, 10), (0, 0)))
    for side, frame in (("Alpha", input_frame), ("Beta", target_frame)):
        (tmp_path / side).mkdir()
        fastup.write(tmp_path / side / "f.dpx", frame)
    pairs = find_pairs(tmp_path)
    geometry = Geometry.of(pairs.input_size, pairs.target_size, (20, 10, 0, 0), (4, 3, 2, 1))
    batches = _batches(pairs, geometry, 72, 18, batch=5)
    worst = 0
    for inputs, targets in _epoch(batches):
        for ours, target in zip(inputs, targets, strict=True):
            enlarged = naive.bicubic(ours, *geometry.scale)[18:-18, 18:-18]
            assert enlarged.shape == target.shape
            worst = max(worst, np.abs(enlarged - target)[9:-9, 9:-9].max())
    # Half a target pixel to the side would be 1.4 codes across and 1.9 down; rounding is half a code on either side.
    assert worst * 1023 < 1.3


def test_jitter_adds_its_tiles_and_no_others(noise):
    pairs, geometry = noise
    with_jitter, without = (_batches(pairs, geometry, 36, 18, jitter) for jitter in (True, False))
    plain = 2 * 2  # 90 x 80 in tiles of 36: two rows and two columns lie inside
    assert len(without.index) == 3 * plain
    assert len(with_jitter.index) == 3 * (plain + 2 * 2 - 1 - 1)  # half-tile columns at 18 and 54: one is inside...
    assert with_jitter.index[:, 1].max() >= with_jitter.grids[1].rows * with_jitter.grids[1].columns


def test_black_level_is_in_codes_of_the_input():
    assert fill_of({"black_level": 64, "input_white": 1023}) == 64 / 1023
    assert fill_of({"black_level": "edge", "input_white": 1023}) == "edge"


def test_every_batch_is_memory_of_its_own(noise):
    batches = _batches(*noise, 36, 18)
    arrays = [array for batch in (batches[0], batches[0], batches[1]) for array in batch]
    for i, one in enumerate(arrays):
        assert one.flags.owndata
        assert not any(np.shares_memory(one, other) for other in arrays[:i])
    before = arrays[0].copy()
    arrays[2][:] = 0
    np.testing.assert_array_equal(arrays[0], before)
    np.testing.assert_array_equal(batches[0][0], before)


# -- order -----------------------------------------------------------------------------------------------------------


def _index(count):
    return np.stack([np.zeros(count, np.int64), np.arange(count)], axis=-1)


@pytest.fixture
def listed():
    """TileBatches over an index of some length; its pixels are not there to be read."""
    pairs = Pairs(None, (None,), (None,), (480, 720), (1080, 1440), 1023, 1023)
    geometry = Geometry.of(pairs.input_size, pairs.target_size, (0, 0, 0, 0))
    return lambda count, **options: _batches(pairs, geometry, 72, 18, index=_index(count), **options)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 15, 16, 17, 33])
@pytest.mark.parametrize("shuffle", [True, False])
def test_lengths(listed, count, shuffle):
    for batch, skip in itertools.product((1, 4, 16), range(4)):
        batches = listed(count, batch=batch, skip=skip, shuffle=shuffle)
        for epoch in range(5):
            order = batches.order(epoch)
            assert len(set(order)) == len(order)
            assert set(order) <= set(range(count))
            assert len(order) in (max(count // (skip + 1), 1), -(-count // (skip + 1)))
            used = [order[n * batches.batch :][: batches.batch] for n in range(len(batches))]
            assert len(used) >= 1
            assert all(len(part) for part in used), "an empty batch"
            if len(order) >= batches.batch:
                assert all(len(part) == batches.batch for part in used)
                # Less than a batch is left out; and with skip one tile more, as some epochs have one less.
                assert len(order) - len(used) * batches.batch < batches.batch + (skip > 0)


def test_an_epoch_takes_every_tile_once(listed):
    batches = listed(32, batch=8)
    assert len(batches) == 4
    for epoch in range(3):
        batches.begin(epoch)
        assert sorted(_positions(batches)) == list(range(32))


def test_what_the_last_batch_leaves_out_differs_by_epoch(listed):
    batches = listed(35, batch=8)
    left_out = set()
    for epoch in range(60):
        batches.begin(epoch)
        used = _positions(batches)
        assert len(used) == len(set(used)) == 32
        left_out |= set(range(35)) - set(used)
    assert left_out == set(range(35))


@pytest.mark.parametrize("skip", [1, 2, 3])
def test_skip_leaves_out_and_rotates(listed, skip):
    batches = listed(48, batch=4, shuffle=False, skip=skip)
    counts = Counter()
    for epoch in range(skip + 1):
        order = batches.order(epoch)
        np.testing.assert_array_equal(order, np.arange(epoch, 48, skip + 1))
        counts.update(order)
    assert counts == Counter(range(48))
    np.testing.assert_array_equal(batches.order(skip + 1), batches.order(0))
    shuffled = listed(48, batch=4, skip=skip)
    assert len(shuffled.order(0)) == 48 // (skip + 1)
    assert set(shuffled.order(0)) != set(shuffled.order(1))


def test_order_is_by_seed_and_epoch(listed):
    orders = {(seed, epoch): tuple(listed(40, seed=seed).order(epoch)) for seed in range(3) for epoch in range(3)}
    assert len(set(orders.values())) == 9
    again = listed(40, seed=2, epoch=1)
    assert tuple(again._order) == orders[2, 1]
    again.begin(2)
    assert tuple(again._order) == orders[2, 2]
    np.testing.assert_array_equal(listed(40, shuffle=False).order(5), np.arange(40))


def test_resuming_gives_the_same_batches(noise):
    running = _batches(*noise, 36, 18, seed=3, skip=1)
    for epoch in range(3):
        resumed = _batches(*noise, 36, 18, seed=3, skip=1, epoch=epoch)
        assert len(running) == len(resumed)
        for ours, theirs in zip(_epoch(running), _epoch(resumed), strict=True):
            np.testing.assert_array_equal(ours[0], theirs[0])
            np.testing.assert_array_equal(ours[1], theirs[1])
        running.begin(epoch + 1)


# -- under Keras, on its threads -------------------------------------------------------------------------------------


class Recorder(keras.Model):
    """Learns nothing, and keeps every batch that it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def call(self, inputs):
        return inputs

    def train_step(self, *data):
        inputs, targets = data[-1]
        self.seen.append((np.array(inputs), np.array(targets)))
        return {"loss": 0.0}


def _record(batches, epochs, initial=0):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("recording a step is written for TensorFlow")
    model = Recorder()
    model.compile(run_eagerly=True)
    begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: batches.begin(epoch))
    model.fit(batches, epochs=epochs, initial_epoch=initial, shuffle=False, verbose=0, callbacks=[begin])
    return model.seen


def test_threads_do_not_change_the_order(noise, monkeypatch):
    expected = []
    for epoch in range(3):
        expected += _epoch(_batches(*noise, 36, 18, seed=5, epoch=epoch))
    read, rng, threads = frames.read, np.random.default_rng(), set()

    def slow(*args, **options):
        threads.add(threading.get_ident())
        time.sleep(rng.choice([0, 0, 0.01]))
        return read(*args, **options)

    monkeypatch.setattr(module.frames, "read", slow)
    for first in (0, 1):
        seen = _record(_batches(*noise, 36, 18, seed=5, epoch=first), 3, first)
        wanted = expected[len(expected) // 3 * first :]
        assert len(seen) == len(wanted)
        for number, (ours, theirs) in enumerate(zip(seen, wanted, strict=True)):
            np.testing.assert_array_equal(ours[0], theirs[0], err_msg=f"batch {number}")
            np.testing.assert_array_equal(ours[1], theirs[1], err_msg=f"batch {number}")
    assert len(threads) > 1


def test_an_error_in_a_thread_names_the_file(noise):
    pairs, geometry = noise
    batches = _batches(pairs, geometry, 36, 18)
    bad = pairs.inputs[1]
    bad.write_bytes(bad.read_bytes()[:-100])
    with pytest.raises(Exception) as caught:  # noqa: PT011  every backend wraps it in one of its own
        _record(batches, 1)
    assert isinstance(batches.error, DpxError), caught.value
    assert str(bad) in str(batches.error)
    assert "cut short" in str(batches.error)
