"""The attacks of the command line and of the paper's tables, by name: one row of METHODS each."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

from common.arguments import checked_choice
from common.attacks.apgd import APGD
from common.attacks.ascent import Adam, Ascent
from common.attacks.base import Attack
from common.attacks.chained import Chained
from common.attacks.fab import FAB
from common.attacks.multi_targeted import MultiTargeted
from common.attacks.odi import ODI
from common.attacks.pgd import PGD, fgsm
from common.attacks.restarts import Restarts
from common.attacks.square import Square
from common.attacks.targeted import RandomTarget, TargetedEach
from common.errors import UserError
from common.losses import DLR, CrossEntropy, CWMargin, DLRTo, LogOdds, Loss, Margin, MarginTo
from common.threat_model import Ball

CW_PLUS_KAPPA = 50.0
QUERIES = 5000
"""Queries of the Square Attack in its authors' experiments."""

MOST_TARGETS = 9
"""Wrong classes that an attack tries one after the other: the likeliest, as in AutoAttack, so that
the cost does not grow with the number of classes."""

SEARCH_QUERIES = 300
"""Queries of the Square Attack where gradients continue from its result."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """Everything that a method's attack is made of; each method ignores some of it.

    Attributes:
        ball: the threat model.
        steps: number of gradients or queries.
        step_size: in pixel units.
        num_classes: for targeted methods.
        random_start: whether the first step is from a random point of the ball.
    """

    ball: Ball
    steps: int
    step_size: float
    num_classes: int
    random_start: bool

    @property
    def targets(self) -> int:
        """Number of wrong classes that attacks on one class after the other try."""
        return most_targets(self.num_classes)

    def pgd(self, loss: Loss) -> PGD:
        """PGD on this loss."""
        return PGD(self.ball, self.steps, self.step_size, loss, self.random_start)

    def apgd(self, loss: Loss) -> APGD:
        """Auto-PGD on this loss."""
        return APGD(self.ball, self.steps, loss, self.random_start)

    def ascent(self, **settings: Any) -> Ascent:
        """Ascent with its own settings."""
        settings = {'step_size': self.step_size} | settings
        return Ascent(self.ball, self.steps, random_start=self.random_start, **settings)


@dataclasses.dataclass(frozen=True)
class Method:
    """An attack that users choose by name.

    Attributes:
        words: what it is, for help texts.
        make: settings -> the attack.
        ignores: names of the settings that it has no use for.
        random: when two runs with different seeds differ, so that restarts make sense.
        least_steps: the smallest number of steps that it accepts.
        default_steps: number of steps where users give none; None for the program's default.
    """

    words: str
    make: Callable[[Settings], Attack]
    ignores: tuple[str, ...] = ()
    random: Literal['always', 'with a random start', 'never'] = 'with a random start'
    least_steps: int = 0
    default_steps: int | None = None


_ONE_STEP = ('steps', 'step_size', 'random_start')
_ADAPTIVE = ('step_size',)
_NO_START = ('step_size', 'random_start')

METHODS: dict[str, Method] = {
    'pgd': Method('PGD on the cross-entropy', lambda s: s.pgd(CrossEntropy())),
    'fgsm': Method(
        'one step of size epsilon from the image itself',
        lambda s: fgsm(s.ball),
        ignores=_ONE_STEP,
        random='never',
    ),
    'fgsm_odds': Method(
        'fgsm with exact gradients: cross-entropy loses theirs where a network is sure',
        lambda s: fgsm(s.ball, LogOdds()),
        ignores=_ONE_STEP,
        random='never',
    ),
    'fgsm_rs': Method(
        'one step of size epsilon from a random point of the ball',
        lambda s: fgsm(s.ball, random_start=True),
        ignores=_ONE_STEP,
        random='always',
    ),
    'targeted': Method(
        "PGD towards each wrong class in turn (the table's row)",
        lambda s: TargetedEach(s.pgd(CrossEntropy(targeted=True)), s.num_classes),
    ),
    'targeted_random': Method(
        'PGD towards one wrong class, drawn for each image',
        lambda s: RandomTarget(s.pgd(CrossEntropy(targeted=True)), s.num_classes),
        random='always',
    ),
    'cw': Method("PGD on Carlini and Wagner's margin, kappa = 0", lambda s: s.pgd(CWMargin())),
    'cw+': Method(
        f'the same with kappa = {CW_PLUS_KAPPA:g}', lambda s: s.pgd(CWMargin(CW_PLUS_KAPPA))
    ),
    'momentum': Method(
        'MI-FGSM: signs of a running sum of gradients; keeps the best point',
        lambda s: s.ascent(loss=LogOdds()),
        least_steps=1,
    ),
    'adam': Method(
        "Adam's steps on the margin: epsilon / 3, a tenth after half and again after three "
        'quarters of them',
        lambda s: s.ascent(
            step_size=s.ball.epsilon / 3, rule=Adam(), loss=Margin(), decays=(0.5, 0.75)
        ),
        ignores=_ADAPTIVE,
        least_steps=1,
    ),
    'multi_targeted': Method(
        'PGD on the margin towards each of the 9 likeliest wrong classes in turn',
        lambda s: MultiTargeted(s.pgd(MarginTo()), s.targets),
    ),
    'odi': Method(
        'Auto-PGD on the margin from output-diversified starts',
        lambda s: diversified(s.ball, s.steps, s.random_start),
        ignores=_ADAPTIVE,
        random='always',
        least_steps=1,
    ),
    'apgd': Method(
        'Auto-PGD on the log odds, cross-entropy without its rounding',
        lambda s: s.apgd(LogOdds()),
        ignores=_ADAPTIVE,
        least_steps=1,
    ),
    'apgd_dlr': Method(
        'Auto-PGD on the DLR loss', lambda s: s.apgd(DLR()), ignores=_ADAPTIVE, least_steps=1
    ),
    'apgd_t': Method(
        'Auto-PGD on the targeted DLR loss, towards each of the 9 likeliest wrong classes',
        lambda s: MultiTargeted(s.apgd(DLRTo()), s.targets),
        ignores=_ADAPTIVE,
        least_steps=1,
    ),
    'fab_t': Method(
        'the fast adaptive boundary attack, towards each of the 9 likeliest wrong classes',
        lambda s: MultiTargeted(FAB(s.ball, s.steps), s.targets),
        ignores=_NO_START,
        random='never',
        least_steps=1,
    ),
    'square_apgd': Method(
        f'Auto-PGD on the margin from where {SEARCH_QUERIES} queries of Square lead',
        lambda s: searched(s.ball, s.steps),
        ignores=_NO_START,
        random='always',
        least_steps=1,
    ),
    'square': Method(
        f'Square Attack: --steps queries without gradients, by default {QUERIES:,}',
        lambda s: Square(s.ball, s.steps),
        ignores=_NO_START,
        random='always',
        least_steps=1,
        default_steps=QUERIES,
    ),
}


def make_attack(
    name: str,
    ball: Ball,
    *,
    steps: int,
    step_size: float,
    num_classes: int,
    restarts: int = 1,
    random_start: bool = True,
) -> Attack:
    """The attack of that name.

    Args:
        name: one of METHODS.
        ball: the threat model.
        steps: number of gradients or queries.
        step_size: in pixel units.
        num_classes: for the targeted methods.
        restarts: how often it is run; an image is robust only if it survives all.
        random_start: whether the first step is from a random point of the ball.

    Raises:
        BadInput: unknown name.
        UnsupportedBall: a ball that the attack does not support.
        UserError: restarts of an attack without randomness, which would all be alike, or fewer
            steps than the method needs.
    """
    method = METHODS[checked_choice('method', name, METHODS)]
    if steps < method.least_steps:
        raise UserError(
            f'expected --steps of at least {method.least_steps} for --method={name}; found {steps}.'
        )
    attack = method.make(Settings(ball, steps, step_size, num_classes, random_start))
    randomized = method.random == 'always' or (random_start and method.random != 'never')
    return restarted(attack, restarts, randomized=randomized)


def most_targets(num_classes: int) -> int:
    """How many of a network's wrong classes attacks try: all, but at most MOST_TARGETS."""
    return min(num_classes - 1, MOST_TARGETS)


