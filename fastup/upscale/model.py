"""What a model is, whatever runs it: its settings, its scale, how far it sees, and the file that it comes from."""

import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fastup._scales import Scale, cell_of, fractions
from fastup._types import Size, StrPath
from fastup.errors import FastupError
from fastup.networks import start
from fastup.upscale.onnx_file import NEEDED

if TYPE_CHECKING:
    from fastup.networks.models import Network


@dataclass(frozen=True)
class Model:
    """A trained model: a `Network`, which Keras has.

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
    network : Network or None
        What Keras runs.
    """

    name: str
    settings: dict[str, Any]
    receptive: Size
    widest: int
    network: "Network | None" = None

    @classmethod
    def of(cls, model: "StrPath | Network") -> "Model":
        """The model of a file, or of a network. FastupError if the file is no such model, OSError if it is missing."""
        name = os.fspath(model) if isinstance(model, str | os.PathLike) else "the network"
        network = load(model, compile=False) if isinstance(model, str | os.PathLike) else model
        return cls(name, network.settings, network.receptive, network.widest, network)

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
    def fill(self) -> Literal["edge"] | float:
        """What lies outside the picture: "edge", or the black level, normalised."""
        return fill_of(self.settings)


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
    start()
    import keras

    from fastup.networks.models import Network

    if not zipfile.is_zipfile(path):
        raise FastupError(f"{path}: not a model, expected a .keras file that `fastup train` wrote")
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
