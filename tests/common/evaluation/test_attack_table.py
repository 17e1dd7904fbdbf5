"""Rows of one target and of another, with networks that are loaded once."""

import dataclasses

import keras
import numpy as np
import pytest

from common.data.batches import Examples
from common.evaluation.attack_table import AttackSettings, AttackTable, Published
from common.evaluation.crafting import Crafting
from common.networks.weights import weights_digest
from common.threat_model import LinfBall
from common.transfer import Sources

RNG = np.random.default_rng(0)
EXAMPLES = Examples(
    RNG.random((40, 4), dtype=np.float32), RNG.integers(0, 3, 40).astype(np.int32), 'x'
)
SETTINGS = AttackSettings(LinfBall(0.2), 0.05, num_classes=3, crafting=Crafting(15))


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

    return lambda target: AttackTable(
        EXAMPLES, target, SETTINGS, Sources(load), Published({'paper': papers})
    )


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


@pytest.mark.parametrize(
    'source, target, stands_for, asked',
    [
        ('A', 'A', None, ('A', 'A')),
        ('A_nat', 'A', None, ('A_nat', 'A')),
        ('mine', 'mine', 'A', ('A', 'A')),
        ('A_nat', 'mine', 'A', ('A_nat', 'A')),
        ('A', 'mine', 'A', ('another A', 'A')),
    ],
)
def test_a_target_is_compared_with_the_network_that_it_stands_for(
    source, target, stands_for, asked
):
    published = Published(
        {'paper': lambda *row: 0.5 if row[3:5] == asked else None, 'other': lambda *_: None},
        stands_for,
    )
    found = published.beside('pgd', 3, 1, source, target, SETTINGS)
    assert found == {'paper': 0.5, 'other': None}


def test_the_settings_in_words():
    compiled = Crafting(15, 2, 'bfloat16', jit_compile=True)
    assert str(dataclasses.replace(SETTINGS, crafting=compiled, random_start=False)) == (
        'epsilon 0.2, step size 0.05, the image itself as the start, batches of 15, seed 2, '
        'crafted in bfloat16 by XLA, judged in float32'
    )
