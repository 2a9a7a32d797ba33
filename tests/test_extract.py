"""Extraction: pixels against twins written from the definition, headers against what was encoded, and bad files."""

import json
import math
import os
import sys
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastup
from fastup import _ycbcr
from fastup.codes import Colorimetric, Transfer
from fastup.errors import DataError, OptionError
from fastup.footage.extract import _Layout, extract, open_source, timecode_at
from fastup.header import Header

av = pytest.importorskip("av")

KR_KB = {
    "601": (Fraction(299, 1000), Fraction(114, 1000)),
    "709": (Fraction(2126, 10000), Fraction(722, 10000)),
    "240M": (Fraction(212, 1000), Fraction(87, 1000)),
    "2020": (Fraction(2627, 10000), Fraction(593, 10000)),
    "FCC": (Fraction(30, 100), Fraction(11, 100)),
}
ACROSS = {
    "left": 0,
    "topleft": 0,
    "bottomleft": 0,
    "center": Fraction(1, 2),
    "top": Fraction(1, 2),
    "bottom": Fraction(1, 2),
}
DOWN = {"left": Fraction(1, 2), "center": Fraction(1, 2), "topleft": 0, "top": 0, "bottomleft": 1, "bottom": 1}


# -- twins -----------------------------------------------------------------------------------------------------------


