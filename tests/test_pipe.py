"""Pipes: y4m and raw video in and out, exact against twins; cut anywhere, garbage, readers that go away."""

import contextlib
import io
import os
import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from videos import SUBSAMPLED, assert_rounds, decoded, extract, noise, picture

import fastup
from fastup.cli import options
from fastup.codes import white_of
from fastup.errors import DataError, OptionError
from fastup.footage import opening
from fastup.footage.dehalo import dehalo, prepare, run
from fastup.footage.halo import Halo
from fastup.footage.pipe import Pipe, PipeSink, PipeSource
from fastup.footage.raw import Pixels
from fastup.footage.telecine import find
from fastup.header import Header

HEADER = "YUV4MPEG2 W6 H4 F24000:1001 Ip A8:9"


def shapes(chroma, size=(4, 6)):
    small = tuple(-(-length // factor) for length, factor in zip(size, SUBSAMPLED[chroma], strict=True))
    return size, small, small


def y4m(frames, header=f"{HEADER} C420jpeg", line="FRAME"):
    """The bytes of y4m, of frames that are lists of planes, by hand."""
    parts = [f"{header}\n".encode()]
    for planes in frames:
        parts += [f"{line}\n".encode(), *(plane.astype(plane.dtype.newbyteorder("<")).tobytes() for plane in planes)]
    return b"".join(parts)


def three(bits=8, chroma="420", size=(4, 6)):
    return [noise(seed, bits, *shapes(chroma, size)) for seed in range(3)]


def read(data, **options):
    return PipeSource(io.BytesIO(data), **options)


def written(frames, header=None, **options):
    """The bytes of frames that went through a pipe, and the sink."""
    out = io.BytesIO()
    with PipeSink(out, **options) as sink:
        for frame in frames:
            sink.write(frame, header)
    return out.getvalue(), sink


def some_codes(seed=0, white=1023, size=(4, 6), channels=3):
    return np.random.default_rng(seed).integers(0, white + 1, (*size, channels)).astype(np.uint16)


# -- y4m in ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "chroma", "bits", "siting"),
    [
        ("C420jpeg", "420", 8, "center"), ("C420mpeg2 XYSCSS=420MPEG2", "420", 8, "left"), ("", "420", 8, "center"),
        ("C420paldv", "420", 8, "topleft"), ("C420", "420", 8, "left"), ("C411", "411", 8, "left"),
        ("C422", "422", 8, "left"), ("C444", "444", 8, "left"), ("XYSCSS=420P10", "420", 10, "left"),
        *((f"C{chroma}p{bits} XYSCSS={chroma}P{bits}", chroma, bits, "left") for chroma in ("420", "422", "444")
          for bits in (9, 10, 12, 14, 16)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("range", ["", "LIMITED", "FULL"])
def test_y4m_of_every_format_is_read_exactly(words, chroma, bits, siting, range):
    frames = three(bits, chroma, (5, 7))
    header = f"YUV4MPEG2 W7 H5 F25:1 Ip A0:0 {words}" + f" XCOLORRANGE={range}" * bool(range)
    source = read(y4m(frames, header))
    assert (source.size, source.bits, source.rate, source.pixel_aspect) == ((5, 7), bits, 25, None)
    assert (source.siting, source.matrix, source.full) == (siting, "601", range == "FULL")
    assert source.subsampling == ":".join(chroma)
    found = list(source.frames())
    assert [number for number, _ in found] == [0, 1, 2]
    for (_, planes), expected in zip(found, frames, strict=True):
        for plane, other in zip(planes, expected, strict=True):
            np.testing.assert_array_equal(plane, other)
        exact = naive.rgb_of_planes(expected, bits, "601", siting, full=range == "FULL")
        assert_rounds(source.pixels(planes), exact)


def test_what_the_header_says_goes_to_headers_and_settings():
    source = read(y4m(three(), f"{HEADER} C420mpeg2 XLENGTH=3"))
    assert (source.rate, source.pixel_aspect, len(source)) == (Fraction(24000, 1001), Fraction(8, 9), 3)
    headers = [header for header, _ in source]
    assert [header.frame_position for header in headers] == [0, 1, 2]
    header = headers[0]
    assert (header.width, header.height, header.bits, header.interlace) == (6, 4, 10, 0)
    assert (header.pixel_aspect, header.frame_rate) == (Fraction(8, 9), pytest.approx(24000 / 1001))
    assert (header.low_code, header.high_code, header.source_file_name) == (0, 1023, None)
    assert source.settings["source"] == "y4m on standard input, yuv420p, 6x4, 23.976 frames/s"
    assert source.settings["chroma"] == "4:2:0, sited left (tag), by field in interlaced frames"
    assert source.notes == ["no tag of a matrix: Rec.601 is assumed, as SD has it"]
    assert source.name(7) == "0000007"


def test_a_rate_that_is_given_wins_and_one_that_is_not_known_is_none():
    assert read(y4m(three()), pipe=Pipe(rate=Fraction(25))).rate == 25
    assert read(y4m(three(), "YUV4MPEG2 W6 H4 F0:0")).rate is None
    assert read(y4m(three(), "YUV4MPEG2 W6 H4")).rate is None


def test_hd_is_709_and_keep_keeps_the_range():
    frames = [[np.full((720, 1280), 235, np.uint8), *[np.full((360, 640), 128, np.uint8)] * 2]]
    source = read(y4m(frames, "YUV4MPEG2 W1280 H720 F25:1 C420mpeg2"), keep=True)
    assert source.matrix == "709"
    ((header, frame),) = source
    assert (header.low_code, header.high_code, set(frame.ravel())) == (64, 940, {940})


@pytest.mark.parametrize(
    ("tag", "order", "laced", "given"),
    [("p", None, False, None), ("t", "top", True, None), ("b", "bottom", True, None), ("?", None, False, None),
     ("t", "top", False, False), ("p", None, True, True)],
)  # fmt: skip
def test_chroma_of_interlaced_frames_is_by_field(tag, order, laced, given):
    frames = three(size=(8, 6))
    source = read(y4m(frames, f"YUV4MPEG2 W6 H8 F25:1 I{tag} C420mpeg2"), interlaced=given)
    assert source.field_order == order
    assert source.header(0).interlace == (order is not None)
    for (_, planes), expected in zip(source.frames(), frames, strict=True):
        assert planes.interlaced == laced
        assert_rounds(source.pixels(planes), naive.rgb_of_planes(expected, 8, "601", interlaced=laced))


def test_frames_of_mixed_y4m_say_themselves_whether_they_are_interlaced():
    frames = three()
    first = y4m(frames[:1], f"{HEADER} C420mpeg2".replace("Ip", "Im"), "FRAME It2i XMORE")
    source = read(first + y4m(frames[1:2], "", "FRAME I1pp")[1:])
    assert [planes.interlaced for _, planes in source.frames()] == [True, False]


def test_grey_is_grey_and_alpha_is_left_out():
    (grey,) = noise(0, 8, (4, 6))
    ((_, frame),) = read(y4m([[grey]], f"{HEADER} Cmono"))
    expected = np.clip(np.floor((grey.astype(float) - 16) * 1023 / 219 + 0.5), 0, 1023)
    np.testing.assert_array_equal(frame, np.repeat(expected[:, :, None], 3, axis=2))
    (deep,) = noise(0, 12, (4, 6))
    assert read(y4m([[deep]], f"{HEADER} Cmono12")).bits == 12
    planes = noise(1, 8, *[(4, 6)] * 4)
    source = read(y4m([planes], f"{HEADER} C444alpha"))
    assert "alpha is left out" in source.notes
    ((_, found),) = source.frames()
    for plane, other in zip(found, planes[:3], strict=True):
        np.testing.assert_array_equal(plane, other)


@pytest.mark.parametrize(
    ("pixels", "words"),
    [("yuv420p", "yuv420p"), ("yuv422p", "yuv422p"), ("yuv444p12le", "yuv444p12"), ("yuv420p10le", "yuv420p10")],
)
def test_y4m_that_ffmpeg_writes(pixels, words, tmp_path):
    av = pytest.importorskip("av")
    bits = Pixels.of(pixels).bits
    frames = three(bits, pixels[3:6], (6, 10))
    path = tmp_path / "f.y4m"
    with av.open(os.fspath(path), "w", format="yuv4mpegpipe", options={"strict": "-1"}) as container:
        stream = container.add_stream("wrapped_avframe", rate=Fraction(30000, 1001))
        stream.width, stream.height, stream.pix_fmt = 10, 6, pixels
        for n, planes in enumerate(frames):
            frame = picture(pixels, planes)
            frame.pts = n
            container.mux(stream.encode(frame))
    with open(path, "rb") as file, PipeSource(file) as source:
        assert source.settings["source"].startswith(f"y4m on standard input, {words}, 10x6")
        for (_, found), expected, again in zip(
            source.frames(), frames, decoded(path, 1 if bits == 8 else 2), strict=True
        ):
            for plane, other, same in zip(found, expected, again, strict=True):
                np.testing.assert_array_equal(plane, other)
                np.testing.assert_array_equal(plane, same)


# -- what is wrong with it -------------------------------------------------------------------------------------------


def test_y4m_that_is_cut_anywhere_gives_the_whole_frames_before_and_an_error():
    frames = three()
    data, header, each = y4m(frames), len(HEADER) + len(" C420jpeg\n"), 6 + 36
    for length in range(len(data)):
        got, problem = [], None
        try:
            got.extend(read(data[:length]).frames())
        except DataError as error:
            problem = str(error)
        whole = max(0, length - header) // each
        assert len(got) == whole
        if length < header + each or (length - header) % each:
            assert "\n" not in problem
            expected = (
                "nothing came" if not length else "begins with b'Y" if length < 9 else "the y4m header is cut off after"
                if length < header else "it ends before the first frame" if length == header
                else f"ends in the middle of frame {whole} "
            )  # fmt: skip
            assert expected in problem
        else:
            assert problem is None


def test_frames_before_a_cut_come_through_a_loop_over_the_source():
    got = []
    with pytest.raises(
        DataError, match=r"standard input: it ends in the middle of frame 2 \(35 of its 36 bytes came\)"
    ):
        got.extend(read(y4m(three())[:-1]))
    assert len(got) == 2
    with pytest.raises(DataError, match="cut short: 3 of the 4 frames that its header has came"):
        list(read(y4m(three(), f"{HEADER} XLENGTH=4")))
    assert len(list(read(y4m(three(), f"{HEADER} XLENGTH=4")).stream(0, 2))) == 2


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "nothing came, expected y4m, as `ffmpeg"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), r"begins with b'\\x89PNG\\r\\n', expected y4m"),
        (bytes(10000), r"begins with b'\\x00"),
        (b"YUV4MPEG2 W6", "the y4m header is cut off after 12 bytes"),
        (b"YUV4MPEG2 " + b"X" * 9000, "the y4m header is cut off after 4096 bytes"),
        (b"YUV4MPEG2\n", "width in the y4m header is ''"),
        (b"YUV4MPEG2 W6\n", "height in the y4m header is ''"),
        (b"YUV4MPEG2 W0 H4\n", "width in the y4m header is '0', expected 1 to 65535"),
        (b"YUV4MPEG2 W99999 H4\n", "width in the y4m header is '99999'"),
        (b"YUV4MPEG2 W65535 H65535\n", "65535x65535 of yuv420p, expected below 2 GiB a frame"),
        (b"YUV4MPEG2 W-6 H4\n", "width in the y4m header is '-6'"),
        (b"YUV4MPEG2 W6 H4 F25\n", "rate in the y4m header is '25', expected as 24000:1001"),
        (b"YUV4MPEG2 W6 H4 F25:0\n", "rate in the y4m header is '25:0'"),
        (b"YUV4MPEG2 W6 H4 A-1:1\n", "pixel aspect in the y4m header is '-1:1'"),
        (b"YUV4MPEG2 W6 H4 Iq\n", "interlacing in the y4m header is 'q'"),
        *((f"YUV4MPEG2 W6 H4 C{word}\n".encode(), f"the y4m header says 'C{word}', expected C420")
          for word in ("440", "420p11", "422jpeg", "444p8", "rgb", "444p10alpha")),
        (f"{HEADER}\nFRAMES\n".encode() + bytes(36), "frame 0 begins with b'FRAMES"),
        (y4m(three(), f"{HEADER} C420p10"), "frame 0|frame 1 begins with b'"),
        (y4m(three()) + bytes(10), r"frame 3 begins with b'\\x00"),
    ],
)  # fmt: skip
def test_what_is_no_y4m_is_refused_in_one_line(data, text):
    with pytest.raises(DataError, match=text) as error:
        list(read(data))
    assert str(error.value).startswith("standard input: ")
    assert "\n" not in str(error.value)


