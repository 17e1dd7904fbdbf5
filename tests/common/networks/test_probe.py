"""A first look at a network tells what would otherwise look like robustness."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.errors import BadInput
from common.networks.logits import as_logits
from common.networks.probe import probe

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


def test_gradients_that_vanish_in_float16_are_told_unless_the_model_can_be_rebuilt():
    def chain(scale):  # its gradients are too small for float16
        layers = [keras.Input((6,)), keras.layers.Rescaling(scale), keras.layers.Dense(3)]
        return keras.Sequential(layers)

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = chain(1e-9)

        def call(self, x):
            return 1e4 * self.inner(x)

    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy('mixed_float16')
    try:
        subclassed, sequential = Subclassed(), chain(1e-9)
    finally:
        keras.config.set_dtype_policy(policy)
    subclassed(X)
    with pytest.warns(UserWarning, match='or be computed in float16, where small gradients vanish'):
        probe(as_logits(subclassed), X)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        probe(as_logits(sequential), X)
