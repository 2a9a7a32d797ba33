"""How long a frame takes on this machine: every engine that is installed, with every architecture."""

import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from fastup._types import Progress
from fastup.errors import FastupError
from fastup.networks.models import MODELS, Network
from fastup.upscale import engines
from fastup.upscale.film import PARALLEL
from fastup.upscale.model import Model

SIZE = (480, 720)  # of the input picture; the scale makes 1080x1440 of it
ROUNDS, ENOUGH = 5, 3.0  # rounds of each at most, and the seconds after which no further one begins
LONG = 10.0  # seconds of a first round, to which what it sets up is little: it counts
SETTINGS = {
    "scale": [[9, 4], [2, 1]], "border": [18, 18], "trim": [0] * 4, "input_trim": [0] * 4, "black_level": "edge",
    "input_white": 1023, "target_white": 1023, "pixel_aspect": [1, 1], "transfer": None, "colorimetric": None,
}  # fmt: skip


def times(on_progress: Progress | None = None) -> tuple[dict[str, str], dict[str, dict[str, float | None]]]:
    """Time all engines with all architectures, at their default sizes, as `upscale` runs them: as many at a time.

    Returns what each engine is, by its name; and by the name of the architecture, then of the engine, the seconds for a
    frame of 720x480 to 1440x1080, the median of some rounds after a first one that does not count; or None where memory
    does not suffice or the engine cannot be used.
    """
    there = [name for name in engines.ENGINES if engines.installed(name)]
    words: dict[str, str] = {}
    found: dict[str, dict[str, float | None]] = {}
    for place, architecture in enumerate(MODELS):
        model = Model.of(Network({"model": architecture, **SETTINGS}))
        found[architecture] = {}
        for number, name in enumerate(there):
            if on_progress is not None:
                on_progress(place * len(there) + number, len(MODELS) * len(there), f"{architecture}, {name}")
            try:
                engine, _ = engines.opened(model, name, PARALLEL)
                words[name] = engine.words
                found[architecture][name] = _seconds(engine)
            except (MemoryError, FastupError) as error:
                words.setdefault(name, str(error))
                found[architecture][name] = None
    return words, found


def _seconds(engine: engines.Engine) -> float:
    """Seconds for a frame, where as many are made at a time as the engine takes."""
    height, width = SIZE
    picture: Any = np.random.default_rng(0).random((height, width, 3), np.float32)
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
