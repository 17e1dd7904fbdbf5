"""The rearranged network is the same function, with the same gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from common.attacks import PGD, CompiledAttack
from common.networks import logits
from common.networks.fast_gradients import rearranged
from common.networks.logits import ModelLogits
from common.threat_model import LinfBall


def chain(*parts, shape=(12, 8, 1)):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(shape), *parts])
    rng = np.random.default_rng(0)
    for weight in model.weights:  # biases too
        weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


CHAINS = {
    'blocks of 3x3': lambda: chain(
        layers.Conv2D(5, 3, padding='same', activation='relu'),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(4),
    ),
    'blocks of 5x5': lambda: chain(
        layers.Conv2D(5, 5, padding='same', activation='relu'),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(4),
    ),
    'blocks of 7x7, 1x1, colours': lambda: chain(
        layers.Conv2D(3, 7, padding='same'),
        layers.MaxPooling2D(2, padding='same'),
        layers.Conv2D(4, 1, padding='same', activation='relu'),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(4),
        shape=(12, 8, 3),
    ),
    'many channels, odd sizes': lambda: chain(
        layers.Conv2D(6, 3, padding='same', activation='relu'),
        layers.MaxPooling2D(2, padding='same'),
        layers.Flatten(),
        layers.Dense(4),
        shape=(7, 5, 5),
    ),
    'odd sizes of few channels': lambda: chain(
        layers.Conv2D(6, 3, padding='same', activation='relu'),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(4),
        shape=(7, 5, 1),
    ),
    'other pools, strides, padding': lambda: chain(
        layers.Conv2D(6, 4, padding='valid', strides=2, activation='relu'),
        layers.MaxPooling2D(3, strides=1),
        layers.MaxPooling2D((1, 2)),
        layers.Flatten(),
        layers.Dense(6, 'relu'),
        layers.Dense(4),
        shape=(16, 16, 2),
    ),
    'an activation that pooling may not pass': lambda: chain(
        layers.Conv2D(5, 3, padding='same', activation=tf.abs),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(4),
    ),
    'dropout': lambda: chain(
        layers.Dropout(0.5),
        layers.Flatten(),
        layers.Dense(6, 'tanh'),
        layers.Dropout(0.5),
        layers.Dense(4),
    ),
}


def images(model, n=9, seed=1):
    return tf.constant(
        np.random.default_rng(seed).uniform(size=(n, *model.input_shape[1:])), tf.float32
    )


def gradient(f, x):
    weights = tf.constant(np.random.default_rng(2).normal(size=(len(x), 4)), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        z = f(x)
        value = tf.reduce_sum(weights * z)
    return z, tape.gradient(value, x)


@pytest.mark.parametrize('name', CHAINS)
def test_logits_and_gradients_agree_with_the_plain_network(name):
    model = CHAINS[name]()
    x = images(model)
    fast = tf.function(lambda x: gradient(rearranged(model, 'float32'), x))
    for ours, expected in zip(fast(x), gradient(model, x), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('name', CHAINS)
def test_bfloat16_is_near(name):
    model = CHAINS[name]()
    x = images(model)
    z = rearranged(model, 'bfloat16')(x)
    assert z.dtype == tf.float32
    np.testing.assert_allclose(z, model(x), atol=0.03 * np.abs(model(x)).max())
    assert np.abs(z - model(x)).max() > 0


def test_ties_get_a_gradient_of_the_same_size():
    """In a flat image all four pixels of a window are the largest; one gets the gradient."""
    model = CHAINS['blocks of 3x3']()
    flat = tf.fill([1, 12, 8, 1], 0.5)
    ours = gradient(rearranged(model, 'float32'), flat)[1]
    plain = gradient(model, flat)[1]
    assert np.sum(ours) == pytest.approx(np.sum(plain), rel=1e-3)


@pytest.mark.parametrize(
    'model',
    [
        lambda: chain(layers.Flatten(), layers.BatchNormalization(), layers.Dense(4)),
        lambda: chain(layers.Conv2D(4, 3, dilation_rate=2), layers.Flatten(), layers.Dense(4)),
        lambda: chain(layers.Conv2D(4, 3, use_bias=False), layers.Flatten(), layers.Dense(4)),
        lambda: chain(layers.Flatten(), layers.Dense(4, use_bias=False)),
        lambda: chain(layers.Flatten(), layers.Dense(4, dtype='mixed_bfloat16')),
        lambda: chain(layers.AveragePooling2D(2), layers.Flatten(), layers.Dense(4)),
    ],
    ids=['batch normalization', 'dilated', 'no bias', 'dense without bias', 'mixed', 'averages'],
)
def test_other_networks_are_left_alone(model):
    model = model()
    assert rearranged(model, 'float32') is None
    x = images(model)
    np.testing.assert_array_equal(ModelLogits(model, None).snapshot()(x), model(x))


def test_a_network_without_a_shape_yet_is_left_alone():
    assert rearranged(keras.Sequential([layers.Flatten(), layers.Dense(4)]), 'float32') is None


def test_networks_that_are_no_chain_are_left_alone():
    x = keras.Input((4, 4, 1))
    flat = layers.Flatten()(x)
    both = layers.Add()([layers.Dense(4)(flat), layers.Dense(4)(flat)])
    assert rearranged(keras.Model(x, both), 'float32') is None


def test_a_layer_of_a_users_own_kind_is_left_alone():
    class Doubled(layers.Dense):
        def call(self, x, training=None):
            return 2 * super().call(x)

    assert rearranged(chain(layers.Flatten(), Doubled(4)), 'float32') is None


def test_a_users_own_chain_is_left_alone():
    class Scaled(keras.Sequential):
        def call(self, x, training=None, mask=None):
            return super().call(2 * x - 1)

    model = Scaled([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(4)])
    assert rearranged(model, 'float32') is None
    np.testing.assert_array_equal(
        ModelLogits(model).snapshot()(images(model)), model(images(model))
    )


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_activations_that_are_layers_are_left_alone(dtype):
    model = chain(
        layers.Conv2D(3, 3, activation=layers.LeakyReLU()),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        layers.Dense(4),
    )
    assert rearranged(model, dtype) is None
    assert ModelLogits(model, dtype).snapshot()(images(model)).dtype == tf.float32


def test_a_layer_that_two_networks_share():
    shared = layers.Conv2D(3, 3, padding='same', activation='relu')
    chain(shared, layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(4), shape=(7, 5, 1))
    model = chain(shared, layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(4))
    x = images(model)
    np.testing.assert_allclose(rearranged(model, 'float32')(x), model(x), rtol=1e-4, atol=1e-5)
    again = chain(
        shared,
        layers.MaxPooling2D(2, padding='same'),
        layers.Flatten(),
        layers.Dense(4),
        shape=(7, 5, 1),
    )
    x = images(again)
    np.testing.assert_allclose(rearranged(again, 'float32')(x), again(x), rtol=1e-4, atol=1e-5)


def test_images_of_any_size():
    model = keras.Sequential(
        [
            keras.Input((None, None, 1)),
            layers.Conv2D(3, 3, padding='same', activation='relu'),
            layers.MaxPooling2D(2),
            layers.Conv2D(4, 1),
        ]
    )
    fast = rearranged(model, 'float32')
    for shape in ((2, 8, 6, 1), (2, 7, 5, 1)):
        x = tf.constant(np.random.default_rng(0).uniform(size=shape), tf.float32)
        np.testing.assert_allclose(fast(x), model(x), rtol=1e-4, atol=1e-5)
    compiled = tf.function(fast, input_signature=[tf.TensorSpec([None, None, None, 1])])
    np.testing.assert_allclose(compiled(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('dtype', ['float32', 'bfloat16'])
def test_xla_compiles_the_rearranged_network(dtype):
    model = CHAINS['blocks of 5x5']()
    x, logits_fn = images(model), ModelLogits(model, dtype, jit_compile=True)
    compiled = tf.function(lambda x: gradient(logits_fn.snapshot(), x))
    operations = compiled.get_concrete_function(x).graph.as_graph_def().library
    assert any(node.op == 'SpaceToDepth' for f in operations.function for node in f.node_def)
    # In bfloat16 another pixel of a window may be the largest, so single gradients differ.
    tolerance = {'float32': 1e-5, 'bfloat16': 0.05}[dtype]
    for ours, expected in zip(compiled(x), gradient(model, x), strict=True):
        assert np.mean(np.abs(ours - expected)) < tolerance * np.mean(np.abs(expected))


@pytest.mark.parametrize('jit_compile', [False, True])
def test_a_gpu_gets_the_plain_network_but_from_xla(jit_compile, monkeypatch):
    monkeypatch.setattr(tf.config, 'list_physical_devices', lambda kind: ['GPU:0'])
    model = CHAINS['blocks of 5x5']()
    logits_fn = ModelLogits(model, jit_compile=jit_compile)
    asked = []
    monkeypatch.setattr(logits, 'rearranged', lambda *args: asked.append(args))
    np.testing.assert_allclose(
        logits_fn.snapshot()(images(model)), model(images(model)), rtol=1e-4, atol=1e-5
    )
    assert bool(asked) is jit_compile


def test_a_compiled_attack_follows_the_weights_as_they_change():
    model = CHAINS['blocks of 5x5']()
    attack = CompiledAttack(PGD(LinfBall(0.1), 3, 0.05), ModelLogits(model))
    x, y = images(model), tf.zeros(9, tf.int32)
    before = attack(x, y, seed=(0, 0)).numpy()
    for weight in model.weights:
        weight.assign(-weight)
    after = attack(x, y, seed=(0, 0)).numpy()
    fresh = CompiledAttack(PGD(LinfBall(0.1), 3, 0.05), ModelLogits(model))(x, y, seed=(0, 0))
    assert np.abs(after - before).max() > 0.05
    np.testing.assert_array_equal(after, fresh)


def test_what_is_judged_is_judged_by_the_plain_network():
    model = CHAINS['blocks of 5x5']()
    x = images(model)
    np.testing.assert_array_equal(ModelLogits(model)(x), model(x))
