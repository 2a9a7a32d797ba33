"""The recipe that a model carries: SD frames get the colours that it was trained in first, once, whatever runs it."""

import json
import shutil

import keras
import numpy as np
import onnxruntime
import pytest

import fastup
from fastup.errors import DataError
from fastup.networks.models import Network
from fastup.pairs.colour import Colour, Curve, has_recipe_done
from fastup.pairs.folder import find_pairs
from fastup.train.config import Config
from fastup.train.prepare import prepare
from fastup.train.run import facts_of
from fastup.upscale import film
from fastup.upscale.engines import ENGINES
from fastup.upscale.evaluate import evaluate
from fastup.upscale.export import export, graph
from fastup.upscale.model import Model
from fastup.upscale.onnx_file import read_metadata
from fastup.upscale.upscaler import Upscaler

SETTINGS = {
    "model": "compact", "features": 6, "depth": 2, "scale": [[9, 4], [2, 1]], "border": [18, 18],
    "trim": [0, 0, 0, 0], "input_trim": [1, 2, 4, 0], "black_level": "edge",
    "input_white": 1023, "target_white": 1023, "pixel_aspect": [1, 1], "transfer": None, "colorimetric": None,
}  # fmt: skip
BENT = (
    Curve((0.0, 0.3, 0.7, 1.0), (0.02, 0.4, 0.72, 0.97)),
    Curve((0.0, 1.0), (0.0, 1.1)),
    Curve((0.1, 1.0), (0.0, 0.9)),
)
COLOURS = {
    "curves": Colour(curves=BENT),
    "matrix": Colour(matrix=((1.05, -0.1, 0.05, 0.01), (0.1, 0.9, 0.0, -0.02), (0.0, 0.05, 0.95, 0.0))),
}
TENTH = 0.05 / 1023  # of half a 10-bit code


def _network(colour=None, **settings):
    keras.utils.set_random_seed(0)
    network = Network(SETTINGS | settings | ({} if colour is None else {"colour": colour.as_dict()}))
    rng = np.random.default_rng(0)
    network.set_weights([w + 0.05 * rng.normal(size=w.shape).astype(np.float32) for w in network.get_weights()])
    return network


def _frame(size=(20, 13), seed=0):
    return np.random.default_rng(seed).random((*size, 3), np.float32)


def _changed(frame, colour):
    return colour.apply(frame).clip(0, 1)


@pytest.fixture(scope="module", params=list(COLOURS))
def model(request, tmp_path_factory):
    """A recipe, and a model that has it, as files: ``m.keras`` and ``m.onnx``."""
    folder, colour = tmp_path_factory.mktemp("recipe"), COLOURS[request.param]
    network = _network(colour)
    network.save(folder / "m.keras")
    (folder / "m.onnx").write_bytes(graph(network))
    return colour, folder


@pytest.mark.parametrize("engine", list(ENGINES))
def test_frames_get_their_colours_first(model, engine):
    colour, folder = model
    ours, plain = Upscaler(folder / "m.keras", engine), Upscaler(_network(), engine)
    expected = plain(_changed(_frame(), colour))
    assert np.abs(expected - plain(_frame())).max() > 0.01
    np.testing.assert_allclose(ours(_frame()), expected, atol=1e-6)
    codes = np.round(1023 * _frame()).astype(np.uint16)
    exact = 1023 * plain(_changed(codes / np.float32(1023), colour))
    assert np.abs(ours(codes) - exact).max() <= 0.501
    if engine != "keras":
        np.testing.assert_array_equal(Upscaler(folder / "m.onnx", engine)(_frame()), ours(_frame()))


def test_frames_that_have_them_are_left_alone(model):
    (ours,) = Upscaler(model[1] / "m.onnx").stream([_frame()], matched=True)
    np.testing.assert_allclose(ours, Upscaler(_network(), "openvino")(_frame()), atol=TENTH)


@pytest.mark.parametrize("self_ensemble", [False, True])
def test_strips_are_the_whole(model, self_ensemble):
    notes = []
    tall = _frame((404, 13))
    strips = Upscaler(model[1] / "m.onnx", "openvino", self_ensemble, memory=1, on_note=notes.append)(tall)
    whole = Upscaler(model[1] / "m.onnx", "openvino", self_ensemble)(tall)
    assert "are made in strips of" in notes[0]
    np.testing.assert_allclose(strips, whole, atol=TENTH)


