"""Films of 720x480 through `compact` to 1440x1080: against Keras frame by frame, and against the bare engine.

The network is 24 features wide and 8 deep; its weights are random, which no engine minds. Films have 24 frames, or as
many as ``FASTUP_FRAMES=200`` says. What starting takes is timed by itself: elsewhere the model is loaded. All sides
take turns in one process, but where memory or starting is what counts.
"""

import os
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from functools import partial

import av
import numpy as np
import pytest

import fastup
from fastup import _ycbcr
from fastup.networks import start

start()

import keras  # noqa: E402

from fastup.footage.movie import Movie  # noqa: E402
from fastup.networks.layers import SubPixel  # noqa: E402
from fastup.networks.models import Network  # noqa: E402
from fastup.upscale import film  # noqa: E402
from fastup.upscale.export import graph  # noqa: E402
from fastup.upscale.model import load  # noqa: E402
from fastup.upscale.recurrence import Given  # noqa: E402
from fastup.upscale.upscaler import Upscaler  # noqa: E402

FRAMES = int(os.environ.get("FASTUP_FRAMES", 24))
ROUNDS = 1 if FRAMES > 50 else 3
SIZE = 480, 720
SETTINGS = {
    "scale": [[9, 4], [2, 1]], "border": [0, 0], "trim": [0] * 4, "input_trim": [0] * 4, "input_white": 1023,
    "target_white": 1023, "black_level": 64, "pixel_aspect": [1, 1], "transfer": None, "colorimetric": None,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("upscale")
    yield folder
    shutil.rmtree(folder)  # pytest would keep it for three runs


def written(folder, name, **settings):
    """A model as `.keras` and `.onnx`."""
    keras.utils.set_random_seed(0)
    network = Network(SETTINGS | settings)
    last = next(each for each in network.layers if isinstance(each, SubPixel))  # of zeros, as the network is residual
    last.set_weights([np.random.default_rng(0).normal(0, 0.02, values.shape) for values in last.get_weights()])
    network.save(folder / f"{name}.keras")
    (folder / f"{name}.onnx").write_bytes(graph(network))
    return folder / f"{name}.onnx"


@pytest.fixture(scope="module")
def compact(folder):
    return written(folder, "compact", model="compact", features=24, depth=8)


@pytest.fixture(scope="module")
def tiny(folder):
    """One that takes next to no time."""
    return written(folder, "tiny", model="compact", features=1, depth=1)


@pytest.fixture(scope="module")
def reel(folder, picture):
    """A folder of frames: one picture that moves down."""
    first = picture(SIZE)
    (folder / "reel").mkdir()
    for number in range(FRAMES):
        fastup.write(folder / "reel" / f"{number:03d}.dpx", np.roll(first, number * SIZE[0] // FRAMES, axis=0))
    return folder / "reel"


def upscaled(model, source, destination):
    """Seconds a frame of a film, from its planning to its last byte; the model is loaded."""
    began = time.perf_counter()
    film.upscale(model, source, destination, overwrite=True)
    return (time.perf_counter() - began) / FRAMES


def in_turn(*sides, enough=lambda *found: True, rounds=ROUNDS):
    """The median of each side, a call that gives seconds; all are called in turn, in another order each time.

    Where that is not `enough`, a second or a third run confirms it.
    """
    random = np.random.default_rng(0)
    for _ in range(3):
        times = [[] for _ in sides]
        for _ in range(rounds):
            for side in random.permutation(len(sides)):
                times[side].append(sides[side]())
        found = [statistics.median(taken) for taken in times]
        if enough(*found):
            break
    return found


def test_film(folder, compact, reel, judged):
    """How far ahead of Keras depends on the processor, and on how good TensorFlow is at it."""
    network, paths = load(folder / "compact.keras", compile=False), fastup.find(reel)
    upscaler = Upscaler(compact, parallel=film.PARALLEL)
    (folder / "keras").mkdir()

    def by_keras():
        """As a script does it: read, upscale, round, write."""
        began, some = time.perf_counter(), paths[: max(6, FRAMES // 10)]
        for path in some:
            frame = fastup.read(path, "float32")
            hd = network.predict_on_batch(frame[np.newaxis])[0]
            fastup.write(folder / "keras" / path.name, hd, fastup.read_header(path).replace(width=1440, height=1080))
        return (time.perf_counter() - began) / len(some)

    frames = [upscaler.prepared("", fastup.read(path, "float32")) for path in paths[:12]]

    def bare():
        """Frames that are in memory, as many at a time as it takes."""
        began = time.perf_counter()
        with ThreadPoolExecutor(upscaler.engine.parallel) as pool:
            for _ in pool.map(upscaler.engine.run, [frames[n % len(frames)].picture for n in range(FRAMES)]):
                pass
        return (time.perf_counter() - began) / FRAMES

    def ours():
        return upscaled(upscaler, reel, folder / "dpx")

    by_keras(), ours()
    theirs, engine, made = in_turn(
        by_keras, bare, ours, enough=lambda theirs, engine, made: theirs >= 1.2 * made and engine >= 0.85 * made
    )
    judged(made, theirs, at_least=1.1, label="a frame of a film: Keras, frame by frame")
    # Reached: 0.93 to 1.0 of 24 frames, of which the first and the last overlap with nothing.
    judged(made, engine, at_least=0.9 if FRAMES >= 200 else 0.7, label="a frame of a film: the bare engine")


@pytest.fixture(scope="module")
def tape(folder, reel):
    """The same frames as ProRes."""
    with Movie(folder / "tape.mov", rate="24000/1001") as movie:
        for path in fastup.find(reel):
            movie.write(fastup.read(path), fastup.read_header(path))
    return folder / "tape.mov"


def by_pyav(tape, target):
    """Processor seconds a frame that FFmpeg takes to decode a tape, and to encode frames as large as ours."""
    began, count = time.process_time(), 0
    with av.open(str(tape)) as container:
        for _ in container.decode(video=0):
            count += 1
    planes = _ycbcr.planes(fastup.read(target / "000.dpx"), 1023, 10, matrix="709")
    frame = av.VideoFrame(1440, 1080, "yuv422p10le")
    for plane, array in zip(frame.planes, planes, strict=True):
        np.frombuffer(plane, np.uint16).reshape(array.shape[0], -1)[:, : array.shape[1]] = array
    encoder = av.CodecContext.create("prores", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = 1440, 1080, "yuv422p10le", Fraction(1, 24)
    encoder.options = {"profile": "3"}
    for number in range(count):
        frame.pts = number
        encoder.encode(frame)
    return (time.process_time() - began) / count


def test_film_of_prores(folder, compact, reel, tape, judged):
    """In and out. Its codec takes processors that the engine could have: what that costs is the limit."""
    upscaler = Upscaler(compact, parallel=film.PARALLEL)
    upscaled(upscaler, tape, folder / "hd.mov")
    frames, movies, codec = in_turn(
        lambda: upscaled(upscaler, reel, folder / "dpx"),
        lambda: upscaled(upscaler, tape, folder / "hd.mov"),
        lambda: by_pyav(tape, folder / "dpx"),
        enough=lambda frames, movies, codec: frames + codec / os.cpu_count() >= 0.8 * movies,
    )
    label = "a frame of a film of ProRes: of DPX"
    judged(movies, frames, label=label)
    judged(codec, frames, label="FFmpeg's ProRes alone, on one processor: a frame of a film of DPX")
    judged(
        movies, frames + codec / os.cpu_count(), at_least=0.65, label=f"{label}, and FFmpeg's ProRes on all processors"
    )


def test_strips(folder, compact, reel, judged):
    """Where memory is short, frames are made in strips that overlap by what the network sees."""
    sides = [Upscaler(compact, parallel=film.PARALLEL, memory=memory) for memory in (None, 300 << 20)]
    for upscaler in sides:
        upscaled(upscaler, reel, folder / "dpx")
    whole, strips = in_turn(*(partial(upscaled, upscaler, reel, folder / "dpx") for upscaler in sides), rounds=1)
    judged(strips, whole, label="a frame of a film in strips, in 300 MiB: whole")


@pytest.mark.parametrize("engine", ["keras", "openvino", "onnxruntime"])
def test_recurrent(folder, reel, judged, engine):
    """Frames in order through a recurrent network: through its twin, whose state is cut, and through `compact`."""
    frames = [fastup.read(path, "float32", window=(0, 0, 240, 360)) for path in fastup.find(reel)[:8]]
    sides = []
    for name, settings in (
        ("recurrent", {"model": "recurrent"}),
        ("twin", {"model": "recurrent", "no_state": True}),
        ("plain", {"model": "compact"}),
    ):
        file = written(folder, name, features=24, depth=8, **settings)
        upscaler = Upscaler(file.with_suffix(".keras") if engine == "keras" else file, engine, parallel=film.PARALLEL)
        upscaler(frames[0])
        sides.append(partial(streamed, upscaler, frames))
    ours, twin, plain = in_turn(*sides, enough=lambda ours, twin, plain: twin >= 0.9 * ours)
    judged(ours, twin, at_least=0.9, label=f"a frame of a recurrent network by {engine}: its twin without a state")
    judged(ours, plain, label=f"a frame of a recurrent network by {engine}: compact, as many at a time as it takes")


def streamed(upscaler, frames):
    """Processor seconds a frame of a flow, from its preparing on: other programs may run."""
    flow, began = upscaler.flow(), time.process_time()
    ready = (Given(n, upscaler.prepared(n, frame)) for n, frame in enumerate(frames))
    with ThreadPoolExecutor(flow.parallel) as pool:
        list(pool.map(flow.run, flow.steps(ready)))
    return (time.process_time() - began) / len(frames)


def command(*arguments):
    return [sys.executable, "-c", "from fastup.cli import main; main()", *map(str, arguments)]


def test_memory_of_many_frames(folder, tiny, picture, peak_memory, judged):
    taken = []
    fastup.write(folder / "small.dpx", picture((240, 360)))
    for count in (20, 200):
        frames = folder / f"of {count}"
        frames.mkdir()
        for number in range(count):
            (frames / f"{number:03d}.dpx").hardlink_to(folder / "small.dpx")
        taken.append(peak_memory("upscale", tiny, frames, folder / "many"))
        shutil.rmtree(folder / "many")
    few, many = taken
    label = "peak memory of 200 frames: of 20"
    judged(many, few, at_most=1.3, label=label, shown=lambda size: f"{size / 1e6:.0f} MB")


# What has to be loaded and made for one frame, whoever does it.
BARE = """
import sys, numpy, openvino
core = openvino.Core()
how = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
core.compile_model(core.read_model(sys.argv[1]), "CPU", how)(numpy.zeros((1, 3, 480, 720), numpy.float32))
"""


def test_first_frame(folder, compact, reel, against):
    """A process that upscales one frame: one that only runs the engine on zeros."""
    one = fastup.find(reel)[0]

    def process(*arguments):
        subprocess.run(arguments, check=True, capture_output=True)

    against(
        lambda: process(*command("upscale", compact, one, folder / "one", "--overwrite")),
        lambda: process(sys.executable, "-c", BARE, compact),
        rounds=5,
        at_most=6,
        label="the first frame of an .onnx, from nothing: the engine alone",
    )
