"""Streams of frames: order, the bound on looking ahead, errors in their place, a clean end however they are left."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import naive
import numpy as np
import pytest

import fastup
from fastup import _dpx
from fastup.errors import DpxError, FastupError

TASKS = Path("/proc/self/task")
DESCRIPTORS = Path("/proc/self/fd")
on_linux = pytest.mark.skipif(not TASKS.exists(), reason="counts what /proc knows")


def dpx(path, value, height=4, width=6):
    """A frame of one value."""
    codes = np.full((height, width, 3), value, np.uint16)
    path.write_bytes(naive.dpx_header(width, height) + naive.dpx_pixels(codes))
    return path


def png(path, value):
    import OpenImageIO as oiio

    image = oiio.ImageOutput.create(os.fspath(path))
    image.open(os.fspath(path), oiio.ImageSpec(6, 4, 3, "uint16"))
    image.write_image(np.full((4, 6, 3), value, np.uint16))
    image.close()
    return path


def clip(folder, count, make=dpx, suffix=".dpx"):
    return [make(folder / f"f{i:04}{suffix}", i) for i in range(count)]


def values(frames):
    return [int(frame[0, 0, 0]) for _, frame in frames]


def running():
    return len(list(TASKS.iterdir()))


def settles(count, at_most):
    """Whether a count comes down to a number, given a moment."""
    deadline = time.monotonic() + 5
    while count() > at_most and time.monotonic() < deadline:
        time.sleep(0.01)
    return count() <= at_most


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (1, 5), (5, 1), (2, 4), (8, 8), (16, 3), (3, 100), (64, 64)])
def test_frames_come_in_order_and_as_read_gives_them(tmp_path, dtype, threads, ahead):
    """Sizes differ widely, so that later frames are ready before earlier ones."""
    random = np.random.default_rng(threads)
    paths = []
    for i in range(40):
        height, width = (1, 3) if i % 7 else (90, 160)
        codes = random.integers(0, 1024, (height, width, 3), np.uint16)
        paths.append(tmp_path / f"{i}.dpx")
        order = "big" if i % 2 else "little"
        paths[-1].write_bytes(naive.dpx_header(width, height, order, offset=2048 + i) + naive.dpx_pixels(codes, order))
    seen = list(fastup.stream(paths, dtype, threads, ahead))
    assert [path for path, _ in seen] == paths
    for path, frame in seen:
        assert frame.dtype == dtype
        np.testing.assert_array_equal(frame, fastup.read(path, dtype))


def test_paths_of_any_kind_and_twice_the_same(tmp_path):
    path = dpx(tmp_path / "f.dpx", 5)
    given = [path, str(path), path, path]
    seen = list(fastup.stream(iter(given)))
    assert all(a is b for (a, _), b in zip(seen, given, strict=True))
    assert values(seen) == [5] * 4


@pytest.mark.parametrize("threads", [1, 3])
def test_no_frames(threads):
    assert list(fastup.stream([], threads=threads)) == []


def test_options_that_cannot_be(tmp_path):
    """At once, and not when the first frame is asked for."""
    paths = clip(tmp_path, 2)
    for options in [{"threads": 0}, {"ahead": 0}, {"threads": -1}, {"ahead": -5}]:
        with pytest.raises(ValueError, match="expected 1 or more"):
            fastup.stream(paths, **options)
    for dtype in ("uint8", ">u2", None, "float64"):
        with pytest.raises(ValueError, match="expected uint16"):
            fastup.stream(paths, dtype)


def test_one_name_instead_of_a_list(tmp_path):
    """A str is iterable too, letter by letter."""
    path = dpx(tmp_path / "f.dpx", 5)
    for one in (str(path), path):
        with pytest.raises(TypeError):
            fastup.stream(one)


def test_more_threads_and_ahead_than_frames(tmp_path):
    paths = clip(tmp_path, 3)
    assert values(fastup.stream(paths, threads=50, ahead=1000)) == [0, 1, 2]
    assert values(fastup.stream(paths, threads=2, ahead=10**12)) == [0, 1, 2]
    assert values(fastup.stream(paths, threads=10**6, ahead=10**6)) == [0, 1, 2]


@pytest.mark.parametrize(("make", "suffix"), [(dpx, ".dpx"), (png, ".png")])
@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (2, 3), (8, 3), (3, 5)])
def test_looking_ahead_is_bounded(tmp_path, make, suffix, threads, ahead):
    """Files replaced while the consumer rests show how far it was: no further than `ahead` frames, and no less."""
    paths = clip(tmp_path, 20, make, suffix)
    frames = fastup.stream(paths, threads=threads, ahead=ahead)
    taken = values([next(frames), next(frames)])
    time.sleep(0.3)
    for i, path in enumerate(paths):
        os.replace(make(tmp_path / f"new{suffix}", 100 + i), path)
    rest = values(frames)
    assert taken == [0, 1]
    assert rest[ahead:] == [100 + i for i in range(2 + ahead, 20)]
    read_before = [value for value in rest if value < 100]
    assert read_before == list(range(2, 2 + ahead))


def test_memory_is_bounded(tmp_path):
    """A hundred frames of 3 MB each, 300 in all, through a window of two."""
    resource = pytest.importorskip("resource")
    path = dpx(tmp_path / "f.dpx", 7, 1, 1)
    path.write_bytes(naive.dpx_header(1000, 500))
    os.truncate(path, 2048 + 4 * 1000 * 500)
    for _ in fastup.stream([path] * 10, ahead=2):
        pass
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in fastup.stream([path] * 100, ahead=2):
        pass
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * (1 if sys.platform == "darwin" else 1024) < 40e6


# -- errors ----------------------------------------------------------------------------------------------------------


def spoil(path, how):
    if how == "missing":
        path.unlink()
    elif how == "short":
        path.write_bytes(path.read_bytes()[:-1])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "no DPX":
        path.write_bytes(b"\x89PNG" + bytes(3000))
    elif how == "folder":
        path.unlink()
        path.mkdir()
    elif how == "bomb":
        path.write_bytes(naive.dpx_header(46341, 46341) + bytes(19200))


@pytest.mark.parametrize("how", ["missing", "short", "empty", "no DPX", "folder", "bomb"])
@pytest.mark.parametrize("place", [0, 1, 5, 9])
@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (4, 8)])
def test_an_error_comes_in_its_turn(tmp_path, how, place, threads, ahead):
    paths = clip(tmp_path, 10)
    spoil(paths[place], how)
    with pytest.raises((DpxError, OSError)) as alone:
        fastup.read(paths[place])
    frames = fastup.stream(paths, threads=threads, ahead=ahead)
    assert values(next(frames) for _ in range(place)) == list(range(place))
    with pytest.raises((DpxError, OSError)) as caught:
        next(frames)
    assert type(caught.value) is type(alone.value)
    assert str(caught.value) == str(alone.value)
    assert str(paths[place]) in str(caught.value)
    assert list(frames) == []  # and that was the end of it


def test_the_first_of_many_errors_comes_first(tmp_path):
    paths = clip(tmp_path, 10)
    for path in paths[3:]:
        spoil(path, "missing")
    frames = fastup.stream(paths, threads=8, ahead=8)
    with pytest.raises(FileNotFoundError, match="f0003"):
        list(frames)


def test_an_error_in_the_callers_loop_passes_through(tmp_path):
    with pytest.raises(ZeroDivisionError):
        sum(1 // i for i, _ in enumerate(fastup.stream(clip(tmp_path, 10))))


# -- the end ---------------------------------------------------------------------------------------------------------


@on_linux
def test_the_threads_end_with_the_loop(tmp_path):
    paths = clip(tmp_path, 30)
    spoiled = [*paths[:5], tmp_path / "missing.dpx", *paths[5:]]
    before = running()

    frames = fastup.stream(paths, threads=6, ahead=10)
    next(frames)
    assert running() > before  # or this would show nothing
    assert len(list(frames)) == 29
    assert settles(running, before)

    for path, _ in fastup.stream(paths, threads=6, ahead=10):
        if path == paths[4]:
            break
    gc.collect()
    assert settles(running, before)

    frames = fastup.stream(paths, threads=6, ahead=10)
    next(frames)
    frames.close()
    assert running() <= before
    with pytest.raises(StopIteration):
        next(frames)

    large = tmp_path / "large.dpx"
    large.write_bytes(naive.dpx_header(2000, 1000))
    os.truncate(large, 2048 + 4 * 2000 * 1000)
    frames = fastup.stream([large] * 20, "float32", threads=4, ahead=8)
    next(frames)
    frames.close()
    assert running() <= before  # at once: threads are waited for, not left to themselves

    frames = fastup.stream(paths, threads=6, ahead=10)
    next(frames)
    del frames
    gc.collect()
    assert settles(running, before)

    with pytest.raises(FileNotFoundError):
        list(fastup.stream(spoiled, threads=6, ahead=10))
    assert running() <= before


@on_linux
def test_a_stream_that_is_never_used_costs_nothing(tmp_path):
    paths = clip(tmp_path, 10)
    before, open_before = running(), len(os.listdir(DESCRIPTORS))
    frames = fastup.stream(paths, threads=6)
    del frames
    gc.collect()
    assert running() <= before
    assert len(os.listdir(DESCRIPTORS)) == open_before
    fastup.stream(paths).close()


@on_linux
def test_no_descriptor_is_lost(tmp_path):
    paths = clip(tmp_path, 20)
    for how in ("short", "empty", "no DPX", "bomb"):
        spoil(dpx(tmp_path / f"{how}.dpx", 1), how)
    (tmp_path / "folder.dpx").mkdir()
    wrong = [tmp_path / f"{how}.dpx" for how in ("short", "empty", "no DPX", "bomb", "folder", "missing")]
    before = len(os.listdir(DESCRIPTORS))
    assert len(list(fastup.stream(paths * 50, threads=4, ahead=8))) == 1000
    for path in wrong * 20:
        with pytest.raises((DpxError, OSError)):
            list(fastup.stream([paths[0], path, paths[1]]))
        for call in (fastup.read, fastup.read_header, fastup.frames.probe):
            try:
                call(path)
            except (DpxError, OSError):
                pass
            else:
                assert path.stem in ("short", "bomb")  # whose headers are all right
                assert call is fastup.read_header
    for _ in range(50):
        fastup.write(tmp_path / "w.dpx", fastup.read(paths[0]))
        with pytest.raises(ValueError, match="NaN"):
            fastup.write(tmp_path / "w.dpx", np.full((2, 2, 3), np.nan))
        with pytest.raises(ValueError, match="window"):
            fastup.read(paths[0], window=(9, 9, 9, 9))
    assert len(os.listdir(DESCRIPTORS)) == before


def test_arrays_are_the_callers_own(tmp_path):
    paths = clip(tmp_path, 12)
    frames = [frame for _, frame in fastup.stream(paths, threads=3, ahead=2)]
    gc.collect()
    for i, frame in enumerate(frames):
        assert frame.flags.writeable
        assert frame.flags.c_contiguous
        assert frame.flags.aligned
        assert (frame == i).all()
        frame[...] = 500 + i
    for i, frame in enumerate(frames):
        assert (frame == 500 + i).all()
        assert not any(np.shares_memory(frame, other) for other in frames[:i])


def test_two_streams_at_once(tmp_path):
    paths = clip(tmp_path, 25)
    pairs = zip(fastup.stream(paths, threads=3), fastup.stream(paths[::-1], "float32", threads=2), strict=True)
    for i, ((first, a), (second, b)) in enumerate(pairs):
        assert (first, second) == (paths[i], paths[24 - i])
        assert (a == i).all()
        assert (b == np.float32(24 - i) / np.float32(1023)).all()


def test_streams_in_threads(tmp_path):
    paths = clip(tmp_path, 40)
    results = {}

    def consume(number):
        results[number] = values(fastup.stream(paths, threads=2, ahead=3))

    threads = [threading.Thread(target=consume, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: list(range(40)) for i in range(6)}


def test_slow_consumers_get_everything(tmp_path):
    paths = clip(tmp_path, 12)
    seen = []
    for path, frame in fastup.stream(paths, threads=4, ahead=2):
        time.sleep(0.01)
        seen.append((path, frame))
    assert values(seen) == list(range(12))


@pytest.mark.parametrize("work", ["read", "write", "stream"])
def test_the_interpreter_goes_on_in_the_meantime(tmp_path, work):
    """Another thread ticks in the middle of a call, and not at its ends alone."""
    path = tmp_path / "f.dpx"
    path.write_bytes(naive.dpx_header(3000, 2000))
    os.truncate(path, 2048 + 4 * 3000 * 2000)
    frame = fastup.read(path, "float32")
    header = fastup.read_header(path).raw
    frames = fastup.stream([path] * 13, "float32", threads=1, ahead=1)
    sink = os.open(os.devnull, os.O_WRONLY)
    call = {
        "read": lambda: fastup.read(path, "float32", out=frame),
        "write": lambda: _dpx.write(path, sink, header, frame),  # packing alone: disks let others go on anyway
        "stream": lambda: next(frames),
    }[work]
    ticks, stop = [], threading.Event()

    def count():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0002)

    thread = threading.Thread(target=count)
    thread.start()
    good = 0
    try:
        for _ in range(12):
            start = time.perf_counter()
            call()
            end = time.perf_counter()
            quarter = (end - start) / 4
            good += sum(start + quarter < t < end - quarter for t in list(ticks)) >= 5
    finally:
        stop.set()
        thread.join()
        os.close(sink)
    assert good >= 3  # of 12: the machine may be busy with something else


def in_another_process(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="POSIX signals")
@pytest.mark.parametrize("loop", ["pass", "frame.sum(); kept = frame"])
def test_ctrl_c_ends_it_promptly(tmp_path, loop):
    path = tmp_path / "f.dpx"
    path.write_bytes(naive.dpx_header(2000, 1000))
    os.truncate(path, 2048 + 4 * 2000 * 1000)
    code = f"""
