"""A run and its folder: what is in it, what it was given, whether the same command may go on, and saving it whole."""

import contextlib
import csv
import importlib.util
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any
from zlib import crc32

from fastup import frames
from fastup._types import Size, StrPath
from fastup._whole import whole
from fastup.codes import Colorimetric, Transfer
from fastup.errors import DataError, FastupError, OptionError
from fastup.networks import devices, memory
from fastup.networks.models import Cell, Network
from fastup.pairs.alignment import Fit
from fastup.pairs.clips import Clips
from fastup.pairs.colour import recipe
from fastup.pairs.folder import Pairs
from fastup.pairs.geometry import along_text, pair_of
from fastup.pairs.index import count, inside, kept
from fastup.pairs.levels import in_copy, with_copies
from fastup.train.batches import steps_of
from fastup.train.config import OPTIONS, Config, along_axes
from fastup.train.spans import spans_of
from fastup.trim import parse
from fastup.upscale.model import load
from fastup.upscale.onnx_file import NEEDED

# A run cannot go on with other values of these: what a model computes, and what its optimiser keeps, depend on them.
FIXED = (
    "model", "features", "depth", "residual", "border", "trim", "input_trim", "black_level", "degrade", "match",
    "precision", "optimizer", "ema", "lookahead", "no_state",
)  # fmt: skip
SIZES = "features", "depth"  # of a network, which not every architecture has

# What runs of older versions had, which did not say so.
BEFORE = {
    "loss": "mse", "luma": 0.0, "warmup": 0, "swap_channels": False, "optimizer": "adam", "span": 1, "settle": 0,
    "reverse": False, "stills": 0.0, "lookahead": 1,
}  # fmt: skip


@dataclass
class Run:
    """A training run, checked and ready: see `prepare` and `fit`."""

    folder: Path
    cache: Path  # what is made of the data, and can be made again
    config: Config  # with everything filled in
    pairs: Pairs
    validation: Pairs
    network: Network
    free: int | None  # bytes that the device had for training before it; None if that isn't known
    before: dict[str, Any]  # what the run had, if there was one: see `settings_of`
    notes: list[str]  # what should be known before it begins
    looked_at: list[Fit]  # how some of the pairs fit
    stamp: tuple[int, int, int] | None  # of the file that it goes on from, as only that one may be written over
    shots: Clips | None = None  # of the pairs to train on, where those are seen as film
    scenes: Clips | None = None  # of those to validate on, likewise

    @property
    def tiles(self) -> int:
        """How many tiles are trained on, or spans of them."""
        config = self.config
        if self.shots is not None:
            places = inside(self.pairs, config.tile, config.jitter, config.edges)  # type: ignore[arg-type]
            each = [kept(config.quality, len(tiles)) for tiles in places]
            return sum(
                spans_of(stop - start, config.span) * each[self.pairs.kind_of[start]]
                for start, stop in self.shots.shots
            )
        return count(self.pairs, config.tile, config.jitter, config.quality, config.edges)  # type: ignore[arg-type]

    @property
    def steps(self) -> int:
        """Steps of an epoch; a last batch that is not full is left out."""
        return steps_of(self.tiles, self.config.batch, self.config.skip)  # type: ignore[arg-type]  # filled in

    @property
    def shapes(self) -> tuple[float | None, float | None]:
        """Width over height of the input and of the target picture as they are shown; None where no header says."""

        def shape(path: Path, picture: Size) -> float | None:
            aspect = frames.read_header(path).pixel_aspect
            return float(aspect * picture[1] / picture[0]) if aspect else None

        geometry, number = self.pairs.geometry, self.pairs.usual
        target = shape(self.pairs.targets[number], geometry.target_picture)
        return target if self.pairs.made else shape(self.pairs.inputs[number], geometry.input_picture), target

    @property
    def memory(self) -> int:
        """What a step takes, about, in bytes; see `fastup.networks.memory`."""
        return memory.of_step(self.network, self.config.batch, self.config.tile)  # type: ignore[arg-type]  # filled in

    @property
    def state(self) -> dict[str, Any]:
        """Progress: epochs and steps done, the best epoch and its PSNR, and the history, one dictionary an epoch.

        Epoch 0 is what the run began with; it has no loss, rate or speed. Runs of older versions have none. Of
        an epoch that was not validated there is no PSNR.
        ``step`` and ``loss`` are of the epoch under way: its steps that are done, and their mean. ``validation`` is a
        digest of the frames that the best epoch was found on. ``under_way`` is of a run that has not come to its end:
        what it was given as ``more_epochs``, and the ``seconds`` of its ``minutes`` that are over, of which those
        ``beside`` were not for steps. ``from``, if it is there, is the model that the run began with, and what it took
        of it.
        """
        return self.network.settings["trained"]

    @property
    def is_out_of_patience(self) -> bool:
        """Whether so many epochs gained nothing. Keras' own callback forgets them when a run carries on."""
        best = self.state["best_epoch"]
        since = 0 if best is None else self.state["epoch"] - best
        return self.config.patience is not None and since >= self.config.patience

    def check_room(self) -> None:
        """Refuse a disk without room for the models, so that it is the start that fails, not the save after an epoch.

        Raises OSError where the folder cannot be written to.
        """
        with tempfile.TemporaryFile(dir=self.folder):
            pass
        # Two models: the best and the last, or a new one and the old; each its weights, their moments and average.
        copies = 4 if self.network.optimizer.use_ema else 3
        weights = 4 * self.network.count_params()
        needed = 2 * (weights * copies + 2**20) + weights  # the last are best.onnx
        total, _, free = shutil.disk_usage(self.folder)
        if total and free < needed:  # some file systems say nothing
            raise FastupError(
                f"{self.folder}: {free / 2**20:.0f} MiB are free on its disk, expected {needed / 2**20:.0f} for the "
                "models to save"
            )

    def save(self, name: str) -> None:
        """Save the model as `name`: "best", and as ``best.onnx``; "last", with ``state.json`` and ``history.csv``.

        Of several processes, the first one does.
        """
        if devices.is_first():
            with devices.undivided():
                self._save(name)

    def _save(self, name):
        if name == "best":
            self._save_best()
            return
        with whole(self.folder / "last.keras") as part:
            self.network.save(part)
        self.stamp = stamp_of(self.folder)
        state = self.state
        with whole(self.folder / "state.json") as part:
            settings = {name: value for name, value in self.network.settings.items() if name != "trained"}
            part.write_text(json.dumps({"settings": settings, **state}, indent=1) + "\n")
        if state["history"]:
            with whole(self.folder / "history.csv") as part, open(part, "w", newline="") as file:
                writer = csv.DictWriter(file, state["history"][0])
                writer.writeheader()
                writer.writerows(state["history"])

    def _save_best(self):
        """Save the best model. A ``best.onnx`` is of the ``best.keras`` beside it: if this is killed, there is none.

        It is not held against Keras, for which an engine would start, and a second model: a test does that.
        """
        network = self.network.folded()
        if isinstance(network, Cell):
            from fastup.upscale.warmup import warmup_frames

            network.settings["warmup_frames"] = warmup_frames(network)
        onnx = self.folder / "best.onnx"
        with whole(onnx) if has_onnx() else contextlib.nullcontext() as part_onnx:
            if part_onnx is not None:
                from fastup.upscale.export import graph

                part_onnx.write_bytes(graph(network))
            with whole(self.folder / "best.keras") as part:
                network.save(part)
                onnx.unlink(missing_ok=True)


