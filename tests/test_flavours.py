"""Every flavour of DPX against the NumPy twin: each descriptor, bit depth, packing, byte order and width."""

import itertools
import os
import struct
import tracemalloc
from pathlib import Path

import naive
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastup.frames  # now, so that it is not in the memory that is measured
from fastup import _dpx
from fastup.errors import DpxError
from fastup.oddities import oddities

ORDERS = ["big", "little"]
MARK = {"big": ">", "little": "<"}
DTYPES = ["uint16", "float32", "float16"]
DEPTHS = [(1, 0), (8, 1), (10, 0), (10, 1), (10, 2), (12, 0), (12, 1), (12, 2), (16, 1), (32, 1)]  # bits, packing
FLAVOURS = [(descriptor, *depth) for descriptor in naive.DPX_COMPONENTS for depth in DEPTHS]
REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "dpx"
SHARED = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WHOLE = 0xFFFFFFFF  # undefined


def some_picture(flavour, height, width, seed=0):
    """What a reader gives of such a file: random, but 4:2:2 has the chroma of a pair in both its pixels."""
    descriptor, bits, _ = flavour
    random = np.random.default_rng(seed)
    size = (height, width, naive.DPX_CHANNELS[descriptor])
    picture = random.random(size, np.float32) if bits == 32 else random.integers(0, 2**bits, size, np.uint16)
    if descriptor in (100, 101):
        picture[:, 1::2, 1:3] = picture[:, 0 : width // 2 * 2 : 2, 1:3]
        if width % 2:
            picture[:, -1, 2] = picture[:, -2, 2] if width > 1 else 0.5 if bits == 32 else 1 << (bits - 1)
    return picture


def fields(flavour):
    return dict(zip(("descriptor", "bits", "packing"), flavour, strict=True))


def file_bytes(picture, flavour, order="big", *, padding=0, low=0, padded=True, **header):
    kind, orientation = fields(flavour), header.get("orientation", 0) % 0xFFFF
    head = naive.dpx_header(picture.shape[1], picture.shape[0], order, line_padding=padding, **kind, **header)
    stored = picture[:: -1 if orientation & 2 else 1, :: -1 if orientation & 1 else 1]
    gap = b"\xa5" * (0 if padding == WHOLE else padding)
    return head + naive.dpx_pixels(stored, order, gap, low, **kind, padded=padded)


def some_file(flavour, height, width, order="big", **more):
    return file_bytes(some_picture(flavour, height, width, height + width), flavour, order, **more)


def patched(data, at, code, value):
    """A copy of bytes with another number in one place."""
    data = bytearray(data)
    struct.pack_into(code, data, at, value)
    return bytes(data)


def same(frame, expected, *what):
    """An exact comparison, much faster than NumPy's own assertion is."""
    assert (frame.dtype, frame.shape) == (expected.dtype, expected.shape), what
    if not np.array_equal(frame, expected, equal_nan=frame.dtype.kind == "f"):
        where = np.argwhere(frame != expected)[0]
        raise AssertionError(f"{what}: {where} is {frame[tuple(where)]}, expected {expected[tuple(where)]}")


def check(path, data, *what, element=0):
    """Every dtype is what the twin sees, or a DpxError where it sees nothing; gives the twin's picture, or None."""
    path.write_bytes(data)
    layout, picture = naive.dpx_layout(data, element), naive.dpx_read(data, element)
    for dtype in DTYPES:
        if picture is None or (dtype == "uint16" and layout["bits"] == 32):
            with pytest.raises(ValueError if layout else DpxError, match=path.name):
                fastup.read(path, dtype, element=element)
            continue
        frame = fastup.read(path, dtype, element=element)
        same(frame, naive.dpx_as(picture, layout["bits"], dtype), *what, dtype)
        assert frame.flags.carray
    return picture


@pytest.mark.parametrize("descriptor", naive.DPX_COMPONENTS)
def test_read_gives_what_was_stored(tmp_path, descriptor):
    cases = itertools.product(DEPTHS, [*range(1, 18), 64, 100, 640], ORDERS)
    for number, (depth, width, order) in enumerate(cases):
        flavour, height = (descriptor, *depth), (1, 3, 3, 1)[number % 4]
        picture = some_picture(flavour, height, width, width)
        data = file_bytes(picture, flavour, order, low=number // 2 % 4)  # spare bits may hold anything
        seen = check(tmp_path / "f.dpx", data, flavour, order, width, height)
        same(seen, picture, "the twin agrees with itself", flavour, order, width)


def test_read_in_pieces(tmp_path):
    """Sizes beyond what is read at a time: long rows, and many."""
    path = tmp_path / "f.dpx"
    for number, flavour in enumerate(FLAVOURS):
        height, width = ((2, 30011), (30011, 2), (40, 997))[number % 3]
        order, dtype = ORDERS[number // 3 % 2], DTYPES[1 if flavour[1] == 32 else number // 2 % 3]
        more = {"padded": False} if number % 4 == 3 and flavour[1] != 32 else {"padding": number % 2 * 5}
        data = some_file(flavour, height, width, order, **more)
        path.write_bytes(data)
        whole = naive.dpx_as(naive.dpx_read(data), flavour[1], dtype)
        y, x = height // 2, (width - 1) // 2
        same(fastup.read(path, dtype), whole, flavour, more)
        same(fastup.read(path, dtype, (y, x, height - y, width - x)), whole[y:, x:], flavour, more)


@pytest.mark.parametrize(("bits", "packing"), DEPTHS[:-1])
def test_every_code_is_the_nearest_float(tmp_path, bits, packing):
    for descriptor in (6, 50, 51, 52, 100, 102):
        flavour = (descriptor, bits, packing)
        codes = np.arange(2**bits, dtype=np.uint16).reshape(min(2**bits, 128), -1, 1)
        picture = np.tile(codes, naive.DPX_CHANNELS[descriptor])
        picture[..., 1:] ^= 2**bits - 1  # another order for the channels after the first
        check(tmp_path / "f.dpx", file_bytes(picture, flavour, ORDERS[descriptor % 2]), flavour)


@pytest.mark.parametrize("order", ORDERS)
def test_floats_come_as_they_are_stored(tmp_path, order):
    """Whatever their bits are: NaN with a payload, infinities, denormals, beyond 0 to 1 and beyond float16."""
    numbers = [0, 1, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC12345, 0x3F800001, 0xC2C80000, 0x477FF000, 0x33000001]
    picture = np.resize(np.array(numbers, np.uint32), 6 * 21).view(np.float32).reshape(6, 7, 3)
    path = tmp_path / "f.dpx"
    check(path, file_bytes(picture, (50, 32, 1), order))
    assert fastup.read(path, dtype="float32").tobytes() == picture.tobytes()
    with pytest.raises(ValueError, match=r"f\.dpx"):
        next(fastup.stream([path]))


# -- where the pixels are --------------------------------------------------------------------------------------------

PLACES = [
    {"offset": 1664}, {"offset": 1665}, {"offset": 2049}, {"offset": 8192}, {"offset": 2048, "own_offset": 0},
    {"offset": 4096, "own_offset": WHOLE}, {"offset": 2048, "own_offset": 3001}, {"offset": 0, "own_offset": 2051},
    {"padding": WHOLE}, {"padding": 1}, {"padding": 4}, {"padding": 13}, {"fill": b"\0"}, {"orientation": 1},
    {"orientation": 2}, {"orientation": 3}, {"orientation": 0xFFFF}, {"orientation": 3, "padding": 3, "offset": 1667},
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES, ids=str)
def test_read_finds_the_pixels(tmp_path, place):
    """Whole, in windows that start and end anywhere, and in a stream."""
    dtype, paths, expected = DTYPES[PLACES.index(place) % 3], [], []
    for number, flavour in enumerate(FLAVOURS):
        order, width = ORDERS[number % 2], 3 + number % 7
        path, picture = tmp_path / f"{number}.dpx", some_picture(flavour, 3, width)
        seen = check(path, file_bytes(picture, flavour, order, **place), flavour, order, width)
        if flavour[0] not in (100, 101) or place.get("orientation") not in (1, 3):  # where pairs start at the other end
            same(seen, picture, flavour, order, width)
        if flavour[1] == 32 and dtype == "uint16":
            continue
        paths.append(path)
        expected.append(naive.dpx_as(seen, flavour[1], dtype))
        for x in range(width):
            w = 1 + (number // 3 + x) % (width - x)
            part = fastup.read(path, dtype, (1, x, 2, w))
            same(part, expected[-1][1:, x : x + w], flavour, order, width, x, w)
    for (path, frame), right in zip(fastup.stream(paths, dtype, threads=3, ahead=5), expected, strict=True):
        same(frame, right, path)


def test_rows_without_padding(tmp_path):
    """The size of the file tells them, and its header may say that they are padded ones cut short."""
    path, unpadded = tmp_path / "f.dpx", 0
    for number, (flavour, width) in enumerate(itertools.product(FLAVOURS, range(1, 14))):
        order, height = ORDERS[number % 2], 2 + number % 3
        picture = some_picture(flavour, height, width, number)
        data = file_bytes(picture, flavour, order, padded=False)
        layout = naive.dpx_layout(data)
        seen = check(path, data, flavour, width, height)
        if layout["padded"]:
            continue  # as long as padded rows, which is what they are taken for
        same(seen, picture, flavour, width, height)
        same(next(fastup.stream([path]))[1], picture, flavour, width)
        unpadded += 1
        if number % 11 == 0:
            long, last = MARK[order] + "I", 2048 + (height - 1) * layout["row"]
            needed = last + naive.dpx_used(layout["samples"], *flavour[1:])
            changed = [patched(data, 16, long, size) for size in (len(data), needed - 1, needed, last + layout["row"])]
            changed += [data[:-1], data + b"1", data + b"123", data + b"1234", patched(data, 812, long, 1)]
            for change, contents in enumerate(changed):
                check(path, contents, flavour, width, height, change)
    assert unpadded > 500


WRITERS = {
    "Lasergraphics": (160, b"Lasergraphics Inc. ScanStation"), "DIAMANT": (160, b"DIAMANT-Film 12"),
    "Scanity": (1556, b"Scanity"), "other": (160, b"A scanner of Lasergraphics Inc."),
}  # fmt: skip


def scanned(picture, flavour, order, writer, padded, block, **header):
    """A file of a scanner's, filled up to the end of a block."""
    at, name = WRITERS[writer]
    data = bytearray(file_bytes(picture, flavour, order, padded=padded, **header))
    data[at : at + len(name) + 1] = name + b"\0"
    return bytes(data) + bytes(-len(data) % block)


def drawn(flavour, height, width, seed, grain=4):
    """A picture of patches and grain, no code 0."""
    random = np.random.default_rng(seed)
    channels, white = naive.DPX_CHANNELS[flavour[0]], 2 ** flavour[1] - 1
    patches = random.uniform(0.1, 0.9, (height // 9 + 1, width // 9 + 1, channels))
    rows, columns = (
        np.arange(height)[:, None] + np.arange(width) // 5,
        np.arange(width) + np.arange(height)[:, None] // 3,
    )
    picture = patches[rows % height // 9, columns % width // 9] * white
    return np.clip(picture + random.normal(0, grain * white / 1023, picture.shape), 1, white).astype(np.uint16)


@settings(SHARED, max_examples=150)
@given(
    st.data(), st.sampled_from([6, 8, 51, 100]), st.integers(1, 6), st.integers(1, 40), st.sampled_from(sorted(WRITERS))
)
def test_rows_of_known_scanners(tmp_path, data, descriptor, height, width, writer):
    """They run on, whatever follows them: unless the file is as long as padded rows are, and pixels tell more."""
    draw, path = data.draw, tmp_path / "f.dpx"
    flavour, order = (descriptor, 10, draw(st.sampled_from([1, 2]))), draw(st.sampled_from(ORDERS))
    picture = some_picture(flavour, height, width, draw(st.integers(0, 9)))
    padded, block = draw(st.booleans()), draw(st.sampled_from([1, 4, 512, 8192]))
    contents = scanned(picture, flavour, order, writer, padded, block)
    seen = check(path, contents, flavour, height, width)
    layout = naive.dpx_layout(contents)
    assert _dpx.probe(path).reason == layout["reason"]
    assert _dpx.probe(path).unpadded is not layout["padded"]
    if layout["reason"] == "writer":
        assert writer != "other"
        if not padded:
            same(seen, picture)
    total = 2048 + naive.dpx_used(height * width * naive.DPX_COMPONENTS[descriptor], 10, 1)
    check(path, contents[: total - 1], flavour)  # cut short, by whichever rows


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize(
    ("size", "order"), [((1556, 2048), "big"), ((1752, 2336), "little"), ((777, 1000), "little"), ((777, 1000), "big")]
)
def test_scans_that_are_filled_up_to_a_block(tmp_path, writer, size, order):
    flavour, path = (6, 10, 1), tmp_path / "f.dpx"
    picture = ((np.add.outer(np.arange(size[0]) * 3, np.arange(size[1])) % 1000) + 1).astype(np.uint16)[..., None]
    data = scanned(picture, flavour, order, writer, False, 8192)
    path.write_bytes(data)
    same(fastup.read(path), picture)
    same(fastup.read(path, window=(700, 301, 50, 333)), picture[700:750, 301:634])
    same(next(fastup.stream([path]))[1], picture)
    assert _dpx.probe(path)[3:] == (True, "pixels" if writer == "other" else "writer")
    header = fastup.read_header(path)
    (of_rows,) = [text for text in oddities(header, len(data), path) if text.startswith("rows")]
    assert "its pixels tell" in of_rows if writer == "other" else f"as {writer}" in of_rows
    # What is written goes by the header's word of its writer alone, and so does who reads it.
    fastup.write(tmp_path / "g.dpx", picture, header, fsync=False)
    same(fastup.read(tmp_path / "g.dpx"), picture)
    written = (tmp_path / "g.dpx").read_bytes()
    if writer == "other":
        assert written[2048:] == naive.dpx_pixels(picture, order, **fields(flavour))
    else:
        assert written == data[: len(written)]
        assert not any(data[len(written) :])
        fresh = header.replace(width=301, height=50)
        fastup.write(tmp_path / "g.dpx", picture[:50, :301], fresh, fsync=False)
        assert os.path.getsize(tmp_path / "g.dpx") == fresh.file_size == 2048 + naive.dpx_used(50 * 301, 10, 1)
        same(fastup.read(tmp_path / "g.dpx"), picture[:50, :301])


DIFFERING = [
    (6, 10, 1),
    (6, 10, 2),
    (51, 10, 1),
    (52, 10, 1),
    (6, 8, 1),
    (50, 8, 1),
    (50, 16, 1),
    (6, 12, 1),
    (6, 12, 0),
]


@pytest.mark.parametrize("grain", [0, 4, 40])
def test_the_pixels_tell_how_rows_lie(tmp_path, grain):
    """Of files that are longer than they need to be, and those that are too short for padded rows."""
    path = tmp_path / "f.dpx"
    for number, (flavour, width, padded) in enumerate(itertools.product(DIFFERING, (301, 302, 303), (False, True))):
        order, orientation = ORDERS[number % 2], number // 2 % 4
        picture = drawn(flavour, 90, width, number, grain)
        more = {"orientation": orientation, "low": number % 3 if number % 5 == 0 else 0}
        data = scanned(picture, flavour, order, "other", padded, (512, 8192, 100000)[number % 3], **more)
        same(check(path, data, flavour, width, padded), picture, flavour, width, padded)


def test_black_after_alpha_is_no_padding(tmp_path):
    picture = np.concatenate([drawn((50, 10, 1), 90, 301, 0), np.full((90, 301, 1), 1023, np.uint16)], axis=2)
    picture[:, 100:, :3] = 0
    for flavour, padded in itertools.product([(51, 10, 1), (52, 10, 1)], (False, True)):
        data = scanned(picture, flavour, "big", "other", padded, 8192)
        same(check(tmp_path / "f.dpx", data, flavour, padded), picture, flavour, padded)


def test_a_picture_of_nothing_may_lie_either_way(tmp_path):
    """A leader, black or white: it is read, and is the same by the pixels of its end, or by both ways."""
    path, flavour = tmp_path / "f.dpx", (6, 10, 1)
    for value, padded, block in itertools.product((0, 500), (False, True), (512, 8192, 65536)):
        picture = np.full((1200, 640, 1), value, np.uint16)
        data = scanned(picture, flavour, "big", "other", padded, block)
        same(check(path, data, value, padded, block), picture, value, padded, block)


@pytest.mark.parametrize("flavour", [(6, 10, 1), (50, 8, 1), (6, 16, 1)])
def test_padded_rows_that_are_cut_short(tmp_path, flavour):
    """They may be as long as unpadded ones with something behind them; their pixels are not."""
    path, width, height = tmp_path / "f.dpx", 301, 200
    data = file_bytes(drawn(flavour, height, width, 1), flavour)
    samples = width * naive.DPX_COMPONENTS[flavour[0]]
    total = 2048 + naive.dpx_used(samples * height, *flavour[1:])
    used = naive.dpx_used(samples, *flavour[1:])
    last = 2048 + (height - 1) * (used + -used % 4) + used
    assert last - total > 190
    for length in (*range(total + 4, last, 13), last - 1, total - 1, total - 100):
        path.write_bytes(data[:length])
        with pytest.raises(DpxError, match=f"image data is cut short: the file has {length} bytes, expected {last} or"):
            fastup.read(path)
        assert naive.dpx_layout(data[:length]) is None
    path.write_bytes(data[:last])
    fastup.read(path)


def test_a_scan_that_another_program_wrote_anew(tmp_path):
    """Who wrote it first is still in its header; its rows are padded, as its size and its pixels have it."""
    flavour, path = (6, 10, 1), tmp_path / "f.dpx"
    for width in (301, 302):
        picture = drawn(flavour, 90, width, width)
        same(check(path, scanned(picture, flavour, "big", "Lasergraphics", True, 1), width), picture)
        assert _dpx.probe(path)[3:] == (False, "pixels")


def several(kinds, height, width, order, orientation=0):
    """A file with an element of each kind, and their pictures."""
    pictures = [some_picture(kind, height, width, n) for n, kind in enumerate(kinds)]
    elements, pixels = [], b""
    for n, kind in enumerate(map(fields, kinds)):
        elements.append(kind | {"offset": 2048 + len(pixels), "line_padding": n % 3})
        picture = pictures[n][::-1] if orientation == 2 else pictures[n]
        pixels += naive.dpx_pixels(picture, order, bytes(n % 3), **kind) + b"gap"
    return naive.dpx_header(width, height, order, elements=elements, orientation=orientation) + pixels, pictures


SEVERAL = [
    [(1, 10, 1), (2, 10, 1), (3, 10, 1)], [(50, 10, 1), (50, 10, 1)],  # planes, and left and right
    [(50, 10, 1), (4, 8, 1), (8, 32, 1)], [(100, 10, 1), (4, 10, 2)], FLAVOURS[::17],
]  # fmt: skip


@pytest.mark.parametrize("order", ORDERS)
def test_several_elements(tmp_path, order):
    path = tmp_path / "f.dpx"
    for kinds, orientation in itertools.product(SEVERAL, (0, 2)):
        data, pictures = several(kinds, 3, 8, order, orientation)
        for element, picture in enumerate(pictures):
            seen = check(path, data, kinds, element, element=element)
            same(seen, picture, kinds, element)
            part = fastup.read(path, "float32", (1, 3, 2, 4), element=element)
            same(part, naive.dpx_as(picture, kinds[element][1], "float32")[1:, 3:7], kinds, element)
            # A file is refused as a whole, whichever element is wrong.
            at, mark = 780 + 72 * element, MARK[order]
            for more, code, value in [
                (0, "I", 1), (20, "B", 0), (23, "B", 9), (24, "H", 3), (26, "H", 1), (28, "I", 0), (28, "I", WHOLE),
                (28, "I", 1663), (28, "I", len(data)), (32, "I", 65537), (32, "I", WHOLE),
            ]:  # fmt: skip
                check(path, patched(data, at + more, mark + code, value), kinds, element, more, value)
        check(path, data[:-4], kinds)  # the gap after the last one, and a byte of it
        path.write_bytes(data)
        for element in (len(kinds), 8, -1, 2**31):
            with pytest.raises((ValueError, OverflowError)):
                fastup.read(path, "float32", element=element)


@settings(SHARED, max_examples=400)
@given(st.data(), st.sampled_from(FLAVOURS), st.integers(1, 7), st.integers(1, 40), st.sampled_from(DTYPES))
def test_a_window_is_a_part_of_the_whole(tmp_path, data, flavour, height, width, dtype):
    draw, bits, path = data.draw, flavour[1], tmp_path / "f.dpx"
    more = draw(st.sampled_from([{}, {"padding": 1}, {"padding": 4}, {"padded": False}]))
    more = more | {"orientation": draw(st.integers(0, 3)), "low": draw(st.integers(0, 3))}
    contents = some_file(flavour, height, width, draw(st.sampled_from(ORDERS)), **more)
    path.write_bytes(contents)
    y, x = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    h, w = draw(st.integers(1, height - y)), draw(st.integers(1, width - x))
    dtype = "float32" if bits == 32 and dtype == "uint16" else dtype
    expected = naive.dpx_as(naive.dpx_read(contents), bits, dtype)[y : y + h, x : x + w]
    same(fastup.read(path, dtype, (y, x, h, w)), expected)
    out = np.full((h + 2, w + 3, expected.shape[2]), 7, dtype)
    view = out[1:-1, 2:-1][:: draw(st.sampled_from([1, -1]))]
    fastup.read(path, dtype, (y, x, h, w), view, threads=draw(st.integers(1, 3)))
    same(view, expected)
    view[...] = 7
    assert (out == 7).all()  # not a value outside the window


def test_threads_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(_dpx, "THREADS_FROM", 0)
    path = tmp_path / "f.dpx"
    for number, flavour in enumerate(FLAVOURS):
        for more in ({"padding": number % 3, "orientation": number % 4}, {"padded": False}):
            data = some_file(flavour, 11, 37, ORDERS[number % 2], **more)
            path.write_bytes(data)
            dtype = DTYPES[1 + number % 2 if flavour[1] == 32 else number % 3]
            whole = fastup.read(path, dtype, threads=1)
            same(whole, naive.dpx_as(naive.dpx_read(data), flavour[1], dtype), flavour)
            for threads in (2, 7) if number % 2 else (3, 12):
                out = np.full((7, 24, whole.shape[2]), 3, dtype)
                same(fastup.read(path, dtype, threads=threads), whole, flavour, threads)
                part = fastup.read(path, dtype, (2, 5, 5, 20), out[1:6, 1:-3], threads=threads)
                same(part, whole[2:7, 5:25], flavour, threads)
                out[1:6, 1:-3] = 3
                assert (out == 3).all()


# -- files that lie --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_fields_that_cannot_be(tmp_path, order):
    """Among others that can."""
    byte, short, long = "B", MARK[order] + "H", MARK[order] + "I"
    bad = {
        (800, byte): (0, 5, 7, 9, 49, 53, 99, 104, 150, 255), (806, short): (1, 2, 256, 0xFFFF),
        (803, byte): (0, 2, 7, 9, 11, 13, 14, 15, 20, 24, 31, 33, 64, 255), (780, long): (1, 2, 2**31, WHOLE),
        (804, short): (0, 1, 2, 3, 5, 256, 0xFFFF), (768, short): (4, 5, 6, 7, 8, 256, 0xFFFE),
        (770, short): (0, 2, 8, 9, 256, 0xFFFF), (772, long): (0, 4, 6, 2**31, WHOLE - 1, WHOLE),
        (776, long): (0, 1, 3, 2**31, WHOLE - 1, WHOLE), (808, long): (1, 1663, 2049, WHOLE - 1),
        (812, long): (1, 65536, 65537, WHOLE - 1),
    }  # fmt: skip
    changes, refused = [(*field, value) for field, values in bad.items() for value in values], 0
    for number, (flavour, change) in enumerate(itertools.product(FLAVOURS[::3], changes)):
        data = patched(some_file(flavour, 2, 5, order, low=number % 4), *change)
        refused += check(tmp_path / "f.dpx", data, flavour, change) is None
    assert refused > len(FLAVOURS[::3]) * 40


def test_truncation_anywhere(tmp_path):
    """At header boundaries and at every byte of the pixels, where what is left may have rows without padding."""
    path = tmp_path / "f.dpx"
    for number, flavour in enumerate(FLAVOURS):
        data = some_file(flavour, 3, 1 + number % 5, ORDERS[number % 2], offset=1664)
        path.write_bytes(data)
        dtype = "float32" if flavour[1] == 32 else "uint16"
        for cut in (*range(len(data) - 1, 1663, -1), 1663, 1408, 813, 808, 804, 772, 768, 20, 8, 4, 3, 0):
            os.truncate(path, cut)
            expected = naive.dpx_read(data[:cut])
            if expected is None:
                with pytest.raises(DpxError, match=r"f\.dpx.*cut short" if cut >= 4 else r"f\.dpx"):
                    fastup.read(path, dtype)
            else:
                same(fastup.read(path, dtype), expected, flavour, cut)


def taken(call):
    """What a call gives, or its DpxError, and the most memory that it had."""
    tracemalloc.start()
    try:
        return call(), tracemalloc.get_traced_memory()[1]
    except DpxError as problem:
        return problem, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_bomb_of_any_flavour_takes_no_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(_dpx, "LARGE", 1 << 62)  # else large frames have memory that is not traced
    path = tmp_path / "f.dpx"
    sizes = [(46341, 46341), (65536, 65536), (WHOLE - 1, WHOLE - 1), (2**31, 2**31), (1, WHOLE - 1), (WHOLE - 1, 1)]
    for number, (flavour, size) in enumerate(itertools.product(FLAVOURS, sizes)):
        padding = (0, 0, 65536)[number % 3]
        head = naive.dpx_header(*size, ORDERS[number % 2], line_padding=padding, **fields(flavour))
        path.write_bytes(head + bytes(3000))
        for call in (lambda: fastup.read(path, "float32"), lambda: next(fastup.stream([path], "float32"))):
            result, memory = taken(call)
            assert "cut short" in str(result), (flavour, size)
            assert isinstance(result, DpxError), (flavour, size)
            assert memory < 2**16, (flavour, size, memory)


OWN = {0: 4, 20: 1, 23: 1, 24: 2, 26: 2, 28: 4, 32: 4, 36: 4}  # an element's fields and their sizes
FIELDS = {4: 4, 16: 4, 24: 4, 28: 4, 32: 4, 768: 2, 770: 2, 772: 4, 776: 4}
FIELDS |= {780 + 72 * n + at: size for n in range(2) for at, size in OWN.items()}
NUMBERS = [
    *range(17), 32, *range(50, 53), *range(100, 104), 255, 256, 1663, 1664, 2047, 2048, 2049, 3000, 46341, 65535, 65536,
    65537, 2**31 - 1, 2**31, WHOLE - 3, WHOLE - 1, WHOLE,
]  # fmt: skip


@st.composite
def some_mutant(draw):
    """A file of any flavour, or one with two elements, with some fields changed, some noise, and another length."""
    order, height, width = draw(st.sampled_from(ORDERS)), draw(st.integers(1, 4)), draw(st.integers(1, 9))
    flavours = draw(st.lists(st.sampled_from(FLAVOURS), min_size=1, max_size=2))
    more = draw(st.sampled_from([{}, {"padding": 5}, {"padded": False}, {"padded": False, "orientation": 3}]))
    one = some_file(flavours[0], height, width, order, **more)
    data = bytearray(one if len(flavours) == 1 else several(flavours, height, width, order)[0])
    data += bytes(draw(st.sampled_from([0, 0, 1, 3, 4, 3000])))
    for at in draw(st.lists(st.sampled_from(sorted(FIELDS)), max_size=2)):
        value = draw(st.sampled_from(NUMBERS) | st.integers(0, 4000)) % 256 ** FIELDS[at]
        data[at : at + FIELDS[at]] = value.to_bytes(FIELDS[at], order if draw(st.integers(0, 9)) else "little")
    for noise in draw(st.lists(st.binary(min_size=1, max_size=6), max_size=2)):
        at = draw(st.integers(0, len(data)))
        data[at : at + len(noise)] = noise
    cut = draw(st.sampled_from([None, None, None, draw(st.integers(0, len(data))), draw(st.integers(-9, -1))]))
    return bytes(data[:cut])


@settings(SHARED, max_examples=700)
@given(some_mutant(), st.sampled_from(DTYPES), st.sampled_from([0, 0, 0, 1]))
def test_any_change_to_a_file_ends_in_a_frame_or_a_clear_error(tmp_path, monkeypatch, data, dtype, element):
    monkeypatch.setattr(_dpx, "LARGE", 1 << 62)  # else large frames have memory that is not traced
    path = tmp_path / "f.dpx"
    path.write_bytes(data)
    layout, picture = naive.dpx_layout(data, element), naive.dpx_read(data, element)
    if picture is not None and layout["bits"] == 32 and dtype == "uint16":
        dtype = "float16"
    right = None if picture is None else naive.dpx_as(picture, layout["bits"], dtype)
    results = [taken(lambda: fastup.read(path, dtype, element=element))]
    if element == 0:
        results.append(taken(lambda: next(fastup.stream([path], dtype, threads=1))[1]))
    for result, memory in results:
        if right is None:
            assert isinstance(result, DpxError), result
            assert "\n" not in str(result)
            assert memory < 4 * len(data) + 2**16
        else:
            same(result, right, layout)
            assert memory < right.nbytes + 4 * len(data) + 2**16
    header, _ = taken(lambda: fastup.read_header(path))
    assert not isinstance(header, DpxError) or naive.dpx_layout(data) is None, header


# -- real files, and another reader ----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(REAL.glob("*.dpx")) if REAL.is_dir() else [], ids=lambda path: path.stem)
def test_real_files(path):
    data = path.read_bytes()
    elements = 0 if "hostile" in path.name else 2 if "stereo" in path.name else 1
    bits = naive.dpx_layout(data)["bits"] if elements else 0
    for element, dtype in itertools.product(range(elements), DTYPES[bits == 32 :]):
        expected = naive.dpx_as(naive.dpx_read(data, element), bits, dtype)
        same(fastup.read(path, dtype, element=element, threads=2), expected, path.name)
        same(fastup.read(path, dtype, (3, 5, 20, 17), element=element), expected[3:23, 5:22], path.name)
        if element == 0:
            same(next(fastup.stream([path], dtype))[1], expected, path.name)
    with pytest.raises(DpxError, match=path.name):
        fastup.read(path, element=elements)


def test_ffmpeg_reads_the_same(tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "f.dpx"
    kinds = [(d, *depth) for d in (6, 50, 51) for depth in DEPTHS if depth not in ((1, 0), (10, 0), (32, 1))]
    for flavour, order, width in itertools.product([*kinds, (52, 8, 1)], ORDERS, (1, 2, 3, 4, 5, 7, 100)):
        path.write_bytes(some_file(flavour, 3, width, order))
        with av.open(str(path)) as container:
            codes = next(container.decode(video=0)).to_ndarray().reshape(3, width, -1).astype(np.uint16)
        same(fastup.read(path), codes[..., ::-1] if flavour[0] == 52 else codes, flavour, order, width)


def test_openimageio_reads_the_same(tmp_path):
    """Where it is right: rows that end on a word of their own, and no conversion of colour."""
    import OpenImageIO as oiio

    raw = oiio.ImageSpec()
    for name in ("oiio:UnassociatedAlpha", "oiio:RawColor", "dpx:RawData"):
        raw[name] = 1
    path = tmp_path / "f.dpx"
    kinds = [flavour for flavour in FLAVOURS if flavour[0] <= 51 and flavour[1] > 1]
    for flavour, order, width in itertools.product(kinds, ORDERS, (12, 24)):
        bits, dtype = flavour[1], "float32" if flavour[1] == 32 else "uint16"
        path.write_bytes(some_file(flavour, 3, width, order))
        image = oiio.ImageInput.open(str(path), raw).read_image({8: "uint8", 32: "float"}.get(bits, "uint16"))
        image = image >> (16 - bits) if bits in (10, 12) else image
        same(fastup.read(path, dtype), image.reshape(3, width, -1).astype(dtype), flavour, order, width)


@pytest.mark.parametrize("flavour", [(50, 10, 1), (51, 12, 2), (100, 8, 1), (103, 32, 1)], ids=str)
def test_large_frames_of_floats_go_past_the_caches(tmp_path, flavour):
    """From 16 MiB on they are stored in another way, to addresses of any kind."""
    path, width, height = tmp_path / "f.dpx", 1999, 712
    size = naive.DPX_COMPONENTS[flavour[0]] * width * height * 4 + 8000
    noise = np.random.default_rng(3).integers(0, 120, size, np.uint8).tobytes()  # no float of it is a NaN
    for orientation in (0, 1 + (flavour[1] > 10)):
        data = naive.dpx_header(width, height, orientation=orientation, **fields(flavour)) + noise
        path.write_bytes(data)
        picture = naive.dpx_read(data)
        for dtype, window in itertools.product(DTYPES[1:], [None, (3, 1, height - 3, width - 2)]):
            expected = naive.dpx_as(picture if window is None else picture[3:, 1:-1], flavour[1], dtype)
            if dtype == "float32":
                assert expected.nbytes >= 16 << 20
            same(fastup.read(path, dtype, window), expected, orientation, dtype, window)
            room = np.empty(expected.nbytes + 64, np.uint8)
            for off in (4, 12):
                out = room[off : off + expected.nbytes].view(dtype).reshape(expected.shape)
                same(fastup.read(path, dtype, window, out), expected, orientation, dtype, window, off)


def test_out_for_one_component_may_be_a_plane(tmp_path):
    (tmp_path / "f.dpx").write_bytes(some_file((6, 10, 1), 5, 7))
    plane = np.zeros((5, 7), np.uint16)
    fastup.read(tmp_path / "f.dpx", out=plane[..., np.newaxis])
    same(plane[..., np.newaxis], fastup.read(tmp_path / "f.dpx"))


# -- writing ---------------------------------------------------------------------------------------------------------

WRITABLE = [flavour for flavour in FLAVOURS if flavour[0] not in (100, 101)]


def test_write_gives_the_file_of_the_twin(tmp_path):
    """Read and written again, a file is the same byte for byte, garbage in undefined fields included."""
    garbage = bytes(range(1, 250))
    cases = itertools.product(WRITABLE, [*range(1, 18), 64, 100], ORDERS)
    for number, (flavour, width, order) in enumerate(cases):
        picture = some_picture(flavour, 2, width, width)
        data = file_bytes(picture, flavour, order, fill=garbage)
        (tmp_path / "f.dpx").write_bytes(data)
        header = fastup.read_header(tmp_path / "f.dpx")
        dtype = DTYPES[1 if flavour[1] == 32 else (number + number // 2) % 2]  # either in either order, over two widths
        fastup.write(tmp_path / "g.dpx", fastup.read(tmp_path / "f.dpx", dtype), header, fsync=False)
        assert (tmp_path / "g.dpx").read_bytes() == data, (flavour, order, width, dtype)


@settings(SHARED, max_examples=150)
@given(data=st.data(), flavour=st.sampled_from(WRITABLE), height=st.integers(1, 5), width=st.integers(1, 40))
def test_any_file_comes_back_byte_for_byte(tmp_path, data, flavour, height, width):
    order, orientation = data.draw(st.sampled_from(ORDERS)), data.draw(st.sampled_from([0, 1, 2, 3, 0xFFFF]))
    padding, offset = data.draw(st.sampled_from([0, 1, 4, 30])), data.draw(st.integers(1664, 3000))
    own = data.draw(st.sampled_from([0, WHOLE, offset]))
    fill = data.draw(st.binary(min_size=1, max_size=3000))
    picture = some_picture(flavour, height, width)
    contents = bytearray(
        file_bytes(
            picture, flavour, order, padding=padding, offset=offset, own_offset=own, orientation=orientation, fill=fill
        )
    )
    gap = naive.dpx_layout(bytes(contents))["row"]
    for y in range(height if padding else 0):  # what lies between rows is written as zeros
        end = offset + (y + 1) * gap
        contents[end - padding : end] = bytes(padding)
    (tmp_path / "f.dpx").write_bytes(contents)
    frame = fastup.read(tmp_path / "f.dpx", "float32" if flavour[1] == 32 else "uint16")
    fastup.write(tmp_path / "g.dpx", frame, fastup.read_header(tmp_path / "f.dpx"), fsync=False)
    assert (tmp_path / "g.dpx").read_bytes() == contents


def test_write_large_frames_of_every_flavour(tmp_path):
    """Longer than what is packed and written at a time, in one run and row by row."""
    for flavour, (height, width), padding in itertools.product(
        WRITABLE[::3], [(61, 1601), (3, 20000), (1600, 64)], [0, 5]
    ):
        picture = some_picture(flavour, height, width)
        data = file_bytes(picture, flavour, "little", padding=padding)
        header = fastup.Header(data[:2048])
        fastup.write(tmp_path / "g.dpx", picture, header, fsync=False)
        written = (tmp_path / "g.dpx").read_bytes()
        same(naive.dpx_read(written), picture, flavour, height, width)
        assert len(written) == len(data)


def test_write_clips_and_rounds_to_every_white(tmp_path):
    for bits, packing in DEPTHS[:-1]:
        white = 2**bits - 1
        codes = np.arange(2**bits)
        exact = (np.concatenate([codes - 0.49, codes + 0.49]) / white).astype(np.float32)
        values = np.concatenate([exact, [-1, -np.inf, 2, np.inf, -0.0, 1e-30]]).astype(np.float32)
        expected = np.concatenate([codes, codes, [0, 0, white, white, 0, 0]])
        header = fastup.Header(naive.dpx_header(values.size, 1, descriptor=6, bits=bits, packing=packing))
        fastup.write(tmp_path / "f.dpx", values.reshape(1, -1, 1), header, fsync=False)
        np.testing.assert_array_equal(naive.dpx_read((tmp_path / "f.dpx").read_bytes()).ravel(), expected)


def test_write_refuses_what_the_flavour_cannot_hold(tmp_path):
    for flavour in WRITABLE:
        white = 2 ** flavour[1] - 1
        frame = some_picture(flavour, 3, 900)
        header = fastup.Header(file_bytes(frame, flavour)[:2048])
        wrong = [(frame.astype(np.float32), np.nan, "NaN")]
        if white < 65535:
            wrong.append((frame, white + 1, f"codes above {white}"))
        for base, value, says in wrong:
            for place in (0, base.size // 2, base.size - 1):
                bad = base.copy()
                bad.ravel()[place] = value
                with pytest.raises(ValueError, match=rf"f\.dpx: the frame holds {says}"):
                    fastup.write(tmp_path / "f.dpx", bad, header)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("descriptor", [100, 101])
def test_write_refuses_subsampled_chroma(tmp_path, descriptor):
    flavour = (descriptor, 10, 1)
    (tmp_path / "f.dpx").write_bytes(some_file(flavour, 2, 4))
    frame, header = fastup.read(tmp_path / "f.dpx"), fastup.read_header(tmp_path / "f.dpx")
    kept = {100: "CBYCR", 101: "CBYCRA"}[descriptor]
    with pytest.raises(DpxError, match=rf"writes no 4:2:2.*header\.replace\(descriptor='{kept}'\)"):
        fastup.write(tmp_path / "g.dpx", frame, header)
    whole = header.replace(descriptor=kept)
    fastup.write(tmp_path / "g.dpx", frame, whole)
    same(fastup.read(tmp_path / "g.dpx"), frame)
