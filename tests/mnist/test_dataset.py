"""MNIST's images: pixel scale, splits, order and digests."""

import dataclasses
import gzip
import hashlib
import struct

import numpy as np
import pytest

from common.errors import UserError
from mnist import dataset
from mnist.data_set import MNIST


@pytest.fixture(scope='module')
def drawn_test():
    return dataset.load('test', dataset='drawn')


def test_constants_are_the_challenges():
    assert (dataset.LOWER, dataset.UPPER, dataset.EPSILON) == (0.0, 1.0, 0.3)
    assert (dataset.IMAGE_SHAPE, dataset.NUM_CLASSES) == ((28, 28, 1), 10)
    assert dataset.VALIDATION_SIZE == 5000


def test_drawn_images_arrive_as_pixels_in_the_unit_interval(drawn_test):
    assert drawn_test.x.shape == (2000, 28, 28, 1) and drawn_test.x.dtype == np.float32
    assert drawn_test.y.shape == (2000,) and drawn_test.y.dtype == np.int32
    assert (drawn_test.x.min(), drawn_test.x.max()) == (0.0, 1.0)
    # As in the challenge's loader: numpy.multiply(images, 1 / 255) in float32.
    levels = np.rint(drawn_test.x * 255)
    np.testing.assert_array_equal(drawn_test.x, np.multiply(levels, 1.0 / 255.0))


def test_no_one_takes_drawn_images_for_mnist(drawn_test):
    assert drawn_test.name == 'drawn digits (a stand-in, not MNIST) test'


@pytest.mark.parametrize('size', [0, 1, 5000])
def test_the_first_training_images_are_held_out(size):
    everything = dataset.load('train', dataset='drawn')
    training, held_out = MNIST.load_training(size, dataset='drawn')
    assert (len(training), len(held_out)) == (10_000 - size, size)
    np.testing.assert_array_equal(held_out.x, everything.x[:size])
    np.testing.assert_array_equal(training.x, everything.x[size:])
    np.testing.assert_array_equal(training.y, everything.y[size:])


def test_the_challenge_holds_out_five_thousand():
    _, held_out = MNIST.load_training(MNIST.training.validation_size, dataset='drawn')
    assert len(held_out) == 5000


@pytest.mark.parametrize('name', ['MNIST', 'fashion_mnist', ''])
def test_unknown_data_sets_are_refused(name):
    with pytest.raises(ValueError, match=f"unknown dataset '{name}'; expected one of: mnist, draw"):
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


def test_digests_are_those_of_the_idx_files():
    # The idx format, written by hand: magic number, sizes, then the bytes.
    images, labels = np.arange(2 * 784).reshape(2, 28, 28, 1).astype(np.uint8), np.uint8([7, 2])
    image_file = bytes.fromhex('00000803 00000002 0000001c 0000001c') + images.tobytes()
    label_file = bytes.fromhex('00000801 00000002') + b'\x07\x02'
    expected = tuple(hashlib.md5(file).hexdigest() for file in (image_file, label_file))
    assert dataset.ARCHIVE.digest(images, labels) == expected


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Publishes a few images as idx files: (folder, images, labels)."""
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (7, 28, 28, 1), np.uint8), np.arange(7, dtype=np.uint8)
    write_idx(tmp_path, images, labels)
    archive = dataclasses.replace(
        dataset.ARCHIVE, sizes={'test': 7}, digests={'test': dataset._digest(images, labels)}
    )
    monkeypatch.setattr(dataset, 'ARCHIVE', archive)
    return tmp_path, images, labels


def write_idx(folder, images, labels):
    contents = {
        'images-idx3': struct.pack('>4I', 2051, len(images), 28, 28) + images.tobytes(),
        'labels-idx1': struct.pack('>2I', 2049, len(labels)) + labels.tobytes(),
    }
    for name, content in contents.items():
        (folder / f't10k-{name}-ubyte').write_bytes(content)


@pytest.mark.parametrize('compressed', [True, False])
@pytest.mark.parametrize('below', [True, False])
def test_the_files_that_the_challenge_reads_are_read(published, tmp_path, compressed, below):
    folder, images, labels = published
    data = tmp_path / 'MNIST_data' if below else folder
    data.mkdir(exist_ok=True)
    for path in folder.glob('t10k*'):
        target = data / f'{path.name}{".gz" * compressed}'
        content = path.read_bytes()
        path.unlink()
        target.write_bytes(gzip.compress(content) if compressed else content)
    test = dataset.load('test', data_dir=str(folder))
    np.testing.assert_array_equal(test.x, images.astype(np.float32) * np.float32(1 / 255))
    np.testing.assert_array_equal(test.y, labels)
    assert test.y.dtype == np.int32


@pytest.mark.parametrize(
    'spoil, words',
    [
        (lambda path: path.unlink(), 'missing t10k-labels-idx1-ubyte. Copy the whole folder'),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), 'found damaged ones'),
        (lambda path: path.write_bytes(b''), 'found damaged ones'),
        (lambda path: path.rename(f'{path}.gz'), 'found damaged ones (BadGzipFile'),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b'0'), 'MD5 differs'),
    ],
)
def test_damaged_files_are_refused(published, spoil, words):
    spoil(published[0] / 't10k-labels-idx1-ubyte')
    with pytest.raises(UserError) as caught:
        dataset.load('test', data_dir=str(published[0]))
    assert words in str(caught.value) and '\n' not in str(caught.value)


@pytest.mark.parametrize('split', ['train', 'test'])
def test_the_order_of_tfds_is_a_permutation_of_its_own_for_each_split(split):
    index = dataset.ARCHIVE.original_index({'label': np.zeros(1000)}, split)
    np.testing.assert_array_equal(np.sort(index), np.arange(1000))
    assert (index == np.arange(1000)).mean() < 0.02


def test_mnist_is_loaded_in_its_original_order(real_data):
    test = dataset.load('test')
    assert (test.name, test.x.shape) == ('MNIST test', (10_000, 28, 28, 1))
    assert test.y[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    training, held_out = MNIST.load_training(MNIST.training.validation_size)
    assert (len(training), len(held_out)) == (55_000, 5000)
    assert held_out.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
