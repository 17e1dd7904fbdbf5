"""The challenge's checker: reads a submission, validates it, classifies its images and scores it.

A submission is one .npy file: an adversarial image for every test image, in the test set's order.
Its numbers may be floats or integers of any width. The challenge's own checker refuses uint8 images
of CIFAR-10, whose differences wrap around in it; here they count as the numbers that they are.
"""

import math
import os
import stat
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from numpy.lib import format as npy

from common.data.batches import Examples
from common.errors import UserError, reason
from common.evaluation.concurrent_batches import split
from common.files import require_apart, require_writable, write_array
from common.networks.logits import LogitsFn
from common.statistics import Measured, counted
from common.threat_model import Ball

_COMPARED = 500  # images at a time
_ROWS_SHOWN = 5


def score(
    submission_path: str | os.PathLike,
    predictions_path: str | os.PathLike,
    *,
    load_test: Callable[[], Examples],
    stand_in: bool,
    image_shape: tuple[int, ...],
    make_ball: Callable[[], Ball],
    load_network: Callable[[], LogitsFn],
    batch_size: int,
) -> float:
    """Validates a submission, prints the network's accuracy on it and writes the predictions.

    Whatever takes long or may warn is passed as a function, called only after all checks before it
    have passed: first the file's header, then the data, the shape, the pixels, the network.

    Args:
        submission_path: .npy of shape (n, *image_shape), any real dtype, in the ball's pixel units.
        predictions_path: where the predictions go, [n] int64 as .npy.
        load_test: loads the n test images that the submission perturbs.
        stand_in: whether these are not the challenge's; the output then names them.
        image_shape: shape of an image in the file; images are reshaped to that of a test image.
        make_ball: makes the threat model.
        load_network: loads the network, which takes images of the test images' shape.
        batch_size: images a batch of the classification.

    Returns:
        The accuracy, 0 to 1.

    Raises:
        UserError: the submission is invalid, data or network are not available, or the predictions
            cannot be written.
    """
    submission_path, predictions_path = map(os.path.expanduser, (submission_path, predictions_path))
    submission = open_submission(submission_path)
    require_apart({'--predictions': predictions_path}, {'--input': [submission_path]})
    require_writable(predictions_path)
    test = load_test()
    if stand_in:
        print(f'Data: {test.name}, {counted(len(test), "image")}')
    x_adv = read(submission, (len(test), *image_shape)).reshape(test.x.shape)
    validate(x_adv, test.x, make_ball())
    predictions = predict(load_network(), x_adv, batch_size)
    correct = predictions == test.y
    accuracy = float(np.mean(correct))
    print(f'Accuracy: {accuracy:.2%}')
    print(f'95% interval {Measured.share(correct).ends(".2%")}, n = {len(test):,}')
    write_array(predictions_path, predictions)
    print(f'Predictions written to {predictions_path}')
    return accuracy


