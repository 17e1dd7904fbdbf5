"""What a cascade of attacks broke, stage by stage and image by image, and what that cost."""

import dataclasses
from typing import Any

import numpy as np

from common.attacks import Attack
from common.evaluation.accuracy import Outcome
from common.evaluation.rows import aligned
from common.statistics import wilson_interval

SURVIVES = -1
"""In place of a stage's number: the image is classified correctly under all of them."""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One attack of a cascade.

    Attributes:
        name: heading of its line in tables.
        attack: run once on every image that survives so far.
        restarts: number of runs, each on the images that survive so far.
        queries: forward passes without a gradient that a run spends on an image.
        source: another network whose gradients are followed, by name; None for the target's own.
    """

    name: str
    attack: Attack
    restarts: int = 1
    queries: int = 0
    source: str | None = None


@dataclasses.dataclass(frozen=True)
class StageResult:
    """What one stage broke, and what it spent.

    Attributes:
        stage: the stage.
        images: number of images that it attacked.
        broke: number of images that it broke.
        accuracy_after: share of all images that survive it and the stages before, 0 to 1.
        gradients: input gradients spent on all images together.
        queries: forward passes without a gradient spent on all images together.
        seconds: wall time, compilation included.
    """

    stage: Stage
    images: int
    broke: int
    accuracy_after: float
    gradients: int
    queries: int
    seconds: float


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Which of n images survive a cascade, and what broke the others.

    Attributes:
        stages: the attacks, in order.
        broken_by: [n] int32, number of the stage that broke the image, or SURVIVES.
        restart: [n] int32, the restart of that stage that broke it; 0 for survivors.
        predictions: [n] int32, predicted class in the image's last run.
        losses: [n] float32, cross-entropy in the image's last run.
        seconds: [stages] float64, wall time, compilation included.
    """

    stages: tuple[Stage, ...]
    broken_by: np.ndarray
    restart: np.ndarray
    predictions: np.ndarray
    losses: np.ndarray
    seconds: np.ndarray

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.broken_by)

    @property
    def survived(self) -> np.ndarray:
        """[n] bool: classified correctly under every attack."""
        return self.broken_by == SURVIVES

    @property
    def accuracy(self) -> float:
        """Share of images that survive, 0 to 1."""
        return float(np.mean(self.survived))

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the accuracy (Wilson), 0 to 1."""
        return wilson_interval(int(np.sum(self.survived)), self.n)

    def after(self, stages: int) -> float:
        """Share of images that survive the first `stages` stages, 0 to 1."""
        return float(np.mean(self.survived | (self.broken_by >= stages)))

    @property
    def gradients(self) -> np.ndarray:
        """[n] int64, input gradients spent on each image by all stages."""
        costs = [stage.attack.gradients for stage in self.stages]
        return np.sum([self.runs(i) * cost for i, cost in enumerate(costs)], axis=0)

    @property
    def queries(self) -> np.ndarray:
        """[n] int64, forward passes without a gradient spent on each image by all stages."""
        return np.sum([self.runs(i) * stage.queries for i, stage in enumerate(self.stages)], axis=0)

    @property
    def spent(self) -> str:
        """What all images cost, in words."""
        return f'{np.sum(self.gradients):,} gradients and {np.sum(self.queries):,} queries'

    def runs(self, stage: int) -> np.ndarray:
        """[n] int64, how often each image was attacked in stage number `stage`."""
        here = self.broken_by == stage
        reached = here | self.survived | (self.broken_by > stage)
        return reached * np.where(here, self.restart + 1, self.stages[stage].restarts)

    @property
    def outcome(self) -> Outcome:
        """The accuracy and its costs alone, without what broke each image."""
        return Outcome(
            self.survived,
            self.predictions,
            float(self.losses.mean()),
            float(self.seconds.sum()),
            int(self.gradients.sum()),
        )

    @property
    def results(self) -> list[StageResult]:
        """What each stage broke and spent."""
        found = []
        for number, stage in enumerate(self.stages):
            runs = self.runs(number)
            found.append(
                StageResult(
                    stage,
                    images=int(np.count_nonzero(runs)),
                    broke=int(np.sum(self.broken_by == number)),
                    accuracy_after=self.after(number + 1),
                    gradients=int(runs.sum() * stage.attack.gradients),
                    queries=int(runs.sum() * stage.queries),
                    seconds=float(self.seconds[number]),
                )
            )
        return found


def stage_rows(verdict: Verdict) -> list[dict[str, str]]:
    """Heading -> cell for each stage: what it broke, how many survive, and what it spent."""
    return [
        {
            'stage': result.stage.name,
            'restarts': str(result.stage.restarts),
            'images': f'{result.images:,}',
            'broke': f'{result.broke:,}',
            'left': f'{result.accuracy_after:.2%}',
            'gradients': f'{result.gradients:,}',
            'queries': f'{result.queries:,}',
            'seconds': f'{result.seconds:,.1f}',
        }
        for result in verdict.results
    ]


def table(verdict: Verdict) -> str:
    """The stages as aligned text, one a line, under their headings."""
    rows = stage_rows(verdict)
    return aligned([list(rows[0]), *(list(row.values()) for row in rows)], left=['stage'])


def records(verdict: Verdict) -> dict[str, Any]:
    """The verdict as values for JSON.

    Returns:
        'stages': what each broke and spent; 'images': lists with an element an image, the stage
        (None for survivors) and restart that broke it, and the gradients and queries it took.
    """
    return {
        'stages': [
            {
                'name': result.stage.name,
                'attack': repr(result.stage.attack),
                'restarts': result.stage.restarts,
                'broke': result.broke,
                'accuracy_after': result.accuracy_after,
                'gradients': result.gradients,
                'queries': result.queries,
                'seconds': round(result.seconds, 3),
            }
            for result in verdict.results
        ],
        'images': {
            'broken_by': [
                None if s == SURVIVES else verdict.stages[s].name for s in verdict.broken_by
            ],
            'restart': verdict.restart.tolist(),
            'gradients': verdict.gradients.tolist(),
            'queries': verdict.queries.tolist(),
        },
    }
