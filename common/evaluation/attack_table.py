"""Tables of accuracies under attack: one target network, rows that differ in attack and source."""

import contextlib
import copy
import dataclasses
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from common.attacks import PGD
from common.attacks.by_name import METHODS, make_attack
from common.data.batches import Examples
from common.evaluation.accuracy import OnBatch, Outcome, natural_accuracy
from common.evaluation.cascade import OnExamples, Stage, Verdict, worst_case
from common.evaluation.resumable import PartialResult
from common.evaluation.rows import Row
from common.evaluation.sanity_checks import Check, Suspect, checks
from common.networks.logits import ModelLogits
from common.networks.weights import weights_digest
from common.submission.writer import ImagesOnDisk
from common.threat_model import LinfBall
from common.transfer import Source, partial_result, transfer_accuracy


@dataclasses.dataclass(frozen=True)
class AttackSettings:
    """What the rows of a table have in common.

    Attributes:
        ball: the threat model.
        step_size: of PGD, in pixel units.
        num_classes: for targeted attacks.
        batch_size: images a batch.
        random_start: whether PGD starts from a random point.
        seed: of the attacks' randomness.
        attack_dtype: precision of the gradients; judgement is always in float32.
        jit_compile: whether XLA compiles the networks whose gradients are followed.
    """

    ball: LinfBall
    step_size: float
    num_classes: int
    batch_size: int
    random_start: bool = True
    seed: int = 0
    attack_dtype: str = 'float32'
    jit_compile: bool = False

    def __str__(self) -> str:
        start = 'a random start' if self.random_start else 'the image itself as the start'
        return (
            f'epsilon {self.ball.epsilon:g}, step size {self.step_size:g}, {start}, batches of '
            f'{self.batch_size}, seed {self.seed}, crafted in {self.attack_dtype}'
            f'{" by XLA" if self.jit_compile else ""}, judged in float32'
        )


PaperAccuracy = Callable[[str, int, int, str, str, AttackSettings], float | None]
"""(method, steps, restarts, source, target, settings) -> the paper's accuracy, 0 to 1, or None."""


