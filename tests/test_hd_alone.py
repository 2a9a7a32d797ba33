"""Training on targets alone, from the command to the model; and that a run that was cut goes on exactly."""

import os
import subprocess
import sys

import numpy as np
import pytest
from runs import check_whole
from test_cli import fails

import fastup
from fastup.footage.recipe import Recipe
from fastup.pairs.folder import find_pairs
from fastup.pairs.index import tile_index
from fastup.train.batches import TileBatches
from fastup.train.config import Config, as_toml, resolve
from fastup.upscale.model import load

HD = {"degrade": "tape,softness=0.3:0.8,noise=0:0.01", "scale": "9/4,2"}


@pytest.fixture
def alone(small, tmp_path):
    """The targets of the small data set."""
    folder = tmp_path / "alone"
    for name in ("train", "validation", "evaluation"):
        (folder / name).mkdir(parents=True)
        (folder / name / "Beta").symlink_to(small / name / "Beta")
    return folder


def batches_of(folder, **options):
    scale = options.pop("scale", (2, 2))
    pairs = find_pairs(folder, scale=scale)
    index = tile_index(pairs, 24, True, 1.0)
    recipe = Recipe.parse(options.pop("recipe", HD["degrade"]))
    return TileBatches(pairs, index, tile=24, border=4, recipe=recipe, **{"batch": 4, "seed": 3} | options)


@pytest.fixture
def mixed(tmp_path):
    """Targets of two sizes, neither whole cells."""
    rng = np.random.default_rng(0)
    (tmp_path / "set" / "Beta").mkdir(parents=True)
    for number, size in enumerate(((61, 75), (51, 97))):
        fastup.write(tmp_path / "set" / "Beta" / f"{number}.dpx", rng.integers(0, 1024, (*size, 3), np.uint16))
    return tmp_path / "set"


def test_the_middle_of_a_window_is_the_target(mixed):
    """Turned alike, of every size; and what is drawn is another for every step."""
    batches = batches_of(mixed, augment=True)
    seen = []
    for number in range(len(batches)):
        (windows, inside, strengths, noise), targets = batches[number]
        assert windows.shape[1] == windows.shape[2] == batches.degraded.window[0]
        np.testing.assert_array_equal(batches.degraded.targets(windows), targets)
        assert inside.shape == (4, 4)
        assert strengths.shape == (4, 4)
        seen.append(noise)
    assert not any(np.array_equal(seen[0], each) for each in seen[1:])
    batches.close()


def test_any_batch_can_be_the_first(mixed):
    """What it is follows from seed, epoch and step; a share is a part of it."""
    batches, later, share = batches_of(mixed), batches_of(mixed), batches_of(mixed, shard=(1, 2))
    whole = [batches[number] for number in range(2 * len(batches))]
    later.begin(1, 2)
    share.begin(1, 2)
    for number in range(3):
        expected = whole[len(batches) + 2 + number]
        for ours, half, theirs in zip(_flat(later[number]), _flat(share[number]), _flat(expected), strict=True):
            np.testing.assert_array_equal(ours, theirs)
            np.testing.assert_array_equal(half, theirs[2:])
    for each in (batches, later, share):
        each.close()


def _flat(batch):
    (windows, *others), targets = batch
    return [windows, *others, targets]


def test_as_a_tf_dataset(mixed):
    batches, again = batches_of(mixed), batches_of(mixed)
    for number, (inputs, targets) in enumerate(batches.as_tf_dataset().take(2)):
        for ours, theirs in zip((*inputs, targets), _flat(again[number]), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    batches.close()
    again.close()


EXACT = """
import sys
from fastup.train import fit
from fastup.train.config import Config
from fastup.train.prepare import prepare

config = Config(model="espcn", epochs=2, batch=16, checkpoint_minutes=1e-9, augment=True, ema=0.9, **eval(sys.argv[2]))
save = fit.Run.save
fit.fit(prepare(sys.argv[1], config, "whole"))
for after in (2, 8, 1000):
    def killed(run, what):
        save(run, what)
        if what == "last" and run.state["steps"] >= after:
            raise KeyboardInterrupt
    fit.Run.save = killed
    try:
        fit.fit(prepare(sys.argv[1], config, "cut"))
    except KeyboardInterrupt:
        print("cut")
"""


def test_a_run_that_was_cut_is_the_whole_run(alone):
    environment = {**os.environ, "TF_DETERMINISTIC_OPS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", EXACT, alone, repr(HD)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (0, "cut\ncut\n"), done.stderr
    whole, cut = (check_whole(alone / "models" / name) for name in ("whole", "cut"))
    assert whole["steps"] == cut["steps"] == 10
    ours, theirs = (load(alone / "models" / name / "last.keras") for name in ("cut", "whole"))
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_commands(alone, run):
    fails(run("train", alone), 1, "no folder Alpha here", "`fastup train --degrade` makes inputs", lines=3)
    fails(run("train", alone, "--degrade", "tape"), 2, "degrade is given without scale, expected both", "--scale 2")
    fails(run("train", alone, "--scale", 2), 2, "scale is given without degrade, expected both")
    fails(run("train", alone, "--scale", "1/2"), 2, "scale is '1/2', expected a fraction of 1 or more, such as 2")
    fails(run("train", alone, "--degrade", "film"), 2, "degrade is 'film', expected downscale, tape, vhs")
    options = ["--degrade", HD["degrade"], "--scale", HD["scale"]]
    fails(run("train", alone, *options, "--input-trim", "2,2,0,0"), 2, "input-trim is given, but inputs are made")
    code, out, err = run("train", alone, "--model", "espcn", "--epochs", 1, *options)
    assert (code, err) == (0, "")
    assert "3 targets to train on, 1 to validate" in out
    assert "180x120 to 360x270, scale 9/4 x 2" in out
    assert "softness=0.3:0.8,peaking=0.25,noise=0:0.01,chroma=1.4" in out
    model = alone / "models" / "espcn" / "last.keras"
    settings = load(model).settings
    assert (settings["scale"], settings["input_white"]) == ([[9, 4], [2, 1]], 1023)
    fails(
        run("train", alone, "--model", "espcn", "--more-epochs", 1, "--degrade", "vhs"), 2,
        "a run with other settings is here: degrade vhs (was softness=0.3:0.8",
    )  # fmt: skip
    code, out, _ = run("evaluate", model, alone)
    assert code == 0
    assert "mean" in out
    code, out, _ = run("pairs", alone)
    assert code == 0
    assert "3, without Alpha: `fastup train --degrade` makes inputs of them" in out
    code, out, _ = run("rank", alone, "--tile", 60)
    assert code == 0
    assert (alone / "cache" / "rank.png").exists()


def test_where_there_are_inputs_none_are_made(small, run, tmp_path):
    (tmp_path / "data").symlink_to(small)
    fails(run("train", tmp_path / "data", "--degrade", "tape", "--scale", 2), 2, "which makes inputs", "Alpha has some")


def test_the_settings_as_a_file(tmp_path):
    config, sources = resolve([("command line", HD)])
    assert (config.degrade, config.scale) == ("softness=0.3:0.8,peaking=0.25,noise=0:0.01,chroma=1.4", "9/4,2")
    text = as_toml(config, sources)
    assert 'scale = "9/4,2"' in text
    assert Config(scale=2).scale == "2"
    assert Config(scale="3/2,3/2").scale == "3/2"