WORDS = st.sampled_from(
    ["W6", "H4", "W", "H-1", "F25:1", "F", "F:", "A0:0", "A1", "Ip", "Im", "I", "C420p10", "C", "X"]
)


@given(st.lists(WORDS | st.text(max_size=6).filter(lambda text: "\n" not in text)), st.binary(max_size=60))
def test_whatever_a_header_holds_is_read_or_refused(words, rest):
    try:
        source = read(" ".join(["YUV4MPEG2", *words]).encode() + b"\n" + rest)
        assert source.size == (4, 6)
        for _, planes in source.frames():
            assert planes[0].shape == (4, 6)
    except DataError as error:
        problem = str(error)
        assert problem.isprintable()


def test_a_pipe_is_read_once():
    source = read(y4m(three()))
    assert source.once
    assert len(list(source.stream(1, 3))) == 2
    with pytest.raises(DataError, match="it can be read once, from the front"):
        next(source.frames())


@pytest.mark.parametrize("name", ["out", "out.mkv"])
def test_a_run_from_a_pipe_carries_on_by_the_frames_that_are_there(name, tmp_path):
    data = y4m(three() * 20)  # several parts of a movie
    if name != "out":
        pytest.importorskip("av")
    with pytest.raises(DataError, match="standard input: it ends in the middle of frame 57"):
        extract(read(data[: -2 * 42 - 5]), tmp_path / name)
    written, skipped = extract(read(data), tmp_path / name)
    assert written + skipped == 60
    assert skipped == 57 if name == "out" else 0 < skipped < 57
    with fastup.source(tmp_path / name) as found:
        for (_, frame), (_, expected) in zip(found, read(data), strict=True):
            if name == "out":
                np.testing.assert_array_equal(frame, expected)


