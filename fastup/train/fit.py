"""Train, and carry on: a run lives in one folder, and the same command goes on at the step where it ended."""

import contextlib
import csv
import hashlib
import json
import os
import shutil
import signal
import tempfile
import threading
import time
import zipfile
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from math import cos, pi
from pathlib import Path

import keras
import numpy as np

from fastup import frames
from fastup._tiles import kept
from fastup.codes import Colorimetric, Transfer
from fastup.errors import DataError, FastupError, OptionError
from fastup.networks import memory
from fastup.networks.models import MODELS, Network
from fastup.pairs.digests import contents
from fastup.pairs.folder import Geometry, Pairs, crop, find_sets, of_one_colour, seen, seen_note, tile_index, transcode
from fastup.train import lock
from fastup.train.batches import TileBatches, steps_of
from fastup.train.config import OPTIONS, Config
from fastup.upscale.evaluate import bounded, compare, counted, geometry_of
from fastup.upscale.metrics import mean_psnr, psnr
from fastup.upscale.upscaler import NEEDED, Upscaler, load

# What a model computes, and what its optimiser keeps, depend on these, so that a run cannot go on under others.
FIXED = ("model", "residual", "border", "trim", "input_trim", "black_level", "precision", "ema")

# The learning rate over that at the start, by how much of the run is done. Keras' own schedules count steps alone, but
# a run may also end by time, and be made longer.
SCHEDULES = {
    "cosine": lambda done: (1 + cos(pi * done)) / 2,
    "linear": lambda done: 1 - done,
    "constant": lambda done: 1.0,
}


@dataclass
class Run:
    """A training run, checked and ready: see `prepare` and `fit`."""

    folder: Path
    cache: Path  # what is made of the data, and can be made again
    config: Config  # with everything filled in
    pairs: Pairs
    validation: Pairs
    geometry: Geometry
    network: Network
    free: int | None  # bytes that the device had for training before it; None if that isn't known
    before: dict  # what the run had, if there was one: see `settings_of`
    notes: list[str]  # what should be known before it begins
    stamp: tuple | None  # of the file that it goes on from, as only that one may be written over

    @property
    def epochs(self):
        """In all, those that are done among them."""
        return self.config.epochs

    @property
    def tiles(self):
        """How many tiles are trained on."""
        config = self.config
        return _tiles(self.pairs, self.geometry, config)

    @property
    def steps(self):
        """Steps of an epoch; a last batch that is not full is left out."""
        return steps_of(self.tiles, self.config.batch, self.config.skip)

    @property
    def memory(self):
        """What a step takes, about, in bytes; see `fastup.networks.memory`."""
        return memory.of_step(self.network, self.config.batch, self.config.tile)

    @property
    def state(self):
        """Progress: epochs and steps done, the best epoch and its PSNR, and the history, one dictionary an epoch.

        ``step`` and ``loss`` are of the epoch under way: its steps that are done, and their mean. ``validation`` is a
        digest of the frames that the best epoch was found on. ``under_way`` is of a run that has not come to its end:
        what it was given as ``more_epochs``, and the ``seconds`` of its ``minutes`` that are over.
        """
        return self.network.settings["trained"]


@dataclass(frozen=True)
class Step:
    """Where a run is, for a progress line."""

    epoch: int
    step: int
    steps: int
    loss: float
    tiles_per_second: float
    waiting: float  # share of the time so far that was spent waiting for data
    seconds_left: float


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
    taken, white = _taken(pairs, geometry), pairs.input_white or 1
    with _precision(config.precision), lock.held(folder) if folder.is_dir() else contextlib.nullcontext():
        stamp = _stamp(folder)
        network = _last_network(folder, config, taken)
        before = _given(network.settings) if network else {}
        config = replace(config, tile=geometry.tile(config.tile), border=geometry.border(config.border))
        if config.black_level != "edge" and config.black_level > white:
            raise OptionError(
                f"black-level is {config.black_level}, expected at most the white of the input frames, {white}"
            )
        if network is None:
            network = _new_network(config, taken | {"levels": _levels(pairs)})
        if config.batch == "auto":
            tiles = _tiles(pairs, geometry, config)
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
    order = _order(config, _tiles(pairs, geometry, config))
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
    if _out_of_patience(trained, config):
        raise OptionError(
            f"{folder}: no gain since epoch {trained['best_epoch']} of {done}, and patience is {config.patience}; go on"
            " with a larger --patience"
        )
    folder.mkdir(parents=True, exist_ok=True)
    _check_room(folder, network)
    return Run(folder, data / "cache", config, pairs, validation, geometry, network, free, before, notes, stamp)


