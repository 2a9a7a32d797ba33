"""fastup.footage.convert: what every format keeps, curves against a plain twin, and folders."""

import math
from fractions import Fraction

import numpy as np
import OpenImageIO
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_cli import fails

import fastup
from fastup.codes import Transfer
from fastup.errors import DataError, FastupError, OptionError
from fastup.footage.convert import CURVES, decode, encode, prepare, run
from fastup.header import Header


def convert(source, destination, **options):
    """Convert, and give what was said."""
    plan = prepare(source, destination, **options)
    run(plan)
    return list(plan.assumed)


def codes(white=1023, channels=3, height=12, width=31, seed=0):
    return np.random.default_rng(seed).integers(0, white + 1, (height, width, channels)).astype(np.uint16)


def ramp(white=1023):
    """Every code there is, grey."""
    return np.repeat(np.arange(white + 1, dtype=np.uint16).reshape(1, -1, 1), 3, axis=2)


def header(frame, bits=10, **values):
    return Header.new(frame.shape[1], frame.shape[0], bits=bits, **values)


def linear_of_log(code, black=95, white=685):
    """One code of 10 bits, after the formula."""
    base = math.pow(10, (black - white) * 0.002 / 0.6)
    return (math.pow(10, (code - white) * 0.002 / 0.6) - base) / (1 - base)


def srgb_of_linear(light):
    return 12.92 * light if light <= 0.0031308 else 1.055 * math.pow(light, 1 / 2.4) - 0.055


def rec709_of_linear(light):
    return 4.5 * light if light < 0.018 else 1.099 * math.pow(light, 0.45) - 0.099


# -- curves ------------------------------------------------------------------------------------------------------------


def test_the_known_codes_of_log():
    assert decode(95 / 1023, "log") == pytest.approx(0, abs=1e-15)
    assert decode(685 / 1023, "log") == pytest.approx(1, abs=1e-15)
    assert decode(445 / 1023, "log") == pytest.approx(linear_of_log(445), rel=1e-13)
    assert decode(445 / 1023, "log") == pytest.approx(0.14930, abs=5e-5)
    assert encode(0.18, "log") * 1023 == pytest.approx(467.84, abs=0.01)
    assert encode(-1.0, "log") == 0
    assert decode(100 / 1023, "log", black=64, white=940) == pytest.approx(linear_of_log(100, 64, 940), rel=1e-12)


@given(st.floats(-0.2, 14))
def test_curves_against_the_formulas(value):
    assert encode(value, "srgb") == pytest.approx(srgb_of_linear(value), abs=1e-14)
    assert encode(value, "rec709") == pytest.approx(rec709_of_linear(value), abs=1e-14)
    assert decode(value, "log") == pytest.approx(linear_of_log(value * 1023), rel=1e-12)
    assert encode(value, "linear") == decode(value, "linear") == value


@given(st.floats(0, 1), st.sampled_from(CURVES))
def test_curves_are_inverse(value, curve):
    tolerance = {"srgb": 1e-7, "rec709": 4e-4}.get(curve, 1e-12)  # whose parts don't quite meet
    assert encode(decode(value, curve), curve) == pytest.approx(value, abs=tolerance)


@pytest.mark.parametrize("curve", CURVES)
def test_curves_rise(curve):
    # Where the two parts of Rec.709 meet there is a step, up for encoding and so a little down for decoding.
    values = np.linspace(0, 1, 1024)
    assert (np.diff(encode(values, curve)) > 0).all()
    assert (np.diff(decode(values, curve)) > 0).all()


