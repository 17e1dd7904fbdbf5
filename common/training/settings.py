"""What a training config describes, ready to be used by the loop."""

import dataclasses
from collections.abc import Callable

from common.attacks import PGD
from common.threat_model import Ball
from common.training.adversaries import training_adversary
from common.training.config import TrainingConfig
from common.training.objectives import Objective, SaddlePoint, training_objective
from common.training.optimizers import Optimizer, training_optimizer
from common.training.schedules import LinearRise, Schedule, learning_rate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """How long and with what to train.

    Most are TrainingConfig's settings of the same name; others are made from them.

    Attributes:
        learning_rate: step -> learning rate.
        optimizer: how weights move.
        objective: what is minimized.
        attack: the adversary, with a method `scaled(factor)`; None trains on natural images.
        epsilon_factor: step -> factor on the adversary's radius and step size.
        sum_loss: sum the loss over the batch (MNIST challenge) rather than average it (CIFAR-10).
        weight_decay: coefficient of half the sum of squares of all kernels, added to the loss;
            scales and biases, which have one dimension, are left out.
        crafting: the network that training examples are crafted with: 'eval'; 'train', with the
            statistics of the batch, which each gradient moves the moving averages by (the CIFAR-10
            challenge); or 'train_frozen', which leaves these to the weights' update.
        train_dtype: precision of the forward and backward pass that updates the weights.
        keep: how many checkpoints stay.
    """

    train_steps: int
    batch_size: int
    seed: int
    learning_rate: Schedule
    optimizer: Optimizer
    objective: Objective = SaddlePoint()
    attack: PGD | None = None
    epsilon_factor: Schedule = LinearRise()
    sum_loss: bool = True
    weight_averaging: float = 0.0
    weight_decay: float = 0.0
    crafting: str = 'eval'
    attack_dtype: str = 'float32'
    train_dtype: str = 'float32'
    jit_compile: bool = False
    as_built: bool = False
    drop_remainder: bool = False
    log_every: int = 100
    checkpoint_every: int = 300
    validate_every: int = 0
    keep: int = 3


def settings_of(config: TrainingConfig, ball: Callable[[float], Ball]) -> Settings:
    """How long and with what to train, as a config says.

    Args:
        config: what the run is like.
        ball: radius in pixel units -> the threat model.

    Raises:
        UserError: settings that do not go together.
    """
    made = {
        'learning_rate': learning_rate(config),
        'optimizer': training_optimizer(config),
        'objective': training_objective(config),
        'attack': training_adversary(config, ball),
        'epsilon_factor': LinearRise(config.epsilon_warmup),
        'train_dtype': config.mixed_precision,
    }
    # The other fields of the same name are copied.
    names = [field.name for field in dataclasses.fields(Settings)]
    same = {name: getattr(config, name) for name in names if hasattr(config, name)}
    return Settings(**{**same, **made})
