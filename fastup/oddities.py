"""What is odd in a DPX file by its header, and what other programs make of it.

They are OpenImageIO 3.2, FFmpeg 5.1 and 8.1, ImageMagick 6.9 and GraphicsMagick 1.3. Each claim was checked by letting
them read files written for it.
"""

from fractions import Fraction

import numpy as np

from fastup import _dpx
from fastup._header_fields import Text, is_rate
from fastup._types import StrPath
from fastup.codes import CHROMA, LOG, Colorimetric, Descriptor, Packing, Transfer, in_words
from fastup.errors import DpxError
from fastup.header import FIELDS, FULL_BYTES, MIN_BYTES, Header

_SHAPES = {"4:3": Fraction(4, 3), "16:9": Fraction(16, 9)}
_NO_COLOUR = set(Transfer) - set(Colorimetric)  # codes that only a transfer can be
_MATRICES = {Colorimetric.SMPTE_274M, Colorimetric.REC_709, Colorimetric.REC_601_625, Colorimetric.REC_601_525}
_READ_ON = {  # texts that OpenImageIO reads until it meets a NUL
    "creator", "project", "copyright", "source_file_name", "input_device", "input_serial_number", "film_format",
    "frame_id", "slate",
}  # fmt: skip


# Not formatted, so that a message starts behind its bracket.
# fmt: off
def oddities(header: Header, file_bytes: int, path: StrPath | None = None) -> list[str]:
    """What is odd in a file of that header and size, gravest first: a line each, with what other programs make of it.

    `path` is the file itself, for a look at its pixels where they alone tell how its rows lie.
    """
    layout, problems = None, []
    try:
        layout = _dpx.layout(header.raw, file_bytes) if path is None else _dpx.probe(path)
    except DpxError as error:
        problem = str(error).removeprefix("header: ").removeprefix(f"{path}: ")
        try:
            _dpx.layout(header.raw)
        except DpxError:
            problems = [f"fastup cannot read it: {problem}"]
        else:  # all that is wrong is the size of the file
            problems = [f"{problem}: no program reads it"]
    return [*problems, *_shape(header), *_colour(header), *_place(header, file_bytes), *_rows(header, layout),
            *_flavour(header), *_sizes(header, file_bytes), *_times(header), *_texts(header)]


def _shape(header):
    aspect, width, height = header.pixel_aspect, header.width, header.height
    if not (aspect and width and height):
        return
    shape, turned = aspect * width / height, Fraction(width, height) / aspect
    if any(_near(shape, usual) for usual in _SHAPES.values()):
        return
    for name, usual in _SHAPES.items():
        if _near(turned, usual):
            yield (f"pixel aspect is {_ratio(aspect)}, so that the picture is {float(shape):.3f}:1; "
                   f"{_ratio(1 / aspect)} would make it {name}: FFmpeg and OpenImageIO go by the header, which is too "
                   f"{'wide' if aspect > 1 else 'narrow'} if that is what was meant")


def _near(shape, usual):
    # For 4:3, both 8:9 and 10:11 are in use, by whether 720 or 704 pixels are to fill it.
    return abs(shape / usual - 1) < 0.03


def _ratio(aspect):
    return f"{aspect.numerator}:{aspect.denominator}"


def _colour(header):
    transfer, colorimetric, codes = header.transfer, header.colorimetric, (header.low_code, header.high_code)
    if colorimetric in _NO_COLOUR and transfer not in _NO_COLOUR | LOG:
        meant = Transfer(colorimetric)
        yield (f"colorimetric (byte 802) is {in_words(meant)}, which only transfer (byte 801) can be, and that is "
               f"{in_words(transfer)}: they look swapped, and no program takes the file for {meant.text}")
    if transfer in LOG and (None in codes or codes in ((0, 0), (0, header.white))):
        low, high = map(in_words, codes)
        yield (f"transfer is {transfer.text}, but low and high code are {low} and {high}, which does not say where "
               "black and white are: ImageMagick takes 95 and 685, as it always does")
    if transfer == Transfer.LINEAR and header.bits in (8, 10):
        yield (f"transfer is linear, at {header.bits} bits: FFmpeg 5.1 writes that whatever the picture is, and "
               "OpenImageIO and FFmpeg believe it")


