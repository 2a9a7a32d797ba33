"""Movies: what is encoded, tagged, joined and carried over; kills in between; and what is refused."""

import dataclasses
import os
import signal
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest
from videos import decoded

from fastup import _ycbcr
from fastup.footage import codecs
from fastup.footage.movie import Movie
from fastup.footage.opening import open_clip
from fastup.header import Header

av = pytest.importorskip("av")

FILM = Fraction(24000, 1001)
HEIGHT, WIDTH, COUNT = 48, 64, 10
EVERY_WAY = [(name, suffix) for name, codec in codecs.CODECS.items() for suffix in codec.suffixes]


@pytest.fixture(autouse=True)
def short_parts(monkeypatch):
    """Parts of four frames: three of the ten."""
    for name, codec in codecs.CODECS.items():
        monkeypatch.setitem(codecs.CODECS, name, dataclasses.replace(codec, part=4))


def pictures(count=COUNT, height=HEIGHT, width=WIDTH):
    """Ramps that move, of 10-bit codes."""
    ramp = np.add.outer(np.arange(height) * 9, np.arange(width) * 7)[..., np.newaxis]
    return [np.clip(ramp + [0, 50, 100] + 5 * n, 0, 1023).astype(np.uint16) for n in range(count)]


def header(height=HEIGHT, width=WIDTH, **more):
    more = {"pixel_aspect": Fraction(8, 9), "timecode": "01:00:00:00", "transfer": "REC_601_525"} | more
    return Header.new(width, height, colorimetric="REC_601_525", **more)


def write(path, frames=None, *, of=None, **options):
    """A movie of frames, or those that are not made yet; its notes."""
    with Movie(path, **{"rate": FILM} | options) as movie:
        for number, frame in enumerate(pictures() if frames is None else frames):
            if not movie.is_made(number):
                movie.write(frame, header(*frame.shape[:2]) if of is None else of, number)
    assert not list(path.parent.glob(".*"))
    return movie.notes


def packets(path, kind="video", **where):
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [
            (p.pts * p.time_base, p.dts and p.dts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size
        ]


@pytest.mark.parametrize(("name", "suffix"), EVERY_WAY)
def test_every_codec_in_every_container(tmp_path, name, suffix):
    path, codec = tmp_path / f"film{suffix}", codecs.CODECS[name]
    assert write(path, codec=name) == []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.average_rate == FILM
        times = [frame.pts * frame.time_base * FILM for frame in container.decode(video=0)]
    assert np.abs(np.array(times, float) - np.arange(COUNT)).max() < (0.02 if suffix == ".mkv" else 1e-12)
    decode_times = [dts for _, dts, _ in packets(path) if dts is not None]
    assert decode_times == sorted(set(decode_times))
    with open_clip(path) as clip:
        assert (clip.rate, clip.timecode, clip.size) == (FILM, "01:00:00:00", (HEIGHT, WIDTH))
        assert clip.settings["colorimetric"] == "Rec.601 525 lines (tag)"
        assert clip.settings["transfer"] == ("Rec.709 (tag)" if codec.apple else "Rec.601 525 lines (tag)")
        if codec.subsampling:
            assert clip.settings["matrix"] == "Rec.601 (tag)"
            assert clip.settings["range"].startswith("limited")
            assert clip.siting == "left"
        assert clip.field_order is None
        found = [clip.pixels(raw) for _, raw in clip.frames()]
    worst = {"ffv1": 0, "v210": 1, "prores": 3, "prores4444": 3, "h265": 30, "h264": 20}[name]
    for frame, made in zip(pictures(), found, strict=True):
        assert np.abs(frame.astype(int) - made).max() <= worst


def test_v210_has_the_planes_as_they_are(tmp_path):
    frames = pictures()
    write(tmp_path / "film.mov", frames, codec="v210")
    for frame, planes in zip(frames, decoded(tmp_path / "film.mov", 2), strict=True):
        for made, plane in zip(_ycbcr.planes(frame, 1023, 10, matrix="601"), planes, strict=True):
            np.testing.assert_array_equal(made, plane)


def test_killed_between_parts_it_ends_with_the_same_bytes(tmp_path):
    for name in ("film.mov", "film.mp4"):
        (tmp_path / "whole").mkdir(exist_ok=True)
        write(tmp_path / "whole" / name)
    code = """
import dataclasses, os, signal, sys
sys.path.insert(0, sys.argv[1])
from test_movie import codecs, header, pictures, Movie, FILM
from pathlib import Path
for name, codec in list(codecs.CODECS.items()):
    codecs.CODECS[name] = dataclasses.replace(codec, part=4)
write = Movie._write_part
def killed(movie, group):
    if movie._found():
        next(group)
        os.kill(os.getpid(), signal.SIGKILL)
    write(movie, group)
Movie._write_part = killed
with Movie(Path(sys.argv[2]), rate=FILM) as movie:
    for number, frame in enumerate(pictures()):
        movie.write(frame, header(), number)
"""
    for name in ("film.mov", "film.mp4"):
        path = tmp_path / "killed" / name
        tests = os.path.dirname(__file__)
        ended = subprocess.run([sys.executable, "-c", code, tests, str(path)], check=False, capture_output=True)
        assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
        assert not path.exists()
        with Movie(path, rate=FILM) as movie:
            made = [movie.is_made(number) for number in range(COUNT)]
            assert made == [True] * 4 + [False] * 6
            for number, frame in enumerate(pictures()):
                if not made[number]:
                    movie.write(frame, header(), number)
        assert path.read_bytes() == (tmp_path / "whole" / name).read_bytes()
        assert os.listdir(path.parent) == [name]
        path.unlink()
