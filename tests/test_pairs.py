"""Pairs: what is refused, the geometry between two sizes, frames made DPX, and which tiles are trained on."""

import errno
import os
import shutil
import threading
import unicodedata
import weakref
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from math import gcd, lcm
from pathlib import Path

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenImageIO import ImageBuf
from test_digests import tick

import fastup
from fastup.errors import DataError, DpxError, FastupError, OptionError
from fastup.pairs import digests
from fastup.pairs import folder as module
from fastup.pairs.folder import (
    Geometry,
    Pairs,
    crop,
    detail_scores,
    find_pairs,
    find_sets,
    picture_of,
    seen,
    seen_note,
    tile_index,
    transcode,
)

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
    ("harm", "words"),
    [
        (_no_data, ["Alpha", "Beta"]),
        (_no_beta, ["Beta", "expected"]),
        (_beta_is_a_file, ["Beta", "expected"]),
        (_empty, ["Alpha", "no frames", ".dpx"]),
        (_no_partner, ["Alpha/f10.dpx", "no partner in Beta"]),
        (_odd_one_out, ["Beta/extra.dpx", "no partner in Alpha"]),
        (_two_sizes, ["Alpha/f10.dpx", "7x8", "6x8"]),
        (_two_target_sizes, ["Beta/f11.dpx", "12x20", "12x18"]),
        (_two_whites, ["Beta/f11.png", "255", "1023"]),
        (_same_stem, ["f9.dpx", "f9.png", "stem"]),
        (_png_named_dpx, ["Alpha/f10.dpx", "PNG"]),
        (_truncated, ["Beta/f11.dpx", "cut short", "bytes"]),
        (_empty_file, ["Alpha/f9.dpx"]),
        (_four_channels, ["Beta", "4 channels", "expected 3"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_bad_folders(folder, harm, words):
    harm(folder)
    with pytest.raises(DataError) as caught:
        find_pairs(folder)
    message = str(caught.value)
    assert str(folder) in message
    assert "\n" not in message
    for word in words:
        assert word in message, message


def _problems(*folders):
    with pytest.raises(DataError) as caught:
        find_sets(folders)
    return str(caught.value)


def test_every_problem_at_once_by_pair(folder):
    for number, name in enumerate(("f12", "f13", "f14")):
        _write(folder / "Alpha" / f"{name}.dpx", (8, 6), number)
        _write(folder / "Beta" / f"{name}.dpx", (18, 12), number)
    alpha, beta = folder / "Alpha", folder / "Beta"
    _same_stem(folder)
    (beta / "f10.dpx").unlink()
    _two_target_sizes(folder)
    (alpha / "f11.dpx").write_bytes(b"")
    fastup.write(beta / "f12.dpx", fastup.read(beta / "f12.dpx"), fastup.Header.new(12, 18, descriptor="CBYCR"))
    png = _png(beta / "f14.png", (18, 12))
    (beta / "f14.dpx").unlink()
    first, *lines = _problems(folder).split("\n  ")
    assert first == f"6 problems in {folder}:"
    expected = [
        f"{alpha}/f9.png: another frame has the same stem, f9.dpx; pairs go by stem",
        f"{alpha}/f10.dpx: no partner in Beta",
        f"{alpha}/f11.dpx: ",
        f"{beta}/f11.dpx: 12x20, 3 channels, white 1023, expected 12x18, 3 channels, white 1023 like the most of its",
        f"{beta}/f12.dpx: holds Y, Cb and Cr, expected RGB: fastup converts no colours",
        f"{png}: 12x18, 3 channels, white 255, expected 12x18, 3 channels, white 1023 like the most of its",
    ]
    assert len(lines) == len(expected)
    for line, start in zip(lines, expected, strict=True):
        assert line.startswith(start)
        assert "\n" not in line


def test_several_sets_at_once(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    shutil.copytree(folder, other, dirs_exist_ok=True)
    sets = find_sets([folder, other])
    assert [each.folder for each in sets] == [folder, other]
    assert sets == [find_pairs(folder), find_pairs(other)]
    _no_partner(folder)
    assert _problems(folder, other) == f"{folder}/Alpha/f10.dpx: no partner in Beta"
    _truncated(other)
    first, *lines = _problems(folder, other, folder / "none").split("\n  ")
    assert first == f"3 problems in {folder}, {other}, {folder}/none:"
    for line, path in zip(lines, (f"{folder}/Alpha/f10", f"{other}/Beta/f11", f"{folder}/none: no such"), strict=True):
        assert line.startswith(path)
    shutil.rmtree(other / "Alpha")  # what is wrong with Beta is told all the same
    assert _problems(other).startswith(f"2 problems in {other}:\n  {other}: no folder Alpha here, expected")
    assert f"\n  {other}/Beta/f11.dpx: " in _problems(other)


def test_what_all_frames_have_in_common_is_one_problem(folder):
    for path in (folder / "Beta").iterdir():
        path.write_bytes(b"no frame")
    message = _problems(folder)
    assert message.startswith(f"{folder}/Beta: all 3 frames: ")
    assert "\n" not in message
    for path in (folder / "Beta").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    first, *lines = _problems(folder).split("\n  ")
    assert first == f"3 problems in {folder}:"
    assert lines[0] == f"{folder}/Alpha: all 3 frames: no partner in Beta"
    assert lines[1].startswith(f"{folder}/Beta: all 3 frames: not a DPX")
    assert lines[2:] == [f"{folder}/Beta: all 3 frames: no partner in Alpha"]


def test_at_most_40_problems_are_listed(folder):
    for number in range(100, 143):
        _write(folder / "Beta" / f"f{number}.dpx", (18, 12))
    first, *lines, last = _problems(folder).split("\n  ")
    assert first == f"43 problems in {folder}:"
    assert lines == [f"{folder}/Beta/f{number}.dpx: no partner in Alpha" for number in range(100, 140)]
    assert last == "and 3 more"


def test_a_frame_that_the_system_refuses_is_listed(folder, monkeypatch):
    really = fastup.frames.probe

    def probe(path):
        if path.name == "f10.dpx":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really(path)

    monkeypatch.setattr(module.frames, "probe", probe)
    _, *lines = _problems(folder).split("\n  ")
    assert lines == [f"{folder}/{side}/f10.dpx: Permission denied" for side in ("Alpha", "Beta")]


def test_the_command_line_keeps_the_lines(folder, run):
    (folder / "train").mkdir()
    for side in ("Alpha", "Beta"):
        (folder / side).rename(folder / "train" / side)
    train = folder / "train"
    (train / "Alpha" / "f9.dpx").rename(train / "Alpha" / "g  [9].dpx")
    code, out, err = run("pairs", folder)
    assert (code, out) == (1, "")
    assert err == (
        f"fastup: 2 problems in {train}:\n  {train}/Alpha/g [9].dpx: no partner in Beta\n"
        f"  {train}/Beta/f9.dpx: no partner in Alpha\n"
    )


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
    index = tile_index(noisy, geometry, grid, quality, on_frame=lambda *progress: heard.append(progress))
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]
    origins = naive.tile_origins(62, 74, 12, 12, jitter)
    inside = [n for n, (y, x) in enumerate(origins) if y + 12 <= 62 and x + 12 <= 74]
    expected = []
    for path in noisy.targets:
        picture = fastup.read(path)[2:, 10:84]
        score = naive.tile_detail(picture, [origins[n] for n in inside], 12, 12)
        keep = naive.tile_rank(score, int(np.ceil(quality * len(inside))))
        expected.append([inside[k] for k in sorted(keep)])
    assert index.dtype == np.int32
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
    assert index.shape == (3, count)
    assert index.dtype == np.int32
    assert not index.flags.writeable
    for tiles in index:
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


# -- frames that are in two sets -------------------------------------------------------------------------------------


@pytest.fixture
def two_sets(tmp_path):
    """Four pairs to train on and three others, of noise."""
    for name, count in (("train", 4), ("validation", 3)):
        for number in range(count):
            for side, size in (("Alpha", (8, 6)), ("Beta", (18, 12))):
                seed = 100 * len(name) + 10 * number + size[0]
                _write(tmp_path / name / side / f"{name[0]}{number}.dpx", size, seed)
    return tmp_path / "train", tmp_path / "validation"


def _seen(folders, cache=None):
    return seen(*find_sets(folders), cache)


def test_sets_that_share_nothing(two_sets):
    assert _seen(two_sets) == []
    assert seen_note(*find_sets(two_sets), []) is None


def test_a_copy_is_seen(two_sets, tmp_path):
    shutil.copytree(two_sets[0], tmp_path / "copy")
    sets = find_sets([two_sets[0], tmp_path / "copy"])
    found = seen(*sets)
    assert found == list(zip(sets[1].inputs, sets[0].inputs, strict=True))
    note = seen_note(*sets, found)
    assert note.startswith(f"4 of the 4 pairs of {tmp_path / 'copy'} are in {two_sets[0]} too")
    assert note.endswith(f"the first: {sets[1].inputs[0]} is {sets[0].inputs[0]}")
    (tmp_path / "link").symlink_to(two_sets[0])
    assert len(_seen([two_sets[0], tmp_path / "link"])) == 4


@pytest.mark.parametrize("side", ["Alpha", "Beta"])
def test_one_frame_under_another_name_and_timecode(two_sets, side):
    train, validation = two_sets
    path, twin = validation / side / "v1.dpx", train / side / "t2.dpx"
    fastup.write(path, fastup.read(twin), fastup.read_header(twin).replace(timecode="01:00:00:00", frame_position=7))
    sets = find_sets(two_sets)
    assert seen(*sets) == [(path, twin)]
    assert seen_note(*sets, seen(*sets)).startswith(f"1 of the 3 pairs of {validation} is in {train} too")


def test_other_formats_are_held_against_each_other(tmp_path):
    one, other = (_set_of(tmp_path / name, ".png", "uint16") for name in ("one", "other"))
    assert seen(one, other) == list(zip(other.inputs, one.inputs, strict=True))
    for path in other.inputs:
        _other(path, (8, 6), "uint16", 99)
    assert seen(one, other) == list(zip(other.targets, one.targets, strict=True))


@pytest.mark.parametrize("suffix", [".dpx", ".png", ".tif", ".exr"])
def test_frames_of_one_colour_are_not_held_to_be_seen(tmp_path, suffix):
    one, other = tmp_path / "one", tmp_path / "other"
    size, header = (480, 640), fastup.Header.new(640, 480, bits=32 if suffix == ".exr" else 16)
    for side in ("Alpha", "Beta"):
        (one / side).mkdir(parents=True)
        for number, colour in enumerate([(0, 0, 0), (940, 64, 512)]):
            frame = np.full((*size, 3), np.array(colour) / 1023, np.float32)
            fastup.write(one / side / f"{number}{suffix}", frame, header)
    shutil.copytree(one, other)
    assert _seen([one, other]) == []
    frame[5] = 0.25  # one line of another colour, far from the middle
    path, twin = other / "Beta" / f"1{suffix}", one / "Beta" / f"1{suffix}"
    fastup.write(twin, frame, header)
    shutil.copy(twin, path)
    assert _seen([one, other]) == [(path, twin)]


def test_frames_with_the_same_middle_are_told_apart(two_sets, monkeypatch):
    """The whole of a frame is read where a part is the same, and only there."""
    monkeypatch.setattr(module, "PART", 64)
    train, validation = two_sets
    frame = fastup.read(train / "Beta" / "t1.dpx")
    frame[0, 0] ^= 1
    fastup.write(validation / "Beta" / "v0.dpx", frame)
    reads, really = [], digests.hashlib.file_digest

    def file_digest(file, kind):
        reads.append(os.path.basename(file.name))
        return really(file, kind)

    monkeypatch.setattr(digests.hashlib, "file_digest", file_digest)
    assert _seen(two_sets, train.parent / "cache") == []
    assert sorted(reads) == ["t1.dpx", "v0.dpx"]
    assert _seen(two_sets, train.parent / "cache") == []
    assert len(reads) == 2  # it is noted


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_pair_whatever_form_their_letters_have(tmp_path, forms):
    """A folder that went through a Mac has a letter and its mark apart."""
    for side, form in zip(("Alpha", "Beta"), forms, strict=True):
        for name in ("Käse_é1", "Käse_é2"):
            _write(tmp_path / side / f"{unicodedata.normalize(form, name)}.dpx", (8, 6))
    pairs = find_pairs(tmp_path)
    for source, target in zip(pairs.inputs, pairs.targets, strict=True):
        assert source.stem != target.stem
        assert unicodedata.normalize("NFC", source.stem) == unicodedata.normalize("NFC", target.stem)
    _write(tmp_path / "Alpha" / f"{unicodedata.normalize(forms[1], name)}.dpx", (8, 6))
    if len(os.listdir(tmp_path / "Alpha")) == 3:  # a file system may hold both to be one
        with pytest.raises(DataError, match="another frame has the same stem"):
            find_pairs(tmp_path)


# -- the scores on disk ----------------------------------------------------------------------------------------------


@pytest.fixture
def set_of_six(tmp_path):
    """Six pairs, changed at will: folder and scores of them as `score` gives them, and the frames read for that."""
    for number in range(6):
        for side in ("Alpha", "Beta"):
            _write(tmp_path / "set" / side / f"{number}.dpx", (50, 70), number)
    return tmp_path / "set"


@pytest.fixture(autouse=True)
def settled(monkeypatch):
    """Digests are noted of files that changed just now, too."""
    monkeypatch.setattr(digests, "SETTLED", 0)


@pytest.fixture
def reads(monkeypatch):
    """Names of the frames that are read, sorted, since the last look."""
    names, really = [], fastup.frames.read

    def read(path, *arguments):
        names.append(path.name)
        return really(path, *arguments)

    def look():
        seen = sorted(names)
        names.clear()
        return seen

    monkeypatch.setattr(module.frames, "read", read)
    return look


def _plan(pairs, tile=12, jitter=True, trim=(3, 2, 1, 0)):
    geometry = Geometry.of(pairs.input_size, pairs.target_size, trim)
    return pairs, geometry, geometry.grids(tile, 2, jitter)[1]


def _score(folder, cache, **plan):
    return detail_scores(*_plan(find_pairs(folder), **plan), cache)


def _index_file(cache):
    (path,) = cache.glob("detail-*")
    return path


NAMES = [f"{number}.dpx" for number in range(6)]


@pytest.mark.parametrize("jitter", [True, False])
def test_scores_are_those_of_the_twin(noisy, tmp_path, jitter):
    pairs, geometry, grid = _plan(noisy, 12, jitter, TRIM)
    heard = []
    scores = detail_scores(pairs, geometry, grid, tmp_path / "a" / "b", lambda *progress: heard.append(progress))
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]
    expected = [
        naive.tile_detail(fastup.read(path)[2:, 10:84], naive.tile_origins(62, 74, 12, 12, jitter), 12, 12)
        for path in pairs.targets
    ]
    assert scores.dtype == np.float32
    np.testing.assert_array_equal(scores, expected)
    again = detail_scores(pairs, geometry, grid, tmp_path / "a" / "b", lambda *progress: heard.append(progress))
    np.testing.assert_array_equal(again, expected)
    assert len(heard) == 4
    np.testing.assert_array_equal(detail_scores(pairs, geometry, grid), expected)
    for quality in (0.1, 0.5):
        index = tile_index(pairs, geometry, grid, quality, tmp_path / "a" / "b")
        np.testing.assert_array_equal(index, tile_index(pairs, geometry, grid, quality))
    assert sorted(p.name[:7] for p in (tmp_path / "a" / "b").iterdir()) == ["detail-", "digests"]


def test_all_tiles_leave_nothing_on_disk(set_of_six, tmp_path, reads):
    tile_index(*_plan(find_pairs(set_of_six)), 1.0, tmp_path / "cache")
    tile_index(*_plan(find_pairs(set_of_six)), 0.5)
    assert not (tmp_path / "cache").exists()
    assert reads() == NAMES


def test_nothing_changed_nothing_is_read_or_written(set_of_six, tmp_path, reads):
    cache = tmp_path / "cache"
    first = _score(set_of_six, cache)
    assert reads() == NAMES
    before = os.stat(_index_file(cache))
    np.testing.assert_array_equal(_score(set_of_six, cache), first)
    assert reads() == []
    after = os.stat(_index_file(cache))
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_changed_frame_is_scored_alone(set_of_six, tmp_path, reads):
    cache = tmp_path / "cache"
    first = _score(set_of_six, cache)
    reads()
    path = set_of_six / "Beta" / "3.dpx"
    time = os.stat(path).st_mtime_ns
    _write(path, (50, 70), 33)
    os.utime(path, ns=(time, time - 1))  # older, as of a backup
    second = _score(set_of_six, cache)
    assert reads() == ["3.dpx"]
    np.testing.assert_array_equal(np.flatnonzero((first != second).any(axis=1)), [3])
    np.testing.assert_array_equal(second, _score(set_of_six, None))
    reads()
    np.testing.assert_array_equal(_score(set_of_six, cache), second)
    assert reads() == []


def test_frames_whose_names_are_swapped(set_of_six, tmp_path, reads):
    """Sizes and times are the same; scores follow what the files hold."""
    cache, (one, other) = tmp_path / "cache", (set_of_six / "Beta" / f"{n}.dpx" for n in (1, 4))
    for path in (one, other):
        os.utime(path, (1, 1))
    first = _score(set_of_six, cache)
    reads()
    one.rename(tmp_path / "x")
    other.rename(one)
    (tmp_path / "x").rename(other)
    np.testing.assert_array_equal(_score(set_of_six, cache), first[[0, 4, 2, 3, 1, 5]])
    assert reads() == []  # it is known what these files have


def test_a_frame_of_another_length_is_scored_alone(set_of_six, tmp_path, reads):
    cache = tmp_path / "cache"
    _score(set_of_six, cache)
    reads()
    path = set_of_six / "Beta" / "3.dpx"
    time = os.stat(path).st_mtime_ns
    with open(path, "ab") as file:
        file.write(b"x")
    os.utime(path, ns=(time, time))
    _score(set_of_six, cache)
    assert reads() == ["3.dpx"]


def test_frames_that_come_and_go(set_of_six, tmp_path, reads):
    cache = tmp_path / "cache"
    first = _score(set_of_six, cache)
    size = os.stat(_index_file(cache)).st_size
    reads()
    for side in ("Alpha", "Beta"):
        (set_of_six / side / "0.dpx").unlink()
        (set_of_six / side / "4.dpx").unlink()
    np.testing.assert_array_equal(_score(set_of_six, cache), first[[1, 2, 3, 5]])
    assert reads() == []
    assert os.stat(_index_file(cache)).st_size == size // 6 * 4
    for side in ("Alpha", "Beta"):
        _write(set_of_six / side / "4.dpx", (50, 70), 4)
    np.testing.assert_array_equal(_score(set_of_six, cache), first[1:])
    assert reads() == ["4.dpx"]


def test_each_grid_trim_and_set_has_a_file(set_of_six, tmp_path, reads):
    cache, other = tmp_path / "cache", tmp_path / "other"
    shutil.copytree(set_of_six, other)  # the same names, sizes and times
    _write(other / "Beta" / "2.dpx", (50, 70), 99)
    time = os.stat(set_of_six / "Beta" / "2.dpx").st_mtime_ns
    os.utime(other / "Beta" / "2.dpx", ns=(time, time))
    plans = [{}, {"tile": 10}, {"jitter": False}, {"trim": (3, 2, 0, 1)}]
    for _ in range(2):
        for plan in plans:
            for folder in (set_of_six, other):
                np.testing.assert_array_equal(_score(folder, cache, **plan), _score(folder, None, **plan))
    assert len(list(cache.glob("detail-*"))) == 8
    reads()
    for plan in plans:
        _score(set_of_six, cache, **plan)
    assert reads() == []


@pytest.fixture(scope="module")
def scored(noisy, tmp_path_factory):
    """A plan, a cache folder, and the scores and the file that belong into it."""
    cache = tmp_path_factory.mktemp("scored")
    plan = _plan(noisy, 12, True, TRIM)
    scores = detail_scores(*plan, cache)
    return plan, cache, scores, _index_file(cache).read_bytes()


def _rebuilt(scored, damaged):
    plan, cache, scores, whole = scored
    _index_file(cache).write_bytes(damaged)
    np.testing.assert_array_equal(detail_scores(*plan, cache), scores)
    assert _index_file(cache).read_bytes() == whole


@given(st.data())
@settings(deadline=None)
def test_a_flipped_byte_is_never_trusted(scored, data):
    damaged = bytearray(scored[-1])
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=3, unique=True)):
        damaged[at] ^= data.draw(st.integers(1, 255))
    _rebuilt(scored, damaged)


