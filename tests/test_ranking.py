"""Which tiles a quality keeps, and the picture that shows it."""

import naive
import numpy as np
import pytest
from framesets import write_several
from matplotlib.colors import to_rgb
from test_cli import fails

import fastup
from fastup.errors import OptionError
from fastup.pairs import ranking as module
from fastup.pairs.folder import find_pairs
from fastup.pairs.index import tile_index
from fastup.pairs.ranking import picture, ranking


def write_pairs(folder, frames):
    for number, frame in enumerate(frames):
        for side, pixels in (("Alpha", frame[::2, ::2]), ("Beta", frame)):
            (folder / side).mkdir(parents=True, exist_ok=True)
            fastup.write(folder / side / f"f{number}.dpx", np.ascontiguousarray(pixels))
    return folder


def ranked(folder, quality=0.5, tile=20, trim=(0, 0, 0, 0), jitter=True):
    pairs = find_pairs(folder, trim, tuple(n // 2 for n in trim))
    return ranking(pairs, tile, jitter, quality, folder.parent / "cache")


def shown(path):
    """The halves of the sheet below the histogram, (H, W, 3) each."""
    sheet = fastup.read(path, "float32")[..., :3]
    middle = sheet.shape[1] // 2
    sheet = sheet[int(0.3 * len(sheet)) :]
    return sheet[:, : middle - 40], sheet[:, middle + 40 :]


def near(pixels, colour, distance=0.15):
    return np.abs(pixels - np.float32(colour)).max(-1) < distance


@pytest.fixture
def coloured(tmp_path):
    """Four frames of 100 x 140; at the left red with detail, at the right plain blue."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(4):
        frame = np.zeros((100, 140, 3), np.uint16)
        frame[..., 2] = 700
        frame[:, :60] = 0
        frame[:, :60, 0] = rng.integers(700, 1000, (100, 60))
        frames.append(frame)
    return write_pairs(tmp_path / "data" / "train", frames)


@pytest.mark.parametrize("jitter", [False, True])
@pytest.mark.parametrize("trim", [(0, 0, 0, 0), (8, 4, 6, 2)])
@pytest.mark.parametrize("quality", [0.07, 0.5, 1.0])
def test_ranking_is_the_twin(tmp_path, jitter, trim, quality):
    rng = np.random.default_rng(1)
    made = [
        rng.integers(0, 1024, (98, 142, 3), np.uint16) >> rng.integers(0, 8, (98, 142, 1), np.uint16) for _ in range(3)
    ]
    found = ranked(write_pairs(tmp_path / "train", made), quality, 20, trim, jitter)
    left, right, top, bottom = trim
    for number, frame in enumerate(made):
        frame = frame[top : len(frame) - bottom, left : frame.shape[1] - right]
        origins = [
            (y, x)
            for y, x in naive.tile_origins(*frame.shape[:2], 20, 20, jitter)
            if y + 20 <= frame.shape[0] and x + 20 <= frame.shape[1]
        ]
        scores = np.array(naive.tile_detail(frame, origins, 20, 20))
        kept = naive.tile_rank(scores, found.kept[number])
        assert len(kept) == found.kept[number] == int(np.ceil(round(quality * len(origins), 9)))
        np.testing.assert_array_equal(found.scores[number], scores)
        np.testing.assert_array_equal(found.order[number][: found.kept[number]], kept)
        np.testing.assert_array_equal(found.ranked[number], sorted(scores, reverse=True))
        assert found.thresholds[number] == scores[kept].min()


def test_lines_count_in_every_direction(tmp_path):
    """Horizontal lines are detail too, which differences to the right alone would not see."""
    frame = np.full((40, 120, 3), 300, np.uint16)
    frame[::4, :40] = 900  # horizontal lines
    frame[:, 40:80:4] = 900  # vertical lines
    found = ranked(write_pairs(tmp_path / "train", [frame]), 2 / 3, 40, jitter=False)
    assert sorted(found.order[0][:2]) == [0, 1]
    assert found.scores[0][2] == 0


def test_a_quality_out_of_range_is_refused(coloured):
    for quality in (0, 1.5, -1):
        with pytest.raises(OptionError, match="quality"):
            ranked(coloured, quality)


# -- the picture -----------------------------------------------------------------------------------------------------


def test_kept_tiles_are_at_the_left_and_dropped_ones_at_the_right(coloured, tmp_path):
    found = ranked(coloured, 3 / 7, 20, jitter=False)  # three columns of seven are red
    path = tmp_path / "new" / "rank.png"
    picture(path, found)
    assert [each.name for each in path.parent.iterdir()] == ["rank.png"]
    left, right = shown(path)
    red = np.float32([0.83, 0, 0])
    assert near(left, red, 0.2).mean() > 0.3
    assert near(right, [0, 0, 700 / 1023]).mean() > 0.3
    assert near(left, [0, 0, 700 / 1023]).mean() < 0.001
    assert near(right, red).mean() < 0.001


def test_the_histogram_has_both_parts(coloured, tmp_path):
    picture(tmp_path / "rank.png", ranked(coloured, 3 / 7, 20, jitter=False))
    sheet = fastup.read(tmp_path / "rank.png", "float32")[..., :3]
    bars = sheet[int(0.06 * len(sheet)) : int(0.27 * len(sheet))]  # below the legend
    assert near(bars, to_rgb(module._KEPT), 0.05).any()
    assert near(bars, to_rgb(module._DROPPED), 0.05).any()


def test_tiles_run_down_the_ranks_and_through_the_frames(tmp_path, monkeypatch):
    rng = np.random.default_rng(2)
    made = [rng.integers(0, 1024, (100, 140, 3), np.uint16) for _ in range(50)]
    found = ranked(write_pairs(tmp_path / "train", made), 0.5, 20)
    seen, really = [], module.frames.read
    monkeypatch.setattr(module.frames, "read", lambda *n: seen.append((n[0], n[2])) or really(*n))
    picture(tmp_path / "rank.png", found)
    cells = 2 * module._ROWS * module._COLUMNS
    assert len(seen) == len(set(seen)) == cells
    assert len({path for path, _ in seen}) > cells / 4
    places, origins = [], fastup.TileGrid((100, 140), (20, 20), 0, True).origins
    for path, (y, x, height, width) in seen:
        assert (height, width) == (20, 20)
        number = found.pairs.targets.index(path)
        (tile,) = np.flatnonzero((origins[found.tiles[0]] == (y, x)).all(1))
        places.append(int(np.flatnonzero(found.order[number] == tile)[0]))
    assert places == sorted(places)
    assert places[0] == 0
    assert places[cells // 2 - 1] == found.kept[0] - 1
    assert places[cells // 2] == found.kept[0]
    assert places[-1] == len(found.tiles[0]) - 1


@pytest.mark.parametrize("frame", [np.zeros((40, 40, 3)), np.full((40, 40, 3), 1023)], ids=["black", "white"])
@pytest.mark.parametrize("quality", [0.5, 1.0])
def test_flat_frames_have_a_picture_too(tmp_path, frame, quality):
    found = ranked(write_pairs(tmp_path / "train", [frame.astype(np.uint16)]), quality, 20)
    picture(tmp_path / "rank.png", found)
    assert fastup.read(tmp_path / "rank.png").shape[2] in (3, 4)


def test_a_picture_is_whole_or_not_there(coloured, tmp_path, monkeypatch):
    found = ranked(coloured)
    path = tmp_path / "out" / "rank.png"
    path.parent.mkdir()
    path.write_bytes(b"the one before")

    def stops(self, part):
        part.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", stops)
    with pytest.raises(KeyboardInterrupt):
        picture(path, found)
    assert [each.name for each in path.parent.iterdir()] == ["rank.png"]
    assert path.read_bytes() == b"the one before"


# -- fastup rank -----------------------------------------------------------------------------------------------------


def test_rank_says_and_shows_what_is_kept(run, data, tmp_path):
    code, out, err = run("rank", data, "--quality", "0.25", "--tile", "36", "--no-jitter")
    assert (code, err) == (0, "")
    assert "70 a frame, of 36 target pixels, without jitter" in out
    assert "18 a frame, 54 in all: quality 0.25" in out
    assert str(data / "cache" / "rank.png") in out
    rows = [line.split() for line in out[out.index("median") :].splitlines()]
    kept, dropped = ([int(n.replace(",", "")) for n in row[1:]] for row in rows if row[:1] in (["kept"], ["dropped"]))
    assert len(kept) == len(dropped) == 7
    assert kept == sorted(kept)
    assert dropped == sorted(dropped)
    assert kept[-1] > dropped[-1]
    assert kept[0] > dropped[0]
    assert (data / "cache" / "rank.png").read_bytes()[:4] == b"\x89PNG"
    again = run("rank", data, "--output", tmp_path / "other" / "r.png")
    assert again[0] == 0
    assert "with jitter" in again[1]
    assert (tmp_path / "other" / "r.png").exists()


def test_rank_takes_floats_too(run, tmp_path):
    for side, size in (("Alpha", (60, 80)), ("Beta", (120, 160))):
        (tmp_path / "train" / side).mkdir(parents=True)
        frame = np.random.default_rng(0).random((*size, 3), dtype=np.float32)
        fastup.write(tmp_path / "train" / side / "f.exr", frame)
    code, out, err = run("rank", tmp_path, "--tile", "20")
    assert (code, err) == (0, "")
    assert "1 is white" in out
    assert (tmp_path / "cache" / "rank.png").exists()
    assert (tmp_path / "cache" / "train" / "Beta" / "f.dpx").exists()


def test_rank_of_frames_of_several_kinds(run, tmp_path):
    write_several(tmp_path / "a set", [(48, 60), (60, 48), (24, 80), (96, 64), (20, 90)])
    code, out, err = run("rank", tmp_path, "--training", tmp_path / "a set", "--tile", "24", "--quality", "0.3")
    assert (code, err) == (0, "")
    # Plain and half a tile off: 4 + 2, 3 and none of the first shot; 4 + 2 and 8 + 6.
    assert "0 to 14 a frame, of 24 target pixels, with jitter" in out
    assert "0 to 5 a frame, 10 in all: quality 0.3" in out
    assert "1 is white" in out
    assert (tmp_path / "cache" / "rank.png").read_bytes()[:4] == b"\x89PNG"
    found = ranking(find_pairs(tmp_path / "a set"), 24, True, 0.3, tmp_path / "cache")
    assert (found.kept, [len(order) for order in found.order]) == ([2, 1, 0, 2, 5], [6, 3, 0, 6, 14])
    index = tile_index(found.pairs, 24, True, 0.3)
    for number, (tiles, kept) in enumerate(zip(found.order, found.kept, strict=True)):
        chosen = found.tiles[found.pairs.kind_of[number]][tiles[:kept]]
        np.testing.assert_array_equal(np.sort(chosen), index.of(number))
    assert len(found.thresholds) == 4


def test_rank_trims_as_training_does(run, data):
    _, out, _ = run("rank", data, "--trim", "36,36,18,36", "--input-trim", "18,18,8,16", "--tile", "36", "--no-jitter")
    assert "48 a frame" in out  # 6 x 8 of 216 x 288


def test_rank_refuses_what_cannot_be(run, data, tmp_path):
    fails(run("rank", data, "--quality", "0"), 2, "quality is 0.0")
    fails(run("rank", data, "--tile", "37"), 2, "tile is 37")
    fails(run("rank", data, "--output", "r.jpg"), 2, "output is r.jpg, expected a name that ends in .png")
    fails(run("rank", data, "--trim", "1,2,3"), 2, "trim")
    fails(run("rank", tmp_path), 1, "train")
    (tmp_path / "file").write_text("")
    result = run("rank", data, "--output", tmp_path / "file" / "r.png")
    assert result[0] == 1
    assert str(tmp_path / "file") in result[2]
    assert "Traceback" not in result[2]


@pytest.mark.skipif(not module.Path("/proc/self").is_dir(), reason="a folder in which even root can't write")
def test_a_place_that_cannot_be_written_is_named(run, data):
    code, out, err = run("rank", data, "--output", "/proc/self/r.png")
    assert (code, out) == (1, "")
    assert "/proc/self/r.png" in err
