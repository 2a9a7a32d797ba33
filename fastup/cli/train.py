"""Make networks: train."""

import contextlib
from collections.abc import Mapping, Sequence
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_args

from typer import Argument, Option

from fastup._types import StrPath
from fastup.cli import show
from fastup.cli.monitor import Monitor
from fastup.cli.options import carries_on, setting
from fastup.errors import OptionError
from fastup.frames import refuse_other
from fastup.networks import start
from fastup.train.config import OPTIONS, SETTINGS, Config, as_toml, read_toml, resolve
from fastup.upscale import shipped

FILM = "span", "settle", "reverse", "stills", "lookahead", "state"  # what recurrent networks alone have


def _with_settings(command):
    """Put an option for every setting of `Config` in the place of a command's ``**settings``."""
    *own, _ = signature(command).parameters.values()
    options = {each.name: each for each in (*own, *map(_parameter, SETTINGS))}
    first = "data", "model", "begin", "name", "config", "print_config", "epochs", "more_epochs"
    command.__signature__ = Signature([options[name] for name in dict.fromkeys((*first, *options))])
    return command


def _parameter(option):
    field = SETTINGS[option]
    kind = (str if field.metadata["metavar"] else field.type) | None
    return Parameter(field.name, Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind, setting(option)])


@carries_on
@_with_settings
def train(
    *,
    data: Annotated[
        Path | None, Argument(metavar="DATA", help="Holds train/ and validation/, each with Alpha/ (input) and Beta/.")
    ] = None,
    name: Annotated[str | None, Option(help="The run's folder in DATA/models.  [default: the model's name]")] = None,
    config: Annotated[
        Path | None,
        Option(metavar="FILE", help="Settings from TOML, such as `tile = 72`; what is given here beats them."),
    ] = None,
    print_config: Annotated[
        bool, Option("--print-config", help="Print the settings as TOML for --config, and end.")
    ] = False,
    begin: Annotated[
        str | None,
        Option("--from", metavar="MODEL", help="Begin with those weights that fit of this .keras file; or of cel."),
    ] = None,
    devices: Annotated[
        str | None,
        Option(
            metavar="N|all", help="Share each batch among so many devices, of each process; not on Torch.  [default: 1]"
        ),
    ] = None,
    more_epochs: Annotated[int | None, Option(help="Passes beyond those done, instead of --epochs.", min=1)] = None,
    monitor: Annotated[bool, Option("--monitor", help="Plot validation and loss in the terminal.")] = False,
    **settings: Any,
) -> None:
    """Train a model on pairs of frames, or carry on. It goes to DATA/models.

    With --degrade and --scale, on targets alone: train/ has no Alpha/, and inputs are made of each tile as it is used.

    A setting that isn't given comes from the --config file, else it is what the run has, else the model's, else the
    default.
    """
    if devices is not None:
        from fastup.networks.devices import use

        use(devices)
    given = {name: _value(option, settings[name]) for option, name in OPTIONS.items() if settings[name] is not None}
    layers = [("command line", given)]
    if config is not None:
        layers.append((config.name, read_toml(config)))
    chosen, sources, name = settings_in_force(layers, data, name, begin)
    if print_config:
        print(as_toml(chosen, sources), end="")
    elif data is None:
        raise OptionError("DATA is missing, expected the folder that holds train/ and validation/")
    else:
        run_training(data, chosen, sources, name, more_epochs, begin, monitor)


def settings_in_force(
    layers: Sequence[tuple[str, Mapping[str, Any]]], data: Path | None, name: str | None = None,
    begin: StrPath | None = None,
) -> tuple[Config, dict[str, str], str]:  # fmt: skip
    """What `resolve` makes of settings, with those of the run, of the model it begins with, and of the models by name.

    And the run's name.
    """
    resolve(layers)  # raises errors at once, before Keras takes seconds to load
    start()
    from fastup.networks.models import MODELS
    from fastup.train.run import saved_settings, settings_of
    from fastup.train.warm import SHAPING

    shaping = {}
    if begin is not None:  # those that come along have one shape at all scales
        shaping = saved_settings(shipped.file(begin, shipped.SCALES["cel-2x"], keras=True)) or {}
    begun = ("from", {each: shaping[each] for each in SHAPING if each in shaping})
    if name is None:
        name = resolve([*layers, begun])[0].model
    if data is not None:
        layers = [*layers, ("run", settings_of(data / "models" / name))]
    layers = [*layers, begun]
    return *resolve(layers, {each: architecture.defaults for each, architecture in MODELS.items()}), name


