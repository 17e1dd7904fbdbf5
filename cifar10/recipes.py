"""Named settings of training runs; each flag on the command line overrides one of them."""

import dataclasses
import functools

from cifar10.dataset import EPSILON
from cifar10.model import WIDTHS
from common.training.config import TrainingConfig
from common.training.setting import Subject, setting

_of_network = functools.partial(setting, subject=Subject.NETWORK)


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    """Settings of a training run of a CIFAR-10 network."""

    network: str = _of_network(
        "The challenge's residual network A, or the plain network B.", 'A', choices=('A', 'B')
    )
    width: str = _of_network('Width of network A.', 'wide', choices=WIDTHS.keys())


CHALLENGE = Config(
    dataset='cifar10',
    epsilon=EPSILON,
    steps=7,
    step_size=2.0,
    crafting='train',
    optimizer='momentum',
    weight_decay=2e-4,
    learning_rate=0.1,
    schedule='piecewise',
    boundaries=(40_000, 60_000),
    train_steps=80_000,
    batch_size=128,
    drop_remainder=True,
    augment=True,
    checkpoint_every=1000,
    seed=451760341,
)
"""cifar10_challenge/config.json, with the paper's 7 PGD steps."""

FAST = dataclasses.replace(
    CHALLENGE,
    width='simple',
    steps=2,
    step_size=5.0,
    train_steps=7800,
    learning_rate=0.15,
    schedule='cosine',
    boundaries=(),
    learning_rate_warmup=800,
    epsilon_warmup=1560,
    weight_averaging=0.999,
    attack_dtype='bfloat16',
    mixed_precision='bfloat16',
    validation_size=1000,
    validation_examples=500,
    validate_every=390,
)
"""For CPUs: 20 epochs of the simple network against two larger steps."""

FINE_TUNE = dataclasses.replace(
    FAST,
    steps=7,
    step_size=2.0,
    train_steps=1170,
    learning_rate=0.01,
    learning_rate_warmup=100,
    epsilon_warmup=0,
    validate_every=195,
)
"""Continues `fast`, given as --init_from: three epochs against the paper's adversary."""

NATURAL = dataclasses.replace(
    FAST,
    adversary='none',
    train_steps=11_700,
    learning_rate=0.2,
    epsilon_warmup=0,
    weight_decay=5e-4,
    validation_examples=1000,
)
"""30 epochs without an adversary."""

LONG = dataclasses.replace(
    FAST,
    steps=7,
    step_size=2.0,
    train_steps=39_232,
    learning_rate=0.1,
    learning_rate_warmup=2000,
    epsilon_warmup=4000,
    validation_examples=1000,
    validate_every=1000,
)
"""For GPUs: 102 epochs of the simple network against the paper's adversary."""

RECIPES = {
    'challenge': CHALLENGE,
    'fast': FAST,
    'fine_tune': FINE_TUNE,
    'natural': NATURAL,
    'long': LONG,
}
