"""What several commands have: options, and that they carry on."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from fastup.train.config import ABSENT

Command = TypeVar("Command", bound=Callable[..., None])

ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A .keras file that `fastup train` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make frames again that are there already.")]
TrimOption = Annotated[
    str, typer.Option(metavar="L,R,T,B", help="Pixels to trim from target frames: left, right, top, bottom.")
]
InputTrimOption = Annotated[
    str | None,
    typer.Option(metavar="L,R,T,B", help=f"The same for input frames.  [default: {ABSENT['input_trim']}]"),
]


def carries_on(command: Command) -> Command:
    """Mark a command that goes on from what an interrupted run of it has made."""
    command.carries_on = True  # type: ignore[attr-defined]
    return command
