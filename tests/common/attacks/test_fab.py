"""FAB: the shortest way to a hyperplane, and the nearest adversarial image of a linear model."""

import numpy as np
import pytest
import tensorflow as tf

from common.attacks import FAB, CompiledAttack, MultiTargeted
from common.attacks.fab import to_hyperplane
from common.losses import MarginTo, true_margin
from common.networks.logits import Snapshot
from common.threat_model import LinfBall

RNG = np.random.default_rng(0)
SEED = tf.constant([1, 2])


def achieved(r, room, weight):
    return np.sum(weight * np.minimum(r, room))


def shortest(x, value, gradient, lower, upper):
    """The same step, found by bisection for one image in float64."""
    direction = -np.sign(value) * np.sign(gradient)
    room = np.where(direction > 0, upper - x, np.where(direction < 0, x - lower, 0.0))
    low, high = 0.0, upper - lower
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (
            (middle, high)
            if achieved(middle, room, np.abs(gradient)) < abs(value)
            else (low, middle)
        )
    return direction * np.minimum(high, room)


@pytest.mark.parametrize('lower, upper', [(0, 1), (0, 255)])
def test_the_shortest_way_to_a_hyperplane(lower, upper):
    x = RNG.uniform(lower, upper, (40, 5, 4, 1))
    x[:10] = np.round(x[:10] / upper) * upper  # black and white: free to move one way only
    gradient = RNG.standard_normal(x.shape)
    gradient[20:25, :2] = 0
    most = np.abs(gradient).sum((1, 2, 3)) * (upper - lower)
    value = RNG.uniform(-0.6, 0.6, 40) * most  # some cannot be reached at all
    value[30] = 0
    found = to_hyperplane(
        LinfBall(0.1, lower, upper), *(tf.constant(a, tf.float32) for a in (x, value, gradient))
    ).numpy()
    expected = np.stack(
        [shortest(*each, lower, upper) for each in zip(x, value, gradient, strict=True)]
    )
    np.testing.assert_allclose(found, expected, atol=2e-4 * upper)
    left = value + np.sum(gradient * expected, axis=(1, 2, 3))
    assert np.sum(np.abs(left) < 1e-6 * most) in range(15, 40)  # reached by many and not by all


W = RNG.standard_normal((9, 4)).astype(np.float32)
X = tf.constant(RNG.uniform(0.35, 0.65, (60, 3, 3, 1)), tf.float32)


def linear(x):
    return tf.reshape(x, [-1, 9]) @ W


def test_it_finds_an_adversarial_image_exactly_where_the_ball_has_one():
    ball = LinfBall(0.04)  # so small that the pixel range does not matter
    y = tf.argmax(linear(X), axis=1, output_type=tf.int32)
    z = linear(X).numpy()
    distance = np.array(
        [
            min((z[i, c] - z[i, j]) / np.abs(W[:, c] - W[:, j]).sum() for j in range(4) if j != c)
            for i, c in enumerate(y.numpy())
        ]
    )
    attack = MultiTargeted(FAB(ball, 12), 3)
    x_adv = CompiledAttack(attack, linear)(X, y, seed=SEED)
    fooled = true_margin(linear(x_adv), y).numpy() < 0
    certain = np.abs(distance - 0.04) > 0.003  # it comes near the boundary but does not reach it
    np.testing.assert_array_equal(fooled[certain], distance[certain] < 0.04)
    assert 10 < fooled.sum() < 50


@pytest.mark.parametrize('steps', [1, 2])
def test_an_image_that_fools_the_network_by_itself_still_does(steps):
    y = tf.argmin(linear(X), axis=1, output_type=tf.int32)
    target = tf.argmax(linear(X), axis=1, output_type=tf.int32)
    x_adv = FAB(LinfBall(0.3), steps, MarginTo(target)).perturb(linear, X, y, seed=SEED)
    np.testing.assert_array_equal(x_adv, X)