def chroma_lines(count, v, siting, interlaced):
    """For each line of chroma, where it is among the lines of the frame, and whose field it is of (0: all are one)."""
    if not interlaced:
        return [(line * v + DOWN[siting] * (v - 1), 0) for line in range(count)]
    if DOWN[siting] == Fraction(1, 2):  # in the middle of the frame's lines
        return [(line * v + Fraction(v - 1, 2), line % 2) for line in range(count)]
    return [(2 * (line // 2 * v + DOWN[siting] * (v - 1)) + line % 2, line % 2) for line in range(count)]


def twin(planes, bits, matrix, siting="left", interlaced=False, full=False, keep=False, number=float):
    """R, G, B before rounding, (H, W, 3): exact with Fractions as numbers, else float64."""
    luma, *chroma = planes
    (height, width), (rows, columns) = luma.shape, chroma[0].shape
    v, h = (next(n for n in (1, 2, 4) if -(-a // n) == b) for a, b in ((height, rows), (width, columns)))
    interlaced = interlaced and v > 1 and rows > 1
    at_x = [column * h + ACROSS[siting] * (h - 1) for column in range(columns)]
    lines = chroma_lines(rows, v, siting, interlaced)
    upsampled = []
    for plane in chroma:
        wide = interpolate(plane.astype(object if number is Fraction else np.float64), at_x, range(width), 1, number)
        tall = np.empty((height, width), wide.dtype)
        for field in (0, 1) if interlaced else (0,):
            own = [line for line in range(rows) if lines[line][1] == field]
            of = range(field, height, 2) if interlaced else range(height)
            tall[list(of)] = interpolate(wide[own], [lines[line][0] for line in own], of, 0, number)
        upsampled.append(tall)
    unit = 1 << (bits - 8)
    black, span, chroma_span = (0, 2**bits - 1, 2**bits - 1) if full else (16 * unit, 219 * unit, 224 * unit)
    y = (luma.astype(wide.dtype) - black) / number(span)
    cb, cr = ((plane - (1 << (bits - 1))) / number(chroma_span) for plane in upsampled)
    kr, kb = (number(k) for k in KR_KB[matrix])
    r, b = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
    rgb = np.stack([r, (y - kr * r - kb * b) / (1 - kr - kb), b], axis=2)
    return rgb * 876 + 64 if keep and not full else rgb * 1023


def interpolate(plane, positions, wanted, axis, number):
    """Linear interpolation along an axis; the ends go on."""
    plane = np.moveaxis(plane, axis, 0)
    result = []
    for at in wanted:
        after = next((n for n, position in enumerate(positions) if position >= at), len(positions) - 1)
        before = max(after - 1, 0) if positions[after] > at else after
        share = number(at - positions[before]) / number(positions[after] - positions[before]) if after > before else 0
        share = min(share, 1)
        result.append(plane[before] * (1 - share) + plane[after] * share)
    return np.moveaxis(np.array(result), 0, axis)


def rounded(exact):
    """Nearest codes of Fractions, halves up, clipped."""
    codes = [min(max(math.floor(value + Fraction(1, 2)), 0), 1023) for value in exact.ravel()]
    return np.array(codes, np.uint16).reshape(exact.shape)


def assert_rounds(found, value):
    """Codes are the nearest to float64 values, on every pixel; at a half, to float64's precision, both will do."""
    assert found.dtype == np.uint16
    assert np.abs(found - np.clip(value, 0, 1023)).max() <= 0.5 + 1e-9


def ramp(height, width):
    """10-bit planes of 4:2:2 with every luma code that SDI has, and many chromas."""
    y = (np.arange(height * width) % 1016 + 4).reshape(height, width)
    cb, cr = ((y[:, ::2] * factor) % 1016 + 4 for factor in (7, 13))
    return [plane.astype(np.uint16) for plane in (y, cb, cr)]


def noise(seed, bits, *shapes):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 1 << bits, shape).astype(np.uint16 if bits > 8 else np.uint8) for shape in shapes]


# -- videos ----------------------------------------------------------------------------------------------------------

SUBSAMPLED = {"444": (1, 1), "422": (1, 2), "420": (2, 2), "411": (1, 4), "440": (2, 1), "410": (4, 4)}


def picture(pixels, planes):
    """A frame of FFmpeg's from arrays, one for each of its planes."""
    height, width = planes[0].shape
    if pixels in PACKED:
        width = PACKED[pixels][0]
    frame = av.VideoFrame(width, height, pixels)
    for plane, data in zip(frame.planes, planes, strict=True):
        data = np.ascontiguousarray(data).view(np.uint8)
        rows = np.zeros((plane.height, plane.line_size), np.uint8)
        rows[:, : data.shape[1]] = data
        plane.update(rows.tobytes())
    return frame


def video(path, codec, pixels, frames, *, rate=25, times=None, options=None, tags=None, metadata=None, order=None):
    """Encode arrays; `tags` are attributes of the stream, and colours of the frames too."""
    tags = tags or {}
    with av.open(os.fspath(path), "w", options={"strict": "-2"}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        frames = [picture(pixels, planes) for planes in frames]
        stream.width, stream.height, stream.pix_fmt = frames[0].width, frames[0].height, pixels
        stream.metadata.update(metadata or {})
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        stream.codec_context.time_base = 1 / Fraction(rate)
        flag = field_flagger(stream, order) if order else lambda frame: frame
        for n, frame in enumerate(frames):
            frame.pts, frame.time_base = (times or range(len(frames)))[n], 1 / Fraction(rate)
            for name, value in tags.items():
                if name.startswith("color"):
                    setattr(frame, name, value)
            container.mux(stream.encode(flag(frame)))
        container.mux(stream.encode(None))
    return path


def field_flagger(stream, order):
    graph = av.filter.Graph()
    source = graph.add_buffer(
        width=stream.width, height=stream.height, format=av.VideoFormat(stream.pix_fmt), time_base=Fraction(1, 30)
    )
    graph.link_nodes(source, graph.add("setfield", order), graph.add("buffersink")).configure()

    def flag(frame):
        pts, base = frame.pts, frame.time_base
        graph.push(frame)
        flagged = graph.pull()
        flagged.pts, flagged.time_base = pts, base
        return flagged

    return flag


def decoded(path, itemsize):
    """Planes of each frame as FFmpeg decodes them, by other means than those under test."""
    with av.open(os.fspath(path)) as container:
        for frame in container.decode(video=0):
            yield [
                np.array([
                    np.frombuffer(bytes(plane)[row * plane.line_size :], f"u{itemsize}", plane.width)
                    for row in range(plane.height)
                ])
                for plane in frame.planes
            ]  # fmt: skip


# Pixel formats that are not planes of Y, Cb, Cr as they are: width, and bytes of a random plane to what is expected.
def _of(plane, dtype=np.uint8):
    return np.ascontiguousarray(plane).view(dtype)


PACKED = {
    "yuyv422": (6, [(4, 12)], lambda p: (_of(p)[:, ::2], _of(p)[:, 1::4], _of(p)[:, 3::4])),
    "uyvy422": (6, [(4, 12)], lambda p: (_of(p)[:, 1::2], _of(p)[:, ::4], _of(p)[:, 2::4])),
    "uyyvyy411": (8, [(4, 12)], lambda p: (
        _of(p).reshape(4, 2, 6)[:, :, [1, 2, 4, 5]].reshape(4, 8), _of(p)[:, ::6], _of(p)[:, 3::6])),
    "nv12": (6, [(4, 6), (2, 6)], lambda y, c: (_of(y), _of(c)[:, ::2], _of(c)[:, 1::2])),
    "nv21": (6, [(4, 6), (2, 6)], lambda y, c: (_of(y), _of(c)[:, 1::2], _of(c)[:, ::2])),
    "p010le": (6, [(4, 12), (2, 12)], lambda y, c: (
        _of(y, "<u2") >> 6, _of(c, "<u2")[:, ::2] >> 6, _of(c, "<u2")[:, 1::2] >> 6)),
    "y210le": (6, [(4, 24)], lambda p: (
        _of(p, "<u2")[:, ::2] >> 6, _of(p, "<u2")[:, 1::4] >> 6, _of(p, "<u2")[:, 3::4] >> 6)),
    "rgb24": (5, [(4, 15)], lambda p: (_of(p).reshape(4, 5, 3),)),
    "bgr24": (5, [(4, 15)], lambda p: (_of(p).reshape(4, 5, 3)[:, :, ::-1],)),
    "0rgb": (5, [(4, 20)], lambda p: (_of(p).reshape(4, 5, 4)[:, :, 1:],)),
    "bgra": (5, [(4, 20)], lambda p: (_of(p).reshape(4, 5, 4)[:, :, 2::-1],)),
    "rgb48be": (5, [(4, 30)], lambda p: (_of(p, ">u2").reshape(4, 5, 3).astype(np.uint16),)),
    "rgba64le": (5, [(4, 40)], lambda p: (_of(p, "<u2").reshape(4, 5, 4)[:, :, :3],)),
    "gray": (5, [(4, 5)], lambda p: (_of(p),)),
    "gray16be": (5, [(4, 10)], lambda p: (_of(p, ">u2").astype(np.uint16),)),
    "ya8": (5, [(4, 10)], lambda p: (_of(p)[:, ::2],)),
    "yuv422p16be": (6, [(4, 12), (4, 6), (4, 6)], lambda *p: tuple(_of(q, ">u2").astype(np.uint16) for q in p)),
    "yuva444p": (5, [(4, 5)] * 4, lambda *planes: tuple(_of(p) for p in planes[:3])),
    "gbrp": (5, [(4, 5)] * 3, lambda g, b, r: (np.stack([r, g, b], axis=2),)),
}  # fmt: skip


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
        with open_source(path, keep=keep) as source:
            ((index, (plane,)),) = source.frames()
            assert (index, source.width, source.height) == (0, width, 4)
            found, white, unit = source.rgb((plane,)), (1 << source.bits) - 1, 1 << (source.bits - 8)
        if plane.ndim == 3:
            np.testing.assert_array_equal(found, (plane.astype(np.int64) * 2046 + white) // (2 * white))
        else:
            value = (plane[:, :, np.newaxis] - 16.0 * unit) / (219 * unit)
            assert_rounds(found, np.repeat(value * 876 + 64 if keep else value * 1023, 3, axis=2))


def test_codes_above_white_are_white(tmp_path):
    """Which a damaged file may give."""
    path = video(tmp_path / "v.mkv", "ffv1", "gbrp10le", [noise(0, 10, *[(4, 4)] * 3)])
    with open_source(path) as source:
        assert source.rgb((np.full((4, 4, 3), 65508, np.uint16),)).min() == 1023


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


# -- conversion ------------------------------------------------------------------------------------------------------


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 2**32), height=st.integers(1, 9), width=st.integers(1, 11),
    bits=st.sampled_from([8, 10, 12, 16]), kind=st.sampled_from(sorted(SUBSAMPLED)),
    siting=st.sampled_from(sorted(ACROSS)), matrix=st.sampled_from(sorted(KR_KB)),
    interlaced=st.booleans(), full=st.booleans(), keep=st.booleans(),
)  # fmt: skip
def test_codes_are_the_exact_value_rounded(seed, height, width, bits, kind, siting, matrix, interlaced, full, keep):
    v, h = SUBSAMPLED[kind]
    small = -(-height // v), -(-width // h)
    planes = noise(seed, bits, (height, width), small, small)
    found = _ycbcr.rgb(planes, bits, matrix=matrix, siting=siting, interlaced=interlaced, full=full, keep=keep)
    exact = twin(planes, bits, matrix, siting, interlaced, full, keep, Fraction)
    np.testing.assert_array_equal(found, rounded(exact))


def test_halves_are_rounded_up_over_every_luma_and_chroma():
    """R and B of 10-bit Rec.601 for each of a million pairs, G for a million triples, in whole numbers."""
    y, c = (part.astype(np.int64) for part in np.mgrid[0:1024, 0:1024])
    other = np.random.default_rng(2).integers(0, 1024, y.shape)
    found = _ycbcr.rgb([part.astype(np.uint16) for part in (y, other, c)], 10, matrix="601").astype(np.int64)
    # Over the denominator of all, 876 * 896 * 587000: luma counts 896 * 587000 times 1023, and so on.
    whole = 876 * 896 * 587000
    luma = 1023 * (y - 64) * 896 * 587000
    red = luma + 1023 * (c - 512) * 876 * 587 * 1402
    green = luma - 1023 * 876 * ((c - 512) * 419198 + (other - 512) * 202008)
    for channel, exact in ((0, red), (1, green)):
        np.testing.assert_array_equal(found[:, :, channel], np.clip((2 * exact + whole) // (2 * whole), 0, 1023))
    swapped = _ycbcr.rgb([part.astype(np.uint16) for part in (y, c, other)], 10, matrix="601").astype(np.int64)
    blue = luma + 1023 * (c - 512) * 876 * 587 * 1772
    np.testing.assert_array_equal(swapped[:, :, 2], np.clip((2 * blue + whole) // (2 * whole), 0, 1023))
    halves = [np.count_nonzero((2 * exact + whole) % (2 * whole) == 0) for exact in (red, blue)]
    assert min(halves) > 0  # there are some


@pytest.mark.parametrize("codes", [((4, 6), (4, 6), (4, 5)), ((4, 6), (3, 3), (3, 3)), ((5, 6), (5, 1), (5, 1))])
def test_planes_that_do_not_fit_each_other_are_refused(codes):
    with pytest.raises(ValueError, match="planes are"):
        _ycbcr.rgb(noise(0, 8, *codes), 8, matrix="601")


def test_planes_of_other_types_and_outputs_of_other_shapes_are_refused():
    planes = noise(0, 8, (4, 6), (4, 3), (4, 3))
    with pytest.raises(ValueError, match="planes are"):
        _ycbcr.rgb([plane.astype(np.float32) for plane in planes], 8, matrix="601")
    with pytest.raises(ValueError, match="planes are"):
        _ycbcr.rgb([planes[0].astype(np.uint16), *planes[1:]], 8, matrix="601")
    with pytest.raises(ValueError, match="out is"):
        _ycbcr.rgb(planes, 8, matrix="601", out=np.empty((4, 6, 4), np.uint16))


def test_what_is_known_of_neutrals():
    """Y of 720 is 766 (swscale has 764); black, white, and what lies beyond them."""
    y = np.array([[0, 64, 720, 940, 1023]], np.uint16)
    grey = np.full((1, 3), 512, np.uint16)
    full = _ycbcr.rgb((y, grey, grey), 10, matrix="601")
    assert full[0].tolist() == [[code] * 3 for code in (0, 0, 766, 1023, 1023)]
    kept = _ycbcr.rgb((y, grey, grey), 10, matrix="709", keep=True)
    assert kept[0].tolist() == [[code] * 3 for code in (0, 64, 720, 940, 1023)]


# -- codecs ----------------------------------------------------------------------------------------------------------


def extracted(path, folder, **options):
    """Frames and headers of what is extracted, by name."""
    with open_source(path, **{name: options.pop(name) for name in ("keep", "interlaced") if name in options}) as source:
        extract(source, folder, **options)
    return {found.name: (fastup.read(found), Header.read(found)) for found in sorted(folder.iterdir())}


@pytest.mark.parametrize("keep", [False, True])
def test_v210_equals_the_formula_on_every_pixel(tmp_path, keep):
    frames = [ramp(32, 96), [plane[::-1].copy() for plane in ramp(32, 96)]]
    path = video(tmp_path / "ramp.mov", "v210", "yuv422p10le", frames, tags={"colorspace": 6})
    with open_source(path) as source:
        for (_, found), planes in zip(source.frames(), frames, strict=True):
            for plane, expected in zip(found, planes, strict=True):
                np.testing.assert_array_equal(plane, expected)
    found = extracted(path, tmp_path / "out", keep=keep)
    assert list(found) == ["ramp_0000000.dpx", "ramp_0000001.dpx"]
    for (rgb, header), planes in zip(found.values(), frames, strict=True):
        np.testing.assert_array_equal(rgb, rounded(twin(planes, 10, "601", keep=keep, number=Fraction)))
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
        assert_rounds(rgb, twin(planes, bits, matrix, siting, full=tags.get("color_range") == 2))
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


def interlaced_video(path, order="tff", **more):
    rng = np.random.default_rng(3)
    frames = [[rng.integers(16, 236, shape).astype(np.uint8) for shape in ((32, 48), (16, 24), (16, 24))]]
    options = {"flags": "+ildct+ilme", "b": "8M"}
    return video(
        path, "mpeg2video", "yuv420p", frames, rate=Fraction(30000, 1001), options=options, order=order, **more
    )


@pytest.mark.parametrize("given_", [None, True, False])
def test_chroma_goes_by_the_frame_unless_told_otherwise(tmp_path, given_):
    path = interlaced_video(tmp_path / "i.mpg")
    flat = video(tmp_path / "p.mpg", "mpeg2video", "yuv420p", [noise(3, 8, (32, 48), (16, 24), (16, 24))], rate=25)
    for source, itself in ((path, True), (flat, False)):
        ((rgb, header),) = extracted(source, tmp_path / source.stem, interlaced=given_).values()
        (planes,) = decoded(source, 1)
        assert_rounds(rgb, twin(planes, 8, "601", interlaced=itself if given_ is None else given_))
        assert header.interlace == int(itself)


def test_siting_and_first_field_are_known_every_time(tmp_path):
    path = interlaced_video(tmp_path / "i.mpg", "bff")
    for _ in range(3):
        with open_source(path) as source:
            assert (source.siting, source.field_order) == ("left", "bottom")
            assert "sited left (tag)" in source.settings["chroma"]


@pytest.mark.parametrize(("order", "name"), [("tff", "top"), ("bff", "bottom")])
def test_the_first_field_is_what_the_file_claims(tmp_path, order, name):
    with open_source(interlaced_video(tmp_path / "i.mpg", order)) as source:
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
    with open_source(path) as source:
        assert source.field_order == "bottom"
        assert next(source.frames())[1].interlaced
    with open_source(path, interlaced=False) as source:
        assert not next(source.frames())[1].interlaced


def test_chroma_lies_as_the_source_is_told(tmp_path):
    path = interlaced_video(tmp_path / "i.mpg")
    for interlaced in (False, True):
        with open_source(path, interlaced=interlaced) as source:
            ((_, planes),) = source.frames()
            out = np.empty((32, 48, 3), np.uint16)
            assert source.rgb(planes, out) is out
            assert_rounds(out, twin(planes, 8, "601", interlaced=interlaced))


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
    with open_source(path) as source:
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
    with open_source(path) as source:
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
    with open_source(video(tmp_path / "v.mkv", "ffv1", "yuv422p10le", [planes], tags=tags)) as source:
        assert (source.matrix, source.transfer, source.colorimetric) == (matrix, transfer, colorimetric)
        assert bool(source.notes) == ("colorspace" not in tags)
        header = source.header(0)
        assert (header.transfer, header.colorimetric) == (transfer, colorimetric)


def test_a_matrix_that_cannot_be_undone_is_refused(tmp_path):
    path = video(tmp_path / "v.mkv", "ffv1", "yuv444p", [noise(0, 8, *[(8, 8)] * 3)], tags={"colorspace": 8})  # YCgCo
    with pytest.raises(DataError, match=r"v\.mkv: its matrix is number 8"):
        open_source(path)


def counted(start, base, dropped, count):
    """Timecodes one after another, by the rule: minutes but each tenth begin with number `dropped`."""
    hours, minutes, seconds, frames = (int(part) for part in start.replace(";", ":").split(":"))
    for _ in range(count):
        yield f"{hours:02d}:{minutes:02d}:{seconds:02d}{';' if dropped else ':'}{frames:02d}"
        frames += 1
        if frames == base:
            frames, seconds = 0, seconds + 1
        if seconds == 60:
            seconds, minutes = 0, minutes + 1
            frames = dropped if minutes % 10 else 0
        if minutes == 60:
            minutes, hours = 0, (hours + 1) % 24


@pytest.mark.parametrize(
    ("start", "rate", "dropped"),
    [
        ("00:58:59;20", Fraction(30000, 1001), 2), ("23:59:58;00", Fraction(30000, 1001), 2),
        ("10:00:00:00", Fraction(30000, 1001), 0), ("00:08:59;50", Fraction(60000, 1001), 4),
        ("09:59:58:20", Fraction(25), 0), ("23:59:59:20", Fraction(24000, 1001), 0),
    ],
)  # fmt: skip
def test_timecode_is_counted_as_tapes_do(start, rate, dropped):
    count = 20000
    expected = list(counted(start, round(rate), dropped, count))
    assert [timecode_at(start, n, rate) for n in range(count)] == expected
    assert timecode_at(start, 24 * 3600 * round(rate) - (dropped * 54 * 24), rate) == start  # a day later


def test_another_rate_counts_from_the_same_time(tmp_path):
    assert timecode_at("01:00:00;15", 12, Fraction(30000, 1001), Fraction(24000, 1001)) == "01:00:01:00"
    path = video(
        tmp_path / "v.mov", "v210", "yuv422p10le", [ramp(32, 96)], rate=Fraction(30000, 1001),
        metadata={"timecode": "01:00:00;00"},
    )  # fmt: skip
    with open_source(path) as source:
        film = source.header(25, Fraction(24000, 1001))
        assert (film.timecode, film.frame_position) == ("01:00:01:01", 25)
        assert film.frame_rate == np.float32(24000 / 1001)
        bobbed = source.header(59, Fraction(60000, 1001))
        assert bobbed.timecode == "01:00:00:59"  # no room for the mark of drop frame


# -- which frames, where to ------------------------------------------------------------------------------------------


@pytest.fixture
def tape(tmp_path):
    """Twenty frames with a timecode, every one another shade."""
    frames = [[np.full(shape, 300 + 10 * n, np.uint16) for shape in ((30, 48), (30, 24), (30, 24))] for n in range(20)]
    metadata = {"timecode": "01:00:00:00"}
    return video(tmp_path / "tape.mov", "v210", "yuv422p10le", frames, rate=10, metadata=metadata)


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux alone")
def test_names_of_any_bytes(tmp_path, tape):
    odd = tape.rename(tmp_path / os.fsdecode(b"t\xe9\xff.mov"))
    found = extracted(odd, tmp_path / os.fsdecode(b"o\xff"), end=2)
    assert len(found) == 2
    assert {header.source_file_name for _, header in found.values()} == {"t.mov"}  # what of it is text
    odd.write_bytes(b"nothing" * 100)
    with pytest.raises(DataError) as caught:
        open_source(odd)
    assert str(caught.value).startswith(f"{odd}: not a video that FFmpeg can read")


def numbers(folder):
    return [int(path.stem.split("_")[1]) for path in sorted(folder.iterdir())]


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
    counts = extract(tape, out, on_frame=lambda *count: done.append(count), **options)
    assert (counts, numbers(out)) == ((len(expected), 0), list(expected))
    assert done == [(n + 1, len(expected)) for n in range(len(expected))]
    for n, path in zip(expected, sorted(out.iterdir()), strict=True):
        planes = [np.full(shape, 300 + 10 * n, np.uint16) for shape in ((30, 48), (30, 24), (30, 24))]
        assert_rounds(fastup.read(path), twin(planes, 10, "601"))
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
    with open_source(path) as source, pytest.raises(OptionError, match="has no timecode"):
        source.frame_number("01:00:00:00")
    (tmp_path / "stills").mkdir()
    fastup.write(tmp_path / "stills" / "a.png", np.zeros((4, 4, 3), np.uint16))
    with open_source(tmp_path / "stills") as source, pytest.raises(OptionError, match="has no frame rate"):
        source.frame_number("0:00:01")


@pytest.mark.parametrize(("lines", "top"), [(30, 0), (28, 2), (26, 2), (24, 4), (22, 4), (20, 6)])
def test_lines_are_taken_off_in_pairs(tmp_path, lines, top):
    planes = [np.repeat(np.arange(300, 330, dtype=np.uint16)[:, np.newaxis], w, 1) for w in (48, 24, 24)]
    path = video(tmp_path / "v.mov", "v210", "yuv422p10le", [planes])
    with open_source(path) as source:
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


def test_a_start_is_sought_where_frames_stand_alone(tmp_path, tape, monkeypatch):
    from fastup.footage import extract as module

    packets = []
    really = module._decoded

    def counting(*arguments):
        for found in really(*arguments):
            packets.append(found)
            yield found

    with open_source(tape) as source:
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
    with open_source(path) as source:
        whole = {index: planes[0].mean() for index, planes in source.frames()}
        assert len(set(whole.values())) == 20
        for start in (5, 13, 19):
            assert next((index, planes[0].mean()) for index, planes in source.frames(start)) == (start, whole[start])


def test_passes_do_not_disturb_each_other(tape):
    with open_source(tape) as source:
        first, second = source.frames(), source.frames(5)
        assert [next(first)[0], next(second)[0], next(first)[0], next(second)[0]] == [0, 5, 1, 6]
        index, planes = next(first)
        planes[0][:] = 0  # it is ours
        assert next(source.frames(index))[1][0][0, 0] == 300 + 10 * index


# -- stills ----------------------------------------------------------------------------------------------------------


def test_dpx_stills_keep_their_headers(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    frames = [noise(n, 12, (6, 9, 3))[0] for n in range(3)]
    for n, frame in enumerate(frames):
        header = Header.new(
            9, 6, big_endian=False, bits=12, transfer="logarithmic", timecode=f"01:00:00:{n + 9:02d}", frame_rate=24,
            low_code=95, high_code=2700, project="A film",
        )  # fmt: skip
        fastup.write(folder / f"s{n + 9}.dpx", frame, header)
    with open_source(folder) as source:
        assert (source.bits, source.rate, source.timecode, source.frame_count) == (12, 24, "01:00:00:09", 3)
        extract(source, tmp_path / "out", start=1)
        film = source.header(2, Fraction(24000, 1001))
        assert (film.timecode, film.frame_position, film.project) == ("01:00:00:11", 2, "A film")
    for n in (1, 2):
        path = tmp_path / "out" / f"s{n + 9}.dpx"
        np.testing.assert_array_equal(fastup.read(path), (frames[n].astype(np.int64) * 2046 + 4095) // 8190)
        header, own = Header.read(path), Header.read(folder / path.name)
        assert header == own.replace(bits=10)
        assert not header.big_endian
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(
    ("suffix", "channels", "white"), [("png", 3, 65535), ("tif", 1, 65535), ("bmp", 3, 255), ("png", 4, 65535)]
)
def test_other_stills_are_scaled_and_alpha_is_dropped(tmp_path, suffix, channels, white):
    path = tmp_path / f"a.{suffix}"
    fastup.write(path, noise(4, 16 if white == 65535 else 8, (5, 7, channels))[0].astype(np.uint16))
    with open_source(path) as source:
        assert source.bits == (16 if white == 65535 else 8)
        assert extract(source, tmp_path / "out") == (1, 0)
    own = fastup.read(path).astype(np.int64)
    expected = (own[:, :, : 3 if channels > 1 else 1] * 2046 + white) // (2 * white)
    np.testing.assert_array_equal(fastup.read(tmp_path / "out" / "a.dpx"), np.broadcast_to(expected, (5, 7, 3)))


def test_stills_of_chroma_are_converted(tmp_path):
    header = Header.new(6, 4, descriptor="CBYCRY", bits=8, colorimetric="REC_709")
    cb, y1, cr, y2 = noise(5, 8, *[(4, 3)] * 4)
    (tmp_path / "a.dpx").write_bytes(header.raw + np.stack([cb, y1, cr, y2], axis=2).tobytes())
    with open_source(tmp_path / "a.dpx") as source:
        ((_, planes),) = source.frames()
        assert [plane.shape for plane in planes] == [(4, 6), (4, 3), (4, 3)]
        assert any("Rec.709" in note for note in source.notes)
        extract(source, tmp_path / "out")
    y = np.stack([y1, y2], axis=2).reshape(4, 6)
    found = tmp_path / "out" / "a.dpx"
    np.testing.assert_array_equal(fastup.read(found), rounded(twin([y, cb, cr], 8, "709", number=Fraction)))
    assert Header.read(found).flavour == "10-bit RGB, method A, big-endian"
    assert (Header.read(found).low_code, Header.read(found).high_code) == (0, 1023)


def test_a_short_header_gets_room_for_a_rate(tmp_path):
    whole = Header.new(9, 6, transfer="REC_709", pixel_aspect=Fraction(8, 9))
    short = bytearray(whole.raw[:1664])
    short[4:8] = short[808:812] = (1664).to_bytes(4, "big")
    (tmp_path / "a.dpx").write_bytes(bytes(short) + bytes(6 * 9 * 4))
    with open_source(tmp_path / "a.dpx") as source:
        assert len(source.header(0).raw) == 1664
        header = source.header(0, Fraction(24000, 1001))
        assert (header.frame_position, header.transfer, header.pixel_aspect) == (0, Transfer.REC_709, Fraction(8, 9))


def test_stills_that_are_not_of_one_kind_are_refused(tmp_path):
    fastup.write(tmp_path / "a.dpx", np.zeros((4, 4, 3), np.uint16))
    for name, header, words in (
        ("b.dpx", Header.new(6, 4), "6x4, 10 bits, RGB, expected 4x4, 10 bits, RGB as in a.dpx"),
        ("b.dpx", Header.new(4, 4, bits=12), "4x4, 12 bits"),
    ):
        fastup.write(tmp_path / name, np.zeros((header.height, header.width, 3), np.uint16), header)
        with pytest.raises(DataError, match=words):
            extract(tmp_path, tmp_path / "out")
        assert extract(tmp_path, tmp_path / "out2", end=1)[0] in (0, 1)
    with pytest.raises(DataError, match="this is where the stills are"):
        extract(tmp_path, tmp_path)
    fastup.write(tmp_path / "a.png", np.zeros((4, 4, 3), np.uint16))
    with pytest.raises(DataError, match="differ in their suffix alone"):
        extract(tmp_path, tmp_path / "out")
    fastup.write(tmp_path / "x.exr", np.zeros((4, 4, 3), np.float32))
    with pytest.raises(DataError, match=r"x\.exr: .*expected codes of 8 to 16 bits"):
        open_source(tmp_path / "x.exr")
    with pytest.raises(OptionError, match="start is frame 7, expected one of the 1"):
        extract(tmp_path / "b.dpx", tmp_path / "out", start=7)


@pytest.fixture
def gapped(tmp_path):
    """Stills 10 to 29 at 24 frames/s, without 13 and 20 to 23; the picture is the number."""
    folder = tmp_path / "in"
    folder.mkdir()
    for n in [n for n in range(10, 30) if n != 13 and n not in range(20, 24)]:
        header = Header.new(4, 4, timecode=timecode_at("01:00:00:00", n, 24), frame_rate=24)
        fastup.write(folder / f"s{n:03d}.dpx", np.full((4, 4, 3), n, np.uint16), header, fsync=False)
    return folder


@pytest.mark.parametrize(
    ("options", "expected", "words"),
    [
        ({}, [n for n in range(10, 30) if n != 13 and n not in range(20, 24)], "5 stills are missing: 1 between s012"),
        ({"start": 4, "end": 10}, range(14, 20), None),
        ({"start": "01:00:01:00"}, range(24, 30), None),
        ({"start": "0:00:00.5", "end": 15}, [24], "2 stills are missing between s019.dpx .01:00:00:19. and s024.dpx"),
        ({"start": 3, "end": 5}, [14], "1 still is missing between s012.dpx .01:00:00:12. and s014.dpx"),
        ({"every": 5}, [10, 15, 25], "5 stills are missing"),
    ],
)
def test_missing_stills_are_missing_time(tmp_path, gapped, options, expected, words):
    out = tmp_path / "out"
    for _ in range(2):
        if words is None:
            extract(gapped, out, **options)
        else:
            with pytest.raises(DataError, match=f"{words}.*; {len(expected)} frames are in"):
                extract(gapped, out, **options)
        assert [int(path.stem[1:]) for path in fastup.find(out)] == list(expected)
        for path in out.iterdir():
            assert fastup.read(path)[0, 0, 0] == int(path.stem[1:])
            assert fastup.read_header(path) == fastup.read_header(gapped / path.name)
        next(out.iterdir()).unlink()  # the second run makes it again


def test_a_place_in_a_gap_has_no_frame(tmp_path, gapped):
    with open_source(gapped) as source:
        assert source.frame_count == 20
        assert [index for index, _ in source.frames()] == [n - 10 for n in range(10, 30) if source.there(n - 10)]
        assert [n for n in range(20) if not source.there(n)] == [3, 10, 11, 12, 13]
        assert [index for index, _ in source.frames(10, 15, 2)] == [14]
        assert source.damage.startswith("4 stills are missing between s019.dpx")
        assert [index for index, _ in source.frames(9, 15)] == [9, 14]
        assert list(source.frames(4, 9)) != []
        assert source.damage is None
        assert source.header(15, Fraction(24)).timecode == "01:00:01:01"


def test_stills_that_are_there_twice(tmp_path, gapped):
    (gapped / "s0015.dpx").write_bytes((gapped / "s015.dpx").read_bytes())
    with pytest.raises(DataError, match=r"s0015\.dpx and s015\.dpx have the same number; expected one of them"):
        extract(gapped, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    folder = tmp_path / "twice"
    folder.mkdir()
    for n in range(12):
        header = Header.new(4, 4, timecode=f"01:00:00:{n - (n > 6):02d}", frame_rate=24)
        fastup.write(folder / f"s{n:02d}.dpx", np.full((4, 4, 3), n, np.uint16), header, fsync=False)
    with pytest.raises(DataError, match=r"s07\.dpx has the timecode of s06\.dpx, 01:00:00:06; 12 frames are in"):
        extract(folder, tmp_path / "out")
    header = fastup.read_header(folder / "s07.dpx").replace(timecode="01:00:00:20")  # one that is wrong, and no other
    for n in range(12):
        path = folder / f"s{n:02d}.dpx"
        fastup.write(path, fastup.read(path), header if n == 7 else header.replace(timecode=f"01:00:00:{n:02d}"))
    with open_source(folder) as source:
        assert extract(source, tmp_path / "out") == (0, 12)
        assert [note.startswith("the timecode does not run on from s06.dpx") for note in source.notes] == [True]


def test_every_second_still_is_half_the_rate(tmp_path):
    for n in range(0, 20, 2):
        header = Header.new(4, 4, timecode=timecode_at("01:00:00:00", n, 24), frame_rate=24)
        fastup.write(tmp_path / f"s{n:03d}.dpx", np.full((4, 4, 3), n, np.uint16), header, fsync=False)
    with open_source(tmp_path) as source:
        assert (source.rate, source.frame_count) == (12, 10)
        assert "every frame is 2 frames of timecode long: 12 frames/s" in source.notes
        assert [source.frame_number(text) for text in ("01:00:00:06", "01:00:00:07", "0:00:00.5")] == [3, 4, 6]
    (tmp_path / "s010.dpx").unlink()
    with pytest.raises(DataError, match="1 still is missing between s008"):
        extract(tmp_path, tmp_path / "out")


def test_a_timecode_that_begins_anew(tmp_path):
    for n in range(20):
        timecode = f"01:00:00:{n:02d}" if n < 12 else f"00:30:00:{n - 12:02d}"
        fastup.write(
            tmp_path / f"s{n}.dpx", np.zeros((4, 4, 3), np.uint16), Header.new(4, 4, timecode=timecode, frame_rate=24)
        )
    with open_source(tmp_path) as source:
        assert extract(source, tmp_path / "out") == (20, 0)
        assert source.notes == [
            "the timecode does not run on from s11.dpx (01:00:00:11) to s12.dpx (00:30:00:00): there it is counted "
            "anew, and no gap is taken for it"
        ]
        assert [source.frame_number(text) for text in ("01:00:00:11", "00:30:00:02")] == [11, 14]
        with pytest.raises(OptionError, match="expected one that counts on from 01:00:00:00, 00:30:00:00"):
            source.frame_number("00:29:59:23")
        assert source.header(14, Fraction(24)).timecode == "00:30:00:02"


# -- bad files -------------------------------------------------------------------------------------------------------


def cut(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def fast_start(path, target):
    """The same streams with the index before them, as a file that is cut short needs it to be read at all."""
    with (
        av.open(os.fspath(path)) as source,
        av.open(os.fspath(target), "w", options={"movflags": "faststart"}) as container,
    ):
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return target


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


def test_a_variable_rate_is_said_and_no_frame_is_repeated(tmp_path):
    frames = [noise(n, 8, (32, 48), (16, 24), (16, 24)) for n in range(12)]
    path = video(tmp_path / "v.mp4", "libx264", "yuv420p", frames, times=[*range(6), *range(7, 19, 2)])
    with open_source(path) as source:
        assert extract(source, tmp_path / "out") == (12, 0)
        assert any("frame rate is variable" in note for note in source.notes)
        assert source.rate < 20
        assert source.header(0).frame_rate == np.float32(source.rate)
    steady = video(tmp_path / "steady.mkv", "ffv1", "yuv420p", frames, rate=Fraction(30000, 1001))
    with open_source(steady) as source:
        assert [index for index, _ in source.frames()] == list(range(12))
        assert not any("variable" in note for note in source.notes)  # milliseconds are 33 and 34


def test_a_change_of_size_ends_it(tmp_path):
    parts = [video(tmp_path / f"{w}.m2v", "mpeg2video", "yuv420p", [noise(n, 8, (32, w), (16, w // 2), (16, w // 2))
             for n in range(3)]) for w in (48, 64)]  # fmt: skip
    path = tmp_path / "both.m2v"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with pytest.raises(DataError, match=r"from frame \d on it is 64x32, yuv420p"):
        extract(path, tmp_path / "out")
    assert numbers(tmp_path / "out")[:2] == [0, 1]  # FFmpeg forgets the one that it holds back


def test_files_that_are_no_video_are_told_apart(tmp_path, tape):
    with pytest.raises(FileNotFoundError):
        open_source(tmp_path / "none.mov")
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
            open_source(path)
        assert "\n" not in str(error.value)
    with av.open(os.fspath(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 480), np.int16), layout="mono")
        frame.rate = 48000
        container.mux(stream.encode(frame))
    with pytest.raises(DataError, match=r"sound\.wav: there is no video in it, only audio"):
        open_source(tmp_path / "sound.wav")


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
