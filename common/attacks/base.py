"""What every attack is, and what attacks along gradients share."""

import abc
from typing import Protocol

import tensorflow as tf

from common.errors import UserError
from common.networks.logits import LogitsFn
from common.threat_model import Ball


class Attack(Protocol):
    """Maps natural images to adversarial ones.

    Randomness comes from `seed` alone, so the same call always returns the same images.
    """

    @property
    def gradients(self) -> int:
        """Input gradients spent on each image."""

    def __call__(
        self, logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor
    ) -> tf.Tensor:
        """
        Args:
            logits_fn: the network under attack.
            x: [batch, ...] float32 natural images in the data set's pixel units.
            y: [batch] integer labels.
            seed: [2] integer seed of the stateless generators.

        Returns:
            [batch, ...] float32 adversarial images.
        """


class Climber(abc.ABC):
    """An attack that takes `steps` gradients from one point of a ball.

    Subclasses are dataclasses with at least these fields.

    Attributes:
        ball: the threat model.
        steps: number of gradients.
        random_start: start from `ball.sample` rather than from the natural image.
    """

    ball: Ball
    steps: int
    random_start: bool

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f'steps must be at least 1; found {self.steps}')

    @property
    def gradients(self) -> int:
        """Input gradients spent on each image."""
        return self.steps

    def __call__(
        self, logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor
    ) -> tf.Tensor:
        """Adversarial images [batch, ...] float32; arguments as in `Attack`."""
        return self.ascend(logits_fn, self.start(x, seed), x, y)

    @abc.abstractmethod
    def ascend(
        self, logits_fn: LogitsFn, start: tf.Tensor, x: tf.Tensor, y: tf.Tensor
    ) -> tf.Tensor:
        """The result from `start`, [batch, ...] float32 in the ball around `x`."""

    def start(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Where the steps begin: a random point of the ball around [batch, ...] `x`, or `x`."""
        return self.ball.sample(x, seed) if self.random_start else tf.identity(x)


class UnsupportedBall(UserError, ValueError):
    """A ball whose geometry an attack does not have: a mistake in code, or of --method."""


def require_ball(who: str, ball: Ball, *supported: type[Ball]) -> None:
    """Refuses a ball that an attack does not support.

    Raises:
        UnsupportedBall: `ball` is none of the `supported`.
    """
    if not isinstance(ball, supported):
        names = ' or '.join(kind.__name__ for kind in supported)
        raise UnsupportedBall(f'{who} supports {names} only; found {type(ball).__name__}')