import signal, sys, fastup
signal.signal(signal.SIGINT, signal.default_int_handler)
for path, frame in fastup.stream([sys.argv[1]] * 100000, threads=2, ahead=4):
    if not globals().get("begun"):
        begun = True
        print("begun", flush=True)
    {loop}
"""
    process = in_another_process(code, path)
    try:
        assert process.stdout.readline() == "begun\n", process.stderr.read()
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, problem = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == -signal.SIGINT, problem
    assert problem.rstrip().endswith("KeyboardInterrupt")


def test_a_process_may_end_in_the_middle_of_a_stream(tmp_path):
    paths = clip(tmp_path, 30)
    for end in ("", "sys.exit()", "raise SystemExit(0)", "import os; os._exit(0)"):
        code = f"""
import sys, fastup
frames = fastup.stream(sys.argv[1:], threads=4, ahead=8)
next(frames)
{end}
"""
        process = in_another_process(code, *paths)
        _, problem = process.communicate(timeout=20)
        assert (process.returncode, problem) == (0, "")


@on_linux
def test_fewer_threads_than_asked_for_will_do(tmp_path):
    """Where the system gives no more of them; never an abort of the whole process."""
    paths = clip(tmp_path, 40)
    code = """
import resource, sys, fastup
list(fastup.stream(sys.argv[1:3]))
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (size + int(2.5 * 8 * 2**20), resource.RLIM_INFINITY))
print([int(frame[0, 0, 0]) for _, frame in fastup.stream(sys.argv[1:], threads=40, ahead=40)] == list(range(40)))
"""
    process = in_another_process(code, *paths)
    output, problem = process.communicate(timeout=20)
    assert (process.returncode, output) == (0, "True\n"), problem


# -- mixed formats ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("threads", "ahead"), [(1, 1), (3, 2), (8, 50)])
def test_mixed_formats(tmp_path, threads, ahead):
    paths = [(dpx if i % 3 else png)(tmp_path / f"{i}{'.dpx' if i % 3 else '.png'}", i) for i in range(20)]
    seen = list(fastup.stream(paths, threads=threads, ahead=ahead))
    assert [path for path, _ in seen] == paths
    assert values(seen) == list(range(20))
    for path, frame in fastup.stream(paths, "float32", threads, ahead):
        np.testing.assert_array_equal(frame, fastup.read(path, "float32"))


@pytest.mark.parametrize("place", [0, 3, 9])
def test_an_error_among_mixed_formats(tmp_path, place):
    paths = clip(tmp_path, 10, png, ".png")
    paths[place].write_bytes(paths[place].read_bytes()[:60])
    frames = fastup.stream(paths, threads=3, ahead=4)
    assert values(next(frames) for _ in range(place)) == list(range(place))
    with pytest.raises(FastupError, match=rf"{paths[place].name}: cannot be read"):
        next(frames)
    assert list(frames) == []


@on_linux
def test_the_threads_of_mixed_formats_end(tmp_path):
    paths = clip(tmp_path, 12, png, ".png")
    list(fastup.stream(paths[:3]))  # OpenImageIO's own threads stay
    before = threading.active_count()
    frames = fastup.stream(paths, threads=3)
    next(frames)
    frames.close()
    assert threading.active_count() == before
