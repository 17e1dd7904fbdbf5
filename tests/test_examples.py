"""The examples run as they are."""

import functools
import importlib.util
import json
import os
import pathlib
import re
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from common.programs import cli
from mnist import dataset

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


def test_a_data_set_of_ones_own_trains_and_is_attacked(fashion, tmp_path):
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


@pytest.fixture
def drawn(monkeypatch):
    """MNIST's drawn digits in place of the real ones."""
    monkeypatch.setattr(dataset, 'load', functools.partial(dataset.load, dataset='drawn'))


def test_a_model_from_a_file_gets_its_verdict(drawn, capsys, tmp_path):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    keras.Sequential(layers).save(tmp_path / 'my.keras')
    with pytest.warns(UserWarning, match='no better than guessing'):
        example('own_model').main(
            [str(tmp_path / 'my.keras')], every=50, steps=2, check=False, verbose=False
        )
    out = capsys.readouterr().out
    assert re.match(r'natural accuracy  .*, n = 40\nrobust accuracy   .*\nin the l-inf ball', out)


def test_an_attack_of_ones_own(drawn, capsys):
    example('own_attack').main(every=200)
    assert re.findall(r'(\w+): [\d.]+% survive, n = 10', capsys.readouterr().out) == [
        'NIFGSM',
        'PGD',
    ]


def test_the_notebook_is_the_script_and_ran_to_its_end():
    cells = json.loads((EXAMPLES / 'first_steps.ipynb').read_text(encoding='utf-8'))['cells']
    script = (EXAMPLES / 'first_steps.py').read_text(encoding='utf-8')
    code = [cell for cell in cells if cell['cell_type'] == 'code']
    assert len(cells) == script.count('# %%') and len(code) > 3
    for cell in code:
        assert ''.join(cell['source']) in script
    outputs = [output for cell in code for output in cell['outputs']]
    assert not [output for output in outputs if output['output_type'] == 'error']
    assert 'image/png' in {kind for output in outputs for kind in output.get('data', ())}
    assert 'right' in ''.join(outputs[-1]['text'])  # what the last cell prints


@pytest.mark.slow
def test_the_page_of_your_model_shows_what_the_example_prints(capsys):
    if 'TFDS_DATA_DIR' not in os.environ:
        pytest.skip('the page shows results on the real MNIST, which TFDS_DATA_DIR names')
    example('own_model').main([], verbose=False)
    page = (EXAMPLES.parent / 'docs' / 'your_model.md').read_text(encoding='utf-8')
    (shown,) = re.findall(r'```\n(natural accuracy .*?)```', page, re.DOTALL)

    def without_seconds(text):
        return re.sub(r' +[\d,.]+$', '', text, flags=re.MULTILINE).strip()

    assert without_seconds(capsys.readouterr().out) == without_seconds(shown)


def test_a_network_is_trained_with_fit(capsys):
    example('adversarial_fit').main(
        ['--dataset=drawn', '--examples=200', '--epochs=1', '--every=500', '--steps=2']
    )
    out = capsys.readouterr().out
    assert re.search(r'after natural training: natural .*%, PGD-2 .*% \(n = \d+\)', out)
    assert re.search(r'after adversarial training: natural .*%, PGD-2 .*%', out)
