"""Extraction: which frames go where, carrying on, and files that are damaged."""

import json
import os
import sys

import naive
import numpy as np
import pytest
from videos import assert_rounds, cut, extract, extracted, fast_start, noise, numbers, video

import fastup
from fastup.errors import DataError, OptionError
from fastup.footage.opening import open_clip
from fastup.header import Header

av = pytest.importorskip("av")


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux alone")
def test_names_of_any_bytes(tmp_path, tape):
    odd = tape.rename(tmp_path / os.fsdecode(b"t\xe9\xff.mov"))
    found = extracted(odd, tmp_path / os.fsdecode(b"o\xff"), end=2)
    assert len(found) == 2
    assert {header.source_file_name for _, header in found.values()} == {"t.mov"}  # what of it is text
    odd.write_bytes(b"nothing" * 100)
    with pytest.raises(DataError) as caught:
        open_clip(odd)
    assert str(caught.value).startswith(f"{odd}: not a video that FFmpeg can read")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, range(20)),
        ({"start": 3, "end": 9, "every": 4}, [3, 7]),
        ({"start": "0:00:01", "end": "0:01.25"}, [10, 11, 12]),
        ({"start": "01:00:01:05", "end": 17}, [15, 16]),
        ({"start": "18", "end": 400}, [18, 19]),
    ],
)
def test_frames_are_chosen_by_number_time_and_timecode(tmp_path, tape, options, expected):
    done = []
    out = tmp_path / "out"
    counts = extract(tape, out, on_progress=lambda *count: done.append(count), **options)
    assert (counts, numbers(out)) == ((len(expected), 0), list(expected))
    assert done == [(n + 1, len(expected), "extracting") for n in range(len(expected))]
    for n, path in zip(expected, sorted(out.iterdir()), strict=True):
        planes = [np.full(shape, 300 + 10 * n, np.uint16) for shape in ((30, 48), (30, 24), (30, 24))]
        assert_rounds(fastup.read(path), naive.rgb_of_planes(planes, 10, "601"))
        assert Header.read(path).frame_position == n


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": "soon"}, "start is 'soon', expected a frame's number"),
        ({"end": "-3"}, "end is '-3', expected a frame's number"),
        ({"end": "00:59:00:00"}, "end is 00:59:00:00, before the first frame, which is 01:00:00:00"),
        ({"start": 5, "end": 5}, "end is frame 5, expected one after start"),
        ({"start": 50}, "start is frame 50, but"),
        ({"every": 0}, "every is 0"),
        ({"lines": 29}, "lines is 29, expected the 30 of"),
        ({"lines": 32}, "lines is 32"),
        ({"lines": 0}, "lines is 0"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path, tape, options, words):
    with pytest.raises(OptionError, match=words):
        extract(tape, tmp_path / "out", **options)
    assert not list((tmp_path / "out").iterdir() if (tmp_path / "out").exists() else [])


def test_positions_need_a_rate_and_a_timecode(tmp_path):
    path = video(tmp_path / "v.mkv", "ffv1", "yuv420p", [noise(0, 8, (8, 8), (4, 4), (4, 4))])
    with open_clip(path) as source, pytest.raises(OptionError, match="has no timecode"):
        source.frame_number("01:00:00:00")
    (tmp_path / "stills").mkdir()
    fastup.write(tmp_path / "stills" / "a.png", np.zeros((4, 4, 3), np.uint16))
    with open_clip(tmp_path / "stills") as source, pytest.raises(OptionError, match="has no frame rate"):
        source.frame_number("0:00:01")


@pytest.mark.parametrize(("lines", "top"), [(30, 0), (28, 2), (26, 2), (24, 4), (22, 4), (20, 6)])
def test_lines_are_taken_off_in_pairs(tmp_path, lines, top):
    planes = [np.repeat(np.arange(300, 330, dtype=np.uint16)[:, np.newaxis], w, 1) for w in (48, 24, 24)]
    path = video(tmp_path / "v.mov", "v210", "yuv422p10le", [planes])
    with open_clip(path) as source:
        extract(source, tmp_path / "whole")
        extract(source, tmp_path / "out", lines=lines)
        assert any("off the top" in note for note in source.notes) == (lines < 30)
    (whole,), (path,) = (list((tmp_path / name).iterdir()) for name in ("whole", "out"))
    np.testing.assert_array_equal(fastup.read(path), fastup.read(whole)[top : top + lines])
    assert Header.read(path).height == lines


def test_a_second_run_carries_on(tmp_path, tape):
    out = tmp_path / "out"
    assert extract(tape, out) == (20, 0)
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    for n in (4, 11, 19):
        (out / f"tape_{n:07d}.dpx").unlink()
    assert extract(tape, out) == (3, 17)
    assert numbers(out) == list(range(20))
    changed = [path.stem for path, time in times.items() if path.stat().st_mtime_ns != time]
    assert sorted(changed) == ["tape_0000004", "tape_0000011", "tape_0000019"]
    assert extract(tape, out) == (0, 20)
    assert extract(tape, out, overwrite=True, end=2) == (2, 0)


# -- bad files -------------------------------------------------------------------------------------------------------


def test_what_is_left_of_a_video_that_was_cut_short_is_kept(tmp_path, tape):
    path = cut(fast_start(tape, tmp_path / "short.mov"), 0.5)
    with pytest.raises(
        DataError, match=r"short\.mov: cut short: (\d+) of 20 frames can be decoded; \1 frames are in"
    ) as e:
        extract(path, tmp_path / "out")
    assert "\n" not in str(e.value)
    kept = numbers(tmp_path / "out")
    assert kept == list(range(len(kept)))
    assert 5 < len(kept) < 15
    with pytest.raises(DataError, match="cut short"):  # and again, where there is nothing left to do
        extract(path, tmp_path / "out")
    assert extract(path, tmp_path / "part", end=4) == (4, 0)  # which are whole


