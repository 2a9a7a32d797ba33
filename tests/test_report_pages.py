"""Pages of pairs, rankings, matches, cadences and halos: what is in them is what was found."""

import io
import json

import numpy as np
import pytest
import telecined
from PIL import Image
from reports import EVIL, Parsed

import fastup
from fastup.footage.halo import REACH, Estimate, Halo
from fastup.report import footage, pairs


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
    name = kept["items"][0]["caption"].split(": ")[1]
    target = fastup.read(small / "train" / "Beta" / f"{name}.dpx", "float32")
    codes = np.floor(target * 255.0 + 0.5).astype(np.uint8)
    height, width = tile.shape[:2]
    places = np.argwhere((codes[: 271 - height, : 361 - width] == tile[0, 0]).all(2))
    assert any((codes[y : y + height, x : x + width] == tile).all() for y, x in places)
    curves = parsed.section("lines")["plots"][0]["curves"]
    assert [curve["name"] for curve in curves] == ["kept", "dropped"]


def test_match(small, tmp_path):
    """Frames that became pairs, why others did not, the worst pairs; names are text."""
    data, rows = small, []
    for number, path in enumerate(fastup.find(small / "train" / "Alpha")):
        rows.append({"frame": 7 * number, "partner": 7 * number + 3, "name": path.stem, "set": "train", "why": "",
                     "likeness": 0.9 - number / 10, "residual": 0.001, "differs": 0.0, "shift": [0.5, 0]})  # fmt: skip
    rows.append({"frame": 30, "partner": 31, "set": None, "why": EVIL})
    sets = {name: {"pairs": 3 * (name == "train"), "shots": 1} for name in ("train", "validation", "evaluation")}
    found = {"sd": {"path": f"/x/{EVIL[:9]}.mov"}, "hd": {"path": "/x/hd.mov"}, "notes": ["validation is missing"],
             "shots": [{"sd": [0, 9]}, {"sd": [10, 40]}],
             "summary": {"pairs": 3, "frames": 40, "hd_frames": 50, "shots": 2, "sets": sets}}  # fmt: skip
    pairs.write_match(tmp_path / "m.html", data, found, rows, [("pairs", "3")])
    parsed = Parsed((tmp_path / "m.html").read_text())
    assert parsed.data["title"] == f"{EVIL[:9]}.mov and hd.mov"
    assert [curve["name"] for curve in parsed.section("lines")["plots"][0]["curves"]] == ["train, 3", "left out, 1"]
    assert parsed.section("facts")["rows"] == [[EVIL, "1"]]
    made = parsed.section("series")
    assert (made["rows"], made["shots"]) == ([0, 7, 14], [[0, 2], [2, 3]])
    view = parsed.section("viewer")
    assert [frame["row"] for frame in view["frames"]] == [14, 7, 0]
    assert list(parsed.pictures(view["frames"][0]["pictures"])) == ["a", "b"]
    assert "Validation is missing." in parsed.texts


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
