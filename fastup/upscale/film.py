"""Frames through a model, from any source to any sink: read ahead, upscaled, and written behind."""

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fastup import frames
from fastup._formats import possible_aspect
from fastup._threads import in_order
from fastup._types import Progress, Size, StrPath
from fastup.errors import DataError, FastupError, OptionError
from fastup.footage import chore, dehalo, opening, telecine
from fastup.footage.pipe import Pipe
from fastup.footage.sink import FolderSink
from fastup.footage.source import Clip, Items, Skip, Source
from fastup.footage.stages import Stages
from fastup.pairs.colour import has_recipe_done
from fastup.trim import fixed
from fastup.upscale.around import Around, read_cuts
from fastup.upscale.difference import Difference, Twins, differences
from fastup.upscale.pillars import Pillars
from fastup.upscale.recurrence import Given
from fastup.upscale.upscaler import BITS, Upscaler, digest

if TYPE_CHECKING:
    from fastup.networks.models import Network

PARALLEL = 2  # frames that an engine may have at a time: OpenVINO's threads then wait less for one another


@dataclass(frozen=True, kw_only=True)
class Plan(chore.Plan):
    """What `prepare` found, and `run` does."""

    upscaler: Upscaler
    film: telecine.Film | None  # what the frames come from, where pulldown is undone
    halo: Mapping[str, Any] | None  # what `dehalo.facts` says, where halos are taken out
    notes: list[str]  # what is to be said of the frames
    pillars: Pillars | None = None  # what the pictures are put into
    matched: bool = False  # whether frames have the colours of the targets already
    cuts: frozenset[int] | None = None  # the frames with which shots begin; None where they are to be found
    twins: Twins | None = None  # what `compare` compares with

    def items(self, start: int, skip: Skip) -> Items:
        """Those of a recurrent model have frames around them: see `Around`."""
        if not self.upscaler.model.recurrent or (self.numbers is not None and not self.todo):
            return super().items(start, skip)
        return self.around.items(start, skip)

    def unit(self, number: int) -> int:
        """For a recurrent model more than a frame: see `Around.unit`."""
        whole = isinstance(self.sink, FolderSink) and self.upscaler.model.recurrent
        return self.around.unit(number) if whole else super().unit(number)

    def cut(self, numbers: Sequence[int]) -> Self:
        """For a recurrent model with the frames around them."""
        part = super().cut(numbers)
        if not self.upscaler.model.recurrent or not numbers:
            return part
        return replace(part, source=self.source.cut(*self.around.span(numbers)))

    @cached_property
    def around(self) -> Around:
        """Which frames are read for a recurrent model beside those that are asked for."""
        return Around(self, self.upscaler.model, self.cuts)


def opened(
    path: StrPath, *, detelecine: bool = False, lines: int | None = None, keep: bool = False, pipe: Pipe | None = None
) -> Source:
    """Open what is to be upscaled: frames as they are, unless film is to be found in them; all else as a clip.

    `lines`, `keep` and `pipe` are as of `Clip.crop` and `opening.open_clip`. Raises what `opening.source` does, and
    OptionError if an option does not fit.
    """
    if not detelecine and not opening.is_pipe(path) and opening.is_frames(path):
        for name, value in (("lines", lines), ("range", "keep" if keep else None)):
            if value is not None:
                raise OptionError(f"{name} is {value}, but {path} holds frames, which are taken as they are")
        return opening.source(path)
    clip = opening.open_clip(path, keep=keep, pipe=pipe)
    clip.crop(lines)
    return clip


