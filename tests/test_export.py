"""ONNX files: equal to Keras, of any size, and honest about themselves."""

from fractions import Fraction

import keras
import numpy as np
import onnx
import pytest

from fastup.networks.models import MODELS, Network
from fastup.upscale.export import graph
from fastup.upscale.model import fill_of
from fastup.upscale.onnx_file import read_metadata

SMALL = {"vdsr": {"features": 4, "depth": 3}, "compact": {"features": 5, "depth": 2}}
FACTS = {
    "trim": [0, 0, 0, 0], "input_trim": [0, 0, 0, 0], "black_level": 95, "input_white": 1023, "target_white": 1023,
    "pixel_aspect": [1, 1], "transfer": None, "colorimetric": None, "trained": {"epoch": 1},
}  # fmt: skip
NTSC = [[9, 4], [2, 1]]
SCALES = [[[1, 1], [1, 1]], [[2, 1], [2, 1]], [[3, 2], [3, 2]], NTSC]


def network_of(model, scale=NTSC, seed=0, **settings):
    """A small network with weights as if trained."""
    keras.utils.set_random_seed(seed)
    network = Network({"model": model, "scale": scale, **SMALL.get(model, {}), **FACTS, **settings})
    rng = np.random.default_rng(seed)
    network.set_weights([w + 0.3 * _noise(rng, w.shape) for w in network.get_weights()])
    return network


def _noise(rng, shape):
    """Of a spread that keeps what a layer gives about as large as what it is given."""
    return (rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))).astype(np.float32)


def by_keras(network, picture):
    """What Keras makes of a picture (height, width, 3), with what lies around it."""
    v, h = (int(b / s) for b, s in zip(network.border, network.scale, strict=True))
    fill = fill_of(network.settings)
    how = {"mode": "edge"} if fill == "edge" else {"constant_values": fill}
    return keras.ops.convert_to_numpy(network(np.pad(picture, ((v, v), (h, h), (0, 0)), **how)[None]))[0]


def by_onnxruntime(model):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda planes: session.run(["output"], {"input": planes})[0]


def by_openvino(model):
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda planes: np.array(compiled({"input": planes})["output"])


ENGINES = pytest.mark.parametrize("engine", [by_onnxruntime, by_openvino], ids=["onnxruntime", "openvino"])


def through(run, picture):
    """A picture (height, width, 3) through an engine."""
    return run(np.ascontiguousarray(picture.transpose(2, 0, 1)[None]))[0].transpose(1, 2, 0)


def pictures(cell, seed=3):
    """Pictures of several sizes, one a single cell: random, and black and white alone."""
    rng = np.random.default_rng(seed)
    for rows, columns in ((3, 7), (1, 1)):
        yield rng.random((cell[0] * rows, cell[1] * columns, 3), np.float32)
    yield rng.integers(2, size=(cell[0] * 3, cell[1] * 7, 3)).astype(np.float32)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scale", SCALES, ids=str)
@pytest.mark.parametrize("around", ["none", "black", "edge"])
def test_equal_to_keras(model, scale, around):
    (p_v, _), (p_h, _) = scale
    settings = {"none": {}, "black": {"border": [2 * p_v, p_h]}, "edge": {"border": [p_v, 2 * p_h]}}[around]
    # Every other one is plain: each model is, at two scales, with each of the three.
    residual = (SCALES.index(scale) + list(settings).count("border") + (around == "edge")) % 2 == 0
    network = network_of(model, scale, residual=residual, black_level="edge" if around == "edge" else 95, **settings)
    exported = graph(network)
    onnx.checker.check_model(onnx.load_model_from_string(exported), full_check=True)
    engines = [by_onnxruntime(exported), by_openvino(exported)]
    for picture in pictures(network.cell[0]):
        expected = by_keras(network, picture)
        for run in engines:
            np.testing.assert_allclose(through(run, picture), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("model", MODELS)
def test_what_it_says_of_itself(model):
    network = network_of(model, border=[9, 2])
    found = read_metadata(graph(network))
    assert found["settings"] == network.settings
    assert tuple(found["receptive"]) == network.receptive
    assert (found["version"], found["whole_scale"]) == (1, None)
    assert found["widest"] == {"srcnn": 288, "vdsr": 18, "espcn": 64, "compact": 14}[model]


def test_the_same_weights_give_the_same_bytes():
    first, again = (graph(network_of("compact", border=[9, 2])) for _ in range(2))
    assert first == again
    assert first != graph(network_of("compact", border=[9, 2], seed=1))


@ENGINES
@pytest.mark.parametrize("model", ["espcn", "vdsr"])
@pytest.mark.parametrize("residual", [True, False], ids=["residual", "plain"])
def test_sizes_that_are_not_whole_cells_fail(engine, model, residual):
    run = engine(graph(network_of(model, [[9, 4], [3, 2]], residual=residual)))
    assert run(np.zeros((1, 3, 8, 6), np.float32)).shape == (1, 3, 18, 9)
    for rows, columns in ((9, 6), (11, 6), (8, 7), (3, 6), (9, 7)):
        with pytest.raises(Exception, match=r"(?i)shape|convolution"):
            run(np.zeros((1, 3, rows, columns), np.float32))
    assert run(np.ones((1, 3, 4, 2), np.float32)).shape == (1, 3, 9, 3)


@ENGINES
def test_large_fractions_are_two_convolutions(engine):
    scale = [[128, 45], [20, 9]]
    network = network_of("vdsr", scale)
    picture = np.random.default_rng(5).random((90, 27, 3), np.float32)
    exported = graph(network)
    assert len(exported) < 2**20
    np.testing.assert_allclose(through(engine(exported), picture), by_keras(network, picture), atol=1e-5, rtol=0)
    assert network.scale == (Fraction(128, 45), Fraction(20, 9))
