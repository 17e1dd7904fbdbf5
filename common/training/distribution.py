"""How a step is spread over devices and hosts, and how its result comes back."""

import json
import os
from typing import Any

import keras
import tensorflow as tf

from common.errors import UserError, reason
from common.training.optimizers import Tensors
from common.training.step import Replica, State


def make_strategy() -> tf.distribute.Strategy:
    """The hosts that TF_CONFIG lists, or all GPUs of this machine, or its one device.

    To be called before TensorFlow computes anything: several hosts have to agree first.

    Raises:
        UserError: TF_CONFIG is no JSON object.
    """
    try:
        cluster = json.loads(os.environ.get('TF_CONFIG') or '{}').get('cluster', {})
        if len(cluster.get('worker', [])) + len(cluster.get('chief', [])) > 1:
            return tf.distribute.MultiWorkerMirroredStrategy()
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(
            f'TF_CONFIG: expected a JSON object with "cluster" (lists of addresses) and "task" '
            f'(type and index); found {os.environ["TF_CONFIG"]!r} ({reason(error)}). Correct it, '
            'or unset it to train on this host alone.'
        ) from error
    if len(tf.config.list_physical_devices('GPU')) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


class Devices:
    """The replicas of a `tf.distribute` strategy.

    Args:
        strategy: by default the one in whose scope this is called.

    Attributes:
        strategy: the strategy.
        replicas: how many replicas share a step.
        hosts: how many hosts they are spread over.
        chief: whether this host is the one that writes.
    """

    def __init__(self, strategy: tf.distribute.Strategy | None = None):
        self.strategy = strategy or tf.distribute.get_strategy()
        self.replicas = self.strategy.num_replicas_in_sync
        self.hosts, self.chief = 1, True
        resolver = self.strategy.cluster_resolver
        if resolver is not None and resolver.task_type:
            cluster = resolver.cluster_spec().as_dict()
            self.hosts = sum(len(cluster.get(job, ())) for job in ('chief', 'worker'))
            first = 'chief' if 'chief' in cluster else 'worker'
            self.chief = (resolver.task_type, resolver.task_id) == (first, 0)

    def replica(self) -> Replica:
        """The replica whose code is running, inside of `strategy.run`."""
        context = tf.distribute.get_replica_context()
        if self.replicas == 1:
            return Replica()
        index = context.replica_id_in_sync_group
        chosen = tf.cast(tf.equal(index, 0), tf.float32)

        def total(tensors: Tensors) -> Tensors:
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)

        def first(tensors: Tensors) -> Tensors:
            # Random generators, whose states are integers, are in step everywhere.
            shared = [t for t in tensors if t.dtype.is_floating]
            sums = iter(total([chosen * t for t in shared]) if shared else [])
            return [next(sums) if t.dtype.is_floating else t for t in tensors]

        return Replica(index, self.replicas, total, first)

    def total(self, per_replica: Any) -> tf.Tensor:
        """The sum of a number over all replicas."""
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica, axis=None)

    def sum(self, value: float) -> float:
        """The sum over all replicas of what each one's host says; all hosts have to ask for it."""
        values = self.strategy.experimental_distribute_values_from_function(
            lambda _: tf.constant(value)
        )
        return float(self.total(values))


class StateVariables:
    """The state of a training in variables, a copy on each device.

    Args:
        network: the network, built under the strategy's scope; its variables are used.
        state: the values before the first step.
        strategy: where the copies are.
    """

    def __init__(self, network: keras.Model, state: State, strategy: tf.distribute.Strategy):
        self._strategy = strategy

        def held(values: Tensors, name: str) -> list[tf.Variable]:
            return [
                tf.Variable(value, trainable=False, name=f'{name}_{i}')
                for i, value in enumerate(values)
            ]

        with strategy.scope():
            self.variables = State(
                [variable.value for variable in network.trainable_variables],
                [variable.value for variable in network.non_trainable_variables],
                held(state.slots, 'slot'),
                held(state.averages, 'average'),
                tf.Variable(state.step, trainable=False, name='step'),
            )

    def read(self) -> State:
        """The values of the replica whose code is running."""
        return tf.nest.map_structure(tf.convert_to_tensor, self.variables)

    def assign(self, state: State) -> None:
        """Gives each replica's copy the value that a step has returned for it."""
        values = tf.nest.flatten(state)
        for variable, value in zip(tf.nest.flatten(self.variables), values, strict=True):
            self._strategy.extended.update(variable, lambda v, new: v.assign(new), args=(value,))
