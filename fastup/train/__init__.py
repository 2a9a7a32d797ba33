"""Training and inference: the only folder that imports Keras."""

import os
import sys


def __getattr__(name):
    if name == "Upscaler":
        start()
        from fastup.train.upscale import Upscaler

        return Upscaler
    raise AttributeError(f"module 'fastup.train' has no attribute {name!r}")


def start():
    """Import Keras and wake its backend, with the process's stderr set aside.

    TensorFlow announces its build and the graphics cards it misses there, before any log level counts. What goes wrong
    is still raised.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import keras

        keras.ops.zeros(1)
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
