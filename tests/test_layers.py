"""Enlarging by exact fractions: values against the naive twins, shapes, configuration, hostile scales."""

from fractions import Fraction

import keras
import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from fastup._scales import bicubic, fractions, phases
from fastup.networks.layers import Bicubic, SubPixel

SCALES = [
    (Fraction(9, 4), 2),
    (Fraction(20, 9), 2),
    (2, 2),
    (3, 3),
    (1, 1),
    (1, 2),
    (Fraction(3, 2), Fraction(3, 2)),
    (4, Fraction(5, 3)),
    (Fraction(9, 4), Fraction(8, 3)),
]


def _input(rng, scale, cells=(3, 4), batch=2, channels=3):
    (q_v, q_h) = (Fraction(factor).denominator for factor in scale)
    return rng.random((batch, cells[0] * q_v, cells[1] * q_h, channels), np.float32)


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("cells", [(1, 1), (3, 4)], ids=str)
def test_bicubic_equals_naive(scale, cells):
    pictures = _input(np.random.default_rng(1), scale, cells)
    result = ops.convert_to_numpy(Bicubic(scale)(pictures))
    expected = np.stack([naive.bicubic(picture, *scale) for picture in pictures])
    assert result.dtype == np.float32
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_bicubic_without_keras(scale):
    """What `evaluate` compares with, of a view too, is what a residual network adds to."""
    picture = _input(np.random.default_rng(3), scale, (3, 4))[0]
    result = bicubic(picture[:, ::-1], fractions(scale))
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, naive.bicubic(picture[:, ::-1], *scale), atol=1e-6, rtol=0)
    same = ops.convert_to_numpy(Bicubic(scale)(picture[np.newaxis, :, ::-1]))[0]
    np.testing.assert_allclose(result, same, atol=5e-7, rtol=0)


def test_bicubic_known_values():
    # An impulse, doubled: Keys' kernel at odd quarters. 2.25 has no simple values, hence the twin above.
    impulse = np.zeros((1, 1, 7, 1), np.float32)
    impulse[0, 0, 3] = 1
    result = ops.convert_to_numpy(Bicubic((1, 2))(impulse)).ravel()
    quarter = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 128
    np.testing.assert_allclose(result, [0, 0, 0, *quarter, 0, 0, 0], atol=1e-7)


@given(p=st.integers(1, 40), q=st.integers(1, 20))
@settings(deadline=None)
def test_phases_keep_lines_straight(p, q):
    scale = max(Fraction(p, q), Fraction(q, p))
    first, weights = phases(scale)
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-14)
    # Cubic convolution reproduces a line, here the position itself, and a parabola.
    centres = (np.arange(scale.numerator) + 0.5) / float(scale) - 0.5
    pixels = first[:, None] + np.arange(4)
    np.testing.assert_allclose((weights * pixels).sum(axis=1), centres, atol=1e-12)
    np.testing.assert_allclose((weights * pixels**2).sum(axis=1), centres**2, atol=1e-10)
    assert first.min() >= -2
    assert pixels.max() <= scale.denominator + 1


def test_scale_of_one_changes_nothing():
    pictures = _input(np.random.default_rng(2), (1, 1))
    np.testing.assert_array_equal(ops.convert_to_numpy(Bicubic((1, 1))(pictures)), pictures)


@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("kernel_size", [1, 3, 5])
def test_sub_pixel_equals_naive(scale, kernel_size):
    rng = np.random.default_rng(3)
    pictures = _input(rng, scale, channels=4)
    layer = SubPixel(scale, channels=3, kernel_size=kernel_size)
    layer.build(pictures.shape)
    kernel = rng.normal(size=layer.kernel.shape).astype(np.float32)
    bias = rng.normal(size=layer.bias.shape).astype(np.float32)
    layer.set_weights([kernel, bias])
    result = ops.convert_to_numpy(layer(pictures))
    pairs = [Fraction(factor).as_integer_ratio() for factor in scale]
    expected = np.stack([naive.sub_pixel(picture, kernel, bias, *pairs, channels=3) for picture in pictures])
    assert result.shape == expected.shape
    np.testing.assert_allclose(result, expected, atol=1e-4, rtol=0)


