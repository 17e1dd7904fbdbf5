"""MultiTargeted attacks: one class after the other, each with a loss that leads straight there.

Gowal et al. 2019 ("An alternative surrogate loss for PGD-based adversarial testing") with PGD on
the difference of two logits; Croce and Hein 2020 (APGD-T) with Auto-PGD on the targeted DLR loss.
"""

import dataclasses
from typing import Any

import tensorflow as tf

from common.attacks.base import Attack
from common.attacks.restarts import restart_seed, worst_of
from common.networks.logits import LogitsFn
from common.threat_model import Ball


@dataclasses.dataclass(frozen=True)
class MultiTargeted(Attack):
    """Runs an attack towards the likeliest wrong classes in turn; the worst result counts.

    Attributes:
        attack: an attack whose loss has a method `towards` (`common.losses.MarginTo`, `DLRTo`).
        targets: how many classes, in the order of the logits of the natural image.
        first: how many of the likeliest wrong classes to skip, for cascades that run the targets
            one by one on the images that survive.

    Raises:
        ValueError: no targets.
    """

    attack: Any
    targets: int
    first: int = 0

    def __post_init__(self):
        if self.targets < 1 or self.first < 0:
            raise ValueError(
                f'targets must be at least 1 and first at least 0; found '
                f'{self.targets} and {self.first}'
            )

    @property
    def ball(self) -> Ball | None:
        """The threat model."""
        return getattr(self.attack, 'ball', None)

    @property
    def gradients(self) -> int:
        """Input gradients spent on each image."""
        return self.targets * self.attack.gradients

    def perturb(
        self, logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor
    ) -> tf.Tensor:
        """See `Attack`.

        Raises:
            ValueError: the network has fewer wrong classes.
        """
        order = likeliest_wrong(logits_fn(x), y, self.first + self.targets)

        def run(i: tf.Tensor) -> tf.Tensor:
            loss = self.attack.loss.towards(tf.gather(order, self.first + i, axis=1))
            attack = dataclasses.replace(self.attack, loss=loss)
            return attack.perturb(logits_fn, x, y, seed=restart_seed(seed, self.first + i))

        return worst_of(run, self.targets, logits_fn, x, y)


def likeliest_wrong(logits: tf.Tensor, y: tf.Tensor, count: int) -> tf.Tensor:
    """[batch, count] int32: the wrong classes with the highest of [batch, classes] logits.

    Raises:
        ValueError: there are fewer.
    """
    classes = logits.shape[1]
    if classes is not None and classes - 1 < count:
        raise ValueError(f'expected at least {count} wrong classes; found {classes - 1}')
    right = tf.one_hot(y, tf.shape(logits)[1], on_value=True, off_value=False, dtype=tf.bool)
    return tf.math.top_k(tf.where(right, logits.dtype.min, logits), count).indices
