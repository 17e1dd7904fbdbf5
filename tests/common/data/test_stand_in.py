"""Drawn patterns: the same on every call and machine, balanced, in range, and learnable."""

import hashlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD
from common.data import stand_in
from common.losses import CrossEntropy
from common.threat_model import LinfBall

# Like MNIST, like CIFAR-10, and unlike any data set of the project.
GREY = {'image_shape': (28, 28, 1), 'num_classes': 10, 'lower': 0.0, 'upper': 1.0}
COLOUR = {'image_shape': (32, 32, 3), 'num_classes': 10, 'lower': 0.0, 'upper': 255.0}
OTHER = {'image_shape': (24, 20, 2), 'num_classes': 4, 'lower': -1.0, 'upper': 1.0}
KINDS = pytest.mark.parametrize('kind', [GREY, COLOUR, OTHER], ids=['grey', 'colour', 'other'])
SPLITS = pytest.mark.parametrize('split', ['train', 'test'])


def draw(split, kind, num_examples=None):
    return stand_in.draw(split, instead_of='Anything', num_examples=num_examples, **kind)


@KINDS
@SPLITS
def test_shapes_types_and_name(kind, split):
    examples = draw(split, kind, 100)
    assert examples.x.shape == (100, *kind['image_shape']) and examples.x.dtype == np.float32
    assert examples.y.shape == (100,) and examples.y.dtype == np.int32
    assert examples.name == f'drawn patterns (a stand-in, not Anything) {split}'


def test_sizes_are_as_documented():
    assert [len(draw(split, OTHER)) for split in ('train', 'test')] == [10_000, 2_000]


@pytest.mark.parametrize(
    'kind, expected',
    [
        (GREY, 'ff33268d5b83239c795d49a1f45fc425f4cb98c16c9f06c337c2e64a15ccc3ca'),
        (COLOUR, 'e344a42b8c181e9dac5a9e1ddd2a549dc103dc17f950d2e228b8a5a67407026d'),
        (OTHER, '8cf62ae3c3359a6f2cbdab06d14d2cfe6c9e2b9fef884ef4c90743c712429d46'),
    ],
    ids=['grey', 'colour', 'other'],
)
def test_images_are_the_same_on_every_call_and_machine(kind, expected):
    digest = hashlib.sha256()
    for split in ('train', 'test'):
        examples = draw(split, kind, 500)
        digest.update(examples.x.tobytes() + examples.y.tobytes())
    assert digest.hexdigest() == expected


@KINDS
@SPLITS
@pytest.mark.parametrize('num_examples', [0, 1, 9, 10, 123])
def test_fewer_images_are_a_prefix(kind, split, num_examples):
    fewer, more = draw(split, kind, num_examples), draw(split, kind, 130)
    assert fewer.x.shape == (num_examples, *kind['image_shape'])
    np.testing.assert_array_equal(fewer.x, more.x[:num_examples])
    np.testing.assert_array_equal(fewer.y, more.y[:num_examples])


def test_no_image_occurs_twice_in_or_across_the_splits():
    images = [image.tobytes() for split in ('train', 'test') for image in draw(split, GREY, 2000).x]
    assert len(set(images)) == 4000


@KINDS
@SPLITS
def test_classes_are_balanced_in_mixed_order(kind, split):
    k = kind['num_classes']
    rounds = draw(split, kind, 200 * k).y.reshape(200, k)
    np.testing.assert_array_equal(np.sort(rounds), np.tile(np.arange(k), (200, 1)))
    # Every class comes first equally often: about 200 / k times.
    assert np.bincount(rounds[:, 0], minlength=k).min() > 200 / k / 2


def test_splits_order_their_labels_differently():
    # Chance agreement is 200 of 2,000, with a standard deviation of 13.
    assert (draw('train', GREY, 2000).y == draw('test', GREY, 2000).y).sum() < 300


@KINDS
def test_pixels_take_the_levels_of_bytes_over_the_whole_range(kind):
    x = draw('train', kind, 500).x
    lower, upper = kind['lower'], kind['upper']
    assert (x.min(), x.max()) == (lower, upper)
    levels = (x - lower) * (255 / (upper - lower))
    assert np.abs(levels - np.rint(levels)).max() < 1e-4
    assert len(np.unique(np.rint(levels))) > 200


@KINDS
def test_the_border_is_ground(kind):
    x = draw('test', kind, 500).x
    border = np.ones(kind['image_shape'][:2], bool)
    border[1:-1, 1:-1] = False
    assert (x[:, border] == kind['lower']).all()


