"""Flags that several programs share, and what programs make of them.

Functions only: a program calls what it needs. Defaults that differ between data sets are arguments.
"""

import sys

from absl import flags

from common.attacks.by_name import METHODS
from common.data.batches import Examples
from common.evaluation.crafting import Crafting
from common.networks.logits import DTYPES
from common.programs.data_set import DataSet
from common.threat_model import Ball, LinfBall

_BYTE_RANGE = 255  # of pixels whose unit is a grey level
_FINITE = 'expected a finite number'
_MOST = 2**31 - 1  # attacks count in int32
_COUNTABLE = f'expected at most {_MOST:,}'


def define_data(names: tuple[str, ...]) -> None:
    """--dataset and --data_dir."""
    stand_in = f' {names[-1]!r} is a stand-in that needs no download.' if len(names) > 1 else ''
    flags.DEFINE_enum('dataset', names[0], list(names), f'Which images.{stand_in}')
    flags.DEFINE_string(
        'data_dir',
        None,
        'Folder of data sets prepared by TensorFlow Datasets. By default '
        'TFDS_DATA_DIR, else ~/tensorflow_datasets; downloads there if need be.',
    )


def define_attack(data_set: DataSet, *, steps: int | None = None, seed: int = 0) -> None:
    """What every program with an attack has: the data, the ball, PGD, the seed, the precision."""
    define_data(data_set.names)
    define_ball(data_set.epsilon, data_set.kind_of_ball.norm)
    define_pgd(data_set.steps if steps is None else steps, data_set.step_size)
    define_seed(seed)
    define_attack_dtype()


def define_ball(epsilon: float, norm: str) -> None:
    """--epsilon."""
    flags.DEFINE_float(
        'epsilon',
        epsilon,
        f'Radius of the {norm} ball, in pixel units of the data set.',
        lower_bound=0.0,
    )
    require_finite('epsilon')


def require_finite(name: str) -> None:
    """Refuses infinity and NaN as the value of a flag."""
    flags.register_validator(name, _is_finite, message=_FINITE)


def define_pgd(steps: int, step_size: float) -> None:
    """--steps, --step_size and --random_start."""
    flags.DEFINE_integer('steps', steps, 'Number of PGD steps.', lower_bound=0)
    flags.register_validator('steps', _is_countable, message=_COUNTABLE)
    flags.DEFINE_float(
        'step_size', step_size, 'Size of a PGD step, in pixel units.', lower_bound=0.0
    )
    flags.register_validator('step_size', _is_finite, message=_FINITE)
    flags.DEFINE_boolean(
        'random_start', True, 'Start PGD from a random point of the ball, not from the image.'
    )


def define_loss(name: str = 'xent') -> None:
    """--loss and --kappa."""
    flags.DEFINE_enum('loss', name, ['xent', 'cw'], 'What the adversary maximizes.')
    flags.DEFINE_float(
        'kappa',
        50.0,
        "Confidence of the 'cw' loss: 0 is the paper's CW, 50 its CW+ and the "
        "challenge's only setting.",
    )
    flags.register_validator('kappa', _is_finite, message=_FINITE)


def define_seed(seed: int) -> None:
    """--seed."""
    flags.DEFINE_integer(
        'seed', seed, 'Seed of everything random.', lower_bound=0, upper_bound=2**31 - 1
    )


def define_attack_dtype() -> None:
    """--attack_dtype."""
    flags.DEFINE_enum(
        'attack_dtype',
        'float32',
        list(DTYPES),
        'Precision in which adversarial examples are crafted. They are always judged in float32.',
    )


def define_jit_compile() -> None:
    """--jit_compile."""
    flags.DEFINE_boolean(
        'jit_compile',
        False,
        'Compile the network and its gradients with XLA, for GPUs and TPUs; on CPUs it is slower.',
    )


def _is_finite(value: float | None) -> bool:
    return value is None or abs(value) < float('inf')


def _is_countable(value: int | None) -> bool:
    return value is None or value <= _MOST


def define_checkpoint(name: str, default: str | None, what: str, *, required: bool = True) -> None:
    """A flag that names a network; without a default it has to be given, if `required`."""
    flags.DEFINE_string(
        name,
        default,
        f'{what}: a released name, a model folder, a weights file, or the prefix of '
        'a checkpoint (of this project or of TF1).',
        required=required and default is None,
    )


def define_network(data_set: DataSet) -> None:
    """--checkpoint, and --model_dir as another name for it: the one network of a program."""
    define_checkpoint('checkpoint', data_set.networks.default, 'The network')
    flags.DEFINE_alias('model_dir', 'checkpoint')


