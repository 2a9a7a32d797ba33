"""Make networks: train, models."""

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from fastup.cli import show
from fastup.cli.options import Json, trim_of
from fastup.errors import OptionError
from fastup.frames import refuse_other
from fastup.networks import start
from fastup.train.config import (
    ABSENT,
    ARCHITECTURES,
    OPTIONS,
    PRECISIONS,
    SCHEDULES,
    Config,
    as_toml,
    read_toml,
    resolve,
)

DEFAULTS = Config()
Model = StrEnum("Model", {name: name for name in ARCHITECTURES})
Schedule = StrEnum("Schedule", {name: name for name in SCHEDULES})
Precision = StrEnum("Precision", {name: name for name in PRECISIONS})


def _setting(option, text, **more):
    """An option of `train` that is a setting: None where it isn't given, its default in its help alone."""
    value = getattr(DEFAULTS, OPTIONS[option])
    if value is None:
        default = ABSENT[OPTIONS[option]]
    elif isinstance(value, bool):
        default = option if value else f"no-{option}"
    else:
        default = show.shown(value)
    return typer.Option(help=f"{text}  [default: {default}]", **more)


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
        "trim": trim_of("trim", trim), "input_trim": trim_of("input-trim", input_trim),
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
        show.out.print(f"note: {note}", style="yellow", markup=False)
    with show.training_line() as (on_step, on_epoch, on_index):
        fit(run, on_step, on_epoch, on_index)
    state = run.state
    show.out.print(
        f"best: epoch {state['best_epoch']}, {state['best_psnr']:.2f} dB: {escape(str(run.folder / 'best.keras'))}"
    )


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
        was = f" (was {show.shown(before)})" if field in run.before and before != value else ""
        off = value is None or (value is getattr(DEFAULTS, field) is False and sources[field] in ("default", "run"))
        if was or not off:
            rows[option] = show.shown(value) + was + more.get(field, ""), sources[field]
    show.table({**rows, "output": str(run.folder)})


def _memory(run):
    """What a step takes, and whether there is room."""
    from fastup.networks.memory import ROOM

    free, text = run.free, f"about {run.memory / 2**30:.2g} GiB a step"
    if free is None:
        return text
    text += f", {free / 2**30:.3g} GiB free"
    return text + (" - may not fit: a smaller --batch, or --batch auto" if run.memory > ROOM * free else "")


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


def _whole_or_word(text):
    """A whole number, if it is one; which words will do is the settings' to say."""
    try:
        return int(text)
    except (TypeError, ValueError):
        return text


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
    show.out.print(table)
    for row in rows:
        show.out.print(f"{row['model']}: {row['summary']}")
