"""Train a run to its end: steps, validation and saves, and what ends it."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from typing import Any

import keras
import numpy as np

from fastup._types import Progress
from fastup.errors import DataError, FastupError
from fastup.footage.recipe import Recipe
from fastup.networks import devices
from fastup.networks.models import precision
from fastup.pairs.folder import of_one_colour
from fastup.pairs.index import tile_index
from fastup.pairs.levels import match_levels
from fastup.pairs.transcode import transcode
from fastup.train import lock
from fastup.train.batches import TileBatches
from fastup.train.prepare import check_finite
from fastup.train.run import Run, stamp_of
from fastup.train.spans import SpanBatches
from fastup.upscale.evaluate import bounded, compare, counted
from fastup.upscale.metrics import mean_psnr, psnr
from fastup.upscale.upscaler import Upscaler

# By the name of a schedule, the share of the first learning rate that is left where this share of the run is done.
# Keras' own schedules count steps alone, but a run may also end by time, and be made longer.
RATE_LEFT = {
    "cosine": lambda done: (1 + cos(pi * done)) / 2,
    "linear": lambda done: 1 - done,
    "constant": lambda done: 1.0,
}

SECOND_LOSS = 0.75  # of the run is done when the second of two losses takes over

# Of a run that ends by time: the least share of its minutes that steps get, and the most that it takes to validate, of
# the time since that was done last; else it is left to a later epoch.
LEAST_STEPS, MOST_VALIDATION = 0.5, 0.1


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


def fit(
    run: Run, on_step: Callable[[Step], object] | None = None,
    on_epoch: Callable[[dict[str, float]], object] | None = None, on_progress: Progress | None = None,
) -> None:  # fmt: skip
    """Train a run to its end; after each epoch validate and save, and save in between every `checkpoint_minutes`.

    A run that ends by time, `minutes`, takes them for steps and validation, that at its end included, and for saves. An
    epoch of it is not validated where that would take more than a tenth of the time since the last one was, unless it
    ends the run or `patience` needs it.

    What the run begins with is validated before the first step, as epoch 0, and is the best until an epoch beats it: a
    residual network is bicubic there.

    The folder gets ``last.keras`` and ``best.keras``, ``best.onnx``, ``state.json`` and ``history.csv``, each whole.
    SIGINT (Ctrl-C) and SIGTERM end it with a KeyboardInterrupt after the step under way, which is saved; a second one
    ends it at once.

    `on_step` is called a few times a second, `on_epoch` after each epoch with its row of the history, and `on_progress`
    while targets are matched, frames transcoded and tiles ranked, before the first step, and while it validates.
    """
    first = devices.is_first()
    with lock.held(run.folder) if first else contextlib.nullcontext():
        if first and stamp_of(run.folder) != run.stamp:
            raise FastupError(
                f"{run.folder}: another run has trained here meanwhile; the same command goes on from there"
            )
        pairs, validation = run.pairs, run.validation
        if run.config.match:
            pairs = match_levels(pairs, run.cache, on_progress)
            validation = match_levels(validation, run.cache, on_progress)
        with contextlib.closing(_batches(run, pairs, on_progress)) as batches, _board(run, validation) as board:
            _train(run, batches, _Watch(run, batches, validation, board, on_step, on_epoch, on_progress))


def _board(run, validation):
    """What writes for TensorBoard, closed at the end of its context; None where nobody asked for it."""
    if not run.config.tensorboard or not devices.is_first():
        return contextlib.nullcontext()
    from fastup.train.board import Board

    begun = bool(run.state["history"])
    return contextlib.closing(Board(run.folder / "tensorboard", validation, run.state["epoch"] + begun))


def _batches(run, pairs, on_progress):
    """The batches of a run; frames that are not DPX are transcoded first, and tiles are ranked."""
    config = run.config
    pairs = transcode(pairs, run.cache, on_progress)
    index = tile_index(pairs, config.tile, config.jitter, config.quality, run.cache, on_progress, config.edges)
    recipe = Recipe.parse(config.degrade) if config.degrade else None
    film: dict[str, Any] = {}
    if run.shots is not None:
        film = {"shots": run.shots.shots, "span": config.span, "settle": config.settle, "lookahead": config.lookahead}
        film |= {"stills": config.stills, "reverse": config.reverse}
    batches = (SpanBatches if film else TileBatches)(
        pairs, index, tile=config.tile, border=config.border, jitter=config.jitter, recipe=recipe,
        fill=config.black_level, batch=config.batch, seed=config.seed, shuffle=config.shuffle, skip=config.skip,
        augment=config.augment, swap_channels=config.swap_channels, threads=config.threads, shard=devices.share(),
        **film,
    )  # fmt: skip
    if batches.degraded is not None:
        run.network.train_on_targets(batches.degraded)
    return batches


def _train(run, batches, watch):
    """Train to the end of the run: first the rest of an epoch under way, if there is one, then whole epochs."""
    # Builds the loss. Keras would else take batches for that, on JAX and PyTorch, and train on them again.
    run.network.compute_loss(y=np.zeros((1, 1, 1, 3), np.float32), y_pred=np.zeros((1, 1, 1, 3), np.float32))
    with precision(run.config.precision), _asked_to_stop(watch):
        run.network.stop_training = False
        if not run.state["steps"] and not run.state["history"]:  # older versions began with epoch 1
            watch.validate_first()
        if run.state["step"] == len(batches):  # it was stopped while it validated
            watch.finish_epoch()
        try:
            if run.state["step"]:  # the rest of an epoch is a training of its own to Keras
                _fit_epochs(run, batches, watch, run.state["epoch"] + 1)
            over = run.network.stop_training or run.is_out_of_patience
            if run.state["epoch"] < run.config.epochs and not over:
                _fit_epochs(run, batches, watch, run.config.epochs)
        except Exception:
            if batches.error is not None:
                raise batches.error from None
            raise
        if run.state["under_way"]:  # its minutes were not over yet when it was saved, and are now
            run.state["under_way"] = None
            run.save("last")


def _fit_epochs(run, batches, watch, last):
    """Let Keras train to the end of epoch `last`."""
    first = run.state["epoch"]
    data = batches
    if keras.backend.backend() == "tensorflow":
        data = batches.as_tf_dataset(len(batches) - run.state["step"])
    run.network.fit(data, epochs=last, initial_epoch=first, shuffle=False, verbose=0, callbacks=[watch])
    if run.config.ema is not None:  # Keras leaves the averages in their place
        run.network.set_weights(watch.weights)


@contextlib.contextmanager
def _asked_to_stop(watch):
    """In this context SIGINT and SIGTERM ask the run to end after the step under way; a second one ends it at once."""

    def ask(*_):
        if watch.asked:
            raise KeyboardInterrupt
        watch.asked = True

    with contextlib.ExitStack() as restored:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    restored.callback(signal.signal, number, signal.signal(number, ask))
        yield


class _Watch(keras.callbacks.Callback):
    """Sets the learning rate, keeps time, saves, and validates after each epoch."""

    def __init__(self, run, batches, validation, board, on_step, on_epoch, on_progress):
        super().__init__()
        self.run, self.batches, self.validation, self.board = run, batches, validation, board
        calls = on_step, on_epoch, on_progress
        self.on_step, self.on_epoch, self.on_progress = (call or (lambda *_: None) for call in calls)
        self.limit = run.config.minutes * 60 if run.config.minutes else None
        self.over = False  # the minutes are, but for the last validation
        self.cost = 0.0  # seconds that it takes to validate
        self.rate_left = RATE_LEFT[run.config.schedule]
        self.asked = False  # to stop
        self.second = False  # whether the second loss has taken over
        self.reported = 0.0
        self.saved = time.perf_counter()
        self.begun = self.saved - run.state["under_way"]["seconds"]
        self.beside = run.state["under_way"].get("beside", 0.0)  # seconds that were not for steps
        self.paused: float | None = None  # since when it is not at steps
        self.validated = self.saved
        self.on_epoch_begin(run.state["epoch"])

    def on_epoch_begin(self, epoch, logs=None):
        state = self.run.state
        self.epoch, self.steps = epoch, len(self.batches)
        # Of this epoch, by a run that was interrupted in it.
        self.steps_before, self.loss_before = state["step"], state["loss"] or 0.0
        self.step, self.losses = max(self.steps_before - 1, 0), []
        self.rate = self._rate()  # of the step before
        self.step = self.steps_before
        self.batches.begin(epoch, self.steps_before)
        self.epoch_begun = self.step_ended = time.perf_counter()
        self.waited = 0.0

    def on_train_batch_begin(self, batch, logs=None):
        self.rate = self._rate()
        self.model.optimizer.learning_rate = self.rate
        loss = self.model.loss
        if loss.share is not None and (second := self._progress() >= SECOND_LOSS) != self.second:
            loss.share.share.assign(float(second))
            self.second = second

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        # The step could begin when the one before had ended; the time from then until its data was there is lost. The
        # first one asks later, as it is compiled before.
        asked, ready = self.batches.times[batch]
        self.waited += min(max(ready - max(asked, self.step_ended), 0), now - self.step_ended)
        self.step_ended, self.step = now, self.step + 1
        self.losses.append(logs["loss"])  # not looked at yet: that would wait for the device
        self.over = self._time_done() >= 1
        if self.over or (self.steps_before and self.step == self.steps):
            self.model.stop_training = True
        if now - self.reported > 0.25:
            self.reported = now
            self.on_step(self._step_done())
        due = now - self.saved > self.run.config.checkpoint_minutes * 60 and self.step < self.steps
        if self.asked or due:
            self.model  # noqa: B018  on JAX, asking for it brings the weights back to it
            self._checkpoint()
        if self.asked:
            raise KeyboardInterrupt

    def on_epoch_end(self, epoch, logs=None):
        self.model  # noqa: B018  as above
        self.finish_epoch()
        self.model.stop_training = self._is_over()  # validation takes its time, too

    def validate_first(self):
        """Validate and save what the run begins with, as epoch 0."""
        with self._beside_steps():
            self.run.save("last")  # first: a best.keras without it would be what is left of a run
            scores = self._validate()
            if scores is None:
                raise KeyboardInterrupt
            self._add_row(0, scores)
        self.epoch_begun = self.step_ended = time.perf_counter()

    def finish_epoch(self):
        """Validate, if that is due, and save the epoch."""
        step, scores = self._step_done(), (None, None)
        with self._beside_steps():
            if self._validation_is_due():
                with self._averaged():
                    scores = self._validate()
            if scores is None:
                self._checkpoint()
                raise KeyboardInterrupt
            self._add_row(self.epoch + 1, scores, step, self.rate)

    def _validation_is_due(self):
        """Whether this epoch is validated: all are, but those of a run by time for which it would take too much."""
        config = self.run.config
        if self.limit is None or config.patience is not None or self.over or self.epoch + 1 >= config.epochs:
            return True
        return self.cost <= MOST_VALIDATION * (time.perf_counter() - self.validated)

    @contextlib.contextmanager
    def _beside_steps(self):
        """What is done in this context takes none of the time of steps."""
        self.paused = time.perf_counter()
        yield
        self.beside, self.paused = self._time_beside(), None

    def _time_beside(self):
        return self.beside + (time.perf_counter() - self.paused if self.paused is not None else 0)

    def _add_row(self, epoch, scores, step=None, rate=None):
        """Add an epoch to the history, with the `Step` that it ended with and its rate, and save it."""
        state = self.run.state
        ours, bicubic = scores
        if ours is not None and not np.isfinite(ours):
            check_finite(self.run.validation)
            raise self._diverged(f"the validation PSNR is {ours} after epoch {epoch}")
        row = {
            "epoch": epoch, "steps": self.step, "loss": step and step.loss, "psnr": ours, "psnr_bicubic": bicubic,
            "learning_rate": rate, "tiles_per_second": step and step.tiles_per_second, "waiting": step and step.waiting,
            "seconds": time.perf_counter() - self.epoch_begun,
        }  # fmt: skip
        state.update(epoch=epoch, steps=state["steps"] + self.step - state["step"], step=0, loss=None)
        state["history"].append(row)
        gain = ours is not None and (state["best_psnr"] is None or ours > state["best_psnr"])
        if gain:
            state.update(best_psnr=ours, best_epoch=epoch)
        self._note_time()
        if epoch and self._is_over():
            state["under_way"] = None
        # Best first, then last: a run killed in between goes on from before, and saves both again.
        if gain:
            with self._averaged():
                self.run.save("best")
        self.run.save("last")
        self.saved = time.perf_counter()
        if self.board is not None:
            self.board.write(row)
        self.on_epoch(row)

    def _checkpoint(self):
        """Save where the epoch is, so that another run goes on from there."""
        state, loss = self.run.state, self._step_done().loss
        if not all(np.isfinite(weight).all() for weight in self.run.network.get_weights()):
            raise self._diverged(f"weights are no numbers after step {self.step} of epoch {self.epoch + 1}")
        state.update(loss=loss, steps=state["steps"] + self.step - state["step"], step=self.step)
        self._note_time()
        self.run.save("last")
        self.saved = time.perf_counter()

    @contextlib.contextmanager
    def _averaged(self):
        """The model has its averaged weights in this context, if it keeps them and a step is done."""
        network = self.run.network
        self.weights = network.get_weights()
        averaged = self.run.config.ema is not None and self.step > 0
        if averaged:
            network.optimizer.finalize_variable_values(network.trainable_variables)
            network.set_weights(network.get_weights())  # on JAX a weight and its average would be one array
        try:
            yield
        finally:
            if averaged:
                network.set_weights(self.weights)

    def _note_time(self):
        under_way = {"seconds": time.perf_counter() - self.begun, "beside": self._time_beside()}
        self.run.state["under_way"].update(under_way)

    def _is_over(self):
        run = self.run
        self.over = self.over or self._time_done() >= 1
        return run.state["epoch"] >= run.config.epochs or self.over or run.is_out_of_patience

    def _time_for_steps(self):
        """How many seconds of the minutes are for steps: without what else there was, and the last validation."""
        return max(self.limit - self._time_beside() - self.cost, LEAST_STEPS * self.limit)

    def _time_done(self):
        """The share of them that is over; 0 where there is no limit."""
        if self.limit is None:
            return 0
        return (time.perf_counter() - self.begun - self._time_beside()) / self._time_for_steps()

    def _progress(self):
        """How much of the run is done, 0 to 1, by its epochs or its time, whichever is nearer the end."""
        progress = (self.epoch + self.step / self.steps) / self.run.config.epochs
        return min(max(progress, self._time_done()), 1)

    def _rate(self):
        """The learning rate of the next step."""
        state, config = self.run.state, self.run.config
        rate = config.learning_rate * self.rate_left(self._progress())
        done = state["steps"] + self.step - state["step"]
        return rate * (done + 1) / config.warmup if done < config.warmup else rate

    def _step_done(self):
        """The `Step` that is done; refuses losses that are no numbers. Keras gives the mean of the epoch so far."""
        done = self.step - self.steps_before
        loss = self.loss_before
        if self.losses:
            last = float(self.losses[-1])
            if not np.isfinite(last):
                first = next(i for i, value in enumerate(self.losses) if not np.isfinite(float(value)))
                step = self.step - len(self.losses) + first + 1
                check_finite(self.run.pairs, self.batches.frames_of(self.epoch, step - 1))
                raise self._diverged(f"the loss is {last} at step {step} of epoch {self.epoch + 1}")
            self.losses = self.losses[-1:]
            loss = (loss * self.steps_before + last * done) / self.step
        elapsed = max(self.step_ended - self.epoch_begun, 1e-9)
        speed = max(done, 1) / elapsed
        left = ((self.run.config.epochs - self.epoch) * self.steps - self.step) / speed
        if self.limit is not None:
            left = min(left, self._time_for_steps() * (1 - self._time_done()))
        return Step(
            self.epoch + 1, self.step, self.steps, loss, done / elapsed * self.batches.batch,
            min(self.waited / elapsed, 1.0), max(left, 0),
        )  # fmt: skip

    def _diverged(self, why):
        return DataError(f"{self.run.folder}: {why}; what was saved before is still there; try a lower --learning-rate")

    def _validate(self):
        """PSNR of the model and of bicubic over whole validation frames, as `evaluate.mean`; None if asked to stop."""
        with devices.undivided():
            return self._scores()

    def _scores(self):
        upscaler, pairs = Upscaler(self.run.network), self.validation
        cuts = None if self.run.scenes is None else [start for start, _ in self.run.scenes.shots]
        scores, flat = [], []
        begun = time.perf_counter()
        for number, (_, ours, bicubic, target) in enumerate(compare(upscaler, pairs, cuts=cuts)):
            if self.board is not None:
                self.board.look(number, ours, bicubic, target)
            scores.append((bounded(psnr(ours, target)), bounded(psnr(bicubic, target))))
            flat.append(of_one_colour(target))
            if self.asked:
                return None
            self.on_progress(len(scores), len(pairs), "validating")
            if number == 0 and len(pairs) > 1:
                begun = time.perf_counter()  # the first one may be compiled for
        self.validated = time.perf_counter()
        self.cost = (self.validated - begun) * len(pairs) / max(len(pairs) - 1, 1)
        return [bounded(mean_psnr(values)) for values in zip(*counted(scores, flat), strict=True)]
