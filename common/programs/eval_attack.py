"""Accuracy under an attack: white box or transferred, a table of the paper, or a cascade."""

import pathlib
import sys
from typing import Any

from absl import flags

from common import distribution
from common.attacks.by_name import METHODS
from common.errors import UserError
from common.evaluation.attack_table import AttackSettings, AttackTable, Published
from common.evaluation.cascades_by_name import PRESETS, preset
from common.evaluation.rows import Row, table, write_rows
from common.evaluation.worst_case import Files, evaluate
from common.files import partial_folder, require_apart, require_writable
from common.programs import as_typed
from common.programs import flags as shared_flags
from common.programs.config_flags import define_settings
from common.programs.data_set import DataSet
from common.programs.help_text import about
from common.report.exhibit import SUFFIX, Exhibit
from common.report.tables import table_exhibit, worst_case_exhibit
from common.statistics import counted
from common.training.setting import Subject, with_rows
from common.transfer import Sources

FLAGS = flags.FLAGS
WORST_CASE = 'worst_case'
"""The --method that runs a cascade."""


def define_flags(data_set: DataSet) -> None:
    """Defines the program's flags."""
    released = data_set.networks.origins
    shared_flags.define_checkpoint(
        'target',
        data_set.networks.default,
        'The network whose accuracy is measured',
        released=released,
    )
    shared_flags.define_checkpoint(
        'source',
        None,
        'The network whose gradients craft the examples (default: the one of --target)',
        released=released,
        required=False,
    )
    methods = {
        **{name: method.words for name, method in METHODS.items()},
        'natural': 'no attack',
        WORST_CASE: 'the cascade that --preset names',
    }
    with about(Subject.ATTACK):
        flags.DEFINE_enum('method', 'pgd', list(methods), with_rows('The attack.', methods))
        words = with_rows(f'The cascade of --method={WORST_CASE}.', PRESETS)
        flags.DEFINE_enum('preset', 'standard', list(PRESETS), words)
    shared_flags.define_restarts()
    shared_flags.define_attack(data_set)
    define_settings('jit_compile')
    shared_flags.define_batch_size(data_set.batch_size)
    with about(Subject.TASK):
        flags.DEFINE_boolean(
            'table',
            False,
            f"Instead of one attack, run the rows of the paper's {data_set.table_name} against "
            '--target, if their source network is available.',
        )
    shared_flags.define_budget()
    shared_flags.define_num_examples()
    with about(Subject.OUTPUT):
        shared_flags.define_path(
            'json',
            None,
            'File for the results, as JSON. Partial results are kept in FILE.partial (those of '
            'tables and cascades in the folder cache of --output_dir), and the same command '
            'resumes an interrupted run.',
        )
        shared_flags.define_path(
            'output',
            None,
            f'With --method={WORST_CASE}: a .npy file for the worst example of each image, in the '
            "challenge's format for submissions.",
        )
    shared_flags.define_output_dir()


def resumes() -> bool:
    """Whether the same command resumes an interrupted run."""
    return bool(FLAGS.table or FLAGS.json or FLAGS.method == WORST_CASE)


def main(data_set: DataSet) -> None:
    """Reads the flags, evaluates and prints a table."""
    hosts = distribution.join()
    hosts.require_same('flags', sys.argv[1:])
    with hosts.first_prints():
        _evaluate(data_set, writes=hosts.first)


def _evaluate(data_set: DataSet, *, writes: bool) -> None:
    _settle_method(data_set)
    _require_outputs(data_set)
    attacks = _attack_table(data_set)
    test = attacks.examples
    print(
        f'{test.name}, {counted(len(test), "image")}; target {FLAGS.target}, '
        f'epsilon {FLAGS.epsilon:g}',
        flush=True,
    )
    exhibit = None
    if FLAGS.table:
        rows, exhibit = _papers_table(data_set, attacks)
    elif FLAGS.method == WORST_CASE:
        rows, exhibit = _worst_case(data_set, attacks)
    else:
        source = FLAGS.target if FLAGS.source is None else FLAGS.source
        rows = [attacks.row(FLAGS.method, FLAGS.steps, FLAGS.restarts, source)]
    # Files before the table: printing fails if the reader of the output is gone.
    written = exhibit.write(FLAGS.output_dir) if exhibit is not None and writes else None
    if FLAGS.json and FLAGS.method != WORST_CASE:
        if writes:
            write_rows(FLAGS.json, rows)
        if not FLAGS.table:
            attacks.forget()
    print(table(rows, data_set.table.kinds if data_set.table else None))
    if written is not None:
        print(f'wrote {written}')


def _attack_table(data_set: DataSet) -> AttackTable:
    test = shared_flags.test_images(data_set)
    cache = None
    if FLAGS.table:
        cache = pathlib.Path(FLAGS.output_dir, 'cache')
    elif FLAGS.json:
        cache = partial_folder(FLAGS.json)
    settings = AttackSettings(
        shared_flags.checked_ball(data_set),
        FLAGS.step_size,
        len(data_set.classes),
        shared_flags.crafting(FLAGS.batch_size),
        FLAGS.random_start,
    )
    papers = data_set.papers if data_set.is_real(FLAGS.dataset) else {}
    return AttackTable(
        test,
        FLAGS.target,
        settings,
        Sources(data_set.networks.load),
        partial_folder=cache,
        published=Published(papers, data_set.networks.stands_for(FLAGS.target)),
    )


