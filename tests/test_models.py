"""The architectures: what they give untrained, how far they see, and that one .keras file holds everything."""

from fractions import Fraction
from pathlib import Path

import keras
import naive
import numpy as np
import pytest
import tensorflow
from keras import ops

from fastup.errors import OptionError
from fastup.networks import start
from fastup.networks.layers import SubPixel
from fastup.networks.losses import TileLoss
from fastup.networks.models import MODELS, Network, facts

NTSC = [[9, 4], [2, 1]]
SMALL = {
    name: {key: 4 if key == "features" else 2 for key in architecture.size} for name, architecture in MODELS.items()
}

KINDS = [name for name in MODELS if name not in ("compact-s", "compact-l", "recurrent")]  # differ in sizes; has its own


def _network(model, scale=NTSC, seed=0, **settings):
    keras.utils.set_random_seed(seed)
    return Network({"model": model, "scale": scale, **SMALL.get(model, {}), **settings})


def _shake(network, seed=0):
    """Weights as if trained: none zero, none large."""
    rng = np.random.default_rng(seed)
    network.set_weights([w + rng.normal(size=w.shape).astype(np.float32) * 0.1 for w in network.get_weights()])
    return network


def _run(network, pictures):
    return ops.convert_to_numpy(network(pictures))


@pytest.mark.parametrize("model", KINDS)
def test_untrained_is_bicubic(model):
    scale = [NTSC, [[20, 9], [2, 1]], [[1, 1], [1, 1]]][KINDS.index(model) % 3]
    vertical, horizontal = (Fraction(*part) for part in scale)
    rng = np.random.default_rng(0)
    pictures = rng.random((2, 3 * vertical.denominator, 5, 3), np.float32)
    expected = np.stack([naive.bicubic(picture, vertical, horizontal) for picture in pictures])
    np.testing.assert_allclose(_run(_network(model, scale), pictures), expected, atol=1e-6, rtol=0)
    plain = _run(_network(model, scale, residual=False), pictures)
    assert plain.shape == expected.shape
    assert np.abs(plain - expected).max() > 0.01


