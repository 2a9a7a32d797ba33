"""The DPX header: where each value lies, what comes back, and what a change leaves alone."""

import json
import struct
from fractions import Fraction

import naive
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import fastup
from fastup.errors import DpxError
from fastup.header import DTYPE_BIG, DTYPE_LITTLE, Header

SHARED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MAGIC = {">": b"SDPX", "<": b"XPDS"}
ONES = 0xFFFFFFFF

# SMPTE 268M: what lies where, and how many bytes it takes.
PLACES = {
    ("file", "magic"): (0, 4), ("file", "image_offset"): (4, 4), ("file", "version"): (8, 8),
    ("file", "file_size"): (16, 4), ("file", "ditto_key"): (20, 4), ("file", "generic_size"): (24, 4),
    ("file", "industry_size"): (28, 4), ("file", "user_size"): (32, 4), ("file", "file_name"): (36, 100),
    ("file", "create_time"): (136, 24), ("file", "creator"): (160, 100), ("file", "project"): (260, 200),
    ("file", "copyright"): (460, 200), ("file", "encryption_key"): (660, 4),
    ("image", "orientation"): (768, 2), ("image", "number_elements"): (770, 2), ("image", "width"): (772, 4),
    ("image", "height"): (776, 4), ("image", "element"): (780, 576),
    ("source", "x_offset"): (1408, 4), ("source", "y_offset"): (1412, 4), ("source", "x_center"): (1416, 4),
    ("source", "y_center"): (1420, 4), ("source", "x_original_size"): (1424, 4),
    ("source", "y_original_size"): (1428, 4), ("source", "file_name"): (1432, 100),
    ("source", "create_time"): (1532, 24), ("source", "input_device"): (1556, 32),
    ("source", "input_serial_number"): (1588, 32), ("source", "border"): (1620, 8),
    ("source", "pixel_aspect"): (1628, 8),
    ("film", "manufacturer_id"): (1664, 2), ("film", "film_type"): (1666, 2), ("film", "offset"): (1668, 2),
    ("film", "prefix"): (1670, 6), ("film", "count"): (1676, 4), ("film", "format"): (1680, 32),
    ("film", "frame_position"): (1712, 4), ("film", "sequence_length"): (1716, 4), ("film", "held_count"): (1720, 4),
    ("film", "frame_rate"): (1724, 4), ("film", "shutter_angle"): (1728, 4), ("film", "frame_id"): (1732, 32),
    ("film", "slate"): (1764, 100),
    ("television", "timecode"): (1920, 4), ("television", "user_bits"): (1924, 4),
    ("television", "interlace"): (1928, 1), ("television", "field_number"): (1929, 1),
    ("television", "video_signal"): (1930, 1), ("television", "horizontal_rate"): (1932, 4),
    ("television", "vertical_rate"): (1936, 4), ("television", "frame_rate"): (1940, 4),
    ("television", "time_offset"): (1944, 4), ("television", "gamma"): (1948, 4),
    ("television", "black_level"): (1952, 4), ("television", "black_gain"): (1956, 4),
    ("television", "break_point"): (1960, 4), ("television", "white_level"): (1964, 4),
    ("television", "integration_time"): (1968, 4),
}  # fmt: skip
ELEMENT = {
    "data_sign": (0, 4), "low_code": (4, 4), "low_quantity": (8, 4), "high_code": (12, 4), "high_quantity": (16, 4),
    "descriptor": (20, 1), "transfer": (21, 1), "colorimetric": (22, 1), "bits": (23, 1), "packing": (24, 2),
    "encoding": (26, 2), "data_offset": (28, 4), "line_padding": (32, 4), "image_padding": (36, 4),
    "description": (40, 32),
}  # fmt: skip
# The bytes that `replace` may touch.
TOUCHED = {
    "width": [(772, 4)], "height": [(776, 4)], "file_size": [(16, 4)], "pixel_aspect": [(1628, 8)],
    "transfer": [(801, 1)], "colorimetric": [(802, 1)],
    "frame_position": [(1712, 4)], "frame_rate": [(1724, 4), (1940, 4)], "timecode": [(1920, 4)],
}  # fmt: skip


