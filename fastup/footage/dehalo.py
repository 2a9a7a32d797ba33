"""Halos out of frames: the kernel of a folder found, or found again, and its inverse applied to every frame."""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from fastup import frames
from fastup._types import Floats, Frame, Progress, Size, StrPath
from fastup._whole import whole
from fastup.codes import CHROMA, codes_of
from fastup.errors import DataError, OptionError
from fastup.footage import chore, degrade, halo, opening
from fastup.footage.halo import RADIUS, REACH, Estimate, Halo
from fastup.footage.sink import FolderSink
from fastup.footage.source import Items, Skip, Source, Span, nothing
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


class Dehaloed(Source):
    """The frames of a source without their halos: the source in all else.

    Floats are not rounded; where there is no halo, frames are those of the source.
    """

    def __init__(self, source: Source, found: Estimate, strength: float = 1.0, protect: float = 2.0) -> None:
        super().__init__(source.path, source.dtype)
        self.source, self.found, self.strength, self.protect = source, found, strength, protect
        self.rate, self.frame_count, self.subsampling = source.rate, source.frame_count, source.subsampling
        self.field_order = getattr(source, "field_order", None)
        self.notes, self.settings = source.notes, source.settings

    @property
    def words(self) -> str:
        """What was found."""
        if self.found.none:
            return "no halo was found: frames stay as they are"
        return f"halos overshoot by {self.found.before:.1%} of a step, by {self.found.after:.1%} once they are undone"

    @property
    def size(self) -> Size:
        return self.source.size

    def frames(self, start: int = 0, end: int | None = None, every: int = 1, skip: Skip = nothing) -> Items:
        for number, raw in self.source.frames(start, end, every, skip):
            yield number, (number, raw)

    def pixels(self, raw: Any, dtype: DTypeLike = "uint16") -> Frame:
        number, raw = raw
        if self.found.none:
            return self.source.pixels(raw, dtype)
        picture = self.source.pixels(raw, "float32")
        protect = self.protect * self.found.noise
        colours = dehalo(picture[..., :3], self.found.taps, strength=self.strength, protect=protect)
        frame = np.concatenate([colours, picture[..., 3:]], axis=2)
        if np.dtype(dtype) == np.uint16:
            return codes_of(frame, self.header(number).white or 1023)
        return frame.astype(dtype, copy=False)

    def header(self, number: int) -> Header:
        return self.source.header(number)

    def name(self, number: int) -> str:
        return self.source.name(number)

    def label(self, number: int) -> str:
        return self.source.label(number)

    def there(self, number: int) -> bool:
        return self.source.there(number)

    def missing(self, start: int, end: int | None) -> str | None:
        return self.source.missing(start, end)

    def files(self) -> Iterable[tuple[int, Path]]:
        return self.source.files()

    def between(self, low: int, high: int) -> tuple[int, int]:
        return self.source.between(low, high)

    def span(self, first: int, last: int | None) -> Span | None:
        return self.source.span(first, last)

    @property
    def parts(self) -> bool:  # type: ignore[override]
        return self.source.parts

    def cut(self, first: int, last: int) -> Self:
        some = super().cut(first, last)
        some.source = self.source.cut(first, last)
        return some


@dataclass(frozen=True, kw_only=True)
class Plan(chore.Plan):
    """What to do to a source: which frames, with what, as asked for how."""

    source: Dehaloed

    @property
    def estimate(self) -> Estimate:
        """The kernel."""
        return self.source.found


def prepare(
    source: StrPath | Source, destination: StrPath, *, twins: StrPath | None = None,
    kernel: Halo | Sequence[float] | None = None, strength: float = 1.0, protect: float = 2.0,
    overwrite: bool = False, numbers: str | None = None, options: Mapping[str, Any] | None = None,
    on_progress: Progress | None = None,
) -> Plan:  # fmt: skip
    """Find the kernel of a source; that of an earlier run which this one carries on is taken again.

    DataError if frames cannot be used; if there are too few edges, or twins of other pictures; if frames that are in
    `destination` already, and stay, were made with other options, or it is not known with which. OptionError if an
    option has a value that cannot be used, or the source can be read but once.

    Parameters
    ----------
    source
        One, or the path of a folder, a frame or a video.
    twins
        A folder of HD frames of the same stems, of some of them at least, to find the kernel by. Pillars are cut off
        them as `degrade.prepare` finds them.
    kernel
        The kernel itself: as a halo, or its taps, of an odd number.
    strength, protect
        As of `dehalo`, but that flats are protected which differ by less than `protect` times the noise.
    numbers
        As of `chore.part`.
    overwrite, options
        As of `chore.Plan`.
    """
    source = source if isinstance(source, Source) else opening.source(source)
    asked = facts(source, twins, kernel, strength, protect)
    first, last = chore.part(source, numbers=numbers)
    plan = chore.Plan(
        source, Path(destination), overwrite, first=first, last=last, chunk=numbers is not None, made_by=asked,
        options=options or {},
    ).checked()  # fmt: skip
    return Plan.of(plan, source=find(plan, asked, twins, kernel, on_progress))


