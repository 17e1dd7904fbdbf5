"""Trainings in the cache are resumed, or done again if they are damaged."""

import json

import keras
import numpy as np
import pytest

from common.data.batches import Examples
from common.errors import UserError
from common.networks.weights import load_weights
from common.report.figures.cached_training import train_in
from common.training import run_folder
from common.training.config import TrainingConfig
from common.training.optimizers import Momentum
from common.training.schedules import Piecewise
from common.training.settings import Settings
from common.training.trainer import Data, Trainer

CONFIG = TrainingConfig(
    dataset='x',
    seed=1,
    epsilon=0.2,
    steps=2,
    step_size=0.1,
    train_steps=4,
    learning_rate=0.1,
    optimizer='momentum',
    batch_size=4,
)
IMAGES = Examples(
    np.random.default_rng(0).uniform(size=(12, 1, 1, 3)).astype(np.float32),
    np.arange(12, dtype=np.int32) % 3,
    'made-up',
)


def build():
    return keras.Sequential(
        [
            keras.Input((1, 1, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(3, kernel_initializer='zeros'),
        ]
    )


def train(config, folder, data_dir, until=None):
    settings = Settings(
        train_steps=until or config.train_steps,
        batch_size=4,
        seed=config.seed,
        learning_rate=Piecewise((0.1,)),
        optimizer=Momentum(),
        checkpoint_every=2,
    )
    trainer = Trainer(network=build(), settings=settings, data=Data(IMAGES), model_dir=folder)
    run_folder.prepare(folder, config)
    trainer.train()


def weights(folder):
    network = build()
    load_weights(network, folder / 'last.weights.h5')
    return network.get_weights()


@pytest.fixture(scope='module')
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp('capacity') / 'whole'
    train_in(folder, CONFIG, train, None)
    return folder


@pytest.mark.parametrize(
    'name, contents, until',
    [
        ('config.json', b'{', 2),
        ('config.json', b'[]', None),
        ('config.json', b'{"train_steps": 5}', None),
        ('checkpoint', b'\x8c no list', None),
        ('checkpoint', b'', 2),
        ('checkpoint-*.index', b'no index', 2),
        ('checkpoint-*.index', None, None),
        ('checkpoint-*.data*', b'no data', None),
        ('checkpoint-*.data*', None, 2),
    ],
)
def test_a_damaged_training_is_done_again(tmp_path, whole, capsys, name, contents, until):
    folder = tmp_path / 'run'
    train(CONFIG, folder, None, until)
    for path in list(folder.glob(name)):
        path.unlink() if contents is None else path.write_bytes(contents)
    aside = tmp_path / 'run.damaged'
    aside.mkdir()
    (aside / 'older').touch()
    capsys.readouterr()
    train_in(folder, CONFIG, train, None)
    for found, expected in zip(weights(folder), weights(whole), strict=True):
        np.testing.assert_array_equal(found, expected)
    said = capsys.readouterr().err
    assert f'note: {folder} is damaged' in said and '--model_dir' not in said
    assert not (aside / 'older').exists() and any(aside.iterdir())
    assert json.loads((folder / 'config.json').read_text()) == CONFIG.to_json()


def test_what_is_not_the_folders_fault_is_an_error(tmp_path, capsys):
    folder = tmp_path / 'run'
    train_in(folder, CONFIG, train, None)
    before = sorted(folder.iterdir())

    def fail(config, folder, data_dir):
        raise UserError('no room, or no data')

    with pytest.raises(UserError, match='no room'):
        train_in(folder, CONFIG, fail, None)
    with pytest.raises(UserError, match='no room'):
        train_in(tmp_path / 'new', CONFIG, fail, None)
    assert sorted(folder.iterdir()) == before and 'damaged' not in capsys.readouterr().err
    (folder / 'config.json').write_bytes(b'garbage')
    with pytest.raises(UserError, match='no room'):  # once; then the error passes
        train_in(folder, CONFIG, fail, None)


def test_a_file_in_the_way_is_set_aside(tmp_path):
    (tmp_path / 'run').write_text('no folder')
    train_in(tmp_path / 'run', CONFIG, train, None)
    assert (tmp_path / 'run' / 'last.weights.h5').exists()
    assert (tmp_path / 'run.damaged').read_text() == 'no folder'
