"""Adversarial training under Keras' own `compile` and `fit`.

`AdversarialTraining` takes the same steps as `common.training.step`, but optimizer, metrics,
callbacks and the loop over batches are Keras'.
"""

import dataclasses
import functools
import importlib
import operator
import re
import types
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.attacks import Attack
from common.data.checked import require_shape
from common.errors import BadInput, UserError, reason
from common.networks.logits import ModelLogits, input_shape, logits_of
from common.networks.probe import _warn_of_probabilities
from common.threat_model import Ball
from common.training.adversaries import CRAFTING
from common.training.distribution import Devices
from common.training.explicit import ExplicitLogits
from common.training.objectives import OBJECTIVES, Objective, ObjectiveSettings, Trades
from common.training.step import CRAFT, EVALUATE, Replica, seed_of

_PREFIX = 'adversarial_'  # of the metrics of adversarial images
_REFUSAL = 'AdversarialTraining: '
_MANY_HOSTS = (
    "AdversarialTraining: expected one host, since Keras' fit fails on several; found {found}. Use "
    'python -m common.train, or in Python common.training.trainer.Trainer with this strategy.'
)
_FAR = 1000.0  # times an image: there, logits are not within 0 to 1 by chance


def _in_words(method: Callable) -> Callable:
    """A method of keras.Model whose failed checks of a batch end in one plain line."""

    @functools.wraps(method)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            return method(*args, **kwargs)
        except tf.errors.InvalidArgumentError as error:
            found = re.search(rf'({_REFUSAL}.*?\.)[\'"\]]', str(error))
            if found is not None:
                raise BadInput(found[1]) from None
            # Under a strategy, Keras adds up the replicas' shares of the first batch.
            found = re.search(r"attr 'T' of (bool|string) .*\[Op:AddN\]", str(error), re.DOTALL)
            if found is None:
                raise
            raise BadInput(
                f'{_REFUSAL}expected images, labels and weights that are numbers, under a '
                f'strategy; found {found[1]}. Convert them: y.astype(int).'
            ) from None
        except ValueError as error:
            found = re.match('Invalid dtype: ([a-z]+)', str(error))  # Keras' own, of arrays
            if found is None:
                raise
            raise BadInput(
                f'{_REFUSAL}expected images, labels and weights that are numbers; found {found[1]}.'
            ) from None

    return checked


