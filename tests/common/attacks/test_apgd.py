"""Auto-PGD against a reference that follows the published algorithm image by image."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import APGD, PGD, CompiledAttack
from common.losses import DLR, CrossEntropy, CWMargin, true_margin
from common.threat_model import LinfBall

SHAPE, SEED = (3, 3, 1), tf.constant([4, 2])
BALL = LinfBall(0.25)
RNG = np.random.default_rng(1)
X = tf.constant(RNG.uniform(0, 1, (12, *SHAPE)), tf.float32)


@pytest.fixture(scope='module')
def network():
    init = [keras.initializers.RandomNormal(stddev=s, seed=i) for i, s in enumerate((2, 1.5))]
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Rescaling(2.0, offset=-1.0),
            keras.layers.Flatten(),
            keras.layers.Dense(12, activation='tanh', kernel_initializer=init[0]),
            keras.layers.Dense(4, kernel_initializer=init[1]),
        ]
    )


@pytest.fixture(scope='module')
def y(network):
    return tf.argmax(network(X), axis=1, output_type=tf.int32)


def reference(network, loss, ball, x, y, start, steps):
    """One image: (x_max, f_max, step sizes at the checkpoints) of algorithm 1."""

    def judge(z):
        z = tf.constant(z[None])
        with tf.GradientTape() as tape:
            tape.watch(z)
            f = loss(network(z), tf.constant([y]))
        return float(f[0]), tape.gradient(f, z).numpy()[0]

    def project(z):
        return np.clip(np.clip(z, x - ball.epsilon, x + ball.epsilon), ball.lower, ball.upper)

    # AutoAttack's code rounds each interval down; the paper rounds each checkpoint up.
    checkpoints = []
    length, at = max(int(0.22 * steps), 1), 0
    while at < steps:
        at += length
        checkpoints.append(at)
        length = max(length - max(int(0.03 * steps), 1), max(int(0.06 * steps), 1))
    step, halvings = 2 * ball.epsilon, []
    old = current = start
    f, g = judge(current)
    best, best_f, best_g = current, f, g
    rises, last_f, last_best, was_halved, since = 0, f, f, True, 0
    for k in range(1, steps + 1):
        ahead = project(current + np.float32(step) * np.sign(g))
        a = 1 if k == 1 else 0.75
        new = project(current + a * (ahead - current) + (1 - a) * (current - old))
        old, current = current, new
        f, g = judge(current)
        rises += f > last_f
        last_f = f
        since += 1
        if f > best_f:
            best, best_f, best_g = current, f, g
        if k in checkpoints and k < steps:
            halve = rises <= 0.75 * since or (not was_halved and last_best >= best_f)
            if halve:
                step /= 2
                current, g = best, best_g
            halvings.append(halve)
            rises, since, last_best, was_halved = 0, 0, best_f, halve
    return best, best_f, halvings


@pytest.mark.parametrize(
    'loss, steps',
    [(CrossEntropy(), 7), (CrossEntropy(), 40), (DLR(), 7), (CWMargin(50), 7)],
    ids=repr,
)
def test_it_is_the_published_algorithm(network, y, loss, steps):
    # Every image is told a class that it will never be left for, so that the result is x_max.
    attack = APGD(BALL, steps, loss, targeted=True)
    unreachable = tf.fill([12], 9)

    def judged_by_truth(logits, _):
        return loss(logits, y)

    object.__setattr__(attack, 'loss', judged_by_truth)
    found = attack.perturb(network, X, unreachable, seed=SEED).numpy()
    start, halved = BALL.sample(X, SEED).numpy(), 0
    for i in range(12):
        best, f, halvings = reference(network, loss, BALL, X[i].numpy(), int(y[i]), start[i], steps)
        halved += sum(halvings)
        mine = float(loss(network(found[i : i + 1]), y[i : i + 1])[0])
        assert mine == pytest.approx(f, rel=1e-4, abs=1e-5)
        np.testing.assert_allclose(found[i], best, atol=1e-5)
    assert halved  # otherwise the test would not cover checkpoints


@pytest.mark.parametrize(
    'steps, intervals',
    [
        (100, [22, 19, 16, 13, 10, 7, 6, 6, 1]),
        (1, [1]),
        (2, [1, 1]),
        (10, [2, 1, 1, 1, 1, 1, 1, 1, 1]),
    ],
)
def test_intervals_between_checkpoints(steps, intervals):
    assert APGD(BALL, steps).intervals == intervals


def test_it_returns_what_fools_the_network_if_it_found_that(network, y):
    fooled = {}
    for name, attack in (('apgd', APGD(BALL, 20)), ('pgd', PGD(BALL, 20, 0.025))):
        x_adv = CompiledAttack(attack, network)(X, y, seed=SEED)
        fooled[name] = true_margin(network(x_adv), y).numpy() < 0
    assert fooled['pgd'].any() and not (fooled['pgd'] & ~fooled['apgd']).any()


def test_its_loss_is_at_least_that_of_the_start_where_nothing_fools(network, y):
    ball = LinfBall(0.02)
    attack = APGD(ball, 10)
    x_adv, start = attack.perturb(network, X, y, seed=SEED), ball.sample(X, SEED)
    stands = true_margin(network(x_adv), y).numpy() > 0
    assert stands.any()
    gained = CrossEntropy()(network(x_adv), y) - CrossEntropy()(network(start), y)
    assert (gained.numpy()[stands] >= 0).all()


def test_it_judges_as_often_as_it_says(network, y):
    calls = []

    def counting(x):
        calls.append(1)
        return network(x)

    APGD(BALL, 11).perturb(counting, X, y, seed=SEED)
    assert len(calls) == 11 + 1  # the last point without a gradient
    assert APGD(BALL, 11).gradients == 11


@pytest.mark.parametrize('steps', [0, -3])
def test_refuses_to_make_no_step(steps):
    with pytest.raises(ValueError, match=f'found {steps}'):
        APGD(BALL, steps)
