"""Films through a recurrent network: parts equal the whole, engines equal Keras, and no shot is seen in another."""

import io
import pickle
from fractions import Fraction
from functools import partial

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
from test_shots import film as grids_of

import fastup
from fastup import Header
from fastup.errors import DataError, FastupError, OptionError
from fastup.footage import chore
from fastup.footage.parts import Outcome
from fastup.footage.pipe import Pipe, PipeSource
from fastup.footage.stages import Stages
from fastup.networks.models import Network
from fastup.upscale import export as exporting
from fastup.upscale import film, scoring
from fastup.upscale.around import Around, read_cuts
from fastup.upscale.evaluate import compare, prepare, score_all
from fastup.upscale.export import export, graph
from fastup.upscale.film import upscale
from fastup.upscale.metrics import psnr
from fastup.upscale.onnx_file import read_metadata
from fastup.upscale.upscaler import Upscaler
from fastup.upscale.warmup import warmup_frames

HALF = 0.5 / 1023
SETTINGS = {
    "model": "recurrent", "features": 4, "depth": 2, "scale": [[9, 4], [2, 1]], "border": [0, 0], "trim": [0] * 4,
    "input_trim": [0] * 4, "black_level": "edge", "input_white": 1023, "target_white": 1023, "pixel_aspect": [1, 1],
    "transfer": None, "colorimetric": None, "quiet": 0.012,
}  # fmt: skip
ENGINES = "keras", "openvino", "onnxruntime"


