"""Run networks on films, and measure them: upscale, evaluate."""

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from typer import Argument, Option
from typer.core import TyperCommand

from fastup import _free
from fastup.cli import show
from fastup.cli.options import (
    Codec,
    End,
    EngineOption,
    Frames,
    Html,
    Json,
    Levels,
    Lines,
    Memory,
    ModelFile,
    OnCluster,
    Order,
    Overwrite,
    Pixels,
    Rate,
    Raw,
    RawSize,
    Start,
    carries_on,
    for_output,
    parse_size,
    pipes,
)  # fmt: skip
from fastup.errors import OptionError
from fastup.frames import refuse_other
from fastup.upscale import shipped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastup._types import StrPath
    from fastup.footage.stages import Stages
    from fastup.upscale.difference import Difference
    from fastup.upscale.evaluate import Protocol, Score
    from fastup.upscale.upscaler import Upscaler

WORTH = 10  # seconds of a run, of which it is worth saying what it waited for


class ModelFirst(TyperCommand):
    """A command of MODEL INPUT OUTPUT, of which MODEL may be left out."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, list(args))
        except typer.TyperException as error:
            if getattr(getattr(error, "param", None), "name", None) != "destination":
                raise
            return super().parse_args(ctx, [shipped.NAME, *args])


@carries_on
def upscale(
    model: Annotated[
        str,
        Argument(
            metavar="[MODEL]",
            help="A .keras or .onnx file that `fastup train` wrote.  [default: cel, which comes along]",
        ),
    ],
    source: Annotated[
        Path, Argument(metavar="INPUT", help="A folder of frames, one frame, a video, or - for a pipe of y4m.")
    ],
    destination: Annotated[
        Path,
        Argument(
            metavar="OUTPUT", help="A folder, a movie (.mov, .mkv, .mp4), or - for a pipe of y4m.", callback=for_output
        ),
    ],
    start: Start = "0",
    end: End = None,
    frames: Frames = None,
    test: Annotated[
        bool, Option("--test", help="Make the first, the middle and the last of them alone, to look at; in a folder.")
    ] = False,
    lines: Lines = None,
    range: Levels = "full",
    detelecine: Annotated[
        bool, Option("--detelecine", help="Undo 3:2 pulldown first, as `fastup detelecine` does.")
    ] = False,
    order: Order = None,
    dehalo: Annotated[
        bool, Option("--dehalo", help="Take halos out first, as `fastup dehalo` does; what it finds goes to OUTPUT.")
    ] = False,
    engine: EngineOption = "auto",
    memory: Memory = None,
    self_ensemble: Annotated[
        bool,
        Option("--self-ensemble", help="The mean of 4 flips, at equal scales 8 flips and turns: 4 or 8 times as long."),
    ] = False,
    cuts: Annotated[
        Path | None,
        Option(
            metavar="FILE",
            help="Where shots begin, of a recurrent model: the number of a frame on each line, from 0 whatever names "
            "say.  [default: found in the frames]",
            show_default=False,
        ),
    ] = None,
    pad: Annotated[
        str | None,
        Option(metavar="WxH", help="Put pictures into frames of this size: pillars back on, at the black level."),
    ] = None,
    format: Annotated[
        Literal["dpx", "tif", "png", "exr"], Option(help="Of a folder: 10-bit DPX, 16-bit TIFF or PNG, EXR of floats.")
    ] = "dpx",
    codec: Codec = None,
    raw: Raw = None,
    size: RawSize = None,
    rate: Rate = None,
    pixels: Pixels = None,
    diff: Annotated[
        Path | None,
        Option(metavar="HD", help="Say how far off the true frames in this folder they are; pictures in OUTPUT/diff."),
    ] = None,
    cluster: OnCluster = None,
    overwrite: Overwrite = False,
    as_json: Json = False,
) -> None:
    """Upscale a folder of frames, a video or a pipe. What is in OUTPUT already is skipped.

    Without a model, by one that comes with fastup: cel-sd for frames of 720x480, else cel-2x.

    \b
    fastup upscale tape/ hd/
    fastup upscale best.onnx tape/ hd/ --test
    fastup upscale best.onnx tape.mov hd.mov --detelecine --pad 1920x1080
    ffmpeg -i tape.mov -f yuv4mpegpipe - | fastup upscale best.onnx - - | mpv -
    """
    pipe, options = pipes(source, destination, codec, raw, size, rate, pixels)
    room = None if memory is None else _free.parse(memory)
    frame = None if pad is None else parse_size(pad, "pad")
    if source.suffix in (".keras", ".onnx"):
        raise OptionError(f"INPUT is {source}, a model by its name, which comes first: MODEL INPUT OUTPUT")
    _free.one_heap()
    from fastup.footage.stages import Stages
    from fastup.upscale import film
    from fastup.upscale.difference import refuse
    from fastup.upscale.upscaler import Upscaler

    if detelecine and cluster is not None:
        raise OptionError(f"cluster is {cluster}, but --detelecine weaves a clip from its first frame on, here")
    opened = film.opened(source, detelecine=detelecine, lines=lines, keep=range == "keep", pipe=pipe)  # before Keras
    named = shipped.is_named(model)
    path = shipped.file(model, shipped.scale_for(opened.size), None if engine == "auto" else engine == "keras")
    notes: list[str] = []

    def note(text: str) -> None:
        notes.append(text)
        if not as_json:
            show.note(text)

    upscaler = Upscaler(path, engine, self_ensemble, room, film.PARALLEL, note)
    if not as_json:
        if named:
            show.say(f"model: {shipped.words(Path(path).stem)}")
        show.say(f"engine: {upscaler.engine_words}")

    def prepared(on_progress):
        return film.prepare(
            upscaler, opened, destination, overwrite=overwrite, start=start, end=end, numbers=frames,
            detelecine=detelecine, order=order, without_halo=dehalo, suffix=None if format == "dpx" else f".{format}",
            options=options, pad=frame, test=test, diff=diff, cuts=cuts, on_progress=on_progress,
        )  # fmt: skip

    plan, _ = show.timed(prepared, "measuring")
    if plan.source.settings and not as_json:
        show.table(plan.source.settings)
    for text in plan.notes:
        note(text)
    stages = Stages()
    with show.cluster(cluster, note) as workers:
        plan = replace(plan, cluster=workers)
        (written, skipped), seconds = show.timed(partial(film.run, plan, stages=stages), "upscaling")
    found: list[Difference] = []
    faults: list[str] = []
    if diff is not None:
        (found, faults), _ = show.timed(partial(film.compare, plan), "comparing")
    if not as_json:
        show.made("upscaled", destination, written, skipped, seconds)
        show.workers(workers)
        show.note_gaps([path for _, path in plan.source.files()])
    if plan.only is not None and written + skipped < len(plan.only):
        note(f"{source} has fewer frames than it says: there is no frame {plan.only[-1]}")
    if frames and not written + skipped:
        note(f"there are no frames {frames} in {source}")
    for text in plan.source.notes + plan.sink.notes:
        note(text)
    if workers is None and seconds > WORTH and (slow := bottleneck(stages, seconds)):
        note(slow)
    if as_json:
        show.data(
            {
                "frames": written, "skipped": skipped, "frames_per_second": written / seconds,
                "engine": {"name": upscaler.engine.words, "why": upscaler.why, "times_a_frame": upscaler.views},
                "engine_busy": stages.seconds["engine"] / seconds,
                "seconds": {"total": seconds} | {stage.replace(" ", "_"): s for stage, s in stages.seconds.items()},
                "workers": None if workers is None else workers.workers,
                "notes": notes, "differences": None if diff is None else _facts_of(found),
            }
        )  # fmt: skip
    elif found:
        print_differences(found, destination / "diff")
    refuse(faults, "the frames that were compared")


def bottleneck(stages: "Stages", seconds: float) -> str | None:
    """What the engine waited for, if it was not busy for nine tenths of a run's seconds."""
    busy = stages.seconds["engine"] / seconds
    waited = {what: stages.seconds[f"waiting for {what}"] for what in ("reading", "writing")}
    if busy >= 0.9 or not any(waited.values()):
        return None
    slowest = max(waited, key=lambda what: waited[what])
    return f"the engine was busy {busy:.0%} of the time; it waited for {slowest}"


