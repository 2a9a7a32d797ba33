"""Finding frames, other formats through OpenImageIO, and what reading them loads."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import naive
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastup
from fastup.errors import DataError, FastupError
from fastup.frames import probe, whole

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


# -- find ------------------------------------------------------------------------------------------------------------


def names(folder):
    return [path.name for path in fastup.find(folder)]


def touch(folder, *files):
    for name in files:
        (folder / name).write_bytes(b"")


def test_find_counts_as_people_do(tmp_path):
    ordered = ["f1.dpx", "f2.dpx", "f9.dpx", "f10.dpx", "f011.dpx", "f100.dpx", "f0101.dpx"]
    touch(tmp_path, *reversed(ordered))
    assert names(tmp_path) == ordered
    assert fastup.find(tmp_path) == [tmp_path / name for name in ordered]
    assert all(isinstance(path, Path) for path in fastup.find(str(tmp_path)))


def test_find_orders_any_names(tmp_path):
    ordered = ["1.dpx", "2.dpx", "2a.dpx", "10.dpx", "A1b2.dpx", "a1b10.dpx", "A2b1.dpx", "b.dpx", "c.dpx"]
    touch(tmp_path, *RANDOM.permutation(ordered))
    assert names(tmp_path) == ordered


def test_find_passes_over_what_is_no_frame(tmp_path):
    touch(tmp_path, ".f1.dpx", ".DS_Store", "f1.txt", "f1.dpx.tmp", "f1dpx", "f3.dpx~", "dpx", "f.mov", "Thumbs.db")
    with pytest.raises(DataError) as caught:
        fastup.find(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: no frames here, expected files that end in .dpx, ")
    touch(tmp_path, "f2.DPX", "f1.dpx", "f3.png", "f4.Tiff")
    assert names(tmp_path) == ["f1.dpx", "f2.DPX", "f3.png", "f4.Tiff"]


def test_find_gives_a_file_itself_and_refuses_what_is_not_there(tmp_path):
    touch(tmp_path, "f1.dpx", "f2.dpx")
    assert fastup.find(tmp_path / "f2.dpx") == [tmp_path / "f2.dpx"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no frames here"):
        fastup.find(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        fastup.find(tmp_path / "nowhere")


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(st.lists(st.text("ab0189²٣.- _Zé", min_size=1, max_size=12), min_size=1, max_size=12, unique=True))
def test_find_never_stumbles_over_a_name(tmp_path_factory, stems):
    folder = tmp_path_factory.mktemp("f")
    stems = {"x" + stem for stem in stems}
    touch(folder, *(stem + ".dpx" for stem in stems))
    assert sorted(names(folder)) == sorted(stem + ".dpx" for stem in stems)
    assert names(folder) == names(folder)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=12, unique=True), st.integers(0, 6))
def test_find_orders_numbers_by_value(tmp_path_factory, numbers, digits):
    folder = tmp_path_factory.mktemp("f")
    touch(folder, *(f"shot3_{number:0{digits}}.dpx" for number in numbers))
    assert names(folder) == [f"shot3_{number:0{digits}}.dpx" for number in sorted(numbers)]


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
        for dtype in ("uint8", "float64", ">f4", ">u2", None):
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


# -- whole -----------------------------------------------------------------------------------------------------------


def test_whole_is_there_when_it_is_complete(tmp_path):
    path = tmp_path / "f.json"
    path.write_text("old")
    with whole(path) as part:
        assert part.parent == tmp_path
        assert part.name.startswith(".")
        assert part.suffix == ".json"
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["f.json"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit, OSError, GeneratorExit])
@pytest.mark.parametrize("begun", [True, False])
def test_whole_cleans_up(tmp_path, error, begun):
    path = tmp_path / "f.json"
    path.write_text("old")

    def fail():
        with whole(path) as part:
            if begun:
                part.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["f.json"]


def test_whole_tells_of_other_files_by_their_name(tmp_path):
    with pytest.raises(FileNotFoundError, match="another"), whole(tmp_path / "f.json"):
        (tmp_path / "another").read_text()


def test_a_name_as_long_as_names_can_be(tmp_path):
    path = tmp_path / ("f" * (os.pathconf(tmp_path, "PC_NAME_MAX") - 4) + ".dpx")
    fastup.write(path, np.zeros((2, 2, 3), np.uint16))
    assert fastup.find(tmp_path) == [path]
    assert len(os.listdir(tmp_path)) == 1


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


def test_find_takes_files_alone_and_orders_by_stem(tmp_path):
    for name in ("a1.dpx", "a.dpx", "a.png", "b10.dpx", "b9.dpx"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a0.dpx").mkdir()
    assert [path.name for path in fastup.find(tmp_path)] == ["a.dpx", "a.png", "a1.dpx", "b9.dpx", "b10.dpx"]
