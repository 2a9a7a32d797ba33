"""What runs a model: Keras, OpenVINO or ONNX Runtime; and which of them is the fastest that is installed."""

import contextlib
import io
import threading
from collections.abc import Iterator
from functools import cache, partial
from importlib.metadata import version
from importlib.util import find_spec
from queue import SimpleQueue
from typing import Any, ClassVar

import numpy as np

from fastup import _free, networks
from fastup._types import Floats
from fastup.errors import FastupError, OptionError
from fastup.upscale.model import Model

INSTALL = "pip install 'fastup[upscale]'"
TOLERANCE = 0.05 / 1023  # by which a device may be off the CPU's result: a tenth of half a 10-bit code


class Engine:
    """Runs a model.

    Attributes
    ----------
    words : str
        What it is and on which device, for people.
    planes : bool
        Whether pictures are (channels, height, width) to it, or (height, width, channels).
    parallel : int
        How many calls of `run` may be under way at a time.
    on_gpu : bool
        Whether the device is more than the CPU.
    failed : list of str
        What it would rather have used, and why it cannot.
    takes : pair of float
        How many times it has the values of the widest layer in memory, and how many times those of a target picture,
        as measured: see `fastup.upscale.strips.taken`.
    """

    title: ClassVar[str]
    module: ClassVar[str]  # that it needs
    words: str
    planes: ClassVar[bool]
    takes: ClassVar[tuple[float, float]]
    parallel = 1
    on_gpu = False

    def __init__(self, model: Model, parallel: int = 1) -> None:
        self.model = model
        self.failed: list[str] = []

    def free(self) -> int | None:
        """Bytes that are free where it runs; None if that is not known."""
        return _free.of_card() if self.on_gpu else _free.of_machine()

    def run(self, picture: Floats) -> Floats:
        """The target picture of a picture: C-contiguous, normalised, nothing clipped; a new array.

        Any size of whole cells will do; what lies outside of it is the engine's to fill in. To a recurrent network the
        picture is a shot of one frame. Raises MemoryError where the device has no room for it, FastupError where the
        engine fails otherwise.
        """
        if self.model.recurrent:
            return self.step(np.concatenate([picture] * self.model.frames, axis=0 if self.planes else 2))[0]
        with self._failing():
            result = self._run(np.ascontiguousarray(picture))
        self._check(picture.shape, result.shape)
        return np.ascontiguousarray(result, np.float32)

    def step(self, frames: Floats, state: Floats | None = None) -> tuple[Floats, Floats]:
        """What a recurrent network makes of the frames that it sees at a time: the target picture, and its state then.

        As `run`, of pictures one after another along the axis of channels, as `Step.seen` has them, and of the state
        that the step before gave, None at the beginning of a shot; both are new arrays.
        """
        if state is None:
            state = np.zeros(self.state_shape(frames.shape), np.float32)
        with self._failing():
            picture, after = self._step(np.ascontiguousarray(frames), np.ascontiguousarray(state))
        self._check(frames.shape, picture.shape)
        return np.ascontiguousarray(picture, np.float32), np.ascontiguousarray(after, np.float32)

    def state_shape(self, given: tuple[int, ...]) -> tuple[int, ...]:
        """The shape of the state for pictures of a shape: it has the border, too."""
        sides = slice(1, 3) if self.planes else slice(2)
        height, width = (n + 2 * b for n, b in zip(given[sides], self.model.border, strict=True))
        return (self.model.state, height, width) if self.planes else (height, width, self.model.state)

    def _run(self, picture: Floats) -> Floats:
        """As `run`; errors are those of the library."""
        raise NotImplementedError

    def _step(self, frames: Floats, state: Floats) -> tuple[Floats, Floats]:
        """As `step`; errors are those of the library."""
        raise NotImplementedError

    @contextlib.contextmanager
    def _failing(self) -> Iterator[None]:
        """What a library raises becomes a MemoryError, or one line."""
        try:
            yield
        except Exception as error:
            if _free.ran_out(error):
                raise MemoryError(_line(error)) from error
            raise FastupError(f"{self.model.name}: {self.words} failed: {_line(error)}") from error

    def _check(self, given, made):
        sides = slice(1, 3) if self.planes else slice(2)
        expected = tuple(int(n * s) for n, s in zip(given[sides], self.model.scale, strict=True))
        if made[sides] != expected:
            (h, w), (height, width), (v, u) = given[sides], made[sides], self.model.scale
            raise FastupError(
                f"{self.model.name}: makes {width}x{height} of {w}x{h}, expected {expected[1]}x{expected[0]} by its "
                f"scale, {v} x {u} (vertical x horizontal)"
            )


