"""The graph of a network in words: its layers in order, each with those that it takes."""

from collections import Counter
from dataclasses import dataclass, replace

import keras

from fastup.networks.branches import Branches, EdgeBranches, LinearBranches, SwiftBranches
from fastup.networks.layers import Affine, Bicubic, Doubled, SubPixel

# What a sum of branches is called, and what it is the sum of.
BRANCHES = {
    EdgeBranches: (
        "edge branches",
        "3x3; 1x1 to twice the channels, then 3x3; 1x1, then Sobel across, Sobel down and Laplace, each; and the input "
        "itself, where it has as many channels",
    ),
    SwiftBranches: ("swift branches", "1x1 to twice the channels, then 3x3, then 1x1; and 1x1"),
    LinearBranches: (
        "linear branches",
        f"a convolution to {LinearBranches.WIDE} channels, then 1x1; and the input itself, where it has as many "
        "channels",
    ),
}
ACTIVATIONS = keras.layers.Activation, keras.layers.PReLU, Affine  # give of each value one in its place
JOINS = {keras.layers.Add: "sum", keras.layers.Multiply: "product", keras.layers.Average: "mean",
         keras.layers.Concatenate: "all channels, one after another"}  # fmt: skip
SPELT = {"relu": "ReLU"}


@dataclass(frozen=True)
class Node:
    """A layer, with the activations after it where they alone take what it gives.

    `channels` are those of its output; `inputs` are the places in the list of the nodes that it takes.
    """

    words: str
    channels: int
    inputs: tuple[int, ...]


def nodes(network: keras.Model) -> list[Node]:
    """The nodes of a network, each after those that it takes, branch by branch; the last one gives its output.

    A product of x and the sigmoid of x alone is told as SiLU.
    """
    makers = {id(layer.output): layer for layer in network.layers}
    takes = {layer: [makers[id(tensor)] for tensor in _inputs(layer)] for layer in network.layers}
    for layer, sources in takes.items():
        if (
            isinstance(layer, keras.layers.Multiply)
            and takes[sources[-1]] == sources[:1]
            and _words(sources[-1]) == "sigmoid"
        ):
            takes[layer] = sources[:1]
    order: dict[keras.layers.Layer, None] = {}

    def visit(layer):
        if layer not in order:
            for source in takes[layer]:
                visit(source)
            order[layer] = None

    visit(makers[id(network.outputs[0])])
    used = Counter(source for layer in order for source in takes[layer])
    found: list[Node] = []
    places: dict[keras.layers.Layer, int] = {}
    for layer in order:
        inputs = tuple(places[source] for source in takes[layer])
        silu = isinstance(layer, keras.layers.Multiply) and len(inputs) == 1
        words = "SiLU" if silu else _words(layer)
        if (silu or isinstance(layer, ACTIVATIONS)) and found[inputs[0]].inputs and used[takes[layer][0]] == 1:
            before = found[inputs[0]]
            found[inputs[0]] = replace(before, words=f"{before.words}, {words}")
            places[layer] = inputs[0]
        else:
            places[layer] = len(found)
            found.append(Node(words, layer.output.shape[3], inputs))
    return found


def notes(network: keras.Model) -> list[str]:
    """What there is to say of kinds of layers: of what the branches are that it trains."""
    kinds = dict.fromkeys(type(layer) for layer in network.layers if isinstance(layer, Branches))
    return [
        f"{name}: trained as a sum, folded for use. Of {parts}." for name, parts in map(BRANCHES.__getitem__, kinds)
    ]


def _inputs(layer):
    if isinstance(layer, keras.layers.InputLayer):
        return []
    return layer.input if isinstance(layer.input, list) else [layer.input]


def _words(layer):
    """What a layer does."""
    match layer:
        case keras.layers.InputLayer():
            return "input"
        case keras.layers.Conv2D():
            activation = SPELT.get(layer.activation.__name__, layer.activation.__name__)
            return f"{_by(layer.kernel_size)} convolution" + f", {activation}" * (activation != "linear")
        case keras.layers.MaxPooling2D():
            return f"the largest of {_by(layer.pool_size)}"
        case Doubled():
            return "each pixel as 2x2"
        case Branches():
            return f"{_by(layer.kernel_size)} convolution of {BRANCHES[type(layer)][0]}"
        case SubPixel():
            kernel, (p, q) = (
                layer.kernel.shape[:2],
                zip(*(each.as_integer_ratio() for each in layer.scale), strict=True),
            )
            step = "" if set(q) == {1} else f" at steps of {_by(q)}"
            return f"sub-pixel {_by(kernel)} convolution{step}, {_by(p)} target pixels of each"
        case Bicubic():
            return f"bicubic enlargement, {' x '.join(map(str, layer.scale))}"
        case keras.layers.PReLU():
            return "PReLU"
        case keras.layers.Activation():
            return SPELT.get(layer.activation.__name__, layer.activation.__name__)
        case Affine():
            factor = f"times {layer.factor:g}" if layer.factor != 1 else ""
            offset = f"{'less' if layer.offset < 0 else 'plus'} {abs(layer.offset):g}" if layer.offset else ""
            return " ".join(part for part in (factor, offset) if part)
        case keras.layers.MaxPooling2D():
            return f"the largest of each {_by(layer.pool_size)}"
        case keras.layers.Cropping2D():
            (top, _), (left, _) = layer.cropping
            return f"crop of {top} rows above and below, {left} columns on the left and right"
    return next((words for kind, words in JOINS.items() if isinstance(layer, kind)), type(layer).__name__.lower())


def _by(size):
    """Rows and columns as they are written, such as 3x3."""
    return "x".join(map(str, size))
