"""Accuracy, naturally and under attack, over whole data sets and with its uncertainty."""

import dataclasses
import functools
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf
import tqdm

from common.attacks import Attack, CompiledAttack
from common.attacks.restarts import Restarts, restart_seed
from common.data.batches import Examples
from common.errors import UserError
from common.evaluation.concurrent_batches import in_order
from common.evaluation.resumable import PartialResult
from common.losses import LogOdds
from common.networks.logits import LogitsFn
from common.statistics import wilson_interval

OnBatch = Callable[[np.ndarray, np.ndarray], None]
"""Receives [k] indices and the [k, ...] float32 adversarial images of each batch."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a network made of n images.

    Attributes:
        correct: [n] bool, which images it classified correctly (under every restart).
        predictions: [n] int32, the classes it took them for, as judged last.
        loss: mean cross-entropy of the images as judged last.
        seconds: wall time of attack and judgement, compilation included.
        gradients: input gradients spent on all images together.
    """

    correct: np.ndarray
    predictions: np.ndarray
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
            # The cross-entropy, also where p_y is so near 1 that its logarithm would be lost.
            losses = tf.nn.softplus(LogOdds()(logits, y))
            return (
                tf.argmax(logits, axis=1, output_type=tf.int32),
                losses,
                *(tf.reduce_any(tf.math.is_nan(t)) for t in (logits, x)),
            )

        self._judge = judge

    def __call__(self, x: tf.Tensor, y: tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """[batch] int32 predictions and [batch] float32 cross-entropies.

        Raises:
            UserError: the network returned a NaN, so that no prediction means anything.
        """
        predictions, losses, nan, nan_in_x = (t.numpy() for t in self._judge(x, y))
        if nan:
            raise UserError(
                'expected numbers as logits; the network returned NaN'
                + (
                    ' for images that hold NaN themselves. They are damaged, or an attack '
                    "made them by a gradient that is NaN, as a square root's is at 0: give the "
                    'network one there.'
                    if nan_in_x
                    else '. Its weights are damaged: train or fetch them again.'
                )
            )
        return predictions, losses


def natural_accuracy(judge: Judge, examples: Examples, *, batch_size: int) -> Outcome:
    """What `judge` makes of all natural images, the last short batch too.

    Raises:
        UserError: no examples, or NaN logits.
    """
    _require_some(examples)
    start = time.perf_counter()
    predictions, losses = np.empty(len(examples), np.int32), np.empty(len(examples), np.float32)
    for index in _batches(np.arange(len(examples)), batch_size):
        predictions[index], losses[index] = judge(
            tf.constant(examples.x[index]), tf.constant(examples.y[index])
        )
    return Outcome(
        predictions == examples.y, predictions, float(losses.mean()), time.perf_counter() - start
    )


def adversarial_accuracy(
    attack: Attack,
    source: LogitsFn,
    target: LogitsFn,
    examples: Examples,
    *,
    batch_size: int,
    seed: int = 0,
    progress: str | None = None,
    on_batch: OnBatch | None = None,
    partial: PartialResult | None = None,
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
        on_batch: called after each batch that is attacked in this call.
        partial: where an interrupted evaluation left its results, and leaves them again.

    Raises:
        UserError: no examples, or NaN logits.
    """
    single, restarts = single_run(attack)
    return compiled_accuracy(
        CompiledAttack(single, source),
        Judge(target),
        examples,
        restarts=restarts,
        batch_size=batch_size,
        seed=seed,
        progress=progress,
        on_batch=on_batch,
        partial=partial,
    )


def single_run(attack: Attack) -> tuple[Attack, int]:
    """One run of the attack, and how many of them there are."""
    return (attack.attack, attack.restarts) if isinstance(attack, Restarts) else (attack, 1)


def compiled_accuracy(
    perturb: CompiledAttack,
    judge: Judge,
    examples: Examples,
    *,
    batch_size: int,
    restarts: int = 1,
    seed: int = 0,
    progress: str | None = None,
    on_batch: OnBatch | None = None,
    partial: PartialResult | None = None,
) -> Outcome:
    """`adversarial_accuracy` by parts that were compiled before, for evaluations in a row.

    Args:
        perturb: one run of the attack.
        judge: judges what it returns.
        restarts: how many runs.

    The other arguments and the errors are those of `adversarial_accuracy`.
    """
    _require_some(examples)
    state = _State.start(len(examples))
    if partial is not None:
        state = _State(**partial.read(default=dataclasses.asdict(state)))
    done = (state.restart, state.batch)
    run = functools.partial(
        _run_restart, state, perturb, judge, examples, batch_size, seed, on_batch
    )
    try:
        with _bar(progress, state, restarts, len(examples), batch_size) as bar:
            while state.restart < restarts and state.standing.any():
                for _ in run():
                    bar.update()
                    bar.set_postfix_str(f'{state.survived.mean():.2%} stand', refresh=False)
                    if partial is not None:
                        partial.maybe_write(dataclasses.asdict(state))
                state.finish_restart()
    finally:
        if partial is not None and (state.restart, state.batch) != done:
            partial.write(dataclasses.asdict(state))
    return Outcome(
        state.standing,
        state.predictions,
        float(state.losses.mean()),
        float(state.seconds),
        int(state.gradients),
    )


def _run_restart(
    state: '_State',
    perturb: CompiledAttack,
    judge: Judge,
    examples: Examples,
    batch_size: int,
    seed: int,
    on_batch: OnBatch | None,
) -> Iterator[None]:
    """Attacks what still stands, from the batch that is next; yields after each batch."""
    batches = _batches(np.flatnonzero(state.standing), batch_size)
    run_seed = restart_seed(tf.constant([seed, 0]), int(state.restart))

    def attacked(number: int) -> tuple[np.ndarray, tf.Tensor, np.ndarray, np.ndarray]:
        index = batches[number]
        x, y = tf.constant(examples.x[index]), tf.constant(examples.y[index])
        x_adv = perturb(x, y, seed=tf.random.fold_in(run_seed, number))
        return index, x_adv, *judge(x_adv, y)

    start = time.perf_counter()
    for index, x_adv, predictions, losses in in_order(
        attacked, range(int(state.batch), len(batches))
    ):
        if on_batch is not None:  # before the batch counts as done, in case this fails
            on_batch(index, x_adv.numpy())
        start, before = time.perf_counter(), start
        state.record(
            index, examples.y[index], predictions, losses, start - before, perturb.attack.gradients
        )
        yield


def _bar(words: str | None, state: '_State', restarts: int, n: int, batch_size: int) -> tqdm.tqdm:
    batches = -(-n // batch_size)
    return tqdm.tqdm(
        desc=words,
        total=restarts * batches,
        initial=int(state.restart * batches + state.batch),
        unit='batch',
        disable=words is None,
        dynamic_ncols=True,
        leave=False,
        # Where no terminal rewrites the line, one line in a while is enough.
        mininterval=0.2 if sys.stderr.isatty() else 60,
    )


@dataclasses.dataclass
class _State:
    """How far an evaluation has come: enough to go on after an interruption."""

    standing: np.ndarray  # [n] bool: survived all finished restarts
    survived: np.ndarray  # [n] bool: survived the restart in progress too
    predictions: np.ndarray  # [n] int32: as judged last
    losses: np.ndarray  # [n] float32: cross-entropies, likewise
    restart: int
    batch: int
    seconds: float
    gradients: int

    @classmethod
    def start(cls, n: int) -> '_State':
        return cls(
            np.ones(n, bool),
            np.ones(n, bool),
            np.zeros(n, np.int32),
            np.zeros(n, np.float32),
            0,
            0,
            0.0,
            0,
        )

    def record(self, index, y, predictions, losses, seconds, gradients) -> None:
        self.survived[index] = predictions == y
        self.predictions[index] = predictions
        self.losses[index] = losses
        self.batch += 1
        self.seconds += seconds
        self.gradients += gradients * len(index)

    def finish_restart(self) -> None:
        self.standing = self.survived.copy()
        self.restart += 1
        self.batch = 0


def _batches(index: np.ndarray, batch_size: int) -> list[np.ndarray]:
    return [index[i : i + batch_size] for i in range(0, len(index), batch_size)]


def _require_some(examples: Examples) -> None:
    if not len(examples):
        raise UserError(
            'expected at least one image to evaluate; found none. Raise --num_examples.'
        )
