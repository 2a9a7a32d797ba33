"""Movies: what is encoded, tagged, joined and carried over; kills in between; and what is refused."""

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from fractions import Fraction

import numpy as np
import pytest
from videos import decoded, interlaced_video

import fastup
from fastup import _ycbcr
from fastup.errors import DataError, FastupError, OptionError
from fastup.footage import codecs, remux
from fastup.footage.extract import prepare
from fastup.footage.movie import Movie
from fastup.footage.opening import open_clip
from fastup.footage.pipe import PipeSource
from fastup.footage.sink import FolderSink
from fastup.footage.telecine import Film
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
        profile = {"prores": "HQ", "prores4444": "4444", "h265": "Main 10", "h264": "High"}.get(name)
        assert stream.codec_context.profile == profile
        times = [frame.pts * frame.time_base * FILM for frame in container.decode(video=0)]
    assert np.abs(np.array(times, float) - np.arange(COUNT)).max() < (0.02 if suffix == ".mkv" else 1e-12)
    decode_times = [dts for _, dts, _ in packets(path) if dts is not None]
    assert decode_times == sorted(set(decode_times))
    with open_clip(path) as clip:
        assert (clip.rate, clip.timecode, clip.size) == (FILM, "01:00:00:00", (HEIGHT, WIDTH))
        assert clip.pixel_aspect == Fraction(8, 9)
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


def test_the_same_frames_are_the_same_bytes():
    """On which what is killed relies, whatever memory held before: with x264's mbtree each time was another."""
    rate, made = Fraction(24), set()
    blocks = np.random.default_rng(0).integers(0, 1024, (40, 60, 3)).astype(np.uint16).repeat(12, 0).repeat(12, 1)
    for name in ("h265", "h264") * 3:
        codec = codecs.CODECS[name]
        look = codecs.Look(480, 720, codec.bits[0], rate, None, "601", None, (6, 6, 6, 1))
        arrays = [codecs.planes(np.roll(blocks, 5 * n, 1), 1023, codec, look) for n in range(4)]
        with remux.written(file := io.BytesIO(), "film.mov", "mov", remux.muxing(".mov", rate)) as container:
            codecs.encode(
                container, codec, ".mov", look, ((n, arrays[n % 4]) for n in range(16 if name == "h264" else 4))
            )
        made.add((name, file.getvalue()))
    assert len(made) == 2


CHILD = """
import os, resource, signal, sys
sys.path.insert(0, sys.argv[1])
from test_movie import *
from fastup.footage import aspect
for name, codec in list(codecs.CODECS.items()):
    codecs.CODECS[name] = dataclasses.replace(codec, part=4)

def make(path, **options):
    with Movie(path, rate=FILM, **options) as movie:
        for number, frame in enumerate(pictures()):
            movie.write(frame, header(), number)

def apart(work):
    if not (child := os.fork()):
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1]
"""


def in_a_process(code, folder):
    """What a process prints whose movies may be killed: `CHILD` has what it knows, and `folder` its paths."""
    command = [sys.executable, "-c", CHILD + code, os.path.dirname(__file__), str(folder)]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_killed_between_parts_it_ends_with_the_same_bytes(tmp_path):
    code = """
write = Movie._write_part
def killed(movie, group):
    if movie._found():
        next(group)
        os.kill(os.getpid(), signal.SIGKILL)
    write(movie, group)
Movie._write_part = killed
for name in ("film.mov", "film.mp4", "film.mkv"):
    if name == "film.mkv":  # while it is joined
        Movie._write_part, aspect.put = write, lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    assert apart(lambda: make(os.path.join(sys.argv[2], name))) == signal.SIGKILL
"""
    in_a_process(code, tmp_path / "killed")
    for name, left in (("film.mov", 4), ("film.mp4", 4), ("film.mkv", COUNT)):
        path = tmp_path / "killed" / name
        assert not path.exists()
        with Movie(path, rate=FILM) as movie:
            made = [movie.is_made(number) for number in range(COUNT)]
            assert made == [True] * left + [False] * (COUNT - left)
            for number, frame in enumerate(pictures()):
                if not made[number]:
                    movie.write(frame, header(), number)
        write(tmp_path / "whole" / name)
        assert path.read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(os.listdir(tmp_path / "killed")) == ["film.mkv", "film.mov", "film.mp4"]


