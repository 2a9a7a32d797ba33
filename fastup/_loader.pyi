"""Reads DPX ahead of its consumer on threads of its own: frames in order, batches of tiles."""

from collections.abc import Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from fastup._types import Frame, Size, StrPath

@final
class Problem:
    @property
    def side(self) -> int: ...
    @property
    def frame(self) -> int: ...
    @property
    def status(self) -> int: ...
    @property
    def field(self) -> str: ...
    @property
    def at(self) -> int: ...
    @property
    def expected(self) -> str | None: ...
    @property
    def found(self) -> int: ...
    @property
    def needed(self) -> int: ...

class FrameStream:
    def __init__(self, files: Sequence[StrPath], *, type: int, threads: int, ahead: int) -> None: ...
    def next(self) -> Frame | Problem: ...
    def close(self) -> None: ...

class FrameKind:
    def __init__(self, size: Size, white: int | None, picture: tuple[int, int, int, int]) -> None: ...  # y, x, h, w

class Side:
    def __init__(
        self,
        *,
        files: Sequence[StrPath],
        kinds: Sequence[FrameKind],
        kind_of: Sequence[int],  # of each file, its place in `kinds`
        tile: Size,
        fill: float | None = None,  # a code where all kinds have one white, else normalised
    ) -> None: ...

class TileLoader:
    def __init__(self, inputs: Side, targets: Side, *, threads: int, open_files: int) -> None: ...
    def submit(self, tiles: NDArray[np.integer]) -> None: ...  # (n, 6): frame, corners, turn; turn + 8: no target
    def take(self) -> tuple[NDArray[Any], NDArray[Any]] | Problem: ...
    def clear(self) -> None: ...
    def close(self) -> None: ...
