"""The checker as a program: known accuracies of a linear network, and refusals."""

import re

import keras
import numpy as np
import pytest

from common.networks.registry import Networks
from common.statistics import wilson_interval
from mnist import dataset, run_attack


@pytest.fixture(scope='module')
def images():
    return dataset.load('test', dataset='drawn')


@pytest.fixture
def asked(monkeypatch):
    """Replaces the networks by a known one, and lists the names they were asked for by.

    Its logits are the first ten pixels of the top row, which drawn images leave black.
    """
    network = keras.Sequential(
        [
            keras.Input(dataset.IMAGE_SHAPE),
            keras.layers.Flatten(),
            keras.layers.Dense(10, use_bias=False),
        ]
    )
    network.layers[-1].set_weights([np.eye(784, 10, dtype=np.float32)])
    references = []

    def load(self, reference):
        references.append(reference)
        return network

    monkeypatch.setattr(Networks, 'load', load)
    return references


@pytest.fixture
def paths(tmp_path):
    return tmp_path / 'attack.npy', tmp_path / 'pred.npy'


@pytest.fixture
def score(run_program, paths):
    """(*flags) -> (exit status, standard output, standard error) on drawn images."""

    def score(*flags, **changes):
        return run_program(
            run_attack,
            '--dataset=drawn',
            f'--input={paths[0]}',
            f'--predictions={paths[1]}',
            *flags,
            **changes,
        )

    return score


def answers(examples, wrong=()):
    """[n, 784] float32: the network reads the class from each image; at `wrong`, the next one."""
    classes = examples.y.astype(np.int64)
    classes[list(wrong)] = (classes[list(wrong)] + 1) % 10
    x = examples.x.reshape(len(examples), -1).copy()
    x[np.arange(len(x)), classes] = 0.3
    return x, classes


def test_prints_the_accuracy_and_writes_the_predictions(paths, asked, images, score):
    # 145 of 2,000 wrong, the last image among them: 92.75% are right.
    x, classes = answers(images, wrong=[*range(144), 1999])
    np.save(paths[0], x)
    status, out, err = score()
    assert status == 0 and not err
    assert out.splitlines() == [
        'Data: drawn digits (a stand-in, not MNIST) test, 2,000 images',
        'Accuracy: 92.75%',
        '95% interval 91.53% to 93.81%, n = 2,000',
        f'Predictions written to {paths[1]}',
    ]
    predictions = np.load(paths[1])
    np.testing.assert_array_equal(predictions, classes)
    assert predictions.dtype == np.int64
    assert asked == ['A']


def test_the_challenges_own_data_are_not_announced(paths, asked, images, run_program):
    np.save(paths[0], answers(images)[0])
    arguments = (f'--input={paths[0]}', f'--predictions={paths[1]}')
    low, _ = wilson_interval(len(images), len(images))
    assert run_program(run_attack, *arguments, load=lambda *_, **__: images) == (
        0,
        f'Accuracy: 100.00%\n95% interval {low:.2%} to 100.00%, n = {len(images):,}\n'
        f'Predictions written to {paths[1]}\n',
        '',
    )


@pytest.mark.parametrize('dtype', [np.uint8, np.int64])
def test_integers_are_pixels_of_0_and_1(paths, asked, images, score, dtype):
    black_and_white = dataset.Examples(np.round(images.x), images.y, images.name)
    np.save(paths[0], black_and_white.x.reshape(2000, 784).astype(dtype))
    # All logits are 0, and the first class wins ties.
    out = score(load=lambda *_, **__: black_and_white)[1]
    assert f'Accuracy: {np.mean(images.y == 0):.2%}\n' in out


def test_hands_on_the_name_of_the_network(paths, asked, images, score):
    np.save(paths[0], answers(images)[0])
    assert 'Accuracy: 100.00%' in score('--checkpoint=models/my_network')[1]
    assert asked == ['models/my_network']


def test_epsilon_is_the_callers(paths, asked, images, score):
    np.save(paths[0], answers(images)[0])
    status, _, err = score('--epsilon=0.2')
    assert status == 1
    assert re.search('2,000 of 2,000 images .* epsilon = 0.2 .*worst by 0.1 ', err)


def test_a_hopeless_epsilon_is_pointed_out(paths, asked, images, score):
    np.save(paths[0], answers(images)[0])
    status, out, err = score('--epsilon=0.5')
    assert status == 0 and 'Accuracy: 100.00%' in out
    assert err.startswith('warning: --epsilon=0.5 is at least half of the pixel range [0, 1]')


def _with(x, row, value):
    x = x.copy()
    x[row, 0] = value
    return x


@pytest.mark.parametrize(
    'spoil, words',
    [
        (lambda x: x.reshape(-1, 28, 28, 1), ['expected an array of shape (2000, 784)', 'reshape']),
        (lambda x: x[:-1], ['(2000, 784)', 'found (1999, 784)']),
        (lambda x: x.astype(np.complex64), ['dtype complex64']),
        (lambda x: x * 255, ['leave the pixel range [0, 1]', 'by 254', 'farther than']),
        (lambda x: _with(x, 17, np.nan), ['1 of 2,000 images (row 17;', 'NaN']),
        (lambda x: _with(x, 17, 0.75), ['(row 17;', 'epsilon = 0.3', 'by 0.45']),
        (lambda x: _with(x, 17, -0.25), ['(row 17;', 'range [0, 1]', 'by 0.25']),
        (lambda x: np.roll(x, 1, axis=0), ['farther than epsilon = 0.3', 'order']),
    ],
)
def test_refuses_an_invalid_submission_before_it_loads_a_network(
    paths, asked, images, score, spoil, words
):
    np.save(paths[0], spoil(images.x.reshape(2000, 784)))
    status, out, err = score()
    assert status == 1
    assert err.startswith('error: ') and err.count('\n') == 1
    assert all(word in err for word in words), err
    assert 'Accuracy' not in out
    assert not asked and not paths[1].exists()


def test_refuses_the_file_before_it_loads_any_data(paths, score, run_program):
    def load(*args, **kwargs):
        raise AssertionError('loaded data first')

    status, _, err = score(load=load)
    assert status == 1 and 'No such file' in err
    np.savez(paths[0].with_suffix(''), x=np.zeros(3))
    path = paths[0].with_suffix('.npz')
    status, _, err = run_program(run_attack, f'--input={path}', load=load)
    assert status == 1 and 'npz' in err


def test_the_program_fails_with_the_reason_and_without_a_traceback(paths, images, run_program):
    np.save(paths[0], _with(images.x.reshape(2000, 784), 17, 0.75))
    status, out, err = run_program(
        run_attack, '--dataset=drawn', f'--input={paths[0]}', f'--predictions={paths[1]}'
    )
    assert status == 1
    assert err.startswith('error: the submission is not valid: 1 of 2,000 images (row 17;')
    assert err.count('\n') == 1 and 'Accuracy' not in out
    assert not paths[1].exists()
