"""Training and inference: the only folder that imports Keras."""

import os

# TensorFlow's start-up lines are about its own build; they would bury ours. Errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def __getattr__(name):
    if name == "Upscaler":
        from fastup.train.upscale import Upscaler

        return Upscaler
    raise AttributeError(f"module 'fastup.train' has no attribute {name!r}")
