"""Frames written in order, behind their making."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fastup
from fastup.errors import DataError
from fastup.header import Header

RANDOM = np.random.default_rng(5)


def flat(value, size=(4, 6)):
    return np.full((*size, 3), value, np.uint16)


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (2, 4), (4, 2), (8, 30)])
@pytest.mark.parametrize("suffix", [".dpx", ".png"])
def test_a_write_stream_writes_everything(tmp_path, threads, ahead, suffix):
    header = Header.new(6, 4, big_endian=False, timecode="01:02:03:04")
    with fastup.write_stream(threads, ahead) as write:
        for i in range(40):
            write(tmp_path / f"{i}{suffix}", flat(i), header if i % 2 else None)
    paths = fastup.find(tmp_path)
    assert len(paths) == 40
    for i, path in enumerate(paths):
        white = 1023 if suffix == ".dpx" or i % 2 else 65535
        assert abs(fastup.read(path, "float32")[0, 0, 0] - i / white) < 1e-5
        if suffix == ".dpx" and i % 2:
            assert fastup.read_header(path) == header


def test_frames_take_their_names_in_order(tmp_path, monkeypatch):
    """Sizes differ widely, so that later frames are ready before earlier ones."""
    named, replace = [], os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (replace(a, b), named.append(int(b.stem))))
    with fastup.write_stream(threads=8, ahead=8) as write:
        for i in range(40):
            write(tmp_path / f"{i}.dpx", flat(i, (1, 1) if i % 5 else (300, 400)))
    assert named == list(range(40))


def test_a_write_stream_is_bounded(tmp_path, monkeypatch):
    """Where nothing can be finished, no more than `ahead` frames are taken."""
    gate, replace = threading.Event(), os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (gate.wait(), replace(a, b)))
    given = []

    def give():
        with fastup.write_stream(threads=2, ahead=3) as write:
            for i in range(10):
                write(tmp_path / f"{i}.dpx", flat(i))
                given.append(i)

    thread = threading.Thread(target=give)
    thread.start()
    while len(given) < 3:
        time.sleep(0.01)
    time.sleep(0.1)  # in which it could take more
    gate.set()
    assert given == [0, 1, 2]
    thread.join()
    assert len(fastup.find(tmp_path)) == 10


@pytest.mark.parametrize("place", [0, 3, 19])
@pytest.mark.parametrize("threads", [1, 4])
def test_an_error_is_kept_and_nothing_later_appears(tmp_path, place, threads):
    def write_all():
        with fastup.write_stream(threads, ahead=4) as write:
            for i in range(20):
                write(tmp_path / f"{i}.dpx", flat(5000 if i == place else i))

    with pytest.raises(DataError, match=rf"{place}\.dpx: the frame holds codes above 1023"):
        write_all()
    assert sorted(int(path.stem) for path in tmp_path.iterdir()) == list(range(place))


def test_an_error_that_is_caught_is_raised_again(tmp_path):
    """Frames after one that failed would leave a gap: none of them appears, however often it is tried."""
    caught = []

    def write_all():
        with fastup.write_stream(threads=2, ahead=2) as write:
            for i in range(12):
                try:
                    write(tmp_path / f"{i}.dpx", flat(5000 if i == 3 else i))
                except DataError as error:
                    caught.append(str(error))
                time.sleep(0.02)

    with pytest.raises(DataError, match=r"3\.dpx: the frame holds codes above 1023"):
        write_all()
    assert len(caught) >= 2
    assert set(caught) == {
        f"{tmp_path / '3.dpx'}: the frame holds codes above 1023, the white of the file; nothing was written"
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.dpx", "1.dpx", "2.dpx"]


def test_the_first_of_several_errors_is_raised(tmp_path):
    def write_all():
        with fastup.write_stream(threads=4, ahead=10) as write:
            for i in range(8):
                write(tmp_path / ("missing" if i > 2 else "") / f"{i}.dpx", flat(i))

    with pytest.raises(FileNotFoundError, match=r"3\.dpx"):
        write_all()


def test_an_error_of_the_caller_passes_and_what_was_given_is_written(tmp_path):
    def write_some():
        with fastup.write_stream(threads=2, ahead=8) as write:
            for i in range(6):
                write(tmp_path / f"{i}.dpx", flat(i))
            raise ZeroDivisionError

    before = threading.active_count()
    with pytest.raises(ZeroDivisionError):
        write_some()
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{i}.dpx" for i in range(6)]
    assert threading.active_count() == before


def test_a_write_stream_checks_its_options():
    for options in ({"threads": 0}, {"ahead": 0}):
        with pytest.raises(ValueError, match="expected 1 or more"), fastup.write_stream(**options):
            pass


def test_a_killed_write_stream_leaves_the_first_so_many(tmp_path):
    code = """
import sys, numpy, fastup
frame = numpy.zeros((400, 700, 3), "uint16")
with fastup.write_stream(threads=3, ahead=6) as write:
    for i in range(100000):
        write(f"{sys.argv[1]}/{i}.dpx", frame)
"""
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path])
    try:
        while not (tmp_path / "20.dpx").exists() and process.poll() is None:
            time.sleep(0.001)
    finally:
        process.kill()
        process.wait()
    paths = fastup.find(tmp_path)
    assert [path.stem for path in paths] == [str(i) for i in range(len(paths))]
    assert len(paths) > 20
    for path in paths:
        assert fastup.read(path).shape == (400, 700, 3)
