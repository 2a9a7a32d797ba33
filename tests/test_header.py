"""The DPX header: where each value lies, what comes back, and what a change leaves alone."""

import copy
import itertools
import json
import pickle
import re
import struct
import tracemalloc
from fractions import Fraction

import naive
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import fastup
from fastup import _dpx, frames
from fastup.codes import Colorimetric, Descriptor, Orientation, Packing, Timecode, Transfer
from fastup.errors import DpxError
from fastup.header import DTYPE_BIG, DTYPE_LITTLE, FIELDS, Element, Header
from fastup.summary import summary

SHARED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
MAGIC = {">": b"SDPX", "<": b"XPDS"}
ONES = 0xFFFFFFFF

# SMPTE 268M: what lies where, and as what: struct's letters, or the bytes of a text.
PLACES = {
    "file": {
        "magic": (0, "4s"), "image_offset": (4, "I"), "version": (8, "8s"), "file_size": (16, "I"),
        "ditto_key": (20, "I"), "generic_size": (24, "I"), "industry_size": (28, "I"), "user_size": (32, "I"),
        "file_name": (36, "100s"), "create_time": (136, "24s"), "creator": (160, "100s"), "project": (260, "200s"),
        "copyright": (460, "200s"), "encryption_key": (660, "I"),
    },
    "image": {"orientation": (768, "H"), "number_elements": (770, "H"), "width": (772, "I"), "height": (776, "I")},
    "element": {
        "data_sign": (780, "I"), "low_code": (784, "I"), "low_quantity": (788, "f"), "high_code": (792, "I"),
        "high_quantity": (796, "f"), "descriptor": (800, "B"), "transfer": (801, "B"), "colorimetric": (802, "B"),
        "bits": (803, "B"), "packing": (804, "H"), "encoding": (806, "H"), "data_offset": (808, "I"),
        "line_padding": (812, "I"), "image_padding": (816, "I"), "description": (820, "32s"),
    },
    "source": {
        "x_offset": (1408, "I"), "y_offset": (1412, "I"), "x_center": (1416, "f"), "y_center": (1420, "f"),
        "x_original_size": (1424, "I"), "y_original_size": (1428, "I"), "source_file_name": (1432, "100s"),
        "source_create_time": (1532, "24s"), "input_device": (1556, "32s"), "input_serial_number": (1588, "32s"),
        "border": (1620, "4H"), "pixel_aspect": (1628, "2I"),
    },
    "film": {
        "film_manufacturer_id": (1664, "2s"), "film_type": (1666, "2s"), "film_offset": (1668, "2s"),
        "film_prefix": (1670, "6s"), "film_count": (1676, "4s"), "film_format": (1680, "32s"),
        "frame_position": (1712, "I"), "sequence_length": (1716, "I"), "held_count": (1720, "I"),
        "film_frame_rate": (1724, "f"), "shutter_angle": (1728, "f"), "frame_id": (1732, "32s"),
        "slate": (1764, "100s"),
    },
    "television": {
        "timecode": (1920, "I"), "user_bits": (1924, "I"), "interlace": (1928, "B"), "field_number": (1929, "B"),
        "video_signal": (1930, "B"), "horizontal_rate": (1932, "f"), "vertical_rate": (1936, "f"),
        "television_frame_rate": (1940, "f"), "time_offset": (1944, "f"), "gamma": (1948, "f"),
        "black_level": (1952, "f"), "black_gain": (1956, "f"), "break_point": (1960, "f"), "white_level": (1964, "f"),
        "integration_time": (1968, "f"),
    },
}  # fmt: skip
ALL = {name: place for part in PLACES.values() for name, place in part.items()}
ELEMENT = PLACES["element"]
# What says where things are: not to be replaced.
FIXED = {"magic", "image_offset", "generic_size", "industry_size", "user_size", "data_offset"}
SETTABLE = sorted(ALL.keys() - FIXED)
# The bytes that `replace` may touch.
TOUCHED = {name: [(at, struct.calcsize(f">{kind}"))] for name, (at, kind) in ALL.items()} | {
    "frame_rate": [(1724, 4), (1940, 4)]
}


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


def touched(*names):
    return {at for name in names for start, size in TOUCHED[name] for at in range(start, start + size)}


@pytest.mark.parametrize("dtype", [DTYPE_BIG, DTYPE_LITTLE])
def test_everything_lies_where_the_standard_says(dtype):
    assert dtype.itemsize == 2048
    element = dtype["image"]["element"]
    assert element.shape == (8,)
    assert element.base.itemsize == 72
    parts = [(name, dtype[name], dtype.fields[name][1]) for name in dtype.names] + [("element", element.base, 780)]
    for section, part, start in parts:
        found = {name: (start + at, field.itemsize) for name, (field, at) in part.fields.items()}
        expected = {name: (at, struct.calcsize(f">{kind}")) for name, (at, kind) in PLACES[section].items()}
        assert {name: place for name, place in found.items() if name in expected} == expected
        assert found.keys() - expected.keys() <= {"reserved", "_padding", "element"}
    assert list(FIELDS) == list(ALL)
    assert Element._fields == tuple(PLACES["element"])


@pytest.mark.parametrize("name", ALL)
def test_every_field_is_a_property_that_says_what_it_is(name):
    assert isinstance(getattr(Header, name), property)
    text = getattr(Header, name).__doc__
    assert text.endswith(".")
    assert "\n" not in text


# -- codes -----------------------------------------------------------------------------------------------------------

