"""Halos: estimated from edges, inverted, and left alone where there are none."""

import json
import shutil
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenImageIO import ImageBuf
from test_cli import fails

import fastup
from fastup._resample import gaussian, resize
from fastup.errors import DataError, OptionError
from fastup.footage import dehalo
from fastup.footage.dehalo import prepare
from fastup.footage.halo import REACH, Halo, estimate, from_pairs, overshoot, response_of_inverse
from fastup.header import Header

HALOS = Halo(0.8, 1.6), Halo(0.3, 1.1), Halo(0.5, 1.2, 0.15, 4.3), Halo(0.0, 1.0, 0.2, 5.0)


@cache
def drawing(seed, size=(120, 240), filter="area", times=3):
    """Paints in shapes with ink lines around, made so many times as large and then smaller, (H, W, 3)."""
    rng = np.random.default_rng(seed)
    height, width = (times * n for n in size)
    y, x = np.ogrid[:height, :width]
    picture = np.full((height, width, 3), rng.uniform(0.3, 0.6, 3), np.float32)
    for _ in range(14):
        centre, radii = rng.uniform(0, 1, 2) * (height, width), rng.uniform(25, 130, 2) * times / 3
        from_centre = np.square((y - centre[0]) / radii[0]) + np.square((x - centre[1]) / radii[1])
        picture[from_centre < 1] = rng.uniform(0.2, 0.8, 3)
        if ink := rng.choice([0, 4]) * times / 3 / radii.min():  # its half width
            picture[(from_centre < (1 + ink) ** 2) & (from_centre > max(0, 1 - ink) ** 2)] = 0.15
    return resize(picture, size, filter)


def naive_halo(picture, halo):
    """The definition, sample by sample, in float64; edges repeated."""
    width = picture.shape[1]
    offsets = np.arange(-30, 31)
    blur, each = np.exp(-0.5 * (offsets / halo.width) ** 2), np.arange(width)[:, None]
    taken = np.zeros((width, width))  # how much each column takes of each
    np.add.at(taken, (each, np.clip(each + offsets, 0, width - 1)), blur / blur.sum())
    soft = taken @ picture
    peaked = picture + halo.peaking * (picture - soft)
    if not halo.echo:
        return peaked
    whole, part = int(halo.delay), halo.delay % 1
    at = np.arange(width) - whole
    late = (1 - part) * peaked[:, np.maximum(at, 0)] + part * peaked[:, np.maximum(at - 1, 0)]
    return (peaked + halo.echo * late) / (1 + halo.echo)