def open_submission(path: str | os.PathLike) -> np.memmap:
    """Maps a .npy file into memory, of which only the header is read. Nothing is ever unpickled.

    Args:
        path: file of format version 1.0 to 3.0.

    Returns:
        Its array: floats or integers, of any shape, width, byte and memory order.

    Raises:
        UserError: the file cannot be read, is no whole .npy file, or its numbers are not real
            floats or integers (bool and complex are not).
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for a writer
            raise OSError('it is a folder, a pipe or a device')
        with np.errstate(over='ignore'):  # a header may claim any size
            submission = npy.open_memmap(path, mode='r')
    except OSError as error:
        raise UserError(
            f'cannot read {path}: {error.strerror or error}. Expected the .npy file of a '
            'submission: check its name, and the folder it is relative to.'
        ) from error
    except Exception as error:  # NumPy passes on whatever damaged bytes make its parsers raise
        raise UserError(
            f'{path}: expected a whole .npy file; found {_kind_of_file(path, error)} '
            f'({reason(error).rstrip(".")}). Write the images with np.save, as one array of plain '
            'numbers.'
        ) from error
    if submission.dtype.kind not in 'fiu':
        raise UserError(
            f'{path}: expected real numbers (a float or integer dtype); found dtype '
            f'{str(submission.dtype)[:200]}. Convert the images to np.float32 and save them again.'
        )
    return submission


def _kind_of_file(path: str | os.PathLike, error: Exception) -> str:
    with open(path, 'rb') as file:
        head = file.read(len(npy.MAGIC_PREFIX))
    if not head:
        return 'an empty file'
    if head.startswith(b'PK'):
        return 'an .npz or other zip archive'
    if not npy.MAGIC_PREFIX.startswith(head):
        return 'another format'
    if 'Python objects' in str(error):
        return 'an array of Python objects'
    return 'one that is damaged or cut off'


def read(submission: np.memmap, shape: tuple[int, ...]) -> np.ndarray:
    """The images, cast to float64 before anything is computed with them.

    Args:
        submission: what `open_submission` returned.
        shape: what the array's shape has to be, exactly.

    Returns:
        [*shape] float64, in the file's own pixel units.

    Raises:
        UserError: another shape.
    """
    if submission.shape != shape:
        raise UserError(
            f'{submission.filename}: expected an array of shape {shape}; found '
            f'{str(submission.shape)[:200]}. {_shape_remedy(submission.shape, shape)}'
        )
    with np.errstate(over='ignore'):  # a long double may exceed float64: refused as infinite
        return np.array(submission, np.float64, order='C')


def validate(
    submission: np.ndarray, natural: np.ndarray, ball: Ball, tolerance: float | None = None
) -> None:
    """Refuses a submission that leaves the threat model (run_attack.py of either challenge).

    Every pixel must be finite and at most `tolerance` outside of the pixel range, and every image
    at most epsilon plus `tolerance` from the natural one. Differences are taken in float64. A value
    exactly at a limit stays valid when it has been rounded to float32.

    Args:
        submission: [n, ...] images of any real dtype, in the ball's pixel units.
        natural: [n, ...] natural images in the same order and units.
        ball: the threat model.
        tolerance: slack in pixel units; None for the ball's own, the challenge's in l-inf.

    Raises:
        UserError: it does; names how many images and which rows, and how far out the worst is.
        ValueError: the two shapes differ.
    """
    if submission.shape != natural.shape:
        raise ValueError(
            f'expected a submission of the shape of the natural images {natural.shape}; found '
            f'{submission.shape}'
        )
    pixels = np.asarray(submission, np.float64)
    axes = tuple(range(1, pixels.ndim))
    broken = ~np.isfinite(pixels).all(axis=axes)
    if broken.any():
        raise UserError(
            f'the submission is not valid: expected finite pixels; {_count(broken)} contain NaN or '
            'infinity. Fix the attack that made them and save the images again.'
        )
    outside = np.maximum(ball.lower - pixels.min(axis=axes), pixels.max(axis=axes) - ball.upper)
    # A few images at a time, which spares temporary copies of the whole data set.
    distance = [
        ball.distance(tf.constant(pixels[i]), tf.constant(natural[i], tf.float64))
        for i in split(np.arange(len(pixels)), _COMPARED)
    ]
    excess = np.concatenate(distance) - ball.epsilon
    pixel_range = f'[{ball.lower:g}, {ball.upper:g}]'
    tolerance = ball.tolerance if tolerance is None else tolerance
    slack = tolerance + _float32_rounding(ball)
    faults = [
        *_fault(outside, slack, f'leave the pixel range {pixel_range}'),
        *_fault(excess, slack, f'are farther than epsilon = {ball.epsilon:g} from the natural one'),
    ]
    if faults:
        raise UserError(
            f'the submission is not valid: {"; ".join(faults)}. The tolerance is '
            f'{tolerance:g}. Keep the order and the pixel units of the test images, clip to within '
            f'{ball.epsilon:g} of them and to {pixel_range}, in float32 or better, and save the '
            'images again.'
        )


def predict(logits_fn: LogitsFn, x: np.ndarray, batch_size: int) -> np.ndarray:
    """Classifies images as they are, without clipping, in float32.

    Args:
        logits_fn: the network.
        x: [n, ...] images in the network's pixel units; cast to float32 batch by batch.
        batch_size: images a batch; the last one may be shorter.

    Returns:
        [n] int64 classes.

    Raises:
        UserError: the network returned NaN or infinity, so no prediction means anything.
    """

    @tf.function(autograph=False, reduce_retracing=True)
    def classify(batch: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        logits = logits_fn(batch)
        return tf.argmax(logits, axis=1), tf.reduce_all(tf.math.is_finite(logits))

    predictions = np.empty(len(x), np.int64)
    for first in range(0, len(x), batch_size):
        batch = slice(first, first + batch_size)
        classes, finite = classify(tf.constant(x[batch], tf.float32))
        if not finite:
            raise UserError(
                'expected finite logits; the network returned NaN or infinity. Its weights are '
                'damaged: train or fetch them again.'
            )
        predictions[batch] = classes.numpy()
    return predictions


def _shape_remedy(found: tuple[int, ...], expected: tuple[int, ...]) -> str:
    if len(expected) == 4 and found == tuple(expected[axis] for axis in (0, 3, 1, 2)):
        return 'The channels come first: save x.transpose(0, 2, 3, 1).'
    if math.prod(found) == math.prod(expected):
        return f'The number of pixels is right: save x.reshape{expected}.'
    return 'Save one image for every test image, in the order of the test set.'


def _float32_rounding(ball: Ball) -> float:
    """The most that rounding to float32 moves a pixel: 6e-8 in 0 to 1, 8e-6 in 0 to 255."""
    return float(np.spacing(np.float32(max(abs(ball.lower), abs(ball.upper))))) / 2


def _count(offending: np.ndarray) -> str:
    """How many of [n] and which: '2 of 10,000 images (rows 3, 8; counted from 0)'."""
    rows = np.flatnonzero(offending)
    shown = ', '.join(str(row) for row in rows[:_ROWS_SHOWN])
    return (
        f'{len(rows):,} of {counted(len(offending), "image")} '
        f'(row{"s" if len(rows) > 1 else ""} {shown}'
        f'{", ..." if len(rows) > _ROWS_SHOWN else ""}; counted from 0)'
    )


def _fault(excess: np.ndarray, slack: float, words: str) -> list[str]:
    """One phrase about the images whose [n] excess over a limit is above the slack, or none."""
    offending = excess > slack
    if not offending.any():
        return []
    worst = int(excess.argmax())
    return [f'{_count(offending)} {words}, the worst by {excess[worst]:.6g} (row {worst})']
