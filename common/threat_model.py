"""The set of perturbations an adversary may choose from (paper, section 2)."""

import dataclasses
import numbers
from typing import Any

import numpy as np
import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class LinfBall:
    """All images within `epsilon` of the natural one in every pixel, and inside the pixel range.

    Attributes:
        epsilon: l-inf radius in the data set's own pixel units (MNIST: 0 to 1, CIFAR-10: 0 to 255).
            A scalar tensor is accepted, for training schedules that change it.
        lower: the smallest pixel value.
        upper: the largest pixel value.

    Raises:
        ValueError: epsilon is negative or not finite, or the pixel range is empty.
    """

    epsilon: Any
    lower: float = 0.0
    upper: float = 1.0

    def __post_init__(self):
        if isinstance(self.epsilon, np.generic):  # would make float64 of what it meets
            object.__setattr__(self, 'epsilon', self.epsilon.item())
        if isinstance(self.epsilon, numbers.Real) and not 0 <= self.epsilon < float('inf'):
            raise ValueError(f'epsilon must be finite and at least 0; found {self.epsilon}')
        if not self.lower < self.upper:
            raise ValueError(f'expected lower < upper; found [{self.lower}, {self.upper}]')

    def sample(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A random point: uniform noise in every pixel, then the clip to the pixel range.

        The clip came to the challenge's code in 2018/2019; the paper's tables predate it.

        Args:
            x: [batch, ...] float32 natural images.
            seed: [2] integer seed of `tf.random.stateless_uniform`.

        Returns:
            [batch, ...] float32.
        """
        noise = tf.random.stateless_uniform(tf.shape(x), seed, minval=-1.0, maxval=1.0)
        return tf.clip_by_value(x + noise * self.epsilon, self.lower, self.upper)

    def project(self, x_adv: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """The point of the ball around `x` nearest to `x_adv` (the challenge's two clips)."""
        x_adv = tf.clip_by_value(x_adv, x - self.epsilon, x + self.epsilon)
        return tf.clip_by_value(x_adv, self.lower, self.upper)

    def distance(self, x_adv: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """[batch] l-inf distances between [batch, ...] images, in pixel units."""
        difference = tf.abs(x_adv - x)
        return tf.reduce_max(tf.reshape(difference, [tf.shape(x)[0], -1]), axis=1)

    def contains(self, x_adv: tf.Tensor, x: tf.Tensor, tolerance: float = 1e-4) -> tf.Tensor:
        """[batch] bool: whether each image is in the ball and the range (False for NaN).

        Args:
            x_adv: [batch, ...] float32 images in question.
            x: [batch, ...] float32 natural images.
            tolerance: slack in pixel units; the challenge's checkers allow 1e-4.
        """
        flat = tf.reshape(x_adv, [tf.shape(x)[0], -1])
        in_range = tf.reduce_all(
            (flat >= self.lower - tolerance) & (flat <= self.upper + tolerance), axis=1
        )
        return in_range & (self.distance(x_adv, x) <= self.epsilon + tolerance)
