"""TensorFlow 1's optimizers, and Keras' Adam, as pure functions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.training.optimizers import Adam, Momentum, first_slots, moved

RNG = np.random.default_rng(0)
RATES, GRADIENTS = RNG.uniform(0.01, 0.1, 12), RNG.normal(size=12).astype(np.float32)


def descend(optimizer, rates, gradients):
    """The one weight after each step, from 0 on."""
    weights, path = [tf.constant(0.0)], []
    slots = first_slots(optimizer, weights)
    for step, (rate, gradient) in enumerate(zip(rates, gradients, strict=True)):
        slope, count = [tf.constant(gradient)], tf.constant(step, tf.int64)
        weights, slots = moved(optimizer, weights, slope, slots, count, tf.constant(rate))
        path.append(float(weights[0]))
    return path


def keras_descends(optimizer, rates, gradients):
    variable, path = keras.Variable(0.0), []
    optimizer.build([variable])
    for rate, gradient in zip(rates, gradients, strict=True):
        optimizer.learning_rate.assign(rate)
        optimizer.apply([tf.constant(gradient)], [variable])
        path.append(float(variable.numpy()))
    return path


def test_the_learning_rate_stays_outside_of_the_velocity():
    # A constant gradient, 20 steps at 0.1 and 20 at 0.01: -14.00, where Keras' SGD has -20.25.
    rates = np.float32([0.1] * 20 + [0.01] * 20)
    assert descend(Momentum(), rates, [1.0] * 40)[-1] == pytest.approx(-14.00, abs=0.005)
    assert keras_descends(keras.optimizers.SGD(0.1, 0.9), rates, [1.0] * 40)[-1] == pytest.approx(
        -20.25, abs=0.005
    )


TF1 = {
    'momentum': (lambda rate: tf.compat.v1.train.MomentumOptimizer(rate, 0.7), Momentum(0.7)),
    'adam': (
        lambda rate: tf.compat.v1.train.AdamOptimizer(rate, 0.8, 0.9, 1e-3),
        Adam(0.8, 0.9, 1e-3),
    ),
}


@pytest.mark.parametrize('name', TF1)
def test_agrees_with_tensorflow_1(name):
    make, ours = TF1[name]
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable('v', initializer=0.0, use_resource=False)
        rate = tf.compat.v1.placeholder(tf.float32, [])
        gradient = tf.compat.v1.placeholder(tf.float32, [])
        update = make(rate).apply_gradients([(gradient, variable)])
        session.run(tf.compat.v1.global_variables_initializer())
        expected = []
        for r, g in zip(RATES, GRADIENTS, strict=True):
            session.run(update, {rate: r, gradient: g})
            expected.append(session.run(variable))
    found = descend(ours, np.float32(RATES), GRADIENTS)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_adam_is_keras_to_the_bit():
    """Otherwise a run begun with Keras' Adam would continue differently."""
    np.testing.assert_array_equal(
        descend(Adam(), np.float32(RATES), GRADIENTS),
        keras_descends(keras.optimizers.Adam(epsilon=1e-8), np.float32(RATES), GRADIENTS),
    )


@pytest.mark.parametrize('optimizer, each', [(Adam(), 2), (Momentum(), 1)])
def test_slots_have_the_shapes_of_their_weights(optimizer, each):
    weights = [tf.ones([2, 3]), tf.ones([4])]
    slots = first_slots(optimizer, weights)
    shapes = [w.shape for w in weights for _ in range(each)]
    assert [slot.shape for slot in slots] == shapes
    count = tf.constant(0, tf.int64)
    after, kept = moved(optimizer, weights, weights, slots, count, tf.constant(0.1))
    assert [w.shape for w in after] == [w.shape for w in weights]
    assert [slot.shape for slot in kept] == shapes
