"""Run networks on films, and measure them: upscale, evaluate."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.markup import escape
from typer import Argument

from fastup.cli import show
from fastup.cli.options import Json, ModelFile, Overwrite, carries_on
from fastup.frames import find, refuse_other
from fastup.networks import start

if TYPE_CHECKING:
    from fastup.upscale.evaluate import Score


@carries_on
def upscale(
    model: ModelFile,
    source: Annotated[Path, Argument(metavar="INPUT", help="A folder of frames, or one frame.")],
    destination: Annotated[Path, Argument(metavar="OUTPUT", help="A folder for 10-bit DPX frames.")],
    overwrite: Overwrite = False,
) -> None:
    """Upscale frames. Those already in OUTPUT are skipped."""
    refuse_other(source)  # before Keras is loaded
    start()
    from fastup.upscale.film import upscale

    run = partial(upscale, model, source, destination, overwrite, on_note=show.note)
    show.chore(run, "upscaling", "upscaled", destination, find(source))


def evaluate(
    model: ModelFile,
    data: Annotated[Path, Argument(metavar="DATA", help="Holds evaluation/; or Alpha/ and Beta/ themselves.")],
    as_json: Json = False,
) -> None:
    """Compare a model with bicubic, frame by frame."""
    scores = scores_of(model, data)
    if as_json:
        show.data([asdict(score) for score in scores])
    else:
        print_scores(scores)


def scores_of(model: Path, data: Path) -> "list[Score]":
    """Scores of every frame, the mean last."""
    refuse_other(data)
    start()
    from fastup.upscale.evaluate import evaluate, mean

    with show.progress("evaluating") as advance:
        scores = evaluate(model, data, advance)
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
