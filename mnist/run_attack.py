"""Checks and scores adversarial MNIST images (the challenge's run_attack.py).

    python -m mnist.run_attack --input=attack.npy --predictions=pred.npy

The input holds one image of 784 pixels in [0, 1] for every test image, in the original order, each
within epsilon of its test image. An invalid file is refused with the reason and exit status 1.
"""

import math

from absl import flags

from common.attacks.by_name import checked_ball
from common.networks.logits import ModelLogits
from common.programs import cli
from common.programs import flags as shared_flags
from common.submission import checker
from mnist import dataset, model

FLAGS = flags.FLAGS
_BATCH_SIZE = 200  # as the challenge's evaluation; only speed and memory depend on it


def define_flags() -> None:
    """Defines this program's flags."""
    shared_flags.define_data(dataset.DATASETS)
    shared_flags.define_ball(dataset.EPSILON)
    shared_flags.define_network()
    shared_flags.define_submission()


def main() -> None:
    """Reads the flags and scores the submission."""
    checker.score(
        FLAGS.input,
        FLAGS.predictions,
        load_test=lambda: dataset.load('test', dataset=FLAGS.dataset, data_dir=FLAGS.data_dir),
        stand_in=FLAGS.dataset != 'mnist',
        image_shape=(math.prod(dataset.IMAGE_SHAPE),),
        make_ball=lambda: checked_ball(FLAGS.epsilon, dataset.LOWER, dataset.UPPER),
        load_network=lambda: ModelLogits(model.load(FLAGS.checkpoint)),
        batch_size=_BATCH_SIZE,
    )


if __name__ == '__main__':
    cli.run(main, define_flags)
