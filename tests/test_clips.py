"""The shots of a set: by names, folders, sizes, reports and pictures."""

import json

import numpy as np
import pytest
from test_shots import film, scene

import fastup
from fastup._scales import fractions
from fastup.errors import DataError
from fastup.header import Header
from fastup.pairs.clips import clips
from fastup.pairs.folder import find_pairs


def write(folder, names, grids):
    """Targets of those names, each a grid of levels as a grey picture."""
    header = Header.new(grids.shape[2], grids.shape[1])
    for name, grid in zip(names, grids, strict=True):
        path = folder / "Beta" / f"{name}.dpx"
        path.parent.mkdir(parents=True, exist_ok=True)
        fastup.write(path, np.repeat(grid[..., None], 3, 2) / np.float32(65535), header, fsync=False)
    return targets(folder)


def targets(folder):
    return find_pairs(folder, scale=fractions((2, 2)))


def still(count, seed=0):
    return scene(np.random.default_rng(seed), "still", count)


def numbered(*numbers):
    return [f"film_{number:05}" for number in numbers]


def told(found):
    return [(start, why) for (start, _), why in zip(found.shots, found.why, strict=True)]


def test_shots_are_told_by_folders_names_and_numbers(tmp_path):
    names = ["a/1", "a/2", "a/4", "a/5", "b/6", "b/7", "b/title", "b/trailer.1", "b/trailer.2"]
    pairs = write(tmp_path / "train", names, still(len(names)))
    found = clips(pairs)
    assert [pairs.name(start) for start, _ in found.shots] == ["a/1", "a/4", "b/6", "b/title", "b/trailer.1"]
    assert found.why == ["first", "numbers", "folders", "names", "names"]
    assert found.shots[-1][1] == len(pairs)
    assert found.lengths == [2, 2, 2, 1, 2]
    assert found.counts == {"first": 1, "folders": 1, "names": 2, "numbers": 1}


def test_shots_told_by_names_may_be_more_than_the_frames_of_each(tmp_path):
    names = [f"{shot:03}-{kind}-{n:04}" for shot, kind in enumerate("aba" * 3) for n in range(4)]
    found = clips(write(tmp_path / "train", names, still(len(names))))
    assert found.lengths == [4] * 9
    assert found.counts == {"first": 1, "names": 8}


@pytest.mark.parametrize(
    ("numbers", "starts"),
    [
        ((3, 5, 7, 9, 13, 15), [0, 4]),  # by twos, and one is missing
        ((1, 20, 41, 70), [0, 1, 2, 3]),  # chosen
        ((1, 13, 14, 90, 91, 150), [0, 1, 3, 5]),
        ((7,), [0]),
    ],
)
def test_numbers_follow_by_their_usual_step(tmp_path, numbers, starts):
    found = clips(write(tmp_path / "train", numbered(*numbers), still(len(numbers))))
    assert [start for start, _ in found.shots] == starts


def test_frames_of_other_sizes_are_another_shot(tmp_path):
    write(tmp_path / "train", numbered(1, 2), still(2))
    found = clips(write(tmp_path / "train", numbered(3, 4, 5), still(3)[:, :32]))
    assert told(found) == [(0, "first"), (2, "sizes")]


