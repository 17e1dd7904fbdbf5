"""CIFAR-10's images: pixel scale, splits, order and digests."""

import dataclasses
import hashlib
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from cifar10 import dataset
from cifar10.data_set import CIFAR10
from common.errors import UserError

PREPARED = pathlib.Path(os.environ.get('TFDS_DATA_DIR', '/nonexistent'), 'cifar10', '3.0.2')
REAL_DATA = pytest.mark.skipif(
    not PREPARED.is_dir(), reason='needs CIFAR-10 prepared by TensorFlow Datasets in TFDS_DATA_DIR'
)

N = 12
IMAGES = np.random.default_rng(1).integers(0, 256, (N, 32, 32, 3), np.uint8)
LABELS = np.arange(N, dtype=np.uint8) % 10
SHUFFLE = np.random.default_rng(0).permutation(N)  # original position of each stored example
NAMES = [f'test_{i:05d}' for i in SHUFFLE]


@pytest.fixture(scope='module')
def drawn_test():
    return dataset.load('test', dataset='drawn')


@pytest.fixture(scope='module')
def drawn_train():
    return dataset.load('train', dataset='drawn')


@pytest.fixture
def stored(monkeypatch):
    """Declares N images published, and makes TFDS load the given copy of them in order SHUFFLE."""
    published = dataclasses.replace(
        dataset.ARCHIVE,
        sizes={'test': N},
        digests={'test': (hashlib.md5(binary_file(IMAGES, LABELS)).hexdigest(),)},
    )

    class Builder:
        def __init__(self, columns):
            self.columns = columns

        def is_prepared(self):
            return True

        def as_dataset(self, **_):
            return self.columns

    def store(images=IMAGES, labels=LABELS, names=NAMES, number=N):
        columns = {'id': names, 'image': images[SHUFFLE], 'label': labels[SHUFFLE].astype(np.int64)}
        columns = {name: tf.constant(column[:number]) for name, column in columns.items()}
        monkeypatch.setattr(dataset, 'ARCHIVE', published)
        monkeypatch.setattr(tfds, 'builder', lambda name, data_dir=None: Builder(columns))

    return store


def binary_file(images, labels):
    """The published format: label, then 1024 red, 1024 green and 1024 blue bytes, row by row."""
    return b''.join(
        bytes([label]) + b''.join(image[..., channel].tobytes() for channel in range(3))
        for image, label in zip(images, labels, strict=True)
    )


def changed(array, index):
    array = array.copy()
    array[index] ^= 1
    return array


def refusal(split='test'):
    with pytest.raises(UserError) as caught:
        dataset.load(split, data_dir='/somewhere')
    message = str(caught.value)
    assert '\n' not in message
    assert f'{split} split of cifar10 in /somewhere is not the published data set' in message
    return message


def test_constants_are_the_challenges():
    assert (dataset.LOWER, dataset.UPPER, dataset.EPSILON) == (0.0, 255.0, 8.0)
    assert (dataset.IMAGE_SHAPE, dataset.NUM_CLASSES) == ((32, 32, 3), 10)
    assert len(set(dataset.CLASSES)) == 10


def test_drawn_images_arrive_as_pixels_from_0_to_255(drawn_test):
    assert drawn_test.x.shape == (2000, 32, 32, 3) and drawn_test.x.dtype == np.float32
    assert drawn_test.y.shape == (2000,) and drawn_test.y.dtype == np.int32
    assert (drawn_test.x.min(), drawn_test.x.max()) == (0.0, 255.0)
    np.testing.assert_array_equal(drawn_test.x, np.rint(drawn_test.x))


def test_no_one_takes_drawn_images_for_cifar10(drawn_test):
    assert drawn_test.name == 'drawn patterns (a stand-in, not CIFAR-10) test'


@pytest.mark.parametrize('size', [0, 1, 1000, 10_000])
def test_the_last_training_images_are_held_out(drawn_train, size):
    training, held_out = CIFAR10.load_training(size, dataset='drawn')
    assert (len(training), len(held_out)) == (10_000 - size, size)
    for part, index in ((training, slice(10_000 - size)), (held_out, slice(10_000 - size, None))):
        np.testing.assert_array_equal(part.x, drawn_train.x[index])
        np.testing.assert_array_equal(part.y, drawn_train.y[index])


