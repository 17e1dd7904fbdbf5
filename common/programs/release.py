"""Adds a trained network to the released ones (for maintainers)."""

from absl import flags

from common.networks import release
from common.programs import flags as shared_flags
from common.programs.config_flags import define_settings
from common.programs.data_set import DataSet
from common.programs.help_text import about
from common.training.setting import Subject

FLAGS = flags.FLAGS


@about(Subject.TASK)
def define_flags(data_set: DataSet) -> None:
    """Defines the program's flags."""
    names = list(data_set.networks.origins)
    flags.DEFINE_enum('name', names[0], names, 'Name of the released network.')
    shared_flags.define_paths('runs', 'Model folders of the stages of its training, in order.')
    flags.DEFINE_string(
        'weights', 'last.weights.h5', 'Weights file to release, in the last of these folders.'
    )
    flags.DEFINE_string('commit', None, 'Commit of this project that trained it.')
    flags.DEFINE_string('machine', None, 'Machine that it was trained on.')
    flags.DEFINE_string('notes', '', 'Anything else that readers should know.')
    shared_flags.define_paths(
        'results', 'Files written by eval_attack --json, whose results are added to its entry.'
    )
    define_settings('attack_dtype')


def main(data_set: DataSet) -> None:
    """Reads the flags and writes weights and manifest."""
    release.put(
        data_set.networks,
        name=FLAGS.name,
        runs=FLAGS.runs,
        weights=FLAGS.weights,
        commit=FLAGS.commit,
        machine=FLAGS.machine,
        notes=FLAGS.notes,
        results=FLAGS.results,
        attack_dtype=FLAGS.attack_dtype,
    )
