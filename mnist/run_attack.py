"""Checks and scores adversarial MNIST images (the challenge's run_attack.py).

    python -m mnist.run_attack --input=attack.npy --predictions=pred.npy

The input holds one image of 784 pixels in [0, 1] for every test image, in the original order, each
within epsilon of its test image. An invalid file is refused with the reason and exit status 1.
"""

import os

import numpy as np
from absl import flags

from common import checker, cli
from common import flags as shared_flags
from common.errors import UserError
from common.logits import ModelLogits
from common.methods import checked_ball
from mnist import dataset, model

FLAGS = flags.FLAGS
_BATCH_SIZE = 200  # as the challenge's evaluation; only speed and memory depend on it


def define_flags() -> None:
    """Defines this program's flags."""
    shared_flags.define_data(dataset.DATASETS)
    shared_flags.define_ball(dataset.EPSILON)
    shared_flags.define_network()
    flags.DEFINE_string('input', 'attack.npy', 'The adversarial images, a .npy file.')
    flags.DEFINE_string(
        'predictions', 'pred.npy', 'Where the predicted classes are written, as .npy (int64).')


def main() -> None:
    """Reads the flags and scores the submission."""
    score(
        FLAGS.input, FLAGS.predictions, checkpoint=FLAGS.checkpoint, epsilon=FLAGS.epsilon,
        dataset_name=FLAGS.dataset, data_dir=FLAGS.data_dir)


def score(
    submission_path: str, predictions_path: str, *, checkpoint: str = 'A',
    epsilon: float = dataset.EPSILON, dataset_name: str = 'mnist', data_dir: str | None = None,
) -> float:
    """Validates a submission, prints the network's accuracy on it and writes the predictions.

    Args:
        submission_path: .npy of shape (n, 784), any real dtype, pixels in [0, 1].
        predictions_path: where [n] int64 classes go, as .npy.
        checkpoint: the network, as `mnist.model.load` names it.
        epsilon: l-inf radius on the scale [0, 1].
        dataset_name: whose test images the submission perturbs.
        data_dir: as for `mnist.dataset.load`.

    Returns:
        The accuracy, 0 to 1.

    Raises:
        UserError: the submission is invalid, or data, network or output cannot be had.
    """
    submission = checker.open_submission(submission_path)
    if os.path.realpath(predictions_path) == os.path.realpath(submission_path):
        raise UserError(
            f'the predictions would replace the submission {submission_path}. Give --predictions '
            'another name.')
    test = dataset.load('test', dataset=dataset_name, data_dir=data_dir)
    if dataset_name != 'mnist':
        print(f'Data: {test.name}, {len(test):,} images')
    x_adv = submission.read((len(test), test.x[0].size)).reshape(test.x.shape)
    checker.validate(x_adv, test.x, checked_ball(epsilon, dataset.LOWER, dataset.UPPER))
    network = ModelLogits(model.load(checkpoint))
    predictions = checker.predict(network, x_adv, _BATCH_SIZE)
    accuracy = float(np.mean(predictions == test.y))
    print(f'Accuracy: {accuracy:.2%}')
    checker.save_predictions(predictions_path, predictions)
    print(f'Predictions written to {predictions_path}')
    return accuracy


if __name__ == '__main__':
    cli.run(main, define_flags)
