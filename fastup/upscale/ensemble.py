"""The mean of what a network makes of a picture flipped and turned: slower, and often a little nearer to the truth."""

from collections.abc import Callable
from dataclasses import dataclass
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
    """

    make: Callable[[Floats], Floats]
    scale: Scale
    planes: bool = False

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
        rows, columns = (1, 2) if self.planes else (0, 1)
        total: Any = 0
        for turned in (False, True)[: 1 + self._turns]:
            for axes in ((), (rows,), (columns,), (rows, columns)):
                view = np.flip(picture, axes)
                made = self.make(np.ascontiguousarray(view.swapaxes(rows, columns) if turned else view))
                total += np.flip(made.swapaxes(rows, columns) if turned else made, axes)
        return total / np.float32(self.views)
