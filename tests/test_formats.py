"""Other formats than DPX: what of a file is its picture, and what is said of the rest."""

import json
import os
import struct
import sys
from fractions import Fraction

import numpy as np
import OpenImageIO as oiio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastup
from fastup.errors import DataError, FastupError, OptionError
from fastup.footage import convert
from fastup.footage.convert import prepare
from fastup.frames import SUFFIXES, left_out, premultiplied, probe
from fastup.header import Header

RANDOM = np.random.default_rng(11)
PER_TEST = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)


def tiff(path, pixels, bits=None, photometric=2, extra=(), density=None, more=(), pages=1):
    """Write a TIFF, byte by byte: (height, width, samples) of codes, or of floats. Gives its path."""
    height, width, samples = pixels.shape
    floats = pixels.dtype.kind == "f"
    bits = bits or pixels.dtype.itemsize * 8
    if bits % 8:
        rows = np.array([[int(code) >> bit & 1 for code in row.ravel() for bit in range(bits)[::-1]] for row in pixels])
        data = np.packbits(rows, axis=1).tobytes()
    else:
        data = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    tags = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [bits] * samples), 259: (3, [1]), 262: (3, [photometric]),
        273: (4, [0]), 277: (3, [samples]), 278: (4, [height]), 279: (4, [len(data)]),
        339: (3, [3 if floats else 1] * samples),
    }  # fmt: skip
    if extra:
        tags[338] = 3, list(extra)
    if density:
        tags |= {282: (5, list(density[0])), 283: (5, list(density[1])), 296: (3, [1])}
    tags |= dict(more)
    out = bytearray(b"II*\0" + bytes(4))
    link = 4
    for _ in range(pages):
        tags[273] = 4, [len(out)]
        out += data + bytes(len(data) % 2)
        entries = b""
        for tag, (kind, values) in sorted(tags.items()):
            packed = b"".join(struct.pack({1: "<B", 3: "<H", 4: "<I", 5: "<I", 7: "<B"}[kind], v) for v in values)
            count = len(values) // (2 if kind == 5 else 1)
            if len(packed) > 4:
                place, packed = struct.pack("<I", len(out)), packed + bytes(len(packed) % 2)
                out += packed
                packed = place
            entries += struct.pack("<HHI", tag, kind, count) + packed.ljust(4, b"\0")
        out[link : link + 4] = struct.pack("<I", len(out))
        out += struct.pack("<H", len(tags)) + entries
        link = len(out)
        out += bytes(4)
    path.write_bytes(out)
    return path


def exr(path, pixels, names=None, corner=(0, 0), display=None, kind="float", **attributes):
    """Write an EXR, channels by their names; `display` is (y, x, height, width), `corner` is the data's."""
    height, width, channels = pixels.shape
    spec = oiio.ImageSpec(width, height, channels, kind)
    spec.channelnames = tuple(names or "RGBA"[:channels])
    spec.y, spec.x = corner
    if display:
        spec.full_y, spec.full_x, spec.full_height, spec.full_width = display
    for name, value in attributes.items():
        spec.attribute(name, value)
    image = oiio.ImageOutput.create(str(path))
    assert image.open(str(path), spec), image.geterror()
    assert image.write_image(np.ascontiguousarray(pixels)), image.geterror()
    image.close()
    return path


def parts(path, named):
    """Write an EXR of several parts: (part's name, channels' names); part n is n + 1 all over, its channels + 0.1."""
    specs = []
    for name, channels in named:
        spec = oiio.ImageSpec(4, 3, len(channels), "float")
        spec.channelnames = tuple(channels)
        spec.attribute("oiio:subimagename", name)
        specs.append(spec)
    image = oiio.ImageOutput.create(str(path))
    assert image.open(str(path), tuple(specs)), image.geterror()
    for number, spec in enumerate(specs):
        assert number == 0 or image.open(str(path), spec, "AppendSubimage"), image.geterror()
        pixels = np.ones((3, 4, spec.nchannels), np.float32) * (number + 1) + np.arange(spec.nchannels) / 10
        assert image.write_image(pixels.astype(np.float32)), image.geterror()
    image.close()
    return path


def tga(path, pixels, alpha_type):
    """Write a TGA 2 of 32 bits, byte by byte."""
    height, width, _ = pixels.shape
    head = struct.pack("<BBBHHBHHHHBB", 0, 0, 2, 0, 0, 0, 0, 0, width, height, 32, 8 | 32)
    data = head + pixels[:, :, [2, 1, 0, 3]].astype(np.uint8).tobytes()
    extension = struct.pack("<H", 495) + bytes(492) + bytes([alpha_type])
    path.write_bytes(data + extension + struct.pack("<II", len(data), 0) + b"TRUEVISION-XFILE.\0")
    return path


def converted(source, destination, **options):
    """Convert, and give what was said."""
    plan = prepare(source, destination, overwrite=True, **options)
    convert.run(plan)
    (said,) = plan.assumed
    return said


