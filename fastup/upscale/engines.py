"""What runs a model: Keras."""

from abc import ABC, abstractmethod
from importlib.metadata import version

import numpy as np

from fastup import _free
from fastup._types import Floats
from fastup.upscale.model import Model


class Engine(ABC):
    """Runs a model.

    Attributes
    ----------
    words : str
        What it is and on which device, for people.
    planes : bool
        Whether pictures are (channels, height, width) to it, or (height, width, channels).
    takes : pair of float
        How many times it has the values of the widest layer in memory, and how many times those of a target picture,
        as measured: see `fastup.upscale.strips.taken`.
    """

    words: str
    planes: bool
    takes: tuple[float, float]

    def free(self) -> int | None:
        """Bytes that are free where it runs; None if that is not known."""
        return _free.of_machine()

    @abstractmethod
    def run(self, picture: Floats) -> Floats:
        """The target picture of a picture: C-contiguous, normalised, nothing clipped; a new array.

        Any size of whole cells will do; what lies outside of it is the engine's to fill in. One call at a time.
        Raises MemoryError where the device has no room for it.
        """


class Keras(Engine):
    """Any backend of Keras. The network may be changed between calls."""

    planes = False
    takes = 5, 9

    def __init__(self, model: Model) -> None:
        from keras import backend

        assert model.network is not None
        self._model, self._network = model, model.network
        self.words = f"Keras {version('keras')} on {backend.backend()}"

    def run(self, picture: Floats) -> Floats:
        (v, h), fill = self._model.border, self._model.fill
        around = ((v, v), (h, h), (0, 0))
        padded = np.pad(picture, around, **({"mode": "edge"} if fill == "edge" else {"constant_values": fill}))
        with _free.as_memory_errors():
            return np.ascontiguousarray(self._network.predict_on_batch(padded[np.newaxis])[0])

    def free(self) -> int | None:
        from fastup.networks import memory

        return memory.free()