def _papers_table(data_set: DataSet, attacks: AttackTable) -> tuple[list[Row], Exhibit]:
    """Runs the paper's table; returns its rows and its exhibit."""
    most_restarts = 4 if FLAGS.budget == 'quick' else None
    rows = data_set.table.run(attacks, FLAGS.target, data_set.networks.manifest(), most_restarts)
    exhibit = table_exhibit(
        rows,
        **_shown(data_set, _name_of_table(data_set), data_set.table_name.lower(), attacks),
        kinds=data_set.table.kinds,
        why=data_set.table.why if FLAGS.target == data_set.networks.default else (),
    )
    return rows, exhibit


def _worst_case(data_set: DataSet, attacks: AttackTable) -> tuple[list[Row], Exhibit]:
    """Runs a cascade; returns its row and its exhibit."""
    settings, test = attacks.settings, attacks.examples
    others = [name for name in data_set.networks.manifest() if name != FLAGS.target]
    stages = preset(
        FLAGS.preset,
        settings.ball,
        steps=FLAGS.steps,
        step_size=FLAGS.step_size,
        num_classes=settings.num_classes,
        others=others,
    )
    judgement = evaluate(
        attacks,
        stages,
        Files(
            cache=pathlib.Path(FLAGS.output_dir, 'cache'),
            json=FLAGS.json,
            images=FLAGS.output,
            shape=(len(test), *data_set.submission_shape),
        ),
        preset=FLAGS.preset,
        others=others,
    )
    exhibit = worst_case_exhibit(
        judgement, **_shown(data_set, 'worst_case', f'worst case of {attacks.target}', attacks)
    )
    return [judgement.row], exhibit


def _shown(data_set: DataSet, name: str, title: str, attacks: AttackTable) -> dict[str, Any]:
    """The arguments that all exhibits of this program share."""
    test = attacks.examples
    return {
        'key': _key(data_set, name),
        'title': f'{data_set.title}: {title}{as_typed.in_words()}',
        'command': as_typed.command(f'{data_set.key}.eval_attack'),
        'networks': attacks.digests,
        'setting': f'{test.name}, {counted(len(test), "image")}; {attacks.settings}; '
        f'budget {FLAGS.budget}',
    }


def _key(data_set: DataSet, name: str) -> str:
    """The key of an exhibit, after which its file is called."""
    return f'{data_set.key}_{name}{as_typed.suffix()}'


def _name_of_table(data_set: DataSet) -> str:
    return data_set.table_name.lower().replace(' ', '_')


def _settle_method(data_set: DataSet) -> None:
    """Sets a method's default --steps, and complains about given flags that would be ignored.

    Flags of another mode are an error, since they show that another mode was meant. Flags of
    another method only give a warning: they often stay in the command while one tries methods.

    Raises:
        UserError: a flag of another mode was given.
    """
    if FLAGS.table:
        if data_set.table is None:
            raise UserError(f'--table: the paper has no table of {data_set.title}. Drop it.')
        _refuse_with('table', ('source', 'method', 'steps', 'restarts', 'preset', 'output'))
    elif FLAGS.method == WORST_CASE:
        _refuse_with(f'method={WORST_CASE}', ('source', 'restarts', 'random_start'))
    else:
        _refuse_with(f'method={FLAGS.method}', ('preset', 'output'))
        unused = [
            f'--{name}' for name in shared_flags.ignored_by(FLAGS.method) if FLAGS[name].present
        ]
        if unused:
            print(
                f'warning: --method={FLAGS.method} has no use for {", ".join(unused)}',
                file=sys.stderr,
            )
    default = METHODS[FLAGS.method].default_steps if FLAGS.method in METHODS else None
    if default is not None and not FLAGS['steps'].present:
        FLAGS.steps = default


def _refuse_with(chosen: str, others: tuple[str, ...]) -> None:
    """Raises UserError if a flag was given that has no meaning together with `chosen`."""
    given = [f'--{name}' for name in others if FLAGS[name].present]
    if given:
        raise UserError(
            f'--{chosen} sets its own values and would ignore {", ".join(given)}. '
            'Drop one or the other.'
        )


def _require_outputs(data_set: DataSet) -> None:
    """Fails early if an output cannot be written.

    Raises:
        UserError: one cannot be written, or one file would overwrite another.
    """
    output, json = FLAGS.output, FLAGS.json
    require_apart(
        {'--json': json, '--output': output},
        {'--target': [FLAGS.target], '--source': [FLAGS.source]},
    )
    for path in filter(None, (output, json)):
        require_writable(path)
    if FLAGS.table or FLAGS.method == WORST_CASE:
        name = _name_of_table(data_set) if FLAGS.table else 'worst_case'
        require_writable(pathlib.Path(FLAGS.output_dir, 'cache', 'any'))
        require_writable(pathlib.Path(FLAGS.output_dir, f'{_key(data_set, name)}{SUFFIX}'))
