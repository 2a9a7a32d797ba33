"""Kinds of values in a DPX header: codes, timecodes, fractions, rates, texts."""

import copy
import json
import pickle
import struct
from fractions import Fraction

import pytest
from headers import MAGIC, ONES, differences, header, touched

import fastup
from fastup.codes import Colorimetric, Descriptor, Orientation, Packing, Timecode, Transfer
from fastup.header import Header
from fastup.summary import summary

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
