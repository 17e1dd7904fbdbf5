"""The released networks and their record."""

import csv
import os

import pytest

import cifar10.model
import mnist.model
from common.files import sha256
from common.networks import registry

RELEASED = registry.manifest()
NETWORKS = pytest.mark.parametrize(
    'data_set, name',
    [(data_set, name) for data_set, entries in RELEASED.items() for name in entries],
)


@NETWORKS
def test_weights_are_those_of_the_manifest(data_set, name):
    entry = RELEASED[data_set][name]
    path = registry.RELEASED / entry['file']
    assert path.stat().st_size < 15_000_000
    assert sha256(path) == entry['sha256']


@NETWORKS
def test_the_record_is_complete(data_set, name):
    entry = RELEASED[data_set][name]
    assert entry['command'].startswith(f'python -m {data_set}.train')
    for key in ('description', 'commit', 'machine', 'seed', 'training_seconds', 'config'):
        assert entry[key] or entry[key] == 0, key
    methods = {row['method']: row for row in entry['results']}
    assert {'natural', 'fgsm', 'pgd'} <= methods.keys()
    for row in entry['results']:
        assert row['target'] == name
        assert row['interval'][0] <= row['accuracy'] <= row['interval'][1]


@NETWORKS
def test_the_record_names_no_place_of_one_machine(data_set, name):
    config = RELEASED[data_set][name]['config']
    assert [
        value for value in config.values() if isinstance(value, str) and os.path.isabs(value)
    ] == []


@NETWORKS
def test_the_logs_tell_the_training_to_its_end(data_set, name):
    entry = RELEASED[data_set][name]
    rows = []
    for log in entry['logs']:
        with open(registry.RELEASED / log, newline='') as file:
            rows += csv.DictReader(file)
    assert rows[0]['step'] == '0'
    assert rows[-1]['step'] == str(entry['config']['train_steps'])
    # Once trained, an accuracy is a mean of batches; before, it is chance.
    accuracies = [float(row['accuracy_adv']) for row in rows if row['accuracy_adv']]
    assert sum(accuracies[-5:]) / 5 > accuracies[0] + 0.2


def test_mnists_network_a_is_the_challenges():
    network = mnist.model.load('A')
    assert network.name == 'network_a'
    assert network.count_params() == 3_274_634


@pytest.mark.parametrize('name', sorted({'A', 'A_prime', 'A_nat'} & RELEASED['cifar10'].keys()))
def test_cifar10s_networks_a_are_the_simple_residual_network(name):
    network = cifar10.model.load(name)
    assert network.name == 'network_a_simple'
    assert sum(v.shape.num_elements() for v in network.trainable_variables) == 464_154
