"""The models that come with fastup: their files, their names, and the commands that take them."""

import json
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from setuptools.dist import Distribution
from test_cli import fails
from test_layout import loaded

import fastup
from fastup import demo
from fastup._scales import bicubic
from fastup.errors import OptionError
from fastup.footage.degrade import degrade
from fastup.upscale import shipped
from fastup.upscale.metrics import psnr
from fastup.upscale.onnx_file import read_metadata

ROOT = Path(__file__).parents[1]
FILES = sorted(f"{name}{suffix}" for name in ("cel-sd", "cel-2x") for suffix in (".keras", ".onnx"))


def test_names_and_files():
    sd, twice = (Fraction(9, 4), Fraction(2)), (Fraction(2), Fraction(2))
    folder = Path(fastup.__file__).parent / "weights"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    for name in FILES:
        assert (folder / name).stat().st_size < 300_000
    assert shipped.file("cel", sd, keras=True) == folder / "cel-sd.keras"
    assert shipped.file("cel", twice, keras=False) == folder / "cel-2x.onnx"
    assert shipped.file("cel-sd", twice, keras=False) == folder / "cel-sd.onnx"
    assert shipped.file("cel", (Fraction(3), Fraction(3)), keras=True) == folder / "cel-2x.keras"
    for other in ("./cel", "cel.onnx", Path("cel"), "/weights/cel", "Cel", ""):
        assert shipped.file(other, sd) == other
    with pytest.raises(OptionError, match=r"^cel is two models, expected one of them: cel-sd, .*; cel-2x, "):
        shipped.file("cel")


@pytest.mark.parametrize(
    ("size", "name"),
    [
        ((480, 720), "cel-sd"), ((486, 720), "cel-sd"), ((480, 704), "cel-sd"), ((480, 640), "cel-2x"),
        ((576, 720), "cel-2x"), ((488, 720), "cel-2x"), ((478, 720), "cel-2x"), ((1080, 1920), "cel-2x"),
    ],
)  # fmt: skip
def test_a_scale_goes_with_a_size(size, name):
    assert shipped.scale_for(size) == shipped.SCALES[name]


@pytest.mark.parametrize("name", shipped.SCALES)
def test_both_files_are_one_model_that_takes_any_frames(name):
    from fastup.upscale.export import graph
    from fastup.upscale.model import load

    network = load(shipped.file(name, keras=True))
    onnx = shipped.file(name, keras=False).read_bytes()
    assert graph(network) == onnx
    settings = read_metadata(onnx)["settings"]
    assert shipped.SCALES[name] == network.scale
    expected = {"trim": [0] * 4, "input_trim": [0] * 4, "border": [0, 0], "black_level": "edge", "pixel_aspect": [1, 1]}
    expected |= {"input_white": 1023, "target_white": 1023, "training": None, "validation": None, "colour": None}
    assert {key: settings[key] for key in expected} == expected
    assert str(ROOT) not in str(settings)
    assert not network.compiled


def test_a_wheel_has_them(monkeypatch):
    monkeypatch.chdir(ROOT)
    distribution = Distribution()
    distribution.parse_config_files()
    patterns = distribution.package_data["fastup"]
    assert sorted(path.name for pattern in patterns for path in Path("fastup").glob(pattern)) == FILES


@pytest.fixture(scope="module")
def taped():
    """A frame that was drawn, and by scale what tape makes of it."""
    ((target),) = demo.clip(seed=77, shots=1, frames=1, size=(144, 192))
    inputs = {name: degrade(target, size, chroma=1.4) for name, size in (("cel-sd", (64, 96)), ("cel-2x", (72, 96)))}
    return target, inputs


@pytest.mark.parametrize("name", shipped.SCALES)
def test_they_beat_bicubic_on_tape_and_on_clean_frames(name, taped):
    target, inputs = taped
    scale = shipped.SCALES[name]
    clean = degrade(target, inputs[name].shape[:2], filter="lanczos", softness=0, peaking=0, noise=0)
    for frame, least in ((inputs[name], 0.5), (clean, 0.7)):
        plain = psnr(np.clip(bicubic(frame, scale), 0, 1), target)
        assert psnr(fastup.Upscaler(name, engine="onnxruntime")(frame), target) > plain + least


