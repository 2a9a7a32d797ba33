"""What is odd in a header: each oddity has a file that shows it, and a usual one beside it that does not."""

import re
import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastup
from fastup import _dpx
from fastup.codes import Descriptor
from fastup.errors import DpxError
from fastup.header import Header
from fastup.oddities import oddities

ONES = 0xFFFFFFFF
USUAL = {
    "pixel_aspect": Fraction(10, 11), "transfer": "rec_601_525", "colorimetric": "rec_601_525",
    "timecode": "01:02:03;04", "frame_rate": 29.97, "file_size": None,
}  # fmt: skip


def a_file(at=(), length=2048, more=0, unpadded=None, size=(720, 486), **values):
    """A header and the size of its file: a usual one, but for `values`, and for numbers put `at` bytes.

    `length` is where the header ends, `more` what follows the pixels. `unpadded` is how many bytes all rows take.
    """
    header = Header.new(*size, **USUAL | values)
    raw = bytearray(header.raw[:length].ljust(length, b"\x11"))
    order = ">" if header.big_endian else "<"
    if length != 2048:
        struct.pack_into(order + "I", raw, 4, length)
        struct.pack_into(order + "I", raw, 808, length)
    for place, kind, *numbers in at:
        struct.pack_into(order + kind, raw, place, *numbers)
    header = Header(bytes(raw))
    try:
        end = _dpx.layout(header.raw).end
    except DpxError:
        end = length + 4 * 720 * 486
    return header, (end if unpadded is None else length + unpadded) + more


