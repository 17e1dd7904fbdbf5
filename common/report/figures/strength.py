"""Accuracy against the adversary's means: its radius, its steps, its restarts, its step size."""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from common.attacks import PGD, Attack, Restarts
from common.evaluation.accuracy import Outcome
from common.report.exhibit import Exhibit, Picture, Table
from common.report.figures.study import NETWORKS, Study, draw

_APART = 1.6  # ratio of numbers along a logarithmic axis
_MARKED = 0.005  # share of the images that makes a difference between attacks worth naming


@dataclasses.dataclass(frozen=True)
class Paired:
    """How many more of the same images one attack breaks than another.

    Attributes:
        net: images that only this attack breaks, less those that only the other one breaks.
        n: images that both were run on.
        interval: 95%, of net / n.
    """

    net: int
    n: int
    interval: tuple[float, float]

    @property
    def share(self) -> float:
        """Of all images, -1 to 1."""
        return self.net / self.n

    @property
    def marked(self) -> bool:
        """Whether this attack breaks markedly more."""
        return self.share >= _MARKED and self.interval[0] > 0


def paired(base: Outcome, variant: Outcome) -> Paired:
    """What `variant` breaks beyond `base`, both on the same images.

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
        UserError: a network is not there.
    """
    radii = radii[::3] if study.quick else radii
    outcomes = {
        name: [study.accuracy(_of_radius(study.pgd, radius), name, name) for radius in radii]
        for name in NETWORKS
    }
    rows = [
        {'epsilon': f'{radius:g}', **{name: _cell(outcomes[name][i]) for name in NETWORKS}}
        for i, radius in enumerate(radii)
    ]
    pictures = draw(
        study.path('epsilons'),
        'Accuracy over the radius of the ball, two networks',
        lambda plots, path: plots.lines(
            path,
            [
                (
                    f'PGD-{study.pgd.steps}',
                    [
                        _line(plots, words, radii, outcomes[name])
                        for name, words in NETWORKS.items()
                    ],
                )
            ],
            xlabel=f'epsilon ({study.unit})',
            ylabel='accuracy',
            percent=True,
            width=5.5,
            # Radii that double would crowd at the left.
            **({'xscale': 'symlog', 'xticks': _spread(radii)} if radii[-1] > 20 * radii[1] else {}),
        ),
    )
    return study.exhibit(
        'epsilons',
        'accuracy against epsilon',
        setting=f'PGD, {study.pgd.steps} steps of epsilon times '
        f'{study.pgd.step_size / study.pgd.ball.epsilon:.3g}, n = {len(study.test):,}',
        networks=list(NETWORKS),
        remarks=_end(study, radii, outcomes),
        tables=[Table.of('', rows)],
        pictures=pictures,
        data={name: _data(radii, outcomes[name]) for name in NETWORKS},
    )


def convergence(
    study: Study, *, steps: Sequence[int], restarts: Sequence[int], step_sizes: Sequence[float]
) -> Exhibit:
    """Accuracy of network A against steps, restarts and step size: has the attack converged?

    Args:
        study: the data set.
        steps: of PGD, at the study's step size.
        restarts: of the study's PGD.
        step_sizes: of the study's PGD, in pixel units.

    Raises:
        UserError: the network is not there.
    """
    if study.quick:
        steps, restarts, step_sizes = steps[:-1:2], restarts[:3], step_sizes[::2]
    base = study.pgd
    # Floats, since 8 and 8.0 would be two attacks to the cache.
    series: dict[str, list[tuple[float, Attack]]] = {
        'steps': [(k, dataclasses.replace(base, steps=k)) for k in steps],
        'restarts': [(k, Restarts(base, k) if k > 1 else base) for k in restarts],
        'step size': [(s, dataclasses.replace(base, step_size=float(s))) for s in step_sizes],
    }
    own = study.accuracy(base, 'A', 'A')
    outcomes = {
        name: [study.accuracy(attack, 'A', 'A') for _, attack in points]
        for name, points in series.items()
    }
    variants = {
        name: {
            value: paired(own, outcome)
            for (value, attack), outcome in zip(points, outcomes[name], strict=True)
            if attack != base
        }
        for name, points in series.items()
    }
    tables = [
        Table.of(
            f'Accuracy against {name}',
            [
                {
                    name: f'{value:g}',
                    'accuracy': _cell(outcome),
                    'broken beyond the base attack, in points': _points(variants[name].get(value)),
                }
                for (value, _), outcome in zip(points, outcomes[name], strict=True)
            ],
        )
        for name, points in series.items()
    ]
    return study.exhibit(
        'convergence',
        'has the attack converged?',
        setting=f'{base} but for what the tables vary, n = {len(study.test):,}',
        networks=['A'],
        remarks=[_verdict(own, variants)],
        tables=tables,
        pictures=[
            picture
            for name, points in series.items()
            for picture in _curve(study, name, [x for x, _ in points], outcomes[name])
        ],
        data={
            name: _data([x for x, _ in points], outcomes[name]) for name, points in series.items()
        },
    )


