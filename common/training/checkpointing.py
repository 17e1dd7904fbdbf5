"""The checkpoints of a run: written completely or not at all, and restored."""

import pathlib
import shutil
from typing import Any

import keras
import tensorflow as tf

from common.errors import UserError, reason
from common.files import cannot_write
from common.networks.checkpoints import READ_ERRORS, is_prefix, is_whole, latest_in, unreadable_list
from common.training.step import State


class Checkpoints:
    """The newest checkpoints in a model folder.

    Args:
        folder: the model folder.
        own: the folder that this host writes to, which is another one unless it is the chief.
        keep: how many stay.
        network: the network, whose weights other programs read from checkpoints.
        state: variables of the run's state.
        best: variable of the best score so far.

    Raises:
        UserError: the folder's list of checkpoints is damaged.
    """

    def __init__(
        self,
        folder: pathlib.Path,
        own: pathlib.Path,
        *,
        keep: int,
        network: keras.Model,
        state: State,
        best: tf.Variable,
    ):
        self._folder, self._own, self._state = folder, own, state
        self._common = {
            'model': network,
            # `model` alone would leave out the state of its dropout layers' random generators.
            'fixed': list(network.non_trainable_variables),
            'average': state.averages,
            'step': state.step,
            'best': best,
        }
        checkpoint = tf.train.Checkpoint(**self._common, slots=state.slots)
        self._manager = _manager(folder, keep, checkpoint)
        self._saved: int | None = None  # step of the checkpoint that equals the present state

    @property
    def latest(self) -> str | None:
        """Prefix of the last one that was written; None if there is none yet."""
        return self._manager.latest_checkpoint

    def save(self, step: int) -> None:
        """Writes the state, which is that before step `step`.

        Raises:
            UserError: the folder cannot be written, or has no room.
        """
        # A checkpoint that was just restored is not written again: killed in the middle of that,
        # the run would have lost it.
        if step == self._saved:
            return
        try:
            # Saving reads statistics from all hosts, so that all have to take part.
            if self._own == self._folder:
                self._manager.save(checkpoint_number=step)
            else:
                self._manager.checkpoint.write(str(self._own / 'checkpoint'))
        except (OSError, tf.errors.OpError) as error:
            raise cannot_write(self._folder, error) from error
        self._saved = step

    def restore(self) -> int:
        """Restores the state from the newest checkpoint, if there is one.

        Returns:
            Number of steps already done.

        Raises:
            UserError: the checkpoint is damaged or of another network.
        """
        newest = self._newest()
        if newest is None:
            return 0
        try:
            names = tf.train.load_checkpoint(newest).get_variable_to_shape_map()
            if any(name.startswith('optimizer/') for name in names):
                self._restore_keras(newest)
            else:
                # If it fails, the error says what is wrong; no warnings are needed besides.
                self._manager.checkpoint.restore(newest).expect_partial().assert_consumed()
        except READ_ERRORS as error:
            raise UserError(
                f'the checkpoint {newest} is damaged or of another network: {reason(error)}. '
                f'{self._remedy(newest)}, or choose a new --model_dir.'
            ) from error
        self._saved = int(self._state.step.numpy())  # int() takes no variable of several devices
        return self._saved

    def _restore_keras(self, prefix: str) -> None:
        """Reads a checkpoint of November 2026 or before, whose optimizer was one of Keras'."""
        # Its number of steps and its learning rate, then the slots in the order that is ours too.
        unused: list[Any] = [tf.Variable(0, dtype=tf.int64), tf.Variable(0.0)]
        optimizer = tf.train.Checkpoint(_variables=[*unused, *self._state.slots])
        status = tf.train.Checkpoint(**self._common, optimizer=optimizer).restore(prefix)
        status.expect_partial().assert_existing_objects_matched()

    def _newest(self) -> str | None:
        """Prefix of the newest checkpoint; None if the run has to start from the beginning."""
        named = self._manager.latest_checkpoint
        if named is not None:
            return next(filter(is_prefix, [named, *reversed(self._manager.checkpoints)]), named)
        # A checkpoint is listed once it is whole, so this one was the first, and being written, or
        # the list was lost.
        found = latest_in(self._folder)
        return found if found is not None and is_whole(found) else None

    def _remedy(self, damaged: str) -> str:
        others = [p for p in self._manager.checkpoints if p != damaged and is_prefix(p)]
        if not others:
            return f'Remove {self._folder} to begin again'
        return f'Remove the files {damaged}.* to resume from {pathlib.Path(others[-1]).name}'


def _manager(
    folder: pathlib.Path, keep: int, checkpoint: tf.train.Checkpoint
) -> tf.train.CheckpointManager:
    path = folder / 'checkpoint'
    try:
        manager = tf.train.CheckpointManager(
            checkpoint, str(folder), max_to_keep=keep, checkpoint_name='checkpoint'
        )
        readable = manager.latest_checkpoint is not None or not path.exists()
    except (OSError, ValueError, tf.errors.OpError):
        readable = False
    if not readable:
        raise unreadable_list(path)
    return manager


def remove_leftovers(folder: pathlib.Path) -> None:
    """Removes what a killed run left half-written, under names that no run would use again."""
    for name in ('last.weights.h5', 'best.weights.h5', 'log.csv', 'config.json'):
        for path in folder.glob(f'.{name}.*'):
            path.unlink(missing_ok=True)
    for path in folder.glob('checkpoint-*_temp'):
        shutil.rmtree(path, ignore_errors=True)