CASES = {
    # colours and shapes
    "aspect the wrong way round": (
        {"pixel_aspect": Fraction(9, 8), "size": (720, 480)}, {"pixel_aspect": Fraction(8, 9), "size": (720, 480)},
        "pixel aspect is 9:8, so that the picture is 1.688:1; 8:9 would make it 4:3: FFmpeg .* too wide",
    ),
    "of 486 lines": ({"pixel_aspect": Fraction(9, 8)}, {"pixel_aspect": Fraction(8, 9)}, "is 1.667:1; 8:9 .* 4:3"),
    "for 704 pixels": ({"pixel_aspect": Fraction(11, 10)}, {"pixel_aspect": Fraction(10, 11)}, "10:11 .* 4:3"),
    "of PAL": (
        {"pixel_aspect": Fraction(11, 12), "size": (720, 576)}, {"pixel_aspect": Fraction(12, 11), "size": (720, 576)},
        "12:11 would make it 4:3: .* too narrow",
    ),
    "of a wide picture": (
        {"pixel_aspect": Fraction(27, 32), "size": (720, 480)}, {"pixel_aspect": Fraction(32, 27), "size": (720, 480)},
        "32:27 would make it 16:9",
    ),
    "of HDV": (
        {"pixel_aspect": Fraction(3, 4), "size": (1440, 1080)}, {"pixel_aspect": Fraction(4, 3), "size": (1440, 1080)},
        "4:3 would make it 16:9",
    ),
    "no aspect": (None, {"pixel_aspect": None}, ""),
    "square": (None, {"pixel_aspect": 1, "size": (1440, 1080)}, ""),
    "anamorphic film": (None, {"pixel_aspect": 2, "size": (2048, 1744)}, ""),
    "transfer and colorimetric swapped": (
        {"transfer": 6, "colorimetric": 3}, {"transfer": 3, "colorimetric": 6, "low_code": 95, "high_code": 685},
        r"colorimetric \(byte 802\) is 3 \(logarithmic\), .* is 6 \(Rec.709\): they look swapped, .* for logarithmic",
    ),
    "swapped with nothing": (
        {"transfer": None, "colorimetric": 2}, {"transfer": 2, "bits": 16}, "is undefined: they look swapped",
    ),
    "both logarithmic": (None, {"transfer": 3, "colorimetric": 3, "low_code": 95, "high_code": 685}, ""),
    "log without codes": (
        {"transfer": 3, "low_code": None}, {"transfer": 3, "low_code": 95, "high_code": 685},
        "transfer is logarithmic, but low and high code are undefined and 1023, .*ImageMagick takes 95 and 685",
    ),
    "densities from 0 to white": ({"transfer": 1}, {"transfer": 6}, "transfer is printing density, .* are 0 and 1023"),
    "densities from 0 to 0": ({"transfer": 1, "high_code": 0}, {"transfer": 0}, "are 0 and 0, which does not say"),
    "linear in few bits": ({"transfer": 2}, {"transfer": 2, "bits": 16}, "transfer is linear, at 10 bits: FFmpeg 5.1"),
    # places
    "cut short": (
        {"more": -1}, {"more": 1, "file_size": None}, "image data is cut short: .* expected 1401728 or more: no program"
    ),
    "an unknown packing": ({"packing": 3}, {}, r"fastup cannot read it: packing \(byte 804\) is 3, expected 0"),
    "offset 0": ({"at": [(808, "I", 0)]}, {}, r"data offset \(byte 808\) is 0, .* takes the header for pixels"),
    "no offset": ({"at": [(808, "I", ONES)]}, {}, "is undefined, .*: OpenImageIO refuses"),
    "an image offset that is none": ({"at": [(4, "I", 0)]}, {}, r"image offset \(byte 4\) is 0: GraphicsMagick"),
    "two offsets": (
        {"length": 8192, "at": [(4, "I", 2048)]}, {"length": 8192},
        r"data offset \(byte 808\) is 8192, but image offset \(byte 4\) is 2048: FFmpeg",
    ),
    "line padding": ({"line_padding": 8}, {"line_padding": None}, "each line ends with 8 bytes of padding: FFmpeg, Im"),
    "upside down": ({"orientation": 2}, {"orientation": 0}, "pixels run left to right, bottom to top: FFmpeg shows"),
    "no orientation": ({"orientation": None}, {}, r"orientation \(byte 768\) is undefined: ImageMagick and"),
    "unpadded rows": (
        {"bits": 8, "size": (719, 486), "unpadded": 719 * 3 * 486}, {"bits": 8},
        "rows don't end on words of 32 bits, but run on, as the file's size tells: ImageMagick and Gr",
    ),
    "unpadded rows of 10 bits": (
        {"descriptor": "luma", "size": (722, 480), "unpadded": 722 * 480 // 3 * 4, "pixel_aspect": None},
        {"descriptor": "luma"}, "rows don't .*size tells: FFmpeg 8.1 reads that from Scanity .*, the others refuse",
    ),
    "unpadded rows of a scanner": (
        {"descriptor": "luma", "size": (722, 480), "pixel_aspect": None, "creator": "Lasergraphics Inc."},
        {"descriptor": "luma"}, r"but run on, as Lasergraphics Inc\. writes them: FFmpeg 8.1 reads that",
    ),
    "unpadded rows of a device": (
        {"descriptor": "luma", "size": (722, 480), "pixel_aspect": None, "input_device": "Scanity HDR"},
        {"descriptor": "luma", "input_device": "Scanity"}, "but run on, as Scanity writes them",
    ),
    "unpadded rows of 16 bits": (
        {"bits": 16, "size": (719, 486), "unpadded": 719 * 6 * 486}, {"bits": 16}, "ImageMagick refuses some such",
    ),
    "padded rows of 8 bits": (
        {"bits": 8, "size": (719, 486)}, {"bits": 8}, "rows of 2157 bytes are padded to 2160, .*: Open",
    ),
    "padded rows of 16 bits": (
        {"bits": 16, "size": (719, 486)}, {"bits": 16}, "rows of 4314 bytes are padded to 4316, .* mostly ImageMagick",
    ),
    "padded rows of 12 bits": (
        {"bits": 12, "size": (719, 486)}, {"bits": 12, "packing": 0, "size": (719, 486)}, "padded to 4316",
    ),
    # flavours
    "floats": ({"bits": 32}, {}, "codes are floats: FFmpeg and GraphicsMagick refuse"),
    "one bit": ({"bits": 1}, {}, "there is 1 bit per component: OpenImageIO and FFmpeg refuse"),
    "red alone": ({"descriptor": "red", "bits": 8}, {"descriptor": "luma", "bits": 8}, "is R: GraphicsMagick refuses"),
    "red in 16 bits": ({"descriptor": "red", "bits": 16}, {"descriptor": "luma", "bits": 16}, "FFmpeg and Gr.* refuse"),
    "depth": ({"descriptor": "depth", "bits": 8}, {}, "its one component is depth: FFmpeg and GraphicsMagick refuse"),
    "method B": ({"packing": "method_b"}, {}, "codes are packed by method B: ImageMagick reads wrong ones"),
    "packed": ({"packing": 0}, {}, "codes of 10 bits are packed without filling: FFmpeg refuses the file$"),
    "packed RGBA": ({"packing": 0, "descriptor": "rgba"}, {"descriptor": "rgba"}, "FFmpeg .*, ImageMagick reads"),
    "RGBA of 12 bits": ({"bits": 12, "descriptor": "rgba"}, {"bits": 12}, "RGBA is of 12 bits: ImageMagick reads"),
    "luma of 12 bits": (
        {"bits": 12, "descriptor": "luma", "packing": 0}, {"bits": 12, "descriptor": "luma"}, "luma is of 12 bits"
    ),
    "ABGR": ({"descriptor": "abgr"}, {"descriptor": "rgba"}, "components are ABGR: FFmpeg refuses the file, Im"),
    "ABGR of 8 bits": ({"descriptor": "abgr", "bits": 8}, {}, "components are ABGR: ImageMagick takes them for RGBA"),
    "4:2:2": (
        {"descriptor": "cbycry", "bits": 8}, {},
        "components are CbYCrY 4:2:2: OpenImageIO shows wrong colours, ImageMagick takes them for RGB",
    ),
    "4:4:4 without a colorimetric": (
        {"descriptor": "cbycr", "colorimetric": None}, {"colorimetric": None},
        "are CbYCr 4:4:4: FFmpeg refuses the file, OpenImageIO refuses it for its colorimetric, Im",
    ),
    "RGBA with a code by itself": (
        {"descriptor": "rgba", "size": (721, 486)}, {"descriptor": "rgba"}, "the last code of a row .* OpenImageIO re",
    ),
    "luma that does not fill its words": (
        {"descriptor": "luma", "size": (721, 486)}, {"descriptor": "luma"},
        "one component of 721 pixels does not fill .*: OpenImageIO and ImageMagick read its end wrong",
    ),
    "luma that nearly does": ({"descriptor": "luma", "size": (722, 486)}, {"descriptor": "luma"}, "OpenImageIO reads"),
    "luma, little-endian": (
        {"descriptor": "luma", "big_endian": False}, {"big_endian": False}, "little-endian: ImageMagick reads every",
    ),
    # numbers
    "signed": ({"data_sign": None}, {}, r"data sign \(byte 780\) is undefined: OpenImageIO takes the codes for signed"),
    "an undefined encoding": ({"encoding": None}, {}, r"encoding \(byte 806\) is undefined: FFmpeg refuses the file"),
    "a file size beyond the file": (
        {"file_size": 2**32 - 5}, {"file_size": 2048 + 4 * 720 * 486},
        r"file size \(byte 16\) is 4,294,967,291, but the file has 1,401,728 bytes: GraphicsMagick refuses the file",
    ),
    "a file size of the header's": ({"file_size": 2048}, {"file_size": 0}, "GraphicsMagick refuses the file"),
    "a file size too small": ({"file_size": 4096}, {"file_size": None}, ": the others go by the real size"),
    "a user size beyond the file": (
        {"at": [(32, "I", 1 << 24)]}, {"at": [(32, "I", 6144)]}, r"user size \(byte 32\) is 16,777,216, more",
    ),
    "encrypted": ({"encryption_key": 5}, {"encryption_key": 0}, r"encryption key \(byte 660\) is 5: FFmpeg warns"),
    "no version": ({"version": None}, {"version": "V1.0"}, r"version \(byte 8\) is None, expected 'V2.0' or"),
    "a short header": (
        {"length": 1664, "timecode": None, "frame_rate": None}, {"length": 2048},
        "the pixels start at byte 1664, where the film or television header would be: OpenImageIO",
    ),
    # times
    "a timecode that is none": (
        {"at": [(1920, "I", 0xFA0B0C0D)]}, {"at": [(1920, "I", ONES)]}, r"timecode \(byte 1920\) is fa0b0c0d, which",
    ),
    "a timecode at no rate": (
        {"frame_rate": None}, {"frame_rate": None, "timecode": "00:00:00:00"}, "there is a timecode, but no frame rate",
    ),
    "a timecode at a high rate": (
        {"frame_rate": 59.94, "timecode": "01:02:03:45"}, {"frame_rate": 59.94, "timecode": "01:02:03:00"},
        r"the timecode ends with 45 frames, at 59\.94 a second: OpenImageIO shows 5, FFmpeg 10",
    ),
    "no number of elements": (
        {"number_elements": None}, {}, r"number of elements \(byte 770\) is undefined: OpenImageIO and FFmpeg read the",
    ),
    "no elements": ({"number_elements": 0}, {}, r"elements \(byte 770\) is 0: OpenImageIO and FFmpeg read the"),
    "two rates": (
        {"film_frame_rate": 24}, {"film_frame_rate": None}, r"film has 24 frames/s, television 29\.97: FFm",
    ),
    "a timecode that drop frame leaves out": (
        {"at": [(1920, "I", 0x00010040)]}, {"at": [(1920, "I", 0x00010240)]},
        "the timecode is 00:01:00;00, which drop frame leaves out: OpenImageIO and FFmpeg",
    ),
    "which it does not in a tenth minute": (None, {"timecode": "00:10:00;00"}, ""),
    "nor without drop frame": (None, {"timecode": "00:01:00:00"}, ""),
    "drop frame at 25": ({"frame_rate": 25}, {"frame_rate": 25, "timecode": "01:02:03:04"}, "drop frame, at 25"),
    "more frames than there are": (
        {"frame_rate": 24, "timecode": "01:02:03:24"}, {"frame_rate": 24, "timecode": "01:02:03:23"},
        "the timecode is 01:02:03:24, at 24 frames a second: Open",
    ),
    "the last frame at 29.97": (None, {"timecode": "01:02:03;29"}, ""),
    "a negative rate": (
        {"at": [(1724, "f", -24)]}, {"film_frame_rate": None},
        r"film frame rate \(byte 1724\) is -24, which is none: FFmpeg passes over it, OpenImageIO does not$",
    ),
    "a rate of swapped bytes": (
        {"at": [(1940, "I", 0x8FC2EF41)]}, {"film_frame_rate": None}, r"is -1.\d*e-29 \(with .* way round, 29.97\)",
    ),
    "swapped bytes that are hardly above 0": (
        {"at": [(1724, "I", 0x0000C041)]}, {"film_frame_rate": None}, r"is 6.89\d*e-41 \(with .* way round, 24\)",
    ),
    "a rate without an end": (
        {"at": [(1940, "f", float("inf"))]}, {}, r"television frame rate \(byte 1940\) is inf, which is none",
    ),
    # texts
    "texts without an end": (
        {"creator": "c" * 100, "slate": "s" * 100}, {"creator": "c" * 99, "film_type": "EX", "create_time": "t" * 24},
        "creator, slate: not terminated; OpenImageIO reads on",
    ),
    "texts in Latin-1": (
        {"at": [(260, "4s", b"Zo\xeb")]}, {"project": "Zo\u00eb"},
        "project: not UTF-8, here read as Latin-1; OpenImageIO gives the bytes undecoded$",
    ),
    "a creator in Latin-1": ({"at": [(160, "4s", b"Zo\xeb")]}, {"creator": "Zo\u00eb"}, "undecoded, PyAV raises"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_oddity_and_the_usual_beside_it(name):
    odd, usual, words = CASES[name]
    assert oddities(*a_file(**usual)) == []
    if odd is not None:
        found = oddities(*a_file(**odd))
        assert len(found) == 1, found
        assert re.search(words, found[0]), found[0]
        assert found[0].isprintable()


@pytest.mark.parametrize(
    ("asked", "first", "second"),
    [
        (
            {"orientation": 4},
            "orientation (byte 768) is 4, expected",
            "lines are columns (top to bottom, left",
        ),
        ({"orientation": 9}, "orientation (byte 768) is 9, expected", "orientation (byte 768) is 9: ImageMag"),
        (
            {"number_elements": 9},
            "number of image elements (byte 770) is 9",
            "number of elements (byte 770) is 9: Open",
        ),
    ],
)
def test_what_fastup_does_not_read_and_others_may(asked, first, second):
    found = oddities(*a_file(**asked))
    assert len(found) == 2
    assert found[0].startswith(f"fastup cannot read it: {first}")
    assert found[1].startswith(second)


def test_several_elements():
    header, size = a_file(number_elements=2)
    second = header.raw[780:852]
    raw = header.raw[:852] + second[:28] + struct.pack(">I", size) + second[32:] + header.raw[924:]
    found = oddities(Header(raw), 2 * size - 2048)
    assert found == [
        "there are 2 elements: FFmpeg reads the first alone, OpenImageIO the others as subimages; ImageMagick refuses "
        "the file, and GraphicsMagick most such"
    ]
    assert oddities(Header(raw).only(1), size) == []


def test_the_file_that_restorers_have():
    """As Apple Compressor writes them: all that is odd is the pixel aspect."""
    header, size = a_file(
        size=(720, 480), big_endian=False, length=8192, transfer=3, colorimetric=1, low_code=95, high_code=685,
        frame_rate=23.976, pixel_aspect=Fraction(9, 8), timecode="01:00:00:00",
    )  # fmt: skip
    assert oddities(header, size) == [
        "pixel aspect is 9:8, so that the picture is 1.688:1; 8:9 would make it 4:3: FFmpeg and OpenImageIO go by the "
        "header, which is too wide if that is what was meant"
    ]
    assert oddities(header.replace(pixel_aspect=Fraction(8, 9)), size) == []


def test_a_new_header_has_nothing_odd():
    for bits in (8, 10, 12, 16):
        header = Header.new(1920, 1080, bits=bits)
        assert oddities(header, _dpx.layout(header.raw).end) == []


def test_the_gravest_comes_first():
    odd = {"pixel_aspect": Fraction(9, 8), "transfer": 2, "packing": 2, "version": None, "creator": "c" * 100}
    found = oddities(*a_file(more=-1, **odd))
    starts = ["image data is cut", "pixel aspect", "transfer", "codes are packed", "version", "creator"]
    assert [text[: len(start)] for text, start in zip(found, starts, strict=True)] == starts


@given(
    st.sampled_from([b"SDPX", b"XPDS"]), st.binary(min_size=1660, max_size=2600), st.integers(0, 2**40),
    st.dictionaries(st.sampled_from(["width", "height", "bits", "packing", "descriptor"]), st.integers(1, 60)),
)  # fmt: skip
@settings(deadline=None, max_examples=300)
def test_any_header_has_its_oddities(magic, rest, file_bytes, values):
    header = Header(magic + rest).replace(**values)
    for text in oddities(header, file_bytes):
        assert type(text) is str
        assert text.isprintable()
        assert ": " in text or "; " in text


# -- what OpenImageIO does -------------------------------------------------------------------------------------------


def seen_by_openimageio(path):
    """The picture as OpenImageIO has it, or None where it refuses."""
    import OpenImageIO as oiio

    image = oiio.ImageInput.open(str(path))
    if image is None:
        assert oiio.geterror()
        return None
    pixels = image.read_image("float")
    image.close()
    return pixels


def written(folder, **asked):
    header, size = a_file(**{"size": (10, 486), "pixel_aspect": None} | asked)
    pixels = np.random.default_rng(1).integers(0, 256, size - len(header.raw), np.uint8)
    if header.bits == 32:
        pixels = np.random.default_rng(1).random(pixels.size // 4, np.float32).astype(">f4").view(np.uint8)
    path = folder / "f.dpx"
    path.write_bytes(header.raw + pixels.tobytes())
    return path


def openimageio_version():
    import OpenImageIO as oiio

    return oiio.VERSION_STRING


@pytest.mark.parametrize(
    ("asked", "right"),
    [
        ({}, True), ({"packing": 2}, True), ({"packing": 0}, True), ({"descriptor": "abgr", "size": (9, 486)}, True),
        ({"line_padding": 8}, True), ({"orientation": 2}, False), ({"bits": 32}, True),
        ({"length": 8192, "at": [(4, "I", 2048)]}, True), ({"encoding": None}, True), ({"at": [(808, "I", 0)]}, False),
        ({"at": [(808, "I", ONES)]}, False), ({"data_sign": None}, False), ({"at": [(32, "I", 1 << 24)]}, False),
        ({"bits": 8, "size": (9, 486)}, False), ({"bits": 8, "size": (8, 486)}, True),
        ({"bits": 8, "size": (9, 486), "unpadded": 27 * 486}, True), ({"bits": 16, "size": (9, 486)}, False),
        ({"bits": 12, "size": (9, 486)}, False), ({"bits": 12, "size": (9, 486), "packing": 0}, True),
        ({"descriptor": "rgba", "size": (10, 486)}, False), ({"descriptor": "rgba", "size": (11, 486)}, True),
        ({"descriptor": "luma", "size": (10, 486)}, False), ({"descriptor": "luma", "size": (12, 486)}, True),
        ({"bits": 1, "descriptor": "luma"}, False), ({"orientation": None}, True),
    ],
)  # fmt: skip
def test_what_is_said_of_openimageio_is_so(tmp_path, asked, right):
    """Where a text speaks ill of it, its picture is not ours; elsewhere it is."""
    if not openimageio_version().startswith("3.2."):
        pytest.skip("the texts are of OpenImageIO 3.2")
    path = written(tmp_path, **asked)
    header = fastup.read_header(path)
    told = any(
        "OpenImageIO" in text and "OpenImageIO the others" not in text for text in oddities(header, path.stat().st_size)
    )
    assert told is not right
    seen, ours = seen_by_openimageio(path), fastup.read(path, dtype="float32")
    same = seen is not None and seen.shape == ours.shape and np.allclose(seen, ours, atol=2e-5)
    assert same is right
    if header.descriptor == Descriptor.ABGR:
        assert ours.shape[2] == 4
