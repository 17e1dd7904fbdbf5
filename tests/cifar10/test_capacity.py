"""Figure 3's training is the same as that of cifar10.train."""

import dataclasses

import pytest

from cifar10 import capacity, dataset, model, train
from cifar10.data_set import CIFAR10
from cifar10.pgd_attack import challenge_pgd
from common.errors import UserError
from common.evaluation.crafting import Crafting
from common.programs import train as program
from common.report.figures.study import Study


@pytest.fixture
def study(tmp_path):
    test = dataset.load('test', dataset='drawn').subset(slice(5))
    return Study(
        'cifar10',
        'CIFAR-10',
        test,
        model.load,
        challenge_pgd(),
        'pixels',
        command='',
        crafting=Crafting(200, seed=3),
        output_dir=tmp_path,
        budget='full',
        compared={'A_nat': 'naturally trained', 'A': 'adversarially trained'},
    )


def test_a_sweep_asks_for_what_the_recipe_does(study, run_program, monkeypatch):
    asked = []
    monkeypatch.setattr(program, 'train', lambda data_set, config, *_: asked.append(config))
    status, _, error = run_program(
        train, '--recipe=fast', '--dataset=drawn', '--width=simple', '--adversary=fgsm', '--seed=3'
    )
    assert status == 0, error
    _, sweep = capacity.sweep(CIFAR10, study, train=None, epsilon=None, name='drawn', data_dir=None)
    expected = dataclasses.replace(sweep.config, **sweep.widths['simple'], adversary='fgsm')
    assert expected == asked[0]


def test_the_radius_is_that_of_the_released_networks(study):
    with pytest.raises(UserError, match='expected --epsilon=8'):
        capacity.sweep(CIFAR10, study, train=None, epsilon=4.0, name='drawn', data_dir=None)
