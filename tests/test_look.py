"""What there is to look at: pillars put back on, means of flips and turns, differences to the true frames."""

import json
import os
from fractions import Fraction

import keras
import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenImageIO import ImageBuf

import fastup
from fastup import Header
from fastup.cli.upscale import bottleneck
from fastup.errors import DataError, OptionError
from fastup.footage.stages import Stages
from fastup.networks.models import Network
from fastup.trim import Trim
from fastup.upscale import film
from fastup.upscale.difference import Twins, differences, over_all, refuse
from fastup.upscale.ensemble import Ensemble
from fastup.upscale.pillars import Pillars
from fastup.upscale.upscaler import Upscaler

SETTINGS = {
    "model": "compact", "features": 4, "depth": 1, "scale": [[9, 4], [2, 1]], "border": [0, 0],
    "trim": [0, 0, 0, 0], "input_trim": [0, 0, 0, 0], "black_level": "edge",
    "input_white": 1023, "target_white": 1023, "pixel_aspect": [1, 1],
    "transfer": None, "colorimetric": None,
}  # fmt: skip
TURNED = ((2, 2), (2, 1), (Fraction(3, 2), Fraction(3, 2)), (Fraction(9, 4), 2))


def _network(scale=(Fraction(9, 4), Fraction(2)), noise=0.1):
    keras.utils.set_random_seed(3)
    pairs = [list(Fraction(each).as_integer_ratio()) for each in scale]
    network = Network({**SETTINGS, "scale": pairs})
    if noise:
        rng = np.random.default_rng(3)
        network.set_weights([w + noise * rng.normal(size=w.shape).astype(np.float32) for w in network.get_weights()])
    return network


# -- means of flips and turns ----------------------------------------------------------------------------------------


def _lopsided(picture, axes=(0, 1)):
    """Knows up from down, and left from right: twice the rows and columns, of running sums."""
    return np.repeat(np.repeat(picture.cumsum(axes[0]) + 3 * picture.cumsum(axes[1]), 2, axes[0]), 2, axes[1])


@pytest.mark.parametrize("scale", [(Fraction(2), Fraction(2)), (Fraction(9, 4), Fraction(2))])
@pytest.mark.parametrize("planes", [False, True])
def test_the_mean_is_that_of_all_views(scale, planes):
    picture = np.random.default_rng(0).random((4, 6, 3)).astype(np.float32)
    seen = []

    def make(given):
        assert given.flags.c_contiguous
        assert given.dtype == np.float32
        seen.append(given.shape)
        return _lopsided(given, (1, 2) if planes else (0, 1)).astype(np.float32)

    views = []
    for turns in range(4):
        for flip in (False, True):
            if scale[0] == scale[1] or turns % 2 == 0:
                view = np.rot90(np.fliplr(picture) if flip else picture, turns)
                back = np.rot90(_lopsided(view.astype(np.float64)), -turns)
                views.append(np.fliplr(back) if flip else back)
    ensemble = Ensemble(make, scale, planes)
    result = ensemble(np.ascontiguousarray(np.moveaxis(picture, 2, 0)) if planes else picture)
    result = np.moveaxis(result, 0, 2) if planes else result
    assert len(views) == len(seen) == ensemble.views == (8 if scale[0] == scale[1] else 4)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, np.mean(views, axis=0), rtol=2e-6)


@pytest.mark.parametrize("scale", TURNED)
def test_to_bicubic_alone_it_makes_no_difference(scale):
    """It treats all directions alike."""
    network = _network(scale, noise=0)
    picture = np.random.default_rng(1).random((12, 20, 3)).astype(np.float32)
    plain, mean = Upscaler(network)(picture), Upscaler(network, self_ensemble=True)(picture)
    np.testing.assert_allclose(mean, plain, atol=1e-6)
    np.testing.assert_allclose(mean, np.clip(naive.bicubic(picture, *map(float, scale)), 0, 1), atol=2e-6)


