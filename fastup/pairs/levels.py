"""Targets that have the gain and offset of their inputs, each pair its own, as DPX that training reads."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import xxhash

from fastup import frames
from fastup._threads import in_order
from fastup._types import Floats, Frame, Progress, StrPath
from fastup.errors import FastupError
from fastup.header import Header
from fastup.pairs.alignment import CHANNELS, Fit, fit_pair
from fastup.pairs.cache import set_name
from fastup.pairs.copies import mark_of, write_marked
from fastup.pairs.digests import Digests, state_of
from fastup.pairs.folder import SIDES, Pairs

MATCHED = "fastup: target matched to its input, XXH3 {}: "  # in the header of a copy, as its project
FOLDER = "matched"  # in a cache
WHITE = 65535  # of copies: of 16 bits, so that nothing that a target shows is lost

_MOST = 0.25, 0.1  # a gain further from 1, or a larger offset, of white, is no difference of levels


def levels(sample: Sequence[Fit]) -> Floats:
    """The gain and offset to put on the targets of pairs, by how they fit, (n, 2, 3): normalised, of R, G and B.

    A channel of which a pair says nothing gets the median of the others. Where none says anything, or what it says is
    no difference of levels (a gain more than 0.25 from 1, an offset above 0.1 of white), it stays as it is.
    """
    own = np.array([_own(fit) for fit in sample]).reshape(-1, 2, 3)
    return np.where(np.isnan(own), _usual(own), own)


def silent_note(sample: Sequence[Fit], count: int) -> str | None:
    """A line on the channels of which no pair of a sample, of so many pairs, says what `levels` puts on; else None."""
    own = np.array([_own(fit) for fit in sample]).reshape(-1, 2, 3)
    silent = [name for k, name in enumerate(CHANNELS) if np.isnan(own[:, 0, k]).all()]
    if not silent:
        return None
    looked = "the pair does" if count == 1 else f"the {len(sample)} pairs looked at do"
    unless = ", unless other pairs do" if count > len(sample) else ""
    return (
        f"match: {looked} not show a gain and an offset of {', '.join(silent)}, so that targets stay as they are "
        f"there{unless}; `fastup pairs DATA` tells more"
    )


def put_on(target: Frame, levels: Floats) -> Floats:
    """A normalised target with a gain and an offset, (2, 3). Nothing is clipped."""
    gain, offset = levels.astype(np.float32)
    return target * gain + offset


def match_levels(pairs: Pairs, cache: StrPath, on_progress: Progress | None = None) -> Pairs:
    """Give the pairs with targets that have their inputs' gain and offset, as `levels` finds them.

    Targets go to cache/matched/SET/STEM.dpx, of 16 bits, or of floats where they were floats; originals stay as they
    are. A copy carries a digest of what both files of its pair hold and of their trims, and what was put on it: by
    that, it is not made again.

    Raises
    ------
    DataError
        If a frame holds NaN or infinity.
    FastupError, OSError
        If a frame cannot be read, or a copy not be written. What was written by then is kept.
    """
    folder, digests = Path(cache) / FOLDER / set_name(pairs.folder, cache), Digests(cache)
    copies = [folder / path.relative_to(pairs.folder / SIDES[1]).with_suffix(".dpx") for path in pairs.targets]
    for place in {copy.parent for copy in copies}:
        place.mkdir(parents=True, exist_ok=True)

    def key_of(number):
        kind = pairs.kind(number)
        held = [digests.of(path) for path in (pairs.inputs[number], pairs.targets[number])]
        return xxhash.xxh3_128_hexdigest(repr((held, tuple(kind.trim), tuple(kind.input_trim))).encode())

    def measure(number):
        states = _states(pairs, number)
        key = key_of(number)
        own = _read(copies[number], key, pairs.kind(number))
        if own is None:
            own = _own(fit_pair(pairs, number))
            if not np.isnan(own).any():
                _write(pairs, number, copies[number], _mark(key, own, own), own, states)
        return key, own

    def fill(number):
        (key, own), states = found[number], _states(pairs, number)
        mark = _mark(key, own, usual)
        if mark_of(copies[number]) != mark:
            _write(pairs, number, copies[number], mark, np.where(np.isnan(own), usual, own), states)

    found = []
    try:
        for each in in_order(measure, range(len(pairs)), threads=2):
            found.append(each)
            if on_progress is not None:
                on_progress(len(found), len(pairs), "matching targets")
        usual = _usual(np.array([own for _, own in found]))
        silent = [number for number, (_, own) in enumerate(found) if np.isnan(own).any()]
        for _ in in_order(fill, silent, threads=2):
            pass
    finally:
        digests.save()
    return with_copies(pairs, copies)


def with_copies(pairs: Pairs, copies: Sequence[Path]) -> Pairs:
    """The pairs with copies as their targets."""
    kinds = [replace(kind, target_white=_white_of(kind)) for kind in pairs.kinds]
    return replace(pairs, targets=tuple(copies), kinds=tuple(kinds))


def in_copy(header: Header, white: int | None) -> Header:
    """The header of a copy of a target of that white."""
    return header if white is None else header.replace(bits=16)


def _white_of(kind):
    return None if kind.target_white is None else WHITE


def _own(fit):
    """What a pair says: (2, 3), NaN where it says nothing; rounded to what a mark holds."""
    own = np.array([fit.gain, fit.offset], float)
    odd = np.isnan(own).any(0) | (np.abs(own[0] - 1) > _MOST[0]) | (np.abs(own[1]) > _MOST[1])
    return np.where(odd, np.nan, own.round(5))


def _usual(own):
    """The median of what pairs say, (2, 3); 1 and 0 where none does."""
    usual = np.array([[1.0] * 3, [0.0] * 3])
    for k in range(3):
        said = own[~np.isnan(own[:, 0, k]), :, k]
        if len(said):
            usual[:, k] = np.median(said, axis=0).round(5)
    return usual


def _mark(key, own, usual):
    """What a copy's header says: key, and figures; those that are not the pair's own have a ~."""
    figures = [f"~{b:.5f}" if np.isnan(a) else f"{a:.5f}" for a, b in zip(own.flat, usual.flat, strict=True)]
    return MATCHED.format(key) + " ".join(figures)


def _read(copy, key, kind):
    """What a pair says by its copy; None where that is not there, or is of something else."""
    before, _, figures = mark_of(copy).partition(MATCHED.format(key))
    words = figures.split()
    try:
        if before or len(words) != 6 or frames.probe(copy) != ((*kind.target_size, 3), _white_of(kind)):
            return None
        own = np.array([np.nan if word.startswith("~") else float(word) for word in words])
    except (FastupError, OSError, ValueError):
        return None
    return own.reshape(2, 3)


def _write(pairs, number, copy, mark, put, states):
    path, white = pairs.targets[number], pairs.kind(number).target_white
    target = frames.read(path, "float32")
    frames.refuse_nan(path, target, infinity=False)
    header = in_copy(frames.read_header(path), white)
    write_marked(copy, put_on(target, put), header, mark, _states(pairs, number) == states)


def _states(pairs, number):
    return [state_of(path) for path in (pairs.inputs[number], pairs.targets[number])]