@keras.saving.register_keras_serializable('adversarial')
class AdversarialTraining(keras.Model):
    """A network in adversarial training, as a `keras.Model` for `compile` and `fit`.

    Every batch is attacked first, with the network as it is then, and the objective's loss is
    minimized. Sample and class weights, regularizers, losses of layers, any Keras optimizer and
    callback, `run_eagerly`, `steps_per_execution` and `tf.distribute.MirroredStrategy` work as for
    any model. `predict` and calls are the network's own.

    `metrics` are computed twice, both before the weights move: on the natural images by the network
    that the attack starts from, and on the adversarial images, under names that begin with
    'adversarial_'. `evaluate`, and validation in `fit`, attack in evaluation mode, by the same
    random numbers every time; 'val_adversarial_accuracy' can be monitored by callbacks.

    Everything random follows from `seed` and the number of steps, which is saved with the weights:
    a run that `BackupAndRestore` resumes goes on as if it had not been interrupted. Each replica of
    a strategy draws its own random starts; batch normalization takes the statistics of each
    replica's own share, and the first one's moving averages are kept.

    Args:
        model: the network, [batch, ...] pixels -> [batch, classes] logits, of any kind of Keras
            model; `.model` afterwards, trained. It may be unbuilt, except for callbacks that need
            its weights beforehand.
        attack: crafts the training examples, in a ball whose pixel range is that of the images.
        objective: 'pgd', the paper's saddle point; 'trades', with TRADES' usual beta of 6; or an
            objective, such as `Trades(beta=3.0)`.
        crafting: the mode of the network while training examples are crafted: 'eval'; 'train', with
            the batch's statistics, and every gradient moves the moving averages; or 'train_frozen',
            which leaves these to the weights' update.
        seed: of everything random here.
        epsilon_warmup: steps over which the attack's radius and step size grow from 0.
        evaluation_attack: the attack in `evaluate` and in validation; None for `attack`.

    Attributes:
        model: the network.
        attack: as above; so are `evaluation_attack`, `objective` and `crafting`.

    Raises:
        BadInput: when called, an argument that does not fit; in `fit` and its like, images outside
            of the attack's pixel range (the message names theirs) or not finite, labels that are
            not classes, weights that are not finite, probabilities instead of logits.
        UserError: a strategy of several hosts.

    >>> import keras
    >>> import numpy as np
    >>> from common.attacks import PGD
    >>> from common.threat_model import LinfBall
    >>> from common.training.adversarial_training import AdversarialTraining
    >>> x = np.random.default_rng(0).random((64, 4, 4, 1), dtype=np.float32)
    >>> y = (x.mean(axis=(1, 2, 3)) > 0.5).astype(int)
    >>> network = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(2)])
    >>> training = AdversarialTraining(network, PGD(LinfBall(0.02), steps=5, step_size=0.01))
    >>> training.compile('adam', metrics=['accuracy'])
    >>> history = training.fit(x, y, epochs=2, verbose=0)
    >>> sorted(history.history)
    ['accuracy', 'adversarial_accuracy', 'loss']
    >>> training.model is network
    True
    """

    def __init__(
        self,
        model: keras.Model,
        attack: Attack,
        *,
        objective: str | Objective = 'pgd',
        crafting: str = 'eval',
        seed: int = 0,
        epsilon_warmup: int = 0,
        evaluation_attack: Attack | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        _require_one_host()
        if not isinstance(model, keras.Model):
            raise BadInput(f'model: expected a keras.Model; found a {type(model).__name__}.')
        if crafting not in CRAFTING:
            raise BadInput(f'crafting: expected one of {_listed(CRAFTING)}; found {crafting!r}.')
        for argument, value in (('attack', attack), ('evaluation_attack', evaluation_attack)):
            optional = value is None and argument == 'evaluation_attack'
            if not (optional or isinstance(value, Attack)):
                raise BadInput(f'{argument}: expected an attack, such as PGD; found {value!r}.')
        seed = _whole('seed', seed, -(2**31), 2**31 - 1)
        epsilon_warmup = _whole('epsilon_warmup', epsilon_warmup, 0, 2**31 - 1)
        if epsilon_warmup and not hasattr(attack, 'scaled'):
            raise BadInput(
                'epsilon_warmup: expected an attack whose radius can grow, such as PGD; found '
                f'{type(attack).__name__}.'
            )
        # By this policy Keras chooses whether to scale the loss; the network's layers cast.
        policy = 'mixed_float16' if _in_float16(model) else model.dtype_policy
        super().__init__(name=name, **{'dtype': policy, 'autocast': False, **kwargs})
        self.model = model
        self.attack: Any = attack
        self.evaluation_attack: Any = evaluation_attack or attack
        self.objective = _objective(objective, attack)
        self.crafting = crafting
        self.seed = seed
        self.epsilon_warmup = epsilon_warmup
        self._steps = self.add_weight(
            shape=(),
            dtype='int64',
            initializer='zeros',
            trainable=False,
            aggregation='only_first_replica',
            name='steps',
        )
        # Not a weight: every evaluation begins at 0.
        self._evaluated = tf.Variable(
            0, False, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA
        )
        self._adversarial = _Untracked()
        self._jit_crafting = False
        self.built = model.built

    def call(self, x: Any, training: bool = False) -> Any:
        """The network's own output."""
        return self.model(x, training=training)

    def compile(
        self,
        optimizer: Any = 'rmsprop',
        loss: None = None,
        *,
        metrics: list | None = None,
        weighted_metrics: list | None = None,
        run_eagerly: bool = False,
        steps_per_execution: int = 1,
        jit_compile: bool | str = 'auto',
        auto_scale_loss: bool = True,
    ) -> None:
        """Configures `fit`; see `keras.Model.compile`.

        Args:
            loss: None; the objective gives the loss.
            metrics: computed on natural and on adversarial images.
            weighted_metrics: the same, weighted by sample and class weights.
            jit_compile: True compiles the network under attack with XLA, once for each batch size.
                The step around it stays as it is, since XLA would drop the checks of its batch;
                'auto' is False.

        Raises:
            BadInput: a loss; a metric that cannot be made a second time.
            UserError: a strategy of several hosts.
        """
        _require_one_host()
        if loss is not None:
            raise BadInput(
                f'loss: expected None, since the objective ({type(self.objective).__name__}) gives '
                f'the loss; found {loss!r}. Pass an objective to AdversarialTraining instead.'
            )
        copies = [_again(metrics), _again(weighted_metrics)]
        self._jit_crafting = jit_compile is True
        self._adversarial.attacked.clear()
        super().compile(
            optimizer,
            metrics=metrics,
            weighted_metrics=weighted_metrics,
            run_eagerly=run_eagerly,
            steps_per_execution=steps_per_execution,
            jit_compile=False,
            auto_scale_loss=auto_scale_loss,
        )
        if metrics is not None or weighted_metrics is not None:  # else Keras keeps earlier ones
            # A model of its own keeps the metrics of adversarial images apart.
            judge = keras.Model(name='adversarial')
            judge.compile(None, metrics=copies[0], weighted_metrics=copies[1], jit_compile=False)
            self._adversarial.judge, self._adversarial.built = judge, False
        if self.model.built:
            self._make_attacked()

    fit = _in_words(keras.Model.fit)
    evaluate = _in_words(keras.Model.evaluate)
    train_on_batch = _in_words(keras.Model.train_on_batch)
    test_on_batch = _in_words(keras.Model.test_on_batch)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Crafts a batch's adversarial images and moves the weights; returns the metrics."""
        replica = Devices().replica()
        step = tf.convert_to_tensor(self._steps)
        x, y, given, weight = self._batch(data, step, self.attack)
        weights = [tf.convert_to_tensor(v) for v in self.model.trainable_variables]
        statistics = [tf.convert_to_tensor(v) for v in self.model.non_trainable_variables]

        crafting = ExplicitLogits(self._adversarial.attacked['train'], weights, statistics)
        random = seed_of(self.seed, CRAFT, step, replica)
        attack = self._attack_at(step)
        x_adv = self.objective.craft(attack, crafting, x, y, seed=random)
        natural = self._natural_logits(weights, statistics, x)

        network = self._own_logits(training=True)
        values = [
            *zip(self.model.trainable_variables, weights, strict=True),
            *zip(self.model.non_trainable_variables, crafting.carried, strict=True),
        ]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights)
            with keras.StatelessScope(values, collect_losses=True) as scope:
                losses, logits = self.objective.losses(network, x, x_adv, y)
                losses = _checked(losses, logits)
                loss, mean = self._total(losses, weight, replica)
            loss = self.optimizer.scale_loss(loss)
        if weights:
            pairs = zip(tape.gradient(loss, weights), self.model.trainable_variables, strict=True)
            self.optimizer.apply_gradients(list(pairs))
        _assign(
            [
                (variable, value)
                for variable, before in zip(
                    self.model.non_trainable_variables, statistics, strict=True
                )
                if (value := scope.get_current_value(variable)) is not before
            ],
            replica,
        )
        with tf.control_dependencies([losses]):  # a refused batch does not count
            self._steps.assign(step + 1)
        return self._measured(mean, x, given, natural, logits, weight)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Attacks a batch in evaluation mode; returns the metrics."""
        replica = Devices().replica()
        step = tf.convert_to_tensor(self._evaluated)
        x, y, given, weight = self._batch(data, step, self.evaluation_attack)
        random = seed_of(self.seed, EVALUATE, step, replica)
        attacked = self._adversarial.attacked['test'].snapshot()
        x_adv = self.evaluation_attack(attacked, x, y, seed=random)
        network = self._own_logits()
        natural = network(x)
        losses, logits = self.objective.losses(network, x, x_adv, y)
        losses = _checked(losses, logits)
        _, mean = self._total(losses, weight, replica)
        with tf.control_dependencies([losses]):
            self._evaluated.assign(step + 1)
        return self._measured(mean, x, given, natural, logits, weight)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict:
        """See `keras.Model.compute_metrics`: of natural images alone."""
        judge = self._adversarial.judge
        y_pred = logits_of(y_pred)  # as a step has them, where the network has a single output
        if judge is not None and not self._adversarial.built:
            # Under a strategy, Keras makes the metrics' variables by calling this.
            judge.compute_metrics(x, y, y_pred, sample_weight)
            self._adversarial.built = True
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        """The metrics, by name."""
        results = super().get_metrics_result()
        if self._adversarial.judge is not None and self._adversarial.built:
            found = self._adversarial.judge.get_metrics_result()
            results |= {f'{_PREFIX}{k}': v for k, v in found.items() if k != 'loss'}
        return results

    def reset_metrics(self) -> None:
        """Begins a new measurement; an evaluation draws its first random numbers again."""
        super().reset_metrics()
        if self._adversarial.judge is not None:
            self._adversarial.judge.reset_metrics()
        self._evaluated.assign(0)

    def save_own_variables(self, store: Any) -> None:
        """See `keras.Layer`; with the random generators' states, which Keras leaves out."""
        super().save_own_variables(store)
        for name, variable in self._random_states():
            store[name] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """See `keras.Layer`."""
        own = {name: store[name] for name in store.keys()}
        for name, variable in self._random_states():
            if name in own:
                variable.assign(own.pop(name))
        super().load_own_variables(own)

    def get_config(self) -> dict[str, Any]:
        """What `keras.models.load_model` makes the same training from.

        Raises:
            BadInput: an attack or an objective that holds more than plain values.
        """
        return {
            'name': self.name,
            'model': keras.saving.serialize_keras_object(self.model),
            'attack': _described(self.attack),
            'objective': _described(self.objective),
            'crafting': self.crafting,
            'seed': self.seed,
            'epsilon_warmup': self.epsilon_warmup,
            'evaluation_attack': _described(self.evaluation_attack),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict | None = None) -> Any:
        """The training that `get_config` describes.

        Raises:
            BadInput: an attack or objective of a class that is neither of this package nor among
                the custom objects.
        """
        config = dict(config)
        config['model'] = keras.saving.deserialize_keras_object(config['model'], custom_objects)
        for name in ('attack', 'objective', 'evaluation_attack'):
            config[name] = _from_description(config[name])
        return cls(**config)

    def get_compile_config(self) -> dict[str, Any]:
        """See `keras.Model.get_compile_config`."""
        config = super().get_compile_config()
        return {**config, 'jit_compile': self._jit_crafting} if config else config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """See `keras.Model.compile_from_config`."""
        config = keras.saving.deserialize_keras_object(config)
        config.pop('loss_weights', None)
        self.compile(**config)
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def _batch(
        self, data: Any, step: tf.Tensor, attack: Attack
    ) -> tuple[tf.Tensor, tf.Tensor, Any, tf.Tensor | None]:
        """A batch, checked: images, integer labels, the labels as given, and weights.

        Args:
            data: as `fit` hands it over.
            step: number of the batch, from 0.
            attack: what the images are for.
        """
        x, given, weight = keras.utils.unpack_x_y_sample_weight(data)
        if not hasattr(x, 'shape') or not hasattr(given, 'shape'):
            found = 'no labels' if given is None else 'several arrays'
            raise BadInput(
                f'{_REFUSAL}expected one array of images and one of labels; found {found}.'
            )
        x, given = tf.convert_to_tensor(x), tf.convert_to_tensor(given)
        if weight is not None:
            weight = tf.convert_to_tensor(weight)
        _require_form(x, given, weight, input_shape(self._own_logits()))
        x, checks = tf.cast(x, tf.float32), [_lengths_check('labels', given, x)]
        if given.dtype == tf.bool:
            given = tf.cast(given, tf.int32)
        x = _checked_images(x, attack, step)
        if self._adversarial.classes is None:
            # This builds the network, and is not part of the graph that runs.
            outputs = _outputs(self.model, x)
            self._adversarial.classes = _classes(logits_of(outputs))
            shape = keras.tree.flatten(outputs)[0].shape
            self._adversarial.single = len(shape) == 1 or shape[1] == 1
        if not self._adversarial.attacked:
            self._make_attacked()
        y = _checked_labels(given, self._adversarial.classes)
        if weight is not None:
            checks.append(_lengths_check('weights', weight, x))
            weight = tf.reshape(tf.cast(weight, tf.float32), [-1])
            finite = tf.reduce_all(tf.math.is_finite(weight))
            words = 'expected finite weights of images; found NaN or infinity.'
            checks.append(_require(finite, words))
        x = _after(checks, x)
        if self._adversarial.single:
            x = _after([self._probability_check(x, step)], x)
        return x, y, given, weight

    def _probability_check(self, x: tf.Tensor, step: tf.Tensor) -> tf.Operation | None:
        """Refuses a single output that is a probability, in the first batch."""
        network = self._own_logits()

        def words() -> tf.Tensor:
            far = tf.concat([network(_FAR * x), network(-_FAR * x)], axis=0)
            return tf.ensure_shape(
                tf.numpy_function(_words_about_one_output, [network(x), far], tf.string), []
            )

        # Once is enough: a later batch may be a small one.
        found = tf.cond(step == 0, words, lambda: tf.constant(''))
        return tf.debugging.Assert(found == '', [_REFUSAL + found])

    def _random_states(self) -> list[tuple[str, keras.Variable]]:
        """Those of dropout and its like, with names for a file."""
        weights = {id(weight) for weight in self.model.weights}
        states = [v for v in self.model.variables if id(v) not in weights]
        return [(f'random_state_{i}', state) for i, state in enumerate(states)]

    def _attack_at(self, step: tf.Tensor) -> Any:
        if not self.epsilon_warmup:
            return self.attack
        return self.attack.scaled(
            tf.minimum(1.0, (tf.cast(step, tf.float32) + 1) / self.epsilon_warmup)
        )

    def _make_attacked(self) -> None:
        """Makes the networks that attacks see, in training and in evaluation."""
        jit, crafting = self._jit_crafting, self.crafting
        # Not in a graph: in another precision they have layers of their own.
        with tf.init_scope():
            self._adversarial.attacked = {
                'train': ModelLogits(
                    self.model,
                    training=crafting != 'eval',
                    update=crafting == 'train',
                    jit_compile=jit,
                ),
                'test': ModelLogits(self.model, jit_compile=jit),
            }
            for network in self._adversarial.attacked.values():
                network.snapshot()

    def _own_logits(self, training: bool = False, update: bool = True) -> ModelLogits:
        """The network in its own precision."""
        return ModelLogits(self.model, None, training=training, update=update)

    def _natural_logits(self, weights: list, statistics: list, x: tf.Tensor) -> tf.Tensor | None:
        """Those of the network that the attack starts from; None where nobody measures them."""
        if self._adversarial.judge is None:
            return None
        network = self._own_logits(training=self.crafting != 'eval', update=False)
        return ExplicitLogits(network, weights, statistics)(x)

    def _total(
        self, losses: tf.Tensor, weight: tf.Tensor | None, replica: Replica
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """This replica's part of the batch's mean loss, and the mean over its own share.

        Both include the network's own losses, such as those of regularizers.
        """
        if weight is not None:
            losses *= weight
        own, n = tf.reduce_sum(losses), tf.cast(tf.shape(losses)[0], tf.float32)
        extra = [tf.reduce_sum(tf.cast(loss, tf.float32)) for loss in self.model.losses]
        penalty = tf.add_n([tf.constant(0.0), *extra])
        # Shares of the last batch may differ in size.
        (of_all,) = replica.sum([n])
        loss = tf.math.divide_no_nan(own, of_all) + penalty / replica.count
        return loss, tf.math.divide_no_nan(own, n) + penalty

    def _measured(
        self,
        mean: tf.Tensor,
        x: tf.Tensor,
        y: tf.Tensor,
        natural: tf.Tensor | None,
        adversarial: tf.Tensor,
        weight: tf.Tensor | None,
    ) -> dict[str, tf.Tensor]:
        """All metrics, after those of one more batch."""
        tracker = next(metric for metric in self.metrics if metric.name == 'loss')
        tracker.update_state(mean, sample_weight=tf.shape(x)[0])
        if self._adversarial.judge is not None:
            self._adversarial.judge.compute_metrics(x, y, adversarial, weight)
            self._adversarial.built = True
        return super().compute_metrics(x, y, natural, weight)


@dataclasses.dataclass
class _Untracked:
    """What Keras must not take for a part of the model.

    Attributes:
        judge: holds the metrics of adversarial images; None without any.
        built: whether these have their variables.
        classes: number of classes; None until the first batch.
        single: whether the network has a single output, the logit of the second class of two.
        attacked: the networks that attacks see; empty until they can be made.
    """

    judge: keras.Model | None = None
    built: bool = False
    classes: int | None = None
    single: bool = False
    attacked: dict[str, ModelLogits] = dataclasses.field(default_factory=dict)


def _require_one_host() -> None:
    strategy = tf.distribute.get_strategy()
    many = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    if many or Devices(strategy).hosts > 1:
        raise UserError(_MANY_HOSTS.format(found=type(strategy).__name__))


def _in_float16(model: keras.Model) -> bool:
    parts = [model, *model.layers]
    return any(
        _in_float16(part)
        if part is not model and hasattr(part, 'layers')
        else part.compute_dtype == 'float16'
        for part in parts
    )


def _objective(objective: str | Objective, attack: Any) -> Objective:
    if isinstance(objective, str):
        if objective not in OBJECTIVES:
            raise BadInput(
                f'objective: expected one of {_listed(OBJECTIVES)}, or an objective such as '
                f'Trades(beta=3.0); found {objective!r}.'
            )
        # The attack is checked below.
        defaults = {**vars(ObjectiveSettings()), 'adversary': 'pgd', 'random_start': True}
        config = types.SimpleNamespace(**{**defaults, 'loss': 'xent', 'objective': objective})
        return _objective(OBJECTIVES[objective].make(config), attack)
    methods = (getattr(objective, name, None) for name in ('craft', 'losses'))
    if isinstance(objective, type) or not all(map(callable, methods)):
        raise BadInput(
            f'objective: expected one of {_listed(OBJECTIVES)}, or an objective such as '
            f'Trades(beta=3.0); found {objective!r}.'
        )
    if isinstance(objective, Trades):
        fields = {f.name for f in dataclasses.fields(attack)} if _is_data(attack) else set()
        if 'loss' not in fields or not getattr(attack, 'random_start', False):
            raise BadInput(
                'objective: expected an attack with a loss and a random start, such as '
                f'PGD(ball, steps, step_size), for Trades, which maximizes a divergence; found '
                f'{attack!r}.'
            )
    return objective


def _whole(argument: str, value: Any, least: int, most: int) -> int:
    try:
        number = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = None
    if number is None or not least <= number <= most:
        raise BadInput(
            f'{argument}: expected a whole number from {least} to {most}; found {value!r}.'
        )
    return number


def _again(metrics: Any) -> Any:
    """The same metrics with states of their own."""

    def copy(metric: Any) -> Any:
        if not isinstance(metric, keras.metrics.Metric):
            return metric
        try:
            return type(metric).from_config(metric.get_config())
        except Exception as error:  # whatever the constructor of a user's metric raises
            raise BadInput(
                f'metrics: expected a metric that get_config and from_config can make again, since '
                f'it is computed on natural and on adversarial images; found {metric!r}.'
            ) from error

    return keras.tree.map_structure(copy, metrics)


def _require(condition: tf.Tensor, expected: str, *values: tf.Tensor) -> tf.Operation | None:
    """Refuses a batch; `expected` has a place '{}' for each of the values, and ends with '.'."""
    message = tf.strings.format(_REFUSAL + expected, values)
    return tf.debugging.Assert(condition, [message])


def _after(checks: list, x: tf.Tensor) -> tf.Tensor:
    """`x`, which cannot be used before the checks have passed."""
    with tf.control_dependencies([check for check in checks if check is not None]):
        return tf.identity(x)


def _require_form(
    x: tf.Tensor, y: tf.Tensor, weight: tf.Tensor | None, expected: tuple[int | None, ...] | None
) -> None:
    """Refuses what is no batch of images, labels and weights by its dtypes and shapes alone.

    Args:
        x: images, as they were given.
        y: labels, as they were given.
        weight: weights of images, as they were given.
        expected: shape of one image as the network takes it; None if it is not known.
    """
    parts = {'images': x, 'labels': y, 'weights': weight}
    for what, part in parts.items():
        if part is None:
            continue
        if not (part.dtype.is_floating or part.dtype.is_integer or part.dtype.is_bool):
            raise BadInput(f'{_REFUSAL}expected {what} that are numbers; found {part.dtype.name}s.')
        if part.shape.rank is None:
            raise BadInput(
                f'{_REFUSAL}expected {what} with a known number of dimensions; found an unknown '
                'one. Give a generator its output_signature. Call compile again between calls '
                'whose images or labels have different numbers of dimensions.'
            )
    # Of one-hot labels, a single one looks like several numbers.
    if y.shape.rank == 0 or (expected is not None and _fits(x.shape, expected)):
        raise BadInput(
            f'{_REFUSAL}expected batches of images and labels; found one image of shape '
            f'{list(x.shape)}. Batch the data set: dataset.batch(32).'
        )
    if x.shape.rank < 2:
        raise BadInput(f'{_REFUSAL}expected images of shape [n, ...]; found shape {list(x.shape)}.')
    if expected is not None and not _fits(x.shape[1:], expected):
        require_shape(tuple(x.shape[1:]), expected)
    if weight is not None and weight.shape.rank != 1 and weight.shape[1:] != (1,):
        raise BadInput(
            f'{_REFUSAL}expected one weight for each image; found weights of shape '
            f'{list(weight.shape)}.'
        )


def _fits(shape: tf.TensorShape, expected: tuple[int | None, ...]) -> bool:
    return shape.is_compatible_with(expected)


def _lengths_check(what: str, part: tf.Tensor, x: tf.Tensor) -> tf.Operation | None:
    counts = tf.shape(part)[0], tf.shape(x)[0]
    words = f'expected as many {what} as images; found {{}} {what} of {{}} images.'
    return _require(counts[0] == counts[1], words, *counts)


def _outputs(model: keras.Model, x: tf.Tensor) -> Any:
    try:
        return model(x, training=False)
    except (AttributeError, KeyError, TypeError, ValueError, tf.errors.InvalidArgumentError) as e:
        raise BadInput(
            f'{_REFUSAL}expected a network that maps images of shape {list(x.shape)} to logits; '
            f'calling it failed: {reason(e)}'
        ) from e


def _words_about_one_output(logits: np.ndarray, far: np.ndarray) -> bytes:
    """Why single outputs cannot be logits; b'' if they can.

    Args:
        logits: [n, 2] logits of images, the first of which are 0.
        far: those of numbers far outside of the range of pixels.
    """
    # A new network's logits may be small by chance, and a replica's share of a batch empty.
    if not len(logits) or ((far < 0) | (far > 1)).any():
        return b''
    try:
        _warn_of_probabilities(logits)
    except BadInput as error:
        return str(error).encode()
    return b''


def _checked_images(x: tf.Tensor, attack: Attack, step: tf.Tensor) -> tf.Tensor:
    finite = tf.reduce_all(tf.math.is_finite(x))
    checks = [_require(finite, 'expected finite pixels; found NaN or infinity.')]
    ball = _ball_of(attack)
    if ball is not None:
        low, high, width = tf.reduce_min(x), tf.reduce_max(x), ball.upper - ball.lower
        rounding = 1e-6 * width
        inside = (low >= ball.lower - rounding) & (high <= ball.upper + rounding)
        # Once is enough: a later batch may be of dark images; the first may be all black.
        narrow = (step == 0) & (high > low) & (100 * (high - low) < width)
        checks.append(
            _require(
                (inside & ~narrow) | ~finite,
                f'expected images with pixels from {ball.lower} to {ball.upper}, the range of the '
                f'{type(ball).__name__} of the attack; found images from {{}} to {{}}. Change '
                'lower and upper of the ball, and epsilon with them, or scale the images.',
                low,
                high,
            )
        )
    return _after(checks, x)


def _checked_labels(y: tf.Tensor, classes: int) -> tf.Tensor:
    """[batch] int32 labels of [batch], [batch, 1] or one-hot [batch, classes] ones."""
    if len(y.shape) == 2 and y.shape[1] == classes:
        y = tf.cast(y, tf.float32)
        hot = tf.reduce_all((y == 0) | (y == 1)) & tf.reduce_all(tf.reduce_sum(y, axis=1) == 1)
        words = 'expected one-hot labels, with a single 1 in each row; found other numbers.'
        return tf.argmax(_after([_require(hot, words)], y), axis=1, output_type=tf.int32)
    if len(y.shape) > 1 and y.shape[1:] != (1,):
        raise BadInput(
            f'{_REFUSAL}expected labels of shape [n], [n, 1] or one-hot [n, {classes}]; found '
            f'{list(y.shape)}.'
        )
    # Wide enough that no label turns into another one.
    labels = tf.cast(tf.reshape(y, [-1]), tf.float64 if y.dtype.is_floating else tf.int64)
    right = (labels >= 0) & (labels < classes)
    if y.dtype.is_floating:
        right &= labels == tf.floor(labels)
    words = f'expected labels that are whole numbers from 0 to {classes - 1}; found {{}} to {{}}.'
    check = _require(tf.reduce_all(right), words, tf.reduce_min(y), tf.reduce_max(y))
    return tf.cast(_after([check], labels), tf.int32)


def _classes(logits: tf.Tensor) -> int:
    if len(logits.shape) != 2 or logits.shape[1] < 2:
        raise BadInput(
            f'{_REFUSAL}expected a network with logits of shape [batch, classes], two classes or '
            f'more; found {list(logits.shape)}.'
        )
    return logits.shape[1]


def _checked(losses: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """`losses`, unless the logits that they are of are probabilities."""
    one = tf.abs(tf.reduce_sum(logits, axis=1) - 1) < 1e-3
    probabilities = tf.reduce_all(logits >= 0) & tf.reduce_all(one) & (tf.size(logits) > 0)
    check = _require(
        ~probabilities,
        'expected logits; the network returned probabilities (every row is positive and sums to '
        '1), whose softmax is trained poorly. Remove its last softmax.',
    )
    return _after([check], losses)


def _assign(changes: list[tuple[keras.Variable, tf.Tensor]], replica: Replica) -> None:
    """Gives all replicas' copies of variables the first one's values."""
    if not changes:
        return
    variables = [variable for variable, _ in changes]
    values = replica.first([value for _, value in changes])
    if replica.count == 1:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
        return

    def update(strategy: tf.distribute.Strategy, *values: Any) -> None:
        for variable, value in zip(variables, values, strict=True):
            strategy.extended.update(variable.value, lambda v, new: v.assign(new), args=(value,))

    tf.distribute.get_replica_context().merge_call(update, args=values)


def _is_data(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _ball_of(attack: Any) -> Ball | None:
    """The ball of an attack, or of the first attack inside of it that has one."""
    ball = getattr(attack, 'ball', None)
    if isinstance(ball, Ball):
        return ball
    inside = (
        [getattr(attack, f.name) for f in dataclasses.fields(attack)] if _is_data(attack) else []
    )
    return next((ball for ball in map(_ball_of, inside) if ball is not None), None)


def _described(value: Any) -> Any:
    """Frozen dataclasses, and what they hold, as plain values."""
    if _is_data(value):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        kind = type(value)
        return {
            'dataclass': f'{kind.__module__}.{kind.__qualname__}',
            'fields': {name: _described(field) for name, field in fields.items()},
        }
    if isinstance(value, list | tuple):
        return [_described(item) for item in value]
    if hasattr(value, 'item') and getattr(value, 'shape', None) == ():
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise BadInput(
        'AdversarialTraining: expected an attack and an objective that are dataclasses of plain '
        f'values, to save them; found {value!r}. Save the weights alone (save_weights_only=True), '
        'or the network (.model.save).'
    )


def _from_description(value: Any) -> Any:
    """What `_described` describes; lists come back as tuples."""
    if isinstance(value, list):
        return tuple(map(_from_description, value))
    if not isinstance(value, dict):
        return value
    module, _, name = value['dataclass'].rpartition('.')
    # A file must not choose what is imported, except from here.
    own = module.startswith('common.')
    kind: Any = (
        getattr(importlib.import_module(module), name, None)
        if own
        else keras.saving.get_registered_object(name)
    )
    known = dataclasses.is_dataclass(kind)
    if not known:
        raise BadInput(
            f'AdversarialTraining: expected the class {name} of the saved attack or objective; '
            f'found none. Pass custom_objects={{{name!r}: {name}}} to load_model.'
        )
    return kind(**{name: _from_description(field) for name, field in value['fields'].items()})


def _listed(names: Any) -> str:
    return ', '.join(map(repr, names))
