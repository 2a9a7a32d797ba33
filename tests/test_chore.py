"""The one plan and the one runner of all chores: order, skipping, progress, errors at their frame, and kills."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import pytest

import fastup
from fastup.errors import DataError, OptionError
from fastup.footage import chore
from fastup.footage.source import Source
from fastup.footage.stills import Folder
from fastup.header import Header


class Numbers(Source):
    """Frames of one colour, their number; remembers which were read. Those of `holes` are missing."""

    size = 4, 6

    def __init__(self, path, count=20, broken=None, holes=()):
        super().__init__(path)
        self.frame_count, self.broken, self.holes, self.read = count, broken, holes, []

    def frames(self, start=0, end=None, every=1, skip=lambda number: False):
        for number in range(start, 20 if end is None else min(20, end), every):
            if number not in self.holes and not skip(number):
                if number == self.broken:
                    raise OSError(f"frame {number} cannot be read")
                self.read.append(number)
                yield number, number

    def pixels(self, raw, dtype="uint16"):
        return np.full((*self.size, 3), raw, dtype)

    def header(self, number):
        return Header.new(6, 4, frame_position=number)

    def name(self, number):
        return f"n{number:02d}"

    def there(self, number):
        return number not in self.holes


def make(number, raw):
    time.sleep(0.002 * (number % 3))  # so that they would get out of order
    return np.full((4, 6, 3), raw, np.uint16), Header.new(6, 4, frame_position=number)


def made(folder):
    """The numbers of the frames in a folder, each of which is whole."""
    names = sorted(os.listdir(folder)) if folder.exists() else []
    numbers = [int(name[1:3]) for name in names]
    assert names == [f"n{number:02d}.dpx" for number in numbers]
    for number, name in zip(numbers, names, strict=True):
        assert (fastup.read(folder / name) == number).all()
        assert fastup.read_header(folder / name).frame_position == number
    return numbers


def run(plan, work=None, **options):
    return chore.run(plan, lambda plan: work or chore.each(make), "counting", **options)


@pytest.mark.parametrize(
    ("asked", "holes", "expected"),
    [
        ({}, (), range(20)),
        ({"first": 3, "last": 9, "every": 4}, (), [3, 7]),
        ({"first": 18, "last": 400}, (), [18, 19]),
        ({"first": 1, "every": 3}, (1, 4, 19), [7, 10, 13, 16]),
    ],
)
def test_frames_are_made_in_order_and_made_ones_skipped(tmp_path, asked, holes, expected):
    out, told, expected = tmp_path / "out", [], list(expected)
    plan = chore.Plan(Numbers(tmp_path, holes=holes), out, **asked)
    assert plan.todo == expected
    assert not out.exists()
    assert run(plan, on_progress=lambda *progress: told.append(progress)) == (len(expected), 0)
    assert told == [(n, len(expected), "counting") for n in range(1, len(expected) + 1)]
    assert made(out) == plan.source.read == expected
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    gone = expected[1:][::2]
    for number in gone:
        plan.sink.place(number).unlink()
    again = chore.Plan(Numbers(tmp_path, holes=holes), out, **asked)
    told.clear()
    assert again.todo == gone
    assert run(again, on_progress=lambda *progress: told.append(progress)) == (len(gone), len(expected) - len(gone))
    assert told[-1] == (len(gone), len(gone), "counting")
    assert again.source.read == gone  # and no other is read
    assert made(out) == expected
    assert all(path.stat().st_mtime_ns == t for path, t in times.items() if int(path.stem[1:]) not in gone)
    assert run(chore.Plan(Numbers(tmp_path, holes=holes), out, **asked)) == (0, len(expected))
    assert run(chore.Plan(Numbers(tmp_path, holes=holes), out, overwrite=True, **asked)) == (len(expected), 0)


@pytest.mark.parametrize(
    ("asked", "holes", "expected"),
    [
        ({}, (), [0, 10, 19]),
        ({"first": 3, "last": 9}, (), [3, 6, 8]),
        ({"every": 4}, (0, 16), [4, 8, 12]),
        ({"last": 2}, (), [0, 1]),
        ({"first": 19}, (), [19]),
        ({"first": 20, "chunk": True}, (), []),
        ({"last": 4}, (0, 1, 2, 3), []),
    ],
)
def test_a_sample_is_the_first_the_middle_and_the_last(tmp_path, asked, holes, expected):
    out = tmp_path / "out"
    plan = chore.Plan(Numbers(tmp_path, holes=holes), out, **asked).sample()
    assert plan.todo == expected
    assert run(plan) == (len(expected), 0)
    assert made(out) == plan.source.read == expected
    if expected[1:]:
        (out / f"n{expected[1]:02d}.dpx").unlink()
        again = chore.Plan(Numbers(tmp_path, holes=holes), out, **asked).sample()
        assert run(again) == (1, len(expected) - 1)
        assert again.source.read == expected[1:2]
    assert run(chore.Plan(Numbers(tmp_path, holes=holes), out, **asked).sample()) == (0, len(expected))
    whole = chore.Plan(Numbers(tmp_path, holes=holes), out, **asked)
    assert run(whole)[1] == len(expected)  # which the whole run has already


def test_a_sample_needs_a_length(tmp_path):
    with pytest.raises(OptionError, match="nothing tells how many"):
        chore.Plan(Numbers(tmp_path, None), tmp_path / "out").sample()
    assert chore.Plan(Numbers(tmp_path, None), tmp_path / "out", last=5).sample().todo == [0, 2, 4]


@pytest.mark.parametrize("count", [None, 5])
def test_there_may_be_more_frames_than_is_known(tmp_path, count):
    told = []
    plan = chore.Plan(Numbers(tmp_path, count), tmp_path / "out")
    assert plan.todo == list(range(count or 0))
    assert run(plan, on_progress=lambda *progress: told.append(progress)) == (20, 0)
    assert told == [(n, count and max(n, count), "counting") for n in range(1, 21)]
    plan = chore.Plan(Numbers(tmp_path, count), tmp_path / "out")
    assert run(plan) == (0, 20)


@pytest.mark.parametrize("where", ["read", "make", "write"])
@pytest.mark.parametrize("at", [0, 9])
def test_an_error_comes_at_its_frame_with_those_before_it_whole(tmp_path, where, at):
    def broken(number, raw):
        if (where, number) == ("make", at):
            raise OSError(f"frame {number} cannot be made")
        return make(number, 1024 if (where, number) == ("write", at) else raw)

    plan = chore.Plan(Numbers(tmp_path, broken=at if where == "read" else None), tmp_path / "out")
    with pytest.raises((OSError, DataError), match=f"frame {at} |n0{at}\\.dpx"):
        run(plan, chore.each(broken))
    assert made(tmp_path / "out") == list(range(at))
    assert run(chore.Plan(Numbers(tmp_path), tmp_path / "out")) == (20 - at, at)


def test_results_need_not_be_one_to_one(tmp_path):
    """As with recurrent networks, which go from frame to frame, and with film out of video."""

    def work(items):
        total = 0
        for number, raw in items:
            total += raw
            if number % 5 == 4:
                yield number // 5, *make(number // 5, number // 5)
        assert total == sum(range(20))

    told = []
    plan = chore.Plan(Numbers(tmp_path), tmp_path / "out")
    assert run(plan, work, on_progress=lambda *progress: told.append(progress)) == (4, 0)
    assert made(tmp_path / "out") == [0, 1, 2, 3]


def test_ctrl_c_leaves_the_first_so_many(tmp_path):
    def stop(done, total, what):
        if done == 7:
            raise KeyboardInterrupt

    plan = chore.Plan(Numbers(tmp_path), tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        run(plan, on_progress=stop)
    time.sleep(0.05)
    assert made(tmp_path / "out") == list(range(7))  # without a part of another


SCRIPT = """
import sys, time
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from fastup.footage import chore
from test_chore import Numbers, make
def slow(number, raw):
    time.sleep(0.05)
    return make(number, raw)
