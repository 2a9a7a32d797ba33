"""Any source through the chores to any sink: parts of it, film out of it, halos out of it, and what carries on."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import telecined
from telecined import SMALL
from test_cli import fails
from test_dehalo import drawing, peaked
from test_telecine import write_video
from test_upscale import _upscaler
from videos import cut, fast_start, video

import fastup
from fastup import Header
from fastup.errors import DataError, OptionError
from fastup.footage import chore, convert, degrade, dehalo, extract, halo, opening, telecine
from fastup.footage.halo import Estimate, Halo
from fastup.footage.pipe import Pipe, PipeSource
from fastup.upscale import film
from fastup.upscale.film import upscale
from fastup.upscale.upscaler import Upscaler

pytest.importorskip("av")

COUNT = 12


@pytest.fixture(scope="module")
def upscaler():
    return _upscaler(pixel_aspect=[1, 1])


@pytest.fixture(scope="module")
def tape(tmp_path_factory):
    """Noise as v210, twelve frames with a timecode."""
    rng = np.random.default_rng(0)
    frames = [
        [rng.integers(64, 900, shape).astype(np.uint16) for shape in ((16, 48), (16, 24), (16, 24))]
        for _ in range(COUNT)
    ]
    path = tmp_path_factory.mktemp("tape") / "tape.mov"
    return video(path, "v210", "yuv422p10le", frames, rate=25, metadata={"timecode": "01:00:00:00"})


@pytest.fixture(scope="module")
def stills(tape, tmp_path_factory):
    """The frames of the tape as DPX, and those upscaled."""
    folder = tmp_path_factory.mktemp("stills") / "sd"
    with opening.open_clip(tape) as clip:
        extract.run(extract.prepare(clip, folder))
    return folder


@pytest.fixture(scope="module")
def hd(upscaler, stills, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hd") / "hd"
    assert upscale(upscaler, stills, folder) == (COUNT, 0)
    return folder


def held(folder):
    """Bytes of the files in a folder, by name, without folders."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


def numbers(folder):
    return [int(name.split("_")[1][:7]) for name in held(folder)] if folder.exists() else []


def codes(path, pipe=None):
    """All frames of a source, 10-bit codes."""
    with opening.source(path, pipe=pipe) as source:
        return [frame for _, frame in source]


# -- any source ------------------------------------------------------------------------------------------------------


def test_a_video_gives_what_its_frames_give(upscaler, tape, stills, hd, tmp_path):
    heard = []
    assert upscale(upscaler, tape, tmp_path / "out", on_progress=lambda *p: heard.append(p[:2])) == (COUNT, 0)
    assert heard[-1] == (COUNT, COUNT)
    assert held(tmp_path / "out") == held(hd)
    header = fastup.read_header(tmp_path / "out" / "tape_0000003.dpx")
    assert (header.timecode, header.frame_position, header.frame_rate) == ("01:00:00:03", 3, 25)
    for path in (tmp_path / "out").iterdir():
        if int(path.stem[-1]) % 3:
            path.unlink()
    assert upscale(upscaler, tape, tmp_path / "out") == (7, 5)
    assert held(tmp_path / "out") == held(hd)
    assert upscale(upscaler, tape, tmp_path / "out") == (0, COUNT)


def test_a_pipe_gives_what_its_frames_give(upscaler, tape, stills, hd, tmp_path):
    """The header, but for what no pipe says: timecode, names and tags."""
    frames = [fastup.read(path) for path in fastup.find(stills)]
    data = b"".join(np.ascontiguousarray(frame[:, :, [1, 2, 0]].transpose(2, 0, 1)).tobytes() for frame in frames)
    source = PipeSource(io.BytesIO(data), pipe=Pipe("gbrp10le", (16, 48), Fraction(25)))
    assert upscale(upscaler, source, tmp_path / "out") == (COUNT, 0)
    for path, expected in zip(fastup.find(tmp_path / "out"), fastup.find(hd), strict=True):
        assert path.stem == expected.stem[-7:]
        np.testing.assert_array_equal(fastup.read(path), fastup.read(expected))
        assert fastup.read_header(path).frame_rate == 25


