"""ONNX files: equal to Keras, of any size, and honest about themselves."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from fractions import Fraction

import keras
import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from runs import check_whole, contents_of

import fastup
from fastup.errors import DataError, FastupError, OptionError
from fastup.networks.models import MODELS, Network, precision
from fastup.train import fit
from fastup.train.config import Config
from fastup.train.prepare import prepare
from fastup.upscale import export as exporting
from fastup.upscale.engines import openvino_core
from fastup.upscale.export import export, graph
from fastup.upscale.model import fill_of, load
from fastup.upscale.onnx_file import NEEDED, read_metadata

SMALL = {
    name: {key: 5 if key == "features" else 2 for key in architecture.size} for name, architecture in MODELS.items()
}
KINDS = [name for name in MODELS if name not in ("compact-s", "compact-l", "recurrent")]  # differ in sizes; has its own
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


def session_of(model):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def by_onnxruntime(model):
    session = session_of(model)
    return lambda planes: session.run(["output"], {"input": planes})[0]


def by_openvino(model):
    core = openvino_core()
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


@pytest.mark.parametrize(
    ("model", "scale"),
    [(model, scale) for n, model in enumerate(KINDS) for k, scale in enumerate(SCALES) if (n + k) % 2 == 0],
    ids=str,
)
def test_equal_to_keras(model, scale):
    (p_v, _), (p_h, _) = scale
    # With nothing around the picture, with black, and with its edge, and residual or not, in turn: each of a model and
    # of a scale.
    settings = [{}, {"border": [2 * p_v, p_h]}, {"border": [p_v, 2 * p_h], "black_level": "edge"}]
    turn = KINDS.index(model) + SCALES.index(scale)
    network = network_of(model, scale, residual=turn % 4 == 0, **settings[turn % 3])
    exported = graph(network)
    onnx.checker.check_model(onnx.load_model_from_string(exported), full_check=True)
    engines = [by_onnxruntime(exported), by_openvino(exported)]
    for picture in pictures(network.cell[0]):
        expected = by_keras(network, picture)
        for run in engines:
            atol = 1e-5 * max(1, np.abs(expected).max())
            np.testing.assert_allclose(through(run, picture), expected, atol=atol, rtol=0)


@pytest.mark.parametrize("model", KINDS)
def test_what_it_says_of_itself(model):
    network = network_of(model, border=[9, 2])
    found = read_metadata(graph(network))
    assert found["settings"] == network.folded().settings
    assert tuple(found["receptive"]) == network.receptive
    assert found["whole_scale"] is None
    pools = model == "denoise"
    assert (found["version"], found.get("pitch")) == ((2, 4) if pools else (1, None))
    assert found["widest"] == {
        "srcnn": 288, "fsrcnn": 14, "espcn": 64, "vdsr": 23, "compact": 14, "edsr": 14, "span": 20, "ecbsr": 14,
        "sesr": 14, "basic": 288, "expansion": 288, "denoise": 45,
    }[model]  # fmt: skip


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
    network = network_of("vdsr", scale, border=[128, 20])
    assert network.widest == 32  # 5 features for each of 128 / 45 x 20 / 9 pixels
    picture = np.random.default_rng(5).random((90, 27, 3), np.float32)
    exported = graph(network)
    assert len(exported) < 2**20
    np.testing.assert_allclose(through(engine(exported), picture), by_keras(network, picture), atol=1e-5, rtol=0)
    assert network.scale == (Fraction(128, 45), Fraction(20, 9))


WHOLE = [(NTSC, 2), ([[3, 2], [3, 2]], 1), ([[5, 2], [3, 1]], 2), ([[20, 9], [2, 1]], 2), ([[9, 4], [16, 3]], 2)]


@ENGINES
@pytest.mark.parametrize(("scale", "multiple"), WHOLE, ids=str)
def test_a_whole_scale(engine, scale, multiple):
    """The frame is as large as its picture times scale / multiple; what is beside the picture is not looked at."""
    network = network_of("compact", scale, border=[scale[0][0], scale[1][0]], black_level="edge")
    exported = graph(network, whole_scale=True)
    assert read_metadata(exported)["whole_scale"] == multiple
    onnx.checker.check_model(onnx.load_model_from_string(exported), full_check=True)
    run = engine(exported)
    (p_v, q_v), (p_h, q_h) = scale
    for cells in ((2, 2), (4, 6)):
        picture = np.random.default_rng(6).random((q_v * cells[0], q_h * cells[1], 3), np.float32)
        frame = np.full((p_v * cells[0] // multiple, p_h * cells[1] // multiple, 3), 7, np.float32)
        frame[: picture.shape[0], : picture.shape[1]] = picture
        expected = by_keras(network, picture)
        assert expected.shape == (multiple * frame.shape[0], multiple * frame.shape[1], 3)
        np.testing.assert_allclose(through(run, frame), expected, atol=1e-5, rtol=0)
    for rows, columns in ((1, 0), (0, 1), (-1, 0), (5, 7), (0, -1)):
        shape = p_v * 4 // multiple + rows, p_h * 4 // multiple + columns
        if [multiple * n % p for n, p in zip(shape, (p_v, p_h), strict=True)] != [0, 0]:
            with pytest.raises(Exception, match=r"(?i)shape|convolution"):
                run(np.zeros((1, 3, *shape), np.float32))


def test_a_frame_of_a_whole_scale_is_the_one_that_people_have():
    """720x480 in the upper part of 720x540 is 1440x1080."""
    network = network_of("compact", features=1, depth=1)
    frame = np.zeros((1, 3, 540, 720), np.float32)
    assert by_onnxruntime(graph(network, whole_scale=True))(frame).shape == (1, 3, 1080, 1440)


@pytest.mark.parametrize("scale", [[[2, 1], [2, 1]], [[1, 1], [1, 1]]], ids=str)
def test_a_scale_that_is_whole_is_exported_as_ever(scale):
    network = network_of("compact", scale)
    assert graph(network, whole_scale=True) == graph(network)


def in_an_engine_of_one_size(engine, model, size):
    """As vs-mlrt does: the input's sides are set, all others forgotten."""
    model = onnx.load_model_from_string(model)
    for axis, side in zip((2, 3), size, strict=True):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = side
    return engine(onnx.shape_inference.infer_shapes(model).SerializeToString())


