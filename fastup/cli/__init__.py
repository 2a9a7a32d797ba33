"""The command line: parsing and printing only. What a command needs is imported when it runs."""

import contextlib
import json
import os
import re
import signal
import sys
import time
from dataclasses import asdict, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import fastup
from fastup.errors import DataError, FastupError, OptionError
from fastup.frames import find, refuse_other
from fastup.networks import start
from fastup.train.config import (
    ABSENT,
    ARCHITECTURES,
    OPTIONS,
    PRECISIONS,
    SCHEDULES,
    Config,
    as_toml,
    parse_trim,
    read_toml,
    resolve,
)

app = typer.Typer(
    name="fastup",
    help="Restore old animation: train a small network on pairs of SD and HD frames, and run films through it.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

# A table that is piped keeps its columns; a terminal's width is its own.
_TERMINAL = sys.stdout is not None and sys.stdout.isatty()
out = Console(width=None if _TERMINAL else 160, highlight=False, soft_wrap=not _TERMINAL)
err = Console(stderr=True, highlight=False)

DEFAULTS = Config()
Model = StrEnum("Model", {name: name for name in ARCHITECTURES})
Schedule = StrEnum("Schedule", {name: name for name in SCHEDULES})
Precision = StrEnum("Precision", {name: name for name in PRECISIONS})
ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A .keras file that `fastup train` wrote.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Filter = StrEnum("Filter", {name: name for name in ("lanczos", "area", "bicubic")})
Curve = StrEnum("Curve", {name: name for name in ("log", "linear", "srgb", "rec709")})
Order = StrEnum("Order", {name: name for name in ("top", "bottom")})
Range = StrEnum("Range", {name: name for name in ("full", "keep")})
Video = StrEnum("Video", {name: name for name in ("keep", "bob")})
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Make frames again that are there already.")]
PLACE = "N|H:MM:SS|TIMECODE"
Start = Annotated[str, typer.Option(metavar=PLACE, help="The first frame: its number, time or timecode.")]
End = Annotated[str | None, typer.Option(metavar=PLACE, help="The frame after the last.  [default: the end]")]
Lines = Annotated[
    int | None, typer.Option(help="Crop to an even number of lines fewer: 480 of 486 are 4 off the top, 2 below.")
]
Interlaced = Annotated[
    bool | None,
    typer.Option("--interlaced/--progressive", help="How 4:2:0 chroma lies.  [default: as each frame says]"),
]
Levels = Annotated[Range, typer.Option(help="Black and white of video: to 0 and 1023, or kept at 64 and 940.")]
Trim = Annotated[
    str, typer.Option(metavar="L,R,T,B", help="Pixels to trim from target frames: left, right, top, bottom.")
]
InputTrim = Annotated[
    str | None,
    typer.Option(metavar="L,R,T,B", help=f"The same for input frames.  [default: {ABSENT['input_trim']}]"),
]
STRENGTH = "S|LOW:HIGH"
MOST_LISTED = 50  # pairs that are off, in a table
# Commands that find what an interrupted run of theirs has made.
CARRY_ON = {"train", "rank", "upscale", "extract", "detelecine", "degrade", "dehalo", "convert"}


def main():
    """Run the command line and exit: 0 if all went well, 1 if not, 2 if it was asked for wrongly."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends a command as Ctrl-C does
    _open_streams()
    code = _run()
    try:
        sys.stdout.flush()  # at the end of the process it is too late to say that it failed
    except OSError as error:
        code = _lost(error)
    sys.exit(code)


def _run():
    """Run the command line; gives the exit code. Errors are told."""
    try:
        code = app(standalone_mode=False) or 0
        if code == 130:  # how Typer says that Ctrl-C was pressed
            raise KeyboardInterrupt
        return code
    except typer.TyperException as error:
        return _complain(error.format_message(), error.exit_code)
    except OptionError as error:
        return _complain(error, 2)
    except FastupError as error:
        return _complain(error, 1)
    except OSError as error:
        if error.filename:
            return _complain(f"{error.filename}: {error.strerror}", 1)
        try:  # whether it was what we print, of which only another try can tell
            sys.stdout.flush()
            os.write(sys.stdout.fileno(), b"\n")
        except OSError as same:
            return _lost(same)
        return _complain(error, 1)
    except (KeyboardInterrupt, typer.Abort):
        carries_on = "; the same command carries on" if CARRY_ON & set(sys.argv[1:2]) else ""
        return _complain(f"stopped{carries_on}", 1)
    except ModuleNotFoundError as error:
        if error.name not in ("keras", "tensorflow", "skimage", "matplotlib", "jax", "torch", "av", "scipy"):
            raise
        extra = "video" if error.name in ("av", "scipy") else "train"
        return _complain(f"{error.name} is not installed; this command needs: pip install 'fastup[{extra}]'", 1)


def _open_streams():
    """Make standard streams that were closed (``>&-``) go nowhere, and characters that they lack come as escapes."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number, or the next file would be what we print to
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 -- as long as the process
        if hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")


def _lost(error):
    """Say that what was printed is lost, unless whoever read it has seen enough; gives the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what is not yet written
    return 1 if isinstance(error, BrokenPipeError) else _complain(f"standard output: {error.strerror}", 1)


@app.callback(invoke_without_command=True)
def _fastup(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False
):
    if version:
        print(f"fastup {fastup.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit(2)


@app.command()
def info(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="DPX files; of others, the size and what is not read; folders."),
    ],
    as_json: Json = False,
):
    """Show the header of files, and what is odd in it that other programs may trip over; of folders, the sequences."""
    from fastup.footage.sequences import survey
    from fastup.frames import is_dpx, left_out, premultiplied, read_header
    from fastup.oddities import oddities

    told, bad = [], False
    for path in files:
        if path.is_dir():
            found = survey(path)
            bad |= any(each["unreadable"] for each in found)
            told.append((path, found, None, None, None))
            continue
        refuse_other(path)
        header, size = read_header(path), path.stat().st_size
        if is_dpx(path):
            told.append((path, header, header.flavour, header.summary(size), oddities(header, size, path)))
        else:
            kind, *_ = header.flavour.split(",")  # the rest is of a DPX that there isn't
            picture = f"{header.width}x{header.height}, {kind}"
            rows = [("file", f"{size:,} bytes, not a DPX: read through OpenImageIO"), ("picture", picture)]
            if (multiplied := premultiplied(path)) is not None:
                rows.append(("alpha", "colours are multiplied by it" if multiplied else "straight"))
            rows += [("read", words) for words in left_out(path)]
            told.append((path, header, f"{kind}, not a DPX", rows, []))
    if as_json:
        names = "width", "height", "channels", "bits"
        rows = [
            {"path": str(path), "sequences": header}
            if isinstance(header, list)
            else {"path": str(path), "flavour": flavour, "oddities": odd}
            | {name: getattr(header, name) for name in names}
            | (header.to_dict() if is_dpx(path) else {"premultiplied": premultiplied(path), "left_out": left_out(path)})
            for path, header, flavour, _, odd in told
        ]
        print(json.dumps(rows, indent=1))
    for path, header, _, rows, odd in told if not as_json else ():
        if isinstance(header, list):
            _print_sequences(path, header)
            continue
        table = Table(title=escape(str(path)), title_justify="left", show_header=False, box=None, padding=(0, 2))
        table.add_column(style="dim")
        for name, value in rows:
            table.add_row(name, escape(value))
        out.print(table)
        for text in odd:
            out.print(f"odd: {text}", style="yellow", markup=False)
    if bad:
        raise typer.Exit(1)


def _print_sequences(folder, found):
    for each in found:
        first, last, count = each["first"], each["last"], each["frames"]
        rows = {
            "frames": f"{count:,}, {first}" + f" to {last}" * (count > 1) + f", {each['bytes']:,} bytes",
            "pictures": _few(
                [kind + f" ({number:,})" * (number < count) for kind, number in each["pictures"].items()], between="\n"
            ),
            "frame rate": ", ".join(f"{rate:g} frames/s" for rate in each["frame_rates"]),
            "timecode": " to ".join(each["timecodes"]),
        }
        if "numbers" in each:
            rows |= {
                "numbers": "{} to {}".format(*each["numbers"])
                + (f" by {each['step']}" if each["step"] > 1 else ", not evenly apart" * (each["step"] == 0)),
                "missing": f"{each['missing']:,}: {_few(_ranges(each['gaps']))}" if each["gaps"] else "",
                "time missing": _few(each["time"], between="\n"),
                "doubled": _few(each["doubled"]),
            }
        _print_table({name: value for name, value in rows.items() if value}, escape(str(folder)))
        for text in [*each.get("notes", ()), *(f"cannot be read: {text}" for text in each["unreadable"][:MOST_LISTED])]:
            out.print(f"odd: {text}", style="yellow", markup=False)


def _few(words, most=8, between=", "):
    return between.join([*words[:most], *([f"and {len(words) - most:,} more"] if len(words) > most else [])])


def _setting(option, text, **more):
    """An option of `train` that is a setting: None where it isn't given, its default in its help alone."""
    value = getattr(DEFAULTS, OPTIONS[option])
    if value is None:
        default = ABSENT[OPTIONS[option]]
    elif isinstance(value, bool):
        default = option if value else f"no-{option}"
    else:
        default = _shown(value)
    return typer.Option(help=f"{text}  [default: {default}]", **more)


def _shown(value):
    """A setting as people read it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return ",".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


@app.command()
def train(
    data: Annotated[
        Path | None,
        typer.Argument(metavar="DATA", help="Holds train/ and validation/, each with Alpha/ (input) and Beta/."),
    ] = None,
    model: Annotated[Model | None, _setting("model", "The network; `fastup models` describes them.")] = None,
    name: Annotated[
        str | None, typer.Option(help="The run's folder in DATA/models.  [default: the model's name]")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Settings from TOML, such as `tile = 72`; what is given here beats them."),
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the settings as TOML for --config, and end.")
    ] = False,
    epochs: Annotated[int | None, _setting("epochs", "Passes over the tiles, in all, over several runs.")] = None,
    more_epochs: Annotated[
        int | None, typer.Option(help="Passes beyond those done, instead of --epochs.", min=1)
    ] = None,
    minutes: Annotated[float | None, _setting("minutes", "End this run, and its epoch, after so many minutes.")] = None,
    patience: Annotated[
        int | None, _setting("patience", "End after so many epochs that gained nothing in validation.")
    ] = None,
    tile: Annotated[int | None, _setting("tile", "Tile, in target pixels.")] = None,
    border: Annotated[int | None, _setting("border", "Context around a tile, in target pixels.")] = None,
    trim: Annotated[
        str | None,
        _setting("trim", "Pixels to trim from target frames: left, right, top, bottom.", metavar="L,R,T,B"),
    ] = None,
    input_trim: Annotated[str | None, _setting("input-trim", "The same for input frames.", metavar="L,R,T,B")] = None,
    black_level: Annotated[
        str | None,
        _setting("black-level", "What lies outside the picture: a code, or its nearest pixel.", metavar="CODE|edge"),
    ] = None,
    quality: Annotated[
        float | None, _setting("quality", "Share of each frame's tiles to train on, the most detailed.")
    ] = None,
    jitter: Annotated[bool | None, _setting("jitter", "Also train on tiles that are half a tile off.")] = None,
    skip: Annotated[int | None, _setting("skip", "Tiles left out after each one used, 0 to 3.")] = None,
    shuffle: Annotated[bool | None, _setting("shuffle", "Take the tiles in a random order.")] = None,
    augment: Annotated[
        bool | None, _setting("augment", "Flip tiles at random, and turn them where both scales are equal.")
    ] = None,
    residual: Annotated[bool | None, _setting("residual", "Learn the difference to bicubic.")] = None,
    learning_rate: Annotated[float | None, _setting("learning-rate", "At the start.")] = None,
    schedule: Annotated[
        Schedule | None, _setting("schedule", "How the learning rate falls to 0 over the run, if it does.")
    ] = None,
    ema: Annotated[
        float | None, _setting("ema", "Momentum of averaged weights, such as 0.999; best.keras then has those.")
    ] = None,
    batch: Annotated[
        str | None, _setting("batch", "Tiles in a step; auto: as many as the device has room for.", metavar="N|auto")
    ] = None,
    precision: Annotated[
        Precision | None, _setting("precision", "What layers compute in; their weights stay float32.")
    ] = None,
    seed: Annotated[int | None, _setting("seed", "Of the first weights and the order of tiles.")] = None,
    threads: Annotated[int | None, _setting("threads", "That read tiles.")] = None,
    checkpoint_minutes: Annotated[
        float | None, _setting("checkpoint-minutes", "Save after so many minutes within an epoch, too.")
    ] = None,
    tensorboard: Annotated[
        bool | None, _setting("tensorboard", "Log for TensorBoard too, in the run's folder.")
    ] = None,
):
    """Train a model on pairs of frames, or carry on. It goes to DATA/models.

    A setting that isn't given comes from the --config file, else it is what the run has, else the model's, else the
    default.
    """
    given = {
        "model": model, "epochs": epochs, "minutes": minutes, "patience": patience, "tile": tile, "border": border,
        "trim": _trim("trim", trim), "input_trim": _trim("input-trim", input_trim),
        "black_level": _whole_or_word(black_level), "quality": quality, "jitter": jitter, "skip": skip,
        "shuffle": shuffle, "augment": augment, "residual": residual, "learning_rate": learning_rate,
        "schedule": schedule, "ema": ema, "batch": _whole_or_word(batch), "precision": precision, "seed": seed,
        "threads": threads, "checkpoint_minutes": checkpoint_minutes, "tensorboard": tensorboard,
    }  # fmt: skip
    layers = [("command line", {field: value for field, value in given.items() if value is not None})]
    if config is not None:
        layers.append((config.name, read_toml(config)))
    settings, sources, name = _resolve(layers, data, name)
    if print_config:
        print(as_toml(settings, sources), end="")
    elif data is None:
        raise OptionError("DATA is missing, expected the folder that holds train/ and validation/")
    else:
        _train(data, settings, sources, name, more_epochs)


@app.command()
def pairs(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Holds train/, and validation/ and evaluation/ if there are any.")
    ],
    trim: Trim = "0,0,0,0",
    input_trim: InputTrim = None,
    clear_cache: Annotated[
        bool, typer.Option("--clear-cache", help="Remove what fastup made in DATA/cache, and can make again, and end.")
    ] = False,
    as_json: Json = False,
):
    """Check that frames pair up and that pairs fit. Exit code 1 if any is off.

    A pair is off where the input lies more than a quarter of an input pixel off its target, or a channel's gain is more
    than 1 % off, or its offset more than 0.01 of white.
    """
    if clear_cache:
        if not data.is_dir():
            raise DataError(f"{data}: no such folder, expected the one that holds train/")
        _clear_cache(data / "cache")
        return
    _pairs(data, _trim("trim", trim), _trim("input-trim", input_trim), as_json)


@app.command()
def rank(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Holds train/, with Alpha/ (input) and Beta/.")],
    quality: Annotated[float, typer.Option(help="Share of each frame's tiles to keep, the most detailed.")] = 0.5,
    tile: Annotated[
        int | None, typer.Option(help="Tile, in target pixels.  [default: the smallest that fits of 60 or more]")
    ] = None,
    trim: Trim = "0,0,0,0",
    input_trim: InputTrim = None,
    jitter: Annotated[bool, typer.Option(help="Also rank tiles that are half a tile off.")] = DEFAULTS.jitter,
    output: Annotated[
        Path | None, typer.Option(metavar="PNG", help="Where the picture goes.  [default: DATA/cache/rank.png]")
    ] = None,
):
    """Show which tiles a --quality keeps: a histogram and a contact sheet of the kept and the dropped, as one PNG.

    Detail is the sum of absolute differences to the right and the lower neighbour, so that lines count in every
    direction.
    """
    config = Config(
        quality=quality, tile=tile, trim=_trim("trim", trim), input_trim=_trim("input-trim", input_trim), jitter=jitter
    )
    output = output or data / "cache" / "rank.png"
    if output.suffix.lower() != ".png":
        raise OptionError(f"output is {output}, expected a name that ends in .png")
    _rank(data, config, output)


@app.command()
def evaluate(
    model: ModelFile,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Holds evaluation/; or Alpha/ and Beta/ themselves.")],
    as_json: Json = False,
):
    """Compare a model with bicubic, frame by frame."""
    scores = _evaluate(model, data)
    if as_json:
        print(json.dumps([asdict(score) for score in scores], indent=1))
    else:
        _print_scores(scores)


@app.command()
def upscale(
    model: ModelFile,
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A folder of frames, or one frame.")],
    destination: Annotated[Path, typer.Argument(metavar="OUTPUT", help="A folder for 10-bit DPX frames.")],
    overwrite: Overwrite = False,
):
    """Upscale frames. Those already in OUTPUT are skipped."""
    _upscale(model, source, destination, overwrite)


@app.command()
def extract(
    source: Annotated[Path, typer.Argument(metavar="VIDEO|FOLDER", help="A video, or a folder of stills.")],
    destination: Annotated[Path, typer.Argument(metavar="OUT", help="A folder for 10-bit DPX frames.")],
    start: Start = "0",
    end: End = None,
    every: Annotated[int, typer.Option(help="Take one frame of so many.")] = 1,
    lines: Lines = None,
    range: Levels = "full",
    interlaced: Interlaced = None,
    detelecine: Annotated[
        bool, typer.Option("--detelecine", help="Undo 3:2 pulldown too, as `fastup detelecine` does.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
):
    """Write the frames of a video, or stills, as 10-bit RGB DPX of their own size. Those already in OUT are skipped."""
    from fastup.footage.extract import open_source, prepare

    if detelecine:
        if every != 1:
            raise OptionError(f"every is {every}, but --detelecine needs every frame")
        _detelecine(
            source, destination, as_json, start=start, end=end, lines=lines, keep=range == Range.keep,
            interlaced=interlaced, overwrite=overwrite,
        )  # fmt: skip
        return
    with open_source(source, keep=range == Range.keep, interlaced=interlaced) as opened:
        options = {"start": start, "end": end, "every": every, "lines": lines, "overwrite": overwrite}
        _extract(prepare(opened, destination, **options), as_json)


@app.command()
def detelecine(
    source: Annotated[Path, typer.Argument(metavar="VIDEO|FOLDER", help="Telecined video, or its frames in a folder.")],
    destination: Annotated[Path, typer.Argument(metavar="OUT", help="A folder for 10-bit DPX frames.")],
    order: Annotated[Order | None, typer.Option(help="Which field comes first.  [default: it is found]")] = None,
    sync: Annotated[
        bool, typer.Option("--sync", help="Hold the length to one frame: drop or repeat a frame at a break.")
    ] = False,
    video: Annotated[
        Video, typer.Option(help="Where it isn't telecined: keep frames as they are, or bob fields by bwdif.")
    ] = "keep",
    start: Start = "0",
    end: End = None,
    lines: Lines = None,
    range: Levels = "full",
    force: Annotated[bool, typer.Option("--force", help="Write what does not look telecined too.")] = False,
    interlaced: Interlaced = None,
    review: Annotated[
        bool, typer.Option("--review", help="Write doubtful frames to OUT/telecine as pictures.")
    ] = False,
    overwrite: Overwrite = False,
    as_json: Json = False,
):
    """Undo 3:2 pulldown: 29.97 interlaced to 23.976 progressive. Frames that are in OUT already are skipped.

    The cadence is tracked over the whole clip, so that drawings stay as long as they were drawn for. What was found
    goes to OUT/telecine: the phase of every frame and every doubt, as JSON and as a picture.
    """
    _detelecine(
        source, destination, as_json, order=order, sync=sync, video=video, start=start, end=end, lines=lines,
        keep=range == Range.keep, force=force, interlaced=interlaced, review=review, overwrite=overwrite,
    )  # fmt: skip


@app.command()
def degrade(
    source: Annotated[Path, typer.Argument(metavar="HD", help="A folder of RGB frames, or one frame.")],
    destination: Annotated[Path, typer.Argument(metavar="SD", help="A folder for 10-bit DPX frames.")],
    trim: Annotated[
        str, typer.Option(metavar="auto|L,R,T,B", help="Pixels to trim: left, right, top, bottom; auto: black pillars.")
    ] = "auto",
    size: Annotated[
        str, typer.Option(metavar="WxH", help="Of what is made, whatever the picture's shape.")
    ] = "720x480",
    filter: Annotated[Filter, typer.Option(help="What resizes.")] = "lanczos",
    tape: Annotated[
        bool, typer.Option("--tape", help="Be a good analog tape, in what is not given of the next four.")
    ] = False,
    softness: Annotated[
        str | None,
        typer.Option(metavar=STRENGTH, help="Width of the luma Gaussian, SD pixels: 0 to 20; 1.79 / MHz.  [tape: 0.5]"),
    ] = None,
    peaking: Annotated[
        str | None, typer.Option(metavar=STRENGTH, help="Of edges along the line: 0 to 10.  [tape: 0.25]")
    ] = None,
    noise: Annotated[
        str | None, typer.Option(metavar=STRENGTH, help="Deviation, white is 1: 0 to 1.  [tape: 0.006, 44 dB]")
    ] = None,
    chroma: Annotated[
        str | None,
        typer.Option(metavar=STRENGTH, help="Width of the chroma Gaussian: 0 to 20; 1.79 / MHz.  [tape: 1.4]"),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the noise, and of strengths that are ranges.")] = 0,
    overwrite: Overwrite = False,
):
    """Make SD twins of HD frames, to train on: trim, resize, age. Those already in SD are skipped.

    A strength is a number, or LOW:HIGH, between which one is drawn for each frame. VHS has 0.6 of softness and 4.5 of
    chroma (3 and 0.4 MHz), Betacam SP 0.4 and 1.2 (4.5 and 1.5 MHz).
    """
    from fastup.footage.degrade import TAPE, prepare, run

    given = {"softness": softness, "peaking": peaking, "noise": noise, "chroma": chroma}
    given = {name: _strength(name, text) for name, text in given.items() if text is not None}
    plan = prepare(
        source, destination, _size(size), None if trim == "auto" else _trim("trim", trim), filter,
        {**(TAPE if tape else {}), **given}, seed, overwrite,
    )  # fmt: skip
    (height, width), aspect = plan.size, plan.pixel_aspect
    tape_words = ", ".join(
        f"{name} {low:g}" + (f" to {high:g}" if high > low else "") for name, (low, high) in plan.tape.items() if high
    )
    _print_table(
        {
            "trim": f"{_shown(plan.trim)} (left, right, top, bottom): {plan.why_trim}",
            "size": f"{plan.picture[1]}x{plan.picture[0]} to {width}x{height}",
            "filter": plan.filter,
            "pixel aspect": f"{aspect.numerator}:{aspect.denominator}, so that the picture is "
            f"{float(aspect * width / height):.3f}:1",
            "tape": f"{tape_words}; seed {seed}" if tape_words else "none",
            "output": f"10-bit DPX in {destination}",
        }
    )
    _work(run, plan, "degrading", "degraded", destination)


@app.command()
def dehalo(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A folder of RGB frames, or one frame.")],
    destination: Annotated[Path, typer.Argument(metavar="OUT", help="A folder for DPX frames.")],
    pairs: Annotated[
        Path | None, typer.Option(metavar="HD", help="A folder of HD twins, to find the kernel by instead of edges.")
    ] = None,
    kernel: Annotated[
        str | None,
        typer.Option(
            metavar="S:W[:E:D]|TAPS",
            help="The kernel itself: peaking and width, echo and delay; or an odd number of taps, with commas.",
        ),
    ] = None,
    strength: Annotated[float, typer.Option(help="How much of the halo is undone: 0 to 1.")] = 1.0,
    protect: Annotated[
        float, typer.Option(help="Flats that differ by less than so many times the noise stay; 0: none.")
    ] = 2.0,
    overwrite: Overwrite = False,
    as_json: Json = False,
):
    """Take the halos of an analog transfer out of frames. Those already in OUT are skipped.

    One horizontal kernel is estimated for the source, from edges that stand alone in up to 40 of its frames, and
    inverted. It goes to OUT/dehalo, as JSON and as a picture of the kernel and its response.
    """
    from fastup.footage.dehalo import plot, prepare, run

    with _progress("looking for edges") as advance:
        plan = prepare(
            source, destination, twins=pairs, kernel=kernel and _kernel(kernel), strength=strength, protect=protect,
            overwrite=overwrite, on_frame=advance,
        )  # fmt: skip
    found, picture = plan.estimate, destination / "dehalo" / "kernel.png"
    plot(picture, found, strength)
    if as_json:
        told = asdict(found) | {"taps": [round(float(tap), 6) for tap in found.taps]}
        run(plan)
        print(json.dumps({**told, "made": len(plan.todo), "skipped": len(plan.targets) - len(plan.todo)}, indent=1))
        return
    halo, whence = found.halo, f"{found.edges} edges" if pairs is None else f"{found.edges} pairs"
    middle = len(found.taps) // 2
    reach = max(abs(k - middle) for k, tap in enumerate(found.taps) if abs(tap) > 0.004)
    rows = {
        "kernel": (f"peaking {halo.peaking:.2f}, width {halo.width:.2f} pixels" if halo else "by its taps")
        + (f"; echo {halo.echo:+.2f}, {halo.delay:.1f} pixels late" if halo and halo.echo else ""),
        "found by": whence if found.edges else "hand",
        "taps": ",".join(f"{tap:.4f}" for tap in found.taps[middle - reach : middle + reach + 1]),
        "overshoot": f"{found.before:.1%} of a step, {found.after:.1%} after",
        "noise": f"{found.noise:.4f} of white",
        "picture": str(picture) if picture.exists() else "none: matplotlib is not installed",
    }
    if found.none:
        rows = {"kernel": f"no halo in {whence}: frames stay as they are", "noise": rows["noise"]}
    _print_table(rows, "found")
    _work(run, plan, "dehaloing", "dehaloed", destination)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="A frame, or a folder of frames.")],
    destination: Annotated[Path, typer.Argument(metavar="OUT", help="A file, whose suffix says the format; a folder.")],
    format: Annotated[
        str | None, typer.Option(help="Of what goes to a folder: dpx, png, tif, exr, jpg, bmp, tga.")
    ] = None,
    bits: Annotated[
        int | None, typer.Option(help="8, 10, 12 or 16 of DPX, 8 or 16 of PNG and TIFF.  [default: the input's]")
    ] = None,
    source_curve: Annotated[
        Curve | None, typer.Option("--from", help="Transfer of IN.  [default: what a DPX' header says]")
    ] = None,
    target_curve: Annotated[
        Curve | None, typer.Option("--to", help="Transfer to convert to.  [default: code values stay]")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="Of EXR: `beauty` of beauty.R, G, B.  [default: the main or only one]")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Make files again that are there already.")] = False,
):
    """Convert frames to another format, bits or transfer. Files that are there already are skipped.

    Without --to no code value changes, but for a scale from white to white, and where colours are multiplied by alpha
    in one format (EXR; TIFF and TGA that say so) and not in the other. Log is Cineon's, with black and white by
    the header's low and high code, or 95 and 685.
    """
    from fastup.footage.convert import prepare, run

    plan = prepare(source, destination, format, bits, source_curve, target_curve, overwrite, layer)
    for words, count in plan.assumed.items():
        out.print(f"{count} frame{'s' * (count != 1)}: {words}", markup=False)
    _work(run, plan, "converting", "converted", destination)


@app.command()
def models(as_json: Json = False):
    """List the networks that can be trained, at 720x480 to 1440x1080."""
    start()
    from fastup.networks.models import MODELS, Network

    rows = []
    for name, architecture in MODELS.items():
        network = Network({"model": name, "scale": [[9, 4], [2, 1]]})
        rows.append(
            {
                "model": name,
                "parameters": network.count_params(),
                "receptive": list(network.receptive),
                "loss": architecture.loss,
                "learning_rate": architecture.learning_rate,
                "summary": architecture.summary,
            }
        )
    if as_json:
        print(json.dumps(rows, indent=1))
        return
    table = Table(box=box.SIMPLE_HEAD)
    for column in ("model", "parameters", "sees (input pixels)", "loss", "learning rate"):
        table.add_column(column, justify="right" if column in ("parameters", "learning rate") else "left")
    for row in rows:
        table.add_row(
            row["model"], f"{row['parameters']:,}", "{} x {}".format(*(1 + 2 * r for r in row["receptive"])),
            row["loss"].replace("_", " "), f"{row['learning_rate']:g}",
        )  # fmt: skip
    out.print(table)
    for row in rows:
        out.print(f"{row['model']}: {row['summary']}")


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put it all.")] = Path("fastup-demo"),
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 1.0,
):
    """Draw a clip, train on it, and show the gain.

    The clip is cel animation, drawn from a seed and degraded as SD tape was. The gain is measured on frames that
    training never saw.
    """
    from fastup import demo as clip

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OptionError(f"{folder}: not empty, expected a new folder for the demo")
    # Half the tiles of drawn animation are plain paint: a minute is better spent on the others, in small steps.
    layers = [("demo", {"quality": 0.5, "batch": 8, "epochs": 1000, "minutes": minutes})]
    config, sources, name = _resolve(layers, folder)
    with _progress("drawing pairs") as advance:
        clip.write_data(folder, progress=advance)
    _train(folder, config, sources, name, None)
    best = folder / "models" / DEFAULTS.model / "best.keras"
    scores = _evaluate(best, folder)
    _print_scores(scores)
    _upscale(best, folder / "evaluation" / "Alpha", folder / "upscaled", True)
    *_, last, mean = scores
    picture = _comparison(folder, best, last)
    out.print(f"comparison: {escape(str(picture))}")
    out.print(f"gain over bicubic on unseen frames: {mean.psnr - mean.psnr_bicubic:+.2f} dB")


# -- what several commands do ----------------------------------------------------------------------------------------


def _resolve(layers, data, name=None):
    """What `resolve` makes of settings, with those that the run has and those of the models; and the run's name."""
    config, _ = resolve(layers)  # so that mistakes are told at once: Keras takes seconds to load
    start()
    from fastup.networks.models import MODELS
    from fastup.train.run import settings_of

    name = config.model if name is None else name
    if data is not None:
        layers = [*layers, ("run", settings_of(data / "models" / name))]
    return *resolve(layers, {each: architecture.defaults for each, architecture in MODELS.items()}), name


def _train(data, config, sources, name, more_epochs):
    refuse_other(data)
    start()
    from fastup.train.fit import fit
    from fastup.train.prepare import prepare

    run = prepare(data, config, name, more_epochs)
    follow = [field for field in ("tile", "border", "input_trim") if getattr(config, field) is None]
    sources = sources | dict.fromkeys(follow, "frames")
    if config.batch == "auto":
        sources["batch"] = "auto"
    if more_epochs is not None:
        sources["epochs"] = "run" if run.epochs == run.before.get("epochs") else "command line"
    _print_settings(run, sources)
    for note in run.notes:
        out.print(f"note: {note}", style="yellow", markup=False)
    with _training_line() as (on_step, on_epoch, on_index):
        fit(run, on_step, on_epoch, on_index)
    state = run.state
    out.print(
        f"best: epoch {state['best_epoch']}, {state['best_psnr']:.2f} dB: {escape(str(run.folder / 'best.keras'))}"
    )


def _pairs(data, trim, input_trim, as_json):
    """Check the sets of DATA and print what is off."""
    refuse_other(data)
    from itertools import count

    from fastup.frames import is_dpx
    from fastup.pairs.alignment import alike, fits, median
    from fastup.pairs.folder import Geometry, find_sets, seen, seen_note

    folders = [data / name for name in ("train", "validation", "evaluation")]
    sets = find_sets([folder for folder in folders if folder.exists() or folder.name == "train"])
    geometries = [Geometry.of(each.input_size, each.target_size, trim, input_trim) for each in sets]
    done, total = count(1), sum(map(len, sets))
    with _progress("fitting pairs") as advance:

        def on_frame(*_):
            advance(next(done), total)

        told = [(each, g, fits(each, g, on_frame)) for each, g in zip(sets, geometries, strict=True)]
    off = sum(bool(fit.off) for *_, found in told for fit in found)
    train, *others = sets
    copies = {each.folder.name: seen(train, each, data / "cache") for each in others}
    if as_json:
        rows = []
        for each, geometry, found in told:
            (h, w), (height, width) = geometry.input_picture, geometry.target_picture
            rows.append(
                {
                    "set": each.folder.name,
                    "pairs": len(each),
                    "input": [w, h],
                    "target": [width, height],
                    "scale": [str(scale) for scale in geometry.scale],
                    "to_transcode": sum(not is_dpx(path) for path in each.inputs + each.targets),
                    "median": asdict(median(found)),
                    "in_train": [[str(path) for path in pair] for pair in copies.get(each.folder.name, ())],
                    "off_alike": alike(found),
                    "fits": [asdict(fit) | {"judged": fit.judged, "off": fit.off} for fit in found],
                }
            )
        print(json.dumps(rows, indent=1))
    else:
        for each, geometry, found in told:
            _print_fits(each, geometry, found)
        for each in others:
            if note := seen_note(train, each, copies[each.folder.name]):
                out.print(f"note: {note}", style="yellow", markup=False)
    if off:
        raise typer.Exit(1)


def _print_fits(pairs, geometry, found):
    from collections import Counter

    from fastup.frames import is_dpx
    from fastup.pairs.alignment import alike, median

    (h, w), (height, width) = geometry.input_picture, geometry.target_picture
    other = Counter(path.suffix.lower() for path in pairs.inputs + pairs.targets if not is_dpx(path))
    off = sorted((fit for fit in found if fit.off), key=lambda fit: -fit.badness)
    silent = [fit.frame for fit in found if not fit.judged]
    middle = median(found)
    rows = {
        "pairs": f"{len(found)}, {len(off)} off",
        "pictures": f"{w}x{h} to {width}x{height}, scale {' x '.join(map(str, geometry.scale))} (vertical, horizontal)",
        "to transcode": ", ".join(f"{count} {suffix}" for suffix, count in other.items()) or "nothing: all are DPX",
        "median": "no pair says anything"
        if middle.shift is None
        else f"shift {_signed(middle.shift, 2)} input pixels (down, right); gain {_plain(middle.gain, 3)}; "
        f"offset {_signed(middle.offset, 3)} (R, G, B)",
    }
    if silent:
        names = ", ".join(silent[:5]) + (", ..." if len(silent) > 5 else "")
        rows["not judged"] = f"{len(silent)}, too flat to tell: {names}"
    _print_table(rows, escape(str(pairs.folder)))
    if off:
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("frame", overflow="fold")
        for column in ("down, right", "gain R, G, B", "offset R, G, B", "likeness"):
            table.add_column(column, justify="right", no_wrap=True)
        table.add_column("off")
        for fit in off[:MOST_LISTED]:
            table.add_row(
                escape(fit.frame), _signed(fit.shift, 2), _plain(fit.gain, 3), _signed(fit.offset, 3),
                f"{fit.likeness:.2f}", ", ".join(fit.off),
            )  # fmt: skip
        out.print(table)
        if len(off) > MOST_LISTED:
            out.print(f"and {len(off) - MOST_LISTED} more, less far off")
    common = alike(found)
    if common:
        why = ["a missing or wrong trim"] if "shift" in common else []
        why += ["a difference of transfer"] if set(common) - {"shift"} else []
        text = f"most pairs are off alike ({', '.join(common)}): {' and '.join(why)}, rather than bad pairs"
        out.print(text, style="yellow", markup=False)


def _signed(values, digits):
    return ", ".join("-" if v is None else f"{round(v, digits) + 0:+.{digits}f}" for v in values or (None,))  # no -0


def _plain(values, digits):
    return ", ".join("-" if v is None else f"{v:.{digits}f}" for v in values)


def _clear_cache(cache):
    """Remove what fastup made in the cache, and the folder if nothing else is in it; of a link, the link alone."""
    from fastup.pairs.folder import clear_cache

    if cache.is_symlink():
        kept = os.readlink(cache)
        cache.unlink()
        out.print(f"{escape(str(cache))} was a link and is removed; what it pointed to stays: {escape(kept)}")
        return
    if not cache.exists():
        out.print(f"{escape(str(cache))}: nothing there")
        return
    if not cache.is_dir():
        raise DataError(f"{cache}: a file, expected the folder that fastup made")
    size, left = clear_cache(cache)
    if not left:
        out.print(f"{escape(str(cache))} is removed: {size:,} bytes")
        return
    names = ", ".join(str(path.relative_to(cache)) for path in left[:5]) + (", ..." if len(left) > 5 else "")
    out.print(
        f"{cache}: {size:,} bytes are removed; {len(left)} file{'s' * (len(left) != 1)} that fastup did not make "
        f"stay{'s' * (len(left) == 1)}: {names}",
        markup=False,
    )


def _rank(data, config, output):
    refuse_other(data)
    from fastup.pairs.folder import Geometry, find_sets, transcode
    from fastup.pairs.ranking import picture, ranking

    (found,) = find_sets([data / "train"])
    geometry = Geometry.of(found.input_size, found.target_size, config.trim, config.input_trim)
    tile = geometry.tile(config.tile)
    _, grid = geometry.grids(tile, 0, config.jitter)
    with _progress("transcoding") as advance:
        found = transcode(found, data / "cache", advance)
    with _progress("ranking tiles") as advance:
        ranked = ranking(found, geometry, grid, config.quality, data / "cache", advance)
    picture(output, ranked)
    count, tiles, line = len(ranked.scores), len(ranked.tiles), ranked.thresholds
    digits, unit = (",.0f", "in codes") if found.target_white else (".4g", "1 is white")
    _print_table(
        {
            "frames": f"{count}",
            "tiles": f"{tiles:,} a frame, of {tile} target pixels, {'with' if config.jitter else 'without'} jitter",
            "kept": f"{ranked.kept:,} a frame, {ranked.kept * count:,} in all: quality {config.quality:g}",
            "the line": f"{line.min():{digits}}"
            + (f" to {line.max():{digits}}, by frame" if line.min() < line.max() else ""),
            "picture": str(output),
        },
        "ranking",
    )
    shares = {"least": 0, "5 %": 0.05, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "95 %": 0.95, "most": 1}
    caption = f"detail: the sum of absolute differences to the right and the lower neighbour, {unit}"
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("tiles")
    for name in shares:
        table.add_column(name, justify="right", no_wrap=True)
    for name, scores in zip(("kept", "dropped"), np.split(ranked.ranked, [ranked.kept], axis=1), strict=True):
        if scores.size:
            table.add_row(name, *(f"{score:{digits}}" for score in np.quantile(scores, list(shares.values()))))
    out.print(table)


def _evaluate(model, data):
    """Scores of every frame, the mean last."""
    refuse_other(data)
    start()
    from fastup.upscale.evaluate import evaluate, mean

    with _progress("evaluating") as advance:
        scores = evaluate(model, data, advance)
    return [*scores, mean(scores)]


def _upscale(model, source, destination, overwrite):
    refuse_other(source)  # before Keras is loaded
    start()
    from fastup.upscale.upscaler import upscale

    with _progress("upscaling") as advance:
        notes = []
        written, skipped = upscale(model, source, destination, overwrite, advance, notes.append)
    for note in notes:
        out.print(f"note: {note}", style="yellow", markup=False)
    out.print(
        f"{written} frame{'s' * (written != 1)} upscaled to {escape(str(destination))}"
        + (f", {skipped} were there already (--overwrite makes them again)" if skipped else "")
    )
    _note_gaps(find(source))


def _extract(plan, as_json):
    from fastup.footage.extract import run

    source = plan.source
    if not as_json:
        _print_table({**source.settings, "output": f"10-bit RGB DPX in {plan.destination}"})
    began = time.perf_counter()
    with _progress("extracting") as advance:

        def on_frame(done, total):
            advance(done, total, f"extracting, {done / (time.perf_counter() - began):.0f} frames/s")

        written, skipped = run(plan, on_frame)
    seconds = time.perf_counter() - began
    if as_json:
        facts = {name: getattr(source, name) for name in ("width", "height", "field_order", "timecode", "frame_count")}
        fractions = {name: getattr(source, name) for name in ("rate", "pixel_aspect")}
        facts |= {name: value and str(value) for name, value in fractions.items()}
        counts = {"written": written, "skipped": skipped, "frames_per_second": round(written / seconds, 1)}
        print(json.dumps({**facts, "settings": source.settings, **counts, "notes": source.notes}, indent=1))
        return
    out.print(
        f"{written} frame{'s' * (written != 1)} extracted to {escape(str(plan.destination))}"
        + (f", {written / seconds:.3g} frames/s" if written else "")
        + (f", {skipped} were there already (--overwrite makes them again)" if skipped else "")
    )
    for note in source.notes:
        out.print(f"note: {note}", style="yellow", markup=False)


def _detelecine(source, destination, as_json, **options):
    from fastup.footage.telecine import detelecine

    began = time.perf_counter()
    with _progress("measuring") as advance:
        report = detelecine(source, destination, on_frame=lambda what, *count: advance(*count, what), **options)
    if as_json:
        print(json.dumps({name: value for name, value in report.items() if name not in ("fields", "woven")}, indent=1))
        return
    _print_table(report["settings"])
    stretches = [f"{part['kind']} {part['first']} to {part['last']}" for part in report["stretches"]]
    hardly = "" if options.get("order") or report["order_margin"] >= 20 else " (hardly told: see --order)"
    rows = {
        "field order": f"{report['order']} first{hardly}",
        "breaks": f"{len(report['breaks'])}; film frames of one field that were kept: {report['orphans']}",
        "frames": f"{report['frames']} of video, {report['film_frames']} of film",
        "doubtful": f"{len(report['doubts'])} of film",
        "details": f"{destination / 'telecine'}",
    }
    if stretches:
        rows["not telecined"] = "frames " + ", ".join(stretches[:8]) + ", ..." * (len(stretches) > 8)
    _print_table(rows, "found")
    for note in report["notes"]:
        out.print(f"note: {note}", style="yellow", markup=False)
    written, skipped = report["written"], report["skipped"]
    rate = report["frames"] / (time.perf_counter() - began)
    out.print(
        f"{written} frame{'s' * (written != 1)} written to {escape(str(destination))}, {rate:.3g} frames/s of video"
        + (f", {skipped} were there already (--overwrite makes them again)" if skipped else "")
    )


def _work(run, plan, doing, done, destination):
    """Carry out a plan of frames to make, and say how many and how fast."""
    began, count, skipped = time.perf_counter(), len(plan.todo), len(plan.targets) - len(plan.todo)
    with _progress(doing) as advance:
        run(plan, advance)
    rate = count / (time.perf_counter() - began)
    out.print(
        f"{count} frame{'s' * (count != 1)} {done} to {escape(str(destination))}"
        + (f", {rate:.3g} frames/s" if count else "")
        + (f", {skipped} were there already (--overwrite makes them again)" if skipped else "")
    )
    _note_gaps(list(plan.targets))


def _note_gaps(paths):
    """Say which frames are missing; nothing of chosen ones, between which there are more that are not."""
    from fastup.footage.sequences import sequences

    for each in sequences(paths):
        if 0 < each.missing <= len(each.paths):
            numbers = "number is" if each.missing == 1 else "numbers are"
            out.print(
                f"note: {each.paths[0].name} to {each.paths[-1].name}: {each.missing:,} {numbers} missing "
                f"({_few(_ranges(each.gaps))}); the others keep their names",
                style="yellow",
                markup=False,
            )


def _ranges(gaps):
    return [f"{first}" if first == last else f"{first} to {last}" for first, last in gaps]


def _comparison(folder, model, score):
    """The demo's picture: the last evaluation frame by bicubic, by the model and as it was drawn."""
    from fastup import demo as clip
    from fastup.pairs.folder import find_pairs
    from fastup.upscale.evaluate import compare, geometry_of
    from fastup.upscale.upscaler import Upscaler

    upscaler = Upscaler(model)
    pairs = find_pairs(folder / "evaluation")
    pairs = replace(pairs, inputs=pairs.inputs[-1:], targets=pairs.targets[-1:])
    path, ours, bicubic, target = next(compare(upscaler, pairs, geometry_of(upscaler, pairs)))
    picture = upscaler.picture(fastup.read(path, dtype="float32"))
    rows, columns = (np.arange(t) * i // t for t, i in zip(target.shape[:2], picture.shape[:2], strict=True))
    path = folder / "comparison.png"
    clip.comparison(
        path,
        {
            "input": picture[rows][:, columns],
            f"bicubic, {score.psnr_bicubic:.2f} dB": bicubic,
            f"fastup {upscaler.settings['model']}, {score.psnr:.2f} dB": ours,
            "target": target,
        },
    )
    return path


def _print_settings(run, sources):
    """What is in force and where it came from, and what follows from the frames; not what is off by default."""
    config, geometry, state = run.config, run.geometry, run.state
    (h, w), (height, width) = geometry.input_picture, geometry.target_picture
    tile_h, tile_w = geometry.to_input(config.tile)
    border_h, border_w = geometry.to_input(config.border)
    more = {
        "model": f", {run.network.count_params():,} parameters",
        "epochs": f" in all, {state['epoch']} done"
        + (f" and {state['step']:,} step{'s' * (state['step'] != 1)} of the next" if state["step"] else "")
        + (f" (best {state['best_psnr']:.2f} dB in epoch {state['best_epoch']})" if state["best_epoch"] else ""),
        "tile": f" target pixels, {tile_w}x{tile_h} input pixels",
        "border": f" target pixels, {border_w}x{border_h} input pixels",
        "trim": " (left, right, top, bottom)",
        "input_trim": " (left, right, top, bottom)",
    }
    rows = {
        "data": f"{len(run.pairs)} pairs to train on, {len(run.validation)} to validate",
        "pictures": f"{w}x{h} to {width}x{height}, scale {' x '.join(map(str, geometry.scale))} (vertical, horizontal)",
        "shapes": _shapes(run),
        "tiles": f"{run.tiles:,}; an epoch is {run.steps:,} steps of {min(config.batch, run.tiles)}",
        "memory": _memory(run),
    }
    for option, field in OPTIONS.items():
        value, before = getattr(config, field), run.before.get(field)
        was = f" (was {_shown(before)})" if field in run.before and before != value else ""
        off = value is None or (value is getattr(DEFAULTS, field) is False and sources[field] in ("default", "run"))
        if was or not off:
            rows[option] = _shown(value) + was + more.get(field, ""), sources[field]
    _print_table({**rows, "output": str(run.folder)})


def _memory(run):
    """What a step takes, and whether there is room."""
    from fastup.networks.memory import ROOM

    free, text = run.free, f"about {run.memory / 2**30:.2g} GiB a step"
    if free is None:
        return text
    text += f", {free / 2**30:.3g} GiB free"
    return text + (" - may not fit: a smaller --batch, or --batch auto" if run.memory > ROOM * free else "")


def _print_table(rows, title="settings"):
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2))
    table.add_column(style="dim")
    for name, value in rows.items():
        value, *source = (value,) if isinstance(value, str) else value
        table.add_row(name, escape(value), *(f"[dim]{escape(text)}" for text in source))
    out.print(table)


