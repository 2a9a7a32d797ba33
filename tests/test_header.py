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
from headers import (
    ALL,
    ELEMENT,
    FIXED,
    MAGIC,
    ONES,
    PLACES,
    SETTABLE,
    SHARED,
    TOUCHED,
    differences,
    elements,
    header,
    touched,
)
from hypothesis import example, given, settings
from hypothesis import strategies as st

import fastup
from fastup import _dpx, frames
from fastup.codes import Timecode
from fastup.errors import DpxError
from fastup.header import DTYPE_BIG, DTYPE_LITTLE, FIELDS, Element, Header
from fastup.summary import summary


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
