"""A folder is one run's: who comes second is told who was first, and nobody is locked out by the dead."""

import errno
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from fastup.errors import FastupError
from fastup.train import lock

HOLD = """
import sys
from fastup.train.lock import held
with held(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """Another process that holds the folder until its stdin is closed."""
    command = [sys.executable, "-c", HOLD, tmp_path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_who_comes_second_is_told_who_was_first(tmp_path, other):
    for _ in range(2):  # being refused changes nothing
        with pytest.raises(FastupError, match=rf"another run trains here \(process {other.pid} on .*--name") as caught:
            lock.held(tmp_path).__enter__()
        assert str(caught.value).startswith(f"{tmp_path}: ")
    other.stdin.close()
    other.wait()
    assert os.listdir(tmp_path) == []
    with lock.held(tmp_path):
        assert os.listdir(tmp_path) == [".lock"]
    assert os.listdir(tmp_path) == []


def test_the_dead_hold_nothing(tmp_path, other):
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    assert os.listdir(tmp_path) == [".lock"]  # of no consequence
    with lock.held(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()} on ")
    assert os.listdir(tmp_path) == []


def test_one_process_does_not_hold_twice(tmp_path):
    with lock.held(tmp_path):
        with pytest.raises(FastupError, match=f"process {os.getpid()} on"), lock.held(tmp_path):
            pass
        assert os.listdir(tmp_path) == [".lock"]
    with pytest.raises(ZeroDivisionError), lock.held(tmp_path):
        raise ZeroDivisionError
    with lock.held(tmp_path):
        pass


def test_one_of_many_at_once(tmp_path):
    """Each is alone while it holds, though files come and go; those who were refused try again."""
    inside, most, done = [], [], []

    def work():
        while len(done) < 200:
            try:
                with lock.held(tmp_path):
                    inside.append(1)
                    most.append(len(inside))
                    done.append(1)
                    inside.pop()
            except FastupError:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(most) == {1}
    assert os.listdir(tmp_path) == []


def test_a_file_that_was_taken_along_is_no_lock(tmp_path, monkeypatch):
    """Whoever held it removes it after we have opened it, and before we have locked it."""
    locked = lock._lock

    def late(file, folder):
        if not taken:
            taken.append(1)
            (tmp_path / ".lock").unlink()
        locked(file, folder)

    taken = []
    monkeypatch.setattr(lock, "_lock", late)
    with lock.held(tmp_path), pytest.raises(FastupError), lock.held(tmp_path):
        pass
    assert taken


@pytest.mark.skipif(lock.fcntl is None, reason="Windows has locks everywhere")
@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_written_to(tmp_path, monkeypatch, code):
    def flock(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(lock.fcntl, "flock", flock)
    with lock.held(tmp_path):
        pass
    assert os.listdir(tmp_path) == []


def test_as_on_windows(tmp_path, monkeypatch):
    """There a lock keeps others from a byte, which must not be one that they read, and files that are open stay."""
    locked = []

    def locking(descriptor, how, count):
        assert (how, count) == ("at once", 1)
        assert os.lseek(descriptor, 0, os.SEEK_CUR) >= 1000
        if locked:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        locked.append(descriptor)

    monkeypatch.setattr(lock, "fcntl", None)
    monkeypatch.setattr(lock, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK="at once"), raising=False)
    with lock.held(tmp_path):
        assert (tmp_path / ".lock").read_text().startswith(f"process {os.getpid()} on ")
        with pytest.raises(FastupError, match=f"process {os.getpid()} on"), lock.held(tmp_path):
            pass
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError), lock.held(tmp_path / "none"):
        pass
