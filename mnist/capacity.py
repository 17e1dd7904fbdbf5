"""The networks of figure 3: network A at five widths, each trained in three ways."""

import dataclasses

from common.programs.data_set import DataSet
from common.report.figures.cached_training import Train
from common.report.figures.capacity import Sweep
from common.report.figures.study import Study
from common.training.adversaries import training_adversary
from mnist.recipes import CHALLENGE

EPSILON = 0.1
WIDTHS = {
    str(scale): {'filters': (2 * scale, 4 * scale), 'hidden': 8 * scale}
    for scale in (1, 2, 4, 8, 16)
}

_TRAINING = dataclasses.replace(
    CHALLENGE,
    init='glorot',
    steps=10,
    train_steps=6000,
    batch_size=128,
    learning_rate=1e-3,
    schedule='cosine',
    validation_size=0,
    validation_examples=0,
    checkpoint_every=500,
)
_QUICK_STEPS = 150
_LONGER = 4  # for the paper's claim that longer natural training helps
_REACH = 2.5  # distance that the training adversary's steps cover together, in epsilons


def sweep(
    data_set: DataSet,
    study: Study,
    train: Train,
    *,
    epsilon: float | None,
    name: str,
    data_dir: str | None,
) -> tuple[Study, Sweep]:
    """The trainings at a study's precision, seed and budget, and the study that evaluates them.

    Args:
        data_set: MNIST.
        study: the study of the data set's other figures.
        train: trains a network on the data set.
        epsilon: radius of training and evaluation; None for the paper's.
        name: the images, a choice of --dataset.
        data_dir: folder of data sets prepared by TFDS.
    """
    epsilon = EPSILON if epsilon is None else epsilon
    study = dataclasses.replace(study, pgd=data_set.pgd(epsilon))
    config = dataclasses.replace(
        _TRAINING,
        dataset=name,
        epsilon=epsilon,
        step_size=_REACH * epsilon / _TRAINING.steps,
        seed=study.crafting.seed,
        attack_dtype=study.crafting.dtype,
        train_steps=_QUICK_STEPS if study.quick else _TRAINING.train_steps,
    )
    training, _ = data_set.load_training(0, dataset=name, data_dir=data_dir)
    widths = {k: WIDTHS[k] for k in ('1', '4')} if study.quick else WIDTHS
    return study, Sweep(
        widths,
        config,
        train,
        data_dir,
        training,
        lambda config: training_adversary(config, data_set.ball),
        longer=1 if study.quick else _LONGER,
        large_epsilon=epsilon > EPSILON,
    )
