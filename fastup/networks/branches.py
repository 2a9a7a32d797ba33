"""Convolutions that are trained as sums of several and are one: they collapse at every call, and are folded for use.

All of a layer's branches are linear, so their sum is one convolution, whose kernel and bias follow from theirs. A call
computes those, in float32, and then convolves once: a step costs about what that of a plain convolution does (Bhardwaj
et al. 2022, "Collapsible linear blocks for super-efficient super resolution", 4.1). The input is what is padded with
zeros, so that there is no difference at the borders: where branches are run one after another, that takes a padding
by the bias before the second one (Zhang et al. 2021).
"""

from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

Shape = tuple[int | None, ...]
Kernels = dict[str, Any]  # the weights of a layer by name, as tensors or arrays


class Branches(keras.layers.Layer):
    """A convolution with a bias that is trained as a sum of branches.

    Parameters
    ----------
    filters : int
        Channels of the output.
    kernel_size : int
        Odd, along both axes.

    Input (batch, h, w, any), output (batch, h, w, filters); zeros outside the picture.
    """

    kernel_size: tuple[int, int]

    def __init__(self, filters: int, kernel_size: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = (kernel_size, kernel_size)

    def build(self, input_shape: Any) -> None:
        # Not cast to what the layer computes in: the sum is rounded once.
        self.parts = {
            name: self.add_weight(shape=shape, initializer=initializer, name=name, autocast=False)
            for name, (shape, initializer) in self._shapes(input_shape[3]).items()
        }

    def _shapes(self, channels: int) -> dict[str, tuple[Shape, Any]]:
        """The weights by name: the shape of each, and what it begins as; "bias" is one of them."""
        raise NotImplementedError

    def _collapsed(self, parts: Kernels) -> tuple[Any, Any]:
        """The kernel (rows, columns, channels, filters) and the bias that the branches sum up to."""
        raise NotImplementedError

    def _parts_of(self, kernel: Any, parts: Kernels) -> Kernels:
        """Parts that collapse to a kernel, given those that there are.

        What is multiplied with a part that becomes zero stays: were both zero, neither would ever learn.
        """
        raise NotImplementedError

    def collapsed(self) -> list[Any]:
        """The kernel and the bias of the one convolution that this is, as arrays of float32."""
        with keras.device("cpu"):  # accelerators may round the factors of products
            parts = {name: ops.convert_to_tensor(ops.convert_to_numpy(part)) for name, part in self.parts.items()}
            return [ops.convert_to_numpy(each) for each in self._collapsed(parts)]

    def expand(self, kernel: Any, bias: Any) -> None:
        """Become a convolution with this kernel and bias."""
        parts = {name: np.array(ops.convert_to_numpy(part)) for name, part in self.parts.items()}
        parts = parts | self._parts_of(np.asarray(kernel), parts) | {"bias": bias}
        for name, part in self.parts.items():
            part.assign(parts[name])

    def call(self, inputs: Any) -> Any:
        kernel, bias = self._collapsed({name: ops.convert_to_tensor(part) for name, part in self.parts.items()})
        kernel, bias = (ops.cast(each, self.compute_dtype) for each in (kernel, bias))
        return ops.add(ops.conv(inputs, kernel, padding="same", data_format="channels_last"), bias)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return *input_shape[:3], self.filters

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "filters": self.filters, "kernel_size": self.kernel_size[0]}