def rounded(value, white):
    """A normalised value, a Fraction, as a code."""
    return min(max((value * white * 2 + 1) // 2, 0), white)


def nearest(found, value):
    """Whether a float32 is the nearest one to a Fraction."""
    beside = [np.nextafter(found, np.float32(way)) for way in (-np.inf, np.inf)]
    return all(abs(Fraction(float(found)) - value) <= abs(Fraction(float(other)) - value) for other in beside)


# -- the display window of an EXR --------------------------------------------------------------------------------------


def windowed(pixels, corner, display):
    """The definition: every pixel of the display window, or black."""
    y0, x0, height, width = display
    frame = np.zeros((height, width, pixels.shape[2]), pixels.dtype)
    for y in range(height):
        for x in range(width):
            row, column = y + y0 - corner[0], x + x0 - corner[1]
            if 0 <= row < pixels.shape[0] and 0 <= column < pixels.shape[1]:
                frame[y, x] = pixels[row, column]
    return frame


def test_a_crop_lies_in_its_display_window(tmp_path):
    pixels = RANDOM.integers(1, 257, (10, 20, 3)).astype(np.float32) / 256
    path = exr(tmp_path / "f.exr", pixels, corner=(4, 5), display=(0, 0, 48, 64))
    expected = np.zeros((48, 64, 3), np.float32)
    expected[4:14, 5:25] = pixels
    np.testing.assert_array_equal(fastup.read(path, "float32"), expected)
    np.testing.assert_array_equal(fastup.read(path, "float32", window=(2, 3, 4, 30)), expected[2:6, 3:33])
    ((_, streamed),) = fastup.stream([path], "float16")
    np.testing.assert_array_equal(streamed, expected.astype(np.float16))
    header = fastup.read_header(path)
    assert (header.height, header.width, header.channels) == (48, 64, 3)
    assert probe(path) == ((48, 64, 3), None)
    converted(path, tmp_path / "f.dpx")
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.dpx"), np.floor(expected.astype(float) * 65535 + 0.5))
    converted(path, tmp_path / "g.exr")
    np.testing.assert_array_equal(fastup.read(tmp_path / "g.exr", "float32"), expected)


@PER_TEST
@given(
    st.tuples(st.integers(-9, 9), st.integers(-9, 9)),
    st.tuples(st.integers(1, 8), st.integers(1, 8)),
    st.tuples(st.integers(-5, 5), st.integers(-5, 5), st.integers(1, 7), st.integers(1, 7)),
)
def test_any_data_window_in_any_display_window(tmp_path, corner, size, display):
    pixels = np.arange(1, 1 + size[0] * size[1] * 4, dtype=np.float32).reshape(*size, 4)
    path = exr(tmp_path / "f.exr", pixels, corner=corner, display=display)
    expected = windowed(pixels, corner, display)
    np.testing.assert_array_equal(fastup.read(path, "float32"), expected)
    assert probe(path) == (expected.shape, None)


def test_a_display_window_that_no_memory_holds(tmp_path):
    path = exr(tmp_path / "f.exr", np.ones((2, 2, 3), np.float32), display=(0, 0, 2**20, 2**20))
    with pytest.raises(FastupError, match=r"f\.exr: the display window is 1048576x1048576: no memory for it"):
        fastup.read(path, "float32")


# -- alpha -------------------------------------------------------------------------------------------------------------


def test_associated_alpha_becomes_straight(tmp_path):
    pixels = np.full((2, 3, 4), 20000, np.uint16)
    pixels[..., 3] = 32768
    path = tiff(tmp_path / "f.tif", pixels, extra=[1])
    np.testing.assert_array_equal(fastup.read(path), pixels)  # as it has them
    assert premultiplied(path) is True
    said = converted(path, tmp_path / "f.png")
    assert said == "TIF of 16 bits to PNG of 16 bits, colours divided by alpha"
    assert fastup.read(tmp_path / "f.png")[1, 2].tolist() == [39999, 39999, 39999, 32768]
    assert premultiplied(tmp_path / "f.png") is False
    for extra in ([2], [0]):
        path = tiff(tmp_path / "f.tif", pixels, extra=extra)
        assert premultiplied(path) is False
        assert converted(path, tmp_path / "f.png") == "TIF of 16 bits to PNG of 16 bits, code values as they are"
        np.testing.assert_array_equal(fastup.read(tmp_path / "f.png"), pixels)


@pytest.mark.parametrize("suffix", ["png", "tif", "tga", "bmp"])
def test_every_colour_and_alpha_of_8_bits_is_divided_exactly(tmp_path, suffix):
    """Where alpha is 0 colours stay; brighter than alpha is white."""
    colour, alpha = np.mgrid[:256, :256].astype(np.uint8)
    pixels = np.stack([colour, colour[::-1], np.full_like(colour, 7), alpha], axis=2)
    converted(tiff(tmp_path / "f.tif", pixels, extra=[1]), tmp_path / f"g.{suffix}")
    expected = pixels.astype(int)
    straight = (2 * 255 * expected[..., :3] + expected[..., 3:]) // np.maximum(2 * expected[..., 3:], 1)
    expected[..., :3] = np.where(expected[..., 3:] > 0, np.minimum(straight, 255), expected[..., :3])
    np.testing.assert_array_equal(fastup.read(tmp_path / f"g.{suffix}"), expected)
    assert premultiplied(tmp_path / f"g.{suffix}") is False
    converted(tga(tmp_path / "f.tga", pixels, 4), tmp_path / f"h.{suffix}")
    np.testing.assert_array_equal(fastup.read(tmp_path / f"h.{suffix}"), expected)


@PER_TEST
@given(st.integers(0, 65535), st.integers(0, 65535), st.sampled_from([8, 16]))
def test_codes_are_divided_and_rounded_once(tmp_path, colour, alpha, bits):
    pixels = np.array([[[colour, 0, alpha, alpha]]], np.uint16)
    converted(tiff(tmp_path / "f.tif", pixels, extra=[1]), tmp_path / "f.png", bits=bits)
    white = (1 << bits) - 1
    straight = [Fraction(int(c), alpha if alpha else 65535) for c in pixels[0, 0, :3]]
    expected = [*(rounded(c, white) for c in straight), rounded(Fraction(alpha, 65535), white)]
    assert fastup.read(tmp_path / "f.png")[0, 0].tolist() == expected


@pytest.mark.parametrize("alpha_type", [0, 1, 2, 3, 4])
def test_a_tga_says_what_its_alpha_is(tmp_path, alpha_type):
    pixels = np.array([[[100, 50, 10, 128]]], np.uint8)
    path = tga(tmp_path / "f.tga", pixels, alpha_type)
    assert premultiplied(path) is (alpha_type == 4)
    converted(path, tmp_path / "f.png")
    straight = [199, 100, 20, 128]  # 100 x 255 / 128 is 199.2
    assert fastup.read(tmp_path / "f.png")[0, 0].tolist() == (straight if alpha_type == 4 else pixels[0, 0].tolist())


@pytest.mark.parametrize("bits", [8, 16])
def test_straight_alpha_is_multiplied_for_an_exr(tmp_path, bits):
    white = (1 << bits) - 1
    frame = RANDOM.integers(0, white, (16, 16, 4), np.uint16, endpoint=True)
    frame[0, :, 3], frame[1, :, 3] = 0, white
    fastup.write(tmp_path / "f.png", frame, Header.new(16, 16, descriptor="RGBA", bits=bits))
    said = converted(tmp_path / "f.png", tmp_path / "f.exr")
    assert said == f"PNG of {bits} bits to EXR of floats, colours multiplied by alpha, white to white"
    assert premultiplied(tmp_path / "f.exr") is True
    for (*colours, alpha), found in zip(
        frame.reshape(-1, 4).tolist(), fastup.read(tmp_path / "f.exr", "float32").reshape(-1, 4), strict=True
    ):
        expected = [*(Fraction(c * alpha, white * white) for c in colours), Fraction(alpha, white)]
        assert all(map(nearest, found, expected))
    converted(tmp_path / "f.exr", tmp_path / "g.png", bits=bits)
    back = fastup.read(tmp_path / "g.png")
    assert (back[..., :3][back[..., 3] > 0] == frame[..., :3][frame[..., 3] > 0]).all()
    np.testing.assert_array_equal(back[..., 3], frame[..., 3])


def test_an_exr_becomes_straight(tmp_path):
    frame = np.array([[[0.25, 0.1, 0.5, 0.5], [0.75, -1, 0, 0], [3, 0.5, 1, 1], [1e30, 0, 0, 1e-30]]], np.float32)
    path = exr(tmp_path / "f.exr", frame)
    said = converted(path, tmp_path / "f.png")
    assert said == "EXR of floats to PNG of 16 bits, colours divided by alpha, 1 to white and what is beyond clipped"
    straight = frame.astype(np.float64)
    straight[..., :3] /= np.where(frame[..., 3:] > 0, frame[..., 3:].astype(np.float64), 1)
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.png"), np.floor(straight.clip(0, 1) * 65535 + 0.5))
    converted(path, tmp_path / "f.tif")  # of floats
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(fastup.read(tmp_path / "f.tif", "float32"), straight.astype(np.float32))
    said = converted(path, tmp_path / "g.exr")
    assert said == "EXR of floats to EXR of floats, code values as they are"
    np.testing.assert_array_equal(fastup.read(tmp_path / "g.exr", "float32"), frame)
    floats = frame[:, :3] / 8
    converted(tiff(tmp_path / "a.tif", floats, extra=[1]), tmp_path / "a.exr")
    np.testing.assert_array_equal(fastup.read(tmp_path / "a.exr", "float32"), floats)


def test_a_dpx_does_not_say_and_is_left_as_it_is(tmp_path):
    frame = RANDOM.integers(0, 1024, (4, 5, 4), np.uint16)
    fastup.write(tmp_path / "f.dpx", frame, Header.new(5, 4, descriptor="RGBA"))
    assert premultiplied(tmp_path / "f.dpx") is None
    for suffix in ("png", "exr", "tif"):
        said = converted(tmp_path / "f.dpx", tmp_path / f"f.{suffix}")
        assert "code values as they are, also by alpha" in said
        converted(tmp_path / f"f.{suffix}", tmp_path / "g.dpx", bits=10)
        np.testing.assert_array_equal(fastup.read(tmp_path / "g.dpx"), frame)


def test_a_curve_is_of_colours_that_are_not_multiplied(tmp_path):
    frame = RANDOM.random((6, 7, 4), np.float32)
    frame[..., :3] *= frame[..., 3:]
    frame[0, 0, 3] = 0
    path = exr(tmp_path / "f.exr", frame)
    said = converted(path, tmp_path / "f.png", source_curve="linear", target_curve="srgb")
    assert said == "EXR of floats to PNG of 16 bits, from linear light to sRGB, colours divided by alpha"
    alpha = frame[..., 3:].astype(np.float64)
    light = frame[..., :3] / np.where(alpha > 0, alpha, 1)
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    expected = np.floor(np.concatenate([srgb.clip(0, 1), alpha], axis=2) * 65535 + 0.5)
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.png"), expected)
    for target in ("g.exr", "g.dpx"):  # multiplied before and after; light without alpha, such as a glow, stays light
        converted(path, tmp_path / target, source_curve="linear", target_curve="srgb")
        found = fastup.read(tmp_path / target, "float32")
        assert found[0, 0, :3].all()
        expected = np.concatenate([srgb * np.where(alpha > 0, alpha, 1), alpha], axis=2)
        np.testing.assert_allclose(found, expected.clip(0, 1), atol=2**-16 if target == "g.dpx" else 2**-23)


@pytest.mark.parametrize(("source", "target"), [("linear", "log"), ("log", "linear")])
@pytest.mark.parametrize("suffix", ["exr", "dpx"])
def test_nothing_stays_nothing_whatever_a_curve_makes_of_black(tmp_path, source, target, suffix):
    """Black of log is not 0: where there is neither light nor alpha, it would be added to what lies behind."""
    frame = np.array([[[0, 0, 0, 0], [0.25, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0.5]]], np.float32)
    converted(exr(tmp_path / "f.exr", frame), tmp_path / f"g.{suffix}", source_curve=source, target_curve=target)
    nothing, glow, black, half = fastup.read(tmp_path / f"g.{suffix}", "float32")[0, :, :3]
    of = [convert.encode(convert.decode(value, source), target) for value in (0, 0.25)]
    if suffix == "dpx":
        of = np.clip(of, 0, 1)
    assert not nothing.any()
    np.testing.assert_allclose(glow, [of[1], 0, 0], atol=2**-16)
    np.testing.assert_allclose([*black, *(2 * half)], [of[0]] * 6, atol=2**-15)


@pytest.mark.parametrize("suffix", ["png", "exr", "dpx"])
def test_no_alpha_is_no_association(tmp_path, suffix):
    fastup.write(tmp_path / f"f.{suffix}", np.zeros((2, 2, 3), np.float32))
    assert premultiplied(tmp_path / f"f.{suffix}") is None


# -- TIFF: what white is, and other colours ----------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 10, 12, 14, 16])
def test_white_is_zero(tmp_path, bits):
    white = (1 << bits) - 1
    codes = np.linspace(0, white, 24).round().astype(np.uint8 if bits <= 8 else np.uint16).reshape(3, 8, 1)
    black = fastup.read(tiff(tmp_path / "black.tif", codes, bits, photometric=1))
    full = 255 if bits <= 8 else 65535
    assert (abs(black.astype(int) * white - codes.astype(int) * full) <= white).all()
    np.testing.assert_array_equal(fastup.read(tiff(tmp_path / "white.tif", codes, bits, photometric=0)), full - black)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.uint32])
