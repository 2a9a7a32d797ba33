"""What follows from a change of a DPX header: other byte orders, bits, transfers and elements."""

import itertools
import struct

import pytest
from headers import ELEMENT, MAGIC, PLACES, SHARED, differences, elements, header, touched
from hypothesis import given, settings
from hypothesis import strategies as st

from fastup.codes import Descriptor, Packing, Transfer
from fastup.header import Element, Header

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
