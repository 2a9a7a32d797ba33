"""Batches hold the very pixels of whole frames, in an order that depends on seed and epoch alone."""

import itertools
from collections import Counter

import keras
import naive
import numpy as np
import pytest

import fastup
from fastup.errors import DpxError, OptionError
from fastup.pairs.folder import find_pairs
from fastup.pairs.index import TileIndex, tile_index
from fastup.train.batches import TIMED, TileBatches

# (input frame, target frame, trim, input trim, tile, border): pictures are 24 x 30 to 54 x 60, or 50 x 62 of one size.
CASES = {
    "9/4 x 2": ((24, 30), (54, 60), (0, 0, 0, 0), None, 36, 18),
    "pillars": ((24, 30), (54, 75), (10, 5, 0, 0), None, 36, 18),
    "both trimmed": ((27, 34), (60, 75), (10, 5, 4, 2), (3, 1, 1, 2), 36, 0),
    "one size": ((55, 70), (55, 70), (3, 5, 1, 4), None, 16, 6),
    "border beyond all": ((24, 30), (54, 60), (0, 0, 0, 0), None, 36, 72),
}


def _pairs(folder, input_size, target_size, count=3, trims=()):
    rng = np.random.default_rng(0)
    for side, size in (("Alpha", input_size), ("Beta", target_size)):
        (folder / side).mkdir()
        for number in range(count):
            header = fastup.Header.new(size[1], size[0], big_endian=number % 2 == 0)
            codes = rng.integers(0, 1024, (*size, 3), np.uint16)
            fastup.write(folder / side / f"f{number}.dpx", codes, header)
    return find_pairs(folder, *trims)


def _batches(pairs, tile, border, jitter=True, quality=1, **options):
    index = options.pop("index", None)
    if index is None:
        index = tile_index(pairs, tile, jitter, quality)
    options = {"fill": "edge", "batch": 4, "seed": 0, "shuffle": True, "skip": 0, **options}
    return TileBatches(pairs, index, tile=tile, border=border, jitter=jitter, **options)


def _epoch(batches):
    return [batches[number] for number in range(len(batches))]


def _chosen(batches, number, epoch=0):
    """Frame and tile of every tile in a batch."""
    positions = batches.order(epoch)[number * batches.batch :][: batches.batch]
    return list(zip(*batches.index[positions], strict=True))