def test_figures_counted_by_hand():
    """Weights and biases, and multiply-adds a target pixel, at scale 2: of what papers state, for RGB, and of ours."""

    def found(model, scale=2, **size):
        counted = facts(Network({"model": model, "scale": [[scale, 1], [scale, 1]], **size}))
        return counted.parameters, counted.macs

    # Over the enlarged picture a weight is used once a target pixel. Published for luma: 57,184 and 664,704 weights.
    assert found("srcnn") == (69_251, 81 * 3 * 64 + 25 * 64 * 32 + 25 * 32 * 3)
    assert 69_251 - (64 + 32 + 3) - (81 * 64 + 25 * 32) * 2 == 57_184
    assert found("vdsr") == (668_227, (9 * 3) * 64 + 18 * 9 * 64 * 64 + 9 * 64 * 3)
    assert 668_227 - (19 * 64 + 3) - (9 * 64 + 9 * 64) * 2 == 664_704
    # The ancestor's: 9-1-5, 9-(1, 3, 5)-5, and pooled levels of which a weight is used in every 4th or 16th pixel.
    assert found("basic") == ((81 * 3 + 1) * 64 + 65 * 32 + (25 * 32 + 1) * 3, 81 * 3 * 64 + 64 * 32 + 25 * 32 * 3)
    middle = (1 + 9 + 25) * 64 * 32
    assert found("expansion") == (
        (81 * 3 + 1) * 64 + middle + 3 * 32 + (25 * 32 + 1) * 3, 81 * 3 * 64 + middle + 25 * 32 * 3,
    )  # fmt: skip
    top, half, quarter = 3 * 64 + 64 * 64 + 128 * 64 + 64 * 64, 64 * 128 + 2 * 128 * 128 + 256 * 128, 128 * 256
    biases = 4 * 64 + 4 * 128 + 256 + 3
    assert found("denoise") == (
        9 * (top + half + quarter) + 25 * 64 * 3 + biases, 9 * (top + half / 4 + quarter / 16) + 25 * 64 * 3,
    )  # fmt: skip
    # On the input a weight is used once in four target pixels, at scale 2; the last layer gives 12 values.
    weights = 25 * 3 * 64 + 9 * 64 * 32 + 9 * 32 * 12
    assert found("espcn") == (weights + 64 + 32 + 12, weights / 4)
    # Published for luma: 12,464 weights, with a 9x9 deconvolution; here a 5x5 sub-pixel convolution makes 2x2 of it.
    weights = 25 * 3 * 56 + 56 * 12 + 4 * 9 * 12 * 12 + 12 * 56 + 25 * 56 * 12
    assert found("fsrcnn") == (weights + 2 * (56 + 12 + 4 * 12 + 56) + 12, weights / 4)
    assert weights - 25 * 2 * 56 - 25 * 56 * 12 + 81 * 56 == 12_464
    for model, size in (("compact-s", (16, 4)), ("compact", (24, 8)), ("compact-l", (32, 12)), ("compact", (64, 16))):
        n, depth = size
        weights = 9 * (3 * n + depth * n * n + n * 12)
        counted = found(model, **(dict(zip(("features", "depth"), size, strict=True)) if n == 64 else {}))
        assert counted == (weights + 2 * (depth + 1) * n + 12, weights / 4)
    assert counted[0] == 600_652  # as published
    weights = 9 * (3 * 32 + 4 * 2 * 32 * 32 + 32 * 12)
    assert found("edsr") == (weights + 9 * 32 + 12, weights / 4)
    # Folded: the published tables have 11.6K for M4C16, 41.5K for M4C32, 92K for M6C40, of RGB.
    for (depth, n), published in (((4, 16), 11_548), ((4, 32), 41_516), ((6, 40), 92_372)):
        weights = 9 * (3 * n + depth * n * n + n * 12)
        assert found("ecbsr", features=n, depth=depth) == (weights + 2 * (depth + 1) * n + 12, weights / 4)
        assert weights + 2 * (depth + 1) * n + 12 == published
    # Published for luma: 27K.
    weights = 25 * 3 * 16 + 11 * 9 * 16 * 16 + 25 * 16 * 12
    assert found("sesr") == (weights + 2 * 12 * 16 + 12, weights / 4)
    assert 27_000 < weights - 25 * 2 * 16 - 25 * 16 * 8 < 27_500
    # Published with 48 features: 481K at scale 2, with a second set of weights for each of 20 convolutions in training.
    for n in (24, 48):
        weights = 9 * (3 * n + 19 * n * n + n * 12) + 4 * n * n
        assert found("span", features=n) == (weights + 21 * n + 12, weights / 4)
    # A whole scale of 3 makes nine target pixels of an input pixel, and 27 values in the last layer.
    weights = 25 * 3 * 64 + 9 * 64 * 32 + 9 * 32 * 27
    assert found("espcn", 3) == (weights + 64 + 32 + 27, weights / 9)


def test_the_table_in_the_documents():
    page = (Path(__file__).parent.parent / "docs" / "training.md").read_text()
    section = page.split("\n### Networks\n")[1].split("\n#")[0]
    rows = {line.split("`")[1]: line for line in section.splitlines() if line.startswith("| `")}
    assert list(rows) == list(MODELS)
    for name, architecture in MODELS.items():
        at = [facts(Network({"model": name, "scale": scale})) for scale in ([[2, 1], [2, 1]], NTSC)]
        size = [f"{architecture.size[key]}{word}" for key, word in (("features", ""), ("depth", " deep"))
                if key in architecture.size]  # fmt: skip
        columns = [
            ", ".join(size),
            *(" / ".join(f"{getattr(each, figure):,.0f}" for each in at) for figure in ("parameters", "macs")),
            " / ".join("{} x {}".format(*each.receptive) for each in at),
        ]
        assert [cell.strip() for cell in rows[name].split("|")[3:-1]] == columns


def _positive(network):
    rng = np.random.default_rng(1)
    # Kernels that sum to about 1, so that gradients neither vanish nor drown over twenty layers.
    network.set_weights([
        np.float32(rng.uniform(0.5, 1.5, w.shape) / (np.prod(w.shape[:-1]) if w.ndim == 4 else 10))
        for w in network.get_weights()
    ])  # fmt: skip
    return network


