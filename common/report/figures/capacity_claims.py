"""What figure 3 finds of each claim of the paper's section 4, and whether it holds.

A claim is judged by 95% intervals, label leaking by pairs of images; its sentence ends with the
verdict. Collapsed networks, which take all images for one class, are no evidence of anything but
that their training failed.
"""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from common.evaluation.accuracy import Outcome

ADVERSARIES = {'none': 'natural', 'fgsm': 'FGSM', 'pgd': 'PGD'}
"""Name of --adversary -> how the paper's figure calls it, from the weakest to the strongest."""

NATURAL, FGSM, EXACT, PGD = JUDGED = ('natural', 'FGSM', 'FGSM, exact gradients', 'PGD')
"""What networks are judged by. The cross-entropy's FGSM loses gradients of very sure networks."""

_WORTH_A_WORD = 0.01  # difference between the two kinds of FGSM
_LOSS_TOLERANCE = 0.01  # relative; smaller differences between final losses are none
_SIGNIFICANT = 0.05


@dataclasses.dataclass(frozen=True)
class Trained:
    """One network and its numbers.

    Attributes:
        width: its name.
        adversary: of its training, one of ADVERSARIES.
        outcomes: for each of JUDGED, on the same images in the same order.
        training_loss: mean cross-entropy on training images under the training's adversary.
        reference: by which the network is loaded.
    """

    width: str
    adversary: str
    outcomes: dict[str, Outcome]
    training_loss: float
    reference: str = ''

    @property
    def words(self) -> str:
        """The network by its training."""
        return f'{ADVERSARIES[self.adversary]} training, width {self.width}'

    @property
    def collapsed(self) -> bool:
        """Whether it takes all natural images for one class, which is not that of all of them."""
        natural = self.outcomes[NATURAL]
        return bool(
            np.all(natural.predictions == natural.predictions[0]) and not np.all(natural.correct)
        )

    def measured(self, judged: str) -> 'Measured':
        """Its accuracy."""
        return Measured(self.outcomes[judged].accuracy, *self.outcomes[judged].interval)


@dataclasses.dataclass(frozen=True)
class Transferred:
    """What PGD examples of one network do to another one.

    Attributes:
        source: the network whose gradients were followed.
        target: the network judged.
        fooled: share of the images that the target classifies correctly when they are natural.
        n: number of such images.
        cosine: mean, between the two networks' input gradients.
    """

    source: Trained
    target: Trained
    fooled: 'Measured'
    n: int
    cosine: 'Measured'

    @property
    def tells(self) -> bool:
        """Whether neither network collapsed."""
        return not (self.source.collapsed or self.target.collapsed)


class Measured(NamedTuple):
    """A number with the ends of its 95% interval."""

    value: float
    low: float
    high: float

    def above(self, other: 'Measured') -> bool:
        """Whether it is greater, and the intervals do not meet."""
        return self.low > other.high


@dataclasses.dataclass(frozen=True)
class Findings:
    """All that figure 3 measured.

    Attributes:
        widths: names, from the narrowest.
        epsilon: radius of training and judgement, in pixel units.
        trained: a network for each adversary and width.
        transferred: examples of some of them on the others.
        longer: the widest network, trained naturally for longer; None for no such training.
        times: how many times longer.
    """

    widths: Sequence[str]
    epsilon: float
    trained: Sequence[Trained]
    transferred: Sequence[Transferred] = ()
    longer: Trained | None = None
    times: int = 1

    @property
    def everyone(self) -> list[Trained]:
        """All networks."""
        return [*self.trained, *([self.longer] if self.longer else [])]

    def of(self, adversary: str) -> list[Trained]:
        """The networks trained against that adversary, from the narrowest."""
        return sorted(
            (t for t in self.trained if t.adversary == adversary),
            key=lambda t: self.widths.index(t.width),
        )


_Pairs = list[tuple[Transferred, Transferred]]


def all_claims(found: Findings) -> list[str]:
    """Each claim, with the numbers for or against it; those of capacity where widths differ."""
    natural, fgsm, pgd = map(found.of, ADVERSARIES)
    several = len(found.widths) > 1
    return [
        *([capacity_alone(natural)] if several else []),
        *([longer_training(natural[-1], found.longer, found.times)] if found.longer else []),
        fgsm_training(natural, fgsm, found.epsilon),
        label_leaking(fgsm, found.epsilon),
        *([weak_models(natural, pgd), saddle_point(fgsm, pgd)] if several else []),
        *transfer_by_capacity(found.transferred, found.widths),
        *transfer_by_adversary(found.transferred),
        *two_kinds_of_fgsm(found.everyone),
        *collapsed_networks(found.everyone),
    ]


