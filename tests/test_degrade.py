"""fastup.footage.degrade against a plain twin, and on pictures whose answer is known."""

from fractions import Fraction

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastup.errors import OptionError
from fastup.footage.degrade import area, degrade, gaussian


def picture(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).random((height, width, channels), dtype=np.float32)


def edge(width=40):
    return np.repeat((np.arange(width) >= width // 2).astype(np.float32)[None, :, None], 3, axis=0) * 0.5 + 0.25


@given(st.integers(1, 23), st.integers(1, 23), st.data())
def test_area_is_the_mean_of_the_covered_rectangle(height, width, data):
    size = data.draw(st.tuples(st.integers(1, height), st.integers(1, width)))
    frame = picture(height, width, 2)
    found = area(frame, size)
    assert found.dtype == np.float32
    assert found.shape == (*size, 2)
    np.testing.assert_allclose(found, naive.area(frame, size), atol=2e-6)
    assert found.mean(dtype=float) == pytest.approx(frame.mean(dtype=float), abs=1e-6)


def test_area_of_a_ramp_has_exact_weights():
    ramp = np.arange(9, dtype=np.float32).reshape(9, 1, 1)  # the first pixel covers 0, 1 and a quarter of 2
    assert area(ramp, (4, 1))[0, 0, 0] == pytest.approx(float((0 + 1 + Fraction(2, 4)) / Fraction(9, 4)))
    np.testing.assert_array_equal(area(ramp, (9, 1)), ramp)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_flat_frame_stays_flat_without_noise(value):
    found = degrade(np.full((54, 72, 3), value, np.float32), (24, 36), noise=0)
    np.testing.assert_allclose(found, value, atol=1e-6)


def test_degrade_against_the_twin_without_noise():
    frame = picture(36, 48)
    found = degrade(frame, (16, 24), softness=0.7, peaking=0.4, noise=0)
    np.testing.assert_allclose(found, naive.degrade(frame, (16, 24), 0.7, 0.4), atol=3e-6)


def test_softness_widens_an_edge_and_keeps_its_height():
    sharp, soft = (degrade(edge(), (3, 40), softness=s, peaking=0, noise=0)[1, :, 0] for s in (0, 1.5))
    assert np.count_nonzero((sharp > 0.26) & (sharp < 0.74)) == 0
    assert np.count_nonzero((soft > 0.26) & (soft < 0.74)) >= 4
    assert (np.diff(soft) >= -1e-6).all()
    assert soft[0] == pytest.approx(0.25)
    assert soft[-1] == pytest.approx(0.75)


def test_softness_leaves_the_columns_alone():
    upright = edge().transpose(1, 0, 2)
    np.testing.assert_allclose(degrade(upright, upright.shape[:2], softness=2, peaking=1, noise=0), upright, atol=1e-6)


def test_peaking_rings_on_both_sides_of_an_edge():
    ringing = degrade(edge(), (3, 40), softness=0.5, peaking=0.5, noise=0)[1, :, 0]
    assert ringing.min() < 0.24
    assert ringing.max() > 0.76
    assert ringing[0] == pytest.approx(0.25, abs=1e-6)
    assert ringing.mean() == pytest.approx(0.5, abs=1e-6)


def test_gaussian_has_the_deviation_that_was_asked():
    point = np.zeros((1, 41, 1), np.float32)
    point[0, 20] = 1
    spread, offsets = gaussian(point, 2.0)[0, :, 0], np.arange(41) - 20
    assert spread.sum() == pytest.approx(1, abs=1e-6)
    assert (spread * offsets**2).sum() ** 0.5 == pytest.approx(2, abs=0.01)


def test_noise_has_the_deviation_that_was_asked_and_follows_the_seed():
    grey = np.full((200, 300, 3), 0.5, np.float32)
    one, again, other = (degrade(grey, (200, 300), noise=0.02, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert (one - 0.5).std() == pytest.approx(0.02, rel=0.02)
    across = np.corrcoef(one[:, :-1].ravel(), one[:, 1:].ravel())[0, 1]
    down = np.corrcoef(one[:-1].ravel(), one[1:].ravel())[0, 1]
    assert 0.1 < across < 0.4
    assert abs(down) < 0.02
    assert (one[:, 0] - 0.5).std() == pytest.approx(0.02, rel=0.15)


def test_the_result_is_clipped_and_the_frame_untouched():
    frame = picture(30, 40)
    before = frame.copy()
    found = degrade(frame, (20, 30), peaking=3, noise=0.5)
    assert found.min() == 0
    assert found.max() == 1
    assert found.dtype == np.float32
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize("option", [{"softness": -1}, {"peaking": float("nan")}, {"noise": float("inf")},
                                    {"size": (31, 40)}, {"size": (0, 4)}])  # fmt: skip
def test_options_that_cannot_be_used(option):
    with pytest.raises(OptionError, match=next(iter(option))):
        degrade(picture(30, 40), **{"size": (20, 30)} | option)


def test_frames_that_are_not():
    with pytest.raises(ValueError, match="shape"):
        degrade(np.zeros((4, 4), np.float32), (2, 2))
    with pytest.raises(TypeError, match="uint16"):
        degrade(np.zeros((4, 4, 3), np.uint16), (2, 2))
