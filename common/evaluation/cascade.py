"""Accuracy under one attack, or under a cascade whose stages attack only surviving images.

An accuracy under one attack is a cascade of one stage, so that both share one loop over batches.
The loop keeps its state on disk and continues from there after an interruption. Several hosts
(`common.distribution`) share the batches of each run, exchange results after it, and so have the
same state in the next one; each keeps its own file.
"""

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
import tqdm

from common.attacks import Attack, CompiledAttack, Restarts
from common.attacks.restarts import restart_seed
from common.data.batches import Examples
from common.data.checked import require_fit
from common.distribution import Hosts, hosts
from common.evaluation.accuracy import Judge, Outcome, require_some
from common.evaluation.concurrent_batches import in_order, split
from common.evaluation.crafting import Crafting
from common.evaluation.resumable import PartialResult
from common.evaluation.verdict import SURVIVES, Stage, Verdict
from common.networks.logits import LogitsFn

OnBatch = Callable[[np.ndarray, np.ndarray], None]
"""Receives [k] indices and the [k, ...] float32 adversarial images of each attacked batch.

In the first stage of a cascade it receives all images, in later stages those that the stage breaks:
what it receives last for an image is its worst example.
"""


def adversarial_accuracy(
    attack: Attack,
    source: keras.Model | LogitsFn,
    target: keras.Model | LogitsFn,
    examples: Examples,
    *,
    crafting: Crafting,
    progress: str | None = None,
    on_batch: OnBatch | None = None,
    partial: PartialResult | None = None,
) -> Outcome:
    """Accuracy of `target` on adversarial images that follow the gradients of `source`.

    `Restarts` are run one after the other on the images that survive so far: an image broken once
    needs no further work.

    Args:
        attack: the attack.
        source: the network whose gradients are followed; the target itself for white box.
        target: the network under evaluation; its predictions always use float32.
        examples: the n images, all of which are attacked.
        crafting: batch size, seed, precision and compiler of the attack.
        progress: words before the progress bar; None shows none.
        on_batch: called after each batch that is attacked in this call.
        partial: where an interrupted evaluation left its state, and this one leaves its own.

    Raises:
        UserError: no examples, or NaN logits.
        ValueError: `crafting` asks for bfloat16 or XLA, and `source` is not a Keras model.

    On a linear model PGD finds the worst image of the ball. Here the logits are (pixel, 0.55), and
    the attack moves the pixel by 0.1: of these four only 0.5 crosses the boundary.

    >>> from common.attacks import PGD
    >>> from common.threat_model import LinfBall
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.array([[1.0, 0.0]]), np.array([0.0, 0.55])])
    >>> x = np.array([[0.1], [0.3], [0.5], [0.9]], np.float32)
    >>> examples = Examples(x, np.array([1, 1, 1, 0], np.int32), 'four pixels')
    >>> attack = PGD(LinfBall(0.1), steps=5, step_size=0.05)
    >>> outcome = adversarial_accuracy(attack, model, model, examples, crafting=Crafting(2))
    >>> outcome.accuracy, outcome.correct.tolist(), outcome.gradients
    (0.75, [True, True, False, True], 20)
    """
    single, restarts = single_run(attack)
    return compiled_accuracy(
        CompiledAttack(single, crafting.logits(source)),
        Judge(target),
        examples,
        restarts=restarts,
        crafting=crafting,
        progress=progress,
        on_batch=on_batch,
        partial=partial,
    )


def single_run(attack: Attack) -> tuple[Attack, int]:
    """One run of the attack, and the number of runs."""
    return (attack.attack, attack.restarts) if isinstance(attack, Restarts) else (attack, 1)


