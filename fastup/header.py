"""The DPX header (SMPTE 268M) as one structured dtype, and `Header`: its values as a person means them."""

import math
import os
from fractions import Fraction

import numpy as np

from fastup.errors import DpxError

MIN_BYTES = 1664  # the generic header; some writers stop here
FULL_BYTES = 2048  # with the film and television headers

# Codes of SMPTE 268M, tables 4, 5A and 5B.
DESCRIPTORS = {
    0: "user-defined", 1: "R", 2: "G", 3: "B", 4: "A", 6: "luma", 7: "chroma", 8: "depth", 9: "composite video",
    50: "RGB", 51: "RGBA", 52: "ABGR", 100: "CbYCrY 4:2:2", 101: "CbYACrYA 4:2:2:4", 102: "CbYCr 4:4:4",
    103: "CbYCrA 4:4:4:4",
}  # fmt: skip
COMPONENTS = {50: 3, 51: 4, 52: 4, 100: 2, 101: 3, 102: 3, 103: 4}  # per pixel; every other descriptor has one
TRANSFERS = {
    0: "user-defined", 1: "printing density", 2: "linear", 3: "logarithmic", 4: "unspecified video", 5: "SMPTE 274M",
    6: "Rec.709", 7: "Rec.601 625 lines", 8: "Rec.601 525 lines", 9: "NTSC", 10: "PAL", 11: "Z linear",
    12: "Z homogeneous",
}  # fmt: skip
PACKINGS = {0: "packed", 1: "method A", 2: "method B"}
ORIENTATIONS = {
    0: "left to right, top to bottom", 1: "right to left, top to bottom", 2: "left to right, bottom to top",
    3: "right to left, bottom to top", 4: "top to bottom, left to right", 5: "top to bottom, right to left",
    6: "bottom to top, left to right", 7: "bottom to top, right to left",
}  # fmt: skip

# What other files start with, for those that carry the wrong name.
_OTHERS = {
    b"\x89PNG": "a PNG", b"\xff\xd8\xff": "a JPEG", b"II*\0": "a TIFF", b"MM\0*": "a TIFF", b"v/1\x01": "an EXR",
    b"\x80*_\xd7": "a Cineon", b"BM": "a BMP",
}  # fmt: skip

_ELEMENT = [
    ("data_sign", "u4"), ("low_code", "u4"), ("low_quantity", "f4"), ("high_code", "u4"), ("high_quantity", "f4"),
    ("descriptor", "u1"), ("transfer", "u1"), ("colorimetric", "u1"), ("bits", "u1"), ("packing", "u2"),
    ("encoding", "u2"), ("data_offset", "u4"), ("line_padding", "u4"), ("image_padding", "u4"), ("description", "S32"),
]  # fmt: skip
_SECTIONS = {
    "file": [
        ("magic", "S4"), ("image_offset", "u4"), ("version", "S8"), ("file_size", "u4"), ("ditto_key", "u4"),
        ("generic_size", "u4"), ("industry_size", "u4"), ("user_size", "u4"), ("file_name", "S100"),
        ("create_time", "S24"), ("creator", "S100"), ("project", "S200"), ("copyright", "S200"),
        ("encryption_key", "u4"), ("reserved", "V104"),
    ],
    "image": [
        ("orientation", "u2"), ("number_elements", "u2"), ("width", "u4"), ("height", "u4"),
        ("element", _ELEMENT, (8,)), ("reserved", "V52"),
    ],
    "source": [
        ("x_offset", "u4"), ("y_offset", "u4"), ("x_center", "f4"), ("y_center", "f4"), ("x_original_size", "u4"),
        ("y_original_size", "u4"), ("file_name", "S100"), ("create_time", "S24"), ("input_device", "S32"),
        ("input_serial_number", "S32"), ("border", "u2", (4,)), ("pixel_aspect", "u4", (2,)), ("reserved", "V28"),
    ],
    "film": [
        ("manufacturer_id", "S2"), ("film_type", "S2"), ("offset", "S2"), ("prefix", "S6"), ("count", "S4"),
        ("format", "S32"), ("frame_position", "u4"), ("sequence_length", "u4"), ("held_count", "u4"),
        ("frame_rate", "f4"), ("shutter_angle", "f4"), ("frame_id", "S32"), ("slate", "S100"), ("reserved", "V56"),
    ],
    "television": [
        ("timecode", "u4"), ("user_bits", "u4"), ("interlace", "u1"), ("field_number", "u1"), ("video_signal", "u1"),
        ("padding", "u1"), ("horizontal_rate", "f4"), ("vertical_rate", "f4"), ("frame_rate", "f4"),
        ("time_offset", "f4"), ("gamma", "f4"), ("black_level", "f4"), ("black_gain", "f4"), ("break_point", "f4"),
        ("white_level", "f4"), ("integration_time", "f4"), ("reserved", "V76"),
    ],
}  # fmt: skip

