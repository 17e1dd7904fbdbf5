"""The released networks and their record."""

import csv

import pytest

from common import checkpoints
from common.files import sha256
from mnist import model

RELEASED = checkpoints.manifest()['mnist']


@pytest.mark.parametrize('name', RELEASED)
def test_weights_are_those_of_the_manifest(name):
    path = checkpoints.RELEASED / RELEASED[name]['file']
    assert path.stat().st_size < 15_000_000
    assert sha256(path) == RELEASED[name]['sha256']


@pytest.mark.parametrize('name', RELEASED)
def test_the_record_is_complete(name):
    entry = RELEASED[name]
    assert entry['command'].startswith('python -m mnist.train')
    for key in ('description', 'commit', 'machine', 'seed', 'training_seconds', 'config'):
        assert entry[key] or entry[key] == 0, key
    methods = {row['method']: row for row in entry['results']}
    assert {'natural', 'fgsm', 'pgd'} <= methods.keys()
    for row in entry['results']:
        assert row['target'] == name
        assert row['interval'][0] <= row['accuracy'] <= row['interval'][1]


@pytest.mark.parametrize('name', RELEASED)
def test_the_log_tells_the_training_to_its_end(name):
    with open(checkpoints.RELEASED / RELEASED[name]['logs'][-1], newline='') as file:
        rows = list(csv.DictReader(file))
    losses = [float(row['loss_adv']) for row in rows if row['loss_adv']]
    assert rows[-1]['step'] == str(RELEASED[name]['config']['train_steps'])
    assert losses[-1] < 0.2 * losses[0]


def test_network_a_is_the_challenges():
    network = model.load('A')
    assert network.name == 'network_a'
    assert network.count_params() == 3_274_634
