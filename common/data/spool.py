"""A stream of batches as examples on disk, so that memory does not grow with their number."""

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from common.data.batches import Examples
from common.errors import BadInput, UserError, reason
from common.files import cannot_write


def spooled(
    batches: Iterable[tuple[Any, Any]],
    folder: str | os.PathLike | None = None,
    name: str = 'images',
) -> Examples:
    """Writes a stream of batches to a temporary file, and returns its memory map as examples.

    The file has no name and vanishes with the last array that refers to it, or with the process.

    Args:
        batches: pairs of [k, ...] images and [k, ...] labels, as a `tf.data.Dataset` of batches or
            any iterable of arrays or tensors of real numbers; k may vary.
        folder: for the file, which takes 4 bytes a pixel; None for the system's temporary folder.
        name: the examples' name.

    Returns:
        Examples whose images are read-only float32, and whose labels are in memory as they came.

    Raises:
        BadInput: no batches, others than pairs, batches that do not fit together, images that are
            not real numbers, or a stream that fails.
        UserError: the file cannot be written.

    >>> odd = ((np.full([k, 2], k), np.zeros(k, int)) for k in (1, 3))
    >>> examples = spooled(odd)
    >>> examples.x.shape, examples.x.dtype, examples.y.tolist()
    ((4, 2), dtype('float32'), [0, 0, 0, 0])
    """
    shapes, labels = None, []
    folder = None if folder is None else os.path.expanduser(folder)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for number, (x, y) in enumerate(_pairs(batches)):
                if x.dtype.kind in 'cmMOSU':
                    raise BadInput(f'expected images of real numbers; found {x.dtype}.')
                shapes = (x.shape[1:], y.shape[1:]) if shapes is None else shapes
                single = not x.ndim or not y.ndim or len(x) != len(y)
                if single or (x.shape[1:], y.shape[1:]) != shapes:
                    hint = ' If these are single images, call .batch(100).' if single else ''
                    shape = ['k', *shapes[0]] if number else '[k, ...]'
                    raise BadInput(
                        f'expected batches of images {shape} with k labels; found in '
                        f'batch {number} images of shape {x.shape} and labels of shape {y.shape}.'
                        + hint
                    )
                file.write(np.ascontiguousarray(x, np.float32).data)
                labels.append(y)
            if not sum(map(len, labels)):
                raise BadInput('expected at least one image to evaluate; found none.')
            file.flush()
            y = np.concatenate(labels)
            return Examples(np.memmap(file, np.float32, 'r', shape=(len(y), *shapes[0])), y, name)
    except OSError as error:
        raise cannot_write(folder or tempfile.gettempdir(), error) from error


def _pairs(batches: Iterable[Any]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images and labels of each batch as arrays."""
    iterator, number = iter(batches), 0
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except UserError:
            raise
        except Exception as error:  # whatever the stream's own code raises
            raise BadInput(
                f'expected a stream of (images, labels) batches; reading batch {number} failed: '
                f'{reason(error)}'
            ) from error
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise BadInput(
                f'expected batches that are pairs (images, labels); found {_kind(batch)}'
            )
        try:
            x, y = map(np.asarray, batch)
        except Exception as error:  # ragged lists, tensors without values
            raise BadInput(
                f'expected (images, labels) as arrays; found in batch {number} {reason(error)}'
            ) from error
        yield x, y
        number += 1


def _kind(batch: Any) -> str:
    """What a batch is that is no pair, and how to make it one."""
    if isinstance(batch, Mapping):
        names = ', '.join(map(repr, batch))
        return f"a dict of {names}. Choose two: .map(lambda d: (d['image'], d['label']))."
    if isinstance(batch, tuple | list):
        number = len(batch)
        more = ' Keep two: .map(lambda x, y, *others: (x, y)).' if number > 2 else ''
        return f'{number} {"part" if number == 1 else "parts"}.{more}'
    return f'{type(batch).__name__} alone, without labels.'
