"""Weights files of Keras 2, whose layouts Keras 3 does not read from '*.weights.h5'.

Two are read, both for networks whose layers are not nested:

- What `save_weights` of Keras 2 writes to '*.h5' (of earlier releases, to '*.weights.h5' too): the
  attribute `layer_names` lists the layers, and each layer's group has its list `weight_names`.
- '*.weights.h5' of Keras 2.13 and 2.14: a group `_layer_checkpoint_dependencies` with one group per
  layer, called after the layer's class and numbered within it.

Keras 2.15 writes '*.weights.h5' as Keras 3 does.
"""

import pathlib
from collections import defaultdict
from typing import Any

import h5py
import keras
import numpy as np

_DEPENDENCIES = '_layer_checkpoint_dependencies'


def is_older(path: pathlib.Path) -> bool:
    """Whether a file has one of the layouts that `read` reads."""
    return _has(path, lambda file: 'layer_names' in file.attrs or _DEPENDENCIES in file)


def is_whole_model(path: pathlib.Path) -> bool:
    """Whether a file is a whole model as Keras 2 wrote it to HDF5."""
    return _has(path, lambda file: 'model_weights' in file)


def read(model: keras.Model, path: pathlib.Path) -> None:
    """Reads the weights of a file into `model`, all of them or none.

    Args:
        model: with the same layers, in the same order, as the model that was saved.
        path: of a file for which `is_older` is true.

    Raises:
        ValueError: the layers do not fit.
        Exception: the file is damaged; h5py raises many kinds.
    """
    layers = [layer for layer in model.layers if layer.weights]
    with h5py.File(path) as file:
        listed = 'layer_names' in file.attrs
        found = _in_order(file) if listed else _by_class(file[_DEPENDENCIES], layers)
    if len(found) != len(layers):
        raise ValueError(f'expected {len(layers)} layers with weights; found {len(found)}')
    for layer, arrays in zip(layers, found, strict=True):
        expected, shapes = [tuple(v.shape) for v in layer.weights], [a.shape for a in arrays]
        if shapes != expected:
            raise ValueError(f'expected {expected} in layer {layer.name}; found {shapes}')
    for layer, arrays in zip(layers, found, strict=True):
        layer.set_weights(arrays)


def _has(path: pathlib.Path, question: Any) -> bool:
    try:
        with h5py.File(path) as file:
            return bool(question(file))
    except OSError:  # no HDF5
        return False


def _in_order(file: h5py.File) -> list[list[np.ndarray]]:
    """The arrays of each layer that has some, in the model's order."""
    groups = [file[_text(name)] for name in file.attrs['layer_names']]
    layers = [[group[_text(name)][()] for name in group.attrs['weight_names']] for group in groups]
    return [arrays for arrays in layers if arrays]


def _by_class(group: h5py.Group, layers: list[keras.Layer]) -> list[list[np.ndarray]]:
    """The arrays of each layer that has some, in the order of `layers`."""
    found = defaultdict(list)
    for name, part in sorted(group.items(), key=lambda item: _numbered(item[0])):
        arrays = part['vars']
        if len(arrays):
            found[_numbered(name)[0]].append([arrays[i][()] for i in sorted(arrays, key=int)])
    # Numbers have gaps: a layer with weights was counted twice.
    count, left = sum(map(len, found.values())), {kind: iter(of) for kind, of in found.items()}
    next_ones = (next(left.get(type(layer).__name__.lower(), iter(())), None) for layer in layers)
    ordered = [arrays for arrays in next_ones if arrays is not None]
    if not count == len(layers) == len(ordered):
        kinds = ', '.join(f'{len(of)} {kind}' for kind, of in found.items())
        raise ValueError(f'expected {len(layers)} layers with weights; found {kinds or "none"}')
    return ordered


def _numbered(name: str) -> tuple[str, int]:
    """'batch_normalization_12' -> ('batchnormalization', 12)."""
    kind, _, number = name.rpartition('_')
    return (
        (kind.replace('_', ''), int(number)) if number.isdecimal() else (name.replace('_', ''), 0)
    )


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name