def facts(
    source: Source, twins: StrPath | None = None, kernel: Halo | Sequence[float] | None = None, strength: float = 1.0,
    protect: float = 2.0,
) -> dict[str, Any]:  # fmt: skip
    """What is asked for, checked, as it is kept beside the frames; as of `prepare`."""
    if not 0 <= strength <= 1:
        raise OptionError(f"strength is {strength}, expected 0 to 1")
    if not 0 <= protect < math.inf:
        raise OptionError(f"protect is {protect}, expected 0 or more, in deviations of the noise")
    if kernel is not None and twins is not None:
        raise OptionError("kernel is given, and pairs too; expected one of them")
    if source.once and (kernel is None or protect):
        raise OptionError(
            "frames are read twice, to measure halo and noise and to undo it, but INPUT is a pipe; expected a file, or "
            "a kernel and --protect 0"
        )
    taps = None if kernel is None else _checked_taps(kernel)
    return {
        "source": os.path.realpath(source.path), "pairs": twins and os.path.realpath(twins),
        "kernel": None if taps is None else [round(float(tap), 9) for tap in taps],
        "strength": strength, "protect": protect,
    }  # fmt: skip


def find(
    plan: chore.Plan, asked: Mapping[str, Any], twins: StrPath | None = None,
    kernel: Halo | Sequence[float] | None = None, on_progress: Progress | None = None,
) -> Dehaloed:  # fmt: skip
    """The source of a plan without its halos, as was `asked` for: see `facts`. Raises as `prepare` does."""
    source, strength = plan.source, asked["strength"]
    for number, path in source.files():
        header = frames.read_header(path)
        if header.channels == 1 or header.descriptor in CHROMA or header.white is None:
            raise DataError(f"{source.label(number)}: {header.flavour}, expected R, G and B in codes")
    if kept := _kept_estimate(plan, asked):
        found = kept
    elif kernel is not None:
        taps = _checked_taps(kernel)
        looked_at = () if source.once else _read(source, _spread(source, 4), on_progress)
        noise = float(np.median([halo.noise_of(picture) for _, picture in looked_at] or [0]))
        after = halo.overshoot(np.convolve(taps, halo.inverse(taps, strength)))
        found = Estimate(taps, kernel if isinstance(kernel, Halo) else None, 0, noise, halo.overshoot(taps), after)
    elif twins is not None:
        found = halo.from_pairs(_read_pairs(plan, twins, on_progress))
    else:
        found = halo.estimate(picture for _, picture in _read(source, _spread(source, SAMPLES), on_progress))
    return Dehaloed(source, found, strength, asked["protect"])