def has_onnx() -> bool:
    """Whether ``best.onnx`` can be written."""
    return importlib.util.find_spec("onnx") is not None


def settings_of(folder: StrPath) -> dict[str, Any]:
    """What the run in a folder has, as fields of `Config`, for what a start of it again is not given; empty if none.

    `minutes` is left out where they are over.
    """
    saved = saved_settings(Path(folder) / "last.keras")
    given = config_of(saved) if saved else {}
    if saved and not saved["trained"].get("under_way"):
        del given["minutes"]
    return given


def facts_of(pairs: Pairs, match: bool = False) -> dict[str, Any]:
    """What a model's settings say of the frames that it is trained on; a run goes on with frames of the same alone.

    Its ``levels`` may differ: what the targets say of black and white goes with their transfer. Its ``colour`` is the
    map by which the inputs got the colours of the targets, which frames that are to be upscaled have yet to get. With
    `match`, targets are what `match_levels` makes of them.
    """
    source, target = (frames.read_header(paths[pairs.usual]) for paths in (pairs.inputs, pairs.targets))
    colour = recipe(pairs.folder)
    if match:
        target = in_copy(target, pairs.kinds[0].target_white)
        pairs = with_copies(pairs, pairs.targets)
    return {
        "scale": [list(factor.as_integer_ratio()) for factor in pairs.geometry.scale],
        "input_white": pairs.input_white,
        "input_transfer": None if source.transfer is None else int(source.transfer),
        "target_white": pairs.target_white,
        "colour": colour and colour.as_dict(),
        "pixel_aspect": list((target.pixel_aspect or Fraction(1)).as_integer_ratio()),
        "transfer": None if target.transfer is None else int(target.transfer),
        "colorimetric": None if target.colorimetric is None else int(target.colorimetric),
        "levels": {name: getattr(target, name) for name in ("low_code", "low_quantity", "high_code", "high_quantity")},
    }


