"""Frames in and out of files of other formats than DPX, through OpenImageIO."""

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from fastup._types import Frame, StrPath
from fastup.codes import CHROMA, codes_of, scaled
from fastup.errors import DataError, FastupError, OptionError
from fastup.header import Header

WHITES = {"uint8": 255, "uint16": 65535}
DESCRIPTORS = {1: "LUMA", 3: "RGB", 4: "RGBA"}  # by channels
_NAMES = {"r": "R", "g": "G", "b": "B", "a": "A", "y": "Y", "red": "R", "green": "G", "blue": "B", "alpha": "A"}
_PHOTOMETRIC = (0, 1, 2, 3, 6)  # of a TIFF: grey, RGB, palette, YCbCr
_EIGHT_BITS = (".bmp", ".jpeg", ".jpg", ".tga")


@dataclass(frozen=True)
class Layout:
    """What `read` gives of a file, its first page, or a layer, in the display window; and where in the file it lies."""

    height: int
    width: int
    channels: int
    white: int | None  # None where it holds floats
    pixel_aspect: Fraction | None
    premultiplied: bool | None  # whether colours are multiplied by alpha; None where there is none
    layer: str | None  # of an EXR
    without: list[str]  # names of what else an EXR has
    profile: str | None  # the ICC profile by its description
    part: int
    planes: list[int]  # the channels, by their numbers in the file
    format: str  # what to ask OpenImageIO for
    corner: tuple[int, int]  # of the data window in the display window: y, x
    negative: bool  # white is 0
    orientation: int

    def header(self, name: str) -> Header:
        """The header of a DPX that would hold it."""
        if self.channels not in DESCRIPTORS:
            raise FastupError(f"{name}: {self.channels} channels, expected 1, 3 or 4: no DPX has so many")
        bits = {255: 8, 65535: 16, None: 32}[self.white]
        kind = DESCRIPTORS[self.channels]
        return Header.new(self.width, self.height, descriptor=kind, bits=bits, pixel_aspect=self.pixel_aspect)


@contextlib.contextmanager
def opened(path: StrPath, layer: str | None = None) -> Iterator[tuple[Any, Layout]]:
    """An open image of OpenImageIO's, and the `Layout` in it.

    Raises FastupError if OpenImageIO cannot read it, or `read` would give a wrong picture, or there is no such layer.
    """
    import OpenImageIO as oiio

    name = os.fspath(path)
    os.stat(path)  # a missing file is an OSError here as everywhere
    config = oiio.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)  # colours are not to be multiplied by alpha
    with _utf8(name) as known:
        image = oiio.ImageInput.open(known, config)
        if image is None:
            raise FastupError(f"{name}: cannot be read: {_one_line(oiio.geterror()).replace(known, name)}")
        try:
            yield image, _layout_of(name, image, layer)
        finally:
            image.close()


def layout(path: StrPath, layer: str | None = None) -> Layout:
    """The `Layout` of a file."""
    with opened(path, layer) as (_, found):
        return found


@contextlib.contextmanager
def _utf8(name):
    """A name that OpenImageIO takes, for which names are UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        fd = os.open(name, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        try:
            yield f"/dev/fd/{fd}"
        finally:
            os.close(fd)
    else:
        yield name


def _layout_of(name, image, layer):
    spec, kind = image.spec(), image.format_name()
    exr, part, planes, without = kind == "openexr", 0, list(range(spec.nchannels)), []
    if exr:
        layer, part, planes, without = _chosen(name, *_layers(image), layer)
        spec = image.spec(part)
    elif layer is not None:
        raise OptionError(f"{name}: layer is {layer!r}, expected none: only an EXR has layers")
    elif len(planes) > 4:  # a TIFF with masks
        planes = _planes(dict(zip(spec.channelnames, planes, strict=True))) or planes
        without = [spec.channelnames[n] for n in range(spec.nchannels) if n not in planes]
    if spec.deep:
        raise FastupError(f"{name}: deep pixels, expected flat ones; flatten it first")
    colours = spec.get_int_attribute("tiff:PhotometricInterpretation", 2)
    model = spec.get_string_attribute(f"{kind}:ColorSpace")
    if colours not in _PHOTOMETRIC or model in ("CMYK", "YCCK"):
        raise FastupError(f"{name}: colours are {model or f'of photometric interpretation {colours}'}, expected grey, "
                          "RGB or YCbCr; convert it to RGB with what knows its ICC profile")  # fmt: skip
    orientation = spec.get_int_attribute("Orientation", 1)
    if not 1 <= orientation <= 4:
        raise FastupError(f"{name}: orientation is {orientation}, expected 1 to 4: no columns as rows")
    premultiplied = None
    if len(planes) == 4:
        straight = spec.get_int_attribute("oiio:UnassociatedAlpha", 0) or spec.alpha_channel < 0
        alpha_type = spec.get_int_attribute("targa:alpha_type", 0)
        premultiplied = exr or (kind == "tiff" and not straight) or alpha_type == 4
    profile = None
    if spec.getattribute("ICCProfile") is not None:
        profile = spec.get_string_attribute("ICCProfile:profile_description") or "without a description"
    white = None if exr else WHITES.get(str(spec.format))
    aspect = possible_aspect(spec.getattribute("PixelAspectRatio"))
    return Layout(
        height=spec.full_height if exr else spec.height, width=spec.full_width if exr else spec.width,
        channels=len(planes), white=white, pixel_aspect=aspect and aspect.limit_denominator(1000),
        premultiplied=premultiplied, layer=layer, without=without, profile=profile, part=part, planes=planes,
        format=str(spec.format) if white else "float",
        corner=(spec.y - spec.full_y, spec.x - spec.full_x) if exr else (0, 0),
        negative=colours == 0 and str(spec.format) != "uint8", orientation=orientation,
    )  # fmt: skip


def possible_aspect(value: float | Fraction | None) -> Fraction | None:
    """A pixel's width over its height; None if there are no such pixels: where nobody looks, headers hold anything."""
    return Fraction(value) if value and 0.01 <= value <= 100 else None


