"""Optimizers that Keras does differently."""

import keras
import tensorflow as tf


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
