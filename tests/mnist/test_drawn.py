"""Drawn digits: the same on every call and machine, MNIST-like in their pixels, and learnable."""

import hashlib

import numpy as np
import pytest

from mnist import drawn


@pytest.fixture(scope='module')
def drawn_train():
    return drawn.draw('train')


@pytest.fixture(scope='module')
def drawn_test():
    return drawn.draw('test')


@pytest.fixture(scope='module', params=['train', 'test'])
def split(request):
    return request.param, request.getfixturevalue(f'drawn_{request.param}')


def extent(inked):
    """First and last index with ink along the last axis; inked: [n, 28] bool."""
    return inked.argmax(axis=1), inked.shape[1] - 1 - inked[:, ::-1].argmax(axis=1)


def test_default_sizes_are_as_documented(drawn_train, drawn_test):
    assert len(drawn_train[0]) == 12_000
    assert len(drawn_test[0]) == 2_000


def test_shapes_and_types(split):
    _, (images, labels) = split
    assert images.shape == (len(labels), 28, 28, 1)
    assert images.dtype == np.uint8
    assert labels.dtype == np.uint8


def test_two_calls_agree(drawn_test):
    images, labels = drawn.draw('test')
    np.testing.assert_array_equal(images, drawn_test[0])
    np.testing.assert_array_equal(labels, drawn_test[1])


def test_digits_are_the_same_on_every_machine_and_numpy(drawn_train, drawn_test):
    digest = hashlib.sha256()
    for array in (*drawn_train, *drawn_test):
        digest.update(array.tobytes())
    assert digest.hexdigest() == 'f0e08ca798a39e5b82898055b55ac7223a34e12b40245d72da58ce939ae881d0'


@pytest.mark.parametrize('num_examples', [0, 1, 499, 500, 501, 1_234])
def test_fewer_images_are_a_prefix(split, num_examples):
    name, (images, labels) = split
    fewer_images, fewer_labels = drawn.draw(name, num_examples)
    assert fewer_images.shape == (num_examples, 28, 28, 1)
    np.testing.assert_array_equal(fewer_images, images[:num_examples])
    np.testing.assert_array_equal(fewer_labels, labels[:num_examples])


def test_more_than_the_default_continues_the_split(drawn_test):
    images, labels = drawn.draw('test', 2_100)
    assert len(images) == len(labels) == 2_100
    np.testing.assert_array_equal(images[:2_000], drawn_test[0])


def test_no_image_occurs_twice_in_or_across_the_splits(drawn_train, drawn_test):
    images = [image.tobytes() for image in (*drawn_train[0], *drawn_test[0])]
    assert len(set(images)) == len(images)


def test_splits_order_their_labels_differently(drawn_train, drawn_test):
    # Chance agreement is 200 of 2,000, with a standard deviation of 13.
    assert (drawn_train[1][:2_000] == drawn_test[1]).sum() < 300


def test_every_500_labels_hold_each_digit_50_times_in_mixed_order(split):
    _, (_, labels) = split
    for chunk in labels.reshape(-1, 500):
        np.testing.assert_array_equal(np.bincount(chunk), np.full(10, 50))
    # In random order 9 of 10 labels differ from the one before, in the digits' order 0 or all do.
    assert 0.85 < (labels[1:] != labels[:-1]).mean() < 0.95


def test_every_image_has_full_ink_soft_edges_and_an_empty_background(split):
    _, (images, _) = split
    pixels = images.reshape(len(images), -1)
    assert (pixels.max(axis=1) == 255).all()
    assert ((pixels > 0) & (pixels < 255)).any(axis=1).all()
    assert ((pixels == 0).mean(axis=1) > 0.5).all()


def test_border_is_exactly_zero(split):
    _, (images, _) = split
    border = np.ones((28, 28), bool)
    border[1:-1, 1:-1] = False
    assert not images[:, border].any()


def test_ink_covers_about_as_much_as_in_mnist(drawn_train):
    # MNIST's training images: mean 0.1307 of white, 19% of the pixels not black.
    images, _ = drawn_train
    assert 0.11 < images.mean() / 255 < 0.16
    assert 0.16 < (images > 0).mean() < 0.23


def test_digits_fill_about_20_pixels_near_the_middle(split):
    _, (images, _) = split
    # A box of 18 to 21 pixels, at most 1.5 from the middle, each rounded to whole pixels.
    inked = images[..., 0] > 127
    left, right = extent(inked.any(axis=1))
    top, bottom = extent(inked.any(axis=2))
    longer_side = np.maximum(right - left, bottom - top) + 1
    assert longer_side.min() >= 17
    assert longer_side.max() <= 22
    for first, last in ((left, right), (top, bottom)):
        assert np.abs((first + last) / 2 - 13.5).max() <= 2.0


def test_images_of_a_digit_vary(drawn_train):
    images, labels = drawn_train
    for digit in range(10):
        own = images[labels == digit] / 255
        # The root mean square distance of two pixels in [0, 1] drawn from different images.
        assert np.sqrt(2 * own.var(axis=0).mean()) > 0.2


def test_nearest_mean_of_train_recognizes_test(drawn_train, drawn_test):
    images, labels = drawn_train[0].reshape(len(drawn_train[0]), -1) / 255, drawn_train[1]
    means = np.stack([images[labels == digit].mean(axis=0) for digit in range(10)])
    test_images = drawn_test[0].reshape(len(drawn_test[0]), -1) / 255
    # The image's own square is the same for all means.
    predicted = (2 * test_images @ means.T - (means * means).sum(axis=1)).argmax(axis=1)
    correct = predicted == drawn_test[1]
    assert correct.mean() > 0.8  # measured: 0.8795; chance: 0.1
    for digit in range(10):
        assert correct[drawn_test[1] == digit].mean() > 0.5


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match='expected one of: test, train'):
        drawn.draw('valid')


def test_negative_number_is_refused():
    with pytest.raises(ValueError, match='expected num_examples >= 0, found -1'):
        drawn.draw('train', -1)
