"""How the batches of an evaluation are cut and spread over the machine.

`in_order` alone decides that. Callers pass it a function of one batch, whose result depends on
that batch only, and get the results in order. To use other devices, such as all
GPUs, change this file: `workers`, and the `tf.device` in which a worker calls `work`.

On a processor several batches are computed at a time, which uses its cores better than sharing one
batch; `benchmarks/pgd.py` measures how much that gains (its variant "together").
"""

import collections
import concurrent.futures
import os
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


def workers() -> int:
    """Number of batches to compute at a time: one on a GPU, which one batch fills."""
    if tf.config.list_physical_devices('GPU'):
        return 1
    # Not os.cpu_count(): a process may be confined to some of the cores.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return min(_MOST, cores or 1)


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yields `work(item)` of each item in order, several computed at a time.

    Args:
        work: called in other threads than the caller's. An exception that it raises is raised
            here, after the results of the items before.
        items: taken a few ahead of what is yielded.
    """
    count = workers()
    if count == 1:
        yield from map(work, items)
        return
    waiting: collections.deque[concurrent.futures.Future] = collections.deque()
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > count:  # one more, so that nobody waits for the caller
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
