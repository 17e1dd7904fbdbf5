"""cifar10.train: the challenge's constants, recipes, files of a run, user errors."""

import csv
import json

import numpy as np
import pytest

from cifar10 import model, train
from cifar10.data_set import CIFAR10
from cifar10.recipes import RECIPES
from cifar10.sources import SOURCES
from common.attacks import PGD, fgsm
from common.data.augmentation import Crops
from common.programs import train as program
from common.threat_model import LinfBall
from common.training.adversaries import training_adversary
from common.training.objectives import SaddlePoint
from common.training.optimizers import Momentum
from common.training.settings import settings_of


@pytest.fixture
def config_of(run_program, monkeypatch):
    """Arguments -> the resulting config, without training."""

    def config_of(*arguments):
        seen = []
        with monkeypatch.context() as patch:
            patch.setattr(program, 'train', lambda data_set, config, *_: seen.append(config))
            status, _, err = run_program(train, '--model_dir=never_made', *arguments)
        assert status == 0, err
        return seen[0]

    return config_of


def test_the_defaults_are_the_challenges_with_the_papers_seven_steps(config_of):
    config = config_of()
    expected = {
        'width': 'wide',
        'adversary': 'pgd',
        'epsilon': 8.0,
        'steps': 7,
        'step_size': 2.0,
        'random_start': True,
        'loss': 'xent',
        'train_steps': 80_000,
        'batch_size': 128,
        'learning_rate': 0.1,
        'schedule': 'piecewise',
        'boundaries': (40_000, 60_000),
        'optimizer': 'momentum',
        'sum_loss': False,
        'drop_remainder': True,
        'momentum': 0.9,
        'weight_decay': 2e-4,
        'crafting': 'train',
        'augment': True,
        'seed': 451760341,
        'validation_size': 0,
        'weight_averaging': 0.0,
        'mixed_precision': 'float32',
        'attack_dtype': 'float32',
        'log_every': 100,
        'checkpoint_every': 1000,
    }
    assert {key: getattr(config, key) for key in expected} == expected
    rate = settings_of(config, CIFAR10.ball).learning_rate
    np.testing.assert_allclose(
        [rate(step) for step in (0, 40_000, 40_001, 60_000, 60_001)], [0.1, 0.1, 0.01, 0.01, 1e-3]
    )


@pytest.mark.parametrize('recipe', RECIPES)
def test_a_recipe_is_a_whole_config(config_of, recipe):
    config = config_of(f'--recipe={recipe}')
    assert config == RECIPES[recipe]
    assert settings_of(config, CIFAR10.ball).train_steps == config.train_steps


def test_trades_crafts_in_evaluation_mode_unless_told(config_of):
    assert config_of('--objective=trades').crafting == 'eval'
    assert config_of('--objective=trades', '--recipe=fast').crafting == 'eval'
    assert config_of('--objective=trades', '--crafting=train').crafting == 'train'


def test_another_schedule_needs_no_word_about_the_default_boundaries(config_of):
    assert settings_of(config_of('--schedule=constant'), CIFAR10.ball).learning_rate(70_000) == 0.1


def test_the_released_networks_commands_are_understood(config_of):
    for source in SOURCES.values():
        for stage in source.stages:
            assert config_of(*stage).network == ('B' if '--network=B' in stage else 'A')


def test_adversaries(config_of):
    ball = LinfBall(8.0, 0.0, 255.0)
    for arguments, expected in (
        ([], PGD(ball, 7, 2.0)),
        (['--adversary=fgsm'], fgsm(ball)),
        (['--adversary=none'], None),
    ):
        assert training_adversary(config_of(*arguments), CIFAR10.ball) == expected


def test_training_is_wired_as_in_the_challenge(config_of, trainer_arguments, few_images):
    config = config_of('--dataset=drawn', '--width=simple', '--batch_size=8')
    made = trainer_arguments(train.main.data_set, config)
    settings, data = made['settings'], made['data']
    assert made['network'].name == 'network_a_simple'
    assert len(data.examples) == 64 and data.validation is None
    assert data.augment == Crops(2, mirror=True) and data.pixels == (0.0, 255.0)
    assert settings.optimizer == Momentum(0.9) and settings.objective == SaddlePoint()
    assert settings.attack == PGD(LinfBall(8.0, 0.0, 255.0), 7, 2.0)
    assert (
        settings.sum_loss,
        settings.drop_remainder,
        settings.weight_decay,
        settings.crafting,
        settings.train_dtype,
    ) == (False, True, 2e-4, 'train', 'float32')


def test_what_a_model_folder_holds(run):
    names = {path.name for path in run.iterdir()}
    assert {
        'config.json',
        'last.weights.h5',
        'best.weights.h5',
        'log.csv',
        'checkpoint-2.index',
        'checkpoint-4.index',
    } <= names
    with open(run / 'log.csv', newline='') as file:
        steps = [row['step'] for row in csv.DictReader(file)]
    assert steps == ['0', '1', '2', '3', '4']
    assert json.loads((run / 'config.json').read_text())['width'] == 'simple'


def test_its_network_loads_by_folder_file_and_checkpoint(run):
    expected = model.load(str(run)).get_weights()
    for reference in (run / 'last.weights.h5', run / 'checkpoint-4'):
        for a, b in zip(model.load(str(reference)).get_weights(), expected, strict=True):
            np.testing.assert_array_equal(a, b)
    assert np.isfinite(np.concatenate([w.ravel() for w in expected])).all()


def test_the_next_stage_starts_from_weights(run, run_program, tmp_path, few_images):
    status, _, err = run_program(
        train,
        '--dataset=drawn',
        '--width=simple',
        f'--init_from={run}',
        '--train_steps=1',
        '--adversary=none',
        '--batch_size=8',
        '--learning_rate=0',
        f'--model_dir={tmp_path}',
    )
    assert status == 0, err
    before, after = model.load(str(run)), model.load(str(tmp_path))
    for a, b in zip(before.trainable_variables, after.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.any(before.non_trainable_variables[0] != after.non_trainable_variables[0])


@pytest.mark.parametrize(
    'flag, words',
    [
        ('--width=broad', 'wide|simple'),
        ('--epsilon=-1', 'epsilon'),
        ('--crafting=no', 'crafting'),
        ('--weight_decay=-1', 'weight_decay'),
        ('--momentum=2', 'momentum'),
        ('--steps=-1', 'steps'),
        ('--validation_size=50000', 'validation_size'),
    ],
)
def test_wrong_values_of_flags(run_program, tmp_path, few_images, flag, words):
    status, _, err = run_program(train, '--dataset=drawn', f'--model_dir={tmp_path / "run"}', flag)
    assert status == 1 and words in err and 'Traceback' not in err
    assert not (tmp_path / 'run').exists()


def test_an_epsilon_on_the_scale_of_0_to_1_is_pointed_out(run_program, monkeypatch):
    monkeypatch.setattr(program, 'train', lambda *_: None)
    status, _, err = run_program(train, '--epsilon=0.031', '--model_dir=never_made')
    assert status == 0
    assert 'warning: --epsilon=0.031' in err and '8/255 = 0.031 there is --epsilon=8' in err


def test_help(run_program):
    status, out, err = run_program(train, '--help')
    assert status == 0
    for flag in ('--width', '--crafting', '--weight_decay', '--mixed_precision', '--boundaries'):
        assert flag in out + err
