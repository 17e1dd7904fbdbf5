"""Attacks the test set and writes a submission (the challenges' pgd_attack.py)."""

import sys

from absl import flags

from common import distribution
from common.attacks.by_name import restarted
from common.files import require_apart, require_writable
from common.programs import flags as shared_flags
from common.programs.config_flags import define_settings
from common.programs.data_set import DataSet
from common.programs.help_text import about
from common.submission.writer import write_submission
from common.training.setting import Subject
from common.transfer import Source

FLAGS = flags.FLAGS


def define_flags(data_set: DataSet) -> None:
    """Defines the program's flags."""
    shared_flags.define_attack(data_set)
    define_settings('jit_compile', 'loss', 'kappa')
    shared_flags.define_network(data_set)
    shared_flags.define_batch_size(data_set.batch_size)
    shared_flags.define_restarts()
    shared_flags.define_num_examples()
    shape = ', '.join(map(str, data_set.submission_shape))
    with about(Subject.OUTPUT):
        shared_flags.define_path(
            'output',
            'attack.npy',
            f'File for the submission: .npy, float32, an image of shape ({shape}) per test image.',
        )


def main(data_set: DataSet) -> None:
    """Reads the flags, attacks the test set and writes the submission."""
    hosts = distribution.join()
    hosts.require_same('flags', sys.argv[1:])
    require_apart({'--output': FLAGS.output}, {'--checkpoint': [FLAGS.checkpoint]})
    require_writable(FLAGS.output)
    pgd = shared_flags.chosen_pgd(data_set)
    attack = restarted(pgd, FLAGS.restarts, randomized=FLAGS.random_start)
    whole = data_set.load('test', dataset=FLAGS.dataset, data_dir=FLAGS.data_dir)
    test = whole.subset(shared_flags.chosen_examples())
    network = Source(FLAGS.checkpoint, data_set.networks.load(FLAGS.checkpoint))
    write_submission(
        FLAGS.output,
        attack,
        network,
        test,
        ball=pgd.ball,
        shape=(len(test), *data_set.submission_shape),
        crafting=shared_flags.crafting(FLAGS.batch_size),
    )
    if not hosts.first:
        return
    if len(test) < len(whole):
        print(
            f'wrote {FLAGS.output}: {len(test):,} of {len(whole):,} test images. It is no '
            'submission: run_attack takes only files with all of them, in their order.'
        )
        return
    print(
        f'wrote {FLAGS.output}; check it with: '
        f'python -m {data_set.key}.run_attack --input={FLAGS.output}'
    )