CODES = {
    Descriptor: {
        "USER_DEFINED": 0, "RED": 1, "GREEN": 2, "BLUE": 3, "ALPHA": 4, "LUMA": 6, "CHROMA": 7, "DEPTH": 8,
        "COMPOSITE": 9, "RGB": 50, "RGBA": 51, "ABGR": 52, "CBYCRY": 100, "CBYACRYA": 101, "CBYCR": 102, "CBYCRA": 103,
        "USER_2": 150, "USER_3": 151, "USER_4": 152, "USER_5": 153, "USER_6": 154, "USER_7": 155, "USER_8": 156,
    },
    Transfer: {
        "USER_DEFINED": 0, "PRINTING_DENSITY": 1, "LINEAR": 2, "LOGARITHMIC": 3, "VIDEO": 4, "SMPTE_274M": 5,
        "REC_709": 6, "REC_601_625": 7, "REC_601_525": 8, "NTSC": 9, "PAL": 10, "Z_LINEAR": 11, "Z_HOMOGENEOUS": 12,
        "ADX": 13,
    },
    Colorimetric: {
        "USER_DEFINED": 0, "PRINTING_DENSITY": 1, "VIDEO": 4, "SMPTE_274M": 5, "REC_709": 6, "REC_601_625": 7,
        "REC_601_525": 8, "NTSC": 9, "PAL": 10, "ADX": 13,
    },
    Packing: {"PACKED": 0, "METHOD_A": 1, "METHOD_B": 2},
    Orientation: {
        "LEFT_TO_RIGHT_TOP_TO_BOTTOM": 0, "RIGHT_TO_LEFT_TOP_TO_BOTTOM": 1, "LEFT_TO_RIGHT_BOTTOM_TO_TOP": 2,
        "RIGHT_TO_LEFT_BOTTOM_TO_TOP": 3, "TOP_TO_BOTTOM_LEFT_TO_RIGHT": 4, "TOP_TO_BOTTOM_RIGHT_TO_LEFT": 5,
        "BOTTOM_TO_TOP_LEFT_TO_RIGHT": 6, "BOTTOM_TO_TOP_RIGHT_TO_LEFT": 7,
    },
}  # fmt: skip


@pytest.mark.parametrize("codes", CODES)
def test_codes_are_numbers_with_names_and_words(codes):
    name = codes.__name__.lower()
    size = 65536 if name in ("packing", "orientation") else 256
    assert {member.name: member.value for member in codes} == CODES[codes]
    for member in codes:
        for given_as in (member, int(member), member.name, member.name.lower(), member.name.replace("_", " ")):
            new = header(fill=b"\x11").replace(**{name: given_as})
            assert getattr(new, name) is member
            assert differences(new.raw, header(fill=b"\x11").raw) <= touched(name)
        assert member.text
        assert json.dumps(member) == f"{member}" == str(member.value)
        assert pickle.loads(pickle.dumps(member)) is member
        assert member.text in dict(summary(header().replace(**{name: member}), 0)).get(name, member.text)
    # Codes that the standard doesn't have come back as they are.
    for other in {*range(size - 1)} - {*map(int, codes)}:
        if other < 300 or other == size - 2:
            value = getattr(header().replace(**{name: other}), name)
            assert type(value) is int
            assert value == other
    assert getattr(header().replace(**{name: None}), name) is None
    with pytest.raises(ValueError, match=rf"{name} is 'CMYK', expected a code or one of {codes(0).name}, "):
        header().replace(**{name: "CMYK"})


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
    assert changed.film_frame_rate == 24
    assert changed.timecode == "01:02:03:04"
    assert changed.border == (None, None, 0x1234, None)
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
    rows = summary(one, 12345)
    assert all(type(name) is type(text) is str and text for name, text in rows)
    told = json.loads(json.dumps(one.to_dict(), allow_nan=False))
    assert list(told) == ["file", "image", "source", "film", "television"]
    assert 1 <= len(told["image"]["element"]) == len(one.elements) <= 8
    assert repr(one).startswith("<Header ")
    for value in (one.channels, one.pixel_offset, one.line_padding):
        assert type(value) is int
    for name in ALL:
        value = getattr(one, name)
        if not value:
            continue
        part = next(told[part] for part, names in PLACES.items() if name in names) if name not in ELEMENT else None
        value = list(value) if isinstance(value, tuple) else value
        value = list(value.as_integer_ratio()) if isinstance(value, Fraction) else value
        stored = told["image"]["element"][0][name] if part is None else part[name]
        assert stored == value or name == "pixel_aspect"  # which is reduced
    assert one.pixel_aspect is None or isinstance(one.pixel_aspect, Fraction)
    assert one.timecode is None or isinstance(one.timecode, Timecode)
    assert one.frame_rate is None or np.isfinite(one.frame_rate)
    assert one.white is None or one.white == 2**one.bits - 1
    assert one.user_data == raw[2048:]
    assert one.big_endian == (magic == b"SDPX")
    assert one.elements[0] == Element(*(getattr(one, name) for name in Element._fields))


def value_of(name):
    """Values that a field can have, as they come back."""
    _, kind = ALL.get(name, (0, "f"))
    size = struct.calcsize(f">{kind}")
    if kind.endswith("s"):
        letters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
        return st.none() | st.text(letters, min_size=1, max_size=size).filter(lambda text: len(text.encode()) <= size)
    special = {
        "pixel_aspect": st.builds(Fraction, st.integers(1, 2**32 - 2), st.integers(1, 2**32 - 2)),
        "border": st.lists(st.none() | st.integers(0, 2**16 - 2), min_size=4, max_size=4)
        .filter(lambda sides: sides != [None] * 4)
        .map(tuple),
        "timecode": st.builds("{:02}:{:02}:{:02}:{:02}".format, *map(st.integers, [0] * 4, [23, 59, 59, 39])),
        **dict.fromkeys(
            ["frame_rate", "film_frame_rate", "television_frame_rate"], st.floats(2.0**-10, 10000, width=32)
        ),
        "width": st.integers(1, ONES - 1),
        "height": st.integers(1, ONES - 1),
    }
    if name in special:
        return st.none() | special[name]
    if kind == "f":
        return st.none() | st.floats(allow_nan=False, allow_infinity=False, width=32)
    return st.none() | st.integers(0, 2 ** (8 * size) - 2)


