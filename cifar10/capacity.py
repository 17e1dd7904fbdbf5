"""The networks of figure 3: the simple one, trained naturally, against FGSM and against PGD.

The wide network takes GPUs; once it is trained and released, it belongs in WIDTHS and RELEASED.
"""

import dataclasses

from cifar10 import dataset, train
from cifar10.paper import SIMPLE_TRAININGS
from cifar10.pgd_attack import TRAINING_STEPS, challenge_pgd
from cifar10.recipes import FAST
from common.attacks import PGD
from common.errors import UserError
from common.networks import registry
from common.report.figures.capacity import Sweep
from common.report.figures.study import Study

WIDTHS = {'simple': {'width': 'simple'}}
RELEASED = {('simple', 'none'): 'A_nat', ('simple', 'pgd'): 'A'}

# What the recipe leaves to the flags' defaults.
_CONFIG = {
    'augment': True,
    'batch_size': 128,
    'boundaries': [],
    'checkpoint_every': 1000,
    'crafting': 'train',
    'deterministic': False,
    'epsilon': dataset.EPSILON,
    'init_from': None,
    'jit_compile': False,
    'kappa': 50.0,
    'log_every': 100,
    'loss': 'xent',
    'momentum': 0.9,
    'network': 'A',
    'objective': 'pgd',
    'random_start': True,
    'trades_beta': 6.0,
    'validation_attack': 'pgd',
    'validation_epsilon': None,
    'weight_decay': 2e-4,
    **FAST,
}
_QUICK = {
    'train_steps': 20,
    'learning_rate_warmup': 5,
    'epsilon_warmup': 0,
    'validate_every': 0,
    'validation_examples': 0,
}


_WHY = (
    'the paper trained for 80,000 batches of 128 at a learning rate that drops twice, each network '
    'here saw a tenth to a seventh of that, at one that falls to 0, with averaged weights, and '
    "FGSM training began with a radius that grows over 1,560 steps. The paper's FGSM-trained "
    'network overfits to FGSM (90.9% under FGSM, 0.0% under PGD); whether this one would in a '
    'training as long has not been measured.'
)


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
        raise UserError(
            f'expected --epsilon={dataset.EPSILON:g} for figure 3, with which the '
            f'released networks were trained; found {epsilon:g}.'
        )
    study = dataclasses.replace(study, pgd=challenge_pgd())
    config = {**_CONFIG, 'dataset': name, 'seed': study.seed}
    if study.quick:
        config.update(_QUICK)
    training, _ = dataset.load_training(
        validation_size=config['validation_size'], dataset=name, data_dir=data_dir
    )

    def adversary(config: dict) -> PGD | None:
        # The released A's last stage met the paper's adversary, not the recipe's shorter one.
        if config['adversary'] == 'pgd':
            return challenge_pgd(steps=TRAINING_STEPS)
        return train.adversary(config)

    records = registry.manifest().get('cifar10', {})
    return study, Sweep(
        WIDTHS,
        config,
        train.train,
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
