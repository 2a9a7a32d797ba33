"""Frames of other formats through OpenImageIO, and what reading loads."""

import contextlib
import errno
import os
import subprocess
import sys
from fractions import Fraction

import naive
import numpy as np
import pytest

import fastup
from fastup.errors import DataError, FastupError
from fastup.frames import probe
from fastup.header import Header

RANDOM = np.random.default_rng(5)


def save(path, pixels, pixel_type=None, **attributes):
    """Write an image with OpenImageIO; gives its path."""
    import OpenImageIO as oiio

    height, width, channels = pixels.shape
    spec = oiio.ImageSpec(width, height, channels, pixel_type or str(pixels.dtype))
    for name, value in attributes.items():
        spec.attribute(name.replace("_", ":"), value)
    image = oiio.ImageOutput.create(os.fspath(path))
    assert image.open(os.fspath(path), spec), image.geterror()
    assert image.write_image(np.ascontiguousarray(pixels)), image.geterror()
    image.close()
    return path


def noise(shape, dtype):
    if np.dtype(dtype).kind == "f":
        return RANDOM.normal(0, 3, shape).astype(dtype)
    return RANDOM.integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


# -- other formats ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("dtype", "white"), [("uint8", 255), ("uint16", 65535)])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_integers_come_as_codes(tmp_path, channels, dtype, white, suffix):
    """RGBA is not multiplied by its alpha, in which noise makes a difference at every pixel."""
    pixels = noise((9, 13, channels), dtype)
    path = save(tmp_path / f"f{suffix}", pixels, oiio_UnassociatedAlpha=1)
    frame = fastup.read(path)
    assert frame.dtype == np.uint16
    np.testing.assert_array_equal(frame, pixels)
    normalised = fastup.read(path, "float32")
    assert normalised.dtype == np.float32
    np.testing.assert_array_equal(normalised, pixels.astype(np.float32) / np.float32(white))
    assert probe(path) == ((9, 13, channels), white)


@pytest.mark.parametrize("pixel_type", ["float", "half"])
def test_floats_come_as_they_are(tmp_path, pixel_type):
    pixels = noise((9, 13, 3), np.float16 if pixel_type == "half" else np.float32).astype(np.float32)
    path = save(tmp_path / "f.exr", pixels, pixel_type)
    frame = fastup.read(path, "float32")
    assert frame.dtype == np.float32
    np.testing.assert_array_equal(frame, pixels)
    assert probe(path) == ((9, 13, 3), None)
    with pytest.raises(ValueError, match=r"f\.exr: holds floats, not codes; read it with dtype='float32'"):
        fastup.read(path)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".tga", ".jpg"])
def test_every_suffix_can_be_read(tmp_path, suffix):
    pixels = np.full((16, 16, 3), 128, np.uint8)
    frame = fastup.read(save(tmp_path / f"f{suffix}", pixels))
    np.testing.assert_allclose(frame, pixels, atol=2 if suffix == ".jpg" else 0)
    assert suffix in fastup.frames.SUFFIXES


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_window_and_out(tmp_path, dtype):
    path = save(tmp_path / "f.png", noise((9, 13, 3), "uint16"))
    expected = fastup.read(path, dtype)
    np.testing.assert_array_equal(fastup.read(path, dtype, window=(2, 3, 4, 5)), expected[2:6, 3:8])
    out = np.full((4, 8, 3), 7, dtype)
    part = out[:, 2:7]
    assert fastup.read(path, dtype, (2, 3, 4, 5), part) is part
    np.testing.assert_array_equal(part, expected[2:6, 3:8])
    assert (out[:, :2] == 7).all()
    assert (out[:, 7:] == 7).all()
    for window in [(-1, 0, 1, 1), (0, 0, 10, 1), (0, 0, 1, 14), (9, 0, 1, 1), (0, 0, 0, 1), (2**64, 0, 1, 1)]:
        with pytest.raises(ValueError, match=r"f\.png: window .*inside the picture of 9 rows by 13 columns"):
            fastup.read(path, dtype, window)
    wrong = {"uint16": "float32", "float32": "uint16"}[dtype]
    for out in (
        np.empty((9, 12, 3), dtype),
        np.empty((9, 13, 3), wrong),
        np.empty((9, 13, 3), np.dtype(dtype).newbyteorder()),
    ):
        with pytest.raises(ValueError, match="out is"):
            fastup.read(path, dtype, out=out)
    with pytest.raises(ValueError, match="read-only"):
        fastup.read(path, dtype, out=np.broadcast_to(np.zeros((), dtype), (9, 13, 3)))