def diversified(ball: Ball, steps: int, random_start: bool = True) -> ODI:
    """Auto-PGD on the margin from an output-diversified start.

    Such starts are on the border of the ball, and short fixed steps would not lead across it.

    Args:
        ball: the threat model.
        steps: gradients of Auto-PGD.
        random_start: whether diversification begins at a random point.
    """
    return ODI(APGD(ball, steps, Margin(), random_start))


def searched(ball: Ball, steps: int) -> Chained:
    """Auto-PGD on the margin from where a short random search leads.

    On MNIST's A_best, 93.4% of every tenth test image survive 20 restarts of this with 50 steps;
    93.3% survive the whole standard cascade.

    Args:
        ball: the threat model.
        steps: gradients of Auto-PGD.
    """
    return Chained(Square(ball, SEARCH_QUERIES), APGD(ball, steps, Margin()))


def restarted(attack: Attack, restarts: int, *, randomized: bool) -> Attack:
    """The attack, run as often as asked.

    Raises:
        UserError: restarts of an attack without randomness, which would all be alike.
    """
    if restarts == 1:
        return attack
    if not randomized:
        raise UserError(
            f'expected --restarts=1 for an attack without randomness; found {restarts}: all of '
            'them would be alike. Choose --random_start, an attack that has a random start '
            '(fgsm_rs instead of fgsm), or drop --restarts.'
        )
    return Restarts(attack, restarts)
