"""The DPX header (SMPTE 268M): every value of it by name, to read and to change.

`Header` holds the bytes before the pixels. The values in its body are the one table of what lies where: they make the
structured dtype, the properties, the `Element`, and what `Header.replace` takes.
"""

import contextlib
import math
import operator
import os
import re
from collections import namedtuple
from fractions import Fraction

import numpy as np

from fastup.codes import LOG, Code, Colorimetric, Descriptor, Orientation, Packing, Timecode, Transfer
from fastup.errors import DpxError

MIN_BYTES = 1664  # the generic header; some writers stop here
FULL_BYTES = 2048  # with the film and television headers
MOST_BYTES = 16 << 20  # with user data; a file may say any size, and be sparse

_MAGICS = {b"SDPX": True, b"XPDS": False}  # big-endian?
_ONES = 0xFFFFFFFF
_UNDEFINED_FLOAT = np.uint32(_ONES).view(np.float32)
_RESERVED = {"file": 104, "image": 52, "source": 28, "film": 56, "television": 76}  # bytes at the end of each section

# What other files start with, for those that carry the wrong name.
_OTHERS = {
    b"\x89PNG": "a PNG", b"\xff\xd8\xff": "a JPEG", b"II*\0": "a TIFF", b"MM\0*": "a TIFF", b"v/1\x01": "an EXR",
    b"\x80*_\xd7": "a Cineon", b"BM": "a BMP",
}  # fmt: skip


# Components of a pixel: as they are stored, and as channels of a frame that is read. Every other descriptor has one.
_STORED = {
    Descriptor.RGB: 3, Descriptor.RGBA: 4, Descriptor.ABGR: 4, Descriptor.CBYCRY: 2, Descriptor.CBYACRYA: 3,
    Descriptor.CBYCR: 3, Descriptor.CBYCRA: 4, **{Descriptor.of(148 + n): n for n in range(2, 9)},
}  # fmt: skip
_CHANNELS = {**_STORED, Descriptor.CBYCRY: 3, Descriptor.CBYACRYA: 4}


# -- fields ----------------------------------------------------------------------------------------------------------


class Field(property):
    """A value of the header: a property that is None, or `undefined`, where the file does not say.

    It lies in a `section` of `Header.fields`, or "element", the first of ``fields["image"]["element"]``, and is stored
    as NumPy's `kind`, with a shape for several numbers. Its numbers may be of one `Code`, and are `least` or more.
    """

    def __init__(self, section, kind, text, codes=None, least=0, undefined=None):
        super().__init__(self.read)
        self.__doc__ = text
        self.section, self.kind, self.codes, self.least, self.undefined = section, kind, codes, least, undefined

    def __set_name__(self, owner, name):
        self.name = name

    def read(self, header):
        value = self.value(header._section(self.section)[self.name])
        return self.undefined if value is None else value

    def value(self, stored):
        """A stored value as Python's own."""
        if isinstance(stored, np.ndarray):
            values = tuple(map(self.value, stored))
            return values if any(value is not None for value in values) else None
        value = _plain(stored)
        return self.codes.of(value) if self.codes and value is not None else value

    def stored(self, value, header):
        """What is stored for a value; None is all ones, or no text. `header` is there for those that depend on it."""
        dtype = np.dtype(self.kind)
        if dtype.shape:
            values = dtype.shape[0] * (None,) if value is None else tuple(value)
            if len(values) != dtype.shape[0]:
                raise ValueError(f"{self.name} is {value}, expected {dtype.shape[0]} numbers")
            return [self._number(one, dtype.base) for one in values]
        if dtype.kind == "S":
            return self._text("" if value is None else value, dtype.itemsize)
        return self.codes.named(value) if self.codes and isinstance(value, str) else self._number(value, dtype)

    def _number(self, value, dtype):
        whole = dtype.kind == "u"
        most = (1 << 8 * dtype.itemsize) - 2 if whole else float(np.finfo(dtype).max)
        least = self.least if whole else -most
        if value is None:
            return most + 1 if whole else _UNDEFINED_FLOAT
        try:
            number = operator.index(value) if whole else float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{self.name} is {value!r}, expected a {'whole ' * whole}number") from None
        if not least <= number <= most + (self.name == "file_size"):  # where all ones are a size, if a cut one
            raise ValueError(f"{self.name} is {number}, expected {least} to {most}")
        return number

    def _text(self, value, room):
        if not isinstance(value, str):
            raise TypeError(f"{self.name} is {value!r}, expected text")
        data = value.encode()
        if len(data) > room:
            raise ValueError(f"{self.name} takes {len(data)} bytes, expected {room} or less")
        if "\0" in value:
            raise ValueError(f"{self.name} is {value!r}, expected text without a NUL, which ends it")
        return data