# -- code values untouched ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "tif", "tiff", "exr", "dpx"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_codes_come_back_from_every_format(bits, suffix, tmp_path):
    frame = codes((1 << bits) - 1)
    fastup.write(tmp_path / "a.dpx", frame, header(frame, bits, pixel_aspect=Fraction(8, 9)))
    convert(tmp_path / "a.dpx", tmp_path / f"b.{suffix}")
    assert fastup.read_header(tmp_path / f"b.{suffix}").pixel_aspect == Fraction(8, 9)
    convert(tmp_path / f"b.{suffix}", tmp_path / "c.dpx", bits=bits)
    np.testing.assert_array_equal(fastup.read(tmp_path / "c.dpx"), frame)
    assert Header.read(tmp_path / "c.dpx").pixel_aspect == Fraction(8, 9)
    assert Header.read(tmp_path / "c.dpx").high_code == (1 << bits) - 1


def test_codes_are_scaled_from_white_to_white(tmp_path):
    fastup.write(tmp_path / "a.dpx", ramp())
    said = convert(tmp_path / "a.dpx", tmp_path / "b.png")
    assert said == ["DPX of 10 bits to PNG of 16 bits, code values as they are, white to white"]
    expected = [round(Fraction(code * 65535, 1023)) for code in range(1024)]
    assert fastup.read(tmp_path / "b.png")[0, :, 1].tolist() == expected
    for suffix in ("bmp", "tga"):
        convert(tmp_path / "a.dpx", tmp_path / f"b.{suffix}")
        expected = [round(Fraction(code * 255, 1023)) for code in range(1024)]
        assert fastup.read(tmp_path / f"b.{suffix}")[0, :, 1].tolist() == expected
    convert(tmp_path / "a.dpx", tmp_path / "b.exr")
    expected = ramp() / np.float32(1023)
    np.testing.assert_array_equal(fastup.read(tmp_path / "b.exr", dtype="float32"), expected)
    convert(tmp_path / "a.dpx", tmp_path / "b.jpg")
    assert np.abs(fastup.read(tmp_path / "b.jpg")[0, :, 1] - np.arange(1024) / 1023 * 255).max() < 4


@pytest.mark.parametrize(("source", "bits"), [("png", 8), ("png", 16), ("jpg", 8), ("tif", 16), ("bmp", 8)])
def test_what_goes_to_dpx_keeps_its_bits(source, bits, tmp_path):
    frame = codes(255 if bits == 8 else 65535)
    fastup.write(tmp_path / f"a.{source}", frame, header(frame, bits))
    convert(tmp_path / f"a.{source}", tmp_path / "b.dpx")
    assert Header.read(tmp_path / "b.dpx").bits == bits
    np.testing.assert_array_equal(fastup.read(tmp_path / "b.dpx"), fastup.read(tmp_path / f"a.{source}"))


def test_floats_stay_in_exr_and_tiff_and_are_clipped_in_integers(tmp_path):
    frame = np.linspace(-0.5, 2, 60, dtype=np.float32).reshape(4, 5, 3)
    fastup.write(tmp_path / "a.exr", frame)
    for name in ("b.tif", "b2.exr"):
        convert(tmp_path / "a.exr", tmp_path / name)
        np.testing.assert_array_equal(fastup.read(tmp_path / name, dtype="float32"), frame)
    said = convert(tmp_path / "a.exr", tmp_path / "c.dpx")
    assert said == ["EXR of floats to DPX of 16 bits, code values as they are, 1 to white and what is beyond clipped"]
    expected = np.floor(np.clip(frame, 0, 1).astype(float) * 65535 + 0.5)
    np.testing.assert_array_equal(fastup.read(tmp_path / "c.dpx"), expected)
    made = Header.read(tmp_path / "c.dpx")
    assert (made.bits, made.low_code, made.high_code) == (16, 0, 65535)
    convert(tmp_path / "a.exr", tmp_path / "c.png")
    np.testing.assert_array_equal(fastup.read(tmp_path / "c.png"), expected)


