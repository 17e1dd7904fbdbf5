"""What every attack is, and how one is compiled."""

import threading
from typing import Protocol

import tensorflow as tf

from common.networks.logits import LogitsFn, check_logits, snapshot


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


class Climber:
    """What attacks share that take `steps` gradients from one point of a ball.

    They have the fields `ball`, `steps` and `random_start`, and a method `ascend`.
    """

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

    def start(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Where the steps begin: a random point of the ball around [batch, ...] `x`, or `x`."""
        return self.ball.sample(x, seed) if self.random_start else tf.identity(x)


class CompiledAttack:
    """An attack on one network as a single `tf.function`, traced once for all batch sizes.

    Args:
        attack: the attack.
        logits_fn: the network whose gradients it follows.
    """

    def __init__(self, attack: Attack, logits_fn: LogitsFn):
        self.attack = attack

        @tf.function(autograph=False)
        def perturb(x, y, seed):
            return attack(snapshot(logits_fn), x, y, seed=seed)

        self._logits_fn = logits_fn
        self._perturb = perturb
        self._concrete = None
        self._tracing = threading.Lock()  # batches may come from several threads

    def __call__(self, x: tf.Tensor, y: tf.Tensor, *, seed) -> tf.Tensor:
        """Adversarial images for [batch, ...] float32 `x` and [batch] integer `y`.

        Raises:
            ValueError: the network does not return [batch, classes].

        Warns:
            UserWarning: it returns probabilities instead of logits.
        """
        x = tf.convert_to_tensor(x, tf.float32)
        y = tf.cast(tf.convert_to_tensor(y), tf.int32)
        seed = tf.cast(tf.convert_to_tensor(seed), tf.int32)
        with self._tracing:
            if self._concrete is None:
                self._concrete = self._trace(x)
        return self._concrete(x, y, seed)

    def _trace(self, x: tf.Tensor):
        check_logits(self._logits_fn(x[:32]))
        # An open batch dimension, so that the last, shorter batch is not traced again.
        return self._perturb.get_concrete_function(
            tf.TensorSpec([None, *x.shape[1:]], tf.float32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([2], tf.int32),
        )
