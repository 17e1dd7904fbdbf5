"""The table of all figures: a new one is a file in this folder and a row here."""

import dataclasses
import inspect
import os
import sys
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from common.errors import UserError
from common.files import require_writable
from common.report.exhibit import SUFFIX, Exhibit
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

ALL = 'all'


@dataclasses.dataclass(frozen=True)
class FigureRanges:
    """Where figures measure accuracy.

    Attributes:
        radii: radii of the ball, in pixel units, from 0.
        steps: numbers of PGD steps.
        restarts: numbers of PGD restarts.
        step_sizes: sizes of a PGD step, in pixel units.
    """

    radii: Sequence[float]
    steps: Sequence[int]
    restarts: Sequence[int]
    step_sizes: Sequence[float]


@dataclasses.dataclass(frozen=True)
class Details:
    """What the figures of a data set need besides the study.

    Attributes:
        classes: their names.
        released: name -> record of the released networks, from manifest.json.
        ranges: where accuracy is measured; None for no such figures.
        capacity: makes figure 3's study and its networks from the study of the other figures.
        restarts_of_an_image: of figures 1 and 2 and the landscape; None for the paper's.
        compared_alike: the released networks that claims about transfer compare, because their
            trainings differ in the adversary alone; None for all of them.
    """

    classes: Sequence[str]
    released: dict[str, Any]
    ranges: FigureRanges | None
    capacity: Callable[[Study], tuple[Study, capacity.Sweep]]
    restarts_of_an_image: int | None = None
    compared_alike: Collection[str] | None = None


CATALOGUE: dict[str, tuple[str, Callable[..., Exhibit]]] = {
    '1': ('losses of the maxima that PGD finds', restarts.figure_1),
    '2': ('loss along the iterations of PGD', restarts.figure_2),
    '3': ('capacity: trains networks of several widths', capacity.figure_3),
    '4': ('adversarial loss during training', progress.figure_4),
    'landscape': ("section 3.1, the maxima's geometry", geometry.landscape),
    'directions': (
        'the loss along random directions and in linear subspaces',
        directions.directions,
    ),
    'transfer': (
        'every source against every target, and the cosines of their gradients',
        transfer.transfer_matrix,
    ),
    'epsilons': ('accuracy against epsilon', strength.epsilons),
    'convergence': ('accuracy against steps, restarts and step size', strength.convergence),
    'examples': ('images, adversarial ones, perturbations', examples.examples),
    'confusion': ('which classes are mistaken for which under attack', examples.confusion),
}
"""Name, as programs take it, -> what the figure shows, and what computes and draws it.

Each takes the study and, by their names, the fields of `Details` and its ranges that it needs.
"""

FIGURES = {name: words for name, (words, _) in CATALOGUE.items()}
"""Name -> what it shows."""


def exhibit(figure: str, study: Study, details: Details) -> Exhibit:
    """Computes and draws one of FIGURES.

    Raises:
        UserError: a network is missing, too few images, or a data set that lacks what the figure
            needs.
    """
    _, compute = CATALOGUE[figure]
    known = {**vars(details), **(vars(details.ranges) if details.ranges else {})}
    needed = list(inspect.signature(compute).parameters)[1:]
    if not known.keys() >= set(needed):
        raise UserError(
            'expected a data set that says at which radii and steps accuracy is measured; found '
            'one that does not. Choose another figure.'
        )
    return compute(study, **{name: known[name] for name in needed})


def make(figure: str, study: Study, details: Details) -> None:
    """Makes one figure, or all, and writes their exhibits.

    Args:
        figure: one of FIGURES, or 'all'.
        study: the data set.
        details: what else they need.

    Raises:
        UserError: a network is missing, or files cannot be written. With 'all', the figures that
            can be made are made first.
    """
    _require(study, details)
    names = list(FIGURES) if figure == ALL else [figure]
    require_writable(study.output_dir / 'cache' / 'any')
    for name in names:
        stem = f'{study.key}_{_in_full(name)}{study.variant}'
        for suffix in (SUFFIX, '.png'):
            require_writable(study.output_dir / f'{stem}{suffix}')
    failed = []
    for name in names:
        try:
            start = time.perf_counter()
            made = exhibit(name, study, details)
            made = dataclasses.replace(made, seconds=time.perf_counter() - start)
            print(f'{made.title}: {made.write(study.output_dir)}', flush=True)
            for line in (*made.claims, *made.remarks):
                print(f'  {line}')
        except UserError as error:
            if figure != ALL:
                raise
            failed.append(name)
            print(f'figure {name}: {error}', file=sys.stderr)
    if failed:
        raise UserError(
            f'expected all figures; not made, for the reasons above: {", ".join(failed)}. The '
            'others were written.'
        )


def _in_full(figure: str) -> str:
    """What files call a figure."""
    return f'figure_{figure}' if figure.isdecimal() else figure


def _require(study: Study, details: Details) -> None:
    """Raises UserError where no figure could be made."""
    if not study.pgd.ball.epsilon > 0:
        raise UserError(
            'expected --epsilon above 0 for figures of the adversary; found 0. Choose '
            "a radius, or drop --epsilon for the paper's."
        )
    if len(study.compared) != 2:
        raise UserError(
            f'expected two networks that figures compare; found {len(study.compared)} named by the '
            'data set.'
        )
    missing = [
        name for name in study.compared if name not in details.released and not os.path.exists(name)
    ]
    if missing:
        raise UserError(
            f'expected the released networks {" and ".join(study.compared)}; found no record of '
            f'{" and ".join(missing)} in the manifest. Restore checkpoints/ (git checkout, or '
            'install the package again).'
        )