def prepare(
    model: "StrPath | Network | Upscaler", source: StrPath | Source, destination: StrPath, *, overwrite: bool = False,
    start: int | str = 0, end: int | str | None = None, numbers: str | None = None, detelecine: bool = False,
    order: str | None = None, without_halo: bool = False, suffix: str | None = None,
    options: Mapping[str, Any] | None = None, pad: Size | None = None, test: bool = False,
    diff: StrPath | None = None, cuts: StrPath | Iterable[int] | None = None, on_progress: Progress | None = None,
) -> Plan:  # fmt: skip
    """Plan to upscale frames, and check them: all files by their headers, a clip by its size. Nothing is written.

    Raises what `opened` does; DataError, OptionError if frames cannot be upscaled, or not go where they should, or an
    option does not fit.

    Parameters
    ----------
    model
        As of `Upscaler`, or one.
    source
        What `opened` gives, or what it takes.
    destination
        A folder, a video or a pipe: as of `opening.sink`.
    start, end, numbers
        As of `chore.part`; of film, `start` and `end` are frames of the clip that it is found in.
    detelecine, order
        Whether pulldown is undone first, and which field comes first, as of `telecine.detelecine`.
    without_halo
        Whether the halos of analog transfers are taken out before, as `dehalo.prepare` does.
    suffix, overwrite, options
        As of `chore.Plan`.
    pad
        The size of the frames that pictures are put into, as of `Pillars`; None for none.
    test
        Whether to make no more than the first, the middle and the last frame: see `chore.Plan.sample`.
    diff
        A folder of the frames that the upscaled ones should be, for `compare`.
    cuts
        Of a recurrent model, the numbers of the frames with which shots begin, from 0 whatever names say, or a file
        that `around.read_cuts` reads; by default they are found as frames come.
    """
    source = source if isinstance(source, Source) else opened(source, detelecine=detelecine)
    upscaler = model if isinstance(model, Upscaler) else Upscaler(model, parallel=PARALLEL)
    facts: dict[str, Any] = {"model": _digest(upscaler.model.name), "self_ensemble": upscaler.self_ensemble}
    facts["pad"] = pad and f"{pad[1]}x{pad[0]}"
    if isinstance(source, Clip):
        facts |= {"lines": source.lines, "range": "keep" if source.keep else "full", "detelecine": detelecine}
    film = None
    if detelecine and isinstance(source, Clip):
        chore.check_place(source, Path(destination))  # before all is measured
        source = film = telecine.find(source, order=order, start=start, end=end, on_progress=on_progress)
        start, end = 0, None
    elif order is not None:
        raise OptionError(f"order is {order}, but nothing is detelecined; expected --detelecine with it")
    first, last = chore.part(source, start, end, numbers)
    halo = dehalo.facts(source) if without_halo else None
    facts |= {"dehalo": halo}
    told: StrPath = "cuts"
    if isinstance(cuts, str | os.PathLike):
        told, cuts = cuts, read_cuts(cuts)
    begins = None if cuts is None else upscaler.firsts(cuts)
    if begins is not None:
        facts |= {"cuts": sorted(begins)}
    plan = Plan(
        source=source, destination=Path(destination), overwrite=overwrite, suffix=suffix, first=first, last=last,
        chunk=numbers is not None, made_by=facts, options=options or {}, upscaler=upscaler, film=film, halo=halo,
        notes=[], cuts=begins, matched=upscaler.colour is not None and has_recipe_done(source.path),
        pillars=None if pad is None else Pillars.of(pad, upscaler.settings),
        twins=None if diff is None else Twins(diff, fixed(upscaler.settings["trim"])),
    ).checked()  # fmt: skip
    plan = plan.sample() if test else plan
    plan.notes.extend(_notes(_checked(plan), upscaler))
    if begins is not None:
        plan.notes.extend(_cut_notes(plan, told))
    if upscaler.colour is not None:
        have = "frames have the colours of the targets already, as inputs of a set that was matched --to hd"
        get = f"frames get the colours of the targets first, by the recipe of the model: {upscaler.colour.words}"
        plan.notes.append(have if plan.matched else get)
    if plan.pillars is not None and (plan.todo or plan.numbers is None):
        number, files = next(iter(plan.todo), first), dict(source.files())
        plan.notes.append(plan.pillars.words(upscaler.header(_header_of(source, files, number))))
    _refuse_others(plan)
    if plan.twins is not None:
        plan.twins.check(_made(plan))
    if film is not None:
        plan.notes.append(film.words)
    if halo is None:
        return plan
    clean = dehalo.find(plan, halo, on_progress=on_progress)
    plan.notes.append(clean.words)
    return replace(plan, source=clean)


