"""The attacks that craft training examples."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

from common.attacks import PGD, fgsm
from common.losses import LOSSES, make_loss
from common.networks.logits import DTYPES
from common.threat_model import Ball
from common.training.setting import Choice, Subject, setting

ADVERSARIES = {
    'pgd': Choice(
        'PGD',
        lambda config, ball, loss: PGD(
            ball, config.steps, config.step_size, loss, config.random_start
        ),
    ),
    'fgsm': Choice(
        'one step of size epsilon from the image', lambda config, ball, loss: fgsm(ball, loss)
    ),
    'fgsm_rs': Choice(
        'one step of size epsilon from a random point',
        lambda config, ball, loss: fgsm(ball, loss, random_start=True),
    ),
    'none': Choice('nothing, which is natural training', lambda config, ball, loss: None),
}
"""Name -> config, ball and loss -> the attack; None for natural training."""

CRAFTING = {
    'eval': 'with the moving averages',
    'train': "with the batch's statistics, and every gradient updates the moving averages",
    'train_frozen': 'the same without these updates',
}
"""Name -> the network that training examples are crafted with."""


_attacking = functools.partial(setting, subject=Subject.ATTACK)


@dataclasses.dataclass(frozen=True)
class AdversarySettings:
    """The attack that makes the training examples, and how it sees the network."""

    adversary: str = _attacking('What crafts the training examples.', 'pgd', choices=ADVERSARIES)
    epsilon: float = _attacking('Radius of the ball, in pixel units of the data set.', least=0.0)
    steps: int = _attacking('Number of PGD steps.', least=0, most=2**31 - 1)
    step_size: float = _attacking('Size of a PGD step, in pixel units.', least=0.0)
    random_start: bool = _attacking(
        'Start PGD at a random point of the ball instead of at the image.', True
    )
    loss: str = _attacking(
        "The loss that the adversary maximizes: cross-entropy, or Carlini and Wagner's margin.",
        'xent',
        choices=LOSSES.keys(),
    )
    kappa: float = _attacking(
        "Confidence of the 'cw' loss: 0 is the paper's CW; 50 is its CW+, and the only value in "
        "the challenge's code.",
        50.0,
    )
    epsilon_warmup: int = _attacking(
        "Steps over which the adversary's radius and step size grow from 0.", 0, least=0
    )
    attack_dtype: str = setting(
        'Precision in which adversarial examples are crafted. Predictions always use float32.',
        'float32',
        choices=DTYPES,
        subject=Subject.RESOURCES,
    )
    crafting: str = _attacking(
        'How batch normalization works while training examples are crafted.',
        'eval',
        choices=CRAFTING,
    )


def training_adversary(config: Any, ball: Callable[[float], Ball]) -> PGD | None:
    """The attack that makes training examples.

    Args:
        config: a TrainingConfig.
        ball: radius in pixel units -> the threat model.

    Returns:
        None for natural training.
    """
    loss = make_loss(config.loss, kappa=config.kappa)
    return ADVERSARIES[config.adversary].make(config, ball(config.epsilon), loss)
