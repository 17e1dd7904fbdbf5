"""Targeted attacks: towards a wrong class instead of away from the true one.

Table 1 of the paper has a row "targeted" without saying how targets were chosen, and the challenge
has no code for it. Here the row is `TargetedEach`, the stronger reading.
"""

import dataclasses

import tensorflow as tf

from common.attacks.base import Attack
from common.attacks.restarts import restart_seed, worst_of
from common.networks.logits import LogitsFn
from common.threat_model import Ball


@dataclasses.dataclass(frozen=True)
class TargetedEach(Attack):
    """Runs a targeted attack towards every wrong class in turn; the worst result counts.

    Attributes:
        attack: an attack whose loss is targeted, so that its labels are the classes to reach.
        num_classes: number of classes.
    """

    attack: Attack
    num_classes: int

    @property
    def ball(self) -> Ball | None:
        """The threat model."""
        return getattr(self.attack, 'ball', None)

    @property
    def gradients(self) -> int:
        """Input gradients spent on each image."""
        return (self.num_classes - 1) * self.attack.gradients

    def perturb(
        self, logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor
    ) -> tf.Tensor:
        """See `Attack`."""

        def run(i: tf.Tensor) -> tf.Tensor:
            target = (y + tf.cast(i, y.dtype) + 1) % self.num_classes
            return self.attack.perturb(logits_fn, x, target, seed=restart_seed(seed, i))

        return worst_of(run, self.num_classes - 1, logits_fn, x, y)


@dataclasses.dataclass(frozen=True)
class RandomTarget(Attack):
    """Runs a targeted attack towards one wrong class an image, drawn from the seed.

    Attributes:
        attack: an attack whose loss is targeted, so that its labels are the classes to reach.
        num_classes: number of classes.
    """

    attack: Attack
    num_classes: int

    @property
    def ball(self) -> Ball | None:
        """The threat model."""
        return getattr(self.attack, 'ball', None)

    @property
    def gradients(self) -> int:
        """Input gradients spent on each image."""
        return self.attack.gradients

    def perturb(
        self, logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor
    ) -> tf.Tensor:
        """See `Attack`."""
        target_seed, attack_seed = tf.unstack(tf.random.split(seed, 2))
        offset = tf.random.stateless_uniform(
            tf.shape(y), target_seed, minval=1, maxval=self.num_classes, dtype=y.dtype
        )
        return self.attack.perturb(logits_fn, x, (y + offset) % self.num_classes, seed=attack_seed)