def test_an_ensemble_of_a_network_is_the_same_whichever_way_the_picture_lies():
    picture = np.random.default_rng(2).random((12, 8, 3)).astype(np.float32)
    for scale, turn in (((2, 2), np.rot90), ((Fraction(9, 4), 2), np.flipud)):
        upscaler = Upscaler(_network(scale), self_ensemble=True)
        straight, turned = upscaler(picture), upscaler(np.ascontiguousarray(turn(picture)))
        np.testing.assert_allclose(turned, turn(straight), atol=1e-6)
        assert np.abs(straight - Upscaler(upscaler.model.network)(picture)).max() > 1e-3


@pytest.mark.parametrize("engine", ["keras", "openvino", "onnxruntime"])
def test_every_engine_and_strips_give_the_same_mean(engine):
    pytest.importorskip(engine)
    network, picture = _network(noise=0.02), np.random.default_rng(7).random((64, 20, 3)).astype(np.float32) / 4 + 0.4
    plain, told = Upscaler(network), []
    flips = [(), (0,), (1,), (0, 1)]
    views = [np.flip(plain(np.ascontiguousarray(np.flip(picture, axes))), axes) for axes in flips]
    assert 0 < np.min(views) < np.max(views) < 1  # nothing was clipped
    in_strips = Upscaler(network, engine, self_ensemble=True, memory=1, on_note=told.append)
    assert in_strips.views == 4
    np.testing.assert_allclose(in_strips(picture), np.mean(views, axis=0), atol=0.1 / 1023)
    assert "strips" in " ".join(told)


def test_codes_are_rounded_once():
    upscaler = Upscaler(_network(), self_ensemble=True)
    codes = np.random.default_rng(4).integers(0, 1024, (8, 6, 3), np.uint16)
    floats = upscaler(codes / np.float32(1023))
    np.testing.assert_array_equal(upscaler(codes), np.floor(floats.astype(np.float64) * 1023 + 0.5))


def test_running_out_of_memory_is_not_hidden():
    def make(picture):
        raise MemoryError

    with pytest.raises(MemoryError):
        Ensemble(make, (Fraction(2), Fraction(2)))(np.zeros((2, 2, 3), np.float32))


# -- pillars ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "trim", "expected"),
    [
        ((1080, 1920), (0, 0, 0, 0), (240, 240, 0, 0)),
        ((1080, 1920), (238, 242, 0, 0), (238, 242, 0, 0)),  # as the targets had it
        ((1080, 1920), (238, 241, 0, 0), (240, 240, 0, 0)),  # they were of another size
        ((1100, 1920), (238, 242, 5, 5), (238, 242, 10, 10)),  # each axis by itself
        ((1100, 1500), (238, 242, 20, 0), (30, 30, 20, 0)),
        ((1083, 1441), (0, 0, 0, 0), (0, 1, 1, 2)),  # what is odd lies to the right, and below
        ((1080, 1440), (240, 240, 0, 0), (0, 0, 0, 0)),
    ],
)
def test_where_the_picture_lies(size, trim, expected):
    assert Pillars(size, Trim(*trim)).around((1080, 1440)) == expected


@pytest.mark.parametrize("size", [(1080, 1439), (1079, 1920)])
def test_frames_that_are_too_small(size):
    with pytest.raises(OptionError, match=f"pad is {size[1]}x{size[0]}, expected at least 1440x1080"):
        Pillars(size, Trim()).around((1080, 1440))


@given(
    st.tuples(*[st.integers(1, 9)] * 2), st.tuples(*[st.integers(0, 9)] * 2), st.tuples(*[st.integers(0, 4)] * 4),
)  # fmt: skip
def test_every_pixel_is_the_picture_s_or_black(picture, more, trim):
    size = picture[0] + more[0], picture[1] + more[1]
    pillars = Pillars(size, Trim(*trim), 0.0)
    values = np.arange(1, 1 + 3 * picture[0] * picture[1], dtype=np.uint16).reshape(*picture, 3)
    frame = pillars(values, Header.new(*picture[::-1]))
    assert frame.shape == (*size, 3)
    around = pillars.around(picture)
    np.testing.assert_array_equal(around.crop(frame), values)
    assert np.count_nonzero(frame) == values.size
    for sides, own in ((around[:2], trim[:2]), (around[2:], trim[2:])):
        assert sides == own or 0 <= sides[1] - sides[0] <= 1


def _header(bits=10, **values):
    return Header.new(6, 4, bits=bits, **values)


