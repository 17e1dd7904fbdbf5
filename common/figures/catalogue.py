"""All figures by the names under which programs make them."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

from common.checkpoints import RELEASED
from common.exhibits import Exhibit
from common.figures import examples, geometry, progress, restarts, strength, transfer
from common.figures.study import Study

FIGURES = {
    '1': 'losses of the maxima that PGD finds',
    '2': 'loss along the iterations of PGD',
    '4': 'adversarial loss during training',
    'landscape': "section 3.1, the maxima's geometry",
    'transfer': 'every source against every target, and the cosines of their gradients',
    'epsilons': 'accuracy against epsilon',
    'convergence': 'accuracy against steps, restarts and step size',
    'examples': 'images, adversarial ones, perturbations',
    'confusion': 'which classes are mistaken for which under attack',
}
ALL = 'all'


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the curves are measured at.

    Attributes:
        radii: of the ball, in pixel units.
        steps: of PGD.
        restarts: of PGD.
        step_sizes: of PGD, in pixel units.
    """

    radii: tuple[float, ...]
    steps: tuple[int, ...]
    restarts: tuple[int, ...]
    step_sizes: tuple[float, ...]


def make(
    figure: str, study: Study, limits: Limits, classes: Sequence[str], released: dict[str, Any],
    restarts_of_an_image: int | None = None,
) -> None:
    """Makes one figure, or all, and writes their exhibits.

    Args:
        figure: one of FIGURES, or 'all'.
        study: the data set.
        limits: what the curves are measured at.
        classes: names of the classes.
        released: name -> record of the released networks, from manifest.json.
        restarts_of_an_image: of figures 1 and 2 and the landscape; None for the paper's.

    Raises:
        UserError: a network is not there, or files cannot be written.
    """
    makers = _makers(limits, classes, released, restarts_of_an_image)
    for name in FIGURES if figure == ALL else [figure]:
        start = time.perf_counter()
        exhibit = makers[name](study)
        exhibit = dataclasses.replace(exhibit, seconds=time.perf_counter() - start)
        path = exhibit.write(study.output_dir)
        print(f'{exhibit.title}: {path}', flush=True)
        for remark in exhibit.remarks:
            print(f'  {remark}')


def _makers(
    limits: Limits, classes: Sequence[str], released: dict[str, Any], restarts_of_an_image
) -> dict[str, Callable[[Study], Exhibit]]:
    return {
        '1': lambda study: restarts.figure_1(study, restarts_of_an_image),
        '2': lambda study: restarts.figure_2(study, restarts_of_an_image),
        '4': lambda study: progress.figure_4(study, released['A'], RELEASED),
        'landscape': lambda study: geometry.landscape(study, restarts_of_an_image),
        'transfer': lambda study: transfer.transfer_matrix(study, list(released)),
        'epsilons': lambda study: strength.epsilons(study, limits.radii),
        'convergence': lambda study: strength.convergence(
            study, steps=limits.steps, restarts=limits.restarts, step_sizes=limits.step_sizes),
        'examples': lambda study: examples.examples(study, classes),
        'confusion': lambda study: examples.confusion(study, classes),
    }
