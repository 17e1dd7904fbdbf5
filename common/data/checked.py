"""Images and labels as users have them, checked once, at the door."""

from typing import Any

import numpy as np
import tensorflow as tf

from common.data.batches import Examples
from common.errors import BadInput, reason

Bounds = tuple[float, float]
"""The smallest and the largest value that a pixel may have."""

_SLACK = 1e-4  # of the range: what rounding makes of pixels at its ends
_BYTES = 100  # a range at least this wide counts grey levels
_SHOWN = 3


def checked_images(x: Any, bounds: Bounds | None = None) -> np.ndarray:
    """Images as [n, ...] float32, whatever array, tensor or list of real numbers they come in.

    A memory map stays on disk, in its own dtype (see `Examples`).

    Args:
        x: [n, ...] images of any real dtype.
        bounds: range of pixels; None does not check it.

    Raises:
        BadInput: no images, other than real numbers, masked ones, NaN, or pixels outside of the
            range (or all within one grey level of a range that counts grey levels).

    >>> checked_images([[0, 128, 255]], bounds=(0, 255))
    array([[  0., 128., 255.]], dtype=float32)
    """
    array = _array(x, 'images')
    if array.dtype.kind not in 'fiub' or array.ndim < 2:
        raise BadInput(
            'expected images as an array of real numbers of shape [n, ...]; found shape '
            f'{list(array.shape)} of {array.dtype}.' + _add_batch(array)
        )
    if not array.size:
        raise BadInput(f'expected at least one image; found shape {list(array.shape)}.')
    if array.dtype != np.float32 and not isinstance(array, np.memmap):
        array = array.astype(np.float32)
    low, high = _range(array)
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = next(i for i, image in enumerate(array) if not np.isfinite(np.float32(image)).all())
        raise BadInput(f'expected finite pixels; found NaN or infinity in image {bad}.')
    if bounds is not None:
        _require_range(low, high, bounds)
    return array


def checked_labels(y: Any, n: int, classes: int) -> np.ndarray:
    """Labels as [n] int32, whatever whole numbers or one-hot rows they come in.

    Args:
        y: [n] or [n, 1] class numbers of any real dtype, or [n, classes] one-hot rows.
        n: number of images.
        classes: number of classes.

    Raises:
        BadInput: another number of labels, no whole numbers, or classes that do not exist.

    >>> checked_labels([[0, 0, 1], [1, 0, 0]], n=2, classes=3)
    array([2, 0], dtype=int32)
    """
    array = _array(y, 'labels')
    wanted = f'expected {n:,} labels, one for each image, from 0 to {classes - 1}'
    if array.dtype.kind not in 'fiub':
        raise BadInput(f'{wanted}; found an array of {array.dtype}.')
    if array.ndim == 0 or len(array) != n:
        raise BadInput(f'{wanted}; found shape {list(array.shape)}.')
    if array.ndim == 2 and array.shape[1] == classes and classes > 1:
        if not (((array == 0) | (array == 1)).all() and (array.sum(axis=1) == 1).all()):
            raise BadInput(f'{wanted}, or one-hot; found rows that are not one-hot.')
        array = array.argmax(axis=1)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise BadInput(f'{wanted}, or one-hot; found shape {list(array.shape)}.')
    wrong = ~((array >= 0) & (array < classes) & (array == np.floor(array)))
    if wrong.any():
        first = int(wrong.argmax())
        raise BadInput(f'{wanted}; found {array[first]:g} for image {first}.')
    return array.astype(np.int32)