@pytest.mark.parametrize(
    ("black_level", "input_white", "header", "code"),
    [
        (64, 1023, _header(low_code=3), 64),
        (16, 255, _header(), 64),  # 64.19
        (64, 1023, _header(bits=16), 4100),  # 4099.94
        (0, 1023, _header(low_code=64), 0),
        ("edge", 1023, _header(low_code=64), 64),
        ("edge", 1023, _header(low_code=95), 95),
        ("edge", 1023, _header(low_code=None), 0),
        ("edge", 1023, _header(low_code=5000), 0),  # is none
        (1, None, _header(), 1023),  # of floats, 1 is white
    ],
)
def test_the_code_of_black(black_level, input_white, header, code):
    settings = {**SETTINGS, "black_level": black_level, "input_white": input_white, "trim": [1, 2, 3, 4]}
    pillars = Pillars.of((8, 10), settings)
    assert pillars.trim == (1, 2, 3, 4)
    assert pillars.code(header) == code


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_a_picture_in_its_frame(dtype):
    picture = np.random.default_rng(5).integers(0, 1024, (4, 6, 3), np.uint16)
    header = _header(low_code=64, pixel_aspect=Fraction(8, 9), timecode="01:02:03:04")
    expected = np.full((7, 9, 3), 64, np.uint16)
    expected[1:5, 1:7] = picture
    given, white = (picture, 1) if dtype == "uint16" else (picture / np.float32(1023), np.float32(1023))
    pillars = Pillars((7, 9), Trim())
    frame = pillars(given, header)
    assert frame.dtype == dtype
    np.testing.assert_array_equal(frame, expected / white if dtype == "float32" else expected)
    whole = pillars.header(header)
    assert (whole.width, whole.height, whole.pixel_aspect, whole.timecode) == (9, 7, Fraction(8, 9), "01:02:03:04")
    assert whole.raw == header.replace(width=9, height=7).raw


# -- differences to the true frames ----------------------------------------------------------------------------------


def _write(path, codes, bits=10):
    path.parent.mkdir(parents=True, exist_ok=True)
    fastup.write(path, codes, Header.new(codes.shape[1], codes.shape[0], bits=bits))
    return path


@pytest.fixture
def compared(tmp_path):
    """Two frames, and twins that are off by what is known: of 10 bits, and of 16 with pillars."""
    rng = np.random.default_rng(6)
    ours = [rng.integers(0, 1024, (5, 7, 3), np.uint16) for _ in range(2)]
    made = [_write(tmp_path / "out" / f"f{n}.dpx", codes) for n, codes in enumerate(ours)]
    theirs = rng.integers(0, 1024, (5, 7, 3), np.uint16)
    theirs[..., 2] = ours[0][..., 2]
    _write(tmp_path / "hd" / "f0.dpx", theirs)
    wide = rng.integers(0, 65536, (5, 10, 3), np.uint16)
    _write(tmp_path / "hd" / "f1.tif", wide, 16)
    exact = [np.abs(ours[0] - np.float64(theirs)), np.abs(ours[1] - wide[:, 1:8] / 65535 * 1023)]
    return made, Twins(tmp_path / "hd", Trim(1, 2, 0, 0)), exact


def test_differences_in_codes(compared, tmp_path):
    made, twins, exact = compared
    heard = []
    twins.check(dict.fromkeys(made, (5, 7)))
    found, faults = differences(made, twins, tmp_path / "diff", lambda *told: heard.append(told))
    assert faults == []
    assert heard == [(1, 2, "comparing"), (2, 2, "comparing")]
    assert [each.frame for each in found] == ["f0", "f1"]
    assert found[0].largest == tuple(exact[0].max(axis=(0, 1)))  # whole numbers, exactly
    assert found[0].largest[2] == found[0].mean[2] == 0
    for each, values in zip(found, exact, strict=True):
        np.testing.assert_allclose(each.largest, values.max(axis=(0, 1)), atol=1e-3)
        np.testing.assert_allclose(each.mean, values.mean(axis=(0, 1)), atol=1e-3)
    whole = over_all(found)
    np.testing.assert_allclose(whole.largest, np.max([values.max(axis=(0, 1)) for values in exact], axis=0), atol=1e-3)
    np.testing.assert_allclose(whole.mean, np.mean([values.mean(axis=(0, 1)) for values in exact], axis=0), atol=1e-3)


