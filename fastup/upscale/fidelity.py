"""How far what an exported file gives is off what Keras gives."""

import importlib.util
from collections.abc import Callable
from math import gcd
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fastup._types import Floats
from fastup.errors import FastupError
from fastup.networks.models import Network, precision
from fastup.upscale.model import Model

STEPS = 3  # of a recurrent network, from a state of zeros

Arrays = list[Floats]  # (height, width, channels) each: a picture; of a recurrent network, and a state


def runner(path: Path) -> tuple[str, Callable[[Arrays], Arrays]]:
    """What runs a file on the processor, by name; and a function of its inputs, in order, that gives its outputs."""
    if not importlib.util.find_spec("onnxruntime"):
        raise FastupError(
            "ONNX Runtime is not installed, expected it to check the file with: pip install 'fastup[upscale]'"
        )
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, too
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(given):
        planes = (np.ascontiguousarray(each.transpose(2, 0, 1)[np.newaxis]) for each in given)
        made = session.run(None, dict(zip(("input", "state"), planes, strict=False)))
        return [each[0].transpose(1, 2, 0) for each in made]

    return f"ONNX Runtime {onnxruntime.__version__}", run


def largest_difference(network: Network, run: Callable[[Arrays], Arrays], whole_scale: int | None) -> float:
    """The largest difference of what a file makes of some pictures to what Keras does; of values above 1, in parts.

    One cell, some, and so many that not all is near the edges: random, and black and white alone. Of a recurrent
    network a few steps, each with the state that the one before has left. Keras is asked for float32, whatever the
    network computes in, and on the processor, as accelerators round. NaN where one of them makes such.
    """
    with keras.device("cpu"), precision("float32"):
        twin = type(network)(network.settings)
        twin.set_weights(network.get_weights())
    largest = 0.0
    for given, found, expected in _cases(twin, run, whole_scale):
        if found.shape != expected.shape:
            raise FastupError(f"the exported graph makes {found.shape} of {given}, Keras {expected.shape}")
        each = np.abs(found - expected) / np.maximum(np.abs(expected), 1)
        if not np.isfinite(each).all():
            return np.nan
        largest = max(largest, float(each.max()))
    return largest


def _cases(twin, run, whole_scale):
    """The shape of what was given, what the file makes of it, and what Keras does."""
    model, rng = Model.of(twin), np.random.default_rng(0)
    (v, h), channels = model.border, 3 * model.frames
    for least in (1, 12, 48):
        size = [-(-least // step) * step for step in _steps(model.scale, whole_scale)]
        for black_and_white in (False, True):
            ours = [np.zeros((size[0] + 2 * v, size[1] + 2 * h, model.state), np.float32)] * model.recurrent
            theirs = ours
            for _ in range(STEPS if model.recurrent else 1):
                shape = *size, channels
                picture = rng.integers(2, size=shape).astype(np.float32) if black_and_white else _random(rng, shape)
                expected, *theirs = _by_keras(twin, model, picture, theirs, whole_scale)
                if whole_scale is not None:
                    below, beside = (n * f / whole_scale - n for n, f in zip(size, model.scale, strict=True))
                    picture = np.pad(picture, ((0, int(below)), (0, int(beside)), (0, 0)), constant_values=0.5)
                found, *ours = run([picture, *ours])
                for one, other in zip([found, *ours], [expected, *theirs], strict=True):
                    yield picture.shape, one, other


def _random(rng, shape):
    return rng.random(shape, np.float32)


def _by_keras(twin, model, picture, states, whole_scale):
    """What Keras makes of the frames of a step, with what lies around them, and of the state before, if there is."""
    (v, h), fill = model.border, model.fill
    how: dict[str, Any] = {"mode": "edge"} if fill == "edge" else {"constant_values": fill}
    with keras.device("cpu"):
        if whole_scale is not None and model.colour is not None:
            picture = model.colour.apply(picture).clip(0, 1)
        given = [np.pad(picture, ((v, v), (h, h), (0, 0)), **how)[np.newaxis]]
        given += [state[np.newaxis] for state in states]
        made = twin(given if states else given[0])
        return [keras.ops.convert_to_numpy(each)[0] for each in (made if states else [made])]


def _steps(scale, whole_scale):
    """Rows and columns of input of which pictures are to hold a multiple."""
    if whole_scale is None:
        return [factor.denominator for factor in scale]
    return [f.denominator * whole_scale // gcd(f.numerator, whole_scale) for f in scale]
