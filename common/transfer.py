"""Evaluating an attack that follows one network's gradients on another (paper, sections 4 and 5).

White box is the case in which both are the same network.
"""

import dataclasses
import functools
import hashlib
import os
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from common.attacks import Attack, CompiledAttack
from common.data.batches import Examples
from common.evaluation.accuracy import Judge, Outcome
from common.evaluation.cascade import OnBatch, compiled_accuracy, single_run
from common.evaluation.crafting import Crafting
from common.evaluation.resumable import PartialResult
from common.networks.logits import LogitsFn
from common.networks.weights import weights_digest


@dataclasses.dataclass(frozen=True)
class Source:
    """A network with its name in tables; the source or the target of an attack.

    Attributes:
        name: the name.
        model: Keras model, [batch, ...] float32 pixels -> [batch, classes] logits.
    """

    name: str
    model: keras.Model

    @functools.cached_property
    def judge(self) -> Judge:
        """Classifies images with this network in float32; compiled once."""
        return Judge(self.model)


class Sources:
    """Networks by reference, each loaded when it is first asked for.

    Args:
        load: reference -> Keras model.
    """

    def __init__(self, load: Callable[[str], keras.Model]):
        self._load = load
        self._loaded: dict[str, Source] = {}

    def __getitem__(self, reference: str) -> Source:
        """The network.

        Raises:
            UserError: there is no such network.
        """
        if reference not in self._loaded:
            self._loaded[reference] = Source(reference, self._load(reference))
        return self._loaded[reference]

    @property
    def digests(self) -> dict[str, str]:
        """Reference -> SHA-256 of the weights, of the networks loaded so far."""
        return {name: weights_digest(source.model) for name, source in self._loaded.items()}


def transfer_accuracy(
    attack: Attack,
    source: Source,
    target: Source,
    examples: Examples,
    *,
    crafting: Crafting,
    progress: str | None = None,
    on_batch: OnBatch | None = None,
    partial_folder: str | os.PathLike | None = None,
) -> Outcome:
    """Accuracy of `target` on adversarial images that follow the gradients of `source`.

    Args:
        attack: the attack.
        source: the network whose gradients are followed.
        target: the network under evaluation; its predictions always use float32.
        examples: the n images, all of which are attacked.
        crafting: batch size, seed, precision and compiler of the attack.
        progress: words before the progress bar; None shows none.
        on_batch: called after each batch.
        partial_folder: where results are kept, so that an interrupted evaluation continues and a
            finished one is not repeated; None keeps none.

    Raises:
        UserError: no examples, or NaN logits.
    """
    return transfer_accuracies(
        attack,
        source,
        [target],
        examples,
        crafting=crafting,
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
    crafting: Crafting,
    progress: str | None = None,
    on_batch: OnBatch | None = None,
    partial_folder: str | os.PathLike | None = None,
) -> list[Outcome]:
    """`transfer_accuracy` of several targets; images are crafted once and kept in memory.

    Args:
        attack: the attack.
        source: the network whose gradients are followed.
        targets: the networks under evaluation, one after the other.
        examples: the n images, all of which are attacked.
        crafting: batch size, seed, precision and compiler of the attack.
        progress: words before the progress bars; None shows none.
        on_batch: called after each batch of each target.
        partial_folder: where results are kept, as in `transfer_accuracy`.

    Raises:
        UserError: no examples, or NaN logits.
    """
    single, restarts = single_run(attack)
    compiled = _Once if len(targets) > 1 else CompiledAttack
    perturb = compiled(single, crafting.logits(source.model))
    return [
        compiled_accuracy(
            perturb,
            target.judge,
            examples,
            restarts=restarts,
            crafting=crafting,
            progress=progress,
            on_batch=on_batch,
            partial=None
            if partial_folder is None
            else partial_result(partial_folder, attack, source, target, examples, crafting),
        )
        for target in targets
    ]


def partial_result(
    folder: str | os.PathLike,
    attack: Attack,
    source: Source,
    target: Source,
    examples: Examples,
    crafting: Crafting,
) -> PartialResult:
    """Where `transfer_accuracy` with the same arguments keeps its result in `folder`."""
    return PartialResult.of(
        folder,
        'accuracy',
        attack,
        weights_digest(source.model),
        weights_digest(target.model),
        examples.digest(),
        crafting.batch_size,
        crafting.seed,
        *crafting.precision,
    )


class _Once(CompiledAttack):
    """An attack that keeps its results, and returns them when it is called with the same again."""

    def __init__(self, attack: Attack, logits_fn: LogitsFn):
        super().__init__(attack, logits_fn)
        self._crafted: dict[bytes, tf.Tensor] = {}

    def craft(self, x: tf.Tensor, y: tf.Tensor, *, seed: tf.Tensor) -> tf.Tensor:
        """See `CompiledAttack`."""
        asked = hashlib.sha256()
        for array in (x, y, seed):
            asked.update(array.numpy().tobytes())
        if asked.digest() not in self._crafted:
            self._crafted[asked.digest()] = super().craft(x, y, seed=seed)
        return self._crafted[asked.digest()]
