"""Signs that a robust accuracy is not what it seems (Athalye et al. 2018; Carlini et al. 2019).

Each check looks for one known way in which gradients mislead an attack, and tells what it measured.
"""

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from common.attacks import APGD, PGD, Attack, Restarts, Square
from common.data.batches import Examples
from common.evaluation.accuracy import adversarial_accuracy
from common.evaluation.cascade import Verdict
from common.losses import CrossEntropy, Margin
from common.networks.logits import LogitsFn

_FLAT = 0.05  # share of images without a gradient that is still taken for chance
_FLAT_PIXELS = 0.9  # share of all pixels; backgrounds alone may leave half of them without one
_STILL = 0.005  # share of images that the last of many restarts may break
_WITHOUT_GRADIENTS = 0.01  # share of images that only queries without gradients may break


@dataclasses.dataclass(frozen=True)
class Check:
    """What one check found.

    Attributes:
        name: of the check.
        passed: whether nothing speaks against the accuracy.
        words: what was measured.
    """

    name: str
    passed: bool
    words: str

    def __str__(self) -> str:
        return f'{"ok     " if self.passed else "WARNING"} {self.name}: {self.words}'


@dataclasses.dataclass(frozen=True)
class Suspect:
    """A network whose accuracy under an attack is in question.

    Attributes:
        network: judged and followed.
        pgd: the attack, with a random start.
        examples: a sample of images; the more, the finer the comparisons.
        seed: of everything random.
        batch_size: images a batch.
        tried: [n] bool each: what the attacks left that were tried so far.
    """

    network: LogitsFn
    pgd: PGD
    examples: Examples
    seed: int = 0
    batch_size: int = 100
    tried: list[np.ndarray] = dataclasses.field(default_factory=list, repr=False)

    def left(self, attack: Attack, source: LogitsFn | None = None) -> np.ndarray:
        """[n] bool: what an attack leaves, which follows the network itself or another one."""
        self.tried.append(
            adversarial_accuracy(
                attack,
                source or self.network,
                self.network,
                self.examples,
                batch_size=self.batch_size,
                seed=self.seed,
            ).correct
        )
        return self.tried[-1]


def checks(
    suspect: Suspect,
    *,
    queries: int = 500,
    sources: dict[str, Callable[[], LogitsFn]] | None = None,
    standing: np.ndarray | None = None,
) -> Iterator[Check]:
    """All checks, one after the other, since some take a while.

    Args:
        suspect: the network.
        queries: of the score-based attack, for each image.
        sources: name -> makes another network, whose examples are tried as well.
        standing: [n] bool: the images that a cascade has left; None for no cascade.
    """
    yield randomized_outputs(suspect)
    yield softmax_outputs(suspect)
    yield vanishing_gradients(suspect)
    pgd = suspect.pgd
    white_box = suspect.left(pgd)
    yield more_effort(suspect, white_box, dataclasses.replace(pgd, steps=4 * pgd.steps), 'steps')
    yield more_effort(suspect, white_box, Restarts(pgd, 4), 'restarts')
    yield score_based(suspect, white_box, queries)
    for name, source in (sources or {}).items():
        yield transferred(suspect, white_box, name, source())
    if standing is not None:
        yield beyond(suspect, standing)
    yield large_radius(suspect)


def randomized_outputs(suspect: Suspect) -> Check:
    """Whether the same images have the same logits twice: else one gradient is one of many."""
    x = tf.constant(suspect.examples.x[: suspect.batch_size])
    first, second = (suspect.network(x).numpy() for _ in range(2))
    apart = float(np.abs(first - second).max())
    return Check(
        'randomized outputs',
        apart <= 1e-4 * max(float(np.abs(first).max()), 1e-30),
        f'the same images twice, logits differ by at most {apart:.3g}',
    )


def softmax_outputs(suspect: Suspect) -> Check:
    """Whether the outputs are probabilities, whose gradients vanish where they are 0 or 1."""
    z = suspect.network(tf.constant(suspect.examples.x[: suspect.batch_size])).numpy()
    probabilities = (z >= 0) & (np.abs(z.sum(axis=1, keepdims=True) - 1) < 1e-3)
    share = float(np.mean(probabilities.all(axis=1)))
    return Check('softmax outputs', share < 1, f'{share:.0%} of the outputs are probabilities')


