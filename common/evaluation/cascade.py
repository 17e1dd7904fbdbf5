"""A cascade of attacks in which only the images that still stand go on (worst-case accuracy)."""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tqdm

from common.attacks import Attack, CompiledAttack
from common.attacks.restarts import restart_seed
from common.data.batches import Examples
from common.errors import UserError
from common.evaluation.accuracy import Judge
from common.evaluation.concurrent_batches import in_order
from common.evaluation.resumable import PartialResult
from common.networks.logits import LogitsFn
from common.statistics import wilson_interval

STANDS = -1
OnExamples = Callable[[np.ndarray, np.ndarray], None]
"""Receives [k] numbers and [k, ...] float32 images: all of the first stage, then what breaks more.

What it received last for an image is its worst example.
"""


@dataclasses.dataclass(frozen=True)
class Stage:
    """One attack of a cascade.

    Attributes:
        name: in tables.
        attack: run once on every image that stands.
        restarts: how often, each time on what still stands.
        queries: forward passes without a gradient that a run spends on an image.
        source: another network whose gradients are followed, by name; None for the usual one.
    """

    name: str
    attack: Attack
    restarts: int = 1
    queries: int = 0
    source: str | None = None


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a cascade left of n images, and what broke the others.

    Attributes:
        stages: the attacks, in their order.
        broken_by: [n] int32 number of the stage that broke each image; STANDS for none.
        restart: [n] int32 in which restart of it.
        seconds: [stages] wall time, compilation included.
    """

    stages: tuple[Stage, ...]
    broken_by: np.ndarray
    restart: np.ndarray
    seconds: np.ndarray

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.broken_by)

    @property
    def standing(self) -> np.ndarray:
        """[n] bool: classified correctly under every attack."""
        return self.broken_by == STANDS

    @property
    def accuracy(self) -> float:
        """Share of images that stand, 0 to 1."""
        return float(np.mean(self.standing))

    @property
    def interval(self) -> tuple[float, float]:
        """95% interval of the accuracy (Wilson)."""
        return wilson_interval(int(np.sum(self.standing)), self.n)

    def after(self, stage: int) -> float:
        """Accuracy after so many stages, 0 to 1: after(0) is 1."""
        return float(np.mean((self.broken_by == STANDS) | (self.broken_by >= stage)))

    @property
    def gradients(self) -> np.ndarray:
        """[n] int64 input gradients spent on each image until it was broken, or in all."""
        return sum(self.runs(i) * stage.attack.gradients for i, stage in enumerate(self.stages))

    @property
    def queries(self) -> np.ndarray:
        """[n] int64 forward passes without a gradient, likewise."""
        return sum(self.runs(i) * stage.queries for i, stage in enumerate(self.stages))

    @property
    def spent(self) -> str:
        """What all images cost, in words."""
        return f'{np.sum(self.gradients):,} gradients and {np.sum(self.queries):,} queries'

    def runs(self, stage: int) -> np.ndarray:
        """[n] int64: how often each image was attacked in a stage."""
        here = self.broken_by == stage
        reached = here | (self.broken_by == STANDS) | (self.broken_by > stage)
        return reached * np.where(here, self.restart + 1, self.stages[stage].restarts)


@dataclasses.dataclass
class _State:
    """How far a cascade has come: enough to go on after an interruption."""

    broken_by: np.ndarray
    restarts: np.ndarray
    seconds: np.ndarray
    stage: int = 0
    restart: int = 0
    batch: int = 0

    @classmethod
    def start(cls, n: int, stages: int) -> '_State':
        return cls(np.full(n, STANDS, np.int32), np.zeros(n, np.int32), np.zeros(stages))

    @property
    def standing(self) -> np.ndarray:
        """[n] bool."""
        return self.broken_by == STANDS

    def attacked(self) -> np.ndarray:
        """Numbers of the images that stood when the present run began."""
        in_this_run = (self.broken_by == self.stage) & (self.restarts == self.restart)
        return np.flatnonzero(self.standing | in_this_run)

    def record(self, index: np.ndarray, broken: np.ndarray, seconds: float) -> None:
        """One batch of the present run."""
        self.restarts[index[broken]] = self.restart  # before the next line, which makes it count
        self.broken_by[index[broken]] = self.stage
        self.seconds[self.stage] += seconds
        self.batch += 1


def worst_case(
    stages: Sequence[Stage],
    source: LogitsFn,
    judge: Judge,
    examples: Examples,
    *,
    batch_size: int,
    seed: int = 0,
    progress: str | None = None,
    others: Mapping[str, LogitsFn] | None = None,
    on_examples: OnExamples | None = None,
    partial: PartialResult | None = None,
) -> Verdict:
    """Runs the stages one after the other on the images that still stand.

    Stage s, restart r, batch b depend on the seed and these numbers. The first stage is run on the
    same batches with the same randomness as `evaluation.adversarial_accuracy` would run it, so
    that a cascade never leaves more than its first attack alone.

    Args:
        stages: attacks, the cheapest killers first.
        source: the network whose gradients are followed where a stage names no other.
        judge: judges what the attacks return.
        examples: the images.
        batch_size: images a batch.
        seed: of the attacks' randomness.
        progress: words before the progress bar; None shows none.
        others: name -> network, for the stages that name one.
        on_examples: called with adversarial images, before the batch is recorded on disk.
        partial: where an interrupted cascade left its results, and leaves them again.

    Raises:
        UserError: no examples, or NaN logits.
    """
    if not len(examples):
        raise UserError(
            'expected at least one image to evaluate; found none. Raise --num_examples.'
        )
    state = _State.start(len(examples), len(stages))
    if partial is not None:
        state = _State(**partial.read(default=dataclasses.asdict(state)))
    sources = {**(others or {}), None: source}
    batches = _batches(state, stages, sources, judge, examples, batch_size, seed, on_examples)
    try:
        with tqdm.tqdm(
            desc=progress,
            unit='batch',
            disable=progress is None,
            leave=False,
            dynamic_ncols=True,
            mininterval=0.2 if sys.stderr.isatty() else 60,
        ) as bar:
            for words in batches:
                bar.update()
                bar.set_postfix_str(words, refresh=False)
                if partial is not None:
                    partial.maybe_write(dataclasses.asdict(state))
    finally:
        if partial is not None:
            partial.write(dataclasses.asdict(state))
    return Verdict(tuple(stages), state.broken_by, state.restarts, state.seconds)


def _batches(
    state: _State,
    stages: Sequence[Stage],
    sources: Mapping[str | None, LogitsFn],
    judge: Judge,
    examples: Examples,
    batch_size: int,
    seed: int,
    on_examples: OnExamples | None,
) -> Iterator[str]:
    """Goes on from the state to the end; yields words after each batch."""
    while state.stage < len(stages) and state.standing.any():
        stage = stages[state.stage]
        perturb = CompiledAttack(stage.attack, sources[stage.source])
        while state.restart < stage.restarts and state.standing.any():
            attacked = state.attacked()
            run_seed = restart_seed(tf.constant([seed, state.stage]), state.restart)
            start = time.perf_counter()
            for index, x_adv, broken in _run(
                perturb, judge, examples, attacked, batch_size, run_seed, state.batch
            ):
                if on_examples is not None:
                    kept = broken if state.stage else np.ones(len(index), bool)
                    on_examples(index[kept], x_adv.numpy()[kept])
                start, before = time.perf_counter(), start
                state.record(index, broken, start - before)
                yield f'{stage.name}, {np.mean(state.standing):.2%} stand'
            state.restart, state.batch = state.restart + 1, 0
        state.stage, state.restart = state.stage + 1, 0


def _run(
    perturb: CompiledAttack,
    judge: Judge,
    examples: Examples,
    attacked: np.ndarray,
    batch_size: int,
    seed: tf.Tensor,
    first: int,
) -> Iterator[tuple[np.ndarray, tf.Tensor, np.ndarray]]:
    """Numbers, adversarial images, and whether these fool, of each batch from the first on."""

    def work(number: int) -> tuple[np.ndarray, tf.Tensor, np.ndarray]:
        index = attacked[number * batch_size :][:batch_size]
        x, y = tf.constant(examples.x[index]), tf.constant(examples.y[index])
        x_adv = perturb(x, y, seed=tf.random.fold_in(seed, number))
        return index, x_adv, judge(x_adv, y)[0] != examples.y[index]

    return in_order(work, range(first, -(-len(attacked) // batch_size)))


def stage_rows(verdict: Verdict) -> list[dict[str, str]]:
    """Heading -> cell of each stage: what it cost, what it broke, what was left."""
    found = []
    for number, stage in enumerate(verdict.stages):
        runs = verdict.runs(number)
        found.append(
            {
                'stage': stage.name,
                'restarts': str(stage.restarts),
                'images': f'{np.count_nonzero(runs):,}',
                'broke': f'{np.sum(verdict.broken_by == number):,}',
                'left': f'{verdict.after(number + 1):.2%}',
                'gradients': f'{runs.sum() * stage.attack.gradients:,}',
                'queries': f'{runs.sum() * stage.queries:,}',
                'seconds': f'{verdict.seconds[number]:,.1f}',
            }
        )
    return found


def table(verdict: Verdict) -> str:
    """The stages as aligned text."""
    found = stage_rows(verdict)
    cells = [tuple(found[0]), *(tuple(row.values()) for row in found)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        '  '.join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    ]
    return '\n'.join([lines[0], '-' * len(lines[0]), *lines[1:]])


def records(verdict: Verdict) -> dict[str, Any]:
    """What JSON can hold: the stages, and of each image what broke it after how many gradients."""
    return {
        'stages': [
            {
                'name': stage.name,
                'attack': repr(stage.attack),
                'restarts': stage.restarts,
                'broke': int(np.sum(verdict.broken_by == number)),
                'accuracy_after': verdict.after(number + 1),
                'gradients': int(verdict.runs(number).sum() * stage.attack.gradients),
                'queries': int(verdict.runs(number).sum() * stage.queries),
                'seconds': round(float(verdict.seconds[number]), 3),
            }
            for number, stage in enumerate(verdict.stages)
        ],
        'images': {
            'broken_by': [
                None if s == STANDS else verdict.stages[s].name for s in verdict.broken_by
            ],
            'restart': verdict.restart.tolist(),
            'gradients': verdict.gradients.tolist(),
            'queries': verdict.queries.tolist(),
        },
    }