def test_white_is_zero_where_codes_are_none(tmp_path, kind):
    values = np.array([0, 0.25, 0.5, 1]).reshape(1, 4, 1)
    pixels = (values * (2**32 - 1)).astype(kind) if kind == np.uint32 else values.astype(kind)
    path = tiff(tmp_path / "f.tif", pixels, photometric=0)
    np.testing.assert_allclose(fastup.read(path, "float32"), 1 - values, atol=2**-31)


@pytest.mark.parametrize(("photometric", "samples"), [(5, 4), (8, 3)])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_other_colours_are_refused(tmp_path, photometric, samples, kind):
    path = tiff(tmp_path / "f.tif", np.full((4, 4, samples), 100, kind), photometric=photometric)
    for call in (fastup.read, fastup.read_header, probe):
        with pytest.raises(FastupError, match=r"f\.tif: .*"):
            call(path)
    with pytest.raises(FastupError, match=r"colours are (CMYK|CIELAB), expected grey, RGB or YCbCr; convert it to RGB"):
        prepare(path, tmp_path / "f.png")


def test_a_jpeg_of_four_inks_is_refused(tmp_path):
    imageio = pytest.importorskip("PIL.Image")
    imageio.new("CMYK", (8, 8), (10, 60, 110, 20)).save(tmp_path / "f.jpg")
    for call in (fastup.read, fastup.read_header, probe):
        with pytest.raises(FastupError, match=r"f\.jpg: colours are CMYK, expected grey, RGB or YCbCr"):
            call(tmp_path / "f.jpg")


