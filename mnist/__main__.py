"""The quick start: the released network A under attack, in about two minutes.

    python -m mnist
"""

import sys

import numpy as np
from absl import flags

from common import cli
from common import flags as shared_flags
from common.attacks import fgsm
from common.data import Examples
from common.errors import UserError
from common.evaluation import natural_accuracy
from common.logits import ModelLogits
from common.pictures import write_pairs
from common.report import Row, table
from common.threat_model import LinfBall
from common.transfer import Source, transfer_accuracy
from mnist import dataset, model, paper
from mnist.pgd_attack import BATCH_SIZE, STEP_SIZE, STEPS, challenge_pgd

FLAGS = flags.FLAGS
_SHOWN = 12


def define_flags() -> None:
    """Defines this program's flags."""
    shared_flags.define_data(dataset.DATASETS)
    shared_flags.define_num_examples()
    shared_flags.define_attack_dtype()
    flags.DEFINE_string('picture', 'attack.png', 'Natural and adversarial digits, as a PNG file.')


def main() -> None:
    """Attacks network A, prints a table beside the paper's numbers and writes a picture."""
    network = Source('A', model.load('A'))
    test = _load_test().subset(slice(FLAGS.num_examples))
    real = test.name.startswith('MNIST')
    print(f'Network A on {test.name}, {len(test):,} images, l-inf ball of radius '
          f'{dataset.EPSILON:g}', flush=True)
    natural = natural_accuracy(ModelLogits(network.model), test, batch_size=BATCH_SIZE)
    rows = [_row(natural, 'natural', None, None, natural, real)]
    ball = LinfBall(dataset.EPSILON, dataset.LOWER, dataset.UPPER)
    adversarial = np.empty_like(test.x)

    def keep(index: np.ndarray, x_adv: np.ndarray) -> None:
        adversarial[index] = x_adv

    for method, attack in (('fgsm', fgsm(ball)), ('pgd', challenge_pgd())):
        outcome = transfer_accuracy(
            attack, network, network, test, batch_size=BATCH_SIZE,
            attack_dtype=FLAGS.attack_dtype, progress=method, on_batch=keep)
        rows.append(_row(outcome, method, attack.steps, attack.step_size, natural, real))
    print(table(rows))
    _write_picture(test, adversarial, outcome.correct)


def _row(outcome, method: str, steps, step_size, natural, real: bool) -> Row:
    expected = paper.accuracy(method, steps or 0, 1, 'A', 'A', dataset.EPSILON)
    return Row.of(
        outcome, method=method, steps=steps, restarts=steps and 1, step_size=step_size,
        source=steps and 'A', target='A', epsilon=dataset.EPSILON, natural=natural.accuracy,
        paper=expected if real else None)


def _load_test() -> Examples:
    try:
        return dataset.load('test', dataset=FLAGS.dataset, data_dir=FLAGS.data_dir)
    except UserError as error:
        if FLAGS.data_dir is not None:
            raise
        print(f'warning: {error}\nwarning: going on with DRAWN digits, which are not MNIST: the '
              "numbers below show the software at work and say nothing about the paper's.",
              file=sys.stderr)
        return dataset.load('test', dataset='drawn')


def _write_picture(test: Examples, adversarial: np.ndarray, robust: np.ndarray) -> None:
    """Some digits that withstood the attack, and some that did not."""
    fooled = np.flatnonzero(~robust)[:_SHOWN // 2]
    chosen = np.concatenate([np.flatnonzero(robust)[:_SHOWN - len(fooled)], fooled])
    write_pairs(FLAGS.picture, test.x[chosen], adversarial[chosen], robust[chosen],
                lower=dataset.LOWER, upper=dataset.UPPER)
    print(f'wrote {FLAGS.picture}: natural digits above, PGD-{STEPS} (step {STEP_SIZE:g}) below; '
          'framed blue where the network still reads them right, orange where it is fooled')


if __name__ == '__main__':
    cli.run(main, define_flags)