def compiled_accuracy(
    perturb: CompiledAttack,
    judge: Judge,
    examples: Examples,
    *,
    crafting: Crafting,
    restarts: int = 1,
    progress: str | None = None,
    on_batch: OnBatch | None = None,
    partial: PartialResult | None = None,
) -> Outcome:
    """`adversarial_accuracy` with attack and network compiled before, for evaluations in a row.

    Args:
        perturb: one run of the attack on the network whose gradients it follows.
        judge: the network under evaluation.
        examples: the n images.
        crafting: batch size and seed; `perturb` has precision and compiler already.
        restarts: number of runs.
        progress: words before the progress bar; None shows none.
        on_batch: called after each batch that is attacked in this call.
        partial: where an interrupted evaluation left its state, and this one leaves its own.

    Raises:
        UserError: no examples, or NaN logits.
    """
    stages = (Stage('', perturb.attack, restarts),)
    cascade = _Cascade(stages, lambda _: perturb, judge, examples, crafting)
    return cascade.run(progress, on_batch, partial).outcome


def worst_case(
    stages: Sequence[Stage],
    source: keras.Model | LogitsFn,
    judge: Judge,
    examples: Examples,
    *,
    crafting: Crafting,
    others: Mapping[str, keras.Model | LogitsFn] | None = None,
    progress: str | None = None,
    on_batch: OnBatch | None = None,
    partial: PartialResult | None = None,
) -> Verdict:
    """Runs the stages one after the other on the images that survive so far.

    Stage s, restart r, batch b depend on the seed and these numbers. The first stage is run on the
    same batches with the same randomness as `adversarial_accuracy` runs it, so that no more images
    survive a cascade than its first attack alone.

    Args:
        stages: the attacks; those that break most for their cost come first.
        source: the network whose gradients are followed where a stage names no other.
        judge: the network under evaluation.
        examples: the n images, all of which are attacked.
        crafting: batch size, seed, precision and compiler of the attacks.
        others: name -> network, for the stages that name one.
        progress: words before the progress bar; None shows none.
        on_batch: called with adversarial images, before their batch is recorded on disk.
        partial: where an interrupted cascade left its state, and this one leaves its own.

    Raises:
        UserError: no examples, or NaN logits.
        ValueError: `crafting` asks for bfloat16 or XLA of a network that is not a Keras model.

    Again with logits (pixel, 0.55): the second attack reaches further than the first one, and is
    not spent on the image that is broken already.

    >>> from common.attacks import PGD
    >>> from common.threat_model import LinfBall
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    >>> model.set_weights([np.array([[1.0, 0.0]]), np.array([0.0, 0.55])])
    >>> x = np.array([[0.6], [0.7], [0.9]], np.float32)
    >>> examples = Examples(x, np.zeros(3, np.int32), 'three pixels')
    >>> near, far = (PGD(LinfBall(epsilon), 5, 0.1) for epsilon in (0.1, 0.2))
    >>> stages = (Stage('near', near), Stage('far', far))
    >>> verdict = worst_case(stages, model, Judge(model), examples, crafting=Crafting(2))
    >>> verdict.broken_by.tolist(), verdict.gradients.tolist(), verdict.after(1)
    ([0, 1, -1], [5, 10, 10], 0.6666666666666666)
    """
    networks: dict[str | None, LogitsFn] = {
        name: crafting.logits(other) for name, other in (others or {}).items()
    }
    networks[None] = crafting.logits(source)

    def compiled(stage: Stage) -> CompiledAttack:
        return CompiledAttack(stage.attack, networks[stage.source])

    cascade = _Cascade(stages, compiled, judge, examples, crafting)
    return cascade.run(progress, on_batch, partial)


