"""Output-diversified initialization (Tashiro, Song and Ermon 2020, "Diversity can be transferred:
output diversification for white- and black-box attacks")."""

import dataclasses

import tensorflow as tf

from common.attacks.base import Attack, Climber
from common.attacks.restarts import restart_seed
from common.attacks.steps import repeat, with_gradient
from common.networks.logits import LogitsFn
from common.threat_model import Ball


@dataclasses.dataclass(frozen=True)
class ODI(Attack):
    """Starts an attack where the logits have moved along a direction drawn for each image.

    Random points of a ball look alike to the network, so restarts from them lead to similar images;
    a few steps that maximize a random combination of the logits separate them.

    Attributes:
        attack: PGD, Ascent or APGD; the steps here begin at its random start.
        steps: of the initialization; 2 in the authors' experiments.
        step_size: in pixel units; None for epsilon, the authors' for white-box attacks in l-inf.

    Raises:
        ValueError: fewer than one step.
    """

    attack: Climber
    steps: int = 2
    step_size: float | None = None

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f'steps must be at least 1; found {self.steps}')

    @property
    def ball(self) -> Ball | None:
        """The threat model."""
        return getattr(self.attack, 'ball', None)

    @property
    def gradients(self) -> int:
        """Input gradients spent on each image."""
        return self.steps + self.attack.gradients

    def perturb(
        self, logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor
    ) -> tf.Tensor:
        """See `Attack`."""
        ball = self.attack.ball
        size = ball.epsilon if self.step_size is None else self.step_size
        start = self.attack.start(x, restart_seed(seed, 0))
        weights = tf.random.stateless_uniform(
            tf.shape(logits_fn(x)), restart_seed(seed, 1), minval=-1.0, maxval=1.0
        )

        def step(x_adv: tf.Tensor) -> tf.Tensor:
            _, gradient = with_gradient(lambda x_adv: weights * logits_fn(x_adv), x_adv)
            return ball.project(x_adv + size * ball.steepest(gradient), x)

        return self.attack.ascend(logits_fn, repeat(step, start, self.steps), x, y)