def test_halos_are_undone_in_a_pipe_by_a_kernel_that_is_given(tmp_path):
    data, out = y4m(three(size=(8, 40)), "YUV4MPEG2 W40 H8 F25:1 C420mpeg2"), tmp_path / "out"
    for asked in ({}, {"kernel": Halo(0.8, 1.6)}, {"protect": 0}):
        with pytest.raises(OptionError, match="but INPUT is a pipe; expected a file, or a kernel and --protect 0"):
            prepare(read(data), out, **asked)
    plan = prepare(read(data), out, kernel=Halo(0.8, 1.6), protect=0)
    assert run(plan) == (3, 0)
    for path, (_, frame) in zip(fastup.find(out), read(data, dtype="float32"), strict=True):
        expected = dehalo(frame, Halo(0.8, 1.6).taps, protect=0)
        np.testing.assert_array_equal(fastup.read(path), naive.codes(expected, 1023))


def test_frames_that_are_not_asked_for_are_read_and_left_out():
    assert [number for number, _ in read(y4m(three() * 3)).frames(1, 8, 3, lambda number: number == 4)] == [1, 7]
    data = io.BytesIO(y4m(three()))
    assert len(list(PipeSource(data).frames(0, 1))) == 1
    assert len(data.read()) == 2 * 42  # what comes after the end is left to others


def test_film_is_not_looked_for_in_a_pipe():
    with pytest.raises(OptionError, match="the clip is read twice, to find film and to make it, but INPUT is a pipe"):
        find(read(y4m(three())))


def test_a_terminal_is_no_pipe(monkeypatch):
    monkeypatch.setattr(os, "isatty", lambda number: True)
    with pytest.raises(OptionError, match="INPUT is -, but standard input is a terminal, expected y4m, as `ffmpeg"):
        opening.source("-")
    with pytest.raises(OptionError, match="OUTPUT is -, but standard output is a terminal"):
        opening.sink("-")


# -- raw video -------------------------------------------------------------------------------------------------------

