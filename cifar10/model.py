"""The CIFAR-10 networks: [batch, 32, 32, 3] pixels in [0, 255] -> [batch, 10] logits.

    python -m cifar10.model                       (lists the released networks)
    python -m cifar10.model --width=wide          (prints the layers and parameter counts)

In Python, `load` returns a network with its weights.
"""

from typing import Any

import keras
from keras import layers

from cifar10 import tf1
from cifar10.dataset import IMAGE_SHAPE, NUM_CLASSES
from cifar10.layers import BatchNormalization, LeakyReLU, Shortcut, Standardize
from cifar10.sources import SOURCES
from common.networks import registry
from common.networks.keras_defaults import published_defaults
from common.randomness import layer_seeds

WIDTHS = {'wide': (16, 160, 320, 640), 'simple': (16, 16, 32, 64)}
"""Channels of the first convolution and of the three stages (paper, section 5)."""

_UNITS = 5  # residual units a stage
_SEEDS = 2 + 2 * 3 * _UNITS  # the first convolution, the logits and two convolutions a unit


@published_defaults()
def network_a(width: str = 'wide', *, seed: int = 0) -> keras.Model:
    """The challenge's residual network (cifar10_challenge/model.py).

    It has 45,901,914 trainable parameters (wide) or 464,154 (simple). It includes the per-image
    standardization; shortcuts have no parameters, and convolutions have no biases.

    Args:
        width: one of WIDTHS.
        seed: seed of the initial weights.

    Raises:
        ValueError: unknown width.
    """
    if width not in WIDTHS:
        raise ValueError(f'unknown width {width!r}; expected one of: {", ".join(WIDTHS)}')
    build = _Builder(seed)
    first, *stages = WIDTHS[width]
    image = keras.Input(IMAGE_SHAPE)
    x = Standardize(name='standardize')(image)
    x = build.convolution(x, first, 1, 'init_conv')
    for stage, filters in enumerate(stages, 1):
        for unit in range(_UNITS):
            stride = 2 if stage > 1 and unit == 0 else 1
            shared = stage == 1 and unit == 0
            x = build.unit(x, filters, stride, f'unit_{stage}_{unit}', shared)
    x = build.activation(x, 'unit_last')
    x = layers.GlobalAveragePooling2D(name='global_average')(x)
    return keras.Model(image, build.logits(x), name=f'network_a_{width}')


class _Builder:
    """Builds layers, each with its own seed."""

    def __init__(self, seed: int):
        self._seeds = iter(layer_seeds(seed, _SEEDS))

    def convolution(self, x, filters: int, stride: int, name: str):
        # Variance 2 / (kernel area * filters), not truncated.
        init = keras.initializers.VarianceScaling(
            2.0, 'fan_out', 'untruncated_normal', seed=next(self._seeds)
        )
        return layers.Conv2D(
            filters,
            3,
            strides=stride,
            padding='same',
            use_bias=False,
            kernel_initializer=init,
            name=name,
        )(x)

    def activation(self, x, name: str):
        x = BatchNormalization(momentum=0.9, epsilon=1e-3, name=f'{name}_bn')(x)
        return LeakyReLU(name=f'{name}_relu')(x)

    def unit(self, x, filters: int, stride: int, name: str, shared: bool):
        """A residual unit. With `shared`, its shortcut starts after the first activation."""
        activated = self.activation(x, f'{name}_1')
        shortcut = Shortcut(filters, stride, name=f'{name}_shortcut')(activated if shared else x)
        x = self.convolution(activated, filters, stride, f'{name}_conv1')
        x = self.activation(x, f'{name}_2')
        x = self.convolution(x, filters, 1, f'{name}_conv2')
        return layers.Add(name=f'{name}_add')([x, shortcut])

    def logits(self, x):
        init = keras.initializers.VarianceScaling(1.0, 'fan_in', 'uniform', seed=next(self._seeds))
        return layers.Dense(NUM_CLASSES, kernel_initializer=init, name='logits')(x)


@published_defaults()
def network_b(*, seed: int = 0) -> keras.Model:
    """A plain convolutional network: three pairs of convolutions, max-pooling, no shortcuts.

    The paper does not describe the source of its black-box attacks on CIFAR-10. This one has a
    different architecture from network A: ReLU, max-pooling, dropout and a hidden dense layer, with
    1,434,714 trainable parameters.

    Args:
        seed: seed of the initial weights and of dropout.
    """
    seeds = iter(layer_seeds(seed, 12))
    stack = [keras.Input(IMAGE_SHAPE), Standardize(name='standardize')]
    for stage, filters in enumerate((48, 96, 192), 1):
        for i in (1, 2):
            name = f'conv{stage}_{i}'
            stack += [
                layers.Conv2D(
                    filters,
                    3,
                    padding='same',
                    use_bias=False,
                    name=name,
                    kernel_initializer=keras.initializers.HeNormal(seed=next(seeds)),
                ),
                BatchNormalization(momentum=0.9, epsilon=1e-3, name=f'{name}_bn'),
                layers.ReLU(name=f'{name}_relu'),
            ]
        stack += [
            layers.MaxPooling2D(2, name=f'pool{stage}'),
            layers.Dropout(0.2, seed=next(seeds), name=f'dropout{stage}'),
        ]
    dense = keras.initializers.GlorotUniform
    stack += [
        layers.Flatten(name='flatten'),
        layers.Dense(256, activation='relu', kernel_initializer=dense(next(seeds)), name='hidden'),
        layers.Dropout(0.5, seed=next(seeds), name='dropout'),
        layers.Dense(NUM_CLASSES, kernel_initializer=dense(next(seeds)), name='logits'),
    ]
    return keras.Sequential(stack, name='network_b')


def build(config: dict[str, Any]) -> keras.Model:
    """Builds the network that a run's config.json describes, with initial weights."""
    if config['network'] == 'B':
        return network_b(seed=config['seed'])
    return network_a(config['width'], seed=config['seed'])


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
    data_set='cifar10',
    build=build,
    import_tf1=tf1.import_checkpoint,
    origins=SOURCES,
    configs=[
        {'network': 'A', 'width': 'wide', 'seed': 0},
        {'network': 'A', 'width': 'simple', 'seed': 0},
        {'network': 'B', 'seed': 0},
    ],
)

if __name__ == '__main__':
    from cifar10.data_set import CIFAR10
    from common.programs import cli
    from common.programs import network as program

    cli.Door(program, CIFAR10)()
