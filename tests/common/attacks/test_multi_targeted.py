"""Targets one after the other, and starts spread out by their logits."""

import numpy as np
import pytest
import tensorflow as tf

from common.attacks import ODI, PGD, CompiledAttack, MultiTargeted
from common.attacks.multi_targeted import likeliest_wrong
from common.losses import CrossEntropy, MarginTo, true_margin
from common.threat_model import LinfBall

BALL, SEED = LinfBall(0.2), tf.constant([3, 1])
RNG = np.random.default_rng(0)
W = RNG.standard_normal((9, 5)).astype(np.float32)
X = tf.constant(RNG.uniform(0.3, 0.7, (20, 3, 3, 1)), tf.float32)  # far from the range's ends


def linear(x):
    return tf.reshape(x, [-1, 9]) @ W


@pytest.fixture(scope='module')
def y():
    return tf.argmax(linear(X), axis=1, output_type=tf.int32)


def optimum(y):
    """Least margin of each image in the ball: over all wrong classes, in closed form."""
    z = linear(X).numpy()
    spread = 0.2 * np.abs(W[:, :, None] - W[:, None, :]).sum(axis=0)  # [class, class]
    margins = [
        [z[i, label] - z[i, j] - spread[label, j] for j in range(5) if j != label]
        for i, label in enumerate(y.numpy())
    ]
    return np.min(margins, axis=1)


def test_all_targets_together_reach_the_optimum_of_a_linear_model(y):
    attack = MultiTargeted(PGD(BALL, 12, 0.05, MarginTo()), 4)
    margin = true_margin(linear(CompiledAttack(attack, linear)(X, y, seed=SEED)), y)
    np.testing.assert_allclose(margin, optimum(y), atol=1e-4)


def test_targets_one_by_one_are_the_same_attack(y):
    pgd = PGD(BALL, 3, 0.02, MarginTo())
    together = MultiTargeted(pgd, 3).perturb(linear, X, y, seed=SEED)
    single = [MultiTargeted(pgd, 1, first=i).perturb(linear, X, y, seed=SEED) for i in range(3)]
    margins = np.stack([true_margin(linear(x_adv), y).numpy() for x_adv in single])
    np.testing.assert_allclose(true_margin(linear(together), y), margins.min(axis=0), atol=1e-6)
    assert len(set(margins.argmin(axis=0))) > 1  # no target is the best for all


def test_the_likeliest_wrong_classes_by_hand():
    logits = tf.constant([[5.0, 1.0, 3.0, -2.0], [0.0, 9.0, -1.0, 4.0]])
    np.testing.assert_array_equal(
        likeliest_wrong(logits, tf.constant([0, 3]), 3), [[2, 1, 3], [1, 0, 2]]
    )


@pytest.mark.parametrize('targets, first', [(0, 0), (1, -1), (5, 0), (1, 4)])
def test_refuses_targets_that_there_are_not(y, targets, first):
    with pytest.raises(ValueError, match='expected at least|must be at least'):
        MultiTargeted(PGD(BALL, 1, 0.1, MarginTo()), targets, first).perturb(
            linear, X, y, seed=SEED
        )


def test_starts_are_parted_by_the_logits(y):
    """Over many restarts of one image, logits spread more widely than those of random points."""
    x, label = tf.repeat(X[:1], 200, axis=0), tf.repeat(y[:1], 200)
    nothing = PGD(BALL, 0, 0.1, CrossEntropy())
    parted = linear(ODI(nothing).perturb(linear, x, label, seed=SEED)).numpy()
    random = linear(nothing.perturb(linear, x, label, seed=SEED)).numpy()
    assert (parted.std(axis=0) > 1.5 * random.std(axis=0)).all()


def test_each_image_has_a_direction_of_its_own_that_the_logits_follow(y):
    weights = tf.random.stateless_uniform(
        [20, 5], tf.random.fold_in(SEED, 1), minval=-1.0, maxval=1.0
    )
    start = ODI(PGD(BALL, 0, 0.1, random_start=False), steps=2).perturb(linear, X, y, seed=SEED)
    # In a linear model a step of epsilon along the sign is the optimum.
    gained = tf.reduce_sum(weights * (linear(start) - linear(X)), axis=1)
    most = 0.2 * tf.reduce_sum(tf.abs(weights @ W.T), axis=1)
    np.testing.assert_allclose(gained, most, rtol=1e-4)
    with pytest.raises(ValueError, match='found 0'):
        ODI(PGD(BALL, 0, 0.1), steps=0)
