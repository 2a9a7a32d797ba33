"""A cluster of Dask: the scheduler at an address, or workers that are started here.

Dask carries what is said between client and workers; what is made goes to folders that all of them see.
"""

import contextlib
import ipaddress
import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from fastup._threads import cores
from fastup._types import Progress
from fastup.errors import FastupError, OptionError
from fastup.footage import worker
from fastup.footage.parts import Job, Outcome, Run, line

TTL = 60.0  # seconds after which a scheduler is to give up a worker that says nothing: three parts
_CALM = {  # of workers here, whose cores are for frames: Dask would look at itself up to 100 times a second
    "distributed.worker.profile.enabled": False, "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "5s", "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.scheduler.work-stealing": False,
}  # fmt: skip


class Cluster:
    """Workers that make films: a context, in which they are there.

    Parameters
    ----------
    where
        The address of a Dask scheduler, ``tcp://host:8786`` or ``tls://host:8786``; its scheduler file, JSON; or
        ``local``, ``local:N``: workers on this machine, one for each GPU, or N that share its cores.
    note
        Is called with a line about what happens.

    Raises
    ------
    OptionError
        If `where` is none of them.
    FastupError
        If there is no such scheduler, or Dask is not installed.
    """

    def __init__(self, where: str, note: Callable[[str], object] = lambda text: None) -> None:
        self.where, self.note = where, note
        self.workers: list[dict[str, Any]] = []  # of the last job: what each made, and how fast
        self.client: Any = None
        self._local: Any = None
        self._count: int | None = None
        name, _, count = where.partition(":")
        if name == "local":
            if count and not (count.isdecimal() and 0 < int(count) < 1000):
                raise OptionError(f"cluster is {where!r}, expected local:N, of N workers")
            self._count = int(count) if count else max(1, len(_gpus()) or len(cores()) // 4)
        elif "://" not in where and not where.endswith(".json"):
            raise OptionError(
                f"cluster is {where!r}, expected a scheduler's address, as tcp://host:8786, its file, a .json, or "
                "local:N"
            )

    def __enter__(self) -> Self:
        try:
            import distributed
        except ModuleNotFoundError as error:
            raise FastupError(
                f"cluster is {self.where}, for which Dask is needed: pip install 'fastup[cluster]'"
            ) from error
        _quiet()
        try:
            if self._count is not None:
                self._local = _started(distributed, self._count)
            self.connect()
        except BaseException:
            self.__exit__()
            raise
        if self._local is None and not _is_safe(address := self.client.scheduler.address):
            self.note(
                f"{address} has no TLS: whoever reaches it can run programs as you, there and on its workers; "
                "docs/cluster.md has TLS"
            )
        return self

    def __exit__(self, *problem: object) -> None:
        for each in (self.client, self._local):
            if each is not None:
                with contextlib.suppress(Exception):  # of whatever is left of a connection
                    each.close(timeout=5)
        self.client = self._local = None

    def run(self, job: Job, on_progress: Progress | None = None) -> Outcome:
        """Make what there is to make; what could not be made is in the outcome.

        FastupError if a worker that is there cannot help, or none is left, or the scheduler does not come back.
        """
        run = Run(self, job, on_progress)
        try:
            return run.outcome()
        finally:
            self.workers = run.workers

    @property
    def own(self) -> bool:
        return self._local is not None

    def connect(self) -> None:
        """Find the scheduler; FastupError if there is none."""
        from distributed import Client
        from distributed.security import Security

        place = self._local if self._local is not None else _address(self.where)
        try:
            safe = self._local is None and place.startswith("tls://")
            if safe and Security().get_connection_args("client")["ssl_context"] is None:
                raise FastupError(f"cluster is {place}, but no key for it is here: docs/cluster.md has TLS")
            self.client = Client(place, timeout=10, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise FastupError(
                f"cluster: no scheduler at {place}: {line(error)}; expected one that runs: dask scheduler"
            ) from error
        with contextlib.suppress(Exception):  # a scheduler that runs nothing for clients
            ttl = self.client.run_on_scheduler(_ttl_of)
            if ttl is None or ttl > 2 * TTL:
                self.note(
                    f"the scheduler gives up a worker that hangs after {'no time' if ttl is None else f'{ttl:.0f} s'}, "
                    f"expected {TTL:.0f}: DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL={TTL:.0f}s dask scheduler"
                )


def _address(where):
    """The address of a scheduler; of its file, what is written there."""
    if not where.endswith(".json"):
        return where
    try:
        return json.loads(Path(where).read_text())["address"]
    except OSError as error:
        raise FastupError(f"{where}: {error.strerror}; expected the file that dask scheduler writes") from error
    except (ValueError, KeyError, TypeError) as error:
        raise FastupError(f"{where}: no scheduler file: expected JSON with an address") from error


def _started(distributed, count):
    """Workers on this machine, each with its share of the cores, or a GPU; a worker that dies is started again."""
    import dask

    mine, gpus = sorted(cores()), _gpus()
    workers = {}
    for number in range(count):
        some = mine[number * len(mine) // count : (number + 1) * len(mine) // count] or [mine[number % len(mine)]]
        env = {worker.CORES: ",".join(map(str, some)), worker.SHARE: str(count)}
        env |= {name: str(len(some)) for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "OPENBLAS_NUM_THREADS")}
        if gpus:
            env["CUDA_VISIBLE_DEVICES"] = gpus[number % len(gpus)]
        options = {
            "nthreads": 1, "memory_limit": 0, "env": env, "name": f"local {number + 1}", "host": "127.0.0.1",
            "preload": "fastup.footage.worker", "dashboard": False, "silence_logs": logging.CRITICAL,
        }  # fmt: skip
        workers[number] = {"cls": distributed.Nanny, "options": options}
    scheduler = {
        "host": "127.0.0.1",
        "dashboard": False,
        "dashboard_address": "127.0.0.1:0",
        "worker_ttl": f"{TTL:.0f}s",
    }
    with dask.config.set(_CALM):
        return distributed.SpecCluster(
            workers, {"cls": distributed.Scheduler, "options": scheduler}, silence_logs=logging.CRITICAL
        )


def _gpus():
    """The GPUs of this machine, as CUDA numbers them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [each for each in given.split(",") if each and each != "-1"]
    return [str(n) for n, _ in enumerate(Path("/dev").glob("nvidia[0-9]*"))]


def _is_safe(address):
    """Whether an address is of TLS, or of this machine alone."""
    parts = urlsplit(address)
    if parts.scheme in ("tls", "wss", "inproc"):
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return parts.hostname == "localhost"


def _ttl_of(dask_scheduler: Any) -> float | None:
    return dask_scheduler.worker_ttl


def _quiet():
    """Let Dask say nothing by itself: what goes wrong is said here."""
    for name in ["distributed", *(name for name in logging.root.manager.loggerDict if name.startswith("distributed"))]:
        logging.getLogger(name).setLevel(logging.CRITICAL)
