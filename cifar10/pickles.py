"""CIFAR-10 as its authors publish it for Python, which the challenge reads from `cifar10_data`.

Each file is a dictionary that Python 2 pickled, with the images as one array of bytes.
"""

import io
import pickle
from typing import Any

import numpy as np

from common.data.archive import Files


class _Unpickler(pickle.Unpickler):
    """Makes arrays and nothing else: a pickle may call whatever it names."""

    def find_class(self, module: str, name: str) -> Any:
        """The function or class of that name."""
        try:
            return _KNOWN[module.replace('_core', 'core'), name]
        except KeyError:
            raise pickle.UnpicklingError(f'it asks for {module}.{name}') from None


_KNOWN = {
    ('numpy.core.multiarray', '_reconstruct'): np.empty(0).__reduce__()[0],
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
}


def read(files: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels of some of the files, one after the other.

    Args:
        files: their contents.

    Returns:
        Images [n, 32, 32, 3] uint8 and labels [n] uint8.

    Raises:
        Exception: a file is damaged; which one depends on the damage.
    """
    parts = [_batch(contents) for contents in files]
    images, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return images, labels


def _batch(contents: bytes) -> tuple[np.ndarray, np.ndarray]:
    batch = _Unpickler(io.BytesIO(contents), encoding='bytes').load()
    pixels, labels = batch[b'data'], np.array(batch[b'labels'])
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), 3 * 32 * 32):
        raise ValueError(f'{len(labels)} labels and images of {pixels.dtype} {pixels.shape}')
    if labels.dtype.kind != 'i' or labels.min() < 0 or labels.max() > 9:
        raise ValueError('labels that are not from 0 to 9')
    # Pixels come by channel, row and column.
    images = pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return images, labels.astype(np.uint8)


FILES = Files(
    names={'train': tuple(f'data_batch_{i}' for i in range(1, 6)), 'test': ('test_batch',)},
    read=read,
    folder='cifar-10-batches-py',
)
