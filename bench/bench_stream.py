"""Read-ahead against a plain loop, and against OpenImageIO on two threads: 24 frames of 1920x1080."""

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastup

FRAMES, SIZE = 24, (1080, 1920)
TIMES = 4  # that a stream from the page cache goes over them: a shared machine may stand still for 40 frames' time
THEIRS = {"uint16": "uint16", "float32": "float"}
DTYPES = pytest.mark.parametrize("dtype", ["uint16", "float32"])


@pytest.fixture(scope="module")
def paths(tmp_path_factory, picture):
    """Files of one picture that moves down, on disk, so that they can be dropped from the page cache."""
    folder, first = tmp_path_factory.mktemp("stream"), picture(SIZE)
    paths = [folder / f"{number}.dpx" for number in range(FRAMES)]
    for number, path in enumerate(paths):
        fastup.write(path, np.roll(first, 8 * number, axis=0))
        with open(path, "r+b") as file:
            os.fsync(file)
    yield paths
    shutil.rmtree(folder)  # pytest would keep it for three runs


def work(frame, every=2):
    """A little: every other row and column, added up. Returns a number that tells the frames apart."""
    return frame[::every, ::every].sum(axis=(1, 2), dtype=np.float64)[0]


def in_a_loop(paths, dtype):
    return [work(fastup.read(path, dtype)) for path in paths]


def streamed(paths, dtype, every=2):
    return [work(frame, every) for _, frame in fastup.stream(paths, dtype, threads=2)]


def pooled(paths, dtype, read, every):
    with ThreadPoolExecutor(2) as pool:
        return [work(frame, every) for frame in pool.map(read, paths, [THEIRS[dtype]] * len(paths))]


def memory_alone(paths, dtype):
    """A call that reads the pixels of all files into warm memory and copies as much as the frames have; two threads."""
    length, local = os.path.getsize(paths[0]) - 2048, threading.local()
    frame = np.prod(SIZE) * 3 * np.dtype(dtype).itemsize

    def work(path):
        if not hasattr(local, "pixels"):
            local.pixels, local.source, local.target = (np.ones(size, np.uint8) for size in (length, frame, frame))
        fd = os.open(path, os.O_RDONLY)
        os.preadv(fd, [local.pixels], 2048)
        os.close(fd)
        local.target[:] = local.source

    def all_of_them():
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, paths))

    return all_of_them


def drop(paths):
    """Out of the page cache, if the system and the file system can."""
    for path in paths:
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def can_drop(paths):
    if not hasattr(os, "posix_fadvise") or not hasattr(os, "RWF_NOWAIT"):
        return False
    drop(paths)
    with open(paths[-1], "rb", buffering=0) as file:
        try:
            os.preadv(file.fileno(), [bytearray(1)], 4 << 20, os.RWF_NOWAIT)
        except BlockingIOError:
            return True
    return False


@DTYPES
def test_stream_against_a_loop(paths, against, dtype):
    """Files in the page cache: decoding is as fast as memory then, and two busy cores leave nothing to win.

    The floor is below 1 for such a machine: reading ahead mustn't cost what fresh memory for each frame would.
    """
    expected = in_a_loop(paths, dtype)
    assert len(set(expected)) == FRAMES
    assert streamed(paths, dtype) == expected
    against(
        lambda: streamed(paths * TIMES, dtype),
        lambda: in_a_loop(paths * TIMES, dtype),
        rounds=7,
        items=FRAMES * TIMES,
        at_least=0.6,
        label=f"stream {dtype}, a frame, page cache: fastup.read in a loop",
    )


@DTYPES
def test_stream_from_disk_against_a_loop(paths, against, dtype):
    """Files on disk: what reading ahead is for. The floor leaves room for a disk that is busy otherwise."""
    if not can_drop(paths):
        pytest.skip("the files here can't be dropped from the page cache")

    drop(paths)
    assert streamed(paths, dtype) == in_a_loop(paths, dtype)
    against(
        lambda: streamed(paths, dtype),
        lambda: in_a_loop(paths, dtype),
        before=lambda: drop(paths),
        rounds=7,
        items=FRAMES,
        at_least=0.8,
        label=f"stream {dtype}, a frame, from disk: fastup.read in a loop",
    )


@DTYPES
def test_stream_against_openimageio(paths, openimageio_read, against, dtype):
    """Two threads on either side. Theirs decode all frames ahead, as a pool's map does.

    The work is less here: both sides do it on one thread, where that of the loop took longer than our decoding.
    """
    # Theirs are codes of 16 bits, or floats up to 1.5e-5 off: the same frames in the same order.
    per_code = 64.0625 if dtype == "uint16" else 1.0
    np.testing.assert_allclose(
        pooled(paths, dtype, openimageio_read, 8), np.multiply(streamed(paths, dtype, 8), per_code), rtol=1e-3
    )
    against(
        lambda: streamed(paths * TIMES, dtype, 8),
        lambda: pooled(paths * TIMES, dtype, openimageio_read, 8),
        memory=memory_alone(paths * TIMES, dtype),
        rounds=5,
        items=FRAMES * TIMES,
        at_least=2.5,
        label=f"stream {dtype}, a frame, page cache: OpenImageIO in a pool",
    )
