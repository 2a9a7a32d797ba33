"""The recurrent network: what a step is, what it begins as, and that its state cannot build up."""

import keras
import naive
import numpy as np
import pytest

from fastup.networks.models import Cell, Network
from fastup.networks.recurrent import ALONE, MOST, STATE, changes

NTSC = [[9, 4], [2, 1]]
SMALL = {"model": "recurrent", "scale": NTSC, "features": 4, "depth": 1, "input_white": 1023, "target_white": 1023}
SIZE = 8, 7  # of inputs
array = keras.ops.convert_to_numpy


def cell_of(seed=0, **settings):
    """A small network whose weights are all far from those that it begins with; its gates are for strong noise."""
    keras.utils.set_random_seed(seed)
    network = Network({**SMALL, "quiet": 0.4, **settings})
    rng = np.random.default_rng(seed)
    for layer in network.layers:
        if layer.trainable:
            layer.set_weights([w + rng.normal(0, 0.3, w.shape).astype(np.float32) for w in layer.get_weights()])
    return network


def steps(cell, frames):
    """The pictures and states of consecutive frames (n, h, w, 3), a shot, step by step."""
    state, found = cell.zero_state(1, *frames.shape[1:3]), []
    for number in range(len(frames)):
        seen = [frames[np.clip(number + k, 0, len(frames) - 1)] for k in range(-1, 1 + cell.lookahead)]
        picture, state = map(array, cell([np.concatenate(seen, axis=-1)[None], state]))
        found.append((picture[0], state[0]))
    return found


def shot(rng, count=5):
    return rng.random((count, *SIZE, 3), np.float32)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A cell, and what comes of its file."""
    cell, path = cell_of(), tmp_path_factory.mktemp("cell") / "x.keras"
    cell.save(path)
    return cell, keras.saving.load_model(path)


def test_a_network_of_the_name_is_a_cell_also_from_its_file(saved):
    cell, again = saved
    assert type(cell) is type(again) is Cell
    assert again.settings == cell.settings
    assert (again.settings["state"], again.settings["lookahead"], again.lookahead) == (STATE, 1, 1)
    frames = shot(np.random.default_rng(1))
    for (picture, state), (picture_again, state_again) in zip(steps(cell, frames), steps(again, frames), strict=True):
        np.testing.assert_array_equal(picture, picture_again)
        np.testing.assert_array_equal(state, state_again)


@pytest.mark.parametrize("lookahead", [0, 1])
def test_a_span_is_its_steps(lookahead):
    cell, frames = cell_of(lookahead=lookahead), shot(np.random.default_rng(2))
    span = np.concatenate([frames[:1], frames, frames[-1:][:lookahead]])[None]
    expected = np.stack([picture for picture, _ in steps(cell, frames)])
    np.testing.assert_allclose(array(cell(span))[0], expected, atol=2e-6)
    codes = (span * 1023).round().astype(np.uint16)
    np.testing.assert_allclose(array(cell(codes))[0], array(cell(codes / np.float32(1023)))[0], atol=2e-6)
    cell.settings["settle"] = 3
    np.testing.assert_allclose(array(cell(span, training=True))[0], expected[3:], atol=2e-6)
    assert cell(span).shape == (1, 5, 18, 14, 3)


def test_a_frame_alone_is_a_shot_of_one():
    cell, frame = cell_of(), shot(np.random.default_rng(3), 1)
    np.testing.assert_allclose(array(cell(frame)), [steps(cell, frame)[0][0]], atol=2e-6)


def test_one_in_so_many_spans_begins_with_its_last_frame_in_training():
    cell, rng = cell_of(settle=2), np.random.default_rng(12)
    spans = rng.random((ALONE + 1, 5, *SIZE, 3), np.float32)
    usual, learned = array(cell(spans))[:, 2], array(cell(spans, training=True))[:, 0]
    apart = np.abs(learned - usual).max(axis=(1, 2, 3)) > 1e-3
    assert np.flatnonzero(apart).tolist() == [ALONE - 1]
    alone = cell(spans[ALONE - 1 :, 2:])[0, 0]
    np.testing.assert_allclose(learned[ALONE - 1], array(alone), atol=2e-6)


def test_it_begins_as_the_network_of_the_mean():
    keras.utils.set_random_seed(4)
    cell = Network(SMALL | {"residual": False})
    plain = Network(SMALL | {"model": "compact", "residual": False})
    (kernel, bias), *rest = [each.get_weights() for each in cell.layers if each.trainable_weights]
    assert not kernel[:, :, 3:].any()
    for layer, weights in zip([each for each in plain.layers if each.weights], [[kernel[:, :, :3], bias], *rest],
                              strict=True):  # fmt: skip
        layer.set_weights(weights)
    frames = shot(np.random.default_rng(5))  # of which none is like another
    for frame, (picture, _) in zip(frames, steps(cell, frames), strict=True):
        np.testing.assert_allclose(picture, array(plain(frame[None]))[0], atol=1e-5)


def gate_of(frame, other, quiet):
    """How alike two frames are, (h, w, 1), by NumPy's convolutions; outside of the picture there are zeros."""
    around = np.outer((1, 2, 1), (1, 2, 1)) / 16
    small = naive.convolve_same(frame - other, around[..., None, None] * np.eye(3))
    change = naive.convolve_same(np.abs(small).sum(axis=-1, keepdims=True), around[..., None, None])
    inside = change[2:-2, 2:-2, 0]
    np.testing.assert_allclose(changes(frame, other), inside, atol=1e-6)
    return 1 / (1 + np.exp(3.5 * change / quiet - 7))