def test_what_it_finds_comes_nearer_with_more_steps():
    y = tf.argmax(linear(X), axis=1, output_type=tf.int32)
    ball = LinfBall(1.0)
    distances = []
    for steps in (1, 4, 16):
        x_adv = MultiTargeted(FAB(ball, steps), 1).perturb(linear, X, y, seed=SEED)
        assert (true_margin(linear(x_adv), y).numpy() < 0).all()
        distances.append(ball.distance(x_adv, X).numpy())
    for more, fewer in zip(distances[1:], distances, strict=False):
        assert (more <= fewer + 1e-6).all()
    assert distances[2].mean() < 0.98 * distances[0].mean()


V = RNG.standard_normal((9, 7))


def curved(x):
    return tf.tanh((tf.reshape(x, [-1, 9]) * 2 - 1) @ tf.constant(V, tf.float32)) @ W[:7]


def reference(x, label, target, steps):
    """The published iteration for one image in float64, with the ways found by bisection."""

    def judge(z):
        hidden = np.tanh((2 * z.ravel() - 1) @ V)
        logits = hidden @ W[:7].astype(np.float64)
        slope = (W[:7, target] - W[:7, label]).astype(np.float64) * (1 - hidden**2)
        return logits, logits[target] - logits[label], (2 * slope @ V.T).reshape(z.shape)

    current, nearest, distance = x, None, np.inf
    for _ in range(steps):
        _, value, gradient = judge(current)
        ways = [
            shortest(z, v, gradient, 0, 1)
            for z, v in ((current, value), (x, value + np.sum(gradient * (x - current))))
        ]
        lengths = [max(np.abs(way).max(), 1e-8) for way in ways]
        share = min(lengths[0] / sum(lengths), 0.1)
        current = np.clip(
            (1 - share) * (current + 1.05 * ways[0]) + share * (x + 1.05 * ways[1]), 0, 1
        )
        if np.argmax(judge(current)[0]) != label:
            if np.abs(current - x).max() < distance:
                nearest, distance = current, np.abs(current - x).max()
            current = x + 0.9 * (current - x)
    return current if nearest is None else nearest


def test_it_is_the_published_iteration():
    x = RNG.uniform(0, 1, (20, 3, 3, 1))
    x[:8] = np.round(x[:8])  # at the ends of the range, where some ways are closed
    y = tf.argmax(curved(tf.constant(x, tf.float32)), axis=1, output_type=tf.int32)
    target = (y + 1) % 4
    attack = FAB(LinfBall(1.0), 6, MarginTo(target))
    found = attack.perturb(curved, tf.constant(x, tf.float32), y, seed=SEED).numpy()
    expected = np.stack(
        [reference(image, int(a), int(b), 6) for image, a, b in zip(x, y, target, strict=True)]
    )
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.abs(found - x).max() < 0.99  # no image at the ball's own end


def test_lower_precision_finds_images_as_near_and_float32_has_the_last_word():
    """A network that is sure of its losses to a quarter only, where the boundary is within that."""

    def rough(x):
        z = curved(x)
        return z + tf.stop_gradient(tf.floor(4 * z) / 4 - z)

    own = np.random.default_rng(1)  # the same images whichever tests ran before
    x = tf.constant(own.uniform(0.2, 0.8, (200, 3, 3, 1)), tf.float32)
    y = tf.argmax(curved(x), axis=1, output_type=tf.int32)
    ball = LinfBall(1.0)
    distances = []
    for network in (curved, Snapshot(rough, exact=curved)):
        x_adv = FAB(ball, 20, MarginTo((y + 1) % 4)).perturb(network, x, y, seed=SEED)
        fooled = true_margin(curved(x_adv), y).numpy() < 0
        distances.append(np.where(fooled, ball.distance(x_adv, x).numpy(), 1.0))
    assert np.mean(distances[1] > distances[0] + 0.03) < 0.05
    assert np.mean(distances[0] < 1) > 0.5


@pytest.mark.parametrize('steps', [0, -1])
def test_refuses_to_make_no_step(steps):
    with pytest.raises(ValueError, match=f'found {steps}'):
        FAB(LinfBall(0.1), steps)
