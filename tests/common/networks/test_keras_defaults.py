"""Released networks are the same whatever Keras' settings on a machine."""

import keras
import numpy as np
import pytest

import cifar10.model
import mnist.model
from common.networks.keras_defaults import published_defaults

IMAGES = {mnist.model: (28, 28, 1), cifar10.model: (32, 32, 3)}


@pytest.fixture
def other_settings():
    keras.config.set_dtype_policy('mixed_float16')
    keras.config.set_image_data_format('channels_first')
    yield
    keras.config.set_dtype_policy('float32')
    keras.config.set_image_data_format('channels_last')


@pytest.mark.parametrize('module', IMAGES, ids=lambda module: module.__name__)
@pytest.mark.parametrize('network', ['A', 'B'])
def test_networks_are_float32_and_channels_last(module, network, request):
    config = {'network': network, 'seed': 0, 'filters': [2, 4], 'hidden': 8, 'width': 'simple'}
    x = np.random.default_rng(0).uniform(0, 1, (2, *IMAGES[module])).astype(np.float32)
    expected = module.NETWORKS.build(config)(x, training=False)
    request.getfixturevalue('other_settings')
    found = module.NETWORKS.build(config)
    assert {layer.compute_dtype for layer in found._flatten_layers()} == {'float32'}
    logits = found(x, training=False)
    assert logits.dtype == 'float32'
    np.testing.assert_array_equal(logits, expected)
    assert keras.config.dtype_policy().name == 'mixed_float16'
    assert keras.config.image_data_format() == 'channels_first'


def test_settings_come_back_after_an_error(other_settings):
    with pytest.raises(KeyError), published_defaults():
        assert keras.config.dtype_policy().name == 'float32'
        raise KeyError
    assert keras.config.dtype_policy().name == 'mixed_float16'
