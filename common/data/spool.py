"""A stream of batches as examples on disk, so that memory does not grow with their number."""

import os
import tempfile
from collections.abc import Iterable
from typing import Any

import numpy as np

from common.data.batches import Examples
from common.errors import UserError
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
        UserError: no batches, batches that do not fit together, images that are not real numbers,
            or a file that cannot be written.

    >>> odd = ((np.full([k, 2], k), np.zeros(k, int)) for k in (1, 3))
    >>> examples = spooled(odd)
    >>> examples.x.shape, examples.x.dtype, examples.y.tolist()
    ((4, 2), dtype('float32'), [0, 0, 0, 0])
    """
    shape, labels = None, []
    folder = None if folder is None else os.path.expanduser(folder)
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for number, (x, y) in enumerate(batches):
                x, y = np.asarray(x), np.asarray(y)
                if x.dtype.kind in 'cmMOSU':
                    raise UserError(f'expected images of real numbers; found {x.dtype}.')
                shape = x.shape[1:] if shape is None else shape
                if not x.ndim or not y.ndim or x.shape[1:] != shape or len(x) != len(y):
                    raise UserError(
                        f'expected batches of images {["k", *shape]} with k labels; found in batch '
                        f'{number} images of shape {x.shape} and labels of shape {y.shape}.'
                    )
                file.write(np.ascontiguousarray(x, np.float32).data)
                labels.append(y)
            if not sum(map(len, labels)):
                raise UserError('expected at least one image to evaluate; found none.')
            file.flush()
            y = np.concatenate(labels)
            return Examples(np.memmap(file, np.float32, 'r', shape=(len(y), *shape)), y, name)
    except OSError as error:
        raise cannot_write(folder or tempfile.gettempdir(), error) from error
