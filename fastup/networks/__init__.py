"""What Keras builds, and what it takes of a device; `start` imports Keras quietly."""

import contextlib
import os
from collections.abc import Iterator

from fastup.errors import OptionError

# Before anything imports TensorFlow: its remarks would stand between ours. Errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def start() -> None:
    """Import Keras and wake its backend, with the process's stderr set aside.

    TensorFlow announces its build and the graphics cards it misses there, before any log level counts. What goes wrong
    is still raised; so is an OptionError where Keras is set to make all numbers of half precision.
    """
    with quiet():
        import keras

        keras.ops.zeros(1)
    if keras.config.floatx() in ("float16", "bfloat16"):
        raise OptionError(
            f"Keras has {keras.config.floatx()} as its floatx (keras.json, or set_floatx), expected float32: half "
            "precision does not hold pictures of 10 bits; --precision says what layers compute in"
        )


@contextlib.contextmanager
def float32() -> Iterator[None]:
    """What Keras computes in this context in float32 it computes so on cards of NVIDIA, too, on any thread.

    Their libraries round the factors of convolutions to 11 bits (TF32) unless they are told not to, and not all sizes
    alike: that is a code of 10 bits, and strips would differ from the whole.
    """
    from keras import backend

    if backend.backend() == "jax":
        import jax

        with jax.default_matmul_precision("float32"):
            yield
    elif backend.backend() == "torch":
        import torch

        before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
        try:
            yield
        finally:
            torch.backends.cudnn.allow_tf32 = before
    else:
        from tensorflow import config

        before = config.experimental.tensor_float_32_execution_enabled()
        config.experimental.enable_tensor_float_32_execution(False)
        try:
            yield
        finally:
            config.experimental.enable_tensor_float_32_execution(before)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """In this context the process's stderr goes nowhere."""
    try:
        kept = os.dup(2)
    except OSError:  # there is no stderr to keep quiet
        yield
        return
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