def test_more_samples_than_a_picture_has(tmp_path):
    pixels = RANDOM.integers(0, 255, (4, 5, 6), np.uint8)
    path = tiff(tmp_path / "f.tif", pixels, extra=[2, 0, 0])
    np.testing.assert_array_equal(fastup.read(path), pixels[..., :4])
    assert fastup.read_header(path).channels == 4
    assert left_out(path) == ["without channel4, channel5"]


# -- channels and layers of an EXR -------------------------------------------------------------------------------------


def read_back(path, layer=None):
    return fastup.read(path, "float32", layer=layer)[0, 0].tolist()


@pytest.mark.parametrize(
    ("names", "picture", "rest"),
    [
        ("RGB", "RGB", ""),
        ("RGBZ", "RGB", "Z"),
        ("RGBAZ", "RGBA", "Z"),
        ("ABGR", "RGBA", ""),
        (["red", "green", "blue", "alpha"], ["red", "green", "blue", "alpha"], ""),
        ("Y", "Y", ""),
        ("Z", "Z", ""),
        (["R", "G", "B", "id"], "RGB", "id"),
        (["beauty.R", "beauty.G", "beauty.B"], ["beauty.R", "beauty.G", "beauty.B"], ""),
        (["R", "G", "B", "beauty.R", "beauty.G", "beauty.B", "depth.Z"], "RGB", "beauty, depth"),
        (["luma.Y", "depth.Z"], ["luma.Y"], "depth"),
        (["a.b.R", "a.b.G", "a.b.B", "a.N.X", "a.N.Y", "a.N.Z"], ["a.b.R", "a.b.G", "a.b.B"], "a.N"),
    ],
)
def test_channels_go_by_name(tmp_path, names, picture, rest):
    pixels = np.broadcast_to(np.arange(1, len(names) + 1, dtype=np.float32), (3, 4, len(names)))
    path = exr(tmp_path / "f.exr", pixels, names)
    assert read_back(path) == [list(names).index(name) + 1 for name in picture]
    assert fastup.read_header(path).channels == probe(path)[0][2] == len(picture)
    assert premultiplied(path) is (True if len(picture) == 4 else None)
    words = ", ".join(left_out(path))
    assert words.endswith(f"without {rest}" if rest else "") or words == ""
    assert f"without {rest}" in words or not rest
    assert (
        ", ".join(["EXR of floats to TIF of floats", *left_out(path), ""]) in converted(path, tmp_path / "f.tif") + ", "
    )


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["Y", "BY", "RY"], r"the channels are Y, BY, RY, expected R, G, B.*luminance and chroma are to be converted"),
        ("YA", "the channels are Y, A, expected R, G, B, or R, G, B, A, or one alone$"),
        ("RG", "the channels are R, G, expected"),
        (["N.X", "N.Y", "N.Z"], "the channels are X, Y, Z in layer N, expected"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path, names, words):
    path = exr(tmp_path / "f.exr", np.ones((3, 4, len(names)), np.float32), names)
    for call in (fastup.read_header, probe, left_out, premultiplied, lambda path: fastup.read(path, "float32")):
        with pytest.raises(DataError, match=rf"f\.exr: {words}"):
            call(path)


