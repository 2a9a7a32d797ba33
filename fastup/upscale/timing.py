"""How long a frame takes on this machine, with every engine that is installed."""

import statistics
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from fastup._types import Progress
from fastup.errors import FastupError
from fastup.networks.models import Network
from fastup.upscale import engines
from fastup.upscale.film import PARALLEL
from fastup.upscale.model import Model

SIZE = (480, 720)  # of the input picture
ROUNDS, ENOUGH = 5, 3.0  # rounds of each at most, and the seconds after which no further one begins
LONG = 10.0  # seconds of a first round, to which what it sets up is little: it counts
SETTINGS = {
    "scale": [[9, 4], [2, 1]], "border": [0, 0], "trim": [0] * 4, "input_trim": [0] * 4, "black_level": "edge",
    "input_white": 1023, "target_white": 1023, "pixel_aspect": [1, 1], "transfer": None, "colorimetric": None,
}  # fmt: skip


def times(
    networks: Mapping[str, Network], on_progress: Progress | None = None
) -> tuple[dict[str, str], dict[str, dict[str, float | None]]]:
    """Time all engines with networks of some names, which have what `SETTINGS` has, as `upscale` runs them: folded, as
    many frames at a time.

    Returns what each engine is, by its name; and by the name of the network, then of the engine, the seconds for a
    frame of `SIZE`, or the next smaller of whole cells, the median of some rounds after a first one that does not
    count; or None where memory does not suffice or the engine cannot be used.
    """
    there = [name for name in engines.ENGINES if engines.installed(name)]
    words: dict[str, str] = {}
    found: dict[str, dict[str, float | None]] = {}
    for place, (title, network) in enumerate(networks.items()):
        model = Model.of(network.folded())
        size = tuple(max(n // q, 1) * q for n, q in zip(SIZE, network.cell[0], strict=True))
        found[title] = {}
        for number, name in enumerate(there):
            if on_progress is not None:
                on_progress(place * len(there) + number, len(networks) * len(there), f"{title}, {name}")
            try:
                engine, _ = engines.opened(model, name, PARALLEL)
                words[name] = engine.words
                found[title][name] = _seconds(engine, size)
            except (MemoryError, FastupError) as error:
                words.setdefault(name, str(error))
                found[title][name] = None
    return words, found


def _seconds(engine: engines.Engine, size: tuple[int, ...]) -> float:
    """Seconds for a frame of a size, where as many are made at a time as the engine takes."""
    picture: Any = np.random.default_rng(0).random((*size, 3), np.float32)
    picture = np.ascontiguousarray(picture.transpose(2, 0, 1)) if engine.planes else picture
    rounds: list[float] = []
    with ThreadPoolExecutor(engine.parallel) as pool:
        while len(rounds) < ROUNDS and sum(rounds) < ENOUGH:
            seconds = _round(pool, engine, picture)
            if not rounds and seconds < LONG:
                seconds = _round(pool, engine, picture)
            rounds.append(seconds)
    return statistics.median(rounds) / engine.parallel


def _round(pool, engine, picture):
    began = time.perf_counter()
    list(pool.map(engine.run, [picture] * engine.parallel))
    return time.perf_counter() - began
