"""The table of all figures: a new one is a file in this folder and a row here."""

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Collection, Sequence
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

    @property
    def measured(self) -> FigureRanges:
        """Where accuracy is measured.

        Raises:
            UserError: the data set does not say.
        """
        if self.ranges is None:
            raise UserError(
                'expected a data set that says at which radii and steps accuracy is measured; '
                'found one that does not. Choose another figure.'
            )
        return self.ranges

    def record(self, name: str) -> dict[str, Any]:
        """The manifest's record of a released network.

        Raises:
            UserError: the network is not a released one.
        """
        if name not in self.released:
            raise UserError(
                f'expected a released network, whose training log is known; found {name}. Choose '
                'another figure.'
            )
        return self.released[name]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A row of the table.

    Attributes:
        words: what it shows.
        make: computes and draws it.
    """

    words: str
    make: Callable[[Study, Details], Exhibit]


CATALOGUE: dict[str, Figure] = {
    '1': Figure(
        'losses of the maxima that PGD finds',
        lambda study, of: restarts.figure_1(study, of.restarts_of_an_image),
    ),
    '2': Figure(
        'loss along the iterations of PGD',
        lambda study, of: restarts.figure_2(study, of.restarts_of_an_image),
    ),
    '3': Figure(
        'capacity: trains networks of several widths',
        lambda study, of: capacity.figure_3(*of.capacity(study)),
    ),
    '4': Figure(
        'adversarial loss during training',
        lambda study, of: progress.figure_4(study, of.record(study.adversarial), RELEASED),
    ),
    'landscape': Figure(
        "section 3.1, the maxima's geometry",
        lambda study, of: geometry.landscape(study, of.restarts_of_an_image),
    ),
    'directions': Figure(
        'the loss along random directions and in linear subspaces',
        lambda study, _: directions.directions(study),
    ),
    'transfer': Figure(
        'every source against every target, and the cosines of their gradients',
        lambda study, of: transfer.transfer_matrix(study, of.released, of.compared_alike),
    ),
    'epsilons': Figure(
        'accuracy against epsilon', lambda study, of: strength.epsilons(study, of.measured.radii)
    ),
    'convergence': Figure(
        'accuracy against steps, restarts and step size',
        lambda study, of: strength.convergence(
            study,
            steps=of.measured.steps,
            restarts=of.measured.restarts,
            step_sizes=of.measured.step_sizes,
        ),
    ),
    'examples': Figure(
        'images, adversarial ones, perturbations',
        lambda study, of: examples.examples(study, of.classes),
    ),
    'confusion': Figure(
        'which classes are mistaken for which under attack',
        lambda study, of: examples.confusion(study, of.classes),
    ),
}
"""Name, as programs take it, -> figure."""

FIGURES = {name: figure.words for name, figure in CATALOGUE.items()}
"""Name -> what it shows."""


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
    require_writable(study.output_dir / 'cache' / 'any')
    failed = []
    for name in FIGURES if figure == ALL else [figure]:
        try:
            _make_one(name, study, details)
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


def _make_one(name: str, study: Study, details: Details) -> None:
    start = time.perf_counter()
    exhibit = CATALOGUE[name].make(study, details)
    exhibit = dataclasses.replace(exhibit, seconds=time.perf_counter() - start)
    path = exhibit.write(study.output_dir)
    print(f'{exhibit.title}: {path}', flush=True)
    for line in (*exhibit.claims, *exhibit.remarks):
        print(f'  {line}')