def test_an_out_that_is_no_array(tmp_path):
    path = save(tmp_path / "f.png", noise((2, 2, 3), "uint8"))
    with pytest.raises(ValueError, match="out is list"):
        fastup.read(path, out=[[0]])


def test_a_frame_is_an_array_of_its_own(tmp_path):
    path = save(tmp_path / "f.png", noise((9, 13, 3), "uint16"))
    frame = fastup.read(path, window=(0, 0, 2, 2))
    assert frame.flags.writeable
    assert frame.flags.c_contiguous
    assert frame.base is None or frame.base.nbytes == frame.nbytes  # a window does not hold on to the whole
    frame[...] = 0
    assert fastup.read(path).any()


def test_other_dtypes_are_refused(tmp_path):
    png, exr = (
        save(tmp_path / "f.png", noise((2, 2, 3), "uint8")),
        save(tmp_path / "f.exr", noise((2, 2, 3), "float32")),
    )
    for path in (png, exr):
        for dtype in ("uint8", "float64", ">f4", ">f2", ">u2", None):
            with pytest.raises(ValueError, match="expected uint16"):
                fastup.read(path, dtype)


@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [(".png", "uint8"), (".png", "uint16"), (".tif", "uint16"), (".exr", "float32"), (".jpg", "uint8")],
)
def test_a_truncated_file(tmp_path, suffix, dtype):
    path = save(tmp_path / f"f{suffix}", noise((64, 64, 3), dtype))
    data = path.read_bytes()
    for keep in (0, 3, 20, len(data) // 2, len(data) - len(data) // 10):
        path.write_bytes(data[:keep])
        with pytest.raises(FastupError) as caught:
            fastup.read(path, "float32")
        assert str(caught.value).startswith(f"{path}: cannot be read: ")
        assert len(str(caught.value)) > len(f"{path}: cannot be read: ")
        assert "\n" not in str(caught.value)


def test_what_is_no_image_at_all(tmp_path):
    path = tmp_path / "f.png"
    path.write_bytes(b"certainly no picture" * 50)
    with pytest.raises(FastupError, match=r"f\.png: cannot be read"):
        fastup.read(path)
    with pytest.raises(FastupError, match=r"f\.png: cannot be read"):
        probe(path)
    for call in (fastup.read, probe):
        with pytest.raises(FileNotFoundError, match=r"missing\.png"):
            call(tmp_path / "missing.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises((FastupError, OSError), match=r"folder\.png"):
        fastup.read(tmp_path / "folder.png")


def test_a_dpx_by_another_name(tmp_path):
    """OpenImageIO knows it by its bytes, and scales it to 16 bits: better refused than that."""
    path = tmp_path / "f.png"
    path.write_bytes(naive.dpx_header(3, 2) + bytes(24))
    with contextlib.suppress(FastupError):
        assert not fastup.read(path).any()


def test_probe_of_a_dpx_reads_the_header_alone(tmp_path):
    path = tmp_path / "f.dpx"
    path.write_bytes(naive.dpx_header(5, 4, "little") + bytes(80))
    assert probe(path) == ((4, 5, 3), 1023)
    assert probe(str(path)) == ((4, 5, 3), 1023)


# -- what is loaded --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "fastup.__all__; dir(fastup)",
        "fastup.read(path); fastup.read(path, 'float32'); fastup.read_header(path)",
        "fastup.write(path, fastup.read(path))",
        "fastup.find('.')",
        "list(fastup.stream([path]))",
    ],
)
def test_dpx_needs_no_heavy_modules(tmp_path, code):
    (tmp_path / "f.dpx").write_bytes(naive.dpx_header(3, 2) + bytes(24))
    heavy = ("numba", "llvmlite", "OpenImageIO", "keras", "tensorflow", "typer", "rich", "matplotlib", "scipy")
    code = f"import sys, fastup\npath = 'f.dpx'\n{code}\nprint(*(m for m in {heavy} if m in sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert run.stdout.split() == []


