"""The one training loop: natural, FGSM and PGD training alike (paper, sections 2 and 5).

The loop holds the state in variables, calls the compiled step, validates, and writes checkpoints
and the log. Everything random follows from the seed and the step number, so a run that was
interrupted continues exactly as if it had not been.
"""

import contextlib
import dataclasses
import math
import os
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tqdm

from common.data.augmentation import Augment
from common.data.batches import Examples, ShuffledBatches, batches_from
from common.data.checked import checked_images, checked_labels, require_shape
from common.errors import BadInput, UserError
from common.networks.checkpoints import require_literal
from common.networks.logits import ModelLogits, input_shape
from common.networks.weights import averaged_variables, save_weights
from common.statistics import counted
from common.training import run_folder
from common.training.checkpointing import Checkpoints, remove_leftovers
from common.training.distribution import Devices, StateVariables
from common.training.log import Log
from common.training.progress import Progress, duration
from common.training.settings import Settings
from common.training.signals import stopping_on_signals
from common.training.step import Step
from common.training.validation import Validation, Validator


@dataclasses.dataclass(frozen=True)
class Data:
    """The images of a training.

    Attributes:
        examples: the training images.
        validation: held-out images; None for none.
        augment: (images, seed) -> images, before the attack; None for nothing.
        pixels: the range of pixels, which training images are checked against and TensorBoard's
            pictures are made of.
    """

    examples: Examples
    validation: Validation | None = None
    augment: Augment | None = None
    pixels: tuple[float, float] = (0.0, 1.0)


