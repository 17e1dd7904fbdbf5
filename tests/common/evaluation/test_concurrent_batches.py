"""Several batches at a time: their order, how far ahead, and what errors do."""

import threading

import pytest
import tensorflow as tf

from common.evaluation import concurrent_batches
from common.evaluation.concurrent_batches import in_order


@pytest.fixture(params=[1, 2, 3])
def count(request, monkeypatch):
    monkeypatch.setattr(concurrent_batches, 'workers', lambda: request.param)
    return request.param


@pytest.mark.parametrize('n', [0, 1, 7])
def test_results_come_in_the_order_of_the_items(count, n):
    later = [threading.Event() for _ in range(n + 1)]

    def work(i):
        # With several workers each item waits for the next one to begin, where there is one.
        later[i].set()
        if count > 1 and i + 1 < n:
            assert later[i + 1].wait(10)
        return i * i

    assert list(in_order(work, range(n))) == [i * i for i in range(n)]


def test_no_more_items_are_taken_than_are_worked_on_and_one(count):
    taken = []

    def items():
        for i in range(100):
            taken.append(i)
            yield i

    results = in_order(lambda item: item, items())
    for done in range(1, 6):
        next(results)
        assert done <= len(taken) <= done + count
    results.close()


def test_an_error_comes_after_the_results_before_it(count):
    def work(i):
        if i == 3:
            raise ValueError('the fourth')
        return i

    found = []
    with pytest.raises(ValueError, match='the fourth'):
        for result in in_order(work, range(10)):
            found.append(result)
    assert found == [0, 1, 2]


def test_nothing_is_begun_after_the_caller_has_stopped(count):
    begun = []
    results = in_order(begun.append, range(100))
    next(results)
    results.close()
    assert len(begun) <= 2 + 2 * count


@pytest.mark.parametrize('gpus', [1, 2])
def test_each_gpu_takes_one_at_a_time(monkeypatch, gpus):
    assert concurrent_batches.workers() >= 1
    monkeypatch.setattr(tf.config, 'get_visible_devices', lambda kind: [kind] * gpus)
    assert concurrent_batches.devices() == [f'GPU:{i}' for i in range(gpus)]
    assert concurrent_batches.workers() == gpus


def test_a_batch_is_computed_on_a_device_that_is_free(monkeypatch):
    monkeypatch.setattr(concurrent_batches, 'devices', lambda: ['GPU:0', 'GPU:1'])
    scopes, both = [], threading.Barrier(2)
    monkeypatch.setattr(
        concurrent_batches.tf, 'device', lambda name: scopes.append(name) or tf.name_scope('x')
    )
    list(in_order(lambda _: both.wait(10), range(6)))  # always two at a time
    assert len(scopes) == 6 and scopes.count('GPU:0') == scopes.count('GPU:1') == 3


def test_a_process_confined_to_some_cores_takes_no_more(monkeypatch):
    for cores, expected in ((1, 1), (2, 2), (64, 4)):
        monkeypatch.setattr(
            concurrent_batches.os,
            'sched_getaffinity',
            lambda _, cores=cores: range(cores),
            raising=False,
        )
        assert concurrent_batches.workers() == expected
