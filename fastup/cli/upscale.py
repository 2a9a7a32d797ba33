"""Run networks on films: upscale, evaluate; and the demo, which does it all."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from fastup.cli import show
from fastup.cli.options import Json, ModelFile, Overwrite, carries_on
from fastup.cli.train import _resolve, _train
from fastup.errors import OptionError
from fastup.frames import find, refuse_other
from fastup.networks import start


@carries_on
def upscale(
    model: ModelFile,
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A folder of frames, or one frame.")],
    destination: Annotated[Path, typer.Argument(metavar="OUTPUT", help="A folder for 10-bit DPX frames.")],
    overwrite: Overwrite = False,
) -> None:
    """Upscale frames. Those already in OUTPUT are skipped."""
    refuse_other(source)  # before Keras is loaded
    start()
    from fastup.upscale.upscaler import upscale

    run = partial(upscale, model, source, destination, overwrite, on_note=show.note)
    show.chore(run, "upscaling", "upscaled", destination, find(source))


def evaluate(
    model: ModelFile,
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Holds evaluation/; or Alpha/ and Beta/ themselves.")],
    as_json: Json = False,
) -> None:
    """Compare a model with bicubic, frame by frame."""
    scores = _evaluate(model, data)
    if as_json:
        show.data([asdict(score) for score in scores])
    else:
        _print_scores(scores)


def _evaluate(model, data):
    """Scores of every frame, the mean last."""
    refuse_other(data)
    start()
    from fastup.upscale.evaluate import evaluate, mean

    with show.progress("evaluating") as advance:
        scores = evaluate(model, data, advance)
    return [*scores, mean(scores)]


def _print_scores(scores):
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


def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to put it all.")] = Path("fastup-demo"),
    minutes: Annotated[float, typer.Option(help="How long to train.")] = 1.0,
) -> None:
    """Draw a clip, train on it, and show the gain.

    The clip is cel animation, drawn from a seed and degraded as SD tape was. The gain is measured on frames that
    training never saw.
    """
    from fastup import demo as clip

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OptionError(f"{folder}: not empty, expected a new folder for the demo")
    # Half the tiles of drawn animation are plain paint: a minute is better spent on the others, in small steps.
    layers = [("demo", {"quality": 0.5, "batch": 8, "epochs": 1000, "minutes": minutes})]
    config, sources, name = _resolve(layers, folder)
    with show.progress("drawing pairs") as advance:
        clip.write_data(folder, on_progress=advance)
    _train(folder, config, sources, name, None)
    best = folder / "models" / config.model / "best.keras"
    scores = _evaluate(best, folder)
    _print_scores(scores)
    upscale(best, folder / "evaluation" / "Alpha", folder / "upscaled", True)
    *_, last, mean = scores
    picture = clip.compare(folder, best, last)
    show.say(f"comparison: {picture}")
    show.say(f"gain over bicubic on unseen frames: {mean.psnr - mean.psnr_bicubic:+.2f} dB")