def test_layers_are_chosen(tmp_path, run):
    names = ["beauty.R", "beauty.G", "beauty.B", "beauty.A", "diff.R", "diff.G", "diff.B", "depth.Z", "N.X", "N.Y"]
    pixels = np.broadcast_to(np.arange(1, 11, dtype=np.float32) / 16, (3, 4, 10))
    path = exr(tmp_path / "f.exr", pixels, names)
    for call in (lambda path: fastup.read(path, "float32"), fastup.read_header, probe):
        with pytest.raises(DataError, match=r"f\.exr: several layers, expected one: beauty, diff; .*--layer"):
            call(path)
    assert read_back(path, "beauty") == [n / 16 for n in (1, 2, 3, 4)]
    assert read_back(path, "diff") == [n / 16 for n in (5, 6, 7)]
    assert read_back(path, "depth") == [8 / 16]
    assert probe(path, "diff") == ((3, 4, 3), None)
    assert fastup.read_header(path, "depth").channels == 1
    with pytest.raises(DataError, match=r"the channels are X, Y in layer N, expected R, G, B"):
        fastup.read(path, "float32", layer="N")
    with pytest.raises(OptionError, match=r"f\.exr: layer is 'spec', expected one of .*beauty.*diff"):
        fastup.read(path, "float32", layer="spec")
    code, out, err = run("convert", path, tmp_path / "f.png", "--layer", "diff")
    assert (code, err) == (0, "")
    assert "EXR of floats to PNG of 16 bits, layer diff, without " in out
    assert fastup.read(tmp_path / "f.png")[0, 0].tolist() == [round(n / 16 * 65535) for n in (5, 6, 7)]
    code, _, err = run("convert", path, tmp_path / "g.png")
    assert code == 1
    assert "several layers, expected one: beauty, diff; `fastup convert --layer` chooses" in err
    assert run("convert", path, tmp_path / "g.png", "--layer", "nothing")[0] == 2


