"""What fuzz_dpx starts from: DPX files of every flavour, by the tests' own writer. `python corpus.py FOLDER`."""

import itertools
import struct
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
import naive

ORDERS = ["big", "little"]
DEPTHS = [(1, 0), (8, 1), (10, 0), (10, 1), (10, 2), (12, 0), (12, 1), (12, 2), (16, 1), (32, 1)]  # bits, packing
FLAVOURS = [
    {"descriptor": descriptor, "bits": bits, "packing": packing}
    for descriptor, (bits, packing) in itertools.product(naive.DPX_COMPONENTS, DEPTHS)
]
CONTROL = 36  # where fuzz_dpx looks for what to do: see its `control`


def control(
    length=0, large=0, flip=0, gap=0, piece=0, fails=0, interrupts=0, cut=0, x=0, y=0, width=0, height=0, more=0
):
    return struct.pack("<8B5I", length, large, flip, gap, piece, fails, interrupts, cut, x, y, width, height, more)


def picture(flavour, height, width):
    random = np.random.default_rng(height * width)
    size = (height, width, naive.DPX_CHANNELS[flavour["descriptor"]])
    if flavour["bits"] == 32:
        return random.random(size, np.float32)
    return random.integers(0, 2 ** flavour["bits"], size, np.uint16)


def dpx(flavour, height, width, order="big", how=None, *, padding=0, padded=True, low=0, **header):
    head = naive.dpx_header(width, height, order, line_padding=padding, **flavour, **header)
    head = bytearray(head)
    head[CONTROL : CONTROL + 28] = how or control()
    gap = b"" if padding == naive.UNDEFINED else bytes(padding)
    return bytes(head) + naive.dpx_pixels(picture(flavour, height, width), order, gap, low, **flavour, padded=padded)


def patched(data, at, other):
    return data[:at] + other + data[at + len(other) :]


def header_alone(flavour, height, width, order, how, **header):
    """A large picture, of which fuzz_dpx makes up the pixels."""
    head = bytearray(naive.dpx_header(width, height, order, **flavour, **header))
    head[CONTROL : CONTROL + 28] = how
    return bytes(head)


def several(flavours, height, width, order):
    """A file of an element for each flavour, one behind the other."""
    bodies = [naive.dpx_pixels(picture(flavour, height, width), order, **flavour) for flavour in flavours]
    starts = itertools.accumulate([2048, *(len(body) for body in bodies)])
    elements = [flavour | {"offset": start} for flavour, start in zip(flavours, starts, strict=False)]
    return naive.dpx_header(width, height, order, elements=elements) + b"".join(bodies)


def seeds():
    short = {"offset": 1664}
    for number, flavour in enumerate(FLAVOURS):
        order, other = ORDERS[number % 2], ORDERS[1 - number % 2]
        # Whole and small; a window of something wider, in every direction; unpadded rows; a picture beyond the input.
        yield dpx(flavour, 3, (1, 2, 5, 16, 33)[number % 5], order, **short)
        yield dpx(
            flavour, 4, (35, 65, 96)[number % 3], other,
            control(flip=number % 8, gap=number % 5, x=3, y=1, width=(7, 33, 60)[number // 3 % 3], height=2),
            padding=(0, 5, naive.UNDEFINED)[number // 2 % 3], orientation=number % 4, low=number % 4,
            own_offset=(0, 2050, 1664)[number % 3], offset=(2048, 1664, 1665)[number % 3],
        )  # fmt: skip
        if flavour["bits"] != 32:
            how = control(x=1, y=2, width=number % 2 * 5, height=2)
            yield dpx(flavour, 5, (7, 18, 35)[number % 3], order, how, padded=False) + bytes(number % 7)
        yield dpx(flavour, 3, 9, other, control(flip=6, width=1, height=2), **short)  # the last pixels alone
        yield header_alone(
            flavour, 40 + number, 1000 + number, other,
            control(length=1, piece=number * 7 % 256, fails=number % 7, interrupts=number % 2, x=1, width=900), **short,
        )  # fmt: skip
        yield header_alone(
            flavour, 2**26 + number, 2**32 - 3 - number, order,
            control(length=1, flip=6, x=number % 5, y=number, width=(60000, 40)[number % 2]),
            line_padding=number % 3, **short,
        )  # fmt: skip
        if number % 7 == 0:  # more than a read gives
            yield header_alone(flavour, 3, 10**6 + number, order, control(length=1, large=1, x=1, height=1), **short)
        yield dpx(
            flavour, 3, 20, other, control(piece=1 + number % 9, fails=number % 11, cut=1 + number % 12), **short
        )  # fmt: skip
    for count in (2, 3, 8):
        for start in range(0, len(FLAVOURS) - count, 17):
            yield several(FLAVOURS[start : start + count], 2, 9, ORDERS[start % 2])
    for number in range(20):  # so much padding that it is written in parts, until that fails
        how = control(length=1, fails=number)
        yield header_alone(FLAVOURS[3 + number % 7], 3, 5, ORDERS[number % 2], how, line_padding=65536, **short)
    luma, floats = ({"descriptor": 6, "bits": bits, "packing": 1} for bits in (8, 32))
    for missing in (0, 6, 9):  # rows without padding; or with some, and the file says that its end is missing
        yield patched(dpx(luma, 3, 5, padded=False), 16, (2048 + 15 + missing).to_bytes(4, "big"))
    for number, (at, name) in enumerate([(160, b"Lasergraphics Inc."), (160, b"DIAMANT-Film"), (1556, b"Scanity")] * 4):
        flavour = {"descriptor": (6, 51)[number % 2], "bits": 10, "packing": 1 + number % 2}
        data = patched(dpx(flavour, 3 + number, 10 + number, ORDERS[number % 2], padded=number < 6), at, name)
        yield data + bytes((0, 5, -len(data) % 512)[number % 3])
    for number, flavour in enumerate([luma, FLAVOURS[0], FLAVOURS[3], FLAVOURS[6]] * 6):  # which rows, pixels tell
        data = dpx(flavour, 12 + number, 9 + number, ORDERS[number % 2], control(fails=number), padded=number % 2 == 0)
        yield data + bytes((9, -len(data) % 512, 100)[number % 3])
    for height in range(63, 68):  # as many rows as a read gives, and one less or more
        yield header_alone(luma, 3000, 1000, "big", control(length=1, width=1, height=height))
    # What is too short, too large, or too many.
    whole = dpx(luma, 4, 8)
    yield from (whole[:length] for length in (len(whole) - 1, len(whole) - 5, 2048, 1700, 1663, 1600, 800, 4, 3, 0))
    yield patched(patched(whole, 780, whole[780:852] * 12), 770, b"\0\x0c")
    yield header_alone(floats, 2**31 + 1, 2**31, "big", control(length=1))
    yield header_alone(FLAVOURS[1] | {"descriptor": 51}, 2**31, 2**31, "little", control())
    yield header_alone(FLAVOURS[1], 2**32 - 2, 2**32 - 2, "little", control(length=1))
    yield b"\x89PNG"


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(seeds()):
        (folder / f"{number:04}.dpx").write_bytes(data)
