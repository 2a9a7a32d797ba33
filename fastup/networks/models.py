"""The architectures, by name, and the one model class that builds, holds and saves any of them."""

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import keras

import fastup.networks.losses
import fastup.networks.muon  # noqa: F401  what files of models name, as the losses
from fastup._scales import Scale, cell_of, fractions
from fastup._types import Size
from fastup.errors import OptionError
from fastup.networks import reach
from fastup.networks.branches import Branches, EdgeBranches, LinearBranches, SwiftBranches
from fastup.networks.layers import Affine, Bicubic, Doubled, SubPixel, normalised
from fastup.networks.recurrent import Recurrence


@dataclass(frozen=True)
class Architecture:
    """A kind of network.

    Attributes
    ----------
    summary : str
        One sentence, with the source.
    build : callable
        ``build(inputs, enlarged, scale, last, **size)`` gives the target-size output from the input tile, or from its
        bicubic enlargement; `last` initialises the kernel of the last convolution. Where it `folds`, it takes `folded`,
        too.
    size : mapping
        The sizes that settings may change, with their defaults.
    defaults : mapping
        What it wants by default of the fields of `fastup.train.config.Config`; ``loss`` and ``learning_rate`` at least.
    folds : bool
        Whether it trains sums of branches, which fold into plain convolutions for use.
    recurrent : bool
        Whether it carries a state from frame to frame: see `fastup.networks.recurrent`.
    """

    summary: str
    build: Callable[..., Any]
    defaults: Mapping[str, Any]
    size: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    folds: bool = False
    recurrent: bool = False

    @property
    def loss(self) -> str:
        """Its name, as `fastup.networks.losses` has it."""
        return self.defaults["loss"]

    @property
    def learning_rate(self) -> float:
        """To start from, for Adam."""
        return self.defaults["learning_rate"]


def _convolve(x, features, kernel_size, activation=None, kernel_initializer="he_normal"):
    layer = keras.layers.Conv2D(
        features, kernel_size, padding="same", data_format="channels_last", activation=activation,
        kernel_initializer=kernel_initializer,
    )  # fmt: skip
    return layer(x)


def _prelu(x):
    return keras.layers.PReLU(alpha_initializer=keras.initializers.Constant(0.25), shared_axes=(1, 2))(x)


def _srcnn(inputs, enlarged, scale, last):
    x = _convolve(enlarged, 64, 9, "relu")
    x = _convolve(x, 32, 5, "relu")
    return _convolve(x, 3, 5, kernel_initializer=last)


def _basic(inputs, enlarged, scale, last):
    x = _convolve(enlarged, 64, 9, "relu")
    x = _convolve(x, 32, 1, "relu")
    return _convolve(x, 3, 5, kernel_initializer=last)


def _expansion(inputs, enlarged, scale, last):
    x = _convolve(enlarged, 64, 9, "relu")
    x = keras.layers.Average()([_convolve(x, 32, side, "relu") for side in (1, 3, 5)])
    return _convolve(x, 3, 5, kernel_initializer=last)  # there with a ReLU, which a difference cannot go through


def _denoise(inputs, enlarged, scale, last, features):
    def twice(x, features):
        return _convolve(_convolve(x, features, 3, "relu"), features, 3, "relu")

    def halved(x):
        return keras.layers.MaxPooling2D(2, padding="same", data_format="channels_last")(x)

    one = twice(enlarged, features)
    two = twice(halved(one), 2 * features)
    x = _convolve(halved(two), 4 * features, 3, "relu")
    for beside, wide in ((two, 2 * features), (one, features)):
        x = keras.layers.Add()([beside, twice(Doubled()([x, beside]), wide)])
    return _convolve(x, 3, 5, kernel_initializer=last)


def _fsrcnn(inputs, enlarged, scale, last, features, depth):
    x = _prelu(_convolve(inputs, features, 5))
    x = _prelu(_convolve(x, 12, 1))
    for _ in range(depth):
        x = _prelu(_convolve(x, 12, 3))
    return SubPixel(scale, kernel_size=5, kernel_initializer=last)(_prelu(_convolve(x, features, 1)))


