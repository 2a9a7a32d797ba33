"""What SD tape does to a picture: fewer pixels, a narrow luma band, peaking, noise, and a narrower chroma band.

`degrade` does it to a frame, `prepare` and `run` to a folder: SD twins of HD frames, to train on. Everything here but
noise and clipping is linear along rows or columns, so one product with banded matrices does it all.
"""

import operator
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fastup import frames
from fastup._resample import FILTERS, check_size, gaussian, gaussian_weights, resize
from fastup._types import Floats, Frame, Progress, Size, StrPath
from fastup.codes import CHROMA, LUMA_601
from fastup.errors import DataError, OptionError
from fastup.footage import chore, opening
from fastup.footage.recipe import TAPE, Given, Recipe, check_chance, check_strength, strengths_of
from fastup.footage.source import Source
from fastup.footage.stills import Folder
from fastup.header import Header
from fastup.trim import UNTRIMMED, Trim

SIZE = (480, 720)

_LOOKED_AT = 9  # frames in which pillars are looked for
_DARK, _FLAT, _ROWS = 0.12, 8 / 1023, 0.99  # pillars: at most so bright, so far off their level, on this share of rows
_NARROWEST = 16  # columns; less is blanking and no pillar


def degrade(
    frame: Frame, size: Size = SIZE, *, filter: str = "area", softness: float = 0.5, peaking: float = 0.25,
    noise: float = 0.006, chroma: float = 0.0, seed: int | Sequence[int] = 0,
) -> Floats:  # fmt: skip
    """Turn a clean frame into what an SD tape of it would give.

    The frame is resized, softened along each line as by the scanner's spot and the luma band, peaked along each line as
    a telecine's detail circuit does (x + peaking * (x - G * x), G a Gaussian of one SD pixel, which rings beside every
    edge); then the tape adds its noise, and playback gives back the chroma band: the steps in the order in which they
    happen.

    A Gaussian band that is 3 dB down at f has a standard deviation of sqrt(ln 2) / (2 pi f): 1.79 SD pixels / f in MHz
    at the 13.5 MHz of ITU-R BT.601. VHS (IEC 60774) has 3 MHz of luma and 0.4 MHz of chroma, 0.6 and 4.5 pixels;
    Betacam SP 4.5 and 1.5 MHz, 0.4 and 1.2 pixels; NTSC by SMPTE 170M 1.3 MHz of chroma, 1.4 pixels.

    What comes is clipped to 0..1. OptionError if `size` is larger than the frame, or a strength is out of its range;
    ValueError or TypeError if `frame` does not have three dimensions, three channels where there is a chroma band, or
    holds integers.

    Parameters
    ----------
    frame : (H, W, C), floating
        Normalised, 0..1. RGB where there is a chroma band.
    size, filter
        As `resize` has them.
    softness
        Standard deviation of the luma band's Gaussian, in SD pixels, 0 to 20. Tapes have 0.35 to 0.8.
    peaking
        Strength of the peaking, 0 to 10. Transfers have 0 to 1.
    noise
        Standard deviation of the noise in each channel, normalised, 0 to 1. It is a little correlated along the lines.
        Tapes have 0.002 to 0.02, which is 54 to 34 dB below white.
    chroma
        Standard deviation of the chroma band's Gaussian, in SD pixels, 0 to 20. It works on Cb and Cr of BT.601, which
        it finds as what RGB is more than luma: the same to the last digit, as both are linear. Tapes have 1.2 to 4.5.
    seed
        Of the noise, as `numpy.random.default_rng` takes it.
    """
    for name, value in {"softness": softness, "peaking": peaking, "noise": noise, "chroma": chroma}.items():
        check_strength(name, value)
    picture = gaussian(resize(frame, size, filter), softness)
    if peaking:
        picture += np.float32(peaking) * (picture - gaussian(picture, 1.0))
    if noise:
        picture += _tape_noise(picture.shape, noise, seed)
    if chroma:
        if picture.shape[2] != 3:
            raise ValueError(f"frame: found {picture.shape[2]} channels, expected R, G and B for a chroma band")
        luma = (picture @ LUMA_601)[:, :, np.newaxis]
        picture = luma + gaussian(picture - luma, chroma)
    return np.clip(picture, 0, 1, out=picture)


def _tape_noise(shape, deviation, seed):
    """Gaussian noise of the given deviation, blurred along the lines; drawn wider, so that the borders are alike."""
    rng = np.random.default_rng(seed)
    reach, weights = gaussian_weights(0.5)
    white = rng.standard_normal((shape[0], shape[1] + 2 * reach, shape[2]), dtype=np.float32)
    blurred = gaussian(white, 0.5)[:, reach : reach + shape[1]]
    return blurred * np.float32(deviation / np.linalg.norm(weights))


