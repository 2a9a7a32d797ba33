"""Frames through a model: whole films, and how near they come to what they should be."""
