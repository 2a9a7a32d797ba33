"""What a script may do with each public name, and the types that it gets; `test_types.py` has mypy check it."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fastup

assert_type(fastup.read("f.dpx"), NDArray[np.uint16])
assert_type(fastup.read("f.dpx", np.float16, threads=2), NDArray[Any])
frame = fastup.read(Path("f.dpx"), dtype="float32", window=(0, 0, 60, 60))
assert_type(frame, NDArray[np.float32])

header = fastup.read_header("f.dpx")
assert_type(header, fastup.Header)
assert_type((header.width, header.white, header.pixel_offset), tuple[int | None, int | None, int])
assert_type((header.pixel_aspect, header.gamma), tuple[Fraction | None, float | None])
assert_type((header.slate, header.timecode), tuple[str | None, fastup.Timecode | None])
assert_type(header.descriptor, fastup.Descriptor | int | None)
assert_type(header.transfer, fastup.Transfer | int | None)
assert_type(header.elements[0].colorimetric, fastup.Colorimetric | int | None)
assert_type(header.elements[0].packing, fastup.Packing | int | None)
assert_type(header.replace(bits=10).orientation, fastup.Orientation | int | None)
assert_type(fastup.Descriptor.RGB.text, str)
assert_type(fastup.Timecode("01:02:03:04").frames, int)

paths = fastup.find("frames/")
assert_type(paths, list[Path])
assert_type(fastup.stream(paths, threads=2), Iterator[tuple[Path, NDArray[np.uint16]]])
with fastup.write_stream() as write:
    for path, picture in fastup.stream(paths, "float32"):
        assert_type((path, picture), tuple[Path, NDArray[np.float32]])
        write("new" / path, picture, header)
fastup.write("g.dpx", frame, header=header)
with fastup.source("tape.mov") as frames, fastup.sink("out/", like=frames) as film:
    assert_type((len(frames), frames.size), tuple[int, tuple[int, int]])
    for title, shown in frames:
        assert_type((title, shown), tuple[fastup.Header, NDArray[Any]])
        film.write(shown, title)

grid = fastup.TileGrid(shape=(1080, 1440), tile=60, border=(2, 2), jitter=True)
assert_type(grid.tile, tuple[int, int])
tiles = fastup.cut(frame, grid, fill=0.1)
assert_type(tiles, NDArray[np.float32])
assert_type(fastup.stitch(tiles, grid), NDArray[np.float32])
score = fastup.detail(frame, grid)
assert_type(score, NDArray[np.float32])
assert_type(fastup.rank(score, quality=0.5), NDArray[np.int64])

try:
    fastup.write("h.dpx", frame)
except (fastup.DpxError, fastup.DataError, fastup.OptionError) as error:
    assert_type(error, fastup.DpxError | fastup.DataError | fastup.OptionError)
    refused: fastup.FastupError = error

up = fastup.Upscaler("best.keras")
assert_type(up.white, int | None)
assert_type(up(frame), NDArray[Any])
assert_type(up.stream([frame]), Iterator[NDArray[Any]])
assert_type(fastup.telecine.Woven(top=0, bottom=1, kind="film", margin=2.0).top, int)
