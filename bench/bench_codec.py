"""The DPX codec against OpenImageIO, PyAV and plain NumPy: 10-bit RGB, method A, files in the page cache, one thread.

Reading 1920x1080 against OpenImageIO and windows of it are held to the promised floors; the other floors keep what was
reached from being lost. OpenImageIO scales 10 bits to 16, which leaves whoever wants codes another pass over the frame;
that pass isn't counted.
"""

import av
import numpy as np
import OpenImageIO as oiio
import pytest

import fastup

HD, SD = (1080, 1920), (480, 720)
HEADER_BYTES = 2048  # what fastup writes before the pixels
WHITE = np.float32(1023)

ORDERS = pytest.mark.parametrize("order", ["big", "little"])
SIZES = pytest.mark.parametrize("size", [HD, SD], ids=["1920x1080", "720x480"])
DTYPES = pytest.mark.parametrize("dtype", ["uint16", "float32"])


@pytest.fixture(scope="module")
def data(tmp_path_factory, picture):
    """For each size: the frame, and its file in either byte order."""
    folder = tmp_path_factory.mktemp("codec")
    data = {}
    for size in (HD, SD):
        frame, paths = picture(size), {}
        for order in ("big", "little"):
            paths[order] = folder / f"{size[0]}-{order}.dpx"
            fastup.write(paths[order], frame, fastup.Header.new(size[1], size[0], big_endian=order == "big"))
        data[size] = frame, paths
    return data


def scaled(codes):
    """Codes of 10 bits as OpenImageIO has them: of 16."""
    return codes << 6 | codes >> 4


def openimageio_write(path, frame):
    height, width, channels = frame.shape
    spec = oiio.ImageSpec(width, height, channels, "uint16")
    spec.attribute("oiio:BitsPerSample", 10)
    spec.attribute("oiio:Endian", "big")
    image = oiio.ImageOutput.create(str(path))
    assert image.open(str(path), spec), image.geterror()
    assert image.write_image(frame), image.geterror()
    image.close()


def pyav_read(path):
    with av.open(str(path)) as container:
        container.streams.video[0].thread_count = 1
        return next(container.decode(video=0)).to_ndarray()


def words_of(order):
    return np.dtype(np.uint32).newbyteorder(order)


def unpack(words):
    return np.stack([words >> 22, words >> 12 & 1023, words >> 2 & 1023], axis=-1).astype(np.uint16)


def numpy_read(path, size, order):
    return unpack(np.fromfile(path, words_of(order), offset=HEADER_BYTES).reshape(size))


def numpy_window(path, size, order, y, x, height, width):
    """A mapped file: pages that the window doesn't touch aren't read."""
    words = np.memmap(path, words_of(order), "r", HEADER_BYTES, size)
    return unpack(words[y : y + height, x : x + width])


def named(what, size, order, peer):
    return f"{what}, {size[1]}x{size[0]} {order}-endian: {peer}"


@ORDERS
@SIZES
@DTYPES
def test_read_against_openimageio(data, openimageio_read, against, dtype, size, order):
    codes, paths = data[size]
    path = paths[order]
    if dtype == "uint16":
        theirs, floor = "uint16", 8
        assert (fastup.read(path) == codes).all()
        assert (openimageio_read(path, "uint16") == scaled(codes)).all()
    else:
        theirs, floor = "float", 10
        assert (fastup.read(path, "float32") == codes / WHITE).all()
        # Theirs are the scaled codes over 65535, up to 1.5e-5 off.
        assert np.abs(openimageio_read(path, "float") - codes / WHITE).max() < 2e-5
    against(
        lambda: fastup.read(path, dtype),
        lambda: openimageio_read(path, theirs),
        rounds=40,
        calls=1 if size == HD else 5,
        at_least=floor,
        label=named(f"read {dtype}", size, order, "OpenImageIO"),
    )


