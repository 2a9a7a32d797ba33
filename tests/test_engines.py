"""What runs a model: all give what Keras gives, the fastest that works is taken, and what does not work is said."""

import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import onnx
import pytest

import fastup
from fastup import Header
from fastup.errors import DataError, FastupError, OptionError
from fastup.networks.models import Network
from fastup.upscale import engines, timing
from fastup.upscale.engines import ENGINES, Keras, OnnxRuntime, OpenVino, opened
from fastup.upscale.evaluate import evaluate
from fastup.upscale.export import graph
from fastup.upscale.model import Model
from fastup.upscale.onnx_file import DIGEST, KEY, signed
from fastup.upscale.upscaler import Upscaler

SETTINGS = {
    "model": "compact", "features": 6, "depth": 2, "scale": [[9, 4], [2, 1]], "border": [18, 18],
    "trim": [0, 0, 0, 0], "input_trim": [1, 2, 4, 0], "black_level": "edge",
    "input_white": 1023, "target_white": 1023, "pixel_aspect": [1, 1], "transfer": None, "colorimetric": None,
}  # fmt: skip
TENTH = 0.05 / 1023  # of half a 10-bit code


def _network(seed=0, **settings):
    keras.utils.set_random_seed(seed)
    network = Network(SETTINGS | settings)
    rng = np.random.default_rng(seed)
    network.set_weights([w + 0.05 * rng.normal(size=w.shape).astype(np.float32) for w in network.get_weights()])
    return network


@pytest.fixture(scope="module")
def network():
    return _network()


@pytest.fixture(scope="module")
def files(network, tmp_path_factory):
    """The network as m.keras and as m.onnx."""
    folder = tmp_path_factory.mktemp("models")
    network.save(folder / "m.keras")
    (folder / "m.onnx").write_bytes(graph(network))
    return {kind: folder / f"m.{kind}" for kind in ("keras", "onnx")}


def _frame(size=(20, 13), seed=0):
    return np.random.default_rng(seed).random((*size, 3), np.float32)


def _codes(size=(20, 13), seed=0):
    return np.random.default_rng(seed).integers(0, 1024, (*size, 3), np.uint16)