@pytest.mark.parametrize("suffix", ["png", "dpx"])
def test_only_an_exr_has_layers(tmp_path, suffix):
    path = tmp_path / f"f.{suffix}"
    fastup.write(path, np.zeros((2, 2, 3), np.uint16))
    for call in (fastup.read, fastup.read_header, probe, premultiplied, left_out):
        with pytest.raises(OptionError, match="layer is 'a', expected none: only an EXR has layers"):
            call(path, layer="a")
    fastup.write(tmp_path / "f.exr", np.zeros((2, 2, 3), np.float32))
    with pytest.raises(OptionError, match="layer is 'a', expected none: it has none"):
        fastup.read(tmp_path / "f.exr", "float32", layer="a")


def test_parts_are_layers(tmp_path):
    named = [("main", "RGBA"), ("diffuse", ["diffuse.R", "diffuse.G", "diffuse.B"]), ("depth", "Z"), ("right", "RGB")]
    path = parts(tmp_path / "f.exr", named)
    np.testing.assert_allclose(read_back(path), [1, 1.1, 1.2, 1.3], rtol=1e-6)
    assert left_out(path) == ["without diffuse, depth, right"]
    np.testing.assert_allclose(read_back(path, "diffuse"), [2, 2.1, 2.2], rtol=1e-6)
    np.testing.assert_allclose(read_back(path, "depth"), [3], rtol=1e-6)
    np.testing.assert_allclose(read_back(path, "right"), [4, 4.1, 4.2], rtol=1e-6)
    path = parts(tmp_path / "g.exr", [("depth", "Z"), ("main", "RGB")])
    np.testing.assert_allclose(read_back(path), [2, 2.1, 2.2], rtol=1e-6)
    assert left_out(path) == ["layer main", "without depth"]
    np.testing.assert_allclose(read_back(path, "depth"), [1], rtol=1e-6)
    path = parts(tmp_path / "i.exr", [("diffuse", ["diffuse.R", "diffuse.G", "diffuse.B"]), ("main", "RGB")])
    np.testing.assert_allclose(read_back(path), [2, 2.1, 2.2], rtol=1e-6)
    assert left_out(path) == ["without diffuse"]
    path = parts(tmp_path / "h.exr", [("left", ["a.R", "a.G", "a.B"]), ("right", ["a.R", "a.G", "a.B"])])
    np.testing.assert_allclose(read_back(path, "a"), [1, 1.1, 1.2], rtol=1e-6)
    np.testing.assert_allclose(read_back(path, "right.a"), [2, 2.1, 2.2], rtol=1e-6)


def test_the_main_part_goes_by_its_name_too(tmp_path):
    path = parts(tmp_path / "f.exr", [("left", "RGBA"), ("right", "RGBA")])
    np.testing.assert_allclose(read_back(path), read_back(path, "left"), rtol=0)
    np.testing.assert_allclose(read_back(path, "left"), [1, 1.1, 1.2, 1.3], rtol=1e-6)
    np.testing.assert_allclose(read_back(path, "right"), [2, 2.1, 2.2, 2.3], rtol=1e-6)
    assert left_out(path) == left_out(path, "left") == ["without right"]
    assert left_out(path, "right") == ["layer right", "without left"]
    with pytest.raises(OptionError, match=r"layer is 'top', expected one of left, right$"):
        read_back(path, "top")
    path = parts(tmp_path / "g.exr", [("near", "Z"), ("far", "Z")])
    with pytest.raises(DataError, match="several layers, expected one: near, far; "):
        read_back(path)
    np.testing.assert_allclose(read_back(path, "near"), [1], rtol=1e-6)
    path = parts(tmp_path / "h.exr", [("left", [*"RGB", "left.R", "left.G", "left.B"]), ("right", "RGB")])
    np.testing.assert_allclose(read_back(path), [1, 1.1, 1.2], rtol=1e-6)  # a layer comes before a part of its name
    np.testing.assert_allclose(read_back(path, "left"), [1.3, 1.4, 1.5], rtol=1e-6)


