"""What is in the folder of a run, and whether a run goes on from it."""

import json
import shutil
import zipfile
from dataclasses import asdict
from fractions import Fraction

import numpy as np
import pytest
from runs import contents_of, edit, in_16_bits, in_floats, rewrite

import fastup
from fastup.errors import DataError, FastupError, OptionError
from fastup.pairs.folder import find_pairs
from fastup.train.config import Config
from fastup.train.fit import fit
from fastup.train.prepare import prepare
from fastup.train.run import BEFORE, facts_of, settings_of
from fastup.upscale.model import load


def test_what_a_model_takes_from_its_targets(tmp_path):
    levels = {"low_code": 95, "high_code": 685, "low_quantity": 0.0, "high_quantity": 2.5}
    for side, size in (("Alpha", (8, 6)), ("Beta", (18, 12))):
        (tmp_path / side).mkdir()
        transfer = "linear" if side == "Alpha" else 3
        header = fastup.Header.new(
            *size[::-1], transfer=transfer, colorimetric=4, pixel_aspect=Fraction(8, 9), **levels
        )
        fastup.write(tmp_path / side / "f.dpx", np.zeros((*size, 3), np.uint16), header)
    pairs = find_pairs(tmp_path)
    facts = facts_of(pairs)
    assert json.loads(json.dumps(facts.pop("levels"))) == levels
    assert facts == {
        "scale": [[9, 4], [2, 1]], "input_white": 1023, "input_transfer": 2, "target_white": 1023, "colour": None,
        "pixel_aspect": [8, 9], "transfer": 3, "colorimetric": 4,
    }  # fmt: skip


def test_what_a_run_had_is_known_without_loading_it(copied):
    folder = copied / "models" / "compact"
    before = settings_of(folder)
    found = {"epochs": 2, "learning_rate": 3e-4, "batch": 2, "tile": 72, "input_trim": (0, 0, 0, 0)}
    found |= {"loss": "mse", "features": 24, "depth": 8}
    assert before | {"minutes": None, "scale": None} == asdict(Config()) | found
    assert "minutes" not in before  # they are over
    assert settings_of(copied / "models" / "none") == {}
    (folder / "last.keras").write_bytes((folder / "last.keras").read_bytes()[:-100])
    assert settings_of(folder) == {}


