"""Networks leave for the challenges' own programs by a command, and come back unchanged."""

import os
import types

import numpy as np
import pytest
import tensorflow as tf

import cifar10.model
import mnist.model
from cifar10.data_set import CIFAR10
from common.networks.weights import save_weights
from common.programs import cli, network
from mnist.data_set import MNIST


@pytest.fixture
def run(run_program):
    """(data set, *flags) -> what `python -m <data set>.model` returned and printed."""

    def run(data_set, *arguments):
        name = f'{data_set.key}.model'
        door = types.SimpleNamespace(__name__=name, main=cli.Door(network, data_set))
        return run_program(door, *arguments)

    return run


@pytest.mark.parametrize(
    'data_set, load', [(MNIST, mnist.model.load), (CIFAR10, cifar10.model.load)]
)
def test_the_round_trip_of_a_released_network(run, tmp_path, data_set, load):
    prefix = tmp_path / 'exported' / 'checkpoint-300'
    status, out, err = run(data_set, '--checkpoint=A', f'--export_tf1={prefix}')
    assert (status, err) == (0, '')
    assert out.startswith(f'wrote {prefix}.index') and f'model_dir = {prefix.parent};' in out
    assert tf.train.latest_checkpoint(str(prefix.parent)) == str(prefix)
    assert tf.train.load_variable(str(prefix), 'global_step') == 300
    for exported in (prefix, prefix.parent):
        for a, b in zip(load(str(exported)).weights, load('A').weights, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_a_tilde_is_the_home_folder(run, tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    assert run(MNIST, '--checkpoint=A', '--export_tf1=~/exported/checkpoint')[0] == 0
    assert (tmp_path / 'exported' / 'checkpoint.index').exists()


@pytest.mark.parametrize(
    'arguments, words',
    [
        (['--checkpoint=A'], 'found no --export_tf1'),
        (['--export_tf1=x/checkpoint-1', '--hidden=9'], 'found --hidden'),
        (['--export_tf1=.'], 'such as checkpoint-0; found the folder .'),
        (['--export_tf1=new/'], 'such as new/checkpoint-0; found the folder new/'),
        (['--checkpoint=nothing', '--export_tf1=x/checkpoint-1'], "no network 'nothing'"),
        (['--checkpoint=b.weights.h5', '--export_tf1=x/checkpoint-1'], 'expected network A'),
    ],
)
def test_what_cannot_be_exported(run, tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    save_weights(mnist.model.network_b(), 'b.weights.h5')
    status, out, err = run(MNIST, *arguments)
    assert (status, out) == (1, '') and err.startswith('error: ') and err.count('\n') == 1
    assert words in err
    assert os.listdir(tmp_path) == ['b.weights.h5']
