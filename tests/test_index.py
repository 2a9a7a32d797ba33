"""Which tiles are trained on, and the scores on disk that say so."""

import os
import shutil
import threading
import weakref
from pathlib import Path

import naive
import numpy as np
import pytest
from framesets import write_frame, write_several
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenImageIO import ImageBuf

import fastup
from fastup import _threads
from fastup.errors import DataError, DpxError
from fastup.pairs import index as module
from fastup.pairs.folder import Kind, Pairs, find_pairs
from fastup.pairs.index import TileIndex, detail_scores, tile_index
from fastup.pairs.transcode import transcode

TRIM = (10, 16, 2, 0)
pytestmark = pytest.mark.usefixtures("settled")


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
    return find_pairs(folder, TRIM)


@pytest.mark.parametrize("jitter", [True, False])
@pytest.mark.parametrize("quality", [0.01, 0.25, 0.5, 0.999])
def test_quality_keeps_the_most_detailed(noisy, quality, jitter):
    heard = []
    index = tile_index(noisy, 12, jitter, quality, on_progress=lambda *progress: heard.append(progress))
    assert heard == [(n, 4, "ranking tiles") for n in (1, 2, 3, 4)]
    origins = naive.tile_origins(62, 74, 12, 12, jitter)
    inside = [n for n, (y, x) in enumerate(origins) if y + 12 <= 62 and x + 12 <= 74]
    expected = []
    for path in noisy.targets:
        picture = fastup.read(path)[2:, 10:84]
        score = naive.tile_detail(picture, [origins[n] for n in inside], 12, 12)
        keep = naive.tile_rank(score, int(np.ceil(quality * len(inside))))
        expected.append([inside[k] for k in sorted(keep)])
    assert index.tiles.dtype == np.int32
    assert index.size == sum(map(len, expected))
    np.testing.assert_array_equal([index.of(number) for number in range(4)], expected)


@pytest.mark.parametrize("jitter", [True, False])
def test_all_tiles_without_reading_a_pixel(jitter):
    nowhere = tuple(Path(f"/nowhere/{name}.dpx") for name in "abc")
    pairs = Pairs.of(Path("/nowhere"), nowhere, nowhere, [Kind((480, 720), (1080, 1440), 1023, 1023)] * 3)
    grid = fastup.TileGrid((1080, 1440), (144, 144), 0, jitter)
    index = tile_index(pairs, 144, jitter, 1.0)
    # 1080 / 144 is 7.5: of the eighth row, no plain tile lies inside the picture; the half-tile ones of the seventh do.
    count = 7 * 10 + (7 * 9 if jitter else 0)
    assert index.size == 3 * count
    assert index.tiles.dtype == np.int32
    assert index.tiles.size == count  # once for all frames
    for number in range(3):
        tiles = index.of(number)
        assert list(tiles) == sorted(set(tiles))
        corners = grid.origins[tiles]
        assert (corners >= 0).all()
        assert (corners + 144 <= (1080, 1440)).all()


def test_a_target_that_goes_bad_while_tiles_are_ranked(noisy, tmp_path):
    shutil.copytree(noisy.folder, tmp_path / "x")
    pairs = find_pairs(tmp_path / "x", TRIM)
    path = pairs.targets[2]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DpxError, match=r"Beta/2\.dpx.*cut short"):
        tile_index(pairs, 12, True, 0.5)


# -- frames that are in two sets -------------------------------------------------------------------------------------


@pytest.fixture
def set_of_six(tmp_path):
    """Six pairs, changed at will: folder and scores of them as `score` gives them, and the frames read for that."""
    for number in range(6):
        for side in ("Alpha", "Beta"):
            write_frame(tmp_path / "set" / side / f"{number}.dpx", (50, 70), number)
    return tmp_path / "set"


def _plan(folder, tile=12, jitter=True, trim=(3, 2, 1, 0)):
    return find_pairs(folder, trim), tile, jitter


def _score(folder, cache, **plan):
    return np.stack(detail_scores(*_plan(folder, **plan), cache))