def test_programs_that_fix_the_size_learn_the_size_of_the_output():
    """vs-mlrt asks it of ONNX Runtime's session."""
    run = in_an_engine_of_one_size(
        session_of, graph(network_of("compact", border=[9, 2]), whole_scale=True), (540, 720)
    )
    assert run.get_outputs()[0].shape == [1, 3, 1080, 1440]


def with_room(frame):
    """A frame as the cookbook has it: an eighth more rows below."""
    return np.pad(frame, ((0, frame.shape[0] // 8), (0, 0), (0, 0)))


@ENGINES
def test_the_recipe_gives_what_upscale_writes(engine, trained, small):
    frame = fastup.read(fastup.find(small / "evaluation" / "Alpha")[0], dtype="float32")
    exported = graph(load(trained / "best.keras"), whole_scale=True)
    run = in_an_engine_of_one_size(engine, exported, with_room(frame).shape[:2])
    result = np.clip(through(run, with_room(frame)), 0, 1)
    np.testing.assert_allclose(result, fastup.Upscaler(trained / "best.keras")(frame), atol=1e-5, rtol=0)


def test_the_recipe_in_vapoursynth(trained, small, tmp_path):
    vs = pytest.importorskip("vapoursynth", exc_type=ImportError)
    names = [name for name in ("ov", "ort") if hasattr(vs.core, name)]
    if not names:
        pytest.skip("vs-mlrt is not installed")
    frame = fastup.read(fastup.find(small / "evaluation" / "Alpha")[0], dtype="float32")
    (tmp_path / "best-2x.onnx").write_bytes(graph(load(trained / "best.keras"), whole_scale=True))

    def fill(n, f):
        filled = f.copy()
        for channel in range(3):
            np.asarray(filled[channel])[...] = frame[..., channel]
        return filled

    height, width = frame.shape[:2]
    blank = vs.core.std.BlankClip(width=width, height=height, format=vs.RGBS, length=1)
    clip = vs.core.std.AddBorders(vs.core.std.ModifyFrame(blank, blank, fill), bottom=height // 8)
    exact = {"config": lambda: {"INFERENCE_PRECISION_HINT": "f32"}} if names[0] == "ov" else {}
    made = getattr(vs.core, names[0]).Model(clip, network_path=str(tmp_path / "best-2x.onnx"), **exact).get_frame(0)
    result = np.clip(np.stack([np.asarray(made[channel]) for channel in range(3)], axis=2), 0, 1)
    np.testing.assert_allclose(result, fastup.Upscaler(trained / "best.keras")(frame), atol=1e-4, rtol=0)


# -- what the file says of itself --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_file():
    """The smallest there is."""
    return graph(network_of("compact", [[1, 1], [2, 1]], features=1, depth=1))


def test_the_digest_is_over_all_other_fields(small_file):
    """As onnx itself takes the file apart."""
    model = onnx.load_model_from_string(small_file)
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert list(found) == ["fastup", "fastup.digest"]
    del model.metadata_props[1]
    assert hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest() == found["fastup.digest"]
    assert read_metadata(small_file) == json.loads(found["fastup"])


def test_a_file_is_read_by_its_path(small_file, tmp_path):
    (tmp_path / "m.onnx").write_bytes(small_file)
    assert read_metadata(tmp_path / "m.onnx") == read_metadata(small_file)
    (tmp_path / "m.onnx").write_bytes(small_file[:-9])
    with pytest.raises(DataError, match=r"m\.onnx: an ONNX file that is cut short or damaged$"):
        read_metadata(tmp_path / "m.onnx")
    with pytest.raises(FileNotFoundError):
        read_metadata(tmp_path / "none.onnx")


def test_every_cut_is_noticed(small_file):
    for size in range(0, len(small_file), 7):
        with pytest.raises(DataError, match=r"^the model: .*(not an ONNX|empty|cut short|not one that|were changed)"):
            read_metadata(small_file[:size])


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 2**32), value=st.integers(1, 255))
def test_every_changed_byte_is_noticed(small_file, at, value):
    changed = bytearray(small_file)
    changed[at % len(changed)] ^= value
    with pytest.raises(DataError):
        read_metadata(bytes(changed))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_other_bytes_are_refused(data):
    for start in (b"", b"\x08\x08"):
        with pytest.raises(DataError):
            read_metadata(start + data)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip", b"\x89PNG\r\n\x1a\n", b"\x08"])
def test_what_is_no_onnx_file(content):
    with pytest.raises(DataError, match=r"not an ONNX file|empty, expected an ONNX file"):
        read_metadata(content)


def signed_anew(data, change):
    """A file with other metadata, and the digest of that."""
    model = onnx.load_model_from_string(data)
    about = json.loads(model.metadata_props[0].value)
    about = change(about) or about
    del model.metadata_props[:]
    onnx.helper.set_model_props(model, {"fastup": json.dumps(about)})
    return exporting.signed(model.SerializeToString())


def lacks(key):
    def change(about):
        del about["settings"][key]

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        *((lacks(key), f"not what `fastup export` writes: the settings lack {key}") for key in sorted(NEEDED)),
        (lacks("scale"), "the settings lack scale"),
        (lambda about: about.update(version=3), "of version 3, expected at most 2: a newer fastup wrote it"),
        (lambda about: about.update(version="1"), "version is '1'"),
        (lambda about: {"settings": about["settings"]}, "they lack 'version'"),
        (lambda about: about.update(settings=7), "not what `fastup export` writes"),
        (lambda about: [1], "not what `fastup export` writes"),
        (lambda about: about.update(receptive=[1]), r"receptive is \[1\]"),
        (lambda about: about.update(receptive=[1, -1]), r"receptive is \[1, -1\]"),
        (lambda about: about.update(widest=0.5), r"widest is \[0.5\]"),
        (lambda about: about.update(pitch=0), r"pitch is \[0\]"),
        (lambda about: about.update(whole_scale=0), r"whole_scale is \[0\]"),
        (lambda about: about["settings"].update(scale=[[9, 0], [2, 1]]), r"scale is \[9, 0, 2, 1\]"),
        (lambda about: about["settings"].update(scale=[9, 4]), "not what `fastup export` writes"),
        (lambda about: about["settings"].update(border=None), "not what `fastup export` writes"),
    ],
)
def test_metadata_that_lack_something(small_file, change, words):
    with pytest.raises(DataError, match=f"^the model: .*{words}"):
        read_metadata(signed_anew(small_file, change))