def _print_scores(scores):
    *each, mean = scores
    apart = [score for score in each if score.flat]
    apart = apart if len(apart) < len(each) else []
    left_out = "; frames of one colour, below, are left out" if apart else ""
    caption = (
        "PSNR: RGB, whole picture, dB. Y PSNR, Y SSIM: luma by the papers' protocol.\n"
        f"Mean: PSNR of the mean squared error{left_out}."
    )
    table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
    table.add_column("frame", overflow="fold")
    for column in ("PSNR", "bicubic", "gain", "Y PSNR", "bicubic", "Y SSIM", "bicubic"):
        table.add_column(column, justify="right", no_wrap=True)
    for score in [*(score for score in each if score not in apart), mean, *apart]:
        table.add_row(
            escape(score.frame),
            f"{score.psnr:.2f}", f"{score.psnr_bicubic:.2f}", f"{score.psnr - score.psnr_bicubic:+.2f}",
            f"{score.psnr_y:.2f}", f"{score.psnr_y_bicubic:.2f}",
            f"{score.ssim_y:.4f}", f"{score.ssim_y_bicubic:.4f}",
            style="bold" if score is mean else None,
            end_section=score is mean,
        )  # fmt: skip
    out.print(table)


def _shapes(run):
    """Width over height of the pictures, as the headers have it: where they differ, pillars may need a trim."""
    from fastup.frames import read_header

    shapes = []
    for path, (height, width) in (
        (run.pairs.inputs[0], run.geometry.input_picture),
        (run.pairs.targets[0], run.geometry.target_picture),
    ):
        aspect = read_header(path).pixel_aspect
        shapes.append(float(aspect * width / height) if aspect else None)
    text = " to ".join(f"{shape:.3f}:1" if shape else "unknown" for shape in shapes)
    if None not in shapes and abs(shapes[0] / shapes[1] - 1) > 0.03:
        text += " - they differ: pillars that want --trim, or a wrong pixel aspect in a header?"
    return text