def print_differences(found: "list[Difference]", pictures: Path) -> None:
    """Print the largest and the mean difference of each channel and frame, and of all frames."""
    from fastup.upscale.difference import over_all

    caption = f"Absolute differences to the true frames, in codes of 10 bits; pictures of them are in {pictures}."
    columns = ("frame", *(f"{kind} {channel}" for kind in ("largest", "mean") for channel in "RGB"))
    table = show.figures(*columns, caption=caption)
    for each in [*found, whole := over_all(found)]:
        figures = [f"{value:.0f}" for value in each.largest] + [f"{value:.3f}" for value in each.mean]
        table.add_row(escape(each.frame), *figures, style="bold" if each is whole else None)
    show.out.print(table)


def _facts_of(found):
    from fastup.upscale.difference import over_all

    all_frames = asdict(over_all(found)) if found else None
    return {"unit": "10-bit codes", "frames": [asdict(each) for each in found], "all": all_frames}


def evaluate(
    model: ModelFile,
    data: Annotated[
        Path,
        Argument(metavar="DATA", help="Holds evaluation/; or Alpha/ and Beta/ themselves; or the targets alone."),
    ],
    protocol: Annotated[
        Literal["restoration", "papers"],
        Option(help="papers: 8 bits, the mean of decibels, and inputs made by MATLAB's imresize where there are none."),
    ] = "restoration",
    match: Annotated[
        bool, Option("--match", help="First give targets the gain and offset of their inputs, as `train --match` does.")
    ] = False,
    beside: Annotated[
        list[str] | None, Option("--model", metavar="MODEL", help="Another model beside it; may be given again.")
    ] = None,
    html: Html = None,
    engine: EngineOption = "auto",
    cluster: OnCluster = None,
    as_json: Json = False,
) -> None:
    """Compare a model with bicubic, frame by frame."""
    from fastup.upscale.upscaler import Upscaler

    refuse_other(data)
    if html is not None and cluster is not None:
        raise OptionError(
            f"cluster is {cluster}, but pictures of the page {html} are of frames made here; expected one"
        )
    models = [model, *(beside or [])]
    scale = shipped.scale_of(data) if shipped.NAME in models else None
    files = [shipped.file(each, scale, None if engine == "auto" else engine == "keras") for each in models]
    upscalers = [Upscaler(file, engine) for file in files]
    names = names_of(files)
    each = scores_of(upscalers, data, match, protocol, as_json, (html, names) if html else None, cluster)
    if as_json:
        rows = [[asdict(score) for score in scores] for scores in each]
        show.data(rows[0] if beside is None else dict(zip(names, rows, strict=True)))
        return
    for name, scores in zip(names, each, strict=True):
        if beside is not None:
            show.say(name)
        print_scores(scores, protocol)
    if html is not None:
        show.say(f"page: {html}, {html.stat().st_size / 1e6:.1f} MB")
    upscaler = upscalers[0]
    if upscaler.settings.get("match") and not match and protocol == "restoration":
        show.note(
            "the model learned from targets with the gain and offset of their inputs: --match compares with those"
        )


