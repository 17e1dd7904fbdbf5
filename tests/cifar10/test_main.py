"""The first look at CIFAR-10."""

import importlib
import types

import keras

from cifar10.dataset import IMAGE_SHAPE, load
from common.data.archive import Unavailable

# `cifar10.__main__` under this name, since pytest itself is __main__.
first_look = importlib.import_module('cifar10.__main__')


def without_cifar10(split, *, dataset, data_dir=None):
    if dataset == 'cifar10':
        raise Unavailable('CIFAR-10 is not here', 'Connect to a network.')
    return load(split, dataset=dataset).subset(slice(80))


def any_network(name):
    layers = keras.layers
    return keras.Sequential([keras.Input(IMAGE_SHAPE), layers.Flatten(), layers.Dense(10)])


def test_falls_back_to_patterns_without_passing_them_off_as_cifar10(
    run_program, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    networks = types.SimpleNamespace(default='A', load=any_network)
    status, out, err = run_program(first_look, load=without_cifar10, networks=networks)
    assert status == 0
    assert (
        'warning: CIFAR-10 is not here, so the images are drawn patterns, which the released '
        'networks have not learned to classify. Accuracies on them say nothing about CIFAR-10.'
    ) in err
    assert '2 of 80 images (one in 40; --every=1 attacks all), l-inf ball of radius 8, ' in out
    rows = [line.split()[0] for line in out.splitlines() if line.startswith(('nat', 'fgsm', 'pgd'))]
    assert rows == ['natural', 'fgsm', 'pgd']
    # Its own file: MNIST's picture stays.
    assert [path.name for path in tmp_path.iterdir()] == ['cifar10_attack.png']
