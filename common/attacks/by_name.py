"""The attacks of the command line and of the paper's tables, by name: one row of METHODS each."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, Literal

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
from common.losses import (
    DLR,
    CrossEntropy,
    CWMargin,
    DLRTo,
    LogOdds,
    Loss,
    Margin,
    MarginTo,
    make_loss,
)
from common.threat_model import Ball, LinfBall

CW_PLUS_KAPPA = 50.0
QUERIES = 5000
"""Queries of the Square Attack in its authors' experiments."""

SEARCH_QUERIES = 300
"""Queries of the Square Attack where gradients continue from its result."""

_BYTE_RANGE = 255  # of pixels whose unit is a grey level


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
    def wrong(self) -> int:
        """Number of wrong classes."""
        return self.num_classes - 1

    def pgd(self, loss: Loss) -> PGD:
        """PGD on this loss."""
        return PGD(self.ball, self.steps, self.step_size, loss, self.random_start)

    def apgd(self, loss: Loss) -> APGD:
        """Auto-PGD on this loss."""
        return APGD(self.ball, self.steps, loss, self.random_start)

    def ascent(self, **settings: Any) -> Ascent:
        """Ascent with these settings of its own."""
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
        'PGD on the margin towards each wrong class in turn',
        lambda s: MultiTargeted(s.pgd(MarginTo()), s.wrong),
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
        'Auto-PGD on the targeted DLR loss, towards each wrong class in turn',
        lambda s: MultiTargeted(s.apgd(DLRTo()), s.wrong),
        ignores=_ADAPTIVE,
        least_steps=1,
    ),
    'fab_t': Method(
        'the fast adaptive boundary attack, towards each wrong class in turn',
        lambda s: MultiTargeted(FAB(s.ball, s.steps), s.wrong),
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
        ValueError: unknown name, or a ball that the attack does not support.
        UserError: restarts of an attack without randomness, which would all be alike, or fewer
            steps than the method needs.
    """
    if name not in METHODS:
        raise ValueError(f'unknown method {name!r}; expected one of: {", ".join(METHODS)}')
    method = METHODS[name]
    if steps < method.least_steps:
        raise UserError(
            f'expected --steps of at least {method.least_steps} for --method={name}; found {steps}.'
        )
    attack = method.make(Settings(ball, steps, step_size, num_classes, random_start))
    randomized = method.random == 'always' or (random_start and method.random != 'never')
    return restarted(attack, restarts, randomized=randomized)


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


def training_adversary(config: dict[str, Any], lower: float, upper: float) -> PGD | None:
    """The attack that makes training examples, as --adversary and its flags describe it.

    Args:
        config: values of the training's flags.
        lower: least pixel value.
        upper: greatest pixel value.

    Returns:
        None for natural training.
    """
    ball = LinfBall(config['epsilon'], lower, upper)
    loss = make_loss(config['loss'], kappa=config['kappa'])
    if config['adversary'] == 'none':
        return None
    if config['adversary'] in ('fgsm', 'fgsm_rs'):
        return fgsm(ball, loss, random_start=config['adversary'] == 'fgsm_rs')
    return PGD(ball, config['steps'], config['step_size'], loss, config['random_start'])


VALIDATION_ATTACKS = {
    'pgd': "the challenge's PGD",
    'odi': 'as many steps of Auto-PGD on the margin from an output-diversified start, nearer to '
    'the worst case at the same cost',
}


def validation_attack(name: str, pgd: PGD) -> Attack:
    """What held-out images are judged under while a network is trained.

    Args:
        name: one of VALIDATION_ATTACKS.
        pgd: the challenge's, which tells ball and steps.
    """
    return diversified(pgd.ball, pgd.steps) if name == 'odi' else pgd


def checked_ball(
    epsilon: float, lower: float, upper: float, reach: float = float('inf')
) -> LinfBall:
    """The ball, with a warning on standard error where its radius is hardly what was meant.

    Args:
        epsilon: l-inf radius in pixel units, of the flag --epsilon.
        lower: the smallest pixel value.
        upper: the largest pixel value.
        reach: how far all steps of the attack lead, in pixel units.
    """
    half = (upper - lower) / 2
    if epsilon >= half:
        print(
            f'warning: --epsilon={epsilon:g} is at least half of the pixel range '
            f'[{lower:g}, {upper:g}]: one grey image is within reach of every image, so no '
            f'classifier can be robust. Numbers mean something below {half:g}.',
            file=sys.stderr,
        )
    if 0 < epsilon < 1 and upper - lower >= _BYTE_RANGE:
        print(
            f'warning: --epsilon={epsilon:g} is less than one grey level, since pixels are '
            f'{lower:g} to {upper:g} here. If it was meant on the scale from 0 to 1, multiply it '
            f'by {upper - lower:g}: 8/{upper - lower:g} = {8 / (upper - lower):.2g} there is '
            '--epsilon=8.',
            file=sys.stderr,
        )
    if 0 < reach < epsilon * (1 - 1e-6):
        print(
            f'warning: --steps times --step_size is {reach:g}, less than --epsilon={epsilon:g}: '
            'the attack cannot cross the ball, and networks look more robust than they are. '
            'Raise --step_size.',
            file=sys.stderr,
        )
    return LinfBall(epsilon, lower, upper)
