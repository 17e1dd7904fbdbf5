"""Images and labels at the door: every usual form is taken, everything else refused in one line."""

import doctest

import numpy as np
import pytest
import tensorflow as tf

from common.data import checked
from common.data.checked import checked_examples, checked_images, checked_labels, require_shape
from common.errors import BadInput, UserError

X = np.linspace(0, 255, 24, dtype=np.float32).reshape(3, 2, 2, 2)
BYTES = (0.0, 255.0)


def test_examples_in_the_docstrings_run():
    assert doctest.testmod(checked).failed == 0


@pytest.mark.parametrize(
    'convert',
    [
        np.float64,
        np.float16,
        np.uint8,
        np.int64,
        np.ndarray.tolist,
        tf.constant,
        lambda x: tf.cast(x, tf.bfloat16),
        lambda x: tf.Variable(x),
    ],
)
def test_images_of_any_real_dtype_become_float32(convert):
    images = checked_images(convert(X), BYTES)
    assert images.dtype == np.float32 and images.shape == X.shape
    np.testing.assert_allclose(images, X, rtol=0.01, atol=1)


def test_float32_images_are_not_copied():
    assert checked_images(X, BYTES) is X


@pytest.mark.parametrize('dtype', [np.int64, np.uint8, np.float32, bool])
@pytest.mark.parametrize('form', [lambda y: y, lambda y: y[:, None], lambda y: np.eye(2)[y]])
def test_labels_in_any_form_become_int32(dtype, form):
    labels = checked_labels(form(np.array([0, 1, 1])).astype(dtype), 3, 2)
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, [0, 1, 1])


NAN = np.where(np.arange(24).reshape(X.shape) == 20, np.nan, X)
IMAGES = {
    'none': (None, 'expected images; found None'),
    'words': (['a', 'b'], 'array of real numbers'),
    'complex': (X * 1j, 'array of real numbers .*complex'),
    'objects': (np.array([object()]), 'array of real numbers'),
    'ragged': ([[1, 2], [3]], 'expected images as an array'),
    'a single number': (3.0, 'shape \\[n, ...\\]; found shape \\[\\]'),
    'one flat image': (X.reshape(-1), 'found shape \\[24\\].* Add an axis in front: x\\[None\\]'),
    'no images': (X[:0], 'at least one image; found shape \\[0, 2, 2, 2\\]'),
    'images without pixels': (X[:, :0], 'at least one image; found shape'),
    'NaN': (NAN, 'finite pixels; found NaN or infinity in image 2'),
    'infinity': (X / (X > 1), 'finite pixels; found NaN or infinity in image 0'),
    'too large': (X * 2, 'pixels from 0 to 255; found 0 to 510. Rescale'),
    'too small': (X - 128, 'pixels from 0 to 255; found -128 to 127'),
    'scaled to 1': (X / 255, 'pixels from 0 to 255; found 0 to 1, as if .* scale from 0 to 1'),
    'masked pixels': (np.ma.masked_less(X, 20), 'images without a mask; found 2 masked values'),
    'masked in a list': ([*np.ma.masked_less(X, 20)], 'found 2 masked values'),
    'a file name': ('images.npy', 'real numbers'),
    'a dictionary': ({'x': X}, 'real numbers'),
}


@pytest.mark.filterwarnings('ignore')  # NumPy's, about dividing by 0
@pytest.mark.parametrize('name', IMAGES)
def test_other_images_are_refused_in_one_line(name):
    x, message = IMAGES[name]
    with pytest.raises(BadInput, match=message) as refused:
        checked_images(x, BYTES)
    assert '\n' not in str(refused.value) and isinstance(refused.value, (UserError, ValueError))


def test_arrays_without_masked_values_are_plain_arrays():
    images = checked_images(np.ma.MaskedArray(X), BYTES)
    assert type(images) is np.ndarray
    np.testing.assert_array_equal(images, X)
    assert type(checked_labels(np.ma.MaskedArray([0, 1]), 2, 2)) is np.ndarray


def test_only_images_near_0_are_said_to_be_on_a_scale_from_0_to_1():
    checked_images(X / 255 + 100, BYTES)
    checked_images(X / 100, BYTES)


def test_dark_and_constant_images_are_no_mistake():
    for x in (np.zeros((2, 3)), np.full((2, 3), 0.5), X / 100):
        checked_images(x, BYTES)
    checked_images(X / 255, (0, 1))
    checked_images(X / 255 - 1e-6, (0, 1))  # rounding


LABELS = {
    'none': (None, 'expected labels; found None'),
    'masked': (np.ma.masked_equal([0, 1, 2], 2), 'labels without a mask; found 1 masked values'),
    'too few': ([0, 1], 'expected 3 labels, one for each image, from 0 to 3; found shape \\[2\\]'),
    'too many': ([0, 1, 2, 3], 'found shape \\[4\\]'),
    'one for all': (2, 'found shape \\[\\]'),
    'one in a list': ([2], 'found shape \\[1\\]'),
    'beyond the classes': ([0, 1, 4], 'found 4 for image 2'),
    'negative': ([0, -1, 1], 'found -1 for image 1'),
    'fractions': ([0, 0.5, 1], 'found 0.5 for image 1'),
    'NaN': ([0, np.nan, 1], 'found nan for image 1'),
    'words': (['cat', 'dog', 'cat'], 'found an array of'),
    'soft': (np.full((3, 4), 0.25), 'rows that are not one-hot'),
    'two hot': (np.ones((3, 4)), 'rows that are not one-hot'),
    'other classes': (np.eye(3), 'or one-hot; found shape \\[3, 3\\]'),
    'of three axes': (np.zeros((3, 1, 1)), 'or one-hot; found shape \\[3, 1, 1\\]'),
}


@pytest.mark.parametrize('name', LABELS)
def test_other_labels_are_refused_in_one_line(name):
    y, message = LABELS[name]
    with pytest.raises(BadInput, match=message) as refused:
        checked_labels(y, 3, 4)
    assert '\n' not in str(refused.value)


@pytest.mark.parametrize(
    ('found', 'hint'),
    [((28, 28), 'Add the channel axis'), ((1, 28, 28), 'Transpose the axes'), ((32, 32, 1), '$')]
    + [((28, 1), r'If this is one image, add an axis in front: x\[None\]')],
)
def test_images_of_another_shape_than_the_networks_are_refused(found, hint):
    with pytest.raises(BadInput, match=rf'expected images of shape \(28, 28, 1\).*{hint}'):
        require_shape(found, (28, 28, 1))
    require_shape((28, 28, 1), (None, None, 1))
    require_shape(found, None)


def test_examples_have_both():
    examples = checked_examples(X, [[1], [0], [1]], bounds=BYTES, classes=2, name='mine')
    assert (len(examples), examples.name, examples.y.tolist()) == (3, 'mine', [1, 0, 1])
