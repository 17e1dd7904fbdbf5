"""Weights of a network as one file, whole or not at all."""

import os
import pathlib

import keras

from common.files import replacing

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
    """What weight averaging covers: the weights, and the moving averages that belong to them."""
    moving = [v for v in model.non_trainable_variables if v.dtype == 'float32']
    return [*model.trainable_variables, *moving]


def _require_room(path: pathlib.Path, model: keras.Model) -> None:
    # HDF5 crashes the whole process, at exit at the latest, if the disk fills up under it.
    with open(path, 'wb') as file:
        for variable in model.variables:
            file.write(variable.numpy().tobytes())
            file.write(bytes(_HDF5_OVERHEAD))
