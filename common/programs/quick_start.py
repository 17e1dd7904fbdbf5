"""The quick start: a released network under attack, in about two minutes."""

import sys

import numpy as np
from absl import flags

from common.data.batches import Examples
from common.errors import UserError
from common.evaluation.attack_table import AttackSettings, AttackTable, Published
from common.evaluation.crafting import Crafting
from common.evaluation.rows import table
from common.files import require_writable
from common.programs import flags as shared_flags
from common.programs.config_flags import define_settings
from common.programs.data_set import DataSet
from common.programs.help_text import about
from common.report.pictures import write_pairs
from common.training.setting import Subject
from common.transfer import Sources

FLAGS = flags.FLAGS
_SHOWN = 12  # images in the picture


def define_flags(data_set: DataSet) -> None:
    """Defines the program's flags."""
    shared_flags.define_data(data_set.names)
    shared_flags.define_num_examples()
    define_settings('attack_dtype')
    with about(Subject.OUTPUT):
        shared_flags.define_path(
            'picture', 'attack.png', 'File for a picture of natural and adversarial images (PNG).'
        )


def main(data_set: DataSet) -> None:
    """Attacks a network, prints a table with the paper's numbers and writes a picture."""
    require_writable(FLAGS.picture)
    test, real = _load_test(data_set)
    test = test.subset(shared_flags.chosen_examples())
    crafting = Crafting(data_set.batch_size, dtype=FLAGS.attack_dtype)
    target = data_set.networks.default
    attacks = AttackTable(
        test,
        target,
        AttackSettings(data_set.ball(), data_set.step_size, len(data_set.classes), crafting),
        Sources(data_set.networks.load),
        Published(data_set.papers if real else {}),
    )
    print(
        f'Network {target} on {test.name}, {len(test):,} images, '
        f'{data_set.kind_of_ball.norm} ball of radius {data_set.epsilon:g}',
        flush=True,
    )
    adversarial = np.empty_like(test.x)

    def keep(index: np.ndarray, x_adv: np.ndarray) -> None:
        adversarial[index] = x_adv

    rows = [
        attacks.natural_row(),
        attacks.row('fgsm', 1, 1, target),
        attacks.row('pgd', data_set.steps, 1, target, on_batch=keep),
    ]
    print(table(rows))
    _write_picture(data_set, test, adversarial)


def _load_test(data_set: DataSet) -> tuple[Examples, bool]:
    """The test images, and whether they are the published ones rather than drawn."""
    name = FLAGS.dataset
    try:
        test = data_set.load('test', dataset=name, data_dir=FLAGS.data_dir)
        return test, data_set.is_real(name)
    except UserError as error:
        if FLAGS.data_dir is not None:
            raise
        print(
            f'warning: {error}\nwarning: continuing with DRAWN patterns, which are not '
            f'{data_set.title}: the numbers below only show that the software works; do not '
            "compare them with the paper's.",
            file=sys.stderr,
        )
        return data_set.load('test', dataset=data_set.names[-1], data_dir=None), False


def _write_picture(data_set: DataSet, test: Examples, adversarial: np.ndarray) -> None:
    """Writes a picture of some images that survived the attack and some that did not."""
    network = data_set.networks.load(data_set.networks.default)
    logits = network.predict(adversarial, batch_size=data_set.batch_size, verbose=0)
    robust = logits.argmax(axis=1) == test.y
    fooled = np.flatnonzero(~robust)[: _SHOWN // 2]
    chosen = np.concatenate([np.flatnonzero(robust)[: _SHOWN - len(fooled)], fooled])
    write_pairs(
        FLAGS.picture,
        test.x[chosen],
        adversarial[chosen],
        robust[chosen],
        lower=data_set.lower,
        upper=data_set.upper,
    )
    print(
        f'wrote {FLAGS.picture}: natural images above, PGD-{data_set.steps} (step '
        f'{data_set.step_size:g}) below; framed blue where the network still classifies them '
        'correctly, orange where it is fooled'
    )
