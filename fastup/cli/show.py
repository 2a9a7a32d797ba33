"""What commands print: consoles, tables, progress, notes."""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fastup._types import Progress

if TYPE_CHECKING:
    from fastup.cli.monitor import Monitor
    from fastup.footage.chore import Plan
    from fastup.footage.cluster import Cluster
    from fastup.pairs.folder import Pairs

Result = TypeVar("Result")

# A table that is piped keeps its columns; a terminal's width is its own.
_TERMINAL = sys.stdout is not None and sys.stdout.isatty()
out = Console(width=None if _TERMINAL else 160, highlight=False, soft_wrap=not _TERMINAL)
err = Console(stderr=True, highlight=False)

EVERY = 10  # seconds between the lines on a stderr that is no terminal
MOST_LISTED = 50  # of pairs that are off, or of frames that cannot be read


def complain(message: object, code: int) -> int:
    """Say what went wrong; gives the exit code."""
    text = "\n  ".join(" ".join(line.split()) for line in str(message).split("\n  "))  # a list keeps its lines
    try:
        err.print(f"fastup: {escape(text)}", soft_wrap=True)
    except OSError:  # there is nowhere to say it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return code


def say(text: str, style: str | None = None) -> None:
    out.print(text, style=style, markup=False)


def note(text: str) -> None:
    say(f"note: {text}", "yellow")


def data(rows: Any) -> None:
    """What scripts read."""
    print(json.dumps(rows, indent=1))


def table(rows: Mapping[str, Any] | Iterable[tuple[str, Any]], title: str = "settings") -> None:
    """Print names and values: of a dictionary, or pairs. A value may be a pair: with where it came from."""
    table = Table(title=escape(title), title_justify="left", show_header=False, box=None, padding=(0, 2))
    table.add_column(style="dim")
    for name, value in rows.items() if isinstance(rows, Mapping) else rows:
        value, *source = (value,) if isinstance(value, str) else value
        table.add_row(name, escape(value), *(f"[dim]{escape(text)}" for text in source))
    out.print(table)


def figures(*columns: str, caption: str | None = None) -> Table:
    """A table of figures whose first column is of names, to which rows are to be added."""
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column(columns[0], overflow="fold")
    for column in columns[1:]:
        table.add_column(column, justify="right", no_wrap=True)
    return table