class Keras(Engine):
    """Any backend of Keras, at float32 unless layers are set otherwise. The network may be trained between calls."""

    title, module, planes = "Keras", "keras", False
    takes = 5, 9

    def __init__(self, model: Model, parallel: int = 1) -> None:
        super().__init__(model)
        if model.network is None:
            raise OptionError(f"{model.name}: Keras runs .keras files; expected one, or another engine")
        from keras import backend

        from fastup.networks.memory import on_gpu

        self.network, self.on_gpu, self._backend = model.network, on_gpu(), backend.backend()
        device = "a GPU" if self.on_gpu else "the CPU"
        self.words = f"Keras {version('keras')} with {self._backend} on {device}"

    def _run(self, picture):
        return self._predicted(self._padded(picture))[0]

    def _step(self, frames, state):
        picture, after = self._predicted([self._padded(frames), state[np.newaxis]])
        return picture[0], after[0]

    def _padded(self, picture):
        (v, h), fill = self.model.border, self.model.fill
        around = ((v, v), (h, h), (0, 0))
        return np.pad(picture, around, **({"mode": "edge"} if fill == "edge" else {"constant_values": fill}))[None]

    def _predicted(self, given):
        # Under JAX, Keras takes the weights from what a call gives; of one that fails they would be the failure's.
        weights = [(each, each.value) for each in self.network.variables] if self._backend == "jax" else []
        try:
            with networks.float32():
                return self.network.predict_on_batch(given)
        except Exception:
            for variable, value in weights:
                variable.assign(value)
            raise


@cache
def openvino_core() -> Any:
    """OpenVINO: one for the process, for good.

    Each sets a stack for signals on its thread, and with the last of it takes that away, also while another one still
    has it to put back: the next signal, such as of Ctrl-C, would end the process.
    """
    import openvino

    return openvino.Core()


class OpenVino(Engine):
    """OpenVINO on the CPU, at float32: on processors with bfloat16 its own choice would round to 8 bits.

    A call takes all processors; with `parallel` they are shared by so many calls, which wait for one another less. The
    steps of a recurrent network go one by one.
    """

    title, module, planes = "OpenVINO", "openvino", True
    takes = 2.2, 5

    def __init__(self, model: Model, parallel: int = 1) -> None:
        super().__init__(model)
        self.words = f"OpenVINO {version('openvino')} on the CPU"
        self.parallel = 1 if model.recurrent else parallel
        self._graph, self._lock = _graph(model), threading.Lock()
        self._idle: SimpleQueue[Any] | None = None  # requests that wait for a call
        # Its Python part sets itself up in the first call, and waits for ever if two threads do that at a time.
        blank = np.zeros((3 * model.frames, *model.cell[0]), np.float32)
        if model.recurrent:
            self._step(blank, np.zeros(self.state_shape(blank.shape), np.float32))
        else:
            self._run(blank)

    def _requests(self):
        """The model compiled, and its requests, which share memory."""
        core = openvino_core()
        how = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
        if self.parallel > 1:
            how |= {"PERFORMANCE_HINT": "THROUGHPUT", "PERFORMANCE_HINT_NUM_REQUESTS": str(self.parallel)}
        # One for all sizes: compiled for one size alone it is no faster.
        compiled = core.compile_model(core.read_model(io.BytesIO(self._graph)), "CPU", how)
        requests = SimpleQueue()
        for _ in range(self.parallel):
            requests.put(compiled.create_infer_request())
        return requests

    def _run(self, picture):
        return self._inferred({"input": picture[np.newaxis]})["output"][0]

    def _step(self, frames, state):
        made = self._inferred({"input": frames[np.newaxis], "state": state[np.newaxis]})
        return made["output"][0], made["next_state"][0]

    def _inferred(self, given):
        with self._lock:
            idle = self._idle = self._idle or self._requests()
        request = idle.get()
        try:
            return request.infer(given, share_inputs=True)
        except Exception:
            self._idle = None  # they would keep the memory that they have found so far
            raise
        finally:
            idle.put(request)


