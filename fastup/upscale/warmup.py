"""How many frames a recurrent network takes until it no longer matters with which state it began."""

from typing import TYPE_CHECKING

import numpy as np

from fastup._scales import cell_of, fractions
from fastup._types import Floats
from fastup.upscale.model import LONG

if TYPE_CHECKING:
    from fastup.networks.models import Network

EQUAL = 0.25 / 1023  # half of the half code of 10 bits that is promised: films are others than these
SETTLED = 12  # frames in a row that have to be equal
SIDE = 24  # input pixels, about, of what is tried
FILLED = 30  # frames of which the states are that it begins with
KINDS = 5  # of states that are tried


def warmup_frames(network: "Network", clips: Floats | None = None) -> int:
    """Frames of a shot after which a network that began with no state makes what one with any state does.

    That is how many frames before a part of a film make the part equal to the whole, to less than half a code of 10
    bits. The states tried are those that white, black, noise and another clip leave, put under clips that show no
    change from them, so that the network cannot know that they are wrong. At most `LONG`, even if it takes longer.

    Parameters
    ----------
    network
        As `fastup.networks.recurrent` has it: [frames, state] to [picture, state].
    clips : (clips, frames, h, w, 3), optional
        Frames of shots, normalised, whole cells with the network's border; where they end, they go back to
        the first one, and so on. By default small ones that are made: a held drawing with and without noise, a pan,
        and black.
    """
    settings = network.settings
    clips = _made(settings) if clips is None else np.asarray(clips, np.float32)
    states, seen = settings["state"], 2 + settings["lookahead"]
    count, length, height, width, _ = clips.shape
    there_and_back = [*range(length), *range(length - 2, 0, -1)]

    def frame(number):
        return clips[:, there_and_back[number % len(there_and_back)]]

    def step(frames, state):
        return network.predict_on_batch([np.concatenate(frames, axis=-1), state])

    # What fills states. Of the first nothing is kept: that is how a shot begins.
    rng, state = np.random.default_rng(0), np.zeros((KINDS * count, height, width, states), np.float32)
    for number in range(FILLED):
        now = frame(number)
        noise = rng.random(now.shape, np.float32)
        fill = np.concatenate([now, np.ones_like(now), np.zeros_like(now), noise, np.roll(now, 1, axis=0)])
        _, state = step([fill] * seen, state)
    state = np.array(state)
    state[:count] = 0
    equal = 0
    for number in range(LONG):
        window = [frame(max(number + offset, 0)) for offset in range(-1, seen - 1)]
        made, state = step([np.concatenate([each] * KINDS) for each in window], state)
        views = np.clip(made, 0, 1).reshape(KINDS, count, *made.shape[1:])
        equal = equal + 1 if np.abs(views[1:] - views[0]).max() <= EQUAL else 0
        if equal == SETTLED:
            return number + 1 - SETTLED
    return LONG


def _made(settings):
    """Clips of a few cells: (4, 24, h, w, 3)."""
    rng = np.random.default_rng(1)
    scale, border = fractions(settings["scale"]), settings["border"]
    (q_v, q_h), _ = cell_of(scale)
    height, width = (
        -(-SIDE // q) * q + 2 * int(b / factor) for q, b, factor in zip((q_v, q_h), border, scale, strict=True)
    )
    blocks = rng.random((height // 4 + 2, width // 4 + 8, 3)).repeat(4, 0).repeat(4, 1)
    still = blocks[:height, :width]
    pan = np.stack([blocks[:height, at : at + width] for at in range(24)])
    held = np.broadcast_to(still, pan.shape)
    noisy = (held + rng.normal(0, 0.02, pan.shape)).clip(0, 1)
    return np.stack([held, noisy, pan, np.zeros_like(pan)]).astype(np.float32)
