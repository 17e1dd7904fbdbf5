"""A look at a network on a few images, before hours of attacks rest on a misunderstanding."""

import warnings

import numpy as np
import tensorflow as tf

from common.errors import BadInput, reason
from common.losses import CrossEntropy, LogOdds, Loss
from common.networks.logits import AnyLogits, LogitsFn, ModelLogits

SAMPLE = 32
"""How many images are enough."""

_FLAT = 0.05  # share of images without a gradient that is still taken for chance
_SAME = 1e-4  # of the largest logit: what rounding may make of the same images twice
_ALIKE = 1e-2  # the same for batches of another size, whose sums are added in another order


def probe(
    network: LogitsFn, x: np.ndarray | tf.Tensor, *, gradients: bool = True, compiled: bool = False
) -> int:
    """Checks what a network makes of a few images, and returns its number of classes.

    Args:
        network: the network.
        x: [n, ...] float32 images; the first SAMPLE are used.
        gradients: whether an attack is going to follow its gradients.
        compiled: whether it is going to be a part of a graph.

    Raises:
        BadInput: the network cannot compute such images, or batches of another size, does not
            return one row of numbers for each of them, or one probability instead of a logit.

    Warns:
        NetworkWarning: the network returns probabilities, is random, depends on the batch, or has
            no gradients. Each looks like robustness and is none.
    """
    x = tf.convert_to_tensor(x[:SAMPLE], tf.float32)
    if isinstance(network, ModelLogits):
        network.verify(x)
    logits = _computed(network, x)
    if compiled and isinstance(network, AnyLogits):
        _require_graph(network, x)
    _warn_of_probabilities(logits)
    _warn_of_other_answers(network, x, logits)
    if gradients:
        _warn_of_missing_gradients(network, x, logits)
    return logits.shape[1]


def probe_once(network: LogitsFn, x: np.ndarray | tf.Tensor, *, gradients: bool) -> int:
    """`probe` of a network that becomes a part of graphs, once for all attacks on this object."""
    known = getattr(network, '_probed', {})
    if gradients not in known:
        classes = probe(network, x, gradients=gradients, compiled=True)
        # A look at gradients is one at everything else as well.
        known = {**known, **dict.fromkeys((False, gradients), classes)}
        object.__setattr__(network, '_probed', known)  # a Snapshot is frozen
    return known[gradients]


def classes_of(network: LogitsFn, x: np.ndarray) -> int:
    """Number of a network's classes, from its logits of a few images.

    Raises:
        BadInput: as `probe`.
    """
    return _computed(network, tf.convert_to_tensor(x[:SAMPLE], tf.float32)).shape[1]


def _warn_of_other_answers(network: LogitsFn, x: tf.Tensor, logits: np.ndarray) -> None:
    """Warns if the same images get other logits the second time, or in other company."""
    scale = max(float(np.abs(logits).max(initial=0)), 1e-30)
    apart = float(np.abs(_computed(network, x) - logits).max(initial=0))
    if apart > _SAME * scale:
        _warn(
            f'the network is random: the same images twice gave logits up to {apart:.3g} apart. '
            'One gradient is not enough to attack it, so its accuracy is overestimated; call its '
            'layers with training=False.'
        )
        return
    apart = float(np.abs(_computed(network, x[:1]) - logits[:1]).max(initial=0))
    if apart > _ALIKE * scale:
        _warn(
            f"the network's logits of an image depend on the others in its batch: alone they are "
            f'up to {apart:.3g} apart. Accuracies then depend on the batch size; use moving '
            'averages (training=False) instead of statistics of the batch.'
        )


def _require_graph(network: LogitsFn, x: tf.Tensor) -> None:
    """Refuses a function that TensorFlow cannot compile, such as one of NumPy arrays."""
    try:
        spec = tf.TensorSpec([None, *x.shape[1:]], tf.float32)
        shape = tf.function(network, autograph=False).get_concrete_function(spec).output_shapes
    except BadInput:
        raise
    except Exception as error:  # of the user's code, which may raise anything
        raise BadInput(
            'expected a network of TensorFlow operations on tensors, which tf.function can '
            f'compile (not of NumPy arrays, nor model.predict); found {reason(error)}'
        ) from error
    if shape.rank != 2 or shape[1] is None:
        raise BadInput(
            f'expected a network whose number of classes TensorFlow knows; found logits of shape '
            f'{shape}. Return tf.ensure_shape(logits, [None, CLASSES]).'
        )


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
    if np.isnan(values := logits.numpy()).any():
        raise BadInput(
            'expected numbers as logits; the network returned NaN. Its weights are damaged, or it '
            'overflows: in float16 beyond 65504.'
        )
    return values


def _warn_of_probabilities(logits: np.ndarray) -> None:
    first, second = logits[:, 0], logits[:, -1]
    within = ((second >= 0) & (second <= 1)).all() and second.any()
    if logits.shape[1] == 2 and not first.any() and within:
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
    y = tf.constant(logits.argmax(axis=1), tf.int32)
    # The cross-entropy's gradient is rounded away earlier than that of the log odds.
    if (flat := _flat(network, x, LogOdds(), y)) > _FLAT:
        _warn(
            f'the network has no gradient at {flat:.0%} of the first {len(x)} images: attacks '
            'along gradients cannot move these, which looks like robustness. Its operations may '
            'not be differentiable, or be computed in float16, where small gradients vanish.'
        )
    elif (flat := _flat(network, x, CrossEntropy(), y)) > _FLAT:
        _warn(
            f"the cross-entropy's gradient is 0 at {flat:.0%} of the first {len(x)} images, as it "
            'is where a network is very sure, or computes in float16: plain PGD cannot move these, '
            'which looks like robustness. Compute in float32, or attack another loss (cw, apgd).'
        )


def _flat(network: LogitsFn, x: tf.Tensor, loss: Loss, y: tf.Tensor) -> float:
    """Share of the images at which the gradient of a loss is 0 in all pixels."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        losses = loss(network(x), y)
    gradient = tape.gradient(losses, x, unconnected_gradients='zero').numpy()
    return float(np.mean(~gradient.reshape(len(gradient), -1).any(axis=1)))


class NetworkWarning(UserWarning):
    """A network is not what attacks take it for."""


def _warn(words: str) -> None:
    warnings.warn(words, NetworkWarning, stacklevel=5)
