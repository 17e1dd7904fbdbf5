"""The first look: a released network under attack, in about 20 seconds on two cores."""

import sys

import numpy as np
from absl import flags

from common.data.archive import Unavailable
from common.data.batches import Examples
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
    shared_flags.define_num_examples(data_set.first_look_every)
    define_settings('attack_dtype')
    with about(Subject.OUTPUT):
        shared_flags.define_path(
            'picture',
            data_set.first_look_picture or f'{data_set.key}_attack.png',
            'File for a picture of natural and adversarial images (PNG).',
        )


def main(data_set: DataSet) -> None:
    """Attacks a network, prints a table with the paper's numbers and writes a picture."""
    require_writable(FLAGS.picture)
    everything, real = _load_test(data_set)
    test = everything.subset(shared_flags.chosen_examples())
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
        f'Network {target} on {test.name}, {_chosen(test, everything)}, '
        f'{data_set.kind_of_ball.norm} ball of radius {data_set.epsilon:g}, gradients in '
        f'{crafting.dtype}',
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
    _write_picture(data_set, test, adversarial, real)


def _load_test(data_set: DataSet) -> tuple[Examples, bool]:
    """All test images, and whether they are the published ones; says so if they are drawn."""
    name, title = FLAGS.dataset, data_set.title
    stand_in = f'{data_set.drawn}. Accuracies on them say nothing about {title}'
    try:
        test = data_set.load('test', dataset=name, data_dir=FLAGS.data_dir)
    except Unavailable as error:
        if FLAGS.data_dir is not None or name != data_set.names[0] or len(data_set.names) == 1:
            raise
        print(
            f'warning: {error.what}, so the images are {stand_in}. To use {title}, connect to a '
            'network, or name a prepared copy with --data_dir.',
            file=sys.stderr,
        )
        return data_set.load('test', dataset=data_set.names[-1], data_dir=None), False
    real = data_set.is_real(name)
    if not real:
        print(f'The images are {stand_in}.')
    return test, real


def _chosen(test: Examples, everything: Examples) -> str:
    """How many images are attacked, in words, and how to attack all."""
    if len(test) == len(everything):
        return f'all {len(test):,} images'
    words = f'{len(test):,} of {len(everything):,} images'
    if FLAGS['num_examples'].present:
        return words
    return f'{words} (one in {FLAGS.every}; --every=1 attacks all)'


def _write_picture(data_set: DataSet, test: Examples, adversarial: np.ndarray, real: bool) -> None:
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
        drawn=not real,
    )
    print(
        f'wrote {FLAGS.picture}: natural images above, PGD-{data_set.steps} (step '
        f'{data_set.step_size:g}) below; framed blue where the network still classifies them '
        'correctly, orange where it is fooled'
    )
