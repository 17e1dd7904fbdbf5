"""Flags that several programs share. Functions only: a program calls what it needs.

Defaults that differ between data sets are arguments.
"""

import hashlib
import os
import pathlib
import re
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from common.attacks.by_name import METHODS, VALIDATION_ATTACKS, Method
from common.errors import UserError
from common.files import require_writable
from common.networks.logits import DTYPES
from common.training.objectives import OBJECTIVES

WORST_CASE = 'worst_case'
"""The --method that is a cascade."""

_FINITE = 'expected a finite number'
_MOST = 2**31 - 1  # attacks count in int32
_COUNTABLE = f'expected at most {_MOST:,}'


def define_data(datasets: tuple[str, ...]) -> None:
    """--dataset and --data_dir."""
    flags.DEFINE_enum(
        'dataset',
        datasets[0],
        list(datasets),
        f'Which images. {datasets[-1]!r} is a stand-in that needs no download.',
    )
    flags.DEFINE_string(
        'data_dir',
        None,
        'Folder of data sets prepared by TensorFlow Datasets. By default '
        'TFDS_DATA_DIR, else ~/tensorflow_datasets; downloads there if need be.',
    )


def define_attack(
    datasets: tuple[str, ...], *, epsilon: float, steps: int, step_size: float, seed: int = 0
) -> None:
    """What every program with an attack has: the data, the ball, PGD, the seed, the precision."""
    define_data(datasets)
    define_ball(epsilon)
    define_pgd(steps, step_size)
    define_seed(seed)
    define_attack_dtype()


def define_ball(epsilon: float) -> None:
    """--epsilon."""
    flags.DEFINE_float(
        'epsilon',
        epsilon,
        'Radius of the l-inf ball, in pixel units of the data set.',
        lower_bound=0.0,
    )
    flags.register_validator('epsilon', _is_finite, message=_FINITE)


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


def define_training(
    *,
    recipes: tuple[str, ...],
    train_steps: int,
    batch_size: int,
    learning_rate: float,
    log_every: int,
    checkpoint_every: int,
    schedule: str = 'constant',
    boundaries: Sequence[int] = (),
) -> None:
    """Everything about training that is not about the network or the optimizer's own constants."""
    flags.DEFINE_enum(
        'recipe', recipes[0], list(recipes), 'A named set of flags. Flags given here override it.'
    )
    flags.DEFINE_enum(
        'adversary',
        'pgd',
        ['pgd', 'fgsm', 'fgsm_rs', 'none'],
        "Who makes the training examples: PGD; one step of size epsilon from the image ('fgsm') or "
        "from a random point ('fgsm_rs'); or nobody ('none': natural training).",
    )
    flags.DEFINE_enum(
        'objective',
        'pgd',
        OBJECTIVES,
        'What training minimizes: the loss of adversarial examples '
        "('pgd', the paper's saddle point, whoever makes them), or TRADES' natural loss plus a "
        'multiple of the divergence under attack.',
    )
    flags.DEFINE_float(
        'trades_beta', 6.0, "That multiple (1/lambda in TRADES' paper).", lower_bound=0.0
    )
    flags.register_validator('trades_beta', _is_finite, message=_FINITE)
    flags.DEFINE_integer('train_steps', train_steps, 'Optimizer steps.', lower_bound=1)
    flags.DEFINE_integer(
        'batch_size', batch_size, 'Examples a step, over all devices.', lower_bound=1
    )
    flags.DEFINE_float(
        'learning_rate',
        learning_rate,
        'Learning rate (the peak, under a schedule).',
        lower_bound=0.0,
    )
    flags.register_validator('learning_rate', _is_finite, message=_FINITE)
    flags.DEFINE_enum(
        'schedule',
        schedule,
        ['constant', 'cosine', 'piecewise'],
        "Learning rate over training. 'piecewise' multiplies it by 0.1 at each --boundaries.",
    )
    flags.DEFINE_integer(
        'learning_rate_warmup',
        0,
        "Steps over which the 'cosine' schedule rises to its peak.",
        lower_bound=0,
    )
    flags.DEFINE_list(
        'boundaries',
        [str(step) for step in boundaries],
        "Steps at which the 'piecewise' schedule drops.",
    )
    flags.DEFINE_integer(
        'epsilon_warmup',
        0,
        "Steps over which the adversary's radius and step size grow from 0.",
        lower_bound=0,
    )
    flags.DEFINE_float(
        'weight_averaging',
        0.0,
        'Decay of the exponential average of the weights, which is then '
        'what is evaluated and saved as *.weights.h5; 0 for none.',
        lower_bound=0.0,
        upper_bound=1.0,
    )
    flags.register_validator(
        'weight_averaging', lambda value: value < 1, message='expected a decay below 1'
    )
    flags.DEFINE_string('model_dir', None, 'Folder of checkpoints, weights, log and config.json.')
    flags.DEFINE_string(
        'init_from',
        None,
        'Start from these weights: a released name, a model folder, a weights '
        'file or the prefix of a TF1 checkpoint.',
    )
    flags.DEFINE_boolean(
        'deterministic', False, 'Use deterministic kernels only: resumed runs repeat every bit.'
    )
    define_jit_compile()
    flags.DEFINE_integer('log_every', log_every, 'Steps between lines of the log.', lower_bound=1)
    flags.DEFINE_integer(
        'checkpoint_every', checkpoint_every, 'Steps between checkpoints.', lower_bound=1
    )
    flags.DEFINE_integer(
        'validate_every',
        0,
        'Steps between evaluations on held-out images, by which '
        'best.weights.h5 is chosen; 0 evaluates at the end only.',
        lower_bound=0,
    )
    flags.DEFINE_enum(
        'validation_attack',
        'pgd',
        list(VALIDATION_ATTACKS),
        'What they are judged under: '
        + '; '.join(f'{name}: {words}' for name, words in VALIDATION_ATTACKS.items())
        + '.',
    )
    flags.DEFINE_float(
        'validation_epsilon',
        None,
        'Radius that they are judged at; by default --epsilon.',
        lower_bound=0.0,
    )
    flags.register_validator('validation_epsilon', _is_finite, message=_FINITE)
    flags.DEFINE_integer(
        'validation_examples', 1000, 'How many held-out images are evaluated.', lower_bound=0
    )


