"""Where the seconds of a run go, by a clock of the test's own."""

import threading

import pytest

from fastup.footage.stages import Stages


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_seconds_add_up():
    clock = Clock()
    stages = Stages(clock)
    for seconds in (1, 2):
        with stages("reading"):
            clock.now += seconds
        clock.now += 5

    def fail():
        with stages("writing"):
            clock.now += 4
            raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        fail()
    assert stages.seconds == {"reading": 3, "writing": 4}


def test_a_stage_on_several_threads_is_busy_while_any_of_them_is():
    clock, begun, end = Clock(), threading.Event(), threading.Event()
    stages = Stages(clock)

    def other():
        with stages("engine"):
            begun.set()
            end.wait(10)

    with stages("engine"):
        clock.now += 1
        thread = threading.Thread(target=other)
        thread.start()
        assert begun.wait(10)
        clock.now += 2
    clock.now += 4
    assert stages.seconds["engine"] == 0  # it is still busy
    end.set()
    thread.join()
    clock.now += 8
    assert stages.seconds == {"engine": 7}


def test_taking_items_is_measured_and_what_is_done_with_them_is_not():
    clock, closed = Clock(), []
    stages = Stages(clock)

    def items():
        try:
            for number in range(3):
                clock.now += 1
                yield number
            clock.now += 10
        finally:
            closed.append(True)

    for _ in stages.taking(items(), "waiting"):
        clock.now += 100
    assert stages.seconds == {"waiting": 13}
    assert closed == [True]
