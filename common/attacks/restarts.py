"""Several runs with different randomness: an image is robust only if it survives them all."""

import dataclasses

import tensorflow as tf

from common.arguments import checked_number
from common.attacks.base import Attack
from common.attacks.steps import where
from common.losses import true_margin
from common.networks.logits import LogitsFn, exact
from common.threat_model import Ball


@dataclasses.dataclass(frozen=True)
class Restarts(Attack):
    """Runs `attack` several times and keeps each image's most adversarial result.

    Restart r depends on the seed and r only, so r restarts are the first r of any larger number,
    and more restarts never help the network.

    Attributes:
        attack: a randomized attack.
        restarts: how many runs.

    Raises:
        BadInput: fewer than one restart.
    """

    attack: Attack
    restarts: int

    def __post_init__(self):
        restarts = checked_number('restarts', self.restarts, least=1, whole=True)
        object.__setattr__(self, 'restarts', restarts)

    @property
    def ball(self) -> Ball | None:
        """The threat model."""
        return getattr(self.attack, 'ball', None)

    @property
    def gradients(self) -> int:
        """Input gradients spent on each image."""
        return self.restarts * self.attack.gradients

    def perturb(
        self, logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor
    ) -> tf.Tensor:
        """See `Attack`."""

        def run(r: tf.Tensor) -> tf.Tensor:
            return self.attack.perturb(logits_fn, x, y, seed=restart_seed(seed, r))

        return worst_of(run, self.restarts, logits_fn, x, y)


def restart_seed(seed: tf.Tensor, restart: tf.Tensor | int) -> tf.Tensor:
    """The [2] integer seed of one restart."""
    return tf.random.fold_in(seed, restart)


def worst_of(run, count: int, logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """For each image, the one of `run(0)` ... `run(count - 1)` whose margin is smallest.

    Args:
        run: scalar int32 tensor -> [batch, ...] float32 images.
        count: how many runs.
        logits_fn: judges the runs.
        x: [batch, ...] float32, for the shape.
        y: [batch] true labels.
    """
    judge = exact(logits_fn)

    def body(i: tf.Tensor, best: tf.Tensor, best_margin: tf.Tensor) -> tuple:
        x_adv = run(i)
        margin = true_margin(judge(x_adv), y)
        # A NaN is kept, so that the evaluation sees it.
        better = ~(tf.math.is_nan(best_margin) | (margin >= best_margin))
        return i + 1, where(better, x_adv, best), tf.where(better, margin, best_margin)

    margin = tf.fill(tf.shape(x)[:1], float('inf'))
    _, best, _ = tf.while_loop(
        lambda i, *_: i < count,
        body,
        (0, x, margin),
        parallel_iterations=1,
        shape_invariants=(tf.TensorShape([]), x.shape, tf.TensorShape([None])),
    )
    return best
