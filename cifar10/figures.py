"""The paper's figures for CIFAR-10, and what goes beyond them.

    python -m cifar10.figures --figure=1             (200 restarts around 4 images)
    python -m cifar10.figures --figure=3             (trains what is not released)
    python -m cifar10.figures --budget=quick         (all of them, a minute or two each)
    python -m common.report                        (gathers all into report/report.html)

What is computed is kept in the output folder, so that the same command again takes seconds, and an
interrupted one goes on.
"""

from absl import flags

from cifar10 import capacity, dataset, model
from cifar10.pgd_attack import BATCH_SIZE, challenge_pgd
from common.attacks.by_name import checked_ball
from common.networks import registry
from common.programs import cli
from common.programs import flags as shared_flags
from common.report.figures import catalogue
from common.report.figures.study import Study

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines this program's flags."""
    shared_flags.define_figures(
        catalogue.FIGURES, dataset.DATASETS, epsilon='8', batch_size=BATCH_SIZE
    )


def main() -> None:
    """Reads the flags and makes the figures."""
    epsilon = dataset.EPSILON if FLAGS.epsilon is None else FLAGS.epsilon
    checked_ball(epsilon, dataset.LOWER, dataset.UPPER)
    test = dataset.load('test', dataset=FLAGS.dataset, data_dir=FLAGS.data_dir)
    study = Study(
        'cifar10',
        'CIFAR-10',
        test.subset(shared_flags.chosen_examples()),
        model.load,
        challenge_pgd(epsilon),
        'pixels from 0 to 255',
        **shared_flags.study_settings('cifar10.figures'),
    )
    catalogue.make(
        FLAGS.figure,
        study,
        catalogue.Details(
            classes=dataset.CLASSES,
            released=registry.manifest().get('cifar10', {}),
            radii=(0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, 128.0),
            steps=(1, 2, 5, 7, 10, 20, 50, 100),
            restarts=(1, 2, 5, 10),
            step_sizes=(0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
            capacity=lambda study: capacity.sweep(
                study, FLAGS.epsilon, FLAGS.dataset, FLAGS.data_dir
            ),
            restarts_of_an_image=FLAGS.restarts,
            compared_alike=('A', 'A_prime', 'A_nat', 'B'),
        ),
    )


if __name__ == '__main__':
    cli.run(main, define_flags)