def _vdsr(inputs, enlarged, scale, last, features, depth):
    x = enlarged
    for _ in range(depth - 1):
        x = _convolve(x, features, 3, "relu")
    return _convolve(x, 3, 3, kernel_initializer=last)


def _espcn(inputs, enlarged, scale, last):
    x = _convolve(inputs, 64, 5, "tanh", "glorot_uniform")
    x = _convolve(x, 32, 3, "tanh", "glorot_uniform")
    return SubPixel(scale, kernel_initializer=last)(x)


def _compact(inputs, enlarged, scale, last, features, depth):
    x = inputs
    for _ in range(1 + depth):
        x = _prelu(_convolve(x, features, 3))
    return SubPixel(scale, kernel_initializer=last)(x)


def _edsr(inputs, enlarged, scale, last, features, depth):
    near = keras.initializers.VarianceScaling(0.2, "fan_in", "truncated_normal")  # a block begins as little more than x
    x = _convolve(inputs, features, 3)
    for _ in range(depth):
        inside = _convolve(_convolve(x, features, 3, "relu"), features, 3, kernel_initializer=near)
        x = keras.layers.Add()([x, inside])
    return SubPixel(scale, kernel_initializer=last)(x)


def _convolver(kind, folded):
    """A function that convolves: by branches of a kind, or by the convolution that they fold into."""

    def convolve(x, features, kernel_size=3):
        return _convolve(x, features, kernel_size) if folded else kind(features, kernel_size)(x)

    return convolve


def _ecbsr(inputs, enlarged, scale, last, features, depth, folded):
    convolve = _convolver(EdgeBranches, folded)
    x = inputs
    for _ in range(1 + depth):
        x = _prelu(convolve(x, features))
    return SubPixel(scale, kernel_initializer=last)(x)


def _sesr(inputs, enlarged, scale, last, features, depth, folded):
    convolve = _convolver(LinearBranches, folded)
    x = first = _prelu(convolve(inputs, features, 5))
    for _ in range(depth):
        x = _prelu(convolve(x, features))
    return SubPixel(scale, kernel_size=5, kernel_initializer=last)(keras.layers.Add()([x, first]))


def _span(inputs, enlarged, scale, last, features, depth, folded):
    convolve = _convolver(SwiftBranches, folded)

    def activate(x):  # SiLU
        return keras.layers.Multiply()([x, keras.layers.Activation("sigmoid")(x)])

    # Published for codes of 8 bits, less their mean: an attention of small values would let nothing through.
    x = first = convolve(Affine(255, -127.5)(inputs), features)
    outputs = []
    for _ in range(depth):
        inside = convolve(x, features)
        made = convolve(activate(convolve(activate(inside), features)), features)
        attention = Affine(offset=-0.5)(keras.layers.Activation("sigmoid")(made))
        x = keras.layers.Multiply()([keras.layers.Add()([made, x]), attention])
        outputs.append(x)
    x = keras.layers.Concatenate()([first, convolve(x, features), outputs[0], inside])
    return SubPixel(scale, kernel_initializer=last)(_convolve(x, features, 1))