def export(
    model: ModelFile,
    out: Annotated[
        Path | None, Argument(metavar="OUT.onnx", help="Where to.  [default: the model's name]", show_default=False)
    ] = None,
    whole_scale: Annotated[
        bool,
        Option("--whole-scale", help="A file for programs that know whole scales alone."),
    ] = False,
) -> None:
    """Write a model as ONNX, for engines and other programs; checked against Keras."""
    from fastup.networks import start

    start()
    from fastup.upscale.export import OPSET, export

    for each in shipped.SCALES if model == shipped.NAME and out is None else [model]:
        name = Path(f"{each}.onnx") if out is None and shipped.is_named(each) else out  # here, not beside it
        _print_exported(export(shipped.file(each, keras=True), name, whole_scale), OPSET)


def _print_exported(made, opset):
    scale = " x ".join(map(str, made.scale)) + " (vertical, horizontal)"
    if made.whole_scale is not None:
        scale += f", as {made.whole_scale} x {made.whole_scale} of frames with room for it"
    rows = {
        "file": f"{made.path}, {made.path.stat().st_size / 1024:,.0f} KiB",
        "scale": scale,
        "opset": str(opset),
        "difference": f"{made.difference:.1e} at most from Keras, where white is 1; checked with {made.engine}",
    }
    if made.colour is not None:
        inside = "frames get those of the targets in the file, first"
        before = "frames have to get those of the targets first, which fastup does; other programs want --whole-scale"
        rows["colours"] = before if made.whole_scale is None else inside
    show.table(rows, "exported")


def names_of(files: "Sequence[StrPath]") -> list[str]:
    """What models are called side by side: by their run, if they lie in one, else by their file."""
    names: list[str] = []
    for path in map(Path, files):
        name = path.resolve().parent.name if path.stem in ("best", "last") else path.stem
        name += " (last)" if path.stem == "last" else ""
        again = sum(each == name or each.startswith(f"{name} #") for each in names)
        names.append(f"{name} #{again + 1}" if again else name)
    return names


