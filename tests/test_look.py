"""What is there to look at: pillars put back on, means of flips and turns."""

from fractions import Fraction

import keras
import naive
import numpy as np
import pytest

from fastup import Header
from fastup.errors import OptionError
from fastup.networks.models import Network
from fastup.trim import Trim
from fastup.upscale.ensemble import Ensemble
from fastup.upscale.pillars import Pillars
from fastup.upscale.upscaler import Upscaler

SETTINGS = {
    "model": "compact", "features": 4, "depth": 1, "scale": [[9, 4], [2, 1]], "border": [0, 0],
    "trim": [0, 0, 0, 0], "input_trim": [0, 0, 0, 0], "black_level": "edge",
    "input_white": 1023, "target_white": 1023, "pixel_aspect": [1, 1],
    "transfer": None, "colorimetric": None,
}  # fmt: skip
TURNED = ((2, 2), (2, 1), (Fraction(3, 2), Fraction(3, 2)), (Fraction(9, 4), 2))


def _network(scale=(Fraction(9, 4), Fraction(2)), weights=True):
    keras.utils.set_random_seed(3)
    pairs = [list(Fraction(each).as_integer_ratio()) for each in scale]
    network = Network({**SETTINGS, "scale": pairs})
    if weights:
        rng = np.random.default_rng(3)
        network.set_weights([w + 0.1 * rng.normal(size=w.shape).astype(np.float32) for w in network.get_weights()])
    return network


# -- means of flips and turns ----------------------------------------------------------------------------------------


def _lopsided(picture, axes=(0, 1)):
    """Knows up from down, and left from right: twice the rows and columns, of running sums."""
    return np.repeat(np.repeat(picture.cumsum(axes[0]) + 3 * picture.cumsum(axes[1]), 2, axes[0]), 2, axes[1])


@pytest.mark.parametrize("scale", [(Fraction(2), Fraction(2)), (Fraction(9, 4), Fraction(2))])
@pytest.mark.parametrize("planes", [False, True])
def test_the_mean_is_that_of_all_views(scale, planes):
    picture = np.random.default_rng(0).random((4, 6, 3)).astype(np.float32)
    seen = []

    def make(given):
        assert given.flags.c_contiguous
        assert given.dtype == np.float32
        seen.append(given.shape)
        return _lopsided(given, (1, 2) if planes else (0, 1)).astype(np.float32)

    views = []
    for turns in range(4):
        for flip in (False, True):
            if scale[0] == scale[1] or turns % 2 == 0:
                view = np.rot90(np.fliplr(picture) if flip else picture, turns)
                back = np.rot90(_lopsided(view.astype(np.float64)), -turns)
                views.append(np.fliplr(back) if flip else back)
    ensemble = Ensemble(make, scale, planes)
    result = ensemble(np.ascontiguousarray(np.moveaxis(picture, 2, 0)) if planes else picture)
    result = np.moveaxis(result, 0, 2) if planes else result
    assert len(views) == len(seen) == ensemble.views == (8 if scale[0] == scale[1] else 4)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, np.mean(views, axis=0), rtol=2e-6)


@pytest.mark.parametrize("scale", TURNED)
def test_to_bicubic_alone_it_makes_no_difference(scale):
    """It treats all directions alike."""
    network = _network(scale, weights=False)
    picture = np.random.default_rng(1).random((12, 20, 3)).astype(np.float32)
    plain, mean = Upscaler(network)(picture), Upscaler(network, self_ensemble=True)(picture)
    np.testing.assert_allclose(mean, plain, atol=1e-6)
    np.testing.assert_allclose(mean, np.clip(naive.bicubic(picture, *map(float, scale)), 0, 1), atol=2e-6)


def test_an_ensemble_of_a_network_is_the_same_whichever_way_the_picture_lies():
    picture = np.random.default_rng(2).random((12, 8, 3)).astype(np.float32)
    for scale, turn in (((2, 2), np.rot90), ((Fraction(9, 4), 2), np.flipud)):
        upscaler = Upscaler(_network(scale), self_ensemble=True)
        straight, turned = upscaler(picture), upscaler(np.ascontiguousarray(turn(picture)))
        np.testing.assert_allclose(turned, turn(straight), atol=1e-6)
        assert np.abs(straight - Upscaler(upscaler.model.network)(picture)).max() > 1e-3


