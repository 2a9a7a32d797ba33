"""What all chores share: the plan of which output each frame becomes, and its running."""

import contextlib
import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, Self, TypeAlias, TypeVar

from fastup._threads import in_order, workers
from fastup._types import Frame, Progress
from fastup.errors import DataError, OptionError
from fastup.footage import opening
from fastup.footage.cluster import Cluster
from fastup.footage.movie import Movie
from fastup.footage.parts import Job, Outcome
from fastup.footage.sink import FolderSink, Sink
from fastup.footage.source import Items, Skip, Source
from fastup.footage.stills import Folder, Stills
from fastup.footage.worker import failure
from fastup.header import Header

Item: TypeAlias = tuple[int, Any]  # a frame's number, and what `Source.pixels` makes an array of
P = TypeVar("P", bound="Plan")
Made: TypeAlias = tuple[int, Frame, Header]
Work: TypeAlias = Callable[[Iterator[Item]], Generator[Made, None, None]]


@dataclass(frozen=True)
class Plan:
    """Which output each frame of a source becomes: files in a folder, named as the source names its frames; or a video.

    A chore that has found out more for its running adds to it: see `of`.
    """

    source: Source
    destination: Path  # the folder; a video; or ``-``
    overwrite: bool = False  # whether frames are made again that are there already
    suffix: str | None = None  # of files in a folder; a DPX' without it
    file: str | None = None  # what the output is called instead, where there is but one frame
    first: int = 0
    last: int | None = None  # the number after that of the last frame; None for the end, wherever that is
    every: int = 1
    only: tuple[int, ...] | None = None  # of those numbers, the only ones that are asked for; see `sample`
    chunk: bool = False  # whether it is a render farm's, of which there may be no frame
    made_by: Mapping[str, Any] | None = None  # what a video is made with, see `opening.sink`
    cluster: Cluster | None = None  # whose workers make the frames
    part: bool = False  # whether it is for one of them: it says no more than what became of its frames
    options: Mapping[str, Any] = field(default_factory=dict)  # of a video or a pipe alone

    @classmethod
    def of(cls, plan: "Plan", **found: Any) -> Self:
        """A plan with what a chore has found."""
        return cls(**{each.name: getattr(plan, each.name) for each in fields(Plan)} | found)

    def checked(self) -> Self:
        """The plan; DataError if two frames would become one, or one itself, or the folder is a file or the source."""
        source = self.source
        if self.file is None:
            check_place(source, self.destination)
        sink, files = self.sink, dict(source.files())
        if isinstance(sink, FolderSink) and not self.file and len({*map(sink.place, files)}) < len(files):
            raise DataError(f"{source.path}: some frames differ in their suffix alone, and would get the same name")
        return self

    @cached_property
    def sink(self) -> Sink:
        """What the frames go to."""
        options = {**self.options, **({"part": True} if self.part and opening.is_movie(self.destination) else {})}
        return opening.sink(
            self.destination, self.source, start=self.first, end=self.last, every=self.every, suffix=self.suffix,
            file=self.file, threads=workers(), overwrite=self.overwrite, made_by=self.made_by, **options,
        )  # fmt: skip

    def is_made(self, number: int) -> bool:
        """Whether a frame is there already and may stay."""
        return not self.overwrite and self.sink.is_made(number)

    def sample(self) -> Self:
        """A plan of the first, the middle and the last of the frames that are asked for, to look at before a long run.

        They are called what they are called in the whole run, which then has them already. OptionError if the output is
        no folder, or nothing tells how many frames there are.
        """
        if not isinstance(self.sink, FolderSink):
            raise OptionError(f"test makes three frames to look at, but {self.destination} is no folder; expected one")
        if self.numbers is None:
            raise OptionError(
                f"test makes the first, the middle and the last frame, but nothing tells how many {self.source.path} "
                "has; say which is the last"
            )
        there = [number for number in self.numbers if self.source.there(number)]
        return replace(self, only=tuple(sorted({there[place] for place in (0, len(there) // 2, -1)} if there else ())))

    def items(self, start: int, skip: Skip) -> Items:
        """What the source has of the frames that are asked for, from one on, as of `Source.frames`."""
        if self.only is None:
            return self.source.frames(start, self.last, self.every, skip)
        if self.part:
            wanted = set(self.only)
            return self.source.frames(
                start, self.only[-1] + 1, self.every, lambda number: number not in wanted or skip(number)
            )
        return self.source.samples(number for number in self.only if number >= start and not skip(number))

    def unit(self, number: int) -> int:
        """What a frame is made with: a worker makes all frames of one, those of a shot for what remembers."""
        return self.sink.unit(number)

    def cut(self, numbers: Sequence[int]) -> Self:
        """A plan of some frames for another process, in which paths are absolute."""
        source = self.source.cut(numbers[0], numbers[-1] + 1) if numbers else self.source.cut(0, 0)
        return replace(
            self, source=source, destination=self.destination.absolute(), only=tuple(numbers), overwrite=False,
            cluster=None, part=True,
        )  # fmt: skip

    @property
    def numbers(self) -> Sequence[int] | None:
        """The frames that are asked for, as far as the source knows how many it has."""
        if self.only is not None:
            return self.only
        ends = [end for end in (self.last, self.source.frame_count) if end is not None]
        return range(self.first, min(ends), self.every) if ends else None

    @cached_property
    def todo(self) -> list[int]:
        """Those of them that are there and not made yet."""
        return [number for number in self.numbers or () if self.source.there(number) and not self.is_made(number)]


def check_place(source: Source, destination: Path) -> None:
    """Raise DataError if frames of a source cannot go to a place: the source itself, or a file that is no video."""
    if destination.exists() and source.path.exists() and destination.samefile(source.path):
        what, place = ("where the input frames are", "folder") if destination.is_dir() else ("the input", "place")
        raise DataError(f"{destination}: this is {what}; expected another {place} for the output")
    if not opening.is_pipe(destination) and not opening.is_movie(destination):
        FolderSink(destination)  # which refuses a file


def part(
    source: Source, start: int | str = 0, end: int | str | None = None, numbers: str | None = None
) -> tuple[int, int | None]:
    """The first frame, and the one after the last, that are asked for; the same where there are none.

    `start` and `end`, the frame after the last, are as `Source.frame_number` takes them; `numbers` are those of a
    worker of a render farm, ``101-150`` or ``101``, as `Source.between` has them. What of them lies beyond the frames
    that there are is passed over. OptionError if there are no frames from `start` to `end`, or they are not understood.
    """
    first, last = source.frame_number(start, "start"), None if end is None else source.frame_number(end, "end")
    if last is not None and last <= first:
        raise OptionError(f"end is frame {last}, expected one after start, which is frame {first}")
    if isinstance(source, Folder | Stills) and first >= len(source):
        raise OptionError(f"start is frame {first}, expected one of the {len(source)}, which count from 0")
    if numbers is not None:
        found = re.fullmatch(r"(-?\d+)(?:-(-?\d+))?", numbers.strip())
        low, high = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
        if high < low:
            raise OptionError(f"frames is {numbers!r}, expected numbers as 101-150, or 101")
        low, high = source.between(low, high)
        first, last = max(first, low), high if last is None else min(last, high)
        last = max(first, last)
    return first, last


def each(make: Callable[[int, Any], tuple[Frame, Header]]) -> Work:
    """The work of a chore that makes each frame by itself: ``make(number, raw)``, on threads."""
    return lambda items: in_order(lambda item: (item[0], *make(*item)), items)


def run(plan: P, work: Callable[[P], Work], what: str, on_progress: Progress | None = None) -> tuple[int, int]:
    """Make the frames of a plan that are not there yet: reading, work and writing overlap.

    `work` gives for a plan what makes of an iterator of items a generator of (number, frame, header), in order; not all
    items need give one, nor one alone. `what` is done to the frames, for `on_progress`, which is called after each.
    With a cluster, its workers do all of it, each for some of the frames: `work` is then to be a function of a module.

    Returns how many frames were written and how many skipped, as they are there already: the same plan carries on.
    FastupError or OSError if one cannot be read, made or written; those before it are whole, and no later one appears.
    DataError in the end if frames are missing that the source should have, or cannot be decoded: all others are made.
    OptionError if the source ends before the first that was asked for, and no worker of a render farm asked.
    """
    written = skipped = 0
    if plan.last is not None and plan.last <= plan.first:
        return 0, 0
    if plan.cluster is not None:
        return _on_cluster(plan, plan.cluster, work, what, on_progress)

    def skip(number: int) -> bool:
        nonlocal skipped
        made = plan.is_made(number)
        skipped += made
        return made

    start, numbers, todo = plan.first, plan.numbers, plan.todo
    if numbers:  # a video is decoded from there
        start = todo[0] if todo else numbers[-1] + plan.every
        skipped = sum(plan.source.there(number) for number in numbers if number < start)
    with contextlib.closing(plan.items(start, skip)) as items, contextlib.closing(work(plan)(items)) as results:
        made = next(results, None)
        if made is not None or skipped:  # of no frames nothing is begun
            with plan.sink as output:
                while made is not None:
                    number, frame, header = made
                    output.write(frame, header, number)
                    written += 1
                    if on_progress is not None:
                        on_progress(written, None if numbers is None else max(written, len(todo)), what)
                    made = next(results, None)
    if plan.part:
        return written, skipped
    if plan.first and not written + skipped and not plan.chunk and plan.only is None:
        raise OptionError(f"start is frame {plan.first}, but {plan.source.path} ends before it")
    _refuse_damage(plan, plan.source.missing(plan.first, plan.last), written, skipped)
    return written, skipped


def _refuse_damage(plan, damage, written, skipped):
    """Raise DataError if something is missing of the source."""
    if damage:
        there = (
            f"{written + skipped} frames are" if written or isinstance(plan.sink, FolderSink) else "what there is is"
        )
        raise DataError(f"{plan.source.path}: {damage}; {there} in {plan.destination}")


def _on_cluster(plan, cluster, work, what, on_progress):
    """As `run`, by workers; of the parts of a movie that they make, it is joined here."""
    source = plan.source
    if not source.parts or plan.numbers is None or opening.is_pipe(plan.destination):
        why = f"{source.path} cannot be gone into at any frame"
        if source.parts:
            why = "OUTPUT is a pipe" if plan.numbers is not None else f"nothing tells how many frames {source.path} has"
        raise OptionError(
            f"cluster is {cluster.where}, but {why}; expected frames in a folder, or a .mov whose frames are whole by "
            "themselves, as ProRes and v210: make such first, by fastup extract or detelecine"
        )
    sink, done = plan.sink, replace(plan, overwrite=False)
    movie = sink if isinstance(sink, Movie) else None
    with contextlib.nullcontext() if movie is None else movie:
        files, there = dict(source.files()), list(filter(source.there, plan.numbers))
        todo = [number for number in there if not plan.is_made(number)]  # now
        skipped = len(there) - len(todo)
        ends = [files.get(number, source.path) for number in (todo[0], todo[-1])] if todo else []

        def is_made(unit: Sequence[int]) -> bool:
            if movie is not None:
                movie.gather()
            return all(map(done.sink.is_made if movie is None else movie.is_made, unit))

        def forget(number: int) -> None:  # so that what is there is of this run
            if plan.overwrite and isinstance(sink, FolderSink):
                sink.place(number).unlink(missing_ok=True)

        job = Job(
            what, [tuple(unit) for _, unit in groupby(todo, plan.unit)],
            lambda numbers: (_make_part, plan.cut(numbers), work), is_made, source.label,
            seen=tuple((str(path.absolute()), path.stat().st_size) for path in {*ends} if path.is_file()),
            output=plan.destination if movie is None else movie.parts,
            first_alone=movie is not None and not movie.begun, before=forget,
        )  # fmt: skip
        found = cluster.run(job, on_progress) if todo else Outcome()
        if found.lost:
            raise DataError(
                f"{found.words(source.label)}; {found.made + skipped} frames are in {plan.destination}, and the same "
                "command tries the others again"
            )
        if movie is not None:
            movie.gather()
    skipped += found.skipped
    _refuse_damage(plan, found.damage or source.missing(plan.first, plan.last), found.made, skipped)
    return found.made, skipped


def _make_part(plan, work, on_frame):
    """In a worker, make the frames of a part: how many were made, and what ended it before the last, if any."""
    made = 0

    def count(done: int, total: int | None, what: str) -> None:
        nonlocal made
        made = done
        on_frame(done, total, what)

    found: dict[str, Any] = {"made": 0, "skipped": 0, "failed": None, "damage": None}
    if not plan.only:
        return found
    try:
        _, found["skipped"] = run(plan, work, "", count)
        found["damage"] = plan.source.missing(plan.only[0], plan.only[-1] + 1)
    except Exception as error:  # of any library; the client says it, under the frame's name
        found["failed"] = failure(error)
    return found | {"made": made}
