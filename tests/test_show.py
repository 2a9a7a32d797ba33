"""How commands show that they go on: a bar on a terminal, lines in a log."""

import io

import pytest

from fastup.cli import show


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log(monkeypatch):
    """What goes to a stderr that is no terminal."""
    file = io.StringIO()
    monkeypatch.setattr(show, "out", show.Console(file=io.StringIO()))
    monkeypatch.setattr(show, "err", show.Console(file=file, highlight=False))
    return file


def test_a_line_every_ten_seconds_in_a_log(log, clock):
    with show.progress("upscaling", clock=clock) as advance:
        for done in range(1, 51):
            clock.now += 0.5
            advance(done, 7300, "upscaling")
    assert log.getvalue().splitlines() == [
        "upscaling: 20 of 7,300 frames, 2 frames/s, 1:00:40 left",
        "upscaling: 40 of 7,300 frames, 2 frames/s, 1:00:30 left",
    ]


def test_nothing_of_what_takes_less_than_ten_seconds(log, clock):
    with show.progress("upscaling", clock=clock) as advance:
        for done in range(1, 100):
            clock.now += 0.1
            advance(done, 99, "upscaling")
    assert log.getvalue() == ""


def test_lines_where_the_length_is_not_known_and_of_other_things_than_frames(log, clock):
    with show.progress("measuring", "pairs", clock) as advance:
        clock.now += 20
        advance(5, None, "[measuring]")
        advance(6, None, "[measuring]")
    assert log.getvalue() == "[measuring]: 5 pairs, 0.25 pairs/s\n"


def test_a_log_that_cannot_be_written_stops_nothing(monkeypatch, clock):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(show, "out", show.Console(file=io.StringIO()))
    monkeypatch.setattr(show, "err", show.Console(file=Full()))
    with show.progress("upscaling", clock=clock) as advance:
        clock.now += 11
        advance(1, 2, "upscaling")


def test_a_terminal_gets_a_bar_and_no_lines(monkeypatch, clock):
    file = io.StringIO()
    monkeypatch.setattr(show, "out", show.Console(file=io.StringIO()))
    monkeypatch.setattr(show, "err", show.Console(file=file, force_terminal=True, width=120, color_system=None))
    with show.progress("upscaling", clock=clock) as advance:
        clock.now += 20
        advance(5, 10, "upscaling")
    shown = file.getvalue()
    assert "5/10 0.25 frames/s, 0:20 left" in shown
    assert "upscaling: " not in shown


def test_timed_gives_what_was_made_and_how_long_it_took(log):
    calls = []

    def run(on_progress):
        on_progress(1, 2, "doing")
        calls.append(on_progress)
        return 7

    result, seconds = show.timed(run, "doing")
    assert (result, len(calls)) == (7, 1)
    assert seconds >= 0


def test_a_slow_start_is_forgotten(clock):
    """A network is compiled, or a video searched, before the first frame."""
    pace = show.Pace(clock)
    clock.now += 60
    assert pace(1, 1001, "upscaling") == (1 / 60, 60_000)
    for done in range(2, 62):
        clock.now += 1
        rate, left = pace(done, 1001, "upscaling")
    assert (rate, left) == (1, 940)


def test_a_pace_is_of_one_thing(clock):
    pace = show.Pace(clock)
    clock.now += 100
    pace(10, 10, "measuring")
    clock.now += 2
    assert pace(4, 8, "upscaling") == (2, 2)
    clock.now += 4
    assert pace(1, 3, "upscaling") == (0.25, 8)  # of another folder
    assert pace(1, None, "upscaling") == (0.25, None)
    assert pace(0, 3, "writing")[1] is None