def test_codes_in_the_header_become_what_they_become_in_the_picture(tmp_path):
    """Low and high code, black and white level of 16 bits, at 10; and the low and high code of another transfer."""
    tags = {"low_code": 6086, "high_code": 43882, "black_level": 4112, "white_level": 43840}
    frame = np.array(list(tags.values()), np.uint16).reshape(2, 2, 1).repeat(3, axis=2)
    fastup.write(tmp_path / "a.dpx", frame, header(frame, 16, transfer="logarithmic", **tags))
    convert(tmp_path / "a.dpx", tmp_path / "b.dpx", bits=10)
    made = Header.read(tmp_path / "b.dpx")
    assert [getattr(made, name) for name in tags] == [95, 685, 64, 684]
    assert fastup.read(tmp_path / "b.dpx")[..., 0].ravel().tolist() == [95, 685, 64, 684]
    convert(tmp_path / "a.dpx", tmp_path / "c.dpx", bits=10, target_curve="rec709")
    made = Header.read(tmp_path / "c.dpx")
    assert [getattr(made, name) for name in tags] == [0, 1023, 64, 684]
    retagged = header(frame, 16, transfer="rec_709", **tags)  # of log, but it does not say so
    fastup.write(tmp_path / "a.dpx", frame, retagged)
    convert(tmp_path / "a.dpx", tmp_path / "d.dpx", source_curve="log", target_curve="log")
    assert Header.read(tmp_path / "d.dpx") == retagged.replace(transfer="logarithmic", low_code=6086, high_code=43882)


@pytest.mark.parametrize(
    ("transfer", "curve"), [("REC_601_525", "rec709"), ("SMPTE_274M", "rec709"), ("PRINTING_DENSITY", "log")]
)
def test_from_a_curve_to_itself_nothing_changes(tmp_path, transfer, curve):
    frame = codes()
    fastup.write(tmp_path / "a.dpx", frame, header(frame, transfer=transfer, low_code=64, high_code=940))
    convert(tmp_path / "a.dpx", tmp_path / "b.dpx", target_curve=curve)
    assert (tmp_path / "b.dpx").read_bytes() == (tmp_path / "a.dpx").read_bytes()
    other = "log" if curve == "rec709" else "rec709"  # what the header says is wrong, and so is the transfer alone
    convert(tmp_path / "a.dpx", tmp_path / "c.dpx", source_curve=other, target_curve=other)
    made = Header.read(tmp_path / "c.dpx")
    assert made.transfer == (Transfer.LOGARITHMIC if other == "log" else Transfer.REC_709)
    assert (made.low_code, made.high_code) == (64, 940)


def test_dpx_to_dpx_keeps_the_header_byte_by_byte(tmp_path):
    frame = codes()
    before = header(frame, big_endian=False, timecode="01:02:03:04", slate="7A", low_code=64, high_code=940)
    before = Header(before.raw + b"user data" * 100)
    before = Header(before.raw[:4] + (len(before.raw)).to_bytes(4, "little") + before.raw[8:])
    before = Header(before.raw[:808] + (len(before.raw)).to_bytes(4, "little") + before.raw[812:])
    fastup.write(tmp_path / "a.dpx", frame, before)
    said = convert(tmp_path / "a.dpx", tmp_path / "b.dpx")
    assert said == ["DPX of 10 bits to DPX of 10 bits, code values as they are"]
    assert (tmp_path / "b.dpx").read_bytes() == (tmp_path / "a.dpx").read_bytes()
    for bits in (8, 12, 16):
        convert(tmp_path / "a.dpx", tmp_path / f"{bits}.dpx", bits=bits)
        assert Header.read(tmp_path / f"{bits}.dpx") == before.replace(bits=bits)
        white = (1 << bits) - 1
        expected = np.round(frame.astype(float) * white / 1023)
        np.testing.assert_array_equal(fastup.read(tmp_path / f"{bits}.dpx"), expected)