def write_png(path, codes):
    import OpenImageIO as oiio

    image = oiio.ImageOutput.create(str(path))
    image.open(str(path), oiio.ImageSpec(codes.shape[1], codes.shape[0], 3, str(codes.dtype)))
    image.write_image(codes)
    image.close()


def test_upscale_without_a_model_needs_no_keras_and_takes_any_depth(taped, tmp_path, run):
    target, inputs = taped
    frame = inputs["cel-2x"]
    for bits, dtype in ((8, np.uint8), (16, np.uint16)):
        (tmp_path / f"{bits}").mkdir()
        write_png(tmp_path / f"{bits}" / "f.png", np.rint(frame * (2**bits - 1)).astype(dtype))
    code = """
import sys
from fastup import cli
sys.argv = ["fastup", "upscale", *sys.argv[1:]]
try:
    cli.main()
except SystemExit as end:
    assert not end.code, end.code
"""
    assert not loaded(code, str(tmp_path / "8"), str(tmp_path / "hd8")) & {"keras", "tensorflow"}
    code, out, err = run("upscale", "cel", tmp_path / "16", tmp_path / "hd16")
    assert code == 0, err
    assert out.startswith("model: cel-2x, ")
    plain = psnr(np.clip(bicubic(frame, shipped.SCALES["cel-2x"]), 0, 1), target)
    for bits in (8, 16):
        assert psnr(fastup.read(tmp_path / f"hd{bits}" / "f.dpx", "float32"), target) > plain + 0.5


def test_a_path_is_no_name_and_what_is_missing_is_said(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("cel").write_bytes(b"no model")
    Path("in").mkdir()
    fastup.write(Path("in/f.dpx"), np.zeros((8, 8, 3), np.uint16))
    fails(run("upscale", "./cel", "in", "out"), 1, "cel: not a model")
    fails(run("upscale", "in"), 2, "Missing argument 'INPUT'")
    fails(run("upscale", "best.onnx", "out"), 2, "INPUT is best.onnx, a model by its name")


def test_models_tells_of_them(run):
    code, out, err = run("models", "cel-sd", "--json")
    assert code == 0, err
    (row,) = json.loads(out)
    assert (row["model"], row["scale"], row["features"]) == ("cel-sd", [[9, 4], [2, 1]], 24)


def test_evaluate_goes_by_the_data(run, small, tmp_path):
    code, out, err = run("evaluate", "cel", small, "--engine", "onnxruntime")
    assert code == 0, err
    assert "mean" in out
    (tmp_path / "Beta").mkdir()
    fails(run("evaluate", "cel", tmp_path), 2, "cel is two models")


def test_export_writes_here(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run("export", "cel")
    assert code == 0, err
    for name in shipped.SCALES:
        assert (tmp_path / f"{name}.onnx").read_bytes() == shipped.file(name, keras=False).read_bytes()
    fails(run("export", "cel", "one.onnx"), 2, "cel is two models")


def test_a_run_begins_with_it(data):
    from fastup.train.config import Config
    from fastup.train.prepare import prepare
    from fastup.upscale.model import load

    run = prepare(data, Config(), begin="cel")
    begun = run.network.settings["trained"]["from"]
    assert begun["model"] == str(shipped.file("cel-sd", keras=True))
    assert begun["taken"].startswith("all ")
    for mine, its in zip(run.network.get_weights(), load(begun["model"]).get_weights(), strict=True):
        np.testing.assert_array_equal(mine, its)


def test_pictures_follow_from_their_seeds(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "weights")
    import styles

    pictures = [styles.picture((0, 0, n), (36, 48)) for n in range(12)]
    for picture in pictures:
        assert picture.shape == (36, 48, 3)
        assert picture.dtype == np.float32
        assert picture.min() >= 0
        assert picture.max() <= 1
        assert picture.std() > 0
    np.testing.assert_array_equal(pictures[3], styles.picture((0, 0, 3), (36, 48)))
    assert not np.array_equal(pictures[3], pictures[4])
    assert fastup._cartoon.Cel.pen == 1  # as the demo draws
    sys.modules.pop("styles")
