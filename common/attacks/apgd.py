"""Auto-PGD (Croce and Hein 2020, "Reliable evaluation of adversarial robustness with an ensemble of
diverse parameter-free attacks", algorithm 1)."""

import dataclasses
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from common.attacks.base import Climber
from common.attacks.precision import judged
from common.attacks.steps import like, repeat, where, with_gradient
from common.losses import CrossEntropy, Loss
from common.networks.logits import LogitsFn
from common.threat_model import Ball

_MOMENTUM = 0.75  # share of the new step; the rest is the last one's
_PROGRESS = 0.75  # share of steps between checkpoints that have to raise the loss
_FIRST, _SHORTER, _LEAST = 0.22, 0.03, 0.06  # intervals between checkpoints, as shares of all steps


@dataclasses.dataclass(frozen=True)
class APGD(Climber):
    """PGD with momentum whose step size, 2 epsilon at first, halves where progress ends.

    At checkpoints an image whose loss has not risen often enough, or not at all, goes back to its
    best point with half the step. Steps are the ball's steepest ones, so `L2Ball` gives the
    authors' l2 version. The result is the last point that does what the adversary wants, or if
    there is none the one with the greatest loss.

    Attributes:
        ball: the threat model.
        steps: number of gradients; at least 1.
        loss: what is maximized; its sum over the batch, so examples do not influence each other.
        random_start: start from `ball.sample` rather than from the natural image.
        targeted: whether `y` is the class to reach, as it is for a targeted loss.

    Raises:
        ValueError: fewer than one step.
    """

    ball: Ball
    steps: int = 100
    loss: Loss = CrossEntropy()
    random_start: bool = True
    targeted: bool = False

    @property
    def intervals(self) -> list[int]:
        """Steps between checkpoints; the last one ends with the attack."""
        length, shorter = max(int(_FIRST * self.steps), 1), max(int(_SHORTER * self.steps), 1)
        least, left, found = max(int(_LEAST * self.steps), 1), self.steps, []
        while left:
            found.append(min(length, left))
            left -= found[-1]
            length = max(length - shorter, least)
        return found

    def ascend(
        self, logits_fn: LogitsFn, start: tf.Tensor, x: tf.Tensor, y: tf.Tensor
    ) -> tf.Tensor:
        """See `Climber`."""
        state = self._start(logits_fn, start, y)

        def body(state: _State) -> _State:
            state = self._checked(state)
            moved = state._replace(before=state.x_adv, moves=state.moves + 1)
            return self._followed(moved, self._next(state, x), logits_fn, y)

        # One loop, with the checkpoints in it: a loop for each interval takes long to compile.
        state = self._checked(repeat(body, state, self.steps - 1, unroll=1))
        # The last point is judged without a gradient, which nobody would follow.
        x_adv = self._next(state, x)
        loss, fooled = judged(logits_fn, self.loss, x_adv, y, self.targeted)
        return _seen(state, x_adv, loss, fooled, state.gradient).result

    def _checked(self, state: '_State') -> '_State':
        """The state after the checkpoint that is due, if one is."""
        ended = np.zeros(self.steps, np.float32)  # after so many moves, an interval of that length
        ended[np.cumsum(self.intervals)[:-1]] = self.intervals[:-1]
        interval = tf.gather(ended, state.moves)
        return tf.cond(interval > 0, lambda: _after_checkpoint(state, interval), lambda: state)

    def _start(self, logits_fn: LogitsFn, x_adv: tf.Tensor, y: tf.Tensor) -> '_State':
        n, zero = tf.shape(x_adv)[0], tf.zeros_like(x_adv)
        never = tf.fill([n], -float('inf'))
        state = _State(
            x_adv=x_adv,
            gradient=zero,
            before=x_adv,
            best=x_adv,
            best_gradient=zero,
            best_loss=never,
            last_loss=never,
            checkpoint_loss=never,
            result=x_adv,
            fooled=tf.zeros([n], tf.bool),
            step=tf.fill([n], 2.0 * self.ball.epsilon),
            rises=tf.zeros([n]),
            halved=tf.ones([n], tf.bool),
            moves=tf.constant(0),
        )
        state = self._followed(state, x_adv, logits_fn, y)
        return state._replace(checkpoint_loss=state.best_loss, rises=tf.zeros([n]))

    def _next(self, state: '_State', x: tf.Tensor) -> tf.Tensor:
        step = like(state.step, x) * self.ball.steepest(state.gradient)
        ahead = self.ball.project(state.x_adv + step, x)
        share = tf.where(state.moves == 0, 1.0, _MOMENTUM)  # there is no momentum at first
        moved = (
            state.x_adv + share * (ahead - state.x_adv) + (1 - share) * (state.x_adv - state.before)
        )
        return self.ball.project(moved, x)

    def _followed(
        self, state: '_State', x_adv: tf.Tensor, logits_fn: LogitsFn, y: tf.Tensor
    ) -> '_State':
        (loss, fooled), gradient = with_gradient(
            lambda x_adv: judged(logits_fn, self.loss, x_adv, y, self.targeted), x_adv
        )
        return _seen(state, x_adv, loss, fooled, gradient)


class _State(NamedTuple):
    """The state of every image of the batch: [batch, ...] images and [batch] numbers."""

    x_adv: tf.Tensor  # the point judged last
    gradient: tf.Tensor  # there
    before: tf.Tensor  # the point before it
    best: tf.Tensor  # where the loss was greatest
    best_gradient: tf.Tensor  # there
    best_loss: tf.Tensor
    last_loss: tf.Tensor
    checkpoint_loss: tf.Tensor  # the best one at the last checkpoint
    result: tf.Tensor  # what the attack would return
    fooled: tf.Tensor  # whether that does what the adversary wants
    step: tf.Tensor
    rises: tf.Tensor  # how many moves since the last checkpoint raised the loss
    halved: tf.Tensor  # whether the last checkpoint halved the step
    moves: tf.Tensor  # scalar: taken so far


def _seen(
    state: _State, x_adv: tf.Tensor, loss: tf.Tensor, fooled: tf.Tensor, gradient: tf.Tensor
) -> _State:
    """The state after a point was judged, with the loss and the gradient found there."""
    better = loss > state.best_loss
    kept = fooled | (better & ~state.fooled)
    return state._replace(
        x_adv=x_adv,
        gradient=gradient,
        last_loss=loss,
        rises=state.rises + tf.cast(loss > state.last_loss, tf.float32),
        best=where(better, x_adv, state.best),
        best_loss=tf.where(better, loss, state.best_loss),
        best_gradient=where(better, gradient, state.best_gradient),
        result=where(kept, x_adv, state.result),
        fooled=state.fooled | fooled,
    )


def _after_checkpoint(state: _State, interval: tf.Tensor) -> _State:
    """Halves the steps of images that make no progress, and takes these back to their best."""
    oscillates = state.rises <= _PROGRESS * interval
    stuck = ~state.halved & (state.checkpoint_loss >= state.best_loss)
    halve = oscillates | stuck
    return state._replace(
        step=tf.where(halve, state.step / 2, state.step),
        halved=halve,
        x_adv=where(halve, state.best, state.x_adv),
        gradient=where(halve, state.best_gradient, state.gradient),
        checkpoint_loss=state.best_loss,
        rises=tf.zeros_like(state.rises),
    )