DTYPE_BIG = np.dtype(list(_SECTIONS.items())).newbyteorder(">")
DTYPE_LITTLE = DTYPE_BIG.newbyteorder("<")
_UNDEFINED_FLOAT = np.uint32(0xFFFFFFFF).view(np.float32)


class Header:
    """A DPX header: every byte before the pixels, and its values by name.

    `fields` is the whole header as one structured record (see `DTYPE_BIG`), for whatever has no property here:
    ``header.fields["film"]["slate"]``. A header that ends before the film or television section reads as undefined
    there. Headers do not change; `replace` gives a changed copy.

    Parameters
    ----------
    raw : bytes
        The file's bytes from the magic number to the first pixel, user data included.
    name : str
        What to call the file in an error.

    Raises
    ------
    DpxError
        If the magic number is not a DPX's, or there are fewer than 1664 bytes.
    """

    __slots__ = ("fields", "raw")

    def __init__(self, raw, name="header"):
        raw = bytes(raw)
        if len(raw) < 4:
            raise DpxError(f"{name}: header is cut short: {len(raw)} bytes, expected {MIN_BYTES} or more")
        if raw[:4] not in (b"SDPX", b"XPDS"):
            raise not_dpx(name, raw[:4])
        if len(raw) < MIN_BYTES:
            raise DpxError(f"{name}: header is cut short: {len(raw)} bytes, expected {MIN_BYTES} or more")
        self.raw = raw
        whole = raw[: _sections_end(raw)].ljust(FULL_BYTES, b"\xff")
        self.fields = np.frombuffer(whole, DTYPE_BIG if self.big_endian else DTYPE_LITTLE)[0]

    @classmethod
    def read(cls, path):
        """The header of a file: everything before its first pixel."""
        with open(path, "rb") as file:
            raw = file.read(FULL_BYTES)
            if len(raw) >= MIN_BYTES and raw[:4] in (b"SDPX", b"XPDS"):
                header = cls(raw)
                end, size = max(header.pixel_offset, MIN_BYTES), os.fstat(file.fileno()).st_size
                if end > size:
                    own = end == header._element["data_offset"]
                    field = "data offset (byte 808)" if own else "image offset (byte 4)"
                    raise DpxError(f"{os.fspath(path)}: {field} is {end}, expected one within the file of {size} bytes")
                raw = raw[:end] if end <= len(raw) else raw + file.read(end - len(raw))
        return cls(raw, os.fspath(path))

    @classmethod
    def new(cls, width, height, *, big_endian=True, **values):
        """A header for 10-bit RGB, method A, with everything else undefined but what `values` say (see `replace`)."""
        raw = np.frombuffer(bytearray(b"\xff" * FULL_BYTES), DTYPE_BIG if big_endian else DTYPE_LITTLE)
        head, image = raw[0]["file"], raw[0]["image"]
        for section in _SECTIONS:
            for name in raw.dtype[section].names:
                if raw.dtype[section][name].kind == "S":
                    raw[0][section][name] = b""
        head["magic"] = b"SDPX" if big_endian else b"XPDS"
        head["image_offset"], head["version"] = FULL_BYTES, b"V2.0"
        head["generic_size"], head["industry_size"], head["user_size"] = MIN_BYTES, FULL_BYTES - MIN_BYTES, 0
        head["ditto_key"], head["creator"] = 1, b"fastup"
        image["orientation"], image["number_elements"] = 0, 1
        image["element"]["description"] = b""
        element = image["element"][0]
        element["data_sign"], element["low_code"], element["high_code"] = 0, 0, 1023
        element["descriptor"], element["bits"], element["packing"], element["encoding"] = 50, 10, 1, 0
        element["data_offset"], element["line_padding"], element["image_padding"] = FULL_BYTES, 0, 0
        return cls(raw.tobytes()).replace(width=width, height=height, **values)

    # -- values ------------------------------------------------------------------------------------------------------

    @property
    def big_endian(self):
        """True when the file's magic number reads SDPX."""
        return self.raw[:4] == b"SDPX"

    @property
    def width(self):
        """Pixels per line."""
        return int(self.fields["image"]["width"])

    @property
    def height(self):
        """Lines per image."""
        return int(self.fields["image"]["height"])

    @property
    def channels(self):
        """Components per pixel of the first element."""
        return COMPONENTS.get(int(self._element["descriptor"]), 1)

    @property
    def bits(self):
        """Bits per component of the first element."""
        return int(self._element["bits"])

    @property
    def white(self):
        """The largest code: 1023 at 10 bits."""
        return (1 << self.bits) - 1

    @property
    def pixel_offset(self):
        """Where the first element's pixels start, in bytes; the image's offset where its own is 0 or all ones."""
        own = int(self._element["data_offset"])
        return int(self.fields["file"]["image_offset"]) if own in (0, 0xFFFFFFFF) else own

    @property
    def line_padding(self):
        """Bytes after each line."""
        return _defined(self._element["line_padding"]) or 0

    @property
    def pixel_aspect(self):
        """Width of a pixel over its height, as a `Fraction`; None where undefined."""
        across, down = (int(v) for v in self.fields["source"]["pixel_aspect"])
        return None if 0 in (across, down) or 0xFFFFFFFF in (across, down) else Fraction(across, down)

    @property
    def transfer(self):
        """Code of the first element's transfer characteristic (see `TRANSFERS`); None where undefined."""
        return _defined(self._element["transfer"])

    @property
    def colorimetric(self):
        """Code of the first element's colorimetric specification (see `TRANSFERS`); None where undefined."""
        return _defined(self._element["colorimetric"])

    @property
    def frame_position(self):
        """Number of the frame in its sequence; None where undefined."""
        return _defined(self.fields["film"]["frame_position"])

    @property
    def frame_rate(self):
        """Frames per second: television's, or film's where that is undefined; None where both are."""
        return _defined(self.fields["television"]["frame_rate"]) or _defined(self.fields["film"]["frame_rate"]) or None

    @property
    def timecode(self):
        """``hh:mm:ss:ff``, or None where it is undefined or no BCD."""
        digits = f"{int(self.fields['television']['timecode']):08x}"
        return ":".join(digits[i : i + 2] for i in (0, 2, 4, 6)) if digits.isdigit() else None

    @property
    def _element(self):
        return self.fields["image"]["element"][0]

    # -- changes -----------------------------------------------------------------------------------------------------

    def replace(self, **values):
        """A copy with some values changed and every other byte as it was.

        Parameters
        ----------
        width, height : int
            Size in pixels.
        pixel_aspect : Fraction or None
            Width of a pixel over its height.
        transfer, colorimetric : int or None
            Codes of the first element (see `TRANSFERS`).
        frame_position : int or None
        frame_rate : float or None
            Written to the film and to the television section.
        timecode : str or None
            ``hh:mm:ss:ff``
        file_size : int
            Size of the whole file in bytes.

        Raises
        ------
        DpxError
            If the header is too short to hold the field.
        TypeError
            If there is no such value.
        ValueError
            If a value doesn't fit its field.
        """
        kept = _sections_end(self.raw)
        raw = bytearray(self.raw[:kept].ljust(FULL_BYTES, b"\xff"))
        fields = np.frombuffer(raw, self.fields.dtype)[0:1]
        for name, value in values.items():
            match name:
                case "width" | "height":
                    fields["image"][name] = _u32(name, value, 1)
                case "file_size":
                    fields["file"][name] = _u32(name, value)
                case "pixel_aspect":
                    if isinstance(value, float):  # 0.9 means 9/10, not what is next to it in binary
                        value = Fraction(value).limit_denominator(65536)
                    pair = (None, None) if value is None else Fraction(value).as_integer_ratio()
                    fields["source"][name] = [_u32(name, number, 1) for number in pair]
                case "transfer" | "colorimetric":
                    if value is not None and not 0 <= value <= 254:
                        raise ValueError(f"{name} is {value}, expected 0 to 254")
                    fields["image"]["element"][0, 0][name] = 255 if value is None else value
                case "frame_position":
                    fields["film"][name] = _u32(name, value)
                case "frame_rate":
                    for section in ("film", "television"):
                        fields[section][name] = _UNDEFINED_FLOAT if value is None else value
                case "timecode":
                    fields["television"][name] = 0xFFFFFFFF if value is None else _bcd(value)
                case _:
                    raise TypeError(f"a header has no value {name!r} to replace")
            if raw[kept:].strip(b"\xff"):
                raise DpxError(f"the header has {len(self.raw)} bytes and no room for {name}")
        return Header(bytes(raw[:kept]) + self.raw[kept:])

    # -- as a whole --------------------------------------------------------------------------------------------------

    def summary(self, file_bytes):
        """Pairs of a name and a text, for a person to read; what is undefined is left out.

        Parameters
        ----------
        file_bytes : int
            Size of the file that the header came from.
        """
        fields, element = self.fields, self._element
        aspect = self.pixel_aspect
        claimed = int(fields["file"]["file_size"])
        rows = {
            "file": f"{file_bytes:,} bytes"
            + ("" if claimed in (file_bytes, 0xFFFFFFFF) else f" (the header says {claimed:,})"),
            "byte order": "big-endian" if self.big_endian else "little-endian",
            "picture": f"{self.width}x{self.height}, {self.bits}-bit {_named(DESCRIPTORS, element['descriptor'])}, "
            f"{_named(PACKINGS, element['packing'])}, from byte {self.pixel_offset}",
            "elements": _unless(1, fields["image"]["number_elements"]),
            "orientation": _unless(0, fields["image"]["orientation"], ORIENTATIONS),
            "pixel aspect": aspect
            and f"{aspect.numerator}:{aspect.denominator}, so that the picture is "
            f"{float(aspect * self.width / max(self.height, 1)):.3f}:1",
            "transfer": _unless(255, element["transfer"], TRANSFERS),
            "colorimetric": _unless(255, element["colorimetric"], TRANSFERS),
            "low, high code": ", ".join(
                str("undefined" if code is None else code)
                for code in (_defined(element["low_code"]), _defined(element["high_code"]))
            ),
            "timecode": self.timecode,
            "frame rate": self.frame_rate and f"{self.frame_rate:.6g} frames/s",
            "frame position": self.frame_position,
            "file name": _text(fields["file"]["file_name"]),
            "created": _text(fields["file"]["create_time"]),
            "creator": _text(fields["file"]["creator"]),
            "project": _text(fields["file"]["project"]),
            "copyright": _text(fields["file"]["copyright"]),
            "source file": _text(fields["source"]["file_name"]),
            "input device": _text(fields["source"]["input_device"]),
            "film format": _text(fields["film"]["format"]),
            "slate": _text(fields["film"]["slate"]),
            "user data": f"{len(self.raw) - FULL_BYTES:,} bytes" if len(self.raw) > FULL_BYTES else None,
        }
        return [(name, _printable(str(value))) for name, value in rows.items() if value not in (None, "")]

    def to_dict(self):
        """Every field by section, for JSON: undefined is None, texts are str, reserved bytes are left out."""
        result = {section: _plain(self.fields[section]) for section in _SECTIONS}
        elements = min(max(1, int(self.fields["image"]["number_elements"])), 8)
        result["image"]["element"] = result["image"]["element"][:elements]
        result["television"]["timecode"] = self.timecode
        return result

    def __eq__(self, other):
        return isinstance(other, Header) and self.raw == other.raw

    def __hash__(self):
        return hash(self.raw)

    def __repr__(self):
        order = "big" if self.big_endian else "little"
        kind = DESCRIPTORS.get(int(self._element["descriptor"]), "unknown descriptor")
        return f"<Header {self.width}x{self.height}, {self.bits}-bit {kind}, {order}-endian, timecode {self.timecode}>"