def test_the_state_is_what_its_rule_says_and_a_contraction(saved):
    cell, rng = saved[1], np.random.default_rng(6)
    for _ in range(3):
        seen = rng.random((*SIZE, 9))
        states = rng.normal(0, 3, (2, *SIZE, STATE))
        now = np.concatenate([seen[..., 3:6], np.ones((*SIZE, 1))], axis=-1)
        expected = 0.9 * gate_of(seen[..., 3:6], seen[..., :3], 0.4) * states + now
        _, found = cell([np.stack([seen] * 2).astype(np.float32), states.astype(np.float32)])
        np.testing.assert_allclose(array(found), expected, atol=1e-5)
        for order in (1, 2, np.inf):
            apart = (np.linalg.norm((of[0] - of[1]).ravel(), order) for of in (array(found), states))
            assert next(apart) <= MOST * next(apart) + 1e-5


def test_the_mean_has_what_comes_next_where_it_is_alike():
    rng = np.random.default_rng(9)
    cell = cell_of(quiet=0.3)
    before, now, after = (0.5 + rng.normal(0, 0.1, (3, *SIZE, 3))).astype(np.float32)
    state = np.concatenate([now, np.ones((*SIZE, 1))], axis=-1)
    known = 0.9 * gate_of(now, before, 0.3) * state + state
    known += gate_of(now, after, 0.3) * np.concatenate([after, np.ones((*SIZE, 1))], axis=-1)
    given = next(each for each in cell.layers if type(each).__name__ == "Recalled")
    found = keras.Model(cell.inputs, given.output)([np.concatenate([before, now, after], axis=-1)[None], state[None]])
    expected = np.concatenate([known[..., :3], np.ones((*SIZE, 1))], axis=-1) / known[..., 3:]
    np.testing.assert_allclose(array(found)[0], expected, atol=1e-5)


def test_means_of_many_frames_are_told_as_of_five():
    cell, rng = cell_of(), np.random.default_rng(13)
    counts = np.array([0.5, 1, 4.9, 5, 5.1, 10], np.float32)
    state = rng.random((1, 1, 6, STATE), np.float32)
    state[..., 3] = counts
    layer = next(each for each in cell.layers if type(each).__name__ == "Recalled")
    found = array(type(layer).from_config(layer.get_config())(state))[0, 0]
    np.testing.assert_allclose(found[:, :3], state[0, 0, :, :3] / counts[:, None], rtol=1e-6)
    np.testing.assert_allclose(found[:, 3], [2, 1, 1 / 4.9, 0.2, 0.2, 0.2], rtol=1e-6)


def test_still_frames_become_their_mean_and_a_cut_ends_it():
    cell = Network(SMALL | {"quiet": 0.02})
    rng, drawing = np.random.default_rng(7), shot(np.random.default_rng(8), 1)[0]
    state, errors = cell.zero_state(1, *SIZE), []
    before, now, after = (drawing + rng.normal(0, 0.02, drawing.shape) for _ in range(3))
    for _ in range(120):
        state = array(cell([np.concatenate([before, now, after], axis=-1)[None].astype(np.float32), state])[1])
        before, now, after = now, after, drawing + rng.normal(0, 0.02, drawing.shape)
        errors.append(np.square(state[0, ..., :3] / state[0, ..., 3:] - drawing).mean() ** 0.5)
    assert np.mean(errors[:1]) > 0.015
    assert np.mean(errors[-40:]) < 0.01
    assert np.mean(errors[-40:]) == pytest.approx(np.mean(errors[40:80]), rel=0.1)
    assert state[..., 3].max() <= 1 / (1 - MOST) + 1e-3
    cut = (drawing + np.float32(0.5)) % 1
    state = array(cell([np.concatenate([drawing, cut, cut], axis=-1)[None].astype(np.float32), state])[1])
    np.testing.assert_allclose(state[0, ..., :3] / state[0, ..., 3:], cut, atol=0.02)  # nothing is left


def test_without_state_it_is_cut():
    cell, frames = cell_of(no_state=True), shot(np.random.default_rng(10))
    assert cell.count_params() == cell_of().count_params()
    for frame, (_, state) in zip(frames, steps(cell, frames), strict=True):
        np.testing.assert_array_equal(state, np.concatenate([frame, np.ones((*SIZE, 1))], axis=-1).astype(np.float32))


def test_it_learns_of_spans():
    cell, rng = cell_of(), np.random.default_rng(11)
    cell.compile("adam", "mse")
    inputs, targets = rng.integers(0, 1024, (2, 6, *SIZE, 3), np.uint16), np.zeros((2, 4, 18, 14, 3), np.uint16)
    losses = cell.fit(inputs, targets, epochs=3, verbose=0).history["loss"]
    assert losses == sorted(losses, reverse=True)
