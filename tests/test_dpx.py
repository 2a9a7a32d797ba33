"""The DPX codec against its NumPy twin: exact values, round trips, files that lie, and disks that fill up."""

import errno
import json
import math
import os
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
from fractions import Fraction
from pathlib import Path

import naive
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastup
from fastup.codes import codes_of
from fastup.errors import DpxError, FastupError
from fastup.header import Header
from fastup.summary import summary

ORDERS = ["big", "little"]
MARK = {"big": ">", "little": "<"}
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "dpx"
SHARED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WHOLE = 0xFFFFFFFF  # undefined


def some_codes(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 1024, (height, width, 3), np.uint16)


def file_of(path, codes, order="big", *, padding=0, low=0, trailing=b"", **header):
    """Write a DPX with the twin; gives its path."""
    head = naive.dpx_header(codes.shape[1], codes.shape[0], order, line_padding=padding, **header)
    path.write_bytes(
        head + naive.dpx_pixels(codes, order, b"\xa5" * (0 if padding == WHOLE else padding), low) + trailing
    )
    return path


def patched(data, *changes):
    """A copy of bytes with (offset, struct code, value...) changes."""
    data = bytearray(data)
    for at, code, *values in changes:
        struct.pack_into(code, data, at, *values)
    return bytes(data)


# -- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("width", [*range(1, 18), 31, 64, 100, 640])
def test_read_gives_what_was_stored(tmp_path, order, width):
    for height in (1, 2, 7):
        codes = some_codes(height, width, height)
        path = file_of(tmp_path / "f.dpx", codes, order, low=width % 4)
        frame = fastup.read(path)
        assert frame.dtype == np.uint16
        assert frame.flags.c_contiguous
        np.testing.assert_array_equal(frame, codes)
        normalised = fastup.read(path, dtype="float32")
        assert normalised.dtype == np.float32
        np.testing.assert_array_equal(normalised, (codes / 1023).astype(np.float32))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("height", "width"), [(480, 720), (1, 16384), (1, 16385), (3, 40000), (40000, 1)])
@pytest.mark.parametrize("padding", [0, 7])
def test_read_in_pieces(tmp_path, order, height, width, padding):
    """Sizes at and beyond what is read at a time, in one run and row by row."""
    codes = some_codes(height, width)
    words = codes.astype(np.uint32)
    words = words[..., 0] << 22 | words[..., 1] << 12 | words[..., 2] << 2
    head = naive.dpx_header(width, height, order, line_padding=padding)
    rows = words.astype(MARK[order] + "u4").view(np.uint8)
    (tmp_path / "f.dpx").write_bytes(head + np.pad(rows, ((0, 0), (0, padding)), constant_values=255).tobytes())
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.dpx"), codes)
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.dpx", "float32"), codes / np.float32(1023))


@pytest.mark.parametrize("order", ORDERS)
def test_every_code_is_the_nearest_float(tmp_path, order):
    codes = np.arange(1024, dtype=np.uint16)
    codes = np.stack([codes, codes[::-1], np.roll(codes, 511)], axis=-1).reshape(32, 32, 3)
    path = file_of(tmp_path / "f.dpx", codes, order)
    np.testing.assert_array_equal(fastup.read(path), codes)
    # Twice rounded (to double, then to single) is the same as once for these 1024 quotients: 1023 has ten bits.
    np.testing.assert_array_equal(fastup.read(path, "float32"), (codes.astype(np.float64) / 1023).astype(np.float32))
    np.testing.assert_array_equal(fastup.read(path, "float32"), codes.astype(np.float32) / np.float32(1023))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "header",
    [
        {"offset": 1664},
        {"offset": 1920},
        {"offset": 1665},  # nothing promises that pixels are aligned
        {"offset": 2049},
        {"offset": 8192},
        {"offset": 2048 + 6000},
        {"offset": 2048, "own_offset": 0},
        {"offset": 4096, "own_offset": WHOLE},
        {"offset": 2048, "own_offset": 3001},  # the element's own counts
        {"offset": 5000, "own_offset": 1664},
        {"offset": 0, "own_offset": 2048},
        {"offset": WHOLE, "own_offset": 2048},
        {"padding": WHOLE},
        {"padding": 1},
        {"padding": 4},
        {"padding": 13, "offset": 1664},
        {"padding": 60000},
        {"low": 3},
        {"trailing": b"anything"},
        {"fill": bytes(range(1, 251))},
        {"fill": b"\0"},
    ],
    ids=str,
)
def test_read_finds_the_pixels(tmp_path, order, header):
    codes = some_codes(5, 9)
    header = {"offset": 2048, "own_offset": header.get("offset", 2048), **header}
    if header["own_offset"] not in (0, WHOLE) and header["own_offset"] < header["offset"] < WHOLE:
        header["trailing"] = b"x"  # pixels start within what the image's offset calls header
    path = file_of(tmp_path / "f.dpx", codes, order, **header)
    np.testing.assert_array_equal(naive.dpx_read(path.read_bytes()), codes)  # the twin agrees with itself
    np.testing.assert_array_equal(fastup.read(path), codes)
    np.testing.assert_array_equal(fastup.read(path, window=(1, 2, 3, 4)), codes[1:4, 2:6])
    np.testing.assert_array_equal(next(fastup.stream([path]))[1], codes)


def test_padding_after_the_last_row_may_be_missing(tmp_path):
    codes = some_codes(3, 4)
    path = file_of(tmp_path / "f.dpx", codes, padding=10)
    path.write_bytes(path.read_bytes()[:-10])
    np.testing.assert_array_equal(fastup.read(path), codes)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DpxError, match="cut short"):
        fastup.read(path)


