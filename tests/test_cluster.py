"""Films over a cluster: the same frames as one process makes, whatever happens to workers on the way."""

import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import fastup
from fastup.errors import DataError, FastupError, OptionError
from fastup.footage import chore, cluster, convert, parts, worker
from fastup.footage.stills import Folder
from fastup.header import Header

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")

COUNT = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Frames whose pixels are their number; nothing may be written here."""
    folder = tmp_path_factory.mktemp("numbers")
    for number in range(COUNT):
        frame = np.full((4, 6, 3), number, np.uint16)
        fastup.write(folder / f"n{number:02d}.dpx", frame, header=Header.new(6, 4, frame_rate=24.0))
    return folder


@pytest.fixture(scope="module")
def farm():
    """A scheduler and two workers in this process; gives the address, and what closes a worker."""
    made = distributed.LocalCluster(
        n_workers=2, threads_per_worker=2, processes=False, protocol="tcp", host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    )  # fmt: skip
    cluster._quiet()
    yield made
    made.close()


@pytest.fixture
def joined(farm):
    with cluster.Cluster(farm.scheduler_address) as there:
        yield there


def work(plan):
    """Doubles frames; those of a number in ``out/../bad`` cannot be made."""
    bad = plan.destination.parent / "bad"

    def make(number, path):
        with open(plan.destination.parent / "log", "a") as log:
            log.write(f"{number}\n")
        time.sleep(0.005)
        if bad.exists() and number in json.loads(bad.read_text()):
            raise DataError(f"{path}: holds NaN")
        return 2 * fastup.read(path), plan.source.header(number)

    def one_by_one(items):
        for number, path in items:
            yield number, *make(number, path)

    return one_by_one


def tries(tmp_path):
    return [int(line) for line in (tmp_path / "log").read_text().split()]


def check(out, numbers=range(COUNT)):
    """Those frames are there, and nothing else."""
    assert sorted(path.name for path in out.iterdir()) == [f"n{number:02d}.dpx" for number in numbers]
    for number in numbers:
        assert (fastup.read(out / f"n{number:02d}.dpx") == 2 * number).all()


def test_a_film_is_the_one_that_one_process_makes(folder, joined, tmp_path):
    told = []
    plan = chore.Plan(Folder(folder), tmp_path / "out", cluster=joined)
    assert chore.run(plan, work, "doubling", lambda *now: told.append(now)) == (COUNT, 0)
    check(tmp_path / "out")
    assert sorted(tries(tmp_path)) == list(range(COUNT))
    assert told[-1] == (COUNT, COUNT, "doubling, 2 workers")
    assert [done for done, *_ in told] == sorted(done for done, *_ in told)
    assert sum(each["frames"] for each in joined.workers) == COUNT
    for number in (3, 4, 20):
        (tmp_path / "out" / f"n{number:02d}.dpx").unlink()
    assert chore.run(plan, work, "doubling") == (3, COUNT - 3)
    assert sorted(tries(tmp_path)[COUNT:]) == [3, 4, 20]
    assert chore.run(plan, work, "doubling") == (0, COUNT)
    assert chore.run(replace(plan, overwrite=True, first=4, last=9, every=2), work, "doubling") == (3, 0)
    assert sorted(tries(tmp_path)[COUNT + 3 :]) == [4, 6, 8]


def test_movies_are_joined_of_parts(folder, joined, tmp_path):
    pytest.importorskip("av")
    plan = convert.prepare(folder, tmp_path / "one.mkv")
    convert.run(plan)
    plan = replace(convert.prepare(folder, tmp_path / "two.mkv"), cluster=joined)
    assert convert.run(plan) == (COUNT, 0)
    assert (tmp_path / "one.mkv").read_bytes() == (tmp_path / "two.mkv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.mkv", "two.mkv"]


def test_a_frame_that_cannot_be_made_is_tried_twice_and_named_and_the_others_are_made(folder, joined, tmp_path):
    (tmp_path / "bad").write_text("[7, 8, 29]")
    plan = chore.Plan(Folder(folder), tmp_path / "out", cluster=joined)
    with pytest.raises(DataError) as problem:
        chore.run(plan, work, "doubling")
    lines = str(problem.value).split("\n  ")
    assert lines[0].startswith("3 frames could not be made: ")
    assert sorted(f"n{number:02d}.dpx: holds NaN" in str(problem.value) for number in (7, 8, 29)) == [True] * 3
    assert f"{COUNT - 3} frames are in" in lines[-1]
    check(tmp_path / "out", [number for number in range(COUNT) if number not in (7, 8, 29)])
    assert [tries(tmp_path).count(number) for number in (7, 8, 29, 6, 9)] == [2, 2, 2, 1, 1]


def test_what_a_worker_had_that_is_gone_goes_to_others(folder, farm, joined, tmp_path):
    farm.scale(3)
    farm.wait_for_workers(3)
    done = []

    def close_one(count, total, what):
        if count >= 5 and not done:
            done.append(count)
            farm.scale(2)

    plan = chore.Plan(Folder(folder), tmp_path / "out", cluster=joined)
    assert chore.run(plan, work, "doubling", close_one) == (COUNT, 0)
    assert done
    check(tmp_path / "out")
    assert max(map(tries(tmp_path).count, range(COUNT))) <= 2


def test_ctrl_c_ends_the_workers_at_the_next_frame(folder, joined, tmp_path):
    def stop(done, total, what):
        if done >= 5:
            raise KeyboardInterrupt

    plan = chore.Plan(Folder(folder), tmp_path / "out", cluster=joined)
    with pytest.raises(KeyboardInterrupt):
        chore.run(plan, work, "doubling", stop)
    made = sorted((tmp_path / "out").glob("*.dpx"))
    assert 5 <= len(made) < COUNT
    written, skipped = chore.run(plan, work, "doubling")
    assert written + skipped == COUNT
    check(tmp_path / "out")


def test_workers_that_cannot_help_are_refused(folder, joined, tmp_path, monkeypatch):
    out = tmp_path / "out"
    plan = chore.Plan(Folder(folder), out, cluster=joined)
    with monkeypatch.context() as patch:
        here, main = worker.build(), threading.main_thread()
        patch.setattr(worker, "build", lambda: "1.0, 0123456789ab" if threading.current_thread() is main else here)
        with pytest.raises(FastupError, match=r"worker \S+ has fastup .*, expected 1.0, 0123456789ab, as here"):
            chore.run(plan, work, "doubling")
    assert list(out.iterdir()) == []


def test_what_a_worker_lacks(tmp_path):
    (tmp_path / "token").write_text("here")
    (tmp_path / "frame").write_bytes(b"123")
    good = worker.Wanted(worker.build(), ((str(tmp_path / "frame"), 3),), (str(tmp_path / "token"), "here"), b"N.")
    assert list(worker._faults(good)) == []
    for change, words in (
        ({"build": "0.0, 0"}, f"has fastup {worker.build()}, expected 0.0, 0, as here"),
        ({"seen": (("/nowhere/f", 3),)}, "cannot see /nowhere/f: No such file or directory; expected the same folders"),
        ({"seen": ((str(tmp_path / "frame"), 4),)}, "with 3 bytes, expected 4, as here"),
        ({"token": (str(tmp_path / "token"), "there")}, "sees another file than here at"),
        ({"token": ("/nowhere/token", "there")}, "cannot see or write to /nowhere: No such file or directory"),
        ({"loads": b"cfastup.errors\nDataError\n(S'another model'\ntR."}, ""),
        ({"loads": b"nothing"}, "cannot load what it needs: UnpicklingError"),
    ):
        found = list(worker._faults(replace(good, **change)))
        assert len(found) == bool(words)
        assert words in "".join(found)


def test_places_that_are_no_cluster(tmp_path):
    for where in ("local:0", "local:x", "tcp", "", "here.txt"):
        with pytest.raises(OptionError, match=r"cluster is .*, expected"):
            cluster.Cluster(where)
    (tmp_path / "bad.json").write_text("{}")
    for where, words in (
        ("tls://127.0.0.1:1", "cluster is tls://127.0.0.1:1, but no key for it is here"),
        (tmp_path / "none.json", "No such file or directory; expected the file that dask scheduler writes"),
        (tmp_path / "bad.json", "no scheduler file: expected JSON with an address"),
    ):
        with pytest.raises(FastupError, match=words):
            cluster.Cluster(str(where)).__enter__()
    safe = {"tls://10.0.0.1:8786": True, "tcp://10.0.0.1:8786": False, "tcp://127.0.0.1:1": True, "tcp://farm:1": False}
    assert {address: cluster._is_safe(address) for address in safe} == safe


def test_sources_that_cannot_be_parted(folder, joined, tmp_path):
    for change, out, words in (
        ({"parts": False}, tmp_path / "out", "cannot be gone into at any frame"),
        ({"frame_count": None}, tmp_path / "out", "nothing tells how many frames"),
        ({}, Path("-"), "OUTPUT is a pipe"),
    ):
        source = Folder(folder)
        vars(source).update(change)
        with pytest.raises(OptionError, match=f"cluster is .*, but .*{words}"):
            chore.run(chore.Plan(source, out, cluster=joined), work, "doubling")
    assert list(tmp_path.iterdir()) == []


def sizes(speeds, units):
    """How many frames each next part has, of workers that make so many a second, in the order of their asking."""
    job = parts.Job("", units, lambda numbers: (), lambda unit: False, str)
    run = parts.Run(SimpleNamespace(), job, None)
    run.hands = {str(n): parts._Hand(str(n), ready=True, speed=speed, last=10**6) for n, speed in enumerate(speeds)}
    clock, given = dict.fromkeys(run.hands, 0.0), []
    while run.todo:
        name = min(clock, key=lambda name: clock[name])
        some = run._next(run.hands[name])
        count = sum(map(len, some))
        run.left -= count
        clock[name] += count / run.hands[name].speed
        given.append((name, some))
    return given, clock


def test_parts_take_as_long_on_every_worker_and_all_end_together():
    given, clock = sizes([0.5, 2.0, 8.0], [(n,) for n in range(4000)])
    assert [unit for _, some in given for unit in some] == [(n,) for n in range(4000)]
    assert {name: len(some) for name, some in given[:3]} == {"0": 10, "1": 40, "2": 160}  # 20 s
    assert max(clock.values()) - min(clock.values()) < 3
    given, _ = sizes([1.0], [tuple(range(n, n + 25)) for n in range(0, 100, 25)])
    assert [len(some) for _, some in given] == [1] * 4  # whole parts of a movie


def test_stretches_of_a_folder_keep_their_numbers(folder):
    source = Folder(folder)
    some = source.cut(10, 13)
    assert [number for number, _ in some.files()] == [10, 11, 12]
    assert (some.name(11), len(some), some.rate) == ("n11", COUNT, 24)
    assert [(n, int(some.pixels(raw)[0, 0, 0])) for n, raw in some.frames(11, 13)] == [(11, 11), (12, 12)]
    again = some.cut(11, 12)
    assert [number for number, _ in again.files()] == [11]
    assert again.header(11).frame_rate == 24


def test_scores_are_those_of_one_process(trained, farm, tmp_path, run):
    rng = np.random.default_rng(4)
    for number in range(7):  # two shots
        target = np.kron(np.random.default_rng(number // 4).uniform(0.2, 0.8, (6, 6, 3)), np.ones((12, 10, 1)))
        small = target[::9, ::10].repeat(4, 0).repeat(5, 1) + rng.normal(0, 0.02, (32, 30, 3))
        for side, frame in (("Alpha", small), ("Beta", target)):
            path = tmp_path / "film" / side / f"f{number}.dpx"
            path.parent.mkdir(parents=True, exist_ok=True)
            fastup.write(path, np.round(frame * 1023).astype(np.uint16))
    command = "evaluate", trained / "best.onnx", tmp_path / "film", "--match"
    code, alone, _ = run(*command, "--json")
    assert code == 0
    assert [row["flicker"] is None for row in json.loads(alone)] == [n in (0, 4) for n in range(8)]
    assert run(*command, "--cluster", farm.scheduler_address, "--json")[:2] == (0, alone)
    code, out, _ = run(*command, "--cluster", farm.scheduler_address)
    assert (code, "frames/s" in out) == (0, True)
    code, _, err = run(*command, "--cluster", farm.scheduler_address, "--html", "page.html")
    assert (code, "pictures of the page page.html are of frames made here" in err) == (2, True)


def test_film_of_a_clip_goes_to_no_cluster(run):
    code, _, err = run("upscale", "cel", "clip.mov", "out", "--detelecine", "--cluster", "local:1")
    assert (code, "--detelecine weaves a clip from its first frame on" in err) == (2, True)
