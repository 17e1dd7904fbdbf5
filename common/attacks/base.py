"""What every attack is, and what attacks along gradients share."""

import abc
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from common.arguments import checked_number
from common.data.checked import Bounds, checked_images, checked_labels, require_shape
from common.errors import BadInput, UserError
from common.losses import Loss, make_loss
from common.networks.logits import LogitsFn, Snapshot, as_logits, input_shape
from common.networks.probe import probe
from common.threat_model import Ball

BATCH_SIZE = 250
"""Images per batch where callers do not say."""


class Attack(abc.ABC):
    """Maps natural images to adversarial ones.

    Randomness comes from `seed` alone, so the same call always returns the same images. Subclasses
    implement `perturb` and `gradients`; examples/own_attack.py has one.
    """

    @property
    @abc.abstractmethod
    def gradients(self) -> int:
        """Input gradients spent on each image."""

    @abc.abstractmethod
    def perturb(
        self, logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor
    ) -> tf.Tensor:
        """The attack itself, in one piece and without checks, eagerly or in a graph.

        Args:
            logits_fn: the network under attack.
            x: [batch, ...] float32 natural images in the data set's pixel units.
            y: [batch] int32 labels.
            seed: [2] int32 seed of the stateless generators.

        Returns:
            [batch, ...] float32 adversarial images.
        """

    @property
    def bounds(self) -> Bounds | None:
        """The range of pixels that its ball has; None for an attack without a ball."""
        ball = getattr(self, 'ball', None)
        return None if ball is None else (ball.lower, ball.upper)

    def __call__(
        self,
        network: Any,
        x: Any,
        y: Any,
        *,
        seed: Any = 0,
        batch_size: int = BATCH_SIZE,
        verbose: bool = False,
    ) -> tf.Tensor:
        """Checks network, images and labels, and attacks them batch by batch.

        Inside of a `tf.function` it is `perturb`. Elsewhere each operation runs by itself:
        `CompiledAttack` is faster for many images.

        Args:
            network: a Keras model, or any function from [batch, ...] pixels to [batch, classes]
                logits (see `common.networks.logits.as_logits`). It is called in evaluation mode.
            x: [n, ...] natural images of any real dtype, in the pixel units of the ball.
            y: [n] or [n, 1] labels, or [n, classes] one-hot.
            seed: a whole number s, short for (s, 0), or a pair of them.
            batch_size: images per batch. The first batch is attacked with the seed itself.
            verbose: whether to show a progress bar on standard error.

        Returns:
            [n, ...] float32 adversarial images.

        Raises:
            BadInput: images, labels, seed or network that do not fit each other or the ball.

        Warns:
            UserWarning: the network returns probabilities, is random, or has no gradients.
        """
        if isinstance(network, Snapshot) or not tf.executing_eagerly():
            return self.perturb(as_logits(network), x, y, seed=as_seed(seed))
        logits = as_logits(network)
        x, y = checked(logits, x, y, self)
        opened = Snapshot(logits, exact=getattr(logits, 'exact', None))
        return in_batches(
            lambda x, y, seed: self.perturb(opened, x, y, seed=seed),
            x,
            y,
            seed=as_seed(seed),
            batch_size=batch_size,
            verbose=verbose,
        )