def test_floats_of_a_dpx_stay(tmp_path):
    frame = np.linspace(-0.5, 2, 60, dtype=np.float32).reshape(4, 5, 3)
    fastup.write(tmp_path / "a.dpx", frame, header(frame, 32))
    convert(tmp_path / "a.dpx", tmp_path / "b.dpx")
    assert (tmp_path / "b.dpx").read_bytes() == (tmp_path / "a.dpx").read_bytes()
    convert(tmp_path / "a.dpx", tmp_path / "c.dpx", bits=10)
    np.testing.assert_array_equal(fastup.read(tmp_path / "c.dpx"), np.round(np.clip(frame, 0, 1) * 1023))
    assert (Header.read(tmp_path / "c.dpx").low_code, Header.read(tmp_path / "c.dpx").high_code) == (0, 1023)


def test_alpha_and_luma_go_along(tmp_path):
    for channels, descriptor in ((4, "RGBA"), (4, "ABGR"), (1, "LUMA")):
        frame = codes(channels=channels)
        fastup.write(tmp_path / "a.dpx", frame, header(frame, descriptor=descriptor))
        convert(tmp_path / "a.dpx", tmp_path / "b.png", overwrite=True)
        convert(tmp_path / "b.png", tmp_path / "c.dpx", bits=10, overwrite=True)
        np.testing.assert_array_equal(fastup.read(tmp_path / "c.dpx"), frame)


def test_the_first_of_several_elements_is_said_to_be(tmp_path):
    frame = codes(width=30)
    one = header(frame)
    fastup.write(tmp_path / "a.dpx", frame, one)
    pixels = (tmp_path / "a.dpx").read_bytes()[2048:]
    raw = bytearray(one.raw)
    raw[770:772] = (2).to_bytes(2, "big")
    raw[852:924] = raw[780:852]
    raw[880:884] = (2048 + len(pixels)).to_bytes(4, "big")  # data offset of the second
    (tmp_path / "a.dpx").write_bytes(bytes(raw) + pixels + pixels)
    said = convert(tmp_path / "a.dpx", tmp_path / "b.dpx")
    assert said == ["DPX of 10 bits to DPX of 10 bits, the first of 2 elements, code values as they are"]
    np.testing.assert_array_equal(fastup.read(tmp_path / "b.dpx"), frame)
    assert Header.read(tmp_path / "b.dpx").number_elements == 1


# -- from one curve to another -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_log_to_linear_and_srgb_of_every_code(bits, tmp_path):
    white = (1 << bits) - 1
    frame = ramp(white)
    fastup.write(tmp_path / "a.dpx", frame, header(frame, bits, transfer="logarithmic", low_code=0, high_code=white))
    light = [linear_of_log(code * 1023 / white) for code in range(white + 1)]
    said = convert(tmp_path / "a.dpx", tmp_path / "b.exr", target_curve="linear")
    assert "from Cineon log (the header's transfer, logarithmic), black 95 and white 685 at 10 bits" in said[0]
    found = fastup.read(tmp_path / "b.exr", dtype="float32")[0, :, 2]
    np.testing.assert_allclose(found, light, rtol=2**-23, atol=1e-15)
    convert(tmp_path / "a.dpx", tmp_path / "b.png", source_curve="log", target_curve="srgb", bits=16)
    expected = [math.floor(min(max(srgb_of_linear(x), 0), 1) * 65535 + 0.5) for x in light]
    assert fastup.read(tmp_path / "b.png")[0, :, 0].tolist() == expected
    convert(tmp_path / "a.dpx", tmp_path / "b.dpx", target_curve="rec709", bits=10)
    expected = [math.floor(min(max(rec709_of_linear(x), 0), 1) * 1023 + 0.5) for x in light]
    assert fastup.read(tmp_path / "b.dpx")[0, :, 0].tolist() == expected


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_every_code_of_log_comes_back_from_linear(bits, tmp_path):
    frame = ramp((1 << bits) - 1)
    low, high = (round(code * ((1 << bits) - 1) / 1023) for code in (95, 685))
    before = header(frame, bits, transfer="logarithmic", low_code=low, high_code=high)
    fastup.write(tmp_path / "a.dpx", frame, before)
    convert(tmp_path / "a.dpx", tmp_path / "b.exr", target_curve="linear")
    convert(tmp_path / "b.exr", tmp_path / "c.dpx", source_curve="linear", target_curve="log", bits=bits)
    np.testing.assert_array_equal(fastup.read(tmp_path / "c.dpx"), frame)
    made = Header.read(tmp_path / "c.dpx")
    assert (made.transfer, made.low_code, made.high_code) == (Transfer.LOGARITHMIC, low, high)
    assert fastup.read(tmp_path / "b.exr", dtype="float32").max() > 13  # unclipped
    assert fastup.read(tmp_path / "b.exr", dtype="float32").min() < 0


