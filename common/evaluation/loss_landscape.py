"""The adversary's loss landscape around single images (paper, section 3.1, figures 1 and 2).

Everything runs many restarts of PGD on one image, a batch of restarts at a time.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from common.attacks import PGD, CompiledAttack
from common.attacks.steps import with_gradient
from common.data.batches import Examples
from common.evaluation.accuracy import Judge
from common.evaluation.resumable import PartialResult
from common.losses import LogOdds
from common.networks.logits import LogitsFn, snapshot

BATCH_SIZE = 200  # restarts at a time


class Restarting:
    """Many random restarts of PGD on one network, compiled once.

    The restarts of image number i depend on the seed, i and the batch size alone, so more restarts
    continue fewer ones.

    Args:
        attack: PGD with a random start.
        logits_fn: the network whose gradients are followed.
        judge: computes the losses where restarts end; None for the same network.
        seed: seed of the starting points.
        batch_size: restarts at a time; memory grows with it, not with the number of restarts.
    """

    def __init__(
        self,
        attack: PGD,
        logits_fn: LogitsFn,
        judge: Judge | None = None,
        *,
        seed: int = 0,
        batch_size: int = BATCH_SIZE,
    ):
        self.attack, self._seed, self.batch_size = attack, seed, batch_size
        self._perturb = CompiledAttack(attack, logits_fn)
        self._judge = judge or Judge(logits_fn)

    def final_losses(
        self,
        examples: Examples,
        image: int,
        restarts: int,
        partial: PartialResult | None = None,
        on_progress: Callable[[int], object] | None = None,
    ) -> np.ndarray:
        """Cross-entropies that the restarts end at (figure 1).

        Args:
            examples: the images.
            image: index of the attacked image.
            restarts: number of restarts.
            partial: where an interrupted computation left its losses, and this one leaves its own.
            on_progress: called with the number of restarts done since the last call.

        Returns:
            [restarts] float32.
        """
        state = {'losses': np.empty(0, np.float32)}
        if partial is not None:
            state = partial.read(default=state)
        losses = state['losses']
        report = on_progress or (lambda done: None)
        report(min(len(losses), restarts))
        try:
            while len(losses) < restarts:
                # A shorter last batch, asked for by an earlier call, is computed again.
                number = len(losses) // self.batch_size
                found, _ = self._batch(examples, image, number)
                before = len(losses)
                losses = np.concatenate([losses[: number * self.batch_size], found])[:restarts]
                report(len(losses) - before)
                if partial is not None:
                    partial.maybe_write({'losses': losses})
        finally:
            if partial is not None:
                partial.write({'losses': losses})
        return losses[:restarts]

    def maxima(self, examples: Examples, image: int, restarts: int) -> np.ndarray:
        """[restarts, pixels] float32 perturbations that the restarts end at, in pixel units."""
        batches = [
            self._batch(examples, image, number)[1]
            for number in range(-(-restarts // self.batch_size))
        ]
        return np.concatenate(batches)[:restarts]

    def _batch(self, examples: Examples, image: int, number: int) -> tuple[np.ndarray, np.ndarray]:
        x, y = repeated(examples, image, self.batch_size)
        seed = tf.random.fold_in(tf.constant([self._seed, image]), number)
        x_adv = self._perturb.craft(x, y, seed=seed)
        _, losses = self._judge(x_adv, y)
        return losses, (x_adv - x).numpy().reshape(len(losses), -1)


def repeated(examples: Examples, image: int, times: int) -> tuple[tf.Tensor, tf.Tensor]:
    """One image and its label as a batch: [times, ...] float32 and [times] int32."""
    x = tf.repeat(tf.constant(examples.x[image : image + 1]), times, axis=0)
    return x, tf.repeat(tf.constant(examples.y[image : image + 1]), times)


class Curves:
    """Losses along the iterations of PGD (figure 2), compiled once.

    Args:
        attack: PGD with a random start.
        logits_fn: the network whose gradients are followed.
        judge: computes the losses; None for the same network.
    """

    def __init__(self, attack: PGD, logits_fn: LogitsFn, judge: Judge | None = None):
        self._attack, self._judge = attack, judge or Judge(logits_fn)

        @tf.function(autograph=False, reduce_retracing=True)
        def advance(x_adv, x, y):
            return attack.step(snapshot(logits_fn), x_adv, x, y)

        self._advance = advance

    def __call__(self, examples: Examples, image: int, restarts: int, seed: int = 0) -> np.ndarray:
        """[restarts, steps + 1] float32 cross-entropies, from the starting point to the end."""
        x, y = repeated(examples, image, restarts)
        x_adv = self._attack.start(x, tf.constant([seed, image]))
        losses = []
        for step in range(self._attack.steps + 1):
            x_adv = self._advance(x_adv, x, y) if step else x_adv
            losses.append(self._judge(x_adv, y)[1])
        return np.stack(losses, axis=1)


@dataclasses.dataclass(frozen=True)
class Pairs:
    """How far apart m points are, over all m (m - 1) / 2 pairs.

    Attributes:
        distances: [pairs] float32 l2 distances, in pixel units.
        angles: [pairs] float32 angles in degrees, as seen from the natural image.
        same_signs: [pairs] float32 shares as of `same_signs`.
    """

    distances: np.ndarray
    angles: np.ndarray
    same_signs: np.ndarray


def pairs(perturbations: np.ndarray) -> Pairs:
    """Distances, angles and common signs of all pairs of [m, pixels] perturbations of one image."""
    points = perturbations.astype(np.float64)
    products = points @ points.T
    norms = np.sqrt(np.diag(products))
    first, second = np.triu_indices(len(points), k=1)
    squares = norms[first] ** 2 + norms[second] ** 2 - 2 * products[first, second]
    lengths = np.maximum(norms[first] * norms[second], np.finfo(np.float64).tiny)
    cosines = np.clip(products[first, second] / lengths, -1, 1)
    return Pairs(
        np.sqrt(np.maximum(squares, 0)).astype(np.float32),
        np.degrees(np.arccos(cosines)).astype(np.float32),
        same_signs(perturbations),
    )


def same_signs(perturbations: np.ndarray) -> np.ndarray:
    """How many pixels all pairs of [m, pixels] perturbations move the same way.

    Returns:
        [m (m - 1) / 2] float32 shares of the pixels that both of a pair move; 0 where there are no
        such pixels.
    """
    up, down = ((sign * perturbations > 0).astype(np.float32) for sign in (1, -1))
    pair = np.triu_indices(len(perturbations), k=1)
    same = (up @ up.T + down @ down.T)[pair]
    both = ((up + down) @ (up + down).T)[pair]
    return np.divide(same, both, out=np.zeros_like(same), where=both > 0)


def random_perturbations(
    attack: PGD, examples: Examples, image: int, count: int, seed: int = 0, *, clipped: bool = False
) -> np.ndarray:
    """[count, pixels] float32 perturbations to random points of the attack's ball, in pixel units.

    Args:
        attack: the attack whose ball it is.
        examples: the images.
        image: index of the image in the middle.
        count: number of points.
        seed: seed of the randomness.
        clipped: whether the points are moved into the pixel range, as PGD's starting points are;
            half of all noise on a black pixel vanishes then.
    """
    x, _ = repeated(examples, image, count)
    ball = attack.ball
    if not clipped:
        ball = dataclasses.replace(ball, lower=-float('inf'), upper=float('inf'))
    points = ball.sample(x, tf.constant([seed, image])) - x
    return points.numpy().reshape(count, -1)


def image_gradient(logits_fn: LogitsFn, examples: Examples, image: int) -> np.ndarray:
    """[pixels] float32 direction of the cross-entropy's gradient at the natural image.

    The gradient is that of `common.losses.LogOdds`, which is exact where a network is sure.
    """
    x, y = repeated(examples, image, 1)
    return log_odds_gradient(logits_fn, x, y).numpy().ravel()


def log_odds_gradient(logits_fn: LogitsFn, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """[batch, ...] float32 gradients of `LogOdds` in images x with labels y."""
    return with_gradient(lambda x: LogOdds()(logits_fn(x), y), x)[1]


def correlations(perturbations: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """[m] float32 cosines between [m, pixels] perturbations and a [pixels] gradient.

    A negative cosine is that of a perturbation against the gradient at the image itself; the cosine
    is 0 where either vector is zero.
    """
    points = perturbations.astype(np.float64)
    lengths = np.linalg.norm(points, axis=1) * np.linalg.norm(gradient.astype(np.float64))
    products = points @ gradient.astype(np.float64)
    return np.divide(products, lengths, out=np.zeros(len(points)), where=lengths > 0).astype(
        np.float32
    )
