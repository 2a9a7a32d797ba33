"""Scores over the workers of a cluster: the figures that one process finds, frame by frame."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

from fastup._types import Progress
from fastup.errors import DataError
from fastup.footage.cluster import Cluster
from fastup.footage.parts import Job
from fastup.footage.worker import OnFrame, failure
from fastup.upscale.evaluate import Evaluation, Score, scored, shots_of


def score_all(what: Evaluation, cluster: Cluster, on_progress: Progress | None = None) -> list[list[Score]]:
    """As `evaluate.score_all`, by workers that see the same folders; the models are files.

    A part of models that see every frame by itself begins with the frame before it, by which flicker is told. Parts of
    recurrent models are whole shots, so that nothing is warmed up. DataError if frames cannot be scored; OptionError if
    a model is a network of this process.
    """
    pairs, starts = what.pairs, {start for start, _ in shots_of(what.pairs)}
    recurrent = any(each.model.recurrent for each in what.upscalers)
    begins = sorted(starts) if recurrent else range(len(pairs))
    scores: dict[int, list[Score]] = {}

    def part(numbers: Sequence[int]) -> tuple[Any, ...]:
        wanted = {*numbers}
        given = sorted(wanted | {number - 1 for number in numbers if number not in starts})
        some = pairs.only(given)
        some = replace(
            some, folder=some.folder.absolute(), inputs=tuple(path.absolute() for path in some.inputs),
            targets=tuple(path.absolute() for path in some.targets),
        )  # fmt: skip
        put = None if what.put is None else what.put[given]
        asked = {place: number for place, number in enumerate(given) if number in wanted}
        first = {place for place, number in enumerate(given) if number in starts or number - 1 != given[place - 1]}
        return _score_part, replace(what, pairs=some, put=put, note=None), asked, first

    ends = [path.absolute() for path in (pairs.inputs[0], pairs.targets[-1])]
    found = cluster.run(
        Job(
            "evaluating", [tuple(range(a, b)) for a, b in pairwise([*begins, len(pairs)])], part,
            lambda unit: all(number in scores for number in unit), pairs.name,
            seen=tuple((str(path), path.stat().st_size) for path in dict.fromkeys(ends)),
            take=lambda found: scores.update(found["scores"]),
        ),
        on_progress,
    )  # fmt: skip
    if found.lost:
        raise DataError(found.words(pairs.name).replace("made", "scored", 1))
    return [list(each) for each in zip(*(scores[number] for number in range(len(pairs))), strict=True)]


def _score_part(what: Evaluation, asked: dict[int, int], first: set[int], on_frame: OnFrame) -> dict[str, Any]:
    """In a worker, the scores of frames, by number, of those whose places are asked for."""
    scores: dict[int, list[Score]] = {}
    found: dict[str, Any] = {"skipped": 0, "failed": None, "scores": scores}
    try:
        for place, (each, _) in enumerate(scored(what, first) if asked else ()):
            if place in asked:
                scores[asked[place]] = each
            on_frame(len(scores), None, "")
    except Exception as error:  # of any library
        found["failed"] = failure(error)
    return found | {"made": len(scores)}
