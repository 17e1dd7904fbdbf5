"""Checks and scores adversarial images (the challenges' run_attack.py)."""

from absl import flags

from common.networks.logits import ModelLogits
from common.programs import flags as shared_flags
from common.programs.data_set import DataSet
from common.submission import checker

FLAGS = flags.FLAGS


def define_flags(data_set: DataSet) -> None:
    """Defines the program's flags."""
    shared_flags.define_data(data_set.names)
    shared_flags.define_ball(data_set.epsilon, data_set.kind_of_ball.norm)
    shared_flags.define_network(data_set)
    flags.DEFINE_string('input', 'attack.npy', 'The adversarial images, a .npy file.')
    flags.DEFINE_string(
        'predictions', 'pred.npy', 'Where the predicted classes are written, as .npy (int64).'
    )


def main(data_set: DataSet) -> None:
    """Reads the flags and scores the submission."""
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
