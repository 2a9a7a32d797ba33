"""What several test files share: a small data set at the real scale, a model trained on it, and the command line."""

import contextlib
import os
import shutil
import signal
import sys
import time
from fractions import Fraction

import numpy as np
import pytest

# A shell that starts something in the background has it ignore Ctrl-C, which some tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Workers of a parallel run share the processors: told before NumPy and TensorFlow are imported.
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    share = max(1, os.cpu_count() // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    for name in ("OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = str(share)

# A disk is waited for where files take the places of others, 3 ms each on ext4; memory is not.
with contextlib.suppress(OSError):
    if shutil.disk_usage("/dev/shm").free > 4e9:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/dev/shm")

from numba.core import caching

import fastup.networks  # first of all: it quiets TensorFlow
from fastup import cli, demo, frames
from fastup.cli import show
from fastup.header import Header

# They share Numba's cache, so that each kernel is compiled once. Numba only counts its files: of two kernels that two
# processes compile at once, one would be taken for the other.
_named = caching.IndexDataCacheFile._data_name
caching.IndexDataCacheFile._data_name = lambda self, number: f"{os.getpid()}-{_named(self, number)}"

SD, HD = (120, 180), (270, 360)  # 9/4 x 2, as 720x480 to 1440x1080


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A function: a folder of a name, filled by ``fill(folder)`` in the first worker that asks; others wait for it."""

    def shared(name, fill):
        if not worker:
            fill(folder := tmp_path_factory.mktemp(name))
            return folder
        folder = tmp_path_factory.getbasetemp().parent / name
        made = folder.with_suffix(".made")
        try:
            folder.mkdir()
        except FileExistsError:
            while not made.exists():
                time.sleep(0.05)
            return folder
        try:
            fill(folder)
        finally:
            made.touch()
        return folder

    return shared


@pytest.fixture(scope="session")
def small(shared):
    """A drawn data set: 3 pairs to train on, 1 to validate, 3 to evaluate. Nothing may be written here."""
    return shared("small", lambda folder: demo.write_data(folder, 0, HD, SD, train=3, validation=1, evaluation=3))


@pytest.fixture
def data(small, tmp_path):
    """A folder of one's own for runs, with the small data set's frames in it."""
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("train", "validation", "evaluation"):
        (folder / name).symlink_to(small / name)
    return folder


@pytest.fixture
def own(small, tmp_path):
    """A copy of the small data set's train and validation."""
    for name in ("train", "validation"):
        shutil.copytree(small / name, tmp_path / "own" / name)
    return tmp_path / "own"


@pytest.fixture(scope="session")
def trained(small, shared):
    """A folder in which compact was trained for two epochs, each better than bicubic by 0.1 dB and more.

    It is shared, so nothing in it may be changed.
    """
    from fastup.train import fit
    from fastup.train.config import Config
    from fastup.train.prepare import prepare

    def train(folder):
        for name in ("train", "validation", "evaluation"):
            (folder / name).symlink_to(small / name)
        fit.fit(prepare(folder, Config(epochs=2, learning_rate=3e-4, batch=2)))

    return shared("trained", train) / "models" / "compact"


@pytest.fixture
def copied(trained, data):
    """A data folder of one's own, with the trained run in it."""
    shutil.copytree(trained, data / "models" / "compact")
    return data


@pytest.fixture
def frame(tmp_path):
    """A frame whose header says much."""
    path = tmp_path / "f0001.dpx"
    header = Header.new(
        720, 480, big_endian=False, pixel_aspect=Fraction(8, 9), timecode="01:02:03:04",
        frame_rate=24000 / 1001, frame_position=86,
    )  # fmt: skip
    fastup.write(path, np.full((480, 720, 3), 512, np.uint16), header)
    return path


@pytest.fixture
def run(monkeypatch, capfd):
    """Run a command; returns its exit code and what it printed to stdout and stderr."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["fastup", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        printed = capfd.readouterr()
        return end.value.code, printed.out, printed.err

    # The consoles were made with the streams of the import; these are of the test.
    monkeypatch.setattr(show, "out", show.Console(width=160, highlight=False, soft_wrap=True))
    monkeypatch.setattr(show, "err", show.Console(stderr=True, highlight=False))
    monkeypatch.setattr(show, "EVERY", float("inf"))  # or what is slow, on a busy machine, would say how it goes
    return call


@pytest.fixture
def settled(monkeypatch):
    """Digests are noted of files that changed just now, too."""
    from fastup.pairs import digests

    monkeypatch.setattr(digests, "SETTLED", 0)


@pytest.fixture
def reads(monkeypatch):
    """Names of the frames that are read, sorted, since the last look."""
    names, really = [], frames.read

    def read(path, *arguments, **options):
        names.append(path.name)
        return really(path, *arguments, **options)

    def look():
        seen = sorted(names)
        names.clear()
        return seen

    monkeypatch.setattr(frames, "read", read)
    return look


@pytest.fixture
def tape(tmp_path):
    """A video of twenty frames with a timecode, every one another shade."""
    from videos import twenty

    return twenty(tmp_path)
