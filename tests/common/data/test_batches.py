"""Examples; the order of training batches, and their timely delivery to every replica."""

import dataclasses
import time

import numpy as np
import pytest
import tensorflow as tf

from common.data.batches import Examples, ShuffledBatches, batches_from

EXAMPLES = Examples(
    np.arange(20 * 12, dtype=np.float32).reshape(20, 2, 2, 3), np.arange(20, dtype=np.int32), 'x'
)
ORDER = ShuffledBatches(20, 6, seed=3)


def test_subsets_keep_pairs_and_name():
    part = EXAMPLES.subset(slice(3, 7))
    assert (len(EXAMPLES), len(part), part.name) == (20, 4, 'x')
    np.testing.assert_array_equal(part.x, EXAMPLES.x[3:7])
    np.testing.assert_array_equal(part.y, EXAMPLES.y[3:7])
    assert len(EXAMPLES.subset(slice(None))) == 20


def test_the_digest_identifies_name_images_and_labels():
    same = Examples(EXAMPLES.x.copy(), EXAMPLES.y.copy(), 'x')
    assert same.digest() == EXAMPLES.digest() == EXAMPLES.subset(slice(None)).digest()
    others = [
        EXAMPLES.subset(slice(19)),
        dataclasses.replace(EXAMPLES, x=EXAMPLES.x + 1),
        dataclasses.replace(EXAMPLES, y=EXAMPLES.y + 1),
        dataclasses.replace(EXAMPLES, name='y'),
        dataclasses.replace(EXAMPLES, x=EXAMPLES.x.reshape(20, 4, 1, 3)),
    ]
    assert len({examples.digest() for examples in (EXAMPLES, *others)}) == 6


# 60 = 12 batches of 5; 23 leaves a remainder; a batch of all; a batch of one.
SIZES = pytest.mark.parametrize('n, batch_size', [(60, 5), (23, 5), (7, 7), (5, 1), (7, 4)])


@SIZES
def test_every_epoch_covers_everything_once(n, batch_size):
    batches = ShuffledBatches(n, batch_size, seed=1)
    epochs = 5
    stream = np.concatenate([batches(step) for step in range(-(-epochs * n // batch_size))])
    for epoch in stream[: epochs * n].reshape(epochs, n):
        np.testing.assert_array_equal(np.sort(epoch), np.arange(n))


@SIZES
def test_epochs_without_their_remainder(n, batch_size):
    batches, epochs = ShuffledBatches(n, batch_size, seed=1, drop_remainder=True), 5
    size = n // batch_size
    for epoch in range(epochs):
        seen = np.concatenate([batches(epoch * size + i) for i in range(size)])
        assert len(set(seen)) == size * batch_size
        whole = ShuffledBatches(n, n, seed=1)(epoch)
        np.testing.assert_array_equal(seen, whole[: len(seen)])


@SIZES
def test_every_batch_is_full_and_the_same_whenever_it_is_asked_for(n, batch_size):
    in_order = [ShuffledBatches(n, batch_size, seed=1)(step).copy() for step in range(20)]
    assert {batch.shape for batch in in_order} == {(batch_size,)}
    assert {batch.dtype for batch in in_order} == {np.dtype(np.int64)}
    batches = ShuffledBatches(n, batch_size, seed=1)
    for step in (19, 3, 0, 11, 11, 4):
        np.testing.assert_array_equal(batches(step), in_order[step])


def test_epochs_and_seeds_are_shuffled_differently():
    batches = ShuffledBatches(1000, 1000, seed=1)
    orders = [batches(0), batches(1), ShuffledBatches(1000, 1000, seed=2)(0), np.arange(1000)]
    for i, one in enumerate(orders):
        for other in orders[:i]:
            assert (one == other).mean() < 0.02


def test_the_remainder_of_an_epoch_is_joined_with_the_next():
    batches = ShuffledBatches(7, 4, seed=3)
    first, joined = batches(0), batches(1)
    assert sorted([*first, *joined[:3]]) == list(range(7))
    assert joined[3] == ShuffledBatches(7, 7, seed=3)(1)[0]


def test_what_the_caller_does_with_a_batch_does_not_change_later_ones():
    batches = ShuffledBatches(10, 5, seed=4)
    expected = batches(0).copy()
    try:
        batches(0)[:] = 0
    except ValueError:  # refusing is as good as a copy
        pass
    np.testing.assert_array_equal(batches(0), expected)


@pytest.mark.parametrize('batch_size', [0, -1, 11])
def test_batch_sizes_that_do_not_fit_are_refused(batch_size):
    with pytest.raises(ValueError, match=f'between 1 and .* 10; found {batch_size}'):
        ShuffledBatches(10, batch_size, seed=0)


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
    assert max(asked) < 10  # but not without limit
