"""Layers that enlarge by exact fractions, a fixed bicubic one and a learned sub-pixel convolution; and small ones.

Inputs hold whole cells along both axes, see `fastup._scales`. Pictures are channels last: (batch, height, width,
channels). Everything here is written with ``keras.ops`` alone, so it runs on every Keras backend.
"""

from collections.abc import Iterable
from typing import Any

import keras
from keras import ops

from fastup._scales import fractions, phases

Shape = tuple[int | None, ...]


def _cells(shape, scale):
    """How many cells an input of this shape holds, (rows, columns); refuses a known size that isn't whole cells."""
    counts = []
    for name, size, factor in zip(("height", "width"), shape[1:3], scale, strict=True):
        if isinstance(size, int) and size % factor.denominator:
            raise ValueError(
                f"input {name} is {size} pixels, expected a multiple of {factor.denominator} (scale {factor})"
            )
        counts.append(None if size is None else size // factor.denominator)
    return counts


def _enlarged(shape, scale):
    """The (height, width) of a layer's output; None where the input's isn't known."""
    counts = _cells(shape, scale)
    return [None if n is None else n * factor.numerator for n, factor in zip(counts, scale, strict=True)]


@keras.saving.register_keras_serializable(package="fastup")
class Bicubic(keras.layers.Layer):
    """Bicubic enlargement by exact fractions; nothing in it is learned. Outside the picture its edge pixels repeat.

    It gathers and sums pixels rather than convolving with a fixed kernel, because accelerators round the factors of
    convolutions to 11 bits (TF32) by default, which is half a code value of a 10-bit picture. For the same reason it
    keeps float32 under mixed precision, unless told otherwise by `dtype`.

    Parameters
    ----------
    scale : see `fastup._scales.fractions`
        (vertical, horizontal), at least 1 each.

    Input (batch, h, w, channels), whole cells; output (batch, h * vertical, w * horizontal, channels).
    """

    def __init__(self, scale: Iterable[Any], dtype: str = "float32", **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.scale = fractions(scale)

    def call(self, inputs: Any) -> Any:
        _cells(ops.shape(inputs), self.scale)
        outputs = self._enlarge(inputs, 1)
        return self._enlarge(outputs, 2)

    def _enlarge(self, inputs, axis):
        scale = self.scale[axis - 1]
        if scale == 1:
            return inputs
        first, weights = phases(scale)
        shape = list(ops.shape(inputs))
        size = shape[axis]
        starts = ops.arange(0, size, scale.denominator, dtype="int32")
        pixels = ops.expand_dims(starts, 1) + ops.convert_to_tensor(first, dtype="int32")  # (cells, p)
        # Taking with two-dimensional indices splits the axis in (cells, p); the weights go along p.
        outputs = 0
        for tap in range(4):
            weight = weights[:, tap].reshape((-1,) + (1,) * (3 - axis))
            taken = ops.take(inputs, ops.clip(pixels + tap, 0, size - 1), axis=axis)
            outputs = outputs + taken * ops.convert_to_tensor(weight, dtype=inputs.dtype)
        shape[axis] = size // scale.denominator * scale.numerator
        return ops.reshape(outputs, shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape[0], *_enlarged(input_shape, self.scale), input_shape[3]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": [list(factor.as_integer_ratio()) for factor in self.scale]}


@keras.saving.register_keras_serializable(package="fastup")
class SubPixel(keras.layers.Layer):
    """A sub-pixel convolution by exact fractions: one convolution gives all target pixels of a cell at once.

    ESPCN's last layer (Shi et al. 2016, "Real-time single image and video super-resolution using an efficient
    sub-pixel convolutional neural network"), which knows whole scales alone, made to work for p/q. The convolution
    steps from cell to cell (stride q), sees the cell and ``kernel_size // 2`` pixels around it (zeros outside the
    picture), and gives p_v * p_h * channels values, which become the cell's p_v x p_h target pixels. For a whole scale
    that is a convolution followed by depth-to-space.

    Parameters
    ----------
    scale : see `fastup._scales.fractions`
        (vertical, horizontal), at least 1 each.
    channels : int
        Of the output.
    kernel_size : int
        Odd. The kernel is q + kernel_size - 1 pixels along each axis.
    kernel_initializer : str or keras.Initializer
        "zeros" makes a residual network start at what it adds to.

    Input (batch, h, w, any), whole cells; output (batch, h * vertical, w * horizontal, channels).
    """

    def __init__(
        self, scale: Iterable[Any], channels: int = 3, kernel_size: int = 3,
        kernel_initializer: Any = "glorot_uniform", **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        if kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {kernel_size}, expected an odd number")
        self.scale = fractions(scale)
        self.channels = channels
        self.kernel_size = kernel_size
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape: Shape) -> None:
        kernel = tuple(factor.denominator + self.kernel_size - 1 for factor in self.scale)
        values = self.scale[0].numerator * self.scale[1].numerator * self.channels
        self.kernel = self.add_weight(
            shape=(*kernel, input_shape[3], values), initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = self.add_weight(shape=(values,), initializer="zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        batch = ops.shape(inputs)[0]
        rows, columns = _cells(ops.shape(inputs), self.scale)
        (p_v, q_v), (p_h, q_h) = (factor.as_integer_ratio() for factor in self.scale)
        # Over whole cells, 'same' adds kernel_size - 1 zeros along an axis, half of them on either side.
        values = ops.conv(inputs, self.kernel, strides=(q_v, q_h), padding="same", data_format="channels_last")
        values = ops.add(values, self.bias)
        # Output row (row of cells, row within the cell), likewise for columns; colours are contiguous all the way.
        values = ops.reshape(values, (batch, rows, columns, p_v, p_h * self.channels))
        values = ops.transpose(values, (0, 1, 3, 2, 4))
        return ops.reshape(values, (batch, rows * p_v, columns * p_h, self.channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape[0], *_enlarged(input_shape, self.scale), self.channels

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "scale": [list(factor.as_integer_ratio()) for factor in self.scale],
            "channels": self.channels,
            "kernel_size": self.kernel_size,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="fastup")
class Affine(keras.layers.Layer):
    """Every value times a factor, plus an offset. Nothing in it is learned."""

    def __init__(self, factor: float = 1.0, offset: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor, self.offset = factor, offset

    def call(self, inputs: Any) -> Any:
        return inputs * self.factor + self.offset

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "factor": self.factor, "offset": self.offset}


@keras.saving.register_keras_serializable(package="fastup")
class Doubled(keras.layers.Layer):
    """Every pixel four times, as 2 x 2, of as many as a second input has: the way back from pooling by 2.

    Where the second input has an odd number of rows, the last ones are there once; columns likewise.
    """

    def call(self, inputs: Any) -> Any:
        picture, like = inputs
        rows, columns = ops.shape(like)[1:3]
        picture = ops.repeat(ops.repeat(picture, 2, axis=1), 2, axis=2)
        return picture[:, :rows, :columns]

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        picture, like = input_shape
        return *like[:3], picture[3]


@keras.saving.register_keras_serializable(package="fastup")
class Channels(keras.layers.Layer):
    """Some channels of its input: `count` from the `first` on."""

    def __init__(self, first: int, count: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.first, self.count = first, count

    def call(self, inputs: Any) -> Any:
        return inputs[..., self.first : self.first + self.count]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return *input_shape[:-1], self.count

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "first": self.first, "count": self.count}


@keras.saving.register_keras_serializable(package="fastup")
class Leak(keras.layers.Layer):
    """The next state of a recurrent network: ``most * gate * state``, plus the values of this frame and a count of one.

    Takes [gate (..., 1), values (..., n), state (..., n + 1)], gives a state. Where gates are of 0 to 1, any two states
    come nearer to one another by `most` or more, as it is less than 1: nothing can build up, however long a film is.
    """

    def __init__(self, most: float, dtype: str = "float32", **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.most = most

    def call(self, inputs: Any) -> Any:
        gate, values, state = inputs
        return self.most * gate * state + ops.concatenate([values, ops.ones_like(gate)], axis=-1)

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return input_shape[2]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "most": self.most}


@keras.saving.register_keras_serializable(package="fastup")
class Recalled(keras.layers.Layer):
    """What a state (..., n + 1) of `Leak` remembers: the means of its values, and one over how many they are of.

    More than ``most`` are told as so many, so that a network hears of no more than it was trained on.
    """

    def __init__(self, most: float, dtype: str = "float32", **kwargs: Any) -> None:
        super().__init__(dtype=dtype, **kwargs)
        self.most = most

    def call(self, inputs: Any) -> Any:
        count = inputs[..., -1:]
        return ops.concatenate([inputs[..., :-1], ops.maximum(count / self.most, 1.0)], axis=-1) / count

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "most": self.most}


def normalised(pixels: Any, white: int | None) -> Any:
    """Floats as they are; codes over white, as float32."""
    if keras.backend.is_float_dtype(keras.backend.standardize_dtype(pixels.dtype)):
        return pixels
    return keras.ops.cast(pixels, "float32") / white
