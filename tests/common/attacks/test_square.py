"""Square Attack: what it queries, what it keeps, and how far it gets without gradients."""

import numpy as np
import pytest
import tensorflow as tf

from common.attacks import CompiledAttack, Square
from common.losses import true_margin
from common.networks.logits import Snapshot
from common.threat_model import LinfBall

SHAPE, SEED = (8, 8, 3), tf.constant([1, 5])
BALL = LinfBall(0.1)
RNG = np.random.default_rng(0)
X = tf.constant(RNG.uniform(0.2, 0.8, (6, *SHAPE)), tf.float32)
Y = tf.zeros(6, tf.int32)


class Linear:
    """Two classes; class 0 wins by `bias` + the scalar product of the pixels with `weights`."""

    def __init__(self, weights, bias):
        self.weights, self.bias, self.seen = weights, bias, []

    def __call__(self, x):
        self.seen.append(x)
        score = tf.reduce_sum((x - 0.5) * self.weights, axis=(1, 2, 3)) + self.bias
        return tf.stack([score, tf.zeros_like(score)], axis=1)


def test_it_comes_near_the_optimum_of_a_linear_model():
    """Where the weights of a region have the same sign, a square there is the best step."""
    weights = np.ones(SHAPE, np.float32)
    weights[:, 4:] = -1
    network = Linear(weights, bias=1000.0)  # never fooled, so that it uses all its queries
    x_adv = CompiledAttack(Square(BALL, 600), network)(X, Y, seed=SEED)
    natural, found = (true_margin(network(z), Y).numpy() for z in (X, x_adv))
    optimum = natural - 0.1 * np.abs(weights).sum()
    assert (natural - found > 0.8 * (natural - optimum)).all()


def test_it_starts_from_stripes_and_changes_one_square_at_a_time():
    network = Linear(np.zeros(SHAPE, np.float32), bias=1.0)  # nothing is ever better
    Square(BALL, 40).perturb(network, X, Y, seed=SEED)
    assert len(network.seen) == 40
    start = (network.seen[0] - X).numpy()
    np.testing.assert_allclose(np.abs(start), 0.1, atol=1e-6)
    np.testing.assert_allclose(start, np.broadcast_to(start[:, :1], start.shape), atol=1e-6)
    sides = []
    for candidate in network.seen[1:]:
        changed = np.abs((candidate - network.seen[0]).numpy()).max(axis=3) > 1e-6
        for image in changed:  # one solid square in each, in every query
            rows, columns = np.flatnonzero(image.any(axis=1)), np.flatnonzero(image.any(axis=0))
            assert image.sum() == len(rows) * len(columns) > 0
            side = rows[-1] - rows[0] + 1
            # A column of the stripes may have the drawn sign in all channels already.
            assert side == len(rows) and columns[-1] - columns[0] < side
        sides.append(max(image.any(axis=1).sum() for image in changed))
    assert sides[0] > sides[-1] >= 1
    assert np.abs((network.seen[-1] - X).numpy()).max() <= 0.1 + 1e-6


def test_the_sides_are_those_of_the_paper():
    attack = Square(BALL, 10_000, p=0.8)
    found = [int(attack._side(tf.constant(q), 28, 28)) for q in (1, 10, 11, 51, 2001, 9999)]
    expected = [round((0.8 * 0.5**k * 784) ** 0.5) for k in (0, 0, 1, 2, 6, 9)]
    assert found == expected


def test_what_fools_the_network_is_left_alone():
    weights = RNG.standard_normal(SHAPE).astype(np.float32)
    network = Linear(weights, bias=-50.0)  # class 1 wins in every image
    y = tf.constant([0, 1, 0, 1, 0, 1])
    found = Square(BALL, 50).perturb(network, X, y, seed=SEED).numpy()
    assert len(network.seen) == 50
    start = network.seen[0].numpy()
    np.testing.assert_array_equal(found[::2], start[::2])  # misclassified at once
    assert (np.abs(found - start)[1::2].max(axis=(1, 2, 3)) > 0).all()
    all_fooled = Linear(weights, bias=-50.0)
    Square(BALL, 50).perturb(all_fooled, X, Y, seed=SEED)
    assert len(all_fooled.seen) == 1


def test_in_lower_precision_it_goes_on_until_rounding_cannot_matter():
    exact = Linear(np.ones(SHAPE, np.float32), bias=8.0)

    def rough(x):
        score, zero = tf.unstack(exact(x), axis=1)
        return tf.stack([score - 1.5, zero], axis=1) + 100  # says too soon that it is fooled

    x_adv = Square(BALL, 300).perturb(Snapshot(rough, exact), X, Y, seed=SEED)
    assert (true_margin(exact(X), Y).numpy() > 0).all()
    assert (true_margin(exact(x_adv), Y).numpy() < 0).all()


def test_more_queries_never_leave_a_larger_margin():
    network = Linear(RNG.standard_normal(SHAPE).astype(np.float32), bias=50.0)
    # The schedule of areas depends on the budget; a network of one area shows the rest.
    margins = [
        true_margin(network(Square(BALL, n, p=1e-9).perturb(network, X, Y, seed=SEED)), Y).numpy()
        for n in (1, 20, 60)
    ]
    assert (margins[0] >= margins[1]).all() and (margins[1] >= margins[2]).all()
    assert (margins[0] > margins[2]).any()


@pytest.mark.parametrize(
    'settings, found', [({'queries': 0}, 0), ({'p': 0.0}, 0.0), ({'p': 1.5}, 1.5)]
)
def test_refuses_settings_that_make_no_sense(settings, found):
    with pytest.raises(ValueError, match=f'found {found}'):
        Square(BALL, **settings)