def run(plan: Plan, on_progress: Progress | None = None, stages: Stages | None = None) -> tuple[int, int]:
    """Upscale the frames of a plan, as `chore.run` does, to 10 bits; PNG and TIFF have 16, EXR has floats.

    Headers are carried over as `Upscaler.header` has it. The next frames are read, and the last ones written, while one
    is computed. `stages` gets how long each of "reading", "engine" and "writing" was busy, and how long the engine was
    "waiting for" the other two.
    """
    source = plan.source
    if plan.film is not None:
        telecine.keep_report(plan.film, plan)
    if plan.halo is not None and isinstance(source, dehalo.Dehaloed):
        dehalo.keep(plan, plan.halo, source.found)
        if (beside := plan.sink.beside("dehalo")) is not None:
            dehalo.plot(beside / "kernel.png", source.found)
    return chore.run(plan, partial(work, stages=stages or Stages()), "upscaling", on_progress)


def work(plan: Plan, stages: Stages) -> chore.Work:
    """What makes the frames of a plan, and measures itself."""
    upscaler, pillars, source, files = plan.upscaler, plan.pillars, plan.source, dict(plan.source.files())
    in_codes = isinstance(plan.sink, FolderSink) and plan.sink.suffix == ".dpx"
    flow, around = upscaler.flow(), plan.around if upscaler.model.recurrent else None

    def prepared(number, raw):
        return upscaler.prepared(source.label(number), source.pixels(raw, "float32"), plan.matched)

    def before(item):
        number, raw = item
        with stages("reading"):
            if around is None or around.asked(number):
                return number, prepared(number, raw)
            try:  # beside those that are asked for, and so not checked before
                if number in files:
                    frames.refuse_chroma(files[number])
                return number, prepared(number, raw)
            except FastupError as error:
                why = "frames that are asked for are made with it, as in the whole film"
                raise type(error)(f"{error}; {why}") from error

    def after(made):
        step, result = made
        with stages("writing"):
            frame = upscaler.finished(step.frame, result, 2**BITS - 1 if in_codes else None)
            header = upscaler.header(_header_of(source, files, step.item))
            if pillars is not None:
                frame, header = pillars(frame, header), pillars.header(header)
            return step.item, frame, header

    def engine(step):
        with stages("engine"):
            return step, flow.run(step)

    def given(ready):
        return (Given(*item) for item in ready) if around is None else around.given(ready)

    def asked(made):
        return (each for each in made if around is None or around.asked(each[0].item))

    def through(items):
        with (  # three stages, so that the engine never waits
            contextlib.closing(in_order(before, stages.taking(items, "reading"), threads=1, ahead=2)) as read,
            contextlib.closing(stages.taking(read, "waiting for reading")) as ready,
            contextlib.closing(in_order(engine, flow.steps(given(ready)), flow.parallel, flow.parallel)) as made,
            contextlib.closing(in_order(after, asked(made), threads=1, ahead=2)) as results,
        ):
            for result in results:
                with stages("writing"), stages("waiting for writing"):
                    yield result

    return through


def upscale(
    model: "StrPath | Network | Upscaler", source: StrPath | Source, destination: StrPath, overwrite: bool = False,
    on_progress: Progress | None = None, on_note: Callable[[str], object] | None = None, **options: Any,
) -> tuple[int, int]:  # fmt: skip
    """Upscale frames: `prepare`, whose options it takes, and `run`.

    `on_note` is called with a line about frames whose pixel aspect is not said, or not what the model was trained on.
    """
    plan = prepare(model, source, destination, overwrite=overwrite, on_progress=on_progress, **options)
    if on_note is not None:
        for note in plan.notes:
            on_note(note)
    return run(plan, on_progress)


def compare(plan: Plan, on_progress: Progress | None = None) -> tuple[list[Difference], list[str]]:
    """Compare the frames of a plan, which were made, with their twins, as `differences` does: pictures go to diff/."""
    pictures = plan.sink.beside("diff")
    assert plan.twins is not None and pictures is not None  # noqa: PT018 -- as prepare has it
    return differences(filter(Path.exists, _made(plan)), plan.twins, pictures, on_progress)


def _made(plan):
    """The files that the frames of a plan become, and their sizes."""
    if not isinstance(plan.sink, FolderSink):
        raise OptionError(f"diff writes pictures beside frames, but {plan.destination} is no folder; expected one")
    if plan.numbers is None:
        raise OptionError(f"diff needs the number of frames, which {plan.source.path} does not tell; expected an end")
    return _sizes(plan, [number for number in plan.numbers if plan.source.there(number)])


