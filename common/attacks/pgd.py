"""Projected gradient descent, and FGSM, its single step (paper, section 2.1)."""

import dataclasses
import numbers
from typing import Any

import tensorflow as tf

from common.attacks.base import Climber
from common.attacks.precision import past_rounding
from common.attacks.steps import repeat
from common.losses import CrossEntropy, Loss
from common.networks.logits import LogitsFn
from common.threat_model import LinfBall


@dataclasses.dataclass(frozen=True)
class PGD(Climber):
    """The challenge's `LinfPGDAttack`: signed gradient steps, each projected onto the ball.

    x <- clip_range(clip_ball(x + step_size * sign(gradient))), sign(0) = 0, and the last iterate is
    the result.

    Attributes:
        ball: the threat model.
        steps: number of gradient steps; 0 returns the starting point.
        step_size: in pixel units.
        loss: what is maximized; its sum over the batch, so examples do not influence each other.
        random_start: start from `ball.sample` rather than from the natural image.

    Raises:
        ValueError: negative steps, or a step size that is negative or not finite.
    """

    ball: LinfBall
    steps: int
    step_size: Any
    loss: Loss = CrossEntropy()
    random_start: bool = True

    def __post_init__(self):
        if self.steps < 0:
            raise ValueError(f'steps must be at least 0; found {self.steps}')
        if isinstance(self.step_size, numbers.Real) and not 0 <= self.step_size < float('inf'):
            raise ValueError(f'step_size must be finite and at least 0; found {self.step_size}')

    def scaled(self, factor: tf.Tensor) -> 'PGD':
        """The same attack with radius and step size times `factor`, a scalar in [0, 1]."""
        ball = dataclasses.replace(self.ball, epsilon=self.ball.epsilon * factor)
        return dataclasses.replace(self, ball=ball, step_size=self.step_size * factor)

    def ascend(
        self, logits_fn: LogitsFn, start: tf.Tensor, x: tf.Tensor, y: tf.Tensor
    ) -> tf.Tensor:
        """The last iterate from `start`, [batch, ...] float32 in the ball around `x`."""
        return repeat(lambda x_adv: self.step(logits_fn, x_adv, x, y), start, self.steps)

    def step(self, logits_fn: LogitsFn, x_adv: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """The iterate after `x_adv`, both [batch, ...] float32 in the ball around `x`."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x_adv)
            logits = logits_fn(x_adv)
            loss = tf.reduce_sum(past_rounding(self.loss, logits_fn, logits)(logits, y))
        gradient = tape.gradient(loss, x_adv, unconnected_gradients='zero')
        return self.ball.project(x_adv + self.step_size * tf.sign(gradient), x)


def fgsm(ball: LinfBall, loss: Loss = CrossEntropy(), random_start: bool = False) -> PGD:
    """The fast gradient sign method: one step of size epsilon, from the image itself.

    Args:
        ball: the threat model.
        loss: what is maximized.
        random_start: start from a random point of the ball instead, which is another attack.
    """
    return PGD(ball, steps=1, step_size=ball.epsilon, loss=loss, random_start=random_start)
