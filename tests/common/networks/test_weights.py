"""Weights files are complete or absent, also if the disk is full; copies and digests of weights."""

import os
import resource

import keras
import numpy as np
import pytest

from common.errors import UserError
from common.networks.weights import copy_weights, load_weights, save_weights, weights_digest


def network(value):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.5),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    model.set_weights([np.full_like(w, value) for w in model.get_weights()])
    return model


def test_what_was_saved_is_read(tmp_path):
    path = tmp_path / 'new' / 'a.weights.h5'
    save_weights(network(2), path)
    model = network(1)
    model.load_weights(path)
    assert all(np.all(w == 2) for w in model.get_weights())
    assert os.listdir(path.parent) == ['a.weights.h5']


def test_a_full_disk_is_found_before_hdf5_is_at_work(tmp_path, monkeypatch, capsys):
    # HDF5 crashes the process when a write fails, so such a write must not be tried.
    path = tmp_path / 'a.weights.h5'
    save_weights(network(1), path)
    before, size = path.read_bytes(), path.stat().st_size
    model = network(2)
    monkeypatch.setattr(model, 'save_weights', lambda *args, **kwargs: pytest.fail('HDF5 began'))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, hard))
    try:
        with pytest.raises(UserError, match='File too large'):
            save_weights(model, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ['a.weights.h5']


def test_an_interruption_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'a.weights.h5'
    save_weights(network(1), path)
    before = path.read_bytes()

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, 'replace', interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_weights(network(2), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ['a.weights.h5']


def dense(units, value):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units)], name=f'net{units}')
    model.set_weights([np.full_like(w, value) for w in model.get_weights()])
    return model


def test_copying_weights():
    target = dense(3, 1)
    copy_weights(dense(3, 3), target)
    assert all(np.all(w == 3) for w in target.get_weights())
    words = r'weights of net5, found those of net3 .*\(4, 3\) there'
    with pytest.raises(UserError, match=words) as caught:
        copy_weights(dense(3, 3), dense(5, 1))
    assert len(str(caught.value)) < 300


def test_the_digest_identifies_the_weights_whatever_the_file(tmp_path):
    digest = weights_digest(dense(5, 7))
    save_weights(dense(5, 7), tmp_path / 'a.weights.h5')
    read = dense(5, 1)
    load_weights(read, tmp_path / 'a.weights.h5')
    assert weights_digest(read) == digest
    assert weights_digest(dense(5, 7.0000005)) != digest
    assert weights_digest(dense(3, 7)) != digest