@contextlib.contextmanager
def _progress(what):
    """A progress bar on a terminal, nothing elsewhere; gives a function of what is done and to do, and what it is."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, **_live()) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total, now=what: bar.update(task, completed=done, total=total, description=now)


@contextlib.contextmanager
def _training_line():
    """A live line while training, on a terminal; and a line an epoch, everywhere."""
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(bar_width=20), TextColumn("{task.fields[text]}")
    with Progress(*columns, **_live()) as bar:
        task = bar.add_task("starting", total=None, text="")

        def on_index(done, total, what):
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

        def on_epoch(row):
            out.print(
                f"epoch {row['epoch']}  {row['steps']} steps  loss {row['loss']:.5f}  validation {row['psnr']:.2f} dB, "
                f"bicubic {row['psnr_bicubic']:.2f} dB  {row['tiles_per_second']:.0f} tiles/s  "
                f"waiting {row['waiting']:.1%}  {_clock(row['seconds'])}"
            )

        yield on_step, on_epoch, on_index


def _live():
    """Where a live line goes: a terminal, if there is one; where results are printed, so that they don't collide."""
    console = out if out.is_terminal else err
    return {"console": console, "transient": True, "disable": not console.is_terminal}


def _complain(message, code):
    text = "\n  ".join(" ".join(line.split()) for line in str(message).split("\n  "))  # a list keeps its lines
    try:
        err.print(f"fastup: {escape(text)}", soft_wrap=True)
    except OSError:  # there is nowhere to say it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    return code


