"""Puts a trained network among the released ones (for maintainers).

    python -m cifar10.release --name=A --runs=models/A1,models/A2 --machine='...' --commit=abc1234
    python -m cifar10.release --name=A --results=rows.json

The runs are those of `cifar10.sources`, in their order.
"""

import pathlib

from absl import flags

from cifar10.sources import SOURCES
from common import cli
from common import flags as shared_flags
from common.errors import UserError
from common.release import add_results, read_rows, release

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines this program's flags."""
    flags.DEFINE_enum('name', 'A', list(SOURCES), 'Name of the network.')
    flags.DEFINE_list('runs', [], "Model folders of its training's stages.")
    flags.DEFINE_string('weights', 'last.weights.h5', 'Which weights file of the last one.')
    flags.DEFINE_string('commit', None, 'The commit it was trained with.')
    flags.DEFINE_string('machine', None, 'The machine it was trained on.')
    flags.DEFINE_string('notes', '', 'What else a reader should know.')
    flags.DEFINE_list('results', [], 'Files written by eval_attack --json, to add to its entry.')
    shared_flags.define_attack_dtype()


def main() -> None:
    """Reads the flags and writes weights and manifest."""
    source = SOURCES[FLAGS.name]
    if not (FLAGS.runs or FLAGS.results):
        raise UserError('expected --runs or --results; found neither, so there is nothing to do.')
    if FLAGS.runs:
        if not (FLAGS.commit and FLAGS.machine):
            raise UserError('expected --commit and --machine with --runs; found one of them empty.')
        if len(FLAGS.runs) != len(source.stages):
            raise UserError(f'expected --runs to name {len(source.stages)} folders, one for each '
                            f'stage of {FLAGS.name}; found {len(FLAGS.runs)}.')
        runs = [pathlib.Path(run) for run in FLAGS.runs]
        release('cifar10', FLAGS.name, runs, weights=FLAGS.weights, record={
            'description': source.description, 'command': ' && '.join(source.commands()),
            'commit': FLAGS.commit, 'machine': FLAGS.machine, 'notes': FLAGS.notes})
    for path in FLAGS.results:
        add_results('cifar10', FLAGS.name, read_rows(path), FLAGS.attack_dtype)


if __name__ == '__main__':
    cli.run(main, define_flags)