RAW = {
    "gray": ("y", 8, lambda y: [y]), "gray16be": ("y", 16, lambda y: [y.astype(">u2")]),
    "rgb24": ("rgb", 8, lambda rgb: [rgb]), "bgr24": ("rgb", 8, lambda rgb: [rgb[:, :, ::-1]]),
    "rgb48be": ("rgb", 16, lambda rgb: [rgb.astype(">u2")]), "bgr48le": ("rgb", 16, lambda rgb: [rgb[:, :, ::-1]]),
    "gbrp": ("rgb", 8, lambda rgb: [rgb[:, :, n] for n in (1, 2, 0)]),
    "gbrp10le": ("rgb", 10, lambda rgb: [rgb[:, :, n] for n in (1, 2, 0)]),
    "gbrp12": ("rgb", 12, lambda rgb: [rgb[:, :, n] for n in (1, 2, 0)]),
    "gbrp16be": ("rgb", 16, lambda rgb: [rgb[:, :, n].astype(">u2") for n in (1, 2, 0)]),
}  # fmt: skip


def raw(name, frames):
    lay_out = RAW[name][2]
    return b"".join(part.tobytes() for frame in frames for part in lay_out(frame))


@pytest.mark.parametrize("name", RAW)
def test_raw_rgb_and_grey_are_read_and_written_exactly(name):
    letters, bits, _ = RAW[name]
    shape = (4, 6, 3) if letters == "rgb" else (4, 6)
    frames = [noise(seed, bits, shape)[0] for seed in range(3)]
    source = read(raw(name, frames), pipe=Pipe(name, (4, 6), Fraction(24)))
    assert (source.size, source.bits, source.rate) == ((4, 6), bits, 24)
    for (_, (found,)), expected in zip(source.frames(), frames, strict=True):
        np.testing.assert_array_equal(found, expected)
    if letters == "rgb":
        frames = [frame.astype(np.uint16) for frame in frames]
        data, _ = written(frames, Header.new(6, 4, bits=bits), pipe=Pipe(name))
        assert data == raw(name, [frame.astype("u1") if bits == 8 else frame for frame in frames])
        for floats in (np.float32, np.float64):
            normal = [(frame / white_of(bits)).astype(floats) for frame in frames]
            assert written(normal, pipe=Pipe(name))[0] == data
        if bits in (8, 16):  # which DPX has, too; 10-bit codes are scaled from white to white
            codes = some_codes(1)
            exact = naive.nearest_codes(np.vectorize(Fraction)(codes.astype(object)) * white_of(bits) / 1023, 65535)
            expected = raw(name, [exact.astype("u1") if bits == 8 else exact])
            assert written([codes], pipe=Pipe(name))[0] == expected
    else:
        with pytest.raises(OptionError, match=f"pixel format is {name}, expected yuv420p10le"):
            PipeSink(io.BytesIO(), pipe=Pipe(name))


@pytest.mark.parametrize("chroma", ["420", "422", "444"])
@pytest.mark.parametrize(("suffix", "bits"), [("", 8), ("10le", 10), ("12be", 12), ("16", 16)])
def test_raw_yuv_is_read_and_written_exactly(chroma, suffix, bits):
    name = f"yuv{chroma}p{suffix}"
    frames = three(bits, chroma, (5, 7))
    dtype = "u1" if bits == 8 else ">u2" if suffix.endswith("be") else "<u2"
    data = b"".join(plane.astype(dtype).tobytes() for planes in frames for plane in planes)
    source = read(data, pipe=Pipe(name, (5, 7)))
    for (_, found), expected in zip(source.frames(), frames, strict=True):
        for plane, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(plane, other)
    codes = some_codes(size=(5, 7))
    exact = naive.planes_of_rgb(codes, 1023, bits, "601", SUBSAMPLED[chroma])
    expected = b"".join(naive.nearest_codes(plane, white_of(bits)).astype(dtype).tobytes() for plane in exact)
    assert written([codes], pipe=Pipe(name))[0] == expected


def test_raw_video_that_is_cut_is_an_error_and_y4m_is_not_taken_for_it():
    frames = [some_codes(n) for n in range(2)]
    data = raw("gbrp10le", frames)
    for length in (0, 1, 143, 145, 287):
        got, source = [], read(data[:length], pipe=Pipe("gbrp10le", (4, 6)))
        with pytest.raises(DataError, match="before the first frame" if not length else "in the middle of frame"):
            got.extend(source)
        assert len(got) == length // 144
    with pytest.raises(DataError, match="it is y4m, expected raw video of gbrp10le, as there is a size"):
        list(read(y4m(three() * 4), pipe=Pipe("gbrp10le", (4, 6))))


@pytest.mark.parametrize("name", ["yuv422p11le", "rgba", "gray10be2", "rgb24le", "yuv420", "p010le", "gbrp24", "rgb"])
def test_pixel_formats_that_are_not_known_are_refused(name):
    with pytest.raises(
        OptionError, match=f"pixel format is '{name}', expected FFmpeg's name of one, such as yuv422p10le"
    ):
        read(b"", pipe=Pipe(name, (4, 6)))
    with pytest.raises(OptionError, match=f"pixel format is '{name}'"):
        PipeSink(io.BytesIO(), pipe=Pipe(pixels=name))