def vanishing_gradients(suspect: Suspect) -> Check:
    """How many images have no gradient at all for the attack to follow."""
    flat, zeros, sure = [], [], []
    for i in range(0, len(suspect.examples), suspect.batch_size):
        x = tf.constant(suspect.examples.x[i : i + suspect.batch_size])
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits, y = suspect.network(x), suspect.examples.y[i : i + suspect.batch_size]
            loss = CrossEntropy()(logits, y)
        gradient = tape.gradient(loss, x, unconnected_gradients='zero').numpy()
        zero = gradient.reshape(len(gradient), -1) == 0
        flat.append(zero.all(axis=1))
        zeros.append(zero.mean(axis=1))
        sure.append(tf.nn.softmax(logits).numpy()[np.arange(len(y)), y] == 1)
    share, pixels, certain = (float(np.mean(np.concatenate(a))) for a in (flat, zeros, sure))
    return Check(
        'vanishing gradients',
        share <= _FLAT and pixels <= _FLAT_PIXELS,
        f'{share:.1%} of the images have gradients of exactly 0 everywhere, '
        f'{pixels:.1%} of all pixels; the probability of {certain:.1%} rounds to 1, where '
        "the cross-entropy's gradient loses its part of the true class",
    )


def cascade_checks(verdict: Verdict) -> Iterator[Check]:
    """What a cascade's own record says of it, for all of its images."""
    for number, stage in enumerate(verdict.stages):
        if stage.restarts > 1:
            last = (verdict.broken_by == number) & (verdict.restart == stage.restarts - 1)
            yield Check(
                f'last restart of {stage.name}',
                bool(np.mean(last) <= _STILL),
                f'the last of {stage.restarts} broke {np.sum(last):,} of {verdict.n:,} images',
            )
    blind = [
        number
        for number, stage in enumerate(verdict.stages)
        if stage.queries and not stage.attack.gradients
    ]
    if blind:
        fell = np.isin(verdict.broken_by, blind)
        yield Check(
            'without gradients',
            bool(np.mean(fell) <= _WITHOUT_GRADIENTS),
            f'{np.sum(fell):,} of {verdict.n:,} images fell only to queries without gradients',
        )


def more_effort(suspect: Suspect, white_box: np.ndarray, attack: Attack, words: str) -> Check:
    """Whether more of the same attack leaves markedly less: then it has not converged."""
    left = suspect.left(attack)
    return Check(
        f'more {words}',
        not _markedly_less(left, white_box),
        f'{_shares(left)} under {attack.gradients} gradients, {_shares(white_box)} under '
        f'{suspect.pgd.gradients}',
    )


def score_based(suspect: Suspect, white_box: np.ndarray, queries: int) -> Check:
    """Whether random search without gradients leaves less than gradients do."""
    left = suspect.left(Square(suspect.pgd.ball, queries))
    return Check(
        'score-based attack',
        not _markedly_less(left, white_box),
        f'{_shares(left)} under Square with {queries:,} queries, {_shares(white_box)} '
        f'under gradients; {np.sum(white_box & ~left)} images fall to Square alone',
    )


def transferred(suspect: Suspect, white_box: np.ndarray, name: str, source: LogitsFn) -> Check:
    """Whether another network's gradients leave less than the network's own."""
    left = suspect.left(suspect.pgd, source)
    return Check(
        f'transfer from {name}',
        not _markedly_less(left, white_box),
        f'{_shares(left)} from there, {_shares(white_box)} white box; '
        f'{np.sum(white_box & ~left)} images fall to transfer alone',
    )


def beyond(suspect: Suspect, standing: np.ndarray) -> Check:
    """Whether images that a cascade has left fell to what the checks have tried."""
    fell = standing & ~np.all(suspect.tried, axis=0)
    return Check(
        'beyond the cascade',
        not bool(fell.any()),
        f'{np.sum(fell)} of the {np.sum(standing)} images that stand under the cascade '
        'fall to an attack of these checks',
    )


def large_radius(suspect: Suspect) -> Check:
    """Whether anything is left where the adversary may choose any image at all."""
    ball = suspect.pgd.ball
    whole = dataclasses.replace(ball, epsilon=ball.upper - ball.lower)
    left = dataclasses.replace(suspect, tried=[]).left(APGD(whole, 100, Margin()))
    return Check(
        'large epsilon',
        not bool(left.any()),
        f'{_shares(left)} at epsilon {whole.epsilon:g}, where every image is in reach',
    )


def _markedly_less(left: np.ndarray, before: np.ndarray) -> bool:
    """Whether more images fell than stood up again, by 2% of them and beyond chance (sign test)."""
    fell, rose = int(np.sum(before & ~left)), int(np.sum(~before & left))
    return fell - rose > max(0.02 * len(left), 2 * (fell + rose) ** 0.5)


def _shares(left: np.ndarray) -> str:
    return f'{left.mean():.1%} stand'