def define_release(names: Sequence[str]) -> None:
    """Flags of the programs that put networks among the released ones.

    Args:
        names: of the networks.
    """
    flags.DEFINE_enum('name', names[0], names, 'Name of the network.')
    flags.DEFINE_list('runs', [], "Model folders of its training's stages.")
    flags.DEFINE_string('weights', 'last.weights.h5', 'Which weights file of the last one.')
    flags.DEFINE_string('commit', None, 'The commit it was trained with.')
    flags.DEFINE_string('machine', None, 'The machine it was trained on.')
    flags.DEFINE_string('notes', '', 'What else a reader should know.')
    flags.DEFINE_list('results', [], 'Files written by eval_attack --json, to add to its entry.')
    define_attack_dtype()


def release_settings() -> dict[str, Any]:
    """These flags' values, as `common.networks.release.put` takes them."""
    return {
        name: flags.FLAGS[name].value
        for name in (
            'name',
            'runs',
            'weights',
            'commit',
            'machine',
            'notes',
            'results',
            'attack_dtype',
        )
    }


def apply_recipe(recipes: dict[str, dict[str, Any]]) -> None:
    """Sets every flag of the chosen --recipe that was not given on the command line."""
    for name, value in recipes[flags.FLAGS.recipe].items():
        if not flags.FLAGS[name].present:
            flags.FLAGS[name].value = value


def drop_what_the_schedule_ignores() -> None:
    """Unsets flags of other schedules that were not given but came from defaults or a recipe."""
    if flags.FLAGS.schedule != 'piecewise' and not flags.FLAGS['boundaries'].present:
        flags.FLAGS.boundaries = []
    warmup = flags.FLAGS['learning_rate_warmup']
    if flags.FLAGS.schedule != 'cosine' and not warmup.present:
        warmup.value = 0


def settle_model_dir(data_set: str) -> None:
    """Gives --model_dir a name that tells what is trained, if it was not given."""
    given = flags.FLAGS
    if given.model_dir is None:
        kind = given.adversary if given.objective == 'pgd' else given.objective
        given.model_dir = f'models/{data_set}_{given.network}_{kind}'


def as_config(without: tuple[str, ...]) -> dict[str, Any]:
    """Contents of config.json: the key flags of the program, except those named."""
    names = [flag.name for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])]
    return {name: flags.FLAGS[name].value for name in sorted(names) if name not in without}


def define_checkpoint(name: str, default: str, what: str) -> None:
    """A flag that names a network."""
    flags.DEFINE_string(
        name,
        default,
        f'{what}: a released name, a model folder, a weights file, or the prefix of '
        'a checkpoint (of this project or of TF1).',
    )


def define_network() -> None:
    """--checkpoint, and --model_dir as another name for it: the one network of a program."""
    define_checkpoint('checkpoint', 'A', 'The network')
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


