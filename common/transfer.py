"""Evaluating an attack that follows one network's gradients on another (paper, sections 4 and 5).

White box is the case in which both are the same network.
"""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Sequence

import keras
import tensorflow as tf

from common.attacks import Attack, CompiledAttack
from common.data.batches import Examples
from common.evaluation.accuracy import Judge, OnBatch, Outcome, compiled_accuracy, single_run
from common.evaluation.resumable import PartialResult
from common.networks.logits import ModelLogits
from common.networks.weights import weights_digest


@dataclasses.dataclass(frozen=True)
class Source:
    """A network and the name by which tables call it."""

    name: str
    model: keras.Model

    @functools.cached_property
    def judge(self) -> Judge:
        """Judges images by this network in float32; compiled once."""
        return Judge(ModelLogits(self.model))


def transfer_accuracy(
    attack: Attack,
    source: Source,
    target: Source,
    examples: Examples,
    *,
    batch_size: int,
    seed: int = 0,
    attack_dtype: str = 'float32',
    jit_compile: bool = False,
    progress: str | None = None,
    on_batch: OnBatch | None = None,
    partial_folder: str | os.PathLike | None = None,
) -> Outcome:
    """Accuracy of `target` on examples crafted with the gradients of `source`.

    Args:
        attack: the attack.
        source: whose gradients are followed.
        target: who is judged, in float32.
        examples: all of them are attacked.
        batch_size: images a batch.
        seed: of the attack's randomness.
        attack_dtype: precision of the gradients.
        jit_compile: whether XLA compiles the network whose gradients are followed.
        progress: words before the progress bar; None shows none.
        on_batch: called after each batch.
        partial_folder: where results are kept, so that an interrupted evaluation goes on and a
            finished one is not repeated; None for nowhere.

    Raises:
        UserError: no examples, or NaN logits.
    """
    return transfer_accuracies(
        attack,
        source,
        [target],
        examples,
        batch_size=batch_size,
        seed=seed,
        attack_dtype=attack_dtype,
        jit_compile=jit_compile,
        progress=progress,
        on_batch=on_batch,
        partial_folder=partial_folder,
    )[0]


def transfer_accuracies(
    attack: Attack,
    source: Source,
    targets: Sequence[Source],
    examples: Examples,
    *,
    batch_size: int,
    seed: int = 0,
    attack_dtype: str = 'float32',
    jit_compile: bool = False,
    progress: str | None = None,
    on_batch: OnBatch | None = None,
    partial_folder: str | os.PathLike | None = None,
) -> list[Outcome]:
    """`transfer_accuracy` of several targets, whose examples are crafted once and kept in memory.

    Args:
        targets: who is judged, one after the other.

    The other arguments and the errors are those of `transfer_accuracy`.
    """
    single, restarts = single_run(attack)
    compiled = _Once if len(targets) > 1 else CompiledAttack
    perturb = compiled(single, ModelLogits(source.model, attack_dtype, jit_compile=jit_compile))
    outcomes = []
    for target in targets:
        partial = None
        if partial_folder is not None:
            partial = partial_result(
                partial_folder,
                attack,
                source,
                target,
                examples,
                batch_size=batch_size,
                seed=seed,
                attack_dtype=attack_dtype,
                jit_compile=jit_compile,
            )
        outcomes.append(
            compiled_accuracy(
                perturb,
                target.judge,
                examples,
                restarts=restarts,
                batch_size=batch_size,
                seed=seed,
                progress=progress,
                on_batch=on_batch,
                partial=partial,
            )
        )
    return outcomes


def partial_result(
    folder: str | os.PathLike,
    attack: Attack,
    source: Source,
    target: Source,
    examples: Examples,
    *,
    batch_size: int,
    seed: int,
    attack_dtype: str,
    jit_compile: bool,
) -> PartialResult:
    """Where `transfer_accuracy` with the same arguments keeps its result in `folder`."""
    return PartialResult.of(
        folder,
        'accuracy',
        attack,
        weights_digest(source.model),
        weights_digest(target.model),
        examples.digest(),
        batch_size,
        seed,
        attack_dtype,
        *(['XLA'] if jit_compile else []),
    )


class _Once(CompiledAttack):
    """An attack that returns what it returned before, if it is called with the same again."""

    def __init__(self, attack: Attack, logits_fn: ModelLogits):
        super().__init__(attack, logits_fn)
        self._crafted: dict[bytes, tf.Tensor] = {}

    def __call__(self, x: tf.Tensor, y: tf.Tensor, *, seed) -> tf.Tensor:
        asked = hashlib.sha256()
        for array in (x, y, seed):
            asked.update(array.numpy().tobytes())
        if asked.digest() not in self._crafted:
            self._crafted[asked.digest()] = super().__call__(x, y, seed=seed)
        return self._crafted[asked.digest()]
