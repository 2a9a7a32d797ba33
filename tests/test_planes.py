"""The kernels between frames and engines give what their twins give in any layout, and find what is no number."""

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastup import _planes


def _laid_out(picture, planes):
    return np.ascontiguousarray(picture.transpose(2, 0, 1) if planes else picture)


def _views(frame):
    """The same picture in memory of several kinds."""
    wide = np.pad(frame, ((2, 1), (3, 4), (0, 0)), mode="edge")
    still = frame.copy()
    still.flags.writeable = False
    return frame, wide[2:-1, 3:-4], still, np.asfortranarray(frame), frame[::-1, ::-1].copy()[::-1, ::-1]


@pytest.mark.parametrize("planes", [True, False])
@pytest.mark.parametrize("white", [255, 1023, 4095, 65535])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1), (13, 37)])
def test_codes_become_floats(planes, white, size):
    frame = np.random.default_rng(white).integers(0, white + 1, (*size, 3), np.uint16)
    for view in _views(frame):
        floats, largest = _planes.floats_of(view, white, planes)
        assert (floats.dtype, floats.flags.c_contiguous, largest) == (np.float32, True, frame.max())
        np.testing.assert_array_equal(floats, _laid_out(naive.dpx_as(frame, white.bit_length(), "float32"), planes))


@pytest.mark.parametrize("planes", [True, False])
def test_floats_are_copied_as_they_are(planes):
    frame = np.random.default_rng(0).normal(0, 1e30, (13, 37, 3)).astype(np.float32)
    frame[0, 0] = np.finfo(np.float32).max, -np.finfo(np.float32).max, 5e-45
    for view in _views(frame):
        floats, bad = _planes.floats_of(view, None, planes)
        assert (floats.dtype, floats.flags.c_contiguous, bad) == (np.float32, True, 0)
        np.testing.assert_array_equal(floats, _laid_out(frame, planes))
        assert not np.shares_memory(floats, view)


@pytest.mark.parametrize("planes", [True, False])
@pytest.mark.parametrize("at", [(0, 0, 0), (12, 36, 2), (5, 4, 1)])
def test_what_is_no_number_is_found(planes, at):
    for value in (np.nan, np.inf, -np.inf):
        frame = np.full((13, 37, 3), 0.5, np.float32)
        frame[at] = value
        assert _planes.floats_of(frame, None, planes)[1] == 1
        result = _laid_out(frame, planes)
        nan = int(np.isnan(value))
        assert _planes.codes_of(result, 1023, planes)[1] == _planes.clipped(result, planes)[1] == nan
    assert _planes.floats_of(np.full((13, 37, 3), np.nan, np.float32), None, planes)[1] == 13 * 37 * 3


SHARP = [0.0, -0.0, 1.0, -1.0, 2.0, np.inf, -np.inf, 1e-45, np.nextafter(np.float32(1), 2, dtype=np.float32)]


@pytest.mark.parametrize("planes", [True, False])
@pytest.mark.parametrize("white", [255, 1023, 4095, 65535])
@given(seed=st.integers(0, 2**32 - 1), height=st.integers(1, 9), width=st.integers(1, 40))
@settings(deadline=None, max_examples=25)
def test_results_become_frames(planes, white, seed, height, width):
    """Values at and beside every half between two codes, outside of 0..1, and tiny ones."""
    rng = np.random.default_rng(seed)
    halves = ((rng.integers(0, white, (height, width, 3)) + 0.5) / white).astype(np.float32)
    picture = np.nextafter(halves, rng.choice(np.float32([-1, 2]), halves.shape))
    picture[rng.random(halves.shape) < 0.3] = 0
    picture += halves * (picture == 0) * rng.choice(np.float32([0, 1, -1, 1e9]), halves.shape)
    mask = rng.random(halves.shape) < 0.1
    picture[mask] = rng.choice(np.float32(SHARP), int(mask.sum()))
    result = _laid_out(picture, planes)
    codes, nans = _planes.codes_of(result, white, planes)
    assert (codes.dtype, codes.flags.c_contiguous, nans) == (np.uint16, True, 0)
    np.testing.assert_array_equal(codes, naive.codes(picture, white))
    floats, nans = _planes.clipped(result, planes)
    assert (floats.dtype, floats.flags.c_contiguous, nans) == (np.float32, True, 0)
    np.testing.assert_array_equal(floats, np.clip(picture, 0, 1))
    assert not np.shares_memory(floats, result)