# -- writing other formats -------------------------------------------------------------------------------------------

FORMATS = [(".png", 8), (".png", 16), (".tif", 8), (".tif", 16), (".tiff", 32), (".exr", 32), (".bmp", 8), (".tga", 8)]


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(("suffix", "bits"), FORMATS)
def test_a_frame_of_another_format_comes_back(tmp_path, suffix, bits, channels):
    shape = (9, 13, channels)
    header = Header.new(13, 9, descriptor={1: "LUMA", 3: "RGB", 4: "RGBA"}[channels], bits=bits)
    path, again = tmp_path / f"f{suffix}", tmp_path / f"g{suffix}"
    frame = noise(shape, "float32") if bits == 32 else noise(shape, "uint16") >> (16 - bits)
    fastup.write(path, frame, header)
    dtype = frame.dtype.name
    np.testing.assert_array_equal(fastup.read(path, dtype), frame)
    read = fastup.read_header(path)
    assert (read.width, read.height, read.channels, read.bits) == (13, 9, channels, bits)
    fastup.write(again, fastup.read(path, dtype), read)
    np.testing.assert_array_equal(fastup.read(again, dtype), frame)
    assert probe(again) == ((9, 13, channels), None if bits == 32 else 2**bits - 1)
    # and through a DPX of the same codes
    fastup.write(tmp_path / "f.dpx", frame, read)
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.dpx", dtype), frame)
    assert sorted(os.listdir(tmp_path)) == sorted({path.name, again.name, "f.dpx"})


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_codes_without_a_header_are_those_of_the_file(tmp_path, suffix):
    frame = noise((5, 7, 3), "uint16")
    fastup.write(tmp_path / f"f{suffix}", frame)
    np.testing.assert_array_equal(fastup.read(tmp_path / f"f{suffix}"), frame)