def _place(header, file_bytes):
    """Where the pixels are."""
    image, own, orientation, count = header.image_offset, header.data_offset, header.orientation, len(header.elements)
    if header.number_elements not in range(1, 9):
        yield (f"number of elements (byte 770) is {in_words(header.number_elements)}: OpenImageIO and FFmpeg read the "
               "first, ImageMagick and GraphicsMagick refuse the file")
    elif count > 1:
        yield (f"there are {count} elements: FFmpeg reads the first alone, OpenImageIO the others as subimages; "
               "ImageMagick refuses the file, and GraphicsMagick most such")
    if not own:
        what = "refuses the file" if own is None else "takes the header for pixels"
        yield f"data offset (byte 808) is {in_words(own)}, which stands for the image offset: OpenImageIO {what}"
    elif image is None or not MIN_BYTES <= image < file_bytes:
        yield f"image offset (byte 4) is {in_words(image)}: GraphicsMagick refuses it, FFmpeg too or reads from there"
    elif own != image:
        yield (f"data offset (byte 808) is {own}, but image offset (byte 4) is {image}: FFmpeg goes by the latter, and "
               "its picture is shifted")
    if header.line_padding:
        yield (f"each line ends with {header.line_padding} bytes of padding: FFmpeg, ImageMagick and GraphicsMagick "
               "take them for pixels, and their picture leans")
    if orientation is None or orientation > 7:
        yield f"orientation (byte 768) is {in_words(orientation)}: ImageMagick and GraphicsMagick refuse the file"
    elif orientation > 3:
        yield (f"lines are columns ({orientation.text}): OpenImageIO shears the picture, FFmpeg shows it lying; "
               "ImageMagick and GraphicsMagick too, with the orientation in their metadata")
    elif orientation:
        yield (f"pixels run {orientation.text}: FFmpeg shows them as they are stored; OpenImageIO, ImageMagick and "
               "GraphicsMagick too, with the orientation in their metadata")


def _rows(header, layout):
    """How rows end."""
    if layout is None:
        return
    width, samples, filled = layout.shape[1], header.samples, header.packing in (Packing.METHOD_A, Packing.METHOD_B)
    if header.bits == 10 and filled and not layout.unpadded:  # three codes to a word
        if samples == 1 and width % 3:
            others = "OpenImageIO reads" if header.big_endian and width % 3 == 2 else "OpenImageIO and ImageMagick read"
            yield f"one component of {width} pixels does not fill the last word of a row: {others} its end wrong"
        elif samples > 1 and samples * width % 3 == 1:
            yield "the last code of a row has a word of its own: OpenImageIO reads that code wrong"
    if header.descriptor in CHROMA:  # which others read in worse ways
        return
    size = {8: 1, 16: 2, 12: 2 if header.packing else 0}.get(header.bits, 0)  # whole bytes of a code
    used = width * samples * size
    if layout.reason == "pixels" and not layout.unpadded:
        yield "rows may end on words of 32 bits or run on, by the file's size: by its pixels, they end on words"
    if layout.unpadded:
        ffmpeg = "FFmpeg 8.1 reads that from Scanity and Lasergraphics alone, " if header.bits == 10 and filled else ""
        others = {0: f"{ffmpeg}the others refuse the file", 1: "ImageMagick and GraphicsMagick refuse the file",
                  2: "ImageMagick refuses some such files"}
        scanner = "Scanity" if (header.input_device or "").startswith("Scanity") else header.creator
        known_by = {"writer": f"{scanner} writes them", "size": "the file's size tells", "pixels": "its pixels tell"}
        yield f"rows don't end on words of 32 bits, but run on, as {known_by[layout.reason]}: {others[size]}"
    elif used % 4:
        others = "OpenImageIO" if size == 1 else "OpenImageIO, GraphicsMagick and mostly ImageMagick"
        yield (f"rows of {used} bytes are padded to {used + -used % 4}, as they should be: {others} take the padding "
               "for pixels, and the picture leans")


def _flavour(header):
    """Ways to store pixels that others don't know."""
    bits, descriptor, packing, samples = header.bits, header.descriptor, header.packing, header.samples
    name = getattr(descriptor, "text", in_words(descriptor))
    refusing = []
    if bits == 32:
        yield "codes are floats: FFmpeg and GraphicsMagick refuse the file, ImageMagick shows noise"
    elif bits == 1:
        yield "there is 1 bit per component: OpenImageIO and FFmpeg refuse the file, ImageMagick shows noise"
    elif samples == 1:
        if not (descriptor == Descriptor.LUMA or (bits == 8 and descriptor in range(1, 5))):
            refusing.append("FFmpeg")
        if descriptor != Descriptor.LUMA:
            refusing.append("GraphicsMagick")
    if refusing:
        verb = "refuse" if len(refusing) > 1 else "refuses"
        yield f"its one component is {name}: {' and '.join(refusing)} {verb} the file"
    if bits in (10, 12) and packing == Packing.METHOD_B:
        yield "codes are packed by method B: ImageMagick reads wrong ones"
    elif bits == 10 and packing == Packing.PACKED:
        others = "" if descriptor == Descriptor.RGB else ", ImageMagick reads wrong codes"
        yield f"codes of 10 bits are packed without filling: FFmpeg refuses the file{others}"
    elif bits == 12 and (descriptor == Descriptor.RGBA or (samples == 1 and packing == Packing.PACKED)):
        yield f"{name} is of 12 bits: ImageMagick reads wrong codes"
    if bits == 10 and samples == 1 and packing != Packing.PACKED and not header.big_endian:
        yield "one component at 10 bits is little-endian: ImageMagick reads every three pixels in reverse"
    if descriptor == Descriptor.ABGR:
        ffmpeg = "" if bits == 8 else "FFmpeg refuses the file, "
        yield f"components are ABGR: {ffmpeg}ImageMagick takes them for RGBA, GraphicsMagick shows wrong colours"
    elif descriptor in CHROMA:
        known = bits == 8 and header.big_endian and descriptor != Descriptor.CBYACRYA
        openimageio = "shows wrong colours" if header.colorimetric in _MATRICES else "refuses it for its colorimetric"
        yield (f"components are {name}: {'' if known else 'FFmpeg refuses the file, '}OpenImageIO {openimageio}, "
               "ImageMagick takes them for RGB")


