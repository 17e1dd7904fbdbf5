"""Tables of accuracies under attack: one target network, rows that differ in attack and source."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from common.attacks.by_name import METHODS, make_attack
from common.data.batches import Examples
from common.evaluation.accuracy import Outcome, natural_accuracy
from common.evaluation.cascade import OnBatch
from common.evaluation.crafting import Crafting
from common.evaluation.resumable import PartialResult
from common.evaluation.rows import Row
from common.threat_model import Ball
from common.transfer import Source, Sources, partial_result, transfer_accuracy


@dataclasses.dataclass(frozen=True)
class AttackSettings:
    """What the rows of a table have in common.

    Attributes:
        ball: the threat model.
        step_size: size of a PGD step, in pixel units.
        num_classes: number of classes, for targeted attacks.
        crafting: batch size, seed, precision and compiler of the attacks.
        random_start: whether PGD starts from a random point of the ball.
    """

    ball: Ball
    step_size: float
    num_classes: int
    crafting: Crafting
    random_start: bool = True

    def __str__(self) -> str:
        start = 'a random start' if self.random_start else 'the image itself as the start'
        return (
            f'epsilon {self.ball.epsilon:g}, step size {self.step_size:g}, {start}, '
            f'{self.crafting}, judged in float32'
        )


PaperAccuracy = Callable[[str, int, int, str, str, AttackSettings], float | None]
"""(method, steps, restarts, source, target, settings) -> the paper's accuracy, 0 to 1, or None."""


@dataclasses.dataclass(frozen=True)
class Published:
    """Published accuracies, for columns beside the measured ones.

    Attributes:
        columns: heading -> what it reports; the paper's own is 'paper'.
        stands_for: the paper's network that the target is compared with; None for its namesake.
    """

    columns: Mapping[str, PaperAccuracy] = dataclasses.field(default_factory=dict)
    stands_for: str | None = None

    def beside(
        self,
        method: str,
        steps: int,
        restarts: int,
        source: str,
        target: str,
        settings: AttackSettings,
    ) -> dict[str, float | None]:
        """Heading -> published accuracy, 0 to 1, of a measured row; None where there is none."""
        in_paper = self.stands_for or target
        if source == target:
            source = in_paper
        elif source == in_paper:
            source = f'another {source}'  # the target stands for the paper's own network here
        return {
            name: accuracy(method, steps, restarts, source, in_paper, settings)
            for name, accuracy in self.columns.items()
        }


@dataclasses.dataclass(frozen=True)
class AttackTable:
    """Measures the rows of one target network.

    Attributes:
        examples: the n images, all of which are attacked.
        target: reference of the network under evaluation.
        settings: what the rows have in common.
        networks: the networks by reference.
        published: what has been published.
        partial_folder: where unfinished rows are kept, and continued; None keeps none.
    """

    examples: Examples
    target: str
    settings: AttackSettings
    networks: Sources
    published: Published = Published()
    partial_folder: pathlib.Path | None = None

    @property
    def network(self) -> Source:
        """The network under evaluation."""
        return self.networks[self.target]

    @functools.cached_property
    def natural(self) -> Outcome:
        """The target's predictions on the natural images."""
        batch_size = self.settings.crafting.batch_size
        return natural_accuracy(self.network.judge, self.examples, batch_size=batch_size)

    @functools.cached_property
    def _others(self) -> dict[str, 'AttackTable']:
        return {}

    @functools.cached_property
    def _kept(self) -> list[PartialResult]:
        return []

    def on(self, target: str) -> 'AttackTable':
        """The same attacks on another of the paper's networks."""
        if target == self.target:
            return self
        if target not in self._others:
            published = dataclasses.replace(self.published, stands_for=None)
            self._others[target] = dataclasses.replace(self, target=target, published=published)
        return self._others[target]

    @property
    def digests(self) -> dict[str, str]:
        """Reference -> SHA-256 of the weights, of every network that was used."""
        return self.networks.digests

    def natural_row(self) -> Row:
        """The row without an attack."""
        published = self.published.beside('natural', 0, 1, self.target, self.target, self.settings)
        return self.row_of(self.natural, published, method='natural')

    def row(
        self, method: str, steps: int, restarts: int, source: str, on_batch: OnBatch | None = None
    ) -> Row:
        """The row of one attack.

        Args:
            method: one of `common.attacks.by_name.METHODS`, or 'natural', which ignores the other
                arguments.
            steps: PGD steps; one-step methods ignore it.
            restarts: number of runs that an image has to survive.
            source: reference of the network whose gradients are followed.
            on_batch: called with each batch of adversarial images.

        Raises:
            UserError: there is no such network, or the method does not allow these steps or
                restarts.
        """
        if method == 'natural':
            return self.natural_row()
        settings, target = self.settings, self.network
        ignored, step_size = METHODS[method].ignores, settings.step_size
        if 'steps' in ignored:
            steps, step_size = 1, settings.ball.epsilon
        elif 'step_size' in ignored:
            step_size = None
        attack = make_attack(
            method,
            settings.ball,
            steps=steps,
            step_size=settings.step_size,
            restarts=restarts,
            random_start=settings.random_start,
            num_classes=settings.num_classes,
        )
        experiment = (attack, self.networks[source], target, self.examples)
        outcome = transfer_accuracy(
            *experiment,
            crafting=settings.crafting,
            progress=f'{method}-{steps}x{restarts} from {source} on {target.name}',
            on_batch=on_batch,
            partial_folder=self.partial_folder,
        )
        if self.partial_folder is not None:
            self._kept.append(partial_result(self.partial_folder, *experiment, settings.crafting))
        return self.row_of(
            outcome,
            self.published.beside(method, steps, restarts, source, target.name, settings),
            method=method,
            steps=steps,
            restarts=restarts,
            step_size=step_size,
            source=source,
        )

    def row_of(self, outcome: Outcome, published: Mapping[str, float | None], **attack: Any) -> Row:
        """The row of an outcome on the target.

        Args:
            outcome: the target's predictions on all images.
            published: heading -> published accuracy, 0 to 1, or None.
            **attack: the fields of the row that describe the attack.
        """
        return Row.of(
            outcome,
            target=self.target,
            epsilon=self.settings.ball.epsilon,
            natural=self.natural.accuracy,
            paper=published.get('paper'),
            more_papers={name: value for name, value in published.items() if name != 'paper'},
            **attack,
        )

    def forget(self) -> None:
        """Removes what the rows made so far have left in the folder of partial results."""
        while self._kept:
            self._kept.pop().remove()
        if self.partial_folder is not None:
            with contextlib.suppress(OSError):  # not there, or others' results lie there
                self.partial_folder.rmdir()
