"""What training minimizes, against independent arithmetic."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD
from common.errors import UserError
from common.losses import CrossEntropy, Divergence
from common.threat_model import LinfBall
from common.training.config import TrainingConfig
from common.training.objectives import SaddlePoint, Trades, training_objective

BALL = LinfBall(0.2, 0.0, 1.0)
ATTACK = PGD(BALL, 5, 0.08)
SEED = tf.constant([1, 2])


@pytest.fixture(scope='module')
def model():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(8, 'relu'),
            keras.layers.Dense(3),
        ]
    )


@pytest.fixture(scope='module')
def images():
    rng = np.random.default_rng(0)
    return (
        tf.constant(rng.uniform(size=(20, 4, 4, 1)), tf.float32),
        tf.constant(rng.integers(0, 3, 20), tf.int32),
    )


def probabilities(logits):
    e = np.exp(logits.numpy().astype(np.float64))
    return e / e.sum(axis=1, keepdims=True)


def divergence(p, q):
    return (p * np.log(p / q)).sum(axis=1)


def test_the_saddle_point_is_the_loss_of_the_adversary(model, images):
    x, y = images
    x_adv = SaddlePoint().craft(ATTACK, model, x, y, seed=SEED)
    np.testing.assert_array_equal(x_adv, ATTACK(model, x, y, seed=SEED))
    losses, logits = SaddlePoint().losses(model, x, x_adv, y)
    np.testing.assert_array_equal(losses, CrossEntropy()(model(x_adv), y))
    np.testing.assert_array_equal(logits, model(x_adv))


def test_trades_is_natural_loss_and_divergence(model, images):
    x, y = images
    x_adv = BALL.sample(x, SEED)
    losses, logits = Trades(3.0).losses(model, x, x_adv, y)
    p, q = probabilities(model(x)), probabilities(model(x_adv))
    expected = -np.log(p[np.arange(20), y.numpy()]) + 3 * divergence(p, q)
    np.testing.assert_allclose(losses, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(logits, model(x_adv))


def test_trades_pulls_the_natural_probabilities_too(model, images):
    """Its gradient goes through both sides of the divergence."""
    x, y = images
    x_adv, kernel = BALL.sample(x, SEED), model.layers[-1].kernel

    def loss():
        return tf.reduce_sum(Trades(3.0).losses(model, x, x_adv, y)[0])

    with tf.GradientTape() as tape:
        value = loss()
    slope = float(tape.gradient(value, kernel.value)[0, 0])
    before, step = kernel.numpy(), np.zeros(kernel.shape, np.float32)
    step[0, 0] = 1e-2
    kernel.assign(before + step)
    above = float(loss())
    kernel.assign(before - step)
    below = float(loss())
    kernel.assign(before)
    assert slope == pytest.approx((above - below) / 2e-2, rel=0.02)


def test_trades_adversary_raises_the_divergence_inside_the_ball(model, images):
    x, y = images
    x_adv = Trades(1.0).craft(ATTACK, model, x, y, seed=SEED)
    assert BALL.contains(x_adv, x).numpy().all()
    p = probabilities(model(x))
    reached = divergence(p, probabilities(model(x_adv)))
    random = divergence(p, probabilities(model(BALL.sample(x, SEED))))
    assert (reached >= random).all() and reached.mean() > 3 * random.mean()


def test_divergence_is_zero_from_itself_and_finite_far_away():
    logits = tf.constant([[0.0, 500.0, -500.0]])
    assert Divergence(logits)(logits, None).numpy() == [0.0]
    assert Divergence(logits)(-logits, None).numpy() == pytest.approx([1000.0])


def config(**changes):
    return TrainingConfig(
        **{
            'dataset': 'x',
            'seed': 0,
            'epsilon': 0.2,
            'steps': 2,
            'step_size': 0.1,
            'train_steps': 5,
            'learning_rate': 0.1,
            'optimizer': 'adam',
            'batch_size': 4,
            'objective': 'trades',
            'trades_beta': 2.0,
            **changes,
        }
    )


def test_the_objective_by_its_settings():
    assert training_objective(config()) == Trades(2.0)
    assert training_objective(config(objective='pgd', adversary='none')) == SaddlePoint()


@pytest.mark.parametrize(
    'flag,value',
    [('adversary', 'none'), ('adversary', 'fgsm'), ('random_start', False), ('loss', 'cw')],
)
def test_an_adversary_that_trades_cannot_have_is_refused(flag, value):
    with pytest.raises(UserError, match=f'--{flag}: expected'):
        training_objective(config(**{flag: value}))
