"""Projected gradient descent, and FGSM, its single step (paper, section 2.1)."""

import dataclasses
from typing import Any

import tensorflow as tf

from common.arguments import checked_number
from common.attacks.base import Climber
from common.attacks.precision import past_rounding
from common.attacks.steps import repeat, with_gradient
from common.losses import CrossEntropy, Loss
from common.networks.logits import LogitsFn
from common.threat_model import Ball


@dataclasses.dataclass(frozen=True)
class PGD(Climber):
    """Steepest steps of a fixed size, each projected onto the ball; the last iterate counts.

    In `LinfBall` this is the challenge's `LinfPGDAttack`,
    x <- clip_range(clip_ball(x + step_size * sign(gradient))) with sign(0) = 0; in `L2Ball` a step
    is step_size * gradient / ||gradient||.

    Attributes:
        ball: the threat model.
        steps: number of gradient steps; 0 returns the starting point.
        step_size: length of a step in the ball's norm, in pixel units.
        loss: what is maximized; its sum over the batch, so examples do not influence each other.
        random_start: start from `ball.sample` rather than from the natural image.

    Raises:
        BadInput: steps or a step size that are no numbers, negative or not finite.

    >>> import tensorflow as tf
    >>> from common.attacks import PGD
    >>> from common.threat_model import L2Ball
    >>> logits_fn = lambda x: tf.stack([-3 * x[:, 0], 4 * x[:, 1]], axis=1)  # any network
    >>> attack = PGD(L2Ball(epsilon=0.1), steps=10, step_size=0.05, random_start=False)
    >>> x, y = tf.constant([[0.5, 0.5]]), tf.constant([0])
    >>> print(attack(logits_fn, x, y, seed=0).numpy().round(4))
    [[0.56 0.58]]
    """

    ball: Ball
    steps: int
    step_size: Any
    loss: Loss = CrossEntropy()
    random_start: bool = True

    def __post_init__(self):
        self._check_steps(least=0)
        object.__setattr__(self, 'step_size', checked_number('step_size', self.step_size, least=0))
        self._name_loss()

    def scaled(self, factor: Any) -> 'PGD':
        """The same attack with radius and step size times `factor`, a number or scalar tensor."""
        return dataclasses.replace(
            self, ball=self.ball.scaled(factor), step_size=self.step_size * factor
        )

    def ascend(
        self, logits_fn: LogitsFn, start: tf.Tensor, x: tf.Tensor, y: tf.Tensor
    ) -> tf.Tensor:
        """The last iterate from `start`, [batch, ...] float32 in the ball around `x`."""
        return repeat(
            lambda x_adv: self.step(logits_fn, x_adv, x, y), start, self.steps, carrier=logits_fn
        )

    def step(self, logits_fn: LogitsFn, x_adv: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """The iterate after `x_adv`, both [batch, ...] float32 in the ball around `x`."""

        def loss(x_adv: tf.Tensor) -> tf.Tensor:
            logits = logits_fn(x_adv)
            return past_rounding(self.loss, logits_fn, logits)(logits, y)

        _, gradient = with_gradient(loss, x_adv)
        return self.ball.project(x_adv + self.step_size * self.ball.steepest(gradient), x)


def fgsm(ball: Ball, loss: Loss = CrossEntropy(), random_start: bool = False) -> PGD:
    """The fast gradient (sign) method: one step of size epsilon, from the image itself.

    Args:
        ball: the threat model.
        loss: what is maximized.
        random_start: start from a random point of the ball instead, which is another attack.
    """
    return PGD(ball, steps=1, step_size=ball.epsilon, loss=loss, random_start=random_start)