MODELS = MappingProxyType(
    {
        "srcnn": Architecture(
            "Three convolutions (9-5-5, 64-32) over the bicubic enlargement"
            " (Dong et al. 2014, Learning a deep convolutional network for image super-resolution).",
            _srcnn,
            defaults=MappingProxyType({"loss": "mse", "learning_rate": 1e-3}),
        ),
        "fsrcnn": Architecture(
            "Convolutions 5-1-3-3-3-3-1 with PReLU on the input, narrow in the middle, and a sub-pixel convolution for"
            " the deconvolution (Dong et al. 2016, Accelerating the super-resolution convolutional neural network).",
            _fsrcnn,
            defaults=MappingProxyType({"loss": "mse", "learning_rate": 1e-3}),
            size=MappingProxyType({"features": 56, "depth": 4}),
        ),
        "espcn": Architecture(
            "Two convolutions on the input and a sub-pixel convolution"
            " (Shi et al. 2016, Real-time single image and video super-resolution using an efficient sub-pixel"
            " convolutional neural network).",
            _espcn,
            defaults=MappingProxyType({"loss": "mse", "learning_rate": 1e-3}),
        ),
        "vdsr": Architecture(
            "Twenty 3x3 convolutions over the bicubic enlargement"
            " (Kim et al. 2016, Accurate image super-resolution using very deep convolutional networks).",
            _vdsr,
            defaults=MappingProxyType({"loss": "mse", "learning_rate": 1e-4}),
            size=MappingProxyType({"features": 64, "depth": 20}),
        ),
        **{
            name: Architecture(
                f"{words} (Wang et al. 2021, Real-ESRGAN; the repository's SRVGGNetCompact, published with 64 features,"
                " 16 deep).",
                _compact,
                # Published with an absolute error; on drawn frames a squared one gained 0.8 dB more by as many steps.
                defaults=MappingProxyType(
                    {"loss": "mse", "optimizer": "muon", "learning_rate": 4e-3, "warmup": 100}
                    | ({"span": 4, "settle": 3, "reverse": True} if name == "recurrent" else {})
                ),
                size=MappingProxyType({"features": features, "depth": depth}),
                recurrent=name == "recurrent",
            )
            for name, features, depth, words in (
                ("compact-s", 16, 4, "As compact, small"),
                ("compact", 24, 8, "SRVGGNet: a plain stack of 3x3 convolutions with PReLU, and a sub-pixel one"),
                ("compact-l", 32, 12, "As compact, large"),
                ("recurrent", 24, 8, "For film: as compact, of a frame and a mean that is carried from frame to frame"),
            )
        },
        "edsr": Architecture(
            "Blocks of two 3x3 convolutions with a ReLU between, added to what they see, on the input, and a sub-pixel"
            " convolution (Lim et al. 2017, Enhanced deep residual networks for single image super-resolution, whose"
            " baseline has 64 features, 16 blocks and a skip over all).",
            _edsr,
            defaults=MappingProxyType({"loss": "l1", "optimizer": "muon", "learning_rate": 3e-3, "warmup": 100}),
            size=MappingProxyType({"features": 32, "depth": 4}),
        ),
        "span": Architecture(
            "Blocks of three 3x3 convolutions whose output is its own attention, on the input, and a sub-pixel"
            " convolution; trains expanded, folds"
            " (Wan et al. 2023, Swift parameter-free attention network for efficient super-resolution, published with"
            " 48 features).",
            _span,
            defaults=MappingProxyType({"loss": "mse", "learning_rate": 5e-4}),
            size=MappingProxyType({"features": 24, "depth": 6}),
            folds=True,
        ),
        "ecbsr": Architecture(
            "A stack of 3x3 convolutions with PReLU on the input, trained with branches that find edges, and a"
            " sub-pixel convolution; folds"
            " (Zhang et al. 2021, Edge-oriented convolution block for real-time super resolution on mobile devices,"
            " its M4C32).",
            _ecbsr,
            defaults=MappingProxyType({"loss": "mse", "learning_rate": 5e-4}),
            size=MappingProxyType({"features": 32, "depth": 4}),
            folds=True,
        ),
        "sesr": Architecture(
            "A stack of convolutions with PReLU on the input, trained through 256 channels and with the input added,"
            " a skip over all, and a sub-pixel convolution; folds"
            " (Bhardwaj et al. 2022, Collapsible linear blocks for super-efficient super resolution, its M11).",
            _sesr,
            defaults=MappingProxyType({"loss": "mse", "learning_rate": 5e-4}),
            size=MappingProxyType({"features": 16, "depth": 11}),
            folds=True,
        ),
        "basic": Architecture(
            "Three convolutions (9-1-5, 64-32) over the bicubic enlargement"
            " (BasicSR; titu1994 2016, Image-Super-Resolution, after Dong et al. 2014).",
            _basic,
            defaults=MappingProxyType({"loss": "mse", "learning_rate": 1e-3}),
        ),
        "expansion": Architecture(
            "A 9x9 convolution, the mean of three (1-3-5) beside each other and a 5x5 one over the bicubic enlargement"
            " (ExpansionSR; titu1994 2016, Image-Super-Resolution, after Dong et al. 2014).",
            _expansion,
            defaults=MappingProxyType({"loss": "mse", "learning_rate": 1e-3}),
        ),
        "denoise": Architecture(
            "Pairs of 3x3 convolutions over the bicubic enlargement, its half and its quarter, by pooling, and back,"
            " with what was there added (DeepDenoiseSR; titu1994 2016, Image-Super-Resolution).",
            _denoise,
            defaults=MappingProxyType({"loss": "mse", "learning_rate": 1e-3}),
            size=MappingProxyType({"features": 64}),
        ),
    }
)