class _Aspect(Field):
    """Two numbers that are one fraction."""

    def value(self, stored):
        across, down = map(int, stored)
        return None if {across, down} & {0, _ONES} else Fraction(across, down)

    def stored(self, value, header):
        if value is None:
            return super().stored(None, header)
        try:
            if isinstance(value, str | tuple | list):  # 8:9, as it is printed, or the two numbers
                across, down = map(int, value.split(":")) if isinstance(value, str) else value
                value = Fraction(across, down)
            elif isinstance(value, float | np.floating):  # 0.9 means 9/10, not what is next to it in binary
                value = Fraction(float(value)).limit_denominator(65536)
            pair = Fraction(value).as_integer_ratio()
        except (TypeError, ValueError, ZeroDivisionError):
            raise ValueError(f"{self.name} is {value!r}, expected a fraction, such as Fraction(8, 9)") from None
        return super().stored(pair, header)


class _Rate(Field):
    """Frames per second. A file may hold any number; what is written is one that can be, or 0, for some undefined."""

    def stored(self, value, header):
        number = super().stored(value, header)
        if value is not None and number != 0 and not is_rate(number):
            raise ValueError(f"{self.name} is {number}, expected 0.0001 to 10000 frames a second")
        return number


class _Bcd(Field):
    """A timecode, two digits a byte.

    The frames' byte has two flags of SMPTE 12-1 above its six bits of digits: 0x40 is drop frame, 0x80 colour frame.
    But at 48 frames a second and more, files hold frames of 40 to 59, and no flags.
    """

    def read(self, header):
        number, flags = int(header.fields["television"]["timecode"]), 0xC0 if _has_flags(header) else 0
        separator = ";" if number & flags & 0x40 else ":"
        digits = f"{number & ~flags:08x}"
        try:
            return Timecode(":".join((digits[:2], digits[2:4], digits[4:6])) + separator + digits[6:])
        except ValueError:
            return None

    def stored(self, value, header):
        if value is None:
            return _ONES
        timecode, flags = Timecode(value), _has_flags(header)
        if flags and timecode.frames > 39:
            rate = "an unknown rate" if header.frame_rate is None else f"{header.frame_rate:g} frames/s"
            raise ValueError(f"timecode is {value!r}, expected frames of 39 or less, which is all that fits at {rate}")
        if timecode.drop_frame and not flags:
            raise ValueError(f"timecode is {value!r}, expected no drop frame at {header.frame_rate:g} frames/s")
        if timecode.dropped:
            raise ValueError(
                f"timecode is {value!r}, expected one that drop frame does not leave out: {timecode[:9]}02"
            )
        return int(re.sub("[:;]", "", timecode), 16) | 0x40 * timecode.drop_frame


def _has_flags(header):
    return header.frame_rate is None or header.frame_rate <= 40


# -- the header ------------------------------------------------------------------------------------------------------


