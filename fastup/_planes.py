"""Numba kernels between frames and engines: codes or floats to what an engine takes, and what it gives to either.

An engine takes and gives ``float32``, as planes (channels, height, width) or as pixels (height, width, channels). To
the kernels pixels are one plane, whose rows are as long as all channels together.
"""

import numpy as np
from numba import njit

from fastup._tiles import memory_of
from fastup._types import Codes, Floats, Frame


def floats_of(picture: Frame, white: int | None, planes: bool) -> tuple[Floats, int]:
    """A picture as an engine takes it, and what is to be checked of it.

    Parameters
    ----------
    picture : (height, width, channels) array of uint16 or float32
        Rows may be strided (a trimmed view is not copied).
    white
        What codes are divided by; ignored for floats.
    planes
        Whether the result is (channels, height, width), or as the picture.

    Returns
    -------
    floats : ndarray of float32
    check : int
        The largest code; of floats, how many are NaN or infinity.
    """
    height, width, channels = picture.shape
    memory, pitch = memory_of(picture)
    out = np.empty((channels, height, width) if planes else picture.shape, np.float32)
    to = out if planes else out.reshape(1, height, width * channels)
    if picture.dtype == np.uint16:
        return out, _floats_of_codes(memory, pitch, np.float32(white), to)
    return out, _floats_of_floats(memory, pitch, to)


def codes_of(result: Floats, white: int, planes: bool) -> tuple[Codes, int]:
    """What an engine gave as a frame of the nearest codes, clipped, exactly as `fastup.codes.codes_of`; and its NaNs.

    `result` is C-contiguous, planes or pixels as `planes` says; a NaN becomes 0 and is counted.
    """
    out, given, to = _frame_of(result, planes, np.uint16)
    return out, _codes_of(given, np.float64(white), to)


def clipped(result: Floats, planes: bool) -> tuple[Floats, int]:
    """What an engine gave as a frame of floats, clipped to 0..1; and how many are NaN, of which 0 is made."""
    out, given, to = _frame_of(result, planes, np.float32)
    return out, _clipped(given, to)


def _frame_of(result, planes, dtype):
    """An empty frame for a result; the result and the frame as the kernels see them."""
    if planes:
        channels, height, width = result.shape
        out = np.empty((height, width, channels), dtype)
        return out, result, out
    height, width, channels = result.shape
    out = np.empty(result.shape, dtype)
    return out, result.reshape(1, height, width * channels), out.reshape(height, width * channels, 1)


@njit(cache=True, nogil=True)
def _floats_of_codes(memory, pitch, white, out):
    channels, height, width = out.shape
    largest = np.uint16(0)
    for y in range(height):
        row = memory[y * pitch : y * pitch + width * channels]
        for channel in range(channels):
            target = out[channel, y]
            for x in range(width):
                code = row[x * channels + channel]
                largest = max(largest, code)
                target[x] = np.float32(code) / white
    return int(largest)


@njit(cache=True, nogil=True)
def _floats_of_floats(memory, pitch, out):
    channels, height, width = out.shape
    finite = 0
    most = np.float32(3.4028234663852886e38)
    for y in range(height):
        row = memory[y * pitch : y * pitch + width * channels]
        for channel in range(channels):
            target = out[channel, y]
            for x in range(width):
                value = row[x * channels + channel]
                finite += abs(value) <= most
                target[x] = value
    return out.size - finite


@njit(cache=True, nogil=True)
def _interleave(rows, out):
    if rows.shape[0] == 3:
        red, green, blue = rows[0], rows[1], rows[2]
        for x in range(red.size):
            out[x, 0], out[x, 1], out[x, 2] = red[x], green[x], blue[x]
    else:
        for channel in range(rows.shape[0]):
            out[:, channel] = rows[channel]


@njit(cache=True, nogil=True)
def _codes_of(given, white, out):
    channels, height, width = given.shape
    numbers = 0
    lines = out.reshape(height, width * channels)
    rows = np.empty((channels, width), out.dtype)  # it is twice as fast as to write where they go
    for y in range(height):
        for channel in range(channels):
            source, row = given[channel, y], rows[channel] if channels > 1 else lines[y]
            for x in range(width):
                value = source[x]
                numbers += value == value
                value = value if value > 0 else np.float32(0)
                value = value if value < 1 else np.float32(1)
                row[x] = np.uint16(np.int32(np.float64(value) * white + 0.5))  # exact: 24 bits times 16
        if channels > 1:
            _interleave(rows, out[y])
    return given.size - numbers


@njit(cache=True, nogil=True)
def _clipped(given, out):
    channels, height, width = given.shape
    numbers = 0
    lines, rows = out.reshape(height, width * channels), np.empty((channels, width), out.dtype)
    for y in range(height):
        for channel in range(channels):
            source, row = given[channel, y], rows[channel] if channels > 1 else lines[y]
            for x in range(width):
                value = source[x]
                numbers += value == value
                value = value if value > 0 else np.float32(0)
                row[x] = value if value < 1 else np.float32(1)
        if channels > 1:
            _interleave(rows, out[y])
    return given.size - numbers
