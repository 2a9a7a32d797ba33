"""What several commands have: options, and that they carry on."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from fastup.cli import show
from fastup.train.config import SETTINGS

Command = TypeVar("Command", bound=Callable[..., None])


def setting(option: str) -> Any:
    """The option of a setting of training: None where it isn't given, its default in its help alone."""
    field = SETTINGS[option]
    help, absent, metavar = (field.metadata[name] for name in ("help", "absent", "metavar"))
    default = absent or show.shown(field.default)
    if isinstance(field.default, bool):
        default = option if field.default else f"no-{option}"
    return typer.Option(help=f"{help}  [default: {default}]", metavar=metavar)


def given(**options: Any) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def carries_on(command: Command) -> Command:
    """Mark a command that goes on from what an interrupted run of it has made."""
    command.carries_on = True  # type: ignore[attr-defined]
    return command


def for_output(path: Path) -> Path:
    """What is done with an OUTPUT as it is parsed: where it is ``-``, all else that is printed goes to stderr."""
    if str(path) == "-":
        from fastup.footage.pipe import take_stdout

        take_stdout()
    return path


ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A .keras or .onnx file that `fastup train` wrote.")]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine", metavar="ENGINE",
        help="What runs the model: keras, openvino or onnxruntime; auto is the fastest that is installed.",
    ),
]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make frames again that are there already.")]
TileOption = Annotated[int | None, setting("tile")]
TrimOption = Annotated[str | None, setting("trim")]
InputTrimOption = Annotated[str | None, setting("input-trim")]
