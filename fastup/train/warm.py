"""A new network begun with the weights of a model from another place, as far as they fit."""

import hashlib
import os
from typing import Any

import numpy as np

from fastup._types import StrPath
from fastup.errors import FastupError, OptionError
from fastup.networks.layers import SubPixel
from fastup.networks.models import MODELS, Network
from fastup.upscale.model import load

# Of a network's settings, what its weights go with; a run that begins with it has them, where nobody says otherwise.
SHAPING = ("model", "residual")


def source(path: StrPath) -> dict[str, str]:
    """What tells a model from others: where it is, and a digest of its file. OptionError if there is none."""
    try:
        with open(path, "rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError as error:
        raise OptionError(f"from is {path}: {error.strerror}, expected a .keras file of a model") from None
    return {"model": os.path.abspath(path), "digest": digest}


def is_source(begun: dict[str, Any] | None, path: StrPath) -> bool:
    """Whether a run that began so began with this model: by its place, or by what it holds if it was moved."""
    if begun is None:
        return False
    return begun["model"] == os.path.abspath(path) or begun["digest"] == source(path)["digest"]


def read(path: StrPath) -> Network:
    """The network of a ``.keras`` file; OptionError if there is none, or if its weights are no numbers."""
    if os.fspath(path).lower().endswith(".onnx"):
        raise OptionError(f"from is {path}, expected the .keras file beside it: an .onnx cannot be trained on")
    try:
        network = load(path, compile=False)
    except OSError as error:
        raise OptionError(f"from is {path}: {error.strerror}, expected a .keras file of a model") from None
    except FastupError as error:
        raise OptionError(f"from is {error}") from None
    if not all(np.isfinite(weight).all() for weight in network.get_weights()):
        raise OptionError(f"from is {path}: it holds weights that are no numbers")
    return network


def sizes(network: Network, model: str) -> dict[str, int]:
    """The sizes of a network that another one of the architecture `model` has to have, to take its weights."""
    size = MODELS[model].size if network.settings["model"] == model else {}
    return {name: network.settings[name] for name in size}


def begin(network: Network, other: Network, path: StrPath) -> str:
    """Put the weights of `other`, a model of `path`, into a network. Gives what was taken, in words.

    All architectures are chains, in which a layer means something behind those before it alone. So layers are taken
    from the first on, as long as they have the same shape; the last one only where both networks are residual, or
    neither, and a sub-pixel convolution only at the same scale. OptionError if not even the first layer fits.
    """
    names = [each.settings["model"] for each in (network, other)]
    if names[0] != names[1]:
        raise OptionError(f"from is {path}, a model of {names[1]}, of which nothing fits {names[0]}")
    ours, theirs = ([layer for layer in each.layers if layer.weights] for each in (network, other))
    taken, why = 0, ""
    for mine, its in zip(ours, theirs, strict=False):
        why = _unlike(mine, its)
        if mine is ours[-1] and not why and network.settings["residual"] != other.settings["residual"]:
            why = "one network is residual"
        if why:
            break
        mine.set_weights(its.get_weights())
        taken += 1
    if not taken:
        raise OptionError(f"from is {path}, of which nothing fits this network: {why}")
    if taken == len(ours):
        return f"all {taken} layers"
    return f"the first {taken} of {len(ours)} layers; then {why}"


def _unlike(mine, its):
    """Why the weights of one layer cannot be another's, in words; "" if they can."""
    shapes = [[tuple(weight.shape) for weight in layer.weights] for layer in (mine, its)]
    if isinstance(mine, SubPixel) and isinstance(its, SubPixel) and mine.scale != its.scale:
        return "another scale, {} x {} for {} x {}".format(*mine.scale, *its.scale)
    if type(mine) is not type(its) or shapes[0] != shapes[1]:
        return f"{mine.name} differs, {shapes[0][0]} for {shapes[1][0]}"
    return ""
