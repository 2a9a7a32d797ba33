"""A model against bicubic, frame by frame."""

import contextlib
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from functools import partial
from itertools import tee
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypeVar, get_args

import numpy as np

from fastup import _free, _planes, frames
from fastup._resample import imresize
from fastup._scales import bicubic as enlarged
from fastup._threads import in_order, workers
from fastup._types import Floats, Frame, Progress, StrPath
from fastup.errors import DataError, OptionError
from fastup.footage.degrade import twin
from fastup.footage.recipe import Recipe
from fastup.footage.worker import share
from fastup.pairs.alignment import fits
from fastup.pairs.clips import clips
from fastup.pairs.folder import SIDES, Pairs, find_pairs, of_one_colour
from fastup.pairs.geometry import scale_text
from fastup.pairs.levels import levels, put_on, silent_note
from fastup.pairs.made import made_inputs
from fastup.trim import AUTO, UNTRIMMED
from fastup.upscale.metrics import Parts, flicker, luma_y, mean_psnr, psnr_of_luma, ssim_of_luma, still
from fastup.upscale.upscaler import BITS, Upscaler

if TYPE_CHECKING:
    from fastup.networks.models import Network

CEILING = 100.0  # dB
Protocol = Literal["restoration", "papers"]
RESTORATION, PAPERS = PROTOCOLS = get_args(Protocol)
MATLAB = Recipe.parse("matlab")  # the inputs of the papers
Scored = TypeVar("Scored")
Reads: TypeAlias = Iterator[tuple[Path, Frame]]
Look: TypeAlias = Callable[[int, Floats, list[Floats], Floats, Frame], Any]
SHARE = 0.5  # of free memory, that frames take which are judged
OTHER = 200  # bytes of a target pixel, of what is on the way to its figures
SHARED = "scale", "trim", "input_trim"  # settings that models have to share, and of inputs that are made "degrade"


@dataclass(frozen=True)
class Score:
    """How near a frame is to its target: the model, and bicubic beside it.

    Both are judged as `upscale` would write them, clipped and rounded to codes of 10 bits, or of 8 by the protocol of
    the papers. `psnr` is of normalised RGB over the whole picture; `psnr_y` and `ssim_y` follow the papers (see
    `fastup.upscale.metrics`), the crop being the scale, rounded up. Equal pictures, such as two black ones, count as
    `CEILING`. `psnr_lines`, `psnr_flats` and `halo` are of `fastup.upscale.metrics.Parts`: RGB PSNR beside the lines of
    the target and in its flats, and by how many codes of 10 bits edges are too bright on their bright side. They are
    None where a target has no such pixels. `flicker` is the mean change, in codes of 10 bits, from the frame before
    where the target does not change, of the model, of bicubic, and of the input that both had; None of a shot's first
    frame, and where nothing is still.
    """

    frame: str
    psnr: float
    psnr_bicubic: float
    psnr_y: float
    psnr_y_bicubic: float
    ssim_y: float
    ssim_y_bicubic: float
    psnr_lines: float | None = None
    psnr_lines_bicubic: float | None = None
    psnr_flats: float | None = None
    psnr_flats_bicubic: float | None = None
    halo: float | None = None
    halo_bicubic: float | None = None
    flicker: float | None = None
    flicker_bicubic: float | None = None
    flicker_input: float | None = None
    flat: bool = False
    """Whether the target is of one colour, such as a black frame, of which the figures say little."""


def evaluate(
    model: "StrPath | Network | Upscaler",
    data: StrPath,
    on_progress: Progress | None = None,
    match: bool = False,
    protocol: Protocol = RESTORATION,
) -> list[Score]:
    """Score a model on DATA/evaluation (or on a folder that holds Alpha and Beta itself).

    Without Alpha, a model that was trained on inputs that were made is scored on such: `made_inputs` puts them in the
    cache of `data`. With `match`, targets get the gain and offset of their inputs first: see `fastup.pairs.levels`.

    By the protocol "papers", what models and bicubic make is rounded to 8 bits, and bicubic is MATLAB's; without Alpha,
    inputs of any model are what MATLAB makes of the targets, whole pictures but for what is not whole cells, and
    nothing is written. The targets are then those in Beta, or in the folder itself.

    OptionError if there is no such protocol, or one that does not go with `match`.
    """
    (scores,) = score_all(prepare([model], data, on_progress, match, protocol), on_progress)
    return scores


