"""The one training loop: natural, FGSM and PGD training alike (paper, sections 2 and 5).

Each step crafts adversarial examples and updates the weights in one compiled function, on every
replica of a `tf.distribute` strategy. Everything random follows from the seed and the step number,
so a run that was interrupted goes on exactly as if it had not been.
"""

import dataclasses
import json
import math
import os
import pathlib
import shutil
import tempfile

import keras
import numpy as np
import tensorflow as tf
import tqdm

from common.attacks import Attack, CompiledAttack
from common.data.augmentation import Augment
from common.data.batches import Examples, ShuffledBatches, batches_from
from common.errors import UserError, reason
from common.evaluation.accuracy import Judge, natural_accuracy
from common.evaluation.cascade import compiled_accuracy
from common.files import cannot_write
from common.losses import CrossEntropy
from common.networks.checkpoints import READ_ERRORS, is_prefix, is_whole, latest_in
from common.networks.logits import ModelLogits, snapshot
from common.networks.weights import averaged_variables, save_weights
from common.training import run_folder
from common.training.config import TrainingConfig
from common.training.log import Log
from common.training.objectives import Objective, SaddlePoint
from common.training.schedules import LinearRise, Schedule, learning_rate
from common.training.signals import stopping_on_signals
from common.training.validation import Validation


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
        weight_decay: coefficient of half the sum of squares of all kernels, added to the loss;
            scales and biases, which have one dimension, are left out.
        crafting: the network that training examples are crafted with: 'eval'; 'train', with the
            statistics of the batch, which each gradient moves the moving averages by (the CIFAR-10
            challenge); or 'train_frozen', which leaves these to the weights' update.
        attack_dtype: precision in which training examples are crafted.
        train_dtype: precision of the forward and backward pass that updates the weights.
        jit_compile: whether XLA compiles the network and its gradients.
        drop_remainder: whether an epoch ends with its last full batch.
        log_every: steps between lines of the log.
        checkpoint_every: steps between checkpoints.
        validate_every: steps between evaluations on held-out images; 0 evaluates at the end only.
        keep: how many checkpoints stay.
        pixels: the range of pixels, which TensorBoard's pictures are made of.
    """

    train_steps: int
    batch_size: int
    seed: int
    learning_rate: Schedule
    epsilon_factor: Schedule = LinearRise()
    sum_loss: bool = True
    weight_averaging: float = 0.0
    weight_decay: float = 0.0
    crafting: str = 'eval'
    attack_dtype: str = 'float32'
    train_dtype: str = 'float32'
    jit_compile: bool = False
    drop_remainder: bool = False
    log_every: int = 100
    checkpoint_every: int = 300
    validate_every: int = 0
    keep: int = 3
    pixels: tuple[float, float] = (0.0, 1.0)


def settings_of(config: TrainingConfig, pixels: tuple[float, float] = (0.0, 1.0)) -> Settings:
    """How long and with what to train, as a config says.

    Args:
        config: what the run is like.
        pixels: the range of pixels.

    Raises:
        UserError: settings of another learning-rate schedule, or boundaries that do not increase.
    """
    return Settings(
        train_steps=config.train_steps,
        batch_size=config.batch_size,
        seed=config.seed,
        learning_rate=learning_rate(config),
        epsilon_factor=LinearRise(config.epsilon_warmup),
        sum_loss=config.sum_loss,
        weight_averaging=config.weight_averaging,
        weight_decay=config.weight_decay,
        crafting=config.crafting,
        attack_dtype=config.attack_dtype,
        train_dtype=config.mixed_precision,
        jit_compile=config.jit_compile,
        drop_remainder=config.drop_remainder,
        log_every=config.log_every,
        checkpoint_every=config.checkpoint_every,
        validate_every=config.validate_every,
        pixels=pixels,
    )


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


class Trainer:
    """Trains a model against an adversary, with checkpoints, a log and TensorBoard summaries.

    Batch normalization takes the statistics of each replica's share of the batch; the moving
    averages that are evaluated and saved are those of the first replica. Each replica draws its own
    starting points and crops, so the number of devices is part of what a seed determines. With
    several hosts, `model_dir` is a folder that all of them see, and the first alone writes to it.

    Args:
        model: Keras model that returns logits, built under `strategy.scope()`.
        optimizer: Keras optimizer, likewise.
        attack: the adversary; None trains on natural images. It must have `scaled(factor)`.
        examples: the training images.
        settings: how long and with what.
        model_dir: folder of everything that is written.
        validation: held-out images; None for none.
        strategy: how steps are spread over devices.
        augment: (images, seed) -> images, before the attack; None for none.
        objective: what is minimized.

    Raises:
        UserError: the batch does not divide among the devices, or is larger than the training set;
            the folder's list of checkpoints is damaged.
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
        augment: Augment | None = None,
        objective: Objective = SaddlePoint(),
    ):
        self.augment, self.objective = augment, objective
        self.model, self.optimizer, self.attack = model, optimizer, attack
        self.examples, self.settings, self.validation = examples, settings, validation
        self.model_dir = pathlib.Path(model_dir)
        self.strategy = strategy or tf.distribute.get_strategy()
        _check_batch_size(settings.batch_size, len(examples), self.strategy.num_replicas_in_sync)
        self._order = ShuffledBatches(
            len(examples), settings.batch_size, settings.seed, settings.drop_remainder
        )
        with self.strategy.scope():
            self.optimizer.build(model.trainable_variables)
            self._step = tf.Variable(0, dtype=tf.int64, trainable=False, name='step')
            self._best = tf.Variable(-1.0, trainable=False, name='best')
            self._average = (
                [
                    tf.Variable(
                        v,
                        trainable=False,
                        name=f'average_{i}',
                        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
                    )
                    for i, v in enumerate(averaged_variables(model))
                ]
                if settings.weight_averaging
                else []
            )
        self._craft = ModelLogits(
            model,
            settings.attack_dtype,
            training=settings.crafting != 'eval',
            update=settings.crafting == 'train',
            jit_compile=settings.jit_compile,
        )
        # The challenge's moves the averages on here too; a glance should not change the network.
        self._see_natural = ModelLogits(model, training=settings.crafting != 'eval', update=False)
        self._forward = ModelLogits(
            model, settings.train_dtype, training=True, jit_compile=settings.jit_compile
        )
        # `model` alone would leave out the state of its dropout layers' random generators.
        self._checkpoints = _manager(
            self.model_dir,
            settings.keep,
            tf.train.Checkpoint(
                model=model,
                fixed=list(model.non_trainable_variables),
                optimizer=optimizer,
                average=self._average,
                step=self._step,
                best=self._best,
            ),
        )
        # All hosts compute the same; what the others write is thrown away.
        self._chief, self._hosts = _is_chief(self.strategy), _hosts(self.strategy)
        self._own_dir = self.model_dir if self._chief else pathlib.Path(tempfile.mkdtemp())
        self._saved = None  # step of the checkpoint that equals the present state
        self._evaluated = keras.models.clone_model(model)
        self._judge = Judge(ModelLogits(self._evaluated))
        if validation is not None and validation.attack is not None:
            self._perturb = CompiledAttack(
                validation.attack, ModelLogits(self._evaluated, settings.attack_dtype)
            )
        self._train_step = self._compile_step()
        self._natural = tf.function(self._natural_metrics, autograph=False)
        self._stop_signal = None
        self._measured = ''  # what the progress bar shows of the last line of the log

    @property
    def writes(self) -> bool:
        """Whether this host is the one that writes to the model folder."""
        return self._chief

    def train(self) -> None:
        """Trains from the last checkpoint in the model folder, or from the start, to the end.

        Raises:
            UserError: the loss or the weights are no longer finite; a checkpoint is damaged; the
                model folder cannot be written, or another run is at work there.
            KeyboardInterrupt: Ctrl-C; the state has been saved.
        """
        try:
            with run_folder.held(self._own_dir):
                self._train()
        finally:
            if not self._chief:
                shutil.rmtree(self._own_dir, ignore_errors=True)

    def _train(self) -> None:
        start = self._restore()
        self._require_same_start(start)
        _remove_leftovers(self._own_dir)
        log = Log(self._own_dir, start, self.settings.pixels)
        with (
            stopping_on_signals(self.request_stop),
            log,
            tqdm.tqdm(
                total=self.settings.train_steps,
                initial=start,
                unit='step',
                disable=None if self._chief else True,
                dynamic_ncols=True,
            ) as bar,
        ):
            if start:
                self._say(
                    bar,
                    f'{self.model_dir}: going on from step {start:,} of '
                    f'{self.settings.train_steps:,}',
                )
            batches = batches_from(start, self.examples, self._order, self.strategy)
            for step in range(start, self.settings.train_steps):
                with log.paused():
                    self._maybe_save(step)
                stop = self._stop_is_asked()
                self._train_one(step, *next(batches), log, bar)
                with log.paused():
                    self._maybe_validate(step + 1, log, bar)
                # Several hosts have to stop after the same step, whichever got the signal.
                if stop if self._hosts > 1 else self._stop_signal is not None:
                    self._save(step + 1)
                    raise KeyboardInterrupt
            self._save(self.settings.train_steps)

    def _train_one(self, step: int, x, y, log: Log, bar: tqdm.tqdm) -> None:
        settings = self.settings
        logging = step % settings.log_every == 0 or step == settings.train_steps - 1
        natural = self._natural(x, y, tf.constant(step, tf.int64)) if logging else None
        learning_rate = settings.learning_rate(step)
        factor = settings.epsilon_factor(step)
        self.optimizer.learning_rate.assign(learning_rate)
        loss, accuracy, x_adv = self._train_step(
            x, y, tf.constant(step, tf.int64), tf.constant(factor, tf.float32)
        )
        loss, accuracy = float(loss), float(accuracy)
        if not math.isfinite(loss):
            self._refuse_to_go_on(f'the loss became {loss}', step)
        bar.update()
        bar.set_postfix_str(
            f'loss {loss:.3f}, adversarial {accuracy:.1%}{self._measured}', refresh=False
        )
        if logging:
            row = {
                'step': step,
                'epoch': step * settings.batch_size / len(self.examples),
                'learning_rate': learning_rate,
                'epsilon_factor': factor,
                'loss_adv': loss,
                'accuracy_adv': accuracy,
                'loss_nat': float(natural[0]),
                'accuracy_nat': float(natural[1]),
                'examples_per_second': log.rate(step, settings.batch_size),
            }
            log.write(row)
            log.summarize(row, self.strategy.experimental_local_results(x_adv)[0])
            rate = row['examples_per_second']
            speed = '' if rate is None else f', {rate:.0f} examples/s'
            self._measured = f', natural {row["accuracy_nat"]:.1%}{speed}'
            self._say(
                bar,
                f'step {step}: natural {row["accuracy_nat"]:.2%}, adversarial '
                f'{accuracy:.2%} of the batch{speed}',
            )

    def _say(self, bar: tqdm.tqdm, words: str) -> None:
        if self._chief:
            bar.write(words)

    def _compile_step(self):
        settings, strategy = self.settings, self.strategy

        def replica_step(x, y, step, factor):
            x = self._augmented(x, step)
            x_adv = x if self.attack is None else self._adversarial(x, y, step, factor)
            with tf.GradientTape() as tape:
                losses, logits = self.objective.losses(snapshot(self._forward), x, x_adv, y)
                objective = tf.reduce_sum(losses)
                if not settings.sum_loss:
                    objective /= settings.batch_size
                objective += self._penalty() / strategy.num_replicas_in_sync
            variables = self.model.trainable_variables
            self.optimizer.apply(tape.gradient(objective, variables), variables)
            self._update_average(step)
            loss = tf.reduce_sum(CrossEntropy()(logits, y))
            correct = tf.argmax(logits, axis=1, output_type=y.dtype) == y
            return loss, tf.reduce_sum(tf.cast(correct, tf.float32)), x_adv

        @tf.function(autograph=False)
        def train_step(x, y, step, factor):
            loss, correct, x_adv = strategy.run(replica_step, args=(x, y, step, factor))
            self._step.assign(step + 1)
            return self._mean(loss), self._mean(correct), x_adv

        return train_step

    def _augmented(self, x, step) -> tf.Tensor:
        return x if self.augment is None else self.augment(x, self._seed(step, 1))

    def _adversarial(self, x, y, step, factor) -> tf.Tensor:
        attack = self.attack.scaled(factor)
        return self.objective.craft(attack, snapshot(self._craft), x, y, seed=self._seed(step, 0))

    def _seed(self, step, purpose: int) -> tf.Tensor:
        """The seed of one replica's step, for one of the things that are random in it."""
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        of_step = tf.random.fold_in(
            tf.constant([self.settings.seed, purpose]), tf.cast(step, tf.int32)
        )
        return tf.random.fold_in(of_step, replica)

    def _penalty(self) -> tf.Tensor | float:
        if not self.settings.weight_decay:
            return 0.0
        kernels = [v for v in self.model.trainable_variables if len(v.shape) > 1]
        return self.settings.weight_decay * tf.add_n([tf.nn.l2_loss(v) for v in kernels])

    def _update_average(self, step) -> None:
        # The average forgets the first steps quickly: (1 + t) / (10 + t) is below the decay then.
        t = tf.cast(step, tf.float32)
        decay = tf.minimum(self.settings.weight_averaging, (1 + t) / (10 + t))
        for average, variable in zip(self._average, averaged_variables(self.model), strict=False):
            average.assign(decay * average + (1 - decay) * tf.convert_to_tensor(variable))

    def _natural_metrics(self, x, y, step) -> tuple[tf.Tensor, tf.Tensor]:
        """Loss and accuracy of what the adversary starts from, by the network that it sees."""

        def replica(x, y):
            logits = self._see_natural(self._augmented(x, step))
            correct = tf.argmax(logits, axis=1, output_type=y.dtype) == y
            loss = tf.reduce_sum(CrossEntropy()(logits, y))
            return loss, tf.reduce_sum(tf.cast(correct, tf.float32))

        loss, correct = self.strategy.run(replica, args=(x, y))
        return self._mean(loss), self._mean(correct)

    def _mean(self, per_replica_sum) -> tf.Tensor:
        total = self.strategy.reduce(tf.distribute.ReduceOp.SUM, per_replica_sum, axis=None)
        return total / self.settings.batch_size

    def _maybe_validate(self, step: int, log: Log, bar: tqdm.tqdm) -> None:
        every = self.settings.validate_every
        due = step == self.settings.train_steps or (every and step % every == 0)
        if self.validation is None or not due:
            return
        self._require_finite_weights(step)
        self._refresh_evaluated()
        natural = natural_accuracy(
            self._judge, self.validation.examples, batch_size=self.validation.batch_size
        )
        score, row = natural, {'step': step, 'validation_accuracy_nat': natural.accuracy}
        if self.validation.attack is not None:
            score = compiled_accuracy(
                self._perturb,
                self._judge,
                self.validation.examples,
                batch_size=self.validation.batch_size,
                seed=self.settings.seed,
            )
            row['validation_accuracy_adv'] = score.accuracy
        log.write(row)
        under_attack = f', adversarial {score.accuracy:.2%}' if score is not natural else ''
        self._say(
            bar,
            f'step {step}: held-out {natural.n} images: natural '
            f'{natural.accuracy:.2%}{under_attack}',
        )
        # The best is kept in float32, where an equal score must not look like a better one.
        if np.float32(score.accuracy) > self._best.numpy():
            self._best.assign(score.accuracy)
            save_weights(self._evaluated, self._own_dir / 'best.weights.h5')

    def _refresh_evaluated(self) -> None:
        for target, value in zip(self._evaluated.variables, self.model.variables, strict=True):
            target.assign(value)
        for target, value in zip(averaged_variables(self._evaluated), self._average, strict=False):
            target.assign(value)

    def _maybe_save(self, step: int) -> None:
        if step and step % self.settings.checkpoint_every == 0:
            self._save(step)

    def _save(self, step: int) -> None:
        self._require_finite_weights(step)
        # A checkpoint that was just restored is not written again: killed in the middle of that,
        # the run would have lost it.
        if step != self._saved:
            try:
                # Saving reads statistics from all hosts, so that all have to take part.
                if self._chief:
                    self._checkpoints.save(checkpoint_number=step)
                else:
                    self._checkpoints.checkpoint.write(str(self._own_dir / 'checkpoint'))
            except (OSError, tf.errors.OpError) as error:
                raise cannot_write(self.model_dir, error) from error
            self._saved = step
        self._refresh_evaluated()
        save_weights(self._evaluated, self._own_dir / 'last.weights.h5')

    def _require_finite_weights(self, step: int) -> None:
        if not all(np.isfinite(v.numpy()).all() for v in self.model.variables):
            self._refuse_to_go_on('the weights no longer are', step)

    def _restore(self) -> int:
        latest = self._latest()
        if latest is None:
            return 0
        try:
            # If it fails, the error tells what is wrong; no warnings are needed besides.
            self._checkpoints.checkpoint.restore(latest).expect_partial().assert_consumed()
        except READ_ERRORS as error:
            raise UserError(
                f'the checkpoint {latest} is damaged or of another network: {reason(error)}. '
                f'{self._remedy(latest)}, or choose a new --model_dir.'
            ) from error
        self._saved = int(self._step.numpy())  # int() takes no variable of several devices
        return self._saved

    def _latest(self) -> str | None:
        """Prefix of the newest checkpoint; None if the run has to begin."""
        listed = self._checkpoints.checkpoints
        if listed:
            return next(filter(is_prefix, reversed(listed)), listed[-1])
        # A checkpoint is listed once it is whole, so this one was the first, and being written, or
        # the list was lost.
        found = latest_in(self.model_dir)
        return found if found is not None and is_whole(found) else None

    def _remedy(self, damaged: str) -> str:
        others = [p for p in self._checkpoints.checkpoints if p != damaged and is_prefix(p)]
        if not others:
            return f'Remove {self.model_dir} to begin again'
        return f'Remove the files {damaged}.* to go on from {pathlib.Path(others[-1]).name}'

    def _refuse_to_go_on(self, what: str, step: int) -> None:
        latest = self._checkpoints.latest_checkpoint
        kept = f'the last good checkpoint is {latest}' if latest else 'none was written yet'
        raise UserError(
            f'training stopped at step {step}: expected a finite loss and finite weights, but '
            f'{what}; {kept}. '
            'Lower --learning_rate, or lengthen --epsilon_warmup, and start in a new --model_dir.'
        )

    def _stop_is_asked(self) -> bool:
        """Whether any host was asked to stop; with several, all have to call it together."""
        asked = self._stop_signal is not None
        return asked if self._hosts == 1 else self._sum_over_replicas(float(asked)) > 0

    def _require_same_start(self, start: int) -> None:
        if self._hosts == 1:
            return
        replicas = self.strategy.num_replicas_in_sync
        mean = self._sum_over_replicas(float(start)) / replicas
        spread = self._sum_over_replicas((start - mean) ** 2)
        if spread > 0:
            raise UserError(
                f'expected all hosts to go on from the same step; found step {start:,} here and '
                f'others elsewhere (their mean is {mean:,.1f}). Give them one --model_dir on a '
                'file system that all of them see.'
            )

    def _sum_over_replicas(self, value: float) -> float:
        values = self.strategy.experimental_distribute_values_from_function(
            lambda _: tf.constant(value)
        )
        return float(self.strategy.reduce(tf.distribute.ReduceOp.SUM, values, axis=None))

    def request_stop(self, signal_number: int) -> None:
        """Asks the loop to save and stop after the step in progress."""
        self._stop_signal = signal_number


