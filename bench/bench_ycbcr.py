"""Planes of Y, Cb and Cr of a frame of 10-bit R, G, B, against libswscale (through PyAV): 1440x1080, one thread.

libswscale takes planes of G, B and R, which the frame is parted into first, as a program that has frames does. It works
in fewer bits, and is off by up to three codes; ours is exact, for which it may take up to twice as long.
"""

import av
import numpy as np
import pytest

from fastup import _ycbcr

SIZE = 1080, 1440
PIXELS = {"4:2:2": "yuv422p10le", "4:2:0": "yuv420p10le", "4:4:4": "yuv444p10le"}


def parted(frame):
    """The frame as FFmpeg takes it: planes of G, B, R."""
    given = av.VideoFrame(SIZE[1], SIZE[0], "gbrp10le")
    for plane, channel in zip(given.planes, (1, 2, 0), strict=True):
        rows = np.frombuffer(plane, np.uint16).reshape(SIZE[0], -1)
        rows[:, : SIZE[1]] = frame[:, :, channel]
    return given


@pytest.fixture
def converted():
    """A function: FFmpeg's frame, and its pixel format, to planes."""
    reformatter = av.video.reformatter.VideoReformatter()

    def converted(given, pixels):
        made = reformatter.reformat(
            given, format=pixels, src_colorspace="ITU709", dst_colorspace="ITU709", src_color_range="JPEG",
            dst_color_range="MPEG", threads=1,
        )  # fmt: skip
        return [np.frombuffer(plane, np.uint16).reshape(plane.height, -1)[:, : plane.width] for plane in made.planes]

    return converted


@pytest.mark.parametrize("subsampling", PIXELS)
def test_planes(subsampling, picture, converted, against):
    frame = picture(SIZE)

    def ours():
        return _ycbcr.planes(frame, 1023, 10, matrix="709", subsampling=subsampling)

    def peer():
        return converted(parted(frame), PIXELS[subsampling])

    apart = [found.astype(int) - theirs for found, theirs in zip(ours(), peer(), strict=True)]
    assert max(np.abs(plane).max() for plane in apart) <= 4
    against(ours, peer, at_most=2.5, right=not any(plane.any() for plane in apart))