def _sizes(header, file_bytes):
    size, user_size = header.file_size, header.user_size or 0
    if header.data_sign != 0:
        yield (f"data sign (byte 780) is {in_words(header.data_sign)}: OpenImageIO takes the codes for signed ones, "
               "GraphicsMagick refuses the file")
    if header.encoding is None:
        yield "encoding (byte 806) is undefined: FFmpeg refuses the file"
    if size and size != file_bytes:
        refused = size > file_bytes or size <= (header.image_offset or 0)
        others = "GraphicsMagick refuses the file" if refused else "the others go by the real size"
        yield f"file size (byte 16) is {size:,}, but the file has {file_bytes:,} bytes: {others}"
    if user_size and FULL_BYTES + user_size > file_bytes:
        yield f"user size (byte 32) is {user_size:,}, more than the file has: OpenImageIO refuses the file"
    if header.encryption_key:
        yield f"encryption key (byte 660) is {header.encryption_key}: FFmpeg warns; all read the pixels as they are"
    if (header.version or "")[:4] not in ("V1.0", "V2.0"):
        yield f"version (byte 8) is {header.version!r}, expected 'V2.0' or 'V1.0': FFmpeg warns, and reads on"
    if len(header.raw) < FULL_BYTES:
        yield (f"the pixels start at byte {len(header.raw)}, where the film or television header would be: OpenImageIO "
               "takes them for timecode, frame rate and the like")


def _times(header):
    timecode, rate = header.timecode, header.frame_rate
    film, television = (it if is_rate(it) else None for it in (header.film_frame_rate, header.television_frame_rate))
    for section, at in (("film", 1724), ("television", 1940)):
        number = header.fields[section][f"{section}_frame_rate"]
        if number.view(np.uint32) in (0, 0xFFFFFFFF) or is_rate(number):
            continue
        turned = number.byteswap()
        meant = f" (with its bytes the other way round, {turned:.6g})" if is_rate(turned) else ""
        yield (f"{section} frame rate (byte {at}) is {number:.6g}{meant}, which is none: FFmpeg passes over it, "
               "OpenImageIO does not")
    stored = int(header.fields["television"]["timecode"])
    if timecode is None and stored != 0xFFFFFFFF:
        yield f"timecode (byte 1920) is {stored:08x}, which is no timecode: OpenImageIO and FFmpeg show one anyhow"
    elif stored and timecode:
        if rate is None:
            yield "there is a timecode, but no frame rate: FFmpeg does not show the timecode"
        elif timecode.frames and rate > 40:
            seen = timecode.frames % 40  # without what they take for flags
            yield (f"the timecode ends with {timecode.frames} frames, at {rate:g} a second: OpenImageIO shows {seen}, "
                   f"FFmpeg {2 * seen if (film or television) > 30 else seen}")
        elif timecode.frames >= rate:
            yield f"the timecode is {timecode}, at {rate:g} frames a second: OpenImageIO and FFmpeg show it as it is"
        if timecode.drop_frame and rate and abs(rate * 1001 / 30000 - 1) > 1e-4:
            yield f"the timecode is drop frame, at {rate:g} frames/s, expected 29.97: OpenImageIO and FFmpeg show it"
        elif timecode.dropped:
            yield f"the timecode is {timecode}, which drop frame leaves out: OpenImageIO and FFmpeg show it as it is"
    if film and television and abs(film / television - 1) > 1e-4:
        yield f"film has {film:.6g} frames/s, television {television:.6g}: FFmpeg takes the film's, fastup the other"


def _texts(header):
    unterminated, foreign = [], []
    for name, field in FIELDS.items():
        if isinstance(field, Text):
            stored = header._section(field.section)[name]
            text = stored.split(b"\0")[0].rstrip(b"\xff")
            if name in _READ_ON and text and b"\0" not in stored and len(stored) == field.dtype.itemsize:
                unterminated.append(name)
            try:
                text.decode()
            except UnicodeDecodeError:
                foreign.append(name)
    if unterminated:
        yield f"{', '.join(unterminated)}: not terminated; OpenImageIO reads on into what follows"
    if foreign:
        pyav = ", PyAV raises an error for a frame's metadata" if {"creator", "input_device"} & {*foreign} else ""
        yield f"{', '.join(foreign)}: not UTF-8, here read as Latin-1; OpenImageIO gives the bytes undecoded{pyav}"