@given(
    st.sampled_from([b"SDPX", b"XPDS"]),
    st.binary(min_size=2044, max_size=2300),
    st.sets(st.sampled_from([*SETTABLE, "frame_rate"]), max_size=8).flatmap(
        lambda names: st.fixed_dictionaries({name: value_of(name) for name in names})
    ),
)
@settings(SHARED, max_examples=500)
def test_replace_changes_nothing_but_what_is_asked(magic, rest, asked):
    if "frame_rate" in asked:
        asked = {
            name: value for name, value in asked.items() if name not in ("film_frame_rate", "television_frame_rate")
        }
    old = Header(magic + rest)
    new = old.replace(**asked)
    # See the tests of scaling and of another transfer.
    follow = {"low_code", "high_code", "packing", "black_level", "white_level"} if "bits" in asked else set()
    if "transfer" in asked:
        follow |= {"low_code", "high_code", "low_quantity", "high_quantity"}
    if asked.keys() & {"frame_rate", "film_frame_rate", "television_frame_rate"}:
        follow |= {"timecode"}
    if asked.keys() & {"width", "height", "bits", "descriptor", "packing", "line_padding", "number_elements"}:
        follow |= {"file_size"}
    assert differences(old.raw, new.raw) <= touched(*asked, *follow)
    assert old.raw == magic + rest
    for name, value in asked.items():
        assert getattr(new, name) == (0 if name == "line_padding" and value is None else value)
    assert new.replace(**asked) == new


def test_a_timecode_stays_what_it_is_at_another_rate():
    """It has another form from 48 frames a second on; where there is none, its bytes stay."""
    for rates in [(29.97, 25), (24, 60), (60, 24), (None, 50), (50, None)]:
        for timecode in ("01:02:03:04", "23:59:59:23"):
            one = Header.new(4, 3, frame_rate=rates[0], timecode=timecode)
            assert one.replace(frame_rate=rates[1]).timecode == timecode
    drop = Header.new(4, 3, frame_rate=29.97, timecode="01:02:03;04")
    assert drop.replace(frame_rate=30).timecode == "01:02:03;04"
    assert differences(drop.raw, drop.replace(frame_rate=59.94).raw) <= touched(
        "film_frame_rate", "television_frame_rate"
    )
    assert drop.replace(frame_rate=59.94, timecode="01:02:03:08").timecode == "01:02:03:08"


def test_a_pixel_aspect_is_taken_as_it_is_printed():
    one = Header.new(4, 3)
    for value in ("8:9", (8, 9), [8, 9], Fraction(8, 9), 8 / 9, np.float32(8 / 9)):
        assert abs(one.replace(pixel_aspect=value).pixel_aspect - Fraction(8, 9)) < 1e-7, value
    with pytest.raises(ValueError, match=r"pixel_aspect is '8/9/1', expected a fraction, such as Fraction\(8, 9\)"):
        one.replace(pixel_aspect="8/9/1")


def test_the_file_size_follows_the_pixels():
    """And only where they take more or fewer bytes: a wrong one is kept otherwise."""
    one = Header.new(101, 7)
    assert one.file_size == _dpx.layout(one.raw).end == 2048 + 7 * 404
    for descriptor, bits, packing in itertools.product(
        [1, 6, 8, 50, 51, 52, 100, 101, 102, 103], [1, 8, 10, 12, 16, 32], [0, 1, 2]
    ):
        for width, height, padding in [(1, 1, 0), (2, 3, 0), (101, 7, 5), (64, 2, 4)]:
            new = one.replace(
                descriptor=descriptor, bits=bits, packing=packing, width=width, height=height, line_padding=padding
            )
            assert new.file_size == _dpx.layout(new.raw).end, new
    wrong = one.replace(file_size=5)
    assert wrong.replace(timecode="01:02:03:04", width=101, big_endian=False).file_size == 5
    assert wrong.replace(width=102).file_size == 2048 + 7 * 408
    assert wrong.replace(width=102, file_size=6).file_size == 6
    assert one.replace(width=2**20, height=2**20).file_size is None  # more than the field holds


@pytest.mark.parametrize("name", SETTABLE)
@pytest.mark.parametrize("order", MAGIC)
def test_every_field_is_written_as_the_standard_says(order, name):
    """One value of each, byte by byte; and None is all ones, or no text."""
    at, kind = ALL[name]
    size = struct.calcsize(f">{kind}")
    value, stored = 7, struct.pack(f"{order}{kind[-1]}", 7 if kind[-1] != "s" else b"7")
    if kind.endswith("s"):
        value, stored = "\u00e9", b"\xc3\xa9".ljust(size, b"\0")
    elif name == "timecode":
        value, stored = "12:34:56;07", struct.pack(f"{order}I", 0x12345647)
    elif name == "border":
        value, stored = (1, 2, 3, 258), struct.pack(f"{order}4H", 1, 2, 3, 258)
    elif name == "pixel_aspect":
        value, stored = Fraction(8, 9), struct.pack(f"{order}2I", 8, 9)
    old = header(order, fill=b"\x11").replace(bits=None, television_frame_rate=25)
    new = old.replace(**{name: value})
    assert new.raw == old.raw[:at] + stored + old.raw[at + size :]
    assert getattr(new, name) == value
    if name in ELEMENT:
        assert getattr(new.elements[0], name) == value
    none = old.replace(**{name: None})
    assert none.raw == old.raw[:at] + (b"\0" if kind.endswith("s") else b"\xff") * size + old.raw[at + size :]
    assert getattr(none, name) == (0 if name == "line_padding" else None)


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


@pytest.mark.parametrize(
    "name", ["no_such", "raw", "timecodes", "white", "channels", "elements", "user_data", "pixel_offset", "_padding"]
)
def test_replace_knows_its_names(name):
    with pytest.raises(TypeError, match=f"no value '{name}' to replace"):
        header().replace(**{name: 1})


@pytest.mark.parametrize("name", sorted(FIXED))
def test_where_things_lie_is_not_to_be_replaced(name):
    with pytest.raises(TypeError, match=f"{name} says where things lie in the file and cannot be replaced"):
        header().replace(**{name: 2048})


