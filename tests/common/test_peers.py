"""The attacks beside those of other libraries, where these are installed."""

import importlib
import warnings

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
    return keras.Sequential([
        keras.Input((10, 10, 1)), keras.layers.Conv2D(4, 3, activation='relu'),
        keras.layers.Flatten(), keras.layers.Dense(CLASSES)])


@pytest.fixture(scope='module')
def images():
    rng = np.random.default_rng(2)
    return (rng.uniform(size=(N, 10, 10, 1)).astype(np.float32),
            rng.integers(0, CLASSES, N).astype(np.int32))


def by_art(model, x, y, steps, step_size, targeted=False):
    attack = art('attacks.evasion').ProjectedGradientDescent(
        classifier(model, x.shape[1:], CLASSES), norm=np.inf, eps=BALL.epsilon, eps_step=step_size,
        max_iter=steps, targeted=targeted, num_random_init=0, batch_size=N, verbose=False)
    return attack.generate(x, y)


def classifier(model, shape, classes):
    return art('estimators.classification').TensorFlowV2Classifier(
        model=model, nb_classes=classes, input_shape=shape, clip_values=(0.0, 1.0),
        loss_object=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))


def art(name):
    pytest.importorskip('art', reason='needs adversarial-robustness-toolbox')
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        return importlib.import_module(f'art.{name}')


def by_cleverhans(model, x, y, steps, step_size, targeted=False):
    attack = pytest.importorskip(
        'cleverhans.tf2.attacks.projected_gradient_descent', reason='needs cleverhans')
    return attack.projected_gradient_descent(
        model, tf.constant(x), BALL.epsilon, step_size, steps, np.inf, clip_min=0.0, clip_max=1.0,
        y=tf.constant(y), targeted=targeted, rand_init=False, sanity_checks=False).numpy()


PEERS = {'ART': by_art, 'cleverhans': by_cleverhans}


@pytest.mark.parametrize('peer', PEERS)
@pytest.mark.parametrize('steps, step_size', [(1, 0.3), (10, 0.05), (25, 0.03)])
def test_pgd_without_a_random_start_is_the_same_elsewhere(peer, model, images, steps, step_size):
    x, y = images
    theirs = PEERS[peer](model, x, y, steps, step_size)
    ours = PGD(BALL, steps, step_size, random_start=False)(
        model, tf.constant(x), tf.constant(y), seed=tf.constant([0, 0]))
    assert np.abs(theirs - x).max() > 0.1
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.parametrize('peer', PEERS)
def test_targeted_pgd_is_the_same_elsewhere(peer, model, images):
    x, y = images
    target = (y + 1) % CLASSES
    theirs = PEERS[peer](model, x, target, 10, 0.05, targeted=True)
    attack = PGD(BALL, 10, 0.05, CrossEntropy(targeted=True), random_start=False)
    ours = attack(model, tf.constant(x), tf.constant(target), seed=tf.constant([0, 0]))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_fgsm_is_the_same_elsewhere(model, images):
    x, y = images
    theirs = art('attacks.evasion').FastGradientMethod(
        classifier(model, x.shape[1:], CLASSES), eps=BALL.epsilon).generate(x, y)
    ours = fgsm(BALL)(model, tf.constant(x), tf.constant(y), seed=tf.constant([0, 0]))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
