"""A network as an ONNX file that other programs run, too; checked against Keras.

The graph is written node by node. Keras' own `export` needs tf2onnx, keeps channels last, and makes of one PReLU five
nodes, of bicubic gathers: on two cores its file took a tenth longer in OpenVINO, half as long again in ONNX Runtime.
"""

import json
from dataclasses import dataclass
from fractions import Fraction
from functools import partial, reduce
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import onnx.helper
import onnx.numpy_helper
from numpy.typing import NDArray

from fastup._scales import phases
from fastup._types import StrPath
from fastup._whole import whole
from fastup.errors import FastupError, OptionError
from fastup.networks.layers import Affine, Bicubic, Channels, Doubled, Leak, Recalled, SubPixel
from fastup.networks.models import Network
from fastup.pairs.colour import Colour
from fastup.upscale.fidelity import largest_difference, runner
from fastup.upscale.model import Model, load
from fastup.upscale.onnx_file import KEY, VERSION, signed

OPSET, IR_VERSION = 17, 8  # of 2022: what engines have long had
ACTIVATIONS = {"linear": None, "relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid"}
TOLERANCE = 1e-4  # of white, from Keras: a tenth of a code of 10 bits
LARGEST_KERNEL = 2**14  # values for each colour; a kernel for both axes that has more is made two
Scale = tuple[Fraction, ...]


@dataclass(frozen=True)
class Exported:
    """A file that was exported.

    Attributes
    ----------
    path : Path
    scale : (vertical, horizontal)
    whole_scale : int or None
        Of a file for programs that know whole scales alone.
    difference : float
        The largest to Keras, where white is 1.
    engine : str
        What the file was run with.
    colour : Colour or None
        What frames have to go through first: a file with a whole scale does that itself.
    """

    path: Path
    scale: Scale
    whole_scale: int | None
    difference: float
    engine: str
    colour: Colour | None = None


def export(model: StrPath | Network, out: StrPath | None = None, whole_scale: bool = False) -> Exported:
    """Write a model as an ONNX file, and hold that against Keras: it is there if it is equal, else there is none.

    Parameters
    ----------
    model : path or Network
        A ``.keras`` file that `fastup train` wrote, or what `fastup.upscale.model.load` makes of it.
    out : path
        By default the name of the model with the suffix ``.onnx``, and with its scale, as in ``best-2x.onnx``, if that
        is another file than without `whole_scale`. A file of that name is replaced.
    whole_scale : bool
        See `graph`.

    Raises
    ------
    FastupError
        If the file gives other pictures than Keras, by more than a tenth of a code of 10 bits; if the model is none, or
        ONNX Runtime is not installed.
    OptionError
        If `out` doesn't end in ``.onnx``.
    """
    if not isinstance(model, Network) and Path(model).suffix.lower() == ".onnx":
        raise FastupError(f"{model}: exported already, expected the .keras file")
    network = model if isinstance(model, Network) else load(model, compile=False)
    multiple = _multiple(network) if whole_scale else None
    if out is None:
        if isinstance(model, Network):
            raise ValueError("a network has no name: say where to write it")
        name = Path(model).with_suffix(".onnx")
        out = name if multiple is None else name.with_stem(f"{name.stem}-{multiple}x")
    out = Path(out)
    if out.suffix.lower() != ".onnx":
        raise OptionError(f"OUT is {out}, expected a name that ends in .onnx")
    with whole(out) as part:
        part.write_bytes(graph(network, whole_scale))
        engine, run = runner(part)
        difference = largest_difference(network, run, multiple)
        if not difference <= TOLERANCE:  # nor if it is NaN
            raise FastupError(
                f"{out}: not written: through {engine} it gives pictures that differ from Keras' by up to "
                f"{difference:.2g} of white, expected at most {TOLERANCE:g}"
            )
    return Exported(out, network.scale, multiple, difference, engine, Model.of(network).colour)


