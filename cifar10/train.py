"""Trains a CIFAR-10 network against an adversary (the challenge's train.py).

    python -m cifar10.train --epsilon=8 --steps=7

The defaults are the challenge's, with the 7 PGD steps of the paper: 80,000 steps of batch 128 of
the wide network, which needs GPUs. `--recipe=fast` trains the simple one on a CPU. The same command
again goes on where it stopped.
"""

from cifar10 import dataset, model, pgd_attack
from cifar10.recipes import CHALLENGE, RECIPES
from common.programs import cli, train
from common.programs.data_set import DataSet

CIFAR10 = DataSet(
    key='cifar10',
    title='CIFAR-10',
    names=dataset.DATASETS,
    load=dataset.load,
    lower=dataset.LOWER,
    upper=dataset.UPPER,
    classes=dataset.CLASSES,
    epsilon=dataset.EPSILON,
    steps=pgd_attack.STEPS,
    step_size=pgd_attack.STEP_SIZE,
    batch_size=pgd_attack.BATCH_SIZE,
    submission_shape=dataset.IMAGE_SHAPE,
    networks=model.NETWORKS,
    training=CHALLENGE,
    recipes=RECIPES,
    augmentation=dataset.AUGMENTATION,
    holds_out_last=True,
)


def define_flags() -> None:
    """Defines this program's flags."""
    train.define_flags(CIFAR10)


def main() -> None:
    """Reads the flags and trains."""
    train.main(CIFAR10)


if __name__ == '__main__':
    cli.run(main, define_flags)
