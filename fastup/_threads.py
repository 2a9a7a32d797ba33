"""Work on threads, with results in order."""

import contextlib
import gc
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from fastup._types import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST = 16  # threads: with more, frames take memory while they wait for Python's lock


def cores() -> set[int]:
    """The processors that this process may use, by number."""
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


def workers() -> int:
    """How many threads share the work: one for each processor that may be used, up to `MOST`."""
    return min(os.cpu_count() or 1, len(cores()), MOST)


_here = threading.local()  # .collecting: whether Python collects garbage on this thread


def _note(phase: str, info: object, here: threading.local = _here) -> None:
    here.collecting = phase == "start"


gc.callbacks.append(_note)


class Pool(ThreadPoolExecutor):
    """A pool of threads whose end waits for what they do, but not where it ends as garbage.

    Python collects garbage at any time, on any thread: who waited there might hold what the threads wait for, or be one
    of them.
    """

    def __exit__(self, *problem: object) -> None:
        self.shutdown(wait=not getattr(_here, "collecting", False))


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int | None = None, ahead: int | None = None
) -> Generator[Result, None, None]:
    """Yield ``work(item)`` of each item, in the order of the items, computed on threads ahead of its use.

    Items are taken from their iterator on the caller's thread. At most `ahead` results, by default as many as threads,
    are ready or under way before they are asked for. However the loop is left, what is under way is finished first, and
    nothing more is begun. What `work` or the iterator raises comes after the results of the items before.
    """
    threads = threads or workers()
    waiting: deque[Future[Result]] = deque()
    failed: list[Exception] = []
    with Pool(threads) as pool:
        try:
            for item in _until_error(items, failed):
                waiting.append(pool.submit(work, item))
                if len(waiting) > (ahead or threads):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    for error in failed:
        raise error


def _until_error(items, failed):
    """Yield the items up to an error, which goes to a list."""
    try:
        yield from items
    except Exception as error:
        failed.append(error)


def on_threads(
    work: Callable[[Item], object], items: Iterable[Item], what: str, on_progress: Progress | None = None
) -> None:
    """Call ``work(item)`` for each item, on threads; the first error ends it, once what is under way is finished.

    `on_progress` is called with (done, to do, `what`) after each.
    """
    items = list(items)
    with contextlib.closing(in_order(work, items, ahead=4 * workers())) as results:
        for done, _ in enumerate(results, 1):
            if on_progress is not None:
                on_progress(done, len(items), what)
