"""Targets that get the gain and offset of their inputs."""

import shutil
from fractions import Fraction

import numpy as np
import pytest

import fastup
from fastup.errors import DataError
from fastup.pairs.alignment import Fit, fits
from fastup.pairs.cache import clear_cache
from fastup.pairs.folder import find_pairs
from fastup.pairs.levels import levels, match_levels, put_on, silent_note

GAIN, OFFSET = (0.95, 1.05, 1.0), (0.01, 0.0, -0.01)


@pytest.fixture(scope="session")
def drawn(shared):
    """Three pairs of drawn frames, inputs at half the size; the colours of each are off in another way."""
    from fastup import demo
    from fastup._resample import resize

    def fill(folder):
        for number, target in enumerate(demo.clip(3, shots=3, frames=1, size=(360, 480))):
            gain, offset = (1 + (np.array(GAIN) - 1) * (1, -1, 0.5)[number]), np.array(OFFSET) * (1, 0, -1)[number]
            for side, frame in (("Alpha", resize(target, (180, 240)) * gain + offset), ("Beta", target)):
                (folder / "train" / side / "sub").mkdir(parents=True, exist_ok=True)
                header = fastup.Header.new(*frame.shape[1::-1], pixel_aspect=Fraction(8, 9), timecode="01:00:00:00")
                fastup.write(folder / "train" / side / "sub" / f"{number}.dpx", frame, header)

    return shared("levels", fill)


@pytest.fixture
def own_pairs(drawn, tmp_path):
    shutil.copytree(drawn, tmp_path / "data")
    return find_pairs(tmp_path / "data" / "train")


def flat(pairs, number, level=0.25):
    """Make the pair say nothing."""
    for path in (pairs.inputs[number], pairs.targets[number]):
        frame = fastup.read(path)
        fastup.write(path, np.full_like(frame, 1023 * level), fastup.read_header(path))


def test_targets_have_the_levels_of_their_inputs(own_pairs, tmp_path):
    heard = []
    before = [path.read_bytes() for path in own_pairs.targets]
    off = [fit.off for fit in fits(own_pairs)]
    assert all("red gain" in words and "green gain" in words for words in off)
    matched = match_levels(own_pairs, tmp_path / "data" / "cache", lambda *progress: heard.append(progress))
    assert heard == [(k, 3, "matching targets") for k in (1, 2, 3)]
    assert [path.read_bytes() for path in own_pairs.targets] == before
    assert matched.inputs == own_pairs.inputs
    assert matched.target_white == 65535
    assert [path.relative_to(tmp_path) for path in matched.targets] == [
        (tmp_path / "data" / "cache" / "matched" / "train" / "sub" / f"{k}.dpx").relative_to(tmp_path) for k in range(3)
    ]
    for number, (fit, path, original) in enumerate(zip(fits(matched), matched.targets, own_pairs.targets, strict=True)):
        assert not fit.off
        np.testing.assert_allclose(fit.gain, 1, atol=0.004)
        np.testing.assert_allclose(fit.offset, 0, atol=0.004)
        header, was = fastup.read_header(path), fastup.read_header(original)
        assert (header.bits, header.timecode, header.pixel_aspect) == (16, was.timecode, was.pixel_aspect)
        figures = [float(word) for word in header.project.split(": ")[-1].split()]
        sign = (1, -1, 0.5)[number]
        np.testing.assert_allclose(figures[:3], 1 + (np.array(GAIN) - 1) * sign, atol=0.005)
        target = fastup.read(original, "float32") * np.float32(figures[:3]) + np.float32(figures[3:])
        np.testing.assert_allclose(fastup.read(path, "float32"), np.clip(target, 0, 1), atol=0.6 / 65535)