def checked(
    logits_fn: LogitsFn,
    x: Any,
    y: Any,
    attack: Attack,
    *,
    classes: int | None = None,
    compiled: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Images [n, ...] float32 and labels [n] int32, checked against each other and the attack.

    Args:
        logits_fn: the network, which is tried on a few images.
        x: [n, ...] images of any real dtype.
        y: [n], [n, 1] or one-hot labels.
        attack: the attack.
        classes: number of classes, from an earlier look at the network; None looks now.
        compiled: whether the network is going to be a part of a graph.

    Raises:
        BadInput: something does not fit.
    """
    images = checked_images(x, getattr(attack, 'bounds', None))
    require_shape(images.shape[1:], input_shape(logits_fn))
    if classes is None:
        classes = probe(logits_fn, images, gradients=attack.gradients > 0, compiled=compiled)
    return images, checked_labels(y, len(images), classes)


def in_batches(
    craft: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor],
    x: np.ndarray,
    y: np.ndarray,
    *,
    seed: tf.Tensor,
    batch_size: int,
    verbose: bool,
) -> tf.Tensor:
    """`craft(images, labels, seed)` of all batches, joined.

    Args:
        craft: attacks one batch.
        x: [n, ...] float32.
        y: [n] int32.
        seed: [2] int32; that of the first batch, from which those of the others follow.
        batch_size: images per batch.
        verbose: whether to show a progress bar on standard error.

    Raises:
        BadInput: a batch size below 1.
        UserError: the attack made NaN.
    """
    batch_size = checked_number('batch_size', batch_size, least=1, whole=True)
    starts = range(0, len(x), batch_size)
    parts = []
    for number, i in enumerate(tqdm.tqdm(starts, unit='batch', disable=not verbose)):
        batch = slice(i, i + batch_size)
        own = tf.random.fold_in(seed, number) if number else seed
        parts.append(craft(tf.constant(x[batch], tf.float32), tf.constant(y[batch]), own))
    x_adv = parts[0] if len(parts) == 1 else tf.concat(parts, axis=0)
    if not tf.reduce_all(tf.math.is_finite(x_adv)):
        raise UserError(
            'expected adversarial images of numbers; the attack made NaN or infinity: a gradient '
            "is NaN, as a square root's is at 0, or step_size is. Give the network one there."
        )
    return x_adv


def as_seed(seed: Any) -> tf.Tensor:
    """[2] int32: a pair of whole numbers as it is, one number s as (s, 0).

    Raises:
        BadInput: neither.
    """
    if tf.is_tensor(seed) and not tf.executing_eagerly():
        return tf.cast(seed, tf.int32)
    values = np.asarray(seed)
    if values.shape == ():
        values = np.stack([values, np.zeros_like(values)])
    whole = values.dtype.kind in 'iu' and values.shape == (2,)
    if not (whole and (values == values.astype(np.int32)).all()):
        raise BadInput(f'expected a seed of one or two whole numbers of 32 bits; found {seed!r}.')
    return tf.constant(values, tf.int32)


class Climber(Attack):
    """An attack that takes `steps` gradients from one point of a ball.

    Subclasses are dataclasses with at least these fields.

    Attributes:
        ball: the threat model.
        steps: number of gradients.
        loss: what is maximized; 'xent' and 'cw' name the paper's losses (CW with kappa = 0).
        random_start: start from `ball.sample` rather than from the natural image.
    """

    ball: Ball
    steps: int
    loss: Loss
    random_start: bool

    def __post_init__(self):
        self._check_steps(least=1)
        self._name_loss()

    def _check_steps(self, least: int) -> None:
        """Refuses what is not a whole number of steps."""
        steps = checked_number('steps', self.steps, least=least, whole=True)
        object.__setattr__(self, 'steps', steps)

    def _name_loss(self) -> None:
        """Takes the name of a loss for the loss."""
        if isinstance(self.loss, str):
            object.__setattr__(self, 'loss', make_loss(self.loss))

    @property
    def gradients(self) -> int:
        """Input gradients spent on each image."""
        return self.steps

    def perturb(
        self, logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor
    ) -> tf.Tensor:
        """See `Attack`."""
        return self.ascend(logits_fn, self.start(x, seed), x, y)

    @abc.abstractmethod
    def ascend(
        self, logits_fn: LogitsFn, start: tf.Tensor, x: tf.Tensor, y: tf.Tensor
    ) -> tf.Tensor:
        """The result from `start`, [batch, ...] float32 in the ball around `x`."""

    def start(self, x: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        """Where the steps begin: a random point of the ball around [batch, ...] `x`, or `x`."""
        return self.ball.sample(x, seed) if self.random_start else tf.identity(x)


class UnsupportedBall(UserError, ValueError):
    """A ball whose geometry an attack does not have: a mistake in code, or of --method."""


def require_ball(who: str, ball: Ball, *supported: type[Ball]) -> None:
    """Refuses a ball that an attack does not support.

    Raises:
        UnsupportedBall: `ball` is none of the `supported`.
    """
    if not isinstance(ball, supported):
        names = ' or '.join(kind.__name__ for kind in supported)
        raise UnsupportedBall(f'{who} supports {names} only; found {type(ball).__name__}')