@pytest.mark.parametrize("source", ["tape", "stills"])
def test_frames_go_to_movies_and_pipes_as_to_folders(upscaler, tape, stills, hd, tmp_path, monkeypatch, source):
    given = {"tape": tape, "stills": stills}[source]
    expected = [fastup.read(path) for path in fastup.find(hd)]
    assert upscale(upscaler, given, tmp_path / "hd.mkv") == (COUNT, 0)
    assert os.listdir(tmp_path) == ["hd.mkv"]
    for frame, other in zip(codes(tmp_path / "hd.mkv"), expected, strict=True):
        np.testing.assert_array_equal(frame, other)
    assert upscale(upscaler, given, tmp_path / "hd.mkv") == (0, COUNT)
    with open(tmp_path / "hd.raw", "wb") as file:
        monkeypatch.setattr("fastup.footage.pipe.take_stdout", lambda: file)
        assert upscale(upscaler, given, "-", options={"pipe": Pipe("gbrp10le")}) == (COUNT, 0)
    made = np.fromfile(tmp_path / "hd.raw", "<u2").reshape(COUNT, 3, *expected[0].shape[:2])
    np.testing.assert_array_equal(made[:, [2, 0, 1]].transpose(0, 2, 3, 1), expected)


def test_extract_goes_to_movies_and_pipes(tape, stills, tmp_path, monkeypatch):
    expected = [fastup.read(path) for path in fastup.find(stills)]
    with opening.open_clip(tape) as clip:
        assert extract.run(extract.prepare(clip, tmp_path / "sd.mkv", every=3)) == (4, 0)
    np.testing.assert_array_equal(codes(tmp_path / "sd.mkv"), expected[::3])
    with opening.source(tmp_path / "sd.mkv") as source:
        assert source.rate == Fraction(25, 3)
    with open(tmp_path / "sd.raw", "wb") as file, opening.open_clip(tape) as clip:
        monkeypatch.setattr("fastup.footage.pipe.take_stdout", lambda: file)
        assert extract.run(extract.prepare(clip, "-", numbers="9-99", options={"pipe": Pipe("gbrp12le")})) == (3, 0)
    made = np.fromfile(tmp_path / "sd.raw", "<u2").reshape(3, 3, 16, 48)[:, [2, 0, 1]].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(made, np.floor(np.array(expected[9:]) * (4095 / 1023) + 0.5))


@pytest.mark.parametrize("name", ["tape", "telecined_video"])
def test_samples_are_the_frames_of_those_numbers(request, name):
    """Of the one each is gone to; the other is decoded up to the last."""
    with opening.open_clip(request.getfixturevalue(name)) as clip:
        wanted = [2, 3, 7, 11]
        expected = {number: planes for number, planes in clip.frames(0, 12) if number in wanted}
        found = dict(clip.samples(reversed(wanted)))
        assert list(found) == wanted
        for number in wanted:
            for plane, other in zip(found[number], expected[number], strict=True):
                np.testing.assert_array_equal(plane, other)
        assert list(clip.samples([])) == []
        assert [number for number, _ in clip.samples([4, 4000])] == [4]


@pytest.mark.parametrize(("suffix", "white"), [(".tif", 65535), (".png", 65535), (".exr", None)])
def test_formats_of_a_folder_hold_more_than_ten_bits(upscaler, stills, tmp_path, suffix, white):
    first = fastup.find(stills)[0]
    upscale(upscaler, first, tmp_path / "out", suffix=suffix)
    (path,) = (tmp_path / "out").iterdir()
    assert path.name == f"{first.stem}{suffix}"
    expected = upscaler(fastup.read(first, "float32"))
    if white is None:
        np.testing.assert_array_equal(fastup.read(path, "float32"), expected)
    else:
        assert np.abs(fastup.read(path) - expected.astype(float) * white).max() <= 0.5 + 1e-6 * white
    assert upscale(upscaler, first, tmp_path / "out", suffix=suffix) == (0, 1)