@pytest.mark.parametrize("bits", [10, 12])
@pytest.mark.parametrize("floats", [False, True])
def test_frames_that_kept_the_range_of_video_are_of_that_range(tmp_path, bits, floats):
    """As `dehalo` and `upscale` give them too: floats, black at 64 / 1023."""
    unit, white = 1 << bits - 10, (1 << bits) - 1
    frame = np.full((HEIGHT, WIDTH, 3), 940 * unit, np.uint16)
    frame[:, 32:] = 64 * unit
    frame = (frame / np.float32(white)).astype(np.float32) if floats else frame
    write(tmp_path / "film.mov", [frame], codec="v210", of=header(bits=bits, low_code=64 * unit, high_code=940 * unit))
    ((luma, *_),) = decoded(tmp_path / "film.mov", 2)
    assert (luma[0, 0], luma[0, -1]) == (940, 64)


@pytest.mark.parametrize("keep", [False, True])
def test_v210_of_v210_is_the_same_to_one_code(tmp_path, keep):
    """Through 10-bit R, G and B of full range, or of the range of video; no colour beyond black and white."""
    grey = [np.repeat(frame[:, :, :1] // 2 + 200, 3, axis=2) for frame in pictures()]
    write(tmp_path / "tape.mov", [frame + np.uint16([0, 20, 40]) for frame in grey], codec="v210")
    with open_clip(tmp_path / "tape.mov", keep=keep) as clip, Movie(tmp_path / "film.mov", clip, codec="v210") as movie:
        for number, raw in clip.frames():
            movie.write(clip.pixels(raw), clip.header(number), number)
    assert movie.notes == []
    for before, after in zip(*(decoded(tmp_path / name, 2) for name in ("tape.mov", "film.mov")), strict=True):
        for plane, other in zip(before, after, strict=True):
            assert np.abs(plane.astype(int) - other).max() <= 1


# -- what a source has beside the pictures ---------------------------------------------------------------------------


def tape(path, codec="pcm_s16le", subtitles=None, count=25, rate=25, tags=None, delay=0):
    """A video with sound, and subtitles, chapters and tags; its sound begins `delay` samples late."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=rate)
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        video.codec_context.sample_aspect_ratio = Fraction(8, 9)
        sound = container.add_stream(codec, rate=48000)
        sound.metadata.update({"language": "ger", "title": "Ton"})
        words = container.add_stream_from_template(subtitles[0]) if subtitles else None
        container.metadata.update(tags or {"title": "A film", "timecode": "01:00:00:00"})
        base = Fraction(1, 1000)
        container.set_chapters([
            {"id": n, "start": 300 * n, "end": 300 * n + 300, "time_base": base, "metadata": {"title": f"Part {n}"}}
            for n in range(3)
        ])  # fmt: skip
        container.start_encoding()
        for n in range(count):
            frame = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
            for plane in frame.planes:
                plane.update(bytes([60 + 5 * n]) * plane.buffer_size)
            frame.pts, frame.time_base = n, 1 / Fraction(rate)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        wave = (np.sin(np.arange(count * 48000 // rate) ** 1.2 / 40) * 20000).astype(np.int16)
        for at in range(0, len(wave), 1024):
            part = wave[at : at + 1024]
            if codec == "aac":
                frame = av.AudioFrame.from_ndarray((part / np.float32(32768))[np.newaxis], "fltp", "mono")
            else:
                frame = av.AudioFrame.from_ndarray(part[np.newaxis], "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 48000, at + delay, Fraction(1, 48000)
            container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
        for packet in subtitles[1] if subtitles else ():
            packet.stream = words
            container.mux(packet)
    return path


def movie_of(source, path, start=0, end=None, **options):
    with open_clip(source) as clip, Movie(path, clip, start=start, end=end, **options) as movie:
        for number, raw in clip.frames(start, end):
            movie.write(clip.pixels(raw), clip.header(number), number)
    return movie.notes


@pytest.mark.parametrize("codec", ["pcm_s16le", "aac"])
@pytest.mark.parametrize("suffix", [".mov", ".mkv", ".mp4"])
def test_sound_chapters_and_tags_go_along(tmp_path, codec, suffix):
    source, path = tape(tmp_path / "tape.mov", codec), tmp_path / f"film{suffix}"
    assert movie_of(source, path) == []
    here, there = packets(source, "audio"), packets(path, "audio")
    assert b"".join(data for *_, data in here) == b"".join(data for *_, data in there)
    shift = packets(path)[0][0]  # Matroska has no times before 0: all begin later together
    assert abs(there[0][0] - shift - here[0][0]) < Fraction(2, 1000)
    with av.open(str(source)) as before, av.open(str(path)) as after:
        sound = after.streams.audio[0]
        assert sound.metadata["language"] == "ger"
        assert "Ton" in sound.metadata.values()
        assert after.metadata["title"] == "A film"
        chapters = [
            [(c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"]) for c in each.chapters()]
            for each in (before, after)
        ]
        assert chapters[0] == chapters[1]
        assert len(chapters[1]) == 3
        assert abs(before.duration - after.duration) < 50000
        if suffix != ".mkv":
            assert before.streams.video[0].duration * before.streams.video[0].time_base == 1
            assert after.streams.video[0].duration * after.streams.video[0].time_base == 1
    with open_clip(path) as clip:
        assert (clip.timecode, clip.rate, clip.pixel_aspect) == ("01:00:00:00", 25, Fraction(8, 9))


def test_tags_that_are_not_utf8(tmp_path):
    """Captures of old have Latin-1 there."""
    tags = {"title": "Xrger"}
    for suffix in (".avi", ".mov"):
        source = tape(tmp_path / f"tape{suffix}", tags=tags)
        source.write_bytes(source.read_bytes().replace(b"Xrger", b"\xc4rger").replace(b"Part 1", b"P\xe4rt 1"))
        movie_of(source, tmp_path / f"film{suffix}.mkv")
        with av.open(str(tmp_path / f"film{suffix}.mkv")) as container:
            assert container.metadata["title"] == "Ärger"
            titles = [chapter["metadata"]["title"] for chapter in container.chapters()]
            assert titles == (["Part 0", "Pärt 1", "Part 2"] if suffix == ".mov" else [])


def test_a_range_has_the_sound_of_its_own(tmp_path):
    source, path = tape(tmp_path / "tape.mov"), tmp_path / "film.mov"
    assert movie_of(source, path, 5, 15, codec="v210") == []
    here, there = packets(source, "audio"), packets(path, "audio")
    start, end = Fraction(5, 25), Fraction(15, 25)
    expected = [(pts - start, data) for pts, _, data in here if start <= pts < end]
    assert [data for *_, data in there] == [data for _, data in expected]
    assert abs(there[0][0] - expected[0][0]) < Fraction(1, 48000)
    with av.open(str(path)) as container:
        starts = [c["start"] * c["time_base"] for c in container.chapters()]
        assert starts == [0, Fraction(100, 1000)]
    with open_clip(path) as clip:
        assert (clip.timecode, clip.frame_count) == ("01:00:00:05", 10)


def test_subtitles_go_along_where_they_can_and_are_named_where_not(tmp_path):
    (tmp_path / "words.srt").write_text(
        "1\n00:00:00,100 --> 00:00:00,300\nOne\n\n2\n00:00:00,500 --> 00:00:00,900\nTwo\n"
    )
    with av.open(str(tmp_path / "words.srt")) as words:
        lines = [packet for packet in words.demux() if packet.size]
        source = tape(
            tmp_path / "tape.mkv", subtitles=(words.streams[0], lines), tags={"title": "T", "Odd": "x", "Reel": "2"}
        )
    assert movie_of(source, tmp_path / "film.mkv") == []
    assert [data for *_, data in packets(tmp_path / "film.mkv", "subtitle")] == [b"One", b"Two"]
    assert movie_of(source, tmp_path / "film.mp4") == [
        "stream 2, subtitle (srt), is left out: .mp4 does not hold it", ".mp4 has no place for the tags 'ODD', 'REEL'"
    ]  # fmt: skip
    assert movie_of(source, tmp_path / "part.mkv", 15, 25) == []  # while the second is shown
    ((begins, _, data),) = packets(tmp_path / "part.mkv", "subtitle")
    assert (begins, data) == (0, b"Two")


def test_subtitles_of_mp4_have_the_gaps_that_they_had(tmp_path):
    def words(path):
        with av.open(str(path)) as container:
            stream = next(stream for stream in container.streams if stream.type == "subtitle")
            return [
                (p.pts * p.time_base, p.duration * p.time_base, bytes(p)) for p in container.demux(stream) if p.size
            ]

    with av.open(str(tmp_path / "tape.mp4"), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height = WIDTH, HEIGHT
        stream = container.add_mux_stream("mov_text")
        stream.time_base = Fraction(1, 1000)
        for _ in range(25):
            container.mux(video.encode(av.VideoFrame(WIDTH, HEIGHT, "yuv420p")))
        container.mux(video.encode(None))
        for start, text in ((100, b"One"), (500, b"Two")):
            packet = av.Packet(len(text).to_bytes(2, "big") + text)
            packet.pts = packet.dts = start
            packet.duration, packet.time_base, packet.stream = 200, Fraction(1, 1000), stream
            container.mux(packet)
    movie_of(tmp_path / "tape.mp4", tmp_path / "film.mov")
    assert words(tmp_path / "film.mov") == words(tmp_path / "tape.mp4")
    assert [text[2:] for *_, text in words(tmp_path / "film.mov")] == [b"", b"One", b"", b"Two"]


def test_a_timecode_that_the_rate_does_not_have_is_named(tmp_path):
    notes = write(tmp_path / "film.mov", pictures(1), of=header(timecode="01:00:00;02"), rate=25)
    assert notes == [".mov has no place for a timecode of 01:00:00;02 at 25 frames/s"]


@pytest.mark.parametrize(
    ("rate", "options", "expected"),
    [
        (25, {}, "01:00:00:20"), (25, {"rate": 24}, None), (25, {"every": 2}, None),
        (Fraction(60000, 1001), {}, "01:00:00;20"), (Fraction(30000, 1001), {}, "01:00:00;20"),
    ],
)  # fmt: skip
def test_a_timecode_goes_with_the_rate_that_it_counts(tmp_path, rate, options, expected):
    """And sound with the rate that it was recorded at."""
    text = "01:00:00:20" if rate == 25 else "01:00:00;20"
    source = tape(tmp_path / "tape.mov", rate=rate, count=30, tags={"timecode": text})
    path, every = tmp_path / "film.mov", options.get("every", 1)
    with open_clip(source) as clip, Movie(path, clip, **options) as movie:
        for number, raw in clip.frames(0, None, every):
            movie.write(clip.pixels(raw), clip.header(number), number)
    with av.open(str(path)) as container:
        assert container.streams.video[0].metadata.get("timecode") == expected
        assert len(container.streams.audio) == ("rate" not in options)
    says = {0: "the timecode counts 25 frames/s, not ", 1: f"there is no sound, and nothing else of {source}'s file"}
    assert [note.startswith(says[n]) for n, note in enumerate(movie.notes)] == [True] * (
        0 if expected else 1 + ("rate" in options)
    )


def test_sound_that_cannot_be_joined_costs_no_film(tmp_path, monkeypatch):
    join = remux.join

    def fails(*arguments):
        if arguments[-1] is not None:
            raise DataError("FFmpeg cannot write it")
        return join(*arguments)

    monkeypatch.setattr(remux, "join", fails)
    (note,) = movie_of(tape(tmp_path / "tape.mov"), tmp_path / "film.mov")
    assert note.endswith("tape.mov's file, in it: FFmpeg cannot write it")
    assert len(packets(tmp_path / "film.mov")) == 25


def test_the_shape_of_pixels_is_where_others_look_for_it(tmp_path):
    write(tmp_path / "film.mov")
    data = (tmp_path / "film.mov").read_bytes()
    at = data.index(b"tkhd")
    assert int.from_bytes(data[at + 80 : at + 84], "big") == round(WIDTH * 65536 * 8 / 9)
    for width, aspect in ((72, Fraction(1)), (72, Fraction(4, 3)), (64, Fraction(10, 11)), (72, Fraction(8, 9))):
        write(tmp_path / "film.mkv", pictures(2, width=width), of=header(pixel_aspect=aspect), overwrite=True)
        with open_clip(tmp_path / "film.mkv") as clip:
            assert clip.pixel_aspect == aspect
    data = (tmp_path / "film.mkv").read_bytes()
    assert bytes.fromhex("54b084") + (64).to_bytes(4, "big") in data
    assert bytes.fromhex("54ba84") + HEIGHT.to_bytes(4, "big") in data
    start = data.index(bytes.fromhex("1654ae6b"), data.index(bytes.fromhex("1654ae6b")) + 1) + 4  # one is in the index
    length = 9 - data[start].bit_length()
    size = int.from_bytes(data[start : start + length], "big") & ~(1 << 7 * length)
    start += length
    assert data[start : start + 2] == b"\xbf\x84"
    assert zlib.crc32(data[start + 6 : start + size]) == int.from_bytes(data[start + 2 : start + 6], "little")


# -- what is refused, and what is kept -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("film.avi", {}, "expected a movie's name to end in one of .mov, .mkv, .mp4"),
        ("film.mov", {"codec": "cinepak"}, "codec is 'cinepak', expected one of prores, "),
        (
            "film.mp4",
            {"codec": "prores"},
            ".mp4 does not hold ProRes 422 HQ, expected .mov or .mkv for it; .mp4 holds h265",
        ),
        (
            "film.mov",
            {"codec": "h264", "bits": 10},
            "H.264 holds 8 bits, not 10, expected prores, prores4444, v210 or h265",
        ),
        ("film.mov", {"bits": 16}, "ProRes 422 HQ holds 10 bits, not 16"),
        ("film.mov", {"rate": None}, "no frame rate is known of the frames, expected one: --rate"),
        ("film.mov", {"rate": "fast"}, "rate is fast, expected frames per second, as 25 or 24000/1001"),
    ],
)
def test_options_that_do_not_fit(tmp_path, name, options, says):
    with pytest.raises(OptionError) as error:
        Movie(tmp_path / name, **{"rate": FILM} | options)
    assert says in str(error.value)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_an_encoder_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setitem(codecs.CODECS, "h265", dataclasses.replace(codecs.CODECS["h265"], encoder="libx266"))
    with pytest.raises(OptionError, match=r"has no encoder libx266 for H.265, expected one of prores, .*h264"):
        Movie(tmp_path / "film.mp4", rate=FILM)


@pytest.mark.parametrize(
    ("frame", "head", "says"),
    [
        (np.zeros((48, 63, 3), np.uint16), None, "frames are 63x48, expected 62x48 or 64x48, as ProRes"),
        (np.zeros((48, 1, 3), np.uint16), None, "frames are 1x48, expected 2x48, as ProRes"),
        (np.zeros((48, 64, 2), np.uint16), None, "frame 0 is (48, 64, 2) of uint16, expected R, G and B, or grey"),
        (np.full((48, 64, 3), 1024, np.uint16), None, "frame 0 holds code 1024, expected 0 to 1023"),
        (np.full((48, 64, 3), np.nan, np.float32), None, "frame 0 holds NaN or infinity"),
        (
            np.zeros((48, 64, 3), np.uint16),
            Header.new(64, 48, descriptor="CBYCR"),
            "frame 0 is CbYCr 4:4:4, expected RGB",
        ),
    ],
)
def test_frames_that_cannot_be_encoded(tmp_path, frame, head, says):
    with pytest.raises(DataError) as error, Movie(tmp_path / "film.mov", rate=FILM) as movie:
        movie.write(frame, head)
    assert says in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("channels", "notes"), [(1, []), (4, ["alpha is left out"])])
def test_grey_is_grey_and_alpha_is_left_out(tmp_path, channels, notes):
    frames = [np.repeat(frame[:, :, :1], channels, axis=2) for frame in pictures(2)]
    assert write(tmp_path / "film.mkv", frames) == notes
    for frame, planes in zip(frames, decoded(tmp_path / "film.mkv", 2), strict=True):
        for plane in planes:
            np.testing.assert_array_equal(plane, frame[:, :, 0])


def test_odd_sizes_go_where_chroma_is_whole(tmp_path):
    frames = pictures(3, 47, 63)
    write(tmp_path / "film.mkv", frames)
    write(tmp_path / "film.mov", pictures(3, 47), codec="prores4444")
    for name, says in (
        ("film.mp4", r"frames are 63x47, expected 62x46 or 64x48, as H.265 has even widths and heights; any .* ffv1$"),
        ("odd.mov", r"frames are 63x47, expected 62x47 or 64x47, as ProRes 422 HQ has even widths; any size .* ffv1$"),
    ):
        with pytest.raises(DataError, match=says):
            write(tmp_path / name, frames)


def test_frames_of_another_size_than_the_first(tmp_path):
    with pytest.raises(DataError, match="frame 1 is 62x48, expected 64x48"):
        write(tmp_path / "film.mov", [pictures(1)[0], pictures(1, 48, 62)[0]])
    assert not list(tmp_path.iterdir())


def test_no_frame_makes_no_movie(tmp_path):
    with pytest.raises(DataError, match="there is no frame to make a movie of"):
        write(tmp_path / "film.mov", [])
    assert not list(tmp_path.iterdir())


def test_what_is_there_stays_unless_it_is_to_be_made_anew(tmp_path):
    path = tmp_path / "film.mov"
    write(path)
    first = path.read_bytes()
    with Movie(path, rate=FILM, codec="v210") as movie:
        assert movie.is_made(0)
        assert movie.is_made(10**6)
    assert movie.notes == [f"{path} was there already, and stays as it is; --overwrite makes it anew"]
    assert path.read_bytes() == first
    write(path, codec="v210", overwrite=True)
    assert len(path.read_bytes()) != len(first)


def begun(path, **options):
    """A movie of which the first part is made."""
    with pytest.raises(KeyboardInterrupt), Movie(path, **{"rate": FILM} | options) as movie:  # noqa: PT012
        for number, frame in enumerate(pictures()):
            movie.write(frame, header(), number)
        while not movie._found():
            time.sleep(0.01)
        raise KeyboardInterrupt
    assert not path.exists()
    return path


def test_another_command_does_not_carry_on(tmp_path):
    path = begun(tmp_path / "film.mov", made_by={"model": "a.onnx"})
    for options, says in [
        ({"codec": "v210"}, "begun with codec ProRes 422 HQ, found v210; expected the same command"),
        ({"made_by": {"model": "b.onnx"}}, "begun with model a.onnx, found b.onnx"),
        ({"rate": 25}, "begun with rate 24000/1001, found 25"),
        ({"start": 1}, "begun with start 0, found 1"),
    ]:
        with pytest.raises(DataError, match=says):
            Movie(path, **{"rate": FILM, "made_by": {"model": "a.onnx"}} | options)
    assert [Movie(path, rate=FILM, made_by={"model": "a.onnx"}).is_made(n) for n in (0, 3, 8)] == [True, True, False]
    write(path, made_by={"model": "b.onnx"}, overwrite=True)
    assert os.listdir(tmp_path) == ["film.mov"]


def test_two_runs_at_once(tmp_path):
    with Movie(tmp_path / "film.mov", rate=FILM) as movie:
        movie.write(pictures(1)[0], header())
        with pytest.raises(FastupError, match="another run is making it"), Movie(tmp_path / "film.mov", rate=FILM):
            pass
    assert os.listdir(tmp_path) == ["film.mov"]


def test_a_run_beside_one_that_makes_the_movie_anew_takes_none_of_its_parts(tmp_path):
    path = tmp_path / "film.mov"
    write(path, pictures(1))
    with Movie(path, rate=FILM, overwrite=True) as movie:
        for number, frame in enumerate(pictures()):
            movie.write(frame, header(), number)
            if number == 8:
                while not movie._found():
                    time.sleep(0.01)
                with Movie(path, rate=FILM) as other:
                    assert other.is_made(9)
                assert movie._found()
    assert len(packets(path)) == COUNT


@pytest.mark.parametrize("begun_before", [False, True])
def test_a_run_that_begins_as_another_ends_leaves_the_movie_as_it_is(tmp_path, begun_before):
    """What was there when it looked is not what is there when it may begin."""
    path = begun(tmp_path / "film.mov") if begun_before else tmp_path / "film.mov"
    late = Movie(path, rate=FILM)
    write(path)
    made = path.read_bytes()
    with pytest.raises(FastupError, match="another run has gone on with it"), late:
        pass
    with Movie(path, rate=FILM) as movie:
        assert movie.is_made(0)
    assert path.read_bytes() == made
    assert os.listdir(tmp_path) == ["film.mov"]


def test_what_was_to_end_elsewhere_does_not_carry_on(tmp_path, monkeypatch):
    """The last part of a run that was killed as it joined is whole, but of fewer frames than a longer run has there."""
    source = tape(tmp_path / "tape.mov")
    with monkeypatch.context() as patched:
        patched.setattr(Movie, "_join", lambda movie: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            movie_of(source, tmp_path / "film.mov", end=6)
    with open_clip(source) as clip:
        assert Movie(tmp_path / "film.mov", clip, end=6).is_made(5)
        with pytest.raises(DataError, match=r"begun with end 6, found 25; expected the same command"):
            Movie(tmp_path / "film.mov", clip)
        assert Movie(tmp_path / "other.mov", clip)._facts == Movie(tmp_path / "other.mov", clip, end=99)._facts


def test_another_source_of_the_same_size_does_not_carry_on(tmp_path):
    source = tape(tmp_path / "tape.mov")
    with open_clip(source) as clip:
        begun(tmp_path / "film.mov", like=clip, rate=None)
        assert Movie(tmp_path / "film.mov", clip).is_made(0)
    os.utime(source, (10**9, 10**9))
    with open_clip(source) as clip, pytest.raises(DataError, match=r"found .*tape.mov, \d+ bytes, written 2001-09-09"):
        Movie(tmp_path / "film.mov", clip)


def test_other_pictures_of_a_source_do_not_carry_on(tmp_path):
    """What decides on how they are made is among the facts; of a pipe, what kind of video it is."""
    with open_clip(interlaced_video(tmp_path / "tape.mov"), interlaced=True) as clip:
        assert prepare(clip, tmp_path / "film.mov").sink._facts["interlaced"] is True
    streams = [io.BytesIO(f"YUV4MPEG2 W{width} H4 F25:1 C444\n".encode()) for width in (6, 8)]
    facts = [Movie(tmp_path / "film.mov", PipeSource(stream))._facts["source"] for stream in streams]
    assert facts[0].startswith("y4m on standard input, yuv444p, 6x4")
    assert facts[0] != facts[1]


def test_the_source_and_folders_are_no_place_for_a_movie(tmp_path):
    source = tape(tmp_path / "tape.mov")
    with open_clip(source) as clip, pytest.raises(DataError, match="this is the source"):
        Movie(source, clip, overwrite=True)
    (tmp_path / "folder.mov").mkdir()
    with pytest.raises(DataError, match="a folder, expected a file for the movie"):
        Movie(tmp_path / "folder.mov", rate=FILM)


def test_no_room(tmp_path):
    """The parts that are whole stay, and the same command carries on; where nothing can be written, nothing is left."""
    code = """
def work():
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))
    try:
        make(os.path.join(sys.argv[2], f"{most}.mov"), codec="v210")
    except OSError as error:
        os.write(1, f"{error}\\n".encode())