def define_submission() -> None:
    """--input and --predictions of the checker."""
    flags.DEFINE_string('input', 'attack.npy', 'The adversarial images, a .npy file.')
    flags.DEFINE_string(
        'predictions', 'pred.npy', 'Where the predicted classes are written, as .npy (int64).'
    )


def define_transfer(methods: dict[str, Method], presets: dict[str, str], table: str) -> None:
    """--source, --target, --method, --preset, --output and --table.

    Args:
        methods: the attacks by name.
        presets: name -> what the cascade of --method=worst_case is.
        table: the paper's table that --table runs.
    """
    define_checkpoint('source', 'A', 'The network whose gradients craft the examples')
    define_checkpoint('target', 'A', 'The network that is judged')
    words = '; '.join(f'{name}: {method.words}' for name, method in methods.items())
    flags.DEFINE_enum(
        'method',
        'pgd',
        [*methods, 'natural', WORST_CASE],
        f'The attack. {words}; natural: none; {WORST_CASE}: the cascade of --preset.',
    )
    words = '; '.join(f'{name}: {what}' for name, what in presets.items())
    flags.DEFINE_enum('preset', 'standard', list(presets), f'Of --method={WORST_CASE}. {words}.')
    flags.DEFINE_string(
        'output',
        None,
        f'With --method={WORST_CASE}: a .npy file for the worst example of each '
        'image, as the challenge wants submissions.',
    )
    flags.DEFINE_boolean(
        'table',
        False,
        f"Run the rows of the paper's {table} against --target, those whose source "
        'network is there, instead of one attack.',
    )
    define_output_dir()


def reach() -> float:
    """How far all steps of the chosen attack lead, in pixel units; infinite where steps adapt."""
    chosen = {
        name: flags.FLAGS[name].value for name in ('method', 'adversary') if name in flags.FLAGS
    }
    ignored = _ignored(chosen.get('method'))
    if 'steps' in ignored or 'step_size' in ignored or chosen.get('adversary', 'pgd') != 'pgd':
        return float('inf')
    return flags.FLAGS.steps * flags.FLAGS.step_size


def settle_method() -> None:
    """Sets the method's own default --steps, and looks for flags that --method has no use for.

    Those of other modes are refused, since whoever gives them expects another mode. Those of other
    methods get a warning: who tries one method after the other leaves them in the command.

    Raises:
        UserError: a flag of another mode was given.
    """
    method = flags.FLAGS.method
    if flags.FLAGS.table:
        refuse_with('table', ('source', 'method', 'steps', 'restarts', 'preset', 'output'))
    elif method == WORST_CASE:
        refuse_with(f'method={WORST_CASE}', ('source', 'restarts', 'random_start'))
    else:
        refuse_with(f'method={method}', ('preset', 'output'))
        unused = [f'--{name}' for name in _ignored(method) if flags.FLAGS[name].present]
        if unused:
            print(f'warning: --method={method} has no use for {", ".join(unused)}', file=sys.stderr)
    default = METHODS[method].default_steps if method in METHODS else None
    if default is not None and not flags.FLAGS['steps'].present:
        flags.FLAGS.steps = default


def _ignored(method: str | None) -> tuple[str, ...]:
    """The flags that a method has no use for."""
    if method == 'natural':
        return ('steps', 'step_size', 'random_start', 'restarts', 'source')
    return METHODS[method].ignores if method in METHODS else ()


def require_outputs() -> None:
    """Finds out before hours of work whether eval_attack can write what it is asked for.

    Raises:
        UserError: it cannot, or would write one file over the other.
    """
    output, json = flags.FLAGS.output, flags.FLAGS.json
    if output and json and os.path.realpath(output) == os.path.realpath(json):
        raise UserError(
            f'expected two files at --output and --json; found {output} at both. '
            'Choose another name for one of them.'
        )
    for path in filter(None, (output, json)):
        require_writable(path)
    if flags.FLAGS.table or flags.FLAGS.method == WORST_CASE:
        require_writable(pathlib.Path(flags.FLAGS.output_dir, 'cache', 'any'))


def keeps_results() -> bool:
    """Whether an interrupted eval_attack leaves something to go on from."""
    return bool(flags.FLAGS.table or flags.FLAGS.json or flags.FLAGS.method == WORST_CASE)


def refuse_with(chosen: str, others: tuple[str, ...]) -> None:
    """Refuses flags that were given and that the flag `chosen` makes meaningless.

    Raises:
        UserError: one was given.
    """
    given = [f'--{name}' for name in others if flags.FLAGS[name].present]
    if given:
        raise UserError(
            f'--{chosen} has values of its own; found {", ".join(given)} with it, '
            'which it would ignore. Drop one or the other.'
        )


