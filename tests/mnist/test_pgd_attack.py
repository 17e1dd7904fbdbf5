"""The challenge's attack on network A, against an independent loop over the Keras model."""

import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD
from common.losses import CrossEntropy, CWMargin
from common.networks.logits import ModelLogits
from common.threat_model import LinfBall
from mnist import model
from mnist.data_set import MNIST
from mnist.pgd_attack import PGDAttack, challenge_pgd

SEED = tf.constant([0, 1])
EPSILON, STEP = np.float32(0.3), np.float32(0.01)


@pytest.fixture(scope='module')
def network():
    """Network A with the widths of the capacity study's start, times four."""
    return model.network_a((8, 16), 32, seed=1)


@pytest.fixture(scope='module')
def examples():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(6, 28, 28, 1)) * (rng.uniform(size=(6, 28, 28, 1)) < 0.3)
    return tf.constant(x, tf.float32), tf.constant([3, 1, 4, 1, 5, 9])


def challenge_loss(name, logits, y):
    """The challenge's two losses in its own terms."""
    if name == 'xent':
        return tf.reduce_sum(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
        )
    mask = tf.one_hot(y, 10)
    correct = tf.reduce_sum(mask * logits, axis=1)
    wrong = tf.reduce_max((1 - mask) * logits - 1e4 * mask, axis=1)
    return tf.reduce_sum(-tf.nn.relu(correct - wrong + 50))


def challenge_loop(network, name, x_nat, y, start, steps):
    """The last iterate, and where rounding may have decided the sign of a gradient."""
    x_nat, x = x_nat.numpy(), start.numpy().copy()
    uncertain = np.zeros(x.shape, bool)
    for _ in range(steps):
        x_in = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x_in)
            loss = challenge_loss(name, network(x_in), y)
        gradient = tape.gradient(loss, x_in).numpy()
        uncertain |= np.abs(gradient) < 1e-5 * np.abs(gradient).max()
        x += STEP * np.sign(gradient)
        x = np.clip(x, x_nat - EPSILON, x_nat + EPSILON)
        x = np.clip(x, 0, 1)
    return x, uncertain


def test_defaults_are_the_challenges():
    assert challenge_pgd() == PGD(LinfBall(0.3, 0.0, 1.0), 40, 0.01, CrossEntropy(), True)
    assert challenge_pgd(0.2, 7) == PGD(LinfBall(0.2, 0.0, 1.0), 7, 0.01, CrossEntropy(), True)
    assert MNIST.batch_size == 200


def test_settings_are_passed_on(network):
    attack = PGDAttack(
        network, epsilon=0.1, steps=5, step_size=0.02, loss=CWMargin(50.0), random_start=False
    )
    assert attack.attack == PGD(LinfBall(0.1), 5, 0.02, CWMargin(50.0), False)


@pytest.mark.parametrize('name, loss', [('xent', CrossEntropy()), ('cw', CWMargin(kappa=50))])
@pytest.mark.parametrize('steps, random_start', [(1, False), (4, True)])
def test_it_is_the_loop_of_the_challenge(network, examples, name, loss, steps, random_start):
    x, y = examples
    attack = PGDAttack(network, steps=steps, loss=loss, random_start=random_start)
    x_adv = attack(x, y, seed=SEED).numpy()
    start = LinfBall(0.3).sample(x, SEED) if random_start else x
    expected, uncertain = challenge_loop(network, name, x, y, start, steps)
    assert uncertain.mean() < 0.01
    # A step that rounding reverses moves a pixel by 0.02, and may reverse others a step later.
    differs = np.abs(x_adv - expected) > 1e-6
    if steps == 1:
        assert not np.any(differs & ~uncertain)
    assert differs.mean() < 0.002
    assert (x_adv != start.numpy()).mean() > 0.5


def test_forty_steps_stay_in_the_ball_and_mislead_the_network(network, examples):
    x, _ = examples
    y = tf.argmax(network(x), axis=1, output_type=tf.int32)
    x_adv = PGDAttack(network)(x, y, seed=SEED)
    assert LinfBall(0.3).contains(x_adv, x, tolerance=1e-6).numpy().all()
    assert not np.any(tf.argmax(network(x_adv), axis=1, output_type=tf.int32) == y)


def test_keras_models_and_model_logits_are_attacked_alike(network, examples):
    x, y = examples
    plain = PGDAttack(network, steps=2)(x, y, seed=SEED)
    wrapped = PGDAttack(ModelLogits(network), steps=2)(x, y, seed=SEED)
    np.testing.assert_array_equal(plain, wrapped)


def test_bfloat16_finds_nearly_the_same_images(network, examples):
    x, y = examples
    exact = PGDAttack(network, steps=1)(x, y, seed=SEED).numpy()
    rough = PGDAttack(ModelLogits(network, 'bfloat16'), steps=1)(x, y, seed=SEED).numpy()
    assert rough.dtype == np.float32
    assert 0.9 < (np.abs(rough - exact) < 1e-6).mean() < 1


def test_arrays_and_labels_of_any_integer_type_are_taken(network, examples):
    x, y = (tensor.numpy() for tensor in examples)
    attack = PGDAttack(network, steps=1, random_start=False)
    expected = attack(x, y, seed=[0, 0])
    for dtype in (np.uint8, np.int64):
        np.testing.assert_array_equal(attack(x, y.astype(dtype), seed=(0, 0)), expected)


def test_cw_by_name_is_the_challenges(network):
    assert PGDAttack(network, loss='cw').attack.loss == CWMargin(50.0)
