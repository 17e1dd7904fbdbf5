"""The programs that use a network (attack, checker, evaluation), always on drawn images."""

import dataclasses
import json
import types

import numpy as np
import pytest
from absl import flags
from absl.testing.flagsaver import flagsaver

from cifar10 import (
    dataset,
    eval,
    eval_attack,
    fetch_model,
    model,
    paper,
    pgd_attack,
    run_attack,
    train,
)
from cifar10.challenge_models import RELEASES
from cifar10.data_set import CIFAR10
from cifar10.pgd_attack import PGDAttack, challenge_pgd
from common.attacks import PGD, Square
from common.evaluation.attack_table import AttackSettings
from common.evaluation.cascade import Stage
from common.losses import CrossEntropy
from common.networks import registry
from common.networks.logits import ModelLogits
from common.programs import cli, network
from common.programs import eval_attack as program
from common.threat_model import LinfBall

DRAWN = '--dataset=drawn'
pytestmark = pytest.mark.usefixtures('few_images')


@pytest.fixture(scope='module')
def run(run_of_b):
    """Network B instead of A, which takes seconds to compile in every program."""
    return run_of_b


@pytest.fixture(scope='module')
def submission(run, run_program, tmp_path_factory, few_images):
    """Path of a submission made by pgd_attack, and what the program printed."""
    path = tmp_path_factory.mktemp('submission') / 'attack.npy'
    status, out, err = run_program(
        pgd_attack, DRAWN, f'--checkpoint={run}', '--steps=2', f'--output={path}', '--batch_size=20'
    )
    assert status == 0, err
    return path, out


@pytest.mark.parametrize(
    'flags, index',
    [
        (['--num_examples=7'], slice(7)),
        (['--every=9'], slice(None, None, 9)),
        (['--every=9', '--num_examples=3'], slice(0, 27, 9)),
    ],
)
def test_some_images_are_attacked_for_a_look_and_are_no_submission(
    run, run_program, tmp_path, submission, flags, index
):
    path, whole = tmp_path / 'some.npy', np.load(submission[0])
    status, out, err = run_program(
        pgd_attack, DRAWN, f'--checkpoint={run}', '--steps=2', f'--output={path}', *flags
    )
    assert status == 0, err
    found, test = np.load(path), CIFAR10.load('test', dataset='drawn').x[index]
    assert found.shape == test.shape and 0 < np.abs(found - test).max() <= 8 + 1e-4
    assert f'{len(test)} of {len(whole)} test images. It is no submission' in out
    assert 'check it with' not in out and 'check it with' in submission[1]
    assert f'found ({len(test)}, 32, 32, 3)' in check(run_program, run, path, tmp_path)[2]


def check(run_program, run, path, tmp_path, *arguments):
    return run_program(
        run_attack,
        DRAWN,
        f'--checkpoint={run}',
        f'--input={path}',
        f'--predictions={tmp_path / "pred.npy"}',
        *arguments,
    )


def test_the_attacks_defaults_are_the_challenges():
    assert challenge_pgd() == PGD(LinfBall(8.0, 0.0, 255.0), 20, 2.0, CrossEntropy(), True)
    assert (CIFAR10.watched_steps, CIFAR10.batch_size) == (7, 100)


def test_a_step_is_the_challenges(run):
    network, test = model.load(str(run)), dataset.load('test', dataset='drawn').subset(slice(5))
    x_adv = PGDAttack(network, steps=1, random_start=False)(test.x, test.y, seed=(0, 0)).numpy()
    moved = x_adv - test.x
    inside = (test.x >= 2) & (test.x <= 253)
    assert set(np.unique(moved[inside])) <= {-2.0, 0.0, 2.0}
    loss = [np.mean(CrossEntropy()(ModelLogits(network)(x), test.y)) for x in (test.x, x_adv)]
    assert loss[1] > loss[0]


def test_a_submission_has_the_checkers_shape_and_units(submission):
    images, test = np.load(submission[0]), dataset.load('test', dataset='drawn')
    assert (images.shape, images.dtype) == ((40, 32, 32, 3), np.float32)
    assert 0 <= images.min() and 128 < images.max() <= 255
    assert 4 < np.abs(images - test.x).max() <= 8


