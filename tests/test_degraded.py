"""fastup.train.degraded against fastup.footage.degrade: what is made of a window is the tile of the whole picture."""

from fractions import Fraction

import numpy as np
import pytest

from fastup.codes import codes_of
from fastup.footage.degrade import degrade
from fastup.footage.recipe import Recipe
from fastup.train.degraded import Degraded

FINE = 10**6  # a white by which rounding hides nothing
# The scale, a picture of several tiles, the tile and its border.
SCALES = {
    "9/4 x 2": ((Fraction(9, 4), Fraction(2)), (216, 216), 72, 18),
    "2 x 2": ((Fraction(2), Fraction(2)), (72, 108), 36, 4),
    "5/3 x 1": ((Fraction(5, 3), Fraction(1)), (90, 60), 30, 5),
}


def picture(size, seed=0):
    return np.random.default_rng(seed).random((*size, 3), dtype=np.float32)


def windows_of(frame, degraded, corners):
    """Windows as the loader cuts them: beyond the picture its edge goes on."""
    rows, columns = (
        np.clip(corners[:, axis, np.newaxis] + np.arange(degraded.window[axis]), 0, frame.shape[axis] - 1)
        for axis in (0, 1)
    )
    return frame[rows[:, :, np.newaxis], columns[:, np.newaxis]]


def tiles_of(whole, scale, origins, tile, border):
    """Tiles of a degraded picture with their border, beyond which its edge goes on."""
    places = []
    for axis in (0, 1):
        first = (origins[:, axis] / scale[axis]).astype(int) - int(border / scale[axis])
        places.append(first[:, np.newaxis] + np.arange(int((tile + 2 * border) / scale[axis])))
    rows, columns = (np.clip(each, 0, whole.shape[axis] - 1) for axis, each in enumerate(places))
    return whole[rows[:, :, np.newaxis], columns[:, np.newaxis]]


def everywhere(size, tile):
    """All tiles, with those that are half a tile off."""
    half = tile // 2
    steps = (range(0, length - tile + 1, half) for length in size)
    return np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 2)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize(
    "text",
    ["downscale", "filter=bicubic", "filter=area", "tape,noise=0", "softness=0:1.2,peaking=0:1,chroma=0:2",
     "chroma=4.5", "peaking=1"],
)  # fmt: skip
def test_tiles_are_those_of_the_whole_picture(scale, text):
    """Also at the rim, where the border is beyond the picture."""
    factors, size, tile, border = SCALES[scale]
    recipe, frame = Recipe.parse(text), picture(size)
    degraded = Degraded(recipe, factors, tile, border, white=FINE)
    origins = everywhere(size, tile)
    corners = origins - degraded.margin
    small = tuple(int(length / s) for length, s in zip(size, factors, strict=True))
    windows = windows_of(frame, degraded, corners)
    drawn = degraded.draw(len(origins), [3])
    found = np.asarray(degraded(windows, degraded.inside(corners, small, np.zeros(len(origins), int)), *drawn))
    assert found.shape == (len(origins), *degraded.tile, 3)
    for number in range(len(origins)):
        part = slice(number, number + 1)
        strengths = {name: float(value) for name, value in zip(recipe.tape, drawn.strengths[number], strict=True)}
        whole = degrade(frame, small, filter=recipe.filter, **strengths)
        expected = tiles_of(whole, factors, origins[part], tile, border)
        np.testing.assert_allclose(found[part], expected, atol=3e-6)
    expected = frame[origins[-1, 0] :, origins[-1, 1] :][:tile, :tile]
    np.testing.assert_array_equal(degraded.targets(windows)[-1], expected)


@pytest.mark.parametrize(
    ("text", "white", "atol"), [("matlab", 255, 1e-7), ("matlab,softness=0.5,peaking=0.5,chroma=1", FINE, 3e-6)]
)
@pytest.mark.parametrize("factor", [2, 4])
def test_tiles_by_matlab_are_those_of_the_whole_picture_to_the_code(factor, text, white, atol):
    """At scales of 2 and 4 every half falls the same way; at the rim the picture is mirrored."""
    scale, recipe = (Fraction(factor),) * 2, Recipe.parse(text)
    frame = _codes((48, 72))
    for turn in (0, 3):
        found, expected = _by_matlab(frame, recipe, scale, 24, 8, turn, white)
        np.testing.assert_allclose(found, expected, atol=atol)


@pytest.mark.parametrize(
    ("scale", "tile", "share"),
    [((Fraction(9, 4), Fraction(2)), 72, 1e-4), ((Fraction(3, 2),) * 2, 72, 2e-3), ((Fraction(3),) * 2, 72, 1e-4)],
)
def test_tiles_by_matlab_at_other_scales_are_seldom_off_by_a_code(scale, tile, share):
    """Where sums lie so near a half that float32 does not tell."""
    found, expected = _by_matlab(_codes((144, 144)), Recipe.parse("matlab"), scale, tile, 0, 0, 255)
    off = np.abs(found - expected) * 255
    assert off.max() < 1.001
    assert (off > 0.5).mean() < share