# -- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
@pytest.mark.parametrize("black_level", ["edge", 64])
def test_engines_give_what_keras_gives(engine, black_level):
    """Of pictures of several sizes, one after the other, and again."""
    network = _network(black_level=black_level)
    ours, theirs = Upscaler(network, "keras"), Upscaler(network, engine)
    for size in ((20, 13), (8, 4), (48, 30), (20, 13)):
        result = theirs(_frame(size))
        assert (result.dtype, result.shape) == (np.float32, ((size[0] - 4) // 4 * 9, 2 * (size[1] - 3), 3))
        np.testing.assert_allclose(result, ours(_frame(size)), atol=TENTH, rtol=0)
    assert np.abs(theirs(_codes()).astype(int) - ours(_codes())).max() <= 1


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_keras_file_and_an_onnx_file_give_the_same(files, engine):
    results = [Upscaler(file, engine)(_frame()) for file in files.values()]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("engine", list(ENGINES))
def test_as_many_calls_at_a_time_as_it_says(files, engine):
    upscaler = Upscaler(files["keras"], engine, parallel=3)
    assert upscaler.engine.parallel == (3 if engine == "openvino" else 1)
    ours = Upscaler(files["keras"], "keras")
    ready = [upscaler.prepared(n, _frame(seed=n)) for n in range(12)]
    with ThreadPoolExecutor(upscaler.engine.parallel) as pool:
        made = list(pool.map(upscaler.run, ready))
    for n, result in enumerate(made):
        np.testing.assert_allclose(upscaler.finished(ready[n], result, None), ours(_frame(seed=n)), atol=TENTH)
        assert not any(np.shares_memory(result, other) for other in made[:n])


def test_a_network_may_change():
    network = _network()
    upscaler, snapshot = Upscaler(network), Upscaler(network, "openvino")
    assert isinstance(upscaler.engine, Keras)
    assert upscaler.engine_words.endswith(": the network may change")
    before = upscaler(_frame())
    network.set_weights([0.5 * weight for weight in network.get_weights()])
    assert np.abs(upscaler(_frame()) - before).max() > 1 / 1023
    np.testing.assert_allclose(snapshot(_frame()), before, atol=TENTH, rtol=0)


def test_scores_are_those_of_keras(trained, small, tmp_path):
    best = trained / "best.keras"
    (tmp_path / "m.onnx").write_bytes(graph(Model.of(best).network))
    theirs, ours = (evaluate(model, small) for model in (tmp_path / "m.onnx", Upscaler(best, "keras")))
    for a, b in zip(theirs, ours, strict=True):
        assert (a.frame, a.psnr_bicubic, a.ssim_y_bicubic) == (b.frame, b.psnr_bicubic, b.ssim_y_bicubic)
        assert a.psnr == pytest.approx(b.psnr, abs=1e-3)


# -- which one -------------------------------------------------------------------------------------------------------


@pytest.fixture
def have(monkeypatch):
    """A function: only these engines are installed."""
    return lambda *names: monkeypatch.setattr(engines, "installed", names.__contains__)


FASTER = "OpenVINO, which is faster, is not installed: pip install 'fastup[upscale]'"


def test_keras_computes_in_float32_on_any_card(monkeypatch):
    from tensorflow import config

    seen, engine = [], Upscaler(_network()).engine
    run = engine.network.predict_on_batch

    def predict_on_batch(picture):
        seen.append(config.experimental.tensor_float_32_execution_enabled())
        return run(picture)

    monkeypatch.setattr(engine.network, "predict_on_batch", predict_on_batch)
    before = config.experimental.tensor_float_32_execution_enabled()
    engine.run(np.zeros((4, 4, 3), np.float32))
    assert seen == [False]
    assert config.experimental.tensor_float_32_execution_enabled() == before


def test_weights_outlive_a_call_that_fails_under_jax():
    """There Keras has taken the weights from what the call gave before it is known that it gave nothing."""

    class Variable:
        value = "a weight"

        def assign(self, value):
            self.value = value

    class Taken:
        variables = (Variable(), Variable())

        def predict_on_batch(self, picture):
            for each in self.variables:
                each.assign("RESOURCE_EXHAUSTED")
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 5.17GiB")

    engine = Upscaler(_network()).engine
    engine.network, engine._backend = Taken(), "jax"
    with pytest.raises(MemoryError):
        engine.run(np.zeros((4, 4, 3), np.float32))
    assert [each.value for each in Taken.variables] == ["a weight"] * 2


@pytest.mark.parametrize(
    ("there", "kind", "engine", "why"),
    [
        (ENGINES, "onnx", OpenVino, "the fastest that is installed"),
        (ENGINES, "keras", OpenVino, "the fastest that is installed"),
        (("openvino",), "onnx", OpenVino, "the fastest that is installed"),
        (("onnxruntime",), "onnx", OnnxRuntime, FASTER),
        (("keras", "onnxruntime"), "keras", Keras, FASTER),
        (("keras",), "keras", Keras, FASTER),
    ],
)
def test_the_fastest_on_the_processor(files, have, there, kind, engine, why):
    have(*there)
    upscaler = Upscaler(files[kind])
    assert type(upscaler.engine) is engine
    assert upscaler.engine_words == f"{upscaler.engine.words}: {why}"
    assert re.fullmatch(rf"{engine.title} \d[\w.]* (with \w+ )?on the CPU", upscaler.engine.words)


def test_no_engine_for_an_onnx(files, have):
    have("keras")
    with pytest.raises(FastupError, match=r"m\.onnx: no engine runs it: .*pip install 'fastup\[upscale\]'$"):
        Upscaler(files["onnx"])


@pytest.mark.parametrize(("name", "extra"), [("keras", "train"), ("openvino", "upscale"), ("onnxruntime", "upscale")])
def test_one_that_is_asked_for_and_not_installed(files, have, name, extra):
    have(*(set(ENGINES) - {name}))
    with pytest.raises(
        OptionError, match=rf"engine is {name}, but .* is not installed: pip install 'fastup\[{extra}\]'$"
    ):
        Upscaler(files["keras"], name)


def test_what_is_no_engine_for_it(files, run, tmp_path):
    with pytest.raises(
        OptionError, match=r"engine is 'tensorrt', expected auto or one of keras, openvino, onnxruntime"
    ):
        Upscaler(files["onnx"], "tensorrt")
    with pytest.raises(OptionError, match=r"m\.onnx: Keras runs \.keras files"):
        Upscaler(files["onnx"], "keras")
    fastup.write(tmp_path / "f.dpx", _codes())
    code, _, err = run("upscale", files["onnx"], tmp_path / "f.dpx", tmp_path / "out", "--engine", "keras")
    assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "out").exists()


def test_a_gpu_of_keras_is_taken(files, monkeypatch):
    monkeypatch.setattr("fastup.networks.memory.on_gpu", lambda: True)
    upscaler = Upscaler(files["keras"])
    assert isinstance(upscaler.engine, Keras)
    assert re.fullmatch(r"Keras .* on a GPU: faster than the CPU", upscaler.engine_words)


def test_an_engine_that_does_not_start_is_passed_over_and_said(files, monkeypatch, have):
    monkeypatch.setattr(engines, "openvino_core", engines.openvino_core.__wrapped__)
    monkeypatch.setitem(sys.modules, "openvino", None)  # importing it is an ImportError
    have(*ENGINES)
    upscaler = Upscaler(files["onnx"])
    assert isinstance(upscaler.engine, OnnxRuntime)
    assert re.search(r"on the CPU: OpenVINO cannot be used: .*openvino", upscaler.engine_words)
    with pytest.raises(FastupError, match=r"m\.onnx: OpenVINO cannot be used: .*openvino"):
        Upscaler(files["onnx"], "openvino")
    have("openvino")
    with pytest.raises(FastupError, match=r"m\.onnx: no engine runs it: OpenVINO cannot be used: .*openvino"):
        Upscaler(files["onnx"])


@pytest.fixture
def runtime(monkeypatch):
    """ONNX Runtime with a graphics card that is none: what a session gives is off by `off`, which `None` has fail."""
    import onnxruntime

    fake = SimpleNamespace(
        off=0.0, started=[], SessionOptions=onnxruntime.SessionOptions, __spec__=onnxruntime.__spec__
    )
    fake.get_available_providers = lambda: ["CUDAExecutionProvider", "AzureExecutionProvider", "CPUExecutionProvider"]

    class Session(onnxruntime.InferenceSession):
        def __init__(self, graph, options, providers):
            fake.started.append(providers)
            super().__init__(graph, options, ["CPUExecutionProvider"])
            self.given = "CUDA" in str(providers)

        def get_providers(self):
            cuda = self.given and fake.off is not None
            return ["CUDAExecutionProvider"] * cuda + ["CPUExecutionProvider"]

        def run(self, *given):
            off = np.float32(fake.off or 0) if self.given else 0
            return [result + off for result in super().run(*given)]

    fake.InferenceSession = Session
    monkeypatch.setitem(sys.modules, "onnxruntime", fake)
    return fake


def test_a_graphics_card_is_taken(files, runtime):
    for kind in files:
        upscaler = Upscaler(files[kind])
        assert isinstance(upscaler.engine, OnnxRuntime)
        assert re.fullmatch(r"ONNX Runtime \S+ on CUDA: faster than the CPU", upscaler.engine_words)
        ((name, told),) = runtime.started[0]
        assert (name, told["use_tf32"]) == ("CUDAExecutionProvider", "0")
        np.testing.assert_allclose(upscaler(_frame()), Upscaler(files["keras"], "keras")(_frame()), atol=TENTH)


@pytest.mark.parametrize(
    ("off", "why"),
    [
        (0.2 / 1023, r"its result is 0\.2 10-bit codes off the CPU's"),
        (np.nan, "nan"),
        (None, "libraries or its device"),
    ],
)
def test_a_graphics_card_that_is_not_exact_or_not_there_is_not(files, runtime, have, off, why):
    runtime.off = off
    upscaler = Upscaler(files["onnx"])
    assert isinstance(upscaler.engine, OpenVino)
    assert re.search(f"CUDA cannot be used: .*{why}", upscaler.engine_words)
    have("onnxruntime")
    upscaler = Upscaler(files["onnx"])
    assert (upscaler.engine.on_gpu, upscaler.engine.words.endswith("on the CPU")) == (False, True)
    assert re.search(f"CUDA cannot be used: .*{why}", upscaler.engine_words)
    same = Upscaler(files["onnx"], "onnxruntime")
    assert re.search(f"on the CPU: as asked; CUDA cannot be used: .*{why}", same.engine_words)
    np.testing.assert_array_equal(same(_frame()), upscaler(_frame()))


# -- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", list(ENGINES))
def test_errors_of_engines(files, engine, monkeypatch):
    made, _ = opened(Model.of(files["keras"]), engine)
    picture = np.zeros((3, 16, 10) if made.planes else (16, 10, 3), np.float32)

    def failing(words):
        def run(picture):
            raise RuntimeError(words)

        monkeypatch.setattr(made, "_run", run)

    failing(
        "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Failed to allocate memory for requested buffer of size 99\nat"
    )
    with pytest.raises(MemoryError, match=r"of size 99$"):
        made.run(picture)
    failing("\n the device was unplugged \nat line 7")
    with pytest.raises(FastupError, match=rf"m\.keras: {made.title} .* failed: the device was unplugged$"):
        made.run(picture)


def _lying(path, **settings):
    """A file of the network whose metadata, and their digest, say something else."""
    model = onnx.load_model_from_string(graph(_network()))
    (entry,) = (each for each in model.metadata_props if each.key == KEY)
    about = json.loads(entry.value)
    about["settings"].update(settings)
    entry.value = json.dumps(about)
    kept = [each for each in model.metadata_props if each.key != DIGEST]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    path.write_bytes(signed(model.SerializeToString()))
    return path


def test_a_file_that_is_replaced_meanwhile_is_one_or_the_other(tmp_path, monkeypatch):
    """As training does it. What is run is what was checked."""
    path, first, second = tmp_path / "m.onnx", graph(_network()), graph(_network(features=2))
    assert first != second
    path.write_bytes(first)
    read = Path.read_bytes

    def read_bytes(self):
        found = read(self)
        path.write_bytes(second)
        return found

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    assert Model.of(path).onnx == first


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_file_whose_scale_is_another(tmp_path, engine):
    upscaler = Upscaler(_lying(tmp_path / "m.onnx", scale=[[9, 4], [3, 1]]), engine)
    expected = r"m\.onnx: makes 20x36 of 10x16, expected 30x36 by its scale, 9/4 x 3 \(vertical x horizontal\)$"
    with pytest.raises(FastupError, match=expected):
        upscaler(_frame())


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime"])
def test_a_file_whose_graph_has_other_cells(tmp_path, engine):
    path = _lying(tmp_path / "m.onnx", scale=[[2, 1], [2, 1]])
    with pytest.raises(FastupError, match=rf"m\.onnx: {ENGINES[engine].title} .*(failed|cannot be used): .") as caught:
        Upscaler(path, engine)(_frame((18, 13)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"input_trim": "none"}, {"input_trim": [0, 0, 0]}, {"pixel_aspect": [1, 0]}, {"pixel_aspect": None},
        {"input_white": "1023"}, {"target_white": 0}, {"black_level": "grey"}, {"black_level": None},
        {"scale": [[1, 2], [2, 1]]}, {"border": [5, 18]}, {"levels": 7},
    ],
    ids=str,
)  # fmt: skip
def test_a_file_whose_settings_cannot_be(tmp_path, settings):
    with pytest.raises(FastupError, match=r"m\.onnx: .*settings") as caught:
        Upscaler(_lying(tmp_path / "m.onnx", **settings))
    assert "\n" not in str(caught.value)