def capacity_alone(natural: Sequence[Trained]) -> str:
    """Whether accuracy under one step rises with the width of naturally trained networks."""
    kept = [t for t in natural if not t.collapsed]
    widths = [t.width for t in kept]
    return (
        'Capacity alone helps, against one-step attacks (paper). Measured with natural training at '
        f'{_widths(widths)}: accuracy under FGSM with exact gradients is {_row(kept, EXACT)}, '
        f'under PGD {_row(kept, PGD)}.{_plain((f"at width {t.width}", t) for t in kept)} '
        f'Verdict: {_rising(widths, [t.measured(EXACT) for t in kept])}.'
    )


def longer_training(usual: Trained, longer: Trained, times: int) -> str:
    """Whether the same network, trained naturally for longer, keeps more under attack.

    Args:
        usual: trained for as long as accuracy needs.
        longer: for longer.
        times: how many times longer.
    """

    def change(judged: str) -> str:
        before, after = (t.outcomes[judged].accuracy for t in (usual, longer))
        return f'{before:.1%} becomes {after:.1%}'

    helped = [
        name
        for name, judged in (('FGSM', EXACT), ('PGD', PGD))
        if longer.measured(judged).above(usual.measured(judged))
    ]
    verdict = (
        'cannot be judged, for a network collapsed'
        if usual.collapsed or longer.collapsed
        else 'holds'
        if len(helped) == 2
        else f'holds in part, under {helped[0]}'
        if helped
        else 'does not hold'
    )
    return (
        'Training for much longer than natural accuracy needs significantly raises adversarial '
        f'accuracy (paper). Measured at width {usual.width}, {times} times longer: natural '
        f'accuracy {change(NATURAL)}, under FGSM with exact gradients {change(EXACT)}, under PGD '
        f'{change(PGD)}.{_plain((("before", usual), ("after", longer)))} Verdict: {verdict}.'
    )


def fgsm_training(natural: Sequence[Trained], fgsm: Sequence[Trained], epsilon: float) -> str:
    """Whether FGSM training keeps more under one step and under PGD than natural training.

    Args:
        natural: networks trained naturally.
        fgsm: networks of the same widths, in the same order.
        epsilon: radius, in pixel units.
    """
    pairs = [(a, b) for a, b in zip(natural, fgsm, strict=True) if not (a.collapsed or b.collapsed)]

    def change(before: Trained, after: Trained, judged: str) -> str:
        return f'{before.outcomes[judged].accuracy:.1%} to {after.outcomes[judged].accuracy:.1%}'

    def verdict(judged: str) -> str:
        helped = [b.width for a, b in pairs if b.measured(judged).above(a.measured(judged))]
        return _at(helped, [b.width for _, b in pairs])

    shown = '; '.join(
        f'width {b.width}, under FGSM with exact gradients {change(a, b, EXACT)}, '
        f'under PGD {change(a, b, PGD)}'
        for a, b in pairs
    )
    labelled = [
        (f'after {ADVERSARIES[t.adversary]} training at width {t.width}', t)
        for pair in pairs
        for t in pair
    ]
    return (
        'FGSM training helps against one-step attacks, and against iterative ones where epsilon is '
        'small, which 8 of 255 grey levels of photographs are not (paper). Measured, from natural '
        f'to FGSM training: {shown or "nothing, for all collapsed"}.{_plain(labelled)} '
        f'Verdict at epsilon {epsilon:g}: against one-step attacks it {verdict(EXACT)}; against '
        f'PGD it {verdict(PGD)}.'
    )


def label_leaking(fgsm: Sequence[Trained], epsilon: float) -> str:
    """Whether networks classify the FGSM examples they were trained on better than the images.

    Args:
        fgsm: networks trained against FGSM, from the narrowest.
        epsilon: radius, in pixel units.
    """
    kept = [t for t in fgsm if not t.collapsed]
    widths, leaking = [t.width for t in kept], [t.width for t in kept if leaks(t)]
    verdict = _at(leaking, widths)
    if leaking:
        narrower = [w for w in widths[: widths.index(leaking[-1])] if w not in leaking]
        verdict += f', though not at the narrower {_widths(narrower)}' if narrower else ''
    return (
        'Where epsilon is not small, networks overfit to FGSM (label leaking: a higher accuracy on '
        'FGSM examples than on natural images), which suggests insufficient capacity (paper). '
        'Measured with FGSM training, by the FGSM of the training: '
        f'{"; ".join(map(_leak, kept)) or "nothing, for all collapsed"}. Verdict at epsilon '
        f'{epsilon:g}: {verdict}.'
    )


