"""An attack that continues from where another one ends."""

import dataclasses

import tensorflow as tf

from common.attacks.base import Attack, Climber
from common.attacks.restarts import restart_seed
from common.networks.logits import LogitsFn
from common.threat_model import Ball


@dataclasses.dataclass(frozen=True)
class Chained(Attack):
    """`then` climbs from the result of `first` instead of from a random point.

    A search without gradients leads to places that are hard to reach along gradients, and gradients
    continue from there in fewer passes than the search would need.

    Attributes:
        first: any attack, such as Square.
        then: PGD, Ascent or APGD; the last two never lose an image that `first` has broken.
    """

    first: Attack
    then: Climber

    @property
    def ball(self) -> Ball | None:
        """The threat model."""
        return getattr(self.then, 'ball', None)

    @property
    def gradients(self) -> int:
        """Input gradients spent on each image."""
        return self.first.gradients + self.then.gradients

    def perturb(
        self, logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor
    ) -> tf.Tensor:
        """See `Attack`."""
        start = self.first.perturb(logits_fn, x, y, seed=restart_seed(seed, 0))
        return self.then.ascend(logits_fn, start, x, y)
