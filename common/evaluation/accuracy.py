"""Predictions of a network on a whole data set: accuracy with its interval, and loss."""

import dataclasses
import time
from typing import Any

import numpy as np
import tensorflow as tf

from common.data.batches import Examples
from common.data.checked import require_fit
from common.distribution import hosts
from common.errors import UserError
from common.evaluation.concurrent_batches import in_order, split
from common.losses import LogOdds
from common.networks.logits import as_logits
from common.statistics import Measured


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A network's predictions on n images, natural or under an attack.

    Attributes:
        correct: [n] bool, images classified correctly (in every restart).
        predictions: [n] int32, predicted class in the image's last run.
        loss: mean cross-entropy of the images in their last runs.
        seconds: wall time of attack and predictions, compilation included.
        gradients: input gradients spent on all images together.
    """

    correct: np.ndarray
    predictions: np.ndarray
    loss: float
    seconds: float
    gradients: int = 0

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.correct)

    @property
    def accuracy(self) -> float:
        """Share of images classified correctly, 0 to 1."""
        return float(np.mean(self.correct))

    @property
    def measured(self) -> Measured:
        """The accuracy with its 95% interval (Wilson), 0 to 1."""
        return Measured.share(self.correct)

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the accuracy (Wilson), 0 to 1."""
        return self.measured[1:]


class Judge:
    """Classifies images with one network, in float32 whatever the attack computed in.

    A Keras model of another precision is judged in its own, as `model.predict` computes it.

    Args:
        network: anything that `common.networks.logits.as_logits` takes.
    """

    def __init__(self, network: Any):
        self._logits_fn = logits_fn = as_logits(network, dtype=None)

        @tf.function(autograph=False, reduce_retracing=True)
        def judge(x, y):
            logits = logits_fn(x)
            # The cross-entropy, also where p_y is so near 1 that its logarithm would be lost.
            losses = tf.nn.softplus(LogOdds()(logits, y))
            return (
                tf.argmax(logits, axis=1, output_type=tf.int32),
                losses,
                *(tf.reduce_any(tf.math.is_nan(t)) for t in (logits, x)),
            )

        self._judge = judge

    def classes(self, examples: Examples) -> int:
        """Number of the network's classes, from its logits of one image."""
        return int(self._logits_fn(tf.constant(examples.batch(slice(1))[0])).shape[-1])

    def __call__(self, x: tf.Tensor, y: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Predictions and losses of one batch.

        Args:
            x: [batch, ...] float32 images in the data set's pixel units.
            y: [batch] int32 labels.

        Returns:
            [batch] int32 predicted classes and [batch] float32 cross-entropies.

        Raises:
            UserError: the network returned a NaN, so that no prediction means anything.
        """
        predictions, losses, nan, nan_in_x = (t.numpy() for t in self._judge(x, y))
        if nan or nan_in_x:
            raise UserError(
                'expected numbers as logits; the network returned NaN'
                + (
                    ' or a number for images that hold NaN themselves. They are damaged, or an '
                    "attack made them by a gradient that is NaN, as a square root's is at 0: give "
                    'the network one there.'
                    if nan_in_x
                    else '. Its weights are damaged: train or fetch them again.'
                )
            )
        return predictions, losses


def natural_accuracy(judge: Judge, examples: Examples, *, batch_size: int) -> Outcome:
    """Classifies all images, the last short batch too; each host its share of the batches.

    Args:
        judge: the network.
        examples: n images and labels.
        batch_size: images per batch.

    Raises:
        UserError: no examples, or NaN logits.
    """
    require_some(examples)
    require_fit(examples, None, judge.classes(examples))
    if hosts().count > 1:
        hosts().require_same('images and batches', examples.digest(), batch_size)
    start = time.perf_counter()
    found = np.zeros((2, len(examples)))  # predictions and losses

    def classified(index: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return index, *judge(*map(tf.constant, examples.batch(index)))

    batches = split(np.arange(len(examples)), batch_size)
    for index, *of_batch in in_order(classified, hosts().share(batches)):
        found[:, index] = of_batch
    predictions, losses = hosts().sum(found)
    predictions, losses = predictions.astype(np.int32), losses.astype(np.float32)
    return Outcome(
        predictions == examples.y, predictions, float(losses.mean()), time.perf_counter() - start
    )


def require_some(examples: Examples) -> None:
    """Refuses an empty set of examples, which has no accuracy.

    Raises:
        UserError: there are none.
    """
    if not len(examples):
        raise UserError('expected at least one image to evaluate; found none.')
