"""How well `fastup match` finds what is the same on two masters, on films whose truth is known.

``.venv/bin/python bench/match_figures.py`` prints the table of all cases, 5 seeds each, and fails if a figure is worse
than allowed: at most 0.2 % of the pairs show another drawing; at most 5 % of the drawings are left without a pair that
had one; the place is right to 0.1 SD pixel in 95 % of the pairs; colours to 0.5 % of white on 95 % of the flat areas.
``--seeds 1``, ``--case NAME`` (several) and ``--small`` pick less; ``--stage time``, ``place`` or ``colour`` looks at
that part alone. It takes minutes, and so is no part of ``make bench``.
"""

import argparse
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import judged
import masters

import fastup
from fastup import _warp
from fastup.codes import LUMA_601
from fastup.errors import FastupError
from fastup.footage import opening
from fastup.pairs import borders, colour, placement, signatures, timeline
from fastup.trim import Trim


def by_time(folder, truth):
    """Figures of the times alone: of every frame that has a partner."""
    trims = Trim(*truth.case.blanking), Trim(*truth.case.pillars)
    sources = (opening.source(folder / name) for name in ("sd", "hd"))
    line = timeline.align(*(signatures.read(*one, folder / "cache") for one in zip(sources, trims, strict=True)))
    if not (line.partner >= 0).any():
        return None
    usual = [not kind for kind in truth.kind]  # match leaves out the others
    return judged.times(truth, line.partner, (line.partner >= 0) & usual)


def by_place(folder, truth):
    """Figures of the places alone: of each shot by some true pairs, then of each frame; borders as they are found."""
    sources = [opening.source(folder / name) for name in ("sd", "hd")]
    trims = [borders.find(source).trim for source in sources]
    figures = judged.Figures()
    for trim, true in zip(trims, (truth.case.blanking, truth.case.pillars), strict=True):
        if any(found < least or found > least + 3 for found, least in zip(trim, true, strict=True)):
            figures.wrong.append(f"borders {tuple(trim)}, are {true}")
    usual = truth.usual

    def lumas(n):
        paths = sources[0].paths[n], sources[1].paths[min(truth.partners[n])]
        return [trim.crop(fastup.read(path, "float32")) @ LUMA_601 for trim, path in zip(trims, paths, strict=True)]

    for scene in sorted(set(truth.shot[usual].tolist())):
        frames = [n for n in usual if truth.shot[n] == scene]
        common = placement.common([placement.place(*lumas(n)) for n in frames[:: max(1, len(frames) // 4)]])
        for n in frames[::3]:
            found = None if common is None else placement.refine(*lumas(n), common)[0]
            figures.drawings += 1
            figures.left += found is None
            if found is None:
                figures.missed.append(n)
            else:
                figures.places.append(judged.place(truth, n, judged.whole(found, *trims)))
    return figures


def by_colour(folder, truth):
    """Figures of the colours alone: of each shot by some true pairs, HD put where it truly is."""
    paths = [fastup.find(folder / name) for name in ("sd", "hd")]
    left, right, top, bottom = np.add(truth.case.blanking, 4)
    inside = slice(top, truth.case.sd[0] - bottom), slice(left, truth.case.sd[1] - right)
    figures = judged.Figures()
    for scene in sorted(set(truth.shot[truth.usual].tolist())):
        frames = [n for n in truth.usual if truth.shot[n] == scene]
        gather = colour.Gather()
        for n in frames[:: max(1, len(frames) // 6)]:
            sd, hd = (fastup.read(p[k], "float32") for p, k in zip(paths, (n, min(truth.partners[n])), strict=True))
            gather.add(sd[inside], _warp.warp(hd, truth.affine[n], truth.case.sd)[inside])
        found = gather.fit()
        for n in frames[:: max(1, len(frames) // 3)]:
            off = found.apply(truth.picture(n, coloured=False)) - truth.picture(n)
            figures.colours += judged.blocks(off, truth.flat(n), (judged.BLOCK, judged.BLOCK))
    return figures


def by_match(folder, truth):
    """Figures of pairs; None if the films share nothing, and nothing is written."""
    from fastup.pairs.match import match

    try:
        match(folder / "sd", folder / "hd", folder / "data")
    except FastupError as error:
        if "share" not in str(error):
            raise
        assert not (folder / "data").exists(), "something was written"
        return None
    return judged.match(truth, folder / "data")


STAGES = {"time": by_time, "place": by_place, "colour": by_colour, "match": by_match}


def run(case, seed, stage, folder):
    """Figures of a case and a seed, seconds that drawing took, and that finding took."""
    shutil.rmtree(folder, ignore_errors=True)
    start = time.perf_counter()
    truth = masters.make(case, seed, folder)
    drawn = time.perf_counter()
    figures = STAGES[stage](folder, truth)
    if not case.common and figures is None:
        figures = judged.Figures()
    return figures, drawn - start, time.perf_counter() - drawn


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--case", action="append", choices=masters.CASES, help="one of the cases; all without it")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--stage", choices=STAGES, default="match")
    parser.add_argument("--small", action="store_true", help="360x480 and 160x240")
    asked = parser.parse_args()
    failed = []
    print(f"{'case':22} {'seed':>4}  {judged.HEAD}  {'draw':>5} {'find':>6}")
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.case or masters.CASES:
            case = replace(masters.CASES[name], **(masters.SMALL if asked.small else {}))
            total = judged.Figures()
            for seed in range(asked.first, asked.first + asked.seeds):
                figures, *seconds = run(case, seed, asked.stage, Path(folder) / "film")
                if figures is None:
                    print(f"{name:22} {seed:4}  found to share nothing", flush=True)
                    figures = judged.Figures(drawings=1, left=1)
                else:
                    print(f"{name:22} {seed:4}  {figures.row()}  {seconds[0]:4.0f}s {seconds[1]:5.1f}s", flush=True)
                    if figures.wrong:
                        print(f"{'':28}wrong: {', '.join(figures.wrong[:8])}", flush=True)
                    if "left" in figures.misses:
                        print(f"{'':28}left: {', '.join(map(str, figures.missed[:16]))}", flush=True)
                total += figures
            if asked.seeds > 1:
                print(f"{name:22}  all  {total.row()}", flush=True)
            failed += [f"{name}: {', '.join(total.misses)}"] * bool(total.misses)
    print("\n".join(failed) or "all as allowed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
