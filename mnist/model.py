"""The MNIST networks: [batch, 28, 28, 1] pixels in [0, 1] -> [batch, 10] logits.

    python -m mnist.model                         (lists the released networks)
    python -m mnist.model --network=A             (prints the layers and parameter counts)

In Python, `load` returns a network with its weights.
"""

from typing import Any

import keras
from keras import layers

from common.errors import UserError
from common.networks import registry
from common.networks.keras_defaults import published_defaults
from common.randomness import layer_seeds
from mnist import tf1
from mnist.dataset import IMAGE_SHAPE, NUM_CLASSES
from mnist.sources import SOURCES

INITS = {
    # Truncated normal with standard deviation 0.1, and biases 0.1.
    'challenge': (
        lambda seed: keras.initializers.TruncatedNormal(stddev=0.1, seed=seed),
        keras.initializers.Constant(0.1),
    ),
    # Keras' default. The challenge's initial weights are so large (the dense layer has 3,136
    # inputs) that after a short training the network is several points less robust.
    'glorot': (lambda seed: keras.initializers.GlorotUniform(seed=seed), 'zeros'),
}


@published_defaults()
def network_a(
    filters: tuple[int, int] = (32, 64),
    hidden: int = 1024,
    *,
    init: str = 'challenge',
    seed: int = 0,
) -> keras.Model:
    """The challenge's network: two 5x5 convolutions with max-pooling and one hidden dense layer.

    It has 3,274,634 parameters at the default widths (mnist_challenge/model.py). The paper's
    capacity study (section 4) scales `filters` and `hidden`.

    Args:
        filters: output channels of the two convolutions.
        hidden: units of the hidden dense layer.
        init: distribution of the initial weights, one of INITS.
        seed: seed of the initial weights.

    Raises:
        ValueError: unknown init.
    """
    if init not in INITS:
        raise ValueError(f'unknown init {init!r}; expected one of: {", ".join(INITS)}')
    kernel_init, bias = INITS[init]
    seeds = layer_seeds(seed, 4)

    def convolution(i: int) -> layers.Layer:
        return layers.Conv2D(
            filters[i],
            5,
            padding='same',
            activation='relu',
            name=f'conv{i + 1}',
            kernel_initializer=kernel_init(seeds[i]),
            bias_initializer=bias,
        )

    def pool(i: int) -> layers.Layer:
        return layers.MaxPooling2D(2, padding='same', name=f'pool{i + 1}')

    def dense(units: int, i: int, activation: str | None = None) -> layers.Layer:
        return layers.Dense(
            units,
            activation=activation,
            name=f'fc{i - 1}',
            kernel_initializer=kernel_init(seeds[i]),
            bias_initializer=bias,
        )

    return keras.Sequential(
        [
            keras.Input(IMAGE_SHAPE),
            convolution(0),
            pool(0),
            convolution(1),
            pool(1),
            layers.Flatten(name='flatten'),
            dense(hidden, 2, 'relu'),
            dense(NUM_CLASSES, 3),
        ],
        name='network_a',
    )


@published_defaults()
def network_b(*, seed: int = 0) -> keras.Model:
    """Architecture B of Tramer et al. (2017a), the source of Table 1's last black-box rows.

    Args:
        seed: seed of the initial weights and of dropout.
    """
    seeds = layer_seeds(seed, 6)
    return keras.Sequential(
        [
            keras.Input(IMAGE_SHAPE),
            layers.Dropout(0.2, seed=seeds[0], name='dropout_input'),
            _convolution_b(64, 8, seeds[1], strides=2, padding='same', name='conv1'),
            _convolution_b(128, 6, seeds[2], strides=2, padding='valid', name='conv2'),
            _convolution_b(128, 5, seeds[3], strides=1, padding='valid', name='conv3'),
            layers.Dropout(0.5, seed=seeds[4], name='dropout'),
            layers.Flatten(name='flatten'),
            layers.Dense(
                NUM_CLASSES,
                kernel_initializer=keras.initializers.GlorotUniform(seed=seeds[5]),
                name='logits',
            ),
        ],
        name='network_b',
    )


def build(config: dict[str, Any]) -> keras.Model:
    """Builds the network that a run's config.json describes, with initial weights.

    Raises:
        UserError: `filters` are not two positive whole numbers.
    """
    if config['network'] == 'B':
        return network_b(seed=config['seed'])
    try:
        filters = tuple(int(f) for f in config['filters'])
        if len(filters) != 2 or min(filters) < 1:
            raise ValueError
    except ValueError:
        found = ','.join(map(str, config['filters']))
        raise UserError(
            f'--filters: expected two positive whole numbers, found {found!r}. '
            'For example --filters=32,64.'
        ) from None
    return network_a(
        filters, config['hidden'], init=config.get('init', 'challenge'), seed=config['seed']
    )


def _convolution_b(filters: int, size: int, seed: int, **kwargs) -> layers.Layer:
    init = keras.initializers.GlorotUniform(seed=seed)
    return layers.Conv2D(filters, size, activation='relu', kernel_initializer=init, **kwargs)


def load(reference: str = 'A') -> keras.Model:
    """Loads a network with its weights.

    Args:
        reference: a released name ('A', 'A_prime', 'A_best', 'A_nat', 'B'), a model folder, a
            weights file, or the prefix of a checkpoint (written by this project or by the
            challenge).

    Raises:
        UserError: there is no such network, or its files are damaged.
    """
    return NETWORKS.load(reference)


NETWORKS = registry.Networks(
    data_set='mnist',
    build=build,
    import_tf1=tf1.import_checkpoint,
    origins=SOURCES,
    configs=[
        {'network': 'A', 'filters': [32, 64], 'hidden': 1024, 'init': 'challenge', 'seed': 0},
        {'network': 'B', 'seed': 0},
    ],
)

if __name__ == '__main__':
    from common.programs import cli
    from common.programs import network as program
    from mnist.data_set import MNIST

    cli.Door(program, MNIST)()
