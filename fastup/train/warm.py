"""A new network begun with the weights of a model from another place, as far as they fit."""

import hashlib
import os
from typing import Any

import keras
import numpy as np

from fastup._types import StrPath
from fastup.errors import FastupError, OptionError
from fastup.networks.branches import Branches
from fastup.networks.layers import SubPixel
from fastup.networks.models import MODELS, Cell, Network
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
    size = MODELS[model].size if MODELS[network.settings["model"]].build is MODELS[model].build else {}
    return {name: network.settings[name] for name in size}


def begin(network: Network, other: Network, path: StrPath) -> str:
    """Put the weights of `other`, a model of `path`, into a network. Gives what was taken, in words.

    A layer means something behind those that it is fed by alone. So a layer is taken where it is of the same kind and
    shape as one of the other network, and so is all that leads to it; the last one only where both networks are
    residual, or neither, and a sub-pixel convolution only at the same scale. Branches and the convolution that they
    fold into are of one kind. OptionError if nothing fits.
    """
    names = [each.settings["model"] for each in (network, other)]
    if isinstance(network, Cell) and not isinstance(other, Cell) and MODELS[names[0]].build is MODELS[names[1]].build:
        return _begin_film(network, other, path)
    if names[0] != names[1]:
        raise OptionError(f"from is {path}, a model of {names[1]}, of which nothing fits {names[0]}")
    known: dict[Any, int] = {}
    ours, theirs = ({k: v for k, v in _places(each, known).items() if v.weights} for each in (network, other))
    taken, why = [], ""
    for number, (place, mine) in enumerate(ours.items()):
        reason = "" if place in theirs else _unlike(mine, [*theirs.values()][number : number + 1])
        if number == len(ours) - 1 and not reason and network.settings["residual"] != other.settings["residual"]:
            reason = "one network is residual"
        if not reason:
            _take(mine, theirs[place])
            taken.append(number)
        why = why or reason
    if not taken:
        raise OptionError(f"from is {path}, of which nothing fits this network: {why}")
    if len(taken) == len(ours):
        return f"all {len(taken)} layers"
    if taken == [*range(len(taken))]:
        return f"the first {len(taken)} of {len(ours)} layers; then {why}"
    return f"{len(taken)} of {len(ours)} layers; of the others, the first: {why}"


def _begin_film(network, other, path):
    """Put the weights of a network of one frame into a recurrent one, of whose network of a picture it is a twin.

    What goes in at the first layer beside the frame gets weights of zero.
    """
    theirs = [layer for layer in other.layers if layer.weights]
    ours = [layer for layer in network.layers if layer.weights]
    ours = ours[ours.index(network.first) :]
    kernel, bias = theirs[0].get_weights()
    place = np.zeros(network.first.kernel.shape, np.float32)
    if place.shape[3] != kernel.shape[3]:
        raise OptionError(
            f"from is {path}, of which nothing fits this network: it has {kernel.shape[3]} features, not "
            f"{place.shape[3]}"
        )
    place[:, :, : kernel.shape[2]] = kernel
    network.first.set_weights([place, bias])
    taken = 1
    for mine, its in zip(ours[1:], theirs[1:], strict=False):
        last = mine is ours[-1] and network.settings["residual"] != other.settings["residual"]
        if _kind(mine) != _kind(its) or last:
            break
        _take(mine, its)
        taken += 1
    of = f"all {taken}" if taken == len(ours) == len(theirs) else f"the first {taken} of {len(ours)}"
    return f"{of} layers of its network of one frame"


def _places(network, known):
    """The layers of a network by their places in it: numbers, in `known`, for what each is and all that leads to it."""
    places, made_at = {}, {}
    for layer in network.layers:
        inputs = [] if isinstance(layer, keras.layers.InputLayer) else layer.input
        inputs = inputs if isinstance(inputs, list) else [inputs]
        key = (*_kind(layer), *(made_at[id(each)] for each in inputs))
        place = known.setdefault(key, len(known))
        while place in places:  # one of several alike, beside each other
            key = (*key, "again")
            place = known.setdefault(key, len(known))
        places[place] = layer
        made_at[id(layer.output)] = place
    return places


def _kind(layer):
    """What a layer is, for its weights: its kind, their shapes, and a scale that they go with."""
    if isinstance(layer, keras.layers.Conv2D | Branches):
        return "convolution", (*layer.kernel_size, layer.input.shape[3], layer.filters)
    scale = layer.scale if isinstance(layer, SubPixel) else None
    return type(layer).__name__, *(tuple(weight.shape) for weight in layer.weights), scale


def _take(mine, its):
    """Give a layer the weights of one of its kind; branches those of the convolution that they fold into, and back."""
    if type(mine) is type(its):
        mine.set_weights(its.get_weights())
    elif isinstance(mine, Branches):
        mine.expand(*its.get_weights())
    else:
        mine.set_weights(its.collapsed())


def _unlike(mine, others):
    """Why a layer cannot take the weights of that which stands where it does, in words; there may be none."""
    for its in others:
        if isinstance(mine, SubPixel) and isinstance(its, SubPixel) and mine.scale != its.scale:
            return "another scale, {} x {} for {} x {}".format(*mine.scale, *its.scale)
        if _kind(mine) != _kind(its):
            return f"{mine.name} differs, {_kind(mine)[1]} for {_kind(its)[1]}"
        return f"what leads to {mine.name} differs"
    return f"{mine.name} has none in its place"
