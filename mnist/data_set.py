"""MNIST for the programs: one value with everything specific to it."""

from common.programs.data_set import DataSet, FigureRanges
from mnist import capacity, dataset, model
from mnist.challenge_models import CHALLENGE_MODELS
from mnist.paper import TABLE_1
from mnist.recipes import CHALLENGE, RECIPES

MNIST = DataSet(
    key='mnist',
    title='MNIST',
    names=dataset.DATASETS,
    load=dataset.load,
    lower=dataset.LOWER,
    upper=dataset.UPPER,
    classes=tuple(map(str, range(dataset.NUM_CLASSES))),
    epsilon=dataset.EPSILON,
    steps=40,
    step_size=0.01,
    batch_size=200,
    submission_shape=(784,),
    networks=model.NETWORKS,
    first_look_picture='attack.png',
    drawn='drawn digits, which the released networks read like handwritten ones',
    training=CHALLENGE,
    recipes=RECIPES,
    augmentation=dataset.AUGMENTATION,
    compared={'A_nat': 'naturally trained', 'A': 'adversarially trained'},
    compared_alike=('A', 'A_prime', 'A_nat', 'B'),
    table=TABLE_1,
    table_name='Table 1',
    figure_ranges=FigureRanges(
        radii=(0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5),
        steps=(1, 2, 5, 10, 20, 40, 100, 200),
        restarts=(1, 2, 5, 10, 20),
        step_sizes=(0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.3),
    ),
    capacity=capacity.sweep,
    capacity_epsilon=0.1,
    challenge_models=CHALLENGE_MODELS,
)
