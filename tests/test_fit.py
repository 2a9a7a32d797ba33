"""A run: what it writes, how it ends, and that the same command goes on where it ended."""

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from runs import FILES, check_rates, check_whole, contents_of, cosine_rate, edit, files_in, in_floats, rewrite

import fastup
from fastup.errors import DataError, DpxError, FastupError, OptionError
from fastup.train import batches, fit, lock
from fastup.train.config import Config
from fastup.train.prepare import prepare
from fastup.train.run import settings_of
from fastup.upscale.evaluate import compare, evaluate, mean
from fastup.upscale.metrics import psnr
from fastup.upscale.model import load
from fastup.upscale.upscaler import Upscaler


def test_a_run(trained, small):
    state = check_whole(trained)
    assert state["epoch"] == 2
    start, first, second = state["history"]
    # 27 tiles of 72 lie inside 360x270, 12 of them half a tile off.
    assert first["steps"] == second["steps"] == 3 * 27 // 2
    assert second["loss"] < first["loss"]
    assert start["psnr"] == pytest.approx(start["psnr_bicubic"], abs=1e-3)
    assert second["psnr"] > first["psnr"] > start["psnr"]
    assert start["psnr_bicubic"] == first["psnr_bicubic"] == second["psnr_bicubic"] > 20
    assert (start["epoch"], start["steps"], start["loss"], start["learning_rate"]) == (0, 0, None, None)
    for row in (first, second):
        assert 0 <= row["waiting"] <= 1
        assert row["tiles_per_second"] > 0
        assert row["seconds"] > 0
    check_rates(state, 3e-4, 2)
    for name, row in (("best.keras", state["history"][state["best_epoch"]]), ("last.keras", second)):
        score = mean(evaluate(trained / name, small / "validation"))
        assert score.psnr == pytest.approx(row["psnr"], abs=1e-4)
        assert score.psnr_bicubic == pytest.approx(row["psnr_bicubic"], abs=1e-4)


def test_what_a_model_carries(trained):
    settings = load(trained / "best.keras").settings
    assert settings["scale"] == [[9, 4], [2, 1]]
    assert settings["border"] == [0, 0]
    assert settings["trim"] == settings["input_trim"] == [0, 0, 0, 0]
    assert settings["input_white"] == settings["target_white"] == 1023
    assert settings["pixel_aspect"] == [1, 1]
    assert (settings["levels"]["low_code"], settings["levels"]["high_code"]) == (0, 1023)
    assert settings["tile"] == 72
    assert settings["learning_rate"] == 3e-4


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(data):
    config = Config(model="espcn", epochs=3, seed=9)
    fit.fit(prepare(data, config, "whole"))
    whole = check_whole(data / "models" / "whole")

    def interrupt(step):
        if step.epoch == 2:
            raise KeyboardInterrupt

    folder = data / "models" / "cut"
    with pytest.raises(KeyboardInterrupt):
        fit.fit(prepare(data, config, "cut"), interrupt)
    state = check_whole(folder)
    assert state["epoch"] == 1
    heard = []
    run = prepare(data, config, "cut")
    assert (run.state["epoch"], run.state["best_psnr"], run.config.epochs) == (1, state["best_psnr"], 3)
    fit.fit(run, on_epoch=heard.append)
    assert [row["epoch"] for row in heard] == [2, 3]
    cut = check_whole(folder)
    check_rates(cut, config.learning_rate or 1e-3, 3)
    assert cut["history"][:2] == state["history"]
    ours, theirs = load(folder / "last.keras"), load(data / "models" / "whole" / "last.keras")
    before = prepare(data, config, "fresh").network.get_weights()
    for a, b, start in zip(ours.get_weights(), theirs.get_weights(), before, strict=True):
        # The same tiles, rates and moments. Threads may add up in another order, by far less than a step moves.
        np.testing.assert_allclose(a, b, atol=2e-6)
        assert np.abs(b - start).max() > 1e-4
    for a, b in zip(cut["history"], whole["history"], strict=True):
        for name in ("epoch", "steps", "learning_rate", "psnr_bicubic"):
            assert a[name] == b[name]
        assert a["loss"] == (b["loss"] and pytest.approx(b["loss"], rel=1e-4))
        assert a["psnr"] == pytest.approx(b["psnr"], abs=1e-3)


