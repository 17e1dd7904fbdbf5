"""Checks and scores adversarial images (the challenges' run_attack.py)."""

from absl import flags

from common.files import require_apart
from common.networks.logits import ModelLogits
from common.programs import flags as shared_flags
from common.programs.config_flags import define_settings
from common.programs.data_set import DataSet
from common.programs.help_text import about
from common.submission import checker
from common.training.setting import Subject

FLAGS = flags.FLAGS


def define_flags(data_set: DataSet) -> None:
    """Defines the program's flags."""
    shared_flags.define_data(data_set.names)
    define_settings(epsilon=data_set.epsilon, words=shared_flags.words_with_unit(data_set))
    shared_flags.define_network(data_set)
    with about(Subject.DATA):
        shared_flags.define_path('input', 'attack.npy', 'File of the adversarial images (.npy).')
    with about(Subject.OUTPUT):
        shared_flags.define_path(
            'predictions', 'pred.npy', 'File to write the predicted classes to (.npy, int64).'
        )


def main(data_set: DataSet) -> None:
    """Reads the flags and scores the submission."""
    require_apart({'--predictions': FLAGS.predictions}, {'--checkpoint': [FLAGS.checkpoint]})
    checker.score(
        FLAGS.input,
        FLAGS.predictions,
        load_test=lambda: data_set.load('test', dataset=FLAGS.dataset, data_dir=FLAGS.data_dir),
        stand_in=not data_set.is_real(FLAGS.dataset),
        image_shape=data_set.submission_shape,
        make_ball=lambda: shared_flags.checked_ball(data_set),
        load_network=lambda: ModelLogits(data_set.networks.load(FLAGS.checkpoint)),
        batch_size=data_set.batch_size,
    )