def network_of(seed=0, **settings):
    """A network with weights as if trained, which goes by what it carries."""
    keras.utils.set_random_seed(seed)
    network = Network({**SETTINGS, **settings})
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if layer.trainable:
            layer.set_weights([w + 0.03 * rng.normal(size=w.shape).astype(np.float32) for w in layer.get_weights()])
    return network


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The network as `.keras` and as `.onnx`."""
    folder, network = tmp_path_factory.mktemp("model"), network_of()
    network.settings["warmup_frames"] = warmup_frames(network)
    network.save(folder / "m.keras")
    export(folder / "m.keras")
    return {"keras": folder / "m.keras", "openvino": folder / "m.onnx", "onnxruntime": folder / "m.onnx"}


@pytest.fixture(scope="module")
def upscaler(files):
    return Upscaler(files["openvino"])


@pytest.fixture(scope="module")
def reel():
    """A film of three shots, 48x36, normalised, and where they begin: the one in the middle is held, with noise."""
    rng = np.random.default_rng(5)
    grids, cuts = grids_of(rng, ["act", "still", "pan"], least=12)
    held = np.repeat(grids[cuts[1] : cuts[1] + 1], 100, axis=0) + rng.normal(0, 200, (100, 36, 48))
    grids = np.concatenate([grids[: cuts[1]], held.clip(0, 65535), grids[cuts[2] :]])
    frames = np.repeat(np.float32(grids / 65535)[..., None], 3, axis=-1) * np.float32([0.9, 1, 0.8])
    return frames, [0, cuts[1], cuts[1] + 100]


@pytest.fixture(scope="module")
def source(reel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reel")
    for number, frame in enumerate(reel[0]):
        fastup.write(folder / f"{number:03d}.dpx", np.round(frame * 1023).astype(np.uint16), Header.new(48, 36))
    return folder


def by_rule(network, frames, cuts):
    """What Keras makes of a film, frame by frame, as it is defined."""
    made, state = [], None
    for number in range(len(frames)):
        first = max(cut for cut in cuts if cut <= number)
        last = min([cut for cut in cuts if cut > number] or [len(frames)]) - 1
        seen = [frames[min(max(n, first), last)] for n in (number - 1, number, number + 1)]
        if number == first:
            state = np.zeros((1, 36, 48, network.settings["state"]), np.float32)
        picture, state = network.predict_on_batch([np.concatenate(seen, axis=-1)[None], state])
        made.append(np.clip(picture[0], 0, 1))
    return np.array(made)


@pytest.fixture(scope="module")
def expected(files, reel):
    return by_rule(Upscaler(files["keras"], "keras").model.network, *reel)


# -- a stream --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stream_is_made_shot_by_shot(files, reel, expected, engine):
    frames, cuts = reel
    upscaler = Upscaler(files[engine], engine, parallel=2)
    assert upscaler.engine.parallel == 1
    np.testing.assert_allclose(list(upscaler.stream(frames)), expected, rtol=0, atol=HALF / 10)
    notes = []
    low = Upscaler(files[engine], engine, memory=1, on_note=notes.append)
    part = slice(cuts[1] - 4, cuts[1] + 6)
    in_strips = list(low.stream(frames[part], cuts=[4]))
    whole = list(upscaler.stream(frames[part], cuts=[4]))
    np.testing.assert_allclose(in_strips, whole, rtol=0, atol=HALF / 10)
    assert "in strips of 20 rows" in notes[0]
    np.testing.assert_allclose(in_strips[4:], expected[cuts[1] : cuts[1] + 5 + 1], rtol=0, atol=0.02)


def test_no_shot_is_seen_in_another(upscaler, reel):
    frames, cuts = reel
    whole = list(upscaler.stream(frames))
    for first, end in zip(cuts, [*cuts[1:], len(frames)], strict=True):
        np.testing.assert_array_equal(list(upscaler.stream(frames[first:end])), whole[first:end])
    one = list(upscaler.stream(frames, cuts=()))  # what the above can see
    assert np.abs(one[cuts[1]] - whole[cuts[1]]).max() > HALF


def test_a_frame_alone_is_a_shot_of_one(upscaler, files, reel, expected):
    frame = reel[0][7]
    network = Upscaler(files["keras"], "keras").model.network
    np.testing.assert_allclose(upscaler(frame), by_rule(network, frame[None], [0])[0], rtol=0, atol=HALF / 10)
    codes = np.round(frame * 1023).astype(np.uint16)
    np.testing.assert_allclose(upscaler(codes) / 1023, upscaler(codes / np.float32(1023)), atol=HALF + 1e-6)


def test_what_comes_first_in_a_pair_stays(upscaler, reel):
    frames = reel[0][:5]
    plain = list(upscaler.stream(frames))
    made = list(upscaler.stream((f"f{n}", frame) for n, frame in enumerate(frames)))
    assert [label for label, _ in made] == [f"f{n}" for n in range(5)]
    for (_, one), other in zip(made, plain, strict=True):
        np.testing.assert_array_equal(one, other)
    header = Header.new(48, 36, frame_position=9)
    ((made_header, one),) = upscaler.stream([(header, frames[0])])
    assert (made_header.width, made_header.height, made_header.frame_position) == (96, 81, 9)


def test_an_ensemble_flips_what_is_carried_too(files, reel):
    frames = reel[0][:4] / 8 + 0.4
    plain = Upscaler(files["openvino"])
    views = []
    for axes in ((), (0,), (1,), (0, 1)):
        flipped = (np.ascontiguousarray(np.flip(frame, axes)) for frame in frames)
        views.append([np.flip(made, axes) for made in plain.stream(flipped)])
    assert 0 < np.min(views) < np.max(views) < 1
    mean = list(Upscaler(files["openvino"], self_ensemble=True).stream(frames))
    np.testing.assert_allclose(mean, np.mean(views, axis=0), rtol=0, atol=HALF / 10)


@pytest.mark.parametrize("cuts", [[-1], [1.5], ["3"], [True]])
def test_cuts_that_are_none(upscaler, reel, cuts):
    with pytest.raises(OptionError, match=r"cuts has .*, expected the numbers of frames"):
        list(upscaler.stream(reel[0][:2], cuts=cuts))


def test_a_model_that_sees_frames_alone_takes_no_cuts():
    upscaler = Upscaler(Network({**SETTINGS, "model": "compact"}))
    with pytest.raises(OptionError, match="cuts are given, but the model sees every frame by itself"):
        list(upscaler.stream([], cuts=[3]))


# -- films -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(upscaler, source, tmp_path_factory):
    """The film, made in one go; floats."""
    folder = tmp_path_factory.mktemp("whole") / "hd"
    upscale(upscaler, source, folder, suffix=".exr")
    return folder


def off(folder, whole):
    """The numbers of the frames in a folder, and how far at most they are off the whole film's."""
    paths = sorted(folder.glob("*.exr"))
    apart = [np.abs(fastup.read(path, "float32") - fastup.read(whole / path.name, "float32")).max() for path in paths]
    return [int(path.stem) for path in paths], max(apart)