def test_more_epochs_at_another_rate(copied):
    run = prepare(copied, Config(epochs=2, learning_rate=1e-5, batch=8), more_epochs=1)
    assert run.config.epochs == 3
    weights = run.network.get_weights()
    fit.fit(run)
    state = check_whole(copied / "models" / "compact")
    assert state["epoch"] == 3
    row = state["history"][-1]
    assert row["steps"] == 3 * 27 // 8
    assert row["learning_rate"] == pytest.approx(cosine_rate(1e-5, (2 + 9 / 10) / 3))
    last = load(copied / "models" / "compact" / "last.keras")
    assert last.settings["learning_rate"] == 1e-5
    # Adam moves a weight by about the rate in a step: none went further than ten steps of the new one.
    moved = max(np.abs(a - b).max() for a, b in zip(weights, last.get_weights(), strict=True))
    assert 1e-7 < moved < 1e-4


def _interrupt(*_):
    raise KeyboardInterrupt


def _interrupt_after(row):
    if row["epoch"]:
        raise KeyboardInterrupt


def test_more_epochs_are_no_more_after_an_interruption(data):
    config = Config(model="espcn")
    with pytest.raises(KeyboardInterrupt):
        fit.fit(prepare(data, config, more_epochs=3), on_epoch=_interrupt_after)
    folder = data / "models" / "espcn"
    assert prepare(data, config, more_epochs=2).config.epochs == 1 + 2  # another number counts from here
    assert settings_of(folder)["epochs"] == 3  # what a start without either goes to
    again = prepare(data, replace(config, epochs=3))
    with pytest.raises(KeyboardInterrupt):
        fit.fit(again, on_epoch=_interrupt_after)
    run = prepare(data, config, more_epochs=3)
    assert (run.state["epoch"], run.config.epochs, run.before["epochs"]) == (2, 3, 3)
    fit.fit(run)
    state = check_whole(folder)
    assert (state["epoch"], state["under_way"]) == (3, None)
    check_rates(state, 1e-3, 3)
    assert prepare(data, config, more_epochs=3).config.epochs == 6  # it came to its end: these are others
    assert prepare(data, replace(config, epochs=40)).config.epochs == 40


def test_minutes_go_on_after_an_interruption(copied, monkeypatch):
    folder, rates = copied / "models" / "compact", []

    rate = fit._Watch._rate
    monkeypatch.setattr(fit._Watch, "_rate", lambda self: rates.append(rate(self)) or rates[-1])
    config = Config(epochs=1000, minutes=10, learning_rate=3e-4)
    edit(folder / "last.keras", {"under_way": {"more_epochs": None, "seconds": 300}}, epochs=1000, minutes=10)
    assert settings_of(folder)["minutes"] == 10
    for minutes, begun in ((10, 0.5), (5, 0)):
        run = prepare(copied, replace(config, minutes=minutes))
        before = time.perf_counter()
        with pytest.raises(KeyboardInterrupt):
            fit.fit(run, _interrupt)
        latest = begun + (time.perf_counter() - before) / (60 * minutes)
        assert cosine_rate(3e-4, max(latest, 3 / 1000)) <= rates[-1] * (1 + 1e-6)
        assert rates[-1] <= cosine_rate(3e-4, begun) * (1 + 1e-6)
    # Of what is over, the step under way is saved, too.
    run = prepare(copied, replace(config, minutes=10))
    assert run.state["under_way"]["seconds"] == 300


