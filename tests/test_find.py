"""Finding frames in a folder."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastup
from fastup.errors import DataError

RANDOM = np.random.default_rng(5)


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


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.integers(-5000, 5000), min_size=1, max_size=12, unique=True), st.integers(0, 6), st.booleans())
def test_find_knows_negative_numbers(tmp_path_factory, numbers, digits, begins):
    folder, stem = tmp_path_factory.mktemp("f"), "" if begins else "shot3."
    touch(folder, *(f"{stem}{number:0{digits}}.dpx" for number in numbers))
    assert names(folder) == [f"{stem}{number:0{digits}}.dpx" for number in sorted(numbers)]


def test_find_takes_other_hyphens_as_hyphens(tmp_path):
    ordered = ["f-0001.dpx", "f-0002.dpx", "f.-0060.dpx", "f.-0001.dpx", "f.0000.dpx", "f.a-0001.dpx", "f.a-0002.dpx"]
    touch(tmp_path, *reversed(ordered))
    assert names(tmp_path) == ordered


def test_find_names_a_link_to_nothing(tmp_path):
    touch(tmp_path, "f1.dpx", "kept")
    (tmp_path / "f2.dpx").symlink_to("gone.dpx")
    with pytest.raises(DataError, match=r"f2\.dpx: a link to gone\.dpx, where nothing is"):
        fastup.find(tmp_path)
    (tmp_path / "f2.dpx").unlink()
    (tmp_path / "f2.dpx").symlink_to("f2.dpx")
    with pytest.raises((DataError, OSError), match=r"f2\.dpx"):
        fastup.find(tmp_path)
    (tmp_path / "f2.dpx").unlink()
    (tmp_path / "f3.dpx").symlink_to("kept")
    (tmp_path / "notes").symlink_to("gone")  # no frame by its name
    (tmp_path / "folder.dpx").symlink_to(".", target_is_directory=True)
    assert names(tmp_path) == ["f1.dpx", "f3.dpx"]


def test_find_takes_files_alone_and_orders_by_stem(tmp_path):
    for name in ("a1.dpx", "a.dpx", "a.png", "b10.dpx", "b9.dpx"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a0.dpx").mkdir()
    assert [path.name for path in fastup.find(tmp_path)] == ["a.dpx", "a.png", "a1.dpx", "b9.dpx", "b10.dpx"]
