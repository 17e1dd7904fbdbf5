"""The attacks of the paper's tables by name."""

import sys

from common.attacks import (
    APGD,
    FAB,
    ODI,
    PGD,
    Adam,
    Ascent,
    Attack,
    Chained,
    MultiTargeted,
    RandomTarget,
    Restarts,
    Square,
    TargetedEach,
    fgsm,
)
from common.errors import UserError
from common.losses import DLR, CrossEntropy, CWMargin, DLRTo, LogOdds, Margin, MarginTo
from common.threat_model import LinfBall

CW_PLUS_KAPPA = 50.0
QUERIES = 5000
"""Of the Square Attack, as its authors take them."""

SEARCH_QUERIES = 300
"""Of the Square Attack where gradients go on from it."""

_BYTE_RANGE = 255  # of pixels whose unit is a grey level

METHODS = {
    'pgd': 'PGD on the cross-entropy',
    'fgsm': 'one step of size epsilon from the image itself',
    'fgsm_odds': 'fgsm with exact gradients: cross-entropy loses theirs where a network is sure',
    'fgsm_rs': 'one step of size epsilon from a random point of the ball',
    'targeted': "PGD towards each wrong class in turn (the table's row)",
    'targeted_random': 'PGD towards one wrong class, drawn for each image',
    'cw': "PGD on Carlini and Wagner's margin, kappa = 0",
    'cw+': f'the same with kappa = {CW_PLUS_KAPPA:g}',
    'momentum': 'MI-FGSM: signs of a running sum of gradients; keeps the best point',
    'adam': "Adam's steps on the margin: epsilon / 3, a tenth after half and again after three "
    'quarters of them',
    'multi_targeted': 'PGD on the margin towards each wrong class in turn',
    'odi': 'Auto-PGD on the margin from output-diversified starts',
    'apgd': 'Auto-PGD on the log odds, cross-entropy without its rounding',
    'apgd_dlr': 'Auto-PGD on the DLR loss',
    'apgd_t': 'Auto-PGD on the targeted DLR loss, towards each wrong class in turn',
    'fab_t': 'the fast adaptive boundary attack, towards each wrong class in turn',
    'square_apgd': f'Auto-PGD on the margin from where {SEARCH_QUERIES} queries of Square lead',
    'square': f'Square Attack: --steps queries without gradients, by default {QUERIES:,}',
}

ONE_STEP = ('fgsm', 'fgsm_odds', 'fgsm_rs')
"""Methods whose number and size of steps are fixed."""

WITHOUT_STEP_SIZE = ('adam', 'odi', 'apgd', 'apgd_dlr', 'apgd_t', 'fab_t', 'square_apgd', 'square')
"""Methods that choose the size of their steps themselves."""

IGNORED = {
    'natural': ('steps', 'step_size', 'random_start', 'restarts', 'source'),
    **{method: ('steps', 'step_size', 'random_start') for method in ONE_STEP},
    **{method: ('step_size',) for method in WITHOUT_STEP_SIZE},
    **{method: ('step_size', 'random_start') for method in ('fab_t', 'square_apgd', 'square')},
}
"""Method -> flags that it has no use for."""

_AT_LEAST_ONE_STEP = (*WITHOUT_STEP_SIZE, 'momentum')


def make_attack(
    method: str,
    ball: LinfBall,
    *,
    steps: int,
    step_size: float,
    num_classes: int,
    restarts: int = 1,
    random_start: bool = True,
) -> Attack:
    """The attack of that name.

    Args:
        method: one of METHODS.
        ball: the threat model.
        steps: PGD steps; the one-step methods have their own.
        step_size: in pixel units; likewise.
        num_classes: for the targeted methods.
        restarts: how often it is run; an example is robust only if it survives all.
        random_start: whether PGD starts from a random point.

    Raises:
        ValueError: unknown method.
        UserError: restarts of an attack without randomness, which would all be alike, or no steps
            of a method that has to make one.
    """
    if method not in METHODS:
        raise ValueError(f'unknown method {method!r}; expected one of: {", ".join(METHODS)}')
    if method in _AT_LEAST_ONE_STEP and steps < 1:
        raise UserError(f'expected --steps of at least 1 for --method={method}; found {steps}.')
    randomized = method in ('fgsm_rs', 'targeted_random', 'odi', 'square_apgd', 'square') or (
        random_start and method not in (*ONE_STEP, 'fab_t')
    )
    wrong = num_classes - 1

    def pgd(loss) -> PGD:
        return PGD(ball, steps, step_size, loss, random_start)

    def apgd(loss) -> APGD:
        return APGD(ball, steps, loss, random_start)

    makers = {
        'pgd': lambda: pgd(CrossEntropy()),
        'fgsm': lambda: fgsm(ball),
        'fgsm_odds': lambda: fgsm(ball, LogOdds()),
        'fgsm_rs': lambda: fgsm(ball, random_start=True),
        'targeted': lambda: TargetedEach(pgd(CrossEntropy(targeted=True)), num_classes),
        'targeted_random': lambda: RandomTarget(pgd(CrossEntropy(targeted=True)), num_classes),
        'cw': lambda: pgd(CWMargin()),
        'cw+': lambda: pgd(CWMargin(kappa=CW_PLUS_KAPPA)),
        'momentum': lambda: Ascent(
            ball, steps, step_size, loss=LogOdds(), random_start=random_start
        ),
        'adam': lambda: Ascent(
            ball, steps, ball.epsilon / 3, Adam(), Margin(), random_start, decays=(0.5, 0.75)
        ),
        'multi_targeted': lambda: MultiTargeted(pgd(MarginTo()), wrong),
        'odi': lambda: diversified(ball, steps, random_start),
        'apgd': lambda: apgd(LogOdds()),
        'apgd_dlr': lambda: apgd(DLR()),
        'apgd_t': lambda: MultiTargeted(apgd(DLRTo()), wrong),
        'fab_t': lambda: MultiTargeted(FAB(ball, steps), wrong),
        'square_apgd': lambda: searched(ball, steps),
        'square': lambda: Square(ball, steps),
    }
    return restarted(makers[method](), restarts, randomized=randomized)


def diversified(ball: LinfBall, steps: int, random_start: bool = True) -> ODI:
    """Auto-PGD on the margin from an output-diversified start.

    Such starts lie at the ball's ends, from where short fixed steps would not lead across.

    Args:
        ball: the threat model.
        steps: of Auto-PGD.
        random_start: whether diversification begins at a random point.
    """
    return ODI(APGD(ball, steps, Margin(), random_start))


def searched(ball: LinfBall, steps: int) -> Chained:
    """Auto-PGD on the margin from where a short random search leads.

    On MNIST's A_best 20 restarts of this with 50 steps leave 93.4% of every tenth test image, where
    the whole standard cascade leaves 93.3%.

    Args:
        ball: the threat model.
        steps: of Auto-PGD.
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
