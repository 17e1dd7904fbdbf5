"""The one training loop: natural, FGSM and PGD training alike (paper, sections 2 and 5).

Each step crafts adversarial examples and updates the weights in one compiled function, on every
replica of a `tf.distribute` strategy. Everything random follows from the seed and the step number,
so a run that was interrupted goes on exactly as if it had not been.
"""

import csv
import dataclasses
import math
import pathlib
import signal
import time
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from common.attacks.base import Attack
from common.data import Examples, ShuffledBatches
from common.errors import UserError
from common.evaluation import adversarial_accuracy, natural_accuracy
from common.logits import ModelLogits, snapshot
from common.losses import CrossEntropy
from common.schedules import Cosine, LinearRise, Piecewise, Schedule
from common.weights import save_weights

LOG_COLUMNS = (
    'step', 'epoch', 'learning_rate', 'epsilon_factor', 'loss_adv', 'accuracy_adv', 'loss_nat',
    'accuracy_nat', 'examples_per_second', 'validation_accuracy_nat', 'validation_accuracy_adv')


@dataclasses.dataclass(frozen=True)
class Settings:
    """How long and with what to train.

    Attributes:
        train_steps: number of optimizer steps.
        batch_size: examples a step, over all replicas.
        seed: of the data order, the attack and everything else random.
        learning_rate: step -> learning rate.
        epsilon_factor: step -> factor on the adversary's radius and step size.
        sum_loss: sum the loss over the batch (MNIST challenge) rather than average it (CIFAR-10).
        weight_averaging: decay of the exponential average of the weights that is evaluated and
            saved; 0 evaluates the weights themselves.
        attack_dtype: precision in which training examples are crafted.
        log_every: steps between lines of the log.
        checkpoint_every: steps between checkpoints.
        validate_every: steps between evaluations on held-out images; 0 evaluates at the end only.
        keep: how many checkpoints stay.
    """

    train_steps: int
    batch_size: int
    seed: int
    learning_rate: Schedule
    epsilon_factor: Schedule = LinearRise()
    sum_loss: bool = True
    weight_averaging: float = 0.0
    attack_dtype: str = 'float32'
    log_every: int = 100
    checkpoint_every: int = 300
    validate_every: int = 0
    keep: int = 3


@dataclasses.dataclass(frozen=True)
class Validation:
    """Held-out images and the attack they are judged under; the best weights are kept by it.

    Attributes:
        examples: the images.
        attack: None judges natural accuracy alone.
        batch_size: images a batch.
    """

    examples: Examples
    attack: Attack | None
    batch_size: int = 200


def settings_of(config: dict[str, Any], *, sum_loss: bool) -> Settings:
    """The Settings that the flags of `common.flags.define_training` describe.

    Raises:
        UserError: boundaries that are not increasing whole numbers.
    """
    return Settings(
        train_steps=config['train_steps'], batch_size=config['batch_size'], seed=config['seed'],
        learning_rate=_learning_rate(config),
        epsilon_factor=LinearRise(config['epsilon_warmup']), sum_loss=sum_loss,
        weight_averaging=config['weight_averaging'], attack_dtype=config['attack_dtype'],
        log_every=config['log_every'], checkpoint_every=config['checkpoint_every'],
        validate_every=config['validate_every'])


def _learning_rate(config: dict[str, Any]) -> Schedule:
    peak = config['learning_rate']
    if config['schedule'] == 'cosine':
        return Cosine(peak, config['train_steps'], config['learning_rate_warmup'])
    if config['schedule'] == 'constant':
        return Piecewise((peak,))
    try:
        boundaries = tuple(int(step) for step in config['boundaries'])
        return Piecewise(tuple(peak * 0.1**i for i in range(len(boundaries) + 1)), boundaries)
    except ValueError as error:
        raise UserError(
            f'--boundaries: expected increasing whole numbers separated by commas, found '
            f'{",".join(config["boundaries"])!r}. For example --boundaries=40000,60000.') from error


def make_strategy() -> tf.distribute.Strategy:
    """All GPUs of this machine, or its one device."""
    if len(tf.config.list_physical_devices('GPU')) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


