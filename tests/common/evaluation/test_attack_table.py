"""Rows of one target and of another, with networks that are loaded once."""

import dataclasses

import keras
import numpy as np
import pytest

from common.data.batches import Examples
from common.evaluation.attack_table import AttackSettings, AttackTable
from common.networks.weights import weights_digest
from common.threat_model import LinfBall

RNG = np.random.default_rng(0)
EXAMPLES = Examples(
    RNG.random((40, 4), dtype=np.float32), RNG.integers(0, 3, 40).astype(np.int32), 'x'
)
SETTINGS = AttackSettings(LinfBall(0.2), 0.05, num_classes=3, batch_size=15)


def network(name):
    init = keras.initializers.RandomNormal(seed={'A': 1, 'A_nat': 2}[name])
    return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_initializer=init)])


def papers(method, steps, restarts, source, target, settings):
    return {('natural', 'A'): 0.9, ('natural', 'A_nat'): 0.8, ('pgd', 'A_nat'): 0.1}.get(
        (method, target)
    )


@pytest.fixture
def loaded():
    return []


@pytest.fixture
def attacks(loaded):
    def load(name):
        loaded.append(name)
        return network(name)

    return lambda target: AttackTable(EXAMPLES, target, load=load, paper=papers, settings=SETTINGS)


def lasting(row):
    return dataclasses.replace(row, seconds=0)


def test_rows_on_another_network_are_those_of_its_own_table(attacks):
    both = attacks('A')
    natural, other = attacks('A_nat'), both.on('A_nat')
    for arguments in (('natural', 0, 1, 'A_nat'), ('pgd', 3, 2, 'A_nat'), ('fgsm', 1, 1, 'A')):
        assert lasting(other.row(*arguments)) == lasting(natural.row(*arguments))
    assert both.row('natural', 0, 1, 'A').paper == 0.9  # left as it was
    assert other.natural_row().paper == 0.8
    assert both.on('A') is both and both.on('A_nat') is other


def test_networks_are_loaded_once_and_known_by_their_digests(attacks, loaded):
    both = attacks('A')
    both.row('pgd', 2, 1, 'A_nat')
    both.on('A_nat').row('pgd', 2, 1, 'A')
    assert loaded == ['A', 'A_nat']
    assert both.digests == {name: weights_digest(network(name)) for name in ('A', 'A_nat')}
