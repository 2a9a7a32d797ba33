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


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32), height=st.integers(1, 9), width=st.integers(1, 11),
    bits=st.integers(8, 16), white=st.sampled_from([255, 1023, 4095, 65535]),
    subsampling=st.sampled_from(sorted(_ycbcr.SUBSAMPLING)), siting=st.sampled_from(sorted(naive.CHROMA_SITINGS)),
    matrix=st.sampled_from(sorted(naive.LUMA_SHARES)), full=st.booleans(), extreme=st.booleans(),
)  # fmt: skip
def test_planes_are_the_exact_value_rounded(
    seed, height, width, bits, white, subsampling, siting, matrix, full, extreme
):
    random = np.random.default_rng(seed)
    frame = random.choice([0, white], (height, width, 3)) if extreme else random.integers(
        0, white + 1, (height, width, 3)
    )  # fmt: skip
    frame = frame.astype(np.uint16)
    found = _ycbcr.planes(frame, white, bits, matrix=matrix, subsampling=subsampling, siting=siting, full=full)
    exact = naive.planes_of_rgb(frame, white, bits, matrix, _ycbcr.SUBSAMPLING[subsampling], siting, full)
    for plane, wanted in zip(found, exact, strict=True):
        assert plane.dtype == (np.uint8 if bits == 8 else np.uint16)
        np.testing.assert_array_equal(plane, naive.nearest_codes(wanted, 2**bits - 1))
        if not full:  # none of those that are kept for timing
            assert plane.min() >= 16 << (bits - 8)
            assert plane.max() <= 240 << (bits - 8)


@pytest.mark.parametrize("subsampling", sorted(_ycbcr.SUBSAMPLING))
@pytest.mark.parametrize("siting", sorted(naive.CHROMA_SITINGS))
def test_planes_of_every_size_modulo_four(subsampling, siting):
    for height in range(1, 9):
        for width in range(1, 9):
            frame = noise(height * 9 + width, 10, (height, width, 3))[0]
            found = _ycbcr.planes(frame, 1023, 10, matrix="709", subsampling=subsampling, siting=siting)
            exact = naive.planes_of_rgb(frame, 1023, 10, "709", _ycbcr.SUBSAMPLING[subsampling], siting)
            for plane, wanted in zip(found, exact, strict=True):
                np.testing.assert_array_equal(plane, naive.nearest_codes(wanted))


@pytest.mark.parametrize(("full", "matrix"), [(True, "2020"), (False, "2020"), (True, "FCC"), (False, "709")])
def test_halves_of_planes_are_rounded_up(full, matrix):
    """Whole numbers, over a million colours; and where values are nearest to halves: 16-bit codes to 8..16 bits."""
    kr, kb = naive.LUMA_SHARES[matrix]
    unit = np.lcm.reduce([share.denominator for share in (kr, kb)])
    kr, kb = int(kr * unit), int(kb * unit)
    halves = 0
    for bits, white in ((8, 255), (10, 1023), (15, 65535), (16, 65535), (16, 4095)):
        frame = np.random.default_rng(bits).integers(0, white + 1, (512, 512, 3)).astype(np.uint16)
        found = _ycbcr.planes(frame, white, bits, matrix=matrix, subsampling="4:2:0", siting="topleft", full=full)
        scale = 1 << (bits - 8)
        black, span, chroma = (0, *2 * (2**bits - 1,)) if full else (16 * scale, 219 * scale, 224 * scale)
        red, green, blue = np.moveaxis(frame.astype(np.int64), 2, 0)
        y = kr * red + (unit - kr - kb) * green + kb * blue
        halves += np.count_nonzero(2 * y * span % (2 * unit * white) == unit * white)
        np.testing.assert_array_equal(found[0], (2 * y * span + unit * white) // (2 * unit * white) + black)
        for plane, part, share in ((found[1], blue, kb), (found[2], red, kr)):
            wide = np.pad(unit * part - y, 1, mode="edge")
            wide = wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]
            filtered = (wide[:-2] + 2 * wide[1:-1] + wide[2:])[::2, ::2]
            whole = 32 * (unit - share) * white
            codes = (2 * filtered * chroma + whole) // (2 * whole) + (1 << (bits - 1))
            np.testing.assert_array_equal(plane, np.minimum(codes, 2**bits - 1))
            halves += np.count_nonzero(2 * filtered * chroma % (2 * whole) == whole)
    assert halves > 0  # there are some


def test_planes_of_black_white_and_primaries():
    """ITU-R BT.709 and BT.601 at 10 and 8 bits: colour bars of 100 %."""
    bars = [(1, 1, 1), (1, 1, 0), (0, 1, 1), (0, 1, 0), (1, 0, 1), (1, 0, 0), (0, 0, 1), (0, 0, 0)]
    for matrix, bits, codes in (
        ("709", 10, [(940, 512, 512), (877, 64, 553), (754, 615, 64), (691, 167, 105), (313, 857, 919), (250, 409, 960),
                     (127, 960, 471), (64, 512, 512)]),
        ("601", 8, [(235, 128, 128), (210, 16, 146), (170, 166, 16), (145, 54, 34), (106, 202, 222), (81, 90, 240),
                    (41, 240, 110), (16, 128, 128)]),
    ):  # fmt: skip
        for frame, white in ((np.array([bars], np.uint16) * 1023, 1023), (np.array([bars], np.float32), 1)):
            found = _ycbcr.planes(frame, white, bits, matrix=matrix, subsampling="4:4:4")
            assert np.stack(found, 2)[0].tolist() == [list(code) for code in codes]


