"""Weights files of Keras 2 are read into the same layers, or refused in words."""

import h5py
import keras
import numpy as np
import pytest
from keras import layers

from common.errors import UserError
from common.networks.weights import load_weights


def build(units=2):
    """Eleven layers of one class, whose names sort otherwise, and batch normalization."""
    model = keras.Sequential(
        [
            keras.Input((units,)),
            layers.BatchNormalization(name='bn'),
            layers.Dropout(0.5, seed=1),
            *(layers.Dense(units, name=f'fc{i}') for i in range(11)),
        ]
    )
    for i, weight in enumerate(model.weights):
        weight.assign(np.full(weight.shape, i))
    return model


def listed(model, file):
    """As Keras 2 wrote '*.h5'."""
    file.attrs['layer_names'] = [layer.name.encode() for layer in model.layers]
    file.attrs['keras_version'] = b'2.12.0'
    for layer in model.layers:
        group = file.create_group(layer.name)
        names = [f'{layer.name}/{weight.name}:0' for weight in layer.weights]
        group.attrs['weight_names'] = [name.encode() for name in names]
        for name, weight in zip(names, layer.weights, strict=True):
            group[name] = weight.numpy()


def by_class(model, file):
    """As Keras 2.13 and 2.14 wrote '*.weights.h5': layers with weights were counted twice."""
    group, counts = file.create_group('_layer_checkpoint_dependencies'), {}
    for layer in model.layers:
        kind = {'BatchNormalization': 'batch_normalization'}.get(
            type(layer).__name__, type(layer).__name__.lower()
        )
        number = counts.get(kind, 0)
        counts[kind] = number + (2 if layer.weights else 1)
        variables = group.create_group(f'{kind}_{number}' if number else kind).create_group('vars')
        for i, weight in enumerate(layer.weights):
            variables[str(i)] = weight.numpy()
    file.create_group('vars')


LAYOUTS = pytest.mark.parametrize(
    'layout, name', [(listed, 'a.h5'), (listed, 'a.weights.h5'), (by_class, 'a.weights.h5')]
)


def written(layout, path, model=None):
    with h5py.File(path, 'w') as file:
        layout(model or build(), file)
    return path


@LAYOUTS
def test_every_array_goes_to_its_layer(tmp_path, layout, name):
    path, model = written(layout, tmp_path / name), build()
    model.set_weights([np.full_like(array, -1) for array in model.get_weights()])
    load_weights(model, path)
    assert [np.unique(w.numpy()).tolist() for w in model.weights] == [
        [i] for i in range(len(model.weights))
    ]


@LAYOUTS
@pytest.mark.parametrize('change', ['shapes', 'fewer', 'more'])
def test_another_network_is_refused_and_stays_as_it_is(tmp_path, layout, name, change):
    path, model = written(layout, tmp_path / name), build(3 if change == 'shapes' else 2)
    if change == 'fewer':
        model = keras.Sequential(model.layers[:-1])
    elif change == 'more':
        model = keras.Sequential([keras.Input((2,)), *model.layers, layers.Dense(2)])
    before = model.get_weights()
    with pytest.raises(UserError, match='has the layout of Keras 2') as caught:
        load_weights(model, path)
    assert '\n' not in str(caught.value) and str(path) in str(caught.value)
    for array, kept in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, kept)


@LAYOUTS
def test_a_damaged_file_is_refused_in_words(tmp_path, layout, name):
    path = written(layout, tmp_path / name)
    with h5py.File(path, 'a') as file:
        if layout is listed:
            del file['fc3'].attrs['weight_names']
        else:
            del file['_layer_checkpoint_dependencies/dense_6/vars']
    with pytest.raises(UserError, match='cannot be read'):
        load_weights(build(), path)


@pytest.mark.parametrize('name', ['model.h5', 'model.weights.h5'])
def test_a_whole_model_is_refused_as_such(tmp_path, name):
    with h5py.File(tmp_path / name, 'w') as file:
        file.attrs['model_config'] = '{}'
        listed(build(), file.create_group('model_weights'))
    with pytest.raises(UserError, match='a whole model.*common.evaluate'):
        load_weights(build(), tmp_path / name)


def test_other_files_are_no_weights(tmp_path):
    for name in ('notes.h5', 'notes.txt'):
        (tmp_path / name).write_text('words')
        with pytest.raises(UserError, match='expected a weights file'):
            load_weights(build(), tmp_path / name)
