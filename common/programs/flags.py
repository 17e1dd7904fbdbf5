"""Flags that several programs share, and the values that programs derive from them.

A program calls the functions that it needs. Defaults that differ between data sets are arguments.
"""

import os
import sys
from collections.abc import Collection

from absl import flags

from common.attacks import PGD
from common.attacks.by_name import METHODS
from common.data.batches import Examples
from common.evaluation.crafting import Crafting
from common.losses import make_loss
from common.programs.config_flags import define_settings
from common.programs.data_set import DataSet
from common.programs.help_text import about
from common.threat_model import Ball
from common.training.setting import Subject


class _Path(flags.ArgumentParser):
    """Takes '~' for the home folder, which no shell replaces after '--output_dir='."""

    def parse(self, argument: str) -> str:
        return os.path.expanduser(argument)


class _Paths(flags.ListParser):
    """The same for paths separated by commas."""

    def parse(self, argument: str | list[str]) -> list[str]:
        return [os.path.expanduser(path) for path in super().parse(argument)]


def define_path(name: str, default: str | None, words: str, *, required: bool = False) -> None:
    """Defines a flag that takes a path, or a name in its place."""
    serializer = flags.ArgumentSerializer()
    flags.DEFINE(_Path(), name, default, words, serializer=serializer, required=required)


def define_paths(name: str, words: str) -> None:
    """Defines a flag that takes paths separated by commas, by default none."""
    flags.DEFINE(_Paths(), name, [], words, serializer=flags.ListSerializer(','))


@about(Subject.DATA)
def define_data(names: tuple[str, ...]) -> None:
    """Defines --dataset and --data_dir."""
    stand_in = ''
    if len(names) > 1:
        stand_in = f' {names[-1]!r} means drawn images, which need no download.'
    flags.DEFINE_enum('dataset', names[0], list(names), f'The images to use.{stand_in}')
    define_path(
        'data_dir',
        None,
        'Folder of data sets prepared by TensorFlow Datasets, which downloads missing ones; or the '
        "folder of files that the challenge's own code reads. By default $TFDS_DATA_DIR, or "
        '~/tensorflow_datasets if that is not set.',
    )


def words_with_unit(data_set: DataSet) -> dict[str, str]:
    """Flag -> its help text, for flags whose unit depends on the data set."""
    return {
        'epsilon': f'Radius of the {data_set.kind_of_ball.norm} ball, for {data_set.unit}.',
        'step_size': f'Size of a PGD step, for {data_set.unit}.',
    }


def define_attack(data_set: DataSet, steps: int | None = None) -> None:
    """Defines the flags of every attacking program: data, ball, PGD, seed and precision."""
    define_data(data_set.names)
    define_settings(
        'random_start',
        'attack_dtype',
        'as_built',
        words=words_with_unit(data_set),
        epsilon=data_set.epsilon,
        steps=data_set.steps if steps is None else steps,
        step_size=data_set.step_size,
        seed=0,
    )


@about(Subject.NETWORK)
def define_checkpoint(
    name: str,
    default: str | None,
    what: str,
    *,
    released: Collection[str] = (),
    required: bool = True,
) -> None:
    """Defines a flag that names a network; if `required`, it must be given or have a default."""
    names = f'a released name ({", ".join(released)}), ' if released else ''
    define_path(
        name,
        default,
        f'{what}: {names}a model folder, a weights file, or the prefix of a checkpoint (written by '
        'this project or by TF1).',
        required=required and default is None,
    )


@about(Subject.NETWORK)
def define_network(data_set: DataSet) -> None:
    """Defines --checkpoint, the one network of a program, and its alias --model_dir."""
    networks = data_set.networks
    define_checkpoint('checkpoint', networks.default, 'The network', released=networks.origins)
    flags.DEFINE_alias('model_dir', 'checkpoint')


@about(Subject.RESOURCES)
def define_batch_size(batch_size: int) -> None:
    """Defines --batch_size for evaluations."""
    flags.DEFINE_integer('batch_size', batch_size, 'Images per batch.', lower_bound=1)


@about(Subject.ATTACK)
def define_restarts() -> None:
    """Defines --restarts."""
    flags.DEFINE_integer(
        'restarts',
        1,
        'Runs of a random attack; an image counts as robust only if it survives all of them.',
        lower_bound=1,
        upper_bound=2**31 - 1,  # attacks count in int32
    )


