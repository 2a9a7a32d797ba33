"""A network for film: it carries a state from frame to frame, a mean of what has not changed.

A frame of film has neighbours with the same drawing under other grain. The state holds, for each input pixel, a sum of
the frames in which it showed the same thing, and how many those were:

    state[t] = MOST * gate[t] * state[t - 1] + (frame[t], 1)

The gate, 0 to 1, says whether the pixel is what it was: it is shut where frame t differs from frame t - 1 by more than
noise, which is measured in the film (`set_quiet`), not learned. A second one does the same with frame t + 1, for this
frame's mean alone:

    mean[t] = sum / count of state[t] + gate_ahead[t] * (frame[t + 1], 1)

So the way from state to state is a product with at most `MOST`, whatever the weights are: a contraction, in every norm
that goes by pixels. There is no feedback of the output, nor of features that the state has made. (Chiche et al. 2022,
"Stable long-term recurrent video super-resolution", bound the norms of the recurrent convolutions for that, and find
that networks with feedback of their output diverge on scenes that stand still, as drawings do.)

The mean is what is enlarged, and what a plain network sees, beside the frame itself and one over the count, or over
`TOLD` where that is more. It begins as the network of the mean alone.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from fastup._types import Floats, Size
from fastup.networks.layers import Affine, Channels, Leak, Recalled, normalised

MOST = 0.9  # of a state that is left after a frame: means are of up to 1 / (1 - MOST) frames
TOLD = 5.0  # frames at most that a network is told its mean is of: spans of 4 and a frame after show no more
STATE = 4  # channels: the sums of R, G and B, and the count
AROUND = np.outer((1, 2, 1), (1, 2, 1)) / 16  # small means of pixels
# The gate is sigmoid(OPEN - SHUT * change / quiet): open by half where the change is twice that of quiet pixels.
OPEN, SHUT = 7.0, 3.5
QUIET, LEAST = 0.01, 0.5 / 1023  # of frames of which nothing is known; and where frames are repeated
ALONE = 8  # one in so many spans has, at training, no state before its last frame, as a shot's first one
AHEAD = "_ahead"  # behind the names of the layers of the gate of frame t + 1


class Recurrence(keras.Model):
    """One step of a recurrent network; what `Network` is beside.

    Takes [frames (batch, h, w, 3 * (2 + lookahead)), state (batch, h, w, `STATE`)]: frames t - 1, t and, with a
    lookahead of 1, t + 1, normalised or codes of ``input_white``; whole cells. Gives [picture (batch, H, W, 3), state],
    the picture as `Network` has it. A shot begins with a state of zeros, and with frame t in the place of those that
    there are not. In that of t + 1, it counts as one more frame, as it did in training.

    Frames alone, (batch, h, w, 3), are shots of one frame, of which it gives the picture.

    It also takes spans, (batch, n, h, w, 3), consecutive frames of one shot, and gives (batch, T, H, W, 3): the
    pictures of frames 1 to T, where n is T + 1 + lookahead, from a state of zeros. That is what it is trained on. All
    that takes more than a product for each pixel is done for all frames at a time, as none of it needs the state.
    """

    def __init__(self, settings: dict[str, Any]) -> None:
        given = {"lookahead": 1, "no_state": False, "settle": 0, "quiet": QUIET, **settings}
        super().__init__({**given, "state": STATE})
        self.input_spec = None  # by which Keras would want a list
        self.__dict__["_makers"] = {id(each): layer for layer in self.layers for each in _listed(layer.output)}
        # It has the weights of the network of the mean alone: the rest counts nothing yet.
        kernel, bias = (np.array(weight) for weight in self.first.get_weights())
        kernel[:, :, :3] *= (kernel.shape[2] / 3) ** 0.5  # as they were drawn for more channels
        kernel[:, :, 3:] = 0
        self.first.set_weights([kernel, bias])
        self.set_quiet(self.settings["quiet"])

    def set_quiet(self, quiet: float) -> None:
        """Make the gates for film whose quiet pixels change so much: see `changes`. Kept in the settings."""
        self.settings["quiet"] = quiet
        for which in ("", AHEAD)[: 1 + self.lookahead]:
            kernel = np.zeros((3, 3, 3, 6), np.float32)
            for colour in range(3):  # both ways, of which a ReLU leaves one
                kernel[:, :, colour, colour], kernel[:, :, colour, 3 + colour] = AROUND, -AROUND
            self.get_layer("change" + which).set_weights([kernel, np.zeros(6)])
            sums = np.repeat(-SHUT / max(quiet, LEAST) * AROUND[..., None], 6, axis=2)[..., None]
            self.get_layer("gate" + which).set_weights([sums, np.array([OPEN])])

    @classmethod
    def _graph(cls, settings, scale, **size):
        frames = keras.Input((None, None, 3 * (2 + settings["lookahead"])), name="frames")
        state = keras.Input((None, None, STATE), name="state")
        before, now, *after = (Channels(3 * k, 3, dtype="float32")(frames) for k in range(2 + settings["lookahead"]))
        gate = _gate(now, before)
        if settings["no_state"]:
            gate = Affine(0.0, dtype="float32")(gate)
        known = following = Leak(MOST, name="next_state")([gate, now, state])
        if after:
            gate = _gate(now, *after, AHEAD)
            seen = keras.layers.Multiply(dtype="float32")([*after, gate])
            seen = keras.layers.Concatenate(dtype="float32")([seen, gate])
            known = keras.layers.Add(dtype="float32")([following, seen])
        recalled = Recalled(TOLD)(known)
        seen = keras.layers.Concatenate()([recalled, now])
        return [frames, state], [cls._picture(Channels(0, 3)(recalled), seen, settings, scale, **size), following]

    @property
    def lookahead(self) -> int:
        """How many frames after it a frame waits for."""
        return self.settings["lookahead"]

    @property
    def first(self) -> keras.layers.Layer:
        """The first layer of the network that makes the picture."""
        return next(each for each in self.layers if isinstance(each, keras.layers.Conv2D) and each.trainable)

    @property
    def reach(self) -> Size:
        """How far one step sees, in input pixels, of frames and state: (vertical, horizontal)."""
        return self.receptive

    def zero_state(self, batch: int, height: int, width: int) -> Any:
        """What a shot begins with."""
        return np.zeros((batch, height, width, STATE), np.float32)

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if isinstance(inputs, (tuple, list)) and len(inputs) > 2:
            inputs = self._made(*inputs)
        if isinstance(inputs, (tuple, list)):
            frames, state = inputs
            frames = normalised(frames, self.settings.get("input_white"))
            return super().call([frames, state], training, mask)
        pixels = normalised(inputs, self.settings.get("input_white"))
        if len(pixels.shape) == 5:
            return self._span(pixels, training)
        frames = ops.concatenate([pixels] * (2 + self.lookahead), axis=-1)
        return super().call([frames, ops.zeros_like(frames[..., :STATE])], training, mask)[0]

    def _made(self, windows, *others):
        """Inputs that are made of windows of targets, of spans of them too: see `Network.train_on_targets`."""
        windows = normalised(windows, self.settings.get("target_white"))
        if len(windows.shape) == 4:
            return self.degrade(windows, *others)
        return _unfolded(self.degrade(*map(_folded, (windows, *others))), ops.shape(windows)[1])

    def _span(self, span, training):
        """The pictures of frames 1 to T of a span, from a state of zeros; in training without those that settle."""
        length = ops.shape(span)[1] - 1 - self.lookahead
        settle = min(self.settings["settle"], length - 1) if training else 0
        frames = ops.concatenate([span[:, k : k + length] for k in range(2 + self.lookahead)], axis=-1)
        leak = self.get_layer("next_state")
        gate, now, _ = leak.input
        gates, frames_now = (
            _unfolded(self._value(of, _values(self.input[0], _folded(frames))), length) for of in (gate, now)
        )
        state, states = ops.zeros_like(frames[:, 0, :, :, :STATE]), []
        for number in range(length):
            if training and number == length - 1:
                known = ops.arange(ops.shape(span)[0]) % ALONE != ALONE - 1
                state = state * ops.cast(known, state.dtype)[:, None, None, None]
            state = leak([gates[:, number], frames_now[:, number], state])
            states.append(state)
        known = _values(self.input[0], _folded(frames[:, settle:])) | _values(
            leak.output, _folded(ops.stack(states[settle:], axis=1))
        )
        return _unfolded(self._value(self.output[0], known), length - settle)

    def _value(self, tensor, known):
        """What a tensor of the graph of layers is, where those by the ids in `known` are that; notes it there."""
        if id(tensor) not in known:
            layer = self._makers[id(tensor)]
            inputs = layer.input
            several = isinstance(inputs, list)
            given = [self._value(each, known) for each in (inputs if several else [inputs])]
            known[id(tensor)] = layer(given if several else given[0])
        return known[id(tensor)]

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        if len(y.shape) == 5:
            y = y[:, y.shape[1] - y_pred.shape[1] :]
        return super().compute_loss(x, y, y_pred, sample_weight, training)


def changes(frame: Floats, other: Floats) -> Floats:
    """How much pixels of frames differ, (h, w, 3) to (h - 4, w - 4): means around of their small means' differences."""
    small = _around(frame - other)
    return _around(np.abs(small).sum(axis=-1))