def test_a_file_of_another_program(small_file):
    model = onnx.load_model_from_string(small_file)
    del model.metadata_props[:]
    with pytest.raises(DataError, match="an ONNX file, but not one that `fastup export` wrote"):
        read_metadata(model.SerializeToString())


def test_reading_takes_neither_keras_nor_onnx():
    code = "import sys, fastup.upscale.onnx_file; print({'keras', 'onnx', 'numba'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


# -- the command, and training -----------------------------------------------------------------------------------------


def spoilt(monkeypatch, by):
    """From now on a weight of what is exported is off: the last one, which is added to a pixel of each cell."""
    really = exporting.graph

    def graph(network, whole_scale=False):
        model = onnx.load_model_from_string(really(network, whole_scale))
        (sub_pixel,) = [node for node in model.graph.node if node.op_type == "Conv"][-1:]
        (bias,) = [each for each in model.graph.initializer if each.name == sub_pixel.input[2]]
        values = numpy_helper.to_array(bias).copy()
        values[-1] += by
        bias.CopyFrom(numpy_helper.from_array(values, bias.name))
        return model.SerializeToString()

    monkeypatch.setattr(exporting, "graph", graph)


@pytest.mark.parametrize("whole_scale", [False, True])
def test_a_file_that_differs_is_not_there(tmp_path, monkeypatch, whole_scale):
    network = network_of("compact", residual=False, border=[9, 2])
    out = tmp_path / "m.onnx"
    made = export(network, out, whole_scale)
    assert (made.path, made.whole_scale) == (out, 2 if whole_scale else None)
    assert made.engine.startswith("ONNX Runtime 1.")
    assert made.difference < 1e-5
    assert out.read_bytes() == graph(network, whole_scale)
    for by in (2e-4, -1.0, np.nan, np.inf):
        with monkeypatch.context() as patch:
            spoilt(patch, by)
            words = "nan" if not np.isfinite(by) else "0.0002" if by == 2e-4 else ""
            with pytest.raises(
                FastupError, match=rf"m\.onnx: not written: .* by up to {words}.*expected at most 0\.0001"
            ):
                export(network, out, whole_scale)
        assert os.listdir(tmp_path) == ["m.onnx"]  # the one that was there
        assert out.read_bytes() == graph(network, whole_scale)
    spoilt(monkeypatch, 5e-5)
    assert export(network, out, whole_scale).difference == pytest.approx(5e-5, rel=0.2)


