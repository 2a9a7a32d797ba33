"""PSNR and SSIM: exact values, the naive twins, the rules they keep."""

import math

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastup._resample import gaussian
from fastup.upscale.metrics import Parts, flicker, mean_psnr, psnr, psnr_y, ssim_y, still


def _pair(shape, seed=0, noise=0.05):
    rng = np.random.default_rng(seed)
    picture = np.cumsum(rng.normal(size=shape), axis=1)
    picture = (picture - picture.min()) / np.ptp(picture)
    return picture.astype(np.float32), (picture + rng.normal(size=shape) * noise).astype(np.float32)


def test_psnr_known_values():
    a = np.zeros((4, 5, 3), np.float32)
    assert psnr(a, a + np.float32(0.5)) == pytest.approx(20 * math.log10(2), abs=1e-12)
    assert psnr(a, a + 0.1) == pytest.approx(20, abs=1e-6)
    a[0, 0, 0] = 1  # one value of sixty is wrong by white
    assert psnr(a, np.zeros_like(a)) == pytest.approx(10 * math.log10(60), abs=1e-12)


def test_psnr_of_code_values_does_not_wrap():
    a, b = np.full((2, 2, 3), 3, np.uint16), np.full((2, 2, 3), 4, np.uint16)
    assert psnr(a, b, peak=1023) == psnr(b, a, peak=1023) == pytest.approx(20 * math.log10(1023), abs=1e-12)


def test_equal_pictures():
    a, _ = _pair((20, 20, 3))
    assert psnr(a, a) == psnr_y(a, a, 2) == math.inf
    assert ssim_y(a, a, 2) == 1
    assert all(type(value) is float for value in (psnr(a, a), psnr(a, a + 1), psnr_y(a, a + 1, 0), ssim_y(a, a, 0)))


@given(st.lists(st.just(0.0) | st.floats(1e-100, 1), min_size=1, max_size=6))
def test_mean_psnr_is_that_of_the_pictures_as_one(errors):
    a = np.zeros((len(errors), 2, 3, 3))
    b = a + np.array(errors)[:, None, None, None]
    single = [psnr(*pair) for pair in zip(a, b, strict=True)]
    assert mean_psnr(single) == pytest.approx(psnr(a, b), rel=1e-12)
    assert type(mean_psnr(single)) is float


def test_psnr_y_known_value():
    # Grey that is off by d is off by 219 d in Y; red alone by 65.481 d.
    a = np.zeros((9, 9, 3))
    assert psnr_y(a, a + 0.1, 1) == pytest.approx(20 * math.log10(255 / 21.9), abs=1e-9)
    assert psnr_y(a, a + np.array([0.1, 0, 0]), 0) == pytest.approx(20 * math.log10(255 / 6.5481), abs=1e-9)


@given(seed=st.integers(0, 999), crop=st.integers(0, 5), noise=st.floats(1e-4, 1))
@settings(deadline=None, max_examples=30)
def test_psnr_y_equals_naive(seed, crop, noise):
    a, b = _pair((13, 17, 3), seed, noise)
    difference = (naive.luma(a) - naive.luma(b))[crop : 13 - crop, crop : 17 - crop]
    assert psnr_y(a, b, crop) == pytest.approx(10 * math.log10(255**2 / np.mean(difference**2)), abs=1e-9)
    assert psnr_y(a, b, crop) == psnr_y(b, a, crop)


@pytest.mark.parametrize(("shape", "crop"), [((15, 17, 3), 2), ((32, 29, 3), 0), ((31, 40, 3), 4)])
def test_ssim_y_equals_naive(shape, crop):
    a, b = _pair(shape, seed=8)
    inside = np.s_[crop : shape[0] - crop, crop : shape[1] - crop]
    expected = naive.ssim(naive.luma(a)[inside], naive.luma(b)[inside])
    assert 0.2 < expected < 0.99
    assert ssim_y(a, b, crop) == pytest.approx(expected, abs=1e-10)


def test_rim_is_left_out():
    a, b = _pair((24, 24, 3), seed=9)
    spoiled = b.copy()
    spoiled[:3], spoiled[-3:], spoiled[:, :3], spoiled[:, -3:] = 9, 9, 9, 9
    assert psnr_y(a, spoiled, 3) == psnr_y(a, b, 3)
    assert ssim_y(a, spoiled, 3) == ssim_y(a, b, 3)
    assert psnr_y(a, spoiled, 2) < psnr_y(a, b, 2)


