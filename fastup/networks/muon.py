"""An optimiser whose steps are orthogonal matrices: small networks get as far in a third of Adam's steps."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="fastup")
class Muon(keras.optimizers.Adam):
    """Muon for the kernels of convolutions between features, Adam for all else.

    Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks". A kernel is a matrix (what it sees,
    what it gives), and its step that of gradient descent with momentum whose singular values are all made about 1, so
    that no direction is left behind. Five rounds of Newton and Schulz's iteration do that, with products of matrices
    alone. The step is scaled to the size of Adam's, so that both share a learning rate (Liu et al. 2025, "Muon is
    scalable for LLM training"). Keras' own Muon takes no kernels of convolutions.

    Parameters
    ----------
    learning_rate
        Of both.
    momentum
        Of the kernels.
    kwargs
        As `keras.optimizers.Adam` takes them.
    """

    def __init__(self, learning_rate: Any = 1e-3, momentum: float = 0.95, **kwargs: Any) -> None:
        super().__init__(learning_rate, **kwargs)
        self.momentum = momentum

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if not _turns(variable):
            super().update_step(gradient, variable, learning_rate)
            return
        gradient, rate = ops.cast(gradient, variable.dtype), ops.cast(learning_rate, variable.dtype)
        moment = self._momentums[self._get_variable_index(variable)]
        self.assign(moment, ops.add(ops.multiply(moment, self.momentum), gradient))
        ahead = ops.add(gradient, ops.multiply(moment, self.momentum))  # Nesterov's
        matrix = ops.reshape(ahead, (-1, variable.shape[-1]))
        step = orthogonal(matrix) * (0.2 * max(matrix.shape) ** 0.5)
        self.assign_sub(variable, ops.multiply(ops.reshape(step, variable.shape), rate))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "momentum": self.momentum}


def orthogonal(matrix: Any) -> Any:
    """About the orthogonal matrix that is nearest to this one: singular values of 0.7 to 1.2."""
    wide = matrix.shape[0] <= matrix.shape[1]
    x = matrix if wide else ops.transpose(matrix)
    x = x / (ops.norm(x) + 1e-7)  # no singular value is above 1
    for _ in range(5):
        square = ops.matmul(x, ops.transpose(x))
        x = 3.4445 * x + ops.matmul(-4.7750 * square + 2.0315 * ops.matmul(square, square), x)
    return x if wide else ops.transpose(x)


def _turns(variable):
    """Whether it is a kernel between features: the first one's input is colours, of which there are too few."""
    return len(variable.shape) == 4 and variable.shape[2] > 3
