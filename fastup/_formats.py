"""Frames in and out of files of other formats than DPX, through OpenImageIO."""

import contextlib
import os
import shutil
from fractions import Fraction

import numpy as np

from fastup.codes import CHROMA, codes_of
from fastup.errors import DataError, FastupError
from fastup.header import Header

WHITES = {"uint8": 255, "uint16": 65535}
DESCRIPTORS = {1: "LUMA", 3: "RGB", 4: "RGBA"}  # by channels
_EIGHT_BITS = (".bmp", ".jpeg", ".jpg", ".tga")


@contextlib.contextmanager
def opened(path):
    import OpenImageIO as oiio

    os.stat(path)  # a missing file is an OSError here as everywhere
    config = oiio.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)  # colours are not to be multiplied by alpha
    image = oiio.ImageInput.open(os.fspath(path), config)
    if image is None:
        raise FastupError(f"{os.fspath(path)}: cannot be read: {_one_line(oiio.geterror())}")
    try:
        yield image
    finally:
        image.close()


def read(path):
    """Pixels, upright, and white."""
    with opened(path) as image:
        orientation = image.spec().get_int_attribute("Orientation", 1)
        if not 1 <= orientation <= 4:
            raise FastupError(f"{os.fspath(path)}: orientation is {orientation}, expected 1 to 4: no columns as rows")
        white = WHITES.get(str(image.spec().format))
        pixels = image.read_image(str(image.spec().format) if white else "float")
        if pixels is None or image.has_error:  # of a JPEG cut short it gives the rest in grey, and an error
            raise FastupError(f"{os.fspath(path)}: cannot be read: {_one_line(image.geterror())}")
    return pixels[:: -1 if orientation in (3, 4) else 1, :: -1 if orientation in (2, 3) else 1], white


def header_of(path):
    with opened(path) as image:
        spec = image.spec()
        if spec.nchannels not in DESCRIPTORS:
            raise FastupError(f"{os.fspath(path)}: {spec.nchannels} channels, expected 1, 3 or 4: no DPX has so many")
        aspect = spec.getattribute("PixelAspectRatio")
        return Header.new(
            spec.width, spec.height, descriptor=DESCRIPTORS[spec.nchannels],
            bits={"uint8": 8, "uint16": 16}.get(str(spec.format), 32),
            pixel_aspect=Fraction(aspect).limit_denominator(1000) if aspect and aspect > 0 else None,
        )  # fmt: skip


def write(path, part, frame, header):
    import OpenImageIO as oiio

    suffix, name = os.path.splitext(path)[1].lower(), os.fspath(path)
    height, width, channels = frame.shape
    if header is not None and header.descriptor in CHROMA:
        raise FastupError(f"{name}: the header says Y, Cb and Cr, which only a DPX can say; fastup converts no colours")
    bits = 8 if suffix in _EIGHT_BITS else 32 if suffix == ".exr" else 16
    if header is not None and suffix in (".png", ".tif", ".tiff"):
        bits = header.bits if header.bits in (8, 16) or (header.bits == 32 and suffix != ".png") else 16
    kind = {8: "uint8", 16: "uint16", 32: "float"}[bits]
    if suffix == ".exr" and frame.dtype == np.float16:
        kind = "half"
    white = WHITES.get(kind)
    own_white = (header and header.white) or white or 65535  # of the codes in the frame
    if frame.dtype != np.uint16:
        if np.isnan(frame).any():
            raise DataError(f"{name}: the frame holds NaN; nothing was written")
        if white:
            frame = codes_of(frame, white)
    else:
        if frame.max() > own_white:
            raise DataError(f"{name}: the frame holds codes above {own_white}, its white; nothing was written")
        if white is None:
            frame = frame / np.float32(own_white)
        elif white != own_white:
            frame = (frame.astype(np.uint64) * (2 * white) + own_white) // (2 * own_white)
    with np.errstate(over="ignore"):
        frame = np.ascontiguousarray(frame, {"float": np.float32, "half": np.float16}.get(kind, kind))

    spec = oiio.ImageSpec(width, height, channels, kind)
    spec.attribute("oiio:UnassociatedAlpha", 1)
    if header is not None and header.pixel_aspect:
        spec.attribute("PixelAspectRatio", float(header.pixel_aspect))
        spec.attribute("ResolutionUnit", "none")  # with which some formats keep it as the fraction that it is
        pair = header.pixel_aspect.denominator, header.pixel_aspect.numerator
        for attribute, number in zip("YX" if suffix in (".jpg", ".jpeg") else "XY", pair, strict=True):
            spec.attribute(f"{attribute}Resolution", float(number))
    image = oiio.ImageOutput.create(os.fspath(part))
    if image is None:
        raise FastupError(f"{name}: cannot be written: {_one_line(oiio.geterror())}")
    if channels == 4 and not image.supports("alpha"):
        raise FastupError(f"{name}: 4 channels, but this format has no alpha")
    with _room(name, part) as room:
        done = image.open(room, spec) and image.write_image(frame)
        if not (image.close() and done):
            raise FastupError(f"{name}: cannot be written: {_one_line(image.geterror() or oiio.geterror())}")


@contextlib.contextmanager
def _room(name, part):
    """Where OpenImageIO may write a file: in memory, where the system has that, from where it is copied to `part`.

    Of a full disk it says nothing in some formats, and in JPEG it ends the process. What it wrote is read again.
    """
    memory = os.memfd_create("frame", os.MFD_CLOEXEC) if hasattr(os, "memfd_create") else None
    room = os.fspath(part) if memory is None else f"/proc/self/fd/{memory}"
    try:
        yield room
        try:
            read(room)
        except FastupError as error:
            reason = str(error).removeprefix(f"{room}: cannot be read: ")
            raise FastupError(f"{name}: cannot be written: what OpenImageIO wrote is damaged: {reason}") from None
        if memory is not None:
            with open(memory, "rb", closefd=False) as source, open(part, "xb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
    finally:
        if memory is not None:
            os.close(memory)


def _one_line(text):
    return " ".join(text.split())