def _curve(
    study: Study, name: str, values: Sequence[float], outcomes: Sequence[Outcome]
) -> list[Picture]:
    return draw(
        study.path(f'convergence_{name.replace(" ", "_")}'),
        f'Accuracy of A over {name}',
        lambda plots, path: plots.lines(
            path,
            [(f'PGD against A, {name}', [_line(plots, 'A', values, outcomes)])],
            xlabel=name if name != 'step size' else f'step size ({study.unit})',
            ylabel='accuracy',
            xscale='log',
            percent=True,
            whole=False,
            width=5.5,
            xticks=values,
        ),
    )


def _spread(radii: Sequence[float]) -> list[float]:
    """Those of rising radii whose names do not touch along a logarithmic axis."""
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
    low, high = outcome.interval
    return f'{outcome.accuracy:.2%} ({low:.2%} to {high:.2%})'


def _line(plots, name: str, x: Sequence[float], outcomes: Sequence[Outcome]):
    return plots.Line(
        name,
        x,
        [o.accuracy for o in outcomes],
        [o.interval[0] for o in outcomes],
        [o.interval[1] for o in outcomes],
    )


def _data(x: Sequence[float], outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    return [
        {'x': value, 'accuracy': o.accuracy, 'interval': o.interval, 'n': o.n}
        for value, o in zip(x, outcomes, strict=True)
    ]


def _points(found: Paired | None) -> str | None:
    if found is None:
        return None
    low, high = found.interval
    return f'{100 * found.share:+.1f} ({100 * low:+.1f} to {100 * high:+.1f})'


def _verdict(base: Outcome, variants: dict[str, dict[float, Paired]]) -> str:
    """Whether more of anything breaks markedly more of the same images.

    Args:
        base: of the study's own attack.
        variants: what is varied -> its value -> what that breaks beyond the base attack.
    """
    said = f'The attack as the paper uses it leaves {_cell(base)}.'
    strongest = {
        f'{name}={value:g}': found[value]
        for name, found in variants.items()
        if found
        for value in [max(found, key=lambda value: found[value].net)]
    }
    if not strongest:
        return f'{said} No variant of it was run beside it.'
    return (
        f'{said} The strongest variants on the same images: '
        + '; '.join(f'{name} {_beyond(found)}' for name, found in strongest.items())
        + f'. {_conclusion(base.n, variants)}'
    )


def _beyond(found: Paired) -> str:
    many = (
        'as many'
        if not found.net
        else (f'{abs(found.net):,} {"more" if found.net > 0 else "fewer"}')
    )
    low, high = (100 * end for end in found.interval)
    return (
        f'breaks {many} of the {found.n:,} images, {100 * found.share:.1f} points, paired 95% '
        f'interval {low:.1f} to {high:.1f}'
    )


def _conclusion(n: int, variants: dict[str, dict[float, Paired]]) -> str:
    everyone = {
        f'{name}={value:g}': found
        for name, values in variants.items()
        for value, found in values.items()
    }
    marked = [name for name, found in everyone.items() if found.marked]
    possible = [name for name, found in everyone.items() if found.interval[1] >= _MARKED]
    least = f'at least {100 * _MARKED:g} points'
    if marked:
        return (
            f'So it has not converged: {", ".join(marked)} '
            f'{"breaks" if len(marked) == 1 else "break"} markedly more, {least} with an '
            'interval above 0.'
        )
    if possible:
        return (
            f'Whether some variant breaks markedly more, {least}, cannot be told from {n:,} '
            f'images: the intervals of {", ".join(possible)} reach that far.'
        )
    return f'So no variant breaks markedly more, {least}: beside these it has converged.'


def _end(study: Study, radii: Sequence[float], outcomes: dict[str, Sequence[Outcome]]) -> list[str]:
    n, ball = len(study.test), study.pgd.ball
    half = (ball.upper - ball.lower) / 2
    said = '; '.join(_kept(name, radii, found) for name, found in outcomes.items()) + '.'
    if radii[-1] < half:
        return [said]
    share = np.bincount(study.test.y).max() / n
    weak = [
        f'{name} keeps {outcome.accuracy:.1%} at epsilon {radius:g}'
        for name, found in outcomes.items()
        for radius, outcome in zip(radii, found, strict=True)
        if radius >= half and outcome.accuracy > share
    ]
    return [
        f'{said} From {half:g} on one grey image is within reach of every image, so that no '
        f'classifier keeps more than the largest class, {share:.1%} of these {n:,} images.'
        + (
            f' But {", ".join(weak)}, which shows that the attack is not strong enough there.'
            if weak
            else ''
        )
    ]


def _kept(name: str, radii: Sequence[float], outcomes: Sequence[Outcome]) -> str:
    left = [o.accuracy > 0 for o in outcomes]
    end = len(left) - left[::-1].index(True) if any(left) else 0  # nothing is left from there on
    if end < len(radii):
        return f'{name} keeps none of {outcomes[end].n:,} images from epsilon {radii[end]:g} on'
    return (
        f'{name} keeps {_cell(outcomes[-1])} of {outcomes[-1].n:,} images at epsilon '
        f'{radii[-1]:g}, the greatest'
    )