def _trim(name, text):
    return None if text is None else parse_trim(name, text)


def _size(text):
    """(height, width) of WIDTHxHEIGHT."""
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", text)
    if not found:
        raise OptionError(f"size is {text!r}, expected WIDTHxHEIGHT, such as 720x480")
    return int(found[2]), int(found[1])


def _strength(name, text):
    """A number, or the two of LOW:HIGH."""
    try:
        low, *high = map(float, text.split(":"))
        (high,) = high or [low]
    except ValueError:
        raise OptionError(f"{name} is {text!r}, expected a number, or two: LOW:HIGH") from None
    return low, high


def _kernel(text):
    """A halo by its numbers, or taps."""
    from fastup.footage.dehalo import Halo

    try:
        if ":" not in text:
            return [float(part) for part in text.split(",")]
        numbers = [float(part) for part in text.split(":")]
    except ValueError:
        numbers = []
    if len(numbers) not in (2, 4) or not (numbers[0] >= 0 and numbers[1] > 0) or not 0 <= sum(numbers[3:]) <= 16:
        raise OptionError(f"kernel is {text!r}, expected 0.8:1.6, 0.8:1.6:0.1:4, or taps as -0.1,1.2,-0.1")
    return Halo(*numbers)


def _whole_or_word(text):
    """A whole number, if it is one; which words will do is the settings' to say."""
    try:
        return int(text)
    except (TypeError, ValueError):
        return text


def _clock(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