# -- out -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize("chroma", ["420", "422", "444"])
def test_y4m_is_written_exactly_and_read_by_ffmpeg(chroma, bits):
    av = pytest.importorskip("av")
    codes = [some_codes(n, size=(6, 8)) for n in range(3)]
    header = Header.new(8, 6, pixel_aspect=Fraction(3, 4), frame_rate=24000 / 1001)
    data, sink = written(codes, header, pipe=Pipe(pixels=f"yuv{chroma}p{bits if bits > 8 else ''}"))
    assert len(data.split(b"\n")[0]) < 80  # all that FFmpeg's reader took before 4.3
    assert sink.notes == ["Y, Cb and Cr are of Rec.601 and limited range, as SD has them"]
    with av.open(io.BytesIO(data), format="yuv4mpegpipe") as container:
        stream = container.streams.video[0]
        assert stream.average_rate == Fraction(24000, 1001)
        assert stream.sample_aspect_ratio == Fraction(3, 4)
        found = list(container.decode(video=0))
    assert [frame.format.name for frame in found] == [f"yuv{chroma}p{f'{bits}le' if bits > 8 else ''}"] * 3
    assert {(int(frame.color_range), frame.interlaced_frame) for frame in found} == {(1, False)}
    for frame, rgb in zip(found, codes, strict=True):
        for plane, exact in zip(
            frame.planes, naive.planes_of_rgb(rgb, 1023, bits, "601", SUBSAMPLED[chroma]), strict=True
        ):
            samples = np.frombuffer(bytes(plane), "u1" if bits == 8 else "<u2").reshape(plane.height, -1)
            np.testing.assert_array_equal(samples[:, : plane.width], naive.nearest_codes(exact, white_of(bits)))


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_what_is_written_is_read_again(bits):
    """4:4:4 of two bits more holds every code; the headers say the same."""
    codes = some_codes(size=(9, 11))
    first = Header.new(11, 9, pixel_aspect=Fraction(8, 9), frame_rate=25, interlace=0)
    data, _ = written([codes], first, pipe=Pipe(pixels="yuv444p12"))
    ((header, frame),) = read(data)
    np.testing.assert_array_equal(frame, codes)
    assert (header.frame_rate, header.pixel_aspect, header.interlace) == (25, Fraction(8, 9), 0)


class Like(PipeSource):
    """A source of any kind to be like."""

    def __init__(self, **values):
        self.__dict__.update({"rate": None, "field_order": None, "siting": "left", "subsampling": None} | values)


@pytest.mark.parametrize(
    ("like", "header", "expected"),
    [
        ({"subsampling": "4:2:0", "rate": Fraction(24000, 1001)}, {"frame_rate": 30}, "F24000:1001 Ip A0:0 C420p10"),
        ({"subsampling": "4:2:2"}, {"frame_rate": 30}, "F30:1 Ip A0:0 C422p10"),
        ({"subsampling": "4:1:1", "rate": Fraction(25)}, {"bits": 8}, "F25:1 Ip A0:0 C422p10"),
        ({"rate": Fraction(25)}, {"bits": 12}, "F25:1 Ip A0:0 C444p12"),
        ({"subsampling": "4:4:0", "rate": Fraction(25)}, {"bits": 16}, "F25:1 Ip A0:0 C444p16"),
        ({"subsampling": "4:2:0", "rate": Fraction(9), "field_order": "top"}, {"interlace": 1}, "F9:1 It A0:0 C422p10"),
        ({"rate": Fraction(25), "field_order": "bottom"}, {"interlace": 1}, "F25:1 Ib A0:0 C444p10"),
        ({"rate": Fraction(25), "field_order": "top"}, {"interlace": 0}, "F25:1 Ip A0:0 C444p10"),
        (None, {"frame_rate": 24000 / 1001, "interlace": 1}, "F24000:1001 I? A0:0 C444p10"),
        (None, {"pixel_aspect": Fraction(4, 3)}, "F0:0 Ip A4:3 C444p10"),
    ],
)  # fmt: skip
def test_the_header_is_of_the_source_and_the_first_frame(like, header, expected):
    data, sink = written([some_codes(white=255)], Header.new(6, 4, **header), like=like and Like(**like))
    assert data.split(b"\n")[0].decode() == f"YUV4MPEG2 W6 H4 {expected} XCOLORRANGE=LIMITED"
    unknown = "the frame rate is not known, which some readers take to be 25: --rate says it"
    assert (unknown in sink.notes) == ("F0:0" in expected)


def test_a_rate_that_is_given_is_written_and_every_second_frame_is_half_of_it():
    like = Like(rate=Fraction(30000, 1001))
    assert b" F24:1 " in written([some_codes()], like=like, pipe=Pipe(rate=Fraction(24)))[0]
    assert b" F15000:1001 " in written([some_codes()], like=like, every=2)[0]
    assert b" F12:1 " in written([some_codes()], like=like, every=2, pipe=Pipe(rate=Fraction(24)))[0]


def test_standard_input_that_is_closed_is_no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(OptionError, match="standard input is closed, expected y4m"):
        PipeSource()


def test_chroma_of_8_bits_is_where_the_source_has_it_and_left_where_y4m_cannot_say():
    codes = some_codes()
    for siting, word in (("center", "420jpeg"), ("topleft", "420paldv"), ("left", "420mpeg2"), ("top", "420mpeg2")):
        data, _ = written([codes], like=Like(siting=siting), pipe=Pipe(pixels="yuv420p"))
        assert f" C{word} ".encode() in data
        ((_, found),) = read(data).frames()
        sited = siting if siting != "top" else "left"
        for plane, exact in zip(found, naive.planes_of_rgb(codes, 1023, 8, "601", (2, 2), sited), strict=True):
            np.testing.assert_array_equal(plane, naive.nearest_codes(exact, 255))
    data, _ = written([codes], like=Like(siting="center"), pipe=Pipe(pixels="yuv420p10"))
    ((_, found),) = read(data).frames()
    for plane, exact in zip(found, naive.planes_of_rgb(codes, 1023, 10, "601", (2, 2)), strict=True):
        np.testing.assert_array_equal(plane, naive.nearest_codes(exact))


