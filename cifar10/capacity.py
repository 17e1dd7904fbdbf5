"""The networks of figure 3: the simple network trained naturally, against FGSM, against PGD.

Training the wide network needs GPUs; once it is released, add it to WIDTHS and RELEASED.
"""

import dataclasses

from cifar10.paper import SIMPLE_TRAININGS
from cifar10.recipes import FAST
from common.attacks import PGD
from common.errors import UserError
from common.programs.data_set import DataSet
from common.report.figures.cached_training import Train
from common.report.figures.capacity import Sweep
from common.report.figures.study import Study
from common.training.adversaries import training_adversary
from common.training.config import TrainingConfig

WIDTHS = {'simple': {'width': 'simple'}}
RELEASED = {('simple', 'none'): 'A_nat', ('simple', 'pgd'): 'A'}

_QUICK = {
    'train_steps': 20,
    'learning_rate_warmup': 5,
    'epsilon_warmup': 0,
    'validate_every': 0,
    'validation_examples': 0,
}

_WHY = (
    'the paper trained for 80,000 batches of 128 at a learning rate that drops twice. Each network '
    'here was trained for a tenth to a seventh of that, at a learning rate that decreases to 0, '
    'with averaged weights; FGSM training began with a radius that grows over 1,560 steps. The '
    "paper's FGSM-trained network overfits to FGSM (90.9% under FGSM, 0.0% under PGD); whether "
    'this one would, if trained as long, has not been measured.'
)


def sweep(
    data_set: DataSet,
    study: Study,
    train: Train,
    *,
    epsilon: float | None,
    name: str,
    data_dir: str | None,
) -> tuple[Study, Sweep]:
    """The one training that is not released, and the study that evaluates all networks.

    Args:
        data_set: CIFAR-10.
        study: the study of the data set's other figures.
        train: trains a network on the data set.
        epsilon: radius of training and evaluation; None for the paper's.
        name: the images, a choice of --dataset.
        data_dir: folder of data sets prepared by TFDS.

    Raises:
        UserError: another radius than that of the released networks.
    """
    if epsilon not in (None, data_set.epsilon):
        raise UserError(
            f'expected --epsilon={data_set.epsilon:g} for figure 3, the radius at which the '
            f'released networks were trained; found {epsilon:g}.'
        )
    study = dataclasses.replace(study, pgd=data_set.pgd())
    config = dataclasses.replace(
        FAST, dataset=name, seed=study.crafting.seed, **(_QUICK if study.quick else {})
    )
    training, _ = data_set.load_training(config.validation_size, dataset=name, data_dir=data_dir)

    def adversary(config: TrainingConfig) -> PGD | None:
        # The last stage of the released A used the paper's adversary, not the recipe's shorter one.
        if config.adversary == 'pgd':
            return data_set.pgd(steps=data_set.watched_steps)
        return training_adversary(config, data_set.ball)

    records = data_set.networks.manifest()
    return study, Sweep(
        WIDTHS,
        config,
        train,
        data_dir,
        training,
        adversary,
        RELEASED,
        commands={r: records[r]['command'] for r in RELEASED.values() if r in records},
        papers={('simple', kind): paper for kind, paper in SIMPLE_TRAININGS.items()}
        if name == 'cifar10'
        else {},
        why=_WHY,
        large_epsilon=True,
    )
