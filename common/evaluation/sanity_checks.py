"""Signs that a robust accuracy is not what it seems (Athalye et al. 2018; Carlini et al. 2019).

Each check looks for one known way in which gradients mislead an attack, and says what it measured.
"""

import dataclasses
import functools
from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf

from common.attacks import APGD, PGD, Attack, CompiledAttack, Restarts, Square
from common.data.batches import Examples
from common.evaluation.accuracy import Judge
from common.evaluation.cascade import compiled_accuracy, single_run
from common.evaluation.concurrent_batches import split
from common.evaluation.crafting import Crafting
from common.evaluation.verdict import Verdict
from common.losses import CrossEntropy, Margin
from common.networks.logits import LogitsFn
from common.statistics import counted
from common.threat_model import LinfBall

_FLAT = 0.05  # share of images without a gradient that is still taken for chance
_FLAT_PIXELS = 0.9  # share of all pixels; backgrounds alone may leave half of them without one
_STILL = 0.005  # share of images that the last of many restarts may break
_WITHOUT_GRADIENTS = 0.01  # share of images that only queries without gradients may break


@dataclasses.dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: name of the check.
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
        network: [batch, ...] float32 pixels -> [batch, classes] float32 logits; both the source
            and the target of the attacks.
        pgd: the attack, with a random start.
        examples: a sample of n images; the more, the finer the comparisons.
        crafting: batch size and seed of the attacks.
        tried: [n] bool for each attack tried so far: the images that survived it.
    """

    network: LogitsFn
    pgd: PGD
    examples: Examples
    crafting: Crafting = Crafting(100)
    tried: list[np.ndarray] = dataclasses.field(default_factory=list, repr=False)

    def survivors(self, attack: Attack, source: LogitsFn | None = None) -> np.ndarray:
        """[n] bool: images that survive an attack.

        Args:
            attack: the attack.
            source: another network whose gradients are followed; None for the network itself.
        """
        single, restarts = single_run(attack)
        perturb = CompiledAttack(single, self.crafting.logits(source or self.network))
        found = compiled_accuracy(
            perturb, self._judge, self.examples, restarts=restarts, crafting=self.crafting
        )
        self.tried.append(found.correct)
        return self.tried[-1]

    @functools.cached_property
    def _judge(self) -> Judge:
        return Judge(self.network)

    def first_batch(self) -> np.ndarray:
        """[batch, classes] float32 logits of the first images, computed at each call."""
        x, _ = self.examples.batch(slice(self.crafting.batch_size))
        return self.network(tf.constant(x)).numpy()


def checks(
    suspect: Suspect,
    *,
    queries: int = 500,
    sources: Iterable[tuple[str, LogitsFn]] = (),
    survived: np.ndarray | None = None,
) -> Iterator[Check]:
    """All checks, one after the other, since some take a while.

    Args:
        suspect: the network.
        queries: queries of the score-based attack, which knows the l-inf ball only, for each image.
        sources: names and other networks, whose gradients are followed as well; each is taken when
            its turn comes.
        survived: [n] bool, images that survive a cascade; None for no cascade.
    """
    yield randomized_outputs(suspect)
    yield softmax_outputs(suspect)
    yield vanishing_gradients(suspect)
    pgd = suspect.pgd
    white_box = suspect.survivors(pgd)
    yield more_effort(suspect, white_box, dataclasses.replace(pgd, steps=4 * pgd.steps), 'steps')
    yield more_effort(suspect, white_box, Restarts(pgd, 4), 'restarts')
    if isinstance(pgd.ball, LinfBall):
        yield score_based(suspect, white_box, queries)
    for name, source in sources:
        yield transferred(suspect, white_box, name, source)
    if survived is not None:
        yield beyond(suspect, survived)
    yield large_radius(suspect)


def randomized_outputs(suspect: Suspect) -> Check:
    """Fails if the same images get different logits the second time: one gradient is not enough."""
    first, second = suspect.first_batch(), suspect.first_batch()
    apart = float(np.abs(first - second).max())
    return Check(
        'randomized outputs',
        apart <= 1e-4 * max(float(np.abs(first).max()), 1e-30),
        f'the same images twice, logits differ by at most {apart:.3g}',
    )


def softmax_outputs(suspect: Suspect) -> Check:
    """Fails if the outputs are probabilities, whose gradients vanish where they are 0 or 1."""
    z = suspect.first_batch()
    probabilities = (z >= 0) & (np.abs(z.sum(axis=1, keepdims=True) - 1) < 1e-3)
    share = float(np.mean(probabilities.all(axis=1)))
    return Check('softmax outputs', share < 1, f'{share:.0%} of the outputs are probabilities')


def vanishing_gradients(suspect: Suspect) -> Check:
    """Fails if too many images or pixels have no gradient for the attack to follow."""
    flat, zeros, sure = [], [], []
    for index in split(np.arange(len(suspect.examples)), suspect.crafting.batch_size):
        natural, y = suspect.examples.batch(index)
        x = tf.constant(natural)
        with tf.GradientTape() as tape:
            tape.watch(x)
            logits = suspect.network(x)
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
    """Checks of a cascade's own record, on all of its images.

    The last of several restarts should break next to nothing, and attacks without gradients little
    that attacks with gradients did not.
    """
    for number, stage in enumerate(verdict.stages):
        if stage.restarts > 1:
            last = (verdict.broken_by == number) & (verdict.restart == stage.restarts - 1)
            yield Check(
                f'last restart of {stage.name}',
                bool(np.mean(last) <= _STILL),
                f'the last of {stage.restarts} broke {np.sum(last):,} of '
                f'{counted(verdict.n, "image")}',
            )
    blind = [
        number
        for number, stage in enumerate(verdict.stages)
        if stage.queries and not stage.attack.gradients
    ]
    if blind:
        broken = np.isin(verdict.broken_by, blind)
        yield Check(
            'without gradients',
            bool(np.mean(broken) <= _WITHOUT_GRADIENTS),
            f'queries without gradients alone broke {np.sum(broken):,} of '
            f'{counted(verdict.n, "image")}',
        )


def more_effort(suspect: Suspect, white_box: np.ndarray, attack: Attack, words: str) -> Check:
    """Fails if markedly fewer images survive more of the same attack: it has not converged.

    Args:
        suspect: the network.
        white_box: [n] bool, images that survive its attack.
        attack: that attack with more steps or restarts.
        words: what it has more of.
    """
    survived = suspect.survivors(attack)
    return Check(
        f'more {words}',
        not _markedly_less(survived, white_box),
        f'{_share(survived)} under {attack.gradients} gradients, {_share(white_box)} under '
        f'{suspect.pgd.gradients}',
    )


def score_based(suspect: Suspect, white_box: np.ndarray, queries: int) -> Check:
    """Fails if markedly fewer images survive random search without gradients than gradients.

    Args:
        suspect: the network.
        white_box: [n] bool, images that survive its attack.
        queries: queries for each image.
    """
    survived = suspect.survivors(Square(suspect.pgd.ball, queries))
    return Check(
        'score-based attack',
        not _markedly_less(survived, white_box),
        f'{_share(survived)} under Square with {queries:,} queries, {_share(white_box)} '
        f'under gradients; Square alone breaks {np.sum(white_box & ~survived)} of {len(survived)} '
        'images',
    )


def transferred(suspect: Suspect, white_box: np.ndarray, name: str, source: LogitsFn) -> Check:
    """Fails if markedly fewer images survive another network's gradients than its own.

    Args:
        suspect: the network.
        white_box: [n] bool, images that survive its attack.
        name: name of the other network.
        source: the other network.
    """
    survived = suspect.survivors(suspect.pgd, source)
    return Check(
        f'transfer from {name}',
        not _markedly_less(survived, white_box),
        f'{_share(survived)} from there, {_share(white_box)} white box; '
        f'transfer alone breaks {np.sum(white_box & ~survived):,} of '
        f'{counted(len(survived), "image")}',
    )


def beyond(suspect: Suspect, survived: np.ndarray) -> Check:
    """Fails if an attack that the checks have tried breaks an image that survives a cascade.

    Args:
        suspect: the network; `tried` holds the attacks.
        survived: [n] bool, images that survive the cascade.
    """
    broken = survived & ~np.all(suspect.tried, axis=0)
    return Check(
        'beyond the cascade',
        not bool(broken.any()),
        f'of {counted(int(np.sum(survived)), "image")} that the cascade leaves, an attack of these '
        f'checks breaks {np.sum(broken):,}',
    )


def large_radius(suspect: Suspect) -> Check:
    """Fails if any image survives where the adversary may choose any image at all."""
    whole = suspect.pgd.ball.covering(suspect.examples.x.shape[1:])
    survived = dataclasses.replace(suspect, tried=[]).survivors(APGD(whole, 100, Margin()))
    return Check(
        'large epsilon',
        not bool(survived.any()),
        f'{_share(survived)} at epsilon {whole.epsilon:g}, where every image is in reach',
    )


def _markedly_less(survived: np.ndarray, before: np.ndarray) -> bool:
    """Whether fewer survive than before, by 2% of the images and beyond chance (sign test)."""
    lost, won = int(np.sum(before & ~survived)), int(np.sum(~before & survived))
    return lost - won > max(0.02 * len(survived), 2 * (lost + won) ** 0.5)


def _share(survived: np.ndarray) -> str:
    return f'{survived.mean():.1%} survive'