def test_the_challenge_holds_none_out():
    training, held_out = CIFAR10.load_training(CIFAR10.training.validation_size, dataset='drawn')
    assert (len(training), len(held_out)) == (10_000, 0)


def test_nothing_is_left_to_train_on_where_more_is_held_out_than_there_is():
    training, held_out = CIFAR10.load_training(10_001, dataset='drawn')
    assert (len(training), len(held_out)) == (0, 10_000)


@pytest.mark.parametrize('name', ['CIFAR-10', 'cifar100', ''])
def test_unknown_data_sets_are_refused(name):
    with pytest.raises(ValueError, match=f"unknown dataset '{name}'; expected one of: cifar10, dr"):
        dataset.load('test', dataset=name)


def test_unknown_splits_are_refused():
    with pytest.raises(ValueError, match="unknown split 'validation'"):
        dataset.load('validation', dataset='drawn')


def test_a_missing_copy_without_network_is_the_users_to_fix(tmp_path, monkeypatch):
    monkeypatch.setenv('no_proxy', '*')
    monkeypatch.setattr(
        dataset, 'ARCHIVE', dataclasses.replace(dataset.ARCHIVE, host='http://127.0.0.1:9/')
    )
    with pytest.raises(UserError, match='not prepared there, and .* cannot be reached') as caught:
        dataset.load('test', data_dir=str(tmp_path))
    assert str(tmp_path) in str(caught.value) and '\n' not in str(caught.value)
    assert '--dataset=drawn' in str(caught.value)


def test_the_original_order_is_restored(stored):
    stored()
    test = dataset.load('test')
    assert test.name == 'CIFAR-10 test'
    assert test.x.dtype == np.float32 and test.y.dtype == np.int32
    np.testing.assert_array_equal(test.x, IMAGES)
    np.testing.assert_array_equal(test.y, LABELS)


@pytest.mark.parametrize(
    'images, labels',
    [
        (changed(IMAGES, (5, 0, 31, 2)), LABELS),
        (IMAGES, changed(LABELS, 5)),
        (IMAGES[..., ::-1], LABELS),
        (IMAGES.swapaxes(1, 2), LABELS),
        (IMAGES[::-1], LABELS[::-1]),
    ],
    ids=['a pixel', 'a label', 'channels', 'rows as columns', 'the order'],
)
def test_an_altered_copy_is_refused(stored, images, labels):
    stored(images, labels)
    assert 'MD5' in refusal()


@pytest.mark.parametrize('number', [1, N - 1])
def test_an_incomplete_copy_is_refused(stored, number):
    stored(number=number)
    assert f'it has {number} examples, expected {N}' in refusal()


@pytest.mark.parametrize('name', ['train_00003', 'test_', 'test_3.5', '00003', '', NAMES[0]])
def test_names_that_give_no_order_are_refused(stored, name):
    stored(names=[*NAMES[:-1], name])
    assert 'an order that cannot be restored' in refusal()


def test_digests_are_those_of_the_binary_files():
    expected = hashlib.md5(binary_file(IMAGES, LABELS)).hexdigest()
    assert dataset.ARCHIVE.digest(IMAGES, LABELS) == (expected,)


def test_every_ten_thousand_images_have_a_file_and_a_digest():
    images, labels = np.zeros((10_001, 32, 32, 3), np.uint8), np.full(10_001, 3, np.uint8)
    record = b'\x03' + bytes(3072)
    expected = tuple(hashlib.md5(n * record).hexdigest() for n in (10_000, 1))
    assert dataset.ARCHIVE.digest(images, labels) == expected
    for split, size in dataset.ARCHIVE.sizes.items():
        assert len(dataset.ARCHIVE.digests[split]) * 10_000 == size


@REAL_DATA
def test_cifar10_is_loaded_in_its_original_order():
    test = dataset.load('test')
    assert (test.name, test.x.shape) == ('CIFAR-10 test', (10_000, 32, 32, 3))
    assert (test.x.min(), test.x.max()) == (0.0, 255.0)
    names = [dataset.CLASSES[label] for label in test.y[:5]]
    assert names == ['cat', 'ship', 'ship', 'airplane', 'frog']
    assert test.x[0, 0, 0].tolist() == [158, 112, 49]
    training, held_out = CIFAR10.load_training(1000)
    assert (len(training), len(held_out)) == (49_000, 1000)
    assert training.y[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert held_out.y[-10:].tolist() == [4, 2, 0, 1, 0, 2, 6, 9, 1, 1]
