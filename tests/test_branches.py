"""Sums of branches: what they collapse to gives what the branches give, one after another, on all borders."""

import keras
import naive
import numpy as np
import pytest
from keras import ops

from fastup.networks.branches import EdgeBranches, LinearBranches, SwiftBranches
from fastup.networks.models import MODELS, Network, facts, precision

FOLDING = [name for name, architecture in MODELS.items() if architecture.folds]
SCALES = [[[9, 4], [2, 1]], [[2, 1], [2, 1]]]


def one_by_one(layer, picture):
    """The branches of a layer over a picture with zeros around it, without a padding between them."""
    parts = {name: ops.convert_to_numpy(part).astype(np.float64) for name, part in layer.parts.items()}
    channels, features, half = picture.shape[2], layer.filters, layer.kernel_size[0] // 2
    around = np.pad(picture.astype(np.float64), ((half, half), (half, half), (0, 0)))

    def one(values, kernel):  # 1x1
        return values @ kernel[0, 0]

    def whole(values, kernel):  # over all of the kernel's size alone
        rows, columns = (n - k + 1 for n, k in zip(values.shape, kernel.shape[:2], strict=False))
        places = [(i, j) for i in range(kernel.shape[0]) for j in range(kernel.shape[1])]
        return sum(values[i : i + rows, j : j + columns] @ kernel[i, j] for i, j in places)

    same = picture if channels == features else 0
    if isinstance(layer, LinearBranches):
        return one(whole(around, parts["kernel"]), parts["narrow"]) + same + parts["bias"]
    if isinstance(layer, SwiftBranches):
        through = one(whole(one(around, parts["widen"]), parts["kernel"]), parts["narrow"])
        return through + one(picture, parts["beside"]) + parts["bias"]
    made = whole(around, parts["kernel"]) + whole(one(around, parts["widen"]), parts["narrow"])
    smooth, slope = np.array([1, 2, 1]), np.array([1, 0, -1])
    filters = {"sobel_x": np.outer(smooth, slope), "sobel_y": np.outer(slope, smooth)}
    filters["laplace"] = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    for name, values in filters.items():
        each = values[..., None, None] * np.diag(parts[f"{name}_factor"])
        made = made + whole(one(around, parts[f"{name}_mix"]), each)
    return made + same + parts["bias"]


@pytest.mark.parametrize("channels", [3, 5])
@pytest.mark.parametrize(
    "layer", [EdgeBranches(5), SwiftBranches(5), LinearBranches(5), LinearBranches(5, 5)], ids=lambda each: each.name
)
def test_collapsed_is_the_sum_of_the_branches(layer, channels):
    layer = type(layer).from_config(layer.get_config())
    layer.build((None, None, None, channels))
    rng = np.random.default_rng(channels)
    begun = layer.collapsed()
    for part in layer.parts.values():
        part.assign(rng.normal(size=part.shape) / 3)
    picture = rng.random((7, 6, channels), np.float32)
    expected = one_by_one(layer, picture)
    np.testing.assert_allclose(ops.convert_to_numpy(layer(picture[None]))[0], expected, atol=2e-4, rtol=1e-4)
    kernel, bias = layer.collapsed()
    np.testing.assert_allclose(naive.convolve_same(picture, kernel) + bias, expected, atol=2e-4, rtol=1e-4)
    # And back: it becomes any convolution, and what is left of its branches may learn.
    layer.expand(*begun)
    for ours, theirs in zip(layer.collapsed(), begun, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("model", FOLDING)
@pytest.mark.parametrize("scale", SCALES, ids=str)
def test_folded_is_the_same(model, scale, tmp_path):
    network = Network({"model": model, "scale": scale, "features": 5, "depth": 2, "border": [scale[0][0], 0]})
    rng = np.random.default_rng(1)
    network.set_weights([w + rng.normal(size=w.shape).astype(np.float32) / 10 for w in network.get_weights()])
    pictures = rng.random((2, 16, 7, 3), np.float32)
    expected = ops.convert_to_numpy(network(pictures))
    folded = network.folded()
    assert folded.folded() is folded
    assert folded.count_params() == facts(network).parameters == facts(folded).parameters < network.count_params()
    assert (folded.receptive, folded.widest) == (network.receptive, network.widest)
    assert facts(folded).macs == facts(network).macs
    assert not any(layer.name.endswith("branches") for layer in folded.layers)
    folded.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras")
    assert again.settings == network.settings | {"folded": True}
    for each in (folded, again):
        np.testing.assert_allclose(ops.convert_to_numpy(each(pictures)), expected, rtol=1e-5, atol=1e-5)


def test_nothing_to_fold():
    network = Network({"model": "espcn", "scale": SCALES[0]})
    assert network.folded() is network
    assert "folded" not in network.settings


def test_collapsed_in_float32_whatever_is_computed_in():
    """What is rounded to 8 bits is the sum, not what it is a sum of."""
    with precision("bfloat16"):
        layer = LinearBranches(4)
        layer.build((None, None, None, 4))
    wide = np.zeros((3, 3, 4, 256), np.float32)
    wide[1, 1, :, 0], wide[1, 1, :, 1] = 1000.25, -1000
    narrow = np.zeros((1, 1, 256, 4), np.float32)
    narrow[:, :, :2] = 1
    layer.parts["kernel"].assign(wide)
    layer.parts["narrow"].assign(narrow)
    made = ops.convert_to_numpy(ops.cast(layer(np.full((1, 1, 1, 4), 1, "float32")), "float32"))
    np.testing.assert_array_equal(made, np.full((1, 1, 1, 4), 2))  # 4 quarters, and the input itself
