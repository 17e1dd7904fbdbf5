"""The submission to a challenge: adversarial images of its whole test set in one file."""

import contextlib
import os

from common.attacks import Attack
from common.data.batches import Examples
from common.distribution import hosts
from common.evaluation.accuracy import natural_accuracy
from common.evaluation.crafting import Crafting
from common.evaluation.images_on_disk import ImagesOnDisk
from common.files import partial_folder
from common.threat_model import Ball
from common.transfer import Source, partial_result, transfer_accuracy


def write_submission(
    path: str | os.PathLike,
    attack: Attack,
    network: Source,
    test: Examples,
    *,
    ball: Ball,
    shape: tuple[int, ...],
    crafting: Crafting,
) -> None:
    """Attacks all images, prints the network's accuracy and writes one float32 array.

    An interrupted attack leaves its results in the folder `path`.partial and continues from there.
    Several hosts share the attack, if they share that folder; the first one writes the array.

    Args:
        path: the .npy file.
        attack: the attack.
        network: the network under attack.
        test: the n images, in the challenge's order.
        ball: the threat model, in which all images have to lie.
        shape: shape of the file's array, which holds the images in order; -1 is worked out.
        crafting: batch size, seed, precision and compiler of the attack.

    Raises:
        UserError: the files cannot be written or were damaged, or NaN logits.
    """
    folder = partial_folder(path)
    partial = partial_result(folder, attack, network, network, test, crafting)
    natural = natural_accuracy(network.judge, test, batch_size=crafting.batch_size)
    images = ImagesOnDisk(partial, test)
    outcome = transfer_accuracy(
        attack,
        network,
        network,
        test,
        crafting=crafting,
        progress='attack',
        on_batch=images.keep,
        partial_folder=folder,
    )
    if not hosts().first:
        return
    images.require(network.judge, ball, test, outcome.correct, crafting.batch_size)
    images.write(path, shape)
    print(
        f'{test.name}: network {network.name}, n = {outcome.n:,}\n'
        f'natural accuracy {natural.accuracy:.2%} (95% interval {natural.measured.ends(".2%")})\n'
        f'under the attack {outcome.accuracy:.2%} (95% interval {outcome.measured.ends(".2%")})'
    )
    images.remove()
    partial.remove()
    with contextlib.suppress(OSError):  # results of other settings lie there
        folder.rmdir()
