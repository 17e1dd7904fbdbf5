"""Drawn shapes: the same on every call and machine, told apart by their form alone, learnable."""

import hashlib

import numpy as np
import pytest

from cifar10 import drawn


@pytest.fixture(scope='module')
def drawn_train():
    return drawn.draw('train')


@pytest.fixture(scope='module')
def drawn_test():
    return drawn.draw('test')


@pytest.fixture(scope='module', params=['train', 'test'])
def split(request):
    return request.param, request.getfixturevalue(f'drawn_{request.param}')


def test_default_sizes_are_as_documented(drawn_train, drawn_test):
    assert len(drawn_train[0]) == 10_000
    assert len(drawn_test[0]) == 2_000


def test_shapes_and_types(split):
    _, (images, labels) = split
    assert images.shape == (len(labels), 32, 32, 3)
    assert images.dtype == np.uint8
    assert labels.dtype == np.uint8


def test_two_calls_agree(drawn_test):
    images, labels = drawn.draw('test')
    np.testing.assert_array_equal(images, drawn_test[0])
    np.testing.assert_array_equal(labels, drawn_test[1])


def test_images_are_the_same_on_every_machine_and_numpy(drawn_train, drawn_test):
    digest = hashlib.sha256()
    for array in (*drawn_train, *drawn_test):
        digest.update(array.tobytes())
    assert digest.hexdigest() == 'e10d62a60eabb2a32668d4e68ce1f71f5e5b62fa8436f07e6dc1edf88491b351'


@pytest.mark.parametrize('num_examples', [0, 1, 499, 500, 501, 1_234])
def test_fewer_images_are_a_prefix(split, num_examples):
    name, (images, labels) = split
    fewer_images, fewer_labels = drawn.draw(name, num_examples)
    assert fewer_images.shape == (num_examples, 32, 32, 3)
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


def test_every_500_labels_hold_each_class_50_times_in_mixed_order(split):
    _, (_, labels) = split
    for chunk in labels.reshape(-1, 500):
        np.testing.assert_array_equal(np.bincount(chunk), np.full(10, 50))
    # In random order 9 of 10 labels differ from the one before, in the classes' order 0 or all do.
    assert 0.85 < (labels[1:] != labels[:-1]).mean() < 0.95


def test_pixels_use_their_whole_range(split):
    _, (images, _) = split
    assert (images.min(), images.max()) == (0, 255)
    assert len(np.unique(images)) == 256


def test_every_channel_shows_the_shape(split):
    _, (images, _) = split
    low, high = np.percentile(images.reshape(len(images), -1, 3)[::10], [2, 98], axis=1)
    # The two colours are 80 apart; unevenness and the ends of the range take away some of it.
    assert (high - low).min() > 64  # 8 times the challenge's radius; measured: 77


def test_colours_do_not_depend_on_the_class(drawn_train):
    images, labels = drawn_train
    for label in range(10):
        mean = images[labels == label].mean(axis=(1, 2))
        # Uniform colours have a standard deviation of 74, the mean of 1,000 images one of 2.3.
        assert np.abs(mean.mean(axis=0) - 127.5).max() < 8  # measured: 3.8


def nearest_mean_accuracy(features, train, test):
    inputs, means = features(test[0]), features(train[0])
    means = np.stack([means[train[1] == label].mean(axis=0) for label in range(10)])
    # The input's own square is the same for all means.
    predicted = (2 * inputs @ means.T - (means * means).sum(axis=1)).argmax(axis=1)
    return (predicted == test[1]).mean()


def mean_colour(images):
    return images.mean(axis=(1, 2)) / 255


def pixels(images):
    return images.reshape(len(images), -1) / np.float32(255)


@pytest.mark.parametrize('features', [mean_colour, pixels])
def test_colours_do_not_give_the_class_away(drawn_train, drawn_test, features):
    # Chance: 0.1, with a standard deviation of 0.007. Measured: 0.1045 and 0.119.
    assert nearest_mean_accuracy(features, drawn_train, drawn_test) < 0.15


def spectrum(images):
    """[n, 231] amplitudes of the waves that make up an image, of all channels, unit length.

    They do not depend on the shape's place, nor on which colours there are and which is where.
    """
    images = images / np.float32(255)
    images -= images.mean(axis=(1, 2), keepdims=True)
    power = sum(np.abs(np.fft.rfft2(images[..., channel])) ** 2 for channel in range(3))
    coarse = np.concatenate([power[:, :11, :11], power[:, -10:, :11]], axis=1)
    amplitude = np.sqrt(coarse).reshape(len(images), -1).astype(np.float32)
    return amplitude / np.linalg.norm(amplitude, axis=1, keepdims=True)


@pytest.fixture(scope='module')
def reference(drawn_train):
    return spectrum(drawn_train[0][:5_000]), drawn_train[1][:5_000]


def shifted(images, down, right):
    padded = np.pad(images, [(0, 0), (2, 2), (2, 2), (0, 0)], mode='edge')
    return padded[:, 2 - down : 34 - down, 2 - right : 34 - right]


@pytest.mark.parametrize(
    'change',
    [
        lambda images: images,
        lambda images: images[:, :, ::-1],
        lambda images: shifted(images, 2, -2),
        lambda images: shifted(images, -2, 2),
        lambda images: 255 - images,
    ],
    ids=['as drawn', 'mirrored', 'down and left', 'up and right', 'inverted colours'],
)
def test_the_form_alone_shows_the_class(reference, drawn_test, change):
    spectra, labels = reference
    # Among vectors of unit length the nearest has the largest product.
    predicted = labels[(spectrum(change(drawn_test[0])) @ spectra.T).argmax(axis=1)]
    correct = predicted == drawn_test[1]
    assert correct.mean() > 0.98  # measured: 1.0 however changed; chance: 0.1
    for label in range(10):
        assert correct[drawn_test[1] == label].mean() > 0.95


def test_images_of_a_class_vary(drawn_train):
    images, labels = drawn_train
    for label in range(10):
        own = images[labels == label] / np.float32(255)
        # The root mean square distance of two pixels in [0, 1] drawn from different images.
        assert np.sqrt(2 * own.var(axis=0).mean()) > 0.35


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match='expected one of: test, train'):
        drawn.draw('valid')


def test_negative_number_is_refused():
    with pytest.raises(ValueError, match='expected num_examples >= 0, found -1'):
        drawn.draw('train', -1)
