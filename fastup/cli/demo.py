"""What all commands together do: demo."""

from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from fastup.cli import show
from fastup.cli.train import run_training, settings_in_force
from fastup.cli.upscale import print_scores, scores_of, upscale
from fastup.errors import OptionError


def demo(
    folder: Annotated[Path, Argument(metavar="DIR", help="Where to put it all.")] = Path("fastup-demo"),
    minutes: Annotated[float, Option(help="How long to train.")] = 1.0,
) -> None:
    """Draw a clip, train on it, and show the gain.

    The clip is cel animation, drawn from a seed and degraded as SD tape was. The gain is measured on frames that
    training never saw.
    """
    from fastup import demo as clip
    from fastup.upscale.upscaler import Upscaler

    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise OptionError(f"{folder}: not empty, expected a new folder for the demo")
    # Most tiles of drawn animation are plain paint: a minute is better spent on the others, in small, quick steps.
    settings = {"quality": 0.25, "batch": 8, "learning_rate": 5e-3}
    layers = [("demo", settings | {"epochs": 1000, "minutes": minutes})]
    config, sources, name = settings_in_force(layers, folder)
    with show.progress("drawing pairs", "pairs") as advance:
        clip.write_data(folder, on_progress=advance)
    run_training(folder, config, sources, name)
    best = folder / "models" / config.model / "best.keras"
    (scores,) = scores_of([Upscaler(best, "auto")], folder)
    print_scores(scores)
    upscale(str(best), folder / "evaluation" / "Alpha", folder / "upscaled", overwrite=True)
    *_, last, mean = scores
    picture = clip.compare(folder, best, last)
    show.say(f"comparison: {picture}")
    show.say(f"gain over bicubic on unseen frames: {mean.psnr - mean.psnr_bicubic:+.2f} dB")