def _index_file(cache):
    (path,) = cache.glob("detail-*")
    return path


NAMES = [f"{number}.dpx" for number in range(6)]


@pytest.mark.parametrize("jitter", [True, False])
def test_scores_are_those_of_the_twin(noisy, tmp_path, jitter):
    heard = []
    scores = detail_scores(noisy, 12, jitter, tmp_path / "a" / "b", lambda *progress: heard.append(progress))
    assert heard == [(n, 4, "ranking tiles") for n in (1, 2, 3, 4)]
    expected = [
        naive.tile_detail(fastup.read(path)[2:, 10:84], naive.tile_origins(62, 74, 12, 12, jitter), 12, 12)
        for path in noisy.targets
    ]
    assert all(each.dtype == np.float32 for each in scores)
    np.testing.assert_array_equal(scores, expected)
    again = detail_scores(noisy, 12, jitter, tmp_path / "a" / "b", lambda *progress: heard.append(progress))
    np.testing.assert_array_equal(again, expected)
    assert len(heard) == 4
    np.testing.assert_array_equal(detail_scores(noisy, 12, jitter), expected)
    for quality in (0.1, 0.5):
        index = tile_index(noisy, 12, jitter, quality, tmp_path / "a" / "b")
        np.testing.assert_array_equal(index.tiles, tile_index(noisy, 12, jitter, quality).tiles)
    assert sorted(p.name[:7] for p in (tmp_path / "a" / "b").iterdir()) == ["detail-", "digests"]


def test_all_tiles_leave_nothing_on_disk(set_of_six, tmp_path, reads):
    tile_index(*_plan(set_of_six), 1.0, tmp_path / "cache")
    tile_index(*_plan(set_of_six), 0.5)
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
    write_frame(path, (50, 70), 33)
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
        write_frame(set_of_six / side / "4.dpx", (50, 70), 4)
    np.testing.assert_array_equal(_score(set_of_six, cache), first[1:])
    assert reads() == ["4.dpx"]


def test_each_grid_trim_and_set_has_a_file(set_of_six, tmp_path, reads):
    cache, other = tmp_path / "cache", tmp_path / "other"
    shutil.copytree(set_of_six, other)  # the same names, sizes and times
    write_frame(other / "Beta" / "2.dpx", (50, 70), 99)
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


def test_frames_of_several_kinds_are_scored_once(tmp_path, reads):
    """A file for each grid and trim; frames of one that differ in white share it."""
    pairs, cache = (
        write_several(tmp_path / "set", [(48, 60), (60, 48), (48, 60), (48, 60), (60, 48)]),
        tmp_path / "cache",
    )
    pairs = transcode(find_pairs(pairs), cache)
    reads()
    scores = detail_scores(pairs, 24, True, cache)
    assert len(reads()) == 5
    assert len(pairs.kinds) > 2
    assert len(list(cache.glob("detail-*"))) == 2
    for score, path in zip(scores, pairs.targets, strict=True):
        frame = fastup.read(path)
        origins = naive.tile_origins(*frame.shape[:2], 24, 24, True)
        np.testing.assert_array_equal(score, naive.tile_detail(frame, origins, 24, 24))
    for one, other in zip(detail_scores(pairs, 24, True, cache), scores, strict=True):
        np.testing.assert_array_equal(one, other)
    assert reads() == []


@given(st.lists(st.integers(0, 5), min_size=1, max_size=9), st.randoms())
def test_an_index_is_its_lists(lengths, random):
    """Each tile by its number, whether lists are shared or not."""
    lists = [sorted(random.sample(range(50), length)) for length in lengths]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    every = [(frame, tile) for frame, tiles in enumerate(lists) for tile in tiles]
    order = random.sample(range(len(every)), len(every))
    for twice in (False, True):  # the second time with what all frames share before
        tiles = np.array([*([7] * twice), *(tile for tiles in lists for tile in tiles)], np.int32)
        index = TileIndex(starts, tiles, starts[:-1] + twice)
        assert index.size == len(every)
        assert [list(index.of(frame)) for frame in range(len(lists))] == lists
        frames, found = index[np.array(order, np.uint32)]
        assert list(zip(frames, found, strict=True)) == [every[number] for number in order]


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 20), st.booleans(), st.integers(0, 30))
def test_tiles_well_inside(height, width, half, jitter, rim):
    grid = fastup.TileGrid((height, width), (2 * half, 2 * half), 0, jitter)
    expected = naive.tiles_inside(
        naive.tile_origins(height, width, 2 * half, 2 * half, jitter), height, width, 2 * half, rim
    )
    assert list(grid.well_inside(rim)) == expected
    assert rim or list(np.flatnonzero(grid.inside)) == expected