def test_hd_is_written_by_709():
    codes = np.full((720, 1280, 3), [1023, 0, 0], np.uint16)
    data, sink = written([codes])
    ((_, planes),) = read(data).frames()
    exact = naive.planes_of_rgb([[[1023, 0, 0]]], 1023, 10, "709", (1, 1))
    assert [plane[0, 0] for plane in planes] == [naive.nearest_codes(plane)[0, 0] for plane in exact]
    assert sink.notes[0] == "Y, Cb and Cr are of Rec.709 and limited range, as HD has them"


def test_floats_grey_and_alpha_go_out_as_colours():
    codes = some_codes(channels=4)
    header = Header.new(6, 4, descriptor="RGBA")
    data, sink = written([codes], header)
    assert "alpha is left out" in sink.notes
    assert data == written([codes[:, :, :3]])[0]
    assert written([codes[:, :, :1]])[0] == written([np.repeat(codes[:, :, :1], 3, axis=2)])[0]
    floats = codes[:, :, :3] / 1023 * 1.2 - 0.1
    for dtype in (np.float32, np.float64):
        given = floats.astype(dtype)
        ((_, found),) = read(written([given])[0]).frames()
        exact = naive.planes_of_rgb(np.clip(given.astype(np.float32), 0, 1), 1, 10, "601", (1, 1))
        for plane, expected in zip(found, exact, strict=True):
            np.testing.assert_array_equal(plane, naive.nearest_codes(expected))


@pytest.mark.parametrize("floats", [False, True])
def test_codes_that_kept_the_range_are_of_the_range_of_video(floats):
    """Black at 64 and white at 940 become 64 and 940 of luma, and what lies beyond stays beyond."""
    codes = np.array([[[64] * 3, [940] * 3, [502] * 3, [0] * 3, [1023] * 3]], np.uint16)
    header = Header.new(5, 1, low_code=64, high_code=940)
    ((_, planes),) = read(written([codes / np.float32(1023) if floats else codes], header)[0]).frames()
    assert planes[0].tolist() == [[64, 940, 502, 0, 1023]]
    assert {*planes[1].ravel(), *planes[2].ravel()} == {512}


def test_what_a_pipe_cannot_hold_is_refused():
    with pytest.raises(DataError, match="frame 1 is 7x5, expected 6x4 as the first one"):
        written([some_codes(), some_codes(size=(5, 7))])
    with pytest.raises(DataError, match="frame 0 has a code of 1024, expected codes up to 1023"):
        written([np.full((4, 6, 3), 1024, np.uint16)])
    with pytest.raises(DataError, match="frame 0: holds NaN"):
        written([np.full((4, 6, 3), np.nan)])
    with pytest.raises(DataError, match="frame 0 is of Y, Cb and Cr, expected R, G and B"):
        written([some_codes()], Header.new(6, 4, descriptor="CBYCR"))
    with pytest.raises(OptionError, match="pixel format is gbrp10le, expected one that y4m has, such as yuv422p10; or"):
        written([some_codes()], pipe=Pipe(pixels="gbrp10le"))
    with pytest.raises(OptionError, match="pixel format is yuv411p, expected yuv420p10le"):
        written([some_codes()], pipe=Pipe(raw="yuv411p"))
    with pytest.raises(OptionError, match="pixel format is yuv420p10, but the frames are interlaced, expected 4:2:2"):
        written([some_codes()], Header.new(6, 4, interlace=1), pipe=Pipe(pixels="yuv420p10"))
    for wrong in (some_codes()[:, :, 0], some_codes(channels=2), np.zeros((4, 6, 3), np.int64)):
        with pytest.raises(ValueError, match="the frame is"):
            written([wrong])


def feed(sink, frames, last=None):
    with sink:
        for frame in frames:
            sink.write(frame)
        if last is not None:
            raise last


def test_frames_before_one_that_fails_are_written_whole():
    frames = [some_codes(n) for n in range(10)]
    frames[2] = np.full((4, 6, 3), 2000, np.uint16)
    sink = PipeSink(out := io.BytesIO())
    with pytest.raises(DataError, match="frame 2 has a code of 2000"):
        feed(sink, frames)
    assert len(list(read(out.getvalue()))) == 2
    assert (sink.is_made(0), sink.beside("telecine")) == (False, None)
    sink = PipeSink(out := io.BytesIO())
    with pytest.raises(KeyError):
        feed(sink, frames[3:], KeyError())
    assert len(list(read(out.getvalue()))) == 7


# -- readers that go away, or wait -----------------------------------------------------------------------------------


def test_a_reader_that_goes_away_is_an_error_and_leaves_no_thread():
    reader, writer = os.pipe()
    given, before = [], threading.active_count()

    def frames(end):
        yield some_codes(size=(64, 64))
        assert end.readline().startswith(b"YUV4MPEG2 ")
        end.close()
        for n in range(10000):
            given.append(n)
            yield some_codes(size=(64, 64))

    with open(writer, "wb", buffering=0) as file, open(reader, "rb") as end, pytest.raises(BrokenPipeError):
        feed(PipeSink(file), frames(end))
    assert len(given) < 100
    assert threading.active_count() == before


class Stuck(io.BytesIO):
    """What nobody reads, until it is free."""

    def __init__(self):
        super().__init__()
        self.begun, self.free = threading.Event(), threading.Event()

    def write(self, data):
        self.begun.set()
        assert self.free.wait(60)
        return super().write(data)


