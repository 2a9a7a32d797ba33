"""A few frames of a page in several versions, as far as there is room for them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastup._types import Floats
from fastup.footage.convert import shown
from fastup.header import Header
from fastup.report import page, pictures
from fastup.report.page import Page, viewer

MOST = 12  # frames
SIDE = 96  # pixels of a place that is pointed at


class Seen:
    """Collects frames, then makes a viewer of them.

    Parameters
    ----------
    labels
        What versions are called, by their keys.
    room
        Bytes that their pictures may take; frames for which there is none are left out.
    """

    def __init__(self, labels: Mapping[str, str], room: float = page.LIMIT * 0.8) -> None:
        self.labels, self.room = labels, room
        self.frames: list[dict[str, Any]] = []
        self.aspect = 4 / 3

    def add(
        self, row: int, name: str, words: str, versions: Mapping[str, tuple[Floats, Header]],
        places: Sequence[Mapping[str, Any]] = (), short: str | None = None,
    ) -> None:  # fmt: skip
        """Put in a frame: normalised pictures of its versions, each with the header that says how it is to be seen.

        `words` are said of it, and `short` below its small picture.
        """
        large = {
            key: pictures.eight(picture, shown(Path(name), header)[0]) for key, (picture, header) in versions.items()
        }
        last = list(large)[-1]
        kept, thumb = {key: pictures.lossy(picture) for key, picture in large.items()}, pictures.thumb(large[last])
        needed = sum(map(pictures.cost, (*kept.values(), thumb)))
        if needed > self.room:
            return
        self.room -= needed
        if not self.frames:
            aspect = versions[last][1].pixel_aspect or 1
            self.aspect = float(aspect * large[last].shape[1] / large[last].shape[0])
        self.frames.append({"row": row, "name": name, "pictures": kept, "words": words,
                            "short": words if short is None else short,
                            "places": list(places), "thumb": thumb})  # fmt: skip

    def put(self, made: Page, title: str, words: str = "", places: str = "") -> None:
        """Put a viewer of the frames into a page, if there are any; `places` is what its button for these says."""
        if not self.frames:
            return
        thumbs = made.keep({str(n): frame["thumb"] for n, frame in enumerate(self.frames)})
        frames = [
            {name: value for name, value in frame.items() if name != "thumb"}
            | {"pictures": made.keep(frame["pictures"])}
            for frame in self.frames
        ]
        words = f"{words} Drag the divider, or use the keys; wheel or pinch zooms. {pictures.WORDS}.".strip()
        section = viewer(title, self.labels, frames, self.aspect, words, list(self.labels)[:2], places=places)
        made.sections.append(section | {"thumbs": thumbs})


def most_changed(before: Floats, after: Floats) -> list[float]:
    """Of a grid of squares, that in which a frame, (H, W, C), changes most: left, top, width, height, as shares."""
    change = np.abs(after - before).sum(axis=2)
    height, width = change.shape
    side = min(SIDE, height, width)
    blocks = change[: height // side * side, : width // side * side].reshape(height // side, side, -1, side)
    y, x = np.unravel_index(np.argmax(blocks.sum((1, 3))), (height // side, width // side))
    return [round(float(part), 5) for part in (x * side / width, y * side / height, side / width, side / height)]