def test_no_engine_to_check_with(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FastupError, match=r"ONNX Runtime is not installed.*fastup\[upscale\]"):
        export(network_of("compact"), tmp_path / "m.onnx")
    assert os.listdir(tmp_path) == []


def test_layers_that_are_not_known(tmp_path):
    network = network_of("compact")
    for layer, words in (
        (keras.layers.Conv2D(2, 3, strides=2), r"layer odd has {'strides': \(2, 2\), 'padding': 'valid'}"),
        (keras.layers.Conv2D(2, 3, padding="same", activation="gelu"), "layer odd has the activation gelu"),
        (keras.layers.PReLU(), "layer odd is a PReLU, which cannot be exported as it is set"),
        (keras.layers.Softmax(), "layer odd is a Softmax, which cannot be exported"),
    ):
        layer.name = "odd"
        inputs = keras.Input((8, 8, 3))
        other = keras.Model(inputs, layer(inputs))
        other.__dict__.update(
            settings=network.settings, scale=network.scale, border=(0, 0), receptive=(0, 0), widest=1, pitch=1
        )
        other.__dict__["folded"] = lambda other=other: other
        with pytest.raises(FastupError, match=words):
            graph(other)


def test_a_mixed_precision_is_exported_as_float32(tmp_path):
    with precision("bfloat16"):
        network = network_of("compact")
    assert any(layer.compute_dtype == "bfloat16" for layer in network.layers)
    assert export(network, tmp_path / "m.onnx").difference < 1e-5


