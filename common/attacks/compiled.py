"""An attack on one network, compiled."""

import threading
from collections.abc import Callable

import tensorflow as tf

from common.attacks.base import Attack
from common.networks.logits import LogitsFn, check_logits, snapshot


class CompiledAttack:
    """An attack on one network as a single `tf.function`, traced once for all batch sizes.

    Args:
        attack: the attack.
        logits_fn: the network whose gradients it follows. Weights are read at every call, so it
            may be trained in between.

    >>> import keras
    >>> import tensorflow as tf
    >>> from common.attacks import PGD, CompiledAttack
    >>> from common.networks.logits import ModelLogits
    >>> from common.threat_model import LinfBall
    >>> layers = [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    >>> network = ModelLogits(keras.Sequential(layers))
    >>> attack = CompiledAttack(PGD(LinfBall(0.3), steps=40, step_size=0.01), network)
    >>> attack(tf.zeros([5, 28, 28, 1]), tf.zeros([5], tf.int32), seed=(0, 0)).shape
    TensorShape([5, 28, 28, 1])
    """

    def __init__(self, attack: Attack, logits_fn: LogitsFn):
        self.attack = attack

        @tf.function(autograph=False)
        def perturb(x, y, seed):
            return attack(snapshot(logits_fn), x, y, seed=seed)

        self._logits_fn = logits_fn
        self._perturb = perturb
        self._concrete: Callable[..., tf.Tensor] | None = None
        self._tracing = threading.Lock()  # batches may come from several threads

    def __call__(self, x: tf.Tensor, y: tf.Tensor, *, seed) -> tf.Tensor:
        """Adversarial images [batch, ...] float32; arguments as in `Attack`.

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