def _positions(batches):
    """What an epoch uses of the index, in order, as its batches take it."""
    return batches.order(batches._first // len(batches))[: len(batches) * batches.batch]


@pytest.fixture
def noise(tmp_path):
    """Three pairs of noise, 9/4 x 2; no two tiles are alike."""
    return _pairs(tmp_path, (40, 40), (90, 80))


# -- pixels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", ["edge", 0, 64])
@pytest.mark.parametrize("jitter", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_batches_are_tiles_cut_from_whole_frames(tmp_path, case, jitter, fill):
    input_size, target_size, trim, input_trim, tile, border = CASES[case]
    pairs = _pairs(tmp_path, input_size, target_size, 3, (trim, input_trim))
    geometry = pairs.geometry
    batches = _batches(pairs, geometry.tile(tile), geometry.border(border), jitter, fill=fill, seed=7)
    seen = 0
    for number in range(len(batches)):
        inputs, targets = batches[number]
        assert inputs.dtype == targets.dtype == np.uint16
        assert inputs.flags.c_contiguous
        chosen = _chosen(batches, number)
        for (frame, tile_number), ours, target in zip(chosen, inputs, targets, strict=True):
            for path, side, cut_off, result in (
                (pairs.inputs[frame], 0, geometry.input_trim, ours),
                (pairs.targets[frame], 1, geometry.trim, target),
            ):
                grid = batches.grids[side]
                left, right, top, bottom = cut_off
                whole = fastup.read(path)
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
    pairs = find_pairs(tmp_path, (20, 10, 0, 0), (4, 3, 2, 1))
    batches = _batches(pairs, 72, 18, batch=5)
    worst = 0
    for inputs, targets in _epoch(batches):
        for ours, target in zip(inputs, targets, strict=True):
            enlarged = naive.bicubic(ours / 1023, *pairs.geometry.scale)[18:-18, 18:-18]
            assert enlarged.shape == target.shape
            worst = max(worst, np.abs(enlarged - target / 1023)[9:-9, 9:-9].max())
    # Half a target pixel to the side would be 1.4 codes across and 1.9 down; rounding is half a code on either side.
    assert worst * 1023 < 1.3


def test_jitter_adds_its_tiles_and_no_others(noise):
    with_jitter, without = (_batches(noise, 36, 18, jitter) for jitter in (True, False))
    plain = 2 * 2  # 90 x 80 in tiles of 36: two rows and two columns lie inside
    assert without.index.size == 3 * plain
    assert with_jitter.index.size == 3 * (plain + 2 * 2 - 1 - 1)  # half-tile columns at 18 and 54: one is inside...
    assert with_jitter.index.tiles.max() >= with_jitter.grids[1].rows * with_jitter.grids[1].columns


def test_every_batch_is_memory_of_its_own(noise):
    batches = _batches(noise, 36, 18)
    arrays = [array for batch in (batches[0], batches[0], batches[1]) for array in batch]
    for i, one in enumerate(arrays):
        assert one.flags.writeable
        assert not any(np.shares_memory(one, other) for other in arrays[:i])
    before = arrays[0].copy()
    arrays[2][:] = 0
    np.testing.assert_array_equal(arrays[0], before)
    np.testing.assert_array_equal(batches[0][0], before)


# -- order -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def listed(tmp_path):
    """TileBatches over an index of some length."""
    pairs = _pairs(tmp_path, (24, 30), (54, 60), count=1)

    def listed(count, **options):
        index = TileIndex(np.array([0, count]), np.zeros(count, np.int32), np.zeros(1, np.int64))
        return _batches(pairs, 36, 18, index=index, **options)

    return listed


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


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("count", range(1, 14))
def test_every_batch_is_full(listed, count, shuffle):
    for skip in range(4):
        batches = listed(count, batch=16, skip=skip, shuffle=shuffle)
        for epoch in range(4):
            batches.begin(epoch)
            assert {len(inputs) for inputs, _ in _epoch(batches)} == {batches.batch}


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
    np.testing.assert_array_equal(listed(40, shuffle=False).order(5), np.arange(40))


def test_resuming_gives_the_same_batches(noise):
    options = {"seed": 3, "skip": 1, "batch": 3, "augment": True}
    running = _batches(noise, 36, 18, **options)
    steps = len(running)
    assert steps > 1
    straight = []
    for epoch in range(3):
        running.begin(epoch)
        straight += _epoch(running)
    for place in range(3 * steps):
        resumed = _batches(noise, 36, 18, threads=3, **options)
        resumed.begin(*divmod(place, steps))
        # Beyond the end of an epoch lies the next one.
        _same([resumed[number] for number in range(3 * steps - place)], straight[place:])


def _same(ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("threads", [1, 2, 5, 16])
def test_threads_do_not_change_the_batches(noise, threads):
    alone = _epoch(_batches(noise, 36, 18, threads=1, seed=5))
    for _ in range(10):
        _same(_epoch(_batches(noise, 36, 18, threads=threads, seed=5)), alone)


def test_any_batch_may_be_asked_for(noise):
    batches = _batches(noise, 36, 18, batch=3)
    straight = _epoch(batches)
    for number in (0, 0, 1, len(batches) - 1, 2, 3, 0, 1, 2):
        _same([batches[number]], [straight[number]])


def test_what_is_kept_does_not_grow(noise):
    batches = _batches(noise, 36, 18)
    for number in range(TIMED + 50):
        batches[number]
    assert list(batches.times) == list(range(50, TIMED + 50))


@pytest.mark.parametrize("parts", [1, 2, 3, 6])
def test_shares_of_a_batch_make_the_batch(noise, parts):
    options = {"batch": 6, "seed": 1, "augment": True}
    whole = _batches(noise, 36, 18, **options)
    shares = [_batches(noise, 36, 18, shard=(part, parts), **options) for part in range(parts)]
    assert {len(share) for share in shares} == {len(whole)}
    for number in range(len(whole)):
        for side in (0, 1):
            parted = [share[number][side] for share in shares]
            assert {len(part) for part in parted} == {6 // parts}
            np.testing.assert_array_equal(np.concatenate(parted), whole[number][side])


@pytest.mark.parametrize("shard", [(2, 2), (-1, 2), (0, 4), (0, 0)])
def test_shares_that_cannot_be(noise, shard):
    with pytest.raises(OptionError, match="shard is"):
        _batches(noise, 36, 18, batch=6, shard=shard)


# -- flips and turns -------------------------------------------------------------------------------------------------


def _ways(tile):
    """The eight ways to turn a square tile, by the number that the loader gives them."""
    for turn in range(8):
        turned = tile.swapaxes(0, 1) if turn & 4 else tile
        turned = turned[::-1] if turn & 2 else turned
        yield turned[:, ::-1] if turn & 1 else turned


@pytest.mark.parametrize("sizes", [((48, 60), (96, 120)), ((40, 40), (90, 80))])
def test_augmented_tiles_are_turned_alike(tmp_path, sizes):
    pairs = _pairs(tmp_path, *sizes)
    geometry = pairs.geometry
    same = geometry.scale[0] == geometry.scale[1]
    tile, border = geometry.tile(24 if same else 36), geometry.border(2 if same else 18)
    plain = _batches(pairs, tile, border, seed=2)
    turned = _batches(pairs, tile, border, seed=2, augment=True)
    seen = Counter()
    for epoch in range(6):
        plain.begin(epoch)
        turned.begin(epoch)
        for batch, other in zip(_epoch(plain), _epoch(turned), strict=True):
            for a, b, c, d in zip(*batch, *other, strict=True):
                square = a.shape[0] == a.shape[1]
                ways = [
                    turn
                    for turn in range(8 if square else 4)
                    if np.array_equal(list(_ways(a))[turn], c) and np.array_equal(list(_ways(b))[turn], d)
                ]
                assert len(ways) == 1
                seen.update(ways)
    assert set(seen) == set(range(8 if same else 4))
    assert min(seen.values()) > sum(seen.values()) / len(seen) / 3


def test_tiles_that_are_not_square_are_flipped_alone(tmp_path):
    pairs = _pairs(tmp_path, (48, 60), (96, 120))
    for tile, border, ways in (((24, 24), (2, 2), 8), ((24, 20), 2, 4), (24, (2, 4), 4)):
        batches = _batches(pairs, tile, border, augment=True)
        assert batches.turns == ways
        (inputs, targets), (v, h) = batches[0], np.broadcast_to(border, 2)
        assert targets.shape[1:] == (*np.broadcast_to(tile, 2), 3)
        assert inputs.shape[1:] == (targets.shape[1] // 2 + v, targets.shape[2] // 2 + h, 3)


def test_channels_are_swapped_alike(noise):
    options = {"batch": 4, "seed": 3, "augment": True}
    plain = _batches(noise, 36, 18, **options)
    swapped = _batches(noise, 36, 18, swap_channels=True, **options)
    part = _batches(noise, 36, 18, swap_channels=True, shard=(1, 2), **options)
    seen = Counter()
    for epoch in range(4):
        for each in (plain, swapped, part):
            each.begin(epoch)
        for batch, other, share in zip(_epoch(plain), _epoch(swapped), _epoch(part), strict=True):
            _same([(side[2:] for side in other)], [share])
            for a, b, c, d in zip(*batch, *other, strict=True):
                orders = [
                    order
                    for order in itertools.permutations(range(3))
                    if np.array_equal(a[..., order], c) and np.array_equal(b[..., order], d)
                ]
                assert len(orders) == 1
                seen.update(orders)
    assert len(seen) == 6
    assert min(seen.values()) > sum(seen.values()) / 6 / 3


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


def test_keras_takes_the_batches_in_order(noise):
    expected = []
    running = _batches(noise, 36, 18, seed=5)
    for epoch in range(3):
        running.begin(epoch)
        expected += _epoch(running)
    for first in (0, 1):
        seen = _record(_batches(noise, 36, 18, seed=5), 3, first)
        _same(seen, expected[len(expected) // 3 * first :])


def test_a_tf_dataset_has_the_batches_epoch_after_epoch(noise):
    batches, twin = _batches(noise, 36, 18, seed=5), _batches(noise, 36, 18, seed=5)
    dataset = batches.as_tf_dataset()
    assert [spec.dtype.name for spec in dataset.element_spec] == ["uint16", "uint16"]
    for epoch in (0, 1):
        twin.begin(epoch)
        _same([tuple(side.numpy() for side in batch) for batch in dataset], _epoch(twin))
    batches.begin(0, 2)  # the rest of an epoch, and then whole ones
    for epoch, first in ((0, 2), (1, 0)):
        twin.begin(epoch)
        _same([tuple(side.numpy() for side in batch) for batch in dataset], _epoch(twin)[first:])


def test_an_error_in_a_thread_names_the_file(noise):
    batches = _batches(noise, 36, 18)
    bad = noise.inputs[1]
    bad.write_bytes(bad.read_bytes()[:-100])
    with pytest.raises(Exception) as caught:  # noqa: PT011  every backend wraps it in one of its own
        _record(batches, 1)
    assert isinstance(batches.error, DpxError), caught.value
    assert str(bad) in str(batches.error)
    assert "cut short" in str(batches.error)


# -- sets of several kinds -------------------------------------------------------------------------------------------


def _mixed(folder, sizes, bits=(10,), seed=0):
    """Pairs of noise at 2 x 2, whose targets have those sizes; of whites in turn, in subfolders."""
    rng = np.random.default_rng(seed)
    for number, (height, width) in enumerate(sizes):
        for side, size in (("Alpha", (height // 2, width // 2)), ("Beta", (height, width))):
            path = folder / side / f"shot{number % 3}" / f"f{number}.dpx"
            path.parent.mkdir(parents=True, exist_ok=True)
            depth = bits[number % len(bits)]
            frame = rng.random((*size, 3), np.float32)
            if depth < 32:
                frame = (frame * (2**depth - 1)).astype(np.uint16)
            fastup.write(path, frame, fastup.Header.new(*size[::-1], bits=depth))
    return find_pairs(folder)


SEVERAL = [(48, 60), (48, 60), (40, 96), (60, 48), (20, 80), (72, 72), (48, 60), (40, 96)]  # one lower than a tile


@pytest.mark.parametrize("jitter", [True, False])
@pytest.mark.parametrize("quality", [1, 0.3])
@pytest.mark.parametrize("bits", [(10,), (8, 10, 16, 32)])
@pytest.mark.parametrize("edges", [0, 4])
def test_frames_of_several_kinds(tmp_path, bits, quality, jitter, edges):
    """Every tile is cut from its own frame, those of the twin's choice, each once an epoch."""
    pairs = _mixed(tmp_path, SEVERAL, bits)
    assert len(pairs.kinds) >= 5
    index = tile_index(pairs, 24, jitter, quality, edges=edges)
    batches = _batches(pairs, 24, 4, jitter, index=index, batch=1, seed=3)
    expected = set()
    for number, path in enumerate(pairs.targets):
        picture = fastup.read(path, "float32" if pairs.kind(number).target_white is None else "uint16")
        height, width = picture.shape[:2]
        origins = naive.tile_origins(height, width, 24, 24, jitter)
        chosen = naive.tiles_inside(origins, height, width, 24, edges)
        if quality < 1 and chosen:
            scores = naive.tile_detail(picture, [origins[n] for n in chosen], 24, 24)
            chosen = sorted(chosen[k] for k in naive.tile_rank(scores, int(np.ceil(quality * len(chosen)))))
        assert list(index.of(number)) == chosen
        expected |= {(number, tile) for tile in chosen}
    assert index.size == len(expected) == len(batches)
    seen = [_chosen(batches, number)[0] for number in range(len(batches))]
    assert set(seen) == expected
    for (frame, tile), (inputs, targets) in zip(seen, _epoch(batches), strict=True):
        white = pairs.kind(frame).target_white
        dtype = "uint16" if bits == (10,) else "float32"
        assert inputs.dtype == targets.dtype == dtype
        for paths, ours, side, border in ((pairs.inputs, inputs, 12, 2), (pairs.targets, targets, 24, 0)):
            picture = fastup.read(paths[frame], dtype)
            corner = naive.tile_origins(*picture.shape[:2], side, side, jitter)[tile]
            twin = naive.tile_cut(picture, [corner], side, side, border, border, "edge")
            np.testing.assert_array_equal(ours, twin)
            assert white is None or picture.max() <= (white if dtype == "uint16" else 1)


def test_a_set_of_one_kind_has_the_batches_that_it_had(noise):
    """By the rule of 0.9, when an index was a table of frames and tiles, so that runs of then go on."""
    index = tile_index(noise, 36, True, 1)
    table = np.stack([index.of(number) for number in range(3)])
    corners = np.array(naive.tile_origins(90, 80, 36, 36, True))
    inputs = [fastup.read(path) for path in noise.inputs]
    targets = [fastup.read(path) for path in noise.targets]
    batches = _batches(noise, 36, 0, seed=11, batch=3, skip=1, augment=True)
    for epoch in range(2):
        order = np.arange(table.size, dtype=np.uint32)
        np.random.default_rng([11, epoch]).shuffle(order)
        order = order[::2]
        for step in range(len(order) // 3):
            batches.begin(epoch, step)
            turns = np.random.default_rng([11, epoch, step]).integers(4, size=3)
            for position, turn, ours, target in zip(order[3 * step :][:3], turns, *batches[0], strict=True):
                frame, column = divmod(int(position), table.shape[1])
                y, x = corners[table[frame, column]]
                np.testing.assert_array_equal(target, list(_ways(targets[frame][y : y + 36, x : x + 36]))[turn])
                y, x = y * 4 // 9, x // 2
                np.testing.assert_array_equal(ours, list(_ways(inputs[frame][y : y + 16, x : x + 18]))[turn])
