"""Pictures resampled by an affine transform, and what blocks say of two pictures, against their NumPy twins."""

from math import cos, radians, sin

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastup import _flow
from fastup._resample import resize
from fastup._warp import warp


def matrix(down, along, turn=0.0, y=0.0, x=0.0):
    c, s = cos(radians(turn)), sin(radians(turn))
    return np.array([[c * down, -s * along, y], [s * down, c * along, x]])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 1000), size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    made=st.tuples(st.integers(1, 12), st.integers(1, 12)), scale=st.tuples(st.floats(0.4, 3), st.floats(0.4, 3)),
    turn=st.one_of(st.just(0.0), st.floats(-3, 3)), at=st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
    channels=st.sampled_from([1, 3, 4]),
)  # fmt: skip
def test_it_is_its_twin(seed, size, made, scale, turn, at, channels):
    picture = np.random.default_rng(seed).random((*size, channels), np.float32)
    transform = matrix(*scale, turn, *at)
    np.testing.assert_allclose(warp(picture, transform, made), naive.warped(picture, transform, made), atol=3e-6)


@pytest.mark.parametrize("made", [(40, 50), (17, 50), (40, 23), (18, 25), (1, 1)])
def test_unturned_it_is_resizing(made):
    picture = np.random.default_rng(0).random((40, 50, 3), np.float32)
    scale = np.divide(picture.shape[:2], made)
    np.testing.assert_allclose(warp(picture, matrix(*scale), made), resize(picture, made), atol=3e-6)


def test_a_picture_stays_where_nothing_moves():
    picture = np.random.default_rng(1).random((20, 30, 3), np.float32)
    np.testing.assert_allclose(warp(picture, matrix(1, 1), (20, 30)), picture, atol=1e-6)
    np.testing.assert_allclose(warp(picture, matrix(1, 1, 0, 4, -3), (10, 20))[:, 3:], picture[4:14, :17], atol=1e-6)


@pytest.mark.parametrize("scale", [(0.95, 0.93), (1.06, 1.06), (0.83, 1.17)])
def test_a_turn_adds_nothing_to_the_errors_of_lanczos(scale):
    """A wave of 8 pixels a period each way is known at every place."""

    def wave(y, x):
        return 0.5 + 0.5 * np.sin(2 * np.pi * y / 8) * np.sin(2 * np.pi * x / 8)

    def worst(turn):
        transform = matrix(*scale, turn, 6, 6)
        found = warp(wave(*(np.mgrid[:90, :120] + 0.5))[:, :, None].astype(np.float32), transform, (70, 80))[:, :, 0]
        y, x = (np.tensordot(transform[k, :2], np.mgrid[:70, :80] + 0.5, 1) + transform[k, 2] for k in (0, 1))
        inside = (y > 4) & (y < 86) & (x > 4) & (x < 116)
        assert inside.mean() > 0.9
        return abs(found - wave(y, x))[inside].max()

    unturned = worst(0)
    assert unturned < 0.03
    for turn in (1, -1, 0.3):
        assert worst(turn) < unturned + 5e-4


@pytest.mark.parametrize(
    ("picture", "transform", "size", "says"),
    [
        (np.zeros((4, 4), np.float32), matrix(1, 1), (4, 4), "picture"),
        (np.zeros((4, 4, 3)), matrix(1, 1), (4, 4), "float64"),
        (np.zeros((0, 4, 3), np.float32), matrix(1, 1), (4, 4), "picture"),
        (np.zeros((4, 4, 3), np.float32), matrix(-1, 1), (4, 4), "matrix"),
        (np.zeros((4, 4, 3), np.float32), matrix(1, 1, 30), (4, 4), "matrix"),
        (np.zeros((4, 4, 3), np.float32), matrix(1, np.nan), (4, 4), "matrix"),
        (np.zeros((4, 4, 3), np.float32), matrix(1, 1), (0, 4), "size"),
    ],
)
def test_what_cannot_be_is_refused(picture, transform, size, says):
    with pytest.raises(ValueError, match=says):
        warp(picture, transform, size)


@settings(max_examples=10, deadline=None)
@given(size=st.tuples(st.integers(1, 20), st.integers(1, 20)), block=st.integers(1, 9), seed=st.integers(0, 99))
def test_sums_of_blocks_are_their_twin(size, block, seed):
    one, other = np.random.default_rng(seed).random((2, *size), np.float32)
    np.testing.assert_allclose(_flow.sums(one, other, block), naive.flow_sums(one, other, block), atol=1e-4)


def test_sums_refuse_what_differs():
    with pytest.raises(ValueError, match="float32"):
        _flow.sums(np.zeros((4, 4), np.float32), np.zeros((4, 5), np.float32), 2)
    with pytest.raises(ValueError, match="block"):
        _flow.sums(np.zeros((4, 4), np.float32), np.zeros((4, 4), np.float32), 0)