plan = chore.Plan(Numbers("."), Path(sys.argv[1]))
chore.run(plan, lambda plan: chore.each(slow), "counting", lambda done, *_: print(done, flush=True))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_kill_loses_no_more_than_is_under_way_and_the_same_plan_carries_on(tmp_path, how):
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, out, os.path.dirname(__file__)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    for line in process.stdout:
        if int(line) == 6:
            break
    process.send_signal(how)
    process.communicate()
    if how == signal.SIGKILL:
        for part in (path for path in out.iterdir() if path.name[0] == "."):
            part.unlink()
    there = made(out)
    assert there == list(range(len(there)))
    assert 3 <= len(there) < 20
    plan = chore.Plan(Numbers(tmp_path), out)
    assert run(plan) == (20 - len(there), len(there))
    assert made(out) == list(range(20))


def test_places_that_will_not_do(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.dpx", "b.dpx"):
        fastup.write(folder / name, np.zeros((4, 6, 3), np.uint16))
    (tmp_path / "link").symlink_to(folder)
    (tmp_path / "file").write_text("")
    for source, destination, words in (
        (folder, folder, "where the input frames are"),
        (folder, tmp_path / "link", "where the input frames are"),
        (folder / "a.dpx", folder, "this is an input frame"),
        (folder, tmp_path / "file", "a file, expected a folder"),
    ):
        with pytest.raises(DataError, match=words):
            chore.Plan(Folder(source), destination).checked()
    plan = chore.Plan(Folder(folder / "a.dpx"), tmp_path, suffix=".png", file="x.png").checked()
    assert plan.sink.place(0) == tmp_path / "x.png"
    fastup.write(folder / "b.png", np.zeros((4, 6, 3), np.uint16))
    with pytest.raises(DataError, match="differ in their suffix alone"):
        chore.Plan(Folder(folder), tmp_path / "out").checked()


def test_a_chore_adds_what_it_has_found(tmp_path):
    @dataclass(frozen=True, kw_only=True)
    class Plan(chore.Plan):
        kernel: str

    plan = chore.Plan(Numbers(tmp_path), tmp_path / "out", True, first=3)
    assert plan.todo[0] == 3
    more = Plan.of(plan, kernel="soft")
    assert (more.kernel, more.first, more.overwrite, more.source) == ("soft", 3, True, plan.source)
