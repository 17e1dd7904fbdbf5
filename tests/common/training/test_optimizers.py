"""Momentum as TensorFlow 1 has it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.training.optimizers import Momentum


def descend(optimizer, rates, gradients):
    """The variable after each step, from 0 on."""
    variable = keras.Variable(0.0)
    optimizer.build([variable])
    path = []
    for rate, gradient in zip(rates, gradients, strict=True):
        optimizer.learning_rate.assign(rate)
        optimizer.apply([tf.constant(gradient)], [variable])
        path.append(float(variable.numpy()))
    return path


def test_the_learning_rate_stays_outside_of_the_velocity():
    # A constant gradient, 20 steps at 0.1 and 20 at 0.01: -14.00, where Keras' SGD has -20.25.
    rates = [0.1] * 20 + [0.01] * 20
    assert descend(Momentum(0.1), rates, [1.0] * 40)[-1] == pytest.approx(-14.00, abs=0.005)
    assert descend(keras.optimizers.SGD(0.1, 0.9), rates, [1.0] * 40)[-1] == pytest.approx(
        -20.25, abs=0.005
    )


def test_agrees_with_tensorflow_1():
    rng = np.random.default_rng(0)
    rates, gradients = rng.uniform(0.01, 0.1, 12), rng.normal(size=12).astype(np.float32)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable('v', initializer=0.0, use_resource=False)
        rate = tf.compat.v1.placeholder(tf.float32, [])
        gradient = tf.compat.v1.placeholder(tf.float32, [])
        update = tf.compat.v1.train.MomentumOptimizer(rate, 0.7).apply_gradients(
            [(gradient, variable)]
        )
        session.run(tf.compat.v1.global_variables_initializer())
        expected = []
        for r, g in zip(rates, gradients, strict=True):
            session.run(update, {rate: r, gradient: g})
            expected.append(session.run(variable))
    np.testing.assert_allclose(
        descend(Momentum(0.1, 0.7), rates, gradients), expected, rtol=1e-5, atol=1e-7
    )


def test_config_makes_an_equal_optimizer():
    copy = Momentum.from_config(Momentum(0.05, momentum=0.7).get_config())
    assert (float(copy.learning_rate.numpy()), copy.momentum) == (pytest.approx(0.05), 0.7)
