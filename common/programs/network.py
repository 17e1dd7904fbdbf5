"""Prints the layers of a network and the number of its parameters."""

import dataclasses
import os

import numpy as np
from absl import flags

from common.errors import UserError
from common.evaluation.watch_checkpoints import step_of
from common.programs import config_flags
from common.programs import flags as shared_flags
from common.programs.data_set import DataSet
from common.training.config import TrainingConfig

FLAGS = flags.FLAGS


def define_flags(data_set: DataSet) -> None:
    """Defines the program's flags: the settings of the data set's networks."""
    config_flags.define_config(data_set.training, only=_of_networks(data_set))
    if data_set.challenge_models:
        networks = data_set.networks
        shared_flags.define_checkpoint(
            'checkpoint', networks.default, 'The network to export', released=networks.origins
        )
        flags.DEFINE_string(
            'export_tf1',
            None,
            "Write the network of --checkpoint for the challenge's own programs, as a TF1 "
            'checkpoint with this prefix, such as exported/checkpoint-100000.',
        )


def main(data_set: DataSet) -> None:
    """Reads the flags and prints the network."""
    if data_set.challenge_models and (FLAGS['checkpoint'].present or FLAGS.export_tf1 is not None):
        _export_tf1(data_set)
        return
    chosen = {name: FLAGS[name].value for name in _of_networks(data_set)}
    config = dataclasses.replace(data_set.training, **chosen)
    network = data_set.networks.build(config.to_json())
    network.summary(line_length=100)
    trainable, fixed = (
        sum(int(np.prod(v.shape)) for v in variables)
        for variables in (network.trainable_variables, network.non_trainable_variables)
    )
    print(f'{trainable:,} trainable parameters, {fixed:,} moving statistics')


def _export_tf1(data_set: DataSet) -> None:
    """Writes the network of --checkpoint as a TF1 checkpoint."""
    ignored = [f'--{name}' for name in _of_networks(data_set) if FLAGS[name].present]
    if FLAGS.export_tf1 is None or ignored:
        raise UserError(
            'expected --checkpoint and --export_tf1 together, without flags that describe a '
            f'network; found {", ".join(ignored) or "no --export_tf1"}. For example '
            f'--checkpoint={data_set.networks.default} --export_tf1=exported/checkpoint-100000.'
        )
    prefix = os.path.expanduser(FLAGS.export_tf1)
    try:
        data_set.challenge_models.export_tf1(
            data_set.networks.load(FLAGS.checkpoint), prefix, step_of(prefix)
        )
    except ValueError as error:
        raise UserError(
            f'--checkpoint={FLAGS.checkpoint} cannot be exported: {error}. Choose a network of the '
            "challenge's architecture."
        ) from error
    print(
        f"wrote {prefix}.index and {prefix}.data-00000-of-00001. The challenge's programs find "
        f'them in model_dir = {os.path.dirname(prefix) or "."}; their model.py must have the same '
        'widths as this network.'
    )


def _of_networks(data_set: DataSet) -> list[str]:
    """The settings that the data set adds to those of every training run."""
    shared = {field.name for field in dataclasses.fields(TrainingConfig)}
    fields = dataclasses.fields(data_set.training)
    return [field.name for field in fields if field.name not in shared]
