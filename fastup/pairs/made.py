"""Inputs of whole frames, made of targets where a set has none: for validation and evaluation."""

import hashlib
from pathlib import Path

from fastup import frames
from fastup._types import Progress, StrPath
from fastup.footage.degrade import twin, twin_header
from fastup.footage.recipe import Recipe
from fastup.pairs.cache import set_name
from fastup.pairs.copies import make_once
from fastup.pairs.folder import Kind, Pairs
from fastup.trim import UNTRIMMED

MADE = "fastup: input made of the file with XXH3 {}"  # in the header of an input, as its project


def made_inputs(pairs: Pairs, recipe: Recipe, cache: StrPath, on_progress: Progress | None = None) -> Pairs:
    """Pairs whose inputs are files, made of the pictures of the targets as `fastup degrade` makes them.

    What is drawn for a frame follows from its name alone, so that every model is judged on the same inputs. They go to
    cache/inputs-DIGEST/NAME.dpx, the digest being that of the recipe, of scale, trim and name of the set; each whole,
    and with the digest of its target: those that are there already are kept. Pairs that have inputs are given as they
    are.

    Raises
    ------
    DataError
        If a target holds NaN or infinity.
    FastupError, OSError
        If a target cannot be read, or an input not be written. What was written by then is kept.
    """
    if not pairs.made:
        return pairs
    places = [_folder(pairs.kind(n), pairs.folder, recipe, cache) / f"{pairs.name(n)}.dpx" for n in range(len(pairs))]
    number_of = {path: number for number, path in enumerate(pairs.targets)}

    def make(path):
        number = number_of[path]
        kind = pairs.kind(number)
        frame = kind.trim.crop(frames.read(path, "float32"))
        frames.refuse_nan(path, frame)
        made = twin(frame, kind.geometry.input_picture, recipe, pairs.name(number))
        bits = int(kind.input_white).bit_length()
        return made, twin_header(frames.read_header(path), frame.shape[:2], made.shape[:2], bits)

    make_once(dict(zip(pairs.targets, places, strict=True)), MADE, make, cache, "making inputs", on_progress)
    kinds = [
        Kind(kind.geometry.input_picture, kind.target_size, kind.input_white, kind.target_white, kind.trim, UNTRIMMED)
        for kind in map(pairs.kind, range(len(pairs)))
    ]
    return Pairs.of(pairs.folder, places, pairs.targets, kinds)


def _folder(kind, folder, recipe, cache):
    what = (
        str(recipe),
        set_name(folder, cache),
        [str(factor) for factor in kind.scale],
        tuple(kind.trim),
        kind.input_white,
    )
    return Path(cache) / f"inputs-{hashlib.blake2b(repr(what).encode(), digest_size=16).hexdigest()}"
