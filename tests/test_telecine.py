"""Inverse telecine: kernels against their twins, cadences against the truth, and the whole command."""

import json
import os
from dataclasses import replace
from fractions import Fraction

import naive
import numpy as np
import pytest
import telecined
from hypothesis import given, settings
from hypothesis import strategies as st
from telecined import CASES, Case
from test_cli import fails

import fastup
from fastup import _fields
from fastup.errors import DataError, OptionError
from fastup.footage import opening, telecine
from fastup.footage.sequences import timecode_at
from fastup.footage.weave import _join

av = pytest.importorskip("av")


# -- kernels ----------------------------------------------------------------------------------------------------------


@given(
    height=st.integers(16, 70), width=st.integers(16, 70), bits=st.sampled_from([8, 10, 16]), seed=st.integers(0, 99)
)
@settings(deadline=None, max_examples=40)
def test_compare_equals_its_twin(height, width, bits, seed):
    rng = np.random.default_rng(seed)
    kind = np.uint8 if bits == 8 else np.uint16
    frame, before = rng.integers(0, 1 << bits, (2, height, width)).astype(kind)
    for ours, twin in zip(_fields.compare(frame, before), naive.compare_fields(frame, before), strict=True):
        np.testing.assert_allclose(ours, twin, rtol=1e-4, atol=1e-2 * (1 << bits) / 256)


def test_compare_takes_rows_that_are_apart():
    frames = np.random.default_rng(0).integers(0, 256, (2, 32, 50), np.uint8)
    ours = _fields.compare(frames[0, :, 2:45], frames[1, :, 2:45])
    for a, b in zip(ours, _fields.compare(frames[0, :, 2:45].copy(), frames[1, :, 2:45].copy()), strict=True):
        np.testing.assert_array_equal(a, b)


