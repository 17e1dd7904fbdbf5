"""Accuracy, naturally and under attack, over whole data sets and with its uncertainty."""

import dataclasses
import math
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tqdm

from common.attacks.base import Attack, CompiledAttack
from common.attacks.restarts import Restarts, restart_seed
from common.data import Examples
from common.errors import UserError
from common.logits import LogitsFn
from common.losses import CrossEntropy

_EMPTY = 'expected at least one example to evaluate; found none'


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """95% score interval of a proportion (Wilson 1927), which stays inside [0, 1]."""
    z = 1.959963984540054  # 97.5% quantile of the standard normal distribution
    p = successes / n
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return max(0.0, centre - half), min(1.0, centre + half)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a network made of n images.

    Attributes:
        correct: [n] bool, which images it classified correctly (under every restart).
        loss: mean cross-entropy of what was judged last for each image.
        seconds: wall time of attack and judgement.
        gradients: input gradients spent on all images together.
    """

    correct: np.ndarray
    loss: float
    seconds: float
    gradients: int = 0

    @property
    def n(self) -> int:
        """Number of images judged."""
        return len(self.correct)

    @property
    def accuracy(self) -> float:
        """Share of images classified correctly, 0 to 1."""
        return float(np.mean(self.correct))

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the accuracy."""
        return wilson_interval(int(np.sum(self.correct)), self.n)


class Judge:
    """Classifies images with one network, in float32 whatever the attack computed in.

    Args:
        logits_fn: the network judged.
    """

    def __init__(self, logits_fn: LogitsFn):
        @tf.function(autograph=False, reduce_retracing=True)
        def judge(x, y):
            logits = logits_fn(x)
            predictions = tf.argmax(logits, axis=1, output_type=tf.int32)
            return predictions, CrossEntropy()(logits, y)

        self._judge = judge

    def __call__(self, x: tf.Tensor, y: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """[batch] int32 predictions and [batch] float32 cross-entropies.

        Raises:
            UserError: the network returned a NaN, so that no prediction means anything.
        """
        predictions, losses = (t.numpy() for t in self._judge(x, y))
        if np.isnan(losses).any():
            raise UserError(
                'expected finite logits; the network returned NaN. Its weights are damaged: '
                'train or fetch them again.')
        return predictions, losses


def natural_accuracy(logits_fn: LogitsFn, examples: Examples, *, batch_size: int) -> Outcome:
    """Classifies all natural images, the last short batch too."""
    judge = Judge(logits_fn)
    return _judge_all(judge, lambda x, y, batch: x, examples, batch_size, progress=None)


def adversarial_accuracy(
    attack: Attack,
    source: LogitsFn,
    target: LogitsFn,
    examples: Examples,
    *,
    batch_size: int,
    seed: int = 0,
    progress: str | None = None,
    on_batch: Callable[[np.ndarray, np.ndarray], None] | None = None,
) -> Outcome:
    """Accuracy of `target` on adversarial images made with the gradients of `source`.

    `Restarts` are run one after the other over the images that still stand: an image broken once
    needs no further work.

    Args:
        attack: the attack.
        source: the network whose gradients craft the images; the target itself for white box.
        target: the network judged.
        examples: all of them are attacked.
        batch_size: images a batch.
        seed: of the attack's randomness.
        progress: words before the progress bar; None shows none.
        on_batch: called with ([k] indices, [k, ...] float32 adversarial images) of each batch.
    """
    single, restarts = attack, 1
    if isinstance(attack, Restarts):
        single, restarts = attack.attack, attack.restarts
    compiled, judge = CompiledAttack(single, source), Judge(target)
    correct = np.ones(len(examples), bool)
    seconds, gradients, loss = 0.0, 0, 0.0
    for r in range(restarts):
        standing = np.flatnonzero(correct)
        if not len(standing):
            break
        run_seed = restart_seed(tf.constant([seed, 0]), r)

        def perturb(x, y, batch, run_seed=run_seed):
            return compiled(x, y, seed=tf.random.fold_in(run_seed, batch))

        words = progress and (progress if restarts == 1 else f'{progress} {r + 1}/{restarts}')
        outcome = _judge_all(
            judge, perturb, examples.subset(standing), batch_size, words,
            on_batch and (lambda i, x_adv, standing=standing: on_batch(standing[i], x_adv)))
        correct[standing] = outcome.correct
        seconds += outcome.seconds
        gradients += single.gradients * outcome.n
        loss = outcome.loss
    return Outcome(correct, loss, seconds, gradients)


def _judge_all(
    judge: Judge, perturb, examples: Examples, batch_size: int, progress: str | None,
    on_batch=None,
) -> Outcome:
    if not len(examples):
        raise UserError(_EMPTY)
    correct = np.empty(len(examples), bool)
    total_loss = 0.0
    start = time.perf_counter()
    starts = range(0, len(examples), batch_size)
    bar = tqdm.tqdm(starts, desc=progress, unit='batch', disable=progress is None, leave=False)
    for batch, first in enumerate(bar):
        index = np.arange(first, min(first + batch_size, len(examples)))
        x, y = tf.constant(examples.x[index]), tf.constant(examples.y[index])
        x_adv = perturb(x, y, batch)
        predictions, losses = judge(x_adv, y)
        correct[index] = predictions == examples.y[index]
        total_loss += float(losses.sum())
        if on_batch is not None:
            on_batch(index, x_adv.numpy())
        if progress is not None:
            bar.set_postfix_str(f'accuracy {correct[:index[-1] + 1].mean():.2%}')
    return Outcome(correct, total_loss / len(examples), time.perf_counter() - start)
