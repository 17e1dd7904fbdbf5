"""What an adversary maximizes: losses of [batch, classes] logits and [batch] labels.

Every loss returns [batch] float32; larger is more adversarial. `y` holds the true classes or, for
targeted losses, the classes to reach. Losses are frozen dataclasses, so that printing an attack
shows all its settings.
"""

import dataclasses
from typing import Any, Protocol

import tensorflow as tf

_TINY = 1e-12  # keeps ratios finite where all logits are equal


class Loss(Protocol):
    """[batch, classes] float32 logits, [batch] int labels -> [batch] float32."""

    def __call__(self, logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor: ...


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
    """Softmax cross-entropy.

    Attributes:
        targeted: whether `y` is the class to reach rather than the class to leave.
    """

    targeted: bool = False

    def __call__(self, logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
        return -loss if self.targeted else loss


@dataclasses.dataclass(frozen=True)
class LogOdds:
    """log (1 - p_y) / p_y, the logarithm of the odds against class y.

    The cross-entropy is log(1 + exp(this)), so both gradients have the same direction. Where p_y
    rounds to 1, the cross-entropy's gradient loses its z_y part; this one does not.
    """

    def __call__(self, logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        chosen = tf.one_hot(y, tf.shape(logits)[1], on_value=True, off_value=False, dtype=tf.bool)
        others = tf.where(chosen, tf.constant(-float('inf'), logits.dtype), logits)
        return tf.reduce_logsumexp(others, axis=1) - _logit(logits, y)


@dataclasses.dataclass(frozen=True)
class CWMargin:
    """Carlini and Wagner's margin loss, -relu(z_y - max_{j != y} z_j + kappa), maximized.

    kappa = 0 is the paper's CW; kappa = 50 is its CW+ and the only value in the challenge's code.
    The targeted form is -relu(max_{j != t} z_j - z_t + kappa) for the class t to reach.

    Attributes:
        kappa: confidence in logit units: how far beyond the boundary the loss keeps pushing.
        targeted: whether `y` is the class to reach rather than the class to leave.
    """

    kappa: float = 0.0
    targeted: bool = False

    def __call__(self, logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        margin = true_margin(logits, y)
        return -tf.nn.relu((-margin if self.targeted else margin) + self.kappa)


@dataclasses.dataclass(frozen=True)
class Margin:
    """max_{j != y} z_j - z_y: Carlini and Wagner's margin, unbounded."""

    def __call__(self, logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return -true_margin(logits, y)


@dataclasses.dataclass(frozen=True)
class DLR:
    """Difference of logits ratio (Croce and Hein 2020): independent of the logits' scale.

    -(z_y - max_{j != y} z_j) / (z_1 - z_3), with z_1 >= z_2 >= ... the sorted logits.

    Raises:
        ValueError: fewer than 3 classes.
    """

    def __call__(self, logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        _require_classes(logits, 3)
        highest = tf.math.top_k(logits, 3).values
        return -true_margin(logits, y) / (highest[:, 0] - highest[:, 2] + _TINY)


@dataclasses.dataclass(frozen=True)
class MarginTo:
    """z_t - z_y, the surrogate of MultiTargeted (Gowal et al. 2019), which aims at one wrong class.

    Attributes:
        target: [batch] integers, the wrong classes; None until `towards` sets them.
    """

    target: Any = None

    def towards(self, target: tf.Tensor) -> 'MarginTo':
        """The loss that leads to these [batch] classes."""
        return dataclasses.replace(self, target=target)

    def __call__(self, logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return _logit(logits, self.target) - _logit(logits, y)


@dataclasses.dataclass(frozen=True)
class DLRTo:
    """The targeted DLR loss -(z_y - z_t) / (z_1 - (z_3 + z_4) / 2) (Croce and Hein 2020).

    Attributes:
        target: [batch] integers, the wrong classes; None until `towards` sets them.

    Raises:
        ValueError: fewer than 4 classes.
    """

    target: Any = None

    def towards(self, target: tf.Tensor) -> 'DLRTo':
        """The loss that leads to these [batch] classes."""
        return dataclasses.replace(self, target=target)

    def __call__(self, logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        _require_classes(logits, 4)
        highest = tf.math.top_k(logits, 4).values
        scale = highest[:, 0] - (highest[:, 2] + highest[:, 3]) / 2
        return (_logit(logits, self.target) - _logit(logits, y)) / (scale + _TINY)


@dataclasses.dataclass(frozen=True)
class Divergence:
    """KL(p || q): how far the network's probabilities q are from a reference p (TRADES).

    Attributes:
        reference: [batch, classes] float32, the logits of p.
    """

    reference: Any

    def __call__(self, logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        log_p, log_q = (tf.nn.log_softmax(z) for z in (self.reference, logits))
        return tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=1)


def true_margin(logits: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """[batch] z_y - max_{j != y} z_j: positive exactly where class y wins."""
    chosen = tf.one_hot(y, tf.shape(logits)[1], on_value=True, off_value=False, dtype=tf.bool)
    z_y = tf.reduce_sum(tf.where(chosen, logits, 0.0), axis=1)
    # Not the challenge's `(1 - one_hot) * z - 1e4 * one_hot`, which rounds large logits.
    z_other = tf.reduce_max(tf.where(chosen, logits.dtype.min, logits), axis=1)
    return z_y - z_other


def _logit(logits: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    return tf.gather(logits, classes, axis=1, batch_dims=1)


def _require_classes(logits: tf.Tensor, least: int) -> None:
    if logits.shape[1] is not None and logits.shape[1] < least:
        raise ValueError(f'expected at least {least} classes; found {logits.shape[1]}')


LOSSES = {'xent': CrossEntropy, 'cw': CWMargin}


def make_loss(name: str, *, kappa: float = 0.0, targeted: bool = False) -> Loss:
    """Makes a loss by name.

    The challenge's code silently uses cross-entropy for unknown names; they are an error here.

    Args:
        name: one of LOSSES.
        kappa: for 'cw' only.
        targeted: whether labels are the classes to reach rather than to leave.

    Raises:
        ValueError: unknown name.
    """
    if name not in LOSSES:
        raise ValueError(f'unknown loss {name!r}; expected one of: {", ".join(sorted(LOSSES))}')
    if name == 'cw':
        return CWMargin(kappa=kappa, targeted=targeted)
    return CrossEntropy(targeted=targeted)
