"""What several commands have: options, and that they carry on."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from fastup._types import Size
from fastup.cli import show
from fastup.errors import OptionError
from fastup.train.config import SETTINGS

if TYPE_CHECKING:
    from fastup.footage.pipe import Pipe

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


def size_of(text: str) -> Size:
    """(height, width) of WIDTHxHEIGHT."""
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    if not found or 0 in map(int, found.groups()):
        raise OptionError(f"size is {text!r}, expected WIDTHxHEIGHT, such as 720x480")
    return int(found[2]), int(found[1])


def rate_of(text: str) -> Fraction:
    """Frames per second: of N or N/D, or of 23.976 and such, which are 24000/1001."""
    from fastup.footage.stills import exact_rate

    found = re.fullmatch(r"\d{1,9}(?:/\d{1,9}|\.\d{1,9})?", text)
    try:
        rate = found and (exact_rate(float(text)) if "." in text else Fraction(text))
    except ZeroDivisionError:
        rate = None
    if not rate:
        raise OptionError(f"rate is {text!r}, expected frames/s, such as 24000/1001, 23.976 or 25")
    return rate


def for_output(path: Path) -> Path:
    """What is done with an OUTPUT as it is parsed: where it is ``-``, all else that is printed goes to stderr."""
    if str(path) == "-":
        from fastup.footage.pipe import take_stdout

        take_stdout()
    return path


def pipe_of(
    source: Path, destination: Path, raw: str | None = None, size: str | None = None, rate: str | None = None,
    pixels: str | None = None,
) -> "Pipe":  # fmt: skip
    """What is said of the pipes of a command; OptionError if it does not go with them, or is not understood."""
    from fastup.footage.pipe import PIPE, Pipe

    comes, goes = (str(path) == PIPE for path in (source, destination))
    if raw and not (comes or goes):
        raise OptionError(f"raw is {raw}, but neither INPUT nor OUTPUT is {PIPE}")
    if pixels and not goes:
        raise OptionError(f"pixels is {pixels}, but OUTPUT is {destination}, expected {PIPE}")
    if size and not (comes and raw):
        raise OptionError(f"size is {size}, expected it of raw video that comes in: INPUT as {PIPE}, and --raw")
    if raw and comes and not goes and not size:
        raise OptionError(f"raw is {raw}, but there is no size, expected that of the frames: --size 720x480")
    return Pipe(raw, size_of(size) if size else None, rate_of(rate) if rate else None, pixels)


ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A .keras file that `fastup train` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make frames again that are there already.")]
TileOption = Annotated[int | None, setting("tile")]
TrimOption = Annotated[str | None, setting("trim")]
InputTrimOption = Annotated[str | None, setting("input-trim")]
Raw = Annotated[
    str | None,
    typer.Option(metavar="FORMAT", help="Pipes (-) are raw video of FFmpeg's pixel format, not y4m; in, with --size."),
]
InputSize = Annotated[str | None, typer.Option("--size", metavar="WxH", help="Of raw video that comes in.")]
Rate = Annotated[
    str | None, typer.Option(metavar="N/D", help="Frames/s of what comes through a pipe, or does not say.")
]
PixelFormat = Annotated[
    str | None,
    typer.Option(
        "--pixels", metavar="FORMAT", help="Of OUTPUT -, such as yuv420p.  [default: INPUT's chroma, 10 bits]"
    ),
]