@given(
    height=st.integers(1, 9), width=st.integers(1, 31), channels=st.sampled_from([3, 4]),
    kind=st.sampled_from([np.uint8, np.uint16]), most=st.sampled_from([1, 255, 1023, 65535]), seed=st.integers(0, 99),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_luma_equals_its_twin(height, width, channels, kind, most, seed):
    most = min(most, np.iinfo(kind).max)
    frame = np.random.default_rng(seed).integers(0, most + 1, (height, width, channels)).astype(kind)
    frame[0, 0] = most
    ours = _fields.luma(frame)
    assert ours.dtype == kind
    np.testing.assert_array_equal(ours, naive.quick_luma(frame))


@given(seed=st.integers(0, 10_000), count=st.integers(1, 5))
@settings(deadline=None, max_examples=60)
def test_the_cheapest_path_is_the_cheapest_of_all(seed, count):
    rng = np.random.default_rng(seed)
    follower, kind = np.array([1, 2, 0, 3], np.int8), np.array([0, 0, 0, 1], np.int8)
    entries = np.array([0, 2, 3], np.int8)
    cost, jump = rng.normal(0, 3, (count, 4)).astype(np.float32), rng.uniform(0, 4, count).astype(np.float32)
    path, through, total = _fields.cheapest(cost, jump, follower, kind, entries, 1.5)
    least = naive.cheapest_path(cost.astype(float), jump, follower, kind, entries, 1.5)
    assert total == pytest.approx(least.min(), abs=1e-4)
    np.testing.assert_allclose(through + total, least, atol=1e-3)
    np.testing.assert_allclose(least[np.arange(count), path], total, atol=1e-3)


# -- cadences ---------------------------------------------------------------------------------------------------------


def tracked(clip, bits=8, **options):
    return telecine.track(telecine.measure((planes[0] for planes in clip.frames), (1 << bits) - 1), **options)


def scored(case, seed):
    clip = telecined.make(replace(case, chroma=case.codec and case.chroma), seed)
    woven = telecine.plan(tracked(clip, case.bits))
    same = None if case.grain else lambda a, b: clip.drawing[a] == clip.drawing[b]
    return np.array(telecined.score(clip, [item[:2] for item in woven], same))


@pytest.mark.parametrize(
    "name",
    ["on ones", "on twos, grain 2, noise 1", "on threes, no grain, noise 2", "on twos, mouths only",
     "mixed, breaks inside scenes", "on twos, bottom field first", "on threes, MPEG-2"],
)  # fmt: skip
def test_drawings_stay_as_long_as_on_film(name):
    wrong, drawings, woven, frames = sum(scored(replace(CASES[name], frames=120), seed) for seed in range(5))
    assert drawings > 100
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
    cadence = telecine.track(planes[0][..., None] for planes in clip.frames)
    np.testing.assert_array_equal(cadence.states, tracked(clip).states)


def test_sixteen_bits_are_like_eight():
    clip = telecined.make(Case(frames=80, grain=1, noise=1, bits=16, inner=1), 2)
    cadence = tracked(clip, 16)
    eight = telecine.track(telecine.measure([(planes[0] / 257).round().astype(np.uint8) for planes in clip.frames]))
    np.testing.assert_array_equal(cadence.states, eight.states)


def bars(count, times, size=(96, 160), noise=1.0, seed=0):
    """Frames of a bar that moves: times(frame) gives when its top and its bottom field were taken."""
    rng = np.random.default_rng(seed)
    x = np.arange(size[1])
    for n in range(count):
        fields = [np.where(abs(x - 20 - 3 * t) < 12, 200.0, 60.0) for t in times(n)]
        frame = np.empty(size)
        frame[0::2], frame[1::2] = fields
        yield (frame + rng.normal(0, noise, size)).round().clip(0, 255).astype(np.uint8)


def progressive(n):
    return n % 36, n % 36


def interlaced(n):
    return n % 36, n % 36 + 0.5


def test_what_was_not_telecined_is_told():
    assert (telecine.track(bars(70, progressive)).kinds == telecine.PROGRESSIVE).mean() > 0.95
    assert (telecine.track(bars(70, interlaced)).kinds == telecine.INTERLACED).mean() > 0.95


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
    assert (cadence.kinds == telecine.FILM).mean() > 0.95


@pytest.mark.parametrize("claimed", ["top", "bottom"])
def test_where_there_is_no_film_the_file_tells_the_order(tmp_path, monkeypatch, claimed):
    write_video(tmp_path / "v.mkv", grey(bars(40, interlaced)))

    def open_clip(*arguments, real=opening.open_clip, **options):
        source = real(*arguments, **options)
        source.field_order = claimed
        return source

    monkeypatch.setattr(opening, "open_clip", open_clip)
    with pytest.raises(DataError, match="interlaced, but not telecined"):
        telecine.detelecine(tmp_path / "v.mkv", tmp_path / "out", order="top")
    assert telecine.detelecine(tmp_path / "v.mkv", tmp_path / "out", force=True)["order"] == claimed


@pytest.mark.parametrize("name", ["a$5_$6.mkv", "a,.mkv", "a:b.mkv", "http:x.mkv", b"\xff\xfe.mkv"])
def test_odd_names(video, tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(video[0].read_bytes())
    assert telecine.detelecine(path, tmp_path / "out")["written"] > 40
    assert telecine.detelecine(path, tmp_path / "out")["written"] == 0
    (report,) = (tmp_path / "out" / "telecine").glob("*.json")
    assert json.loads(report.read_text())["frames"] == len(video[1].frames)


def test_stretches_are_found_where_they_are():
    kinds = tracked_frames(mixed_clip()).kinds[::2]
    assert (kinds[:78] == telecine.FILM).all()
    assert (kinds[82:138] == telecine.INTERLACED).all()
    assert (kinds[142:198] == telecine.PROGRESSIVE).all()
    assert (kinds[202:] == telecine.FILM).all()


def tracked_frames(frames):
    return telecine.track(telecine.measure(frames))


def test_stretches_keep_the_length_and_the_time():
    frames = mixed_clip()
    cadence = tracked_frames(frames)
    for video in ("keep", "bob"):
        woven = telecine.plan(cadence, video=video)
        assert abs(len(woven) - 0.8 * len(frames)) <= 1
        for n, item in enumerate(woven):
            assert abs(max(item[:2]) - 1.25 * n) <= 2
    kinds = {item.kind for item in woven}
    assert kinds == {"film", "bob", "progressive"}
    with pytest.raises(OptionError, match="keep or bob"):
        telecine.plan(cadence, video="blend")


def test_bobbed_fields_are_whole_pictures_of_their_time():
    frames = list(bars(40, interlaced, noise=0))
    cadence = tracked_frames(frames)
    woven = telecine.plan(cadence, video="bob")
    made = list(telecine.weave(frames, cadence, woven))
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
    cadence = telecine.track(telecine.measure(luma, 255 if kind == "gray" else 1023))
    woven = telecine.plan(cadence, video="bob")
    for item, frame in zip(woven, telecine.weave(frames, cadence, woven, 1023), strict=True):
        parts = zip(
            *[(part if isinstance(part, tuple) else (part,)) for part in (frame, frames[max(item[:2])])], strict=True
        )
        for ours, source in parts:
            assert ours.shape == source.shape
            assert ours.dtype == source.dtype
            if item.kind == "bob":
                first = int(item.top < 0)
                np.testing.assert_array_equal(ours[first::2], source[first::2])


# -- weaving ----------------------------------------------------------------------------------------------------------


def test_frames_are_woven_by_bytes():
    clip = telecined.make(Case(frames=100, grain=1, noise=1, inner=1, chroma="420"), 4)
    cadence = tracked(clip)
    woven = telecine.plan(cadence)
    for item, planes in zip(woven, telecine.weave(clip.frames, cadence, woven), strict=True):
        assert item.kind in ("film", "orphan")
        for k, plane in enumerate(planes):
            for first, n in enumerate(item[:2]):
                if n >= 0:
                    np.testing.assert_array_equal(plane[first::2], clip.frames[n][k][first::2])


def test_weave_may_leave_frames_out():
    clip = telecined.make(Case(frames=60, grain=1, noise=1), 4)
    cadence = tracked(clip)
    woven = telecine.plan(cadence)
    every = list(telecine.weave(clip.frames, cadence))
    some = list(telecine.weave(clip.frames, cadence, woven[5::7]))
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
    woven = telecine.plan(cadence, sync=True)
    for n, item in enumerate(woven):
        field = min(2 * frame + parity for parity, frame in enumerate(item[:2]) if frame >= 0)
        first = starts[starts <= field].max()  # the field that the film frame begins with
        assert abs(n - first / 2.5) <= 1 + 1e-9
    assert abs(len(woven) - 0.8 * len(cadence)) <= 1


def test_orphans_keep_the_length_about_right():
    off = [len(telecine.plan(tracked(clip))) - 0.8 * len(clip.frames) for clip in map(many_breaks, range(4))]
    assert np.abs(off).max() <= 3


# -- bad clips --------------------------------------------------------------------------------------------------------


def test_clips_that_cannot_be():
    frame = np.zeros((32, 32), np.uint8)
    with pytest.raises(DataError, match="fewer than five frames"):
        telecine.measure([frame] * 4)
    with pytest.raises(DataError, match=r"frame 3 is 48x32 of uint8, those before it are 32x32"):
        telecine.measure([frame, frame, frame, np.zeros((32, 48), np.uint8)])
    with pytest.raises(DataError, match="fewer than five"):
        telecine.track([])
    with pytest.raises(DataError, match="float32, expected codes"):
        telecine.track([np.zeros((32, 32), np.float32)] * 6)
    with pytest.raises(DataError, match=r"expected .height, width"):
        telecine.track([np.zeros((32, 32, 2), np.uint8)] * 6)
    with pytest.raises(OptionError, match="order is 'upper'"):
        telecine.track([frame] * 6, order="upper")
    with pytest.raises(DataError, match="expected 16x16 or more"):
        telecine.measure([frame[:8]] * 9)


def test_a_still_clip_says_nothing():
    cadence = telecine.track([np.full((32, 32), 99, np.uint8)] * 20)
    assert cadence.gain < 20
    assert cadence.order_margin < 1


@pytest.mark.parametrize("count", [5, 6, 7, 9])
def test_the_shortest_clips(count):
    clip = telecined.make(Case(frames=24, grain=1, noise=1), 1)
    luma = [planes[0] for planes in clip.frames[:count]]
    cadence = telecine.track(luma)
    assert len(cadence) == count
    assert len(telecine.plan(cadence)) in (round(0.8 * count) - 1, round(0.8 * count), round(0.8 * count) + 1)


# -- files ------------------------------------------------------------------------------------------------------------


def write_video(path, frames, pixels="yuv420p", rate=Fraction(30000, 1001)):
    height, width = frames[0][0].shape
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, pixels
        for number, planes in enumerate(frames):
            picture = av.VideoFrame(width, height, pixels)
            picture.pts, picture.time_base = number, 1 / rate
            telecined.fill(picture, planes)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def grey(frames):
    return [(frame, *(np.full((48, 80), 128, np.uint8),) * 2) for frame in frames]


SMALL = Case(frames=64, grain=1, noise=1, size=(96, 160), bits=10, chroma="422", inner=1, top_first=False)


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    clip = telecined.make(SMALL, 5)
    path = tmp_path_factory.mktemp("video") / "tape.mkv"
    write_video(path, clip.frames, "yuv422p10le")
    return path, clip


def test_a_video_becomes_film_frames(video, tmp_path):
    path, clip = video
    seen = []
    report = telecine.detelecine(path, tmp_path / "out", on_progress=lambda *told: seen.append(told))
    frames = fastup.find(tmp_path / "out")
    assert len(frames) == report["film_frames"] == report["written"] == len(report["woven"])
    assert [path.name for path in frames[:2]] == ["tape_0000000.dpx", "tape_0000001.dpx"]
    assert {what for *_, what in seen} == {"measuring", "weaving"}
    assert seen[-1] == (len(frames), len(frames), "weaving")
    header = fastup.read_header(frames[7])
    assert header.frame_rate == pytest.approx(24000 / 1001, rel=1e-6)
    assert header.frame_position == 7
    assert report["order"] == "bottom"
    written = json.loads((tmp_path / "out" / "telecine" / "tape.json").read_text())
    assert len(written["phases"]) == len(clip.frames)
    assert written["woven"] == report["woven"]
    assert [item["frame"] for item in written["breaks"]] == clip.breaks
    assert (tmp_path / "out" / "telecine" / "tape.png").stat().st_size > 10_000
    wrong, _, woven, _ = telecined.score(clip, [item[:2] for item in report["woven"]])
    assert (wrong, woven) == (0, 0)


def test_a_second_run_carries_on(video, tmp_path):
    path, _ = video
    first = telecine.detelecine(path, tmp_path)
    frames = fastup.find(tmp_path)
    before = [frame.read_bytes() for frame in frames]
    for frame in frames[3::5]:
        frame.unlink()
    again = telecine.detelecine(path, tmp_path)
    assert again["written"] == len(frames[3::5])
    assert again["skipped"] == first["written"] - again["written"]
    assert [frame.read_bytes() for frame in frames] == before


def test_frames_of_another_plan_are_not_mixed(video, tmp_path):
    path, _ = video
    telecine.detelecine(path, tmp_path)
    with pytest.raises(DataError, match="woven otherwise"):
        telecine.detelecine(path, tmp_path, order="top", force=True)
    report = telecine.detelecine(path, tmp_path, order="top", force=True, overwrite=True)
    assert report["order"] == "top"
    (tmp_path / "telecine" / "tape.json").write_text("{")
    with pytest.raises(DataError, match="woven otherwise"):
        telecine.detelecine(path, tmp_path)


def test_review_shows_the_doubtful_frames(video, tmp_path):
    path, _ = video
    report = telecine.detelecine(path, tmp_path, review=True, order="top", force=True)  # the wrong way there are some
    doubts = [item for item in report["doubts"] if min(item["top"], item["bottom"]) >= 0]
    pictures = sorted((tmp_path / "telecine" / "tape").glob("*.png"))
    assert doubts
    assert [picture.name for picture in pictures] == [f"{item['film_frame']:07d}.png" for item in doubts]
    assert fastup.read(pictures[0]).shape == (96, 3 * 160, 3)


def test_a_folder_of_dpx_is_woven_by_bytes(tmp_path):
    clip = telecined.make(replace(SMALL, inner=0), 6)
    (tmp_path / "in").mkdir()
    for n, planes in enumerate(clip.frames):
        rgb = np.repeat(planes[0][..., None], 3, 2)
        header = fastup.Header.new(160, 96, frame_rate=30000 / 1001, pixel_aspect=Fraction(8, 9), creator="a scanner")
        fastup.write(tmp_path / "in" / f"{n:04d}.dpx", rgb, header.replace(user_bits=77))
    report = telecine.detelecine(tmp_path / "in", tmp_path / "out")
    frames = fastup.find(tmp_path / "out")
    for (top, bottom, kind), path in zip(report["woven"], frames, strict=True):
        frame = fastup.read(path)
        if kind == "film":
            np.testing.assert_array_equal(frame[0::2, :, 1], clip.frames[top][0][0::2])
            np.testing.assert_array_equal(frame[1::2, :, 2], clip.frames[bottom][0][1::2])
    header = fastup.read_header(frames[0])
    assert (header.creator, header.user_bits) == ("a scanner", 77)
    assert header.frame_rate == pytest.approx(24000 / 1001, rel=1e-6)


def film(folder):
    """Film frames by their numbers."""
    return {int(path.stem.split("_")[-1]): path for path in fastup.find(folder)}


@pytest.fixture(scope="module")
def stills(tmp_path_factory):
    """150 stills with timecodes, without a break, and a folder of the film that they give; nothing may be written."""
    folder = tmp_path_factory.mktemp("stills")
    clip = telecined.make(replace(SMALL, frames=120, inner=0, edits=0, scene=(40, 60)), 5)
    assert (len(clip.frames), clip.breaks) == (150, [])
    (folder / "tape").mkdir()
    for n, (luma, *_) in enumerate(clip.frames):
        header = fastup.Header.new(
            160, 96, frame_rate=30000 / 1001, user_bits=n,
            timecode=timecode_at("01:00:58;20", n, Fraction(30000, 1001)),
        )  # fmt: skip
        fastup.write(folder / "tape" / f"t{n:04d}.dpx", np.repeat(luma[..., None], 3, 2), header, fsync=False)
    assert telecine.detelecine(folder / "tape", folder / "film")["film_frames"] == 120
    return folder


@pytest.mark.parametrize(
    ("gone", "lost", "half", "words", "options"),
    [
        (range(60, 80), range(48, 64), [], "20 stills are missing between t0059.dpx ", {}),
        (range(60, 80), range(48, 64), [], "20 stills are missing between t0059.dpx ", {"sync": True}),
        (range(60, 73), range(48, 58), [58], "13 stills are missing between ", {"sync": True}),
        ([7, 30, 31, 40], [24, 32], [6, 25], "4 stills are missing: 1 between t0006.dpx ", {}),
        ([40], [1], [], "1 still is missing between t0039.dpx ", {"start": 38}),
    ],
)
@pytest.mark.parametrize("renumbered", [False, True])
def test_missing_stills_keep_their_time(stills, tmp_path, gone, lost, half, words, options, renumbered):
    """Film frames are what and where they are without a gap, but for those whose fields are missing."""
    (tmp_path / "tape").mkdir()
    there = [n for n in range(150) if n not in gone]
    for number, n in enumerate(there):
        (tmp_path / "tape" / f"t{number if renumbered else n:04d}.dpx").symlink_to(stills / "tape" / f"t{n:04d}.dpx")
    for _ in range(2):  # the second finds it all there
        with pytest.raises(
            DataError, match=words + ("" if renumbered else r".*; the \d+ film frames of what there is")
        ):
            telecine.detelecine(tmp_path / "tape", tmp_path / "film", **options)
    full = stills / "film"
    if options.get("start"):
        full = tmp_path / "full"
        telecine.detelecine(stills / "tape", full, **options)
    whole, found = film(full), film(tmp_path / "film")
    assert sorted(whole.keys() - found.keys()) == list(lost)
    assert not found.keys() - whole.keys()
    headers = {n: (fastup.read_header(found[n]), fastup.read_header(whole[n])) for n in found}
    assert all(a.timecode == b.timecode and a.frame_position == b.frame_position for a, b in headers.values())
    assert [n for n in found if found[n].read_bytes() != whole[n].read_bytes()] == half
    told = json.loads(next((tmp_path / "film" / "telecine").glob("*.json")).read_text())
    assert told["lost"] == [n - options.get("start", 0) for n in gone]
    assert [n for n, (*_, kind) in enumerate(told["woven"]) if kind == "lost"] == list(lost)
    assert [n for n, (*_, kind) in enumerate(told["woven"]) if kind == "orphan"] == half


def test_film_frames_have_the_header_of_their_still(stills):
    told = json.loads((stills / "film" / "telecine" / "tape.json").read_text())["woven"]
    for n, path in film(stills / "film").items():
        header = fastup.read_header(path)
        assert header.user_bits == min(told[n][:2])
        start = timecode_at("01:00:58;20", 0, Fraction(30000, 1001))
        assert header.timecode == timecode_at(start, n, Fraction(30000, 1001), Fraction(24000, 1001))


def test_another_timecode_goes_on_in_the_film(stills, tmp_path):
    (tmp_path / "tape").mkdir()
    for n in range(60):
        path = tmp_path / "tape" / f"t{n:04d}.dpx"
        header = fastup.read_header(stills / "tape" / path.name)
        timecode = f"05:00:00:{n - 31:02d}" if n > 30 else header.timecode
        fastup.write(path, fastup.read(stills / "tape" / path.name), header.replace(timecode=timecode), fsync=False)
    report = telecine.detelecine(tmp_path / "tape", tmp_path / "film")
    assert any("timecode does not run on from t0030.dpx" in note for note in report["notes"])
    found = [str(fastup.read_header(path).timecode) for path in fastup.find(tmp_path / "film")]
    assert found[:25] == [str(fastup.read_header(path).timecode) for path in fastup.find(stills / "film")][:25]
    assert found[25:] == [f"05:00:00:{n:02d}" for n in range(23)]


def test_a_clip_with_few_neighbours_is_refused():
    clip = telecined.make(replace(SMALL, frames=16), 1)
    fields = telecine.measure([planes[0] for planes in clip.frames], 1023)
    with pytest.raises(DataError, match="fewer than five frames that follow another"):
        telecine.track(replace(fields, lost=tuple(range(0, len(fields), 2))))


def test_a_progressive_clip_is_refused(tmp_path):
    write_video(tmp_path / "p.mkv", grey(bars(50, progressive)))
    with pytest.raises(DataError, match=r"not telecined: \d+% of it is progressive.*--force"):
        telecine.detelecine(tmp_path / "p.mkv", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert telecine.detelecine(tmp_path / "p.mkv", tmp_path / "out", force=True)["film_frames"] == 40


def test_a_clip_of_another_rate_is_refused(tmp_path):
    write_video(tmp_path / "p.mkv", grey(bars(20, progressive)), rate=Fraction(25))
    with pytest.raises(DataError, match=r"25 frames/s, expected the 29.97"):
        telecine.detelecine(tmp_path / "p.mkv", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_still_clip_is_refused(tmp_path):
    write_video(tmp_path / "s.mkv", grey([np.full((96, 160), 90, np.uint8)] * 30))
    with pytest.raises(DataError, match="no sign of a cadence"):
        telecine.detelecine(tmp_path / "s.mkv", tmp_path / "out")


def test_places_that_cannot_be(video, tmp_path):
    path, _ = video
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="a file, expected a folder"):
        telecine.detelecine(path, tmp_path / "file")
    with pytest.raises(OptionError, match="top or bottom"):
        telecine.detelecine(path, tmp_path / "out", order="upper")
    with pytest.raises(FileNotFoundError, match=r"missing\.mov"):
        telecine.detelecine(tmp_path / "missing.mov", tmp_path / "out")
    fastup.write(tmp_path / "f.dpx", np.zeros((32, 32, 3), np.uint16))
    with pytest.raises(DataError, match="this is where the input frames are"):
        telecine.detelecine(tmp_path, tmp_path)


def test_a_part_has_numbers_of_its_own(video, tmp_path):
    path, clip = video
    telecine.detelecine(path, tmp_path, end=40)
    report = telecine.detelecine(path, tmp_path, start=40, lines=92)
    assert report["first_frame"] == 40
    assert report["frames"] == len(clip.frames) - 40
    names = [frame.name for frame in fastup.find(tmp_path)]
    assert names[:2] == ["tape_0000000.dpx", "tape_0000001.dpx"]
    assert names[-1] == f"tape_0000040_{report['film_frames'] - 1:07d}.dpx"
    assert {"tape.json", "tape_0000040.json"} < {entry.name for entry in (tmp_path / "telecine").iterdir()}
    last = fastup.find(tmp_path)[-1]
    assert fastup.read(last).shape == (92, 160, 3)
    assert fastup.read_header(last).height == 92
    assert telecine.detelecine(path, tmp_path, end=40)["written"] == 0
    with pytest.raises(DataError, match="woven otherwise"):
        telecine.detelecine(path, tmp_path, start=40)  # without the crop
    assert fastup.read_header(last).frame_position == 32 + report["film_frames"] - 1


def test_a_damaged_video_gives_what_there_is(video, tmp_path):
    path, _ = video
    with av.open(str(path)) as source, av.open(str(tmp_path / "cut.mkv"), "w") as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for number, packet in enumerate(source.demux(video=0)):
            if packet.dts is None:
                continue
            if number == 60:  # a codec whose frames need those before them, up to the next key frame
                packet = av.Packet(b"\xff" * 500)
                packet.pts = packet.dts = number * 33
            packet.stream = stream
            container.mux(packet)
    with pytest.raises(
        DataError, match=r"\d+ frames cannot be decoded: 60, .*; the \d+ film frames of what there is are in"
    ):
        telecine.detelecine(tmp_path / "cut.mkv", tmp_path / "out")
    telecine.detelecine(path, tmp_path / "full")
    assert 40 < len(fastup.find(tmp_path / "out")) < 60
    report = json.loads((tmp_path / "out" / "telecine" / "cut.json").read_text())
    whole, there = film(tmp_path / "full"), film(tmp_path / "out")
    assert report["lost"] == list(range(60, 72))
    assert whole.keys() - there.keys() == set(range(49, 58))  # of 48 one field is left
    assert [n for n in there if (fastup.read(there[n]) != fastup.read(whole[n])).any()] == [48]
    assert all(fastup.read_header(there[n]).frame_position == n for n in there)


# -- the command ------------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_found(run, video, tmp_path):
    path, clip = video
    code, out, err = run("detelecine", path, tmp_path / "out", "--sync")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    for part in (
        "source ffv1, yuv422p10le, 160x96", "field order bottom first", f"breaks {len(clip.breaks)}",
        f"frames {len(clip.frames)} of video", "frames written to", "details", "note: no tag of a matrix",
    ):  # fmt: skip
        assert part in words
    code, out, _ = run("detelecine", path, tmp_path / "out", "--json")
    told = json.loads(out)
    assert code == 0
    assert told["written"] == 0
    assert len(told["phases"]) == len(clip.frames)


def test_extract_undoes_pulldown_too(run, video, tmp_path):
    path, _ = video
    assert run("detelecine", path, tmp_path / "a")[0] == 0
    assert run("extract", path, tmp_path / "b", "--detelecine")[0] == 0
    a, b = fastup.find(tmp_path / "a"), fastup.find(tmp_path / "b")
    assert [one.read_bytes() for one in a] == [one.read_bytes() for one in b]
    fails(run("extract", path, tmp_path / "c", "--detelecine", "--every", "2"), 2, "every")


def test_the_command_fails_in_one_line(run, video, tmp_path):
    path, _ = video
    fails(run("detelecine", path, tmp_path / "out", "--order", "upper"), 2, "upper")
    fails(run("detelecine", path, tmp_path / "out", "--lines", "95"), 2, "lines is 95")
    fails(run("detelecine", tmp_path / "none.mov", tmp_path / "out"), 1, "none.mov")
    write_video(tmp_path / "p.mkv", grey(bars(30, progressive)))
    fails(run("detelecine", tmp_path / "p.mkv", tmp_path / "out"), 1, "not telecined", "--force")
    assert not (tmp_path / "out").exists()
