"""What figure 3 says of each claim of the paper's section 4.

A claim is judged by 95% intervals, label leaking by pairs of images. Collapsed networks, which
predict one class for all images, are no evidence of anything except that their training failed.
"""

import itertools
from collections.abc import Sequence
from operator import attrgetter

from common.report.claims import CONTRADICTED, NOT_TESTED, PARTLY, REPRODUCED, Case, Claim
from common.report.figures.capacity_findings import (
    ADVERSARIES,
    EXACT,
    FGSM,
    NATURAL,
    PGD,
    Findings,
    Trained,
    Transferred,
)
from common.statistics import counted, disagreements, sign_test

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
    """Whether accuracy under one step rises with each width of naturally trained networks."""
    cases, kept = [], [t for t in natural if not t.collapsed]
    for narrow, wide in zip([None, *kept], kept, strict=False):
        accuracy = wide.measured(EXACT)
        rises = narrow and accuracy.above(narrow.measured(EXACT))
        cases.append(Case.of(wide.at, accuracy, held=rises))
    return Claim.of(
        'Capacity alone helps against one-step attacks.',
        _WHERE,
        cases,
        _n(natural),
        f'accuracy under {EXACT}, after natural training, beside the next narrower network',
    )


def longer_training(usual: Trained, longer: Trained, times: int) -> list[Claim]:
    """Whether a network trained naturally `times` longer keeps more under FGSM and under PGD."""
    sentence = 'Training for much longer than natural accuracy needs raises accuracy under'
    return [
        _raises(f'{sentence} {name}.', [usual], [longer], judged, f'{times} times longer training')
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
    one_step = 'FGSM training helps against one-step attacks.'
    iterative = (
        'Where epsilon is large, FGSM training does not help against iterative attacks.'
        if large
        else 'Where epsilon is small, FGSM training helps against iterative attacks too.'
    )
    how = f'FGSM training at epsilon {epsilon:g}'
    return [
        _raises(one_step, natural, fgsm, EXACT, how),
        _raises(iterative, natural, fgsm, PGD, how, not large),
    ]


def _raises(
    sentence: str,
    before: Sequence[Trained],
    after: Sequence[Trained],
    judged: str,
    how: str,
    helps: bool = True,
) -> Claim:
    """Whether accuracies rise from `before` to `after`; with not `helps`, whether they do not."""
    cases = []
    for a, b in zip(before, after, strict=True):
        if not a.collapsed and not b.collapsed:
            both = a.measured(judged), b.measured(judged)
            cases.append(Case.of(b.at, *both, held=both[1].above(both[0]) == helps))
    note = f'accuracy under {judged}, after natural training and after {how}'
    return Claim.of(sentence, _WHERE, cases, _n(before), note)


def label_leaking(fgsm: Sequence[Trained], epsilon: float, large: bool) -> Claim:
    """Whether networks classify the FGSM examples they were trained on better than the images.

    An exact sign test, two-sided, of the images on which the two differ decides.

    Args:
        fgsm: networks trained against FGSM, from the narrowest.
        epsilon: radius, in pixel units.
        large: whether the paper calls that large. It expects leaks there; where epsilon is small,
            no leak is no evidence.
    """
    cases = []
    for t in fgsm:
        natural, attacked = t.outcomes[NATURAL].correct, t.outcomes[FGSM].correct
        gained, lost = disagreements(natural, attacked)
        p = sign_test(gained, lost)
        numbers = (
            f'{100 * (gained - lost) / len(natural):+.2f} points ({gained:,} images right only '
            f'under FGSM, {lost:,} only when natural)'
        )
        if not t.collapsed:
            leaks = gained > lost and p < _SIGNIFICANT
            cases.append(Case(t.at, numbers, f'p = {p:.2g}', leaks))
    return Claim.of(
        'Where epsilon is not small, networks overfit to the FGSM of their training: label '
        'leaking, a higher accuracy on FGSM examples than on natural images.',
        _WHERE,
        cases,
        _n(fgsm),
        f'change of accuracy from natural images to FGSM at epsilon {epsilon:g}',
        None if large or any(case.held for case in cases) else NOT_TESTED,
    )


def weak_models(natural: Sequence[Trained], pgd: Sequence[Trained]) -> Claim:
    """Whether it is the narrow networks that fail under PGD training and not under natural.

    A network failed if it collapsed, or is right on less than half as many natural images as the
    one of its width that was trained naturally. Both come from the narrowest.
    """
    cases, failed = [], []
    for a, b in zip(natural, pgd, strict=True):
        if not a.collapsed:
            usual, accuracy = a.measured(NATURAL).value, b.measured(NATURAL)
            numbers = f'{accuracy.value:.1%}{b.mark} instead of {usual:.1%}'
            cases.append(Case(b.at, numbers, accuracy.ends()))
            failed.append(b.collapsed or accuracy.high < usual / 2)
    if not failed:
        judgement = NOT_TESTED
    elif not failed[0]:
        judgement = CONTRADICTED
    else:  # of the narrowest, and of no others
        first_alone = failed == sorted(failed, reverse=True) and not all(failed)
        judgement = REPRODUCED if first_alone else PARTLY
    return Claim.of(
        'Weak models may fail to converge when trained against PGD, even where natural training '
        'converges.',
        _WHERE,
        cases,
        _n(pgd),
        f'{sum(failed)} of {len(failed)} failed, natural accuracy after PGD training',
        judgement,
    )


def saddle_point(adversary: str, networks: Sequence[Trained]) -> Claim:
    """Whether final training losses fall with each width; networks come from the narrowest."""
    cases = []
    for narrow, wide in zip([None, *networks], networks, strict=False):
        falls = narrow and wide.training_loss * (1 + _LOSS_TOLERANCE) < narrow.training_loss
        cases.append(Case(wide.at, f'{wide.training_loss:.3g}{wide.mark}', held=falls))
    return Claim.of(
        'The value of the saddle point falls with capacity, for a fixed adversary '
        f'({adversary} training).',
        _WHERE,
        cases,
        f'{len(networks)} networks',
        'final training loss, beside the next narrower network (differences below '
        f'{_LOSS_TOLERANCE:.0%} count as none)',
    )


def transfer(transferred: Sequence[Transferred], trait: str, order: Sequence[str]) -> list[Claim]:
    """Whether wider, or more strongly trained, targets and sources transfer less.

    Reproduced: no pair against it and most pairs for it. Partly: some kind is mostly for it.

    Args:
        transferred: all that was measured.
        trait: 'width' or 'adversary'.
        order: its values, from the narrowest or weakest.

    Returns:
        A claim on transfer and one on gradients; nothing where there are no pairs to compare.
    """
    kinds = _pairs(transferred, trait, order)
    if not kinds:
        return []
    n = sum(map(len, kinds.values()))
    # The paper says so of gradients for capacity alone.
    more, beyond = {
        'width': ('More capacity decreases', ''),
        'adversary': ('Stronger training adversaries decrease', ' (the paper: more capacity does)'),
    }[trait]
    claims = []
    for measured, subject, sentence in (
        ('fooled', 'images fooled', f'{more} transferability.'),
        (
            'cosine',
            'cosine of gradients',
            f'{more} the correlation of source and target gradients{beyond}.',
        ),
    ):
        counts = {}
        for kind, pairs in kinds.items():
            values = [(getattr(a, measured), getattr(b, measured)) for a, b in pairs]
            counts[kind] = sum(a.above(b) for a, b in values), sum(b.above(a) for a, b in values)
        lower, higher = map(sum, zip(*counts.values(), strict=True))
        judgement = CONTRADICTED
        if not higher and 2 * lower > n:
            judgement = REPRODUCED
        elif any(low > high for low, high in counts.values()):
            judgement = PARTLY
        note = (
            f'{subject} lower in {lower} pairs and higher in {higher}; in the others intervals meet'
        )
        cases = [Case(kind, f'{low} and {high}') for kind, (low, high) in counts.items()]
        size = f'{n} pair{"" if n == 1 else "s"}'
        claims.append(Claim.of(sentence, _WHERE, cases, size, note, judgement))
    return claims


def _pairs(
    transferred: Sequence[Transferred], trait: str, order: Sequence[str]
) -> dict[str, _Pairs]:
    """Kind -> pairs that differ in that trait of one side alone, earlier in `order` first."""
    kinds: dict[str, _Pairs] = {}
    evidence = [t for t in transferred if t.is_evidence]
    for side, (a, b) in itertools.product(
        ('target', 'source'), itertools.permutations(evidence, 2)
    ):
        varied = f'{side}.{trait}'
        value, others = attrgetter(varied), attrgetter(*(_TRAITS - {varied}))
        if others(a) == others(b) and order.index(value(a)) < order.index(value(b)):
            trainings = dict.fromkeys(ADVERSARIES[t.target.adversary] for t in (b, a))
            kind = f'targets of {" instead of ".join(trainings)} training'
            kinds.setdefault(kind if side == 'target' else 'sources', []).append((a, b))
    return kinds


_TRAITS = {'source.width', 'source.adversary', 'target.width', 'target.adversary'}


def _n(networks: Sequence[Trained]) -> str:
    return counted(networks[0].outcomes[NATURAL].n, 'image')
