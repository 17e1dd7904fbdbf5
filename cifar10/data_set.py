"""CIFAR-10 for the programs: one value with everything specific to it."""

from cifar10 import capacity, dataset, model
from cifar10.challenge_models import CHALLENGE_MODELS
from cifar10.paper import SIMPLE, TABLE_2
from cifar10.recipes import CHALLENGE, RECIPES
from common.programs.data_set import DataSet, FigureRanges

CIFAR10 = DataSet(
    key='cifar10',
    title='CIFAR-10',
    names=dataset.DATASETS,
    load=dataset.load,
    lower=dataset.LOWER,
    upper=dataset.UPPER,
    classes=dataset.CLASSES,
    epsilon=dataset.EPSILON,
    steps=20,  # the strongest PGD of the paper's table
    step_size=2.0,
    watched_steps=7,  # the paper's training adversary, also in its table; the config has 10
    batch_size=100,
    submission_shape=dataset.IMAGE_SHAPE,
    networks=model.NETWORKS,
    first_look_every=40,  # an image takes several times as long as one of MNIST
    training=CHALLENGE,
    recipes=RECIPES,
    augmentation=dataset.AUGMENTATION,
    holds_out_last=True,
    compared={'A_nat': 'naturally trained', 'A': 'adversarially trained'},
    compared_alike=('A', 'A_prime', 'A_nat', 'B'),
    table=TABLE_2,
    table_name='Table 2',
    more_tables={'paper_simple': SIMPLE},
    figure_ranges=FigureRanges(
        radii=(0.0, 1.0, 2.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0, 32.0, 64.0, 128.0),
        steps=(1, 2, 5, 7, 10, 20, 50, 100),
        restarts=(1, 2, 5, 10),
        step_sizes=(0.25, 0.5, 1.0, 2.0, 4.0, 8.0),
    ),
    capacity=capacity.sweep,
    challenge_models=CHALLENGE_MODELS,
)
