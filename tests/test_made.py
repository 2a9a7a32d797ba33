"""Targets without inputs: how they are found, and the inputs that are made of whole frames."""

import re
from fractions import Fraction

import naive
import numpy as np
import pytest
from framesets import write_frame, write_other

from fastup import frames
from fastup.errors import DataError, OptionError
from fastup.footage.degrade import twin
from fastup.footage.recipe import Recipe
from fastup.pairs.folder import find_pairs, find_sets
from fastup.pairs.made import made_inputs
from fastup.pairs.transcode import transcode

SCALE = Fraction(9, 4), Fraction(2)
RECIPE = Recipe.parse("tape,softness=0.3:0.8")
pytestmark = pytest.mark.usefixtures("settled")


@pytest.fixture
def targets(tmp_path):
    """Frames of three sizes and whites, one in a folder of its own, of which none is whole cells."""
    folder = tmp_path / "set"
    write_frame(folder / "Beta" / "f1.dpx", (46, 33), 1)
    write_frame(folder / "Beta" / "reel" / "f1.dpx", (29, 50), 2)
    write_other(folder / "Beta" / "f2.png", (40, 33), "uint8", 3)
    write_other(folder / "Beta" / "f3.exr", (27, 24), "float", 4)
    return folder


def found(folder, **options):
    return find_pairs(folder, scale=SCALE, **options)


def test_pictures_are_cropped_to_whole_cells(targets):
    pairs = found(targets, trim=(1, 0, 2, 0))
    assert pairs.made
    assert pairs.inputs == pairs.targets
    assert pairs.geometry.scale == SCALE
    by_name = {pairs.name(number): pairs.kind(number) for number in range(len(pairs))}
    assert list(by_name) == ["f1", "f2", "f3", "reel/f1"]
    assert by_name["f1"].geometry.target_picture == (36, 32)
    assert by_name["f1"].geometry.input_picture == (16, 16)
    assert by_name["f1"].trim == (1, 0, 2, 8)
    assert by_name["reel/f1"].geometry.target_picture == (27, 48)
    assert by_name["reel/f1"].trim == (1, 1, 2, 0)
    assert by_name["reel/f1"].geometry.input_picture == (12, 24)
    whites = [(kind.input_white, kind.target_white) for kind in by_name.values()]
    assert whites == [(1023, 1023), (255, 255), (1023, None), (1023, 1023)]


def test_a_set_with_inputs_has_those(tmp_path, targets):
    write_frame(tmp_path / "pairs" / "Alpha" / "a.dpx", (16, 12))
    write_frame(tmp_path / "pairs" / "Beta" / "a.dpx", (36, 24))
    alone, pairs = find_sets([targets, tmp_path / "pairs"], scale=SCALE)
    assert (alone.made, pairs.made) == (True, False)
    assert pairs.inputs != pairs.targets
    assert made_inputs(pairs, RECIPE, tmp_path / "cache") is pairs
    assert not (tmp_path / "cache").exists()


def test_what_cannot_be_is_named(tmp_path, targets):
    write_frame(targets / "Beta" / "small.dpx", (8, 40))
    with pytest.raises(DataError, match=r"small.dpx: the picture is 40x8, expected one cell of 9/4 x 2 or more"):
        found(targets)
    with pytest.raises(
        DataError, match=r"no folder Alpha here, expected .*; `fastup train --degrade` makes inputs, as"
    ):
        find_pairs(targets)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no folder Beta here, expected"):
        find_pairs(tmp_path / "empty", scale=SCALE)


def test_inputs_are_what_degrade_makes_and_are_made_once(targets, tmp_path, reads):
    pairs = found(targets, trim=(1, 0, 2, 0))
    seen = []
    made = made_inputs(pairs, RECIPE, tmp_path / "cache", lambda *progress: seen.append(progress))
    assert seen[-1] == (4, 4, "making inputs")
    assert not made.made
    assert made.geometry.scale == SCALE
    assert made.targets == pairs.targets
    for number in range(4):
        kind, name = pairs.kind(number), pairs.name(number)
        frame = kind.trim.crop(frames.read(pairs.targets[number], "float32"))
        expected = np.clip(twin(frame, kind.geometry.input_picture, RECIPE, name), 0, 1) * kind.input_white
        codes = frames.read(made.inputs[number])
        assert np.abs(codes - expected).max() <= 0.501
        assert frames.read_header(made.inputs[number]).white == kind.input_white == made.kind(number).input_white
        assert made.kind(number).geometry.target_picture == kind.geometry.target_picture
    reads()
    again = made_inputs(pairs, RECIPE, tmp_path / "cache")
    assert again == made
    assert reads() == []
    made.inputs[0].write_bytes(b"gone bad")
    write_frame(targets / "Beta" / "reel" / "f1.dpx", (29, 50), 7)
    before = made.inputs[1].read_bytes()
    made_inputs(pairs, RECIPE, tmp_path / "cache")
    assert reads() == ["f1.dpx", "f1.dpx"]
    assert made.inputs[1].read_bytes() == before
    other = made_inputs(pairs, Recipe.parse("downscale"), tmp_path / "cache")
    assert set(other.inputs).isdisjoint(made.inputs)


