"""The examples run as they are."""

import importlib.util
import json
import pathlib
import re
import types

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from common.programs import cli

EXAMPLES = pathlib.Path(__file__).parent.parent / 'examples'


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_images(name, *, split, data_dir, batch_size):
    """What TFDS returns for a split of Fashion-MNIST with batch_size=-1."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 28, 28, 1), np.uint8)
    return {'image': tf.constant(images), 'label': tf.constant(rng.integers(0, 10, 60))}


@pytest.fixture
def fashion(run_program, monkeypatch):
    """(program, *flags) -> what the program of examples/own_data_set.py printed, on random data."""
    monkeypatch.setattr(tfds, 'load', random_images)
    own_data_set = example('own_data_set')

    def run(name, *arguments):
        door = cli.Door(own_data_set.PROGRAMS[name], own_data_set.FASHION)
        module = types.SimpleNamespace(__name__=f'own_data_set.{name}', main=door)
        status, out, err = run_program(module, *arguments)
        assert status == 0, err
        return out

    return run


def test_a_own_data_set_trains_and_is_attacked(fashion, tmp_path):
    folder, rows = tmp_path / 'model', tmp_path / 'rows.json'
    fashion(
        'train',
        f'--model_dir={folder}',
        '--train_steps=2',
        '--batch_size=10',
        '--steps=1',
        '--step_size=0.1',
        '--filters=2',
        '--validation_size=20',
    )
    fashion('eval_attack', f'--target={folder}', '--steps=1', f'--json={rows}')
    (row,) = json.loads(rows.read_text())['rows']
    assert (row['n'], row['epsilon'], row['target']) == (60, 0.1, str(folder))


def test_a_network_is_trained_with_fit(capsys):
    example('adversarial_fit').main(
        ['--dataset=drawn', '--examples=200', '--epochs=1', '--every=500', '--steps=2']
    )
    out = capsys.readouterr().out
    assert re.search(r'after natural training: natural .*%, PGD-2 .*% \(n = \d+\)', out)
    assert re.search(r'after adversarial training: natural .*%, PGD-2 .*%', out)