@pytest.mark.parametrize("matrix", sorted(naive.LUMA_SHARES))
@pytest.mark.parametrize("full", [True, False])
def test_there_and_back(matrix, full):
    """Codes of 12 bits hold all 10-bit colours; greys, and flat colours at any subsampling, come back as well."""
    frame = noise(1, 10, (40, 60, 3))[0]
    made = _ycbcr.planes(frame, 1023, 12, matrix=matrix, subsampling="4:4:4", full=full)
    np.testing.assert_array_equal(_ycbcr.rgb(made, 12, matrix=matrix, full=full), frame)
    grey = np.repeat(np.arange(1024, dtype=np.uint16), 9).reshape(32, 96, 3)
    luma, *chroma = _ycbcr.planes(grey, 1023, 10, matrix=matrix, subsampling="4:4:4", full=full)
    assert all((plane == 512).all() for plane in chroma)
    assert np.abs(_ycbcr.rgb((luma, *chroma), 10, matrix=matrix, full=full).astype(int) - grey).max() <= (not full)
    for subsampling in _ycbcr.SUBSAMPLING:
        for siting in _ycbcr.SITINGS:
            flat = np.broadcast_to(np.uint16([1000, 3, 444]), (7, 9, 3))
            made = _ycbcr.planes(flat, 1023, 12, matrix=matrix, subsampling=subsampling, siting=siting, full=full)
            np.testing.assert_array_equal(_ycbcr.rgb(made, 12, matrix=matrix, siting=siting, full=full), flat)


def test_planes_of_floats_are_clipped_and_exact():
    codes = noise(3, 10, (9, 11, 3))[0]
    frame = (codes / np.float32(1023)).astype(np.float32)
    frame[0, 0], frame[0, 1], frame[5, 5] = (-0.5, 1.5, 0.25), (np.inf, -np.inf, 1), -0.0
    found = _ycbcr.planes(frame, 1023, 10, matrix="709")
    exact = naive.planes_of_rgb(np.clip(frame, 0, 1), 1, 10, "709")
    for plane, wanted in zip(found, exact, strict=True):
        np.testing.assert_array_equal(plane, naive.nearest_codes(wanted))


def test_frames_that_are_none_of_codes_or_numbers_are_refused():
    frame = np.zeros((4, 4, 3), np.uint16)
    for wrong in (frame[..., :2], frame[0], frame.astype(np.uint8), frame.astype(np.float64), frame[:0]):
        with pytest.raises(ValueError, match="the frame is"):
            _ycbcr.planes(wrong, 1023, 10, matrix="709")
    frame[3, 3, 2] = 1024
    with pytest.raises(ValueError, match="the frame holds 1024, expected codes of 0 to 1023"):
        _ycbcr.planes(frame, 1023, 10, matrix="709")
    floats = np.zeros((4, 4, 3), np.float32)
    floats[3, 3, 2] = np.nan
    with pytest.raises(ValueError, match="the frame holds nan, expected numbers"):
        _ycbcr.planes(floats, 1023, 10, matrix="709")


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2"])
@pytest.mark.parametrize("white", [255, 1023, 4095, 65535])
def test_planes_of_codes_in_the_range_of_video(bits, subsampling, white):
    """What lies beyond black and white stays there, as far as there are codes; and comes back through `rgb`."""
    (frame,) = noise(11, white.bit_length(), (6, 8, 3))
    frame = frame.astype(np.uint16)
    frame[0, :2] = [[white, 0, 0], [0, 0, white]]
    found = _ycbcr.planes(frame, white, bits, matrix="709", subsampling=subsampling, keep=True)
    exact = naive.planes_of_rgb(frame, white, bits, "709", _ycbcr.SUBSAMPLING[subsampling], keep=True)
    for plane, wanted in zip(found, exact, strict=True):
        np.testing.assert_array_equal(plane, naive.nearest_codes(wanted, 2**bits - 1))
    floats = (frame / np.float32(white)).astype(np.float32)
    made = _ycbcr.planes(floats, white, bits, matrix="709", subsampling=subsampling, keep=True)
    for plane, wanted in zip(made, exact, strict=True):
        assert np.abs(plane - np.clip(wanted.astype(float), 0, 2**bits - 1)).max() < 0.501
    if white != 1023:
        return
    grey = np.repeat(frame[:, :, :1], 3, axis=2)
    planes = _ycbcr.planes(grey, 1023, 10, matrix="709", keep=True)
    np.testing.assert_array_equal(_ycbcr.rgb(planes, 10, matrix="709", keep=True), grey)
    with pytest.raises(ValueError, match="keep is of frames that become limited range"):
        _ycbcr.planes(frame, 1023, 10, matrix="709", full=True, keep=True)