@pytest.mark.parametrize("scale", [[[9, 4], [2, 1]], [[2, 1], [2, 1]]])
@pytest.mark.parametrize("kind", list(COLOURS))
def test_other_programs_find_it_in_the_file(kind, scale, tmp_path):
    network = _network(COLOURS[kind], scale=scale, input_trim=[0, 0, 0, 0])
    made = export(network, tmp_path / "m.onnx", whole_scale=True)
    assert (made.whole_scale, made.colour) == (2, COLOURS[kind])
    picture = _frame((16, 12))
    given = np.pad(picture, ((0, 16 * scale[0][0] // scale[0][1] // 2 - 16), (0, 0), (0, 0)))
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    found = session.run(None, {"input": given.transpose(2, 0, 1)[np.newaxis]})[0][0].transpose(1, 2, 0)
    np.testing.assert_allclose(found.clip(0, 1), Upscaler(network)(picture), atol=1e-4)
    with pytest.raises(DataError, match="made by --whole-scale for other programs"):
        Upscaler(tmp_path / "m.onnx")


def test_without_a_recipe_files_are_as_before():
    network = _network(scale=[[2, 1], [2, 1]])
    assert Model.of(network).colour is None
    assert graph(network, whole_scale=True) == graph(network)
    assert read_metadata(graph(_network(), whole_scale=True))["whole_scale"] == 2


def test_a_recipe_that_is_none_is_refused(tmp_path):
    network = _network(COLOURS["matrix"])
    network.settings["colour"] = {
        "kind": "matrix",
        "matrix": [[1, 0, 0, 0]] * 3,
        "residual": None,
        "seen": 0,
        "why": "",
    }
    (tmp_path / "m.onnx").write_bytes(graph(network))
    network.save(tmp_path / "m.keras")
    for name in ("m.onnx", "m.keras"):
        with pytest.raises(DataError, match=rf"{name}: its settings are not those of a model: the matrix is not"):
            Upscaler(tmp_path / name)


# -- sets, runs, films -----------------------------------------------------------------------------------------------


def _match(folder, colour, to="hd"):
    (folder / "match.json").write_text(json.dumps({"colour": colour.as_dict(), "to": to, "frames": []}))


def test_scores_are_of_inputs_as_they_are(trained, small, tmp_path, run):
    """The inputs of a set that was matched --to hd have the colours already; of another that is said."""
    network = fastup.upscale.model.load(trained / "best.keras")
    network.settings["colour"] = COLOURS["curves"].as_dict()
    network.save(tmp_path / "m.keras")
    for ours, theirs in zip(
        evaluate(tmp_path / "m.keras", small), evaluate(trained / "best.keras", small), strict=True
    ):
        assert ours.psnr == pytest.approx(theirs.psnr, abs=1e-3)
        assert ours.psnr_bicubic == theirs.psnr_bicubic
    data = tmp_path / "data"
    shutil.copytree(small / "evaluation", data / "evaluation")
    for said in (True, False):
        code, out, _ = run("evaluate", tmp_path / "m.keras", data)
        assert (code, "are taken to have the colours of the targets" in out) == (0, said)
        _match(data, COLOURS["matrix"])


def test_a_run_takes_the_recipe_of_its_set_and_goes_on_with_no_other(copied):
    pairs = find_pairs(copied / "train")
    assert facts_of(pairs)["colour"] is None
    _match(copied, COLOURS["curves"], to="sd")
    assert facts_of(pairs)["colour"] is None
    _match(copied, COLOURS["curves"])
    made = prepare(copied, Config(), "new")
    assert made.network.settings["colour"] == facts_of(pairs)["colour"] == COLOURS["curves"].as_dict()
    made.state["steps"] = 1  # a run of which no step is done is none
    made.save("last")
    with pytest.raises(
        DataError, match=r"a run with other frames is here: colour curves \w{8} \(was as they are\); give"
    ):
        prepare(copied, Config(epochs=3))
    _match(copied, COLOURS["matrix"])
    with pytest.raises(DataError, match=r"colour matrix \w{8} \(was curves \w{8}\)"):
        prepare(copied, Config(), "new")
    (copied / "match.json").unlink()
    with pytest.raises(DataError, match=r"colour as they are \(was curves \w{8}\)"):
        prepare(copied, Config(), "new")


def test_validation_in_other_colours_is_refused(copied, small, tmp_path):
    shutil.copytree(small / "validation", tmp_path / "other")
    _match(copied, COLOURS["matrix"])
    with pytest.raises(
        DataError, match=r"other: its inputs are not in the colours of .*train, expected the same match"
    ):
        prepare(copied, Config(validation=str(tmp_path / "other")), "new")


def test_a_film_gets_the_colours_but_the_inputs_of_a_set_have_them(model, tmp_path):
    colour, folder = model
    data, tape = tmp_path / "data", tmp_path / "tape"
    (alpha := data / "train" / "Alpha" / "reel").mkdir(parents=True)
    tape.mkdir()
    _match(data, colour)
    for place in (alpha, tape):
        fastup.write(place / "f1.dpx", _frame())
    assert has_recipe_done(alpha / "f1.dpx")
    assert not has_recipe_done(tape)
    seen = {}
    for place in (alpha, tape):
        notes = []
        film.upscale(folder / "m.onnx", place, tmp_path / "out" / place.name, on_note=notes.append)
        seen[place.name] = next(note for note in notes if "colours" in note)
        (ours,) = Upscaler(folder / "m.onnx").stream([fastup.read(place / "f1.dpx")], matched=place == alpha)
        np.testing.assert_array_equal(fastup.read(tmp_path / "out" / place.name / "f1.dpx"), ours)
    assert seen["reel"] == (
        "frames have the colours of the targets already, as inputs of a set that was matched --to hd"
    )
    assert seen["tape"] == (f"frames get the colours of the targets first, by the recipe of the model: {colour.words}")
