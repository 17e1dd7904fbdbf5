"""Anybody's images and labels, from .npz or .npy files."""

import os

import numpy as np

from common.errors import UserError, reason


def read_arrays(reference: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels as a file has them.

    Args:
        reference: an .npz file with the arrays x and y, or two .npy files separated by a comma,
            images first; those stay on disk, whatever their size.

    Raises:
        UserError: a file is missing or damaged, or has other arrays.
    """
    paths = paths_of(reference)
    if len(paths) == 1 and paths[0].endswith('.npz'):
        stored = _load(paths[0])
        if not isinstance(stored, np.lib.npyio.NpzFile):
            raise UserError(
                f'expected a file of several arrays (.npz) at {paths[0]}; found a single array, as '
                '.npy has it. Save both by numpy.savez(FILE, x=images, y=labels), or give two .npy '
                'files as IMAGES.npy,LABELS.npy.'
            )
        if not {'x', 'y'} <= set(stored.files):
            raise UserError(
                f'expected the arrays x (images) and y (labels) in {paths[0]}; found '
                f'{", ".join(stored.files) or "none"}. Save them by '
                'numpy.savez(FILE, x=images, y=labels).'
            )
        try:
            with stored:
                return stored['x'], stored['y']
        except Exception as error:  # NumPy, zipfile and zlib raise many kinds
            raise _damaged(paths[0], error) from error
    if len(paths) == 2 and all(path.endswith('.npy') for path in paths):
        x, y = map(_load_array, paths)
        return x, np.asarray(y)
    raise UserError(
        'expected an .npz file with the arrays x and y, or two .npy files as IMAGES.npy,LABELS.npy;'
        f' found {reference!r}.'
    )


def paths_of(reference: str) -> list[str]:
    """The files that a reference to images and labels names."""
    return [os.path.expanduser(path.strip()) for path in reference.split(',')]


def _load_array(path: str) -> np.ndarray:
    array = _load(path)
    if not isinstance(array, np.ndarray):
        raise UserError(
            f'expected a single array (.npy) at {path}; found a file of several, as .npz has them. '
            'Rename it to end in .npz, and give it alone if it has the arrays x and y.'
        )
    return array


def _load(path: str) -> np.ndarray | np.lib.npyio.NpzFile:
    if not os.path.isfile(path):
        raise UserError(f'expected a file of NumPy arrays at {path}; found no such file.')
    try:
        return np.load(path, mmap_mode='r', allow_pickle=False)
    except Exception as error:  # NumPy, zipfile and tokenize raise many kinds
        raise _damaged(path, error) from error


def _damaged(path: str, error: Exception) -> UserError:
    return UserError(
        f'{path} cannot be read as an array of numbers: {reason(error)}. It is damaged, or holds '
        'Python objects: write it again.'
    )
