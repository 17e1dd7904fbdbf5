"""Accuracy against the adversary's means: its radius, its steps, its restarts, its step size."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from common.attacks import PGD, Restarts
from common.evaluation import Outcome
from common.exhibits import Exhibit, Table
from common.figures.restarts import NETWORKS
from common.figures.study import Study, draw


def epsilons(study: Study, radii: Sequence[float]) -> Exhibit:
    """Accuracy against epsilon, from 0 to where nothing is left.

    Args:
        study: the data set.
        radii: of the ball, in pixel units; PGD's step grows with them.

    Raises:
        UserError: a network is not there.
    """
    radii = radii[::3] if study.quick else radii
    outcomes = {name: [study.accuracy(_of_radius(study.pgd, radius), name, name)
                       for radius in radii] for name in NETWORKS}
    rows = [{'epsilon': f'{radius:g}', **{
        name: _cell(outcomes[name][i]) for name in NETWORKS}} for i, radius in enumerate(radii)]
    pictures = draw(
        study.path('epsilons'), 'Accuracy over the radius of the ball, two networks',
        lambda plots, path: plots.lines(
            path, [(f'PGD-{study.pgd.steps}', [
                _line(plots, words, radii, outcomes[name]) for name, words in NETWORKS.items()])],
            xlabel=f'epsilon ({study.unit})', ylabel='accuracy', percent=True, width=5.5,
            # Radii that double would crowd at the left.
            **({'xscale': 'symlog', 'xticks': radii} if radii[-1] > 20 * radii[1] else {})))
    return study.exhibit(
        'epsilons', 'accuracy against epsilon',
        setting=f'PGD, {study.pgd.steps} steps of epsilon times '
                f'{study.pgd.step_size / study.pgd.ball.epsilon:.3g}, n = {len(study.test):,}',
        networks=list(NETWORKS), remarks=_end(study, radii, outcomes['A']),
        tables=[Table.of('', rows)], pictures=pictures,
        data={name: _data(radii, outcomes[name]) for name in NETWORKS})


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
    series = {
        'steps': (steps, [dataclasses.replace(base, steps=k) for k in steps]),
        'restarts': (restarts, [Restarts(base, k) if k > 1 else base for k in restarts]),
        'step size': (step_sizes, [dataclasses.replace(base, step_size=s) for s in step_sizes]),
    }
    outcomes = {name: [study.accuracy(attack, 'A', 'A') for attack in attacks]
                for name, (_, attacks) in series.items()}
    tables = [Table.of(f'Accuracy against {name}', [
        {name: f'{value:g}', 'accuracy': _cell(outcome)}
        for value, outcome in zip(series[name][0], outcomes[name], strict=True)])
        for name in series]
    pictures = [picture for name, (values, _) in series.items() for picture in draw(
        study.path(f'convergence_{name.replace(" ", "_")}'), f'Accuracy of A over {name}',
        lambda plots, path, name=name, values=values: plots.lines(
            path, [(f'PGD against A, {name}', [_line(plots, 'A', values, outcomes[name])])],
            xlabel=name if name != 'step size' else f'step size ({study.unit})',
            ylabel='accuracy', xscale='log', percent=True, whole=False, width=5.5,
            xticks=values))]
    return study.exhibit(
        'convergence', 'has the attack converged?',
        setting=f'{base} but for what the tables vary, n = {len(study.test):,}', networks=['A'],
        remarks=[_verdict(study.accuracy(base, 'A', 'A'), outcomes)],
        tables=tables, pictures=pictures,
        data={name: _data(series[name][0], outcomes[name]) for name in series})


def _of_radius(attack: PGD, radius: float) -> PGD:
    if radius == 0:  # there is nowhere to go
        return dataclasses.replace(attack, steps=0, random_start=False)
    share = radius / attack.ball.epsilon
    return dataclasses.replace(attack, ball=dataclasses.replace(attack.ball, epsilon=radius),
                               step_size=attack.step_size * share)


def _cell(outcome: Outcome) -> str:
    low, high = outcome.interval
    return f'{outcome.accuracy:.2%} ({low:.2%} to {high:.2%})'


def _line(plots, name: str, x: Sequence[float], outcomes: Sequence[Outcome]):
    return plots.Line(name, x, [o.accuracy for o in outcomes],
                      [o.interval[0] for o in outcomes], [o.interval[1] for o in outcomes])


def _data(x: Sequence[float], outcomes: Sequence[Outcome]) -> list[dict[str, object]]:
    return [{'x': value, 'accuracy': o.accuracy, 'interval': o.interval, 'n': o.n}
            for value, o in zip(x, outcomes, strict=True)]


def _verdict(base: Outcome, outcomes: dict[str, list[Outcome]]) -> str:
    """Whether more of anything leaves less than the study's own attack."""
    least = {name: min(found, key=lambda o: o.accuracy) for name, found in outcomes.items()}
    apart = min(o.accuracy for o in least.values()) < base.interval[0]
    return (f'The attack as the paper uses it leaves {_cell(base)}; the least found with other '
            + ', '.join(f'{name} is {_cell(o)}' for name, o in least.items()) + '. So it has '
            + ('not converged: the least is below its interval.' if apart
               else 'converged within the interval.'))


def _end(study: Study, radii: Sequence[float], outcomes: Sequence[Outcome]) -> list[str]:
    left = [o.accuracy > 0 for o in outcomes]
    end = len(left) - left[::-1].index(True) if any(left) else 0  # nothing is left from there on
    ball = study.pgd.ball
    half = (ball.upper - ball.lower) / 2
    said = f'Nothing is left of A from epsilon {radii[end]:g} on.' if end < len(radii) else (
        f'At epsilon {radii[-1]:g}, the greatest, {_cell(outcomes[-1])} of A is left.')
    share = np.bincount(study.test.y).max() / len(study.test)
    return [said + (
        f' From {half:g} on one grey image is within reach of every image, so that no classifier '
        f'keeps more than the largest class, {share:.1%} of these images.'
        if radii[-1] >= half else '')]
