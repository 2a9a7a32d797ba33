"""Data and options to a run that is ready: everything is checked, nothing is trained yet."""

import contextlib
import hashlib
from dataclasses import asdict, replace
from pathlib import Path

import keras

from fastup import frames
from fastup.errors import OptionError
from fastup.networks import memory
from fastup.networks.models import MODELS, Network, precision
from fastup.pairs.digests import contents
from fastup.pairs.folder import find_sets, seen, seen_note
from fastup.pairs.geometry import Geometry, crop
from fastup.train import lock
from fastup.train.run import (
    Run,
    check_room,
    config_of,
    count_tiles,
    facts_of,
    last_network,
    levels_of,
    out_of_patience,
    plain,
    saved_settings,
    stamp_of,
)
from fastup.upscale.evaluate import geometry_of
from fastup.upscale.upscaler import Upscaler


def prepare(data, config, name=None, more_epochs=None):
    """Check the data, fill in the options, and load or build the model. Nothing is trained yet.

    Parameters
    ----------
    data : path-like
        Holds train/ and validation/, each with Alpha/ and Beta/. The run lives in data/models/NAME, and what is made of
        the frames in data/cache.
    config : Config
        As `resolve` makes it of several places: but for the learning rate, a model's own defaults are no part of a bare
        `Config`.
    name : str, optional
        The run's name; the model's if absent.
    more_epochs : int, optional
        Train this many epochs more than were done before, instead of `config.epochs` in all.

    Returns
    -------
    Run
    """
    data, name = Path(data), config.model if name is None else name
    if not name or Path(name).name != name or name == "..":
        raise OptionError(f"name is {name!r}, expected the name of a folder in {data / 'models'}")
    pairs, validation = find_sets([data / "train", data / "validation"])
    geometry = Geometry.of(pairs.input_size, pairs.target_size, config.trim, config.input_trim)
    config = replace(
        config,
        border=geometry.border() if config.border is None else config.border,
        input_trim=geometry.input_trim,
        learning_rate=config.learning_rate or MODELS[config.model].learning_rate,
    )
    folder, free = data / "models" / name, memory.free()
    if config.tensorboard and any("\udc80" <= character <= "\udcff" for character in str(folder)):
        raise OptionError(f"tensorboard: {folder} is not UTF-8, expected a name that is, as TensorBoard takes no other")
    facts, white = facts_of(pairs, geometry), pairs.input_white or 1
    with precision(config.precision), lock.held(folder) if folder.is_dir() else contextlib.nullcontext():
        stamp = stamp_of(folder)
        network = last_network(folder, config, facts)
        before = config_of(network.settings) if network else {}
        config = replace(config, tile=geometry.tile(config.tile), border=geometry.border(config.border))
        if config.black_level != "edge" and config.black_level > white:
            raise OptionError(
                f"black-level is {config.black_level}, expected at most the white of the input frames, {white}"
            )
        if network is None:
            network = _new_network(config, facts | {"levels": levels_of(pairs)})
        if config.batch == "auto":
            tiles = count_tiles(pairs, geometry, config)
            config = replace(config, batch=before.get("batch") or memory.largest_batch(network, config.tile, tiles))
    trained = network.settings["trained"]
    done = trained["epoch"]
    # A run that did not come to its end goes on to that; but for that, minutes and more epochs count from now.
    cut = trained.get("under_way") or {"more_epochs": None, "seconds": 0.0}
    if more_epochs is not None:
        epochs = before["epochs"] if more_epochs == cut["more_epochs"] else done + more_epochs
        config = replace(config, epochs=epochs)
    elif config.epochs == before.get("epochs"):
        more_epochs = cut["more_epochs"]
    seconds = cut["seconds"] if config.minutes == before.get("minutes") else 0.0
    trained["under_way"] = {"more_epochs": more_epochs, "seconds": seconds}
    network.settings.update(asdict(config), border=[config.border, config.border])
    order = _order(config, count_tiles(pairs, geometry, config))
    if trained.get("order") != order:  # then the steps of an epoch under way were others
        trained.update(step=0, loss=None, order=order)
    judged = geometry_of(Upscaler(network), validation)
    if done >= config.epochs:
        raise OptionError(
            f"{folder}: {done} epochs are done, and {config.epochs} in all were asked for; go on with --more-epochs"
        )
    notes = _judge_anew(folder, trained, validation, judged, data / "cache")
    if note := seen_note(pairs, validation, seen(pairs, validation, data / "cache")):
        notes.append(note)
    if out_of_patience(trained, config):
        raise OptionError(
            f"{folder}: no gain since epoch {trained['best_epoch']} of {done}, and patience is {config.patience}; go on"
            " with a larger --patience"
        )
    folder.mkdir(parents=True, exist_ok=True)
    check_room(folder, network)
    return Run(folder, data / "cache", config, pairs, validation, geometry, network, free, before, notes, stamp)


def _order(config, tiles):
    """What the order of the tiles depends on."""
    names = ("batch", "tile", "trim", "quality", "jitter", "skip", "shuffle", "augment", "seed")
    return {name: plain(getattr(config, name)) for name in names} | {"tiles": tiles}


def _new_network(config, facts):
    keras.utils.set_random_seed(config.seed)
    trained = {"epoch": 0, "step": 0, "loss": None, "steps": 0, "best_psnr": None, "best_epoch": None, "history": []}
    network = Network(asdict(config) | facts | {"border": [config.border, config.border], "trained": trained})
    average = {"use_ema": True, "ema_momentum": config.ema} if config.ema is not None else {}
    network.compile(keras.optimizers.Adam(config.learning_rate, **average), MODELS[config.model].loss)
    return network


def _judge_anew(folder, trained, validation, geometry, cache):
    """Forget the best epoch where it says nothing any more; gives a line on it, in a list."""
    digests = contents([*validation.inputs, *validation.targets], cache)
    frames_now = sorted(zip(digests[: len(validation)], digests[len(validation) :], strict=True))
    now = hashlib.blake2b(repr(frames_now).encode(), digest_size=16).hexdigest()
    before, trained["validation"] = trained.get("validation"), now
    if before != now:
        check_finite(validation, geometry)
    if trained["best_epoch"] is None:
        return []
    if before != now:
        why = "was not found on the validation frames that are here now"
    elif saved_settings(folder / "best.keras") is None:
        why = "is gone: best.keras is missing or damaged"
    else:
        return []
    note = f"the best so far (epoch {trained['best_epoch']}, {trained['best_psnr']:.2f} dB) {why}"
    trained.update(best_psnr=None, best_epoch=None)
    return [f"{note}; best and patience begin anew"]


def check_finite(pairs, geometry, numbers=None):
    """Raise DataError where a frame, of those with these numbers or all, holds floats that are no numbers."""
    sides = (
        (pairs.inputs, pairs.input_white, geometry.input_trim),
        (pairs.targets, pairs.target_white, geometry.trim),
    )
    for paths, white, trim in sides:
        if white is None:
            paths = paths if numbers is None else [paths[number] for number in numbers]
            for path, frame in frames.stream(paths, "float32"):
                frames.refuse_nan(path, crop(frame, trim))
