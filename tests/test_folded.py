"""A run of a network that folds: what is saved for use is plain, what it goes on with is not."""

import shutil

import numpy as np
import pytest
from runs import check_whole

from fastup.errors import FastupError
from fastup.networks.models import MODELS, Network
from fastup.train import fit
from fastup.train.config import Config
from fastup.train.prepare import prepare
from fastup.train.warm import begin
from fastup.upscale.evaluate import evaluate, mean
from fastup.upscale.model import load
from fastup.upscale.upscaler import Upscaler

SMALL = {"features": 4, "depth": 1, "batch": 8, "quality": 0.5}
FOLDING = [name for name, architecture in MODELS.items() if architecture.folds]


def test_a_run(data):
    folder = data / "models" / "ecbsr"
    fit.fit(prepare(data, Config(model="ecbsr", epochs=1, ema=0.5, **SMALL)))
    state = check_whole(folder)
    last, best = load(folder / "last.keras"), load(folder / "best.keras")
    assert (last.settings["folded"], best.settings["folded"]) == (False, True)
    assert mean(evaluate(folder / "best.keras", data)).psnr == pytest.approx(
        mean(evaluate(Upscaler(best), data)).psnr, abs=1e-3
    )
    # It goes on from the branches, with what the optimiser knows of them.
    run = prepare(data, Config(model="ecbsr", ema=0.5, **SMALL), more_epochs=1)
    for ours, theirs in zip(run.network.optimizer.variables, last.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.array(ours), np.array(theirs))
    for ours, theirs in zip(run.network.get_weights(), last.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    # What is folded is no place to go on from, and says so.
    warm = prepare(data, Config(model="ecbsr", **SMALL), "warm", begin=folder / "best.keras")
    assert warm.state["from"]["taken"].startswith("all ")
    assert not warm.network.settings["folded"]
    picture = np.random.default_rng(0).random((12, 9, 3), np.float32)
    np.testing.assert_allclose(Upscaler(warm.network)(picture), Upscaler(best)(picture), atol=1e-5)
    (folder / "last.keras").unlink()
    with pytest.raises(FastupError, match=r"last\.keras: gone.*--from best\.keras"):
        prepare(data, Config(model="ecbsr", ema=0.5, **SMALL), more_epochs=1)
    shutil.copy(folder / "best.keras", folder / "last.keras")
    with pytest.raises(FastupError, match=r"last\.keras: a model folded for use.* --from it, and another --name"):
        prepare(data, Config(model="ecbsr", ema=0.5, **SMALL), more_epochs=1)
    assert state["epoch"] == 1


@pytest.mark.parametrize("model", FOLDING)
def test_weights_go_from_folded_to_expanded_and_back(model):
    settings = {"model": model, "scale": [[9, 4], [2, 1]], "features": 4, "depth": 2}
    rng = np.random.default_rng(0)
    given = Network(settings)
    given.set_weights([w + rng.normal(size=w.shape) / 20 for w in given.get_weights()])
    folded, again, expanded = given.folded(), Network(settings | {"folded": True}), Network(settings)
    picture = rng.random((1, 12, 7, 3), np.float32)
    expected = np.array(folded(picture))
    for one, other in ((expanded, folded), (again, expanded)):
        assert begin(one, other, "m.keras").startswith("all ")
        np.testing.assert_allclose(np.array(one(picture)), expected, atol=2e-5 * max(1, np.abs(expected).max()))


@pytest.mark.parametrize(
    ("model", "given", "new", "words"),
    [
        ("expansion", {}, {}, "all 5 layers"),
        ("denoise", {"features": 2}, {"features": 2}, "all 10 layers"),
        # The skip leads to the last layer, whose place is another where the stack is longer.
        ("sesr", {"features": 4, "depth": 1}, {"features": 4, "depth": 2}, "the first 4 of 7 layers; then "),
        ("span", {"features": 4, "depth": 2}, {"features": 4, "depth": 1}, "the first 5 of 7 layers; then "),
    ],
)
def test_what_is_taken_of_a_graph(model, given, new, words):
    scale = {"scale": [[2, 1], [2, 1]]}
    taken = begin(Network({"model": model, **scale, **new}), Network({"model": model, **scale, **given}), "m.keras")
    assert taken.startswith(words)