def _layers(image):
    """The layers of an EXR by name, each as its part and its channels' numbers by name; the one without a name is "".

    With them, the name of the part that holds the one without a name.
    """
    spec, found, main = image.spec(), {}, ""
    for part in range(max(1, spec.get_int_attribute("oiio:subimages", 1))):
        spec = image.spec(part) if part else spec
        title = spec.get_string_attribute("oiio:subimagename")
        for number, channel in enumerate(spec.channelnames):
            layer, _, channel = channel.rpartition(".")
            if not layer and found.get("", (part,))[0] != part:
                layer = title
            elif not layer:
                main = title
            if found.get(layer, (part,))[0] != part:  # another view's
                layer = f"{title}.{layer}" if title != layer else f"{title} ({part + 1})"
            found.setdefault(layer, (part, {}))[1][_NAMES.get(channel.lower(), channel)] = number
    return found, main


def _chosen(name, layers, main, wanted):
    """A layer's name, part and channels' numbers, and the names of what else there is.

    The wanted one; else the one without a name, or the only one that is a picture. The one without a name goes by that
    of its part, `main`, too.
    """
    called = {layer: layer or main for layer in layers}
    if wanted and wanted == main and wanted not in layers:
        wanted = ""
    planes = {layer: _planes(channels) for layer, (_, channels) in layers.items()}
    pictures = [layer for layer in layers if len(planes[layer]) > 1 or list(layers[layer][1]) == ["Y"]]
    named = ", ".join(filter(None, called.values()))
    if wanted is not None and wanted not in layers:
        raise OptionError(f"{name}: layer is {wanted!r}, expected "
                          f"{f'one of {named}' if named else 'none: it has none'}")  # fmt: skip
    if wanted is None:
        candidates = [""] if "" in pictures else pictures or list(layers)
        if len(candidates) > 1:
            choice = ", ".join(filter(None, (called[layer] for layer in candidates)))
            raise DataError(f"{name}: several layers, expected one: {choice}; `fastup convert --layer` chooses")
        (wanted,) = candidates
    part, channels = layers[wanted]
    if not planes[wanted]:
        held = ", ".join(channels) + (f" in layer {wanted}" if wanted else "")
        chroma = "; luminance and chroma are to be converted first" if {"RY", "BY"} & set(channels) else ""
        raise DataError(f"{name}: the channels are {held}, expected R, G, B, or R, G, B, A, or one alone{chroma}")
    others = [channel for channel, number in channels.items() if number not in planes[wanted]]
    others += [called[layer] or ", ".join(layers[layer][1]) for layer in layers if layer != wanted]
    return wanted, part, planes[wanted], others


def _planes(channels):
    """The numbers of the channels that are a picture: R, G, B, A, or R, G, B, or the only one."""
    for names in ("RGBA", "RGB"):
        if set(names) <= set(channels):
            return [channels[channel] for channel in names]
    return list(channels.values()) if len(channels) == 1 else []


def read(path: StrPath, layer: str | None = None) -> tuple[Frame, int | None]:
    """Pixels, upright, and white."""
    with opened(path, layer) as (image, layout):
        first, last = min(layout.planes), max(layout.planes) + 1
        pixels = image.read_image(layout.part, 0, first, last, layout.format)
        if pixels is None or image.has_error:  # of a JPEG cut short it gives the rest in grey, and an error
            raise FastupError(f"{os.fspath(path)}: cannot be read: {_one_line(image.geterror())}")
    planes = [plane - first for plane in layout.planes]
    if planes != list(range(last - first)):
        pixels = pixels[:, :, planes]
    if layout.negative:
        pixels = (layout.white or np.float32(1)) - pixels
    pixels = _placed(path, pixels, layout)
    flip = layout.orientation
    return pixels[:: -1 if flip in (3, 4) else 1, :: -1 if flip in (2, 3) else 1], layout.white