def test_a_file_for_programs_that_know_whole_scales(network, tmp_path):
    (tmp_path / "m.onnx").write_bytes(graph(network, whole_scale=True))
    with pytest.raises(DataError, match=r"m\.onnx: made by --whole-scale for other programs"):
        Upscaler(tmp_path / "m.onnx")


def test_what_is_no_model(tmp_path):
    path = tmp_path / "m.onnx"
    with pytest.raises(FileNotFoundError):
        Upscaler(path)
    for content in (b"", b"a model, I swear", graph(_network())[:-1000]):
        path.write_bytes(content)
        with pytest.raises(FastupError, match=r"m\.onnx: ") as caught:
            Upscaler(path)
        assert "\n" not in str(caught.value)


def test_a_keras_file_without_keras(files, tmp_path):
    script = "import sys; sys.modules['keras'] = None; from fastup import Upscaler; Upscaler(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", script, files["keras"]], capture_output=True, text=True)
    assert "m.keras: a .keras file, for which Keras is needed: pip install 'fastup[train]'" in done.stderr


def test_a_signal_ends_no_process_that_had_several_engines(files):
    """OpenVINO leaves the thread without the stack for signals that it had."""
    script = """
import faulthandler, gc, os, signal, sys
faulthandler.enable()
from fastup import Upscaler
first, second = (Upscaler(sys.argv[1], "openvino") for _ in range(2))
del first
gc.collect()
del second
gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
except KeyboardInterrupt:
    sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", script, files["onnx"]], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr


# -- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path):
    for number in range(3):
        (tmp_path / "in").mkdir(exist_ok=True)
        fastup.write(tmp_path / "in" / f"f{number}.dpx", _codes(seed=number), Header.new(13, 20))
    return tmp_path / "in"


def test_the_first_line_says_which_engine(files, source, tmp_path, run):
    for name, words in (("auto", "OpenVINO"), ("onnxruntime", "ONNX Runtime")):
        code, out, _ = run("upscale", files["onnx"], source, tmp_path / name, "--engine", name)
        assert code == 0
        assert out.startswith(f"engine: {words} ")
    for path in fastup.find(source):
        frame = fastup.read(tmp_path / "auto" / path.name)
        np.testing.assert_array_equal(frame, Upscaler(files["onnx"])(fastup.read(path)))


def test_an_onnx_needs_no_other_extra(files, source, tmp_path):
    """They cannot be imported, nor can what of ours needs them."""
    script = """