def test_deep_pixels_are_refused(tmp_path):
    spec = oiio.ImageSpec(4, 3, 5, "float")
    spec.channelnames, spec.deep = tuple("RGBAZ"), True
    deep = oiio.DeepData()
    deep.init(12, 5, (oiio.FLOAT,) * 5, spec.channelnames)
    image = oiio.ImageOutput.create("f.exr")
    assert image.open(str(tmp_path / "f.exr"), spec)
    assert image.write_deep_image(deep)
    image.close()
    for call in (fastup.read, fastup.read_header, probe):
        with pytest.raises(FastupError, match=r"f\.exr: deep pixels, expected flat ones; flatten it first"):
            call(tmp_path / "f.exr")


# -- what is not read is said ------------------------------------------------------------------------------------------


def test_pages(tmp_path, run):
    path = tiff(tmp_path / "f.tif", np.zeros((3, 4, 3), np.uint8), pages=3)
    assert left_out(path) == ["the first of 3 pages"]
    assert converted(path, tmp_path / "f.png") == (
        "TIF of 8 bits to PNG of 8 bits, the first of 3 pages, code values as they are"
    )
    assert "the first of 3 pages" in run("info", path)[1]
    assert " pages" not in run("info", tmp_path / "f.png")[1]


@pytest.mark.parametrize("density", [((2**32 - 1, 1), (1, 1)), ((1, 1), (2**32 - 1, 1)), ((1, 65535), (1, 1))])
def test_a_density_that_cannot_be(tmp_path, density, run):
    path = tiff(tmp_path / "f.tif", np.zeros((3, 4, 3), np.uint8), density=density)
    assert fastup.read_header(path).pixel_aspect is None
    converted(path, tmp_path / "f.dpx")
    assert fastup.read_header(tmp_path / "f.dpx").pixel_aspect is None
    assert "without the pixel aspect, which is" in run("info", path)[1]


def test_a_density_of_a_jpeg_that_cannot_be(tmp_path):
    path = tmp_path / "f.jpg"
    fastup.write(path, np.zeros((8, 8, 3), np.uint16))
    data = bytearray(path.read_bytes())
    place = data.index(b"JFIF\0") + 7
    for x, y in ((1, 65535), (65535, 1), (0, 1), (1, 0), (0, 0)):
        data[place : place + 5] = struct.pack(">BHH", 0, x, y)
        path.write_bytes(data)
        assert fastup.read_header(path).pixel_aspect is None
        assert fastup.read(path).shape == (8, 8, 3)


@pytest.mark.parametrize("suffix", ["png", "tif", "exr", "jpg"])
@pytest.mark.parametrize("aspect", ["8/9", "10/11", "32/27", "40/33", "59/54", "64/45", "128/117", "999/1000"])
def test_a_pixel_aspect_comes_back(tmp_path, suffix, aspect):
    aspect = Fraction(aspect)
    fastup.write(tmp_path / f"f.{suffix}", np.zeros((8, 8, 3), np.uint16), Header.new(8, 8, pixel_aspect=aspect))
    assert fastup.read_header(tmp_path / f"f.{suffix}").pixel_aspect == aspect
    converted(tmp_path / f"f.{suffix}", tmp_path / "g.dpx")
    assert fastup.read_header(tmp_path / "g.dpx").pixel_aspect == aspect


@pytest.mark.parametrize("suffix", ["png", "tif", "exr", "jpg", "tga"])
def test_a_pixel_aspect_of_any_header_is_written_if_it_can_be(tmp_path, suffix):
    path = tmp_path / f"f.{suffix}"
    for aspect in (Fraction(2**32 - 2), Fraction(65535), Fraction(1, 2**32 - 2)):
        fastup.write(path, np.zeros((8, 8, 3), np.uint16), Header.new(8, 8, bits=16, pixel_aspect=aspect))
        assert fastup.read_header(path).pixel_aspect == (1 if suffix == "exr" else None)
    fastup.write(path, np.zeros((8, 8, 3), np.uint16), Header.new(8, 8, bits=16, pixel_aspect=Fraction(200001, 100000)))
    assert fastup.read_header(path).pixel_aspect == 2


def test_grey_with_alpha_fits_no_header(tmp_path):
    path = tiff(tmp_path / "f.tif", np.zeros((3, 4, 2), np.uint8), photometric=1, extra=[2])
    with pytest.raises(FastupError, match=r"f\.tif: 2 channels, expected 1, 3 or 4: no DPX has so many"):
        prepare(path, tmp_path / "f.dpx")


@pytest.mark.parametrize("aspect", [1e-5, 1e5])  # OpenEXR itself refuses others
def test_a_pixel_aspect_that_cannot_be(tmp_path, aspect):
    path = exr(tmp_path / "f.exr", np.ones((2, 2, 3), np.float32), PixelAspectRatio=aspect)
    assert fastup.read_header(path).pixel_aspect is None
    assert left_out(path) == [f"without the pixel aspect, which is {aspect:g}"]


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_a_colour_profile_is_said_to_be_left_out(tmp_path, suffix, run):
    images, profiles = pytest.importorskip("PIL.Image"), pytest.importorskip("PIL.ImageCms")
    path = tmp_path / f"f.{suffix}"
    profile = profiles.ImageCmsProfile(profiles.createProfile("sRGB")).tobytes()
    images.new("RGB", (8, 8), (10, 60, 110)).save(path, icc_profile=profile)
    words = "without the ICC profile (sRGB built-in)"
    assert left_out(path) == [words]
    assert f"8 bits, {words}, code values as they are" in converted(path, tmp_path / "g.png")
    assert words in run("info", path)[1]
    assert left_out(tmp_path / "g.png") == []


