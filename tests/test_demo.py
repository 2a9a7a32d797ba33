"""fastup.demo: the drawn clip, the data that is written of it, and the comparison picture."""

import subprocess
import sys

import numpy as np
import pytest

import fastup
from fastup import demo
from fastup._resample import resize

SMALL = (270, 360)


def test_a_seed_gives_one_clip():
    one, again, other = (list(demo.clip(seed, shots=1, frames=2, size=SMALL)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert np.abs(one[0] - other[0]).mean() > 0.03


def test_frames_are_normalised_and_finer_than_8_bits():
    (frame,) = demo.clip(1, shots=1, frames=1, size=SMALL)
    assert frame.shape == (*SMALL, 3)
    assert frame.dtype == np.float32
    assert frame.min() >= 0
    assert frame.max() <= 1
    assert frame.std() > 0.08
    codes = np.rint(frame * 1023)
    assert len(np.unique(codes)) > 512
    assert np.abs(codes / 1023 - np.rint(frame * 255) / 255).max() > 0.0015


def test_shots_differ_and_sizes_agree():
    shots = list(demo.clip(0, shots=3, frames=1, size=SMALL))
    assert all(np.abs(shots[i] - shots[j]).mean() > 0.05 for i in range(3) for j in range(i))
    (large,) = demo.clip(0, shots=1, frames=1, size=(540, 720))
    halved = large.reshape(270, 2, 360, 2, 3).mean((1, 3))
    assert np.abs(halved - shots[0]).mean() < 0.012  # the same drawing, but for lines near a pixel wide and the grain


def test_drawings_are_held_while_the_camera_and_the_grain_go_on():
    shot = demo._Shot(0, 1)
    assert shot.hold in (2, 3)
    drawings = [shot.drawing(n // shot.hold) for n in range(2 * shot.hold)]
    assert len({id(drawing) for drawing in drawings}) == 2
    shot.end = shot.start  # stop the camera: only grain is left to differ within a drawing
    frames = [shot.frame(n, SMALL) for n in (0, 1, shot.hold)]
    grain, moved = frames[1] - frames[0], frames[2] - frames[1]
    assert grain.std() == pytest.approx(demo.GRAIN * 2**0.5, rel=0.05)
    assert np.abs(grain).max() < 8 * demo.GRAIN < np.abs(moved).max()


def test_the_camera_moves_and_then_rests():
    shot = demo._Shot(0, 2)
    still = [shot.frame(n, SMALL) for n in (demo.MOVE, demo.MOVE + shot.hold * 17)]
    assert np.abs(shot.frame(0, SMALL) - still[0]).mean() > 2 * np.abs(still[1] - still[0]).mean()


def test_write_data(tmp_path):
    seen = []
    counts = {"train": 3, "validation": 1, "evaluation": 2}
    demo.write_data(tmp_path, size=SMALL, sd_size=(120, 180), on_progress=lambda *n: seen.append(n), **counts)
    names = {}
    for name, count in counts.items():
        alpha, beta = (sorted((tmp_path / name / part).iterdir()) for part in ("Alpha", "Beta"))
        assert [p.name for p in alpha] == [p.name for p in beta]
        assert len(alpha) == count
        names[name] = {p.name.split("_")[0] for p in alpha}
        for sd, hd in zip(alpha, beta, strict=True):
            sd_header, hd_header = fastup.read_header(sd), fastup.read_header(hd)
            assert (sd_header.width, sd_header.height, sd_header.bits) == (180, 120, 10)
            assert (hd_header.width, hd_header.height) == (360, 270)
            assert (float(sd_header.pixel_aspect), float(hd_header.pixel_aspect)) == (8 / 9, 1)
            assert sd_header.timecode == hd_header.timecode
            assert sd_header.frame_position == hd_header.frame_position
            small, big = fastup.read(sd, dtype="float32"), fastup.read(hd, dtype="float32")
            assert np.abs(small - resize(big, (120, 180), "area")).mean() < 0.03  # the same picture
    assert sum(len(shots) for shots in names.values()) == len(set.union(*names.values()))
    assert seen[-1] == (6, 6, "drawing pairs")
    assert [n for n, *_ in seen] == sorted(n for n, *_ in seen)
    first = fastup.read_header(tmp_path / "train" / "Beta" / "shot01_0008.dpx")
    assert (first.timecode, first.frame_position, first.frame_rate) == ("01:00:00:07", 7, 24)
    later = fastup.read_header(tmp_path / "train" / "Beta" / "shot02_0009.dpx")
    assert (later.timecode, later.frame_position) == ("01:00:02:08", 56)


def test_the_busiest_windows_are_apart():
    frame = np.zeros((140, 200, 3), np.float32)
    for y, x in ((20, 26), (60, 130), (120, 30)):
        frame[y : y + 10, x : x + 10 : 2] = 1
    crops = demo._busiest(frame)
    assert len(crops) == 3
    for y, x in ((20, 26), (60, 130), (120, 30)):
        assert any(a <= y < a + h and b <= x < b + w for a, b, h, w in crops)


def test_comparison_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    (frame,) = demo.clip(0, shots=1, frames=1, size=SMALL)
    path = tmp_path / "comparison.png"
    demo.comparison(path, {"bicubic 30.1 dB": frame * 0.9, "target": frame})
    assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert [p.name for p in tmp_path.iterdir()] == ["comparison.png"]
    before = path.read_bytes()

    def full(self, file, **_):
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", full)
    with pytest.raises(OSError, match="No space"):
        demo.comparison(path, {"target": frame}, crops=[(0, 0, 40, 50)])
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_comparison_wants_frames_of_one_shape(tmp_path):
    with pytest.raises(ValueError, match="one shape"):
        demo.comparison(tmp_path / "a.png", {"a": np.zeros((4, 4, 3)), "b": np.zeros((5, 4, 3))})
    with pytest.raises(ValueError, match="one shape"):
        demo.comparison(tmp_path / "a.png", {})


def test_importing_the_demo_leaves_matplotlib_alone():
    code = "import sys, fastup.demo; sys.exit(any(m.split('.')[0] == 'matplotlib' for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
