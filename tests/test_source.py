"""Sources: a video, a folder and one frame give frames in order, with headers; from a frame on, what a slice gives."""

import threading

import numpy as np
import pytest

import fastup
from fastup.footage.stills import Folder
from fastup.header import Header

SLICES = [(0, None, 1), (3, None, 1), (2, 9, 3), (5, 5, 1), (4, 100, 1), (50, None, 1)]


@pytest.fixture
def folder(tmp_path):
    """Frames of several formats, sizes and depths, as a folder may have them."""
    place, rng = tmp_path / "in", np.random.default_rng(0)
    place.mkdir()
    for n in range(12):
        bits, suffix = (10, "dpx") if n % 3 else (16, "png")
        height, width = 4 + n % 2, 6
        frame = rng.integers(0, 1 << bits, (height, width, 3)).astype(np.uint16)
        header = Header.new(width, height, bits=bits, frame_rate=24, frame_position=n)
        fastup.write(place / f"f{n}.{suffix}", frame, header, fsync=False)
    fastup.write(place / "f12.exr", rng.random((4, 6, 3), np.float32), Header.new(6, 4, bits=32), fsync=False)
    return place


def assert_same(found, expected):
    found = list(found)
    assert len(found) == len(expected)
    for (header, frame), (other, pixels) in zip(found, expected, strict=True):
        assert header == other
        assert frame.dtype == pixels.dtype
        np.testing.assert_array_equal(frame, pixels)


@pytest.mark.parametrize("part", SLICES)
def test_a_folder_gives_its_frames_as_they_are(folder, part):
    paths = fastup.find(folder)
    with fastup.source(folder, dtype="float32") as source:
        assert (len(source), source.size) == (13, (4, 6))
        expected = [(fastup.read_header(path), fastup.read(path, "float32")) for path in paths]
        assert_same(source, expected)
        assert_same(source.stream(*part), expected[slice(*part)])
        assert [source.header(n) for n in (0, 7)] == [expected[n][0] for n in (0, 7)]
        assert source.name(3) == "f3"
    (folder / "f12.exr").unlink()
    codes = [(fastup.read_header(path), fastup.read(path)) for path in paths[:-1]]
    assert_same(fastup.source(folder), codes)


@pytest.mark.parametrize("part", SLICES)
def test_a_video_gives_ten_bits_from_any_frame_on(tape, part):
    pytest.importorskip("av")
    with fastup.source(tape) as source:
        whole = list(source)
        assert (len(source), source.size, source.rate) == (20, (30, 48), 10)
        assert [header.frame_position for header, _ in whole] == list(range(20))
        assert {frame.dtype for _, frame in whole} == {np.dtype("uint16")}
        assert_same(source.stream(*part), whole[slice(*part)])
        assert source.header(7) == whole[7][0]
    with fastup.source(tape, dtype="float32") as source:
        for (_, frame), (_, codes) in zip(source, whole, strict=True):
            assert frame.dtype == np.float32
            np.testing.assert_array_equal(frame, codes / np.float32(1023))


def test_one_frame_is_a_source_of_one(folder):
    path = folder / "f1.dpx"
    with fastup.source(path) as source:
        assert len(source) == 1
        assert source.rate == 24
        assert_same(source, [(fastup.read_header(path), fastup.read(path))])


def test_only_frames_that_are_wanted_are_read_and_their_arrays_made_on_other_threads(folder, tape, monkeypatch):
    """What is decoded in order is on the thread that asks; the conversion, or the reading of a file, on others."""
    pytest.importorskip("av")
    for path in (folder, tape):
        with fastup.source(path) as source:
            threads, really = [], source.pixels

            def pixels(*arguments, really=really, threads=threads):
                threads.append(threading.current_thread())
                return really(*arguments)

            monkeypatch.setattr(source, "pixels", pixels)
            assert [number for number, _ in source.frames(1, 9, 2, lambda number: number == 5)] == [1, 3, 7]
            assert threads == []
            list(source.stream(0, 6))
            assert len(threads) == 6
            assert threading.current_thread() not in threads


def test_a_loop_that_is_left_ends_its_pass(tape):
    pytest.importorskip("av")
    before = threading.active_count()
    with fastup.source(tape) as source:
        frames = source.stream(5)
        next(frames)
        assert len(source._running) == 1
        frames.close()
        assert not source._running
        assert threading.active_count() == before


def test_a_pass_over_a_video_that_was_closed_ends_with_an_error(tape):
    """FFmpeg crashes where it is asked for more of a file that is closed."""
    pytest.importorskip("av")
    with fastup.source(tape) as source:
        frames = source.stream()
        next(frames)
    with pytest.raises(ValueError, match="closed, while a pass"):
        list(frames)


@pytest.mark.parametrize("part", [(-1,), (0, -1), (5, None, -1), (0, None, 0)])
def test_numbers_of_a_stream_count_from_the_start(folder, part):
    with pytest.raises(fastup.OptionError, match="expected 0 or more, by 1 or more"):
        fastup.source(folder).stream(*part)


def test_a_frame_that_cannot_be_read_comes_at_its_turn(folder):
    (folder / "f4.dpx").write_bytes(b"nothing")
    found = []
    with pytest.raises(fastup.DpxError, match=r"f4\.dpx"):
        found.extend(header.frame_position for header, _ in fastup.source(folder))
    assert len(found) == 4


def test_a_length_that_nothing_tells_is_no_length(tmp_path):
    fastup.write(tmp_path / "f.dpx", np.zeros((4, 6, 3), np.uint16))
    source = fastup.source(tmp_path)
    source.frame_count = None
    with pytest.raises(TypeError, match="nothing but a pass over it"):
        len(source)


def test_what_is_no_source(tmp_path, tape):
    pytest.importorskip("av")
    with pytest.raises(OSError, match="none"):
        fastup.source(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(fastup.DataError, match="no frames here"):
        fastup.source(tmp_path / "empty")
    with pytest.raises(fastup.DataError, match="a video, expected frames"):
        Folder(tape)
