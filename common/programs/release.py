"""Puts a trained network among the released ones (for maintainers)."""

from absl import flags

from common.networks import release
from common.programs.config_flags import define_settings
from common.programs.data_set import DataSet

FLAGS = flags.FLAGS


def define_flags(data_set: DataSet) -> None:
    """Defines the program's flags."""
    names = list(data_set.networks.origins)
    flags.DEFINE_enum('name', names[0], names, 'Name of the network.')
    flags.DEFINE_list('runs', [], "Model folders of its training's stages.")
    flags.DEFINE_string('weights', 'last.weights.h5', 'Which weights file of the last one.')
    flags.DEFINE_string('commit', None, 'The commit it was trained with.')
    flags.DEFINE_string('machine', None, 'The machine it was trained on.')
    flags.DEFINE_string('notes', '', 'What else a reader should know.')
    flags.DEFINE_list('results', [], 'Files written by eval_attack --json, to add to its entry.')
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
