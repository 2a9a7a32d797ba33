"""Where the seconds of a run go: how long each of its stages was busy."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Item = TypeVar("Item")


class Stages:
    """Measures how long stages are busy, by their names; a stage on several threads is busy while any of them is.

    `seconds` has them. `clock` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._clock, self._lock = clock, threading.Lock()
        self._running: dict[str, int] = defaultdict(int)
        self._since: dict[str, float] = {}

    def __reduce__(self) -> Any:
        return Stages, ()  # another process measures its own

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """A stage is busy while this context lasts."""
        with self._lock:
            if not self._running[stage]:
                self._since[stage] = self._clock()
            self._running[stage] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running[stage] -= 1
                if not self._running[stage]:
                    self.seconds[stage] += self._clock() - self._since[stage]

    def taking(self, items: Iterable[Item], stage: str) -> Generator[Item, None, None]:
        """Yield the items; a stage is busy while one is taken from them."""
        iterator = iter(items)
        while True:
            with self(stage):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item
