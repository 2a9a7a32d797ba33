"""What training makes small: the loss of a tile, by name."""

from collections.abc import Callable
from math import log
from types import MappingProxyType
from typing import Any

import keras
from keras import ops

from fastup.codes import LUMA_601
from fastup.errors import OptionError

EPSILON = 1e-3  # of Charbonnier's loss, as Lai et al. 2017 (Deep Laplacian pyramid networks, LapSRN) have it
SLOPE_AT = 0.02  # the error, normalised, at which all losses that follow one another are as steep; 34 dB

FLOOR = 10**-5.5  # of a tile's mean square, added before its logarithm is taken: 55 dB is near enough

# By name, what an error (target less output, normalised) counts. Of "psnr" the mean over a tile counts in decibels, so
# that a tile that is nearly right has as much to gain as one that is far off: as in the mean of the PSNR of images.
LOSSES = MappingProxyType[str, Callable[[Any], Any]](
    {
        "mse": ops.square,
        "l1": ops.abs,
        "charbonnier": lambda error: ops.sqrt(ops.square(error) + EPSILON**2),
        "psnr": ops.square,
    }
)

# What each is multiplied by where two follow one another, so that the slope at SLOPE_AT is 1, or nearly: steps of Adam
# are as large as gradients are compared with earlier ones, and would shrink, or leap, at the change.
_STEEP = {"mse": 1 / (2 * SLOPE_AT), "l1": 1.0, "charbonnier": 1.0, "psnr": SLOPE_AT * log(10) / 20}


class _Share(keras.metrics.Metric):
    """How much of the loss is the second's, 0 to 1. A metric, as JAX hands those to a step; not one that is reset."""

    def __init__(self):
        super().__init__(name="second_loss")
        self.share = self.add_variable((), "zeros", name="share")

    def reset_state(self):
        pass

    def result(self):
        return self.share.value


@keras.saving.register_keras_serializable(package="fastup")
class TileLoss(keras.losses.Loss):
    """The mean over tiles of the mean over all pixels and channels of what their errors count.

    With a loss ``f``, the errors ``e`` of R, G and B, target less output, normalised, and their sum ``y`` by Rec.601's
    shares (0.299, 0.587, 0.114), of which the error of the papers' Y is a multiple, a pixel counts

        (1 - luma) * mean(f(e_r), f(e_g), f(e_b)) + luma * f(y)

    By "psnr" a tile counts ``10 * log10(mean + FLOOR)``, where the mean is that of squares; so the loss is about the
    negative PSNR of tiles.

    Of two losses the first counts in full where `share` is 0, the second where that is 1; in between both do. They are
    scaled then, so that an error of 0.02 has nearly the same gradient by any.

    Parameters
    ----------
    names
        One of `LOSSES`, or two with a comma.
    luma
        The share of luma, 0 to 1. At 1 nothing is learned of colours.
    """

    def __init__(self, names: str, luma: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.names, self.luma = names, luma
        each = names.split(",")
        if not 1 <= len(each) <= 2 or not set(each) <= LOSSES.keys():
            raise OptionError(f"loss is {names!r}, expected one of {', '.join(LOSSES)}, or two with a comma")
        self.share = _Share() if len(each) == 2 else None

    def call(self, y_true: Any, y_pred: Any) -> Any:
        error = y_true - y_pred
        luma = ops.matmul(error, ops.convert_to_tensor(LUMA_601, error.dtype)[:, None])[..., 0] if self.luma else None
        first, *second = (self._counted(name, error, luma) for name in self.names.split(","))
        if self.share is None:
            return first
        share = ops.cast(self.share.share, first.dtype)
        return (1 - share) * first + share * second[0]

    def _counted(self, name, error, luma):
        loss, factor = LOSSES[name], _STEEP[name] if self.share is not None else 1
        counted = ops.mean(loss(error), axis=-1)
        if luma is not None:
            counted = (1 - self.luma) * counted + self.luma * loss(luma)
        counted = ops.mean(counted, axis=(-2, -1))
        if name == "psnr":
            counted = 10 / log(10) * ops.log(counted + FLOOR)
        return counted if factor == 1 else factor * counted

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "names": self.names, "luma": self.luma}
