"""Pages of pairs, rankings, matches, cadences and halos: what is in them is what was found."""

import io
import json
import re

import numpy as np
import pytest
import telecined
from PIL import Image
from reports import EVIL, FRAME, Parsed, is_text, write_pages

import fastup
from fastup.footage.dehalo import dehalo
from fastup.footage.halo import REACH, Estimate, Halo, noise_of
from fastup.report import footage


def decoded(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_pairs(run, small, tmp_path):
    """One that is another picture comes first; the table has what --json has."""
    for name in ("train", "evaluation"):
        for side in ("Alpha", "Beta"):
            (tmp_path / name / side).mkdir(parents=True)
            for path in fastup.find(small / name / side):
                (tmp_path / name / side / path.name).symlink_to(path)
    one, other = fastup.find(tmp_path / "evaluation" / "Alpha")[1:3]
    target = other.resolve()
    other.unlink()
    other.symlink_to(one.resolve())
    code, out, _ = run("pairs", tmp_path, "--html", tmp_path / "p.html", "--json")
    assert code == 1
    parsed = Parsed((tmp_path / "p.html").read_text())
    fits = [fit for each in json.loads(out) for fit in each["fits"]]
    rows = [parsed.section("series", n) for n in range(2)]
    assert [name for each in rows for name in each["names"]] == [fit["frame"] for fit in fits]
    shift = [value for each in rows for value in each["figures"][0]["columns"][0]["values"]]
    assert shift == pytest.approx([fit["shift"][0] if fit["shift"] else None for fit in fits], abs=1e-4)
    assert rows[1]["first"] == len(rows[0]["names"])
    view = parsed.section("viewer")
    assert view["frames"][0]["row"] == rows[1]["first"] + 2
    assert view["frames"][0]["words"] == ", ".join(fits[-1]["off"])
    stored = parsed.pictures(view["frames"][0]["pictures"])
    assert decoded(stored["input"]).shape == (120, 180, 3)
    assert decoded(stored["target"]).shape == (270, 360, 3)
    assert target.exists()


def test_rank(run, small, data):
    path = data / "r.html"
    code, out, _ = run("rank", data, "--quality", 0.25, "--html", path)
    assert code == 0
    parsed = Parsed(path.read_text())
    rows = dict(parsed.section("facts")["rows"])
    assert all(value in out for value in rows.values())
    kept, dropped = parsed.section("gallery")["groups"]
    tile = decoded(parsed.pictures(kept["items"][0]["pictures"])["tile"])
    assert tile.std() > decoded(parsed.pictures(dropped["items"][-1]["pictures"])["tile"]).std()
    # The first is the most detailed tile of its frame, without loss.
    name = kept["items"][0]["caption"]
    target = fastup.read(small / "train" / "Beta" / f"{name}.dpx", "float32")
    codes = np.floor(target * 255.0 + 0.5).astype(np.uint8)
    height, width = tile.shape[:2]
    places = np.argwhere((codes[: 271 - height, : 361 - width] == tile[0, 0]).all(2))
    assert any((codes[y : y + height, x : x + width] == tile).all() for y, x in places)
    curves = parsed.section("lines")["plots"][0]["curves"]
    assert [curve["name"] for curve in curves] == ["kept", "dropped"]


def off_by(stored, picture):
    """Codes of luma; colours are halved, also over lines of two pictures."""
    return np.abs((stored - picture * 255) @ (0.299, 0.587, 0.114)).mean()


def noise(folder):
    """As `dehalo` finds it."""
    tape = fastup.find(folder / f"tape {FRAME}")
    return float(np.median([noise_of(fastup.read(tape[number], "float32")) for number in range(0, 20, 5)]))


@pytest.fixture(scope="module")
def made(small, tmp_path_factory):
    return write_pages(small, tmp_path_factory.mktemp("pages"))


@pytest.mark.parametrize("command", ["pairs", "rank", "match", "detelecine", "dehalo"])
def test_names_and_settings_are_text(made, command):
    is_text(made[command].read_text())


def test_match(made):
    """Frames that became pairs, why others did not, the worst pairs."""
    parsed = Parsed(made["match"].read_text())
    assert parsed.data["title"] == f"{FRAME}.mov and hd.mov"
    assert [curve["name"] for curve in parsed.section("lines")["plots"][0]["curves"]] == ["train, 3", "left out, 1"]
    assert parsed.section("facts")["rows"] == [[EVIL, "1"]]
    series = parsed.section("series")
    assert (series["rows"], series["shots"]) == ([0, 7, 14], [[0, 2], [2, 3]])
    view = parsed.section("viewer")
    assert [frame["row"] for frame in view["frames"]] == [14, 7, 0]
    assert list(parsed.pictures(view["frames"][0]["pictures"])) == ["a", "b"]
    assert "Validation is missing." in parsed.texts


def test_video_beside_its_film(made):
    """Of a frame of film that two frames of video have a field of each, the first of them is seen beside it."""
    parsed = Parsed(made["detelecine"].read_text())
    view = parsed.section("viewer")
    tape = [fastup.read(path, "float32") for path in fastup.find(made["detelecine"].parent / f"tape {FRAME}")]
    off, seen = [], 0
    for frame in view["frames"]:
        stored = parsed.pictures(frame["pictures"])
        video, film = (decoded(stored[name]).astype(float) for name in ("video", "film"))
        off.append(-np.abs(film - video).mean())
        top, *bottom = map(int, re.findall(r"\d+", frame["words"].split(";")[0]))
        woven = tape[top].copy()
        woven[1::2] = tape[[top, *bottom][-1]][1::2]
        assert off_by(video, tape[top]) < 4
        assert off_by(film, woven) < 4
        seen += bool(bottom)
    assert seen
    np.testing.assert_allclose(off, sorted(off), atol=0.5)
    (place,) = view["frames"][0]["places"]
    assert place["label"] == "where they differ most"


def test_frames_before_and_after_dehalo(made):
    """Those that change most come first; the window is the square that does."""
    parsed = Parsed(made["dehalo"].read_text())
    view = parsed.section("viewer")
    folder = made["dehalo"].parent
    changes = []
    for frame in view["frames"]:
        before = fastup.read(folder / f"tape {FRAME}" / f"{frame['name']}.dpx", "float32")
        after = dehalo(before, [-0.1, 1.2, -0.1], protect=2 * noise(folder))
        stored = parsed.pictures(frame["pictures"])
        for name, picture in (("before", before), ("after", after)):
            assert off_by(decoded(stored[name]), picture) < 4
        change = np.abs(after - before)
        assert frame["words"] == f"changed by {change.mean():.2%} of white in the mean"
        changes.append(-change.mean())
        x, y, w, h = np.rint(np.multiply(frame["places"][0]["window"], (180, 135, 180, 135))).astype(int)
        sums = [change[a : a + h, b : b + w].sum() for a in range(0, 136 - h, h) for b in range(0, 181 - w, w)]
        assert change[y : y + h, x : x + w].sum() == pytest.approx(max(sums), rel=1e-4)
    assert len(changes) == 2
    assert changes == sorted(changes)


def test_cadence(tmp_path):
    report = {"frames": 10, "film_frames": 8, "phases": "01234-0123", "breaks": [{"frame": 5, "field": "second"}],
              "doubts": [{"frame": 4, "margin": 3.5}], "notes": ["a note"], "settings": {"range": EVIL}}  # fmt: skip
    footage.write_cadence(tmp_path / "c.html", tmp_path / "tape.mov", report, [("field order", "top first")])
    parsed = Parsed((tmp_path / "c.html").read_text())
    (curve,) = parsed.section("lines")["plots"][0]["curves"]
    assert curve["points"] == [[0, 0], [1, 1], [2, 2], [3, 3], [4, 4], [6, 0], [7, 1], [8, 2], [9, 3]]
    kept = [each["rows"] for each in parsed.data["sections"][1:]]
    assert kept == [[["frame 5", "before its second field"]], [["frame 4", "margin 3.5"]],
                    [["field order", "top first"]], [["range", EVIL]]]  # fmt: skip


def test_halo(tmp_path):
    taps = np.zeros(2 * REACH + 1)
    taps[REACH - 1 : REACH + 2] = -0.1, 1.2, -0.1
    found = Estimate(taps, Halo(0.2, 1.0), 100, 0.01, 0.1, 0.01)
    footage.write_halo(tmp_path / "h.html", tmp_path / "in", found, 1.0, [("kernel", "by its taps")])
    parsed = Parsed((tmp_path / "h.html").read_text())
    kernel, step, response = parsed.section("lines")["plots"]
    assert [point for point in kernel["curves"][0]["points"] if point[1]] == [[-1, -0.1], [0, 1.2], [1, -0.1]]
    assert max(level for _, level in step["curves"][0]["points"]) == pytest.approx(1.1)
    assert response["curves"][0]["points"][0] == [0, pytest.approx(1)]
    assert response["curves"][0]["points"][-1] == [0.5, pytest.approx(1.4)]
    assert "Edges overshoot by 10.0% of a step, and by 1.0% when the halo is undone." in parsed.texts


def test_pages_of_the_commands(run, tmp_path):
    """Those of detelecine and dehalo go where they are asked to."""
    for number, planes in enumerate(telecined.make(telecined.Case(frames=40, chroma="none"), 0).frames):
        frame = np.repeat(planes[0][..., np.newaxis], 3, axis=2).astype(np.uint16) * 4
        (tmp_path / "tape").mkdir(exist_ok=True)
        fastup.write(tmp_path / "tape" / f"{number:04d}.dpx", frame)
    assert run("detelecine", tmp_path / "tape", tmp_path / "film", "--html", tmp_path / "c.html")[0] == 0
    found = Parsed((tmp_path / "c.html").read_text())
    assert found.data["title"] == "tape"
    code, out, _ = run("dehalo", tmp_path / "tape", tmp_path / "out", "--kernel", "0.8:1.6", "--frames", "0-0",
                       "--html", tmp_path / "h.html")  # fmt: skip
    assert code == 0
    rows = dict(Parsed((tmp_path / "h.html").read_text()).section("facts")["rows"])
    assert rows["kernel"] in out
