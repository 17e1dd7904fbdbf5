"""Reads the challenge's TF1 checkpoints into network A, and writes them."""

import os

import keras

from common.networks import tf1_checkpoint

# TF1 numbers unnamed variables in the order of their creation, which is also the order of network
# A's `trainable_variables`: kernel and bias of conv1, conv2, fc1 and fc2. Kernels have the same
# layout (height, width, in, out), and both flatten in the order height, width, channel.
NAMES = ('Variable', *(f'Variable_{i}' for i in range(1, 8)))
_DIMENSIONS = [4, 1, 4, 1, 2, 1, 2, 1]


def import_checkpoint(model: keras.Model, prefix: str | os.PathLike) -> None:
    """Copies the weights of a TF1 checkpoint into network A, all of them or none.

    Args:
        model: `mnist.model.network_a` with the widths of the checkpoint.
        prefix: for example 'models/secret/checkpoint-24900'.

    Raises:
        ValueError: the model is not network A.
        UserError: the checkpoint is missing, damaged, or of another network.
    """
    variables = _variables(model)
    arrays = tf1_checkpoint.read(prefix, NAMES, [variable.shape for variable in variables])
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def export_checkpoint(model: keras.Model, prefix: str | os.PathLike, global_step: int = 0) -> None:
    """Writes network A's weights as a checkpoint that the challenge's programs can restore.

    Args:
        model: `mnist.model.network_a`.
        prefix: for example 'exported/checkpoint-100000'; programs that look for the folder's
            newest checkpoint will find this one.
        global_step: number of training steps that led to the weights.

    Raises:
        ValueError: the model is not network A.
        UserError: the folder cannot be written, or belongs to a training run.
    """
    arrays = [variable.numpy() for variable in _variables(model)]
    tf1_checkpoint.write(prefix, NAMES, arrays, global_step)


def _variables(model: keras.Model) -> list[keras.Variable]:
    variables = model.trainable_variables
    if [len(v.shape) for v in variables] != _DIMENSIONS:
        shapes = ', '.join(str(list(v.shape)) for v in variables)
        raise ValueError(
            f'expected network A with its {len(NAMES)} trainable variables, of two convolutions '
            f'and two dense layers; found {model.name} with {shapes}'
        )
    return variables
