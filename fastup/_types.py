"""Names for what many functions take: a path, the pixels of a frame, a size, and a function for progress."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

StrPath: TypeAlias = str | PathLike[str]
Frame: TypeAlias = NDArray[Any]  # (height, width, channels); the function says which types it takes
Codes: TypeAlias = NDArray[np.uint16]
Floats: TypeAlias = NDArray[np.float32]
Size: TypeAlias = tuple[int, int]  # height, width
Window: TypeAlias = Sequence[int]  # y, x, height, width
Progress: TypeAlias = Callable[[int, int | None, str], object]
"""Called with how many are done, how many there are to do (None where that is not known), and what is done to them."""
