"""The DPX codec against OpenImageIO, PyAV (FFmpeg), plain NumPy and ImageMagick, and against the floor.

Files lie in the page cache, everything runs on one thread. Peers are timed from the name of a file to a frame of their
own, without what a user of codes would still have to do with it: OpenImageIO scales 10 and 12 bits to 16, PyAV's frame
is planes that `to_ndarray` would copy once more. The column "peer is" says whether the peer's frame holds the picture.

Memory alone is what no codec can beat that reads a file and makes an array: one read of the pixels into memory that is
warm, and one copy of the result's size.
"""

import os
import shutil
import statistics
import subprocess
import sys

import av
import numpy as np
import OpenImageIO as oiio
import pytest

import fastup
from fastup import Header

SD, HD, UHD = (480, 720), (1080, 1920), (2160, 4096)
PACE = {SD: (15, 8), HD: (9, 4), UHD: (7, 1)}  # rounds, and calls in each: none is over in less than a millisecond

# What a header says of a flavour. The first is what restorers have; the first six are measured at more than one size.
FLAVOURS = {
    "RGB 10 A": {},
    "RGB 10 A little-endian": {"big_endian": False},
    "RGB 10 B": {"packing": 2},
    "RGBA 10 A": {"descriptor": "RGBA"},
    "RGB 12 A": {"bits": 12},
    "RGB 16": {"bits": 16},
    "RGB 10 packed": {"packing": 0},
    "RGBA 10 packed little-endian": {"descriptor": "RGBA", "packing": 0, "big_endian": False},
    "luma 10 A": {"descriptor": "LUMA"},
    "ABGR 10 A": {"descriptor": "ABGR"},
    "CbYCr 10 A": {"descriptor": "CBYCR"},
    "RGB 8": {"bits": 8},
    "RGBA 8 little-endian": {"bits": 8, "descriptor": "RGBA", "big_endian": False},
    "RGB 12 A little-endian": {"bits": 12, "big_endian": False},
    "RGBA 12 A": {"bits": 12, "descriptor": "RGBA"},
    "RGB 12 B": {"bits": 12, "packing": 2},
    "RGB 12 packed": {"bits": 12, "packing": 0},
    "RGB 16 little-endian": {"bits": 16, "big_endian": False},
    "RGBA 16": {"bits": 16, "descriptor": "RGBA"},
    "luma 16": {"bits": 16, "descriptor": "LUMA"},
    "RGB float": {"bits": 32},
}
MAIN = list(FLAVOURS)[:6]
# Words as they are wanted: into memory that is warm, OpenImageIO does nothing but read them, and so do we.
AS_THEY_ARE = {
    "RGB 12 A", "RGB 12 A little-endian", "RGBA 12 A", "RGB 16", "RGB 16 little-endian", "RGBA 16", "luma 16",
    "RGB float",
}  # fmt: skip

# How many times as fast as a peer, in scripts of their own.
PROMISED = {"openimageio": 20, "pyav": 11}  # the first flavour
AT_LEAST = {"openimageio": 4.5, "pyav": 2}

by_main_flavour = pytest.mark.parametrize("flavour", MAIN)
by_size = pytest.mark.parametrize("size", [SD, HD, UHD], ids=["720x480", "1920x1080", "4096x2160"])
by_dtype = pytest.mark.parametrize("dtype", ["uint16", "float32"])
LARGE = "RGB 10 A", "RGBA 10 A"  # what is measured at 4096x2160, too


def by_flavour_and_size(flavours):
    pairs = [(flavour, size) for flavour in flavours for size in PACE if size != UHD or flavour in LARGE]
    return pytest.mark.parametrize(("flavour", "size"), pairs, ids=[f"{f}-{w}x{h}" for f, (h, w) in pairs])


