"""FAB: the shortest way to a hyperplane, and the nearest adversarial image of a linear model."""

import numpy as np
import pytest
import tensorflow as tf

from common.attacks import FAB, CompiledAttack, MultiTargeted
from common.attacks.fab import to_hyperplane
from common.losses import true_margin
from common.threat_model import LinfBall

RNG = np.random.default_rng(0)
SEED = tf.constant([1, 2])


def achieved(r, room, weight):
    return np.sum(weight * np.minimum(r, room))


def shortest(x, value, gradient, lower, upper):
    """The same way by bisection, one image in float64."""
    direction = -np.sign(value) * np.sign(gradient)
    room = np.where(direction > 0, upper - x, np.where(direction < 0, x - lower, 0.0))
    low, high = 0.0, upper - lower
    for _ in range(80):
        middle = (low + high) / 2
        low, high = ((middle, high) if achieved(middle, room, np.abs(gradient)) < abs(value)
                     else (low, middle))
    return direction * np.minimum(high, room)


@pytest.mark.parametrize('lower, upper', [(0, 1), (0, 255)])
def test_the_shortest_way_to_a_hyperplane(lower, upper):
    x = RNG.uniform(lower, upper, (40, 5, 4, 1))
    x[:10] = np.round(x[:10] / upper) * upper  # black and white pixels, which can go one way only
    gradient = RNG.standard_normal(x.shape)
    gradient[20:25, :2] = 0
    most = np.abs(gradient).sum((1, 2, 3)) * (upper - lower)
    value = RNG.uniform(-0.6, 0.6, 40) * most  # some cannot be reached at all
    value[30] = 0
    found = to_hyperplane(*(tf.constant(a, tf.float32) for a in (x, value, gradient)),
                          lower, upper).numpy()
    expected = np.stack([shortest(*each, lower, upper)
                         for each in zip(x, value, gradient, strict=True)])
    np.testing.assert_allclose(found, expected, atol=2e-4 * upper)
    left = value + np.sum(gradient * expected, axis=(1, 2, 3))
    assert np.sum(np.abs(left) < 1e-6 * most) in range(15, 40)  # reached by many and not by all


W = RNG.standard_normal((9, 4)).astype(np.float32)
X = tf.constant(RNG.uniform(0.35, 0.65, (60, 3, 3, 1)), tf.float32)


def linear(x):
    return tf.reshape(x, [-1, 9]) @ W


def test_it_finds_an_adversarial_image_exactly_where_the_ball_has_one():
    ball = LinfBall(0.04)  # so small that the pixel range plays no part
    y = tf.argmax(linear(X), axis=1, output_type=tf.int32)
    z = linear(X).numpy()
    distance = np.array([min(
        (z[i, c] - z[i, j]) / np.abs(W[:, c] - W[:, j]).sum() for j in range(4) if j != c)
        for i, c in enumerate(y.numpy())])
    attack = MultiTargeted(FAB(ball, 12), 3)
    x_adv = CompiledAttack(attack, linear)(X, y, seed=SEED)
    fooled = true_margin(linear(x_adv), y).numpy() < 0
    certain = np.abs(distance - 0.04) > 0.003  # it comes near the boundary, not to it
    np.testing.assert_array_equal(fooled[certain], distance[certain] < 0.04)
    assert 10 < fooled.sum() < 50


def test_what_it_finds_comes_nearer_with_more_steps():
    y = tf.argmax(linear(X), axis=1, output_type=tf.int32)
    ball = LinfBall(1.0)
    distances = []
    for steps in (1, 4, 16):
        x_adv = MultiTargeted(FAB(ball, steps), 1)(linear, X, y, seed=SEED)
        assert (true_margin(linear(x_adv), y).numpy() < 0).all()
        distances.append(ball.distance(x_adv, X).numpy())
    for more, fewer in zip(distances[1:], distances, strict=False):
        assert (more <= fewer + 1e-6).all()
    assert distances[2].mean() < 0.98 * distances[0].mean()


@pytest.mark.parametrize('steps', [0, -1])
def test_refuses_to_make_no_step(steps):
    with pytest.raises(ValueError, match=f'found {steps}'):
        FAB(LinfBall(0.1), steps)
