"""The recurrent network: what a step is, what it begins as, and that its state cannot build up."""

import keras
import naive
import numpy as np
import pytest

from fastup.networks.models import Cell, Network
from fastup.networks.recurrent import MOST, STATE

NTSC = [[9, 4], [2, 1]]
SMALL = {"model": "recurrent", "scale": NTSC, "features": 4, "depth": 1, "input_white": 1023, "target_white": 1023}
SIZE = 8, 7  # of inputs


def cell_of(seed=0, **settings):
    """A small network whose weights are all far from those that it begins with."""
    keras.utils.set_random_seed(seed)
    network = Network({**SMALL, **settings})
    rng = np.random.default_rng(seed)
    network.set_weights([w + rng.normal(0, 0.3, w.shape).astype(np.float32) for w in network.get_weights()])
    return network


def steps(cell, frames):
    """The pictures and states of consecutive frames (n, h, w, 3), a shot, step by step."""
    state, found = cell.zero_state(1, *frames.shape[1:3]), []
    for number in range(len(frames)):
        seen = [frames[np.clip(number + k, 0, len(frames) - 1)] for k in range(-1, 1 + cell.lookahead)]
        picture, state = map(np.array, cell([np.concatenate(seen, axis=-1)[None], state]))
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
    np.testing.assert_allclose(np.array(cell(span))[0], expected, atol=2e-6)
    codes = (span * 1023).round().astype(np.uint16)
    np.testing.assert_allclose(np.array(cell(codes))[0], np.array(cell(codes / np.float32(1023)))[0], atol=2e-6)
    cell.settings["settle"] = 3
    np.testing.assert_allclose(np.array(cell(span, training=True))[0], expected[3:], atol=2e-6)
    assert cell(span).shape == (1, 5, 18, 14, 3)


def test_a_frame_alone_is_a_shot_of_one():
    cell, frame = cell_of(), shot(np.random.default_rng(3), 1)
    np.testing.assert_allclose(np.array(cell(frame)), [steps(cell, frame)[0][0]], atol=2e-6)


def test_it_begins_as_the_network_of_a_frame():
    keras.utils.set_random_seed(4)
    cell = Network(SMALL | {"residual": False})
    plain = Network(SMALL | {"model": "compact", "residual": False})
    theirs = [each.get_weights() for each in cell.layers if each.weights][2:]  # behind the gate
    (share,), (kernel, bias), *rest = theirs
    assert not share.any()
    assert not kernel[:, :, 3:].any()
    for layer, weights in zip([each for each in plain.layers if each.weights], [[kernel[:, :, :3], bias], *rest],
                              strict=True):  # fmt: skip
        layer.set_weights(weights)
    frames = shot(np.random.default_rng(5))
    for frame, (picture, _) in zip(frames, steps(cell, frames), strict=True):
        np.testing.assert_allclose(picture, np.array(plain(frame[None]))[0], atol=1e-6)


def test_the_state_is_what_its_rule_says_and_a_contraction(saved):
    cell, rng = saved[1], np.random.default_rng(6)
    weights = {layer.name: layer.get_weights() for layer in cell.layers}
    for _ in range(3):
        seen = rng.random((*SIZE, 9))
        change = np.maximum(
            naive.convolve_same(seen[..., 3:6] - seen[..., :3], weights["change"][0]) + weights["change"][1], 0
        )
        logits = 64 * (naive.convolve_same(change, weights["gate"][0]) + weights["gate"][1])
        gate = 1 / (1 + np.exp(-logits))
        states = rng.normal(0, 3, (2, *SIZE, STATE))
        expected = 0.9 * gate * states + np.concatenate([seen[..., 3:6], np.ones((*SIZE, 1))], axis=-1)
        _, found = cell([np.stack([seen] * 2).astype(np.float32), states.astype(np.float32)])
        np.testing.assert_allclose(np.array(found), expected, atol=2e-3)  # logits of many, in float32
        for order in (1, 2, np.inf):
            apart = (np.linalg.norm((of[0] - of[1]).ravel(), order) for of in (np.array(found), states))
            assert next(apart) <= MOST * next(apart) + 1e-5


def test_still_frames_become_their_mean_and_a_cut_ends_it():
    cell = Network(SMALL)  # the gate as it begins
    rng, drawing = np.random.default_rng(7), shot(np.random.default_rng(8), 1)[0]
    state, errors = cell.zero_state(1, *SIZE), []
    before, now, after = (drawing + rng.normal(0, 0.02, drawing.shape) for _ in range(3))
    for _ in range(120):
        state = np.array(cell([np.concatenate([before, now, after], axis=-1)[None].astype(np.float32), state])[1])
        before, now, after = now, after, drawing + rng.normal(0, 0.02, drawing.shape)
        errors.append(np.square(state[0, ..., :3] / state[0, ..., 3:] - drawing).mean() ** 0.5)
    assert np.mean(errors[:1]) > 0.015
    assert np.mean(errors[-40:]) < 0.01
    assert np.mean(errors[-40:]) == pytest.approx(np.mean(errors[40:80]), rel=0.1)
    assert state[..., 3].max() <= 1 / (1 - MOST) + 1e-3
    cut = (drawing + np.float32(0.5)) % 1
    state = np.array(cell([np.concatenate([drawing, cut, cut], axis=-1)[None].astype(np.float32), state])[1])
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
