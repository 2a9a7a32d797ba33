"""What TensorBoard shows of a run: curves of its epochs, and crops of validation frames.

Written by TensorBoard's own writer of records, which every backend may use: Keras' callback needs TensorFlow.
"""

import io
import os
import socket
import time
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.image import imsave
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from fastup import frames
from fastup._grid import TileGrid
from fastup._scales import cell_of
from fastup._tiles import detail
from fastup._types import Floats, Frame
from fastup.codes import codes_of
from fastup.pairs.folder import Pairs

CROPS = 4  # of as many frames, where there are
SIDE = 128  # target pixels of a crop, about: whole cells
GAP = 4  # pixels between the pictures of a row

# What of a row of the history goes to which of TensorBoard's runs, and its name there: one name is one chart.
CURVES = {
    "loss": ("train", "epoch_loss"), "learning_rate": ("train", "epoch_learning_rate"),
    "tiles_per_second": ("train", "epoch_tiles_per_second"), "waiting": ("train", "epoch_waiting"),
    "psnr": ("validation", "epoch_psnr"), "psnr_bicubic": ("bicubic", "epoch_psnr"),
}  # fmt: skip


class Board:
    """Files of events in a folder, for a run that does `epoch` next: what is there of that and later ones is dropped.

    The crops are the same throughout a run, as they follow from the targets alone: of `CROPS` frames spread over those
    of validation the most detailed tile of about `SIDE` pixels each; of fewer frames several.
    """

    def __init__(self, folder: Path, pairs: Pairs, epoch: int) -> None:
        self.pairs = pairs
        count = min(CROPS, len(pairs))
        self.numbers = {n * (len(pairs) - 1) // max(count - 1, 1) for n in range(count)}
        self.each = ceil(CROPS / count)
        self.seen: dict[int, list[tuple[str, Any, Floats]]] = {}  # name, window and input of the crops of a frame
        self.rows: dict[str, Floats] = {}  # of the validation under way
        self.events = {name: _Events(folder / name, epoch) for name in ("train", "validation", "bicubic")}

    def look(self, number: int, ours: Floats, bicubic: Floats, target: Frame) -> None:
        """Keep what is to be shown of a validation frame, by its number: pictures of one size, normalised."""
        if number not in self.numbers:
            return
        if number not in self.seen:
            self.seen[number] = self._crops(number, target)
        for name, window, crop in self.seen[number]:
            gap = np.full((len(crop), GAP, 3), 0.5, np.float32)
            self.rows[name] = np.hstack([crop, gap, bicubic[window], gap, ours[window], gap, target[window]])

    def _crops(self, number, target):
        scale = self.pairs.geometry.scale
        sides = [max(min(SIDE, n) // p, 1) * p for n, p in zip(target.shape, cell_of(scale)[1], strict=False)]
        grid = TileGrid(target.shape[:2], sides)
        score = np.where(grid.inside, detail(target, grid), -1)
        picture = frames.read(self.pairs.inputs[number], dtype="float32")
        picture = self.pairs.kind(number).input_trim.crop(picture)
        crops = []
        for y, x in grid.origins[np.argsort(-score, kind="stable")[: self.each]]:
            window = np.s_[y : y + sides[0], x : x + sides[1]]
            rows, columns = (np.arange(n)[part] * s.denominator // s.numerator
                             for n, part, s in zip(target.shape, window, scale, strict=False))  # fmt: skip
            name = f"input, bicubic, model, target/{self.pairs.name(number)}, {x} from the left, {y} from the top"
            crops.append((name, window, picture[np.ix_(rows, columns)]))
        return crops

    def write(self, row: Mapping[str, Any]) -> None:
        """Write an epoch: its row of the history, and what was kept of its validation."""
        for key, (name, tag) in CURVES.items():
            if row[key] is not None:
                self.events[name].add(row["epoch"], tag=tag, simple_value=row[key])
        for tag, picture in self.rows.items():
            height, width, _ = picture.shape
            image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=_png(picture))
            self.events["validation"].add(row["epoch"], tag=tag, image=image)
        self.rows.clear()  # of an epoch that is not validated there is nothing to show
        for events in self.events.values():
            events.writer.flush()

    def close(self) -> None:
        for events in self.events.values():
            events.writer.close()


class _Events:
    """A file of events, one of TensorBoard's runs; in its folder may be others, of earlier starts."""

    def __init__(self, folder, epoch):
        folder.mkdir(parents=True, exist_ok=True)
        # They are read in the order of their names.
        name = f"events.out.tfevents.{time.time():020.9f}.{socket.gethostname()}.{os.getpid()}"
        self.writer = RecordWriter(open(folder / name, "xb"))  # noqa: SIM115 -- as long as the run
        self._write(file_version="brain.Event:2")
        self._write(step=epoch, session_log=SessionLog(status=SessionLog.START))

    def add(self, epoch, **value):
        self._write(step=epoch, summary=Summary(value=[Summary.Value(**value)]))

    def _write(self, **what):
        self.writer.write(Event(wall_time=time.time(), **what).SerializeToString())


def _png(picture):
    file = io.BytesIO()
    imsave(file, codes_of(picture, 255).astype(np.uint8), format="png")
    return file.getvalue()