@ORDERS
@DTYPES
def test_read_into_out_against_openimageio(data, openimageio_read, against, dtype, order):
    """Into a buffer that is there already. OpenImageIO has no such thing from Python, so that its user copies."""
    codes, paths = data[HD]
    path, theirs = paths[order], {"uint16": "uint16", "float32": "float"}[dtype]
    ours, buffer = np.empty(codes.shape, dtype), np.empty(codes.shape, dtype)
    assert fastup.read(path, dtype, out=ours) is ours
    assert (ours == (codes if dtype == "uint16" else codes / WHITE)).all()

    def read_and_copy():
        buffer[...] = openimageio_read(path, theirs)

    against(
        lambda: fastup.read(path, dtype, out=ours),
        read_and_copy,
        at_least=8 if dtype == "uint16" else 10,
        label=named(f"read {dtype} into out", HD, order, "OpenImageIO and a copy"),
    )


@ORDERS
@SIZES
def test_read_against_pyav(data, against, size, order):
    codes, paths = data[size]
    path = paths[order]
    assert (pyav_read(path) == codes).all()
    against(
        lambda: fastup.read(path),
        lambda: pyav_read(path),
        calls=1 if size == HD else 5,
        at_least=4,
        label=named("read uint16", size, order, "PyAV"),
    )


@ORDERS
def test_read_against_numpy(data, against, order):
    codes, paths = data[HD]
    path = paths[order]
    assert (numpy_read(path, HD, order) == codes).all()
    against(
        lambda: fastup.read(path),
        lambda: numpy_read(path, HD, order),
        at_least=3,
        label=named("read uint16", HD, order, "NumPy"),
    )


@ORDERS
@DTYPES
def test_window_against_the_whole_frame(data, against, dtype, order):
    """Both by fastup, both with the file opened and closed each time."""
    codes, paths = data[HD]
    path, (y, x, height, width) = paths[order], (500, 900, 64, 64)
    whole, part = np.empty(codes.shape, dtype), np.empty((height, width, 3), dtype)
    fastup.read(path, dtype, (y, x, height, width), part)
    assert (part == fastup.read(path, dtype, out=whole)[y : y + height, x : x + width]).all()
    against(
        lambda: fastup.read(path, dtype, (y, x, height, width), part),
        lambda: fastup.read(path, dtype, out=whole),
        calls=20,
        at_least=20,
        label=named(f"window of 64x64 {dtype}", HD, order, "fastup, the whole frame"),
    )


@SIZES
def test_window_against_numpy(data, against, size):
    codes, paths = data[size]
    path, window = paths["big"], (200, 300, 64, 64)
    assert (fastup.read(path, window=window) == codes[200:264, 300:364]).all()
    assert (numpy_window(path, size, "big", *window) == codes[200:264, 300:364]).all()
    against(
        lambda: fastup.read(path, window=window),
        lambda: numpy_window(path, size, "big", *window),
        calls=50,
        at_least=1.2,
        label=named("window of 64x64 uint16", size, "big", "NumPy, mapped"),
    )


@SIZES
@DTYPES
def test_write_against_openimageio(data, openimageio_read, against, tmp_path, dtype, size):
    """To the page cache. OpenImageIO gets codes that are scaled already; ours makes a new file and renames it."""
    codes, _ = data[size]
    our_path, their_path = tmp_path / "ours.dpx", tmp_path / "theirs.dpx"
    our_frame, their_frame = (codes, scaled(codes)) if dtype == "uint16" else (codes / WHITE, codes / WHITE)
    fastup.write(our_path, our_frame)
    openimageio_write(their_path, their_frame)
    assert (openimageio_read(our_path, "uint16") == scaled(codes)).all()
    assert (fastup.read(their_path) == codes).all()
    against(
        lambda: fastup.write(our_path, our_frame),
        lambda: openimageio_write(their_path, their_frame),
        calls=1 if size == HD else 5,
        at_least=1.5,
        label=named(f"write {dtype}", size, "big", "OpenImageIO"),
    )
