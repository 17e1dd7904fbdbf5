"""Evaluation as a program: once, and watching a folder during training."""

import os
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from common.data import stand_in
from common.evaluation import watch_checkpoints
from common.files import sha256
from mnist import dataset, eval, model, train

TINY = (
    '--dataset=drawn',
    '--filters=2,4',
    '--hidden=8',
    '--train_steps=4',
    '--batch_size=8',
    '--adversary=none',
    '--learning_rate=0.01',
    '--checkpoint_every=2',
    '--validation_size=100',
    '--validation_examples=0',
)
QUICK = ('--dataset=drawn', '--num_examples=50', '--steps=2', '--step_size=0.2')


@pytest.fixture(autouse=True, scope='module')
def _few_images():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stand_in, 'SIZES', {'train': 500, 'test': 500})
        yield


@pytest.fixture(scope='module')
def run(tmp_path_factory, run_program):
    """A model folder with the checkpoints 2 and 4."""
    folder = tmp_path_factory.mktemp('models') / 'run'
    assert run_program(train, *TINY, f'--model_dir={folder}')[0] == 0
    return folder


def summaries(folder):
    found = {}
    for path in (folder / 'eval').iterdir():
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(
                    (event.step, tf.make_ndarray(value.tensor).item())
                )
    return found


def natural_accuracy(reference):
    test = dataset.load('test', dataset='drawn').subset(slice(50))
    return np.mean(np.argmax(model.load(str(reference))(test.x), axis=1) == test.y)


NUMBERS = re.compile(
    r'drawn digits .*, n = 50\n'
    r'natural: ([\d.]+)% \(95% interval [\d.]+% to [\d.]+%\)\n'
    r'adversarial: ([\d.]+)% \(95% interval [\d.]+% to [\d.]+%\)\n'
    r'avg nat loss: ([\d.]+)\n'
    r'avg adv loss: ([\d.]+)\n'
)


@pytest.mark.parametrize('flag', ['--model_dir', '--checkpoint'])
def test_a_folder_once(run, tmp_path, run_program, flag):
    folder = shutil.copytree(run, tmp_path / 'run')
    status, out, _ = run_program(eval, *QUICK, f'{flag}={folder}', '--once')
    assert status == 0
    natural, adversarial, natural_loss, adversarial_loss = map(float, NUMBERS.search(out).groups())
    assert out.startswith(f'{folder}: ')
    assert natural == round(100 * natural_accuracy(folder), 2)
    assert adversarial < natural and adversarial_loss > natural_loss
    found = {
        tag: [(step, round(value, 4)) for step, value in values]
        for tag, values in summaries(folder).items()
    }
    assert found == {
        'accuracy nat': [(4, natural / 100)],
        'xent nat': [(4, natural_loss)],
        'accuracy adv': [(4, adversarial / 100)],
        'accuracy adv eval': [(4, adversarial / 100)],
        'xent adv': [(4, adversarial_loss)],
        'xent adv eval': [(4, adversarial_loss)],
    }


def test_anything_else_is_evaluated_once_without_summaries(run, run_program):
    before = sorted(os.listdir(run))
    for reference in (run / 'last.weights.h5', run / 'checkpoint-2'):
        status, out, _ = run_program(eval, *QUICK, f'--checkpoint={reference}')
        assert status == 0
        natural = float(NUMBERS.search(out)[1])
        assert natural == round(100 * natural_accuracy(reference), 2)
    assert sorted(os.listdir(run)) == before


def test_a_folder_is_watched(run, tmp_path, run_program, monkeypatch):
    folder = shutil.copytree(run, tmp_path / 'run')
    late = tmp_path / 'late'
    late.mkdir()
    for path in (folder / 'checkpoint', *folder.glob('checkpoint-4.*')):
        shutil.move(path, late)
    looks = []

    def sleep(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            for path in late.iterdir():
                shutil.move(path, folder)
        if len(looks) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(watch_checkpoints.time, 'sleep', sleep)
    status, out, err = run_program(eval, *QUICK, f'--model_dir={folder}')
    assert status == 130 and 'interrupted' in err
    first, second = NUMBERS.finditer(out)
    assert out.index('checkpoint-2') < first.start() < out.index('checkpoint-4') < second.start()
    assert float(second[1]) == round(100 * natural_accuracy(folder / 'checkpoint-4'), 2)
    assert {tag: [step for step, _ in values] for tag, values in summaries(folder).items()} == {
        tag: [2, 4]
        for tag in (
            'accuracy nat',
            'xent nat',
            'accuracy adv',
            'accuracy adv eval',
            'xent adv',
            'xent adv eval',
        )
    }


def refusal(run_program, *arguments):
    status, _, err = run_program(eval, *QUICK, *arguments)
    assert status == 1
    assert err.startswith('error: ') and err.count('\n') == 1, err
    return err


def test_a_network_that_is_not_there(run_program):
    assert "there is no network 'no/such'" in refusal(run_program, '--checkpoint=no/such')


def test_damaged_weights(run, tmp_path, run_program):
    path = tmp_path / 'a.weights.h5'
    path.write_bytes((run / 'last.weights.h5').read_bytes()[:5000])
    err = refusal(run_program, f'--checkpoint={path}')
    assert str(path) in err and sha256(path) in err


def test_a_damaged_checkpoint(run, tmp_path, run_program):
    folder = shutil.copytree(run, tmp_path / 'run')
    (folder / 'checkpoint-4.data-00000-of-00001').write_bytes(b'')
    assert 'checkpoint-4 is damaged' in refusal(run_program, f'--checkpoint={folder}/checkpoint-4')


def test_a_folder_that_takes_no_summaries(run, tmp_path, run_program):
    folder = shutil.copytree(run, tmp_path / 'run')
    (folder / 'eval').write_text('in the way')
    assert 'cannot write summaries' in refusal(run_program, f'--model_dir={folder}', '--once')


@pytest.mark.parametrize(
    'flag', ['--epsilon=-1', '--steps=-1', '--eval_batch_size=0', '--num_examples=0', '--loss=dlr']
)
def test_wrong_values_of_flags(run_program, flag):
    assert flag.split('=')[0].strip('-') in refusal(run_program, flag)


def test_a_radius_that_means_nothing_is_said(run, run_program):
    reference = f'--checkpoint={run}/last.weights.h5'
    assert 'warning' in run_program(eval, *QUICK, reference, '--epsilon=0.5')[2]
    assert 'warning' not in run_program(eval, *QUICK, reference)[2]


def test_help(run_program):
    status, out, _ = run_program(eval, '--help')
    assert status == 0
    for flag in (
        'dataset',
        'epsilon',
        'steps',
        'checkpoint',
        'model_dir',
        'eval_batch_size',
        '[no]once',
        '[no]eval_on_cpu',
        'num_examples',
    ):
        assert f'--{flag}: ' in out
