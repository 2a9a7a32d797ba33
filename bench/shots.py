"""Cuts that are found, missed and false, of drawn films whose cuts are known.

`python bench/shots.py [--seeds N] [CLIP ...]`: a row for each kind of film; of a clip, the first frames of its shots.
Dissolves, and black between fades, are no cuts, nor are cuts found in them false.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import masters

from fastup.footage.opening import source
from fastup.pairs import shots, signatures
from fastup.trim import Trim

KINDS = {
    "on ones, twos and threes": masters.Case(grain=0.006, holds=(1, 2, 3), motion=("act", "mouth")),
    "held drawings": masters.Case(grain=0.012, motion=("still", "mouth")),
    "pans": masters.Case(grain=0.006, motion=("pan", "camera")),
    "flashes": masters.Case(grain=0.006, flashes=1.0),
    "fades": masters.Case(grain=0.006, fades=1.0),
    "dissolves": masters.Case(grain=0.006, dissolves=0.35),
    "shared backgrounds": masters.Case(grain=0.006, shared=0.8),
    "everything": masters.CASES["everything"],
}


def judged(looks, found):
    """(cuts, found, false): of one master's looks, and the first frames of the shots found in it."""
    true, soft = set(), set()
    for n in range(1, len(looks)):
        if {looks[n - 1].kind, looks[n].kind} & {"dissolve", "fade", "black"}:
            soft.add(n)
        elif (looks[n].scene, looks[n].card) != (looks[n - 1].scene, looks[n - 1].card):
            true.add(n)
    found = set(found) - {0}
    return len(true), len(true & found), len(found - true - soft)


def rows(kind, case, seeds):
    """What is found in both masters of some films of a kind."""
    total, length = np.zeros(3, int), 0
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            truth = masters.make(replace(case, **masters.SMALL), seed, folder)
            for name, looks in (("sd", truth.sd), ("hd", truth.hd)):
                trim = Trim(*case.pillars) if name == "hd" else Trim(*case.blanking)
                with source(Path(folder) / name) as film:
                    seen = signatures.read(film, trim, Path(folder) / "cache")
                total += judged(looks, shots.cuts(seen).tolist())
                length += len(looks)
    cuts, found, false = total
    print(f"{kind:28}{length:8}{cuts:8}{found:8}{cuts - found:8}{false:8}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("clips", nargs="*", type=Path)
    options = parser.parse_args()
    for clip in options.clips:
        with tempfile.TemporaryDirectory() as folder, source(clip) as film:
            seen = signatures.read(film, cache=folder)
            print(f"{clip.name}: {len(seen)} frames, shots begin with {shots.cuts(seen).tolist()}")
    print(f"{'':28}{'frames':>8}{'cuts':>8}{'found':>8}{'missed':>8}{'false':>8}")
    for kind, case in KINDS.items():
        rows(kind, case, options.seeds)


if __name__ == "__main__":
    main()
