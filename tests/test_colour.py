"""The map between the colours of two masters: kernels, inverse, and known maps found again in noisy drawn pictures."""

import json
from functools import cache

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastup import demo
from fastup._colour import mapped_by_curves, mapped_by_matrix
from fastup._resample import resize
from fastup.errors import DataError
from fastup.footage.degrade import degrade
from fastup.pairs import blocks
from fastup.pairs.colour import FEWEST, Colour, Curve, Gather, recipe
from fastup.pairs.look import _colours

HD, SD = (270, 360), (160, 240)
SEEDS = range(5)


# -- kernels, inverse, JSON ------------------------------------------------------------------------------------------


def _rising(draw, n):
    steps = draw(st.lists(st.floats(0.01, 0.5), min_size=n, max_size=n))
    return tuple(np.cumsum([draw(st.floats(-0.3, 0.3)), *steps]).tolist())


@st.composite
def colours(draw):
    """Any map: curves of any number of knots, evenly or not, or a matrix."""
    if draw(st.booleans()):
        curves = []
        for _ in range(3):
            n = draw(st.integers(1, 12))
            curves.append(Curve(_rising(draw, n), _rising(draw, n)))
        return Colour(curves=tuple(curves), residual=draw(st.none() | st.floats(0, 1)), seen=draw(st.integers(0, 99)))
    parts = draw(st.lists(st.floats(-0.2, 0.2), min_size=12, max_size=12))
    return Colour(matrix=tuple(tuple(row) for row in (np.eye(3, 4) + np.reshape(parts, (3, 4))).tolist()))


def _frame(seed, size=(5, 7)):
    return np.random.default_rng(seed).uniform(-0.5, 1.5, (*size, 3)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(colours(), st.integers(0, 2**32 - 1))
def test_maps_are_those_of_the_definition(colour, seed):
    frame = _frame(seed)
    if colour.curves is None:
        expected = naive.mapped_by_matrix(frame, colour.matrix)
    else:
        expected = np.stack([naive.mapped_by_curves(frame, [c.x] * 3, [c.y] * 3) for c in colour.curves], -1)
        expected = np.stack([expected[..., k, k] for k in range(3)], -1)
    np.testing.assert_allclose(colour.apply(frame), expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(colours(), st.integers(0, 2**32 - 1))
def test_the_inverse_gives_the_frame_again(colour, seed):
    frame = _frame(seed)
    np.testing.assert_allclose(colour.inverse().apply(colour.apply(frame)), frame, atol=1e-4)
    if colour.curves is not None:
        assert colour.inverse().inverse() == colour


@settings(max_examples=25, deadline=None)
@given(colours())
def test_json_takes_a_map_and_gives_it_back(colour):
    assert Colour.of(json.loads(json.dumps(colour.as_dict()))) == colour


@settings(max_examples=30, deadline=None)
@given(colours(), st.integers(0, 2**32 - 1))
def test_curves_rise(colour, seed):
    if colour.curves is not None:
        made = colour.apply(np.sort(_frame(seed, (1, 64)), 1))
        assert (np.diff(made, axis=1) >= 0).all()


def test_knots_are_on_the_curve_and_nan_stays():
    x, y = np.linspace(0, 1, 33), np.linspace(0, 1, 33) ** 2
    frame = np.repeat(x.astype(np.float32), 3).reshape(1, 33, 3)
    np.testing.assert_allclose(mapped_by_curves(frame, [x] * 3, [y] * 3)[0, :, 1], y, atol=1e-7)
    frame[0, 3, 1] = np.nan
    for made in (mapped_by_curves(frame, [x] * 3, [y] * 3), mapped_by_matrix(frame, np.eye(3, 4))):
        assert np.isnan(made[0, 3, 1])


@pytest.mark.parametrize("colour", [Colour.identity(), Colour(matrix=((0, 1, 0, 0), (0, 0, 1, 0), (1, 0, 0, 0.1)))])
def test_views_and_frames_in_place(colour):
    frame = _frame(1, (6, 8))
    expected = colour.apply(frame)
    planes = np.ascontiguousarray(np.moveaxis(frame, -1, 0))
    view = np.moveaxis(planes, 0, -1)
    assert colour.apply(view, out=view) is view
    np.testing.assert_array_equal(planes, np.moveaxis(expected, -1, 0))
    np.testing.assert_array_equal(colour.apply(frame[::2, 1:]), expected[::2, 1:])


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ({}, "one of them"),
        ({"matrix": ((1, 0, 0, 0),) * 3}, "has an inverse"),
        ({"matrix": ((1, 0, 0),) * 3}, "has an inverse"),
        ({"matrix": ((np.nan, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0))}, "has an inverse"),
        ({"curves": (Curve((0, 1), (0, 1)),) * 2}, "2 curves"),
        ({"curves": (Curve((0, 1), (1, 1)),) * 3}, "does not increase"),
        ({"curves": (Curve((0, 1, 2), (0, 1)),) * 3}, "as many"),
        ({"curves": (Curve((0,), (0,)),) * 3}, "two at least"),
    ],
)
def test_what_is_no_map_is_refused(what, message):
    with pytest.raises(ValueError, match=message):
        Colour(**what)


