"""Weights of a network: as one file, whole or not at all; copied; from a training checkpoint."""

import hashlib
import itertools
import os
import pathlib
import warnings

import h5py
import keras
import tensorflow as tf

from common.errors import UserError, reason
from common.files import replacing, sha256
from common.networks import checkpoints, older_weights

_HDF5_OVERHEAD = 8192  # bytes a variable, at most: headers, names and groups


def save_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes the float32 weights in Keras' own format; `path` ends in '.weights.h5'.

    Raises:
        UserError: the folder cannot be written, or has no room.
    """
    with replacing(path, suffix='.weights.h5') as temporary:
        _require_room(temporary, model)
        model.save_weights(temporary, overwrite=True)


def averaged_variables(model: keras.Model) -> list[keras.Variable]:
    """What weight averaging averages in a model."""
    return averaged(model.trainable_variables, model.non_trainable_variables)


def averaged(weights: list, statistics: list) -> list:
    """What weight averaging covers: the weights, and the moving averages that belong to them."""
    return [*weights, *(value for value in statistics if value.dtype == 'float32')]


def _require_room(path: pathlib.Path, model: keras.Model) -> None:
    # HDF5 crashes the whole process, at exit at the latest, if the disk fills up under it.
    with open(path, 'wb') as file:
        for variable in model.variables:
            file.write(variable.numpy().tobytes())
            file.write(bytes(_HDF5_OVERHEAD))


def load_weights(model: keras.Model, path: pathlib.Path) -> None:
    """Reads a Keras weights file into `model`; those of Keras 2 are read too.

    Raises:
        UserError: the file is a whole model or has another kind of name, is damaged (the message
            has its digest) or belongs to another network.
    """
    older, whole = older_weights.is_older(path), older_weights.is_whole_model(path)
    if whole or not (older or path.name.endswith('.weights.h5')):
        kind = ', a whole model' if whole else ''
        raise UserError(
            f'expected a weights file (*.weights.h5); found {path}{kind}. Whole models may be '
            'other networks with the same weights: evaluate them by python -m common.evaluate.'
        )
    if older:
        _load_older(model, path)
        return
    try:
        # Keras warns of every layer that does not fit, and then fails with the same words.
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            model.load_weights(path)
    except Exception as error:  # h5py and Keras raise many kinds for damaged files
        raise UserError(
            f'the weights file {path} (SHA-256 {sha256(path)}) cannot be read into {model.name}: '
            f'{reason(error)}. It is damaged or belongs to another network: fetch or train it '
            'again.'
        ) from error
    # Keras leaves out what the network has no layer for.
    found, expected = _arrays_in(path), len(model.weights)
    if found != expected:
        raise UserError(
            f'expected {expected} arrays, those of {model.name}, in the weights file '
            f'{path}; found {found}. It belongs to another network.'
        )


def _load_older(model: keras.Model, path: pathlib.Path) -> None:
    try:
        older_weights.read(model, path)
    except Exception as error:  # h5py raises many kinds for damaged files
        raise UserError(
            f'the weights file {path} (SHA-256 {sha256(path)}), which has the layout of Keras 2, '
            f'cannot be read into {model.name}: {reason(error)}. It belongs to another network, '
            'is damaged or has nested layers: load it with the version of Keras that wrote it, and '
            'set the weights by model.set_weights and save them by model.save_weights in Keras 3.'
        ) from error


def _arrays_in(path: pathlib.Path) -> int:
    """How many weights a file has, without the states of random generators."""
    names: list[str] = []
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
    return sum('seed_generator' not in name for name in names)


def copy_weights(source: keras.Model, target: keras.Model) -> None:
    """Copies all weights.

    Raises:
        UserError: the two networks do not have the same shapes.
    """
    found = [tuple(v.shape) for v in source.weights]
    expected = [tuple(v.shape) for v in target.weights]
    if found != expected:
        pairs = itertools.zip_longest(found, expected)
        first = next((a, b) for a, b in pairs if a != b)
        raise UserError(
            f'--init_from: expected weights of {target.name}, found those of {source.name} (the '
            f'first shape that differs: {first[0]} there, {first[1]} here). Choose weights of the '
            'same architecture and widths, or the widths of these weights.'
        )
    target.set_weights(source.get_weights())


def restore_weights(model: keras.Model, prefix: str) -> None:
    """Reads the weights of a training checkpoint, their average where one was kept.

    Raises:
        UserError: the checkpoint is damaged or of another network.
    """
    has_average = any(name.startswith('average/') for name in checkpoints.variables(prefix))
    average = [tf.Variable(v) for v in averaged_variables(model)] if has_average else []
    try:
        status = tf.train.Checkpoint(model=model, average=average).restore(prefix)
        status.expect_partial().assert_existing_objects_matched()
    except checkpoints.READ_ERRORS as error:
        raise checkpoints.damaged(prefix, error) from error
    for variable, value in zip(averaged_variables(model), average, strict=False):
        variable.assign(value)


def weights_digest(model: keras.Model | tf.Module) -> str:
    """SHA-256 of all weights: identifies a network, whatever file it came from.

    States of random generators, which Keras draws anew in every process, do not count.
    """
    digest = hashlib.sha256()
    for variable in model.weights if isinstance(model, keras.Layer) else model.variables:
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()
