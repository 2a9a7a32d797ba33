"""Runs that begin with the weights of another model."""

import shutil

import numpy as np
import pytest
from runs import check_whole, edit
from test_cli import fails

from fastup.errors import OptionError
from fastup.networks.models import Network
from fastup.train import fit
from fastup.train.config import Config
from fastup.train.prepare import prepare
from fastup.train.warm import begin, read, sizes
from fastup.upscale.model import load

BASE = {"model": "compact", "scale": [[9, 4], [2, 1]], "features": 4, "depth": 2}


def network(**settings):
    """A network whose weights are all their own."""
    made = Network(BASE | settings)
    generator = np.random.default_rng(len(settings))
    made.set_weights([generator.normal(size=weight.shape) for weight in made.get_weights()])
    return made


def alike(one, other):
    """How many of the layers with weights, from the first on, have the same."""
    chains = ([layer.get_weights() for layer in each.layers if layer.weights] for each in (one, other))
    same = [
        all(a.shape == b.shape and (a == b).all() for a, b in zip(*pair, strict=True))
        for pair in zip(*chains, strict=False)
    ]
    return [*same, False].index(False)


@pytest.mark.parametrize(
    ("settings", "taken", "words"),
    [
        ({}, 7, "all 7 layers"),
        ({"border": [18, 18]}, 7, "all 7 layers"),
        ({"scale": [2, 2]}, 6, "the first 6 of 7 layers; then another scale, 2 x 2 for 9/4 x 2"),
        ({"residual": False}, 6, "the first 6 of 7 layers; then one network is residual"),
        ({"depth": 4}, 6, "the first 6 of 11 layers; then conv2d"),
        ({"depth": 1}, 4, "the first 4 of 5 layers; then sub_pixel"),
    ],
)
def test_layers_are_taken_as_long_as_they_fit(settings, taken, words):
    other, new = network(), network(**settings, seed=1)
    before = new.get_weights()
    assert begin(new, other, "m.keras").startswith(words)
    assert alike(new, other) == taken
    rest = [weight for layer in [each for each in new.layers if each.weights][taken:] for weight in layer.get_weights()]
    for a, b in zip(rest, before[len(before) - len(rest) :], strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_does_not_fit():
    with pytest.raises(OptionError, match=r"from is m\.keras, of which nothing fits .*: conv2d.* \(3, 3, 3, 8\) for "):
        begin(network(features=8), network(), "m.keras")
    with pytest.raises(OptionError, match=r"m\.keras, a model of compact, of which nothing fits espcn"):
        begin(Network({"model": "espcn", "scale": [2, 2]}), network(), "m.keras")
    assert sizes(network(), "compact") == {"features": 4, "depth": 2}
    assert sizes(network(), "espcn") == {}


def test_what_is_no_model(trained, tmp_path):
    for name, content, words in (
        ("none.keras", None, "No such file"),
        ("text.keras", b"hello", "not a model"),
        ("cut.keras", (trained / "best.keras").read_bytes()[:-1000], "not a model"),
        ("best.onnx", b"", "the .keras file beside it"),
    ):
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(OptionError, match=rf"from is .*{name}.*{words}"):
            read(path)
    spoilt = load(trained / "best.keras")
    spoilt.set_weights([weight * np.nan for weight in spoilt.get_weights()])
    spoilt.save(tmp_path / "nan.keras")
    with pytest.raises(OptionError, match="weights that are no numbers"):
        read(tmp_path / "nan.keras")


def test_epoch_0_is_that_model(trained, data):
    theirs = load(trained / "best.keras")
    last = theirs.settings["trained"]["history"][-1]
    run = prepare(data, Config(epochs=1, learning_rate=1e-9, batch=27, ema=0.9), "warm", begin=trained / "best.keras")
    assert run.state["from"]["taken"] == "all 19 layers"
    assert int(run.network.optimizer.iterations) == 0
    for a, b in zip(run.network.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    fit.fit(run)
    state = check_whole(run.folder)
    assert state["history"][0]["psnr"] == pytest.approx(last["psnr"], abs=1e-4)
    assert state["history"][0]["psnr"] > state["history"][0]["psnr_bicubic"] + 0.1


def test_on_the_command_line(run, trained, data, tmp_path):
    model = tmp_path / "other.keras"
    shutil.copy(trained / "best.keras", model)
    arguments = "train", data, "--from", model, "--name", "warm", "--batch", 27
    code, out, err = run(*arguments, "--epochs", 1)
    assert (code, err) == (0, "")
    assert f" {model}: all 19 layers" in " ".join(out.split())
    assert " model compact, " in " ".join(out.split())
    model.unlink()
    code, out, err = run(*arguments, "--more-epochs", 1)  # it goes on, and the model need not be there any more
    assert (code, err) == (0, "")
    assert f" {model}: all 19 layers" in " ".join(out.split())
    assert prepare(data, Config(batch=27, optimizer="muon"), "warm", more_epochs=1).state["epoch"] == 2  # also without
    shutil.copy(trained / "last.keras", tmp_path / "third.keras")
    edit(tmp_path / "third.keras", seed=3)
    third = "train", data, "--from", tmp_path / "third.keras", "--name", "warm", "--more-epochs", 1
    fails(run(*third), 2, "warm: a run that did not begin with", "third.keras", "--name")
    fails(run("train", data, "--from", tmp_path / "none.keras", "--name", "x"), 2, "from is", "No such file")
    assert not (data / "models" / "x").exists()