def test_a_loop_over_a_video_that_was_cut_short_ends_with_that(tmp_path, tape):
    path, frames = cut(fast_start(tape, tmp_path / "short.mov"), 0.5), []
    with fastup.source(path) as source, pytest.raises(DataError, match=r"short\.mov: cut short: \d+ of 20 frames"):
        frames.extend(source)
    with fastup.source(path) as source:
        assert len(list(source.stream(0, 4))) == 4  # which are whole


@pytest.mark.parametrize(("suffix", "codec"), [("mkv", "ffv1"), ("avi", "ffv1"), ("mkv", "libx264")])
def test_other_containers_know_too(tmp_path, suffix, codec):
    frames = [noise(n, 8, (32, 48), (16, 24), (16, 24)) for n in range(30)]
    path = cut(video(tmp_path / f"v.{suffix}", codec, "yuv420p", frames), 0.5)
    with pytest.raises(DataError, match=r"cut short: \d+ of 30 frames"):
        extract(path, tmp_path / "out")
    assert 5 < len(numbers(tmp_path / "out")) < 25


@pytest.mark.parametrize("where", [150, 600])  # the decoder gives up; it gives a frame, and says that it is damaged
def test_damage_inside_loses_its_frame_and_no_number(tmp_path, where):
    frames = [noise(n, 10, (32, 48), (32, 24), (32, 24)) for n in range(12)]
    path = video(tmp_path / "v.mov", "prores_ks", "yuv422p10le", frames)
    extract(path, tmp_path / "whole")
    data = bytearray(path.read_bytes())
    at = [n for n in range(len(data)) if data[n : n + 4] == b"icpf"][5]
    at = slice(at + where, at + where + 60)
    data[at] = bytes(byte ^ 0xA5 for byte in data[at])
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"1 frame cannot be decoded: 5; 11 frames are in"):
        extract(path, tmp_path / "out")
    assert numbers(tmp_path / "out") == [n for n in range(12) if n != 5]
    for found in (tmp_path / "out").iterdir():
        assert found.read_bytes() == (tmp_path / "whole" / found.name).read_bytes()


def test_a_change_of_size_ends_it(tmp_path):
    parts = [video(tmp_path / f"{w}.m2v", "mpeg2video", "yuv420p", [noise(n, 8, (32, w), (16, w // 2), (16, w // 2))
             for n in range(3)]) for w in (48, 64)]  # fmt: skip
    path = tmp_path / "both.m2v"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(DataError, match=r"from frame \d on it is 64x32, yuv420p"):
        extract(path, tmp_path / "out")
    assert numbers(tmp_path / "out")[:2] == [0, 1]  # FFmpeg forgets the one that it holds back


def test_a_file_is_no_folder(tmp_path, tape):
    (tmp_path / "out").write_text("")
    with pytest.raises(DataError, match="out: a file, expected a folder"):
        extract(tape, tmp_path / "out")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_disk_keeps_the_frames_before_it(tmp_path, tape, monkeypatch):
    really = os.open

    def filling(path, flags, *mode, **more):
        full = ".tape_0000007." in os.fspath(path) and flags & os.O_CREAT
        return really("/dev/full", os.O_WRONLY) if full else really(path, flags, *mode, **more)

    monkeypatch.setattr(os, "open", filling)
    with pytest.raises(OSError, match="No space left"):
        extract(tape, tmp_path / "out")
    monkeypatch.undo()
    assert numbers(tmp_path / "out") == list(range(7))
    assert extract(tape, tmp_path / "out") == (13, 7)


# -- the command line ------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_took_for_granted(run, tmp_path, tape):
    code, out, err = run("extract", tape, tmp_path / "out", "--start", "2", "--lines", "28", "--range", "keep")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    for part in (
        "v210, yuv422p10le, 48x30, 10 frames/s", "matrix Rec.601 (assumed)", "range limited, kept (assumed)",
        "chroma 4:2:2, sited left (assumed)", "transfer Rec.601 525 lines (assumed)", "timecode 01:00:00:00",
        "18 frames extracted to", "frames/s", "note: 30 lines cropped to 28: 2 off the top, 0 off the bottom",
        "note: no tag of a matrix: Rec.601 is assumed",
    ):  # fmt: skip
        assert part in words, out
    code, out, _ = run("extract", tape, tmp_path / "out", "--lines", "28")
    assert "2 frames extracted to" in out
    assert "18 were there already" in out


def test_json_is_for_scripts(run, tmp_path, tape):
    code, out, err = run("extract", tape, tmp_path / "out", "--every", "5", "--json", "--progressive")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert (told["written"], told["skipped"], told["rate"], told["timecode"]) == (4, 0, "10", "01:00:00:00")
    assert told["settings"]["matrix"] == "Rec.601 (assumed)"
    assert any("matrix" in note for note in told["notes"])


def test_the_command_fails_in_one_line(run, tmp_path, tape):
    short = cut(fast_start(tape, tmp_path / "short.mov"), 0.5)
    for arguments, code, words in (
        ((tmp_path / "none.mov", tmp_path / "out"), 1, "none.mov: No such file"),
        ((tape, tmp_path / "out", "--start", "x"), 2, "start is 'x'"),
        ((short, tmp_path / "out"), 1, "cut short"),
    ):
        found, _, err = run("extract", *arguments)
        assert found == code
        assert err.startswith("fastup: ")
        assert len(err.splitlines()) == 1
        assert words in err


def test_without_pyav_the_extra_is_named(run, tmp_path, tape, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    code, _, err = run("extract", tape, tmp_path / "out")
    assert code == 1
    assert "av is not installed; this command needs: pip install 'fastup[video]'" in err