def _checked_taps(kernel):
    """The taps of a kernel that is given, as many as a halo has; they sum to 1."""
    taps = np.asarray(kernel.taps if isinstance(kernel, Halo) else kernel, float)
    if len(taps) % 2 == 0 or len(taps) > 2 * REACH + 1 or not abs(taps.sum()) > 1e-6 or not np.isfinite(taps).all():
        raise OptionError(f"kernel has {len(taps)} taps, expected an odd number up to {2 * REACH + 1}, with a sum")
    return np.pad(taps / taps.sum(), REACH - len(taps) // 2)


def run(plan: Plan, on_progress: Progress | None = None) -> tuple[int, int]:
    """Take the halo out of the frames of a plan, as `chore.run` does; ``dehalo/kernel.json`` there keeps its kernel.

    Beside a video it is ``OUT.dehalo/kernel.json``.
    """
    keep(plan, plan.made_by or {}, plan.source.found)
    return chore.run(plan, work, "dehaloing", on_progress)


def work(plan: Plan) -> chore.Work:
    """What makes the frames of a plan."""
    source = plan.source
    dtype = "uint16" if source.found.none else "float32"  # not even rounded
    return chore.each(lambda number, raw: (source.pixels(raw, dtype), source.header(number)))


def keep(plan: chore.Plan, asked: Mapping[str, Any], found: Estimate) -> None:
    """Keep a kernel beside the frames that are to be made with it, before they are; frames that are made again go."""
    beside = plan.sink.beside("dehalo")
    if beside is None:
        return
    if isinstance(plan.sink, FolderSink):
        for number in plan.todo:  # those of another kernel go before its name does, whatever stops this
            plan.sink.place(number).unlink(missing_ok=True)
    record = {**asked, **asdict(found), "taps": [round(float(tap), 9) for tap in found.taps]}
    beside.mkdir(parents=True, exist_ok=True)
    with whole(beside / "kernel.json") as part:
        part.write_text(json.dumps(record, indent=1) + "\n")


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


def _spread(source, count, among=None):
    """The numbers of so many frames that are there, spread evenly."""
    among = among or [number for number in range(len(source)) if source.there(number)]
    step = max(1, len(among) / count)
    return [among[int(k * step)] for k in range(min(count, len(among)))]


def _read(source, numbers, on_progress):
    """Yield the numbers and pictures of frames, which must be of one size."""
    size = None
    for done, (number, raw) in enumerate(source.samples(numbers), 1):
        frame = source.pixels(raw, "float32")[..., :3]
        size = size or frame.shape
        if frame.shape != size:
            sizes = [f"{shape[1]}x{shape[0]}" for shape in (frame.shape, size)]
            raise DataError(f"{source.label(number)}: {sizes[0]}, expected {sizes[1]} as the others")
        yield number, frame
        if on_progress is not None:
            on_progress(done, len(numbers), "looking for edges")


def _read_pairs(plan, twins, on_progress):
    """Pictures and their twins of the same stems; of these the picture that a plan to degrade them has."""
    source, beside = plan.source, {frames.stem_of(path): path for path in frames.find(twins)}
    stems = {number: frames.stem_of(f"{source.name(number)}.dpx") for number in range(len(source))}
    both = [number for number, stem in stems.items() if stem in beside and source.there(number)]
    if not both:
        raise DataError(f"{twins}: no frame here has the name of one in {source.path}")
    header = source.header(both[0])
    degraded = degrade.prepare(twins, plan.destination / "dehalo", (header.height or 0, header.width or 0))
    window = degraded.trim.window(degraded.source.size)
    for number, picture in _read(source, _spread(source, SAMPLES, both), on_progress):
        twin = frames.read(beside[stems[number]], "float32", window=window)
        frames.refuse_nan(beside[stems[number]], twin)
        yield picture, twin


def _kept_estimate(plan, asked):
    """What frames that stay at the destination were made with, by the same options; None if no frames stay."""
    destination, sink, beside = plan.destination, plan.sink, plan.sink.beside("dehalo")
    asked_for = plan.numbers or ()
    if isinstance(sink, FolderSink):
        missing = {sink.place(number) for number in plan.todo}
        stay = any(path not in missing for path in destination.glob(f"*{sink.suffix}"))
    else:
        stay = any(map(plan.is_made, asked_for))
    if beside is None or not stay:
        return None
    path = beside / "kernel.json"
    try:
        record = json.loads(path.read_text())
        known = record["halo"] and Halo(**record["halo"])
        numbers = [record[name] for name in ("edges", "noise", "before", "after")]
        found = Estimate(np.array(record["taps"]), known, *numbers)
    except (OSError, ValueError, KeyError, TypeError):
        if len(plan.todo) == len(asked_for):  # what is there may have come in any way
            return None
        raise DataError(
            f"{path}: missing or damaged, so it is not known which kernel the frames in {destination} were made with; "
            "--overwrite makes them again"
        ) from None
    for name, value in asked.items():
        if record.get(name) != value:
            again = "--overwrite makes them again" if len(plan.todo) < len(asked_for) else "expected another folder"
            raise DataError(f"{destination}: frames here were made with another {name}; {again}")
    return found
