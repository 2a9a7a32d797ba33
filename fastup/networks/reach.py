"""How far a network sees, how dense its layers are and what they cost, by the graph of its layers."""

from math import gcd, prod
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from fastup._scales import cell_of, fractions, phases
from fastup._types import Size
from fastup.networks.branches import Branches
from fastup.networks.layers import Affine, Bicubic, Channels, Doubled, Leak, Recalled, SubPixel

# What gives of each pixel, of one input or several, one pixel in its place.
POINTWISE = (
    keras.layers.Activation, keras.layers.PReLU, keras.layers.Add, keras.layers.Average, keras.layers.Multiply,
    keras.layers.Concatenate, Affine, Channels, Leak, Recalled,
)  # fmt: skip
Line = tuple[NDArray[np.int64], NDArray[np.int64]]  # the first and last input pixel that pixels on an axis depend on
SPARE = 4  # cells by which all has repeated that repeats: two poolings


def receptive(network: keras.Model, scale: Any) -> Size:
    """How far a network of a scale sees, exactly, in input pixels: see `Network.receptive`."""
    vertical, horizontal = (_reach(network, axis, *cell) for axis, cell in enumerate(_cells(scale)))
    return vertical, horizontal


def pitch(network: keras.Model, scale: Any) -> int:
    """Cells along the vertical axis by whose multiples a picture moved is what the network gives, moved."""
    pools = 2 ** sum(isinstance(layer, keras.layers.MaxPooling2D) for layer in network.layers)  # one after another
    return pools // gcd(pools, fractions(scale)[0].numerator)


def widest(network: keras.Model, scale: Any) -> int:
    """The most values for each pixel of input, rounded up, that the output of one layer holds."""
    lines = [_lines(network, axis, SPARE * q) for axis, (q, _) in enumerate(_cells(scale))]
    pixels = prod(SPARE * q for q, _ in _cells(scale))
    outputs = [layer.output for layer in network.layers]
    most = max(prod(len(line[id(each)][0]) for line in lines) * each.shape[3] for each in outputs)
    return -(-most // pixels)


def multiply_adds(network: keras.Model, scale: Any) -> float:
    """Multiplications of the convolutions, as they are used, for each target pixel away from the edges.

    Enlarging by bicubic, activations and sums are not counted, as papers don't.
    """
    lines = [_lines(network, axis, SPARE * q) for axis, (q, _) in enumerate(_cells(scale))]
    total = 0
    for layer in network.layers:
        if isinstance(layer, SubPixel):
            total += SPARE**2 * prod(layer.kernel.shape)
        elif isinstance(layer, keras.layers.Conv2D | Branches):
            pixels = prod(len(line[id(layer.output)][0]) for line in lines)
            total += pixels * prod(layer.kernel_size) * layer.input.shape[3] * layer.filters
    return total / prod(SPARE * p for _, p in _cells(scale))


def parameters(network: keras.Model) -> int:
    """Weights as they are used: of branches, those of the convolution that they sum up to."""
    return sum(
        (prod(layer.kernel_size) * layer.input.shape[3] + 1) * layer.filters
        if isinstance(layer, Branches)
        else layer.count_params()
        for layer in network.layers
    )


def _cells(scale):
    """(input, target) pixels of a cell, for each axis."""
    return list(zip(*cell_of(fractions(scale)), strict=True))


def _reach(network, axis, q, p):
    """Of an axis, by a picture of some cells, and of more if what those in the middle see is cut off by its edges."""
    cells = 4 * SPARE
    while True:
        first, last = _lines(network, axis, cells * q)[id(network.outputs[0])]
        middle = np.arange((cells - SPARE) // 2 * p, (cells + SPARE) // 2 * p)
        start = middle // p * q
        reach = int(max(np.max(start - first[middle]), np.max(last[middle] - start - (q - 1))))
        if reach < ((cells - SPARE) // 2 - 1) * q:
            return reach
        cells *= 2


def _lines(network, axis, size):
    """What the pixels of every layer's output, by its id, see of an input with so many pixels along an axis."""
    lines: dict[int, Line] = {}
    for layer in network.layers:
        inputs = layer.input if isinstance(layer.input, list) else [layer.input]
        given = [] if isinstance(layer, keras.layers.InputLayer) else [lines[id(each)] for each in inputs]
        lines[id(layer.output)] = _line(layer, axis, given) if given else (np.arange(size), np.arange(size))
    return lines


def _line(layer, axis, given):
    """What the pixels of a layer's output see along an axis, by what those of its inputs do. Outside there is none."""
    first, last = given[0]
    size = len(first)

    def of(begin, end):  # what is seen by pixels that depend on all of these input pixels from begin to end
        return first[np.clip(begin, 0, size - 1)], last[np.clip(end, 0, size - 1)]

    if isinstance(layer, POINTWISE):
        return np.min([each[0] for each in given], axis=0), np.max([each[1] for each in given], axis=0)
    if isinstance(layer, keras.layers.Cropping2D):  # of whole cells, the same on both sides: as if they were there
        return first, last
    if isinstance(layer, keras.layers.Conv2D | Branches):
        side = layer.kernel_size[axis]
        return of(np.arange(size) - (side - 1) // 2, np.arange(size) + side // 2)
    if isinstance(layer, keras.layers.MaxPooling2D):  # by 2, as `networks.models` sets it
        begin = np.arange(0, size, 2)
        return of(begin, begin + 1)
    if isinstance(layer, Doubled):
        begin = np.arange(len(given[1][0])) // 2
        return of(begin, begin)
    if isinstance(layer, Bicubic | SubPixel):
        scale = layer.scale[axis]
        if isinstance(layer, SubPixel):
            begin = np.full(scale.numerator, -(layer.kernel_size // 2))
            end = begin + scale.denominator - 1 + 2 * (layer.kernel_size // 2)
        else:
            begin, weights = phases(scale)
            used = [np.flatnonzero(each) for each in weights]
            begin, end = (begin + [each[place] for each in used] for place in (0, -1))
        starts = np.arange(0, size, scale.denominator)[:, np.newaxis]
        return of((starts + begin).ravel(), (starts + end).ravel())
    raise TypeError(f"{layer.name} is a {type(layer).__name__}, of which it is not known what it sees")
