"""Fast Adaptive Boundary attack, targeted (Croce and Hein 2020, "Minimally distorted adversarial
examples with a fast adaptive boundary attack"; FAB-T of AutoAttack with `MultiTargeted`)."""

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from common.attacks.base import Climber, require_ball
from common.attacks.steps import like, repeat, where, with_gradient
from common.losses import Loss, MarginTo
from common.networks.logits import LogitsFn, exact
from common.threat_model import Ball, LinfBall

_TINY = 1e-12


@dataclasses.dataclass(frozen=True)
class FAB(Climber):
    """Walks along the decision boundary to the adversarial image nearest to the natural one.

    Every step goes to where the linearized loss is 0, by the shortest way in l-inf that stays in
    the pixel range, from the current point and from the natural image, and mixes the two. The
    result is the nearest image found that fools the network, moved into the ball; there is no step
    size, and epsilon matters at the end only. Lower precision cannot distinguish the sides of a
    boundary that is close: it computes gradients only, and the losses that come with them are
    corrected by float32's loss of the last image that did not fool the network.

    Attributes:
        ball: the threat model; `LinfBall` only, whose shortest ways to a hyperplane it knows.
        steps: number of gradients; at least 1.
        loss: above 0 where one wrong class beats the true one; `MultiTargeted` sets the class.
        random_start: start from `ball.sample` rather than from the natural image.
        bias: the greatest share of the step from the natural image (the authors' alpha_max).
        overshoot: how far past the boundary the steps lead (eta).
        back: factor of a perturbation that fools the network, before the next step (beta).

    Raises:
        ValueError: fewer than one step, or another kind of ball.
    """

    ball: Ball
    steps: int = 100
    loss: Loss = MarginTo()
    random_start: bool = False
    bias: float = 0.1
    overshoot: float = 1.05
    back: float = 0.9

    def __post_init__(self):
        super().__post_init__()
        require_ball('FAB', self.ball, LinfBall)

    def ascend(
        self, logits_fn: LogitsFn, start: tf.Tensor, x: tf.Tensor, y: tf.Tensor
    ) -> tf.Tensor:
        """See `Climber`."""
        judge = exact(logits_fn)

        def step(state: _State) -> _State:
            value, gradient = with_gradient(
                lambda x_adv: self.loss(logits_fn(x_adv), y), state.x_adv
            )
            correction = tf.where(state.fooled, state.correction, state.value - value)
            moved = self._step(state.x_adv, value + correction, gradient, x)
            logits = judge(moved)
            fooled = tf.argmax(logits, axis=1, output_type=tf.int32) != tf.cast(y, tf.int32)
            distance = self.ball.distance(moved, x)
            nearer = fooled & (distance < state.distance)
            return _State(
                where(fooled, x + self.back * (moved - x), moved),
                self.loss(logits, y),
                fooled,
                correction,
                where(nearer, moved, state.nearest),
                tf.where(nearer, distance, state.distance),
            )

        nothing, logits = tf.zeros(tf.shape(x)[:1]), judge(start)
        fooled = tf.argmax(logits, axis=1, output_type=tf.int32) != tf.cast(y, tf.int32)
        # Two forward passes and a backward one in each: unrolling gains little.
        state = repeat(
            step,
            _State(
                start,
                self.loss(logits, y),
                tf.zeros_like(fooled),
                nothing,
                start,
                tf.where(fooled, self.ball.distance(start, x), float('inf')),
            ),
            self.steps,
            unroll=1,
        )
        found = where(tf.math.is_finite(state.distance), state.nearest, state.x_adv)
        return self.ball.project(found, x)

    def _step(
        self, x_adv: tf.Tensor, value: tf.Tensor, gradient: tf.Tensor, x: tf.Tensor
    ) -> tf.Tensor:
        axes = list(range(1, len(x.shape)))
        at_x = value + tf.reduce_sum(gradient * (x - x_adv), axis=axes)
        here = to_hyperplane(self.ball, x_adv, value, gradient)
        there = to_hyperplane(self.ball, x, at_x, gradient)
        lengths = [tf.maximum(tf.reduce_max(tf.abs(way), axis=axes), 1e-8) for way in (here, there)]
        share = like(tf.minimum(lengths[0] / (lengths[0] + lengths[1]), self.bias), x)
        moved = (1 - share) * (x_adv + self.overshoot * here) + share * (x + self.overshoot * there)
        return tf.clip_by_value(moved, self.ball.lower, self.ball.upper)


class _State(NamedTuple):
    """The state of every image of the batch: [batch, ...] images and [batch] numbers."""

    x_adv: tf.Tensor
    value: tf.Tensor  # the loss in float32, of `x_adv` unless the last image fooled the network
    fooled: tf.Tensor  # whether it did: then `x_adv` is that image, moved back
    correction: tf.Tensor  # what float32 adds to the loss that comes with the gradient
    nearest: tf.Tensor  # the image that fools the network, nearest to the natural one so far
    distance: tf.Tensor  # its l-inf distance; infinite while there is none


def to_hyperplane(ball: Ball, x: tf.Tensor, value: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    """The way of least l-inf length from `x` to where a linear function is 0, in the pixel range.

    All pixels that can still move go equally far, so a length r changes the function by the sum of
    |gradient| min(r, room): concave and piecewise linear in r. Newton's method from 0 therefore
    never goes too far, and arrives after a few steps. Where all the room together is not enough,
    the way uses it all.

    Args:
        ball: an l-inf one, for the pixel range; its radius does not matter.
        x: [batch, ...] float32 images in the range.
        value: [batch] the function there.
        gradient: [batch, ...] of the function.

    Returns:
        [batch, ...] float32: what to add.
    """
    direction = ball.steepest(gradient) * like(-tf.sign(value), x)
    room = tf.where(direction > 0, ball.upper - x, tf.where(direction < 0, x - ball.lower, 0.0))
    rooms, weights = (tf.reshape(t, [tf.shape(x)[0], -1]) for t in (room, tf.abs(gradient)))
    wanted = tf.abs(value)

    def longer(length: tf.Tensor) -> tf.Tensor:
        achieved = tf.reduce_sum(weights * tf.minimum(rooms, length[:, None]), axis=1)
        slope = tf.reduce_sum(tf.where(rooms > length[:, None], weights, 0.0), axis=1)
        further = length + (wanted - achieved) / tf.maximum(slope, _TINY)
        return tf.clip_by_value(further, length, ball.upper - ball.lower)

    # Every step but the last passes at least one pixel's room.
    _, length = tf.while_loop(
        lambda before, length: tf.reduce_any(length > before),
        lambda _, length: (length, longer(length)),
        (tf.zeros_like(wanted), longer(tf.zeros_like(wanted))),
        parallel_iterations=1,
    )
    return direction * tf.minimum(room, like(length, x))