def shown(value: Any) -> str:
    """A setting as people read it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def pictures(pairs: "Pairs") -> str:
    """The pictures of pairs and their scale: of the most common size, and how many there are."""
    sizes = {(kind.geometry.input_picture, kind.geometry.target_picture) for kind in pairs.kinds}
    return (f"{len(sizes)} sizes, the most of them " if len(sizes) > 1 else "") + pairs.geometry.words


def few(words: Sequence[str], most: int = 8, between: str = ", ") -> str:
    return between.join([*words[:most], *([f"and {len(words) - most:,} more"] if len(words) > most else [])])


def ranges(gaps: Iterable[tuple[int, int]]) -> list[str]:
    return [f"{first}" if first == last else f"{first} to {last}" for first, last in gaps]


def note_gaps(paths: list[Path]) -> None:
    """Say which frames are missing."""
    from fastup.footage.sequences import with_gaps

    for each in with_gaps(paths):
        numbers = "number is" if each.missing == 1 else "numbers are"
        note(
            f"{each.paths[0].name} to {each.paths[-1].name}: {each.missing:,} {numbers} missing "
            f"({few(ranges(each.gaps))}); the others keep their names"
        )


def timed(run: Callable[..., Result], doing: str) -> tuple[Result, float]:
    """Run a chore, a function of `on_progress`, and show how it goes; give its result, and how many seconds it took."""
    began = time.perf_counter()
    with progress(doing) as advance:
        return run(on_progress=advance), time.perf_counter() - began


def made(verb: str, destination: Path, written: int, skipped: int, seconds: float) -> None:
    """Say how many frames were made and how fast, and how many were there."""
    say(
        f"{written} frame{'s' * (written != 1)} {verb} to {destination}"
        + (f", {written / seconds:.3g} frames/s" if written else "")
        + (
            f", {skipped} {'was' if skipped == 1 else 'were'} there already (--overwrite makes them again)"
            if skipped
            else ""
        )
    )


def chore(run: Callable[..., tuple[int, int]], doing: str, verb: str, plan: "Plan", where: str | None = None) -> None:
    """Run the chore of a plan, on a cluster if one is given; say what it made, and what there is to say of it."""
    with cluster(where) as there:
        (written, skipped), seconds = timed(partial(run, replace(plan, cluster=there)), doing)
    made(verb, plan.destination, written, skipped, seconds)
    workers(there)
    notes(plan, written + skipped)


@contextlib.contextmanager
def cluster(where: str | None, note: Callable[[str], object] = note) -> "Iterator[Cluster | None]":
    """The cluster at an address, while it is used; None where there is no address."""
    if where is None:
        yield None
        return
    from fastup.footage.cluster import Cluster

    with Cluster(where, note) as workers:
        yield workers


def workers(cluster: "Cluster | None") -> None:
    """Say what each worker made, and how fast."""
    if cluster is not None and cluster.workers:
        table = figures("worker", "frames", "frames/s")
        for each in cluster.workers:
            table.add_row(escape(each["worker"]), f"{each['frames']:,}", f"{each['frames_per_second']:.3g}")
        out.print(table)


def notes(plan: "Plan", count: int) -> None:
    """Say what there is to say once a plan has run, which has so many frames: which are missing, what was assumed."""
    if plan.chunk and not count:
        note(f"{plan.source.path} has none of the frames that were asked for")
    note_gaps([path for _, path in plan.source.files()])
    for text in plan.source.notes + plan.sink.notes:
        note(text)


class Pace:
    """How fast something goes and when it will be done, by its last 15 to 30 seconds: a slow start is forgotten.

    `clock` gives seconds.
    """

    WINDOW = 15  # seconds

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._what, self._done, self._now = "", 0, clock()
        self._marks = [(self._now, 0)]  # when so many were done: a window ago or two, and since then

    def __call__(self, done: int, total: int | None, what: str) -> tuple[float, float | None]:
        """So many a second, and the seconds that are left, None where it is not known how many there are to do."""
        if what != self._what or done < self._done:  # another thing began where the last one ended
            self._marks = [(self._now, 0)]
        self._what, self._done, self._now = what, done, self._clock()
        since, before = self._marks[0]
        rate = (done - before) / max(self._now - since, 1e-9)
        if self._now - self._marks[-1][0] >= self.WINDOW:
            self._marks = [self._marks[-1], (self._now, done)]
        return rate, None if total is None or not rate else (total - done) / rate


@contextlib.contextmanager
def progress(what: str, unit: str = "frames", clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """How something goes: a bar on a terminal, and where stderr is none, a line there every ten seconds.

    Gives what is to be called with what is done, of which `unit` is the plural.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    pace, said = Pace(clock), clock()
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[speed]}")
    with Bar(*columns, **_live()) as bar:
        task = bar.add_task(what, total=None, speed="")

        def advance(done: int, total: int | None, what: str) -> None:
            nonlocal said
            rate, left = pace(done, total, what)
            speed = f"{rate:.3g} {unit}/s" + ("" if left is None else f", {_clock(left)} left")
            bar.update(task, completed=done, total=total, description=what, speed=speed)
            if not err.is_terminal and clock() - said >= EVERY:
                said = clock()
                of = "" if total is None else f" of {total:,}"
                with contextlib.suppress(OSError):  # a log that cannot be written is no reason to stop
                    err.print(f"{what}: {done:,}{of} {unit}, {speed}", soft_wrap=True, markup=False)

        yield advance


@contextlib.contextmanager
def training_line(monitor: "Monitor | None" = None) -> Iterator[tuple[Callable[..., None], ...]]:
    """A live line while training, on a terminal, under the plots of a monitor; and a line an epoch, everywhere.

    The plots stay when it ends.
    """
    from rich.console import Group
    from rich.live import Live
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[text]}")
    bar = Bar(*columns, **_live())
    if not bar.console.is_terminal:
        monitor = None
    plots = Live(Group(monitor, bar), console=bar.console, transient=True, refresh_per_second=2) if monitor else None
    try:
        with plots or bar:
            task = bar.add_task("starting", total=None, text="")

            def on_progress(done, total, what):
                bar.update(task, description=what, completed=done, total=total, text=f"{done}/{total} frames")

            def on_step(step):
                bar.update(
                    task,
                    description=f"epoch {step.epoch}",
                    completed=step.step,
                    total=step.steps,
                    text=f"step {step.step}/{step.steps}  loss {step.loss:.5f}  {step.tiles_per_second:.0f} tiles/s  "
                    f"waiting {step.waiting:.1%}  {_clock(step.seconds_left)} left",
                )
                if monitor is not None:
                    monitor.on_step(step)

            def on_epoch(row):
                if monitor is not None:
                    monitor.on_epoch(row)
                trained, speed = "", ""
                if row["epoch"]:
                    trained = f"{row['steps']} steps  loss {row['loss']:.5f}  "
                    speed = f"{row['tiles_per_second']:.0f} tiles/s  waiting {row['waiting']:.1%}  "
                scores = "not validated  "
                if row["psnr"] is not None:
                    scores = f"validation {row['psnr']:.2f} dB, bicubic {row['psnr_bicubic']:.2f} dB  "
                say(f"epoch {row['epoch']}  {trained}{scores}{speed}{_clock(row['seconds'])}")

            yield on_step, on_epoch, on_progress
    finally:  # where it was stopped, too
        if monitor is not None:
            bar.console.print(monitor)


def _live() -> dict[str, Any]:
    """Where a live line goes: a terminal, if there is one; where results are printed, so that they don't collide."""
    console = out if out.is_terminal else err
    return {"console": console, "transient": True, "disable": not console.is_terminal}


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
