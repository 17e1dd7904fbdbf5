"""Trainings whose folders are a cache: damaged ones are trained again from the beginning."""

import pathlib
import shutil
import sys
from collections.abc import Callable

import tensorflow as tf

from common.errors import UserError
from common.files import cannot_write
from common.networks.checkpoints import READ_ERRORS, is_prefix, is_whole
from common.training import run_folder
from common.training.config import TrainingConfig

Train = Callable[[TrainingConfig, pathlib.Path, str | None], object]
"""(config, folder, data_dir): trains there, resumes, or returns if it is done."""


def train_in(
    folder: pathlib.Path, config: TrainingConfig, train: Train, data_dir: str | None
) -> None:
    """Trains in a folder of the cache, or resumes there; starts again if the folder is damaged.

    A damaged folder is kept beside the new one as <name>.damaged.

    Args:
        folder: of the training.
        config: settings of the training.
        train: trains there, resumes, or returns if it is done.
        data_dir: folder of TFDS's prepared data sets; None follows TFDS's own rules.

    Raises:
        UserError: training failed for another reason: the disk is full, there are no data.
    """
    try:
        train(config, run_folder.check(folder, config), data_dir)
        return
    except UserError:
        damage = _damage(folder, config)
        if damage is None:
            raise
    _set_aside(folder, damage)
    train(config, folder, data_dir)


def _damage(folder: pathlib.Path, config: TrainingConfig) -> str | None:
    """Why no training could resume in a folder; None if the folder is not the problem."""
    try:
        run_folder.check(folder, config)
    except UserError:
        return 'it is not a folder with the config.json of this training'
    if not (folder / 'checkpoint').exists():  # training then takes whole checkpoints only
        return None
    try:
        state = tf.train.get_checkpoint_state(folder)
    except READ_ERRORS:
        state = None
    if state is None or not state.all_model_checkpoint_paths:
        return 'its list of checkpoints cannot be read'
    listed = state.all_model_checkpoint_paths
    newest = next(filter(is_prefix, reversed(listed)), listed[-1])
    if is_whole(newest):
        return None
    return f'its {pathlib.Path(newest).name} cannot be read'


def _set_aside(folder: pathlib.Path, damage: str) -> None:
    aside = folder.with_name(f'{folder.name}.damaged')
    try:
        if aside.is_dir():
            shutil.rmtree(aside)
        folder.replace(aside)
    except OSError as error:
        raise cannot_write(folder.parent, error) from error
    print(
        f'note: {folder} is damaged ({damage}); training again, and keeping it as {aside.name}',
        file=sys.stderr,
    )
