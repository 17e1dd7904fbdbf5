"""Speed of adversarial training of CIFAR-10's network, and of the input pipeline alone.

    python benchmarks/training.py

Measures images per second through whole training steps (crafting, update, moving averages), as
`cifar10.train` runs them, without compilation. The input pipeline is measured alone to show that
training never waits for it.
"""

import common  # noqa: F401  (quiets TensorFlow, which the lines below import)

# isort: split
import contextlib
import csv
import io
import itertools
import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf
from absl import flags
from machine import describe_machine

from cifar10 import dataset, model
from cifar10.data_set import CIFAR10
from common.data.batches import Examples, ShuffledBatches, batches_from
from common.networks.logits import DTYPES
from common.programs import cli
from common.training.optimizers import Momentum
from common.training.schedules import Piecewise
from common.training.settings import Settings
from common.training.trainer import Data, Trainer

FLAGS = flags.FLAGS


def define_flags() -> None:
    """Defines this program's flags."""
    flags.DEFINE_enum('width', 'simple', list(model.WIDTHS), 'Width of network A.')
    flags.DEFINE_integer('batch_size', 128, 'Examples per training step.', lower_bound=1)
    flags.DEFINE_integer(
        'steps', CIFAR10.watched_steps, 'PGD steps per training step.', lower_bound=0
    )
    flags.DEFINE_integer('train_steps', 20, 'Timed training steps.', lower_bound=1)


def main() -> None:
    """Measures and prints a table."""
    print(describe_machine())
    print(f'{FLAGS.width} network, batch {FLAGS.batch_size}, PGD-{FLAGS.steps}')
    examples = _examples(max(FLAGS.batch_size, 2048))
    print(f'{"variant":<16}{"images/s":>12}{"s a step":>10}{"against float32":>17}')
    base = None
    for jit_compile, dtype in itertools.product((False, True), DTYPES):
        rate = _training_rate(examples, dtype, jit_compile)
        base = base or rate
        _print_row(f'{dtype}{" XLA" if jit_compile else ""}', rate, base)
    _print_row('input alone', _input_rate(examples), base)


def _print_row(variant: str, rate: float, base: float) -> None:
    print(
        f'{variant:<16}{rate:>12,.0f}{FLAGS.batch_size / rate:>10.4f}{rate / base:>16.2f}x',
        flush=True,
    )


def _examples(count: int) -> Examples:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (count, *dataset.IMAGE_SHAPE)).astype(np.float32)
    return Examples(x, rng.integers(0, dataset.NUM_CLASSES, count).astype(np.int32), 'noise')


def _training_rate(examples: Examples, dtype: str, jit_compile: bool) -> float:
    settings = Settings(
        train_steps=FLAGS.train_steps + 2,
        batch_size=FLAGS.batch_size,
        seed=0,
        learning_rate=Piecewise((0.1,)),
        optimizer=Momentum(),
        attack=CIFAR10.pgd(steps=FLAGS.steps),
        sum_loss=False,
        weight_decay=2e-4,
        crafting='train',
        attack_dtype=dtype,
        train_dtype=dtype,
        jit_compile=jit_compile,
        drop_remainder=True,
        log_every=FLAGS.train_steps,
        checkpoint_every=FLAGS.train_steps + 2,
    )
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
        folder = pathlib.Path(folder)
        with contextlib.redirect_stdout(io.StringIO()):
            Trainer(
                network=model.network_a(FLAGS.width),
                settings=settings,
                data=Data(
                    examples, augment=dataset.AUGMENTATION, pixels=(CIFAR10.lower, CIFAR10.upper)
                ),
                model_dir=folder,
            ).train()
        rows = list(csv.DictReader((folder / 'log.csv').open()))
    return float(rows[1]['examples_per_second'])


def _input_rate(examples: Examples, batches: int = 500) -> float:
    order = ShuffledBatches(len(examples), FLAGS.batch_size, seed=0)
    stream = batches_from(0, examples, order, tf.distribute.get_strategy())
    next(stream)
    start = time.perf_counter()
    for _ in range(batches):
        next(stream)
    return batches * FLAGS.batch_size / (time.perf_counter() - start)


if __name__ == '__main__':
    cli.run(main, define_flags)