def test_a_film_is_its_stream(whole, reel, expected):
    for number in (0, 20, 40, len(expected) - 1):
        made = fastup.read(whole / f"{number:03d}.exr", "float32")
        np.testing.assert_allclose(made, expected[number], atol=0.004)  # inputs were codes
    assert len(list(whole.iterdir())) == len(expected)


@pytest.mark.parametrize("told", [False, True])
def test_parts_are_as_in_the_whole_film(upscaler, source, whole, reel, tmp_path, told):
    """Of which each alone begins with no state, somewhere within the held shot."""
    cuts = reel[1] if told else None
    warm = upscaler.model.warmup
    assert 40 < warm < 90
    middle = reel[1][1] + 92
    options = {"suffix": ".exr", "cuts": cuts}
    assert upscale(upscaler, source, tmp_path / "a", start=middle, end=middle + 4, **options) == (4, 0)
    assert upscale(upscaler, source, tmp_path / "a", numbers=f"{reel[1][1]}-{reel[1][1] + 1}", **options) == (2, 0)
    numbers, apart = off(tmp_path / "a", whole)
    assert numbers == [*range(reel[1][1], reel[1][1] + 2), *range(middle, middle + 4)]
    assert apart < HALF


def test_without_the_frames_before_a_part_would_not_be(upscaler, source, whole, reel, tmp_path, monkeypatch):
    monkeypatch.setitem(upscaler.settings, "warmup_frames", 0)
    upscale(upscaler, source, tmp_path / "a", start=reel[1][1] + 80, end=reel[1][1] + 84, suffix=".exr")
    assert off(tmp_path / "a", whole)[1] > HALF


