"""Halos out of frames: the kernel of a folder found, or found again, and its inverse applied to every frame."""

import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastup import frames
from fastup._types import Floats, Frame, Progress, StrPath
from fastup._whole import whole
from fastup.codes import CHROMA
from fastup.errors import DataError, OptionError
from fastup.footage import chore, degrade, halo
from fastup.footage.halo import RADIUS, REACH, Estimate, Halo
from fastup.footage.sink import FolderSink
from fastup.footage.stills import Folder
from fastup.header import Header

SAMPLES = 40  # frames that a kernel is estimated from


def dehalo(picture: Floats, taps: ArrayLike, *, strength: float = 1.0, protect: float = 0.0) -> Floats:
    """Take a halo out of a frame, (H, W, C), normalised; what comes is clipped to 0..1.

    `taps` are the kernel that made the halo, of odd length; scaled to sum to 1. `strength`, 0 to 1, says how much is
    undone. Flats that differ by less than `protect` along the line, within the kernel's reach, stay as they are, grain
    and all; by more than twice as much, nothing is protected. Normalised; some times the noise.
    """
    taps = np.asarray(taps, float) / np.sum(taps)
    lines = np.moveaxis(np.asarray(picture, np.float32), 1, 2)
    width = lines.shape[2]
    length = 1 << (width + 4 * REACH - 1).bit_length()
    padded = np.pad(lines, ((0, 0), (0, 0), (2 * REACH, length - width - 2 * REACH)), mode="edge")
    spectrum = np.fft.rfft(padded) * halo.response_of_inverse(taps, length, strength).astype(np.complex64)
    clean = np.fft.irfft(spectrum, length)[..., 2 * REACH : 2 * REACH + width]
    # What was clipped had a higher peak than it shows, so it lies above what undoing the rest of it says.
    clean = np.where(lines <= 0, clean / 2, np.where(lines >= 1, (clean + 1) / 2, clean))
    if protect > 0:
        from scipy.ndimage import maximum_filter1d

        luma = lines.mean(1)
        rise = np.abs(np.diff(luma, axis=1, append=luma[:, -1:]))
        near = maximum_filter1d(rise, 2 * RADIUS + 1, mode="nearest")
        clean = lines + (clean - lines) * np.clip(near / protect - 1, 0, 1)[:, np.newaxis]
    return np.ascontiguousarray(np.clip(np.moveaxis(clean, 2, 1), 0, 1), np.float32)


@dataclass(frozen=True, kw_only=True)
class Plan(chore.Plan):
    """What to do to a folder: which frames, with what, as asked for how."""

    source: Folder
    asked: dict[str, Any]
    estimate: Estimate
    strength: float
    protect: float


def prepare(
    source: StrPath, destination: StrPath, *, twins: StrPath | None = None,
    kernel: Halo | Sequence[float] | None = None, strength: float = 1.0, protect: float = 2.0,
    overwrite: bool = False, on_progress: Progress | None = None,
) -> Plan:  # fmt: skip
    """Find the kernel of a folder of frames; that of an earlier run which this one carries on is taken again.

    DataError if frames cannot be used; if there are too few edges, or twins of other pictures; if frames that are in
    `destination` already, and stay, were made with other options, or it is not known with which. OptionError if an
    option has a value that cannot be used.

    Parameters
    ----------
    twins
        A folder of HD frames of the same stems, of some of them at least, to find the kernel by. Pillars are cut off
        them as `degrade.prepare` finds them.
    kernel
        The kernel itself: as a halo, or its taps, of an odd number.
    strength, protect
        As of `dehalo`, but that flats are protected which differ by less than `protect` times the noise.
    """
    if not 0 <= strength <= 1:
        raise OptionError(f"strength is {strength}, expected 0 to 1")
    if not 0 <= protect < math.inf:
        raise OptionError(f"protect is {protect}, expected 0 or more, in deviations of the noise")
    if kernel is not None and twins is not None:
        raise OptionError("kernel is given, and pairs too; expected one of them")
    folder = Folder(source)
    plan, paths = chore.Plan(folder, Path(destination), overwrite).checked(), folder.paths
    for path in paths:
        header = frames.read_header(path)
        if header.channels == 1 or header.descriptor in CHROMA or header.white is None:
            raise DataError(f"{path}: {header.flavour}, expected R, G and B in codes")
    taps = None if kernel is None else _checked_taps(kernel)
    asked = {
        "source": os.path.realpath(source), "pairs": twins and os.path.realpath(twins),
        "kernel": None if taps is None else [round(float(tap), 9) for tap in taps],
        "strength": strength, "protect": protect,
    }  # fmt: skip
    if kept := _kept_estimate(plan, asked):
        found = kept
    elif taps is not None:
        noise = float(np.median([halo.noise_of(picture) for picture in _read(_spread(paths, 4), on_progress)]))
        after = halo.overshoot(np.convolve(taps, halo.inverse(taps, strength)))
        found = Estimate(taps, kernel if isinstance(kernel, Halo) else None, 0, noise, halo.overshoot(taps), after)
    elif twins is not None:
        found = halo.from_pairs(_read_pairs(paths, twins, plan, on_progress))
    else:
        found = halo.estimate(_read(_spread(paths, SAMPLES), on_progress))
    return Plan.of(plan, asked=asked, estimate=found, strength=strength, protect=protect)