@given(st.data())
@settings(deadline=None)
def test_a_file_cut_short_or_shifted_is_never_trusted(scored, data):
    whole = scored[-1]
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(whole))] * 2)))
    filling = data.draw(st.binary(max_size=40) | st.just(whole))
    damaged = whole[:start] + filling + whole[end:]
    _rebuilt(scored, damaged)
    _rebuilt(scored, whole[:start])


def test_what_is_no_index_is_never_trusted(scored, tmp_path):
    plan, _, scores, whole = scored
    np.savez(tmp_path / "x.npz", scores=np.full_like(scores, np.nan), keys=np.arange(4))
    row = len(whole) // 4
    nan = np.frombuffer(whole, np.uint8).reshape(4, row).copy()
    nan[:, 16:-16] = np.full(nan[:, 16:-16].shape[1] // 4, np.nan, "<f4").view(np.uint8)
    for damaged in (
        b"", b"x", bytes(len(whole)), (tmp_path / "x.npz").read_bytes(), scores.tobytes(), nan.tobytes(), whole * 2,
    ):  # fmt: skip
        _rebuilt(scored, damaged)
    swapped = np.frombuffer(whole, np.uint8).reshape(4, row).copy()
    swapped[0, 16:], swapped[1, 16:] = swapped[1, 16:].copy(), swapped[0, 16:].copy()  # each under the other's key
    _rebuilt(scored, swapped.tobytes())
    detail_scores(*_plan(plan[0], 12, True, (11, 15, 2, 0)), tmp_path / "other")  # of the same shape
    _rebuilt(scored, _index_file(tmp_path / "other").read_bytes())


def test_one_damaged_row_is_one_frame_read(set_of_six, tmp_path, reads):
    cache = tmp_path / "cache"
    scores = _score(set_of_six, cache)
    reads()
    damaged = bytearray(_index_file(cache).read_bytes())
    damaged[len(damaged) * 5 // 12] ^= 1
    _index_file(cache).write_bytes(damaged)
    np.testing.assert_array_equal(_score(set_of_six, cache), scores)
    assert reads() == ["2.dpx"]


def test_ctrl_c_keeps_what_was_scored(set_of_six, tmp_path, reads, monkeypatch):
    cache = tmp_path / "cache"
    monkeypatch.setattr(module.os, "cpu_count", lambda: 1)
    stopped, read = threading.Event(), module.frames.read

    class Pool(ThreadPoolExecutor):
        def shutdown(self, wait=True, **options):
            super().shutdown(wait=False, **options)
            stopped.set()
            super().shutdown()

    def held(path, *arguments):
        if path.name == NAMES[3]:
            stopped.wait()
        return read(path, *arguments)

    monkeypatch.setattr(module, "ThreadPoolExecutor", Pool)
    monkeypatch.setattr(module.frames, "read", held)

    def stop(done, total):
        assert total == 6
        if done == 2:
            raise KeyboardInterrupt

    plan = _plan(find_pairs(set_of_six))
    with pytest.raises(KeyboardInterrupt):
        detail_scores(*plan, cache, stop)
    first = reads()
    assert first in (NAMES[:2], NAMES[:3], NAMES[:4])
    heard = []
    scores = detail_scores(*plan, cache, lambda *progress: heard.append(progress))
    assert sorted(first + reads()) == NAMES  # each was read once
    assert heard == [(n + 1, 6 - len(first)) for n in range(6 - len(first))]
    np.testing.assert_array_equal(scores, detail_scores(*plan))


def test_an_unreadable_frame_keeps_what_was_scored(set_of_six, tmp_path, reads):
    cache, path = tmp_path / "cache", set_of_six / "Beta" / "5.dpx"
    plan, whole = _plan(find_pairs(set_of_six)), path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(DpxError, match=r"Beta/5\.dpx.*cut short"):
        detail_scores(*plan, cache)
    assert reads() == NAMES
    path.unlink()
    with pytest.raises(FileNotFoundError) as caught:
        detail_scores(*plan, cache)
    assert caught.value.filename == str(path)
    path.write_bytes(whole)
    detail_scores(*plan, cache)
    assert reads() == ["5.dpx"]


def test_a_frame_that_changes_while_it_is_read_is_scored_again(set_of_six, tmp_path, monkeypatch):
    """Its digest is of what it held before, and holds again."""
    cache, really = tmp_path / "cache", fastup.frames.read
    plan = _plan(find_pairs(set_of_six))

    def read(path, *arguments):
        if path.name != "1.dpx":
            return really(path, *arguments)
        whole = path.read_bytes()
        _write(path, (50, 70), 77)
        frame = really(path, *arguments)
        path.write_bytes(whole)
        return frame

    with monkeypatch.context() as patch:
        patch.setattr(module.frames, "read", read)
        before = detail_scores(*plan, cache)
    after = detail_scores(*plan, cache)
    np.testing.assert_array_equal(np.flatnonzero((before != after).any(axis=1)), [1])
    np.testing.assert_array_equal(after, detail_scores(*plan))


def test_a_frame_that_has_become_another_size(set_of_six, tmp_path):
    plan = _plan(find_pairs(set_of_six))
    _write(set_of_six / "Beta" / "4.dpx", (50, 72))
    with pytest.raises(DataError, match=r"Beta/4\.dpx: has become 72x50, expected 70x50"):
        detail_scores(*plan, tmp_path / "cache")


def test_a_cache_that_cannot_be_written(set_of_six, tmp_path, reads):
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(OSError, match="cache"):
        _score(set_of_six, tmp_path / "cache")
    assert reads() == []  # before the long work
    (tmp_path / "cache").unlink()
    _score(set_of_six, tmp_path / "cache")
    name = _index_file(tmp_path / "cache")
    name.unlink()
    name.mkdir()
    with pytest.raises(OSError, match=name.name):
        _score(set_of_six, tmp_path / "cache")


def test_few_frames_are_in_memory(set_of_six, monkeypatch):
    for number in range(6, 40):
        for side in ("Alpha", "Beta"):
            os.link(set_of_six / side / "0.dpx", set_of_six / side / f"{number}.dpx")
    monkeypatch.setattr(module.os, "cpu_count", lambda: 3)
    alive, most, really = set(), [], fastup.frames.read

    def read(path, *arguments):
        frame = really(path, *arguments)
        alive.add(path)
        most.append(len(alive))
        weakref.finalize(frame, alive.remove, path)
        return frame

    monkeypatch.setattr(module.frames, "read", read)
    _score(set_of_six, None)
    assert len(most) == 40
    assert max(most) <= 4


# -- frames made DPX -------------------------------------------------------------------------------------------------


def _other(path, size, kind, seed=0):
    """A frame of noise in another format; of floats, some below 0 and above 1, minus nothing and an infinity too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    if kind in ("uint8", "uint16"):
        frame = rng.integers(0, np.iinfo(kind).max + 1, (*size, 3), kind)
    else:
        frame = rng.normal(0.5, 1, (*size, 3)).astype(np.float32)
        frame[0, 0] = -0.0, np.inf, 1e-30
    assert ImageBuf(frame).write(str(path), kind)
    return path


def _set_of(folder, suffix, kind, count=3):
    for number in range(count):
        _other(folder / "Alpha" / f"f{number}{suffix}", (8, 6), kind, number)
        _other(folder / "Beta" / f"f{number}{suffix}", (18, 12), kind, 10 + number)
    return find_pairs(folder)


@pytest.mark.parametrize(
    ("suffix", "kind", "bits"),
    [(".png", "uint8", 8), (".bmp", "uint8", 8), (".png", "uint16", 16), (".tif", "uint16", 16), (".exr", "float", 32),
     (".exr", "half", 32), (".tif", "float", 32)],
)  # fmt: skip
def test_transcoding_loses_nothing(tmp_path, suffix, kind, bits):
    pairs = _set_of(tmp_path / "set", suffix, kind)
    heard = []
    ours = transcode(pairs, tmp_path / "cache", lambda *progress: heard.append(progress))
    assert heard == [(n + 1, 6) for n in range(6)]
    for paths, ours_paths, side in ((pairs.inputs, ours.inputs, "Alpha"), (pairs.targets, ours.targets, "Beta")):
        assert ours_paths == tuple(tmp_path / "cache" / "set" / side / f"f{n}.dpx" for n in range(3))
        for path, copy in zip(paths, ours_paths, strict=True):
            dtype = "uint16" if bits < 32 else "float32"
            assert fastup.read(copy, dtype).tobytes() == fastup.read(path, dtype).tobytes()
            assert fastup.frames.probe(copy) == fastup.frames.probe(path)
            header = fastup.read_header(copy)
            assert (header.bits, header.white) == (bits, {8: 255, 16: 65535}.get(bits))
    again = find_pairs(tmp_path / "cache" / "set")
    for name in ("input_size", "target_size", "input_white", "target_white", "inputs", "targets"):
        assert getattr(ours, name) == getattr(again, name)
    assert ours.folder == pairs.folder
    assert sorted(os.listdir(tmp_path / "cache")) == ["digests.json", "set"]
    assert sorted(os.listdir(tmp_path / "cache" / "set")) == ["Alpha", "Beta"]


def test_the_pixel_aspect_is_kept(folder, tmp_path_factory):
    path = folder / "Alpha" / "f9.dpx"
    for path in (folder / "Alpha").iterdir():
        fastup.write(
            path.with_suffix(".png"), fastup.read(path), fastup.Header.new(6, 8, pixel_aspect=Fraction(10, 11))
        )
        path.unlink()
    ours = transcode(find_pairs(folder), tmp_path_factory.mktemp("cache"))
    assert fastup.read_header(ours.inputs[0]).pixel_aspect == Fraction(10, 11)
    assert ours.input_white == 65535


def test_dpx_stay_where_they_are(folder, tmp_path):
    pairs = find_pairs(folder)
    assert transcode(pairs, tmp_path / "cache") is pairs
    for path in (folder / "Alpha").iterdir():
        _png(path.with_suffix(".png"), (8, 6))
        path.unlink()
    pairs = find_pairs(folder)
    ours = transcode(pairs, tmp_path / "cache")
    assert ours.targets == pairs.targets
    assert os.listdir(tmp_path / "cache" / pairs.folder.name) == ["Alpha"]


def test_what_is_fresh_is_not_written_again(tmp_path, reads):
    pairs, cache = _set_of(tmp_path / "set", ".png", "uint8"), tmp_path / "cache"
    ours = transcode(pairs, cache)
    assert len(reads()) == 6
    before = {path: os.stat(path).st_ino for path in ours.inputs + ours.targets}
    assert transcode(pairs, cache, lambda done, total: pytest.fail("nothing is to be done")) == ours
    assert reads() == []
    assert before == {path: os.stat(path).st_ino for path in ours.inputs + ours.targets}


def _changed(original, copy):
    _other(original, (18, 12), "uint8", 99)


def _swapped(original, copy):
    """Names swapped, as by a slip in a file manager; the times are whole seconds, as of FAT or an archive."""
    other = original.with_stem("f2")
    os.utime(other, (1, 1))
    os.rename(original, original.with_name("x"))
    os.rename(other, original)
    os.rename(original.with_name("x"), other)


def _gone(original, copy):
    copy.unlink()


def _cut(original, copy):
    copy.write_bytes(copy.read_bytes()[:-1])


def _resized(original, copy):
    header = fastup.read_header(copy).replace(width=13, height=18)
    fastup.write(copy, np.zeros((18, 13, 3), np.uint16), header)


def _rewhitened(original, copy):
    fastup.write(copy, fastup.read(copy), fastup.read_header(copy).replace(bits=10))


def _unmarked(original, copy):
    fastup.write(copy, np.zeros((18, 12, 3), np.uint16), fastup.Header.new(12, 18, bits=8))


@pytest.mark.parametrize("harm", [_changed, _swapped, _gone, _cut, _resized, _rewhitened, _unmarked])
def test_what_is_not_fresh_is_written_again(tmp_path, reads, harm):
    pairs, cache = _set_of(tmp_path / "set", ".png", "uint8"), tmp_path / "cache"
    for path in pairs.inputs + pairs.targets:
        os.utime(path, (1, 1))
    ours = transcode(pairs, cache)
    reads()
    tick(tmp_path)
    harm(pairs.targets[1], ours.targets[1])
    for path in pairs.inputs + pairs.targets:
        os.utime(path, (1, 1))
    transcode(pairs, cache)
    assert reads() == ["f1.png"] + ["f2.png"] * (harm is _swapped)
    for path, copy in zip(pairs.inputs + pairs.targets, ours.inputs + ours.targets, strict=True):
        np.testing.assert_array_equal(fastup.read(copy), fastup.read(path))
    assert transcode(pairs, cache, lambda *progress: pytest.fail("nothing is to be done")) == ours


def test_what_looks_changed_and_is_not_is_kept(tmp_path, reads):
    """The digests say so: of files that were touched, or copied as a whole with their cache."""
    _set_of(tmp_path / "data" / "set", ".png", "uint8")

    def scores(data):
        pairs = transcode(find_pairs(data / "set"), data / "cache")
        geometry = Geometry.of(pairs.input_size, pairs.target_size, NONE)
        return detail_scores(pairs, geometry, fastup.TileGrid((18, 12), (6, 6)), data / "cache")

    first = scores(tmp_path / "data")
    assert len(reads()) == 9
    os.utime(tmp_path / "data" / "set" / "Alpha" / "f0.png")
    shutil.copytree(tmp_path / "data", tmp_path / "other")
    for data in (tmp_path / "data", tmp_path / "other"):
        np.testing.assert_array_equal(scores(data), first)
    assert reads() == []


@pytest.mark.parametrize("moment", ["open", "replace", "fsync"])
def test_transcoding_carries_on_after_a_stop(tmp_path, monkeypatch, moment):
    """Whatever the moment, what is there is whole, and what was not finished is written again."""
    pairs, cache = _set_of(tmp_path / "set", ".png", "uint8"), tmp_path / "cache"
    calls, really = [], getattr(os, moment)

    def stop(*arguments, **more):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return really(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)
        patch.setattr(os, moment, stop)
        with pytest.raises(KeyboardInterrupt):
            transcode(pairs, cache)
    heard = []
    ours = transcode(pairs, cache, lambda *progress: heard.append(progress))
    assert 1 <= len(heard) <= 4
    for path, copy in zip(pairs.inputs + pairs.targets, ours.inputs + ours.targets, strict=True):
        np.testing.assert_array_equal(fastup.read(copy), fastup.read(path))
    assert not [name for _, _, names in os.walk(cache) for name in names if name.startswith(".")]


def test_an_original_that_changes_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    """Its digest is of what it held before, and holds again."""
    pairs, cache, really = _set_of(tmp_path / "set", ".png", "uint8"), tmp_path / "cache", fastup.frames.read

    def read(path, *arguments):
        if path != pairs.inputs[1]:
            return really(path, *arguments)
        whole = path.read_bytes()
        _other(path.with_stem("x"), (8, 6), "uint8", 77)
        path.with_stem("x").rename(path)
        frame = really(path, *arguments)
        path.write_bytes(whole)
        return frame

    with monkeypatch.context() as patch:
        patch.setattr(module.frames, "read", read)
        ours = transcode(pairs, cache)
    assert (fastup.read(ours.inputs[1]) != fastup.read(pairs.inputs[1])).any()
    transcode(pairs, cache)
    np.testing.assert_array_equal(fastup.read(ours.inputs[1]), fastup.read(pairs.inputs[1]))


def test_what_cannot_be_transcoded(tmp_path):
    pairs, cache = _set_of(tmp_path / "set", ".exr", "float"), tmp_path / "cache"
    frame = np.zeros((18, 12, 3), np.float32)
    frame[4, 5, 1] = np.nan
    assert ImageBuf(frame).write(str(pairs.targets[2]))
    with pytest.raises(DataError, match=r"set/Beta/f2\.exr: holds NaN"):
        transcode(pairs, cache)
    assert not (cache / "set" / "Beta" / "f2.dpx").exists()
    data = pairs.targets[2].read_bytes()
    pairs.targets[2].write_bytes(data[: len(data) // 2])
    with pytest.raises(FastupError, match=r"set/Beta/f2\.exr: cannot be read"):
        transcode(pairs, cache)
    pairs.targets[2].unlink()
    with pytest.raises(FileNotFoundError, match=r"set/Beta/f2\.exr"):
        transcode(pairs, cache)
    _other(pairs.targets[2], (18, 12), "float")
    heard = []
    transcode(pairs, cache, lambda *progress: heard.append(progress))
    assert heard == [(1, 1)]  # the others were kept


def test_a_transcoding_cache_that_cannot_be_written(tmp_path):
    pairs = _set_of(tmp_path / "set", ".png", "uint8")
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(OSError, match="cache"):
        transcode(pairs, tmp_path / "cache")
    assert (tmp_path / "cache").read_text() == "in the way"


def test_a_full_disk_names_the_file_and_leaves_nothing_half(tmp_path):
    resource = pytest.importorskip("resource")
    pairs, cache = _set_of(tmp_path / "set", ".png", "uint8", count=1), tmp_path / "cache"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2300, hard))  # a file of Alpha has 2,192 bytes, one of Beta 2,696
    try:
        with pytest.raises(OSError, match=r"cache/set/Beta/f0\.dpx") as caught:
            transcode(pairs, cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert os.listdir(cache / "set" / "Alpha") == ["f0.dpx"]
    assert os.listdir(cache / "set" / "Beta") == []
    heard = []
    transcode(pairs, cache, lambda *progress: heard.append(progress))
    assert heard == [(1, 1)]


@pytest.mark.parametrize("made_dpx", [True, False])
def test_targets_of_floats_are_ranked(tmp_path, made_dpx):
    for number in range(3):
        frame = np.random.default_rng(number).random((24, 36, 3), np.float32)
        for side in ("Alpha", "Beta"):
            (tmp_path / "set" / side).mkdir(parents=True, exist_ok=True)
            assert ImageBuf(frame).write(str(tmp_path / "set" / side / f"{number}.exr"))
    pairs = find_pairs(tmp_path / "set")
    pairs = transcode(pairs, tmp_path / "cache") if made_dpx else pairs
    plan = _plan(pairs, 12, True, NONE)
    scores = detail_scores(*plan, tmp_path / "cache")
    origins = naive.tile_origins(24, 36, 12, 12, True)
    for score, path in zip(scores, pairs.targets, strict=True):
        np.testing.assert_allclose(score, naive.tile_detail(fastup.read(path, "float32"), origins, 12, 12), rtol=1e-6)
    np.testing.assert_array_equal(detail_scores(*plan, tmp_path / "cache"), scores)
    for wrong in ((np.inf, 1), (np.inf, np.inf), (-np.inf, 1), (3e38, -3e38), *([] if made_dpx else [(np.nan, 1)])):
        frame[3, 3], frame[3, 4] = wrong
        assert ImageBuf(frame).write(str(tmp_path / "set" / "Beta" / "2.exr"))
        pairs = find_pairs(tmp_path / "set")
        pairs = transcode(pairs, tmp_path / "cache") if made_dpx else pairs
        for cache in (tmp_path / "cache", None):
            with pytest.raises(DataError, match=r"Beta/2\..*: holds NaN, or pixels that are infinite or near it"):
                tile_index(*_plan(pairs, 12, True, NONE), 0.5, cache)
