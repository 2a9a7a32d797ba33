"""fastup._ycbcr: exact codes, against a twin written from the definition."""

from fractions import Fraction

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from videos import SUBSAMPLED, noise

from fastup import _ycbcr


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32), height=st.integers(1, 9), width=st.integers(1, 11),
    bits=st.sampled_from([8, 10, 12, 16]), kind=st.sampled_from(sorted(SUBSAMPLED)),
    siting=st.sampled_from(sorted(naive.CHROMA_SITINGS)), matrix=st.sampled_from(sorted(naive.LUMA_SHARES)),
    interlaced=st.booleans(), full=st.booleans(), keep=st.booleans(),
)  # fmt: skip
def test_codes_are_the_exact_value_rounded(seed, height, width, bits, kind, siting, matrix, interlaced, full, keep):
    v, h = SUBSAMPLED[kind]
    small = -(-height // v), -(-width // h)
    planes = noise(seed, bits, (height, width), small, small)
    found = _ycbcr.rgb(planes, bits, matrix=matrix, siting=siting, interlaced=interlaced, full=full, keep=keep)
    exact = naive.rgb_of_planes(planes, bits, matrix, siting, interlaced, full, keep, Fraction)
    np.testing.assert_array_equal(found, naive.nearest_codes(exact))


def test_halves_are_rounded_up_over_every_luma_and_chroma():
    """R and B of 10-bit Rec.601 for each of a million pairs, G for a million triples, in whole numbers."""
    y, c = (part.astype(np.int64) for part in np.mgrid[0:1024, 0:1024])
    other = np.random.default_rng(2).integers(0, 1024, y.shape)
    found = _ycbcr.rgb([part.astype(np.uint16) for part in (y, other, c)], 10, matrix="601").astype(np.int64)
    # Over the denominator of all, 876 * 896 * 587000: luma counts 896 * 587000 times 1023, and so on.
    whole = 876 * 896 * 587000
    luma = 1023 * (y - 64) * 896 * 587000
    red = luma + 1023 * (c - 512) * 876 * 587 * 1402
    green = luma - 1023 * 876 * ((c - 512) * 419198 + (other - 512) * 202008)
    for channel, exact in ((0, red), (1, green)):
        np.testing.assert_array_equal(found[:, :, channel], np.clip((2 * exact + whole) // (2 * whole), 0, 1023))
    swapped = _ycbcr.rgb([part.astype(np.uint16) for part in (y, c, other)], 10, matrix="601").astype(np.int64)
    blue = luma + 1023 * (c - 512) * 876 * 587 * 1772
    np.testing.assert_array_equal(swapped[:, :, 2], np.clip((2 * blue + whole) // (2 * whole), 0, 1023))
    halves = [np.count_nonzero((2 * exact + whole) % (2 * whole) == 0) for exact in (red, blue)]
    assert min(halves) > 0  # there are some


@pytest.mark.parametrize("codes", [((4, 6), (4, 6), (4, 5)), ((4, 6), (3, 3), (3, 3)), ((5, 6), (5, 1), (5, 1))])
def test_planes_that_do_not_fit_each_other_are_refused(codes):
    with pytest.raises(ValueError, match="planes are"):
        _ycbcr.rgb(noise(0, 8, *codes), 8, matrix="601")


def test_planes_of_other_types_are_refused():
    planes = noise(0, 8, (4, 6), (4, 3), (4, 3))
    with pytest.raises(ValueError, match="planes are"):
        _ycbcr.rgb([plane.astype(np.float32) for plane in planes], 8, matrix="601")
    with pytest.raises(ValueError, match="planes are"):
        _ycbcr.rgb([planes[0].astype(np.uint16), *planes[1:]], 8, matrix="601")


def test_what_is_known_of_neutrals():
    """Y of 720 is 766 (swscale has 764); black, white, and what lies beyond them."""
    y = np.array([[0, 64, 720, 940, 1023]], np.uint16)
    grey = np.full((1, 3), 512, np.uint16)
    full = _ycbcr.rgb((y, grey, grey), 10, matrix="601")
    assert full[0].tolist() == [[code] * 3 for code in (0, 0, 766, 1023, 1023)]
    kept = _ycbcr.rgb((y, grey, grey), 10, matrix="709", keep=True)
    assert kept[0].tolist() == [[code] * 3 for code in (0, 64, 720, 940, 1023)]


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize(("full", "keep"), [(False, False), (False, True), (True, False), (True, True)])
def test_the_table_of_luma_is_the_exact_value_rounded(bits, full, keep):
    codes = np.unique([0, *np.random.default_rng(bits).integers(0, 1 << bits, 500), (1 << bits) - 1])
    grey = np.full((1, len(codes)), 1 << (bits - 1))
    exact = naive.rgb_of_planes([codes[None], grey, grey], bits, "709", full=full, keep=keep, number=Fraction)
    np.testing.assert_array_equal(_ycbcr.table(bits, full, keep)[codes], naive.nearest_codes(exact)[0, :, 0])
