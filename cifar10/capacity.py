"""The networks of figure 3: the simple one, trained naturally, against FGSM and against PGD.

The wide network takes GPUs; once it is trained and released, it belongs in WIDTHS and RELEASED.
"""

import dataclasses
import pathlib

from cifar10 import dataset, train
from cifar10.pgd_attack import challenge_pgd
from cifar10.recipes import FAST
from common import checkpoints
from common.errors import UserError
from common.figures.capacity import Sweep
from common.figures.study import Study
from common.run_folder import check

WIDTHS = {'simple': {'width': 'simple'}}
RELEASED = {('simple', 'none'): 'A_nat', ('simple', 'pgd'): 'A'}
_QUICK_STEPS = 60
_TRAINING_IMAGES = 10_000  # of the final training loss


def sweep(
    study: Study, epsilon: float | None, name: str, data_dir: str | None
) -> tuple[Study, Sweep]:
    """The one training that is not released, and the study that judges all networks.

    Args:
        study: the data set.
        epsilon: radius of training and judgement; None for the paper's.
        name: of the images, as --dataset.
        data_dir: folder of TFDS's prepared data sets.

    Raises:
        UserError: another radius than that of the released networks.
    """
    if epsilon not in (None, dataset.EPSILON):
        raise UserError(f'expected --epsilon={dataset.EPSILON:g} for figure 3, with which the '
                        f'released networks were trained; found {epsilon:g}.')
    study = dataclasses.replace(study, pgd=challenge_pgd())
    # A run's config.json has all settings; the recipe says which of them count here.
    config = {**checkpoints.manifest()['cifar10']['A_nat']['config'], **FAST, 'dataset': name,
              'seed': study.seed}
    if study.quick:
        config.update(train_steps=_QUICK_STEPS, learning_rate_warmup=10, epsilon_warmup=0)
    training, _ = dataset.load_training(
        validation_size=config['validation_size'], dataset=name, data_dir=data_dir)

    def run(config: dict, folder: pathlib.Path) -> None:
        train.train(config, check(folder, config), data_dir)

    images = training.subset(slice(len(study.test) if study.quick else _TRAINING_IMAGES))
    return study, Sweep(WIDTHS, config, run, images, train.adversary, RELEASED)
