"""How far upscaled frames are from those that they should be: figures for each channel, and pictures to look at."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastup import frames
from fastup._threads import in_order
from fastup._types import Floats, Progress, Size, StrPath
from fastup.codes import CHROMA
from fastup.errors import DataError, FastupError
from fastup.trim import Trim

WHITE = 1023  # of the codes that differences are in
MOST_LINES = 40  # of a message


@dataclass(frozen=True)
class Difference:
    """How far a frame is from its twin: the absolute difference of R, G, B in codes of 10 bits, largest and mean."""

    frame: str
    largest: tuple[float, ...]
    mean: tuple[float, ...]


def over_all(found: Iterable[Difference]) -> Difference:
    """One `Difference` for many frames: the largest of all, and the mean of the means."""
    largest, mean = np.transpose([(each.largest, each.mean) for each in found], (1, 0, 2))
    return Difference("all", tuple(largest.max(axis=0).tolist()), tuple(mean.mean(axis=0).tolist()))


class Twins:
    """The frames that upscaled ones should be: those of the same stem in a folder.

    Parameters
    ----------
    folder
        Of RGB frames of any format.
    trim
        What is trimmed of those that are larger by it, as it was of the targets that the model was trained on.

    Raises DataError if there are no frames.
    """

    def __init__(self, folder: StrPath, trim: Trim) -> None:
        self.folder, self.trim = Path(folder), trim
        self.paths: dict[str, list[Path]] = {}
        for path in frames.find(folder):
            self.paths.setdefault(frames.stem_of(path), []).append(path)

    def check(self, made: Mapping[Path, Size]) -> None:
        """Raise a DataError with a line for each file, to be made in that size, that has no twin to compare with."""
        refuse(filter(None, (self._fault(path, size) for path, size in made.items())), self.folder)

    def _fault(self, path, size):
        twins = self.paths.get(frames.stem_of(path), [])
        if len(twins) != 1:
            found = f"{len(twins)} frames" if twins else "no frame"
            return f"{self.folder}: {found} of the stem {frames.stem_of(path)}, expected one"
        (twin,) = twins
        try:
            header = frames.read_header(twin)
        except (FastupError, OSError) as error:
            return _line(error)
        if header.descriptor in CHROMA or header.channels != 3:
            return f"{twin}: {header.descriptor.text}, expected RGB"
        found = header.height, header.width
        if found in (size, self._whole(size)):
            return None
        whole = "" if self._whole(size) == size else f", or {_words(self._whole(size))} with the model's trim"
        return f"{twin}: {_words(found)}, expected {_words(size)}{whole}, as the upscaled frame"

    def _whole(self, size):
        left, right, top, bottom = self.trim
        return size[0] + top + bottom, size[1] + left + right

    def difference(self, path: Path) -> Floats:
        """The absolute difference of a frame, which was checked, to its twin: (H, W, 3), codes of 10 bits."""
        (twin,) = self.paths[frames.stem_of(path)]
        ours, theirs = _codes(path), _codes(twin)
        if theirs.shape != ours.shape:
            theirs = self.trim.crop(theirs)
        if theirs.shape != ours.shape:  # it was there already, made in another way
            raise DataError(f"{path}: {_words(ours.shape)}, expected {_words(theirs.shape)}, as {twin} has it")
        theirs -= ours
        return np.abs(theirs, out=theirs)


def differences(
    made: Iterable[Path], twins: Twins, folder: Path, on_progress: Progress | None = None
) -> tuple[list[Difference], list[str]]:
    """Compare frames, which were checked, with their twins; write two pictures of each, 16-bit PNG, to a folder.

    ``absolute/`` holds the differences as they are: white is as far as black is from white. ``normalised/`` has those
    of each frame stretched, so that its largest, of whichever channel, is white.

    Returns
    -------
    list of Difference, list of str
        Of each frame; and a line for each that could not be compared, as it or its twin holds NaN or is damaged.
    """
    made = list(made)
    found: list[Difference] = []
    faults: list[str] = []

    def compare(path: Path) -> Difference | str:
        try:
            difference = twins.difference(path)
        except (FastupError, OSError) as error:
            return _line(error)
        largest = difference.max(axis=(0, 1))
        mean = difference.mean(axis=(0, 1), dtype=np.float64)
        name = f"{frames.stem_of(path)}.png"
        for kind, white in (("absolute", WHITE), ("normalised", largest.max() or WHITE)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            frames.write(folder / kind / name, difference / np.float32(white), fsync=False)
        return Difference(frames.stem_of(path), tuple(largest.tolist()), tuple(mean.tolist()))

    with closing(in_order(compare, made)) as results:
        for done, result in enumerate(results, 1):
            if isinstance(result, str):
                faults.append(result)
            else:
                found.append(result)
            if on_progress is not None:
                on_progress(done, len(made), "comparing")
    return found, faults


def refuse(faults: Iterable[str], where: object) -> None:
    """Raise one DataError for all faults, lines, if there are any."""
    faults = list(faults)
    if len(faults) > 1:
        more = [f"and {len(faults) - MOST_LINES} more"] if len(faults) > MOST_LINES else []
        raise DataError("\n  ".join([f"{len(faults)} problems in {where}:", *faults[:MOST_LINES], *more]))
    if faults:
        raise DataError(faults[0])


def _codes(path):
    """A frame in codes of 10 bits, float32: exactly, where it has such."""
    white = frames.read_header(path).white
    if white:
        return frames.read(path) * np.float32(WHITE / white)
    frame = frames.read(path, "float32")
    frames.refuse_nan(path, frame)
    return frame * np.float32(WHITE)


def _line(error):
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split())


def _words(size):
    return f"{size[1]}x{size[0]}"
