"""Pairs: what is refused, the geometry between two sizes, and which tiles are trained on."""

import shutil
from fractions import Fraction
from math import gcd, lcm
from pathlib import Path

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenImageIO import ImageBuf

import fastup
from fastup.errors import DataError, DpxError, FastupError, OptionError
from fastup.train import pairs as module
from fastup.train.pairs import Geometry, Pairs, crop, find_pairs, picture_of, tile_index

NONE = (0, 0, 0, 0)
PILLARS = (240, 240, 0, 0)


def _write(path, size, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    fastup.write(path, np.random.default_rng(seed).integers(0, 1024, (*size, 3), np.uint16))
    return path


def _png(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert ImageBuf(np.zeros((*size, 3), np.uint8)).write(str(path), "uint8", "png")
    return path


@pytest.fixture
def folder(tmp_path):
    """Three pairs, 9/4 x 2."""
    for number, name in enumerate(("f9", "f10", "f11")):
        _write(tmp_path / "Alpha" / f"{name}.dpx", (8, 6), number)
        _write(tmp_path / "Beta" / f"{name}.dpx", (18, 12), 10 + number)
    return tmp_path


# -- pairs -----------------------------------------------------------------------------------------------------------


def test_pairs_are_in_frame_order(folder):
    pairs = find_pairs(folder)
    assert [path.name for path in pairs.inputs] == ["f9.dpx", "f10.dpx", "f11.dpx"]
    assert [path.stem for path in pairs.targets] == [path.stem for path in pairs.inputs]
    assert {path.parent for path in pairs.inputs} == {folder / "Alpha"}
    assert {path.parent for path in pairs.targets} == {folder / "Beta"}
    assert (pairs.input_size, pairs.target_size) == ((8, 6), (18, 12))
    assert (pairs.input_white, pairs.target_white) == (1023, 1023)
    assert len(pairs) == 3


def test_chroma_is_refused(folder):
    path = folder / "Beta" / "f10.dpx"
    fastup.write(path, fastup.read(path), fastup.read_header(path).replace(descriptor="CBYCR"))
    with pytest.raises(DataError, match=r"f10\.dpx: holds Y, Cb and Cr, expected RGB: fastup converts no colours"):
        find_pairs(folder)


def test_formats_may_differ_between_the_folders(folder):
    for path in (folder / "Alpha").iterdir():
        _png(path.with_suffix(".png"), (8, 6))
        path.unlink()
    pairs = find_pairs(folder)
    assert [path.name for path in pairs.inputs] == ["f9.png", "f10.png", "f11.png"]
    assert (pairs.input_white, pairs.target_white) == (255, 1023)


def test_what_is_no_frame_is_passed_over(folder):
    (folder / "Alpha" / "notes.txt").write_text("held on twos")
    (folder / "Beta" / ".f12.123-456.dpx").write_bytes(b"half a frame")
    assert len(find_pairs(folder)) == 3


def _no_data(folder):
    shutil.rmtree(folder)


def _no_beta(folder):
    shutil.rmtree(folder / "Beta")


def _beta_is_a_file(folder):
    shutil.rmtree(folder / "Beta")
    (folder / "Beta").write_text("")


def _empty(folder):
    shutil.rmtree(folder / "Alpha")
    (folder / "Alpha").mkdir()


def _no_partner(folder):
    (folder / "Beta" / "f10.dpx").unlink()


def _odd_one_out(folder):
    _write(folder / "Beta" / "extra.dpx", (18, 12))


def _many_odd(folder):
    (folder / "Alpha" / "f9.dpx").rename(folder / "Alpha" / "g9.dpx")


def _two_sizes(folder):
    _write(folder / "Alpha" / "f10.dpx", (8, 7))


def _two_target_sizes(folder):
    _write(folder / "Beta" / "f11.dpx", (20, 12))


def _two_whites(folder):
    _png(folder / "Beta" / "f11.png", (18, 12))
    (folder / "Beta" / "f11.dpx").unlink()


def _same_stem(folder):
    _png(folder / "Alpha" / "f9.png", (8, 6))


def _png_named_dpx(folder):
    _png(folder / "Alpha" / "x.png", (8, 6)).rename(folder / "Alpha" / "f10.dpx")


def _truncated(folder):
    path = folder / "Beta" / "f11.dpx"
    path.write_bytes(path.read_bytes()[:-1])


def _empty_file(folder):
    (folder / "Alpha" / "f9.dpx").write_bytes(b"")


def _four_channels(folder):
    for path in (folder / "Beta").iterdir():
        path.unlink()
        ImageBuf(np.zeros((18, 12, 4), np.uint8)).write(str(path.with_suffix(".png")), "uint8", "png")


@pytest.mark.parametrize(
    ("harm", "kind", "words"),
    [
        (_no_data, DataError, ["Alpha", "Beta"]),
        (_no_beta, DataError, ["Beta", "expected"]),
        (_beta_is_a_file, DataError, ["Beta", "expected"]),
        (_empty, DataError, ["Alpha", "no frames", ".dpx"]),
        (_no_partner, DataError, ["Alpha/f10.dpx", "no partner in Beta"]),
        (_odd_one_out, DataError, ["Beta/extra.dpx", "no partner in Alpha"]),
        (_many_odd, DataError, ["Alpha/g9.dpx", "1 other"]),
        (_two_sizes, DataError, ["Alpha/f10.dpx", "7x8", "6x8"]),
        (_two_target_sizes, DataError, ["Beta/f11.dpx", "12x20", "12x18"]),
        (_two_whites, DataError, ["Beta/f11.png", "255", "1023"]),
        (_same_stem, DataError, ["f9.dpx", "f9.png", "stem"]),
        (_png_named_dpx, DpxError, ["Alpha/f10.dpx", "PNG"]),
        (_truncated, DpxError, ["Beta/f11.dpx", "cut short", "bytes"]),
        (_empty_file, DpxError, ["Alpha/f9.dpx"]),
        (_four_channels, DataError, ["Beta", "4 channels", "expected 3"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_folders(folder, harm, kind, words):
    harm(folder)
    with pytest.raises(FastupError) as caught:
        find_pairs(folder)
    message = str(caught.value)
    assert isinstance(caught.value, kind), repr(caught.value)
    assert str(folder) in message
    assert "\n" not in message
    for word in words:
        assert word in message, message


# -- geometry --------------------------------------------------------------------------------------------------------


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
    assert geometry.tile() == tile
    assert geometry.border() == border
    assert geometry.tile(2 * tile) == 2 * tile
    assert geometry.border(0) == 0


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
    ],
)
def test_sizes_that_are_not_whole_cells(name, value, nearest):
    geometry = Geometry.of((480, 720), (1080, 1440), NONE)
    with pytest.raises(OptionError) as caught:
        getattr(geometry, name)(value)
    message = str(caught.value)
    assert message.startswith(f"{name} is {value} ")
    assert message.endswith(f": {nearest}")
    assert "720x480" in message
    assert "1440x1080" in message


def test_a_tile_larger_than_the_picture():
    geometry = Geometry.of((120, 180), (270, 360), NONE)
    assert geometry.tile(252) == 252
    with pytest.raises(OptionError, match=r"tile is 288.*360x270"):
        geometry.tile(288)


def test_the_nearest_tiles_that_are_named_can_be_used():
    geometry = Geometry.of((120, 180), (270, 360), NONE)
    with pytest.raises(OptionError) as caught:
        geometry.tile(260)
    for size in str(caught.value).split(": ")[-1].split(" or "):
        assert geometry.tile(int(size)) == int(size)


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

    border = geometry.border()
    assert border == min(size for size in range(2, 2 + lcm(*geometry.cell_target)) if fits(size))
    check(border)
    unit = next(size for size in range(2, 10**6, 2) if fits(size // 2))
    smallest = next(size for size in range(unit, 10**6, unit) if size >= 60)
    room = min(geometry.target_picture)
    if unit <= room:
        tile = geometry.tile()
        assert tile == min(smallest, max(range(unit, room + 1, unit)))
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
            assert method(wish) == wish
        else:
            with pytest.raises(FastupError) as caught:
                method(wish)
            # Without any tile at all, it is the picture that is at fault.
            assert f"is {wish}" in str(caught.value) or (method == geometry.tile and unit > room)


def test_crop_and_picture_of():
    frame = np.arange(10 * 20 * 3).reshape(10, 20, 3)
    picture = crop(frame, (1, 2, 3, 4))
    np.testing.assert_array_equal(picture, frame[3:6, 1:18])
    assert picture.shape[:2] == picture_of((10, 20), (1, 2, 3, 4))
    assert np.shares_memory(picture, frame)
    np.testing.assert_array_equal(crop(frame, NONE), frame)


# -- the tile index --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    """Four pairs of one size, flat in most places: many tiles tie. Pillars of noise are to be trimmed."""
    folder = tmp_path_factory.mktemp("noisy")
    rng = np.random.default_rng(5)
    for number in range(4):
        frame = rng.integers(0, 1024, (64, 100, 3), np.uint16)
        frame[:, 10:84] = 500
        for _ in range(4):
            y, x = rng.integers(0, 55), rng.integers(10, 75)
            frame[y : y + 9, x : x + 9] = rng.integers(0, 1024, (9, 9, 3), np.uint16)
        for side in ("Alpha", "Beta"):
            (folder / side).mkdir(exist_ok=True)
            fastup.write(folder / side / f"{number}.dpx", frame)
    return find_pairs(folder)


TRIM = (10, 16, 2, 0)


@pytest.mark.parametrize("jitter", [True, False])
@pytest.mark.parametrize("quality", [0.01, 0.25, 0.5, 0.999])
def test_quality_keeps_the_most_detailed(noisy, quality, jitter):
    geometry = Geometry.of(noisy.input_size, noisy.target_size, TRIM)
    _, grid = geometry.grids(12, 2, jitter)
    heard = []
    index = tile_index(noisy, geometry, grid, quality, lambda *progress: heard.append(progress))
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]
    origins = naive.tile_origins(62, 74, 12, 12, jitter)
    inside = [n for n, (y, x) in enumerate(origins) if y + 12 <= 62 and x + 12 <= 74]
    expected = []
    for number, path in enumerate(noisy.targets):
        picture = fastup.read(path)[2:, 10:84]
        score = naive.tile_detail(picture, [origins[n] for n in inside], 12, 12)
        keep = naive.tile_rank(score, int(np.ceil(quality * len(inside))))
        expected += [(number, inside[k]) for k in sorted(keep)]
    np.testing.assert_array_equal(index, expected)


@pytest.mark.parametrize("jitter", [True, False])
def test_all_tiles_without_reading_a_pixel(jitter):
    nowhere = tuple(Path(f"/nowhere/{name}.dpx") for name in "abc")
    pairs = Pairs(Path("/nowhere"), nowhere, nowhere, (480, 720), (1080, 1440), 1023, 1023)
    geometry = Geometry.of(pairs.input_size, pairs.target_size, NONE)
    _, grid = geometry.grids(144, 18, jitter)
    index = tile_index(pairs, geometry, grid, 1.0)
    # 1080 / 144 is 7.5: of the eighth row, no plain tile lies inside the picture; the half-tile ones of the seventh do.
    count = 7 * 10 + (7 * 9 if jitter else 0)
    assert index.shape == (3 * count, 2)
    assert index.dtype.kind == "i"
    np.testing.assert_array_equal(index[:, 0], np.repeat([0, 1, 2], count))
    for number in range(3):
        tiles = index[index[:, 0] == number, 1]
        assert list(tiles) == sorted(set(tiles))
        corners = grid.origins[tiles]
        assert (corners >= 0).all()
        assert (corners + 144 <= (1080, 1440)).all()


def test_a_target_that_goes_bad_while_tiles_are_ranked(noisy, tmp_path):
    shutil.copytree(noisy.folder, tmp_path / "x")
    pairs = find_pairs(tmp_path / "x")
    path = pairs.targets[2]
    path.write_bytes(path.read_bytes()[:-1])
    geometry = Geometry.of(pairs.input_size, pairs.target_size, TRIM)
    with pytest.raises(DpxError, match=r"Beta/2\.dpx.*cut short"):
        tile_index(pairs, geometry, geometry.grids(12, 2, True)[1], 0.5)


def test_the_smallest_of_defaults_is_stated():
    assert (module.SMALLEST_DEFAULT_TILE, module.SMALLEST_DEFAULT_BORDER) == (60, 2)


def test_a_scale_too_odd_names_the_nearest_that_is_simple():
    with pytest.raises(OptionError, match=r"9/4 x 361/180 .*smallest tile, 6498.*simple scale: 1440x1080$"):
        Geometry.of((480, 720), (1080, 1920), (236, 240, 0, 0)).tile()
    with pytest.raises(DataError, match=r"simple scale: 1440x1080$"):
        Geometry.of((480, 720), (1081, 1439), (0, 0, 0, 0)).tile()


def test_a_small_picture_has_a_small_default_tile():
    assert Geometry.of((24, 40), (54, 80), (0, 0, 0, 0)).tile() == 36
    assert Geometry.of((50, 50), (50, 50), (0, 0, 0, 0)).tile() == 50
