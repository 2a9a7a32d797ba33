"""Dissolves in the signatures of made-up films: found to the frame, and in nothing else that moves."""

import numpy as np
import pytest
from scipy import ndimage
from test_timeline import film, scene

from fastup.pairs import dissolves
from fastup.pairs.timeline import align

LENGTH = 12


def dissolved(one, other, length=LENGTH):
    """Scenes that overlap by so many frames, each a mix of both."""
    part = (np.arange(1, length + 1) / (length + 1))[:, None, None]
    return np.concatenate([one[:-length], one[-length:] + part * (other[:length] - one[-length:]), other[length:]])


@pytest.mark.parametrize("length", [8, 12, 30])
@pytest.mark.parametrize("hold", [1, 3])
def test_a_dissolve_is_found_to_the_frame(length, hold):
    rng = np.random.default_rng((length, hold))
    grids = dissolved(scene(rng, 60, hold), scene(rng, 60, hold), length)
    found = dissolves.find(film([grids], rng))
    mixed = np.flatnonzero(found.mixed)
    assert abs(mixed[0] - (60 - length)) <= 1
    assert abs(mixed[-1] - 59) <= 1
    assert (np.diff(mixed) == 1).all()
    (begins,) = np.flatnonzero(found.begins)
    assert abs(begins - (60 - length / 2)) <= 1


def test_a_fade_is_none_as_it_shows_one_scene():
    rng = np.random.default_rng(1)
    black = np.full((20, 36, 48), 3000.0)
    found = dissolves.find(film([dissolved(dissolved(scene(rng, 40, 2), black, 8), scene(rng, 40, 2), 8)], rng))
    assert not found.mixed.any()


@pytest.mark.parametrize("seed", range(3))
def test_cuts_pans_and_what_moves_are_none(seed):
    rng = np.random.default_rng(seed)
    wide = rng.uniform(5000, 60000, (9, 40)).repeat(4, 0).repeat(4, 1)
    pan = np.array([wide[:, at : at + 48] for at in range(100)], float)
    flashed = scene(rng, 40, 1)
    flashed[[20, 21]] += 0.7 * (60000 - flashed[[20, 21]])
    found = dissolves.find(film([scene(rng, 30, 2), pan, flashed, scene(rng, 30, 3), scene(rng, 3, 1)], rng))
    assert not found.mixed.any()
    assert not found.begins.any()
    assert not dissolves.find(film([pan[:1]], rng)).mixed.any()


def test_a_slow_pan_over_a_smooth_picture_is_none():
    """Its levels are mixes of those before and after, nearly, as those of the sky are; its edges are not."""
    rng = np.random.default_rng(2)
    wide = ndimage.gaussian_filter(rng.standard_normal((36, 300)), (9, 9))
    wide = 30000 + 9000 * wide / wide.std()
    wide += 4000 * (rng.random((12, 100)) < 0.2).repeat(3, 0).repeat(3, 1)
    pan = np.array([ndimage.shift(wide, (0, -0.9 * at), order=1, mode="nearest")[:, :48] for at in range(160)])
    assert not dissolves.find(film([pan], rng)).mixed.any()


@pytest.mark.parametrize("in_hd", [True, False])
def test_frames_of_a_dissolve_are_left_out_and_shots_begin_in_it(in_hd):
    """Where HD lacks the first scene, frames that show nearly all of the second would be taken for it."""
    rng = np.random.default_rng(5)
    one, other = scene(rng, 40, 2), scene(rng, 40, 2)
    other[:] = other[0]
    hd = dissolved(one, other) if in_hd else np.concatenate([scene(rng, 30, 2), other])
    found = align(film([dissolved(one, other)], rng), film([hd], rng))
    assert set(found.why[28:40]) == {"in a dissolve"}
    assert not any(found.why[40:])
    assert (found.partner[40:] >= 0).all()
    if in_hd:
        assert found.hd_mixed.sum() == LENGTH
        assert not any(found.why[:28])
        assert len(np.unique(found.shot)) == 2
