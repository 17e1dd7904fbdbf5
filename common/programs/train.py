"""Trains a network against an adversary (the challenges' train.py)."""

import os
import pathlib
import shlex
from collections.abc import Callable

import tensorflow as tf
from absl import flags

from common.distribution import make_strategy
from common.errors import UserError
from common.networks.checkpoints import has_begun
from common.networks.weights import copy_weights
from common.programs import config_flags
from common.programs import flags as shared_flags
from common.programs.data_set import DataSet
from common.programs.help_text import about
from common.training import run_folder
from common.training.config import TrainingConfig
from common.training.progress import duration
from common.training.setting import Subject
from common.training.settings import settings_of
from common.training.trainer import Data, Trainer
from common.training.validation import validation_of


def define_flags(data_set: DataSet) -> None:
    """Defines the program's flags; the defaults are the challenge's config.json."""
    which = 'last' if data_set.holds_out_last else 'first'
    augmentation = data_set.augmentation or 'nothing'
    shared_flags.define_data(data_set.names)
    config_flags.define_recipes(data_set.recipes)
    with about(Subject.OUTPUT):
        shared_flags.define_path(
            'model_dir',
            None,
            f'Folder for checkpoints, weights, log and config.json; by default in models/, named '
            f'{data_set.key}_<network>_<adversary or objective>.',
        )
    config_flags.define_config(
        data_set.training,
        validation_size=f'How many training images, the {which} ones, are held out.',
        augment=f'Randomly vary training images before the attack; here: {augmentation}.',
        steps='PGD steps that craft a batch (--train_steps counts optimizer steps).',
        **shared_flags.words_with_unit(data_set),
    )


def main(data_set: DataSet) -> None:
    """Reads the flags and trains."""
    config = config_flags.chosen_config(data_set.recipes)
    shared_flags.checked_ball(data_set, config.epsilon, config.reach)
    config.check()
    name = f'models/{data_set.key}_{config.network}_{config.kind}'
    folder = pathlib.Path(os.path.expanduser(flags.FLAGS.model_dir or name))
    if run_folder.is_challenges(folder):
        raise UserError(
            f'expected a new --model_dir, or one of this program; found {folder}, which is one of '
            f"the challenge's own train.py. Evaluate it with python -m {data_set.key}.eval "
            f'--model_dir={folder}, or train from its weights in a new folder with '
            f'--init_from={folder} --model_dir=NEW.'
        )
    run_folder.check(folder, config, data_set.training)
    if train(data_set, config, folder, flags.FLAGS.data_dir, _adviser(data_set)):
        print(_what_next(data_set, folder))


def _adviser(data_set: DataSet) -> Callable[[float], str]:
    """What to say about a run of the default recipe that takes longer than that of a released A."""
    name = data_set.networks.default
    entry = data_set.networks.manifest().get(name, {})
    # All measured: how long that training took, and on which machine.
    command, seconds, machine = map(entry.get, ('command', 'training_seconds', 'machine'))
    is_default = flags.FLAGS.recipe == next(iter(data_set.recipes))
    if not (is_default and command and seconds and machine and '--recipe=' in command):
        return lambda _: ''
    shorter = f'shorter: the released {name} took {duration(seconds)} on {machine}, by\n  {command}'
    return lambda expected: shorter if expected > seconds else ''


def _what_next(data_set: DataSet, folder: pathlib.Path) -> str:
    """Where the weights are, and the commands that evaluate them."""
    best = folder / 'best.weights.h5'
    also = f' (best on held-out images: {best})' if best.exists() else ''
    given = [
        flags.FLAGS[name].serialize()
        for name in ('dataset', 'data_dir')
        if flags.FLAGS[name].present
    ]
    once = ('eval', f'--model_dir={folder}', '--once')
    attack = ('eval_attack', f'--target={folder}')
    commands = [
        f'  {shlex.join(["python", "-m", f"{data_set.key}.{name}", *arguments, *given])}'
        for name, *arguments in (once, attack)
    ]
    return '\n'.join((f'trained: {folder / "last.weights.h5"}{also}; evaluate it with', *commands))


def train(
    data_set: DataSet,
    config: TrainingConfig,
    folder: pathlib.Path,
    data_dir: str | None,
    advise: Callable[[float], str] = lambda seconds: '',
) -> bool:
    """Trains, or resumes a run, and writes everything to `folder`.

    Args:
        data_set: the data set to train on.
        config: the settings of the run.
        folder: the model folder.
        data_dir: folder of data sets prepared by TFDS; None follows TFDS's own rules.
        advise: how many seconds the run will take -> a line about it, or ''.

    Returns:
        Whether this host is the one that writes.

    Raises:
        UserError: settings contradict each other, the folder belongs to another run, data are
            missing, or training failed.
    """
    if config.deterministic:
        tf.config.experimental.enable_op_determinism()
    strategy = make_strategy()
    training, held_out = data_set.load_training(
        config.validation_size, dataset=config.dataset, data_dir=data_dir
    )
    if not len(training):
        raise UserError(
            f'--validation_size: expected fewer than the {len(held_out):,} training images; found '
            f'{config.validation_size:,}. Hold fewer images out.'
        )
    with strategy.scope():
        network = data_set.networks.build(config.to_json())
    # A resumed run started from these weights and no longer needs them.
    if config.init_from and not has_begun(folder):
        copy_weights(data_set.networks.load(config.init_from), network)
    pixels = (data_set.lower, data_set.upper)
    trainer = Trainer(
        network=network,
        settings=settings_of(config, data_set.ball),
        data=Data(
            training,
            validation_of(config, held_out, data_set.pgd),
            data_set.augmentation if config.augment else None,
            pixels,
        ),
        model_dir=folder,
        strategy=strategy,
        advise=advise,
    )
    # Only once all flags have proved usable: after this, the folder refuses different flags.
    if trainer.writes:
        run_folder.prepare(folder, config, data_set.training)
    trainer.train()
    return trainer.writes
