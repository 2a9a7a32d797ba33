"""The DPX header (SMPTE 268M): every value of it by name, to read and to change.

`Header` holds the bytes before the pixels. The values in its body are the one table of what lies where: they make the
structured dtype, the properties, the `Element`, and what `Header.replace` takes.
"""

import contextlib
import operator
import os
from collections import namedtuple
from typing import TYPE_CHECKING, Any

import numpy as np

from fastup import _header_fields as kinds
from fastup import codes
from fastup._header_fields import Aspect, Border, Coded, Field, Padding, Rate, Real, Text, TimecodeDigits, Whole
from fastup._types import StrPath
from fastup.codes import Colorimetric, Descriptor, Orientation, Packing, Transfer
from fastup.errors import DpxError

MIN_BYTES = 1664  # the generic header; some writers stop here
FULL_BYTES = 2048  # with the film and television headers
MOST_BYTES = 16 << 20  # with user data; a file may say any size, and be sparse

_MAGICS = {b"SDPX": True, b"XPDS": False}  # big-endian?
_RESERVED = {"file": 104, "image": 52, "source": 28, "film": 56, "television": 76}  # bytes at the end of each section

# What other files start with, for those that carry the wrong name.
_OTHERS = {
    b"\x89PNG": "a PNG", b"\xff\xd8\xff": "a JPEG", b"II*\0": "a TIFF", b"MM\0*": "a TIFF", b"v/1\x01": "an EXR",
    b"\x80*_\xd7": "a Cineon", b"BM": "a BMP",
}  # fmt: skip


class ElementFields:
    """What the header says of each element; of `Header` itself they are those of the first."""

    __slots__ = ()

    data_sign = Whole("element", "u4", "1 if codes are signed.")
    low_code = Whole("element", "u4", "The code of black, or of the lowest density.")
    low_quantity = Real("element", "f4", "What the low code means: a density, a voltage.")
    high_code = Whole("element", "u4", "The code of white, or of the highest density.")
    high_quantity = Real("element", "f4", "What the high code means.")
    descriptor = Coded("element", "u1", "What the components are.", Descriptor)
    transfer = Coded("element", "u1", "How codes follow from light.", Transfer)
    colorimetric = Coded("element", "u1", "What the primaries are.", Colorimetric)
    bits = Whole("element", "u1", "Bits per component; 32 and 64 are floats.")
    packing = Coded("element", "u2", "How codes lie in words.", Packing)
    encoding = Whole("element", "u2", "1 if runs are encoded.")
    data_offset = Whole("element", "u4", "Where the element's pixels start; see `pixel_offset`.")
    line_padding = Padding("element", "u4", "Bytes after each line; 0 where it is undefined.")
    image_padding = Whole("element", "u4", "Bytes after the element.")
    description = Text("element", "S32", "What the element is, in words.")


