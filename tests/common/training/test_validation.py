"""The attack on held-out images."""

import numpy as np
import pytest

from common.attacks import APGD, ODI, PGD
from common.data.batches import Examples
from common.errors import UserError
from common.losses import Margin
from common.threat_model import LinfBall
from common.training.config import TrainingConfig
from common.training.validation import validation_of

STEPS = 2
HELD_OUT = Examples(np.zeros((12, 2, 2, 1), np.float32), np.zeros(12, np.int32), 'x')


def config(**changes):
    return TrainingConfig(
        **{
            'dataset': 'x',
            'seed': 0,
            'epsilon': 0.5,
            'steps': 7,
            'step_size': 0.1,
            'train_steps': 5,
            'learning_rate': 0.1,
            'optimizer': 'adam',
            'batch_size': 4,
            'validation_examples': 10,
            'validate_every': 5,
            **changes,
        }
    )


def of_radius(epsilon):
    return PGD(LinfBall(epsilon), STEPS, 0.15)


def test_evaluations_without_images_are_refused():
    nothing = HELD_OUT.subset(slice(0))
    with pytest.raises(UserError, match='--validate_every: expected held-out images'):
        validation_of(config(), nothing, of_radius)
    assert validation_of(config(validate_every=0), nothing, of_radius) is None


def test_so_many_images_are_evaluated_as_asked_for():
    assert len(validation_of(config(), HELD_OUT, of_radius).examples) == 10


@pytest.mark.parametrize(
    'adversary, name, epsilon, expected',
    [
        ('pgd', 'pgd', None, of_radius(0.5)),
        ('pgd', 'pgd', 0.25, of_radius(0.25)),
        ('pgd', 'odi', 0.25, ODI(APGD(LinfBall(0.25), STEPS, Margin()))),
        ('none', 'odi', None, None),
    ],
)
def test_what_held_out_images_are_judged_under(adversary, name, epsilon, expected):
    settings = config(adversary=adversary, validation_attack=name, validation_epsilon=epsilon)
    assert validation_of(settings, HELD_OUT, of_radius).attack == expected
