"""Accuracy of a network on natural images and under PGD (the challenges' eval.py)."""

import tensorflow as tf
from absl import flags

from common.evaluation import watch_checkpoints
from common.programs import flags as shared_flags
from common.programs.config_flags import define_settings
from common.programs.data_set import DataSet
from common.programs.help_text import about
from common.training.setting import Subject

FLAGS = flags.FLAGS


def define_flags(data_set: DataSet) -> None:
    """Defines the program's flags."""
    shared_flags.define_attack(data_set, data_set.watched_steps)
    define_settings('loss', 'kappa')
    shared_flags.define_network(data_set)
    shared_flags.define_num_examples()
    with about(Subject.RESOURCES):
        flags.DEFINE_integer(
            'eval_batch_size', data_set.batch_size, 'Images per batch.', lower_bound=1
        )
        flags.DEFINE_boolean(
            'eval_on_cpu', False, 'Evaluate on the CPU, which leaves the GPUs to training.'
        )
    with about(Subject.TASK):
        flags.DEFINE_boolean(
            'once', False, 'Evaluate a model folder as it is now and stop, instead of watching it.'
        )


def main(data_set: DataSet) -> None:
    """Reads the flags and evaluates."""
    if FLAGS.eval_on_cpu:
        tf.config.set_visible_devices([], 'GPU')
    networks = data_set.networks
    folder = networks.folder(FLAGS.checkpoint)
    evaluator = watch_checkpoints.Evaluator(
        shared_flags.chosen_pgd(data_set),
        shared_flags.test_images(data_set),
        crafting=shared_flags.crafting(FLAGS.eval_batch_size),
        summary_dir=folder and folder / 'eval',
    )
    watch_checkpoints.evaluate(evaluator, FLAGS.checkpoint, networks, once=FLAGS.once)
