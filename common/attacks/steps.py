"""What attacks share: repetition inside one graph, and numbers of whole images."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# The body of a tf.while_loop is optimized less well than straight-line code (no fusion of
# convolution, bias and ReLU). Several steps an iteration recover the speed of small networks; a
# large one gains nothing by them and takes long to compile.
_MOST_STEPS, _MOST_OPERATIONS = 10, 1000  # an iteration


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
            lambda i, _: i < loops,
            lambda i, state: (i + 1, several(state, unroll)),
            (0, state),
            parallel_iterations=1,
            shape_invariants=(tf.TensorShape([]), tf.nest.map_structure(any_batch, state)),
        )
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
