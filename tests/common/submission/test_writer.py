"""Submissions: what is written, and how an interrupted one resumes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD, CompiledAttack, Restarts
from common.data.batches import Examples
from common.errors import UserError
from common.evaluation.crafting import Crafting
from common.evaluation.images_on_disk import ImagesOnDisk
from common.submission.writer import write_submission
from common.threat_model import LinfBall
from common.transfer import Source

N, BATCH, SHAPE = 23, 5, (3, 3, 1)
BALL = LinfBall(0.1)
ATTACK = Restarts(PGD(BALL, 3, 0.05), 2)


@pytest.fixture(scope='module')
def network():
    keras.utils.set_random_seed(1)
    return Source(
        'tiny',
        keras.Sequential(
            [
                keras.Input(SHAPE),
                keras.layers.Flatten(),
                keras.layers.Dense(16, activation='tanh'),
                keras.layers.Dense(3),
            ]
        ),
    )


@pytest.fixture(scope='module')
def test_set(network):
    x = np.random.default_rng(3).uniform(size=(N, *SHAPE)).astype(np.float32)
    return Examples(x, np.argmax(network.model(x), axis=1).astype(np.int32), 'made up')


@pytest.fixture
def write(network, test_set, tmp_path):
    """(seed) -> the submission, written to attack.npy."""

    def run(seed=0):
        path = tmp_path / 'attack.npy'
        write_submission(
            path,
            ATTACK,
            network,
            test_set,
            ball=BALL,
            shape=(N, -1),
            crafting=Crafting(BATCH, seed),
        )
        return np.load(path)

    return run


def interrupt(patch, batches):
    """Raises KeyboardInterrupt after this many batches; None only counts them."""
    keep, kept = ImagesOnDisk.keep, []

    def counted(self, index, x_adv):
        if len(kept) == batches:
            raise KeyboardInterrupt
        kept.append(index)
        keep(self, index, x_adv)

    patch.setattr(ImagesOnDisk, 'keep', counted)
    return kept


@pytest.fixture
def whole(write, tmp_path):
    """What an uninterrupted run writes."""
    found = write()
    assert [path.name for path in tmp_path.iterdir()] == ['attack.npy']
    (tmp_path / 'attack.npy').unlink()
    return found


def test_the_images_are_those_of_the_attack(whole, network, test_set):
    x, y = tf.constant(test_set.x), tf.constant(test_set.y)
    assert whole.shape == (N, 9) and whole.dtype == np.float32
    x_adv = tf.constant(whole.reshape(test_set.x.shape))
    assert BALL.contains(x_adv, x).numpy().all()
    first = CompiledAttack(ATTACK.attack, network.model)(x, y, seed=(0, 0))
    ours, alone = (np.mean(network.judge(images, y)[0] == test_set.y) for images in (x_adv, first))
    assert ours <= alone + 0.1 < 1  # other starting points, and twice as many


@pytest.mark.parametrize('done', [0, 3, 6])  # in either restart, and before the first batch
def test_an_interrupted_attack_goes_on(write, whole, done, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        every = interrupt(patch, None)
        np.testing.assert_array_equal(write(), whole)
    (tmp_path / 'attack.npy').unlink()
    with monkeypatch.context() as patch:
        interrupt(patch, done)
        with pytest.raises(KeyboardInterrupt):
            write()
    assert not (tmp_path / 'attack.npy').exists()
    with monkeypatch.context() as patch:
        rest = interrupt(patch, None)
        np.testing.assert_array_equal(write(), whole)
    assert list(map(list, rest)) == list(map(list, every[done:]))
    assert [path.name for path in tmp_path.iterdir()] == ['attack.npy']


def test_it_begins_anew_if_the_images_are_lost(write, whole, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            write()
    (images,) = (tmp_path / 'attack.npy.partial').glob('*.images')
    images.write_bytes(images.read_bytes()[:-4])
    np.testing.assert_array_equal(write(), whole)
    note = capsys.readouterr().err
    assert f'note: {images}' in note and 'starting over' in note


def test_images_that_do_not_belong_to_the_results_are_not_written(
    write, test_set, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        interrupt(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            write()
    # As if the machine had crashed after the results reached the disk and before the images did.
    (images,) = (tmp_path / 'attack.npy.partial').glob('*.images')
    np.lib.format.open_memmap(images, mode='r+')[:] = test_set.x
    with pytest.raises(
        UserError, match='network classifies otherwise.*remove the folder .*partial'
    ):
        write()
    assert not (tmp_path / 'attack.npy').exists()


def test_a_file_in_the_place_of_the_folder_is_told_at_once(write, tmp_path):
    (tmp_path / 'attack.npy.partial').write_text('mine')
    with pytest.raises(UserError, match='expected a folder .* found a file'):
        write()


def test_what_another_attack_has_left_is_neither_used_nor_removed(
    write, whole, tmp_path, monkeypatch
):
    with monkeypatch.context() as patch:
        interrupt(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            write(seed=1)
    left = sorted((tmp_path / 'attack.npy.partial').iterdir())
    assert len(left) == 2
    np.testing.assert_array_equal(write(), whole)
    assert sorted((tmp_path / 'attack.npy.partial').iterdir()) == left
