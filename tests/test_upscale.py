"""Frames through a model: what is written, what is carried over, and what is refused."""

import os
import re
import shutil
import subprocess
import sys
import threading
import zipfile
from fractions import Fraction

import keras
import naive
import numpy as np
import pytest
from OpenImageIO import ImageBuf

import fastup
from fastup import Header, frames
from fastup.errors import DataError, DpxError, FastupError, OptionError
from fastup.networks.models import Network
from fastup.upscale.film import upscale
from fastup.upscale.model import fill_of, load
from fastup.upscale.upscaler import Upscaler

SETTINGS = {
    "model": "compact", "features": 6, "depth": 2, "scale": [[9, 4], [2, 1]], "border": [18, 18],
    "trim": [0, 0, 0, 0], "input_trim": [0, 0, 0, 0], "black_level": "edge",
    "input_white": 1023, "target_white": 1023, "pixel_aspect": [1, 1],
    "transfer": None, "colorimetric": None,
}  # fmt: skip


def _upscaler(seed=0, **settings):
    """A network with weights as if trained hard: it changes every pixel, and overshoots here and there."""
    settings = {**SETTINGS, **settings}
    if settings["model"] != "compact":
        del settings["features"], settings["depth"]
    keras.utils.set_random_seed(seed)
    network = Network(settings)
    rng = np.random.default_rng(seed)
    network.set_weights([w + 0.05 * rng.normal(size=w.shape).astype(np.float32) for w in network.get_weights()])
    return Upscaler(network)


@pytest.fixture(scope="module")
def upscaler():
    return _upscaler()