def require_shape(shape: tuple[int, ...], expected: tuple[int | None, ...] | None) -> None:
    """Refuses images of another shape than a network takes.

    Args:
        shape: of one image.
        expected: what the network takes, None for sides of any length; None if it is not known.

    Raises:
        BadInput: the shapes differ.
    """
    if expected is None:
        return
    if not _fits(shape, expected):
        hint = ''
        if len(expected) > 1 and _fits(shape, expected[1:]):  # its rows were taken for images
            hint = ' If this is one image, add an axis in front: x[None].'
        elif tuple(expected[-1:]) == (1,) and len(shape) == len(expected) - 1:
            hint = ' Add the channel axis: x[..., None].'
        elif sorted(shape) == sorted(side or 0 for side in expected):
            hint = ' Transpose the axes.'
        found = ', '.join(map(str, shape))
        wanted = ', '.join('any' if side is None else str(side) for side in expected)
        raise BadInput(
            f'expected images of shape ({wanted}), as the network takes them; found '
            f'({found}).{hint}'
        )


def require_fit(examples: Examples, bounds: Bounds | None, classes: int) -> None:
    """Refuses examples that an evaluation would give a wrong number for.

    Args:
        examples: images and labels.
        bounds: the range of pixels; None does not check it.
        classes: number of classes of the network.

    Raises:
        BadInput: NaN or infinite pixels, pixels outside of the range, or labels without a class.
    """
    low, high = examples.range
    if not (np.isfinite(low) and np.isfinite(high)):
        raise BadInput(f'expected finite pixels in {examples.name}; found NaN or infinity.')
    if bounds is not None:
        _require_range(low, high, bounds)
    checked_labels(examples.y, len(examples), classes)


def _fits(shape: tuple[int, ...], expected: tuple[int | None, ...]) -> bool:
    return len(shape) == len(expected) and all(
        side in (None, found) for found, side in zip(shape, expected, strict=True)
    )


def checked_examples(
    x: Any, y: Any, *, bounds: Bounds | None, classes: int, name: str = 'images'
) -> Examples:
    """Images and labels as `Examples`; arguments and errors as those of the functions above."""
    images = checked_images(x, bounds)
    return Examples(images, checked_labels(y, len(images), classes), name)


def _array(values: Any, what: str) -> np.ndarray:
    if values is None:
        raise BadInput(f'expected {what}; found None.')
    try:
        if tf.is_tensor(values):
            if values.dtype == tf.bfloat16:
                values = tf.cast(values, tf.float32)
            return values.numpy()
        if isinstance(values, list | tuple) and any(map(np.ma.isMaskedArray, values)):
            values = np.ma.stack(values)  # NumPy would drop the masks
        array = np.asanyarray(values)
    except (TypeError, ValueError, AttributeError) as error:
        raise BadInput(f'expected {what} as an array; found {reason(error)}.') from error
    if not isinstance(array, np.ma.MaskedArray):
        return array
    masked = int(np.ma.count_masked(array))
    if masked:
        raise BadInput(
            f'expected {what} without a mask; found {masked:,} masked values. Choose what they are '
            'by .filled(VALUE), or leave these images out.'
        )
    return array.data


def _add_batch(array: np.ndarray) -> str:
    return ' Add an axis in front: x[None].' if array.ndim == 1 and array.size else ''


def _range(array: np.ndarray) -> Bounds:
    """The smallest and the largest pixel, NaN if any is; image by image where it is on disk."""
    step = max(1, 2**22 // max(array[0].size, 1))
    parts = [array[i : i + step] for i in range(0, len(array), step)]
    return float(np.min([p.min() for p in parts])), float(np.max([p.max() for p in parts]))


def _require_range(low: float, high: float, bounds: Bounds) -> None:
    lower, upper = bounds
    slack = _SLACK * (upper - lower)
    wanted = f'expected pixels from {lower:g} to {upper:g}'
    found = f'found {low:.4g} to {high:.4g}'
    if low < lower - slack or high > upper + slack:
        raise BadInput(f'{wanted}; {found}. Rescale the images, or correct the bounds.')
    if upper - lower >= _BYTES and 0 < high - low and lower <= low and high - lower <= 1 + slack:
        raise BadInput(
            f'{wanted}; {found}, as if they were meant on a scale from 0 to 1. Rescale the images, '
            'or correct bounds and epsilon.'
        )
