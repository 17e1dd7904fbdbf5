"""The paper's figures for MNIST, and what goes beyond them.

    python -m mnist.figures --figure=1             (200 restarts around 4 images)
    python -m mnist.figures --figure=3 --epsilon=0.3   (capacity, at another radius than 0.1)
    python -m mnist.figures --budget=quick         (all of them, a minute or two each)
    python -m common.report                        (gathers all into report/report.html)

What is computed is kept in the output folder, so that the same command again takes seconds, and an
interrupted one goes on.
"""

from absl import flags

from common.attacks.by_name import checked_ball
from common.networks import registry
from common.programs import cli
from common.programs import flags as shared_flags
from common.report.figures import catalogue
from common.report.figures.study import Study
from mnist import capacity, dataset, model
from mnist.pgd_attack import BATCH_SIZE, challenge_pgd

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines this program's flags."""
    shared_flags.define_figures(
        catalogue.FIGURES,
        dataset.DATASETS,
        epsilon='0.3, and 0.1 for figure 3',
        batch_size=BATCH_SIZE,
    )


def main() -> None:
    """Reads the flags and makes the figures."""
    epsilon = dataset.EPSILON if FLAGS.epsilon is None else FLAGS.epsilon
    checked_ball(epsilon, dataset.LOWER, dataset.UPPER)
    test = dataset.load('test', dataset=FLAGS.dataset, data_dir=FLAGS.data_dir)
    study = Study(
        'mnist',
        'MNIST',
        test.subset(shared_flags.chosen_examples()),
        model.load,
        challenge_pgd(epsilon),
        'pixels from 0 to 1',
        **shared_flags.study_settings('mnist.figures'),
    )
    catalogue.make(
        FLAGS.figure,
        study,
        catalogue.Details(
            classes=[str(digit) for digit in range(dataset.NUM_CLASSES)],
            released=registry.manifest().get('mnist', {}),
            radii=(0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5),
            steps=(1, 2, 5, 10, 20, 40, 100, 200),
            restarts=(1, 2, 5, 10, 20),
            step_sizes=(0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3),
            capacity=lambda study: capacity.sweep(
                study, FLAGS.epsilon, FLAGS.dataset, FLAGS.data_dir
            ),
            restarts_of_an_image=FLAGS.restarts,
            compared_alike=('A', 'A_prime', 'A_nat', 'B'),
        ),
    )


if __name__ == '__main__':
    cli.run(main, define_flags)
