"""The l-inf ball: projection, random points, distance, membership, and what it refuses."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from common.threat_model import LinfBall

UNIT = LinfBall(0.3)
BYTE = LinfBall(8, 0, 255)
BALLS = pytest.mark.parametrize('ball', [UNIT, BYTE], ids=['unit', 'byte'])


def images(ball, n=64, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.uniform(ball.lower, ball.upper, (n, 3, 4, 2)).astype(np.float32)
    x[0], x[1] = ball.lower, ball.upper
    return x


def rounding(ball):
    return np.spacing(np.float32(ball.upper))


def test_projection_of_points_worked_out_by_hand():
    x = tf.constant([[0.1, 0.5, 0.9, 0.5, 0.5, 0.0]])
    x_adv = tf.constant([[-1.0, 0.9, 2.0, 0.1, 0.6, 0.2]])
    expected = [[0.0, 0.8, 1.0, 0.2, 0.6, 0.2]]
    np.testing.assert_allclose(UNIT.project(x_adv, x), expected, rtol=0, atol=6e-8)


@BALLS
def test_projection_is_the_two_clips_and_moves_nothing_twice(ball):
    x = images(ball)
    far = x + 3 * ball.epsilon * np.random.default_rng(1).standard_normal(x.shape)
    far = far.astype(np.float32)
    near = ball.project(tf.constant(far), tf.constant(x)).numpy()
    epsilon = np.float32(ball.epsilon)
    expected = np.clip(np.clip(far, x - epsilon, x + epsilon), ball.lower, ball.upper)
    np.testing.assert_array_equal(near, expected)
    np.testing.assert_array_equal(ball.project(tf.constant(near), tf.constant(x)), near)
    assert near.dtype == np.float32


@BALLS
def test_projection_leaves_points_of_the_ball_alone(ball):
    x = images(ball)
    np.testing.assert_array_equal(ball.project(tf.constant(x), tf.constant(x)), x)


@BALLS
def test_random_points_stay_in_ball_and_range(ball):
    x = images(ball)
    start = ball.sample(tf.constant(x), tf.constant([1, 2])).numpy()
    assert start.shape == x.shape and start.dtype == np.float32
    assert start.min() >= ball.lower and start.max() <= ball.upper
    assert np.abs(start - x).max() <= ball.epsilon + rounding(ball)


@BALLS
def test_random_points_are_uniform_before_the_clip(ball):
    middle = (ball.lower + ball.upper) / 2
    x = tf.fill([50, 1000], tf.constant(middle, tf.float32))
    noise = (ball.sample(x, tf.constant([3, 4])).numpy() - middle) / ball.epsilon
    n = noise.size
    # Five standard errors of the mean and of the share in each tenth of [-1, 1].
    assert abs(noise.mean()) < 5 * np.sqrt(1 / 3 / n)
    shares = np.histogram(noise, bins=10, range=(-1.001, 1.001))[0] / n
    np.testing.assert_allclose(shares, 0.1, rtol=0, atol=5 * np.sqrt(0.09 / n) + 1e-3)


def test_random_points_are_clipped_to_the_pixel_range():
    black, white = tf.zeros([50, 1000]), tf.ones([50, 1000])
    for x, bound in ((black, 0.0), (white, 1.0)):
        start = UNIT.sample(x, tf.constant([5, 6])).numpy()
        # Half of the noise points out of the range and ends exactly on the bound.
        assert abs((start == bound).mean() - 0.5) < 5 * np.sqrt(0.25 / start.size)


def test_random_points_depend_on_the_seed_alone_and_differ_between_images():
    x = tf.fill([4, 100], 0.5)
    first = UNIT.sample(x, tf.constant([7, 8])).numpy()
    np.testing.assert_array_equal(first, UNIT.sample(x, tf.constant([7, 8])))
    assert (first != UNIT.sample(x, tf.constant([7, 9])).numpy()).mean() > 0.99
    assert (first != UNIT.sample(x, tf.constant([8, 8])).numpy()).mean() > 0.99
    assert (first[0] != first[1]).mean() > 0.99


def test_radius_zero_keeps_the_image():
    x = tf.constant(images(UNIT))
    ball = LinfBall(0)
    np.testing.assert_array_equal(ball.sample(x, tf.constant([0, 0])), x)
    np.testing.assert_array_equal(ball.project(x + 0.5, x), x)


def test_radius_may_be_a_tensor():
    x = tf.constant(images(UNIT))
    seed = tf.constant([1, 1])
    ball = dataclasses.replace(UNIT, epsilon=tf.constant(0.3))
    np.testing.assert_array_equal(ball.project(x + 1, x), UNIT.project(x + 1, x))
    np.testing.assert_array_equal(ball.sample(x, seed), UNIT.sample(x, seed))


def test_distance_is_the_largest_change_of_a_pixel():
    x = np.zeros((3, 2, 2, 1), np.float32)
    x_adv = x.copy()
    x_adv[1, 0, 1, 0] = -0.25
    x_adv[2] = [[[0.5], [-0.75]], [[0.1], [0.0]]]
    distances = BYTE.distance(tf.constant(x_adv), tf.constant(x))
    np.testing.assert_array_equal(distances, [0.0, 0.25, 0.75])


def test_membership_allows_the_tolerance_and_no_more():
    x = tf.constant([[0.5], [0.5], [0.5], [0.0], [0.0], [1.0]])
    x_adv = tf.constant([[0.8], [0.80009], [0.8002], [-0.00009], [-0.0002], [1.0002]])
    assert UNIT.contains(x_adv, x).numpy().tolist() == [True, True, False, True, False, False]
    strict = UNIT.contains(x_adv, x, tolerance=0.0).numpy()
    assert not strict[1:].any()


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
def test_membership_refuses_what_is_not_a_number(value):
    x = tf.fill([2, 3], 0.5)
    x_adv = tf.constant([[0.5, value, 0.5], [0.5, 0.5, 0.5]])
    assert UNIT.contains(x_adv, x).numpy().tolist() == [False, True]


@pytest.mark.parametrize('epsilon', [-0.1, -1, np.float32(-1), np.nan, np.inf])
def test_refuses_a_radius_that_is_none(epsilon):
    with pytest.raises(ValueError, match='epsilon must be finite and at least 0; found'):
        LinfBall(epsilon)


@pytest.mark.parametrize('bounds', [(1.0, 0.0), (0.0, 0.0), (np.nan, 1.0), (0.0, np.nan)])
def test_refuses_an_empty_pixel_range(bounds):
    with pytest.raises(ValueError, match='expected lower < upper; found'):
        LinfBall(0.3, *bounds)


def test_printed_it_tells_the_threat_model():
    assert repr(BYTE) == 'LinfBall(epsilon=8, lower=0, upper=255)'
    assert UNIT == LinfBall(0.3, 0.0, 1.0)
