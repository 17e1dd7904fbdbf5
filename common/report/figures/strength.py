"""Accuracy over the strength of the adversary: radius, steps, restarts, step size."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from common.attacks import PGD, Attack, Restarts
from common.evaluation.accuracy import Outcome
from common.report.claims import CONTRADICTED, NOT_TESTED, REPRODUCED, Case, Claim
from common.report.exhibit import Exhibit, Line, Table
from common.report.figures.study import Study
from common.statistics import Measured, counted, paired_difference

_APART = 1.6  # ratio of numbers along a logarithmic axis
_MARKED = 0.005  # share of the images from which on one attack is called better than another

_Outcomes = Mapping[float, Outcome]  # by the number that is varied


def epsilons(study: Study, radii: Sequence[float]) -> Exhibit:
    """Accuracy against epsilon, from 0 to where nothing is left.

    Args:
        study: the data set.
        radii: of the ball, in pixel units; PGD's step grows with them.

    Raises:
        UserError: a network is missing.
    """
    radii = radii[::3] if study.quick else radii
    pgd = study.pgd
    attacks = {radius: at_radius(pgd, radius) if radius else study.natural for radius in radii}
    outcomes = {
        name: {radius: study.accuracy(attack, name, name) for radius, attack in attacks.items()}
        for name in study.compared
    }
    rows = {f'{r:g}': [of[r].measured.shown() for of in outcomes.values()] for r in radii}
    # Radii that double would crowd at the left.
    doubling = {'xscale': 'symlog', 'xticks': _spread(radii)} if radii[-1] > 20 * radii[1] else {}
    return study.exhibit(
        'epsilons',
        'accuracy against epsilon',
        setting=f'PGD, {pgd.steps} steps of epsilon times '
        f'{pgd.step_size / pgd.ball.epsilon:.3g}, n = {len(study.test):,}',
        remarks=_end(study, radii),
        tables=[Table.matrix('Accuracy at each epsilon', list(outcomes), rows)],
        pictures=study.draw(
            'epsilons',
            'Accuracy over the radius of the ball, two networks',
            'lines',
            [(f'PGD-{pgd.steps}', [_line(*of) for of in study.in_words(outcomes).items()])],
            xlabel=f'epsilon ({study.unit})',
            ylabel='accuracy',
            percent=True,
            **doubling,
        ),
        data={name: _data(of) for name, of in outcomes.items()},
    )


def convergence(
    study: Study, *, steps: Sequence[int], restarts: Sequence[int], step_sizes: Sequence[float]
) -> Exhibit:
    """Accuracy of the adversarially trained network over PGD's steps, restarts and step size.

    Args:
        study: the data set.
        steps: of PGD, at the study's step size.
        restarts: of the study's PGD.
        step_sizes: of the study's PGD, in pixel units.

    Raises:
        UserError: the network is missing.
    """
    if study.quick:
        steps, restarts, step_sizes = steps[:-1:2], restarts[:3], step_sizes[::2]
    base, name = study.pgd, study.adversarial
    # Floats, since 8 and 8.0 would be two attacks to the cache.
    series: dict[str, dict[float, Attack]] = {
        'steps': {k: dataclasses.replace(base, steps=k) for k in steps},
        'restarts': {k: Restarts(base, k) if k > 1 else base for k in restarts},
        'step size': {s: dataclasses.replace(base, step_size=float(s)) for s in step_sizes},
    }
    own = study.accuracy(base, name, name)
    tables, pictures, data, beyond = [], [], {}, {}
    for varied, attacks in series.items():
        outcomes = {value: study.accuracy(of, name, name) for value, of in attacks.items()}
        beyond[varied] = more = {
            value: paired_difference(outcomes[value].correct, own.correct)
            for value, attack in attacks.items()
            if attack != base
        }
        rows = {
            f'{value:g}': (
                of.measured.shown(),
                more[value].shown('+.2%') if value in more else None,
            )
            for value, of in outcomes.items()
        }
        columns = 'accuracy', 'broken beyond the base attack, of all images'
        tables.append(Table.matrix(f'Accuracy against {varied}', columns, rows))
        pictures += study.draw(
            f'convergence_{varied.replace(" ", "_")}',
            f'Accuracy of {name} over {varied}',
            'lines',
            [(f'PGD against {name}, {varied}', [_line(name, outcomes)])],
            xlabel=varied if varied != 'step size' else f'step size ({study.unit})',
            ylabel='accuracy',
            xscale='log',
            percent=True,
            whole=False,
            xticks=list(outcomes),
        )
        data[varied] = _data(outcomes)
    return study.exhibit(
        'convergence',
        'has the attack converged?',
        setting=f'{base}, varied as the tables say, n = {len(study.test):,}',
        networks=[name],
        claims=[_converged(own, beyond)],
        tables=tables,
        pictures=pictures,
        data=data,
    )


def _spread(radii: Sequence[float]) -> list[float]:
    """The rising radii whose labels do not touch along a logarithmic axis."""
    kept: list[float] = []
    for radius in radii:
        if not kept or radius >= _APART * kept[-1]:
            kept.append(radius)
    return kept


def at_radius(attack: PGD, radius: float) -> PGD:
    """PGD in a ball of another radius above 0, with steps of the same share of it."""
    radius = float(radius)  # 8 and 8.0 would be two attacks to the cache
    return dataclasses.replace(
        attack,
        ball=dataclasses.replace(attack.ball, epsilon=radius),
        step_size=float(attack.step_size * (radius / attack.ball.epsilon)),
    )


def _line(name: str, outcomes: _Outcomes) -> Line:
    return Line.of(name, list(outcomes), [o.measured for o in outcomes.values()])


def _data(outcomes: _Outcomes) -> list[dict[str, object]]:
    return [
        {'x': x, 'accuracy': o.accuracy, 'interval': o.interval, 'n': o.n}
        for x, o in outcomes.items()
    ]


def _converged(base: Outcome, beyond: Mapping[str, Mapping[float, Measured]]) -> Claim:
    """Whether no more steps, no more restarts and no other step size break markedly more images.

    Args:
        base: of the study's own attack.
        beyond: what is varied -> its value -> share of the images that this breaks beyond the base
            attack.
    """
    cases = [Case('the base attack', f'leaves {base.measured.shown()}')]
    every = [more for variants in beyond.values() for more in variants.values()]
    marked = [more for more in every if more.value >= _MARKED and more.low > 0]
    decided = every and max(more.high for more in every) < _MARKED
    for varied, variants in beyond.items():
        strongest = max(variants.values(), default=None)
        for value, more in variants.items():
            if more is strongest or more in marked:
                cases.append(Case.of(f'{varied}={value:g}', more, form='+.2%'))
    return Claim.of(
        'PGD as the paper uses it has converged: no variant of it breaks markedly more of the same '
        'images.',
        'section 3.1, tables 1 and 2',
        cases,
        counted(base.n, 'image'),
        'share that the strongest variants break beyond it (markedly: at least '
        f'{_MARKED:.1%} of the images, and a paired interval above 0)',
        CONTRADICTED if marked else REPRODUCED if decided else NOT_TESTED,
    )


def _end(study: Study, radii: Sequence[float]) -> list[str]:
    """The bound on any classifier where one grey image is near all images."""
    n, ball = len(study.test), study.pgd.ball
    half = (ball.upper - ball.lower) / 2
    if max(radii) < half:
        return []
    return [
        f'From epsilon {half:g} on one grey image is within reach of every image, so that no '
        'classifier keeps more than the largest class, '
        f'{np.bincount(study.test.y).max() / n:.1%} of these {n:,} images; where more is left, '
        'the attack is not strong enough.'
    ]
