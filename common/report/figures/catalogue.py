"""All figures by the names under which programs make them."""

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from common.errors import UserError
from common.files import require_writable
from common.networks.registry import RELEASED
from common.report.exhibit import Exhibit
from common.report.figures import (
    capacity,
    directions,
    examples,
    geometry,
    progress,
    restarts,
    strength,
    transfer,
)
from common.report.figures.study import Study

FIGURES = {
    '1': 'losses of the maxima that PGD finds',
    '2': 'loss along the iterations of PGD',
    '3': 'capacity: trains networks of several widths',
    '4': 'adversarial loss during training',
    'landscape': "section 3.1, the maxima's geometry",
    'directions': 'the loss along random directions and in linear subspaces',
    'transfer': 'every source against every target, and the cosines of their gradients',
    'epsilons': 'accuracy against epsilon',
    'convergence': 'accuracy against steps, restarts and step size',
    'examples': 'images, adversarial ones, perturbations',
    'confusion': 'which classes are mistaken for which under attack',
}
ALL = 'all'


@dataclasses.dataclass(frozen=True)
class Details:
    """What the figures of a data set need besides the study.

    Attributes:
        classes: their names.
        released: name -> record of the released networks, from manifest.json.
        radii: of the ball, in pixel units, that accuracy is measured at.
        steps: of PGD, likewise.
        restarts: of PGD, likewise.
        step_sizes: of PGD, in pixel units, likewise.
        capacity: makes figure 3's study and its networks from the study of the other figures.
        restarts_of_an_image: of figures 1 and 2 and the landscape; None for the paper's.
    """

    classes: Sequence[str]
    released: dict[str, Any]
    radii: Sequence[float]
    steps: Sequence[int]
    restarts: Sequence[int]
    step_sizes: Sequence[float]
    capacity: Callable[[Study], tuple[Study, capacity.Sweep]]
    restarts_of_an_image: int | None = None


def make(figure: str, study: Study, details: Details) -> None:
    """Makes one figure, or all, and writes their exhibits.

    Args:
        figure: one of FIGURES, or 'all'.
        study: the data set.
        details: what else they need.

    Raises:
        UserError: a network is not there, or files cannot be written. Of all figures, those that
            can be made are made first.
    """
    if not study.pgd.ball.epsilon > 0:
        raise UserError(
            'expected --epsilon above 0 for figures of the adversary; found 0. Choose '
            "a radius, or drop --epsilon for the paper's."
        )
    missing = {'A', 'A_nat'} - set(details.released)
    if missing:
        raise UserError(
            f'expected the released networks A and A_nat; found no record of '
            f'{" and ".join(sorted(missing))} in the manifest. Restore checkpoints/ '
            '(git checkout, or install the package again).'
        )
    require_writable(study.output_dir / 'cache' / 'any')
    makers, failed = makers_of(details), []
    for name in FIGURES if figure == ALL else [figure]:
        start = time.perf_counter()
        try:
            exhibit = makers[name](study)
        except UserError as error:
            if figure != ALL:
                raise
            failed.append(name)
            print(f'figure {name}: {error}', file=sys.stderr)
            continue
        exhibit = dataclasses.replace(exhibit, seconds=time.perf_counter() - start)
        path = exhibit.write(study.output_dir)
        print(f'{exhibit.title}: {path}', flush=True)
        for remark in exhibit.remarks:
            print(f'  {remark}')
    if failed:
        raise UserError(
            f'expected all figures; not made, for the reasons above: '
            f'{", ".join(failed)}. The others are there.'
        )


def makers_of(details: Details) -> dict[str, Callable[[Study], Exhibit]]:
    """Name of a figure -> what makes it."""
    count = details.restarts_of_an_image
    return {
        '1': lambda study: restarts.figure_1(study, count),
        '2': lambda study: restarts.figure_2(study, count),
        '3': lambda study: capacity.figure_3(*details.capacity(study)),
        '4': lambda study: progress.figure_4(study, details.released['A'], RELEASED),
        'landscape': lambda study: geometry.landscape(study, count),
        'directions': directions.directions,
        'transfer': lambda study: transfer.transfer_matrix(study, list(details.released)),
        'epsilons': lambda study: strength.epsilons(study, details.radii),
        'convergence': lambda study: strength.convergence(
            study, steps=details.steps, restarts=details.restarts, step_sizes=details.step_sizes
        ),
        'examples': lambda study: examples.examples(study, details.classes),
        'confusion': lambda study: examples.confusion(study, details.classes),
    }
