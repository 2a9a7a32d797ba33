"""Frames from one format to another, with code values as they are, or from one transfer characteristic to another."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastup import frames
from fastup._types import Frame, Progress, StrPath
from fastup.codes import CHROMA, Transfer, codes_of, scaled
from fastup.errors import DataError, OptionError
from fastup.footage import chore, opening
from fastup.footage.source import Source
from fastup.footage.stills import Folder
from fastup.header import Header

CURVES = ("log", "linear", "srgb", "rec709")
FORMATS = tuple(suffix[1:] for suffix in frames.WRITTEN)
BITS = {".dpx": (8, 10, 12, 16), ".png": (8, 16), ".tif": (8, 16), ".tiff": (8, 16)}

_BLACK, _WHITE, _DENSITY, _GAMMA = 95, 685, 0.002, 0.6  # of Cineon, in codes of 10 bits; density per code
_NAMES = {"log": "Cineon log", "linear": "linear light", "srgb": "sRGB", "rec709": "Rec.709"}
# What a header says, as far as it says it: SMPTE 274M and BT.601 have the characteristic of BT.709.
_CURVE_OF = {
    Transfer.PRINTING_DENSITY: "log", Transfer.LOGARITHMIC: "log", Transfer.LINEAR: "linear",
    Transfer.REC_709: "rec709", Transfer.SMPTE_274M: "rec709",
    Transfer.REC_601_525: "rec709", Transfer.REC_601_625: "rec709",
}  # fmt: skip
# And what it is made to say; for sRGB the standard has no code.
_CODE_OF = {"log": Transfer.LOGARITHMIC, "linear": Transfer.LINEAR, "srgb": Transfer.VIDEO, "rec709": Transfer.REC_709}


def decode(values: ArrayLike, curve: str, black: float = _BLACK, white: float = _WHITE) -> NDArray[np.float64]:
    """Linear light of normalised values: 0 is black and 1 is white.

    Parameters
    ----------
    values
        Normalised: code / largest code, whatever the bits.
    curve : {"log", "linear", "srgb", "rec709"}
        Cineon: (10^((code - white) 0.002 / 0.6) - b) / (1 - b) with b = 10^((black - white) 0.002 / 0.6), in codes of
        10 bits (Kodak, "Conversion of 10-bit Log Film Data to 8-bit Linear or Video Data for the Cineon Digital Film
        System", 1995, without its soft clip). sRGB: IEC 61966-2-1. Rec.709: the inverse of BT.709's, see `encode`.
    black, white
        Codes of 10 bits that are 0 and 1 in linear light, for log alone; those beyond them lie outside: with 95 and
        685, -0.0057 to 13.5.
    """
    x = np.asarray(values, np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # infinity is white enough; a branch not taken may be no number
        if curve == "log":
            slope, b = _DENSITY / _GAMMA, _base(black, white)
            return (10 ** ((x * 1023 - white) * slope) - b) / (1 - b)
        if curve == "srgb":
            return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)
        if curve == "rec709":
            return np.where(x < 0.081, x / 4.5, ((x + 0.099) / 1.099) ** (1 / 0.45))
    return x


def encode(light: ArrayLike, curve: str, black: float = _BLACK, white: float = _WHITE) -> NDArray[np.float64]:
    """Normalised values of linear light: the inverse of `decode`, parameters as there.

    Rec.709 is BT.709's opto-electronic characteristic: 4.5 L below 0.018, else 1.099 L^0.45 - 0.099. Its two parts miss
    each other by 0.0002, for which the inverse can't make up. Light too dark for code 0 of log is code 0.
    """
    x = np.asarray(light, np.float64)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if curve == "log":
            slope, b = _DENSITY / _GAMMA, _base(black, white)
            codes = white + np.log10(np.maximum(x * (1 - b) + b, 10 ** (-white * slope))) / slope
            return codes / 1023
        if curve == "srgb":
            return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
        if curve == "rec709":
            return np.where(x < 0.018, 4.5 * x, 1.099 * x**0.45 - 0.099)
    return x


def _base(black, white):
    return 10 ** ((black - white) * _DENSITY / _GAMMA)


@dataclass(frozen=True, kw_only=True)
class Plan(chore.Plan):
    """What `prepare` found, and `run` does."""

    assumed: dict[str, int]  # what is done with the frames, in words, and with how many of `todo`, as far as is known
    bits: int | None
    source_curve: str | None
    target_curve: str | None


def prepare(
    source: StrPath | Source, destination: StrPath, format: str | None = None, bits: int | None = None,
    source_curve: str | None = None, target_curve: str | None = None, overwrite: bool = False, layer: str | None = None,
    numbers: str | None = None, options: Mapping[str, Any] | None = None,
) -> Plan:  # fmt: skip
    """Plan to convert frames: one, a folder of them, or a clip. Nothing is written.

    OptionError if options don't go together, the format is not known, a header does not say the curve, or there is no
    such layer. DataError if there are no frames, two would become one file, or one itself, or a curve is asked of Y, Cb
    and Cr.

    Parameters
    ----------
    source, destination
        A frame, a folder of frames, or a clip, whose codes are 10-bit R, G, B. Of a frame, a file whose suffix says the
        format; or a folder, for files of the same stems; or a video or a pipe, as `opening.sink` has them.
    format
        One of `FORMATS`: the suffix of what goes to a folder, needed there.
    bits
        8, 10, 12 or 16 of a DPX, 8 or 16 of PNG and TIFF. Without it what goes to DPX keeps its own (16 of floats, but
        a DPX of floats stays one); PNG and TIFF have 8 of what has 8, and 16; TIFF keeps floats.
    source_curve, target_curve
        Two of `CURVES`. Without either, codes are scaled from white to white at most. With the second alone, the first
        is what the transfer of a DPX' header says, where it is printing density or logarithmic (log), linear, or
        Rec.709, SMPTE 274M or Rec.601, which have one characteristic (rec709).
    layer
        Of an EXR, as `frames.read` has it.
    numbers
        As of `chore.part`.
    overwrite, options
        As of `chore.Plan`.

    Notes
    -----
    Black and white of log are the low and high code of the header, where the low one is above 0 and the high one no
    higher than it can be: that is how they are written for Cineon's 95 and 685. A low code of 0 is where the codes
    start, with 0 and 2.046 as densities beside 0 and 1023 in what Nuke writes, and no black: then they are 95 and 685,
    as with other formats. What is made log has 95 and 685, also in its header.
    """
    source = source if isinstance(source, Source) else Folder(source, layer=layer)
    if layer is not None and not isinstance(source, Folder):
        raise OptionError(f"layer is {layer}, but {source.path} is video, which has none")
    place, suffix, file = _place(source, Path(destination), format)
    first, last = chore.part(source, numbers=numbers)
    facts = {"bits": bits, "from": source_curve, "to": target_curve, "layer": layer}
    options = {**(options or {}), **({"bits": bits} if bits and opening.is_movie(destination) else {})}
    outputs = chore.Plan(
        source, place, overwrite, suffix, file, first, last, chunk=numbers is not None, made_by=facts, options=options
    ).checked()
    can = BITS.get(suffix or ".dpx", ())
    if bits is not None and bits not in can:
        expected = f"one of {', '.join(map(str, can))}" if can else "none"
        raise OptionError(f"bits: found {bits}, expected {expected} for {suffix or destination}")
    for name, curve in (("from", source_curve), ("to", target_curve)):
        if curve is not None and curve not in CURVES:
            raise OptionError(f"{name}: found {curve!r}, expected one of {', '.join(CURVES)}")
    if source_curve and not target_curve:
        raise OptionError(f"from is {source_curve}, but there is no to, expected one of {', '.join(CURVES)}")
    plan = Plan.of(outputs, assumed=Counter(), bits=bits, source_curve=source_curve, target_curve=target_curve)
    if isinstance(source, Folder):
        plan.assumed.update(Counter(_recipe(number, plan).words for number in plan.todo))
    else:
        plan.assumed[_recipe(next(iter(plan.todo), first), plan).words] = len(plan.todo)
    return plan


def run(plan: Plan, on_progress: Progress | None = None) -> tuple[int, int]:
    """Convert the frames that `prepare` planned, as `chore.run` does.

    Codes of 16 bits and less go through a table that is computed in double precision; floats are computed in it one by
    one. Integers are rounded to the nearest and clipped; EXR and TIFF of floats hold what lies beyond black and white.
    Alpha is scaled alone. Colours that are multiplied by it are divided where the other format's are not, and stay
    where it is 0; others are multiplied for EXR; either is rounded once. Curves are of colours that are not multiplied:
    those that are get divided before and multiplied after, but for light where alpha is 0, such as a glow.
    A DPX does not say which it has: to and from it, they stay.

    From DPX to DPX the header stays as it is, byte by byte, but for the bits, with the low and high code; and the
    transfer, where a curve was asked for (of sRGB "unspecified video", as the standard has no code for it), with the
    low and high code where it is another one. From and to other formats the pixel aspect goes along.
    """
    return chore.run(plan, work, "converting", on_progress)


def work(plan: Plan) -> chore.Work:
    """What makes the frames of a plan."""

    def make(number: int, raw: Any) -> tuple[Frame, Header]:
        recipe = _recipe(number, plan)
        frame = plan.source.pixels(raw, "float32" if recipe.white is None else "uint16")
        frames.refuse_nan(plan.source.label(number), frame, infinity=False)  # which is as white as can be
        return _converted(frame, recipe), recipe.header

    return chore.each(make)


def shown(path: Path, header: Header) -> tuple[NDArray[np.uint8], str]:
    """What a screen shows of a frame: the code of 8 bits for each of 10, (1024,), as `run` makes a PNG; and in words.

    Log and linear light, where the header says so, go through sRGB's curve; other codes stay as they are, white to
    white, as video's are made for a screen.
    """
    curves: tuple[Any, ...] | None = None
    words = "code values as they are, white to white, as of `fastup convert --bits 8`"
    curve = _CURVE_OF.get(header.transfer) if isinstance(header.transfer, Transfer) else None
    if curve in ("log", "linear") and header.descriptor not in CHROMA:
        curves, words = _curves(path, header, None, "srgb")
        words += ", as of `fastup convert --bits 8 --to srgb`"
    return _table(1023, 255, curves).astype(np.uint8), words


def _place(source, destination, format):
    """Where output goes, the suffix in a folder, and the name of one file, if it has one."""
    if format is not None:
        format = format.lower().removeprefix(".")
        if format not in FORMATS:
            raise OptionError(f"format: found {format!r}, expected one of {', '.join(FORMATS)}")
    if opening.is_movie(destination) or opening.is_pipe(destination):
        return destination, format and f".{format}", None
    suffix = destination.suffix.lower()
    if suffix in frames.WRITTEN and not destination.is_dir():
        if source.path.is_dir() or not isinstance(source, Folder):
            what = "is one" if source.path.is_dir() else "is video"
            raise OptionError(f"{destination}: a file, expected a folder, as {source.path} {what}")
        if format is not None and f".{format}" != suffix:
            raise OptionError(f"format: found {format}, expected none with {destination}, whose name says it")
        return destination.parent, suffix, destination.name
    if format is None:
        raise OptionError(
            f"format: none for what goes to the folder {destination}, expected one of {', '.join(FORMATS)}"
        )
    return destination, f".{format}", None


@dataclass(frozen=True)
class _Recipe:
    """What becomes of one frame."""

    header: Header  # of what is made
    white: int | None  # of what is read; None where it holds floats
    curves: tuple | None  # from and to, black and white; None where codes stay
    divide: bool  # colours by alpha, first
    multiply: bool  # and last
    words: str


def _recipe(number, plan):
    source, suffix, header, white, which = plan.source, plan.suffix or ".dpx", plan.source.header(number), 1023, ""
    path, dpx = source.path, True  # as whose R, G and B of 10 bits those of a clip are taken
    if isinstance(source, Folder):
        path = source.file(number)
        _, white = frames.probe(path, source.layer)  # which says what is wrong with a header
        which, dpx = "".join(f", {words}" for words in frames.left_out(path, source.layer)), frames.is_dpx(path)
    bits = plan.bits or _bits(header, dpx, suffix)
    divide, multiply, alpha = _alpha(path, header, suffix, plan)
    encoded = opening.is_movie(plan.destination) or opening.is_pipe(plan.destination)  # which says itself how
    if plan.target_curve:
        curves, words = _curves(path, header, plan.source_curve, plan.target_curve)
        words += f", {alpha}" if alpha else ""
    else:
        curves, words = None, alpha or ("transfer as it is" if encoded else "code values as they are")
        if bits != header.bits and not encoded:
            words += ", white to white" if white is not None else ", 1 to white and what is beyond clipped"
    before, after = (
        f"{name[1:].upper() or 'a pipe'} of {'floats' if n == 32 else f'{n} bits'}"
        for name, n in ((path.suffix, header.bits), (plan.suffix or plan.destination.suffix, bits))
    )
    if encoded:
        after = after.split(" of ")[0]
    if suffix == ".dpx":
        header = _dpx_header(header, bits, curves)
    else:  # which has no room for more
        aspect = {"pixel_aspect": header.pixel_aspect}
        header = Header.new(header.width, header.height, descriptor=header.descriptor, bits=bits, **aspect)
    return _Recipe(header, white, curves, divide, multiply, f"{before} to {after}{which}, {words}")


def _alpha(path, header, suffix, plan):
    """Whether colours are to be divided by alpha and multiplied by it, and what is to be said of it."""
    if header.channels != 4:
        return False, False, ""
    before = frames.premultiplied(path, plan.source.layer)
    after = before if suffix == ".dpx" else suffix == ".exr"
    if before is None:
        return False, False, "" if suffix == ".dpx" else "code values as they are, also by alpha"
    curves = plan.target_curve not in (None, plan.source_curve)
    divide, multiply = before and (curves or not after), after and (curves or not before)
    if before == after:
        return divide, multiply, ""
    return divide, multiply, f"colours {'multiplied' if after else 'divided'} by alpha"


def _bits(header, dpx, suffix):
    """Bits of what is made, where they are not asked for; 32 are floats."""
    if suffix == ".dpx":
        return header.bits if dpx or header.white else 16
    if suffix == ".exr" or (suffix in (".tif", ".tiff") and not header.white):
        return 32
    return 8 if suffix not in BITS or header.bits == 8 else 16


def _dpx_header(header, bits, curves):
    full = (1 << bits) - 1 if bits < 32 else None
    if bits != header.bits:
        header = header.replace(bits=bits, **({} if header.white else {"low_code": 0, "high_code": full}))
    if not curves:
        return header
    source, target, *_ = curves
    names, changes = ("low_code", "high_code", "low_quantity", "high_quantity"), {}
    if _CURVE_OF.get(header.transfer) != target:
        changes = {name: getattr(header, name) for name in names} | {"transfer": _CODE_OF[target]}
    if source != target:
        codes = (_BLACK, _WHITE) if target == "log" else (0, 1023)
        low, high = (scaled(code, 1023, full) if full else None for code in codes)
        changes |= zip(names, (low, high, None, None), strict=True)
    return header.replace(**changes) if changes else header


def _curves(path, header, source, target):
    """The two curves with black and white of the first, and what is to be said of them."""
    if header.descriptor in CHROMA:
        raise DataError(f"{path}: {header.descriptor.text}, expected RGB: transfer characteristics are of R, G and B")
    said = ""
    if source is None:
        source = _CURVE_OF.get(header.transfer)
        if source is None:
            own = "undefined" if header.transfer is None else getattr(header.transfer, "text", header.transfer)
            raise OptionError(f"{path}: the transfer is {own}, expected one to convert from: --from {'|'.join(CURVES)}")
        said = f" (the header's transfer, {header.transfer.text})"
    black, white = _BLACK, _WHITE
    if source == "log":
        black, white, whose = _black_and_white(header)
        said += f", black {black:g} and white {white:g} at 10 bits ({whose}),"
    same = ": code values as they are" if source == target else ""
    return (source, target, black, white), f"from {_NAMES[source]}{said} to {_NAMES[target]}{same}"


def _black_and_white(header):
    """Codes of 10 bits, and who says so."""
    low, high, full = header.low_code, header.high_code, header.white
    if not (low and high and full and low < high <= full):
        return _BLACK, _WHITE, "Cineon's; the header's codes name none"
    if (low, high) == (scaled(_BLACK, 1023, full), scaled(_WHITE, 1023, full)):
        return _BLACK, _WHITE, "the header's"
    return low * 1023 / full, high * 1023 / full, "the header's"


def _converted(frame, recipe):
    header, curves = recipe.header, recipe.curves
    if curves and curves[0] == curves[1]:
        curves = None
    if recipe.divide or recipe.multiply:
        return _by_alpha(frame, recipe, curves)
    colours = 3 if curves and frame.shape[2] == 4 else frame.shape[2]  # alpha is none
    parts = [(frame[:, :, :colours], curves), (frame[:, :, colours:], None)]
    done = [_part(part, recipe.white, header.white, how) for part, how in parts if part.shape[2]]
    return done[0] if len(done) == 1 else np.concatenate(done, axis=2)


def _by_alpha(frame, recipe, curves):
    """As `_converted`, where colours are divided by alpha, multiplied by it, or both with curves in between.

    Products of codes are exact in double precision: one division, and the rounding to a code.
    """
    white, new_white = recipe.white, recipe.header.white
    full = white or 1
    to_codes = bool(white and new_white)  # of floats `write` makes codes
    scale = new_white if to_codes else 1
    colours, alpha = frame[:, :, :3].astype(np.float64), frame[:, :, 3:].astype(np.float64)
    by = np.where(alpha > 0, alpha, full) if recipe.divide else full
    factor, whole = (alpha, full) if recipe.multiply else (1, 1)
    if recipe.divide and recipe.multiply:  # what is light without alpha stays so; what is nothing, nothing
        factor = np.where((alpha > 0) | (colours == 0), alpha, full)
    with np.errstate(over="ignore", invalid="ignore"):
        if curves:
            colours = _through(colours / by, curves) * (scale * factor) / whole
        else:
            colours = colours * (scale * factor) / (by * whole)
        made = np.concatenate([colours, alpha * scale / full], axis=2)
        return np.floor(np.clip(made, 0, new_white) + 0.5).astype(np.uint16) if to_codes else made


def _part(frame, white, new_white, curves):
    if white is not None:
        return frame if white == new_white and curves is None else np.take(_table(white, new_white, curves), frame)
    return frame if curves is None else _through(frame, curves).astype(np.float32)


@lru_cache(16)
def _table(white, new_white, curves):
    """What each code becomes: a code, or a float32 where there is no new white."""
    values = _through(np.arange(white + 1) / white, curves)
    if new_white is None:
        return values.astype(np.float32)
    return codes_of(values, new_white)


def _through(values, curves):
    if curves is None:
        return values
    source, target, black, white = curves
    return encode(decode(values, source, black, white), target)
