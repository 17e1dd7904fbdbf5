"""Weights of a network as one file, whole or not at all."""

import os

import keras

from common.files import replacing


def save_weights(model: keras.Model, path: str | os.PathLike) -> None:
    """Writes the float32 weights in Keras' own format; `path` ends in '.weights.h5'."""
    with replacing(path, suffix='.weights.h5') as temporary:
        model.save_weights(temporary, overwrite=True)