def _sizes(plan, numbers):
    """The files that frames become, in a folder, and their sizes."""
    files, pad = dict(plan.source.files()), plan.pillars and plan.pillars.size
    shapes = {number: frames.probe(files[number])[0] if files else (*plan.source.size, 3) for number in numbers}
    for number, shape in shapes.items():
        _refuse(plan, shape, files.get(number, plan.source.path))
    return {plan.sink.place(number): pad or plan.upscaler.size(shape[:2]) for number, shape in shapes.items()}


def _refuse_others(plan):
    """Raise DataError where a folder has frames of another size already, as another model makes them, or other options.

    The first and the last of them tell: those between were made in a run that was refused where they differ.
    """
    if not isinstance(plan.sink, FolderSink) or not plan.numbers:
        return
    made = _made_before(plan)
    for path, (height, width) in _sizes(plan, made[:1] + made[-1:]).items():
        try:
            h, w = frames.probe(path)[0][:2]
        except FastupError:  # of another hand: it is left as it is
            continue
        if (h, w) != (height, width):
            raise DataError(
                f"{path}: {w}x{h} is there already, but would be {width}x{height}: made by another model, or "
                "with other options; expected another folder, or --overwrite"
            )


def _made_before(plan):
    """The frames that are asked for and there already, as far as the source knows how many it has."""
    todo = set(plan.todo)
    return [number for number in plan.numbers or () if number not in todo and plan.source.there(number)]


def _cut_notes(plan, name):
    """What is to be said of cuts that were told; DataError if the source has no such frames."""
    source, count = plan.source, plan.source.frame_count
    if count is not None and (beyond := [number for number in sorted(plan.cuts) if number >= count]):
        text = (
            f"{name}: a shot begins with frame {beyond[0]}, but {source.path} has {count} frames; expected numbers "
            f"below {count}, counted from 0, whatever the names of frames are"
        )
        if any(source.files()):
            raise DataError(text)
        yield text  # of video the count is an estimate
    if isinstance(plan.sink, FolderSink) and (made := len(_made_before(plan))):
        yield (
            f"frames that are there already, {made}, stay as they are, whatever cuts they were made with; --overwrite "
            "makes them anew"
        )


def _digest(name):
    """What tells a model's file from others; of a network nothing does."""
    return digest(name) if os.path.isfile(name) else None


def _checked(plan):
    """What is to be upscaled, in words, by pixel aspect; each file is checked, a clip once."""
    files, aspects = dict(plan.source.files()), Counter()
    if not files and not (plan.last is not None and plan.last <= plan.first):
        _refuse(plan, (*plan.source.size, 3), plan.source.path)
        number = next(filter(plan.source.there, plan.numbers or ()), plan.first)
        return {plan.source.header(number).pixel_aspect: str(plan.source.path)}
    for number in plan.todo if files else ():
        path = files[number]
        _refuse(plan, frames.probe(path)[0], path)
        frames.refuse_chroma(path)
        aspects[_header_of(plan.source, files, number).pixel_aspect] += 1
    return {aspect: f"{count} frame{'s' * (count != 1)}" for aspect, count in aspects.items()}


def _refuse(plan, shape, path):
    try:
        plan.upscaler.check(shape)
    except (DataError, OptionError) as error:
        raise DataError(f"{path}: {error}") from None
    if plan.pillars is not None:
        plan.pillars.around(plan.upscaler.size(shape[:2]))


def _header_of(source, files, number):
    """The header of a frame. A still's pixels are square by default: that it says so says nothing."""
    header = source.header(number)
    if header.pixel_aspect == 1 and number in files and not frames.is_dpx(files[number]):
        return header.replace(pixel_aspect=None)
    return header


def _notes(aspects, upscaler):
    """What is to be said of the pixel aspects of frames."""
    usual = Fraction(*upscaler.settings["pixel_aspect"])
    for given, what in aspects.items():
        made = upscaler.aspect(given)
        if not possible_aspect(given):
            yield f"{what} without a pixel aspect: {_words(made)}, that of the targets that the model was trained on"
        elif made != usual:
            yield (
                f"{what} of pixel aspect {_words(given)}: {_words(made)} once upscaled; the targets that the model "
                f"was trained on had {_words(usual)}"
            )


def _words(aspect):
    return f"{aspect.numerator}:{aspect.denominator}"