@pytest.mark.parametrize(
    ("low", "high", "black", "white"),
    [
        (95, 685, 95, 685),
        (64, 940, 64, 940),
        (0, 1023, 95, 685),  # where the codes end, and nothing of black
        (0, 685, 95, 685),
        (None, None, 95, 685),
        (None, 685, 95, 685),
        (685, 95, 95, 685),
        (95, 2000, 95, 685),
    ],
)
def test_black_and_white_of_log_are_the_headers_where_it_names_them(low, high, black, white, tmp_path):
    frame = ramp()
    values = {"transfer": "printing density", "low_code": low, "high_code": high}
    fastup.write(tmp_path / "a.dpx", frame, header(frame, **values))
    said = convert(tmp_path / "a.dpx", tmp_path / "b.exr", target_curve="linear")
    whose = "the header's" if (low, high) in ((95, 685), (64, 940)) else "Cineon's; the header's codes name none"
    assert f"black {black} and white {white} at 10 bits ({whose})" in said[0]
    expected = [linear_of_log(code, black, white) for code in range(1024)]
    found = fastup.read(tmp_path / "b.exr", dtype="float32")[0, :, 0]
    np.testing.assert_allclose(found, expected, rtol=2**-23, atol=1e-15)


@pytest.mark.parametrize(
    ("transfer", "words"),
    [
        ("PRINTING_DENSITY", "Cineon log (the header's transfer, printing density)"),
        ("LOGARITHMIC", "Cineon log (the header's transfer, logarithmic)"),
        ("LINEAR", "linear light (the header's transfer, linear)"),
        ("REC_709", "Rec.709 (the header's transfer, Rec.709)"),
        ("SMPTE_274M", "Rec.709 (the header's transfer, SMPTE 274M)"),
        ("REC_601_525", "Rec.709 (the header's transfer, Rec.601 525 lines)"),
    ],
)
def test_the_header_says_what_it_comes_from(transfer, words, tmp_path):
    frame = codes()
    fastup.write(tmp_path / "a.dpx", frame, header(frame, transfer=transfer))
    assert words in convert(tmp_path / "a.dpx", tmp_path / "b.png", target_curve="srgb")[0]


@pytest.mark.parametrize(("transfer", "found"), [(None, "undefined"), ("VIDEO", "unspecified video"), (77, "77")])
def test_a_header_that_does_not_say_is_asked_for(transfer, found, tmp_path):
    frame = codes()
    fastup.write(tmp_path / "a.dpx", frame, header(frame, transfer=transfer))
    with pytest.raises(OptionError, match=f"a.dpx: the transfer is {found}, expected .*--from log|linear|srgb|rec709"):
        prepare(tmp_path / "a.dpx", tmp_path / "b.png", target_curve="srgb")
    convert(tmp_path / "a.dpx", tmp_path / "b.png", source_curve="rec709", target_curve="srgb")
    with pytest.raises(OptionError, match=r"b.png: the transfer is undefined"):
        prepare(tmp_path / "b.png", tmp_path / "c.png", target_curve="linear")


