"""Trains an MNIST network against an adversary (the challenge's train.py).

    python -m mnist.train --epsilon=0.3 --steps=40

The defaults are the challenge's: 100,000 steps of batch 50, about 14 hours on two cores.
`--recipe=fast` takes 40 to 60 minutes. The same command again goes on where it stopped.
"""

import pathlib
from typing import Any

import keras
import tensorflow as tf
from absl import flags

from common.attacks import PGD
from common.attacks.by_name import training_adversary
from common.networks.checkpoints import has_begun
from common.networks.weights import copy_weights
from common.programs import cli
from common.programs import flags as shared_flags
from common.training import run_folder
from common.training.objectives import training_objective
from common.training.trainer import Trainer, make_strategy, settings_of, validation_of
from mnist import dataset, model
from mnist.data_set import MNIST
from mnist.recipes import RECIPES

FLAGS = flags.FLAGS
_NOT_IN_CONFIG = ('model_dir', 'data_dir', 'recipe')


def define_flags() -> None:
    """Defines this program's flags, the challenge's config.json as defaults."""
    shared_flags.define_attack(MNIST, steps=MNIST.steps, seed=4557077)
    shared_flags.define_loss()
    shared_flags.define_training(
        recipes=tuple(RECIPES),
        train_steps=100_000,
        batch_size=50,
        learning_rate=1e-4,
        log_every=100,
        checkpoint_every=300,
    )
    for name, value in (('adam_beta_1', 0.9), ('adam_beta_2', 0.999), ('adam_epsilon', 1e-8)):
        flags.DEFINE_float(name, value, "Adam's constant of that name.", lower_bound=0.0)
        flags.register_validator(
            name, lambda value: 0 <= value < 1, message='expected a number from 0 to below 1'
        )
    flags.DEFINE_enum('network', 'A', ['A', 'B'], "The challenge's network A, or architecture B.")
    flags.DEFINE_list('filters', ['32', '64'], "Output channels of network A's convolutions.")
    flags.DEFINE_integer('hidden', 1024, "Units of network A's dense layer.", lower_bound=1)
    flags.DEFINE_enum(
        'init',
        'challenge',
        list(model.INITS),
        "Distribution of network A's initial weights: the challenge's, or Keras' default.",
    )
    flags.DEFINE_integer(
        'validation_size',
        dataset.VALIDATION_SIZE,
        'How many training images, the first ones, are held out.',
        lower_bound=0,
        upper_bound=59_999,
    )
    flags.DEFINE_boolean(
        'augment',
        False,
        'Turn, stretch, slant, bend and move training images a little, before '
        'the attack; the challenge does not.',
    )


def main() -> None:
    """Reads the flags and trains."""
    shared_flags.apply_recipe(RECIPES)
    shared_flags.drop_what_the_schedule_ignores()
    shared_flags.settle_model_dir('mnist')
    shared_flags.checked_ball(MNIST)
    config = shared_flags.as_config(without=_NOT_IN_CONFIG)
    folder = run_folder.check(FLAGS.model_dir, config)
    train(config, folder, FLAGS.data_dir)


def train(config: dict[str, Any], folder: pathlib.Path, data_dir: str | None) -> None:
    """Trains as `config` says (the contents of config.json) and writes everything to `folder`."""
    if config['deterministic']:
        tf.config.experimental.enable_op_determinism()
    strategy = make_strategy()
    training, held_out = dataset.load_training(
        validation_size=config['validation_size'], dataset=config['dataset'], data_dir=data_dir
    )
    with strategy.scope():
        network = model.build(config)
        optimizer = keras.optimizers.Adam(
            config['learning_rate'],
            beta_1=config['adam_beta_1'],
            beta_2=config['adam_beta_2'],
            epsilon=config['adam_epsilon'],
        )
    # A run that goes on has these weights behind it, wherever they may be by now.
    if config['init_from'] and not has_begun(folder):
        copy_weights(model.load(config['init_from']), network)
    trainer = Trainer(
        network,
        optimizer,
        adversary(config),
        training,
        settings_of(config, sum_loss=True),
        folder,
        validation_of(config, held_out, MNIST.pgd),
        strategy,
        dataset.AUGMENTATION if config['augment'] else None,
        training_objective(config),
    )
    # Not before all flags have proved usable: the run could not be started with better ones.
    if trainer.writes:
        run_folder.prepare(folder, config)
    trainer.train()


def adversary(config: dict[str, Any]) -> PGD | None:
    """The attack that makes the training examples; None for natural training."""
    return training_adversary(config, dataset.LOWER, dataset.UPPER)


if __name__ == '__main__':
    cli.run(main, define_flags)
