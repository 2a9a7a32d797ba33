"""A model against bicubic, frame by frame."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import tee
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fastup import frames
from fastup._scales import bicubic as enlarged
from fastup._types import Floats, Frame, Progress, StrPath
from fastup.codes import codes_of
from fastup.errors import DataError
from fastup.footage.recipe import Recipe
from fastup.pairs.alignment import fits
from fastup.pairs.folder import Pairs, find_pairs, of_one_colour
from fastup.pairs.geometry import scale_text
from fastup.pairs.levels import levels, put_on
from fastup.pairs.made import made_inputs
from fastup.trim import AUTO
from fastup.upscale.metrics import mean_psnr, psnr, psnr_y, ssim_y
from fastup.upscale.upscaler import BITS, Upscaler

if TYPE_CHECKING:
    from fastup.networks.models import Network

CEILING = 100.0  # dB
Scored = TypeVar("Scored")


@dataclass(frozen=True)
class Score:
    """How near a frame is to its target: the model, and bicubic beside it.

    Both are judged as `upscale` would write them, clipped and rounded to codes of 10 bits. `psnr` is of normalised RGB
    over the whole picture; `psnr_y` and `ssim_y` follow the papers (see `fastup.upscale.metrics`), the crop being the
    scale, rounded up. Equal pictures, such as two black ones, count as `CEILING`.
    """

    frame: str
    psnr: float
    psnr_bicubic: float
    psnr_y: float
    psnr_y_bicubic: float
    ssim_y: float
    ssim_y_bicubic: float
    flat: bool = False
    """Whether the target is of one colour, such as a black frame, of which the figures say little."""


def evaluate(
    model: "StrPath | Network | Upscaler", data: StrPath, on_progress: Progress | None = None, match: bool = False
) -> list[Score]:
    """Score a model on DATA/evaluation (or on a folder that holds Alpha and Beta itself).

    Without Alpha, a model that was trained on inputs that were made is scored on such: `made_inputs` puts them in the
    cache of `data`. With `match`, targets get the gain and offset of their inputs first: see `fastup.pairs.levels`.
    """
    upscaler = model if isinstance(model, Upscaler) else Upscaler(model)
    data = Path(data)
    folder = data / "evaluation" if (data / "evaluation").is_dir() else data
    settings = upscaler.settings
    recipe = Recipe.parse(settings["degrade"]) if settings.get("degrade") else None
    scale = upscaler.model.scale if recipe else None
    trims = settings["trim"], settings["input_trim"]
    pairs = find_pairs(folder, *trims, scale=scale, towards=upscaler.model.scale)
    if recipe is not None:
        pairs = made_inputs(pairs, recipe, data / "cache", on_progress)
    check_scale(upscaler, pairs)
    rim = ceil(max(upscaler.model.scale))
    put = levels(fits(pairs, on_progress)) if match else None
    scores = []
    for done, (_, ours, bicubic, target) in enumerate(compare(upscaler, pairs, put), 1):
        scores.append(
            Score(
                pairs.name(done - 1),
                bounded(psnr(ours, target)), bounded(psnr(bicubic, target)),
                bounded(psnr_y(ours, target, rim)), bounded(psnr_y(bicubic, target, rim)),
                ssim_y(ours, target, rim), ssim_y(bicubic, target, rim),
                of_one_colour(target),
            )
        )  # fmt: skip
        if on_progress is not None:
            on_progress(done, len(pairs), "evaluating")
    return scores


def bounded(decibels: float) -> float:
    """Decibels, at most `CEILING`."""
    return min(decibels, CEILING)


def counted(scores: Sequence[Scored], flat: Sequence[bool]) -> Sequence[Scored]:
    """The scores that a mean is of: without those of frames of one colour, unless there are no others."""
    return [score for score, out in zip(scores, flat, strict=True) if not out] or scores


def mean(scores: Sequence[Score]) -> Score:
    """One Score for many frames: PSNR of the mean squared error, and the mean of SSIM; see `counted`."""

    def over(name):
        values = [getattr(score, name) for score in counted(scores, [score.flat for score in scores])]
        return float(np.mean(values)) if name.startswith("ssim") else bounded(mean_psnr(values))

    return Score("mean", *(over(field.name) for field in fields(Score) if field.name not in ("frame", "flat")))


def check_scale(upscaler: Upscaler, pairs: Pairs) -> None:
    """Raise DataError if the scale of pairs isn't the model's."""
    if pairs.geometry.scale != upscaler.model.scale:
        found, expected = map(scale_text, (pairs.geometry.scale, upscaler.model.scale))
        raise DataError(f"{pairs.folder}: the scale (vertical x horizontal) is {found}, but the model's is {expected}")


def compare(
    upscaler: Upscaler, pairs: Pairs, put: Floats | None = None
) -> Iterator[tuple[Path, Floats, Floats, Frame]]:
    """For each pair its input path, and the model's picture, bicubic's and the target: normalised, as `upscale` writes.

    Pairs are trimmed as the model's settings say, and inputs are taken to have the colours that it was trained in.
    Targets get the gain and offset of `put`, as `levels` gives it. Raises DataError where a picture holds NaN or
    infinity.
    """
    read, targets = (frames.stream(paths, "float32", threads=1, ahead=2) for paths in (pairs.inputs, pairs.targets))
    if upscaler.settings["input_trim"] == AUTO:  # which the upscaler leaves to others
        read = ((path, pairs.kind(number).input_trim.crop(frame)) for number, (path, frame) in enumerate(read))
    inputs, read = tee(read)
    each = zip(inputs, upscaler.stream(read, matched=True), targets, strict=True)
    for number, ((path, frame), (_, ours), (target_path, target)) in enumerate(each):
        target = pairs.kind(number).trim.crop(target)
        frames.refuse_nan(target_path, target)
        if put is not None:
            target = put_on(target, put[number])
            target = target if pairs.kind(number).target_white is None else target.clip(0, 1)
        bicubic = enlarged(upscaler.picture(frame), upscaler.model.scale)
        yield path, _as_written(ours), _as_written(bicubic), target


def _as_written(picture):
    white = 2**BITS - 1
    return codes_of(picture, white) / np.float32(white)
