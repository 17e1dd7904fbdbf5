"""Drawn digits: prepared like MNIST's, varied, and read by its networks."""

import hashlib

import numpy as np
import pytest

from common.attacks import PGD
from common.data import stand_in
from mnist import model
from mnist.data_set import MNIST
from mnist.drawn_digits import draw_chunk

N = 1000


@pytest.fixture(scope='module')
def test_images():
    return MNIST.load('test', dataset='drawn').subset(slice(N))


@pytest.fixture(scope='module')
def levels(test_images):
    """[n, 28, 28] whole numbers from 0 to 255."""
    return np.rint(test_images.x[..., 0] * 255).astype(int)


def test_images_are_the_same_on_every_call_and_machine():
    digest = hashlib.sha256()
    for split in ('train', 'test'):
        examples = MNIST.load(split, dataset='drawn').subset(slice(N))
        digest.update(examples.x.tobytes() + examples.y.tobytes())
    assert digest.hexdigest() == 'd890e4f4fc57828fbce42acafe549ba7abe39fe58c706e3c08e50460b42d5774'


@pytest.mark.parametrize('n', [0, 3, 501])
def test_fewer_images_are_a_prefix(test_images, n):
    words = {'motif': 'digits', 'instead_of': 'MNIST', 'lower': 0.0, 'upper': 1.0}
    fewer = stand_in.collect(draw_chunk, 'test', num_examples=n, **words)
    np.testing.assert_array_equal(fewer.x, test_images.x[:n])
    np.testing.assert_array_equal(fewer.y, test_images.y[:n])


def test_classes_are_balanced_in_mixed_order(test_images):
    for y in np.split(test_images.y, 2):
        assert np.bincount(y).tolist() == [50] * 10
        assert (y[1:] == y[:-1]).mean() < 0.2  # chance is 0.1


def test_no_image_occurs_twice_in_or_across_the_splits():
    images = [
        x.tobytes() for split in ('train', 'test') for x in MNIST.load(split, dataset='drawn').x
    ]
    assert len(set(images)) == sum(stand_in.SIZES.values())


def test_the_longer_side_fills_20_pixels(levels):
    for image in levels:
        rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
        # The outermost row of ink may be too pale to count.
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20


def test_the_centre_of_mass_is_where_mnists_is(levels):
    # MNIST's are 13.5 to 14.5 pixels from the top and from the left, counted from 0.
    ink = levels.sum(axis=(1, 2))
    for axis in (1, 2):
        centre = (levels.sum(axis=3 - axis) * np.arange(28)).sum(axis=1) / ink
        assert np.abs(centre - 14).max() <= 0.5


def test_ink_is_distributed_like_mnists(levels):
    # On MNIST's test images: 80.7% of the pixels are black, 11.7% are grey; the mean is 33.8 of
    # 255, and images differ: 10% are below 20.1, 10% above 48.3.
    assert (levels == 0).mean() == pytest.approx(0.807, abs=0.02)
    assert ((levels > 0) & (levels < 250)).mean() == pytest.approx(0.117, abs=0.02)
    means = levels.mean(axis=(1, 2))
    assert means.mean() == pytest.approx(33.8, abs=2)
    assert np.quantile(means, 0.1) < 24 and np.quantile(means, 0.9) > 44


@pytest.mark.parametrize('name', ['A', 'A_best', 'A_prime', 'A_nat', 'B'])
def test_the_released_networks_read_them(test_images, name):
    logits = model.load(name).predict(test_images.x, batch_size=200, verbose=0)
    right = logits.argmax(axis=1) == test_images.y
    assert right.mean() >= 0.97
    # No digit is left out.
    assert min(right[test_images.y == digit].mean() for digit in range(10)) >= 0.9


def test_the_robust_network_withstands_an_attack_that_fools_the_natural_one(test_images):
    x, y = test_images.x[:50], test_images.y[:50]
    attack = PGD(MNIST.ball(), steps=5, step_size=0.12)
    accuracy = {}
    for name in ('A', 'A_nat'):
        network = model.load(name)
        x_adv = attack(network, x, y, seed=(0, 0))
        accuracy[name] = np.mean(np.argmax(network(x_adv), axis=1) == y)
    assert accuracy['A'] > 0.85 and accuracy['A_nat'] < 0.05
