"""Whether pairs fit: known shifts, gains and offsets are found again, and what says nothing raises no alarm."""

import json
import shutil

import numpy as np
import pytest
from framesets import write_several
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenImageIO import ImageBuf
from test_cli import fails

import fastup
from fastup import demo
from fastup._resample import resize
from fastup.cli import show
from fastup.errors import DataError
from fastup.footage.degrade import degrade
from fastup.footage.recipe import TAPE
from fastup.pairs.alignment import LIKENESS, Fit, alike, fit, fits, median
from fastup.pairs.folder import find_pairs
from fastup.train import fit as training

MARGIN = 72
TARGET = (270, 360)
INPUTS = {"9/4 x 2": (120, 180), "2 x 2": (135, 180), "1 x 1": (270, 360)}
SD = (480, 720)
VHS = {"softness": 0.6, "peaking": 1.0, "noise": 0.02, "chroma": 4.5}


@pytest.fixture(scope="module")
def large():
    """Drawn frames at four times the target's size, and a margin to move in."""
    size = 4 * TARGET[0] + 2 * MARGIN, 4 * TARGET[1] + 2 * MARGIN
    return list(demo.clip(shots=3, frames=1, size=size))


@pytest.fixture(scope="module")
def drawn():
    return list(demo.clip(shots=2, frames=1, size=(1080, 1440)))


def view(frame, down=0, right=0):
    """What a camera sees if the picture lies so many of its pixels further down and right."""
    height, width = frame.shape[:2]
    return frame[MARGIN - down : height - MARGIN - down, MARGIN - right : width - MARGIN - right]


def made(frame, size, down, right, **tape):
    """A target, and an input that lies off it by a known number of input pixels."""
    picture = view(frame, down, right)
    strengths = {"softness": 0, "peaking": 0, "noise": 0, "chroma": 0, **tape}
    scale = np.divide(size, picture.shape[:2])
    return degrade(picture, size, **strengths), resize(view(frame), TARGET, "area"), (down, right) * scale


# -- shift -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", INPUTS.values(), ids=INPUTS)
@pytest.mark.parametrize("tape", [{}, TAPE, VHS], ids=["clean", "tape", "vhs"])
@settings(max_examples=4, deadline=None)
@given(number=st.integers(0, 2), down=st.integers(-20, 20), right=st.integers(-20, 20))
def test_shifts_are_found_to_a_twentieth_of_a_pixel(large, size, tape, number, down, right):
    picture, target, shift = made(large[number], size, down, right, **tape)
    found = fit(picture, target)
    np.testing.assert_allclose(found.shift, shift, atol=0.05)
    if np.hypot(*shift) > 0.3:
        assert "shift" in found.off
    if np.hypot(*shift) < 0.2:
        assert "shift" not in found.off


@pytest.mark.parametrize(("down", "right"), [(1, 0), (0, 1), (-1, 0), (0, -1), (MARGIN, -MARGIN)])
def test_directions_and_large_shifts(large, down, right):
    """The input's picture lies down and right of the target's where the numbers are positive."""
    picture, target, shift = made(large[1], INPUTS["9/4 x 2"], down, right)
    np.testing.assert_allclose(fit(picture, target).shift, shift, atol=0.05)


def test_borders_that_stay_do_not_hold_the_shift(large):
    picture, target, shift = made(large[0], INPUTS["9/4 x 2"], 4, -4, **TAPE)
    for frame, edge in ((picture, 3), (target, 6)):
        frame[:, :edge] = frame[:, -edge:] = frame[:edge] = frame[-edge:] = 0
    np.testing.assert_allclose(fit(picture, target).shift, shift, atol=0.05)


@pytest.mark.parametrize("strengths", [{}, TAPE, VHS], ids=["clean", "tape", "vhs"])
def test_another_picture_is_not_like_it(large, strengths):
    for number in range(3):
        picture, _, _ = made(large[number], INPUTS["9/4 x 2"], 0, 0, **strengths)
        for other in range(3):
            found = fit(picture, resize(view(large[other]), TARGET))
            assert (found.likeness > 2 * LIKENESS) == (number == other)
            assert ("another picture" in found.off) == (number != other)


