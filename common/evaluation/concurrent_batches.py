"""Several batches at a time: a processor's cores share one batch less well than they take turns.

How much that gains, `benchmarks/pgd.py` measures (its variant "together").
"""

import collections
import concurrent.futures
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import tensorflow as tf

_MOST = 4  # batches in memory at once

Item = TypeVar('Item')
Result = TypeVar('Result')


def workers() -> int:
    """How many batches to work on at a time: one for a GPU, which one batch fills."""
    if tf.config.list_physical_devices('GPU'):
        return 1
    # Not os.cpu_count(): a process may be confined to some of the cores.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return min(_MOST, cores or 1)


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work(item)` of each item, in their order, several computed at a time.

    Args:
        work: called in other threads than the caller's; what it raises is raised here, after the
            results of the items before.
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