@keras.saving.register_keras_serializable(package="fastup")
class Network(keras.Model):
    """A super-resolution network: a native input tile in, the target tile out.

    It takes RGB (batch, h, w, 3), any number of whole cells with `border` of context around them, as normalised float32
    or as integer codes of ``input_white``, and gives (batch, H, W, 3), the target without the border, normalised;
    nothing is clipped. The loss takes targets alike. Codes become floats on the device. All convolutions pad with
    zeros. A residual network adds what it learned to the bicubic enlargement and starts as exactly that.

    Everything that describes it is one dictionary, `settings`, which travels inside the ``.keras`` file. What shapes
    the layers is read once, here; other keys are kept untouched, and may be added and changed before the next save.

    Parameters
    ----------
    settings
        What JSON can hold. ``model``: a name in `MODELS`. ``scale``: see `fastup._scales.fractions`.
        ``border``: (vertical, horizontal) target pixels, whole cells; none if absent. ``residual``: over bicubic, true
        if absent. ``features``, ``depth``: where the architecture has them. ``folded``: where it folds,
        whether it is; false if absent. The attribute of the name is a copy,
        through JSON, in which defaults fill in what is absent.

    Raises
    ------
    OptionError
        If no architecture has the name, or a size isn't a whole number of at least 1.
    ValueError
        If scale or border can't be used. TypeError if JSON can't hold the settings.
    """

    def __new__(cls, settings: Any = None) -> Any:
        """A `Cell`, where the architecture is recurrent."""
        name = settings.get("model") if cls is Network and isinstance(settings, Mapping) else None
        recurrent = isinstance(name, str) and name in MODELS and MODELS[name].recurrent
        return super().__new__(Cell if recurrent else cls)

    def __init__(self, settings: dict[str, Any]) -> None:
        settings = json.loads(json.dumps(settings))
        name: Any = settings.get("model")
        if name not in MODELS:
            raise OptionError(f"model is {name!r}, expected one of {', '.join(MODELS)}")
        architecture = MODELS[name]
        scale = fractions(settings["scale"])
        folded = {"folded": False} if architecture.folds else {}
        settings = {"border": [0, 0], "residual": True, **architecture.size, **folded, **settings}
        settings["scale"] = [list(factor.as_integer_ratio()) for factor in scale]
        size = {key: settings[key] for key in architecture.size}
        for key, value in size.items():
            if type(value) is not int or value < 1:
                raise OptionError(f"{key} is {value!r}, expected a whole number of at least 1")
        border = settings["border"]
        if len(border) != 2 or any(b < 0 or b % factor.numerator for b, factor in zip(border, scale, strict=False)):
            cell = " and ".join(str(factor.numerator) for factor in scale)
            raise ValueError(f"border is {border}, expected multiples of {cell} target pixels (vertical, horizontal)")

        super().__init__(*self._graph(settings, scale, **size, **{name: settings[name] for name in folded}))
        # Not by assignment: Keras would put a wrapper of its own around the dictionary, to find layers in it.
        self.__dict__["settings"] = settings
        self.__dict__["degrade"] = None

    @classmethod
    def _graph(cls, settings, scale, **size):
        """The inputs of the layers, and their outputs."""
        inputs = keras.Input((None, None, 3))
        return inputs, cls._picture(inputs, inputs, settings, scale, **size)

    @staticmethod
    def _picture(base, inputs, settings, scale, **size):
        """What the layers make of `inputs`; residual over `base`, enlarged."""
        enlarged = Bicubic(scale)(base)
        last = "zeros" if settings["residual"] else "glorot_uniform"
        outputs = MODELS[settings["model"]].build(inputs, enlarged, scale, last, **size)
        # The picture itself stays float32 under mixed precision: half precision can't hold 10 bits.
        if settings["residual"]:
            outputs = keras.layers.Add(dtype="float32")([enlarged, outputs])
        if any(border := settings["border"]):
            crop = keras.layers.Cropping2D([(b, b) for b in border], data_format="channels_last", dtype="float32")
            outputs = crop(outputs)
        return outputs

    @property
    def scale(self) -> Scale:
        """Target size / input size: (vertical, horizontal)."""
        return fractions(self.settings["scale"])

    @property
    def cell(self) -> tuple[Size, Size]:
        """The smallest window of whole pixels on both sides: ((input h, w), (target H, W))."""
        return cell_of(self.scale)

    @property
    def border(self) -> Size:
        """Context around a tile, in target pixels, whole cells: (vertical, horizontal)."""
        return tuple(self.settings["border"])

    @property
    def receptive(self) -> Size:
        """How far the network sees, in input pixels: (vertical, horizontal).

        The target pixels of a cell depend on the cell's input pixels and this many more on every side, no others.
        """
        return reach.receptive(self, self.scale)

    @property
    def pitch(self) -> int:
        """At multiples of how many cells from its top a strip of a picture begins, to be as in the whole.

        1, but for networks that pool, which see a picture in blocks.
        """
        return reach.pitch(self, self.scale)

    @property
    def widest(self) -> int:
        """The most values for each pixel of input, rounded up, that the output of one layer holds."""
        return reach.widest(self, self.scale)

    def folded(self) -> "Network":
        """The network with each sum of branches as the one convolution that it is; itself, where there is none."""
        if not MODELS[self.settings["model"]].folds or self.settings["folded"]:
            return self
        plain = Network({**self.settings, "folded": True})
        for ours, its in zip(plain.layers, self.layers, strict=True):
            ours.set_weights(its.collapsed() if isinstance(its, Branches) else its.get_weights())
        return plain

    def train_on_targets(self, degrade: Callable[..., Any]) -> None:
        """Take windows of targets, too, of which `degrade` makes input tiles on the device.

        They come as a tuple, the windows, normalised floats or codes of ``target_white``, and what else it takes.
        """
        self.__dict__["degrade"] = degrade
        self.input_spec = None  # by which Keras would want a single array

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if self.degrade is not None and isinstance(inputs, (tuple, list)) and len(inputs) > 2:
            windows, *others = inputs
            inputs = self.degrade(normalised(windows, self.settings.get("target_white")), *others)
        white = self.settings.get("input_white")
        inputs = keras.tree.map_structure(lambda each: normalised(each, white), inputs)
        return super().call(inputs, training, mask)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        return super().compute_loss(
            x, normalised(y, self.settings.get("target_white")), y_pred, sample_weight, training
        )

    @property
    def metrics(self) -> list[Any]:
        """Keras' own, and how much of the loss is the second of two, which JAX hands to a step if it is among them."""
        share = getattr(self.loss, "share", None)
        return super().metrics + ([share] if share is not None else [])

    def get_config(self) -> dict[str, Any]:
        return {"settings": json.loads(json.dumps(self.settings))}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> "Network":
        return cls(config["settings"])


@keras.saving.register_keras_serializable(package="fastup")
class Cell(Recurrence, Network):
    """A recurrent network: see `Recurrence`."""


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    """Layers that are made in this context compute in `name`; their weights stay float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32" if name == "float32" else f"mixed_{name}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@dataclass(frozen=True)
class Facts:
    """What a network is, in figures.

    Attributes
    ----------
    parameters : int
        As used: of branches, those of the convolution that they fold into.
    macs : float
        Multiply-adds of the convolutions for each target pixel away from the edges. Bicubic, activations and sums are
        not counted, as papers don't.
    receptive : (vertical, horizontal)
        See `Network.receptive`.
    """

    parameters: int
    macs: float
    receptive: Size


def facts(network: Network) -> Facts:
    """The figures of a network."""
    return Facts(reach.parameters(network), reach.multiply_adds(network, network.scale), network.receptive)
