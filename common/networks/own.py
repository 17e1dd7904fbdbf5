"""Anybody's network, from a file or from code."""

import importlib
import inspect
import os
import pathlib
import sys
from typing import Any

import keras
import tensorflow as tf

from common.errors import UserError, reason

_FILES = ('.keras', '.h5', '.hdf5')
_ANYTHING = (Exception, SystemExit)  # that a user's code may raise


def load_network(reference: str) -> Any:
    """The network that a reference names.

    Args:
        reference: a whole Keras model (.keras, .h5); the folder of a SavedModel; or
            `package.module:name`, where `name` is a model, a function from pixels to logits, or a
            function without parameters or a class that returns one of these when called. A
            function with a positional parameter, even one with a default, is a network.

    Raises:
        UserError: there is no such network, or it cannot be read or made.
    """
    path = pathlib.Path(os.path.expanduser(reference))
    if path.is_dir():
        return _saved_model(path)
    if path.suffix in _FILES:
        return _keras_model(path)
    module, colon, name = reference.partition(':')
    if colon and module and name:
        return _from_code(module, name)
    raise UserError(
        f'there is no network {reference!r}: expected a whole Keras model '
        f'({", ".join(f"*{suffix}" for suffix in _FILES)}), the folder of a SavedModel, or '
        'package.module:name.'
    )


def _keras_model(path: pathlib.Path) -> keras.Model:
    if not path.is_file():
        raise UserError(f'expected a Keras model at {path}; found no such file.')
    if path.name.endswith('.weights.h5'):
        raise UserError(
            f'expected a whole Keras model; found weights alone in {path}. Save the model by '
            "model.save('my.keras'), or give package.module:name, a function that builds it and "
            'loads them.'
        )
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:  # Keras, h5py, zipfile and json raise many kinds
        raise UserError(
            f'{path} cannot be read as a Keras model: {reason(error)}. If it has layers of your '
            'own or Lambda layers, give package.module:name instead, a function that loads it.'
        ) from error


def _saved_model(folder: pathlib.Path) -> Any:
    if not (folder / 'saved_model.pb').is_file():
        raise UserError(f'expected a SavedModel in the folder {folder}; found no saved_model.pb.')
    try:
        return tf.saved_model.load(str(folder))
    except Exception as error:  # a damaged one raises IndexError, DecodeError and more
        raise UserError(f'{folder} cannot be read as a SavedModel: {reason(error)}.') from error


def _from_code(module: str, name: str) -> Any:
    if os.getcwd() not in sys.path:  # as if the module were run from here
        sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f'expected {name!r} in the Python module {module!r}; found {reason(error)}. The module '
            'is looked up as by `import`, from this folder too.'
        ) from error
    except _ANYTHING as error:
        raise UserError(
            f'expected {name!r} in the Python module {module!r}; importing that failed: '
            f'{_described(error)}. Correct the module.'
        ) from error
    if not _is_factory(found):
        return found
    try:
        return found()
    except UserError:
        raise
    except _ANYTHING as error:
        raise UserError(
            f'expected that {module}:{name}, called without arguments, returns a network; calling '
            f'it failed: {_described(error)}.'
        ) from error


def _described(error: BaseException) -> str:
    return f'{type(error).__name__}: {reason(error)}'.removesuffix('.')


def _is_factory(found: Any) -> bool:
    """Whether it is a function that takes no images, or a class of networks."""
    if isinstance(found, type):
        return True
    if not inspect.isfunction(found):  # a model, a `tf.Module`, a `tf.function`
        return False
    parameters = inspect.signature(found).parameters.values()
    return all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in parameters)