def test_copies_are_made_once_and_go_by_content(own_pairs, tmp_path, reads, settled):
    cache = tmp_path / "data" / "cache"
    flat(own_pairs, 2)
    matched = match_levels(own_pairs, cache)
    assert len(reads()) == 2 * 2 + 2 + 3  # measured, and read again to be written
    first = [path.read_bytes() for path in matched.targets]
    assert "~" not in fastup.read_header(matched.targets[0]).project
    project = fastup.read_header(matched.targets[2]).project
    figures = [float(word.removeprefix("~")) for word in project.split(": ")[-1].split()]
    assert project.count("~") == 6
    own = [fastup.read_header(path).project.split(": ")[-1].split() for path in matched.targets[:2]]
    np.testing.assert_allclose(figures, np.mean(np.array(own, float), axis=0), atol=2e-5)  # the median of two
    assert match_levels(own_pairs, cache) == matched
    assert reads() == []
    path = own_pairs.inputs[1]  # other content: its copy, and that which has the median
    fastup.write(path, fastup.read(path) * 0.97 / 1023, fastup.read_header(path))
    reads()
    match_levels(own_pairs, cache)
    assert reads() == ["1.dpx"] * 3 + ["2.dpx"]
    again = [path.read_bytes() for path in matched.targets]
    assert [a == b for a, b in zip(first, again, strict=True)] == [True, False, False]
    matched.targets[0].write_bytes(first[1])  # another's
    matched.targets[1].write_bytes(again[1][:-1000])  # cut short
    match_levels(own_pairs, cache)
    assert [path.read_bytes() for path in matched.targets] == [first[0], *again[1:]]
    size, left = clear_cache(cache)
    assert (size > 3 * 360 * 480 * 6, left, cache.exists()) == (True, [], False)


def test_an_interruption_keeps_what_was_made(own_pairs, tmp_path, reads):
    def interrupt(done, *_):
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        match_levels(own_pairs, tmp_path / "data" / "cache", interrupt)
    kept = list((tmp_path / "data" / "cache" / "matched" / "train" / "sub").glob("*.dpx"))
    assert kept
    reads()
    match_levels(own_pairs, tmp_path / "data" / "cache")
    assert len(reads()) == 3 * (3 - len(kept))


def test_floats_stay_floats(own_pairs, tmp_path):
    for path in own_pairs.targets:
        fastup.write(path, fastup.read(path, "float32") * 2, fastup.read_header(path).replace(bits=32))
    pairs = find_pairs(own_pairs.folder)
    matched = match_levels(pairs, tmp_path / "data" / "cache")
    assert matched.target_white is None
    assert fastup.read(matched.targets[0], "float32").max() > 1  # nothing is clipped; twice is no difference of levels


def test_what_is_said():
    nothing, other = Fit("a"), Fit("b", 0.1)
    one = Fit("c", 0.9, (0, 0), (0.9, None, 1.5), (0.02, None, 0.0))
    two = Fit("d", 0.9, (0, 0), (0.96, None, 1.0), (0.04, None, 0.2))
    red = [[0.9, 0.02], [0.96, 0.04], [0.93, 0.03]]
    found = levels([one, two, nothing, other])
    np.testing.assert_allclose(found[:, :, 0], [red[0], red[1], red[2], red[2]])
    np.testing.assert_array_equal(found[:, :, 1:], np.broadcast_to([[[1, 1], [0, 0]]], (4, 2, 2)))
    np.testing.assert_array_equal(levels([nothing])[0], [[1] * 3, [0] * 3])
    frame = put_on(np.full((2, 2, 3), 0.5, np.float32), found[0])
    assert frame.dtype == np.float32
    np.testing.assert_allclose(frame[0, 0], [0.47, 0.5, 0.5])


def test_what_no_pair_says_is_told():
    nothing, all_of_it = Fit("a"), Fit("b", 0.9, (0, 0), (1, 1.05, 0.9), (0, 0, 0))
    one = Fit("c", 0.9, (0, 0), (0.9, None, 1.5), (0.02, None, 0.0))  # a gain of 1.5 is no difference of levels
    assert silent_note([all_of_it], 1) is silent_note([nothing, all_of_it], 9) is None
    told = (
        "not show a gain and an offset of {}, so that targets stay as they are there{}; `fastup pairs DATA` tells more"
    )
    assert silent_note([nothing], 1) == "match: the pair does " + told.format("red, green, blue", "")
    assert silent_note([one, nothing], 2) == "match: the 2 pairs looked at do " + told.format("green, blue", "")
    unless = ", unless other pairs do"
    assert silent_note([one, nothing], 9) == "match: the 2 pairs looked at do " + told.format("green, blue", unless)


def test_a_frame_that_holds_no_number(own_pairs, tmp_path):
    path = own_pairs.targets[1]
    frame = fastup.read(path, "float32")
    frame[5, 6] = 12345
    fastup.write(path, frame, fastup.read_header(path).replace(bits=32))
    path.write_bytes(path.read_bytes().replace(np.array(12345, ">f4").tobytes(), np.array(np.nan, ">f4").tobytes()))
    with pytest.raises(DataError, match=r"1\.dpx: holds NaN or infinity"):
        match_levels(find_pairs(own_pairs.folder), tmp_path / "data" / "cache")
