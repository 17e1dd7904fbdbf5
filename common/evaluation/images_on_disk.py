"""The adversarial images of an attack on a whole data set, on disk while it runs."""

import os
import pathlib
import sys

import numpy as np
import tensorflow as tf

from common.data.batches import Examples
from common.distribution import hosts
from common.errors import UserError
from common.evaluation.accuracy import Judge, require_some
from common.evaluation.concurrent_batches import in_order, split
from common.evaluation.resumable import PartialResult
from common.files import cannot_write, replacing, write_array
from common.threat_model import Ball

# Images on the very decision boundary may be classified otherwise in batches of another size: this
# share of them, or this number if that is more.
_ON_THE_BOUNDARY, _SOME = 0.001, 2


class ImagesOnDisk:
    """The images of an attack, in a file beside its unfinished results.

    Several hosts write to the same file, in a folder that all of them share.

    Args:
        partial: where the attack keeps its results. If there are results, but the images that
            belong to them are lost, the results are removed and the attack starts over.
        examples: the n natural images.

    Raises:
        UserError: no examples, or the file cannot be written, or another host does not see it.
    """

    def __init__(self, partial: PartialResult, examples: Examples):
        require_some(examples)
        self._path, self._shape = partial.beside('.images'), examples.x.shape
        try:
            whole = self._map(self._path) is not None
            if hosts().gather(np.array(whole))[0] == 0:  # the first host's view counts
                if partial.path.exists():
                    print(
                        f'note: {self._path}, which belongs to {partial.path}, is lost or '
                        'damaged; starting over',
                        file=sys.stderr,
                    )
                partial.remove()
                if hosts().first:
                    self._begin(examples)
        except OSError as error:
            raise cannot_write(self._path, error) from error
        hosts().gather(np.zeros(1))  # the others wait for the first one's file
        mapped = self._map(self._path)
        seen = hosts().gather(np.array(mapped is not None)).all()
        if mapped is None or not seen:
            raise UserError(
                f'expected a folder that all {hosts().count} hosts share; found {self._path} on '
                'some of them only. Choose a shared folder for the results.'
            )
        self._offset = mapped.offset

    def _begin(self, examples: Examples) -> None:
        """Writes the natural images, so that a full disk is known at once."""
        header = {
            'descr': np.lib.format.dtype_to_descr(np.dtype(np.float32)),
            'fortran_order': False,
            'shape': self._shape,
        }
        with replacing(self._path) as temporary, open(temporary, 'wb') as file:
            np.lib.format.write_array_header_1_0(file, header)
            for block in examples.blocks():
                file.write(np.ascontiguousarray(block, np.float32).data)

    def _map(self, path: pathlib.Path) -> np.memmap | None:
        """The array in a file; None unless it is whole and like the natural images."""
        try:
            found = np.load(path, mmap_mode='r', allow_pickle=False)
        except (OSError, ValueError, EOFError):  # none, or damaged
            return None
        return found if (found.shape, found.dtype) == (self._shape, np.float32) else None

    @property
    def images(self) -> np.ndarray:
        """[n, ...] float32 memory map of the file; natural images where none was attacked yet.

        Raises:
            UserError: the file is lost.
        """
        found = self._map(self._path)
        if found is None:
            raise UserError(
                f'expected the images of the attack in {self._path}; found no such file. Run the '
                'command again.'
            )
        return found

    def keep(self, index: np.ndarray, x_adv: np.ndarray) -> None:
        """Takes [k] indices and their [k, ...] float32 images.

        Raises:
            UserError: they cannot be written.
        """
        # Not by the memory map: where pages of a network's file system hold images of two hosts,
        # one would overwrite the other's.
        try:
            with open(self._path, 'r+b') as file:
                for i, image in zip(index, np.ascontiguousarray(x_adv, np.float32), strict=True):
                    file.seek(self._offset + int(i) * image.nbytes)
                    file.write(image)
        except OSError as error:
            raise cannot_write(self._path, error) from error

    def require(
        self, judge: Judge, ball: Ball, examples: Examples, correct: np.ndarray, batch_size: int
    ) -> None:
        """Fails unless the images are what the attack's results say.

        Arguments are those of `disagreement`.

        Raises:
            UserError: an image lies outside of the ball, or too many are classified otherwise.
        """
        found = self.disagreement(judge, ball, examples, correct, batch_size)
        if found:
            raise UserError(
                f'expected adversarial images that agree with the results of the attack; found '
                f'{found}. Either its outputs are random, or files were damaged or mixed: then '
                f'remove the folder {self._path.parent} and run the command again.'
            )

    def disagreement(
        self, judge: Judge, ball: Ball, examples: Examples, correct: np.ndarray, batch_size: int
    ) -> str:
        """How the images differ from what the attack's results say, in words; '' if they agree.

        Args:
            judge: the network under attack.
            ball: the threat model, in which all images have to lie.
            examples: the n natural images.
            correct: [n] bool, images that the network classifies correctly by the results.
            batch_size: images a batch.
        """
        images = self.images

        def compared(index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            natural, y = examples.batch(index)
            x = tf.constant(images[index])
            inside = ball.contains(x, tf.constant(natural)).numpy()
            return ~inside, (judge(x, tf.constant(y))[0] == y) != correct[index]

        outside = wrong = 0
        for out, otherwise in in_order(compared, split(np.arange(len(correct)), batch_size)):
            outside, wrong = outside + int(out.sum()), wrong + int(otherwise.sum())
        if outside or wrong > max(_SOME, _ON_THE_BOUNDARY * len(correct)):
            return (
                f'{wrong} that the network classifies otherwise and {outside} outside of the ball'
            )
        return ''

    def write(self, path: str | os.PathLike, shape: tuple[int, ...]) -> None:
        """Writes the images as one float32 array.

        Args:
            path: the .npy file.
            shape: shape of the array; -1 is worked out.

        Raises:
            UserError: the file cannot be written.
        """
        write_array(path, self.images.reshape(shape))

    def remove(self) -> None:
        """Removes the file of the images."""
        self._path.unlink(missing_ok=True)