def test_pictures_of_differences(compared, tmp_path):
    made, twins, exact = compared
    differences(made, twins, tmp_path / "diff")
    for name, values in zip(("f0.png", "f1.png"), exact, strict=True):
        for kind, white in (("absolute", 1023), ("normalised", values.max())):
            picture = fastup.read(tmp_path / "diff" / kind / name)
            assert fastup.read_header(tmp_path / "diff" / kind / name).bits == 16
            np.testing.assert_allclose(picture, values / white * 65535, atol=0.6)
        assert picture.max() == 65535


def test_frames_that_are_as_they_should_be_differ_by_black(tmp_path):
    made = _write(tmp_path / "out" / "f.dpx", np.full((2, 3, 3), 500, np.uint16))
    _write(tmp_path / "hd" / "f.dpx", np.full((2, 3, 3), 500, np.uint16))
    (found,), _ = differences([made], Twins(tmp_path / "hd", Trim()), tmp_path / "diff")
    assert found.largest == found.mean == (0, 0, 0)
    for kind in ("absolute", "normalised"):
        assert not fastup.read(tmp_path / "diff" / kind / "f.png").any()


def test_what_cannot_be_compared_is_a_line_each(tmp_path):
    hd = tmp_path / "hd"
    _write(hd / "size.dpx", np.zeros((4, 4, 3), np.uint16))
    _write(hd / "twice.dpx", np.zeros((5, 7, 3), np.uint16))
    _write(hd / "twice.png", np.zeros((5, 7, 3), np.uint16))
    fastup.write(hd / "grey.dpx", np.zeros((5, 7, 1), np.uint16))
    fastup.write(hd / "chroma.dpx", np.zeros((5, 7, 3), np.uint16), Header.new(7, 5, descriptor="CBYCR"))
    (hd / "damaged.dpx").write_bytes(b"SDPX")
    _write(hd / "fits.dpx", np.zeros((5, 7, 3), np.uint16))
    _write(hd / "larger.dpx", np.zeros((5, 10, 3), np.uint16))
    names = "missing", "size", "twice", "grey", "chroma", "damaged", "fits", "larger"
    made = {tmp_path / "out" / f"{name}.dpx": (5, 7) for name in names}
    with pytest.raises(DataError) as caught:
        Twins(hd, Trim(1, 2, 0, 0)).check(made)
    title, *lines = str(caught.value).split("\n  ")
    assert title == f"6 problems in {hd}:"
    assert lines[:4] == [
        f"{hd}: no frame of the stem missing, expected one",
        f"{hd / 'size.dpx'}: 4x4, expected 7x5, or 10x5 with the model's trim, as the upscaled frame",
        f"{hd}: 2 frames of the stem twice, expected one",
        f"{hd / 'grey.dpx'}: luma, expected RGB",
    ]
    assert all(word in line for word, line in zip(("chroma.dpx", "damaged.dpx"), lines[4:], strict=True))
    with pytest.raises(DataError, match=r"^[^\n]*size\.dpx: 4x4, expected 7x5, as the"):
        Twins(hd, Trim()).check({tmp_path / "size.dpx": (5, 7)})
    with pytest.raises(DataError, match="and 3 more"):
        Twins(hd, Trim()).check({tmp_path / f"{n}.dpx": (5, 7) for n in range(43)})


def test_nan_and_damage_that_reading_finds_are_a_line_each_and_the_others_compared(compared, tmp_path):
    made, twins, _ = compared
    made = [*made, *(_write(tmp_path / "out" / f"{name}.dpx", np.zeros((5, 7, 3), np.uint16)) for name in "xy")]
    assert ImageBuf(np.full((5, 7, 3), np.nan, np.float32)).write(str(tmp_path / "hd" / "x.exr"))
    (tmp_path / "hd" / "y.dpx").write_bytes((tmp_path / "out" / "y.dpx").read_bytes())
    twins = Twins(twins.folder, twins.trim)
    twins.check(dict.fromkeys(made, (5, 7)))
    made[3].unlink()
    found, faults = differences(made, twins, tmp_path / "diff")
    assert [each.frame for each in found] == ["f0", "f1"]
    assert faults == [
        f"{tmp_path / 'hd' / 'x.exr'}: holds NaN or infinity, expected finite numbers",
        f"{made[3]}: No such file or directory",
    ]
    with pytest.raises(DataError, match="2 problems in the frames"):
        refuse(faults, "the frames")
    refuse([], "the frames")


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def upscale(run, trained, small, tmp_path):
    """Run `fastup upscale` on the three evaluation frames, with Keras."""

    def call(*options, output="out"):
        place = output if output == "-" else tmp_path / output
        return run(
            "upscale", trained / "best.keras", small / "evaluation" / "Alpha", place, "--engine", "keras", *options
        )

    return call


