"""Downloads a model that a challenge's authors released (the challenges' fetch_model.py)."""

from absl import flags

from common.networks.challenge_models import chosen, fetch_model
from common.programs import flags as shared_flags
from common.programs.data_set import DataSet
from common.programs.help_text import about
from common.training.setting import Subject

FLAGS = flags.FLAGS

POSITIONAL = 'name'
"""The flag that a word without one sets, as in the challenges' `python fetch_model.py secret`."""


def define_flags(data_set: DataSet) -> None:
    """Defines the program's flags."""
    names = ', '.join(data_set.challenge_models.releases)
    with about(Subject.TASK):
        flags.DEFINE_string('name', None, f'The model to download, one of: {names}. Required.')
    shared_flags.define_output_dir(
        'models', 'Folder to download to; the model gets a subfolder of its name.'
    )


def main(data_set: DataSet) -> None:
    """Reads the flags, downloads the model and prints a command that attacks it."""
    models = data_set.challenge_models
    folder = fetch_model(
        FLAGS.name,
        chosen(models.releases, FLAGS.name),
        FLAGS.output_dir,
        network=models.network,
        import_tf1=models.import_tf1,
    )
    print(f'Attack it with: python -m {data_set.key}.eval_attack --target={folder}')
