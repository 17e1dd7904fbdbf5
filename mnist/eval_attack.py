"""Accuracy of an MNIST network under an attack, white box or transferred from another network.

    python -m mnist.eval_attack                          (PGD on the released network A)
    python -m mnist.eval_attack --source=A_nat           (black box: examples made for A_nat)
    python -m mnist.eval_attack --table                  (Table 1 of the paper)
"""

import shutil

from absl import flags

from common import checkpoints, cli
from common import flags as shared_flags
from common.data import Examples
from common.evaluation import natural_accuracy
from common.logits import ModelLogits
from common.methods import METHODS, checked_ball, make_attack
from common.report import Row, table, write_rows
from common.transfer import Source, transfer_accuracy
from mnist import dataset, model, paper
from mnist.pgd_attack import BATCH_SIZE, STEP_SIZE, STEPS

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines this program's flags."""
    shared_flags.define_data(dataset.DATASETS)
    shared_flags.define_ball(dataset.EPSILON)
    shared_flags.define_pgd(STEPS, STEP_SIZE)
    shared_flags.define_restarts()
    shared_flags.define_seed(0)
    shared_flags.define_attack_dtype()
    shared_flags.define_batch_size(BATCH_SIZE)
    shared_flags.define_checkpoint('source', 'A', 'The network whose gradients craft the examples')
    shared_flags.define_checkpoint('target', 'A', 'The network that is judged')
    words = '; '.join(f'{name}: {what}' for name, what in METHODS.items())
    flags.DEFINE_enum('method', 'pgd', list(METHODS), f'The attack. {words}.')
    shared_flags.define_num_examples()
    shared_flags.define_json()
    flags.DEFINE_boolean(
        'table', False, "Run the rows of the paper's Table 1 against --target, those whose source "
        'network is there, instead of one attack.')


class Evaluation:
    """The test images, the networks loaded so far, and the rows they gave.

    Args:
        examples: the images.
        target: reference of the network judged.
    """

    def __init__(self, examples: Examples, target: str):
        self._examples = examples
        self._networks: dict[str, Source] = {}
        self._target = self._network(target)
        self._natural = natural_accuracy(
            ModelLogits(self._target.model), examples, batch_size=FLAGS.batch_size)

    def natural_row(self) -> Row:
        """No attack."""
        name = self._target.name
        return Row.of(
            self._natural, method='natural', steps=None, restarts=None, step_size=None,
            source=None, target=name, epsilon=FLAGS.epsilon, natural=self._natural.accuracy,
            paper=paper.accuracy('natural', 0, 1, name, name, FLAGS.epsilon))

    def row(self, method: str, steps: int, restarts: int, source: str) -> Row:
        """One attack."""
        ball = checked_ball(FLAGS.epsilon, dataset.LOWER, dataset.UPPER)
        one_step = method in ('fgsm', 'fgsm_rs')
        steps, step_size = (1, FLAGS.epsilon) if one_step else (steps, FLAGS.step_size)
        attack = make_attack(
            method, ball, steps=steps, step_size=step_size, restarts=restarts,
            random_start=FLAGS.random_start, num_classes=dataset.NUM_CLASSES)
        name = f'{method}-{steps}x{restarts} from {source}'
        outcome = transfer_accuracy(
            attack, self._network(source), self._target, self._examples,
            batch_size=FLAGS.batch_size, seed=FLAGS.seed, attack_dtype=FLAGS.attack_dtype,
            progress=name, partial_path=_partial_path(name))
        target = self._target.name
        return Row.of(
            outcome, method=method, steps=steps, restarts=restarts, step_size=step_size,
            source=source, target=target, epsilon=FLAGS.epsilon, natural=self._natural.accuracy,
            paper=paper.accuracy(method, steps, restarts, source, target, FLAGS.epsilon))

    def _network(self, reference: str) -> Source:
        if reference not in self._networks:
            self._networks[reference] = Source(reference, model.load(reference))
        return self._networks[reference]


def main() -> None:
    """Reads the flags, evaluates and prints a table."""
    test = dataset.load('test', dataset=FLAGS.dataset, data_dir=FLAGS.data_dir)
    test = test.subset(slice(FLAGS.num_examples))
    evaluation = Evaluation(test, FLAGS.target)
    print(f'{test.name}, {len(test):,} images; target {FLAGS.target}, epsilon {FLAGS.epsilon:g}')
    if FLAGS.table:
        rows = table_1(evaluation)
    else:
        rows = [evaluation.row(FLAGS.method, FLAGS.steps, FLAGS.restarts, FLAGS.source)]
    print(table(rows))
    if FLAGS.json:
        write_rows(FLAGS.json, rows)
        shutil.rmtree(_partial_folder(), ignore_errors=True)


def table_1(evaluation: Evaluation) -> list[Row]:
    """The rows of Table 1 whose source network is there; each is printed when it is done."""
    released = checkpoints.manifest().get('mnist', {})
    rows = [evaluation.natural_row()]
    for wanted in paper.TABLE_1:
        source = FLAGS.target if wanted.source == 'A' else wanted.source
        if wanted.method == 'natural':
            continue
        if source not in released and wanted.source != 'A':
            print(f'{wanted.method} from {source}: left out, that network is not released')
            continue
        rows.append(evaluation.row(wanted.method, wanted.steps, wanted.restarts, source))
        print(table(rows[-1:]).splitlines()[-1], flush=True)
    return rows


def _partial_folder() -> str:
    return f'{FLAGS.json}.partial'


def _partial_path(name: str) -> str | None:
    """Where an interrupted row is kept; without --json nothing is written at all."""
    if not FLAGS.json:
        return None
    return f'{_partial_folder()}/{name.replace("/", "_").replace(" ", "_")}.npz'


if __name__ == '__main__':
    cli.run(main, define_flags)