def test_all_of_it_at_once(upscale, small, trained, tmp_path):
    truth = small / "evaluation" / "Beta"
    upscaler = Upscaler(trained / "best.keras", "keras", self_ensemble=True)
    black = upscaler.header(fastup.read_header(fastup.find(small / "evaluation" / "Alpha")[0])).low_code
    code, out, err = upscale("--test", "--pad", "400x280", "--self-ensemble", "--json")
    assert (code, err) == (0, "")
    report = json.loads(out)
    assert (report["frames"], report["skipped"], report["differences"]) == (3, 0, None)
    assert report["engine"] == {"name": upscaler.engine.words, "why": "as asked", "times_a_frame": 4}
    assert upscaler.engine_words.endswith(": as asked; 4 times a frame, the mean of its flips")
    assert 0 < report["engine_busy"] <= 1
    assert report["notes"] == [f"pad 400x280: 20, 20, 5, 5 pixels (left, right, top, bottom) of black, code {black}"]
    stages = {"total", "reading", "engine", "writing", "waiting_for_reading", "waiting_for_writing"}
    assert report["seconds"].keys() == stages
    assert all(0 <= value <= report["seconds"]["total"] for value in report["seconds"].values())
    assert report["frames_per_second"] == pytest.approx(3 / report["seconds"]["total"])
    for path in fastup.find(small / "evaluation" / "Alpha"):
        made, header = fastup.read(tmp_path / "out" / path.name), fastup.read_header(tmp_path / "out" / path.name)
        np.testing.assert_array_equal(made[5:-5, 20:-20], upscaler(fastup.read(path)))
        assert (made.shape, header.width, header.height) == ((280, 400, 3), 400, 280)
        assert header.pixel_aspect == fastup.read_header(truth / path.name).pixel_aspect
        assert header.low_code == black
        assert (made[:5] == black).all()
        assert (made[:, -20:] == black).all()


def test_a_model_in_the_place_of_the_input(run, trained, small):
    code, _, err = run("upscale", small / "evaluation" / "Alpha", trained / "best.keras", "out")
    assert (code, "a model by its name, which comes first: MODEL INPUT OUTPUT" in err) == (2, True)


def test_the_test_is_three_of_many_and_then_skipped(upscale, small, tmp_path, run, trained):
    source = tmp_path / "in"
    source.mkdir()
    frame = fastup.find(small / "evaluation" / "Alpha")[0]
    for number in range(6):
        (source / f"f{number}.dpx").symlink_to(frame)
    command = "upscale", trained / "best.keras", source, tmp_path / "out", "--engine", "keras"
    code, out, _ = run(*command, "--test", "--start", "1")
    assert (code, "3 frames upscaled" in out) == (0, True)
    assert sorted(os.listdir(tmp_path / "out")) == ["f1.dpx", "f3.dpx", "f5.dpx"]
    code, out, _ = run(*command, "--json")
    assert (json.loads(out)["frames"], json.loads(out)["skipped"]) == (3, 3)


def test_a_video_that_has_fewer_frames_than_it_says(run, trained, tape, tmp_path, monkeypatch):
    pytest.importorskip("av")

    def longer(*arguments, **options):
        source = really(*arguments, **options)
        source.frame_count = 25
        return source

    really = film.opened
    monkeypatch.setattr(film, "opened", longer)
    command = (
        "upscale",
        trained / "best.keras",
        tape,
        tmp_path / "out",
        "--engine",
        "keras",
        "--test",
        "--json",
        "--lines",
        "28",
    )
    code, out, err = run(*command)
    assert code == 0, err
    report = json.loads(out)
    assert report["frames"] == 2
    assert f"{tape} has fewer frames than it says: there is no frame 24" in report["notes"]


