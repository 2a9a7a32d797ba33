"""The geometry between two sizes: pictures, scales, tiles and borders of whole cells."""

from fractions import Fraction
from math import gcd, lcm

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastup.errors import DataError, FastupError, OptionError
from fastup.pairs import geometry as module
from fastup.pairs.geometry import Geometry

NONE = (0, 0, 0, 0)
PILLARS = (240, 240, 0, 0)


@pytest.mark.parametrize(
    ("sizes", "trims", "scale", "tile", "border"),
    [
        (((480, 720), (1080, 1440)), (NONE, None), ("9/4", "2"), 72, 18),
        (((480, 720), (1080, 1920)), (PILLARS, None), ("9/4", "2"), 72, 18),
        (((486, 720), (1080, 1440)), (NONE, None), ("20/9", "2"), 80, 20),
        (((486, 720), (1080, 1440)), (NONE, (0, 0, 3, 3)), ("9/4", "2"), 72, 18),
        (((1080, 1440), (1080, 1440)), (NONE, None), ("1", "1"), 60, 2),
        (((1080, 1920), (1080, 1920)), (PILLARS, None), ("1", "1"), 60, 2),
        (((1080, 1920), (1080, 1920)), (PILLARS, PILLARS), ("1", "1"), 60, 2),
        (((540, 720), (1080, 1440)), (NONE, None), ("2", "2"), 60, 2),
        (((360, 480), (1080, 1440)), (NONE, None), ("3", "3"), 60, 3),
    ],
    ids=str,
)
def test_the_sizes_of_the_trade(sizes, trims, scale, tile, border):
    geometry = Geometry.of(*sizes, *trims)
    assert geometry.scale == tuple(map(Fraction, scale))
    assert geometry.tile() == (tile, tile)
    assert geometry.tile(2 * tile) == (2 * tile, 2 * tile)
    assert geometry.border(border) == (border, border)
    assert geometry.border(0) == (0, 0)


def test_ntsc_to_hd():
    geometry = Geometry.of((480, 720), (1080, 1920), PILLARS)
    assert geometry.input_picture == (480, 720)
    assert geometry.target_picture == (1080, 1440)
    assert (geometry.trim, geometry.input_trim) == (PILLARS, NONE)
    assert (geometry.cell_input, geometry.cell_target) == ((4, 1), (9, 2))
    assert geometry.to_input(72) == (32, 36)
    assert geometry.to_input(36) == (16, 18)
    assert geometry.to_input(18) == (8, 9)
    inputs, targets = geometry.grids(72, 18, jitter=True)
    assert (inputs.shape, inputs.tile, inputs.border) == ((480, 720), (32, 36), (8, 9))
    assert (targets.shape, targets.tile, targets.border) == ((1080, 1440), (72, 72), (0, 0))
    assert len(inputs) == len(targets) == 15 * 20 + 14 * 19
    # Every tile's corner is the same place in both pictures.
    np.testing.assert_array_equal(inputs.origins * (9, 2), targets.origins * (4, 1))


def test_one_size_trims_both():
    geometry = Geometry.of((1080, 1920), (1080, 1920), PILLARS)
    assert geometry.input_trim == geometry.trim == PILLARS
    assert geometry.input_picture == geometry.target_picture == (1080, 1440)
    assert Geometry.of((1080, 1920), (1080, 1920), NONE, NONE).input_picture == (1080, 1920)


def test_two_sizes_trim_the_target_alone():
    geometry = Geometry.of((480, 720), (1080, 1920), PILLARS)
    assert geometry.input_trim == NONE
    trimmed = Geometry.of((486, 720), (1080, 1440), NONE, (0, 0, 4, 2))
    assert trimmed.input_picture == (480, 720)
    assert trimmed.scale == (Fraction(9, 4), 2)


@pytest.mark.parametrize("sizes", [((1080, 1440), (480, 720)), ((480, 720), (480, 640)), ((486, 720), (480, 1440))])
def test_swapped(sizes):
    with pytest.raises(DataError, match="swapped") as caught:
        Geometry.of(*sizes, NONE)
    for height, width in sizes:
        assert f"{width}x{height}" in str(caught.value)


@pytest.mark.parametrize(
    ("trim", "input_trim", "name", "size"),
    [((720, 720, 0, 0), None, "trim", "1440x1080"), (NONE, (0, 0, 480, 0), "input-trim", "720x480")],
)
def test_a_trim_that_leaves_nothing(trim, input_trim, name, size):
    with pytest.raises(OptionError, match=f"^{name} is .*nothing of a frame of {size}"):
        Geometry.of((480, 720), (1080, 1440), trim, input_trim)


@pytest.mark.parametrize(
    ("name", "value", "nearest"),
    [
        ("tile", 60, "36 or 72"),
        ("tile", 71, "36 or 72"),
        ("tile", 73, "72 or 108"),
        ("tile", 54, "36 or 72"),  # whole cells, but half of it is not
        ("tile", 2, "36"),
        ("border", 2, "0 or 18"),
        ("border", 19, "18 or 36"),
        ("border", 9, "0 or 18"),
        ("tile", (72, 62), "72,60 or 72,64"),
        ("tile", (70, 62), "54,60 or 72,64"),
        ("tile", (9, 64), "18,64"),
        ("border", (9, 3), "9,2 or 9,4"),
        ("border", (8, 2), "0,2 or 9,2"),
    ],
)
def test_sizes_that_are_not_whole_cells(name, value, nearest):
    geometry = Geometry.of((480, 720), (1080, 1440), NONE)
    with pytest.raises(OptionError) as caught:
        getattr(geometry, name)(value)
    message = str(caught.value)
    given = value if isinstance(value, int) else ",".join(map(str, value))
    assert message.startswith(f"{name} is {given} ")
    assert message.endswith(f": {nearest}")
    assert "720x480" in message
    assert "1440x1080" in message


