"""Signatures of frames: the kernels against their twins, and the pass that keeps them on disk."""

import itertools

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastup
from fastup import _path, _signatures
from fastup.errors import DataError, FastupError
from fastup.footage.opening import source
from fastup.pairs import registration, signatures
from fastup.trim import Trim


def smooth(rng, count=1):
    """Grids of smooth random levels."""
    coarse = rng.uniform(2000, 60000, (count, 9, 12))
    grids = coarse.repeat(4, 1).repeat(4, 2)
    for axis in (1, 2):
        grids = (np.roll(grids, 1, axis) + grids + np.roll(grids, -1, axis)) / 3
    return (grids + rng.normal(0, 60, grids.shape)).clip(0, 65535).astype(np.uint16)


@given(
    height=st.integers(1, 90), width=st.integers(1, 110), channels=st.sampled_from([1, 2, 3, 4]),
    kind=st.sampled_from([(np.uint8, 255), (np.uint16, 1023), (np.uint16, 65535), (np.float32, None)]),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(deadline=None, max_examples=40)
def test_levels_equal_their_twin(height, width, channels, kind, seed):
    dtype, white = kind
    rng = np.random.default_rng(seed)
    picture = rng.uniform(-0.1 * (white is None), white or 1.2, (height, width + 5, channels)).astype(dtype)[:, 2:-3]
    np.testing.assert_allclose(_signatures.levels(picture, white), naive.levels(picture, white), atol=1, rtol=1e-5)


def test_levels_of_no_numbers_are_black():
    picture = np.full((72, 96, 3), 0.5, np.float32)
    picture[0, 0], picture[-1, -1] = np.nan, np.inf
    grid = _signatures.levels(picture, None)
    assert grid[0, 0] == 0
    assert grid[-1, -1] == 65535
    assert (np.ravel(grid)[1:-1] == 32768).all()


@given(seed=st.integers(0, 999))
@settings(deadline=None, max_examples=15)
def test_descriptions_likeness_and_changes_equal_their_twins(seed):
    rng = np.random.default_rng(seed)
    grids = smooth(rng, 3)
    grids[1] = grids[0] + rng.integers(0, 300, grids[0].shape)
    ours = _signatures.describe(grids)
    for grid, one in zip(grids, ours, strict=True):
        assert np.abs(one.reshape(32, 44, 2) - naive.described(grid, 40)).max() < 0.51
    pairs = rng.integers(-1, 3, (3, 4)).astype(np.int32)
    found = _signatures.likeness(ours, ours[::-1].copy(), pairs)
    for (i, k), j in np.ndenumerate(pairs):
        expected = -1 if j < 0 else naive.likeness(ours[i], ours[2 - j])
        assert found[i, k] == pytest.approx(expected, abs=1e-5)
    changes = _signatures.changes(grids)
    assert not changes[0].any()
    for n in (1, 2):
        np.testing.assert_allclose(changes[n], naive.change(grids[n - 1], grids[n]), rtol=1e-3, atol=1e-3)


@given(seed=st.integers(0, 999))
@settings(deadline=None, max_examples=8)
def test_a_map_between_grids_is_found(seed):
    rng = np.random.default_rng(seed)
    matrix = np.array([[rng.uniform(0.95, 1.05), 0.01, rng.uniform(-0.6, 0.6)],
                       [-0.01, rng.uniform(0.95, 1.05), rng.uniform(-0.6, 0.6)]], np.float32)  # fmt: skip
    sd = smooth(rng, 8)
    hd = _signatures.warp(sd, np.repeat(matrix[None], 8, 0))
    assert np.abs(hd[0] - naive.moved_grid(sd[0], matrix)).max() <= 1
    found = registration.common(sd, hd)
    np.testing.assert_allclose(found[:, 2], matrix[:, 2], atol=0.05)
    np.testing.assert_allclose(found[:, :2], matrix[:, :2], atol=0.006)
    assert np.abs(registration.shifts(sd, hd, found)).max() < 0.05


@given(seed=st.integers(0, 999), curve=st.floats(0.6, 1.6), gain=st.floats(0.6, 1.0))
@settings(deadline=None, max_examples=15)
def test_curve_and_gain_hardly_change_a_description(seed, curve, gain):
    grid = smooth(np.random.default_rng(seed))
    other = (65535 * (0.02 + 0.95 * gain * (grid / 65535) ** curve)).astype(np.uint16)
    stranger = smooth(np.random.default_rng(seed + 1000))
    one, *others = (_signatures.describe(each) for each in (grid, other, stranger))
    same, far = (_signatures.likeness(one, each, np.zeros((1, 1), np.int32))[0, 0] for each in others)
    assert same > 0.9
    assert abs(far) < 0.5


@given(seed=st.integers(0, 99_999), count=st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_the_cheapest_path_is_the_cheapest_of_all(seed, count):
    rng = np.random.default_rng(seed)
    places = np.sort([rng.permutation(9)[:3] for _ in range(count)], axis=1).astype(np.int32)
    places[rng.random(count) < 0.3, 0] = -1
    cost, alone = rng.normal(0, 4, (count, 3)).astype(np.float32), rng.normal(0, 4, count).astype(np.float32)
    jump = rng.uniform(3, 9, count).astype(np.float32)
    path, through, nowhere = _path.cheapest(places, cost, alone, jump, 1.5)
    costs = {
        way: naive.path_cost(way, places, cost, alone, jump, 1.5) for way in itertools.product(range(4), repeat=count)
    }
    best = min(costs.values())
    for i in range(count):
        for k in range(4):
            least = min(total for way, total in costs.items() if way[i] == k) - best
            assert (nowhere[i] if k == 3 else through[i, k]) == pytest.approx(least, abs=1e-3)
        assert (path[i] if path[i] >= 0 else None) in [
            places[i, way[i]] if way[i] < 3 else None for way, total in costs.items() if total < best + 1e-3
        ]


@pytest.fixture
def folder(tmp_path):
    """Twelve frames of noise, in DPX."""
    (tmp_path / "film").mkdir()
    for number in range(12):
        frame = np.random.default_rng(number).integers(0, 1024, (40, 60, 3)).astype(np.uint16)
        fastup.write(tmp_path / "film" / f"f{number:03}.dpx", frame)
    return tmp_path / "film"


def read(folder, cache, trim=Trim(4, 8, 2, 0)):  # noqa: B008 -- a tuple
    with source(folder) as film:
        return signatures.read(film, trim, cache)


def test_a_source_is_read_once(folder, tmp_path, reads):
    found = read(folder, tmp_path / "cache")
    assert len(reads()) == 12
    assert len(found) == 12
    assert found.numbers.tolist() == list(range(12))
    for path, grid in zip(sorted(folder.iterdir()), found.levels, strict=True):
        picture = fastup.read(path)[2:, 4:-8]
        np.testing.assert_allclose(grid, naive.levels(picture, 1023), atol=1)
    np.testing.assert_allclose(found.mean, found.levels.mean((1, 2)) / 65535, rtol=1e-5)
    np.testing.assert_allclose(found.contrast, found.levels.std((1, 2)) / 65535, rtol=1e-3)
    reads()
    again = read(folder, tmp_path / "cache")
    assert not reads()
    assert np.array_equal(again.levels, found.levels)
    read(folder, tmp_path / "cache", Trim())
    assert len(reads()) == 12
    fastup.write(folder / "f003.dpx", np.zeros((40, 60, 3), np.uint16))
    assert not read(folder, tmp_path / "cache").levels[3].any()
    assert len(reads()) == 12


@pytest.mark.parametrize("left", [0, 1, 5 * 3464 + 7])
def test_a_pass_that_was_cut_off_carries_on(folder, tmp_path, reads, left):
    found = read(folder, tmp_path / "cache")
    (file,) = (tmp_path / "cache").iterdir()
    data = file.read_bytes()
    assert len(data) == 12 * 3464
    reads()
    file.with_suffix(".part").write_bytes(data[:left])
    file.unlink()
    assert np.array_equal(read(folder, tmp_path / "cache").levels, found.levels)
    assert len(reads()) == 12 - left // 3464
    assert file.read_bytes() == data
    assert not file.with_suffix(".part").exists()


@pytest.mark.parametrize("at", [0, 5 * 3464 + 100, 11 * 3464 + 3463])
def test_a_damaged_row_is_read_anew(folder, tmp_path, reads, at):
    found = np.array(read(folder, tmp_path / "cache").levels)
    (file,) = (tmp_path / "cache").iterdir()
    data = bytearray(file.read_bytes())
    data[at] ^= 64
    file.write_bytes(data)
    reads()
    assert np.array_equal(read(folder, tmp_path / "cache").levels, found)
    assert len(reads()) == 12 - at // 3464


@pytest.mark.parametrize("trim", [Trim(), Trim(4, 8, 2, 0)])
def test_a_frame_of_another_size_is_named(folder, tmp_path, trim):
    fastup.write(folder / "f007.dpx", np.zeros((40, 62, 3), np.uint16))
    with pytest.raises(DataError, match=r"f007\.dpx: 62x40, expected 60x40 as the first frame$"):
        read(folder, tmp_path / "cache", trim)


def test_what_was_read_before_an_error_is_kept(folder, tmp_path, reads):
    data = (folder / "f008.dpx").read_bytes()
    (folder / "f008.dpx").write_bytes(data[:3000])
    with pytest.raises(FastupError, match=r"f008\.dpx"):
        read(folder, tmp_path / "cache")
    (part,) = (tmp_path / "cache").iterdir()
    assert part.suffix == ".part"
    assert part.stat().st_size == 8 * 3464


def test_videos_and_floats(tmp_path, tape):
    found = read(tape, tmp_path / "cache", Trim())
    assert len(found) == 20
    assert len(np.unique(found.mean)) > 15
    (tmp_path / "floats").mkdir()
    fastup.write(tmp_path / "floats" / "f.exr", np.full((40, 60, 3), 0.25, np.float32))
    np.testing.assert_allclose(read(tmp_path / "floats", tmp_path / "cache").mean, 0.25, atol=1e-4)