def test_a_test_and_what_carries_on_are_as_in_the_whole_film(upscaler, source, whole, reel, tmp_path):
    count = len(reel[0])
    heard = []
    plan = film.prepare(upscaler, source, tmp_path / "a", suffix=".exr", test=True)
    assert film.run(plan, lambda *progress: heard.append(progress[:2])) == (3, 0)
    assert heard[-1] == (3, 3)
    numbers, apart = off(tmp_path / "a", whole)
    assert numbers == [0, count // 2, count - 1]
    assert apart < HALF
    assert upscale(upscaler, source, tmp_path / "a", suffix=".exr") == (count - 3, 3)
    for number in (*range(30, 35), *range(100, 120), count - 1):
        (tmp_path / "a" / f"{number:03d}.exr").unlink()
    assert upscale(upscaler, source, tmp_path / "a", suffix=".exr") == (26, count - 26)
    numbers, apart = off(tmp_path / "a", whole)
    assert numbers == list(range(count))
    assert apart < HALF
    assert upscale(upscaler, source, tmp_path / "a", suffix=".exr") == (0, count)


def test_a_pipe_of_which_nobody_knows_how_long_it_is(upscaler, source, whole, tmp_path):
    pytest.importorskip("av")
    frames = [fastup.read(path) for path in fastup.find(source)[:60]]
    data = b"".join(np.ascontiguousarray(frame[:, :, [1, 2, 0]].transpose(2, 0, 1)).tobytes() for frame in frames)

    def pipe():
        return PipeSource(io.BytesIO(data), pipe=Pipe("gbrp10le", (36, 48), Fraction(24)))

    assert upscale(upscaler, pipe(), tmp_path / "a", start=50, suffix=".exr") == (10, 0)
    for number, path in enumerate(sorted((tmp_path / "a").iterdir()), 50):
        exact = fastup.read(whole / f"{number:03d}.exr", "float32")
        assert np.abs(fastup.read(path, "float32") - exact).max() < HALF or number == 59  # whose next is another
    assert upscale(upscaler, pipe(), tmp_path / "a.mkv", options={"rate": "24"}) == (60, 0)


def test_a_part_of_a_worker_of_a_cluster(upscaler, source, whole, reel, tmp_path):
    """It has the frames around it, and no others."""
    numbers = range(reel[1][1] + 80, reel[1][1] + 86)
    plan = film.prepare(upscaler, source, tmp_path / "a", suffix=".exr")
    assert {plan.unit(number) for number in numbers} == {plan.unit(numbers[0])}
    assert plan.unit(0) != plan.unit(5 * upscaler.model.warmup)
    part = plan.cut(numbers)
    assert len(part.source.paths) < 6 + upscaler.model.warmup + 14
    assert chore.run(part, partial(film.work, stages=Stages()), "upscaling") == (6, 0)
    assert off(tmp_path / "a", whole)[0] == [*numbers]
    assert off(tmp_path / "a", whole)[1] < HALF
    told = film.prepare(upscaler, source, tmp_path / "b", cuts=reel[1])
    assert [told.unit(number) for number in (0, *reel[1])] == [1, 1, 2, 3]


@pytest.fixture
def pngs(source, tmp_path):
    """The film again, as files whose headers do not tell that they are damaged."""
    folder = tmp_path / "pngs"
    folder.mkdir()
    for path in fastup.find(source)[:60]:
        fastup.write(folder / f"{path.stem}.png", fastup.read(path, "float32"), Header.new(48, 36, bits=16))
    return folder


@pytest.mark.parametrize("cuts", [None, [0, 20]])
def test_what_waits_for_a_damaged_frame_is_made_once_it_is_mended(upscaler, pngs, tmp_path, cuts):
    """Made without it, its neighbours would be there, and stay as they are."""
    options = {"suffix": ".exr", "cuts": cuts}
    upscale(upscaler, pngs, tmp_path / "whole", **options)
    sound = (pngs / "040.png").read_bytes()
    (pngs / "040.png").write_bytes(sound[: len(sound) // 2])
    with pytest.raises(FastupError, match=r"040\.png"):
        upscale(upscaler, pngs, tmp_path / "out", **options)
    assert len(list((tmp_path / "out").iterdir())) == (34 if cuts is None else 39)  # up to those that wait for it
    for start, end in ((39, 40), (41, 44)):
        with pytest.raises(FastupError, match=r"040\.png.*; frames that are asked for are made with it"):
            upscale(upscaler, pngs, tmp_path / "out", start=start, end=end, **options)
    (pngs / "040.png").write_bytes(sound)
    upscale(upscaler, pngs, tmp_path / "out", **options)
    numbers, apart = off(tmp_path / "out", tmp_path / "whole")
    assert numbers == [*range(60)]
    assert apart < HALF


def test_a_neighbour_is_checked_as_frames_that_are_asked_for(upscaler, source, tmp_path):
    (tmp_path / "in").mkdir()
    for path in fastup.find(source)[30:45]:
        header = Header.new(48, 36, descriptor=102 if path.stem == "040" else 50)
        fastup.write(tmp_path / "in" / path.name, fastup.read(path), header)
    with pytest.raises(DataError, match=r"040\.dpx: holds Y, Cb and Cr, .*frames that are asked for are made with it"):
        upscale(upscaler, tmp_path / "in", tmp_path / "out", start=11, end=13)
    assert not (tmp_path / "out").exists()


# -- where shots begin, as told --------------------------------------------------------------------------------------


def test_cuts_of_a_file(tmp_path, upscaler, source):
    for text in ("0\n20\n76\n", "\ufeff76\r\n\r\n 20 \r\n0\n20"):
        (tmp_path / "cuts.txt").write_text(text, encoding="utf-8")
        assert set(read_cuts(tmp_path / "cuts.txt")) == {0, 20, 76}
        assert film.prepare(upscaler, source, tmp_path / "out", cuts=tmp_path / "cuts.txt").cuts == {0, 20, 76}
    for text, found in (
        ("0\n\n1:30", "line 3 is '1:30'"), ("0 20", "line 1 is '0 20'"), ("1_2", "line 1 is '1_2'"), ("", "empty"),
        ("-1", "line 1 is '-1'"), ("3.0", "line 1 is '3.0'"), ('{"shots": []}', "line 1 is"), ("\u0663", "line 1 is"),
    ):  # fmt: skip
        (tmp_path / "no.txt").write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=rf"no\.txt: {found}.*, expected on each line the number of a frame"):
            read_cuts(tmp_path / "no.txt")


def test_cuts_where_there_are_no_frames(upscaler, source, reel, tmp_path):
    """As of somebody who took the numbers in the names of frames."""
    count = len(reel[0])
    (tmp_path / "cuts.txt").write_text(f"0\n{count}\n{10**20}")
    expected = rf"frame {count}, but {source} has {count} frames; expected numbers below {count}, counted from 0"
    for cuts, name in ((tmp_path / "cuts.txt", r".*/cuts\.txt"), ([count - 1, count], "cuts")):
        with pytest.raises(DataError, match=rf"^{name}: a shot begins with {expected}"):
            film.prepare(upscaler, source, tmp_path / "out", cuts=cuts)
    film.prepare(upscaler, source, tmp_path / "out", cuts=[count - 1])
    video = PipeSource(io.BytesIO(), pipe=Pipe("gbrp10le", (36, 48), Fraction(24)))
    video.frame_count = 90  # an estimate
    (note,) = (n for n in film.prepare(upscaler, video, tmp_path / "out", cuts=[89, 90]).notes if "a shot begins" in n)
    assert "begins with frame 90, but" in note


def test_frames_that_are_there_may_be_of_other_cuts(upscaler, source, tmp_path):
    upscale(upscaler, source, tmp_path / "out", start=0, end=2, cuts=[0])
    notes = film.prepare(upscaler, source, tmp_path / "out", start=0, end=4, cuts=[0, 1]).notes
    assert notes[-1] == (
        "frames that are there already, 2, stay as they are, whatever cuts they were made with; --overwrite makes them "
        "anew"
    )
    for options in ({"cuts": [0, 1], "overwrite": True}, {}):
        notes = film.prepare(upscaler, source, tmp_path / "out", start=0, end=4, **options).notes
        assert not any("there already" in note for note in notes)


def test_what_is_read_and_made_around_a_part(upscaler, source, tmp_path):
    """Of shots that are told, nothing before the shot; where they are to be found, what tells of them."""
    warm = upscaler.model.warmup
    plan = film.prepare(upscaler, source, tmp_path / "out", start=110, end=112)
    for cuts, first, last in (((), 110 - warm - 1, 112), ((90, 111), 90 - 1, 112), (None, 110 - warm - 6, 117)):
        around = Around(plan, upscaler.model, cuts)
        assert [n for n in range(140) if around.asked(n)] == [110, 111]
        assert [n for n in range(140) if around.needed(n)] == [*range(90 if cuts else 110 - warm, 112)]
        assert [n for n in range(140) if around.read(n)] == [*range(first, last + 1)]


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"border": [9, 4]}, {"lookahead": 0, "black_level": 95, "border": [9, 4]}])
def test_an_exported_step_is_that_of_keras(settings, tmp_path):
    network = network_of(1, **settings)
    made = export(network, tmp_path / "m.onnx")
    assert made.difference < 1e-5
    found = read_metadata(tmp_path / "m.onnx")
    assert (found["version"], found["settings"]["state"]) == (2, network.settings["state"])
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx", providers=["CPUExecutionProvider"])
    seen, state = 2 + network.settings["lookahead"], network.settings["state"]
    names = {each.name: each.shape for each in (*session.get_inputs(), *session.get_outputs())}
    assert names["input"] == [1, 3 * seen, "height", "width"]
    assert names["state"][:2] == names["next_state"][:2] == [1, state]
    given = {"input": np.zeros((1, 3 * seen, 8, 5), np.float32), "state": np.zeros((1, state, 16, 9), np.float32)}
    assert [each.shape for each in session.run(["output", "next_state"], given)] == [(1, 3, 18, 10), (1, state, 16, 9)]