@dataclass(frozen=True, kw_only=True)
class Plan(chore.Plan):
    """What `prepare` found, and `run` does."""

    size: Size  # of what is made
    recipe: Recipe
    trim: Trim
    why_trim: str  # where the trim comes from, in words
    picture: Size  # of what is left
    pixel_aspect: Fraction  # of the first frame that is made; the others' follow from their own
    seed: int


def prepare(
    source: StrPath | Source, destination: StrPath, size: Size = SIZE, trim: Sequence[int] | None = None,
    filter: str = "lanczos", tape: Mapping[str, Given] | None = None, seed: int = 0,
    overwrite: bool = False, clean: float = 0.0,
) -> Plan:  # fmt: skip
    """Plan to make SD twins of HD frames: of 10 bits, and of the same stems. Nothing is written.

    DataError if frames differ in size, or are not RGB; if there are none; if the twins would replace the frames, or
    each other. OptionError if an option is out of its range.

    Parameters
    ----------
    source, destination
        A source of R, G, B, or the path of one that can be read again; and a folder, or what else `opening.sink` takes.
    size
        Of the twins, whatever the shape of the picture.
    trim
        Of every frame. Without it `pillars` are looked for. Where they are as wide as those of a 4:3 picture, to two
        columns, or wider, that picture is what is left: 240 columns go at either side of 1920x1080. Where they are
        narrower, but 16 columns or more, as many go at both sides as both have, an even number. Else nothing goes.
    filter
        As `resize` has it.
    tape
        Strengths by the names of `TAPE`, as `degrade` has them: a number, or the least and the most, between which one
        is drawn for every frame; and, third, how likely it is 0 instead. Those that are not given are 0.
    seed
        0 or more. With the stem of its name it decides all that is drawn for a frame, whichever frames are made and in
        which order.
    clean
        How likely a frame has none of them, and is made smaller alone: 0 to 1.
    """
    if filter not in FILTERS:
        raise OptionError(f"filter: found {filter!r}, expected one of {', '.join(FILTERS)}")
    if operator.index(seed) < 0:
        raise OptionError(f"seed: found {seed}, expected 0 or more")
    source = source if isinstance(source, Source) else opening.source(source)
    if trim is None and source.once:
        raise OptionError("pillars are looked for before frames are read, but INPUT is a pipe; expected a trim")
    check_chance("clean", clean)
    made_by = {"size": size, "trim": trim, "filter": filter, "tape": dict(tape or {}), "clean": clean, "seed": seed}
    plan = chore.Plan(source, Path(destination), overwrite, made_by=made_by).checked()
    recipe = Recipe(filter, strengths_of(tape or {}), clean)
    first = _rgb_header(source, 0)
    for number, _ in source.files():
        header = _rgb_header(source, number)
        if (header.height, header.width) != (first.height, first.width):
            found, expected = (f"{one.width}x{one.height}" for one in (header, first))
            one_size = "expected one size in a folder, for one trim"
            raise DataError(f"{source.label(number)}: {found}, but {source.label(0)} is {expected}; {one_size}")
    trim, why = (Trim.parse(trim), "as given") if trim is not None else _find_trim(source, first)
    picture = trim.picture(source.size)
    size = check_size(size, picture)
    return Plan.of(
        plan, size=size, recipe=recipe, trim=trim, why_trim=why, picture=picture,
        pixel_aspect=_twin_aspect(first, picture, size), seed=seed,
    )  # fmt: skip


def run(plan: Plan, on_progress: Progress | None = None) -> tuple[int, int]:
    """Make the twins that `prepare` planned, as `chore.run` does.

    The header of a DPX is carried over but for size, flavour and pixel aspect; of other formats there is only the
    pixel aspect. Square pixels are assumed where a frame doesn't say. The aspect of the twin's is such that the picture
    keeps its shape: 8:9 of 1440x1080 square ones in 720x480. Codes are normalised by the frame's white, and floats
    clipped; no colour is converted.
    """
    return chore.run(plan, work, "degrading", on_progress)


def work(plan: Plan) -> chore.Work:
    """What makes the frames of a plan."""
    source, window = plan.source, plan.trim.window(plan.source.size)

    def make(number: int, raw: Any) -> tuple[Floats, Header]:
        if isinstance(source, Folder):
            frame = source.pixels(raw, "float32", window)
        else:
            frame = plan.trim.crop(source.pixels(raw, "float32"))
        frames.refuse_nan(source.label(number), frame)
        made = twin(frame, plan.size, plan.recipe, source.name(number), plan.seed)
        return made, twin_header(source.header(number), plan.picture, plan.size)

    return chore.each(make)