def test_a_reader_that_waits_holds_frames_up():
    """At most so many frames are under way as threads have work, whatever is given: memory is bounded."""
    given = []

    def frames():
        for n in range(50):
            given.append(n)
            yield some_codes(n)

    sink = PipeSink(out := Stuck(), threads=2)
    feeder = threading.Thread(target=feed, args=(sink, frames()))
    feeder.start()
    assert out.begun.wait(60)
    feeder.join(0.2)  # however far it comes meanwhile
    assert feeder.is_alive()
    assert len(given) <= 6
    out.free.set()
    feeder.join()
    assert len(given) == len(list(read(out.getvalue()))) == 50


def test_a_run_that_is_stopped_does_not_wait_for_a_reader_that_waits():
    def frames():
        yield from map(some_codes, range(4))
        assert out.begun.wait(60)

    sink = PipeSink(out := Stuck(), threads=2)
    with pytest.raises(KeyboardInterrupt):
        feed(sink, frames(), KeyboardInterrupt())
    assert sink._writer.is_alive()  # as nobody reads
    out.free.set()
    sink._writer.join()
    assert len(list(read(out.getvalue()))) == 1  # the one that was under way


# -- the standard streams --------------------------------------------------------------------------------------------

THROUGH = """
import sys, fastup
print("before")
with fastup.source("-") as frames, fastup.sink("-", like=frames) as out:
    print("within")
    for header, frame in frames:
        out.write(frame, header)
print("after", *out.notes, *{"av", "keras", "OpenImageIO"} & {*sys.modules}, sep=", ")
"""


def through(data, script=THROUGH):
    return subprocess.run([sys.executable, "-c", script], input=data, capture_output=True)


def test_standard_output_is_for_frames_alone():
    frames = three(10, "422")
    done = through(y4m(frames, f"{HEADER} C422p10"))
    assert done.returncode == 0
    head, _, rest = done.stdout.partition(b"YUV4MPEG2")
    assert head == b"before\n"  # while it was nobody's yet
    said = "after, Y, Cb and Cr are of Rec.601 and limited range, as SD has them"
    assert done.stderr.decode().splitlines() == ["within", said]
    source = read(b"YUV4MPEG2" + rest)
    assert (source.settings["source"], source.pixel_aspect) == (
        "y4m on standard input, yuv422p10, 6x4, 23.976 frames/s", Fraction(8, 9),
    )  # fmt: skip
    assert len(list(source)) == 3


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate"),
    [("25", 25), ("24000/1001", Fraction(24000, 1001)), ("23.976", Fraction(24000, 1001)), ("12.5", Fraction(25, 2)),
     ("29.97", Fraction(30000, 1001))],
)  # fmt: skip
def test_rates_are_exact(text, rate):
    source, sink = options.pipes(Path("-"), Path("-"), rate=text)
    assert (source, sink["pipe"]) == (Pipe(rate=rate), Pipe(rate=rate))


@pytest.mark.parametrize("text", ["0", "24/0", "-1", "fast", "1/2/3", "", "0.0", "nan", "inf", "1e9"])
def test_rates_that_are_none_are_refused(text):
    with pytest.raises(OptionError, match=r"rate is '.*', expected frames per second, such as 25 or 24000/1001"):
        options.pipes(Path("-"), Path("-"), rate=text)


@pytest.mark.parametrize("text", ["720", "0x480", "720x480x3", "axb", "720 x 480", "1000000000x2"])
def test_sizes_that_are_none_are_refused(text):
    with pytest.raises(OptionError, match=r"size is '.*', expected WIDTHxHEIGHT"):
        options.pipes(Path("-"), Path("-"), raw="gbrp", size=text)


def test_options_of_pipes_go_with_pipes():
    pipe, folder, movie = Path("-"), Path("out"), Path("out.mov")
    assert options.pipes(folder, folder) == (None, {})
    assert options.pipes(pipe, folder, raw="gbrp", size="6x4") == (Pipe("gbrp", (4, 6)), {})
    assert options.pipes(folder, pipe, raw="gbrp", pixels="rgb24") == (None, {"pipe": Pipe("gbrp", pixels="rgb24")})
    assert options.pipes(pipe, movie, codec="prores", rate="24")[1] == {"codec": "prores", "rate": 24}
    for places, others, text in (
        ((folder, folder), {"raw": "gbrp"}, "raw is gbrp, but neither INPUT nor OUTPUT is -"),
        ((pipe, folder), {"pixels": "gbrp"}, "pixels is gbrp, but OUTPUT is not -"),
        ((pipe, pipe), {"size": "6x4"}, "size is 6x4, but INPUT is not -, a pipe, of --raw video"),
        ((folder, pipe), {"raw": "gbrp", "size": "6x4"}, "size is 6x4, but INPUT is not -"),
        ((pipe, folder), {"raw": "gbrp"}, "raw is gbrp, but there is no size"),
        ((folder, folder), {"rate": "24"}, "rate is 24, but there is neither a pipe nor a movie"),
        ((pipe, pipe), {"codec": "prores"}, "codec is prores, but OUTPUT is no movie"),
    ):
        with pytest.raises(OptionError, match=text):
            options.pipes(*places, **others)


# -- commands --------------------------------------------------------------------------------------------------------

MAIN = [sys.executable, "-c", "import sys; from fastup.cli import main; sys.exit(main())"]


def command(*arguments, data=b""):
    return subprocess.run([*MAIN, *map(str, arguments)], input=data, capture_output=True)


