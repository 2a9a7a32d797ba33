"""What all chores share: the plan of which output each frame becomes, and its running."""

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeAlias

from fastup._threads import in_order, workers
from fastup._types import Frame, Progress
from fastup.errors import DataError, OptionError
from fastup.footage import opening
from fastup.footage.sink import FolderSink, Sink
from fastup.footage.source import Items, Skip, Source
from fastup.footage.stills import Folder, Stills
from fastup.header import Header

Item: TypeAlias = tuple[int, Any]  # a frame's number, and what `Source.pixels` makes an array of
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
        return opening.sink(
            self.destination, self.source, start=self.first, end=self.last, every=self.every, suffix=self.suffix,
            file=self.file, threads=workers(), overwrite=self.overwrite, made_by=self.made_by, **self.options,
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
        return self.source.samples(number for number in self.only if number >= start and not skip(number))

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


def run(plan: Plan, work: Work, what: str, on_progress: Progress | None = None) -> tuple[int, int]:
    """Make the frames of a plan that are not there yet: reading, work and writing overlap.

    `work` makes of an iterator of items a generator of (number, frame, header), in order; not all items need give one,
    nor one alone. `what` is done to the frames, for `on_progress`, which is called after each.

    Returns how many frames were written and how many skipped, as they are there already: the same plan carries on.
    FastupError or OSError if one cannot be read, made or written; those before it are whole, and no later one appears.
    DataError in the end if frames are missing that the source should have, or cannot be decoded: all others are made.
    OptionError if the source ends before the first that was asked for, and no worker of a render farm asked.
    """
    written = skipped = 0
    if plan.last is not None and plan.last <= plan.first:
        return 0, 0

    def skip(number: int) -> bool:
        nonlocal skipped
        made = plan.is_made(number)
        skipped += made
        return made

    start, numbers, todo = plan.first, plan.numbers, plan.todo
    if numbers:  # a video is decoded from there
        start = todo[0] if todo else numbers[-1] + plan.every
        skipped = sum(plan.source.there(number) for number in numbers if number < start)
    with closing(plan.items(start, skip)) as items, closing(work(items)) as results:
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
    if plan.first and not written + skipped and not plan.chunk and plan.only is None:
        raise OptionError(f"start is frame {plan.first}, but {plan.source.path} ends before it")
    if damage := plan.source.missing(plan.first, plan.last):
        there = (
            f"{written + skipped} frames are" if written or isinstance(plan.sink, FolderSink) else "what there is is"
        )
        raise DataError(f"{plan.source.path}: {damage}; {there} in {plan.destination}")
    return written, skipped
