"""The loss landscape: restarts, curves, and the geometry of what PGD finds."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD
from common.data.batches import Examples
from common.evaluation.loss_landscape import (
    Curves,
    Restarting,
    correlations,
    image_gradient,
    pairs,
    random_perturbations,
    same_signs,
)
from common.evaluation.resumable import PartialResult
from common.losses import CrossEntropy, LogOdds
from common.threat_model import LinfBall

BALL = LinfBall(0.1)
ATTACK = PGD(BALL, 3, 0.02)
RNG = np.random.default_rng(0)
EXAMPLES = Examples(
    RNG.uniform(0.2, 0.8, (4, 3, 3, 1)).astype(np.float32), np.array([0, 1, 2, 1], np.int32), 'x'
)


@pytest.fixture(scope='module')
def network():
    init = [keras.initializers.RandomNormal(stddev=1.0, seed=i) for i in range(2)]
    return keras.Sequential(
        [
            keras.Input((3, 3, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(8, activation='tanh', kernel_initializer=init[0]),
            keras.layers.Dense(3, kernel_initializer=init[1]),
        ]
    )


def test_final_losses_are_those_of_the_final_points(network):
    restarting = Restarting(ATTACK, network, seed=1, batch_size=4)
    losses = restarting.final_losses(EXAMPLES, 2, 7)
    points = EXAMPLES.x[2] + restarting.maxima(EXAMPLES, 2, 7).reshape(-1, 3, 3, 1)
    expected = CrossEntropy()(network(points), tf.fill([7], EXAMPLES.y[2]))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    assert len(np.unique(losses)) == 7  # no restart is the copy of another
    assert np.abs(points - EXAMPLES.x[2]).max() <= 0.1 + 1e-6


def test_images_have_restarts_of_their_own_and_seeds_too(network):
    same = Examples(EXAMPLES.x[[0, 0]], EXAMPLES.y[[0, 0]], 'x')
    restarting = Restarting(ATTACK, network, batch_size=4)
    first, second = (restarting.final_losses(same, image, 4) for image in (0, 1))
    other = Restarting(ATTACK, network, seed=9, batch_size=4).final_losses(same, 0, 4)
    assert not np.intersect1d(first, second).size and not np.intersect1d(first, other).size


@pytest.mark.parametrize('before', [0, 3, 4, 6, 8, 11])
def test_more_restarts_go_on_from_fewer(network, tmp_path, before):
    restarting = Restarting(ATTACK, network, batch_size=4)
    expected = restarting.final_losses(EXAMPLES, 0, 11)
    path = tmp_path / 'losses.npz'
    restarting.final_losses(EXAMPLES, 0, before, PartialResult(path, 'key'))
    np.testing.assert_array_equal(
        restarting.final_losses(EXAMPLES, 0, 11, PartialResult(path, 'key')), expected
    )
    np.testing.assert_array_equal(
        restarting.final_losses(EXAMPLES, 0, 5, PartialResult(path, 'key')), expected[:5]
    )


def test_an_interrupted_run_goes_on_where_it_stopped(network, tmp_path):
    restarting, path = Restarting(ATTACK, network, batch_size=4), tmp_path / 'losses.npz'
    expected = restarting.final_losses(EXAMPLES, 0, 12)
    batches, original = [], restarting._perturb.craft

    def stopping(*arguments, **named):
        if len(batches) == 2:
            raise KeyboardInterrupt
        batches.append(1)
        return original(*arguments, **named)

    restarting._perturb.craft = stopping
    with pytest.raises(KeyboardInterrupt):
        restarting.final_losses(EXAMPLES, 0, 12, PartialResult(path, 'key'))
    restarting._perturb.craft = original
    stored = PartialResult(path, 'key').read({'losses': None})['losses']
    np.testing.assert_array_equal(stored, expected[:8])
    np.testing.assert_array_equal(
        restarting.final_losses(EXAMPLES, 0, 12, PartialResult(path, 'key')), expected
    )


def test_curves_begin_at_the_start_and_end_at_the_attacks_result(network):
    curves = Curves(ATTACK, network)(EXAMPLES, 1, 5, seed=3)
    assert curves.shape == (5, 4)
    x = tf.repeat(EXAMPLES.x[1:2], 5, axis=0)
    y = tf.fill([5], EXAMPLES.y[1])
    start = ATTACK.start(x, tf.constant([3, 1]))
    end = ATTACK(network, x, y, seed=tf.constant([3, 1]))
    np.testing.assert_allclose(curves[:, 0], CrossEntropy()(network(start), y), rtol=1e-5)
    np.testing.assert_allclose(curves[:, -1], CrossEntropy()(network(end), y), rtol=1e-5)
    assert (curves[:, -1] > curves[:, 0]).all()


def test_distances_and_angles_of_known_points():
    found = pairs(np.array([[1, 0], [0, 2], [-3, 0]], np.float32))
    np.testing.assert_allclose(found.distances, [5**0.5, 4, 13**0.5], rtol=1e-6)
    np.testing.assert_allclose(found.angles, [90, 180, 90])


def test_angles_of_points_without_a_direction_are_right_ones():
    assert pairs(np.zeros((2, 3), np.float32)).angles == 90


def test_random_points_are_as_far_apart_as_theory_says():
    """Uniform in a cube of side 2 epsilon: each pixel adds (2 epsilon)^2 / 6 to the square."""
    wide = Examples(np.full((1, 40, 40, 1), 0.5, np.float32), np.zeros(1, np.int32), 'x')
    found = pairs(random_perturbations(ATTACK, wide, 0, 50))
    assert np.mean(found.distances**2) == pytest.approx(1600 * 0.04 / 6, rel=0.01)
    assert found.angles.mean() == pytest.approx(90, abs=0.2)


def test_the_gradient_and_its_correlations(network):
    gradient = image_gradient(network, EXAMPLES, 3)
    step = np.eye(9, dtype=np.float32)[4] * 1e-3
    x = np.stack([EXAMPLES.x[3].ravel() + step, EXAMPLES.x[3].ravel() - step]).reshape(2, 3, 3, 1)
    up, down = LogOdds()(network(x), tf.fill([2], EXAMPLES.y[3])).numpy()
    assert gradient[4] == pytest.approx((up - down) / 2e-3, rel=0.01)
    across = np.zeros(9, np.float32)
    across[:2] = gradient[1], -gradient[0]
    found = correlations(np.stack([3 * gradient, -gradient, across, 0 * gradient]), gradient)
    np.testing.assert_allclose(found, [1, -1, 0, 0], atol=1e-6)


def test_shares_of_signs_are_of_the_pixels_that_both_move():
    perturbations = np.array([[1, -2, 3, 0], [2, 1, 0, 1], [0, 0, 0, 0]], np.float32)
    np.testing.assert_allclose(same_signs(perturbations), [0.5, 0, 0])
    assert same_signs(perturbations[:1]).shape == (0,)
    np.testing.assert_allclose(same_signs(perturbations[[0, 0]]), [1])


def test_a_half_of_random_signs_is_shared():
    signs = np.random.default_rng(0).choice((-1.0, 1.0), (12, 2000)).astype(np.float32)
    assert np.median(pairs(signs).same_signs) == pytest.approx(0.5, abs=0.03)
    signs[:, :1000] = 1
    assert np.median(pairs(signs).same_signs) == pytest.approx(0.75, abs=0.03)