def header(order=">", length=2048, fill=b"\xff", **places):
    """A header filled with `fill`, with values put at byte positions: at_1712=("I", 7)."""
    raw = bytearray((fill * (length // len(fill) + 1))[:length])
    raw[:4] = MAGIC[order]
    for place, (code, *values) in places.items():
        struct.pack_into(order + code, raw, int(place.removeprefix("at_")), *values)
    return Header(bytes(raw))


def differences(a, b):
    assert len(a) == len(b)
    return {at for at in range(len(a)) if a[at] != b[at]}


@pytest.mark.parametrize("dtype", [DTYPE_BIG, DTYPE_LITTLE])
def test_everything_lies_where_the_standard_says(dtype):
    assert dtype.itemsize == 2048
    found = {}
    for section in dtype.names:
        part, start = dtype.fields[section][:2]
        for name in part.names:
            if name not in ("reserved", "padding"):
                field, at = part.fields[name][:2]
                found[section, name] = (start + at, field.itemsize)
    assert found == PLACES
    element = dtype["image"]["element"]
    assert element.shape == (8,)
    assert element.base.itemsize == 72
    assert {name: (at, field.itemsize) for name, (field, at) in element.base.fields.items()} == ELEMENT


@pytest.mark.parametrize("order", MAGIC)
def test_numbers_are_of_the_files_byte_order(order):
    changed = header(
        order, at_772=("I", 720), at_776=("I", 486), at_803=("B", 10), at_800=("B", 50), at_808=("I", 8192),
        at_812=("I", 12), at_1628=("II", 8, 9), at_1712=("I", 4711), at_1724=("f", 24.0), at_1940=("f", 23.976),
        at_1920=("I", 0x01020304), at_1624=("H", 0x1234), at_780=("I", 1),
    )  # fmt: skip
    assert changed.big_endian is (order == ">")
    assert (changed.width, changed.height, changed.channels, changed.bits, changed.white) == (720, 486, 3, 10, 1023)
    assert (changed.pixel_offset, changed.line_padding) == (8192, 12)
    assert changed.pixel_aspect == Fraction(8, 9)
    assert changed.frame_position == 4711
    assert changed.frame_rate == np.float32(23.976)
    assert changed.timecode == "01:02:03:04"
    assert changed.fields["source"]["border"].tolist() == [0xFFFF, 0xFFFF, 0x1234, 0xFFFF]
    assert changed.fields["image"]["element"]["data_sign"].tolist() == [1] + [ONES] * 7


@given(st.sampled_from([b"SDPX", b"XPDS"]), st.binary(min_size=1660, max_size=2600))
@settings(SHARED, max_examples=300)
def test_any_header_comes_back_and_can_be_told(magic, rest):
    raw = magic + rest
    one = Header(raw)
    assert one.raw == raw
    end = 2048 if len(raw) >= 2048 else 1920 if len(raw) >= 1920 else 1664
    assert one.fields.tobytes() == raw[:end] + b"\xff" * (2048 - end)
    assert one.replace() == one
    assert hash(one.replace()) == hash(one)
    assert one == Header(one.raw)
    assert one != Header(magic + bytes([rest[0] ^ 1]) + rest[1:])
    rows = one.summary(12345)
    assert all(type(name) is type(text) is str and text for name, text in rows)
    told = json.loads(json.dumps(one.to_dict(), allow_nan=False))
    assert list(told) == ["file", "image", "source", "film", "television"]
    assert 1 <= len(told["image"]["element"]) <= 8
    assert repr(one).startswith("<Header ")
    for value in (one.width, one.height, one.channels, one.bits, one.white, one.pixel_offset, one.line_padding):
        assert type(value) is int
    assert one.pixel_aspect is None or isinstance(one.pixel_aspect, Fraction)
    assert one.frame_rate is None or np.isfinite(one.frame_rate)


values = {
    "width": st.integers(1, ONES - 1),
    "height": st.integers(1, ONES - 1),
    "file_size": st.integers(0, ONES),
    "pixel_aspect": st.none() | st.builds(Fraction, st.integers(1, 2**32 - 2), st.integers(1, 2**32 - 2)),
    "frame_position": st.none() | st.integers(0, ONES - 1),
    "transfer": st.none() | st.integers(0, 254),
    "colorimetric": st.none() | st.integers(0, 254),
    "frame_rate": st.none() | st.floats(2.0**-10, 10000, width=32),
    "timecode": st.none()
    | st.integers(0, 99999999).map(lambda n: ":".join(f"{n:08}"[i : i + 2] for i in (0, 2, 4, 6))),
}


@given(
    st.sampled_from([b"SDPX", b"XPDS"]),
    st.binary(min_size=2044, max_size=2300),
    st.sets(st.sampled_from(sorted(values))).flatmap(
        lambda names: st.fixed_dictionaries({n: values[n] for n in names})
    ),
)
@settings(SHARED, max_examples=300)
def test_replace_changes_nothing_but_what_is_asked(magic, rest, asked):
    old = Header(magic + rest)
    new = old.replace(**asked)
    allowed = {at for name in asked for start, size in TOUCHED[name] for at in range(start, start + size)}
    assert differences(old.raw, new.raw) <= allowed
    assert old.raw == magic + rest
    for name, value in asked.items():
        if name == "file_size":
            assert new.fields["file"]["file_size"] == value
        else:
            assert getattr(new, name) == value
    assert new.replace(**asked) == new


@pytest.mark.parametrize("order", MAGIC)
def test_undefined_is_all_ones(order):
    undefined = {"pixel_aspect": None, "frame_position": None, "frame_rate": None, "timecode": None}
    new = header(order, fill=b"\x11").replace(**undefined)
    for name in undefined:
        for start, size in TOUCHED[name]:
            assert new.raw[start : start + size] == b"\xff" * size
        assert getattr(new, name) is None
    assert differences(new.raw, header(order, fill=b"\x11").raw) == {
        at for name in undefined for start, size in TOUCHED[name] for at in range(start, start + size)
    }


@pytest.mark.parametrize("name", ["no_such", "raw", "timecodes", "bits", "magic"])
def test_replace_knows_its_names(name):
    with pytest.raises(TypeError, match=name):
        header().replace(**{name: 1})


@pytest.mark.parametrize(
    "asked",
    [
        {"width": -1}, {"width": 2**32}, {"height": -1}, {"file_size": 2**32}, {"frame_position": -1},
        {"frame_position": 2**32}, {"width": "wide"}, {"frame_rate": "fast"}, {"pixel_aspect": Fraction(2**33, 3)},
        {"pixel_aspect": Fraction(-1, 2)}, {"pixel_aspect": "1:2"}, {"timecode": "1:2:3:4"}, {"timecode": "01:02:03"},
        {"timecode": "01:02:03:0a"}, {"timecode": "01020304"}, {"timecode": "01:02:03:04:05"}, {"timecode": ""},
        {"timecode": "\u0660\u0661:02:03:04"}, {"timecode": "-1:02:03:04"}, {"timecode": "01;02;03;04"},
    ],
)  # fmt: skip
def test_replace_refuses_what_does_not_fit(asked):
    with pytest.raises((ValueError, OverflowError, TypeError)):
        header().replace(**asked)


# -- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bcd", "text"),
    [
        (0, "00:00:00:00"), (0x01020304, "01:02:03:04"), (0x23595929, "23:59:59:29"), (0x99999999, "99:99:99:99"),
        (ONES, None), (0x0102030A, None), (0xA1020304, None), (0x00F00000, None), (0x10000000, "10:00:00:00"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("order", MAGIC)
def test_timecode(order, bcd, text):
    one = header(order, at_1920=("I", bcd))
    assert one.timecode == text
    assert one.to_dict()["television"]["timecode"] == text
    assert ("timecode" in dict(one.summary(0))) is (text is not None)
    if text is not None:
        again = header(order).replace(timecode=text)
        assert struct.unpack_from(order + "I", again.raw, 1920) == (bcd,)


@pytest.mark.parametrize(
    ("pair", "aspect"),
    [
        ((1, 1), Fraction(1)), ((8, 9), Fraction(8, 9)), ((9, 8), Fraction(9, 8)), ((16, 18), Fraction(8, 9)),
        ((0, 0), None), ((0, 5), None), ((5, 0), None), ((ONES, ONES), None), ((ONES, 1), None), ((1, ONES), None),
        ((ONES - 1, 1), Fraction(ONES - 1)),
    ],
)  # fmt: skip
def test_pixel_aspect(pair, aspect):
    assert header(at_1628=("II", *pair)).pixel_aspect == aspect


def test_pixel_aspect_is_kept_as_it_was():
    """10/11 stays 10/11, and not a decimal fraction of it."""
    new = header().replace(pixel_aspect=Fraction(10, 11))
    assert struct.unpack_from(">II", new.raw, 1628) == (10, 11)
    assert dict(new.replace(width=720, height=486).summary(0))["pixel aspect"].startswith("10:11, ")
    same = header(at_1628=("II", 20, 22))
    assert struct.unpack_from(">II", same.replace(width=3).raw, 1628) == (20, 22)


UNDEFINED = struct.unpack("f", b"\xff" * 4)[0]


@pytest.mark.parametrize(
    ("television", "film", "rate"),
    [
        (25.0, 24.0, 25.0), (0.0, 24.0, 24.0), (float("nan"), 24.0, 24.0), (float("inf"), 24.0, 24.0),
        (25.0, float("nan"), 25.0), (0.0, 0.0, None), (0.0, float("nan"), None), (float("nan"), 0.0, None),
        (float("nan"), float("-inf"), None),
    ],
)  # fmt: skip
def test_frame_rate(television, film, rate):
    assert header(at_1940=("f", television), at_1724=("f", film)).frame_rate == rate
    assert header().frame_rate is None
    assert header(at_1940=("f", television)).frame_rate == (television if television == 25 else None)
    assert header(at_1724=("f", film)).frame_rate == (film if film == 24 else None)


@pytest.mark.parametrize(("number", "position"), [(0, 0), (1, 1), (ONES - 1, ONES - 1), (ONES, None)])
def test_frame_position(number, position):
    assert header(at_1712=("I", number)).frame_position == position


@pytest.mark.parametrize(("number", "padding"), [(0, 0), (1, 1), (ONES - 1, ONES - 1), (ONES, 0)])
def test_line_padding(number, padding):
    assert header(at_812=("I", number)).line_padding == padding


@pytest.mark.parametrize(
    ("image", "own", "offset"),
    [(2048, 0, 2048), (2048, ONES, 2048), (2048, 3000, 3000), (8192, 2048, 2048), (0, 0, 0), (ONES, ONES, ONES)],
)
def test_pixel_offset(image, own, offset):
    assert header(at_4=("I", image), at_808=("I", own)).pixel_offset == offset


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"plain", "plain"), (b"", None), (b"\0hidden", None), (b"\xff" * 100, None), (b"a" * 100, "a" * 100),
        (b"ends\0garbage", "ends"), ("Zoë".encode(), "Zoë"), ("Zoë".encode("latin-1"), "Zoë"),
        (b"no terminator" + b"\xff" * 87, "no terminator"), (b"\x80\x81", "\x80\x81"), (b" spaced ", " spaced "),
    ],
)  # fmt: skip
def test_texts(raw, text):
    one = header(at_160=("100s", raw))
    assert one.to_dict()["file"]["creator"] == text
    if not text or text.isprintable():
        assert dict(one.summary(0)).get("creator") == text
    assert one.raw[160:260] == raw.ljust(100, b"\0")


def test_a_text_is_one_line_on_a_terminal():
    """Whatever a file holds, the summary neither breaks the table nor speaks to the terminal."""
    one = header(at_160=("100s", b"a\nb\r\x1b[31mred\x07\x9b1m"), at_260=("200s", "\x9b2J\u2028x\u202e".encode()))
    for _, text in one.summary(0):
        assert text.isprintable()


@pytest.mark.parametrize(
    ("descriptor", "channels"),
    [
        (0, 1),
        (1, 1),
        (4, 1),
        (6, 1),
        (50, 3),
        (51, 4),
        (52, 4),
        (100, 2),
        (101, 3),
        (102, 3),
        (103, 4),
        (200, 1),
        (255, 1),
    ],
)
def test_channels(descriptor, channels):
    assert header(at_800=("B", descriptor)).channels == channels


def test_summary_says_what_a_person_wants_to_know():
    one = header(
        "<", length=8192, at_16=("I", 8192 + 720 * 480 * 4), at_768=("HHII", 0, 1, 720, 480), at_784=("I", 95),
        at_792=("I", 685), at_800=("BBBBHHI", 50, 3, 255, 10, 1, 0, 8192), at_1628=("II", 9, 8),
        at_1920=("I", 0x01000000), at_1940=("f", 23.976),
    )  # fmt: skip
    rows = dict(one.summary(8192 + 720 * 480 * 4))
    assert rows == {
        "file": "1,390,592 bytes",
        "byte order": "little-endian",
        "picture": "720x480, 10-bit RGB, method A, from byte 8192",
        "pixel aspect": "9:8, so that the picture is 1.688:1",
        "transfer": "3 (logarithmic)",
        "low, high code": "95, 685",
        "timecode": "01:00:00:00",
        "frame rate": "23.976 frames/s",
        "user data": "6,144 bytes",
    }
    assert dict(one.summary(5))["file"] == "5 bytes (the header says 1,390,592)"


def test_to_dict_has_no_undefined_values():
    told = header("<").to_dict()
    assert told["film"] == dict.fromkeys(told["film"])
    assert told["television"] == dict.fromkeys(told["television"])
    assert len(told["image"]["element"]) == 8  # their number is undefined
    assert told["file"]["magic"] == "XPDS"


# -- short headers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fill", [b"\x11", b"\0", bytes(range(1, 200))])
@pytest.mark.parametrize("length", [1664, 1665, 1700, 1716, 1728, 1800, 1919])
def test_a_film_section_that_is_cut_off_is_none(length, fill):
    """Between 1664 and the pixels there may be anything, but no film section unless all of it fits."""
    one = header(length=length, fill=fill)
    assert (one.frame_position, one.frame_rate, one.timecode) == (None, None, None)
    assert one.to_dict()["film"] == dict.fromkeys(one.to_dict()["film"])
    assert one.raw == header(length=length, fill=fill).raw
    assert len(one.replace(width=5).raw) == length
    assert differences(one.raw, one.replace(width=5).raw) <= set(range(772, 776))


@pytest.mark.parametrize("length", [1920, 1921, 1924, 1944, 2000, 2047])
def test_a_television_section_that_is_cut_off_is_none(length):
    one = header(length=length, fill=b"\x11")
    assert one.frame_position == 0x11111111
    assert one.frame_rate == struct.unpack(">f", b"\x11" * 4)[0]  # the film's
    assert one.timecode is None
    new = one.replace(frame_position=3, timecode=None)
    assert differences(one.raw, new.raw) <= set(range(1712, 1716))


@pytest.mark.parametrize(
    ("length", "asked"),
    [
        (1664, {"timecode": "01:02:03:04"}), (1664, {"frame_position": 3}), (1664, {"frame_rate": 24}),
        (1716, {"frame_position": 3}), (1920, {"timecode": "01:02:03:04"}), (1924, {"timecode": "01:02:03:04"}),
    ],
)  # fmt: skip
def test_no_room_in_a_short_header(length, asked):
    one = header(length=length)
    with pytest.raises(DpxError, match=f"header has {length} bytes and no room for {next(iter(asked))}$"):
        one.replace(width=5, **asked, height=4)
    undefined = one.replace(**dict.fromkeys(asked), width=6, file_size=9)
    assert (undefined.width, len(undefined.raw)) == (6, length)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("width", 0), ("height", 2**32), ("width", 2**32 - 1), ("file_size", 2**32), ("frame_position", -1),
        ("frame_position", 2**32 - 1), ("pixel_aspect", Fraction(1, 2**32)), ("pixel_aspect", -1), ("pixel_aspect", 0),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_its_field(name, value):
    with pytest.raises(ValueError, match=f"{name} is -?[0-9]+, expected"):
        Header.new(4, 3).replace(**{name: value})


def test_a_float_for_pixel_aspect_means_the_simple_fraction():
    assert Header.new(4, 3, pixel_aspect=0.9).pixel_aspect == Fraction(9, 10)
    assert Header.new(4, 3, pixel_aspect=8 / 9).pixel_aspect == Fraction(8, 9)


@pytest.mark.parametrize("length", [0, 3, 4, 768, 1663])
@pytest.mark.parametrize("magic", MAGIC.values())
def test_too_short_a_header(length, magic, tmp_path):
    raw = (magic + bytes(2000))[:length]
    for call in (Header, lambda raw: fastup.read_header(tmp_path / "f.dpx")):
        (tmp_path / "f.dpx").write_bytes(raw)
        with pytest.raises(DpxError, match=f"cut short: {length} bytes, expected 1664"):
            call(raw)


# -- from files ------------------------------------------------------------------------------------------------------


@given(
    st.sampled_from(["big", "little"]),
    st.sampled_from([(0, "own"), (ONES, "own"), (0, "image")]),
    st.integers(1664, 5000),
    st.binary(min_size=1, max_size=5000),
    st.integers(0, 100),
)
@example("big", (0, "own"), 2048, b"\xff", 0)
@settings(SHARED, max_examples=100)
def test_read_header_takes_everything_before_the_pixels(tmp_path, order, other, offset, fill, more):
    value, kind = other
    image, own = (value, offset) if kind == "own" else (offset, value)
    raw = naive.dpx_header(6, 5, order, offset if kind == "image" else 1664, own, fill=fill)
    raw = raw[:4] + image.to_bytes(4, order) + raw[8:]
    (tmp_path / "f.dpx").write_bytes(raw + bytes(more))
    assert fastup.read_header(tmp_path / "f.dpx").raw == raw


@pytest.mark.parametrize(("at", "field"), [(4, r"image offset \(byte 4\)"), (808, r"data offset \(byte 808\)")])
@pytest.mark.parametrize("offset", [2129, 5000, 2**31, ONES - 1])
def test_an_offset_beyond_the_file(tmp_path, at, field, offset):
    raw = bytearray(naive.dpx_header(4, 5, own_offset=0) + bytes(80))
    struct.pack_into(">I", raw, at, offset)
    (tmp_path / "f.dpx").write_bytes(raw)
    with pytest.raises(DpxError, match=rf"f\.dpx: {field} is {offset}, expected one within the file of 2128 bytes"):
        fastup.read_header(tmp_path / "f.dpx")


def test_a_header_does_not_change():
    one = header()
    with pytest.raises(ValueError, match="read-only"):
        one.fields["image"]["width"] = 5
    with pytest.raises(ValueError, match="read-only"):
        one.fields["image"]["element"]["bits"][0] = 5
    with pytest.raises(AttributeError):
        one.width = 5
    assert one.fields["source"].dtype.names[0] == "x_offset"


@pytest.mark.parametrize("big_endian", [True, False])
def test_a_new_header(big_endian):
    new = Header.new(
        720, 480, big_endian=big_endian, timecode="01:02:03:04", frame_rate=25, pixel_aspect=Fraction(8, 9)
    )
    assert len(new.raw) == new.pixel_offset == 2048
    assert new.big_endian is big_endian
    assert (new.width, new.height, new.channels, new.bits, new.white, new.line_padding) == (720, 480, 3, 10, 1023, 0)
    assert (new.timecode, new.frame_rate, new.pixel_aspect) == ("01:02:03:04", 25, Fraction(8, 9))
    assert new.frame_position is None
    assert new.raw[8:13] == b"V2.0\0"
    for start, size in [(660, 4), (1408, 8), (1424, 8), (1620, 8), (1712, 12), (1928, 3), (1948, 4)]:
        assert new.raw[start : start + size] == b"\xff" * size
    # The eight elements: one, and seven that say nothing.
    assert new.fields["image"]["element"]["descriptor"].tolist() == [50] + [255] * 7
    assert naive.dpx_read(new.raw + bytes(720 * 480 * 4)).shape == (480, 720, 3)
    assert new.to_dict()["file"]["creator"] == "fastup"
