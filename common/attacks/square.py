"""Square Attack (Andriushchenko, Croce, Flammarion and Hein 2020), which needs no gradients."""

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from common.attacks.base import Attack, require_ball
from common.attacks.precision import rounding
from common.attacks.steps import where
from common.losses import true_margin
from common.networks.logits import LogitsFn
from common.threat_model import Ball, LinfBall

# Shares of the query budget at which the squares' area halves (section 4.1 of their paper).
_HALVINGS = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


@dataclasses.dataclass(frozen=True)
class Square(Attack):
    """Random search: squares of +-epsilon at random places are kept where they lower the margin.

    The images may have channels last, channels first or none. It starts from vertical stripes of
    +-epsilon and needs the network's margins only, so misleading gradients do not stop it. Images
    that fool the network (in lower precision, by more than rounding) stay as they are.

    Attributes:
        ball: the threat model; `LinfBall` only, since the l2 version is another algorithm.
        queries: forward passes for each image; at least 1.
        p: share of the image that the first squares cover; 0.8 is the authors' for l-inf.

    Raises:
        ValueError: no queries, a share outside (0, 1], or another kind of ball.
    """

    ball: Ball
    queries: int = 5000
    p: float = 0.8

    def __post_init__(self):
        if self.queries < 1:
            raise ValueError(f'queries must be at least 1; found {self.queries}')
        if not 0 < self.p <= 1:
            raise ValueError(f'p must be above 0 and at most 1; found {self.p}')
        require_ball('Square', self.ball, LinfBall)

    @property
    def gradients(self) -> int:
        """Input gradients spent on each image: none."""
        return 0

    def perturb(
        self, logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor
    ) -> tf.Tensor:
        """See `Attack`."""
        spatial, back = _layouts(tuple(x.shape[1:]))
        x = spatial(x)

        def queried(image: tf.Tensor) -> _Found:
            logits = logits_fn(back(image))
            margin = true_margin(logits, y)
            return _Found(image, margin, margin < -rounding(logits_fn, logits))

        def body(query: tf.Tensor, found: _Found) -> tuple:
            new = queried(self._with_square(found.x_adv, x, query, tf.random.fold_in(seed, query)))
            better = (new.margin < found.margin) & ~found.fooled
            return query + 1, _Found(
                where(better, new.x_adv, found.x_adv),
                tf.where(better, new.margin, found.margin),
                found.fooled | (better & new.fooled),
            )

        stripes = self._signs([tf.shape(x)[0], 1, x.shape[2], x.shape[3]], seed)
        one = tf.TensorShape([None])
        _, found = tf.while_loop(
            lambda query, found: (query < self.queries) & ~tf.reduce_all(found.fooled),
            body,
            (1, queried(self.ball.project(x + self.ball.epsilon * stripes, x))),
            parallel_iterations=1,
            shape_invariants=(tf.TensorShape([]), _Found(x.shape, one, one)),
        )
        return back(found.x_adv)

    def _with_square(
        self, x_adv: tf.Tensor, x: tf.Tensor, query: tf.Tensor, seed: tf.Tensor
    ) -> tf.Tensor:
        """`x_adv` with one more square in each image, with a sign for each channel."""
        batch, (height, width, channels) = tf.shape(x)[0], x.shape[1:]
        side = self._side(query, height, width)
        places = tf.random.stateless_uniform([2, batch, 1], tf.random.fold_in(seed, 1))
        inside = []
        for place, length in zip(tf.unstack(places), (height, width), strict=True):
            corner = tf.floor(place * tf.cast(length - side + 1, tf.float32))
            offset = tf.range(length, dtype=tf.float32) - corner
            inside.append((offset >= 0) & (offset < tf.cast(side, tf.float32)))
        square = (inside[0][:, :, None] & inside[1][:, None, :])[..., None]
        # Twice epsilon leads from any point of the ball to its border.
        change = 2 * self.ball.epsilon * self._signs([batch, 1, 1, channels], seed)
        moved = self.ball.project(tf.where(square, x_adv + change, x_adv), x)
        # The authors' code spends no query on a square that changes nothing.
        same = tf.reduce_all(moved == x_adv, axis=[1, 2, 3], keepdims=True)
        other = self.ball.project(tf.where(square, x_adv - change, x_adv), x)
        return tf.where(same, other, moved)

    def _side(self, query: tf.Tensor, height: int, width: int) -> tf.Tensor:
        """Side of the square, in pixels: at least 1, at most the image's shorter side."""
        done = tf.cast(query, tf.float32) / self.queries
        halved = tf.reduce_sum(tf.cast(done > tf.constant(_HALVINGS), tf.float32))
        side = tf.sqrt(self.p * 0.5**halved * height * width)
        return tf.clip_by_value(tf.cast(tf.round(side), tf.int32), 1, min(height, width))

    def _signs(self, shape: list, seed: tf.Tensor) -> tf.Tensor:
        return self.ball.steepest(tf.random.stateless_uniform(shape, seed) - 0.5)


def _layouts(shape: tuple[int, ...]) -> tuple[Callable, Callable]:
    """Turns images of a shape into [batch, height, width, channels], where squares are, and back.

    Channels come last, unless there are 1 or 3 on the first axis and another number on the last
    one. Images without channels get one; numbers in a row are squares of one number each.
    """
    if len(shape) == 3 and shape[0] in (1, 3) and shape[2] not in (1, 3):
        return (lambda x: tf.transpose(x, [0, 2, 3, 1]), lambda x: tf.transpose(x, [0, 3, 1, 2]))
    if len(shape) == 3:
        return tf.identity, tf.identity
    sides = (*shape, 1, 1)[:3] if len(shape) < 3 else (math.prod(shape[:-2]), *shape[-2:])
    return (lambda x: tf.reshape(x, [-1, *sides]), lambda x: tf.reshape(x, [-1, *shape]))


class _Found(NamedTuple):
    """The best images so far [batch, ...], their margins [batch], and whether these are enough."""

    x_adv: tf.Tensor
    margin: tf.Tensor
    fooled: tf.Tensor