def test_a_black_frame_says_nothing_of_the_best_epoch(data, small):
    for path in (small / "validation").glob("*/*.dpx"):
        folder = data / "other" / path.parent.name
        folder.mkdir(parents=True)
        shutil.copy(path, folder)
        fastup.write(folder / "black.dpx", 0 * fastup.read(path), fastup.read_header(path))
    (data / "validation").unlink()
    (data / "other").rename(data / "validation")
    run = prepare(data, Config(model="espcn", epochs=1))
    fit.fit(run)
    _, row = run.state["history"]
    scores = evaluate(run.folder / "last.keras", data / "validation")
    assert [score.flat for score in scores] == [True, False]
    assert (row["psnr"], row["psnr_bicubic"]) == pytest.approx((scores[1].psnr, scores[1].psnr_bicubic), abs=1e-4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_frame_that_holds_no_number_is_named(data, value):
    """Not the learning rate: in validation before anything is trained, in training as soon as it is met."""

    def spoil(path, *place):
        frame = fastup.read(path, "float32")
        frame[place] = 12345  # for which the value is put in, as NaN is not written
        fastup.write(path, frame, fastup.read_header(path))
        raw = path.read_bytes()
        assert raw.count(np.array(12345, ">f4").tobytes()) == 1
        path.write_bytes(raw.replace(np.array(12345, ">f4").tobytes(), np.array(value, ">f4").tobytes()))

    config = Config(model="espcn", epochs=1, learning_rate=1e-4)
    rewrite(data, "train", in_floats)
    rewrite(data, "validation", in_floats)
    (path,) = (data / "validation" / "Beta").glob("*.dpx")
    spoil(path, 7, 5, 1)
    with pytest.raises(DataError) as caught:
        prepare(data, config)
    assert str(caught.value) == f"{path}: holds NaN or infinity, expected finite numbers"
    trimmed = replace(config, trim=(0, 0, 135, 0), input_trim=(0, 0, 60, 0))
    assert prepare(data, trimmed).state["validation"]  # outside the picture nothing counts
    shutil.rmtree(data / "validation")
    shutil.copytree(data / "train", data / "validation")
    path = sorted((data / "train" / "Alpha").glob("*.dpx"))[1]
    run = prepare(data, config)
    spoil(path, 50, 60, 0)
    with pytest.raises(DataError) as caught:
        fit.fit(run)
    assert str(caught.value) == f"{path}: holds NaN or infinity, expected finite numbers"
    assert check_whole(run.folder)["best_epoch"] == 0


# -- how a run ends ----------------------------------------------------------------------------------------------------


@pytest.fixture
def slow_reading(monkeypatch):
    get = batches.TileBatches.__getitem__

    def slow(self, number):
        time.sleep(0.3)
        return get(self, number)

    monkeypatch.setattr(batches.TileBatches, "__getitem__", slow)


def test_minutes_end_a_run_and_keep_the_epoch_under_way(data, slow_reading):
    # Quality and jitter are off their defaults: validation doesn't hear of them.
    config = Config(model="espcn", epochs=1000, minutes=0.025, quality=0.7, jitter=False)
    ranked, steps = [], []
    run = prepare(data, config)
    fit.fit(run, steps.append, on_progress=lambda *progress: ranked.append(progress))
    ranking = [(k, 3, "ranking tiles") for k in (1, 2, 3)]
    assert ranked[:4] == [*ranking, (1, 1, "validating")]
    state = check_whole(run.folder)
    full = 3 * 11 // 16  # 15 plain tiles, 0.7 of them
    assert 1 <= state["history"][-1]["steps"] <= full
    assert all(row["steps"] == full for row in state["history"][1:-1])
    assert state["epoch"] < 5
    upscaler = Upscaler(run.network)
    ((_, ours, bicubic, target),) = compare(upscaler, run.validation)
    assert target.shape == (270, 360, 3)
    assert state["history"][-1]["psnr"] == pytest.approx(psnr(ours, target), abs=1e-4)
    assert state["history"][-1]["psnr_bicubic"] == pytest.approx(psnr(bicubic, target), abs=1e-9)
    for step in steps:
        assert step.seconds_left <= 1.5
        assert 0 <= step.waiting <= 1
        assert step.steps == full


@pytest.fixture
def clock(monkeypatch):
    """The time of a run, in seconds, as a list of one: an eighth of a second more with every step."""
    now, begin = [0.0], fit._Watch.on_train_batch_begin

    def step(self, batch, logs=None):
        begin(self, batch, logs)
        now[0] += 1 / 8

    monkeypatch.setattr(fit, "time", SimpleNamespace(perf_counter=lambda: now[0]))
    monkeypatch.setattr(fit._Watch, "on_train_batch_begin", step)
    return now


def test_minutes_that_end_between_epochs_start_no_other(data, clock):
    def slow(row):
        clock[0] += 60 * (row["epoch"] == 4)  # half of the ten seconds are for steps, whatever else there is

    run = prepare(data, Config(model="espcn", epochs=1000, batch=8, minutes=1 / 6))
    fit.fit(run, on_epoch=slow)
    assert (run.state["epoch"], run.state["step"], clock[0]) == (4, 0, 65)
    assert load(run.folder / "last.keras").settings["trained"]["under_way"] is None  # it has come to its end
    assert "minutes" not in settings_of(run.folder)


@pytest.mark.parametrize(
    ("validation", "steps", "seconds", "validated"),
    [
        (1 / 16, 76, 10 + 1 / 16, set(range(9))),
        (0.5, 68, 10, {0, 4, 7}),  # too long for every epoch of a second and a quarter
        (20, 40, 45, {0, 4}),  # half of the minutes, whatever it takes
    ],
)
def test_what_of_its_minutes_a_run_gives_to_steps(data, monkeypatch, clock, validation, steps, seconds, validated):
    """By a clock that goes on by what a validation takes, too."""
    rates, begin = [], fit._Watch.on_train_batch_begin

    def step(self, batch, logs=None):
        begin(self, batch, logs)
        rates.append(self.rate)

    def slow(*args, **how):
        for row in compare(*args, **how):
            clock[0] += validation
            yield row

    monkeypatch.setattr(fit, "compare", slow)
    monkeypatch.setattr(fit._Watch, "on_train_batch_begin", step)
    run = prepare(data, Config(model="espcn", epochs=1000, batch=8, minutes=1 / 6))
    assert run.steps == 10
    fit.fit(run)
    state = check_whole(run.folder)
    assert state["under_way"] is None
    assert (state["steps"], clock[0]) == (steps, seconds)
    assert {row["epoch"] for row in state["history"] if row["psnr"] is not None} == validated
    assert rates[0] > 0.9e-3
    assert rates[-1] < 2e-6  # it has come down
    assert all(later <= earlier for earlier, later in itertools.pairwise(rates))


def test_a_loss_that_is_not_a_number(copied):
    before = contents_of(copied / "models" / "compact")
    run = prepare(copied, Config(epochs=3))
    run.network.set_weights([weight * np.nan for weight in run.network.get_weights()])
    steps = []
    with pytest.raises(DataError, match=r"loss is nan at step 1 of epoch 3.*--learning-rate"):
        fit.fit(run, steps.append)
    assert not steps  # it was seen at the first step, not at the end of a long epoch
    assert contents_of(copied / "models" / "compact") == before


def test_a_frame_that_goes_bad(data, small):
    (data / "train").unlink()
    shutil.copytree(small / "train", data / "train")
    run = prepare(data, Config(model="espcn", epochs=1))
    path = run.pairs.inputs[1]
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DpxError) as caught:
        fit.fit(run)
    assert str(path) in str(caught.value)
    assert "cut short" in str(caught.value)
    assert check_whole(run.folder)["best_epoch"] == 0


