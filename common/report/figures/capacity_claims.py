"""What figure 3 says of each claim of the paper's section 4.

A claim is judged by 95% intervals, label leaking by pairs of images. Collapsed networks, which
predict one class for all images, are no evidence of anything except that their training failed.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np

from common.report.claims import (
    CONTRADICTED,
    NOT_TESTED,
    PARTLY,
    REPRODUCED,
    Case,
    Claim,
    Measured,
    between,
)
from common.report.figures.capacity_findings import (
    ADVERSARIES,
    EXACT,
    FGSM,
    NATURAL,
    NOTABLE,
    PGD,
    Findings,
    Trained,
    Transferred,
)

_WHERE = 'section 4, figure 3'
_LOSS_TOLERANCE = 0.01  # relative; smaller differences between final losses are none
_SIGNIFICANT = 0.05

_Pairs = list[tuple[Transferred, Transferred]]


def all_claims(findings: Findings) -> list[Claim]:
    """Every claim; those about capacity only where widths differ."""
    natural, fgsm, pgd = map(findings.of, ADVERSARIES)
    several = len(findings.widths) > 1
    claims = [capacity_alone(natural)] if several else []
    if findings.longer:
        claims += longer_training(natural[-1], findings.longer, findings.times)
    claims += fgsm_training(natural, fgsm, findings.epsilon, findings.large_epsilon)
    claims.append(label_leaking(fgsm, findings.epsilon, findings.large_epsilon))
    if several:
        claims += [weak_models(natural, pgd), saddle_point('FGSM', fgsm), saddle_point('PGD', pgd)]
    claims += transfer(findings.transferred, 'width', findings.widths)
    return claims + transfer(findings.transferred, 'adversary', list(ADVERSARIES))


def capacity_alone(natural: Sequence[Trained]) -> Claim:
    """Whether accuracy under one step rises with the width of naturally trained networks."""
    kept = [t for t in natural if not t.collapsed]
    rises, judgement = _rising(kept, [t.measured(EXACT) for t in kept])
    return Claim.of(
        'Capacity alone helps against one-step attacks.',
        _WHERE,
        [Case(t.at, t.shown(EXACT), between(*t.measured(EXACT)[1:])) for t in kept],
        _n(kept),
        f'accuracy under {EXACT}, after natural training, {rises}',
        judgement,
    )


def longer_training(usual: Trained, longer: Trained, times: int) -> list[Claim]:
    """Whether a network trained naturally `times` longer keeps more under FGSM and under PGD."""
    sentence = 'Training for much longer than natural accuracy needs raises accuracy under'
    return [
        _raises(f'{sentence} {name}.', [(usual, longer)], judged, f'{times} times longer training')
        for name, judged in (('FGSM', EXACT), ('PGD', PGD))
    ]


def fgsm_training(
    natural: Sequence[Trained], fgsm: Sequence[Trained], epsilon: float, large: bool
) -> list[Claim]:
    """Whether FGSM training keeps more under one step, and under PGD, than natural training.

    Args:
        natural: networks trained naturally.
        fgsm: networks of the same widths, in the same order.
        epsilon: radius, in pixel units.
        large: whether the paper calls that large, where it expects no help against PGD.
    """
    pairs, how = list(zip(natural, fgsm, strict=True)), f'FGSM training at epsilon {epsilon:g}'
    iterative = (
        'Where epsilon is large, FGSM training does not help against iterative attacks.'
        if large
        else 'Where epsilon is small, FGSM training helps against iterative attacks too.'
    )
    return [
        _raises('FGSM training helps against one-step attacks.', pairs, EXACT, how),
        _raises(iterative, pairs, PGD, how, helps=not large),
    ]


def _raises(
    sentence: str,
    pairs: Sequence[tuple[Trained, Trained]],
    judged: str,
    how: str,
    helps: bool = True,
) -> Claim:
    """The claim that the second network of each pair keeps more, or no more, than the first."""
    kept = [(a, b) for a, b in pairs if not (a.collapsed or b.collapsed)]
    cases = []
    for a, b in kept:
        before, after = a.measured(judged), b.measured(judged)
        cases.append(
            Case(
                b.at,
                f'{a.shown(judged)} to {b.shown(judged)}',
                f'{between(*before[1:])}, then {between(*after[1:])}',
                after.above(before) == helps,
            )
        )
    note = f'accuracy under {judged}, from natural training to {how}'
    return Claim.of(sentence, _WHERE, cases, _n([b for _, b in kept]), note)


def label_leaking(fgsm: Sequence[Trained], epsilon: float, large: bool) -> Claim:
    """Whether networks classify the FGSM examples they were trained on better than the images.

    Args:
        fgsm: networks trained against FGSM, from the narrowest.
        epsilon: radius, in pixel units.
        large: whether the paper calls that large. It expects leaks there; where epsilon is small,
            no leak is no evidence.
    """
    kept = [t for t in fgsm if not t.collapsed]
    return Claim.of(
        'Where epsilon is not small, networks overfit to the FGSM of their training: label '
        'leaking, a higher accuracy on FGSM examples than on natural images.',
        _WHERE,
        [Case(t.at, _leak(t), f'p = {_sign_test(*_discordant(t)):.2g}', leaks(t)) for t in kept],
        _n(kept),
        f'change of accuracy from natural images to FGSM at epsilon {epsilon:g}',
        None if large or any(map(leaks, kept)) else NOT_TESTED,
    )


def leaks(trained: Trained) -> bool:
    """Whether more images are classified correctly only under FGSM than only when natural.

    By an exact sign test of the images on which the two differ, two-sided.
    """
    gained, lost = _discordant(trained)
    return gained > lost and _sign_test(gained, lost) < _SIGNIFICANT


def weak_models(natural: Sequence[Trained], pgd: Sequence[Trained]) -> Claim:
    """Whether it is the narrow networks that fail under PGD training and not under natural.

    A network failed if it collapsed, or is right on less than half as many natural images as the
    one of its width that was trained naturally. Both come from the narrowest.
    """
    pairs = [(a, b) for a, b in zip(natural, pgd, strict=True) if not a.collapsed]
    failed = [(a, b) for a, b in pairs if _failed(a, b)]
    cases = [
        Case(
            b.at,
            f'{b.shown(NATURAL)}{b.mark} instead of {a.shown(NATURAL)} after natural training',
            between(*b.measured(NATURAL)[1:]),
        )
        for a, b in failed or pairs[:1]
    ]
    return Claim.of(
        'Weak models may fail to converge when trained against PGD, even where natural training '
        'converges.',
        _WHERE,
        cases,
        _n([b for _, b in pairs]),
        f'{len(failed)} of {len(pairs)} failed, natural accuracy',
        _narrowest([b.width for _, b in failed], [b.width for _, b in pairs]),
    )


def saddle_point(adversary: str, networks: Sequence[Trained]) -> Claim:
    """Whether final training losses fall with the width; networks come from the narrowest."""
    falls, judgement = _rising(networks, [_lowness(t.training_loss) for t in networks], 'falls')
    return Claim.of(
        'The value of the saddle point falls with capacity, for a fixed adversary '
        f'({adversary} training).',
        _WHERE,
        [Case(t.at, f'{t.training_loss:.3g}{t.mark}') for t in networks],
        f'{len(networks)} networks',
        f'final training loss, {falls} (differences below {_LOSS_TOLERANCE:.0%} count as none)',
        judgement,
    )


_MORE = {'width': 'More capacity decreases', 'adversary': 'Stronger training adversaries decrease'}


def transfer(transferred: Sequence[Transferred], trait: str, order: Sequence[str]) -> list[Claim]:
    """Whether wider, or more strongly trained, targets and sources transfer less.

    Args:
        transferred: all that was measured.
        trait: 'width' or 'adversary'.
        order: its values, from the narrowest or weakest.

    Returns:
        A claim on transfer and one on gradients; nothing where there are no pairs to compare.
    """
    kinds: dict[str, _Pairs] = {}
    for side in ('target', 'source'):
        for a, b in _pairs(transferred, side, trait, order):
            trainings = dict.fromkeys(ADVERSARIES[t.target.adversary] for t in (b, a))
            kind = f'targets of {" instead of ".join(trainings)} training'
            kinds.setdefault(kind if side == 'target' else 'sources', []).append((a, b))
    if not kinds:
        return []
    # The paper says so of gradients for capacity alone.
    beyond = ' (the paper: more capacity does)' if trait == 'adversary' else ''
    return [
        _of_pairs(f'{_MORE[trait]} transferability.', 'images fooled', lambda t: t.fooled, kinds),
        _of_pairs(
            f'{_MORE[trait]} the correlation of source and target gradients{beyond}.',
            'cosine of gradients',
            lambda t: t.cosine,
            kinds,
        ),
    ]


def _pairs(
    transferred: Sequence[Transferred], side: str, trait: str, order: Sequence[str]
) -> _Pairs:
    """Pairs that differ in one trait of one side alone, earlier in `order` first."""

    def place(t: Transferred) -> int:
        return order.index(getattr(getattr(t, side), trait))

    def traits(t: Transferred) -> tuple[str, ...]:
        return t.source.width, t.source.adversary, t.target.width, t.target.adversary

    return [
        (a, b)
        for a, b in itertools.permutations([t for t in transferred if t.is_evidence], 2)
        if place(a) < place(b)
        and sum(x != y for x, y in zip(traits(a), traits(b), strict=True)) == 1
    ]


def _of_pairs(
    sentence: str, subject: str, what: Callable[[Transferred], Measured], kinds: dict[str, _Pairs]
) -> Claim:
    """Reproduced: no pair against it and most pairs for it. Partly: some kind is mostly for it."""
    counts = {
        kind: (
            sum(what(a).above(what(b)) for a, b in pairs),
            sum(what(b).above(what(a)) for a, b in pairs),
        )
        for kind, pairs in kinds.items()
    }
    lower, higher = (sum(c) for c in zip(*counts.values(), strict=True))
    n = sum(map(len, kinds.values()))
    judgement = CONTRADICTED
    if not higher and 2 * lower > n:
        judgement = REPRODUCED
    elif any(low > high for low, high in counts.values()):
        judgement = PARTLY
    return Claim.of(
        sentence,
        _WHERE,
        [Case(kind, f'{low} and {high}') for kind, (low, high) in counts.items()],
        f'{n} pair{"" if n == 1 else "s"}',
        f'{subject} lower in {lower} pairs and higher in {higher}; in the others intervals meet',
        judgement,
    )


# What several claims have in common.


def _n(networks: Sequence[Trained]) -> str:
    return f'{networks[0].outcomes[NATURAL].n if networks else 0:,} images'


def _narrowest(failed: Sequence[str], widths: Sequence[str]) -> str:
    """The verdict on failures that should be those of the narrowest widths, and of no others."""
    if not widths:
        return NOT_TESTED
    if not failed or failed[0] != widths[0]:
        return CONTRADICTED
    narrow = list(failed) == list(widths[: len(failed)]) and len(failed) < len(widths)
    return REPRODUCED if narrow else PARTLY


def _rising(
    networks: Sequence[Trained], values: Sequence[Measured], verb: str = 'rises'
) -> tuple[str, str]:
    """Where values rise with the width, in words, and the verdict on the claim that they do."""
    if len(values) < 2:
        return 'fewer than two networks are left', NOT_TESTED
    runs, last = _rises(values), len(values) - 1
    if runs in ([], [(0, last)]):
        return (f'{verb} throughout', REPRODUCED) if runs else (f'{verb} nowhere', CONTRADICTED)
    stretches = [
        f'from width {networks[a].width} ' + ('on' if b == last else f'to {networks[b].width}')
        for a, b in runs
    ]
    return f'{verb} {" and ".join(stretches)}', PARTLY


def _rises(values: Sequence[Measured]) -> list[tuple[int, int]]:
    """First and last positions of the stretches without a fall whose end is above the beginning.

    Stretches are cut to begin right before their first rise and to end with their last one.
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
    plain, exact, natural = (trained.outcomes[judged].accuracy for judged in (FGSM, EXACT, NATURAL))
    gained, lost = _discordant(trained)
    text = (
        f'{100 * (plain - natural):+.2f} points ({gained:,} images right only under FGSM, '
        f'{lost:,} only when natural'
    )
    if abs(trained.overstated) > NOTABLE:
        text += f'; with exact gradients {100 * (exact - natural):+.2f} points'
    return text + ')'


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
