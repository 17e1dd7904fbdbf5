"""Puts a trained network among the released ones (for maintainers).

    python -m mnist.release --name=A --run=models/A --machine='2 cores of ...' --commit=abc1234
    python -m mnist.release --name=A --results=rows.json
"""

import pathlib

from absl import flags

from common import cli
from common import flags as shared_flags
from common.errors import UserError
from common.release import add_results, read_rows, release
from mnist.sources import SOURCES

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines this program's flags."""
    flags.DEFINE_enum('name', 'A', list(SOURCES), 'Name of the network.')
    flags.DEFINE_string('run', None, 'Model folder of its training.')
    flags.DEFINE_string('weights', 'last.weights.h5', 'Which weights file of the folder.')
    flags.DEFINE_string('commit', None, 'The commit it was trained with.')
    flags.DEFINE_string('machine', None, 'The machine it was trained on.')
    flags.DEFINE_string('notes', '', 'What else a reader should know.')
    flags.DEFINE_list('results', [], 'Files written by eval_attack --json, to add to its entry.')
    shared_flags.define_attack_dtype()


def main() -> None:
    """Reads the flags and writes weights and manifest."""
    source = SOURCES[FLAGS.name]
    if not (FLAGS.run or FLAGS.results):
        raise UserError('expected --run or --results; found neither, so there is nothing to do.')
    if FLAGS.run:
        if not (FLAGS.commit and FLAGS.machine):
            raise UserError('expected --commit and --machine with --run; found one of them empty.')
        command = ' '.join(('python -m mnist.train', *source.flags))
        release('mnist', FLAGS.name, [pathlib.Path(FLAGS.run)], weights=FLAGS.weights, record={
            'description': source.description, 'command': command, 'commit': FLAGS.commit,
            'machine': FLAGS.machine, 'notes': FLAGS.notes})
    for path in FLAGS.results:
        add_results('mnist', FLAGS.name, read_rows(path), FLAGS.attack_dtype)


if __name__ == '__main__':
    cli.run(main, define_flags)
