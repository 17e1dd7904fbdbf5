"""The log of a training: log.csv, and TensorBoard summaries under the challenge's names."""

import contextlib
import csv
import pathlib
import time

import tensorflow as tf

from common.errors import UserError
from common.event_files import remove_events
from common.files import cannot_write, replacing

COLUMNS = (
    'step',
    'epoch',
    'learning_rate',
    'epsilon_factor',
    'loss_adv',
    'accuracy_adv',
    'loss_nat',
    'accuracy_nat',
    'examples_per_second',
    'validation_accuracy_nat',
    'validation_accuracy_adv',
)

_PICTURES = 3  # as many as a summary of TF1 has


class Log:
    """log.csv and the TensorBoard summaries of a model folder.

    Args:
        model_dir: the folder.
        start: first step of this run; rows of a log and summaries that it is going to repeat are
            removed.
        pixels: the range of pixels.

    Raises:
        UserError: the folder cannot be written.
    """

    def __init__(
        self, model_dir: pathlib.Path, start: int, pixels: tuple[float, float] = (0.0, 1.0)
    ):
        self._path, self._pixels = model_dir / 'log.csv', pixels
        with self._writing():
            rows = _rows_before(self._path, start)
            with replacing(self._path) as temporary, open(temporary, 'w', newline='') as file:
                writer = csv.DictWriter(file, COLUMNS)
                writer.writeheader()
                writer.writerows(rows)
            remove_events(model_dir, lambda step: step >= start)
            self._writer = tf.summary.create_file_writer(str(model_dir))
        self._clock = (start, time.perf_counter())

    def __enter__(self) -> 'Log':
        return self

    def __exit__(self, kind: type | None, *_) -> None:
        # Where the disk is full this fails once more, and would hide the first message.
        with contextlib.suppress(UserError) if kind else contextlib.nullcontext(), self._writing():
            self._writer.close()

    def rate(self, step: int, batch_size: int) -> float | None:
        """Examples a second since the last call; None at the first step, which is compiled."""
        then, at = self._clock
        self._clock = (step, time.perf_counter())
        return (step - then) * batch_size / (self._clock[1] - at) if step > then else None

    @contextlib.contextmanager
    def paused(self):
        """A block whose time does not count in the next rate."""
        start = time.perf_counter()
        yield
        then, at = self._clock
        self._clock = (then, at + time.perf_counter() - start)

    def write(self, row: dict) -> None:
        """Appends a row, whose keys are among COLUMNS."""
        with self._writing(), open(self._path, 'a', newline='') as file:
            csv.DictWriter(file, COLUMNS).writerow(
                {k: f'{v:.6g}' if isinstance(v, float) else v for k, v in row.items()}
            )

    def summarize(self, row: dict, x_adv: tf.Tensor) -> None:
        """Writes the challenge's summaries for [batch, ...] adversarial images.

        Its train.py calls them 'accuracy adv train' and so on, of which TF1's summary operations
        made the tags below; each of the first images gets a tag of its own.
        """
        with self._writing(), self._writer.as_default(step=row['step']):
            for tag in ('accuracy_adv_train', 'accuracy_adv'):
                tf.summary.scalar(tag, row['accuracy_adv'])
            for tag in ('xent_adv_train', 'xent_adv'):
                tf.summary.scalar(tag, row['loss_adv'])
            lower, upper = self._pixels
            for i, image in enumerate(x_adv[:_PICTURES]):
                tf.summary.image(f'images_adv_train/image/{i}', [(image - lower) / (upper - lower)])
            self._writer.flush()  # what a killed run has logged before a checkpoint is not lost

    @contextlib.contextmanager
    def _writing(self):
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            raise cannot_write(self._path.parent, error) from error


def _rows_before(path: pathlib.Path, start: int) -> list[dict[str, str]]:
    """The whole rows of a log that were written before the checkpoint of step `start`."""
    if not path.exists():
        return []
    text = path.read_text(encoding='utf-8', errors='replace').replace('\0', '')
    lines = text[: text.rfind('\n') + 1].splitlines()  # an interrupted write leaves half a line
    return [
        row
        for row in csv.DictReader(lines)
        if None not in row and None not in row.values() and _before(row, start)
    ]


def _before(row: dict[str, str], start: int) -> bool:
    """Whether a row was written before the checkpoint of step `start`, however the run ended."""
    step = row.get('step', '')
    if not step.isdecimal():
        return False
    validated = row.get('validation_accuracy_nat')
    return int(step) <= start if validated else int(step) < start
