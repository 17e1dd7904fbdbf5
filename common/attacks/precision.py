"""Attacks in lower precision: which margins exceed its rounding, and which images fool for sure."""

import dataclasses

import tensorflow as tf

from common.losses import CWMargin, Loss, true_margin
from common.networks.logits import LogitsFn, exact

_ROUNDED = 2.0**-6  # of logits in bfloat16, whose digits are 2^-8 apart


def past_rounding(loss: Loss, logits_fn: LogitsFn, logits: tf.Tensor) -> Loss:
    """`loss`; in lower precision CW's margin continues until the boundary is crossed for sure.

    Its gradient ends where the margin is -kappa. Of the images whose margin is 0 in bfloat16,
    float32 still classifies about half correctly.
    """
    if not isinstance(loss, CWMargin) or exact(logits_fn) is logits_fn:
        return loss
    return dataclasses.replace(loss, kappa=tf.maximum(loss.kappa, rounding(logits_fn, logits)))


def judged(
    logits_fn: LogitsFn, loss: Loss, x_adv: tf.Tensor, y: tf.Tensor, targeted: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """[batch] losses, and [batch] bool: whether the images do what the adversary wants.

    In lower precision a margin within rounding is not enough. Images whose logits are NaN count as
    wanted, so that they are returned and the evaluation sees them.
    """
    logits = logits_fn(x_adv)
    reached = tf.argmax(logits, axis=1, output_type=tf.int32) == tf.cast(y, tf.int32)
    wanted = reached if targeted else ~reached
    if exact(logits_fn) is not logits_fn:
        wanted &= tf.abs(true_margin(logits, y)) > rounding(logits_fn, logits)
    wanted |= tf.reduce_any(tf.math.is_nan(logits), axis=1)
    return loss(logits, y), wanted


def rounding(logits_fn: LogitsFn, logits: tf.Tensor) -> tf.Tensor:
    """[batch]: how far a margin may be from the one in float32; 0 in float32 itself."""
    share = 0.0 if exact(logits_fn) is logits_fn else _ROUNDED
    return share * tf.reduce_max(tf.abs(tf.stop_gradient(logits)), axis=1)