class AttackTable:
    """Makes the rows, loading each network once.

    Attributes:
        examples: the images attacked.

    Args:
        examples: likewise.
        target: reference of the network judged.
        load: reference -> network.
        paper: what the paper reports.
        more_papers: name -> what else has been reported, for columns of their own.
        stands_for: the paper's network that the target is compared with; None for its namesake.
        settings: what the rows have in common.
        partial_folder: where interrupted rows are kept, and found again; None for nowhere.
    """

    def __init__(
        self,
        examples: Examples,
        target: str,
        *,
        load: Callable[[str], keras.Model],
        paper: PaperAccuracy,
        settings: AttackSettings,
        more_papers: dict[str, PaperAccuracy] | None = None,
        stands_for: str | None = None,
        partial_folder: pathlib.Path | None = None,
    ):
        self.examples, self._load = examples, load
        self._papers = {'paper': paper, **(more_papers or {})}
        self._settings, self._partial_folder = settings, partial_folder
        self._kept: list[PartialResult] = []
        self._networks: dict[str, Source] = {}
        self._others: dict[str, AttackTable] = {}
        self._aim(target, stands_for or target)

    def _aim(self, target: str, stands_for: str) -> None:
        self._target, self._stands_for = self._network(target), stands_for
        self._natural = natural_accuracy(
            self._target.judge, self.examples, batch_size=self._settings.batch_size
        )

    def on(self, target: str) -> 'AttackTable':
        """The same attacks on another of the paper's networks."""
        if target == self._target.name:
            return self
        if target not in self._others:
            self._others[target] = copy.copy(self)  # sharing the networks
            self._others[target]._aim(target, target)
        return self._others[target]

    @property
    def name(self) -> str:
        """Of the network judged."""
        return self._target.name

    @property
    def digests(self) -> dict[str, str]:
        """Name -> SHA-256 of the weights of every network that was used."""
        return {name: weights_digest(source.model) for name, source in self._networks.items()}

    def natural_row(self) -> Row:
        """The row without an attack."""
        name = self._target.name
        return self._row(
            self._natural,
            'natural',
            0,
            1,
            name,
            shown=dict(steps=None, restarts=None, step_size=None, source=None),
        )

    def row(
        self, method: str, steps: int, restarts: int, source: str, on_batch: OnBatch | None = None
    ) -> Row:
        """The row of one attack.

        Args:
            method: one of `common.attacks.by_name.METHODS`, or 'natural', for which nothing else
                counts.
            steps: PGD steps; one-step methods have their own.
            restarts: runs an image has to survive.
            source: reference of the network whose gradients are followed.
            on_batch: called with each batch of adversarial images.
        """
        if method == 'natural':
            return self.natural_row()
        settings, target = self._settings, self._target
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
        name = f'{method}-{steps}x{restarts} from {source} on {target.name}'
        shared = dict(
            batch_size=settings.batch_size,
            seed=settings.seed,
            attack_dtype=settings.attack_dtype,
            jit_compile=settings.jit_compile,
        )
        outcome = transfer_accuracy(
            attack,
            self._network(source),
            target,
            self.examples,
            progress=name,
            on_batch=on_batch,
            partial_folder=self._partial_folder,
            **shared,
        )
        if self._partial_folder is not None:
            self._kept.append(
                partial_result(
                    self._partial_folder,
                    attack,
                    self._network(source),
                    target,
                    self.examples,
                    **shared,
                )
            )
        return self._row(
            outcome,
            method,
            steps,
            restarts,
            source,
            shown=dict(steps=steps, restarts=restarts, step_size=step_size, source=source),
        )

    def forget(self) -> None:
        """Removes what the rows made so far have left in the folder of partial results."""
        while self._kept:
            self._kept.pop().remove()
        if self._partial_folder is not None:
            with contextlib.suppress(OSError):  # not there, or others' results lie there
                self._partial_folder.rmdir()

    def partial(
        self, folder: pathlib.Path, stages: Sequence[Stage], *determines: Any
    ) -> PartialResult:
        """Where a cascade against the target is kept, by all that determines it."""
        settings = self._settings
        others = [weights_digest(self._network(name).model) for name in _sources(stages)]
        return PartialResult.of(
            folder,
            'worst_case',
            weights_digest(self._target.model),
            self.examples.digest(),
            settings.batch_size,
            settings.seed,
            settings.attack_dtype,
            settings.jit_compile,
            tuple(stages),
            *others,
            *determines,
        )

    def worst_case(
        self,
        stages: Sequence[Stage],
        partial: PartialResult | None = None,
        on_examples: OnExamples | None = None,
        preset: str | None = None,
    ) -> tuple[Row, Verdict]:
        """The target under a cascade that follows its own gradients.

        Args:
            stages: the cascade.
            partial: where an interrupted one left its results, and leaves them again.
            on_examples: receives the worst examples.
            preset: the cascade's name, for the row.
        """
        settings = self._settings

        def followed(network: Source) -> ModelLogits:
            return ModelLogits(
                network.model, settings.attack_dtype, jit_compile=settings.jit_compile
            )

        verdict = worst_case(
            stages,
            followed(self._target),
            self._target.judge,
            self.examples,
            others={name: followed(self._network(name)) for name in _sources(stages)},
            batch_size=settings.batch_size,
            seed=settings.seed,
            progress=f'worst case of {self._target.name}',
            on_examples=on_examples,
            partial=partial,
        )
        return Row(
            method='worst_case',
            steps=None,
            restarts=None,
            step_size=None,
            source=self._target.name,
            target=self._target.name,
            epsilon=settings.ball.epsilon,
            natural=self._natural.accuracy,
            accuracy=verdict.accuracy,
            n=verdict.n,
            interval=verdict.interval,
            paper=None,
            seconds=round(float(verdict.seconds.sum()), 3),
            gradients=int(verdict.gradients.sum()),
            preset=preset,
        ), verdict

    def require_broken(self, worst: ImagesOnDisk, verdict: Verdict) -> None:
        """Makes sure that images are what a cascade says of them.

        Raises:
            UserError: one lies outside of the ball, or is judged otherwise.
        """
        worst.require(
            self._target.judge,
            self._settings.ball,
            self.examples,
            verdict.standing,
            self._settings.batch_size,
        )

    def checks(
        self, pgd: PGD, count: int, others: Sequence[str], standing: np.ndarray
    ) -> Iterator[Check]:
        """Signs that the target's accuracy is not what it seems, one after the other.

        Args:
            pgd: the attack in question.
            count: how many of the images are looked at, evenly spread.
            others: references of networks whose examples are tried as well.
            standing: [n] bool: the images that a cascade has left.
        """
        settings = self._settings
        chosen = slice(None, None, -(-len(self.examples) // count))
        suspect = Suspect(
            ModelLogits(self._target.model),
            pgd,
            self.examples.subset(chosen),
            settings.seed,
            settings.batch_size,
        )
        return checks(
            suspect,
            standing=standing[chosen],
            sources={
                name: lambda name=name: ModelLogits(self._network(name).model) for name in others
            },
        )

    def _row(
        self,
        outcome: Outcome,
        method: str,
        steps: int,
        restarts: int,
        source: str,
        shown: dict[str, Any],
    ) -> Row:
        in_paper = source
        if source == self._target.name:
            in_paper = self._stands_for
        elif source == self._stands_for:
            in_paper = f'another {source}'  # the paper's own network is the target here
        papers = {
            name: paper(method, steps, restarts, in_paper, self._stands_for, self._settings)
            for name, paper in self._papers.items()
        }
        return Row.of(
            outcome,
            method=method,
            target=self._target.name,
            epsilon=self._settings.ball.epsilon,
            natural=self._natural.accuracy,
            paper=papers.pop('paper'),
            more_papers=papers,
            **shown,
        )

    def _network(self, reference: str) -> Source:
        if reference not in self._networks:
            self._networks[reference] = Source(reference, self._load(reference))
        return self._networks[reference]


def _sources(stages: Sequence[Stage]) -> list[str]:
    """The other networks that a cascade follows, each once."""
    return sorted({stage.source for stage in stages if stage.source})
