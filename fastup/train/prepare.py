"""Data and options to a run that is ready: everything is checked, nothing is trained yet."""

import contextlib
import hashlib
import os
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import keras

from fastup import frames
from fastup._scales import parsed
from fastup._types import Progress, StrPath
from fastup.errors import DataError, OptionError
from fastup.footage.recipe import Recipe
from fastup.networks import devices, memory
from fastup.networks.losses import TileLoss
from fastup.networks.models import MODELS, Network, precision
from fastup.networks.muon import Muon
from fastup.pairs.alignment import off_note, sample
from fastup.pairs.clips import clips
from fastup.pairs.colour import recipe
from fastup.pairs.digests import contents
from fastup.pairs.folder import SIDES, Pairs, find_sets, seen, seen_note
from fastup.pairs.geometry import along_text, size_text
from fastup.pairs.index import count, inside
from fastup.pairs.levels import silent_note
from fastup.pairs.made import made_inputs
from fastup.train import lock
from fastup.train.config import Config
from fastup.train.run import (
    SIZES,
    Run,
    as_settings,
    config_of,
    facts_of,
    has_onnx,
    last_network,
    saved_settings,
    stamp_of,
)
from fastup.train.spans import quiet_of
from fastup.train.warm import begin as begin_with
from fastup.train.warm import is_source, read, sizes, source
from fastup.trim import AUTO, UNTRIMMED
from fastup.upscale import shipped
from fastup.upscale.evaluate import check_scale
from fastup.upscale.upscaler import Upscaler

# The steps of an epoch have their tiles in an order that depends on these.
ORDERED_BY = ("batch", "tile", "trim", "quality", "jitter", "skip", "shuffle", "augment", "seed")
ADDED = {
    "edges": 0,
    "swap_channels": False,
    "span": 1,
    "stills": 0.0,
    "reverse": False,
    "lookahead": 1,
}  # to those, where they are not this, which older runs do not have


# Settings that name folders, and what they are in DATA without.
SETS = {"training": "train", "validation": "validation"}