def define_json() -> None:
    """--json."""
    flags.DEFINE_string(
        'json',
        None,
        'File for the rows as JSON. While it is being computed, FILE.partial (of '
        'what is meant for the report, the folder cache in --output_dir) keeps what is done, and '
        'the same command goes on there after an interruption.',
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


def define_figures(
    figures: dict[str, str], datasets: tuple[str, ...], *, epsilon: str, batch_size: int
) -> None:
    """All flags of the figures' programs.

    Args:
        figures: name -> what it shows.
        datasets: as for `define_data`.
        epsilon: the default radius, in words.
        batch_size: the default one.
    """
    words = '; '.join(f'{name}: {what}' for name, what in figures.items())
    flags.DEFINE_enum('figure', 'all', [*figures, 'all'], f'Which one. {words}; all: each of them.')
    define_data(datasets)
    flags.DEFINE_float(
        'epsilon',
        None,
        f'Radius of the l-inf ball, in pixel units; by default {epsilon}.',
        lower_bound=0.0,
    )
    flags.register_validator('epsilon', _is_finite, message=_FINITE)
    define_output_dir()
    define_budget()
    flags.DEFINE_integer(
        'restarts',
        None,
        'Restarts around an image in figure 1, in figure 2 (at most 200) and in '
        "'landscape' (at most 1,000); by default the paper's.",
        lower_bound=2,
    )
    define_num_examples()
    define_seed(0)
    define_attack_dtype()
    define_batch_size(batch_size)


def study_settings(program: str) -> dict[str, Any]:
    """What the flags of `define_figures` say of a `common.report.figures.study.Study`.

    Args:
        program: name of the module that runs.
    """
    values = flags.FLAGS
    return {
        'command': as_typed(program),
        'output_dir': pathlib.Path(values.output_dir),
        'budget': values.budget,
        'seed': values.seed,
        'attack_dtype': values.attack_dtype,
        'batch_size': values.batch_size,
        'every': _every(),
        'variant': variant(),
        'remark': variant_in_words(),
    }


def as_typed(program: str) -> str:
    """The command line, with the flags that were given and shape what is computed.

    Without --figure, which each figure knows itself.

    Args:
        program: name of its module.
    """
    return shlex.join(['python', '-m', program, *(flag.serialize() for flag in _shaping())])


def variant() -> str:
    """End of an exhibit's name: the flags that make it another one than the default.

    So a quick look does not take the place of what hours have computed.
    """
    given = ''.join(f'_{flag.name}_{_as_name(str(flag.value))}' for flag in _unusual())
    return re.sub(r'[^\w.+-]', '_', given)


def variant_in_words() -> str:
    """The same flags for the end of a title, such as ' (--every=10)'; '' without any."""
    given = ', '.join(f'--{flag.name}={pathlib.Path(str(flag.value)).name}' for flag in _unusual())
    return f' ({given})' if given else ''


def _as_name(value: str) -> str:
    """The last part of a path, and what tells it from others of that name."""
    name = pathlib.Path(value).name
    return name if name == value else f'{name}_{hashlib.sha256(value.encode()).hexdigest()[:8]}'


def _unusual() -> list[flags.Flag]:
    """The flags that make a table or figure another one than the default."""
    return [
        flag
        for flag in _shaping()
        if flag.value != flag.default and flag.name not in ('table', 'method')
    ]


def _shaping() -> list[flags.Flag]:
    """The flags that were given and shape what is computed."""
    without = ('figure', 'output_dir', 'output', 'data_dir', 'json')
    return [
        flag
        for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0])
        if flag.present and flag.name not in without
    ]


def chosen_examples() -> slice:
    """The test images that --num_examples and --every choose: the first N of every k-th.

    A quick budget takes every 100th unless one of them was given.
    """
    every = _every()
    stop = None if flags.FLAGS.num_examples is None else flags.FLAGS.num_examples * every
    return slice(None, stop, every)


def most_restarts() -> int | None:
    """Of a table's rows: few where --budget is quick, None for as many as the paper."""
    return 4 if flags.FLAGS.budget == 'quick' else None


def _every() -> int:
    chosen = flags.FLAGS['every'].present or flags.FLAGS['num_examples'].present
    quick = 'budget' in flags.FLAGS and flags.FLAGS.budget == 'quick'
    return 100 if quick and not chosen else flags.FLAGS.every