def settings_of(folder):
    """What the run in a folder has, as fields of `Config`, for what a start of it again is not given; empty if none.

    `minutes` is left out where they are over.
    """
    saved = _saved(Path(folder) / "last.keras")
    if saved is None:
        return {}
    given = _given(saved)
    if not saved["trained"].get("under_way"):
        del given["minutes"]
    return given


def fit(run, on_step=None, on_epoch=None, on_index=None):
    """Train a run to its end; after each epoch validate and save, and save in between every `checkpoint_minutes`.

    The folder gets ``last.keras`` and ``best.keras``, ``state.json`` and ``history.csv``, each whole. SIGINT (Ctrl-C)
    and SIGTERM end it with a KeyboardInterrupt after the step under way, which is saved; a second one ends it at once.

    Parameters
    ----------
    on_step : callable, optional
        Called a few times a second with a `Step`.
    on_epoch : callable, optional
        Called after each epoch with its history, a dictionary.
    on_index : callable, optional
        Called with (frames done, frames, what) while frames are transcoded or tiles ranked.
    """
    with lock.held(run.folder):
        if _stamp(run.folder) != run.stamp:
            raise FastupError(
                f"{run.folder}: another run has trained here meanwhile; the same command goes on from there"
            )
        _fit(run, on_step, on_epoch, on_index or (lambda *_: None))


def _fit(run, on_step, on_epoch, report):
    config = run.config
    pairs = transcode(run.pairs, run.cache, lambda *count: report(*count, "transcoding"))
    grids = run.geometry.grids(config.tile, config.border, config.jitter)
    index = tile_index(
        pairs, run.geometry, grids[1], config.quality, run.cache, lambda *count: report(*count, "ranking tiles")
    )
    batches = TileBatches(
        pairs, run.geometry, grids, index, fill=config.black_level, batch=config.batch, seed=config.seed,
        shuffle=config.shuffle, skip=config.skip, augment=config.augment, threads=config.threads,
    )  # fmt: skip
    batches.begin(run.state["epoch"], run.state["step"])
    # Builds the loss. Keras would else take batches for that, on JAX and PyTorch, and train on them again.
    run.network.compute_loss(y=np.zeros((1, 1, 1, 3), np.float32), y_pred=np.zeros((1, 1, 1, 3), np.float32))
    watch = _Watch(run, batches, on_step, on_epoch)
    callbacks = [watch]
    if config.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(run.folder / "tensorboard", write_graph=False))
    with _precision(config.precision), _asked_to_stop(watch):
        run.network.stop_training = False
        if run.state["step"] == len(batches):  # it was stopped while it validated
            watch.finish_epoch()
        try:
            if run.state["step"]:  # the rest of an epoch is a training of its own to Keras
                _fit_epochs(run, batches, callbacks, run.state["epoch"] + 1)
            over = run.network.stop_training or _out_of_patience(run.state, config)
            if run.state["epoch"] < run.epochs and not over:
                _fit_epochs(run, batches, callbacks, run.epochs)
        except Exception:
            if batches.error is not None:
                raise batches.error from None
            raise
        finally:
            batches.close()
        if run.state["under_way"]:  # the last moments of its minutes went by after it was saved
            run.state["under_way"] = None
            _save(run, "last")