@pytest.mark.parametrize(
    "asked",
    [
        {"width": -1}, {"width": 2**32}, {"height": -1}, {"file_size": 2**32}, {"frame_position": -1},
        {"frame_position": 2**32}, {"width": "wide"}, {"frame_rate": "fast"}, {"pixel_aspect": Fraction(2**33, 3)},
        {"pixel_aspect": Fraction(-1, 2)}, {"pixel_aspect": "1:0"},
        {"pixel_aspect": "wide"}, {"pixel_aspect": (1, 2, 3)}, {"timecode": "1:2:3:4"}, {"timecode": "01:02:03"},
        {"timecode": "01:02:03:0a"}, {"timecode": "01020304"}, {"timecode": "01:02:03:04:05"}, {"timecode": ""},
        {"timecode": "\u0660\u0661:02:03:04"}, {"timecode": "-1:02:03:04"}, {"timecode": "01;02;03;04"},
        {"timecode": 1020304}, {"gamma": float("nan")}, {"gamma": float("inf")}, {"gamma": 1e39}, {"gamma": "high"},
        {"bits": 255}, {"bits": -1}, {"bits": 8.5},
        {"bits": "12"}, {"bits": 12.0}, {"border": (1, 2, 3)}, {"border": (1, 2, 3, 65535)}, {"border": 5},
        {"creator": 5}, {"creator": b"bytes"}, {"creator": "a\0b"}, {"creator": "\ud800"}, {"width": 5.0},
        {"descriptor": "rgbx"}, {"descriptor": 255}, {"packing": 65535}, {"orientation": "sideways"},
    ],
)  # fmt: skip
def test_replace_refuses_what_does_not_fit(asked):
    with pytest.raises((ValueError, OverflowError, TypeError)):
        header().replace(**asked)


# -- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bcd", "rate", "text"),
    [
        (0, 25, "00:00:00:00"), (0x01020304, 25, "01:02:03:04"), (0x23595929, 30, "23:59:59:29"),
        (0x10000000, None, "10:00:00:00"), (0x01020339, 40, "01:02:03:39"),
        # Drop frame; the colour frame says nothing here.
        (0x01020344, 29.97, "01:02:03;04"), (0x01020384, 29.97, "01:02:03:04"), (0x010203C4, 29.97, "01:02:03;04"),
        (0x01020344, None, "01:02:03;04"), (0x01020379, 25, "01:02:03;39"),
        # No flags at high rates.
        (0x01020344, 50, "01:02:03:44"), (0x01020359, 59.94, "01:02:03:59"), (0x01020304, 48, "01:02:03:04"),
        (0x01020360, 60, None), (0x01020384, 60, None), (0x010203C4, 48, None),
        # No timecodes.
        (ONES, 25, None), (ONES, 50, None), (0x0102030A, 25, None), (0xA1020304, 25, None), (0x00F00000, 25, None),
        (0x24000000, 25, None), (0x00600000, 25, None), (0x00006000, 25, None), (0x99999999, 25, None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("order", MAGIC)
def test_timecode(order, bcd, rate, text):
    places = {} if rate is None else {"at_1940": ("f", rate)}
    one = header(order, at_1920=("I", bcd), **places)
    assert one.timecode == text
    assert one.to_dict()["television"]["timecode"] == text
    assert ("timecode" in dict(summary(one, 0))) is (text is not None)
    if text is not None:
        assert type(one.timecode) is Timecode
        again = header(order).replace(timecode=text, frame_rate=rate)  # whatever comes first
        assert again.timecode == one.timecode
        assert struct.unpack_from(order + "I", again.raw, 1920) == (bcd & ~0x80,)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("01:02:03:04", (1, 2, 3, 4, False)), ("01:02:03;04", (1, 2, 3, 4, True)),
        ("23:59:59:59", (23, 59, 59, 59, False)), ("00:00:00;00", (0, 0, 0, 0, True)),
    ],
)  # fmt: skip
def test_a_timecode_is_text_with_parts(text, numbers):
    one = Timecode(text)
    assert (one.hours, one.minutes, one.seconds, one.frames, one.drop_frame) == numbers
    assert one == text
    assert str(one) == f"{one}" == text
    assert json.dumps(one) == f'"{text}"'
    for other in (Timecode(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert type(other) is Timecode
        assert other == one
    assert fastup.Timecode is Timecode


@pytest.mark.parametrize(
    "text",
    [
        "24:00:00:00", "00:60:00:00", "00:00:60:00", "00:00:00:60", "1:02:03:04", "01:02:03", "01:02:03:04:05", "",
        "01:02:03.04", "01;02;03;04", "01:02;03;04", "01:02:03:0a", "-1:02:03:04", "01:02:03:04\n", " 01:02:03:04",
        "\u0661\u0661:02:03:04",
    ],
)  # fmt: skip
def test_what_is_no_timecode(text):
    with pytest.raises(ValueError, match=r"timecode is '.*', expected hh:mm:ss:ff.*00-23.*00-59.*00-59.*00-59"):
        Timecode(text)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"timecode": "01:02:03:40", "frame_rate": 40}, "39 or less, which is all that fits at 40 frames/s"),
        ({"timecode": "01:02:03:59"}, "39 or less, which is all that fits at an unknown rate"),
        ({"timecode": "01:02:03;04", "frame_rate": 59.94}, r"no drop frame at 59\.94 frames/s"),
        ({"timecode": "00:01:00;00", "frame_rate": 29.97}, "one that drop frame does not leave out: 00:01:00;02"),
        ({"timecode": "23:59:00;01"}, "one that drop frame does not leave out: 23:59:00;02"),
    ],
)
def test_a_timecode_that_does_not_fit_the_rate(asked, words):
    with pytest.raises(ValueError, match=f"timecode is '{asked['timecode']}', expected .*{words}"):
        header().replace(**asked)


def test_the_timecodes_that_drop_frame_leaves_out():
    """Counted: 17982 numbers of the 18000 in ten minutes are left; those left out are read, but not written."""
    every = [f"12:{m:02}:{s:02};{f:02}" for m in range(30, 40) for s in range(60) for f in range(30)]
    left = [text for text in every if not Timecode(text).dropped]
    assert len(left) == 17982
    assert [text[3:] for text in every if Timecode(text).dropped][:3] == ["31:00;00", "31:00;01", "32:00;00"]
    assert not Timecode("12:31:00:00").dropped
    stored = Header(header().raw[:1920] + bytes.fromhex("00010040") + header().raw[1924:])
    assert stored.timecode == "00:01:00;00"
    assert stored.replace(width=7, frame_rate=29.97).timecode == "00:01:00;00"


