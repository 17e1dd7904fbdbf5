"""Reads the challenge's TF1 checkpoints into the residual network A, and writes them."""

import os
import re

import keras

from common.networks import tf1_checkpoint

# Variables here -> the challenge's variables. Kernels have the same layout in both.
_NAMES = (
    (r'init_conv/kernel', r'input/init_conv/DW'),
    (r'(unit_1_0)_1_bn/(\w+)', r'\1/shared_activation/BatchNorm/\2'),
    (r'(unit_\d_\d)_1_bn/(\w+)', r'\1/residual_only_activation/BatchNorm/\2'),
    (r'(unit_\d_\d)_2_bn/(\w+)', r'\1/sub2/BatchNorm/\2'),
    (r'(unit_\d_\d)_conv([12])/kernel', r'\1/sub\2/conv\2/DW'),
    (r'unit_last_bn/(\w+)', r'unit_last/BatchNorm/\1'),
    (r'logits/kernel', r'logit/DW'),
    (r'logits/bias', r'logit/biases'),
)


def import_checkpoint(model: keras.Model, prefix: str | os.PathLike) -> None:
    """Copies the weights of a TF1 checkpoint into network A, all of them or none.

    Args:
        model: `cifar10.model.network_a` with the width of the checkpoint.
        prefix: for example 'models/secret/checkpoint-79000'.

    Raises:
        ValueError: the model is not network A.
        UserError: the checkpoint is missing, damaged, or of another network.
    """
    names = _names(model)
    arrays = tf1_checkpoint.read(prefix, names, [v.shape for v in model.variables])
    for variable, array in zip(model.variables, arrays, strict=True):
        variable.assign(array)


def export_checkpoint(model: keras.Model, prefix: str | os.PathLike, global_step: int = 0) -> None:
    """Writes network A's weights as a checkpoint that the challenge's programs can restore.

    Args:
        model: `cifar10.model.network_a`.
        prefix: for example 'exported/checkpoint-80000'; programs that look for the folder's
            newest checkpoint will find this one.
        global_step: number of training steps that led to the weights.

    Raises:
        ValueError: the model is not network A.
        UserError: the folder cannot be written, or belongs to a training run.
    """
    arrays = [variable.numpy() for variable in model.variables]
    tf1_checkpoint.write(prefix, _names(model), arrays, global_step)


def _names(model: keras.Model) -> list[str]:
    """The TF1 names of the model's variables, in the model's order."""
    return [_name(variable.path) for variable in model.variables]


def _name(path: str) -> str:
    for ours, theirs in _NAMES:
        if re.fullmatch(ours, path):
            return re.sub(ours, theirs, path)
    raise ValueError(f'expected a variable of network A; found {path}')