def peaked(pictures, halo, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    return [
        np.clip(naive_halo(picture, halo) + noise * rng.standard_normal(picture.shape), 0, 1).astype(np.float32)
        for picture in pictures
    ]


def peaking(halo, times, noise, seed):
    """What is estimated from eight drawings with a halo and noise."""
    drawings = [drawing(8 * seed + k, times=times) for k in range(8)]
    return estimate(peaked(drawings, halo, noise, seed)).halo.peaking


def psnr(a, b):
    return -10 * np.log10(np.mean((np.asarray(a, float) - b) ** 2))


@pytest.fixture(scope="module")
def clean():
    return [drawing(seed) for seed in range(8)]


@pytest.mark.parametrize("halo", [Halo(0.8, 1.6), Halo(0.3, 1.0), Halo(0.5, 1.2, 0.15, 4.3), Halo(0.4, 1.3, -0.1, 5.0)])
def test_taps_are_the_definition(halo):
    line = np.zeros((1, 121, 1))
    line[0, 60] = 1
    answer = naive_halo(line, halo)[0, 60 - REACH : 61 + REACH, 0]
    np.testing.assert_allclose(halo.taps, answer, atol=2e-4)
    assert halo.taps.sum() == pytest.approx(1)


def test_overshoot_is_of_a_step():
    assert overshoot(Halo().taps) == 0
    assert overshoot(np.array([-0.1, 1.2, -0.1])) == pytest.approx(0.1)
    assert overshoot(np.array([0.25, 0.5, 0.25])) == 0


@pytest.mark.parametrize("noise", [0.0, 2 / 255])
@pytest.mark.parametrize("halo", HALOS)
def test_the_kernel_is_found_and_undone(clean, halo, noise):
    frames = peaked(clean, halo, noise)
    found = estimate(frames)
    assert found.halo.peaking == pytest.approx(halo.peaking, abs=0.08)  # of one draw
    assert found.halo.width == pytest.approx(halo.width, abs=0.12) or not halo.peaking
    assert found.halo.echo == pytest.approx(halo.echo, abs=0.006)
    assert found.halo.delay == pytest.approx(halo.delay, abs=0.05)
    assert found.noise == pytest.approx(noise, abs=0.003)
    assert found.before == pytest.approx(overshoot(halo.taps), abs=0.05)
    assert found.after < 0.02
    assert found.edges > 300
    ours = [dehalo.dehalo(frame, found.taps, protect=2 * found.noise) for frame in frames]
    assert psnr(ours, clean) > psnr(frames, clean) + (3 if noise else 8)


@pytest.mark.parametrize(
    ("halo", "times", "noise", "draws", "bound"),
    [*((halo, 4, 0.0, 2, 0.05) for halo in HALOS), *((halo, 3, 2 / 255, 3, 0.08) for halo in HALOS[::2])],
)
def test_the_peaking_is_right_on_average(halo, times, noise, draws, bound):
    """A few draws of drawings and noise, and so much as their mean may be off by.

    `bench/bench_dehalo.py` prints both for ten draws of every kind.
    """
    found = np.array([peaking(halo, times, noise, seed) for seed in range(draws)]) - halo.peaking
    assert abs(found.mean()) < bound * (halo.peaking or 1)
    assert found.std(ddof=1) < bound * (halo.peaking or 1)


@pytest.mark.parametrize("noise", [0.0, 2 / 255])
def test_a_change_that_nobody_sees_changes_nothing(clean, noise):
    """Each way in which processors add changes the seventh digit."""
    frames = peaked(clean, HALOS[0], noise)
    change = np.float32(1e-7) * np.random.default_rng(1).standard_normal(frames[0].shape).astype(np.float32)
    found, other = estimate(frames).halo, estimate([frame + change for frame in frames]).halo
    assert other.peaking == pytest.approx(found.peaking, abs=0.006)
    assert other.width == pytest.approx(found.width, abs=0.012)


@pytest.mark.parametrize("noise", [0.0, 4 / 255])
@pytest.mark.parametrize("softness", [0.0, 0.6, 1.2])
def test_clean_frames_have_no_halo(noise, softness):
    soft = [gaussian(drawing(seed), softness) for seed in range(16)]  # fewer have too few edges when they are soft
    assert estimate(peaked(soft, Halo(), noise)).none


@pytest.mark.parametrize("noise", [0.0, 2 / 255])
def test_what_columns_show_too_is_no_halo(noise):
    """Lanczos rings by 6 % of a step in both directions: it stays, and what a transfer adds goes."""
    ringing = [np.clip(drawing(seed, filter="lanczos"), 0, 1) for seed in range(8)]
    assert estimate(peaked(ringing, Halo(), noise)).none
    frames = peaked(ringing, Halo(0.6, 1.6), noise)
    found = estimate(frames)
    assert found.before == pytest.approx(overshoot(Halo(0.6, 1.6).taps), abs=0.05)
    assert psnr([dehalo.dehalo(frame, found.taps) for frame in frames], ringing) > psnr(frames, ringing) + 5


def test_soft_chroma_does_not_hide_the_halo(clean):
    luma = [picture @ np.float32([0.299, 0.587, 0.114]) for picture in clean]
    soft = [y[..., None] + gaussian(picture - y[..., None], 1.4) for picture, y in zip(clean, luma, strict=True)]
    assert estimate(peaked(soft, Halo(), 0.004)).none
    halo = Halo(0.6, 1.5)
    frames = [
        np.clip(picture + naive_halo(y[..., None], halo) - y[..., None], 0, 1).astype(np.float32)
        for picture, y in zip(soft, luma, strict=True)
    ]
    found = estimate(frames)
    assert found.halo.peaking == pytest.approx(halo.peaking, abs=0.12)
    assert found.halo.width == pytest.approx(halo.width, abs=0.2)


def test_too_few_edges():
    with pytest.raises(DataError, match=r"0 edges that stand alone in 2 frames, expected 50"):
        estimate([np.full((60, 80, 3), 0.5, np.float32)] * 2)


def test_pairs_give_the_kernel_too(clean):
    halo = Halo(0.5, 1.4, 0.1, 4.0)
    frames = peaked(clean, halo, 0.004)
    found = from_pairs(zip(frames, clean, strict=True))
    np.testing.assert_allclose(found.taps, halo.taps, atol=0.01)
    dark = [np.maximum(picture - 0.15, 0) for picture in clean]  # so that undershoot is clipped
    frames_of_dark = peaked(dark, halo, 0.004)
    assert min(frame.min() for frame in frames_of_dark) == 0
    np.testing.assert_allclose(from_pairs(zip(frames_of_dark, dark, strict=True)).taps, halo.taps, atol=0.02)
    large = [np.repeat(np.repeat(picture, 2, 0), 2, 1) for picture in clean]
    assert psnr([dehalo.dehalo(frame, found.taps) for frame in frames], clean) > psnr(frames, clean) + 3
    assert from_pairs(zip(frames, large, strict=True)).before == pytest.approx(found.before, abs=0.2)
    for size in ((40, 60), (40, 20)):
        flat = np.full((*size, 3), 0.5, np.float32)
        with pytest.raises(DataError, match="nothing but flats in 1 frames"):
            from_pairs([(flat, flat)])
    with pytest.raises(DataError, match=r"twins explain .* same pictures"):
        from_pairs(zip(frames, clean[::-1], strict=True))


@given(
    taps=st.lists(st.floats(-0.2, 0.2), min_size=1, max_size=8),
    centre=st.floats(0.5, 2),
    strength=st.floats(0, 1),
    width=st.integers(1, 90),
)
@settings(deadline=None, max_examples=60)
def test_the_inverse_keeps_flats_and_hardly_amplifies(taps, centre, strength, width):
    kernel = np.array([*taps, centre, *taps[::-1]])
    if abs(kernel.sum()) < 0.3:
        return
    kernel /= kernel.sum()
    assert np.abs(response_of_inverse(kernel, 512, strength)).max() <= 1.2501
    flat = np.full((2, width, 3), 0.4, np.float32)
    np.testing.assert_allclose(dehalo.dehalo(flat, kernel, strength=strength), flat, atol=1e-5)


def test_a_kernel_is_undone_to_rounding(clean):
    halo = Halo(0.6, 1.5)
    picture = 0.25 + clean[0] / 2
    frame = naive_halo(picture, halo)
    assert 0 < frame.min() < frame.max() < 1
    inside = np.s_[:, 8:-8]  # at the ends of lines it depends on what lies beyond
    np.testing.assert_allclose(dehalo.dehalo(frame, halo.taps)[inside], picture[inside], atol=1e-3)
    half = dehalo.dehalo(frame, halo.taps, strength=0.5)
    np.testing.assert_allclose(half[inside], ((frame + picture) / 2)[inside], atol=1e-3)
    np.testing.assert_allclose(dehalo.dehalo(frame, halo.taps, strength=0), frame, atol=1e-6)


def test_flats_are_protected():
    rng = np.random.default_rng(0)
    frame = np.full((40, 200, 3), 0.3, np.float32)
    frame[:, 150:] = 0.7
    frame = (naive_halo(frame, Halo(0.8, 1.6)) + 0.004 * rng.standard_normal(frame.shape)).astype(np.float32)
    ours = dehalo.dehalo(frame, Halo(0.8, 1.6).taps, protect=0.03)
    np.testing.assert_array_equal(ours[:, :130], frame[:, :130])
    assert np.abs(ours[:, 145:155] - frame[:, 145:155]).max() > 0.1


# -- folders ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def filled(tmp_path_factory, clean):
    folder = tmp_path_factory.mktemp("filled")
    for n, frame in enumerate(peaked(clean, Halo(0.8, 1.6), 0.003)):
        header = Header.new(240, 120, timecode=f"01:00:00:{n:02d}", pixel_aspect=Fraction(8, 9), creator="a deck")
        fastup.write(folder / f"f{n:04d}.dpx", frame, header.replace(user_bits=5))
    return folder


@pytest.fixture
def folder(tmp_path, filled):
    return shutil.copytree(filled, tmp_path / "in")


def test_a_folder_is_dehaloed_and_headers_stay(folder, tmp_path, clean):
    plan = prepare(folder, tmp_path / "out")
    assert plan.estimate.halo.peaking == pytest.approx(0.8, abs=0.12)
    dehalo.run(plan)
    frames = fastup.find(tmp_path / "out")
    assert len(frames) == len(clean)
    ours = [fastup.read(path, "float32") for path in frames]
    before = [fastup.read(path, "float32") for path in fastup.find(folder)]
    assert psnr(ours, clean) > psnr(before, clean) + 5
    for path in frames:
        assert fastup.read_header(path) == fastup.read_header(folder / path.name)
    told = json.loads((tmp_path / "out" / "dehalo" / "kernel.json").read_text())
    assert told["taps"] == pytest.approx(plan.estimate.taps, abs=1e-6)


def test_the_same_command_carries_on_with_its_kernel(folder, tmp_path, monkeypatch):
    dehalo.run(prepare(folder, tmp_path / "out"))
    frames = fastup.find(tmp_path / "out")
    before = [path.read_bytes() for path in frames]
    frames[3].unlink()
    monkeypatch.setattr("fastup.footage.halo.estimate", lambda pictures: pytest.fail("looked for edges again"))
    plan = prepare(folder, tmp_path / "out")
    assert len(plan.todo) == 1
    dehalo.run(plan)
    assert [path.read_bytes() for path in frames] == before


@pytest.mark.parametrize(
    ("options", "name"), [({"strength": 0.5}, "strength"), ({"protect": 0}, "protect"), ({"kernel": [1]}, "kernel")]
)
def test_frames_of_other_options_do_not_mix(folder, tmp_path, options, name):
    given = {"kernel": [-0.1, 1.2, -0.1]}
    dehalo.run(prepare(folder, tmp_path / "out", **given))
    with pytest.raises(DataError, match=f"another {name}; --overwrite"):
        prepare(folder, tmp_path / "out", **given | options)
    assert len(prepare(folder, tmp_path / "out", overwrite=True, **given | options).todo) == 8


@pytest.mark.parametrize("left", [None, "", '{"taps": [1]'])
def test_frames_of_a_kernel_that_is_not_known_do_not_mix(folder, tmp_path, left):
    dehalo.run(prepare(folder, tmp_path / "out"))
    fastup.find(tmp_path / "out")[3].unlink()
    kept = tmp_path / "out" / "dehalo" / "kernel.json"
    kept.unlink() if left is None else kept.write_text(left)
    with pytest.raises(DataError, match=r"kernel.json: missing or damaged.* --overwrite"):
        prepare(folder, tmp_path / "out")
    assert len(prepare(folder, tmp_path / "out", overwrite=True, kernel=[1]).todo) == 8


def test_frames_of_another_folder_do_not_mix(folder, tmp_path):
    dehalo.run(prepare(folder, tmp_path / "out", kernel=[1]))
    other = folder.rename(tmp_path / "other")
    for path in fastup.find(other):
        path.rename(other / f"other{path.name}")
    for overwrite in (False, True):
        with pytest.raises(DataError, match=r"made with another source; expected another folder"):
            prepare(other, tmp_path / "out", kernel=[1], overwrite=overwrite)
    more = other.rename(folder)  # new frames in the folder that it was
    plan = prepare(more, tmp_path / "out", kernel=[1])
    assert len(plan.todo) == 8


def test_frames_of_two_kernels_do_not_mix_when_overwriting_stops(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    dehalo.run(prepare(folder, tmp_path / "out", kernel=Halo(0.8, 1.6)))
    plan = prepare(folder, tmp_path / "out", kernel=[1], overwrite=True)

    def stop(*progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dehalo.run(plan, stop)
    plan = prepare(folder, tmp_path / "out", kernel=[1])
    assert 0 < len(plan.todo) < 8
    dehalo.run(plan)
    for path in fastup.find(tmp_path / "out"):
        np.testing.assert_array_equal(fastup.read(path), fastup.read(folder / path.name))


def test_pillars_of_the_twins_are_cut_off(tmp_path):
    halo = Halo(0.6, 1.4)
    for name in ("in", "hd"):
        (tmp_path / name).mkdir()
    for seed in range(4):
        large = drawing(seed, (216, 288))
        wide = np.pad(large, ((0, 0), (48, 48), (0, 0)))  # 16:9 around 4:3
        fastup.write(tmp_path / "hd" / f"{seed}.dpx", wide, Header.new(384, 216, pixel_aspect=1))
        small = peaked([resize(large, (108, 144), "area")], halo)[0]
        fastup.write(tmp_path / "in" / f"{seed}.dpx", small)
    found = prepare(tmp_path / "in", tmp_path / "out", twins=tmp_path / "hd").estimate
    assert found.edges == 4
    assert found.before == pytest.approx(overshoot(halo.taps), abs=0.05)


def test_a_twin_that_holds_what_is_no_number_is_named(tmp_path, clean):
    for name in ("in", "hd"):
        (tmp_path / name).mkdir()
    twin = np.full(clean[0].shape, 0.5, np.float32)
    twin[3, 4] = np.nan
    fastup.write(tmp_path / "in" / "e\N{COMBINING ACUTE ACCENT}0.dpx", clean[0])  # as a Mac has it
    assert ImageBuf(twin).write(str(tmp_path / "hd" / "\N{LATIN SMALL LETTER E WITH ACUTE}0.exr"), "float")
    with pytest.raises(DataError, match=r"hd/\N{LATIN SMALL LETTER E WITH ACUTE}0\.exr: holds NaN or infinity"):
        prepare(tmp_path / "in", tmp_path / "out", twins=tmp_path / "hd")


def test_without_a_halo_frames_are_the_same(tmp_path, clean):
    (tmp_path / "in").mkdir()
    for n, frame in enumerate(clean):
        fastup.write(tmp_path / "in" / f"{n}.dpx", frame)
    dehalo.run(prepare(tmp_path / "in", tmp_path / "out"))
    for path in fastup.find(tmp_path / "in"):
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("options", "words"),
    [({"strength": 1.5}, "strength is 1.5"), ({"protect": -1}, "protect is -1"), ({"kernel": [1, 1]}, "2 taps"),
     ({"kernel": [1, 0, -1]}, "with a sum"), ({"kernel": [0, float("nan"), 0]}, "kernel"),
     ({"kernel": [1], "twins": "x"}, "kernel is given, and pairs too")],
)  # fmt: skip
def test_options_that_cannot_be(folder, tmp_path, options, words):
    with pytest.raises(OptionError, match=words):
        prepare(folder, tmp_path / "out", **options)


def test_the_command(run, folder, tmp_path, clean):
    code, out, err = run("dehalo", folder, tmp_path / "out")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    for part in ("kernel peaking 0.", "edges", "overshoot", "noise 0.00", "8 frames dehaloed to", "frames/s"):
        assert part in words
    assert (tmp_path / "out" / "dehalo" / "kernel.png").stat().st_size > 10_000
    code, out, _ = run("dehalo", folder, tmp_path / "hand", "--kernel", "0.8:1.6", "--protect", "0", "--json")
    told = json.loads(out)
    assert (told["made"], told["halo"]["peaking"]) == (8, 0.8)
    (tmp_path / "hd").mkdir()
    for n, frame in enumerate(clean[:4]):
        fastup.write(tmp_path / "hd" / f"f{n:04d}.png", frame)
    code, out, _ = run("dehalo", folder, tmp_path / "pairs", "--pairs", tmp_path / "hd")
    assert code == 0
    assert "4 pairs" in out
    run("dehalo", folder, tmp_path / "taps", "--kernel=-0.1,1.2,-0.1")
    assert len(fastup.find(tmp_path / "taps")) == 8


def test_the_command_fails_in_one_line(run, folder, tmp_path):
    fails(run("dehalo", folder, tmp_path / "out", "--kernel", "a:b"), 2, "kernel is 'a:b'")
    fails(run("dehalo", folder, tmp_path / "out", "--strength", "2"), 2, "strength is 2")
    fails(run("dehalo", folder, folder), 1, "input frames")
    fails(run("dehalo", tmp_path / "none", tmp_path / "out"), 1, "none")
    fastup.write(tmp_path / "grey.dpx", np.zeros((32, 32, 1), np.uint16))
    fails(run("dehalo", tmp_path / "grey.dpx", tmp_path / "out"), 1, "grey.dpx", "expected R, G and B")
    fastup.write(tmp_path / "light.exr", np.full((32, 32, 3), 4, np.float32))
    fails(run("dehalo", tmp_path / "light.exr", tmp_path / "out"), 1, "light.exr", "in codes")
    fails(run("dehalo", folder, tmp_path / "out", "--kernel", "nan:1.6"), 2, "kernel")