@pytest.mark.parametrize("bits", [1, 8, 10, 12, 16])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".exr"])
def test_codes_of_another_white_are_scaled_and_come_back(tmp_path, bits, suffix):
    white = 2**bits - 1
    codes = np.arange(3 * -(-(white + 1) // 3)).clip(0, white).astype(np.uint16).reshape(1, -1, 3)
    header = Header.new(codes.shape[1], 1, bits=bits)
    path = tmp_path / f"f{suffix}"
    fastup.write(path, codes, header)
    theirs = fastup.read(path, "float32")
    largest = {".exr": 2**24, ".png": 255 if bits == 8 else 65535, ".tif": 255 if bits == 8 else 65535}[suffix]
    assert np.abs(theirs - codes / white).max() <= 0.5 / largest + 2**-24
    fastup.write(tmp_path / "f.dpx", theirs, header)
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.dpx"), codes)


def test_a_jpeg_is_nearly_what_it_was(tmp_path):
    y, x = np.mgrid[:64, :64]
    frame = np.stack([x * 4, y * 4, x + y], axis=-1).astype(np.uint16)
    fastup.write(tmp_path / "f.jpg", frame)
    assert np.abs(fastup.read(tmp_path / "f.jpg").astype(int) - frame).max() < 16
    fastup.write(tmp_path / "f.jpg", frame * 4, Header.new(64, 64))
    assert np.abs(fastup.read(tmp_path / "f.jpg").astype(int) - frame).max() < 16


def test_floats_are_clipped_and_rounded(tmp_path):
    values = np.array([-1, -np.inf, 0, 0.25, 0.5, 1, 1.5, np.inf, 0.7], np.float32).reshape(1, 3, 3)
    fastup.write(tmp_path / "f.png", values)
    expected = np.floor(np.clip(values.astype(np.float64), 0, 1) * 65535 + 0.5)
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.png"), expected)
    fastup.write(tmp_path / "f.exr", values)
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.exr", "float32"), values)
    fastup.write(tmp_path / "f.exr", values.astype(np.float16))
    assert probe(tmp_path / "f.exr") == ((1, 3, 3), None)
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.exr", "float16"), values.astype(np.float16))


def test_the_pixel_aspect_goes_along(tmp_path):
    header = Header.new(7, 5, bits=16, pixel_aspect=Fraction(8, 9))
    for suffix in (".png", ".tif", ".exr", ".jpg", ".jpeg"):
        for aspect in map(Fraction, ("8/9", "10/11", "16/15", "4/3", "2", "1")):
            path = tmp_path / f"f{suffix}"
            fastup.write(path, noise((5, 7, 3), "uint16"), header.replace(pixel_aspect=aspect))
            assert (fastup.read_header(path).pixel_aspect or 1) == aspect, suffix


@pytest.mark.parametrize("orientation", range(1, 10))
@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_pictures_come_upright(tmp_path, suffix, orientation):
    """As OpenImageIO itself turns them; columns as rows are refused, as in a DPX."""
    import OpenImageIO as oiio

    stored = np.kron([[10, 80, 150], [200, 240, 30]], np.ones((8, 8)))[..., np.newaxis].repeat(3, -1).astype(np.uint8)
    path = save(tmp_path / f"f{suffix}", stored, Orientation=orientation)
    if orientation > 4 and oiio.ImageBuf(str(path)).orientation == orientation:
        with pytest.raises(FastupError, match=rf"orientation is {orientation}, expected 1 to 4"):
            fastup.read(path)
        return
    upright = oiio.ImageBufAlgo.reorient(oiio.ImageBuf(str(path))).get_pixels("uint8")
    np.testing.assert_array_equal(fastup.read(path), upright)
    np.testing.assert_array_equal(fastup.read(path, window=(1, 2, 3, 4)), upright[1:4, 2:6])


def test_float16_is_rounded_once(tmp_path):
    codes = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1)
    fastup.write(tmp_path / "f.png", codes)
    np.testing.assert_array_equal(fastup.read(tmp_path / "f.png", "float16"), (codes / 65535).astype(np.float16))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".exr", ".jpg"])
def test_chroma_goes_into_a_dpx_alone(tmp_path, suffix):
    """Elsewhere it would be red, green and blue."""
    header = Header.new(2, 2, descriptor="CBYCR")
    with pytest.raises(FastupError, match="Y, Cb and Cr, which only a DPX can say"):
        fastup.write(tmp_path / f"f{suffix}", np.zeros((2, 2, 3), np.uint16), header)
    assert os.listdir(tmp_path) == []


def test_frame_and_header_have_the_same_channels(tmp_path):
    for name in ("f.dpx", "f.png", "f.jpg"):
        with pytest.raises(ValueError, match=rf"{name}: the frame is \(2, 2, 4\), but the header is of 3 channels"):
            fastup.write(tmp_path / name, np.zeros((2, 2, 4), np.uint16), Header.new(2, 2))


