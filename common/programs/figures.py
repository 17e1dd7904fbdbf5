"""The paper's figures, and more."""

import functools
import pathlib

from absl import flags

from common.errors import UserError
from common.programs import as_typed, train
from common.programs import flags as shared_flags
from common.programs.config_flags import define_settings, require_finite
from common.programs.data_set import DataSet
from common.programs.help_text import about
from common.report.figures import catalogue
from common.report.figures.study import Study
from common.training.setting import Subject, with_rows

FLAGS = flags.FLAGS


def define_flags(data_set: DataSet) -> None:
    """Defines the program's flags."""
    figures = {**catalogue.FIGURES, 'all': 'all of these'}
    with about(Subject.TASK):
        flags.DEFINE_enum('figure', 'all', list(figures), with_rows('The figure.', figures))
    shared_flags.define_data(data_set.names)
    norm, radius = data_set.kind_of_ball.norm, f'{data_set.epsilon:g}'
    if data_set.capacity_epsilon is not None:
        radius += f', and {data_set.capacity_epsilon:g} for figure 3'
    with about(Subject.ATTACK):
        flags.DEFINE_float(
            'epsilon',
            None,
            f'Radius of the {norm} ball, for {data_set.unit}; by default {radius}.',
            lower_bound=0.0,
        )
        require_finite('epsilon')
        flags.DEFINE_integer(
            'restarts',
            None,
            'PGD restarts for each image in figure 1, in figure 2 (at most 200) and in '
            "'landscape' (at most 1,000); by default as many as in the paper.",
            lower_bound=2,
        )
    shared_flags.define_output_dir()
    shared_flags.define_budget()
    shared_flags.define_num_examples()
    define_settings('attack_dtype', seed=0)
    shared_flags.define_batch_size(data_set.batch_size)


def main(data_set: DataSet) -> None:
    """Reads the flags and makes the figures."""
    epsilon = data_set.epsilon if FLAGS.epsilon is None else FLAGS.epsilon
    shared_flags.checked_ball(data_set, epsilon)
    study = Study(
        data_set.key,
        data_set.title,
        shared_flags.test_images(data_set),
        data_set.networks.load,
        data_set.pgd(epsilon),
        data_set.unit,
        compared=data_set.compared,
        command=as_typed.command(f'{data_set.key}.figures'),
        output_dir=pathlib.Path(FLAGS.output_dir),
        budget=FLAGS.budget,
        crafting=shared_flags.crafting(FLAGS.batch_size),
        every=shared_flags.every(),
        variant=as_typed.suffix(),
        remark=as_typed.in_words(),
    )
    details = catalogue.Details(
        classes=data_set.classes,
        released=data_set.networks.manifest(),
        ranges=data_set.figure_ranges,
        capacity=lambda study: _capacity(data_set, study),
        restarts_of_an_image=FLAGS.restarts,
        compared_alike=data_set.compared_alike,
    )
    catalogue.make(FLAGS.figure, study, details)


def _capacity(data_set: DataSet, study: Study) -> tuple:
    if data_set.capacity is None:
        raise UserError(
            f'--figure=3: there are no networks of several widths for {data_set.title}.'
        )
    return data_set.capacity(
        data_set,
        study,
        functools.partial(train.train, data_set),
        epsilon=FLAGS.epsilon,
        name=FLAGS.dataset,
        data_dir=FLAGS.data_dir,
    )
