"""What a run has come to, in words."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from runs import check_whole

import fastup
from fastup import demo
from fastup._resample import resize
from fastup.pairs.alignment import Fit, off_note
from fastup.train.outcome import outcome, reasons

FITS = Fit("a", 0.9, (0.0, 0.1), (1.0, 1.0, None), (0.0, 0.0, None))
RED = Fit("b", 0.9, (0.0, 0.0), (0.95, 1.0, 1.0), (0.0, 0.0, 0.02))
GREEN = Fit("c", 0.9, (0.3, 0.4), (0.97, 1.05, 1.0), (0.0, 0.0, 0.0))
OTHER = Fit("d", 0.1)
FLAT = Fit("e")


def run_of(*psnr, losses=(), bicubic=30.0, best=None, residual=True, pairs=20, steps=5000, looked_at=()):
    """A run that is done: its validation PSNR, epoch by epoch from 0, and the losses from 1."""
    losses = [None, *(losses or [0.01] * (len(psnr) - 1))]
    history = [
        {"epoch": number, "psnr": value, "psnr_bicubic": bicubic, "loss": losses[number]}
        for number, value in enumerate(psnr)
    ]
    if best is None and psnr:
        best = psnr.index(max(psnr))
    state = {"history": history, "best_epoch": best, "steps": steps}
    config = SimpleNamespace(residual=residual, learning_rate=1e-3)
    return SimpleNamespace(
        state=state, config=config, pairs=[None] * pairs, tiles=566 * pairs, looked_at=looked_at, folder=Path("m")
    )


BICUBIC = "bicubic is better than what was trained, or as good: best.keras is epoch "


@pytest.mark.parametrize(
    ("run", "text"),
    [
        (run_of(30.0, 31.0, 34.1), "best: epoch 2, 34.10 dB, 4.10 dB above bicubic: m/best.keras"),
        (run_of(30.0, 30.01), "best: epoch 1, 30.01 dB, 0.01 dB above bicubic: m/best.keras"),
        (run_of(30.0), f"{BICUBIC}0, which is bicubic, 30.00 dB: m/best.keras"),
        (
            run_of(30.0, 28.0, 28.8, 28.1),
            f"{BICUBIC}0, which is bicubic, 30.00 dB; the best that was trained, epoch 2, has 28.80 dB: m/best.keras",
        ),
        (run_of(30.0, 30.001), f"{BICUBIC}1, 30.00 dB, as good: m/best.keras"),
        (run_of(12.0, 28.0, residual=False), f"{BICUBIC}1, 28.00 dB, 2.00 dB below it: m/best.keras"),
        (run_of(12.0, residual=False), f"{BICUBIC}0, 12.00 dB, 18.00 dB below it: m/best.keras"),
        (run_of(), ""),
    ],
)
def test_the_best_beside_bicubic(run, text):
    assert outcome(run) == text


def test_a_run_that_an_older_version_began():
    run = run_of(30.0, 28.0, 29.0, best=2)
    del run.state["history"][0]
    assert outcome(run) == f"{BICUBIC}2, 29.00 dB, 1.00 dB below it: m/best.keras"


def test_no_reasons_where_it_is_better():
    assert reasons(run_of(30.0, 31.0, looked_at=[RED], pairs=1, steps=3)) == []
    assert reasons(run_of()) == []


def test_reasons():
    assert reasons(run_of(30.0, 29.0, 29.5)) == []
    few = reasons(run_of(30.0, 29.0, pairs=1, steps=30, looked_at=[RED]))
    assert few == [off_note([RED]), "1 pair, 566 tiles, is little", "30 steps are few"]
    (over,) = reasons(run_of(30.0, 29.9, 29.7, 29.0, losses=(0.02, 0.015, 0.01)))
    assert (
        over == "over-fitting: from epoch 1 to 3 the loss fell from 0.02000 to 0.01000, "
        "and validation from 29.90 to 29.00 dB"
    )
    (high,) = reasons(run_of(30.0, 29.0, 28.0, losses=(0.01, 0.02)))
    assert high == "the loss rose from 0.01000 in epoch 1 to 0.02000: --learning-rate, 0.001, may be too high"


def test_reasons_are_of_one_set_of_validation_frames():
    run = run_of(30.0, 29.9, 29.0, losses=(0.02, 0.01))
    run.state["history"][1]["psnr_bicubic"] = 33.0
    assert reasons(run) == []
    assert "epoch 2, has 29.00 dB" in outcome(run)


@pytest.mark.parametrize(
    ("sample", "text"),
    [
        ([], None),
        ([FITS, FLAT], None),
        ([RED], "the pair is off: red gain 0.950, blue offset +0.020; "),
        ([FITS, RED, FLAT], "1 of 3 pairs looked at is off: red gain 0.950, blue offset +0.020; "),
        (
            [RED, OTHER, GREEN, FITS],
            "3 of 4 pairs looked at are off: red gain 0.960, blue offset +0.020, 1 of another picture, "
            "shift 0.50 input pixels, green gain 1.050; ",
        ),
    ],
)
def test_pairs_that_are_off_in_a_line(sample, text):
    levels = ", and --match gives targets the gain and offset of their inputs"
    assert off_note(sample) == (text and f"{text}`fastup pairs DATA` tells more{levels}")
    assert off_note([OTHER, FITS]) == (
        "1 of 2 pairs looked at is off: 1 of another picture; `fastup pairs DATA` tells more"
    )


@pytest.fixture(scope="session")
def off(shared):
    """A drawn pair whose colours are off by 5 % of red and of green; and one of another shot, which fits."""

    def fill(folder):
        _, train, validation = demo.clip(3, shots=3, frames=1, size=(360, 480))
        for name, target, gain in (("train", train, (0.95, 1.05, 1)), ("validation", validation, (1, 1, 1))):
            for side, frame in (("Alpha", resize(target, (180, 240)) * np.float32(gain)), ("Beta", target)):
                (folder / name / side).mkdir(parents=True)
                fastup.write(folder / name / side / "f.dpx", frame)

    return shared("off", fill)


def test_a_pair_whose_colours_are_off(run, off, tmp_path):
    """The last line says that bicubic is better; with --match, training gains on the unseen frame."""
    for name in ("train", "validation"):
        (tmp_path / name).symlink_to(off / name)
    arguments = "train", tmp_path, "--model", "espcn", "--epochs", 4, "--batch", 8
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    why = (
        "the pair is off: red gain 0.950, green gain 1.050; `fastup pairs DATA` tells more, "
        "and --match gives targets the gain and offset of their inputs"
    )
    assert f"\nnote: {why}\n" in out
    for reason in (why, "1 pair, 83 tiles, is little", "40 steps are few"):
        assert f"\nnote: a reason may be: {reason}\n" in out
    assert out.splitlines()[-1].startswith(f"{BICUBIC}0, which is bicubic, ")
    state = check_whole(tmp_path / "models" / "espcn")
    assert max(row["psnr"] - row["psnr_bicubic"] for row in state["history"][1:]) < -0.1

    code, out, err = run(*arguments, "--match", "--name", "matched")
    assert (code, err) == (0, "")
    assert "is off" not in out
    assert "  yes: targets get the gain and offset of their inputs, also those of validation  " in out
    assert out.splitlines()[-1].startswith("best: epoch ")
    folder = tmp_path / "models" / "matched"
    settings = json.loads((folder / "state.json").read_text())["settings"]
    assert (settings["match"], settings["target_white"], settings["levels"]["high_code"]) == (True, 65535, 65535)
    state = check_whole(folder)
    assert state["history"][-1]["psnr"] - state["history"][-1]["psnr_bicubic"] > 0.1
    best = folder / "best.keras"
    for place in (off / "validation", off / "train"):
        code, out, err = run("evaluate", best, place, "--match", "--json")
        assert (code, err) == (0, "")
        score = json.loads(out)[-1]
        assert score["psnr"] - score["psnr_bicubic"] > 0.1
    row = state["history"][state["best_epoch"]]
    code, out, err = run("evaluate", best, off / "validation")
    assert f" {row['psnr']:.2f} " in out  # that pair fits: its target is what it was, to a code or so
    assert "note: the model learned from targets with the gain and offset of their inputs: --match compares" in out
    code, _, err = run("train", tmp_path, "--name", "matched", "--no-match", "--epochs", 5)
    assert (code, "match False (was True)" in err) == (2, True)
    code, out, err = run("train", tmp_path, "--name", "matched", "--more-epochs", 1)
    assert (code, err) == (0, "")
    assert check_whole(folder)["epoch"] == 5