def prepare(
    data: StrPath, config: Config, name: str | None = None, more_epochs: int | None = None,
    on_progress: Progress | None = None, *, begin: StrPath | None = None,
) -> Run:  # fmt: skip
    """Check the data, fill in the options, and load or build the model. Nothing is trained yet.

    `data` holds train/ and validation/, each with Alpha/ and Beta/, where `config` has no other folders. The run lives
    in data/models/NAME, NAME being the model's if absent, and what is made of the frames in data/cache. `config` is as
    `resolve` makes it: of a model's own defaults, a bare `Config` gets loss and learning rate alone. `more_epochs` are
    trained after those that were done before, instead of `config.epochs` in all. `on_progress` is called while borders
    are looked for, and inputs made.

    With `config.degrade`, the folder to train on has no Alpha/, and the other need not have one: its inputs are made
    here, once.

    A new run begins with what fits of the weights of the model `begin`, a ``.keras`` file or the name of one that comes
    along (`fastup.upscale.shipped`); a run that is there goes on
    if it began with that, too.
    """
    data = Path(data)
    folder = _folder_of(data, config, name)
    given = {name: os.path.abspath(getattr(config, name)) for name in SETS if getattr(config, name) is not None}
    config = replace(config, **given)  # as the same command may come from elsewhere
    folders = [given.get(name, data / default) for name, default in SETS.items()]
    pairs, validation = _sets(folders, config, data / "cache", on_progress)
    if recipe(pairs.folder) != recipe(validation.folder):
        raise DataError(
            f"{validation.folder}: its inputs are not in the colours of {pairs.folder}, expected the same match.json "
            "for both: match them together"
        )
    geometry = pairs.geometry
    begin = None if begin is None else shipped.file(begin, geometry.scale, keras=True)
    model = MODELS[config.model]
    loss, rate = config.loss or model.loss, config.learning_rate or model.learning_rate
    follows = config.trim == AUTO and config.input_trim is None
    input_trim = AUTO if follows or config.input_trim == AUTO else pairs.kinds[0].input_trim
    border = geometry.border(config.border)
    config = replace(config, border=border, input_trim=input_trim, loss=loss, learning_rate=rate)
    film = _film(config, pairs, validation, data / "cache", on_progress)
    if absent := [name for name in SIZES if getattr(config, name) is not None and name not in model.size]:
        sizes = f"has {' and '.join(model.size)}" if model.size else "has one size"
        raise OptionError(f"{absent[0]} is {getattr(config, absent[0])}, but {config.model} {sizes}, expected no other")
    free, facts = memory.free(), facts_of(pairs, config.match)
    held = lock.held(folder) if folder.is_dir() and devices.is_first() else contextlib.nullcontext()
    with held, _seeded(config.seed), precision(config.precision):
        stamp = stamp_of(folder)
        network = last_network(folder, config, facts)
        if network is not None and begin is not None and not is_source(network.settings["trained"].get("from"), begin):
            if network.settings["trained"]["steps"]:
                raise OptionError(
                    f"{folder}: a run that did not begin with {begin} is here; give the new run another --name"
                )
            network = None
        before = config_of(network.settings) if network else {}
        config = _fitting(config, pairs)
        if network is None:
            network = _new_network(config, facts, begin)
            if film[1] is not None:
                quiet = quiet_of((validation, film[1].shots), (pairs, film[0].shots if film[0] else []))
                network.set_quiet(quiet or network.settings["quiet"])
        optimizer = network.optimizer if network.compiled else _optimizer(config)
        network.compile(optimizer, TileLoss(loss, config.luma))
        # Or what is saved before the first step lacked its moments.
        network.optimizer.build(network.trainable_variables)
        config = replace(config, **{name: network.settings.get(name) for name in SIZES})
        run = Run(folder, data / "cache", config, pairs, validation, network, free, before, [], [], stamp, *film)
        _check_devices(config, run)
        if config.batch == "auto":
            batch = before.get("batch") or memory.largest_batch(network, geometry.tile(config.tile), run.tiles)
            run.config = replace(config, batch=batch)
    _set_end(run, more_epochs)
    network.settings.update(as_settings(run.config))
    _set_order(run)
    check_scale(Upscaler(network), validation)
    _check_best(run)
    _refuse_if_over(run)
    run.looked_at = sample(pairs)
    silent = silent_note(run.looked_at, len(pairs)) if config.match else None
    if config.match:  # that is mended
        none = None, None, None
        run.looked_at = [replace(each, gain=none, offset=none) for each in run.looked_at]
    notes = (
        _empty_note(run),
        _film_note(run),
        off_note(run.looked_at),
        silent,
        seen_note(pairs, validation, seen(pairs, validation, run.cache)),
    )
    run.notes += [note for note in notes if note]
    if not has_onnx():
        run.notes.append("onnx is not installed, so there will be no best.onnx: pip install 'fastup[train]'")
    folder.mkdir(parents=True, exist_ok=True)
    run.check_room()
    devices.meet("prepared")  # before one of them saves
    return run


def _check_devices(config, run):
    """Raise OptionError if a batch cannot be shared, or processes would not do the same, as they must."""
    count, (_, processes) = devices.count(), devices.share()
    if count == 1:
        return
    size = config.batch if config.batch == "auto" else min(config.batch, run.tiles)
    if config.batch == "auto" or size % count:
        raise OptionError(f"batch is {size}, expected a multiple of {count}, as so many devices share it")
    if processes > 1 and config.minutes is not None:
        raise OptionError(f"minutes is {config.minutes:g}, but {processes} processes have no common clock: --epochs")


def _sets(folders, config, cache, on_progress):
    """The pairs to train on and to validate on; inputs of the latter are made where there are none."""
    if (config.degrade is None) != (config.scale is None):
        given, missing = ("degrade", "scale") if config.scale is None else ("scale", "degrade")
        example = "scale 2, or 9/4,2 (vertical, horizontal)" if config.scale is None else "degrade downscale, or tape"
        raise OptionError(f"{given} is given without {missing}, expected both, where inputs are made: --{example}")
    if config.match and config.degrade is not None:
        raise OptionError(
            "match is given, but inputs are made of targets, and have their levels; expected one of the two"
        )
    scale = parsed(config.scale) if config.scale else None
    pairs, validation = find_sets(folders, config.trim, config.input_trim, on_progress, scale)
    if config.degrade is None:
        return pairs, validation
    if not pairs.made:
        raise OptionError(
            f"degrade is {config.degrade!r}, which makes inputs, but {pairs.folder / SIDES[0]} has some; expected one "
            "of the two"
        )
    if config.input_trim not in (None, AUTO, UNTRIMMED):
        raise OptionError("input-trim is given, but inputs are made of targets, whole pictures; expected --trim alone")
    return pairs, made_inputs(validation, Recipe.parse(config.degrade), cache, on_progress)


