"""The mean of what a network makes of a picture flipped and turned: slower, and often a little nearer to the truth."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from fastup._scales import Scale
from fastup._types import Floats


@dataclass(frozen=True)
class Ensemble:
    """Makes a picture as the mean of what `make` gives of its flips; at equal scales, of its turns too.

    To a network that treats all directions alike, as bicubic does, it makes no difference but that of rounding. Each
    call is `views` calls of `make`, one after the other.

    Attributes
    ----------
    make : callable
        Takes a picture, normalised and C-contiguous, of any size of whole cells; gives the one upscaled, unclipped.
    scale : (vertical, horizontal)
        Output picture / input picture.
    planes : bool
        Whether pictures are (channels, height, width), or (height, width, channels).
    steps : callable, optional
        What makes a step of a recurrent network.
    """

    make: Callable[[Floats], Floats]
    scale: Scale
    planes: bool = False
    steps: Callable[[Floats, Floats | None], tuple[Floats, Floats]] | None = None

    @property
    def views(self) -> int:
        """How many pictures the mean is of: 4, or 8."""
        return 8 if self._turns else 4

    @property
    def words(self) -> str:
        """What is done, for people."""
        return f"{self.views} times a frame, the mean of its flips{' and turns' * self._turns}"

    @property
    def _turns(self) -> bool:
        return self.scale[0] == self.scale[1]

    def __call__(self, picture: Floats) -> Floats:
        """The upscaled picture, float32, unclipped; a new array."""
        return self._mean(picture, lambda view, _: self.make(view))

    def step(self, frames: Floats, states: list[Floats] | None = None) -> tuple[Floats, list[Floats]]:
        """A step of a recurrent network, as of `Engine.step`: each view has a state of its own."""
        step, after = self.steps, list[Floats]()
        assert step is not None

        def made(view, number):
            one, state = step(view, None if states is None else states[number])
            after.append(state)
            return one

        return self._mean(frames, made), after

    def _mean(self, picture, make):
        rows, columns = (1, 2) if self.planes else (0, 1)
        total: Any = 0
        flips = (), (rows,), (columns,), (rows, columns)
        for number, (turned, axes) in enumerate(product((False, True)[: 1 + self._turns], flips)):
            view = np.flip(picture, axes)
            made = make(np.ascontiguousarray(view.swapaxes(rows, columns) if turned else view), number)
            total += np.flip(made.swapaxes(rows, columns) if turned else made, axes)
        return total / np.float32(self.views)