def test_a_tile_larger_than_the_picture():
    geometry = Geometry.of((120, 180), (270, 360), NONE)
    assert geometry.tile(252) == (252, 252)
    assert geometry.tile((270, 356)) == (270, 356)
    with pytest.raises(OptionError, match=r"tile is 252,364.*360x270"):
        geometry.tile((252, 364))
    with pytest.raises(OptionError, match=r"tile is 288.*360x270"):
        geometry.tile(288)


def test_the_nearest_tiles_that_are_named_can_be_used():
    geometry = Geometry.of((120, 180), (270, 360), NONE)
    with pytest.raises(OptionError) as caught:
        geometry.tile(260)
    for size in str(caught.value).split(": ")[-1].split(" or "):
        assert geometry.tile(int(size)) == (int(size),) * 2


@pytest.mark.parametrize("sizes", [((2, 2), (3, 3)), ((719, 480), (1440, 1080)), ((479, 720), (1080, 1440))])
def test_a_picture_without_a_tile(sizes):
    # Too small; or a scale so odd (1440/719) that its smallest tile is larger than the picture.
    with pytest.raises(FastupError, match="tile") as caught:
        Geometry.of(*sizes, NONE).tile()
    assert f"{sizes[1][1]}x{sizes[1][0]}" in str(caught.value)


@st.composite
def _scales(draw):
    q = [draw(st.integers(1, 12)) for _ in range(2)]
    p = [draw(st.integers(side, 24)) for side in q]
    counts = [draw(st.integers(1, 60)) for _ in range(2)]
    return tuple(n * b for n, b in zip(counts, q, strict=True)), tuple(n * b for n, b in zip(counts, p, strict=True))


@given(_scales(), st.integers(1, 400))
def test_any_scale(sizes, wish):
    geometry = Geometry.of(*sizes, NONE)
    for axis in (0, 1):
        common = gcd(sizes[0][axis], sizes[1][axis])
        assert geometry.cell_input[axis] == sizes[0][axis] // common
        assert geometry.cell_target[axis] == sizes[1][axis] // common
        assert sizes[0][axis] * geometry.scale[axis] == sizes[1][axis]

    def fits(pixels):
        return all(pixels % cell == 0 for cell in geometry.cell_target)

    def check(pixels):
        exact = tuple(Fraction(pixels) / scale for scale in geometry.scale)
        assert all(length.denominator == 1 for length in exact)
        assert geometry.to_input(pixels) == tuple(map(int, exact))

    border = lcm(*geometry.cell_target)
    assert geometry.border(border) == (border, border)
    check(border)
    unit = next(size for size in range(2, 10**6, 2) if fits(size // 2))
    smallest = next(size for size in range(unit, 10**6, unit) if size >= 60)
    room = min(geometry.target_picture)
    if unit <= room:
        tile, also = geometry.tile()
        assert also == tile == min(smallest, max(range(unit, room + 1, unit)))
        check(tile)
        check(tile // 2)
        inputs, targets = geometry.grids(tile, border, jitter=True)
        assert len(inputs) == len(targets)
        np.testing.assert_array_equal(inputs.inside, targets.inside)
        np.testing.assert_array_equal(inputs.origins * geometry.cell_target, targets.origins * geometry.cell_input)
    else:
        with pytest.raises(FastupError, match="tile"):
            geometry.tile()
    for method, usable in (
        (geometry.tile, wish % unit == 0 and wish <= room), (geometry.border, fits(wish)),
    ):  # fmt: skip
        if usable:
            assert method(wish) == (wish, wish)
        else:
            with pytest.raises(FastupError) as caught:
                method(wish)
            # Without any tile at all, it is the picture that is at fault.
            assert f"is {wish}" in str(caught.value) or (method == geometry.tile and unit > room)


# -- the tile index --------------------------------------------------------------------------------------------------


def test_the_smallest_of_defaults_is_stated():
    assert module.SMALLEST_DEFAULT_TILE == 60


def test_a_scale_too_odd_names_the_nearest_that_is_simple():
    with pytest.raises(OptionError, match=r"9/4 x 361/180 .*smallest tile, 6498.*simple scale: 1440x1080$"):
        Geometry.of((480, 720), (1080, 1920), (236, 240, 0, 0)).tile()
    with pytest.raises(DataError, match=r"simple scale: 1440x1080$"):
        Geometry.of((480, 720), (1081, 1439), (0, 0, 0, 0)).tile()


def test_a_small_picture_has_a_small_default_tile():
    assert Geometry.of((24, 40), (54, 80), (0, 0, 0, 0)).tile() == (36, 36)
    assert Geometry.of((50, 50), (50, 50), (0, 0, 0, 0)).tile() == (50, 50)
