"""Prints the layers of a network and the number of its parameters."""

import dataclasses

import numpy as np
from absl import flags

from common.programs import config_flags
from common.programs.data_set import DataSet
from common.training.config import TrainingConfig

FLAGS = flags.FLAGS


def define_flags(data_set: DataSet) -> None:
    """Defines the program's flags: the settings of the data set's networks."""
    config_flags.define_config(data_set.training, only=_of_networks(data_set))


def main(data_set: DataSet) -> None:
    """Reads the flags and prints the network."""
    chosen = {name: FLAGS[name].value for name in _of_networks(data_set)}
    config = dataclasses.replace(data_set.training, **chosen)
    network = data_set.networks.build(config.to_json())
    network.summary(line_length=100)
    trainable, fixed = (
        sum(int(np.prod(v.shape)) for v in variables)
        for variables in (network.trainable_variables, network.non_trainable_variables)
    )
    print(f'{trainable:,} trainable parameters, {fixed:,} moving statistics')


def _of_networks(data_set: DataSet) -> list[str]:
    """The settings that the data set adds to those of every training run."""
    shared = {field.name for field in dataclasses.fields(TrainingConfig)}
    fields = dataclasses.fields(data_set.training)
    return [field.name for field in fields if field.name not in shared]
