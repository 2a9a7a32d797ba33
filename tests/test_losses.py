"""What training makes small, against the definition in NumPy; one loss after another."""

import keras
import numpy as np
import pytest
from keras import ops

from fastup.errors import OptionError
from fastup.networks.losses import FLOOR, LOSSES, SLOPE_AT, TileLoss
from fastup.networks.models import Network
from fastup.train import fit
from fastup.train.config import Config
from fastup.train.prepare import prepare

COUNTED = {"mse": np.square, "l1": np.abs, "charbonnier": lambda error: np.sqrt(error**2 + 0.001**2)}
COUNTED["psnr"] = np.square
EVEN = {"mse": 25, "l1": 1, "charbonnier": 1, "psnr": 0.02 * np.log(10) / 20}


def _twin(name, target, output, luma=0.0):
    error = target.astype(float) - output
    y = 0.299 * error[..., 0] + 0.587 * error[..., 1] + 0.114 * error[..., 2]
    tiles = (1 - luma) * COUNTED[name](error).mean(axis=(1, 2, 3)) + luma * COUNTED[name](y).mean(axis=(1, 2))
    return np.mean(10 * np.log10(tiles + FLOOR) if name == "psnr" else tiles)


@pytest.fixture(scope="module")
def tiles():
    return np.random.default_rng(0).random((2, 3, 5, 4, 3), np.float32)


@pytest.mark.parametrize("luma", [0, 0.25, 1])
def test_one(tiles, luma):
    assert COUNTED.keys() == LOSSES.keys()
    for name in LOSSES:
        assert float(TileLoss(name, luma)(*tiles)) == pytest.approx(_twin(name, *tiles, luma), rel=1e-6)
        assert float(TileLoss(name, luma)(tiles[0], ops.cast(tiles[1], "bfloat16"))) == pytest.approx(
            _twin(name, *tiles, luma), rel=1e-2
        )


def test_two(tiles):
    for first, second in (("l1", "mse"), ("mse", "charbonnier"), ("l1", "psnr")):
        loss = TileLoss(f"{first},{second}", 0.3)
        one, other = (EVEN[name] * _twin(name, *tiles, 0.3) for name in (first, second))
        for share in (0, 0.25, 1):
            loss.share.share.assign(share)
            loss.share.reset_state()  # as Keras does at the start of an epoch
            assert float(loss(*tiles)) == pytest.approx((1 - share) * one + share * other, rel=1e-6)


def test_two_are_as_steep_where_they_say():
    step = 1e-5
    for name, factor in EVEN.items():
        low, high = (factor * _twin(name, np.full((1, 1, 1, 3), SLOPE_AT + way * step), 0) for way in (-1, 1))
        expected = SLOPE_AT**2 / (SLOPE_AT**2 + FLOOR) if name == "psnr" else 1
        assert (high - low) / (2 * step) == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("names", ["l2", "", "l1,", "l1,mse,l1"])
def test_no_such_loss(names):
    with pytest.raises(OptionError, match="loss is"):
        TileLoss(names)


def test_a_file_keeps_its_loss(tmp_path):
    network = Network({"model": "espcn", "scale": [[2, 1], [2, 1]]})
    network.compile(keras.optimizers.Adam(1e-3), TileLoss("l1,mse", 0.5))
    network.optimizer.build(network.trainable_variables)
    network.save(tmp_path / "a.keras")
    again = keras.saving.load_model(tmp_path / "a.keras")
    assert (again.loss.names, again.loss.luma) == ("l1,mse", 0.5)
    assert [metric.name for metric in again.metrics][-1] == "second_loss"
    assert len(again.weights) == len(network.weights) == 6  # no share among them


def test_a_run_warms_up_and_changes_its_loss(data, monkeypatch):
    seen, begin = [], fit._Watch.on_train_batch_begin

    def look(self, batch, logs=None):
        begin(self, batch, logs)
        seen.append((float(self.model.optimizer.learning_rate), float(self.model.loss.share.result())))

    monkeypatch.setattr(fit._Watch, "on_train_batch_begin", look)
    config = Config(model="espcn", epochs=2, batch=8, loss="l1,mse", warmup=4, schedule="linear")
    run = prepare(data, config)
    fit.fit(run)
    assert len(seen) == 20
    rates, shares = zip(*seen, strict=True)
    expected = [1e-3 * (1 - step / 20) * min((step + 1) / 4, 1) for step in range(20)]
    np.testing.assert_allclose(rates, expected, rtol=1e-5)
    assert shares == (0,) * 15 + (1,) * 5
    assert run.state["history"][2]["loss"] > 0
    rest = prepare(data, config, more_epochs=1)
    seen.clear()
    fit.fit(rest)  # the steps of all runs count
    assert seen[0][0] == pytest.approx(1e-3 * (1 - 2 / 3), rel=1e-5)


def test_sizes_are_of_the_network(data):
    run = prepare(data, Config(features=6, depth=2))
    assert (run.network.settings["features"], run.network.settings["depth"]) == (6, 2)
    assert (run.config.features, run.config.depth) == (6, 2)
    assert {layer.filters for layer in run.network.layers if isinstance(layer, keras.layers.Conv2D)} == {6}
    with pytest.raises(OptionError, match="depth is 3, but espcn has one size"):
        prepare(data, Config(model="espcn", depth=3))