def last_network(folder: Path, config: Config, facts: Mapping[str, Any]) -> Network | None:
    """The model that the run in a folder goes on with; None if there is no run, an error if it cannot go on.

    A run of which no step is done is none under other settings.
    """
    last = folder / "last.keras"
    if not last.exists():
        left = [name for name in ("best.keras", "best.onnx", "state.json", "history.csv") if (folder / name).exists()]
        if left:
            raise FastupError(
                f"{last}: gone, and a new run would write over what is left of its run, {', '.join(left)}; "
                f"{_way_out(folder)}"
            )
        return None
    saved = saved_settings(last)
    if saved is not None:
        try:
            _check_same(folder, saved, config, facts)
        except FastupError:
            if saved["trained"]["steps"]:
                raise
            return None
        if not saved["trained"]["steps"] and saved["seed"] != config.seed:
            return None
    try:
        network = load(last)
    except FastupError as error:
        raise FastupError(f"{error}; {_way_out(folder)}") from error
    if not network.compiled:
        raise FastupError(
            f"{last}: a model folded for use, which a run cannot go on with, expected one as trained; give a new run "
            "--from it, and another --name"
        )
    return network


def _way_out(folder):
    best = saved_settings(folder / "best.keras")
    if best and best.get("folded"):
        return "give a new run another --name, and --from best.keras, to begin with the best"
    copy = (
        f"copy best.keras, of epoch {best['trained']['epoch']}, to last.keras to go on from there, or " if best else ""
    )
    return f"{copy}give the new run another --name"


def saved_settings(path: StrPath) -> dict[str, Any] | None:
    """The settings of a model that `fastup train` wrote, read without Keras; None if it is missing or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            settings = json.loads(archive.read("config.json"))["config"]["settings"]
            whole = archive.testzip() is None
        return settings if whole and settings.keys() >= {*NEEDED, "trained"} else None
    except Exception:  # damage shows anywhere
        return None


def config_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Config` among a model's settings."""
    given = {name: settings[name] for name in OPTIONS.values() if name in settings and name not in ("scale", "state")}
    given["state"] = not settings.get("no_state")
    if given.get("degrade"):  # else it is that of the frames
        given["scale"] = ",".join(str(Fraction(*factor)) for factor in settings["scale"])
    trims = {name: parse(given[name], name) for name in ("trim", "input_trim")}
    axes = {name: along_axes(0)(name, given[name]) for name in ("tile", "border")}
    return BEFORE | given | trims | axes


def as_settings(config: Config) -> dict[str, Any]:
    """The fields of a `Config` as a model's settings hold them: what JSON makes of them, and a border for each axis.

    The scale is left out: it is that of the frames, a fact.
    """
    settings = json.loads(json.dumps(asdict(config)))
    sizes = {name: value for name in SIZES if (value := settings.pop(name)) is not None}
    del settings["scale"]
    settings["no_state"] = not settings.pop("state")  # by that name they say how many channels it has
    return settings | sizes | {"border": list(pair_of(config.border))}


def _check_same(folder, before, config, facts):
    """Refuse settings that the model was not built for, and frames that differ from those that it was trained on."""
    ours = as_settings(config) | {"border": along_text(config.border)}
    was = as_settings(Config()) | before | {"border": along_text(before["border"])}
    pairs = {name: (ours[name], was[name]) for name in FIXED if name in ours}  # sizes that are not given are the run's
    options = [f"{name.replace('_', '-')} {new} (was {old})" for name, (new, old) in pairs.items() if new != old]
    before = {"colour": None} | before
    compared = [name for name in facts if name in before and name != "levels"]  # older runs do not have all of it
    pairs = {name: (_shown(name, facts[name]), _shown(name, before[name])) for name in compared}
    found = [f"{name.replace('_', ' ')} {new} (was {old})" for name, (new, old) in pairs.items() if new != old]
    if options or found:
        raise (OptionError if options else DataError)(
            f"{folder}: a run with other {'settings' if options else 'frames'} is here: {', '.join(options + found)}; "
            "give the new run another --name"
        )


def _shown(name, value):
    """A fact about frames, in words."""
    if name == "scale":
        return " x ".join(str(Fraction(*factor)) for factor in value)
    if name == "pixel_aspect":
        return str(Fraction(*value))
    if name == "colour":
        return f"{value['kind']} {crc32(json.dumps(value, sort_keys=True).encode()):08x}" if value else "as they are"
    if value is None:
        return "none: floats or several" if name.endswith("white") else "not said"
    kinds = {"input_transfer": Transfer, "transfer": Transfer, "colorimetric": Colorimetric}
    return getattr(kinds[name].of(value), "text", str(value)) if name in kinds else str(value)


def stamp_of(folder: Path) -> tuple[int, int, int] | None:
    """What tells the last model in a folder from any other; None if there is none."""
    try:
        stat = os.stat(folder / "last.keras")
    except OSError:
        return None
    return stat.st_ino, stat.st_size, stat.st_mtime_ns