def _checked_taps(kernel):
    """The taps of a kernel that is given, as many as a halo has; they sum to 1."""
    taps = np.asarray(kernel.taps if isinstance(kernel, Halo) else kernel, float)
    if len(taps) % 2 == 0 or len(taps) > 2 * REACH + 1 or not abs(taps.sum()) > 1e-6 or not np.isfinite(taps).all():
        raise OptionError(f"kernel has {len(taps)} taps, expected an odd number up to {2 * REACH + 1}, with a sum")
    return np.pad(taps / taps.sum(), REACH - len(taps) // 2)


def run(plan: Plan, on_progress: Progress | None = None) -> tuple[int, int]:
    """Take the halo out of the frames of a plan, as `chore.run` does; ``dehalo/kernel.json`` there keeps its kernel."""
    found = plan.estimate

    def make(number: int, path: Path) -> tuple[Frame, Header]:
        header = plan.source.header(number)
        if found.none:  # not even rounded
            return plan.source.pixels(path), header
        picture = plan.source.pixels(path, "float32")
        colours = dehalo(picture[..., :3], found.taps, strength=plan.strength, protect=plan.protect * found.noise)
        return np.concatenate([colours, picture[..., 3:]], axis=2), header

    if isinstance(plan.sink, FolderSink):
        for number in plan.todo:  # those of another kernel go before its name does, whatever stops this
            plan.sink.place(number).unlink(missing_ok=True)
    _keep_estimate(plan.destination, plan.asked, found)
    return chore.run(plan, chore.each(make), "dehaloing", on_progress)


def plot(path: StrPath, found: Estimate, strength: float = 1.0) -> None:
    """Draw a kernel, a step through it, and both kernels' responses, as a PNG; nothing without matplotlib."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        return
    sheet = Figure(figsize=(14, 4), dpi=100, layout="constrained")
    canvas = FigureCanvasAgg(sheet)
    kernel, step, response = sheet.subplots(1, 3)
    offsets = np.arange(-REACH, REACH + 1)
    undone = np.convolve(found.taps, halo.inverse(found.taps, strength))
    middle = len(undone) // 2
    kernel.stem(offsets, found.taps, basefmt=" ")
    kernel.set(title="kernel", xlabel="pixels", xlim=(-12, 12))
    step.plot(offsets, np.cumsum(found.taps), label="as the frames have it")
    step.plot(offsets, np.cumsum(undone)[middle - REACH : middle + REACH + 1], label="after")
    step.set(title="a step of 1", xlabel="pixels", xlim=(-12, 12))
    padded = np.roll(np.pad(found.taps, (0, 1024 - len(found.taps))), -REACH)
    frequency = np.fft.rfftfreq(1024)
    response.plot(frequency, np.abs(np.fft.rfft(padded)), label="kernel")
    response.plot(frequency, np.abs(halo.response_of_inverse(found.taps, 1024, strength)), label="inverse")
    response.set(title="response", xlabel="cycles per pixel", ylim=(0, None))
    for part in (step, response):
        part.legend()
    for part in (kernel, step, response):
        part.grid(alpha=0.3)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as part:
        canvas.print_png(part)


def _spread(paths, count):
    """So many of the paths, spread evenly."""
    step = max(1, len(paths) / count)
    return [paths[int(k * step)] for k in range(min(count, len(paths)))]


def _read(paths, on_progress):
    """The pictures of frames, which must be of one size, one after the other."""
    size = None
    for done, path in enumerate(paths, 1):
        frame = frames.read(path, "float32")[..., :3]
        size = size or frame.shape
        if frame.shape != size:
            raise DataError(f"{path}: {frame.shape[1]}x{frame.shape[0]}, expected {size[1]}x{size[0]} as the others")
        yield frame
        if on_progress is not None:
            on_progress(done, len(paths), "looking for edges")


def _read_pairs(paths, twins, plan, on_progress):
    """Pictures and their twins of the same stems; of these the picture that a plan to degrade them has."""
    beside = {frames.stem_of(path): path for path in frames.find(twins)}
    both = [path for path in paths if frames.stem_of(path) in beside]
    if not both:
        raise DataError(f"{twins}: no frame here has the name of one in {plan.source.path}")
    degraded = degrade.prepare(twins, plan.destination, frames.probe(both[0])[0][:2])
    window = degraded.trim.window(degraded.source.size)
    both = _spread(both, SAMPLES)
    for path, picture in zip(both, _read(both, on_progress), strict=True):
        twin = frames.read(beside[frames.stem_of(path)], "float32", window=window)
        frames.refuse_nan(beside[frames.stem_of(path)], twin)
        yield picture, twin


def _kept_estimate(plan, asked):
    """What frames that stay in a folder were made with, by the same options; None if no frames stay."""
    destination, missing = plan.destination, {plan.sink.place(number) for number in plan.todo}
    if all(path in missing for path in destination.glob("*.dpx")):
        return None
    path = destination / "dehalo" / "kernel.json"
    try:
        record = json.loads(path.read_text())
        known = record["halo"] and Halo(**record["halo"])
        numbers = [record[name] for name in ("edges", "noise", "before", "after")]
        found = Estimate(np.array(record["taps"]), known, *numbers)
    except (OSError, ValueError, KeyError, TypeError):
        if len(plan.todo) == len(plan.source):  # what is there may have come in any way
            return None
        raise DataError(
            f"{path}: missing or damaged, so it is not known which kernel the frames in {destination} were made with; "
            "--overwrite makes them again"
        ) from None
    for name, value in asked.items():
        if record.get(name) != value:
            again = "--overwrite makes them again" if len(plan.todo) < len(plan.source) else "expected another folder"
            raise DataError(f"{destination}: frames here were made with another {name}; {again}")
    return found


def _keep_estimate(destination, asked, found):
    record = asked | asdict(found) | {"taps": [round(float(tap), 9) for tap in found.taps]}
    (destination / "dehalo").mkdir(parents=True, exist_ok=True)
    with whole(destination / "dehalo" / "kernel.json") as part:
        part.write_text(json.dumps(record, indent=1) + "\n")