def not_dpx(name, magic):
    """The error for a file that starts with other bytes than a DPX; says whose they are where that is known."""
    whose = next((f"{kind}'s" for start, kind in _OTHERS.items() if magic.startswith(start)), repr(magic))
    return DpxError(f"{name}: not a DPX: the magic number (byte 0) is {whose}, expected SDPX or XPDS")


def _sections_end(raw):
    """Where the last section ends that is there as a whole; the film's ends at 1920, and half of one is none."""
    return next(end for end in (FULL_BYTES, 1920, MIN_BYTES) if len(raw) >= end)


def _defined(value):
    """A number as Python's own, or None where all its bits are ones (or it is no number at all)."""
    if isinstance(value, np.floating):
        return float(value) if math.isfinite(value) else None  # all ones is a NaN
    return None if int(value) == (1 << 8 * value.itemsize) - 1 else int(value)


def _named(names, code):
    return names.get(int(code), f"code {int(code)}")


def _unless(usual, code, names=None):
    """A code in words, or None where it is the usual one."""
    code = int(code)
    return None if code == usual else f"{code} ({names[code]})" if names and code in names else str(code)


def _text(value):
    """Text up to its terminator; whatever is not UTF-8 is read as Latin-1. Undefined or empty is None."""
    value = bytes(value).split(b"\0")[0].rstrip(b"\xff")
    try:
        return value.decode() or None
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _printable(text):
    """Text that neither breaks a line nor speaks to a terminal, whatever a file holds."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _plain(value):
    if isinstance(value, np.void) and value.dtype.names:
        return {name: _plain(value[name]) for name in value.dtype.names if name not in ("reserved", "padding")}
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    return _text(value) if isinstance(value, bytes) else _defined(value)


def _u32(name, value, least=0):
    """The number for a 32-bit field, None being all ones; those are no number, except for a file size."""
    if value is None:
        return 0xFFFFFFFF
    if not least <= value < 0xFFFFFFFF + (name == "file_size"):
        raise ValueError(f"{name} is {value}, expected {least} to {0xFFFFFFFE}")
    return value


def _bcd(timecode):
    parts = timecode.split(":")
    if len(parts) != 4 or not all(len(part) == 2 and part.isdecimal() and part.isascii() for part in parts):
        raise ValueError(f"timecode is {timecode!r}, expected hh:mm:ss:ff")
    return int("".join(parts), 16)