def leaks(trained: Trained) -> bool:
    """Whether more images are classified correctly only under FGSM than only when natural.

    By an exact sign test of the images on which the two differ, two-sided.
    """
    gained, lost = _discordant(trained)
    return gained > lost and _sign_test(gained, lost) < _SIGNIFICANT


def weak_models(natural: Sequence[Trained], pgd: Sequence[Trained]) -> str:
    """Whether it is the narrow networks that fail under PGD training and not under natural.

    Failed has a network that collapsed, or that is right on less than half as many natural images
    as the one trained naturally.

    Args:
        natural: networks trained naturally, from the narrowest.
        pgd: networks of the same widths, in the same order.
    """
    pairs = [(a, b) for a, b in zip(natural, pgd, strict=True) if not a.collapsed]
    failed = [b.width for a, b in pairs if _failed(a, b)]
    shown = failed or [b.width for _, b in pairs[:1]]
    numbers = '; '.join(
        f'width {b.width}{" (collapsed)" if b.collapsed else ""} reaches '
        f'{b.outcomes[NATURAL].accuracy:.1%} natural and {b.outcomes[PGD].accuracy:.1%} under PGD, '
        f'trained naturally {a.outcomes[NATURAL].accuracy:.1%}'
        for a, b in pairs
        if b.width in shown
    )
    which = f'{_widths(failed)} failed' if failed else 'no width failed'
    return (
        'Weak models may fail to converge when trained against PGD, even where natural training '
        f'converges (paper). Measured: {which}{": " if numbers else ""}{numbers}. '
        f'Verdict: {_narrowest(failed, [b.width for _, b in pairs])}.'
    )


def saddle_point(fgsm: Sequence[Trained], pgd: Sequence[Trained]) -> str:
    """Whether final training losses fall with the width, for each adversary.

    Args:
        fgsm: networks trained against FGSM, from the narrowest.
        pgd: networks of the same widths, trained against PGD.
    """

    def losses(networks: Sequence[Trained]) -> str:
        return ', '.join(
            f'{t.training_loss:.3g}{" (collapsed)" if t.collapsed else ""}' for t in networks
        )

    def verdict(networks: Sequence[Trained]) -> str:
        return _rising([t.width for t in networks], [_lowness(t.training_loss) for t in networks])

    return (
        'The value of the saddle point falls with capacity, for a fixed adversary (paper). '
        f'Measured, final losses at {_widths([t.width for t in pgd])}: of FGSM training '
        f'{losses(fgsm)}, of PGD training {losses(pgd)}. Differences below {_LOSS_TOLERANCE:.0%} '
        f'count as none. Verdict: with FGSM training it {verdict(fgsm)}; with PGD training it '
        f'{verdict(pgd)}.'
    )


def transfer_by_capacity(transferred: Sequence[Transferred], widths: Sequence[str]) -> list[str]:
    """Whether wider targets and sources transfer less; no sentence where there are no pairs.

    Args:
        transferred: all that was measured.
        widths: from the narrowest.
    """
    kinds: dict[str, _Pairs] = {}
    for a, b in _pairs(transferred, lambda t: t.target.width, widths):
        kinds.setdefault(f'for targets of {ADVERSARIES[a.target.adversary]} training', []).append(
            (a, b)
        )
    for a, b in _pairs(transferred, lambda t: t.source.width, widths):
        kinds.setdefault('for sources', []).append((a, b))
    return _of_pairs(
        'More capacity decreases transferability, and gradients of source and target correlate '
        'less (paper)',
        'width',
        'the wider network',
        kinds,
    )


def transfer_by_adversary(transferred: Sequence[Transferred]) -> list[str]:
    """Whether a stronger adversary in training makes targets and sources transfer less."""
    order = list(ADVERSARIES)
    kinds: dict[str, _Pairs] = {}
    for a, b in _pairs(transferred, lambda t: t.target.adversary, order):
        kinds.setdefault(
            f'for targets of {ADVERSARIES[b.target.adversary]} instead of '
            f'{ADVERSARIES[a.target.adversary]} training',
            [],
        ).append((a, b))
    for a, b in _pairs(transferred, lambda t: t.source.adversary, order):
        kinds.setdefault('for sources', []).append((a, b))
    # Of gradients the paper says so of capacity alone.
    return _of_pairs(
        'Stronger adversaries in training decrease transferability (paper), and gradients of '
        'source and target correlate less',
        'training adversary',
        'the stronger adversary',
        kinds,
    )