def test_a_file_that_forgets_is_not_written(tmp_path, monkeypatch):
    """The state counts in the check: here the file gives another one."""
    network = network_of()
    really = exporting.graph

    def graph(given, whole_scale):
        model = onnx.load_model_from_string(really(given, whole_scale))
        (node,) = (each for each in model.graph.node if each.output[0] == "next_state")
        node.op_type = "Neg"
        return model.SerializeToString()

    monkeypatch.setattr(exporting, "graph", graph)
    with pytest.raises(FastupError, match=r"m\.onnx: not written: .* differ"):
        export(network, tmp_path / "m.onnx")


def test_no_other_program_gets_a_file_that_would_carry_nothing():
    with pytest.raises(OptionError, match="carries a state from frame to frame; expected it without"):
        graph(network_of(), whole_scale=True)


# -- how long it takes -----------------------------------------------------------------------------------------------


def test_warming_up_takes_as_long_as_is_measured(upscaler, reel):
    """Of other frames than it was measured on, from the worst that there is: another shot's state."""
    engine, warm = upscaler.engine, upscaler.model.warmup
    held = reel[0][reel[1][1] + 1 : reel[1][2]].transpose(0, 3, 1, 2)
    states = [None]
    for other in (np.ones_like(held[0]), np.zeros_like(held[0]), reel[0][0].transpose(2, 0, 1)):
        state = None
        for _ in range(20):
            _, state = engine.step(np.concatenate([other] * 3), state)
        states.append(state)
    apart = []
    for before, now, after in zip(held, held[1:], held[2:], strict=False):
        made = [engine.step(np.concatenate([before, now, after]), state) for state in states]
        apart.append(max(np.abs(picture - made[0][0]).max() for picture, _ in made))
        states = [state for _, state in made]
    assert max(apart[warm:]) < HALF
    assert apart[warm // 2] > HALF  # nor is it much too long


def test_what_carries_nothing_needs_no_frames_before():
    assert warmup_frames(network_of(no_state=True)) == 0


def write_pairs(folder, frames):
    """Pairs of frames, by number, whose targets are these enlarged."""
    for side, factor in (("Alpha", (1, 1)), ("Beta", (Fraction(9, 4), 2))):
        (folder / side).mkdir()
        for number, frame in frames.items():
            height, width = (int(n * f) for n, f in zip((36, 48), factor, strict=True))
            rows, columns = np.arange(height) * 36 // height, np.arange(width) * 48 // width
            codes = np.round(frame[rows][:, columns] * 1023).astype(np.uint16)
            fastup.write(folder / side / f"{number:03d}.dpx", codes, Header.new(width, height))


def test_an_evaluation_has_the_shots_of_the_pairs_as_a_validation_has(upscaler, reel, tmp_path):
    """Of frames that numbers tell apart, though no picture does."""
    held = reel[0][reel[1][1] : reel[1][1] + 8]
    write_pairs(tmp_path, {100 + n + 96 * (n > 3): frame for n, frame in enumerate(held)})
    what = prepare([upscaler], tmp_path)
    (scores,) = score_all(what)
    told, found = (
        [psnr(ours, target) for _, ours, _, target in compare(upscaler, what.pairs, cuts=cuts)]
        for cuts in ([0, 4], None)
    )
    np.testing.assert_allclose([score.psnr for score in scores], told, rtol=0, atol=1e-4)
    assert abs(told[4] - found[4]) > 0.01


def test_parts_of_an_evaluation_are_whole_shots(files, reel, tmp_path):
    """Of a cluster that makes them in any order."""
    frames, cuts = reel
    write_pairs(tmp_path, {number: frames[number] for number in range(cuts[1] - 8, cuts[1] + 8)})
    what = prepare([files["openvino"]], tmp_path)

    class Backwards:
        def run(self, job, on_progress):
            assert [(unit[0], unit[-1]) for unit in job.units] == [(0, 7), (8, 15)]
            for unit in job.units[::-1]:
                function, *arguments = pickle.loads(pickle.dumps(job.part(unit)))
                found = function(*arguments, lambda *now: None)
                assert (found["failed"], found["made"]) == (None, len(unit))
                job.take(found)
                assert job.is_made(unit)
            return Outcome()

    (scores,) = scoring.score_all(what, Backwards())
    assert [scores] == score_all(what)
    assert [n for n, score in enumerate(scores) if score.flicker is None] == [0, 8]