import sys
others = "keras", "tensorflow", "jax", "torch", "onnx", "skimage", "matplotlib", "scipy", "av", "xxhash"
for name in (*others, "fastup.networks.models"):
    sys.modules[name] = None
from fastup.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, "upscale", files["onnx"], source, tmp_path / "out"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert len(fastup.find(tmp_path / "out")) == 3


def test_the_engines_are_timed(run, monkeypatch, have):
    """One that has no room, and one that cannot be used, leave the others."""
    monkeypatch.setattr(timing, "SIZE", (8, 6))
    monkeypatch.setattr(timing, "ROUNDS", 2)

    def run_out(engine, picture):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(OnnxRuntime, "_run", run_out)
    code, out, _ = run("models", "espcn", "ecbsr", "--time", "--json")
    assert code == 0
    assert [row["model"] for row in json.loads(out)] == ["espcn", "ecbsr"]
    for row in json.loads(out):
        seconds = row["seconds"]
        assert seconds.keys() == ENGINES.keys()
        assert seconds.pop("onnxruntime") is None
        assert all(0 < value < 600 for value in seconds.values())
    monkeypatch.setattr(engines, "openvino_core", engines.openvino_core.__wrapped__)
    monkeypatch.setitem(sys.modules, "openvino", None)
    have("keras", "openvino")
    code, out, _ = run("models", "compact", "--time")
    assert code == 0
    table = out[out.index("seconds a frame") :]
    assert re.search(r"^ *compact +\d\S* +- *$", table, re.MULTILINE)
    assert re.search(r"keras: Keras \d.* on the CPU", table)
    assert re.search(r"openvino: .*OpenVINO cannot be used", table)