@about(Subject.DATA)
def define_num_examples(every: int = 1) -> None:
    """Defines --num_examples and --every, which `chosen_examples` applies.

    Args:
        every: default of --every, unless --num_examples is given.
    """
    flags.DEFINE_integer(
        'num_examples',
        None,
        'Use only this many test images, the first ones in the original order; by default all.',
        lower_bound=1,
    )
    flags.DEFINE_integer(
        'every',
        every,
        'Use only every n-th test image: a fairer sample than the first ones. 1 means all.',
        lower_bound=1,
    )


@about(Subject.OUTPUT)
def define_output_dir(
    default: str = 'results',
    words: str = 'Folder for tables and figures. Results are kept there and reused.',
) -> None:
    """Defines --output_dir, by default the folder of results."""
    define_path('output_dir', default, words)


@about(Subject.TASK)
def define_budget() -> None:
    """Defines --budget."""
    flags.DEFINE_enum(
        'budget',
        'full',
        ['full', 'quick'],
        "'quick' takes a minute or two for a figure or table: it uses every 100th image (unless "
        '--every or --num_examples is given) and fewer restarts and points.',
    )


def chosen_examples() -> slice:
    """The test images that --num_examples=N and --every=n choose: the first N of every n-th.

    A quick budget takes every 100th image unless one of these flags was given.
    """
    step = every()
    stop = None if flags.FLAGS.num_examples is None else flags.FLAGS.num_examples * step
    return slice(None, stop, step)


def every() -> int:
    """The step between the test images that `test_images` uses: --every, or a quick budget's.

    With --num_examples alone it is 1.
    """
    if flags.FLAGS['every'].present:
        return flags.FLAGS.every
    if flags.FLAGS['num_examples'].present:
        return 1
    quick = 'budget' in flags.FLAGS and flags.FLAGS.budget == 'quick'
    return 100 if quick else flags.FLAGS.every


def test_images(data_set: DataSet) -> Examples:
    """The test images that --dataset, --num_examples and --every choose."""
    test = data_set.load('test', dataset=flags.FLAGS.dataset, data_dir=flags.FLAGS.data_dir)
    return test.subset(chosen_examples())


def crafting(batch_size: int) -> Crafting:
    """The Crafting that --seed, --attack_dtype, --jit_compile and --as_built describe."""
    compiled, as_built = (
        name in flags.FLAGS and flags.FLAGS[name].value for name in ('jit_compile', 'as_built')
    )
    return Crafting(batch_size, flags.FLAGS.seed, flags.FLAGS.attack_dtype, compiled, as_built)


def ignored_by(method: str | None) -> tuple[str, ...]:
    """Names of the flags that a --method ignores."""
    if method == 'natural':
        return ('steps', 'step_size', 'random_start', 'restarts', 'source')
    return METHODS[method].ignores if method in METHODS else ()


def _reach() -> float:
    """The distance that all steps of the attack cover, in pixel units; infinite if steps adapt."""
    chosen = {
        name: flags.FLAGS[name].value
        for name in ('method', 'adversary', 'steps')
        if name in flags.FLAGS
    }
    ignored = ignored_by(chosen.get('method'))
    fixed = 'steps' in ignored or 'step_size' in ignored
    if 'steps' not in chosen or fixed or chosen.get('adversary', 'pgd') != 'pgd':
        return float('inf')
    return flags.FLAGS.steps * flags.FLAGS.step_size


def checked_ball(
    data_set: DataSet, epsilon: float | None = None, reach: float | None = None
) -> Ball:
    """The ball of --epsilon; warns on standard error if the radius looks like a mistake.

    Args:
        data_set: has the range of pixels.
        epsilon: radius in pixel units; None takes --epsilon.
        reach: distance that all steps of the attack cover, in pixel units; None asks the flags.
    """
    reach = _reach() if reach is None else reach
    epsilon = flags.FLAGS.epsilon if epsilon is None else epsilon
    ball = data_set.ball(epsilon)
    for words in ball.warnings():
        _warn(words.replace('epsilon=', '--epsilon='))
    if 0 < reach < epsilon * (1 - 1e-6):
        _warn(
            f'--steps times --step_size is {reach:g}, less than --epsilon={epsilon:g}: the '
            'attack cannot cross the ball, and networks look more robust than they are. Raise '
            '--step_size.'
        )
    return ball


def chosen_pgd(data_set: DataSet) -> PGD:
    """The PGD that flags choose, with the warnings of `checked_ball`."""
    chosen = flags.FLAGS
    checked_ball(data_set)
    loss = make_loss(chosen.loss, kappa=chosen.kappa)
    return data_set.pgd(chosen.epsilon, chosen.steps, chosen.step_size, loss, chosen.random_start)


def _warn(words: str) -> None:
    print(f'warning: {words}', file=sys.stderr)
