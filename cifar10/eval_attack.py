"""Accuracy of a CIFAR-10 network under an attack, white box or transferred from another network.

python -m cifar10.eval_attack                          (PGD on the released network A)
python -m cifar10.eval_attack --source=A_nat           (black box: examples made for A_nat)
python -m cifar10.eval_attack --table                  (Table 2 of the paper)
"""

import pathlib
from typing import Any

from absl import flags

from cifar10 import dataset, model
from cifar10.paper import SIMPLE, TABLE_2
from cifar10.pgd_attack import BATCH_SIZE, STEP_SIZE, STEPS
from cifar10.sources import SOURCES
from common.attacks.by_name import METHODS, checked_ball
from common.evaluation.attack_table import AttackSettings, AttackTable, Published
from common.evaluation.cascades_by_name import PRESETS, preset
from common.evaluation.crafting import Crafting
from common.evaluation.rows import table, write_rows
from common.evaluation.worst_case import Files, evaluate
from common.files import partial_folder
from common.networks import registry
from common.networks.registry import stands_for
from common.programs import cli
from common.programs import flags as shared_flags
from common.report.tables import table_exhibit, worst_case_exhibit
from common.transfer import Sources

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines this program's flags."""
    shared_flags.define_attack(
        dataset.DATASETS, epsilon=dataset.EPSILON, steps=STEPS, step_size=STEP_SIZE
    )
    shared_flags.define_jit_compile()
    shared_flags.define_restarts()
    shared_flags.define_batch_size(BATCH_SIZE)
    shared_flags.define_transfer(METHODS, PRESETS, 'Table 2')
    shared_flags.define_num_examples()
    shared_flags.define_budget()
    shared_flags.define_json()


def main() -> None:
    """Reads the flags, evaluates and prints a table."""
    shared_flags.settle_method()
    shared_flags.require_outputs()
    test = dataset.load('test', dataset=FLAGS.dataset, data_dir=FLAGS.data_dir)
    test = test.subset(shared_flags.chosen_examples())
    cache = (
        pathlib.Path(FLAGS.output_dir, 'cache')
        if FLAGS.table
        else (partial_folder(FLAGS.json) if FLAGS.json else None)
    )
    settings = AttackSettings(
        checked_ball(FLAGS.epsilon, dataset.LOWER, dataset.UPPER, shared_flags.reach()),
        FLAGS.step_size,
        dataset.NUM_CLASSES,
        Crafting(FLAGS.batch_size, FLAGS.seed, FLAGS.attack_dtype, FLAGS.jit_compile),
        FLAGS.random_start,
    )
    real = FLAGS.dataset == 'cifar10'
    released = registry.manifest().get('cifar10', {})
    attacks = AttackTable(
        test,
        FLAGS.target,
        settings,
        Sources(model.load),
        partial_folder=cache,
        published=Published(
            {'paper': TABLE_2.accuracy, 'paper_simple': SIMPLE.accuracy} if real else {},
            stands_for(FLAGS.target, SOURCES),
        ),
    )
    print(
        f'{test.name}, {len(test):,} images; target {FLAGS.target}, epsilon {FLAGS.epsilon:g}',
        flush=True,
    )
    exhibit = None
    if FLAGS.table:
        rows = TABLE_2.run(attacks, FLAGS.target, released, shared_flags.most_restarts())
        exhibit = table_exhibit(
            rows,
            **_shown('table_2', 'table 2', attacks, settings),
            kinds=TABLE_2.kinds,
            why=TABLE_2.why if FLAGS.target == 'A' else (),
        )
    elif FLAGS.method == shared_flags.WORST_CASE:
        others = [name for name in released if name != FLAGS.target]
        stages = preset(
            FLAGS.preset,
            settings.ball,
            steps=FLAGS.steps,
            step_size=FLAGS.step_size,
            num_classes=dataset.NUM_CLASSES,
            others=others,
        )
        judgement = evaluate(
            attacks,
            stages,
            Files(
                cache=pathlib.Path(FLAGS.output_dir, 'cache'),
                json=FLAGS.json,
                images=FLAGS.output,
                shape=test.x.shape,
            ),
            preset=FLAGS.preset,
            others=others,
        )
        exhibit = worst_case_exhibit(
            judgement, **_shown('worst_case', f'worst case of {attacks.target}', attacks, settings)
        )
        rows = [judgement.row]
    else:
        rows = [attacks.row(FLAGS.method, FLAGS.steps, FLAGS.restarts, FLAGS.source)]
    # Before anything is printed, since nobody may be reading any more.
    written = exhibit.write(FLAGS.output_dir) if exhibit is not None else None
    if FLAGS.json and FLAGS.method != shared_flags.WORST_CASE:
        write_rows(FLAGS.json, rows)
        if not FLAGS.table:
            attacks.forget()
    print(table(rows, TABLE_2.kinds))
    if written is not None:
        print(f'wrote {written}')


def _shown(name: str, title: str, attacks: AttackTable, settings: AttackSettings) -> dict[str, Any]:
    """What every exhibit of this program tells of itself."""
    return {
        'key': f'cifar10_{name}{shared_flags.variant()}',
        'title': f'CIFAR-10: {title}{shared_flags.variant_in_words()}',
        'command': shared_flags.as_typed('cifar10.eval_attack'),
        'networks': attacks.digests,
        'setting': f'{attacks.examples.name}, {len(attacks.examples):,} images; {settings}; '
        f'budget {FLAGS.budget}',
    }


def resumes() -> bool:
    """Whether the same command goes on after an interruption."""
    return shared_flags.keeps_results()


if __name__ == '__main__':
    cli.run(main, define_flags)