def test_a_folder_of_pictures_is_a_set_of_targets(targets, tmp_path):
    """Those in it, not what is in its folders; as in Beta."""
    expected, alone = found(targets), found(targets / "Beta")
    assert [alone.name(number) for number in range(len(alone))] == ["f1", "f2", "f3"]
    assert set(alone.kinds) < set(expected.kinds)
    made, others = (made_inputs(pairs.only(range(2)), RECIPE, tmp_path / "cache") for pairs in (alone, expected))
    assert len(set(made.inputs + others.inputs)) == 4
    for ours, theirs in zip(made.inputs, others.inputs, strict=True):
        np.testing.assert_array_equal(frames.read(ours), frames.read(theirs))
    copies = transcode(alone, tmp_path / "cache")
    assert [path.suffix for path in copies.targets] == [".dpx"] * 3
    write_frame(targets / "Beta" / "small.dpx", (8, 40))
    with pytest.raises(DataError, match=r"Beta/small.dpx: the picture is 40x8, expected one cell"):
        found(targets / "Beta")
    with pytest.raises(DataError, match=r"no folder Alpha here, .* makes inputs, as does `fastup evaluate"):
        find_pairs(targets / "Beta")


def test_inputs_by_matlab_are_exact(tmp_path):
    """A set of 8-bit pictures of any sizes, cut to whole cells; and a frame of 10 bits, rounded to 8 first."""
    folder, recipe = tmp_path / "set", Recipe.parse("matlab")
    write_other(folder / "Beta" / "a.png", (41, 32), "uint8", 3)
    write_other(folder / "Beta" / "b.png", (30, 25), "uint8", 4)
    write_frame(folder / "Beta" / "c.dpx", (24, 26), 5)
    made = made_inputs(find_pairs(folder, scale=(Fraction(2),) * 2), recipe, tmp_path / "cache")
    for number, size in enumerate(((20, 16), (15, 12), (12, 13))):
        target = frames.read(made.targets[number])[: 2 * size[0], : 2 * size[1]]
        white = made.kind(number).input_white
        codes = naive.matlab(naive.codes(target / made.kind(number).target_white, 255), size)
        np.testing.assert_array_equal(frames.read(made.inputs[number]), naive.codes(codes / 255, white))


@pytest.mark.parametrize(
    ("text", "filter", "noise", "shown"),
    [
        ("matlab", "matlab", 0, "matlab"),
        ("filter=matlab", "matlab", 0, "matlab"),
        ("MATLAB,noise=0.01", "matlab", 0.01, "filter=matlab,noise=0.01"),
        ("matlab,filter=area", "area", 0, "filter=area"),
        ("tape,filter=matlab", "matlab", 0.006, "tape,filter=matlab"),
    ],
)
def test_the_word_matlab_is_a_filter(text, filter, noise, shown):
    recipe = Recipe.parse(text)
    assert (recipe.filter, recipe.tape["noise"]) == (filter, (noise, noise, 0))
    assert str(recipe) == shown
    assert Recipe.parse(shown) == recipe


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("softness=0:1@0.12", "softness=0:1@0.12"),
        ("noise=0.01@.5,clean=0.25", "noise=0.01@0.5,clean=0.25"),
        ("noise=0.01@0", "noise=0.01"),
        ("tape,clean=0.1", "tape,clean=0.1"),
        ("tape,noise=0.006@0.1", "softness=0.5,peaking=0.25,noise=0.006@0.1,chroma=1.4"),
        ("noise=0@0.5,clean=0.2", "downscale"),  # of nothing nothing is left out
    ],
)
def test_what_is_left_out_is_in_the_text(text, shown):
    recipe = Recipe.parse(text)
    assert str(recipe) == shown
    assert Recipe.parse(shown) == recipe


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("noise=0.01@1.5", "degrade: noise: found a chance of 1.5, expected 0 to 1"),
        ("noise=0.01@nan", "degrade: noise: found a chance of nan, expected 0 to 1"),
        ("noise=0.01@", "degrade: noise is '', expected a chance, 0 to 1"),
        ("noise=0.01@0.1@0.2", "degrade: noise is '0.1@0.2', expected a chance"),
        ("noise=@0.1", "degrade: noise is '@0.1', expected a number, or two: LOW:HIGH, and perhaps @ and"),
        ("tape,clean=-1", "degrade: clean: found a chance of -1, expected 0 to 1"),
        ("tape,clean=0.1,clean=0.2", "degrade: clean is given twice"),
    ],
)
def test_chances_that_are_none(text, words):
    with pytest.raises(OptionError, match=f"^{re.escape(words)}"):
        Recipe.parse(text)


def test_a_frame_that_holds_no_number_is_named(tmp_path):
    write_other(tmp_path / "set" / "Beta" / "f.exr", (36, 24), "float")  # it holds an infinity
    with pytest.raises(DataError, match=r"f\.exr: holds NaN or infinity"):
        made_inputs(found(tmp_path / "set"), RECIPE, tmp_path / "cache")