def test_the_checker_finds_the_accuracy_that_the_attack_printed(
    submission, run, run_program, tmp_path
):
    status, out, err = check(run_program, run, submission[0], tmp_path)
    assert status == 0, err
    accuracy = out.split('Accuracy: ')[1].split('%')[0]
    assert f'under the attack {accuracy}%' in submission[1]
    assert np.load(tmp_path / 'pred.npy').shape == (40,)


def test_whole_numbers_are_judged_without_wrapping_around(run, run_program, tmp_path):
    test = dataset.load('test', dataset='drawn')
    lowered = np.clip(test.x - 8, 0, 255).astype(np.uint8)
    accuracies = []
    for dtype in (np.uint8, np.float32, '>i2'):
        np.save(tmp_path / 'attack.npy', lowered.astype(dtype))
        status, out, err = check(run_program, run, tmp_path / 'attack.npy', tmp_path)
        assert status == 0, err
        accuracies.append(out.split('Accuracy: ')[1].split('%')[0])
    assert len(set(accuracies)) == 1


@pytest.mark.parametrize(
    'spoil, words',
    [
        (lambda x: x.__setitem__((3, 0, 0, 0), np.nan), 'NaN'),
        (lambda x: x.__setitem__((3, 0, 0, 0), 255.1), '255'),
        (lambda x: x.__setitem__((3, 0, 0, 0), -0.01), '[0, 255]'),
        (lambda x: x.__setitem__((3,), np.clip(x[3] + 20, 0, 255)), '8'),
    ],
)
def test_invalid_submissions_are_refused(run, run_program, tmp_path, spoil, words):
    images = dataset.load('test', dataset='drawn').x.copy()
    spoil(images)
    np.save(tmp_path / 'attack.npy', images)
    status, out, err = check(run_program, run, tmp_path / 'attack.npy', tmp_path)
    assert status == 1 and err.startswith('error: ') and err.count('\n') == 1, err
    assert words in err and 'Accuracy' not in out
    assert not (tmp_path / 'pred.npy').exists()


@pytest.mark.parametrize('shape', [(40, 3072), (40, 3, 32, 32), (39, 32, 32, 3)])
def test_other_shapes_are_refused(run, run_program, tmp_path, shape):
    np.save(tmp_path / 'attack.npy', np.zeros(shape, np.float32))
    status, _, err = check(run_program, run, tmp_path / 'attack.npy', tmp_path)
    assert status == 1 and str(shape) in err and '(40, 32, 32, 3)' in err


def test_an_epsilon_on_the_scale_of_0_to_1_is_pointed_out(submission, run, run_program, tmp_path):
    status, _, err = check(run_program, run, submission[0], tmp_path, '--epsilon=0.031')
    assert status == 1  # the submission is further away than that
    assert 'warning: --epsilon=0.031' in err


def test_evaluates_once(run, run_program):
    status, out, err = run_program(
        eval, DRAWN, f'--model_dir={run}', '--once', '--num_examples=20', '--steps=1'
    )
    assert status == 0, err
    assert '20' in out and 'natural' in out and 'adversarial' in out


def test_a_row(run, run_program, tmp_path):
    status, out, err = run_program(
        eval_attack,
        DRAWN,
        f'--source={run}',
        f'--target={run}',
        '--steps=1',
        '--num_examples=20',
        f'--json={tmp_path / "rows.json"}',
    )
    assert status == 0, err
    (row,) = json.loads((tmp_path / 'rows.json').read_text())['rows']
    assert (row['method'], row['steps'], row['epsilon'], row['n']) == ('pgd', 1, 8.0, 20)
    assert row['paper'] is None  # these are not the paper's images
    assert f'{row["accuracy"]:.2%}' in out


