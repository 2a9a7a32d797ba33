"""Runs of the recurrent network: on film, in shots and short ones, on stills; resumed, and begun with a network of one
frame."""

import itertools
import shutil

import numpy as np
import pytest

import fastup
from fastup.errors import OptionError
from fastup.header import Header
from fastup.networks.models import Cell
from fastup.networks.recurrent import changes
from fastup.train.config import Config
from fastup.train.fit import fit
from fastup.train.prepare import prepare
from fastup.upscale.model import load

OPTIONS = {"model": "recurrent", "features": 4, "depth": 1, "batch": 2, "epochs": 2, "learning_rate": 1e-3}
FILM = {"span": 3, "settle": 1, "reverse": True, "stills": 0.2, "augment": True}


def _write(folder, names, seed=0):
    """Pairs of 32x36 to 72x72: one tile each, drawings under noise."""
    rng = np.random.default_rng(seed)
    for side, size in (("Alpha", (32, 36)), ("Beta", (72, 72))):
        (folder / side).mkdir(parents=True, exist_ok=True)
        for name in names:
            y, x = (np.linspace(0, 6, n) for n in size)
            picture = 0.5 + 0.4 * np.sin(y[:, None, None] * (1 + len(name) % 3) + x[:, None] + np.arange(3))
            codes = (picture + rng.normal(0, 0.02, picture.shape)).clip(0, 1) * 1023
            fastup.write(folder / side / f"{name}.dpx", codes.round().astype(np.uint16),
                         header=Header.new(size[1], size[0]), fsync=False)  # fmt: skip


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    """Two shots of six and of two frames to train on, one of three to validate on."""
    folder = tmp_path_factory.mktemp("film")
    _write(folder / "train", [f"a{n:03d}" for n in range(6)] + [f"bb{n:03d}" for n in range(2)])
    _write(folder / "validation", [f"c{n:03d}" for n in range(3)])
    return folder


@pytest.fixture
def data(film, tmp_path):
    for name in ("train", "validation"):
        (tmp_path / name).symlink_to(film / name)
    return tmp_path


def test_a_run_on_film(data):
    run = prepare(data, Config(**OPTIONS, **FILM))
    assert run.shots.shots == [(0, 6), (6, 8)]
    assert f"1 of the 2 shots of {data / 'train'} are shorter than a span of 3 frames" in run.notes
    assert (run.tiles, run.steps) == (3, 1)  # two spans of the first shot, one of the other
    fit(run)
    network = load(run.folder / "last.keras")
    assert type(network) is Cell
    assert network.settings["trained"]["epoch"] == 2
    assert {name: network.settings[name] for name in FILM} == FILM
    assert (run.folder / "best.onnx").exists()
    frames = [fastup.read(path, "float32") for path in fastup.find(data / "validation" / "Alpha")]
    apart = [changes(frame, before) for before, frame in itertools.pairwise(frames)]
    assert network.settings["quiet"] == pytest.approx(np.quantile(apart, 0.2), rel=1e-5)
    assert network.get_layer("gate").get_weights()[0][1, 1] == pytest.approx(
        -3.5 / network.settings["quiet"] / 4, rel=1e-5
    )


def test_what_goes_on_is_what_would_have_been(data):
    options = OPTIONS | FILM | {"schedule": "constant"}
    fit(whole := prepare(data, Config(**options), "whole"))
    fit(prepare(data, Config(**options | {"epochs": 1}), "part"))
    fit(part := prepare(data, Config(**options), "part"))
    for ours, its in zip(part.network.get_weights(), whole.network.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, its)


def test_inputs_that_are_made(data):
    (data / "train").unlink()
    shutil.copytree(data / "validation" / "Beta", data / "train" / "Beta")
    run = prepare(data, Config(**OPTIONS | {"epochs": 1}, **FILM, degrade="tape", scale="9/4,2"))
    fit(run)
    assert np.isfinite(run.state["history"][-1]["loss"])


def test_stills_alone(film, tmp_path):
    _write(tmp_path / "train", ["one", "two", "three"])
    (tmp_path / "validation").symlink_to(film / "validation")
    run = prepare(tmp_path, Config(**OPTIONS | {"epochs": 1}, **FILM))
    assert any("stills to learn from alone" in note for note in run.notes)
    fit(run)
    assert np.isfinite(run.state["history"][-1]["loss"])
    assert run.network.settings["quiet"] > 0.01  # of validation
    alone = prepare(tmp_path, Config(**OPTIONS), "alone")
    assert (alone.shots, alone.tiles) == (None, 3)


def test_begun_with_a_network_of_one_frame(data):
    plain = prepare(data, Config(**OPTIONS | {"model": "compact"}))
    fit(plain)
    begun = prepare(data, Config(**OPTIONS, **FILM), begin=plain.folder / "best.keras")
    assert begun.state["from"]["taken"] == "all 5 layers of its network of one frame"
    frames = np.random.default_rng(1).random((2, 32, 36, 3), np.float32)
    expected = load(plain.folder / "best.keras")(frames)
    np.testing.assert_allclose(np.array(begun.network(frames)), np.array(expected), atol=1e-6)
    fit(begun)
    first = begun.state["history"][0]
    assert first["psnr"] > plain.state["best_psnr"] + 0.1  # of held drawings, at once: means have less noise


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "compact", "span": 4}, "span is 4, but compact sees frames one by one, expected 1"),
        (FILM | {"settle": 3}, "settle is 3, expected less than span, 3: no frame would count"),
    ],
)
def test_options_that_cannot_be(data, options, message):
    with pytest.raises(OptionError, match=message):
        prepare(data, Config(**{**OPTIONS, **options}))


def test_a_run_keeps_its_lookahead_and_state(data):
    fit(prepare(data, Config(**OPTIONS | {"epochs": 1}, **FILM)))
    for name, value, words in (("lookahead", 0, "lookahead 0"), ("state", False, "no-state True")):
        with pytest.raises(OptionError, match=f"{words} \\(was"):
            prepare(data, Config(**OPTIONS, **FILM, **{name: value}))