def two_kinds_of_fgsm(trained: Sequence[Trained]) -> list[str]:
    """Why FGSM is there twice; no sentence where both say the same."""
    apart = [_overstated(t) for t in trained if abs(_overstated(t)) > _WORTH_A_WORD]
    return (
        [
            f'Plain FGSM and FGSM with exact gradients differ by more than '
            f'{100 * _WORTH_A_WORD:g} point on {len(apart)} of {len(trained)} networks, by up to '
            f'{100 * max(apart, key=abs):+.1f} points: where a network is so sure that its '
            'probability rounds to 1 in float32, the gradient of the cross-entropy loses the part '
            'of the true class. So claims are judged with exact gradients.'
        ]
        if apart
        else []
    )


def collapsed_networks(trained: Iterable[Trained]) -> list[str]:
    """Which networks collapsed; no sentence where none did."""
    names = [t.words for t in trained if t.collapsed]
    return (
        [
            f'Collapsed, that is, one class for all images: {"; ".join(names)}. They have no '
            'gradients to speak of, so that nothing is concluded from what they make of examples.'
        ]
        if names
        else []
    )


# What several claims have in common.


def _row(networks: Sequence[Trained], judged: str) -> str:
    return ', '.join(f'{t.outcomes[judged].accuracy:.1%}' for t in networks) or 'unknown'


def _widths(names: Sequence[str]) -> str:
    """'width 1', 'widths 1 and 2', 'widths 1, 2 and 4'."""
    if not names:
        return 'no width'
    if len(names) == 1:
        return f'width {names[0]}'
    return f'widths {", ".join(names[:-1])} and {names[-1]}'


def _plain(labelled: Iterable[tuple[str, Trained]]) -> str:
    """A sentence on FGSM on the cross-entropy, where it says something else; else nothing."""
    shown = [
        f'{t.outcomes[FGSM].accuracy:.1%} {words}'
        for words, t in labelled
        if abs(_overstated(t)) > _WORTH_A_WORD
    ]
    return f' By plain FGSM it would be {", ".join(shown)}.' if shown else ''


def _overstated(trained: Trained) -> float:
    """By how much accuracy under plain FGSM exceeds the one with exact gradients."""
    return trained.outcomes[FGSM].accuracy - trained.outcomes[EXACT].accuracy


def _at(held: Sequence[str], widths: Sequence[str]) -> str:
    """The verdict on a claim that holds at some of the widths."""
    if not widths:
        return 'cannot be judged, for all networks collapsed'
    if not held:
        return 'does not hold'
    return 'holds' if len(held) == len(widths) else f'holds in part, at {_widths(held)}'


def _narrowest(failed: Sequence[str], widths: Sequence[str]) -> str:
    """The verdict on failures that should be those of the narrowest widths, and of no others."""
    if not widths:
        return 'cannot be judged, for natural training failed too'
    if not failed:
        return 'does not hold'
    if len(failed) == len(widths):
        return 'holds in part, for not only the narrow ones failed'
    narrow = [a for a, b in zip(failed, widths, strict=False) if a == b]
    if len(narrow) == len(failed):
        return 'holds'
    others = f'{_widths(failed[len(narrow) :])} failed though narrower ones did not'
    return (
        f'holds in part, at {_widths(narrow)}; {others}'
        if narrow
        else (f'does not hold, for {others}')
    )


def _rising(widths: Sequence[str], values: Sequence[Measured]) -> str:
    """The verdict on a claim that values rise with the width."""
    if len(values) < 2:
        return 'cannot be judged, for less than two networks are left'
    runs = _rises(values)
    if not runs:
        return 'does not hold'
    if runs == [(0, len(values) - 1)]:
        return 'holds'
    return 'holds in part, ' + ' and '.join(
        f'from width {widths[first]} ' + ('on' if last == len(values) - 1 else f'to {widths[last]}')
        for first, last in runs
    )


def _rises(values: Sequence[Measured]) -> list[tuple[int, int]]:
    """First and last positions of the stretches without a fall whose end is above the beginning.

    Where values stay what they are before the first rise or after the last one, the stretch is
    shorter.
    """
    falls = [i for i in range(1, len(values)) if values[i - 1].above(values[i])]
    runs = []
    for start, end in itertools.pairwise([0, *falls, len(values)]):
        first, last = start, end - 1
        while (
            first < last
            and not values[first + 1].above(values[first])
            and values[last].above(values[first + 1])
        ):
            first += 1
        while (
            first < last
            and not values[last].above(values[last - 1])
            and values[last - 1].above(values[first])
        ):
            last -= 1
        if values[last].above(values[first]):
            runs.append((first, last))
    return runs


