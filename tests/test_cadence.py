"""Cadences against the truth, and clips that have none."""

from dataclasses import replace

import numpy as np
import pytest
import telecined
from telecined import CASES, SMALL, Case, bars, interlaced, progressive

import fastup
from fastup.errors import DataError, OptionError
from fastup.footage.cadence import FILM, INTERLACED, PROGRESSIVE, measure, track
from fastup.footage.weave import plan

pytest.importorskip("av")


def tracked(clip, bits=8, **options):
    return track(measure((planes[0] for planes in clip.frames), (1 << bits) - 1), **options)


def scored(case, seed):
    clip = telecined.make(replace(case, chroma=case.codec and case.chroma), seed)
    woven = plan(tracked(clip, case.bits))
    same = None if case.grain else lambda a, b: clip.drawing[a] == clip.drawing[b]
    return np.array(telecined.score(clip, [item[:2] for item in woven], same))


@pytest.mark.parametrize(
    "name",
    ["on ones", "on twos, grain 2, noise 1", "on threes, no grain, noise 2", "on twos, mouths only",
     "mixed, breaks inside scenes", "on twos, bottom field first", "on threes, MPEG-2"],
)  # fmt: skip
def test_drawings_stay_as_long_as_on_film(name):
    wrong, drawings, woven, frames = sum(scored(replace(CASES[name], frames=120), seed) for seed in range(2))
    assert drawings > 60
    assert wrong <= 0.01 * drawings
    assert woven <= 0.01 * frames


def test_the_score_tells_wrong_from_right():
    clip = telecined.make(Case(frames=80, grain=1), 0)
    as_they_are = [(n, n) for n in range(len(clip.frames))]
    wrong, drawings, woven, frames = telecined.score(clip, as_they_are)
    assert woven == pytest.approx(0.4 * frames, abs=2)
    assert wrong > 0.4 * drawings


@pytest.mark.parametrize("start", range(4))
@pytest.mark.parametrize("top_first", [True, False])
def test_every_first_phase_and_both_field_orders(start, top_first):
    case = Case(frames=60, grain=1, noise=1, start=start, top_first=top_first, edits=0, scene=(30, 40))
    cadence = tracked(telecined.make(case, 3))
    assert cadence.order == ("top" if top_first else "bottom")
    assert cadence.order_margin > 50
    assert not cadence.breaks.size
    first = cadence.phases[0]
    np.testing.assert_array_equal(cadence.phases, (first + np.arange(len(cadence))) % 5)


def test_a_given_order_is_taken():
    clip = telecined.make(Case(frames=60, grain=1, noise=1), 1)
    assert tracked(clip, order="bottom").order == "bottom"


def test_track_takes_frames_too_and_rgb():
    clip = telecined.make(Case(frames=60, grain=1, noise=1), 1)
    luma = [planes[0] for planes in clip.frames]
    cadence = fastup.telecine.track(luma)
    rgb = fastup.telecine.track(np.repeat(frame[..., None], 3, 2) for frame in luma)
    np.testing.assert_array_equal(cadence.states, tracked(clip).states)
    np.testing.assert_array_equal(rgb.states, cadence.states)


def test_mono_frames_are_luma():
    clip = telecined.make(Case(frames=60, grain=1, noise=1), 1)
    cadence = track(planes[0][..., None] for planes in clip.frames)
    np.testing.assert_array_equal(cadence.states, tracked(clip).states)


def test_sixteen_bits_are_like_eight():
    clip = telecined.make(Case(frames=80, grain=1, noise=1, bits=16, inner=1), 2)
    cadence = tracked(clip, 16)
    eight = track(measure([(planes[0] / 257).round().astype(np.uint8) for planes in clip.frames]))
    np.testing.assert_array_equal(cadence.states, eight.states)


def test_what_was_not_telecined_is_told():
    assert (track(bars(70, progressive)).kinds == PROGRESSIVE).mean() > 0.95
    assert (track(bars(70, interlaced)).kinds == INTERLACED).mean() > 0.95


def mixed_clip():
    case = Case(frames=64, grain=1, noise=1, size=(96, 160), edits=0)
    film = [planes[0] for planes in telecined.make(case, 1).frames]
    return [*film, *bars(60, interlaced), *bars(60, progressive), *film]


@pytest.mark.parametrize("top_first", [True, False])
def test_the_order_of_h264_is_found(top_first):
    case = replace(CASES["on twos, H.264"], frames=120, top_first=top_first)
    clip = telecined.make(case, 1)
    cadence = tracked(clip)
    assert cadence.order == ("top" if top_first else "bottom")
    assert (cadence.kinds == FILM).mean() > 0.95


def test_stretches_are_found_where_they_are():
    kinds = track(mixed_clip()).kinds[::2]
    assert (kinds[:78] == FILM).all()
    assert (kinds[82:138] == INTERLACED).all()
    assert (kinds[142:198] == PROGRESSIVE).all()
    assert (kinds[202:] == FILM).all()


def test_clips_that_cannot_be():
    frame = np.zeros((32, 32), np.uint8)
    with pytest.raises(DataError, match="fewer than five frames"):
        measure([frame] * 4)
    with pytest.raises(DataError, match=r"frame 3 is 48x32 of uint8, those before it are 32x32"):
        measure([frame, frame, frame, np.zeros((32, 48), np.uint8)])
    with pytest.raises(DataError, match="fewer than five"):
        track([])
    with pytest.raises(DataError, match="float32, expected codes"):
        track([np.zeros((32, 32), np.float32)] * 6)
    with pytest.raises(DataError, match=r"expected .height, width"):
        track([np.zeros((32, 32, 2), np.uint8)] * 6)
    with pytest.raises(OptionError, match="order is 'upper'"):
        track([frame] * 6, order="upper")
    with pytest.raises(DataError, match="expected 16x16 or more"):
        measure([frame[:8]] * 9)


def test_a_clip_with_few_neighbours_is_refused():
    clip = telecined.make(replace(SMALL, frames=16), 1)
    fields = measure([planes[0] for planes in clip.frames], 1023)
    with pytest.raises(DataError, match="fewer than five frames that follow another"):
        track(replace(fields, lost=tuple(range(0, len(fields), 2))))


def test_a_still_clip_says_nothing():
    cadence = track([np.full((32, 32), 99, np.uint8)] * 20)
    assert cadence.gain < 20
    assert cadence.order_margin < 1


@pytest.mark.parametrize("count", [5, 6, 7, 9])
def test_the_shortest_clips(count):
    clip = telecined.make(Case(frames=24, grain=1, noise=1), 1)
    luma = [planes[0] for planes in clip.frames[:count]]
    cadence = track(luma)
    assert len(cadence) == count
    assert len(plan(cadence)) in (round(0.8 * count) - 1, round(0.8 * count), round(0.8 * count) + 1)
