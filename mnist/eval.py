"""Evaluates an MNIST network naturally and under PGD (the challenge's eval.py).

    python -m mnist.eval                                 (the released network A)
    python -m mnist.eval --model_dir=models/my_network   (watches a folder while it is trained)

A model folder is watched: each new checkpoint is evaluated, and TensorBoard summaries are written
to its subfolder eval/. Anything else, or --once, is evaluated once.
"""

import tensorflow as tf
from absl import flags

from common.attacks.by_name import checked_ball
from common.evaluation import watch_checkpoints
from common.evaluation.crafting import Crafting
from common.losses import make_loss
from common.programs import cli
from common.programs import flags as shared_flags
from mnist import dataset, model
from mnist.pgd_attack import BATCH_SIZE, STEP_SIZE, STEPS, challenge_pgd

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines this program's flags."""
    shared_flags.define_attack(
        dataset.DATASETS, epsilon=dataset.EPSILON, steps=STEPS, step_size=STEP_SIZE
    )
    shared_flags.define_loss()
    shared_flags.define_network()
    shared_flags.define_num_examples()
    flags.DEFINE_integer('eval_batch_size', BATCH_SIZE, 'Images a batch.', lower_bound=1)
    flags.DEFINE_boolean('eval_on_cpu', False, 'Leave the GPUs to the training.')
    flags.DEFINE_boolean('once', False, 'Evaluate what is there now, and stop.')


def main() -> None:
    """Reads the flags and evaluates."""
    if FLAGS.eval_on_cpu:
        tf.config.set_visible_devices([], 'GPU')
    checked_ball(FLAGS.epsilon, dataset.LOWER, dataset.UPPER, shared_flags.reach())
    attack = challenge_pgd(
        FLAGS.epsilon,
        FLAGS.steps,
        FLAGS.step_size,
        make_loss(FLAGS.loss, kappa=FLAGS.kappa),
        FLAGS.random_start,
    )
    test = dataset.load('test', dataset=FLAGS.dataset, data_dir=FLAGS.data_dir)
    test = test.subset(shared_flags.chosen_examples())
    folder = model.NETWORKS.folder(FLAGS.checkpoint)
    evaluator = watch_checkpoints.Evaluator(
        attack,
        test,
        crafting=Crafting(FLAGS.eval_batch_size, FLAGS.seed, FLAGS.attack_dtype),
        summary_dir=folder and folder / 'eval',
    )
    watch_checkpoints.evaluate(evaluator, FLAGS.checkpoint, model.NETWORKS, once=FLAGS.once)


if __name__ == '__main__':
    cli.run(main, define_flags)