@pytest.mark.parametrize("name", ["frame_rate", "film_frame_rate", "television_frame_rate"])
@pytest.mark.parametrize("rate", [-24, -1e-29, 6.9e-41, 7e15])
def test_a_rate_that_is_none_is_not_written(name, rate):
    with pytest.raises(
        ValueError, match=rf"frame_rate is {rate:.1e}"[:17] + r".*, expected 0\.0001 to 10000 frames a second"
    ):
        header().replace(**{name: rate})
    assert header().replace(**{name: 0}).frame_rate is None  # as some writers have undefined


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
    assert header(at_1628=("II", *pair)).to_dict()["source"]["pixel_aspect"] == [None if n == ONES else n for n in pair]


def test_pixel_aspect_is_kept_as_it_was():
    """10/11 stays 10/11, and not a decimal fraction of it."""
    new = header().replace(pixel_aspect=Fraction(10, 11))
    assert struct.unpack_from(">II", new.raw, 1628) == (10, 11)
    assert dict(summary(new.replace(width=720, height=486), 0))["pixel aspect"].startswith("10:11, ")
    same = header(at_1628=("II", 20, 22))
    assert struct.unpack_from(">II", same.replace(width=3).raw, 1628) == (20, 22)


UNDEFINED = struct.unpack("f", b"\xff" * 4)[0]