def graph(network: Network, whole_scale: bool = False) -> bytes:
    """A network as a serialized ONNX model: the same bytes for the same weights and settings.

    Input ``input`` (1, 3, height, width), output ``output`` (1, 3, H, W): float32, RGB, normalised. Height and width
    are those of a picture, any number of whole cells; for others the graph fails. What lies around the picture, as the
    network was trained, is filled in by the graph. Nothing is clipped.

    A recurrent network is one step: ``input`` (1, 3 * n, height, width) has the frame before, the one that is made, and
    those after it that the network looks at, one after another. ``state`` (1, S, height, width), with the network's
    border on every side, is what ``next_state`` was at the frame before: zeros where a shot begins. There the frame
    itself stands in for the one before; where one ends, for those after it.

    With `whole_scale`, H and W are one whole multiple of height and width, the largest that is not above the scale of
    either axis: below the picture, and to its right, there is what the graph cuts off, so that the picture alone gives
    the output. A 720x480 picture for the scale (9/4, 2) lies in the upper 480 of 540 rows, and the output is 1440x1080.
    Where frames have to get the colours that the network was trained in first (`Model.colour`), it does that, too, and
    clips them. Else, where the scale is one whole number, there is no difference.

    Raises
    ------
    FastupError
        If the network has a layer that it does not know.
    OptionError
        If it is recurrent, with `whole_scale`: programs that know whole scales alone carry no state.
    """
    network, about = network.folded(), Model.of(network)
    if whole_scale and about.recurrent:
        raise OptionError(
            "whole-scale is for programs that take one picture at a time, but the model carries a state from frame to "
            "frame; expected it without: the file then has the state as input and output"
        )
    multiple = _multiple(network) if whole_scale else None
    nodes = _Nodes()
    picture = "input" if multiple is None else nodes.picture_of("input", network.scale, multiple)
    if multiple is not None and (colour := Model.of(network).colour) is not None:
        picture = _recoloured(nodes, picture, colour)
    result, *states = _build(nodes, network, picture)
    if multiple is not None:  # fails where the picture is not whole cells, or not all of the output
        size = nodes.op("Mul", nodes.size("input"), nodes.numbers(multiple, multiple))
        result = nodes.op("Reshape", result, nodes.op("Concat", nodes.numbers(1, 3), size, axis=0))
    given = [_value("input", 3 * about.frames, "")]
    made = [_value("output", 3, "output_")]
    nodes.nodes.append(onnx.helper.make_node("Identity", [result], ["output"]))
    for state in states:
        given.append(_value("state", about.state, "state_" * any(about.border)))
        made.append(_value("next_state", about.state, "state_" * any(about.border)))
        nodes.nodes.append(onnx.helper.make_node("Identity", [state], ["next_state"]))
    model = onnx.helper.make_model(
        onnx.helper.make_graph(nodes.nodes, "fastup", given, made, nodes.initializers),
        producer_name="fastup", ir_version=IR_VERSION, opset_imports=[onnx.helper.make_opsetid("", OPSET)],
    )  # fmt: skip
    metadata = {
        "version": 1, "settings": network.settings, "receptive": network.receptive, "widest": network.widest,
        "whole_scale": multiple,
    }  # fmt: skip
    if network.pitch > 1:
        metadata |= {"version": VERSION, "pitch": network.pitch}
    if about.recurrent:
        metadata["version"] = VERSION
    onnx.helper.set_model_props(model, {KEY: json.dumps(metadata, sort_keys=True)})
    return signed(model.SerializeToString(deterministic=True))


def _value(name, channels, sides):
    """An input or an output of the graph, with the names of its sides."""
    shape = [1, channels, f"{sides}height", f"{sides}width"]
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)


def whole_scale_of(scale: Scale) -> int | None:
    """The largest whole number that is not above the scale of either axis; None if that is their scale."""
    multiple = min(int(factor) for factor in scale)
    return None if all(factor == multiple for factor in scale) else multiple


def _multiple(network):
    """The whole scale of a file for other programs; None if the file is no other than the one without."""
    return whole_scale_of(network.scale) or (Model.of(network).colour and int(network.scale[0]))


@dataclass(frozen=True)
class _Tensor:
    """What a layer gives: pixels; or cells, of which `scale` target pixels are to be made, as channels of one pixel."""

    name: str
    scale: Scale | None = None
    of: str = ""  # the tensor with the input pixels of the cells


