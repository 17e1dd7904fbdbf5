"""Speed of the compiled PGD attack on network A, compared with simpler code and the machine's peak.

    python benchmarks/pgd.py

Measures image gradients per second: images times gradient steps, divided by wall time without
compilation. Variants alternate; the result is the median of the repeats. The peak is the speed of
large matrix products just before and after each attack, since shared machines are not equally fast
all day.

    compiled   one batch at a time
    together   several batches at a time, which is how evaluations and cascades run
               (common/evaluation/concurrent_batches.py)
    as built   one batch; the network as Keras computes it, not as common/networks/fast_gradients.py
    eager      as built, with the loop run step by step
"""

import common  # noqa: F401  (quiets TensorFlow, which the lines below import)

# isort: split
import dataclasses
import functools
import statistics
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from absl import flags
from machine import describe_machine

from common.attacks import CompiledAttack
from common.evaluation.concurrent_batches import in_order, workers
from common.networks.logits import DTYPES, ModelLogits
from common.programs import cli
from mnist import dataset, model
from mnist.pgd_attack import challenge_pgd

FLAGS = flags.FLAGS

# Floating-point operations of network A's forward pass (mnist/model.py): conv1, conv2, two dense
# layers. An input gradient costs the forward pass and about as much again.
_FORWARD = 2 * (28 * 28 * 25 * 32 + 14 * 14 * 25 * 32 * 64 + 3136 * 1024 + 1024 * 10)
FLOP_PER_GRADIENT = 2 * _FORWARD
_SIZE = 2048  # rows and columns of the multiplied matrices


def define_flags() -> None:
    """Defines this program's flags."""
    flags.DEFINE_list('batch_sizes', ['50', '200', '500'], 'Batch sizes to measure.')
    flags.register_validator(
        'batch_sizes',
        lambda sizes: all(size.isdecimal() and int(size) > 0 for size in sizes),
        message='expected whole numbers above 0, separated by commas',
    )
    flags.DEFINE_integer('steps', 40, 'PGD steps of an attack.', lower_bound=1)
    flags.DEFINE_integer('repeats', 5, 'Timed attacks per variant.', lower_bound=1)


def main() -> None:
    """Measures and prints a table."""
    print(describe_machine())
    print(
        f'{"batch":>5}  {"variant":<18}{"gradients/s":>12}{"GFLOP/s peak":>14}{"of peak":>9}'
        f'{"vs eager":>10}'
    )
    network = model.network_a()
    for batch_size in map(int, FLAGS.batch_sizes):
        measured = _measure(network, batch_size)
        for variant, attacks in measured.items():
            rate, peak = attacks.rate, statistics.median(attacks.peaks)
            against = rate / measured['eager float32'].rate
            print(
                f'{batch_size:>5}  {variant:<18}{rate:>12,.0f}{peak / 1e9:>14,.0f}'
                f'{attacks.share:>9.0%}{against:>9.2f}x',
                flush=True,
            )


@dataclasses.dataclass
class _Attacks:
    """Timed attacks of one variant: image gradients per second, and FLOP/s of matrix products."""

    rates: list[float] = dataclasses.field(default_factory=list)
    peaks: list[float] = dataclasses.field(default_factory=list)

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    @property
    def share(self) -> float:
        return statistics.median(
            rate * FLOP_PER_GRADIENT / peak
            for rate, peak in zip(self.rates, self.peaks, strict=True)
        )


class _AsBuilt(ModelLogits):
    """A network that attacks also compute layer by layer, as Keras does."""

    def _rearranged(self, dtype: str) -> None:
        return None


def _measure(network: keras.Model, batch_size: int) -> dict[str, _Attacks]:
    """Variant -> its timed attacks."""
    rng = np.random.default_rng(0)
    x = tf.constant(rng.random((batch_size, *dataset.IMAGE_SHAPE), np.float32))
    y = tf.constant(rng.integers(0, dataset.NUM_CLASSES, batch_size), tf.int32)
    attack = challenge_pgd(steps=FLAGS.steps)
    compiled = {dtype: CompiledAttack(attack, ModelLogits(network, dtype)) for dtype in DTYPES}
    variants: dict[str, Callable] = {f'compiled {dtype}': compiled[dtype] for dtype in DTYPES}
    variants |= {
        f'as built {dtype}': CompiledAttack(attack, _AsBuilt(network, dtype)) for dtype in DTYPES
    }
    one_step = dataclasses.replace(attack, steps=1, random_start=False)

    def eager(x, y, seed):
        x_adv = attack.ball.sample(x, seed)
        for _ in range(FLAGS.steps):
            x_adv = one_step(network, x_adv, y, seed=seed)
        return x_adv

    variants['eager float32'] = eager
    several = 2 * workers()
    variants |= {f'together {dtype}': _together(compiled[dtype], several) for dtype in DTYPES}
    batches = {name: several if name.startswith('together') else 1 for name in variants}
    measured = {name: _Attacks() for name in variants}
    for repeat in range(-1, FLAGS.repeats):  # the first round compiles and is not counted
        for name, variant in variants.items():
            dtype = 'bfloat16' if 'bfloat16' in name else 'float32'
            before, start = _matmul_rate(dtype), time.perf_counter()
            np.asarray(variant(x, y, seed=(0, repeat + 1)))
            seconds, after = time.perf_counter() - start, _matmul_rate(dtype)
            if repeat >= 0:
                measured[name].rates.append(batches[name] * batch_size * FLAGS.steps / seconds)
                measured[name].peaks.append((before + after) / 2)
    return measured


def _together(attack: CompiledAttack, batches: int) -> Callable:
    """Runs the attack on `batches` batches, as many at a time as evaluations do."""

    def run(x, y, seed):
        return list(in_order(lambda i: attack(x, y, seed=(*seed[:1], i)).numpy(), range(batches)))

    return run


@functools.cache
def _matmul(dtype: str) -> Callable[[], tf.Tensor]:
    a = tf.cast(tf.random.stateless_normal([_SIZE, _SIZE], [0, 0]), dtype)
    multiply = tf.function(tf.matmul)
    multiply(a, a)
    return lambda: multiply(a, a)[0, 0].numpy()


def _matmul_rate(dtype: str) -> float:
    """Floating-point operations per second of a large matrix product, the median of seven."""
    multiply, seconds = _matmul(dtype), []
    for _ in range(7):
        start = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - start)
    return 2 * _SIZE**3 / statistics.median(seconds)


if __name__ == '__main__':
    cli.run(main, define_flags)