def _film(config, pairs, validation, cache, on_progress):
    """The shots of the pairs to train on, and of those to validate on; None where frames are seen one by one."""
    if not MODELS[config.model].recurrent:
        if config.span > 1:
            raise OptionError(f"span is {config.span}, but {config.model} sees frames one by one, expected 1")
        return None, None
    if config.settle >= config.span:
        raise OptionError(f"settle is {config.settle}, expected less than span, {config.span}: no frame would count")
    scenes = clips(validation, cache, on_progress)
    return clips(pairs, cache, on_progress) if config.span > 1 else None, scenes


def _film_note(run):
    """A line on shots that are shorter than a span; None if there are none."""
    if run.shots is None or not (short := sum(length < run.config.span for length in run.shots.lengths)):
        return None
    count, folder = len(run.shots.lengths), run.pairs.folder
    if max(run.shots.lengths) == 1:
        return (
            f"no pair of {folder} follows another in a film, so there are stills to learn from alone; frames of a film "
            "are named by numbers without gaps"
        )
    return f"{short:,} of the {count:,} shots of {folder} are shorter than a span of {run.config.span} frames"


def _folder_of(data, config, name):
    """The folder of a run, which need not be there yet."""
    name = config.model if name is None else name
    if not name or Path(name).name != name or name == "..":
        raise OptionError(f"name is {name!r}, expected the name of a folder in {data / 'models'}")
    folder = data / "models" / name
    if config.tensorboard and any("\udc80" <= character <= "\udcff" for character in str(folder)):
        raise OptionError(f"tensorboard: {folder} is not UTF-8, expected a name that is, as TensorBoard takes no other")
    return folder


def _fitting(config, pairs):
    """The settings with tile and border filled in; refuses those that do not fit the frames."""
    geometry, white = pairs.holding(config.tile), pairs.input_white
    config = replace(config, tile=geometry.tile(config.tile))
    if config.black_level != "edge" and config.black_level > (white or 1):
        several = len({kind.input_white for kind in pairs.kinds}) > 1
        most = (
            "edge, 0, or 1 for white, as input frames have several whites"
            if several
            else (f"at most the white of the input frames, {white or 1}")
        )
        raise OptionError(f"black-level is {config.black_level}, expected {most}")
    if not count(pairs, config.tile, config.jitter, 1.0, config.edges):
        raise OptionError(
            f"edges is {config.edges}: no tile of {along_text(config.tile)} lies so far inside of a picture of "
            f"{size_text(geometry.target_picture)}, expected less"
        )
    return config


def _empty_note(run):
    """A line on the pairs that no tile is of; None if there are none."""
    config, pairs = run.config, run.pairs
    each = zip(pairs.counts(), inside(pairs, config.tile, config.jitter, config.edges), strict=True)
    if not (empty := sum(count for count, tiles in each if not tiles.size)):
        return None
    are = "is" if empty == 1 else "are"
    room = f"a tile of {along_text(config.tile)}" + (f" that is {config.edges} off the rim" if config.edges else "")
    return f"{empty:,} of the {len(pairs):,} pairs of {pairs.folder} {are} too small for {room}, and not trained on"


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """In this context Keras' initializers, which draw on `random` alone, follow from `seed`; it goes on as before."""
    state = random.getstate()
    random.seed(int(seed))
    try:
        yield
    finally:
        random.setstate(state)


def _new_network(config, facts, begin):
    other = None if begin is None else read(begin)
    size = {} if other is None else sizes(other, config.model)
    size = {name: value for name, value in size.items() if getattr(config, name) is None}
    trained = {"epoch": 0, "step": 0, "loss": None, "steps": 0, "best_psnr": None, "best_epoch": None, "history": []}
    network = Network(as_settings(config) | size | facts | {"trained": trained})
    if other is not None:
        trained["from"] = source(begin) | {"taken": begin_with(network, other, begin)}
        network.settings["trained"] = trained
    return network


