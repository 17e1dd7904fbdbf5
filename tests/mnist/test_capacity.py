"""Figure 3's trainings are the same as those of mnist.train."""

import dataclasses

import pytest

from common.evaluation.crafting import Crafting
from common.programs import train as program
from common.report.figures.study import Study
from mnist import capacity, dataset, model, train
from mnist.data_set import MNIST
from mnist.pgd_attack import challenge_pgd

COMMAND = (
    '--dataset=drawn',
    '--network=A',
    '--filters=8,16',
    '--hidden=32',
    '--adversary=pgd',
    '--epsilon=0.1',
    '--steps=10',
    '--step_size=0.025',
    '--train_steps=6000',
    '--batch_size=128',
    '--learning_rate=0.001',
    '--schedule=cosine',
    '--init=glorot',
    '--validation_size=0',
    '--validation_examples=0',
    '--validate_every=0',
    '--checkpoint_every=500',
    '--seed=3',
)


@pytest.fixture
def study(tmp_path):
    test = dataset.load('test', dataset='drawn').subset(slice(5))
    return Study(
        'mnist',
        'MNIST',
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


def test_a_sweep_asks_for_what_the_command_does(study, run_program, monkeypatch):
    asked = []
    monkeypatch.setattr(program, 'train', lambda data_set, config, *_: asked.append(config))
    status, _, error = run_program(train, *COMMAND)
    assert status == 0, error
    _, sweep = capacity.sweep(MNIST, study, train=None, epsilon=None, name='drawn', data_dir=None)
    expected = dataclasses.replace(sweep.config, **sweep.widths['4'], adversary='pgd')
    assert expected == asked[0]


def test_another_radius_moves_the_training_and_the_judgement(study):
    study, sweep = capacity.sweep(
        MNIST, study, train=None, epsilon=0.2, name='drawn', data_dir=None
    )
    assert study.pgd.ball.epsilon == 0.2
    attack = sweep.adversary(sweep.config)
    assert attack.ball.epsilon == 0.2
    assert attack.steps * attack.step_size == pytest.approx(2.5 * 0.2)