@pytest.mark.parametrize("frame", [np.zeros((4, 4), np.float32), np.zeros((4, 4, 3)), np.zeros((4, 4, 1), np.float32)])
def test_other_frames_are_refused(frame):
    for call in (Colour.identity().apply, lambda f: mapped_by_matrix(f, np.eye(3, 4))):
        with pytest.raises(ValueError, match="expected float32"):
            call(frame)


def test_the_recipe_of_a_set(tmp_path):
    assert recipe(tmp_path) is None
    colour, path = Colour(matrix=((1.1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, -0.01))), tmp_path / "match.json"
    path.write_text(json.dumps({"colour": colour.as_dict(), "to": "hd"}))
    assert recipe(tmp_path) == colour
    path.write_text(json.dumps({"to": "sd"}))
    assert recipe(tmp_path) is None
    for damaged in ("{", "[]", '{"to": "hd"}', '{"to": "hd", "colour": {"kind": "matrix", "matrix": [[1]]}}'):
        path.write_text(damaged)
        with pytest.raises(DataError, match=r"match\.json: not what `fastup match` writes"):
            recipe(tmp_path)


# -- fits ------------------------------------------------------------------------------------------------------------


LUMA = np.array([0.299, 0.587, 0.114])


def _gamma(rng):
    power = 1 + rng.uniform(0.05, 0.2, 3) * rng.choice([-1, 1], 3)
    return lambda p: np.maximum(p, 0) ** power


def _lift(rng):
    lift, gain = rng.uniform(0.01, 0.06, 3), rng.uniform(0.9, 0.95, 3)
    return lambda p: lift + gain * p


def _gain(rng):
    gain = 1 + 0.05 * rng.choice([-1, 1], 3)
    return lambda p: p * gain


def _hue(rng):
    to_yiq = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    angle, saturation = np.radians(rng.uniform(4, 10)), rng.uniform(0.8, 0.95)
    turn = saturation * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    turned = np.eye(3)
    turned[1:, 1:] = turn
    matrix = np.linalg.inv(to_yiq) @ turned @ to_yiq
    return lambda p: p @ matrix.T


TRUTHS = {"gamma": _gamma, "lift": _lift, "gain": _gain, "hue": _hue}


@cache
def drawn(seed):
    """Two frames of a drawn shot, of which some areas are of one colour."""
    return [np.asarray(frame, np.float32) for frame in demo.clip(seed, shots=1, frames=2, size=HD)]


def gathered(pictures, truth, seed, grain, softness=0.4):
    """What two masters of pictures show: the tape is soft, its colours others, and both have grain."""
    rng, gather = np.random.default_rng(seed), Gather()
    for number, picture in enumerate(pictures):
        hd = np.clip(picture + rng.normal(0, grain, picture.shape), 0, 1).astype(np.float32)
        other = np.clip(truth(picture), 0, 1).astype(np.float32)
        sd = degrade(other, SD, softness=softness, peaking=0.5, noise=grain, chroma=1.5, seed=number)
        gather.add(sd, resize(hd, SD))
    return gather


def test_a_dissolve_parts_a_shot_in_two():
    """Scenes on both sides of a dissolve are one shot to the signatures; one map of both left 18 of 138 drawings."""
    one, other = (TRUTHS[name](np.random.default_rng(8)) for name in ("gain", "hue"))
    before, after = (gathered(drawn(seed)[:1], truth, seed, 0.005) for seed, truth in ((1, one), (2, other)))
    film = Colour.identity("of the film")
    for gathers, count in (([before, before, after], 2), ([before, after], 2), ([before, before], 1)):
        found = _colours(gathers, film)
        assert len(found) == count
        assert max(gathers[0].off(found[0]), gathers[-1].off(found[-1])) < 0.003
    assert _colours([Gather()], film) == (film,)


def off(colour, picture, truth):
    """How far off each flat block of a picture is, in each channel."""
    clean = resize(picture, SD)
    ours, true = (np.clip(each, 0, 1) for each in (colour.apply(clean), truth(clean).astype(np.float32)))
    return (blocks.means(ours) - blocks.means(true))[blocks.flat(clean)]


