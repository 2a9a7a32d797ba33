"""Train, and carry on: a run lives in one folder, and the same command goes on where it ended."""

import csv
import json
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from math import cos, pi
from pathlib import Path

import keras
import numpy as np

from fastup._tiles import kept
from fastup.errors import DataError, OptionError
from fastup.frames import is_dpx, whole
from fastup.header import Header
from fastup.train.batches import TileBatches, steps_of
from fastup.train.config import Config
from fastup.train.evaluate import bounded, compare, geometry_of
from fastup.train.metrics import psnr
from fastup.train.models import MODELS, Network
from fastup.train.pairs import Geometry, Pairs, find_pairs, tile_index
from fastup.train.upscale import Upscaler, fill_of, load

# What a model computes depends on these, so that a run cannot go on under others.
FIXED = ("model", "residual", "border", "trim", "input_trim", "black_level")


@dataclass
class Run:
    """A training run, checked and ready: see `prepare` and `fit`."""

    folder: Path
    config: Config  # with everything filled in
    pairs: Pairs
    validation: Pairs
    geometry: Geometry
    network: Network
    epochs: int  # in all

    @property
    def tiles(self):
        """How many tiles are trained on."""
        config = self.config
        _, grid = self.geometry.grids(config.tile, config.border, config.jitter)
        return len(self.pairs) * kept(config.quality, int(grid.inside.sum()))

    @property
    def steps(self):
        """Steps of an epoch; a last batch that is not full is left out."""
        return steps_of(self.tiles, self.config.batch, self.config.skip)

    @property
    def state(self):
        """Progress: epochs and steps done, the best epoch and its PSNR, and the history, one dictionary an epoch."""
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
        Holds train/ and validation/, each with Alpha/ and Beta/. The run lives in data/models/NAME.
    config : Config
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
    pairs, validation = find_pairs(data / "train"), find_pairs(data / "validation")
    for path in (*pairs.inputs, *pairs.targets):
        if not is_dpx(path):
            raise DataError(f"{path}: training reads its tiles from DPX alone, expected a name that ends in .dpx")
    geometry = Geometry.of(pairs.input_size, pairs.target_size, config.trim, config.input_trim)
    config = replace(
        config,
        tile=geometry.tile(config.tile),
        border=geometry.border(config.border),
        input_trim=geometry.input_trim,
        learning_rate=config.learning_rate or MODELS[config.model].learning_rate,
    )
    if config.black_level != "edge" and config.black_level > pairs.input_white:
        raise OptionError(
            f"black-level is {config.black_level}, expected at most the white of the input frames, {pairs.input_white}"
        )
    folder = data / "models" / name
    if (folder / "last.keras").exists():
        network = load(folder / "last.keras")
        _check_same(folder, network, config, geometry)
        network.settings.update(asdict(config))
    else:
        network = _new_network(config, pairs, geometry)
    network.settings["border"] = [config.border, config.border]
    geometry_of(Upscaler(network), validation)
    done = network.settings["trained"]["epoch"]
    epochs = config.epochs if more_epochs is None else done + more_epochs
    if done >= epochs:
        raise OptionError(
            f"{folder}: {done} epochs are done, and {epochs} in all were asked for; go on with --more-epochs"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):  # better no room to write now than after an epoch
        pass
    return Run(folder, config, pairs, validation, geometry, network, epochs)


def fit(run, on_step=None, on_epoch=None, on_index=None):
    """Train a run to its end, and after each epoch validate and save.

    The folder gets ``last.keras`` and ``best.keras``, ``state.json`` and ``history.csv``, each whole. KeyboardInterrupt
    passes through; the epoch under way is lost, and no other.

    Parameters
    ----------
    on_step : callable, optional
        Called a few times a second with a `Step`.
    on_epoch : callable, optional
        Called after each epoch with its history, a dictionary.
    on_index : callable, optional
        Called with (frames done, frames) while tiles are ranked.
    """
    config = run.config
    grids = run.geometry.grids(config.tile, config.border, config.jitter)
    index = tile_index(run.pairs, run.geometry, grids[1], config.quality, on_index)
    batches = TileBatches(
        run.pairs, run.geometry, grids, index, fill=fill_of(run.network.settings), batch=config.batch,
        seed=config.seed, shuffle=config.shuffle, skip=config.skip, epoch=run.state["epoch"],
    )  # fmt: skip
    # Builds the loss. Keras would else take batches for that, on JAX and PyTorch, and train on them again.
    run.network.compute_loss(y=np.zeros((1, 1, 1, 3), np.float32), y_pred=np.zeros((1, 1, 1, 3), np.float32))
    watch = _Watch(run, batches, on_step, on_epoch)
    try:
        run.network.fit(
            batches, epochs=run.epochs, initial_epoch=run.state["epoch"], shuffle=False, verbose=0, callbacks=[watch]
        )
    except Exception:
        if batches.error is not None:
            raise batches.error from None
        raise