@SHARED
@given(data=st.data(), height=st.integers(1, 12), width=st.integers(1, 40), padding=st.sampled_from([0, 0, 1, 4, 5]))
def test_a_window_is_a_part_of_the_whole(tmp_path, data, height, width, padding):
    order = data.draw(st.sampled_from(ORDERS))
    path = file_of(tmp_path / "f.dpx", some_codes(height, width), order, padding=padding)
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    h, w = data.draw(st.integers(1, height - y)), data.draw(st.integers(1, width - x))
    dtype = data.draw(st.sampled_from(["uint16", "float32"]))
    part = fastup.read(path, dtype, (y, x, h, w))
    np.testing.assert_array_equal(part, fastup.read(path, dtype)[y : y + h, x : x + w])
    out = np.full((h + 2, w + 3, 3), 7, dtype)
    assert fastup.read(path, dtype, (y, x, h, w), out[1:-1, 2:-1]) is not None
    np.testing.assert_array_equal(out[1:-1, 2:-1], part)
    out[1:-1, 2:-1] = 7
    assert (out == 7).all()  # not a value outside the window


@pytest.mark.parametrize(
    "window",
    [
        (-1, 0, 1, 1), (0, -1, 1, 1), (0, 0, 0, 1), (0, 0, 1, 0), (0, 0, 4, 1), (0, 0, 1, 6), (3, 0, 1, 1),
        (0, 5, 1, 1), (1, 0, 3, 1), (0, 1, 1, 5), (2**63 - 1, 0, 1, 1), (0, 2**63 - 1, 1, 1), (1, 0, 2**63 - 1, 1),
        (0, 1, 1, 2**63 - 1), (2**63 - 1, 2**63 - 1, 2**63 - 1, 2**63 - 1), (-(2**63), 0, 1, 1),
    ],
)  # fmt: skip
def test_a_window_beyond_the_picture(tmp_path, window):
    path = file_of(tmp_path / "f.dpx", some_codes(3, 5))
    with pytest.raises(ValueError, match=r"f\.dpx: window .* is \(.*inside the picture of 3 rows by 5 columns"):
        fastup.read(path, window=window)


def test_a_window_takes_numpy_integers(tmp_path):
    codes = some_codes(3, 5)
    path = file_of(tmp_path / "f.dpx", codes)
    np.testing.assert_array_equal(fastup.read(path, window=np.array([1, 2, 2, 3])), codes[1:, 2:])
    for window in [(1, 2, 3), (0, 0, 1.5, 1), "abcd", (2**64, 0, 1, 1)]:
        with pytest.raises((TypeError, ValueError, OverflowError)):
            fastup.read(path, window=window)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_out(tmp_path, dtype):
    codes = some_codes(6, 10)
    path = file_of(tmp_path / "f.dpx", codes)
    expected = fastup.read(path, dtype)
    out = np.empty((6, 10, 3), dtype)
    assert fastup.read(path, dtype, out=out) is out
    np.testing.assert_array_equal(out, expected)

    wide = np.full((12, 14, 3), 5, dtype)
    for view in (wide[::2, 1:11], wide[5::-1, 4:]):  # rows apart, and upside down
        wide[...] = 5
        fastup.read(path, dtype, out=view)
        np.testing.assert_array_equal(view, expected)
        view[...] = 5
        assert (wide == 5).all()


@pytest.mark.parametrize(
    "out",
    [
        np.empty((6, 10, 3), np.float32),
        np.empty((6, 10, 3), ">u2"),
        np.empty((6, 10, 3), np.int16),
        np.empty((6, 10, 3), np.float16),
        np.empty((5, 10, 3), np.uint16),
        np.empty((6, 10, 4), np.uint16),
        np.empty((10, 6, 3), np.uint16),
        np.empty((6, 30), np.uint16),
        np.empty((6, 20, 3), np.uint16)[:, ::2],
        np.empty((6, 10, 4), np.uint16)[..., :3],
        np.empty((6, 10, 3), np.uint16)[..., ::-1],
        np.empty((10, 6, 3), np.uint16).transpose(1, 0, 2),
        np.empty((6, 10, 3), np.uint16, order="F"),
        np.zeros(6 * 60 + 1, np.uint8)[1:].view(np.uint16).reshape(6, 10, 3),  # not on an even address
        np.broadcast_to(np.zeros((1, 10, 3), np.uint16), (6, 10, 3)),  # read-only
        [[0]],
        bytearray(360),
        "out",
    ],
    ids=lambda out: f"{type(out).__name__} {getattr(out, 'shape', '')} {getattr(out, 'dtype', '')}",
)
def test_out_that_does_not_fit(tmp_path, out):
    path = file_of(tmp_path / "f.dpx", some_codes(6, 10))
    with pytest.raises(ValueError, match=r"out |read-only"):
        fastup.read(path, out=out)


def test_out_that_is_read_only_stays_as_it_is(tmp_path):
    path = file_of(tmp_path / "f.dpx", some_codes(6, 10))
    out = np.zeros((6, 10, 3), np.uint16)
    out.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        fastup.read(path, out=out)
    assert not out.any()


def test_other_dtypes_are_refused(tmp_path):
    path = file_of(tmp_path / "f.dpx", some_codes(6, 10))
    for dtype in ("uint8", "int16", "float64", ">f2", ">u2", ">f4", None, bool, object):
        with pytest.raises(ValueError, match="expected uint16"):
            fastup.read(path, dtype=dtype)
    assert fastup.read(path, np.float32).dtype == fastup.read(path, np.dtype("<f4")).dtype == np.float32


# -- writing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("width", [*range(1, 18), 64, 100, 640])
def test_write_codes(tmp_path, order, width):
    for height in (1, 3):
        codes = some_codes(height, width)
        path = tmp_path / "f.dpx"
        fastup.write(path, codes, Header.new(width, height, big_endian=order == "big"))
        data = path.read_bytes()
        assert data[:4] == (b"SDPX" if order == "big" else b"XPDS")
        assert data[2048:] == naive.dpx_pixels(codes, order)
        np.testing.assert_array_equal(naive.dpx_read(data), codes)
        fastup.write(
            path, codes.astype(np.float32) / np.float32(1023), Header.new(width, height, big_endian=order == "big")
        )
        assert path.read_bytes() == data


def test_write_without_a_header(tmp_path):
    path = tmp_path / "f.dpx"
    fastup.write(path, some_codes(4, 5))
    header = fastup.read_header(path)
    assert header.big_endian
    assert (header.width, header.height, header.channels, header.bits, header.white) == (5, 4, 3, 10, 1023)
    assert header.fields["file"]["file_size"] == path.stat().st_size == 2048 + 80
    assert (header.timecode, header.frame_rate, header.frame_position, header.pixel_aspect) == (None,) * 4