@pytest.mark.parametrize("metric", [psnr, lambda a, b: psnr_y(a, b, 0), lambda a, b: ssim_y(a, b, 0)])
def test_shapes_must_agree(metric):
    # (12, 12, 1) would broadcast.
    with pytest.raises(ValueError, match=r"shapes differ: \(12, 12, 3\) and \(12, 12, 1\)"):
        metric(np.zeros((12, 12, 3)), np.zeros((12, 12, 1)))


def test_pictures_too_small_or_not_rgb():
    with pytest.raises(ValueError, match="empty"):
        psnr(np.zeros((0, 4, 3)), np.zeros((0, 4, 3)))
    small = np.zeros((12, 12, 3))
    with pytest.raises(ValueError, match="crop is 6"):
        psnr_y(small, small, 6)
    with pytest.raises(ValueError, match="crop is -1"):
        psnr_y(small, small, -1)
    with pytest.raises(ValueError, match="10 x 10 pixels are left"):
        ssim_y(small, small, 1)
    with pytest.raises(ValueError, match=r"expected \(height, width, 3\)"):
        psnr_y(small[..., 0], small[..., 0], 0)


# -- lines, flats and halos --------------------------------------------------------------------------------------------


def _blurred(picture, sigma):
    return gaussian(gaussian(picture, sigma).swapaxes(0, 1), sigma).swapaxes(0, 1)


