"""Plots in a terminal: which dots are set, what stands beside them, and a run's history as such."""

import contextlib
import io
import unicodedata

import pytest
from rich.console import Console

from fastup.cli import show
from fastup.cli.monitor import MOST, Monitor
from fastup.cli.plot import Canvas, Curve, Plot
from fastup.train.fit import Step

# Where Unicode's dots 1 to 8 lie in a character: column and row.
DOTS = {"1": (0, 0), "2": (0, 1), "3": (0, 2), "7": (0, 3), "4": (1, 0), "5": (1, 1), "6": (1, 2), "8": (1, 3)}


def dots(lines):
    """The dots that are set in lines of text, (across, down)."""
    found = set()
    for row, line in enumerate(lines):
        for column, character in enumerate(line):
            name = unicodedata.name(character)
            for number in name.partition("BRAILLE PATTERN DOTS-")[2]:
                x, y = DOTS[number]
                found.add((2 * column + x, 4 * row + y))
    return found


def printed(renderable, width=80):
    file = io.StringIO()
    Console(file=file, width=width).print(renderable)
    return file.getvalue().splitlines()


def test_lines_between_dots():
    canvas = Canvas(3, 4)
    canvas.draw([(0, 11), (7, 4), (7, 0)], "red")
    canvas.draw([(2, 1)], "blue")
    lines = [canvas.line(row) for row in range(3)]
    diagonal = {(x, 11 - x) for x in range(8)}
    assert dots(line.plain for line in lines) == diagonal | {(7, y) for y in range(5)} | {(2, 1)}
    assert [span.style for span in lines[0].spans] == ["blue", "red"]


@pytest.mark.parametrize("width", [80, 40, 12, 5])
def test_a_plot_is_as_wide_as_there_is_room(width):
    points = [(0, 30.0), (50, 34.0), (100, 31.0)]
    lines = printed(Plot("validation", "steps", [Curve("model", "green", points)], 100, 5, ".2f"), width)
    assert len(lines) == 1 + 5 + 2
    assert max(map(len, lines)) <= width
    if width > 12:
        heading, *rows, axis, numbers = lines
        assert heading == "validation   ━ model"
        assert [row[:6] for row in rows] == ["34.00┤", "     │", "32.00┤", "     │", "30.00┤"]
        assert axis == "     └" + "─" * (width - 6)
        assert numbers == "      0" + "100 steps".rjust(width - 7)
        found = dots(row[6:] for row in rows)
        across = 2 * (width - 6) - 1
        assert {(0, 19), (round(across / 2), 0), (across, round(19 * 3 / 4))} <= found
        assert {x for x, _ in found} == set(range(across + 1))


def test_a_logarithmic_axis_and_what_lies_below_the_least():
    loss = [(0, 0.0), (1, 1e-1), (2, 1e-2), (3, 1e-3)]
    lines = printed(Plot("loss", "steps", [Curve("a", "", loss)], 3, 5, ".3g", log=True))
    assert [line.split("┤")[0].strip() for line in lines[1:6:2]] == ["0.1", "0.01", "0.001"]
    lines = printed(Plot("dB", "steps", [Curve("a", "", [(0, 5.0), (1, 30.0)])], 1, 5, ".0f", least=28))
    assert [line.split("┤")[0] for line in lines[1:6:2]] == ["30", "29", "28"]
    for points in ([], [(0, 0.0)]):
        assert printed(Plot("loss", "steps", [Curve("a", "", points)], 1, 5, ".3g", log=True)) == ["loss   ━ a"]


def row(epoch, psnr, loss=None, steps=0):
    return {"epoch": epoch, "steps": steps, "loss": loss, "psnr": psnr, "psnr_bicubic": 32.5, "tiles_per_second": 9.0,
            "waiting": 0.0, "seconds": 1.0}  # fmt: skip


def step(number, loss=1e-3):
    return Step(2, number, 200, loss, 9.0, 0.0, 1.0)


def test_the_history_of_a_run():
    assert printed(Monitor([])) == []
    monitor = Monitor([row(0, 32.5), row(1, 35.0, 1e-2, 100)])  # that a run that goes on has
    monitor.on_step(step(50))
    lines = printed(monitor)
    assert lines[0] == "validation, dB   ━ bicubic 32.50   ━ model, best 35.00 in epoch 1"
    assert [line[:9] for line in lines[1:10:4]] == ["   35.00┤", "   33.75┤", "   32.50┤"]
    assert lines[11].split() == lines[-1].split() == ["0", "150", "steps"]
    assert lines[12] == "loss   ━ of each epoch   ━ so far in this one"
    bicubic = {x for x, y in dots(line[9:] for line in lines[1:10]) if y == 35}
    assert bicubic == set(range(2 * 71))  # a line to where the run is
    monitor.on_epoch(row(2, 36.0, 1e-3, 200))
    monitor.on_epoch(row(3, None, 1e-3, 100) | {"psnr_bicubic": None})  # of which nothing was validated
    lines = printed(monitor)
    assert lines[0].endswith("best 36.00 in epoch 2")
    assert lines[11].split() == ["0", "400", "steps"]
    assert lines[12] == "loss   ━ of each epoch"


def test_a_long_epoch_is_thinned_out():
    monitor = Monitor([])
    for number in range(10 * MOST):
        monitor.on_step(step(number))
    steps = [at for at, _ in monitor.losses]
    assert MOST / 2 <= len(steps) <= MOST
    assert steps == sorted(steps)
    assert (steps[0], steps[-1]) == (0, 10 * MOST - 1)


@pytest.fixture
def terminal(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(show, "out", Console(file=file, force_terminal=True, width=80, color_system=None))
    return file


def train(monitor, stopped=False):
    with show.training_line(monitor) as (on_step, on_epoch, on_progress):
        on_progress(1, 3, "validating")
        on_epoch(row(1, 34.0, 1e-2, 200))
        on_step(step(50))
        if stopped:
            raise KeyboardInterrupt


@pytest.mark.parametrize("stopped", [False, True])
def test_a_terminal_keeps_the_plots(terminal, stopped):
    with pytest.raises(KeyboardInterrupt) if stopped else contextlib.nullcontext():
        train(Monitor([row(0, 32.5)]), stopped)
    expected = Monitor([row(0, 32.5), row(1, 34.0, 1e-2, 200)])
    expected.on_step(step(50))
    text = terminal.getvalue()
    assert "step 50/200" in text
    assert "epoch 1  200 steps  loss 0.01000  validation 34.00 dB" in text
    assert text.endswith("\n".join(printed(expected)) + "\n")


def test_a_pipe_gets_none(monkeypatch):
    texts = []
    for monitor in (None, Monitor([row(0, 32.5)])):
        files = io.StringIO(), io.StringIO()
        for name, file in zip(("out", "err"), files, strict=True):
            monkeypatch.setattr(show, name, Console(file=file, width=160))
        train(monitor)
        texts.append([file.getvalue() for file in files])
    assert texts[0] == texts[1]
    assert texts[0][0].startswith("epoch 1  200 steps")
    assert texts[0][1] == ""