def _rgb_header(source: Source, number: int) -> Header:
    """The header of a frame; DataError if it is not of R, G and B."""
    if isinstance(source, Folder):
        frames.probe(source.file(number))  # which says what is wrong with a header
    header = source.header(number)
    if header.channels != 3 or header.descriptor in CHROMA:
        text = getattr(header.descriptor, "text", header.descriptor)
        raise DataError(f"{source.label(number)}: {text}, expected RGB")
    return header


def twin(frame: Frame, size: Size, recipe: Recipe, name: str, seed: int = 0) -> Floats:
    """What `run` makes of a picture (H, W, 3): as `degrade` has it; what is drawn follows from `seed` and `name`."""
    strengths = draw(recipe, seed, name)
    return degrade(frame, size, filter=recipe.filter, **strengths, seed=_seed(seed, name, 1))


def draw(recipe: Recipe, seed: int, stem: str) -> dict[str, float]:
    """The strengths of a frame by the stem of its name.

    All are drawn, also those that can be but one number, so that none depends on how another was given.
    """
    shares, chances = (
        np.random.default_rng(_seed(seed, stem, purpose)).random((1, count))
        for purpose, count in ((0, len(TAPE)), (2, len(TAPE) + 1))
    )
    return dict(zip(TAPE, recipe.strengths(shares, chances)[0].tolist(), strict=True))


def pillars(source: Source) -> tuple[int, int, str | None, int]:
    """The black columns at the left and right of frames, as many as all of several frames have.

    A column is black where its pixels, on 99 % of the rows and in all channels, lie within 8 codes of 1023 of the level
    of the frame's outermost column, and that is no brighter than 0.12 (log's black is code 95, 0.093; video's is 64).
    Frames that are black all over say nothing and are passed over. Up to nine frames, spread through them, are read.

    Returns how many are left and right; the name of the frame that had the fewest, None if all were black; how many
    were read.
    """
    picks = np.unique(np.linspace(0, len(source) - 1, _LOOKED_AT).round().astype(int))
    widths, looked = [], 0
    for number, raw in source.samples(picks.tolist()):
        looked, frame = looked + 1, source.pixels(raw, "float32")
        half = -(-frame.shape[1] // 2)
        left, right = _black_columns(frame[:, :half]), _black_columns(frame[:, : -half - 1 : -1])
        if min(left, right) < half:
            widths.append((left, right, os.path.basename(source.label(number))))
    if not widths:
        return 0, 0, None, looked
    narrowest = min(widths, key=lambda width: min(width[:2]))
    return min(width[0] for width in widths), min(width[1] for width in widths), narrowest[2], looked


def _black_columns(frame):
    """How many columns at the left are black."""
    level = np.median(frame[:, 0], axis=0)
    if level.max() > _DARK:
        return 0
    black = (np.abs(frame - level) <= _FLAT).all(axis=2).mean(axis=0) >= _ROWS
    return len(black) if black.all() else int(black.argmin())


def _find_trim(source, header):
    left, right, where, count = pillars(source)
    looked = f"in {count} frame{'s' * (count != 1)} looked at"
    if where is None:
        return UNTRIMMED, f"no pillars found: all is black {looked}"
    narrow = min(left, right)
    whole = int(header.width - Fraction(4, 3) * header.height / (header.pixel_aspect or 1)) // 2  # pillars of 4:3
    found = f"black columns at left and right: {left} and {right}, {looked}"
    if whole >= _NARROWEST and narrow >= whole - 2:
        return Trim(whole, whole), f"{found}; a 4:3 picture is left"
    if narrow >= _NARROWEST:
        return Trim(narrow // 2 * 2, narrow // 2 * 2), found
    return UNTRIMMED, f"no pillars; {found}, the fewest in {where}"


def _seed(seed, stem, purpose):
    return [purpose, seed, *os.fsencode(stem)]


def _twin_aspect(header, picture, size):
    """The pixel aspect with which a picture keeps its shape at another size."""
    return (header.pixel_aspect or Fraction(1)) * Fraction(picture[1] * size[0], picture[0] * size[1])


def twin_header(header: Header, picture: Size, size: Size, bits: int = 10) -> Header:
    """The header of what is made of a picture of that size in a frame with that header."""
    codes = {} if header.white else {"low_code": 0, "high_code": 2**bits - 1}  # of floats, whose own are none
    aspect = _twin_aspect(header, picture, size)
    return header.replace(width=size[1], height=size[0], descriptor="RGB", bits=bits, pixel_aspect=aspect, **codes)