def _out_of_patience(state, config):
    """Whether so many epochs gained nothing. Keras' own callback forgets them when a run carries on."""
    since = state["epoch"] - (state["best_epoch"] or state["epoch"])
    return config.patience is not None and since >= config.patience


def _fit_epochs(run, batches, callbacks, last):
    run.network.fit(
        batches, epochs=last, initial_epoch=run.state["epoch"], shuffle=False, verbose=0, callbacks=callbacks
    )
    if run.config.ema is not None:  # Keras leaves the averages in their place
        run.network.set_weights(callbacks[0].weights)


@contextlib.contextmanager
def _precision(name):
    """Layers that are made in this context compute in `name`; their weights stay float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32" if name == "float32" else f"mixed_{name}")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextlib.contextmanager
def _asked_to_stop(watch):
    """In this context SIGINT and SIGTERM ask the run to end after the step under way; a second one ends it at once."""

    def ask(*_):
        if watch.asked:
            raise KeyboardInterrupt
        watch.asked = True

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Watch(keras.callbacks.Callback):
    """Sets the learning rate, keeps time, saves, and validates after each epoch."""

    def __init__(self, run, batches, on_step, on_epoch):
        super().__init__()
        self.run, self.batches, self.on_step, self.on_epoch = run, batches, on_step, on_epoch
        self.limit = run.config.minutes * 60 if run.config.minutes else None
        self.schedule = SCHEDULES[run.config.schedule]
        self.asked = False  # to stop
        self.reported = 0.0
        self.saved = time.perf_counter()
        self.begun = self.saved - run.state["under_way"]["seconds"]
        self.on_epoch_begin(run.state["epoch"])

    def on_epoch_begin(self, epoch, logs=None):
        state = self.run.state
        self.epoch, self.steps = epoch, len(self.batches)
        self.before, self.loss_before = state["step"], state["loss"] or 0.0  # of this epoch, in a run before
        self.step, self.losses = max(self.before - 1, 0), []
        self.rate = self._rate()  # of the step before
        self.step = self.before
        self.batches.begin(epoch, self.before)
        self.epoch_begun = self.step_ended = time.perf_counter()
        self.waited = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self.rate = self._rate()
        self.model.optimizer.learning_rate = self.rate

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        # The step could begin when the one before had ended; the time from then until its data was there is lost. The
        # first one asks later, as it is compiled before.
        asked, ready = self.batches.times[batch]
        self.waited += min(max(ready - max(asked, self.step_ended), 0), now - self.step_ended)
        self.step_ended, self.step = now, self.step + 1
        self.losses.append(logs["loss"])  # not looked at yet: that would wait for the device
        if self._out_of_time() or (self.before and self.step == self.steps):
            self.model.stop_training = True
        if now - self.reported > 0.25:
            self.reported = now
            where = self._where()
            if self.on_step is not None:
                self.on_step(where)
        due = now - self.saved > self.run.config.checkpoint_minutes * 60 and self.step < self.steps
        if self.asked or due:
            self.model  # noqa: B018  on JAX, asking for it brings the weights back to it
            self._checkpoint()
        if self.asked:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        self.model  # noqa: B018  as above
        row = self.finish_epoch()
        logs["val_psnr"] = row["psnr"]
        self.model.stop_training = self._is_over()  # validation takes its time, too

    def finish_epoch(self):
        """Validate, and save the epoch. Returns its row of the history."""
        where, state = self._where(), self.run.state
        with self._averaged():
            scores = self._validate()
        if scores is None:
            self._checkpoint()
            raise KeyboardInterrupt
        ours, bicubic = scores
        if not np.isfinite(ours):
            _check_finite(self.run.validation, self.run.geometry)
            raise self._diverged(f"the validation PSNR is {ours} after epoch {self.epoch + 1}")
        row = {
            "epoch": self.epoch + 1,
            "steps": self.step,
            "loss": where.loss,
            "psnr": ours,
            "psnr_bicubic": bicubic,
            "learning_rate": self.rate,
            "tiles_per_second": where.tiles_per_second,
            "waiting": where.waiting,
            "seconds": time.perf_counter() - self.epoch_begun,
        }
        state.update(epoch=self.epoch + 1, steps=state["steps"] + self.step - state["step"], step=0, loss=None)
        state["history"].append(row)
        gain = state["best_psnr"] is None or ours > state["best_psnr"]
        if gain:
            state.update(best_psnr=ours, best_epoch=self.epoch + 1)
        self._note_time()
        if self._is_over():
            state["under_way"] = None
        # Best first, then last: a run killed in between goes on from before, and saves both again.
        if gain:
            with self._averaged():
                _save(self.run, "best")
        _save(self.run, "last")
        self.saved = time.perf_counter()
        if self.on_epoch is not None:
            self.on_epoch(row)
        return row

    def _checkpoint(self):
        """Save where the epoch is, so that another run goes on from there."""
        state, loss = self.run.state, self._where().loss
        if not all(np.isfinite(weight).all() for weight in self.run.network.get_weights()):
            raise self._diverged(f"weights are no numbers after step {self.step} of epoch {self.epoch + 1}")
        state.update(loss=loss, steps=state["steps"] + self.step - state["step"], step=self.step)
        self._note_time()
        _save(self.run, "last")
        self.saved = time.perf_counter()

    @contextlib.contextmanager
    def _averaged(self):
        """The model has its averaged weights in this context, if it keeps them."""
        network = self.run.network
        self.weights = network.get_weights()
        if self.run.config.ema is not None:
            network.optimizer.finalize_variable_values(network.trainable_variables)
            network.set_weights(network.get_weights())  # on JAX a weight and its average would be one array
        try:
            yield
        finally:
            if self.run.config.ema is not None:
                network.set_weights(self.weights)

    def _note_time(self):
        self.run.state["under_way"]["seconds"] = time.perf_counter() - self.begun

    def _is_over(self):
        run = self.run
        return run.state["epoch"] >= run.epochs or self._out_of_time() or _out_of_patience(run.state, run.config)

    def _out_of_time(self):
        return self.limit is not None and time.perf_counter() - self.begun >= self.limit

    def _rate(self):
        """The learning rate of the next step, by how near the end of the run is, be that an epoch or a time."""
        progress = (self.epoch + self.step / self.steps) / self.run.epochs
        if self.limit is not None:
            progress = max(progress, (time.perf_counter() - self.begun) / self.limit)
        return self.run.config.learning_rate * self.schedule(min(progress, 1))

    def _where(self):
        """Looks at the losses since the last time. Each is the mean of the epoch so far, in this run."""
        done = self.step - self.before
        loss = self.loss_before
        if self.losses:
            last = float(self.losses[-1])
            if not np.isfinite(last):
                first = next(i for i, value in enumerate(self.losses) if not np.isfinite(float(value)))
                step = self.step - len(self.losses) + first + 1
                _check_finite(self.run.pairs, self.run.geometry, self.batches.frames_of(self.epoch, step - 1))
                raise self._diverged(f"the loss is {last} at step {step} of epoch {self.epoch + 1}")
            self.losses = self.losses[-1:]
            loss = (loss * self.before + last * done) / self.step
        elapsed = max(self.step_ended - self.epoch_begun, 1e-9)
        speed = max(done, 1) / elapsed
        left = ((self.run.epochs - self.epoch) * self.steps - self.step) / speed
        if self.limit is not None:
            left = min(left, self.limit - (self.step_ended - self.begun))
        return Step(
            self.epoch + 1, self.step, self.steps, loss, done / elapsed * self.batches.batch,
            min(self.waited / elapsed, 1.0), max(left, 0),
        )  # fmt: skip

    def _diverged(self, what):
        return DataError(
            f"{self.run.folder}: {what}; what was saved before is still there; try a lower --learning-rate"
        )

    def _validate(self):
        """PSNR of the model and of bicubic over whole validation frames, as `evaluate.mean`; None if asked to stop."""
        upscaler, pairs = Upscaler(self.run.network), self.run.validation
        scores, flat = [], []
        for _, ours, bicubic, target in compare(upscaler, pairs, geometry_of(upscaler, pairs)):
            scores.append((bounded(psnr(ours, target)), bounded(psnr(bicubic, target))))
            flat.append(of_one_colour(target))
            if self.asked:
                return None
        return [bounded(mean_psnr(values)) for values in zip(*counted(scores, flat), strict=True)]


def _tiles(pairs, geometry, config):
    _, grid = geometry.grids(config.tile, config.border, config.jitter)
    return len(pairs) * kept(config.quality, int(grid.inside.sum()))


def _order(config, tiles):
    """What the order of the tiles depends on."""
    names = ("batch", "tile", "trim", "quality", "jitter", "skip", "shuffle", "augment", "seed")
    return {name: _plain(getattr(config, name)) for name in names} | {"tiles": tiles}


def _taken(pairs, geometry):
    """What the settings of a model take from the frames to train on; a run goes on with frames of the same alone."""
    source, target = (frames.read_header(paths[0]) for paths in (pairs.inputs, pairs.targets))
    return {
        "scale": [list(factor.as_integer_ratio()) for factor in geometry.scale],
        "input_white": pairs.input_white,
        "input_transfer": None if source.transfer is None else int(source.transfer),
        "target_white": pairs.target_white,
        "pixel_aspect": list((target.pixel_aspect or Fraction(1)).as_integer_ratio()),
        "transfer": None if target.transfer is None else int(target.transfer),
        "colorimetric": None if target.colorimetric is None else int(target.colorimetric),
    }


def _levels(pairs):
    """What the targets say of black and white: it goes with their transfer."""
    target = frames.read_header(pairs.targets[0])
    return {name: getattr(target, name) for name in ("low_code", "low_quantity", "high_code", "high_quantity")}


def _new_network(config, taken):
    keras.utils.set_random_seed(config.seed)
    trained = {"epoch": 0, "step": 0, "loss": None, "steps": 0, "best_psnr": None, "best_epoch": None, "history": []}
    network = Network(asdict(config) | taken | {"border": [config.border, config.border], "trained": trained})
    average = {"use_ema": True, "ema_momentum": config.ema} if config.ema is not None else {}
    network.compile(keras.optimizers.Adam(config.learning_rate, **average), MODELS[config.model].loss)
    return network


def _last_network(folder, config, taken):
    """The model that the run in a folder goes on with; None if there is no run, an error if it cannot go on."""
    last = folder / "last.keras"
    if not last.exists():
        left = [name for name in ("best.keras", "state.json", "history.csv") if (folder / name).exists()]
        if left:
            raise FastupError(
                f"{last}: gone, and a new run would write over what is left of its run, {', '.join(left)}; "
                f"{_way_out(folder)}"
            )
        return None
    saved = _saved(last)
    if saved is not None:
        _check_same(folder, saved, config, taken)
    try:
        return load(last)
    except FastupError as error:
        raise FastupError(f"{error}; {_way_out(folder)}") from error


def _way_out(folder):
    best = _saved(folder / "best.keras")
    copy = (
        f"copy best.keras, of epoch {best['trained']['epoch']}, to last.keras to go on from there, or " if best else ""
    )
    return f"{copy}give the new run another --name"


def _saved(path):
    """The settings of a model that `fastup train` wrote, read without Keras; None if it is missing or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            settings = json.loads(archive.read("config.json"))["config"]["settings"]
            whole = archive.testzip() is None
        return settings if whole and settings.keys() >= {*NEEDED, "trained"} else None
    except Exception:  # damage shows anywhere
        return None


