"""Random crops of padded images, and mirror images: what training may vary before the attack."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Crops:
    """Pads each image with zeros and crops it at a random place; may mirror every other one.

    With `padding` 2 and `mirror` it is the CIFAR-10 challenge's (cifar10_input.py). Images that
    fill their frame lose what lies beyond it; digits on a black ground are moved.

    Attributes:
        padding: pixels on each side.
        mirror: whether every other image, by chance, is mirrored left to right.
    """

    padding: int
    mirror: bool = False

    def __call__(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """
        Args:
            x: [batch, height, width, channels] float32.
            seed: [2] integer seed; every image draws its own crop and side.

        Returns:
            Images of the same shape.
        """
        batch, (height, width), padding = tf.shape(x)[0], x.shape[1:3], self.padding
        draws = tf.random.stateless_uniform([2, batch], seed, 0, 2 * padding + 1, tf.int32)
        rows = draws[0][:, None] + tf.range(height)
        columns = draws[1][:, None] + tf.range(width)
        if self.mirror:
            flips = tf.random.stateless_uniform([batch], tf.random.fold_in(seed, 1)) < 0.5
            columns = tf.where(flips[:, None], columns[:, ::-1], columns)
        x = tf.pad(x, [[0, 0], [padding, padding], [padding, padding], [0, 0]])
        return tf.gather(tf.gather(x, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)
