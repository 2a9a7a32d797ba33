"""Train, and carry on: a run lives in one folder, and the same command goes on at the step where it ended."""

import contextlib
import csv
import json
import signal
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from math import cos, pi
from pathlib import Path

import keras
import numpy as np

from fastup import frames
from fastup._tiles import kept
from fastup.errors import DataError, OptionError
from fastup.train import memory
from fastup.train.batches import TileBatches, steps_of
from fastup.train.config import Config
from fastup.train.evaluate import bounded, compare, geometry_of, of_one_colour
from fastup.train.metrics import mean_psnr, psnr
from fastup.train.models import MODELS, Network
from fastup.train.pairs import Geometry, Pairs, find_sets, tile_index, transcode
from fastup.train.upscale import Upscaler, load

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
    epochs: int  # in all
    free: int | None  # bytes that the device had for training before it; None if that isn't known

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
        """What a step takes, about, in bytes; see `fastup.train.memory`."""
        return memory.of_step(self.network, self.config.batch, self.config.tile)

    @property
    def state(self):
        """Progress: epochs and steps done, the best epoch and its PSNR, and the history, one dictionary an epoch.

        ``step`` and ``loss`` are of the epoch under way: its steps that are done, and their mean.
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
        tile=geometry.tile(config.tile),
        border=geometry.border(config.border),
        input_trim=geometry.input_trim,
        learning_rate=config.learning_rate or MODELS[config.model].learning_rate,
    )
    white = pairs.input_white or 1
    if config.black_level != "edge" and config.black_level > white:
        raise OptionError(
            f"black-level is {config.black_level}, expected at most the white of the input frames, {white}"
        )
    folder, free = data / "models" / name, memory.free()
    if config.tensorboard and any("\udc80" <= character <= "\udcff" for character in str(folder)):
        raise OptionError(f"tensorboard: {folder} is not UTF-8, expected a name that is, as TensorBoard takes no other")
    with _precision(config.precision):
        if (folder / "last.keras").exists():
            network = load(folder / "last.keras")
            _check_same(folder, network, config, geometry)
            if config.batch == "auto":
                config = replace(config, batch=network.settings["batch"])
        else:
            network = _new_network(config, pairs, geometry)
            if config.batch == "auto":
                config = replace(
                    config, batch=memory.largest_batch(network, config.tile, _tiles(pairs, geometry, config))
                )
    network.settings.update(asdict(config), border=[config.border, config.border])
    trained = network.settings["trained"]
    order = _order(config, _tiles(pairs, geometry, config))
    if trained.get("order") != order:  # then the steps of an epoch under way were others
        trained.update(step=0, loss=None, order=order)
    geometry_of(Upscaler(network), validation)
    done = trained["epoch"]
    epochs = config.epochs if more_epochs is None else done + more_epochs
    if done >= epochs:
        raise OptionError(
            f"{folder}: {done} epochs are done, and {epochs} in all were asked for; go on with --more-epochs"
        )
    if _out_of_patience(trained, config):
        raise OptionError(
            f"{folder}: no gain since epoch {trained['best_epoch']} of {done}, and patience is {config.patience}; go on"
            " with a larger --patience"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):  # better no room to write now than after an epoch
        pass
    return Run(folder, data / "cache", config, pairs, validation, geometry, network, epochs, free)


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
    config = run.config
    report = on_index or (lambda *_: None)
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
        self.begun = self.saved = time.perf_counter()
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
        # Validation takes its time, too.
        self.model.stop_training = self._out_of_time() or _out_of_patience(self.run.state, self.run.config)

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
        # Best first, then last: a run killed in between goes on from before, and saves both again.
        if state["best_psnr"] is None or ours > state["best_psnr"]:
            state.update(best_psnr=ours, best_epoch=self.epoch + 1)
            with self._averaged():
                _save(self.run, "best")
        _save(self.run, "last")
        self.saved = time.perf_counter()
        if self.on_epoch is not None:
            self.on_epoch(row)
        return row

    def _checkpoint(self):
        """Save where the epoch is, so that another run goes on from there."""
        state = self.run.state
        if not all(np.isfinite(weight).all() for weight in self.run.network.get_weights()):
            raise self._diverged(f"weights are no numbers after step {self.step} of epoch {self.epoch + 1}")
        state.update(loss=self._where().loss, steps=state["steps"] + self.step - state["step"], step=self.step)
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
        counted = [score for score, out in zip(scores, flat, strict=True) if not out] or scores
        return [bounded(mean_psnr(values)) for values in zip(*counted, strict=True)]


def _tiles(pairs, geometry, config):
    _, grid = geometry.grids(config.tile, config.border, config.jitter)
    return len(pairs) * kept(config.quality, int(grid.inside.sum()))


def _order(config, tiles):
    """What the order of the tiles depends on."""
    names = ("batch", "tile", "trim", "quality", "jitter", "skip", "shuffle", "augment", "seed")
    return {name: _plain(getattr(config, name)) for name in names} | {"tiles": tiles}


def _new_network(config, pairs, geometry):
    keras.utils.set_random_seed(config.seed)
    target = frames.read_header(pairs.targets[0])
    aspect = target.pixel_aspect or Fraction(1)
    network = Network(
        asdict(config)
        | {
            "scale": [list(factor.as_integer_ratio()) for factor in geometry.scale],
            "border": [config.border, config.border],
            "input_white": pairs.input_white,
            "target_white": pairs.target_white,
            "pixel_aspect": list(aspect.as_integer_ratio()),
            "transfer": None if target.transfer is None else int(target.transfer),
            "colorimetric": None if target.colorimetric is None else int(target.colorimetric),
            "trained": {
                "epoch": 0, "step": 0, "loss": None, "steps": 0, "best_psnr": None, "best_epoch": None, "history": [],
            },
        }
    )  # fmt: skip
    average = {"use_ema": True, "ema_momentum": config.ema} if config.ema is not None else {}
    network.compile(keras.optimizers.Adam(config.learning_rate, **average), MODELS[config.model].loss)
    return network


def _check_same(folder, network, config, geometry):
    """A run goes on only under the settings that its model was built for."""
    before = {**asdict(Config()), **network.settings}
    ours = asdict(config) | {"border": [config.border, config.border]}
    differ = [
        f"{n.replace('_', '-')} {_plain(ours[n])} (was {_plain(before[n])})"
        for n in FIXED
        if _plain(ours[n]) != _plain(before[n])
    ]
    if network.scale != geometry.scale:
        differ.append(f"scale {' x '.join(map(str, geometry.scale))} (was {' x '.join(map(str, network.scale))})")
    if differ:
        raise OptionError(
            f"{folder}: a run with other settings is here: {', '.join(differ)}; give the new run another --name"
        )


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def _save(run, name):
    """Save the model as `name`; after the last one also what people and scripts read."""
    with frames.whole(run.folder / f"{name}.keras") as part:
        run.network.save(part)
    state = run.state
    if name != "last":
        return
    with frames.whole(run.folder / "state.json") as part:
        settings = {name: value for name, value in run.network.settings.items() if name != "trained"}
        part.write_text(json.dumps({"settings": settings, **state}, indent=1) + "\n")
    if state["history"]:
        with frames.whole(run.folder / "history.csv") as part, open(part, "w", newline="") as file:
            writer = csv.DictWriter(file, state["history"][0])
            writer.writeheader()
            writer.writerows(state["history"])
