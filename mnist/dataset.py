"""MNIST: its shape, pixel range and threat model, and how its images are loaded."""

import hashlib
import struct

import numpy as np
from tensorflow_datasets.core.hashing import Hasher

from common.data import stand_in
from common.data.archive import Archive, Files
from common.data.augmentation import Warp
from common.data.batches import Examples
from mnist.drawn_digits import draw_chunk

IMAGE_SHAPE = (28, 28, 1)
NUM_CLASSES = 10
LOWER, UPPER = 0.0, 1.0  # pixel range, from the loader to the submission
EPSILON = 0.3  # the challenge's l-inf radius, in the same units
VALIDATION_SIZE = 5000  # the challenge holds out the first training images
# For training images, with --augment: about as much as handwritten digits differ.
AUGMENTATION = Warp(degrees=10.0, stretch=0.1, slant=0.1, shift=1.0, bend=1.25)
DATASETS = ('mnist', 'drawn')


def _original_index(stored: dict[str, np.ndarray], split: str) -> np.ndarray:
    # TFDS sorts examples by a salted hash of their key, which for MNIST is the original index.
    hasher = Hasher(split)
    return np.argsort([hasher.hash_key(i) for i in range(len(stored['label']))])


def _read_files(files: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
    # The published idx files: a big-endian magic number and sizes, then the bytes.
    images, labels = files
    (magic, n, *size), pixels = struct.unpack('>4I', images[:16]), images[16:]
    header, labels = struct.unpack('>2I', labels[:8]), labels[8:]
    if (magic, size) != (2051, [28, 28]) or header != (2049, n):
        raise ValueError(f'{n} images of {size} and {header[1]} labels')
    x = np.frombuffer(pixels, np.uint8).reshape(n, *IMAGE_SHAPE)
    return x, np.frombuffer(labels, np.uint8, n)


def _digest(images: np.ndarray, labels: np.ndarray) -> tuple[str, ...]:
    # MD5 of the published idx files: a big-endian magic number and sizes, then the bytes.
    n = len(labels)
    image_file = struct.pack('>4I', 2051, n, 28, 28) + images.tobytes()
    label_file = struct.pack('>2I', 2049, n) + labels.tobytes()
    return hashlib.md5(image_file).hexdigest(), hashlib.md5(label_file).hexdigest()


ARCHIVE = Archive(
    name='mnist',
    host='https://storage.googleapis.com/cvdf-datasets/mnist/t10k-labels-idx1-ubyte.gz',
    sizes={'train': 60_000, 'test': 10_000},
    digests={
        'train': ('6bbc9ace898e44ae57da46a324031adb', 'a25bea736e30d166cdddb491f175f624'),
        'test': ('2646ac647ad5339dbf082846283269ea', '27ae3e4e09519cfbb04c329615203637'),
    },
    original_index=_original_index,
    digest=_digest,
    stand_in='try the software without the real data by --dataset=drawn',
    files=Files(
        names={
            'train': ('train-images-idx3-ubyte', 'train-labels-idx1-ubyte'),
            'test': ('t10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte'),
        },
        read=_read_files,
        folder='MNIST_data',
    ),
)


def load(split: str, *, dataset: str = 'mnist', data_dir: str | None = None) -> Examples:
    """Loads all images of a split in the original order, with pixels in [0, 1].

    Args:
        split: 'train' (all 60,000 images) or 'test'.
        dataset: 'mnist', or 'drawn' for the stand-in, which needs no download.
        data_dir: folder of data sets prepared by TFDS, or of the published idx files (the
            challenge's `MNIST_data`); None follows TFDS's own rules.

    Raises:
        ValueError: unknown data set or split.
        UserError: the data are not available, or are not the published ones.
    """
    if dataset == 'mnist':
        images, labels = ARCHIVE.load(split, data_dir)
        # The challenge's loader: uint8 times 1/255 in float32.
        x = images.astype(np.float32) * np.float32(1 / 255)
        return Examples(x, labels.astype(np.int32), f'MNIST {split}')
    if dataset == 'drawn':
        return stand_in.collect(
            draw_chunk, split, motif='digits', instead_of='MNIST', lower=LOWER, upper=UPPER
        )
    raise ValueError(f'unknown dataset {dataset!r}; expected one of: {", ".join(DATASETS)}')
