"""Chains of convolutions and dense layers, rearranged so that input gradients take less time.

The function is the same, to rounding. A profile of the challenge's MNIST network led to these
changes:

- The gradient of a convolution of 1 channel takes as long as that of 32. A convolution before a 2x2
  max-pooling is therefore computed on 2x2 blocks of pixels, which have four times as many channels,
  for the four positions of a window at once; the pooling is then a maximum over these four.
- Pooling comes before bias and ReLU, which then have a quarter of the elements.
- A dense layer's gradient is slower with the stored kernel than with its transpose, which is made
  once for all steps of an attack.

In lower precision a dense layer at the end stays in float32: it costs nothing, and rounded logits
would hide small differences between images.

Where several pixels of a pooling window are equal, the gradient may go to another one of them than
in the original network. Both are subgradients.
"""

from collections.abc import Callable

import keras
import tensorflow as tf
from keras import layers

_Piece = Callable[[tf.Tensor], tf.Tensor]
_FEW_CHANNELS = 4


def rearranged(model: keras.Model, dtype: str) -> _Piece | None:
    """The network in evaluation mode, with its weights read once, for many calls in one graph.

    Args:
        model: the network.
        dtype: 'float32' or 'bfloat16', the precision of its arithmetic; a dense layer at the end
            stays in float32.

    Returns:
        [batch, ...] float32 pixels -> [batch, classes] float32 logits, which can be differentiated
        with respect to the pixels, not the weights. None if the network is anything but a chain of
        layers that this file knows.
    """
    if not _is_known(model):
        return None
    chain, pieces = list(model.layers), []
    while chain:
        layer = chain.pop(0)
        if isinstance(layer, layers.Conv2D):
            pool = chain.pop(0) if chain and _commutes(layer, chain[0]) else None
            pieces.append(_convolution(layer, pool, dtype))
        elif isinstance(layer, layers.Dense):
            pieces.append(_dense(layer, dtype if chain else 'float32'))
        elif isinstance(layer, layers.MaxPooling2D):
            pieces.append(_pooling(layer))
        elif isinstance(layer, layers.Flatten):
            pieces.append(_flat)

    def logits(x: tf.Tensor) -> tf.Tensor:
        for piece in pieces:
            x = piece(x)
        return tf.cast(x, tf.float32)

    return logits


def _is_known(model: keras.Model) -> bool:
    # A subclass may compute something other than its layers one after the other.
    return (
        type(model) is keras.Sequential
        and model.built
        and all(
            type(layer) in _KNOWN
            and layer.compute_dtype == 'float32'
            and _KNOWN[type(layer)](layer)
            and all(weight.dtype == 'float32' for weight in layer.weights)
            for layer in model.layers
        )
    )


_KNOWN: dict[type, Callable[[layers.Layer], bool]] = {
    layers.Conv2D: lambda layer: (
        layer.use_bias
        and layer.groups == 1
        and set(layer.dilation_rate) == {1}
        and layer.data_format == 'channels_last'
        and _is_function(layer.activation)
    ),
    layers.MaxPooling2D: lambda layer: layer.data_format == 'channels_last',
    layers.Dense: lambda layer: layer.use_bias and _is_function(layer.activation),
    layers.Flatten: lambda layer: layer.data_format == 'channels_last',
    layers.Dropout: lambda layer: True,  # evaluation mode skips it
}
"""Kind of layer -> whether this file knows what a given one computes."""


def _is_function(activation: Callable) -> bool:
    """Whether this works in any precision; each layer has its own."""
    return not isinstance(activation, layers.Layer)


def _commutes(layer: layers.Conv2D, following: layers.Layer) -> bool:
    """Whether pooling may come before bias and activation, which keep the order of values."""
    return isinstance(following, layers.MaxPooling2D) and layer.activation in (
        keras.activations.relu,
        keras.activations.linear,
    )


def _convolution(layer: layers.Conv2D, pool: layers.MaxPooling2D | None, dtype: str) -> _Piece:
    kernel, bias = tf.cast(layer.kernel, dtype), tf.cast(layer.bias, dtype)
    pooling = _pooling(pool) if pool is not None else lambda x: x
    on_blocks = _on_blocks(kernel) if pool is not None and _fits_blocks(layer, pool) else None

    def convolve(x: tf.Tensor) -> tf.Tensor:
        # A layer may be shared by networks for images of other sizes.
        if on_blocks is not None and all(side and side % 2 == 0 for side in x.shape[1:3]):
            return on_blocks(x)
        return pooling(tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper()))

    return lambda x: layer.activation(tf.nn.bias_add(convolve(tf.cast(x, dtype)), bias))


def _pooling(pool: layers.MaxPooling2D) -> _Piece:
    return lambda x: tf.nn.max_pool2d(x, pool.pool_size, pool.strides, pool.padding.upper())


def _fits_blocks(layer: layers.Conv2D, pool: layers.MaxPooling2D) -> bool:
    channels, size = layer.kernel.shape[2], set(layer.kernel_size)
    return (
        channels <= _FEW_CHANNELS
        and len(size) == 1
        and size.pop() % 2 == 1
        and layer.padding == 'same'
        and set(layer.strides) == {1}
        and set(pool.pool_size) == set(pool.strides) == {2}
    )


def _on_blocks(kernel: tf.Tensor) -> _Piece:
    """Convolution and 2x2 max-pooling of [batch, height, width, channels] images.

    Args:
        kernel: [size, size, channels, filters], size odd.
    """
    size, _, channels, filters = kernel.shape
    reach = size // 2
    before = -(-reach // 2)  # neighbouring blocks on each side that a block's outputs depend on
    blocks, shift = 2 * before + 1, 2 * before - reach
    kernels = [
        tf.pad(
            kernel,
            [[first, 2 * blocks - size - first] for first in (shift + i, shift + j)]
            + [[0, 0], [0, 0]],
        )
        for i in (0, 1)
        for j in (0, 1)
    ]  # one for each position in a window
    kernel = tf.reshape(tf.stack(kernels, axis=3), [blocks, 2, blocks, 2, channels, 4 * filters])
    kernel = tf.reshape(
        tf.transpose(kernel, [0, 2, 1, 3, 4, 5]), [blocks, blocks, 4 * channels, 4 * filters]
    )

    def convolve(x: tf.Tensor) -> tf.Tensor:
        y = tf.nn.conv2d(tf.nn.space_to_depth(x, 2), kernel, 1, 'SAME')
        _, height, width, _ = y.shape
        # A pooling over the four positions, which are adjacent in memory.
        rows = tf.reshape(y, [-1, 4 * height * width, 1, filters])
        return tf.reshape(
            tf.nn.max_pool2d(rows, [4, 1], [4, 1], 'VALID'), [-1, height, width, filters]
        )

    return convolve


def _dense(layer: layers.Dense, dtype: str) -> _Piece:
    kernel, bias = tf.cast(layer.kernel, dtype), tf.cast(layer.bias, dtype)
    transposed = tf.transpose(kernel)

    @tf.custom_gradient
    def multiply(x: tf.Tensor):
        return tf.matmul(x, kernel), lambda upstream: tf.matmul(upstream, transposed)

    return lambda x: layer.activation(tf.nn.bias_add(multiply(tf.cast(x, dtype)), bias))


def _flat(x: tf.Tensor) -> tf.Tensor:
    size = x.shape[1:].num_elements()
    if size is None:  # images of any size
        size = tf.reduce_prod(tf.shape(x)[1:])
    return tf.reshape(x, [tf.shape(x)[0], size])
