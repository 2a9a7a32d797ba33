"""Sinks: frames appear in order under their names, each whole or not at all."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastup
from fastup.errors import DataError
from fastup.header import Header


def frame(value, size=(4, 6)):
    return np.full((*size, 3), value, np.uint16)


def test_frames_are_named_after_a_source_or_numbered(tmp_path, tape):
    pytest.importorskip("av")
    out = tmp_path / "new" / "out"
    with fastup.source(tape) as frames, fastup.sink(out, like=frames) as film:
        assert not out.exists()  # before there is something to write
        for header, pixels in frames.stream(0, 3):
            film.write(pixels, header)
        film.write(frame(7), number=9)
    assert sorted(os.listdir(out)) == [f"tape_{n:07d}.dpx" for n in (0, 1, 2, 9)]
    assert fastup.read_header(out / "tape_0000001.dpx").frame_position == 1
    with fastup.source(tape) as frames, fastup.sink(tmp_path / "part", like=frames, start=5) as film:
        for header, pixels in frames.stream(5, 7):
            film.write(pixels, header)
    for path in fastup.find(tmp_path / "part"):
        assert path.stem == f"tape_{fastup.read_header(path).frame_position:07d}"
    with fastup.sink(tmp_path / "numbered", suffix=".tif") as film:
        film.write(frame(1), Header.new(6, 4, bits=16))
        film.write(frame(2), Header.new(6, 4, bits=16))
    assert sorted(os.listdir(tmp_path / "numbered")) == ["0000000.tif", "0000001.tif"]
    assert fastup.read(tmp_path / "numbered" / "0000001.tif").max() == 2


def test_frames_are_named_after_a_video_of_unknown_length_too(tmp_path, tape):
    pytest.importorskip("av")
    with fastup.source(tape) as frames, fastup.sink(tmp_path / "out", like=frames) as film:
        frames.frame_count = None  # as of an elementary stream
        for header, pixels in frames.stream(0, 2):
            film.write(pixels, header)
    assert sorted(os.listdir(tmp_path / "out")) == ["tape_0000000.dpx", "tape_0000001.dpx"]


def test_a_file_is_no_place_for_frames(tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(DataError, match="out: a file, expected a folder"):
        fastup.sink(tmp_path / "out")


def test_a_sink_does_not_write_over_the_frames_of_its_source(tmp_path):
    fastup.write(tmp_path / "f1.dpx", frame(1))
    for path in (tmp_path, tmp_path / "f1.dpx"):
        with pytest.raises(DataError, match=r"f1\.dpx: this is an input frame"):
            fastup.sink(tmp_path, like=fastup.source(path))
    with fastup.sink(tmp_path, like=fastup.source(tmp_path), suffix=".tif") as film:
        film.write(frame(2))
    assert sorted(os.listdir(tmp_path)) == ["f1.dpx", "f1.tif"]


def test_no_frame_appears_after_one_that_cannot_be_written(tmp_path):
    def write():
        with fastup.sink(tmp_path / "out") as film:
            for n in range(20):
                film.write(frame(n if n != 5 else 1024))

    with pytest.raises(DataError, match=r"0000005\.dpx"):
        write()
    assert sorted(os.listdir(tmp_path / "out")) == [f"{n:07d}.dpx" for n in range(5)]


SCRIPT = """
import sys, numpy as np, fastup
with fastup.sink(sys.argv[1]) as film:
    for n in range(100000):
        film.write(np.full((300, 400, 3), n % 1000, np.uint16))
        print(n, flush=True)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_what_is_there_after_a_kill_is_whole_and_the_first_so_many(tmp_path, how):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, out], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    for line in process.stdout:
        if int(line) == 12:
            break
    process.send_signal(how)
    process.communicate()
    named = sorted(name for name in os.listdir(out) if name[0] != ".")
    assert named == [f"{n:07d}.dpx" for n in range(len(named))]
    assert len(named) >= 8
    for n, name in enumerate(named):
        assert (fastup.read(out / name) == n).all()
    if how == signal.SIGINT:
        assert named == sorted(os.listdir(out))
    with fastup.sink(out) as film:
        film.write(frame(0))
    time.sleep(0.01)
    assert not [name for name in os.listdir(out) if name[0] == "."]  # what was left is cleared away
