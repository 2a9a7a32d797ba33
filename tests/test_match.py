from dataclasses import replace

import judged
import masters
import numpy as np
import pytest

import fastup
from fastup.errors import DataError
from fastup.pairs.alignment import fits, median
from fastup.pairs.folder import find_sets
from fastup.pairs.match import match
from fastup.pairs.matched import read_found

CASE = replace(
    masters.CASES["clean"], **masters.SMALL, frames=70, scene=(10, 16), holds=(2,), motion=("act",), shared=0.0,
    grain=0.003, overscan=(0.02, 0.04), shift=1.0, colour="curves",
)  # fmt: skip


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return folder, masters.make(CASE, 3, folder)


@pytest.fixture(scope="module")
def matched(films, tmp_path_factory):
    folder, _ = films
    data = tmp_path_factory.mktemp("matched") / "data"
    return data, match(folder / "sd", folder / "hd", data)


def contents(data):
    """What is in a folder, but for the cache."""
    return {
        str(path.relative_to(data)): path.read_bytes()
        for path in sorted(data.rglob("*"))
        if path.is_file() and "cache" not in path.parts
    }


def test_pairs_are_right(films, matched):
    figures = judged.match(films[1], matched[0])
    assert not figures.misses, figures.row()
    assert figures.left == 0


def test_every_frame_is_accounted_for(films, matched):
    data, found = matched
    rows = read_found(data)["frames"]
    assert [row["frame"] for row in rows] == list(range(len(films[1].sd)))
    made = [row for row in rows if row["set"]]
    assert {row["why"] for row in made} == {""}
    assert all(row["why"] for row in rows if not row["set"])
    about = found["summary"]
    assert about["pairs"] == len(made) > 20
    assert sum(about["left_out"].values()) + len(made) == about["frames"] == len(rows)
    for name, counts in about["sets"].items():
        files = {path.name for path in (data / name / "Alpha").iterdir()}
        assert files == {path.name for path in (data / name / "Beta").iterdir()}
        assert files == {f"{row['name']}.dpx" for row in made if row["set"] == name}
        assert len(files) == counts["pairs"]


def test_whole_shots_are_in_one_set(matched):
    data, found = matched
    rows = [row for row in read_found(data)["frames"] if row["set"]]
    sets = {}
    for row in rows:
        assert sets.setdefault(row["shot"], row["set"]) == row["set"]
    assert set(sets.values()) == {"train", "validation", "evaluation"}
    assert {shot["shot"]: shot["set"] for shot in found["shots"]} == sets


def test_what_is_written(films, matched):
    (folder, _), (data, found) = films, matched
    row = next(row for row in read_found(data)["frames"] if row["set"])
    y, x, height, width = found["window"]
    source = sorted((folder / "sd").iterdir())[row["frame"]]
    frame, header = fastup.read(source), fastup.read_header(source)
    path = data / row["set"] / "Alpha" / f"{row['name']}.dpx"
    assert row["name"] == source.stem
    assert np.array_equal(fastup.read(path), frame[y : y + height, x : x + width])
    own = fastup.read_header(path)
    assert (own.bits, own.timecode, own.pixel_aspect) == (10, header.timecode, header.pixel_aspect)
    assert (own.x_offset, own.y_offset) == (x, y)
    twin = fastup.read_header(data / row["set"] / "Beta" / f"{row['name']}.dpx")
    other = sorted((folder / "hd").iterdir())[row["partner"]]
    assert (twin.bits, twin.timecode) == (16, fastup.read_header(other).timecode)
    assert twin.source_file_name == (fastup.read_header(other).source_file_name or other.name)
    assert found["scale"] == ["9/4", "2"]
    assert (twin.height, twin.width) == (height * 9 // 4, width * 2)


def test_no_pair_is_off(matched):
    for each in find_sets([matched[0] / name for name in ("train", "validation", "evaluation")]):
        found = fits(each)
        assert [fit.off for fit in found] == [()] * len(found), median(found)


def test_the_same_call_makes_nothing_again(films, matched):
    data, found = matched
    before = contents(data)
    times = {path: path.stat().st_mtime_ns for path in data.rglob("*.dpx")}
    assert match(films[0] / "sd", films[0] / "hd", data) == found
    assert contents(data) == before
    assert times == {path: path.stat().st_mtime_ns for path in data.rglob("*.dpx")}


def test_a_pair_that_is_gone_is_made_again(films, matched):
    data, _ = matched
    before = contents(data)
    next((data / "train" / "Beta").iterdir()).unlink()
    match(films[0] / "sd", films[0] / "hd", data)
    assert contents(data) == before


def test_other_settings_are_refused(films, matched):
    data, _ = matched
    before = contents(data)
    with pytest.raises(DataError, match=r"was begun with to sd, and this is to hd; expected .* or --overwrite"):
        match(films[0] / "sd", films[0] / "hd", data, to="hd")
    assert contents(data) == before


def test_hand_made_pairs_are_never_touched(films, tmp_path):
    frame = tmp_path / "data" / "train" / "Alpha" / "tape_086400.dpx"
    frame.parent.mkdir(parents=True)
    frame.write_bytes(b"mine")
    for overwrite in (False, True):
        with pytest.raises(DataError, match=r"tape_086400.dpx: not made by this match"):
            match(films[0] / "sd", films[0] / "hd", tmp_path / "data", overwrite=overwrite)
    assert contents(tmp_path / "data") == {"train/Alpha/tape_086400.dpx": b"mine"}