class Header:
    """A DPX header: every byte before the pixels, and its values by name.

    What the file leaves undefined is None. Codes are members of `Descriptor`, `Transfer` and so on, or plain numbers
    where the standard has no such code. A header that ends before the film or television section reads as undefined
    there. Values of an element are those of the first; `elements` has them all.

    Headers do not change; `replace` gives a changed copy. `raw` is the bytes, `fields` the same as one structured
    record: ``header.fields["film"]["slate"]``.

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

    magic = Field("file", "S4", "SDPX in a big-endian file, XPDS in a little-endian one.")
    image_offset = Field("file", "u4", "Where the pixels start, unless the element says otherwise.")
    version = Field("file", "S8", "Version of the header format, V2.0 for one.")
    file_size = Field("file", "u4", "Bytes in the file, as its writer had it; wrong in many files.")
    ditto_key = Field("file", "u4", "0 if the frame is the same as the one before, 1 if it is new.")
    generic_size = Field("file", "u4", "Bytes of the generic header: 1664.")
    industry_size = Field("file", "u4", "Bytes of the film and television headers: 384.")
    user_size = Field("file", "u4", "Bytes of user data, as its writer had it; `user_data` is what is there.")
    file_name = Field("file", "S100", "Name of the file when it was written.")
    create_time = Field("file", "S24", "When it was written: yyyy:mm:dd:hh:mm:ss and the zone.")
    creator = Field("file", "S100", "The program that wrote it.")
    project = Field("file", "S200", "Name of the project.")
    copyright = Field("file", "S200", "Who has the rights, and what they are.")
    encryption_key = Field("file", "u4", "None where the pixels are not encrypted; many writers have 0 for that.")

    orientation = Field("image", "u2", "Where the first pixel is and how they go on.", Orientation)
    number_elements = Field("image", "u2", "How many elements there are; see `elements`.")
    width = Field("image", "u4", "Pixels per line.", least=1)
    height = Field("image", "u4", "Lines per element.", least=1)

    data_sign = Field("element", "u4", "1 if codes are signed.")
    low_code = Field("element", "u4", "The code of black, or of the lowest density.")
    low_quantity = Field("element", "f4", "What the low code means: a density, a voltage.")
    high_code = Field("element", "u4", "The code of white, or of the highest density.")
    high_quantity = Field("element", "f4", "What the high code means.")
    descriptor = Field("element", "u1", "What the components are.", Descriptor)
    transfer = Field("element", "u1", "How codes follow from light.", Transfer)
    colorimetric = Field("element", "u1", "What the primaries are.", Colorimetric)
    bits = Field("element", "u1", "Bits per component; 32 and 64 are floats.")
    packing = Field("element", "u2", "How codes lie in words.", Packing)
    encoding = Field("element", "u2", "1 if runs are encoded.")
    data_offset = Field("element", "u4", "Where the element's pixels start; see `pixel_offset`.")
    line_padding = Field("element", "u4", "Bytes after each line.", undefined=0)
    image_padding = Field("element", "u4", "Bytes after the element.")
    description = Field("element", "S32", "What the element is, in words.")

    x_offset = Field("source", "u4", "Pixels from the left of the original picture to this one.")
    y_offset = Field("source", "u4", "Lines from the top of the original picture to this one.")
    x_center = Field("source", "f4", "Column of the centre.")
    y_center = Field("source", "f4", "Line of the centre.")
    x_original_size = Field("source", "u4", "Pixels per line of the original picture.")
    y_original_size = Field("source", "u4", "Lines of the original picture.")
    source_file_name = Field("source", "S100", "Name of the file that it was made from.")
    source_create_time = Field("source", "S24", "When that was written.")
    input_device = Field("source", "S32", "Name of the scanner or camera.")
    input_serial_number = Field("source", "S32", "Its serial number.")
    border = Field("source", ("u2", (4,)), "Pixels that don't count at left, right, top and bottom.")
    pixel_aspect = _Aspect("source", ("u4", (2,)), "Width of a pixel over its height, as a `Fraction`.", least=1)

    film_manufacturer_id = Field("film", "S2", "Key code: who made the stock.")
    film_type = Field("film", "S2", "Key code: which stock.")
    film_offset = Field("film", "S2", "Key code: perforations from the mark.")
    film_prefix = Field("film", "S6", "Key code: the roll.")
    film_count = Field("film", "S4", "Key code: feet.")
    film_format = Field("film", "S32", "Format, Academy for one.")
    frame_position = Field("film", "u4", "Number of the frame in its sequence.")
    sequence_length = Field("film", "u4", "Frames in the sequence.")
    held_count = Field("film", "u4", "For how many frames it is held.")
    film_frame_rate = _Rate("film", "f4", "Frames per second of the film; see `frame_rate`.")
    shutter_angle = Field("film", "f4", "Degrees of the camera's shutter.")
    frame_id = Field("film", "S32", "A name for the frame.")
    slate = Field("film", "S100", "What the slate says.")

    timecode = _Bcd("television", "u4", "A `Timecode`; None where it is undefined or no timecode.")
    user_bits = Field("television", "u4", "The 32 bits that SMPTE 12-1 leaves to the user.")
    interlace = Field("television", "u1", "0 if the lines are of one field, 1 if of two.")
    field_number = Field("television", "u1", "Number of the field.")
    video_signal = Field("television", "u1", "Code of the video standard (table 4).")
    _padding = Field("television", "u1", "")
    horizontal_rate = Field("television", "f4", "Samples per second along a line.")
    vertical_rate = Field("television", "f4", "Samples per second down the lines.")
    television_frame_rate = _Rate("television", "f4", "Frames per second of the video; see `frame_rate`.")
    time_offset = Field("television", "f4", "Milliseconds from sync to the first pixel.")
    gamma = Field("television", "f4", "Exponent of the transfer characteristic.")
    black_level = Field("television", "f4", "Code of reference black.")
    black_gain = Field("television", "f4", "Gain below the break point.")
    break_point = Field("television", "f4", "Above it, the gamma holds.")
    white_level = Field("television", "f4", "Code of reference white.")
    integration_time = Field("television", "f4", "Seconds that the camera took for it.")

    def __init__(self, raw, name="header"):
        raw = bytes(raw)
        if len(raw) >= 4 and raw[:4] not in _MAGICS:
            raise not_dpx(name, raw[:4])
        if len(raw) < MIN_BYTES:
            raise DpxError(f"{name}: header is cut short: {len(raw)} bytes, expected {MIN_BYTES} or more")
        whole = raw[: _sections_end(raw)].ljust(FULL_BYTES, b"\xff")
        object.__setattr__(self, "raw", raw)
        object.__setattr__(self, "fields", np.frombuffer(whole, _DTYPES[_MAGICS[raw[:4]]])[0])

    @classmethod
    def read(cls, path):
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
    def new(cls, width, height, *, big_endian=True, descriptor="RGB", bits=10, packing=None, **values):
        """A header for a new file, with everything undefined but what is given here (see `replace`).

        Packing is method A at 10 and 12 bits and packed otherwise, unless it is given; the low and high code are 0 and
        the largest one.
        """
        fields = np.frombuffer(bytearray(b"\xff" * FULL_BYTES), _DTYPES[big_endian])
        for field in FIELDS.values():
            if np.dtype(field.kind).kind == "S":
                part = fields["image"]["element"] if field.section == "element" else fields[field.section]
                part[field.name] = b""
        file = fields["file"]
        file["magic"], file["image_offset"], file["version"] = b"SDPX" if big_endian else b"XPDS", FULL_BYTES, b"V2.0"
        file["generic_size"], file["industry_size"], file["user_size"] = MIN_BYTES, FULL_BYTES - MIN_BYTES, 0
        fields["image"]["element"]["data_offset"][:, 0] = FULL_BYTES
        white = _white(bits)
        usual = {
            "ditto_key": 1, "creator": "fastup", "orientation": 0, "number_elements": 1, "data_sign": 0, "encoding": 0,
            "low_code": None if white is None else 0, "high_code": white, "line_padding": 0, "image_padding": 0,
            "packing": (1 if bits in (10, 12) else 0) if packing is None else packing,
        }  # fmt: skip
        values = {**usual, "width": width, "height": height, "descriptor": descriptor, "bits": bits, **values}
        return cls(fields.tobytes()).replace(**values)

    # -- values that follow from others ------------------------------------------------------------------------------

    @property
    def big_endian(self):
        """True when the file's magic number reads SDPX."""
        return _MAGICS[self.raw[:4]]

    @property
    def elements(self):
        """An `Element` for each that the header declares: 1 to 8, whatever it says."""
        count = min(max(1, self.number_elements or 1), 8)
        return tuple(
            Element(*(FIELDS[name].value(record[name]) for name in Element._fields))
            for record in self.fields["image"]["element"][:count]
        )

    @property
    def channels(self):
        """Channels of the first element's frame, as `fastup.read` gives it."""
        return _CHANNELS.get(self.descriptor, 1)

    @property
    def samples(self):
        """Components that the first element stores for a pixel: `channels`, but of 4:2:2 one less."""
        return _STORED.get(self.descriptor, 1)

    @property
    def white(self):
        """The largest code: 1023 at 10 bits; None where there are floats."""
        return _white(self.bits)

    @property
    def pixel_offset(self):
        """Where the first element's pixels start, in bytes; the image's offset where its own is 0 or all ones."""
        return self.data_offset or int(self.fields["file"]["image_offset"])

    @property
    def frame_rate(self):
        """Frames per second: television's, or film's where that is undefined; None where both are."""
        return next(filter(is_rate, (self.television_frame_rate, self.film_frame_rate)), None)

    @property
    def user_data(self):
        """The bytes between the header's own and the pixels."""
        return self.raw[FULL_BYTES:]

    @property
    def flavour(self):
        """How the first element's pixels are stored, in words."""
        return f"{_flavour(self)}, {'big' if self.big_endian else 'little'}-endian"

    def _size(self):
        """Bytes of a file of this header and the pixels of its one element; None where that can't be told."""
        width, height, bits = self.width, self.height, self.bits
        if None in (width, height, bits) or len(self.elements) != 1:
            return None
        samples, filled = width * self.samples, self.packing in (Packing.METHOD_A, Packing.METHOD_B)
        if filled and bits == 10 and self.line_padding == 0 and self._runs_on():
            height, samples = 1, height * samples
        in_word = {10: 3, 12: 2}.get(bits) if filled else None
        words = -(-samples // in_word) if in_word else -(-samples * bits // 32)
        return len(self.raw) + height * (4 * words + self.line_padding)

    def _runs_on(self):
        """Whether it names a scanner whose rows of 10 bits are not padded to whole words, as the C core knows them."""
        return self.raw.startswith((b"Lasergraphics Inc.", b"DIAMANT-Film"), 160) or self.raw.startswith(
            b"Scanity", 1556
        )

    def _section(self, name):
        return self.fields["image"]["element"][0] if name == "element" else self.fields[name]

    def _first_pixel(self):
        """Where the pixels of any element start first, and the field that says so."""
        first, *others = (element.data_offset for element in self.elements)
        starts = [(first, "data offset (byte 808)") if first else (self.pixel_offset, "image offset (byte 4)")]
        starts += [(start, f"data offset (byte {808 + 72 * n})") for n, start in enumerate(others, 1) if start]
        return min((start for start in starts if start[0] >= MIN_BYTES), default=(MIN_BYTES, ""))

    # -- changes -----------------------------------------------------------------------------------------------------

    def replace(self, **values):
        """A copy with some values changed and every other byte as it was.

        Parameters
        ----------
        **values
            By the names of the properties; None is undefined. Codes may be given by name: ``descriptor="rgba"``.
            `frame_rate` is written to the film and to the television section. `big_endian` changes the byte order of
            every number. With `bits`, the low and high code, black and white level are scaled from the old white to
            the new one, and 10 or 12 bits of what was neither are packed by method A, unless they are given. With a
            `transfer` that is logarithmic where the old one was not, or the other way round, the low and high code and
            quantity no longer hold: they are undefined then, or the ends of all codes. With a frame rate, the timecode
            stays what it was, where there is a form for it. `file_size` follows how many bytes the pixels take. Where
            things lie (`image_offset`, `data_offset`, sizes of sections) cannot be replaced.

        Raises
        ------
        DpxError
            If the header is too short to hold the field.
        TypeError
            If there is no such value, or it cannot be replaced.
        ValueError
            If a value doesn't fit its field.
        """
        if bool(values.pop("big_endian", self.big_endian)) != self.big_endian:
            return self._swapped().replace(**values)
        if "frame_rate" in values:
            rate = values.pop("frame_rate")
            values = {"film_frame_rate": rate, "television_frame_rate": rate, **values}
        if values.keys() & {"bits", "transfer"}:
            values = {**self._following(values), **values}
        if "timecode" in values:  # last: how it is stored depends on the frame rate
            values["timecode"] = values.pop("timecode")
        kept = _sections_end(self.raw)
        raw = bytearray(self.raw[:kept].ljust(FULL_BYTES, b"\xff"))
        fields = np.frombuffer(raw, self.fields.dtype)
        for name, value in values.items():
            field = FIELDS.get(name)
            if field is None:
                raise TypeError(f"a header has no value {name!r} to replace")
            if name in _FIXED:
                raise TypeError(f"{name} says where things lie in the file and cannot be replaced")
            if {"film": 1920, "television": FULL_BYTES}.get(field.section, 0) > kept:
                if value is None:
                    continue  # which it is
                raise DpxError(f"the header has {len(self.raw)} bytes and no room for {name}")
            part = fields["image"]["element"][:, 0] if field.section == "element" else fields[field.section]
            part[name] = field.stored(value, Header(raw) if name == "timecode" else self)
        changed = Header(bytes(raw[:kept]) + self.raw[kept:])
        if "timecode" not in values and self.timecode not in (
            None,
            changed.timecode,
        ):  # it has another form at high rates
            with contextlib.suppress(ValueError):  # and there is none for drop frame
                changed = changed.replace(timecode=self.timecode)
        size = changed._size()
        if size in (None, self._size()) or "file_size" in values:
            return changed
        return changed.replace(file_size=size if size < _ONES else None)

    def only(self, element):
        """The header of a file that holds that element alone; its pixels follow the header at once.

        Raises
        ------
        ValueError
            If there is no such element.
        """
        count = len(self.elements)
        if not 0 <= operator.index(element) < count:
            raise ValueError(f"element is {element}, expected 0 to {count - 1}")
        if self.number_elements == 1:
            return self
        kept = _sections_end(self.raw)
        fields = np.frombuffer(bytearray(self.raw[:kept].ljust(FULL_BYTES, b"\xff")), self.fields.dtype)
        elements = fields["image"]["element"][0]
        elements[0] = elements[element]
        elements[1:] = np.frombuffer(b"\xff" * 72 * 7, elements.dtype)
        elements["description"][1:] = b""
        elements["data_offset"][0] = fields["file"]["image_offset"] = len(self.raw)
        fields["image"]["number_elements"] = 1
        alone = Header(fields.tobytes()[:kept] + self.raw[kept:])
        size = alone._size()
        return alone.replace(file_size=size if size and size < _ONES else None)

    def _swapped(self):
        kept = _sections_end(self.raw)
        whole = np.frombuffer(self.raw[:kept].ljust(FULL_BYTES, b"\xff"), self.fields.dtype)
        magic = b"XPDS" if self.big_endian else b"SDPX"
        return Header(magic + whole.byteswap().tobytes()[4:kept] + self.raw[kept:])

    def _following(self, values):
        """What follows from other bits and another transfer: how codes fill words, and the codes of black and white."""
        follow, old, new = {}, self.white, self.white
        if "bits" in values:
            FIELDS["bits"].stored(values["bits"], self)  # checked, before there are conclusions
            bits = values["bits"]
            new = _white(bits)
            if bits in (10, 12) and self.bits not in (10, 12):
                follow["packing"] = Packing.METHOD_A
            for name in ("low_code", "high_code", "black_level", "white_level"):
                code = getattr(self, name)
                if old and new != old and code is not None and 0 <= code <= old:
                    follow[name] = None if new is None else (2 * code * new + old) // (2 * old)
        if "transfer" in values:
            before = self.transfer
            after = Transfer.of(int(FIELDS["transfer"].stored(values["transfer"], self)))
            said = all(isinstance(code, Transfer) and code != Transfer.USER_DEFINED for code in (before, after))
            if said and (before in LOG) != (after in LOG):
                codes = (None, None) if after in LOG or new is None else (0, new)
                follow |= zip(
                    ("low_code", "high_code", "low_quantity", "high_quantity"), (*codes, None, None), strict=True
                )
        return follow

    # -- as a whole --------------------------------------------------------------------------------------------------

    def summary(self, file_bytes):
        """Pairs of a name and a text, for a person to read; what is undefined or usual is left out.

        Parameters
        ----------
        file_bytes : int
            Size of the file that the header came from.
        """
        aspect, rates = self.pixel_aspect, set(filter(is_rate, (self.television_frame_rate, self.film_frame_rate)))
        size = self.x_original_size, self.y_original_size
        key = self.film_manufacturer_id, self.film_type, self.film_offset, self.film_prefix, self.film_count
        rows = {
            "file": f"{file_bytes:,} bytes"
            + ("" if self.file_size in (file_bytes, None) else f" (the header says {self.file_size:,})"),
            "byte order": "big-endian" if self.big_endian else "little-endian",
            "picture": f"{self.width}x{self.height}, {_flavour(self)}, from byte {self.pixel_offset}",
        }
        for number, element in enumerate(self.elements[1:], 1):
            rows[f"element {number}"] = f"{_flavour(element)}, from byte {element.data_offset}"
        rows |= {
            "line padding": self.line_padding and f"{self.line_padding} bytes",
            "orientation": self.orientation and in_words(self.orientation),
            "pixel aspect": aspect
            and f"{aspect.numerator}:{aspect.denominator}, so that the picture is "
            f"{float(aspect * (self.width or 0) / (self.height or 1)):.3f}:1",
            "transfer": self.transfer is not None and in_words(self.transfer),
            "colorimetric": self.colorimetric is not None and in_words(self.colorimetric),
            "low, high code": f"{in_words(self.low_code)}, {in_words(self.high_code)}",
            "black, white level": self.white_level and f"{self.black_level or 0:g}, {self.white_level:g}",
            "timecode": self.timecode,
            "user bits": self.user_bits and f"{self.user_bits:08x}",
            "frame rate": self.frame_rate
            and f"{self.frame_rate:.6g} frames/s" + (f" (film: {self.film_frame_rate:.6g})" if len(rates) > 1 else ""),
            "frame position": self.frame_position is not None
            and str(self.frame_position) + (f" of {self.sequence_length}" if self.sequence_length else ""),
            "interlace": self.interlace == 1 and "2:1",
            "shutter angle": self.shutter_angle and f"{self.shutter_angle:g} degrees",
            "encryption key": self.encryption_key and f"{self.encryption_key:08x}",
            "original size": all(size) and size != (self.width, self.height) and "{}x{}".format(*size),
            "key code": " ".join(filter(None, key)),
            **{name.replace("_", " "): getattr(self, name) for name in _SHOWN},
            "user data": self.user_data and f"{len(self.user_data):,} bytes",
        }
        return [
            (name, _printable(f"{value:g}" if isinstance(value, float) else str(value)))
            for name, value in rows.items()
            if value
        ]

    def to_dict(self):
        """Every field by section, for JSON: undefined is None, codes are numbers, texts are str, no reserved bytes."""
        result = {section: _plain(self.fields[section]) for section in self.fields.dtype.names}
        result["image"]["element"] = result["image"]["element"][: len(self.elements)]
        result["television"]["timecode"] = self.timecode
        return result

    def __setattr__(self, name, value):
        raise AttributeError(f"a header does not change; replace({name}=...) gives a changed copy")

    def __reduce__(self):
        return Header, (self.raw,)

    def __eq__(self, other):
        return isinstance(other, Header) and self.raw == other.raw

    def __hash__(self):
        return hash(self.raw)

    def __repr__(self):
        return f"<Header {self.width}x{self.height}, {self.flavour}, timecode {self.timecode}>"


FIELDS = {name: field for name, field in vars(Header).items() if isinstance(field, Field) and name != "_padding"}
_SHOWN = (
    "held_count", "field_number", "video_signal", "gamma", "file_name", "create_time", "creator", "project",
    "copyright", "description", "source_file_name", "source_create_time", "input_device", "input_serial_number",
    "film_format", "frame_id", "slate",
)  # fmt: skip
_FIXED = {"magic", "image_offset", "generic_size", "industry_size", "user_size", "data_offset"}


def _dtype():
    rows = {"element": [], **{section: [] for section in _RESERVED}}
    for field in vars(Header).values():
        if isinstance(field, Field):
            rows[field.section].append((field.name, *(field.kind if isinstance(field.kind, tuple) else (field.kind,))))
    rows["image"].append(("element", rows.pop("element"), (8,)))
    return np.dtype([(name, [*part, ("reserved", f"V{_RESERVED[name]}")]) for name, part in rows.items()])


DTYPE_BIG = _dtype().newbyteorder(">")
DTYPE_LITTLE = DTYPE_BIG.newbyteorder("<")
_DTYPES = {True: DTYPE_BIG, False: DTYPE_LITTLE}

Element = namedtuple("Element", [name for name, field in FIELDS.items() if field.section == "element"])
Element.__doc__ = "One element of a file by the names that `Header` has for the first; what is undefined is None."


def not_dpx(name, magic):
    """The error for a file that starts with other bytes than a DPX; says whose they are where that is known."""
    whose = next((f"{kind}'s" for start, kind in _OTHERS.items() if magic.startswith(start)), repr(magic))
    return DpxError(f"{name}: not a DPX: the magic number (byte 0) is {whose}, expected SDPX or XPDS")


def is_rate(number):
    """Whether a number can be one of frames per second: negative ones cannot, nor those with their bytes swapped."""
    return number is not None and 1e-4 <= number <= 1e4


def _sections_end(raw):
    """Where the last section ends that is there as a whole; the film's ends at 1920, and half of one is none."""
    return next(end for end in (FULL_BYTES, 1920, MIN_BYTES) if len(raw) >= end)


def _white(bits):
    return (1 << bits) - 1 if bits is not None and 0 <= bits < 32 else None


def _flavour(element):
    """How an element (or a header's first) is stored, in words."""
    bits, descriptor, packing = element.bits, element.descriptor, element.packing
    size = ("undefined" if bits is None else f"{bits}-bit") + (" float" if bits in (32, 64) else "")
    kind = getattr(descriptor, "text", f"descriptor {in_words(descriptor)}")
    return f"{size} {kind}, {getattr(packing, 'text', f'packing {in_words(packing)}')}"


def in_words(number):
    """A number, and what it means where it is a code that the standard has; for None, undefined."""
    if number is None:
        return "undefined"
    return f"{int(number)} ({number.text})" if isinstance(number, Code) else str(number)


def _text(value):
    """Text up to its terminator; whatever is not UTF-8 is read as Latin-1. Undefined or empty is None."""
    value = value.split(b"\0")[0].rstrip(b"\xff")
    try:
        return value.decode() or None
    except UnicodeDecodeError:
        return value.decode("latin-1")


def _printable(text):
    """Text that neither breaks a line nor speaks to a terminal, whatever a file holds."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _plain(value):
    """A stored value as Python's own, sections and arrays too; what is undefined is None."""
    if isinstance(value, np.void):
        names = [name for name in value.dtype.names if name not in ("reserved", "_padding")]
        return {name: _plain(value[name]) for name in names}
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return _text(value)
    if isinstance(value, np.floating):
        return float(value) if math.isfinite(value) else None  # all ones is a NaN
    return None if int(value) == (1 << 8 * value.itemsize) - 1 else int(value)
