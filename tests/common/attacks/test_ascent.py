"""Momentum and Adam against NumPy, and which point the attack keeps."""

import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD, Adam, Ascent, CompiledAttack, Momentum
from common.losses import CrossEntropy, CWMargin, true_margin
from common.threat_model import LinfBall

SHAPE, SEED, STEPS = (3, 2, 1), tf.constant([4, 2]), 23
BALL = LinfBall(0.25)
RNG = np.random.default_rng(1)
V, W = RNG.standard_normal((6, 8)), RNG.standard_normal((8, 4))
X = tf.constant(RNG.uniform(0, 1, (12, *SHAPE)), tf.float32)


def network(x):
    flat = tf.reshape(x, [-1, 6]) * 2 - 1
    return tf.tanh(flat @ tf.constant(V, tf.float32)) @ tf.constant(W, tf.float32)


@pytest.fixture(scope='module')
def y():
    return tf.argmax(network(X), axis=1, output_type=tf.int32)


def judge(z, label):
    """Loss and gradient of the cross-entropy at one image, in float64."""
    hidden = np.tanh((2 * z.ravel() - 1) @ V)
    logits = hidden @ W
    p = np.exp(logits - logits.max())
    p /= p.sum()
    back = (p - np.eye(4)[label]) @ W.T * (1 - hidden**2)
    return -np.log(p[label]), (2 * back @ V.T).reshape(z.shape)


def momentum(decay):
    total = 0.0

    def direction(gradient, number):
        nonlocal total
        total = decay * total + gradient / np.abs(gradient).sum()
        return np.sign(total)

    return direction


def adam():
    first = second = 0.0

    def direction(gradient, number):
        nonlocal first, second
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        return first / (1 - 0.9**number) / np.sqrt(second / (1 - 0.999**number))

    return direction


@pytest.mark.parametrize(
    'rule, reference',
    [(Momentum(0.5), lambda: momentum(0.5)), (Momentum(), lambda: momentum(1.0)), (Adam(), adam)],
    ids=['momentum 0.5', 'momentum', 'adam'],
)
@pytest.mark.parametrize('decays', [(), (0.5, 0.8)])
def test_it_is_the_published_rule_and_keeps_the_greatest_loss(y, rule, reference, decays):
    # Every image is told a class that it will never be left for, so that only the loss decides.
    attack = Ascent(BALL, STEPS, 0.05, rule, decays=decays, targeted=True)
    object.__setattr__(attack, 'loss', lambda logits, _: CrossEntropy()(logits, y))
    found = attack.perturb(network, X, tf.fill([12], 9), seed=SEED).numpy()
    start = BALL.sample(X, SEED).numpy().astype(np.float64)
    for i in range(12):
        image, z, direction = X[i].numpy().astype(np.float64), start[i], reference()
        best, most = None, -np.inf
        for number in range(1, STEPS + 2):
            loss, gradient = judge(z, int(y[i]))
            if loss > most:
                best, most = z, loss
            step = 0.05 * 0.1 ** sum(number > share * STEPS for share in decays)
            z = np.clip(z + step * direction(gradient, number), image - 0.25, image + 0.25)
            z = np.clip(z, 0, 1)
        assert judge(found[i].astype(np.float64), int(y[i]))[0] == pytest.approx(most, rel=1e-3)
        np.testing.assert_allclose(found[i], best, atol=1e-3)


def test_without_memory_it_is_pgd_but_for_what_it_keeps(y):
    ball = LinfBall(0.02)  # where nothing overshoots, the last point is the best one
    found = Ascent(ball, 25, 0.001, Momentum(0.0)).perturb(network, X, y, seed=SEED).numpy()
    plain = PGD(ball, 25, 0.001).perturb(network, X, y, seed=SEED).numpy()
    np.testing.assert_allclose(found, plain, atol=1e-6)


@pytest.mark.parametrize('rule', [Momentum(), Adam()], ids=repr)
def test_it_returns_what_fools_the_network_if_it_met_that(y, rule):
    # One huge step, then enough steps for the walk to come back now and then.
    attack = Ascent(BALL, 12, 0.2, rule, CWMargin(50))
    x_adv = CompiledAttack(attack, network)(X, y, seed=SEED)
    met = np.zeros(12, bool)
    for steps in range(1, 13):
        shorter = Ascent(BALL, steps, 0.2, rule, CWMargin(50))
        met |= true_margin(network(shorter.perturb(network, X, y, seed=SEED)), y).numpy() < 0
    fooled = true_margin(network(x_adv), y).numpy() < 0
    assert fooled.any() and not (met & ~fooled).any()


def test_adam_sees_gradients_whose_squares_vanish(y):
    def confident(logits, labels):
        return 1e-25 * CrossEntropy()(logits, labels)

    def found(loss):
        attack = Ascent(BALL, 6, 0.05, Adam(), random_start=False, targeted=True)
        object.__setattr__(attack, 'loss', lambda logits, _: loss(logits, y))
        return attack.perturb(network, X, tf.fill([12], 9), seed=SEED).numpy()

    np.testing.assert_allclose(found(confident), found(CrossEntropy()), atol=1e-5)


@pytest.mark.parametrize(
    'scales', [[1e-25, 1e-25, 1, 1, 1, 0, 1], [1e-35, 1e2, 1e2, 1e-3], [1e30, 1, 1e30, 1e38]]
)
def test_adam_sees_gradients_of_every_scale(scales):
    gradients = [scale * RNG.standard_normal((2, 3)) for scale in scales]
    rule, first, second = Adam(), 0.0, 0.0
    memory = rule.start(tf.zeros((2, 3)))
    for number, gradient in enumerate(gradients, 1):
        direction, memory = rule.direction(
            BALL, tf.constant(gradient, tf.float32), memory, tf.constant(float(number))
        )
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        expected = first / (1 - 0.9**number) / np.sqrt(second / (1 - 0.999**number))
        np.testing.assert_allclose(direction, expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('settings', [{'steps': 0}, {'step_size': -1}, {'step_size': float('nan')}])
def test_refuses_what_makes_no_sense(settings):
    with pytest.raises(ValueError, match='found'):
        Ascent(BALL, **{'steps': 3, 'step_size': 0.1, **settings})