def run_training(
    data: Path, config: Config, sources: dict[str, str], name: str, more_epochs: int | None = None,
    begin: StrPath | None = None, monitor: bool = False,
) -> None:  # fmt: skip
    refuse_other(data)
    start()
    from fastup.networks.devices import is_first
    from fastup.train.fit import fit
    from fastup.train.outcome import outcome, reasons
    from fastup.train.prepare import prepare

    with show.progress("looking for borders", "folders") as advance:
        run = prepare(data, config, name, more_epochs, advance, begin=begin)
    follow = {"tile": "frames", "input_trim": "frames"} | dict.fromkeys(("features", "depth"), "model")
    sources = sources | {field: place for field, place in follow.items() if getattr(config, field) is None}
    if config.batch == "auto":
        sources["batch"] = "auto"
    if more_epochs is not None:
        sources["epochs"] = "run" if run.config.epochs == run.before.get("epochs") else "command line"
    before = run.network.settings.get("origins", {})
    run.network.settings["origins"] = {
        field: before.get(field, place) if place == "run" else place for field, place in sources.items()
    }
    if not is_first():
        fit(run)
        return
    _print_settings(run, sources)
    for note in run.notes:
        show.note(note)
    try:
        with show.training_line(Monitor(run.state["history"]) if monitor else None) as callbacks:
            fit(run, *callbacks)
    except KeyboardInterrupt:
        if text := outcome(run):
            show.say(text)
        raise
    for text in reasons(run):
        show.note(f"a reason may be: {text}")
    show.say(outcome(run))


def _print_settings(run, sources):
    """What is in force and where it came from, and what follows from the frames; not what is off by default."""
    from fastup.networks.models import facts

    config, geometry, state = run.config, run.pairs.geometry, run.state
    tile_h, tile_w = geometry.to_input(config.tile)
    border_h, border_w = geometry.to_input(config.border)
    more = {
        "model": f", {facts(run.network).parameters:,} parameters",
        "epochs": f" in all, {state['epoch']} done"
        + (f" and {state['step']:,} step{'s' * (state['step'] != 1)} of the next" if state["step"] else "")
        + (
            f" (best {state['best_psnr']:.2f} dB in epoch {state['best_epoch']})"
            if state["best_epoch"] is not None
            else ""
        ),
        "tile": f" target pixels, {tile_w}x{tile_h} input pixels",
        "border": f" target pixels, {border_w}x{border_h} input pixels",
        "trim": _trims(kind.trim for kind in run.pairs.kinds),
        "input_trim": _trims(kind.input_trim for kind in run.pairs.kinds),
        "match": ": targets get the gain and offset of their inputs, also those of validation",
    }
    rows = {
        "data": f"{len(run.pairs)} {'targets' if run.pairs.made else 'pairs'} to train on, {len(run.validation)} to "
        "validate",
        "pictures": show.pictures(run.pairs),
        "shapes": _shapes(run),
        "tiles": f"{run.tiles:,}; an epoch is {run.steps:,} steps of {min(config.batch, run.tiles)}",
        "memory": _memory(run),
        **_devices(),
    }
    if begun := state.get("from"):
        rows["from"] = f"{begun['model']}: {begun['taken']}"
    for option, field in OPTIONS.items():
        value, before = getattr(config, field), run.before.get(field)
        was = f" (was {show.shown(before)})" if field in run.before and before != value else ""
        off = value is None or (value is SETTINGS[option].default is False and sources[field] in ("default", "run"))
        if (was or not off) and (field not in FILM or run.scenes is not None):
            rows[option] = show.shown(value) + was + more.get(field, ""), sources[field]
    show.table({**rows, "output": str(run.folder)})


def _devices():
    """What shares a batch, where there is more than one."""
    from fastup.networks.devices import count, share

    if count() == 1:
        return {}
    of = f", of {share()[1]} processes" if share()[1] > 1 else ""
    return {"devices": f"{count()}{of}, which share each batch"}


def _trims(trims):
    """What is trimmed of frames, in words, behind the setting."""
    trims = list(dict.fromkeys(trims))  # the most common first
    if len(trims) == 1 and not any(trims[0]):
        return " (left, right, top, bottom)"
    found = show.few([show.shown(trim) for trim in trims], 3, "; ")
    return f": {found} (left, right, top, bottom)"


def _memory(run):
    """What a step takes, and whether there is room."""
    from fastup.networks.memory import ROOM

    free, text = run.free, f"about {run.memory / 2**30:.2g} GiB a step"
    if free is None:
        return text
    text += f", {free / 2**30:.3g} GiB free"
    return text + (" - may not fit: a smaller --batch, or --batch auto" if run.memory > ROOM * free else "")


def _shapes(run):
    """How wide the pictures are: where they differ, pillars may need a trim."""
    shapes = run.shapes
    text = " to ".join(f"{shape:.3f}:1" if shape else "unknown" for shape in shapes)
    if None not in shapes and abs(shapes[0] / shapes[1] - 1) > 0.03:
        text += " - they differ: pillars that want --trim, or a wrong pixel aspect in a header?"
    return text


def _value(option, given):
    """A setting of what the command line has for it; which words will do is for `Config` to say."""
    if isinstance(given, str) and int in get_args(SETTINGS[option].type):
        with contextlib.suppress(ValueError):
            return int(given)
    return given