def _optimizer(config):
    average = {"use_ema": True, "ema_momentum": config.ema} if config.ema is not None else {}
    kind = Muon if config.optimizer == "muon" else keras.optimizers.Adam
    return kind(config.learning_rate, **average)


def _set_end(run, more_epochs):
    """Say when the run ends: where it would have if it was interrupted; else minutes and more epochs count from now."""
    state, before = run.state, run.before
    cut = state.get("under_way") or {"more_epochs": None, "seconds": 0.0}
    if more_epochs is not None:
        epochs = before["epochs"] if more_epochs == cut["more_epochs"] else state["epoch"] + more_epochs
        run.config = replace(run.config, epochs=epochs)
    elif run.config.epochs == before.get("epochs"):
        more_epochs = cut["more_epochs"]
    times = {name: value for name, value in cut.items() if name != "more_epochs"}
    times = times if run.config.minutes == before.get("minutes") else {"seconds": 0.0}
    state["under_way"] = {"more_epochs": more_epochs, **times}


def _set_order(run):
    """Begin the epoch under way anew where its tiles would come in another order: the steps done had other tiles."""
    order = {name: run.network.settings[name] for name in ORDERED_BY} | {"tiles": run.tiles}
    if run.shots is not None:
        order["shots"] = hashlib.blake2b(repr(run.shots.shots).encode(), digest_size=16).hexdigest()
    order |= {name: value for name, off in ADDED.items() if (value := getattr(run.config, name)) != off}
    if len(run.pairs.kinds) > 1:
        kinds = repr((run.pairs.kinds, run.pairs.kind_of)).encode()
        order["kinds"] = hashlib.blake2b(kinds, digest_size=16).hexdigest()
    if run.state.get("order") != order:
        run.state.update(step=0, loss=None, order=order)


def _check_best(run):
    """Forget the best epoch, with a note, where another epoch cannot be compared with it."""
    state = run.state
    before, state["validation"] = state.get("validation"), digest_of(run.validation, run.cache)
    if before != state["validation"]:
        check_finite(run.validation)
        why = "was not found on the validation frames that are here now"
    elif state["best_epoch"] is not None and saved_settings(run.folder / "best.keras") is None:
        why = "is gone: best.keras is missing or damaged"
    else:
        return
    if state["best_epoch"] is not None:
        best = f"the best so far (epoch {state['best_epoch']}, {state['best_psnr']:.2f} dB)"
        run.notes.append(f"{best} {why}; best and patience begin anew")
        state.update(best_psnr=None, best_epoch=None)


def _refuse_if_over(run):
    done, config = run.state["epoch"], run.config
    if done >= config.epochs:
        why = f"{done} epochs are done, and {config.epochs} in all were asked for; go on with --more-epochs"
    elif run.is_out_of_patience:
        why = f"no gain since epoch {run.state['best_epoch']} of {done}, and patience is {config.patience}; go on"
        why += " with a larger --patience"
    else:
        return
    raise OptionError(f"{run.folder}: {why}")


def digest_of(pairs: Pairs, cache: StrPath | None) -> str:
    """A digest of what the frames of pairs hold, whatever their names and their order are."""
    digests = contents([*pairs.inputs, *pairs.targets], cache)
    held = sorted(zip(digests[: len(pairs)], digests[len(pairs) :], strict=True))
    return hashlib.blake2b(repr(held).encode(), digest_size=16).hexdigest()


def check_finite(pairs: Pairs, numbers: Iterable[int] | None = None) -> None:
    """Raise DataError where a frame, of those with these numbers or all, holds floats that are no numbers."""
    numbers = range(len(pairs)) if numbers is None else list(numbers)
    for side, paths in zip(SIDES, (pairs.inputs, pairs.targets), strict=True):
        chosen = {
            paths[number]: trim for number in numbers for _, white, trim in [pairs.kind(number).side(side)] if not white
        }
        for path, frame in frames.stream(chosen, "float32"):
            frames.refuse_nan(path, chosen[path].crop(frame))
