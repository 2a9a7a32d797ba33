"""fastup.footage.video: pixels against twins written from the definition, headers against what was encoded."""

import os
from fractions import Fraction

import naive
import numpy as np
import pytest
from videos import (
    PACKED,
    SUBSAMPLED,
    assert_rounds,
    decoded,
    extract,
    extracted,
    interlaced_video,
    noise,
    picture,
    ramp,
    video,
)

from fastup.codes import Colorimetric, Transfer
from fastup.errors import DataError
from fastup.footage.opening import open_clip
from fastup.footage.sequences import timecode_at
from fastup.footage.video import _Layout

av = pytest.importorskip("av")


@pytest.mark.parametrize("pixels", PACKED)
def test_samples_are_found_in_every_kind_of_format(pixels):
    _, shapes, expected = PACKED[pixels]
    raw = noise(1, 8, *shapes)
    frame = picture(pixels, raw)
    layout = _Layout("v", frame.format)
    assert layout.bits == frame.format.components[0].bits
    for found, plane in zip(layout.planes(frame), expected(*raw), strict=True):
        assert found.dtype == (np.uint8 if layout.bits == 8 else np.uint16)
        assert found.flags.owndata or found.base.flags.owndata
        np.testing.assert_array_equal(found, plane)


@pytest.mark.parametrize("pixels", ["rgb24", "bgr24", "bgra", "rgb48be", "gbrp", "gray", "gray16be", "ya8"])
def test_rgb_is_scaled_to_white_and_grey_by_its_range(tmp_path, pixels):
    width, shapes, _ = PACKED[pixels]
    path = video(tmp_path / "v.nut", "rawvideo", pixels, [noise(1, 8, *shapes)])
    for keep in (False, True):
        with open_clip(path, keep=keep) as source:
            ((index, (plane,)),) = source.frames()
            assert (index, source.width, source.height) == (0, width, 4)
            found, white, unit = source.pixels((plane,)), (1 << source.bits) - 1, 1 << (source.bits - 8)
        if plane.ndim == 3:
            np.testing.assert_array_equal(found, (plane.astype(np.int64) * 2046 + white) // (2 * white))
        else:
            value = (plane[:, :, np.newaxis] - 16.0 * unit) / (219 * unit)
            assert_rounds(found, np.repeat(value * 876 + 64 if keep else value * 1023, 3, axis=2))


def test_codes_above_white_are_white(tmp_path):
    """Which a damaged file may give."""
    path = video(tmp_path / "v.mkv", "ffv1", "gbrp10le", [noise(0, 10, *[(4, 4)] * 3)])
    with open_clip(path) as source:
        assert source.pixels((np.full((4, 4, 3), 65508, np.uint16),)).min() == 1023


@pytest.mark.parametrize("pixels", ["pal8", "rgb555le", "monob"])
def test_few_bits_become_eight(tmp_path, pixels):
    frame = av.VideoFrame(16, 4, pixels)
    for plane in frame.planes:
        plane.update(noise(1, 8, (plane.buffer_size,))[0].tobytes())
    (found,) = _Layout("v", frame.format).planes(frame)
    np.testing.assert_array_equal(found, frame.to_ndarray(format="rgb24"))


@pytest.mark.parametrize("pixels", ["gbrpf32le", "xyz12le", "bayer_rggb8", "x2rgb10le", "gray32le"])
def test_formats_that_would_give_a_wrong_picture_are_refused(pixels):
    with pytest.raises(DataError, match=f"tape.mov: its pixels are {pixels}, expected"):
        _Layout("tape.mov", av.VideoFormat(pixels, 16, 16))


# -- codecs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [False, True])
def test_v210_equals_the_formula_on_every_pixel(tmp_path, keep):
    frames = [ramp(32, 96), [plane[::-1].copy() for plane in ramp(32, 96)]]
    path = video(tmp_path / "ramp.mov", "v210", "yuv422p10le", frames, tags={"colorspace": 6})
    with open_clip(path) as source:
        for (_, found), planes in zip(source.frames(), frames, strict=True):
            for plane, expected in zip(found, planes, strict=True):
                np.testing.assert_array_equal(plane, expected)
    found = extracted(path, tmp_path / "out", keep=keep)
    assert list(found) == ["ramp_0000000.dpx", "ramp_0000001.dpx"]
    for (rgb, header), planes in zip(found.values(), frames, strict=True):
        np.testing.assert_array_equal(
            rgb, naive.nearest_codes(naive.rgb_of_planes(planes, 10, "601", keep=keep, number=Fraction))
        )
        assert (header.low_code, header.high_code) == ((64, 940) if keep else (0, 1023))


CODECS = {
    "prores": ("mov", "prores_ks", "yuv422p10le", (32, 48), {}, "601"),
    "dv": ("mov", "dvvideo", "yuv411p", (480, 720), {}, "601"),
    "mpeg2": ("mpg", "mpeg2video", "yuv420p", (32, 48), {"colorspace": 1}, "709"),
    "h264": ("mp4", "libx264", "yuv420p", (32, 48), {"colorspace": 1, "color_range": 2}, "709"),
    "ffv1": ("mkv", "ffv1", "yuv420p10le", (31, 47), {"colorspace": 9}, "2020"),
}


@pytest.mark.parametrize("name", CODECS)
def test_every_codec_gives_what_the_formula_gives(tmp_path, name):
    suffix, codec, pixels, (height, width), tags, matrix = CODECS[name]
    bits, kind = (10 if "10" in pixels else 8), SUBSAMPLED[pixels[3:6]]
    small = -(-height // kind[0]), -(-width // kind[1])
    frames = [noise(n, bits, (height, width), small, small) for n in range(3)]
    path = video(tmp_path / f"tape.{suffix}", codec, pixels, frames, rate=Fraction(30000, 1001), tags=tags)
    found = extracted(path, tmp_path / "out")
    siting = {"dv": "topleft"}.get(name, "left")
    truth = list(decoded(path, 2 if bits > 8 else 1))
    assert len(found) == len(truth) == 3
    for (rgb, header), planes in zip(found.values(), truth, strict=True):
        assert (header.width, header.height) == (width, height)
        assert_rounds(rgb, naive.rgb_of_planes(planes, bits, matrix, siting, full=tags.get("color_range") == 2))
    if codec == "ffv1":  # which loses nothing
        for planes, expected in zip(truth, frames, strict=True):
            for plane, data in zip(planes, expected, strict=True):
                np.testing.assert_array_equal(plane, data)


def test_ffv1_of_rgb_keeps_the_codes(tmp_path):
    frames = [noise(n, 10, *[(31, 47)] * 3) for n in range(2)]
    path = video(tmp_path / "tape.mkv", "ffv1", "gbrp10le", frames)
    for (rgb, header), (g, b, r) in zip(extracted(path, tmp_path / "out").values(), frames, strict=True):
        np.testing.assert_array_equal(rgb, np.stack([r, g, b], axis=2))
        assert header.transfer == Transfer.REC_601_525


# -- interlaced ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given_", [None, True, False])
def test_chroma_goes_by_the_frame_unless_told_otherwise(tmp_path, given_):
    path = interlaced_video(tmp_path / "i.mpg")
    flat = video(tmp_path / "p.mpg", "mpeg2video", "yuv420p", [noise(3, 8, (32, 48), (16, 24), (16, 24))], rate=25)
    for source, itself in ((path, True), (flat, False)):
        ((rgb, header),) = extracted(source, tmp_path / source.stem, interlaced=given_).values()
        (planes,) = decoded(source, 1)
        assert_rounds(rgb, naive.rgb_of_planes(planes, 8, "601", interlaced=itself if given_ is None else given_))
        assert header.interlace == int(itself)


def test_siting_and_first_field_are_known_every_time(tmp_path):
    path = interlaced_video(tmp_path / "i.mpg", "bff")
    for _ in range(3):
        with open_clip(path) as source:
            assert (source.siting, source.field_order) == ("left", "bottom")
            assert "sited left (tag)" in source.settings["chroma"]


@pytest.mark.parametrize(("order", "name"), [("tff", "top"), ("bff", "bottom")])
def test_the_first_field_is_what_the_file_claims(tmp_path, order, name):
    with open_clip(interlaced_video(tmp_path / "i.mpg", order)) as source:
        assert source.field_order == name
        ((_, planes),) = source.frames()
        assert planes.interlaced
        assert source.header(0).interlace == 1
        assert source.header(0, Fraction(24000, 1001)).interlace == 0
        assert "by field in interlaced frames" in source.settings["chroma"]


@pytest.mark.parametrize(
    ("codec", "suffix", "pixels"), [("v210", "mov", "yuv422p10le"), ("ffv1", "mkv", "yuv420p10le")]
)
def test_the_container_may_say_that_there_are_fields(tmp_path, codec, suffix, pixels):
    small = (32, 24) if "422" in pixels else (16, 24)
    frames = [noise(0, 10, (32, 48), small, small)]
    path = video(tmp_path / f"v.{suffix}", codec, pixels, frames, tags={"field_order": 3})
    with open_clip(path) as source:
        assert source.field_order == "bottom"
        assert next(source.frames())[1].interlaced
    with open_clip(path, interlaced=False) as source:
        assert not next(source.frames())[1].interlaced


def test_chroma_lies_as_the_source_is_told(tmp_path):
    path = interlaced_video(tmp_path / "i.mpg")
    for interlaced in (False, True):
        with open_clip(path, interlaced=interlaced) as source:
            ((_, planes),) = source.frames()
            assert_rounds(source.pixels(planes), naive.rgb_of_planes(planes, 8, "601", interlaced=interlaced))


# -- headers ---------------------------------------------------------------------------------------------------------


def test_a_header_says_what_the_file_does(tmp_path):
    path = video(
        tmp_path / "tape.mov", "v210", "yuv422p10le", [ramp(32, 96)] * 3, rate=Fraction(30000, 1001),
        tags={
            "sample_aspect_ratio": Fraction(8, 9), "colorspace": 6, "color_primaries": 6, "color_trc": 6,
            "color_range": 1, "field_order": 2,
        },
        metadata={"timecode": "00:59:59;28"},
    )  # fmt: skip
    with open_clip(path) as source:
        assert (source.width, source.height, source.bits) == (96, 32, 10)
        assert (source.rate, source.pixel_aspect) == (Fraction(30000, 1001), Fraction(8, 9))
        assert (source.timecode, source.field_order, source.frame_count) == ("00:59:59;28", "top", 3)
        assert source.notes == []
        assert source.settings["matrix"] == "Rec.601 (tag)"
    found = [header for _, header in extracted(path, tmp_path / "out").values()]
    assert [header.timecode for header in found] == ["00:59:59;28", "00:59:59;29", "01:00:00;00"]
    assert [header.frame_position for header in found] == [0, 1, 2]
    header = found[0]
    assert header.flavour == "10-bit RGB, method A, big-endian"
    assert (header.transfer, header.colorimetric) == (Transfer.REC_601_525, Colorimetric.REC_601_525)
    assert header.pixel_aspect == Fraction(8, 9)
    assert header.film_frame_rate == header.television_frame_rate == np.float32(30000 / 1001)
    assert (header.source_file_name, header.interlace) == ("tape.mov", 1)


def test_a_long_name_is_cut_between_letters(tmp_path):
    path = video(tmp_path / f"a{'é' * 80}.mov", "v210", "yuv422p10le", [ramp(32, 96)])
    with open_clip(path) as source:
        assert source.header(0).source_file_name == "a" + "é" * 49


@pytest.mark.parametrize(
    ("size", "tags", "matrix", "transfer", "colorimetric"),
    [
        ((486, 720), {}, "601", Transfer.REC_601_525, Colorimetric.REC_601_525),
        ((576, 720), {}, "601", Transfer.REC_601_625, Colorimetric.REC_601_625),
        ((536, 1280), {}, "709", Transfer.REC_709, Colorimetric.REC_709),
        ((720, 960), {}, "709", Transfer.REC_709, Colorimetric.REC_709),
        ((32, 48), {"color_trc": 8}, "601", Transfer.REC_601_525, Colorimetric.REC_601_525),
        ((32, 48), {"color_trc": 1, "color_primaries": 5}, "601", Transfer.REC_709, Colorimetric.REC_601_625),
        ((32, 48), {"color_trc": 16, "color_primaries": 9}, "601", Transfer.VIDEO, Colorimetric.VIDEO),
        ((32, 48), {"colorspace": 7}, "240M", Transfer.REC_601_525, Colorimetric.REC_601_525),
    ],
)
def test_tags_come_before_what_is_usual_and_transfer_is_never_linear(
    tmp_path, size, tags, matrix, transfer, colorimetric
):
    planes = [np.full(shape, 500, np.uint16) for shape in (size, (size[0], size[1] // 2), (size[0], size[1] // 2))]
    with open_clip(video(tmp_path / "v.mkv", "ffv1", "yuv422p10le", [planes], tags=tags)) as source:
        assert (source.matrix, source.transfer, source.colorimetric) == (matrix, transfer, colorimetric)
        assert bool(source.notes) == ("colorspace" not in tags)
        header = source.header(0)
        assert (header.transfer, header.colorimetric) == (transfer, colorimetric)


def test_a_matrix_that_cannot_be_undone_is_refused(tmp_path):
    path = video(tmp_path / "v.mkv", "ffv1", "yuv444p", [noise(0, 8, *[(8, 8)] * 3)], tags={"colorspace": 8})  # YCgCo
    with pytest.raises(DataError, match=r"v\.mkv: its matrix is number 8"):
        open_clip(path)


def test_another_rate_counts_from_the_same_time(tmp_path):
    assert timecode_at("01:00:00;15", 12, Fraction(30000, 1001), Fraction(24000, 1001)) == "01:00:01:00"
    path = video(
        tmp_path / "v.mov", "v210", "yuv422p10le", [ramp(32, 96)], rate=Fraction(30000, 1001),
        metadata={"timecode": "01:00:00;00"},
    )  # fmt: skip
    with open_clip(path) as source:
        film = source.header(25, Fraction(24000, 1001))
        assert (film.timecode, film.frame_position) == ("01:00:01:01", 25)
        assert film.frame_rate == np.float32(24000 / 1001)
        bobbed = source.header(59, Fraction(60000, 1001))
        assert bobbed.timecode == "01:00:00:59"  # no room for the mark of drop frame


def test_a_start_is_sought_where_frames_stand_alone(tmp_path, tape, monkeypatch):
    from fastup.footage import video as module

    packets = []
    really = module._decoded

    def counting(*arguments):
        for found in really(*arguments):
            packets.append(found)
            yield found

    with open_clip(tape) as source:
        monkeypatch.setattr(module, "_decoded", counting)
        found = [(index, int(planes[0][0, 0])) for index, planes in source.frames(15, None, 2)]
    assert found == [(15, 450), (17, 470), (19, 490)]
    assert len(packets) < 8


def test_a_start_is_found_where_the_index_marks_few_keys(tmp_path):
    frames = [[np.full(shape, 60 + 8 * n, np.uint8) for shape in ((32, 48), (32, 24), (32, 24))] for n in range(20)]
    path = video(tmp_path / "v.avi", "mjpeg", "yuvj422p", frames)
    data = bytearray(path.read_bytes())
    index = data.rindex(b"idx1") + 8
    for n in set(range(20)) - {0, 5, 10, 15}:  # as some capture cards leave it
        data[index + 16 * n + 4 : index + 16 * n + 8] = bytes(4)
    path.write_bytes(data)
    with open_clip(path) as source:
        whole = {index: planes[0].mean() for index, planes in source.frames()}
        assert len(set(whole.values())) == 20
        for start in (5, 13, 19):
            assert next((index, planes[0].mean()) for index, planes in source.frames(start)) == (start, whole[start])


def test_passes_do_not_disturb_each_other(tape):
    with open_clip(tape) as source:
        first, second = source.frames(), source.frames(5)
        assert [next(first)[0], next(second)[0], next(first)[0], next(second)[0]] == [0, 5, 1, 6]
        index, planes = next(first)
        planes[0][:] = 0  # it is ours
        assert next(source.frames(index))[1][0][0, 0] == 300 + 10 * index


def test_a_variable_rate_is_said_and_no_frame_is_repeated(tmp_path):
    frames = [noise(n, 8, (32, 48), (16, 24), (16, 24)) for n in range(12)]
    path = video(tmp_path / "v.mp4", "libx264", "yuv420p", frames, times=[*range(6), *range(7, 19, 2)])
    with open_clip(path) as source:
        assert extract(source, tmp_path / "out") == (12, 0)
        assert any("frame rate is variable" in note for note in source.notes)
        assert source.rate < 20
        assert source.header(0).frame_rate == np.float32(source.rate)
    steady = video(tmp_path / "steady.mkv", "ffv1", "yuv420p", frames, rate=Fraction(30000, 1001))
    with open_clip(steady) as source:
        assert [index for index, _ in source.frames()] == list(range(12))
        assert not any("variable" in note for note in source.notes)  # milliseconds are 33 and 34


def test_files_that_are_no_video_are_told_apart(tmp_path, tape):
    with pytest.raises(FileNotFoundError):
        open_clip(tmp_path / "none.mov")
    for name, data, words in (
        ("text.mov", b"not a video\n" * 50, "not a video that FFmpeg can read"),
        ("empty.mov", b"", "not a video that FFmpeg can read"),
        (
            "cut.mov",
            tape.read_bytes()[: tape.stat().st_size // 2],
            "not a video that FFmpeg can read: moov atom not found: .* cut short",
        ),
        ("codec.mov", tape.read_bytes().replace(b"v210", b"zz9p"), r"no decoder for its video codec.*zz9p"),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(DataError, match=f"{name}: {words}") as error:
            open_clip(path)
        assert "\n" not in str(error.value)
    with av.open(os.fspath(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 480), np.int16), layout="mono")
        frame.rate = 48000
        container.mux(stream.encode(frame))
    with pytest.raises(DataError, match=r"sound\.wav: there is no video in it, only audio"):
        open_clip(tmp_path / "sound.wav")
