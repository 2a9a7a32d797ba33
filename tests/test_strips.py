"""Pictures in strips: which they are, and that a film made in them is the film made whole."""

import os
import re
import subprocess
import sys
import time
import weakref
from dataclasses import replace

import keras
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import fastup
from fastup.errors import FastupError
from fastup.networks.models import MODELS, Network
from fastup.upscale.engines import ENGINES, Engine, installed
from fastup.upscale.film import upscale
from fastup.upscale.model import Model
from fastup.upscale.strips import Strips, cut, least, taken
from fastup.upscale.upscaler import Upscaler

CELLS = st.sampled_from([(1, 1), (1, 2), (2, 3), (4, 9), (9, 20), (3, 5)])


@given(st.integers(1, 300), CELLS, st.integers(0, 40), st.integers(-5, 1500), st.sampled_from([1, 1, 2, 4]))
@example(1, (4, 9), 0, 0, 1)
@example(29, (4, 9), 12, 116, 1)
@example(33, (4, 9), 11, 16, 4)
def test_strips_make_every_row_once_with_all_that_it_depends_on(cells, cell, reach, rows, pitch):
    q, p = cell
    strips = cut(cells * q, cell, reach, rows, pitch)
    heights = {strip.read.stop - strip.read.start for strip in strips}
    assert len(heights) == 1
    (height,) = heights
    lowest = least(cell, reach, pitch)
    assert height <= max(rows, lowest)
    assert (len(strips) == 1) == (cells * q <= max(rows // q * q, lowest))
    done = 0
    for strip in strips:
        assert strip.kept.start == done
        assert strip.kept.stop > done
        done = strip.kept.stop
        assert strip.read.start % (q * pitch) == 0
        assert 0 <= strip.read.start < strip.read.stop <= cells * q
        assert strip.made.stop - strip.made.start == strip.kept.stop - strip.kept.start
        # The same rows, counted from the strip's first one and from the picture's.
        assert strip.kept.start - strip.made.start == strip.read.start // q * p
        for edge in (strip.read.start, strip.read.stop, strip.kept.start * q, strip.kept.stop * q):
            assert edge % (q if edge in (strip.read.start, strip.read.stop) else p) == 0
        above, below = strip.kept.start // p * q, strip.kept.stop // p * q
        assert strip.read.start == 0 or above - strip.read.start >= reach
        assert strip.read.stop == cells * q or strip.read.stop - below >= reach
    assert done == cells * p


@given(st.integers(1, 300), CELLS, st.integers(0, 40), st.integers(1, 1500))
def test_no_fewer_strips_would_do(cells, cell, reach, rows):
    """Nor do rows that are left over make the last one thin: all are as low as their number lets them be."""
    q = cell[0]
    around = -(-reach // q)
    strips = cut(cells * q, cell, reach, rows)
    size = (strips[0].read.stop - strips[0].read.start) // q

    def most(number, size):
        """The most cells that so many strips of so many cells can make."""
        return number * size - 2 * around * (number - 1)

    if len(strips) > 1:
        allowed = max(rows, least(cell, reach)) // q
        assert most(len(strips) - 1, allowed) < cells
        assert most(len(strips), size - 1) < cells <= most(len(strips), size)


# -- the runner, with engines that are none ----------------------------------------------------------------------------

Q, P, REACH = 2, 3, 5


class Fake(Engine):
    """Makes of each output row a sum of all that a network of this cell and reach sees, edges included.

    It runs out of memory where it is given more than so many pixels, or when `fails` says so.
    """

    words, takes = "a fake", (0, 0)

    def __init__(self, most=None, fails=lambda: False, planes=False):
        self.most, self.fails, self.planes, self.given = most, fails, planes, []

    def run(self, picture):
        assert picture.flags.c_contiguous
        if self.planes:
            picture = picture.transpose(1, 2, 0)
        rows, width = picture.shape[:2]
        self.given.append((rows, width))
        if (self.most is not None and rows * width > self.most) or self.fails():
            raise MemoryError("no room")
        padded = np.pad(picture.astype(np.float64), ((REACH, REACH), (0, 0), (0, 0)), constant_values=0.25)
        seen = np.lib.stride_tricks.sliding_window_view(padded, Q + 2 * REACH, 0)[::Q]
        taps = np.random.default_rng(0).normal(size=(P, Q + 2 * REACH))
        made = np.einsum("cwnr,pr->cpwn", seen, taps).reshape(rows // Q * P, width, picture.shape[2])
        return np.ascontiguousarray(made.transpose(2, 0, 1) if self.planes else made, np.float32)


SETTINGS = {"scale": [[P, Q], [1, 1]], "border": [0, 0]}
LESS = "hold less, but the network can be given no fewer"
MODEL = Model("fake", SETTINGS, (REACH, 0), 1)


def _strips(engine, model=MODEL, **options):
    notes = []
    return Strips(engine, model, on_note=notes.append, **options), notes


def _memory(pixels, picture, engine, model=MODEL):
    """Memory of which so many pixels are left for the engine, beside the frames on their way."""
    frames = (3 + engine.parallel) * picture.shape[0] * picture.shape[1] * (12 + 18 * P / Q)
    return int(frames + pixels * taken(engine, model)) + 1


def _picture(rows, width=7, seed=0):
    return np.random.default_rng(seed).random((rows, width, 3), np.float32)


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("rows", [1, 13, 14, 15, 16, 33, 50, 100, 131, 132, 1000])
def test_strips_of_any_height_make_the_picture(rows, planes):
    picture, engine = _picture(132), Fake(planes=planes)
    strips, notes = _strips(engine, memory=_memory(rows * 7, picture, engine))
    expected = Fake().run(picture)
    if planes:
        picture, expected = (np.ascontiguousarray(array.transpose(2, 0, 1)) for array in (picture, expected))
    np.testing.assert_allclose(strips(picture), expected, rtol=0, atol=1e-6)
    assert all(given <= max(rows, 14) for given, _ in engine.given)
    assert len(notes) == (rows < 132)
    strips(picture)
    assert len(notes) == (rows < 132)  # said once
    said = {33: "32 rows: 199 KiB hold no more", 14: "14 rows: 165 KiB hold no more", 13: f"14 rows: 164 KiB {LESS}"}
    if rows in said:
        assert notes == [f"pictures of 7x132 are made in strips of {said[rows]}"]


def test_what_is_made_whole_is_not_copied():
    engine, given, made = Fake(), [], []

    def run(picture):
        given.append(picture)
        made.append(Fake().run(picture))
        return made[-1]

    engine.run = run
    picture = _picture(40)
    for memory in (None, _memory(40 * 7, picture, engine), 1 << 60):
        assert _strips(engine, memory=memory)[0](picture) is made[-1]
        assert given[-1] is picture
    assert len(made) == 3


def test_the_border_counts():
    """It is what the engine has in memory, and is read beside every strip."""
    picture, engine = _picture(400, width=20), Fake()
    model = Model("fake", {"scale": [[P, Q], [1, 1]], "border": [30, 5]}, (REACH, 0), 1)
    assert model.border == (20, 5)
    strips, _ = _strips(engine, model, memory=_memory(100 * 30, picture, engine))
    strips(picture)
    assert {rows for rows, _ in engine.given} == {56}  # 60 would do, of which it takes no fewer
    strips, _ = _strips(Fake(most=99 * 20), model)
    strips(picture)
    assert [rows for rows, _ in strips.engine.given[:3]] == [400, 142, 68]


def test_where_memory_runs_out_strips_get_lower_and_stay_so():
    picture, engine = _picture(132), Fake(most=50 * 7)
    strips, notes = _strips(engine)
    expected = Fake().run(picture)
    np.testing.assert_allclose(strips(picture), expected, rtol=0, atol=1e-6)
    assert [given[0] for given in engine.given[:3]] == [132, 52, 26]
    # Whole; 66 rows at the most, of which three strips need 52; and half of that.
    assert set(engine.given[2:]) == {(26, 7)}
    assert notes == ["pictures of 7x132 are made in strips of 26 rows: the engine ran out of memory"]
    engine.given.clear()
    for seed in range(3):
        picture = _picture(132, seed=seed)
        np.testing.assert_allclose(strips(picture), Fake().run(picture), rtol=0, atol=1e-6)
    assert set(engine.given) == {(26, 7)}
    assert len(notes) == 1
    # A picture half as wide has twice the rows: it is pixels that memory holds.
    engine.given.clear()
    strips(_picture(132, width=3))
    assert max(engine.given)[0] > 50
    assert max(rows * width for rows, width in engine.given) <= 26 * 7
    assert len(notes) == 1


def test_where_the_lowest_strip_is_too_much_it_says_so():
    strips, _ = _strips(Fake(most=13 * 7))
    with pytest.raises(FastupError, match=r"^14 rows of a picture of 7x132, the fewest .* more memory than there is: "):
        strips(_picture(132))
    assert [rows for rows, _ in strips.engine.given] == [132, 52, 26, 14]
    with pytest.raises(FastupError, match=r"^8 rows of a picture of 12x8, "):
        strips(_picture(8, width=12))


@given(st.integers(0, 2**32), st.floats(0, 0.5), st.integers(7, 200), st.sampled_from([None, 100, 400]))
@settings(deadline=None)
def test_memory_that_runs_out_at_any_call_spoils_nothing(seed, share, cells, pixels):
    random = np.random.default_rng(seed)
    engine = Fake(fails=lambda: random.random() < share)
    memory = pixels and _memory(pixels, _picture(cells * Q, width=2), engine)
    strips, notes = _strips(engine, memory=memory)
    for frame in range(4):
        picture = _picture(cells * Q, width=2, seed=frame)
        before = picture.copy()
        try:
            made = strips(picture)
        except FastupError:
            assert engine.given[-1] == (min(14, cells * Q), 2)
            return
        np.testing.assert_allclose(made, Fake().run(picture), rtol=0, atol=1e-6)
        np.testing.assert_array_equal(picture, before)
    assert len(notes) <= 1 + 4


def test_what_an_attempt_made_is_let_go_before_the_next():
    """The error holds the frames of the call that failed; and with them what they had made."""
    alive = []

    def run(picture):
        made = Fake().run(picture)
        assert not any(each() is not None for each in alive)
        if len(picture) > 40:
            alive.append(weakref.ref(made))
            raise MemoryError
        return made

    engine = Fake()
    engine.run = run
    _strips(engine)[0](_picture(132))
    assert len(alive) == 2


@pytest.mark.parametrize("error", [ValueError, RuntimeError, KeyboardInterrupt, FastupError])
def test_errors_that_are_not_of_memory_are_not_swallowed(error):
    calls = []

    def run(picture):
        calls.append(len(picture))
        if len(calls) == 3:
            raise error("no")
        return Fake().run(picture)

    engine, picture = Fake(), _picture(132)
    engine.run = run
    strips, notes = _strips(engine, memory=_memory(40 * 7, picture, engine))
    with pytest.raises(error, match=r"^no$"):
        strips(picture)
    assert len(calls) == 3
    assert notes == []


# -- networks ----------------------------------------------------------------------------------------------------------

THERE = [name for name in ENGINES if installed(name)]
SMALL = {
    name: {key: 5 if key == "features" else 3 for key in architecture.size} for name, architecture in MODELS.items()
} | {"vdsr": {"features": 4, "depth": 3}, "compact": {"features": 6, "depth": 2}}
KINDS = [name for name in MODELS if name not in ("compact-s", "compact-l", "recurrent")]  # differ in sizes; has its own
SCALES = [([[1, 1], [1, 1]], 0), ([[2, 1], [2, 1]], 2), ([[3, 2], [3, 2]], 1), ([[9, 4], [2, 1]], 1)]  # and borders
CLOSE = 2e-5  # twenty times less than half a 10-bit code, and above what the order of sums makes


def _network(model, scale, border=0, **settings):
    """A network that changes every pixel, as one that was trained hard."""
    keras.utils.set_random_seed(0)
    network = Network({
        "model": model, "scale": scale, "border": [border * p for p, _ in scale], "trim": [0, 0, 0, 0],
        "input_trim": [0, 0, 0, 0], "black_level": "edge", "input_white": 1023, "target_white": 1023,
        "pixel_aspect": [1, 1], "transfer": None, "colorimetric": None, **SMALL[model], **settings,
    })  # fmt: skip
    rng = np.random.default_rng(0)
    # Every tap of every kernel counts, so that what is missing at its rim shows; sums stay of the size of pictures.
    network.set_weights([
        np.float32(rng.choice([-1, 1], w.shape) * rng.uniform(0.7, 1.3, w.shape) / np.prod(w.shape[:-1]) ** 0.5 * 0.8)
        if w.ndim == 4 else w
        for w in network.get_weights()
    ])  # fmt: skip
    return network


def _random(engine, height, width):
    return np.random.default_rng(1).random((3, height, width) if engine.planes else (height, width, 3), np.float32)


def _in_strips(engine, model, rows, picture):
    """A picture in strips of so many rows, and how many there were."""
    height, width = picture.shape[1:] if engine.planes else picture.shape[:2]
    (v, h), (vertical, horizontal) = model.border, model.scale
    frames = (3 + engine.parallel) * height * width * (12 + 18 * float(vertical * horizontal))
    memory = frames + engine.parallel * taken(engine, model) * (rows + 2 * v) * (width + 2 * h) + 1000
    counted = []
    run = engine.run
    engine.run = lambda strip: counted.append(strip.shape[engine.planes * 1]) or run(strip)
    try:
        return Strips(engine, model, int(memory))(picture), counted
    finally:
        engine.run = run


@pytest.mark.parametrize(("scale", "border"), SCALES, ids=["1", "2", "3:2", "9:4x2"])
@pytest.mark.parametrize("model", KINDS)
def test_strips_give_what_the_whole_picture_gives(model, scale, border):
    others = SCALES.index((scale, border)) % 2 == 0 or (scale == [[2, 1], [2, 1]] and KINDS.index(model) % 2)
    if others and model not in ("srcnn", "espcn", "denoise"):
        pytest.skip("of these scales, some networks are enough")
    network = _network(model, scale, border, black_level="edge" if border == 1 else 200)
    for name in THERE:
        upscaler = Upscaler(network, name)
        engine, about = upscaler.engine, upscaler.model
        picture = _random(engine, 132, 18)
        whole = engine.run(picture)
        close = CLOSE * max(1, np.abs(whole).max())
        lowest = least((about.cell[0][0], about.cell[1][0]), about.receptive[0], about.pitch)
        for rows in (16, 33, 132):
            made, heights = _in_strips(engine, about, rows, picture)
            assert made.shape == whole.shape
            assert max(heights) <= max(rows, lowest)
            assert (len(heights) == 1) == (rows >= 132 or lowest >= 132)
            apart = np.abs(made - whole).max(axis=(0, 2) if engine.planes else (1, 2))
            assert apart.max() < close, (name, rows, apart.argmax())


@pytest.mark.parametrize("model", KINDS)
def test_a_row_less_of_reach_would_show(model):
    """What the test above can see."""
    upscaler = Upscaler(_network(model, [[9, 4], [2, 1]]), THERE[-1])
    engine, about = upscaler.engine, upscaler.model
    picture = _random(engine, 132, 18)
    whole = engine.run(picture)
    close = CLOSE * max(1, np.abs(whole).max())
    assert np.abs(_in_strips(engine, about, 33, picture)[0] - whole).max() < close
    block = 4 * about.pitch
    short = replace(about, receptive=((about.receptive[0] - 1) // block * block, 0))  # a cell less
    assert np.abs(_in_strips(engine, short, 33, picture)[0] - whole).max() > 3 * close
    if about.pitch > 1:  # nor may strips begin anywhere
        anywhere = replace(about, pitch=1)
        assert np.abs(_in_strips(engine, anywhere, 33, picture)[0] - whole).max() > 3 * close


@pytest.mark.parametrize("name", THERE)
def test_as_deep_as_published(name):
    network = _network("vdsr", [[9, 4], [2, 1]], 1, depth=20)
    upscaler = Upscaler(network, name)
    engine, about = upscaler.engine, upscaler.model
    assert about.receptive == (11, 12)
    picture = _random(engine, 96, 30)
    made, heights = _in_strips(engine, about, 40, picture)
    assert len(heights) > 3
    assert np.abs(made - engine.run(picture)).max() < CLOSE


@pytest.mark.parametrize("name", THERE)
def test_codes_in_strips_are_those_of_the_whole_frame_or_the_next_at_a_half(name):
    network = _network("compact", [[9, 4], [2, 1]], 1)
    frame = np.random.default_rng(2).integers(0, 1024, (132, 30, 3), np.uint16)
    notes = []
    whole, low = Upscaler(network, name), Upscaler(network, name, memory=1, on_note=notes.append)
    codes, floats = whole(frame), whole(frame / np.float32(1023)).astype(np.float64) * 1023
    made = low(frame)
    assert notes == [f"pictures of 30x132 are made in strips of 12 rows: 1 byte {LESS}"]
    apart = np.abs(codes.astype(int) - made)
    assert apart.max() <= 1
    assert np.abs(floats[apart == 1] % 1 - 0.5).max(initial=0) < 1023 * CLOSE
    assert np.abs(low(frame / np.float32(1023)) * 1023 - floats).max() < 0.5


@pytest.mark.parametrize("name", THERE)
def test_an_engine_of_an_upscaler_that_runs_out(name):
    """Frames are those of an engine that has room, and later ones do not try what failed."""
    network = _network("compact", [[9, 4], [2, 1]], 1)
    notes = []
    upscaler = Upscaler(network, name, on_note=notes.append)
    run, planes, tried = upscaler.engine.run, upscaler.engine.planes, []

    def little(picture):
        rows, width = picture.shape[1:] if planes else picture.shape[:2]
        tried.append(rows)
        if rows * width > 40 * 30:
            raise MemoryError("of this test")
        return run(picture)

    frames = [np.random.default_rng(n).integers(0, 1024, (132, 30, 3), np.uint16) for n in range(3)]
    whole = [upscaler(frame) for frame in frames]
    upscaler.engine.run = little
    for number, made in enumerate(upscaler.stream(frames)):
        assert np.abs(made.astype(int) - whole[number]).max() <= 1
        assert (tried[0] == 132) == (number == 0)
        tried.clear()
    assert len(notes) == 1
    assert re.fullmatch(r"pictures of 30x132 are made in strips of \d+ rows: the engine ran out of memory", notes[0])
    upscaler.engine.run = lambda picture: little(np.zeros((3, 999, 99) if planes else (999, 99, 3)))
    with pytest.raises(FastupError, match=r"^(frame 0|the frame): 12 rows of a picture of 30x132"):
        next(upscaler.stream(frames))


LIMITED = """
import resource, sys
import numpy as np
from fastup.upscale.upscaler import Upscaler

model, engine, megabytes = sys.argv[1], sys.argv[2], int(sys.argv[3])
notes = []
upscaler = Upscaler(model, engine, memory=1 << 60, on_note=notes.append)
random = np.random.default_rng(0)
for size in ((64, 64), (128, 128)):  # what libraries begin with
    upscaler(random.random((*size, 3), np.float32))
frame = random.random((1000, 500, 3), np.float32)
with open("/proc/self/status") as file:
    used = next(int(line.split()[1]) << 10 for line in file if line.startswith("VmSize"))
limits = resource.getrlimit(resource.RLIMIT_AS)
prepared = upscaler.prepared("it", frame)
resource.setrlimit(resource.RLIMIT_AS, (used + (megabytes << 20), limits[1]))
made = upscaler.run(prepared)
resource.setrlimit(resource.RLIMIT_AS, limits)
made = upscaler.finished(prepared, made, None)
assert np.abs(made - Upscaler(model, engine)(frame)).max() < 0.5 / 1023
print(*notes, sep="\\n")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory cannot be limited")
@pytest.mark.parametrize("name", sorted({*THERE} - {"keras"}))  # where TensorFlow finds none, it may end the process
def test_engines_that_really_run_out(name, tmp_path):
    from fastup.upscale.export import graph

    path = tmp_path / "m.onnx"
    path.write_bytes(graph(_network("compact", [[9, 4], [2, 1]], 1, features=64)))
    command = [sys.executable, "-c", LIMITED, path, name, "200"]
    environment = {**os.environ, "MALLOC_ARENA_MAX": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"pictures of 500x1000 .* \d+ rows: the engine ran out of memory\n", done.stdout)


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_makes_strips_where_memory_is_little(trained, small, tmp_path, run):
    model, source = trained / "best.keras", small / "evaluation" / "Alpha"
    assert run("upscale", model, source, tmp_path / "whole", "--memory", "1T")[0] == 0
    code, printed, _ = run("upscale", model, source, tmp_path / "strips", "--memory", "16M")
    assert code == 0
    (said,) = re.findall(r"note: (pictures of 180x120 are .*)", printed)
    assert said == f"pictures of 180x120 are made in strips of 28 rows: 16 MiB {LESS}"
    for path in fastup.find(tmp_path / "whole"):
        # Codes differ where a float lay at a half, and one rounding is another's.
        apart = np.abs(fastup.read(path).astype(int) - fastup.read(tmp_path / "strips" / path.name))
        assert apart.max() <= 1
        assert (apart > 0).mean() < 1e-3


@pytest.mark.parametrize("text", ["4X", "0", "-1G", "lots"])
def test_memory_that_is_no_size(text, trained, small, tmp_path, run):
    code, _, printed = run(
        "upscale", trained / "best.keras", small / "evaluation" / "Alpha", tmp_path / "out", f"--memory={text}"
    )
    assert code == 2
    assert printed == f"fastup: memory is '{text}', expected a size such as 4G or 800M\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("slow", ["prepared", "run", "finished"])
def test_a_film_is_never_in_memory(slow, tmp_path):
    """Few frames are on their way at a time, whichever stage the others wait for."""
    (tmp_path / "in").mkdir()
    for number in range(50):
        fastup.write(tmp_path / "in" / f"{number:03d}.dpx", np.full((8, 6, 3), number, np.uint16))
    upscaler = Upscaler(_network("compact", [[9, 4], [2, 1]]), THERE[-1], parallel=2)
    made, gone, most = [], [], 0

    def watch(step):
        def call(*given):
            nonlocal most
            if step == slow:
                time.sleep(0.002)
            result = getattr(Upscaler, step)(upscaler, *given)
            made.append(step)
            weakref.finalize(result.picture if step == "prepared" else result, gone.append, step)
            most = max(most, len(made) - len(gone))
            return result

        return call

    for step in ("prepared", "run", "finished"):
        setattr(upscaler, step, watch(step))
    assert upscale(upscaler, tmp_path / "in", tmp_path / "out") == (50, 0)
    assert len(made) == 150
    assert 3 <= most <= 24
    assert len(gone) >= 147


def test_a_command_that_finds_no_memory_says_so(small, trained, tmp_path, run, monkeypatch):
    def finished(self, *_):
        raise np._core._exceptions._ArrayMemoryError((1080, 1440, 3), np.dtype(np.float32))

    monkeypatch.setattr(Upscaler, "finished", finished)
    code, _, printed = run("upscale", trained / "best.keras", small / "evaluation" / "Alpha", tmp_path / "out")
    assert code == 1
    assert printed.startswith("fastup: there is too little memory: Unable to allocate 17.8 MiB for an array")
    assert "close other programs" in printed
