"""Inverse telecine: files in, film frames out, and the command."""

import json
import os
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import telecined
from telecined import SMALL, bars, interlaced, progressive
from test_cli import fails
from videos import cut

import fastup
from fastup.errors import DataError, OptionError
from fastup.footage import opening, telecine
from fastup.footage.sequences import timecode_at

av = pytest.importorskip("av")


def write_video(path, frames, pixels="yuv420p", rate=Fraction(30000, 1001)):
    height, width = frames[0][0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for number, planes in enumerate(frames):
            picture = av.VideoFrame(width, height, pixels)
            picture.pts, picture.time_base = number, 1 / rate
            telecined.fill(picture, planes)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def grey(frames):
    return [(frame, *(np.full((48, 80), 128, np.uint8),) * 2) for frame in frames]


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    clip = telecined.make(SMALL, 5)
    path = tmp_path_factory.mktemp("video") / "tape.mkv"
    write_video(path, clip.frames, "yuv422p10le")
    return path, clip


@pytest.mark.parametrize("claimed", ["top", "bottom"])
def test_where_there_is_no_film_the_file_tells_the_order(tmp_path, monkeypatch, claimed):
    write_video(tmp_path / "v.mkv", grey(bars(40, interlaced)))

    def open_clip(*arguments, real=opening.open_clip, **options):
        source = real(*arguments, **options)
        source.field_order = claimed
        return source

    monkeypatch.setattr(opening, "open_clip", open_clip)
    with pytest.raises(DataError, match="interlaced, but not telecined"):
        telecine.detelecine(tmp_path / "v.mkv", tmp_path / "out", order="top")
    assert telecine.detelecine(tmp_path / "v.mkv", tmp_path / "out", force=True)["order"] == claimed


@pytest.mark.parametrize("name", ["a$5_$6.mkv", "a,.mkv", "a:b.mkv", "http:x.mkv", b"\xff\xfe.mkv"])
def test_odd_names(video, tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(video[0].read_bytes())
    assert telecine.detelecine(path, tmp_path / "out")["written"] > 40
    assert telecine.detelecine(path, tmp_path / "out")["written"] == 0
    (report,) = (tmp_path / "out" / "telecine").glob("*.json")
    assert json.loads(report.read_text())["frames"] == len(video[1].frames)


def test_a_video_becomes_film_frames(video, tmp_path):
    path, clip = video
    seen = []
    report = telecine.detelecine(path, tmp_path / "out", on_progress=lambda *told: seen.append(told))
    frames = fastup.find(tmp_path / "out")
    assert len(frames) == report["film_frames"] == report["written"] == len(report["woven"])
    assert [path.name for path in frames[:2]] == ["tape_0000000.dpx", "tape_0000001.dpx"]
    assert {what for *_, what in seen} == {"measuring", "weaving"}
    assert seen[-1] == (len(frames), len(frames), "weaving")
    header = fastup.read_header(frames[7])
    assert header.frame_rate == pytest.approx(24000 / 1001, rel=1e-6)
    assert header.frame_position == 7
    assert report["order"] == "bottom"
    written = json.loads((tmp_path / "out" / "telecine" / "tape.json").read_text())
    assert len(written["phases"]) == len(clip.frames)
    assert written["woven"] == report["woven"]
    assert [item["frame"] for item in written["breaks"]] == clip.breaks
    assert (tmp_path / "out" / "telecine" / "tape.png").stat().st_size > 10_000
    wrong, _, woven, _ = telecined.score(clip, [item[:2] for item in report["woven"]])
    assert (wrong, woven) == (0, 0)


def test_the_film_is_a_source(video, tmp_path):
    path, _ = video
    telecine.detelecine(path, tmp_path / "film", lines=92)
    with opening.open_clip(path) as clip:
        clip.crop(92)
        cadence = telecine.track(telecine.measure((planes[0] for _, planes in clip.frames()), 1023))
        film = telecine.Film(clip, Fraction(24000, 1001), cadence, telecine.plan(cadence))
        assert film.size == (92, 160)
        written = fastup.find(tmp_path / "film")
        assert [film.name(number) for number in range(len(film))] == [path.stem for path in written]
        for (header, frame), path in zip(film.stream(2, 40, 5), written[2:40:5], strict=True):
            np.testing.assert_array_equal(frame, fastup.read(path))
            found = fastup.read_header(path)
            assert (header.height, header.frame_position) == (92, found.frame_position)


def test_a_second_run_carries_on(video, tmp_path):
    path, _ = video
    first = telecine.detelecine(path, tmp_path)
    frames = fastup.find(tmp_path)
    before = [frame.read_bytes() for frame in frames]
    for frame in frames[3::5]:
        frame.unlink()
    again = telecine.detelecine(path, tmp_path)
    assert again["written"] == len(frames[3::5])
    assert again["skipped"] == first["written"] - again["written"]
    assert [frame.read_bytes() for frame in frames] == before


def test_frames_of_another_plan_are_not_mixed(video, tmp_path):
    path, _ = video
    telecine.detelecine(path, tmp_path)
    with pytest.raises(DataError, match="woven otherwise"):
        telecine.detelecine(path, tmp_path, order="top", force=True)
    report = telecine.detelecine(path, tmp_path, order="top", force=True, overwrite=True)
    assert report["order"] == "top"
    (tmp_path / "telecine" / "tape.json").write_text("{")
    with pytest.raises(DataError, match="woven otherwise"):
        telecine.detelecine(path, tmp_path)


def test_review_shows_the_doubtful_frames(video, tmp_path):
    path, _ = video
    report = telecine.detelecine(path, tmp_path, review=True, order="top", force=True)  # the wrong way there are some
    doubts = [item for item in report["doubts"] if min(item["top"], item["bottom"]) >= 0]
    pictures = sorted((tmp_path / "telecine" / "tape").glob("*.png"))
    assert doubts
    assert [picture.name for picture in pictures] == [f"{item['film_frame']:07d}.png" for item in doubts]
    assert fastup.read(pictures[0]).shape == (96, 3 * 160, 3)


def test_a_folder_of_dpx_is_woven_by_bytes(tmp_path):
    clip = telecined.make(replace(SMALL, inner=0), 6)
    (tmp_path / "in").mkdir()
    for n, planes in enumerate(clip.frames):
        rgb = np.repeat(planes[0][..., None], 3, 2)
        header = fastup.Header.new(160, 96, frame_rate=30000 / 1001, pixel_aspect=Fraction(8, 9), creator="a scanner")
        fastup.write(tmp_path / "in" / f"{n:04d}.dpx", rgb, header.replace(user_bits=77))
    report = telecine.detelecine(tmp_path / "in", tmp_path / "out")
    frames = fastup.find(tmp_path / "out")
    for (top, bottom, kind), path in zip(report["woven"], frames, strict=True):
        frame = fastup.read(path)
        if kind == "film":
            np.testing.assert_array_equal(frame[0::2, :, 1], clip.frames[top][0][0::2])
            np.testing.assert_array_equal(frame[1::2, :, 2], clip.frames[bottom][0][1::2])
    header = fastup.read_header(frames[0])
    assert (header.creator, header.user_bits) == ("a scanner", 77)
    assert header.frame_rate == pytest.approx(24000 / 1001, rel=1e-6)


def film(folder):
    """Film frames by their numbers."""
    return {int(path.stem.split("_")[-1]): path for path in fastup.find(folder)}


@pytest.fixture(scope="module")
def stills(tmp_path_factory):
    """150 stills with timecodes, without a break, and a folder of the film that they give; nothing may be written."""
    folder = tmp_path_factory.mktemp("stills")
    clip = telecined.make(replace(SMALL, frames=120, inner=0, edits=0, scene=(40, 60)), 5)
    assert (len(clip.frames), clip.breaks) == (150, [])
    (folder / "tape").mkdir()
    for n, (luma, *_) in enumerate(clip.frames):
        header = fastup.Header.new(
            160, 96, frame_rate=30000 / 1001, user_bits=n,
            timecode=timecode_at("01:00:58;20", n, Fraction(30000, 1001)),
        )  # fmt: skip
        fastup.write(folder / "tape" / f"t{n:04d}.dpx", np.repeat(luma[..., None], 3, 2), header, fsync=False)
    assert telecine.detelecine(folder / "tape", folder / "film")["film_frames"] == 120
    return folder


@pytest.mark.parametrize(
    ("gone", "lost", "half", "words", "options", "renumbered"),
    [
        (range(60, 80), range(48, 64), [], "20 stills are missing between t0059.dpx ", {}, False),
        (range(60, 80), range(48, 64), [], "20 stills are missing between t0059.dpx ", {"sync": True}, True),
        (range(60, 73), range(48, 58), [58], "13 stills are missing between ", {"sync": True}, False),
        ([7, 30, 31, 40], [24, 32], [6, 25], "4 stills are missing: 1 between t0006.dpx ", {}, False),
        ([7, 30, 31, 40], [24, 32], [6, 25], "4 stills are missing: 1 between t0006.dpx ", {}, True),
        ([40], [1], [], "1 still is missing between t0039.dpx ", {"start": 38}, True),
    ],
)
def test_missing_stills_keep_their_time(stills, tmp_path, gone, lost, half, words, options, renumbered):
    """Film frames are what and where they are without a gap, but for those whose fields are missing."""
    (tmp_path / "tape").mkdir()
    there = [n for n in range(150) if n not in gone]
    for number, n in enumerate(there):
        (tmp_path / "tape" / f"t{number if renumbered else n:04d}.dpx").symlink_to(stills / "tape" / f"t{n:04d}.dpx")
    for _ in range(2):  # the second finds it all there
        with pytest.raises(DataError, match=words + ("" if renumbered else r".*; \d+ frames are in")):
            telecine.detelecine(tmp_path / "tape", tmp_path / "film", **options)
    full = stills / "film"
    if options.get("start"):
        full = tmp_path / "full"
        telecine.detelecine(stills / "tape", full, **options)
    whole, found = film(full), film(tmp_path / "film")
    assert sorted(whole.keys() - found.keys()) == list(lost)
    assert not found.keys() - whole.keys()
    headers = {n: (fastup.read_header(found[n]), fastup.read_header(whole[n])) for n in found}
    assert all(a.timecode == b.timecode and a.frame_position == b.frame_position for a, b in headers.values())
    assert [n for n in found if found[n].read_bytes() != whole[n].read_bytes()] == half
    told = json.loads(next((tmp_path / "film" / "telecine").glob("*.json")).read_text())
    assert told["lost"] == [n - options.get("start", 0) for n in gone]
    assert [n for n, (*_, kind) in enumerate(told["woven"]) if kind == "lost"] == list(lost)
    assert [n for n, (*_, kind) in enumerate(told["woven"]) if kind == "orphan"] == half


def test_film_frames_have_the_header_of_their_still(stills):
    told = json.loads((stills / "film" / "telecine" / "tape.json").read_text())["woven"]
    for n, path in film(stills / "film").items():
        header = fastup.read_header(path)
        assert header.user_bits == min(told[n][:2])
        start = timecode_at("01:00:58;20", 0, Fraction(30000, 1001))
        assert header.timecode == timecode_at(start, n, Fraction(30000, 1001), Fraction(24000, 1001))


def test_another_timecode_goes_on_in_the_film(stills, tmp_path):
    (tmp_path / "tape").mkdir()
    for n in range(60):
        path = tmp_path / "tape" / f"t{n:04d}.dpx"
        header = fastup.read_header(stills / "tape" / path.name)
        timecode = f"05:00:00:{n - 31:02d}" if n > 30 else header.timecode
        fastup.write(path, fastup.read(stills / "tape" / path.name), header.replace(timecode=timecode), fsync=False)
    report = telecine.detelecine(tmp_path / "tape", tmp_path / "film")
    assert any("timecode does not run on from t0030.dpx" in note for note in report["notes"])
    found = [str(fastup.read_header(path).timecode) for path in fastup.find(tmp_path / "film")]
    assert found[:25] == [str(fastup.read_header(path).timecode) for path in fastup.find(stills / "film")][:25]
    assert found[25:] == [f"05:00:00:{n:02d}" for n in range(23)]


def test_a_progressive_clip_is_refused(tmp_path):
    write_video(tmp_path / "p.mkv", grey(bars(50, progressive)))
    with pytest.raises(DataError, match=r"not telecined: \d+% of it is progressive.*--force"):
        telecine.detelecine(tmp_path / "p.mkv", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert telecine.detelecine(tmp_path / "p.mkv", tmp_path / "out", force=True)["film_frames"] == 40


def test_a_clip_of_another_rate_is_refused(tmp_path):
    write_video(tmp_path / "p.mkv", grey(bars(20, progressive)), rate=Fraction(25))
    with pytest.raises(DataError, match=r"25 frames/s, expected the 29.97"):
        telecine.detelecine(tmp_path / "p.mkv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_still_clip_is_refused(tmp_path):
    write_video(tmp_path / "s.mkv", grey([np.full((96, 160), 90, np.uint8)] * 30))
    with pytest.raises(DataError, match="no sign of a cadence"):
        telecine.detelecine(tmp_path / "s.mkv", tmp_path / "out")


def test_places_that_cannot_be(video, tmp_path):
    path, _ = video
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="a file, expected a folder"):
        telecine.detelecine(path, tmp_path / "file")
    with pytest.raises(OptionError, match="top or bottom"):
        telecine.detelecine(path, tmp_path / "out", order="upper")
    with pytest.raises(FileNotFoundError, match=r"missing\.mov"):
        telecine.detelecine(tmp_path / "missing.mov", tmp_path / "out")
    fastup.write(tmp_path / "f.dpx", np.zeros((32, 32, 3), np.uint16))
    with pytest.raises(DataError, match="this is where the input frames are"):
        telecine.detelecine(tmp_path, tmp_path)


def test_a_part_has_numbers_of_its_own(video, tmp_path):
    path, clip = video
    telecine.detelecine(path, tmp_path, end=40)
    report = telecine.detelecine(path, tmp_path, start=40, lines=92)
    assert report["first_frame"] == 40
    assert report["frames"] == len(clip.frames) - 40
    names = [frame.name for frame in fastup.find(tmp_path)]
    assert names[:2] == ["tape_0000000.dpx", "tape_0000001.dpx"]
    assert names[-1] == f"tape_0000040_{report['film_frames'] - 1:07d}.dpx"
    assert {"tape.json", "tape_0000040.json"} < {entry.name for entry in (tmp_path / "telecine").iterdir()}
    last = fastup.find(tmp_path)[-1]
    assert fastup.read(last).shape == (92, 160, 3)
    assert fastup.read_header(last).height == 92
    assert telecine.detelecine(path, tmp_path, end=40)["written"] == 0
    with pytest.raises(DataError, match="woven otherwise"):
        telecine.detelecine(path, tmp_path, start=40)  # without the crop
    assert fastup.read_header(last).frame_position == 32 + report["film_frames"] - 1


def test_a_video_that_is_cut_short_says_so_each_time(video, tmp_path):
    """Though weaving may end before the video does, where its last frames are made, or left out."""
    path, _ = video
    short = cut(Path(shutil.copy(path, tmp_path / "short.mkv")), 0.8)
    for _ in range(2):
        with pytest.raises(DataError, match=r"cut short: .* frames are in"):
            telecine.detelecine(short, tmp_path / "out")
        fastup.find(tmp_path / "out")[3].unlink()


def test_a_damaged_video_gives_what_there_is(video, tmp_path):
    path, _ = video
    with av.open(str(path)) as source, av.open(str(tmp_path / "cut.mkv"), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.dts is None:
                continue
            if number == 60:  # a codec whose frames need those before them, up to the next key frame
                packet = av.Packet(b"\xff" * 500)
                packet.pts = packet.dts = number * 33
            packet.stream = stream
            container.mux(packet)
    with pytest.raises(DataError, match=r"\d+ frames cannot be decoded: 60, .*; \d+ frames are in"):
        telecine.detelecine(tmp_path / "cut.mkv", tmp_path / "out")
    telecine.detelecine(path, tmp_path / "full")
    assert 40 < len(fastup.find(tmp_path / "out")) < 60
    report = json.loads((tmp_path / "out" / "telecine" / "cut.json").read_text())
    whole, there = film(tmp_path / "full"), film(tmp_path / "out")
    assert report["lost"] == list(range(60, 72))
    assert whole.keys() - there.keys() == set(range(49, 58))  # of 48 one field is left
    assert [n for n in there if (fastup.read(there[n]) != fastup.read(whole[n])).any()] == [48]
    assert all(fastup.read_header(there[n]).frame_position == n for n in there)


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_found(run, video, tmp_path):
    path, clip = video
    code, out, err = run("detelecine", path, tmp_path / "out", "--sync")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    for part in (
        "source ffv1, yuv422p10le, 160x96", "field order bottom first", f"breaks {len(clip.breaks)}",
        f"frames {len(clip.frames)} of video", "frames written to", "details", "note: no tag of a matrix",
    ):  # fmt: skip
        assert part in words
    code, out, _ = run("detelecine", path, tmp_path / "out", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["written"] == 0
    assert len(told["phases"]) == len(clip.frames)


def test_extract_undoes_pulldown_too(run, video, tmp_path):
    path, _ = video
    assert run("detelecine", path, tmp_path / "a")[0] == 0
    assert run("extract", path, tmp_path / "b", "--detelecine")[0] == 0
    a, b = fastup.find(tmp_path / "a"), fastup.find(tmp_path / "b")
    assert [one.read_bytes() for one in a] == [one.read_bytes() for one in b]
    fails(run("extract", path, tmp_path / "c", "--detelecine", "--every", "2"), 2, "every")


def test_the_command_fails_in_one_line(run, video, tmp_path):
    path, _ = video
    fails(run("detelecine", path, tmp_path / "out", "--order", "upper"), 2, "upper")
    fails(run("detelecine", path, tmp_path / "out", "--lines", "95"), 2, "lines is 95")
    fails(run("detelecine", tmp_path / "none.mov", tmp_path / "out"), 1, "none.mov")
    write_video(tmp_path / "p.mkv", grey(bars(30, progressive)))
    fails(run("detelecine", tmp_path / "p.mkv", tmp_path / "out"), 1, "not telecined", "--force")
    assert not (tmp_path / "out").exists()
