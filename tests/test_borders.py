"""Borders: what is no picture is found at each side, and nothing of a picture is taken for it."""

import numpy as np
import pytest

import fastup
from fastup.errors import DataError
from fastup.footage import opening
from fastup.footage.stills import Folder
from fastup.pairs.borders import find
from fastup.trim import Trim

SIZE = (120, 180)


def picture(rng, size, level=(0.15, 0.9)):
    """Smooth patches of colour, bright to the rims."""
    coarse = rng.uniform(*level, (7, 9, 3))
    y, x = (np.linspace(0, n - 1.001, m) for n, m in zip(coarse.shape, size, strict=False))
    for axis, at in ((0, y), (1, x)):
        low, share = at.astype(int), (at % 1).reshape([-1 if k == axis else 1 for k in range(3)])
        coarse = coarse.take(low, axis) * (1 - share) + coarse.take(low + 1, axis) * share
    return coarse


def folder(path, frames):
    path.mkdir(exist_ok=True)
    for number, frame in enumerate(frames):
        fastup.write(path / f"f{number:03}.dpx", np.clip(np.rint(frame * 1023), 0, 1023).astype(np.uint16))
    return Folder(path)


def framed(rng, trim, black=64 / 1023, noise=0.004, size=SIZE, **kind):
    """A frame with borders."""
    frame = np.full((*size, 3), black)
    window = trim.window(size)
    frame[window[0] : window[0] + window[2], window[1] : window[1] + window[3]] = picture(rng, window[2:], **kind)
    return frame + rng.normal(0, noise, frame.shape)


@pytest.mark.parametrize(
    "trim", [Trim(), Trim(20, 20), Trim(0, 0, 15, 15), Trim(7, 9, 2, 0), Trim(1, 0, 1, 3)], ids=str
)
@pytest.mark.parametrize("black", [0, 95])
@pytest.mark.parametrize("noise", [0.004, 0.02])
def test_borders_are_found(tmp_path, trim, black, noise):
    rng = np.random.default_rng([black, *trim])
    found = find(folder(tmp_path / "f", [framed(rng, trim, black / 1023, noise) for _ in range(4)]))
    assert found.trim == trim
    assert "4 frames" in found.why


@pytest.mark.parametrize("seed", range(3))
def test_dark_scenes_and_black_frames_are_no_border(tmp_path, seed):
    rng = np.random.default_rng(seed)
    trim = Trim(10, 12)
    frames = [framed(rng, trim, level=(0.063, 0.065)) for _ in range(3)] + [framed(rng, trim)]
    frames.append(np.full((*SIZE, 3), 64 / 1023) + rng.normal(0, 0.004, (*SIZE, 3)))
    assert find(folder(tmp_path / "f", frames)).trim == trim


def test_a_film_that_is_black_has_no_borders(tmp_path):
    found = find(folder(tmp_path / "f", [np.zeros((*SIZE, 3))] * 3))
    assert found.trim == Trim()
    assert "black" in found.why


def test_night_is_no_border(tmp_path):
    """A few lights in the dark reach inwards by different distances: there is no straight edge."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(4):
        frame = np.full((*SIZE, 3), 0.07)
        for _ in range(12):
            y, x = (int(rng.integers(5, n - 5)) for n in SIZE)
            frame[y : y + 3, x : x + 3] = 0.8
        frames.append(frame + rng.normal(0, 0.004, frame.shape))
    assert find(folder(tmp_path / "f", frames)).trim == Trim()


def test_edges_that_slant_rise_and_begin_within_a_line(tmp_path):
    rng = np.random.default_rng(1)
    frames = []
    for _ in range(5):
        frame = framed(rng, Trim(8, 0, 0, 0))
        frame[60:, 8:10] = 64 / 1023  # slants by two columns
        frame[:, 10] = 0.4 * frame[:, 12] + 0.6 * 64 / 1023  # and rises
        frame[0, :90] = 64 / 1023  # half a line
        frames.append(frame)
    assert find(folder(tmp_path / "f", frames)).trim == Trim(11, 0, 1, 0)


@pytest.mark.parametrize("border", [0, 1, 12])
def test_rows_of_data_go(tmp_path, border):
    rng = np.random.default_rng(2)
    frames = []
    for _ in range(5):
        frame = framed(rng, Trim(0, 0, 2 + border, 0))
        frame[:2] = (rng.random(SIZE[1] // 6) > 0.5).repeat(6)[:, None] * 0.7
        frames.append(frame)
    assert find(folder(tmp_path / "f", frames)).trim == Trim(0, 0, 2 + border, 0)


def test_titles_in_a_letterbox_do_not_move_it(tmp_path):
    rng = np.random.default_rng(3)
    frames = []
    for _ in range(5):
        frame = framed(rng, Trim(0, 0, 20, 20))
        frame[106:112, 70:110] = 0.9
        frames.append(frame)
    assert find(folder(tmp_path / "f", frames)).trim == Trim(0, 0, 20, 20)


def test_one_frame_will_do(tmp_path):
    rng = np.random.default_rng(4)
    assert find(folder(tmp_path / "f", [framed(rng, Trim(16, 16))])).trim == Trim(16, 16)


def test_lines_along_the_top_are_no_data(tmp_path):
    """Drawn flats, with noise, with a line or a texture near the rim."""
    rng = np.random.default_rng(5)
    frames = []
    for k in range(6):
        frame = np.full((*SIZE, 3), 0.3 + 0.1 * k)
        frame[40:90, 30:120] = 0.2
        frame[4] -= 0.2
        frame[1:3, 20 + k : 60] = 0.05
        frames.append(frame + rng.normal(0, 0.006, frame.shape))
    assert find(folder(tmp_path / "f", frames)).trim == Trim()


@pytest.mark.parametrize("counted", [True, False])
def test_videos_are_looked_at_as_well(tape, counted):
    """`tape` is flat: of one shade a frame, and nothing is border."""
    with opening.source(tape) as source:
        if not counted:
            source.frame_count = None
        found = find(source)
    assert found.trim == Trim()
    assert "frames looked at" in found.why


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (5, 40), (40, 5), (9, 9)])
def test_small_frames(tmp_path, size):
    rng = np.random.default_rng(6)
    assert find(folder(tmp_path / "f", [picture(rng, size) for _ in range(4)])).trim == Trim()
    assert find(folder(tmp_path / "g", [np.zeros((*size, 3))] * 2)).trim == Trim()


def test_frames_of_other_sizes_are_refused(tmp_path):
    source = folder(tmp_path / "f", [np.full((20, 30, 3), 0.5), np.full((20, 32, 3), 0.5)])
    with pytest.raises(DataError, match=r"f001\.dpx: 32x20, but frames before are 30x20; expected one size"):
        find(source)
