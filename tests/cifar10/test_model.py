"""The CIFAR-10 networks: initial weights, seeds, and how they are loaded."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from cifar10 import model, tf1
from common.errors import UserError
from common.networks.logits import ModelLogits


@pytest.fixture(scope='module')
def simple():
    return model.network_a('simple', seed=3)


def kernels(network):
    return [v for v in network.trainable_variables if v.name == 'kernel']


def test_starts_from_the_challenges_distributions(simple):
    *convolutions, logits = kernels(simple)
    for kernel in convolutions:
        value, filters = kernel.numpy(), kernel.shape[-1]
        deviation = np.sqrt(2 / (9 * filters))
        n = value.size
        assert abs(value.mean()) < 5 * deviation / np.sqrt(n)
        assert abs(value.std() / deviation - 1) < 5 / np.sqrt(2 * n)
        if n > 2_000:  # not truncated: 4.6% of the values are beyond two deviations
            assert 0.03 < (np.abs(value) > 2 * deviation).mean() < 0.065
    bound = np.sqrt(3 / 64)
    value = logits.numpy()
    assert np.abs(value).max() <= bound < 1.03 * np.abs(value).max()
    assert abs(value.std() / (bound / np.sqrt(3)) - 1) < 0.1
    assert not simple.get_layer('logits').bias.numpy().any()


def test_batch_norm_starts_as_the_identity_with_the_challenges_constants(simple):
    norms = [layer for layer in simple.layers if 'bn' in layer.name]
    assert len(norms) == 31
    for layer in norms:
        assert (layer.momentum, layer.epsilon) == (0.9, 1e-3)
        for variable, start in zip(layer.weights, (1, 0, 0, 1), strict=True):
            np.testing.assert_array_equal(variable, np.float32(start))


@pytest.mark.parametrize(
    'make',
    [lambda seed: model.network_a('simple', seed=seed), lambda seed: model.network_b(seed=seed)],
    ids=['A', 'B'],
)
def test_the_seed_decides_the_initial_weights(make):
    first, same, other = ([v.numpy() for v in kernels(make(seed))] for seed in (0, 0, 1))
    for a, b, c in zip(first, same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a != c).mean() > 0.99
        assert abs(np.corrcoef(a.ravel(), c.ravel())[0, 1]) < 6 / np.sqrt(a.size)


def test_unknown_width_is_refused():
    with pytest.raises(ValueError, match="unknown width 'broad'; expected one of: wide, simple"):
        model.network_a('broad')


@pytest.mark.parametrize('make', [lambda: model.network_a('simple'), model.network_b])
def test_bfloat16_logits_are_near_float32s(make):
    network = make()
    x = tf.constant(np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3)).astype(np.float32))
    for training in (False, True):
        exact, rounded = (
            ModelLogits(network, dtype, training=training, update=False)(x).numpy()
            for dtype in ('float32', 'bfloat16')
        )
        if training and isinstance(network, keras.Sequential):
            continue  # dropout draws again
        assert 0 < np.abs(exact - rounded).max() < 0.1 * np.abs(exact).max()


def test_dropout_and_batch_statistics_are_off_in_evaluation():
    network = model.network_b()
    x = tf.constant(np.random.default_rng(0).uniform(0, 255, (4, 32, 32, 3)), tf.float32)
    np.testing.assert_array_equal(network(x), network(x))
    np.testing.assert_allclose(network(x)[:1], network(x[:1]), atol=1e-5)


@pytest.mark.parametrize('width', ['simple', pytest.param('wide', marks=pytest.mark.slow)])
def test_weights_and_tf1_checkpoints_of_either_width_load_without_a_config(width, tmp_path):
    network = model.network_a(width, seed=7)
    network.save_weights(tmp_path / 'some.weights.h5')
    tf1.export_checkpoint(network, tmp_path / 'checkpoint-5')
    for reference in (tmp_path / 'some.weights.h5', tmp_path / 'checkpoint-5'):
        found = model.load(str(reference))
        assert found.name == f'network_a_{width}'
        for ours, theirs in zip(found.variables, network.variables, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_weights_of_another_network_are_refused(tmp_path):
    other = keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(10)]
    )
    other.save_weights(tmp_path / 'some.weights.h5')
    with pytest.raises(UserError, match='belongs to another network'):
        model.load(str(tmp_path / 'some.weights.h5'))