@keras.saving.register_keras_serializable(package="fastup")
class EdgeBranches(Branches):
    """ECBSR's edge-oriented block (Zhang et al. 2021), without the activation that follows it.

    The sum of a 3x3 convolution; of a 1x1 one that doubles the channels and a 3x3 one after it; of three 1x1 ones, each
    followed by a filter, of Sobel along both axes and of Laplace, with a factor for every channel; and of the input
    itself where there are as many channels. The biases of all are one, as it is but their sum that counts.
    """

    FILTERS: ClassVar[dict[str, list[list[float]]]] = {
        "sobel_x": [[1, 0, -1], [2, 0, -2], [1, 0, -1]],
        "sobel_y": [[1, 2, 1], [0, 0, 0], [-1, -2, -1]],
        "laplace": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
    }

    def _shapes(self, channels):
        features, small = self.filters, keras.initializers.RandomNormal(stddev=1e-3)
        shapes = {
            "kernel": ((3, 3, channels, features), _spread(0.5)),
            "widen": ((1, 1, channels, 2 * features), _spread(1)),
            "narrow": ((3, 3, 2 * features, features), _spread(0.5)),
            "bias": ((features,), "zeros"),
        }
        for name in self.FILTERS:
            shapes |= {f"{name}_mix": ((1, 1, channels, features), _spread(1)), f"{name}_factor": ((features,), small)}
        return shapes

    def _collapsed(self, parts):
        kernel = parts["kernel"] + ops.matmul(parts["widen"], parts["narrow"])
        for name, values in self.FILTERS.items():
            weights = ops.convert_to_tensor(np.array(values, np.float32)[..., None, None])
            kernel = kernel + weights * parts[f"{name}_mix"] * parts[f"{name}_factor"]
        return kernel + ops.convert_to_tensor(_identity(kernel.shape)), parts["bias"]

    def _parts_of(self, kernel, parts):
        zero = {name: np.zeros_like(parts[name]) for name in ("narrow", *(f"{name}_factor" for name in self.FILTERS))}
        return {"kernel": kernel - _identity(kernel.shape), **zero}


@keras.saving.register_keras_serializable(package="fastup")
class SwiftBranches(Branches):
    """SPAN's convolution (Wan et al. 2023, its Conv3XC, with a gain of 2).

    The sum of three convolutions one after another, 1x1, 3x3 and 1x1, of which the first two double the channels, and
    of a 1x1 one. The biases of all are one, as it is but their sum that counts.
    """

    def _shapes(self, channels):
        features = self.filters
        return {
            "widen": ((1, 1, channels, 2 * channels), _spread(1)),
            "kernel": ((3, 3, 2 * channels, 2 * features), _spread(1)),
            "narrow": ((1, 1, 2 * features, features), _spread(0.5)),
            "beside": ((1, 1, channels, features), _spread(0.5)),
            "bias": ((features,), "zeros"),
        }

    def _collapsed(self, parts):
        kernel = ops.matmul(ops.matmul(parts["widen"], parts["kernel"]), parts["narrow"])
        return kernel + ops.pad(parts["beside"], [[1, 1], [1, 1], [0, 0], [0, 0]]), parts["bias"]

    def _parts_of(self, kernel, parts):
        widen, narrow = parts["widen"].copy(), parts["narrow"].copy()
        channels, features = kernel.shape[2:]
        widen[..., :channels], narrow[:, :, :features] = np.eye(channels), np.eye(features)
        middle = np.zeros_like(parts["kernel"])
        middle[:, :, :channels, :features] = kernel
        return {"widen": widen, "kernel": middle, "narrow": narrow, "beside": np.zeros_like(parts["beside"])}


@keras.saving.register_keras_serializable(package="fastup")
class LinearBranches(Branches):
    """SESR's collapsible linear block (Bhardwaj et al. 2022).

    The sum of a convolution to `WIDE` channels and a 1x1 one after it, and of the input itself where there are as many
    channels.
    """

    WIDE = 256

    def _shapes(self, channels):
        return {
            "kernel": ((*self.kernel_size, channels, self.WIDE), _spread(1)),
            "narrow": ((1, 1, self.WIDE, self.filters), _spread(1)),
            "bias": ((self.filters,), "zeros"),
        }

    def _collapsed(self, parts):
        kernel = ops.matmul(parts["kernel"], parts["narrow"])
        return kernel + ops.convert_to_tensor(_identity(kernel.shape)), parts["bias"]

    def _parts_of(self, kernel, parts):
        wide, narrow, features = parts["kernel"].copy(), np.zeros_like(parts["narrow"]), kernel.shape[3]
        wide[..., :features] = kernel - _identity(kernel.shape)
        narrow[:, :, :features] = np.eye(features)
        return {"kernel": wide, "narrow": narrow}


def _spread(gain):
    """Begin as noise by which a convolution's output has `gain` times the variance of its input."""
    return keras.initializers.VarianceScaling(gain, "fan_in", "truncated_normal")


def _identity(shape):
    """A kernel of this shape that gives the input itself; zeros where there are not as many channels."""
    rows, columns, channels, features = shape
    kernel = np.zeros(tuple(shape), np.float32)
    if channels == features:
        kernel[rows // 2, columns // 2] = np.eye(features)
    return kernel
