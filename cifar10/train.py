"""Trains a CIFAR-10 network against an adversary (the challenge's train.py).

    python -m cifar10.train --epsilon=8 --steps=7

The defaults are the challenge's, with the 7 PGD steps of the paper: 80,000 steps of batch 128 of
the wide network, which needs GPUs. `--recipe=fast` trains the simple one on a CPU. The same command
again goes on where it stopped.
"""

import pathlib
from typing import Any

import tensorflow as tf
from absl import flags

from cifar10 import dataset, model
from cifar10.data_set import CIFAR10
from cifar10.recipes import RECIPES
from common.attacks import PGD
from common.attacks.by_name import training_adversary
from common.networks.checkpoints import has_begun
from common.networks.logits import DTYPES
from common.networks.weights import copy_weights
from common.programs import cli
from common.programs import flags as shared_flags
from common.training import run_folder
from common.training.objectives import training_objective
from common.training.optimizers import Momentum
from common.training.trainer import CRAFTING, Trainer, make_strategy, settings_of, validation_of

FLAGS = flags.FLAGS
_NOT_IN_CONFIG = ('model_dir', 'data_dir', 'recipe')


def define_flags() -> None:
    """Defines this program's flags, the challenge's config.json as defaults."""
    shared_flags.define_attack(CIFAR10, steps=CIFAR10.watched_steps, seed=451760341)
    shared_flags.define_loss()
    shared_flags.define_training(
        recipes=tuple(RECIPES),
        train_steps=80_000,
        batch_size=128,
        learning_rate=0.1,
        log_every=100,
        checkpoint_every=1000,
        schedule='piecewise',
        boundaries=[40_000, 60_000],
    )
    flags.DEFINE_enum(
        'network', 'A', ['A', 'B'], "The challenge's residual network A, or the plain network B."
    )
    flags.DEFINE_enum('width', 'wide', list(model.WIDTHS), 'Width of network A.')
    flags.DEFINE_float('momentum', 0.9, "Momentum's constant.", lower_bound=0.0, upper_bound=1.0)
    flags.DEFINE_float(
        'weight_decay',
        2e-4,
        'Coefficient of half the sum of squares of the kernels.',
        lower_bound=0.0,
    )
    flags.DEFINE_enum(
        'crafting',
        'train',
        list(CRAFTING),
        "The network that training examples are crafted with: 'train': with the statistics of the "
        'batch, and each gradient moves the moving averages on, as in the challenge; '
        "'train_frozen': the same without moving them; 'eval': with the moving averages, which is "
        'the default with --objective=trades.',
    )
    flags.DEFINE_enum(
        'mixed_precision',
        'float32',
        list(DTYPES),
        'Precision of the pass that updates the weights, which themselves stay float32.',
    )
    flags.DEFINE_boolean('augment', True, 'Random crops and flips, before the attack.')
    flags.DEFINE_integer(
        'validation_size',
        0,
        'How many training images, the last ones, are held out; the challenge trains on all.',
        lower_bound=0,
        upper_bound=49_999,
    )


def main() -> None:
    """Reads the flags and trains."""
    shared_flags.apply_recipe(RECIPES)
    shared_flags.drop_what_the_schedule_ignores()
    if FLAGS.objective == 'trades' and not FLAGS['crafting'].present:
        FLAGS.crafting = 'eval'  # as TRADES' authors do
    shared_flags.settle_model_dir('cifar10')
    shared_flags.checked_ball(CIFAR10)
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
        optimizer = Momentum(config['learning_rate'], config['momentum'])
    # A run that goes on has these weights behind it, wherever they may be by now.
    if config['init_from'] and not has_begun(folder):
        copy_weights(model.load(config['init_from']), network)
    settings = settings_of(
        config,
        sum_loss=False,
        drop_remainder=True,
        weight_decay=config['weight_decay'],
        crafting=config['crafting'],
        train_dtype=config['mixed_precision'],
        pixels=(dataset.LOWER, dataset.UPPER),
    )
    trainer = Trainer(
        network,
        optimizer,
        adversary(config),
        training,
        settings,
        folder,
        validation_of(config, held_out, CIFAR10.pgd),
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
