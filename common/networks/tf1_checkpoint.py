"""Checkpoints of TensorFlow 1's `tf.train.Saver`: named variables, read and written.

Beside the files of a checkpoint (see `common.networks.checkpoints`) lies a file `checkpoint`, which
names the newest one of the folder.
"""

import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from common.errors import UserError, reason
from common.files import replacing, require_writable
from common.networks.checkpoints import READ_ERRORS, is_of_training, is_prefix, require_literal

_MOST_LISTED = 12


def read(
    prefix: str | os.PathLike, names: Sequence[str], shapes: Sequence[Sequence[int]]
) -> list[np.ndarray]:
    """Reads the named variables of a checkpoint and ignores others (an optimizer's, counters).

    Args:
        prefix: of the checkpoint.
        names: the variables wanted.
        shapes: their expected shapes, in the same order.

    Returns:
        One float32 array for each name, all finite.

    Raises:
        UserError: files are missing or damaged, their path is a pattern, or a variable is missing,
            of another shape or dtype or not finite.
    """
    prefix = os.fspath(prefix)
    require_literal(prefix)
    if not is_prefix(prefix):
        raise UserError(
            f'expected a TF1 checkpoint with the prefix {prefix}; found no file {prefix}.index. '
            'Check the path; it ends in the step, as in checkpoint-24900.'
        )
    try:
        reader = tf.compat.v1.train.NewCheckpointReader(prefix)
        _check(prefix, reader, names, shapes)
        arrays = [reader.get_tensor(name) for name in names]
    except READ_ERRORS as error:
        raise UserError(
            f'expected a whole TF1 checkpoint at {prefix}; found damaged or missing files '
            f'({reason(error)}). Copy or fetch it again.'
        ) from error
    for name, array in zip(names, arrays, strict=True):
        if not np.isfinite(array).all():
            raise UserError(
                f'expected finite numbers in the variable {name!r} of {prefix}; found NaN or '
                'infinity. Use another checkpoint: the training that wrote this one diverged.'
            )
    return arrays


def _check(prefix: str, reader: Any, names: Sequence[str], shapes: Sequence[Sequence[int]]) -> None:
    stored = reader.get_variable_to_shape_map()
    dtypes = reader.get_variable_to_dtype_map()
    if is_of_training(prefix):
        raise UserError(
            f"expected a checkpoint of TF1's Saver at {prefix}; found one of tf.train.Checkpoint, "
            'the format of TF2. Name a checkpoint of the challenge, or its folder.'
        )
    missing = [name for name in names if name not in stored]
    if missing:
        raise UserError(
            f'expected the variables {_listing(names)} in {prefix}; missing {_listing(missing)}, '
            f'found {_listing(sorted(stored))}. Use a checkpoint of this network.'
        )
    for name, shape in zip(names, shapes, strict=True):
        expected = f'float32 {list(shape)}'
        found = f'{dtypes[name].name} {stored[name]}'
        if found != expected:
            raise UserError(
                f'expected the variable {name!r} of {prefix} to be {expected}; found {found}. '
                'Use a checkpoint of this network, with these widths.'
            )


def write(
    prefix: str | os.PathLike,
    names: Sequence[str],
    arrays: Sequence[np.ndarray],
    global_step: int = 0,
) -> None:
    """Writes a checkpoint that `tf.compat.v1.train.Saver` and TF1 itself restore.

    Besides the variables it holds the int64 scalar `global_step`: the challenge's eval.py restores
    exactly these. The folder's file `checkpoint`, where the challenge's programs look, then names
    it. The index, without which there is no checkpoint, is written last.

    Args:
        prefix: `<folder>/checkpoint-<step>`. The folder is made; a checkpoint of that prefix is
            replaced.
        names: of the variables.
        arrays: their values, in the same order; stored as float32.
        global_step: number of training steps behind the weights.

    Raises:
        UserError: the prefix is a folder; or its folder cannot be written, is a pattern, or holds
            the checkpoints of a TF2 training, which would no longer be found.
    """
    if os.fspath(prefix).endswith(os.sep) or os.path.isdir(prefix):
        raise UserError(
            f'expected the prefix of a checkpoint, such as '
            f'{pathlib.Path(prefix) / f"checkpoint-{global_step}"}; found the folder {prefix}.'
        )
    prefix = pathlib.Path(prefix)
    tensors: dict[str, np.ndarray | np.generic] = {
        name: np.asarray(array, np.float32) for name, array in zip(names, arrays, strict=True)
    }
    tensors['global_step'] = np.int64(global_step)
    require_literal(prefix)
    _refuse_training_folder(prefix.parent)
    try:
        prefix.parent.mkdir(parents=True, exist_ok=True)
        for path in (*_files(prefix), prefix.parent / 'checkpoint'):
            require_writable(path)
        with tempfile.TemporaryDirectory(dir=prefix.parent, prefix=f'.{prefix.name}.') as temporary:
            finished = pathlib.Path(temporary) / prefix.name
            tf.raw_ops.SaveV2(
                prefix=str(finished),
                tensor_names=list(tensors),
                shape_and_slices=[''] * len(tensors),
                tensors=list(tensors.values()),
            )
            _move(finished, prefix)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f'cannot write the checkpoint {prefix}: {reason(error)}. Choose a folder that can be '
            'written and has room, and run the same command again.'
        ) from error
    _name_as_latest(prefix)


def _refuse_training_folder(folder: pathlib.Path) -> None:
    for index in folder.glob('*.index'):
        try:
            of_training = is_of_training(str(index.with_suffix('')))
        except UserError:  # damaged: no training could resume from it
            continue
        if of_training:
            raise UserError(
                f'expected a folder for TF1 checkpoints; found checkpoints of a TF2 training in '
                f'{folder} ({index.stem}). Choose another folder.'
            )


def _move(source: pathlib.Path, prefix: pathlib.Path) -> None:
    data, index = (os.path.realpath(path) for path in _files(prefix))
    # Without an index the old and the new data can never be taken for one checkpoint.
    pathlib.Path(index).unlink(missing_ok=True)
    for path, target in zip(_files(source), (data, index), strict=True):
        shutil.move(path, target)  # a link may lead to another disk


def _files(prefix: pathlib.Path) -> tuple[str, str]:
    """A checkpoint's files: the data and, without which there is no checkpoint, the index."""
    return f'{prefix}.data-00000-of-00001', f'{prefix}.index'


def _name_as_latest(prefix: pathlib.Path) -> None:
    # The bare name is relative to the folder, so that the folder can be moved.
    state = tf.compat.v1.train.generate_checkpoint_state_proto(str(prefix.parent), prefix.name)
    with replacing(prefix.parent / 'checkpoint') as temporary:
        temporary.write_text(str(state), encoding='utf-8')


def _listing(names: Sequence[str]) -> str:
    more = len(names) - _MOST_LISTED
    shown = ', '.join(names[:_MOST_LISTED]) or 'none'
    return f'{shown} and {more} more' if more > 0 else shown