def test_what_noise_hides_is_seen_in_half_the_size(large):
    """A dark, hazy picture of a fade passed for another one: its edges are weaker than noise."""
    picture, target, _ = made(large[1], INPUTS["9/4 x 2"], 0, 0)
    other = resize(view(large[2]), TARGET)
    faint = 0.1 + 0.05 * picture + np.random.default_rng(3).normal(0, 0.01, picture.shape).astype(np.float32)
    found = fit(faint, 0.1 + 0.05 * target)
    assert found.off == ()
    np.testing.assert_allclose(found.shift, (0, 0), atol=0.1)
    assert fit(faint, 0.1 + 0.05 * other).off == ("another picture",)


# -- gain and offset -------------------------------------------------------------------------------------------------

level = st.tuples(st.floats(0.9, 1.1), st.floats(-0.03, 0.03))


@settings(max_examples=6, deadline=None)
@given(number=st.integers(0, 1), levels=st.tuples(level, level, level), down=st.sampled_from([0, 3]))
def test_gain_and_offset_are_found_behind_tape(drawn, number, levels, down):
    target = drawn[number]
    gain, offset = np.float32(levels).T
    picture = np.clip(np.roll(target, down, 0) * gain + offset, 0, 1)
    found = fit(degrade(picture, SD, **TAPE), target)
    np.testing.assert_allclose(found.gain, gain, atol=0.003)
    np.testing.assert_allclose(found.offset, offset, atol=0.003)


def test_halos_do_not_pass_for_gain(drawn):
    for target in drawn:
        found = fit(degrade(target, SD, softness=1.5, peaking=1.5, noise=0.01, chroma=4.5), target)
        assert found.off == ()
        np.testing.assert_allclose(found.gain, 1, atol=0.005)


def test_what_differs_in_a_corner_does_not_count(drawn):
    picture = degrade(drawn[1], SD, **TAPE)
    picture[:120, :180] = 0.9  # a logo
    found = fit(picture, drawn[1])
    assert found.off == ()
    assert None not in found.gain


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("seed", range(4))
def test_a_gain_stands_on_more_than_one_level(seed):
    """Where all but a corner is one colour, what the corner says is chance."""
    scattered = np.random.default_rng(seed).uniform(0.4, 0.9, (18, 24)).repeat(4, 0).repeat(4, 1)[..., None]
    target = np.full((240, 360, 3), 0.3, np.float32)
    target[:72, :96] = 0.7
    picture = target.copy()
    picture[:72, :96] = scattered
    assert fit(picture, target).gain == (None, None, None)
    assert fit(target, target).gain == pytest.approx((1, 1, 1))


def test_channels_that_changed_places_are_off(drawn):
    for target in drawn:
        off = fit(degrade(target, SD, **TAPE)[..., ::-1], target).off
        assert {"red gain", "blue gain"} & set(off)
        assert "green gain" not in off


# -- what says nothing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_flat_frames_say_nothing(level, noise):
    rng = np.random.default_rng(0)
    picture, target = (
        np.clip(level + noise * rng.standard_normal((*size, 3)), 0, 1).astype(np.float32)
        for size in ((120, 180), (270, 360))
    )
    for found in (fit(picture, target), fit(picture * np.float32(0.9), target)):
        assert found == Fit("")
        assert not found.judged
        assert found.off == ()
        assert found.badness == 0


@pytest.mark.parametrize("noise", [0.0, 0.006, 0.02])
@pytest.mark.parametrize("where", ["pillars", "letterbox", "diagonal"])
def test_edges_that_all_run_one_way_say_nothing(where, noise):
    """Along them, any shift is as good as another."""
    y, x = np.mgrid[:540, :720]
    black = {"pillars": abs(x - 360) > 270, "letterbox": abs(y - 270) > 200, "diagonal": x + y > 600}[where]
    target = np.where(black, 0.05, 0.7).astype(np.float32)[..., None].repeat(3, 2)
    found = fit(degrade(target, (240, 360), noise=noise), target)
    assert found == Fit("")


