"""The adversarial images of an attack on a whole data set, on disk for as long as it goes on."""

import os
import pathlib
import sys

import numpy as np
import tensorflow as tf

from common.data.batches import Examples
from common.errors import UserError
from common.evaluation.accuracy import Judge
from common.evaluation.concurrent_batches import in_order, split
from common.evaluation.resumable import PartialResult
from common.files import cannot_write, replacing
from common.threat_model import Ball

# Images on the very decision boundary may be classified otherwise in batches of another size: this
# share of them, or this number if that is more.
_ON_THE_BOUNDARY, _SOME = 0.001, 2


class ImagesOnDisk:
    """The images of an attack, in a file beside its unfinished results.

    Args:
        partial: where the attack keeps its results. If there are results, but the images that
            belong to them are lost, the results are removed and the attack starts anew.
        x: [n, ...] float32 natural images.

    Attributes:
        images: [n, ...] float32 memory map of the file; natural images where none was attacked yet.

    Raises:
        UserError: the file cannot be written.
    """

    def __init__(self, partial: PartialResult, x: np.ndarray):
        self._path = partial.path.with_suffix('.images')
        try:
            if not _complete(self._path, x):
                if partial.path.exists():
                    print(
                        f'note: {self._path}, which belongs to {partial.path}, is lost or '
                        'damaged; computing anew',
                        file=sys.stderr,
                    )
                partial.remove()
                with replacing(self._path) as temporary, open(temporary, 'wb') as file:
                    np.save(file, x)  # whole, so that a full disk is known at once
            self.images = np.lib.format.open_memmap(self._path, mode='r+')
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def keep(self, index: np.ndarray, x_adv: np.ndarray) -> None:
        """Takes [k] indices and their [k, ...] float32 images."""
        self.images[index] = x_adv

    def require(
        self, judge: Judge, ball: Ball, examples: Examples, correct: np.ndarray, batch_size: int
    ) -> None:
        """Fails unless the images are what the attack's results say.

        Args:
            judge: the network under attack.
            ball: the threat model, in which all images have to lie.
            examples: the n natural images.
            correct: [n] bool, images that the network classifies correctly by the results.
            batch_size: images a batch.

        Raises:
            UserError: an image lies outside of the ball, or too many are classified otherwise.
        """

        def compared(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            x, y = tf.constant(self.images[index]), examples.y[index]
            inside = ball.contains(x, tf.constant(examples.x[index])).numpy()
            return ~inside, (judge(x, tf.constant(y))[0] == y) != correct[index]

        outside = wrong = 0
        for out, otherwise in in_order(compared, split(np.arange(len(correct)), batch_size)):
            outside, wrong = outside + int(out.sum()), wrong + int(otherwise.sum())
        if outside or wrong > max(_SOME, _ON_THE_BOUNDARY * len(correct)):
            raise UserError(
                f'expected adversarial images that agree with the results of the attack; found '
                f'{wrong} that the network classifies otherwise and {outside} outside of the ball. '
                'Either its outputs are random, or files were damaged or mixed: then remove the '
                f'folder {self._path.parent} and run the command again.'
            )

    def write(self, path: str | os.PathLike, shape: tuple[int, ...]) -> None:
        """Writes the images as one float32 array.

        Args:
            path: the .npy file.
            shape: shape of the array; -1 is worked out.

        Raises:
            UserError: the file cannot be written.
        """
        with replacing(path) as temporary, open(temporary, 'wb') as file:
            np.save(file, np.asarray(self.images).reshape(shape))

    def remove(self) -> None:
        """Removes the file of the images."""
        self._path.unlink(missing_ok=True)


def _complete(path: pathlib.Path, x: np.ndarray) -> bool:
    """Whether the file holds a whole array like `x` (a memory map for writing would add zeros)."""
    try:
        found = np.load(path, mmap_mode='r', allow_pickle=False)
    except (OSError, ValueError, EOFError):  # none, or damaged
        return False
    return (found.shape, found.dtype) == (x.shape, x.dtype)