def _codes(size):
    return np.random.default_rng(5).integers(0, 256, (*size, 3), np.uint8) / np.float32(255)


def _by_matlab(frame, recipe, scale, tile, border, turn, white):
    """Tiles everywhere, flipped by `turn`, and those of the whole picture."""
    degraded = Degraded(recipe, scale, tile, border, white=white)
    origins = everywhere(frame.shape[:2], tile)
    corners = origins - degraded.margin
    small = tuple(int(length / s) for length, s in zip(frame.shape, scale, strict=False))
    flips = np.s_[:, :: -1 if turn & 2 else 1, :: -1 if turn & 1 else 1]
    inside = degraded.inside(corners, small, np.full(len(origins), turn))
    found = degraded(windows_of(frame, degraded, corners)[flips], inside, *degraded.draw(len(origins), [0]))
    whole = degrade(frame[flips[1:]], small, filter="matlab", **_means(recipe))[flips[1:]]
    return np.asarray(found), tiles_of(whole, scale, origins, tile, border)[flips]


@pytest.mark.parametrize("turn", range(8))
def test_pictures_are_turned_before_the_tape(turn):
    """Its lines stay lines: a turned window gives what the turned picture gives."""
    scale, size, tile, border = (Fraction(2), Fraction(2)), (96, 72), 24, 4
    frame, recipe = picture(size), Recipe.parse("tape,noise=0")
    degraded = Degraded(recipe, scale, tile, border, white=FINE, square=True)
    assert degraded.window[0] == degraded.window[1]
    origins = everywhere(size, tile)
    corners = origins - degraded.margin
    inside = degraded.inside(corners, (48, 36), np.full(len(origins), turn))

    def turned(pictures):
        pictures = pictures.swapaxes(-3, -2) if turn & 4 else pictures
        pictures = pictures[..., ::-1, :, :] if turn & 2 else pictures
        return pictures[..., ::-1, :] if turn & 1 else pictures

    windows = turned(windows_of(frame, degraded, corners))
    found = np.asarray(degraded(windows, inside, *degraded.draw(len(origins), [0])))
    whole = degrade(turned(frame), (36, 48) if turn & 4 else (48, 36), filter="lanczos", **_means(recipe))
    end = np.array(size) - tile - origins
    places = np.where(
        [turn & 2, turn & 1], end[:, ::-1] if turn & 4 else end, origins[:, ::-1] if turn & 4 else origins
    )
    np.testing.assert_allclose(found, tiles_of(whole, scale, places, tile, border), atol=3e-6)


def _means(recipe):
    return {name: of.low for name, of in recipe.tape.items()}


def test_codes_are_those_of_a_file():
    """What a file of 10 bits has, but for halves that floats compute apart."""
    frame, recipe = picture((72, 72)), Recipe.parse("tape,noise=0")
    degraded = Degraded(recipe, (Fraction(2), Fraction(2)), 72, 0, white=1023)
    corners = -np.array([degraded.margin])
    windows = windows_of(frame, degraded, corners)
    found = np.asarray(degraded(windows, degraded.inside(corners, (36, 36), np.zeros(1, int)), *degraded.draw(1, [0])))
    codes = codes_of(degrade(frame, (36, 36), filter="lanczos", **_means(recipe)), 1023)
    assert np.abs(found[0] * 1023 - codes).max() < 1.001
    assert (np.abs(found[0] * 1023 - codes) < 1e-3).mean() > 0.998


@pytest.mark.parametrize("fill", ["edge", 512])
def test_what_lies_outside_the_picture_is_as_asked(fill):
    frame, recipe = picture((48, 48)), Recipe.parse("tape,noise=0.1")
    degraded = Degraded(recipe, (Fraction(2), Fraction(2)), 24, 8, white=1023, fill=fill)
    origins = everywhere((48, 48), 24)
    corners = origins - degraded.margin
    inside = degraded.inside(corners, (24, 24), np.zeros(len(origins), int))
    found = np.asarray(degraded(windows_of(frame, degraded, corners), inside, *degraded.draw(len(origins), [0])))
    first, last = found[0], found[-1]
    if fill == "edge":
        np.testing.assert_array_equal(first[:4], np.broadcast_to(first[4], (4, 20, 3)))
        np.testing.assert_array_equal(first[:, :4], np.broadcast_to(first[:, 4:5], (20, 4, 3)))
        np.testing.assert_array_equal(last[16:], np.broadcast_to(last[15], (4, 20, 3)))
        np.testing.assert_array_equal(last[:, 16:], np.broadcast_to(last[:, 15:16], (20, 4, 3)))
    else:
        outside = np.ones((20, 20), bool)
        outside[4:, 4:] = False
        np.testing.assert_allclose(first[outside], 512 / 1023, atol=1e-7)
        np.testing.assert_allclose(last[::-1, ::-1][outside], 512 / 1023, atol=1e-7)
        assert (first[4:, 4:] != 512 / 1023).mean() > 0.9