# -- parts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"start": 3, "end": 6}, [3, 4, 5]),
        ({"start": "01:00:00:10"}, [10, 11]),
        ({"end": "0:00:00.08"}, [0, 1]),
        ({"numbers": "4-6"}, [4, 5, 6]),
        ({"numbers": "4"}, [4]),
        ({"numbers": "10-400"}, [10, 11]),
        ({"numbers": "0-4", "start": 3}, [3, 4]),
        ({"numbers": "4-8", "end": 6}, [4, 5]),
        ({"numbers": "900-950"}, []),
        ({"numbers": "7-9", "end": 3}, []),
    ],
)
def test_parts_of_a_video(upscaler, tape, hd, tmp_path, options, expected):
    assert upscale(upscaler, tape, tmp_path / "out", **options) == (len(expected), 0)
    assert numbers(tmp_path / "out") == expected
    assert (tmp_path / "out").exists() == bool(expected)
    if expected:
        assert held(tmp_path / "out").items() <= held(hd).items()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("1003-1005", [1003, 1005]), ("1004", []), ("1-1002", [1001]), ("1007-9999", [1007]), ("2000-3000", [])],
)
def test_frames_of_a_folder_go_by_the_numbers_in_their_names(upscaler, stills, tmp_path, asked, expected):
    folder = tmp_path / "in"
    folder.mkdir()
    for number, path in zip((1001, 1003, 1005, 1007), fastup.find(stills), strict=False):
        (folder / f"shot7.{number}.dpx").symlink_to(path)
    names = [f"shot7.{number}.dpx" for number in expected]
    out = tmp_path / "out"
    assert upscale(upscaler, folder, out, numbers=asked) == (len(expected), 0)
    assert (sorted(os.listdir(out)) if out.exists() else []) == names
    plan = convert.prepare(folder, tmp_path / "png", "png", numbers=asked)
    assert convert.run(plan) == (len(expected), 0)
    with opening.open_clip(folder) as clip:
        first, last = chore.part(clip, numbers=asked)
        assert [clip.name(n) for n, _ in clip.frames(first, last)] == [name[:-4] for name in names]