def test_codes_are_rounded_once():
    upscaler = Upscaler(_network(), self_ensemble=True)
    codes = np.random.default_rng(4).integers(0, 1024, (8, 6, 3), np.uint16)
    floats = upscaler(codes / np.float32(1023))
    np.testing.assert_array_equal(upscaler(codes), np.floor(floats.astype(np.float64) * 1023 + 0.5))


def test_running_out_of_memory_is_not_hidden():
    def make(picture):
        raise MemoryError

    with pytest.raises(MemoryError):
        Ensemble(make, (Fraction(2), Fraction(2)))(np.zeros((2, 2, 3), np.float32))


# -- pillars ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "trim", "expected"),
    [
        ((1080, 1920), (0, 0, 0, 0), (240, 240, 0, 0)),
        ((1080, 1920), (238, 242, 0, 0), (238, 242, 0, 0)),  # as the targets had it
        ((1080, 1920), (238, 241, 0, 0), (240, 240, 0, 0)),  # they were of another size
        ((1100, 1920), (238, 242, 5, 5), (238, 242, 10, 10)),  # each axis by itself
        ((1100, 1500), (238, 242, 20, 0), (30, 30, 20, 0)),
        ((1083, 1441), (0, 0, 0, 0), (0, 1, 1, 2)),  # what is odd lies to the right, and below
        ((1080, 1440), (240, 240, 0, 0), (0, 0, 0, 0)),
    ],
)
def test_where_the_picture_lies(size, trim, expected):
    assert Pillars(size, Trim(*trim)).around((1080, 1440)) == expected


@pytest.mark.parametrize("size", [(1080, 1439), (1079, 1920)])
def test_frames_that_are_too_small(size):
    with pytest.raises(OptionError, match=f"pad is {size[1]}x{size[0]}, expected at least 1440x1080"):
        Pillars(size, Trim()).around((1080, 1440))


def _header(bits=10, **values):
    return Header.new(6, 4, bits=bits, **values)


@pytest.mark.parametrize(
    ("black_level", "input_white", "header", "code"),
    [
        (64, 1023, _header(low_code=3), 64),
        (16, 255, _header(), 64),  # 64.19
        (64, 1023, _header(bits=16), 4100),  # 4099.94
        (0, 1023, _header(low_code=64), 0),
        ("edge", 1023, _header(low_code=64), 64),
        ("edge", 1023, _header(low_code=95), 95),
        ("edge", 1023, _header(low_code=None), 0),
        ("edge", 1023, _header(low_code=5000), 0),  # is none
        (1, None, _header(), 1023),  # of floats, 1 is white
    ],
)
def test_the_code_of_black(black_level, input_white, header, code):
    settings = {**SETTINGS, "black_level": black_level, "input_white": input_white, "trim": [1, 2, 3, 4]}
    pillars = Pillars.of((8, 10), settings)
    assert pillars.trim == (1, 2, 3, 4)
    assert pillars.code(header) == code


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_picture_in_its_frame(dtype):
    picture = np.random.default_rng(5).integers(0, 1024, (4, 6, 3), np.uint16)
    header = _header(low_code=64, pixel_aspect=Fraction(8, 9), timecode="01:02:03:04")
    expected = np.full((7, 9, 3), 64, np.uint16)
    expected[1:5, 1:7] = picture
    given, white = (picture, 1) if dtype == "uint16" else (picture / np.float32(1023), np.float32(1023))
    pillars = Pillars((7, 9), Trim())
    frame = pillars(given, header)
    assert frame.dtype == dtype
    np.testing.assert_array_equal(frame, expected / white if dtype == "float32" else expected)
    whole = pillars.header(header)
    assert (whole.width, whole.height, whole.pixel_aspect, whole.timecode) == (9, 7, Fraction(8, 9), "01:02:03:04")
    assert whole.raw == header.replace(width=9, height=7).raw
