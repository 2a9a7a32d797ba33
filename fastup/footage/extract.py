"""Video, or a folder of stills, to 10-bit RGB DPX at its own size: decoding, converting and writing overlap."""

import math
import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fastup import frames
from fastup.errors import DataError, OptionError
from fastup.footage.clip import Source
from fastup.footage.source import open_source
from fastup.footage.stills import Stills


@dataclass(frozen=True)
class Plan:
    """What `prepare` found to do: frames `first` to before `last` of `source`, `lines` lines of them from `top` on."""

    source: Source
    destination: Path
    first: int
    last: float  # may be infinite
    every: int
    lines: int | None
    top: int
    overwrite: bool

    def path(self, index):
        """Where a frame goes."""
        return self.destination / self.source.name(index)

    def made(self, index):
        """Whether a frame is there already and may stay."""
        return not self.overwrite and self.source.there(index) and self.path(index).exists()


def extract(source, destination, *, on_frame=None, **options):
    """Write the frames of a video, or stills, as 10-bit RGB DPX of their own size: `prepare`, then `run`.

    Parameters
    ----------
    source : path-like, Video or Stills
    destination, **options
        As of `prepare`.
    on_frame : callable, optional
        As of `run`.

    Returns
    -------
    written, skipped : int

    Raises
    ------
    DataError, FastupError, OptionError, OSError
        As `open_source`, `prepare` and `run` do.
    """
    if isinstance(source, Source):
        return run(prepare(source, destination, **options), on_frame)
    with open_source(source) as opened:
        return run(prepare(opened, destination, **options), on_frame)


def prepare(source, destination, *, start=0, end=None, every=1, lines=None, overwrite=False):
    """Check what is asked for, before anything is written.

    Parameters
    ----------
    source : Video or Stills
    destination : path-like
        A folder, which need not be there. Frames are named after the video and their number, ``tape_0000123.dpx``, or
        after the still.
    start, end : int or str
        The first frame, and the one after the last, as `Source.frame_number` takes them.
    every : int
        Take one frame of so many.
    lines : int, optional
        Crop to so many lines, an even number fewer, which are taken off the top and the bottom in pairs, so that the
        fields keep their order: of 486 lines for 480, 4 off the top and 2 off the bottom.
    overwrite : bool
        Make frames again that are there already.

    Returns
    -------
    Plan

    Raises
    ------
    DataError
        If the frames cannot go to `destination`.
    OptionError
        If an option does not fit the source.
    """
    first = source.frame_number(start, "start")
    last = math.inf if end is None else source.frame_number(end, "end")
    if every < 1:
        raise OptionError(f"every is {every}, expected 1 or more")
    if last <= first:
        raise OptionError(f"end is frame {last}, expected one after start, which is frame {first}")
    count, top = source.frame_count, rows_off(source, lines)
    if isinstance(source, Stills) and first >= count:
        raise OptionError(f"start is frame {first}, expected one of the {count}, which count from 0")
    destination = Path(destination)
    if destination.exists() and not destination.is_dir():
        raise DataError(f"{destination}: a file, expected a folder for the output")
    if isinstance(source, Stills):
        if len({path.stem for path in source.paths}) < len(source.paths):
            raise DataError(f"{source.path}: some stills differ in their suffix alone, and would get the same name")
        if os.path.realpath(source.paths[0].parent) == os.path.realpath(destination):
            raise DataError(f"{destination}: this is where the stills are, expected another folder for the output")
    return Plan(source, destination, first, last, every, lines, top, overwrite)


def run(plan, on_frame=None):
    """Write the frames of a plan. Decoding, converting and writing overlap.

    Parameters
    ----------
    plan : Plan
    on_frame : callable, optional
        Called after each frame with (done, to do or None).

    Returns
    -------
    written, skipped : int
        Skipped are those that are there already: the same plan carries on.

    Raises
    ------
    DataError
        If the video is cut short or damaged: when all that can be decoded is written.
    OptionError
        If there is no frame to begin with.
    FastupError, OSError
        If a frame cannot be read or written; those before it are whole.
    """
    source, pending, written, skipped, workers = plan.source, deque(), 0, 0, min(os.cpu_count() or 1, 8)
    last = min(plan.last, source.frame_count or plan.last)
    total = len(range(plan.first, last, plan.every)) if last < math.inf else None
    _refuse_others(plan)

    def make(index, planes):
        return cropped(source.rgb(planes), source.header(index), plan.top, plan.lines)

    def settle():
        index, made = pending.popleft()
        write(plan.path(index), *made.result())
        if on_frame is not None:
            on_frame(written - len(pending), total and max(written, total - skipped))

    start = plan.first
    while start < last and (plan.made(start) or not source.there(start)):
        start, skipped = start + plan.every, skipped + source.there(start)
    with frames.write_stream(workers, 2 * workers) as write, ThreadPoolExecutor(workers) as pool:
        for index, planes in source.frames(start, None if plan.last == math.inf else plan.last, plan.every):
            if plan.made(index):
                skipped += 1
                continue
            if not written:
                plan.destination.mkdir(parents=True, exist_ok=True)
            pending.append((index, pool.submit(make, index, planes)))
            written += 1
            if len(pending) > workers:
                settle()
        while pending:
            settle()
    if damage := source.missing(plan.first, plan.last):
        raise DataError(f"{source.path}: {damage}; {written + skipped} frames are in {plan.destination}")
    if not written + skipped:
        raise OptionError(f"start is frame {plan.first}, but {source.path} ends before it")
    return written, skipped


def _refuse_others(plan):
    """Raise DataError if the first frame of a plan is there already, but of another size: made with other options."""
    path, size = plan.path(plan.first), (plan.lines or plan.source.height, plan.source.width)
    if plan.made(plan.first) and (there := frames.probe(path)[0][:2]) != size:
        raise DataError(
            f"{path}: {there[1]}x{there[0]}, expected {size[1]}x{size[0]}: made with other options; expected another "
            "folder, or --overwrite"
        )


def rows_off(source, lines):
    """How many lines to take off the top of a source's frames for `lines` of them: an even number, like those below.

    Raises OptionError if there are no such lines; None is all.
    """
    off = 0 if lines is None else source.height - lines
    if off < 0 or off % 2 or lines == 0:
        raise OptionError(f"lines is {lines}, expected the {source.height} of {source.path}, or an even number fewer")
    top = (off // 2 + 1) // 2 * 2
    if off:
        source.note(f"{source.height} lines cropped to {lines}: {top} off the top, {off - top} off the bottom")
    return top


def cropped(frame, header, top, lines):
    """A frame and its header, cropped to `lines` lines from `top` on; None is all."""
    return (frame, header) if lines is None else (frame[top : top + lines], header.replace(height=lines))
