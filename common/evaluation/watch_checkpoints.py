"""Evaluating a network while it is trained: every new checkpoint of a model folder."""

import contextlib
import errno
import os
import pathlib
import re
import sys
import time
from collections.abc import Iterator

import tensorflow as tf

from common.attacks import Attack
from common.data.batches import Examples
from common.errors import UserError, reason
from common.evaluation.accuracy import Outcome, natural_accuracy
from common.evaluation.crafting import Crafting
from common.event_files import remove_events
from common.files import alone_in
from common.networks import checkpoints
from common.networks.registry import Networks
from common.transfer import Source, transfer_accuracy

_SECONDS_BETWEEN_LOOKS = 1.0


def new_checkpoints(folder: pathlib.Path) -> Iterator[str]:
    """Yields the prefix of the newest checkpoint, then that of each later one, endlessly."""
    print(f'watching {folder} for checkpoints; Ctrl-C to stop', flush=True)
    last = told = None
    while True:
        newest = None
        try:
            newest = checkpoints.chosen_in(folder)
        except UserError as error:  # a folder that is being copied may be whole later
            if str(error) != told:
                told = str(error)
                print(f'note: {told}', file=sys.stderr)
        if newest is not None and newest != last and checkpoints.is_whole(newest):
            last = newest
            yield newest
        time.sleep(_SECONDS_BETWEEN_LOOKS)


def step_of(prefix: str) -> int:
    """The step in a checkpoint's name, 0 if it has none."""
    match = re.search(r'-(\d+)$', prefix)
    return int(match[1]) if match else 0


def evaluate(evaluator: 'Evaluator', reference: str, networks: Networks, *, once: bool) -> None:
    """Evaluates a network, or every new checkpoint of a model folder, endlessly.

    Args:
        evaluator: evaluates one network.
        reference: names the network or folder, as `networks.load` understands it.
        networks: loads networks.
        once: whether to evaluate a folder's present weights and stop.

    Raises:
        UserError: there is no such network, NaN logits, or summaries cannot be written.
    """
    folder = networks.folder(reference)
    if once or folder is None:
        network, chosen = networks.load(reference), ''
        if folder is not None:
            with contextlib.suppress(UserError):  # it was loaded from a weights file
                chosen = checkpoints.chosen_in(folder) or ''
        evaluator.evaluate(Source(reference, network), step_of(chosen))
        return
    for prefix in new_checkpoints(folder):
        evaluator.evaluate(Source(prefix, networks.load(prefix)), step_of(prefix))


class Evaluator:
    """Prints a network's natural and adversarial accuracy and loss, with the challenge's summaries.

    Args:
        attack: the attack.
        examples: the images.
        crafting: batch size, seed, precision and compiler of the attack.
        summary_dir: folder for TensorBoard; None writes no summaries.

    Raises:
        UserError: summaries cannot be written there.
    """

    def __init__(
        self,
        attack: Attack,
        examples: Examples,
        *,
        crafting: Crafting,
        summary_dir: pathlib.Path | None = None,
    ):
        self._attack, self._examples, self._crafting = attack, examples, crafting
        self._summary_dir, self._writer = summary_dir, None
        self._lock, self._is_alone = contextlib.ExitStack(), False
        if summary_dir is not None:
            with self._writing():
                with contextlib.suppress(BlockingIOError):  # another evaluation writes there
                    self._lock.enter_context(alone_in(summary_dir))
                    self._is_alone = True
                if not os.access(summary_dir, os.W_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    def evaluate(self, network: Source, step: int = 0) -> None:
        """Evaluates one network, prints the four numbers and writes summaries for `step`.

        Raises:
            UserError: NaN logits, or the summaries cannot be written.
        """
        natural = natural_accuracy(
            network.judge, self._examples, batch_size=self._crafting.batch_size
        )
        adversarial = transfer_accuracy(
            self._attack,
            network,
            network,
            self._examples,
            crafting=self._crafting,
            progress='attack',
        )
        print(
            f'{network.name}: {self._examples.name}, n = {natural.n:,}\n'
            f'natural: {_with_interval(natural)}\n'
            f'adversarial: {_with_interval(adversarial)}\n'
            f'avg nat loss: {natural.loss:.4f}\n'
            f'avg adv loss: {adversarial.loss:.4f}',
            flush=True,
        )
        self._summarize(step, natural, adversarial)

    def _summarize(self, step: int, natural: Outcome, adversarial: Outcome) -> None:
        if self._summary_dir is None:
            return
        # The challenge's eval.py writes these itself, with their spaces.
        values = {
            'xent adv eval': adversarial.loss,
            'xent adv': adversarial.loss,
            'xent nat': natural.loss,
            'accuracy adv eval': adversarial.accuracy,
            'accuracy adv': adversarial.accuracy,
            'accuracy nat': natural.accuracy,
        }
        with self._writing():
            writer = self._writer_from(self._summary_dir, step)
            with writer.as_default(step=step):
                for tag, value in values.items():
                    tf.summary.scalar(tag, value)
                writer.flush()

    def _writer_from(self, folder: pathlib.Path, step: int) -> tf.summary.SummaryWriter:
        """The writer; if it is new, earlier summaries of the step that it begins with are removed.

        An evaluation that is started again evaluates the newest checkpoint again.
        """
        if self._writer is None:
            if self._is_alone:
                remove_events(folder, lambda found: found == step)
            self._writer = tf.summary.create_file_writer(str(folder))
        return self._writer

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            raise UserError(
                f'cannot write summaries to {self._summary_dir}: {reason(error)}. Free some room '
                'or make the folder writable, or name a weights file instead of the folder.'
            ) from error


def _with_interval(outcome: Outcome) -> str:
    return f'{outcome.accuracy:.2%} (95% interval {outcome.measured.ends(".2%")})'
