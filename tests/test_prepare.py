"""A run that is ready: its network, its end, its best epoch; and what cannot begin."""

import json
import os
import random
import re
import shutil
from dataclasses import replace

import keras
import numpy as np
import pytest
from framesets import write_framed, write_several
from runs import contents_of, edit, rewrite

import fastup
from fastup.errors import DataError, OptionError
from fastup.pairs.folder import find_pairs
from fastup.train import fit
from fastup.train.config import Config
from fastup.train.prepare import digest_of, prepare
from fastup.train.run import settings_of
from fastup.upscale.evaluate import compare, evaluate, mean
from fastup.upscale.metrics import psnr
from fastup.upscale.upscaler import Upscaler


@pytest.mark.parametrize("name", ["", "a/b", "../c", "..", "."])
def test_a_name_is_one_folder(tmp_path, name):
    with pytest.raises(OptionError, match="name is"):
        prepare(tmp_path, Config(), name)


def test_an_untrained_model_validates_as_bicubic(data):
    run = prepare(data, Config(seed=4))
    assert not list((data / "models").rglob("*.*"))
    started = {name: value for name, value in run.state.items() if name not in ("order", "validation")}
    assert started.pop("history") == []
    assert started.pop("under_way") == {"more_epochs": None, "seconds": 0}
    assert started == {"epoch": 0, "step": 0, "loss": None, "steps": 0, "best_psnr": None, "best_epoch": None}
    upscaler = Upscaler(run.network)
    ((_, ours, bicubic, target),) = compare(upscaler, run.validation)
    assert np.abs(ours - bicubic).max() * 1023 < 1.01  # one code, where the sum falls on the edge of two
    assert (ours != bicubic).mean() < 1e-3
    assert psnr(ours, target) == pytest.approx(psnr(bicubic, target), abs=1e-3)