def test_a_part_of_a_folder_by_its_order(upscaler, stills, hd, tmp_path):
    assert upscale(upscaler, stills, tmp_path / "out", start=2, end="5") == (3, 0)
    assert held(tmp_path / "out").items() <= held(hd).items()
    assert numbers(tmp_path / "out") == [2, 3, 4]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"numbers": "6-4"}, r"frames is '6-4', expected numbers as 101-150, or 101"),
        ({"numbers": "4-"}, "frames is '4-'"),
        ({"numbers": "a"}, "frames is 'a'"),
        ({"start": 5, "end": 5}, "end is frame 5, expected one after start"),
        ({"start": COUNT}, "start is frame 12, expected one of the 12"),
        ({"start": "01:00:00:00"}, "start is '01:00:00:00', expected a frame's number: .* has no times"),
        ({"order": "top"}, "order is top, but nothing is detelecined"),
        ({"suffix": ".png", "options": {"codec": "prores"}}, "codec is given, but .* is a folder"),
    ],
)
def test_parts_and_options_that_cannot_be(upscaler, stills, tmp_path, options, words):
    with pytest.raises(OptionError, match=words):
        upscale(upscaler, stills, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_numbers_need_one_sequence(upscaler, stills, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, path in zip(("a.1.dpx", "a.2.dpx", "b.1.dpx", "b.2.dpx"), fastup.find(stills), strict=False):
        (folder / name).symlink_to(path)
    with pytest.raises(OptionError, match=r"frames is 1-2, but .* holds frames of 2 sequences; expected one"):
        upscale(upscaler, folder, tmp_path / "out", numbers="1-2")
    (folder / "a.2.dpx").rename(folder / "x.dpx")
    with pytest.raises(OptionError, match="without a number in its name"):
        upscale(upscaler, folder / "x.dpx", tmp_path / "out", numbers="1-2")


def test_a_start_beyond_the_end_of_a_video(upscaler, tape, tmp_path):
    with pytest.raises(OptionError, match=r"start is frame 12, but .*tape\.mov ends before it"):
        upscale(upscaler, tape, tmp_path / "out", start=COUNT)


def test_chunks_give_the_whole(upscaler, tape, hd, tmp_path):
    """As on the machines of a render farm, in any order."""
    for asked in ("8-11", "0-3", "4-7", "12-15"):
        upscale(upscaler, tape, tmp_path / "out", numbers=asked)
    assert held(tmp_path / "out") == held(hd)


# -- what cannot be --------------------------------------------------------------------------------------------------


def test_a_video_that_is_not_whole_cells_is_refused_before_anything_is_made(upscaler, tmp_path):
    frames = [[np.full(shape, 300, np.uint16) for shape in ((18, 48), (18, 24), (18, 24))]] * 2
    path = video(tmp_path / "odd.mov", "v210", "yuv422p10le", frames)
    for place in ("out", "out.mkv"):
        with pytest.raises(DataError, match=r"odd\.mov: the picture is 48x18, which is not whole pixels"):
            upscale(upscaler, path, tmp_path / place)
    assert os.listdir(tmp_path) == ["odd.mov"]
    with film.opened(path, lines=16) as source:
        assert upscale(upscaler, source, tmp_path / "out") == (2, 0)
    with pytest.raises(OptionError, match=r"lines is 16, but .* holds frames"):
        film.opened(tmp_path / "out", lines=16)
    with pytest.raises(OptionError, match=r"range is keep, but .* holds frames"):
        film.opened(tmp_path / "out", keep=True)


@pytest.mark.parametrize("place", ["out", "out.mkv"])
def test_what_is_left_of_a_video_that_was_cut_short_is_kept(upscaler, tape, hd, tmp_path, place):
    path = cut(fast_start(tape, tmp_path / "tape.mov"), 0.6)
    words = r"tape\.mov: cut short: (\d+) of 12 frames .*; \1 frames are in"
    for said in (
        words,
        words if place == "out" else r"tape\.mov: cut short before frame 11 of 12; what there is is in",
    ):
        with pytest.raises(DataError, match=said):
            upscale(upscaler, path, tmp_path / place)
        made = codes(tmp_path / place)
        assert 3 < len(made) < COUNT
        for frame, expected in zip(made, fastup.find(hd), strict=False):
            np.testing.assert_array_equal(frame, fastup.read(expected))


def test_a_movie_that_was_begun_otherwise_is_not_gone_on_with(upscaler, tmp_path):
    frames = [[np.full(shape, 100 + n, np.uint16) for shape in ((8, 12), (8, 6), (8, 6))] for n in range(60)]
    tape, movie = video(tmp_path / "tape.mov", "v210", "yuv422p10le", frames), tmp_path / "hd.mkv"

    def stop(done, *_):
        if done == 55:  # the encoder is behind by no more than a few frames, and the first part has 25
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscale(upscaler, tape, movie, on_progress=stop)
    assert not movie.exists()
    with pytest.raises(DataError, match="begun with range full, found keep; expected the same command"):
        upscale(upscaler, film.opened(tape, keep=True), movie)
    with pytest.raises(DataError, match="begun with codec FFV1, found ProRes"):
        upscale(upscaler, tape, movie, options={"codec": "prores"})
    written, skipped = upscale(upscaler, tape, movie)
    assert written + skipped == 60
    assert skipped in (25, 50)
    assert upscale(upscaler, tape, tmp_path / "whole.mkv") == (60, 0)
    assert movie.read_bytes() == (tmp_path / "whole.mkv").read_bytes()


def test_the_input_is_not_written_over(upscaler, tape):
    before = tape.read_bytes()
    with pytest.raises(DataError, match=r"tape\.mov: this is the input; expected another place"):
        upscale(upscaler, tape, tape, overwrite=True)
    assert tape.read_bytes() == before


# -- film, and halos -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def telecined_video(tmp_path_factory):
    path = tmp_path_factory.mktemp("telecined") / "tape.mkv"
    write_video(path, telecined.make(replace(SMALL, frames=40), 5).frames, "yuv422p10le")
    return path


def test_film_in_the_same_pass_is_film_by_way_of_a_folder(upscaler, telecined_video, tmp_path):
    """Bytes: film is of 10-bit codes either way."""
    report = telecine.detelecine(telecined_video, tmp_path / "film")
    upscale(upscaler, tmp_path / "film", tmp_path / "expected")
    assert upscale(upscaler, telecined_video, tmp_path / "hd", detelecine=True) == (report["written"], 0)
    assert held(tmp_path / "hd") == held(tmp_path / "expected")
    kept = [(tmp_path / place / "telecine" / "tape.json").read_text() for place in ("film", "hd")]
    assert kept[0] == kept[1]
    (tmp_path / "hd" / "tape_0000005.dpx").unlink()
    assert upscale(upscaler, telecined_video, tmp_path / "hd", detelecine=True) == (1, report["written"] - 1)
    assert held(tmp_path / "hd") == held(tmp_path / "expected")
    for other, words in ({"lines": 92}, "is there already, but would be"), ({"keep": True}, "woven otherwise"):
        clip = film.opened(telecined_video, detelecine=True, **other)
        with pytest.raises(DataError, match=words):
            upscale(upscaler, clip, tmp_path / "hd", detelecine=True)
    movie = tmp_path / "hd.mkv"
    assert upscale(upscaler, telecined_video, movie, detelecine=True, numbers="3-6") == (4, 0)
    for frame, number in zip(codes(movie), range(3, 7), strict=True):
        np.testing.assert_array_equal(frame, fastup.read(tmp_path / "expected" / f"tape_{number:07d}.dpx"))
    assert json.loads((tmp_path / "hd.mkv.telecine" / "tape.json").read_text())["film_frames"] == report["film_frames"]
    with opening.source(movie) as source:
        assert source.rate == Fraction(24000, 1001)


def test_film_goes_to_a_movie(telecined_video, tmp_path):
    report = telecine.detelecine(telecined_video, tmp_path / "film")
    told = telecine.detelecine(telecined_video, tmp_path / "film.mkv")
    assert told["written"] == report["written"]
    assert told["details"] == str(tmp_path / "film.mkv.telecine")
    for frame, path in zip(codes(tmp_path / "film.mkv"), fastup.find(tmp_path / "film"), strict=True):
        np.testing.assert_array_equal(frame, fastup.read(path))
    assert telecine.detelecine(telecined_video, tmp_path / "film.mkv")["skipped"] == report["written"]


def test_damage_is_told_of_the_frames_that_it_may_touch(telecined_video):
    """A worker of a render farm does not fail for what another one has to do with."""
    with opening.open_clip(telecined_video) as clip:
        found = telecine.find(clip)
    found.damage, count = "it is damaged", len(found)
    for start, end in ((0, None), (0, count), (count - 1, count)):
        assert found.missing(start, end) == "it is damaged"
    assert found.missing(4, 9) is None
    found.cadence = replace(found.cadence, lost=(20,))
    told = [number for number in range(count - 1) if found.missing(number, number + 1)]
    assert told == [n for n, woven in enumerate(found.woven[:-1]) if min(woven[:2]) <= 20 <= max(woven[:2])]
    assert told


@pytest.fixture
def known(monkeypatch):
    """Kernels are not estimated but known; gives how many pictures were looked at."""
    kernel, looked = Halo(0.8, 1.6), []

    def estimate(pictures):
        looked.append(len(list(pictures)))
        return Estimate(kernel.taps, kernel, 100, 0.002, 0.3, 0.0)

    monkeypatch.setattr(halo, "estimate", estimate)
    return looked


def test_halos_out_in_the_same_pass(upscaler, tmp_path, known):
    """As by way of a folder, to within a code: there frames are rounded to 10 bits in between."""
    (tmp_path / "in").mkdir()
    for n, picture in enumerate(peaked([drawing(k, (48, 64)) for k in range(5)], Halo(0.8, 1.6))):
        fastup.write(tmp_path / "in" / f"f{n}.dpx", picture, Header.new(64, 48))
    dehalo.run(dehalo.prepare(tmp_path / "in", tmp_path / "clean"))
    upscale(upscaler, tmp_path / "clean", tmp_path / "expected")
    assert upscale(upscaler, tmp_path / "in", tmp_path / "hd", without_halo=True) == (5, 0)
    assert known == [5, 5]
    for path in fastup.find(tmp_path / "expected"):
        made = fastup.read(tmp_path / "hd" / path.name).astype(int)
        assert np.abs(made - fastup.read(path)).max() <= 1
        assert np.abs(made - upscaler(fastup.read(tmp_path / "in" / path.name))).max() > 20
    source = opening.source(tmp_path / "in")
    clean = dehalo.find(chore.Plan(source, tmp_path / "x"), dehalo.facts(source))
    for (_, raw), path in zip(clean.frames(), fastup.find(tmp_path / "hd"), strict=True):  # exactly what floats give
        expected = np.float64(upscaler(clean.pixels(raw, "float32")))
        np.testing.assert_array_equal(fastup.read(path), np.floor(expected * 1023 + 0.5))
    (tmp_path / "hd" / "f2.dpx").unlink()
    known.clear()
    assert upscale(upscaler, tmp_path / "in", tmp_path / "hd", without_halo=True) == (1, 4)
    assert known == []  # the kernel that the other frames have
    assert json.loads((tmp_path / "hd" / "dehalo" / "kernel.json").read_text())["halo"]["peaking"] == 0.8
    (tmp_path / "hd" / "f2.dpx").unlink()
    (tmp_path / "hd" / "dehalo" / "kernel.json").unlink()
    with pytest.raises(DataError, match="it is not known which kernel"):
        upscale(upscaler, tmp_path / "in", tmp_path / "hd", without_halo=True)


def test_halos_out_of_a_video(tape, stills, tmp_path, known):
    dehalo.run(dehalo.prepare(stills, tmp_path / "a"))
    dehalo.run(dehalo.prepare(tape, tmp_path / "b"))
    assert known == [COUNT, COUNT]
    assert held(tmp_path / "a") == held(tmp_path / "b")
    movie = tmp_path / "c.mkv"
    assert dehalo.run(dehalo.prepare(tape, movie, numbers="2-5")) == (4, 0)
    for frame, path in zip(codes(movie), fastup.find(tmp_path / "a")[2:], strict=False):
        np.testing.assert_array_equal(frame, fastup.read(path))
    assert json.loads((tmp_path / "c.mkv.dehalo" / "kernel.json").read_text())["edges"] == 100


def test_film_without_halos(upscaler, telecined_video, tmp_path, known):
    heard, options = [], {"detelecine": True, "without_halo": True, "numbers": "4-5"}
    made = upscale(upscaler, telecined_video, tmp_path / "hd", on_note=heard.append, **options)
    assert made == (2, 0)
    assert re.fullmatch(r"\d+ frames of video are 37 of film, of which \d+ are doubtful", heard[-2])
    assert heard[-1] == "halos overshoot by 30.0% of a step, by 0.0% once they are undone"
    assert (tmp_path / "hd" / "dehalo" / "kernel.png").stat().st_size > 10_000
    assert sorted(os.listdir(tmp_path / "hd")) == ["dehalo", "tape_0000004.dpx", "tape_0000005.dpx", "telecine"]


@pytest.mark.parametrize("options", [{"detelecine": True}, {"without_halo": True}])
def test_a_pipe_is_read_once(upscaler, tmp_path, options):
    data = bytes(2 * 3 * 16 * 48 * 2)
    source = PipeSource(io.BytesIO(data), pipe=Pipe("gbrp10le", (16, 48), Fraction(30000, 1001)))
    with pytest.raises(OptionError, match=r"read twice, .* but INPUT is a pipe"):
        upscale(upscaler, source, tmp_path / "out", **options)


# -- convert ---------------------------------------------------------------------------------------------------------


def test_videos_are_converted_as_their_frames_are(tape, stills, tmp_path):
    for name, options in (("plain", {}), ("curve", {"source_curve": "rec709", "target_curve": "linear"})):
        for source, place in ((stills, f"{name}-stills"), (opening.open_clip(tape), f"{name}-tape")):
            plan = convert.prepare(source, tmp_path / place, "png", **options)
            assert list(plan.assumed.values()) == [COUNT]
            assert convert.run(plan) == (COUNT, 0)
        assert held(tmp_path / f"{name}-stills") == held(tmp_path / f"{name}-tape")
    with pytest.raises(OptionError, match=r"a\.png: a file, expected a folder, as .*tape\.mov is video"):
        convert.prepare(opening.open_clip(tape), tmp_path / "a.png")
    with pytest.raises(OptionError, match=r"format is png, but .* is no folder"):
        convert.prepare(stills, tmp_path / "a.mkv", "png")
    with pytest.raises(OptionError, match="layer is A, but"):
        convert.prepare(opening.open_clip(tape), tmp_path / "a", "png", layer="A")


@pytest.mark.parametrize(("bits", "white"), [(None, 1023), (12, 4095), (16, 65535)])
def test_a_folder_becomes_a_movie_with_codes_as_they_are(stills, tmp_path, bits, white):
    plan = convert.prepare(stills, tmp_path / "a.mkv", bits=bits)
    assert next(iter(plan.assumed)).startswith("DPX of 10 bits to MKV, transfer as it is")
    assert convert.run(plan) == (COUNT, 0)
    with opening.source(tmp_path / "a.mkv") as source:
        for (_, planes), path in zip(source.frames(), fastup.find(stills), strict=True):
            expected = np.floor(fastup.read(path) * (white / 1023) + 0.5)
            np.testing.assert_array_equal(planes[0], expected)


def test_twins_of_a_video_are_those_of_its_frames(tape, stills, tmp_path):
    for name, options in (("auto", {}), ("given", {"trim": (8, 8, 0, 0), "tape": {"noise": (0.01, 0.02)}, "seed": 3})):
        for source, place in ((stills, f"{name}-stills"), (tape, f"{name}-tape")):
            plan = degrade.prepare(source, tmp_path / place, (8, 24), **options)
            assert degrade.run(plan) == (COUNT, 0)
        assert held(tmp_path / f"{name}-stills") == held(tmp_path / f"{name}-tape")
    pipe = PipeSource(io.BytesIO(bytes(2 * 3 * 16 * 48 * 2)), pipe=Pipe("gbrp10le", (16, 48)))
    with pytest.raises(OptionError, match="INPUT is a pipe; expected a trim"):
        degrade.prepare(pipe, tmp_path / "pipe", (8, 24))
    assert degrade.run(degrade.prepare(pipe, tmp_path / "pipe", (8, 24), (0, 0, 0, 0))) == (2, 0)


# -- a kill ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(upscaler, tmp_path_factory):
    """The model as ONNX, with which a process starts at once."""
    pytest.importorskip("onnxruntime")
    from fastup.upscale.export import export

    return export(upscaler.model.network, tmp_path_factory.mktemp("model") / "m.onnx").path


def start(*arguments):
    script = "import sys; from fastup.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_what_is_killed_carries_on_to_the_same_bytes(exported, tmp_path):
    rng = np.random.default_rng(1)
    frames = [
        [rng.integers(64, 900, shape).astype(np.uint16) for shape in ((96, 160), (96, 80), (96, 80))] for _ in range(60)
    ]
    tape, out = video(tmp_path / "tape.mov", "v210", "yuv422p10le", frames), tmp_path / "out"
    command = "upscale", exported, tape, out, "--engine", "onnxruntime"
    process = start(*command)
    while process.poll() is None and not any(re.search(r"\d\.dpx$", path.name) for path in out.glob("[!.]*")):
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 0 < len(list(out.glob("[!.]*.dpx"))) <= 60
    process = start(*command)
    told, said = process.communicate()
    assert process.returncode == 0, said
    assert re.search(r"\d+ frames? upscaled to ", told)
    assert upscale(Upscaler(exported, "onnxruntime", parallel=film.PARALLEL), tape, tmp_path / "whole") == (60, 0)
    assert held(out) == held(tmp_path / "whole")


# -- the commands ----------------------------------------------------------------------------------------------------


def test_the_command_takes_videos_and_chunks(run, exported, tape, tmp_path):
    code, out, err = run("upscale", exported, tape, tmp_path / "out", "--frames", "3-5", "--engine", "onnxruntime")
    assert (code, err) == (0, "")
    assert "v210, yuv422p10le, 48x16" in out
    assert "3 frames upscaled" in out
    code, out, _ = run("upscale", exported, tape, tmp_path / "none", "--frames", "900-950", "--engine", "onnxruntime")
    assert code == 0
    assert "0 frames upscaled" in out
    assert "there are no frames 900-950" in " ".join(out.split())
    code, out, _ = run("extract", tape, tmp_path / "x.mov", "--frames", "90")
    assert code == 0
    assert "0 frames extracted" in out
    assert not (tmp_path / "x.mov").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("out", "--codec", "prores"), "codec is prores, but OUTPUT is no movie"),
        (("out.mov", "--codec", "vp9"), "codec is 'vp9', expected one of prores"),
        (("out.mov", "--format", "png"), "format is png, but out.mov is no folder"),
        (("out", "--raw", "gbrp10le"), "neither INPUT nor OUTPUT is -, a pipe"),
        (("out", "--size", "720x480"), "size is 720x480, but INPUT is not -"),
        (("out", "--rate", "25"), "there is neither a pipe nor a movie"),
        (("out.mov", "--rate", "1/0"), "rate is '1/0', expected frames per second"),
        (("out", "--pixels", "yuv420p"), "OUTPUT is not -"),
        (("out", "--order", "top"), "order is top, but nothing is detelecined"),
        (("out", "--frames", "9-3"), "frames is '9-3'"),
    ],
)
def test_options_that_do_not_fit_are_one_line(run, exported, tape, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("upscale", exported, tape, *arguments, "--engine", "onnxruntime")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert words in err
    assert os.listdir(tmp_path) == []


def test_a_movie_needs_a_rate(run, tmp_path):
    (tmp_path / "in").mkdir()
    fastup.write(tmp_path / "in" / "f1.png", np.zeros((16, 32, 3), np.uint16))
    fails(run("convert", tmp_path / "in", tmp_path / "a.mkv"), 2, "a.mkv: no frame rate", "--rate 24000/1001")
    code, out, _ = run("convert", tmp_path / "in", tmp_path / "a.mkv", "--rate", "23.976")
    assert code == 0
    assert "1 frame converted" in out
    with opening.source(tmp_path / "a.mkv") as source:
        assert source.rate == Fraction(24000, 1001)
