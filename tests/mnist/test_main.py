"""The first look."""

import importlib

import numpy as np
import pytest
import tensorflow as tf

from common.data.archive import Unavailable
from common.errors import UserError
from mnist.dataset import load

# `mnist.__main__` under this name, since pytest itself is __main__.
first_look = importlib.import_module('mnist.__main__')

WHY = 'the data set mnist could not be loaded from /nowhere (not prepared there)'
FEW = '--num_examples=20'


def without_mnist(split, *, dataset, data_dir=None):
    if dataset == 'mnist':
        raise Unavailable(WHY, 'Connect to a network.')
    return load(split, dataset=dataset)


def damaged(split, *, dataset, data_dir=None):
    raise UserError('the test split of mnist is not the published data set')


def as_if_real(split, *, dataset, data_dir=None):
    return load(split, dataset='drawn')


@pytest.fixture
def look(run_program, tmp_path, monkeypatch):
    """(*flags, **changes) -> (exit status, output, standard error), with PGD-2."""
    monkeypatch.chdir(tmp_path)
    return lambda *flags, **changes: run_program(
        first_look, *flags, **{'load': as_if_real, 'steps': 2, 'step_size': 0.3, **changes}
    )


def picture(path):
    return tf.io.decode_png(path.read_bytes()).numpy()


def test_falls_back_to_drawn_images_and_says_so_once(look, tmp_path):
    status, out, err = look(FEW, load=without_mnist)
    assert status == 0
    assert [line for line in err.splitlines() if 'warning' in line or 'drawn' in line] == [
        f'warning: {WHY}, so the images are drawn digits, which the released networks read like '
        'handwritten ones. Accuracies on them say nothing about MNIST. To use MNIST, connect to a '
        'network, or name a prepared copy with --data_dir.'
    ]
    assert out.count('drawn') == 1
    assert 'drawn digits (a stand-in, not MNIST) test, 20 of 2,000 images, ' in out
    methods = ('natural', 'fgsm', 'pgd')
    rows = [line.split() for line in out.splitlines() if line.startswith(methods)]
    assert tuple(row[0] for row in rows) == methods
    # The paper says nothing about drawn images.
    assert all(row[10] == '-' for row in rows)
    pixels = picture(tmp_path / 'attack.png')
    assert pixels.shape[2] == 3 and len(np.unique(pixels)) > 50


def test_the_picture_says_that_images_are_drawn(look, tmp_path):
    status, out, err = look(FEW, '--dataset=drawn', '--picture=drawn.png')
    assert status == 0 and 'warning' not in err
    assert out.startswith('The images are drawn digits, which the released networks read like')
    look(FEW, '--picture=real.png')
    real, drawn = (picture(tmp_path / f'{name}.png') for name in ('real', 'drawn'))
    extra = len(drawn) - len(real)
    assert extra > 0 and (drawn[:extra] < 128).any()
    np.testing.assert_array_equal(drawn[extra:], real)


@pytest.mark.parametrize(
    'flags, chosen, words',
    [
        ([], slice(None, None, 10), '200 of 2,000 images (one in 10; --every=1 attacks all)'),
        (['--every=7'], slice(None, None, 7), '286 of 2,000 images (one in 7; --every=1 attacks'),
        (['--every=1'], slice(None), 'all 2,000 images, l-inf ball'),
        (['--num_examples=30'], slice(30), '30 of 2,000 images, l-inf ball'),
        (['--num_examples=3', '--every=7'], slice(0, 21, 7), '3 of 2,000 images, l-inf ball'),
    ],
)
def test_attacks_every_tenth_image_by_default_and_says_so(look, monkeypatch, flags, chosen, words):
    attacked = []

    def stop(table):
        attacked.append(table.examples.x)
        raise UserError('enough')

    monkeypatch.setattr('common.evaluation.attack_table.AttackTable.natural_row', stop)
    _, out, err = look(*flags)
    assert words in out and err == 'error: enough\n'
    np.testing.assert_array_equal(attacked[0], load('test', dataset='drawn').x[chosen])


def test_does_not_fall_back_where_a_folder_was_named(look, tmp_path):
    status, out, err = look(f'--data_dir={tmp_path}', load=without_mnist)
    assert (status, err) == (1, f'error: {WHY}. Connect to a network.\n')


def test_does_not_fall_back_where_there_is_no_stand_in(look):
    status, out, err = look(load=without_mnist, names=('mnist',))
    assert (status, err) == (1, f'error: {WHY}. Connect to a network.\n')


def test_does_not_replace_a_damaged_copy_without_a_word(look):
    status, out, err = look(load=damaged)
    assert (status, err) == (1, 'error: the test split of mnist is not the published data set\n')