def scores_of(
    upscalers: "Sequence[Upscaler]", data: Path, match: bool = False, protocol: "Protocol" = "restoration",
    quiet: bool = False, html: "tuple[Path, Sequence[str]] | None" = None, cluster: str | None = None,
) -> "list[list[Score]]":  # fmt: skip
    """Scores of every frame by each model, the mean last; unless `quiet`, what is to be said of the inputs is.

    `html` is where a page of them goes, and what it calls the models. `cluster` is where workers are that score them.
    """
    from fastup.pairs.colour import recipe
    from fastup.upscale import scoring
    from fastup.upscale.evaluate import mean, prepare, score_all

    if not quiet and any(each.colour for each in upscalers) and not (recipe(data) or recipe(data / "evaluation")):
        show.note(f"the inputs of {data} are taken to have the colours of the targets; no match.json there says so")
    with (
        show.cluster(cluster, (lambda text: None) if quiet else show.note) as workers,
        show.progress("evaluating") as advance,
    ):
        what = prepare(upscalers, data, advance, match, protocol)
        if what.note and not quiet:
            show.note(what.note)
        if workers is not None:
            scores = scoring.score_all(what, workers, advance)
        elif html is None:
            scores = score_all(what, advance)
        else:
            from fastup.report import evaluate

            path, names = html
            scores = evaluate.write(path, what, names, match, advance)
    if not quiet:
        show.workers(workers)
    return [[*each, mean(each, protocol)] for each in scores]


def print_scores(scores: "list[Score]", protocol: "Protocol" = "restoration") -> None:
    *each, mean = scores
    apart = [score for score in each if score.flat]
    apart = apart if len(apart) < len(each) else []
    left_out = "; frames of one colour, below, are left out" if apart else ""
    if protocol == "papers":
        caption = (
            "By the papers' protocol: pictures of 8 bits, luma without the rim; bicubic is MATLAB's, and so are\n"
            f"inputs where there were none. Mean: of decibels{left_out}. --json has more."
        )
        columns: tuple[tuple[str, str, str], ...] = (
            ("Y PSNR", "psnr_y", ""), ("bicubic", "psnr_y", "bicubic"), ("gain", "psnr_y", "gain"),
            ("Y SSIM", "ssim_y", ""), ("bicubic", "ssim_y", "bicubic"),
        )  # fmt: skip
    else:
        caption = (
            "PSNR, and its gain over bicubic: RGB, of the whole picture, beside lines and in flats. halos: codes\n"
            "of 10 bits by which edges are too bright on their bright side. Y PSNR, Y SSIM: luma, as in papers.\n"
            f"Mean: PSNR of the mean squared error{left_out}. --json has more."
        )
        columns = (
            ("PSNR", "psnr", ""), ("gain", "psnr", "gain"), ("lines", "psnr_lines", ""), ("gain", "psnr_lines", "gain"),
            ("flats", "psnr_flats", ""), ("gain", "psnr_flats", "gain"), ("halos", "halo", ""),
            ("bicubic", "halo", "bicubic"), ("Y PSNR", "psnr_y", ""), ("Y SSIM", "ssim_y", ""),
        )  # fmt: skip
        if mean.flicker is not None:
            caption += (
                "\nflicker: the mean change, in codes of 10 bits, from the frame before where the target is still."
            )
            columns += (("flicker", "flicker", ""), ("bicubic", "flicker", "bicubic"), ("input", "flicker", "input"))
    table = show.figures("frame", *(head for head, *_ in columns), caption=caption)
    table.collapse_padding = True
    for score in [*(score for score in each if score not in apart), mean, *apart]:
        cells = [_cell(score, name, what) for _, name, what in columns]
        table.add_row(escape(score.frame), *cells, style="bold" if score is mean else None, end_section=score is mean)
    show.out.print(table)


def _cell(score, name, what):
    """A figure of a score: the model's, bicubic's, the input's, or what the model gains over bicubic."""
    ours, bicubic = getattr(score, name), getattr(score, f"{name}_bicubic")
    if ours is None:
        return "-"
    value = getattr(score, f"{name}_{what}".rstrip("_")) if what != "gain" else ours - bicubic
    digits = {"ssim_y": 4, "halo": 1}.get(name, 2)
    return f"{value:+.{digits}f}" if what == "gain" else f"{value:.{digits}f}"