def _lowness(loss: float) -> Measured:
    """The logarithm of 1 / loss, with differences below the tolerance inside its ends."""
    value, margin = -math.log(max(loss, 1e-30)), math.log1p(_LOSS_TOLERANCE) / 2
    return Measured(value, value - margin, value + margin)


def _failed(natural: Trained, pgd: Trained) -> bool:
    return pgd.collapsed or pgd.measured(NATURAL).high < natural.outcomes[NATURAL].accuracy / 2


def _leak(trained: Trained) -> str:
    plain, exact, natural = (trained.outcomes[j].accuracy for j in (FGSM, EXACT, NATURAL))
    gained, lost = _discordant(trained)
    also = (
        ''
        if abs(_overstated(trained)) <= _WORTH_A_WORD
        else (f'; with exact gradients {100 * (exact - natural):+.2f} points')
    )
    return (
        f'width {trained.width}, {100 * (plain - natural):+.2f} points ({gained:,} images '
        f'right only under FGSM, {lost:,} only when natural{also})'
    )


def _discordant(trained: Trained) -> tuple[int, int]:
    """How many images are classified correctly only under FGSM, and only when natural."""
    natural, attacked = (trained.outcomes[judged].correct for judged in (NATURAL, FGSM))
    return int(np.sum(attacked & ~natural)), int(np.sum(natural & ~attacked))


def _sign_test(a: int, b: int) -> float:
    """Two-sided probability of so uneven a split, or a more uneven one, by fair coins."""
    n, term, total = a + b, 1, 0
    for k in range(min(a, b) + 1):
        total += term  # n over k
        term = term * (n - k) // (k + 1)
    return min(1.0, 2 * total / 2**n)


def _pairs(
    transferred: Sequence[Transferred], key: Callable[[Transferred], str], order: Sequence[str]
) -> _Pairs:
    """Pairs that are alike but for the key, the one that comes earlier in `order` first."""

    def traits(t: Transferred) -> tuple[str, ...]:
        return t.source.width, t.source.adversary, t.target.width, t.target.adversary

    told = [t for t in transferred if t.tells]
    return [
        (a, b)
        for a, b in itertools.permutations(told, 2)
        if order.index(key(a)) < order.index(key(b))
        and sum(x != y for x, y in zip(traits(a), traits(b), strict=True)) == 1
    ]


def _of_pairs(claim: str, varied: str, latter: str, kinds: dict[str, _Pairs]) -> list[str]:
    """One sentence on transfer and on gradients, from pairs of several kinds."""
    if not kinds:
        return []
    fooled = {kind: _count(pairs, lambda t: t.fooled) for kind, pairs in kinds.items()}
    cosine = {kind: _count(pairs, lambda t: t.cosine) for kind, pairs in kinds.items()}
    less, more, n = (sum(c) for c in zip(*fooled.values(), strict=True))
    falls, rises, _ = (sum(c) for c in zip(*cosine.values(), strict=True))
    number = '1 pair that differs' if n == 1 else f'{n} pairs that differ'
    return [
        f'{claim}. Measured on {number} in the {varied} of the target or of the source alone: with '
        f'{latter}, fewer images are '
        f'fooled in {less}, more in {more}; the cosine is lower in {falls}, higher in {rises}; the '
        f'others are within the intervals. Verdict: on transfer it '
        f'{_by_kind(fooled)}; on gradients it {_by_kind(cosine)}.'
    ]


def _count(pairs: _Pairs, what: Callable[[Transferred], Measured]) -> tuple[int, int, int]:
    """In how many pairs the second is lower, in how many it is higher, and how many there are."""
    return (
        sum(what(a).above(what(b)) for a, b in pairs),
        sum(what(b).above(what(a)) for a, b in pairs),
        len(pairs),
    )


def _by_kind(counts: dict[str, tuple[int, int, int]]) -> str:
    """The verdict: without a pair against it and with most pairs for it, a claim holds."""
    less, more, n = (sum(c) for c in zip(*counts.values(), strict=True))
    if not more and 2 * less > n:
        return 'holds'
    where = [
        f'{kind} ({lower} for, {higher} against)'
        for kind, (lower, higher, _) in counts.items()
        if lower > higher
    ]
    return f'holds in part, {", ".join(where)}' if where else 'does not hold'
