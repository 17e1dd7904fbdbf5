"""A third data set: one value, made here, on which every program runs."""

import dataclasses
import json
import re
import types

import keras
import numpy as np
import pytest

from common.data import stand_in
from common.networks.registry import Networks
from common.programs import cli, eval_attack, figures, pgd_attack, run_attack, train
from common.programs import eval as watch
from common.programs.data_set import DataSet, FigureRanges
from common.report.exhibit import read_all
from common.threat_model import L2Ball
from common.training.config import TrainingConfig
from common.training.setting import setting

SHAPE, CLASSES = (24, 20, 2), ('north', 'east', 'south', 'west')
SIZES = {'train': 1200, 'test': 200}


def load(split, *, dataset='signs', data_dir=None):
    """Class-coloured patterns, 24 x 20 pixels of 2 channels from -1 to 1."""
    return stand_in.draw(
        split,
        instead_of='a data set',
        image_shape=SHAPE,
        num_classes=len(CLASSES),
        lower=-1.0,
        upper=1.0,
        num_examples=SIZES[split],
    )


def build(config):
    """A small convolutional network of the config's width."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(config['width'], 5, strides=2, activation='relu'),
            layers.Flatten(),
            layers.Dense(len(CLASSES)),
        ]
    )


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    """Settings of a training run, including those of this data set's network."""

    network: str = setting('The network.', 'small', choices=('small',))
    width: int = setting('Channels of its convolution.', 8, least=1)


TRAINING = Config(
    dataset='signs',
    epsilon=0.6,
    steps=3,
    step_size=0.3,
    optimizer='adam',
    learning_rate=3e-3,
    train_steps=60,
    batch_size=50,
    seed=1,
)
SIGNS = DataSet(
    key='signs',
    title='Signs',
    names=('signs',),
    load=load,
    lower=-1.0,
    upper=1.0,
    classes=CLASSES,
    epsilon=0.6,
    steps=5,
    step_size=0.2,
    batch_size=100,
    submission_shape=SHAPE,
    networks=Networks('signs', build, [{'network': 'small', 'width': 8}]),
    training=TRAINING,
    recipes={'plain': TRAINING},
    figure_ranges=FigureRanges((0.0, 0.6, 1.0), (1, 5), (1, 2), (0.1, 0.2)),
)


@pytest.fixture(scope='module')
def run(run_program):
    """(program of common.programs, *flags, **changes of the data set) -> what it printed.

    Where it `fails`, its message.
    """

    def run(program, *arguments, fails=False, **changes):
        door = cli.Door(program, dataclasses.replace(SIGNS, **changes))
        module = types.SimpleNamespace(__name__=f'signs.{program.__name__}', main=door)
        status, out, err = run_program(module, *arguments)
        assert status == int(fails), err
        return err if fails else out

    return run


@pytest.fixture(scope='module')
def networks(run, tmp_path_factory):
    """Model folders of an adversarially and of a naturally trained network."""
    folder = tmp_path_factory.mktemp('models')
    names = {'robust': 'pgd', 'natural': 'none'}
    for name, adversary in names.items():
        run(train, f'--adversary={adversary}', f'--model_dir={folder / name}')
    return {name: str(folder / name) for name in names}


def accuracy(path):
    (row,) = json.loads(path.read_text())['rows']
    return row['accuracy'], row['natural']


def test_training_makes_robust(run, networks, tmp_path):
    left = {}
    for name, folder in networks.items():
        path = tmp_path / f'{name}.json'
        run(eval_attack, f'--source={folder}', f'--target={folder}', f'--json={path}')
        left[name], natural = accuracy(path)
        assert natural > 0.9
    assert left['robust'] > left['natural'] + 0.2


def test_a_transferred_attack_leaves_more(run, networks, tmp_path):
    path = tmp_path / 'rows.json'
    robust, natural = networks['robust'], networks['natural']
    run(eval_attack, f'--target={robust}', f'--json={path}')
    white_box = accuracy(path)[0]
    run(eval_attack, f'--source={natural}', f'--target={robust}', f'--json={path}')
    assert accuracy(path)[0] >= white_box


def test_a_cascade(run, networks, tmp_path):
    robust, path = networks['robust'], tmp_path / 'rows.json'
    out = run(
        eval_attack,
        f'--target={robust}',
        '--method=worst_case',
        '--preset=quick',
        '--every=10',
        f'--output_dir={tmp_path}/report',
        f'--json={path}',
    )
    assert 'worst_case (quick)' in out and accuracy(path)[0] <= accuracy(path)[1]


def test_evaluation(run, networks):
    out = run(watch, f'--model_dir={networks["robust"]}', '--once')
    assert 'natural: ' in out and 'adversarial: ' in out and 'n = 200' in out


def test_a_submission_and_its_score(run, networks, tmp_path):
    path, network = tmp_path / 'attack.npy', f'--checkpoint={networks["robust"]}'
    attacked = run(pgd_attack, network, f'--output={path}')
    images = np.load(path)
    assert images.shape == (200, *SHAPE) and images.min() >= -1
    scored = run(run_attack, network, f'--input={path}', f'--predictions={tmp_path}/pred.npy')
    score = scored.split('Accuracy: ')[1].split('%')[0]
    interval = r'\(95% interval [\d.]+% to [\d.]+%\)'
    assert re.search(rf'under the attack {score}% {interval}', attacked)
    assert re.search(rf'natural accuracy [\d.]+% {interval}', attacked)
    assert re.search(r'95% interval [\d.]+% to [\d.]+%, n = 200', scored)


def test_a_figure(run, networks, tmp_path):
    compared = {
        networks['natural']: 'naturally trained',
        networks['robust']: 'adversarially trained',
    }
    run(figures, '--figure=epsilons', f'--output_dir={tmp_path}', compared=compared)
    (exhibit,) = read_all(tmp_path)
    assert exhibit.title.startswith('Signs: ')


def test_another_threat_model_is_one_value(run, tmp_path):
    training = dataclasses.replace(TRAINING, epsilon=3.0, steps=2, step_size=2.0, train_steps=20)
    l2 = {'kind_of_ball': L2Ball, 'epsilon': 3.0, 'step_size': 1.0, 'recipes': {'it': training}}
    path, network = tmp_path / 'attack.npy', tmp_path / 'network'
    run(train, f'--model_dir={network}', training=training, **l2)
    run(pgd_attack, f'--checkpoint={network}', f'--output={path}', **l2)
    ball, x = L2Ball(3.0, -1.0, 1.0), load('test').x
    distance = ball.distance(np.load(path), x).numpy()
    assert 2.99 < distance.max() <= 3 + ball.tolerance
    judge = f'--input={path}', f'--checkpoint={network}', f'--predictions={tmp_path}/pred.npy'
    assert 'Accuracy: ' in run(run_attack, *judge, **l2)
    np.save(path, ball.scaled(2).sample(x, [0, 0]))  # no pixel changes by 3
    assert 'farther than epsilon = 3' in run(run_attack, *judge, fails=True, **l2)
    target = f'--target={network}'
    message = run(eval_attack, target, '--method=square', fails=True, **l2)
    assert message.startswith('error: ') and 'Square supports LinfBall only' in message
    assert 'odi' in run(eval_attack, target, '--method=odi', '--steps=3', **l2)