@pytest.fixture(scope="module")
def file(upscaler, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.keras"
    upscaler.model.network.save(path)
    return path


def _frame(seed, size=(16, 10)):
    return np.random.default_rng(seed).integers(0, 1024, (*size, 3), np.uint16)


def _png(path, frame):
    assert ImageBuf(np.ascontiguousarray(frame)).write(str(path), "uint8", "png")


@pytest.fixture
def source(tmp_path):
    """Four frames, 10x16, in both byte orders."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        header = Header.new(
            10, 16, big_endian=number % 2 == 0, pixel_aspect=Fraction(8, 9), timecode=f"01:02:03:0{number}",
            frame_rate=23.976, frame_position=100 + number,
        )  # fmt: skip
        fastup.write(folder / f"f{number + 8}.dpx", _frame(number), header)
    return folder


# -- one frame -------------------------------------------------------------------------------------------------------


def test_codes_in_codes_out(upscaler):
    codes = _frame(0)
    result = upscaler(codes)
    assert result.dtype == np.uint16
    assert result.shape == (36, 20, 3)
    assert result.max() <= 1023
    floats = upscaler(codes / np.float32(1023))
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(np.floor(floats * np.float32(1023) + np.float32(0.5)), result)
    assert upscaler((codes / 1023).astype(np.float64)).dtype == np.float32


def test_whites_may_differ():
    upscaler = _upscaler(input_white=255, target_white=1023)
    codes = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint16)
    expected = np.floor(np.float64(upscaler(codes / np.float32(255))) * 1023 + 0.5)
    np.testing.assert_array_equal(upscaler(codes), expected)


def test_it_is_clipped(upscaler):
    frame = np.random.default_rng(1).choice(np.float32([-1, 0, 1, 3]), (16, 12, 3))
    result = upscaler(frame)
    assert (result.min(), result.max()) == (0, 1)
    assert upscaler(np.full((8, 8, 3), 1023, np.uint16)).max() <= 1023


def test_an_untrained_model_is_bicubic():
    upscaler = Upscaler(Network(SETTINGS))
    frame = np.random.default_rng(2).random((12, 9, 3), np.float32)
    expected = np.clip(naive.bicubic(frame, 9 / 4, 2), 0, 1)
    np.testing.assert_allclose(upscaler(frame), expected, atol=1e-6)


def test_the_input_stays_as_it_was(upscaler):
    frame = np.random.default_rng(3).random((8, 6, 3), np.float32)
    before = frame.copy()
    frame.flags.writeable = False
    upscaler(frame)
    np.testing.assert_array_equal(frame, before)


@pytest.mark.parametrize("model", ["compact", "srcnn", "espcn"])
@pytest.mark.parametrize("black_level", ["edge", 64])
def test_pieces_give_the_whole(model, black_level):
    upscaler = _upscaler(model=model, border=[36, 36], black_level=black_level)
    reach = [-(-r // q) * q for r, q in zip(upscaler.model.network.receptive, (4, 1), strict=True)]  # whole cells
    frame = np.random.default_rng(4).random((2 * reach[0] + 24, 2 * reach[1] + 21, 3), np.float32)
    whole = upscaler(frame)
    result = np.full_like(whole, np.nan)
    height, width = frame.shape[:2]
    for y in range(0, height, 8):
        for x in range(0, width, 7):
            y0, y1 = max(y - reach[0], 0), min(y + 8 + reach[0], height)
            x0, x1 = max(x - reach[1], 0), min(x + 7 + reach[1], width)
            piece = upscaler(frame[y0:y1, x0:x1])
            top, left = (y - y0) // 4 * 9, 2 * (x - x0)
            h, w = (min(y + 8, height) - y) // 4 * 9, 2 * (min(x + 7, width) - x)
            result[y // 4 * 9 :, 2 * x :][:h, :w] = piece[top : top + h, left : left + w]
    assert np.abs(result - whole).max() < 0.5 / 1023


def test_border_and_fill_are_what_training_had(upscaler):
    # A tile at the picture's corner, as it was trained on, gives the picture's corner.
    frame = np.random.default_rng(5).random((48, 40, 3), np.float32)
    for black_level in ("edge", 100):
        upscaler = _upscaler(border=[18, 18], black_level=black_level)
        grid = fastup.TileGrid((48, 40), (32, 36), (8, 9))
        tile = fastup.cut(frame, grid, fill_of(upscaler.settings))[0]
        given = np.clip(upscaler.model.network.predict_on_batch(tile[np.newaxis])[0], 0, 1)
        reach = 4 * 9, 2 * 8  # target pixels next to what the tile doesn't see
        np.testing.assert_allclose(upscaler(frame)[: 72 - reach[0], : 72 - reach[1]],
                                   given[: 72 - reach[0], : 72 - reach[1]], atol=1e-5)  # fmt: skip


def test_input_trim():
    trimmed, plain = _upscaler(input_trim=[3, 1, 2, 4]), _upscaler()
    frame = np.random.default_rng(6).random((22, 20, 3), np.float32)
    np.testing.assert_array_equal(trimmed(frame), plain(frame[2:-4, 3:-1]))


def test_other_sizes_than_trained_on(upscaler):
    for size in ((4, 1), (4, 37), (100, 3)):
        assert upscaler(np.zeros((*size, 3), np.uint16)).shape == (size[0] // 4 * 9, size[1] * 2, 3)


@pytest.mark.parametrize(
    ("size", "words"),
    [((18, 10), "10x18.*10x16 and 10x20"), ((3, 10), "10x3.*10x4 and 10x4"), ((481, 720), "720x480 and 720x484")],
)
def test_pictures_that_are_not_whole_cells(upscaler, size, words):
    with pytest.raises(DataError, match=words):
        upscaler(np.zeros((*size, 3), np.float32))


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (np.zeros((8, 8, 3), np.uint8), "uint8"),
        (np.zeros((8, 8, 3), np.int32), "int32"),
        (np.zeros((8, 8), np.float32), "(8, 8)"),
        (np.zeros((8, 8, 4), np.float32), "(8, 8, 4)"),
    ],
)
def test_frames_of_another_kind(upscaler, frame, words):
    with pytest.raises(ValueError, match="expected") as caught:
        upscaler(frame)
    assert words in str(caught.value)


def test_a_trim_that_leaves_nothing():
    with pytest.raises(OptionError, match="input-trim is 4,4,0,0"):
        _upscaler(input_trim=[4, 4, 0, 0])(np.zeros((8, 8, 3), np.float32))


def test_codes_of_another_white_are_refused(upscaler):
    frame = np.full((16, 10, 3), 1024, np.uint16)
    with pytest.raises(ValueError, match=r"holds code 1024, expected at most 1023.*read .* as float32"):
        upscaler(frame)


@pytest.mark.parametrize(
    ("whites", "words"),
    [((1023, None), "the targets that"), ((None, 1023), "the inputs that"), ((None, None), "inputs")],
)
def test_codes_and_a_model_of_floats(whites, words):
    """There is no white to go by."""
    upscaler = _upscaler(input_white=whites[0], target_white=whites[1])
    assert upscaler.white == whites[1]
    with pytest.raises(ValueError, match=f"{words}.* were floats, which have no white: read frames as float32"):
        upscaler(_frame(0))
    assert upscaler(_frame(0) / np.float32(1023)).dtype == np.float32


@pytest.mark.parametrize("white", [255, 4095, 65535])
def test_codes_are_of_the_white_of_the_targets(white):
    upscaler = _upscaler(target_white=white)
    assert upscaler.white == white
    floats, codes = upscaler(_frame(0) / np.float32(1023)), upscaler(_frame(0))
    assert np.abs(codes - np.float64(floats) * white).max() <= 0.5 + 1e-7 * white


# -- a stream --------------------------------------------------------------------------------------------------------


def test_a_stream_takes_a_frame_when_its_result_is_asked_for(upscaler):
    taken = []

    def frames():
        for seed in range(3):
            taken.append(seed)
            yield _frame(seed)

    stream = upscaler.stream(frames())
    assert not taken
    for seed in range(3):
        np.testing.assert_array_equal(next(stream), upscaler(_frame(seed)))
        assert taken == list(range(seed + 1))
    assert list(stream) == list(upscaler.stream([])) == []


def test_a_stream_with_headers_gives_those_of_the_upscaled_frames():
    upscaler = _upscaler(target_white=4095)
    given = [(Header.new(10, 16, timecode=f"01:02:03:0{n}"), _frame(n)) for n in range(3)]
    for (header, frame), (made, result) in zip(given, upscaler.stream(given), strict=True):
        np.testing.assert_array_equal(result, upscaler(frame))
        assert made.raw == upscaler.header(header, 12).raw
        assert (made.width, made.height, made.white, made.timecode) == (20, 36, 4095, header.timecode)
    ((made, result),) = upscaler.stream([(given[0][0], _frame(0) / np.float32(1023))])
    assert (made.white, result.dtype) == (1023, np.float32)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"bits": 8}, "frame 0 holds codes up to a white of 255, expected 1023"),
        ({"descriptor": "CBYCR"}, "frame 0: holds Y, Cb and Cr, expected RGB"),
    ],
)
def test_a_stream_refuses_codes_that_are_others_by_their_header(upscaler, values, words):
    """They might lie below the white trained on, and would come out too dark, or as if they were R, G, B."""
    header, dark = Header.new(10, 16, **values), _frame(0) // 8
    with pytest.raises((DataError, ValueError), match=words):
        next(upscaler.stream([(header, dark)]))
    assert next(upscaler.stream([(Header.new(10, 16, bits=8), dark / np.float32(255))]))[0].bits == 10


def test_a_stream_with_paths_keeps_them(upscaler, source):
    paths = fastup.find(source)
    for path, (same, result) in zip(paths, upscaler.stream(fastup.stream(paths)), strict=True):
        assert same == path
        np.testing.assert_array_equal(result, upscaler(fastup.read(path)))


@pytest.mark.parametrize(
    ("spoiled", "words"),
    [
        (np.full((16, 10, 3), np.nan, np.float32), "{}: holds NaN or infinity, expected finite numbers"),
        (np.zeros((18, 10, 3), np.uint16), "{}: the picture is 10x18, which is not whole pixels"),
        (np.full((16, 10, 3), 1024, np.uint16), "{} holds code 1024"),
        (np.zeros((8, 8, 3), np.uint8), "{} is of uint8"),
        (np.zeros((8, 8), np.float32), "{} is (8, 8)"),
    ],
)
@pytest.mark.parametrize(
    ("with_it", "name"), [((), "frame 1"), ((Header.new(10, 16),), "frame 1"), (("a/b.dpx",), "a/b.dpx")]
)
def test_a_frame_of_a_stream_that_is_refused_is_named(upscaler, spoiled, words, with_it, name):
    stream = upscaler.stream((*with_it, frame) if with_it else frame for frame in (_frame(0), spoiled))
    next(stream)
    with pytest.raises((DataError, ValueError), match=f"^{re.escape(words.format(name))}"):
        next(stream)


# -- a folder --------------------------------------------------------------------------------------------------------


def test_a_folder(upscaler, file, source, tmp_path):
    heard = []
    same = Upscaler(file, "keras")
    assert upscale(same, source, tmp_path / "a" / "out", on_progress=lambda *p: heard.append(p[:2])) == (4, 0)
    assert heard == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert sorted(os.listdir(tmp_path / "a" / "out")) == sorted(os.listdir(source))
    for path in fastup.find(source):
        np.testing.assert_array_equal(fastup.read(tmp_path / "a" / "out" / path.name), upscaler(fastup.read(path)))


def test_headers_are_carried_over(upscaler, tmp_path):
    source = tmp_path / "in"
    source.mkdir()
    for big_endian in (True, False):
        header = Header.new(
            10, 16, big_endian=big_endian, pixel_aspect=Fraction(8, 9), timecode="10:59:58:23", frame_rate=29.97,
            frame_position=123456,
        )  # fmt: skip
        raw = np.frombuffer(bytearray(header.raw), header.fields.dtype)
        raw["film"]["slate"], raw["file"]["project"] = b"cut 12", "Brücke".encode()
        raw["television"]["user_bits"] = 0x12345678
        raw["file"]["image_offset"] = raw["image"]["element"]["data_offset"][:, 0] = 8192
        raw["file"]["user_size"] = 6144
        raw["image"]["element"]["line_padding"][:, 0] = 8
        user = b"scanner 7".ljust(6144, b"\x01")
        fastup.write(source / f"{big_endian}.dpx", _frame(0), Header(raw.tobytes() + user))
    upscaler.model.network.settings.update(pixel_aspect=[16, 15], transfer=6)
    try:
        upscale(upscaler.model.network, source, tmp_path / "out")
    finally:
        upscaler.model.network.settings.update(pixel_aspect=[1, 1], transfer=None)
    for path in fastup.find(source):
        old, new = fastup.read_header(path), fastup.read_header(tmp_path / "out" / path.name)
        assert (new.width, new.height, new.pixel_aspect) == (20, 36, 1)
        assert (new.timecode, new.frame_position) == ("10:59:58:23", 123456)
        assert new.frame_rate == pytest.approx(29.97)
        assert new.big_endian == (path.stem == "True")
        assert new.raw[2048:] == old.raw[2048:] == user
        size = (tmp_path / "out" / path.name).stat().st_size
        assert new.fields["file"]["file_size"] == size == 8192 + 36 * (4 * 20 + 8)
        # And nothing else differs.
        expected = old.replace(width=20, height=36, pixel_aspect=1, transfer=6, file_size=size)
        assert new.raw == expected.raw
        np.testing.assert_array_equal(fastup.read(tmp_path / "out" / path.name), upscaler(_frame(0)))


ASPECTS = [  # of the input, of the output at 9/4 x 2, and what is said where targets had 16:15
    (Fraction(8, 9), Fraction(1), "1 frame of pixel aspect 8:9: 1:1 once upscaled; the targets .* had 16:15"),
    (Fraction(32, 27), Fraction(4, 3), "1 frame of pixel aspect 32:27: 4:3 once upscaled; the targets .* had 16:15"),
    (Fraction(128, 135), Fraction(16, 15), None),
    (Fraction(1), Fraction(9, 8), "1 frame of pixel aspect 1:1: 9:8 once upscaled"),  # a DPX that says so means it
    (None, Fraction(16, 15), "1 frame without a pixel aspect: 16:15, that of the targets"),
    (Fraction(1, 200), Fraction(16, 15), "1 frame without a pixel aspect"),
    (Fraction(2**32 - 3, 2**32 - 2), Fraction(9, 8), ".*: 9:8 once upscaled"),  # as near as a header can say it
]


@pytest.mark.parametrize(("given", "made", "words"), ASPECTS)
@pytest.mark.parametrize("trim", [[0, 0, 0, 0], [1, 3, 2, 2]])
def test_the_picture_keeps_its_shape(tmp_path, given, made, words, trim):
    """A picture is as wide for its height as it was, whatever the targets were, and whatever is trimmed."""
    upscaler = _upscaler(pixel_aspect=[16, 15], input_trim=trim)
    fastup.write(tmp_path / "f.dpx", _frame(0), Header.new(10, 16, pixel_aspect=given))
    notes = []
    upscale(upscaler.model.network, tmp_path / "f.dpx", tmp_path / "out", on_note=notes.append)
    header = fastup.read_header(tmp_path / "out" / "f.dpx")
    assert header.pixel_aspect == made
    height, width = 16 - trim[2] - trim[3], 10 - trim[0] - trim[1]
    if given and given > Fraction(1, 100):
        shape = header.pixel_aspect * header.width / header.height
        assert float(shape) == pytest.approx(float(given * width / height), rel=1e-6)
    (note,) = notes or [None]
    assert note is words is None or re.match(words, note)


@pytest.mark.parametrize(("given", "made"), [(Fraction(8, 9), 1), (None, Fraction(16, 15)), (1, Fraction(16, 15))])
@pytest.mark.parametrize("suffix", ["png", "tif", "exr"])
def test_stills_that_say_square_pixels_say_nothing(tmp_path, given, made, suffix):
    """Programs write equal densities where they don't know, and an EXR has no way to say nothing."""
    upscaler = _upscaler(pixel_aspect=[16, 15])
    path = tmp_path / f"f.{suffix}"
    fastup.write(path, _frame(0), Header.new(10, 16, pixel_aspect=given))
    upscale(upscaler.model.network, path, tmp_path / "out")
    assert fastup.read_header(tmp_path / "out" / "f.dpx").pixel_aspect == made


@pytest.mark.parametrize("white", [255, 1023, 65535, None])
def test_a_script_writes_what_upscale_writes(source, tmp_path, white):
    """As the README has it, whatever the targets' white was; and codes at the bits of their white."""
    upscaler = _upscaler(target_white=white, pixel_aspect=[1, 1], transfer=6)
    upscale(upscaler.model.network, source, tmp_path / "out")
    for path, frame in fastup.stream(fastup.find(source), dtype="float32"):
        header = upscaler.header(fastup.read_header(path))
        fastup.write(tmp_path / path.name, upscaler(frame), header)
        assert (tmp_path / path.name).read_bytes() == (tmp_path / "out" / path.name).read_bytes()
        if white:
            codes = upscaler(fastup.read(path))
            header = upscaler.header(fastup.read_header(path), upscaler.white.bit_length())
            fastup.write(tmp_path / path.name, codes, header)
            assert fastup.read_header(tmp_path / path.name).white == white
            np.testing.assert_array_equal(fastup.read(tmp_path / path.name), codes)
    with pytest.raises(DataError, match="10x18"):
        upscaler.header(Header.new(10, 18))


def test_a_second_run_skips_and_overwrite_does_not(upscaler, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "f9.dpx").write_bytes(b"by hand")
    heard = []
    assert upscale(upscaler.model.network, source, out, on_progress=lambda *p: heard.append(p[:2])) == (3, 1)
    assert heard[-1] == (3, 3)
    assert (out / "f9.dpx").read_bytes() == b"by hand"
    assert upscale(upscaler.model.network, source, out) == (0, 4)
    assert upscale(upscaler.model.network, source, out, overwrite=True) == (4, 0)
    np.testing.assert_array_equal(fastup.read(out / "f9.dpx"), upscaler(fastup.read(source / "f9.dpx")))


@pytest.mark.parametrize("suffix", [None, ".exr"])
def test_frames_of_another_size_are_not_carried_on(upscaler, source, tmp_path, suffix):
    """Of another model, or put into larger frames: half a film of each is none."""
    out, other = tmp_path / "out", _upscaler(scale=[[2, 1], [2, 1]])
    assert upscale(upscaler, source, out, numbers="9-10", suffix=suffix) == (2, 0)
    made = {path: path.read_bytes() for path in out.iterdir()}
    words = r"out.f9\.\w+: 20x36 is there already, but would be {}: .*another model.* --overwrite$"
    for model, options, size in (other, {}, "20x32"), (upscaler, {"pad": (40, 24)}, "24x40"):
        with pytest.raises(DataError, match=words.format(size)):
            upscale(model, source, out, suffix=suffix, **options)
        with pytest.raises(DataError, match=words.format(size)):
            upscale(model, source, out, test=True, numbers="9-11", suffix=suffix, **options)
    assert {path: path.read_bytes() for path in out.iterdir()} == made
    assert upscale(other, source, out, numbers="11", suffix=suffix) == (1, 0)  # a part by itself
    with pytest.raises(DataError, match=r"f11\.\w+: 20x32 is there already"):
        upscale(upscaler, source, out, suffix=suffix)
    assert upscale(other, source, out, overwrite=True, suffix=suffix) == (4, 0)
    assert upscale(other, source, out, suffix=suffix) == (0, 4)


def test_one_frame(upscaler, source, tmp_path):
    assert upscale(upscaler.model.network, source / "f9.dpx", tmp_path / "out") == (1, 0)
    assert os.listdir(tmp_path / "out") == ["f9.dpx"]


def test_png_frames(tmp_path):
    upscaler = _upscaler(input_white=255)
    source = tmp_path / "in"
    source.mkdir()
    frame = np.random.default_rng(7).integers(0, 256, (8, 6, 3), np.uint8)
    _png(source / "f.png", frame)
    assert upscale(upscaler.model.network, source, tmp_path / "out") == (1, 0)
    np.testing.assert_array_equal(fastup.read(tmp_path / "out" / "f.dpx"), upscaler(frame.astype(np.uint16)))
    header = fastup.read_header(tmp_path / "out" / "f.dpx")
    assert (header.width, header.height, header.pixel_aspect, header.timecode) == (12, 18, 1, None)


def test_a_frame_of_another_flavour_becomes_ten_bits(tmp_path):
    """Whatever the input's header says of its pixels, the output's says RGB of 10 bits, and keeps the rest."""
    upscaler = _upscaler(input_white=65535)
    header = Header.new(
        10, 16, big_endian=False, bits=16, low_code=6086, high_code=43884, timecode="01:02:03:04", orientation=2,
        creator="a scanner",
    )  # fmt: skip
    frame = np.random.default_rng(3).integers(0, 65536, (16, 10, 3), np.uint16)
    fastup.write(tmp_path / "f.dpx", frame, header)
    upscale(upscaler.model.network, tmp_path / "f.dpx", tmp_path / "out")
    np.testing.assert_array_equal(fastup.read(tmp_path / "out" / "f.dpx"), upscaler(frame))
    made = fastup.read_header(tmp_path / "out" / "f.dpx")
    assert (made.bits, made.packing, made.descriptor, made.big_endian) == (10, 1, 50, False)
    assert (made.low_code, made.high_code) == (95, 685)
    assert (made.timecode, made.orientation, made.creator) == ("01:02:03:04", 2, "a scanner")
    assert made.file_size == (tmp_path / "out" / "f.dpx").stat().st_size


LOG = {"low_code": 6086, "high_code": 43884, "low_quantity": 0.0, "high_quantity": 2.5}
VIDEO = {"low_code": 0, "high_code": 65535, "low_quantity": None, "high_quantity": None}


@pytest.mark.parametrize(("transfer", "levels", "codes"), [(3, LOG, (95, 685)), (5, VIDEO, (0, 1023))])
@pytest.mark.parametrize("given", [3, 5])
def test_low_and_high_code_come_with_the_transfer(tmp_path, transfer, levels, codes, given):
    """What the input said of black and white held for its own transfer."""
    upscaler = _upscaler(target_white=65535, transfer=transfer, levels=levels)
    header = Header.new(10, 16, transfer=given, low_code=5, high_code=9, low_quantity=1, high_quantity=2)
    fastup.write(tmp_path / "f.dpx", _frame(0), header)
    upscale(upscaler.model.network, tmp_path / "f.dpx", tmp_path / "out")
    made = fastup.read_header(tmp_path / "out" / "f.dpx")
    assert (made.transfer, made.low_code, made.high_code) == (transfer, *codes)
    assert (made.low_quantity, made.high_quantity) == (levels["low_quantity"], levels["high_quantity"])


@pytest.mark.parametrize("white", [None, 255])
def test_low_and_high_code_that_the_targets_cannot_have_are_undefined(tmp_path, white):
    """Floats have no codes, and no code is above white. Those of the input do not hold either way."""
    upscaler = _upscaler(target_white=white, transfer=6, levels=VIDEO | {"low_code": 300})
    fastup.write(tmp_path / "f.dpx", _frame(0), Header.new(10, 16, transfer=5, low_code=64, high_code=940))
    upscale(upscaler.model.network, tmp_path / "f.dpx", tmp_path / "out")
    made = fastup.read_header(tmp_path / "out" / "f.dpx")
    assert (made.transfer, made.low_code, made.high_code) == (6, None, None)


def test_targets_that_say_nothing_leave_the_tags_of_the_input(tmp_path):
    upscaler = _upscaler(levels=LOG)
    fastup.write(tmp_path / "f.dpx", _frame(0), Header.new(10, 16, transfer=6, low_code=64, high_code=940))
    upscale(upscaler.model.network, tmp_path / "f.dpx", tmp_path / "out")
    made = fastup.read_header(tmp_path / "out" / "f.dpx")
    assert (made.transfer, made.low_code, made.high_code) == (6, 64, 940)


def test_a_stereo_frame_gives_its_first_eye(upscaler, tmp_path):
    eyes = [_frame(seed) for seed in (1, 2)]
    head = naive.dpx_header(10, 16, elements=[{"offset": 2048}, {"offset": 2048 + 640}])
    (tmp_path / "f.dpx").write_bytes(head + b"".join(naive.dpx_pixels(eye) for eye in eyes))
    upscale(upscaler.model.network, tmp_path / "f.dpx", tmp_path / "out")
    np.testing.assert_array_equal(fastup.read(tmp_path / "out" / "f.dpx"), upscaler(eyes[0]))
    assert fastup.read_header(tmp_path / "out" / "f.dpx").number_elements == 1


def test_chroma_is_refused(upscaler, tmp_path):
    fastup.write(tmp_path / "f.dpx", _frame(1), Header.new(10, 16, descriptor="CBYCR"))
    with pytest.raises(DataError, match=rf"^{tmp_path}/f\.dpx: holds Y, Cb and Cr, expected RGB"):
        upscale(upscaler.model.network, tmp_path / "f.dpx", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_reading_and_writing_overlap(upscaler, source, tmp_path, monkeypatch):
    write, second, order = frames._dpx.write, threading.Event(), []

    def held(path, *args, **options):
        assert second.wait(300), "the first frame is written before the second is computed"
        order.append(path.name)
        write(path, *args, **options)

    monkeypatch.setattr(frames._dpx, "write", held)
    upscale(upscaler.model.network, source, tmp_path / "out", on_progress=lambda done, *_: done == 2 and second.set())
    assert sorted(order) == ["f10.dpx", "f11.dpx", "f8.dpx", "f9.dpx"]


# -- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["dpx", "png"])
def test_output_onto_input(upscaler, tmp_path, suffix):
    source = tmp_path / "in"
    source.mkdir()
    fastup.write(source / "f.dpx", _frame(0))
    if suffix == "png":
        (source / "f.dpx").unlink()
        _png(source / "f.png", np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "link").symlink_to(source)
    before = {path: path.read_bytes() for path in source.iterdir()}
    for destination in (source, tmp_path / "link", source / ".." / "in"):
        with pytest.raises(DataError, match="another folder"):
            upscale(upscaler.model.network, source, destination, overwrite=True)
    assert {path: path.read_bytes() for path in source.iterdir()} == before


def test_one_frame_onto_itself(upscaler, source):
    before = (source / "f9.dpx").read_bytes()
    with pytest.raises(DataError, match="this is an input frame"):
        upscale(upscaler.model.network, source / "f9.dpx", source, overwrite=True)
    assert (source / "f9.dpx").read_bytes() == before


def test_the_same_stem_twice(upscaler, source, tmp_path):
    _png(source / "f9.png", np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="suffix"):
        upscale(upscaler.model.network, source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_and_none(upscaler, tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(DataError, match="no frames"):
        upscale(upscaler.model.network, tmp_path / "in", tmp_path / "out")
    with pytest.raises(OSError, match="nowhere"):
        upscale(upscaler.model.network, tmp_path / "nowhere", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _cut_short(path):
    path.write_bytes(path.read_bytes()[:2500])


def _not_whole_cells(path):
    fastup.write(path, _frame(0, (18, 10)))


def _a_png(path):
    path.unlink()
    _png(path.with_suffix(".png"), np.zeros((8, 8, 3), np.uint8))
    path.with_suffix(".png").rename(path)


def _transparent(path):
    path.unlink()
    _png(path.with_suffix(".png"), np.zeros((8, 8, 4), np.uint8))


@pytest.mark.parametrize(
    ("harm", "kind", "words"),
    [
        (_cut_short, DpxError, "cut short"),
        (_not_whole_cells, DataError, "10x18"),
        (_a_png, DpxError, "PNG"),
        (_transparent, DataError, "4"),
    ],
)
def test_a_bad_frame_is_found_before_any_is_made(upscaler, source, tmp_path, harm, kind, words):
    harm(source / "f10.dpx")
    with pytest.raises(kind, match=words) as caught:
        upscale(upscaler.model.network, source, tmp_path / "out")
    assert f"{source / 'f10'}." in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_frame_that_is_damaged_after_the_check(upscaler, source, tmp_path, monkeypatch):
    monkeypatch.setattr(fastup.frames, "probe", lambda path: ((16, 10, 3), 1023))
    _cut_short(source / "f10.dpx")
    with pytest.raises(DpxError, match="cut short") as caught:
        upscale(upscaler.model.network, source, tmp_path / "out")
    assert f"{source / 'f10'}." in str(caught.value)
    # The frames before it are whole, and of what was under way nothing is left.
    assert sorted(os.listdir(tmp_path / "out")) == ["f8.dpx", "f9.dpx"]
    for name in ("f8.dpx", "f9.dpx"):
        np.testing.assert_array_equal(fastup.read(tmp_path / "out" / name), upscaler(fastup.read(source / name)))


def test_a_frame_smaller_than_the_trim(source, tmp_path):
    with pytest.raises(FastupError, match="input-trim is 5,5,0,0") as caught:
        upscale(_upscaler(input_trim=[5, 5, 0, 0]).model.network, source, tmp_path / "out")
    assert str(source / "f8.dpx") in str(caught.value)


@pytest.mark.parametrize("words", ["the device was unplugged", "out of memory"])
def test_an_engine_that_fails_names_the_frame(source, tmp_path, monkeypatch, words):
    upscaler, run = _upscaler(), type(_upscaler().engine)._run

    def failing(self, picture):
        if np.array_equal(picture, fastup.read(source / "f10.dpx", "float32")) or words == "out of memory":
            raise RuntimeError(words)
        return run(self, picture)

    monkeypatch.setattr(type(upscaler.engine), "_run", failing)
    name = "f10" if words != "out of memory" else "f8"
    with pytest.raises(FastupError, match=rf"^\S*in.{name}\.dpx: ") as caught:
        upscale(upscaler, source, tmp_path / "out")
    assert (words if name == "f10" else "more memory than there is") in str(caught.value)
    made = os.listdir(tmp_path / "out") if (tmp_path / "out").exists() else []
    assert sorted(made) == (["f8.dpx", "f9.dpx"] if name == "f10" else [])
    with pytest.raises(FastupError, match=r"^the frame: "):
        upscaler(fastup.read(source / f"{name}.dpx"))


def test_write_errors_surface(upscaler, source, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "f9.dpx").mkdir()  # it can't be replaced by a file
    (out / "f9.dpx" / "x").write_text("")
    with pytest.raises(OSError, match=r"f9\.dpx"):
        upscale(upscaler.model.network, source, out, overwrite=True)
    assert not [name for name in os.listdir(out) if name.startswith(".")]
    np.testing.assert_array_equal(fastup.read(out / "f8.dpx"), upscaler(fastup.read(source / "f8.dpx")))


def test_the_last_write_error_surfaces_too(upscaler, source, tmp_path):
    out = tmp_path / "out"
    (out / "f11.dpx" / "x").mkdir(parents=True)
    with pytest.raises(OSError, match=r"f11\.dpx"):
        upscale(upscaler.model.network, source, out, overwrite=True)


def test_output_is_a_file(upscaler, source, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(DataError, match="out: a file, expected a folder"):
        upscale(upscaler.model.network, source, tmp_path / "out")


# -- the model file --------------------------------------------------------------------------------------------------


def _plain_keras(path):
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)]).save(path)


def _no_run(path):
    Network({name: SETTINGS[name] for name in ("model", "features", "depth", "scale")}).save(path)


def _empty_zip(path):
    zipfile.ZipFile(path, "w").close()


def _foreign_zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", "{}")


def _bad_json(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{")


def _evil_lambda(path):
    layers = [keras.Input((4,)), keras.layers.Lambda(lambda x: x + 1)]
    keras.Sequential(layers).save(path)


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("a model, I swear"),
        lambda path: path.write_bytes(b""),
        lambda path: path.mkdir(),
        _empty_zip,
        _foreign_zip,
        _bad_json,
        _plain_keras,
        _no_run,
        _evil_lambda,
    ],
    ids=["text", "empty", "folder", "empty zip", "foreign zip", "bad json", "plain keras", "no run", "lambda"],
)
def test_what_is_no_model(tmp_path, make):
    path = tmp_path / "x.keras"
    make(path)
    with pytest.raises(FastupError) as caught:
        Upscaler(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "model" in message
    assert "\n" not in message
    assert len(message) < 600


def test_a_missing_model(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        load(tmp_path / "x.keras")
    assert caught.value.filename in (str(tmp_path / "x.keras"), tmp_path / "x.keras")


def test_a_damaged_model(file, tmp_path):
    whole = file.read_bytes()
    path = tmp_path / "x.keras"
    rng = np.random.default_rng(0)
    for length in (len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:length])
        with pytest.raises(FastupError, match=r"x\.keras: not a model"):
            load(path)
    refused = 0
    for _ in range(25):
        damaged = bytearray(whole)
        start = int(rng.integers(0, len(whole) - 64))
        damaged[start : start + 64] = rng.bytes(64)
        path.write_bytes(damaged)
        try:
            load(path)
        except FastupError:  # and nothing else
            refused += 1
    assert refused >= 20  # a zip has a few bytes that nobody looks at


def test_a_model_of_another_name(file, tmp_path):
    shutil.copy(file, tmp_path / "model.bin")
    with pytest.raises(FastupError, match=r"model\.bin.*\.keras"):
        load(tmp_path / "model.bin")


def test_the_model_travels_alone(trained, small, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(trained / "best.keras", tmp_path / "elsewhere" / "m.keras")
    path = fastup.find(small / "evaluation" / "Alpha")[0]
    shutil.copy(path, tmp_path / "elsewhere" / "f.dpx")
    script = (
        "import numpy as np; import fastup; from fastup import Upscaler; up = Upscaler('m.keras'); "
        "np.save('hd.npy', up(fastup.read('f.dpx')))"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path / "elsewhere", check=True)
    result = np.load(tmp_path / "elsewhere" / "hd.npy").astype(int)
    expected = Upscaler(trained / "best.keras", "keras")(fastup.read(path))
    assert result.shape == expected.shape == (270, 360, 3)
    assert np.abs(result - expected).max() <= 1


# -- numbers that are none -------------------------------------------------------------------------------------------


def _floats(path, value, size=(16, 10), at=(5, 4)):
    """An EXR that holds a value in one pixel."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frame = np.full((*size, 3), 0.5, np.float32)
    frame[(*at, 1)] = value
    assert ImageBuf(frame).write(str(path), "float")
    return frame


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_input_is_named_that_holds_what_is_no_number(upscaler, tmp_path, value):
    frame = _floats(tmp_path / "in" / "f2.exr", value)
    _floats(tmp_path / "in" / "f1.exr", 0.25)
    with pytest.raises(DataError, match=rf"^{tmp_path}/in/f2\.exr: holds NaN or infinity, expected finite numbers$"):
        upscale(upscaler.model.network, tmp_path / "in", tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["f1.dpx"]
    with pytest.raises(DataError, match=r"^the frame: holds NaN or infinity"):
        upscaler(frame)


def test_what_is_trimmed_may_be_no_number(tmp_path):
    upscaler = _upscaler(input_trim=[0, 0, 8, 0])
    frame = _floats(tmp_path / "f.exr", np.nan)
    np.testing.assert_array_equal(upscaler(frame), upscaler(np.full_like(frame, 0.5)))


def test_a_model_that_has_diverged(source, tmp_path):
    upscaler = _upscaler()
    upscaler.model.network.set_weights([weight * np.nan for weight in upscaler.model.network.get_weights()])
    with pytest.raises(DataError, match=r"in/f8\.dpx: the model makes NaN of it.*--learning-rate"):
        upscale(upscaler.model.network, source, tmp_path / "out")
    with pytest.raises(DataError, match="the frame: the model makes NaN of it"):
        upscaler(_frame(0))