for most in (20_000, 100_000):
    assert apart(work) == 0
"""
    said = in_a_process(code, tmp_path).splitlines()
    assert [line.endswith(f"{most}.mov'") for line, most in zip(said, (20_000, 100_000), strict=True)]
    assert all(line.startswith("[Errno 27] File too large: ") for line in said)
    assert [path.name for path in tmp_path.iterdir()] == [".100000.mov.parts"]
    path = tmp_path / "100000.mov"
    with Movie(path, rate=FILM, codec="v210") as movie:
        assert all(map(movie.is_made, range(COUNT)))
    write(tmp_path / "whole.mov", codec="v210")
    assert path.read_bytes() == (tmp_path / "whole.mov").read_bytes()


def test_missing_frames_keep_their_time(tmp_path):
    with Movie(tmp_path / "film.mov", rate=FILM) as movie:
        for number, frame in enumerate(pictures()):
            if number not in (0, 5, 6):
                movie.write(frame, header(timecode=f"01:00:00:{number:02d}"), number)
    with av.open(str(tmp_path / "film.mov")) as container:
        times = [frame.pts * frame.time_base * FILM for frame in container.decode(video=0)]
    assert times == [0, 1, 2, 3, 6, 7, 8]
    with open_clip(tmp_path / "film.mov") as clip:
        assert clip.timecode == "01:00:00:01"


def test_floats_and_deeper_codes(tmp_path):
    frame = pictures(1)[0]
    deep = (frame.astype(np.int64) * 65535 // 1023).astype(np.uint16)
    write(tmp_path / "floats.mkv", [(frame / 1023).astype(np.float32)])
    write(tmp_path / "deep.mkv", [deep], of=header(bits=16))
    (floats,) = decoded(tmp_path / "floats.mkv", 2)
    (codes,) = decoded(tmp_path / "deep.mkv", 2)
    for channel, plane, other in zip((1, 2, 0), floats, codes, strict=True):
        np.testing.assert_array_equal(plane, frame[:, :, channel])
        np.testing.assert_array_equal(other, deep[:, :, channel])


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 720), (6, 6, 6, 1)), ((576, 720), (5, 6, 5, 1)), ((720, 1280), (1, 1, 1, 1)), ((1080, 1440), (1, 1, 1, 1))],
)
def test_colours_that_the_header_does_not_say_are_those_of_the_size(tmp_path, size, expected):
    write(tmp_path / "film.mp4", [np.full((*size, 3), 500, np.uint16)], codec="h264", of=Header.new(*size[::-1]))
    write(tmp_path / "film.mov", [np.full((*size, 3), 500, np.uint16)], codec="v210", of=Header.new(*size[::-1]))
    with av.open(str(tmp_path / "film.mp4")) as container:
        tags = container.streams.video[0].codec_context
        assert (tags.color_primaries, tags.color_trc, tags.colorspace, tags.color_range) == expected
    with av.open(str(tmp_path / "film.mov")) as container:
        tags = container.streams.video[0].codec_context
        assert (tags.color_primaries, tags.color_trc, tags.colorspace) == (expected[0], 1, expected[2])


def test_film_out_of_a_tape_has_all_its_sound(tmp_path):
    """Four film frames for five of the tape: as long in seconds, its sound as it was; of a part, that of the part."""
    source = tape(tmp_path / "tape.mov", count=25, rate=Fraction(30000, 1001))
    for first, last, count in ((0, None, 20), (10, 20, 8)):
        with open_clip(source) as clip:
            film = Film.__new__(Film)
            film.path, film.clip, film.rate, film.woven = source, clip, FILM, range(count)
            film.first, film.last = first, last
            path = tmp_path / f"film{first}.mov"
            with Movie(path, film) as movie:
                for number, frame in enumerate(pictures(count)):
                    movie.write(frame, header(), number)
            assert movie.notes == []
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            assert (stream.average_rate, stream.duration * stream.time_base) == (FILM, count / FILM)
        start, end = first * Fraction(1001, 30000), (last or 10**6) * Fraction(1001, 30000)
        expected = [data for pts, _, data in packets(source, "audio") if start <= pts < end]
        assert [data for *_, data in packets(path, "audio")] == expected


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_it_plays_from_where_every_part_begins(tmp_path, codec):
    path = tmp_path / "film.mp4"
    write(path, codec=codec)
    every = list(decoded(path, 1 if codec == "h264" else 2))
    assert len(every) == COUNT
    for start in (4, 8):
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            container.seek(round(start / FILM / stream.time_base), stream=stream)
            frames = list(container.decode(stream))
        assert [round(frame.pts * frame.time_base * FILM) for frame in frames] == list(range(start, COUNT))
        for frame, planes in zip(frames, every[start:], strict=True):
            luma = np.frombuffer(frame.planes[0], planes[0].dtype).reshape(HEIGHT, -1)[:, :WIDTH]
            np.testing.assert_array_equal(luma, planes[0])


@pytest.mark.parametrize("order", ["top", "bottom"])
@pytest.mark.parametrize(
    ("codec", "suffix"), [("prores", ".mov"), ("v210", ".mov"), ("ffv1", ".mkv"), ("h264", ".mp4")]
)
def test_frames_of_two_fields_stay_so(tmp_path, codec, suffix, order):
    source = interlaced_video(tmp_path / "tape.mov", "tff" if order == "top" else "bff")
    notes = movie_of(source, tmp_path / f"film{suffix}", codec=codec)
    with open_clip(source) as before, open_clip(tmp_path / f"film{suffix}") as after:
        assert before.field_order == order
        if codec == "h264":
            assert notes[0].startswith(
                "frames are woven of two fields, but the movie says that it is progressive: H.264"
            )
            assert after.field_order is None
            return
        assert (notes, after.field_order) == ([], order)
        (frame,) = (before.pixels(raw) for _, raw in before.frames())
        (planes,) = decoded(tmp_path / f"film{suffix}", 2)
    expected = frame[:, :, 1] if codec == "ffv1" else _ycbcr.planes(frame, 1023, 10, matrix="601")[0]
    assert np.abs(planes[0].astype(int) - expected).max() <= (20 if codec == "prores" else 0)


def test_a_script_writes_a_movie_like_its_source(tmp_path):
    with (
        fastup.source(tape(tmp_path / "tape.mov")) as frames,
        fastup.sink(tmp_path / "new" / "film.mkv", like=frames, codec="ffv1") as film,
    ):
        for head, frame in frames:
            film.write(frame, head)
    with fastup.source(tmp_path / "new" / "film.mkv") as made, fastup.source(tmp_path / "tape.mov") as before:
        for (_, frame), (_, expected) in zip(made, before, strict=True):
            np.testing.assert_array_equal(frame, expected)


def test_a_video_that_is_not_written_is_no_folder(tmp_path):
    with pytest.raises(OptionError, match=r"film.avi: expected a movie's name to end in one of .mov, .mkv, .mp4"):
        fastup.sink(tmp_path / "film.avi", rate=FILM)
    (tmp_path / "frames.mov").mkdir()
    assert isinstance(fastup.sink(tmp_path / "frames.mov"), FolderSink)


def test_no_folder_to_write_to(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), Movie(tmp_path / "file" / "film.mov", rate=FILM):
        pass


def test_the_command_line(tmp_path, run):
    source = tape(tmp_path / "tape.mkv", tags={"title": "T", "Reel": "2"})
    code, printed, _ = run("extract", source, tmp_path / "film.mov", "--codec", "v210", "--end", "9", "--json")
    assert code == 0
    assert json.loads(printed)["written"] == 9
    assert ".mov has no place for the tag 'REEL'" in json.loads(printed)["notes"]
    code, _, said = run("extract", source, tmp_path / "film.mkv", "--codec", "v210")
    assert code == 2
    assert said.startswith(f"fastup: {tmp_path}/film.mkv: .mkv does not hold v210, expected .mov for it; .mkv holds")
    assert said.count("\n") == 1
    assert sorted(os.listdir(tmp_path)) == ["film.mov", "tape.mkv"]