def test_a_disk_that_is_full(copied, monkeypatch):
    folder = copied / "models" / "compact"
    before = contents_of(folder)
    run = prepare(copied, Config(epochs=3))

    def full(self, path, *args, **options):
        path.write_bytes(b"PK half a model")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(type(run.network), "save", full)
    with pytest.raises(OSError, match="No space left"):
        fit.fit(run)
    assert contents_of(folder) == before


# The command line, which waits for a line after each epoch.
IN_STEPS = """
import sys
from fastup.cli import main
from fastup.train import fit
finish = fit._Watch.finish_epoch
def waiting(self):
    row = finish(self)
    sys.stdin.readline()
    return row
fit._Watch.finish_epoch = waiting
main()
"""


def test_signals_and_the_same_command_again(data, run, monkeypatch):
    """SIGTERM to a process, and SIGINT to this one, as its process is no other."""
    arguments = "train", data, "--model", "espcn", "--epochs", 3, "--learning-rate", 2e-4, "--batch", 8
    folder, said = data / "models" / "espcn", "fastup: stopped; the same command carries on"
    command, pipe = [sys.executable, "-c", IN_STEPS, *map(str, arguments)], subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        for line in process.stdout:
            if line.startswith("epoch 1 "):
                with pytest.raises(FastupError, match=rf"espcn: another run trains here .process {process.pid} on"):
                    prepare(data, Config(model="espcn"))
                process.send_signal(signal.SIGTERM)
                break
        output, errors = process.communicate()
    finally:
        process.kill()
    assert process.returncode == 1
    assert errors.splitlines()[-1] == said
    assert "Traceback" not in errors + output
    states = [check_whole(folder)]
    assert states[0]["epoch"] == 1
    finish = fit._Watch.finish_epoch

    def stopping(watch):
        row = finish(watch)
        os.kill(os.getpid(), signal.SIGINT)
        return row

    with monkeypatch.context() as patched:
        patched.setattr(fit._Watch, "finish_epoch", stopping)
        code, out, err = run(*arguments)
    assert (code, err.splitlines()[-1]) == (1, said)
    assert "Traceback" not in out + err
    states.append(check_whole(folder))
    assert states[1]["epoch"] == 2
    assert states[1]["step"] > 0  # the step under way is the last
    code, out, err = run(*arguments)
    assert code == 0, err
    assert "3 in all, 2 done" in out
    assert [int(line.split()[1]) for line in out.splitlines() if line.startswith("epoch ")] == [3]
    states.append(check_whole(folder))
    for before, after in itertools.pairwise(states):
        assert after["history"][: len(before["history"])] == before["history"]
        assert after["best_psnr"] >= before["best_psnr"]
    assert states[-1]["steps"] == 3 * (3 * 27 // 8)
    check_rates(states[-1], 2e-4, 3)


# Copies of a run's folder as it is after a step are what one has that is killed there. They go on, in turn.
EXACT = """
import shutil, sys
from fastup.train import fit
from fastup.train.config import Config
from fastup.train.prepare import prepare

data, kills, options = sys.argv[1], eval(sys.argv[2]), eval(sys.argv[3])
save = fit.Run.save
for name, after, copy in (("whole", kills[0], "cut0"), ("cut0", kills[1], "cut1"), ("cut1", 0, "")):
    def copied(run, what):
        save(run, what)
        if what == "last" and run.state["steps"] == after:
            shutil.copytree(run.folder, run.folder.with_name(copy))
            shutil.copy(run.folder / "state.json", run.folder.with_name(copy + ".json"))
    fit.Run.save = copied
    fit.fit(prepare(data, Config(model="espcn", batch=8, seed=9, **options), name))
"""


def test_killed_at_any_step_a_run_ends_as_if_it_had_not_been(data):
    """In a process of its own, in which sums are added up in one order; test_killed_while_saving kills one."""
    options = {"epochs": 2, "checkpoint_minutes": 1e-9, "ema": 0.9, "augment": True, "skip": 1, "swap_channels": True}
    options |= {"tile": (72, 64), "border": (0, 4), "loss": "l1,mse", "luma": 0.3, "warmup": 5, "optimizer": "muon"}
    kills, steps = (2, 8), 5  # within the first epoch, and the second
    environment = {**os.environ, "TF_DETERMINISTIC_OPS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", EXACT, data, repr(kills), repr(options)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    cut, whole = (check_whole(data / "models" / name) for name in ("cut1", "whole"))
    assert whole["steps"] == 2 * steps
    for name, after in zip(("cut0", "cut1"), kills, strict=True):
        begun = json.loads((data / "models" / f"{name}.json").read_text())
        assert (begun["epoch"], begun["step"]) == divmod(after, steps)
    for name in ("last.keras", "best.keras"):
        ours, theirs = (load(data / "models" / run / name) for run in ("cut1", "whole"))
        for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
        for a, b in zip(ours.optimizer.variables, theirs.optimizer.variables, strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(a), keras.ops.convert_to_numpy(b))
    for a, b in zip(cut["history"], whole["history"], strict=True):
        for name in ("epoch", "steps", "psnr", "psnr_bicubic", "learning_rate"):
            assert a[name] == b[name]
        assert a["loss"] == (b["loss"] and pytest.approx(b["loss"], rel=1e-5))


def test_another_order_begins_the_epoch_anew(data):
    config = Config(model="espcn", epochs=2, batch=4, checkpoint_minutes=1e-9)

    def interrupt(step):
        if step.step > 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit.fit(prepare(data, config), interrupt)
    assert prepare(data, config).state["step"] > 0
    for changed in (
        {"batch": 5},
        {"tile": (72, 64)},
        {"swap_channels": True},
        {"seed": 1},
        {"jitter": False},
        {"skip": 1},
        {"augment": True},
        {"shuffle": False},
    ):
        assert prepare(data, replace(config, **changed)).state["step"] == 0
    kept = prepare(
        data, replace(config, loss="l1", luma=0.5, warmup=9, threads=3, learning_rate=1e-5, minutes=5, patience=2)
    )
    assert kept.state["step"] > 0


@pytest.mark.parametrize("epoch", [0, 1])
def test_stopped_while_it_validates(data, monkeypatch, epoch):
    config, seen = Config(model="espcn", epochs=2, batch=4), []

    def interrupted(*args, **how):
        for row in compare(*args, **how):
            seen.append(row)
            if len(seen) == 1 + epoch:  # there is one frame
                os.kill(os.getpid(), signal.SIGINT)
            yield row

    monkeypatch.setattr(fit, "compare", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit.fit(prepare(data, config))
    monkeypatch.undo()
    run = prepare(data, config)
    assert (run.state["epoch"], run.state["step"]) == (0, epoch * run.steps)
    rows = []
    fit.fit(run, on_epoch=rows.append)
    assert [row["epoch"] for row in rows] == [0, 1, 2][epoch:]
    assert [row["steps"] for row in rows] == [0, 20, 20][epoch:]
    check_rates(check_whole(run.folder), 1e-3, 2)


# -- what Keras does ---------------------------------------------------------------------------------------------------


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.data's alone")
def test_nothing_tunes_the_buffers_that_keras_reads(data, monkeypatch):
    """A thread of tf.data's did, now and then missed that an epoch was over, and was waited for, up to a minute."""
    given, run = [], prepare(data, Config(model="espcn", epochs=1))
    monkeypatch.setattr(run.network, "fit", lambda batches, **how: given.append(batches))
    fit.fit(run)
    assert [batches.options().autotune.enabled for batches in given] == [False]
    assert [int(batches.cardinality()) for batches in given] == [run.steps]


def test_averaged_weights(data):
    run = prepare(data, Config(model="espcn", epochs=1, ema=0.9, batch=2, learning_rate=3e-4))
    weights = []
    fit.fit(run, on_epoch=lambda row: weights.append(run.network.get_weights()))
    assert run.state["best_epoch"] == 1
    check_whole(run.folder)
    last, best = load(run.folder / "last.keras"), load(run.folder / "best.keras")
    for a, b, c in zip(last.get_weights(), weights[-1], run.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)  # those that training goes on with
        np.testing.assert_array_equal(a, c)
    last.optimizer.finalize_variable_values(last.trainable_variables)
    moved = 0
    for a, b, c in zip(last.get_weights(), best.get_weights(), weights[-1], strict=True):
        np.testing.assert_array_equal(a, b)
        moved = max(moved, np.abs(b - c).max())
    assert moved > 1e-5
    score = mean(evaluate(run.folder / "best.keras", data / "validation"))
    assert score.psnr == pytest.approx(run.state["history"][-1]["psnr"], abs=1e-4)


def test_a_run_without_gain_ends(data, monkeypatch):
    scores = iter([20.0, 30.0, 31.0, 30.5, 30.9, 40.0, 40.0, 40.0])
    monkeypatch.setattr(fit._Watch, "_validate", lambda self: (next(scores), 20.0))
    config = Config(model="espcn", epochs=50, patience=2)
    run = prepare(data, config)
    fit.fit(run)
    assert run.state["epoch"] == 4
    with pytest.raises(OptionError, match=r"no gain since epoch 2 of 4.*patience is 2"):
        prepare(data, config)
    # Another start goes on counting where this one stopped.
    scores = iter([30.0, 30.0, 40.0])
    run = prepare(data, replace(config, patience=4))
    fit.fit(run)
    assert run.state["epoch"] == 6


def test_what_a_run_begins_with_is_the_best_that_there_is(data):
    """It is saved and not validated again; and of a run without a step, other settings make another one."""

    def interrupt(row):
        raise KeyboardInterrupt

    run = prepare(data, Config(model="espcn", epochs=1))
    with pytest.raises(KeyboardInterrupt):
        fit.fit(run, on_epoch=interrupt)
    state = check_whole(run.folder)
    assert (state["epoch"], state["best_epoch"], state["under_way"]["more_epochs"]) == (0, 0, None)
    assert state["history"][0]["psnr"] == pytest.approx(state["history"][0]["psnr_bicubic"], abs=1e-3)
    ((_, ours, bicubic, _),) = compare(Upscaler(run.folder / "best.keras"), run.validation)
    assert np.abs(ours - bicubic).max() * 1023 < 1.01
    first = run.network.get_weights()
    again = prepare(data, Config(model="espcn", epochs=1))
    for a, b in zip(first, again.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    other = prepare(data, Config(model="espcn", epochs=1, seed=1))
    assert other.state["history"] == []
    assert not all((a == b).all() for a, b in zip(first, other.network.get_weights(), strict=True))
    assert prepare(data, Config(model="espcn", epochs=1, residual=False)).state["history"] == []
    rows = []
    fit.fit(again, on_epoch=rows.append)
    assert [row["epoch"] for row in rows] == [1]
    assert [row["epoch"] for row in check_whole(run.folder)["history"]] == [0, 1]


def test_patience_counts_from_the_start(data, monkeypatch):
    scores = iter([30.0, 29.0, 29.5])
    monkeypatch.setattr(fit._Watch, "_validate", lambda self: (next(scores), 30.0))
    run = prepare(data, Config(model="espcn", epochs=50, patience=2))
    fit.fit(run)
    assert (run.state["epoch"], run.state["best_epoch"]) == (2, 0)
    with pytest.raises(OptionError, match=r"no gain since epoch 0 of 2.*patience is 2"):
        prepare(data, Config(model="espcn", epochs=50, patience=2))


def test_validation_that_is_not_a_number(copied, monkeypatch):
    before = contents_of(copied / "models" / "compact")
    monkeypatch.setattr(fit._Watch, "_validate", lambda self: (np.nan, 20.0))
    with pytest.raises(DataError, match=r"PSNR is nan after epoch 3.*--learning-rate"):
        fit.fit(prepare(copied, Config(epochs=3)))
    assert contents_of(copied / "models" / "compact") == before


def test_weights_that_are_not_numbers_are_not_saved(copied):
    before = contents_of(copied / "models" / "compact")

    def spoil(step):
        if keras.backend.backend() == "jax":
            run.network.jax_state_sync()  # brings the weights back to the model
        run.network.set_weights([weight * np.nan for weight in run.network.get_weights()])

    run = prepare(copied, Config(epochs=3, checkpoint_minutes=1e-9))
    with pytest.raises(DataError, match=r"weights are no numbers after step 1 of epoch 3"):
        fit.fit(run, spoil)
    assert contents_of(copied / "models" / "compact") == before


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")  # before the error at another precision
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision(data, precision):
    run = prepare(data, Config(model="espcn", epochs=1, precision=precision))
    assert keras.config.dtype_policy().name == "float32"
    assert {weight.dtype for weight in run.network.weights} == {"float32"}
    assert any(layer.compute_dtype == precision for layer in run.network.layers)
    fit.fit(run)
    _, row = run.state["history"]
    assert row["psnr"] > row["psnr_bicubic"] - 0.1
    assert all(layer.compute_dtype == "float32" for layer in load(run.folder / "best.keras", compile=False).layers)
    again = prepare(data, Config(model="espcn", epochs=2, precision=precision))
    assert any(layer.compute_dtype == precision for layer in again.network.layers)
    with pytest.raises(OptionError, match=f"precision float32 .was {precision}"):
        prepare(data, Config(model="espcn", epochs=3))


def test_schedules():
    for schedule in fit.RATE_LEFT.values():
        assert schedule(0) == 1
    assert fit.RATE_LEFT["cosine"](1) == pytest.approx(0, abs=1e-12)
    assert fit.RATE_LEFT["cosine"](0.5) == pytest.approx(0.5)
    assert fit.RATE_LEFT["linear"](0.25) == 0.75
    assert fit.RATE_LEFT["constant"](1) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="names are any bytes on Linux alone")
def test_a_folder_of_any_bytes(data):
    folder = data.rename(data.with_name(os.fsdecode(b"d\xff")))
    config = Config(model="espcn", epochs=1)
    with pytest.raises(OptionError, match=r"tensorboard: .* is not UTF-8"):
        prepare(folder, replace(config, tensorboard=True))
    fit.fit(prepare(folder, config))
    assert len(list(evaluate(folder / "models" / "espcn" / "best.keras", folder))) == 3


def test_tensorboard(data):
    for epochs in (1, 2):
        run = prepare(data, Config(model="espcn", epochs=epochs, tensorboard=True))
        fit.fit(run)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run.folder / "tensorboard" / "validation"))
    events.Reload()
    history = run.state["history"]
    assert [event.value for event in events.Scalars("epoch_psnr")] == pytest.approx([row["psnr"] for row in history])
    assert len(events.Tags()["images"]) == 4
    for tag in events.Tags()["images"]:
        assert [event.step for event in events.Images(tag)] == [0, 1, 2]


def test_frames_that_are_not_dpx(data, small):
    """They give the run that DPX of the same codes give."""
    runs = {}
    for suffix in (".png", ".dpx"):
        here = data / suffix[1:]
        for part in ("train", "validation"):
            for side in ("Alpha", "Beta"):
                (here / part / side).mkdir(parents=True)
                for path in fastup.find(small / part / side):
                    codes = (fastup.read(path) >> 2).astype(np.uint16)
                    header = fastup.Header.new(codes.shape[1], codes.shape[0], bits=8)
                    fastup.write(here / part / side / f"{path.stem}{suffix}", codes, header)
        run = runs[suffix] = prepare(here, Config(model="espcn", epochs=1))
        fit.fit(run)
    png, dpx = runs.values()
    assert len(fastup.find(png.cache / "train" / "Alpha")) == len(png.pairs)
    assert not (dpx.cache / "train").exists()
    assert png.state["history"][0]["psnr"] == pytest.approx(dpx.state["history"][0]["psnr"], abs=1e-3)


# -- what kills a run --------------------------------------------------------------------------------------------------


KILL = """
import os, signal, sys
from fastup.train import fit
from fastup.train.config import Config
from fastup.train.prepare import prepare
from fastup.networks.models import Network

save = Network.save

def killed(self, path, *args, **options):
    save(self, path, *args, **options)
    if self.settings["trained"]["epoch"] == 2 and "last" in path.name:
        os.truncate(path, os.path.getsize(path) // 2)
        os.kill(os.getpid(), signal.SIGKILL)

Network.save = killed
fit.fit(prepare(sys.argv[1], Config(model="espcn", epochs=3)))
"""


def test_killed_while_saving(data):
    done = subprocess.run([sys.executable, "-c", KILL, data], capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    folder = data / "models" / "espcn"
    (rest,) = [name for name in files_in(folder) if name not in [".lock", *FILES]]
    assert rest.startswith(".last.")
    assert load(folder / "last.keras").settings["trained"]["epoch"] == 1
    load(folder / "best.keras")
    assert json.loads((folder / "state.json").read_text())["epoch"] == 1
    run = prepare(data, Config(model="espcn", epochs=3))
    assert run.state["epoch"] == 1
    fit.fit(run)
    (folder / rest).unlink(missing_ok=True)
    assert check_whole(folder)["epoch"] == 3


def test_two_runs_in_one_folder(copied, small):
    folder = copied / "models" / "compact"
    run, late = (prepare(copied, Config(epochs=3)) for _ in range(2))
    before = contents_of(folder)
    with lock.held(folder):
        for start in (lambda: prepare(copied, Config(epochs=3)), lambda: fit.fit(run)):
            with pytest.raises(FastupError, match=f"compact: another run trains here .process {os.getpid()} on"):
                start()
        assert len(evaluate(folder / "best.keras", small / "validation")) == 1  # reading is no harm
    assert contents_of(folder) == before
    fit.fit(run)
    before = contents_of(folder)
    with pytest.raises(FastupError, match="another run has trained here meanwhile; the same command goes on"):
        fit.fit(late)
    assert contents_of(folder) == before