@pytest.mark.parametrize("seed", range(2))
def test_cuts_are_seen_in_pictures_once(tmp_path, reads, seed):
    rng = np.random.default_rng(seed)
    grids, cuts = film(rng, rng.permutation(["still", "pan", "act", "flash", "act"]))
    pairs = write(tmp_path / "train", numbered(*range(len(grids))), grids)
    found = clips(pairs, tmp_path / "cache")
    assert [start for start, _ in found.shots] == cuts
    assert found.why == ["first", *["pictures"] * 4]
    assert len(reads()) == len(grids)
    (tmp_path / "train").rename(tmp_path / "old")
    moved = write(tmp_path / "train", numbered(*range(1000, 1000 + len(grids))), grids)
    assert clips(moved, tmp_path / "cache") == found
    assert reads() == []  # they go by what they hold
    cut = cuts[2]
    write(tmp_path / "train", numbered(1000 + cut), grids[cut : cut + 1] // 2)
    assert clips(moved, tmp_path / "cache") == found
    assert reads() == [f"film_{1000 + cut:05}.dpx"]


def test_frames_alone_are_not_read(tmp_path, reads):
    pairs = write(tmp_path / "train", ["bird", "head", "woman", *numbered(1, 5)], still(5))
    reads()
    assert len(clips(pairs).shots) == 5
    assert reads() == []


def test_what_match_found_is_believed(tmp_path, reads):
    grids = np.concatenate([still(4, 0), still(4, 1)])
    pairs = write(tmp_path / "train", numbered(*range(8)), grids)
    # As `match` saw it, the second shot begins a frame later; the last two frames are not its own.
    rows = [{"name": name, "set": "train", "shot": n // 5} for n, name in enumerate(numbered(*range(6)))]
    rows += [{"name": numbered(7)[0], "set": "validation", "shot": 9}, {"frame": 9, "set": None, "shot": 3}]
    (tmp_path / "match.json").write_text(json.dumps({"frames": rows}))
    assert told(clips(pairs)) == [(0, "first"), (5, "match.json")]
    reads()
    rows = [{"name": name, "set": "train", "shot": n // 5} for n, name in enumerate(numbered(*range(8)))]
    (tmp_path / "match.json").write_text(json.dumps({"frames": rows}))
    assert told(clips(pairs)) == [(0, "first"), (5, "match.json")]
    assert reads() == []
    (tmp_path / "match.json").write_text("[1, 2]")
    with pytest.raises(DataError, match=r"match\.json: no frames in it"):
        clips(pairs)


def test_edits_of_the_tape_are_known_by_its_report(tmp_path):
    pairs = write(tmp_path / "train", [f"disc_{n:07}" for n in range(9)], still(9))
    woven = [(0, 0), (1, 2), (3, 3), (4, -1), (5, 5), (6, 6), (-1, -1), (9, 10), (10, 11)]
    report = {
        "order": "bottom", "breaks": [{"frame": 4, "field": "second"}, {"frame": 10, "field": "first"}],
        "woven": [[*each, "film"] for each in woven],
    }  # fmt: skip
    path = tmp_path / "train" / "Beta" / "telecine" / "disc.json"
    (path.parent / "review").mkdir(parents=True)
    path.write_text(json.dumps(report))
    assert told(clips(pairs)) == [(0, "first"), (3, "telecine"), (6, "telecine"), (7, "telecine"), (8, "telecine")]
    fastup.write(path.parent / "review" / "disc.png", np.zeros((4, 4, 3), np.float32))
    assert targets(tmp_path / "train") == pairs  # what lies beside the report is no frame
    for text in ("{", "{}", '{"breaks": [1], "woven": []}', '{"breaks": [], "woven": [["a"]]}', "3"):
        path.write_text(text)
        with pytest.raises(DataError, match=r"disc\.json: not what `fastup detelecine` wrote"):
            clips(pairs)


def test_the_command_tells_of_shots(tmp_path, run):
    grids, cuts = film(np.random.default_rng(1), ["act", "pan", "still"])
    write(tmp_path / "train", numbered(*range(len(grids))), grids)
    write(tmp_path / "evaluation", ["alone"], still(1, 5))
    code, out, err = run("pairs", tmp_path)
    assert code == 0, err
    lengths = sorted(np.diff([*cuts, len(grids)]).tolist())
    assert f"3, of {lengths[0]} to {lengths[-1]} frames, the median {lengths[1]}; told 2 by pictures" in out
    assert "1, of 1 frame" in out
    train, evaluation = json.loads(run("pairs", tmp_path, "--json")[1])
    assert [each["first"] for each in train["shots"]] == cuts
    assert [each["by"] for each in train["shots"]] == ["first", "pictures", "pictures"]
    assert evaluation["shots"] == [{"first": 0, "pairs": 1, "by": "first"}]
    assert any(path.name.startswith("levels-") for path in (tmp_path / "cache").iterdir())
    assert run("pairs", tmp_path, "--clear-cache")[0] == 0
    assert not (tmp_path / "cache").exists()


def test_scenes_of_two_frames_are_shots(tmp_path):
    grids = np.concatenate([still(2, seed) for seed in range(3)])
    assert [start for start, _ in clips(write(tmp_path / "train", numbered(*range(6)), grids)).shots] == [0, 2, 4]
