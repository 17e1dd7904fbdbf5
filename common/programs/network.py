"""Lists the released networks with their accuracies, or prints the layers of one network."""

import dataclasses
import os
from typing import Any

import numpy as np
from absl import flags

from common.errors import UserError
from common.evaluation.rows import aligned
from common.evaluation.watch_checkpoints import step_of
from common.files import require_apart
from common.programs import config_flags
from common.programs import flags as shared_flags
from common.programs.data_set import DataSet
from common.programs.help_text import about
from common.training.config import TrainingConfig
from common.training.setting import Subject

FLAGS = flags.FLAGS


def define_flags(data_set: DataSet) -> None:
    """Defines the program's flags: the settings of the data set's networks."""
    config_flags.define_config(data_set.training, only=_of_networks(data_set))
    if data_set.challenge_models:
        networks = data_set.networks
        shared_flags.define_checkpoint(
            'checkpoint', networks.default, 'The network to export', released=networks.origins
        )
        with about(Subject.OUTPUT):
            shared_flags.define_path(
                'export_tf1',
                None,
                "Write the network of --checkpoint for the challenge's own programs, as a TF1 "
                'checkpoint with this prefix, such as exported/checkpoint-100000.',
            )


def main(data_set: DataSet) -> None:
    """Reads the flags; prints the network that they describe, or the released ones, or exports."""
    if data_set.challenge_models and (FLAGS['checkpoint'].present or FLAGS.export_tf1 is not None):
        _export_tf1(data_set)
        return
    described = any(FLAGS[name].present for name in _of_networks(data_set))
    if described or not data_set.networks.manifest():
        _print_layers(data_set)
    else:
        _print_released(data_set)


def _print_layers(data_set: DataSet) -> None:
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
    prefix = FLAGS.export_tf1
    index = '{}.index'.format  # one of the files of a TF1 checkpoint
    require_apart({'--export_tf1': index(prefix)}, {'--checkpoint': [index(FLAGS.checkpoint)]})
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


def _print_released(data_set: DataSet) -> None:
    """The released networks, each with what checkpoints/manifest.json records."""
    attacked = f'PGD-{data_set.steps}'
    lines = [('network', 'natural', attacked, 'worst case', 'how it was trained')]
    for name, entry in data_set.networks.manifest().items():
        cells = (
            _accuracy(entry, method='natural'),
            _accuracy(entry, method='pgd', source=name, steps=data_set.steps, restarts=1),
            _accuracy(entry, method='worst_case'),
        )
        lines.append((name, *cells, entry.get('description', '')))
    ball = data_set.ball()
    print(f'{data_set.title}, {ball.norm} ball of radius {ball.epsilon:g}, {data_set.unit}\n')
    print(aligned(lines, left=('network', 'how it was trained')))
    program = f'python -m {data_set.key}'
    print(
        '\nAccuracy on test images, and their number; "-" where nothing is recorded.\n'
        f"In Python: {data_set.key}.model.load('{data_set.networks.default}'). "
        f'Attack one: {program}.eval_attack --target=NAME.\n'
        f'The layers: {program}.model --network=A.'
    )


def _accuracy(entry: dict[str, Any], **wanted: Any) -> str:
    """The lowest recorded accuracy on most images: '95.20% of 10,000', with a cascade's name."""
    found = [
        row
        for row in entry.get('results', ())
        if all(row.get(name) == value for name, value in wanted.items())
    ]
    if not found:
        return '-'
    best = min(found, key=lambda row: (-row['n'], row['accuracy']))
    preset = f' ({best["preset"]})' if best.get('preset') else ''
    return f'{best["accuracy"]:.2%} of {best["n"]:,}{preset}'


def _of_networks(data_set: DataSet) -> list[str]:
    """The settings that the data set adds to those of every training run."""
    shared = {field.name for field in dataclasses.fields(TrainingConfig)}
    fields = dataclasses.fields(data_set.training)
    return [field.name for field in fields if field.name not in shared]
