"""Frames in order through a recurrent network: what each sees, what is carried, and where neither goes."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from test_shots import film as grids_of

from fastup.errors import FastupError
from fastup.upscale.engines import Engine
from fastup.upscale.ensemble import Ensemble
from fastup.upscale.model import Model
from fastup.upscale.recurrence import Carried, Given, Prepared, Step, beginnings, steps
from fastup.upscale.strips import Strips, carried, least, taken

Q, P, REACH, STATE = 2, 3, 5, 2
SETTINGS = {
    "scale": [[P, Q], [1, 1]], "border": [0, 0], "black_level": "edge", "lookahead": 1, "state": STATE,
    "warmup_frames": 4,
}  # fmt: skip
MODEL = Model("fake", SETTINGS, (REACH, 0), 1)


def frame(number, shape=(2, 2, 3), grid=None):
    return Prepared(str(number), np.full(shape, number, np.float32), False, grid)


def names(step):
    return "".join(each.name for each in step.seen), step.begins


# -- what each sees --------------------------------------------------------------------------------------------------


def by_rule(frames, lookahead):
    """What steps should be, frame by frame: (item, names of what is seen, whether it begins) of those needed."""
    found = []
    for at, (given, _) in enumerate(frames):
        first = max(n for n in range(at + 1) if frames[n][1] or n == 0)
        last = next((n for n in range(at + 1, len(frames)) if frames[n][1]), len(frames)) - 1
        seen = [frames[min(max(n, first), last)][0].frame.name for n in range(at - 1, at + lookahead + 1)]
        begins = at == first or not frames[at - 1][0].needed
        if given.needed:
            found.append((given.item, seen, begins))
    return found


@drawn(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=12), st.integers(0, 3))
def test_neighbours_are_of_the_same_shot(kinds, lookahead):
    frames = [(Given(n, frame(n), needed=needed), begins) for n, (needed, begins) in enumerate(kinds)]
    found = [(step.item, [each.name for each in step.seen], step.begins) for step in steps(frames, lookahead)]
    assert found == by_rule(frames, lookahead)
    for step in steps(frames, lookahead):
        assert step.frame.name == str(step.item)


def test_frames_are_taken_no_earlier_than_they_are_seen():
    taken_so_far = []

    def coming():
        for number in range(6):
            taken_so_far.append(number)
            yield Given(number, frame(number), begins=number == 4)

    for step in steps(beginnings(coming(), 5), 1):
        assert taken_so_far[-1] == min(step.item + 1, 5)


@pytest.mark.parametrize("begins", [None, False])
def test_frames_that_wait_for_one_that_is_not_to_be_had_are_not_made(begins):
    """It may be mended, and what was made without it would stay."""

    def coming():
        for number in range(9):
            yield Given(number, frame(number, grid=np.full((36, 48), 9, np.uint16)), begins)
        raise OSError("gone")

    made: list[tuple[str, bool]] = []

    def make():
        for step in steps(beginnings(coming(), 5), 1):
            made.append(names(step))

    with pytest.raises(OSError, match="gone"):
        make()
    every = [("001", True), *((f"{n - 1}{n}{n + 1}", False) for n in range(1, 8))]
    assert made == (every if begins is False else every[:3])


# -- where shots begin -----------------------------------------------------------------------------------------------


def test_cuts_are_found_anew_after_what_stands_apart_and_where_frames_change_their_size():
    grids, cuts = grids_of(np.random.default_rng(0), ["act", "pan", "still"])
    frames = [Given(n, frame(n, grid=grid)) for n, grid in enumerate(grids)]
    assert [given.item for given, begins in beginnings(frames, 5) if begins] == cuts
    at = cuts[1] + 3
    apart = [*frames[:at], replace(frames[at], apart=True), *frames[at + 1 :]]
    assert [given.item for given, begins in beginnings(apart, 5) if begins] == sorted([*cuts, at])
    other = [replace(each, frame=frame(n, (4, 2, 3), grids[n])) if n >= at else each for n, each in enumerate(frames)]
    assert [given.item for given, begins in beginnings(other, 5) if begins] == sorted([*cuts, at])
    told = [replace(each, begins=n == 2) for n, each in enumerate(other)]
    assert [given.item for given, begins in beginnings(told, 5) if begins] == [0, 2, at]


# -- what is carried: an engine that is none -------------------------------------------------------------------------


class Fake(Engine):
    """A step that sees REACH rows of frames and state, edges included; it runs out of memory as `fails` says."""

    words, takes = "a fake", (0, 0)

    def __init__(self, planes=False, model=MODEL, fails=lambda: False):
        self.model, self.planes, self.fails, self.given = model, planes, fails, []

    def step(self, frames, state=None):
        assert frames.flags.c_contiguous
        state = np.zeros(self.state_shape(frames.shape), np.float32) if state is None else state
        assert state.shape == self.state_shape(frames.shape)
        if self.planes:
            frames, state = frames.transpose(1, 2, 0), state.transpose(1, 2, 0)
        self.given.append(frames.shape[:2])
        if self.fails():
            raise MemoryError("no room")
        v, h = self.model.border
        around = np.pad(frames.astype(np.float64), ((v, v), (h, h), (0, 0)), constant_values=0.3)
        rows = np.pad(np.concatenate([around, state], axis=2), ((REACH, REACH), (0, 0), (0, 0)), constant_values=0.25)
        seen = np.lib.stride_tricks.sliding_window_view(rows, Q + 2 * REACH, 0)[::Q]  # cells of the padded picture
        rng = np.random.default_rng(0)
        taps = rng.normal(size=(P, Q + 2 * REACH, seen.shape[2], 3)) / 8
        kept = rng.normal(size=(Q, Q + 2 * REACH, seen.shape[2], STATE)) / 16
        made = np.einsum("cwnr,prnk->cpwk", seen, taps)[v // Q : len(seen) - v // Q, :, h : seen.shape[1] - h]
        after = np.tanh(np.einsum("cwnr,prnk->cpwk", seen, kept)).reshape(*state.shape[:2], STATE)
        made = made.reshape(-1, made.shape[2], 3)
        if self.planes:
            made, after = made.transpose(2, 0, 1), after.transpose(2, 0, 1)
        return np.ascontiguousarray(made, np.float32), np.ascontiguousarray(after, np.float32)


def reel(count, rows, planes=False, width=4):
    pictures = np.random.default_rng(1).random((count, rows, width, 3), np.float32)
    pictures = np.ascontiguousarray(pictures.transpose(0, 3, 1, 2)) if planes else pictures
    return [Given(n, Prepared(str(n), picture, False), begins=n == 3) for n, picture in enumerate(pictures)]


def run(step, frames, planes=False):
    carry = Carried(step, planes)
    return [carry(each) for each in steps(beginnings(frames, 5), 1)]


def memory(rows, frame, engine, states=1):
    """Memory of which so many rows of a picture are left for the engine, beside what is on its way."""
    (v, h), (height, width) = engine.model.border, (frame.shape[1:] if engine.planes else frame.shape[:2])
    on_their_way = (3 + 1) * height * width * (12 + 18 * P / Q) + carried(engine.model, height, width, states)
    return int(on_their_way + taken(engine, engine.model) * (rows + 2 * v) * (width + 2 * h)) + 1


@pytest.mark.parametrize("planes", [False, True])
@pytest.mark.parametrize("border", [[0, 0], [6, 3]])
def test_strips_of_any_height_carry_what_the_whole_picture_does(planes, border):
    engine = Fake(planes, replace(MODEL, settings={**SETTINGS, "border": border}))
    frames = reel(6, 66, planes)
    expected = run(engine.step, frames, planes)
    for rows in (1, 14, 16, 33, 50, 65, 66):
        notes: list[str] = []
        strips = Strips(engine, engine.model, memory(rows, frames[0].frame.picture, engine), notes.append)
        engine.given.clear()
        for made, whole in zip(run(strips.step, frames, planes), expected, strict=True):
            np.testing.assert_allclose(made, whole, rtol=0, atol=1e-5)
        assert max(engine.given)[0] <= max(rows, least((Q, P), REACH))
        assert len(notes) == (rows < 66)
    short = replace(engine.model, receptive=(REACH - 2, 0))  # what the above can see
    strips = Strips(engine, short, memory(33, frames[0].frame.picture, engine))
    assert max(np.abs(a - b).max() for a, b in zip(run(strips.step, frames, planes), expected, strict=True)) > 1e-3


@drawn(st.integers(0, 2**32), st.floats(0, 0.4))
@settings(deadline=None, max_examples=15)
def test_memory_that_runs_out_at_any_call_spoils_no_state(seed, share):
    random, frames = np.random.default_rng(seed), reel(5, 40)
    expected = run(Fake().step, frames)
    strips = Strips(Fake(fails=lambda: random.random() < share), MODEL)
    carry = Carried(strips.step, False)
    for step, whole in zip(steps(beginnings(frames, 5), 1), expected, strict=True):
        try:
            made = carry(step)
        except FastupError:
            assert strips.engine.given[-1] == (least((Q, P), REACH), 4)
            return
        np.testing.assert_allclose(made, whole, rtol=0, atol=1e-5)


def test_the_memory_of_states_and_of_frames_that_wait_is_counted():
    assert carried(replace(MODEL, settings={"scale": [[P, Q], [1, 1]]}), 10, 20) == 0
    wide = replace(MODEL, settings={**SETTINGS, "border": [6, 3], "state": 7})
    assert carried(wide, 10, 20) == 12 * (8 + 2 * 3) * 200 + 2 * 4 * 7 * (10 + 2 * 4) * (20 + 2 * 3)
    assert carried(wide, 10, 20, states=8) - carried(wide, 10, 20) == 7 * 2 * 4 * 7 * 18 * 26
    assert taken(Fake(), wide) - taken(Fake(), MODEL) == 4 * 2 * 5


def test_every_view_of_an_ensemble_has_a_state_of_its_own():
    engine, frames = Fake(), reel(5, 8, width=6)
    mean = run(Ensemble(lambda picture: picture, MODEL.scale, steps=engine.step).step, frames)
    views = []
    for axes in ((), (0,), (1,), (0, 1)):
        flipped = [
            replace(each, frame=each.frame._replace(picture=np.ascontiguousarray(np.flip(each.frame.picture, axes))))
            for each in frames
        ]
        views.append([np.flip(made, axes) for made in run(engine.step, flipped)])
    np.testing.assert_allclose(mean, np.mean(views, axis=0), rtol=0, atol=1e-5)


def test_a_step_that_fails_leaves_the_state_as_it_was():
    failing = [True, False]

    def step(frames, state):
        if failing.pop() and state is not None:
            raise MemoryError
        return frames, state or 5

    carry, one = Carried(step, False), (frame(0),) * 3
    carry(Step(0, one, True))
    with pytest.raises(MemoryError):
        carry(Step(1, one, False))
    assert carry._state == 5