@pytest.fixture(scope="module")
def case(tmp_path_factory, picture):
    """A function: flavour and size to a frame of codes, or of floats, and its file. One is kept at a time."""
    folder, kept = tmp_path_factory.mktemp("codec"), {}

    def case(flavour, size):
        if (flavour, size) not in kept:
            kept.clear()
            header = Header.new(size[1], size[0], **FLAVOURS[flavour])
            frame = picture(size)  # 10 bits, RGB
            if header.channels == 4:
                frame = np.concatenate([frame, frame[..., :1]], axis=-1)
            elif header.channels == 1:
                frame = np.ascontiguousarray(frame[..., 1:2])
            if header.white is None:
                frame = frame / np.float32(1023)
            else:
                frame = (frame.astype(np.uint32) * header.white // 1023).astype(np.uint16)
            path = folder / "frame.dpx"
            fastup.write(path, frame, header, fsync=False)
            kept[flavour, size] = frame, path, header
        return kept[flavour, size]

    return case


def ours(path, frame, white, dtype, out=None):
    """A call that reads; checked once."""
    expected = frame if dtype == "uint16" or white is None else frame / np.float32(white)
    assert (fastup.read(path, dtype, out=out) == expected).all()
    return lambda: fastup.read(path, dtype, out=out)


def like(theirs, frame, white):
    """Whether a peer's frame holds the picture, in whatever scale: as stored, of 16 bits, or shifted to them."""
    if theirs is None or theirs.shape != frame.shape:
        return False
    if white is None:
        return bool((theirs == frame).all())
    largest = 1 if theirs.dtype.kind == "f" else np.iinfo(theirs.dtype).max
    scales = 1, largest / white, largest / 65535 * (65536 // (white + 1))
    return any(np.abs(theirs - frame * scale).max() < 0.51 * largest / white for scale in scales)


def openimageio_write(path, frame, bits):
    height, width, channels = frame.shape
    spec = oiio.ImageSpec(width, height, channels, "uint16")
    spec.attribute("oiio:BitsPerSample", bits)
    spec.attribute("oiio:Endian", "big")
    spec.attribute("oiio:UnassociatedAlpha", 1)
    image = oiio.ImageOutput.create(str(path))
    assert image.open(str(path), spec), image.geterror()
    assert image.write_image(frame), image.geterror()
    image.close()


def pyav_read(path):
    """The frame as FFmpeg has it, None where it can't."""
    try:
        with av.open(str(path)) as container:
            container.streams.video[0].thread_count = 1
            return next(container.decode(video=0))
    except (av.FFmpegError, StopIteration):
        return None


def pyav_decoder(path):
    """A call that decodes what lies in memory already."""
    with av.open(str(path)) as container:
        packet = bytes(next(container.demux(video=0)))
    context = av.CodecContext.create("dpx", "r")
    context.thread_count = 1
    return lambda: context.decode(av.Packet(packet))


def pyav_array(frame):
    try:
        return np.atleast_3d(frame.to_ndarray())
    except ValueError:  # a format that PyAV has no array for
        return None


def memory_alone(path, frame_bytes):
    """A call that reads the pixels into warm memory, and copies as much as the result has."""
    pixels = np.ones(os.path.getsize(path) - 2048, np.uint8)
    source, target = np.ones(frame_bytes, np.uint8), np.ones(frame_bytes, np.uint8)

    def work():
        fd = os.open(path, os.O_RDONLY)
        os.preadv(fd, [pixels], 2048)
        os.close(fd)
        target[:] = source

    return work


def stored_alone(path, frame):
    """A call that copies as much as a frame has, and writes a file's bytes to a new file that takes its name."""
    data, (source, target) = path.read_bytes(), np.ones((2, frame.nbytes), np.uint8)

    def work():
        target[:] = source
        with open(path.with_suffix(".part"), "wb", buffering=0) as file:
            file.write(data)
        os.replace(path.with_suffix(".part"), path.with_suffix(".alone"))

    return work


def named(what, flavour, size, peer):
    return f"{what}, {flavour} {size[1]}x{size[0]}: {peer}"


def pace(size):
    rounds, calls = PACE[size]
    return {"rounds": rounds, "calls": calls}


# -- reading ---------------------------------------------------------------------------------------------------------


@by_flavour_and_size(MAIN)
@by_dtype
def test_read_against_openimageio(case, openimageio_read, against, dtype, flavour, size):
    frame, path, header = case(flavour, size)
    theirs = "uint16" if dtype == "uint16" else "float"
    against(
        ours(path, frame, header.white, dtype),
        lambda: openimageio_read(path, theirs),
        memory=memory_alone(path, frame.size * np.dtype(dtype).itemsize),
        **pace(size),
        at_least=2 if flavour in AS_THEY_ARE else 6.5,
        label=named(f"read {dtype}", flavour, size, "OpenImageIO"),
        right=like(openimageio_read(path, theirs), frame, header.white),
    )


SCRIPT = """
import os, statistics, sys, time
import av
import numpy as np
import OpenImageIO as oiio
import fastup

side, path, dtype = sys.argv[1:]
oiio.attribute("threads", 1)

def ours():
    return fastup.read(path, dtype)

def openimageio():
    image = oiio.ImageInput.open(path)
    pixels = image.read_image({"uint16": "uint16", "float32": "float"}[dtype])
    image.close()
    return pixels

def pyav():
    with av.open(path) as container:
        container.streams.video[0].thread_count = 1
        return next(container.decode(video=0))

pixels = np.ones(os.path.getsize(path) - 2048, np.uint8)
source, target = np.ones((2, ours().nbytes), np.uint8)

def memory():
    fd = os.open(path, os.O_RDONLY)
    os.preadv(fd, [pixels], 2048)
    os.close(fd)
    target[:] = source
    return True

read, times = globals()[side], []
try:
    for _ in range(16):
        start = time.perf_counter()
        assert read() is not None
        times.append(time.perf_counter() - start)
    print(statistics.median(times[3:]))
except Exception:  # it can't read this flavour
    pass
"""


def in_scripts(path, dtype, peers, repeats):
    """{side: median} of ours, of memory alone and of the peers that can read it, in processes of their own, in turn."""
    times = {side: [] for side in ("ours", "memory", *peers)}
    for side in [*times] * repeats:
        command = [sys.executable, "-c", SCRIPT, side, path, dtype]
        printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        if printed:
            times[side].append(float(printed))
    return {side: statistics.median(taken) for side, taken in times.items() if taken}


@pytest.mark.parametrize(
    ("dtype", "flavour"), [*(("uint16", flavour) for flavour in FLAVOURS), *(("float32", flavour) for flavour in MAIN)]
)
def test_read_in_a_script(case, judged, openimageio_read, dtype, flavour):
    """As a script reads frame after frame, each side in processes of its own: here the floors are the promised ones.

    In one process the sides get into each other's caches, and OpenImageIO's floats take half the time or the same, as
    the allocator's history has it: whether a large array that is let go returns to the system, which has to clear it
    for the next.
    """
    frame, path, header = case(flavour, HD)
    pictures = {"openimageio": lambda: openimageio_read(path, "uint16" if dtype == "uint16" else "float")}
    if dtype == "uint16":  # PyAV gives codes alone
        pictures["pyav"] = lambda: pyav_array(pyav_read(path))
    if header.white is None:
        dtype = "float32"
    ours(path, frame, header.white, dtype)
    repeats = 3 if flavour == MAIN[0] else 1
    took = in_scripts(path, dtype, pictures, repeats)

    def medians(took, peer):
        return took["ours"], took[peer], took["memory"]

    for peer, picture in pictures.items():
        if peer in took:
            judged(
                *medians(took, peer),
                again=lambda peer=peer: medians(in_scripts(path, dtype, pictures, repeats), peer),
                at_least=(PROMISED if flavour == MAIN[0] else AT_LEAST)[peer],
                label=named(
                    f"read {dtype} in a script", flavour, HD, {"openimageio": "OpenImageIO", "pyav": "PyAV"}[peer]
                ),
                right=like(picture(), frame, header.white),
            )


@by_flavour_and_size(MAIN)
def test_read_against_pyav(case, against, flavour, size):
    frame, path, header = case(flavour, size)
    against(
        ours(path, frame, header.white, "uint16"),
        lambda: pyav_read(path),
        memory=memory_alone(path, frame.nbytes),
        **pace(size),
        at_least=3.5 if flavour == "RGB 16" else 6.5,
        label=named("read uint16", flavour, size, "PyAV"),
        right=like(pyav_array(pyav_read(path)), frame, header.white),
    )


@by_main_flavour
def test_read_against_pyav_in_memory(case, against, flavour):
    """Our file against their packet, which costs no system call; 8 and 16 bits they need not even touch."""
    frame, path, header = case(flavour, HD)
    against(
        ours(path, frame, header.white, "uint16"),
        pyav_decoder(path),
        **pace(HD),
        label=named("read uint16", flavour, HD, "PyAV, its decoder alone, in memory"),
    )


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_read_against_memory_alone(case, against, flavour):
    frame, path, header = case(flavour, HD)
    out = np.empty_like(frame)
    against(
        ours(path, frame, header.white, out.dtype.name, out),
        memory_alone(path, out.nbytes),
        **pace(HD),
        at_most=1.5,
        label=named("read into out", flavour, HD, "memory alone"),
    )


@by_size
def test_read_floats_against_memory_alone(case, against, size):
    frame, path, header = case(MAIN[0], size)
    out = np.empty(frame.shape, np.float32)
    against(
        ours(path, frame, header.white, "float32", out),
        memory_alone(path, out.nbytes),
        **pace(size),
        at_most=1.5,
        label=named("read float32 into out", MAIN[0], size, "memory alone"),
    )


def unpack(words):
    return np.stack([words >> 22, words >> 12 & 1023, words >> 2 & 1023], axis=-1).astype(np.uint16)


@by_size
@pytest.mark.parametrize("flavour", MAIN[:2])
def test_read_against_numpy(case, against, flavour, size):
    frame, path, header = case(flavour, size)
    words = np.dtype(">u4" if header.big_endian else "<u4")
    peer = lambda: unpack(np.fromfile(path, words, offset=2048).reshape(size))  # noqa: E731
    assert (peer() == frame).all()
    against(
        ours(path, frame, header.white, "uint16"),
        peer,
        memory=memory_alone(path, frame.nbytes),
        **pace(size),
        at_least=5,
        label=named("read uint16", flavour, size, "NumPy"),
    )


def imagemagick():
    for name in ("magick", "convert-im6.q16", "convert"):
        command = shutil.which(name)
        if command and "ImageMagick" in subprocess.run([command, "-version"], capture_output=True, text=True).stdout:
            return command
    return None


@by_dtype
def test_read_against_imagemagick(case, against, tmp_path, dtype):
    """A process of theirs, which is all they offer a script; ours is told to be one too, with Python to start."""
    command = imagemagick()
    if command is None:
        pytest.skip("no ImageMagick here")
    frame, path, header = case(MAIN[0], HD)
    raw = tmp_path / "raw"
    theirs = [command, path, "-depth", "16", f"rgb:{raw}"]
    if dtype == "float32":
        theirs[2:4] = ["-define", "quantum:format=floating-point", "-depth", "32"]
    subprocess.run(theirs, check=True)
    pixels = np.fromfile(raw, dtype).reshape(frame.shape)
    against(
        ours(path, frame, header.white, dtype),
        lambda: subprocess.run(theirs, check=True),
        rounds=5,
        label=named(f"read {dtype}", MAIN[0], HD, "ImageMagick, the process"),
        right=like(pixels, frame, header.white),
    )


def test_read_in_two_threads(case, against):
    frame, path, _ = case(MAIN[0], UHD)
    out = np.empty_like(frame)
    assert (fastup.read(path, out=out, threads=2) == frame).all()
    against(
        lambda: fastup.read(path, out=out, threads=2),
        lambda: fastup.read(path, out=out),
        rounds=15,
        at_least=0.7,  # of two cores, others may have one
        label=named("read uint16 into out in two threads", MAIN[0], UHD, "in one"),
    )


# -- windows ---------------------------------------------------------------------------------------------------------


@by_main_flavour
@by_dtype
def test_window_against_the_whole_frame(case, against, dtype, flavour):
    """Both by fastup, both with the file opened and closed each time."""
    frame, path, _ = case(flavour, HD)
    window = y, x, height, width = 500, 901, 64, 64
    whole, part = np.empty(frame.shape, dtype), np.empty((height, width, frame.shape[2]), dtype)
    fastup.read(path, dtype, window, part)
    assert (part == fastup.read(path, dtype, out=whole)[y : y + height, x : x + width]).all()
    against(
        lambda: fastup.read(path, dtype, window, part),
        lambda: fastup.read(path, dtype, out=whole),
        calls=20,
        at_least=11 if dtype == "uint16" else 20,
        label=named(f"window of 64x64 {dtype}", flavour, HD, "fastup, the whole frame"),
    )


@pytest.mark.parametrize("size", [SD, HD], ids=["720x480", "1920x1080"])
def test_window_against_numpy(case, against, size):
    """A mapped file: pages that the window doesn't touch aren't read."""
    frame, path, _ = case(MAIN[0], size)
    expected = frame[200:264, 300:364]

    def mapped():
        return unpack(np.memmap(path, ">u4", "r", 2048, size)[200:264, 300:364])

    assert (fastup.read(path, window=(200, 300, 64, 64)) == expected).all()
    assert (mapped() == expected).all()
    against(
        lambda: fastup.read(path, window=(200, 300, 64, 64)),
        mapped,
        calls=50,
        at_least=3.3,
        label=named("window of 64x64 uint16", MAIN[0], size, "NumPy, mapped"),
    )


# -- writing ---------------------------------------------------------------------------------------------------------


@by_flavour_and_size(["RGB 10 A", "RGBA 10 A", "RGB 12 A", "RGB 16"])
@by_dtype
def test_write_against_openimageio(case, openimageio_read, against, tmp_path, dtype, flavour, size):
    """To the page cache. OpenImageIO gets codes that are scaled already; ours makes a new file and renames it."""
    frame, _, header = case(flavour, size)
    bits = header.bits
    our_path, their_path = tmp_path / "ours.dpx", tmp_path / "theirs.dpx"
    our_frame = frame if dtype == "uint16" else frame / np.float32(header.white)
    scaled = (frame << 16 - bits | frame >> 2 * bits - 16) if bits < 16 else frame
    their_frame = scaled if dtype == "uint16" else our_frame
    fastup.write(our_path, our_frame, header, fsync=False)
    openimageio_write(their_path, their_frame, bits)
    assert (fastup.read(our_path) == frame).all()
    theirs = fastup.read(their_path)
    rounds, calls = PACE[size]
    against(
        lambda: fastup.write(our_path, our_frame, header, fsync=False),
        lambda: openimageio_write(their_path, their_frame, bits),
        memory=stored_alone(our_path, our_frame),
        rounds=rounds,
        calls=1 if size == HD else calls,
        at_least=2 if flavour == "RGB 16" else 3,
        label=named(f"write {dtype}", flavour, size, "OpenImageIO"),
        right=bool((theirs == frame).all()),
    )


def test_write_and_flush(case, against, tmp_path):
    """What it costs to be safe from a power cut."""
    frame, _, header = case(MAIN[0], HD)
    against(
        lambda: fastup.write(tmp_path / "f.dpx", frame, header),
        lambda: fastup.write(tmp_path / "g.dpx", frame, header, fsync=False),
        rounds=10,
        label=named("write uint16, flushed", MAIN[0], HD, "not flushed"),
    )


def test_write_against_numpy(case, against, tmp_path):
    """As people do it in NumPy: truncated, masked, and wrong beyond white."""
    frame, _, header = case(MAIN[0], HD)
    floats = (frame + np.float32(0.25)) / np.float32(1023)
    path = tmp_path / "g.dpx"

    def pack():
        codes = (floats * 1023).astype(np.uint32) & 1023
        with open(path, "wb") as file:
            file.write(header.raw)
            file.write((codes[..., 0] << 22 | codes[..., 1] << 12 | codes[..., 2] << 2).astype(">u4").tobytes())

    pack()
    theirs = fastup.read(path)
    fastup.write(tmp_path / "f.dpx", floats, header)
    assert (fastup.read(tmp_path / "f.dpx") == frame).all()
    against(
        lambda: fastup.write(tmp_path / "f.dpx", floats, header, fsync=False),
        pack,
        rounds=10,
        label=named("write float32", MAIN[0], HD, "NumPy"),
        right=bool((theirs == frame).all()),
    )
