"""Muon's step against the definition, by singular values in NumPy; what it leaves to Adam; going on from a file."""

import keras
import numpy as np
import pytest

from fastup.networks.losses import TileLoss
from fastup.networks.models import Network
from fastup.networks.muon import Muon, orthogonal
from fastup.train.config import Config
from fastup.train.fit import fit
from fastup.train.prepare import prepare


def _twin(matrix):
    """What five rounds make of a matrix: each singular value goes through the polynomial by itself."""
    u, values, v = np.linalg.svd(matrix.astype(float), full_matrices=False)
    values = values / np.linalg.norm(values)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    return u * values @ v


@pytest.mark.parametrize("shape", [(18, 4), (4, 18), (5, 5), (1, 7)])
def test_orthogonal(shape):
    matrix = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    found = keras.ops.convert_to_numpy(orthogonal(keras.ops.convert_to_tensor(matrix)))
    np.testing.assert_allclose(found, _twin(matrix), atol=2e-4)
    assert np.linalg.svd(found)[1] == pytest.approx(np.ones(min(shape)), abs=0.35)


def test_no_gradient_is_no_step():
    assert not np.any(keras.ops.convert_to_numpy(orthogonal(keras.ops.zeros((6, 3)))))


def test_steps():
    random = np.random.default_rng(0)
    shapes = (3, 3, 4, 8), (3, 3, 3, 8), (8,), (4, 8)  # the first alone is a kernel between features
    ours, adams = ([keras.Variable(np.ones(shape, np.float32)) for shape in shapes] for _ in range(2))
    muon, adam = Muon(0.02, momentum=0.9), keras.optimizers.Adam(0.02)
    kernel, moment = np.ones(shapes[0]), np.zeros(shapes[0])
    for _ in range(3):
        gradients = [random.standard_normal(shape).astype(np.float32) for shape in shapes]
        for optimizer, variables in ((muon, ours), (adam, adams)):
            optimizer.apply([keras.ops.convert_to_tensor(each) for each in gradients], variables)
        moment = 0.9 * moment + gradients[0]
        step = _twin((gradients[0] + 0.9 * moment).reshape(36, 8)).reshape(shapes[0])
        kernel -= 0.02 * 0.2 * np.sqrt(36) * step
    np.testing.assert_allclose(keras.ops.convert_to_numpy(ours[0].value), kernel, atol=1e-4)
    for a, b in zip(ours[1:], adams[1:], strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(a.value), keras.ops.convert_to_numpy(b.value))


def test_a_run_goes_on_from_its_file(data):
    config = Config(model="espcn", epochs=1, optimizer="muon", skip=3)
    fit(prepare(data, config, "muon"))
    again = prepare(data, Config(model="espcn", epochs=2, optimizer="muon", skip=3), "muon").network.optimizer
    assert isinstance(again, Muon)
    assert int(again.iterations) > 0
    moments = [each for each in again.variables if len(each.shape) == 4 and each.path.endswith("momentum")]
    assert np.any(keras.ops.convert_to_numpy(moments[-1].value))  # of the last layer, which learns first


def test_a_file_keeps_its_momentum(tmp_path):
    network = Network({"model": "espcn", "scale": [[2, 1], [2, 1]]})
    network.compile(Muon(1e-3, momentum=0.8), TileLoss("mse"))
    network.optimizer.build(network.trainable_variables)
    network.save(tmp_path / "a.keras")
    assert keras.saving.load_model(tmp_path / "a.keras").optimizer.momentum == 0.8
