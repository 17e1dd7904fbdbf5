"""TensorFlow 1's optimizers as pure functions of weights, gradients and slots."""

import dataclasses
from typing import Any, Protocol

import tensorflow as tf

from common.training.setting import Choice, setting

Tensors = list[tf.Tensor]


class Optimizer(Protocol):
    """How weights move, as a function of everything that this depends on."""

    def slots(self, weights: Tensors) -> Tensors:
        """What the optimizer remembers before the first step, for these weights."""

    def __call__(
        self,
        weights: Tensors,
        gradients: Tensors,
        slots: Tensors,
        step: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> tuple[Tensors, Tensors]:
        """Weights and slots after a step.

        Args:
            weights: float32 tensors of any shapes.
            gradients: one for each weight.
            slots: as the last step, or `slots`, left them.
            step: how many steps came before, scalar.
            learning_rate: scalar float32.
        """


@dataclasses.dataclass(frozen=True)
class Adam:
    """TensorFlow 1's AdamOptimizer, whose epsilon is outside of the bias correction.

    Its slots are the first and second moment of each weight in turn.

    Attributes:
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        epsilon: "epsilon hat" of Kingma and Ba (2014), just before their section 2.1.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8

    def slots(self, weights: Tensors) -> Tensors:
        """See `Optimizer`."""
        return [tf.zeros(w.shape) for w in weights for _ in range(2)]

    def __call__(
        self,
        weights: Tensors,
        gradients: Tensors,
        slots: Tensors,
        step: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> tuple[Tensors, Tensors]:
        """See `Optimizer`."""
        t = tf.cast(step + 1, tf.float32)
        rate = learning_rate * tf.sqrt(1 - tf.pow(self.beta_2, t)) / (1 - tf.pow(self.beta_1, t))
        moved, kept = [], []
        for w, g, m, v in zip(weights, gradients, slots[::2], slots[1::2], strict=True):
            m = m + (g - m) * (1 - self.beta_1)
            v = v + (tf.square(g) - v) * (1 - self.beta_2)
            moved.append(w - m * rate / (tf.sqrt(v) + self.epsilon))
            kept += [m, v]
        return moved, kept


@dataclasses.dataclass(frozen=True)
class Momentum:
    """TensorFlow 1's MomentumOptimizer: v = momentum * v + g, then w = w - learning_rate * v.

    Keras' SGD keeps the learning rate inside v, so after each drop of the learning rate its steps
    stay large for a while; with a constant learning rate the two are the same. Its slots are the
    velocities v.

    Attributes:
        momentum: how much of v stays.
    """

    momentum: float = 0.9

    def slots(self, weights: Tensors) -> Tensors:
        """See `Optimizer`."""
        return [tf.zeros(w.shape) for w in weights]

    def __call__(
        self,
        weights: Tensors,
        gradients: Tensors,
        slots: Tensors,
        step: tf.Tensor,
        learning_rate: tf.Tensor,
    ) -> tuple[Tensors, Tensors]:
        """See `Optimizer`."""
        slots = [self.momentum * v + g for v, g in zip(slots, gradients, strict=True)]
        return [w - learning_rate * v for w, v in zip(weights, slots, strict=True)], slots


OPTIMIZERS = {
    'adam': Choice(
        "TensorFlow 1's Adam",
        lambda config: Adam(config.adam_beta_1, config.adam_beta_2, config.adam_epsilon),
    ),
    'momentum': Choice("TensorFlow 1's momentum", lambda config: Momentum(config.momentum)),
}
"""Name -> config -> optimizer."""


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """How weights move."""

    optimizer: str = setting('How weights move.', choices=OPTIMIZERS)
    adam_beta_1: float = setting("Adam's constant of that name.", 0.9, least=0.0, below=1)
    adam_beta_2: float = setting("Adam's constant of that name.", 0.999, least=0.0, below=1)
    adam_epsilon: float = setting("Adam's constant of that name.", 1e-8, least=0.0, below=1)
    momentum: float = setting("Momentum's constant.", 0.9, least=0.0, most=1.0)


def training_optimizer(config: Any) -> Optimizer:
    """How weights move.

    Args:
        config: a TrainingConfig.
    """
    return OPTIMIZERS[config.optimizer].make(config)