def test_info_says_what_alpha_is(tmp_path, run):
    path = tiff(tmp_path / "f.tif", np.zeros((3, 4, 4), np.uint8), extra=[1], pages=2)
    assert "multiplied" in run("info", path)[1]
    (told,) = json.loads(run("info", path, "--json")[1])
    assert (told["premultiplied"], told["left_out"]) == (True, ["the first of 2 pages"])
    path = tiff(tmp_path / "f.tif", np.zeros((3, 4, 4), np.uint8), extra=[2])
    assert "straight" in run("info", path)[1]


# -- one list of names -------------------------------------------------------------------------------------------------


def cineon(path, codes):
    """Write a Cineon file, byte by byte: 10 bits of R, G, B, three in a word."""
    height, width, _ = codes.shape
    data = (codes[..., 0] << 22 | codes[..., 1] << 12 | codes[..., 2] << 2).astype(">u4").tobytes()
    head = bytearray(
        struct.pack(">IIIIII8s", 0x802A5FD7, 2048, 1024, 1024, 0, 2048 + len(data), b"V4.5").ljust(2048, b"\0")
    )
    head[192:194] = 0, 3
    for channel in range(3):
        element = struct.pack(">BBBBII", 0, channel + 1, 10, 0, width, height) + struct.pack(">4f", 0, 0, 1023, 2.046)
        head[196 + 28 * channel : 196 + 28 * channel + 28] = element
    head[680:685] = 0, 5, 0, 0, 0
    path.write_bytes(bytes(head) + data)
    return path


def test_a_folder_of_cineon(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    codes = np.arange(1024, dtype=np.uint32).reshape(16, 64, 1).repeat(3, axis=2)
    codes[..., 1] = codes[::-1, :, 1]
    for number in range(2):
        cineon(folder / f"f.{number}.cin", codes)
    assert [path.name for path in fastup.find(folder)] == ["f.0.cin", "f.1.cin"]
    plan = prepare(folder, tmp_path / "out", format="dpx", bits=10)
    convert.run(plan)
    np.testing.assert_array_equal(fastup.read(tmp_path / "out" / "f.1.dpx"), codes)


def test_what_a_folder_lists_a_file_reads_and_the_other_way_round(tmp_path):
    """By the formats that OpenImageIO knows: each suffix is in the list, or is refused by its name."""
    known = {f".{suffix}" for line in oiio.get_string_attribute("extension_list").split(";")
             for suffix in line.split(":")[1].split(",")}  # fmt: skip
    assert set(SUFFIXES) <= known
    for suffix in known | {"", ".mov", ".txt"}:
        path = tmp_path / f"f{suffix}"
        path.write_bytes(b"nothing")
        with pytest.raises(FastupError) as caught:
            fastup.read(path)
        assert ("a name that ends in one of .dpx, " in str(caught.value)) == (suffix not in SUFFIXES)
        if suffix in SUFFIXES:
            assert fastup.find(tmp_path) == [path]
        else:
            with pytest.raises(DataError, match="no frames here"):
                fastup.find(tmp_path)
        path.unlink()


# -- names that are not UTF-8 ------------------------------------------------------------------------------------------

odd_names = pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux alone")


@odd_names
@pytest.mark.parametrize("suffix", fastup.frames.WRITTEN)
def test_a_name_of_any_bytes(tmp_path, suffix, run):
    folder = tmp_path / os.fsdecode(b"in\xff")
    folder.mkdir()
    path = folder / os.fsdecode(b"caf\xe9 \xff." + suffix[1:].encode())
    frame = np.full((16, 16, 3), 100, np.uint16)
    fastup.write(path, frame)
    white = probe(path)[1]
    dtype = "uint16" if white else "float32"
    expected = frame if white else frame / np.float32(65535)
    assert fastup.find(folder) == [path]
    np.testing.assert_allclose(fastup.read(path, dtype), expected, atol=1 if "jp" in suffix else 0)
    ((streamed, again),) = fastup.stream([path], dtype)
    assert streamed == path
    np.testing.assert_array_equal(again, fastup.read(path, dtype))
    assert fastup.read_header(path).width == 16
    run_plan = prepare(folder, tmp_path / os.fsdecode(b"out\xff"), format="png")
    convert.run(run_plan)
    assert fastup.read(run_plan.sink.place(0)).shape == (16, 16, 3)
    path.write_bytes(b"nothing at all" * 20)
    with pytest.raises(FastupError) as caught:
        fastup.read(path)
    assert str(path) in str(caught.value)
    assert "/dev/fd" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        fastup.read(folder / f"{path.name}{suffix}")
