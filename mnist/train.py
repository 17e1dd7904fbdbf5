"""Trains an MNIST network against an adversary (the challenge's train.py).

    python -m mnist.train --epsilon=0.3 --steps=40

The defaults are the challenge's: 100,000 steps of batch 50, about 14 hours on two cores.
`--recipe=fast` takes 40 to 60 minutes. The same command again goes on where it stopped.
"""

from common.programs import cli, train
from common.programs.data_set import DataSet
from mnist import dataset, model, pgd_attack
from mnist.recipes import CHALLENGE, RECIPES

MNIST = DataSet(
    key='mnist',
    title='MNIST',
    names=dataset.DATASETS,
    load=dataset.load,
    lower=dataset.LOWER,
    upper=dataset.UPPER,
    classes=tuple(map(str, range(dataset.NUM_CLASSES))),
    epsilon=dataset.EPSILON,
    steps=pgd_attack.STEPS,
    step_size=pgd_attack.STEP_SIZE,
    batch_size=pgd_attack.BATCH_SIZE,
    submission_shape=(-1,),
    networks=model.NETWORKS,
    training=CHALLENGE,
    recipes=RECIPES,
    augmentation=dataset.AUGMENTATION,
)


def define_flags() -> None:
    """Defines this program's flags."""
    train.define_flags(MNIST)


def main() -> None:
    """Reads the flags and trains."""
    train.main(MNIST)


if __name__ == '__main__':
    cli.run(main, define_flags)
