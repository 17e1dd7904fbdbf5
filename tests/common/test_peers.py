"""The attacks against those of other libraries, where these are installed."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD, fgsm
from common.losses import CrossEntropy
from common.threat_model import LinfBall

BALL = LinfBall(0.3, 0.0, 1.0)
N, CLASSES = 40, 5


@pytest.fixture(scope='module')
def model():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [
            keras.Input((10, 10, 1)),
            keras.layers.Conv2D(4, 3, activation='relu'),
            keras.layers.Flatten(),
            keras.layers.Dense(CLASSES),
        ]
    )


@pytest.fixture(scope='module')
def images():
    rng = np.random.default_rng(2)
    return (
        rng.uniform(size=(N, 10, 10, 1)).astype(np.float32),
        rng.integers(0, CLASSES, N).astype(np.int32),
    )


def by_art(art, model, x, y, steps, step_size, targeted=False):
    attack = art.module('attacks.evasion').ProjectedGradientDescent(
        art.classifier(model, CLASSES),
        norm=np.inf,
        eps=BALL.epsilon,
        eps_step=step_size,
        max_iter=steps,
        targeted=targeted,
        num_random_init=0,
        batch_size=N,
        verbose=False,
    )
    return attack.generate(x, y)


def by_cleverhans(cleverhans, model, x, y, steps, step_size, targeted=False):
    return cleverhans.projected_gradient_descent(
        model,
        tf.constant(x),
        BALL.epsilon,
        step_size,
        steps,
        np.inf,
        clip_min=0.0,
        clip_max=1.0,
        y=tf.constant(y),
        targeted=targeted,
        rand_init=False,
        sanity_checks=False,
    ).numpy()


@pytest.fixture(params=['art', 'cleverhans'])
def their_pgd(request):
    """(model, x, y, steps, step size) -> images by another library's PGD without a random start."""
    if request.param == 'art':
        return functools.partial(by_art, request.getfixturevalue('art'))
    return functools.partial(
        by_cleverhans,
        pytest.importorskip(
            'cleverhans.tf2.attacks.projected_gradient_descent', reason='needs cleverhans'
        ),
    )


@pytest.mark.parametrize('steps, step_size', [(1, 0.3), (10, 0.05), (25, 0.03)])
def test_pgd_without_a_random_start_is_the_same_elsewhere(
    their_pgd, model, images, steps, step_size
):
    x, y = images
    theirs = their_pgd(model, x, y, steps, step_size)
    ours = PGD(BALL, steps, step_size, random_start=False)(
        model, tf.constant(x), tf.constant(y), seed=tf.constant([0, 0])
    )
    assert np.abs(theirs - x).max() > 0.1
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_targeted_pgd_is_the_same_elsewhere(their_pgd, model, images):
    x, y = images
    target = (y + 1) % CLASSES
    theirs = their_pgd(model, x, target, 10, 0.05, targeted=True)
    attack = PGD(BALL, 10, 0.05, CrossEntropy(targeted=True), random_start=False)
    ours = attack(model, tf.constant(x), tf.constant(target), seed=tf.constant([0, 0]))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_fgsm_is_the_same_elsewhere(art, model, images):
    x, y = images
    theirs = (
        art.module('attacks.evasion')
        .FastGradientMethod(art.classifier(model, CLASSES), eps=BALL.epsilon)
        .generate(x, y)
    )
    ours = fgsm(BALL)(model, tf.constant(x), tf.constant(y), seed=tf.constant([0, 0]))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