@pytest.mark.parametrize(
    ("curve", "transfer", "low", "high"),
    [("log", Transfer.LOGARITHMIC, 95, 685), ("linear", Transfer.LINEAR, 0, 1023), ("srgb", Transfer.VIDEO, 0, 1023),
     ("rec709", Transfer.REC_709, 0, 1023)],
)  # fmt: skip
def test_the_header_says_what_it_is_now_and_else_stays(curve, transfer, low, high, tmp_path):
    frame = codes()
    source = "linear" if curve == "log" else "log"
    before = header(frame, transfer="user defined", low_code=64, low_quantity=0.0, high_code=900, high_quantity=2.046)
    fastup.write(tmp_path / "a.dpx", frame, before)
    convert(tmp_path / "a.dpx", tmp_path / "b.dpx", source_curve=source, target_curve=curve)
    changes = {"transfer": transfer, "low_code": low, "high_code": high, "low_quantity": None, "high_quantity": None}
    assert Header.read(tmp_path / "b.dpx") == before.replace(**changes)


def test_from_a_curve_to_itself_only_names_it(tmp_path):
    frame = codes()
    before = header(frame, low_code=95, high_code=685)
    fastup.write(tmp_path / "a.dpx", frame, before)
    said = convert(tmp_path / "a.dpx", tmp_path / "b.dpx", source_curve="log", target_curve="log")
    assert said[0].endswith("to Cineon log: code values as they are")
    np.testing.assert_array_equal(fastup.read(tmp_path / "b.dpx"), frame)
    assert Header.read(tmp_path / "b.dpx") == before.replace(transfer="logarithmic")


def test_floats_are_converted_one_by_one(tmp_path):
    frame = np.linspace(-0.1, 5, 60, dtype=np.float32).reshape(4, 5, 3)
    fastup.write(tmp_path / "a.exr", frame)
    convert(tmp_path / "a.exr", tmp_path / "b.exr", source_curve="linear", target_curve="srgb")
    expected = np.array([srgb_of_linear(float(x)) for x in frame.ravel()]).reshape(frame.shape)
    np.testing.assert_array_equal(fastup.read(tmp_path / "b.exr", dtype="float32"), expected.astype(np.float32))


def test_alpha_is_not_converted(tmp_path):
    frame = codes(channels=4)
    fastup.write(tmp_path / "a.dpx", frame, header(frame, descriptor="RGBA"))
    convert(tmp_path / "a.dpx", tmp_path / "b.dpx", source_curve="log", target_curve="srgb", bits=12)
    found = fastup.read(tmp_path / "b.dpx")
    np.testing.assert_array_equal(found[..., 3], np.round(frame[..., 3] * (4095 / 1023)))
    fastup.write(tmp_path / "rgb.dpx", frame[..., :3])
    convert(tmp_path / "rgb.dpx", tmp_path / "c.dpx", source_curve="log", target_curve="srgb", bits=12)
    np.testing.assert_array_equal(found[..., :3], fastup.read(tmp_path / "c.dpx"))


def test_what_has_no_curve(tmp_path):
    frame = codes()
    fastup.write(tmp_path / "a.dpx", frame, header(frame, descriptor="CBYCR"))
    with pytest.raises(DataError, match=r"a.dpx: CbYCr 4:4:4, expected RGB"):
        prepare(tmp_path / "a.dpx", tmp_path / "b.dpx", source_curve="rec709", target_curve="srgb")
    convert(tmp_path / "a.dpx", tmp_path / "b.dpx", bits=16)
    assert Header.read(tmp_path / "b.dpx").descriptor.name == "CBYCR"
    with pytest.raises(FastupError, match=r"b.png: the header says Y, Cb and Cr, which only a DPX can say"):
        convert(tmp_path / "a.dpx", tmp_path / "b.png")
    assert not (tmp_path / "b.png").exists()
    fastup.write(tmp_path / "a.exr", np.ones((4, 5, 4), np.float32))
    with pytest.raises(FastupError, match="this format has no alpha"):
        convert(tmp_path / "a.exr", tmp_path / "b.jpg")
    image = OpenImageIO.ImageBuf(OpenImageIO.ImageSpec(5, 4, 3, "float"))
    image.set_pixels(OpenImageIO.ROI(), np.full((4, 5, 3), np.nan, np.float32))
    image.write(str(tmp_path / "nan.exr"))
    with pytest.raises(DataError, match=r"nan\.exr: holds NaN, expected finite numbers"):
        convert(tmp_path / "nan.exr", tmp_path / "c.png", source_curve="linear", target_curve="srgb")


