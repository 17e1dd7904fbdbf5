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

    Steps are compared as numbers. The folder's file `checkpoint` is not asked; see `chosen_in`.
    """
    steps = {}
    for path in pathlib.Path(folder).glob('checkpoint-*.index'):
        match = re.fullmatch(r'checkpoint-([0-9]+)\.index', path.name)
        if match:
            steps[int(match[1])] = str(path.with_suffix(''))
    return steps[max(steps)] if steps else None


def chosen_in(folder: str | os.PathLike) -> str | None:
    """Prefix of the checkpoint that the folder's file `checkpoint` names; without it, `latest_in`.

    The challenges' programs follow that file, too (`tf.train.latest_checkpoint`). Here only the
    name in it counts, since the path is often one of the machine that wrote it.

    Raises:
        UserError: it names a checkpoint that is not in the folder, or none.
    """
    path = pathlib.Path(folder) / 'checkpoint'
    if not path.is_file():
        return latest_in(folder)
    try:
        state = tf.train.get_checkpoint_state(os.fspath(folder))
    except (ValueError, tf.errors.OpError):
        state = None
    if state is None:
        raise unreadable_list(path)
    name = re.split(r'[/\\]', state.model_checkpoint_path)[-1]
    prefix = str(path.parent / name)
    if not is_prefix(prefix):
        there = sorted((found.stem for found in path.parent.glob('*.index')), key=_by_step)
        raise UserError(
            f'expected the checkpoint {name} that {path} names; found '
            f'{", ".join(there) or "no checkpoint"} in that folder. Restore it, or name another '
            f'checkpoint by its prefix, such as {path.parent / (there or ["checkpoint-300"])[-1]}.'
        )
    return prefix


def _by_step(name: str) -> tuple[int, str]:
    digits = re.search('[0-9]*$', name)
    return int((digits and digits[0]) or 0), name


def unreadable_list(path: pathlib.Path) -> UserError:
    """The error to raise where a folder's file `checkpoint` does not name checkpoints."""
    return UserError(
        f'expected a list of checkpoints in {path}; found something else. Remove that file: the '
        'newest checkpoint-<step> will be used.'
    )


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
