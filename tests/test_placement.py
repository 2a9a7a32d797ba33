"""Where HD lies on SD: known shifts, scales and turns are found again, over seeds; what shows none gives none."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastup._warp import warp as resample
from fastup.codes import LUMA_601
from fastup.errors import DataError
from fastup.footage.degrade import degrade
from fastup.pairs.alignment import LIKENESS
from fastup.pairs.placement import Placement, common, common_window, covers, exact_scale, place, refine, warp

SD, HD = (180, 240), (405, 480)  # as 720x480 and 1440x1080
CORNERS = np.array([(0, 0), (0, SD[1]), (SD[0], 0), SD])
SEEDS = 12


def drawing(seed, size=HD, shapes=24):
    """A drawn picture, (H, W, 3) float32: discs and boxes with outlines, antialiased."""
    rng = np.random.default_rng(seed)
    height, width = size
    result = np.full((height, width, 3), rng.uniform(0.2, 0.8, 3), np.float32)
    y, x = np.mgrid[:height, :width].astype(np.float32) + np.float32(0.5)
    for _ in range(shapes):
        (a, b), turn = rng.uniform(0.03, 0.2, 2) * height, rng.uniform(0, np.pi)
        middle, reach = rng.uniform(0, 1, 2) * size, 1.5 * max(a, b) + 4
        box = tuple(slice(int(max(m - reach, 0)), int(m + reach) + 1) for m in middle)
        down, along = y[box] - middle[0], x[box] - middle[1]
        u = (down * np.cos(turn) + along * np.sin(turn)) / a
        v = (along * np.cos(turn) - down * np.sin(turn)) / b
        out = (np.hypot(u, v) if rng.random() < 0.5 else np.maximum(abs(u), abs(v))) - 1  # beyond the rim, about
        for colour, grown in ((rng.uniform(0, 0.2, 3), 2.0), (rng.uniform(0.1, 0.9, 3), 0.0)):
            inside = np.clip(0.5 + grown - out * min(a, b), 0, 1)[:, :, None]
            result[box] += inside * (colour.astype(np.float32) - result[box])
    return result


def truth(seed, turn=1.0):
    """A placement with overscan of 2 to 6 % on each axis, and a shift."""
    rng = np.random.default_rng([seed, 1])
    fitted = Placement.fitted(SD, HD)
    scale = np.multiply(fitted.scale, 1 - rng.uniform(0.02, 0.06, 2))
    shift = rng.uniform(-0.01, 0.01, 2) * SD
    return Placement(SD, HD, tuple(shift.tolist()), tuple(scale.tolist()), float(rng.uniform(-turn, turn)))


def tape(hd, placement, seed, curves=True, **strengths):
    """The SD picture of an HD one: placed, with colours of its own, softened, peaked, noisy."""
    rng = np.random.default_rng([seed, 2])
    matrix = placement.matrix
    matrix[:, :2] /= 2
    large = np.clip(resample(hd, matrix, (2 * SD[0], 2 * SD[1])), 0, 1)
    if curves:
        gamma, gain, offset = rng.uniform(0.75, 1.3, 3), rng.uniform(0.8, 0.95, 3), rng.uniform(0, 0.05, 3)
        large = (large ** gamma.astype(np.float32) * gain + offset).astype(np.float32)
    return degrade(large, SD, seed=seed, **strengths)


def luma(picture, grain=0.0, seed=0):
    noise = np.random.default_rng([seed, 3]).normal(0, grain, picture.shape[:2]) if grain else 0
    return (picture @ LUMA_601 + noise).astype(np.float32)


def off(found, true):
    """How far corners are off, SD pixels."""
    matrices = found.matrix, true.matrix
    one, other = (CORNERS @ matrix[:, :2].T + matrix[:, 2] for matrix in matrices)
    return np.hypot(*((one - other) / true.scale).T).max()


@pytest.fixture(scope="module")
def drawn():
    return [drawing(seed) for seed in range(SEEDS)]


@pytest.mark.parametrize(
    ("noise", "grain"), [(0.006, 0.01), (0.02, 0.02)], ids=["tape", "vhs"]
)  # of SD, and of HD: 9 and 27 codes of 10 bits
def test_the_place_is_found_over_seeds(drawn, noise, grain):
    errors, corners = [], []
    for seed, hd in enumerate(drawn):
        true = truth(seed)
        found, likeness = place(luma(tape(hd, true, seed, noise=noise)), luma(hd, grain, seed))
        assert likeness > 2 * LIKENESS
        errors.append(np.subtract(found.shift, true.shift))
        corners.append(off(found, true))
    assert np.sort(corners)[-2] < 0.1
    assert abs(np.mean(errors, axis=0)).max() < 0.01  # no bias
    assert np.std(errors, axis=0).max() < 0.02


def test_weave_is_followed_from_frame_to_frame(drawn):
    errors = []
    for seed, hd in enumerate(drawn):
        true = truth(seed)
        weave = np.random.default_rng(seed).uniform(-4, 4, 2)
        moved = replace(true, shift=tuple(true.shift + weave))
        found, likeness = refine(luma(tape(hd, moved, seed)), luma(hd, 0.01, seed), true)
        assert likeness > 2 * LIKENESS
        assert (found.scale, found.rotation) == (true.scale, true.rotation)
        errors.append(np.subtract(found.shift, moved.shift))
    assert abs(np.mean(errors, axis=0)).max() < 0.01
    assert np.sort(abs(np.array(errors)).max(1))[-2] < 0.05


def test_a_negative_and_another_drawing_are_not_there(drawn):
    for seed in range(3):
        true = truth(seed)
        sd = luma(tape(drawn[seed], true, seed))
        for hd in (1 - luma(drawn[seed]), luma(drawn[seed + 1])):
            found, likeness = place(sd, hd)
            assert found is None
            assert likeness < LIKENESS
            assert refine(sd, hd, true)[0] is None


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_flat_pictures_show_no_place(noise):
    flat = np.full((*HD, 3), 0.3, np.float32)
    true = truth(0)
    found, likeness = place(luma(tape(flat, true, 0, noise=noise)), luma(flat, noise))
    assert found is None
    assert likeness < LIKENESS
    assert refine(luma(tape(flat, true, 0, noise=noise)), luma(flat, noise), true)[0] is None


def test_edges_that_run_one_way_show_no_place():
    bars = np.repeat(np.float32([0.2, 0.7, 0.4, 0.9, 0.1, 0.6]), HD[1] // 6)[np.newaxis, :, np.newaxis]
    bars = np.ascontiguousarray(np.broadcast_to(bars, (*HD, 3)))
    true = truth(3, turn=0)
    assert place(luma(tape(bars, true, 3)), luma(bars, 0.005))[0] is None
    assert refine(luma(tape(bars, true, 3)), luma(bars, 0.005), true)[0] is None


def test_a_subtitle_moves_nothing(drawn):
    for seed in range(4):
        true = truth(seed)
        sd = tape(drawn[seed], true, seed)
        rng = np.random.default_rng(seed)
        letters = (rng.random((6, 60)) < 0.5).repeat(3, 0).repeat(2, 1)
        sd[150:168, 60:180][letters] = 0.95
        found, _ = place(luma(sd), luma(drawn[seed], 0.01, seed))
        assert off(found, true) < 0.15


@pytest.mark.parametrize(("delay", "moved"), [(1, 0.08), (3, 0.15), (6, 0.04)])
def test_an_echo_on_one_side_moves_it_by_so_much(drawn, delay, moved):
    """A tenth of the picture, so many SD pixels to the right."""
    errors = []
    for seed in range(4):
        true = truth(seed)
        sd = luma(tape(drawn[seed], true, seed))
        echo = np.pad(sd, ((0, 0), (delay, 0)), "edge")[:, : SD[1]]
        found, _ = refine(((sd + 0.1 * echo) / 1.1).astype(np.float32), luma(drawn[seed], 0.01, seed), true)
        errors.append(np.subtract(found.shift, true.shift))
    assert np.mean(errors, axis=0) == pytest.approx((0, moved), abs=0.03)


def test_a_start_far_off_is_searched_from_anew(drawn):
    true = truth(1)
    sd, hd = luma(tape(drawn[1], true, 1)), luma(drawn[1])
    near = replace(true, shift=(true.shift[0] + 1.5, true.shift[1] - 2))
    far = replace(true, shift=(true.shift[0] + 40, true.shift[1] - 60))
    for start in (near, far):
        assert off(place(sd, hd, start)[0], true) < 0.1


@pytest.mark.parametrize(("noise", "least", "most"), [(0.0005, 0, 3), (0.01, 1, 7)])
def test_where_there_is_little_the_start_keeps_its_scale(noise, least, most):
    """Drawings of three shapes of little contrast: what is sure is right, and the rest has the scale of the start."""
    kept = 0
    for seed in range(8):
        hd = drawing(seed, shapes=3) * np.float32(0.15) + np.float32(0.1)
        true = truth(seed)
        found, _ = place(luma(tape(hd, true, seed, noise=noise)), luma(hd, noise, seed), true)
        if found is not None:
            kept += found.scale == true.scale
            assert off(found, true) < 0.6
            assert np.hypot(*np.subtract(found.shift, true.shift)) < 0.3
    assert least <= kept <= most


@pytest.mark.parametrize(("sd", "hd"), [((40, 60), (90, 130)), ((16, 16), (32, 32)), ((480, 720), (480, 720))])
def test_any_size_is_taken(sd, hd):
    """Whatever comes of it."""
    found, likeness = place(np.zeros(sd, np.float32), np.zeros(hd, np.float32))
    assert found is None
    assert likeness == 0
    assert refine(np.zeros(sd, np.float32), np.zeros(hd, np.float32), Placement.fitted(sd, hd))[0] is None


@settings(max_examples=12, deadline=None)
@example(seed=46861982, kinds=("dots", "dots"))  # whose error is the root of less than nothing
@given(
    seed=st.integers(0, 2**32), kinds=st.tuples(*[st.sampled_from(["noise", "ramp", "dots", "checks", "waves"])] * 2)
)
def test_whatever_is_given_is_judged(seed, kinds):
    """Pictures that lead a fit astray: an answer comes, and one that is sure is alike."""
    rng = np.random.default_rng(seed)

    def made(kind, size):
        y, x = np.mgrid[: size[0], : size[1]] / np.array(size)[:, None, None]
        return {
            "noise": lambda: rng.random(size),
            "ramp": lambda: y * rng.random() + x * rng.random(),
            "dots": lambda: (rng.random(size) < 0.001) * 1.0,
            "checks": lambda: ((y * rng.integers(2, 40)).astype(int) + (x * rng.integers(2, 40)).astype(int)) % 2 * 0.9,
            "waves": lambda: 0.5 + 0.5 * np.sin(rng.uniform(1, 90) * y + rng.uniform(1, 90) * x),
        }[kind]().astype(np.float32)

    sd, hd = made(kinds[0], (60, 90)), made(kinds[1], (135, 180))
    for found, likeness in (place(sd, hd), refine(sd, hd, Placement.fitted(sd.shape, hd.shape))):
        assert found is None or likeness >= LIKENESS
        assert -1 <= likeness <= 1


def test_what_is_no_pair_is_refused():
    large, small = np.zeros((40, 60), np.float32), np.zeros((20, 30), np.float32)
    with pytest.raises(DataError, match=r"30x20, smaller than the SD picture of 60x40"):
        place(large, small)
    with pytest.raises(DataError, match="SD picture: found NaN"):
        place(np.full((20, 30), np.nan, np.float32), large)
    with pytest.raises(ValueError, match="float64"):
        place(small.astype(float), large)
    with pytest.raises(ValueError, match="hd"):
        refine(small, large[:, :, np.newaxis], Placement.fitted((20, 30), (40, 60)))


# -- a shot ----------------------------------------------------------------------------------------------------------


def test_what_frames_have_in_common_is_the_median():
    """One frame that was taken for another, and one that was not found, move nothing."""
    frames = [Placement((480, 720), (1080, 1440), (k / 10, -k / 20), (2.2, 1.95 + k / 1000), 0.3) for k in range(4)]
    wrong = Placement((480, 720), (1080, 1440), (9.0, 9.0), (2.4, 2.1), -1.0)
    found = common([*((one, 0.9) for one in frames), (wrong, 0.4), (None, 0.1)])
    np.testing.assert_allclose(found.shift, (0.2, -0.05))
    np.testing.assert_allclose(found.scale, (2.2, 1.952))
    assert found.rotation == 0.3
    assert common([(None, 0.1)]) is None


# -- targets ---------------------------------------------------------------------------------------------------------

overscanned = st.builds(
    lambda shift, scale, turn: Placement((480, 720), (1080, 1440), shift, scale, turn),
    st.tuples(st.floats(-9, 9), st.floats(-9, 9)), st.tuples(st.floats(1.0, 2.4), st.floats(1.0, 2.1)),
    st.floats(-1, 1),
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(placement=overscanned)
def test_targets_are_simple_near_and_covered(placement):
    scale = exact_scale(placement)
    for fraction, own in zip(scale, placement.scale, strict=True):
        assert fraction.numerator <= 20
        assert 1 <= fraction <= 1.03 * own
        assert fraction > 0.85 * own
    unit = 2 * np.lcm(*(fraction.numerator for fraction in scale))
    assert any(tile % unit == 0 for tile in range(60, 121))
    y, x, height, width = window = common_window([placement], scale)
    assert height % scale[0].denominator == width % scale[1].denominator == 0
    assert covers(placement, window, scale)
    corners = np.array([(y, x), (y, x + width), (y + height, x), (y + height, x + width)])
    on_hd = corners @ placement.matrix[:, :2].T + placement.matrix[:, 2]
    assert (on_hd >= 3 - 1e-6).all()
    assert (on_hd <= np.subtract(placement.hd, 3 - 1e-6)).all()
    for wider in ((y, x, height + scale[0].denominator, width), (y, x, height, width + scale[1].denominator)):
        fits = wider[0] + wider[2] <= 480 and wider[1] + wider[3] <= 720
        assert not fits or not covers(placement, wider, scale)


def test_simple_scales():
    def made(down, along):
        return tuple(map(str, exact_scale(Placement((480, 720), (1080, 1440), scale=(down, along)))))

    assert made(2.25, 2.0) == ("9/4", "2")
    assert made(2.0, 2.0) == ("2", "2")
    assert made(2.205, 1.96) == ("11/5", "2")
    assert made(1.5, 1.5) == ("3/2", "3/2")
    assert made(1.0, 1.0) == ("1", "1")
    with pytest.raises(DataError, match=r"0\.900"):
        made(0.9, 1.0)


def test_a_window_is_that_of_all_frames_or_of_most():
    scale = Fraction(9, 4), Fraction(2)
    frames = [Placement((480, 720), (1080, 1440), (float(k == 7) * 60, 0.0), (2.25, 2.0)) for k in range(40)]
    assert common_window(frames, scale)[2] < 424
    assert common_window(frames, scale, leave_out=0.05)[2] >= 472
    with pytest.raises(DataError, match="nothing of SD"):
        common_window([replace(frames[0], shift=(600.0, 0.0))], scale)


def test_hd_is_put_where_it_lies(drawn):
    """What is warped to SD's own grid, by its scale, and made smaller is the SD picture."""
    true = truth(2)
    scale = Fraction(2), Fraction(2)
    window = common_window([true], scale)
    target = warp(drawn[2], true, window, scale)
    y, x, height, width = window
    assert target.shape == (2 * height, 2 * width, 3)
    sd = tape(drawn[2], true, 2, curves=False, softness=0, peaking=0, noise=0)[y : y + height, x : x + width]
    means = target.reshape(height, 2, width, 2, 3).mean((1, 3))
    assert abs(means - sd).mean() < 0.004
    assert abs(means - np.roll(sd, 1, 1)).mean() > 0.01
    with pytest.raises(ValueError, match="whole cells"):
        warp(drawn[2], true, (0, 0, 3, 4), (Fraction(9, 4), Fraction(2)))
    with pytest.raises(ValueError, match="480x405"):
        warp(drawn[2][:-1], true, window, scale)
