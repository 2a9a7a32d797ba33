"""Frames of other formats made DPX, which training reads its tiles from."""

from dataclasses import replace
from pathlib import Path

from fastup import frames
from fastup._types import Progress, StrPath
from fastup.pairs.cache import set_name
from fastup.pairs.copies import make_once
from fastup.pairs.folder import SIDES, Pairs

TRANSCODED = "fastup: frame made DPX, of the file with XXH3 {}"  # in the header of a copy, as its project


def transcode(pairs: Pairs, cache: StrPath, on_progress: Progress | None = None) -> Pairs:
    """Give the frames that aren't DPX as DPX, which training reads its tiles from: written once, without loss.

    A code stays the code that `frames.read` gives, 8 and 16 bits stay so, and floats become 32-bit floats. Frames go
    to cache/SET/Alpha/STEM.dpx and cache/SET/Beta/STEM.dpx, each whole, and carry the digest of their original: by
    that, and by size and white, those that are there already are known to be good. The pairs that are given have their
    paths; where all frames are DPX, they are `pairs` itself, and `cache` is not made.

    Raises
    ------
    DataError
        If a frame holds NaN.
    FastupError, OSError
        If a frame cannot be read, or its DPX not be written. What was written by then is kept.
    """
    copies, probes = dict[Path, Path](), dict[Path, tuple[tuple[int, int, int], int | None]]()
    for side, paths in zip(SIDES, (pairs.inputs, pairs.targets), strict=True):
        for number, path in enumerate(paths):
            if not frames.is_dpx(path):
                place = path.relative_to(pairs.folder).with_suffix(".dpx")
                copies[path] = Path(cache) / set_name(pairs.folder, cache) / place
                size, white, _ = pairs.kind(number).side(side)
                probes[path] = (*size, 3), white
    if not copies:
        return pairs
    original = {copy: path for path, copy in copies.items()}

    def make(path):
        frame = frames.read(path, "uint16" if probes[path][1] else "float32")
        frames.refuse_nan(path, frame, infinity=False)
        return frame, frames.read_header(path)

    def is_right(copy):
        return frames.probe(copy) == probes[original[copy]]

    make_once(copies, TRANSCODED, make, cache, "transcoding", on_progress, is_right)
    inputs, targets = (tuple(copies.get(path, path) for path in paths) for paths in (pairs.inputs, pairs.targets))
    return replace(pairs, inputs=inputs, targets=targets)
