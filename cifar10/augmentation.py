"""The challenge's augmentation, on raw pixels (cifar10_challenge/cifar10_input.py)."""

import tensorflow as tf

PADDING = 2


def augment(x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Pads each image with zeros, crops it at a random place and mirrors every other one.

    Args:
        x: [batch, height, width, channels] float32.
        seed: [2] integer seed; every image draws its own crop and side.

    Returns:
        Images of the same shape.
    """
    batch, (height, width) = tf.shape(x)[0], x.shape[1:3]
    draws = tf.random.stateless_uniform([2, batch], seed, 0, 2 * PADDING + 1, tf.int32)
    flips = tf.random.stateless_uniform([batch], tf.random.fold_in(seed, 1)) < 0.5
    rows = draws[0][:, None] + tf.range(height)
    columns = draws[1][:, None] + tf.range(width)
    columns = tf.where(flips[:, None], columns[:, ::-1], columns)
    padding = [[0, 0], [PADDING, PADDING], [PADDING, PADDING], [0, 0]]
    x = tf.gather(tf.pad(x, padding), rows, axis=1, batch_dims=1)
    return tf.gather(x, columns, axis=2, batch_dims=1)
