"""TensorFlow 1's optimizers as pure functions of weights, gradients and slots."""

import dataclasses
import itertools
from typing import Any, ClassVar, Protocol

import tensorflow as tf

from common.training.setting import Choice, setting

Tensors = list[tf.Tensor]


class Optimizer(Protocol):
    """The update of a weight, as a function of everything that it depends on.

    Attributes:
        remembers: how many tensors of the weight's shape, its slots, go from step to step; they
            are zero before the first one.
    """

    remembers: int

    def move(
        self, w: tf.Tensor, g: tf.Tensor, slots: Tensors, t: tf.Tensor, learning_rate: tf.Tensor
    ) -> tuple[tf.Tensor, Tensors]:
        """The weight and its slots after a step.

        Args:
            w: the weight, a float32 tensor of any shape.
            g: its gradient.
            slots: as the last step left them.
            t: number of the step, from 1, scalar float32.
            learning_rate: scalar float32.
        """


@dataclasses.dataclass(frozen=True)
class Adam:
    """TensorFlow 1's AdamOptimizer, whose epsilon is outside of the bias correction.

    Attributes:
        beta_1: decay of the first moment.
        beta_2: decay of the second moment.
        epsilon: "epsilon hat" of Kingma and Ba (2014), just before their section 2.1.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    remembers: ClassVar[int] = 2

    def move(
        self, w: tf.Tensor, g: tf.Tensor, slots: Tensors, t: tf.Tensor, learning_rate: tf.Tensor
    ) -> tuple[tf.Tensor, Tensors]:
        """See `Optimizer`."""
        m, v = slots
        rate = learning_rate * tf.sqrt(1 - tf.pow(self.beta_2, t)) / (1 - tf.pow(self.beta_1, t))
        m = m + (g - m) * (1 - self.beta_1)
        v = v + (tf.square(g) - v) * (1 - self.beta_2)
        return w - m * rate / (tf.sqrt(v) + self.epsilon), [m, v]


@dataclasses.dataclass(frozen=True)
class Momentum:
    """TensorFlow 1's MomentumOptimizer: v = momentum * v + g, then w = w - learning_rate * v.

    Keras' SGD keeps the learning rate inside v, so after each drop of the learning rate its steps
    stay large for a while; with a constant learning rate the two are the same.

    Attributes:
        momentum: how much of v stays.
    """

    momentum: float = 0.9
    remembers: ClassVar[int] = 1

    def move(
        self, w: tf.Tensor, g: tf.Tensor, slots: Tensors, t: tf.Tensor, learning_rate: tf.Tensor
    ) -> tuple[tf.Tensor, Tensors]:
        """See `Optimizer`."""
        v = self.momentum * slots[0] + g
        return w - learning_rate * v, [v]


def first_slots(optimizer: Optimizer, weights: Tensors) -> Tensors:
    """What the optimizer remembers before the first step: the slots of each weight in turn."""
    return [tf.zeros(w.shape) for w in weights for _ in range(optimizer.remembers)]


def moved(
    optimizer: Optimizer,
    weights: Tensors,
    gradients: Tensors,
    slots: Tensors,
    step: tf.Tensor,
    learning_rate: tf.Tensor,
) -> tuple[Tensors, Tensors]:
    """All weights and slots after a step.

    Args:
        optimizer: how they move.
        weights: float32 tensors of any shapes.
        gradients: one for each weight.
        slots: as the last step or `first_slots` left them.
        step: how many steps came before, integer scalar.
        learning_rate: scalar float32.
    """
    after, kept, left = [], [], iter(slots)
    t = tf.cast(step + 1, tf.float32)
    for w, g in zip(weights, gradients, strict=True):
        own = list(itertools.islice(left, optimizer.remembers))
        w, own = optimizer.move(w, g, own, t, learning_rate)
        after.append(w)
        kept += own
    return after, kept


OPTIMIZERS = {
    'adam': Choice(
        "TensorFlow 1's Adam",
        lambda config: Adam(config.adam_beta_1, config.adam_beta_2, config.adam_epsilon),
        uses=('adam_beta_1', 'adam_beta_2', 'adam_epsilon'),
    ),
    'momentum': Choice(
        "TensorFlow 1's momentum", lambda config: Momentum(config.momentum), uses=('momentum',)
    ),
}
"""Name -> config -> optimizer."""


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    """How weights move."""

    optimizer: str = setting('How weights are updated.', choices=OPTIMIZERS)
    adam_beta_1: float = setting("Adam's constant beta_1.", 0.9, least=0.0, below=1)
    adam_beta_2: float = setting("Adam's constant beta_2.", 0.999, least=0.0, below=1)
    adam_epsilon: float = setting("Adam's constant epsilon.", 1e-8, least=0.0, below=1)
    momentum: float = setting('Constant of the momentum optimizer.', 0.9, least=0.0, most=1.0)


def training_optimizer(config: Any) -> Optimizer:
    """How weights move.

    Args:
        config: a TrainingConfig.
    """
    return OPTIMIZERS[config.optimizer].make(config)
