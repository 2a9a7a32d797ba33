"""Batches of spans hold the very pixels of consecutive frames of a shot at one place."""

import naive
import numpy as np
import pytest

import fastup
from fastup.errors import DataError, OptionError
from fastup.footage.recipe import Recipe
from fastup.pairs.folder import find_pairs
from fastup.pairs.index import TileIndex, tile_index
from fastup.train.spans import SpanBatches

SHOTS = [(0, 7), (7, 9), (9, 10), (10, 14)]
TILE, BORDER = 36, 18


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Fourteen pairs of noise, 9/4 x 2, 40x40 to 90x80; no two tiles are alike."""
    folder = tmp_path_factory.mktemp("spans")
    rng = np.random.default_rng(0)
    for side, size in (("Alpha", (40, 40)), ("Beta", (90, 80))):
        (folder / side).mkdir()
        for number in range(SHOTS[-1][1]):
            fastup.write(folder / side / f"f{number:02}.dpx", rng.integers(0, 1024, (*size, 3), np.uint16))
    return find_pairs(folder)


def spans_of(pairs, shots=SHOTS, quality=1, jitter=True, index=None, **options):
    index = tile_index(pairs, TILE, jitter, quality) if index is None else index
    options = {"span": 3, "batch": 2, "jitter": jitter, **options}
    return SpanBatches(pairs, index, shots, tile=TILE, border=BORDER, **options)


def epoch_of(batches):
    return [batches[number] for number in range(len(batches))]


class Known:
    """Says of a tile which frame it is of, where, and how it is turned; of both sides."""

    def __init__(self, pairs):
        grids = pairs.geometry.grids(TILE, BORDER, True)
        self.found = {}
        for paths, grid in zip((pairs.inputs, pairs.targets), grids, strict=True):
            corners = naive.tile_origins(*grid.shape, *grid.tile, True)
            for frame, path in enumerate(paths):
                tiles = naive.tile_cut(fastup.read(path), corners, *grid.tile, *grid.border, "edge")
                for place, tile in enumerate(tiles):
                    for turn in (0, 1, 2, 3):
                        turned = tile[:: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]
                        self.found[np.ascontiguousarray(turned).tobytes()] = frame, place, turn

    def span(self, tiles):
        """The frames of a span, and the one place and the one turn of it."""
        frames, places, turns = zip(*(self.found[tile.tobytes()] for tile in tiles), strict=True)
        assert len({*places}) == len({*turns}) == 1
        return list(frames), places[0], turns[0]


@pytest.fixture(scope="module")
def known(noise):
    return Known(noise)


def spans_in(known, batches):
    """What each span of an epoch shows: frames of the inputs, frames of the targets, place, turn."""
    for inputs, targets in epoch_of(batches):
        for ours, theirs in zip(inputs, targets, strict=True):
            (before, *place), (frames, *other) = known.span(ours), known.span(theirs)
            assert place == other
            yield before, frames, *place


def test_frames_that_settle_have_no_targets(noise):
    whole, last = (spans_of(noise, settle=settle, augment=True)[1] for settle in (0, 2))
    np.testing.assert_array_equal(last[0], whole[0])
    np.testing.assert_array_equal(last[1], whole[1][:, 2:])


@pytest.mark.parametrize("lookahead", [0, 1])
@pytest.mark.parametrize("span", [1, 3, 8])
def test_spans_are_consecutive_frames_at_one_place(noise, known, span, lookahead):
    batches = spans_of(noise, span=span, lookahead=lookahead, augment=True, seed=span)
    inputs, targets = batches[0]
    assert inputs.shape == (2, 1 + span + lookahead, 32, 36, 3)
    assert targets.shape == (2, span, 36, 36, 3)
    assert inputs.dtype == targets.dtype == np.uint16
    seen, turns = set(), set()
    for epoch in range(6):
        batches.begin(epoch)
        for before, frames, place, turn in spans_in(known, batches):
            start, stop = next(shot for shot in SHOTS if shot[0] <= frames[0] < shot[1])
            first = frames[0]
            assert first + span <= max(stop, start + span)
            assert frames == [min(first + k, stop - 1) for k in range(span)]
            assert before == [min(max(first + k, start), stop - 1) for k in range(-1, span + lookahead)]
            seen.add((first, place))
            turns.add(turn)
    assert turns == {0, 1, 2, 3}
    # Every first frame from which a span fits, and no other.
    expected = {first for start, stop in SHOTS for first in range(start, max(stop - span, start) + 1)}
    assert {first for first, _ in seen} == expected


def test_an_epoch_has_the_spans_that_fit_one_after_the_other_at_every_place(noise, known):
    batches = spans_of(noise, batch=1)
    counts = {}
    for _, frames, place, _ in spans_in(known, batches):
        shot = next(n for n, (start, stop) in enumerate(SHOTS) if start <= frames[0] < stop)
        counts[shot, place] = counts.get((shot, place), 0) + 1
    places = batches.index.of(0)
    assert counts == {(n, p): fit for n, fit in enumerate((2, 1, 1, 1)) for p in places.tolist()}
    assert batches.size == 5 * len(places)
    assert batches.short == 2


@pytest.mark.parametrize("span", [2, 5])
def test_time_goes_back_in_half_of_the_spans(noise, known, span):
    back = 0
    batches = spans_of(noise, span=span, reverse=True, batch=1, shots=[(0, 14)])
    for before, frames, *_ in spans_in(known, batches):
        step = frames[1] - frames[0]
        assert abs(step) == 1
        assert np.ptp(np.diff(frames)) == 0
        assert before == [min(max(frames[0] + step * k, 0), 13) for k in range(-1, span + 1)]
        back += step < 0
    assert 0.2 < back / batches.size < 0.8


def test_stills_are_one_frame_again_and_again(noise, known):
    for share in (0.0, 0.4, 1.0):
        batches = spans_of(noise, stills=share, batch=1, shots=[(0, 14)])
        still = [len({*before}) == 1 for before, *_ in spans_in(known, batches)]
        assert abs(np.mean(still) - share) < (0.3 if 0 < share < 1 else 1e-9)


def test_places_are_those_that_the_frame_in_the_middle_has(noise, known):
    # Each frame has tiles of its own: by quality, of noise, about at random.
    batches = spans_of(noise, quality=0.3, batch=1)
    for _, frames, place, _ in spans_in(known, batches):
        assert place in batches.index.of(frames[1])


def test_a_run_that_goes_on_has_the_same_batches(noise):
    options = {"seed": 3, "augment": True, "reverse": True, "stills": 0.2, "skip": 1, "swap_channels": True}
    running = spans_of(noise, **options)
    straight = []
    for epoch in range(2):
        running.begin(epoch)
        straight += epoch_of(running)
    assert any((a[0] != b[0]).any() for a, b in zip(straight, straight[len(running) :], strict=False))
    for place in range(0, len(straight), 3):
        resumed = spans_of(noise, threads=3, **options)
        resumed.begin(*divmod(place, len(running)))
        for number, (inputs, targets) in enumerate(straight[place:]):
            ours = resumed[number]
            np.testing.assert_array_equal(ours[0], inputs)
            np.testing.assert_array_equal(ours[1], targets)


@pytest.mark.parametrize("recipe", [None, "tape"])
def test_shares_are_parts_of_the_batch(noise, recipe):
    recipe = recipe and Recipe.parse(recipe)
    options = {"batch": 4, "augment": True, "seed": 1, "recipe": recipe}
    pairs = noise
    whole, *parts = (spans_of(pairs, shard=shard, **options)[1] for shard in ((0, 1), (0, 2), (1, 2)))
    flat = [[*batch[0], batch[1]] if recipe else list(batch) for batch in (whole, *parts)]
    for all_of_it, *shares in zip(*flat, strict=True):
        np.testing.assert_array_equal(np.concatenate(shares), all_of_it)


def test_what_makes_inputs_is_one_tape_for_a_span_with_noise_of_its_own_for_each_frame(noise):
    recipe = Recipe.parse("tape,noise=0.005:0.02")
    (windows, inside, strengths, drawn), targets = spans_of(noise, recipe=recipe, augment=True)[0]
    assert windows.shape[:2] == inside.shape[:2] == strengths.shape[:2] == drawn.shape[:2] == (2, 5)
    assert targets.shape == (2, 3, 36, 36, 3)
    assert (inside == inside[:, :1]).all()
    assert (strengths == strengths[:, :1]).all()
    assert (strengths[0] != strengths[1]).any()
    assert len(np.unique(drawn.reshape(10, -1)[:, 0])) == 10


def test_what_cannot_be_is_refused(noise):
    for options in ({"span": 0}, {"settle": 3}, {"lookahead": 2}, {"stills": 1.5}, {"stills": float("nan")}):
        with pytest.raises(OptionError, match=f"{next(iter(options))} "):
            spans_of(noise, **options)
    none = TileIndex(np.zeros(15, np.int64), np.zeros(0, np.int32), np.zeros(14, np.int64))
    with pytest.raises(DataError, match="no shot has a tile"):
        spans_of(noise, index=none)


def test_a_frame_that_has_changed_is_named(noise, tmp_path):
    for side in ("Alpha", "Beta"):
        (tmp_path / side).mkdir()
        for path in getattr(noise, "inputs" if side == "Alpha" else "targets"):
            (tmp_path / side / path.name).write_bytes(path.read_bytes())
    batches = spans_of(find_pairs(tmp_path), batch=1, shuffle=False)
    path = tmp_path / "Beta" / "f03.dpx"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(fastup.DpxError, match=r"f03\.dpx"):
        epoch_of(batches)
