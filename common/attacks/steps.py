"""What attacks share: gradients, repetition inside one graph, and one number an image."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# The body of a tf.while_loop is optimized less well than straight-line code (no fusion of
# convolution, bias and ReLU). Several steps an iteration recover the speed of small networks; a
# large one gains nothing by them and takes long to compile.
_MOST_STEPS, _MOST_OPERATIONS = 10, 1000  # an iteration


def with_gradient(function: Callable[[tf.Tensor], Any], x: tf.Tensor) -> tuple[Any, tf.Tensor]:
    """`function(x)`, and the gradient of the losses in it with respect to [batch, ...] `x`.

    Args:
        function: returns [batch] losses, or a tuple that begins with them.
        x: [batch, ...] float32.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        values = function(x)
    losses = values[0] if isinstance(values, tuple) else values
    return values, tape.gradient(losses, x, unconnected_gradients='zero')


def repeat(
    body: Callable[[Any], Any],
    state: Any,
    count: int,
    unroll: int | None = None,
    carrier: Any = None,
) -> Any:
    """`body` applied `count` times to `state`, a structure of tensors.

    Args:
        body: state -> state of the same shapes, except that the batch dimension may be open.
        state: [batch, ...] tensors and scalars.
        count: how often.
        unroll: copies of the body in an iteration of the loop; None chooses by its size.
        carrier: an object whose list of tensors `carried` the body replaces, as a network in
            training mode does with its statistics; anything without that attribute is ignored.
    """
    if hasattr(carrier, 'carried'):
        return _carrying(body, state, count, unroll, carrier)
    return _repeat(body, state, count, unroll, tf.nest.map_structure(any_batch, state))


def _carrying(
    body: Callable[[Any], Any], state: Any, count: int, unroll: int | None, carrier: Any
) -> Any:
    def both(pair: tuple[Any, list]) -> tuple[Any, list]:
        state, carrier.carried = pair
        state = body(state)
        return state, carrier.carried

    pair = (state, list(carrier.carried))
    shapes = (tf.nest.map_structure(any_batch, state), [tensor.shape for tensor in carrier.carried])
    state, carrier.carried = _repeat(both, pair, count, unroll, shapes)
    return state


def _repeat(
    body: Callable[[Any], Any], state: Any, count: int, unroll: int | None, shapes: Any
) -> Any:
    if count and not tf.executing_eagerly():
        traced = tf.function(body, autograph=False)  # once, and inlined in every copy
        operations = len(traced.get_concrete_function(state).graph.get_operations())
        body, unroll = traced, unroll or max(1, min(_MOST_STEPS, _MOST_OPERATIONS // operations))
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
            shape_invariants=(tf.TensorShape([]), shapes),
        )
    else:
        state = several(state, loops * unroll)
    return several(state, rest)


def any_batch(tensor: tf.Tensor) -> tf.TensorShape:
    """A tensor's shape with an open first dimension; a scalar's own shape."""
    return tf.TensorShape([None, *tensor.shape[1:]] if len(tensor.shape) else [])


def like(values: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """[batch] numbers, reshaped so that they multiply the [batch, ...] images `x`."""
    return tf.reshape(values, [-1] + [1] * (len(x.shape) - 1))


def where(chosen: tf.Tensor, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """The [batch, ...] images of `a` where `chosen` ([batch] bool) is true, else those of `b`."""
    return tf.where(like(chosen, a), a, b)