@pytest.mark.parametrize(
    ("name", "frame", "header", "error", "message"),
    [
        ("f.png", np.full((2, 2, 3), np.nan, np.float32), None, DataError, "holds NaN"),
        ("f.exr", np.full((2, 2, 3), np.nan, np.float32), None, DataError, "holds NaN"),
        ("f.jpg", np.full((2, 2, 3), 256, np.uint16), None, DataError, "codes above 255"),
        ("f.png", np.full((2, 2, 3), 1024, np.uint16), Header.new(2, 2), DataError, "codes above 1023"),
        ("f.jpg", np.zeros((2, 2, 4), np.uint16), None, FastupError, "no alpha"),
        ("f.png", np.zeros((2, 2, 5), np.uint16), None, ValueError, "1, 3 or 4 channels"),
        ("f.png", np.zeros((2, 2), np.uint16), None, ValueError, r"expected \(height, width, channels\)"),
        ("f.png", np.zeros((2, 2, 3), np.uint8), None, ValueError, "of uint8"),
        ("f.webp", np.zeros((2, 2, 3), np.uint16), None, FastupError, "a name that ends in one of"),
        ("f", np.zeros((2, 2, 3), np.uint16), None, FastupError, "a name that ends in one of"),
    ],
)
def test_what_cannot_be_written_leaves_nothing(tmp_path, name, frame, header, error, message):
    with pytest.raises(error, match=message) as caught:
        fastup.write(tmp_path / name, frame, header)
    assert type(caught.value) is error
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("suffix", [".png", ".tif", ".exr", ".jpg"])
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"f{suffix}"
    path.write_bytes(b"older")
    really_open = open
    full = lambda name, mode, **more: really_open(*("/dev/full", "wb") if mode == "xb" else (name, mode), **more)  # noqa: E731
    monkeypatch.setattr(fastup._formats, "open", full, raising=False)
    with pytest.raises(OSError, match="No space") as caught:
        fastup.write(path, noise((50, 50, 3), "float32"))
    assert caught.value.filename == str(path)
    assert os.listdir(tmp_path) == [path.name]
    assert path.read_bytes() == b"older"


@pytest.mark.parametrize("suffix", [".png", ".tif", ".exr"])
def test_what_openimageio_cannot_finish_leaves_nothing(tmp_path, suffix):
    """Where files may be no longer than 20 kB: of some formats it says that all is well."""
    pytest.importorskip("resource")
    code = """
import resource, signal, sys, numpy, fastup
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
try:
    fastup.write(sys.argv[1], numpy.random.default_rng(0).random((200, 200, 3), "float32"))
except (OSError, fastup.FastupError) as error:
    print(error)
"""
    path = tmp_path / f"f{suffix}"
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert f"{path}: cannot be written: " in run.stdout, run.stderr
    assert os.listdir(tmp_path) == []


def test_only_a_dpx_has_elements(tmp_path):
    fastup.write(tmp_path / "f.png", noise((2, 2, 3), "uint16"))
    with pytest.raises(ValueError, match="element is 1, expected 0"):
        fastup.read(tmp_path / "f.png", element=1)


# -- flushing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["f.dpx", "f.png"])
def test_a_file_is_flushed_before_it_gets_its_name(tmp_path, monkeypatch, name):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (events.append("flushed"), fsync(fd)))
    monkeypatch.setattr(os, "replace", lambda a, b: (events.append("named"), replace(a, b)))
    fastup.write(tmp_path / name, noise((3, 3, 3), "uint16") % 1024)
    fastup.write(tmp_path / name, noise((3, 3, 3), "uint16") % 1024, fsync=False)
    assert events == ["flushed", "named", "named"]


@pytest.mark.parametrize("name", ["f.dpx", "f.png"])
def test_a_flush_that_fails_is_a_write_that_fails(tmp_path, monkeypatch, name):
    def full(fd):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space") as caught:
        fastup.write(tmp_path / name, noise((3, 3, 3), "uint16") % 1024)
    assert caught.value.filename == str(tmp_path / name)
    assert os.listdir(tmp_path) == []