def test_a_command_between_two_programs():
    """With FFmpeg, by PyAV, on either side, as `ffmpeg | fastup | ffmpeg` has it."""
    pytest.importorskip("av")
    before = """
import sys, av, numpy as np
with av.open(sys.stdout.buffer, "w", format="yuv4mpegpipe", options={"strict": "-1"}) as out:
    stream = out.add_stream("wrapped_avframe", rate=25)
    stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv422p10le"
    for n in range(3):
        frame = av.VideoFrame(32, 24, "yuv422p10le")
        for plane in frame.planes:
            plane.update(np.full(plane.buffer_size // 2, 300 + 100 * n, "<u2").tobytes())
        frame.pts = n
        out.mux(stream.encode(frame))
"""
    after = """
import sys, av
with av.open(sys.stdin.buffer, format="yuv4mpegpipe") as file:
    for frame in file.decode(video=0):
        codes = [int.from_bytes(bytes(plane)[:2], "little") for plane in frame.planes]
        print(frame.format.name, frame.width, frame.height, *codes)
"""
    pipe = subprocess.PIPE
    with (
        subprocess.Popen([sys.executable, "-c", before], stdout=pipe) as first,
        subprocess.Popen([*MAIN, "extract", "-", "-"], stdin=first.stdout, stdout=pipe, stderr=pipe) as middle,
        subprocess.Popen([sys.executable, "-c", after], stdin=middle.stdout, stdout=pipe, text=True) as last,
    ):
        first.stdout.close()
        middle.stdout.close()
        found, said = last.stdout.read().splitlines(), middle.stderr.read().decode()
    assert [process.returncode for process in (first, middle, last)] == [0, 0, 0]
    expected = []
    for code in (300, 400, 500):  # every frame of one colour, which no filter changes
        planes = np.full((1, 2), code, np.uint16), *[np.full((1, 1), code, np.uint16)] * 2
        rgb = naive.nearest_codes(naive.rgb_of_planes(planes, 10, "601", number=Fraction))
        made = [naive.nearest_codes(plane)[0, 0] for plane in naive.planes_of_rgb(rgb, 1023, 10, "601")]
        expected.append("yuv422p10le 32 24 {} {} {}".format(*made))
    assert found == expected
    assert "y4m on standard input, yuv422p10, 32x24, 25 frames/s" in said
    assert "Y, Cb and Cr are of Rec.601 and limited range" in said


def test_a_command_on_raw_video_gives_nothing_but_frames(tmp_path):
    frames = [some_codes(n) for n in range(3)]
    data = raw("gbrp10le", frames)
    done = command("extract", "-", "-", "--raw", "gbrp10le", "--size", "6x4", "--rate", "23.976", "--json", data=data)
    assert done.returncode == 0, done.stderr
    assert done.stdout == data
    assert '"rate": "24000/1001"' in done.stderr.decode()


def test_a_command_from_a_folder_to_a_pipe(tmp_path):
    frames = [some_codes(n) for n in range(3)]
    for n, frame in enumerate(frames):
        fastup.write(tmp_path / f"{n}.dpx", frame, Header.new(6, 4, frame_rate=24), fsync=False)
    done = command("convert", tmp_path, "-", "--pixels", "yuv422p12")
    assert done.returncode == 0, done.stderr
    assert done.stdout == written(frames, pipe=Pipe(pixels="yuv422p12", rate=Fraction(24)))[0]
    assert b"converted to -" in done.stderr


def test_a_command_makes_the_frames_before_a_cut(tmp_path):
    done = command("extract", "-", tmp_path / "out", data=y4m(three())[:-1])
    assert done.returncode == 1
    assert done.stderr.decode().startswith(
        "fastup: standard input: it ends in the middle of frame 2 (35 of its 36 bytes"
    )
    assert done.stderr.count(b"\n") == 1
    assert [path.name for path in fastup.find(tmp_path / "out")] == ["0000000.dpx", "0000001.dpx"]
    done = command("extract", "-", "-", data=y4m(three())[:-1])
    assert done.returncode == 1
    assert len(list(read(done.stdout))) == 2


def test_a_reader_that_goes_away_ends_a_command_without_a_word():
    frames = [noise(seed, 8, *shapes("420", (256, 256))) for seed in range(2)] * 40
    data = y4m(frames, "YUV4MPEG2 W256 H256 F25:1 C420jpeg")
    pipe = subprocess.PIPE
    with subprocess.Popen([*MAIN, "extract", "-", "-", "--json"], stdin=pipe, stdout=pipe, stderr=pipe) as process:

        def feed():
            with contextlib.suppress(BrokenPipeError), process.stdin as file:
                file.write(data)

        feeder = threading.Thread(target=feed)
        feeder.start()
        assert process.stdout.readline().startswith(b"YUV4MPEG2 W256 H256 F25:1")
        process.stdout.close()
        said = process.stderr.read()
        feeder.join()
    assert process.returncode == 1
    assert said == b""


def test_frames_are_upscaled_from_pipe_to_pipe(trained):
    pytest.importorskip("onnxruntime")
    model = trained / "best.onnx"
    frames = [noise(seed, 10, *shapes("420", (24, 32))) for seed in range(3)]
    data = y4m(frames, "YUV4MPEG2 W32 H24 F24000:1001 Ip A8:9 C420p10")
    done = command("upscale", model, "-", "-", "--engine", "onnxruntime", data=data)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"YUV4MPEG2 W64 H54 F24000:1001 Ip A1:1 C420p10 XCOLORRANGE=LIMITED\nFRAME\n")
    for said in ("engine: ONNX Runtime", "y4m on standard input, yuv420p10, 32x24", "3 frames upscaled to -"):
        assert said in done.stderr.decode()
    up = fastup.Upscaler(model, "onnxruntime")
    for (_, sent), (_, got) in zip(read(data, dtype="float32"), read(done.stdout).frames(), strict=True):
        for plane, exact in zip(got, naive.planes_of_rgb(np.clip(up(sent), 0, 1), 1, 10, "601", (2, 2)), strict=True):
            assert np.abs(plane - exact.astype(float)).max() <= 0.51
