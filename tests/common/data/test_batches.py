"""The batches of a training: the right examples for every replica, and ready before they are asked
for."""

import time

import numpy as np
import pytest
import tensorflow as tf

from common.data.batches import Examples, ShuffledBatches, batches_from

EXAMPLES = Examples(
    np.arange(20 * 12, dtype=np.float32).reshape(20, 2, 2, 3), np.arange(20, dtype=np.int32), 'x'
)
ORDER = ShuffledBatches(20, 6, seed=3)


@pytest.mark.parametrize('start', [0, 5])
def test_each_step_gets_its_batch_over_several_epochs(start):
    batches = batches_from(start, EXAMPLES, ORDER, tf.distribute.get_strategy())
    for step in range(start, start + 9):
        x, y = next(batches)
        assert x.dtype == tf.float32 and y.dtype == tf.int32
        np.testing.assert_array_equal(y, ORDER(step))
        np.testing.assert_array_equal(x, EXAMPLES.x[ORDER(step)])


def test_replicas_share_each_batch_in_order():
    strategy = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])
    batches = batches_from(2, EXAMPLES, ORDER, strategy)
    for step in (2, 3, 4):
        x, y = (strategy.experimental_local_results(part) for part in next(batches))
        assert [len(part) for part in x] == [3, 3]
        np.testing.assert_array_equal(np.concatenate(y), ORDER(step))
        np.testing.assert_array_equal(np.concatenate(x), EXAMPLES.x[ORDER(step)])


@pytest.mark.parametrize('host, of_first_replica', [(0, 0), (1, 2)])
def test_hosts_take_their_own_shares(host, of_first_replica):
    """Two hosts with two replicas each."""

    class Strategy:
        num_replicas_in_sync = 4

        @staticmethod
        def distribute_datasets_from_function(of_host):
            return of_host(tf.distribute.InputContext(2, host, 4))

    order = ShuffledBatches(20, 8, seed=1)
    batches = batches_from(1, EXAMPLES, order, Strategy)
    for step in (1, 2, 3):
        for replica in (of_first_replica, of_first_replica + 1):
            x, y = next(batches)
            expected = order(step)[2 * replica : 2 * replica + 2]
            np.testing.assert_array_equal(y, expected)
            np.testing.assert_array_equal(x, EXAMPLES.x[expected])


def test_the_next_batches_are_prepared_without_being_asked_for():
    asked = []

    class Recording(ShuffledBatches):
        def __call__(self, step):
            asked.append(step)
            return super().__call__(step)

    batches = batches_from(0, EXAMPLES, Recording(20, 6, 3), tf.distribute.get_strategy())
    next(batches)
    deadline = time.monotonic() + 20
    while max(asked) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert max(asked) >= 2
    time.sleep(0.2)
    assert max(asked) < 10  # but not without bound