# -- folders -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Three frames: two of 10 bits, one of 16."""
    place = tmp_path / "in"
    place.mkdir()
    for number in range(3):
        bits = 16 if number == 2 else 10
        frame = codes((1 << bits) - 1, seed=number)
        fastup.write(place / f"f.{number:04d}.dpx", frame, header(frame, bits))
    return place


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder(folder, tmp_path):
    seen, plan = [], prepare(folder, tmp_path / "new" / "out", format="png")
    assert plan.assumed == {
        "DPX of 10 bits to PNG of 16 bits, code values as they are, white to white": 2,
        "DPX of 16 bits to PNG of 16 bits, code values as they are": 1,
    }
    assert not (tmp_path / "new").exists()
    run(plan, lambda *progress: seen.append(progress))
    assert seen == [(n, 3, "converting") for n in (1, 2, 3)]
    assert names(tmp_path / "new" / "out") == ["f.0000.png", "f.0001.png", "f.0002.png"]
    np.testing.assert_array_equal(
        fastup.read(tmp_path / "new" / "out" / "f.0002.png"), fastup.read(folder / "f.0002.dpx")
    )
    convert(folder / "f.0001.dpx", tmp_path / "new", format=".TIF")
    assert names(tmp_path / "new") == ["f.0001.tif", "out"]


def test_the_same_command_carries_on(folder, tmp_path):
    place = tmp_path / "out"
    convert(folder, place, format="png")
    (place / "f.0001.png").unlink()
    (place / "f.0002.png").write_bytes(b"mine")
    plan = prepare(folder, place, format="png")
    assert [plan.sink.place(number).name for number in plan.todo] == ["f.0001.png"]
    run(plan)
    assert (place / "f.0001.png").exists()
    assert (place / "f.0002.png").read_bytes() == b"mine"
    convert(folder, place, format="png", overwrite=True)
    np.testing.assert_array_equal(fastup.read(place / "f.0002.png"), fastup.read(folder / "f.0002.dpx"))
    (tmp_path / "mine.png").write_bytes(b"mine")
    assert prepare(folder / "f.0001.dpx", tmp_path / "mine.png").todo == []


def test_places_that_will_not_do(folder, tmp_path):
    file = folder / "f.0000.dpx"
    with pytest.raises(DataError, match="where the input frames are"):
        prepare(folder, folder, format="png")
    with pytest.raises(DataError, match="this is an input frame"):
        prepare(file, file)
    with pytest.raises(DataError, match="this is an input frame"):
        prepare(file, folder, format="dpx")
    (tmp_path / "link.dpx").symlink_to(file)
    with pytest.raises(DataError, match="this is an input frame"):
        prepare(file, tmp_path / "link.dpx")
    with pytest.raises(OptionError, match=r"out.png: a file, expected a folder"):
        prepare(folder, tmp_path / "out.png")
    with pytest.raises(OSError, match="nowhere"):
        prepare(tmp_path / "nowhere.dpx", tmp_path / "out.png")
    with pytest.raises(OSError, match="nowhere"):
        prepare(tmp_path / "nowhere", tmp_path / "out", format="png")
    fastup.write(folder / "f.0000.png", codes())
    with pytest.raises(DataError, match="differ in their suffix alone"):
        prepare(folder, tmp_path / "out", format="tif")
    with pytest.raises(DataError, match="a file, expected a folder"):
        convert(file, file / "deeper.png")