def test_the_papers_tables():
    settings = AttackSettings(LinfBall(8.0, 0.0, 255.0), 2.0, 10, None)
    assert paper.TABLE_2.accuracy('pgd', 20, 1, 'A', 'A', settings) == 0.458
    assert paper.TABLE_2.accuracy('cw', 30, 1, 'A_prime', 'A', settings) == 0.787
    assert paper.SIMPLE.accuracy('pgd', 20, 1, 'A', 'A', settings) == 0.437
    assert paper.SIMPLE.accuracy('pgd', 7, 1, 'A', 'A', settings) is None
    assert paper.TABLE_2.accuracy('pgd', 7, 1, 'A_nat', 'A', settings) == 0.860
    assert paper.TABLE_2.accuracy('pgd', 20, 1, 'A_nat', 'A_nat', settings) == 0.035


def test_the_challenges_models_and_where_they_are():
    assert set(RELEASES) == {'natural', 'adv_trained', 'secret'}
    for release in RELEASES.values():
        assert release.url.startswith('https://www.dropbox.com/s/') and len(release.sha256) == 64


@pytest.mark.parametrize('program', [eval, eval_attack, fetch_model, pgd_attack, run_attack, train])
def test_help(program, run_program):
    status, out, err = run_program(program, '--help')
    assert status == 0 and '--' in out + err


@pytest.mark.parametrize('width, count', [('wide', '45,901,914'), ('simple', '464,154')])
def test_the_networks_are_printed_with_their_counts(run_program, width, count):
    module = types.SimpleNamespace(__name__='cifar10.model', main=cli.Door(network, CIFAR10))
    status, out, err = run_program(module, f'--width={width}')
    assert (status, err) == (0, '')
    assert f'{count} trainable parameters' in out and 'unit_3_4_conv2' in out


@pytest.mark.parametrize(
    'program, steps', [(train, 7), (eval, 7), (pgd_attack, 20), (eval_attack, 20)]
)
def test_default_numbers_of_steps(program, steps):
    with flagsaver():
        known = set(flags.FLAGS)
        program.main.program.define_flags(CIFAR10)
        assert flags.FLAGS['steps'].default == steps
        for name in set(flags.FLAGS) - known:
            delattr(flags.FLAGS, name)


def test_the_table_prints_both_papers(run_program, run, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, 'manifest', lambda *_: {})
    few = dataclasses.replace(paper.TABLE_2, rows=paper.TABLE_2.rows[:2])

    def drawn(split, **_):  # the paper's numbers are shown for the real images only
        return dataset.load(split, dataset='drawn')

    status, out, err = run_program(
        eval_attack,
        '--table',
        f'--target={run}',
        '--num_examples=10',
        '--batch_size=10',
        f'--output_dir={tmp_path}',
        f'--json={tmp_path / "rows.json"}',
        table=few,
        load=drawn,
    )
    assert status == 0, err
    rows = json.loads((tmp_path / 'rows.json').read_text())['rows']
    assert [(row['method'], row['steps'], row['paper'], row['paper_simple']) for row in rows] == [
        ('natural', None, 0.873, 0.794),
        ('fgsm', 1, 0.561, 0.517),
    ]


def test_the_table_refuses_flags_that_it_would_ignore(run_program, run):
    status, _, err = run_program(eval_attack, DRAWN, '--table', f'--target={run}', '--steps=5')
    assert status == 1 and '--steps' in err and 'Traceback' not in err


def test_the_worst_case_passes_the_checker(run, run_program, tmp_path, monkeypatch):
    def few(name, ball, *, steps, step_size, num_classes, others):
        return (
            Stage('pgd', PGD(ball, steps, step_size)),
            Stage('square', Square(ball, 3), queries=3),
        )

    monkeypatch.setattr(program, 'preset', few)
    monkeypatch.setattr('common.evaluation.worst_case.checks', lambda *_, **__: iter(()))
    path = tmp_path / 'attack.npy'
    status, out, err = run_program(
        eval_attack,
        DRAWN,
        f'--target={run}',
        '--method=worst_case',
        '--steps=1',
        f'--output_dir={tmp_path}/report',
        f'--output={path}',
        f'--json={tmp_path}/rows.json',
    )
    assert status == 0, err
    (row,) = json.loads((tmp_path / 'rows.json').read_text())['rows']
    status, out, err = check(run_program, run, path, tmp_path)
    assert status == 0, err
    assert f'Accuracy: {row["accuracy"]:.2%}' in out
