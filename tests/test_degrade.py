"""fastup.footage.degrade against a plain twin, and on pictures whose answer is known."""

from fractions import Fraction

import naive
import numpy as np
import pytest
from OpenImageIO import ImageBuf
from test_cli import fails

import fastup
from fastup.errors import DataError, FastupError, OptionError
from fastup.footage.degrade import degrade, draw, pillars, prepare, run
from fastup.footage.recipe import TAPE, Recipe
from fastup.footage.stills import Folder
from fastup.header import Header


def picture(height, width, channels=3, seed=0):
    return np.random.default_rng(seed).random((height, width, channels), dtype=np.float32)


def edge(width=40):
    return np.repeat((np.arange(width) >= width // 2).astype(np.float32)[None, :, None], 3, axis=0) * 0.5 + 0.25


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_a_flat_frame_stays_flat_without_noise(value):
    found = degrade(np.full((54, 72, 3), value, np.float32), (24, 36), noise=0)
    np.testing.assert_allclose(found, value, atol=1e-6)


def test_degrade_against_the_twin_without_noise():
    frame = picture(36, 48)
    found = degrade(frame, (16, 24), softness=0.7, peaking=0.4, noise=0)
    np.testing.assert_allclose(found, naive.degrade(frame, (16, 24), 0.7, 0.4), atol=3e-6)


def test_softness_widens_an_edge_and_keeps_its_height():
    sharp, soft = (degrade(edge(), (3, 40), softness=s, peaking=0, noise=0)[1, :, 0] for s in (0, 1.5))
    assert np.count_nonzero((sharp > 0.26) & (sharp < 0.74)) == 0
    assert np.count_nonzero((soft > 0.26) & (soft < 0.74)) >= 4
    assert (np.diff(soft) >= -1e-6).all()
    assert soft[0] == pytest.approx(0.25)
    assert soft[-1] == pytest.approx(0.75)


def test_softness_leaves_the_columns_alone():
    upright = edge().transpose(1, 0, 2)
    np.testing.assert_allclose(degrade(upright, upright.shape[:2], softness=2, peaking=1, noise=0), upright, atol=1e-6)


def test_peaking_rings_on_both_sides_of_an_edge():
    ringing = degrade(edge(), (3, 40), softness=0.5, peaking=0.5, noise=0)[1, :, 0]
    assert ringing.min() < 0.24
    assert ringing.max() > 0.76
    assert ringing[0] == pytest.approx(0.25, abs=1e-6)
    assert ringing.mean() == pytest.approx(0.5, abs=1e-6)


def test_noise_has_the_deviation_that_was_asked_and_follows_the_seed():
    grey = np.full((200, 300, 3), 0.5, np.float32)
    one, again, other = (degrade(grey, (200, 300), noise=0.02, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert (one - 0.5).std() == pytest.approx(0.02, rel=0.02)
    across = np.corrcoef(one[:, :-1].ravel(), one[:, 1:].ravel())[0, 1]
    down = np.corrcoef(one[:-1].ravel(), one[1:].ravel())[0, 1]
    assert 0.1 < across < 0.4
    assert abs(down) < 0.02
    assert (one[:, 0] - 0.5).std() == pytest.approx(0.02, rel=0.15)


def test_the_result_is_clipped_and_the_frame_untouched():
    frame = picture(30, 40)
    before = frame.copy()
    found = degrade(frame, (20, 30), peaking=3, noise=0.5)
    assert found.min() == 0
    assert found.max() == 1
    assert found.dtype == np.float32
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize("option", [{"softness": -1}, {"peaking": float("nan")}, {"noise": float("inf")},
                                    {"chroma": 21}, {"size": (31, 40)}, {"size": (0, 4)}])  # fmt: skip
def test_options_that_cannot_be_used(option):
    with pytest.raises(OptionError, match=next(iter(option))):
        degrade(picture(30, 40), **{"size": (20, 30)} | option)


def test_frames_that_are_not():
    with pytest.raises(ValueError, match="shape"):
        degrade(np.zeros((4, 4), np.float32), (2, 2))
    with pytest.raises(TypeError, match="uint16"):
        degrade(np.zeros((4, 4, 3), np.uint16), (2, 2))


# -- resizing ----------------------------------------------------------------------------------------------------------


# -- chroma ------------------------------------------------------------------------------------------------------------


def test_chroma_is_narrowed_on_cb_and_cr_and_luma_left_alone():
    frame = picture(6, 60)
    found = degrade(frame, (6, 60), softness=0, peaking=0, noise=0, chroma=2.0)
    to_ycbcr = np.array(
        [[0.299, 0.587, 0.114], [-0.299 / 1.772, -0.587 / 1.772, 0.5], [0.5, -0.587 / 1.402, -0.114 / 1.402]]
    )
    planes = frame.astype(float) @ to_ycbcr.T
    offsets = np.arange(-8, 9)
    weights = np.exp(-(offsets**2) / 8)
    for plane in (1, 2):
        padded = np.pad(planes[:, :, plane], ((0, 0), (8, 8)), mode="edge")
        planes[:, :, plane] = sum(
            w / weights.sum() * padded[:, 8 + k : 68 + k] for k, w in zip(offsets, weights, strict=True)
        )
    np.testing.assert_allclose(found, np.clip(planes @ np.linalg.inv(to_ycbcr).T, 0, 1), atol=2e-6)


def test_chroma_does_nothing_to_greys_and_comes_after_the_noise():
    grey = np.repeat(picture(8, 40, 1), 3, axis=2)
    plain, narrow = (degrade(grey, (8, 40), softness=0, peaking=0, noise=0, chroma=chroma) for chroma in (0, 3))
    np.testing.assert_allclose(narrow, plain, atol=1e-6)
    flat = np.full((100, 300, 3), 0.5, np.float32)
    colours = [degrade(flat, (100, 300), noise=0.02, chroma=chroma) for chroma in (0, 3)]
    deviation = [(colour[..., 0] - colour[..., 1]).std() for colour in colours]
    assert deviation[1] < deviation[0] / 2
    assert colours[1].mean() == pytest.approx(0.5, abs=1e-3)
    luma = [colour @ np.float32([0.299, 0.587, 0.114]) for colour in colours]
    np.testing.assert_allclose(luma[1], luma[0], atol=1e-6)


def test_chroma_of_what_is_not_rgb():
    with pytest.raises(ValueError, match="found 1 channels"):
        degrade(picture(4, 4, 1), (4, 4), chroma=1)


# -- folders -----------------------------------------------------------------------------------------------------------

HD, SD = (108, 192), (48, 72)  # a tenth of the real ones: pillars of 24, 4/3 between them, 9/4 and 2


def hd_frame(number, left=24, right=24, level=64, noise=0.0):
    """Codes of a frame with pillars, and a picture that is bright at its borders."""
    rng = np.random.default_rng(number)
    codes = rng.integers(300, 900, (*HD, 3))
    codes[:, :left] = codes[:, HD[1] - right :] = level
    return np.clip(codes + np.round(rng.normal(0, noise, codes.shape)), 0, 1023).astype(np.uint16)


def hd_header(number, **values):
    values = {"pixel_aspect": 1, "timecode": f"01:00:00:{number:02d}", "frame_rate": 24, "slate": "7A"} | values
    return Header.new(HD[1], HD[0], big_endian=False, **values)


@pytest.fixture
def hd(tmp_path):
    """A folder of three frames with pillars."""
    folder = tmp_path / "HD"
    folder.mkdir()
    for number in range(3):
        fastup.write(folder / f"f{number:04d}.dpx", hd_frame(number), hd_header(number))
    return folder


def made(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_folder_becomes_twins(hd, tmp_path):
    sd, seen = tmp_path / "new" / "SD", []
    plan = prepare(hd, sd, SD)
    assert plan.trim == (24, 24, 0, 0)
    assert "24 and 24, in 3 frames" in plan.why_trim
    assert plan.picture == (108, 144)
    assert plan.pixel_aspect == Fraction(8, 9)
    assert not sd.exists()
    run(plan, lambda *progress: seen.append(progress))
    assert seen == [(n, 3, "degrading") for n in (1, 2, 3)]
    for number, path in enumerate(fastup.find(sd)):
        assert path.name == f"f{number:04d}.dpx"
        expected = naive.resized(hd_frame(number)[:, 24:168] / 1023, SD, "lanczos")
        codes = np.clip(expected, 0, 1) * 1023
        assert np.abs(fastup.read(path) - codes).max() <= 0.501
        header = Header.read(path)
        assert header.pixel_aspect == Fraction(8, 9)
        assert header.timecode == f"01:00:00:{number:02d}"
        asked = {"width": 72, "height": 48, "pixel_aspect": Fraction(8, 9)}
        assert header == hd_header(number).replace(**asked)
        assert header.file_size == path.stat().st_size


def test_other_formats_and_bits_become_ten_bits(tmp_path):
    pixels = np.round(picture(108, 144) * 65535).astype(np.uint16)
    fastup.write(tmp_path / "a.png", pixels, Header.new(144, 108, bits=16, pixel_aspect=Fraction(4, 3)))
    fastup.write(tmp_path / "b.dpx", pixels >> 4, Header.new(144, 108, bits=12, pixel_aspect=Fraction(4, 3)))
    fastup.write(tmp_path / "c.exr", (pixels / np.float32(65535)).astype(np.float32), Header.new(144, 108, bits=32))
    fastup.write(tmp_path / "d.dpx", pixels / np.float32(65535), Header.new(144, 108, bits=32))
    for name in ("a.png", "b.dpx", "c.exr", "d.dpx"):
        run(prepare(tmp_path / name, tmp_path / "SD", SD, trim=(0, 0, 0, 0)))
        twin = tmp_path / "SD" / f"{name[0]}.dpx"
        header = Header.read(twin)
        assert (header.bits, header.low_code, header.high_code) == (10, 0, 1023)
        assert header.pixel_aspect == Fraction(8, 9) * (Fraction(4, 3) if name[0] in "ab" else 1)
        codes = np.clip(naive.resized(pixels / 65535, SD, "lanczos"), 0, 1) * 1023
        assert np.abs(fastup.read(twin) - codes).max() <= (0.8 if name[0] == "b" else 0.501)  # 12 bits were cut


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_frame_is_named_that_holds_what_is_no_number(tmp_path, value):
    (tmp_path / "hd").mkdir()
    for number in range(2):
        frame = np.full((48, 64, 3), 0.5, np.float32)
        frame[3, 4, 1] = value if number else 0.25
        assert ImageBuf(frame).write(str(tmp_path / "hd" / f"f{number}.exr"), "float")
    with pytest.raises(DataError, match=r"hd/f1\.exr: holds NaN or infinity, expected finite numbers"):
        run(prepare(tmp_path / "hd", tmp_path / "sd", (24, 32), (0, 0, 0, 0)))
    assert not (tmp_path / "sd" / "f1.dpx").exists()


def test_trim_as_given_and_filter(hd, tmp_path):
    run(prepare(hd, tmp_path / "SD", (50, 90), trim=(30, 32, 4, 2), filter="area"))
    expected = naive.area(hd_frame(1)[4:106, 30:160] / 1023, (50, 90)) * 1023
    assert np.abs(fastup.read(tmp_path / "SD" / "f0001.dpx") - expected).max() <= 0.501
    aspect = Header.read(tmp_path / "SD" / "f0001.dpx").pixel_aspect
    assert aspect * Fraction(90, 50) == Fraction(130, 102)


@pytest.mark.parametrize(
    ("options", "trim"),
    [
        ({}, (24, 24, 0, 0)),
        ({"noise": 2}, (24, 24, 0, 0)),
        ({"level": 0}, (24, 24, 0, 0)),
        ({"level": 95}, (24, 24, 0, 0)),  # log black
        ({"left": 40, "right": 31}, (24, 24, 0, 0)),  # a 4:3 picture that is black at its sides
        ({"left": 22, "right": 23}, (24, 24, 0, 0)),  # or two columns wider
        ({"left": 19, "right": 21}, (18, 18, 0, 0)),  # a wider picture
        ({"left": 24, "right": 0}, (0, 0, 0, 0)),
        ({"left": 15, "right": 15}, (0, 0, 0, 0)),  # blanking
        ({"level": 200}, (0, 0, 0, 0)),  # not black
        ({"noise": 12}, (0, 0, 0, 0)),  # not flat
    ],
)
def test_pillars_are_found_by_looking(options, trim, tmp_path):
    fastup.write(tmp_path / "f.dpx", hd_frame(1, **options))
    assert prepare(tmp_path / "f.dpx", tmp_path / "SD", SD).trim == trim


def test_pillars_are_those_of_all_frames(hd, tmp_path):
    fastup.write(hd / "f0003.dpx", np.full((*HD, 3), 64, np.uint16))  # a black frame says nothing
    assert prepare(hd, tmp_path / "SD", SD).trim == (24, 24, 0, 0)
    logo = hd_frame(4)
    logo[40:50, 3:8] = 700
    fastup.write(hd / "f0004.dpx", logo)
    plan = prepare(hd, tmp_path / "SD", SD)
    assert plan.trim == (0, 0, 0, 0)
    assert "f0004.dpx" in plan.why_trim


def test_pillars_are_looked_for_throughout(tmp_path):
    paths = [tmp_path / f"{number}.dpx" for number in range(30)]
    for number, path in enumerate(paths):
        fastup.write(path, hd_frame(number, left=20 if number == 29 else 24), fsync=False)
    assert pillars(Folder(paths[0].parent)) == (20, 24, paths[29].name, 9)
    for path in paths[5:]:
        path.unlink()
    assert pillars(Folder(paths[0].parent)) == (24, 24, paths[0].name, 5)


def test_nothing_is_trimmed_of_what_is_all_black(tmp_path):
    fastup.write(tmp_path / "f.dpx", np.zeros((*HD, 3), np.uint16))
    plan = prepare(tmp_path / "f.dpx", tmp_path / "SD", SD)
    assert plan.trim == (0, 0, 0, 0)
    assert "all is black" in plan.why_trim


def test_pillars_of_pixels_that_are_not_square(tmp_path):
    wide = np.random.default_rng(0).integers(300, 900, (108, 144, 3)).astype(np.uint16)
    wide[:, :18] = wide[:, 126:] = 0  # HDV: 144 columns of 4/3 are 16:9, and 108 of them 4:3
    fastup.write(tmp_path / "f.dpx", wide, Header.new(144, 108, pixel_aspect=Fraction(4, 3)))
    plan = prepare(tmp_path / "f.dpx", tmp_path / "SD", SD)
    assert (plan.trim, plan.pixel_aspect) == ((18, 18, 0, 0), Fraction(8, 9))


def test_tape_is_drawn_by_name_alone(hd, tmp_path):
    tape = TAPE | {"softness": (0.3, 0.8), "noise": (0.0, 0.02)}
    run(prepare(hd, tmp_path / "all", SD, tape=tape, seed=5))
    run(prepare(hd / "f0002.dpx", tmp_path / "one", SD, trim=(24, 24, 0, 0), tape=tape, seed=5))
    assert made(tmp_path / "one")["f0002.dpx"] == made(tmp_path / "all")["f0002.dpx"]
    run(prepare(hd, tmp_path / "other", SD, tape=tape, seed=6))
    assert all(made(tmp_path / "other")[name] != data for name, data in made(tmp_path / "all").items())
    recipe = Recipe.parse("softness=0.3:0.8,noise=0.01")
    drawn = [draw(recipe, 5, f"f{number}") for number in range(200)]
    softness = [one["softness"] for one in drawn]
    assert 0.3 <= min(softness) < 0.35
    assert 0.75 < max(softness) <= 0.8
    assert {one["noise"] for one in drawn} == {0.01}
    recipe = Recipe.parse("softness=0.3:0.8")
    assert [draw(recipe, 5, f"f{number}")["softness"] for number in range(200)] == softness


def test_strengths_that_are_left_out(hd, tmp_path):
    """By the name, too; and frames without any are as those that are made smaller alone."""
    recipe = Recipe.parse("softness=0.3:0.8@0.25,noise=0.01@0.5,peaking=0.5,clean=0.2")
    drawn = [draw(recipe, 5, f"f{number}") for number in range(2000)]
    always = [draw(Recipe.parse("softness=0.3:0.8"), 5, f"f{number}")["softness"] for number in range(2000)]
    assert all(one["softness"] in (0, there) for one, there in zip(drawn, always, strict=True))
    shares = [np.mean([one[name] == 0 for one in drawn]) for name in ("softness", "noise", "peaking")]
    np.testing.assert_allclose(shares, [1 - 0.8 * 0.75, 1 - 0.8 * 0.5, 0.2], atol=0.03)
    assert all(one["softness"] == one["noise"] == 0 for one in drawn if not one["peaking"])
    run(prepare(hd, tmp_path / "plain", SD))
    run(prepare(hd, tmp_path / "some", SD, tape={"noise": (0.1, 0.1, 0.4)}, seed=4, clean=0.2))
    same = {name for name, data in made(tmp_path / "some").items() if data == made(tmp_path / "plain")[name]}
    recipe = Recipe.parse("noise=0.1@0.4,clean=0.2")
    assert same == {name for name in made(hd) if not draw(recipe, 4, name.removesuffix(".dpx"))["noise"]}
    assert 0 < len(same) < 3


def test_tape_is_what_degrade_does(hd, tmp_path):
    plan = prepare(hd / "f0000.dpx", tmp_path / "SD", SD, tape={"softness": 0.7, "peaking": 0.4, "chroma": 2.0})
    assert plan.recipe.tape == {
        "softness": (0.7, 0.7, 0),
        "peaking": (0.4, 0.4, 0),
        "noise": (0, 0, 0),
        "chroma": (2, 2, 0),
    }
    run(plan)
    frame = (hd_frame(0)[:, 24:168] / 1023).astype(np.float32)
    expected = degrade(frame, SD, filter="lanczos", softness=0.7, peaking=0.4, noise=0, chroma=2.0) * 1023
    assert np.abs(fastup.read(tmp_path / "SD" / "f0000.dpx") - expected).max() <= 0.501


def test_the_same_command_carries_on(hd, tmp_path):
    sd = tmp_path / "SD"
    run(prepare(hd, sd, SD))
    first = made(sd)
    (sd / "f0001.dpx").unlink()
    (sd / "f0002.dpx").write_bytes(b"mine")
    plan = prepare(hd, sd, SD)
    assert [plan.sink.place(number).name for number in plan.todo] == ["f0001.dpx"]
    run(plan)
    assert made(sd) == first | {"f0002.dpx": b"mine"}
    run(prepare(hd, sd, SD, overwrite=True))
    assert made(sd) == first


def test_a_damaged_frame_ends_it_and_the_others_stay(hd, tmp_path):
    data = (hd / "f0001.dpx").read_bytes()
    (hd / "f0001.dpx").write_bytes(data[:-100])
    with pytest.raises(FastupError, match=r"f0001.dpx: image data is cut short"):
        prepare(hd, tmp_path / "SD", SD)
    (hd / "f0001.dpx").write_bytes(data)
    plan = prepare(hd, tmp_path / "SD", SD)
    (hd / "f0001.dpx").write_bytes(data[:-100])
    with pytest.raises(FastupError, match=r"f0001.dpx: image data is cut short"):
        run(plan)
    assert "f0001.dpx" not in made(tmp_path / "SD")
    assert not [name for name in made(tmp_path / "SD") if name.startswith(".")]


def test_folders_that_will_not_do(hd, tmp_path):
    with pytest.raises(DataError, match="where the input frames are"):
        prepare(hd, hd, SD)
    with pytest.raises(DataError, match="an input frame"):
        prepare(hd / "f0000.dpx", hd, SD)
    with pytest.raises(DataError, match="a file, expected a folder"):
        prepare(hd, hd / "f0000.dpx", SD)
    with pytest.raises(OSError, match="nowhere"):
        prepare(tmp_path / "nowhere", tmp_path / "SD", SD)
    fastup.write(hd / "f0001.png", hd_frame(1))
    with pytest.raises(DataError, match="differ in their suffix alone"):
        prepare(hd, tmp_path / "SD", SD)
    (hd / "f0001.png").unlink()
    fastup.write(hd / "g.dpx", np.zeros((100, 192, 3), np.uint16))
    with pytest.raises(DataError, match=r"g.dpx: 192x100, but .*f0000.dpx is 192x108"):
        prepare(hd, tmp_path / "SD", SD)


@pytest.mark.parametrize(("descriptor", "channels"), [("RGBA", 4), ("LUMA", 1), ("CBYCR", 3)])
def test_what_is_not_rgb(descriptor, channels, tmp_path):
    header = Header.new(192, 108, descriptor=descriptor)
    fastup.write(tmp_path / "f.dpx", np.zeros((*HD, channels), np.uint16), header)
    with pytest.raises(DataError, match=r"f.dpx: .*, expected RGB"):
        prepare(tmp_path / "f.dpx", tmp_path / "SD", SD)


@pytest.mark.parametrize(
    "options",
    [{"size": (480, 720)}, {"trim": (96, 96, 0, 0)}, {"trim": (-1, 0, 0, 0)}, {"filter": "box"}, {"seed": -1},
     {"tape": {"hiss": 1}}, {"tape": {"noise": 2}}, {"tape": {"softness": (0.5, 0.2)}},
     {"tape": {"peaking": float("nan")}}],
)  # fmt: skip
def test_plans_that_cannot_be(options, hd, tmp_path):
    name = next(iter(options.get("tape", options)))
    with pytest.raises(OptionError, match=name):
        prepare(hd, tmp_path / "SD", **{"size": SD} | options)


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_does(run, hd, tmp_path):
    code, out, err = run("degrade", hd, tmp_path / "SD", "--size", "72x48", "--tape", "--noise", "0:0.01")
    assert (code, err) == (0, "")
    words = " ".join(out.split())
    for part in ("trim 24,24,0,0 (left, right, top, bottom): black columns", "size 144x108 to 72x48", "filter lanczos",
                 "pixel aspect 8:9, so that the picture is 1.333:1", "softness 0.5, peaking 0.25, noise 0 to 0.01",
                 "chroma 1.4; seed 0", "3 frames degraded to", "frames/s"):  # fmt: skip
        assert part in words
    code, out, _ = run("degrade", hd, tmp_path / "SD", "--size", "72x48")
    assert code == 0
    assert "0 frames degraded" in out
    assert "3 were there already (--overwrite makes them again)" in out
    assert "tape none" in " ".join(out.split())
    assert TAPE["noise"] == 0.006


def test_commands_that_cannot_be(run, hd, tmp_path):
    sd = tmp_path / "SD"
    fails(run("degrade", hd, sd), 2, "size", "720x480", "144x108")
    fails(run("degrade", hd, sd, "--size", "72"), 2, "size", "WIDTHxHEIGHT")
    fails(run("degrade", hd, sd, "--noise", "much"), 2, "noise", "LOW:HIGH")
    fails(run("degrade", hd, sd, "--noise", "1:2:3"), 2, "noise", "LOW:HIGH")
    fails(run("degrade", hd, sd, "--trim", "1,2"), 2, "trim", "left,right,top,bottom")
    fails(run("degrade", hd, hd), 1, "HD")
    fails(run("degrade", tmp_path / "none", sd), 1, "none")
    assert not sd.exists()