class OnnxRuntime(Engine):
    """ONNX Runtime, on the first of `PROVIDERS` that it has and that gives what its CPU gives."""

    title, module, planes = "ONNX Runtime", "onnxruntime", True
    takes = 5, 5

    # By preference: what each is called, what it is told, and whether it is faster than any engine on the CPU.
    PROVIDERS: ClassVar[dict[str, tuple[str, dict[str, str], bool]]] = {
        "CUDAExecutionProvider": ("CUDA", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}, True),
        "DmlExecutionProvider": ("DirectML", {}, True),
        "CoreMLExecutionProvider": ("CoreML", {"ModelFormat": "MLProgram"}, False),  # not known
        "CPUExecutionProvider": ("the CPU", {}, False),
    }

    def __init__(self, model: Model, parallel: int = 1) -> None:
        super().__init__(model)
        import onnxruntime

        graph, name = _graph(model), f"ONNX Runtime {version('onnxruntime')}"
        for provider in self.providers():
            device, options, self.on_gpu = self.PROVIDERS[provider]
            try:
                self._new = partial(self._start, onnxruntime, graph, provider, options)
                self._session = self._new()
                break
            except Exception as error:  # each has some of its own, and the CPU is left
                if device == "the CPU":
                    raise
                self.failed.append(f"{device} cannot be used: {_line(error)}")
        self.words = f"{name} on {device}"

    @classmethod
    def providers(cls) -> list[str]:
        """Those of `PROVIDERS` that are in what is installed."""
        import onnxruntime

        return [name for name in cls.PROVIDERS if name in onnxruntime.get_available_providers()]

    @classmethod
    def has_gpu(cls) -> bool:
        """Whether one of them is faster than the CPU, if it works."""
        return any(cls.PROVIDERS[name][2] for name in cls.providers())

    def _start(self, onnxruntime, graph, provider, told):
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what goes wrong is raised, or said here
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # others read and write meanwhile
        options.enable_mem_pattern = provider != "DmlExecutionProvider"  # which knows no other
        session = onnxruntime.InferenceSession(graph, options, [(provider, told)])
        if session.get_providers()[0] != provider:
            raise RuntimeError("its libraries or its device are missing")
        if provider != "CPUExecutionProvider":
            plain = onnxruntime.InferenceSession(graph, options, ["CPUExecutionProvider"])
            cells = self.model.cell[0]
            given, random = {}, np.random.default_rng(0).random
            given["input"] = random((1, 3 * self.model.frames, 8 * cells[0], 8 * cells[1]), np.float32)
            if self.model.recurrent:
                given["state"] = random((1, *self.state_shape(given["input"].shape[1:])), np.float32)
            both = zip(session.run(None, given), plain.run(None, given), strict=True)
            off = np.max([np.abs(one - other).max() for one, other in both])
            if not off <= TOLERANCE:
                raise RuntimeError(f"its result is {off * 1023:.2g} 10-bit codes off the CPU's")
        return session

    def _run(self, picture):
        return self._got(["output"], {"input": picture[np.newaxis]})[0][0]

    def _step(self, frames, state):
        given = {"input": frames[np.newaxis], "state": state[np.newaxis]}
        picture, after = self._got(["output", "next_state"], given)
        return picture[0], after[0]

    def _got(self, names, given):
        self._session = self._session or self._new()
        try:
            return self._session.run(names, given)
        except Exception:
            self._session = None  # it would keep the memory that it has found so far
            raise


ENGINES: dict[str, type[Engine]] = {"keras": Keras, "openvino": OpenVino, "onnxruntime": OnnxRuntime}


def opened(model: Model, engine: str = "auto", parallel: int = 1) -> tuple[Engine, str]:
    """The engine of a name for a model, and why it is that, in words.

    "auto" is the fastest that is installed and works: a GPU's, by Keras or ONNX Runtime, else OpenVINO, Keras, ONNX
    Runtime, as `fastup models --time` has them; but Keras for a network that may be trained on. With `parallel`, so
    many calls may be under way at a time, if the engine gains by it: see `Engine.parallel`.

    Raises OptionError if there is no such engine, or it is not installed, or it does not run such a model; FastupError
    if none runs it.
    """
    if engine == "auto":
        return _fastest(model, parallel)
    if engine not in ENGINES:
        raise OptionError(f"engine is {engine!r}, expected auto or one of {', '.join(ENGINES)}")
    kind = ENGINES[engine]
    if not installed(engine):
        install = "pip install 'fastup[train]'" if engine == "keras" else INSTALL
        raise OptionError(f"engine is {engine}, but {kind.title} is not installed: {install}")
    try:
        made = kind(model, parallel)
        return made, "; ".join(["as asked", *made.failed])
    except FastupError:
        raise
    except Exception as error:  # each library has some of its own
        raise FastupError(f"{model.name}: {kind.title} cannot be used: {_line(error)}") from error


def installed(engine: str) -> bool:
    """Whether what an engine needs is there."""
    return find_spec(ENGINES[engine].module) is not None


def _fastest(model, parallel):
    if model.live:
        return Keras(model), "the network may change"
    there = {name for name in ENGINES if installed(name) and (name != "keras" or model.network is not None)}
    failed: list[str] = []

    def tried(name):
        if name not in there:
            return None
        try:
            engine = ENGINES[name](model, parallel)
        except Exception as error:  # each library has some of its own; said with what is used instead
            failed.append(f"{ENGINES[name].title} cannot be used: {_line(error)}")
            there.remove(name)
            return None
        failed.extend(engine.failed)
        return engine

    keras = tried("keras")
    if keras is not None and keras.on_gpu:
        return keras, "; ".join(["faster than the CPU", *failed])
    runtime = tried("onnxruntime") if "onnxruntime" in there and OnnxRuntime.has_gpu() else None
    if runtime is not None and runtime.on_gpu:
        return runtime, "; ".join(["faster than the CPU", *failed])
    engine = tried("openvino") or keras or runtime or tried("onnxruntime")
    if not installed("openvino"):
        failed.append(f"OpenVINO, which is faster, is not installed: {INSTALL}")
    if engine is None:
        raise FastupError(f"{model.name}: no engine runs it: {'; '.join(failed)}")
    return engine, "; ".join(failed or ["the fastest that is installed"])


def _graph(model):
    """The ONNX graph of a model; made of its network, if it comes from Keras."""
    if model.onnx is not None:
        return model.onnx
    from fastup.upscale.export import graph

    return graph(model.network)


def _line(error):
    """The first line of an error's words that says something: OpenVINO begins with places in its sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return next((line for line in lines if not line.startswith("Exception from ")), lines[0])