def _around(picture):
    for axis in (0, 1):
        ends = np.moveaxis(picture, axis, 0)
        picture = np.moveaxis((ends[:-2] + 2 * ends[1:-1] + ends[2:]) / 4, 0, axis)
    return picture


def _gate(now, other, which=""):
    """Whether pixels of frame t are what they are in another one: (..., 1), 0 to 1."""
    moved = keras.layers.Add(dtype="float32")([now, Affine(-1.0, dtype="float32")(other)])
    change = _convolution(6, "relu", "change" + which)(moved)
    return _convolution(1, "sigmoid", "gate" + which)(change)


def _convolution(features, activation, name):
    return keras.layers.Conv2D(
        features, 3, padding="same", data_format="channels_last", activation=activation, name=name, trainable=False,
        dtype="float32",
    )  # fmt: skip


def _folded(span):
    """A span as a batch of frames: (batch * T, h, w, any)."""
    batch, length, *rest = ops.shape(span)
    return ops.reshape(span, (batch * length, *rest))


def _unfolded(frames, length):
    count, *rest = ops.shape(frames)
    return ops.reshape(frames, (count // length, length, *rest))


def _listed(tensors):
    return tensors if isinstance(tensors, list) else [tensors]


def _values(tensor, value):
    return {id(tensor): value}
