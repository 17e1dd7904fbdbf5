"""Adversarial images of a whole test set, and the submission to a challenge that they make."""

import contextlib
import os
import pathlib
import sys

import numpy as np
import tensorflow as tf

from common.attacks import Attack
from common.data.batches import Examples
from common.errors import UserError
from common.evaluation.accuracy import Judge, natural_accuracy
from common.evaluation.resumable import PartialResult
from common.files import cannot_write, partial_folder, replacing
from common.threat_model import LinfBall
from common.transfer import Source, partial_result, transfer_accuracy

_ON_THE_BOUNDARY = 0.001  # share of images, of which few are some at least
_SOME = 2


class ImagesOnDisk:
    """The images of an attack, in a file beside its results, for as long as it goes on.

    Args:
        partial: where the attack keeps its results. If it has some, and the images that belong to
            them are lost, they are removed and it begins anew.
        x: [n, ...] float32 natural images.

    Attributes:
        images: [n, ...] float32; natural where the attack has not been.

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
        """Takes [k, ...] images of these [k] numbers."""
        self.images[index] = x_adv

    def require(
        self, judge: Judge, ball: LinfBall, examples: Examples, correct: np.ndarray, batch_size: int
    ) -> None:
        """Makes sure that the images are what the attack says of them.

        Args:
            judge: the network.
            ball: in which all of them lie.
            examples: the natural images.
            correct: [n] bool: which images it says the network classifies correctly.
            batch_size: images a batch.

        Raises:
            UserError: one lies outside of the ball, or is judged otherwise.
        """
        outside = wrong = 0
        for i in range(0, len(correct), batch_size):
            batch = slice(i, i + batch_size)
            x, y = tf.constant(np.asarray(self.images[batch])), examples.y[batch]
            inside = ball.contains(x, tf.constant(examples.x[batch])).numpy()
            outside += int(np.sum(~inside))
            wrong += int(np.sum((judge(x, tf.constant(y))[0] == y) != correct[batch]))
        # Images on the very boundary may fall to either side in batches of another size.
        if outside or wrong > max(_SOME, _ON_THE_BOUNDARY * len(correct)):
            raise UserError(
                f'expected adversarial images as the record of the attack tells of them; found '
                f'{wrong} that the network judges otherwise and {outside} outside of the ball. '
                'Either its outputs are random, or files were damaged or mixed: then remove the '
                f'folder {self._path.parent} and run the command again.'
            )

    def write(self, path: str | os.PathLike, shape: tuple[int, ...]) -> None:
        """Writes the images as an array of that shape; -1 is worked out.

        Raises:
            UserError: the file cannot be written.
        """
        with replacing(path) as temporary, open(temporary, 'wb') as file:
            np.save(file, np.asarray(self.images).reshape(shape))

    def remove(self) -> None:
        """Forgets the images."""
        self._path.unlink(missing_ok=True)


def _complete(path: pathlib.Path, x: np.ndarray) -> bool:
    """Whether the file holds an array like `x`, to its last byte (a memory map would add zeros)."""
    try:
        found = np.load(path, mmap_mode='r', allow_pickle=False)
    except (OSError, ValueError, EOFError):  # none, or damaged
        return False
    return (found.shape, found.dtype) == (x.shape, x.dtype)


def write_submission(
    path: str | os.PathLike,
    attack: Attack,
    network: Source,
    test: Examples,
    *,
    ball: LinfBall,
    shape: tuple[int, ...],
    batch_size: int,
    seed: int,
    attack_dtype: str,
    jit_compile: bool = False,
) -> None:
    """Attacks all images, prints the network's accuracy and writes one float32 array.

    An interrupted attack leaves what it has in the folder `path`.partial and goes on from there.

    Args:
        path: the .npy file.
        attack: the attack.
        network: who is attacked.
        test: the images, in the order of the challenge.
        ball: in which the images lie.
        shape: of the file's array, which holds the images one after the other; -1 is worked out.
        batch_size: images a batch.
        seed: of the attack's randomness.
        attack_dtype: precision of the gradients.
        jit_compile: whether XLA compiles the network.

    Raises:
        UserError: the files cannot be written or were damaged, or NaN logits.
    """
    folder = partial_folder(path)
    crafting = dict(
        batch_size=batch_size, seed=seed, attack_dtype=attack_dtype, jit_compile=jit_compile
    )
    partial = partial_result(folder, attack, network, network, test, **crafting)
    natural = natural_accuracy(network.judge, test, batch_size=batch_size)
    found = ImagesOnDisk(partial, test.x)
    outcome = transfer_accuracy(
        attack,
        network,
        network,
        test,
        progress='attack',
        on_batch=found.keep,
        partial_folder=folder,
        **crafting,
    )
    found.require(network.judge, ball, test, outcome.correct, batch_size)
    found.write(path, shape)
    print(
        f'{test.name}: network {network.name}, natural accuracy {natural.accuracy:.2%}, '
        f'under the attack {outcome.accuracy:.2%} (n = {outcome.n:,})'
    )
    found.remove()
    partial.remove()
    with contextlib.suppress(OSError):  # results of other settings lie there
        folder.rmdir()
