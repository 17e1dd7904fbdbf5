"""How a step is spread over devices and hosts, and how its result comes back."""

from typing import Any

import keras
import tensorflow as tf

from common.distribution import Hosts
from common.training.optimizers import Tensors
from common.training.step import Replica, State


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
        hosts = Hosts.of(self.strategy)
        self.hosts, self.chief = hosts.count, hosts.first

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
