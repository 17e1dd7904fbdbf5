"""Chained attacks: each of the two does what the other cannot."""

import numpy as np
import tensorflow as tf

from common.attacks import APGD, PGD, Chained, CompiledAttack, Square
from common.losses import Margin, true_margin
from common.threat_model import LinfBall

BALL, SEED = LinfBall(0.1), tf.constant([1, 5])
X, Y = tf.fill([5, 8, 8, 2], 0.5), tf.zeros(5, tf.int32)
SIGNS = tf.constant(np.random.default_rng(0).choice([-1.0, 1.0], (8, 8)), tf.float32)
FIRST, THEN = Square(BALL, 5), APGD(BALL, 20, Margin())


def network(x):
    """Flat but where a column of the first channel moves as one, which opens a slope in the second.

    Random points are on the flat part; squares hardly climb the slope, since each pixel has a sign
    of its own there.
    """
    moves = (x - 0.5) / 0.1
    columns = tf.abs(tf.reduce_mean(moves[..., 0], axis=1))
    is_open = tf.reduce_mean(tf.nn.relu(columns - 0.9) / 0.1, axis=1)
    climbed = tf.reduce_mean(SIGNS * moves[..., 1], axis=(1, 2))
    score = 0.9 - is_open * (1 + climbed) / 2
    return tf.stack([score, tf.zeros_like(score)], axis=1)


def fooled(attack):
    x_adv = CompiledAttack(attack, network)(X, Y, seed=SEED)
    return (true_margin(network(x_adv), Y) < 0).numpy()


def test_together_they_reach_what_neither_reaches_alone():
    assert not fooled(FIRST).any() and not fooled(THEN).any()
    assert fooled(Chained(FIRST, THEN)).all()


def test_gradients_of_both_are_counted():
    assert Chained(FIRST, THEN).gradients == 20
    assert Chained(PGD(BALL, 7, 0.01), THEN).gradients == 27


def test_it_is_the_second_attack_from_the_firsts_result():
    steps = PGD(BALL, 3, 0.02, random_start=False)
    first = PGD(BALL, 2, 0.05, random_start=False)
    between = first.perturb(network, X, Y, seed=SEED)
    np.testing.assert_array_equal(
        Chained(first, steps).perturb(network, X, Y, seed=SEED),
        steps.ascend(network, between, X, Y),
    )


def test_what_the_first_has_found_is_not_lost():
    """Even where the second one's loss leads elsewhere."""

    def away(logits, y):
        return -true_margin(tf.stop_gradient(logits), y) - 100 * tf.reduce_sum(logits, axis=1)

    found = Chained(Chained(FIRST, THEN), APGD(BALL, 5, away))
    assert fooled(found).all()
