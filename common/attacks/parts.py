"""What attacks share: repetition inside one graph, judgement, and numbers of whole images."""

import dataclasses
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from common.logits import LogitsFn, exact
from common.losses import CWMargin, Loss, true_margin

# The body of a tf.while_loop is optimized less well than straight-line code (no fusion of
# convolution, bias and ReLU). Several steps an iteration recover the speed of small networks; a
# large one gains nothing by them and takes long to compile.
_MOST_STEPS, _MOST_OPERATIONS = 10, 1000  # an iteration
_ROUNDED = 2.0**-6  # of logits in bfloat16, whose digits are 2^-8 apart


def repeat(body: Callable[[Any], Any], state: Any, count: int, unroll: int | None = None) -> Any:
    """`body` applied `count` times to `state`, a structure of tensors.

    Args:
        body: state -> state, of the same shapes but for an open batch dimension.
        state: [batch, ...] tensors and scalars.
        count: how often.
        unroll: how many times the body stands in the loop; None chooses by its size.
    """
    if count and not tf.executing_eagerly():
        body = tf.function(body, autograph=False)  # traced once, and inlined wherever it stands
        operations = len(body.get_concrete_function(state).graph.get_operations())
        unroll = unroll or max(1, min(_MOST_STEPS, _MOST_OPERATIONS // operations))
    unroll = unroll or 1

    def several(state: Any, times: int) -> Any:
        for _ in range(times):
            state = body(state)
        return state

    loops, rest = divmod(count, unroll)
    if loops > 1:
        _, state = tf.while_loop(
            lambda i, _: i < loops, lambda i, state: (i + 1, several(state, unroll)),
            (0, state), parallel_iterations=1,
            shape_invariants=(tf.TensorShape([]), tf.nest.map_structure(any_batch, state)))
    else:
        state = several(state, loops * unroll)
    return several(state, rest)


def any_batch(tensor: tf.Tensor) -> tf.TensorShape:
    """The shape of a tensor with an open first dimension; that of a scalar is as it is."""
    return tf.TensorShape([None, *tensor.shape[1:]] if len(tensor.shape) else [])


def like(values: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """[batch] numbers in the shape that multiplies [batch, ...] images."""
    return tf.reshape(values, [-1] + [1] * (len(x.shape) - 1))


def where(chosen: tf.Tensor, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Of [batch, ...] images those of `a` where `chosen`, [batch] bool, else those of `b`."""
    return tf.where(like(chosen, a), a, b)


def past_rounding(loss: Loss, logits_fn: LogitsFn, logits: tf.Tensor) -> Loss:
    """`loss`, or in lower precision CW's with a floor that is past the boundary for certain.

    Its gradient ends where the margin is -kappa. A margin of 0 in bfloat16 is as often as not one
    that float32 finds on the right side still.
    """
    if not isinstance(loss, CWMargin) or exact(logits_fn) is logits_fn:
        return loss
    return dataclasses.replace(loss, kappa=tf.maximum(loss.kappa, rounding(logits_fn, logits)))


def judged(
    logits_fn: LogitsFn, loss: Loss, x_adv: tf.Tensor, y: tf.Tensor, targeted: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """[batch] losses, and [batch] bool: whether the images do what the adversary wants.

    In lower precision, a margin within rounding is not enough for that. Images whose logits are NaN
    are taken for wanted, so that they are returned and whoever judges sees it.
    """
    logits = logits_fn(x_adv)
    reached = tf.argmax(logits, axis=1, output_type=tf.int32) == tf.cast(y, tf.int32)
    wanted = reached if targeted else ~reached
    if exact(logits_fn) is not logits_fn:
        wanted &= tf.abs(true_margin(logits, y)) > rounding(logits_fn, logits)
    wanted |= tf.reduce_any(tf.math.is_nan(logits), axis=1)
    return loss(logits, y), wanted


def rounding(logits_fn: LogitsFn, logits: tf.Tensor) -> tf.Tensor:
    """[batch]: how far a margin in lower precision may be from the true one; 0 in float32."""
    share = 0.0 if exact(logits_fn) is logits_fn else _ROUNDED
    return share * tf.reduce_max(tf.abs(tf.stop_gradient(logits)), axis=1)