@pytest.mark.parametrize(
    ("television", "film", "rate"),
    [
        (25.0, 24.0, 25.0), (0.0, 24.0, 24.0), (float("nan"), 24.0, 24.0), (float("inf"), 24.0, 24.0),
        (25.0, float("nan"), 25.0), (0.0, 0.0, None), (0.0, float("nan"), None), (float("nan"), 0.0, None),
        (float("nan"), float("-inf"), None),
        # Negative ones, and those with their bytes swapped.
        (-24.0, 24.0, 24.0), (25.0, -24.0, 25.0), (-24.0, -1e-29, None), (2.0**-133, 24.0, 24.0), (7e15, 0.0, None),
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
    assert one.to_dict()["file"]["creator"] == one.creator == text
    if not text or text.isprintable():
        assert dict(summary(one, 0)).get("creator") == text
    assert one.raw[160:260] == raw.ljust(100, b"\0")


def test_a_text_is_one_line_on_a_terminal():
    """Whatever a file holds, the summary neither breaks the table nor speaks to the terminal."""
    one = header(at_160=("100s", b"a\nb\r\x1b[31mred\x07\x9b1m"), at_260=("200s", "\x9b2J\u2028x\u202e".encode()))
    for _, text in summary(one, 0):
        assert text.isprintable()


@pytest.mark.parametrize(
    ("name", "room"),
    [("version", 8), ("file_name", 100), ("create_time", 24), ("project", 200), ("film_type", 2), ("film_prefix", 6)],
)
def test_texts_have_room_for_so_many_bytes(name, room):
    assert getattr(header().replace(**{name: "x" * room}), name) == "x" * room
    assert getattr(header().replace(**{name: ""}), name) is None
    for text, size in (("x" * (room + 1), room + 1), ("\u00e9" * room, 2 * room)):
        with pytest.raises(ValueError, match=f"{name} takes {size} bytes, expected {room} or less"):
            header().replace(**{name: text})
    # A text that was there does not show through a shorter one.
    assert getattr(header(fill=b"old").replace(**{name: "n"}), name) == "n"


@pytest.mark.parametrize(
    ("descriptor", "channels"),
    [
        (0, 1), (1, 1), (4, 1), (6, 1), (8, 1), (50, 3), (51, 4), (52, 4), (100, 3), (101, 4), (102, 3), (103, 4),
        (150, 2), (156, 8), (157, 1), (200, 1), (255, 1),
    ],
)  # fmt: skip
def test_channels(descriptor, channels):
    assert header(at_800=("B", descriptor)).channels == channels


@pytest.mark.parametrize(
    ("bits", "white"), [(1, 1), (8, 255), (10, 1023), (12, 4095), (16, 65535), (32, None), (64, None), (255, None)]
)
def test_white(bits, white):
    assert header(at_803=("B", bits)).white == white


def test_summary_says_what_a_person_wants_to_know():
    one = header(
        "<", length=8192, at_16=("I", 8192 + 720 * 480 * 4), at_768=("HHII", 0, 1, 720, 480), at_784=("I", 95),
        at_792=("I", 685), at_800=("BBBBHHI", 50, 3, 255, 10, 1, 0, 8192), at_1628=("II", 9, 8),
        at_1920=("I", 0x01000000), at_1940=("f", 23.976),
    )  # fmt: skip
    rows = dict(summary(one, 8192 + 720 * 480 * 4))
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
    assert dict(summary(one, 5))["file"] == "5 bytes (the header says 1,390,592)"
    assert repr(one) == "<Header 720x480, 10-bit RGB, method A, little-endian, timecode 01:00:00:00>"


def test_summary_of_everything():
    one = Header.new(
        720, 486, descriptor="CBYCRY", bits=8, orientation=1, transfer=99, colorimetric="rec_601_525", line_padding=4,
        low_code=16, high_code=None, black_level=16, white_level=235, user_bits=0x1234, film_frame_rate=24,
        television_frame_rate=25, frame_position=0, sequence_length=240, interlace=1, field_number=2, gamma=2.2,
        shutter_angle=172.8, encryption_key=7, x_original_size=1920, y_original_size=1080, film_manufacturer_id="EX",
        film_count="0012", held_count=2, file_name="a.dpx", create_time="2001:02:03:04:05:06", project="Film",
        copyright="Me", description="left eye", source_file_name="b.dpx", source_create_time="2000:01:01:00:00:00",
        input_device="Scanner", input_serial_number="7", film_format="Academy", frame_id="12", slate="1A",
        video_signal=50, file_size=9,
    )  # fmt: skip
    assert summary(one, 5) == [
        ("file", "5 bytes (the header says 9)"), ("byte order", "big-endian"),
        ("picture", "720x486, 8-bit CbYCrY 4:2:2, packed, from byte 2048"), ("line padding", "4 bytes"),
        ("orientation", "1 (right to left, top to bottom)"), ("transfer", "99"),
        ("colorimetric", "8 (Rec.601 525 lines)"),
        ("low, high code", "16, undefined"), ("black, white level", "16, 235"), ("user bits", "00001234"),
        ("frame rate", "25 frames/s (film: 24)"), ("frame position", "0 of 240"), ("interlace", "2:1"),
        ("shutter angle", "172.8 degrees"), ("encryption key", "00000007"), ("original size", "1920x1080"),
        ("key code", "EX 0012"), ("held count", "2"), ("field number", "2"), ("video signal", "50"), ("gamma", "2.2"),
        ("file name", "a.dpx"), ("create time", "2001:02:03:04:05:06"), ("creator", "fastup"), ("project", "Film"),
        ("copyright", "Me"), ("description", "left eye"), ("source file name", "b.dpx"),
        ("source create time", "2000:01:01:00:00:00"), ("input device", "Scanner"), ("input serial number", "7"),
        ("film format", "Academy"), ("frame id", "12"), ("slate", "1A"),
    ]  # fmt: skip


def test_to_dict_has_no_undefined_values():
    told = header("<").to_dict()
    assert told["film"] == dict.fromkeys(told["film"])
    assert told["television"] == dict.fromkeys(told["television"])
    assert told["image"]["element"] == [dict.fromkeys(ELEMENT)]  # their number is undefined
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
    assert one.film_frame_rate == struct.unpack(">f", b"\x11" * 4)[0]
    assert one.frame_rate is None  # as that is none
    assert one.timecode is None
    new = one.replace(frame_position=3, timecode=None)
    assert differences(one.raw, new.raw) <= set(range(1712, 1716))


@pytest.mark.parametrize(
    ("length", "asked"),
    [
        (1664, {"timecode": "01:02:03:04"}), (1664, {"frame_position": 3}), (1664, {"frame_rate": 24}),
        (1716, {"frame_position": 3}), (1920, {"timecode": "01:02:03:04"}), (1924, {"timecode": "01:02:03:04"}),
        (1919, {"slate": "x"}), (1664, {"film_type": "EX"}), (2047, {"gamma": 1}), (1664, {"interlace": 0}),
    ],
)  # fmt: skip
def test_no_room_in_a_short_header(length, asked):
    one = header(length=length)
    name = "film_frame_rate" if "frame_rate" in asked else next(iter(asked))
    with pytest.raises(DpxError, match=f"header has {length} bytes and no room for {name}$"):
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


# -- flavours --------------------------------------------------------------------------------------------------------


@given(
    st.sampled_from([b"SDPX", b"XPDS"]),
    st.binary(min_size=1660, max_size=2300),
)
@settings(SHARED, max_examples=200)
def test_the_other_byte_order(magic, rest):
    one = Header(magic + rest)
    other = one.replace(big_endian=not one.big_endian)
    assert other.replace(big_endian=one.big_endian) == one
    assert one.replace(big_endian=one.big_endian) == one
    assert other.big_endian is not one.big_endian
    assert len(other.raw) == len(one.raw)
    old, new = ("><", "<>")[magic == b"XPDS"]
    end = 2048 if len(one.raw) >= 2048 else 1920 if len(one.raw) >= 1920 else 1664
    left = set(range(4, len(one.raw)))
    places = [place for part, places in PLACES.items() if part != "element" for place in places.values()]
    places += [(at + 72 * number, kind) for number in range(8) for at, kind in ELEMENT.values()]
    for at, kind in places:
        if kind[-1] in "IHf" and at < end:
            size = struct.calcsize(f">{kind}")
            bits = kind.replace("f", "I")  # a NaN need not be like itself
            assert struct.unpack_from(old + bits, one.raw, at) == struct.unpack_from(new + bits, other.raw, at)
            left -= set(range(at, at + size))
    assert all(one.raw[at] == other.raw[at] for at in left)  # texts, reserved bytes, user data
    assert (other.timecode, other.pixel_aspect, other.user_data) == (one.timecode, one.pixel_aspect, one.user_data)
    assert other.elements == one.elements


def test_the_other_byte_order_and_more_at_once():
    one = Header.new(720, 486, timecode="01:02:03;04", frame_rate=29.97)
    other = one.replace(big_endian=False, width=5, timecode="01:02:03:05")
    assert other == one.replace(width=5, timecode="01:02:03:05").replace(big_endian=False)
    assert other == Header.new(5, 486, big_endian=False, timecode="01:02:03:05", frame_rate=29.97)


@pytest.mark.parametrize(
    ("old", "bits", "codes", "expected"),
    [
        (10, 8, (0, 1023), (0, 255)), (10, 8, (95, 685), (24, 171)), (10, 16, (95, 685), (6086, 43882)),
        (10, 12, (64, 940), (256, 3763)), (8, 10, (16, 235), (64, 943)), (16, 10, (32767, 32768), (511, 512)),
        (10, 10, (95, 685), (95, 685)), (10, 8, (None, 1023), (None, 255)), (10, 8, (0, None), (0, None)),
        (8, 10, (0, 1023), (0, 1023)), (12, 16, (0, 1023), (0, 16372)),  # Nuke has 1023 at all depths
        (10, 32, (95, 685), (None, None)), (32, 10, (5, 6), (5, 6)), (255, 10, (5, 6), (5, 6)), (0, 10, (0, 1), (0, 1)),
        (10, None, (95, 685), (None, None)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("order", MAGIC)
def test_codes_are_scaled_with_the_bits(order, old, bits, codes, expected):
    one = header(order, fill=b"\x11", at_803=("B", old)).replace(low_code=codes[0], high_code=codes[1])
    new = one.replace(bits=bits)
    assert (new.bits, new.low_code, new.high_code) == (bits, *expected)
    assert differences(new.raw, one.raw) <= touched(
        "bits", "low_code", "high_code", "packing", "black_level", "white_level"
    )
    filled = bits in (10, 12) and old not in (10, 12)  # what had no need of it before; FFmpeg reads no packed ones
    assert new.packing == (1 if filled else one.packing)
    assert one.replace(bits=bits, packing=2).packing == 2
    assert (new.descriptor, new.elements[1:]) == (one.descriptor, one.elements[1:])
    # What is given counts.
    given = one.replace(bits=bits, low_code=3, high_code=None)
    assert (given.bits, given.low_code, given.high_code) == (bits, 3, None)


@pytest.mark.parametrize(
    ("old", "bits", "levels", "expected"),
    [
        (16, 10, (4112, 43840), (64, 684)), (10, 8, (64, 940), (16, 234)), (8, 16, (16, 235), (4112, 60395)),
        (10, 10, (64.5, 940), (64.5, 940)), (10, 12, (None, 940), (None, 3763)), (10, 8, (64, None), (16, None)),
        (10, 8, (-64, 1024), (-64, 1024)), (10, 32, (64, 940), (None, None)), (32, 10, (0, 1), (0, 1)),
        (16, 10, (0.5, 43840.5), (0, 684)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("order", MAGIC)
def test_levels_are_scaled_with_the_bits(order, old, bits, levels, expected):
    one = header(order, fill=b"\x11", at_803=("B", old)).replace(black_level=levels[0], white_level=levels[1])
    new = one.replace(bits=bits)
    assert (new.black_level, new.white_level) == expected
    given = one.replace(bits=bits, white_level=3)
    assert (given.black_level, given.white_level) == (expected[0], 3)
    short = Header(one.raw[:1920])  # there are none, and no room for any
    assert short.replace(bits=bits).white_level is None


TRANSFERS = {
    "log": (Transfer.PRINTING_DENSITY, Transfer.LOGARITHMIC), "untold": (None, Transfer.USER_DEFINED, 77),
    "others": (Transfer.LINEAR, Transfer.VIDEO, Transfer.REC_709, Transfer.REC_601_525),
}  # fmt: skip


@pytest.mark.parametrize(("before", "after"), list(itertools.product(TRANSFERS, TRANSFERS)))
@pytest.mark.parametrize("bits", [10, 16, 32])
def test_low_and_high_code_belong_to_the_transfer(before, after, bits):
    """Those of densities are black and white, those of other codes their ends."""
    codes = {"low_code": 95, "high_code": 685, "low_quantity": 0.0, "high_quantity": 2.046}
    white = None if bits == 32 else 2**bits - 1
    for old, new in itertools.product(TRANSFERS[before], TRANSFERS[after]):
        one = Header.new(4, 3, bits=bits, transfer=old, **codes)
        made = one.replace(transfer=new)
        if before == after or "untold" in (before, after):
            assert made.raw == one.raw[:801] + bytes([255 if new is None else new]) + one.raw[802:]
        else:
            low, high = (None, None) if after == "log" or bits == 32 else (0, white)
            assert (made.low_code, made.high_code, made.low_quantity, made.high_quantity) == (low, high, None, None)
            name = str(new.name).lower().replace("_", " ")
            assert one.replace(transfer=name, bits=bits) == made
        assert one.replace(transfer=new, **codes).high_code == 685


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, (50, 10, 1, 0, 1023, 3)),
        ({"descriptor": "RGBA"}, (51, 10, 1, 0, 1023, 4)),
        ({"descriptor": Descriptor.LUMA, "bits": 8}, (6, 8, 0, 0, 255, 1)),
        ({"descriptor": 102, "bits": 12}, (102, 12, 1, 0, 4095, 3)),
        ({"bits": 16, "packing": "method_a"}, (50, 16, 1, 0, 65535, 3)),
        ({"bits": 10, "packing": 0}, (50, 10, 0, 0, 1023, 3)),
        ({"bits": 12, "packing": Packing.METHOD_B, "high_code": 4000}, (50, 12, 2, 0, 4000, 3)),
        ({"bits": 32}, (50, 32, 0, None, None, 3)),
        ({"bits": 32, "low_code": 1}, (50, 32, 0, 1, None, 3)),
        ({"bits": 1}, (50, 1, 0, 0, 1, 3)),
    ],
)
@pytest.mark.parametrize("big_endian", [True, False])
def test_new_headers_of_every_flavour(asked, expected, big_endian):
    one = Header.new(7, 5, big_endian=big_endian, **asked)
    assert (one.descriptor, one.bits, one.packing, one.low_code, one.high_code, one.channels) == expected
    assert (one.width, one.height, one.big_endian, len(one.elements)) == (7, 5, big_endian, 1)
    assert (one.data_offset, one.image_offset, one.pixel_offset, len(one.raw)) == (2048,) * 4
    # Everything else is as in any new header.
    same = one.replace(descriptor=50, packing=1, bits=10, low_code=0, high_code=1023, big_endian=True)
    assert same == Header.new(7, 5)


def elements(order=">", offsets=(2048, 3000, 5000), length=2048, fill=b"\x11", count=None):
    """A header with several elements, which tell themselves by their descriptors: 1, 2, 3."""
    places = {}
    for number, offset in enumerate(offsets):
        places[f"at_{800 + 72 * number}"] = ("B", number + 1)
        places[f"at_{808 + 72 * number}"] = ("I", offset)
    count = len(offsets) if count is None else count
    return header(order, length, fill, at_4=("I", 2048), at_770=("H", count), **places)


@pytest.mark.parametrize("order", MAGIC)
def test_elements(order):
    one = elements(order).replace(description="first", bits=10)
    assert [element.descriptor for element in one.elements] == [Descriptor.RED, Descriptor.GREEN, Descriptor.BLUE]
    assert [element.data_offset for element in one.elements] == [2048, 3000, 5000]
    assert [element.bits for element in one.elements] == [10, 0x11, 0x11]
    assert one.elements[0].description == "first"
    assert one.elements[1].packing == 0x1111
    undefined = header(order, at_770=("H", 2)).elements
    assert undefined == (Element(*[None] * 15)._replace(line_padding=0),) * 2
    for count, found in ((0, 1), (1, 1), (8, 8), (9, 8), (65534, 8), (65535, 1)):
        assert len(header(order, at_770=("H", count)).elements) == found


@pytest.mark.parametrize("order", MAGIC)
@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("length", [2048, 2500, 1700])
def test_only_one_element(order, number, length):
    one = elements(order, length=length)
    alone = one.only(number)
    assert alone.elements == (one.elements[number]._replace(data_offset=length),)
    assert alone.descriptor == number + 1
    assert (alone.number_elements, alone.image_offset, alone.pixel_offset) == (1, length, length)
    assert alone.file_size is None
    assert len(alone.raw) == length
    places = [(4, 8), (16, 20), (770, 772), (780, 1356)]
    assert differences(alone.raw, one.raw) <= {at for start, end in places for at in range(start, end)}
    # The other records say nothing.
    assert alone.raw[852:1356] == (b"\xff" * 40 + bytes(32)) * 7
    record = one.raw[780 + 72 * number : 852 + 72 * number]
    assert alone.raw[780:852] == record[:28] + struct.pack(order + "I", length) + record[32:]
    assert alone.only(0) == alone


@pytest.mark.parametrize("number", [-1, 3, 8])
def test_no_such_element(number):
    with pytest.raises(ValueError, match=f"element is {number}, expected 0 to 2"):
        elements().only(number)
    with pytest.raises(ValueError, match="element is 1, expected 0 to 0"):
        Header.new(4, 3).only(1)


def test_the_only_element_is_what_there_is():
    assert Header.new(4, 3).only(0) == Header.new(4, 3)
    assert elements(offsets=(2048,), count=0).only(0).number_elements == 1


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


@pytest.mark.parametrize(
    ("offsets", "length"),
    [
        ((2048, 3000, 5000), 2048), ((5000, 3000, 2100), 2100), ((0, 3000, 2500), 2048), ((ONES, 1700, 2500), 1700),
        ((4000, 0, ONES), 4000), ((4000, 100, 5000), 4000), ((100, 3000, 2500), 2500), ((100, 200, 300), 1664),
        ((4000, 9999, 99999), 4000),
    ],
)  # fmt: skip
def test_read_header_stops_at_the_first_pixel_of_any_element(tmp_path, offsets, length):
    raw = elements(offsets=offsets, length=8000, fill=b"\x11").raw
    (tmp_path / "f.dpx").write_bytes(raw)
    assert fastup.read_header(tmp_path / "f.dpx").raw == raw[:length]
    # An element that isn't declared doesn't count.
    raw = raw[:770] + b"\0\1" + raw[772:]
    (tmp_path / "f.dpx").write_bytes(raw)
    first = 2048 if offsets[0] in (0, ONES) else max(offsets[0], 1664)
    assert fastup.read_header(tmp_path / "f.dpx").raw == raw[:first]


@pytest.mark.parametrize("field", ["image offset (byte 4)", "data offset (byte 808)"])
def test_a_header_takes_no_more_memory_than_it_may(tmp_path, field):
    """A sparse file is as large as it says, at no cost to its maker; its pixels are read all the same."""
    far, path = 600 << 20, tmp_path / "f.dpx"
    one = Header.new(4, 3, file_size=None)
    at = 4 if "byte 4" in field else 808
    raw = bytearray(one.raw)
    raw[808:812] = b"\xff" * 4
    raw[at : at + 4] = far.to_bytes(4, "big")
    path.write_bytes(raw)
    with open(path, "r+b") as file:
        file.seek(far)
        file.write(b"\0\0\4\0" * 12)
    tracemalloc.start()
    with pytest.raises(DpxError, match=re.escape(f"f.dpx: {field} is {far}, expected 16777216 or less")):
        fastup.read_header(path)
    assert frames.probe(path) == ((3, 4, 3), 1023)
    assert fastup.read(path)[2, 3].tolist() == next(fastup.stream([path]))[1][0, 0].tolist() == [0, 0, 256]
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    most = one.raw[:4] + (16 << 20).to_bytes(4, "big") + one.raw[8:808] + b"\xff" * 4 + one.raw[812:]
    path.write_bytes(most.ljust((16 << 20) + 48, b"\7"))
    assert len(fastup.read_header(path).raw) == 16 << 20


@pytest.mark.parametrize("number", [0, None])
@pytest.mark.parametrize("big_endian", [True, False])
def test_no_number_of_elements_is_one(tmp_path, number, big_endian):
    frame = np.arange(36, dtype=np.uint16).reshape(3, 4, 3)
    fastup.write(tmp_path / "f.dpx", frame, Header.new(4, 3, big_endian=big_endian, number_elements=number))
    assert (fastup.read(tmp_path / "f.dpx") == frame).all()
    assert (next(fastup.stream([tmp_path / "f.dpx"]))[1] == frame).all()
    one = fastup.read_header(tmp_path / "f.dpx")
    assert (one.number_elements, len(one.elements), one.file_size) == (number, 1, 2048 + 48)
    assert one.replace(bits=16).file_size == 2048 + 72
    assert one.only(0) == Header.new(4, 3, big_endian=big_endian)
    with pytest.raises(DpxError, match=r"number of image elements \(byte 770\) is 1, expected more"):
        fastup.read(tmp_path / "f.dpx", element=1)
    broken = one.replace(packing=3)
    (tmp_path / "f.dpx").write_bytes(broken.raw + bytes(48))
    with pytest.raises(DpxError, match=r"packing \(byte 804\) is 3"):
        fastup.read(tmp_path / "f.dpx")


def test_an_offset_of_another_element_beyond_the_file(tmp_path):
    (tmp_path / "f.dpx").write_bytes(elements(offsets=(9000, 9999, 8192)).raw)
    with pytest.raises(
        DpxError, match=r"f\.dpx: data offset \(byte 952\) is 8192, expected one within the file of 2048 b"
    ):
        fastup.read_header(tmp_path / "f.dpx")


def test_a_header_does_not_change():
    one = header()
    with pytest.raises(ValueError, match="read-only"):
        one.fields["image"]["width"] = 5
    with pytest.raises(ValueError, match="read-only"):
        one.fields["image"]["element"]["bits"][0] = 5
    for name in ("width", "raw", "fields", "nothing"):
        with pytest.raises(AttributeError, match=rf"a header does not change; replace\({name}=...\) gives"):
            setattr(one, name, 5)
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


@pytest.mark.parametrize("length", [1664, 1700, 1920, 2048, 3000])
@pytest.mark.parametrize("order", MAGIC)
def test_headers_travel(length, order):
    one = header(order, length, fill=b"\x11\xff")
    for other in (pickle.loads(pickle.dumps(one)), copy.copy(one), copy.deepcopy(one)):
        assert other == one
        assert hash(other) == hash(one)
        assert other.fields.tobytes() == one.fields.tobytes()
    assert pickle.loads(pickle.dumps(one.elements)) == one.elements