@dataclass(frozen=True)
class Evaluation:
    """Models, and the pairs that they are to be scored on."""

    upscalers: list[Upscaler]
    pairs: Pairs
    put: Floats | None  # what `match` puts on each target
    protocol: Protocol
    note: str | None = None  # what is to be said of that


def prepare(
    models: "Sequence[StrPath | Network | Upscaler]",
    data: StrPath,
    on_progress: Progress | None = None,
    match: bool = False,
    protocol: Protocol = RESTORATION,
) -> Evaluation:
    """What `evaluate` needs of one or more models and `data`; DataError if models do not take the same pictures."""
    if protocol not in PROTOCOLS:
        raise OptionError(f"protocol is {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
    papers = protocol == PAPERS
    if match and papers:
        raise OptionError(
            "match changes the targets, which the papers' protocol takes as they are; expected one of them"
        )
    upscalers = [model if isinstance(model, Upscaler) else Upscaler(model) for model in models]
    data = Path(data)
    folder = data / "evaluation" if (data / "evaluation").is_dir() else data
    first = upscalers[0]
    settings = first.settings
    recipe = MATLAB if papers else Recipe.parse(settings["degrade"]) if settings.get("degrade") else None
    scale = first.model.scale if recipe else None
    trims = settings["trim"], settings["input_trim"]
    if papers and not (folder / SIDES[0]).exists():
        trims = UNTRIMMED, UNTRIMMED
    pairs = find_pairs(folder, *trims, scale=scale, towards=first.model.scale, grey=papers)
    _check_alike(upscalers, (*SHARED, "degrade") if recipe is not None and pairs.made else SHARED)
    if recipe is not None and not papers:
        pairs = made_inputs(pairs, recipe, data / "cache", on_progress)
    check_scale(first, pairs)
    if not match:
        return Evaluation(upscalers, pairs, None, protocol)
    sample = fits(pairs, on_progress)
    return Evaluation(upscalers, pairs, levels(sample), protocol, silent_note(sample, len(pairs)))


def _check_alike(upscalers, names):
    first, *others = upscalers
    for other in others:
        for name in names:
            if (found := other.settings.get(name)) != (expected := first.settings.get(name)):
                raise DataError(
                    f"{other.model.name}: its {name} is {found}, expected {expected} as of {first.model.name}: models "
                    "are compared on the same pictures"
                )


def score_all(
    what: Evaluation, on_progress: Progress | None = None, look: Look | None = None,
    keep: Callable[[Any], object] | None = None,
) -> list[list[Score]]:  # fmt: skip
    """The scores of each model, frame by frame, as `evaluate` has them.

    `look` is as `scored` has it; `keep` is called with what it gives, in the order of the frames.
    """
    scores: list[list[Score]] = [[] for _ in what.upscalers]
    with contextlib.closing(scored(what, {start for start, _ in shots_of(what.pairs)}, look)) as judged:
        for done, (found, seen) in enumerate(judged, 1):
            for each, score in zip(scores, found, strict=True):
                each.append(score)
            if keep is not None:
                keep(seen)
            if on_progress is not None:
                on_progress(done, len(what.pairs), "evaluating")
    return scores


def shots_of(pairs: Pairs) -> list[tuple[int, int]]:
    """The shots of pairs, as `clips` has them; by what is kept in the cache beside their set, where there is one."""
    cache = pairs.folder.parent / "cache"  # of `train`
    return clips(pairs, cache if cache.is_dir() else None).shots


def scored(
    what: Evaluation, starts: Collection[int], look: Look | None = None
) -> Generator[tuple[list[Score], Any], None, None]:
    """Frame by frame, the score of each model, and what `look` gives.

    While models make frames, those that are made are judged on threads, as many at a time as there are processors and
    as memory holds.

    Parameters
    ----------
    starts
        The numbers of the frames with which shots begin, which have no flicker.
    look
        Called for each frame, on one of the threads, with its number, the picture of its input, those of the models,
        bicubic's and the target: normalised.
    """
    return in_order(partial(_judged, what, look), _compared(what, starts), _at_once(what))


def _at_once(what):
    """How many frames may be judged at a time: each has its pictures, and those of the frame before."""
    height, width = what.pairs.geometry.target_picture
    needed = height * width * (2 * 12 * (len(what.upscalers) + 3) + OTHER)
    free = _free.of_machine()
    return workers() if free is None else max(1, min(workers(), int(SHARE * free / share()) // needed))


class _Compared(NamedTuple):
    """What is judged of a frame: what the models made of it, in order, bicubic's picture, the input's; its target."""

    number: int
    shown: list[Floats]
    target: Frame
    before: "_Compared | None"  # of the same shot


def _compared(what, starts):
    before, compared = None, compare_all(what.upscalers, what.pairs, what.put, what.protocol, starts)
    for number, (_, picture, made, bicubic, target) in enumerate(compared):
        frame = _Compared(number, [*made, bicubic, picture], target, None)
        yield frame._replace(before=None if number in starts else before)
        before = frame


def _judged(what, look, frame):
    """The score of each model, and what `look` gives."""
    largest = max(what.upscalers[0].model.scale)
    *pictures, given = frame.shown
    *figures, beside = _figures(pictures, frame.target, ceil(largest), ceil(3 * largest))
    flickers = [None] * len(frame.shown)
    if frame.before is not None:
        quiet = still(frame.target, frame.before.target)
        flickers = [flicker(now, then, quiet) for now, then in zip(frame.shown, frame.before.shown, strict=True)]
    *ours, theirs, inputs = flickers
    shared = {f"{name}_bicubic": each for name, each in beside.items()} | {
        "flicker_bicubic": theirs, "flicker_input": inputs, "flat": of_one_colour(frame.target),
    }  # fmt: skip
    name = what.pairs.name(frame.number)
    scores = [Score(name, **each, flicker=own, **shared) for each, own in zip(figures, ours, strict=True)]
    *made, bicubic = pictures
    return scores, None if look is None else look(frame.number, given, made, bicubic, frame.target)


def _figures(pictures, target, rim, reach):
    """Of each picture, by the names that `Score` has for them."""
    parts, luma = Parts(target, reach), luma_y(target, rim)
    for picture in pictures:
        found = dict(zip(("psnr", "psnr_lines", "psnr_flats"), parts.psnr(picture), strict=True))
        own = luma_y(picture, rim)
        found["psnr_y"] = psnr_of_luma(own, luma)
        yield {name: each if each is None else bounded(each) for name, each in found.items()} | {
            "ssim_y": ssim_of_luma(own, luma), "halo": parts.halo(picture),
        }  # fmt: skip


def bounded(decibels: float) -> float:
    """Decibels, at most `CEILING`."""
    return min(decibels, CEILING)


def counted(scores: Sequence[Scored], flat: Sequence[bool]) -> Sequence[Scored]:
    """The scores that a mean is of: without those of frames of one colour, unless there are no others."""
    return [score for score, out in zip(scores, flat, strict=True) if not out] or scores


def mean(scores: Sequence[Score], protocol: Protocol = RESTORATION) -> Score:
    """One Score for many frames: PSNR of the mean squared error, and the mean of the others; see `counted`.

    By the protocol of the papers, PSNR is the mean of decibels. A figure that a frame does not have counts nothing.
    """

    def over(name):
        values = [getattr(score, name) for score in counted(scores, [score.flat for score in scores])]
        values = [value for value in values if value is not None]
        if not values:
            return None
        if name.startswith("psnr") and protocol == RESTORATION:
            return bounded(mean_psnr(values))
        return float(np.mean(values))

    return Score("mean", *(over(field.name) for field in fields(Score) if field.name not in ("frame", "flat")))


def check_scale(upscaler: Upscaler, pairs: Pairs) -> None:
    """Raise DataError if the scale of pairs isn't the model's."""
    if pairs.geometry.scale != upscaler.model.scale:
        found, expected = map(scale_text, (pairs.geometry.scale, upscaler.model.scale))
        raise DataError(f"{pairs.folder}: the scale (vertical x horizontal) is {found}, but the model's is {expected}")


def compare(
    upscaler: Upscaler, pairs: Pairs, put: Floats | None = None, protocol: Protocol = RESTORATION,
    cuts: Iterable[int] | None = None,
) -> Iterator[tuple[Path, Floats, Floats, Frame]]:  # fmt: skip
    """For each pair its input path, and the model's picture, bicubic's and the target: normalised, as `upscale` writes.

    Pairs are trimmed as the model's settings say, and inputs are taken to have the colours that it was trained in.
    Targets get the gain and offset of `put`, as `levels` gives it. By the protocol of the papers, pictures have 8 bits,
    bicubic is MATLAB's, and so are inputs that there are not. A recurrent model takes the pairs as a film, whose shots
    begin with the numbers in `cuts`, as `Upscaler.stream` has them. Raises DataError where a picture holds NaN or
    infinity.
    """
    for path, _, (ours,), bicubic, target in compare_all([upscaler], pairs, put, protocol, cuts):
        yield path, ours, bicubic, target


def compare_all(
    upscalers: Sequence[Upscaler], pairs: Pairs, put: Floats | None = None, protocol: Protocol = RESTORATION,
    cuts: Iterable[int] | None = None,
) -> Iterator[tuple[Path, Floats, list[Floats], Floats, Frame]]:  # fmt: skip
    """As `compare`, of several models that take the same pictures: path, input picture, theirs, bicubic's, target."""
    first = upscalers[0]
    read, targets = _read_pairs(first, pairs)
    inputs, *reads = tee(read, 1 + len(upscalers))
    made = [
        upscaler.stream(each, True, cuts if upscaler.model.recurrent else None)
        for upscaler, each in zip(upscalers, reads, strict=True)
    ]
    bits = 8 if protocol == PAPERS else BITS
    for number, ((path, frame), (target_path, target), *theirs) in enumerate(zip(inputs, targets, *made, strict=True)):
        target = pairs.kind(number).trim.crop(target)
        frames.refuse_nan(target_path, target)
        if put is not None:
            target = put_on(target, put[number])
            target = target if pairs.kind(number).target_white is None else target.clip(0, 1)
        picture = first.picture(frame)
        if protocol == PAPERS:
            bicubic = imresize(picture, target.shape[:2])
        else:
            bicubic = _as_written(enlarged(picture, first.model.scale))
        yield path, picture, [_as_written(ours, bits) for _, ours in theirs], bicubic, target


def _read_pairs(upscaler: Upscaler, pairs: Pairs) -> tuple[Reads, Reads]:
    """The inputs of pairs, as an upscaler takes them, and the targets, each with its path."""
    targets = _read(pairs.targets)
    if pairs.made:
        targets, seen = tee(targets)
        return _made(upscaler, pairs, seen), targets
    read = _read(pairs.inputs)
    if upscaler.settings["input_trim"] == AUTO:  # which the upscaler leaves to others
        read = ((path, pairs.kind(number).input_trim.crop(frame)) for number, (path, frame) in enumerate(read))
    return read, targets


def _read(paths: Iterable[Path]) -> Reads:
    """Frames with their paths; grey, which the papers' protocol takes, as R, G and B."""
    for path, frame in frames.stream(paths, "float32", threads=1, ahead=2):
        yield path, np.repeat(frame, 3, axis=2) if frame.shape[2] == 1 else frame


def _made(upscaler, pairs, targets):
    """Inputs of the papers, made of targets; around them as much as the upscaler trims."""
    trim = upscaler.input_trim
    for number, (path, target) in enumerate(targets):
        kind = pairs.kind(number)
        frames.refuse_nan(path, target)
        made = twin(kind.trim.crop(target), kind.geometry.input_picture, MATLAB, pairs.name(number))
        yield path, np.pad(made, ((trim.top, trim.bottom), (trim.left, trim.right), (0, 0)), "edge")


def _as_written(picture, bits=BITS):
    white = 2**bits - 1
    codes, _ = _planes.codes_of(np.ascontiguousarray(picture, np.float32), white, planes=False)
    return codes / np.float32(white)