class Trainer:
    """Trains a model against an adversary, with checkpoints, a log and TensorBoard summaries.

    Args:
        model: Keras model that returns logits, built under `strategy.scope()`.
        optimizer: Keras optimizer, likewise.
        attack: the adversary; None trains on natural images. It must have `scaled(factor)`.
        examples: the training images.
        settings: how long and with what.
        model_dir: folder of everything that is written.
        validation: held-out images; None for none.
        strategy: how steps are spread over devices.

    Raises:
        ValueError: the batch does not divide among the replicas.
    """

    def __init__(
        self,
        model: keras.Model,
        optimizer: keras.optimizers.Optimizer,
        attack: Attack | None,
        examples: Examples,
        settings: Settings,
        model_dir: pathlib.Path,
        validation: Validation | None = None,
        strategy: tf.distribute.Strategy | None = None,
    ):
        self.model, self.optimizer, self.attack = model, optimizer, attack
        self.examples, self.settings, self.validation = examples, settings, validation
        self.model_dir = pathlib.Path(model_dir)
        self.strategy = strategy or tf.distribute.get_strategy()
        replicas = self.strategy.num_replicas_in_sync
        if settings.batch_size % replicas:
            raise ValueError(
                f'batch_size must be a multiple of the {replicas} devices; '
                f'found {settings.batch_size}')
        self._batches = ShuffledBatches(len(examples), settings.batch_size, settings.seed)
        with self.strategy.scope():
            self.optimizer.build(model.trainable_variables)
            self._step = tf.Variable(0, dtype=tf.int64, trainable=False, name='step')
            self._best = tf.Variable(-1.0, trainable=False, name='best')
            self._average = [
                tf.Variable(v, trainable=False, name=f'average_{i}',
                            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
                for i, v in enumerate(model.trainable_variables)
            ] if settings.weight_averaging else []
        self._craft = ModelLogits(model, settings.attack_dtype)
        self._checkpoints = tf.train.CheckpointManager(
            tf.train.Checkpoint(
                model=model, optimizer=optimizer, average=self._average, step=self._step,
                best=self._best),
            str(self.model_dir), max_to_keep=settings.keep, checkpoint_name='checkpoint')
        self._evaluated = keras.models.clone_model(model)
        self._train_step = self._compile_step()
        self._natural = tf.function(self._natural_metrics, autograph=False)
        self._stop_signal = None

    def train(self) -> None:
        """Trains from the last checkpoint in the model folder, or from the start, to the end.

        Raises:
            UserError: the loss or the weights are no longer finite; a checkpoint is damaged; the
                model folder cannot be written.
            KeyboardInterrupt: Ctrl-C; the state has been saved.
        """
        start = self._restore()
        log = _Log(self.model_dir, start)
        with (
            _stopping_on_signals(self), log,
            tqdm.tqdm(
                total=self.settings.train_steps, initial=start, unit='step', disable=None,
                dynamic_ncols=True) as bar,
        ):
            for step in range(start, self.settings.train_steps):
                self._maybe_save(step)
                self._train_one(step, log, bar)
                self._maybe_validate(step + 1, log, bar)
                if self._stop_signal is not None:
                    self._save(step + 1)
                    raise KeyboardInterrupt
            self._save(self.settings.train_steps)

    def _train_one(self, step: int, log: '_Log', bar: tqdm.tqdm) -> None:
        settings = self.settings
        index = self._batches(step)
        x, y = self._distribute(self.examples.x[index]), self._distribute(self.examples.y[index])
        logging = step % settings.log_every == 0 or step == settings.train_steps - 1
        natural = self._natural(x, y) if logging else None
        learning_rate = settings.learning_rate(step)
        factor = settings.epsilon_factor(step)
        self.optimizer.learning_rate.assign(learning_rate)
        loss, accuracy, x_adv = self._train_step(
            x, y, tf.constant(step, tf.int64), tf.constant(factor, tf.float32))
        loss, accuracy = float(loss), float(accuracy)
        if not math.isfinite(loss):
            self._refuse_to_go_on(f'the loss became {loss}', step)
        bar.update()
        bar.set_postfix_str(f'loss {loss:.3f}, adversarial {accuracy:.1%}', refresh=False)
        if logging:
            row = {
                'step': step, 'epoch': step * settings.batch_size / len(self.examples),
                'learning_rate': learning_rate, 'epsilon_factor': factor, 'loss_adv': loss,
                'accuracy_adv': accuracy, 'loss_nat': float(natural[0]),
                'accuracy_nat': float(natural[1]),
                'examples_per_second': log.rate(step, settings.batch_size)}
            log.write(row)
            log.summarize(row, self.strategy.experimental_local_results(x_adv)[0])
            bar.write(
                f'step {step}: natural {row["accuracy_nat"]:.2%}, adversarial {accuracy:.2%} of '
                f'the batch, {row["examples_per_second"]:.0f} examples/s')

    def _compile_step(self):
        settings, strategy = self.settings, self.strategy

        def replica_step(x, y, step, factor):
            x_adv = x if self.attack is None else self._adversarial(x, y, step, factor)
            with tf.GradientTape() as tape:
                logits = self.model(x_adv, training=True)
                loss = tf.reduce_sum(CrossEntropy()(logits, y))
                objective = loss if settings.sum_loss else loss / settings.batch_size
            variables = self.model.trainable_variables
            self.optimizer.apply(tape.gradient(objective, variables), variables)
            self._update_average(step)
            correct = tf.argmax(logits, axis=1, output_type=y.dtype) == y
            return loss, tf.reduce_sum(tf.cast(correct, tf.float32)), x_adv

        @tf.function(autograph=False)
        def train_step(x, y, step, factor):
            loss, correct, x_adv = strategy.run(replica_step, args=(x, y, step, factor))
            self._step.assign(step + 1)
            return self._mean(loss), self._mean(correct), x_adv

        return train_step

    def _adversarial(self, x, y, step, factor) -> tf.Tensor:
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        seed = tf.random.fold_in(
            tf.random.fold_in(tf.constant([self.settings.seed, 0]), tf.cast(step, tf.int32)),
            replica)
        attack = self.attack.scaled(factor)
        return attack(snapshot(self._craft), x, y, seed=seed)

    def _update_average(self, step) -> None:
        # The average forgets the first steps quickly: (1 + t) / (10 + t) is below the decay then.
        t = tf.cast(step, tf.float32)
        decay = tf.minimum(self.settings.weight_averaging, (1 + t) / (10 + t))
        for average, variable in zip(self._average, self.model.trainable_variables, strict=False):
            average.assign(decay * average + (1 - decay) * tf.convert_to_tensor(variable))

    def _natural_metrics(self, x, y) -> tuple[tf.Tensor, tf.Tensor]:
        def replica(x, y):
            logits = self.model(x, training=False)
            correct = tf.argmax(logits, axis=1, output_type=y.dtype) == y
            loss = tf.reduce_sum(CrossEntropy()(logits, y))
            return loss, tf.reduce_sum(tf.cast(correct, tf.float32))

        loss, correct = self.strategy.run(replica, args=(x, y))
        return self._mean(loss), self._mean(correct)

    def _mean(self, per_replica_sum) -> tf.Tensor:
        total = self.strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica_sum, axis=None)
        return total / self.settings.batch_size

    def _distribute(self, batch: np.ndarray):
        share = len(batch) // self.strategy.num_replicas_in_sync

        def of_replica(context):
            first = context.replica_id_in_sync_group * share
            return tf.constant(batch[first:first + share])

        return self.strategy.experimental_distribute_values_from_function(of_replica)

    def _maybe_validate(self, step: int, log: '_Log', bar: tqdm.tqdm) -> None:
        every = self.settings.validate_every
        due = step == self.settings.train_steps or (every and step % every == 0)
        if self.validation is None or not due:
            return
        self._refresh_evaluated()
        logits_fn = ModelLogits(self._evaluated)
        natural = natural_accuracy(
            logits_fn, self.validation.examples, batch_size=self.validation.batch_size)
        score, row = natural, {'step': step, 'validation_accuracy_nat': natural.accuracy}
        if self.validation.attack is not None:
            crafting = ModelLogits(self._evaluated, self.settings.attack_dtype)
            score = adversarial_accuracy(
                self.validation.attack, crafting, logits_fn, self.validation.examples,
                batch_size=self.validation.batch_size, seed=self.settings.seed)
            row['validation_accuracy_adv'] = score.accuracy
        log.write(row)
        bar.write(f'step {step}: held-out {natural.n} images: natural {natural.accuracy:.2%}'
                  + (f', adversarial {score.accuracy:.2%}' if score is not natural else ''))
        if score.accuracy > float(self._best):
            self._best.assign(score.accuracy)
            save_weights(self._evaluated, self.model_dir / 'best.weights.h5')

    def _refresh_evaluated(self) -> None:
        source = self._average or self.model.trainable_variables
        for target, value in zip(self._evaluated.trainable_variables, source, strict=True):
            target.assign(value)
        for target, value in zip(
            self._evaluated.non_trainable_variables, self.model.non_trainable_variables,
            strict=True,
        ):
            target.assign(value)

    def _maybe_save(self, step: int) -> None:
        if step and step % self.settings.checkpoint_every == 0:
            self._save(step)

    def _save(self, step: int) -> None:
        if not all(np.isfinite(v.numpy()).all() for v in self.model.trainable_variables):
            self._refuse_to_go_on('the weights are no longer finite', step)
        try:
            self._checkpoints.save(checkpoint_number=step)
        except (OSError, tf.errors.OpError) as error:
            raise UserError(
                f'cannot write a checkpoint to {self.model_dir}: {_first_line(error)}. Free some '
                'room or make the folder writable, and run the same command again.') from error
        self._refresh_evaluated()
        save_weights(self._evaluated, self.model_dir / 'last.weights.h5')

    def _restore(self) -> int:
        latest = self._checkpoints.latest_checkpoint
        if latest is None:
            return 0
        try:
            self._checkpoints.checkpoint.restore(latest).assert_consumed()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f'the checkpoint {latest} is damaged or of another network: {_first_line(error)}. '
                f'Remove the files {latest}.* and edit or remove {self.model_dir}/checkpoint so '
                'that an earlier one is used, or choose a new --model_dir.') from error
        return int(self._step)

    def _refuse_to_go_on(self, what: str, step: int) -> None:
        latest = self._checkpoints.latest_checkpoint
        kept = f'the last good checkpoint is {latest}' if latest else 'none was written yet'
        raise UserError(
            f'training stopped at step {step}: expected finite numbers, but {what}; {kept}. '
            'Lower --learning_rate, or lengthen --epsilon_warmup, and start in a new --model_dir.')

    def request_stop(self, signal_number: int) -> None:
        """Asks the loop to save and stop after the step in progress."""
        self._stop_signal = signal_number


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class _stopping_on_signals:
    """The first Ctrl-C or SIGTERM lets the step finish and saves; the second stops at once."""

    def __init__(self, trainer: Trainer):
        self._trainer = trainer
        self._previous = {}

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                self._previous[number] = signal.signal(number, self._handle)
            except ValueError:  # not in the main thread, where signals do not arrive anyway
                pass

    def _handle(self, number: int, _) -> None:
        self._trainer.request_stop(number)
        signal.signal(number, self._previous[number])

    def __exit__(self, *_) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)


