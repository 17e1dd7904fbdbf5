"""The MNIST networks: sizes, initial weights, outputs."""

import itertools

import keras
import numpy as np
import pytest
from keras import layers

from common.errors import UserError
from mnist import model

SMALL = {'network': 'A', 'filters': [2, 4], 'hidden': 8, 'seed': 0}


@pytest.fixture(scope='module')
def network_a():
    return model.network_a(seed=4557077)


@pytest.fixture(scope='module')
def network_b():
    return model.network_b(seed=3)


@pytest.fixture(scope='module')
def images():
    return np.random.default_rng(0).uniform(size=(3, 28, 28, 1)).astype(np.float32)


def shapes(network):
    return {v.path.split('/', 1)[-1]: tuple(v.shape) for v in network.trainable_variables}


def test_network_a_has_the_challenges_variables(network_a):
    assert shapes(network_a) == {
        'conv1/kernel': (5, 5, 1, 32),
        'conv1/bias': (32,),
        'conv2/kernel': (5, 5, 32, 64),
        'conv2/bias': (64,),
        'fc1/kernel': (3136, 1024),
        'fc1/bias': (1024,),
        'fc2/kernel': (1024, 10),
        'fc2/bias': (10,),
    }
    assert network_a.count_params() == 3_274_634
    assert not network_a.non_trainable_variables
    assert {v.dtype for v in network_a.variables} == {'float32'}


def test_network_a_starts_from_the_challenges_distributions(network_a):
    for variable in network_a.trainable_variables:
        value = variable.numpy().ravel()
        if variable.name == 'bias':
            np.testing.assert_array_equal(value, np.float32(0.1))
            continue
        # A normal of sd 0.1 cut off at 0.2: its own sd is 0.087962566 and its median magnitude the
        # 0.25 + 0.75 * 0.022750 quantile, 0.06386 (the normal's would be 0.0674).
        n = len(value)
        assert np.abs(value).max() <= 0.2
        assert abs(value.mean()) < 5 * 0.088 / np.sqrt(n)
        assert abs(value.std() - 0.087962566) < 5 * 0.062 / np.sqrt(n)
        if n > 10_000:
            assert np.abs(value).max() > 0.199


def relu(x):
    return np.maximum(x, 0)


def convolution(x, kernel, bias):
    """SAME and stride 1, as one product of patches [n, h, w, i, 5, 5] and kernel [5, 5, i, o]."""
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    patches = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(1, 2))
    return np.einsum('nhwiab,abio->nhwo', patches, kernel, optimize=True) + bias


def pool(x):
    n, h, w, c = x.shape
    return x.reshape(n, h // 2, 2, w // 2, 2, c).max(axis=(2, 4))


def test_network_a_computes_what_numpy_does(network_a, images):
    w = [v.numpy().astype(np.float64) for v in network_a.trainable_variables]
    x = pool(relu(convolution(images.astype(np.float64), w[0], w[1])))
    x = pool(relu(convolution(x, w[2], w[3])))
    hidden = relu(x.reshape(len(x), -1) @ w[4] + w[5])
    expected = hidden @ w[6] + w[7]
    logits = network_a(images)
    assert logits.shape == (3, 10)
    np.testing.assert_allclose(logits, expected, atol=1e-5 * np.abs(expected).max())


def test_network_a_scales_for_the_capacity_study():
    network = model.network_a((2, 4), 8)
    assert shapes(network) == {
        'conv1/kernel': (5, 5, 1, 2),
        'conv1/bias': (2,),
        'conv2/kernel': (5, 5, 2, 4),
        'conv2/bias': (4,),
        'fc1/kernel': (196, 8),
        'fc1/bias': (8,),
        'fc2/kernel': (8, 10),
        'fc2/bias': (10,),
    }


def test_network_b_is_the_one_of_tramer(network_b):
    assert shapes(network_b) == {
        'conv1/kernel': (8, 8, 1, 64),
        'conv1/bias': (64,),
        'conv2/kernel': (6, 6, 64, 128),
        'conv2/bias': (128,),
        'conv3/kernel': (5, 5, 128, 128),
        'conv3/bias': (128,),
        'logits/kernel': (128, 10),
        'logits/bias': (10,),
    }
    kinds = [type(layer) for layer in network_b.layers]
    assert kinds == [
        layers.Dropout,
        layers.Conv2D,
        layers.Conv2D,
        layers.Conv2D,
        layers.Dropout,
        layers.Flatten,
        layers.Dense,
    ]
    convolutions = [layer for layer in network_b.layers if isinstance(layer, layers.Conv2D)]
    assert [c.strides for c in convolutions] == [(2, 2), (2, 2), (1, 1)]
    assert [c.padding for c in convolutions] == ['same', 'valid', 'valid']
    assert [c.output.shape[1:] for c in convolutions] == [(14, 14, 64), (5, 5, 128), (1, 1, 128)]
    assert all(c.activation is keras.activations.relu for c in convolutions)
    assert [network_b.layers[i].rate for i in (0, 4)] == [0.2, 0.5]
    assert network_b.layers[-1].activation is keras.activations.linear


def test_network_b_drops_out_in_training_only(network_b, images):
    np.testing.assert_array_equal(network_b(images), network_b(images))
    first, second = (network_b(images, training=True).numpy() for _ in range(2))
    assert np.all(first != second)


@pytest.mark.parametrize(
    'make',
    [lambda seed: model.network_a((4, 6), 8, seed=seed), lambda seed: model.network_b(seed=seed)],
    ids=['A', 'B'],
)
def test_the_seed_decides_the_initial_weights(make):
    first, same, other = (
        [v.numpy() for v in make(seed).trainable_variables] for seed in (0, 0, 10**9)
    )
    for a, b, c in zip(first, same, other, strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.ndim == 1 or np.all((a != c).mean() > 0.99)


@pytest.mark.parametrize(
    'make',
    [lambda seed: model.network_a((4, 6), 8, seed=seed), lambda seed: model.network_b(seed=seed)],
    ids=['A', 'B'],
)
def test_layers_and_neighbouring_seeds_share_no_weights(make):
    # Copies trained with seeds 0, 1, 2 count as independent in black-box tables.
    kernels = [
        v.numpy().ravel()
        for seed in range(3)
        for v in make(seed).trainable_variables
        if v.name == 'kernel'
    ]
    for a, b in itertools.combinations(kernels, 2):
        n = min(len(a), len(b))
        assert (a[:n] / a.std() == b[:n] / b.std()).mean() < 0.01
        assert abs(np.corrcoef(a[:n], b[:n])[0, 1]) < 6 / np.sqrt(n)


def test_a_config_names_its_network():
    assert shapes(model.build(SMALL)) == shapes(model.network_a((2, 4), 8))
    from_flags = model.build(SMALL | {'filters': ['2', '4'], 'recipe': 'fast'})
    for a, b in zip(from_flags.variables, model.network_a((2, 4), 8).variables, strict=True):
        np.testing.assert_array_equal(a, b)
    assert shapes(model.build({'network': 'B', 'seed': 0})) == shapes(model.network_b())


@pytest.mark.parametrize(
    'filters',
    [['32'], ['32', '64', '128'], ['32', 'many'], ['32', '0'], ['-1', '64'], [], ['3.5', '4']],
)
def test_filters_that_are_not_two_whole_numbers_are_refused(filters):
    with pytest.raises(UserError, match='--filters: expected two positive whole numbers') as caught:
        model.build(SMALL | {'filters': filters})
    assert ','.join(filters) in str(caught.value) and '\n' not in str(caught.value)