def test_sub_pixel_at_a_whole_scale_is_espcn():
    rng = np.random.default_rng(4)
    picture = rng.random((5, 6, 4), np.float32)
    layer = SubPixel((3, 3))
    layer.build((None, None, None, 4))
    kernel = rng.normal(size=(3, 3, 4, 27)).astype(np.float32)
    layer.set_weights([kernel, np.zeros(27, np.float32)])
    result = ops.convert_to_numpy(layer(picture[None]))[0]
    expected = naive.depth_to_space(naive.convolve_same(picture, kernel), 3)
    np.testing.assert_allclose(result, expected, atol=1e-4, rtol=0)


def test_sub_pixel_can_start_at_zero():
    pictures = _input(np.random.default_rng(5), SCALES[0])
    result = ops.convert_to_numpy(SubPixel(SCALES[0], kernel_initializer="zeros")(pictures))
    assert result.shape == (2, 27, 8, 3)
    assert not result.any()


@pytest.mark.parametrize("make", [Bicubic, SubPixel])
def test_shapes_are_known_ahead(make):
    layer = make([[9, 4], [2, 1]])
    assert tuple(layer(keras.Input((8, 5, 3))).shape) == (None, 18, 10, 3)
    assert tuple(layer(keras.Input((None, None, 3))).shape) == (None, None, None, 3)
    assert tuple(layer(keras.Input((8, None, 3), batch_size=7)).shape) == (7, 18, None, 3)


@pytest.mark.parametrize("make", [Bicubic, SubPixel])
def test_sizes_unknown_while_tracing(make):
    # A model built for any size runs at several, and gives what a model for that size does.
    inputs = keras.Input((None, None, 3))
    layer = make((Fraction(9, 4), 2))
    model = keras.Model(inputs, layer(inputs))
    rng = np.random.default_rng(6)
    for cells in (1, 1), (2, 7), (5, 3):
        pictures = _input(rng, SCALES[0], cells)
        expected = ops.convert_to_numpy(layer(pictures))
        np.testing.assert_allclose(model.predict(pictures, verbose=0), expected, atol=1e-6)


@pytest.mark.parametrize("make", [Bicubic, SubPixel])
def test_broken_cells_are_refused(make):
    with pytest.raises(ValueError, match="input height is 6 pixels, expected a multiple of 4"):
        make((Fraction(9, 4), 2))(np.zeros((1, 6, 5, 3), np.float32))
    with pytest.raises(ValueError, match="input width is 7 pixels, expected a multiple of 3"):
        make((2, Fraction(5, 3)))(keras.Input((6, 7, 3)))


@pytest.mark.parametrize("make", [Bicubic, SubPixel])
def test_configuration_round_trip(make):
    layer = make((Fraction(18, 8), 2), name="up")
    again = type(layer).from_config(layer.get_config())
    assert layer.get_config()["scale"] == [[9, 4], [2, 1]]
    assert again.get_config() == layer.get_config()
    pictures = _input(np.random.default_rng(7), SCALES[0])
    if make is SubPixel:
        layer.build(pictures.shape)
        again.build(pictures.shape)
        again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(ops.convert_to_numpy(again(pictures)), ops.convert_to_numpy(layer(pictures)))


def test_bicubic_has_nothing_to_learn_and_stays_float32():
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = Bicubic((2, 2))
        result = layer(np.full((1, 2, 2, 3), 1023 / 1024, np.float32))
    finally:
        keras.config.set_dtype_policy(previous)
    assert layer.weights == []
    np.testing.assert_allclose(ops.convert_to_numpy(result), 1023 / 1024, atol=1e-7)


@pytest.mark.parametrize(
    "scale",
    [
        2,
        "22",
        (2,),
        (2, 2, 2),
        (2.25, 2),
        (0, 2),
        (Fraction(1, 2), 2),
        (-2, 2),
        None,
        [[9, 0], [2, 1]],
        (float("nan"), 1),
    ],
    ids=str,
)
def test_hostile_scales(scale):
    with pytest.raises(ValueError, match="scale is"):
        fractions(scale)


def test_even_kernel_is_refused():
    with pytest.raises(ValueError, match="kernel_size is 4, expected an odd number"):
        SubPixel((2, 2), kernel_size=4)
