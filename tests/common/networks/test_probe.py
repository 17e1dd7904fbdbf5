"""A first look at a network tells what would otherwise look like robustness."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import BadInput, UserError
from common.networks.logits import ModelLogits, as_logits
from common.networks.probe import probe, probe_once

X = np.random.default_rng(0).uniform(0, 1, (40, 6)).astype(np.float32)
W = tf.constant(np.random.default_rng(1).standard_normal((6, 3)), tf.float32)


def test_a_usual_network_passes_in_silence():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert probe(as_logits(lambda x: x @ W), X) == 3
        assert probe(as_logits(lambda x: (x @ W)[:, :1]), X) == 2  # one logit, two classes


@pytest.mark.parametrize(
    ('network', 'message'),
    [
        (lambda x: x[:, None] @ W, r'\[batch, classes\] = \[32, classes\]; found \[32, 1, 3\]'),
        (lambda x: (x @ W)[:5], r'found \[5, 3\]'),
        (lambda x: tf.reduce_sum(x), 'found'),
        (lambda x: x @ tf.zeros([7, 2]), r'shape \[n, 6\] to logits; calling it failed'),
        (lambda x: np.argmax(x.nothing), 'calling it failed'),
        (lambda x: [x @ W, x], 'several. Say which one: output= one of 0 to 1; found None'),
        (lambda x: {'a': x @ W, 'b': x}, "output= one of 'a', 'b'; found None"),
        (lambda x: tf.sigmoid(x @ W)[:, 0], 'look like probabilities. Remove the last sigmoid'),
    ],
)
def test_what_is_no_network_is_refused(network, message):
    with pytest.raises(BadInput, match=message):
        probe(as_logits(network), X)


@pytest.mark.parametrize('network', [None, 'A', 3, np.zeros((2, 2))])
def test_what_cannot_be_called_is_refused(network):
    with pytest.raises(BadInput, match='expected a Keras model, a SavedModel or a function'):
        as_logits(network)


def test_probabilities_random_outputs_and_missing_gradients_are_told():
    state = tf.random.Generator.from_seed(0)
    for network, message in (
        (lambda x: tf.nn.softmax(x @ W), 'returns probabilities'),
        (lambda x: x @ W + state.normal([3]), 'network is random: .* logits up to'),
        (lambda x: tf.round(8 * x) @ W, 'no gradient at 100% of the first 32 images'),
        (lambda x: tf.constant(x.numpy() @ W.numpy()), 'no gradient'),
    ):
        with pytest.warns(UserWarning, match=message):
            probe(as_logits(network), X)
    with warnings.catch_warnings():  # an attack without gradients needs none
        warnings.simplefilter('error')
        probe(as_logits(lambda x: tf.round(8 * x) @ W), X, gradients=False)


def sure():
    """A network that is so sure that gradients of its cross-entropy are too small for float16."""
    dense = keras.layers.Dense(3, use_bias=False)
    model = keras.Sequential([keras.Input((6,)), dense])
    dense.kernel.assign(tf.one_hot([0, 1, 2, 0, 1, 2], 3) * [60.0, 20.0, -20.0])
    return model


class Sure(keras.Model):
    def __init__(self):
        super().__init__()
        self.inner = sure()

    def call(self, x):
        return self.inner(x + 1)


def test_gradients_that_vanish_in_float16_are_told_unless_the_model_can_be_rebuilt():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy('mixed_float16')
    try:
        subclassed, sequential = Sure(), sure()
    finally:
        keras.config.set_dtype_policy(policy)
    subclassed(X)
    with pytest.warns(UserWarning, match="cross-entropy's gradient is 0 at .* computes in float16"):
        probe(as_logits(subclassed), X)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        probe(as_logits(sequential), X)


def test_a_model_that_cannot_be_rebuilt_whole_keeps_its_own_layers():
    normalize = keras.layers.Normalization(axis=None)
    normalize.adapt(1000 * X)  # it keeps mean and variance neither as config nor as weights
    layers = [keras.Input((6,)), normalize, keras.layers.Dense(3, dtype='mixed_float16')]
    model = keras.Sequential(layers)
    network = as_logits(model)
    probe(network, 1000 * X)
    np.testing.assert_allclose(network(1000 * X), model(1000 * X), atol=0.01)
    with pytest.raises(UserError, match='something else when it is rebuilt in bfloat16'):
        probe(ModelLogits(model, 'bfloat16'), 1000 * X)


def test_networks_that_depend_on_the_batch_are_told():
    with pytest.warns(UserWarning, match='depend on the others in its batch'):
        probe(as_logits(lambda x: (x - tf.reduce_mean(x, axis=0)) @ W), X)


def test_networks_that_cannot_be_compiled_are_refused_where_they_have_to_be():
    for network, message in (
        (lambda x: tf.constant(x.numpy() @ W.numpy()), 'not of NumPy arrays'),
        (lambda x: tf.numpy_function(lambda x: x @ W.numpy(), [x], tf.float32), 'ensure_shape'),
    ):
        probe(as_logits(network), X, gradients=False)
        with pytest.raises(BadInput, match=message):
            probe(as_logits(network), X, gradients=False, compiled=True)


def test_a_parameter_named_training_is_set():
    def network(x, training=True):
        return x @ W + 5.0 if training else x @ W

    np.testing.assert_allclose(as_logits(network)(X), X @ W, atol=1e-5)


def test_probabilities_of_0_and_1_are_probabilities_too():
    with pytest.raises(BadInput, match='Remove the last sigmoid'):
        probe(as_logits(lambda x: tf.sigmoid(100 * (x @ W))[:, 0]), X)


def test_a_network_is_looked_at_once_for_all_attacks():
    calls = []

    def network(x):
        calls.append(1)
        return x @ W

    logits = as_logits(network)
    assert probe_once(logits, X, gradients=True) == 3
    before = len(calls)
    assert probe_once(logits, X, gradients=False) == probe_once(logits, X, gradients=True) == 3
    assert len(calls) == before
