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
from fastup._loader import FrameKind, Problem, Side, TileLoader
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
    deadline = time.monotonic() + 60
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
    for rest in (0.05, 0.5, 5):  # longer where the machine has something else to do
        paths = clip(tmp_path, 20, make, suffix)
        frames = fastup.stream(paths, threads=threads, ahead=ahead)
        assert values([next(frames), next(frames)]) == [0, 1]
        time.sleep(rest)
        for i, path in enumerate(paths):
            os.replace(make(tmp_path / f"new{suffix}", 100 + i), path)
        seen = values(frames)
        assert seen[ahead:] == [100 + i for i in range(2 + ahead, 20)]
        if seen[:ahead] == list(range(2, 2 + ahead)):
            return
    pytest.fail(f"{seen[:ahead]}: fewer than {ahead} frames were read ahead")


@pytest.mark.parametrize(("width", "height", "count"), [(1000, 500, 100), (720, 480, 1000)])
def test_memory_is_bounded(tmp_path, width, height, count):
    """Hundreds of frames of 2 or 3 MB each, through a window of four."""
    pytest.importorskip("resource")
    path = dpx(tmp_path / "f.dpx", 7, 1, 1)
    path.write_bytes(naive.dpx_header(width, height))
    os.truncate(path, 2048 + 4 * width * height)
    code = """
import resource, sys, fastup
for count in (10, int(sys.argv[2])):
    for _ in fastup.stream(sys.argv[1:2] * count, ahead=4):
        pass
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    printed, problem = in_another_process(code, path, count).communicate()  # one whose peak nothing else has raised
    before, after = map(int, printed.split())
    assert (after - before) * (1 if sys.platform == "darwin" else 1024) < 40e6, problem


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
    frames = fastup.stream([path] * 201, "float32", threads=1, ahead=1)
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
        for _ in range(200):  # the machine may be busy with something else
            ticks.clear()
            start = time.perf_counter()
            call()
            end = time.perf_counter()
            quarter = (end - start) / 4
            good += sum(start + quarter < t < end - quarter for t in list(ticks)) >= 5
            if good == 3:
                break
    finally:
        stop.set()
        thread.join()
        os.close(sink)
    assert good == 3


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
        _, problem = process.communicate()
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
        _, problem = process.communicate()
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
    output, problem = process.communicate()
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


# -- batches of tiles ------------------------------------------------------------------------------------------------

SIZE, PICTURE, TILE = (30, 37), (3, 5, 24, 29), (8, 8)  # the picture is what a trim leaves: top, left, rows, columns
DEPTHS = [(1, 0), (8, 1), (10, 0), (10, 1), (10, 2), (12, 0), (12, 1), (12, 2), (16, 1), (32, 1)]  # bits, packing


def tile_files(folder, count, bits=10, packing=1, order="big", orientation=0, padded=True, seed=0):
    """Frames of noise, and what is in them, upright."""
    random, paths, frames = np.random.default_rng(seed), [], []
    for number in range(count):
        if bits == 32:
            stored = random.normal(0.5, 1, (*SIZE, 3)).astype(np.float32)
        else:
            stored = random.integers(0, 1 << bits, (*SIZE, 3), np.uint16)
        flavour = {"bits": bits, "packing": packing}
        header = naive.dpx_header(SIZE[1], SIZE[0], order, orientation=orientation, **flavour)
        paths.append(folder / f"{seed}-{number}.dpx")
        paths[-1].write_bytes(header + naive.dpx_pixels(stored, order, padded=padded, **flavour))
        frames.append(stored[:: -1 if orientation & 2 else 1, :: -1 if orientation & 1 else 1])
    return paths, frames


def side(paths, white=1023, fill=None, picture=PICTURE, tile=TILE):
    kinds = [FrameKind(SIZE, white, picture)]
    return Side(files=list(paths), kinds=kinds, kind_of=[0] * len(paths), tile=tile, fill=fill)


def expected(frame, y, x, turn=0, fill=None, picture=PICTURE, tile=TILE):
    top, left, rows, columns = picture
    part = frame[top : top + rows, left : left + columns]
    around = ((40, 40), (40, 40), (0, 0))
    part = np.pad(part, around, **({"mode": "edge"} if fill is None else {"constant_values": fill}))
    part = part[y + 40 : y + 40 + tile[0], x + 40 : x + 40 + tile[1]]
    part = part.swapaxes(0, 1) if turn & 4 else part
    part = part[::-1] if turn & 2 else part
    return part[:, ::-1] if turn & 1 else part


def some_tiles(count, frames, seed=0, picture=PICTURE, tile=TILE):
    """Tiles of both sides, anywhere that has a pixel of the picture, turned in any way."""
    random = np.random.default_rng(seed)
    low, high = np.array([1 - tile[0], 1 - tile[1]] * 2), np.array([picture[2], picture[3]] * 2)
    return np.column_stack(
        [random.integers(0, frames, count), random.integers(low, high, (count, 4)), random.integers(0, 8, count)]
    ).astype(np.int32)


def check_tiles(loader, rows, frames, fills=(None, None)):
    loader.submit(rows)
    sides = loader.take()
    assert not isinstance(sides, Problem)
    for number, (pixels, fill) in enumerate(zip(sides, fills, strict=True)):
        assert pixels.shape == (len(rows), *TILE, 3)
        assert pixels.dtype == frames[number][0].dtype
        for got, (frame, *corners, turn) in zip(pixels, rows, strict=True):
            y, x = corners[2 * number : 2 * number + 2]
            np.testing.assert_array_equal(got, expected(frames[number][frame], y, x, turn, fill))


def test_tiles_of_the_input_alone(tmp_path):
    """8 is added to their turn: their targets are neither read nor in the batch."""
    sides, frames = zip(*(tile_files(tmp_path, 6, seed=number) for number in (0, 1)), strict=True)
    loader = TileLoader(side(sides[0]), side(sides[1]), threads=2, open_files=4)
    for seed in range(6):
        rows = some_tiles(50, 5, seed)
        alone = np.random.default_rng(seed).random(50) < (0.5, 0, 0.98)[seed % 3]
        rows[alone, 0] = 5
        alone[7] = False
        sides[1][5].write_bytes(b"no frame, and nobody looks")
        rows[7, 0] = 0
        loader.submit(rows + np.outer(alone, (0, 0, 0, 0, 0, 8)))
        inputs, targets = loader.take()
        assert (len(inputs), len(targets)) == (50, (~alone).sum())
        for got, (frame, y, x, *_, turn) in zip(inputs, rows, strict=True):
            np.testing.assert_array_equal(got, expected(frames[0][frame], y, x, turn))
        for got, (frame, *_, y, x, turn) in zip(targets, rows[~alone], strict=True):
            np.testing.assert_array_equal(got, expected(frames[1][frame], y, x, turn))
    with pytest.raises(ValueError, match="no tile has a target"):
        loader.submit(np.array([(0, 0, 0, 0, 0, 8)]))
    with pytest.raises(ValueError, match="cannot be turned"):
        loader.submit(np.array([(0, 0, 0, 0, 0, 16), (0, 0, 0, 0, 0, 0)]))
    with pytest.raises(ValueError, match="cannot be turned"):
        loader.submit(np.array([(0, 0, 0, 0, 0, -1)]))


@pytest.mark.parametrize("order", ["big", "little"])
@pytest.mark.parametrize(("bits", "packing"), DEPTHS)
def test_tiles_of_every_flavour(tmp_path, bits, packing, order):
    """Of mapped files, and of more than are mapped; upright and turned; one side padded row by row, the other not."""
    sides, frames = [], []
    for number, orientation in enumerate((0, 3)):
        white = None if bits == 32 else (1 << bits) - 1
        padded = number == 0 or bits == 32
        paths, pictures = tile_files(tmp_path, 45, bits, packing, order, orientation, padded, seed=number)
        frames.append(pictures)
        sides.append(side(paths, white))
    loader = TileLoader(*sides, threads=2, open_files=4)
    check_tiles(loader, some_tiles(400, 45), frames)
    check_tiles(loader, some_tiles(400, 45, seed=1), frames)


@pytest.mark.parametrize(("bits", "packing"), [(8, 1), (16, 1), (12, 1), (10, 0)])
def test_tiles_of_files_whose_pixels_tell_how_rows_lie(tmp_path, bits, packing):
    """Mapped and read; whole frames, too."""
    paths, frames, flavour = [], [], {"bits": bits, "packing": packing}
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    for number in range(45):
        shades = 0.3 + 0.2 * np.sin(x / 5 + number) + 0.01 * y
        frames.append(((shades[..., None] + [0, 0.1, 0.2]) * ((1 << bits) - 1)).astype(np.uint16))
        data = naive.dpx_header(SIZE[1], SIZE[0], **flavour)
        data += naive.dpx_pixels(frames[-1], padded=number % 2 == 0, **flavour)
        paths.append(tmp_path / f"{number}.dpx")
        paths[-1].write_bytes(data + bytes(-len(data) % 512))
        assert _dpx.probe(paths[-1])[3:] == (number % 2 == 1, "pixels")
    for (_, frame), stored in zip(fastup.stream(paths), frames, strict=True):
        np.testing.assert_array_equal(frame, stored)
    loader = TileLoader(*[side(paths, (1 << bits) - 1)] * 2, threads=2, open_files=4)
    check_tiles(loader, some_tiles(400, 45), [frames, frames])


@pytest.mark.parametrize("orientation", range(4))
def test_tiles_of_every_orientation(tmp_path, orientation):
    paths, frames = tile_files(tmp_path, 3, orientation=orientation)
    check_tiles(TileLoader(side(paths), side(paths), threads=1, open_files=1), some_tiles(300, 3), [frames, frames])


@pytest.mark.parametrize("level", [0, 64, 1023])
def test_what_lies_beyond_the_picture(tmp_path, level):
    paths, frames = tile_files(tmp_path, 3)
    loader = TileLoader(side(paths, fill=level), side(paths), threads=2, open_files=4)
    check_tiles(loader, some_tiles(300, 3), [frames, frames], (level, None))


def test_batches_come_in_the_order_of_asking(tmp_path):
    paths, frames = tile_files(tmp_path, 5)
    loader = TileLoader(side(paths), side(paths), threads=4, open_files=8)
    asked = [some_tiles(1 + seed % 7, 5, seed) for seed in range(50)]
    for rows in asked:
        loader.submit(rows)
    for rows in asked:
        inputs, targets = loader.take()
        assert len(inputs) == len(targets) == len(rows)
        frame, y, x, *_, turn = rows[0]
        np.testing.assert_array_equal(inputs[0], expected(frames[frame], y, x, turn))
    with pytest.raises(RuntimeError, match="no batch was submitted"):
        loader.take()
    for rows in asked:
        loader.submit(rows)
    loader.clear()
    check_tiles(loader, asked[3], [frames, frames])
    loader.close()
    with pytest.raises(RuntimeError, match="no batch was submitted"):
        loader.take()


@pytest.mark.parametrize(
    "row",
    [
        (3, 0, 0, 0, 0, 0), (-1, 0, 0, 0, 0, 0), (0, -8, 0, 0, 0, 0), (0, 24, 0, 0, 0, 0), (0, 0, 29, 0, 0, 0),
        (0, 0, 0, 0, -8, 0), (0, 0, 0, 24, 0, 0), (0, 0, 0, 0, 0, 8), (0, 0, 0, 0, 0, -1),
    ],
)  # fmt: skip
def test_tiles_that_cannot_be(tmp_path, row):
    paths, _ = tile_files(tmp_path, 3)
    loader = TileLoader(side(paths), side(paths), threads=1, open_files=1)
    with pytest.raises(ValueError, match="tile"):
        loader.submit(np.array([row]))
    with pytest.raises(ValueError, match="tiles are rows of 6"):
        loader.submit(np.zeros((0, 6), np.int32))
    oblong = TileLoader(side(paths, tile=(8, 9)), side(paths, tile=(8, 9)), threads=1, open_files=1)
    oblong.submit(np.array([(0, 0, 0, 0, 0, 3)]))
    with pytest.raises(ValueError, match="cannot be turned"):
        oblong.submit(np.array([(0, 0, 0, 0, 0, 4)]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"picture": (7, 5, 24, 29)}, {"picture": (3, 9, 24, 29)}, {"picture": (-1, 5, 24, 29)},
        {"picture": (3, 5, 0, 29)}, {"tile": (0, 8)}, {"fill": -1}, {"fill": 1024}, {"fill": np.nan},
    ],
)  # fmt: skip
def test_sides_that_cannot_be(tmp_path, wrong):
    paths, _ = tile_files(tmp_path, 1)
    with pytest.raises(ValueError, match="cannot be"):
        side(paths, **wrong)


def test_loaders_that_cannot_be(tmp_path):
    paths, _ = tile_files(tmp_path, 3)
    with pytest.raises(ValueError, match="side"):
        TileLoader(side(paths), side(paths[:2]), threads=1, open_files=1)
    for threads, files in ((0, 1), (2, 1)):
        with pytest.raises(ValueError, match="threads"):
            TileLoader(side(paths), side(paths), threads=threads, open_files=files)


def problem_of(loader, frame):
    """What is wrong with a frame: None, or the exception."""
    loader.submit(np.array([(frame, 2, 2, 15, 20, 0)], np.int32))
    problem = loader.take()
    if not isinstance(problem, Problem):
        return None
    assert (problem.side, problem.frame) == (1, frame)
    return _dpx.error("f.dpx", problem)


def spoil_tile_file(path, how):
    data = path.read_bytes()
    if how == "vanished":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "cut by a byte":
        os.truncate(path, len(data) - 1)
    elif how == "cut in half":
        os.truncate(path, len(data) // 2)
    elif how == "no dpx":
        path.write_bytes(b"P6 3 3" + data[6:])
    elif how == "other bits":
        path.write_bytes(naive.dpx_header(SIZE[1], SIZE[0], bits=12) + bytes(SIZE[0] * SIZE[1] * 6))
    elif how == "other size":
        path.write_bytes(naive.dpx_header(SIZE[1] + 1, SIZE[0]) + bytes(SIZE[0] * (SIZE[1] + 1) * 4))
    elif how == "a folder":
        path.unlink()
        path.mkdir()


@pytest.mark.parametrize(
    ("how", "kind", "words"),
    [
        ("vanished", FileNotFoundError, "No such file"),
        ("empty", DpxError, "header is cut short: the file has 0 bytes"),
        ("cut by a byte", DpxError, "image data is cut short"),
        ("cut in half", DpxError, "image data is cut short"),
        ("no dpx", DpxError, "not a DPX"),
        ("other bits", DpxError, "bit depth.* is 12, expected what it was when the pairs were checked"),
        ("other size", DpxError, "pixels per line.* is 38, expected what it was"),
        ("a folder", IsADirectoryError, "directory"),
    ],
)
def test_a_file_that_goes_bad_before_it_is_opened(tmp_path, how, kind, words):
    paths, _ = tile_files(tmp_path, 3)
    inputs, _ = tile_files(tmp_path, 3, seed=1)
    spoil_tile_file(paths[1], how)
    loader = TileLoader(side(inputs), side(paths), threads=1, open_files=1)
    for _ in range(2):
        with pytest.raises(kind, match=words):
            raise problem_of(loader, 1)
    assert problem_of(loader, 0) is problem_of(loader, 2) is None


@pytest.mark.parametrize(
    ("how", "mapped"),
    [("cut by a byte", True), ("cut in half", True), ("empty", True), ("cut in half", False), ("empty", False)],
)
def test_a_file_that_shrinks_after_it_is_opened(tmp_path, how, mapped):
    paths, _ = tile_files(tmp_path, 40)
    inputs, _ = tile_files(tmp_path, 40, seed=1)
    loader = TileLoader(side(inputs), side(paths), threads=1, open_files=2)
    last = 0 if mapped else 39  # the first 64 files are
    for frame in range(40):
        assert problem_of(loader, frame) is None
    spoil_tile_file(paths[last], how)
    error = problem_of(loader, last)
    assert isinstance(error, DpxError)
    assert "image data is cut short" in str(error)
    assert problem_of(loader, 1) is None


SHRINKING = """
import os, sys, threading, time
import numpy as np
from fastup._loader import FrameKind, Problem, Side, TileLoader