def _hosts(strategy: tf.distribute.Strategy) -> int:
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return 1
    cluster = resolver.cluster_spec().as_dict()
    return sum(len(cluster.get(job, ())) for job in ('chief', 'worker'))


def _is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this host is the one that writes."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    first = 'chief' if 'chief' in resolver.cluster_spec().jobs else 'worker'
    return (resolver.task_type, resolver.task_id) == (first, 0)


def _check_batch_size(batch_size: int, examples: int, devices: int) -> None:
    if batch_size % devices:
        raise UserError(
            f'--batch_size: expected a multiple of the number of devices, {devices}; '
            f'found {batch_size}.'
        )
    if batch_size > examples:
        raise UserError(
            f'--batch_size: expected at most the number of training images, '
            f'{examples:,}; found {batch_size:,}. Lower it, or hold fewer images out.'
        )


def _manager(
    folder: pathlib.Path, keep: int, checkpoint: tf.train.Checkpoint
) -> tf.train.CheckpointManager:
    path = folder / 'checkpoint'
    try:
        manager = tf.train.CheckpointManager(
            checkpoint, str(folder), max_to_keep=keep, checkpoint_name='checkpoint'
        )
        readable = manager.latest_checkpoint is not None or not path.exists()
    except (OSError, ValueError, tf.errors.OpError):
        readable = False
    if not readable:
        raise UserError(
            f'expected a list of checkpoints in {path}; found something else. Remove '
            'that file: the newest checkpoint-<step> will be used.'
        )
    return manager


def _remove_leftovers(folder: pathlib.Path) -> None:
    """Removes what a killed run left half-written, under names that no run would use again."""
    for name in ('last.weights.h5', 'best.weights.h5', 'log.csv', 'config.json'):
        for path in folder.glob(f'.{name}.*'):
            path.unlink(missing_ok=True)
    for path in folder.glob('checkpoint-*_temp'):
        shutil.rmtree(path, ignore_errors=True)