def _given(settings):
    """The fields of `Config` among a model's settings."""
    given = {name: settings[name] for name in OPTIONS.values() if name in settings}
    trims = {name: tuple(given[name]) for name in ("trim", "input_trim")}
    return given | trims | {"border": given["border"][0]}


def _check_same(folder, before, config, taken):
    """A run goes on only under the settings that its model was built for, and on frames like those that it had."""
    ours, was = asdict(config), asdict(Config()) | _given(before)
    pairs = {name: (_plain(ours[name]), _plain(was[name])) for name in FIXED}
    options = [f"{name.replace('_', '-')} {new} (was {old})" for name, (new, old) in pairs.items() if new != old]
    # Older runs do not have all of it.
    pairs = {name: (_fact(name, new), _fact(name, before[name])) for name, new in taken.items() if name in before}
    found = [f"{name.replace('_', ' ')} {new} (was {old})" for name, (new, old) in pairs.items() if new != old]
    if options or found:
        raise (OptionError if options else DataError)(
            f"{folder}: a run with other {'settings' if options else 'frames'} is here: {', '.join(options + found)}; "
            "give the new run another --name"
        )


def _fact(name, value):
    """What was taken from frames, for people."""
    if name == "scale":
        return " x ".join(str(Fraction(*factor)) for factor in value)
    if name == "pixel_aspect":
        return str(Fraction(*value))
    if value is None:
        return "none: floats" if name.endswith("white") else "not said"
    kinds = {"input_transfer": Transfer, "transfer": Transfer, "colorimetric": Colorimetric}
    return getattr(kinds[name].of(value), "text", str(value)) if name in kinds else str(value)