def _placed(path, pixels, layout):
    """The data window in the display window: black around it, cut where it goes beyond."""
    (height, width), (y, x) = (layout.height, layout.width), layout.corner
    if (y, x, *pixels.shape[:2]) == (0, 0, height, width):
        return pixels
    import OpenImageIO as oiio

    # OpenImageIO holds data windows alone to what it takes for the largest picture; some systems promise any memory.
    if height * width * layout.channels * pixels.itemsize > oiio.get_int_attribute("limits:imagesize_MB") << 20:
        raise FastupError(f"{os.fspath(path)}: the display window is {width}x{height}: no memory for it")
    frame = np.zeros((height, width, layout.channels), pixels.dtype)
    inside = pixels[max(-y, 0) : max(height - y, 0), max(-x, 0) : max(width - x, 0)]
    frame[max(y, 0) :, max(x, 0) :][: inside.shape[0], : inside.shape[1]] = inside
    return frame


def left_out(path: StrPath, layer: str | None = None) -> list[str]:
    """What of a file is not read, in words."""
    with opened(path, layer) as (image, layout):
        words = [f"layer {layout.layer}"] if layout.layer else []
        if layout.without:
            words.append(f"without {', '.join(layout.without)}")
        aspect = image.spec().getattribute("PixelAspectRatio")
        if aspect and layout.pixel_aspect is None:
            words.append(f"without the pixel aspect, which is {aspect:g}")
        if layout.profile:
            words.append(f"without the ICC profile ({layout.profile})")
        pages = 1
        while layout.layer is None and image.seek_subimage(pages, 0):
            pages += 1
        image.geterror()  # which would be printed
        if pages > 1:
            words.insert(0, f"the first of {pages} pages")
    return words


def write(path: StrPath, part: StrPath, frame: Frame, header: Header | None) -> None:
    """Write a frame to `part`, in the format that the name of `path` says."""
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
    frame = _with_white(name, frame, (header and header.white) or white or 65535, white)
    with np.errstate(over="ignore"):
        frame = np.ascontiguousarray(frame, {"float": np.float32, "half": np.float16}.get(kind, kind))
    spec = oiio.ImageSpec(width, height, channels, kind)
    spec.attribute("oiio:UnassociatedAlpha", 1)
    if header is not None and (aspect := possible_aspect(header.pixel_aspect)):
        if suffix in _EIGHT_BITS and max(aspect.as_integer_ratio()) > 65535:  # there they have 16 bits
            aspect = aspect.limit_denominator(650)
        spec.attribute("PixelAspectRatio", float(aspect))
        spec.attribute("ResolutionUnit", "none")  # with which some formats keep it as the fraction that it is
        pair = aspect.denominator, aspect.numerator
        for attribute, number in zip("YX" if suffix in (".jpg", ".jpeg") else "XY", pair, strict=True):
            spec.attribute(f"{attribute}Resolution", float(number))
    image = oiio.ImageOutput.create(f"frame{suffix}")
    if image is None:
        raise FastupError(f"{name}: cannot be written: {_one_line(oiio.geterror())}")
    if channels == 4 and not image.supports("alpha"):
        raise FastupError(f"{name}: 4 channels, but this format has no alpha")
    with _scratch(name, part) as scratch:
        done = image.open(scratch, spec) and image.write_image(frame)
        if not (image.close() and done):
            raise FastupError(f"{name}: cannot be written: {_one_line(image.geterror() or oiio.geterror())}")


def _with_white(name, frame, own_white, white):
    """A frame of codes up to its own white, or of floats, as codes up to the white of a file, or as its floats."""
    if frame.dtype != np.uint16:
        if np.isnan(frame).any():
            raise DataError(f"{name}: the frame holds NaN; nothing was written")
        return codes_of(frame, white) if white else frame
    if frame.max() > own_white:
        raise DataError(f"{name}: the frame holds codes above {own_white}, its white; nothing was written")
    if white is None:
        return frame / np.float32(own_white)
    return frame if white == own_white else scaled(frame.astype(np.uint64), own_white, white)


@contextlib.contextmanager
def _scratch(name, part):
    """Where OpenImageIO may write a file: in memory, where the system has that, from where it is copied to `part`.

    OpenImageIO does not report a full disk in some formats, and in JPEG it ends the process. So what it wrote is read
    again.
    """
    memory = os.memfd_create("frame", os.MFD_CLOEXEC) if hasattr(os, "memfd_create") else None
    scratch = os.fspath(part) if memory is None else f"/proc/self/fd/{memory}"
    try:
        yield scratch
        try:
            read(scratch)
        except FastupError as error:
            reason = str(error).removeprefix(f"{scratch}: cannot be read: ")
            raise FastupError(f"{name}: cannot be written: what OpenImageIO wrote is damaged: {reason}") from None
        if memory is not None:
            with open(memory, "rb", closefd=False) as source, open(part, "xb") as target:
                shutil.copyfileobj(source, target, 1 << 20)
    finally:
        if memory is not None:
            os.close(memory)


def _one_line(text):
    return " ".join(text.split())
