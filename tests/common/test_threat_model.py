"""The balls: projection, random points, steepest steps, distance, membership, refusals."""

import dataclasses
import doctest

import numpy as np
import pytest
import tensorflow as tf

from common import threat_model
from common.threat_model import L2Ball, LinfBall

UNIT = LinfBall(0.3)
BYTE = LinfBall(8, 0, 255)
L2, L2_BYTE = L2Ball(0.7), L2Ball(150, 0, 255)
BALLS = pytest.mark.parametrize('ball', [UNIT, BYTE], ids=['unit', 'byte'])
L2_BALLS = pytest.mark.parametrize('ball', [L2, L2_BYTE], ids=['l2', 'l2 byte'])
ALL = pytest.mark.parametrize(
    'ball', [UNIT, BYTE, L2, L2_BYTE], ids=['unit', 'byte', 'l2', 'l2 byte']
)


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


@ALL
def test_projection_leaves_points_of_the_ball_alone(ball):
    x = images(ball)
    np.testing.assert_array_equal(ball.project(tf.constant(x), tf.constant(x)), x)
    inside = ball.sample(tf.constant(x), tf.constant([1, 2]))
    near = ball.scaled(1.01).project(inside, tf.constant(x))
    np.testing.assert_array_equal(near, inside)


@ALL
def test_projections_of_far_points_are_in_ball_and_range(ball):
    x = images(ball)
    far = x + 3 * ball.epsilon * np.random.default_rng(1).standard_normal(x.shape)
    near = ball.project(tf.constant(far, tf.float32), tf.constant(x)).numpy()
    assert near.dtype == np.float32
    assert near.min() >= ball.lower and near.max() <= ball.upper
    distances = ball.distance(tf.constant(near, tf.float64), tf.constant(x, tf.float64)).numpy()
    assert distances.max() <= ball.epsilon + 2 * rounding(ball)
    assert distances.max() > 0.9 * ball.epsilon  # and some reach the border


def test_l2_projection_worked_out_by_hand():
    ball, x = L2Ball(0.5), tf.constant([[0.2, 0.3], [0.2, 0.3], [0.0, 0.9]])
    x_adv = tf.constant([[0.8, 1.1], [0.5, 0.3], [-0.6, 1.7]])
    # On the radius; inside already; on the radius and then clipped.
    expected = [[0.5, 0.7], [0.5, 0.3], [0.0, 1.0]]
    np.testing.assert_allclose(ball.project(x_adv, x), expected, rtol=0, atol=2e-7)


@ALL
def test_a_steepest_step_raises_a_linear_function_more_than_any_other_of_its_length(ball):
    rng = np.random.default_rng(2)
    gradient = rng.standard_normal((20, 3, 4, 2)).astype(np.float32)
    step = ball.steepest(tf.constant(gradient))
    np.testing.assert_allclose(ball.distance(step, tf.zeros_like(step)), 1, rtol=1e-6)
    gained = np.sum(gradient * step, axis=(1, 2, 3))
    for _ in range(50):
        other = tf.constant(rng.standard_normal(gradient.shape), tf.float32)
        other /= tf.reshape(ball.distance(other, tf.zeros_like(other)), [-1, 1, 1, 1])
        assert (np.sum(gradient * other, axis=(1, 2, 3)) <= gained).all()


def test_steepest_steps_by_hand():
    gradient = tf.constant([[3.0, 0.0, -4.0]])
    np.testing.assert_array_equal(UNIT.steepest(gradient), [[1, 0, -1]])
    np.testing.assert_allclose(L2.steepest(gradient), [[0.6, 0, -0.8]], rtol=1e-6)


@ALL
@pytest.mark.parametrize('jit_compile', [False, True])
def test_steepest_steps_of_gradients_of_every_scale(ball, jit_compile):
    steepest = tf.function(ball.steepest, jit_compile=jit_compile)
    gradient = tf.constant([[3.0, 0.0, -4.0]])
    for scale in (1e-30, 1e-20, 1e20, 5e37):  # squares of these vanish or overflow
        np.testing.assert_allclose(
            steepest(scale * gradient), ball.steepest(gradient), rtol=1e-5, atol=0
        )
    np.testing.assert_array_equal(steepest(tf.zeros([2, 3])), tf.zeros([2, 3]))
    assert np.isnan(steepest(tf.constant([[0.0, np.nan, 0.0]]))).any()


@L2_BALLS
def test_random_l2_points_are_uniform_before_the_clip(ball):
    n, pixels = 20_000, 3
    middle = (ball.lower + ball.upper) / 2
    wide = dataclasses.replace(ball, lower=middle - ball.epsilon, upper=middle + ball.epsilon)
    x = tf.fill([n, pixels, 1], tf.constant(middle, tf.float32))
    noise = (wide.sample(x, tf.constant([3, 4])).numpy() - middle).reshape(n, -1) / ball.epsilon
    length = np.linalg.norm(noise, axis=1)
    # The share of the volume within a radius is (r / epsilon)^d; five standard errors of tenths.
    shares = np.histogram(length**pixels, bins=10, range=(0, 1.001))[0] / n
    np.testing.assert_allclose(shares, 0.1, rtol=0, atol=5 * np.sqrt(0.09 / n) + 1e-3)
    direction = noise / length[:, None]
    np.testing.assert_allclose(direction.mean(axis=0), 0, atol=5 / np.sqrt(pixels * n))
    covariance = direction.T @ direction / n
    np.testing.assert_allclose(covariance, np.eye(pixels) / pixels, atol=5 / np.sqrt(n))
    assert abs(np.corrcoef(length, direction[:, 0])[0, 1]) < 5 / np.sqrt(n)


