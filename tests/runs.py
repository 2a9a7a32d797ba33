"""Runs for tests: what is in their folders, and data that is changed."""

import csv
import json
import os
from math import cos, pi

import numpy as np
import pytest

import fastup
from fastup.upscale.model import load

FILES = ["best.keras", "best.onnx", "history.csv", "last.keras", "state.json"]


def files_in(folder):
    return sorted(os.listdir(folder))


def contents_of(folder):
    return {name: (folder / name).read_bytes() for name in files_in(folder)}


def check_whole(folder):
    """Everything in a run's folder is there, loads, and says the same. Gives the progress."""
    from fastup.upscale.export import graph

    assert [name for name in files_in(folder) if name != "tensorboard"] == FILES
    state = json.loads((folder / "state.json").read_text())
    settings = state.pop("settings")
    last, best = load(folder / "last.keras"), load(folder / "best.keras")
    assert last.settings == {**settings, "trained": state}
    with open(folder / "history.csv", newline="") as file:
        rows = [{name: float(value) if value else None for name, value in row.items()} for row in csv.DictReader(file)]
    assert rows == state["history"]
    assert [row["epoch"] for row in rows] == list(range(state["epoch"] + 1))
    assert sum(row["steps"] for row in rows) + state["step"] == state["steps"] == int(last.optimizer.iterations)
    scores = [-1 if row["psnr"] is None else row["psnr"] for row in rows]
    assert state["best_psnr"] == max(scores)
    assert state["best_epoch"] == scores.index(max(scores))
    assert best.settings["trained"]["epoch"] == state["best_epoch"]
    assert best.settings["trained"]["history"] == rows[: state["best_epoch"] + 1]
    assert (folder / "best.onnx").read_bytes() == graph(best)
    return state


def cosine_rate(full, progress):
    return full * (1 + cos(pi * progress)) / 2


def check_rates(state, full, epochs):
    for row in state["history"][1:]:
        last_step = (row["epoch"] - 1 + (row["steps"] - 1) / row["steps"]) / epochs
        assert row["learning_rate"] == pytest.approx(cosine_rate(full, last_step))


def edit(path, trained=None, **settings):
    """Change what a model says of itself."""
    network = load(path)
    network.settings.update(settings)
    network.settings["trained"].update(trained or {})
    network.save(path)


def rewrite(data, part, change):
    """Put frames of one's own in place of a part of the data: `change` gives the frame and the header, of both."""
    source = (data / part).resolve()
    (data / part).unlink()
    for path in sorted(source.glob("*/*.dpx")):
        target = data / part / path.parent.name / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        fastup.write(target, *change(fastup.read(path), fastup.read_header(path)))


def in_16_bits(codes, header):
    return (codes.astype(np.uint32) * 65535 // 1023).astype(np.uint16), header.replace(bits=16)


def in_floats(codes, header):
    return (codes / np.float32(1023)), header.replace(bits=32)