def _seen(network, axis):
    """For each target pixel of a cell, along an axis: the first and the last input pixel that it depends on.

    Counted from the cell's first pixel, by the gradient. All weights and pixels are above zero, so that no activation
    stands still and nothing cancels, and a gradient is zero only where nothing leads there.
    """
    _positive(network)
    q, p = (sides[axis] for sides in network.cell)
    context = network.border[axis] // p  # cells
    middle = -(-network.receptive[axis] // q) + 2 + context
    shape = [(2 + 2 * border // p) * q for border, q, p in zip(network.border, *network.cell, strict=True)]
    shape[axis] = q * (2 * middle + 1)
    # A picture for each target pixel of the cell in the middle.
    pictures = ops.convert_to_tensor(
        np.repeat(np.random.default_rng(2).uniform(0.5, 0.51, (1, *shape, 3)).astype(np.float32), p, 0)
    )
    with tensorflow.GradientTape() as tape:
        tape.watch(pictures)
        made = ops.take(network(pictures), range((middle - context) * p, (middle - context + 1) * p), axis=1 + axis)
        made = sum(ops.sum(ops.take(made[pixel], pixel, axis=axis)) for pixel in range(p))
    gradients = np.abs(tape.gradient(made, pictures).numpy()).sum(axis=(2 - axis, 3))
    return [(there[0] - middle * q, there[-1] - middle * q) for (there,) in map(np.nonzero, gradients)]


# Rows and columns are each on their own, so these are eight scales.
SCALES = [(NTSC, 0), (NTSC, 2), ([[3, 2], [1, 1]], 0), ([[2, 1], [20, 9]], 0), ([[3, 1], [5, 3]], 0)]


@pytest.mark.parametrize(
    ("model", "scale", "border"),
    [
        (model, *case)
        for n, model in enumerate(KINDS)
        for k, case in enumerate(SCALES)
        if model != "denoise" and (k == 0 or (n + k) % 2 == 0)
    ],
    ids=str,
)
def test_receptive_is_how_far_it_sees(model, scale, border):
    """Exactly: the first target pixel of some row or column sees so far, the last likewise, and none sees further.

    Every other one, of a model and of a scale, is residual.
    """
    residual = bool((KINDS.index(model) + SCALES.index((scale, border))) // 2 % 2)
    network = _network(model, scale, residual=residual, border=[border * s[0] for s in scale])
    for axis, reach in enumerate(network.receptive):
        q = network.cell[0][axis]
        seen = _seen(network, axis)
        assert min(first for first, _ in seen) == -reach
        assert max(last for _, last in seen) == q - 1 + reach


@pytest.mark.parametrize("scale", [NTSC, [[2, 1], [2, 1]], [[3, 1], [5, 3]]], ids=str)
def test_receptive_of_a_network_that_pools(scale):
    """By what changes with a line of the input: what is the largest of four hides the others from a gradient."""
    network = _positive(_network("denoise", scale, residual=False))
    assert network.pitch == {9: 4, 2: 2, 3: 4}[scale[0][0]]
    for axis, reach in enumerate(network.receptive):
        q, p = (sides[axis] for sides in network.cell)
        shape = [8 * each for each in network.cell[0]]
        shape[axis] = 40 * q
        pictures = np.repeat(
            np.random.default_rng(2).uniform(0.5, 0.51, (1, *shape, 3)).astype(np.float32), 8 * q + 1, 0
        )
        lines = range(16 * q, 20 * q)  # four cells, after which all repeats
        for number, (line, change) in enumerate(((line, way) for line in lines for way in (-1000, 1000)), 1):
            pictures[(number, *[slice(None)] * axis, line)] += change
        made = _run(network, pictures)
        differs = (np.abs(made - made[0]) > 1e-6).any(axis=(2 - axis, 3))
        above, below = [], []
        for number, line in enumerate(np.repeat(lines, 2), 1):
            cells = np.flatnonzero(differs[number]) // p
            below.append(line - cells[0] * q - (q - 1))
            above.append(cells[-1] * q - line)
        assert (max(above), max(below)) == (reach, reach)


@pytest.mark.parametrize("model", [name for name in MODELS if name != "recurrent"])
def test_receptive_at_the_published_depth(model):
    size = {key: 2 if key == "features" else value for key, value in MODELS[model].size.items()}
    network = Network({"model": model, "scale": NTSC, **size})
    expected = {
        "srcnn": (5, 6), "fsrcnn": (8, 8), "espcn": (4, 4), "vdsr": (11, 12), "compact-s": (6, 6), "compact": (10, 10),
        "compact-l": (14, 14), "edsr": (10, 10), "span": (21, 21), "ecbsr": (6, 6), "sesr": (15, 15), "basic": (4, 5),
        "expansion": (5, 6), "denoise": (11, 12),
    }[model]  # fmt: skip
    assert network.receptive == expected
    if model == "denoise":  # see above
        return
    for axis, (q, reach) in enumerate(zip(network.cell[0], expected, strict=True)):
        seen = _seen(network, axis)
        assert (min(first for first, _ in seen), max(last for _, last in seen)) == (-reach, q - 1 + reach)


@pytest.mark.parametrize("model", KINDS)
def test_border_is_context(model):
    network = _shake(_network(model, border=[18, 6]))
    whole = _network(model)
    whole.set_weights(network.get_weights())
    assert network.border == (18, 6)
    assert network.scale == (Fraction(9, 4), Fraction(2))
    assert network.cell == ((4, 1), (9, 2))
    # 18 and 6 target pixels of border are 8 and 3 input pixels on either side.
    pictures = np.random.default_rng(2).random((2, 8 + 2 * 8, 5 + 2 * 3, 3), np.float32)
    result = _run(network, pictures)
    assert result.shape == (2, 18, 10, 3)
    np.testing.assert_allclose(result, _run(whole, pictures)[:, 18:-18, 6:-6], atol=1e-5)
    assert tuple(network.output_shape) == (None, None, None, 3)


@pytest.mark.parametrize("model", KINDS)
def test_tile_with_context_equals_whole_frame(model):
    network = _shake(_network(model))
    up, left = network.receptive
    up = -(-up // (4 * network.pitch)) * 4 * network.pitch  # whole cells
    left = -(-left // network.pitch) * network.pitch
    frame = np.random.default_rng(3).random((1, 4 * up + 8, 4 * left + 5, 3), np.float32)
    tile = frame[:, up : 3 * up + 8, left : 3 * left + 5]

    def middle(result, top, side):
        return result[:, top // 4 * 9 : (top + 8) // 4 * 9, 2 * side : 2 * (side + 5)]

    expected = middle(_run(network, frame), 2 * up, 2 * left)
    assert expected.shape == (1, 18, 10, 3)
    np.testing.assert_allclose(middle(_run(network, tile), up, left), expected, atol=1e-5)


EXTRAS = {
    "trim": [240, 240, 0, 0],
    "input_white": 1023,
    "target_white": 1023,
    "pixel_aspect": None,
    "trained": {"epochs": 3, "best": 38.5, "history": [{"psnr": 37.25}, {"psnr": 38.5}], "class_name": "a dictionary"},
}


@pytest.mark.parametrize("model", KINDS)
def test_one_file_holds_everything(model, tmp_path):
    network = _shake(_network(model, border=[9, 2], **EXTRAS))
    network.settings["trained"]["epochs"] = 4
    network.settings["note"] = "added later"
    network.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras", safe_mode=True)
    assert type(again) is Network
    assert type(again.settings) is dict
    assert again.settings == network.settings
    assert again.settings["trained"] == {**EXTRAS["trained"], "epochs": 4}
    assert again.settings["note"] == "added later"
    pictures = np.random.default_rng(4).random((1, 24, 9, 3), np.float32)
    np.testing.assert_array_equal(_run(again, pictures), _run(network, pictures))


def test_settings_are_completed_and_apart():
    given = {"model": "compact", "scale": [[18, 8], [2, 1]], "trained": {"epochs": 1}}
    network = Network(given)
    network.settings["trained"]["epochs"] = 2
    assert given == {"model": "compact", "scale": [[18, 8], [2, 1]], "trained": {"epochs": 1}}
    assert network.settings == {
        "model": "compact",
        "scale": NTSC,
        "border": [0, 0],
        "residual": True,
        **MODELS["compact"].size,
        "trained": {"epochs": 2},
    }
    assert network.get_config()["settings"] is not network.settings


@pytest.mark.parametrize("model", ["compact", "srcnn"])
def test_training_goes_on_from_the_file(model, tmp_path):
    rng = np.random.default_rng(5)
    pictures = rng.random((4, 16, 9, 3), np.float32)
    target = rng.random((4, 18, 14, 3), np.float32)
    network = _network(model, border=[9, 2])
    assert tuple(network(pictures).shape) == target.shape
    network.compile(keras.optimizers.Adam(MODELS[model].learning_rate), TileLoss(MODELS[model].loss))
    network.train_on_batch(pictures, target)
    network.train_on_batch(pictures, target)
    network.optimizer.learning_rate = 3e-4
    network.save(tmp_path / "x.keras")
    again = keras.saving.load_model(tmp_path / "x.keras")
    assert int(again.optimizer.iterations) == 2
    assert float(again.optimizer.learning_rate) == pytest.approx(3e-4)
    assert again.loss.get_config() == network.loss.get_config()
    assert len(again.optimizer.variables) == len(network.optimizer.variables) > len(network.weights)
    for ours, theirs in zip(again.optimizer.variables, network.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs))
    start = network.get_weights()
    network.train_on_batch(pictures, target)
    again.train_on_batch(pictures, target)
    for before, ours, theirs in zip(start, again.get_weights(), network.get_weights(), strict=True):
        # Threads may add in another order; a step itself moves weights by about the learning rate.
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
        assert np.abs(theirs - before).max() > 1e-5


def test_a_few_steps_learn():
    rng = np.random.default_rng(6)
    pictures = rng.random((8, 8, 8, 3), np.float32)
    network = _network("compact", features=8)
    target = 0.8 * _run(network, pictures) + 0.1
    network.compile(keras.optimizers.Adam(3e-3), "mean_squared_error")
    losses = [float(network.train_on_batch(pictures, target)) for _ in range(100)]
    assert losses[-1] < losses[0] / 3, losses


def test_mixed_precision_keeps_the_picture_exact():
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = _network("compact", border=[9, 2])
        assert any(layer.compute_dtype == "bfloat16" for layer in network.layers if isinstance(layer, SubPixel))
        pictures = np.random.default_rng(8).random((1, 24, 9, 3), np.float32)
        result = _run(network, pictures)
    finally:
        keras.config.set_dtype_policy(previous)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, _run(_network("compact", border=[9, 2]), pictures), atol=1e-6)


@pytest.fixture
def channels_first():
    """As "image_data_format" in keras.json, which is for layers that do not say theirs."""
    previous = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format(previous)


@pytest.mark.parametrize("model", ["srcnn", "compact", "span", "denoise"])  # every layer
def test_layers_say_their_own_format(model, tmp_path, channels_first):
    pictures = np.random.default_rng(9).random((2, 24, 9, 3), np.float32)
    target = np.zeros((2, 18, 14, 3), np.float32)

    def trained():
        network = _network(model, border=[18, 2])
        network.compile(keras.optimizers.SGD(1e-3), TileLoss(MODELS[model].loss))
        losses = [float(network.train_on_batch(pictures, target)) for _ in range(2)]
        return network, losses

    network, losses = trained()
    network.save(tmp_path / "x.keras")
    results = network.predict_on_batch(pictures), _run(keras.saving.load_model(tmp_path / "x.keras"), pictures)
    keras.config.set_image_data_format("channels_last")
    expected, expected_losses = trained()
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    for result in (*results, _run(keras.saving.load_model(tmp_path / "x.keras"), pictures)):
        np.testing.assert_allclose(result, expected.predict_on_batch(pictures), atol=1e-5)


@pytest.mark.parametrize("floatx", ["float16", "bfloat16"])
def test_half_precision_for_all_is_refused(monkeypatch, floatx):
    monkeypatch.setattr(keras.config, "floatx", lambda: floatx)
    with pytest.raises(
        OptionError, match=f"Keras has {floatx} as its floatx .*keras.json.*expected float32.*--precision"
    ):
        start()


def test_records_are_complete():
    for name, architecture in MODELS.items():
        assert name == name.lower()
        assert architecture.summary.endswith(".")
        assert 0 < architecture.learning_rate < 1
        TileLoss(architecture.loss)
    with pytest.raises(TypeError):
        MODELS["compact"].size["depth"] = 3
    with pytest.raises(AttributeError):
        MODELS["compact"].loss = "none"


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"model": "unet"}, OptionError, f"model is 'unet', expected one of {', '.join(MODELS)}"),
        ({"model": None}, OptionError, "model is None"),
        ({"depth": 0}, OptionError, "depth is 0, expected a whole number of at least 1"),
        ({"features": 24.0}, OptionError, "features is 24.0"),
        ({"features": True}, OptionError, "features is True"),
        ({"scale": [[1, 2], [1, 1]]}, ValueError, "at least 1 on both axes"),
        ({"scale": [2.25, 2]}, ValueError, "two exact fractions"),
        ({"border": [8, 2]}, ValueError, "expected multiples of 9 and 2 target pixels"),
        ({"border": [-9, 2]}, ValueError, "expected multiples of 9 and 2 target pixels"),
        ({"border": [9]}, ValueError, "expected multiples of 9 and 2 target pixels"),
        ({"note": {1, 2}}, TypeError, "JSON"),
    ],
    ids=str,
)
def test_bad_settings(change, error, words):
    with pytest.raises(error, match=words.replace("[", r"\[")):
        Network({"model": "compact", "scale": NTSC, **change})
