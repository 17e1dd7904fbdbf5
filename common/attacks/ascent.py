"""Ascent with a memory of earlier gradients, which keeps the best point it meets."""

import dataclasses
from typing import Any, ClassVar, NamedTuple, Protocol

import tensorflow as tf

from common.arguments import checked_number
from common.attacks.base import Climber, require_ball
from common.attacks.precision import judged
from common.attacks.steps import like, repeat, where, with_gradient
from common.losses import CrossEntropy, Loss
from common.networks.logits import LogitsFn
from common.threat_model import Ball, LinfBall


class Rule(Protocol):
    """From gradients to directions; frozen, so that a printed attack shows its settings.

    Attributes:
        balls: the kinds of balls that its directions suit.
    """

    balls: ClassVar[tuple[type[Ball], ...]] = (Ball,)

    def start(self, x: tf.Tensor) -> Any:
        """The memory before the first gradient, for [batch, ...] images."""

    def direction(self, ball: Ball, gradient: tf.Tensor, memory: Any, number: tf.Tensor) -> tuple:
        """[batch, ...] direction of a step, which the step size multiplies, and the memory after.

        Args:
            ball: the threat model.
            gradient: [batch, ...].
            memory: what the last call returned.
            number: scalar float32: the number of this gradient, from 1.
        """


@dataclasses.dataclass(frozen=True)
class Momentum(Rule):
    """The steepest step along a running sum of gradients, each of l1 length 1.

    MI-FGSM of Dong et al. 2018: the sign of the sum in l-inf, its l2 direction in l2.

    Attributes:
        decay: factor of the old sum at each step.
    """

    decay: float = 1.0

    def start(self, x: tf.Tensor) -> tf.Tensor:
        """No gradients yet."""
        return tf.zeros_like(x)

    def direction(
        self, ball: Ball, gradient: tf.Tensor, memory: tf.Tensor, number: tf.Tensor
    ) -> tuple:
        """See `Rule`."""
        lengths = tf.reduce_sum(tf.abs(gradient), axis=list(range(1, len(gradient.shape))))
        memory = self.decay * memory + tf.math.divide_no_nan(gradient, like(lengths, gradient))
        return ball.steepest(memory), memory


@dataclasses.dataclass(frozen=True)
class Adam(Rule):
    """The direction of Adam (Kingma and Ba 2015), as Uesato et al. 2018 and Gowal et al. 2019 use.

    Each pixel has a step size of its own, whatever the others do. That suits `LinfBall` alone: the
    l2 length of such a step grows with the number of pixels.

    Attributes:
        beta_1: decay of the mean of gradients.
        beta_2: decay of the mean of their squares.
    """

    balls = (LinfBall,)
    beta_1: float = 0.9
    beta_2: float = 0.999

    def start(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """No gradients yet."""
        return tf.zeros_like(x), tf.zeros_like(x), tf.zeros(tf.shape(x)[:1])

    def direction(self, ball: Ball, gradient: tf.Tensor, memory: tuple, number: tf.Tensor) -> tuple:
        """See `Rule`."""
        first, second, scale = memory
        # Adam's directions do not depend on the gradients' scale, but squares of small ones vanish
        # and those of large ones overflow: all are kept in units of the greatest so far.
        greatest = tf.reduce_max(tf.abs(gradient), axis=list(range(1, len(gradient.shape))))
        before, scale = scale, tf.maximum(scale, greatest)
        smaller = like(tf.math.divide_no_nan(before, scale), gradient)
        first, second = smaller * first, smaller**2 * second
        gradient = tf.math.divide_no_nan(gradient, like(scale, gradient))
        first = self.beta_1 * first + (1 - self.beta_1) * gradient
        second = self.beta_2 * second + (1 - self.beta_2) * gradient**2
        mean, square = first / (1 - self.beta_1**number), second / (1 - self.beta_2**number)
        return tf.math.divide_no_nan(mean, tf.sqrt(square)), (first, second, scale)


@dataclasses.dataclass(frozen=True)
class Ascent(Climber):
    """Steps along a rule's directions, each projected onto the ball; the best point counts.

    The result is the last point that does what the adversary wants, or if there is none the one
    with the greatest loss.

    Attributes:
        ball: the threat model.
        steps: number of gradients; at least 1.
        step_size: factor of the rule's directions, in pixel units.
        rule: turns gradients into directions.
        loss: what is maximized; its sum over the batch, so examples do not influence each other.
        random_start: start from `ball.sample` rather than from the natural image.
        decays: shares of all steps; after each, the step size drops to a tenth.
        targeted: whether `y` is the class to reach, as it is for a targeted loss.

    Raises:
        BadInput: fewer than one step, or a step size that is negative or not finite.
        UnsupportedBall: a ball that the rule does not support.
    """

    ball: Ball
    steps: int
    step_size: float
    rule: Rule = Momentum()
    loss: Loss = CrossEntropy()
    random_start: bool = True
    decays: tuple[float, ...] = ()
    targeted: bool = False

    def __post_init__(self):
        super().__post_init__()
        object.__setattr__(self, 'step_size', checked_number('step_size', self.step_size, least=0))
        require_ball(type(self.rule).__name__, self.ball, *self.rule.balls)

    def ascend(
        self, logits_fn: LogitsFn, start: tf.Tensor, x: tf.Tensor, y: tf.Tensor
    ) -> tf.Tensor:
        """See `Climber`."""
        n = tf.shape(x)[0]
        state = _State(
            start,
            start,
            tf.fill([n], -float('inf')),
            tf.zeros([n], tf.bool),
            tf.constant(0.0),
            self.rule.start(start),
        )

        def step(state: _State) -> _State:
            (loss, fooled), gradient = with_gradient(
                lambda x_adv: judged(logits_fn, self.loss, x_adv, y, self.targeted), state.x_adv
            )
            number = state.number + 1
            direction, memory = self.rule.direction(self.ball, gradient, state.memory, number)
            moved = self.ball.project(state.x_adv + self._step_size(number) * direction, x)
            return _better(state, loss, fooled)._replace(x_adv=moved, memory=memory, number=number)

        state = repeat(step, state, self.steps)
        # The last point is judged without a gradient, which nobody would follow.
        return _better(state, *judged(logits_fn, self.loss, state.x_adv, y, self.targeted)).result

    def _step_size(self, number: tf.Tensor) -> tf.Tensor:
        passed = [tf.cast(number > share * self.steps, tf.float32) for share in self.decays]
        return self.step_size * 0.1 ** tf.add_n([tf.constant(0.0), *passed])


class _State(NamedTuple):
    """The state of every image of the batch: [batch, ...] images and [batch] numbers."""

    x_adv: tf.Tensor  # the point to be judged next
    result: tf.Tensor  # what the attack would return
    loss: tf.Tensor  # there
    fooled: tf.Tensor  # whether that does what the adversary wants
    number: tf.Tensor  # scalar: gradients so far
    memory: Any  # of the rule


def _better(state: _State, loss: tf.Tensor, fooled: tf.Tensor) -> _State:
    kept = fooled | ((loss > state.loss) & ~state.fooled)
    return state._replace(
        result=where(kept, state.x_adv, state.result),
        loss=tf.where(kept, loss, state.loss),
        fooled=state.fooled | fooled,
    )