def test_seeds(data):
    runs = [prepare(data, Config(model="espcn", seed=seed)) for seed in (1, 1, 2)]
    one, again, other = (run.network.get_weights() for run in runs)
    assert all((a == b).all() for a, b in zip(one, again, strict=True))
    assert not all((a == b).all() for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("batch", [16, "auto"])
def test_the_random_numbers_of_others_go_on_as_before(copied, batch):
    def numbers(*calls):
        keras.utils.set_random_seed(5)
        keras.random.uniform(())
        for model in calls:
            prepare(copied, Config(model=model, epochs=3, batch=batch))
        return random.random(), np.random.random(), float(keras.random.uniform(()))  # noqa: NPY002  Keras seeds that

    assert numbers("espcn", "compact") == numbers()  # one that is built, and one that is loaded


def test_all_epochs_are_done(copied):
    before = contents_of(copied / "models" / "compact")
    with pytest.raises(OptionError, match=r"2 epochs are done.*--more-epochs"):
        prepare(copied, Config(epochs=2))
    with pytest.raises(OptionError, match="--more-epochs"):
        prepare(copied, Config(epochs=1))
    assert contents_of(copied / "models" / "compact") == before


def test_settings_that_may_change(copied):
    changed = {"tile": 144, "quality": 0.5, "jitter": False, "skip": 1, "shuffle": False, "batch": 4, "seed": 7}
    run = prepare(copied, Config(epochs=3, learning_rate=2e-4, **changed))
    assert run.state["epoch"] == 2
    for name, value in {**changed, "learning_rate": 2e-4}.items():
        assert run.network.settings[name] == value


def test_another_name_is_another_run(copied):
    run = prepare(copied, Config(residual=False), "plain")
    assert run.folder == copied / "models" / "plain"
    assert run.state["epoch"] == 0


def _brighter(codes, header):
    codes[0, 0, 0] ^= 1
    return codes, header


def test_the_best_is_of_its_validation_frames(copied):
    folder = copied / "models" / "compact"
    edit(folder / "last.keras", {"best_psnr": 99.0, "best_epoch": 1})
    best = (folder / "best.keras").read_bytes()
    rewrite(copied, "validation", lambda codes, header: (codes, header))
    for path in (copied / "validation").glob("*/*.dpx"):  # name and time are nothing
        path.rename(path.with_name(f"x{path.name}"))
    run = prepare(copied, Config(epochs=9, patience=2))
    assert (run.notes, run.state["best_psnr"]) == ([], 99)
    with pytest.raises(OptionError, match="no gain since epoch 1 of 2, and patience is 1"):
        prepare(copied, Config(epochs=9, patience=1))
    (path,) = (copied / "validation" / "Beta").glob("*.dpx")
    stat = path.stat()
    fastup.write(path, *_brighter(fastup.read(path), fastup.read_header(path)))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    run = prepare(copied, Config(epochs=3, patience=1))
    assert run.notes == [
        "the best so far (epoch 1, 99.00 dB) was not found on the validation frames that are here now; "
        "best and patience begin anew"
    ]
    fit.fit(run)
    state = json.loads((folder / "state.json").read_text())
    assert (state["epoch"], state["best_epoch"], state["best_psnr"]) == (3, 3, state["history"][-1]["psnr"])
    assert (folder / "best.keras").read_bytes() != best
    assert prepare(copied, Config(epochs=4)).notes == []


def test_validation_frames_are_the_same_in_any_order(small):
    pairs = find_pairs(small / "evaluation")
    inputs, targets = pairs.inputs[::-1], pairs.targets[::-1]
    usual = digest_of(pairs, None)
    assert digest_of(replace(pairs, inputs=inputs, targets=targets), None) == usual
    assert digest_of(replace(pairs, targets=targets), None) != usual


def test_a_best_epoch_without_its_model(copied):
    folder = copied / "models" / "compact"
    (folder / "best.keras").write_bytes((folder / "best.keras").read_bytes()[:-1000])
    (note,) = prepare(copied, Config(epochs=3)).notes
    told = (
        r"the best so far \(epoch \d, [\d.]{5} dB\) is gone: best.keras is missing or damaged; best and patience begin"
    )
    assert re.match(told, note)
    (folder / "best.keras").unlink()
    run = prepare(copied, Config(epochs=3))
    assert run.notes == [note]
    assert (run.state["best_psnr"], run.state["best_epoch"]) == (None, None)


def test_models_is_a_file(data):
    (data / "models").write_text("")
    with pytest.raises(OSError, match="models") as caught:
        prepare(data, Config())
    assert str(data / "models") in str(caught.value.filename)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="a folder in which even root can't write")
def test_a_folder_that_cannot_be_written(data):
    (data / "models").mkdir()
    (data / "models" / "compact").symlink_to("/proc/self")
    with pytest.raises(OSError, match="models/compact"):
        prepare(data, Config())


def test_nothing_is_made_where_nothing_can_begin(data):
    for config in (Config(tile=60), Config(border=2), Config(trim=(400, 0, 0, 0)), Config(black_level=1024)):
        with pytest.raises(OptionError):
            prepare(data, config)
    assert not (data / "models").exists()


def test_a_black_level_above_white(data):
    with pytest.raises(OptionError, match=r"black-level is 1024.*1023"):
        prepare(data, Config(black_level=1024))


def test_validation_of_another_scale(data, small):
    (data / "validation").unlink()
    for side in ("Alpha", "Beta"):
        (data / "validation" / side).mkdir(parents=True)
    fastup.write(data / "validation" / "Alpha" / "f.dpx", np.zeros((135, 180, 3), np.uint16))
    fastup.write(data / "validation" / "Beta" / "f.dpx", np.zeros((270, 360, 3), np.uint16))
    with pytest.raises(DataError, match=r"validation: the scale .* is 2 x 2, but the model's is 9/4 x 2"):
        prepare(data, Config())
    assert not (data / "models").exists()


# -- sets of several kinds -------------------------------------------------------------------------------------------