def _drawing(height=120, width=150):
    """A cel: two fills, a dark line around a disc, a stripe; drawn four times as large, so edges are soft."""
    y, x = np.mgrid[: 4 * height, : 4 * width] / 4
    distance = np.hypot(y - height / 2, x - width / 2)
    picture = np.where(distance[..., None] < height / 3, [0.8, 0.6, 0.5], [0.4, 0.5, 0.7])
    picture[abs(distance - height / 3) < 1.5] = 0.05
    picture[abs(y - 0.2 * x - 5) < 2] = 0.9
    return picture.reshape(height, 4, width, 4, 3).mean((1, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def drawing():
    target = _drawing()
    return target, Parts(target, 6)


def _peaked(target, strength, sigma=2.0):
    return target + np.float32(strength) * (target - gaussian(target, sigma))


@pytest.mark.parametrize("reach", [6, 7])
def test_parts_and_halos_equal_naive(reach):
    """Of an odd size, and noisy, so that thresholds are met anywhere."""
    rng = np.random.default_rng(2)
    target = (_drawing(41, 55) + 0.01 * rng.standard_normal((41, 55, 3))).clip(0, 1)
    picture = _peaked(target, 0.4) + 0.02 * rng.standard_normal(target.shape)
    parts = Parts(target, reach)
    lines, flats = naive.parts(target)
    np.testing.assert_array_equal(parts.lines, lines)
    np.testing.assert_array_equal(parts.flats, flats)
    assert 0.05 < lines.mean() < 0.6
    assert 0.05 < flats.mean() < 0.6
    assert parts.halo(picture) == pytest.approx(naive.halo(picture, target, reach), rel=1e-4)
    expected = [-10 * math.log10(np.mean((picture - target)[mask] ** 2)) for mask in (np.True_, lines, flats)]
    assert parts.psnr(picture) == pytest.approx(expected)
    assert parts.psnr(picture)[0] == pytest.approx(psnr(picture, target))


def test_parts_of_a_line_by_hand():
    """One dark column in a flat: lines go three columns to either side, flats begin nine off."""
    target = np.full((30, 40, 3), 0.5, np.float32)
    target[:, 20] = 0.2
    parts = Parts(target, 6)
    assert [*np.flatnonzero(parts.lines[0])] == list(range(17, 24))
    assert [*np.flatnonzero(~parts.flats[0])] == list(range(11, 30))
    rim = target.copy()
    rim[:, [19, 21]] += 4 / 1023  # of the six columns on either side two, four codes each
    assert parts.halo(rim) == pytest.approx(4 * 2 / 12, rel=1e-3)
    assert parts.halo(target + np.float32(0.1)) == pytest.approx(0, abs=1e-3)  # a brighter picture is no halo
    rim[:, [19, 21]] = 0.5 - 4 / 1023
    assert parts.halo(rim) == 0


def test_parts_that_a_target_does_not_have():
    flat = np.full((20, 20, 3), 0.5, np.float32)
    parts = Parts(flat, 6)
    assert parts.psnr(flat + np.float32(0.1)) == pytest.approx((20, None, 20))
    assert parts.psnr(flat) == (math.inf, None, math.inf)
    assert parts.halo(flat) is None
    busy = np.indices((20, 20)).sum(0)[..., None] % 2 * np.ones(3)
    assert Parts(busy, 6).psnr(1 - busy) == (0, 0, None)
    assert Parts(busy, 6).halo(busy) == 0


def test_halos_of_equal_pictures_are_none(drawing):
    target, parts = drawing
    assert parts.halo(target) == 0
    assert type(parts.halo(target)) is float


def test_halos_grow_with_the_peaking(drawing):
    target, parts = drawing
    found = [parts.halo(_peaked(target, strength)) for strength in (0.1, 0.25, 0.5, 1)]
    np.testing.assert_allclose(found, np.multiply([0.1, 0.25, 0.5, 1], found[-1]), rtol=1e-3)
    assert found[-1] > 20
    wide = [parts.halo(_peaked(target, 0.5, sigma)) for sigma in (1, 2, 3)]
    assert wide == sorted(wide)
    soft = [parts.halo(_blurred(_peaked(target, strength), 1)) for strength in (0, 0.25, 0.5, 1)]
    assert soft == sorted(soft)
    assert soft[1] > 10 * soft[0]


def test_halos_are_nearly_blind_to_noise_and_to_blur(drawing):
    target, parts = drawing
    little = parts.halo(_peaked(target, 0.1))
    rng = np.random.default_rng(0)
    noise = np.float32(0.006) * rng.standard_normal(target.shape, np.float32)
    assert 0 < parts.halo(target + noise) < little / 5
    for sigma in (0.5, 1, 2, 3):
        assert parts.halo(_blurred(target, sigma)) < little / 20


# -- flicker -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(41, 55), (18, 28)])
def test_stillness_and_flicker_equal_naive(size):
    rng = np.random.default_rng(3)
    before = _drawing(41, 55)
    target = before + np.float32(0.006) * rng.standard_normal(before.shape, np.float32)
    target[:9, 30:] += 0.02
    target[30:, :6, 2] += 0.02  # in blue alone
    found = still(target, before)
    np.testing.assert_array_equal(found, naive.still(target, before))
    assert 0.2 < found.mean() < 0.8
    one, other = rng.random((2, *size, 3), np.float32)
    assert flicker(one, other, found) == pytest.approx(naive.flicker(one, other, found))


def test_grain_is_no_change_and_a_line_that_moves_by_a_pixel_is():
    target = _drawing()
    rng = np.random.default_rng(0)
    grain = [target + np.float32(0.006) * rng.standard_normal(target.shape, np.float32) for _ in range(2)]
    assert still(*grain).mean() > 0.999
    moved = ~still(np.roll(target, 1, 1), target)
    step = np.abs(np.roll(target, 1, 1) - target).max(2) > 0.1
    assert moved[step].all()
    assert moved.mean() < 0.7


def test_flicker_of_noise_is_what_noise_is():
    """The mean difference of two of a normal distribution is 2 / sqrt(pi) of its deviation."""
    rng = np.random.default_rng(1)
    one, other = 0.5 + np.float32(0.02) * rng.standard_normal((2, 200, 200, 3), np.float32)
    everywhere = np.ones((90, 100), bool)
    assert flicker(one, other, everywhere) == pytest.approx(1023 * 0.02 * 2 / math.sqrt(math.pi), rel=0.01)
    assert flicker(one, one, everywhere) == 0
    assert type(flicker(one, one, everywhere)) is float


def test_where_next_to_nothing_is_still_flicker_says_nothing():
    picture, place = np.zeros((40, 40, 3), np.float32), np.zeros((40, 40), bool)
    assert flicker(picture, picture, place) is None
    place[:4, :3] = True  # 12 of 1600
    assert flicker(picture, picture, place) is None
    place[:4, :4] = True
    assert flicker(picture, picture, place) == 0
    with pytest.raises(ValueError, match="differ"):
        still(picture, picture[1:])
