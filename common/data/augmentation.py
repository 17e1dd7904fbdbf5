"""What training may vary in its images before the attack: crops, mirror images, warps."""

import dataclasses
import math
from collections.abc import Callable

import tensorflow as tf

Augment = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""([batch, ...] float32 images, [2] integer seed) -> images of the same shape."""


@dataclasses.dataclass(frozen=True)
class Crops:
    """Pads each image with zeros and crops it at a random place; may mirror every other one.

    With `padding` 2 and `mirror` it is the CIFAR-10 challenge's (cifar10_input.py).

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


@dataclasses.dataclass(frozen=True)
class Warp:
    """Turns, stretches, slants and moves each image a little about its centre, and bends it.

    Each amount is drawn uniformly from plus to minus the greatest one. Every pixel becomes the one
    nearest to where it comes from, or 0 if that is outside of the frame: interpolation would dim
    thin strokes, which costs robustness (500 held-out images of MNIST, a network trained at radius
    0.35 on digits moved by a pixel, PGD-40 at 0.3: 95.2% as they are, 94.0% by the nearest pixels,
    86.0% interpolated linearly).

    Bends are the elastic distortions of Simard, Steinkraus and Platt (2003), but that what they
    smooth with a Gaussian is here a bicubic surface through a few random moves.

    Attributes:
        degrees: greatest turn.
        stretch: greatest change of height and of width, as shares of 1; drawn for each of the two.
        slant: greatest sideways move of a row, in pixels for each row that it is off the centre.
        shift: greatest move down and to the right, in pixels; drawn for each of the two.
        bend: greatest move of each of `knots` x `knots` places, in pixels; likewise.
        knots: places along each side.
    """

    degrees: float = 0.0
    stretch: float = 0.0
    slant: float = 0.0
    shift: float = 0.0
    bend: float = 0.0
    knots: int = 5

    def __call__(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """
        Args:
            x: [batch, height, width, channels] float32.
            seed: [2] integer seed; every image draws its own map.

        Returns:
            Images of the same shape.
        """
        height, width = x.shape[1:3]
        row, column = self._sources(tf.shape(x)[0], height, width, seed)
        row, column = tf.cast(tf.round(row), tf.int32), tf.cast(tf.round(column), tf.int32)
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        places = tf.stack(
            [tf.clip_by_value(row, 0, height - 1), tf.clip_by_value(column, 0, width - 1)], axis=-1
        )
        return tf.where(inside[..., None], tf.gather_nd(x, places, batch_dims=1), 0.0)

    def _sources(
        self, batch: tf.Tensor, height: int, width: int, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        # For each pixel of the results, the row and column where it comes from: [batch, height,
        # width] float32 each.
        draws = tf.random.stateless_uniform([6, batch, 1, 1], seed, -1.0, 1.0)
        angle = draws[0] * math.radians(self.degrees)
        tall, wide = 1 + self.stretch * draws[1], 1 + self.stretch * draws[2]
        slant, down, right = self.slant * draws[3], self.shift * draws[4], self.shift * draws[5]
        bends = self.bend * tf.random.stateless_uniform(
            [batch, self.knots, self.knots, 2], tf.random.fold_in(seed, 1), -1.0, 1.0
        )
        bends = tf.image.resize(bends, [height, width], 'bicubic')
        middle_row, middle_column = (height - 1) / 2, (width - 1) / 2
        y = tall * (tf.range(height, dtype=tf.float32)[:, None] - middle_row)
        x = wide * (tf.range(width, dtype=tf.float32) - middle_column) + slant * y
        cos, sin = tf.cos(angle), tf.sin(angle)
        return (
            sin * x + cos * y + middle_row - down + bends[..., 0],
            cos * x - sin * y + middle_column - right + bends[..., 1],
        )
