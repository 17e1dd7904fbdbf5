"""Examples, and training batches, which are prepared while the devices still compute."""

import dataclasses
import functools
import hashlib
import itertools
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from common.errors import BadInput

_AHEAD = 2  # batches per device that are prepared ahead
_BLOCK = 1 << 21  # pixels that are looked at together where all images are


@dataclasses.dataclass(frozen=True)
class Examples:
    """Images and labels, and their name in printed output.

    Attributes:
        x: [n, ...] float32 images in the data set's pixel units. It may be a memory map
            (`np.load(path, mmap_mode='r')`, `common.data.spool`) of any real dtype: evaluations
            take a batch at a time and never copy the whole.
        y: [n] int32 labels.
        name: for example 'MNIST test'.

    Raises:
        BadInput: the numbers of images and labels differ.
    """

    x: np.ndarray
    y: np.ndarray
    name: str

    def __post_init__(self):
        if len(self.x) != len(self.y):
            raise BadInput(
                f'expected a label for each image; found {len(self.x):,} images and '
                f'{len(self.y):,} labels.'
            )

    @functools.cached_property
    def range(self) -> tuple[float, float]:
        """The smallest and the largest pixel of all images; NaN if any pixel is."""
        ends = [(float(block.min()), float(block.max())) for block in self.blocks() if block.size]
        lows, highs = zip(*ends, strict=True) if ends else ((0.0,), (0.0,))
        return float(np.min(lows)), float(np.max(highs))

    def __len__(self) -> int:
        return len(self.y)

    def digest(self) -> str:
        """SHA-256 of name, images and labels, as 64 hexadecimal digits: identifies the examples."""
        return self._digest

    @functools.cached_property
    def _digest(self) -> str:
        digest = hashlib.sha256(repr((self.x.shape, self.name)).encode())
        for block in self.blocks():
            digest.update(np.ascontiguousarray(block))
        digest.update(np.ascontiguousarray(self.y))
        return digest.hexdigest()

    def batch(self, index: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        """The [k, ...] float32 images and [k] int32 labels of k indices."""
        return np.asarray(self.x[index], np.float32), np.asarray(self.y[index], np.int32)

    def blocks(self) -> Iterator[np.ndarray]:
        """The images in order, a few megabytes at a time, as views."""
        step = max(1, _BLOCK // max(1, self.x[:1].size))
        for start in range(0, len(self), step):
            yield self.x[start : start + step]

    def subset(self, index: slice) -> 'Examples':
        """The examples selected by `index`, under the same name."""
        return dataclasses.replace(self, x=self.x[index], y=self.y[index])


@dataclasses.dataclass(frozen=True)
class ShuffledBatches:
    """Which examples make up training batch number `step`: a function of the step alone.

    Every epoch is a new permutation; the remainder of an epoch is joined with the start of the next
    (the MNIST challenge's loader) or dropped (CIFAR-10's).

    Attributes:
        num_examples: size of the training set.
        batch_size: examples per batch.
        seed: seed of all permutations.
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
                f'found {self.batch_size}'
            )

    def __call__(self, step: int) -> np.ndarray:
        """[batch_size] int64 indices of batch `step`, counted from 0."""
        remainder = self.num_examples % self.batch_size if self.drop_remainder else 0
        epoch, first = divmod(step * self.batch_size, self.num_examples - remainder)
        current = _permutation(self.num_examples, self.seed, epoch)
        index = current[first : first + self.batch_size]
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


def batches_from(
    step: int, examples: Examples, order: ShuffledBatches, strategy: tf.distribute.Strategy
) -> Iterator:
    """Endless batches for the training steps `step`, `step` + 1, ..., by tf.data.

    Args:
        step: number of the first step, from 0.
        examples: the training images.
        order: which of them make up each step's batch, of all replicas together.
        strategy: its replicas get equal shares of the batch, in order.

    Returns:
        Iterator over pairs of float32 images [share, ...] and int32 labels [share], or of the
        replicas' values of these.
    """
    share = order.batch_size // strategy.num_replicas_in_sync

    def of_host(context: tf.distribute.InputContext) -> tf.data.Dataset:
        replicas = context.num_replicas_in_sync // context.num_input_pipelines
        first = context.input_pipeline_id * replicas

        def shares():
            for number in itertools.count(step):
                index = order(number)
                for replica in range(first, first + replicas):
                    part = index[replica * share : (replica + 1) * share]
                    yield examples.x[part], examples.y[part]

        dataset = tf.data.Dataset.from_generator(
            shares,
            output_signature=(
                tf.TensorSpec([share, *examples.x.shape[1:]], tf.float32),
                tf.TensorSpec([share], tf.int32),
            ),
        )
        # Declared endless, so that several hosts need not ask each other whether a batch is left.
        endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
        return dataset.apply(endless).prefetch(_AHEAD * replicas)

    return iter(strategy.distribute_datasets_from_function(of_host))
