"""What several commands have: options, and that they carry on."""

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

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


def for_output(path: Path) -> Path:
    """What is done with an OUTPUT as it is parsed: where it is ``-``, all else that is printed goes to stderr."""
    if str(path) == "-":
        from fastup.footage.pipe import take_stdout

        take_stdout()
    return path


def for_page(path: Path | None) -> Path | None:
    """What is done with a FILE.html as it is parsed: what writes it has to be there, and its name to say what it is."""
    if path is not None:
        from fastup.report.page import check

        check(path)
    return path


def pipes(
    source: Path, destination: Path, codec: str | None = None, raw: str | None = None, size: str | None = None,
    rate: str | None = None, pixels: str | None = None,
) -> "tuple[Pipe | None, dict[str, Any]]":  # fmt: skip
    """What of the options of pipes and movies a source takes, and what a sink; OptionError if one goes with neither."""
    from fastup.footage.opening import is_movie, is_pipe
    from fastup.footage.pipe import Pipe

    into, out, movie = is_pipe(source), is_pipe(destination), is_movie(destination)
    for name, value, fits, needs in (
        ("codec", codec, movie, "OUTPUT is no movie: its name ends in none of .mov, .mkv and .mp4"),
        ("raw", raw, into or out, "neither INPUT nor OUTPUT is -, a pipe"),
        ("size", size, into and raw, "INPUT is not -, a pipe, of --raw video"),
        ("rate", rate, into or out or movie, "there is neither a pipe nor a movie, which it is for"),
        ("pixels", pixels, out, "OUTPUT is not -, a pipe"),
    ):
        if value is not None and not fits:
            raise OptionError(f"{name} is {value}, but {needs}")
    if raw and into and not out and size is None:
        raise OptionError(f"raw is {raw}, but there is no size, expected that of the frames: --size 720x480")
    per_second = None if rate is None else _parse_rate(rate)
    pipe = Pipe(raw, None if size is None else parse_size(size), per_second, pixels) if into or out else None
    options = {"pipe": pipe} if out else given(codec=codec, rate=per_second) if movie else {}
    return pipe if into else None, options


def parse_size(text: str, name: str = "size") -> Size:
    """(height, width) of WIDTHxHEIGHT; OptionError under that name if it is none."""
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if not found or 0 in map(int, found.groups()):
        raise OptionError(f"{name} is {text!r}, expected WIDTHxHEIGHT, such as 720x480")
    return int(found[2]), int(found[1])


def _parse_rate(text):
    """Frames per second: 25, 24000/1001, or 23.976, which is that."""
    from fastup.footage.stills import exact_rate

    try:
        rate = Fraction(text) if "/" in text else exact_rate(float(text))
    except (ValueError, ZeroDivisionError, OverflowError):
        rate = None
    if not rate or not 0 < rate <= 1000:
        raise OptionError(f"rate is {text!r}, expected frames per second, such as 25 or 24000/1001")
    return rate


ModelFile = Annotated[
    str,  # as it is written: ./cel is a file, cel a model that comes with fastup
    typer.Argument(
        metavar="MODEL", help="A .keras or .onnx file that `fastup train` wrote; or cel, which comes along."
    ),
]
EngineOption = Annotated[
    str,
    typer.Option(
        "--engine", metavar="ENGINE",
        help="What runs the model: keras, openvino, onnxruntime; or auto, the fastest that is installed.",
    ),
]  # fmt: skip
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE.html",
        help="Write a page to look at and to send, with its pictures in it.",
        callback=for_page,
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make frames again that are there already.")]
TileOption = Annotated[str | None, setting("tile")]
TrimOption = Annotated[str | None, setting("trim")]
TrainingOption = Annotated[str | None, setting("training")]
ValidationOption = Annotated[str | None, setting("validation")]
InputTrimOption = Annotated[str | None, setting("input-trim")]
Memory = Annotated[
    str | None,
    typer.Option(
        metavar="SIZE",
        help="What frames and network may take, such as 4G; frames are made in strips, if need be.  "
        "[default: most of what is free]",
    ),
]

_PLACE = "N|H:MM:SS|TIMECODE"
Start = Annotated[str, typer.Option(metavar=_PLACE, help="The first frame: its number, time or timecode.")]
End = Annotated[str | None, typer.Option(metavar=_PLACE, help="The frame after the last.  [default: the end]")]
Frames = Annotated[
    str | None,
    typer.Option(metavar="A-B", help="Those alone, such as 101-150, by the numbers in their names, or of a video."),
]
Lines = Annotated[
    int | None, typer.Option(help="Crop to an even number of lines fewer: 480 of 486 are 4 off the top, 2 below.")
]
Levels = Annotated[
    Literal["full", "keep"], typer.Option(help="Black and white of video: to 0 and 1023, or kept at 64 and 940.")
]
Order = Annotated[
    Literal["top", "bottom"] | None, typer.Option(help="Which field comes first.  [default: it is found]")
]
Output = Annotated[
    Path,
    typer.Argument(
        metavar="OUT", help="A folder for DPX, a movie (.mov, .mkv, .mp4), or - for a pipe of y4m.", callback=for_output
    ),
]
Codec = Annotated[
    str | None,
    typer.Option(
        metavar="CODEC",
        help="Of a movie: prores, prores4444, ffv1, v210, h265, h264.  [default: by .mov, .mkv, .mp4: prores, ffv1, "
        "h265]",
    ),
]
Raw = Annotated[
    str | None,
    typer.Option(metavar="PIXELS", help="What a pipe holds is raw video of these, such as gbrp10le, not y4m."),
]
RawSize = Annotated[str | None, typer.Option("--size", metavar="WxH", help="Of the frames of raw video from a pipe.")]
Rate = Annotated[str | None, typer.Option(metavar="R", help="Frames/s of a pipe, or of a movie where nothing says it.")]
OnCluster = Annotated[
    str | None,
    typer.Option(
        "--cluster", metavar="ADDRESS|FILE|local[:N]",
        help="Workers of Dask make the frames: at a scheduler's address, or that of its file, or N on this machine.",
    ),
]  # fmt: skip
Pixels = Annotated[
    str | None,
    typer.Option(
        metavar="PIXELS", help="Of what goes to a pipe, such as yuv422p10.  [default: the input's chroma, 10 bits]"
    ),
]
