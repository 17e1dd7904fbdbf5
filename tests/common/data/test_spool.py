"""Streams of batches as examples on disk."""

import doctest

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from common.data import spool
from common.data.spool import spooled
from common.errors import BadInput, UserError

X = np.arange(60).reshape(5, 3, 4)
Y = np.arange(5)


def test_the_documented_example_runs():
    result = doctest.testmod(spool)
    assert result.failed == 0 < result.attempted


@pytest.mark.parametrize(
    'dtype',
    [np.uint8, np.int64, np.float16, ml_dtypes.bfloat16, np.float32, np.float64, np.dtype('>f4')],
)
def test_images_of_any_real_dtype_and_order_come_back(dtype, tmp_path):
    x = X.astype(dtype)
    parts = [(x[:2], Y[:2]), (np.asfortranarray(x[2:]), Y[2:].astype(np.int64))]
    examples = spooled(iter(parts), tmp_path, 'five')
    assert isinstance(examples.x, np.memmap) and examples.name == 'five' and len(examples) == 5
    assert examples.x.dtype == np.float32
    np.testing.assert_array_equal(examples.x, X)
    np.testing.assert_array_equal(examples.y, Y)
    with pytest.raises(ValueError, match='read-only'):
        examples.x[0] = 1
    assert list(tmp_path.iterdir()) == []  # nothing that could be left behind


def test_a_dataset_of_tensorflow(tmp_path):
    dataset = tf.data.Dataset.from_tensor_slices((X.astype(np.uint8), tf.one_hot(Y, 5))).batch(2)
    examples = spooled(dataset, tmp_path)
    np.testing.assert_array_equal(examples.x, X)
    np.testing.assert_array_equal(examples.y, np.eye(5))  # labels keep their form


@pytest.mark.parametrize(
    'batches, words',
    [
        ([], 'found none'),
        ([(X[:0], Y[:0])], 'found none'),
        ([(X, Y), (X[:, :2], Y)], r"\['k', 3, 4\].*in batch 1 images of shape \(5, 2, 4\)"),
        ([(X, Y[:4])], r'labels of shape \(4,\)'),
        ([(X[0, 0, 0], Y[0])], r'images of shape \(\)'),
        ([(np.array(['a']), Y[:1])], 'real numbers; found <U1'),
        ([(1j * X, Y)], 'real numbers; found complex128'),
        ([(X, Y, Y)], r'found 3 parts. Keep two: .map\(lambda x, y, \*others: \(x, y\)\)'),
        ([{'image': X, 'label': Y}], "found a dict of 'image', 'label'. Choose two: .map"),
        ([X], 'found ndarray alone, without labels'),
        ([(X[0], Y[0])], r'labels of shape \(\). If these are single images, call .batch\(100\)'),
        ([(X[0], np.eye(5)[0])], 'call .batch'),
        ([(X, Y), (X, np.eye(5))], r'in batch 1 .* labels of shape \(5, 5\).$'),
        ([([[1], [1, 2]], Y[:2])], 'as arrays; found in batch 0'),
        ((1 / 0 for _ in Y), 'reading batch 0 failed: division by zero'),
    ],
)
def test_what_is_not_a_stream_of_images_is_refused(batches, words, tmp_path):
    with pytest.raises(UserError, match=words):
        spooled(batches, tmp_path)


def test_a_dataset_whose_function_fails(tmp_path):
    def fail(x, y):
        tf.debugging.assert_less(x, tf.constant(24, tf.int64), 'too bright')
        return x, y

    dataset = tf.data.Dataset.from_tensor_slices((X, Y)).batch(2).map(fail)
    with pytest.raises(BadInput, match='reading batch 1 failed: .*too bright') as refused:
        spooled(dataset, tmp_path)
    assert '\n' not in str(refused.value)


def test_a_folder_that_cannot_be_written(tmp_path):
    with pytest.raises(UserError, match='cannot write to .*missing'):
        spooled([(X, Y)], tmp_path / 'missing')
