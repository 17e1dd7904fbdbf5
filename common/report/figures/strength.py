"""Accuracy over the strength of the adversary: radius, steps, restarts, step size."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from common.attacks import PGD, Attack, Restarts
from common.evaluation.accuracy import Outcome
from common.report.claims import CONTRADICTED, NOT_TESTED, REPRODUCED, Case, Claim, between
from common.report.exhibit import Exhibit, Picture, Table
from common.report.figures.study import Study
from common.report.series import Line

_APART = 1.6  # ratio of numbers along a logarithmic axis
_MARKED = 0.005  # share of the images from which on one attack is called better than another


@dataclasses.dataclass(frozen=True)
class Paired:
    """How many more of the same images one attack breaks than another.

    Attributes:
        net: images that only this attack breaks, minus those that only the other one breaks.
        n: images that both were run on.
        interval: 95%, of net / n.
    """

    net: int
    n: int
    interval: tuple[float, float]

    @property
    def share(self) -> float:
        """Share of all images, -1 to 1."""
        return self.net / self.n

    @property
    def marked(self) -> bool:
        """Whether this attack breaks markedly more."""
        return self.share >= _MARKED and self.interval[0] > 0


def paired(base: Outcome, variant: Outcome) -> Paired:
    """How much more `variant` breaks than `base`, both on the same images.

    The interval is Agresti and Min's (2005): Wald's with half an image added to each of the four
    cells, so that it has a width where the two differ in no image.
    """
    only_variant = int(np.sum(base.correct & ~variant.correct))
    only_base = int(np.sum(variant.correct & ~base.correct))
    net, n = only_variant - only_base, base.n + 2
    half = 1.959963984540054 / n * math.sqrt(only_variant + only_base + 1 - net * net / n)
    return Paired(net, base.n, (max(net / n - half, -1.0), min(net / n + half, 1.0)))


def epsilons(study: Study, radii: Sequence[float]) -> Exhibit:
    """Accuracy against epsilon, from 0 to where nothing is left.

    Args:
        study: the data set.
        radii: of the ball, in pixel units; PGD's step grows with them.

    Raises:
        UserError: a network is missing.
    """
    radii = radii[::3] if study.quick else radii
    outcomes = {
        name: [study.accuracy(_of_radius(study.pgd, radius), name, name) for radius in radii]
        for name in study.compared
    }
    rows = [
        {'epsilon': f'{radius:g}', **{name: _cell(of[i]) for name, of in outcomes.items()}}
        for i, radius in enumerate(radii)
    ]
    # Radii that double would crowd at the left.
    doubling = {'xscale': 'symlog', 'xticks': _spread(radii)} if radii[-1] > 20 * radii[1] else {}

    lines = [_line(words, radii, outcomes[name]) for name, words in study.compared.items()]
    return study.exhibit(
        'epsilons',
        'accuracy against epsilon',
        setting=f'PGD, {study.pgd.steps} steps of epsilon times '
        f'{study.pgd.step_size / study.pgd.ball.epsilon:.3g}, n = {len(study.test):,}',
        networks=list(study.compared),
        remarks=_end(study, radii, outcomes),
        tables=[Table.of('', rows)],
        pictures=study.draw(
            'epsilons',
            'Accuracy over the radius of the ball, two networks',
            'lines',
            [(f'PGD-{study.pgd.steps}', lines)],
            xlabel=f'epsilon ({study.unit})',
            ylabel='accuracy',
            percent=True,
            width=5.5,
            **doubling,
        ),
        data={name: _data(radii, of) for name, of in outcomes.items()},
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
    outcomes = {
        varied: {value: study.accuracy(attack, name, name) for value, attack in attacks.items()}
        for varied, attacks in series.items()
    }
    variants = {
        varied: {
            value: paired(own, outcomes[varied][value])
            for value, attack in attacks.items()
            if attack != base
        }
        for varied, attacks in series.items()
    }
    return study.exhibit(
        'convergence',
        'has the attack converged?',
        setting=f'{base}, varied as the tables say, n = {len(study.test):,}',
        networks=[name],
        claims=[_converged(own, variants)],
        tables=[_variants(varied, outcomes[varied], variants[varied]) for varied in series],
        pictures=[
            picture for varied, of in outcomes.items() for picture in _curve(study, varied, of)
        ],
        data={varied: _data(list(of), list(of.values())) for varied, of in outcomes.items()},
    )


def _variants(
    varied: str, outcomes: Mapping[float, Outcome], beyond: Mapping[float, Paired]
) -> Table:
    rows = [
        {
            varied: f'{value:g}',
            'accuracy': _cell(outcome),
            'broken beyond the base attack, in points': _points(beyond.get(value)),
        }
        for value, outcome in outcomes.items()
    ]
    return Table.of(f'Accuracy against {varied}', rows)


def _curve(study: Study, varied: str, outcomes: Mapping[float, Outcome]) -> list[Picture]:
    name, values = study.adversarial, list(outcomes)
    return study.draw(
        f'convergence_{varied.replace(" ", "_")}',
        f'Accuracy of {name} over {varied}',
        'lines',
        [(f'PGD against {name}, {varied}', [_line(name, values, list(outcomes.values()))])],
        xlabel=varied if varied != 'step size' else f'step size ({study.unit})',
        ylabel='accuracy',
        xscale='log',
        percent=True,
        whole=False,
        width=5.5,
        xticks=values,
    )


def _spread(radii: Sequence[float]) -> list[float]:
    """The rising radii whose labels do not touch along a logarithmic axis."""
    kept: list[float] = []
    for radius in radii:
        if not kept or radius >= _APART * kept[-1]:
            kept.append(radius)
    return kept


def _of_radius(attack: PGD, radius: float) -> PGD:
    if radius == 0:  # there is nowhere to go
        return dataclasses.replace(attack, steps=0, random_start=False)
    radius = float(radius)  # 8 and 8.0 would be two attacks to the cache
    return dataclasses.replace(
        attack,
        ball=dataclasses.replace(attack.ball, epsilon=radius),
        step_size=float(attack.step_size * (radius / attack.ball.epsilon)),
    )


def _cell(outcome: Outcome) -> str:
    return f'{outcome.accuracy:.2%} ({between(*outcome.interval, ".2%")})'


def _line(name: str, x: Sequence[float], outcomes: Sequence[Outcome]) -> Line:
    low, high = zip(*(o.interval for o in outcomes), strict=True)
    return Line(name, x, [o.accuracy for o in outcomes], low, high)


def _data(x: Sequence[float], outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    return [
        {'x': value, 'accuracy': o.accuracy, 'interval': o.interval, 'n': o.n}
        for value, o in zip(x, outcomes, strict=True)
    ]


def _points(beyond: Paired | None) -> str | None:
    """What an attack breaks beyond the base attack, in points of accuracy, with its interval."""
    return beyond and f'{100 * beyond.share:+.1f} ({_points_between(beyond)})'


def _points_between(beyond: Paired) -> str:
    return between(*(100 * end for end in beyond.interval), '+.1f')


def _converged(base: Outcome, variants: Mapping[str, Mapping[float, Paired]]) -> Claim:
    """Whether no more steps, no more restarts and no other step size break markedly more images.

    Args:
        base: of the study's own attack.
        variants: what is varied -> its value -> what that breaks beyond the base attack.
    """
    beyond = {
        f'{varied}={value:g}': variant
        for varied, values in variants.items()
        for value, variant in values.items()
    }
    marked = [name for name, variant in beyond.items() if variant.marked]
    possible = [name for name, variant in beyond.items() if variant.interval[1] >= _MARKED]
    strongest = [
        max(names, key=lambda name: beyond[name].net)
        for varied in variants
        for names in [[name for name in beyond if name.startswith(f'{varied}=')]]
        if names
    ]
    shown = list(dict.fromkeys([*strongest, *marked]))
    judgement = CONTRADICTED if marked else NOT_TESTED if possible or not beyond else REPRODUCED
    cases = [Case('the base attack', f'leaves {_cell(base)}')]
    cases += [Case(name, _more(beyond[name]), _points_between(beyond[name])) for name in shown]
    if possible and not marked:
        cases.append(Case('undecided', f'{", ".join(possible)}, by {base.n:,} images'))
    return Claim.of(
        'PGD as the paper uses it has converged: no variant of it breaks markedly more of the same '
        'images.',
        'section 3.1, tables 1 and 2',
        cases,
        f'{base.n:,} images',
        f'the strongest variants (markedly: at least {100 * _MARKED:g} points, and a paired '
        'interval above 0)',
        judgement,
    )


def _more(beyond: Paired) -> str:
    if not beyond.net:
        return 'breaks as many'
    words = 'more' if beyond.net > 0 else 'fewer'
    return f'breaks {abs(beyond.net):,} {words} ({100 * beyond.share:+.1f} points)'


def _end(
    study: Study, radii: Sequence[float], outcomes: Mapping[str, Sequence[Outcome]]
) -> list[str]:
    """The bound on any classifier where one grey image is near all images, and who exceeds it."""
    n, ball = len(study.test), study.pgd.ball
    half = (ball.upper - ball.lower) / 2
    if radii[-1] < half:
        return []
    share = np.bincount(study.test.y).max() / n
    weak = [
        f'{name} keeps {outcome.accuracy:.1%} at epsilon {radius:g}'
        for name, of in outcomes.items()
        for radius, outcome in zip(radii, of, strict=True)
        if radius >= half and outcome.accuracy > share
    ]
    bound = (
        f'From epsilon {half:g} on one grey image is within reach of every image, so that no '
        f'classifier keeps more than the largest class, {share:.1%} of these {n:,} images'
    )
    if not weak:
        return [f'{bound}.']
    return [f'{bound}; the attack is not strong enough there, since {", ".join(weak)}.']
