"""How well `fastup match` finds what is the same on two masters that are made of a real clip.

``.venv/bin/python bench/match_real.py CLIP`` makes HD of the middle of the clip, 4:3 between pillars, and SD of the
same as a tape would have it: larger, turned, drifting and weaving, in other colours, with noise; frames are missing and
doubled in both, HD lacks a part, and each begins with some black. The figures are those of ``bench/match_figures.py``.
Frames of the clip that look the same on SD count as one drawing.
"""

import argparse
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import judged
import masters

import fastup
from fastup import _warp
from fastup._resample import resize
from fastup.footage import opening
from fastup.footage.degrade import degrade
from fastup.header import Header

SAME = 0.004  # of white: frames are one drawing where no block of 8 by 8 SD pixels differs by more
CASE = {
    "sd": (240, 360), "overscan": (0.02, 0.05), "rotation": 0.4, "shift": 2.0, "drift": 0.5, "weave": 0.12,
    "jumps": 0.5, "missing": 0.01, "doubled": 0.01, "grain": 0.003,
}  # fmt: skip


@dataclass
class Real(masters.Truth):
    """The truth of two masters of a clip; what a frame shows is read from HD's twin of it."""

    folder: Path = field(default=Path(), repr=False)
    clip: list = field(default_factory=list, repr=False)

    def picture(self, frame, size=None, coloured=True):
        size = size or self.case.sd
        matrix = self.affine[frame].copy()
        matrix[:, :2] *= np.divide(self.case.sd, size)
        picture = _warp.warp(fastup.read(self.folder / "clip" / f"{self.clip[frame]:06d}.dpx", "float32"), matrix, size)
        return self.colour(frame)(picture).astype(np.float32) if coloured else picture


def make(path, seed, folder, frames):
    """Write folder/sd and folder/hd, and tell the truth of them."""
    rng = np.random.default_rng((seed, 20))
    with opening.source(path) as source:
        height, width = source.size
        side = (width - height * 4 // 3) // 2
        count = 0
        small = []
        for number, raw in source.frames():
            if count == frames:
                break
            picture = source.pixels(raw, "float32")
            picture[:, :side] = picture[:, width - side :] = 0
            inner = resize(picture[:, side : width - side], CASE["sd"], "area")
            small.append(inner.reshape(30, 8, 45, 8, 3).mean((1, 3)))
            write(folder / "clip" / f"{count:06d}.dpx", picture, number, 16)
            count += 1
    small = np.array(small)
    case = masters.Case(hd=(height, width - 2 * side), pillars=(side, side, 0, 0), colour="curves", **CASE)
    cut = int(rng.integers(count // 3, count // 2))
    lists = []
    for first, gone in ((0, ()), (5, range(cut, cut + count // 12))):
        gone = set(gone) | set(range(first))
        looks = [
            [n] * (0 if n in gone or rng.random() < 0.01 else 2 if rng.random() < 0.01 else 1) for n in range(count)
        ]
        lists.append([-1] * int(rng.integers(3, 20)) + [n for look in looks for n in look])
    sd, hd = lists
    drawing = np.concatenate([[0], np.cumsum((np.abs(np.diff(small, axis=0)) > SAME).any((1, 2, 3)))])
    shown = [drawing[n] if n >= 0 else -1 for n in sd]
    where = {}
    for at, n in enumerate(hd):
        if n >= 0:
            where.setdefault(drawing[n], set()).add(at)
    starts = np.flatnonzero(np.abs(np.diff(small, axis=0)).mean((1, 2, 3)) > 0.06)
    shot = np.searchsorted(starts, sd, side="left")
    matrices = masters.places(case, np.random.default_rng((seed, 4)), shot)
    art = masters.Art(case, seed)
    affine = np.array([masters.compose(art.hd_matrix, masters.invert(m)) for m in matrices])
    colours = {n: masters.colour_map(case, np.random.default_rng((seed, n, 3))) for n in set(shot.tolist())}
    look = [masters.Look(0, gain=float(n >= 0)) for n in (*sd, *hd)]
    truth = Real(
        case, seed, look[: len(sd)], look[len(sd) :], affine,
        [frozenset(where.get(one, ())) if n >= 0 else frozenset() for one, n in zip(shown, sd, strict=True)],
        np.array(shown), np.array([drawing[n] if n >= 0 else -1 for n in hd]), shot,
        ["" if n >= 0 else "black" for n in sd], np.zeros(len(sd), bool), colours, art, folder, sd,
    )  # fmt: skip
    grain = masters.Grain(seed, case.sd)
    for at, n in enumerate(sd):
        picture = truth.picture(at) if n >= 0 else np.zeros((*case.sd, 3), np.float32)
        grain.add(picture, case.grain, (0, at))
        write(
            folder / "sd" / f"{at:06d}.dpx", degrade(picture.clip(0, 1), case.sd, seed=(seed, at), **masters.TAPE), at
        )
    black = np.zeros((height, width, 3), np.float32)
    for at, n in enumerate(hd):
        picture = fastup.read(folder / "clip" / f"{n:06d}.dpx", "float32") if n >= 0 else black
        write(folder / "hd" / f"{at:06d}.dpx", picture, at)
    return truth


def write(path, picture, number, bits=10):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = Header.new(picture.shape[1], picture.shape[0], bits=bits, frame_position=number)
    fastup.write(path, picture, header=header, fsync=False)


def main():
    from fastup.pairs.match import match

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("clip", type=Path)
    parser.add_argument("--frames", type=int, default=10**9, help="how many of the clip")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        truth = make(asked.clip, asked.seed, folder, asked.frames)
        match(folder / "sd", folder / "hd", folder / "data")
        figures = judged.match(truth, folder / "data")
    print(judged.HEAD)
    print(figures.row())
    print("wrong:", ", ".join(figures.wrong) or "none")
    print("left:", ", ".join(map(str, figures.missed)) or "none")
    return bool(figures.misses)


if __name__ == "__main__":
    sys.exit(main())
