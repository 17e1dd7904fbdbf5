"""How the batches of an evaluation are cut and spread over the machine.

`in_order` alone decides that. Callers pass it a function of one batch, whose result depends on
that batch only, and get the results in order. Which of several hosts computes a batch is decided
before (`common.distribution.Hosts.share`).

Batches are dealt out to all GPUs, one to each at a time. On a processor several batches are
computed at a time, which uses its cores better than sharing one batch; `benchmarks/pgd.py` measures
how much that gains (its variant "together").
"""

import collections
import concurrent.futures
import itertools
import os
import queue
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import numpy as np
import tensorflow as tf

_MOST = 4  # batches in memory at once

Item = TypeVar('Item')
Result = TypeVar('Result')


def split(index: np.ndarray, batch_size: int) -> list[np.ndarray]:
    """[n] indices as batches of `batch_size`, in order; the last one may be shorter."""
    return [index[i : i + batch_size] for i in range(0, len(index), batch_size)]


def devices() -> list[str]:
    """The GPUs of this host, each of which takes a batch at a time; none if there are none."""
    # Not the logical devices, which include those of other hosts.
    return [f'GPU:{i}' for i, _ in enumerate(tf.config.get_visible_devices('GPU'))]


def workers() -> int:
    """Number of batches to compute at a time: one on each GPU, which one batch fills."""
    # Not os.cpu_count(): a process may be confined to some of the cores.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return len(devices()) or min(_MOST, cores or 1)


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yields `work(item)` of each item in order, several computed at a time.

    Args:
        work: called in other threads than the caller's, on a device of its own (no GPU leaves
            the choice to TensorFlow); variables that lie elsewhere are copied. An exception that it
            raises is raised here, after the results of the items before.
        items: taken a few ahead of what is yielded.
    """
    count = workers()
    if count == 1:
        yield from map(work, items)
        return
    free: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    for device in itertools.islice(itertools.cycle(devices() or [None]), count):
        free.put(device)

    def on_a_free_device(item: Item) -> Result:
        device = free.get()
        try:
            with tf.device(device):
                return work(item)
        finally:
            free.put(device)

    waiting: collections.deque[concurrent.futures.Future] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(on_a_free_device, item))
                if len(waiting) > count:  # one more, so that nobody waits for the caller
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