class Header(ElementFields):
    """A DPX header: every byte before the pixels, and its values by name.

    What the file leaves undefined is None. Codes are members of `Descriptor`, `Transfer` and so on, or plain numbers
    where the standard has no such code. A header that ends before the film or television section reads as undefined
    there. Values of an element are those of the first; `elements` has them all.

    Headers do not change; `replace` gives a changed copy. `raw` is the file's bytes from the magic number to the first
    pixel, user data included; `fields` the same as one structured record: ``header.fields["film"]["slate"]``.

    Raises DpxError, by the `name` of the file, if the magic number is not a DPX's, or bytes are fewer than 1664.
    """

    __slots__ = ("fields", "raw")
    fields: np.void
    raw: bytes

    magic = Text("file", "S4", "SDPX in a big-endian file, XPDS in a little-endian one.")
    image_offset = Whole("file", "u4", "Where the pixels start, unless the element says otherwise.")
    version = Text("file", "S8", "Version of the header format, V2.0 for one.")
    file_size = Whole("file", "u4", "Bytes in the file, as its writer had it; wrong in many files.")
    ditto_key = Whole("file", "u4", "0 if the frame is the same as the one before, 1 if it is new.")
    generic_size = Whole("file", "u4", "Bytes of the generic header: 1664.")
    industry_size = Whole("file", "u4", "Bytes of the film and television headers: 384.")
    user_size = Whole("file", "u4", "Bytes of user data, as its writer had it; `user_data` is what is there.")
    file_name = Text("file", "S100", "Name of the file when it was written.")
    create_time = Text("file", "S24", "When it was written: yyyy:mm:dd:hh:mm:ss and the zone.")
    creator = Text("file", "S100", "The program that wrote it.")
    project = Text("file", "S200", "Name of the project.")
    copyright = Text("file", "S200", "Who has the rights, and what they are.")
    encryption_key = Whole("file", "u4", "None where the pixels are not encrypted; many writers have 0 for that.")

    orientation = Coded("image", "u2", "Where the first pixel is and how they go on.", Orientation)
    number_elements = Whole("image", "u2", "How many elements there are; see `elements`.")
    width = Whole("image", "u4", "Pixels per line.", least=1)
    height = Whole("image", "u4", "Lines per element.", least=1)

    x_offset = Whole("source", "u4", "Pixels from the left of the original picture to this one.")
    y_offset = Whole("source", "u4", "Lines from the top of the original picture to this one.")
    x_center = Real("source", "f4", "Column of the centre.")
    y_center = Real("source", "f4", "Line of the centre.")
    x_original_size = Whole("source", "u4", "Pixels per line of the original picture.")
    y_original_size = Whole("source", "u4", "Lines of the original picture.")
    source_file_name = Text("source", "S100", "Name of the file that it was made from.")
    source_create_time = Text("source", "S24", "When that was written.")
    input_device = Text("source", "S32", "Name of the scanner or camera.")
    input_serial_number = Text("source", "S32", "Its serial number.")
    border = Border("source", ("u2", (4,)), "Pixels that don't count at left, right, top and bottom.")
    pixel_aspect = Aspect("source", ("u4", (2,)), "Width of a pixel over its height, as a `Fraction`.", least=1)

    film_manufacturer_id = Text("film", "S2", "Key code: who made the stock.")
    film_type = Text("film", "S2", "Key code: which stock.")
    film_offset = Text("film", "S2", "Key code: perforations from the mark.")
    film_prefix = Text("film", "S6", "Key code: the roll.")
    film_count = Text("film", "S4", "Key code: feet.")
    film_format = Text("film", "S32", "Format, Academy for one.")
    frame_position = Whole("film", "u4", "Number of the frame in its sequence.")
    sequence_length = Whole("film", "u4", "Frames in the sequence.")
    held_count = Whole("film", "u4", "For how many frames it is held.")
    film_frame_rate = Rate("film", "f4", "Frames per second of the film; see `frame_rate`.")
    shutter_angle = Real("film", "f4", "Degrees of the camera's shutter.")
    frame_id = Text("film", "S32", "A name for the frame.")
    slate = Text("film", "S100", "What the slate says.")

    timecode = TimecodeDigits("television", "u4", "A `Timecode`; None where it is undefined or no timecode.")
    user_bits = Whole("television", "u4", "The 32 bits that SMPTE 12-1 leaves to the user.")
    interlace = Whole("television", "u1", "0 if the lines are of one field, 1 if of two.")
    field_number = Whole("television", "u1", "Number of the field.")
    video_signal = Whole("television", "u1", "Code of the video standard (table 4).")
    _padding = Whole("television", "u1", "")
    horizontal_rate = Real("television", "f4", "Samples per second along a line.")
    vertical_rate = Real("television", "f4", "Samples per second down the lines.")
    television_frame_rate = Rate("television", "f4", "Frames per second of the video; see `frame_rate`.")
    time_offset = Real("television", "f4", "Milliseconds from sync to the first pixel.")
    gamma = Real("television", "f4", "Exponent of the transfer characteristic.")
    black_level = Real("television", "f4", "Code of reference black.")
    black_gain = Real("television", "f4", "Gain below the break point.")
    break_point = Real("television", "f4", "Above it, the gamma holds.")
    white_level = Real("television", "f4", "Code of reference white.")
    integration_time = Real("television", "f4", "Seconds that the camera took for it.")

    def __init__(self, raw: bytes, name: str = "header") -> None:
        raw = bytes(raw)
        if len(raw) >= 4 and raw[:4] not in _MAGICS:
            raise not_dpx(name, raw[:4])
        if len(raw) < MIN_BYTES:
            raise DpxError(f"{name}: header is cut short: {len(raw)} bytes, expected {MIN_BYTES} or more")
        object.__setattr__(self, "raw", raw)
        object.__setattr__(self, "fields", np.frombuffer(_sections(raw), _DTYPES[_MAGICS[raw[:4]]])[0])

    @classmethod
    def read(cls, path: StrPath) -> "Header":
        """The header of a file: everything before its first pixel, of whichever element that is."""
        with open(path, "rb") as file:
            raw = file.read(FULL_BYTES)
            if len(raw) >= MIN_BYTES and raw[:4] in _MAGICS:
                (end, field), size = cls(raw)._first_pixel(), os.fstat(file.fileno()).st_size
                if end > size:
                    raise DpxError(f"{os.fspath(path)}: {field} is {end}, expected one within the file of {size} bytes")
                if end > MOST_BYTES:
                    raise DpxError(f"{os.fspath(path)}: {field} is {end}, expected {MOST_BYTES} or less, as all before "
                                   "the pixels is the header")  # fmt: skip
                raw = raw[:end] if end <= len(raw) else raw + file.read(end - len(raw))
        return cls(raw, os.fspath(path))

    @classmethod
    def new(cls, width: int, height: int, *, big_endian: bool = True, descriptor: int | str = "RGB",
            bits: int | None = 10, **values: Any) -> "Header":  # fmt: skip
        """A header for a new file, with everything undefined but what is given here (see `replace`).

        Packing is method A at 10 and 12 bits and packed otherwise, unless it is given; the low and high code are 0 and
        the largest one.
        """
        fields = np.frombuffer(bytearray(b"\xff" * FULL_BYTES), _DTYPES[big_endian])
        for field in FIELDS.values():
            if isinstance(field, Text):
                part = fields["image"]["element"] if field.section == "element" else fields[field.section]
                part[field.name] = b""
        file = fields["file"]
        file["magic"], file["image_offset"], file["version"] = b"SDPX" if big_endian else b"XPDS", FULL_BYTES, b"V2.0"
        file["generic_size"], file["industry_size"], file["user_size"] = MIN_BYTES, FULL_BYTES - MIN_BYTES, 0
        fields["image"]["element"]["data_offset"][:, 0] = FULL_BYTES
        white = codes.white_of(bits)
        usual = {
            "ditto_key": 1, "creator": "fastup", "orientation": 0, "number_elements": 1, "data_sign": 0, "encoding": 0,
            "low_code": None if white is None else 0, "high_code": white, "line_padding": 0, "image_padding": 0,
            "packing": 1 if bits in (10, 12) else 0,
        }  # fmt: skip
        values = {**usual, "width": width, "height": height, "descriptor": descriptor, "bits": bits, **values}
        return cls(fields.tobytes()).replace(**values)

    # -- values that follow from others ------------------------------------------------------------------------------

    @property
    def big_endian(self) -> bool:
        """True when the file's magic number reads SDPX."""
        return _MAGICS[self.raw[:4]]

    @property
    def elements(self) -> tuple["Element", ...]:
        """An `Element` for each that the header declares: 1 to 8, whatever it says."""
        count = min(max(1, self.number_elements or 1), 8)
        records = self.fields["image"]["element"][:count]
        return tuple(Element(*(field.value(record[field.name]) for field in _OF_ELEMENT)) for record in records)

    @property
    def channels(self) -> int:
        """Channels of the first element's frame, as `fastup.read` gives it."""
        return codes.CHANNELS.get(self.descriptor, 1)

    @property
    def samples(self) -> int:
        """Components that the first element stores for a pixel: `channels`, but of 4:2:2 one less."""
        return codes.STORED.get(self.descriptor, 1)

    @property
    def white(self) -> int | None:
        """The largest code: 1023 at 10 bits; None where there are floats."""
        return codes.white_of(self.bits)

    @property
    def pixel_offset(self) -> int:
        """Where the first element's pixels start, in bytes; the image's offset where its own is 0 or all ones."""
        return self.data_offset or int(self.fields["file"]["image_offset"])

    @property
    def frame_rate(self) -> float | None:
        """Frames per second: television's, or film's where that is undefined; None where both are."""
        return next(filter(kinds.is_rate, (self.television_frame_rate, self.film_frame_rate)), None)

    @property
    def user_data(self) -> bytes:
        """The bytes between the header's own and the pixels."""
        return self.raw[FULL_BYTES:]

    @property
    def flavour(self) -> str:
        """How the first element's pixels are stored, in words."""
        return f"{flavour(self)}, {'big' if self.big_endian else 'little'}-endian"

    def _whole_size(self):
        """Bytes of a file of this header and the pixels of its one element; None where it does not say enough."""
        width, height, bits = self.width, self.height, self.bits
        if None in (width, height, bits) or len(self.elements) != 1:
            return None
        samples, filled = width * self.samples, self.packing in (Packing.METHOD_A, Packing.METHOD_B)
        # Scanners whose rows of 10 bits are not padded to whole words, as the C core knows them.
        known = self.raw.startswith((b"Lasergraphics Inc.", b"DIAMANT-Film"), 160) or self.raw[1556:1563] == b"Scanity"
        if filled and bits == 10 and self.line_padding == 0 and known:
            height, samples = 1, height * samples
        in_word = {10: 3, 12: 2}.get(bits) if filled else None
        words = -(-samples // in_word) if in_word else -(-samples * bits // 32)
        return len(self.raw) + height * (4 * words + self.line_padding)

    def _section(self, name):
        return self.fields["image"]["element"][0] if name == "element" else self.fields[name]

    def _first_pixel(self):
        """Where the pixels of any element start first, and the field that says so."""
        first, *others = (element.data_offset for element in self.elements)
        starts = [(first, "data offset (byte 808)") if first else (self.pixel_offset, "image offset (byte 4)")]
        starts += [(start, f"data offset (byte {808 + 72 * n})") for n, start in enumerate(others, 1) if start]
        return min((start for start in starts if start[0] >= MIN_BYTES), default=(MIN_BYTES, ""))

    # -- changes -----------------------------------------------------------------------------------------------------

    def replace(self, **values: Any) -> "Header":
        """A copy with some values changed and every other byte as it was.

        Values go by the names of the properties; None is undefined. Codes may be given by name: ``descriptor="rgba"``.
        `frame_rate` is written to the film and to the television section. `big_endian` changes the byte order of every
        number. With `bits`, the low and high code, black and white level are scaled from the old white to the new one,
        and 10 or 12 bits of what was neither are packed by method A, unless they are given. With a `transfer` that is
        logarithmic where the old one was not, or the other way round, the low and high code and quantity no longer
        hold: they are undefined then, or the ends of all codes. With a frame rate, the timecode stays what it was,
        where there is a form for it. `file_size` follows how many bytes the pixels take. Where things lie
        (`image_offset`, `data_offset`, sizes of sections) cannot be replaced.

        Raises DpxError if the header is too short to hold a field, TypeError if there is no such value or it cannot be
        replaced, and ValueError if one doesn't fit its field.
        """
        if bool(values.pop("big_endian", self.big_endian)) != self.big_endian:
            swapped = np.frombuffer(_sections(self.raw), self.fields.dtype).byteswap().tobytes()
            return self._of((b"XPDS" if self.big_endian else b"SDPX") + swapped[4:]).replace(**values)
        if "frame_rate" in values:
            rate = values.pop("frame_rate")
            values = {"film_frame_rate": rate, "television_frame_rate": rate, **values}
        follow = self._after_bits(values["bits"]) if "bits" in values else {}
        if "transfer" in values:
            follow |= self._after_transfer(values["transfer"], codes.white_of(values.get("bits", self.bits)))
        timecodes = {"timecode": values.pop("timecode")} if "timecode" in values else {}
        changed = self._with({**follow, **values})
        if timecodes:  # last, as its form depends on the frame rate
            changed = changed._with(timecodes)
        elif self.timecode not in (None, changed.timecode):  # it has another form at high rates
            with contextlib.suppress(ValueError):  # and there is none for drop frame
                changed = changed._with({"timecode": self.timecode})
        size = changed._whole_size()
        if size in (None, self._whole_size()) or "file_size" in values:
            return changed
        return changed._with({"file_size": size if size < kinds.ALL_ONES else None})

    def only(self, element: int) -> "Header":
        """The header of a file of that element alone, whose pixels follow at once; ValueError if there is none."""
        count = len(self.elements)
        if not 0 <= operator.index(element) < count:
            raise ValueError(f"element is {element}, expected 0 to {count - 1}")
        if self.number_elements == 1:
            return self
        sections = bytearray(_sections(self.raw))
        fields = np.frombuffer(sections, self.fields.dtype)
        elements = fields["image"]["element"][0]
        elements[0] = elements[element]
        elements[1:] = np.frombuffer(b"\xff" * 72 * 7, elements.dtype)
        elements["description"][1:] = b""
        elements["data_offset"][0] = fields["file"]["image_offset"] = len(self.raw)
        fields["image"]["number_elements"] = 1
        alone = self._of(sections)
        size = alone._whole_size()
        return alone.replace(file_size=size if size and size < kinds.ALL_ONES else None)

    def _with(self, values):
        """A copy with those values written, and nothing that follows from them."""
        sections = bytearray(_sections(self.raw))
        fields = np.frombuffer(sections, self.fields.dtype)
        for name, value in values.items():
            field = FIELDS.get(name)
            if field is None:
                raise TypeError(f"a header has no value {name!r} to replace")
            if name in _FIXED:
                raise TypeError(f"{name} says where things lie in the file and cannot be replaced")
            if {"film": 1920, "television": FULL_BYTES}.get(field.section, 0) > _sections_end(self.raw):
                if value is None:
                    continue  # which it is
                raise DpxError(f"the header has {len(self.raw)} bytes and no room for {name}")
            part = fields["image"]["element"][:, 0] if field.section == "element" else fields[field.section]
            part[name] = field.stored(value, self)
        return self._of(sections)

    def _of(self, sections):
        """A header of other sections, of which those that this one has count, and the same user data."""
        end = _sections_end(self.raw)
        return Header(bytes(sections[:end]) + self.raw[end:])

    def _after_bits(self, bits):
        """What follows from other bits: how codes fill words, and the codes of black and white."""
        FIELDS["bits"].stored(bits, self)  # checked, before there are conclusions
        old, new = self.white, codes.white_of(bits)
        follow = {"packing": Packing.METHOD_A} if bits in (10, 12) and self.bits not in (10, 12) else {}
        for name in ("low_code", "high_code", "black_level", "white_level"):
            code = getattr(self, name)
            if old and new != old and code is not None and 0 <= code <= old:
                follow[name] = None if new is None else codes.scaled(code, old, new)
        return follow

    def _after_transfer(self, transfer, white):
        """What follows from another transfer: the codes of black and white, where one is logarithmic and one is not."""
        before, after = self.transfer, Transfer.of(int(FIELDS["transfer"].stored(transfer, self)))
        known = all(isinstance(code, Transfer) and code != Transfer.USER_DEFINED for code in (before, after))
        if not known or (before in codes.LOG) == (after in codes.LOG):
            return {}
        low, high = (None, None) if after in codes.LOG or white is None else (0, white)
        return {"low_code": low, "high_code": high, "low_quantity": None, "high_quantity": None}

    # -- as a whole --------------------------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Every field by section, for JSON: undefined is None, codes are numbers, texts are str, no reserved bytes."""
        result = {section: kinds.in_python(self.fields[section]) for section in _RESERVED}
        result["image"]["element"] = result["image"]["element"][: len(self.elements)]
        result["television"]["timecode"] = self.timecode
        return result

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a header does not change; replace({name}=...) gives a changed copy")

    def __reduce__(self) -> tuple[type["Header"], tuple[bytes]]:
        return Header, (self.raw,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Header) and self.raw == other.raw

    def __hash__(self) -> int:
        return hash(self.raw)

    def __repr__(self) -> str:
        return f"<Header {self.width}x{self.height}, {self.flavour}, timecode {self.timecode}>"


_FIXED = {"magic", "image_offset", "generic_size", "industry_size", "user_size", "data_offset"}

_SECTIONS = ("file", "image", "element", "source", "film", "television")
_ALL = [field for of in (ElementFields, Header) for field in vars(of).values() if isinstance(field, Field)]
FIELDS = {field.name: field for section in _SECTIONS for field in _ALL if field.section == section}
del FIELDS["_padding"]
_OF_ELEMENT = [field for field in _ALL if field.section == "element"]

_ROWS: dict[str, list[Any]] = {name: [(it.name, it.dtype) for it in _ALL if it.section == name] for name in _SECTIONS}
_ROWS["image"].append(("element", _ROWS.pop("element"), (8,)))
_DTYPE = np.dtype([(section, [*row, ("reserved", f"V{_RESERVED[section]}")]) for section, row in _ROWS.items()])
DTYPE_BIG = _DTYPE.newbyteorder(">")
DTYPE_LITTLE = DTYPE_BIG.newbyteorder("<")
_DTYPES = {True: DTYPE_BIG, False: DTYPE_LITTLE}

if TYPE_CHECKING:

    class Element(ElementFields, tuple[Any, ...]): ...

else:
    Element = namedtuple("Element", [field.name for field in _OF_ELEMENT])
    Element.__doc__ = "One element of a file by the names that `Header` has for the first; what is undefined is None."


def not_dpx(name: str, magic: bytes) -> DpxError:
    """The error for a file that starts with other bytes than a DPX; says whose they are where that is known."""
    whose = next((f"{kind}'s" for start, kind in _OTHERS.items() if magic.startswith(start)), repr(magic))
    return DpxError(f"{name}: not a DPX: the magic number (byte 0) is {whose}, expected SDPX or XPDS")


def _sections_end(raw):
    """Where the last section ends that is there as a whole; the film's ends at 1920, and half of one is none."""
    return next(end for end in (FULL_BYTES, 1920, MIN_BYTES) if len(raw) >= end)


def _sections(raw):
    """The bytes of all sections; those that are missing read as undefined."""
    return raw[: _sections_end(raw)].ljust(FULL_BYTES, b"\xff")


def flavour(element: ElementFields) -> str:
    """How an element (or a header's first) is stored, in words."""
    bits, descriptor, packing = element.bits, element.descriptor, element.packing
    size = ("undefined" if bits is None else f"{bits}-bit") + (" float" if bits in (32, 64) else "")
    kind = getattr(descriptor, "text", f"descriptor {codes.in_words(descriptor)}")
    return f"{size} {kind}, {getattr(packing, 'text', f'packing {codes.in_words(packing)}')}"
