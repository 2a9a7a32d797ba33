"""Where shots begin: in films of made-up grids whose cuts are known, and in one drawn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastup.pairs import shots
from fastup.pairs.signatures import Signatures

KINDS = ("still", "pan", "act", "flash", "fade", "black")


def painted(rng, width=48):
    """A background, wider than the picture."""
    grid = rng.uniform(5000, 60000, (9, width // 4 + 12)).repeat(4, 0).repeat(4, 1)
    for axis in (0, 1):
        grid = (np.roll(grid, 1, axis) + grid + np.roll(grid, -1, axis)) / 3
    return grid


def scene(rng, kind, frames, noise=40):
    """Grids of a scene: (frames, 36, 48) uint16."""
    ground, hold = painted(rng, 96), int(rng.integers(1, 4))
    grids = []
    for n in range(frames):
        at = n // 2 if kind == "pan" else 0
        grid = ground[:, at : at + 48].copy()
        if kind == "act":
            y, x = np.random.default_rng((frames, n // hold)).integers(0, (24, 34))
            grid[y : y + 10, x : x + 12] = 30000
        if kind == "flash" and frames // 2 <= n < frames // 2 + 2:
            grid += 65535
        if kind == "fade":
            grid *= max(0.0, 1 - n / (frames - 1))
        grids.append(np.zeros_like(grid) if kind == "black" else grid)
    return (np.array(grids) + rng.normal(0, noise, (frames, 36, 48))).clip(0, 65535).astype(np.uint16)


def film(rng, kinds, least=8):
    """Grids of a film, and the first frames of its scenes."""
    scenes = [scene(rng, kind, int(rng.integers(least, 24))) for kind in kinds]
    grids = np.concatenate(scenes)
    return grids, np.cumsum([0, *map(len, scenes[:-1])]).tolist()


def found_in(grids):
    return shots.cuts(Signatures(grids, np.arange(len(grids), dtype=np.int32))).tolist()


def marked(grids, **options):
    return [n for n, begins in shots.marked(range(len(grids)), grids.__getitem__, **options) if begins]


@pytest.mark.parametrize("seed", range(4))
def test_shots_begin_at_cuts_and_nowhere_else(seed):
    rng = np.random.default_rng(seed)
    grids, cuts = film(rng, rng.permutation(["still", "pan", "act", "flash", "still", "pan", "act", "act"]))
    assert found_in(grids) == marked(grids) == cuts


@given(seed=st.integers(0, 9999), kinds=st.lists(st.sampled_from(KINDS), max_size=5), least=st.integers(1, 5))
@settings(deadline=None, max_examples=40)
def test_a_film_that_comes_in_is_told_as_a_whole_one(seed, kinds, least):
    rng = np.random.default_rng(seed)
    grids = film(rng, kinds, least)[0] if kinds else np.empty((0, 36, 48), np.uint16)
    assert marked(grids) == found_in(grids)
    assert [n for n, _ in shots.marked(range(len(grids)), grids.__getitem__, ahead=1)] == list(range(len(grids)))


@pytest.mark.parametrize("ahead", [0, 1, 2])
def test_with_few_frames_ahead_a_flash_may_begin_a_shot_and_the_picture_after_it_none(ahead):
    rng = np.random.default_rng(3)
    before, flash, after = scene(rng, "act", 12), scene(rng, "flash", 13), scene(rng, "pan", 12)
    found = marked(np.concatenate([before, flash, after]), ahead=ahead)
    assert found in ([0, 12, 18, 25], [0, 12, 25])
    assert (18 in found) == (ahead < 2)


def test_frames_are_taken_no_earlier_than_said():
    grids, taken = film(np.random.default_rng(0), ["act"] * 2)[0], []

    def coming():
        for number in range(len(grids)):
            taken.append(number)
            yield number

    for number, _ in shots.marked(coming(), grids.__getitem__, ahead=2):
        assert taken[-1] == min(number + 2, len(grids) - 1)


def test_a_cut_near_the_first_frame_is_found():
    rng = np.random.default_rng(1)
    grids = np.concatenate([scene(rng, "still", 1), scene(rng, "act", 9), scene(rng, "still", 9)])
    assert found_in(grids) == [0, 1, 10]