def test_a_set_of_several_kinds_is_trained_on(tmp_path):
    """From separate folders, which the model's settings keep, as it goes on; and it says what its frames are."""
    sizes = [(48, 60), (60, 48), (24, 80), (96, 64), (64, 64), (48, 60), (48, 60), (20, 90)]
    train = write_several(tmp_path / "here" / "set", sizes)
    validation = write_several(tmp_path / "other", sizes[:3], 50)
    config = Config(
        model="espcn",
        tile=28,
        border=2,
        batch=4,
        training=str(train),
        validation=str(validation),
        epochs=1,
        quality=0.5,
    )
    run = prepare(tmp_path / "data", config)
    assert run.notes[0] == f"2 of the 8 pairs of {train} are too small for a tile of 28, and not trained on"
    settings = run.network.settings
    assert (settings["input_white"], settings["target_white"]) == (None, None)
    assert (settings["training"], settings["validation"]) == (str(train), str(validation))
    assert settings["scale"] == [[2, 1], [2, 1]]
    assert len(settings["trained"]["order"]["kinds"]) == 32
    fit.fit(run)
    assert run.state["epoch"] == 1
    assert run.state["steps"] == run.tiles // 4
    row = run.state["history"][0]
    assert row["psnr"] > row["psnr_bicubic"] - 3
    scores = evaluate(run.folder / "best.keras", validation)
    assert [score.frame for score in scores] == ["shot 0/f0", "shot 0/f2", "shot 1/f1"]
    assert mean(scores).psnr == pytest.approx(run.state["best_psnr"], abs=0.01)
    given = settings_of(run.folder) | {"epochs": 2, "training": os.path.relpath(train)}
    again = prepare(tmp_path / "data", Config(**given))
    assert (again.state["epoch"], again.config.training) == (1, str(train))


def test_edges_that_leave_nothing(data):
    config = Config(edges=140)
    with pytest.raises(OptionError, match=r"edges is 140: no tile of 72 lies so far inside of a picture of 360x270"):
        prepare(data, config)
    run = prepare(data, Config(edges=10))
    whole = prepare(data, Config(), "whole")
    assert 0 < run.tiles < whole.tiles
    assert run.state["order"] == whole.state["order"] | {"edges": 10, "tiles": run.tiles}


def test_borders_of_each_source_are_left_out(tmp_path):
    """What a model trained so makes of validation, and of any other frame."""
    shots = {"a": ((0, 0, 0, 0), (0, 0, 0, 0)), "b": ((20, 20, 0, 0), (40, 40, 0, 0))}
    for name in ("train", "validation"):
        write_framed(tmp_path / name, shots, 2)
    run = prepare(tmp_path, Config(model="espcn", trim="auto", epochs=1))
    assert (run.config.trim, run.config.input_trim) == ("auto", "auto")
    for pairs in (run.pairs, run.validation):
        assert {(kind.input_trim, kind.trim) for kind in pairs.kinds} == set(shots.values())
    fit.fit(run)
    upscaler = Upscaler(run.folder / "best.keras")
    assert upscaler.settings["trim"] == "auto"
    assert upscaler.size((120, 180)) == (270, 360)
    assert [len(score.frame) for score in evaluate(upscaler, tmp_path / "validation")] == [3] * 4
    assert settings_of(run.folder)["trim"] == "auto"
    assert prepare(tmp_path, Config(**settings_of(run.folder) | {"epochs": 2})).state["epoch"] == 1
    for name in ("train", "validation"):
        for side in ("Alpha", "Beta"):
            shutil.rmtree(tmp_path / name / side / "b")
    with pytest.raises(
        OptionError, match=r"a run with other settings is here: trim \[0, 0, 0, 0\] \(was auto\), input-"
    ):
        prepare(tmp_path, Config(model="espcn", epochs=2))


def test_what_match_cannot_find_is_told(copied, small):
    """Flat frames say nothing: targets stay as they are, but not in silence."""
    (copied / "train").unlink()  # a link to frames that others use
    shutil.copytree(small / "train", copied / "train")
    for path in (copied / "train").rglob("*.dpx"):
        fastup.write(path, np.full_like(fastup.read(path), 300), fastup.read_header(path))
    start = "match: the "
    assert not [note for note in prepare(copied, Config()).notes if note.startswith(start)]
    (note,) = (note for note in prepare(copied, Config(match=True), "matched").notes if note.startswith(start))
    assert "not show a gain and an offset of red, green, blue, so that targets stay as they are there" in note
