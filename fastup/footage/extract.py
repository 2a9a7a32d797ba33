"""Video, or a folder of stills, to 10-bit RGB at its own size: decoding, converting and writing overlap."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastup import frames
from fastup._types import Frame, Progress, StrPath
from fastup.errors import DataError, OptionError
from fastup.footage import chore
from fastup.footage.sink import FolderSink
from fastup.footage.source import Clip, Planes
from fastup.header import Header


def prepare(
    source: Clip, destination: StrPath, *, start: int | str = 0, end: int | str | None = None,
    numbers: str | None = None, every: int = 1, lines: int | None = None, overwrite: bool = False,
    options: Mapping[str, Any] | None = None,
) -> chore.Plan:  # fmt: skip
    """Check what is asked for, before anything is written.

    DataError if the frames cannot go to `destination`, OptionError if an option does not fit the source.

    Parameters
    ----------
    source, destination
        A clip; and a folder, a video, or a pipe. Files are named after the video and the frame's number,
        ``tape_0000123.dpx``, or the still.
    start, end, numbers
        As of `chore.part`.
    every
        Take one frame of so many.
    lines
        As of `Clip.crop`.
    options
        Of a video or a pipe, as `opening.sink` takes them.
    """
    if every < 1:
        raise OptionError(f"every is {every}, expected 1 or more")
    first, last = chore.part(source, start, end, numbers)
    source.crop(lines)
    made_by = {"lines": lines, "range": "keep" if source.keep else "full", "interlaced": source.interlaced}
    plan = chore.Plan(
        source, Path(destination), overwrite, first=first, last=last, every=every, chunk=numbers is not None,
        made_by=made_by, options=options or {},
    )  # fmt: skip
    return plan.checked()


def run(plan: chore.Plan, on_progress: Progress | None = None) -> tuple[int, int]:
    """Write the frames of a plan, as `chore.run` does.

    DataError if the first frame is there already, but of another size.
    """
    _refuse_others(plan)
    return chore.run(plan, work, "extracting", on_progress)


def work(plan: chore.Plan) -> chore.Work:
    """What makes the frames of a plan."""
    source = plan.source

    def make(number: int, planes: Planes) -> tuple[Frame, Header]:
        return source.pixels(planes), source.header(number)

    return chore.each(make)


def _refuse_others(plan: chore.Plan) -> None:
    """Raise DataError if the first frame of a plan is there already, but of another size: made with other options."""
    if not isinstance(plan.sink, FolderSink):
        return
    path, size = plan.sink.place(plan.first), plan.source.size
    if plan.source.there(plan.first) and plan.is_made(plan.first) and (there := frames.probe(path)[0][:2]) != size:
        raise DataError(
            f"{path}: {there[1]}x{there[0]}, expected {size[1]}x{size[0]}: made with other options; expected another "
            "folder, or --overwrite"
        )
