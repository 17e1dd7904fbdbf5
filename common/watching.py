"""Evaluating a network while it is trained: each new checkpoint of a model folder."""

import pathlib
import re
from collections.abc import Iterator

import tensorflow as tf

from common.attacks import Attack
from common.data import Examples
from common.evaluation import natural_accuracy
from common.logits import ModelLogits
from common.transfer import Source, transfer_accuracy


def new_checkpoints(folder: pathlib.Path) -> Iterator[str]:
    """Prefixes of the newest checkpoint now, and of each later one, endlessly."""
    print(f'watching {folder} for checkpoints; Ctrl-C to stop', flush=True)
    yield from tf.train.checkpoints_iterator(str(folder), min_interval_secs=1)


class Evaluator:
    """Prints a network's natural and adversarial accuracy and loss, with the challenge's summaries.

    Args:
        attack: the attack.
        examples: the images.
        batch_size: images a batch.
        seed: of the attack's randomness.
        attack_dtype: precision of the attack's gradients.
        summary_dir: folder for TensorBoard; None writes no summaries.
    """

    def __init__(
        self, attack: Attack, examples: Examples, *, batch_size: int, seed: int = 0,
        attack_dtype: str = 'float32', summary_dir: pathlib.Path | None = None,
    ):
        self._attack, self._examples = attack, examples
        self._settings = {'batch_size': batch_size, 'seed': seed, 'attack_dtype': attack_dtype}
        self._writer = summary_dir and tf.summary.create_file_writer(str(summary_dir))

    def evaluate(self, network: Source) -> None:
        """Evaluates one network and prints the four numbers."""
        natural = natural_accuracy(
            ModelLogits(network.model), self._examples, batch_size=self._settings['batch_size'])
        adversarial = transfer_accuracy(
            self._attack, network, network, self._examples, progress='attack', **self._settings)
        low, high = adversarial.interval
        print(f'{network.name}: {self._examples.name}, n = {natural.n:,}\n'
              f'natural: {natural.accuracy:.2%}\n'
              f'adversarial: {adversarial.accuracy:.2%} (95% interval {low:.2%} to {high:.2%})\n'
              f'avg nat loss: {natural.loss:.4f}\n'
              f'avg adv loss: {adversarial.loss:.4f}', flush=True)
        if self._writer is not None:
            self._summarize(_step_of(network.name), natural, adversarial)

    def _summarize(self, step: int, natural, adversarial) -> None:
        values = {
            'xent adv eval': adversarial.loss, 'xent adv': adversarial.loss,
            'xent nat': natural.loss, 'accuracy adv eval': adversarial.accuracy,
            'accuracy adv': adversarial.accuracy, 'accuracy nat': natural.accuracy}
        with self._writer.as_default(step=step):
            for tag, value in values.items():
                tf.summary.scalar(tag, value)
        self._writer.flush()


def _step_of(name: str) -> int:
    match = re.search(r'-(\d+)$', name)
    return int(match[1]) if match else 0
