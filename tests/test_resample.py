"""fastup._resample against plain twins, the definition and OpenImageIO."""

from fractions import Fraction

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastup._resample import gaussian, imresize, resize
from fastup._scales import phases
from fastup.errors import OptionError


def picture(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).random((height, width, channels), dtype=np.float32)


@given(st.integers(1, 23), st.integers(1, 23), st.data())
def test_area_is_the_mean_of_the_covered_rectangle(height, width, data):
    size = data.draw(st.tuples(st.integers(1, height), st.integers(1, width)))
    frame = picture(height, width, 2)
    found = resize(frame, size, "area")
    assert found.dtype == np.float32
    assert found.shape == (*size, 2)
    np.testing.assert_allclose(found, naive.area(frame, size), atol=2e-6)
    assert found.mean(dtype=float) == pytest.approx(frame.mean(dtype=float), abs=1e-6)


def test_area_of_a_ramp_has_exact_weights():
    ramp = np.arange(9, dtype=np.float32).reshape(9, 1, 1)  # the first pixel covers 0, 1 and a quarter of 2
    assert resize(ramp, (4, 1), "area")[0, 0, 0] == pytest.approx(float((0 + 1 + Fraction(2, 4)) / Fraction(9, 4)))
    np.testing.assert_array_equal(resize(ramp, (9, 1), "area"), ramp)


def test_gaussian_has_the_deviation_that_was_asked():
    point = np.zeros((1, 41, 1), np.float32)
    point[0, 20] = 1
    spread, offsets = gaussian(point, 2.0)[0, :, 0], np.arange(41) - 20
    assert spread.sum() == pytest.approx(1, abs=1e-6)
    assert (spread * offsets**2).sum() ** 0.5 == pytest.approx(2, abs=0.01)


@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from(["lanczos", "bicubic"]), st.data())
def test_resize_against_the_definition(height, width, filter, data):
    size = data.draw(st.tuples(st.integers(1, height), st.integers(1, width)))
    frame = picture(height, width, 2)
    found = resize(frame, size, filter)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, naive.resized(frame, size, filter), atol=3e-6)


def test_resize_at_the_real_size_is_exact_to_a_thousandth_of_a_code():
    frame = picture(1080, 12)
    for filter in ("lanczos", "bicubic"):
        error = np.abs(resize(frame, (480, 6), filter) - naive.resized(frame, (480, 6), filter)).max()
        assert error * 1023 < 1e-3
    error = np.abs(resize(frame, (480, 6), "area") - naive.area(frame, (480, 6))).max()
    assert error * 1023 < 1e-3


def test_lanczos_agrees_with_openimageio():
    oiio = pytest.importorskip("OpenImageIO")
    frame = picture(270, 360)
    source = oiio.ImageBuf(oiio.ImageSpec(360, 270, 3, "float"))
    source.set_pixels(oiio.ROI(), frame)
    theirs = oiio.ImageBufAlgo.resize(source, filtername="lanczos3", roi=oiio.ROI(0, 180, 0, 120, 0, 1, 0, 3))
    assert (
        np.abs(resize(frame, (120, 180)) - theirs.get_pixels("float")).max() * 1023 < 0.2
    )  # their sines are near ones


@pytest.mark.parametrize(
    ("size", "made"),
    [((8, 12), (4, 6)), ((7, 9), (4, 4)), ((9, 6), (4, 3)), ((6, 9), (4, 3)), ((9, 6), (3, 2)), ((12, 8), (3, 2)),
     ((5, 3), (1, 1)), ((3, 5), (1, 4)), ((7, 5), (7, 2)), ((4, 6), (8, 12)), ((3, 2), (9, 5)), ((2, 8), (6, 4))],
)  # fmt: skip
def test_imresize_is_matlabs_to_the_code(size, made):
    """Of odd sizes and small ones, larger, and larger along one axis alone; noise of two levels makes halves."""
    rng = np.random.default_rng(1)
    for high in (256, 2):
        codes = (rng.integers(0, high, (*size, 3)) * 255 // (high - 1)).astype(np.uint8)
        found = imresize(codes / np.float32(255), made)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, naive.matlab(codes, made) / np.float32(255))
        if made[0] <= size[0] and made[1] <= size[1]:
            np.testing.assert_array_equal(resize(codes / np.float64(255), made, "matlab"), found)


def test_bicubic_of_models_has_matlabs_weights():
    first, weights = phases(Fraction(2))
    np.testing.assert_array_equal(first, [-2, -1])
    np.testing.assert_array_equal(weights * 128, [[-3, 29, 111, -9], [-9, 111, 29, -3]])


def test_imresize_by_hand():
    """A step halved: weights -3, -9, 29, 111 and back over 256, mirrored at the ends; rows first where both shrink."""
    step = np.array([0, 0, 0, 0, 255, 255, 255, 255], np.float32)[:, np.newaxis, np.newaxis] / 255
    edge = 255 * np.array([-3 / 256, (29 - 9 - 3) / 256], np.float32)
    expected = np.floor(np.clip([edge[0], edge[1], 255 - edge[1], 255 - edge[0]], 0, 255) + 0.5)
    np.testing.assert_array_equal(imresize(step, (4, 1))[:, 0, 0] * 255, expected)
    half = np.array([[[0.0]], [[1 / 255]]])  # a mean of half a code goes up, and what lies beyond 0 to 255 is cut
    assert imresize(half, (1, 1)) * 255 == 1
    checks = np.indices((16, 16)).sum(0)[:, :, np.newaxis] % 2 * 1.0
    np.testing.assert_array_equal(imresize(checks, (8, 8))[2:-2, 2:-2] * 255, 128)


@pytest.mark.parametrize("filter", ["lanczos", "area", "bicubic"])
def test_resize_keeps_what_is_flat_and_what_has_its_size(filter):
    np.testing.assert_allclose(resize(np.full((54, 72, 3), 0.3, np.float32), (24, 31), filter), 0.3, atol=1e-6)
    frame = picture(5, 7)
    same = resize(frame, (5, 7), filter)
    np.testing.assert_array_equal(same, frame)
    assert not np.shares_memory(same, frame)


def test_resize_reads_views_and_doubles():
    wide = picture(30, 50).astype(np.float64)
    part = wide[3:27, 5:41]
    expected = resize(np.ascontiguousarray(part, np.float32), (10, 20))
    np.testing.assert_array_equal(resize(part, (10, 20)), expected)


def test_a_filter_that_there_is_not():
    with pytest.raises(OptionError, match="filter: found 'mitchell', expected one of lanczos, area, bicubic, matlab"):
        resize(picture(4, 4), (2, 2), "mitchell")