@pytest.fixture(scope="module")
def scored(noisy, tmp_path_factory):
    """A plan, a cache folder, and the scores and the file that belong into it."""
    cache = tmp_path_factory.mktemp("scored")
    plan = noisy, 12, True
    scores = np.stack(detail_scores(*plan, cache))
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
    detail_scores(*_plan(plan[0].folder, 12, True, (11, 15, 2, 0)), tmp_path / "other")  # of the same shape
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
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    stopped, read = threading.Event(), module.frames.read

    class Pool(_threads.Pool):
        def shutdown(self, wait=True, **options):
            super().shutdown(wait=False, **options)
            stopped.set()
            super().shutdown()

    def held(path, *arguments):
        if path.name == NAMES[3]:
            stopped.wait()
        return read(path, *arguments)

    monkeypatch.setattr(_threads, "Pool", Pool)
    monkeypatch.setattr(module.frames, "read", held)

    def stop(done, total, what):
        assert total == 6
        if done == 2:
            raise KeyboardInterrupt

    plan = _plan(set_of_six)
    with pytest.raises(KeyboardInterrupt):
        detail_scores(*plan, cache, stop)
    first = reads()
    assert first in (NAMES[:2], NAMES[:3], NAMES[:4])
    heard = []
    scores = detail_scores(*plan, cache, lambda *progress: heard.append(progress))
    assert sorted(first + reads()) == NAMES  # each was read once
    assert heard == [(n + 1, 6 - len(first), "ranking tiles") for n in range(6 - len(first))]
    np.testing.assert_array_equal(scores, detail_scores(*plan))


def test_an_unreadable_frame_keeps_what_was_scored(set_of_six, tmp_path, reads):
    cache, path = tmp_path / "cache", set_of_six / "Beta" / "5.dpx"
    plan, whole = _plan(set_of_six), path.read_bytes()
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
    plan = _plan(set_of_six)

    def read(path, *arguments):
        if path.name != "1.dpx":
            return really(path, *arguments)
        whole = path.read_bytes()
        write_frame(path, (50, 70), 77)
        frame = really(path, *arguments)
        path.write_bytes(whole)
        return frame

    with monkeypatch.context() as patch:
        patch.setattr(module.frames, "read", read)
        before = np.stack(detail_scores(*plan, cache))
    after = np.stack(detail_scores(*plan, cache))
    np.testing.assert_array_equal(np.flatnonzero((before != after).any(axis=1)), [1])
    np.testing.assert_array_equal(after, detail_scores(*plan))


def test_a_frame_that_has_become_another_size(set_of_six, tmp_path):
    plan = _plan(set_of_six)
    write_frame(set_of_six / "Beta" / "4.dpx", (50, 72))
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
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
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


@pytest.mark.parametrize("made_dpx", [True, False])
def test_targets_of_floats_are_ranked(tmp_path, made_dpx):
    for number in range(3):
        frame = np.random.default_rng(number).random((24, 36, 3), np.float32)
        for side in ("Alpha", "Beta"):
            (tmp_path / "set" / side).mkdir(parents=True, exist_ok=True)
            assert ImageBuf(frame).write(str(tmp_path / "set" / side / f"{number}.exr"))
    pairs = find_pairs(tmp_path / "set")
    pairs = transcode(pairs, tmp_path / "cache") if made_dpx else pairs
    plan = pairs, 12, True
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
                tile_index(pairs, 12, True, 0.5, cache)