def test_the_command(trained, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "best.keras").write_bytes((trained / "best.keras").read_bytes())
    code, out, err = run("export", "best.keras")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    assert "best.onnx" in words
    assert "scale 9/4 x 2 (vertical, horizontal) opset 17 difference" in words
    assert (tmp_path / "best.onnx").read_bytes() == (trained / "best.onnx").read_bytes()
    code, out, _ = run("export", "best.keras", "--whole-scale")
    assert code == 0
    assert "best-2x.onnx" in out
    assert read_metadata("best-2x.onnx")["whole_scale"] == 2
    assert run("export", "best.keras", "other.onnx")[0] == 0
    assert sorted(contents_of(tmp_path)) == ["best-2x.onnx", "best.keras", "best.onnx", "other.onnx"]
    code, _, err = run("export", "best.keras", "best.keras")
    assert (code, "OUT is best.keras, expected a name that ends in .onnx" in " ".join(err.split())) == (2, True)
    code, _, err = run("export", "best.onnx", "again.onnx")
    assert (code, "best.onnx: exported already, expected the .keras file" in " ".join(err.split())) == (1, True)
    assert run("export", "none.keras")[0] == 1


def test_a_network_without_a_name():
    with pytest.raises(ValueError, match="say where to write it"):
        export(network_of("compact"))
    with pytest.raises(OptionError, match=r"OUT is m\.pb, expected a name that ends in \.onnx"):
        export(network_of("compact"), "m.pb")


def test_training_that_ends_between_the_two_leaves_no_file_of_another_model(copied, monkeypatch):
    monkeypatch.setattr(fit._Watch, "_validate", lambda watch: (99.0, 20.0))

    really = os.replace

    def interrupted(part, path):
        if path.name == "best.onnx":
            raise KeyboardInterrupt
        really(part, path)

    run = prepare(copied, Config(epochs=3))
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit.fit(run)
    folder = copied / "models" / "compact"
    assert load(folder / "best.keras").settings["trained"]["epoch"] == 3
    assert not (folder / "best.onnx").exists()
    run = prepare(copied, Config(epochs=3))
    assert run.state["epoch"] == 2
    fit.fit(run)
    assert check_whole(folder)["best_epoch"] == 3


def test_training_without_onnx(copied, monkeypatch):
    really = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnx" else really(name))
    monkeypatch.setattr(fit._Watch, "_validate", lambda watch: (99.0, 20.0))
    run = prepare(copied, Config(epochs=3))
    assert run.notes == ["onnx is not installed, so there will be no best.onnx: pip install 'fastup[train]'"]
    fit.fit(run)
    assert not (run.folder / "best.onnx").exists()  # the one there was of an earlier best.keras
    assert load(run.folder / "best.keras").settings["trained"]["epoch"] == 3