@KINDS
@pytest.mark.parametrize(
    'change',
    [
        lambda x: x,
        lambda x: x[:, :, ::-1],
        lambda x: np.roll(x, (2, -2), axis=(1, 2)),
        lambda x: np.roll(x, (-2, 2), axis=(1, 2)),
    ],
    ids=['as drawn', 'mirrored', 'down and left', 'up and right'],
)
def test_a_class_survives_mirroring_and_shifts(kind, change):
    train, test = draw('train', kind, 1000), change(draw('test', kind, 500).x)
    k = kind['num_classes']
    means = np.stack([train.x[train.y == label].mean(axis=0) for label in range(k)])
    # The nearest mean over all shifts by up to 4 pixels.
    shifted = [
        np.roll(means, (down, right), axis=(1, 2)).reshape(k, -1)
        for down in range(-4, 5)
        for right in range(-4, 5)
    ]
    flat = test.reshape(len(test), -1)
    score = np.max([2 * flat @ m.T - (m * m).sum(axis=1) for m in shifted], axis=0)
    assert (score.argmax(axis=1) == draw('test', kind, 500).y).mean() > 0.9


@KINDS
def test_images_of_a_class_vary(kind):
    examples = draw('train', kind, 1000)
    x = (examples.x - kind['lower']) / (kind['upper'] - kind['lower'])
    for label in range(kind['num_classes']):
        # The root mean square distance of two pixels drawn from different images.
        assert np.sqrt(2 * x[examples.y == label].var(axis=0).mean()) > 0.2


@pytest.mark.slow
def test_a_small_network_learns_to_withstand_the_mnist_challenges_radius():
    keras.utils.set_random_seed(1)
    network = keras.Sequential(
        [
            keras.Input(GREY['image_shape']),
            keras.layers.Conv2D(16, 5, strides=2, activation='relu'),
            keras.layers.Conv2D(32, 5, strides=2, activation='relu'),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation='relu'),
            keras.layers.Dense(10),
        ]
    )
    attack, optimizer = PGD(LinfBall(0.3), 3, 0.25), keras.optimizers.Adam(2e-3)
    optimizer.build(network.trainable_variables)

    @tf.function
    def train(x, y, step):
        eased = attack.scaled(tf.minimum(1.0, tf.cast(step, tf.float32) / 100))
        x_adv = eased(network, x, y, seed=tf.stack([step, 0]))
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(CrossEntropy()(network(x_adv), y))
        variables = network.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))

    examples, test = draw('train', GREY, 10_000), draw('test', GREY, 500)
    for step in range(200):
        batch = slice(50 * step, 50 * step + 50)
        train(examples.x[batch], examples.y[batch], tf.constant(step))

    x_adv = PGD(LinfBall(0.3), 20, 0.05)(network, test.x, test.y, seed=(0, 0))
    accuracies = [np.mean(np.argmax(network(x), axis=1) == test.y) for x in (test.x, x_adv)]
    # Chance is 10%; the optimal classifier withstands the attack on about two thirds.
    assert accuracies[0] > 0.9 and accuracies[1] > 0.4


@pytest.mark.parametrize('shape', [(4, 4, 1), (4, 9, 3), (8, 64, 1), (33, 31, 5)])
def test_images_of_any_shape(shape):
    kind = {'image_shape': shape, 'num_classes': 3, 'lower': 0, 'upper': 255}
    examples = draw('train', kind, 30)
    means = np.stack([examples.x[examples.y == label].mean(axis=0) for label in range(3)])
    assert all(np.abs(means[a] - means[b]).max() > 100 for a, b in ((0, 1), (0, 2), (1, 2)))


@pytest.mark.parametrize(
    'changes, message',
    [
        ({'image_shape': (3, 28, 1)}, 'at least 4 x 4 pixels and 2 classes; found 3 x 28 and 10'),
        ({'num_classes': 1}, 'found 28 x 28 and 1'),
        ({'num_classes': 1000}, 'expected fewer classes for 1 channels; found 1000'),
    ],
)
def test_what_cannot_be_drawn_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        draw('test', {**GREY, **changes}, 1)


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match='expected one of: test, train'):
        draw('valid', GREY)


def test_negative_number_is_refused():
    with pytest.raises(ValueError, match='expected num_examples >= 0, found -1'):
        draw('train', GREY, -1)
