"""CIFAR-10: its shape, pixel range and threat model, and how its images are loaded."""

import hashlib
import re

import numpy as np

from cifar10 import pickles
from common.data import stand_in
from common.data.archive import Archive
from common.data.augmentation import Crops
from common.data.batches import Examples

IMAGE_SHAPE = (32, 32, 3)
NUM_CLASSES = 10
LOWER, UPPER = 0.0, 255.0  # pixel range, from the loader to the submission
EPSILON = 8.0  # the challenge's l-inf radius, in the same units
AUGMENTATION = Crops(2, mirror=True)  # the challenge's, for training images
CLASSES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
DATASETS = ('cifar10', 'drawn')

_PUBLISHED_FILE = 10_000  # images in each of the published binary files


def _original_index(stored: dict[str, np.ndarray], split: str) -> np.ndarray:
    # TFDS names every example after its original position: b'test_01259'.
    names = [re.fullmatch(f'{split}_([0-9]+)'.encode(), name) for name in stored['id']]
    return np.array([int(name[1]) if name else -1 for name in names])


def _digest(images: np.ndarray, labels: np.ndarray) -> tuple[str, ...]:
    # MD5 of the published binary files: a label, then the pixels by channel, row and column.
    pixels = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    records = np.concatenate([labels[:, None], pixels], axis=1)
    return tuple(
        hashlib.md5(records[i : i + _PUBLISHED_FILE].tobytes()).hexdigest()
        for i in range(0, len(records), _PUBLISHED_FILE)
    )


ARCHIVE = Archive(
    name='cifar10',
    host='https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz',
    sizes={'train': 50_000, 'test': 10_000},
    digests={
        'train': (
            '5dd7e06a14cb22eb9f671a540d1b7c25',
            '5ea93a67294ea407fff1d09f752e9692',
            '942cd6a4bcdd0dd3c604fbe906cb4421',
            'ae636b3ba5c66a11e91e8cb52e771fcb',
            '53f37980c15c3d472c316c40844f3f0d',
        ),
        'test': ('803d5f7f4d78ea53de84dbe85f74fb6d',),
    },
    original_index=_original_index,
    digest=_digest,
    stand_in='try the software without the real data by --dataset=drawn',
    files=pickles.FILES,
)


def load(split: str, *, dataset: str = 'cifar10', data_dir: str | None = None) -> Examples:
    """Loads all images of a split in the original order, with pixels in [0, 255].

    Args:
        split: 'train' (all 50,000 images) or 'test'.
        dataset: 'cifar10', or 'drawn' for the stand-in, which needs no download.
        data_dir: folder of data sets prepared by TFDS, or of the Python version's files (the
            challenge's `cifar10_data`); None follows TFDS's own rules.

    Raises:
        ValueError: unknown data set or split.
        UserError: the data are not available, or are not the published ones.
    """
    if dataset == 'cifar10':
        images, labels = ARCHIVE.load(split, data_dir)
        return Examples(images.astype(np.float32), labels.astype(np.int32), f'CIFAR-10 {split}')
    if dataset == 'drawn':
        return stand_in.draw(
            split,
            instead_of='CIFAR-10',
            image_shape=IMAGE_SHAPE,
            num_classes=NUM_CLASSES,
            lower=LOWER,
            upper=UPPER,
        )
    raise ValueError(f'unknown dataset {dataset!r}; expected one of: {", ".join(DATASETS)}')