@dataclasses.dataclass
class _State:
    """How far a cascade has come: enough to continue after an interruption."""

    broken_by: np.ndarray  # [n] int32: number of the stage, or SURVIVES
    restarts: np.ndarray  # [n] int32: the restart of that stage
    predictions: np.ndarray  # [n] int32: predicted class in the image's last run
    losses: np.ndarray  # [n] float32: cross-entropy in the image's last run
    seconds: np.ndarray  # [stages] float64
    done: np.ndarray  # [batches] bool: batches of the present run that are recorded
    position: Sequence[int] = (0, 0)  # stage and restart of the present run

    @classmethod
    def start(cls, n: int, stages: int, batch_size: int) -> '_State':
        return cls(
            broken_by=np.full(n, SURVIVES, np.int32),
            restarts=np.zeros(n, np.int32),
            predictions=np.zeros(n, np.int32),
            losses=np.zeros(n, np.float32),
            seconds=np.zeros(stages),
            done=np.zeros(-(-n // batch_size), bool),
        )

    def __post_init__(self):
        self.position = tuple(map(int, self.position))  # from disk it comes as an array

    @property
    def survived(self) -> np.ndarray:
        """[n] bool: whether nothing so far has broken the image."""
        return self.broken_by == SURVIVES

    @property
    def progress(self) -> tuple[int, ...]:
        """Grows with every batch."""
        return *self.position, int(self.done.sum())

    def attacked(self) -> np.ndarray:
        """Indices of the images that survived all runs before the present one."""
        stage, restart = self.position
        in_this_run = (self.broken_by == stage) & (self.restarts == restart)
        return np.flatnonzero(self.survived | in_this_run)

    def begin(self, stage: int, restart: int) -> None:
        """Goes on to another run."""
        self.done[:] = False  # first: interrupted here, the run before is merely done again
        self.position = stage, restart

    def record(
        self,
        batch: int,
        index: np.ndarray,
        broken: np.ndarray,
        predictions: np.ndarray,
        losses: np.ndarray,
        seconds: float,
    ) -> None:
        """Records the results of a batch of the present run.

        An interruption in the middle does no harm: the batch is then attacked again.
        """
        stage, restart = self.position
        self.predictions[index], self.losses[index] = predictions, losses
        self.restarts[index[broken]] = restart  # before the next line, which makes it count
        self.broken_by[index[broken]] = stage
        self.seconds[stage] += seconds
        self.done[batch] = True

    def exchange(self, hosts: Hosts, batch_size: int) -> None:
        """Makes the state the same on all hosts: the furthest run, and what each has done of it.

        Each image's results come from the first host that has recorded its batch, or else from the
        first of those that have come to this run. Hosts that have not come so far, since their
        files are lost, give nothing. Seconds are those of the slowest host.

        Raises:
            UserError: a host has stopped.
        """
        if hosts.count == 1:
            return
        table = hosts.gather(np.concatenate([self.position, self.done, self.seconds]))
        positions = [tuple(map(int, row[:2])) for row in table]
        furthest = [h for h, position in enumerate(positions) if position == max(positions)]
        done = table[:, 2 : 2 + len(self.done)] > 0
        source = np.full(len(self.done), furthest[0])
        for host in reversed(furthest):
            source[done[host]] = host
        mine = np.full(len(self.broken_by), hosts.index == furthest[0])
        if hosts.index in furthest:
            for batch, index in enumerate(split(self.attacked(), batch_size)):
                mine[index] = source[batch] == hosts.index
        names = ('broken_by', 'restarts', 'predictions', 'losses')
        before = [getattr(self, name) for name in names]
        after = hosts.sum(np.where(mine, before, 0.0))
        # All at once, so that an interruption leaves one state or the other.
        vars(self).update(
            {
                **{n: a.astype(b.dtype) for n, a, b in zip(names, after, before, strict=True)},
                'done': done[furthest].any(axis=0),
                'seconds': table[furthest, 2 + len(self.done) :].max(axis=0),
                'position': max(positions),
            }
        )

    def verdict(self, stages: Sequence[Stage]) -> Verdict:
        return Verdict(
            tuple(stages),
            self.broken_by,
            self.restarts,
            self.predictions,
            self.losses,
            self.seconds,
        )


@dataclasses.dataclass(frozen=True)
class _Cascade:
    """The loop over stages, restarts and batches."""

    stages: Sequence[Stage]
    compiled: Callable[[Stage], CompiledAttack]
    judge: Judge
    examples: Examples
    crafting: Crafting
    hosts: Hosts = dataclasses.field(default_factory=lambda: hosts())

    def run(
        self, progress: str | None, on_batch: OnBatch | None, partial: PartialResult | None
    ) -> Verdict:
        """Resumes from the state on disk, or starts from the beginning."""
        require_some(self.examples)
        if self.hosts.count > 1:
            key = None if partial is None else partial.key
            settings = (self.stages, self.crafting, self.examples.digest(), key)
            self.hosts.require_same('network, images and attacks', *settings)
        state = _State.start(len(self.examples), len(self.stages), self.crafting.batch_size)
        if partial is not None:
            state = _State(**partial.read(default=vars(state)))
        began = state.progress

        def keep() -> None:
            if partial is not None and state.progress != began:
                partial.write(vars(state))

        try:
            with self._bar(progress, state) as bar:
                for stage in self._batches(state, on_batch, keep):
                    words = [stage.name] if stage.name else []
                    words.append(f'{np.mean(state.survived):.2%} survive')
                    bar.update(self.hosts.count)
                    bar.set_postfix_str(', '.join(words), refresh=False)
                    if partial is not None:
                        partial.maybe_write(vars(state))
        finally:
            keep()
        return state.verdict(self.stages)

    def _require_fit(self) -> None:
        """Refuses images and labels that do not fit the network or an attack."""
        classes = self.judge.classes(self.examples)
        for bounds in {getattr(stage.attack, 'bounds', None) for stage in self.stages}:
            require_fit(self.examples, bounds, classes)

    def _batches(
        self, state: _State, on_batch: OnBatch | None, keep: Callable[[], None]
    ) -> Iterator[Stage]:
        """Advances `state` batch by batch to the end; yields the stage after each batch."""
        self._exchange(state, keep)  # what they have on disk
        if state.position[0] < len(self.stages):
            self._require_fit()
        while state.position[0] < len(self.stages) and state.survived.any():
            number, restart = state.position
            stage = self.stages[number]
            perturb = self.compiled(stage)
            while restart < stage.restarts and state.survived.any():
                start = time.perf_counter()
                for batch, index, x_adv, predictions, losses in self._rest_of_run(state, perturb):
                    broken = predictions != self.examples.y[index]
                    if on_batch is not None:  # before the batch counts as done, in case this fails
                        given = broken if number else slice(None)
                        on_batch(index[given], x_adv.numpy()[given])
                    start, before = time.perf_counter(), start
                    state.record(batch, index, broken, predictions, losses, start - before)
                    yield stage
                self._exchange(state, keep)
                restart += 1
                state.begin(number, restart)
            state.begin(number + 1, 0)

    def _exchange(self, state: _State, keep: Callable[[], None]) -> None:
        if self.hosts.count > 1:
            keep()  # whoever waits here for a lost host may have to be killed
            state.exchange(self.hosts, self.crafting.batch_size)

    def _rest_of_run(
        self, state: _State, perturb: CompiledAttack
    ) -> Iterator[tuple[int, np.ndarray, tf.Tensor, np.ndarray, np.ndarray]]:
        """This host's batches yet to come: number, indices, images, predictions and losses."""
        batches = split(state.attacked(), self.crafting.batch_size)
        rest = [number for number in range(len(batches)) if not state.done[number]]
        stage, restart = state.position
        seed = restart_seed(tf.constant([self.crafting.seed, stage]), restart)

        def attacked(number: int) -> tuple[int, np.ndarray, tf.Tensor, np.ndarray, np.ndarray]:
            index = batches[number]
            x, y = map(tf.constant, self.examples.batch(index))
            x_adv = perturb.craft(x, y, seed=tf.random.fold_in(seed, number))
            return number, index, x_adv, *self.judge(x_adv, y)

        return in_order(attacked, self.hosts.share(rest))

    def _bar(self, words: str | None, state: _State) -> tqdm.tqdm:
        # Batches of several stages cost too differently for their number to show what is left.
        total, done = None, 0
        if len(self.stages) == 1:
            batches = -(-len(self.examples) // self.crafting.batch_size)
            total = self.stages[0].restarts * batches
            _, restart, in_this_run = state.progress
            done = restart * batches + in_this_run
        return tqdm.tqdm(
            desc=words,
            total=total,
            initial=done,
            unit='batch',
            disable=words is None or not self.hosts.first,
            dynamic_ncols=True,
            leave=False,
            # Where no terminal rewrites the line, one line in a while is enough.
            mininterval=0.2 if sys.stderr.isatty() else 60,
        )
