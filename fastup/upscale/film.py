"""A folder of frames through a model: read ahead, upscaled, and written behind."""

import contextlib
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from fastup import frames
from fastup._formats import possible_aspect
from fastup._threads import in_order
from fastup._types import Progress, StrPath
from fastup.errors import DataError, OptionError
from fastup.footage import chore
from fastup.footage.stills import Folder
from fastup.pairs.folder import refuse_chroma
from fastup.upscale.upscaler import BITS, Upscaler

if TYPE_CHECKING:
    from fastup.networks.models import Network

PARALLEL = 2  # frames that an engine may have at a time: OpenVINO's threads then wait less for one another


def upscale(
    model: "StrPath | Network | Upscaler", source: StrPath, destination: StrPath, overwrite: bool = False,
    on_progress: Progress | None = None, on_note: Callable[[str], object] | None = None,
) -> tuple[int, int]:  # fmt: skip
    """Upscale a folder of frames, or one frame, to 10-bit DPX of the same names, as `chore.run` does.

    Headers are carried over as `Upscaler.header` has it. All frames are checked, by their headers, before any is made.
    The next frames are read, and the last ones written, while one is computed. `on_note` is called with a line about
    frames whose pixel aspect is not said, or not what the model was trained on.
    """
    upscaler = model if isinstance(model, Upscaler) else Upscaler(model, parallel=PARALLEL)
    folder = Folder(source)
    plan = chore.Plan(folder, Path(destination), overwrite).checked()
    aspects: Counter[Fraction | None] = Counter()
    for path in (folder.paths[number] for number in plan.todo):
        try:
            upscaler.check(frames.probe(path)[0])
        except (DataError, OptionError) as error:
            raise DataError(f"{path}: {error}") from None
        refuse_chroma(path)
        aspects[_header_of(path).pixel_aspect] += 1
    if on_note is not None:
        for note in _notes(aspects, upscaler):
            on_note(note)

    def before(item):
        number, path = item
        return number, path, upscaler.prepared(path, folder.pixels(path, "float32"))

    def run(item):
        return *item, upscaler.run(item[-1])

    def after(item):
        number, path, prepared, result = item
        return number, upscaler.finished(prepared, result, 2**BITS - 1), upscaler.header(_header_of(path))

    def work(items):
        at_once = upscaler.engine.parallel
        with (  # three stages, so that the engine never waits
            contextlib.closing(in_order(before, items, threads=1, ahead=2)) as ready,
            contextlib.closing(in_order(run, ready, threads=at_once, ahead=at_once)) as made,
            contextlib.closing(in_order(after, made, threads=1, ahead=2)) as results,
        ):
            yield from results

    return chore.run(plan, work, "upscaling", on_progress)


def _header_of(path):
    """The header of a frame. A still's pixels are square by default: that it says so says nothing."""
    header = frames.read_header(path)
    return header.replace(pixel_aspect=None) if header.pixel_aspect == 1 and not frames.is_dpx(path) else header


def _notes(aspects, upscaler):
    """What is to be said of the pixel aspects of the frames, which are counted."""
    usual = Fraction(*upscaler.settings["pixel_aspect"])
    for given, count in aspects.items():
        made = upscaler.aspect(given)
        frame = f"{count} frame{'s' * (count != 1)}"
        if not possible_aspect(given):
            yield f"{frame} without a pixel aspect: {_words(made)}, that of the targets that the model was trained on"
        elif made != usual:
            yield (
                f"{frame} of pixel aspect {_words(given)}: {_words(made)} once upscaled; the targets that the model "
                f"was trained on had {_words(usual)}"
            )


def _words(aspect):
    return f"{aspect.numerator}:{aspect.denominator}"