@pytest.mark.parametrize("grain", [0.005, 0.02])
@pytest.mark.parametrize("truth", list(TRUTHS))
def test_known_maps_are_found(truth, grain):
    """Within half a per cent of white on 95 % of the flat areas, in each of five seeds, and without bias."""
    wrong = []
    for seed in SEEDS:
        known = TRUTHS[truth](np.random.default_rng(seed))
        colour = gathered(drawn(seed), known, seed, grain).fit()
        errors = off(colour, drawn(seed)[0], known)
        assert np.mean(np.abs(errors) <= 0.005) >= 0.95
        assert colour.residual < 0.004
        wrong.append(errors.mean(0))
        if truth == "hue" and grain < 0.01:
            assert colour.kind == "matrix"
    assert np.abs(np.mean(wrong, 0)).max() < 0.001
    assert np.std(wrong, 0).max() < 0.002


def cels(seed):
    """Cels in twelve vivid colours, black and white among them, many of whose channels are nothing or full."""
    rng = np.random.default_rng(seed)
    paints = np.clip((rng.random((12, 3)) - 0.5) * 2.2 + 0.5, 0, 1)
    paints[:2] = [[0], [1]]
    picture = np.full((*HD, 3), paints[2], np.float32)
    for number in range(40):
        (y, x), (height, width) = rng.integers(0, 240, 2), rng.integers(40, 110, 2)
        picture[y : y + height, x : x + width] = paints[number % 12]
    return picture


@pytest.mark.parametrize("truth", list(TRUTHS))
def test_cels_in_black_white_and_pure_colours(truth):
    """Noise is clipped in them, and what one master makes blacker than black or whiter than white."""
    for seed in SEEDS:
        known, picture = TRUTHS[truth](np.random.default_rng(seed)), cels(seed)
        colour = gathered([picture], known, seed, 0.005).fit()
        assert np.mean(np.abs(off(colour, picture, known)) <= 0.005) >= 0.95


def _greys(picture):
    return np.repeat((picture @ LUMA.astype(np.float32))[..., None], 3, 2)


def test_a_shot_in_grey_gives_gains():
    """Colours that were not there are moved as their channels are, not wildly."""
    known = _gain(np.random.default_rng(3))
    gather = gathered([_greys(picture) for picture in drawn(0)], known, 0, 0.01)
    colour = gather.fit()
    vivid = np.random.default_rng(0).uniform(0.1, 0.9, (20, 20, 3)).astype(np.float32)
    assert np.abs(colour.apply(vivid) - known(vivid)).max() < 0.04


def test_one_colour_alone_is_met_and_all_else_goes_along():
    flat = np.broadcast_to(np.array([0.3, 0.5, 0.7], np.float32), (*HD, 3))
    colour = gathered([flat], lambda p: p + 0.03, 0, 0.01).fit()
    assert np.abs(off(colour, flat, lambda p: p + 0.03)).max() < 0.002
    greys = np.linspace(0, 1, 60, dtype=np.float32).repeat(3).reshape(1, 60, 3)
    moved = colour.apply(greys) - greys
    assert (moved > 0).all()
    assert (moved < 0.08).all()


def test_titles_in_one_picture_are_forgotten():
    known = _gain(np.random.default_rng(1))
    gather = Gather()
    for number, picture in enumerate(drawn(1)):
        sd = degrade(
            np.clip(known(picture), 0, 1).astype(np.float32), SD, softness=0.4, peaking=0, noise=0.01, seed=number
        )
        sd[-40:-10, 40:-40] = 0.95  # a box of a fifth of the width
        gather.add(sd, resize(picture, SD))
    assert np.mean(np.abs(off(gather.fit(), drawn(1)[0], known)) <= 0.005) >= 0.95


@pytest.mark.parametrize("size", [(8, 8), (24, 36)])
def test_too_little_to_go_by_changes_nothing(size):
    gather = Gather()
    gather.add(*np.full((2, *size, 3), 0.5, np.float32))
    colour = gather.fit()
    assert (len(gather) < FEWEST, colour.why.startswith("too few areas away from edges")) == (True, True)
    np.testing.assert_allclose(colour.apply(_frame(0)), _frame(0), atol=1e-6)
    assert colour.words.startswith("as they are: too few")


def test_memory_is_bounded_and_rare_colours_stay():
    rng, gather = np.random.default_rng(0), Gather()
    for number in range(6):
        picture = np.full((200, 400, 3), 0.4, np.float32) + rng.normal(0, 0.02, (200, 400, 3)).astype(np.float32)
        if number == 2:
            picture[40:100, 40:120] = 0.8
        gather.add(picture, picture)
    assert len(gather) <= 8192
    assert np.count_nonzero(gather._kept["hd"].min(1) > 0.75) > 50
    before = len(gather)
    gather.merge(gather)
    assert before <= len(gather) <= 8192


def test_the_same_blocks_give_the_same_map():
    known = _gamma(np.random.default_rng(0))
    assert gathered(drawn(2), known, 0, 0.01).fit() == gathered(drawn(2), known, 0, 0.01).fit()
