"""The history of a run as plots: of validation PSNR beside bicubic, and of the loss, over the steps."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, RenderResult

from fastup.cli.plot import Curve, Plot

if TYPE_CHECKING:
    from fastup.train.fit import Step

BELOW = 2.0  # dB under bicubic and the best that are still shown: a first epoch may be far lower
MOST = 500  # points of the epoch under way


class Monitor:
    """What Rich draws of a run: its history so far, and what `on_epoch` and `on_step` are called with since."""

    def __init__(self, history: Sequence[Mapping[str, Any]]) -> None:
        self.history = list(history)
        self.losses: list[tuple[float, float]] = []  # of the epoch under way: its mean so far

    def on_epoch(self, row: Mapping[str, Any]) -> None:
        self.history.append(row)
        self.losses = []

    def on_step(self, step: "Step") -> None:
        if len(self.losses) >= MOST:
            self.losses = self.losses[::2]
        self.losses = [*self.losses, (sum(row["steps"] for row in self.history) + step.step, step.loss)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        history, under_way = self.history, self.losses
        steps = list(accumulate(row["steps"] for row in history))
        until = max([1, *steps, *(step for step, _ in under_way)])

        def curve(words, style, key):
            points = zip(steps, (row[key] for row in history), strict=True)
            return Curve(words, style, [(step, value) for step, value in points if value is not None])

        seen = [row for row in history if row["psnr"] is not None]  # validated
        if seen:
            best, bicubic = max(seen, key=lambda row: row["psnr"]), seen[-1]["psnr_bicubic"]
            beside = curve(f"bicubic {bicubic:.2f}", "yellow", "psnr_bicubic")
            beside = replace(beside, points=[*beside.points, (until, bicubic)])
            ours = curve(f"model, best {best['psnr']:.2f} in epoch {best['epoch']}", "green", "psnr")
            least = min(best["psnr"], bicubic) - BELOW
            yield Plot("validation, dB", "steps", [beside, ours], until, 9, "8.2f", least=least)
        losses = [curve("of each epoch", "cyan", "loss"), Curve("so far in this one", "magenta", under_way)]
        losses = [each for each in losses if each.points]
        if losses:
            yield Plot("loss", "steps", losses, until, 5, "8.3g", log=True)
