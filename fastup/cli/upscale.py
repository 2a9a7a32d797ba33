"""Run networks on films, and measure them: upscale, evaluate."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from rich.markup import escape
from typer import Argument, Option

from fastup.cli import show
from fastup.cli.options import (
    Codec,
    End,
    EngineOption,
    Frames,
    Json,
    Levels,
    Lines,
    ModelFile,
    Order,
    Overwrite,
    Pixels,
    Rate,
    Raw,
    RawSize,
    Start,
    carries_on,
    for_output,
    pipes,
)
from fastup.frames import refuse_other

if TYPE_CHECKING:
    from fastup.upscale.evaluate import Score


@carries_on
def upscale(
    model: ModelFile,
    source: Annotated[
        Path, Argument(metavar="INPUT", help="A folder of frames, one frame, a video, or - for a pipe of y4m.")
    ],
    destination: Annotated[
        Path,
        Argument(
            metavar="OUTPUT", help="A folder, a movie (.mov, .mkv, .mp4), or - for a pipe of y4m.", callback=for_output
        ),
    ],
    engine: EngineOption = "auto",
    start: Start = "0",
    end: End = None,
    frames: Frames = None,
    lines: Lines = None,
    range: Levels = "full",
    detelecine: Annotated[
        bool, Option("--detelecine", help="Undo 3:2 pulldown first, as `fastup detelecine` does.")
    ] = False,
    order: Order = None,
    format: Annotated[
        Literal["dpx", "tif", "png", "exr"], Option(help="Of a folder: 10-bit DPX, 16-bit TIFF or PNG, EXR of floats.")
    ] = "dpx",
    codec: Codec = None,
    raw: Raw = None,
    size: RawSize = None,
    rate: Rate = None,
    pixels: Pixels = None,
    overwrite: Overwrite = False,
) -> None:
    """Upscale frames: a folder or a video, to a folder or a video. Those already in OUTPUT are skipped."""
    pipe, options = pipes(source, destination, codec, raw, size, rate, pixels)
    from fastup.upscale import film
    from fastup.upscale.upscaler import Upscaler

    opened = film.opened(source, detelecine=detelecine, lines=lines, keep=range == "keep", pipe=pipe)  # before Keras
    upscaler = Upscaler(model, engine, parallel=film.PARALLEL)
    show.say(f"engine: {upscaler.engine_words}")

    def prepared(on_progress):
        return film.prepare(
            upscaler, opened, destination, overwrite=overwrite, start=start, end=end, numbers=frames,
            detelecine=detelecine, order=order, suffix=None if format == "dpx" else f".{format}", options=options,
            on_progress=on_progress,
        )  # fmt: skip

    plan, _ = show.timed(prepared, "measuring")
    if plan.source.settings:
        show.table(plan.source.settings)
    for note in plan.notes:
        show.note(note)
    (written, skipped), seconds = show.timed(partial(film.run, plan), "upscaling")
    show.made("upscaled", destination, written, skipped, seconds)
    if frames and not written + skipped:
        show.note(f"there are no frames {frames} in {source}")
    show.note_gaps([path for _, path in plan.source.files()])
    for note in plan.source.notes + plan.sink.notes:
        show.note(note)


def evaluate(
    model: ModelFile,
    data: Annotated[Path, Argument(metavar="DATA", help="Holds evaluation/; or Alpha/ and Beta/ themselves.")],
    engine: EngineOption = "auto",
    as_json: Json = False,
) -> None:
    """Compare a model with bicubic, frame by frame."""
    scores = scores_of(model, data, engine)
    if as_json:
        show.data([asdict(score) for score in scores])
    else:
        print_scores(scores)


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

    made = export(model, out, whole_scale)
    scale = " x ".join(map(str, made.scale)) + " (vertical, horizontal)"
    if made.whole_scale is not None:
        scale += f", as {made.whole_scale} x {made.whole_scale} of frames with room for it"
    rows = {
        "file": f"{made.path}, {made.path.stat().st_size / 1024:,.0f} KiB",
        "scale": scale,
        "opset": str(OPSET),
        "difference": f"{made.difference:.1e} at most from Keras, where white is 1; checked with {made.engine}",
    }
    show.table(rows, "exported")


def scores_of(model: Path, data: Path, engine: str = "auto") -> "list[Score]":
    """Scores of every frame, the mean last."""
    refuse_other(data)
    from fastup.upscale.evaluate import evaluate, mean
    from fastup.upscale.upscaler import Upscaler

    upscaler = Upscaler(model, engine)
    with show.progress("evaluating") as advance:
        scores = evaluate(upscaler, data, advance)
    return [*scores, mean(scores)]


def print_scores(scores: "list[Score]") -> None:
    *each, mean = scores
    apart = [score for score in each if score.flat]
    apart = apart if len(apart) < len(each) else []
    left_out = "; frames of one colour, below, are left out" if apart else ""
    caption = (
        "PSNR: RGB, whole picture, dB. Y PSNR, Y SSIM: luma by the papers' protocol.\n"
        f"Mean: PSNR of the mean squared error{left_out}."
    )
    columns = "frame", "PSNR", "bicubic", "gain", "Y PSNR", "bicubic", "Y SSIM", "bicubic"
    table = show.figures(*columns, caption=caption)
    for score in [*(score for score in each if score not in apart), mean, *apart]:
        table.add_row(
            escape(score.frame),
            f"{score.psnr:.2f}", f"{score.psnr_bicubic:.2f}", f"{score.psnr - score.psnr_bicubic:+.2f}",
            f"{score.psnr_y:.2f}", f"{score.psnr_y_bicubic:.2f}",
            f"{score.ssim_y:.4f}", f"{score.ssim_y_bicubic:.4f}",
            style="bold" if score is mean else None,
            end_section=score is mean,
        )  # fmt: skip
    show.out.print(table)
