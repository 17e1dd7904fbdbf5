"""Memory does not grow with the number of images: those on disk are never copied as a whole."""

import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.attacks import PGD
from common.data.batches import Examples
from common.data.spool import spooled
from common.evaluation.accuracy import Judge, natural_accuracy
from common.evaluation.attack_table import AttackSettings, AttackTable
from common.evaluation.cascade import adversarial_accuracy
from common.evaluation.crafting import Crafting
from common.evaluation.images_on_disk import ImagesOnDisk
from common.evaluation.resumable import PartialResult
from common.evaluation.worst_case import _checks
from common.threat_model import LinfBall
from common.transfer import Sources

N, SIZE, PIXELS = 1_000, 25, 10_000
BATCH = SIZE * PIXELS * 4  # bytes; the whole takes 40 of them
BALL = LinfBall(0.1)
ATTACK = PGD(BALL, 1, 0.1)


def network(x):
    return x[:, :4]


def as_float32(path):
    rng = np.random.default_rng(0)
    batches = ((rng.random((SIZE, PIXELS), np.float32), np.zeros(SIZE)) for _ in range(N // SIZE))
    return spooled(batches, path.parent)


def as_bytes(path):
    images = np.lib.format.open_memmap(path, 'w+', np.uint8, (N, PIXELS))
    images[:, 0] = np.arange(N) % 2
    return Examples(np.load(path, mmap_mode='r'), np.zeros(N, np.int32), 'bytes')


def by_columns(path):
    images = np.lib.format.open_memmap(path, 'w+', np.float32, (N, PIXELS), fortran_order=True)
    images[:, 1] = np.arange(N) % 2
    return Examples(np.load(path, mmap_mode='r'), np.zeros(N, np.int32), 'columns')


def every_other(path):
    return as_float32(path).subset(slice(None, None, 2))


def most(work):
    """Bytes that Python and NumPy held at most in addition while `work` ran, in batches."""
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1] / BATCH
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('stored', [as_float32, as_bytes, by_columns, every_other])
def test_examples_on_disk_are_read_batch_by_batch(tmp_path, stored):
    examples, judge = stored(tmp_path / 'x.npy'), Judge(network)
    crafting = Crafting(SIZE)
    images = {}

    def attacked():
        images['kept'] = ImagesOnDisk(PartialResult(tmp_path / 'state.npz', 'key'), examples)
        images['outcome'] = adversarial_accuracy(
            ATTACK, network, network, examples, crafting=crafting, on_batch=images['kept'].keep
        )

    natural_accuracy(judge, examples.subset(slice(SIZE)), batch_size=SIZE)  # compiled
    assert most(examples.digest) < 10
    assert most(lambda: natural_accuracy(judge, examples, batch_size=SIZE)) < 12
    assert most(attacked) < 16
    kept = images['kept']
    assert most(lambda: kept.require(judge, BALL, examples, images['outcome'].correct, SIZE)) < 16
    assert most(lambda: kept.write(tmp_path / 'out.npy', (len(examples), -1))) < 10
    written = np.load(tmp_path / 'out.npy', mmap_mode='r')
    index = np.arange(0, len(examples), 97)
    inside = BALL.contains(tf.constant(written[index]), tf.constant(examples.batch(index)[0]))
    assert inside.numpy().all() and np.abs(written[index] - examples.x[index]).max() > 0.05


def test_checks_take_a_sample_of_examples_on_disk(tmp_path):
    examples = as_float32(tmp_path / 'x.npy')
    model = keras.Sequential([keras.Input((PIXELS,)), keras.layers.Dense(4)])
    attacks = AttackTable(
        examples,
        'A',
        AttackSettings(BALL, 0.1, num_classes=4, crafting=Crafting(SIZE)),
        Sources(lambda _: model),
    )
    checks = _checks(attacks, ATTACK, [], np.ones(N, bool))
    assert most(lambda: [next(checks) for _ in range(3)]) < 30


def test_the_same_examples_have_the_same_digest_wherever_they_are(tmp_path):
    x, y = np.random.default_rng(0).random((300, 40), np.float32), np.zeros(300, np.int32)
    np.save(tmp_path / 'x.npy', np.asfortranarray(x))
    on_disk = Examples(np.load(tmp_path / 'x.npy', mmap_mode='r'), y, 'x')
    assert on_disk.digest() == Examples(x, y, 'x').digest()
    assert on_disk.subset(slice(None, None, 7)).digest() == Examples(x[::7], y[::7], 'x').digest()
    assert on_disk.digest() != Examples(x + 1, y, 'x').digest()
