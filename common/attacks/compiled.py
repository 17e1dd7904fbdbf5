"""An attack on one network, compiled."""

import threading
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from common.attacks.base import BATCH_SIZE, Attack, as_seed, checked, in_batches
from common.networks.logits import as_logits, snapshot
from common.networks.probe import probe_once


class CompiledAttack:
    """An attack on one network as a single `tf.function`, traced once for all batch sizes.

    Args:
        attack: the attack.
        network: the network whose gradients it follows: a Keras model, which is computed layer by
            layer as it was built, or anything else that `common.networks.logits.as_logits` takes.
            Weights are read at every call, so it may be trained in between.

    >>> import keras
    >>> import tensorflow as tf
    >>> from common.attacks import PGD, CompiledAttack
    >>> from common.threat_model import LinfBall
    >>> layers = [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    >>> network = keras.Sequential(layers)
    >>> attack = CompiledAttack(PGD(LinfBall(0.3), steps=40, step_size=0.01), network)
    >>> attack(tf.zeros([5, 28, 28, 1]), [0, 1, 2, 3, 4], seed=0).shape
    TensorShape([5, 28, 28, 1])
    """

    def __init__(self, attack: Attack, network: Any):
        self.attack = attack
        self._logits_fn = logits_fn = as_logits(network)

        @tf.function(autograph=False)
        def perturb(x, y, seed):
            return attack.perturb(snapshot(logits_fn), x, y, seed=seed)

        self._perturb = perturb
        self._concrete: Callable[..., tf.Tensor] | None = None
        self._classes: int | None = None
        self._tracing = threading.Lock()  # batches may come from several threads

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.attack!r})'

    def __call__(
        self, x: Any, y: Any, *, seed: Any = 0, batch_size: int = BATCH_SIZE, verbose: bool = False
    ) -> tf.Tensor:
        """Adversarial images [n, ...] float32; arguments, errors and warnings as in `Attack`."""
        if not tf.executing_eagerly():  # a part of the caller's graph
            return self._perturb(x, tf.cast(y, tf.int32), as_seed(seed))
        x, y = checked(self._logits_fn, x, y, self.attack, classes=self._classes, compiled=True)
        return in_batches(
            lambda x, y, seed: self.craft(x, y, seed=seed),
            x,
            y,
            seed=as_seed(seed),
            batch_size=batch_size,
            verbose=verbose,
        )

    def craft(self, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor) -> tf.Tensor:
        """One batch, without checks of its images and labels: for loops that have checked them.

        Args:
            x: [batch, ...] float32 natural images.
            y: [batch] int32 labels.
            seed: [2] int32.

        Returns:
            [batch, ...] float32 adversarial images.

        Raises:
            BadInput: the network does not return [batch, classes].

        Warns:
            UserWarning: see `common.networks.probe`.
        """
        with self._tracing:
            if self._concrete is None:
                self._concrete = self._trace(x)
        return self._concrete(x, y, seed)

    def _trace(self, x: tf.Tensor):
        if self._classes is None:
            self._classes = probe_once(self._logits_fn, x, gradients=self.attack.gradients > 0)
        # An open batch dimension, so that the last, shorter batch is not traced again.
        return self._perturb.get_concrete_function(
            tf.TensorSpec([None, *x.shape[1:]], tf.float32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([2], tf.int32),
        )
