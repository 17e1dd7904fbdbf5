"""Evaluating an attack that follows one network's gradients on another (paper, sections 4 and 5).

White box is the case in which both are the same network.
"""

import dataclasses
import os

import keras

from common.attacks import Attack
from common.checkpoints import weights_digest
from common.data import Examples
from common.evaluation import OnBatch, Outcome, adversarial_accuracy
from common.logits import ModelLogits
from common.partial import PartialResult


@dataclasses.dataclass(frozen=True)
class Source:
    """A network and the name by which tables call it."""

    name: str
    model: keras.Model


def transfer_accuracy(
    attack: Attack,
    source: Source,
    target: Source,
    examples: Examples,
    *,
    batch_size: int,
    seed: int = 0,
    attack_dtype: str = 'float32',
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
        progress: words before the progress bar; None shows none.
        on_batch: called after each batch.
        partial_folder: where results are kept, so that an interrupted evaluation goes on and a
            finished one is not repeated; None for nowhere.
    """
    partial = None
    if partial_folder is not None:
        partial = PartialResult.of(
            partial_folder, 'accuracy', attack, weights_digest(source.model),
            weights_digest(target.model), examples.digest(), batch_size, seed, attack_dtype)
    return adversarial_accuracy(
        attack, ModelLogits(source.model, attack_dtype), ModelLogits(target.model), examples,
        batch_size=batch_size, seed=seed, progress=progress, on_batch=on_batch, partial=partial)