def test_a_picture_beside_a_black_frame_is_another_picture(drawn):
    picture = degrade(drawn[0], SD, **TAPE)
    assert fit(picture, np.zeros_like(drawn[0])).off == ("another picture",)
    assert fit(np.zeros_like(picture), drawn[0]).off == ("another picture",)


def test_a_negative_is_another_picture(drawn):
    assert fit(degrade(drawn[0], SD, **TAPE), 1 - drawn[0]).off == ("another picture",)


def test_two_colours_alone_say_where_they_are_and_no_more():
    """A title on black: its edges tell the shift; there is one flat colour, from which no gain follows."""
    target = np.zeros((270, 360, 3), np.float32)
    for left in (60, 97, 150, 203, 251):
        target[120:150, left : left + 7] = 0.8
    found = fit(degrade(target, (120, 180), **TAPE), target)
    assert found.shift == pytest.approx((0, 0), abs=0.05)
    assert found.gain == found.offset == (None, None, None)
    assert found.off == ()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 9), (13, 21)])
def test_tiny_pictures_are_no_error(size):
    target = np.random.default_rng(0).random((*size, 3), dtype=np.float32)
    assert fit(target, target).off == ()


# -- many pairs ------------------------------------------------------------------------------------------------------


def test_median_and_what_is_off_alike():
    fits = [Fit(str(k), 0.9, (1.0 + k / 100, 0.0), (1.05, 1.0, None), (0.0, 0.0, None)) for k in range(5)]
    fits += [Fit("flat"), Fit("other", 0.1)]
    assert median(fits).shift == pytest.approx((1.02, 0))
    assert median(fits).gain == (1.05, 1.0, None)
    assert alike(fits) == ("shift", "red gain")
    assert alike([Fit(str(k), 0.9, (float(k), 0.0)) for k in range(-2, 6)]) == ()  # each is off in a way of its own
    assert alike([]) == alike([Fit("flat")]) == ()
    assert median([Fit("flat")]) == Fit("median")


