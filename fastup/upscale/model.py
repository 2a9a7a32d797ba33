"""What a model is, whatever runs it: its settings, its scale, how far it sees, and the file that it comes from."""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fastup._scales import Scale, cell_of, fractions
from fastup._types import Size, StrPath
from fastup.errors import DataError, FastupError, OptionError
from fastup.networks import start
from fastup.pairs.colour import Colour
from fastup.trim import parse
from fastup.upscale.onnx_file import NEEDED, read_metadata

if TYPE_CHECKING:
    from fastup.networks.models import Network


LONG = 240  # frames after which a state counts nothing, where it was not measured


@dataclass(frozen=True)
class Model:
    """A trained model: a `Network`, which Keras has, or an ONNX graph that was made of one.

    Attributes
    ----------
    name : str
        Of its file, for errors.
    settings : dict
        What it was trained with.
    receptive : (vertical, horizontal)
        How far it sees, in input pixels: see `Network.receptive`.
    widest : int
        Values for each input pixel that a layer gives at most: see `Network.widest`.
    pitch : int
        At multiples of how many cells strips begin: see `Network.pitch`.
    network : Network or None
        What Keras runs.
    live : bool
        Whether the network was not loaded for this, and may be trained on.
    onnx : bytes or None
        What all others run, if it comes from such a file.
    """

    name: str
    settings: dict[str, Any]
    receptive: Size
    widest: int
    pitch: int = 1
    network: "Network | None" = None
    live: bool = False
    onnx: bytes | None = None

    @classmethod
    def of(cls, model: "StrPath | Network") -> "Model":
        """The model of a file, or of a network. FastupError if the file is no such model, OSError if it is missing."""
        if not isinstance(model, str | os.PathLike):
            return cls._of("the network", model, live=True)
        if not os.fspath(model).lower().endswith(".onnx"):
            network = load(model, compile=False)
            _check(model, network.settings)
            return cls._of(os.fspath(model), network)
        onnx = Path(model).read_bytes()  # once: training may put another file there
        found = read_metadata(onnx, os.fspath(model))
        if found["whole_scale"] is not None:
            raise DataError(
                f"{model}: made by --whole-scale for other programs; expected the .onnx without it, or the .keras file"
            )
        _check(model, found["settings"])
        vertical, horizontal = found["receptive"]
        pitch = found.get("pitch", 1)
        return cls(os.fspath(model), found["settings"], (vertical, horizontal), found["widest"], pitch, onnx=onnx)

    @classmethod
    def _of(cls, name, network, live=False):
        facts = network.settings, network.receptive, network.widest, network.pitch
        return cls(name, *facts, network=network, live=live)

    @property
    def colour(self) -> Colour | None:
        """What gives SD frames the colours that it was trained in, those of the targets; None where they had them."""
        given = self.settings.get("colour")
        return None if given is None else Colour.of(given)

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
        """The context that it takes around a picture, in input pixels: (vertical, horizontal)."""
        vertical, horizontal = (int(b / s) for b, s in zip(self.settings["border"], self.scale, strict=True))
        return vertical, horizontal

    @property
    def recurrent(self) -> bool:
        """Whether it sees a frame's neighbours, and carries a state from frame to frame."""
        return self.settings.get("state") is not None

    @property
    def lookahead(self) -> int:
        """How many frames after the one that it makes it sees."""
        return self.settings["lookahead"] if self.recurrent else 0

    @property
    def frames(self) -> int:
        """How many frames it sees at a time: the one before, the one that it makes, and those after it."""
        return 2 + self.lookahead if self.recurrent else 1

    @property
    def state(self) -> int:
        """Values for each pixel of input, with the border, that are carried from frame to frame."""
        return self.settings["state"] if self.recurrent else 0

    @property
    def warmup(self) -> int:
        """How many frames before a part of a film make it equal to the whole, to half a code of 10 bits."""
        return self.settings.get("warmup_frames", LONG) if self.recurrent else 0

    @property
    def fill(self) -> Literal["edge"] | float:
        """What lies outside the picture: "edge", or the black level, normalised."""
        return fill_of(self.settings)


def _check(name, settings):
    """Raise DataError where settings are none that `fastup train` writes, such as a scale below 1."""
    try:
        cell = cell_of(fractions(settings["scale"]))[1]
        if any(border % factor for border, factor in zip(settings["border"], cell, strict=True)):
            raise ValueError(f"border is {settings['border']}, expected multiples of {cell}")
        for trim in ("trim", "input_trim"):
            parse(settings[trim], trim)
        whites = [settings[side] for side in ("input_white", "target_white")]
        if any(white is not None and (type(white) is not int or not 1 <= white <= 65535) for white in whites):
            raise ValueError(f"white is {whites}, expected codes")
        if settings.get("state") is not None:
            sizes = [settings["lookahead"], settings["state"], settings.get("warmup_frames", 0)]
            if any(type(size) is not int or size < 0 for size in sizes):
                raise ValueError(f"lookahead, state and warmup_frames are {sizes}, expected whole numbers")
        float(0 if settings["black_level"] == "edge" else settings["black_level"])
        if Fraction(*settings["pixel_aspect"]) <= 0:
            raise ValueError(f"pixel_aspect is {settings['pixel_aspect']}")
        dict(settings.get("levels") or {})
        if settings.get("colour") is not None:
            Colour.of(settings["colour"])
    except (OptionError, ValueError, TypeError, KeyError, ZeroDivisionError) as error:
        raise DataError(f"{name}: its settings are not those of a model: {error}") from None


def fill_of(settings: Mapping[str, Any]) -> Literal["edge"] | float:
    """What lies outside the picture: "edge", or the black level, normalised by the input's white."""
    black = settings["black_level"]
    return black if black == "edge" else black / (settings["input_white"] or 1)


def load(path: StrPath, compile: bool = True) -> "Network":
    """The `Network` of a ``.keras`` file, with its optimiser if `compile`.

    Raises FastupError if it is none, OSError if it is missing.
    """
    path = Path(path)
    os.stat(path)
    if not zipfile.is_zipfile(path):
        raise FastupError(f"{path}: not a model, expected a .keras or .onnx file that `fastup train` wrote")
    if find_spec("keras") is None:
        raise FastupError(
            f"{path}: a .keras file, for which Keras is needed: pip install 'fastup[train]'; or make an .onnx of it by "
            "`fastup export` where Keras is"
        )
    start()
    import keras

    from fastup.networks.models import Network

    try:
        with zipfile.ZipFile(path) as archive:  # Keras itself would not notice all damage to weights
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} is damaged")
        network = keras.saving.load_model(path, compile=compile)
    except Exception as error:  # damage shows anywhere: zip, zlib, JSON, HDF5, Keras
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise FastupError(f"{path}: not a model that fastup can load: {reason}") from error
    if not isinstance(network, Network) or not network.settings.keys() >= NEEDED:
        raise FastupError(f"{path}: a Keras model, but not one that `fastup train` wrote")
    return network