class _Nodes:
    """The nodes and constants of a graph in the making."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.sizes: dict[str, str] = {}

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node; gives the name of its output."""
        name = f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, values: NDArray[Any]) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def weights(self, values: NDArray[Any]) -> str:
        return self.constant(np.asarray(values, np.float32))

    def numbers(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def size(self, name: str) -> str:
        """The (height, width) of a tensor."""
        if name not in self.sizes:
            self.sizes[name] = self.op("Slice", self.op("Shape", name), self.numbers(2), self.numbers(4))
        return self.sizes[name]

    def times(self, size: str, factors: Scale) -> str:
        """A size, scaled and rounded down."""
        if any(factor.numerator > 1 for factor in factors):
            size = self.op("Mul", size, self.numbers(*(factor.numerator for factor in factors)))
        if any(factor.denominator > 1 for factor in factors):
            size = self.op("Div", size, self.numbers(*(factor.denominator for factor in factors)))
        return size

    def pad(self, name: str, before: tuple[int, int], after: tuple[int, int], fill: str | float) -> str:
        if not any((*before, *after)):
            return name
        pads = self.numbers(0, 0, *before, 0, 0, *after)
        if fill == "edge":
            return self.op("Pad", name, pads, mode="edge")
        return self.op("Pad", name, pads, self.weights(np.array(fill)))

    def channels(self, name: str, first: int, end: int) -> str:
        """Those of its channels, as of a slice."""
        return self.op("Slice", name, self.numbers(first), self.numbers(end), self.numbers(1))

    def with_ones(self, name: str) -> str:
        """A tensor with one more channel, of ones."""
        return self.op("Pad", name, self.numbers(0, 0, 0, 0, 0, 1, 0, 0), self.weights(np.array(1)))

    def pixels(self, tensor: _Tensor) -> str:
        """The name of the pixels of a tensor; of cells, their target pixels are put where they belong.

        The sizes are those of the cells' input, so that it fails if they were not whole cells.
        """
        if tensor.scale is None:
            return tensor.name
        p_v, p_h = (factor.numerator for factor in tensor.scale)
        size = self.size(tensor.of)
        cells = self.times(size, tuple(Fraction(1, factor.denominator) for factor in tensor.scale))
        # To (colours, p_v, p_h, rows of cells, columns of cells) and back: five axes, as not all engines have six.
        split = self.op("Reshape", tensor.name, self.op("Concat", self.numbers(3, p_v, p_h), cells, axis=0))
        moved = self.op("Transpose", split, perm=[0, 3, 1, 4, 2])
        target = self.op("Concat", self.numbers(1, 3), self.times(size, tensor.scale), axis=0)
        return self.op("Reshape", moved, target)

    def picture_of(self, name: str, scale: Scale, whole_scale: int) -> str:
        """Of what a program with a whole scale gives, the picture."""
        size = self.times(self.size(name), tuple(whole_scale / factor for factor in scale))
        return self.op("Slice", name, self.numbers(0, 0), size, self.numbers(2, 3))


def _build(nodes, network, picture):
    """Add the nodes of a network; gives the names of its outputs. What is not a picture is the state."""
    model = Model.of(network)
    values: dict[int, _Tensor] = {}
    for layer in network.layers:
        if layer.output is network.inputs[0]:
            given = _Tensor(nodes.pad(picture, model.border, model.border, model.fill))
        elif isinstance(layer, keras.layers.InputLayer):
            given = _Tensor("state")
        else:
            inputs = layer.input if isinstance(layer.input, list) else [layer.input]
            given = _node_of(nodes, layer, [values[id(each)] for each in inputs])
        values[id(layer.output)] = given
    return [nodes.pixels(values[id(each)]) for each in network.outputs]


def _recoloured(nodes, picture, colour):
    """Add the nodes of a map of colours, clipped; curves become sums of what is beyond each of their bends."""
    if colour.matrix is not None:
        matrix = np.array(colour.matrix)
        made = nodes.op("Conv", picture, nodes.weights(matrix[:, :3, None, None]), nodes.weights(matrix[:, 3]))
    else:
        x, y = colour.points
        slopes, inner = np.diff(y) / np.diff(x), x[:, 1:-1].ravel()
        line = nodes.weights(slopes[:, :1, None, None]), nodes.weights(y[:, 0] - slopes[:, 0] * x[:, 0])
        made = nodes.op("Conv", picture, *line, group=3)
        if inner.size:
            ones = nodes.weights(np.ones((inner.size, 1, 1, 1)))
            beyond = nodes.op("Relu", nodes.op("Conv", picture, ones, nodes.weights(-inner), group=3))
            bends = nodes.weights(np.diff(slopes)[..., None, None])
            made = nodes.op("Add", made, nodes.op("Conv", beyond, bends, group=3))
    return nodes.op("Clip", made, nodes.weights(np.array(0)), nodes.weights(np.array(1)))


def _node_of(nodes, layer, inputs):
    """Add the nodes of a layer for what it is given; gives its output."""
    if isinstance(layer, keras.layers.Add):
        scales = {each.scale for each in inputs}
        if len(scales) == 1:  # all are cells, or none: added before the pixels are moved, which is done once
            return _Tensor(_sum(nodes, [each.name for each in inputs]), inputs[0].scale, inputs[0].of)
        return _Tensor(_sum(nodes, [nodes.pixels(each) for each in inputs]))
    if isinstance(layer, keras.layers.Multiply | keras.layers.Average | keras.layers.Concatenate):
        names = [nodes.pixels(each) for each in inputs]
        if isinstance(layer, keras.layers.Concatenate):
            return _Tensor(nodes.op("Concat", *names, axis=1))
        return _Tensor(nodes.op("Mean", *names) if isinstance(layer, keras.layers.Average) else _product(nodes, names))
    if isinstance(layer, Doubled):
        given, like = (nodes.pixels(each) for each in inputs)
        how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
        twice = nodes.op("Resize", given, "", nodes.weights(np.array([1, 1, 2, 2])), **how)
        return _Tensor(nodes.op("Slice", twice, nodes.numbers(0, 0), nodes.size(like), nodes.numbers(2, 3)))
    if isinstance(layer, Leak):
        gate, now, state = (nodes.pixels(each) for each in inputs)
        kept = nodes.op("Mul", nodes.op("Mul", gate, nodes.weights(np.array(layer.most))), state)
        return _Tensor(nodes.op("Add", kept, nodes.with_ones(now)))
    (given,) = inputs
    given = nodes.pixels(given)
    if isinstance(layer, Channels):
        return _Tensor(nodes.channels(given, layer.first, layer.first + layer.count))
    if isinstance(layer, Recalled):
        sums, count = nodes.channels(given, 0, -1), nodes.channels(given, -1, np.iinfo(np.int64).max)
        told = nodes.op("Mul", count, nodes.weights(np.array(1 / layer.most)))
        told = nodes.op("Max", told, nodes.weights(np.array(1.0)))
        return _Tensor(nodes.op("Div", nodes.op("Concat", sums, told, axis=1), count))
    if isinstance(layer, keras.layers.MaxPooling2D):  # as `networks.models` sets it
        return _Tensor(nodes.op("MaxPool", given, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]))
    if isinstance(layer, Bicubic):
        return _bicubic(nodes, given, layer.scale)
    if isinstance(layer, SubPixel):
        return _sub_pixel(nodes, given, layer)
    if isinstance(layer, keras.layers.Conv2D):
        return _Tensor(_convolution(nodes, given, layer))
    if isinstance(layer, keras.layers.PReLU) and layer.alpha.shape[:2] == (1, 1):
        return _Tensor(nodes.op("PRelu", given, nodes.weights(_array(layer.alpha).transpose(2, 0, 1))))
    if isinstance(layer, keras.layers.Activation) and (kind := ACTIVATIONS.get(layer.activation.__name__)):
        return _Tensor(nodes.op(kind, given))
    if isinstance(layer, Affine):
        scaled = given if layer.factor == 1 else nodes.op("Mul", given, nodes.weights(np.array(layer.factor)))
        return _Tensor(nodes.op("Add", scaled, nodes.weights(np.array(layer.offset))))
    if isinstance(layer, keras.layers.Cropping2D):
        (top, bottom), (left, right) = layer.cropping
        ends = [-last if last else np.iinfo(np.int64).max for last in (bottom, right)]
        return _Tensor(nodes.op("Slice", given, nodes.numbers(top, left), nodes.numbers(*ends), nodes.numbers(2, 3)))
    raise FastupError(f"layer {layer.name} is a {type(layer).__name__}, which cannot be exported as it is set")