class _Watch(keras.callbacks.Callback):
    """Sets the learning rate, keeps time, and validates and saves after each epoch."""

    def __init__(self, run, batches, on_step, on_epoch):
        super().__init__()
        self.run, self.batches, self.on_step, self.on_epoch = run, batches, on_step, on_epoch
        self.limit = run.config.minutes * 60 if run.config.minutes else None
        self.reported = 0.0

    def on_train_begin(self, logs=None):
        self.begun = time.perf_counter()

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.begin(epoch)
        self.epoch, self.steps = epoch, len(self.batches)
        self.epoch_begun = self.step_ended = time.perf_counter()
        self.waited, self.step = 0.0, 0

    def on_train_batch_begin(self, batch, logs=None):
        # A cosine from the full rate to nothing at the end of the run, be that an epoch or a time.
        progress = min(self._progress(), 1)
        self.rate = self.run.config.learning_rate * (1 + cos(pi * progress)) / 2
        self.model.optimizer.learning_rate = self.rate

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        # The step could begin when the one before had ended; the time from then until its data was there is lost.
        self.waited += min(max(self.batches.ready[batch] - self.step_ended, 0), now - self.step_ended)
        self.step_ended, self.step = now, batch + 1
        self._stop_in_time()
        if now - self.reported > 0.25:
            self.reported = now
            where = self._where(logs)
            if self.on_step is not None:
                self.on_step(where)

    def on_epoch_end(self, epoch, logs=None):
        where = self._where(logs)
        ours, bicubic = self._validate()
        state = self.run.state
        row = {
            "epoch": epoch + 1,
            "steps": self.step,
            "loss": where.loss,
            "psnr": ours,
            "psnr_bicubic": bicubic,
            "learning_rate": self.rate,
            "tiles_per_second": where.tiles_per_second,
            "waiting": where.waiting,
            "seconds": time.perf_counter() - self.epoch_begun,
        }
        state["epoch"] = epoch + 1
        state["steps"] += self.step
        state["history"].append(row)
        best = state["best_psnr"] is None or ours > state["best_psnr"]
        if best:
            state["best_psnr"], state["best_epoch"] = ours, epoch + 1
        _save(self.run, best)
        if self.on_epoch is not None:
            self.on_epoch(row)
        self._stop_in_time()  # validation takes its time, too

    def _stop_in_time(self):
        if self.limit is not None and time.perf_counter() - self.begun >= self.limit:
            self.model.stop_training = True

    def _progress(self):
        """How much of the run is done, 0 to 1, by its nearer end."""
        progress = (self.epoch + self.step / self.steps) / self.run.epochs
        if self.limit is not None:
            progress = max(progress, (time.perf_counter() - self.begun) / self.limit)
        return progress

    def _where(self, logs):
        loss = float(logs["loss"])  # the mean of the epoch so far
        if not np.isfinite(loss):
            raise DataError(
                f"{self.run.folder}: the loss is {loss} in epoch {self.epoch + 1}; try a lower learning rate"
            )
        elapsed = self.step_ended - self.epoch_begun
        speed = self.step / elapsed
        left = (self.run.epochs - self.epoch) * self.steps / speed - elapsed
        if self.limit is not None:
            left = min(left, self.limit - (self.step_ended - self.begun))
        return Step(
            self.epoch + 1, self.step, self.steps, loss, speed * self.batches.batch, self.waited / elapsed, max(left, 0)
        )

    def _validate(self):
        """Mean PSNR of the model and of bicubic over the whole validation frames, in dB."""
        upscaler, pairs = Upscaler(self.model), self.run.validation
        scores = [
            (bounded(psnr(ours, target)), bounded(psnr(bicubic, target)))
            for _, ours, bicubic, target in compare(upscaler, pairs, geometry_of(upscaler, pairs))
        ]
        return (float(mean) for mean in np.mean(scores, axis=0))


def _new_network(config, pairs, geometry):
    keras.utils.set_random_seed(config.seed)
    target = Header.read(pairs.targets[0])
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
            "trained": {"epoch": 0, "steps": 0, "best_psnr": None, "best_epoch": None, "history": []},
        }
    )
    network.compile(optimizer=keras.optimizers.Adam(config.learning_rate), loss=MODELS[config.model].loss)
    return network


def _check_same(folder, network, config, geometry):
    """A run goes on only under the settings that its model was built for."""
    before = network.settings
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


def _save(run, best):
    """Best first, then last: a run killed in between repeats the epoch, and saves both again."""
    if best:
        with whole(run.folder / "best.keras") as part:
            run.network.save(part)
    with whole(run.folder / "last.keras") as part:
        run.network.save(part)
    state = run.state
    with whole(run.folder / "state.json") as part:
        settings = {name: value for name, value in run.network.settings.items() if name != "trained"}
        part.write_text(json.dumps({"settings": settings, **state}, indent=1) + "\n")
    with whole(run.folder / "history.csv") as part, open(part, "w", newline="") as file:
        writer = csv.DictWriter(file, state["history"][0])
        writer.writeheader()
        writer.writerows(state["history"])