def write_floats(path, values):
    """Codes that floats come out as."""
    values = np.asarray(values)
    padded = np.zeros(-(-values.size // 3) * 3, values.dtype)
    padded[: values.size] = values.ravel()
    fastup.write(path, padded.reshape(1, -1, 3))
    return naive.dpx_read(path.read_bytes()).ravel()[: values.size]


def test_write_clips(tmp_path):
    values = [-0.01, -1e-30, -0.0, 0.0, 1e-30, 1.0, 1.001, 1.5, 1e30, np.inf, -np.inf, -1e30, 3e38, -3e38]
    expected = [0, 0, 0, 0, 0, 1023, 1023, 1023, 1023, 1023, 0, 0, 1023, 0]
    for dtype in (np.float32, np.float64, np.longdouble):
        assert write_floats(tmp_path / "f.dpx", np.array(values, dtype)).tolist() == expected
    with np.errstate(over="ignore"):
        assert write_floats(tmp_path / "f.dpx", np.array(values, np.float16)).tolist() == expected
    # One at a time, so that the narrow loop gets each as the wide one did.
    for value, code in zip(values, expected, strict=True):
        assert write_floats(tmp_path / "f.dpx", np.array([value], np.float32)).tolist() == [code]
    assert write_floats(tmp_path / "f.dpx", np.array([1e300, -1e300, 0.5])).tolist() == [1023, 0, 512]


def test_write_rounds_to_the_nearest_code(tmp_path):
    codes = np.arange(1024)
    centre = (codes / 1023).astype(np.float32)
    for step in range(-3, 4):  # neighbours of every code's own float
        near = centre.copy()
        for _ in range(abs(step)):
            near = np.nextafter(near, np.float32(np.sign(step) * 2))
        np.testing.assert_array_equal(write_floats(tmp_path / "f.dpx", near), codes)
    below = ((codes + 0.499) / 1023).astype(np.float32)
    np.testing.assert_array_equal(write_floats(tmp_path / "f.dpx", below), codes)
    above = ((codes + 0.501) / 1023).astype(np.float32)
    np.testing.assert_array_equal(write_floats(tmp_path / "f.dpx", above), np.minimum(codes + 1, 1023))


def nearest(value, white):
    """The code of a number by the rule, in fractions."""
    return math.floor(min(max(Fraction(float(value)), 0), 1) * white + Fraction(1, 2))


def near_half(white, dtype, steps):
    """Floats around every place where the code changes, and their codes."""
    middle = ((np.arange(white) + 0.5) / white).astype(dtype)
    values, expected = [], []
    for step in range(-steps, steps + 1):
        near = middle
        for _ in range(abs(step)):
            near = np.nextafter(near, dtype(np.sign(step) * 2))
        ratios = [value.as_integer_ratio() for value in near.tolist()]
        values.append(near)
        expected.append([code + (2 * white * n >= (2 * code + 1) * d) for code, (n, d) in enumerate(ratios)])
    return np.concatenate(values), np.concatenate(expected)


@pytest.mark.parametrize("bits", [1, 8, 10, 12, 16])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_write_half_way_values(tmp_path, bits, dtype):
    """The nearest code of the exact product, halves upward, in C and in Python; 0.5 is half-way at every white."""
    white = 2**bits - 1
    values, expected = near_half(white, dtype, 2 if bits < 16 else 1)
    values, expected = np.append(values, [dtype(0.5)]), np.append(expected, [white // 2 + 1])
    np.testing.assert_array_equal(codes_of(values, white), expected)
    header = Header.new(values.size, 1, descriptor="luma", bits=bits)
    fastup.write(tmp_path / "f.dpx", values.reshape(1, -1, 1), header, fsync=False)
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.dpx").ravel(), expected)


def test_every_small_float_has_its_code(tmp_path):
    """Around the first codes of 16 bits, where a float has more bits than the sum keeps: every 97th of them."""
    values = np.arange(0, np.float32(3 / 65535).view(np.uint32), 97, dtype=np.uint32).view(np.float32)
    expected = np.zeros(values.size, int)
    for code in range(3):
        half = Fraction(2 * code + 1, 2 * 65535)
        first = np.float32(half)
        expected += values >= (first if Fraction(float(first)) >= half else np.nextafter(first, np.float32(1)))
    np.testing.assert_array_equal(codes_of(values, 65535), expected)
    header = Header.new(values.size, 1, descriptor="luma", bits=16)
    fastup.write(tmp_path / "f.dpx", values.reshape(1, -1, 1), header, fsync=False)
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.dpx").ravel(), expected)


@SHARED
@given(
    st.lists(st.floats(allow_nan=False) | st.floats(0, 1), min_size=1, max_size=60), st.sampled_from([8, 10, 12, 16])
)
def test_write_any_number(tmp_path, values, bits):
    white = 2**bits - 1
    header = Header.new(len(values), 1, descriptor="luma", bits=bits)
    with np.errstate(over="ignore"):
        kinds = [np.array(values, dtype) for dtype in (np.float16, np.float32, np.float64)]
    for numbers in kinds:
        expected = [nearest(min(max(float(x), -1), 2), white) for x in numbers]  # infinity is no fraction
        assert codes_of(numbers, white).tolist() == expected
        fastup.write(tmp_path / "f.dpx", numbers.reshape(1, -1, 1), header, fsync=False)
        assert fastup.read(tmp_path / "f.dpx").ravel().tolist() == expected


@pytest.mark.parametrize("place", [0, 1, 2, 50, 47, 16384 * 3, 20000 * 3 - 1])
@pytest.mark.parametrize("value", [np.float32("nan"), -np.float32("nan"), np.uint32(0x7F800001).view(np.float32)])
def test_write_refuses_nan(tmp_path, place, value):
    frame = np.full((20, 1000, 3), 0.5, np.float32)
    frame.ravel()[place] = value
    with pytest.raises(ValueError, match=r"f\.dpx: the frame holds NaN"):
        fastup.write(tmp_path / "f.dpx", frame)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("place", [0, 1, 2, 50, 16384 * 3, 20000 * 3 - 1])
@pytest.mark.parametrize("value", [1024, 1025, 2048, 32768, 65535])
def test_write_refuses_codes_above_white(tmp_path, place, value):
    frame = np.full((20, 1000, 3), 1023, np.uint16)
    fastup.write(tmp_path / "ok.dpx", frame)
    frame.ravel()[place] = value
    with pytest.raises(ValueError, match=r"f\.dpx: the frame holds codes above 1023"):
        fastup.write(tmp_path / "f.dpx", frame)
    assert os.listdir(tmp_path) == ["ok.dpx"]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (np.zeros((4, 5), np.uint16), r"\(4, 5\), expected \(height, width, channels\)"),
        (np.zeros((4, 5, 2), np.uint16), r"\(4, 5, 2\), expected 1, 3 or 4 channels"),
        (np.zeros((4, 5, 5), np.uint16), r"\(4, 5, 5\)"),
        (np.zeros((1, 4, 5, 3), np.uint16), r"\(1, 4, 5, 3\)"),
        (np.zeros((0, 5, 3), np.uint16), r"\(0, 5, 3\)"),
        (np.zeros((5, 0, 3), np.uint16), r"\(5, 0, 3\)"),
        (np.zeros((4, 5, 3), np.uint8), "uint8, expected uint16"),
        (np.zeros((4, 5, 3), np.int16), "int16"),
        (np.zeros((4, 5, 3), np.int64), "int64"),
        (np.zeros((4, 5, 3), bool), "bool"),
        (np.zeros((4, 5, 3), complex), "complex"),
        (np.zeros((4, 5, 3), object), "object"),
        (None, r"\(\), expected"),
    ],
)
def test_write_refuses_other_frames(tmp_path, frame, message):
    with pytest.raises(ValueError, match=message):
        fastup.write(tmp_path / "f.dpx", frame)
    assert os.listdir(tmp_path) == []


def test_write_takes_any_layout(tmp_path):
    codes = some_codes(6, 10)
    odd = np.zeros(codes.nbytes + 1, np.uint8)
    odd[1:] = codes.view(np.uint8).ravel()
    frames = [
        codes.copy("F"),
        codes[::-1, ::-1, ::-1].copy()[::-1, ::-1, ::-1],
        np.repeat(codes, 2, 1)[:, ::2],
        odd[1:].view(np.uint16).reshape(codes.shape),
        codes / 1023,
        (codes / 1023).astype(">f4"),
        (codes / 1023).astype(">f8").copy("F"),
        codes.tolist() and (codes / 1023).tolist(),
    ]
    for frame in frames:
        fastup.write(tmp_path / "f.dpx", frame)
        np.testing.assert_array_equal(fastup.read(tmp_path / "f.dpx"), codes)
    fastup.write(tmp_path / "f.dpx", np.broadcast_to(codes[:1, :1], codes.shape))
    assert (fastup.read(tmp_path / "f.dpx") == codes[0, 0]).all()


def test_write_wants_the_suffix(tmp_path):
    for name in ("f.jp2", "f", "dpx", "f.dpx.txt"):
        with pytest.raises(FastupError, match=r"expected a name that ends in one of \.dpx, "):
            fastup.write(tmp_path / name, some_codes(2, 2))
    fastup.write(tmp_path / "F.DPX", some_codes(2, 2))
    assert os.listdir(tmp_path) == ["F.DPX"]


# -- round trips -----------------------------------------------------------------------------------------------------


@SHARED
@given(
    height=st.integers(1, 5),
    width=st.integers(1, 20),
    order=st.sampled_from(ORDERS),
    offset=st.sampled_from([1664, 1665, 1700, 1920, 2047, 2048, 2049, 2500, 8192]),
    own=st.sampled_from(["same", "zero", "ones", "only"]),
    padding=st.sampled_from([0, 1, 4, 30]),
    fill=st.binary(min_size=1, max_size=4000),
)
def test_a_file_comes_back_byte_for_byte(tmp_path, height, width, order, offset, own, padding, fill):
    """Garbage in undefined fields, user data, a wrong file size and line padding included."""
    codes = some_codes(height, width)
    own_offset = {"same": offset, "zero": 0, "ones": WHOLE, "only": offset}[own]
    head = naive.dpx_header(width, height, order, offset, own_offset, padding, fill)
    if own == "only":
        head = patched(head, (4, MARK[order] + "I", 0))
    data = head + naive.dpx_pixels(codes, order, bytes(padding))
    (tmp_path / "f.dpx").write_bytes(data)
    header = fastup.read_header(tmp_path / "f.dpx")
    assert header.raw == head
    for dtype in ("uint16", "float32"):
        fastup.write(tmp_path / "g.dpx", fastup.read(tmp_path / "f.dpx", dtype), header)
        assert (tmp_path / "g.dpx").read_bytes() == data


def test_another_size_changes_the_size_alone(tmp_path):
    head = naive.dpx_header(6, 4, "little", 2300, 0, 8, bytes(range(7, 240)))
    header = Header(head)
    codes = some_codes(9, 11)
    fastup.write(tmp_path / "f.dpx", codes, header)
    data = (tmp_path / "f.dpx").read_bytes()
    changed = {at for at in range(len(head)) if head[at] != data[at]}
    assert changed <= {*range(16, 20), *range(772, 780)}
    assert struct.unpack_from("<I", data, 16)[0] == len(data) == 2300 + 9 * (44 + 8)
    assert struct.unpack_from("<II", data, 772) == (11, 9)
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.dpx"), codes)
    assert header.raw == head


def test_write_refuses_what_it_cannot_write(tmp_path):
    good = naive.dpx_header(5, 4)
    codes = some_codes(4, 5)
    for change, message in [
        ((800, "B", 100), "fastup writes no 4:2:2"),
        ((803, "B", 11), r"bit depth \(byte 803\) is 11"),
        ((804, ">H", 3), r"packing \(byte 804\) is 3"),
        ((808, ">I", 100), r"data offset \(byte 808\) is 100"),
    ]:
        with pytest.raises(DpxError, match=r"f\.dpx: .*" + message):
            fastup.write(tmp_path / "f.dpx", codes, Header(patched(good, change)))
    two = patched(good, (770, ">H", 2), (852, "72s", good[780:852]))
    with pytest.raises(DpxError, match=r"the header has 2 elements, but fastup writes one; header\.only\(0\) is it"):
        fastup.write(tmp_path / "f.dpx", codes, Header(two))
    with pytest.raises(ValueError, match="the header gives"):  # 100 bytes missing before the pixels
        fastup.write(tmp_path / "f.dpx", codes, Header(good[:-100]))
    with pytest.raises(ValueError, match=r"the frame is \(4, 5, 3\), but the header is of 4 channels"):
        fastup.write(tmp_path / "f.dpx", codes, Header(patched(good, (800, "B", 51))))
    with pytest.raises(ValueError, match="asks for floats, but the frame is of uint16"):
        fastup.write(tmp_path / "f.dpx", codes, Header(patched(good, (803, "B", 32))))
    assert os.listdir(tmp_path) == []


# -- files that lie --------------------------------------------------------------------------------------------------

HEIGHT, WIDTH = 4, 5
GOOD = {
    order: naive.dpx_header(WIDTH, HEIGHT, order) + naive.dpx_pixels(some_codes(HEIGHT, WIDTH), order)
    for order in ORDERS
}

# Offset, type, a value, and what the message must say of it.
BAD = [
    (770, "H", 9, "number of image elements (byte 770) is 9, expected 1 to 8"),
    (770, "H", 65534, "number of image elements (byte 770) is 65534, expected 1 to 8"),
    (770, "H", 2, "descriptor of element 1 (byte 872) is 255, expected "),
    (772, "I", 0, "pixels per line (byte 772) is 0, expected a width"),
    (772, "I", WHOLE, "pixels per line (byte 772) is 4294967295, expected a width"),
    (772, "I", WHOLE - 1, "image data is cut short: the file has 2128 bytes, expected "),
    (776, "I", 0, "lines per image (byte 776) is 0, expected a height"),
    (776, "I", WHOLE, "lines per image (byte 776) is 4294967295, expected a height"),
    (776, "I", WHOLE - 1, "image data is cut short: the file has 2128 bytes, expected "),
    (776, "I", 5, "image data is cut short: the file has 2128 bytes, expected 2148 or more"),
    (772, "I", 6, "image data is cut short: the file has 2128 bytes, expected 2144 or more"),
    (780, "I", 1, "data sign (byte 780) is 1, expected 0"),
    (780, "I", 2, "data sign (byte 780) is 2, expected 0"),
    *[(800, "B", n, f"descriptor (byte 800) is {n}, expected 1 to 4 (R, G, B, A), 6 (luma), 8 (depth), 50 to 52 ")
      for n in (0, 5, 7, 9, 49, 53, 99, 104, 150, 255)],
    *[(803, "B", n, f"bit depth (byte 803) is {n}, expected 1, 8, 10, 12, 16 or 32") for n in (0, 2, 9, 11, 64, 255)],
    *[(804, "H", n, f"packing (byte 804) is {n}, expected 0 (packed), 1 (filled, method A) or 2 (filled, method B)")
      for n in (3, 4, 256, 65535)],
    (806, "H", 1, "encoding (byte 806) is 1, expected 0"),
    (806, "H", 2, "encoding (byte 806) is 2, expected 0"),
    (808, "I", 1, "data offset (byte 808) is 1, expected 1664 or more"),
    (808, "I", 1663, "data offset (byte 808) is 1663, expected 1664 or more"),
    (808, "I", 2049, "image data is cut short: the file has 2128 bytes, expected 2129 or more"),
    (808, "I", 2128, "image data is cut short: the file has 2128 bytes, expected 2208 or more"),
    (808, "I", WHOLE - 1, "image data is cut short: the file has 2128 bytes, expected 4294967374 or more"),
    (812, "I", 1, "image data is cut short: the file has 2128 bytes, expected 2131 or more"),
    (812, "I", 65536, "image data is cut short: the file has 2128 bytes, expected "),
    (812, "I", 65537, "end-of-line padding (byte 812) is 65537, expected 65536 or less"),
    (812, "I", WHOLE - 1, "end-of-line padding (byte 812) is 4294967294, expected 65536 or less"),
    *[(768, "H", n, f"orientation (byte 768) is {n}, expected 0 to 3") for n in (4, 5, 6, 7, 8, 256, 65534)],
]  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("at", "code", "value", "says"), BAD)
def test_a_field_that_cannot_be(tmp_path, order, at, code, value, says):
    path = tmp_path / "lying.dpx"
    path.write_bytes(patched(GOOD[order], (at, MARK[order] + code, value)))
    for call in (fastup.read, lambda path: list(fastup.stream([path])), fastup.frames.probe):
        with pytest.raises(DpxError) as caught:
            call(path)
        assert str(caught.value).startswith(f"{path}: {says}")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("own", [0, WHOLE])
@pytest.mark.parametrize("offset", [0, 1, 1663, WHOLE])
def test_an_image_offset_that_cannot_be(tmp_path, order, own, offset):
    path = tmp_path / "f.dpx"
    mark = MARK[order]
    path.write_bytes(patched(GOOD[order], (808, mark + "I", own), (4, mark + "I", offset)))
    with pytest.raises(DpxError, match=rf"image offset \(byte 4\) is {offset}, expected 1664 or more"):
        fastup.read(path)


@pytest.mark.parametrize("order", ORDERS)
def test_what_does_not_matter_is_not_refused(tmp_path, order):
    """Wrong sizes, undefined sign and encoding, and user data longer than the file."""
    mark = MARK[order]
    path = tmp_path / "f.dpx"
    for change in [
        *((16, mark + "I", size) for size in (0, 1, 0x80000000, WHOLE)),
        *((at, mark + "I", size) for at in (20, 24, 28, 32) for size in (0, 1, 2**31, WHOLE)),
        (780, mark + "I", WHOLE),
        (806, mark + "H", 0xFFFF),
        (816, mark + "I", 12345),
        (8, "8s", b"V1.0\0\0\0\0"),
        (8, "8s", b"\xff" * 8),
        (660, mark + "I", 0),
        (801, "BB", 255, 0),
    ]:
        path.write_bytes(patched(GOOD[order], change))
        np.testing.assert_array_equal(fastup.read(path), some_codes(HEIGHT, WIDTH))


def test_truncation_anywhere(tmp_path):
    """At every header boundary, every row, every byte of the last word, and in between."""
    path = tmp_path / "f.dpx"
    for order, data in GOOD.items():
        cuts = {
            0,
            1,
            3,
            4,
            5,
            32,
            768,
            780,
            804,
            808,
            812,
            1408,
            1663,
            1664,
            1665,
            1920,
            2047,
            2048,
            2049,
            *range(0, 2048, 97),
        }
        cuts |= {2048 + 4 * WIDTH * row + more for row in range(HEIGHT) for more in (0, 1, 2, 3, 4, 7)}
        cuts |= {len(data) - n for n in range(1, 6)}
        for cut in sorted(cuts):
            path.write_bytes(data[:cut])
            part = "header" if cut < 1664 else "image data"
            needed = 1664 if cut < 1664 else len(data)
            for call in (fastup.read, lambda path: next(fastup.stream([path]))):
                with pytest.raises(DpxError) as caught:
                    call(path)
                expected = f"{path}: {part} is cut short: the file has {cut} bytes, expected {needed} or more"
                assert str(caught.value) == expected, (order, cut)
        path.write_bytes(data)
        assert fastup.read(path).shape == (HEIGHT, WIDTH, 3)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_bomb_is_refused_before_memory_is_taken(tmp_path, dtype):
    path = tmp_path / "f.dpx"
    tracemalloc.start()
    try:
        for width, height in [
            (46341, 46341),
            (65536, 65536),
            (WHOLE - 1, WHOLE - 1),
            (2**31, 2**31),
            (1, WHOLE - 1),
            (2**30, 4),
            (WHOLE - 1, 1),
        ]:
            for padding in (0, 1, 65536):
                head = naive.dpx_header(width, height, line_padding=padding)
                path.write_bytes(head + bytes(19200))
                tracemalloc.reset_peak()
                for call in (fastup.read, lambda path, dtype: list(fastup.stream([path], dtype))):
                    with pytest.raises(
                        DpxError, match=r"image data is cut short: the file has 21248 bytes, expected \d+"
                    ):
                        call(path, dtype)
                assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_a_sparse_file_larger_than_memory_can_be(tmp_path):
    """It is as long as it says, and still there is no frame of it: 2^31 by 2^31 bits are 2^64 bytes as floats."""
    folder = Path("/dev/shm") if os.path.isdir("/dev/shm") else tmp_path
    path = folder / f"fastup-{os.getpid()}.dpx"
    try:
        path.write_bytes(naive.dpx_header(2**31, 2**31, descriptor=6, bits=1, packing=0))
        try:
            os.truncate(path, 2048 + 2**59)
        except OSError:
            pytest.skip("no file here may be as long")
        for dtype in ("uint16", "float16", "float32"):
            for call in (fastup.read, lambda path, dtype: list(fastup.stream([path], dtype))):
                with pytest.raises(OSError, match="Cannot allocate memory") as caught:
                    call(path, dtype)
                assert caught.value.errno == errno.ENOMEM
        np.testing.assert_array_equal(fastup.read(path, window=(2**31 - 1, 2**31 - 2, 1, 2)), np.zeros((1, 2, 1)))
    finally:
        path.unlink()


def check_any(path, data):
    """Whatever the bytes are, reading ends in the frame that the twin sees, or in a DpxError where it sees none."""
    path.write_bytes(data)
    expected = naive.dpx_read(data)
    results = []
    for call in (fastup.read, lambda path: next(fastup.stream([path], threads=1))[1]):
        try:
            results.append(call(path))
        except DpxError:
            results.append(None)
    for result in results:
        if expected is None:
            assert result is None
        else:
            np.testing.assert_array_equal(result, expected)
    try:
        header = fastup.read_header(path)
    except DpxError:
        assert expected is None
    else:
        assert data.startswith(header.raw)
        summary(header, len(data))
        json.dumps(header.to_dict(), allow_nan=False)
        repr(header)


NUMBERS = [
    0, 1, 2, 3, 8, 9, 10, 50, 255, 256, 1023, 1663, 1664, 2047, 2048, 2049, 2127, 2128, 2129, 46341, 65535, 65536,
    2**31 - 1, 2**31, 2**31 + 1, WHOLE - 3, WHOLE - 1, WHOLE,
]  # fmt: skip
FIELDS = {
    4: 4, 16: 4, 24: 4, 28: 4, 32: 4, 768: 2, 770: 2, 772: 4, 776: 4, 780: 4, 800: 1, 803: 1, 804: 2, 806: 2, 808: 4,
    812: 4, 816: 4,
}  # fmt: skip


@st.composite
def field_change(draw):
    at = draw(st.sampled_from(sorted(FIELDS)))
    value = draw(st.sampled_from(NUMBERS) | st.integers(0, 3000)) % 256 ** FIELDS[at]
    return at, value.to_bytes(FIELDS[at], draw(st.sampled_from(ORDERS)))


byte_change = st.tuples(st.integers(0, 2127), st.binary(min_size=1, max_size=6))


@settings(SHARED, max_examples=600)
@given(
    order=st.sampled_from(ORDERS),
    changes=st.lists(field_change() | byte_change, max_size=5),
    length=st.integers(0, 2200) | st.just(2128) | st.just(2128),
)
def test_any_change_to_a_file_ends_in_a_frame_or_a_clear_error(tmp_path, order, changes, length):
    data = bytearray(GOOD[order] + bytes(100))
    for at, new in changes:
        data[at : at + len(new)] = new
    check_any(tmp_path / "f.dpx", bytes(data[:length]))


@settings(SHARED, max_examples=200)
@given(st.sampled_from([b"SDPX", b"XPDS"]), st.binary(max_size=200), st.integers(0, 3000))
def test_noise_ends_in_a_clear_error(tmp_path, magic, noise, length):
    check_any(tmp_path / "f.dpx", (magic + noise * (1 + length // (len(noise) or 1)))[:length])


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "PNG"), (b"\xff\xd8\xff\xe0\0\x10JFIF", "JPEG"), (b"\xff\xd8\xff\xe1", "JPEG"),
        (b"II*\0", "TIFF"), (b"MM\0*", "TIFF"), (b"v/1\x01", "EXR"), (b"\x80\x2a\x5f\xd7", "Cineon"),
        (b"GIF8", "GIF8"), (b"\0\0\0\0", r"\\x00"), (b"sdpx", "sdpx"), (b"XDPS", "XDPS"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("length", [4, 30, 5000])
def test_another_format_by_the_name_of_a_dpx(tmp_path, start, kind, length):
    path = tmp_path / "f.dpx"
    path.write_bytes((start + bytes(5000))[: max(length, 4)])
    for call in (fastup.read, fastup.read_header, lambda path: list(fastup.stream([path]))):
        with pytest.raises(DpxError, match=rf"f\.dpx: not a DPX: .*byte 0\) is .*{kind}.*expected SDPX or XPDS"):
            call(path)


# -- the file system -------------------------------------------------------------------------------------------------

READERS = [fastup.read, fastup.read_header, lambda path: list(fastup.stream([path])), fastup.frames.probe]


@pytest.mark.parametrize("call", READERS)
def test_a_missing_file_and_a_folder(tmp_path, call):
    with pytest.raises(FileNotFoundError, match=r"missing\.dpx"):
        call(tmp_path / "missing.dpx")
    (tmp_path / "folder.dpx").mkdir()
    with pytest.raises((IsADirectoryError, PermissionError), match=r"folder\.dpx"):
        call(tmp_path / "folder.dpx")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(NotADirectoryError, match=r"f\.dpx"):
        call(tmp_path / "file" / "f.dpx")
    os.symlink(tmp_path / "loop.dpx", tmp_path / "loop.dpx")
    with pytest.raises(OSError, match=r"loop\.dpx"):
        call(tmp_path / "loop.dpx")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may do anything")
def test_no_permission(tmp_path):
    path = file_of(tmp_path / "f.dpx", some_codes(2, 2))
    path.chmod(0)
    for call in READERS:
        with pytest.raises(PermissionError, match=r"f\.dpx"):
            call(path)
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(PermissionError, match=r"g\.dpx"):
        fastup.write(tmp_path / "closed" / "g.dpx", some_codes(2, 2))
    assert os.listdir(tmp_path / "closed") == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
@pytest.mark.parametrize("call", ["read(path)", "list(stream([path]))", "list(stream([path] * 9, threads=3))"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, call):
    """In a process of its own, which can be ended should it wait."""
    os.mkfifo(tmp_path / "f.dpx")
    code = f"""
import sys
from fastup import read, stream
path = sys.argv[1]
try:
    {call}
except OSError as problem:
    print(problem.filename)
"""
    run = subprocess.run([sys.executable, "-c", code, tmp_path / "f.dpx"], capture_output=True, text=True)
    assert run.stdout.strip() == str(tmp_path / "f.dpx"), run.stderr


def test_a_name_that_is_not_text(tmp_path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe \xe2\x82\xac.dpx"))
    try:
        path.write_bytes(b"")
    except OSError:
        pytest.skip("this file system wants names that are UTF-8")
    codes = some_codes(2, 3)
    fastup.write(path, codes)
    np.testing.assert_array_equal(fastup.read(path), codes)
    np.testing.assert_array_equal(next(fastup.stream(fastup.find(tmp_path)))[1], codes)
    np.testing.assert_array_equal(fastup.read(os.fspath(path)), codes)


def test_write_where_nothing_can_be_written(tmp_path):
    """The error names the file that was asked for, not the temporary one."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder.dpx").mkdir()
    for path, kind in [
        (tmp_path / "missing" / "f.dpx", FileNotFoundError),
        (tmp_path / "file" / "f.dpx", NotADirectoryError),
        (tmp_path / "folder.dpx", OSError),
    ]:
        with pytest.raises(kind) as caught:
            fastup.write(path, some_codes(2, 2))
        assert str(path) in str(caught.value)
        assert caught.value.filename == str(path)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder.dpx"]
    assert os.listdir(tmp_path / "folder.dpx") == []


@pytest.fixture
def file_limit():
    """Files of this process may be no longer than a mebibyte, as if the disk were full."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
@pytest.mark.parametrize("padding", [0, 5000])
def test_a_full_disk_leaves_nothing(tmp_path, file_limit, dtype, padding):
    header = Header(naive.dpx_header(720, 486, line_padding=padding))
    with pytest.raises(OSError, match=r"f\.dpx") as caught:
        fastup.write(tmp_path / "f.dpx", np.zeros((486, 720, 3), dtype), header)
    assert caught.value.errno == errno.EFBIG
    assert os.listdir(tmp_path) == []


def test_an_older_file_survives(tmp_path, file_limit):
    path = tmp_path / "f.dpx"
    fastup.write(path, some_codes(4, 5))
    before = path.read_bytes()
    frame = np.zeros((486, 720, 3), np.float32)
    with pytest.raises(OSError, match=r"f\.dpx"):
        fastup.write(path, frame)
    frame[400, 5, 1] = np.nan
    with pytest.raises((OSError, ValueError)):
        fastup.write(path, frame)
    with pytest.raises(ValueError, match="NaN"):
        fastup.write(path, frame[399:401])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["f.dpx"]
    fastup.write(path, some_codes(2, 2))
    assert fastup.read(path).shape == (2, 2, 3)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_disk_that_is_full_from_the_start(tmp_path, monkeypatch):
    path = tmp_path / "f.dpx"
    really_open = os.open
    monkeypatch.setattr(os, "open", lambda name, flags, mode=0o777: really_open("/dev/full", os.O_WRONLY))
    with pytest.raises(OSError, match=r"f\.dpx") as caught:
        fastup.write(path, some_codes(4, 5))
    assert caught.value.errno == errno.ENOSPC
    assert os.listdir(tmp_path) == []


def test_a_writer_that_is_killed_leaves_no_frame(tmp_path):
    path = tmp_path / "f.dpx"
    (tmp_path / "header").write_bytes(
        naive.dpx_header(4, 30000, line_padding=65536)
    )  # two gigabytes of padding take their time
    code = """
import sys, numpy, fastup
fastup.write(sys.argv[1], numpy.zeros((30000, 4, 3), "uint16"), fastup.Header(open(sys.argv[2], "rb").read()))
"""
    writer = subprocess.Popen([sys.executable, "-c", code, path, tmp_path / "header"])
    try:
        while not list(tmp_path.glob(".f*")) and writer.poll() is None:
            time.sleep(0.001)
    finally:
        writer.kill()
        writer.wait()
    assert writer.returncode == -signal.SIGKILL
    assert not path.exists()
    left = list(tmp_path.glob(".f*"))
    assert len(left) == 1  # it was in the middle of it
    with pytest.raises(fastup.DataError, match="no frames here"):
        fastup.find(tmp_path)
    fastup.write(path, some_codes(2, 2))  # what it left is in nobody's way
    assert fastup.find(tmp_path) == [path]
    assert not left[0].exists()  # and goes when another writes there


def test_a_written_file_has_the_usual_permissions(tmp_path):
    fastup.write(tmp_path / "f.dpx", some_codes(2, 2))
    (tmp_path / "plain").write_bytes(b"")
    assert stat.S_IMODE((tmp_path / "f.dpx").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_writers_of_one_name_do_not_meet(tmp_path):
    """Threads that write the same file leave one of their frames, whole."""
    frames = [np.full((40, 50, 3), value, np.uint16) for value in range(8)]
    threads = [
        threading.Thread(target=lambda f=f: [fastup.write(tmp_path / "f.dpx", f) for _ in range(5)]) for f in frames
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    frame = fastup.read(tmp_path / "f.dpx")
    assert (frame == frame[0, 0, 0]).all()
    assert os.listdir(tmp_path) == ["f.dpx"]


# -- real files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(REAL.glob("*.dpx")) if REAL.is_dir() else [], ids=lambda path: path.stem)
def test_real_files_come_back_byte_for_byte(path, tmp_path):
    """What they hold is in test_flavours.py."""
    data = path.read_bytes()
    if naive.dpx_read(data) is None:
        pytest.skip("no DPX that can be read")
    header = fastup.read_header(path)
    frame = fastup.read(path, "float32" if header.white is None else "uint16")
    if header.number_elements > 1:
        with pytest.raises(DpxError, match="2 elements"):
            fastup.write(tmp_path / "copy.dpx", frame, header)
        header = header.only(0)
        fastup.write(tmp_path / "copy.dpx", frame, header)
        np.testing.assert_array_equal(fastup.read(tmp_path / "copy.dpx"), frame)
        return
    fastup.write(tmp_path / "copy.dpx", frame, header)
    copy = (tmp_path / "copy.dpx").read_bytes()
    if "imagemagick" in path.name:  # which leaves something in the spare bits
        assert copy[: len(header.raw)] == header.raw
        np.testing.assert_array_equal(naive.dpx_read(copy), frame)
    else:
        assert copy == data[: len(copy)]  # but for what follows the pixels


# -- memory of large frames --------------------------------------------------------------------------------------------


def large_files(folder, heights):
    """Files of 1920 pixels' width, each of one code, its number."""
    paths = [folder / f"{n}.dpx" for n, _ in enumerate(heights)]
    for n, height in enumerate(heights):
        fastup.write(paths[n], np.full((height, 1920, 3), n, np.uint16), fsync=False)
    return paths


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_large_frames_never_share_memory_while_they_are_seen(tmp_path, dtype):
    paths = large_files(tmp_path, [1080] * 4)
    seen = fastup.read(paths[0], dtype)[100:200, ::2, 1]  # a view keeps its frame
    expected = seen.copy()
    first, second = fastup.read(paths[1], dtype), fastup.read(paths[2], dtype)
    address = first.ctypes.data
    del first
    third = fastup.read(paths[3], dtype)
    assert third.ctypes.data == address  # what was let go is used again
    assert not np.shares_memory(second, third)
    assert not np.shares_memory(seen, third)
    white = 1 if dtype == "uint16" else np.float32(1023)
    for frame, code in ((second, 2), (third, 3)):
        np.testing.assert_array_equal(frame, np.full((1080, 1920, 3), code, np.uint16).astype(dtype) / white)
    np.testing.assert_array_equal(seen, expected)
    assert third.flags.writeable
    assert third.flags.aligned
    assert third.flags.c_contiguous


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts what /proc knows")
@pytest.mark.parametrize(
    "read", ["[fastup.read(path) for path in paths]", "[frame for _, frame in fastup.stream(paths)]"]
)
def test_little_memory_is_kept(tmp_path, read):
    """Of ten frames of 12 MB that are let go, two stay."""
    code = f"""
import gc, resource, sys, fastup
def used():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()
paths = sys.argv[1:]
before = used()
frames = {read}
full = used() - before
frames.clear()
gc.collect()
print(full, used() - before)
"""
    paths = large_files(tmp_path, [1080] * 10)
    run = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True, check=True)
    full, kept = (int(number) / (1080 * 1920 * 6) for number in run.stdout.split())
    assert full > 9.5
    assert kept < 5  # with what huge pages hold beyond a frame, the modules, and what sanitizers add


def test_frames_of_changing_sizes_get_memory_of_their_own_size(tmp_path):
    heights = (900, 1900, 900, 1400, 1900, 900)
    paths = large_files(tmp_path, heights)
    for _ in range(3):
        for number, path in enumerate(paths):
            frame = fastup.read(path)
            assert frame.shape == (heights[number], 1920, 3)
            assert (frame == number).all()


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="counts what /proc knows")
def test_no_memory_for_a_frame_leaves_nothing_behind(tmp_path):
    code = """
import resource, sys, fastup
fastup.read(sys.argv[2])
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + (30 << 20), resource.RLIM_INFINITY))
for _ in range(5):
    for read in (fastup.read, lambda path: next(fastup.stream([path], threads=1))):
        try:
            read(sys.argv[1])
        except OSError as error:
            assert error.filename == sys.argv[1] and "Cannot allocate" in str(error), error
        else:
            raise AssertionError("there was memory")
    assert fastup.read(sys.argv[2]).shape == (1080, 1920, 3)
"""
    paths = large_files(tmp_path, [8000, 1080])
    subprocess.run([sys.executable, "-c", code, *paths], check=True)