def test_noise_is_the_drawn_one_blurred_along_the_lines():
    degraded = Degraded(Recipe.parse("noise=0.02"), (Fraction(2), Fraction(2)), 24, 0, white=FINE)
    corners = np.array([[24, 24]]) - degraded.margin
    grey = np.full((1, *degraded.window, 3), 0.5, np.float32)
    drawn = degraded.draw(1, [7])
    found = np.asarray(degraded(grey, degraded.inside(corners, (48, 48), np.zeros(1, int)), *drawn))[0]
    weights = np.exp(-0.5 * (np.arange(-2, 3) / 0.5) ** 2)
    weights /= np.sqrt(np.sum(weights**2))
    white = drawn.noise[0].transpose(1, 0, 2)
    expected = 0.5 + 0.02 * sum(weight * white[:, k : k + 12] for k, weight in enumerate(weights))
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("text", ["noise=0.02", "tape,noise=0.02"])
def test_noise_is_of_the_kind_that_a_file_has(text):
    """Deviation and correlation along and across lines, and between colours, over seeds."""
    recipe = Recipe.parse(text)
    degraded = Degraded(recipe, (Fraction(2), Fraction(2)), 96, 0, white=FINE)
    corners = np.tile(np.array([[96, 96]]) - degraded.margin, (16, 1))
    inside = degraded.inside(corners, (144, 144), np.zeros(16, int))
    grey = np.full((16, *degraded.window, 3), 0.5, np.float32)
    ours = np.asarray(degraded(grey, inside, *degraded.draw(16, [1]))) - 0.5
    frame = np.full((96, 96, 3), 0.5, np.float32)
    theirs = np.stack([degrade(frame, (48, 48), filter="lanczos", **_means(recipe), seed=s) for s in range(16)]) - 0.5

    def kind(noise):
        across = np.mean(noise[:, :, 1:] * noise[:, :, :-1])
        down = np.mean(noise[:, 1:] * noise[:, :-1])
        colours = np.mean(noise[..., 0] * noise[..., 1])
        return np.array([noise.var(), across, down, colours]) / 0.02**2

    np.testing.assert_allclose(kind(ours), kind(theirs), atol=0.04)


def test_what_is_drawn_follows_from_the_seed_alone():
    degraded = Degraded(Recipe.parse("softness=0.3:0.8,noise=0:0.01"), (Fraction(2), Fraction(2)), 24, 0, white=1023)
    one, again, other = (degraded.draw(400, seed) for seed in ([0, 1, 2], [0, 1, 2], [0, 1, 3]))
    for a, b, c in zip(one, again, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert not np.array_equal(a, c)
    softness, peaking, noise, chroma = one.strengths.T
    assert 0.3 <= softness.min() < 0.32
    assert 0.78 < softness.max() <= np.float32(0.8)
    assert 0 <= noise.min() < noise.max() <= np.float32(0.01)
    assert abs(np.corrcoef(softness, noise)[0, 1]) < 0.2
    assert not peaking.any()
    assert not chroma.any()


def test_strengths_that_are_left_out_of_some_tiles():
    """The others are what they are where none is."""
    texts = "softness=0.3:0.8@0.25,noise=0.01@0.5,peaking=0.5,clean=0.2", "softness=0.3:0.8,noise=0.01,peaking=0.5"
    some, always = (
        Degraded(Recipe.parse(text), (Fraction(2), Fraction(2)), 24, 0, white=1023).draw(2000, [0, 1, 2, 1])
        for text in texts
    )
    np.testing.assert_array_equal(some.noise, always.noise)
    there = some.strengths > 0
    np.testing.assert_array_equal(some.strengths, always.strengths * there)
    softness, peaking, noise, _ = there.T
    np.testing.assert_allclose([softness.mean(), noise.mean(), peaking.mean()], [0.6, 0.4, 0.8], atol=0.03)
    assert not (softness | noise)[~peaking].any()
    assert abs(np.corrcoef(softness[peaking], noise[peaking])[0, 1]) < 0.1
    assert abs(np.corrcoef(always.strengths[peaking, 0], softness[peaking])[0, 1]) < 0.1


def test_without_noise_none_is_drawn():
    degraded = Degraded(Recipe.parse("softness=0.5"), (Fraction(2), Fraction(2)), 24, 0, white=1023)
    assert degraded.draw(4, [0]).noise.shape == (4, 0, 12, 3)
