"""The networks of figure 3: network A at five widths, with three kinds of training."""

import dataclasses

from common.report.figures.capacity import Sweep
from common.report.figures.study import Study
from mnist import dataset, train
from mnist.pgd_attack import challenge_pgd

EPSILON = 0.1
WIDTHS = {
    str(scale): {'filters': [str(2 * scale), str(4 * scale)], 'hidden': 8 * scale}
    for scale in (1, 2, 4, 8, 16)
}

_CONFIG = {
    'adam_beta_1': 0.9,
    'adam_beta_2': 0.999,
    'adam_epsilon': 1e-8,
    'attack_dtype': 'float32',
    'augment': False,
    'batch_size': 128,
    'boundaries': [],
    'checkpoint_every': 500,
    'deterministic': False,
    'epsilon_warmup': 0,
    'init': 'glorot',
    'init_from': None,
    'jit_compile': False,
    'kappa': 50.0,
    'learning_rate': 1e-3,
    'learning_rate_warmup': 0,
    'log_every': 100,
    'loss': 'xent',
    'network': 'A',
    'objective': 'pgd',
    'random_start': True,
    'schedule': 'cosine',
    'steps': 10,
    'trades_beta': 6.0,
    'train_steps': 6000,
    'validate_every': 0,
    'validation_attack': 'pgd',
    'validation_epsilon': None,
    'validation_examples': 0,
    'validation_size': 0,
    'weight_averaging': 0.0,
}
_QUICK_STEPS = 150
_LONGER = 4  # the claim that longer natural training helps
_REACH = 2.5  # how far the training adversary's steps lead together, in epsilons


def sweep(
    study: Study, epsilon: float | None, name: str, data_dir: str | None
) -> tuple[Study, Sweep]:
    """The trainings at a study's precision, seed and budget, and the study that judges them.

    Args:
        study: the data set.
        epsilon: radius of training and judgement; None for the paper's.
        name: of the images, as --dataset.
        data_dir: folder of TFDS's prepared data sets.
    """
    epsilon = EPSILON if epsilon is None else epsilon
    study = dataclasses.replace(study, pgd=challenge_pgd(epsilon))
    config = {
        **_CONFIG,
        'dataset': name,
        'epsilon': epsilon,
        'seed': study.seed,
        'attack_dtype': study.attack_dtype,
        'step_size': _REACH * epsilon / _CONFIG['steps'],
    }
    if study.quick:
        config['train_steps'] = _QUICK_STEPS
    training, _ = dataset.load_training(validation_size=0, dataset=name, data_dir=data_dir)
    widths = {k: WIDTHS[k] for k in ('1', '4')} if study.quick else WIDTHS
    return study, Sweep(
        widths,
        config,
        train.train,
        data_dir,
        training,
        train.adversary,
        longer=1 if study.quick else _LONGER,
        large_epsilon=epsilon > EPSILON,
    )
