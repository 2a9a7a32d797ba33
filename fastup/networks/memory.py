"""What a training step takes of the device's memory, and the largest batch that it has room for."""

from math import prod

import keras
import numpy as np

from fastup import _free
from fastup._types import Size
from fastup.errors import OptionError
from fastup.networks.models import Network
from fastup.pairs.geometry import pair_of

ROOM = 0.8  # share of what is free that a batch may take: the estimate is one


def of_step(network: Network, batch: int, tile: int | Size) -> int:
    """About how many bytes a step takes on the device.

    Every layer's output is kept for the way back, where it gets a gradient of its own size; and the weights have their
    gradients and the two moments of Adam beside them. What libraries use inside a convolution is not known. `tile` is
    in target pixels, of both axes or of each, without the border.
    """
    shape, span = _shape(network, tile), network.settings.get("span", 1)
    judged = span - network.settings["settle"] if span > 1 else 1  # frames of a recurrent network's span
    shapes = [(batch * judged, *shape, each.shape[3]) for each in network.inputs]
    every = keras.Model(network.inputs, [layer.output for layer in network.layers])
    outputs = sum(
        prod(output) * _bytes(layer)
        for layer, output in zip(
            network.layers, every.compute_output_shape(shapes if len(shapes) > 1 else shapes[0]), strict=True
        )
    )
    return 2 * outputs + 4 * sum(prod(weight.shape) * 4 for weight in network.weights)


def free() -> int | None:
    """Bytes that the device has for training: all of the smallest NVIDIA card, else what the machine has free.

    None if the system doesn't say.
    """
    # The backend may hold all of a card already, for this very purpose; so all counts as free.
    return _free.of_card() if on_gpu() else _free.of_machine()


def largest_batch(network: Network, tile: int | Size, tiles: int) -> int:
    """The largest power of two that fits: by the estimate, and then by a step on zeros.

    1 if not even that fits: then the first step says so. The network is compiled; its weights are left as they are.
    `tile` is as in `of_step`; no batch is larger than `tiles`.

    Raises
    ------
    OptionError
        If the system doesn't say how much memory there is.
    """
    available = free()
    if available is None:
        raise OptionError("batch is 'auto', but the system does not say how much memory is free; give a number")
    room = ROOM * available
    batch = 1
    while 2 * batch <= tiles and of_step(network, 2 * batch, tile) <= room:
        batch *= 2
    while batch > 1 and not _fits(network, batch, tile):
        batch //= 2
    return batch


def _fits(network, batch, tile):
    """Whether a step on zeros runs on the device, on a twin of the network."""
    twin = type(network)(network.settings)
    twin.compile(type(network.optimizer).from_config(network.optimizer.get_config()), network.loss)
    settings, span = network.settings, network.settings.get("span", 1)
    frames, targets = ([1 + span + settings["lookahead"]], [span - settings["settle"]]) if span > 1 else ([], [])
    inputs = np.zeros((batch, *frames, *_shape(network, tile), 3), np.float32)
    try:
        twin.train_on_batch(inputs, np.zeros((batch, *targets, *pair_of(tile), 3), np.float32))
    except Exception as error:  # every backend has one of its own
        if _free.ran_out(error):
            return False
        raise
    return True


def _shape(network, tile):
    """Rows and columns of an input tile with its border."""
    return tuple(int((t + 2 * b) / s) for t, b, s in zip(pair_of(tile), network.border, network.scale, strict=True))


def _bytes(layer):
    return 2 if layer.compute_dtype.endswith("16") else 4


def on_gpu() -> bool:
    """Whether Keras' backend computes on a GPU."""
    if keras.backend.backend() == "torch":
        return "cuda" in str(keras.ops.zeros(1).device)
    return keras.distribution.list_devices()[0].startswith("gpu")
