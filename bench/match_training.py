"""What a network learns of the pairs that `fastup match` finds, of the true ones, and of pairs by frame number.

``.venv/bin/python bench/match_training.py`` trains on each for ``--minutes 3`` and prints what each network reaches on
another film of the same tape, of which the true pairs are known, beside bicubic. It fails if that of `match` lies more
than 0.1 dB below that of the truth, or that of frame numbers does not. It takes 15 minutes, and so is no part of
``make bench``.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import masters

import fastup
from fastup import _warp
from fastup.header import Header
from fastup.networks import start

CASE = masters.Case(
    frames=320, holds=(2,), scene=(18, 34), motion=("act", "act", "pan"), overscan=(0.02, 0.04), rotation=0.2,
    shift=1.5, drift=0.5, weave=0.12, colour="curves", grain=0.006, missing=0.01, doubled=0.01, intros=True,
)  # fmt: skip
NEAR = 0.1  # dB
SCORED = 24  # frames


def write_true(folder, truth, rows, window, size):
    """The pairs that `match` chose, but of the true partner, place and colours."""
    write_pairs(folder, truth, rows, window, lambda n: _true(folder, truth, n, window, size))


def write_numbered(folder, truth, rows, window, size):
    """Those frames of SD, each with the HD frame of its number, counted from the first that both show; as it is.

    None where HD has ended.
    """
    first = next(n for n, partners in enumerate(truth.partners) if partners)
    behind = min(truth.partners[first]) - first
    hd = fastup.find(folder.parent / "hd")
    y, x, height, width = window
    down, along = np.divide(size, (height, width))
    top, left = round(y * down), round(x * along)

    def target(n):
        if n + behind >= len(hd):
            return None
        return fastup.read(hd[n + behind], "float32")[top : top + size[0], left : left + size[1]]

    write_pairs(folder, truth, rows, window, target)


def _true(folder, truth, n, window, size):
    hd = fastup.read(fastup.find(folder.parent / "hd")[min(truth.partners[n])], "float32")
    matrix = truth.affine[n].copy()
    matrix[:, 2] += matrix[:, :2] @ window[:2]
    matrix[:, :2] *= np.divide(window[2:], size)
    return truth.colour(n)(_warp.warp(hd, matrix, size))


def write_pairs(folder, truth, rows, window, target):
    y, x, height, width = window
    sd = fastup.find(folder.parent / "sd")
    for row in rows:
        n = row["frame"]
        beta = target(n)
        if beta is None:
            continue
        alpha = fastup.read(sd[n])[y : y + height, x : x + width]
        for side, frame, bits in (("Alpha", alpha, 10), ("Beta", beta, 16)):
            path = folder / row["set"] / side / f"{n:06d}.dpx"
            path.parent.mkdir(parents=True, exist_ok=True)
            header = Header.new(frame.shape[1], frame.shape[0], bits=bits)
            fastup.write(path, frame, header=header, fsync=False)


def write_scored(folder, truth, window, size):
    """True pairs of a film that nothing was trained on: HD without grain, as a window of SD sees it."""
    usual = truth.usual
    rows = [{"frame": n, "set": "evaluation"} for n in usual[:: max(1, len(usual) // SCORED)]]
    y, x, height, width = window
    whole = [n * m // k for n, m, k in zip(truth.case.sd, size, (height, width), strict=True)]
    top, left = y * size[0] // height, x * size[1] // width
    write_pairs(
        folder, truth, rows, window,
        lambda n: truth.picture(n, whole)[top : top + size[0], left : left + size[1]],
    )  # fmt: skip


def train(data, minutes, model):
    """A network trained on DATA for some minutes; the path of its best."""
    start()
    from fastup.train.config import Config
    from fastup.train.fit import fit
    from fastup.train.prepare import prepare

    run = prepare(data, Config(model=model, epochs=10000, minutes=minutes, batch=32, schedule="linear"))
    fit(run)
    return run.folder / "best.keras"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--model", default="espcn")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    from fastup.pairs.match import match
    from fastup.pairs.matched import read_found
    from fastup.upscale.evaluate import evaluate, mean

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        truth = masters.make(CASE, asked.seed, folder / "film")
        other = masters.make(CASE, asked.seed + 1000, folder / "other")
        match(folder / "film" / "sd", folder / "film" / "hd", folder / "film" / "match")
        found = read_found(folder / "film" / "match")
        rows = [row for row in found["frames"] if row["set"]]
        window = found["window"]
        first = fastup.find(folder / "film" / "match" / "train" / "Beta")[0]
        size = fastup.read_header(first).height, fastup.read_header(first).width
        write_true(folder / "film" / "true", truth, [r for r in rows if truth.partners[r["frame"]]], window, size)
        write_numbered(folder / "film" / "numbers", truth, rows, window, size)
        write_scored(folder / "other" / "scored", other, window, size)
        print(f"{len(rows)} pairs of {window[3]}x{window[2]} to {size[1]}x{size[0]}", flush=True)
        reached = {}
        for name in ("match", "true", "numbers"):
            best = train(folder / "film" / name, asked.minutes, asked.model)
            score = mean(evaluate(best, folder / "other" / "scored"))
            reached[name] = score.psnr
            print(f"{name:8} {score.psnr:.2f} dB, bicubic {score.psnr_bicubic:.2f} dB", flush=True)
    failed = reached["match"] < reached["true"] - NEAR or reached["numbers"] >= reached["true"] - NEAR
    print("fails" if failed else "as it should be")
    return failed


if __name__ == "__main__":
    sys.exit(main())
