"""A look at a network on a few images, before hours of attacks rest on a misunderstanding."""

import warnings

import numpy as np
import tensorflow as tf

from common.errors import BadInput, reason
from common.losses import LogOdds
from common.networks.logits import LogitsFn

SAMPLE = 32
"""How many images are enough."""

_FLAT = 0.05  # share of images without a gradient that is still taken for chance
_SAME = 1e-4  # of the largest logit: what rounding may make of the same images twice


def probe(network: LogitsFn, x: np.ndarray | tf.Tensor, *, gradients: bool = True) -> int:
    """Checks what a network makes of a few images, and returns its number of classes.

    Args:
        network: the network.
        x: [n, ...] float32 images; the first SAMPLE are used.
        gradients: whether an attack is going to follow its gradients.

    Raises:
        BadInput: the network cannot compute such images, does not return one row of numbers for
            each of them, or returns one probability instead of a logit.

    Warns:
        UserWarning: the network returns probabilities, is random, or has no gradients. Each looks
            like robustness and is none.
    """
    x = tf.convert_to_tensor(x[:SAMPLE], tf.float32)
    logits = _computed(network, x)
    _warn_of_probabilities(logits)
    apart = float(np.abs(_computed(network, x) - logits).max(initial=0))
    if apart > _SAME * max(float(np.abs(logits).max(initial=0)), 1e-30):
        _warn(
            f'the network is random: the same images twice gave logits up to {apart:.3g} apart. '
            'One gradient is not enough to attack it, so its accuracy is overestimated; call its '
            'layers with training=False.'
        )
    if gradients:
        _warn_of_missing_gradients(network, x, logits)
    return logits.shape[1]


def _computed(network: LogitsFn, x: tf.Tensor) -> np.ndarray:
    try:
        logits = network(x)
    except BadInput:
        raise
    except (AttributeError, KeyError, TypeError, ValueError, tf.errors.InvalidArgumentError) as e:
        raise BadInput(
            f'expected a network that maps TensorFlow tensors of shape [n, '
            f'{", ".join(map(str, x.shape[1:]))}] to logits; calling it failed: {reason(e)}'
        ) from e
    if len(logits.shape) != 2 or logits.shape[1] < 2 or logits.shape[0] != len(x):
        raise BadInput(
            f'expected logits of shape [batch, classes] = [{len(x)}, classes]; found '
            f'{list(logits.shape)}'
        )
    return logits.numpy()


def _warn_of_probabilities(logits: np.ndarray) -> None:
    first, second = logits[:, 0], logits[:, -1]
    if logits.shape[1] == 2 and not first.any() and ((second > 0) & (second < 1)).all():
        raise BadInput(
            'expected a logit as the single output of a binary classifier; found numbers from '
            f'{second.min():.3g} to {second.max():.3g} only, which look like probabilities. Remove '
            'the last sigmoid. If they are logits, return two of them: 0 and this one.'
        )
    if (logits >= 0).all() and (np.abs(logits.sum(axis=1) - 1) < 1e-3).all():
        _warn(
            'the network returns probabilities (every row is positive and sums to 1), but attacks '
            'need logits: saturated probabilities have no gradient. Remove its last softmax.'
        )


def _warn_of_missing_gradients(network: LogitsFn, x: tf.Tensor, logits: np.ndarray) -> None:
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        # Not the cross-entropy, whose gradient is rounded away where the network is sure.
        losses = LogOdds()(network(x), tf.constant(logits.argmax(axis=1), tf.int32))
    gradient = tape.gradient(losses, x, unconnected_gradients='zero').numpy()
    flat = np.mean(~gradient.reshape(len(gradient), -1).any(axis=1))
    if flat > _FLAT:
        _warn(
            f'the network has no gradient at {flat:.0%} of the first {len(x)} images: attacks '
            'along gradients cannot move these, which looks like robustness. Its operations may '
            'not be differentiable, or be computed in float16, where small gradients vanish.'
        )


def _warn(words: str) -> None:
    warnings.warn(words, stacklevel=5)