def test_a_run_that_had_none_of_these_settings_goes_on(copied):
    last = copied / "models" / "compact" / "last.keras"
    network = load(last)
    for name in BEFORE:
        del network.settings[name]
    network.settings["border"] = [18, 18]
    network.compile(network.optimizer, "mean_squared_error")
    network.save(last)
    given = settings_of(last.parent)
    assert {name: given[name] for name in BEFORE} == BEFORE
    assert given["border"] == 18
    with pytest.raises(OptionError, match=r"border 0 \(was 18\)"):
        prepare(copied, Config(epochs=3))
    run = prepare(copied, Config(**given | {"epochs": 3}))
    assert run.network.border == (18, 18)
    assert int(run.network.optimizer.iterations) == run.state["steps"] > 0
    before, after = (each.optimizer.variables[3].numpy() for each in (network, run.network))  # moments are kept
    np.testing.assert_array_equal(before, after)
    assert np.abs(after).max() > 0


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("residual", False, "residual False (was True)"),
        ("border", 36, "border 36 (was 0)"),
        ("border", (0, 2), "border 0,2 (was 0)"),
        ("features", 8, "features 8 (was 24)"),
        ("trim", (0, 0, 0, 135), "trim"),
        ("input_trim", (0, 0, 0, 60), "input-trim"),
        ("black_level", 64, "black-level 64 (was edge)"),
        ("model", "espcn", "model espcn (was compact)"),
    ],
)
def test_other_settings_in_the_same_folder(copied, name, value, found):
    options = {name: value}
    if name in ("trim", "input_trim"):  # halves of both, so that the scale stays
        options = {"trim": (0, 0, 0, 135), "input_trim": (0, 0, 0, 60)}
    with pytest.raises((OptionError, DataError)) as caught:
        prepare(copied, Config(epochs=3, **options), "compact")
    message = str(caught.value)
    assert found in message, message
    assert str(copied / "models" / "compact") in message
    assert "--name" in message


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (in_16_bits, ["input white 65535 (was 1023)", "target white 65535 (was 1023)"]),
        (
            in_floats,
            ["input white none: floats or several (was 1023)", "target white none: floats or several (was 1023)"],
        ),
        (
            lambda codes, header: (codes, header.replace(transfer="linear", colorimetric=200)),
            [
                "input transfer linear (was not said)",
                "transfer linear (was not said)",
                "colorimetric 200 (was not said)",
            ],
        ),
        (
            lambda codes, header: (codes, header.replace(pixel_aspect=Fraction(32, 27))),
            ["pixel aspect 32/27 (was 1)"],
        ),
        (lambda codes, header: (codes[: len(codes) // 2], header), []),
    ],
    ids=["16 bits", "floats", "tags", "aspect", "size"],
)
def test_a_run_goes_on_with_frames_like_those_that_it_had(copied, change, found):
    before = contents_of(copied / "models" / "compact")
    rewrite(copied, "train", change)
    if not found:  # a model has no size
        run = prepare(copied, Config(epochs=3))
        assert (run.state["epoch"], run.tiles) == (2, 3 * 9)
        return
    with pytest.raises(DataError) as caught:
        prepare(copied, Config(epochs=3))
    assert str(caught.value) == (
        f"{copied / 'models' / 'compact'}: a run with other frames is here: {', '.join(found)}; "
        "give the new run another --name"
    )
    assert contents_of(copied / "models" / "compact") == before
    assert prepare(copied, Config(epochs=3), "other").state["epoch"] == 0


def test_another_scale_is_told_before_the_tile_that_it_has_none_of(copied):
    for part in ("train", "validation"):
        rewrite(copied, part, lambda codes, header: (codes[:100, :150] if len(codes) < 200 else codes, header))
    with pytest.raises(DataError, match=r"scale 27/10 x 12/5 \(was 9/4 x 2\); give the new run another --name"):
        prepare(copied, Config(**(settings_of(copied / "models" / "compact") | {"epochs": 3})))


def test_a_run_of_an_older_fastup(copied):
    path = copied / "models" / "compact" / "last.keras"
    network = load(path)
    for name in ("under_way", "validation"):
        del network.settings["trained"][name]
    del network.settings["input_transfer"]
    network.save(path)
    assert "minutes" not in settings_of(path.parent)
    run = prepare(copied, Config(), more_epochs=1)
    best = run.state["best_epoch"]  # of validation frames that are not known
    assert (run.config.epochs, len(run.notes), best) == (3, 1, None)


def test_models_that_were_written_when_the_modules_had_other_names(copied):
    """Keras goes by the registered names; the modules beside them are not looked for."""
    old = {"fastup.networks.models": "fastup.train.models", "fastup.networks.layers": "fastup.train.layers"}
    folder, after = copied / "models" / "compact", []
    for name in ("best.keras", "last.keras"):
        with zipfile.ZipFile(folder / name) as archive:
            parts = {part: archive.read(part) for part in archive.namelist()}
        for new, text in old.items():
            parts["config.json"] = parts["config.json"].replace(new.encode(), text.encode())
        assert b'"module": "fastup.train.models"' in parts["config.json"]
        with zipfile.ZipFile(folder / name, "w") as archive:
            for part, content in parts.items():
                archive.writestr(part, content)
    run = prepare(copied, Config(epochs=3))
    assert run.state["epoch"] == 2
    fit(run, on_epoch=after.append)
    assert [row["epoch"] for row in after] == [3]


def test_codes_after_floats(copied):
    edit(copied / "models" / "compact" / "last.keras", input_white=None, target_white=None)
    with pytest.raises(
        DataError,
        match=r"input white 1023 \(was none: floats or several\), target white 1023 \(was none: floats or several\)",
    ):
        prepare(copied, Config(epochs=3))


@pytest.mark.parametrize(
    ("gone", "cut", "words"),
    [
        (
            ["last.keras"],
            [],
            ["last.keras: gone", "best.keras, best.onnx, state.json, history.csv", "copy best.keras, of epoch 2"],
        ),
        (["last.keras", "best.keras"], [], ["last.keras: gone", "its run, best.onnx, state.json, history.csv; give"]),
        (["last.keras"], ["best.keras"], ["last.keras: gone", "its run, best.keras, best.onnx, state.json, history"]),
        ([], ["last.keras"], ["last.keras: not a model", "copy best.keras, of epoch 2, to last.keras to go on"]),
        (["best.keras"], ["last.keras"], ["last.keras: not a model", "; give the new run another --name"]),
    ],
)
def test_what_is_left_of_a_run_is_not_written_over(copied, gone, cut, words):
    folder = copied / "models" / "compact"
    best = load(folder / "best.keras")
    for name in gone:
        (folder / name).unlink()
    for name in cut:
        (folder / name).write_bytes((folder / name).read_bytes()[:-1000])
    before = contents_of(folder)
    with pytest.raises(FastupError) as caught:
        prepare(copied, Config(epochs=9))
    assert str(caught.value).startswith(f"{folder / words[0]}")
    for word in words:
        assert word in str(caught.value)
    assert str(caught.value).endswith("give the new run another --name")
    assert contents_of(folder) == before
    assert prepare(copied, Config(epochs=9), "other").state["epoch"] == 0
    if "copy" in str(caught.value):
        shutil.copy(folder / "best.keras", folder / "last.keras")
        run = prepare(copied, Config(epochs=9))
        assert run.state["epoch"] == run.state["best_epoch"] == 2
        for a, b in zip(run.network.get_weights(), best.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_disk_without_room_for_a_model(copied, monkeypatch):
    folder = copied / "models" / "compact"
    before, size = contents_of(folder), (folder / "last.keras").stat().st_size
    for room, fits in ((2 * size, False), (3 * size + 2**21, True), (0, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, room=room: (2**40, 2**40 - room, room))
        if fits:
            prepare(copied, Config(epochs=3))
        else:
            with pytest.raises(
                FastupError, match=r"compact: \d+ MiB are free on its disk, expected \d+ for the models"
            ):
                prepare(copied, Config(epochs=3))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: (0, 0, 0))  # it does not say
    prepare(copied, Config(epochs=3))
    assert contents_of(folder) == before


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x05\x06" + bytes(18)])
def test_a_last_model_that_is_none(data, content):
    folder = data / "models" / "compact"
    folder.mkdir(parents=True)
    (folder / "last.keras").write_bytes(content)
    with pytest.raises(FastupError, match=r"last\.keras: not a model"):
        prepare(data, Config())
    assert (folder / "last.keras").read_bytes() == content
