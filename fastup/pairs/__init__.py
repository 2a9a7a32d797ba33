"""Pairs of frames to train on: found, checked, made DPX, ranked. Nothing here knows Keras."""
