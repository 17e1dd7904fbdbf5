"""Image data sets from TensorFlow Datasets, in their original order and verified.

TFDS stores examples shuffled. The challenge's checker and batches depend on the original order, so
the loader restores it and compares the result with published digests. The data set itself (its
name, sizes, digests, how the order is found) arrives as an `Archive`.
"""

import dataclasses
import functools
import hashlib
import http.client
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Callable

import numpy as np
import tensorflow_datasets as tfds

from common.errors import UserError, reason

_PROBE_SECONDS = 8


@dataclasses.dataclass(frozen=True)
class Examples:
    """Images and labels, and the words by which printed output calls them.

    Attributes:
        x: [n, ...] float32 images in the data set's pixel units.
        y: [n] int32 labels.
        name: for example 'MNIST test'.
    """

    x: np.ndarray
    y: np.ndarray
    name: str

    def __len__(self) -> int:
        return len(self.y)

    def digest(self) -> str:
        """SHA-256 of name, images and labels: what identifies the examples."""
        return self._digest

    @functools.cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(repr((self.x.shape, self.name)).encode())
        digest.update(np.ascontiguousarray(self.x))
        digest.update(np.ascontiguousarray(self.y))
        return digest.hexdigest()

    def subset(self, index: slice) -> 'Examples':
        """The examples selected by `index`, under the same name."""
        return dataclasses.replace(self, x=self.x[index], y=self.y[index])


@dataclasses.dataclass(frozen=True)
class Archive:
    """A data set as TFDS keeps it.

    Attributes:
        name: its name in TFDS.
        host: address used to find out quickly whether a download can work.
        sizes: number of examples of each split.
        digests: what `digest` must return for each split in its original order.
        original_index: (stored columns, split) -> [n] original position of each stored example.
        stand_in: what a user can do without this data set, as the end of a sentence.
        digest: (images [n, h, w, c] uint8, labels [n] uint8) -> digests to compare.
    """

    name: str
    host: str
    sizes: dict[str, int]
    digests: dict[str, tuple[str, ...]]
    original_index: Callable[[dict[str, np.ndarray], str], np.ndarray]
    digest: Callable[[np.ndarray, np.ndarray], tuple[str, ...]]
    stand_in: str

    def load(self, split: str, data_dir: str | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Images [n, h, w, c] uint8 and labels [n] uint8 of a split, in the original order.

        Args:
            split: 'train' or 'test'.
            data_dir: folder of prepared data sets; None follows TFDS's own rules (`TFDS_DATA_DIR`,
                else `~/tensorflow_datasets`).

        Raises:
            UserError: not prepared and not downloadable, or not the published data.
        """
        stored = self._read(split, data_dir)
        found = len(stored['label'])
        if found != self.sizes[split]:
            self._refuse(split, data_dir, f'{found:,} examples, expected {self.sizes[split]:,}')
        position = np.asarray(self.original_index(stored, split))
        if not np.array_equal(np.sort(position), np.arange(found)):
            self._refuse(split, data_dir, 'an order that cannot be restored')
        order = np.argsort(position)
        images, labels = stored['image'][order], stored['label'][order].astype(np.uint8)
        if self.digest(images, labels) != self.digests[split]:
            self._refuse(split, data_dir, 'contents whose MD5 differs from the published data')
        return images, labels

    def _read(self, split: str, data_dir: str | None) -> dict[str, np.ndarray]:
        try:
            builder = tfds.builder(self.name, data_dir=data_dir)
            if not builder.is_prepared():
                self._download(builder)
            # One thread reads the shards in order; the order is checked afterwards all the same.
            stored = builder.as_dataset(
                split=split, batch_size=-1, read_config=tfds.ReadConfig(interleave_cycle_length=1))
            return {key: value.numpy() for key, value in stored.items()}
        except UserError:
            raise
        except Exception as error:  # TFDS passes on whatever its readers and downloaders raise
            raise self._unavailable(
                data_dir, f'{type(error).__name__}: {reason(error)}') from error

    def _download(self, builder: tfds.core.DatasetBuilder) -> None:
        if not _reachable(self.host):
            raise self._unavailable(
                str(builder.data_dir), f'not prepared there, and {self.host} cannot be reached')
        builder.download_and_prepare()

    def _unavailable(self, data_dir: str | None, why: str) -> UserError:
        place = data_dir or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
        return UserError(
            f'the data set {self.name} could not be loaded from {place} ({why}). Name the '
            'folder of a prepared copy with --data_dir or the environment variable TFDS_DATA_DIR, '
            'connect to a network so that TensorFlow Datasets can download it, or '
            f'{self.stand_in}.')

    def _refuse(self, split: str, data_dir: str | None, found: str) -> None:
        place = data_dir or os.environ.get('TFDS_DATA_DIR') or '~/tensorflow_datasets'
        raise UserError(
            f'the {split} split of {self.name} in {place} is not the published data set: it has '
            f'{found}. Remove that copy and let TensorFlow Datasets prepare it again.')


def _reachable(address: str) -> bool:
    """Whether a web server answers at all within seconds (TFDS alone would retry for minutes)."""
    answered = threading.Event()

    def probe() -> None:
        try:
            with urllib.request.urlopen(address, timeout=_PROBE_SECONDS):
                answered.set()
        except urllib.error.HTTPError:  # an answer too, if not the one hoped for
            answered.set()
        except (OSError, http.client.HTTPException):
            pass

    # In a thread, because name resolution does not heed the timeout.
    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(_PROBE_SECONDS)
    return answered.is_set()


@dataclasses.dataclass(frozen=True)
class ShuffledBatches:
    """Which examples make up training batch number `step`, for any step, without state.

    Every epoch is a new permutation; the remainder of an epoch is joined with the start of the next
    (the MNIST challenge's loader) or dropped (CIFAR-10's), so the position in the data is the step
    number alone.

    Attributes:
        num_examples: size of the training set.
        batch_size: examples a batch.
        seed: of all permutations.
        drop_remainder: whether an epoch ends with its last full batch.

    Raises:
        ValueError: a batch size below 1 or above the number of examples.
    """

    num_examples: int
    batch_size: int
    seed: int
    drop_remainder: bool = False

    def __post_init__(self):
        if not 1 <= self.batch_size <= self.num_examples:
            raise ValueError(
                f'batch_size must be between 1 and the number of examples {self.num_examples}; '
                f'found {self.batch_size}')

    def __call__(self, step: int) -> np.ndarray:
        """[batch_size] int64 indices of batch `step`, counted from 0."""
        remainder = self.num_examples % self.batch_size if self.drop_remainder else 0
        epoch, first = divmod(step * self.batch_size, self.num_examples - remainder)
        current = _permutation(self.num_examples, self.seed, epoch)
        index = current[first:first + self.batch_size]
        missing = self.batch_size - len(index)
        if missing:
            following = _permutation(self.num_examples, self.seed, epoch + 1)
            index = np.concatenate([index, following[:missing]])
        return index


@functools.lru_cache(maxsize=2)  # a batch reaches from one epoch into the next at most
def _permutation(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    order = np.random.default_rng([seed, epoch]).permutation(num_examples)
    order.setflags(write=False)  # batches are views of what the cache keeps
    return order