class Trainer:
    """Trains a network against an adversary, with checkpoints, a log and TensorBoard summaries.

    Batch normalization takes the statistics of each replica's share of the batch; the moving
    averages that are evaluated and saved are those of the first replica. Each replica draws its own
    starting points and crops, so the number of devices is part of what a seed determines. With
    several hosts, `model_dir` is a folder that all of them see, and the first alone writes to it.

    Args:
        network: Keras model of any kind that returns logits, made under `strategy.scope()`.
        settings: how long and with what.
        data: the images.
        model_dir: folder of everything that is written.
        strategy: how steps are spread over devices.
        advise: how many seconds the run will take, as measured -> a line about it, or ''.

    Raises:
        UserError: the batch does not divide among the devices, or is larger than the training set;
            the folder's path is a pattern to TensorFlow, or its list of checkpoints is damaged.
        BadInput: training images that do not fit the network, outside of the range of pixels or not
            finite; labels that are not its classes.
    """

    def __init__(
        self,
        *,
        network: keras.Model,
        settings: Settings,
        data: Data,
        model_dir: str | os.PathLike,
        strategy: tf.distribute.Strategy | None = None,
        advise: Callable[[float], str] = lambda seconds: '',
    ):
        self._advise = advise
        self.network, self.settings = network, settings
        self.model_dir = pathlib.Path(model_dir)
        require_literal(self.model_dir)  # a run would never find its checkpoints again
        self._devices = Devices(strategy)
        _check_batch_size(settings.batch_size, self._devices.replicas, len(data.examples))
        with self._devices.strategy.scope():
            data = dataclasses.replace(data, examples=_checked(data, network))
        self.data = data
        self._order = ShuffledBatches(
            len(data.examples), settings.batch_size, settings.seed, settings.drop_remainder
        )
        step = Step(network, settings, data.augment)
        self._state = StateVariables(network, step.first_state(), self._devices.strategy)
        with self._devices.strategy.scope():
            self._best = tf.Variable(-1.0, trainable=False, name='best')
        # All hosts compute the same; what the others write is thrown away.
        self._own_dir = self.model_dir if self.writes else pathlib.Path(tempfile.mkdtemp())
        self._checkpoints = Checkpoints(
            self.model_dir,
            self._own_dir,
            keep=settings.keep,
            network=network,
            state=self._state.variables,
            best=self._best,
        )
        self._validator = (
            None
            if data.validation is None
            else Validator(network, data.validation, settings.attack_dtype, settings.seed)
        )
        self._train_step, self._natural = self._compiled(step)
        self._stopping = False
        self._measured = ''  # what the progress bar shows of the last line of the log

    @property
    def writes(self) -> bool:
        """Whether this host is the one that writes to the model folder."""
        return self._devices.chief

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
            if not self.writes:
                shutil.rmtree(self._own_dir, ignore_errors=True)

    def request_stop(self) -> None:
        """Asks the loop to save and stop after the step in progress."""
        self._stopping = True

    def _train(self) -> None:
        start, total = self._checkpoints.restore(), self.settings.train_steps
        self._require_same_start(start)
        remove_leftovers(self._own_dir)
        log = Log(self._own_dir, start, self.data.pixels)
        progress = Progress(start, total, self.settings.batch_size)
        bar = tqdm.tqdm(
            total=total,
            initial=start,
            unit='step',
            disable=None if self.writes else True,
            dynamic_ncols=True,
        )
        with stopping_on_signals(self.request_stop), log, bar:
            if start:
                self._say(bar, f'{self.model_dir}: resuming from step {start:,} of {total:,}')
            batches = batches_from(start, self.data.examples, self._order, self._devices.strategy)
            for step in range(start, total):
                with log.paused(), progress.paused():
                    if step and step % self.settings.checkpoint_every == 0:
                        self._save(step)
                x, y = next(batches)
                self._train_one(step, x, y, log, bar, progress)
                self._tell_estimate(bar, progress)
                with log.paused(), progress.paused():
                    self._maybe_validate(step + 1, log, bar)
                # Several hosts have to stop after the same step, whichever got the signal.
                if self._stop_is_asked():
                    self._save(step + 1)
                    raise KeyboardInterrupt
            self._save(total)

    def _train_one(
        self, step: int, x: Any, y: Any, log: Log, bar: tqdm.tqdm, progress: Progress
    ) -> None:
        settings = self.settings
        logging = step % settings.log_every == 0 or step == settings.train_steps - 1
        # Not whenever a line is due: with several hosts, all have to call this together.
        natural = self._natural(x, y) if logging or progress.is_early() else None
        rate, factor = settings.learning_rate(step), settings.epsilon_factor(step)
        loss, accuracy, x_adv = self._train_step(
            x, y, tf.constant(factor, tf.float32), tf.constant(rate, tf.float32)
        )
        loss, accuracy = float(loss), float(accuracy)
        if not math.isfinite(loss):
            self._refuse_to_go_on(f'the loss became {loss}', step)
        progress.stepped()
        bar.update()
        bar.set_postfix_str(
            f'loss {loss:.3f}, adversarial {accuracy:.1%}{self._measured}', refresh=False
        )
        speed = progress.rate
        if logging and natural is not None:
            speed = log.rate(step, settings.batch_size)
            row = {
                'step': step,
                'epoch': step * settings.batch_size / len(self.data.examples),
                'learning_rate': rate,
                'epsilon_factor': factor,
                'loss_adv': loss,
                'accuracy_adv': accuracy,
                'loss_nat': float(natural[0]),
                'accuracy_nat': float(natural[1]),
                'examples_per_second': speed,
            }
            log.write(row)
            log.summarize(row, self._devices.strategy.experimental_local_results(x_adv)[0])
        if natural is not None or (bar.disable and progress.is_silent()):
            self._tell(step, natural, accuracy, speed, bar, progress)

    def _tell(
        self,
        step: int,
        natural: tuple | None,
        accuracy: float,
        speed: float | None,
        bar: tqdm.tqdm,
        progress: Progress,
    ) -> None:
        """A line on the terminal about one step, where natural images may not have been asked."""
        on_natural = '' if natural is None else f'natural {float(natural[1]):.2%}, '
        rate = '' if speed is None else f', {speed:,.0f} examples/s'
        left = progress.seconds_left
        if natural is not None:
            self._measured = f', natural {float(natural[1]):.1%}{rate}'
        self._say(
            bar,
            f'step {step}: {on_natural}adversarial {accuracy:.2%} of the batch{rate}'
            + (f', {duration(left)} left' if left else ''),
        )
        progress.told()

    def _tell_estimate(self, bar: tqdm.tqdm, progress: Progress) -> None:
        estimate = progress.first_estimate()
        if estimate is not None:
            words, seconds = estimate
            for line in filter(None, (words, self._advise(seconds))):
                self._say(bar, line)

    def _say(self, bar: tqdm.tqdm, words: str) -> None:
        if self.writes:
            bar.write(words)
            sys.stdout.flush()  # which waits for whole blocks where it is no terminal

    def _compiled(self, step: Step) -> tuple[Any, Any]:
        """The step over all devices, and what it starts from: each returns means over the batch.

        The step's are loss, accuracy and adversarial images of each replica; it moves the state.
        """
        devices, held, seed = self._devices, self._state, self.settings.seed

        def means(metrics: Any) -> tuple[tf.Tensor, tf.Tensor]:
            sums = (devices.total(metrics.loss), devices.total(metrics.correct))
            return tuple(total / self.settings.batch_size for total in sums)

        @tf.function(autograph=False)
        def train_step(x, y, factor, learning_rate):
            def replica(x, y):
                return step(
                    held.read(),
                    x,
                    y,
                    seed=seed,
                    factor=factor,
                    learning_rate=learning_rate,
                    replica=devices.replica(),
                )

            state, metrics = devices.strategy.run(replica, (x, y))
            held.assign(state)
            return *means(metrics), metrics.x

        @tf.function(autograph=False)
        def natural(x, y):
            def replica(x, y):
                return step.natural(held.read(), x, y, seed=seed, replica=devices.replica())

            return means(devices.strategy.run(replica, (x, y)))

        return train_step, natural

    def _maybe_validate(self, step: int, log: Log, bar: tqdm.tqdm) -> None:
        every = self.settings.validate_every
        due = step == self.settings.train_steps or (every and step % every == 0)
        if self._validator is None or not due:
            return
        self._require_finite_weights(step)
        with self._averages():
            natural, adversarial = self._validator.accuracies()
        row = {'step': step, 'validation_accuracy_nat': natural.accuracy}
        under_attack = ''
        if adversarial is not None:
            row['validation_accuracy_adv'] = adversarial.accuracy
            under_attack = f', adversarial {adversarial.accuracy:.2%}'
        log.write(row)
        self._say(
            bar,
            f'step {step}: held-out {counted(natural.n, "image")}: natural '
            f'{natural.accuracy:.2%}{under_attack}',
        )
        score = (adversarial or natural).accuracy
        # The best is kept in float32, where an equal score must not look like a better one.
        if np.float32(score) > self._best.numpy():
            self._best.assign(score)
            with self._averages():
                save_weights(self.network, self._own_dir / 'best.weights.h5')

    @contextlib.contextmanager
    def _averages(self) -> Iterator[None]:
        """A block of code in which the network has its averaged weights, where they are kept."""
        averages = self._state.variables.averages
        variables = averaged_variables(self.network) if averages else []
        before = [variable.numpy() for variable in variables]
        for variable, average in zip(variables, averages, strict=True):
            variable.assign(average.numpy())
        try:
            yield
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)

    def _save(self, step: int) -> None:
        self._require_finite_weights(step)
        self._checkpoints.save(step)
        with self._averages():
            save_weights(self.network, self._own_dir / 'last.weights.h5')

    def _require_finite_weights(self, step: int) -> None:
        if not all(np.isfinite(v.numpy()).all() for v in self.network.variables):
            self._refuse_to_go_on('the weights no longer are', step)

    def _refuse_to_go_on(self, what: str, step: int) -> None:
        latest = self._checkpoints.latest
        kept = f'the last good checkpoint is {latest}' if latest else 'none was written yet'
        raise UserError(
            f'training stopped at step {step}: expected a finite loss and finite weights, but '
            f'{what}; {kept}. '
            'Lower --learning_rate, or lengthen --epsilon_warmup, and start in a new --model_dir.'
        )

    def _stop_is_asked(self) -> bool:
        """Whether any host was asked to stop; with several, all have to call it together."""
        asked = self._stopping
        return asked if self._devices.hosts == 1 else self._devices.sum(float(asked)) > 0

    def _require_same_start(self, start: int) -> None:
        if self._devices.hosts == 1:
            return
        mean = self._devices.sum(float(start)) / self._devices.replicas
        if self._devices.sum((start - mean) ** 2) > 0:
            raise UserError(
                f'expected all hosts to resume from the same step; found step {start:,} here and '
                f'others elsewhere (their mean is {mean:,.1f}). Give them one --model_dir on a '
                'file system that all of them see.'
            )


def _checked(data: Data, network: keras.Model) -> Examples:
    """The training images, which are not copied where they are as they should be.

    A network that is not built yet is so afterwards.
    """
    images = checked_images(data.examples.x, data.pixels)
    logits = ModelLogits(network, None)
    require_shape(images.shape[1:], input_shape(logits))
    shape = logits(np.asarray(images[:1], np.float32)).shape
    if len(shape) != 2:
        raise BadInput(f'expected logits of shape [batch, classes]; found {list(shape)}.')
    labels = checked_labels(data.examples.y, len(images), shape[1])
    return dataclasses.replace(data.examples, x=images, y=labels)


def _check_batch_size(batch_size: int, devices: int, examples: int) -> None:
    if batch_size % devices:
        raise UserError(
            f'--batch_size: expected a multiple of the number of devices, {devices}; found '
            f'{batch_size}.'
        )
    if batch_size > examples:
        raise UserError(
            f'--batch_size: expected at most the number of training images, '
            f'{examples:,}; found {batch_size:,}. Lower it, or hold fewer images out.'
        )
