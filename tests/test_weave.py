"""Film frames out of a cadence: which they are, and that they are woven by bytes."""

import numpy as np
import pytest
import telecined
from telecined import Case, bars, interlaced
from test_cadence import mixed_clip, tracked

from fastup.errors import OptionError
from fastup.footage.cadence import measure, track
from fastup.footage.weave import _join, plan, weave

pytest.importorskip("av")


def test_stretches_keep_the_length_and_the_time():
    frames = mixed_clip()
    cadence = track(frames)
    for video in ("keep", "bob"):
        woven = plan(cadence, video=video)
        assert abs(len(woven) - 0.8 * len(frames)) <= 1
        for n, item in enumerate(woven):
            assert abs(max(item[:2]) - 1.25 * n) <= 2
    kinds = {item.kind for item in woven}
    assert kinds == {"film", "bob", "progressive"}
    with pytest.raises(OptionError, match="keep or bob"):
        plan(cadence, video="blend")


def test_bobbed_fields_are_whole_pictures_of_their_time():
    frames = list(bars(40, interlaced, noise=0))
    cadence = track(frames)
    woven = plan(cadence, video="bob")
    made = list(weave(frames, cadence, woven))
    for item, frame in list(zip(woven, made, strict=True))[2:-2]:
        field = frames[max(item[:2])][int(item.top < 0) :: 2]
        np.testing.assert_array_equal(frame[int(item.top < 0) :: 2], field)  # its own lines are as they were
        wrong = np.abs(frame.astype(int) - np.repeat(field, 2, axis=0)) > 20
        assert wrong.mean() < 0.01


@pytest.mark.parametrize("kind", ["rgb", "yuv420p10", "gray"])
def test_bob_takes_every_kind_of_frame(kind):
    frames = list(bars(20, interlaced, noise=0))
    if kind == "rgb":
        frames = [np.stack([frame.astype(np.uint16) * 4, frame, 255 - frame], -1).astype(np.uint16) for frame in frames]
    elif kind == "yuv420p10":
        frames = [(frame.astype(np.uint16) * 4, *(np.full((48, 80), 512, np.uint16),) * 2) for frame in frames]
    luma = [frame[0] if isinstance(frame, tuple) else frame for frame in frames]
    cadence = track(measure(luma, 255 if kind == "gray" else 1023))
    woven = plan(cadence, video="bob")
    for item, frame in zip(woven, weave(frames, cadence, woven, 1023), strict=True):
        parts = zip(
            *[(part if isinstance(part, tuple) else (part,)) for part in (frame, frames[max(item[:2])])], strict=True
        )
        for ours, source in parts:
            assert ours.shape == source.shape
            assert ours.dtype == source.dtype
            if item.kind == "bob":
                first = int(item.top < 0)
                np.testing.assert_array_equal(ours[first::2], source[first::2])


def test_frames_are_woven_by_bytes():
    clip = telecined.make(Case(frames=100, grain=1, noise=1, inner=1, chroma="420"), 4)
    cadence = tracked(clip)
    woven = plan(cadence)
    for item, planes in zip(woven, weave(clip.frames, cadence, woven), strict=True):
        assert item.kind in ("film", "orphan")
        for k, plane in enumerate(planes):
            for first, n in enumerate(item[:2]):
                if n >= 0:
                    np.testing.assert_array_equal(plane[first::2], clip.frames[n][k][first::2])


def test_weave_may_leave_frames_out():
    clip = telecined.make(Case(frames=60, grain=1, noise=1), 4)
    cadence = tracked(clip)
    woven = plan(cadence)
    every = list(weave(clip.frames, cadence))
    some = list(weave(clip.frames, cadence, woven[5::7]))
    for a, b in zip(every[5::7], some, strict=True):
        np.testing.assert_array_equal(a[0], b[0])


def test_a_lone_field_gets_its_other_lines_from_its_own():
    ramp = np.repeat(np.arange(64, dtype=np.uint8)[:, None] * 2, 20, 1)
    for first in (0, 1):
        made = _join(*((ramp, None) if first == 0 else (None, ramp)))
        np.testing.assert_array_equal(made[4:-4], ramp[4:-4])
        np.testing.assert_array_equal(made[first::2], ramp[first::2])
    there = np.array([[1], [1], [0], [0]], np.uint16)  # in the middle between them 0.5, which goes up as all codes do
    np.testing.assert_array_equal(_join(there.repeat(2, 0), None)[3], [1])


def many_breaks(seed):
    case = Case(frames=240, grain=1, noise=1, scene=(10, 16), edits=1.0, size=(64, 96), chroma="")
    return telecined.make(case, seed)


@pytest.mark.parametrize("seed", range(16))
def test_sync_holds_the_length_everywhere(seed):
    clip = many_breaks(seed)
    cadence = tracked(clip)
    assert len(cadence.breaks) > 8
    starts = np.flatnonzero(~cadence.joins)
    woven = plan(cadence, sync=True)
    for n, item in enumerate(woven):
        field = min(2 * frame + parity for parity, frame in enumerate(item[:2]) if frame >= 0)
        first = starts[starts <= field].max()  # the field that the film frame begins with
        assert abs(n - first / 2.5) <= 1 + 1e-9
    assert abs(len(woven) - 0.8 * len(cadence)) <= 1


def test_orphans_keep_the_length_about_right():
    off = [len(plan(tracked(clip))) - 0.8 * len(clip.frames) for clip in map(many_breaks, range(4))]
    assert np.abs(off).max() <= 3