def define_batch_size(batch_size: int) -> None:
    """--batch_size of evaluations."""
    flags.DEFINE_integer('batch_size', batch_size, 'Images a batch.', lower_bound=1)


def define_restarts() -> None:
    """--restarts."""
    flags.DEFINE_integer(
        'restarts',
        1,
        'Runs of the attack; an image counts as robust only if it survives all.',
        lower_bound=1,
    )
    flags.register_validator('restarts', _is_countable, message=_COUNTABLE)


def define_num_examples() -> None:
    """--num_examples and --every; `chosen_examples` applies them."""
    flags.DEFINE_integer(
        'num_examples',
        None,
        'Only the first so many test images, in the original order; all by default.',
        lower_bound=1,
    )
    flags.DEFINE_integer(
        'every',
        1,
        'Only every k-th test image, from the first on: a fairer sample than a prefix.',
        lower_bound=1,
    )


def define_output_dir() -> None:
    """--output_dir of what is meant for the report."""
    flags.DEFINE_string(
        'output_dir',
        'report',
        'Folder of tables and figures for the report. What was computed '
        'is kept there and found again.',
    )


def define_budget() -> None:
    """--budget, for trying out."""
    flags.DEFINE_enum(
        'budget',
        'full',
        ['full', 'quick'],
        "'quick' takes a minute or two for a figure or table: "
        'every 100th image unless --every or --num_examples is given, and fewer '
        'restarts and points.',
    )


def chosen_examples() -> slice:
    """The test images that --num_examples and --every choose: the first N of every k-th.

    A quick budget takes every 100th unless one of them was given.
    """
    step = every()
    stop = None if flags.FLAGS.num_examples is None else flags.FLAGS.num_examples * step
    return slice(None, stop, step)


def every() -> int:
    """--every, or what a quick budget makes of it: `test_images` are every k-th test image."""
    chosen = flags.FLAGS['every'].present or flags.FLAGS['num_examples'].present
    quick = 'budget' in flags.FLAGS and flags.FLAGS.budget == 'quick'
    return 100 if quick and not chosen else flags.FLAGS.every


def test_images(data_set: DataSet) -> Examples:
    """The test images that --dataset, --num_examples and --every choose."""
    test = data_set.load('test', dataset=flags.FLAGS.dataset, data_dir=flags.FLAGS.data_dir)
    return test.subset(chosen_examples())


def crafting(batch_size: int) -> Crafting:
    """How --seed, --attack_dtype and --jit_compile have examples crafted."""
    compiled = 'jit_compile' in flags.FLAGS and flags.FLAGS.jit_compile
    return Crafting(batch_size, flags.FLAGS.seed, flags.FLAGS.attack_dtype, compiled)


def ignored_by(method: str | None) -> tuple[str, ...]:
    """The flags that a --method ignores."""
    if method == 'natural':
        return ('steps', 'step_size', 'random_start', 'restarts', 'source')
    return METHODS[method].ignores if method in METHODS else ()


def _reach() -> float:
    """How far all steps of the chosen attack lead, in pixel units; infinite where steps adapt."""
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
    """The ball of --epsilon, with a warning on standard error where it is hardly what was meant.

    Args:
        data_set: knows the range of pixels.
        epsilon: radius in pixel units; None takes --epsilon.
        reach: how far all steps of the attack lead, in pixel units; None asks the flags.
    """
    reach = _reach() if reach is None else reach
    epsilon = flags.FLAGS.epsilon if epsilon is None else epsilon
    ball, extent = data_set.ball(epsilon), data_set.upper - data_set.lower
    pixels = f'[{ball.lower:g}, {ball.upper:g}]'
    if epsilon >= extent / 2 and isinstance(ball, LinfBall):
        _warn(
            f'--epsilon={epsilon:g} is at least half of the pixel range {pixels}: one grey image '
            'is within reach of every image, so no classifier can be robust. Numbers mean '
            f'something below {extent / 2:g}.'
        )
    if 0 < epsilon < 1 and extent >= _BYTE_RANGE:
        _warn(
            f'--epsilon={epsilon:g} is less than one grey level, since pixels are {ball.lower:g} '
            f'to {ball.upper:g} here. If it was meant on the scale from 0 to 1, multiply it by '
            f'{extent:g}: 8/{extent:g} = {8 / extent:.2g} there is --epsilon=8.'
        )
    if 0 < reach < epsilon * (1 - 1e-6):
        _warn(
            f'--steps times --step_size is {reach:g}, less than --epsilon={epsilon:g}: the '
            'attack cannot cross the ball, and networks look more robust than they are. Raise '
            '--step_size.'
        )
    return ball


def _warn(words: str) -> None:
    print(f'warning: {words}', file=sys.stderr)