path, size = sys.argv[1], (1000, 700)
whole = open(path, "rb").read()
side = Side(files=[path], kinds=[FrameKind(size, 1023, (0, 0, *size))], kind_of=[0], tile=(64, 64))
loader = TileLoader(side, side, threads=2, open_files=2)
random = np.random.default_rng(0)

def result():
    corners = random.integers(0, (936, 636, 936, 636), (8, 4))
    loader.submit(np.column_stack([np.zeros(8, int), corners, np.zeros(8, int)]))
    taken = loader.take()
    if isinstance(taken, Problem):
        return taken.field
    assert all((pixels == 512).all() for pixels in taken), "what was not in the file was taken for pixels"
    return "pixels"

assert result() == "pixels"  # the file is open now, and mapped
time.sleep(0.1)  # longer than the step of the clock by which files are dated
def shrink():
    for _ in range(400):
        os.truncate(path, int(random.integers(0, len(whole))))
        with open(path, "r+b") as file:
            file.write(whole)
work = threading.Thread(target=shrink)
work.start()
seen = set()
while work.is_alive():
    seen.add(result())
assert seen == {"pixels", "image data"}, seen
assert result() == "pixels"
"""


@pytest.mark.skipif(os.name == "nt", reason="files there aren't mapped")
def test_a_file_that_shrinks_under_the_reader_is_no_crash(tmp_path):
    """Beyond the end of a mapped file lies SIGBUS; a picture of one code tells whether zeros were taken for pixels."""
    codes = np.full((1000, 700, 3), 512, np.uint16)
    path = tmp_path / "f.dpx"
    path.write_bytes(naive.dpx_header(700, 1000) + naive.dpx_pixels(codes))
    process = in_another_process(SHRINKING, path)
    _, problem = process.communicate()
    assert process.returncode == 0, problem


@on_linux
def test_the_loader_leaves_nothing_behind(tmp_path):
    paths, frames = tile_files(tmp_path, 50)
    gc.collect()
    threads, files = running(), len(list(DESCRIPTORS.iterdir()))
    maps = Path("/proc/self/maps").read_text().count(str(tmp_path))
    for _ in range(3):
        loader = TileLoader(side(paths), side(paths), threads=3, open_files=9)
        check_tiles(loader, some_tiles(400, 50), [frames, frames])
        assert Path("/proc/self/maps").read_text().count(str(tmp_path)) == maps + 64
        assert len(list(DESCRIPTORS.iterdir())) <= files + 64 + 9
        loader.submit(some_tiles(5, 50))
        del loader
    gc.collect()
    assert settles(running, threads)
    assert len(list(DESCRIPTORS.iterdir())) == files
    assert Path("/proc/self/maps").read_text().count(str(tmp_path)) == maps


def test_the_interpreter_goes_on_while_tiles_are_read(tmp_path):
    paths, frames = tile_files(tmp_path, 3)
    loaders = [TileLoader(side(paths), side(paths), threads=2, open_files=2) for _ in range(4)]
    errors = []

    def consume(loader, seed):
        try:
            for number in range(20):
                check_tiles(loader, some_tiles(30, 3, seed + number), [frames, frames])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=consume, args=(loader, 100 * i)) for i, loader in enumerate(loaders)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_tiles_of_several_kinds(tmp_path):
    """Pictures and whites by file: codes where a side has one white, else normalised."""
    made = {  # by bits: the size of the frame, and the picture in it
        10: ((30, 37), (3, 5, 24, 29)), 8: ((20, 41), (0, 0, 20, 41)), 32: ((9, 70), (1, 2, 8, 60)),
        16: ((30, 37), (0, 0, 9, 9)),
    }  # fmt: skip
    paths, frames, kinds, rows, random = [], [], [], [], np.random.default_rng(5)
    for number, (bits, (size, picture)) in enumerate(made.items()):
        white = None if bits == 32 else 2**bits - 1
        stored = random.random((*size, 3), np.float32)
        stored = stored if white is None else (stored * white).astype(np.uint16)
        paths.append(tmp_path / f"{number}.dpx")
        fastup.write(paths[-1], stored, fastup.Header.new(*size[::-1], bits=bits))
        frames.append(stored / np.float32(white or 1))
        kinds.append(FrameKind(size, white, picture))
        rows.append(some_tiles(60, 1, number, picture))
        rows[-1][:, 0] = number

    def check(frames, rows, **options):
        side = Side(tile=TILE, **options)
        loader = TileLoader(side, side, threads=2, open_files=4)
        loader.submit(rows)
        for number, tiles in enumerate(loader.take()):
            for got, (frame, *corners, turn) in zip(tiles, rows, strict=True):
                y, x = corners[2 * number : 2 * number + 2]
                picture = list(made.values())[frame][1]
                np.testing.assert_array_equal(got, expected(frames[frame], y, x, turn, options.get("fill"), picture))
            assert tiles.dtype == frames[0].dtype
        return loader

    every = random.permutation(np.concatenate(rows))
    loader = check(frames, every, files=paths, kinds=kinds, kind_of=range(4), fill=0.25)
    # And one file as two kinds of a white.
    made[10], made[8] = ((30, 37), (0, 0, 9, 9)), made[10]
    both = np.concatenate([some_tiles(60, 1, 9, (0, 0, 9, 9)), rows[0]])
    both[60:, 0] = 1
    ours = [FrameKind((30, 37), 1023, made[bits][1]) for bits in (8, 10)]
    check([fastup.read(paths[0])] * 2, both, files=paths[:1] * 2, kinds=ours, kind_of=[1, 0])
    with pytest.raises(ValueError, match="tile"):
        loader.submit(np.array([(3, 9, 0, 0, 0, 0)]))
    for kind_of in ([0, 1, 2], [0, 1, 2, 4]):
        with pytest.raises(ValueError, match="no such kind"):
            Side(files=paths, kinds=kinds, kind_of=kind_of, tile=TILE)
