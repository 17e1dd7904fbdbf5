"""Every program of the project on your own data set, here Fashion-MNIST from TensorFlow Datasets.

    python examples/own_data_set.py train --model_dir=models/fashion
    python examples/own_data_set.py eval_attack --target=models/fashion
    python examples/own_data_set.py eval_attack --target=models/fashion --method=worst_case

Each program lists its flags: python examples/own_data_set.py train --help
"""

import dataclasses
import sys

import keras
import numpy as np
import tensorflow_datasets as tfds

from common.data.batches import Examples
from common.networks.registry import Networks
from common.programs import cli, eval_attack, pgd_attack, run_attack, train
from common.programs import eval as evaluate
from common.programs.data_set import DataSet
from common.training.config import TrainingConfig
from common.training.setting import Subject, setting

SHAPE = (28, 28, 1)
PROGRAMS = {
    'train': train,
    'eval': evaluate,
    'eval_attack': eval_attack,
    'pgd_attack': pgd_attack,
    'run_attack': run_attack,
}


def load(split: str, *, dataset: str, data_dir: str | None = None) -> Examples:
    """All images of 'train' or 'test', pixels in [0, 1]."""
    stored = tfds.load(dataset, split=split, data_dir=data_dir, batch_size=-1)
    x = np.float32(stored['image']) / 255
    return Examples(x, np.int32(stored['label']), f'Fashion-MNIST {split}')


def build(config: dict) -> keras.Model:
    """Builds the network that config.json describes; it returns logits, without softmax."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(config['filters'], 5, padding='same', activation='relu'),
            layers.MaxPooling2D(),
            layers.Conv2D(2 * config['filters'], 5, padding='same', activation='relu'),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation='relu'),
            layers.Dense(10),
        ]
    )


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    """Settings of a training run, each of which is a flag; these two are the network's."""

    network: str = setting('Kind of network.', 'cnn', choices=('cnn',), subject=Subject.NETWORK)
    filters: int = setting(
        'Channels of the first convolution.', 16, least=1, subject=Subject.NETWORK
    )


TRAINING = Config(
    dataset='fashion_mnist',
    epsilon=0.1,
    steps=10,
    step_size=0.025,
    optimizer='adam',
    learning_rate=1e-3,
    schedule='cosine',
    train_steps=5000,
    batch_size=128,
    validation_size=5000,
    validate_every=500,
    seed=0,
)

FASHION = DataSet(
    key='fashion_mnist',
    title='Fashion-MNIST',
    names=('fashion_mnist',),
    load=load,
    lower=0.0,
    upper=1.0,
    classes=(
        'top',
        'trouser',
        'pullover',
        'dress',
        'coat',
        'sandal',
        'shirt',
        'sneaker',
        'bag',
        'boot',
    ),
    epsilon=0.1,
    steps=40,
    step_size=0.01,
    batch_size=200,
    submission_shape=SHAPE,
    networks=Networks('fashion_mnist', build, [{'network': 'cnn', 'filters': 16}]),
    training=TRAINING,
    recipes={'default': TRAINING},
)

if __name__ == '__main__':
    if len(sys.argv) < 2 or sys.argv[1] not in PROGRAMS:
        sys.exit(f'expected one of: {", ".join(PROGRAMS)}')
    cli.Door(PROGRAMS[sys.argv.pop(1)], FASHION)()
