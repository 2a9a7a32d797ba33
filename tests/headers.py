"""What tests of headers share: where SMPTE 268M has each value, and headers made of bytes."""

import struct

from hypothesis import HealthCheck, settings

from fastup.header import Header

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


def elements(order=">", offsets=(2048, 3000, 5000), length=2048, fill=b"\x11", count=None):
    """A header with several elements, which tell themselves by their descriptors: 1, 2, 3."""
    places = {}
    for number, offset in enumerate(offsets):
        places[f"at_{800 + 72 * number}"] = ("B", number + 1)
        places[f"at_{808 + 72 * number}"] = ("I", offset)
    count = len(offsets) if count is None else count
    return header(order, length, fill, at_4=("I", 2048), at_770=("H", count), **places)