class _Log:
    """log.csv and the TensorBoard summaries of a model folder, without rows after `start`."""

    def __init__(self, model_dir: pathlib.Path, start: int):
        self._path = model_dir / 'log.csv'
        self._writer = tf.summary.create_file_writer(str(model_dir))
        self._clock = (start, time.perf_counter())
        rows = []
        if self._path.exists():
            with open(self._path, newline='') as file:
                rows = [row for row in csv.DictReader(file) if _before(row, start)]
        with open(self._path, 'w', newline='') as file:
            writer = csv.DictWriter(file, LOG_COLUMNS)
            writer.writeheader()
            writer.writerows(rows)

    def __enter__(self) -> '_Log':
        return self

    def __exit__(self, *_) -> None:
        self._writer.close()

    def rate(self, step: int, batch_size: int) -> float:
        """Examples a second since the last call."""
        then, at = self._clock
        self._clock = (step, time.perf_counter())
        return (step - then) * batch_size / (self._clock[1] - at)

    def write(self, row: dict) -> None:
        with open(self._path, 'a', newline='') as file:
            csv.DictWriter(file, LOG_COLUMNS).writerow(
                {k: f'{v:.6g}' if isinstance(v, float) else v for k, v in row.items()})

    def summarize(self, row: dict, x_adv: tf.Tensor) -> None:
        """Writes the challenge's tags."""
        with self._writer.as_default(step=row['step']):
            for tag in ('accuracy adv train', 'accuracy adv'):
                tf.summary.scalar(tag, row['accuracy_adv'])
            for tag in ('xent adv train', 'xent adv'):
                tf.summary.scalar(tag, row['loss_adv'])
            tf.summary.image('images adv train', x_adv)


def _before(row: dict[str, str], start: int) -> bool:
    """Whether a row was written before the checkpoint of step `start`, however the run ended."""
    step = row['step']
    if not step or not step.isdigit():
        return False
    validated = row.get('validation_accuracy_nat')
    return int(step) <= start if validated else int(step) < start