@pytest.mark.parametrize(
    ("destination", "options", "words"),
    [
        ("out", {}, "format: none for .*out, expected one of dpx"),
        ("out", {"format": "gif"}, "format: found 'gif', expected one of dpx"),
        ("out.png", {"format": "tif"}, "format: found tif, expected none with .*out.png"),
        ("out.dpx", {"bits": 11}, "bits: found 11, expected one of 8, 10, 12, 16 for .dpx"),
        ("out.png", {"bits": 10}, "bits: found 10, expected one of 8, 16 for .png"),
        ("out.exr", {"bits": 16}, "bits: found 16, expected none for .exr"),
        ("out.png", {"source_curve": "log"}, "from is log, but there is no to"),
        ("out.png", {"target_curve": "gamma"}, "to: found 'gamma', expected one of log, linear, srgb, rec709"),
    ],
)
def test_options_that_cannot_be(destination, options, words, folder, tmp_path):
    with pytest.raises(OptionError, match=words):
        prepare(folder / "f.0000.dpx", tmp_path / destination, **options)


def test_damaged_files(folder, tmp_path):
    path = folder / "f.0001.dpx"
    data = path.read_bytes()
    for cut in (0, 1000, 1900, len(data) - 1):
        path.write_bytes(data[:cut])
        with pytest.raises(FastupError, match=r"f.0001.dpx: "):
            convert(folder, tmp_path / "out", format="png")
    undefined = bytearray(data)
    undefined[803] = 255  # bits
    path.write_bytes(undefined)
    with pytest.raises(FastupError, match=r"f.0001.dpx: .*bit"):
        prepare(path, tmp_path / "a.dpx", source_curve="log", target_curve="srgb")
    (folder / "f.0001.dpx").unlink()
    (folder / "f.0003.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(FastupError, match=r"f.0003.png: cannot be read"):
        convert(folder, tmp_path / "out", format="png")


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_says_what_it_assumed(run, folder, tmp_path):
    code, out, err = run("convert", folder, tmp_path / "out", "--format", "png")
    assert (code, err) == (0, "")
    first, second, third = out.splitlines()
    assert first == "2 frames: DPX of 10 bits to PNG of 16 bits, code values as they are, white to white"
    assert second == "1 frame: DPX of 16 bits to PNG of 16 bits, code values as they are"
    assert third.startswith(f"3 frames converted to {tmp_path / 'out'}, ")
    code, out, _ = run("convert", folder, tmp_path / "out", "--format", "png")
    assert code == 0
    assert out == (f"0 frames converted to {tmp_path / 'out'}, 3 were there already (--overwrite makes them again)\n")
    code, out, _ = run("convert", folder / "f.0000.dpx", tmp_path / "a.png", "--from", "log", "--to", "srgb")
    assert code == 0
    assert "from Cineon log, black 95 and white 685 at 10 bits" in out
    assert (tmp_path / "a.png").exists()


def test_commands_that_cannot_be(run, folder, tmp_path):
    frame = folder / "f.0000.dpx"
    fails(run("convert", frame, tmp_path / "a.png", "--to", "srgb"), 2, "f.0000.dpx", "--from")
    fails(run("convert", frame, tmp_path / "a.png", "--from", "film"), 2, "film", "srgb")
    fails(run("convert", frame, tmp_path / "out"), 2, "format", "png")
    fails(run("convert", frame, frame), 1, "input frame")
    fails(run("convert", tmp_path / "none.dpx", tmp_path / "a.png"), 1, "none.dpx")
    assert names(tmp_path) == ["in"]


def test_what_goes_to_a_movie_is_not_said_to_keep_its_codes(tmp_path):
    """How it is encoded is the movie's to say."""
    fastup.write(tmp_path / "a_0001.dpx", np.zeros((4, 6, 3), np.uint16), header=Header.new(6, 4))
    (words,) = prepare(tmp_path / "a_0001.dpx", tmp_path / "film.mov", options={"rate": 25}).assumed
    assert words == "DPX of 10 bits to MOV, transfer as it is"
