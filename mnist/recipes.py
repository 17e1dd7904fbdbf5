"""Named settings of training runs; each flag on the command line overrides one of them."""

import dataclasses
import functools

from common.training.config import TrainingConfig
from common.training.setting import Subject, setting
from mnist.dataset import EPSILON, VALIDATION_SIZE
from mnist.model import INITS

_of_network = functools.partial(setting, subject=Subject.NETWORK)


@dataclasses.dataclass(frozen=True)
class Config(TrainingConfig):
    """Settings of a training run of an MNIST network."""

    network: str = _of_network(
        "The challenge's network A, or architecture B.", 'A', choices=('A', 'B')
    )
    filters: tuple[int, ...] = _of_network("Output channels of network A's convolutions.", (32, 64))
    hidden: int = _of_network("Units of network A's dense layer.", 1024, least=1)
    init: str = _of_network(
        "Distribution of network A's initial weights: the challenge's, or Keras' default.",
        'challenge',
        choices=INITS.keys(),
    )


CHALLENGE = Config(
    dataset='mnist',
    epsilon=EPSILON,
    steps=40,
    step_size=0.01,
    optimizer='adam',
    sum_loss=True,
    learning_rate=1e-4,
    train_steps=100_000,
    batch_size=50,
    validation_size=VALIDATION_SIZE,
    checkpoint_every=300,
    seed=4557077,
)
"""mnist_challenge/config.json."""

FAST = dataclasses.replace(
    CHALLENGE,
    init='glorot',
    steps=20,
    step_size=0.025,
    train_steps=7000,
    batch_size=128,
    learning_rate=1e-3,
    schedule='cosine',
    epsilon_warmup=1000,
    weight_averaging=0.999,
    attack_dtype='bfloat16',
    validate_every=500,
)
"""For CPUs: about 16 epochs with half the PGD steps, which take 40 to 60 minutes on two cores."""

STRONG = dataclasses.replace(
    FAST,
    init_from='A',
    epsilon=0.35,
    step_size=0.03,
    augment=True,
    train_steps=6000,
    learning_rate=5e-4,
    epsilon_warmup=0,
    validation_epsilon=0.3,
    validation_attack='odi',
    seed=20261126,
)
"""Continues `fast` at a radius above the challenge's, on randomly varied digits.

Both raise the accuracy under attacks at the challenge's radius, on held-out images.
"""

STRONGER = dataclasses.replace(
    STRONG,
    # As strong as 20 steps of 0.05 and stronger than 20 of 0.025, measured as PGD at radius 0.3 on
    # the network that `strong` trains (1,000 held-out images).
    steps=10,
    step_size=0.1,
    train_steps=11_000,
    validate_every=1000,
    seed=20261127,
)
"""Continues `strong`, given as --init_from, for longer: each step takes half the gradients."""

RECIPES = {'challenge': CHALLENGE, 'fast': FAST, 'strong': STRONG, 'stronger': STRONGER}
