"""Optimizers that Keras does differently."""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from common.training.setting import Choice, setting


class Momentum(keras.optimizers.Optimizer):
    """TensorFlow 1's momentum: v = momentum * v + g, then w = w - learning_rate * v.

    Keras' SGD keeps the learning rate inside v, so after each drop of the learning rate its steps
    stay large for a while; with a constant learning rate the two are the same.

    Args:
        learning_rate: see `keras.optimizers.Optimizer`.
        momentum: how much of v stays.
        **kwargs: see `keras.optimizers.Optimizer`.
    """

    def __init__(self, learning_rate: float, momentum: float = 0.9, **kwargs):
        super().__init__(learning_rate=learning_rate, **kwargs)
        self.momentum = momentum

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes one velocity for each variable."""
        if self.built:
            return
        super().build(variables)
        self._velocities = [self.add_variable_from_reference(v, name='velocity') for v in variables]

    def update_step(
        self, gradient: tf.Tensor, variable: keras.Variable, learning_rate: tf.Tensor
    ) -> None:
        """Moves one variable."""
        velocity = self._velocities[self._get_variable_index(variable)]
        self.assign(velocity, self.momentum * velocity + gradient)
        self.assign_sub(variable, learning_rate * velocity)

    def get_config(self) -> dict:
        """What a copy of this optimizer is made from."""
        return {**super().get_config(), 'momentum': self.momentum}


OPTIMIZERS = {
    'adam': Choice(
        "TensorFlow 1's Adam",
        lambda config: keras.optimizers.Adam(
            config.learning_rate, config.adam_beta_1, config.adam_beta_2, config.adam_epsilon
        ),
    ),
    'momentum': Choice(
        "TensorFlow 1's momentum", lambda config: Momentum(config.learning_rate, config.momentum)
    ),
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


def training_optimizer(config: Any) -> keras.optimizers.Optimizer:
    """How weights move.

    Args:
        config: a TrainingConfig.
    """
    return OPTIMIZERS[config.optimizer].make(config)
