"""Files that are there whole or not at all, and what killed runs have left."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest

import fastup
from fastup import _whole
from fastup._whole import whole


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


def part_of(path):
    """The name of a part-file, as one is called now."""
    with whole(path) as part:
        part.write_bytes(b"")
    path.unlink()
    return part


def starts_anew(monkeypatch):
    """What a process knows of folders that it has written to: nothing."""
    monkeypatch.setattr(_whole, "_SWEPT", set())


KILLED = """
import os, signal, sys
from pathlib import Path
from fastup._whole import whole
with whole(Path(sys.argv[1])) as part:
    part.write_bytes(b"half")
    print(part.name, flush=True)
    sys.stdin.read() or os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not os.path.exists("/proc/sys/kernel/random/boot_id"), reason="no mark of the running kernel")
def test_parts_of_killed_runs_go_when_nobody_holds_them(tmp_path, monkeypatch):
    path = tmp_path / "a b[1]\n.dpx"
    with subprocess.Popen([sys.executable, "-c", KILLED, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        (left,) = os.listdir(tmp_path)
        starts_anew(monkeypatch)
        with whole(tmp_path / "f.json") as part:  # it is alive
            part.write_text("1")
        assert sorted(os.listdir(tmp_path)) == sorted([left, "f.json"])
        other.stdin.close()
        other.wait()
    assert left in os.listdir(tmp_path)
    with whole(tmp_path / "f.json") as part:  # a process looks once: never in every frame's time
        part.write_text("2")
    assert left in os.listdir(tmp_path)
    starts_anew(monkeypatch)
    with whole(tmp_path / "f.json") as part:
        assert os.listdir(tmp_path) == ["f.json"]
        part.write_text("3")
    assert (tmp_path / "f.json").read_text() == "3"


@pytest.mark.skipif(not os.path.exists("/proc/sys/kernel/random/boot_id"), reason="no mark of the running kernel")
def test_only_our_parts_go(tmp_path, monkeypatch):
    name = part_of(tmp_path / "tape_01.dpx").name
    dead = [
        name,
        name.replace(".tape_01", "."),
        name.replace(".tape_01", "." + "\u00e9" * 40),
        name[:-4],
        name[:-4] + ".x\ny",
    ]
    mark = name.split("-")[1]
    kept = [
        ".tape_01.123-456.dpx", ".precious.dpx", "tape_01.dpx", name[1:], "." + "e" * 41 + name[8:], name + "~.dpx",
        name.replace(mark, "0"), name.replace(mark, f"{int(mark, 16) ^ 1:08x}"), name.replace("fastup", "FASTUP"),
        name.replace(f"-{mark}", ""), name + "\n.dpx", "x" + name,
    ]  # fmt: skip
    for file in [*dead, *kept]:
        (tmp_path / file).write_bytes(b"")
    folder, link = name.replace("01", "02"), name.replace("01", "03")
    (tmp_path / folder).mkdir()
    (tmp_path / link).symlink_to("tape_01.dpx")
    starts_anew(monkeypatch)
    with whole(tmp_path / "f.json") as part:
        part.write_text("")
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, folder, link, "f.json"])


@pytest.mark.parametrize("missing", ["fcntl", "flock", "boot"])
def test_without_locks_nothing_goes_and_parts_say_so(tmp_path, monkeypatch, missing):
    left = part_of(tmp_path / "f.dpx")
    left.write_bytes(b"")

    def refuse(*_):
        raise OSError(errno.EBADF, "as a network file system does")

    with monkeypatch.context() as patch:
        starts_anew(patch)
        if missing == "fcntl":
            patch.setattr(_whole, "fcntl", None)
        elif missing == "flock":
            patch.setattr(_whole.fcntl, "flock", refuse)
        else:
            patch.setattr(_whole, "_boot", str)
        assert part_of(tmp_path / "g.dpx").name.startswith(".g.fastup-0-")
    assert os.listdir(tmp_path) == [left.name]
