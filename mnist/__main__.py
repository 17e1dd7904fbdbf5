"""The quick start: the released network A under attack, in about two minutes.

python -m mnist
"""

import sys

import numpy as np
from absl import flags

from common.data.batches import Examples
from common.errors import UserError
from common.evaluation.attack_table import AttackSettings, AttackTable, Published
from common.evaluation.crafting import Crafting
from common.evaluation.rows import table
from common.files import require_writable
from common.programs import cli
from common.programs import flags as shared_flags
from common.report.pictures import write_pairs
from common.threat_model import LinfBall
from common.transfer import Sources
from mnist import dataset, model
from mnist.paper import TABLE_1
from mnist.pgd_attack import BATCH_SIZE, STEP_SIZE, STEPS

FLAGS = flags.FLAGS
_SHOWN = 12  # digits in the picture


def define_flags() -> None:
    """Defines this program's flags."""
    shared_flags.define_data(dataset.DATASETS)
    shared_flags.define_num_examples()
    shared_flags.define_attack_dtype()
    flags.DEFINE_string('picture', 'attack.png', 'Natural and adversarial digits, as a PNG file.')


def main() -> None:
    """Attacks network A, prints a table beside the paper's numbers and writes a picture."""
    require_writable(FLAGS.picture)
    test, real = _load_test(FLAGS.dataset, FLAGS.data_dir)
    test = test.subset(shared_flags.chosen_examples())
    ball = LinfBall(dataset.EPSILON, dataset.LOWER, dataset.UPPER)
    attacks = AttackTable(
        test,
        'A',
        AttackSettings(
            ball, STEP_SIZE, dataset.NUM_CLASSES, Crafting(BATCH_SIZE, dtype=FLAGS.attack_dtype)
        ),
        Sources(model.load),
        Published({'paper': TABLE_1.accuracy} if real else {}),
    )
    print(
        f'Network A on {test.name}, {len(test):,} images, l-inf ball of radius {dataset.EPSILON:g}',
        flush=True,
    )
    adversarial = np.empty_like(test.x)

    def keep(index: np.ndarray, x_adv: np.ndarray) -> None:
        adversarial[index] = x_adv

    print(
        table(
            [
                attacks.natural_row(),
                attacks.row('fgsm', 1, 1, 'A'),
                attacks.row('pgd', STEPS, 1, 'A', on_batch=keep),
            ]
        )
    )
    _write_picture(FLAGS.picture, test, adversarial)


def _load_test(name: str, data_dir: str | None) -> tuple[Examples, bool]:
    """The test images, and whether they are MNIST's."""
    try:
        return dataset.load('test', dataset=name, data_dir=data_dir), name == 'mnist'
    except UserError as error:
        if data_dir is not None:
            raise
        print(
            f'warning: {error}\nwarning: going on with DRAWN digits, which are not MNIST: the '
            "numbers below show the software at work and say nothing about the paper's.",
            file=sys.stderr,
        )
        return dataset.load('test', dataset='drawn'), False


def _write_picture(path: str, test: Examples, adversarial: np.ndarray) -> None:
    """Some digits that withstood the attack, and some that did not."""
    logits = model.load('A').predict(adversarial, batch_size=BATCH_SIZE, verbose=0)
    robust = logits.argmax(axis=1) == test.y
    fooled = np.flatnonzero(~robust)[: _SHOWN // 2]
    chosen = np.concatenate([np.flatnonzero(robust)[: _SHOWN - len(fooled)], fooled])
    write_pairs(
        path,
        test.x[chosen],
        adversarial[chosen],
        robust[chosen],
        lower=dataset.LOWER,
        upper=dataset.UPPER,
    )
    print(
        f'wrote {path}: natural digits above, PGD-{STEPS} (step {STEP_SIZE:g}) below; '
        'framed blue where the network still reads them right, orange where it is fooled'
    )


if __name__ == '__main__':
    cli.run(main, define_flags)