def _sum(nodes, names):
    return reduce(partial(nodes.op, "Add"), names)


def _product(nodes, names):
    return reduce(partial(nodes.op, "Mul"), names)


def _convolution(nodes, given, layer):
    """A Conv2D with its activation."""
    activation = layer.activation.__name__
    plain = {"strides": (1, 1), "dilation_rate": (1, 1), "padding": "same", "groups": 1, "data_format": "channels_last"}
    odd = {name: getattr(layer, name) for name, usual in plain.items() if getattr(layer, name) != usual}
    if odd or activation not in ACTIVATIONS:
        raise FastupError(
            f"layer {layer.name} has {odd or f'the activation {activation}'}, which cannot be exported; expected "
            f"{plain}, {', '.join(ACTIVATIONS)}"
        )
    before = [(size - 1) // 2 for size in layer.kernel_size]
    after = [size - 1 - first for size, first in zip(layer.kernel_size, before, strict=True)]
    weights = [nodes.weights(_array(layer.kernel).transpose(3, 2, 0, 1))]
    if layer.use_bias:
        weights.append(nodes.weights(_array(layer.bias)))
    result = nodes.op("Conv", given, *weights, pads=[*before, *after])
    kind = ACTIVATIONS[activation]
    return result if kind is None else nodes.op(kind, result)


def _sub_pixel(nodes, given, layer):
    """A convolution that steps from cell to cell; its channels in the order (colours, p_v, p_h)."""
    (p_v, q_v), (p_h, q_h) = (factor.as_integer_ratio() for factor in layer.scale)
    kernel, bias = _array(layer.kernel), _array(layer.bias)
    rows, columns, features, values = kernel.shape
    kernel = kernel.reshape(rows, columns, features, p_v, p_h, layer.channels).transpose(5, 3, 4, 2, 0, 1)
    bias = bias.reshape(p_v, p_h, layer.channels).transpose(2, 0, 1)
    weights = nodes.weights(kernel.reshape(values, features, rows, columns)), nodes.weights(bias.reshape(values))
    half = layer.kernel_size // 2
    name = nodes.op("Conv", given, *weights, strides=[q_v, q_h], pads=[half] * 4)
    return _Tensor(name, layer.scale, given)


def _bicubic(nodes, given, scale):
    """Bicubic as a convolution that steps from cell to cell, over a picture whose edge pixels repeat.

    A tenth to a half of what gathers or Resize take on two cores, whose Resize is off by 1e-5 besides.
    Engines that round the factors of convolutions (TF32, half precision) have to be told not to.
    """
    kernels = [_kernel(factor) for factor in scale]
    steps = [(scale, kernels)]
    if np.prod([kernel.size for kernel, _, _ in kernels]) > LARGEST_KERNEL:
        one, (vertical, horizontal) = Fraction(1), scale
        none = _kernel(one)
        steps = [((vertical, one), [kernels[0], none]), ((one, horizontal), [none, kernels[1]])]
    tensor = _Tensor(given)
    for factors, ((vertical, top, bottom), (horizontal, left, right)) in steps:
        given = nodes.pixels(tensor)
        padded = nodes.pad(given, (top, left), (bottom, right), "edge")
        kernel = np.einsum("ia,jb->ijab", vertical, horizontal)
        kernel = np.tile(kernel.reshape(-1, 1, *kernel.shape[2:]), (3, 1, 1, 1))
        strides = [factor.denominator for factor in factors]
        tensor = _Tensor(nodes.op("Conv", padded, nodes.weights(kernel), group=3, strides=strides), factors, given)
    return tensor


def _kernel(scale):
    """Bicubic's weights (p, pixels) along an axis, for a cell and pixels before and after it; how many those are."""
    first, weights = phases(scale)
    used = [(int(first[phase]) + tap, phase, weights[phase, tap]) for phase, tap in np.argwhere(weights)]
    before = max(0, *(-pixel for pixel, _, _ in used))
    after = max(0, *(pixel - (scale.denominator - 1) for pixel, _, _ in used))
    kernel = np.zeros((scale.numerator, before + scale.denominator + after))
    for pixel, phase, weight in used:
        kernel[phase, before + pixel] = weight
    return kernel, before, after


def _array(weight):
    return keras.ops.convert_to_numpy(weight)
