"""Video, or a folder of stills, to 10-bit RGB DPX at its own size: decoding, converting and writing overlap."""

from dataclasses import dataclass
from pathlib import Path

from fastup import frames
from fastup._types import Frame, Progress, StrPath
from fastup.errors import DataError, OptionError
from fastup.footage import chore
from fastup.footage.sink import FolderSink
from fastup.footage.source import Clip, Planes
from fastup.footage.stills import Stills
from fastup.header import Header


@dataclass(frozen=True, kw_only=True)
class Plan(chore.Plan):
    """What `prepare` found to do: as every plan, with `lines` lines of each frame, from `top` on."""

    source: Clip
    lines: int | None
    top: int


def prepare(
    source: Clip, destination: StrPath, *, start: int | str = 0, end: int | str | None = None, every: int = 1,
    lines: int | None = None, overwrite: bool = False,
) -> Plan:  # fmt: skip
    """Check what is asked for, before anything is written.

    DataError if the frames cannot go to `destination`, OptionError if an option does not fit the source.

    Parameters
    ----------
    source, destination
        A clip, and a folder. Frames are named after the video and their number, ``tape_0000123.dpx``, or the still.
    start, end
        The first frame, and the one after the last, as `Clip.frame_number` takes them.
    every
        Take one frame of so many.
    lines
        Crop to so many lines, an even number fewer, which are taken off the top and the bottom in pairs, so that the
        fields keep their order: of 486 lines for 480, 4 off the top and 2 off the bottom.
    """
    first = source.frame_number(start, "start")
    last = None if end is None else source.frame_number(end, "end")
    if every < 1:
        raise OptionError(f"every is {every}, expected 1 or more")
    if last is not None and last <= first:
        raise OptionError(f"end is frame {last}, expected one after start, which is frame {first}")
    top = _rows_off(source, lines)
    if isinstance(source, Stills) and first >= len(source):
        raise OptionError(f"start is frame {first}, expected one of the {len(source)}, which count from 0")
    plan = Plan(
        source=source, destination=Path(destination), overwrite=overwrite, first=first, last=last, every=every,
        lines=lines, top=top,
    )  # fmt: skip
    return plan.checked()


def run(plan: Plan, on_progress: Progress | None = None) -> tuple[int, int]:
    """Write the frames of a plan, as `chore.run` does.

    DataError if the first frame is there already, but of another size; if the video is cut short or damaged: when all
    that can be decoded is written. OptionError if there is no frame to begin with.
    """
    source = plan.source
    _refuse_others(plan)

    def make(number: int, planes: Planes) -> tuple[Frame, Header]:
        header, frame = source.header(number), source.pixels(planes)
        return (frame[plan.top :][: plan.lines], header.replace(height=plan.lines)) if plan.lines else (frame, header)

    written, skipped = chore.run(plan, chore.each(make), "extracting", on_progress)
    if damage := source.missing(plan.first, plan.last):
        raise DataError(f"{source.path}: {damage}; {written + skipped} frames are in {plan.destination}")
    if not written + skipped:
        raise OptionError(f"start is frame {plan.first}, but {source.path} ends before it")
    return written, skipped


def _refuse_others(plan: Plan) -> None:
    """Raise DataError if the first frame of a plan is there already, but of another size: made with other options."""
    if not isinstance(plan.sink, FolderSink):
        return
    path, size = plan.sink.place(plan.first), (plan.lines or plan.source.height, plan.source.width)
    if plan.source.there(plan.first) and plan.is_made(plan.first) and (there := frames.probe(path)[0][:2]) != size:
        raise DataError(
            f"{path}: {there[1]}x{there[0]}, expected {size[1]}x{size[0]}: made with other options; expected another "
            "folder, or --overwrite"
        )


def _rows_off(source: Clip, lines: int | None) -> int:
    """How many lines to take off the top of a source's frames for `lines` of them: an even number, like those below.

    Raises OptionError if there are no such lines; None is all.
    """
    off = 0 if lines is None else source.height - lines
    if off < 0 or off % 2 or lines == 0:
        raise OptionError(f"lines is {lines}, expected the {source.height} of {source.path}, or an even number fewer")
    top = (off // 2 + 1) // 2 * 2
    if off:
        source.note(f"{source.height} lines cropped to {lines}: {top} off the top, {off - top} off the bottom")
    return top
