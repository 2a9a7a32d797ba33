"""fastup restores old animation: a 10-bit DPX codec, tile kernels, and small networks trained on pairs of frames.

The names below are found when they are first used, so that importing fastup costs little more than NumPy.
"""

import importlib
from typing import Any

import numpy as np  # noqa: F401  every function here takes or gives arrays

_NAMES = {
    "errors": ("FastupError", "DpxError", "DataError", "OptionError"),
    "header": ("Header",),
    "codes": ("Descriptor", "Transfer", "Colorimetric", "Packing", "Orientation", "Timecode"),
    "frames": ("read", "read_header", "write", "find", "stream", "write_stream"),
    "footage.opening": ("source", "sink"),
    "_grid": ("TileGrid",),
    "_tiles": ("cut", "stitch", "detail", "rank"),
    "upscale.upscaler": ("Upscaler",),
}
_MODULES = {"telecine": "footage.telecine"}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__version__ = "0.1.0"
__all__ = sorted([*_HOME, *_MODULES])


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        value = importlib.import_module(f"fastup.{_MODULES[name]}")
    elif name in _HOME:
        value = getattr(importlib.import_module(f"fastup.{_HOME[name]}"), name)
    else:
        raise AttributeError(f"module 'fastup' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