def _judge_anew(folder, trained, validation, geometry, cache):
    """Forget the best epoch where it says nothing any more; gives a line on it, in a list."""
    digests = contents([*validation.inputs, *validation.targets], cache)
    frames_now = sorted(zip(digests[: len(validation)], digests[len(validation) :], strict=True))
    now = hashlib.blake2b(repr(frames_now).encode(), digest_size=16).hexdigest()
    before, trained["validation"] = trained.get("validation"), now
    if before != now:
        _check_finite(validation, geometry)
    if trained["best_epoch"] is None:
        return []
    if before != now:
        why = "was not found on the validation frames that are here now"
    elif _saved(folder / "best.keras") is None:
        why = "is gone: best.keras is missing or damaged"
    else:
        return []
    note = f"the best so far (epoch {trained['best_epoch']}, {trained['best_psnr']:.2f} dB) {why}"
    trained.update(best_psnr=None, best_epoch=None)
    return [f"{note}; best and patience begin anew"]


def _check_finite(pairs, geometry, numbers=None):
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


def _check_room(folder, network):
    """Better no room to write now than after an epoch."""
    with tempfile.TemporaryFile(dir=folder):
        pass
    # For two models: the best and the last, or a new one and the old. Each has its weights, their moments and average.
    size = 4 * network.count_params() * (4 if network.optimizer.use_ema else 3) + 2**20
    total, _, free = shutil.disk_usage(folder)
    if total and free < 2 * size:  # some file systems say nothing
        needed = 2 * size / 2**20
        raise FastupError(
            f"{folder}: {free / 2**20:.0f} MiB are free on its disk, expected {needed:.0f} for the models to save"
        )


def _stamp(folder):
    """What tells the last model in a folder from any other; None if there is none."""
    try:
        stat = os.stat(folder / "last.keras")
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def _save(run, name):
    """Save the model as `name`; after the last one also what people and scripts read."""
    with frames.whole(run.folder / f"{name}.keras") as part:
        run.network.save(part)
    state = run.state
    if name != "last":
        return
    run.stamp = _stamp(run.folder)
    with frames.whole(run.folder / "state.json") as part:
        settings = {name: value for name, value in run.network.settings.items() if name != "trained"}
        part.write_text(json.dumps({"settings": settings, **state}, indent=1) + "\n")
    if state["history"]:
        with frames.whole(run.folder / "history.csv") as part, open(part, "w", newline="") as file:
            writer = csv.DictWriter(file, state["history"][0])
            writer.writeheader()
            writer.writerows(state["history"])
