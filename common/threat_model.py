"""The sets of perturbations that an adversary may choose from (paper, section 2).

A ball owns its geometry: random points, projection, the steepest step, distance and membership.
Attacks ask the ball for these and never look at the norm, so that each of them works in every ball.
"""

import abc
import dataclasses
import math
from typing import Any, ClassVar

import tensorflow as tf

from common.arguments import checked_choice, checked_number
from common.errors import BadInput

_BYTE_RANGE = 255  # upper - lower where the unit of pixels is a grey level


@dataclasses.dataclass(frozen=True)
class Ball(abc.ABC):
    """All images within `epsilon` of the natural one and inside the pixel range.

    Images are [batch, ...] float32 in the data set's own pixel units, and natural images lie in the
    pixel range.

    Attributes:
        epsilon: radius in pixel units (MNIST: 0 to 1, CIFAR-10: 0 to 255), measured in the ball's
            norm. Training schedules that change it pass a scalar tensor.
        lower: the smallest pixel value.
        upper: the largest pixel value.
        norm: its name in texts.

    Raises:
        BadInput: epsilon is no number, negative or not finite, or the pixel range is empty or not
            of numbers.
    """

    epsilon: Any
    lower: float = 0.0
    upper: float = 1.0
    norm: ClassVar[str]

    def __post_init__(self):
        object.__setattr__(self, 'epsilon', checked_number('epsilon', self.epsilon, least=0))
        for name in ('lower', 'upper'):  # without a pixel range, both are infinite
            number = checked_number(name, getattr(self, name), finite=False)
            object.__setattr__(self, name, number)
        if not self.lower < self.upper:
            raise BadInput(f'expected lower < upper; found [{self.lower}, {self.upper}]')

    @property
    @abc.abstractmethod
    def tolerance(self) -> float:
        """Slack of `contains` in pixel units: more than float32 rounding makes of a distance."""

    @abc.abstractmethod
    def sample(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """A uniformly random point of the ball around each image, clipped to the pixel range.

        The challenge's code clips its random starts since 2018/2019; the paper's tables are older.

        Args:
            x: [batch, ...] float32 natural images.
            seed: [2] integer seed of the stateless generators.

        Returns:
            [batch, ...] float32.
        """

    @abc.abstractmethod
    def project(self, x_adv: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """`x_adv` moved into the ball around `x` and into the pixel range, both [batch, ...]."""

    @abc.abstractmethod
    def steepest(self, gradient: tf.Tensor) -> tf.Tensor:
        """The direction of length 1 in which a loss with this [batch, ...] gradient rises fastest.

        It is 0 where the gradient is 0, so that images without a gradient do not move.
        """

    @abc.abstractmethod
    def distance(self, x_adv: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """[batch] distances between [batch, ...] images of one float type, in pixel units."""

    def contains(self, x_adv: tf.Tensor, x: tf.Tensor, tolerance: float | None = None) -> tf.Tensor:
        """[batch] bool: whether each image is in the ball and in the pixel range (False for NaN).

        Args:
            x_adv: [batch, ...] float32 images in question.
            x: [batch, ...] float32 natural images.
            tolerance: slack in pixel units; None for the ball's own.
        """
        if tolerance is None:
            tolerance = self.tolerance
        flat = tf.reshape(x_adv, [tf.shape(x)[0], -1])
        in_range = tf.reduce_all(
            (flat >= self.lower - tolerance) & (flat <= self.upper + tolerance), axis=1
        )
        return in_range & (self.distance(x_adv, x) <= self.epsilon + tolerance)

    def scaled(self, factor: Any) -> 'Ball':
        """The same ball with the radius times `factor`, a number or a scalar tensor."""
        return dataclasses.replace(self, epsilon=self.epsilon * factor)

    def covering(self, shape: tuple[int, ...]) -> 'Ball':
        """The same ball, so large that every image of the pixel range is in it.

        Args:
            shape: of one image.
        """
        corners = tf.fill([1, *shape], self.lower), tf.fill([1, *shape], self.upper)
        return dataclasses.replace(self, epsilon=float(self.distance(*corners)[0]))

    def warnings(self) -> list[str]:
        """What makes the radius look like a mistake, in words that begin with its name; or []."""
        extent = self.upper - self.lower
        if not 0 < self.epsilon < 1 or extent < _BYTE_RANGE:
            return []
        return [
            f'epsilon={self.epsilon:g} is less than one grey level, since pixels are '
            f'{self.lower:g} to {self.upper:g} here. If it was meant on the scale from 0 to 1, '
            f'multiply it by {extent:g}: 8/{extent:g} = {8 / extent:.2g} there is epsilon=8.'
        ]

    def _in_range(self, x: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(x, self.lower, self.upper)


@dataclasses.dataclass(frozen=True)
class LinfBall(Ball):
    """All images that differ by at most `epsilon` in every pixel: the threat model of the paper.

    >>> ball = LinfBall(epsilon=8, lower=0, upper=255)  # the CIFAR-10 challenge
    >>> x, x_adv = tf.constant([[3.0, 100.0]]), tf.constant([[-9.0, 120.0]])
    >>> print(ball.distance(x_adv, x).numpy())
    [20.]
    >>> print(ball.project(x_adv, x).numpy())
    [[  0. 108.]]
    """

    norm: ClassVar[str] = 'l-inf'

    @property
    def tolerance(self) -> float:
        """The slack of both challenges' checkers."""
        return 1e-4

    def sample(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """See `Ball`: uniform noise in every pixel, as in the challenge."""
        noise = tf.random.stateless_uniform(tf.shape(x), seed, minval=-1.0, maxval=1.0)
        return self._in_range(x + noise * self.epsilon)

    def project(self, x_adv: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """The nearest point of ball and pixel range (the challenge's two clips)."""
        return self._in_range(tf.clip_by_value(x_adv, x - self.epsilon, x + self.epsilon))

    def steepest(self, gradient: tf.Tensor) -> tf.Tensor:
        """The gradient's sign."""
        return tf.sign(gradient)

    def warnings(self) -> list[str]:
        """See `Ball`; also a radius at which no classifier can be robust."""
        half = (self.upper - self.lower) / 2
        if self.epsilon < half:
            return super().warnings()
        return [
            f'epsilon={self.epsilon:g} is at least half of the pixel range '
            f'[{self.lower:g}, {self.upper:g}]: one grey image is within reach of every image, so '
            f'no classifier can be robust. Choose a radius below {half:g}.'
        ]

    def distance(self, x_adv: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """[batch]: the largest change of a pixel."""
        difference = tf.abs(x_adv - x)
        return tf.reduce_max(tf.reshape(difference, [tf.shape(x)[0], -1]), axis=1)


@dataclasses.dataclass(frozen=True)
class L2Ball(Ball):
    """All images whose difference from the natural one has a Euclidean length up to `epsilon`.

    >>> ball = L2Ball(epsilon=0.5)
    >>> x, x_adv = tf.constant([[0.1, 0.4]]), tf.constant([[0.7, 1.2]])
    >>> print(ball.distance(x_adv, x).numpy().round(4))
    [1.]
    >>> print(ball.project(x_adv, x).numpy().round(4))
    [[0.4 0.8]]
    """

    norm: ClassVar[str] = 'l2'

    @property
    def tolerance(self) -> float:
        """1e-5 of the pixel range: rounding d pixels adds up to 6e-8 sqrt(d) of it."""
        return 1e-5 * (self.upper - self.lower)

    def sample(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """See `Ball`: a uniform direction; the volume within radius r is proportional to r^d."""
        direction_seed, radius_seed = tf.unstack(tf.random.split(seed, 2))
        shape = tf.shape(x)
        direction, _ = _direction_and_length(tf.random.stateless_normal(shape, direction_seed))
        each = tf.concat([shape[:1], tf.ones_like(shape[1:])], axis=0)
        volume = tf.random.stateless_uniform(each, radius_seed)
        radius = volume ** (1 / tf.cast(tf.reduce_prod(shape[1:]), tf.float32))
        return self._in_range(x + self.epsilon * radius * direction)

    def project(self, x_adv: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Back to the sphere along the radius, then the clip to the pixel range.

        The result is in both sets: `x` is in the range, so the clip brings no pixel farther from
        it. Where the clip changes a pixel, another point of both may be a little nearer to `x_adv`.
        """
        direction, length = _direction_and_length(x_adv - x)
        on_sphere = x + self.epsilon * direction
        # Points of the ball stay as they are, to the bit; NaN stays NaN.
        return self._in_range(tf.where(length <= self.epsilon, x_adv, on_sphere))

    def steepest(self, gradient: tf.Tensor) -> tf.Tensor:
        """The gradient over its Euclidean length."""
        return _direction_and_length(gradient)[0]

    def distance(self, x_adv: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """[batch]: the Euclidean length of the difference."""
        return tf.reshape(_direction_and_length(x_adv - x)[1], [-1])


NORMS: dict[str, type[Ball]] = {'linf': LinfBall, 'l2': L2Ball}


def make_ball(norm: str, epsilon: float, bounds: tuple[float, float]) -> Ball:
    """The threat model in a norm by name.

    Args:
        norm: one of NORMS.
        epsilon: radius, in pixel units.
        bounds: smallest and largest pixel value.

    Raises:
        BadInput: unknown norm, `bounds` that are not two finite numbers, or see `Ball`.
    """
    checked_choice('norm', norm, NORMS)
    try:
        lower, upper = (float(bound) for bound in bounds)
        if not (math.isfinite(lower) and math.isfinite(upper)):
            raise ValueError
    except (TypeError, ValueError) as error:
        raise BadInput(
            'expected bounds as the smallest and the largest pixel value, such as (0, 255); found '
            f'{bounds!r}.'
        ) from error
    return NORMS[norm](epsilon, lower, upper)


def _direction_and_length(vectors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Vectors of length 1, or 0 for 0, and Euclidean lengths [batch, 1, ...] of [batch, ...]."""
    axes = list(range(1, len(vectors.shape)))
    # In units of the largest entry, since squares of small gradients vanish.
    largest = tf.reduce_max(tf.abs(vectors), axis=axes, keepdims=True)
    vectors /= _positive(largest)
    length = tf.sqrt(tf.reduce_sum(vectors**2, axis=axes, keepdims=True))
    return vectors / _positive(length), largest * length


def _positive(lengths: tf.Tensor) -> tf.Tensor:
    """Lengths to divide by: 1 for 0. `divide_no_nan` would hide NaN under XLA."""
    return tf.where(lengths == 0, tf.ones_like(lengths), lengths)