def test_differences_are_shown_and_told(upscale, small, tmp_path):
    truth = small / "evaluation" / "Beta"
    code, out, err = upscale("--diff", truth)
    assert (code, err) == (0, "")
    for word in ("largest R", "mean B", "codes of 10 bits", "all", "3 frames upscaled"):
        assert word in out
    code, again, _ = upscale("--diff", truth, "--json")  # of frames that are there already
    report = json.loads(again)
    assert (code, report["frames"], report["skipped"]) == (0, 0, 3)
    assert report["differences"]["unit"] == "10-bit codes"
    for each in report["differences"]["frames"]:
        made, true = (fastup.read(folder / f"{each['frame']}.dpx") for folder in (tmp_path / "out", truth))
        difference = np.abs(np.float64(made) - true)
        assert each["largest"] == difference.max(axis=(0, 1)).tolist()
        np.testing.assert_allclose(each["mean"], difference.mean(axis=(0, 1)), rtol=1e-9)
        assert f"{each['mean'][0]:.3f}" in out
        for kind, white in (("absolute", 1023), ("normalised", difference.max())):
            picture = fastup.read(tmp_path / "out" / "diff" / kind / f"{each['frame']}.png")
            np.testing.assert_allclose(picture, difference / white * 65535, atol=0.6)
    assert (
        report["differences"]["all"]["largest"]
        == np.max([each["largest"] for each in report["differences"]["frames"]], axis=0).tolist()
    )


def test_a_frame_made_in_another_way_is_told(upscale, small, tmp_path):
    """One that is there already, with pillars, where now none are asked for."""
    assert upscale()[0] == 0
    middle = fastup.find(tmp_path / "out")[1]
    fastup.write(middle, np.zeros((280, 400, 3), np.uint16))
    code, out, err = upscale("--diff", small / "evaluation" / "Beta")
    assert (code, "there already" in out) == (1, True)
    assert f"{middle}: 400x280, expected 360x270" in err
    code, _, err = upscale("--pad", "400x280")
    assert (code, "360x270 is there already, but would be 400x280" in err) == (1, True)


@pytest.mark.parametrize(
    ("options", "output", "code", "words"),
    [
        (["--test"], "film.mov", 2, "test makes three frames to look at, but"),
        (["--diff", "{truth}"], "film.mov", 2, "diff writes pictures beside frames"),
        (["--pad", "359x270"], "out", 2, "pad is 359x270, expected at least 360x270"),
        (["--pad", "1920x"], "out", 2, "pad is '1920x', expected WIDTHxHEIGHT"),
        (["--pad", "full"], "out", 2, "pad is 'full', expected WIDTHxHEIGHT"),
        (["--diff", "{nothing}"], "out", 1, "no frames here"),
        (["--diff", "{truth}", "--pad", "400x280"], "out", 1, "3 problems in"),
    ],
)
def test_what_cannot_be(upscale, small, tmp_path, options, output, code, words):
    """Is told before any frame is made."""
    if output.endswith(".mov"):
        pytest.importorskip("av")
    (tmp_path / "nothing").mkdir()
    places = {"truth": small / "evaluation" / "Beta", "nothing": tmp_path / "nothing"}
    rate = ["--rate", "24"] if output.endswith(".mov") else []
    found, _, err = upscale(*(option.format(**places) for option in options), *rate, output=output)
    assert (found, words in err) == (code, True), err
    assert not (tmp_path / output).exists()


def test_what_the_engine_waited_for():
    stages = Stages()
    for waits, said in (
        ({"engine": 9, "waiting for reading": 1}, None),
        (
            {"engine": 7, "waiting for reading": 1, "waiting for writing": 2},
            "busy 70% of the time; it waited for writing",
        ),
        ({"engine": 5, "waiting for reading": 4}, "busy 50% of the time; it waited for reading"),
        ({}, None),  # nothing was made
    ):
        stages.seconds.clear()
        stages.seconds.update(waits)
        assert bottleneck(stages, 10) == (said and f"the engine was {said}")
