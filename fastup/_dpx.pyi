"""The DPX codec: reads a window of a file, writes a picture, and turns the C core's status into an exception."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fastup._types import Codes, Floats, StrPath

TYPES: Final[dict[np.dtype[Any], int]]
THREADS_FROM: int

class Layout(NamedTuple):
    shape: tuple[int, int, int]
    white: int | None
    end: int
    unpadded: bool
    reason: str

class Problem(Protocol):
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

def error(path: StrPath, problem: Problem) -> Exception: ...
def layout(raw: bytes | bytearray | memoryview, file_bytes: int | None = None) -> Layout: ...
def probe(path: StrPath) -> Layout: ...
def read(
    path: StrPath,
    dtype: DTypeLike = "uint16",
    window: Sequence[int] | None = None,
    out: NDArray[Any] | None = None,
    element: int = 0,
    threads: int = 1,
) -> NDArray[Any]: ...
def write(path: StrPath, fd: int, header: bytes | bytearray | memoryview, frame: Codes | Floats) -> None: ...
def describe(array: object) -> str: ...