def test_badness_is_in_units_of_what_is_allowed():
    fitting = Fit("f", 0.9, (0.0, 0.0), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    assert fitting.badness == 0
    assert Fit("f", 0.9, (0.3, 0.4)).badness == pytest.approx(2)
    assert Fit("f", 0.9, (0.0, 0.0), (None, 0.97, 1.0), (None, 0.0, 0.0)).badness == pytest.approx(3)
    assert Fit("f", 0.9, (0.0, 0.0), (1.0, 1.0, 1.0), (0.0, 0.0, -0.04)).badness == pytest.approx(4)
    assert Fit("f", 0.1).badness == np.inf


def test_fits_reads_trims_and_counts(data):
    pairs = find_pairs(data / "train")
    counts = []
    whole = fits(pairs, lambda *n: counts.append(n))
    assert counts == [(n, 3, "fitting pairs") for n in (1, 2, 3)]
    assert [found.frame for found in whole] == [path.stem for path in pairs.inputs]
    assert not any(found.off for found in whole)
    off_by_trim = fits(find_pairs(pairs.folder, (0, 8, 0, 0), (0, 4, 0, 0)))
    assert not any(found.off for found in off_by_trim)
    off_by_trim = fits(find_pairs(pairs.folder, (0, 8, 0, 0), (4, 0, 0, 0)))
    for found in off_by_trim:
        assert found.shift == pytest.approx((0, -4), abs=0.05)


def test_nan_is_an_error_that_names_the_frame(tmp_path):
    for side, size in (("Alpha", (40, 60)), ("Beta", (80, 120))):
        (tmp_path / side).mkdir()
        frame = np.zeros((*size, 3), np.float32)
        frame[3, 4, 1] = np.nan if side == "Beta" else 1
        assert ImageBuf(frame).write(str(tmp_path / side / "f.exr"))
    pairs = find_pairs(tmp_path)
    with pytest.raises(DataError, match=r"Beta.f\.exr: holds NaN or infinity"):
        fits(pairs)


# -- fastup pairs ----------------------------------------------------------------------------------------------------


def test_pairs_of_several_kinds(run, tmp_path):
    """What is off is said kind by kind, and pairs have the names of their folders; sets lie where they are."""
    train = write_several(tmp_path / "a set", [(96, 120), (120, 96), (96, 120), (96, 120), (120, 96), (120, 96)])
    path = train / "Alpha" / "shot 1" / "f3.dpx"
    change(path, lambda frame: np.roll(frame, 1, axis=1))
    code, out, err = run("pairs", tmp_path / "data", "--training", train)
    assert (code, err) == (1, "")
    assert "2 sizes, the most of them 48x60 to 96x120, scale 2 x 2 (vertical, horizontal)" in out
    assert "shot 1/f3" in out
    rows = [line.split() for line in out.splitlines() if "0,0,0,0; 0,0,0,0" in line]
    assert [row[:6] + row[8:10] for row in rows] == [
        ["48x60", "to", "96x120", "255", "to", "255", "3", "0"],
        ["60x48", "to", "120x96", "255", "to", "255", "2", "0"],
        ["60x48", "to", "120x96", "1023", "to", "1023", "1", "1"],
    ]
    code, out, _ = run("pairs", tmp_path / "data", "--training", train, "--json")
    (row,) = json.loads(out)
    assert [(kind["pairs"], kind["input"], kind["target_white"]) for kind in row["kinds"]] == [
        (3, [48, 60], 255), (2, [60, 48], 255), (1, [60, 48], 1023),
    ]  # fmt: skip
    assert row["input"] == [48, 60]
    assert [fit["frame"] for fit in row["fits"] if fit["off"]] == ["shot 1/f3"]
    validation = tmp_path / "nowhere"
    fails(run("pairs", tmp_path, "--training", train, "--validation", validation), 1, f"{validation}: no such folder")


def change(path, function):
    frame = function(fastup.read(path, "float32"))
    fastup.write(path, frame, fastup.read_header(path))


def test_pairs_that_fit(run, small):
    code, out, err = run("pairs", small)
    assert (code, err) == (0, "")
    for words in ("train", "validation", "evaluation", "3, 0 off", "180x120 to 360x270, scale 9/4 x 2", "all are DPX"):
        assert words in out
    assert "likeness" not in out  # which heads the table of those that are off


def test_red_that_is_off_in_one_frame_is_listed_alone(run, tmp_path):
    demo.write_data(tmp_path, size=(540, 720), sd_size=(240, 360), train=2, validation=0, evaluation=0)
    for name in ("validation", "evaluation"):
        shutil.rmtree(tmp_path / name)
    first, second = sorted((tmp_path / "train" / "Alpha").iterdir())
    change(second, lambda frame: frame * np.float32([1.05, 1, 1]))
    code, out, err = run("pairs", tmp_path)
    assert (code, err) == (1, "")
    assert "2, 1 off" in out
    (line,) = (line for line in out.splitlines() if "red gain" in line)
    assert second.stem in line
    assert "1.05" in line
    assert first.stem not in out
    assert "off alike" not in out


def test_swapped_frames_are_listed_as_other_pictures(run, own):
    first, _, third = sorted((own / "train" / "Beta").iterdir())
    third.rename(own / "kept.dpx")
    first.rename(third)
    (own / "kept.dpx").rename(first)
    code, out, _ = run("pairs", own, "--json")
    assert code == 1
    train, validation = json.loads(out)
    assert [bool(fit["off"]) for fit in train["fits"]] == [True, False, True]
    assert {word for fit in train["fits"] for word in fit["off"]} <= {"another picture", "shift"}
    assert not any(fit["off"] for fit in validation["fits"])


def test_json_has_every_pair(run, small):
    code, out, err = run("pairs", small, "--json")
    assert (code, err) == (0, "")
    sets = json.loads(out)
    assert [(each["set"], each["pairs"]) for each in sets] == [("train", 3), ("validation", 1), ("evaluation", 3)]
    assert sets[0]["input"] == [180, 120]
    assert sets[0]["target"] == [360, 270]
    assert sets[0]["scale"] == ["9/4", "2"]
    assert sets[0]["to_transcode"] == 0
    assert sets[0]["off_alike"] == []
    for each in sets:
        assert len(each["fits"]) == each["pairs"]
        for found in each["fits"]:
            assert found["judged"]
            assert found["off"] == []
            assert found["shift"] == pytest.approx([0, 0], abs=0.05)


def test_pairs_that_are_off_alike_want_a_trim(run, own):
    for path in (own / "train" / "Alpha").iterdir():
        change(path, lambda frame: np.roll(frame, 2, 0))
    code, out, _ = run("pairs", own)
    assert code == 1
    assert "3, 3 off" in out
    assert "most pairs are off alike (shift): a missing or wrong trim, rather than bad pairs" in out
    assert out.count("off alike") == 1


def test_worst_first_and_how_many_more(run, own, monkeypatch):
    monkeypatch.setattr(show, "MOST_LISTED", 2)
    paths = sorted((own / "train" / "Alpha").iterdir())
    for path, down in zip(paths, (2, 5, 3), strict=True):
        change(path, lambda frame, down=down: np.roll(frame, down, 0))
    _, out, _ = run("pairs", own)
    table = out[out.index("likeness") :]
    assert table.index(paths[1].stem) < table.index(paths[2].stem)
    assert paths[0].stem not in table
    assert "and 1 more, less far off" in table


def test_flat_pairs_are_listed_as_not_judged(run, own):
    path = sorted((own / "train" / "Alpha").iterdir())[1]
    for each in (path, own / "train" / "Beta" / path.name):
        change(each, np.zeros_like)
    code, out, _ = run("pairs", own)
    assert code == 0
    assert f"1, too flat to tell: {path.stem}" in out
    _, out, _ = run("pairs", own, "--json")
    flat = json.loads(out)[0]["fits"][1]
    assert (flat["judged"], flat["shift"], flat["gain"]) == (False, None, [None, None, None])


def test_other_formats_are_read_as_they_are(run, own):
    for path in (own / "train" / "Beta").iterdir():
        fastup.write(path.with_suffix(".png"), fastup.read(path, "float32"))
        path.unlink()
    code, out, _ = run("pairs", own)
    assert code == 0
    assert "3 .png" in out
    assert not (own / "cache").exists()


def test_frames_that_training_sees_are_told(run, own, monkeypatch):
    path = sorted((own / "train" / "Alpha").iterdir())[1]
    for side in ("Alpha", "Beta"):
        shutil.copy(own / "train" / side / path.name, own / "validation" / side / "again.dpx")
    shutil.copytree(own / "validation", own / "evaluation")

    def told(name):
        start = f"note: 1 of the 2 pairs of {own / name} is in {own / 'train'} too, which says nothing"
        return start in out and f"the first: {own / name / 'Alpha' / 'again.dpx'} is {path}" in out

    code, out, err = run("pairs", own)
    assert (code, err) == (0, "")
    assert told("validation")
    assert told("evaluation")
    _, out, _ = run("pairs", own, "--json")
    found = [[[str(own / name / "Alpha" / "again.dpx"), str(path)]] for name in ("validation", "evaluation")]
    assert [each["in_train"] for each in json.loads(out)] == [[], *found]

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "fit", stop)
    code, out, _ = run("train", own)
    assert code == 1
    assert told("validation")


def test_trims_are_those_of_training(run, small):
    code, out, _ = run("pairs", small, "--trim", "8,0,0,0", "--input-trim", "0,4,0,0", "--json")
    assert code == 1
    for found in json.loads(out)[0]["fits"]:
        assert found["shift"] == pytest.approx([0, 4], abs=0.05)
    fails(run("pairs", small, "--trim", "400,0,0,0"), 2, "trim")
    fails(run("pairs", small, "--trim", "1,2"), 2, "trim is '1,2'")


def test_problems_of_all_sets_come_first(run, own):
    (gone,) = (own / "validation" / "Alpha").iterdir()
    gone.unlink()
    (other,) = list((own / "train" / "Alpha").iterdir())[:1]
    other.rename(other.with_name("other.dpx"))
    code, out, err = run("pairs", own)
    assert (code, out) == (1, "")
    assert "other" in err
    assert "validation" in err
    assert "Traceback" not in err


def test_train_is_needed(run, tmp_path):
    code, out, err = run("pairs", tmp_path)
    assert (code, out) == (1, "")
    assert "train" in err
