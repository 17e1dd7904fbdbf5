"""Writes the adversarial images of a whole test set as a submission to a challenge."""

import os

import numpy as np

from common.attacks import Attack
from common.data import Examples
from common.evaluation import natural_accuracy
from common.files import replacing
from common.transfer import Source, transfer_accuracy


def write_submission(
    path: str | os.PathLike,
    attack: Attack,
    network: Source,
    test: Examples,
    *,
    shape: tuple[int, ...],
    batch_size: int,
    seed: int,
    attack_dtype: str,
    jit_compile: bool = False,
) -> None:
    """Attacks all images, prints the network's accuracy and writes one float32 array.

    Args:
        path: the .npy file.
        attack: the attack.
        network: who is attacked.
        test: the images, in the order of the challenge.
        shape: of the file's array, which holds the images one after the other; -1 is worked out.
        batch_size: images a batch.
        seed: of the attack's randomness.
        attack_dtype: precision of the gradients.
        jit_compile: whether XLA compiles the network.
    """
    submission = np.empty(test.x.shape, np.float32)

    def keep(index: np.ndarray, x_adv: np.ndarray) -> None:
        submission[index] = x_adv

    natural = natural_accuracy(network.judge, test, batch_size=batch_size)
    outcome = transfer_accuracy(
        attack, network, network, test, batch_size=batch_size, seed=seed,
        attack_dtype=attack_dtype, jit_compile=jit_compile, progress='attack', on_batch=keep)
    with replacing(path) as temporary, open(temporary, 'wb') as file:
        np.save(file, submission.reshape(shape))
    print(f'{test.name}: network {network.name}, natural accuracy {natural.accuracy:.2%}, '
          f'under the attack {outcome.accuracy:.2%} (n = {outcome.n:,})')
