"""Cascades by name: which attacks they run, in which order, and how often."""

from collections.abc import Callable, Sequence

from common.arguments import checked_choice
from common.attacks import APGD, FAB, PGD, Adam, Ascent, MultiTargeted, Square
from common.attacks.by_name import QUERIES, SEARCH_QUERIES, diversified, most_targets, searched
from common.evaluation.verdict import Stage
from common.losses import DLRTo, LogOdds, MarginTo
from common.threat_model import Ball, LinfBall

_MORE_QUERIES = 20_000

PRESETS = {
    'quick': 'a few cheap attacks, about a minute for 100 images on two cores',
    'standard': "more than AutoAttack's standard budget: PGD (from other released networks too), "
    'output-diversified restarts, APGD, APGD-T and FAB-T on the 9 likeliest wrong classes, Square '
    'with 5,000 queries',
    'leaderboard': 'the same with many more restarts, MultiTargeted, Auto-PGD from where Square '
    'leads, and 20,000 queries',
}


def preset(
    name: str,
    ball: Ball,
    *,
    steps: int,
    step_size: float,
    num_classes: int,
    others: Sequence[str] = (),
) -> tuple[Stage, ...]:
    """The stages of a cascade; attacks that break most for their cost come first.

    Each cascade begins with plain PGD, so that no more images survive it than PGD alone. Adam, FAB
    and Square, which know the l-inf ball only, are left out in other balls.

    Args:
        name: one of PRESETS.
        ball: the threat model.
        steps: steps of plain PGD.
        step_size: size of its steps, in pixel units.
        num_classes: number of classes, at least 2.
        others: names of networks whose gradients plain PGD follows as well, except in 'quick'.

    Raises:
        BadInput: unknown name.
    """
    makers: dict[str, Callable[..., tuple[Stage, ...]]] = {
        'quick': _quick,
        'standard': _standard,
        'leaderboard': _leaderboard,
    }
    checked_choice('preset', name, makers)
    pgd = PGD(ball, steps, step_size)
    first = (Stage('pgd', pgd), Stage('natural', PGD(ball, 0, step_size, random_start=False)))
    black_box = tuple(
        Stage(f'pgd, from {other}', pgd, source=other) for other in others if name != 'quick'
    )
    return first + black_box + makers[name](ball, most_targets(num_classes))


def _in_linf(ball: Ball, *stages: Callable[[], Stage]) -> tuple[Stage, ...]:
    """Stages whose attacks know the l-inf ball only; in other balls cascades do without them."""
    return tuple(stage() for stage in stages) if isinstance(ball, LinfBall) else ()


def _square(ball: Ball, queries: int) -> Callable[[], Stage]:
    return lambda: Stage(f'square-{queries}', Square(ball, queries), queries=queries)


def _towards(wrong: int) -> DLRTo | MarginTo:
    """The loss that leads towards one of the wrong classes; DLR's ratio needs three of them."""
    return DLRTo() if wrong >= 3 else MarginTo()


def _quick(ball: Ball, wrong: int) -> tuple[Stage, ...]:
    return (
        Stage('odi', diversified(ball, 40), restarts=3),
        Stage('apgd', APGD(ball, 40, LogOdds())),
        Stage('apgd_t', MultiTargeted(APGD(ball, 40, _towards(wrong)), min(3, wrong))),
        *_in_linf(ball, _square(ball, 300)),
    )


def _standard(ball: Ball, wrong: int) -> tuple[Stage, ...]:
    towards = APGD(ball, 100, _towards(wrong))
    others = (
        ()
        if wrong == 1
        else (Stage(f'apgd_t, classes 2 to {wrong}', MultiTargeted(towards, wrong - 1, first=1)),)
    )
    return (
        Stage('odi', diversified(ball, 50), restarts=5),
        # AutoAttack's cross-entropy, without its rounding where p_y is near 1.
        Stage('apgd', APGD(ball, 100, LogOdds())),
        # The likeliest wrong class first: it breaks most of the images that break at all.
        Stage('apgd_t, class 1', MultiTargeted(towards, 1)),
        *others,
        *_in_linf(
            ball,
            lambda: Stage('fab_t', MultiTargeted(FAB(ball, 100), wrong), queries=100 * wrong),
            _square(ball, QUERIES),
        ),
    )


def _leaderboard(ball: Ball, wrong: int) -> tuple[Stage, ...]:
    def multi_targeted() -> Stage:
        adam = Ascent(ball, 100, ball.epsilon / 3, Adam(), MarginTo(), decays=(0.5, 0.75))
        return Stage('multi_targeted', MultiTargeted(adam, wrong), restarts=10)

    def search() -> Stage:
        attack = searched(ball, 100)
        return Stage('square, then apgd', attack, restarts=20, queries=SEARCH_QUERIES)

    return (
        *_standard(ball, wrong),
        Stage('odi-100', diversified(ball, 100), restarts=50),
        Stage('pgd-100', PGD(ball, 100, ball.epsilon / 10, LogOdds()), restarts=50),
        *_in_linf(ball, multi_targeted, search, _square(ball, _MORE_QUERIES)),
    )
