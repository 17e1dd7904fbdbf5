"""One step of training as a pure function of explicit state.

It reads and assigns no variable, so the same function can be compiled, tested, spread over devices
and exported:

    step = Step(network, settings)
    state = step.first_state()
    state, metrics = step(state, x, y, seed=0, factor=1.0, learning_rate=0.1)
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from common.data.augmentation import Augment
from common.losses import CrossEntropy
from common.networks.logits import ModelLogits
from common.networks.weights import averaged
from common.training.explicit import ExplicitLogits
from common.training.optimizers import Tensors, first_slots, moved
from common.training.settings import Settings


class State(NamedTuple):
    """Everything that a step changes.

    Attributes:
        weights: values of the network's trainable variables, in its order.
        statistics: values of its other variables: moving averages, states of random generators.
        slots: what the optimizer remembers.
        averages: exponential averages of the weights and of the float32 statistics; empty without
            weight averaging.
        step: how many steps came before, scalar int64.
    """

    weights: Tensors
    statistics: Tensors
    slots: Tensors
    averages: Tensors
    step: tf.Tensor


class Metrics(NamedTuple):
    """What one replica's share of the batch gives.

    Attributes:
        loss: sum of the examples' cross-entropies.
        correct: how many examples are classified correctly, as float32.
        x: the images, [share, ...] float32.
    """

    loss: tf.Tensor
    correct: tf.Tensor
    x: tf.Tensor


@dataclasses.dataclass(frozen=True)
class Replica:
    """One of the devices that share a step; by default the only one.

    Attributes:
        index: its number, from 0.
        count: how many there are.
        sum: tensors -> their sums over all replicas.
        first: tensors -> those of replica 0.
    """

    index: Any = 0
    count: int = 1
    sum: Callable[[Tensors], Tensors] = lambda tensors: tensors
    first: Callable[[Tensors], Tensors] = lambda tensors: tensors


CRAFT, AUGMENT, EVALUATE = range(3)  # what is random in a step, or between steps


class Step:
    """What a training step computes.

    Args:
        network: Keras model that returns logits. Its variables' values count in `first_state` only.
        settings: how it is trained.
        augment: varies images before the attack; None for nothing.
    """

    def __init__(self, network: keras.Model, settings: Settings, augment: Augment | None = None):
        self.network, self.settings, self.augment = network, settings, augment
        training, jit = settings.crafting != 'eval', settings.jit_compile
        self._craft = ModelLogits(
            network,
            settings.attack_dtype,
            training=training,
            update=settings.crafting == 'train',
            jit_compile=jit,
            as_built=settings.as_built,
        )
        self._natural = ModelLogits(network, training=training, update=False)
        self._forward = ModelLogits(network, settings.train_dtype, training=True, jit_compile=jit)

    def first_state(self) -> State:
        """The state before the first step, with the network's present weights."""
        weights = [tf.convert_to_tensor(v) for v in self.network.trainable_variables]
        statistics = [tf.convert_to_tensor(v) for v in self.network.non_trainable_variables]
        averages = averaged(weights, statistics) if self.settings.weight_averaging else []
        slots = first_slots(self.settings.optimizer, weights)
        return State(weights, statistics, slots, averages, tf.constant(0, tf.int64))

    def __call__(
        self,
        state: State,
        x: tf.Tensor,
        y: tf.Tensor,
        *,
        seed: Any,
        factor: Any,
        learning_rate: Any,
        replica: Replica = Replica(),
    ) -> tuple[State, Metrics]:
        """The state after one more step, and what the step saw of its adversarial images.

        Args:
            state: as the last step left it.
            x: [share, ...] float32 natural images, this replica's share of the batch.
            y: [share] int32 labels.
            seed: integer; the run's, the same at every step.
            factor: scalar float32, on the adversary's radius and step size.
            learning_rate: scalar float32.
            replica: which share of the batch this is, and how the shares come together.
        """
        settings = self.settings
        x, x_adv, statistics = self._adversarial(state, x, y, seed, factor, replica)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state.weights)
            network = ExplicitLogits(self._forward, state.weights, statistics)
            losses, logits = settings.objective.losses(network, x, x_adv, y)
            loss = tf.reduce_sum(losses)
            if not settings.sum_loss:
                loss /= settings.batch_size
            loss += self._penalty(state.weights) / replica.count
        gradients = tape.gradient(loss, state.weights, unconnected_gradients='zero')
        weights, slots = moved(
            settings.optimizer,
            state.weights,
            replica.sum(gradients),
            state.slots,
            state.step,
            learning_rate,
        )
        # Batch normalization takes each replica's own share; the first one's averages are kept.
        statistics = replica.first(network.carried)
        averages = self._averages(state, weights, statistics)
        after = State(weights, statistics, slots, averages, state.step + 1)
        return after, _metrics(logits, x_adv, y)

    def natural(
        self, state: State, x: tf.Tensor, y: tf.Tensor, *, seed: Any, replica: Replica = Replica()
    ) -> Metrics:
        """What the adversary starts from in the next step, by the network that it sees.

        The arguments are those of the step. The challenge's code moves the averages on here too;
        logging must not change the network.
        """
        x = self._augmented(state, x, seed, replica)
        return _metrics(ExplicitLogits(self._natural, state.weights, state.statistics)(x), x, y)

    def _adversarial(
        self, state: State, x: tf.Tensor, y: tf.Tensor, seed: Any, factor: Any, replica: Replica
    ) -> tuple[tf.Tensor, tf.Tensor, Tensors]:
        """Augmented images, adversarial ones, and the statistics after crafting."""
        x = self._augmented(state, x, seed, replica)
        if self.settings.attack is None:
            return x, x, state.statistics
        network = ExplicitLogits(self._craft, state.weights, state.statistics)
        attack = self.settings.attack.scaled(factor)
        random = seed_of(seed, CRAFT, state.step, replica)
        x_adv = self.settings.objective.craft(attack, network, x, y, seed=random)
        return x, x_adv, network.carried

    def _augmented(self, state: State, x: tf.Tensor, seed: Any, replica: Replica) -> tf.Tensor:
        if self.augment is None:
            return x
        return self.augment(x, seed_of(seed, AUGMENT, state.step, replica))

    def _penalty(self, weights: Tensors) -> tf.Tensor | float:
        if not self.settings.weight_decay:
            return 0.0
        kernels = [w for w in weights if len(w.shape) > 1]
        return self.settings.weight_decay * tf.add_n([tf.nn.l2_loss(w) for w in kernels])

    def _averages(self, state: State, weights: Tensors, statistics: Tensors) -> Tensors:
        # The average forgets the first steps quickly: (1 + t) / (10 + t) is below the decay then.
        t = tf.cast(state.step, tf.float32)
        decay = tf.minimum(self.settings.weight_averaging, (1 + t) / (10 + t))
        return [
            decay * average + (1 - decay) * value
            for average, value in zip(state.averages, averaged(weights, statistics), strict=False)
        ]


def _metrics(logits: tf.Tensor, x: tf.Tensor, y: tf.Tensor) -> Metrics:
    correct = tf.argmax(logits, axis=1, output_type=y.dtype) == y
    loss = tf.reduce_sum(CrossEntropy()(logits, y))
    return Metrics(loss, tf.reduce_sum(tf.cast(correct, tf.float32)), x)


def seed_of(seed: Any, purpose: int, step: tf.Tensor, replica: Replica) -> tf.Tensor:
    """The seed of one replica's step, for one of the things that are random in it."""
    of_step = tf.random.fold_in(tf.stack([seed, purpose]), tf.cast(step, tf.int32))
    return tf.random.fold_in(of_step, replica.index)
