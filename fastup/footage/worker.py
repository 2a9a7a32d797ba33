"""What a worker of a cluster does: it says whether it can help, and makes parts."""

import hashlib
import os
import pickle
import socket
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import fastup
from fastup.errors import DataError, FastupError

SAY = 1.0  # seconds between what a worker says of a part
CORES, SHARE = "FASTUP_WORKER_CORES", "FASTUP_WORKER_SHARE"  # of a local worker: see `dask_setup`

OnFrame: TypeAlias = Callable[[int, int | None, str], None]

_ONE = threading.Lock()  # a worker makes one part at a time, by all of its cores, whatever threads Dask gives it


class Stopped(Exception):
    """Nobody waits for the part any more."""


@dataclass(frozen=True)
class Wanted:
    """What a worker must have to make parts of a film; of plain types, which any version of fastup can read."""

    build: str  # as of `build`
    seen: tuple[tuple[str, int | None], ...]  # what it must see of the input: files with their sizes, or folders
    token: tuple[str, str] | None  # a file in the output folder, and the text in it
    loads: bytes  # the pickle of a part without frames: loading it loads the model


@cache
def build() -> str:
    """This fastup: its version, and a digest of its Python sources, wherever they lie."""
    folder, digest = Path(fastup.__file__).parent, hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"{fastup.__version__}, {digest.hexdigest()[:12]}"


def greet(wanted: dict[str, Any]) -> dict[str, Any]:
    """What a worker is called, and what keeps it from helping, a line each: see `Wanted`, whose fields these are."""
    from distributed import get_worker

    worker = get_worker()
    name = str(worker.name)
    name = f"{socket.gethostname()}:{worker.port}" if "://" in name else name
    return {"name": name, "faults": list(_faults(Wanted(**wanted)))[:1]}


def _faults(wanted):
    if build() != wanted.build:
        yield f"has fastup {build()}, expected {wanted.build}, as here"
    for path, size in wanted.seen:
        try:
            found = os.stat(path)
        except OSError as error:
            yield f"cannot see {path}: {error.strerror}; expected the same folders as here"
        else:
            if size not in (None, found.st_size):
                yield f"sees {path} with {found.st_size} bytes, expected {size}, as here"
    if wanted.token is not None:
        path, text = wanted.token
        try:
            if Path(path).read_text() != text:
                yield f"sees another file than here at {path}; expected the same folders as here"
            with tempfile.TemporaryFile(dir=os.path.dirname(path)):
                pass
        except OSError as error:
            folder = os.path.dirname(path)
            yield f"cannot see or write to {folder}: {error.strerror}; expected the same folders as here"
    try:
        with _ONE:
            pickle.loads(wanted.loads)
    except (FastupError, OSError) as error:
        yield str(error)
    except Exception as error:  # of any library
        yield f"cannot load what it needs: {type(error).__name__}: {error}"


def make(part: bytes, topic: str) -> dict[str, Any]:
    """Make a part, the pickle of a function and its arguments, to which `on_frame` is added: what the function gives.

    With "seconds", that it took. The client hears meanwhile how many frames are made, under a topic. Raises `Stopped`
    at the next frame where nobody waits for it any more.
    """
    from distributed import get_worker
    from distributed.worker import thread_state

    worker, key, said = get_worker(), thread_state.key, time.monotonic()

    def on_frame(done: int, total: int | None, what: str) -> None:
        nonlocal said
        task = worker.state.tasks.get(key)
        if task is None or task.state in ("cancelled", "released", "forgotten"):
            raise Stopped
        if time.monotonic() - said >= SAY:
            said = time.monotonic()
            worker.log_event(topic, {"part": str(key), "made": done})

    with _ONE:
        on_frame(0, None, "")
        function, *arguments = pickle.loads(part)
        began = time.perf_counter()
        found = function(*arguments, on_frame)
        return found | {"seconds": time.perf_counter() - began}


def failure(error: Exception) -> tuple[str, bool]:
    """What ended a part before its last frame, for the client to say, and whether it is the worker's own fault.

    That is what is no fault of the data, as a full disk. `Stopped` is raised again.
    """
    if isinstance(error, Stopped):
        raise error
    text = str(error) if isinstance(error, FastupError) else f"{type(error).__name__}: {error}"
    return text, not isinstance(error, DataError)


def share() -> int:
    """By how many workers of this machine its memory is shared, as far as it is known."""
    return int(os.environ.get(SHARE, 1))


def dask_setup(worker: Any) -> None:
    """Keep a local worker to its cores, as Dask preloads it; threads that it starts later are kept to them too."""
    cores = {int(core) for core in os.environ.get(CORES, "").split(",") if core}
    if cores and hasattr(os, "sched_setaffinity"):
        for thread in os.listdir("/proc/self/task"):
            os.sched_setaffinity(int(thread), cores)
