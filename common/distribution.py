"""The hosts that share one computation, as TF_CONFIG lists them.

Training spreads every step over them (`make_strategy`). An evaluation deals its batches out to the
hosts that have joined (`join`, `hosts`), and they exchange results by `Hosts.sum`. All hosts run
the same program; the first one alone prints and writes.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import tensorflow as tf

from common.errors import UserError, reason

Item = TypeVar('Item')


@dataclasses.dataclass(frozen=True)
class Hosts:
    """The hosts of a computation, one of which runs this process.

    Attributes:
        count: how many there are.
        index: number of this one, from 0.
        strategy: connects them; None for a single one.
    """

    count: int = 1
    index: int = 0
    strategy: tf.distribute.Strategy | None = None

    @classmethod
    def of(cls, strategy: tf.distribute.Strategy) -> 'Hosts':
        """The hosts that a strategy spreads steps over."""
        resolver = strategy.cluster_resolver
        if resolver is None or not resolver.task_type:
            return cls()
        cluster = resolver.cluster_spec().as_dict()
        tasks = [
            (job, index)
            for job in ('chief', 'worker')
            for index in range(len(cluster.get(job, ())))
        ]
        return cls(len(tasks), tasks.index((resolver.task_type, resolver.task_id)), strategy)

    @property
    def first(self) -> bool:
        """Whether this host is the one that prints and writes."""
        return self.index == 0

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """This host's share of items that all of them have in the same order."""
        return items[self.index :: self.count]

    def sum(self, values: np.ndarray) -> np.ndarray:
        """The sum over all hosts, in float64, which is exact where only one is not 0.

        Waits for all hosts, which have to ask for the same sums in the same order.

        Args:
            values: array of numbers, of the same shape on all hosts.

        Raises:
            UserError: a host has stopped or cannot be reached. TensorFlow notices within seconds.
        """
        values = np.asarray(values, np.float64)
        if self.strategy is None:
            return values
        replicas = self.strategy.num_replicas_in_sync // self.count

        def of_replica(context: tf.distribute.experimental.ValueContext) -> tf.Tensor:
            counts = context.replica_id_in_sync_group % replicas == 0  # the host's first device
            return tf.constant(values if counts else np.zeros_like(values))

        try:
            replicated = self.strategy.experimental_distribute_values_from_function(of_replica)
            return self.strategy.reduce(tf.distribute.ReduceOp.SUM, replicated, axis=None).numpy()
        except tf.errors.OpError as error:
            raise UserError(
                f'expected an answer from all {self.count} hosts; one has stopped or cannot be '
                f'reached ({reason(error)}). Look at its messages, and run the same command on '
                'all hosts again: they continue from what each has finished.'
            ) from error

    def gather(self, values: np.ndarray) -> np.ndarray:
        """[hosts, ...] float64, the values of each host; as `sum`."""
        values = np.asarray(values, np.float64)
        table = np.zeros((self.count, *values.shape))
        table[self.index] = values
        return self.sum(table)

    def require_same(self, what: str, *values: Any) -> None:
        """Refuses hosts that do not do the same, whose results would be mixed without a word.

        Args:
            what: words for the values.
            *values: compared by their `repr`, without addresses in memory.

        Raises:
            UserError: a host has other values than the first, or has stopped.
        """
        if self.count == 1:
            return
        said = re.sub(' at 0x[0-9a-f]+', '', repr(values))  # addresses differ between processes
        digest = hashlib.sha256(said.encode()).digest()
        table = self.gather(np.frombuffer(digest, np.uint8))
        others = np.flatnonzero((table != table[0]).any(axis=1))
        if len(others):
            raise UserError(
                f'expected the same {what} on all {self.count} hosts; found that number '
                f'{", ".join(map(str, others))} of TF_CONFIG, counted from 0, differs from the '
                'first. Run the same command on all hosts.'
            )

    @contextlib.contextmanager
    def first_prints(self) -> Iterator[None]:
        """In this block, standard output of all hosts but the first is discarded."""
        if self.first:
            yield
            return
        with open(os.devnull, 'w') as nowhere, contextlib.redirect_stdout(nowhere):
            yield


_joined = Hosts()


def join() -> Hosts:
    """Lets evaluations in this process share their batches with the hosts that TF_CONFIG lists.

    To be called before TensorFlow computes anything: several hosts have to agree first. From then
    on each of them has to run the same evaluations in the same order.

    Raises:
        UserError: TF_CONFIG is no JSON object.
    """
    global _joined
    if _joined.count == 1 and (strategy := _several_hosts()):
        _joined = Hosts.of(strategy)
    return _joined


def hosts() -> Hosts:
    """The hosts that share evaluations; this one alone unless they have joined."""
    return _joined


def make_strategy() -> tf.distribute.Strategy:
    """The hosts that TF_CONFIG lists, or all GPUs of this machine, or its one device.

    To be called before TensorFlow computes anything: several hosts have to agree first.

    Raises:
        UserError: TF_CONFIG is no JSON object.
    """
    if strategy := _several_hosts():
        return strategy
    if len(tf.config.list_physical_devices('GPU')) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _several_hosts() -> tf.distribute.Strategy | None:
    """Connects to the hosts that TF_CONFIG lists; None if it lists one or none."""
    try:
        cluster = json.loads(os.environ.get('TF_CONFIG') or '{}').get('cluster', {})
        if len(cluster.get('worker', [])) + len(cluster.get('chief', [])) > 1:
            return tf.distribute.MultiWorkerMirroredStrategy()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'TF_CONFIG: expected a JSON object with "cluster" (lists of addresses) and "task" '
            f'(type and index); found {os.environ["TF_CONFIG"]!r} ({reason(error)}). Correct it, '
            'or unset it to use this host alone.'
        ) from error
    return None
