"""Checkpoints on disk: where they are, whether they are whole, and what wrote them.

Those of this project's training (`tf.train.Checkpoint`) and those of TensorFlow 1's
`tf.train.Saver` have the same files, `<prefix>.index` and `<prefix>.data-00000-of-00001`. They are
called by their prefix, `<folder>/checkpoint-<step>`.
"""

import os
import pathlib
import re

import tensorflow as tf

from common.errors import UserError, reason

READ_ERRORS = (AssertionError, tf.errors.OpError, OSError, IndexError, RuntimeError, ValueError)
"""What reading a damaged checkpoint raises, depending on the place of the damage."""

_OF_TRAINING = '_CHECKPOINTABLE_OBJECT_GRAPH'  # what tf.train.Checkpoint adds and Saver does not


def is_prefix(path: str | os.PathLike) -> bool:
    """Whether `path` is the prefix of a checkpoint, that is, whether `<path>.index` exists."""
    return os.path.isfile(f'{os.fspath(path)}.index')


def latest_in(folder: str | os.PathLike) -> str | None:
    """Prefix of the `checkpoint-<step>` with the largest step in a folder, or None.

    Steps are compared as numbers. The folder's file `checkpoint` is not asked: it often holds
    absolute paths of the machine that wrote it.
    """
    steps = {}
    for path in pathlib.Path(folder).glob('checkpoint-*.index'):
        match = re.fullmatch(r'checkpoint-([0-9]+)\.index', path.name)
        if match:
            steps[int(match[1])] = str(path.with_suffix(''))
    return steps[max(steps)] if steps else None


def require_literal(path: str | os.PathLike) -> None:
    """Refuses paths that TensorFlow takes for patterns, so that it finds no checkpoint there.

    Raises:
        UserError: the path has brackets or a backslash.
    """
    if re.search(r'\[.*\]|\\', os.fspath(path)):
        raise UserError(
            f'expected a path without brackets and backslashes for checkpoints; found {path}. '
            'TensorFlow takes these for a pattern. Choose another name, or rename the folder.'
        )


def is_whole(prefix: str) -> bool:
    """Whether every variable of a checkpoint can be read."""
    try:
        reader = tf.train.load_checkpoint(prefix)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
        return True
    except READ_ERRORS:
        return False


def has_begun(model_dir: str | os.PathLike) -> bool:
    """Whether a training run has left a complete checkpoint there, from which it would resume."""
    newest = latest_in(model_dir)
    return newest is not None and is_whole(newest)


def variables(prefix: str) -> set[str]:
    """The names of a checkpoint's variables.

    Raises:
        UserError: the checkpoint is damaged, or its path is a pattern.
    """
    require_literal(prefix)
    try:
        return set(tf.train.load_checkpoint(prefix).get_variable_to_shape_map())
    except READ_ERRORS as error:
        raise damaged(prefix, error) from error


def is_of_training(prefix: str) -> bool:
    """Whether a checkpoint is one of this project's training, not of a TF1 `Saver`.

    Raises:
        UserError: the checkpoint is damaged, or its path is a pattern.
    """
    return _OF_TRAINING in variables(prefix)


def damaged(prefix: str, error: Exception) -> UserError:
    """The error to raise where reading a training checkpoint failed with `error`."""
    return UserError(
        f'the checkpoint {prefix} is damaged or belongs to another network: {reason(error)}. Use '
        'another checkpoint of the folder, or train again.'
    )