@ALL
def test_random_points_stay_in_ball_and_range(ball):
    x = images(ball)
    start = ball.sample(tf.constant(x), tf.constant([1, 2])).numpy()
    assert start.shape == x.shape and start.dtype == np.float32
    assert start.min() >= ball.lower and start.max() <= ball.upper
    assert (
        ball.contains(tf.constant(start), tf.constant(x), tolerance=2 * rounding(ball))
        .numpy()
        .all()
    )


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


@pytest.mark.parametrize('ball', [UNIT, L2])
def test_random_points_depend_on_the_seed_alone_and_differ_between_images(ball):
    x = tf.fill([4, 100], 0.5)
    first = ball.sample(x, tf.constant([7, 8])).numpy()
    np.testing.assert_array_equal(first, ball.sample(x, tf.constant([7, 8])))
    assert (first != ball.sample(x, tf.constant([7, 9])).numpy()).mean() > 0.99
    assert (first != ball.sample(x, tf.constant([8, 8])).numpy()).mean() > 0.99
    assert (first[0] != first[1]).mean() > 0.99


@ALL
def test_radius_zero_keeps_the_image(ball):
    x, nothing = tf.constant(images(ball)), ball.scaled(0)
    np.testing.assert_array_equal(nothing.sample(x, tf.constant([0, 0])), x)
    np.testing.assert_array_equal(nothing.project(x + 0.5, x), x)


@ALL
def test_radius_may_be_a_tensor(ball):
    x, seed = tf.constant(images(ball)), tf.constant([1, 1])
    same = dataclasses.replace(ball, epsilon=tf.constant(float(ball.epsilon)))
    half, also_half = ball.scaled(0.5), same.scaled(tf.constant(0.5))
    for a, b in ((ball, same), (half, also_half)):
        np.testing.assert_array_equal(a.project(x + 1, x), b.project(x + 1, x))
        np.testing.assert_array_equal(a.sample(x, seed), b.sample(x, seed))
    assert half == type(ball)(ball.epsilon / 2, ball.lower, ball.upper)


def test_l2_distance_is_the_length_of_the_change():
    x = np.zeros((3, 2, 2, 1), np.float32)
    x_adv = x.copy()
    x_adv[1, 0, 1, 0] = -0.25
    x_adv[2] = [[[3e-30], [0.0]], [[-4e-30], [0.0]]]
    distances = L2.distance(tf.constant(x_adv), tf.constant(x))
    np.testing.assert_allclose(distances, [0.0, 0.25, 5e-30], rtol=1e-6)


def test_l2_membership_looks_at_the_whole_image():
    x = tf.constant([[0.5, 0.5], [0.5, 0.5], [0.5, 1.0]])
    x_adv = tf.constant([[0.9, 0.9], [0.99, 1.0], [0.5, 1.1]])  # lengths 0.57, 0.70007, 0.1
    assert L2.contains(x_adv, x).numpy().tolist() == [True, False, False]
    assert L2.contains(x_adv, x, tolerance=1e-4).numpy().tolist() == [True, True, False]


@ALL
def test_the_tolerance_is_more_than_rounding_and_hardly_anything_of_the_range(ball):
    assert 4 * rounding(ball) < ball.tolerance < 2e-4 * (ball.upper - ball.lower)


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
    assert L2.contains(x_adv, x).numpy().tolist() == [False, True]
    assert np.isnan(L2.project(x_adv, x)[0]).any()  # not an image that looks robust


@pytest.mark.parametrize('kind', [LinfBall, L2Ball])
@pytest.mark.parametrize('epsilon', [-0.1, -1, np.float32(-1), np.nan, np.inf])
def test_refuses_a_radius_that_is_none(kind, epsilon):
    with pytest.raises(ValueError, match='epsilon must be finite and at least 0; found'):
        kind(epsilon)


@pytest.mark.parametrize('bounds', [(1.0, 0.0), (0.0, 0.0), (np.nan, 1.0), (0.0, np.nan)])
def test_refuses_an_empty_pixel_range(bounds):
    with pytest.raises(ValueError, match='expected lower < upper; found'):
        LinfBall(0.3, *bounds)


def test_printed_it_tells_the_threat_model():
    assert repr(BYTE) == 'LinfBall(epsilon=8, lower=0, upper=255)'
    assert repr(L2) == 'L2Ball(epsilon=0.7, lower=0.0, upper=1.0)'
    assert UNIT == LinfBall(0.3, 0.0, 1.0) != L2Ball(0.3)


def test_the_examples_of_the_documentation():
    assert doctest.testmod(threat_model).attempted > 0 == doctest.testmod(threat_model).failed


def test_only_the_door_refuses_an_infinite_pixel_range():
    assert LinfBall(1, -np.inf, np.inf).upper == np.inf
    for bounds in ((0, np.inf), (np.nan, 1)):
        with pytest.raises(ValueError, match='expected bounds as the smallest and the largest'):
            threat_model.make_ball('linf', 1, bounds)
    with pytest.raises(ValueError, match="expected upper as a number; found '1'"):
        LinfBall(0.3, 0, '1')
